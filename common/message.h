#ifndef MUSTER_MESSAGE_H
#define MUSTER_MESSAGE_H

#include <stdint.h>

/*
 * Every message between the programs.  Payloads are written with wire.h in
 * the order given; "str" is u32 length + bytes.  `id` is the imsg header's
 * peerid where a message uses it.
 *
 * Trust: all receivers treat all senders as hostile, the parent above all.
 * A receiver checks the exact length, the state, every index and string; a
 * malformed message costs the sender its channel and its life (the parent
 * replaces it), never more.  Descriptors travel only where "fd" is said,
 * and never from a child to the parent.
 *
 * Names: an *entry* is an index into the sealed table; a *process* is the
 * id of the API (u32, from 1); a *generation* (u32, from 1) counts the
 * spawns of one process id.  Times are CLOCK_MONOTONIC nanoseconds (u64)
 * unless "wall" is said (CLOCK_REALTIME nanoseconds).
 */

enum role {
	ROLE_NONE = 0,
	ROLE_PARENT,
	ROLE_MANAGER,
	ROLE_VERIFIER,
	ROLE_RESOLVER,
	ROLE_RELAY,
	ROLE_HTTPD,
};

#define MAX_WORKERS 16 /* http.workers */
#define MAX_PROCESSES 16384 /* live process ids at once */
#define MAX_ENTRIES 65536 /* of a sealed table */
#define MAX_ENTRY_SIZE (1024UL * 1024) /* bytes of one entry */
#define MAX_TABLE_SIZE (256UL * 1024 * 1024) /* bytes of all entries */
#define MAX_INCLUDES 64
#define MAX_FILE_SIZE (16UL * 1024 * 1024) /* a configuration file */
#define MAX_BLOB_SIZE (64UL * 1024)
#define MAX_BLOBS 65536
#define MAX_NAME 128 /* bytes of a job's name */
#define MAX_CONSOLE 16384 /* bytes of one console message */
#define MAX_READ (32UL * 1024) /* bytes of one answered READ */
#define NO_ENTRY UINT32_MAX

enum imsg_type {
	IMSG_NONE = 0,

	/* ---- all children, to and from the parent -------------------- */

	/* child → parent, parent → manager: u8 level, str program, str text.
	 * A line for the log; the parent forwards to the manager, or writes
	 * to standard error while there is none.  With `id` from the parent:
	 * LOG_TAKEN answers. */
	IMSG_LOG,
	/* parent → child, fd: u8 role of the peer, u32 instance (of a
	 * manager: 1 if it comes from a reload: what the last one was asked
	 * and has not answered can be asked again).  A channel to another
	 * program; replaces an earlier one of that role and instance. */
	IMSG_PEER,
	/* parent → relay (read-write), httpd (read-only), fd: u32 count.
	 * The memfd of stream cells, see stream.h: `count` and one more. */
	IMSG_CELLS,
	/* parent → manager (read-write), httpd (read-only), fd: empty.  A
	 * memfd of one page; its first u64 is the sequence number of the
	 * feed, from just before it is handed to the first worker (stored
	 * with release, loaded with acquire order). */
	IMSG_SEQUENCE_PAGE,
	/* child → parent: u8 role, u32 instance.  This peer has sent rubbish,
	 * or does not read: it is ended and replaced.  A manager may say it of
	 * all but managers, the relay of httpd, the verifier of the resolver.
	 */
	IMSG_PEER_BAD,
	/* child → parent: u8 role, u32 instance.  This peer owes an answer
	 * for too long: the parent asks it for a sign of life.  Anybody may
	 * say it of those that it has a channel to. */
	IMSG_PEER_LATE,
	/* parent → child: empty; child → parent: IMSG_ALIVE, empty, at once,
	 * or the child is replaced. */
	IMSG_PROBE,
	IMSG_ALIVE,

	/* ---- configuration: parent ⇄ manager, before the seal -------- */

