/* sources: common/footprint.c common/channel.c common/imsg.c
 * common/imsg_buffer.c common/wire.c */
/* libs: event_core bsd cmocka */
#include <sys/types.h>
#include <sys/socket.h>
#include <sys/time.h>

#include <malloc.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <event2/event.h>

#include "channel.h"
#include "footprint.h"
#include "imsg.h"

#define PAUSE 1500 /* ms: time for two looks, and some more */

static unsigned int trims;

/* In place of the C library's. */
int
malloc_trim(size_t pad)
{
	(void)pad;
	trims++;
	return 0;
}

static int
message_cb(struct channel *c, struct imsg *imsg, void *arg)
{
	(void)c;
	(void)imsg;
	(void)arg;
	return 0;
}

static void
lost_cb(struct channel *c, const char *why, void *arg)
{
	(void)c;
	(void)arg;
	fail_msg("lost: %s", why);
}

/* Trims while the loop runs for a moment. */
static unsigned int
trims_in(struct event_base *base, int ms)
{
	const struct timeval tv = {ms / 1000, ms % 1000 * 1000L};
	unsigned int before = trims;

	assert_int_equal(event_base_loopexit(base, &tv), 0);
	(void)event_base_dispatch(base);
	return trims - before;
}

static void
say(struct channel *c, unsigned int n)
{
	while (n-- > 0)
		assert_int_equal(channel_send(c, 1, 0, -1, NULL, 0), 0);
}

static void
footprint_test(void **state)
{
	struct event_base *base;
	struct channel *from;
	struct channel *to;
	unsigned int n = 0;
	int fds[2];
	int i;

	(void)state;
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, fds), 0);
	base = event_base_new();
	from = channel_new(base, fds[0], 0, message_cb, lost_cb, NULL);
	to = channel_new(base, fds[1], 0, message_cb, lost_cb, NULL);
	assert_non_null(from);
	assert_non_null(to);
	footprint_trim_later(base);
	/* The start; then it sleeps, and a few words are no reason. */
	assert_int_equal(trims_in(base, PAUSE), 1);
	assert_int_equal(trims_in(base, PAUSE), 0);
	say(from, CHANNEL_MANY - 1);
	assert_int_equal(trims_in(base, PAUSE), 0);
	/* Many are, when no more come. */
	say(from, 1);
	assert_int_equal(trims_in(base, PAUSE), 1);
	assert_int_equal(trims_in(base, PAUSE), 0);
	/* Not in the middle of the work, however little comes. */
	say(from, CHANNEL_MANY);
	for (i = 0; i < 10; i++) {
		assert_int_equal(trims_in(base, 140), 0);
		say(from, 1);
	}
	assert_int_equal(trims_in(base, PAUSE), 1);
	assert_int_equal(trims_in(base, PAUSE), 0);
	/* Work that does not end is no reason never to do it. */
	say(from, CHANNEL_MANY);
	for (i = 0; i < 4000 / 140; i++) {
		n += trims_in(base, 140);
		say(from, 1);
	}
	assert_int_equal(n, 1);
	channel_free(from);
	channel_free(to);
	event_base_free(base);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(footprint_test),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
