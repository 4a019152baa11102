#ifndef MUSTER_PARENT_H
#define MUSTER_PARENT_H

#include <sys/types.h>
#include <sys/stat.h>

#include <limits.h>
#include <signal.h>
#include <stdint.h>

#include <event2/event.h>
#include <event2/event_struct.h>

#include <bsd/sys/queue.h>
#include <bsd/sys/tree.h>

#include "../common/channel.h"
#include "../common/imsg.h"
#include "../common/message.h"
#include "../common/spec.h"
#include "../common/stream.h"
#include "../common/wire.h"

/*
 * The privileged program.  Two processes: the guard, which waits, and the
 * parent, which does what the sealed table lists when the manager says so.
 * Neither reads text, except argv, digits and fixed words of kernel files.
 */

#ifndef MUSTER_VERSION
#define MUSTER_VERSION "0.1.0"
#endif
#ifndef RUNDIR
#define RUNDIR "/run"
#endif
#ifndef STATEDIR
#define STATEDIR "/var/lib"
#endif
#ifndef SYSCONFDIR
#define SYSCONFDIR "/etc"
#endif

#define MSEC 1000000ULL /* in nanoseconds */
#define SEC (1000 * MSEC)

/* What stays the same while this musterd lives. */
struct instance {
	const char *file; /* configuration, as found */
	const char *notify; /* NOTIFY_SOCKET or NULL */
	const char *syslog; /* path of the socket */
	const char *user; /* LOGNAME or NULL */
	const char *home;
	const char *libexec;
	uint64_t started_wall;
	uint64_t started;
	uint64_t nofile; /* soft limit that musterd was given */
	pid_t guard;
	pid_t group; /* the guard's: the terminal's foreground */
	int is_alone; /* with -x: no shell in the session can continue us */
	uid_t uid;
	gid_t gid;
	uid_t component_uid; /* of the components, if root */
	gid_t component_gid;
	gid_t groups[64]; /* its own supplementary groups */
	int ngroups;
	int null; /* /dev/null, read and write */
	int ignored_hup; /* started by nohup(1) */
	int had_tty; /* a controlling terminal */
	char boot[9];
	char socket[108]; /* default path of the API's listener */
	char lockfile[128];
	char directory[PATH_MAX];
	char root[64]; /* empty directory for chroot(2) */
};

/*
 * The command line: options['f'] is the argument of -f; "" stands for an
 * option without one, NULL for one that was not given; 'W' is --wait.
 */
extern const char *options[128];
extern char **command; /* -x: the words behind --, or NULL */
extern struct instance instance;

/* A user that something is done as. */
struct cred {
	const uint8_t *key; /* as in the entry: user, group, groups */
	size_t keylen;
	gid_t *groups;
	uint32_t ngroups;
	uint32_t entry; /* the first one that names it */
	uid_t uid;
	gid_t gid;
	int error; /* why it cannot be used ... */
	uint8_t stage; /* ... STAGE_NONE: it can */
	uint8_t exact; /* the groups are named */
	uint8_t own; /* musterd's own: nothing to change */
};

/* One sealed entry: its bytes (spec.h), and what came of them. */
struct entry {
	uint8_t *data;
	uint32_t len;
	uint32_t cred; /* index into the table's creds */
	uint32_t sink; /* LOGFILE: its number at the relay, 0: none yet */
	uint32_t user; /* LOGFILE: the first process that wrote to it */
	uint32_t first; /* LOGFILE: the entry that stands for this path */
	int fd; /* LOGFILE, LISTEN, SOCKET; -1 none */
	uint16_t port; /* LISTEN, SOCKET: that was bound */
	uint8_t kind;
	uint8_t flags; /* ENTRY_IS_* */
};
#define ENTRY_IS_SHARED 1 /* LOGFILE: several streams write to it */
#define ENTRY_IS_USED 2 /* LOGFILE: named by a spec */
#define ENTRY_IS_BOUND 4 /* LISTEN, SOCKET: a path was made */
#define ENTRY_IS_EXPOSED 8 /* TLS: a key that others can read */

