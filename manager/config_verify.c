#include <jansson.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <bsd/stdlib.h>

#include "../common/check.h"
#include "config_table.h"

/* `verify` (muster's form) and `verifier` (pymanager's). */

static void
verify_defaults(
    struct loader *l, struct verify_config *v, const struct doc_node *n)
{
	memset(v, 0, sizeof(*v));
	v->at = config_position(l, n);
	v->timeout = 30 * SECOND;
	v->interval = SECOND;
	v->attempt_timeout = 5 * SECOND;
	v->redirects = 10;
	v->entry = UINT32_MAX;
}

static struct verify_config *
verify_add(struct loader *l, struct job_config *c, const struct doc_node *n)
{
	struct verify_config *list;

	if (c->nverifiers >= MAX_VERIFIERS) {
		config_error(l, n, "more than %d verifiers", MAX_VERIFIERS);
		return NULL;
	}
	list =
	    config_array(l->config, c->verifiers, c->nverifiers, sizeof(*list));
	c->verifiers = list;
	list += c->nverifiers++;
	verify_defaults(l, list, n);
	return list;
}

/* ---- fields of requests and answers --------------------------------- */

static int
field_name(const char *s)
{
	/* RFC 9110 §5.6.2: a token */
	return s[0] != '\0' &&
	    s[strspn(s,
		"!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyz"
		"ABCDEFGHIJKLMNOPQRSTUVWXYZ")] == '\0';
}

static void
add_field(struct loader *l, struct strings *out, const struct doc_node *n,
    const char *name, const char *value)
{
	char **list;

	if (!field_name(name) || strpbrk(value, "\r\n") != NULL) {
		config_error(l, n, "no name and value of a header field");
		return;
	}
	if (out->count >= MAX_CHECK_FIELDS) {
		config_error(l, n, "too many header fields");
		return;
	}
	list = config_array(l->config, out->list, out->count, sizeof(*list));
	list[out->count++] = value[0] == '\0' ?
	    config_strdup(l->config, name) :
	    config_printf(l->config, "%s: %s", name, value);
	out->list = list;
}

void
set_fields(struct loader *l, const struct key *k, void *target,
    const struct doc_node *n)
{
	const struct doc_node *item;
	struct strings *out;
	char *s;

	out = (struct strings *)(void *)((char *)target + k->offset);
	for (item = doc_first(n); item != NULL; item = doc_next(item)) {
		s = value_string(l, item);
		if (s != NULL)
			add_field(l, out, item, item->key, s);
	}
}

void
set_expected_fields(struct loader *l, const struct key *k, void *target,
    const struct doc_node *n)
{
	const struct doc_node *item;
	struct strings *out;
	const char *value;
	char *s;

	if (n->kind == DOC_OBJECT) {
		set_fields(l, k, target, n);
		return;
	}
	out = (struct strings *)(void *)((char *)target + k->offset);
	item = n->kind == DOC_ARRAY ? doc_first(n) : n;
	for (; item != NULL;
	     item = n->kind == DOC_ARRAY ? doc_next(item) : NULL) {
		s = value_string(l, item);
		if (s == NULL)
			continue;
		value = "";
		if (strchr(s, ':') != NULL) {
			value = strchr(s, ':') + 1;
			value += strspn(value, " ");
			s[strcspn(s, ":")] = '\0';
		}
		add_field(l, out, item, s, value);
	}
}

static int
status_range(const char *s, struct status_range *r)
{
	char from[8];
	const char *error;
	const char *dash;

	dash = strchr(s, '-');
	if (dash == NULL || dash - s >= (ptrdiff_t)sizeof(from)) {
		r->from = r->to = (uint16_t)strtonum(s, 100, 599, &error);
		return error == NULL ? 0 : -1;
	}
	(void)snprintf(from, sizeof(from), "%.*s", (int)(dash - s), s);
	r->from = (uint16_t)strtonum(from, 100, 599, &error);
	if (error != NULL)
		return -1;
	r->to = (uint16_t)strtonum(dash + 1, 100, 599, &error);
	return error == NULL && r->from <= r->to ? 0 : -1;
}

