#include <sys/socket.h>

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#include "../common/log.h"
#include "../common/url.h"
#include "expect.h"
#include "http_client.h"
#include "target.h"
#include "verifier.h"

/*
 * Unix sockets.  We see no file: the parent connects, with the rights of the
 * job's user, and hands us the descriptor.  For CHECK_UNIX that is all; for
 * CHECK_HTTP_UNIX a request is made on it by ourselves, because Debian 12's
 * libcurl cannot use a socket that is connected already.
 *
 * A redirect is followed on the same socket, by a new connection, if it leads
 * to the host that was asked.
 */

#define ORIGIN "http://localhost" /* of the socket, for URLs */
#define READ_SIZE 8192
#define TURN_READS 8 /* pieces of an answer in one turn */

struct unix_http {
	struct event event;
	struct http_answer answer;
	struct expect expect;
	char *request;
	size_t request_len;
	size_t sent;
	char *location;
	int redirect;
	int decided; /* detail is what is reported */
	int passed;
	char detail[DETAIL_SIZE];
};

struct unix_run {
	RB_ENTRY(unix_run) node; /* while request is not 0 */
	struct check *check;
	uint32_t request; /* asked of the parent; 0: answered */
	int fd;
	char *url; /* where a redirect led to, or NULL */
	unsigned int hops;
	int as_get;
	struct unix_http *http; /* while fd is open, for CHECK_HTTP_UNIX */
};

RB_HEAD(unix_tree, unix_run);

static struct unix_tree asked = RB_INITIALIZER(&asked);
static struct event_base *loop;
static uint32_t last_request;

static void http_cb(int, short, void *);

static int
unix_compare(struct unix_run *a, struct unix_run *b)
{
	return a->request < b->request ? -1 : a->request > b->request;
}

RB_GENERATE_INTERNAL(
    unix_tree, unix_run, node, unix_compare, __attribute__((__unused__)) static)

/* ---- runs -------------------------------------------------------------- */

/* Asks for a connection. */
static void
connect_again(struct unix_run *run)
{
	do {
		if (++last_request == 0)
			last_request = 1;
		run->request = last_request;
	} while (RB_INSERT(unix_tree, &asked, run) != NULL);
	ask_unix(run->request, run->check->spec.entry);
}

static void
forget_request(struct unix_run *run)
{
	if (run->request != 0)
		(void)RB_REMOVE(unix_tree, &asked, run);
	run->request = 0;
}

static void
hang_up(struct unix_run *run)
{
	struct unix_http *h = run->http;

	run->http = NULL;
	if (h != NULL) {
		(void)event_del(&h->event);
		expect_end(&h->expect);
		free(h->request);
		free(h->location);
		free(h);
	}
	if (run->fd != -1)
		(void)close(run->fd);
	run->fd = -1;
}

static void
unix_free(struct unix_run *run)
{
	forget_request(run);
	hang_up(run);
	run->check->run = NULL;
	free(run->url);
	free(run);
}

static void
unix_finish(
    struct unix_run *run, int passed, unsigned int status, const char *text)
{
	struct check *c = run->check;

	unix_free(run);
	check_done(c, passed, status, "%s", text);
}

/* ---- what the answer says ---------------------------------------------- */

static void
decide(struct unix_http *h, enum expect_result result)
{
	if (result == EXPECT_MORE)
		return;
	h->decided = 1;
	h->passed = result == EXPECT_PASSED;
}

static int
field_seen(void *arg, const char *name, size_t name_len, const char *value,
    size_t value_len)
{
	struct unix_http *h = arg;

	expect_field(&h->expect, name, name_len, value, value_len);
	if (h->location == NULL && name_len == 8 &&
	    strncasecmp(name, "Location", 8) == 0)
		h->location = strndup(value, value_len);
	return 0;
}

static int
head_seen(void *arg, unsigned int status)
{
	struct unix_http *h = arg;

	if (h->location != NULL && expect_redirect(&h->expect, status)) {
		h->redirect = 1;
		return 1;
	}
	decide(
	    h, expect_head(&h->expect, status, h->detail, sizeof(h->detail)));
	return h->decided;
}

static int
body_seen(void *arg, const void *data, size_t len)
{
	struct unix_http *h = arg;

	decide(h,
	    expect_body(&h->expect, h->answer.status, data, len, h->detail,
		sizeof(h->detail)));
	return h->decided;
}

static const struct http_events answer_events = {
    field_seen,
    head_seen,
    body_seen,
};

/* ---- the request ------------------------------------------------------- */

static const char *
method_of(const struct unix_run *run)
{
	return run->as_get ? "GET" : run->check->spec.method;
}

static int
has_field(const struct check_spec *spec, const char *name)
{
	size_t len = strlen(name);
	unsigned int i;

	for (i = 0; i < spec->nfields; i++)
		if (strncasecmp(spec->fields[i], name, len) == 0 &&
		    spec->fields[i][len] == ':')
			return 1;
	return 0;
}

