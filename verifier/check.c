#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <bsd/stdlib.h>

#include "../common/log.h"
#include "../common/url.h"
#include "verifier.h"

/*
 * Which attempt is made when.
 *
 * Timers, answers of the resolver and messages only put checks into queues;
 * turn_cb() takes them out, for at most a millisecond in one turn of the
 * loop, so that thousands that are due at once (or time out at once) do not
 * delay the answers of others.  It takes one of each queue in turn; of checks
 * without an attempt so far, the newest and the oldest by turns, so that in a
 * flood of them neither who came first nor who comes last is kept waiting.
 * Those that have timed out before come far behind them, so that on a busy
 * machine their next attempts do not hold up the first ones of others.
 *
 * When attempts are limited by descriptors, those that were quick last time
 * may use all slots, the others three quarters of them: 2000 URLs that never
 * answer cannot keep out those that do.
 */

#define FIRST_PAUSE (5 * MILLISECOND)
#define TURN_LENGTH (1 * MILLISECOND)
#define FRESH_PER_SLOW 16 /* while there are both */
/*
 * Attempts of liveness checks begin in steps, several with one wakeup: 1000
 * checks a second then cost a third less.
 */
#define STEP (8 * MILLISECOND)
#define STEP_INTERVAL (1 * SECOND) /* where that cannot matter */

RB_HEAD(check_tree, check);

static struct check_tree checks = RB_INITIALIZER(&checks);
static struct check_list ready[PACE_COUNT];
static struct check_list woken = TAILQ_HEAD_INITIALIZER(woken);
static struct check_list expired = TAILQ_HEAD_INITIALIZER(expired);
static struct event_base *loop;
static struct event turn;
static unsigned int total;
static unsigned int running;
static unsigned int slots;

static int
check_compare(struct check *a, struct check *b)
{
	return a->id < b->id ? -1 : a->id > b->id;
}

RB_GENERATE_INTERNAL(
    check_tree, check, node, check_compare, __attribute__((__unused__)) static)

uint64_t
now_ns(void)
{
	struct timespec ts;

	(void)clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * SECOND + (uint64_t)ts.tv_nsec;
}

/* ---- queues ------------------------------------------------------------ */

static void
turn_soon(void)
{
	static const struct timeval at_once = {0, 0};

	if (!evtimer_pending(&turn, NULL))
		(void)evtimer_add(&turn, &at_once);
}

static void
queue_leave(struct check *c)
{
	if (c->queue != NULL)
		TAILQ_REMOVE(c->queue, c, entry);
	c->queue = NULL;
}

static void
queue_enter(struct check *c, struct check_list *queue)
{
	queue_leave(c);
	TAILQ_INSERT_TAIL(queue, c, entry);
	c->queue = queue;
	turn_soon();
}

static struct check *
queue_take(struct check_list *queue)
{
	struct check *c;

	c = TAILQ_FIRST(queue);
	if (c != NULL)
		queue_leave(c);
	return c;
}

static int
has_slot(enum check_pace pace)
{
	if (pace == PACE_QUICK)
		return running < slots;
	return running < slots - slots / 4;
}

/* The next of a pace, if there is one and it may start. */
static struct check *
take_ready(enum check_pace pace)
{
	static unsigned int turns;
	static int newest;
	struct check *c;

	if (!has_slot(pace))
		return NULL;
	if (pace == PACE_SLOW && !TAILQ_EMPTY(&ready[PACE_FRESH]) &&
	    ++turns % FRESH_PER_SLOW != 0)
		return NULL;
	if (pace == PACE_FRESH)
		newest = !newest;
	if (pace != PACE_FRESH || !newest)
		return queue_take(&ready[pace]);
	c = TAILQ_LAST(&ready[pace], check_list);
	if (c != NULL)
		queue_leave(c);
	return c;
}

static int
anything_due(void)
{
	int pace;

	if (!TAILQ_EMPTY(&woken) || !TAILQ_EMPTY(&expired))
		return 1;
	for (pace = 0; pace < PACE_COUNT; pace++)
		if (!TAILQ_EMPTY(&ready[pace]) && has_slot(pace))
			return 1;
	return 0;
}

/* ---- one check --------------------------------------------------------- */

