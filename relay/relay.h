#ifndef MUSTER_RELAY_H
#define MUSTER_RELAY_H

#include <sys/types.h>

#include <stddef.h>
#include <stdint.h>

#include <bsd/sys/queue.h>

#include "message.h"
#include "stream.h"

struct channel;
struct console_item;
struct event_base;
struct imsg;
struct sink;
struct waiter;

/*
 * muster-relay carries what the jobs write.
 *
 *	pipes ──splice──> journal ──> log file   (file.c)
 *	                     │──────> console    (console.c)
 *	                     └──────> readers    (follow.c: httpd, manager)
 *
 * Everything that it must know after a crash is in the journals, in the
 * stream cells (common/stream.h) and in what the parent sends anew.
 */

/* ---- relay.c ------------------------------------------------------------ */

struct relay {
	struct event_base *base;
	struct channel *parent;
	struct channel *manager; /* NULL while there is none */
	struct stream_cell *cells; /* shared with httpd and the next relay */
	uint32_t cell_count;
};

extern struct relay relay;

/* To the manager, if there is one: the process has been drained. */
void relay_send_drained(uint32_t process, uint32_t generation);
/* To the manager, if there is one. */
void relay_send_flushed(uint32_t id);
/* Arms a timer that was made with evtimer_new(3); milliseconds. */
struct event;
void relay_arm(struct event *, unsigned int ms);

/* ---- buffer.c ----------------------------------------------------------- */

#define BUFFER_SIZE (256UL * 1024)

/* Reserves the address space (no memory).  fatal() when it cannot. */
void buffer_init(void);
/*
 * The one buffer of this program, valid until the caller returns: BUFFER_SIZE
 * bytes when `want` is large, at least `want` when it is small.  Its memory
 * is given back a second after the last use.
 */
uint8_t *buffer_get(size_t want);

/* ---- watch_linux.c ------------------------------------------------------ */

#define WATCH_BATCH 64

/*
 * The set of watched pipes: one epoll(7) instance of our own in libevent's
 * loop.  A thousand idle streams would cost 200 bytes each as events.
 */
struct watched {
	void *arg;
	int hangup; /* no writer is left */
};

/* Returns the descriptor to wait for.  fatal() when it cannot. */
int watch_init(void);
int watch_add(int fd, void *arg); /* 0 or -1 */
void watch_remove(int fd);
/* What is readable now, WATCH_BATCH at most, the longest waiting first. */
int watch_ready(struct watched *);

/* ---- journal_linux.c ---------------------------------------------------- */

#define JOURNAL_LAP_MIN (64UL * 1024)
#define JOURNAL_LAP_MAX (512UL * 1024 * 1024)

/*
 * A journal is a memfd that is written round and round: see journal_linux.c
 * for why a reader of any age finds it consistent.
 */
struct journal {
	uint64_t base; /* stream offset where this lap began */
	uint64_t end; /* stream offset of the next byte */
	uint32_t previous; /* bytes of the lap before */
	int fd; /* owned, -1: not there yet */
};

void journal_init(struct journal *);
void journal_close(struct journal *);
/*
 * Takes the memfd over and finds out where the last relay has stopped.  0;
 * -1 when it is not a journal (fd is then closed).
 */
int journal_open(struct journal *, int fd);
/*
 * Moves what is in the pipe, `max` bytes at most, into the journal, in one
 * step that a kill cannot divide.  `lap` is the length of a lap in bytes;
 * bytes from offset `oldest` on are not overwritten (UINT64_MAX: all may
 * be).  Returns the number of bytes, 0 at end of file, -1 with errno set:
 * EAGAIN nothing there, ENOBUFS no room because of `oldest`.
 */
ssize_t journal_splice(
    struct journal *, int pipe, size_t max, uint32_t lap, uint64_t oldest);
/* Offset of the oldest byte that is still there. */
uint64_t journal_start(const struct journal *);
/*
 * Reads exactly `len` bytes at offset `from`, which must all be there (start
 * to end).  0 or -1.
 */
