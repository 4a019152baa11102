#include <stddef.h>

#include "config_table.h"

/* The keys of the configuration, all of them (muster.yaml(5)). */

#define TOP(member) offsetof(struct config, member)
#define HTTP(member) offsetof(struct listen_config, member)
#define JOB(member) offsetof(struct job_config, member)
#define VERIFY(member) offsetof(struct verify_config, member)
#define STOP(member) offsetof(struct stop_step, member)
#define OUTPUT(member) offsetof(struct output_config, member)

static const char *const restart_words[] = {
    "never", "on-failure", "always", NULL};
static const char *const on_exit_words[] = {"none", "shutdown", NULL};
static const char *const stdin_words[] = {"pipe", "null", NULL};
static const char *const log_words[] = {"text", "logfmt", "json", NULL};
static const char *const death_words[] = {"kill", "keep", NULL};

static const struct key http_keys[] = {
    {.name = "enabled",
	.types = TYPE_TRUTH,
	.set = set_truth,
	.offset = HTTP(enabled),
	.about = "Serve the API on TCP, too (default: no)."},
    {.name = "address",
	.types = TYPE_STRING,
	.set = set_http_address,
	.pattern =
	    "^(localhost|(25[0-5]|2[0-4][0-9]|1[0-9]{2}|[1-9]?[0-9])([.](25[0-5]|2[0-4][0-9]|1[0-9]{2}|[1-9]?[0-9])){3}|[0-9A-Fa-f:.]*:[0-9A-Fa-f:.]*)$|[$][{]",
	.about = "Address to listen on (127.0.0.1)."},
    {.name = "port",
	.types = TYPE_ANY,
	.set = set_http_port,
	.schema =
	    "{\"anyOf\":[{\"type\":\"integer\",\"minimum\":0,\"maximum\":65535},{\"type\":\"string\",\"pattern\":\"^0*(6553[0-5]|655[0-2][0-9]|65[0-4][0-9]{2}|6[0-4][0-9]{3}|[1-5]?[0-9]{1,4})$|[$][{]\"}]}",
	.about = "TCP port (5001)."},
    {.name = "unix",
	.types = TYPE_STRING,
	.set = set_socket_path,
	.offset = HTTP(unix_path),
	.about = "Path of the Unix socket, which is always there."},
    {.name = "workers",
	.types = TYPE_INTEGER,
	.set = set_uint,
	.offset = HTTP(workers),
	.min = 1,
	.max = 16,
	.about = "Number of HTTP worker processes (2)."},
    {.name = "tls",
	.types = TYPE_GROUP,
	.set = set_tls,
	.group = &group_tls,
	.about = "TLS on the TCP port."},
    {.name = "tokens",
	.types = TYPE_STRING,
	.set = set_tokens,
	.about = "File of hashed bearer tokens and of certificates."},
    {.name = "allow-hosts",
	.types = TYPE_STRINGS | TYPE_STRING,
	.set = set_strings,
	.offset = HTTP(allow_hosts),
	.about = "Further names that Host may have."},
    {.name = "allow-origins",
	.types = TYPE_STRINGS | TYPE_STRING,
	.set = set_strings,
	.offset = HTTP(allow_origins),
	.about = "Further origins that pages may have."},
    {.name = "allow-users",
	.types = TYPE_LIST | TYPE_STRING | TYPE_INTEGER,
	.set = set_ids,
	.offset = HTTP(allow_users),
	.max = UINT32_MAX,
	.schema =
	    "{\"anyOf\":[{\"type\":\"string\"},{\"type\":\"integer\",\"minimum\":0,\"maximum\":4294967295},{\"type\":\"array\",\"items\":{\"type\":[\"string\",\"number\",\"boolean\"]}}]}",
	.about = "Users besides root and the owner that may use the API."},
    {.name = "allow-groups",
	.types = TYPE_LIST | TYPE_STRING | TYPE_INTEGER,
	.set = set_ids,
	.offset = HTTP(allow_groups),
	.max = UINT32_MAX,
	.schema =
	    "{\"anyOf\":[{\"type\":\"string\"},{\"type\":\"integer\",\"minimum\":0,\"maximum\":4294967295},{\"type\":\"array\",\"items\":{\"type\":[\"string\",\"number\",\"boolean\"]}}]}",
	.about = "Groups whose members may use the Unix socket."},
    {.name = "insecure",
	.types = TYPE_BOOL,
	.set = set_bool,
	.offset = HTTP(insecure),
	.about = "Listen on a foreign address without protection."},
    {.name = NULL},
};
/* As tell_of_tcp() has it. */
const struct key_group group_http = {"http", http_keys,
    "{\"dependentRequired\":{\"address\":[\"enabled\"],"
    "\"port\":[\"enabled\"],\"tls\":[\"enabled\"]}}"};