/* The path and query of the request. */
static const char *
path_of(const struct unix_run *run)
{
	if (run->url != NULL)
		return run->url + strlen(ORIGIN);
	return run->check->spec.url;
}

static void
write_request(FILE *f, const struct unix_run *run)
{
	const struct check_spec *spec = &run->check->spec;
	const char *method = method_of(run);
	const char *path = path_of(run);
	unsigned int i;

	(void)fprintf(
	    f, "%s %s%s HTTP/1.1\r\n", method, path[0] == '/' ? "" : "/", path);
	if (!has_field(spec, "Host"))
		(void)fputs("Host: localhost\r\n", f);
	if (!has_field(spec, "User-Agent"))
		(void)fputs("User-Agent: muster\r\n", f);
	if (!has_field(spec, "Accept"))
		(void)fputs("Accept: */*\r\n", f);
	if (!has_field(spec, "Connection"))
		(void)fputs("Connection: close\r\n", f);
	if ((strcmp(method, "POST") == 0 || strcmp(method, "PUT") == 0 ||
		strcmp(method, "PATCH") == 0) &&
	    !has_field(spec, "Content-Length"))
		(void)fputs("Content-Length: 0\r\n", f);
	for (i = 0; i < spec->nfields; i++)
		(void)fprintf(f, "%s\r\n", spec->fields[i]);
	(void)fputs("\r\n", f);
}

static int
make_request(struct unix_run *run)
{
	struct unix_http *h = run->http;
	int failed;
	FILE *f;

	f = open_memstream(&h->request, &h->request_len);
	if (f == NULL)
		return -1;
	write_request(f, run);
	failed = ferror(f);
	if (fclose(f) != 0 || failed)
		return -1;
	return 0;
}

static struct unix_http *
unix_http_new(struct unix_run *run)
{
	struct unix_http *h;

	h = calloc(1, sizeof(*h));
	if (h == NULL)
		return NULL;
	run->http = h;
	expect_begin(&h->expect, &run->check->spec);
	http_answer_init(
	    &h->answer, strcmp(method_of(run), "HEAD") == 0, &answer_events, h);
	if (event_assign(&h->event, loop, run->fd, EV_WRITE, http_cb, run) ==
		-1 ||
	    event_add(&h->event, NULL) == -1 || make_request(run) == -1)
		return NULL;
	return h;
}

/* ---- ends -------------------------------------------------------------- */

/* Where the redirect leads to, as a URL of this socket.  Why not, or NULL. */
static const char *
redirect_target(const struct unix_run *run, char **url)
{
	struct target from;
	struct target to;
	const char *why;
	char *base;

	if (asprintf(&base, "%s%s%s", ORIGIN, path_of(run)[0] == '/' ? "" : "/",
		path_of(run)) == -1)
		return "out of memory";
	why = target_parse(&from, base);
	free(base);
	if (why != NULL)
		return why;
	why = target_follow(&to, &from, run->http->location);
	if (why == NULL && !target_same_origin(&from, &to))
		why = "it leaves the socket";
	if (why == NULL && strncmp(to.url, ORIGIN "/", strlen(ORIGIN) + 1) != 0)
		why = "it leaves the socket";
	target_clear(&from);
	if (why == NULL) {
		*url = to.url;
		to.url = NULL;
	}
	target_clear(&to);
	return why;
}

static void
follow(struct unix_run *run)
{
	unsigned int status = run->http->answer.status;
	char quoted[128];
	char shown[DETAIL_SIZE];
	char text[DETAIL_SIZE];
	const char *why;
	char *url = NULL;

	if (run->hops >= run->check->spec.redirects) {
		(void)snprintf(text, sizeof(text), "more than %u redirects",
		    run->check->spec.redirects);
		unix_finish(run, 0, status, text);
		return;
	}
	why = redirect_target(run, &url);
	if (why != NULL) {
		(void)snprintf(text, sizeof(text), "redirect to %s: %s",
		    text_quote(quoted, sizeof(quoted),
			url_show(shown, sizeof(shown), run->http->location)),
		    why);
		unix_finish(run, 0, status, text);
		return;
	}
	run->hops++;
	if (target_becomes_get(status, run->check->spec.method))
		run->as_get = 1;
	free(run->url);
	run->url = url;
	hang_up(run);
	connect_again(run);
}

static void
fail_errno(struct unix_run *run, int error)
{
	char text[DETAIL_SIZE];

	unix_finish(run, 0, 0, text_error(text, sizeof(text), error));
}

