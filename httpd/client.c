#include <sys/socket.h>

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <bsd/string.h>

#include "../common/log.h"
#include "httpd.h"
#include "transport.h"

/*
 * Connections: bytes in, heads parsed, bytes out.  A request that comes
 * whole is parsed where it was read and answered from one shared buffer; a
 * client has memory of its own only while it is slow, and no more than it
 * fills.
 */

#define READ_SIZE ((size_t)HTTP_MAX_HEAD)
#define LOOK_SECONDS 2 /* between looks at who is not read from */
#define TOLD_ENOUGH 4 /* then it costs less not to be told again */
#define KEEP_OUTPUT 2048 /* buffers up to this size are kept */
#define MAX_ANSWER (4UL * 1024 * 1024) /* unsent, and more is to be written */

unsigned int nclients;

static char shared[READ_SIZE]; /* what is parsed now */

static int keep(struct client *, const char *, size_t);
static void read_cb(int, short, void *);
static void write_cb(int, short, void *);
static void timer_cb(int, short, void *);
static void handshake_cb(int, short, void *);

int64_t
now_seconds(void)
{
	struct timespec ts;

	(void)clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec;
}

/* ---- life ----------------------------------------------------------- */

/* Who cannot be waited for has no time left. */
static void
add(struct event *ev, const struct timeval *tv)
{
	if (event_add(ev, tv) == 0)
		return;
	log_warn("a connection is given up");
	event_active(ev, EV_TIMEOUT, 1);
}

static void
watch(struct client *c)
{
	struct timeval tv = {IDLE_SECONDS, 0};
	int64_t left;

	if (c->head_deadline != 0) {
		left = c->head_deadline - now_seconds();
		tv.tv_sec = left > 0 ? left : 1;
	}
	c->unwatched = 0;
	if (c->looked_at) {
		(void)event_del(&c->read);
		(void)event_assign(
		    &c->read, base, c->fd, EV_READ | EV_PERSIST, read_cb, c);
		c->looked_at = 0;
	}
	add(&c->read, &tv);
}

/* It goes on when it has its turn, or has read what it was sent. */
static void
unwatch(struct client *c)
{
	c->unwatched = 1;
	(void)event_del(&c->read);
}

/* ---- the handshake of TLS ------------------------------------------- */

static void
handshake_watch(struct client *c, short what)
{
	struct timeval tv = {0, 0};

	tv.tv_sec = c->head_deadline - now_seconds();
	if (tv.tv_sec <= 0) {
		tv.tv_sec = 0;
		tv.tv_usec = 1;
	}
	(void)event_del(&c->read);
	(void)event_assign(&c->read, base, c->fd, what, handshake_cb, c);
	add(&c->read, &tv);
}

/* All of it within the time of a head. */
static void
handshake_begin(struct client *c)
{
	c->state = CLIENT_HANDSHAKE;
	c->head_deadline = now_seconds() + HEAD_SECONDS;
	handshake_watch(c, EV_READ);
}

/* A step of it.  It has gone, or waits for its peer. */
static void
handshake_work(struct client *c)
{
	int n;

	/* It may have waited long for its turn. */
	n = now_seconds() >= c->head_deadline ? -1 : transport_handshake(c);
	if (n == -1) {
		client_free(c);
		return;
	}
	if (n != 0) {
		c->shaken = 1;
		handshake_watch(c, n == 1 ? EV_READ : EV_WRITE);
		(void)room_find(c);
		return;
	}
	access_certificate(c);
	c->state = CLIENT_READING;
	c->head_deadline = 0;
	c->debt = 0;
	(void)event_del(&c->read);
	(void)event_assign(
	    &c->read, base, c->fd, EV_READ | EV_PERSIST, read_cb, c);
	watch(c);
	turn_later(c); /* a request may have come with the last of it */
}

static void
handshake_cb(int fd, short ev, void *arg)
{
	struct client *c;

	(void)fd;
	c = arg;
	if (ev & EV_TIMEOUT)
		client_free(c);
	else
		turn_later(c);
}

struct client *
client_new(int fd, int unix_socket, const struct sockaddr *peer)
{
	struct client *c;

	c = calloc(1, sizeof(*c));
	if (c == NULL) {
		(void)close(fd);
		return NULL;
	}
	c->fd = fd;
	c->unix_socket = (uint8_t)unix_socket;
	c->allowed = (uint8_t)access_peer(c, peer);
	http_request_init(&c->req);
	(void)event_assign(
	    &c->read, base, fd, EV_READ | EV_PERSIST, read_cb, c);
	(void)event_assign(&c->write, base, fd, EV_WRITE, write_cb, c);
	(void)evtimer_assign(&c->timer, base, timer_cb, c);
	c->progress = now_ms();
	TAILQ_INSERT_TAIL(&clients, c, entry);
	nclients++;
	switch (transport_open(c)) {
	case 0:
		watch(c);
		return c;
	case 1:
		handshake_begin(c);
		return c;
	default:
		client_free(c);
		return NULL;
	}
}

