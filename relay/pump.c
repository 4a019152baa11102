#include <sys/types.h>

#include <errno.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include <event2/event.h>

#include "channel.h"
#include "log.h"
#include "relay.h"
#include "wire.h"

/*
 * The pipes, and how bytes come from them into the journals.
 */

#define SPLICE_TURN (1024UL * 1024) /* bytes of one pipe in one turn */
#define GROW_FROM (32L * 1024) /* bytes at once: it was about full */
#define GROW_FEW 8 /* pipes; many large ones do not stay in a cache */
#define SMALL_PIPE (64UL * 1024)
#define TINY_SPLICE 2048
#define NAP_NS 50000
#define MILLISECOND 1000000L
#define HOT_MOST 128 /* pipes */
#define TICK_MOST 5 /* ms */
#define BUSY_NS (3 * MILLISECOND) /* turns that follow each other so soon */
#define BUSY_TURNS 3
#define SWEEP_NS (100 * MILLISECOND)
#define LATE_MOST 3
#define PAUSE_MIN_NS (10 * MILLISECOND)
#define PAUSE_MAX_NS (300 * MILLISECOND)
#define FULL 1024
#define HALF_FULL 512
#define ALMOST_FULL 900
#define SMALL_SPLICE 4096
#define PLENTY (1536UL * 1024) /* bytes of pipes in a tick */
#define STUCK_MS 1000

static struct event *watch_event;
static struct event *stuck_timer;
static int ready_count; /* pipes that were readable together */

/*
 * Pipes that are written to all the time: they are not watched, which would
 * cost their writers a wakeup for each write, but looked at now and then.
 */
static struct {
	struct pipe_end *pipes[HOT_MOST];
	size_t count;
	struct event *timer;
	int64_t last; /* look */
	int64_t pause; /* ns */
	int64_t pause_end;
	int64_t sweep; /* when it is time for the next one */
	unsigned int late; /* looks in a row, for the writers */
} hot;

static void
stuck_arm(void)
{
	if (!evtimer_pending(stuck_timer, NULL))
		relay_arm(stuck_timer, STUCK_MS);
}

/* The journal has no room, or something else that may pass. */
static void
stuck(struct pipe_end *p)
{
	if (!(p->flags & PIPE_TOLD))
		log_warn("output of process %u", p->stream->process->id);
	p->flags |= PIPE_STUCK | PIPE_TOLD;
	stuck_arm();
}

void
pipe_watch(struct pipe_end *p)
{
	if ((p->flags & (PIPE_WATCHED | PIPE_HOT)) || p->fd == -1)
		return;
	if (watch_add(p->fd, p) == -1)
		stuck(p);
	else
		p->flags |= PIPE_WATCHED;
}

static void
hot_remove(const struct pipe_end *p)
{
	size_t i;

	for (i = 0; i < hot.count; i++)
		if (hot.pipes[i] == p) {
			hot.pipes[i] = hot.pipes[--hot.count];
			return;
		}
}

static void
pipe_unwatch(struct pipe_end *p)
{
	if (p->flags & PIPE_WATCHED)
		watch_remove(p->fd);
	if (p->flags & PIPE_HOT)
		hot_remove(p);
	p->flags &= ~(unsigned int)(PIPE_WATCHED | PIPE_HOT);
}

static void
pipe_close(struct pipe_end *p)
{
	pipe_unwatch(p);
	if (p->fd != -1)
		(void)close(p->fd);
	p->fd = -1;
}

void
pipe_free(struct pipe_end *p)
{
	pipe_close(p);
	SLIST_REMOVE(&p->stream->pipes, p, pipe_end, next);
	free(p);
}

static void
pipe_drained(struct pipe_end *p)
{
	if (p->flags & PIPE_DRAINED)
		return;
	p->flags |= PIPE_DRAINED;
	if (p->flags & PIPE_ENDED)
		process_check(p->stream->process, p->generation);
}

/* End of file: no process has this pipe any more. */
void
pipe_finish(struct pipe_end *p)
{
	struct stream *s = p->stream;
	struct wire w;

	pipe_close(p);
	sink_push(s, 1);
	console_push(s, 1);
	wire_init(&w);
	wire_put_u32(&w, s->process->id);
	wire_put_u32(&w, p->generation);
	wire_put_u8(&w, s->number);
	(void)channel_send_wire(relay.parent, IMSG_STREAM_CLOSED, 0, -1, &w);
	wire_free(&w);
	/* Its exit may be told later: then there is nothing to wait for. */
	pipe_drained(p);
	pipe_free(p);
}

