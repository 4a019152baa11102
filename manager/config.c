#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include <bsd/string.h>

#include "../common/snapshot.h"
#include "config_table.h"
#include "logline.h"
#include "snapshot.h"

/*
 * The loader: the bytes of the file become a document, the document becomes
 * structs by the table of keys, and what is wrong becomes a report.
 */

/* Problems that are kept; musterd -n shows 20 of them. */
#define MAX_PROBLEMS 64
/*
 * Bytes of the structs.  A document is bounded, but an alias of YAML lets
 * one long value stand in very many places, and each becomes a copy.
 */
#define MAX_ARENA (64UL * 1024 * 1024)

/* A warning that -n makes an error does not decide the exit code. */
enum severity {
	WARNING,
	STRICT_ERROR,
	ERROR,
};

/* ---- the report ----------------------------------------------------- */

/* Would a further problem be dropped? Then its text need not be made. */
static int
report_full(const struct config_report *r, enum severity severity)
{
	if (r->count < MAX_PROBLEMS)
		return 0;
	/* An error takes the place of a warning. */
	return severity == WARNING || r->errors >= MAX_PROBLEMS;
}

int
config_errors_are_full(const struct loader *l)
{
	return report_full(l->report, ERROR);
}

/* The place of a further problem; NULL: it is dropped. */
static struct config_problem *
report_room(struct config_report *r, enum severity severity)
{
	struct config_problem *list;
	size_t i;

	if (report_full(r, severity))
		return NULL;
	if (r->count == MAX_PROBLEMS) {
		for (i = r->count - 1; r->list[i].error; i--)
			;
		free(r->list[i].file);
		free(r->list[i].text);
		memmove(&r->list[i], &r->list[i + 1],
		    (r->count - i - 1) * sizeof(*list));
		return &r->list[r->count - 1];
	}
	list = reallocarray(r->list, r->count + 1, sizeof(*list));
	if (list == NULL)
		abort();
	r->list = list;
	return &list[r->count++];
}

static void
problem_add(struct config_report *r, enum severity severity,
    enum exit_code code, const char *file, unsigned int line,
    unsigned int column, const char *text)
{
	struct config_problem *p;

	p = report_room(r, severity);
	if (severity != WARNING)
		r->errors++;
	r->fatal += severity == ERROR;
	/* The first error of a start decides, else the first of all. */
	if ((severity == ERROR && r->fatal == 1) ||
	    (severity == STRICT_ERROR && r->errors == 1))
		r->code = code;
	if (p == NULL)
		return;
	p->error = severity != WARNING;
	p->line = line;
	p->column = column;
	p->file = NULL;
	p->text = strdup(text);
	/* A copy: the report outlives a configuration that is refused. */
	if (file != NULL)
		p->file = strdup(file);
	if (p->text == NULL || (file != NULL && p->file == NULL))
		abort();
}

void
config_problem_add(struct config_report *r, int error, enum exit_code code,
    const struct position *at, const char *fmt, ...)
{
	char text[512];
	va_list ap;

	va_start(ap, fmt);
	(void)vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	problem_add(r, error ? ERROR : WARNING, code, at->file, at->line,
	    at->column, text);
}

void
config_report_free(struct config_report *r)
{
	size_t i;

	for (i = 0; i < r->count; i++) {
		free(r->list[i].file);
		free(r->list[i].text);
	}
	free(r->list);
	memset(r, 0, sizeof(*r));
}

int
config_problem_text(const struct config_problem *p, char *buf, size_t size)
{
	char file[256];
	char shown[512];

	(void)doc_show(p->text, shown, sizeof(shown));
	if (p->file == NULL)
		return snprintf(buf, size, "%s", shown);
	(void)doc_show(p->file, file, sizeof(file));
	if (p->line == 0)
		return snprintf(buf, size, "%s: %s", file, shown);
	return snprintf(
	    buf, size, "%s:%u:%u: %s", file, p->line, p->column, shown);
}

struct position
config_position(struct loader *l, const struct doc_node *n)
{
	struct position at;

	at.file = l->file;
	at.line = n->line;
	at.column = n->column;
	return at;
}

/* Where a problem of a member is shown. */
enum place {
	AT_VALUE,
	AT_KEY,
};