/* Its value is checked when it is used: pymanager warns only. */
static const struct key module_keys[] = {
    {.name = "verifiers",
	.types = TYPE_ANY,
	.schema = "{\"type\":\"array\",\"items\":{\"type\":\"string\"}}",
	.about = "Names of its verifier classes."},
    {.name = NULL},
};
const struct key_group group_module = {
    "module", module_keys, "{\"required\":[\"verifiers\"]}"};

static const struct key top_keys[] = {
    {.name = "$schema", .types = TYPE_STRING, .about = "For editors; ignored."},
    {.name = "expand",
	.types = TYPE_BOOL,
	.set = set_expand,
	.about = "Replace ${VAR} by musterd's environment."},
    {.name = "http",
	.types = TYPE_GROUP,
	.set = set_http,
	.group = &group_http,
	.about = "The HTTP API."},
    {.name = "papa",
	.types = TYPE_MAP,
	.later = "papa's protocol",
	.about = "papa's protocol."},
    {.name = "keep-alive",
	.types = TYPE_TRUTH,
	.set = set_truth,
	.offset = TOP(keep_alive),
	.about = "Stay when every process has ended (no)."},
    {.name = "graceful-time",
	.types = TYPE_ANY,
	.set = set_graceful,
	.schema = "{\"$ref\":\"#/$defs/duration\"}",
	.about = "Time from the stop signal to KILL (10 s)."},
    {.name = "default-shell",
	.types = TYPE_BOOL | TYPE_STRING | TYPE_TRUTH,
	.set = set_default_shell,
	.about = "Shell of `shell: true` (true: /bin/sh)."},
    {.name = "messages",
	.types = TYPE_STRINGS | TYPE_STRING | TYPE_LIST,
	.set = set_messages,
	.schema =
	    "{\"anyOf\":[{\"type\":\"string\",\"pattern\":\"^$|(process[.]exit|verifier[.](fail|verbose))\"},{\"type\":\"array\",\"items\":{\"enum\":[\"process.exit\",\"verifier.fail\",\"verifier.verbose\"]}}]}",
	.about = "Any of process.exit, verifier.fail, verifier.verbose."},
    {.name = "logfile",
	.types = TYPE_STRING,
	.set = set_logfile,
	.about = "File of musterd's own log lines, or syslog: (-l wins)."},
    {.name = "log-format",
	.types = TYPE_STRING,
	.set = set_word,
	.offset = TOP(log_format),
	.words = log_words,
	.about = "How log lines look (text)."},
    {.name = "verbose",
	.types = TYPE_ANY,
	.about = "Without effect, as in pymanager: use -v."},
    {.name = "user",
	.types = TYPE_STRING,
	.later = "another user for muster's own programs",
	.about = "User of muster's own unprivileged programs."},
    {.name = "allow-load",
	.types = TYPE_BOOL | TYPE_STRINGS,
	.later = "loading jobs at run time",
	.about = "Who may load jobs at run time."},
    {.name = "on-parent-death",
	.types = TYPE_STRING,
	.words = death_words,
	.later = "`keep`",
	.about = "kill (the default) or keep."},
    {.name = "sockets",
	.types = TYPE_MAP,
	.later = "named sockets",
	.about = "Named listening sockets."},
    {.name = "values",
	.types = TYPE_MAP,
	.later = "values",
	.about = "Named strings."},
    {.name = "modules",
	.types = TYPE_MAP,
	.set = set_modules,
	.group = &group_module,
	.about = "pymanager's modules: MODULE: {verifiers: [CLASS]}."},
    {.name = "include",
	.types = TYPE_STRINGS | TYPE_STRING,
	.set = set_include,
	.schema =
	    "{\"anyOf\":[{\"type\":\"string\",\"minLength\":1},"
	    "{\"type\":\"array\",\"items\":{\"type\":[\"string\",\"number\","
	    "\"boolean\"],\"minLength\":1}}]}",
	.about = "Further files with processes."},
    {.name = "state-directory",
	.types = TYPE_STRING,
	.later = "a state directory",
	.about = "Where state is kept."},
    {.name = "start-parallel",
	.types = TYPE_INTEGER,
	.set = set_uint,
	.offset = TOP(start_parallel),
	.min = 1,
	.max = 4096,
	.about = "Processes that are on the way at once, with `after` "
		 "(8)."},
    {.name = "processes",
	.types = TYPE_MAP,
	.set = set_processes,
	.about = "The jobs, in order."},
    {.name = NULL},
};
const struct key_group group_top = {"muster", top_keys, NULL};