struct table {
	struct entry *entries;
	struct cred *creds; /* 0 is musterd's own user */
	uint8_t *partial; /* an entry that comes in pieces */
	size_t bytes;
	uint32_t count;
	uint32_t ncreds;
	uint32_t partial_len;
	uint32_t partial_have;
	uint32_t bad; /* the first entry out of bounds, NO_ENTRY */
	uint32_t flags; /* SEAL_* */
	uint32_t workers;
	uint8_t partial_kind;
};

/* Borrowed text. */
struct view {
	const char *text;
	size_t len;
};

/* ENTRY_SPEC, decoded: views into the entry. */
struct spec {
	struct view name;
	struct view directory;
	struct view launch;
	struct wire_reader limits; /* each list is read from its count on */
	struct wire_reader words;
	struct wire_reader environment;
	struct wire_reader sockets;
	struct output_spec {
		const uint8_t *sink_at; /* where the index stands */
		struct view prefix;
		uint64_t capture;
		uint32_t flags;
		uint32_t sink;
	} out[2];
	size_t room; /* bytes that expanded words need at most */
	uint32_t flags;
	uint32_t umask;
	uint32_t nwords;
	uint32_t nenvironment;
	int32_t nice;
	const uint8_t *user; /* user, group, groups */
	size_t user_len;
	uint8_t stdio[3];
};

/* ENTRY_LOGFILE, ENTRY_UNIX, ENTRY_FILE, decoded. */
struct file_entry {
	char path[PATH_MAX]; /* "": no log file */
	const uint8_t *user; /* user, group */
	size_t user_len;
	uint32_t mode;
	int append;
};
#define MAX_SOCKET_PATH 108 /* with its NUL */

/* A process id of the API. */
struct slot {
	RB_ENTRY(slot) by_process;
	RB_ENTRY(slot) by_pid; /* while it is alive or unreaped */
	TAILQ_ENTRY(slot) link; /* queued, pending, ended or free */
	char *announce;
	uint64_t started;
	uint64_t ended;
	uint32_t process;
	uint32_t generation;
	uint32_t entry;
	uint32_t instance;
	uint32_t group;
	uint32_t about;
	uint32_t serial; /* of the spawn request */
	pid_t pid; /* 0: never spawned */
	int32_t status;
	int32_t error;
	int input; /* writing end of stdin */
	int output[2]; /* reading ends, until the relay has all */
	int journal[2];
	int report; /* pending until muster-exec has closed it */
	int watch; /* a probe that is told of the end of `about` */
	uint8_t state; /* enum slot_state */
	uint8_t stage; /* enum stage, of a failed spawn */
	uint16_t flags; /* IS_* */
	uint8_t given; /* journals that this relay has: 1 | 2 */
};
#define IS_QUEUED 1 /* its spawn has not been tried yet */
#define IS_PENDING 2 /* cloned, has not reached its exec for all we know */
#define IS_HOLDING 4 /* pending, and the rest of its group waits */
#define IS_LIVE 16 /* its first process has not been reaped */
#define IS_LEFT 32 /* it has, others are left */
#define IS_ACKED 64
#define IS_DOOMED 128 /* SIGKILL until nothing is left */
#define IS_FOREGROUND 256 /* has no process group of its own */
#define IS_GROUPED 512 /* has a cgroup */
#define IS_FORGOTTEN 1024 /* the id is free when nothing is left */

#define FIRST_PROBE 0x80000000U /* process ids from here on are probes */
#define LAST_PROCESS \
	(FIRST_PROBE / 2) /* managers that follow need some, too \
			   */

