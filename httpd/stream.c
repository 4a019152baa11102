#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <bsd/stdlib.h>

#include "../common/imsg.h"
#include "../common/stream.h"
#include "../common/wire.h"
#include "httpd.h"

/*
 * The output of a process, for a reader: pulled from the relay piece by
 * piece, each when the reader has taken the one before.  So a slow reader
 * delays nobody; what is no longer kept when he comes back is told as a gap.
 */

enum format {
	FORMAT_RAW,
	FORMAT_SSE,
	FORMAT_NDJSON,
};

struct stream {
	TAILQ_ENTRY(stream) entry;
	struct client *client;
	uint32_t id; /* of the READ that is asked, 0 none */
	uint32_t process;
	uint32_t generation; /* of the last piece */
	uint8_t number;
	uint8_t follow;
	uint8_t format;
	uint8_t told_end; /* `eof` of this generation was sent */
	uint8_t is_foreign; /* asked for the id of another musterd */
	uint8_t is_bounded; /* `until` is known */
	int64_t from; /* next offset, or negative: before the end */
	/* What there was when it was asked for; who writes faster than is read
	 * would let a read without ?follow= never end. */
	uint64_t until;
	uint32_t lines;
};

static TAILQ_HEAD(, stream) streams = TAILQ_HEAD_INITIALIZER(streams);
static unsigned int nstreams;
static uint32_t last_id;
static struct json line;

static void
ask(struct stream *s)
{
	struct wire w;

	if (relay_channel == NULL || s->id != 0)
		return; /* stream_resume() asks */
	wire_init(&w);
	wire_put_u32(&w, s->process);
	wire_put_u8(&w, s->number);
	wire_put_i64(&w, s->from);
	wire_put_u32(&w, s->lines);
	/* 2: an end that was there before is news, too. */
	wire_put_u8(&w,
	    !s->follow                           ? 0 :
		s->told_end && !replica.shutdown ? 1 :
						   2);
	s->id = ++last_id == 0 ? ++last_id : last_id;
	(void)channel_send_wire(relay_channel, IMSG_STREAM_READ, s->id, -1, &w);
	wire_free(&w);
	if (!s->follow)
		expect_answers();
}

int
stream_is_owed(void)
{
	struct stream *s;

	TAILQ_FOREACH (s, &streams, entry)
		if (s->id != 0 && !s->follow)
			return relay_channel != NULL;
	return 0;
}

void
stream_free(struct stream *s)
{
	if (s == NULL)
		return;
	if (s->id != 0 && relay_channel != NULL)
		(void)channel_send(
		    relay_channel, IMSG_STREAM_READ_CANCEL, s->id, -1, NULL, 0);
	TAILQ_REMOVE(&streams, s, entry);
	nstreams--;
	free(s);
}

const struct stream_cell *
stream_cell(const struct replica_process *p, unsigned int number)
{
	size_t i;

	i = (size_t)p->slot * CELLS_PER_SLOT + number - 1;
	return p->slot == UINT32_MAX || i >= ncells ? NULL : &cells[i];
}

int
stream_any(void)
{
	return nstreams > 0;
}

int
stream_follows(const struct stream *s)
{
	return s != NULL && s->follow;
}

int
stream_is_covered(const struct client *c)
{
	struct replica_process p;

	return c->stream == NULL ||
	    replica_find(c->stream->process, &p) == -1 ||
	    principal_covers(c->principal, p.job, p.job_len);
}

void
stream_resume(void)
{
	struct stream *s;

	TAILQ_FOREACH (s, &streams, entry)
		if (s->id != 0 || client_drained(s->client)) {
			s->id = 0;
			ask(s);
		}
}

static void
finish(struct client *c)
{
	struct stream *s;

	s = c->stream;
	c->stream = NULL;
	stream_free(s);
	respond_stream_end(c);
}

void
stream_shutdown(void)
{
	struct stream *next;
	struct stream *s;

	TAILQ_FOREACH_SAFE (s, &streams, entry, next)
		if (replica.shutdown && s->told_end && s->id != 0)
			finish(s->client);
}

