/* sources: fuzz/fresh.c relay/buffer.c relay/console.c relay/file.c
 * relay/follow.c relay/journal_linux.c relay/pump.c relay/stream.c
 * relay/watch_linux.c common/channel.c common/imsg.c common/imsg_buffer.c
 * common/wire.c */
/* libs: event_core bsd */
/*
 * What the parent, the manager and httpd may say to the relay: its real
 * dispatch functions, pipes, journals and log files in memory, consoles that
 * are read, full or gone.  Time passes when an input says so.
 *
 * Input: u8 options, then records of u8 who (WHO_*), u8 type (index of the
 * messages of that sender), u8 id, u16 length, payload.
 */
#include <sys/socket.h>
#include <sys/syscall.h>

#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <time.h>

#include "fresh.h"

/* The program's own dispatch functions can be seen in its file alone. */
#define main relay_main
int relay_main(int, char **);
/* NOLINTNEXTLINE(bugprone-suspicious-include) */
#include "../relay/relay.c"
#undef main

#define OPT_CELLS 1
#define OPT_PEERS 2
#define OPT_OLD 4 /* cells that another relay has left */

#define WHO_PARENT 0 /* id: which descriptor comes with it, FD_* */
#define WHO_MANAGER 1
#define WHO_WORKER 2
#define WHO_TIME 3 /* type: in 10 ms */
#define WHO_WRITE 4 /* to pipe `id`; type: so often */
#define WHO_CLOSE 5 /* the writing end of pipe `id` */
#define WHO_GONE 6 /* type: the manager, the worker */
#define WHO_READ 7 /* the pipes that are full */
#define WHO_COUNT 8

#define FD_NONE 0
#define FD_PIPE 1 /* its writing end is ours */
#define FD_FULL 2 /* the writing end of a pipe that nobody reads */
#define FD_BROKEN 3 /* of one that nobody can read */
#define FD_FILE 4
#define FD_NULL 5
#define FD_SOCKET 6
#define FD_COUNT 7

#define CELLS 16
#define MAX_FAR 64

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const uint32_t of_parent[] = {IMSG_STREAM_OPEN, IMSG_STREAM_JOURNAL,
    IMSG_STREAM_EXIT, IMSG_STREAM_FORGET, IMSG_SINK_OPEN, IMSG_SINK_CLOSE,
    IMSG_CONSOLE_OPEN, IMSG_CONSOLE_WRITE, IMSG_CONSOLE_FLUSH,
    IMSG_LOGFILE_WRITE, IMSG_PEER, IMSG_CELLS, IMSG_STREAM_READ};
static const uint32_t of_manager[] = {IMSG_STREAM_TAIL, IMSG_STREAM_DRAINED};
static const uint32_t of_worker[] = {
    IMSG_STREAM_READ, IMSG_STREAM_READ_CANCEL, IMSG_STREAM_TAIL};

static uint64_t virtual_time = 1000 * 1000000000ULL;
static int playing;
static int over; /* the parent has sent rubbish: the program has ended */
static int far[MAX_FAR]; /* sockets: the other ends */
static size_t nfar;
static int writers[MAX_FAR]; /* pipes; -1: closed */
static size_t nwriters;
static int full[MAX_FAR];
static size_t nfull;

static void
check(int condition)
{
	if (!condition)
		abort();
}

/* ---- the rest of the program -------------------------------------------- */

/* Of the fuzzer as well. */
int
clock_gettime(clockid_t clock, struct timespec *ts)
{
	if (!playing)
		return (int)syscall(SYS_clock_gettime, clock, ts);
	virtual_time += 1000;
	ts->tv_sec = (time_t)(virtual_time / 1000000000);
	ts->tv_nsec = (long)(virtual_time % 1000000000);
	return 0;
}

int
nanosleep(const struct timespec *ts, struct timespec *left)
{
	(void)ts;
	(void)left;
	return 0;
}

void
component_run(struct component *component, int argc, char **argv)
{
	(void)component;
	(void)argc;
	(void)argv;
	abort();
}

void
component_peer_lost(enum role role, uint32_t number, const char *why)
{
	(void)role;
	(void)number;
	(void)why;
}

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

/* ---- descriptors --------------------------------------------------------- */

static int
connection(void)
{
	int fds[2];

	check(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fds) == 0);
	check(nfar < MAX_FAR);
	far[nfar++] = fds[0];
	return fds[1];
}

static int
pipe_of(unsigned int kind)
{
	int fds[2];

	check(pipe2(fds, O_CLOEXEC | O_NONBLOCK) == 0);
	if (kind == FD_PIPE) {
		writers[nwriters++] = fds[1];
		return fds[0];
	}
	if (kind == FD_BROKEN)
		(void)close(fds[0]);
	else {
		(void)fcntl(fds[1], F_SETPIPE_SZ, 4096);
		full[nfull++] = fds[0];
	}
	return fds[1];
}

static int
descriptor(unsigned int kind)
{
	if (nfar >= MAX_FAR || nwriters >= MAX_FAR || nfull >= MAX_FAR)
		return -1;
	switch (kind) {
	case FD_PIPE:
	case FD_FULL:
	case FD_BROKEN:
		return pipe_of(kind);
	case FD_FILE:
		return memfd_create("file", MFD_CLOEXEC);
	case FD_NULL:
		return open("/dev/null", O_RDWR | O_CLOEXEC);
	case FD_SOCKET:
		return connection();
	default:
		return -1;
	}
}

/* ---- the components ------------------------------------------------------ */