static void
set_timer(struct check *c, uint64_t from_now)
{
	struct timeval tv;

	tv.tv_sec = (time_t)(from_now / SECOND);
	tv.tv_usec = (suseconds_t)(from_now % SECOND / 1000);
	if (evtimer_add(&c->timer, &tv) == -1)
		fatalx("check %u: no timer", c->id);
}

static void
make_ready(struct check *c)
{
	c->state = CHECK_READY;
	queue_enter(c, &ready[c->pace]);
}

static void
timer_cb(int fd, short events, void *arg)
{
	struct check *c = arg;

	(void)fd;
	(void)events;
	if (c->state == CHECK_PAUSED)
		make_ready(c);
	else if (c->state == CHECK_RUNNING)
		queue_enter(c, &expired);
}

/* How long from now until an attempt that is due then. */
static uint64_t
until(const struct check *c, uint64_t due, uint64_t now)
{
	if (c->spec.interval >= STEP_INTERVAL)
		due = (due + STEP - 1) / STEP * STEP;
	return due - now;
}

/* A time after now that is a whole number of intervals after c->due. */
static uint64_t
next_in_step(const struct check *c, uint64_t now)
{
	uint64_t missed;

	if (c->due > now)
		return c->due;
	missed = (now - c->due) / c->spec.interval;
	return c->due + (missed + 1) * c->spec.interval;
}

/* When the attempt after the one that ends now begins, from now on. */
static uint64_t
next_pause(struct check *c, uint64_t now)
{
	uint64_t due;

	if (c->spec.mode == CHECK_FOR_EVER) {
		c->due = next_in_step(c, now);
		return until(c, c->due, now);
	}
	if (c->spec.fixed) {
		due = c->started + c->spec.interval;
		return due > now ? due - now : 0;
	}
	c->pause = c->pause == 0 ? FIRST_PAUSE : c->pause * 2;
	if (c->pause > c->spec.interval)
		c->pause = c->spec.interval;
	return c->pause;
}

static void
plan_next(struct check *c)
{
	uint64_t pause;

	pause = next_pause(c, now_ns());
	if (pause == 0) {
		make_ready(c);
		return;
	}
	c->state = CHECK_PAUSED;
	set_timer(c, pause);
}

/* Ends whatever goes on for it. */
static void
halt(struct check *c)
{
	queue_leave(c);
	(void)evtimer_del(&c->timer);
	if (c->state == CHECK_RUNNING) {
		c->prober->stop(c);
		running--;
		/* For waiting checks, and for http_flush(). */
		turn_soon();
	}
	c->state = CHECK_PAUSED;
}

static void
check_free(struct check *c)
{
	halt(c);
	(void)RB_REMOVE(check_tree, &checks, c);
	total--;
	if (c->prober->forget != NULL)
		c->prober->forget(c);
	check_spec_clear(&c->spec);
	free(c);
}

void
check_done(
    struct check *c, int passed, unsigned int status, const char *fmt, ...)
{
	char detail[DETAIL_SIZE];
	uint64_t elapsed;
	va_list ap;

	elapsed = now_ns() - c->started;
	va_start(ap, fmt);
	(void)vsnprintf(detail, sizeof(detail), fmt, ap);
	va_end(ap);
	text_clean(detail);
	queue_leave(c);
	(void)evtimer_del(&c->timer);
	c->state = CHECK_PAUSED;
	running--;
	report_attempt(c, passed, elapsed, status, detail);
	if (passed && c->spec.mode == CHECK_UNTIL_PASSED)
		check_free(c);
	else
		plan_next(c);
	if (anything_due())
		turn_soon();
}

static void
expire(struct check *c)
{
	char time[32];
	const char *waiting;

	waiting = c->prober->waiting(c);
	c->prober->stop(c);
	c->pace = PACE_SLOW;
	check_done(c, 0, 0, "timed out after %s (%s)",
	    text_duration(time, sizeof(time), c->spec.timeout), waiting);
}

static void
begin(struct check *c)
{
	char seconds[32];
	char text[DETAIL_SIZE];
	char url[DETAIL_SIZE];

	c->state = CHECK_RUNNING;
	c->pace = PACE_QUICK; /* unless it expires */
	c->started = now_ns();
	c->attempts++;
	running++;
	if (c->spec.verbose) {
		(void)snprintf(seconds, sizeof(seconds), "%gs",
		    (double)c->spec.timeout / (double)SECOND);
		(void)snprintf(text, sizeof(text),
		    "Attempting connection to %s with a timeout of %s",
		    c->spec.kind == CHECK_TCP ?
			c->spec.host :
			url_show(url, sizeof(url), c->spec.url),
		    seconds);
		text_clean(text);
		report_trying(c, text);
	}
	if (c->problem != NULL) {
		check_done(c, 0, 0, "%s", c->problem);
		return;
	}
	set_timer(c, c->spec.timeout);
	c->prober->start(c);
}