int journal_read(const struct journal *, uint64_t from, void *buf, size_t len);
/* Bytes in a pipe now. */
size_t journal_waiting(int pipe);
#define GROWN_PIPE (256UL * 1024)
/* Makes a pipe so large.  -1: it stays as it is, which does no harm. */
int journal_grow(int pipe);

/* ---- pump.c -------------------------------------------------------------- */

/* The pipe of one process, stream and generation. */
struct pipe_end {
	SLIST_ENTRY(pipe_end) next;
	struct stream *stream;
	uint32_t generation;
	int fd : 22; /* owned; -1 once closed */
	unsigned int flags : 10; /* PIPE_* */
};

#define PIPE_WATCHED 1
#define PIPE_GROWN 2 /* or tried to */
#define PIPE_ENDED 4 /* the process has ended ... */
#define PIPE_DRAINED 8 /* ... and what it had written then is in */
#define PIPE_STUCK 16 /* splice, or the watch, failed: tried again later */
#define PIPE_TOLD 32 /* that was told */
#define PIPE_LARGE 64 /* GROWN_PIPE */
#define PIPE_HOT 128 /* not watched, but looked at by a timer */
#define PIPE_TOOK 256 /* something, since the last sweep of those */

/* Watches pipes in the loop. */
void pump_init(void);
void pipe_watch(struct pipe_end *);
/* Moves what is in the pipe now, then its generation may be drained. */
void pipe_drain(struct pipe_end *);
/* Moves what is in it now, and no more, as a grandchild may go on writing for
 * ever; `force`: readers are not waited for.  0, or -1: it cannot be now. */
int pipe_empty(struct pipe_end *, int force);
/* End of file: tells the parent, frees it. */
void pipe_finish(struct pipe_end *);
void pipe_free(struct pipe_end *);
/* Stops or goes on with all pipes of a stream. */
void stream_watch(struct stream *, int on);
/* Readers whose next byte has been overwritten go on at what is left. */
void stream_skip(struct stream *);

/* ---- stream.c -------------------------------------------------------------
 */

/* Standard output or error of a process over all its generations. */
struct stream {
	SLIST_HEAD(pipe_list, pipe_end) pipes;
	struct process *process; /* NULL: forgotten, has bytes to deliver */
	struct journal journal;
	struct sink *sink;
	SLIST_ENTRY(stream) of_sink;
	LIST_HEAD(waiter_list, waiter) waiters; /* readers that wait for more */
	struct console_item *shown; /* last of it in the console's queue */
	char *prefix; /* of each shown line, or NULL */
	uint64_t sink_next; /* offset of the next byte for the log file */
	uint64_t sink_length; /* expected length of the log file */
	uint64_t show; /* offset of the next byte for the console */
	uint32_t capture; /* bytes that are kept at least */
	uint32_t cell; /* NO_ENTRY once forgotten */
	uint32_t generation; /* the latest */
	struct begin *births; /* of those before it, birth.c */
	uint32_t nbirths;
	uint8_t number; /* STREAM_STDOUT, STREAM_STDERR */
	uint8_t flags; /* STREAM_SHOW, STREAM_SHOW_STDERR, STREAM_BLOCK */
	uint8_t state; /* STATE_* */
};

#define STATE_WANTED 1 /* a journal was asked for */
#define STATE_BASED 2 /* sink_next and sink_length are known */
#define STATE_PARKED 4 /* pipes are not watched: a reader is slow */

struct process {
	SLIST_ENTRY(process) next;
	struct stream *streams[CELLS_PER_SLOT];
	uint32_t id;
	uint32_t latest; /* generation */
	uint32_t drained; /* generation, 0: none yet */
	uint32_t ended; /* generation that is to be drained soon, or 0 */
};

