#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <bsd/stdlib.h>
#include <bsd/string.h>

#include "../common/suggest.h"
#include "ctl.h"

/*
 * The tables of verbs and options: the parser, the help and the completions
 * are made from them, and regress compares the manual with them.
 */

enum option_id {
	OPTION_FILE,
	OPTION_SOCKET,
	OPTION_HOST,
	OPTION_QUIET,
	OPTION_JSON,
	OPTION_COLOR,
	OPTION_HELP,
	OPTION_VERSION,
	OPTION_FOLLOW,
	OPTION_LINES,
	OPTION_STDERR,
	OPTION_ALL,
	OPTION_NO_WAIT,
	OPTION_TIMEOUT,
	OPTION_PROGRESS,
	OPTION_FOR,
	OPTION_CACERT,
	OPTION_CERT,
	OPTION_KEY,
	OPTION_TOKEN_FILE,
	OPTION_ROLE,
	OPTION_SCOPE,
	OPTION_EXPIRES,
};

struct options options = {.timeout = -1, .lines = LINES_DEFAULT};

const struct verb verbs[] = {{.name = "status",
				 .synopsis = "[NAME ...]",
				 .help = "show the processes, or one in detail",
				 .argument = ARGUMENT_NAMES,
				 .most = -1,
				 .has_json = 1,
				 .run = verb_status},
    {.name = "ps",
	.synopsis = "[NAME ...]",
	.help = "the same as status",
	.argument = ARGUMENT_NAMES,
	.most = -1,
	.has_json = 1,
	.run = verb_status},
    {.name = "restart",
	.synopsis = "NAME ...",
	.help = "restart them, and wait until they are verified",
	.argument = ARGUMENT_NAMES,
	.bit = VERB_RESTART,
	.most = -1,
	.has_json = 1,
	.run = verb_restart},
    {.name = "logs",
	.synopsis = "[NAME ...]",
	.help = "show what processes have written",
	.argument = ARGUMENT_NAMES,
	.bit = VERB_LOGS,
	.most = -1,
	.has_json = 1,
	.run = verb_logs},
    {.name = "wait",
	.synopsis = "[NAME ...]",
	.help = "wait until all is ready, or for a state",
	.argument = ARGUMENT_NAMES,
	.bit = VERB_WAIT,
	.most = -1,
	.has_json = 1,
	.run = verb_wait},
    {.name = "shutdown",
	.synopsis = "",
	.help = "stop all processes and musterd",
	.bit = VERB_SHUTDOWN,
	.has_json = 1,
	.run = verb_shutdown},
    {.name = "info",
	.synopsis = "",
	.help = "show what musterd says of itself",
	.has_json = 1,
	.run = verb_info},
    {.name = "validate",
	.synopsis = "[FILE]",
	.help = "check a configuration (musterd -n)",
	.argument = ARGUMENT_FILE,
	.most = 1,
	.run = verb_validate},
    {.name = "test",
	.synopsis = "-- COMMAND [ARG ...]",
	.help = "run a command between start and end of all",
	.argument = ARGUMENT_COMMAND,
	.least = 1,
	.most = -1,
	.run = verb_test},
    {.name = "token",
	.synopsis = "[NAME]",
	.help = "make a token, and its record for http.tokens",
	.argument = ARGUMENT_TEXT,
	.bit = VERB_TOKEN,
	.most = 1,
	.has_json = 1,
	.run = verb_token},
    {.name = "completion",
	.synopsis = "bash|zsh|fish",
	.help = "print a completion script for a shell",
	.argument = ARGUMENT_WORD,
	.words = "bash zsh fish",
	.least = 1,
	.most = 1,
	.run = verb_completion},
    {.name = "help",
	.synopsis = "[VERB]",
	.help = "print this, or the help of a verb",
	.argument = ARGUMENT_VERB,
	.most = 1,
	.run = verb_help},
    {.name = "__complete",
	.synopsis = "",
	.help = "names and states of the processes, for completion",
	.hidden = 1,
	.run = verb_complete},
    {.name = NULL}};

