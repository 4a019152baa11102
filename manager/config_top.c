#include <arpa/inet.h>
#include <netinet/in.h>

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <bsd/stdlib.h>

#include "config_table.h"
#include "snapshot.h"

/* The keys at the top, and those of `http`. */

void
set_expand(struct loader *l, const struct key *k, void *target,
    const struct doc_node *n)
{
	(void)k;
	(void)target;
	l->expand = n->value.boolean;
}

void
set_graceful(struct loader *l, const struct key *k, void *target,
    const struct doc_node *n)
{
	struct config_report scratch;
	struct config_report *report;
	char shown[48];
	int64_t seconds;
	uint64_t ns;
	int bad;

	(void)k;
	/*
	 * Never an error: pymanager warns and keeps its 10 s.  What its int()
	 * takes counts, but for true, which nobody means as 1 s.
	 */
	memset(&scratch, 0, sizeof(scratch));
	report = l->report;
	l->report = &scratch;
	bad = value_duration(l, n, &ns);
	l->report = report;
	config_report_free(&scratch);
	(void)doc_show(n->text == NULL ? doc_kind_name(n->kind) : n->text,
	    shown, sizeof(shown));
	if (bad == -1 && n->kind != DOC_BOOL &&
	    value_python_int(n, &seconds) == 0 && seconds >= 0) {
		if (seconds > MAX_DURATION)
			seconds = MAX_DURATION;
		config_warning(l, n,
		    "want a duration of 0 to 31 days, got %s: %lld s", shown,
		    (long long)seconds);
		ns = (uint64_t)seconds * SECOND;
	} else if (bad == -1) {
		config_warning(l, n,
		    "invalid graceful_time '%s', must be a positive number.",
		    shown);
		return;
	}
	((struct config *)target)->graceful = ns;
}

void
set_default_shell(struct loader *l, const struct key *k, void *target,
    const struct doc_node *n)
{
	(void)k;
	(void)target;
	l->default_shell_off = !value_truth(n);
	l->default_shell = NULL;
	if (n->kind == DOC_STRING && !l->default_shell_off)
		l->default_shell = value_string(l, n);
}

void
set_logfile(struct loader *l, const struct key *k, void *target,
    const struct doc_node *n)
{
	struct config *c;

	(void)k;
	c = target;
	c->logfile_at = config_position(l, n);
	c->syslog = strcmp(n->text, SYSLOG) == 0;
	c->logfile = c->syslog ? NULL : value_path(l, n);
}

#define UNKNOWN_MESSAGE \
	"unknown message: process.exit, verifier.fail and verifier.verbose " \
	"are known"

static const struct {
	const char *name;
	unsigned int flag;
} message_names[] = {{"process.exit", MESSAGE_PROCESS_EXIT},
    {"verifier.fail", MESSAGE_VERIFIER_FAIL},
    {"verifier.verbose", MESSAGE_VERIFIER_VERBOSE}};
#define NMESSAGES (sizeof(message_names) / sizeof(*message_names))

void
set_messages(struct loader *l, const struct key *k, void *target,
    const struct doc_node *n)
{
	const struct doc_node *item;
	struct config *c;
	size_t i;

	(void)k;
	c = target;
	c->messages = 0;
	/* pymanager asks `in`: a substring, if it is one string. */
	for (i = 0; n->kind == DOC_STRING && i < NMESSAGES; i++)
		if (strstr(n->text, message_names[i].name) != NULL)
			c->messages |= message_names[i].flag;
	if (n->kind == DOC_STRING && c->messages == 0 && n->size > 0)
		config_warning(l, n, UNKNOWN_MESSAGE);
	for (item = doc_first(n); item != NULL; item = doc_next(item)) {
		for (i = 0; i < NMESSAGES; i++)
			if (item->kind == DOC_STRING &&
			    strcmp(item->text, message_names[i].name) == 0)
				break;
		if (i == NMESSAGES)
			config_warning(l, item, UNKNOWN_MESSAGE);
		else
			c->messages |= message_names[i].flag;
	}
}