/* Ends the run if the answer says enough.  1: it has ended. */
static int
end_if_known(struct unix_run *run)
{
	struct unix_http *h = run->http;
	char detail[DETAIL_SIZE];

	if (h->redirect) {
		follow(run);
		return 1;
	}
	if (!h->decided && h->answer.state == HTTP_COMPLETE) {
		expect_missing(&h->expect, h->detail, sizeof(h->detail));
		h->decided = 1;
	}
	if (!h->decided && h->answer.state == HTTP_BROKEN) {
		(void)snprintf(
		    h->detail, sizeof(h->detail), "%s", h->answer.problem);
		h->decided = 1;
	}
	if (!h->decided)
		return 0;
	(void)memcpy(detail, h->detail, sizeof(detail));
	unix_finish(run, h->passed, h->answer.status, detail);
	return 1;
}

/* ---- input and output -------------------------------------------------- */

static void
wait_for(struct unix_run *run, short events)
{
	struct unix_http *h = run->http;

	if (event_assign(&h->event, loop, run->fd, events, http_cb, run) ==
		-1 ||
	    event_add(&h->event, NULL) == -1)
		unix_finish(run, 0, 0, "out of memory");
}

static void
send_request(struct unix_run *run)
{
	struct unix_http *h = run->http;
	ssize_t n;

	n = send(run->fd, h->request + h->sent, h->request_len - h->sent,
	    MSG_NOSIGNAL);
	if (n == -1 && errno != EAGAIN && errno != EINTR) {
		fail_errno(run, errno);
		return;
	}
	if (n > 0)
		h->sent += (size_t)n;
	wait_for(run, h->sent < h->request_len ? EV_WRITE : EV_READ);
}

static void
read_answer(struct unix_run *run)
{
	struct unix_http *h = run->http;
	char buf[READ_SIZE];
	ssize_t n;
	int i;

	for (i = 0; i < TURN_READS; i++) {
		n = recv(run->fd, buf, sizeof(buf), 0);
		if (n == -1 && (errno == EAGAIN || errno == EINTR))
			break;
		if (n == -1) {
			fail_errno(run, errno);
			return;
		}
		if (n == 0)
			(void)http_answer_end(&h->answer);
		else
			(void)http_answer_read(&h->answer, buf, (size_t)n);
		if (end_if_known(run))
			return;
	}
	wait_for(run, EV_READ);
}

static void
http_cb(int fd, short events, void *arg)
{
	struct unix_run *run = arg;

	(void)fd;
	if ((events & EV_WRITE) != 0)
		send_request(run);
	else
		read_answer(run);
}

/* ---- the parent's answer ----------------------------------------------- */

/* Only a Unix socket, and never one that blocks us. */
static int
set_up(int fd)
{
	socklen_t len = sizeof(int);
	int domain;
	int flags;

	if (getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &domain, &len) == -1 ||
	    domain != AF_UNIX)
		return -1;
	flags = fcntl(fd, F_GETFL);
	if (flags == -1)
		return -1;
	return fcntl(fd, F_SETFL, flags | O_NONBLOCK);
}

int
unix_connected(uint32_t request, int error, int fd)
{
	struct unix_run key;
	struct unix_run *run;

	if ((error == 0) != (fd != -1) || (fd != -1 && set_up(fd) == -1)) {
		if (fd != -1)
			(void)close(fd);
		return -1;
	}
	(void)memset(&key, 0, sizeof(key));
	key.request = request;
	run = RB_FIND(unix_tree, &asked, &key);
	if (run == NULL) {
		/* It has timed out or was stopped in the meantime. */
		if (fd != -1)
			(void)close(fd);
		return 0;
	}
	forget_request(run);
	run->fd = fd;
	if (error != 0)
		fail_errno(run, error);
	else if (run->check->spec.kind == CHECK_UNIX)
		unix_finish(run, 1, 0, "connected");
	else if (unix_http_new(run) == NULL)
		unix_finish(run, 0, 0, "out of memory");
	return 0;
}

/* ---- attempts ---------------------------------------------------------- */

static void
unix_start(struct check *c)
{
	struct unix_run *run;

	run = calloc(1, sizeof(*run));
	if (run == NULL) {
		check_done(c, 0, 0, "out of memory");
		return;
	}
	run->check = c;
	run->fd = -1;
	c->run = run;
	connect_again(run);
}

static void
unix_stop(struct check *c)
{
	unix_free(c->run);
}

static const char *
unix_waiting(struct check *c)
{
	const struct unix_run *run = c->run;

	if (run->http == NULL)
		return "connecting";
	return run->http->answer.state <= HTTP_FIELDS ?
	    "waiting for the answer" :
	    "reading the body";
}

/* RFC 9112 §3.2.1: what would break the request line cannot be sent. */
static const char *
unix_prepare(struct check *c)
{
	const char *s;

	if (c->spec.kind != CHECK_HTTP_UNIX)
		return NULL;
	for (s = c->spec.url; *s != '\0'; s++)
		if (*s <= ' ' || *s >= 0x7f || *s == '#')
			return "path with a character that must be "
			       "percent-encoded";
	return NULL;
}

const struct prober unix_prober = {
    unix_prepare,
    NULL,
    unix_start,
    unix_stop,
    unix_waiting,
};

void
unix_init(struct event_base *base)
{
	loop = base;
}