void
stream_pull(struct client *c)
{
	if (c->stream != NULL && c->stream->id == 0)
		ask(c->stream);
}

void
stream_comment(struct client *c)
{
	struct stream *s;

	s = c->stream;
	if (s == NULL)
		return;
	if (s->format == FORMAT_SSE && client_drained(c)) {
		(void)respond_chunk(c, ": still here\n\n", 14);
		client_flush(c);
	}
	client_timer(c, COMMENT_SECONDS);
}

/* ---- what is sent ----------------------------------------------------- */

static void
put_base64(const unsigned char *p, size_t len)
{
	static const char digits[] =
	    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/=";
	char out[4];
	uint32_t v;
	size_t n;

	json_raw(&line, "\"", 1);
	for (; len > 0; p += n, len -= n) {
		n = len < 3 ? len : 3;
		v = (uint32_t)p[0] << 16 | (n > 1 ? (uint32_t)p[1] << 8 : 0) |
		    (n > 2 ? p[2] : 0);
		out[0] = digits[v >> 18];
		out[1] = digits[v >> 12 & 63];
		out[2] = digits[n > 1 ? v >> 6 & 63 : 64];
		out[3] = digits[n > 2 ? v & 63 : 64];
		json_raw(&line, out, 4);
	}
	json_raw(&line, "\"", 1);
	line.first = 0;
}

static void
event_begin(const struct stream *s, const char *event)
{
	json_begin(&line);
	json_open(&line, '{');
	json_key(&line, "event");
	json_text(&line, event);
	json_key(&line, "process");
	json_int(&line, s->process);
	json_key(&line, "stream");
	json_text(&line, s->number == STREAM_STDOUT ? "stdout" : "stderr");
}

static void
event_end(const struct stream *s, const char *event, uint64_t next)
{
	char head[160];
	int n;

	json_close(&line, '{');
	if (line.failed)
		return;
	if (s->format == FORMAT_SSE) {
		n = snprintf(head, sizeof(head),
		    "event: %s\nid: %s-%llu\ndata: ", event, replica.boot,
		    (unsigned long long)next);
		json_raw(&line, "\n\n", 2);
		/* One chunk: the head in front of the line. */
		json_raw(&line, head, (size_t)n);
		memmove(line.data + n, line.data, line.len - (size_t)n);
		memcpy(line.data, head, (size_t)n);
	} else
		json_raw(&line, "\n", 1);
	(void)respond_chunk(s->client, line.data, line.len);
}

static void
send_number(const struct stream *s, const char *event, const char *key,
    int64_t n, uint64_t next)
{
	if (s->format == FORMAT_RAW)
		return;
	event_begin(s, event);
	json_key(&line, key);
	json_int(&line, n);
	event_end(s, event, next);
}

static void
send_data(const struct stream *s, uint64_t offset, const void *data, size_t len)
{
	if (s->format == FORMAT_RAW) {
		(void)respond_chunk(s->client, data, len);
		return;
	}
	event_begin(s, "io");
	json_key(&line, "offset");
	json_int(&line, (int64_t)offset);
	if (json_is_text(data, len)) {
		json_key(&line, "data");
		json_string(&line, data, len);
	} else {
		json_key(&line, "data_b64");
		put_base64(data, len);
	}
	event_end(s, "io", offset + len);
}

/* ---- answers of the relay ---------------------------------------------- */

struct piece {
	int32_t error;
	uint64_t offset;
	uint64_t lost;
	uint32_t generation;
	int end;
	const void *data;
	size_t len;
};

/* Leaves only what is before the end of a read.  1: that was all. */
static int
cut(struct stream *s, struct piece *p)
{
	if (s->follow)
		return 0;
	/* The relay may have taken more since. */
	if (!s->is_bounded && p->offset + p->len > s->until)
		s->until = p->offset + p->len;
	s->is_bounded = 1;
	if (p->offset + p->len < s->until)
		return p->end || p->len == 0;
	if (p->offset + p->len > s->until) {
		p->end = 0;
		p->len =
		    p->offset < s->until ? (size_t)(s->until - p->offset) : 0;
	}
	return 1;
}

