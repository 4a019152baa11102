#include <stdio.h>
#include <string.h>
#include <time.h>

#include "httpd.h"

/* Answers. */

static struct json scratch;

static enum http_connection
connection_of(const struct client *c)
{
	if (c->close)
		return HTTP_CONNECTION_CLOSE;
	return c->minor == 0 ? HTTP_CONNECTION_KEEP_ALIVE :
			       HTTP_CONNECTION_DEFAULT;
}

void
respond(struct client *c, int status, const char *type, const void *body,
    size_t len, const struct http_extra *extra, size_t nextra)
{
	struct http_response r;
	char head[1024];
	int n;

	memset(&r, 0, sizeof(r));
	r.status = status;
	r.now = time(NULL);
	r.length = (int64_t)len;
	r.type = type;
	r.no_store = 1;
	r.extra = extra;
	r.nextra = nextra;
	r.connection = connection_of(c);
	n = http_response_head(head, sizeof(head), &r);
	if (n == -1 || client_write(c, head, (size_t)n) == -1 ||
	    (!c->head && status != 204 && client_write(c, body, len) == -1))
		c->close = 1;
	client_done(c);
}

void
respond_json(struct client *c, int status, const struct json *j)
{
	if (j->failed)
		respond_problem(c, 503, "no-memory", "no memory");
	else
		respond(
		    c, status, "application/json", j->data, j->len, NULL, 0);
}

void
respond_problem(
    struct client *c, int status, const char *code, const char *detail)
{
	static const struct http_extra retry = {"Retry-After", "1"};
	static const struct http_extra bearer = {
	    "WWW-Authenticate", "Bearer realm=\"muster\""};
	const char *title;
	char type[96];

	title = http_status_text(status);
	(void)snprintf(type, sizeof(type), "/problems/%s", code);
	json_begin(&scratch);
	json_open(&scratch, '{');
	json_key(&scratch, "type");
	json_text(&scratch, type);
	json_key(&scratch, "title");
	json_text(&scratch, title == NULL ? "" : title);
	json_key(&scratch, "status");
	json_int(&scratch, status);
	json_key(&scratch, "detail");
	json_text(&scratch, detail);
	json_key(&scratch, "code");
	json_text(&scratch, code);
	json_close(&scratch, '{');
	respond(c, status, "application/problem+json", scratch.data,
	    scratch.len, status == 401 ? &bearer : &retry,
	    status == 401 || status == 503 ? 1 : 0);
}

void
respond_method(struct client *c, const char *allow)
{
	struct http_extra extra = {"Allow", allow};
	char body[256];
	int n;

	if (c->req.method == HTTP_METHOD_OPTIONS) {
		respond(c, 204, NULL, "", 0, &extra, 1);
		return;
	}
	n = snprintf(body, sizeof(body),
	    "{\"type\": \"/problems/method-not-allowed\", \"title\": \"Method "
	    "Not Allowed\", \"status\": 405, \"detail\": \"allowed: %s\", "
	    "\"code\": \"method-not-allowed\"}",
	    allow);
	respond(c, 405, "application/problem+json", body, (size_t)n, &extra, 1);
}

/* ---- streams -------------------------------------------------------- */

void
respond_stream(struct client *c, const char *type, int64_t length)
{
	static const struct http_extra chunked = {
	    "Transfer-Encoding", "chunked"};
	struct http_response r;
	char head[1024];
	int n;

	if (c->minor == 0 && length == HTTP_NO_LENGTH)
		c->close = 1;
	memset(&r, 0, sizeof(r));
	r.status = 200;
	r.now = time(NULL);
	r.length = length;
	r.type = type;
	r.no_store = 1;
	r.extra = &chunked;
	r.nextra = c->minor != 0 && length == HTTP_NO_LENGTH;
	r.connection = connection_of(c);
	n = http_response_head(head, sizeof(head), &r);
	if (n != -1)
		(void)client_write(c, head, (size_t)n);
	c->state = CLIENT_STREAMING;
}

int
respond_chunk(struct client *c, const void *data, size_t len)
{
	char size[24];
	int n;

	if (len == 0)
		return 0;
	if (c->minor == 0)
		return client_write(c, data, len);
	n = snprintf(size, sizeof(size), "%zx\r\n", len);
	if (client_write(c, size, (size_t)n) == -1 ||
	    client_write(c, data, len) == -1)
		return -1;
	return client_write(c, "\r\n", 2);
}

void
respond_stream_end(struct client *c)
{
	if (c->minor != 0)
		(void)client_write(c, "0\r\n\r\n", 5);
	client_done(c);
	client_flush(c);
}

/* ---- what the request asks for -------------------------------------- */

int
query_get(const struct client *c, const char *buf, const char *key, char *value,
    size_t size)
{
	struct http_query q;
	char name[64];
	char text[512];
	int found;
	int got;

	found = 0;
	http_query_begin(&q, buf + c->req.query.off, c->req.query.len);
	while ((got = http_query_next(
		    &q, name, sizeof(name), text, sizeof(text))) == 1) {
		if (strcmp(name, key) != 0)
			continue;
		if (snprintf(value, size, "%s", text) >= (int)size)
			return -1;
		found = 1;
	}
	return got == -1 ? -1 : found;
}
