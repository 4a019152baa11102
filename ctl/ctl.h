#ifndef MUSTER_CTL_H
#define MUSTER_CTL_H

#include <sys/types.h>

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <jansson.h>

/*
 * musterctl: one request to a musterd, or a few, and what to print of the
 * answers.  All that comes from musterd is hostile here: bounds are checked,
 * and no byte of it reaches a terminal unescaped.
 */

#ifndef MUSTER_VERSION
#define MUSTER_VERSION "0.1.0"
#endif
#ifndef SYSCONFDIR
#define SYSCONFDIR "/etc"
#endif
#ifndef RUNDIR
#define RUNDIR "/run"
#endif

#define SYSTEM_CONFIG SYSCONFDIR "/muster/muster.yaml"
#define MAX_SOCKET_PATH 108 /* sun_path, with its zero */
#define MAX_ANSWER (64UL * 1024 * 1024) /* bytes of one document */
#define MAX_EVENT (1024UL * 1024) /* bytes of one line of a stream */
#define MAX_FOLLOWED 128 /* streams at once */
#define ANSWER_SECONDS 30 /* patience for a document */
#define CONNECT_SECONDS 5
#define GRACE_SECONDS 1.0 /* for answers when the time is up */
#define GONE_SECONDS 3.0 /* so long nobody answers: musterd has gone */

enum exit_code {
	CTL_OK = 0,
	CTL_FAILED = 1,
	CTL_USAGE = 2,
	CTL_DENIED = 4,
	CTL_UNKNOWN = 5, /* no such process */
	CTL_UNREACHABLE = 69, /* sysexits(3): EX_UNAVAILABLE */
	CTL_TIMEOUT = 124, /* as timeout(1) */
};

/* The set of the Linux Standard Base for `status`. */
enum status_code {
	LSB_OK = 0,
	LSB_DEAD = 1, /* failed or crashed */
	LSB_NOT_RUNNING = 3,
	LSB_UNKNOWN = 4,
};

/* ---- options.c: the command line ------------------------------------- */

enum color_when {
	COLOR_AUTO = 0,
	COLOR_ALWAYS,
	COLOR_NEVER,
};

enum wait_for {
	WAIT_VERIFIED = 0,
	WAIT_RUNNING,
	WAIT_STOPPED,
	WAIT_EXIT,
};

enum progress_kind {
	PROGRESS_AUTO = 0, /* tty on a terminal, else quiet */
	PROGRESS_PLAIN,
	PROGRESS_TTY,
	PROGRESS_JSON,
	PROGRESS_QUIET,
};

#define LINES_DEFAULT -1
#define LINES_ALL -2

struct options {
	const char *file;
	const char *socket;
	const char *url;
	const char *cacert; /* files of TLS, or NULL */
	const char *cert;
	const char *key;
	const char *token_file;
	char *scope; /* of `token`: all of them, with commas */
	const char *expires;
	char **argv; /* the whole command line */
	double timeout; /* seconds; negative: none was given */
	long long lines; /* of logs; LINES_* */
	enum color_when color;
	enum wait_for wait_for;
	enum progress_kind progress;
	int has_for;
	int role; /* of `token`: 0 read, 1 operate, 2 admin */
	int json;
	int quiet;
	int help;
	int version;
	int follow;
	int only_stderr;
	int all;
	int no_wait;
};

/* What the arguments of a verb, or the value of an option, are. */
enum argument {
	ARGUMENT_NONE = 0,
	ARGUMENT_NAMES, /* of processes */
	ARGUMENT_FILE,
	ARGUMENT_WORD, /* one of a list */
	ARGUMENT_VERB,
	ARGUMENT_COMMAND, /* after "--" */
	ARGUMENT_TEXT, /* nothing that could be completed */
};

struct verb {
	const char *name;
	const char *synopsis; /* of its arguments */
	const char *help; /* one line, lower case */
	const char *words; /* ARGUMENT_WORD: separated by blanks */
	enum argument argument;
	unsigned int bit; /* in struct option_entry.verbs */
	int least; /* arguments */
	int most; /* -1: any number */
	int hidden;
	int has_json;
	int (*run)(int argc, char **argv);
};

#define VERB_LOGS 1U
#define VERB_RESTART 2U
#define VERB_SHUTDOWN 4U
#define VERB_WAIT 8U
#define VERB_TOKEN 16U