const struct option_entry option_table[] = {
    {.id = OPTION_FILE,
	.letter = 'f',
	.name = "file",
	.value = "CONFIG",
	.help = "the instance of this configuration file",
	.argument = ARGUMENT_FILE},
    {.id = OPTION_SOCKET,
	.letter = 's',
	.name = "socket",
	.value = "SOCKET",
	.help = "the instance on this Unix socket",
	.argument = ARGUMENT_FILE},
    {.id = OPTION_HOST,
	.letter = 'H',
	.name = "host",
	.value = "URL",
	.help = "the instance at http[s]://HOST[:PORT], unix:///PATH",
	.argument = ARGUMENT_TEXT},
    {.id = OPTION_CACERT,
	.name = "cacert",
	.value = "FILE",
	.help = "https: the CA that certifies musterd (the system's)",
	.argument = ARGUMENT_FILE},
    {.id = OPTION_CERT,
	.name = "cert",
	.value = "FILE",
	.help = "https: our certificate",
	.argument = ARGUMENT_FILE},
    {.id = OPTION_KEY,
	.name = "key",
	.value = "FILE",
	.help = "https: its private key (the same file)",
	.argument = ARGUMENT_FILE},
    {.id = OPTION_TOKEN_FILE,
	.name = "token-file",
	.value = "FILE",
	.help = "the token to show (the variable MUSTER_TOKEN)",
	.argument = ARGUMENT_FILE},
    {.id = OPTION_JSON,
	.name = "json",
	.help = "JSON: one document, or an object a line (logs)"},
    {.id = OPTION_QUIET,
	.letter = 'q',
	.name = "quiet",
	.help = "no notes, and no results but the exit code"},
    {.id = OPTION_COLOR,
	.name = "color",
	.value = "WHEN",
	.help = "colours: auto, always or never",
	.argument = ARGUMENT_WORD,
	.words = "auto always never"},
    {.id = OPTION_HELP,
	.letter = 'h',
	.name = "help",
	.help = "print help, of a verb behind one"},
    {.id = OPTION_VERSION,
	.letter = 'V',
	.name = "version",
	.help = "print the version"},
    {.id = OPTION_ALL,
	.name = "all",
	.help = "all processes, one after another",
	.verbs = VERB_RESTART},
    {.id = OPTION_FOLLOW,
	.letter = 'f',
	.name = "follow",
	.help = "go on with what they write from now on",
	.verbs = VERB_LOGS},
    {.id = OPTION_LINES,
	.letter = 'n',
	.name = "lines",
	.value = "N",
	.help = "the last N lines, or all (with -f: 10, else all)",
	.argument = ARGUMENT_TEXT,
	.verbs = VERB_LOGS},
    {.id = OPTION_STDERR,
	.name = "stderr",
	.help = "only what went to standard error",
	.verbs = VERB_LOGS},
    {.id = OPTION_FOR,
	.name = "for",
	.value = "STATE",
	.help = "verified (default), running, stopped or exit",
	.argument = ARGUMENT_WORD,
	.words = "verified running stopped exit",
	.verbs = VERB_WAIT},
    {.id = OPTION_NO_WAIT,
	.name = "no-wait",
	.help = "return as soon as it is under way",
	.verbs = VERB_RESTART | VERB_SHUTDOWN},
    {.id = OPTION_TIMEOUT,
	.name = "timeout",
	.value = "TIME",
	.help = "give up after this: 10, 500ms, 2m (exit code 124)",
	.argument = ARGUMENT_TEXT,
	.verbs = VERB_RESTART | VERB_SHUTDOWN | VERB_WAIT},
    {.id = OPTION_PROGRESS,
	.name = "progress",
	.value = "KIND",
	.help = "progress: auto, tty, plain, json or quiet",
	.argument = ARGUMENT_WORD,
	.words = "auto tty plain json quiet",
	.verbs = VERB_RESTART},
    {.id = OPTION_ROLE,
	.name = "role",
	.value = "ROLE",
	.help = "what it may do: read (default), operate or admin",
	.argument = ARGUMENT_WORD,
	.words = "read operate admin",
	.verbs = VERB_TOKEN},
    {.id = OPTION_SCOPE,
	.name = "scope",
	.value = "SCOPE",
	.help = "SESSION or SESSION.JOB, again for more (everything)",
	.argument = ARGUMENT_TEXT,
	.verbs = VERB_TOKEN},
    {.id = OPTION_EXPIRES,
	.name = "expires",
	.value = "DATE",
	.help = "when it ends: 2030-12-31, in UTC (never)",
	.argument = ARGUMENT_TEXT,
	.verbs = VERB_TOKEN},
    {.name = NULL}};

/* What API.md knows and this version does not. */
static const char *const other_verbs[] = {"attach", "commit", "events",
    "explain", "get", "jobs", "kill", "load", "manage", "reload", "run",
    "scale", "schema", "send", "sessions", "show", "signal", "sockets", "start",
    "stats", "stop", "stopall", "tail", "top", "unload", "update", "upgrade",
    "values"};

const struct verb *
verb_find(const char *name)
{
	const struct verb *v;

	for (v = verbs; v->name != NULL; v++)
		if (strcmp(v->name, name) == 0)
			return v;
	return NULL;
}