static void
got_piece(struct stream *s, struct piece *p)
{
	struct client *c;
	int over;

	c = s->client;
	if (p->error != 0) {
		finish(c);
		return;
	}
	/* It is asked for again when others have read theirs. */
	if (p->len > 0 && room_over(SIZE_MAX)) {
		room_defer(c);
		return;
	}
	over = cut(s, p);
	if (p->generation != s->generation) {
		if (s->generation != 0 && !s->told_end)
			send_number(
			    s, "eof", "offset", (int64_t)p->offset, p->offset);
		s->generation = p->generation;
		s->told_end = 0;
		send_number(
		    s, "generation", "generation", p->generation, p->offset);
	}
	/* A tail begins where it begins; that is no loss. */
	if (s->is_foreign || (p->lost > 0 && s->from >= 0 && s->lines == 0))
		send_number(s, "gap", "lost", (int64_t)p->lost, p->offset);
	s->is_foreign = 0;
	if (p->len > 0)
		send_data(s, p->offset, p->data, p->len);
	s->from = (int64_t)(p->offset + p->len);
	s->lines = 0;
	if (p->end && !s->told_end) {
		s->told_end = 1;
		send_number(s, "eof", "offset", s->from, (uint64_t)s->from);
	}
	/* Nothing is started again in a shutdown. */
	if (over || (p->end && replica.shutdown)) {
		finish(c);
		return;
	}
	/* When it has left, written() pulls the next piece. */
	client_flush(c);
}

int
stream_message(struct channel *channel, struct imsg *imsg, void *arg)
{
	struct wire_reader r;
	struct stream *s;
	struct piece p;

	(void)channel;
	(void)arg;
	if (imsg_get_type(imsg) != IMSG_STREAM_READ_DONE)
		return -1;
	message_read(&r, imsg);
	p.error = wire_get_i32(&r);
	p.offset = wire_get_u64(&r);
	p.lost = wire_get_u64(&r);
	p.generation = wire_get_u32(&r);
	p.end = wire_get_bool(&r);
	p.data = wire_get_bytes(&r, MAX_READ, &p.len);
	if (wire_end(&r) == -1)
		return -1;
	TAILQ_FOREACH (s, &streams, entry)
		if (s->id == imsg_get_id(imsg))
			break;
	if (s == NULL)
		return 0; /* its reader has gone */
	s->id = 0;
	got_piece(s, &p);
	return 0;
}

/* ---- the request ------------------------------------------------------- */

/* 1 given, 0 not, -1 answered. */
static int
number_of(struct request *q, const char *key, long long max, int64_t *out)
{
	const char *error;
	char text[32];
	int got;

	got = query_get(q->client, q->buf, key, text, sizeof(text));
	error = NULL;
	if (got == 1)
		*out = strtonum(text, 0, max, &error);
	if (got == -1 || error != NULL) {
		respond_problem(q->client, 400, "bad-query",
		    "tail, lines, since and follow are numbers");
		return -1;
	}
	return got;
}

/* Where to begin: Last-Event-ID or ?since=, ?tail=, ?lines=, or all. */
static int
begin(struct request *q, struct stream *s)
{
	const struct http_field *f;
	const char *error;
	char text[64];
	const char *dash;
	int64_t n;
	int resumed = 0;
	int got;

	s->from = 0;
	if ((got = number_of(q, "since", INT64_MAX, &n)) == -1)
		return -1;
	if (got == 1)
		s->from = n;
	f = http_request_known(&q->client->req, HTTP_KNOWN_LAST_EVENT_ID);
	if (f != NULL && f->value.len < sizeof(text)) {
		(void)snprintf(text, sizeof(text), "%.*s", f->value.len,
		    q->buf + f->value.off);
		dash = strrchr(text, '-');
		n = strtonum(
		    dash == NULL ? "" : dash + 1, 0, INT64_MAX, &error);
		/* Offsets of another musterd say nothing here. */
		s->is_foreign = error == NULL &&
		    ((size_t)(dash - text) != strlen(replica.boot) ||
			strncmp(text, replica.boot, (size_t)(dash - text)) !=
			    0);
		if (error == NULL)
			s->from = s->is_foreign ? 0 : n;
		/* A browser comes back with the same query. */
		resumed = error == NULL && !s->is_foreign;
	}
	if ((got = number_of(q, "tail", INT64_MAX, &n)) == -1)
		return -1;
	/* "Before the end" is negative; beyond it is at the end. */
	if (got == 1 && !resumed)
		s->from = n == 0 ? INT64_MAX : -n;
	if ((got = number_of(q, "lines", 1000000, &n)) == -1)
		return -1;
	if (got == 1 && !resumed)
		s->lines = (uint32_t)n;
	if (got == 1 && n == 0 && !resumed)
		s->from = INT64_MAX;
	if ((got = number_of(q, "follow", 1, &n)) == -1)
		return -1;
	s->follow = got == 1 && n == 1;
	return 0;
}