	/* parent → manager, fd: u8 birth (enum birth).  The sealed memfd of
	 * the snapshot, see snapshot.h. */
	IMSG_CFG_SNAPSHOT = 100,
	/* manager → parent: str path (absolute).  Reads one more file into
	 * the snapshot; MAX_INCLUDES of them, only before the seal; after a
	 * crash the copy of the first time is given. */
	IMSG_CFG_INCLUDE,
	/* parent → manager, fd or none: i32 errno (0: fd is a sealed memfd
	 * of the bytes).  EFBIG: over MAX_FILE_SIZE; EINVAL: not a regular
	 * file. */
	IMSG_CFG_INCLUDED,
	/* manager → parent: u8 exit code, u8 stream (1, 2), str text.  The
	 * configuration is refused (or, under -n, accepted with code 0):
	 * the parent writes the text and ends, or, in a reload, gives it as
	 * the answer. */
	IMSG_CFG_VERDICT,

	/* manager → parent: u32 entry, u8 kind (enum entry_kind), bytes.
	 * Entries come in order 0, 1, 2 …; see spec.h for the bytes. */
	IMSG_ENTRY = 120,
	/* An entry that is larger than a message: BEGIN u32 entry, u8 kind,
	 * u32 length; DATA raw bytes; the last DATA completes it. */
	IMSG_ENTRY_BEGIN,
	IMSG_ENTRY_DATA,
	/* manager → parent: u32 count of entries, u32 flags (SEAL_*), u32
	 * workers (number of httpd workers). */
	IMSG_SEAL,
	/* parent → manager: empty.  The table is accepted, users are
	 * resolved, listeners are bound. */
	IMSG_SEALED,
	/* parent → manager: u32 entry, u8 stage (enum stage), i32 errno, str
	 * text (of TLS_VERDICT, else "").  Not accepted because of this
	 * entry; the manager answers with CFG_VERDICT. */
	IMSG_SEAL_REFUSED,
	/* parent → manager, before SEALED: u32 entry, u8 stage.  Accepted,
	 * but worth a word (STAGE_TLS_MODE). */
	IMSG_SEAL_WARNING,

	/* ---- state of the world: parent → manager, after the seal ---- */

	/* u32 process, u32 generation, u32 entry, u32 instance, u8 state
	 * (enum slot_state), i32 pid, u64 started, i32 wait status, u64
	 * ended, u8 stage, i32 errno, u8 leftover (members are left), u32
	 * slot (its stream cells: slot * CELLS_PER_SLOT + stream - 1). */
	IMSG_WORLD_PROC = 140,
	/* u64 key, bytes */
	IMSG_WORLD_BLOB,
	/* u32 highest process id ever used.  The manager may act now. */
	IMSG_WORLD_END,

	/* ---- processes: manager → parent ----------------------------- */

	/* u32 process, u32 generation, u32 entry, u32 instance, u32 group,
	 * u32 about, str announce.
	 * Starts the entry (ENTRY_SPEC) as this process id; allowed when the
	 * id has no live generation, its last exit is acknowledged and
	 * generation is greater than its last.  Spawns of the same non-zero
	 * group are done in order, and after one of them has failed the
	 * rest answer SPAWN_FAILED with stage STAGE_SKIPPED.  `about`: the
	 * process that a probe is about (its stdin's writing end, pidfd and
	 * status pipe are given to it), 0 if none.  `announce`: bytes that
	 * the parent sends to the relay as CONSOLE_WRITE (number 1) when the
	 * turn of this spawn comes, before the checks, the STREAM_OPEN and
	 * the clone ("$ COMMAND"; "" none; not for a skipped one). */
	IMSG_PROC_SPAWN = 160,
	/* u32 process, u32 generation, i32 signal, u8 scope (enum scope) */
	IMSG_PROC_SIGNAL,
	/* u32 process, u32 generation.  Kills with SIGKILL whatever is left
	 * of that generation: cgroup, process group, descendants. */
	IMSG_PROC_KILL,
	/* u32 process, u32 generation.  The exit record was taken note of. */
	IMSG_PROC_ACK,
	/* u32 process.  The id is given up (must not be live). */
	IMSG_PROC_FORGET,
	/* `id` is given back in BARRIER_DONE when every spawn requested so
	 * far has reached exec or failed. Empty. */
	IMSG_PROC_BARRIER,
	/* u32 process, bytes: queued to its stdin pipe. */
	IMSG_PROC_STDIN,