void stream_init(void);
/* Messages of the parent: 0, or -1 when malformed. */
int stream_open(struct imsg *);
int stream_journal(struct imsg *);
int stream_exit(struct imsg *);
int stream_forget(struct imsg *);
/* NULL when there is none. */
struct stream *stream_find(uint32_t process, uint8_t number);
/* Calls the function for all that are not forgotten. */
void stream_each(void (*)(struct stream *));
/* Takes what is in its pipes; who waits for a reader goes on waiting. */
void stream_empty(struct stream *);
/* The stream's cell; one that nobody sees when it is forgotten. */
struct stream_cell *stream_cell(const struct stream *);
/* The generation that is the latest has ended and all of it has been read. */
int stream_ended(const struct stream *);
/* Bytes that a reader did not get. */
void stream_count_dropped(const struct stream *, uint64_t bytes);
/*
 * A reader has caught up: goes on with a parked stream, frees a forgotten
 * one that has nothing left to deliver (the stream may be gone afterwards).
 */
void stream_progress(struct stream *);
/* Tells the manager, once all pipes of an ended generation are drained. */
void process_check(struct process *, uint32_t generation);
/* Tells a new manager what its predecessor may have missed. */
void stream_tell_drained(void);

/* ---- file.c: log files -------------------------------------------------- */

#define SINK_LOGFILE 0 /* number of musterd's own log file (-l) */
#define SINK_NUMBERS (1U << 24) /* fits beside the flags of a cell */

int sink_open(struct imsg *);
int sink_close(struct imsg *);
/* Gives the stream to that log file (NO_ENTRY: to none). */
void sink_attach(struct stream *, uint32_t number);
void sink_detach(struct stream *);
/* Number of the log file, NO_ENTRY: none. */
uint32_t sink_number(const struct stream *);
/* Journal or file have come: finds the place to go on. */
void sink_ready(struct stream *);
/* Writes what is new.  `all`: also a line without its end (shared files). */
void sink_push(struct stream *, int all);
/* The journal has overtaken the cursor. */
void sink_skip(struct stream *, uint64_t start);
/*
 * Offset from which the log file still needs bytes, UINT64_MAX: none.
 * `working`: counts only if it can be written.
 */
uint64_t sink_oldest(const struct stream *, int working);
/* A line for the log file of musterd.  0, or -1 when there is none. */
int sink_text(const char *text, size_t len);

/* ---- console.c ---------------------------------------------------------- */

void console_init(void);
int console_open(struct imsg *);
/* Texts are counted there, from what the relay before has left. */
void console_count(uint64_t *);
int console_write(struct imsg *);
int console_flush(struct imsg *);
int console_logfile(struct imsg *);
/* New bytes of a stream; `all`: also a line without its end. */
void console_push(struct stream *, int all);
/* The journal has overtaken the cursor. */
void console_skip(struct stream *, uint64_t start);
/*
 * Offset from which the console still needs bytes, UINT64_MAX: none.
 * `working`: counts only if it can be written.
 */
uint64_t console_oldest(const struct stream *, int working);
/* Nothing may refer to the stream any more. */
void console_forget(struct stream *);
/* Flushes were asked for by a manager that has gone. */
void console_forget_flushes(void);

/* ---- birth.c: where each generation begins ------------------------------- */

/* The cell's generation is about to be followed by another one. */
void birth_note(struct stream *);
/* Whose the byte at that offset is; *end, the end of what is looked at, becomes
 * where the next one begins if that is before it. */
uint32_t birth_find(const struct stream *, uint64_t at, uint64_t *end);
void birth_forget(struct stream *);

/* ---- follow.c: readers --------------------------------------------------- */

void follow_init(void);
/* Takes the descriptor over.  0, or -1 when out of bounds. */
int follow_peer(uint32_t instance, int fd);
/* New bytes, or the end of a generation: answers who waits for them. */
void follow_push(struct stream *);
/* The stream goes: all waiting readers are told ESRCH. */
void follow_forget(struct stream *);
/* STREAM_TAIL of the manager: 0 or -1. */
int follow_tail(struct imsg *);

#endif
