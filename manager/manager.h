#ifndef MUSTER_MANAGER_H
#define MUSTER_MANAGER_H

#include <sys/types.h>
#include <bsd/sys/queue.h>
#include <bsd/sys/tree.h>

#include <stddef.h>
#include <stdint.h>

#include "../common/channel.h"
#include "../common/component.h"
#include "../common/feed.h"
#include "../common/log.h"
#include "../common/message.h"
#include "config.h"
#include "logline.h"
#include "snapshot.h"

#define MUSTER_VERSION "0.1.0"
#define PROBE_IDS 0x80000000U /* ids of probes start here */

struct event;
struct wire;
struct wire_reader;
struct imsg;
struct process;

enum phase {
	PHASE_LOADING = 0, /* reading the configuration */
	PHASE_STAGING, /* the table is with the parent */
	PHASE_ADOPTING, /* the state of the world arrives */
	PHASE_LAUNCHING,
	PHASE_RUNNING,
	PHASE_SHUTDOWN,
	PHASE_FORCED, /* second interrupt */
	PHASE_FLUSHING, /* all is down, the last texts are written */
};

/* A request of an HTTP worker that waits for its answer. */
struct pending {
	SLIST_ENTRY(pending) entry;
	unsigned int worker;
	uint32_t id;
	char who[160]; /* these for the audit */
	char from[128];
	char what[256];
};
SLIST_HEAD(pending_list, pending);

/* What the API tells of the verifier of a process. */
struct verdict {
	char kind[MAX_NAME + 1];
	uint32_t attempts;
	uint64_t elapsed;
	char last[160];
};

enum want {
	WANT_DOWN = 0,
	WANT_UP,
};

struct job {
	struct job_config *config;
	char *name; /* "default.web" */
	struct process **processes; /* by instance */
	unsigned int nprocesses;
	unsigned int nverified; /* processes that were verified once */
	int launched; /* its processes were asked to start */
	uint32_t waits; /* for this one, as launch_waits() tells; 0 none */
	int stuck; /* cannot start as things are: this was told */
	int wanted; /* autostart, or something that starts needs it */
	int hidden; /* the command of -x: no job of the API */
	int retired; /* left the configuration: goes down */
	int changed; /* by a reload */
};

struct process {
	struct job *job;
	uint32_t id;
	uint32_t instance;
	uint32_t generation;
	uint32_t drained; /* generation whose output the relay has last told */
	uint32_t slot; /* of the parent, for the stream cells */
	uint32_t restarts;
	int32_t pid;
	int32_t status; /* wait status of the last exit */
	int32_t error; /* of a failed spawn */
	uint8_t stage;
	uint8_t state; /* enum process_state */
	uint8_t want; /* enum want */
	uint8_t spawning; /* SPAWN sent, no answer yet */
	uint8_t live; /* spawned, the first process has not ended */
	uint8_t leftover; /* ended, others of it are left */
	uint8_t undrained; /* its last output is on the way */
	uint8_t settling; /* ended, waits for GONE and DRAINED */
	uint8_t ended; /* status is valid */
	uint8_t verified;
	uint8_t listed; /* was verified once: stands in pymanager's list */
	uint8_t again; /* comes back when it is gone */
	uint8_t on_its_way; /* as the manager before has left it */
	uint8_t step; /* of the stop sequence */
	uint8_t short_stop; /* pymanager's restart: 5 s */
	uint8_t dirty; /* to be fed and stored */
	uint8_t stored; /* the parent holds a blob of it */
	uint8_t committed; /* and nothing has changed since */
	uint8_t forgotten; /* of a retired job, and down */
	uint16_t backoff; /* deaths since it was last stable */
	uint16_t retries; /* of the start-limit */
	uint64_t started; /* monotonic, ns */
	uint64_t ended_at;
	uint64_t due; /* in backoff: when it comes back */
	int64_t started_wall;
	int64_t ended_wall;
	uint64_t *deaths; /* ring of start-limit.count times */
	struct event *timer; /* stop step, backoff; NULL: none */
	struct verification *verification; /* while it goes on */
	struct verdict *verdict; /* NULL: no verifier yet */
	struct pending_list waiting; /* requests for its restart */
	STAILQ_ENTRY(process) dirty_entry;
};

struct worker {
	struct channel *channel;
	int fed;
	unsigned int owes; /* words that it reads the feed */
	uint64_t asked; /* for that, at this time */
};