/* Stops or goes on with all pipes of a stream. */
void
stream_watch(struct stream *s, int on)
{
	struct pipe_end *p;

	SLIST_FOREACH (p, &s->pipes, next) {
		if (!on)
			pipe_unwatch(p);
		else if (!(p->flags & PIPE_STUCK))
			pipe_watch(p);
	}
}

static void
pipe_stuck(struct pipe_end *p)
{
	stuck(p);
	pipe_unwatch(p);
}

/* ---- moving bytes ---------------------------------------------------------
 */

/* Readers whose next byte has been overwritten go on at what is left. */
void
stream_skip(struct stream *s)
{
	uint64_t start = journal_start(&s->journal);

	sink_skip(s, start);
	console_skip(s, start);
}

static void
stream_want_journal(struct stream *s)
{
	struct wire w;

	if (s->state & STATE_WANTED)
		return;
	s->state |= STATE_WANTED;
	/* Should it not come, it is asked for again. */
	stuck_arm();
	wire_init(&w);
	wire_put_u32(&w, s->process->id);
	wire_put_u8(&w, s->number);
	(void)channel_send_wire(
	    relay.parent, IMSG_STREAM_JOURNAL_WANTED, 0, -1, &w);
	wire_free(&w);
}

static uint32_t
stream_lap(const struct stream *s)
{
	return (s->capture + (uint32_t)JOURNAL_LAP_MIN - 1) /
	    (uint32_t)JOURNAL_LAP_MIN * (uint32_t)JOURNAL_LAP_MIN;
}

/*
 * Splices.  A reader that works must not lose what it holds back (a line
 * without its end); one that is slow or fails is not waited for, unless
 * the stream wants that.
 */
static ssize_t
stream_splice(struct pipe_end *p, size_t max, int force)
{
	struct stream *s = p->stream;
	int wait = !force && (s->flags & STREAM_BLOCK) != 0;
	uint64_t sink = sink_oldest(s, !wait);
	uint64_t console = console_oldest(s, !wait);
	uint32_t lap = stream_lap(s);
	ssize_t n;

	n = journal_splice(
	    &s->journal, p->fd, max, lap, sink < console ? sink : console);
	if (n == -1 && errno == ENOBUFS && !wait)
		n = journal_splice(&s->journal, p->fd, max, lap, UINT64_MAX);
	return n;
}

static void
pipe_grow(struct pipe_end *p)
{
	if (p->flags & PIPE_GROWN)
		return;
	p->flags |= PIPE_GROWN;
	if (journal_grow(p->fd) == 0)
		p->flags |= PIPE_LARGE;
}

/*
 * One splice and what follows from it.  `force`: readers are not waited for.
 * Returns as journal_splice().
 */
static ssize_t
stream_take(struct pipe_end *p, size_t max, int force)
{
	struct stream *s = p->stream;
	ssize_t n;

	n = stream_splice(p, max, force);
	if (n <= 0)
		return n;
	p->flags &= ~(unsigned int)PIPE_TOLD;
	stream_cell(s)->offset = s->journal.end;
	stream_skip(s);
	if (n >= GROW_FROM && ready_count <= GROW_FEW)
		pipe_grow(p);
	sink_push(s, 0);
	console_push(s, 0);
	follow_push(s);
	return n;
}

int
pipe_empty(struct pipe_end *p, int force)
{
	struct stream *s = p->stream;
	size_t left = p->fd == -1 ? 0 : journal_waiting(p->fd);

	if (left > 0 && s->journal.fd == -1) {
		stream_want_journal(s);
		pipe_unwatch(p);
		return -1;
	}
	while (left > 0) {
		ssize_t n = stream_take(p, left, force);

		if (n == -1 && errno == ENOBUFS && !force)
			break; /* its writer waits */
		if (n == -1 && errno != EAGAIN) {
			pipe_stuck(p);
			return -1;
		}
		if (n <= 0)
			break;
		left -= (size_t)n < left ? (size_t)n : left;
	}
	return 0;
}

