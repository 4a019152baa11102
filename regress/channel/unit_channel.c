/* sources: common/channel.c common/imsg.c common/imsg_buffer.c common/wire.c */
/* libs: event_core bsd cmocka */
#include <sys/types.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>
#include <event2/event.h>

#include "channel.h"
#include "imsg.h"
#include "wire.h"

/* What one end has seen, and how it is to behave. */
struct end {
	struct channel *c;
	const char *why;
	unsigned int lost; /* calls of the lost function */
	unsigned int count; /* messages */
	unsigned int disorder; /* of them not in the order of their id */
	unsigned int fds; /* descriptors that came along */
	unsigned int free_at; /* free the channel in message number … */
	unsigned int refuse_at; /* return -1 */
	unsigned int pause_at;
	int poll; /* call channel_poll() from the callback */
	int keep_fds; /* leave descriptors in the message */
	int free_lost; /* free in the lost function */
	int echo; /* answer each */
	size_t bytes;
	ino_t ino; /* of the last descriptor */
};

static int send_error; /* of the next sendmsg(2) */

struct pair {
	struct event_base *base;
	struct end a;
	struct end b;
	int raw; /* the other end of a.c when it has no channel, or -1 */
};

ssize_t
sendmsg(int fd, const struct msghdr *msg, int flags)
{
	if (send_error == 0)
		return syscall(SYS_sendmsg, fd, msg, flags);
	errno = send_error;
	send_error = 0;
	return -1;
}

static int
message(struct channel *c, struct imsg *imsg, void *arg)
{
	struct end *end = arg;
	struct stat st;

	assert_ptr_equal(c, end->c);
	assert_int_equal(end->lost, 0);
	if (imsg_get_id(imsg) != end->count)
		end->disorder++;
	end->count++;
	end->bytes += imsg_get_len(imsg);
	if (!end->keep_fds) {
		int fd = imsg_get_fd(imsg);

		if (fd != -1) {
			assert_int_equal(fstat(fd, &st), 0);
			assert_int_equal(fcntl(fd, F_GETFD), FD_CLOEXEC);
			assert_int_equal(close(fd), 0);
			end->ino = st.st_ino;
			end->fds++;
		}
	}
	if (end->echo)
		(void)channel_send(c, 2, imsg_get_id(imsg), -1, "e", 1);
	if (end->poll)
		channel_poll(c);
	if (end->count == end->pause_at)
		channel_pause(c);
	if (end->count == end->refuse_at)
		return -1;
	if (end->count == end->free_at) {
		channel_free(c);
		end->c = NULL;
		/* The message is still good. */
		assert_int_equal(imsg_get_type(imsg), 1);
	}
	return 0;
}

static void
lost(struct channel *c, const char *why, void *arg)
{
	struct end *end = arg;

	assert_ptr_equal(c, end->c);
	end->lost++;
	end->why = why;
	assert_int_equal(channel_send(c, 1, 0, -1, NULL, 0), -1);
	if (end->free_lost) {
		channel_free(c);
		end->c = NULL;
	}
}

static int
open_fds(void)
{
	int count;
	int fd;

	for (count = 0, fd = 0; fd < 256; fd++)
		count += fcntl(fd, F_GETFD) != -1;
	return count;
}

static void
pair_open(struct pair *p, int flags_a, int flags_b, int raw)
{
	int sv[2];

	memset(p, 0, sizeof(*p));
	p->base = event_base_new();
	assert_non_null(p->base);
	assert_int_equal(event_base_priority_init(p->base, 2), 0);
	assert_int_equal(
	    socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, sv), 0);
	p->a.c = channel_new(p->base, sv[0], flags_a, message, lost, &p->a);
	assert_non_null(p->a.c);
	p->raw = raw ? sv[1] : -1;
	if (raw)
		return;
	p->b.c = channel_new(p->base, sv[1], flags_b, message, lost, &p->b);
	assert_non_null(p->b.c);
}

static void
pair_close(struct pair *p)
{
	channel_free(p->a.c);
	channel_free(p->b.c);
	event_base_free(p->base);
	if (p->raw != -1)
		assert_int_equal(close(p->raw), 0);
}