static const struct key backoff_keys[] = {
    {.name = "initial",
	.types = TYPE_DURATION,
	.set = set_duration,
	.offset = JOB(backoff_initial),
	.about = "Delay of the second early restart (100 ms)."},
    {.name = "max",
	.types = TYPE_DURATION,
	.set = set_duration,
	.offset = JOB(backoff_max),
	.about = "Longest delay (60 s)."},
    {.name = "reset-after",
	.types = TYPE_DURATION,
	.set = set_duration,
	.offset = JOB(backoff_reset),
	.about = "A process that lived so long counts as stable (10 s)."},
    {.name = NULL},
};
const struct key_group group_backoff = {"backoff", backoff_keys, NULL};

static const struct key start_limit_keys[] = {
    {.name = "count",
	.types = TYPE_INTEGER,
	.set = set_uint,
	.offset = JOB(limit_count),
	.max = MAX_LIMIT_COUNT,
	.about = "Deaths within `within` that are too many (0: none)."},
    {.name = "within",
	.types = TYPE_DURATION,
	.set = set_duration,
	.offset = JOB(limit_within),
	.about = "The time in which they are counted (10 s)."},
    {.name = "retry-after",
	.types = TYPE_DURATION,
	.set = set_duration,
	.offset = JOB(limit_retry_after),
	.about = "Pause before it is tried again; without, it has "
		 "failed."},
    {.name = "retries",
	.types = TYPE_INTEGER,
	.set = set_uint,
	.offset = JOB(limit_retries),
	.max = 1000,
	.about = "How often it is tried again (5)."},
    {.name = NULL},
};
const struct key_group group_start_limit = {
    "start-limit", start_limit_keys, NULL};

static const struct key stop_keys[] = {
    {.name = "signal",
	.types = TYPE_STRING | TYPE_INTEGER,
	.set = set_signal,
	.min = 1,
	.max = 64,
	.schema = "{\"$ref\":\"#/$defs/signal\"}",
	.about = "Signal of this step (TERM)."},
    {.name = "wait",
	.types = TYPE_DURATION,
	.set = set_duration,
	.offset = STOP(wait),
	.about = "Until the next step, or KILL."},
    {.name = NULL},
};
const struct key_group group_stop = {"stop", stop_keys, NULL};