struct manager {
	struct component *component;
	struct event_base *base;
	struct channel *parent;
	struct channel *relay;
	struct channel *verifier;
	struct worker workers[MAX_WORKERS];
	struct snapshot *snapshot;
	struct config *config;
	enum birth birth;
	enum phase phase;
	int exit_code;
	int launch_failed;
	int too_early; /* not all was up when the end began */
	struct job *jobs;
	size_t njobs;
	struct process **processes; /* sorted by id */
	uint32_t nprocesses;
	int named; /* blobs have names: after a reload */
	uint32_t signals; /* TERM, INT, QUIT that were taken */
	uint32_t replayed; /* of those, what the parent tells again */
	uint64_t sequence;
	uint64_t *page; /* shared sequence number */
	struct job *runner; /* the -x command, NULL none */
	STAILQ_HEAD(, process) dirty;
	int dirty_status;
	int launch_due;
	int reloading; /* new jobs of a reload are on their way */
	struct event *flush;
};

extern struct manager mgr;

/* ---- process.c: the state machine ----------------------------------- */

enum process_event {
	EVENT_START = 0, /* its turn has come, or the operator says so */
	EVENT_STOP,
	EVENT_RESTART,
	EVENT_STARTED, /* the parent has spawned it */
	EVENT_SPAWN_FAILED,
	EVENT_VERIFIED,
	EVENT_VERIFY_FAILED,
	EVENT_EXITED, /* the first process has ended */
	EVENT_GONE, /* nothing is left of it */
	EVENT_TIMER,
	EVENT_COUNT
};

void process_event(struct process *, enum process_event);
/* The relay has written all of the last generation's output. */
void process_drained(struct process *);
/* To be fed to the workers and stored at the end of this turn. */
void process_touch(struct process *);
struct process *process_find(uint32_t id);
/* 0 if the exit counts as success. */
int process_success(const struct process *);
/* pymanager's number: exit code, or minus the signal. */
int process_code(int32_t status);
/* failure.c: why it could not be started, for people. */
void process_failure(const struct process *, char *buf, size_t);
/* "SIGTERM", "SIGRTMIN+6"; 16 bytes are enough. */
void process_signal_name(int signal, char *buf, size_t size);
/* "exited with code 3", "was ended by SIGTERM". */
void process_end_text(const struct process *, char *buf, size_t size);
/* Has ended for good: tells so if somebody should know. */
void process_tell_over(const struct process *);
/* Starts the timer of this state. */
void process_timer(struct process *, uint64_t ns);
void process_timer_stop(struct process *);
/*
 * A process of an earlier manager: it lives; its end was seen, what follows
 * from it is not known; it was asked for, but never came to be.
 */
void process_adopt_live(struct process *);
void process_adopt_ended(struct process *);
void process_adopt_lost(struct process *);
void process_adopt_left(struct process *);
/* Of a changed job, and down: it waits for its start as if it were new. */
void process_start_anew(struct process *);
/* Number of the spawn group of launches in file order. */
void process_spawn_group(uint32_t group);

/* ---- stop.c --------------------------------------------------------- */

/* Begins the stop sequence of a live process. */
void stop_begin(struct process *);
/* The wait of a step is over. */
void stop_next(struct process *);
/* The first process has ended by itself and left others behind. */
void stop_leftover(struct process *, int stopping);
void stop_kill(struct process *);

/* ---- restart.c ------------------------------------------------------ */

/* Does the policy bring it back after this exit? */
int restart_wanted(const struct process *);
enum restart_decision {
	RESTART_NOW,
	RESTART_LATER, /* delay was filled in */
	RESTART_GIVE_UP,
};
enum restart_decision restart_decide(struct process *, uint64_t *delay);
void restart_forget(struct process *);
/* The times of deaths that the manager before has counted, oldest first. */
void restart_recall(struct process *, const uint64_t *deaths, uint32_t n);
/* In backoff: ns until it is due, no longer than its job ever waits. */
uint64_t restart_left(const struct process *);

/* ---- verify.c: proving that a process is up ------------------------- */

void verify_begin(struct process *); /* its generation has been spawned */
void verify_cancel(struct process *);
/* Its first process has ended (after `restart_wanted` was considered). */
void verify_process_ended(struct process *, int comes_back);
void verify_resume(struct channel *); /* a new verifier process */
int verify_message(struct channel *, struct imsg *);
/* The output of a probe is complete; its last lines; nothing is left of it,
 * which is 1 if it is to be forgotten later, by manager_forget_probe(). */