/* Runs the loop until nothing is left to do. */
static void
settle(struct pair *p)
{
	int quiet;

	for (quiet = 0; quiet < 3;) {
		unsigned int before = p->a.count + p->b.count;

		assert_int_not_equal(
		    event_base_loop(p->base, EVLOOP_NONBLOCK), -1);
		quiet = before == p->a.count + p->b.count ? quiet + 1 : 0;
	}
}

static void
burst_test(void **state)
{
	struct pair p;
	uint32_t i;

	(void)state;
	pair_open(&p, 0, 0, 0);
	for (i = 0; i < 10000; i++)
		assert_int_equal(
		    channel_send(p.a.c, 1, i, -1, "0123456789", 10), 0);
	settle(&p);
	assert_int_equal(p.b.count, 10000);
	assert_int_equal(p.b.bytes, 100000);
	assert_int_equal(p.b.disorder, 0);
	assert_int_equal(channel_queued(p.a.c), 0);
	pair_close(&p);
}

/* Both directions, with answers, and the largest messages there are. */
static void
echo_test(void **state)
{
	static char big[CHANNEL_MAX_MESSAGE - IMSG_HEADER_SIZE];
	struct pair p;
	uint32_t i;

	(void)state;
	pair_open(&p, 0, 0, 0);
	p.b.echo = 1;
	for (i = 0; i < 100; i++)
		assert_int_equal(
		    channel_send(p.a.c, 1, i, -1, big, sizeof(big)), 0);
	settle(&p);
	assert_int_equal(p.b.count, 100);
	assert_int_equal(p.b.bytes, 100 * sizeof(big));
	assert_int_equal(p.a.count, 100);
	assert_int_equal(p.a.disorder, 0);
	pair_close(&p);
}

static struct event *tick;
static unsigned int ticks;

static void
tick_cb(int fd, short events, void *arg)
{
	static const struct timeval now = {0, 0};
	struct pair *p = arg;

	(void)fd;
	(void)events;
	/* No more than a turn's share has come since the last time. */
	assert_in_range(p->b.count, 0, (ticks + 2) * 256);
	ticks++;
	assert_int_equal(event_add(tick, &now), 0);
}

/* A flood of tiny messages must not keep others from running. */
static void
fairness_test(void **state)
{
	struct pair p;
	uint32_t i;

	(void)state;
	pair_open(&p, 0, 0, 0);
	ticks = 0;
	tick = event_new(p.base, -1, 0, tick_cb, &p);
	assert_non_null(tick);
	for (i = 0; i < 4000; i++)
		assert_int_equal(channel_send(p.a.c, 1, i, -1, NULL, 0), 0);
	assert_int_equal(channel_flush(p.a.c), 0);
	event_active(tick, EV_TIMEOUT, 1);
	/* EVLOOP_NONBLOCK alone would not end before the tick. */
	for (i = 0; i < 100; i++)
		assert_int_not_equal(
		    event_base_loop(p.base, EVLOOP_ONCE | EVLOOP_NONBLOCK), -1);
	assert_int_equal(p.b.count, 4000);
	assert_int_equal(p.b.disorder, 0);
	assert_in_range(ticks, 15, 200);
	event_free(tick);
	pair_close(&p);
}

/* Nothing is written before the end of the turn, then all at once. */
static void
deferred_test(void **state)
{
	char buf[4096];
	struct pair p;
	uint32_t i;

	(void)state;
	pair_open(&p, 0, 0, 1);
	for (i = 0; i < 20; i++)
		assert_int_equal(channel_send(p.a.c, 1, i, -1, NULL, 0), 0);
	assert_int_equal(channel_queued(p.a.c), 320);
	assert_int_equal(recv(p.raw, buf, sizeof(buf), MSG_DONTWAIT), -1);
	assert_int_equal(event_base_loop(p.base, EVLOOP_NONBLOCK), 0);
	assert_int_equal(recv(p.raw, buf, sizeof(buf), MSG_DONTWAIT), 320);
	assert_int_equal(channel_queued(p.a.c), 0);
	pair_close(&p);
}