static void
output_free(struct client *c)
{
	room_account(c->out_size, 0);
	free(c->out);
	c->out = NULL;
	c->out_size = 0;
}

void
client_free(struct client *c)
{
	TAILQ_REMOVE(&clients, c, entry);
	nclients--;
	manager_forget(c);
	room_forget(c);
	turn_forget(c);
	stream_free(c->stream);
	list_free(c->list);
	(void)event_del(&c->read);
	(void)event_del(&c->write);
	(void)event_del(&c->timer);
	transport_free(c);
	(void)close(c->fd);
	(void)keep(c, NULL, 0);
	output_free(c);
	free(c);
	listen_resume();
	httpd_end();
}

void
client_end(struct client *c)
{
	/* Not here: somebody may be at work with it. */
	c->state = CLIENT_CLOSING;
	event_active(&c->timer, EV_TIMEOUT, 0);
}

void
client_timer(struct client *c, unsigned int seconds)
{
	struct timeval tv = {(time_t)seconds, 0};

	if (seconds == 0)
		(void)event_del(&c->timer);
	else
		(void)event_add(&c->timer, &tv);
}

static void
timer_cb(int fd, short ev, void *arg)
{
	struct client *c;

	(void)fd;
	(void)ev;
	c = arg;
	if (c->state == CLIENT_CLOSING ||
	    /* The clock was set. */
	    (c->state == CLIENT_STREAMING && rights_have_ended(c)))
		client_free(c);
	else if (c->state == CLIENT_STREAMING)
		stream_comment(c);
	else if (c->state == CLIENT_WAITING && c->answer != NULL)
		c->answer(c, NULL);
}

/* ---- output --------------------------------------------------------- */

int
client_write(struct client *c, const void *data, size_t len)
{
	char *bigger;
	size_t size;

	if (c->out_off > 0 && c->out_off == c->out_len)
		c->out_off = c->out_len = 0;
	/* One answer may have any size. */
	if (c->out_len - c->out_off > MAX_ANSWER)
		return -1;
	if (c->out_size - c->out_len < len && c->out_off > 0) {
		memmove(c->out, c->out + c->out_off, c->out_len - c->out_off);
		c->out_len -= c->out_off;
		c->out_off = 0;
	}
	if (c->out_size - c->out_len < len) {
		size = c->out_size == 0 ? 1024 : c->out_size;
		while (size - c->out_len < len)
			size *= 2;
		bigger = realloc(c->out, size);
		if (bigger == NULL)
			return -1;
		room_account(c->out_size, size);
		c->out = bigger;
		c->out_size = size;
	}
	memcpy(c->out + c->out_len, data, len);
	c->out_len += len;
	return 0;
}

int
client_drained(const struct client *c)
{
	return c->out_off == c->out_len;
}

/* Half of the answer is on its way: nothing more is read, so that what the
 * client has still to say does not reset the connection under it. */
static void
close_gently(struct client *c)
{
	c->state = CLIENT_CLOSING;
	transport_end(c);
	client_timer(c, 1);
	watch(c);
}

static void
written(struct client *c)
{
	if (c->out_size > KEEP_OUTPUT)
		output_free(c);
	c->out_off = c->out_len = 0;
	if (c->state == CLIENT_STREAMING)
		stream_pull(c);
	else if (c->state == CLIENT_CLOSING)
		close_gently(c);
	httpd_end();
}

void
client_flush(struct client *c)
{
	struct timeval tv = {WRITE_SECONDS, 0};
	ssize_t n;

	if (c->writing)
		return;
	if (!client_drained(c)) {
		n = transport_write(
		    c, c->out + c->out_off, c->out_len - c->out_off);
		if (n == -1 && errno != EAGAIN && errno != EINTR) {
			/* Nobody reads any more: the loop frees it. */
			c->out_off = c->out_len = 0;
			c->state = CLIENT_CLOSING;
			client_timer(c, 1);
			event_active(&c->timer, EV_TIMEOUT, 0);
			return;
		}
		if (n > 0) {
			c->out_off += (size_t)n;
			room_touch(c);
		}
	}
	if (client_drained(c)) {
		written(c);
		return;
	}
	c->writing = 1;
	add(&c->write, c->stream != NULL ? NULL : &tv);
}

static void
write_cb(int fd, short ev, void *arg)
{
	struct client *c;

	(void)fd;
	c = arg;
	c->writing = 0;
	if (ev & EV_TIMEOUT) {
		client_free(c);
		return;
	}
	client_flush(c);
	if (!client_drained(c))
		return;
	if (c->state == CLIENT_READING && c->unwatched)
		watch(c);
	if ((c->state == CLIENT_READING && (c->more || c->tls != NULL)) ||
	    c->list != NULL)
		turn_ready(c);
}

