#ifndef MUSTER_CONFIG_H
#define MUSTER_CONFIG_H

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "../common/feed.h"
#include "../common/message.h"

/*
 * The configuration as structs.  Strings are owned by the configuration
 * and live as long as it; NULL means "not given".  Durations are
 * nanoseconds.
 */

#define SECOND UINT64_C(1000000000)
#define MILLISECOND UINT64_C(1000000)

#define MAX_JOBS 16384
#define MAX_INSTANCES 4096
#define MAX_VERIFIERS 16 /* of one job */
#define MAX_STOP_STEPS 16
#define MAX_LIMIT_COUNT 1000 /* of start-limit */
/* signal(7): real-time signals follow; the C library keeps the first few. */
#define MAX_STANDARD_SIGNAL 31

/* Exit codes of musterd (PYMANAGER's, kept). */
enum exit_code {
	EXIT_OK = 0,
	EXIT_NOT_FOUND = 1, /* no such file; also: port in use */
	EXIT_UNREADABLE = 2, /* unreadable file; bad option */
	EXIT_SYNTAX = 3, /* neither YAML nor JSON */
	EXIT_NO_PROCESSES = 4,
	EXIT_SETUP = 5, /* a process could not be set up */
};

/*
 * A word with replacements: $(instance), $(name), $(socket.NAME.fileno).
 * Segments use spec.h's enum segment; text is the literal or the socket.
 */
struct segment_text {
	uint8_t kind;
	const char *text;
};

struct segments {
	size_t count;
	struct segment_text list[];
};

struct word {
	const char *source; /* as written, for display */
	const struct segments *segments; /* NULL: the word is its source */
};

struct words {
	struct word *list;
	uint32_t count;
	uint32_t room; /* in list */
};

struct strings {
	const char **list;
	size_t count;
};

/* Where a key stands, for messages that come later than the check. */
struct position {
	const char *file; /* owned by the configuration */
	unsigned int line;
	unsigned int column;
};

enum restart_policy {
	RESTART_NEVER = 0,
	RESTART_ON_FAILURE,
	RESTART_ALWAYS,
};

enum after_condition {
	AFTER_VERIFIED = 0, /* verified and running, or ended well */
	AFTER_EXITED, /* ended with a success code */
	AFTER_STARTED, /* spawned */
};

struct after {
	const char *job; /* name as written */
	size_t index; /* of the job in config->jobs */
	enum after_condition condition;
	struct position at;
};

enum verify_kind {
	VERIFY_HTTP = 0, /* also http+unix, by `unix_path` */
	VERIFY_TCP,
	VERIFY_UNIX,
	VERIFY_EXITED,
	VERIFY_COMMAND,
	VERIFY_FILE,
	VERIFY_CUSTOM, /* a Python class of pymanager's contract */
};

struct status_range {
	uint16_t from;
	uint16_t to;
};

struct verify_config {
	enum verify_kind kind;
	struct position at;
	const char *kind_name; /* "http", "pymutils...HttpOkVerifier" */
	int pymanager; /* named by class: its messages and timing */
	uint64_t timeout; /* 30 s */
	uint64_t interval; /* 1 s */
	uint64_t attempt_timeout; /* 5 s; pymanager's HttpOk: interval */
	/* http, http+unix */
	const char *url;
	const char *unix_path; /* http+unix, unix: absolute */
	const char *method;
	struct strings headers; /* "Name: value" */
	struct status_range *statuses;
	size_t nstatuses;
	const char *body;
	struct strings expect_headers;
	unsigned int redirects; /* followed at most; 10 */
	int insecure;
	const char *ca_file; /* absolute */
	void *ca; /* its bytes, read into the snapshot */
	size_t ca_len;
	/* tcp */
	const char *host;
	uint16_t port;
	/* exited: wait status as pymanager counts (-N signal) */
	int expect_code;
	/* command */
	struct words command;
	/* file */
	const char *path; /* absolute */
	/* custom */
	const char *module; /* Python module */
	const char *class_name;
	const char *arguments; /* JSON object */
	/* filled in by staging */
	uint32_t entry; /* SPEC, UNIX, FILE; NO_ENTRY */
};

struct stop_step {
	int signal; /* number */
	uint64_t wait; /* until the next step; the last: until KILL */
};

struct limit {
	uint8_t resource;
	uint64_t soft;
	uint64_t hard;
};

enum output_mode {
	OUTPUT_SHOW = 0, /* to musterd's own output, and kept */
	OUTPUT_KEEP, /* suppressed: only kept */
	OUTPUT_FILE, /* to a file, and kept */
	OUTPUT_DISCARD, /* /dev/null */
	OUTPUT_JOIN, /* stderr only: to where stdout goes */
	OUTPUT_INHERIT, /* musterd's own descriptor */
};

struct output_config {
	enum output_mode mode;
	const char *path; /* absolute, for OUTPUT_FILE */
	struct position at; /* of the path */
	int append;
	uint32_t entry; /* ENTRY_LOGFILE, filled in by staging */
};

enum stdin_mode {
	STDIN_PIPE = 0,
	STDIN_NULL,
};