void
set_modules(struct loader *l, const struct key *k, void *target,
    const struct doc_node *n)
{
	const struct doc_node *class;
	const struct doc_node *module;
	const struct doc_node *verifiers;
	const char **list;

	(void)target;
	for (module = doc_first(n); module != NULL; module = doc_next(module)) {
		if (module->kind == DOC_OBJECT)
			config_group(l, k->group, NULL, module);
		verifiers = module->kind == DOC_OBJECT ?
		    doc_get(module, "verifiers") :
		    NULL;
		if (verifiers == NULL || verifiers->kind != DOC_ARRAY) {
			config_warning(l, module,
			    "module %.128s does not contain a list of "
			    "verifiers to load.",
			    module->key);
			continue;
		}
		for (class = doc_first(verifiers); class != NULL;
		     class = doc_next(class)) {
			if (class->kind != DOC_STRING) {
				config_warning(
				    l, class, "want the name of a class");
				continue;
			}
			if (config_is_full(
				l, class, strlen(module->key) + class->size))
				return;
			list = config_array(l->config, l->modules.list,
			    l->modules.count, sizeof(*list));
			list[l->modules.count++] = config_printf(
			    l->config, "%s.%s", module->key, class->text);
			l->modules.list = list;
		}
	}
}

/* The path is relative to the file that names it. */
static void
include_one(struct loader *l, const struct doc_node *n)
{
	const char *slash;
	const char *path;
	int len;

	path = value_bounded(l, n, "a path", PATH_MAX);
	if (path == NULL)
		return;
	slash = strrchr(l->file, '/');
	len = slash == NULL ? 0 : (int)(slash - l->file + 1);
	if (path[0] != '/')
		path = config_printf(l->config, "%.*s%s", len, l->file, path);
	if (path[0] != '/')
		path = config_printf(
		    l->config, "%s/%s", l->snapshot->directory, path);
	if (strlen(path) >= PATH_MAX)
		config_error(l, n, "the path is too long");
	else
		config_include_file(l, n, path);
}

void
set_include(struct loader *l, const struct key *k, void *target,
    const struct doc_node *n)
{
	const struct doc_node *item;

	(void)k;
	(void)target;
	if (n->kind != DOC_ARRAY) {
		include_one(l, n);
		return;
	}
	for (item = doc_first(n); item != NULL; item = doc_next(item))
		include_one(l, item);
}

/* ---- http ----------------------------------------------------------- */

/* Who says what TCP is to be like probably wants it. */
static void
tell_of_tcp(struct loader *l, const struct doc_node *n)
{
	static const char *const keys[] = {"address", "port", "tls"};
	const struct doc_node *given;
	size_t i;

	for (i = 0; i < sizeof(keys) / sizeof(keys[0]); i++) {
		given = doc_get(n, keys[i]);
		if (given == NULL)
			continue;
		config_warning(l, given,
		    "has no effect: there is no \"enabled: true\" beside it");
		return;
	}
}

void
set_http(struct loader *l, const struct key *k, void *target,
    const struct doc_node *n)
{
	const struct doc_node *enabled;
	struct config *c;

	c = target;
	c->http.at = config_position(l, n);
	c->http.port_at = c->http.at;
	enabled = doc_get(n, "enabled"); /* it may stand behind the port */
	c->http.enabled = enabled != NULL && value_truth(enabled);
	config_group(l, k->group, &c->http, n);
	if (enabled == NULL)
		tell_of_tcp(l, n);
	config_check_access(l, n);
}

