#include <sys/types.h>
#include <sys/stat.h>

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <event2/event.h>

#include "imsg.h"
#include "log.h"
#include "relay.h"

/*
 * Log files.  Bytes go from the journal to a descriptor with O_APPEND.
 *
 * A relay that is killed must not write twice what is in the file.  Of a
 * file with one stream the length tells how much was written, so the cell
 * holds a pair: stream offset `sink_stream` is file offset `sink_file`, and
 * the cursor is
 *
 *	sink_stream + (length - sink_file).
 *
 * The pair moves on after each write, so what the length can add is never
 * more than one write; anything else means that the file was changed by
 * others (truncated, replaced), and sink_stream alone is taken.  Two numbers
 * cannot be stored at once, a kill may come between them: so sink_stream is
 * stored with CURSOR_ALONE first, then sink_file, then sink_stream without
 * it; at each instant the cursor is right.
 *
 * Of a file with several streams, or of what is no regular file, the length
 * tells nothing: sink_stream with CURSOR_ALONE is the cursor, and a kill
 * between write(2) and the store doubles that one write.
 *
 * The flags of the cell name the file (its number) that all this is about.
 */
#define CURSOR_ALONE (1ULL << 63)
#define CELL_SINK_SHIFT 8

#define SINK_BUCKETS 256
#define SHARED_LINE (16UL * 1024) /* bytes of a line that is waited for */
#define RETRY_MIN 100 /* ms */
#define RETRY_MAX 10000

struct sink {
	SLIST_ENTRY(sink) next;
	SLIST_HEAD(stream_list, stream) streams;
	struct event *timer; /* made when a write fails for the first time */
	uint64_t lost; /* bytes since it began to fail */
	uint32_t number;
	unsigned int delay; /* ms; not 0: it fails */
	int fd; /* -1: not opened (yet) */
	uint8_t shared; /* the length of the file tells nothing */
	uint8_t closing; /* when all is written */
	uint8_t told; /* that it fails */
	uint8_t wrote; /* something, since it was tried again */
	uint8_t busy; /* in a loop over its streams: must not be freed */
};

SLIST_HEAD(sink_list, sink);

static struct sink_list sinks[SINK_BUCKETS];

static struct sink *
sink_find(uint32_t number)
{
	struct sink *k;

	SLIST_FOREACH (k, &sinks[number % SINK_BUCKETS], next)
		if (k->number == number)
			return k;
	return NULL;
}

static struct sink *
sink_get(uint32_t number)
{
	struct sink *k;

	k = sink_find(number);
	if (k != NULL)
		return k;
	k = calloc(1, sizeof(*k));
	if (k == NULL)
		fatal("log file");
	k->number = number;
	k->fd = -1;
	SLIST_INSERT_HEAD(&sinks[number % SINK_BUCKETS], k, next);
	return k;
}

static void
sink_free(struct sink *k)
{
	if (k->timer != NULL)
		event_free(k->timer);
	if (k->fd != -1)
		(void)close(k->fd);
	SLIST_REMOVE(&sinks[k->number % SINK_BUCKETS], k, sink, next);
	free(k);
}

/* Somebody who knows the file by name reads this. */
static uint32_t
sink_process(const struct sink *k)
{
	const struct stream *s = SLIST_FIRST(&k->streams);

	return s == NULL || s->process == NULL ? 0 : s->process->id;
}

/* ---- the cursor ------------------------------------------------------------
 */

static uint64_t
file_length(const struct sink *k)
{
	struct stat st;

	if (fstat(k->fd, &st) == -1) {
		log_warn("log file of process %u", sink_process(k));
		return 0;
	}
	return (uint64_t)st.st_size;
}

/* The compiler must neither merge nor move these stores. */
static void
store(volatile uint64_t *to, uint64_t value)
{
	*to = value;
}