/* ---- input ---------------------------------------------------------- */

/* Throws content away; returns how many bytes of it were there. */
static size_t
skip(struct client *c, size_t len)
{
	size_t n;

	n = c->skip < len ? (size_t)c->skip : len;
	c->skip -= n;
	return n;
}

/* Answers what is no request; nothing can follow it. */
static void
refuse(struct client *c, int status, const char *code, const char *reason)
{
	c->close = 1;
	c->minor = 1;
	c->head = 0;
	respond_problem(c, status, code, reason);
}

/* RFC 9457 3.1.3: a kind of problem has one title, here that of its status. */
static const char *
code_of(int status)
{
	switch (status) {
	case 411:
		return "length-required";
	case 413:
		return "content-too-large";
	case 414:
		return "uri-too-long";
	case 417:
		return "expectation-failed";
	case 421:
		return "misdirected";
	case 431:
		return "head-too-large";
	case 501:
		return "not-implemented";
	case 505:
		return "version-not-supported";
	default:
		return "bad-request";
	}
}

/* A head is not complete.  Its time does not begin anew with each byte; -1
 * when it is over. */
static int
await_head(struct client *c)
{
	int64_t now;

	now = now_seconds();
	if (c->head_deadline == 0)
		c->head_deadline = now + HEAD_SECONDS;
	else if (now >= c->head_deadline)
		return -1;
	watch(c);
	return 0;
}

static void
got_head(struct client *c, const char *buf)
{
	c->head_deadline = 0;
	c->minor = c->req.minor;
	c->close = !c->req.keep_alive;
	c->head = c->req.method == HTTP_METHOD_HEAD;
	c->skip = c->req.content_length;
	if (c->req.expects_continue && c->skip > 0)
		(void)client_write(c, "HTTP/1.1 100 Continue\r\n\r\n", 25);
	route(c, buf);
}

/* Keeps what is not parsed yet; -1: no memory. */
static int
keep(struct client *c, const char *rest, size_t len)
{
	room_holds(c->in_len, len);
	free(c->in);
	c->in = NULL;
	c->in_len = 0;
	if (len == 0)
		return 0;
	c->in = malloc(len);
	if (c->in == NULL) {
		room_holds(len, 0);
		return -1;
	}
	memcpy(c->in, rest, len);
	c->in_len = len;
	return 0;
}

/* May another answer, to one of len bytes of requests, be added to what is
 * not yet written? */
static int
has_room(const struct client *c, size_t len)
{
	return c->out_len - c->out_off < room_share() && !room_over(len);
}

/*
 * One request at buf.  Returns the length of its head; 0: it is not complete;
 * len: it was refused, and so is the rest.
 */
static size_t
next_request(struct client *c, char *buf, size_t len)
{
	enum http_parse got;

	got = http_parse_head(buf, len, &c->req);
	if (got == HTTP_MORE && await_head(c) == 0)
		return 0;
	if (got != HTTP_DONE) {
		if (got == HTTP_MORE)
			refuse(c, 408, "timeout", "the request took too long");
		else
			refuse(c, c->req.status, code_of(c->req.status),
			    c->req.reason);
		return len;
	}
	len = c->req.head_len;
	got_head(c, buf);
	if (c->state == CLIENT_READING)
		http_request_init(&c->req);
	return len;
}

/* Can a request of it be answered now? */
static int
may_go_on(const struct client *c)
{
	return c->state == CLIENT_READING && !c->writing && !c->deferred;
}

/*
 * Parses and answers the len bytes in `shared`, as long as each answer is
 * complete at once, there is room for it and its share lasts; the rest is
 * kept.  -1: the client has gone.
 */
static int
client_process(struct client *c, size_t len)
{
	char *buf;
	size_t n;

	buf = shared;
	n = 1;
	do {
		if (!has_room(c, len)) {
			client_flush(c);
			if (!may_go_on(c) || !has_room(c, len))
				break;
		}
		if (replica_is_behind() || c->state != CLIENT_READING)
			break;
		n = skip(c, len);
		if (n == 0)
			n = next_request(c, buf, len);
		buf += n;
		len -= n;
	} while (
	    n > 0 && len > 0 && c->state == CLIENT_READING && !turn_is_over());
	c->more = n > 0 && len > 0;
	if (keep(c, buf, len) == -1) {
		client_free(c);
		return -1;
	}
	client_flush(c);
	/* write_cb() goes on. */
	if (c->more && c->state == CLIENT_READING && !c->writing &&
	    (room_over(len) || replica_is_behind()))
		room_defer(c);
	return 0;
}