/* An unprivileged program. */
struct child {
	struct channel *channel; /* NULL: it does not run, or is lost */
	const char *program;
	struct event timer; /* until it is started again */
	struct event deadline; /* for its sign of life */
	uint64_t alive; /* when it gave one last */
	uint64_t mercy_since;
	uint32_t mercy; /* deaths that it was not blamed for */
	uint64_t started;
	uint64_t log_time; /* second in which log_count were sent */
	pid_t pid; /* 0: reaped */
	uint32_t restarts;
	uint32_t delay; /* ms before the next start */
	uint32_t retry; /* the same, after one that was refused */
	uint32_t log_count;
	uint32_t instance;
	uint8_t role;
	uint8_t wanted;
	uint8_t birth; /* manager: enum birth */
	uint8_t phase; /* manager: enum manager_phase */
	uint8_t guilty; /* it was ended because of what it did */
	uint8_t dismissed; /* it was ended because others are wanted */
	uint8_t lacking; /* it was ended for want of a descriptor */
	uint8_t refused; /* that, or that it cannot be started, was told */
};

enum manager_phase {
	MANAGER_STAGING = 0, /* reads the configuration */
	MANAGER_SEALING, /* users are being resolved */
	MANAGER_REFUSED, /* owes us its verdict */
	MANAGER_READY, /* knows the state of the world */
};

struct parent {
	struct event_base *base;
	struct table *table; /* the sealed one, NULL before */
	struct table *staged;
	struct table *old; /* until a promoted manager has adopted */
	struct child *manager;
	struct child *check; /* a manager that checks a reload */
	struct child *relay;
	struct child *verifier;
	struct child *resolver;
	struct child *workers; /* MAX_WORKERS of them */
	struct child *checker; /* a worker that checks the files of TLS */
	uint32_t highest; /* process id ever used */
	uint32_t watchers; /* slots with a `watch` */
	int page; /* memfd of the feed's sequence number */
	int cells; /* memfd of the stream cells */
	int guard; /* socket */
};

extern struct parent parent;

/* ---- musterd.c --------------------------------------------------------- */

/* Is that descriptor what systemd's journal has given us? */
int is_journal(int fd);
int verbosity(void); /* 1 with -v, 2 with -w */
uint64_t now(void); /* CLOCK_MONOTONIC, nanoseconds */

/* ---- pidfile.c --------------------------------------------------------- */

/* Writes our process id; `text` is what, the bytes that fitted are returned. */
size_t pid_put(int fd, char text[16]);
/* The file of -p, locked: 0, or -1 and errno. */
int pid_file_make(const char *);
/* Removes it if it is what was written. */
void pid_file_remove(const char *);

/* ---- guard.c: the process that outlives the parent --------------------- */

#define GUARD_READY 'R' /* u8 code: told to the process that waits (-d) */
#define GUARD_NOTIFY 'N' /* text: sent to NOTIFY_SOCKET */
#define GUARD_SYSLOG 'S' /* line: sent to the system's log */
#define GUARD_SOCKET 'B' /* path that was bound: removed at the end */
#define MAX_GUARD_MESSAGE 4096

/* Waits for the parent; `ready` is the pipe of -d or -1.  Exit code. */
int guard_run(pid_t, int fd, int ready);
/* Removes the files that were made: pidfile, lock, cgroups. */
void guard_remove(void);
/* In the parent: a message for the guard, one of the above. */
void guard_tell(char kind, const void *data, size_t len);
/* Kills all that descends from this process; gives up after `limit` ns. */
void guard_sweep(uint64_t limit);

/* ---- parent.c ---------------------------------------------------------- */

void parent_run(int config, int guard) __attribute__((noreturn));
/* Kills what is left, removes what was made, and exits. */
void parent_end(int code) __attribute__((noreturn));
/* Messages of children: 0 or -1 (the child is lost). */
int parent_dispatch(struct channel *, struct imsg *, void *child);
/* A wire to compose the next message in, valid until the next call. */
struct wire *message(void);
/* Sends it; a child that does not run gets nothing.  Closes fd. */
void send_wire(struct child *, uint32_t type, uint32_t id, int fd);
/* The same for a descriptor that it cannot do without: if there was none to
 * be had (-1 and errno) it is replaced. */
