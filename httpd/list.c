#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <bsd/string.h>

#include "httpd.h"
#include "table.h"
#include "transport.h"

/*
 * Lists of processes, which may be long: a row is made when there is room
 * for it in the socket, so that who does not read has one row in memory, not
 * all of them, and nobody waits until a long list is made.  All rows are of
 * one moment, that of the request.
 *
 * A short one has a length as any answer, and so has a long one that was
 * promised one: it is made twice, once to be measured.  Others come in chunks,
 * each of them a row (RFC 9112 section 7.1), or, for HTTP/1.0, until the end
 * of the connection.
 */

#define SHORT 8192 /* bytes of a list that is made at once */
#define PIECE 16384 /* bytes that are made for one write */
#define PIECE_TLS 4096 /* they are kept until they are written */
#define PIECE_ROWS 64

enum phase { OPENING, ROWS, CLOSING, END };

struct place {
	size_t cursor;
	uint8_t phase;
	uint8_t comma; /* a row was before */
};

struct list {
	struct table *table;
	struct place place;
	struct list_kind kind;
};

static struct json piece;

static int
in_chunks(const struct client *c, const struct list *l)
{
	return c->state == CLIENT_STREAMING && c->minor != 0 && !l->kind.sized;
}

/* A row's frame; nothing is no chunk: that would be the last one. */
static void
put(const struct client *c, const struct list *l, const char *data, size_t len)
{
	char size[24];
	int n;

	if (len == 0)
		return;
	if (!in_chunks(c, l)) {
		json_raw(&piece, data, len);
		return;
	}
	n = snprintf(size, sizeof(size), "%zx\r\n", len);
	json_raw(&piece, size, (size_t)n);
	json_raw(&piece, data, len);
	json_raw(&piece, "\r\n", 2);
}

static int
is_wanted(const struct list *l, const struct replica_process *p)
{
	const char *job;
	size_t n;

	if (l->kind.listed && !p->listed)
		return 0;
	job = l->kind.job;
	n = strlen(job);
	/* "web", or "default.web" */
	return !l->kind.one_job ||
	    (n == p->job_len && memcmp(job, p->job, n) == 0) ||
	    (p->job_len == n + 8 && memcmp(p->job, "default.", 8) == 0 &&
		memcmp(p->job + 8, job, n) == 0);
}

/* The next row that is wanted: 1, or 0: there is none. */
static int
next_row(const struct client *c, const struct list *l, size_t *cursor,
    struct replica_process *p)
{
	while (access_next(c, l->table, cursor, p))
		if (is_wanted(l, p))
			return 1;
	return 0;
}

/* Appends what stands at that place to `piece`, and goes on to the next. */
static void
make(const struct client *c, struct list *l)
{
	struct replica_process p;
	const struct json *row;

	switch (l->place.phase) {
	case OPENING:
		put(c, l, l->kind.open, strlen(l->kind.open));
		l->place.phase = ROWS;
		return;
	case ROWS:
		if (!next_row(c, l, &l->place.cursor, &p)) {
			l->place.phase = CLOSING;
			return;
		}
		row = l->kind.row(&p, !l->place.comma);
		if (row->failed)
			piece.failed = 1;
		else
			put(c, l, row->data, row->len);
		l->place.comma = !l->kind.lines;
		return;
	case CLOSING:
		put(c, l, l->kind.close, strlen(l->kind.close));
		if (in_chunks(c, l))
			json_raw(&piece, "0\r\n\r\n", 5);
		l->place.phase = END;
		return;
	default:
		return;
	}
}

void
list_free(struct list *l)
{
	if (l == NULL)
		return;
	table_free(l->table);
	free(l);
}

static void
finish(struct client *c)
{
	list_free(c->list);
	c->list = NULL;
	client_done(c);
}

/*
 * What could not be written at once.  1: it could after all, as its reader has
 * been quick, and the list goes on; 0: write_cb() goes on, or nobody reads.
 */