static const struct key output_keys[] = {
    {.name = "file",
	.types = TYPE_STRING,
	.set = set_output_file,
	.about = "Path, relative to where musterd was started."},
    {.name = "append",
	.types = TYPE_BOOL,
	.set = set_bool,
	.offset = OUTPUT(append),
	.about = "Do not truncate at each start."},
    {.name = NULL},
};
const struct key_group group_output = {
    "output", output_keys, "{\"required\":[\"file\"]}"};

static const struct key verify_keys[] = {
    {.name = "http",
	.types = TYPE_STRING,
	.set = set_verify_kind,
	.about = "URL that must answer 2xx."},
    {.name = "http+unix",
	.types = TYPE_STRING,
	.set = set_verify_kind,
	.about = "Unix socket that must answer HTTP; see `path`."},
    {.name = "tcp",
	.types = TYPE_STRING | TYPE_INTEGER,
	.set = set_verify_kind,
	.min = 1,
	.max = 65535,
	.about = "HOST:PORT that must accept a connection."},
    {.name = "unix",
	.types = TYPE_STRING,
	.set = set_verify_kind,
	.about = "Unix socket that must accept a connection."},
    {.name = "exited",
	.types = TYPE_INTEGER | TYPE_BOOL,
	.set = set_verify_kind,
	.min = -64,
	.max = 255,
	.about = "Exit code that it must end with."},
    {.name = "command",
	.types = TYPE_STRING | TYPE_STRINGS,
	.set = set_verify_kind,
	.about = "Command that must exit with 0."},
    {.name = "file",
	.types = TYPE_STRING,
	.set = set_verify_kind,
	.about = "File that must exist."},
    {.name = "log",
	.types = TYPE_STRING,
	.later = "the `log` verifier",
	.about = "Pattern on its output."},
    {.name = "notify",
	.types = TYPE_ANY,
	.later = "the `notify` verifier",
	.about = "sd_notify READY=1."},
    {.name = "path",
	.types = TYPE_STRING,
	.set = set_verify_path,
	.about = "Path of the request to `http+unix` (/)."},
    {.name = "timeout",
	.types = TYPE_DURATION,
	.set = set_duration,
	.offset = VERIFY(timeout),
	.about = "When to give up (30 s)."},
    {.name = "interval",
	.types = TYPE_DURATION,
	.set = set_pause,
	.offset = VERIFY(interval),
	.about = "Longest pause between attempts (1 s)."},
    {.name = "attempt-timeout",
	.types = TYPE_DURATION,
	.set = set_pause,
	.offset = VERIFY(attempt_timeout),
	.about = "Longest time of one attempt (5 s)."},
    {.name = "method",
	.types = TYPE_STRING,
	.set = set_method,
	.about = "Request method (GET)."},
    {.name = "headers",
	.types = TYPE_MAP,
	.set = set_fields,
	.offset = VERIFY(headers),
	.schema =
	    "{\"type\":\"object\",\"additionalProperties\":{\"type\":[\"string\",\"number\",\"boolean\"]}}",
	.about = "Header fields of the request."},
    {.name = "status",
	.types = TYPE_INTEGER | TYPE_STRING | TYPE_LIST,
	.set = set_statuses,
	.min = 100,
	.max = 599,
	.about = "Statuses that pass: 200, \"200-399\", or a list."},
    {.name = "body",
	.types = TYPE_STRING,
	.set = set_body,
	.about = "Text that the body must contain."},
    {.name = "header",
	.types = TYPE_MAP | TYPE_STRINGS | TYPE_STRING,
	.set = set_expected_fields,
	.offset = VERIFY(expect_headers),
	.about = "Header fields that the answer must have."},
    {.name = "redirects",
	.types = TYPE_INTEGER,
	.set = set_uint,
	.offset = VERIFY(redirects),
	.max = 50,
	.about = "Redirects that are followed (10)."},
    {.name = "insecure",
	.types = TYPE_BOOL,
	.set = set_bool,
	.offset = VERIFY(insecure),
	.about = "Do not check the certificate."},
    {.name = "ca",
	.types = TYPE_STRING,
	.set = set_ca,
	.about = "File of CA certificates instead of the system's."},
    {.name = NULL},
};
#define WANTS_HTTP \
	"{\"anyOf\":[{\"required\":[\"http\"]},{\"required\":[\"http+unix\"" \
	"]}]}"