/* ---- the turn ---------------------------------------------------------- */

/* One of each queue.  Returns 0 when there was nothing to do. */
static int
take_one_each(void)
{
	struct check *c;
	int did = 0;
	int pace;

	c = queue_take(&woken);
	if (c != NULL) {
		c->prober->start(c);
		did = 1;
	}
	for (pace = 0; pace < PACE_COUNT; pace++) {
		c = take_ready(pace);
		if (c != NULL) {
			begin(c);
			did = 1;
		}
	}
	c = queue_take(&expired);
	if (c != NULL) {
		expire(c);
		did = 1;
	}
	return did;
}

static void
turn_cb(int fd, short events, void *arg)
{
	uint64_t end;

	(void)fd;
	(void)events;
	(void)arg;
	end = now_ns() + TURN_LENGTH;
	while (take_one_each() && now_ns() < end)
		http_flush();
	http_flush();
	if (anything_due())
		turn_soon();
}

/* ---- from outside ------------------------------------------------------ */

void
check_init(struct event_base *base, unsigned int limit)
{
	int pace;

	loop = base;
	slots = limit < 4 ? 4 : limit;
	for (pace = 0; pace < PACE_COUNT; pace++)
		TAILQ_INIT(&ready[pace]);
	if (evtimer_assign(&turn, base, turn_cb, NULL) == -1)
		fatalx("evtimer_assign failed");
}

unsigned int
check_count(void)
{
	return total;
}

static struct check *
check_find(uint32_t id)
{
	struct check key;

	(void)memset(&key, 0, sizeof(key));
	key.id = id;
	return RB_FIND(check_tree, &checks, &key);
}

static const struct prober *
prober_of(enum check_kind kind)
{
	switch (kind) {
	case CHECK_HTTP:
		return &http_prober;
	case CHECK_TCP:
		return &tcp_prober;
	case CHECK_UNIX:
	case CHECK_HTTP_UNIX:
		break;
	}
	return &unix_prober;
}

static uint64_t
random_part(uint64_t interval)
{
	return interval / UINT32_MAX * arc4random() +
	    interval % UINT32_MAX * arc4random() / UINT32_MAX;
}

static void
first_attempt(struct check *c)
{
	uint64_t now;

	c->pace = PACE_FRESH;
	if (c->spec.mode == CHECK_UNTIL_PASSED) {
		make_ready(c);
		return;
	}
	/* Those that begin together are spread over the interval. */
	now = now_ns();
	c->due = now + random_part(c->spec.interval);
	c->state = CHECK_PAUSED;
	set_timer(c, until(c, c->due, now));
}

int
check_start(uint32_t id, struct check_spec *spec)
{
	struct check *c;

	if (total >= MAX_CHECKS || check_find(id) != NULL) {
		check_spec_clear(spec);
		return -1;
	}
	c = calloc(1, sizeof(*c));
	if (c == NULL) {
		check_spec_clear(spec);
		return -1;
	}
	c->id = id;
	c->spec = *spec;
	(void)memset(spec, 0, sizeof(*spec));
	c->prober = prober_of(c->spec.kind);
	if (evtimer_assign(&c->timer, loop, timer_cb, c) == -1)
		fatalx("evtimer_assign failed");
	(void)RB_INSERT(check_tree, &checks, c);
	total++;
	c->problem = check_spec_problem(&c->spec);
	if (c->problem == NULL)
		c->problem = c->prober->prepare(c);
	first_attempt(c);
	return 0;
}

void
check_stop(uint32_t id)
{
	struct check *c;

	c = check_find(id);
	if (c != NULL)
		check_free(c);
}

void
check_stop_all(void)
{
	struct check *c;

	while ((c = RB_MIN(check_tree, &checks)) != NULL)
		check_free(c);
}

void
check_wake(struct check *c)
{
	/* One that has expired is not saved any more. */
	if (c->queue == NULL)
		queue_enter(c, &woken);
}
