#include <sys/types.h>
#include <sys/stat.h>

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <event2/event.h>

#include "channel.h"
#include "imsg.h"
#include "log.h"
#include "relay.h"
#include "wire.h"

/*
 * musterd's own standard output and standard error: texts of the manager,
 * and the output of jobs that is to be shown.
 *
 * Each has a queue of what is still to be written, in the order in which it
 * came.  A text is kept in its item; of a stream the item says only how far
 * it is to be shown, the bytes stay in the journal, and further ones extend
 * the item unless a text has come in between.  So a terminal that stands
 * still holds up nobody and costs little: the journal goes on and what it
 * overwrites is told as "not shown".
 */

#define QUEUE_LIMIT (1024UL * 1024) /* bytes of texts and items */
#define RAW_CHUNK (64UL * 1024)
#define LINE_CHUNK (16UL * 1024) /* read for lines with a prefix */
#define LINE_WAIT 4096 /* bytes of a line that is waited for */
#define RETRY_MIN 100 /* ms */
#define RETRY_MAX 10000

/* CONSOLE_FLUSH of a manager, answered when both queues have come to it. */
struct flush {
	LIST_ENTRY(flush) next;
	uint32_t id;
	unsigned int left; /* items of it */
	int forgotten; /* the manager has gone */
};

struct console_item {
	TAILQ_ENTRY(console_item) next;
	struct stream *stream; /* shown, or of which text is a rest */
	struct flush *flush;
	uint64_t until; /* of the stream */
	uint64_t serial; /* texts that came before */
	uint64_t number; /* of a text of others, 0 if it is none */
	size_t len; /* of text; 0: show the stream */
	size_t done;
	int all; /* the last line too, if it has no end */
	int notice; /* begins a line of its own, whatever came before */
	char text[];
};

struct console {
	TAILQ_HEAD(item_list, console_item) items;
	struct event *ready; /* it can be written */
	struct event *timer; /* where that is not told */
	const struct stream *partial_of; /* of which a line is unfinished */
	uint64_t serial; /* texts that were queued */
	uint64_t written; /* no text before or at this one is in the queue */
	size_t texts; /* that are */
	uint64_t unseen; /* bytes of streams that were overwritten */
	uint64_t lost; /* bytes of texts that found no room */
	size_t bytes; /* in the queue */
	uint32_t flags; /* CONSOLE_* */
	unsigned int delay; /* ms, of `timer` */
	int fd;
	uint8_t gone; /* its reader, or there never was one (fd is -1) */
	uint8_t waiting; /* for `ready` or `timer` */
	uint8_t clear; /* CONSOLE_BLOCKING: a write will not block */
	uint8_t partial; /* a line with a prefix has no end yet */
	uint8_t open; /* the last byte was not the end of a line */
};

/* Results of a step. */
enum step { STEP_MORE, STEP_DONE, STEP_WAIT };

static struct console consoles[2];
static LIST_HEAD(flush_list, flush) flushes = LIST_HEAD_INITIALIZER(flushes);
static uint64_t received; /* texts, of this relay and those before */
static uint64_t *finished; /* of these; read by the parent */
static int console_same; /* both are the same terminal, file or pipe */

static void console_run(struct console *);

/* number: 1 or 2. */
static struct console *
console_for(unsigned int number)
{
	return &consoles[number == 2 && !console_same];
}

void
console_init(void)
{
	size_t i;

	for (i = 0; i < 2; i++) {
		TAILQ_INIT(&consoles[i].items);
		consoles[i].fd = -1;
		/* The parent opens it before it sends anything, or never. */
		consoles[i].gone = 1;
	}
}

static struct console *
console_of(const struct stream *s)
{
	return console_for(s->flags & STREAM_SHOW_STDERR ? 2 : 1);
}

static void
show_store(struct stream *s, uint64_t show)
{
	s->show = show;
	stream_cell(s)->show = show;
}

/* ---- items ----------------------------------------------------------------
 */

static struct console_item *
item_new(const struct console *c, const char *text, size_t len)
{
	struct console_item *item;

	item = calloc(1, sizeof(*item) + len);
	if (item == NULL)
		fatal("console");
	item->len = len;
	item->serial = c->serial;
	if (len > 0)
		memcpy(item->text, text, len);
	return item;
}

static void
item_append(struct console *c, struct console_item *item)
{
	c->bytes += sizeof(*item) + item->len;
	TAILQ_INSERT_TAIL(&c->items, item, next);
}