struct job_config {
	const char *name;
	struct position at;
	struct words words; /* program and arguments (pymanager's two, or
			     * `command` split as a shell splits) */
	int shell; /* 1: run by `shell_program` -c */
	const char *shell_program; /* resolved: /bin/sh, or what was named */
	const char *working_directory; /* absolute */
	struct words environment; /* NAME=VALUE */
	const char *environment_file; /* as given */
	const char *environment_shell; /* the shell that sources it */
	int clear_environment;
	const char *user;
	struct position user_at;
	const char *group;
	struct strings groups;
	int has_groups;
	uint32_t umask; /* NO_UMASK */
	int nice; /* NO_NICE */
	struct limit *limits;
	size_t nlimits;
	struct after *after;
	size_t nafter;
	unsigned int instances;
	int autostart;
	enum restart_policy restart;
	uint64_t backoff_initial; /* 100 ms */
	uint64_t backoff_max; /* 60 s */
	uint64_t backoff_reset; /* 10 s */
	unsigned int limit_count; /* start-limit; 0 none */
	uint64_t limit_within;
	uint64_t limit_retry_after; /* 0: failed at once */
	unsigned int limit_retries;
	int *success_codes; /* NULL: 0 alone */
	size_t nsuccess;
	struct stop_step *stop; /* at least one */
	size_t nstop;
	uint64_t graceful;
	int own_stop; /* `stop` or `graceful-time` stands at the job */
	int exit_shutdown; /* on-exit: shutdown */
	struct output_config out;
	struct output_config err;
	uint64_t capture;
	int prefix;
	enum stdin_mode in;
	struct verify_config *verifiers; /* all must pass, in order */
	size_t nverifiers;
	uint32_t entry; /* ENTRY_SPEC, filled in by staging */
	uint64_t hash; /* of what the process is; filled in by staging */
};

/* Paths are absolute; NULL: not given. */
struct tls_config_files {
	int enabled;
	const char *certificate;
	const char *key;
	const char *client_ca;
	const char *crl;
	int client_required;
	struct position at;
};

#define MAX_SCOPES 64

/* An entry of the tokens file. */
struct principal_config {
	const char *name;
	unsigned int role; /* enum access_role */
	unsigned int kind; /* enum principal_kind */
	unsigned int nhashes;
	int64_t expires; /* seconds since 1970, 0 never */
	uint8_t hash[PRINCIPAL_HASH];
	struct strings scope; /* "S" or "S.J"; none: everything */
};

struct listen_config {
	int enabled; /* TCP */
	const char *address; /* numeric */
	uint16_t port;
	const char *unix_path; /* absolute */
	unsigned int workers;
	struct strings allow_hosts;
	struct strings allow_origins;
	struct strings allow_users; /* names or numbers */
	struct strings allow_groups;
	struct tls_config_files tls;
	int has_tokens; /* a file of them was given, if an empty one */
	struct principal_config *principals;
	size_t nprincipals;
	int insecure;
	struct position at;
	struct position port_at;
};

#define SYSLOG "syslog:" /* instead of the path of a log file */

#define MESSAGE_PROCESS_EXIT 1
#define MESSAGE_VERIFIER_FAIL 2
#define MESSAGE_VERIFIER_VERBOSE 4 /* implies the fail lines */

struct config {
	struct listen_config http;
	int keep_alive;
	uint64_t graceful; /* of musterd and of jobs without their own */
	unsigned int messages; /* MESSAGE_* */
	const char *logfile; /* absolute, or NULL */
	struct position logfile_at;
	int syslog; /* log lines go there instead */
	int log_format; /* enum log_format, logline.h */
	const char *user; /* of the components */
	unsigned int start_parallel;
	int graph; /* some job has `after`: no file order */
	struct job_config **jobs;
	size_t njobs;
	struct config_arena *arena;
	const char **recent; /* while it is loaded: strings to share */
	size_t bytes; /* of all that is in it, however often it is shared */
};

int address_is_loopback(const char *numeric);

/* What a check found; printed by config_print(). */
struct config_problem {
	int error; /* 0: a warning */
	char *file; /* NULL: of no file */
	unsigned int line;
	unsigned int column;
	char *text; /* "key.path: what (did you mean …)" */
};

struct config_report {
	struct config_problem *list;
	size_t count;
	size_t errors; /* all of them, those too that are not kept */
	size_t fatal; /* errors that are errors without -n, too */
	enum exit_code code; /* what a start would end with, else 5 */
};

struct snapshot;

/*
 * Reads a further file into the snapshot (`include`, `ca`): returns 0 and
 * bytes owned by the callee that live as long as the snapshot, or -1 with
 * errno set.
 */
typedef int (*config_file_fn)(
    void *arg, const char *path, const void **bytes, size_t *len);

/*
 * Loads the snapshot's file and its includes.  Always fills the report
 * (owned by the caller, free with config_report_free()); returns NULL when
 * it holds an error.  strict (-n): what is a warning at a start is an
 * error.
 */
struct config *config_load(const struct snapshot *, int strict, config_file_fn,
    void *arg, struct config_report *);
void config_free(struct config *);
/*
 * The words of a process joined by blanks, for display; the name of a job
 * without words.  Valid until the next call of this or the one below.
 */
const char *config_command_line(const struct job_config *, uint32_t instance);
/* One of its words. */
const char *config_word(
    const struct job_config *, uint32_t i, uint32_t instance);
void config_report_free(struct config_report *);
/* Adds a problem from outside the loader (staging, the seal). */
void config_problem_add(struct config_report *, int error, enum exit_code code,
    const struct position *, const char *fmt, ...)
    __attribute__((format(printf, 5, 6)));
/* "FILE:LINE:COL: key: what", control bytes escaped; no newline. */
int config_problem_text(const struct config_problem *, char *buf, size_t size);
/* The JSON Schema 2020-12 of the same table. */
void config_schema_print(FILE *);

#endif