void verify_probe_drained(uint32_t id);
void verify_probe_said(uint32_t id, const void *, size_t len);
int verify_probe_gone(uint32_t id);
/* The probe with this id has ended or failed to start. */
void verify_probe_ended(
    uint32_t id, int32_t status, uint8_t stage, int32_t error);
void verify_stat_done(uint32_t id, int32_t error, uint32_t mode);
/* Text of the last failure, "" if none. */
const char *verify_reason(const struct process *);

/* ---- launch.c ------------------------------------------------------- */

void launch_begin(void);
/* The launch of an earlier manager goes on, or is over. */
void launch_adopt(void);
/* The configuration is a new one: what is new in it starts. */
void launch_reloaded(void);
/* Something changed that may let more jobs start, or end the launch. */
void launch_continue(void);
/* Does what launch_continue() asked for; at the end of a turn. */
void launch_run(void);
void launch_process_failed(struct process *, const char *why);
void launch_barrier_done(uint32_t id);
/* What was to be shown before the command of -x has been written. */
void launch_flushed(void);
/* NULL if all jobs reached their state, else a text of what is missing. */
const char *launch_missing(char *buf, size_t size);
/* The job for which this process waits before it is started at all, or NULL:
 * none, or its turn is not near yet. */
const struct job *launch_waits(const struct process *);

/* ---- shutdown.c ----------------------------------------------------- */

/* Takes all down, then ends with the code.  Later calls only keep a code
 * that is not 0 over one that is. */
void shutdown_begin(int code);
void shutdown_force(void);
/* An HTTP worker has the answer to the request for it: it gets the time to
 * send it. */
void shutdown_answered(void);
/* The shutdown of an earlier manager goes on. */
void shutdown_again(void);
/* Is a SIGINT the ^C that has ended the command of -x, for us as well?  It is
 * no second one then. */
int shutdown_is_the_same(void);
/* Are we done, or is nothing left to do? Called at the end of a turn. */
void shutdown_check(void);
void shutdown_flushed(void);
/* An HTTP worker has read all that it was sent. */
void shutdown_read(void);
int shutting_down(void);

/* ---- console.c: pymanager's texts ----------------------------------- */

/*
 * pymanager's text, with its line end, on standard output; where another
 * format is asked for, or syslog, a log line of that level, whatever -v says.
 */
void console_tell(enum log_level, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));
void console_bytes(int number, const void *, size_t);
/* Answered when all before it has been written. */
enum flush {
	FLUSH_RUNNER = 1,
	FLUSH_LAST,
};
void console_flush(enum flush);
/* A change that somebody made or wanted; always written. */
void console_audit(const struct audit *);
/* What is shown of a process when it is started: "$ sleep 100". */
void console_command(char *buf, size_t size, const struct process *);
/* A line of the log, by verbosity: see logline.h. */
void console_log(int level, const char *program, const char *text);
/* The same, whatever the verbosity. */
void console_note(const char *text);
void console_report(const struct config_report *, int number);

/* ---- progress.c: the display while starting ------------------------- */

void progress_begin(void);
void progress_process(struct process *);
void progress_end(void);

/* ---- tail.c: the last lines of a process ---------------------------- */

/* Prints them when they have come. */
void tail_request(struct process *);
/* Asks the relay, which must be there: TAIL_DONE has the id.  Stream 0: both.
 */
void tail_ask(uint32_t id, uint8_t stream, uint32_t lines);
void tail_done(uint32_t id, const void *, size_t);
int tail_pending(void);

/* ---- notify.c: sd_notify -------------------------------------------- */

void notify_begin(void); /* before the snapshot is released */
void notify_flush(void); /* at the end of a turn, after the feed */
void notify_ready(void); /* also after a reload, whatever came of it */
void notify_reloading(void);
void notify_stopping(void);
void notify_slow(void); /* a start or an end goes on */

/* ---- feed.c --------------------------------------------------------- */

void feed_worker(unsigned int worker); /* the whole snapshot */
/* Sends what has changed; makes the sequence number visible. */
void feed_flush(void);
int feed_was_read(unsigned int worker); /* FEED_READ: 0 or -1 */
/* Asks all workers once more; is an answer missing? */
void feed_ask_all(void);
int feed_is_owed(void);
void feed_status_changed(void);
const char *feed_status_word(void);