static void
flush_done(struct flush *flush)
{
	if (--flush->left > 0)
		return;
	if (!flush->forgotten)
		relay_send_flushed(flush->id);
	LIST_REMOVE(flush, next);
	free(flush);
}

/* What the parent need not keep for a relay that comes after us. */
static void
texts_finished(void)
{
	uint64_t upto = received;
	size_t i;

	for (i = 0; i < 2; i++)
		if (consoles[i].texts > 0 && consoles[i].written < upto)
			upto = consoles[i].written;
	if (finished != NULL)
		*finished = upto;
}

/* Takes it from the queue.  Its stream may be gone afterwards. */
static void
item_free(struct console *c, struct console_item *item)
{
	struct stream *s = item->stream;

	c->bytes -= sizeof(*item) + item->len;
	TAILQ_REMOVE(&c->items, item, next);
	if (item->flush != NULL)
		flush_done(item->flush);
	if (s != NULL && s->shown == item)
		s->shown = NULL;
	if (item->number != 0) {
		c->texts--;
		c->written = item->number;
		texts_finished();
	}
	free(item);
	if (s != NULL)
		stream_progress(s);
}

/* A line of our own about what is missing at this place. */
static struct console_item *
notice_new(const struct console *c, uint64_t bytes)
{
	struct console_item *item;
	char text[64];
	int n;

	n = snprintf(text, sizeof(text), "musterd: %llu bytes not shown\n",
	    (unsigned long long)bytes);
	if (n < 0)
		n = 0;
	item = item_new(c, text, (size_t)n);
	item->notice = 1;
	return item;
}

/* ---- writing ---------------------------------------------------------------
 */

/* Nobody reads it any more: all that was to be shown is done with. */
static void
console_hangup(struct console *c)
{
	struct console_item *item;

	c->gone = 1;
	c->waiting = 0;
	if (c->ready != NULL)
		event_free(c->ready);
	c->ready = NULL;
	if (c->fd != -1)
		(void)close(c->fd);
	c->fd = -1;
	while ((item = TAILQ_FIRST(&c->items)) != NULL) {
		if (item->stream != NULL)
			show_store(item->stream, item->stream->journal.end);
		item_free(c, item);
	}
}

static void
console_again_cb(int fd, short events, void *arg)
{
	struct console *c = arg;

	(void)fd;
	c->waiting = 0;
	c->clear = (events & EV_WRITE) != 0;
	console_run(c);
}

static void
console_wait(struct console *c, int polled)
{
	c->waiting = 1;
	/* Not everything can be polled: a file, /dev/null. */
	if (polled && c->ready != NULL && event_add(c->ready, NULL) == 0)
		return;
	if (c->timer == NULL)
		c->timer = evtimer_new(relay.base, console_again_cb, c);
	if (c->timer == NULL)
		fatalx("evtimer_new failed");
	c->delay = c->delay == 0 ? RETRY_MIN : c->delay * 2;
	if (c->delay > RETRY_MAX)
		c->delay = RETRY_MAX;
	relay_arm(c->timer, c->delay);
}

/* Does this error of write(2) mean that nobody reads any more? */
static int
console_lost(const struct console *c, int error)
{
	switch (error) {
	case EPIPE:
	case ECONNRESET:
	case ENXIO:
	case EBADF:
		return 1;
	case EIO:
		/* A terminal that has hung up; a file may recover. */
		return (c->flags & CONSOLE_REGULAR) == 0;
	default:
		return 0;
	}
}

/*
 * Writes some of it.  Returns the number of bytes, 0 when it must be waited,
 * -1 when the reader has gone (the queue is empty then).
 */
static ssize_t
console_put(struct console *c, const void *text, size_t len)
{
	ssize_t n;

	if (c->flags & CONSOLE_BLOCKING) {
		if (len > PIPE_BUF)
			len = PIPE_BUF;
		if (!c->clear && event_add(c->ready, NULL) == 0) {
			c->waiting = 1;
			return 0;
		}
		/* What cannot be polled never blocks. */
		c->clear = 0;
	}
	do
		n = write(c->fd, text, len);
	while (n == -1 && errno == EINTR);
	if (n > 0) {
		c->delay = 0;
		c->open = ((const char *)text)[n - 1] != '\n';
		return n;
	}
	if (n == -1 && console_lost(c, errno)) {
		console_hangup(c);
		return -1;
	}
	console_wait(c, n == -1 && errno == EAGAIN);
	return 0;
}