void send_fd(struct child *, uint32_t type, int fd);
/* The state of the world for a new manager, which may act from now on. */
void parent_world(void);
/* The same, with process and generation of a slot in front. */
struct wire *message_of(const struct slot *);
/* A copy to give away. */
int copy_fd(int);
/* Waits for fd to become readable, again and again; -1: a timer. */
void event_start(struct event *, int fd, event_callback_fn, void *arg);
void timer_set(struct event *, uint32_t ms);

/* ---- child.c: the components ------------------------------------------- */

void children_init(void);
void child_start(struct child *);
/* Ends it for good. */
void child_stop(struct child *);
/* Ends all of them; the parent is to exit. */
void children_kill(void);
/* Ends one that misbehaves; it is replaced when it has been reaped. */
void child_lost(struct channel *, const char *why, void *child);
/* Ends one for which there was no descriptor (errno): its successor is given
 * them all anew. */
void child_lacks(struct child *);
/* PEER_BAD or PEER_LATE of one about another: 0 or -1. */
int child_accused(const struct child *by, uint32_t type, struct wire_reader *);
/* Was it one? 0 if so, -1 if not. */
int child_reaped(pid_t, int status);
/* Is it one, or a process of ours that resolves users? */
int child_is(pid_t);
/* 0: it sends more messages for the log than a sane program. */
int child_may_log(struct child *);
/* After the seal: all others, and the channels between them. */
void children_sealed(enum birth);
/* The table is the one before this again: so are they. */
void children_rolled_back(const struct table *given_up);
/* The promoted checker takes the manager's place. */
void children_promote(void);

/* ---- late.c: components that owe an answer ----------------------------- */

void late_init(struct child *);
/* Asks it for a sign of life; without one it is replaced. */
void late_suspect(struct child *);
/* ALIVE: 0 or -1, nobody has asked. */
int late_alive(struct child *, struct wire_reader *);
/* It has gone. */
void late_forget(struct child *);
/* The manager was told of an exit. */
void late_exit(void);

/* ---- orphan.c: processes whose job has left the table ------------------ */

struct orphan_output {
	char *prefix; /* owned, without a NUL */
	size_t prefix_len;
	uint64_t capture;
	uint32_t flags; /* STREAM_* */
	uint32_t sink; /* NO_ENTRY: none */
	int fd; /* of that */
	int is_shared;
};

/* What is known of it by a table that goes, unless it is down. */
void orphan_make(const struct slot *, const struct table *);
/* NULL: it is in the table, or was forgotten. */
const struct orphan_output *orphan_output(uint32_t process, int stream);
/* It begins anew, or is forgotten. */
void orphan_gone(uint32_t process);
/* Closes files that only this table has. */
void orphan_table(const struct table *);
/* To a new relay. */
void orphan_resend(void);

/* ---- lines.c: of the log, on their way through the manager ------------- */

/* The payload of an IMSG_LOG; it is kept until the manager has passed it on. */
void lines_send(const void *payload, size_t len);
/* LOG_TAKEN: all up to this one.  0 or -1. */
int lines_taken(uint32_t number, struct wire_reader *);
/* To a manager that has come in place of another. */
void lines_again(void);
/* Those that nobody has passed on, at the end. */
void lines_end(void);
/* Writes it without a manager. */
void lines_write(uint8_t level, const char *program, const char *text);

/* ---- snapshot.c -------------------------------------------------------- */

/* Opens a configuration file: regular, not too large, trusted.  -1: errno */
int config_open(const char *path, struct stat *);
/* Makes a snapshot of what `fd` (or -1 with `error`) is, for `birth`. */
int snapshot_make(int fd, int error, const struct stat *);
/* The snapshot of boot, of the check; of crashes.  NULL: there is no file. */
void snapshot_set(int staged, int memfd, const struct stat *);
/* Is it the configuration, or a part of it?  That is never written to. */
int snapshot_is_file(const struct stat *);
void snapshot_give(struct child *);
int snapshot_include(struct child *, const char *path);
/* The staged one, with its includes, becomes that of crashes; or goes. */
void snapshot_swap(void);
void snapshot_drop(void);
/* A fresh read-only (or read-write) description of a memfd. */
int memfd_reopen(int fd, int flags);

