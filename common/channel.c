#include <sys/types.h>

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include <event2/event.h>
#include <event2/event_struct.h>

#include "channel.h"
#include "imsg.h"
#include "wire.h"

/*
 * Three events: reading is always on; `turn` is made active by hand when
 * something has been queued, so that it runs after all that is active now,
 * and is added for EV_WRITE only while the socket is full; `resume` goes on
 * with messages that are in memory already, after others had their turn.
 *
 * Two imsgbufs on one socket: imsg(3) allows descriptors in both directions
 * or in none, but the parent sends them to children from which it must not
 * accept any.
 */
struct channel {
	struct event read_event;
	struct event turn_event;
	struct event resume_event;
	struct imsgbuf in;
	struct imsgbuf out;
	channel_message_fn message;
	channel_lost_fn lost;
	void *arg;
	const char *why; /* lost: nothing is sent or delivered any more */
	size_t limit;
	int fd;
	int flags;
	unsigned int depth; /* functions of this file that still use it */
	unsigned int armed : 1; /* turn_event is active */
	unsigned int blocked : 1; /* turn_event waits for EV_WRITE */
	unsigned int broken : 1; /* writing has failed, reading goes on */
	unsigned int starved : 1; /* ... for want of memory */
	unsigned int told : 1; /* lost() was called */
	unsigned int reading : 1;
	unsigned int paused : 1;
	unsigned int freed : 1;
};

#define TURN_MESSAGES 256 /* delivered in one turn */
#define TURN_BYTES (64UL * 1024)
#define POLL_MESSAGES 16384 /* in one channel_poll() */
#define POLL_BYTES (4UL * 1024 * 1024)
#define BATCH_MESSAGES 64 /* written at once when they have come together */
#define BATCH_BYTES (64UL * 1024)
#define TURN_WRITES 8 /* imsgbuf_write() in one turn */
#define LAST_READS 64 /* receive() after writing has failed */
#define MESSAGE_COST 96 /* bytes of memory that a queued message needs */

const char channel_gone[] = "peer has gone";

static void (*many)(void);
static unsigned int received; /* by all channels */

/* What may still be delivered. */
struct budget {
	size_t messages;
	size_t bytes;
};

/* Makes turn_event run after the callbacks that are active now (of its
 * priority). */
static void
arm(struct channel *c)
{
	if (c->armed || c->blocked)
		return;
	c->armed = 1;
	event_active(&c->turn_event, EV_WRITE, 1);
}

static const char no_memory[] = "out of memory";
static const char not_made[] = "message could not be made";

int
channel_no_memory(const char *why)
{
	return why == no_memory || why == not_made;
}

/* Stops everything; lost() is called by turn_cb(). */
static void
fail(struct channel *c, const char *why)
{
	if (c->why != NULL)
		return;
	c->why = why;
	(void)event_del(&c->read_event);
	(void)event_del(&c->resume_event);
	if (c->blocked) {
		(void)event_del(&c->turn_event);
		c->blocked = 0;
	}
	arm(c);
}

static void
destroy(struct channel *c)
{
	imsgbuf_clear(&c->in);
	imsgbuf_clear(&c->out);
	free(c);
}

/* Callbacks may free the channel: it stays until the last leave(). */
static void
enter(struct channel *c)
{
	c->depth++;
}

static void
leave(struct channel *c)
{
	if (--c->depth == 0 && c->freed)
		destroy(c);
}

static const char *
read_error(int error)
{
	switch (error) {
	case ECONNRESET:
	case EPIPE:
		return channel_gone;
	case EBADMSG:
		return "malformed message";
	case ERANGE:
		return "message too long";
	case EMFILE:
		return "descriptors were lost";
	case ENOMEM:
		return no_memory;
	default:
		return "read error";
	}
}

/* Nothing may be delivered now. */
static int
stopped(const struct channel *c)
{
	return c->why != NULL || c->paused;
}

/* Delivers messages that have been read.  Returns their number. */
static size_t
deliver(struct channel *c, struct budget *left)
{
	struct imsg imsg;
	size_t count;

	for (count = 0; !stopped(c) && left->messages > 0 && left->bytes > 0;
	     count++) {
		size_t len;
		int n;

		n = imsgbuf_get(&c->in, &imsg);
		if (n == -1)
			fail(c, read_error(errno));
		if (n != 1)
			break;
		len = imsg_get_len(&imsg) + IMSG_HEADER_SIZE;
		left->bytes -= len < left->bytes ? len : left->bytes;
		left->messages--;
		if (++received % CHANNEL_MANY == 0 && many != NULL)
			many();
		n = c->message(c, &imsg, c->arg);
		/* Closes the descriptor as well, if it was not taken. */
		imsg_free(&imsg);
		if (n == -1)
			fail(c, "malformed message");
	}
	return count;
}

