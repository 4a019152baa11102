/* sources: fuzz/frame.c fuzz/fresh.c relay/birth.c relay/buffer.c
 * relay/console.c relay/file.c relay/follow.c relay/journal_linux.c
 * relay/pump.c relay/stream.c relay/watch_linux.c common/channel.c
 * common/imsg.c common/imsg_buffer.c common/wire.c */
/* libs: event_core bsd */
/* covers: relay/relay.c relay/stream.c */
/*
 * What the parent, the manager and httpd may say to the relay: its real
 * dispatch functions, pipes, journals and log files in memory, consoles that
 * are read, full or gone.
 *
 * Input as in frame.h: who WHO_*, type an index of the messages of that
 * sender.
 */
#include <sys/socket.h>

#include <fcntl.h>
#include <stdlib.h>
#include <time.h>

#include "frame.h"

/* The program's own dispatch functions can be seen in its file alone. */
#define main program_main
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
#define MAX_PIPES 64

static const uint32_t of_parent[] = {IMSG_STREAM_OPEN, IMSG_STREAM_JOURNAL,
    IMSG_STREAM_EXIT, IMSG_STREAM_FORGET, IMSG_SINK_OPEN, IMSG_SINK_CLOSE,
    IMSG_CONSOLE_OPEN, IMSG_CONSOLE_WRITE, IMSG_CONSOLE_FLUSH,
    IMSG_LOGFILE_WRITE, IMSG_PEER, IMSG_CELLS, IMSG_STREAM_READ};
static const uint32_t of_manager[] = {IMSG_STREAM_TAIL, IMSG_STREAM_DRAINED};
static const uint32_t of_worker[] = {
    IMSG_STREAM_READ, IMSG_STREAM_READ_CANCEL, IMSG_STREAM_TAIL};

static int writers[MAX_PIPES]; /* pipes; -1: closed */
static size_t nwriters;
static int full[MAX_PIPES];
static size_t nfull;

/* Time passes when an input says so. */
int
nanosleep(const struct timespec *ts, struct timespec *left)
{
	(void)ts;
	(void)left;
	return 0;
}

/* ---- descriptors --------------------------------------------------------- */

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
	if (nwriters >= MAX_PIPES || nfull >= MAX_PIPES)
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
		return frame_connection();
	default:
		return -1;
	}
}

/* ---- the components ------------------------------------------------------ */

/* These two by the channel, as its function is not to be seen. */
static int manager_far = -1;
static int worker_far = -1;

static int
introduce(enum role role)
{
	return frame_introduce(relay_dispatch, relay.parent, role, 0);
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
	frame_turn();
	if (type & 2)
		*theirs = introduce(type & 1 ? ROLE_HTTPD : ROLE_MANAGER);
}

void
frame_record(
    unsigned int who, uint8_t type, uint8_t id, const uint8_t *data, size_t len)
{
	who %= WHO_COUNT;
	if (who == WHO_PARENT)
		frame_over = frame_say(relay_dispatch, relay.parent, NULL,
				 FRAME_TYPE(of_parent, type), id,
				 descriptor(id % FD_COUNT), data, len) == -1;
	else if (who == WHO_MANAGER && manager_far != -1)
		frame_send(
		    manager_far, FRAME_TYPE(of_manager, type), id, data, len);
	else if (who == WHO_WORKER && worker_far != -1)
		frame_send(
		    worker_far, FRAME_TYPE(of_worker, type), id, data, len);
	else if (who == WHO_TIME)
		frame_sleep(type * 10000000ULL);
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
	frame_turn();
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
	check(frame_say(relay_dispatch, relay.parent, NULL, IMSG_CELLS, 0, fd,
		  &count, sizeof(count)) == 0);
}

void
frame_begin(uint8_t options)
{
	if (options & OPT_CELLS)
		give_cells((options & OPT_OLD) != 0);
	if (options & OPT_PEERS) {
		manager_far = introduce(ROLE_MANAGER);
		worker_far = introduce(ROLE_HTTPD);
	}
}