static void
fds_test(void **state)
{
	struct pair p;
	struct stat st;
	int before;
	int fds[2];
	uint32_t i;

	(void)state;
	before = open_fds();
	/* Also from an end that takes none itself. */
	pair_open(&p, 0, CHANNEL_ACCEPT_FDS, 0);
	for (i = 0; i < 100; i++) {
		assert_int_equal(pipe2(fds, O_CLOEXEC), 0);
		assert_int_equal(fstat(fds[0], &st), 0);
		assert_int_equal(close(fds[1]), 0);
		assert_int_equal(
		    channel_send(p.a.c, 1, 3 * i, fds[0], "x", 1), 0);
		assert_int_equal(
		    channel_send(p.a.c, 1, 3 * i + 1, -1, "y", 1), 0);
		assert_int_equal(
		    channel_send(p.a.c, 1, 3 * i + 2, -1, NULL, 0), 0);
	}
	settle(&p);
	assert_int_equal(p.b.count, 300);
	assert_int_equal(p.b.disorder, 0);
	assert_int_equal(p.b.fds, 100);
	assert_int_equal(p.b.ino, st.st_ino);
	pair_close(&p);
	assert_int_equal(open_fds(), before);
}

/* Not taken by the callback, or not allowed at all: closed. */
static void
fds_unwanted_test(void **state)
{
	struct pair p;
	int flags;
	int before;

	(void)state;
	for (flags = 0; flags <= CHANNEL_ACCEPT_FDS;
	     flags += CHANNEL_ACCEPT_FDS) {
		int fds[2];
		int open;

		before = open_fds();
		pair_open(&p, 0, flags, 0);
		open = open_fds();
		p.b.keep_fds = flags != 0;
		assert_int_equal(pipe2(fds, O_CLOEXEC), 0);
		assert_int_equal(channel_send(p.a.c, 1, 0, fds[0], "x", 1), 0);
		assert_int_equal(channel_send(p.a.c, 1, 1, fds[1], "x", 1), 0);
		settle(&p);
		assert_int_equal(p.b.count, 2);
		assert_int_equal(p.b.fds, 0);
		assert_int_equal(open_fds(), open);
		pair_close(&p);
		assert_int_equal(open_fds(), before);
	}
}

/* The peer has not gone: who has no memory is told so. */
static void
starved_test(void **state)
{
	struct pair p;

	(void)state;
	pair_open(&p, 0, 0, 0);
	assert_int_equal(channel_send(p.b.c, 1, 0, -1, "last", 4), 0);
	assert_int_equal(channel_flush(p.b.c), 0);
	assert_int_equal(channel_send(p.a.c, 1, 0, -1, "x", 1), 0);
	send_error = ENOMEM;
	assert_int_equal(channel_flush(p.a.c), -1);
	settle(&p);
	assert_int_equal(p.a.count, 1);
	assert_int_equal(p.a.lost, 1);
	assert_true(channel_no_memory(p.a.why));
	pair_close(&p);
}

/* What was sent before the end is delivered before the loss is told. */
static void
death_test(void **state)
{
	struct pair p;
	uint32_t i;

	(void)state;
	pair_open(&p, 0, 0, 0);
	for (i = 0; i < 1000; i++)
		assert_int_equal(channel_send(p.b.c, 1, i, -1, "bye", 3), 0);
	assert_int_equal(channel_flush(p.b.c), 0);
	channel_free(p.b.c);
	p.b.c = NULL;
	settle(&p);
	assert_int_equal(p.a.count, 1000);
	assert_int_equal(p.a.disorder, 0);
	assert_int_equal(p.a.lost, 1);
	assert_string_equal(p.a.why, "peer has gone");
	settle(&p);
	assert_int_equal(p.a.lost, 1);
	pair_close(&p);
}