	/* ---- processes: parent → manager ----------------------------- */

	/* u32 process, u32 generation, i32 pid, u64 started, u32 slot */
	IMSG_PROC_STARTED = 180,
	/* u32 process, u32 generation, u8 stage, i32 errno.  There never was
	 * such a process, or it failed before exec (then EXITED does not
	 * follow). */
	IMSG_PROC_SPAWN_FAILED,
	/* u32 process, u32 generation, i32 wait status, u64 ended, u8
	 * leftover.  The first process has ended; leftover: others of its
	 * cgroup or group are still there (each gets what SIGNAL and KILL
	 * say), and PROC_GONE follows when the last of them has gone. */
	IMSG_PROC_EXITED,
	/* u32 process, u32 generation: nothing is left of it. Follows each
	 * EXITED, at once when there was no leftover. */
	IMSG_PROC_GONE,
	IMSG_PROC_BARRIER_DONE,
	/* i32 signal that musterd got (SIGTERM, SIGINT, SIGHUP …), u8
	 * hangup (its terminal is gone). */
	IMSG_SIGNALLED,
	/* u8 role, u32 instance, u32 restarts so far: was lost and is being
	 * replaced (new PEER messages follow). */
	IMSG_COMPONENT_LOST,

	/* ---- state, files: manager → parent --------------------------- */

	/* u64 key, bytes (empty: forget).  Opaque to the parent. */
	IMSG_BLOB_SET = 200,
	/* u32 entry (ENTRY_FILE): answered with FILE_STAT_DONE, same `id`. */
	IMSG_FILE_STAT,
	/* parent → manager: i32 errno, u32 mode, u64 size, i64 mtime s */
	IMSG_FILE_STAT_DONE,
	/* manager → parent: u8 exit code.  Everything is down: the parent
	 * ends what is left, and itself. */
	IMSG_QUIT,
	/* manager → parent: u8 exit code.  Tells the process that waits for
	 * a daemon's start (-d); once. */
	IMSG_DAEMON_READY,
	/* manager → parent: empty.  All log files are opened again (USR1). */
	IMSG_REOPEN,
	/* manager → parent: empty, with `id`.  Reads the configuration anew
	 * and checks it; RELOAD_DONE answers. */
	IMSG_RELOAD,
	/* parent → manager, same `id`: u8 exit code, str text. */
	IMSG_RELOAD_DONE,
	/* manager → parent: empty.  A promoted manager has reconciled: the
	 * old table may go. */
	IMSG_ADOPTED,
	/* manager → parent: str of sd_notify assignments, sent as they are
	 * to NOTIFY_SOCKET. */
	IMSG_NOTIFY,
	/* manager → parent: u32 process; parent → manager: u32 process, str
	 * stat, str statm, u32 fds (the bytes of /proc, unread). */
	IMSG_PROC_STATS,
	/* manager → parent: str of a line as syslog(3) writes it, which the
	 * guard sends to the system's log. */
	IMSG_SYSLOG,
	/* manager → parent: empty, with `id` of a LOG.  That line and all
	 * before it have been passed on, those after it are told again to the
	 * next manager. */
	IMSG_LOG_TAKEN,

	/* ---- output: parent → relay ----------------------------------- */