/*
 * Delivers what is in memory, reads and delivers, in turns while something
 * comes and the budget allows it.  A channel without descriptors gets all
 * that fits into the buffer with one read, so that the next would be one
 * too many; with them each one needs a read of its own.
 */
static void
receive(struct channel *c, struct budget *left, int again)
{
	static const struct timeval soon = {0, 0};
	size_t count;

	c->reading = 1;
	(void)event_del(&c->resume_event);
	(void)deliver(c, left);
	do {
		int n;

		if (stopped(c) || left->messages == 0 || left->bytes == 0)
			break;
		n = imsgbuf_read(&c->in);
		if (n != 1) {
			fail(c, n == 0 ? channel_gone : read_error(errno));
			break;
		}
		count = deliver(c, left);
	} while (again && count > 0);
	c->reading = 0;
	if (!stopped(c) && (left->messages == 0 || left->bytes == 0))
		(void)event_add(&c->resume_event, &soon);
}

static void
receive_cb(int fd, short events, void *arg)
{
	struct budget left = {TURN_MESSAGES, TURN_BYTES};
	struct channel *c = arg;

	(void)fd;
	(void)events;
	enter(c);
	receive(c, &left, c->flags & CHANNEL_ACCEPT_FDS);
	leave(c);
}

/* Writes what the socket takes; waits for room if something is left. */
static void
transmit(struct channel *c)
{
	int i;

	for (i = 0; i < TURN_WRITES && imsgbuf_queuelen(&c->out) > 0; i++) {
		size_t before = imsgbuf_queuebytes(&c->out);

		if (imsgbuf_write(&c->out) == -1) {
			c->broken = 1;
			c->starved = errno == ENOMEM;
			imsgbuf_clear(&c->out);
			break;
		}
		if (imsgbuf_queuebytes(&c->out) == before)
			break;
	}
	if (imsgbuf_queuelen(&c->out) > 0) {
		if (!c->blocked) {
			/* Not active and added at once: it has one meaning. */
			(void)event_del(&c->turn_event);
			c->armed = 0;
			c->blocked = 1;
			(void)event_add(&c->turn_event, NULL);
		}
		return;
	}
	if (c->blocked) {
		(void)event_del(&c->turn_event);
		c->blocked = 0;
	}
	if (c->broken)
		arm(c);
}

/*
 * Writing has failed, but what the peer had sent before it went is still
 * there.  One that has only stopped reading is lost nevertheless.
 */
static void
read_last(struct channel *c)
{
	struct budget left;
	int i;

	c->paused = 0;
	for (i = 0; i < LAST_READS && c->why == NULL; i++) {
		left.messages = TURN_MESSAGES;
		left.bytes = TURN_BYTES;
		receive(c, &left, 1);
		if (left.messages == TURN_MESSAGES)
			break;
	}
	fail(c, c->starved ? no_memory : channel_gone);
}

static void
turn_cb(int fd, short events, void *arg)
{
	struct channel *c = arg;

	(void)fd;
	(void)events;
	c->armed = 0;
	c->blocked = 0;
	enter(c);
	if (c->why == NULL && !c->broken)
		transmit(c);
	else if (c->why == NULL)
		read_last(c);
	if (c->why != NULL && !c->told && !c->freed) {
		c->told = 1;
		c->lost(c, c->why, c->arg);
	}
	leave(c);
}

static int
set_flags(int fd)
{
	int flags;

	if (fcntl(fd, F_SETFD, FD_CLOEXEC) == -1)
		return -1;
	flags = fcntl(fd, F_GETFL);
	if (flags == -1)
		return -1;
	if ((flags & O_NONBLOCK) != 0)
		return 0;
	return fcntl(fd, F_SETFL, flags | O_NONBLOCK);
}

/* The imsgbufs and events of a new channel.  0 or -1. */
static int
setup(struct channel *c, struct event_base *base)
{
	const uint32_t max = CHANNEL_MAX_MESSAGE - IMSG_HEADER_SIZE;

	if (set_flags(c->fd) == -1)
		return -1;
	if (imsgbuf_init(&c->in, c->fd) == -1 ||
	    imsgbuf_init(&c->out, c->fd) == -1)
		return -1;
	if (imsgbuf_set_maxsize(&c->in, max) == -1 ||
	    imsgbuf_set_maxsize(&c->out, max) == -1)
		return -1;
	imsgbuf_allow_fdpass(&c->out);
	if ((c->flags & CHANNEL_ACCEPT_FDS) != 0)
		imsgbuf_allow_fdpass(&c->in);
	if (event_assign(&c->read_event, base, c->fd, EV_READ | EV_PERSIST,
		receive_cb, c) == -1 ||
	    event_assign(&c->turn_event, base, c->fd, EV_WRITE, turn_cb, c) ==
		-1 ||
	    event_assign(&c->resume_event, base, -1, 0, receive_cb, c) == -1)
		return -1;
	return event_add(&c->read_event, NULL);
}