/* A kind, and one alone: but http may go over a Unix socket. */
const struct key_group group_verify = {"verify", verify_keys,
    "{\"anyOf\":[{\"required\":[\"tcp\"]},{\"required\":[\"exited\"]},{"
    "\"required\":[\"command\"]},{\"required\":[\"file\"]},{\"required"
    "\":[\"http+unix\"]},{\"required\":[\"http\"]},{\"required\":[\"uni"
    "x\"]}],\"dependentSchemas\":{\"tcp\":{\"properties\":{\"exited\":f"
    "alse,\"command\":false,\"file\":false,\"http+unix\":false,\"http\""
    ":false,\"unix\":false}},\"exited\":{\"properties\":{\"command\":fa"
    "lse,\"file\":false,\"http+unix\":false,\"http\":false,\"unix\":fal"
    "se,\"interval\":false,\"attempt-timeout\":false,\"attempt_timeout"
    "\":false}},\"command\":{\"properties\":{\"file\":false,\"http+unix"
    "\":false,\"http\":false,\"unix\":false}},\"file\":{\"properties\":"
    "{\"http+unix\":false,\"http\":false,\"unix\":false,\"attempt-time"
    "out\":false,\"attempt_timeout\":false}},\"http+unix\""
    ":{\"properties\":{\"http\":false,\"unix\":false}},"
    "\"path\":{\"required\":[\"http+unix\"]},"
    "\"method\":" WANTS_HTTP ",\"headers\":" WANTS_HTTP
    ",\"status\":" WANTS_HTTP ",\"body\":" WANTS_HTTP ",\"header\":" WANTS_HTTP
    ",\"redirects\":" WANTS_HTTP ",\"insecure\":" WANTS_HTTP
    ",\"ca\":" WANTS_HTTP "}}"};

static const struct key verifier_keys[] = {
    {.name = "type",
	.types = TYPE_STRING,
	.about = "MODULE.CLASS, as in pymanager."},
    {.name = "arguments",
	.types = TYPE_MAP,
	.about = "Arguments of the class."},
    {.name = NULL},
};
const struct key_group group_verifier = {
    "verifier", verifier_keys, "{\"required\":[\"type\"]}"};

static const struct key httpok_keys[] = {
    {.name = "url",
	.types = TYPE_STRING,
	.set = set_string,
	.offset = VERIFY(url),
	.about = "URL that must answer 2xx."},
    {.name = "timeout",
	.types = TYPE_DURATION | TYPE_NULL,
	.set = set_patience,
	.offset = VERIFY(timeout),
	.about = "When to give up (30 s)."},
    {.name = "interval",
	.types = TYPE_DURATION,
	.set = set_pause,
	.offset = VERIFY(interval),
	.about = "Attempts start so far apart (1 s)."},
    {.name = "headers",
	.types = TYPE_MAP | TYPE_NULL,
	.set = set_fields,
	.offset = VERIFY(headers),
	.schema =
	    "{\"type\":\"object\",\"additionalProperties\":{\"type\":[\"string\",\"number\",\"boolean\"]}}",
	.about = "Header fields of the request."},
    {.name = NULL},
};
const struct key_group group_httpok = {"HttpOkVerifier", httpok_keys, NULL};

static const struct key exited_keys[] = {
    {.name = "timeout",
	.types = TYPE_DURATION | TYPE_NULL,
	.set = set_patience,
	.offset = VERIFY(timeout),
	.about = "When to give up (30 s)."},
    {.name = "expect-code",
	.types = TYPE_INTEGER,
	.set = set_int,
	.offset = VERIFY(expect_code),
	.min = -64,
	.max = 255,
	.about = "Exit code, or minus the signal (0)."},
    {.name = NULL},
};
const struct key_group group_exited = {"ExitedVerifier", exited_keys, NULL};