void
set_http_port(struct loader *l, const struct key *k, void *target,
    const struct doc_node *n)
{
	void (*report)(
	    struct loader *, const struct doc_node *, const char *, ...);
	struct listen_config *h;
	const char *text;
	int64_t port;
	char shown[48];
	int bad;

	(void)k;
	h = target;
	h->port_at = config_position(l, n);
	text = n->text;
	if (n->kind == DOC_STRING && (text = value_string(l, n)) == NULL)
		goto fail;
	bad = n->kind == DOC_BOOL ||
	    (n->kind == DOC_STRING ? text_python_int(text, &port) :
				     value_python_int(n, &port)) == -1 ||
	    port < 0 || port > 65535;
	/* pymanager does not look at what it does not use. */
	report = bad && h->enabled ? config_error : config_warning;
	if (bad || text[strspn(text, "0123456789")] != '\0')
		report(l, n, "want a number 0-65535, got %s%s%s",
		    n->kind == DOC_STRING ? "string \"" : "",
		    doc_show(text == NULL || n->kind == DOC_NULL ?
			    doc_kind_name(n->kind) :
			    text,
			shown, sizeof(shown)),
		    n->kind == DOC_STRING ? "\"" : "");
	if (!bad)
		h->port = (uint16_t)port;
	if (!bad || !h->enabled)
		return;
fail:
	if (l->report->fatal == 1)
		l->report->code = EXIT_NOT_FOUND; /* as when it is in use */
}

void
set_http_address(struct loader *l, const struct key *k, void *target,
    const struct doc_node *n)
{
	struct listen_config *h;
	struct in6_addr v6;
	struct in_addr v4;
	char shown[48];
	const char *s;

	(void)k;
	h = target;
	s = value_string(l, n);
	if (s == NULL)
		return;
	if (strcmp(s, "localhost") == 0)
		s = config_strdup(l->config, "127.0.0.1");
	if (inet_pton(AF_INET, s, &v4) == 1 || inet_pton(AF_INET6, s, &v6) == 1)
		h->address = s;
	else
		config_error(l, n, "want a numeric address, got \"%s\"",
		    doc_show(s, shown, sizeof(shown)));
}

/* Looks a name up in the bytes of passwd(5) or group(5): third field. */
static int
lookup(const char *bytes, size_t len, const char *name, char *id, size_t size)
{
	const char *end;
	const char *field;
	const char *line;
	size_t n;

	n = strlen(name);
	for (line = bytes; len > 0;) {
		end = memchr(line, '\n', len);
		if (end == NULL)
			end = line + len;
		if ((size_t)(end - line) > n && line[n] == ':' &&
		    memcmp(line, name, n) == 0) {
			field = memchr(
			    line + n + 1, ':', (size_t)(end - line) - n - 1);
			if (field == NULL)
				return -1;
			(void)snprintf(id, size, "%.*s",
			    (int)strspn(field + 1, "0123456789"), field + 1);
			return id[0] == '\0' ? -1 : 0;
		}
		len -= (size_t)(end - line);
		line = end;
		if (len > 0) {
			line++;
			len--;
		}
	}
	return -1;
}

/* Users or groups by name or number, stored as numbers. */
void
set_ids(struct loader *l, const struct key *k, void *target,
    const struct doc_node *n)
{
	struct strings names;
	struct strings *out;
	const void *bytes;
	const char *error;
	char id[16];
	char shown[64];
	size_t i;
	size_t len;
	const char **list;

	memset(&names, 0, sizeof(names));
	value_strings(l, n, &names);
	out = (struct strings *)(void *)((char *)target + k->offset);
	for (i = 0; i < names.count; i++) {
		(void)strtonum(names.list[i], 0, UINT32_MAX, &error);
		if (error == NULL)
			(void)snprintf(id, sizeof(id), "%s", names.list[i]);
		else if (l->read_file(l->read_arg,
			     strcmp(k->name, "allow-users") == 0 ?
				 "/etc/passwd" :
				 "/etc/group",
			     &bytes, &len) == -1) {
			if (errno != EAGAIN)
				config_error(l, n, "cannot look up names: %s",
				    strerrordesc_np(errno));
			return;
		} else if (lookup(bytes, len, names.list[i], id, sizeof(id)) ==
		    -1) {
			config_error(l, n, "no such user or group: %s",
			    doc_show(names.list[i], shown, sizeof(shown)));
			continue;
		}
		list = config_array(
		    l->config, out->list, out->count, sizeof(*list));
		list[out->count++] = config_strdup(l->config, id);
		out->list = list;
	}
}