/* As the loop would; whoever is connected reads all that it gets. */
static void
turn(void)
{
	static uint8_t sink[65536];
	size_t i;
	int n;

	for (n = 0; n < 8; n++)
		check(event_base_loop(relay.base, EVLOOP_NONBLOCK) != -1);
	for (i = 0; i < nfar; i++)
		while (recv(far[i], sink, sizeof(sink), MSG_DONTWAIT) > 0)
			continue;
}

static int
say_parent(uint32_t type, uint32_t id, int fd, const void *data, size_t len)
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
	n = relay_dispatch(relay.parent, &imsg, NULL);
	imsg_free(&imsg);
	return n;
}

/* By the channel, as its function is not to be seen: the last introduced. */
static void
say_far(int fd, uint32_t type, uint32_t id, const uint8_t *data, size_t len)
{
	struct imsgbuf out;

	check(imsgbuf_init(&out, fd) == 0);
	if (imsg_compose(&out, type, id, 0, -1, data, len) == 1)
		(void)imsgbuf_flush(&out);
	imsgbuf_clear(&out);
}

static int manager_far = -1;
static int worker_far = -1;

static void
introduce(uint8_t role, int *theirs)
{
	uint8_t message[5] = {0};
	int fd;

	if (nfar >= MAX_FAR)
		return;
	message[0] = role;
	fd = connection();
	*theirs = far[nfar - 1];
	check(say_parent(IMSG_PEER, 0, fd, message, sizeof(message)) == 0);
}

static void
write_pipe(uint8_t id, uint8_t times, const uint8_t *data, size_t len)
{
	unsigned int i;

	if (nwriters == 0 || len == 0 || writers[id % nwriters] == -1)
		return;
	for (i = 0; i <= times; i++)
		if (write(writers[id % nwriters], data, len) == -1)
			break;
}

static void
read_full(void)
{
	uint8_t sink[4096];
	size_t i;

	for (i = 0; i < nfull; i++)
		while (read(full[i], sink, sizeof(sink)) > 0)
			continue;
}

/* Whoever went may be introduced anew. */
static void
gone(uint8_t type)
{
	int *theirs;

	theirs = type & 1 ? &worker_far : &manager_far;
	if (*theirs != -1)
		(void)shutdown(*theirs, SHUT_RDWR);
	*theirs = -1;
	turn();
	if (type & 2)
		introduce(type & 1 ? ROLE_HTTPD : ROLE_MANAGER, theirs);
}

#define TYPE(list) (list)[type % (sizeof(list) / sizeof((list)[0]))]

static void
record(
    unsigned int who, uint8_t type, uint8_t id, const uint8_t *data, size_t len)
{
	if (who == WHO_PARENT)
		over = say_parent(TYPE(of_parent), id,
			   descriptor(id % FD_COUNT), data, len) == -1;
	else if (who == WHO_MANAGER && manager_far != -1)
		say_far(manager_far, TYPE(of_manager), id, data, len);
	else if (who == WHO_WORKER && worker_far != -1)
		say_far(worker_far, TYPE(of_worker), id, data, len);
	else if (who == WHO_TIME)
		virtual_time += type * 10000000ULL;
	else if (who == WHO_WRITE)
		write_pipe(id, type, data, len);
	else if (who == WHO_CLOSE && nwriters > 0) {
		if (writers[id % nwriters] != -1)
			(void)close(writers[id % nwriters]);
		writers[id % nwriters] = -1;
	} else if (who == WHO_GONE)
		gone(type);
	else if (who == WHO_READ)
		read_full();
	turn();
}

/* ---- the beginning ------------------------------------------------------- */

static void
give_cells(int old)
{
	struct stream_cell cells[CELLS + 1];
	const uint32_t count = CELLS;
	size_t i;
	int fd;

	memset(cells, 0, sizeof(cells));
	for (i = 0; old && i < CELLS; i++) {
		cells[i].generation = 1 + (uint32_t)i % 3;
		cells[i].offset = 1000 * i;
		cells[i].show = 900 * i;
		cells[i].sink_stream = 800 * i;
		cells[i].generation_start = 700 * i;
		cells[i].flags = CELL_SINK_BASED;
	}
	fd = memfd_create("cells", MFD_CLOEXEC);
	check(fd != -1 && write(fd, cells, sizeof(cells)) == sizeof(cells));
	check(say_parent(IMSG_CELLS, 0, fd, &count, sizeof(count)) == 0);
}

static void
lost_parent(struct channel *c, const char *why, void *arg)
{
	(void)c;
	(void)why;
	(void)arg;
	abort();
}

static void
begin(uint8_t options)
{
	static struct component component = {.name = "relay"};

	check(signal(SIGPIPE, SIG_IGN) != SIG_ERR);
	component.base = event_base_new();
	check(component.base != NULL &&
	    event_base_priority_init(component.base, 3) == 0);
	component.parent = channel_new(
	    component.base, connection(), 0, relay_dispatch, lost_parent, NULL);
	check(component.parent != NULL);
	relay_prepare(&component);
	relay_ready(&component);
	if (options & OPT_CELLS)
		give_cells((options & OPT_OLD) != 0);
	if (options & OPT_PEERS) {
		introduce(ROLE_MANAGER, &manager_far);
		introduce(ROLE_HTTPD, &worker_far);
	}
}

static void
play(const uint8_t *data, size_t size)
{
	uint16_t len;

	playing = 1;
	begin(data[0]);
	for (data++, size--; size >= 5 && !over;
	     data += 5 + len, size -= 5 + len) {
		memcpy(&len, data + 3, sizeof(len));
		if (len > size - 5)
			len = (uint16_t)(size - 5);
		record(data[0] % WHO_COUNT, data[1], data[2], data + 5, len);
	}
	playing = 0;
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (size > 0)
		fresh_run(play, data, size);
	return 0;
}
