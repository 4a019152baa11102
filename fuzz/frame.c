#include <sys/socket.h>
#include <sys/syscall.h>

#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <event2/event.h>

#include "../common/imsg.h"
#include "../common/log.h"
#include "../common/wire.h"
#include "frame.h"
#include "fresh.h"

#define NANOSECONDS 1000000000ULL
#define MAX_FAR 64
#define TURNS 8

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int frame_over;

static uint64_t virtual_time = 1000 * NANOSECONDS;
static int playing;
static struct event_base *loop;
static int far[MAX_FAR]; /* the other ends of the connections */
static size_t nfar;
static const uint8_t *input;
static size_t input_len;
static jmp_buf the_end; /* of the program */

void
check(int condition)
{
	if (!condition)
		abort();
}

/* ---- the clock ----------------------------------------------------------- */

/* Of the fuzzer as well. */
int
clock_gettime(clockid_t clock, struct timespec *ts)
{
	if (!playing)
		return (int)syscall(SYS_clock_gettime, clock, ts);
	virtual_time += 1000;
	ts->tv_sec = (time_t)(virtual_time / NANOSECONDS);
	ts->tv_nsec = (long)(virtual_time % NANOSECONDS);
	return 0;
}

void
frame_sleep(uint64_t ns)
{
	virtual_time += ns;
}

uint64_t
frame_time(void)
{
	return virtual_time;
}

/* ---- the rest of muster -------------------------------------------------- */

void
component_peer_lost(enum role role, uint32_t number, const char *why)
{
	(void)role;
	(void)number;
	(void)why;
}

void
component_peer_late(enum role role, uint32_t number)
{
	(void)role;
	(void)number;
}

/* The texts are made, as some are long. */
#define QUIET(name) \
	void name(const char *fmt, ...) \
	{ \
		char text[64]; \
		va_list ap; \
\
		va_start(ap, fmt); \
		(void)vsnprintf(text, sizeof(text), fmt, ap); \
		va_end(ap); \
	}

QUIET(log_warn)
QUIET(log_warnx)
QUIET(log_errorx)
QUIET(log_info)
QUIET(log_debug)

void
log_set_level(enum log_level least)
{
	(void)least;
}

/* Never because of what another has sent. */
void
fatal(const char *fmt, ...)
{
	(void)fmt;
	abort();
}

void
fatalx(const char *fmt, ...)
{
	(void)fmt;
	abort();
}

/* ---- connections --------------------------------------------------------- */

int
frame_adopt(int fd)
{
	if (nfar == MAX_FAR) {
		(void)close(fd);
		return -1;
	}
	far[nfar++] = fd;
	return 0;
}

int
frame_connection(void)
{
	int fds[2];

	check(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0,
		  fds) == 0);
	if (frame_adopt(fds[0]) == 0)
		return fds[1];
	(void)close(fds[1]);
	return -1;
}

int
frame_far(void)
{
	return far[nfar - 1];
}

void
frame_turn(void)
{
	static uint8_t sink[65536];
	size_t i;
	int n;

	for (n = 0; n < TURNS; n++)
		check(event_base_loop(loop, EVLOOP_NONBLOCK) != -1);
	for (i = 0; i < nfar; i++)
		while (recv(far[i], sink, sizeof(sink), MSG_DONTWAIT) > 0)
			continue;
}

int
frame_say(channel_message_fn message, struct channel *c, void *arg,
    uint32_t type, uint32_t id, int fd, const void *data, size_t len)
{
	struct imsg imsg;
	int n;

	memset(&imsg, 0, sizeof(imsg));
	imsg.hdr.type = type;
	imsg.hdr.len = (uint32_t)(len + IMSG_HEADER_SIZE);
	imsg.hdr.peerid = id;
	imsg.buf = ibuf_open(len);
	check(imsg.buf != NULL && ibuf_add(imsg.buf, data, len) == 0);
	ibuf_fd_set(imsg.buf, fd);
	n = message(c, &imsg, arg);
	imsg_free(&imsg);
	check(n == 0 || n == -1);
	return n;
}

void
frame_send(int to, uint32_t type, uint32_t id, const void *data, size_t len)
{
	struct imsgbuf out;

	check(imsgbuf_init(&out, to) == 0);
	if (imsg_compose(&out, type, id, 0, -1, data, len) == 1)
		(void)imsgbuf_write(&out);
	imsgbuf_clear(&out);
}

int
frame_introduce(channel_message_fn dispatch, struct channel *parent,
    enum role role, uint32_t number)
{
	struct wire w;
	int fd;

	if ((fd = frame_connection()) == -1)
		return -1;
	wire_init(&w);
	wire_put_u8(&w, (uint8_t)role);
	wire_put_u32(&w, number);
	check(frame_say(dispatch, parent, NULL, IMSG_PEER, 0, fd, w.data,
		  w.len) == 0);
	wire_free(&w);
	return frame_far();
}

/* ---- the input ----------------------------------------------------------- */

static void
lost_parent(struct channel *c, const char *why, void *arg)
{
	(void)c;
	(void)why;
	(void)arg;
	abort();
}

static void
play_records(const uint8_t *data, size_t size)
{
	uint16_t len;

	for (; size >= 5 && !frame_over; data += 5 + len, size -= 5 + len) {
		memcpy(&len, data + 3, sizeof(len));
		if (len > size - 5)
			len = (uint16_t)(size - 5);
		frame_record(data[0], data[1], data[2], data + 5, len);
	}
}

/* As the real one, but for what it does to the process. */
void
component_run(struct component *component, int argc, char **argv)
{
	(void)argc;
	(void)argv;
	check(signal(SIGPIPE, SIG_IGN) != SIG_ERR);
	loop = component->base = event_base_new();
	check(loop != NULL && event_base_priority_init(loop, 3) == 0);
	component->parent = channel_new(loop, frame_connection(), 0,
	    component->dispatch, lost_parent, NULL);
	check(component->parent != NULL);
	if (component->prepare != NULL)
		component->prepare(component);
	if (component->ready != NULL)
		component->ready(component);
	frame_begin(input[0]);
	play_records(input + 1, input_len - 1);
	longjmp(the_end, 1);
}

static void
play(const uint8_t *data, size_t size)
{
	static char name[] = "fuzz";
	char *argv[] = {name, NULL};

	input = data;
	input_len = size;
	playing = 1;
	if (setjmp(the_end) == 0)
		(void)program_main(1, argv);
	playing = 0;
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (size > 0)
		fresh_run(play, data, size);
	return 0;
}
