#include <sys/types.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <bsd/sys/tree.h>

#include <event2/event.h>

#include "channel.h"
#include "component.h"
#include "imsg.h"
#include "log.h"
#include "relay.h"
#include "wire.h"

/*
 * Readers of journals: the workers of httpd, and the manager for a few last
 * lines.  A worker is not trusted: what it asks is bounded in number and in
 * work, and one that does not read its answers gets no more of them.
 */

#define READ_SIZE ((size_t)MAX_READ)
#define MAX_WAITING 4096 /* requests of a worker */
#define MAX_QUEUED (1024UL * 1024) /* bytes of answers not yet taken */
#define MAX_SCAN (4UL * 1024 * 1024) /* bytes looked through for lines */
#define SCAN_CHUNK 8192
#define STALLED_MS 5

/* What a READ may ask for in `wait`. */
#define WAIT_NOT 0
#define WAIT_NEWS 1 /* bytes, or an end that comes from now on */
#define WAIT_STATE 2 /* bytes, or an end, also one that was there before */

/* A request that cannot be answered now. */
struct waiter {
	LIST_ENTRY(waiter) of_stream;
	RB_ENTRY(waiter) of_worker;
	struct stream *stream;
	struct worker *worker;
	uint64_t from;
	uint32_t id;
	int due; /* it could, but the worker does not read */
};

RB_HEAD(waiter_tree, waiter);

struct worker {
	struct channel *channel; /* NULL: not there */
	struct waiter_tree waiters;
	unsigned int count;
	unsigned int stalled; /* requests that are due */
};

static struct worker workers[MAX_WORKERS];
static struct event *stalled_timer;

static int
waiter_compare(const struct waiter *a, const struct waiter *b)
{
	return a->id < b->id ? -1 : a->id > b->id;
}

RB_GENERATE_INTERNAL(waiter_tree, waiter, of_worker, waiter_compare,
    __attribute__((unused)) static)

static void
waiter_free(struct waiter *w)
{
	LIST_REMOVE(w, of_stream);
	RB_REMOVE(waiter_tree, &w->worker->waiters, w);
	w->worker->count--;
	w->worker->stalled -= w->due != 0;
	free(w);
}

/* ---- answers ---------------------------------------------------------------
 */

static void
refuse(struct worker *worker, uint32_t id, int error)
{
	struct wire w;

	wire_init(&w);
	wire_put_i32(&w, error);
	wire_put_u64(&w, 0);
	wire_put_u64(&w, 0);
	wire_put_u32(&w, 0);
	wire_put_u8(&w, 1);
	wire_put_bytes(&w, "", 0);
	(void)channel_send_wire(
	    worker->channel, IMSG_STREAM_READ_DONE, id, -1, &w);
	wire_free(&w);
}

/*
 * One answer: at most MAX_READ bytes, all of one generation as far as that
 * is known.
 */
static void
answer(
    struct worker *worker, uint32_t id, const struct stream *s, uint64_t from)
{
	uint64_t start = journal_start(&s->journal);
	uint64_t end = s->journal.end;
	uint64_t lost = from < start ? start - from : 0;
	uint32_t generation;
	uint8_t *buf;
	size_t len;
	struct wire w;

	from += lost;
	if (from > end)
		from = end;
	generation = birth_find(s, from, &end);
	len = end - from < READ_SIZE ? (size_t)(end - from) : READ_SIZE;
	buf = buffer_get(len);
	if (journal_read(&s->journal, from, buf, len) == -1) {
		refuse(worker, id, EIO);
		return;
	}
	wire_init(&w);
	wire_put_i32(&w, 0);
	wire_put_u64(&w, from);
	wire_put_u64(&w, lost);
	wire_put_u32(&w, generation);
	wire_put_u8(&w, from + len == s->journal.end && stream_ended(s));
	wire_put_bytes(&w, buf, len);
	(void)channel_send_wire(
	    worker->channel, IMSG_STREAM_READ_DONE, id, -1, &w);
	wire_free(&w);
}

/* The worker has answers enough that it has not read. */
static int
congested(const struct worker *worker)
{
	return channel_queued(worker->channel) > MAX_QUEUED;
}

static void
waiter_due(struct waiter *w)
{
	if (!w->due) {
		w->due = 1;
		w->worker->stalled++;
	}
	if (!evtimer_pending(stalled_timer, NULL))
		relay_arm(stalled_timer, STALLED_MS);
}

/* Answers, and frees it, or leaves it for later. */
static void
waiter_answer(struct waiter *w)
{
	if (congested(w->worker)) {
		waiter_due(w);
		return;
	}
	answer(w->worker, w->id, w->stream, w->from);
	waiter_free(w);
}

