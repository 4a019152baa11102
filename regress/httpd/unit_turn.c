/* sources: httpd/turn.c */
/* libs: cmocka bsd event_core */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include "httpd/httpd.h"

/*
 * Who is served when.  A client here has so many pieces of work, each of so
 * many microseconds, and does as many of them as its share allows.
 */

#define CLIENTS 64
#define ALWAYS INT32_MAX

struct event_base *base;

static struct client all[CLIENTS];
static int left[CLIENTS]; /* pieces */
static int cost[CLIENTS]; /* of one */
static int done[CLIENTS];
static int total; /* of all */
static int stop; /* at so many */
static int asked; /* the first client did so behind so many */
static int waited; /* for so many of others */

static int64_t
microseconds(void)
{
	struct timespec ts;

	(void)clock_gettime(CLOCK_MONOTONIC, &ts);
	return (int64_t)ts.tv_sec * 1000000 + ts.tv_nsec / 1000;
}

int
client_work(struct client *c)
{
	int64_t end;
	int i;

	i = (int)(c - all);
	if (i == 0)
		waited += total - asked;
	do {
		end = microseconds() + cost[i];
		while (microseconds() < end)
			;
		done[i]++;
		if (left[i] != ALWAYS)
			left[i]--;
		if (++total == stop)
			(void)event_base_loopbreak(base);
	} while (
	    left[i] > 0 && c->state != CLIENT_HANDSHAKE && !turn_is_over());
	return left[i] > 0;
}

static int
setup(void **state)
{
	(void)state;
	memset(all, 0, sizeof(all));
	memset(left, 0, sizeof(left));
	memset(done, 0, sizeof(done));
	total = stop = 0;
	base = event_base_new();
	turn_prepare();
	return base == NULL ? -1 : 0;
}

static int
teardown(void **state)
{
	int i;

	(void)state;
	for (i = 0; i < CLIENTS; i++)
		turn_forget(&all[i]);
	event_base_free(base);
	return 0;
}

static void
want(int i, int pieces, int us)
{
	left[i] = pieces;
	cost[i] = us;
	turn_later(&all[i]);
}

/* All that is asked for is done, and nothing wakes us up afterwards. */
static void
test_all_is_done(void **state)
{
	int i;

	(void)state;
	for (i = 0; i < CLIENTS; i++)
		want(i, 1 + i % 7, 10);
	assert_int_equal(event_base_dispatch(base), 1); /* no events */
	for (i = 0; i < CLIENTS; i++) {
		assert_int_equal(left[i], 0);
		assert_int_equal(all[i].turn, TURN_NONE);
	}
}

/* Those who want much all get on. */
static void
test_busy_ones_take_turns(void **state)
{
	int i;

	(void)state;
	for (i = 0; i < 8; i++)
		want(i, ALWAYS, 100);
	stop = 400;
	(void)event_base_dispatch(base);
	for (i = 0; i < 8; i++)
		assert_in_range(done[i], 10, 200);
}

/* One who wants little is served although they never have enough. */
static void
asks_cb(int fd, short ev, void *arg)
{
	const struct timeval tv = {0, 2000};
	struct event *timer;

	(void)fd;
	(void)ev;
	timer = arg;
	left[0] = 1;
	asked = total;
	turn_ready(&all[0]);
	if (done[0] >= 20)
		(void)event_base_loopbreak(base);
	else
		(void)event_add(timer, &tv);
}

static void
test_little_goes_first(void **state)
{
	const struct timeval tv = {0, 2000};
	struct event timer;
	int i;

	(void)state;
	for (i = 1; i < CLIENTS; i++)
		want(i, ALWAYS, 100);
	stop = 1000; /* all of them owe something */
	(void)event_base_dispatch(base);
	cost[0] = 10;
	(void)evtimer_assign(&timer, base, asks_cb, &timer);
	(void)event_add(&timer, &tv);
	stop = waited = 0;
	(void)event_base_dispatch(base);
	assert_true(done[0] >= 20);
	/* In the order in which they came it would be 63 * 20. */
	assert_true(waited < 63 * 20 / 2);
}

/* Neither holds up the other. */
static void
test_handshakes_have_their_share(void **state)
{
	int shakes;
	int i;

	(void)state;
	for (i = 0; i < 8; i++)
		want(i, ALWAYS, 100);
	for (; i < CLIENTS; i++) {
		all[i].state = CLIENT_HANDSHAKE;
		want(i, ALWAYS, 500);
	}
	stop = 600;
	(void)event_base_dispatch(base);
	shakes = 0;
	for (i = 8; i < CLIENTS; i++)
		shakes += done[i];
	/* A sixth of the pieces were half of the time. */
	assert_in_range(shakes, 20, 200);
}

/* Who goes meanwhile is served no more. */
static void
test_forgotten(void **state)
{
	int i;

	(void)state;
	for (i = 0; i < 8; i++)
		want(i, 1, 10);
	turn_forget(&all[3]);
	(void)event_base_dispatch(base);
	for (i = 0; i < 8; i++)
		assert_int_equal(done[i], i != 3);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test_setup_teardown(test_all_is_done, setup, teardown),
	    cmocka_unit_test_setup_teardown(
		test_busy_ones_take_turns, setup, teardown),
	    cmocka_unit_test_setup_teardown(
		test_little_goes_first, setup, teardown),
	    cmocka_unit_test_setup_teardown(
		test_handshakes_have_their_share, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_forgotten, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