static int
flush(struct client *c)
{
	client_flush(c);
	return client_drained(c) && c->state == CLIENT_STREAMING;
}

/* It is kept until it has left. */
static int
write_kept(struct client *c)
{
	if (client_write(c, piece.data, piece.len) == -1)
		c->close = 1;
	return flush(c);
}

/* What did not leave of the row that has left in part is kept, those behind
 * it are made again. */
static int
write_rows(struct client *c, const size_t *ends, const struct place *places,
    unsigned int count)
{
	unsigned int i;
	ssize_t n;
	size_t sent;

	n = transport_write(c, piece.data, piece.len);
	sent = n > 0 ? (size_t)n : 0;
	if (sent > 0)
		room_touch(c);
	if (sent == piece.len)
		return 1;
	for (i = 0; i + 1 < count && ends[i] <= sent; i++)
		;
	c->list->place = places[i];
	if (client_write(c, piece.data + sent, ends[i] - sent) == -1)
		c->close = 1;
	return flush(c);
}

/* As much as a share has room for.  1: there is more. */
int
list_work(struct client *c)
{
	size_t ends[PIECE_ROWS] = {0};
	struct place places[PIECE_ROWS];
	struct list *l;
	unsigned int n;
	size_t most;

	l = c->list;
	most = c->tls == NULL ? PIECE : PIECE_TLS;
	while (l->place.phase != END) {
		json_begin(&piece);
		for (n = 0; n < PIECE_ROWS && piece.len < most &&
		     l->place.phase != END;
		     n++) {
			make(c, l);
			ends[n] = piece.len;
			places[n] = l->place;
		}
		if (piece.failed)
			break;
		if (!(c->tls == NULL ? write_rows(c, ends, places, n) :
				       write_kept(c)))
			return 0;
		if (turn_is_over())
			return 1;
	}
	/* Half a list must not look like a whole one. */
	if (l->place.phase != END)
		c->close = 1;
	finish(c);
	client_flush(c);
	return 0;
}

/* The whole list, if it is short: 1 if so. */
static int
make_short(const struct client *c, struct list *l)
{
	json_begin(&piece);
	while (piece.len < SHORT && l->place.phase != END && !piece.failed)
		make(c, l);
	return l->place.phase == END || piece.failed;
}

/* The length of what make_short() has begun.  A row for which there is no
 * memory now gets the connection closed later. */
static int64_t
measure(const struct client *c, struct list *l)
{
	int64_t length;

	length = (int64_t)piece.len;
	while (l->place.phase != END) {
		json_begin(&piece);
		make(c, l);
		length += (int64_t)piece.len;
	}
	return length;
}

/* Is there something of the job that is asked for, if one is? */
static int
has_job(const struct client *c, const struct list *l)
{
	struct replica_process p;
	size_t cursor;

	cursor = 0;
	return !l->kind.one_job || next_row(c, l, &cursor, &p);
}

void
list_answer(struct client *c, const struct list_kind *kind)
{
	struct list *l;
	int64_t length;

	l = calloc(1, sizeof(*l));
	if (l == NULL) {
		respond_problem(c, 503, "no-memory", "no memory");
		return;
	}
	l->kind = *kind;
	l->table = replica_hold();
	if (!has_job(c, l))
		respond_problem(
		    c, 404, "job-not-found", "there is no such job");
	else if (make_short(c, l)) {
		if (piece.failed)
			respond_problem(c, 503, "no-memory", "no memory");
		else
			respond(
			    c, 200, kind->type, piece.data, piece.len, NULL, 0);
	} else {
		length = kind->sized ? measure(c, l) : HTTP_NO_LENGTH;
		memset(&l->place, 0, sizeof(l->place));
		respond_stream(c, kind->type, length);
		if (!c->head) {
			c->list = l; /* client_work() goes on */
			rights_watch(c);
			return;
		}
		client_done(c);
	}
	list_free(l);
}