static enum step
text_step(struct console *c, struct console_item *item)
{
	ssize_t n;

	n = console_put(c, item->text + item->done, item->len - item->done);
	if (n <= 0)
		return STEP_WAIT;
	item->done += (size_t)n;
	if (item->done < item->len)
		return STEP_MORE;
	if (item->stream != NULL)
		stream_cell(item->stream)->show = item->until;
	return STEP_DONE;
}

/* Bytes as they are. */
static enum step
raw_step(struct console *c, struct console_item *item, uint64_t until)
{
	struct stream *s = item->stream;
	uint64_t left = until - s->show;
	size_t len = left < RAW_CHUNK ? (size_t)left : RAW_CHUNK;
	uint8_t *buf = buffer_get(len);
	ssize_t n;

	if (journal_read(&s->journal, s->show, buf, len) == -1) {
		log_warn("journal of a shown stream");
		show_store(s, until);
		return STEP_DONE;
	}
	n = console_put(c, buf, len);
	if (n <= 0)
		return STEP_WAIT;
	show_store(s, s->show + (uint64_t)n);
	return s->show < until ? STEP_MORE : STEP_DONE;
}

/* Lines with their prefix, from one part of the buffer to the other. */
struct lines {
	const uint8_t *in;
	size_t in_len;
	size_t taken;
	char *out;
	size_t out_len;
	size_t out_size;
};

/* Returns 0 when the line does not fit. */
static int
lines_put(struct lines *l, const char *prefix, size_t len, int newline)
{
	size_t need = strlen(prefix) + len + (newline ? 1 : 0);

	if (need > l->out_size - l->out_len)
		return 0;
	memcpy(l->out + l->out_len, prefix, strlen(prefix));
	l->out_len += strlen(prefix);
	memcpy(l->out + l->out_len, l->in + l->taken, len);
	l->out_len += len;
	l->taken += len;
	if (newline)
		l->out[l->out_len++] = '\n';
	return 1;
}

/*
 * `inside`: the beginning of this line has been shown.  `all`: nothing
 * comes after these bytes.  Returns whether a line is left unfinished.
 */
static int
lines_compose(struct lines *l, const char *prefix, int inside, int all)
{
	while (l->taken < l->in_len) {
		const uint8_t *from = l->in + l->taken;
		size_t left = l->in_len - l->taken;
		const uint8_t *end = memchr(from, '\n', left);

		if (end == NULL && !all && left < LINE_WAIT)
			break;
		if (!lines_put(l, inside ? "" : prefix,
			end == NULL ? left : (size_t)(end - from) + 1,
			end == NULL && all))
			break;
		inside = end == NULL && !all;
	}
	return inside;
}

static enum step
lines_step(struct console *c, struct console_item *item, uint64_t until)
{
	struct stream *s = item->stream;
	uint8_t *buf = buffer_get(BUFFER_SIZE);
	struct console_item *rest;
	struct lines l = {.in = buf,
	    .out = (char *)buf + LINE_CHUNK,
	    .out_size = BUFFER_SIZE - LINE_CHUNK};
	uint64_t left = until - s->show;
	int inside = c->partial && c->partial_of == s;
	ssize_t n;

	l.in_len = left < LINE_CHUNK ? (size_t)left : LINE_CHUNK;
	if (journal_read(&s->journal, s->show, buf, l.in_len) == -1) {
		log_warn("journal of a shown stream");
		show_store(s, until);
		return STEP_DONE;
	}
	if (c->partial && !inside)
		l.out[l.out_len++] = '\n';
	inside =
	    lines_compose(&l, s->prefix, inside, item->all && l.in_len == left);
	if (l.taken == 0)
		return STEP_DONE;
	n = console_put(c, l.out, l.out_len);
	if (n <= 0)
		return STEP_WAIT;
	c->partial = inside != 0;
	c->partial_of = s;
	s->show += l.taken;
	if ((size_t)n == l.out_len) {
		show_store(s, s->show);
		return s->show < until ? STEP_MORE : STEP_DONE;
	}
	/* The rest has its prefixes already. */
	rest = item_new(c, l.out + n, l.out_len - (size_t)n);
	rest->stream = s;
	rest->until = s->show;
	c->bytes += sizeof(*rest) + rest->len;
	TAILQ_INSERT_HEAD(&c->items, rest, next);
	return STEP_MORE;
}