/* Each of these may stand under `options` or beside it. */
#define OPTION_KEYS \
	{.name = "shell", \
	    .types = TYPE_BOOL | TYPE_STRING | TYPE_TRUTH, \
	    .set = set_shell, \
	    .about = "Run by this shell's -c; true: by default-shell."}, \
	    {.name = "working-directory", \
		.types = TYPE_STRING | TYPE_NULL, \
		.set = set_working_directory, \
		.offset = JOB(working_directory), \
		.about = "Directory (musterd's own)."}, \
	    {.name = "environment", \
		.types = TYPE_MAP | TYPE_STRINGS, \
		.set = set_environment, \
		.schema = \
		    "{\"anyOf\":[{\"type\":\"object\",\"additionalProperties\":{\"type\":[\"string\",\"number\",\"boolean\"]},\"propertyNames\":{\"pattern\":\"^[^=]+$\"}},{\"type\":\"array\",\"items\":{\"type\":\"string\",\"pattern\":\"^[^=]+=|[$][{]\"}}]}", \
		.about = "Variables laid over musterd's own."}, \
	    {.name = "environment-file", \
		.types = TYPE_STRING, \
		.set = set_environment_file, \
		.about = "Sourced by a shell before the start."}, \
	    {.name = "clear-environment", \
		.types = TYPE_BOOL, \
		.set = set_bool, \
		.offset = JOB(clear_environment), \
		.about = "Start from a minimal environment (no)."}, \
	    {.name = "user", \
		.types = TYPE_STRING | TYPE_INTEGER, \
		.set = set_user, \
		.offset = JOB(user), \
		.max = UINT32_MAX, \
		.about = "User, by name or number."}, \
	    {.name = "group", \
		.types = TYPE_STRING | TYPE_INTEGER, \
		.set = set_name, \
		.offset = JOB(group), \
		.max = UINT32_MAX, \
		.about = "Group (the user's)."}, \
	    {.name = "groups", \
		.types = TYPE_LIST | TYPE_STRINGS, \
		.set = set_groups, \
		.schema = \
		    "{\"type\":\"array\",\"maxItems\":64,\"items\":{\"type\":[\"string\",\"number\",\"boolean\"]}}", \
		.about = "Supplementary groups (the user's)."}, \
	    {.name = "umask", \
		.types = TYPE_STRING | TYPE_INTEGER, \
		.set = set_umask, \
		.max = 07777, \
		.pattern = "^(0o[0-7]{1,5}|[0-7]{1,5})$", \
		.about = "File mode mask, octal (inherited)."}, \
	    {.name = "nice", \
		.types = TYPE_INTEGER, \
		.set = set_int, \
		.offset = JOB(nice), \
		.min = -20, \
		.max = 19, \
		.about = "Added to musterd's own niceness."}, \
	    {.name = "limits", \
		.types = TYPE_MAP, \
		.set = set_limits, \
		.schema = "{\"$ref\":\"#/$defs/limits\"}", \
		.about = "Resource limits: nofile, nproc, core, as …"}, \
	    {.name = "after", \
		.types = TYPE_MAP | TYPE_STRINGS | TYPE_STRING, \
		.set = set_after, \
		.schema = \
		    "{\"anyOf\":[{\"type\":\"string\"},{\"type\":\"array\",\"items\":{\"type\":\"string\"}},{\"type\":\"object\",\"additionalProperties\":{\"enum\":[\"verified\",\"exited\",\"started\"]}}]}", \
		.about = "Jobs that must be up (or exited) first."}, \
	    {.name = "restart-with", \
		.types = TYPE_STRINGS, \
		.later = "restarting together", \
		.about = "Restart with these jobs."}, \
	    {.name = "instances", \
		.types = TYPE_INTEGER, \
		.set = set_uint, \
		.offset = JOB(instances), \
		.max = MAX_INSTANCES, \
		.about = "Number of processes (1)."}, \
	    {.name = "autostart", \
		.types = TYPE_BOOL, \
		.set = set_bool, \
		.offset = JOB(autostart), \
		.about = "Start with musterd (yes)."}, \
	    {.name = "restart", \
		.types = TYPE_STRING, \
		.set = set_word, \
		.offset = JOB(restart), \
		.words = restart_words, \
		.about = "When it comes back (never)."}, \
	    {.name = "backoff", \
		.types = TYPE_GROUP, \
		.set = set_group, \
		.group = &group_backoff, \
		.about = "Delays of restarts."}, \
	    {.name = "start-limit", \
		.types = TYPE_GROUP, \
		.set = set_start_limit, \
		.group = &group_start_limit, \
		.about = "When to give up restarting."}, \
	    {.name = "success-codes", \
		.types = TYPE_LIST | TYPE_INTEGER, \
		.set = set_success, \
		.min = -64, \
		.max = 255, \
		.schema = "{\"$ref\":\"#/$defs/success-codes\"}", \
		.about = \
		    "Exit codes that are no failure (what exited asks for, or 0)."}, \
	    {.name = "stop", \
		.types = TYPE_STRING | TYPE_INTEGER | TYPE_GROUP | TYPE_LIST, \
		.set = set_stop, \
		.min = 1, \
		.max = 64, \
		.group = &group_stop, \
		.schema = \
		    "{\"anyOf\":[{\"$ref\":\"#/$defs/signal\"},{\"$ref\":\"#/$defs/stop\"},{\"type\":\"array\",\"maxItems\":16,\"items\":{\"anyOf\":[{\"$ref\":\"#/$defs/signal\"},{\"$ref\":\"#/$defs/stop\"}]}}]}", \
		.about = "Signal, or steps of signal and wait (TERM)."}, \
	    {.name = "graceful-time", \
		.types = TYPE_DURATION, \
		.set = set_job_graceful, \
		.about = "Time from the last stop signal to KILL."}, \
	    {.name = "on-exit", \
		.types = TYPE_STRING, \
		.set = set_word, \
		.offset = JOB(exit_shutdown), \
		.words = on_exit_words, \
		.about = "shutdown: musterd ends with it (none)."}, \
	    {.name = "suppress-output", \
		.types = TYPE_TRUTH, \
		.set = set_job_node, \
		.offset = offsetof(struct loader, suppress), \
		.about = "Keep the output, do not show it (no)."}, \
	    {.name = "redirect-output", \
		.types = TYPE_STRING, \
		.set = set_job_node, \
		.offset = offsetof(struct loader, redirect), \
		.about = "File for the output."}, \
	    {.name = "append", \
		.types = TYPE_BOOL, \
		.set = set_job_node, \
		.offset = offsetof(struct loader, appending), \
		.about = "Do not truncate redirect-output (no)."}, \
	    {.name = "rotate", \
		.types = TYPE_MAP, \
		.later = "rotation of log files", \
		.about = "Rotation of the file."}, \
	    {.name = "stdout", \
		.types = TYPE_STRING | TYPE_GROUP, \
		.set = set_output, \
		.offset = JOB(out), \
		.group = &group_output, \
		.pattern = "^(show|keep|discard|inherit)$", \
		.about = "show, keep, discard, inherit, or {file}."}, \
	    {.name = "stderr", \
		.types = TYPE_STRING | TYPE_GROUP, \
		.set = set_output, \
		.offset = JOB(err), \
		.group = &group_output, \
		.pattern = "^(join|show|keep|discard|inherit)$", \
		.about = "join (to stdout), show, keep, discard, " \
			 "inherit, or {file}."}, \
	    {.name = "capture", \
		.types = TYPE_SIZE, \
		.set = set_size, \
		.offset = JOB(capture), \
		.min = 4096, \
		.max = 1 << 30, \
		.about = "Bytes of output that are kept (256 KiB)."}, \
	    {.name = "prefix", \
		.types = TYPE_BOOL, \
		.set = set_bool, \
		.offset = JOB(prefix), \
		.about = "Show each line with the job's name (no)."}, \
	    {.name = "stdin", \
		.types = TYPE_STRING, \
		.set = set_word, \
		.offset = JOB(in), \
		.words = stdin_words, \
		.about = "pipe (which stays open) or null."}, \
	    {.name = "streams", \
		.types = TYPE_STRINGS, \
		.later = "extra streams", \
		.about = "Extra named pipes."}, \
	{ \
		.name = "backpressure", .types = TYPE_BOOL, \
		.later = "backpressure", \
		.about = "Let a slow reader block the process." \
	}