int
option_fits(const struct option_entry *o, const struct verb *v)
{
	return v == NULL ? o->verbs == 0 : (o->verbs & v->bit) != 0;
}

/* An option of the verb comes before a global one of the same letter. */
static const struct option_entry *
find(const struct verb *v, const char *name, size_t len)
{
	const struct option_entry *found;
	const struct option_entry *o;

	found = NULL;
	for (o = option_table; o->name != NULL; o++) {
		if (len == 1 ? o->letter != name[0] :
			       strlen(o->name) != len ||
			    strncmp(o->name, name, len) != 0)
			continue;
		if (v != NULL && option_fits(o, v))
			return o;
		if (o->verbs == 0)
			found = o;
	}
	return found;
}

/* ---- values ----------------------------------------------------------------
 */

/* Index of text in the option's words, -1 none. */
static int
word_of(const struct option_entry *o, const char *text)
{
	char words[64];
	char *rest;
	char *word;
	int i;

	(void)strlcpy(words, o->words, sizeof(words));
	rest = words;
	for (i = 0; (word = strsep(&rest, " ")) != NULL; i++)
		if (strcmp(word, text) == 0)
			return i;
	return -1;
}

static int
set_lines(const char *value)
{
	const char *error;

	if (strcmp(value, "all") == 0) {
		options.lines = LINES_ALL;
		return 0;
	}
	options.lines = strtonum(value, 0, 1000000, &error);
	return error == NULL ? 0 : -1;
}

static int
set_word(const struct option_entry *o, const char *value)
{
	static const enum progress_kind kinds[] = {PROGRESS_AUTO, PROGRESS_TTY,
	    PROGRESS_PLAIN, PROGRESS_JSON, PROGRESS_QUIET};
	int i;

	i = word_of(o, value);
	if (i == -1)
		return -1;
	if (o->id == OPTION_COLOR)
		options.color = (enum color_when)i;
	else if (o->id == OPTION_PROGRESS)
		options.progress = kinds[i];
	else if (o->id == OPTION_ROLE)
		options.role = i;
	else {
		options.wait_for = (enum wait_for)i;
		options.has_for = 1;
	}
	return 0;
}

static int *
flag_of(const struct option_entry *o)
{
	switch ((enum option_id)o->id) {
	case OPTION_QUIET:
		return &options.quiet;
	case OPTION_JSON:
		return &options.json;
	case OPTION_VERSION:
		return &options.version;
	case OPTION_FOLLOW:
		return &options.follow;
	case OPTION_STDERR:
		return &options.only_stderr;
	case OPTION_ALL:
		return &options.all;
	case OPTION_NO_WAIT:
		return &options.no_wait;
	default:
		return &options.help;
	}
}

static void
add_scope(const char *value)
{
	char *longer;

	longer = xasprintf("%s%s%s", options.scope == NULL ? "" : options.scope,
	    options.scope == NULL ? "" : ", ", value);
	free(options.scope);
	options.scope = longer;
}

/* 0, or -1: the value is wrong. */
static int
set_value(const struct option_entry *o, const char *value)
{
	switch ((enum option_id)o->id) {
	case OPTION_FILE:
		options.file = value;
		return 0;
	case OPTION_SOCKET:
		options.socket = value;
		return 0;
	case OPTION_HOST:
		options.url = value;
		return 0;
	case OPTION_CACERT:
		options.cacert = value;
		return 0;
	case OPTION_CERT:
		options.cert = value;
		return 0;
	case OPTION_KEY:
		options.key = value;
		return 0;
	case OPTION_TOKEN_FILE:
		options.token_file = value;
		return 0;
	case OPTION_SCOPE:
		add_scope(value);
		return 0;
	case OPTION_EXPIRES:
		options.expires = value;
		return 0;
	case OPTION_LINES:
		return set_lines(value);
	case OPTION_TIMEOUT:
		return duration(value, &options.timeout);
	default:
		return set_word(o, value);
	}
}

/* ---- the parser
 * -------------------------------------------------------------- */

static int
unknown_option(const struct verb *v, const char *name, size_t len)
{
	const char *names[32];
	const struct option_entry *o;
	const char *meant;
	char word[64];
	size_t n;

	(void)snprintf(word, sizeof(word), "%.*s", (int)len, name);
	n = 0;
	for (o = option_table; o->name != NULL && n < 32; o++)
		if (o->verbs == 0 || (v != NULL && option_fits(o, v)))
			names[n++] = o->name;
	meant = suggest(word, names, n);
	if (meant != NULL)
		complain(
		    "unknown option --%s (did you mean --%s?)", word, meant);
	else
		complain("unknown option %s%s; see musterctl %s%s--help",
		    len == 1 ? "-" : "--", word, v == NULL ? "" : v->name,
		    v == NULL ? "" : " ");
	return -1;
}

