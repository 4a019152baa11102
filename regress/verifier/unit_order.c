/* sources: verifier/check.c verifier/check_spec.c verifier/text.c */
/* sources: common/wire.c common/log.c common/url.c */
/* libs: bsd event */
/*
 * Which attempt comes first: the verifier's queues, with attempts that do
 * nothing.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "../../verifier/verifier.h"

#define SLOW 50 /* checks whose attempts expire */
#define FRESH 320 /* checks that begin meanwhile */
#define FIRST_FRESH 1000

static struct event_base *base;
static unsigned int reports;
static unsigned int fresh_begun;
static unsigned int slow_begun;

/* ---- what check.c calls ------------------------------------------------ */

void
report_attempt(const struct check *c, int passed, uint64_t elapsed,
    unsigned int status, const char *detail)
{
	(void)c;
	(void)passed;
	(void)elapsed;
	(void)status;
	(void)detail;
	if (++reports == SLOW)
		(void)event_base_loopbreak(base);
}

void
report_trying(const struct check *c, const char *text)
{
	(void)c;
	(void)text;
}

void
http_flush(void)
{
}

static const char *
prepare(struct check *c)
{
	(void)c;
	return NULL;
}

static void
start(struct check *c)
{
	/* The turn in which the last of them begins goes on. */
	if (c->id < FIRST_FRESH)
		slow_begun += fresh_begun < FRESH;
	else if (++fresh_begun == FRESH)
		(void)event_base_loopbreak(base);
}

static void
stop(struct check *c)
{
	(void)c;
}

static const char *
waiting(struct check *c)
{
	(void)c;
	return "waiting";
}

const struct prober http_prober = {prepare, NULL, start, stop, waiting};
const struct prober tcp_prober = {prepare, NULL, start, stop, waiting};
const struct prober unix_prober = {prepare, NULL, start, stop, waiting};

/* ---- the tests --------------------------------------------------------- */

static void
begin(uint32_t id, uint64_t interval, uint64_t timeout)
{
	struct check_spec spec;

	memset(&spec, 0, sizeof(spec));
	spec.kind = CHECK_TCP;
	spec.mode = CHECK_UNTIL_PASSED;
	spec.fixed = 1;
	spec.interval = interval;
	spec.timeout = timeout;
	spec.host = strdup("192.0.2.1");
	spec.url = strdup("");
	spec.method = strdup("GET");
	spec.body = strdup("");
	assert_int_equal(check_start(id, &spec), 0);
}

/* Further attempts of those that have expired, beside first ones. */
static void
test_first_attempts_come_first(void **state)
{
	uint32_t i;

	(void)state;
	base = event_base_new();
	assert_non_null(base);
	check_init(base, 4096);
	for (i = 1; i <= SLOW; i++)
		begin(i, 200 * MILLISECOND, MILLISECOND);
	(void)event_base_dispatch(base);
	assert_int_equal(reports, SLOW);
	(void)event_base_loop(base, EVLOOP_NONBLOCK);
	/* Now all of them are due again, and others come. */
	(void)usleep(250000);
	slow_begun = 0;
	for (i = 0; i < FRESH; i++)
		begin(FIRST_FRESH + i, SECOND, 60 * SECOND);
	(void)event_base_dispatch(base);
	assert_int_equal(fresh_begun, FRESH);
	assert_in_range(slow_begun, 1, FRESH / 16 + 1);
	check_stop_all();
	event_base_free(base);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_first_attempts_come_first),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