/* ---- table.c ----------------------------------------------------------- */

struct table *table_new(void);
void table_free(struct table *);
/* ENTRY, ENTRY_BEGIN, ENTRY_DATA; 0 or -1. */
int table_message(struct table *, uint32_t type, struct wire_reader *);
/* NULL: no such index, or of another kind. */
struct entry *table_entry(const struct table *, uint32_t, enum entry_kind);
/* What a spec refers to: 0, or -1 and the entry that is wrong. */
int table_links(struct table *, uint32_t *bad);
/* The entry of `to` that means the same as entry `i` of `from`. */
uint32_t table_same(
    const struct table *from, uint32_t i, const struct table *to);
/* entry.c: 0 or -1, out of bounds. */
int spec_read(const struct entry *, struct spec *);
int file_read(const struct entry *, struct file_entry *);
/* Finds the ENTRY_SOCKET with this name. */
struct entry *table_socket(const struct table *, const char *, size_t);

/* ---- seal.c ------------------------------------------------------------ */

/* SEAL: 0 or -1. */
int seal_begin(struct child *, struct wire_reader *);
/* ADOPTED: the old table may go. */
int seal_adopted(void);
/* A promoted manager died: back to the table before. */
void seal_rollback(void);
int reload_begin(uint32_t id);
int reload_goes_on(void);
void reload_cancel(void);
void reload_answer(int code, const char *text, size_t len);

/* ---- tls.c ------------------------------------------------------------- */

#define MAX_TLS_TEXT 512

/* ENTRY_TLS, decoded. */
struct tls_entry {
	char path[PATH_MAX];
	uint8_t what; /* enum tls_file */
	uint8_t flags;
};

/* 0, or -1: out of bounds. */
int tls_read(const struct entry *, struct tls_entry *);
/* Has the table files of TLS? */
int tls_wanted(const struct table *);
/* Reads them all: 0, or errno and the entry. */
int tls_load(struct table *, uint32_t *bad);
/* A worker gets them before its listeners; again after a reload. */
void tls_give(struct child *worker);
/* Has them checked; done gets the entry to blame, or NO_ENTRY. */
typedef void (*tls_fn)(uint32_t bad, const char *text, size_t len);
void tls_check(struct table *, tls_fn done);
/* Nobody waits for it any more; done is not called. */
void tls_cancel(void);
/* TLS_VERDICT of the checker: 0 or -1. */
int tls_verdict(struct wire_reader *);
/* The same, when it has died. */
void tls_checked(uint8_t what, const char *text, size_t len);

/* ---- users.c ----------------------------------------------------------- */

/*
 * Resolves all users of the table in a process that has 5 s; then calls
 * done, which finds the result in each of the table's creds.
 */
typedef void (*users_fn)(void);
void users_resolve(struct table *, users_fn done);
/* Nobody waits for it any more; done is not called. */
void users_cancel(void);
/* Was it the resolving process? */
int users_reaped(pid_t);
/* Finds out who the components are to be. */
void users_components(users_fn done);
/* Acts as that user with files; 0 or -1.  Must be followed by leave. */
int cred_enter(const struct cred *);
void cred_leave(const struct cred *);

/* ---- spawn.c, plan.c, words.c, spawn_child.c
 * ----------------------------------- */