static int
assign(const struct option_entry *o, const char *value)
{
	if (value == NULL) {
		complain("option --%s needs a value: %s", o->name,
		    o->words != NULL ? o->words : o->value);
		return -1;
	}
	if (set_value(o, value) == 0)
		return 0;
	complain("option --%s: %s: want %s", o->name, value,
	    o->words != NULL            ? o->words :
		o->id == OPTION_TIMEOUT ? "a time such as 10, 500ms or 2m" :
					  "a number, or all");
	return -1;
}

/* --name, --name=value, --name value; how many words, or -1. */
static int
long_option(const struct verb *v, char **argv)
{
	const struct option_entry *o;
	const char *name;
	size_t len;

	name = argv[0] + 2;
	len = strcspn(name, "=");
	o = len > 1 ? find(v, name, len) : NULL;
	if (o == NULL)
		return unknown_option(v, name, len);
	if (o->value == NULL) {
		if (name[len] == '=') {
			complain("option --%s takes no value", o->name);
			return -1;
		}
		*flag_of(o) = 1;
		return 1;
	}
	if (name[len] == '=')
		return assign(o, name + len + 1) == 0 ? 1 : -1;
	return assign(o, argv[1]) == 0 ? 2 : -1;
}

/* -q, -qf, -n5, -n 5; how many words, or -1. */
static int
short_options(const struct verb *v, char **argv)
{
	const struct option_entry *o;
	const char *p;

	for (p = argv[0] + 1; *p != '\0'; p++) {
		o = find(v, p, 1);
		if (o == NULL)
			return unknown_option(v, p, 1);
		if (o->value == NULL)
			*flag_of(o) = 1;
		else if (p[1] != '\0')
			return assign(o, p + 1) == 0 ? 1 : -1;
		else
			return assign(o, argv[1]) == 0 ? 2 : -1;
	}
	return 1;
}

const struct verb *
verb_unknown(const char *name)
{
	const char *names[32];
	const struct verb *v;
	const char *meant;
	size_t i;

	for (i = 0; i < sizeof(other_verbs) / sizeof(*other_verbs); i++)
		if (strcmp(other_verbs[i], name) == 0) {
			complain("%s is not available in this version", name);
			return NULL;
		}
	i = 0;
	for (v = verbs; v->name != NULL && i < 32; v++)
		if (!v->hidden)
			names[i++] = v->name;
	meant = suggest(name, names, i);
	if (meant != NULL)
		complain("unknown verb %s (did you mean \"%s\"?)", name, meant);
	else
		complain("unknown verb %s; see musterctl help", name);
	return NULL;
}

/* Do so many arguments fit the verb? */
static int
check_count(const struct verb *v, int n, int dashes)
{
	if (options.help)
		return 0;
	if (v->argument == ARGUMENT_COMMAND && (!dashes || n == 0)) {
		complain("%s: the command stands after --", v->name);
		return -1;
	}
	if (n < v->least || (v->most != -1 && n > v->most)) {
		complain("usage: musterctl %s%s%s", v->name,
		    v->synopsis[0] == '\0' ? "" : " ", v->synopsis);
		return -1;
	}
	if (options.json && !v->has_json) {
		complain("%s has no --json", v->name);
		return -1;
	}
	return 0;
}

const struct verb *
options_parse(int *argc, char ***argv)
{
	const struct verb *v;
	char **in;
	char **out;
	int dashes;
	int n;

	v = NULL;
	dashes = 0;
	out = *argv;
	for (in = *argv + 1; *in != NULL; in += n) {
		n = 1;
		if (!dashes && strcmp(*in, "--") == 0 && v != NULL)
			dashes = 1;
		else if (dashes || (*in)[0] != '-' || (*in)[1] == '\0') {
			if (v != NULL)
				*out++ = *in;
			else if ((v = verb_find(*in)) == NULL) {
				*argc =
				    options.help || options.version ? 0 : -1;
				return *argc == 0 ? NULL : verb_unknown(*in);
			}
		} else if ((*in)[1] == '-')
			n = long_option(v, in);
		else
			n = short_options(v, in);
		if (n == -1) {
			*argc = -1;
			return NULL;
		}
	}
	*out = NULL;
	n = (int)(out - *argv);
	*argc = n;
	if (v == NULL || check_count(v, n, dashes) == 0)
		return v;
	*argc = -1;
	return NULL;
}