/* 1: there may be more, which TLS may hold so that the descriptor tells nothing
 * of it; 0: there is no more now; -1: the client has gone. */
static int
client_read(struct client *c)
{
	size_t room;
	ssize_t n;

	room = READ_SIZE - c->in_len;
	n = transport_read(c, shared + c->in_len, room);
	if (n == -1 && (errno == EAGAIN || errno == EINTR))
		return 0;
	if (n <= 0) {
		client_free(c);
		return -1;
	}
	if (c->in_len > 0)
		memcpy(shared, c->in, c->in_len);
	if (client_process(c, c->in_len + (size_t)n) == -1)
		return -1;
	(void)room_find(c);
	return (size_t)n == room;
}

int
client_work(struct client *c)
{
	int full;

	if (c->state == CLIENT_HANDSHAKE) {
		handshake_work(c);
		return 0;
	}
	if (c->list != NULL && c->state == CLIENT_STREAMING)
		return c->writing ? 0 : list_work(c);
	if (!may_go_on(c))
		return 0;
	if (c->more && c->in != NULL) {
		memcpy(shared, c->in, c->in_len);
		full = client_process(c, c->in_len);
	} else
		full = client_read(c);
	if (full == -1)
		return 0;
	if (c->list != NULL)
		return !c->writing;
	if (!may_go_on(c))
		return 0;
	if (c->more || full)
		return 1;
	if (c->unwatched)
		watch(c);
	return 0;
}

static void
head_timeout(struct client *c)
{
	/* Nothing is expected of it; write_cb() looks after its reading. */
	if (c->state == CLIENT_WAITING || c->state == CLIENT_STREAMING ||
	    c->writing || c->deferred || c->turn != TURN_NONE)
		return;
	if (c->state != CLIENT_READING || c->head_deadline == 0) {
		client_free(c);
		return;
	}
	refuse(c, 408, "timeout", "the request took too long");
	client_flush(c);
}

/* A client that was told to go: what it still says is thrown away. */
static void
drain(struct client *c)
{
	char scratch[4096];
	ssize_t n;

	n = transport_read(c, scratch, sizeof(scratch));
	if (n == 0 || (n == -1 && errno != EAGAIN && errno != EINTR))
		client_free(c);
}

/* Its end, which may be behind what it has said (a record of TLS, a request).
 */
static int
has_ended(const struct client *c)
{
	struct pollfd p = {c->fd, POLLRDHUP, 0};

	return poll(&p, 1, 0) == 1;
}

static void
look_cb(int fd, short ev, void *arg)
{
	struct client *c;

	(void)fd;
	(void)ev;
	c = arg;
	if (!has_ended(c))
		return;
	c->gone = 1;
	(void)event_del(&c->read);
	if (stream_follows(c->stream))
		client_free(c);
}

/*
 * It says something, or its end, before its turn: client_done() or
 * write_cb() goes on.  Who follows a stream says nothing but that he has
 * gone, and must not keep his place until there is something to write.  Who
 * waits may have closed the half on which he sends, but loses his place first.
 */
static void
read_later(struct client *c)
{
	struct timeval tv = {LOOK_SECONDS, 0};
	char byte;
	ssize_t n;

	n = recv(c->fd, &byte, 1, MSG_PEEK);
	if (n == -1 && errno != EAGAIN && errno != EINTR) {
		client_free(c);
		return;
	}
	unwatch(c);
	if (c->state != CLIENT_WAITING && !stream_follows(c->stream))
		return;
	c->gone = has_ended(c);
	if (c->gone) {
		if (stream_follows(c->stream))
			client_free(c);
		return;
	}
	/* An end behind what was said would not be told. */
	c->looked_at = 1;
	(void)event_assign(&c->read, base, -1, EV_PERSIST, look_cb, c);
	add(&c->read, &tv);
}

static void
read_cb(int fd, short ev, void *arg)
{
	struct client *c;

	(void)fd;
	c = arg;
	if (ev & EV_TIMEOUT)
		head_timeout(c);
	else if (c->state == CLIENT_CLOSING)
		drain(c);
	else if (!may_go_on(c))
		read_later(c);
	else if (c->turn == TURN_NONE) {
		c->told = 0;
		turn_ready(c);
	} else if (++c->told == TOLD_ENOUGH)
		unwatch(c);
}

void
client_done(struct client *c)
{
	client_timer(c, 0);
	c->answer = NULL;
	if (c->close) {
		c->state = CLIENT_CLOSING;
		(void)event_del(&c->read);
		return;
	}
	if (c->state == CLIENT_READING)
		return;
	/* It was waiting or streaming; more requests may be here. */
	c->state = CLIENT_READING;
	http_request_init(&c->req);
	c->more = c->in_len > 0;
	watch(c);
	if (c->more || c->tls != NULL)
		turn_later(c);
}