static enum step
stream_step(struct console *c, struct console_item *item)
{
	const struct stream *s = item->stream;
	uint64_t until = item->until;

	if (until > s->journal.end)
		until = s->journal.end;
	if (s->show >= until)
		return STEP_DONE;
	return s->prefix != NULL ? lines_step(c, item, until) :
				   raw_step(c, item, until);
}

static enum step
item_step(struct console *c, struct console_item *item)
{
	int show = item->len == 0 && item->stream != NULL;

	if (item->len == 0 && !show)
		return STEP_DONE;
	/*
	 * A long line with a prefix ends before something else begins; its
	 * own rest, and further lines with a prefix, see to themselves.
	 */
	if ((c->partial &&
		(item->stream == NULL ||
		    (show && item->stream->prefix == NULL))) ||
	    (c->open && item->notice && item->done == 0)) {
		if (console_put(c, "\n", 1) <= 0)
			return STEP_WAIT;
		c->partial = 0;
	}
	return show ? stream_step(c, item) : text_step(c, item);
}

/* Something else must not come before it. */
static int
item_begun(const struct console_item *item)
{
	return item != NULL && item->len > 0 &&
	    (item->done > 0 || item->stream != NULL);
}

static void
console_run(struct console *c)
{
	struct console_item *item;

	while (!c->gone && !c->waiting) {
		item = TAILQ_FIRST(&c->items);
		if (c->unseen > 0 && !item_begun(item)) {
			item = notice_new(c, c->unseen);
			c->unseen = 0;
			c->bytes += sizeof(*item) + item->len;
			TAILQ_INSERT_HEAD(&c->items, item, next);
		}
		if (item == NULL && c->lost > 0) {
			item = notice_new(c, c->lost);
			c->lost = 0;
			item_append(c, item);
		}
		if (item == NULL)
			break;
		/* NOLINTNEXTLINE(clang-analyzer-unix.Malloc) another one */
		if (item_step(c, item) == STEP_DONE)
			item_free(c, item);
	}
}

/* ---- streams
 * ------------------------------------------------------------------ */

void
console_push(struct stream *s, int all)
{
	struct console *c = console_of(s);
	struct console_item *item = s->shown;

	if (!(s->flags & STREAM_SHOW) || c->gone) {
		show_store(s, s->journal.end);
		return;
	}
	if (s->show == s->journal.end || s->journal.fd == -1)
		return;
	if (item == NULL ||
	    (item->serial != c->serial && c->bytes < QUEUE_LIMIT)) {
		item = item_new(c, NULL, 0);
		item->stream = s;
		item_append(c, item);
		s->shown = item;
	}
	item->until = s->journal.end;
	item->all |= all;
	console_run(c);
}

void
console_skip(struct stream *s, uint64_t start)
{
	struct console *c = console_of(s);

	if (s->show >= start)
		return;
	if ((s->flags & STREAM_SHOW) && !c->gone) {
		c->unseen += start - s->show;
		stream_count_dropped(s, start - s->show);
	}
	show_store(s, start);
}

uint64_t
console_oldest(const struct stream *s, int working)
{
	const struct console *c = console_of(s);

	if (!(s->flags & STREAM_SHOW) || c->gone || s->show == s->journal.end ||
	    (working && c->waiting))
		return UINT64_MAX;
	return s->show;
}

void
console_forget(struct stream *s)
{
	struct console_item *next;
	struct console_item *item;
	size_t i;

	s->shown = NULL;
	for (i = 0; i < 2; i++) {
		struct console *c = &consoles[i];

		if (c->partial_of == s)
			c->partial_of = NULL;
		for (item = TAILQ_FIRST(&c->items); item != NULL; item = next) {
			next = TAILQ_NEXT(item, next);
			if (item->stream != s)
				continue;
			item->stream = NULL;
			/* A text that was begun is written to its end. */
			if (item->len == 0)
				item_free(c, item);
		}
	}
}

/* ---- messages
 * -------------------------------------------------------------------- */

static void
console_text(unsigned int number, const char *text, size_t len)
{
	struct console *c = console_for(number);
	struct console_item *item;

	if (c->gone || len == 0)
		return;
	c->serial++;
	if (c->bytes + sizeof(struct console_item) + len > QUEUE_LIMIT) {
		c->lost += len;
		return;
	}
	if (c->lost > 0) {
		item_append(c, notice_new(c, c->lost));
		c->lost = 0;
	}
	item = item_new(c, text, len);
	item->number = received;
	if (c->texts++ == 0)
		c->written = received - 1;
	item_append(c, item);
	console_run(c);
}