	/* fd (reading end of the pipe) : u32 process, u32 generation, u8
	 * stream (1 stdout, 2 stderr), u32 cell, u32 flags (STREAM_*), u64
	 * capture bytes, u32 sink, str prefix.  See stream.h. */
	IMSG_STREAM_OPEN = 220,
	/* fd (memfd), u32 process, u8 stream: the journal. */
	IMSG_STREAM_JOURNAL,
	/* u32 process, u32 generation: has ended; drain to EAGAIN, tell the
	 * manager STREAM_DRAINED. */
	IMSG_STREAM_EXIT,
	/* u32 process: its id is given up: forget its streams. */
	IMSG_STREAM_FORGET,
	/* fd: u32 sink (number of a log file, given by the parent), u32
	 * flags (SINK_*).  Replaces the descriptor of that sink; a file
	 * shared by several streams has one sink. */
	IMSG_SINK_OPEN,
	/* u32 sink: closed when all of it is written. */
	IMSG_SINK_CLOSE,
	/* fd: u8 number (1 stdout, 2 stderr), u32 flags (CONSOLE_*). */
	IMSG_CONSOLE_OPEN,

	/* ---- output: relay → parent ------------------------------------ */

	/* u32 process, u8 stream: output has come, a journal is needed. */
	IMSG_STREAM_JOURNAL_WANTED = 240,
	/* u32 process, u32 generation, u8 stream: end of file was read, all
	 * is in the journal: the parent closes its copy of the pipe. */
	IMSG_STREAM_CLOSED,

	/* ---- output: manager ⇄ relay ----------------------------------- */

	/* manager → parent → relay: u8 number (1, 2), bytes to write there.
	 * The parent forwards it unread, so that texts, spawns and the
	 * output of these stand in one order. */
	IMSG_CONSOLE_WRITE = 260,
	/* manager → parent → relay: `id`; the relay answers CONSOLE_FLUSHED
	 * to the manager when all that came before is written (or its reader
	 * has gone). */
	IMSG_CONSOLE_FLUSH,
	/* relay → manager */
	IMSG_CONSOLE_FLUSHED,
	/* relay → manager: u32 process, u32 generation.  All that it wrote
	 * until its exit is in the journals and, as far as its files take
	 * it, written. */
	IMSG_STREAM_DRAINED,
	/* manager → relay with `id`: u32 process, u8 stream (0: both, as
	 * they came, as far as is known), u32 lines.  Answer TAIL_DONE. */
	IMSG_STREAM_TAIL,
	/* relay → manager, same `id`: bytes */
	IMSG_STREAM_TAIL_DONE,
	/* manager → parent → relay (forwarded as CONSOLE_WRITE is): str text;
	 * a line for the log file (-l), or the console where there is none. */
	IMSG_LOGFILE_WRITE,

	/* ---- output: httpd ⇄ relay -------------------------------------- */

	/* httpd → relay with `id` (chosen by httpd, unique while open): u32
	 * process, u8 stream, i64 from (>= 0: offset; < 0: that many bytes
	 * before the end), u32 lines (not 0: start that many lines before
	 * the end), u8 wait (0 no; 1 until
	 * there are bytes, or an end comes; 2 as 1, and an end that was
	 * there before counts).  One
	 * answer each; asking again with the offset of the answer follows
	 * the stream. */
	IMSG_STREAM_READ = 280,
	/* relay → httpd, same `id`: i32 errno (ESRCH no such stream), u64
	 * offset of the first byte, u64 lost (bytes between the asked offset
	 * and this one), u32 generation at that offset, u8 end (no more will
	 * come now: reached the end and the generation has ended), bytes */
	IMSG_STREAM_READ_DONE,
	/* httpd → relay, `id`: forget a waiting READ.  No answer. */
	IMSG_STREAM_READ_CANCEL,

	/* ---- httpd: parent → httpd -------------------------------------- */

	/* fd (listening socket): u8 kind (enum listener_kind), u16 port */
	IMSG_LISTENER = 300,

	/* fd (sealed memfd): u8 what (enum tls_file), u8 flags (TLS_FILE_*).
	 * The key comes last. */
	IMSG_TLS_FILE,
	/* u8 check.  All files have come.  check 0: they are used for new
	 * connections from now on; 1: TLS_VERDICT answers, and that is all
	 * that this worker is for. */
	IMSG_TLS_DONE,
	/* httpd → parent: u8 which file is to blame (enum tls_file; 0: none,
	 * they are good), str why, for the operator. */
	IMSG_TLS_VERDICT,