void
pipe_drain(struct pipe_end *p)
{
	struct stream *s = p->stream;

	if (pipe_empty(p, 1) == -1)
		return;
	sink_push(s, 1);
	console_push(s, 1);
	pipe_drained(p);
}

/* Returns the number of bytes moved. */
static size_t
pipe_readable(struct pipe_end *p, int hangup)
{
	struct stream *s = p->stream;
	ssize_t more = 0;
	ssize_t n;

	if (s->journal.fd == -1) {
		if (journal_waiting(p->fd) > 0) {
			stream_want_journal(s);
			pipe_unwatch(p);
		} else if (hangup)
			pipe_finish(p);
		return 0;
	}
	n = stream_take(p, SPLICE_TURN, 0);
	if (n > 0) {
		/* The rest, which found no place in this lap. */
		if (s->journal.end - s->journal.base >= stream_lap(s))
			more = stream_take(p, SPLICE_TURN, 0);
		return (size_t)(more > 0 ? n + more : n);
	}
	if (n == 0)
		pipe_finish(p);
	else if (errno == ENOBUFS && (s->flags & STREAM_BLOCK)) {
		s->state |= STATE_PARKED;
		stream_watch(s, 0);
	} else if (errno != EAGAIN)
		pipe_stuck(p);
	return 0;
}

