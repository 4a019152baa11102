#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include <bsd/stdlib.h>

#include "../common/check.h"
#include "config_table.h"

/* `verify`: what proves that a process is up. */

#define MAX_STATUSES 32
#define MAX_METHOD 32 /* bytes with NUL, of the request method */
#define MAX_BODY 8192 /* the same, of the text to look for */
/*
 * All that the verifier is told of one check is one message, of at most 64
 * KiB.
 */
#define MAX_VERIFY_SIZE (60UL * 1024)

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

struct verify_config *
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

/* RFC 9110 §5.5: a tab is the only control character of a value. */
static int
field_value(const char *s)
{
	for (; *s != '\0'; s++)
		if (((unsigned char)*s < ' ' && *s != '\t') || *s == 0x7f)
			return 0;
	return 1;
}

static void
add_field(struct loader *l, struct strings *out, const struct doc_node *n,
    const char *name, const char *value)
{
	const char **list;

	if (!field_name(name) || !field_value(value) ||
	    strlen(name) + strlen(value) + 2 >= MAX_URL) {
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
	const char *s;

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
	const char *s;

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
			s = config_printf(
			    l->config, "%.*s", (int)strcspn(s, ":"), s);
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
		if (v->nstatuses >= MAX_STATUSES) {
			config_error(
			    l, n, "more than %d statuses", MAX_STATUSES);
			return;
		}
		list = config_array(
		    l->config, v->statuses, v->nstatuses, sizeof(*list));
		list[v->nstatuses++] = r;
		v->statuses = list;
	}
}

void
set_method(struct loader *l, const struct key *k, void *target,
    const struct doc_node *n)
{
	const char *s;

	(void)k;
	s = value_bounded(l, n, "a request method", MAX_METHOD);
	if (s == NULL)
		return;
	/* The answer to CONNECT is a tunnel, and none that can be judged. */
	if (!field_name(s) || strcmp(s, "CONNECT") == 0)
		config_error(l, n, "want a request method such as GET");
	else
		((struct verify_config *)target)->method = s;
}