struct option_entry {
	const char *name; /* without the dashes */
	const char *value; /* name of its value, NULL: has none */
	const char *help;
	const char *words; /* ARGUMENT_WORD */
	enum argument argument; /* of the value */
	unsigned int verbs; /* VERB_*; 0: a global one */
	char letter; /* 0: none */
	int id;
};

extern struct options options;
extern const struct verb verbs[]; /* ends with a NULL name */
extern const struct option_entry option_table[]; /* so does this */

/*
 * Reads the command line up to its verb and behind.  Returns the verb with
 * its arguments in *argc and *argv, or NULL: --help or --version before a
 * verb (see `options`), or an error that was told (*argc is -1 then).
 */
const struct verb *options_parse(int *argc, char ***argv);
const struct verb *verb_find(const char *name);
/* Tells that there is no such verb, and which was meant. */
const struct verb *verb_unknown(const char *name);
/* Is the option one of the verb (NULL: is it global)? */
int option_fits(const struct option_entry *, const struct verb *);

/* ---- help.c ------------------------------------------------------------ */

void help_all(FILE *);
void help_verb(FILE *, const struct verb *);
int verb_help(int argc, char **argv);

/* ---- text.c: what may be shown ----------------------------------------- */

/* Takes up LC_CTYPE; C.UTF-8 where the environment names no locale, or one
 * that is not there. */
void text_locale(void);
int text_is_utf8(void);

#define TEXT_TAB 1 /* a tab stays one */
#define TEXT_PARTIAL 2 /* the last character may be incomplete */

/*
 * The next character of s, of which len > 0 bytes are left, as it may be
 * shown: controls, what is malformed or turns the direction of the text is
 * escaped.  Returns the number of bytes taken, 0 only with TEXT_PARTIAL;
 * fills shown with a string and width with its columns.
 */
#define SHOWN_SIZE 24
size_t text_next(
    const char *s, size_t len, int flags, char shown[SHOWN_SIZE], int *width);
/* All of s, escaped; to be freed. */
char *text_escape(const char *s, size_t len);
/* Columns of s when shown. */
size_t text_width(const char *s);
/* Prints s, escaped, in at most `most` columns; returns those used. */
size_t text_put(FILE *, const char *s, size_t most);

/* Never NULL: without memory the program ends. */
void *xreallocarray(void *, size_t, size_t);
char *xstrdup(const char *);
char *xasprintf(const char *, ...) __attribute__((format(printf, 1, 2)));

/* ---- words.c ------------------------------------------------------------ */

#define AGE_SIZE 32
/* "4s", "3m 20s", "2h 5m", "3d 4h"; negative counts as 0. */
const char *age(double seconds, char buf[AGE_SIZE]);
/* "12 ms", "1.2 s", "2m 5s" */
const char *elapsed(double seconds, char buf[AGE_SIZE]);
/* 10, 2.5, 500ms, 2s, 5m, 1h: 0, or -1 (malformed, or over a year). */
int duration(const char *text, double *seconds);
/* Seconds since 1970 of an RFC 3339 time in UTC; 0 or -1. */
int rfc3339(const char *text, double *seconds);
/* A word for a shell; to be freed. */
char *shell_quote(const char *word);

/* ---- say.c: messages and the terminal ------------------------------------ */

struct terminal {
	int columns; /* of standard output; 0: it is no terminal */
	int color;
};

extern struct terminal terminal;

void terminal_init(void);
/* Columns of a descriptor; 0 if it is no terminal. */
int terminal_columns(int fd);
/* "musterctl: TEXT" on standard error, each line of it escaped. */
void complain(const char *, ...) __attribute__((format(printf, 1, 2)));
/* The same, but not with -q. */
void note(const char *, ...) __attribute__((format(printf, 1, 2)));
/* A line of result, escaped, on standard output; not with -q. */
void result(const char *, ...) __attribute__((format(printf, 1, 2)));
/* Why standard output could not be written; 0: nothing of it is lost. */
int output_error(void);
/* Without threads; errors of the system. */
const char *reason(int error);
const char *environment(const char *name);
/* Prints and frees. */
void print_json(json_t *);
double monotonic(void); /* seconds */

/* ---- table.c ------------------------------------------------------------- */

