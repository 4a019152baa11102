#ifndef MUSTER_CONFIG_TABLE_H
#define MUSTER_CONFIG_TABLE_H

#include <stddef.h>
#include <stdint.h>

#include "../common/document.h"
#include "../common/spec.h"
#include "config.h"

/*
 * The table of keys that drives the check and of which the JSON Schema is
 * printed.  A group is a mapping with known keys; each key says which kinds
 * of value it takes and which function stores it.
 */

/* What a value may be; or-ed. */
enum value_type {
	TYPE_BOOL = 1,
	TYPE_INTEGER = 2, /* min … max */
	TYPE_NUMBER = 4,
	TYPE_STRING = 8, /* one of `words`, if these are given */
	TYPE_STRINGS = 16, /* a list of strings */
	TYPE_DURATION = 32, /* seconds, or "500ms" "2s" "5m" */
	TYPE_SIZE = 64, /* bytes, or "64k" "1m" */
	TYPE_GROUP = 128, /* a mapping with the keys of `group` */
	TYPE_MAP = 256, /* a mapping with free keys, of `group` if given */
	TYPE_LIST = 512, /* a list of anything that `set` takes */
	TYPE_TRUTH = 1024, /* anything, by Python's truth (pymanager) */
	TYPE_ANY = 2048,
	TYPE_SECRET = 16384, /* what stands there is never shown */
	/* With a warning, since pymanager took them as well: */
	TYPE_NULL = 4096, /* null, which `set` understands */
	TYPE_LETTER = 8192, /* "" or "x" as a list of letters */
};

struct loader;
struct key;

/* Stores a value; reports what is wrong itself. */
typedef void (*key_set_fn)(
    struct loader *, const struct key *, void *target, const struct doc_node *);

struct key {
	const char *name;
	unsigned int types;
	key_set_fn set; /* NULL: the key has no effect, on purpose */
	size_t offset; /* in the target struct, for the plain setters */
	int64_t min;
	int64_t max;
	const char *const *words;
	const struct key_group *group;
	/* For the schema, where `types` says less than `set` wants: */
	const char *pattern; /* of a string */
	const char *schema; /* JSON, instead of all else */
	const char *later; /* has no effect in this version: says what */
	const char *about; /* one sentence */
};

struct key_group {
	const char *title; /* one word: a name in the schema */
	const struct key *keys; /* ends with a name of NULL */
	const char *schema; /* more members of its schema, as JSON, or NULL */
};

extern const struct key_group group_top;
extern const struct key_group group_module;
extern const struct key_group group_http;
extern const struct key_group group_tls;
extern const struct key_group group_job;
extern const struct key_group group_options;
extern const struct key_group group_verifier;
extern const struct key_group group_verify;
extern const struct key_group group_backoff;
extern const struct key_group group_start_limit;
extern const struct key_group group_stop;
extern const struct key_group group_output;
extern const struct key_group group_httpok;
extern const struct key_group group_exited;

/* What is gathered before the structs are complete. */
struct loader {
	const struct snapshot *snapshot;
	struct config *config;
	struct config_report *report;
	const char *file; /* of the document that is read now */
	int strict;
	int expand;
	config_file_fn read_file;
	void *read_arg;
	int default_shell_off; /* default-shell: false */
	const char *default_shell; /* NULL: true, /bin/sh */
	unsigned int depth; /* of includes */
	struct strings included; /* paths of all included files */
	struct strings modules; /* registered "MODULE.CLASS" */
	int has_processes;
	int full; /* it was reported that the configuration is too large */
	/* of the job that is read */
	int shell_given; /* 1 true, 2 a program */
	const struct doc_node *suppress;
	const struct doc_node *redirect;
	const struct doc_node *output; /* `stdout` */
	const struct doc_node *appending;
	const struct doc_node *graceful;
	const struct doc_node *executable;
	const struct doc_node *arguments;
	const struct doc_node *command;
	uint64_t job_graceful;
};

/* ---- config_memory.c ------------------------------------------------ */

/* Memory that lives as long as the configuration; never NULL. */
void *config_alloc(struct config *, size_t);
/* Equal strings may be one: nobody writes into them. */
const char *config_strdup(struct config *, const char *);
char *config_printf(struct config *, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));
void *config_array(struct config *, const void *old, size_t n, size_t size);
/* From now on equal strings are shared, as far as is cheap; or no more. */
void config_share(struct config *, int on);

/* ---- config.c ------------------------------------------------------- */

/* Reports at a node: "path: text". */
void config_error(struct loader *, const struct doc_node *, const char *fmt,
    ...) __attribute__((format(printf, 3, 4)));
/* The same, at the place of the member's key. */
void config_error_key(struct loader *, const struct doc_node *, const char *fmt,
    ...) __attribute__((format(printf, 3, 4)));
void config_warning(struct loader *, const struct doc_node *, const char *fmt,
    ...) __attribute__((format(printf, 3, 4)));
