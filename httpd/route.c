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
    {{"v1", NULL}, GET, ACCESS_READ, "GET", api_v1},
    {{"v1", "ready", NULL}, GET, ACCESS_READ, "GET", api_v1_ready},
    {{"v1", "healthz", NULL}, GET, ACCESS_READ, "GET", api_v1_healthz},
    {{"v1", "openapi.json", NULL}, GET, ACCESS_READ, "GET", api_v1_openapi},
    {{"v1", "processes", NULL}, GET, ACCESS_READ, "GET", api_v1_processes},
    {{"v1", "processes", "*", NULL}, GET, ACCESS_READ, "GET", api_v1_process},
    {{"v1", "processes", "*", "streams", "*", NULL}, GET, ACCESS_READ, "GET",
	api_v1_stream},
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

/* For the log of who wants to know (-v): the audit tells of changes. */
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
	struct client *c;
	size_t i;

	c = q->client;
	for (i = 0; i < sizeof(routes) / sizeof(*routes); i++) {
		if (!matches(&routes[i], &q->path))
			continue;
		if ((routes[i].methods & method_bit(c)) == 0) {
			respond_method(c, routes[i].allow);
			return;
		}
		if (method_bit(c) == GET)
			replica_catch_up();
		else if (c->role < routes[i].role) {
			tell_refusal(c, q->buf, 403);
			respond_problem(c, 403, "forbidden",
			    routes[i].role == ACCESS_ADMIN ?
				"this wants the role admin" :
				"this wants the role operate");
			return;
		}
		routes[i].answer(q);
		return;
	}
	respond_problem(c, 404, "not-found", "there is no such path");
}

void
route(struct client *c, const char *buf)
{
	struct request q;
	const char *path;
	const char *reason;
	size_t len;
	int status;

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
		tell_refusal(c, buf, status);
		respond_problem(c, status,
		    status == 401 ? "unauthorized" : "forbidden", reason);
		return;
	}
	if (c->req.form == HTTP_FORM_ASTERISK) {
		respond_method(c, "DELETE,GET,HEAD,OPTIONS,POST");
		return;
	}
	q.client = c;
	q.buf = buf;
	path = buf + c->req.path.off;
	len = c->req.path.len;
	/* pymanager takes all slashes at the front for one. */
	for (; len > 1 && path[0] == '/' && path[1] == '/'; len--)
		path++;
	status = http_path_decode(path, len, &q.path, q.text, sizeof(q.text));
	if (status != 0) {
		respond_problem(c, status, "bad-path", "malformed path");
		return;
	}
	dispatch(&q);
}
