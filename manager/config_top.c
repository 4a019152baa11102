#include <arpa/inet.h>
#include <netinet/in.h>

#include <errno.h>
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
	uint64_t ns;
	int bad;

	(void)k;
	/* Never an error: pymanager warns and keeps its 10 s. */
	memset(&scratch, 0, sizeof(scratch));
	report = l->report;
	l->report = &scratch;
	bad = value_duration(l, n, &ns);
	l->report = report;
	config_report_free(&scratch);
	if (bad == -1) {
		config_warning(l, n,
		    "invalid graceful_time '%s', must be a positive number.",
		    n->text == NULL ? doc_kind_name(n->kind) :
				      doc_show(n->text, shown, sizeof(shown)));
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
	l->default_shell_off = n->kind == DOC_BOOL && !n->value.boolean;
	l->default_shell = n->kind == DOC_STRING ? value_string(l, n) : NULL;
}

void
set_messages(struct loader *l, const struct key *k, void *target,
    const struct doc_node *n)
{
	static const struct {
		const char *name;
		unsigned int flag;
	} known[] = {{"process.exit", MESSAGE_PROCESS_EXIT},
	    {"verifier.fail", MESSAGE_VERIFIER_FAIL},
	    {"verifier.verbose", MESSAGE_VERIFIER_VERBOSE}};
	const struct doc_node *item;
	struct config *c;
	size_t i;

	(void)k;
	c = target;
	c->messages = 0;
	for (i = 0; i < sizeof(known) / sizeof(*known); i++) {
		if (n->kind == DOC_STRING) {
			/* pymanager asks `in`: a substring of a string. */
			if (strstr(n->text, known[i].name) != NULL)
				c->messages |= known[i].flag;
			continue;
		}
		for (item = doc_first(n); item != NULL; item = doc_next(item))
			if (item->kind == DOC_STRING &&
			    strcmp(item->text, known[i].name) == 0)
				c->messages |= known[i].flag;
	}
	for (item = doc_first(n); item != NULL; item = doc_next(item)) {
		for (i = 0; i < sizeof(known) / sizeof(*known); i++)
			if (item->kind == DOC_STRING &&
			    strcmp(item->text, known[i].name) == 0)
				break;
		if (i == sizeof(known) / sizeof(*known))
			config_warning(l, item,
			    "unknown message: process.exit, verifier.fail and "
			    "verifier.verbose are known");
	}
}

void
set_modules(struct loader *l, const struct key *k, void *target,
    const struct doc_node *n)
{
	const struct doc_node *class;
	const struct doc_node *module;
	const struct doc_node *verifiers;
	char **list;

	(void)k;
	(void)target;
	for (module = doc_first(n); module != NULL; module = doc_next(module)) {
		verifiers = module->kind == DOC_OBJECT ?
		    doc_get(module, "verifiers") :
		    NULL;
		if (verifiers == NULL || verifiers->kind != DOC_ARRAY) {
			config_warning(l, module,
			    "module %s does not contain a list of verifiers "
			    "to load.",
			    module->key);
			continue;
		}
		for (class = doc_first(verifiers); class != NULL;
		     class = doc_next(class)) {
			if (class->kind != DOC_STRING)
				continue;
			list = config_array(l->config, l->modules.list,
			    l->modules.count, sizeof(*list));
			list[l->modules.count++] = config_printf(
			    l->config, "%s.%s", module->key, class->text);
			l->modules.list = list;
		}
	}
}

void
set_include(struct loader *l, const struct key *k, void *target,
    const struct doc_node *n)
{
	struct strings paths;
	const char *slash;
	size_t i;

	(void)k;
	(void)target;
	memset(&paths, 0, sizeof(paths));
	value_strings(l, n, &paths);
	slash = strrchr(l->file, '/');
	for (i = 0; i < paths.count; i++) {
		if (paths.list[i][0] == '/')
			config_include_file(l, n, paths.list[i]);
		else if (slash != NULL && l->file[0] == '/')
			config_include_file(l, n,
			    config_printf(l->config, "%.*s/%s",
				(int)(slash - l->file), l->file,
				paths.list[i]));
		else
			config_include_file(l, n,
			    config_printf(l->config, "%s/%.*s%s",
				l->snapshot->directory,
				slash == NULL ? 0 : (int)(slash - l->file + 1),
				l->file, paths.list[i]));
	}
}

/* ---- http ----------------------------------------------------------- */

void
set_http(struct loader *l, const struct key *k, void *target,
    const struct doc_node *n)
{
	struct config *c;

	c = target;
	c->http.at = config_position(l, n);
	c->http.port_at = c->http.at;
	config_group(l, k->group, &c->http, n);
}

void
set_http_port(struct loader *l, const struct key *k, void *target,
    const struct doc_node *n)
{
	struct listen_config *h;
	char shown[48];
	const char *error;
	long long port;

	(void)k;
	h = target;
	h->port_at = config_position(l, n);
	error = NULL;
	port = n->kind == DOC_INTEGER ? n->value.integer :
					strtonum(n->text, 0, 65535, &error);
	if (error != NULL) {
		config_error(l, n, "want a number 0-65535, got string \"%s\"",
		    doc_show(n->text, shown, sizeof(shown)));
		if (l->report->errors == 1)
			l->report->code = EXIT_NOT_FOUND;
		return;
	}
	h->port = (uint16_t)port;
}

void
set_http_address(struct loader *l, const struct key *k, void *target,
    const struct doc_node *n)
{
	struct listen_config *h;
	struct in6_addr v6;
	struct in_addr v4;
	char shown[48];
	char *s;

	(void)k;
	h = target;
	s = value_string(l, n);
	if (s == NULL)
		return;
	if (strcmp(s, "localhost") == 0)
		s = config_strdup(l->config, "127.0.0.1");
	if (inet_pton(AF_INET, s, &v4) == 1) {
		if (ntohl(v4.s_addr) >> 24 == 127) {
			h->address = s;
			return;
		}
	} else if (inet_pton(AF_INET6, s, &v6) == 1) {
		if (IN6_IS_ADDR_LOOPBACK(&v6)) {
			h->address = s;
			return;
		}
	} else {
		config_error(l, n, "want a numeric address, got \"%s\"",
		    doc_show(s, shown, sizeof(shown)));
		return;
	}
	config_error(l, n,
	    "%s is not a loopback address: that needs TLS and authentication, "
	    "which are not available in this version",
	    s);
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
	size_t i;
	size_t len;
	char **list;

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
			config_error(
			    l, n, "no such user or group: %s", names.list[i]);
			continue;
		}
		list = config_array(
		    l->config, out->list, out->count, sizeof(*list));
		list[out->count++] = config_strdup(l->config, id);
		out->list = list;
	}
}