struct channel *
channel_new(struct event_base *base, int fd, int flags,
    channel_message_fn message, channel_lost_fn lost, void *arg)
{
	struct channel *c;

	c = calloc(1, sizeof(*c));
	if (c == NULL) {
		(void)close(fd);
		errno = ENOMEM;
		return NULL;
	}
	c->message = message;
	c->lost = lost;
	c->arg = arg;
	c->fd = fd;
	c->flags = flags;
	c->limit = CHANNEL_QUEUE_LIMIT;
	if (setup(c, base) == -1) {
		int error = errno;

		destroy(c);
		(void)close(fd);
		errno = error;
		return NULL;
	}
	return c;
}

void
channel_free(struct channel *c)
{
	if (c == NULL || c->freed)
		return;
	(void)event_del(&c->read_event);
	(void)event_del(&c->turn_event);
	(void)event_del(&c->resume_event);
	(void)close(c->fd);
	c->freed = 1;
	/* For a caller up the stack that still sends something. */
	c->told = 1;
	c->armed = 1;
	c->why = "freed";
	if (c->depth == 0)
		destroy(c);
}

int
channel_send(struct channel *c, uint32_t type, uint32_t id, int fd,
    const void *data, size_t len)
{
	size_t cost;

	if (c->why != NULL || c->broken)
		goto drop;
	if (imsg_compose(&c->out, type, id, 0, fd, data, len) == -1) {
		fail(c,
		    errno == ERANGE ? "message too long to send" : no_memory);
		goto drop;
	}
	cost = imsgbuf_queuebytes(&c->out) +
	    (size_t)imsgbuf_queuelen(&c->out) * MESSAGE_COST;
	if (cost > c->limit) {
		fail(c, "peer does not read");
		return -1;
	}
	arm(c);
	/* More of them would make the call no cheaper. */
	if (!c->blocked &&
	    (imsgbuf_queuelen(&c->out) >= BATCH_MESSAGES ||
		imsgbuf_queuebytes(&c->out) >= BATCH_BYTES))
		transmit(c);
	return 0;
drop:
	if (fd != -1)
		(void)close(fd);
	return -1;
}

int
channel_send_wire(
    struct channel *c, uint32_t type, uint32_t id, int fd, const struct wire *w)
{
	if (wire_check(w) == -1) {
		fail(c, not_made);
		if (fd != -1)
			(void)close(fd);
		return -1;
	}
	return channel_send(c, type, id, fd, w->data, w->len);
}

int
channel_flush(struct channel *c)
{
	if (c->why != NULL || c->broken)
		return -1;
	transmit(c);
	return c->broken ? -1 : 0;
}

void
channel_poll(struct channel *c)
{
	struct budget left = {POLL_MESSAGES, POLL_BYTES};

	/* A callback of this channel that asks for the next message. */
	if (c->reading || stopped(c))
		return;
	enter(c);
	receive(c, &left, 1);
	leave(c);
}

unsigned int
channel_received(void)
{
	return received;
}

void
channel_on_many(void (*fn)(void))
{
	many = fn;
}

size_t
channel_queued(const struct channel *c)
{
	/* imsg(3) has no const. */
	struct imsgbuf out = c->out;

	return imsgbuf_queuebytes(&out);
}

void
channel_set_limit(struct channel *c, size_t bytes)
{
	c->limit = bytes;
}

void
channel_set_priority(struct channel *c, int priority)
{
	(void)event_priority_set(&c->read_event, priority);
	(void)event_priority_set(&c->turn_event, priority);
	(void)event_priority_set(&c->resume_event, priority);
}

void
channel_pause(struct channel *c)
{
	if (c->why != NULL || c->paused)
		return;
	c->paused = 1;
	(void)event_del(&c->read_event);
	(void)event_del(&c->resume_event);
}

void
channel_resume(struct channel *c)
{
	static const struct timeval soon = {0, 0};

	if (c->why != NULL || !c->paused)
		return;
	c->paused = 0;
	(void)event_add(&c->read_event, NULL);
	/* Messages that are in memory already do not wake us up. */
	if (!c->reading)
		(void)event_add(&c->resume_event, &soon);
}

void
message_read(struct wire_reader *r, struct imsg *imsg)
{
	struct ibuf payload;

	if (imsg_get_ibuf(imsg, &payload) == -1)
		wire_read(r, NULL, 0);
	else
		wire_read(r, ibuf_data(&payload), ibuf_size(&payload));
}