void
set_statuses(struct loader *l, const struct key *k, void *target,
    const struct doc_node *n)
{
	const struct doc_node *item;
	struct verify_config *v;
	struct status_range *list;
	struct status_range r;

	(void)k;
	v = target;
	item = n->kind == DOC_ARRAY ? doc_first(n) : n;
	for (; item != NULL;
	     item = n->kind == DOC_ARRAY ? doc_next(item) : NULL) {
		if (item->text == NULL || status_range(item->text, &r) == -1) {
			config_error(
			    l, item, "want a status, or a range \"200-399\"");
			continue;
		}
		list = config_array(
		    l->config, v->statuses, v->nstatuses, sizeof(*list));
		list[v->nstatuses++] = r;
		v->statuses = list;
	}
	if (v->nstatuses > 32)
		config_error(l, n, "too many statuses");
}

void
set_ca(struct loader *l, const struct key *k, void *target,
    const struct doc_node *n)
{
	struct verify_config *v;
	const void *bytes;
	size_t len;

	(void)k;
	v = target;
	v->ca_file = value_path(l, n);
	if (v->ca_file == NULL)
		return;
	if (l->read_file(l->read_arg, v->ca_file, &bytes, &len) == -1) {
		if (errno != EAGAIN)
			config_error(l, n, "cannot read %s: %s", v->ca_file,
			    strerrordesc_np(errno));
		return;
	}
	if (len > 48UL * 1024) {
		config_error(l, n, "%s is larger than 48 KiB", v->ca_file);
		return;
	}
	v->ca = config_alloc(l->config, len + 1);
	memcpy(v->ca, bytes, len);
	v->ca_len = len;
}

/* ---- kinds ---------------------------------------------------------- */