void
set_body(struct loader *l, const struct key *k, void *target,
    const struct doc_node *n)
{
	(void)k;
	((struct verify_config *)target)->body =
	    value_bounded(l, n, "a text", MAX_BODY);
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

static void
kind_exited(struct loader *l, struct verify_config *v, const struct doc_node *n)
{
	v->kind = VERIFY_EXITED;
	if (n->kind == DOC_INTEGER)
		v->expect_code = (int)n->value.integer;
	else if (!n->value.boolean)
		config_error(l, n, "want true, or the exit code");
}

static void
kind_command(
    struct loader *l, struct verify_config *v, const struct doc_node *n)
{
	size_t errors;

	v->kind = VERIFY_COMMAND;
	errors = l->report->errors;
	if (n->kind == DOC_ARRAY)
		words_list(l, n, &v->command);
	else
		words_split(l, n, &v->command);
	if (l->report->errors == errors &&
	    (v->command.count == 0 || v->command.list[0].source[0] == '\0'))
		config_error(l, n, "want a command");
}

void
set_verify_kind(struct loader *l, const struct key *k, void *target,
    const struct doc_node *n)
{
	struct verify_config *v;
	int is_http;
	int is_unix;

	v = target;
	is_http = strcmp(k->name, "http") == 0;
	is_unix = strcmp(k->name, "unix") == 0;
	if (v->kind_name != NULL && !(is_http && v->kind == VERIFY_UNIX) &&
	    !(is_unix && v->kind == VERIFY_HTTP && v->unix_path == NULL)) {
		config_error_key(l, n, "one verifier is of one kind: %s or %s",
		    v->kind_name, k->name);
		return;
	}
	/* `unix` beside `http` names the socket of the request. */
	if (v->kind_name == NULL || is_http)
		v->kind_name = k->name;
	if (is_http)
		verify_url(l, v, n);
	else if (is_unix && v->kind == VERIFY_HTTP && v->kind_name != k->name)
		v->unix_path = value_socket_path(l, n);
	else if (is_unix) {
		v->kind = VERIFY_UNIX;
		v->unix_path = value_socket_path(l, n);
	} else if (strcmp(k->name, "http+unix") == 0) {
		v->kind = VERIFY_HTTP;
		v->unix_path = value_socket_path(l, n);
	} else if (strcmp(k->name, "tcp") == 0)
		verify_tcp(l, v, n);
	else if (strcmp(k->name, "file") == 0) {
		v->kind = VERIFY_FILE;
		v->path = value_path(l, n);
	} else if (strcmp(k->name, "exited") == 0)
		kind_exited(l, v, n);
	else
		kind_command(l, v, n);
}

int
verify_is_kind(const char *name)
{
	const struct key *k;

	for (k = group_verify.keys; k->name != NULL; k++)
		if (k->set == set_verify_kind && strcmp(k->name, name) == 0)
			return 1;
	return 0;
}

/* `path` belongs to `http+unix`, which has no URL that could hold one. */
void
set_verify_path(struct loader *l, const struct key *k, void *target,
    const struct doc_node *n)
{
	(void)k;
	((struct verify_config *)target)->path =
	    value_bounded(l, n, "a path", MAX_URL);
}

/* Of the end the parent tells; whether there is a file it says at once. */
static void
check_pauses(
    struct loader *l, const struct verify_config *v, const struct doc_node *n)
{
	static const char *const keys[] = {"interval", "attempt-timeout"};
	const struct doc_node *key;
	size_t i;

	for (i = 0; i < sizeof(keys) / sizeof(*keys); i++) {
		key = doc_get(n, keys[i]);
		if (key != NULL && v->kind == VERIFY_EXITED)
			config_warning(l, key,
			    "without effect: an end is waited for, there are "
			    "no attempts");
		else if (key != NULL && v->kind == VERIFY_FILE && i == 1)
			config_warning(l, key,
			    "without effect: a look at a file takes no time");
	}
}

/*
 * A key that the kind does not look at would be a proof that proves nothing:
 * {tcp: 80, status: 200} asks for no status.  0, or -1 when reported.
 */
static int
check_kind_keys(
    struct loader *l, const struct verify_config *v, const struct doc_node *n)
{
	static const char *const keys[] = {"method", "headers", "status",
	    "body", "header", "redirects", "insecure", "ca"};
	const struct doc_node *key;
	const char *help;
	size_t errors;
	size_t i;

	errors = l->report->errors;
	help = v->kind == VERIFY_UNIX ? " (did you mean http+unix?)" : "";
	for (i = 0; i < sizeof(keys) / sizeof(*keys); i++) {
		key = doc_get(n, keys[i]);
		if (key != NULL && v->kind != VERIFY_HTTP)
			config_error(l, key,
			    "goes with http and http+unix only%s", help);
	}
	key = doc_get(n, "path");
	if (key != NULL &&
	    (v->kind != VERIFY_HTTP || v->unix_path == NULL || v->url != NULL))
		config_error(l, key, "goes with http+unix only%s", help);
	check_pauses(l, v, n);
	return l->report->errors == errors ? 0 : -1;
}

/* The request over a Unix socket: of a URL, what follows the host. */
static void
finish_http(struct loader *l, struct verify_config *v, const struct doc_node *n)
{
	const struct doc_node *path;
	const char *s;
	char *url;

	path = doc_get(n, "path");
	if (v->kind != VERIFY_HTTP || v->unix_path == NULL)
		return;
	if (v->url == NULL) {
		if (v->path == NULL)
			v->path = config_strdup(l->config, "/");
		if (v->path[0] != '/' || !verify_is_url_text(v->path))
			config_error(l, path,
			    "want the path of a URL, that begins with /");
		v->url = v->path;
		v->path = NULL;
		return;
	}
	s = strstr(v->url, "://");
	if (s == NULL)
		return; /* http+unix://, which was taken apart */
	if (strncasecmp(v->url, "https", 5) == 0) {
		config_error(l, n, "no https over a Unix socket");
		return;
	}
	s += 3 + strcspn(s + 3, "/?#");
	url = config_printf(l->config, "%s%s", *s == '/' ? "" : "/", s);
	url[strcspn(url, "#")] = '\0';
	v->url = url;
}

static size_t
strings_size(const struct strings *s)
{
	size_t i;
	size_t size;

	size = 0;
	for (i = 0; i < s->count; i++)
		size += strlen(s->list[i]) + 4;
	return size;
}

void
verify_check_size(
    struct loader *l, const struct verify_config *v, const struct doc_node *n)
{
	size_t size;

	size = v->ca_len + strings_size(&v->headers) +
	    strings_size(&v->expect_headers);
	if (v->url != NULL)
		size += strlen(v->url);
	if (v->body != NULL)
		size += strlen(v->body);
	if (size > MAX_VERIFY_SIZE)
		config_error(l, n,
		    "URL, header fields, body and ca are larger than %lu KiB "
		    "together",
		    MAX_VERIFY_SIZE / 1024);
}

static void
verify_one(struct loader *l, struct job_config *c, const struct doc_node *n)
{
	struct verify_config *v;
	size_t errors;

	v = verify_add(l, c, n);
	if (v == NULL)
		return;
	if (n->kind == DOC_STRING && strcmp(n->text, "exited") == 0) {
		v->kind = VERIFY_EXITED;
		v->kind_name = "exited";
		return;
	}
	if (n->kind == DOC_STRING &&
	    (strncasecmp(n->text, "http://", 7) == 0 ||
		strncasecmp(n->text, "https://", 8) == 0 ||
		strncmp(n->text, "http+unix://", 12) == 0)) {
		v->kind_name = "http";
		verify_url(l, v, n);
		return;
	}
	if (n->kind != DOC_OBJECT) {
		config_error(l, n,
		    "want exited, a URL, or a mapping such as {http: URL}");
		return;
	}
	errors = l->report->errors;
	config_group(l, &group_verify, v, n);
	if (l->report->errors != errors)
		return;
	if (v->kind_name == NULL)
		config_error(l, n,
		    "want one of http, http+unix, tcp, unix, exited, command, "
		    "file");
	else if (check_kind_keys(l, v, n) == 0)
		finish_http(l, v, n);
	verify_check_size(l, v, n);
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