/* The same when it is writing that finds out. */
static void
death_write_test(void **state)
{
	struct pair p;
	uint32_t i;

	(void)state;
	pair_open(&p, 0, 0, 0);
	p.a.free_lost = 1;
	for (i = 0; i < 1000; i++)
		assert_int_equal(channel_send(p.b.c, 1, i, -1, "bye", 3), 0);
	assert_int_equal(channel_flush(p.b.c), 0);
	channel_free(p.b.c);
	p.b.c = NULL;
	assert_int_equal(channel_send(p.a.c, 1, 0, -1, "hello", 5), 0);
	assert_int_equal(channel_flush(p.a.c), -1);
	assert_int_equal(channel_send(p.a.c, 1, 0, -1, "hello", 5), -1);
	settle(&p);
	assert_int_equal(p.a.count, 1000);
	assert_int_equal(p.a.lost, 1);
	pair_close(&p);
}

/* A peer that only stops reading is lost, too, whatever it says. */
static void
shutdown_test(void **state)
{
	struct pair p;

	(void)state;
	pair_open(&p, 0, 0, 1);
	assert_int_equal(shutdown(p.raw, SHUT_RD), 0);
	assert_int_equal(channel_send(p.a.c, 1, 0, -1, "hello", 5), 0);
	settle(&p);
	assert_int_equal(p.a.lost, 1);
	pair_close(&p);
}

static void
limit_test(void **state)
{
	char data[1000];
	struct pair p;
	int i;

	(void)state;
	memset(data, 0, sizeof(data));
	pair_open(&p, 0, 0, 1);
	channel_set_limit(p.a.c, (size_t)1024 * 1024);
	for (i = 0; i < 10000; i++) {
		if (channel_send(p.a.c, 1, 0, -1, data, sizeof(data)) == -1)
			break;
		(void)event_base_loop(p.base, EVLOOP_NONBLOCK);
	}
	assert_in_range(i, 500, 2000);
	assert_int_equal(p.a.lost, 0);
	assert_int_equal(channel_send(p.a.c, 1, 0, -1, NULL, 0), -1);
	settle(&p);
	assert_int_equal(p.a.lost, 1);
	assert_string_equal(p.a.why, "peer does not read");
	pair_close(&p);
}

/* Many empty messages count for the memory that they take. */
static void
limit_small_test(void **state)
{
	struct pair p;
	int i;

	(void)state;
	pair_open(&p, 0, 0, 1);
	channel_set_limit(p.a.c, (size_t)1024 * 1024);
	for (i = 0; i < 100000; i++) {
		if (channel_send(p.a.c, 1, 0, -1, NULL, 0) == -1)
			break;
	}
	assert_in_range(i, 5000, 25000);
	pair_close(&p);
}

/* A full socket: the rest goes out when the peer reads. */
static void
blocked_test(void **state)
{
	static char data[30000];
	struct pair p;
	uint32_t i;

	(void)state;
	pair_open(&p, 0, 0, 0);
	channel_pause(p.b.c);
	for (i = 0; i < 200; i++)
		assert_int_equal(
		    channel_send(p.a.c, 1, i, -1, data, sizeof(data)), 0);
	settle(&p);
	assert_int_equal(p.b.count, 0);
	assert_in_range(channel_queued(p.a.c), 1000000, 6000000);
	channel_resume(p.b.c);
	settle(&p);
	assert_int_equal(p.b.count, 200);
	assert_int_equal(p.b.disorder, 0);
	assert_int_equal(channel_queued(p.a.c), 0);
	pair_close(&p);
}

static void
pause_test(void **state)
{
	struct pair p;
	uint32_t i;

	(void)state;
	pair_open(&p, 0, 0, 0);
	p.b.pause_at = 10;
	for (i = 0; i < 50; i++)
		assert_int_equal(channel_send(p.a.c, 1, i, -1, NULL, 0), 0);
	settle(&p);
	assert_int_equal(p.b.count, 10);
	channel_poll(p.b.c);
	assert_int_equal(p.b.count, 10);
	/* Forty of them are in memory: the socket has nothing to say. */
	channel_resume(p.b.c);
	settle(&p);
	assert_int_equal(p.b.count, 50);
	assert_int_equal(p.b.disorder, 0);
	pair_close(&p);
}