/* ---- blob.c: state that outlives this manager ----------------------- */

#define BLOB_GLOBAL UINT64_C(0)
#define BLOB_PROCESS (UINT64_C(1) << 32) /* or-ed with the id */

/* What an earlier manager wrote of a process. */
struct blob {
	uint8_t state;
	uint8_t want;
	uint8_t verified;
	uint8_t listed;
	uint8_t again;
	uint8_t ended;
	uint8_t stage;
	int32_t error;
	uint32_t generation;
	int32_t status;
	uint32_t restarts;
	uint16_t backoff;
	uint16_t retries;
	uint64_t ended_at;
	int64_t started_wall;
	int64_t ended_wall;
	char *job; /* name, "" when ids follow from the file; owned */
	uint32_t instance;
	uint64_t hash; /* of the job's spec */
	uint64_t due;
	uint64_t *deaths; /* owned, as all below */
	uint32_t ndeaths;
	uint32_t nstop; /* 0: it has no name */
	struct stop_step *stop;
	uint64_t graceful;
	struct verdict *verdict; /* NULL: none */
};

/* What the job of a process is called there, as no job can be: the command
 * of -x; and what stands in place of a hash when it left the configuration. */
#define BLOB_HIDDEN "/"
#define BLOB_RETIRED UINT64_MAX

void blob_process(struct process *);
/* The same, if anything has changed: before what is done is told. */
void blob_commit(struct process *);
void blob_forget(uint32_t process); /* one that nobody has */
void blob_global(void);
/* Before a reload: from now on each process has a blob with its name. */
void blob_name_all(void);
int blob_read_process(struct blob *, const void *, size_t);
void blob_free(struct blob *); /* what it owns */
void blob_apply(struct blob *, struct process *); /* takes the verdict */
int blob_read_global(const void *, size_t);

/* ---- world.c -------------------------------------------------------- */

/* One message of the state of the world; 0 or -1. */
int world_message(struct imsg *);

/* ---- environment_file.c --------------------------------------------- */

/*
 * What a shell runs, with the words of muster-exec (at this path) as its
 * positional parameters; from malloc.
 */
char *environment_file_script(const char *name, const char *program);

/* ---- stage.c: the sealed table -------------------------------------- */

/* Gives all entries their numbers; sends them unless this is a crash. */
int stage_all(int send);
/* Sealed: nobody is to blame any more. */
void stage_end(void);
/* Adds what a refused entry means to a report; text: of STAGE_TLS. */
void stage_blame(struct config_report *, uint32_t entry, uint8_t stage,
    int32_t error, const char *text);

/* Who is to blame when the parent refuses an entry. */
struct blame {
	const struct position *at;
	const char *key;
	const char *job;
	const char *value;
};

/* Numbers an entry and sends it.  Returns its number. */
uint32_t stage_add(
    enum entry_kind, const struct wire *content, const struct blame *);

/* ---- stage_listen.c ------------------------------------------------- */

void stage_listeners(void);

/* ---- reload.c ------------------------------------------------------- */

void reload_tell(void); /* what it has done */

/* ---- jobs.c --------------------------------------------------------- */

/* Makes jobs and processes of the configuration.  0 or -1 (memory). */
int jobs_make(void);
/* A process of a job that is no longer in the configuration. */
struct process *jobs_retired(const struct blob *);
/* Ids have changed. */
void jobs_sort(void);

/* ---- request.c ------------------------------------------------------ */

int request_message(unsigned int worker, struct imsg *);
/* Answers those that wait for this process. */
void request_process_settled(struct process *, int ok, const char *why);
void request_worker_lost(unsigned int worker);

/* ---- manager.c ------------------------------------------------------ */

uint64_t now_mono(void);
int64_t now_wall(void);
/* At the end of this turn: feed, store, check whether all is done. */
void manager_later(void);
/* Tells what the configuration was warned of, once. */
void manager_warn(void);
/* The exit record was taken note of. */
void manager_ack(uint32_t process, uint32_t generation);
void manager_forget_probe(uint32_t id);
/* Tells the process that waits for a daemon's start; once. */
void manager_daemon_ready(int code);
int manager_send(uint32_t type, uint32_t id, const struct wire *);

#endif