enum color {
	PLAIN = 0,
	BOLD,
	DIM,
	RED,
	GREEN,
	YELLOW,
	BLUE,
	MAGENTA,
	CYAN,
};

#define MAX_COLUMNS 12

struct table_cell {
	char *text; /* escaped when it is printed */
	size_t width;
	enum color color;
};

struct table {
	const char *heads[MAX_COLUMNS];
	struct table_cell *cells; /* nrows * ncolumns */
	size_t ncolumns;
	size_t ncells;
	size_t size;
};

void table_begin(struct table *, const char *const *heads, size_t n);
/* The next cell, row by row. */
void table_cell(struct table *, enum color, const char *, ...)
    __attribute__((format(printf, 3, 4)));
/* columns: where lines are cut, 0 never. */
void table_print(FILE *, const struct table *, int columns, int color);
void table_free(struct table *);
const char *color_on(enum color, int color); /* "" without colour */
const char *color_off(enum color, int color);

/* ---- http.c: reading an answer, RFC 9112 ----------------------------------
 */

#define HTTP_MAX_LINE 8192
#define HTTP_MAX_HEAD 32768 /* status line, fields and trailers together */

enum http_result {
	HTTP_MORE, /* all was taken, more is needed */
	HTTP_BODY, /* a piece of the content is there */
	HTTP_END, /* the answer is complete; bytes behind it are not taken */
	HTTP_BAD, /* see why */
};

struct http {
	const char *why; /* of HTTP_BAD: a constant */
	uint64_t left; /* of the content, or of a chunk */
	size_t line_len;
	size_t head_len;
	int status;
	int minor;
	int state;
	int has_head; /* status and type are valid */
	int interim; /* 1xx answers so far */
	int chunked;
	int has_length;
	char type[64]; /* Content-Type without parameters, lower case */
	char line[HTTP_MAX_LINE];
};

void http_begin(struct http *);
/*
 * Takes bytes from *in.  HTTP_BODY: *body and *body_len are a piece of them;
 * call again with what is left.  Nothing is allocated or read.
 */
enum http_result http_feed(struct http *, const char **in, size_t *len,
    const char **body, size_t *body_len);
/* The connection was closed: 0 if the answer may end here, else -1 and why. */
int http_eof(struct http *);

/* ---- socket.c: where musterd is ------------------------------------------ */

struct endpoint {
	char path[MAX_SOCKET_PATH]; /* of a Unix socket, or "" */
	char host[256];
	char port[8];
	char *file; /* configuration that leads here, or NULL */
	int tls; /* https:// */
	int guarded; /* only if no other user can have put it there */
};

extern struct endpoint endpoint;

uint64_t fnv1a(const char *);
/*
 * Path of the socket of an instance: as musterd's own name_socket().  real
 * is the configuration's real path, dir the directory of sockets, system
 * whether musterd is root.
 */
void socket_name(
    char buf[MAX_SOCKET_PATH], const char *dir, const char *real, int system);
/* http://host[:port], or unix:///path; 0, or -1. */
int endpoint_parse(struct endpoint *, const char *url);
/* Finds the instance by the options; an exit code, told if loud. */
int locate(int loud);
/* A connection, not blocking; -1 with errno. */
int endpoint_connect(const struct endpoint *);
/* Nobody answers: the exit code, told if loud. */
int unreachable(int error, int loud);
/* What is shown of the place. */
const char *endpoint_text(void);

/* ---- patience.c ------------------------------------------------------ */

/* When the verb gives up (monotonic(); --timeout); negative: never. */
extern double give_up;

/* The last request met somebody who does not answer. */
extern int silent;

/* So long may be waited for what wants `seconds` at most: until the verb
 * gives up, and a moment, so that what is due then can still come. */
double patience(double seconds);
/* Nobody answers in time: CTL_TIMEOUT if the verb gives up, or
 * CTL_UNREACHABLE. */
int no_answer(int loud);

/* ---- client.c: requests ---------------------------------------------------
 */

struct client {
	struct http http;
	const char *why; /* a text for people when something failed */
	size_t off; /* of unread bytes in `in` */
	size_t len;
	struct tls *tls; /* NULL: bytes as they are */
	int fd; /* -1: not open */
	int ended; /* the whole answer was taken */
	int lost; /* the connection was, before that */
	char in[65536];
};