static void
free_test(void **state)
{
	struct pair p;
	uint32_t i;
	int before;

	(void)state;
	before = open_fds();
	pair_open(&p, 0, CHANNEL_ACCEPT_FDS, 0);
	p.b.free_at = 5;
	p.b.echo = 1;
	p.a.free_lost = 1;
	for (i = 0; i < 50; i++)
		assert_int_equal(channel_send(p.a.c, 1, i, -1, "x", 1), 0);
	settle(&p);
	assert_int_equal(p.b.count, 5);
	assert_int_equal(p.b.lost, 0);
	assert_int_equal(p.a.lost, 1);
	assert_null(p.a.c);
	pair_close(&p);
	assert_int_equal(open_fds(), before);
}

static void
refuse_test(void **state)
{
	struct pair p;
	uint32_t i;

	(void)state;
	pair_open(&p, 0, 0, 0);
	p.b.refuse_at = 7;
	p.b.free_lost = 1;
	for (i = 0; i < 50; i++)
		assert_int_equal(channel_send(p.a.c, 1, i, -1, "x", 1), 0);
	settle(&p);
	assert_int_equal(p.b.count, 7);
	assert_int_equal(p.b.lost, 1);
	assert_string_equal(p.b.why, "malformed message");
	pair_close(&p);
}

/* Bytes that are no messages; a good one in front of them is delivered. */
static void
rubbish_test(void **state)
{
	static const uint32_t lengths[] = {
	    0, 15, CHANNEL_MAX_MESSAGE + 1, 0x7fffffff, 0xffffffff};
	struct imsg_hdr hdr[2];
	struct pair p;
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(lengths) / sizeof(lengths[0]); i++) {
		pair_open(&p, 0, 0, 1);
		memset(hdr, 0, sizeof(hdr));
		hdr[0].len = sizeof(hdr[0]);
		hdr[1].len = lengths[i];
		assert_int_equal(write(p.raw, hdr, sizeof(hdr)), sizeof(hdr));
		settle(&p);
		assert_int_equal(p.a.count, 1);
		assert_int_equal(p.a.lost, 1);
		pair_close(&p);
	}
	/* Announces a descriptor that does not come. */
	pair_open(&p, CHANNEL_ACCEPT_FDS, 0, 1);
	hdr[0].len = sizeof(hdr[0]) | 0x80000000U;
	assert_int_equal(write(p.raw, hdr, sizeof(hdr[0])), sizeof(hdr[0]));
	settle(&p);
	assert_int_equal(p.a.count, 0);
	assert_int_equal(p.a.lost, 1);
	pair_close(&p);
}

/* A message that comes byte by byte is one message. */
static void
trickle_test(void **state)
{
	unsigned char bytes[sizeof(struct imsg_hdr) + 3];
	struct imsg_hdr hdr;
	struct pair p;
	size_t i;

	(void)state;
	pair_open(&p, 0, 0, 1);
	memset(&hdr, 0, sizeof(hdr));
	memset(bytes, 'x', sizeof(bytes));
	hdr.len = sizeof(bytes);
	memcpy(bytes, &hdr, sizeof(hdr));
	for (i = 0; i < sizeof(bytes); i++) {
		assert_int_equal(p.a.count, 0);
		assert_int_equal(write(p.raw, bytes + i, 1), 1);
		settle(&p);
	}
	assert_int_equal(p.a.count, 1);
	assert_int_equal(p.a.bytes, 3);
	/* Half a message and the end. */
	assert_int_equal(write(p.raw, bytes, 10), 10);
	assert_int_equal(shutdown(p.raw, SHUT_WR), 0);
	settle(&p);
	assert_int_equal(p.a.count, 1);
	assert_int_equal(p.a.lost, 1);
	pair_close(&p);
}

static void
too_long_test(void **state)
{
	static char data[CHANNEL_MAX_MESSAGE];
	struct pair p;
	int before;

	(void)state;
	before = open_fds();
	pair_open(&p, 0, 0, 0);
	assert_int_equal(channel_send(p.a.c, 1, 0, fcntl(0, F_DUPFD_CLOEXEC, 3),
			     data, sizeof(data)),
	    -1);
	settle(&p);
	assert_int_equal(p.a.lost, 1);
	assert_string_equal(p.a.why, "message too long to send");
	pair_close(&p);
	assert_int_equal(open_fds(), before);
}

