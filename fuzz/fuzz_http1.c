/* sources: httpd/http1.c httpd/http_target.c httpd/http_host.c */
/* libs: */
/* covers: httpd/http1.c httpd/http_host.c httpd/http_target.c */
/*
 * Request heads, one after another as on a connection, and what a worker does
 * with each: path, query, Host, Origin, fields.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "../httpd/http1.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* What must hold, or the input is a finding. */
static void
check(int condition)
{
	if (!condition)
		abort();
}

static int
same_view(struct http_view a, struct http_view b)
{
	return a.off == b.off && a.len == b.len;
}

static void
check_same(const struct http_request *a, const struct http_request *b)
{
	check(a->head_len == b->head_len && a->pos == b->pos);
	check(a->line == b->line && a->status == b->status);
	check(a->reason == b->reason && a->state == b->state);
	check(a->content_length == b->content_length);
	check(a->has_length == b->has_length && a->minor == b->minor);
	check(a->method == b->method && a->form == b->form);
	check(a->scheme == b->scheme && a->keep_alive == b->keep_alive);
	check(a->expects_continue == b->expects_continue);
	check(same_view(a->method_name, b->method_name));
	check(same_view(a->target, b->target));
	check(same_view(a->path, b->path));
	check(same_view(a->query, b->query));
	check(same_view(a->host, b->host));
	check(a->nfields == b->nfields);
	check(memcmp(a->known, b->known, sizeof(a->known)) == 0);
	check(memcmp(a->fields, b->fields, a->nfields * sizeof(a->fields[0])) ==
	    0);
}

/*
 * Feeds the head again, in pieces of varying size (of one byte if seed is 0),
 * each time from a new block that ends where the bytes end.
 */
static void
feed_in_pieces(const char *buf, size_t len, unsigned int seed,
    enum http_parse expect, const struct http_request *whole)
{
	static struct http_request req;
	enum http_parse verdict;
	size_t got;

	http_request_init(&req);
	verdict = HTTP_MORE;
	for (got = 0; got < len && verdict == HTTP_MORE;) {
		char *copy;

		got += 1 + seed % 97;
		if (got > len)
			got = len;
		if (seed != 0)
			seed = seed * 1103515245 + 12345;
		copy = malloc(got);
		check(copy != NULL);
		memcpy(copy, buf, got);
		verdict = http_parse_head(copy, got, &req);
		free(copy);
	}
	if (len == 0)
		return;
	check(verdict == expect);
	check_same(&req, whole);
}

static void
check_view(struct http_view view, size_t head_len)
{
	check((size_t)view.off + view.len <= head_len);
}

static void
check_text(const char *s, size_t len)
{
	size_t i;

	check(strlen(s) == len);
	for (i = 0; i < len; i++)
		check((unsigned char)s[i] >= ' ' && s[i] != 0x7f);
}

static void
check_fields(const char *buf, const struct http_request *req)
{
	const struct http_field *f;
	unsigned int i;
	unsigned int k;

	check(req->nfields <= HTTP_MAX_FIELDS);
	for (i = 0; i < req->nfields; i++) {
		f = &req->fields[i];
		check_view(f->name, req->head_len);
		check_view(f->value, req->head_len);
		check(f->name.len > 0);
		check(buf[f->name.off + f->name.len] == ':');
		for (k = 0; k < f->name.len; k++)
			check(http_is(buf[f->name.off + k], HTTP_CLASS_TOKEN));
		for (k = 0; k < f->value.len; k++)
			check(!http_is(
			    buf[f->value.off + k], HTTP_CLASS_CONTROL));
	}
	for (i = HTTP_KNOWN_HOST; i < HTTP_KNOWN_MAX; i++) {
		f = http_request_known(req, (enum http_known)i);
		check(f == NULL || f < req->fields + req->nfields);
	}
	check(http_request_known(req, HTTP_KNOWN_TRANSFER_ENCODING) == NULL);
	f = http_request_field(req, buf, "content-length", NULL);
	check((f != NULL) == req->has_length);
	check(f == NULL ||
	    http_request_field(req, buf, "Content-Length", f) == NULL);
	f = http_request_field(req, buf, "HOST", NULL);
	check(f == http_request_known(req, HTTP_KNOWN_HOST));
	check(f != NULL || req->minor == 0);
}