	/* ---- httpd: manager → httpd, the feed ---------------------------- */

	/* u64 sequence; a snapshot begins: forget all. */
	IMSG_FEED_BEGIN = 320,
	/* The access rules and constants: see feed.h. */
	IMSG_FEED_CONFIG,
	/* str status (pymanager's word), u8 ready, u8 shutting down, str
	 * what is missing for ready (one line a job) */
	IMSG_FEED_STATUS,
	/* A process as in feed.h; the same id again replaces it. */
	IMSG_FEED_PROC,
	/* u32 process */
	IMSG_FEED_PROC_GONE,
	/* u64 sequence: all up to it has been sent (after a snapshot and
	 * after each batch of changes). */
	IMSG_FEED_SEQUENCE,
	/* Who may do what, after FEED_CONFIG, which forgets all of them: see
	 * feed.h. */
	IMSG_FEED_PRINCIPAL,
	/* manager → httpd: empty, behind a batch now and then; httpd →
	 * manager: IMSG_FEED_READ, empty, when it has come to it.  A worker
	 * that does not is late (IMSG_PEER_LATE).  With u8 1, at the end of a
	 * shutdown: when its clients have all that they are to get. */
	IMSG_FEED_ASK,
	IMSG_FEED_READ,

	/* ---- httpd ⇄ manager: requests that change something ------------- */

	/* httpd → manager with `id`: u8 op (enum request_op), i64 uid of the
	 * peer (-1 unknown), u8 role (enum access_role), str who (name of a
	 * token or certificate, "" the uid), str from (address), str
	 * argument, str body. */
	IMSG_REQUEST = 340,
	/* manager → httpd, same `id`: u16 HTTP status, u64 sequence (the
	 * answer is to be sent when the replica has it), str code, str
	 * detail (for errors), u32 process (0: none). */
	IMSG_REQUEST_DONE,
	/* httpd → manager, for the audit: u8 op (enum request_op, 0: none,
	 * there is only the number), u16 status (401, 403, 404 for what is
	 * out of scope, 503: asked of a manager that was lost), i64 uid, str
	 * who, str from, str argument (as in REQUEST), u32 how many before it
	 * were left out.  Such a request was refused by the worker.  No answer.
	 */
	IMSG_REFUSED,

	/* ---- verifier: manager ⇄ verifier -------------------------------- */

	/* manager → verifier with `id`: see check.h. */
	IMSG_CHECK_START = 360,
	/* manager → verifier: `id`: no further attempt, no answer. */
	IMSG_CHECK_STOP,
	/* verifier → manager, `id`: u32 attempt (1, 2 …), u8 passed, u64
	 * elapsed ns, u16 HTTP status (0: none), str detail (one line).
	 * After a passed attempt of a start check no other follows. */
	IMSG_CHECK_ATTEMPT,
	/* verifier → manager, `id`: an attempt begins (only when the check
	 * asked for it: verifier.verbose).  str text */
	IMSG_CHECK_TRYING,

	/* ---- verifier ⇄ parent --------------------------------------------
	 */

	/* verifier → parent with `id`: u32 entry (ENTRY_UNIX). */
	IMSG_UNIX_CONNECT = 380,
	/* parent → verifier, same `id`, fd or none: i32 errno (0, or
	 * EINPROGRESS/EAGAIN never: it is retried by the asker). */
	IMSG_UNIX_CONNECTED,
	/* verifier → parent: empty.  A name must be resolved: start the
	 * resolver and connect us (only if SEAL_RESOLVER was set). */
	IMSG_RESOLVER_WANTED,

	/* ---- verifier ⇄ resolver -------------------------------------------
	 */

	/* verifier → resolver with `id`: str host name */
	IMSG_RESOLVE = 400,
	/* resolver → verifier, same `id`: i32 error (getaddrinfo(3) code, 0
	 * ok), u32 count (<= 16), each: u8 family (4, 6), bytes address */
	IMSG_RESOLVED,
};