/* Stores the cursor; `length` is that of the file. */
static void
cursor_store(struct stream *s, uint64_t length)
{
	struct stream_cell *cell = stream_cell(s);

	store(&cell->sink_stream, s->sink_next | CURSOR_ALONE);
	if (s->sink->shared)
		return;
	store(&cell->sink_file, length);
	store(&cell->sink_stream, s->sink_next);
	s->sink_length = length;
}

/* Where the last relay stopped, as far as the cell and the file tell. */
static uint64_t
cursor_load(const struct stream *s, uint64_t length)
{
	const struct stream_cell *cell = stream_cell(s);
	uint64_t cursor = cell->sink_stream & ~CURSOR_ALONE;
	uint64_t more = length - cell->sink_file;

	if (!(cell->flags & CELL_SINK_BASED))
		return cell->generation_start;
	if ((cell->sink_stream & CURSOR_ALONE) || s->sink->shared ||
	    cell->flags >> CELL_SINK_SHIFT != s->sink->number ||
	    length < cell->sink_file || more > BUFFER_SIZE ||
	    cursor + more > s->journal.end)
		return cursor;
	return cursor + more;
}

static void
sink_drop(struct stream *s, uint64_t bytes)
{
	stream_cell(s)->sink_dropped += bytes;
	stream_count_dropped(s, bytes);
	s->sink->lost += bytes;
}

void
sink_ready(struct stream *s)
{
	struct stream_cell *cell = stream_cell(s);
	uint64_t length;

	if (s->sink == NULL || s->sink->fd == -1 || s->journal.fd == -1 ||
	    (s->state & STATE_BASED))
		return;
	length = file_length(s->sink);
	s->sink_next = cursor_load(s, length);
	if (s->sink_next > s->journal.end)
		s->sink_next = s->journal.end;
	s->state |= STATE_BASED;
	sink_skip(s, journal_start(&s->journal));
	/* With CURSOR_ALONE the flags may be changed. */
	store(&cell->sink_stream, s->sink_next | CURSOR_ALONE);
	cell->flags = CELL_SINK_BASED | s->sink->number << CELL_SINK_SHIFT;
	cursor_store(s, length);
	sink_push(s, 0);
}

void
sink_skip(struct stream *s, uint64_t start)
{
	if (!(s->state & STATE_BASED) || s->sink_next >= start)
		return;
	sink_drop(s, start - s->sink_next);
	s->sink_next = start;
	cursor_store(s, s->sink_length);
}

uint64_t
sink_oldest(const struct stream *s, int working)
{
	if (!(s->state & STATE_BASED) || s->sink_next == s->journal.end ||
	    (working && s->sink->delay != 0))
		return UINT64_MAX;
	return s->sink_next;
}

/* ---- writing ----------------------------------------------------------------
 */

/* Closes a sink that the parent has done with, once all is written. */
static void
sink_check_close(struct sink *k)
{
	struct stream *s;

	if (k->busy ||
	    (!k->closing && (k->fd != -1 || !SLIST_EMPTY(&k->streams))))
		return;
	SLIST_FOREACH (s, &k->streams, of_sink)
		if (sink_oldest(s, 0) != UINT64_MAX)
			return;
	while ((s = SLIST_FIRST(&k->streams)) != NULL) {
		SLIST_REMOVE_HEAD(&k->streams, of_sink);
		s->sink = NULL;
		s->state &= (uint8_t)~STATE_BASED;
	}
	sink_free(k);
}

/* Writes what all its streams have, until it fails. */
static void
sink_push_all(struct sink *k, int all)
{
	struct stream *next;
	struct stream *s;

	k->busy = 1;
	for (s = SLIST_FIRST(&k->streams); s != NULL; s = next) {
		next = SLIST_NEXT(s, of_sink);
		sink_push(s, all || s->process == NULL);
		if (k->delay == 0)
			stream_progress(s);
	}
	k->busy = 0;
}