/* Enough errors are kept: further texts need not be made with care. */
int config_errors_are_full(const struct loader *);
struct position config_position(struct loader *, const struct doc_node *);
/*
 * Would so many bytes more be too many? Reported once, at the node.  Who
 * copies what a document says asks first.
 */
int config_is_full(struct loader *, const struct doc_node *, size_t more);
/* The document of a further file; NULL when reported. */
struct doc *config_parse(
    struct loader *, const char *path, const void *, size_t);
/* Walks a mapping by a group's table. */
void config_group(struct loader *, const struct key_group *, void *target,
    const struct doc_node *);

/* ---- config_value.c ------------------------------------------------- */

/* The longest duration, in seconds: 31 days. */
#define MAX_DURATION 2678400

/* Checks kind, range and words; 0 if it may be stored, else reported. */
int value_check(struct loader *, const struct key *, const struct doc_node *);
/* A copy of a string (or of a number's text), with ${VAR} replaced when
 * `expand: true`; NULL when reported. */
const char *value_string(struct loader *, const struct doc_node *);
/* The same, but of 1 to size - 1 bytes; what: "a path". */
const char *value_bounded(
    struct loader *, const struct doc_node *, const char *what, size_t size);
/* Made absolute by musterd's directory. */
const char *value_path(struct loader *, const struct doc_node *);
const char *value_socket_path(struct loader *, const struct doc_node *);
int value_duration(struct loader *, const struct doc_node *, uint64_t *);
int value_truth(const struct doc_node *);
void value_strings(struct loader *, const struct doc_node *, struct strings *);
/* The value of a hexadecimal digit, or -1. */
int value_hex(char);
int value_signal(struct loader *, const struct doc_node *, int *);

void set_bool(
    struct loader *, const struct key *, void *, const struct doc_node *);
void set_truth(
    struct loader *, const struct key *, void *, const struct doc_node *);
void set_uint(
    struct loader *, const struct key *, void *, const struct doc_node *);
void set_int(
    struct loader *, const struct key *, void *, const struct doc_node *);
void set_string(
    struct loader *, const struct key *, void *, const struct doc_node *);
void set_path(
    struct loader *, const struct key *, void *, const struct doc_node *);
void set_socket_path(
    struct loader *, const struct key *, void *, const struct doc_node *);
void set_name(
    struct loader *, const struct key *, void *, const struct doc_node *);
void set_duration(
    struct loader *, const struct key *, void *, const struct doc_node *);
/* A duration that is not 0. */
void set_pause(
    struct loader *, const struct key *, void *, const struct doc_node *);
void set_size(
    struct loader *, const struct key *, void *, const struct doc_node *);
void set_strings(
    struct loader *, const struct key *, void *, const struct doc_node *);
void set_word(
    struct loader *, const struct key *, void *, const struct doc_node *);
void set_group(
    struct loader *, const struct key *, void *, const struct doc_node *);

/*
 * What Python's int() makes of a value, or of the text of a string; -1: an
 * error there, too.
 */
int value_python_int(const struct doc_node *, int64_t *);
int text_python_int(const char *, int64_t *);

/* ---- config_words.c ------------------------------------------------- */

/* Words of one command, or variables of one environment. */
#define MAX_CONFIG_WORDS (MAX_WORDS - 16)

/* One word with its replacements; the text must live as long as the
 * configuration. */
void word_make(
    struct loader *, const struct doc_node *, const char *text, struct word *);
/* Splits as a shell does (quotes, backslashes, no expansion). */
void words_split(struct loader *, const struct doc_node *, struct words *);
void words_list(struct loader *, const struct doc_node *, struct words *);
/* Room for so many more. */
void words_reserve(struct loader *, struct words *, uint32_t more);
/* 0, or -1 when reported: too many. */
int words_append(struct loader *, const struct doc_node *, struct words *,
    const struct word *);
/* The words joined by blanks. */
char *words_joined(struct loader *, const struct words *);

/* ---- config_top.c, config_job.c, config_output.c, config_verify.c --- */

void set_logfile(
    struct loader *, const struct key *, void *, const struct doc_node *);
void set_http(
    struct loader *, const struct key *, void *, const struct doc_node *);
void set_http_port(
    struct loader *, const struct key *, void *, const struct doc_node *);
void set_http_address(
    struct loader *, const struct key *, void *, const struct doc_node *);
void set_tls(
    struct loader *, const struct key *, void *, const struct doc_node *);
void set_tokens(
    struct loader *, const struct key *, void *, const struct doc_node *);
void set_ids(
    struct loader *, const struct key *, void *, const struct doc_node *);
void set_graceful(
    struct loader *, const struct key *, void *, const struct doc_node *);
void set_default_shell(
    struct loader *, const struct key *, void *, const struct doc_node *);
void set_messages(
    struct loader *, const struct key *, void *, const struct doc_node *);