static void
check_path(const char *buf, const struct http_request *req)
{
	static char text[HTTP_MAX_HEAD];
	struct http_path path;
	unsigned int i;
	int status;

	status = http_path_decode(
	    buf + req->path.off, req->path.len, &path, text, 24);
	check(status == 0 || status == 400 || status == 404 || status == 414);
	status = http_path_decode(
	    buf + req->path.off, req->path.len, &path, text, sizeof(text));
	check(status == 0 || status == 400 || status == 404);
	if (status != 0)
		return;
	check(path.n <= HTTP_MAX_SEGMENTS);
	for (i = 0; i < path.n; i++) {
		check_text(path.segment[i], path.length[i]);
		check(path.length[i] > 0);
		check(strchr(path.segment[i], '/') == NULL);
		check(strcmp(path.segment[i], ".") != 0);
		check(strcmp(path.segment[i], "..") != 0);
	}
}

static void
check_query(const char *buf, const struct http_request *req)
{
	struct http_query query;
	char key[16];
	char value[32];
	int found;

	http_query_begin(&query, buf + req->query.off, req->query.len);
	while ((found = http_query_next(
		    &query, key, sizeof(key), value, sizeof(value))) == 1) {
		check_text(key, strlen(key));
		check_text(value, strlen(value));
	}
	check(found == 0 || query.status == 400 || query.status == 414);
}

static void
check_host(const char *buf, const struct http_request *req)
{
	static const char *const hosts[] = {
	    "ci.example:8443", "10.0.0.1", "[2001:db8::1]", NULL};
	static const char *const origins[] = {
	    "https://ci.example:8443", "http://10.0.0.1", NULL};
	const struct http_field *f;
	struct http_host host;
	const char *text;

	text = buf + req->host.off;
	if (req->host.len != 0)
		check(http_host_parse(text, req->host.len, &host) == 0);
	/* An allow list only ever adds. */
	if (http_host_is_local(text, req->host.len, NULL))
		check(http_host_is_local(text, req->host.len, hosts));
	f = http_request_known(req, HTTP_KNOWN_ORIGIN);
	if (f == NULL)
		return;
	if (http_origin_is_same(buf + f->value.off, f->value.len, 0, text,
		req->host.len, NULL)) {
		check(http_origin_is_same(buf + f->value.off, f->value.len, 0,
		    text, req->host.len, origins));
		check(!http_origin_is_same(buf + f->value.off, f->value.len, 1,
		    text, req->host.len, NULL));
	}
	/* Any text may stand in Origin, so that host is tried as well. */
	(void)http_host_is_local(buf + f->value.off, f->value.len, hosts);
	(void)http_origin_is_same(
	    buf + f->value.off, f->value.len, 1, text, req->host.len, origins);
}

static void
check_done(const char *buf, size_t len, const struct http_request *req)
{
	check(req->head_len >= 4 && req->head_len <= HTTP_MAX_HEAD);
	check(req->head_len <= len);
	check(memcmp(buf + req->head_len - 4, "\r\n\r\n", 4) == 0);
	check(req->content_length <= HTTP_MAX_BODY);
	check(req->method != HTTP_METHOD_CONNECT);
	check(req->minor <= 1);
	check_view(req->method_name, req->head_len);
	check_view(req->target, req->head_len);
	check_view(req->path, req->head_len);
	check_view(req->query, req->head_len);
	check_view(req->host, req->head_len);
	check_fields(buf, req);
	check_path(buf, req);
	check_query(buf, req);
	check_host(buf, req);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct http_request req;
	const char *buf;
	unsigned int requests;

	buf = (const char *)data;
	for (requests = 0; requests < 16; requests++) {
		enum http_parse verdict;

		http_request_init(&req);
		verdict = http_parse_head(buf, size, &req);
		if (size <= 512)
			feed_in_pieces(buf, size, 0, verdict, &req);
		feed_in_pieces(
		    buf, size, (unsigned int)size + 1, verdict, &req);
		check(verdict == http_parse_head(buf, size, &req) ||
		    verdict == HTTP_MORE);
		if (verdict == HTTP_MORE) {
			check(size < HTTP_MAX_HEAD);
			return 0;
		}
		if (verdict == HTTP_BAD) {
			check(req.status >= 400 && req.status <= 505);
			check(req.reason != NULL);
			return 0;
		}
		check_done(buf, size, &req);
		if (req.content_length > size - req.head_len)
			return 0;
		buf += req.head_len + req.content_length;
		size -= req.head_len + (size_t)req.content_length;
	}
	return 0;
}