/*
 * Connects and sends a request without content.  0; -1 with errno: there was
 * no connection.
 */
int client_open(struct client *, const char *method, const char *target,
    const char *accept);
void client_close(struct client *);
/* Reads once, without waiting: 1 something, 0 nothing yet, -1 lost (why). */
int client_fill(struct client *);
/* The next piece of content that is there: 1; 0 none yet; -1 bad (why);
 * 2 the end. */
int client_take(struct client *, const char **body, size_t *len);
/* Waits for input, at most until the deadline (monotonic(), negative: none):
 * 1, or 0 when it is over. */
int client_wait(const struct client *, double deadline);

struct reply {
	json_t *json; /* NULL: no JSON, or none that can be read */
	char *body;
	size_t len;
	int status;
};

/*
 * A request and its whole answer, `seconds` at most; a GET is repeated when
 * the connection is lost.  0, whatever its status; else an exit code, told
 * if loud: CTL_UNREACHABLE, CTL_TIMEOUT (the verb gives up), CTL_DENIED, or
 * CTL_FAILED for nonsense.
 */
int request(struct reply *, const char *method, const char *target,
    double seconds, int loud);
/* Reads what is left of an opened request and closes it: as request(), but
 * nothing is told (see why). */
int client_finish(struct client *, struct reply *, double deadline);
/* The member "detail", or "error"."message", or the status; escaped when
 * it is told. */
const char *reply_text(const struct reply *);
/* Tells of an answer that is an error; the exit code for it. */
int reply_refused(const struct reply *);
void reply_free(struct reply *);
/* GET: an object, to be released; or NULL and an exit code.  What fails is
 * told if loud, what is refused always. */
json_t *get_object(const char *target, int loud, int *code);
/* An answer is not what it should be: tells so, and gives the exit code. */
int strange_answer(int loud);
/* GET of bytes; 0, or -1, without a word. */
int request_raw(struct reply *, const char *target);

/* ---- process.c --------------------------------------------------------------
 */

struct process {
	json_t *json; /* owned by the list */
	const char *name; /* "default.web" */
	const char *label; /* "web": without the default session */
	const char *state;
	const char *kind; /* of its verifier, or NULL */
	const char *last; /* what the verifier said last, or "" */
	const char *waits; /* the job that it waits for, or NULL */
	long long attempts;
	long long elapsed_ms;
	double uptime; /* negative: it does not run */
	double ended; /* seconds since 1970, negative unknown */
	long long generation;
	long long instance;
	long long restarts;
	uint32_t id;
	int32_t pid; /* 0: none */
	int verified;
	int has_exit;
	int code; /* of the exit; as a shell's, 128 + n for signals */
	char exit[32]; /* "exit 1", "SIGTERM", or "" */
};

struct processes {
	json_t *document;
	struct process *list;
	size_t n;
};

/* Reads one; 0, or -1 if it is none. */
int process_read(json_t *, struct process *);
/* Reads {"processes": […]} and takes it over; 0, or -1. */
int processes_read(struct processes *, json_t *document);
/* GET /v1/processes; an exit code, as get_object(). */
int processes_get(struct processes *, int loud);
void processes_free(struct processes *);
/* GET /v1/processes/ID, without a word; *out is the document that p lives
 * in, to be released. */
int process_get(uint32_t id, double seconds, struct process *p, json_t **out);

/* Has reached what it is there for. */
int process_is_good(const struct process *);
/* Ended, and will not come back by itself. */
int process_is_over(const struct process *);
enum status_code process_lsb(const struct process *);
enum color process_color(const struct process *);
/* What it waits for, what the verifier says, or how it ended; to be freed. */
char *process_remark(const struct process *);

/*
 * Those that the names mean: web, session.web, id:3, patterns.  No name:
 * all.  *list gets pointers into `all`, to be freed.  Returns how many names
 * mean nothing (told), or -1: a name is malformed (told).
 */
int processes_select(const struct processes *all, char **names, int nnames,
    struct process ***list, size_t *n);
/* Its label, with the id where others of them have the same; to be freed. */
char *process_title(const struct process *, const struct processes *all);

/* ---- output.c: output of processes
 * ------------------------------------------- */