void set_modules(
    struct loader *, const struct key *, void *, const struct doc_node *);
void set_include(
    struct loader *, const struct key *, void *, const struct doc_node *);
void set_processes(
    struct loader *, const struct key *, void *, const struct doc_node *);
void set_expand(
    struct loader *, const struct key *, void *, const struct doc_node *);
void config_include_file(
    struct loader *, const struct doc_node *, const char *path);

void set_job_node(
    struct loader *, const struct key *, void *, const struct doc_node *);
/* Name of the i-th resource limit; NULL behind the last. */
const char *config_limit_name(size_t i);
void set_working_directory(
    struct loader *, const struct key *, void *, const struct doc_node *);
void set_shell(
    struct loader *, const struct key *, void *, const struct doc_node *);
void set_environment(
    struct loader *, const struct key *, void *, const struct doc_node *);
void set_user(
    struct loader *, const struct key *, void *, const struct doc_node *);
void set_groups(
    struct loader *, const struct key *, void *, const struct doc_node *);
void set_umask(
    struct loader *, const struct key *, void *, const struct doc_node *);
void set_limits(
    struct loader *, const struct key *, void *, const struct doc_node *);
void set_after(
    struct loader *, const struct key *, void *, const struct doc_node *);
void set_success(
    struct loader *, const struct key *, void *, const struct doc_node *);
void set_stop(
    struct loader *, const struct key *, void *, const struct doc_node *);
void set_start_limit(
    struct loader *, const struct key *, void *, const struct doc_node *);
void set_job_graceful(
    struct loader *, const struct key *, void *, const struct doc_node *);
void set_output(
    struct loader *, const struct key *, void *, const struct doc_node *);
/* Stores the path of a file for output; warns of what is not replaced in it. */
void output_path(
    struct loader *, struct output_config *, const struct doc_node *);
void set_output_file(
    struct loader *, const struct key *, void *, const struct doc_node *);
void set_signal(
    struct loader *, const struct key *, void *, const struct doc_node *);
void set_environment_file(
    struct loader *, const struct key *, void *, const struct doc_node *);
void set_patience(
    struct loader *, const struct key *, void *, const struct doc_node *);
void set_verifier(
    struct loader *, const struct key *, void *, const struct doc_node *);
void set_verify(
    struct loader *, const struct key *, void *, const struct doc_node *);
void set_statuses(
    struct loader *, const struct key *, void *, const struct doc_node *);
void set_fields(
    struct loader *, const struct key *, void *, const struct doc_node *);
void set_expected_fields(
    struct loader *, const struct key *, void *, const struct doc_node *);
void set_method(
    struct loader *, const struct key *, void *, const struct doc_node *);
void set_body(
    struct loader *, const struct key *, void *, const struct doc_node *);
void set_verify_path(
    struct loader *, const struct key *, void *, const struct doc_node *);
void set_ca(
    struct loader *, const struct key *, void *, const struct doc_node *);
void set_verify_kind(
    struct loader *, const struct key *, void *, const struct doc_node *);

/* ---- config_access.c ------------------------------------------------ */

/* A foreign address wants TLS and authentication; at the node of `http`. */
void config_check_access(struct loader *, const struct doc_node *);

/* ---- config_environment.c ------------------------------------------- */

/* PATH, HOME, USER, SHELL and LANG, unless the job gives them. */
void environment_minimal(
    struct loader *, struct job_config *, const struct doc_node *);

/* ---- config_verify.c, config_url.c: what `verify` and `verifier` share */

/* A new verifier of the job with its defaults; NULL when reported. */
struct verify_config *verify_add(
    struct loader *, struct job_config *, const struct doc_node *);
int verify_is_kind(const char *); /* a key of `verify`, as "tcp" */
/* 0, or -1 when reported: no http or https URL that could be asked. */
int verify_check_url(struct loader *, const struct doc_node *, const char *url);
/* No blanks, no control characters, not too long. */
int verify_is_url_text(const char *);
void verify_check_size(
    struct loader *, const struct verify_config *, const struct doc_node *);
/* Store what a URL, or HOST:PORT, says; report what is wrong. */
void verify_url(
    struct loader *, struct verify_config *, const struct doc_node *);
void verify_tcp(
    struct loader *, struct verify_config *, const struct doc_node *);

/* ---- config_procfile.c ---------------------------------------------- */

/* Is the file called Procfile, or Procfile.SOMETHING? */
int config_is_procfile(const char *path);
/* Its lines as a document with `processes`; see doc_parse(). */
struct doc *config_procfile(const void *, size_t, struct doc_error *);

/* ---- config_check.c: what concerns several jobs --------------------- */

void config_check_jobs(struct loader *);

/* ---- suggest.c ------------------------------------------------------ */

/* The key that a wrong one was meant to be; NULL: none comes near. */
const char *suggest_key(const char *word, const struct key_group *);

#endif
