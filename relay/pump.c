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
#define SMALL_SPLICE (16UL * 1024)
#define TINY_SPLICE 2048
#define NAP_MOST 5 /* ms */
#define SHORT_NAP_NS 50000
#define MILLISECOND 1000000L
#define FULL 1024
#define HALF_FULL 512
#define STUCK_MS 1000

static struct event *watch_event;
static struct event *nap_timer;
static struct event *stuck_timer;
static int ready_count; /* pipes that were readable together */

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
	if ((p->flags & PIPE_WATCHED) || p->fd == -1)
		return;
	if (watch_add(p->fd, p) == -1)
		stuck(p);
	else
		p->flags |= PIPE_WATCHED;
}

static void
pipe_unwatch(struct pipe_end *p)
{
	if (p->flags & PIPE_WATCHED)
		watch_remove(p->fd);
	p->flags &= ~(unsigned int)PIPE_WATCHED;
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

/*
 * The process has ended: what is in the pipe now is moved, and no more, as
 * a grandchild may go on writing for ever.
 */
void
pipe_drain(struct pipe_end *p)
{
	struct stream *s = p->stream;
	size_t left = journal_waiting(p->fd);

	if (left > 0 && s->journal.fd == -1) {
		stream_want_journal(s);
		pipe_unwatch(p);
		return;
	}
	while (left > 0) {
		ssize_t n = stream_take(p, left, 1);

		if (n == -1 && errno != EAGAIN) {
			pipe_stuck(p);
			return;
		}
		if (n <= 0)
			break;
		left -= (size_t)n < left ? (size_t)n : left;
	}
	sink_push(s, 1);
	console_push(s, 1);
	pipe_drained(p);
}

/* Returns the number of bytes moved. */
static size_t
pipe_readable(struct pipe_end *p, int hangup)
{
	struct stream *s = p->stream;
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
	if (n > 0)
		return (size_t)n;
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

static void
pumps_watch(void)
{
	if (event_add(watch_event, NULL) == -1)
		fatalx("event_add failed");
}

static void
nap_cb(int fd, short events, void *arg)
{
	(void)fd;
	(void)events;
	(void)arg;
	pumps_watch();
}

/* What came of one look at all pipes. */
struct turn {
	size_t moved; /* pipes of which something was taken */
	size_t bytes;
	size_t filled; /* 1/FULL of the one that had the most for its size */
	int more; /* pipes are readable that were not looked at */
};

static void
turn_add(struct turn *t, const struct pipe_end *p, size_t n)
{
	size_t filled =
	    n / ((p->flags & PIPE_LARGE ? GROWN_PIPE : SMALL_PIPE) / FULL);

	t->moved++;
	t->bytes += n;
	if (t->filled < filled)
		t->filled = filled;
}

/*
 * Milliseconds after which, at the rate of the last one, no writer would have
 * to wait for us yet.
 */
static unsigned int
nap_length(const struct turn *t, int64_t now)
{
	static int64_t since;
	static size_t filled;
	static unsigned int length;
	size_t rate; /* 1/FULL of a pipe in a millisecond */
	int64_t ns = now - since;

	filled += t->filled;
	if (ns < MILLISECOND)
		return length;
	rate = filled * MILLISECOND / (size_t)ns + 1;
	/* After a silence nothing is known; and timers are late. */
	if (ns > (NAP_MOST + 2) * MILLISECOND || HALF_FULL / rate < 2)
		length = 0;
	else
		length = HALF_FULL / rate > NAP_MOST ?
		    NAP_MOST :
		    (unsigned int)(HALF_FULL / rate) - 1;
	since = now;
	filled = 0;
	return length;
}

/* Lets lines come together. */
static void
nap(const struct turn *t)
{
	static const struct timespec short_nap = {0, SHORT_NAP_NS};
	unsigned int length = nap_length(t, now_ns());

	if (t->more || t->bytes >= t->moved * SMALL_SPLICE)
		return;
	if (length > 0) {
		(void)event_del(watch_event);
		relay_arm(nap_timer, length);
	} else if (t->bytes < t->moved * TINY_SPLICE)
		(void)nanosleep(&short_nap, NULL);
}

/*
 * A turn: one splice for each pipe that is readable, so that none waits for
 * another.  Programs that write line by line would cost a turn each line;
 * naps let lines come together (measured with 100-byte writes of one and
 * of ten programs: 0.5 and 0.8 GB for a CPU second instead of 0.2 and 0.55).
 * Only the pipes wait in the meantime; what a process wrote before its exit
 * is taken at once.
 */
static void
pump_cb(int fd, short events, void *arg)
{
	struct watched ready[WATCH_BATCH];
	struct turn t = {0};
	int count;
	int i;

	(void)fd;
	(void)events;
	(void)arg;
	count = watch_ready(ready);
	ready_count = count;
	t.more = count == WATCH_BATCH;
	for (i = 0; i < count; i++) {
		struct pipe_end *p = ready[i].arg;
		size_t n = pipe_readable(p, ready[i].hangup);

		if (n > 0) /* else it may have gone */
			turn_add(&t, p, n);
	}
	nap(&t);
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
	nap_timer = evtimer_new(relay.base, nap_cb, NULL);
	stuck_timer = evtimer_new(relay.base, stuck_cb, NULL);
	if (watch_event == NULL || nap_timer == NULL || stuck_timer == NULL)
		fatalx("event_new failed");
	/* After the parent: its texts come before what they announce. */
	if (event_priority_set(watch_event, 1) == -1)
		fatalx("event_priority_set failed");
	pumps_watch();
}