static void __attribute__((format(printf, 5, 0)))
report_node(struct loader *l, enum severity severity, enum place place,
    const struct doc_node *n, const char *fmt, va_list ap)
{
	char path[256];
	char text[512];
	size_t len;
	int at_key;

	if (severity == WARNING && l->strict)
		severity = STRICT_ERROR;
	text[0] = '\0';
	/* Of a very long list, finding the path alone takes its time. */
	if (!report_full(l->report, severity)) {
		(void)doc_path(n, path, sizeof(path));
		len = (size_t)snprintf(text, sizeof(text), "%s%s", path,
		    path[0] == '\0' ? "" : ": ");
		if (len < sizeof(text))
			(void)vsnprintf(
			    text + len, sizeof(text) - len, fmt, ap);
	}
	at_key = place == AT_KEY && n->key_line != 0;
	problem_add(l->report, severity, EXIT_SETUP, l->file,
	    at_key ? n->key_line : n->line, at_key ? n->key_column : n->column,
	    text);
}

void
config_error(struct loader *l, const struct doc_node *n, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	report_node(l, ERROR, AT_VALUE, n, fmt, ap);
	va_end(ap);
}

void
config_error_key(
    struct loader *l, const struct doc_node *n, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	report_node(l, ERROR, AT_KEY, n, fmt, ap);
	va_end(ap);
}

void
config_warning(struct loader *l, const struct doc_node *n, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	report_node(l, WARNING, AT_VALUE, n, fmt, ap);
	va_end(ap);
}

static void __attribute__((format(printf, 3, 4)))
warning_key(struct loader *l, const struct doc_node *n, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	report_node(l, WARNING, AT_KEY, n, fmt, ap);
	va_end(ap);
}

int
config_is_full(struct loader *l, const struct doc_node *n, size_t more)
{
	if (l->config->bytes + more <= MAX_ARENA)
		return 0;
	if (!l->full)
		config_error(l, n,
		    "the configuration is too large: more than %lu MiB with "
		    "all aliases and replacements",
		    MAX_ARENA >> 20);
	l->full = 1;
	return 1;
}

/* ---- groups --------------------------------------------------------- */

static const struct key *
find_key(const struct key_group *group, const char *name)
{
	const struct key *k;

	for (k = group->keys; k->name != NULL; k++)
		if (doc_get_key_equal(k->name, name))
			return k;
	return NULL;
}

static void
unknown_key(
    struct loader *l, const struct key_group *group, const struct doc_node *n)
{
	const char *best;

	/* Looking for what was meant is dear, and the text would be lost. */
	if (report_full(l->report, l->strict ? STRICT_ERROR : WARNING))
		best = NULL;
	else
		best = suggest_key(n->key, group);
	if (best != NULL)
		warning_key(l, n, "unknown key (did you mean \"%s\"?)", best);
	else
		warning_key(l, n, "unknown key");
}

static void
apply_key(struct loader *l, const struct key *k, void *target,
    const struct doc_node *n)
{
	if (k->later != NULL) {
		/* What the key's default says needs no code. */
		if (n->kind == DOC_BOOL && (k->types & TYPE_BOOL) &&
		    !n->value.boolean)
			return;
		if (n->kind == DOC_STRING && k->words != NULL &&
		    strcmp(n->text, k->words[0]) == 0)
			return;
		if (value_check(l, k, n) == 0)
			config_error_key(l, n,
			    "not available in this version: %s", k->later);
		return;
	}
	if (config_is_full(l, n, 0))
		return;
	if (value_check(l, k, n) == 0 && k->set != NULL)
		k->set(l, k, target, n);
}

void
config_group(struct loader *l, const struct key_group *group, void *target,
    const struct doc_node *n)
{
	const struct doc_node *member;
	const struct key *k;

	if (n->kind != DOC_OBJECT) {
		config_error(
		    l, n, "want a mapping, got %s", doc_kind_name(n->kind));
		return;
	}
	for (member = doc_first(n); member != NULL; member = doc_next(member)) {
		if (strncmp(member->key, "x-", 2) == 0)
			continue;
		k = find_key(group, member->key);
		if (k == NULL) {
			unknown_key(l, group, member);
			continue;
		}
		if (doc_get(n, member->key) != member) {
			warning_key(l, member,
			    "given twice, with - and with _: the one with _ "
			    "counts");
			continue;
		}
		apply_key(l, k, target, member);
	}
}