static void
wire_test(void **state)
{
	struct wire w;
	struct pair p;

	(void)state;
	pair_open(&p, 0, 0, 0);
	wire_init(&w);
	wire_put_u32(&w, 7);
	wire_put_str(&w, "text");
	assert_int_equal(channel_send_wire(p.a.c, 1, 0, -1, &w), 0);
	settle(&p);
	assert_int_equal(p.b.bytes, 12);
	w.failed = 1;
	assert_int_equal(
	    channel_send_wire(p.a.c, 1, 0, fcntl(0, F_DUPFD_CLOEXEC, 3), &w),
	    -1);
	settle(&p);
	assert_int_equal(p.a.lost, 1);
	wire_free(&w);
	pair_close(&p);
}

/* All that is there is read at once, without the loop. */
static void
poll_test(void **state)
{
	struct pair p;
	uint32_t i;

	(void)state;
	pair_open(&p, 0, 0, 0);
	/* From a callback of its own channel it does nothing. */
	p.b.poll = 1;
	for (i = 0; i < 3000; i++)
		assert_int_equal(channel_send(p.a.c, 1, i, -1, "xyz", 3), 0);
	assert_int_equal(channel_flush(p.a.c), 0);
	channel_poll(p.b.c);
	assert_int_equal(p.b.count, 3000);
	assert_int_equal(p.b.disorder, 0);
	channel_poll(p.b.c);
	/* Even the end; but that is told by the loop. */
	channel_free(p.a.c);
	p.a.c = NULL;
	channel_poll(p.b.c);
	assert_int_equal(p.b.lost, 0);
	settle(&p);
	assert_int_equal(p.b.lost, 1);
	pair_close(&p);
}

static struct event *busy;

static void
busy_cb(int fd, short events, void *arg)
{
	char buf[4096];
	struct pair *p = arg;

	(void)fd;
	(void)events;
	assert_int_equal(channel_send(p->a.c, 1, 0, -1, NULL, 0), 0);
	assert_in_range(channel_queued(p->a.c), 0, 64 * 16);
	(void)recv(p->raw, buf, sizeof(buf), MSG_DONTWAIT);
	/* Keeps the queue of its priority full. */
	if (p->b.count++ < 1000)
		event_active(busy, EV_TIMEOUT, 1);
}

/* Something more urgent that never rests keeps few messages back. */
static void
batch_test(void **state)
{
	struct pair p;

	(void)state;
	pair_open(&p, 0, 0, 1);
	busy = event_new(p.base, -1, 0, busy_cb, &p);
	assert_non_null(busy);
	assert_int_equal(event_priority_set(busy, 0), 0);
	channel_set_priority(p.a.c, 1);
	event_active(busy, EV_TIMEOUT, 1);
	settle(&p);
	assert_int_equal(p.b.count, 1001);
	event_free(busy);
	pair_close(&p);
}

static void
new_test(void **state)
{
	struct event_base *base;

	(void)state;
	base = event_base_new();
	assert_non_null(base);
	assert_null(channel_new(base, -1, 0, message, lost, NULL));
	assert_int_equal(errno, EBADF);
	event_base_free(base);
	channel_free(NULL);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(burst_test),
	    cmocka_unit_test(echo_test),
	    cmocka_unit_test(fairness_test),
	    cmocka_unit_test(deferred_test),
	    cmocka_unit_test(fds_test),
	    cmocka_unit_test(fds_unwanted_test),
	    cmocka_unit_test(starved_test),
	    cmocka_unit_test(death_test),
	    cmocka_unit_test(death_write_test),
	    cmocka_unit_test(shutdown_test),
	    cmocka_unit_test(limit_test),
	    cmocka_unit_test(limit_small_test),
	    cmocka_unit_test(blocked_test),
	    cmocka_unit_test(pause_test),
	    cmocka_unit_test(free_test),
	    cmocka_unit_test(refuse_test),
	    cmocka_unit_test(rubbish_test),
	    cmocka_unit_test(trickle_test),
	    cmocka_unit_test(too_long_test),
	    cmocka_unit_test(wire_test),
	    cmocka_unit_test(poll_test),
	    cmocka_unit_test(batch_test),
	    cmocka_unit_test(new_test),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
