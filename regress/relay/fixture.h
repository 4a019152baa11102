#ifndef MUSTER_REGRESS_RELAY_FIXTURE_H
#define MUSTER_REGRESS_RELAY_FIXTURE_H

#include <sys/types.h>

#include <stddef.h>
#include <stdint.h>

#include "../../common/imsg.h"
#include "../../common/message.h"
#include "../../common/stream.h"
#include "../../common/wire.h"

/* Bytes of each line that is written, its end included. */
#define LINE 100

/*
 * Plays the parent, the manager and a worker of httpd to a real relay: the
 * program that RELAY_BIN names, else $OBJ/libexec/muster/muster-relay.  Like
 * the parent it keeps a descriptor of each pipe, journal and file, so that a
 * relay that was killed can be replaced.  What fails fails the test.
 */

#define RIG_STREAMS 64
#define RIG_SINKS 64
#define RIG_ANSWERS 64
#define RIG_CELLS 4096
#define RIG_DRAINED 64

struct rig_stream {
	uint32_t process; /* 0: unused */
	uint32_t generation;
	uint32_t flags; /* STREAM_* */
	uint32_t sink;
	uint32_t cell;
	uint64_t capture;
	char prefix[32];
	uint8_t number;
	int reader; /* the parent's copy of the pipe; -1: closed */
	int writer; /* for the test to write to or to hand on */
	int journal; /* -1: not asked for yet */
	int wanted; /* times that it was */
	int closed; /* the relay said so */
};

struct rig_sink {
	uint32_t number;
	uint32_t flags;
	int fd; /* -1: unused */
};

/* An answer to READ or TAIL. */
struct rig_answer {
	uint32_t id;
	int32_t error;
	uint64_t offset;
	uint64_t lost;
	uint32_t generation;
	uint8_t end;
	size_t len;
	uint8_t *bytes;
};

struct rig {
	pid_t relay;
	struct imsgbuf parent;
	struct imsgbuf manager;
	struct imsgbuf worker;
	int parent_fd;
	int manager_fd; /* -1: lost */
	int worker_fd; /* -1: lost */
	int cells_fd;
	struct stream_cell *cells;
	int console_fd[2]; /* what the relay writes to, -1: none */
	uint32_t console_flags[2];
	struct rig_stream streams[RIG_STREAMS];
	struct rig_sink sinks[RIG_SINKS];
	struct rig_answer answers[RIG_ANSWERS];
	uint64_t capture; /* of streams that are opened */
	size_t answer_count;
	unsigned int answer_total; /* those forgotten as well */
	int may_end; /* that the relay ends is no failure */
	uint32_t drained[RIG_DRAINED]; /* by process: generation */
	unsigned int drained_count;
	unsigned int flushed_count;
	uint32_t flushed; /* id of the last */
	unsigned int log_count; /* lines that the relay logged */
	unsigned int accused; /* workers that it has complained of */
	char log[256]; /* the last of them */
	char dir[64]; /* a directory for files */
};

/* Setup and teardown of cmocka. */
int rig_setup(void **state);
int rig_teardown(void **state);

/* Starts the relay and tells it all that it has to know. */
void rig_start(struct rig *);
/* SIGKILL; all its channels are closed. */
void rig_kill(struct rig *);
/* The relay ends, or has ended, by itself: its wait status. */
int rig_wait_end(struct rig *);
void rig_connect_manager(struct rig *);
void rig_connect_worker(struct rig *);

/* Handles messages for that time, or until there are none (0). */
void rig_run(struct rig *, int ms);
/* Handles messages until the condition holds; fails after ten seconds. */
#define rig_until(rig, condition) \
	do { \
		int tries_ = 0; \
		while (!(condition)) { \
			if (tries_++ > 2000) \
				fail_msg("in vain: %s", #condition); \
			rig_run(rig, 5); \
		} \
	} while (0)

/* Makes a pipe and tells the relay. */
struct rig_stream *rig_open(struct rig *, uint32_t process, uint32_t generation,
    uint8_t number, uint32_t flags, uint32_t sink);
/* Without a word to the relay yet. */
struct rig_stream *rig_prepare(struct rig *, uint32_t process,
    uint32_t generation, uint8_t number, uint32_t flags, uint32_t sink);
void rig_send_open(struct rig *, struct rig_stream *, int with_pipe);
void rig_exit(struct rig *, uint32_t process, uint32_t generation);
void rig_forget(struct rig *, uint32_t process);
/* Our side of all streams, without a word to the relay. */
void rig_forget_streams(struct rig *);
/* A file of that name in the rig's directory, O_APPEND; -1 on error. */
int rig_file(struct rig *, const char *name, int flags);
/* Takes the descriptor over. */
void rig_sink(struct rig *, uint32_t number, uint32_t flags, int fd);
/* Takes the descriptor over. number: 1 or 2. */
void rig_console(struct rig *, int number, uint32_t flags, int fd);
void rig_text(struct rig *, int number, const char *text);

/* Sends to the relay as the parent, the manager, a worker. */
void rig_send(
    struct rig *, uint32_t type, uint32_t id, int fd, const struct wire *);
void rig_read(struct rig *, uint32_t id, uint32_t process, uint8_t number,
    int64_t from, uint32_t lines, uint8_t wait);
void rig_tail(struct rig *, uint32_t id, uint32_t process, uint8_t number,
    uint32_t lines);
/* The answer with that id, which is waited for. */
struct rig_answer *rig_answer(struct rig *, uint32_t id);
struct rig_answer *rig_answered(struct rig *, uint32_t id);
void rig_forget_answers(struct rig *);

/* Writes all of it to a pipe, handling messages meanwhile. */
void rig_write(struct rig *, int fd, const void *bytes, size_t len);
void rig_puts(struct rig *, int fd, const char *text);
/* Everything in a file, NUL-terminated; to be freed. */
char *rig_content(struct rig *, const char *name, size_t *len);
/* Waits until something is in the file. */
void rig_wait_more(struct rig *, const char *name);
/* Waits until the file has that many bytes. */
void rig_wait_length(struct rig *, const char *name, size_t len);
/*
 * Starts a process that writes numbered lines of 100 bytes, `block` bytes
 * with each write(2), `total` bytes in all, and ends.  Closes our end.
 */
pid_t rig_writer(struct rig *, struct rig_stream *, size_t block, size_t total);
/* The same; upper: with capital letters. */
pid_t rig_writer_case(
    struct rig *, struct rig_stream *, size_t block, size_t total, int upper);
/* That these are such lines from number `from` on. */
void rig_check_lines(const char *bytes, size_t len, uint64_t from);
/* That these are bytes of such lines from offset `from` on. */
void rig_check_part(const char *bytes, size_t len, uint64_t from);
/* That the file has just these bytes. */
void rig_check_file(
    struct rig *, const char *name, uint64_t from, uint64_t len);
/* The decimal number that follows; *end is behind it, if not NULL. */
uint64_t rig_number(const char *text, const char **end);
/* The number in such a line. */
uint64_t rig_line_number(const char *line);

#endif