/* What the new process does before its exec; see spawn_child.c. */
struct plan {
	char **argv; /* with one free word in front */
	char **envp;
	void *memory; /* of words and environment */
	char **candidates; /* memory of the paths to try */
	char **first; /* the first of them that is tried */
	const char *directory;
	char *own_pid; /* "LISTEN_PID=", digits go behind it; or NULL */
	gid_t *groups;
	uint32_t ngroups;
	uid_t uid;
	gid_t gid;
	int own; /* musterd's own user: nothing to change */
	volatile struct result *result;
	struct {
		int resource;
		uint64_t limit[2];
	} limits[MAX_LIMITS + 1];
	int nlimits;
	int stdio[3]; /* -1: left as it is; stderr -2: joined to stdout */
	int pass[MAX_PASSED_SOCKETS + 3]; /* all >= FIRST_HIGH_FD */
	int npass;
	int nice; /* absolute, or NO_NICE */
	int cgroup; /* cgroup.procs, only where clone3(2) did not do it */
	uint32_t umask;
	pid_t parent;
	pid_t group; /* 0: a session of its own */
	int default_hup;
};

/* The descriptors of one spawn; all are closed when it is through. */
struct ends {
	int child[3]; /* the new process's ends of its pipes */
	int high[3]; /* FIRST_HIGH_FD and up: passed to it */
	int nhigh;
};

/* Where the new process tells; shared with it in any case. */
struct result {
	uint32_t tid; /* not 0: it still uses its stack and plan */
	uint32_t stage;
	int32_t error;
};

/* Sources of descriptors that are passed lie above all targets. */
#define FIRST_HIGH_FD 100

/* clone3(2) with a stack of its own; pid or -errno. */
long spawn_clone(struct plan *, void *stack, size_t size, int cgroup);
/* A copy of this process instead. */
long spawn_fork(struct plan *);

/* All up to the clone; stage and errno of what failed. */
enum stage plan_make(struct plan *, struct slot *, struct ends *);
void plan_close(struct ends *);
int make_pipe(int *reader, int *writer);
/*
 * Words and environment in the memory that is returned (NULL: errno), and
 * plan->candidates in another; both are to be freed.
 */
void *words_make(struct plan *, const struct spec *, const struct slot *,
    const gid_t *groups, int report);

int spawn_request(struct wire_reader *);
int spawn_barrier(uint32_t id);
/* Goes on with the queue; frees what has reached its exec. */
void spawn_run(void);
/*
 * Its first process has ended: finds out why, if it was before its exec;
 * and it is no longer pending.
 */
void spawn_over(struct slot *);
/* It counts as done, well or not: the rest of its group may go on. */
void spawn_settled(struct slot *);
/* A new manager numbers its groups anew. */
void spawn_forget_groups(void);
void spawn_init(void);

/* ---- reap.c: slots and exits ------------------------------------------- */

struct slot *slot_of_process(uint32_t);
struct slot *slot_of_pid(pid_t);
struct slot *slot_new(uint32_t process);
void slot_free(struct slot *);
uint32_t slot_index(const struct slot *);
struct slot *slot_next(struct slot *); /* NULL: the first */
void slot_live(struct slot *, pid_t);
/* Reaps all that has ended, and tells. */
void reap(void);
/* The spawn has failed before there was a process. */
void reap_failed(struct slot *);
/* Nothing is left of a generation that had left others behind. */
void reap_gone(struct slot *);
/* A probe needs its status pipe no more. */
void watch_close(struct slot *);
int reap_ack(struct wire_reader *);
int reap_forget(struct wire_reader *);

/* ---- group.c, cgroup.c: all that belongs to a process ------------------ */

int group_signal(struct wire_reader *);
int group_kill(struct wire_reader *);
/* The first process has been reaped.  Is something left? */
int group_left(struct slot *);
/* Others have ended, or a kill is on its way. */
void group_check(void);
/* What was found out about orphans is no longer true. */
void group_look(void);
void group_orphaned(void); /* a process that is in no table was reaped */
void group_doom(struct slot *);
/* TERM to all that runs; for a parent without a manager. */
void group_all(int sig);
/* Does any job run? */
int group_any(void);
/* Children of one process, all its threads; number of pids. */
size_t children_of(pid_t, pid_t *, size_t max);
/* Decimal numbers in a kernel file. */
size_t read_pids(const char *path, pid_t *, size_t max);