/* It is tried with the next byte, whether that will do or not. */
static void
sink_try(struct sink *k)
{
	if (k->timer != NULL)
		event_free(k->timer);
	k->timer = NULL;
	k->delay = 0;
	k->wrote = 0;
}

/* It was written again, all that there was. */
static void
sink_recovered(struct sink *k)
{
	if (k->told && k->number == SINK_LOGFILE)
		log_warnx("the log file can be written again, %llu bytes were "
			  "lost",
		    (unsigned long long)k->lost);
	else if (k->told)
		log_warnx("log file of process %u can be written again, "
			  "%llu bytes were lost",
		    sink_process(k), (unsigned long long)k->lost);
	k->told = 0;
	k->lost = 0;
}

/* A file never tells when it can be written again: it is tried. */
static void
sink_retry_cb(int fd, short events, void *arg)
{
	struct sink *k = arg;
	unsigned int delay = k->delay;

	(void)fd;
	(void)events;
	k->delay = 0;
	k->wrote = 0;
	sink_push_all(k, k->closing);
	if (k->delay != 0) {
		/* Failed again. */
		k->delay = delay * 2 < RETRY_MAX ? delay * 2 : RETRY_MAX;
		relay_arm(k->timer, k->delay);
		return;
	}
	if (k->wrote)
		sink_recovered(k);
	sink_try(k);
	sink_check_close(k);
}

/* With errno of the write.  Told once, until it can be written again. */
static void
sink_failed(struct sink *k)
{
	/* A FIFO or terminal that is full is not worth a word. */
	if (!k->told && errno != EAGAIN) {
		k->told = 1;
		if (k->number == SINK_LOGFILE)
			log_warn("the log file cannot be written");
		else
			log_warn("log file of process %u", sink_process(k));
	}
	if (k->timer == NULL)
		k->timer = evtimer_new(relay.base, sink_retry_cb, k);
	if (k->timer == NULL)
		fatalx("evtimer_new failed");
	k->delay = RETRY_MIN;
	relay_arm(k->timer, k->delay);
}

/*
 * Of a shared file only whole lines are written, unless one is very long:
 * returns how much of these bytes.
 */
static size_t
whole_lines(const uint8_t *bytes, size_t len)
{
	const uint8_t *end;

	if (len == 0)
		return 0;
	end = memrchr(bytes, '\n', len);
	if (end != NULL)
		return (size_t)(end - bytes) + 1;
	return len < SHARED_LINE ? 0 : len;
}

/*
 * One write.  Returns the number of bytes, 0 when there is nothing to write,
 * -1 when it failed.
 */
static ssize_t
sink_write(struct stream *s, int all)
{
	struct sink *k = s->sink;
	uint64_t left = s->journal.end - s->sink_next;
	size_t len = left < BUFFER_SIZE ? (size_t)left : BUFFER_SIZE;
	uint8_t *buf = buffer_get(len);
	uint64_t length;
	ssize_t n;

	if (len == 0)
		return 0;
	if (journal_read(&s->journal, s->sink_next, buf, len) == -1) {
		log_warn("journal of process %u", sink_process(k));
		sink_drop(s, left);
		s->sink_next = s->journal.end;
		cursor_store(s, s->sink_length);
		return 0;
	}
	if (k->shared) {
		if (!all)
			len = whole_lines(buf, len);
	} else {
		/* Truncated, or written to, by somebody else. */
		length = file_length(k);
		if (length != s->sink_length)
			cursor_store(s, length);
	}
	if (len == 0)
		return 0;
	do
		n = write(k->fd, buf, len);
	while (n == -1 && errno == EINTR);
	if (n == -1)
		return -1;
	k->wrote = 1;
	s->sink_next += (uint64_t)n;
	cursor_store(s, s->sink_length + (uint64_t)n);
	return n;
}