static void
worker_resume(struct worker *worker)
{
	struct waiter *next;
	struct waiter *w;

	(void)channel_flush(worker->channel);
	for (w = RB_MIN(waiter_tree, &worker->waiters);
	     w != NULL && !congested(worker); w = next) {
		next = RB_NEXT(waiter_tree, &worker->waiters, w);
		if (w->due)
			waiter_answer(w);
	}
}

static void
stalled_cb(int fd, short events, void *arg)
{
	size_t i;
	int again = 0;

	(void)fd;
	(void)events;
	(void)arg;
	for (i = 0; i < MAX_WORKERS; i++) {
		if (workers[i].channel == NULL || workers[i].stalled == 0)
			continue;
		worker_resume(&workers[i]);
		again |= workers[i].stalled > 0;
	}
	if (again)
		relay_arm(stalled_timer, STALLED_MS);
}

void
follow_push(struct stream *s)
{
	struct waiter *next;
	struct waiter *w;

	for (w = LIST_FIRST(&s->waiters); w != NULL; w = next) {
		next = LIST_NEXT(w, of_stream);
		if (w->from < s->journal.end || stream_ended(s))
			waiter_answer(w);
	}
}

void
follow_forget(struct stream *s)
{
	struct waiter *next;
	struct waiter *w;

	for (w = LIST_FIRST(&s->waiters); w != NULL; w = next) {
		next = LIST_NEXT(w, of_stream);
		refuse(w->worker, w->id, ESRCH);
		waiter_free(w);
	}
}

/* ---- lines ------------------------------------------------------------------
 */

/*
 * Offset where the last `lines` lines begin, MAX_SCAN back at most; the first
 * of those that are kept may have lost its begin and does not count.
 */
static uint64_t
lines_back(const struct stream *s, uint32_t lines)
{
	uint64_t start = journal_start(&s->journal);
	uint64_t end = s->journal.end;
	uint64_t at = end;
	uint64_t first = 0;

	if (end - start > MAX_SCAN)
		start = end - MAX_SCAN;
	while (at > start) {
		size_t len =
		    at - start < SCAN_CHUNK ? (size_t)(at - start) : SCAN_CHUNK;
		uint8_t *buf = buffer_get(len);

		at -= len;
		if (journal_read(&s->journal, at, buf, len) == -1)
			return end;
		while (len-- > 0) {
			/* The end of the last line begins no other. */
			if (buf[len] != '\n' || at + len + 1 == end)
				continue;
			first = at + len + 1;
			if (--lines == 0)
				return first;
		}
	}
	return start > 0 && first > 0 ? first : start;
}

/* Resolves what was asked for to an offset. */
static uint64_t
read_from(const struct stream *s, int64_t from, uint32_t lines)
{
	uint64_t start = journal_start(&s->journal);
	uint64_t end = s->journal.end;
	uint64_t at;
	uint64_t line;

	if (from >= 0)
		at = (uint64_t)from < end ? (uint64_t)from : end;
	else
		at = (uint64_t) - (from + 1) < end - start ?
		    end - (uint64_t) - (from + 1) - 1 :
		    start;
	if (lines == 0)
		return at;
	line = lines_back(s, lines);
	return line > at ? line : at;
}

/* ---- messages
 * ------------------------------------------------------------------ */

static int
wait_for(struct worker *worker, uint32_t id, struct stream *s, uint64_t from,
    int due)
{
	struct waiter *w;

	if (worker->count >= MAX_WAITING) {
		refuse(worker, id, EAGAIN);
		return 0;
	}
	w = calloc(1, sizeof(*w));
	if (w == NULL)
		return -1;
	w->stream = s;
	w->worker = worker;
	w->from = from;
	w->id = id;
	if (RB_INSERT(waiter_tree, &worker->waiters, w) != NULL) {
		free(w);
		return -1;
	}
	worker->count++;
	LIST_INSERT_HEAD(&s->waiters, w, of_stream);
	if (due)
		waiter_due(w);
	return 0;
}

