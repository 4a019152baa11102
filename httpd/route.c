#include <stdio.h>
#include <string.h>

#include "../common/log.h"
#include "httpd.h"

/* From a request to the function that answers it. */

#define GET 1
#define POST 2
#define DELETE 4

struct route {
	const char *pattern[6]; /* segments; "*" is any one; ends with NULL */
	unsigned int methods;
	enum access_role role; /* for methods that change something */
	const char *allow;
	void (*answer)(struct request *);
};

static const struct route routes[] = {
    {{NULL}, GET | DELETE, ACCESS_ADMIN, "DELETE,GET", api_root},
    {{"status", NULL}, GET, ACCESS_READ, "GET", api_status},
    {{"restart", "*", NULL}, POST, ACCESS_OPERATE, "POST", api_restart},
    {{"v1", NULL}, GET, ACCESS_READ, "GET,HEAD", api_v1},
    {{"v1", "ready", NULL}, GET, ACCESS_READ, "GET,HEAD", api_v1_ready},
    {{"v1", "healthz", NULL}, GET, ACCESS_READ, "GET,HEAD", api_v1_healthz},
    {{"v1", "openapi.json", NULL}, GET, ACCESS_READ, "GET,HEAD",
	api_v1_openapi},
    {{"v1", "processes", NULL}, GET, ACCESS_READ, "GET,HEAD", api_v1_processes},
    {{"v1", "processes", "*", NULL}, GET, ACCESS_READ, "GET,HEAD",
	api_v1_process},
    {{"v1", "processes", "*", "streams", "*", NULL}, GET, ACCESS_READ,
	"GET,HEAD", api_v1_stream},
};

static int
matches(const struct route *r, const struct http_path *path)
{
	unsigned int i;

	for (i = 0; r->pattern[i] != NULL; i++) {
		if (i >= path->n)
			return 0;
		if (r->pattern[i][0] != '*' &&
		    strcmp(r->pattern[i], path->segment[i]) != 0)
			return 0;
	}
	return i == path->n && !path->slash;
}

static unsigned int
method_bit(const struct client *c)
{
	switch (c->req.method) {
	case HTTP_METHOD_GET:
	case HTTP_METHOD_HEAD:
		return GET;
	case HTTP_METHOD_POST:
		return POST;
	case HTTP_METHOD_DELETE:
		return DELETE;
	default:
		return 0;
	}
}

static const struct route *
find(const struct http_path *path)
{
	size_t i;

	for (i = 0; i < sizeof(routes) / sizeof(*routes); i++)
		if (matches(&routes[i], path))
			return &routes[i];
	return NULL;
}

/* The path of the request in segments: 0, or a status. */
static int
decode(struct request *q)
{
	const char *path;
	size_t len;

	path = q->buf + q->client->req.path.off;
	len = q->client->req.path.len;
	/* pymanager takes all slashes at the front for one. */
	for (; len > 1 && path[0] == '/' && path[1] == '/'; len--)
		path++;
	return http_path_decode(path, len, &q->path, q->text, sizeof(q->text));
}

/* What a method that changes something does there. */
static enum request_op
op_of(const struct route *r)
{
	return r->answer == api_root ? REQUEST_SHUTDOWN :
				       REQUEST_RESTART_PROCESS;
}

/* The audit tells of it, if it would have changed something. */
static void
audit(const struct request *q, int status)
{
	const struct route *r;
	unsigned int method;

	method = method_bit(q->client);
	r = method == POST || method == DELETE ? find(&q->path) : NULL;
	if (r != NULL && (r->methods & method) != 0)
		refusal_audit(q->client, op_of(r),
		    q->path.n > 1 ? q->path.segment[1] : "", status);
}

/* For the log of who wants to know (-v). */
static void
tell_refusal(const struct client *c, const char *buf, int status)
{
	char who[160];

	access_who(c, who, sizeof(who));
	if (who[0] == '\0')
		(void)snprintf(who, sizeof(who), "uid %lld", (long long)c->uid);
	log_info("refused (%d): %.*s %.*s by %s from %s", status,
	    (int)c->req.method_name.len, buf + c->req.method_name.off,
	    (int)c->req.path.len, buf + c->req.path.off, who, c->from);
}

static void
dispatch(struct request *q)
{
	const struct route *r;
	struct client *c;

	c = q->client;
	r = find(&q->path);
	if (r == NULL) {
		respond_problem(c, 404, "not-found", "there is no such path");
		return;
	}
	if ((r->methods & method_bit(c)) == 0) {
		respond_method(c, r->allow);
		return;
	}
	if (method_bit(c) != GET && c->role < r->role) {
		audit(q, 403);
		tell_refusal(c, q->buf, 403);
		respond_problem(c, 403, "forbidden",
		    r->role == ACCESS_ADMIN ? "this wants the role admin" :
					      "this wants the role operate");
		return;
	}
	r->answer(q);
}

void
route(struct client *c, const char *buf)
{
	struct request q;
	const char *reason;
	int status;

	q.client = c;
	q.buf = buf;

	if (c->req.method == HTTP_METHOD_OTHER) {
		respond_problem(
		    c, 501, "not-implemented", "the method is not known");
		return;
	}
	if (c->req.scheme == HTTP_SCHEME_HTTPS && c->tls == NULL) {
		respond_problem(
		    c, 421, "misdirected", "this is not the place of https");
		return;
	}
	status = access_request(c, buf, &reason);
	if (status != 0) {
		c->close = 1;
		if (decode(&q) == 0)
			audit(&q, status);
		tell_refusal(c, buf, status);
		respond_problem(c, status,
		    status == 401 ? "unauthorized" : "forbidden", reason);
		return;
	}
	if (c->req.form == HTTP_FORM_ASTERISK) {
		respond_method(c, "DELETE,GET,HEAD,OPTIONS,POST");
		return;
	}
	status = decode(&q);
	if (status != 0) {
		respond_problem(c, status, "bad-path", "malformed path");
		return;
	}
	dispatch(&q);
}