/* ---- files ---------------------------------------------------------- */

static void
file_warnings(struct loader *l, const struct doc *doc)
{
	const struct doc_warning *w;

	for (w = doc->warnings; w != NULL; w = w->next)
		problem_add(l->report, l->strict ? STRICT_ERROR : WARNING,
		    EXIT_SETUP, l->file, w->line, w->column, w->message);
}

/* What a file of this name should have been. */
static const char *
format_name(const char *path)
{
	size_t len;

	len = strlen(path);
	if (config_is_procfile(path))
		return "Procfile";
	return len > 5 && strcasecmp(path + len - 5, ".json") == 0 ?
	    "JSON file" :
	    "YAML or JSON file";
}

/* Ends with pymanager's sentence, so that who looks for it finds it. */
struct doc *
config_parse(struct loader *l, const char *path, const void *bytes, size_t len)
{
	struct doc_error error;
	struct doc *doc;
	char shown[128];
	char text[512];

	if (config_is_procfile(path))
		doc = config_procfile(bytes, len, &error);
	else
		doc = doc_parse(path, bytes, len, DOC_AUTO, &error);
	if (doc != NULL && doc->root->kind != DOC_OBJECT) {
		error.line = doc->root->line;
		error.column = doc->root->column;
		(void)snprintf(error.message, sizeof(error.message),
		    "want a mapping, got %s", doc_kind_name(doc->root->kind));
		doc_free(doc);
		doc = NULL;
	}
	if (doc == NULL) {
		(void)snprintf(text, sizeof(text), "%s: %s is not a valid %s.",
		    error.message, doc_show(path, shown, sizeof(shown)),
		    format_name(path));
		problem_add(l->report, ERROR, EXIT_SYNTAX, l->file, error.line,
		    error.column, text);
		return NULL;
	}
	file_warnings(l, doc);
	return doc;
}

/* The members of an included file. */
static void
include_members(struct loader *l, const struct doc_node *root)
{
	const struct doc_node *member;
	const struct key *k;

	for (member = doc_first(root); member != NULL;
	     member = doc_next(member)) {
		if (strncmp(member->key, "x-", 2) == 0)
			continue;
		k = find_key(&group_top, member->key);
		if (k == NULL)
			unknown_key(l, &group_top, member);
		else if (k->set != set_processes && k->set != set_modules &&
		    k->set != set_include && strcmp(k->name, "$schema") != 0)
			config_error_key(l, member,
			    "an included file has processes, modules and "
			    "include only");
		else
			apply_key(l, k, l->config, member);
	}
}

/*
 * Each file is included once: with that, files that include each other end,
 * and the parent's bound on files is one on the work as well.
 */
static int
include_once(struct loader *l, const struct doc_node *n, const char *path)
{
	const char **list;
	char shown[160];
	size_t i;

	for (i = 0; i < l->included.count; i++)
		if (strcmp(l->included.list[i], path) == 0) {
			config_error(l, n, "%s is included twice",
			    doc_show(path, shown, sizeof(shown)));
			return -1;
		}
	list = config_array(
	    l->config, l->included.list, l->included.count, sizeof(*list));
	list[l->included.count++] = config_strdup(l->config, path);
	l->included.list = list;
	return 0;
}

void
config_include_file(
    struct loader *l, const struct doc_node *n, const char *path)
{
	const char *outer;
	const void *bytes;
	struct doc *doc;
	char shown[160];
	size_t len;

	if (l->depth >= 8) {
		config_error(l, n, "includes are nested too deeply");
		return;
	}
	if (include_once(l, n, path) == -1)
		return;
	if (l->read_file(l->read_arg, path, &bytes, &len) == -1) {
		if (errno != EAGAIN)
			config_error(l, n, "cannot read %s: %s",
			    doc_show(path, shown, sizeof(shown)),
			    strerrordesc_np(errno));
		return;
	}
	outer = l->file;
	l->file = path;
	l->depth++;
	doc = config_parse(l, path, bytes, len);
	if (doc != NULL)
		include_members(l, doc->root);
	doc_free(doc);
	l->depth--;
	l->file = outer;
}