static int
follow_read(struct worker *worker, struct imsg *imsg)
{
	struct stream *s;
	struct wire_reader r;
	uint64_t at;
	int64_t from;
	uint32_t process;
	uint32_t lines;
	uint32_t id = imsg_get_id(imsg);
	uint8_t number;
	uint8_t wait;

	message_read(&r, imsg);
	process = wire_get_u32(&r);
	number = wire_get_u8(&r);
	from = wire_get_i64(&r);
	lines = wire_get_u32(&r);
	wait = wire_get_u8(&r);
	if (wire_end(&r) == -1 || wait > WAIT_STATE)
		return -1;
	s = stream_find(process, number);
	if (s == NULL) {
		refuse(worker, id, ESRCH);
		return 0;
	}
	at = read_from(s, from, lines);
	if (at == s->journal.end && wait != WAIT_NOT &&
	    !(wait == WAIT_STATE && stream_ended(s)))
		return wait_for(worker, id, s, at, 0);
	if (congested(worker))
		return wait_for(worker, id, s, at, 1);
	answer(worker, id, s, at);
	return 0;
}

static int
follow_cancel(struct worker *worker, struct imsg *imsg)
{
	struct waiter key = {.id = imsg_get_id(imsg)};
	struct waiter *w;

	if (imsg_get_len(imsg) != 0)
		return -1;
	w = RB_FIND(waiter_tree, &worker->waiters, &key);
	/* Its answer may be under way. */
	if (w != NULL)
		waiter_free(w);
	return 0;
}

static int
follow_dispatch(struct channel *c, struct imsg *imsg, void *arg)
{
	struct worker *worker = arg;

	(void)c;
	switch (imsg_get_type(imsg)) {
	case IMSG_STREAM_READ:
		return follow_read(worker, imsg);
	case IMSG_STREAM_READ_CANCEL:
		return follow_cancel(worker, imsg);
	default:
		return -1;
	}
}

static void
worker_drop(struct worker *worker)
{
	struct waiter *next;
	struct waiter *w;

	for (w = RB_MIN(waiter_tree, &worker->waiters); w != NULL; w = next) {
		next = RB_NEXT(waiter_tree, &worker->waiters, w);
		waiter_free(w);
	}
	channel_free(worker->channel);
	worker->channel = NULL;
}

static void
follow_lost(struct channel *c, const char *why, void *arg)
{
	struct worker *worker = arg;

	(void)c;
	log_debug("httpd %d: %s", (int)(worker - workers), why);
	component_peer_lost(ROLE_HTTPD, (uint32_t)(worker - workers), why);
	worker_drop(worker);
}

void
follow_init(void)
{
	stalled_timer = evtimer_new(relay.base, stalled_cb, NULL);
	if (stalled_timer == NULL)
		fatalx("evtimer_new failed");
}

int
follow_peer(uint32_t instance, int fd)
{
	struct worker *worker;

	if (instance >= MAX_WORKERS) {
		(void)close(fd);
		return -1;
	}
	worker = &workers[instance];
	worker_drop(worker);
	worker->channel = channel_new(
	    relay.base, fd, 0, follow_dispatch, follow_lost, worker);
	if (worker->channel == NULL)
		fatal("no channel to httpd %u", instance);
	/* Not before the parent. */
	channel_set_priority(worker->channel, 1);
	return 0;
}

/*
 * Appends the last lines of a stream, `max` bytes at most.  Returns the
 * number of bytes.
 */
static size_t
tail_put(uint8_t *to, const struct stream *s, uint32_t lines, size_t max)
{
	uint64_t at;
	size_t len;

	if (s == NULL || lines == 0)
		return 0;
	at = lines_back(s, lines);
	if (s->journal.end - at > max)
		at = s->journal.end - max;
	len = (size_t)(s->journal.end - at);
	if (journal_read(&s->journal, at, to, len) == -1)
		return 0;
	return len;
}

int
follow_tail(struct imsg *imsg)
{
	uint8_t tail[READ_SIZE];
	struct wire_reader r;
	struct wire w;
	uint32_t process;
	uint32_t lines;
	uint8_t number;
	size_t len;

	message_read(&r, imsg);
	process = wire_get_u32(&r);
	number = wire_get_u8(&r);
	lines = wire_get_u32(&r);
	if (wire_end(&r) == -1 || number > CELLS_PER_SLOT)
		return -1;
	if (number != 0)
		len = tail_put(
		    tail, stream_find(process, number), lines, READ_SIZE);
	else {
		const struct stream *err = stream_find(process, STREAM_STDERR);

		len = tail_put(tail, stream_find(process, STREAM_STDOUT), lines,
		    err == NULL ? READ_SIZE : READ_SIZE / 2);
		len += tail_put(tail + len, err, lines, READ_SIZE - len);
	}
	wire_init(&w);
	wire_put_bytes(&w, tail, len);
	(void)channel_send_wire(
	    relay.manager, IMSG_STREAM_TAIL_DONE, imsg_get_id(imsg), -1, &w);
	wire_free(&w);
	return 0;
}