/* A printer of one stream of bytes. */
struct printer {
	const char *prefix; /* NULL: none */
	enum color color; /* of the prefix */
	int to_terminal; /* escape */
	size_t pad; /* columns of the prefix */
	char *held; /* an incomplete line or character */
	size_t held_len;
	size_t held_size;
};

void printer_write(struct printer *, FILE *, const char *, size_t);
/* What is held, completed by a newline. */
void printer_end(struct printer *, FILE *);

/* One event of a stream, decoded. */
enum event_kind {
	EVENT_OTHER,
	EVENT_IO,
	EVENT_EOF,
	EVENT_GAP,
};

struct event {
	json_t *json; /* to be released */
	enum event_kind kind;
	uint64_t offset;
	uint64_t lost;
	char *data; /* of EVENT_IO, to be freed */
	size_t len;
};

/* One line of NDJSON; 0, or -1 if it is no event. */
int event_read(struct event *, const char *line, size_t len);
void event_free(struct event *);
/* Decodes base64 in place: the length, or -1. */
ssize_t base64_decode(char *text, size_t len);

/* The name of one of "streams", "stdout" or "stderr"; NULL: another. */
const char *stream_name(const json_t *);
/* The last lines of a process, on a stream; errors are not told. */
void show_last_lines(FILE *, const struct process *, unsigned int lines);

/* ---- progress.c
 * ----------------------------------------------------------------- */

struct progress_row {
	const char *label;
	char *word; /* "waiting", "stopping" … */
	char *detail;
	double since; /* monotonic; 0: its turn has not come */
	double until; /* 0: not done */
	int good;
};

struct progress {
	struct progress_row *rows;
	size_t n;
	size_t drawn; /* lines on the terminal */
	double began;
	enum progress_kind kind;
	unsigned int turn;
};

void progress_begin(struct progress *, size_t n);
/* Something has changed with this row. */
void progress_change(struct progress *, size_t row, const struct process *);
void progress_done(struct progress *, size_t row, int good);
/* Draws it again, on a terminal. */
void progress_draw(struct progress *);
/* Takes it from the terminal, so that lines can be printed. */
void progress_clear(struct progress *);
void progress_end(struct progress *);

/* ---- the verbs
 * ------------------------------------------------------------------ */

int verb_status(int argc, char **argv);
int verb_restart(int argc, char **argv);
int verb_logs(int argc, char **argv);
int verb_wait(int argc, char **argv);
int verb_shutdown(int argc, char **argv);
int verb_validate(int argc, char **argv);
int verb_token(int argc, char **argv);
int verb_test(int argc, char **argv);
int verb_info(int argc, char **argv);
int verb_completion(int argc, char **argv);
int verb_complete(int argc, char **argv);

/* ---- follow.c: streams of processes
 * ------------------------------------------ */

struct feed {
	const struct process *process;
	const char *stream; /* "stdout" or "stderr" */
	char *label; /* the prefix, or NULL */
	struct client *client; /* NULL: not connected */
	char *line; /* an incomplete line of NDJSON */
	struct printer printer;
	size_t line_len;
	size_t line_size;
	uint64_t next; /* offset where the next request begins */
	long long lines; /* or so many lines before the end, if not 0 */
	double again; /* when to connect, monotonic() */
	unsigned int failures; /* connections in a row that gave nothing */
	int begun; /* something has come */
	int complete; /* nothing since the answer before came to its end */
	int torn; /* nothing yet, and what comes may begin within a line */
	int done; /* there will be nothing more */
};

/* Reads what there is, once; an exit code, told. */
int feed_read(struct feed *);
/* Reads all of them for ever; an exit code, told, or -1: the musterd that
 * answers is another than `boot`. */
int feeds_follow(struct feed *, size_t n, const char *boot);
void feed_free(struct feed *);
/* What the musterd that answers calls itself, to be freed; or NULL and an
 * exit code, as get_object(). */
char *boot_get(int loud, int *code);

/* ---- validate.c
 * ------------------------------------------------------------------ */

/*
 * Becomes musterd, with these arguments and, if there are any, those of a
 * command behind "--"; both end with NULL.  Returns an exit code, told, if
 * there is none.
 */
int run_musterd(const char *const *arguments, char **command);

/* pid_linux.c */
/* A descriptor that becomes readable when the process has ended; or -1. */
int pid_open(pid_t);

#endif