static const struct key option_keys[] = {
    OPTION_KEYS,
    {.name = NULL},
};
const struct key_group group_options = {"options", option_keys, NULL};

static const struct key job_keys[] = {
    {.name = "executable",
	.types = TYPE_STRING,
	.set = set_job_node,
	.offset = offsetof(struct loader, executable),
	.schema = "{\"type\":\"string\",\"minLength\":1}",
	.about = "Program, with `arguments`."},
    {.name = "arguments",
	.types = TYPE_STRINGS | TYPE_LETTER,
	.set = set_job_node,
	.offset = offsetof(struct loader, arguments),
	.about = "Arguments of `executable`."},
    {.name = "command",
	.types = TYPE_STRING | TYPE_STRINGS,
	.set = set_job_node,
	.offset = offsetof(struct loader, command),
	.schema =
	    "{\"anyOf\":[{\"type\":\"string\",\"minLength\":1},{\"type\":\"array\",\"minItems\":1,\"items\":{\"type\":[\"string\",\"number\",\"boolean\"]}}]}",
	.about = "Program and arguments, split as a shell splits."},
    {.name = "options",
	.types = TYPE_GROUP,
	.set = set_group,
	.group = &group_options,
	.about = "pymanager's place of the options."},
    {.name = "verifier",
	.types = TYPE_GROUP | TYPE_LIST,
	.set = set_verifier,
	.group = &group_verifier,
	.schema =
	    "{\"anyOf\":[{\"$ref\":\"#/$defs/verifier\"},{\"type\":\"array\","
	    "\"items\":{\"$ref\":\"#/$defs/verifier\"}}]}",
	.about = "pymanager's verifier."},
    {.name = "verify",
	.types = TYPE_STRING | TYPE_GROUP | TYPE_LIST,
	.set = set_verify,
	.group = &group_verify,
	.schema =
	    "{\"anyOf\":[{\"type\":\"string\",\"pattern\":\"^(exited$|[Hh][Tt]"
	    "[Tt][Pp][Ss]?://|http[+]unix://)\"},{\"$ref\":\"#/$defs/verify\"}"
	    ",{\"type\":\"array\",\"items\":{\"anyOf\":[{\"type\":\"string\","
	    "\"pattern\":\"^(exited$|[Hh][Tt][Tt][Pp][Ss]?://|http[+]unix://)"
	    "\"},{\"$ref\":\"#/$defs/verify\"}]}}]}",
	.about = "What proves that it is up."},
    {.name = "check",
	.types = TYPE_MAP,
	.later = "checks of running processes",
	.about = "What proves that it stays up."},
    OPTION_KEYS,
    {.name = NULL},
};
/* Either `command`, or both of pymanager's. */
const struct key_group group_job = {"process", job_keys,
    "{\"anyOf\":[{\"required\":[\"command\"]},{\"required\":[\"executable\",\"arguments\"]}],"
    "\"dependentSchemas\":{\"command\":{\"properties\":{\"executable\":false,\"arguments\":false}}}}"};