void
sink_push(struct stream *s, int all)
{
	struct sink *k = s->sink;
	ssize_t n;

	if (!(s->state & STATE_BASED) || k->delay != 0)
		return;
	do
		n = sink_write(s, all);
	while (n > 0);
	if (n == -1)
		sink_failed(k);
	else if (k->wrote && k->told && !k->busy)
		sink_recovered(k);
}

int
sink_text(const char *text, size_t len)
{
	struct sink *k = sink_find(SINK_LOGFILE);
	ssize_t n;

	/* While it cannot be written the console has the lines. */
	if (k == NULL || k->fd == -1 || k->delay != 0)
		return -1;
	do
		n = write(k->fd, text, len);
	while (n == -1 && errno == EINTR);
	if (n == -1) {
		sink_failed(k);
		return -1;
	}
	if (n < (ssize_t)len)
		k->lost += len - (size_t)n;
	else if (k->told)
		sink_recovered(k);
	return 0;
}

/* ---- streams and files
 * --------------------------------------------------------- */

uint32_t
sink_number(const struct stream *s)
{
	return s->sink == NULL ? NO_ENTRY : s->sink->number;
}

void
sink_detach(struct stream *s)
{
	struct sink *k = s->sink;

	if (k == NULL)
		return;
	SLIST_REMOVE(&k->streams, s, stream, of_sink);
	s->sink = NULL;
	s->state &= (uint8_t)~STATE_BASED;
	sink_check_close(k);
}

void
sink_attach(struct stream *s, uint32_t number)
{
	struct stream_cell *cell = stream_cell(s);
	int based = s->state & STATE_BASED;

	if (sink_number(s) == number && number != NO_ENTRY)
		return;
	if (based) {
		/* What is left goes to the new file, if there is one. */
		sink_push(s, 1);
		store(&cell->sink_stream, s->sink_next | CURSOR_ALONE);
	}
	sink_detach(s);
	if (number == NO_ENTRY) {
		cell->flags = 0;
		return;
	}
	s->sink = sink_get(number);
	SLIST_INSERT_HEAD(&s->sink->streams, s, of_sink);
	sink_ready(s);
}

/* Goes on with the next byte in a file that the parent has opened. */
static void
sink_replace(struct sink *k, int fd, int shared)
{
	struct stream *s;

	if (k->fd != -1) {
		sink_push_all(k, 0);
		(void)close(k->fd);
	}
	k->fd = fd;
	k->shared = shared != 0;
	k->closing = 0;
	sink_try(k);
	SLIST_FOREACH (s, &k->streams, of_sink) {
		if (s->state & STATE_BASED)
			cursor_store(s, file_length(k));
		else
			sink_ready(s);
	}
	sink_push_all(k, 0);
	if (k->delay == 0 && k->wrote)
		sink_recovered(k);
}

int
sink_open(struct imsg *imsg)
{
	struct stat st;
	uint32_t message[2];
	uint32_t number;
	int flags;
	int fd;

	if (imsg_get_data(imsg, message, sizeof(message)) == -1)
		return -1;
	number = message[0];
	if (number >= SINK_NUMBERS ||
	    (message[1] & ~(SINK_SHARED | SINK_FRESH)))
		return -1;
	fd = imsg_get_fd(imsg);
	if (fd == -1)
		return -1;
	flags = fcntl(fd, F_GETFL);
	if (flags == -1 || (flags & O_ACCMODE) == O_RDONLY ||
	    fstat(fd, &st) == -1 || S_ISDIR(st.st_mode)) {
		(void)close(fd);
		return -1;
	}
	sink_replace(sink_get(number), fd,
	    (message[1] & SINK_SHARED) || !S_ISREG(st.st_mode));
	return 0;
}

int
sink_close(struct imsg *imsg)
{
	struct sink *k;
	uint32_t number;

	if (imsg_get_data(imsg, &number, sizeof(number)) == -1)
		return -1;
	k = sink_find(number);
	if (k == NULL)
		return 0;
	sink_push_all(k, 1);
	k->closing = 1;
	sink_check_close(k);
	return 0;
}