static int
hex(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	c |= 0x20;
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* "http+unix://%2Frun%2Fapp.sock/health": socket and path. */
static int
split_http_unix(struct loader *l, const char *url, struct verify_config *v)
{
	const char *s;
	char *path;
	size_t n;

	s = url + strlen("http+unix://");
	path = config_alloc(l->config, strlen(s) + 1);
	for (n = 0; *s != '\0' && *s != '/'; s++) {
		if (*s != '%') {
			path[n++] = *s;
			continue;
		}
		if (hex(s[1]) == -1 || hex(s[2]) == -1)
			return -1;
		path[n++] = (char)(hex(s[1]) * 16 + hex(s[2]));
		s += 2;
	}
	path[n] = '\0';
	if (path[0] != '/' || strlen(path) != n)
		return -1;
	v->unix_path = path;
	v->url = config_strdup(l->config, *s == '\0' ? "/" : s);
	return 0;
}

static void
kind_url(struct loader *l, struct verify_config *v, const struct doc_node *n)
{
	char *url;

	v->kind = VERIFY_HTTP;
	url = value_string(l, n);
	if (url == NULL)
		return;
	if (strstr(url, "$(") != NULL)
		config_error(l, n,
		    "replacements in a URL are not available in this version");
	if (strlen(url) >= MAX_URL)
		config_error(l, n, "the URL is too long");
	else if (strncmp(url, "http+unix://", 12) == 0) {
		if (split_http_unix(l, url, v) == -1)
			config_error(
			    l, n, "want http+unix://%%2Fpath%%2Fto.sock/path");
	} else if (strncmp(url, "http://", 7) != 0 &&
	    strncmp(url, "https://", 8) != 0)
		config_error(l, n, "want a URL with http:// or https://");
	else
		v->url = url;
}

static void
kind_tcp(struct loader *l, struct verify_config *v, const struct doc_node *n)
{
	const char *error;
	char *colon;
	char *s;

	v->kind = VERIFY_TCP;
	if (n->kind == DOC_INTEGER) {
		v->host = config_strdup(l->config, "127.0.0.1");
		v->port = (uint16_t)n->value.integer;
		return;
	}
	s = value_string(l, n);
	if (s == NULL)
		return;
	colon = strrchr(s, ':');
	error = "";
	if (colon != NULL)
		v->port = (uint16_t)strtonum(colon + 1, 1, 65535, &error);
	if (error != NULL) {
		config_error(l, n, "want HOST:PORT");
		return;
	}
	*colon = '\0';
	if (s[0] == '[' && colon > s + 1 && colon[-1] == ']') {
		colon[-1] = '\0';
		s++;
	}
	v->host = s[0] == '\0' ? config_strdup(l->config, "127.0.0.1") : s;
}

void
set_verify_kind(struct loader *l, const struct key *k, void *target,
    const struct doc_node *n)
{
	struct verify_config *v;

	v = target;
	/* `unix` beside `http` names the socket of the request. */
	if (v->kind_name != NULL && strcmp(k->name, "unix") == 0 &&
	    v->kind == VERIFY_HTTP) {
		v->unix_path = value_path(l, n);
		return;
	}
	if (v->kind_name != NULL) {
		config_error(l, n, "one verifier is of one kind: %s or %s",
		    v->kind_name, k->name);
		return;
	}
	v->kind_name = k->name;
	if (strcmp(k->name, "http") == 0)
		kind_url(l, v, n);
	else if (strcmp(k->name, "http+unix") == 0) {
		v->kind = VERIFY_HTTP;
		v->unix_path = value_path(l, n);
	} else if (strcmp(k->name, "tcp") == 0)
		kind_tcp(l, v, n);
	else if (strcmp(k->name, "unix") == 0) {
		v->kind = VERIFY_UNIX;
		v->unix_path = value_path(l, n);
	} else if (strcmp(k->name, "file") == 0) {
		v->kind = VERIFY_FILE;
		v->path = value_path(l, n);
	} else if (strcmp(k->name, "exited") == 0) {
		v->kind = VERIFY_EXITED;
		if (n->kind == DOC_INTEGER)
			v->expect_code = (int)n->value.integer;
		else if (!n->value.boolean)
			config_error(l, n, "want true, or the exit code");
	} else {
		v->kind = VERIFY_COMMAND;
		if (n->kind == DOC_ARRAY)
			words_list(l, n, &v->command);
		else
			words_split(l, n, &v->command);
		if (v->command.count == 0)
			config_error(l, n, "want a command");
	}
}

/* The path of a request over a Unix socket: of a URL, what follows the host.
 */
static void
finish_http(struct loader *l, struct verify_config *v)
{
	const char *s;

	if (v->kind != VERIFY_HTTP || v->unix_path == NULL)
		return;
	if (v->url == NULL)
		v->url = config_strdup(l->config, "/");
	s = strstr(v->url, "://");
	if (s == NULL)
		return;
	s = strchr(s + 3, '/');
	v->url = config_strdup(l->config, s == NULL ? "/" : s);
}

static void
verify_one(struct loader *l, struct job_config *c, const struct doc_node *n)
{
	struct verify_config *v;

	v = verify_add(l, c, n);
	if (v == NULL)
		return;
	if (n->kind == DOC_STRING && strcmp(n->text, "exited") == 0) {
		v->kind = VERIFY_EXITED;
		v->kind_name = "exited";
		return;
	}
	if (n->kind == DOC_STRING &&
	    (strncmp(n->text, "http://", 7) == 0 ||
		strncmp(n->text, "https://", 8) == 0 ||
		strncmp(n->text, "http+unix://", 12) == 0)) {
		v->kind_name = "http";
		kind_url(l, v, n);
		return;
	}
	if (n->kind != DOC_OBJECT) {
		config_error(l, n,
		    "want exited, a URL, or a mapping such as {http: URL}");
		return;
	}
	config_group(l, &group_verify, v, n);
	if (v->kind_name == NULL && l->report->errors == 0)
		config_error(l, n,
		    "want one of http, http+unix, tcp, unix, exited, command, "
		    "file");
	finish_http(l, v);
}

void
set_verify(struct loader *l, const struct key *k, void *target,
    const struct doc_node *n)
{
	const struct doc_node *item;

	(void)k;
	if (n->kind != DOC_ARRAY) {
		verify_one(l, target, n);
		return;
	}
	for (item = doc_first(n); item != NULL; item = doc_next(item))
		verify_one(l, target, item);
}

/* ---- pymanager's classes -------------------------------------------- */

/* Is the type one of our own, under any name that its module ever had? */
static int
builtin(const char *type, const char *class, const char *module)
{
	static const char *const prefixes[] = {"", "utils.", "pymutils."};
	char name[96];
	size_t i;

	for (i = 0; i < 3; i++) {
		(void)snprintf(
		    name, sizeof(name), "%s%s.%s", prefixes[i], module, class);
		if (strcmp(type, name) == 0)
			return 1;
	}
	(void)snprintf(name, sizeof(name), "pymutils.%s", class);
	return strcmp(type, name) == 0;
}

static json_t *
to_json(const struct doc_node *n)
{
	const struct doc_node *item;
	json_t *j;

	switch (n->kind) {
	case DOC_NULL:
		return json_null();
	case DOC_BOOL:
		return json_boolean(n->value.boolean);
	case DOC_INTEGER:
		return json_integer(n->value.integer);
	case DOC_REAL:
		j = json_real(n->value.real);
		return j != NULL ? j : json_null();
	case DOC_STRING:
		return json_string(n->text);
	case DOC_ARRAY:
		j = json_array();
		for (item = doc_first(n); item != NULL; item = doc_next(item))
			(void)json_array_append_new(j, to_json(item));
		return j;
	case DOC_OBJECT:
		break;
	}
	j = json_object();
	for (item = doc_first(n); item != NULL; item = doc_next(item))
		(void)json_object_set_new(j, item->key, to_json(item));
	return j;
}

static void
custom(struct loader *l, struct verify_config *v, const char *name,
    const struct doc_node *type, const struct doc_node *arguments)
{
	const char *dot;
	json_t *json;
	char *text;
	size_t i;

	for (i = 0; i < l->modules.count; i++)
		if (strcmp(l->modules.list[i], type->text) == 0)
			break;
	dot = strrchr(type->text, '.');
	if (i == l->modules.count || dot == NULL) {
		config_error(l, type,
		    "Missing verifier %s used in process %s (modules lists "
		    "none of this name)",
		    type->text, name);
		return;
	}
	v->kind = VERIFY_CUSTOM;
	v->kind_name = config_strdup(l->config, type->text);
	/* It has its own idea of time. */
	v->timeout = 0;
	v->module = config_printf(
	    l->config, "%.*s", (int)(dot - type->text), type->text);
	v->class_name = config_strdup(l->config, dot + 1);
	if (arguments == NULL)
		return;
	json = to_json(arguments);
	text = json_dumps(json, JSON_COMPACT);
	json_decref(json);
	if (text == NULL)
		abort();
	v->arguments = config_strdup(l->config, text);
	free(text);
}

static void
verifier_one(struct loader *l, struct job_config *c, const struct doc_node *n)
{
	const struct doc_node *arguments;
	const struct doc_node *type;
	struct verify_config *v;

	type = n->kind == DOC_OBJECT ? doc_get(n, "type") : NULL;
	if (type == NULL || type->kind != DOC_STRING) {
		config_error(l, n,
		    "Missing verifier type for verifier of process %s.",
		    c->name);
		return;
	}
	arguments = doc_get(n, "arguments");
	if (arguments != NULL && arguments->kind != DOC_OBJECT) {
		config_error(l, arguments, "want a mapping, got %s",
		    doc_kind_name(arguments->kind));
		return;
	}
	v = verify_add(l, c, n);
	if (v == NULL)
		return;
	v->pymanager = 1;
	v->kind_name = config_strdup(l->config, type->text);
	if (builtin(type->text, "HttpOkVerifier", "http_verifier")) {
		v->kind = VERIFY_HTTP;
		if (arguments != NULL)
			config_group(l, &group_httpok, v, arguments);
		v->attempt_timeout = v->interval;
		if (v->url == NULL)
			config_error(l, n, "the verifier has no url");
		else if (strncmp(v->url, "http://", 7) != 0 &&
		    strncmp(v->url, "https://", 8) != 0)
			config_error(l, doc_get(arguments, "url"),
			    "want a URL with http:// or https://");
	} else if (builtin(type->text, "ExitedVerifier", "exited_verifier")) {
		v->kind = VERIFY_EXITED;
		if (arguments != NULL)
			config_group(l, &group_exited, v, arguments);
	} else
		custom(l, v, c->name, type, arguments);
}

void
set_verifier(struct loader *l, const struct key *k, void *target,
    const struct doc_node *n)
{
	const struct doc_node *item;

	(void)k;
	if (n->kind != DOC_ARRAY) {
		verifier_one(l, target, n);
		return;
	}
	for (item = doc_first(n); item != NULL; item = doc_next(item))
		verifier_one(l, target, item);
}