void
console_count(uint64_t *count)
{
	finished = count;
	received = *count;
}

int
console_write(struct imsg *imsg)
{
	struct wire_reader r;
	const char *text;
	uint8_t number;
	size_t len;

	message_read(&r, imsg);
	number = wire_get_u8(&r);
	text = wire_get_bytes(&r, MAX_CONSOLE, &len);
	received++;
	/* The parent gives it to each relay after us: no reason to end. */
	if (wire_end(&r) == -1 || number < 1 || number > 2)
		log_warnx("malformed text");
	else
		console_text(number, text, len);
	texts_finished();
	return 0;
}

int
console_logfile(struct imsg *imsg)
{
	char line[MAX_CONSOLE + 1];
	struct wire_reader r;
	const char *text;
	size_t len;

	message_read(&r, imsg);
	text = wire_get_view(&r, MAX_CONSOLE, &len);
	received++;
	if (wire_end(&r) == -1) {
		log_warnx("malformed text");
		len = 0;
	}
	if (len > 0)
		memcpy(line, text, len);
	if (len == 0 || text[len - 1] != '\n')
		line[len++] = '\n';
	if (sink_text(line, len) == -1)
		console_text(1, line, len);
	texts_finished();
	return 0;
}

int
console_flush(struct imsg *imsg)
{
	struct flush *flush;
	unsigned int i;

	if (imsg_get_len(imsg) != 0)
		return -1;
	/* At the end nobody waits for another look at the pipes. */
	stream_each(stream_empty);
	flush = calloc(1, sizeof(*flush));
	if (flush == NULL)
		return -1;
	flush->id = imsg_get_id(imsg);
	flush->left = 1;
	LIST_INSERT_HEAD(&flushes, flush, next);
	for (i = 1; i <= 2; i++) {
		struct console *c = console_for(i);
		struct console_item *item;

		if (TAILQ_EMPTY(&c->items))
			continue;
		item = item_new(c, NULL, 0);
		item->flush = flush;
		flush->left++;
		item_append(c, item);
	}
	flush_done(flush);
	return 0;
}

void
console_forget_flushes(void)
{
	struct flush *flush;

	LIST_FOREACH (flush, &flushes, next)
		flush->forgotten = 1;
}

/* Do both descriptors lead to the same reader? */
static int
console_compare(void)
{
	struct stat a;
	struct stat b;

	return !consoles[0].gone && !consoles[1].gone &&
	    fstat(consoles[0].fd, &a) == 0 && fstat(consoles[1].fd, &b) == 0 &&
	    a.st_dev == b.st_dev && a.st_ino == b.st_ino &&
	    a.st_rdev == b.st_rdev;
}

static void
console_replace(struct console *c, int fd, uint32_t flags)
{
	if (c->ready != NULL)
		event_free(c->ready);
	if (c->fd != -1)
		(void)close(c->fd);
	c->fd = fd;
	c->flags = flags;
	c->gone = 0;
	c->waiting = 0;
	c->ready = event_new(relay.base, fd, EV_WRITE, console_again_cb, c);
	if (c->ready == NULL)
		fatalx("event_new failed");
}

int
console_open(struct imsg *imsg)
{
	struct wire_reader r;
	uint32_t flags;
	uint8_t number;
	int fd;

	message_read(&r, imsg);
	number = wire_get_u8(&r);
	flags = wire_get_u32(&r);
	if (wire_end(&r) == -1 || number < 1 || number > 2 ||
	    (flags & ~(uint32_t)(CONSOLE_REGULAR | CONSOLE_BLOCKING)) != 0)
		return -1;
	fd = imsg_get_fd(imsg);
	if (fd == -1)
		return -1;
	console_same = 0;
	console_replace(console_for(number), fd, flags);
	if (console_compare()) {
		/* One queue, so that both stay in order. */
		TAILQ_CONCAT(&consoles[0].items, &consoles[1].items, next);
		consoles[0].bytes += consoles[1].bytes;
		consoles[1].bytes = 0;
		consoles[0].texts += consoles[1].texts;
		consoles[1].texts = 0;
		console_same = 1;
	}
	console_run(console_for(1));
	console_run(console_for(2));
	return 0;
}