void cgroup_init(pid_t guard);
/* Kills all that is in groups of ours; removes empty ones. */
void cgroup_kill_all(void);
void cgroup_remove_all(void);
int cgroup_works(void);
void cgroup_disable(void);
/* Makes the group of a process: directory descriptor, or -1. */
int cgroup_make(uint32_t process, int procs);
/*
 * Is somebody in it, or in a group that was made below it?  If not, it is
 * removed, or kept for the next generation.  -1: that cannot be seen now.
 */
int cgroup_left(uint32_t process, int keep);
int cgroup_kill(uint32_t process);
size_t cgroup_members(uint32_t process, pid_t *, size_t max);

/* ---- logfile.c --------------------------------------------------------- */

/* Opens what a new generation writes to; 0 or -1. */
int logfile_use(const struct slot *, uint32_t entry);
/* Its number at the relay; NO_ENTRY: none. */
uint32_t logfile_sink(uint32_t entry);
/* Takes over what stays.  Can that of -l be opened?  0, or an errno and the
 * entry; nothing is cut. */
int logfile_check(struct table *, const struct table *old, uint32_t *entry);
/* A table was sealed: opens the -l file. */
void logfile_seal(struct table *);
void logfile_reopen(void); /* all, after a rotation */
void logfile_resend(void);
/* Gives the relay a descriptor of ours for a sink. */
void logfile_send(uint32_t sink, int fd, uint32_t flags);
int logfile_has_sink(const struct table *, uint32_t sink);
int logfile_stat(uint32_t id, struct wire_reader *);

/* ---- stream.c ---------------------------------------------------------- */

void stream_init(void);
/* Tells the relay of the pipes of a new generation. */
void stream_open(struct slot *);
void stream_exit(struct slot *);
void stream_forget(struct slot *);
/* The pipes of the last generation make room for the next one's. */
void stream_retire(struct slot *);
/* All that a new relay must know. */
void stream_resend(void);
int stream_journal_wanted(struct wire_reader *);
int stream_closed(struct wire_reader *);
/* CONSOLE_WRITE, CONSOLE_FLUSH, LOGFILE_WRITE: to the relay, in order. */
int stream_forward(uint32_t type, uint32_t id, const void *, size_t);

/* ---- input.c ----------------------------------------------------------- */

int input_write(struct wire_reader *);
void input_close(struct slot *);

/* ---- socket.c ---------------------------------------------------------- */

/* Is an entry within bounds? */
int socket_check(const struct entry *);
/* Binds LISTEN and SOCKET entries; 0, or errno and the entry. */
int socket_bind_all(struct table *, const struct table *old, uint32_t *bad);
/* Removes paths that `next` does not have, and closes. */
void socket_close_all(struct table *, const struct table *next);
/* 1 if both tables have the same listeners. */
int socket_same_listeners(const struct table *, const struct table *);
void socket_give(struct child *worker);
int socket_connect(uint32_t id, struct wire_reader *);
/* SEGMENT_SOCKET_PATH; "" for the other families. */
void socket_path(const struct entry *, char *buf, size_t size);

/* ---- blob.c, stats.c --------------------------------------------------- */

int blob_set(struct wire_reader *);
void blob_world(void);
int stats_answer(struct wire_reader *);

/* ---- signal.c ---------------------------------------------------------- */

/* All are blocked before the first fork; these come to a descriptor. */
void signal_wanted(sigset_t *);
void signal_mask(const sigset_t *);
void signal_init(void);
/* Ends if that is what the parent is about and no job runs any more. */
void signal_check(void);
/* The manager is there: tells it of the signal that asked for the end. */
void signal_manager_ready(void);
/* Tells the manager of HUP and USR1 that could not be told. */
void signal_again(void);
/* It does what one of these asks for. */
void signal_done(int sig);

#endif