/* How a manager is born. */
enum birth {
	BIRTH_BOOT = 1, /* loads, stages, seals */
	BIRTH_CRASH = 2, /* loads; the sealed table stands */
	BIRTH_CHECK = 3, /* reload: loads and stages a second table */
};

enum entry_kind {
	ENTRY_SPEC = 1, /* spawn: a job, a runner, a command probe */
	ENTRY_LOGFILE = 2, /* a file that output goes to */
	ENTRY_UNIX = 3, /* a Unix socket that a check connects to */
	ENTRY_FILE = 4, /* a file that a check looks for */
	ENTRY_LISTEN = 5, /* a listener of the HTTP API */
	ENTRY_SOCKET = 6, /* a named socket of the jobs */
	ENTRY_TLS = 7, /* a file for httpd: certificate, key … */
	ENTRY_KIND_MAX = ENTRY_TLS,
};

enum tls_file {
	TLS_FILE_NONE = 0,
	TLS_FILE_CERTIFICATE = 1,
	TLS_FILE_CLIENT_CA = 2,
	TLS_FILE_CRL = 3,
	TLS_FILE_KEY = 4,
};

#define TLS_FILE_REQUIRED 1 /* CLIENT_CA: no connection without */

#define SEAL_VERIFIER 1 /* a verifier is needed */
#define SEAL_RESOLVER 2 /* and perhaps a resolver */

enum slot_state {
	SLOT_FREE = 0,
	SLOT_SPAWNING = 1,
	SLOT_RUNNING = 2,
	SLOT_EXITED = 3, /* not yet acknowledged, or leftovers */
	SLOT_IDLE = 4, /* acknowledged: the id is kept */
	SLOT_LEFT = 5, /* told of EXITED: acknowledged, but leftovers */
};

/* Where a spawn failed. */
enum stage {
	STAGE_NONE = 0,
	STAGE_SKIPPED, /* an earlier one of the group failed */
	STAGE_RESOURCE, /* pipe, memfd, table full */
	STAGE_LOGFILE,
	STAGE_CGROUP,
	STAGE_CLONE,
	STAGE_SETSID,
	STAGE_STDIO,
	STAGE_LIMIT,
	STAGE_NICE,
	STAGE_GROUPS,
	STAGE_USER,
	STAGE_CHDIR,
	STAGE_EXEC,
	STAGE_ENVIRONMENT_FILE,
	STAGE_SOCKET, /* bind, listen */
	STAGE_ENTRY, /* an entry's bounds */
	STAGE_TLS_FILE, /* cannot be read */
	STAGE_TLS_MODE, /* a key that others can read */
	STAGE_TLS, /* does not do: the text says why */
	STAGE_MAX = STAGE_TLS,
};

enum scope {
	SCOPE_LEADER = 0, /* the first process alone */
	SCOPE_GROUP = 1, /* its process group */
	SCOPE_ALL = 2, /* all that is left of it, in whatever session */
	SCOPE_REST = 3, /* the same, but those of its process group */
	SCOPE_MAX = SCOPE_REST,
};

#define STREAM_SHOW 1 /* also to the console */
#define STREAM_PREFIX 2 /* each shown line with the prefix */
#define STREAM_SHOW_STDERR 4 /* shown on standard error */
#define STREAM_ENDED 8 /* its process has ended: drain (see EXIT) */
#define STREAM_BLOCK 16 /* backpressure: true */

#define SINK_SHARED 1 /* several streams: one writer, stored cursor */
#define SINK_FRESH 2 /* just created or truncated by the parent */

#define CONSOLE_REGULAR 1 /* a file: writes never block */
#define CONSOLE_BLOCKING 2 /* could not be opened anew non-blocking */

enum listener_kind {
	LISTENER_TCP = 1,
	LISTENER_UNIX = 2,
};

enum request_op {
	REQUEST_RESTART_PROCESS = 1, /* argument: process id, decimal */
	REQUEST_SHUTDOWN = 2,
};

enum access_role {
	ACCESS_NONE = 0,
	ACCESS_READ = 1,
	ACCESS_OPERATE = 2,
	ACCESS_ADMIN = 3,
};

#endif