static int64_t
now_ns(void)
{
	struct timespec now;

	(void)clock_gettime(CLOCK_MONOTONIC, &now);
	return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

/* What came of one look at several pipes. */
struct turn {
	size_t moved; /* pipes of which something was taken */
	size_t bytes;
	size_t room; /* of those pipes, bytes */
};

static void
turn_add(struct turn *t, const struct pipe_end *p, size_t n)
{
	t->moved++;
	t->bytes += n;
	t->room += p->flags & PIPE_LARGE ? GROWN_PIPE : SMALL_PIPE;
}

/*
 * Milliseconds after which, at the rate of this look, most writers would not
 * have to wait for us yet, though timers be late.  0: they had to, or would;
 * it does not matter if all of them together write as much as we can take.
 */
static unsigned int
tick(const struct turn *t, int64_t ns)
{
	size_t part = t->bytes / (t->room / FULL + 1);
	size_t rate = part * MILLISECOND / ((size_t)ns + 1) + 1;

	if (part > ALMOST_FULL || ALMOST_FULL / rate < 2)
		return t->room >= PLENTY;
	if (HALF_FULL / rate < 2)
		return 1;
	return HALF_FULL / rate > TICK_MOST ?
	    TICK_MOST :
	    (unsigned int)(HALF_FULL / rate) - 1;
}

static int
is_tiny(const struct turn *t)
{
	return t->bytes < t->moved * TINY_SPLICE;
}

/* Whether it is time to put pipes there: line comes after line. */
static int
is_busy(const struct turn *t)
{
	static unsigned int tiny; /* turns in a row */
	static int64_t last;
	int64_t now = now_ns();

	tiny = is_tiny(t) && now - last < BUSY_NS ? tiny + 1 : 0;
	last = now;
	if (t->room >= PLENTY && t->bytes >= t->moved * SMALL_SPLICE)
		return 1;
	return tiny >= BUSY_TURNS && now >= hot.pause_end;
}

static void
hot_cool(struct pipe_end *p)
{
	pipe_unwatch(p);
	pipe_watch(p);
}

/*
 * Takes what is in them; from the end, as the last one replaces who goes.
 * Where many share a processor each writes now and then only: they stay for
 * a while as long as others write.
 */
static void
hot_take(struct turn *t, int sweep)
{
	size_t i;
	size_t n;

	for (i = hot.count; i-- > 0;) {
		struct pipe_end *p;

		if (i >= hot.count)
			continue;
		p = hot.pipes[i];
		n = pipe_readable(p, 0);
		if (n > 0)
			turn_add(t, p, n);
		if (i >= hot.count || hot.pipes[i] != p)
			continue; /* it has gone */
		if (n > 0)
			p->flags |= PIPE_TOOK;
		else if (sweep && !(p->flags & PIPE_TOOK))
			hot_cool(p);
		if (sweep)
			p->flags &= ~(unsigned int)PIPE_TOOK;
	}
}

static void
hot_cool_all(void)
{
	while (hot.count > 0)
		hot_cool(hot.pipes[hot.count - 1]);
}

/*
 * Writers for whom we are too slow here (several times in a row, as timers
 * may be very late) are not tried again at once.
 */
static void
hot_give_up(int64_t now)
{
	hot.late = 0;
	hot.pause_end = now + hot.pause;
	if (hot.pause < PAUSE_MAX_NS)
		hot.pause *= 2;
	hot_cool_all();
}

static void
hot_cb(int fd, short events, void *arg)
{
	struct turn t = {0};
	int64_t now = now_ns();
	unsigned int length;

	(void)fd;
	(void)events;
	(void)arg;
	hot_take(&t, now > hot.sweep);
	if (now > hot.sweep)
		hot.sweep = now + SWEEP_NS;
	if (t.bytes == 0)
		hot_cool_all();
	if (hot.count == 0)
		return;
	length = tick(&t, now - hot.last);
	hot.last = now;
	if (length > 0) {
		hot.late = 0;
		hot.pause = PAUSE_MIN_NS;
	} else if (++hot.late == LATE_MOST) {
		hot_give_up(now);
		return;
	}
	relay_arm(hot.timer, length > 0 ? length : 1);
}

static void
hot_add(struct pipe_end *p)
{
	if (!(p->flags & PIPE_WATCHED) || hot.count == HOT_MOST)
		return;
	pipe_unwatch(p);
	p->flags |= PIPE_HOT | PIPE_TOOK;
	hot.pipes[hot.count++] = p;
	if (!evtimer_pending(hot.timer, NULL)) {
		hot.last = now_ns();
		relay_arm(hot.timer, 1);
	}
}

/*
 * A turn: one splice for each pipe that is readable, so that none waits for
 * another.  Programs that write line by line would cost a turn each line, so
 * their lines are let come together.  What a process wrote before its exit
 * is taken at once all the same.
 */
static void
pump_cb(int fd, short events, void *arg)
{
	static const struct timespec nap = {0, NAP_NS};
	struct watched ready[WATCH_BATCH];
	struct pipe_end *moved[WATCH_BATCH];
	struct turn t = {0};
	size_t i;

	(void)fd;
	(void)events;
	(void)arg;
	ready_count = watch_ready(ready);
	for (i = 0; i < (size_t)ready_count; i++) {
		struct pipe_end *p = ready[i].arg;
		size_t n = pipe_readable(p, ready[i].hangup);

		if (n == 0)
			continue; /* it may have gone */
		moved[t.moved] = p;
		turn_add(&t, p, n);
	}
	if (is_busy(&t))
		for (i = 0; i < t.moved; i++)
			hot_add(moved[i]);
	else if (is_tiny(&t))
		(void)nanosleep(&nap, NULL);
}

/* Tries again what could not be spliced, or still has no journal. */
static void
stream_unstick(struct stream *s)
{
	int wanted = (s->state & STATE_WANTED) && s->journal.fd == -1;
	struct pipe_end *p;

	if (wanted)
		s->state &= (uint8_t)~STATE_WANTED;
	SLIST_FOREACH (p, &s->pipes, next) {
		if (!wanted && !(p->flags & PIPE_STUCK))
			continue;
		p->flags &= ~(unsigned int)PIPE_STUCK;
		if (!(s->state & STATE_PARKED))
			pipe_watch(p);
		if ((p->flags & (PIPE_ENDED | PIPE_DRAINED)) == PIPE_ENDED)
			pipe_drain(p);
	}
}

static void
stuck_cb(int fd, short events, void *arg)
{
	(void)fd;
	(void)events;
	(void)arg;
	stream_each(stream_unstick);
}

void
pump_init(void)
{
	watch_event = event_new(
	    relay.base, watch_init(), EV_READ | EV_PERSIST, pump_cb, NULL);
	hot.timer = evtimer_new(relay.base, hot_cb, NULL);
	hot.pause = PAUSE_MIN_NS;
	stuck_timer = evtimer_new(relay.base, stuck_cb, NULL);
	if (watch_event == NULL || hot.timer == NULL || stuck_timer == NULL)
		fatalx("event_new failed");
	/* After the parent: its texts come before what they announce. */
	if (event_priority_set(watch_event, 1) == -1 ||
	    event_priority_set(hot.timer, 1) == -1 ||
	    event_add(watch_event, NULL) == -1)
		fatalx("event_add failed");
}