static enum format
format_of(struct request *q, int follow)
{
	/* Of those that are wanted alike, the first. */
	static const struct {
		const char *type;
		enum format format;
	} forms[] = {
	    {"application/x-ndjson", FORMAT_NDJSON},
	    {"text/event-stream", FORMAT_SSE},
	    {"application/octet-stream", FORMAT_RAW},
	    {"text/plain", FORMAT_RAW},
	};
	enum format format;
	unsigned int best = 0;
	unsigned int wanted;
	size_t i;

	format = follow ? FORMAT_SSE : FORMAT_RAW;
	for (i = 0; i < sizeof(forms) / sizeof(forms[0]); i++) {
		wanted = accept_quality(q, forms[i].type);
		if (wanted <= best)
			continue;
		best = wanted;
		format = forms[i].format;
	}
	return format;
}

/* A reader that pauses is waited for until another wants his place. */
static void
make_room(void)
{
	struct stream *s;
	int64_t before;

	before = now_ms() - PAUSE_SECONDS * 1000LL;
	TAILQ_FOREACH (s, &streams, entry)
		if (s->client->writing && s->client->progress < before) {
			client_free(s->client);
			return;
		}
}

void
api_v1_stream(struct request *q)
{
	static const char *const types[] = {"application/octet-stream",
	    "text/event-stream", "application/x-ndjson"};
	const struct stream_cell *cell;
	struct replica_process p;
	struct stream *s;
	const char *error;
	const char *name;
	uint32_t id;
	unsigned int number;

	id = (uint32_t)strtonum(q->path.segment[2], 1, UINT32_MAX, &error);
	if (error != NULL || access_find(q->client, id, &p) == -1) {
		respond_problem(q->client, 404, "process-not-found",
		    "there is no such process");
		return;
	}
	name = q->path.segment[4];
	number = strcmp(name, "stdout") == 0 || strcmp(name, "1") == 0 ?
	    STREAM_STDOUT :
	    strcmp(name, "stderr") == 0 || strcmp(name, "2") == 0 ?
	    STREAM_STDERR :
	    0;
	if (number == 0 || number > p.streams) {
		respond_problem(q->client, 404, "stream-not-found",
		    "the process has no such stream");
		return;
	}
	if (nstreams >= MAX_STREAMS)
		make_room();
	s = nstreams < MAX_STREAMS ? calloc(1, sizeof(*s)) : NULL;
	if (s == NULL) {
		respond_problem(q->client, 503, "too-many-readers",
		    "there is no room for another reader");
		return;
	}
	s->client = q->client;
	s->process = id;
	s->number = (uint8_t)number;
	cell = stream_cell(&p, number);
	s->until = cell == NULL ? 0 : cell->offset;
	TAILQ_INSERT_TAIL(&streams, s, entry);
	nstreams++;
	if (begin(q, s) == -1) {
		stream_free(s);
		return;
	}
	s->format = (uint8_t)format_of(q, s->follow);
	respond_stream(q->client, types[s->format], HTTP_NO_LENGTH);
	if (q->client->head) {
		stream_free(s);
		client_done(q->client);
		return;
	}
	q->client->stream = s;
	rights_watch(q->client);
	client_timer(q->client, COMMENT_SECONDS);
	ask(s);
}