/* A file that others may write is no configuration for root. */
static void
check_mode(struct loader *l)
{
	const struct snapshot *s;
	int foreign;

	s = l->snapshot;
	foreign = (s->mode & 022) != 0 || (s->owner != 0 && s->owner != s->uid);
	if ((s->mode & 07777) == 0 || !foreign)
		return;
	if (s->flags & SNAPSHOT_ROOT)
		return; /* the parent has refused what must be refused */
	if (s->mode & 02)
		problem_add(l->report, WARNING, EXIT_SETUP, l->file, 0, 0,
		    "the file is writable by everyone");
}

/* The file itself; NULL and a problem. */
static struct doc *
parse_file(struct loader *l, const struct snapshot *s)
{
	if (s->error == 0)
		return config_parse(l, s->path, s->bytes, s->len);
	problem_add(l->report, ERROR, EXIT_SYNTAX, s->path, 0, 0,
	    s->error == EINVAL    ? "not a regular file" :
		s->error == EPERM ? "others than its owner may write to it" :
				    strerrordesc_np(s->error));
	return NULL;
}

static void
load_document(struct loader *l, const struct doc_node *root)
{
	static const char *const first[] = {
	    "expand", "modules", "default-shell", "graceful-time", "messages"};
	const struct doc_node *n;
	struct config_report scratch;
	struct config_report *report;
	size_t i;

	/* What jobs rest on may stand behind them; its problems are told when
	 * its turn comes. */
	memset(&scratch, 0, sizeof(scratch));
	report = l->report;
	l->report = &scratch;
	for (i = 0; i < sizeof(first) / sizeof(*first); i++) {
		n = doc_get(root, first[i]);
		if (n != NULL)
			apply_key(
			    l, find_key(&group_top, first[i]), l->config, n);
	}
	config_report_free(&scratch);
	l->report = report;
	l->full = 0;
	config_group(l, &group_top, l->config, root);
	if (l->has_processes || doc_get(root, "processes") != NULL)
		return;
	/* At a start pymanager's words alone, which scripts look for. */
	problem_add(l->report, ERROR, EXIT_NO_PROCESSES,
	    l->strict ? l->file : NULL, root->line, root->column,
	    "No processes listed in the configuration file.");
}

/* What the command line says of the log wins. */
static void
command_line(struct config *c, const struct snapshot *s)
{
	if (s->flags & SNAPSHOT_LOG_TEXT)
		c->log_format = LOG_TEXT;
	else if (s->flags & SNAPSHOT_LOG_LOGFMT)
		c->log_format = LOG_LOGFMT;
	else if (s->flags & SNAPSHOT_LOG_JSON)
		c->log_format = LOG_JSON;
	if (s->logfile[0] == '\0')
		return;
	c->syslog = strcmp(s->logfile, SYSLOG) == 0;
	if (c->syslog)
		c->logfile = NULL;
	else
		c->logfile = s->logfile[0] == '/' ?
		    config_strdup(c, s->logfile) :
		    config_printf(c, "%s/%s", s->directory, s->logfile);
}

struct config *
config_load(const struct snapshot *s, int strict, config_file_fn read_file,
    void *arg, struct config_report *report)
{
	struct loader l;
	struct doc *doc;

	memset(&l, 0, sizeof(l));
	l.snapshot = s;
	l.report = report;
	l.strict = strict;
	l.read_file = read_file;
	l.read_arg = arg;
	l.file = s->path;
	l.config = calloc(1, sizeof(*l.config));
	if (l.config == NULL)
		abort();
	config_share(l.config, 1);
	l.config->graceful = 10 * SECOND;
	l.config->start_parallel = 8;
	l.config->http.port = 5001;
	l.config->http.workers = 2;
	l.config->http.address = config_strdup(l.config, "127.0.0.1");
	l.config->http.at.file = s->path;
	l.config->http.port_at.file = s->path;
	check_mode(&l);
	doc = parse_file(&l, s);
	if (doc != NULL) {
		load_document(&l, doc->root);
		if (report->errors == 0)
			config_check_jobs(&l);
		doc_free(doc);
	}
	command_line(l.config, s);
	if (l.config->http.unix_path == NULL)
		l.config->http.unix_path = config_strdup(l.config, s->socket);
	config_share(l.config, 0);
	if (report->errors == 0)
		return l.config;
	config_free(l.config);
	return NULL;
}
