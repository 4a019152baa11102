#include <sys/socket.h>

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "ctl.h"
#include "transport.h"

/* Requests: each on a connection of its own. */

#define RETRIES 3
#define RETRY_MS 50
#define LONG_SECONDS 3600 /* of one poll(2) */

static int
send_all(struct client *c, const char *p, size_t len)
{
	struct pollfd pfd;
	ssize_t n;

	while (len > 0) {
		n = transport_write(c, p, len);
		if (n == -1 && errno != EAGAIN && errno != EINTR)
			return -1;
		if (n == -1) {
			pfd.fd = c->fd;
			pfd.events = POLLOUT;
			if (poll(&pfd, 1,
				(int)(patience(CONNECT_SECONDS) * 1000)) == 0) {
				errno = ETIMEDOUT;
				return -1;
			}
			continue;
		}
		p += n;
		len -= (size_t)n;
	}
	return 0;
}

/*
 * "Authorization: Bearer TOKEN\r\n", or ""; to be freed.  NULL: complained.
 * A token is never an argument: ps(1) shows these to everybody.
 */
static char *
authorization(void)
{
	const char *token;
	char line[512];
	FILE *f;

	token = environment("MUSTER_TOKEN");
	if (options.token_file != NULL) {
		f = fopen(options.token_file, "re");
		if (f == NULL || fgets(line, sizeof(line), f) == NULL) {
			complain("%s: %s", options.token_file,
			    f == NULL ? reason(errno) : "holds no token");
			if (f != NULL)
				(void)fclose(f);
			return NULL;
		}
		(void)fclose(f);
		line[strcspn(line, "\r\n")] = '\0';
		token = line;
	}
	if (token == NULL || token[0] == '\0')
		return xstrdup("");
	if (token[strspn(token,
		"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
		"0123456789-._~+/=")] != '\0') {
		complain("this is no token");
		return NULL;
	}
	return xasprintf("Authorization: Bearer %s\r\n", token);
}

/* What an address is called in Host. */
static const char *
host_text(void)
{
	const char *host;

	/* A path may be anything. */
	host = endpoint.path[0] != '\0' ? NULL : strstr(endpoint_text(), "://");
	return host == NULL ? "localhost" : host + 3;
}

int
client_open(struct client *c, const char *method, const char *target,
    const char *accept)
{
	char *bearer;
	char *head;
	int error;
	int n;

	c->off = c->len = 0;
	c->ended = 0;
	c->lost = 0;
	c->why = NULL;
	c->tls = NULL;
	http_begin(&c->http);
	c->fd = -1;
	errno = 0;
	silent = 0;
	bearer = authorization();
	if (bearer == NULL)
		return -1;
	c->fd = endpoint_connect(&endpoint);
	if (c->fd == -1 || transport_begin(c) == -1) {
		error = errno;
		client_close(c);
		free(bearer);
		errno = error;
		return -1;
	}
	head = xasprintf("%s %s HTTP/1.1\r\n"
			 "Host: %s\r\n"
			 "User-Agent: musterctl/" MUSTER_VERSION "\r\n"
			 "Accept: %s\r\n"
			 "%s"
			 "Connection: close\r\n\r\n",
	    method, target, host_text(), accept, bearer);
	n = send_all(c, head, strlen(head));
	error = errno;
	free(head);
	free(bearer);
	/* What it answered before it hung up counts. */
	if (n == 0 || error == EPIPE || error == ECONNRESET)
		return 0;
	client_close(c);
	errno = error;
	return -1;
}

void
client_close(struct client *c)
{
	if (c->fd == -1)
		return;
	transport_end(c);
	(void)close(c->fd);
	c->fd = -1;
}

int
client_fill(struct client *c)
{
	ssize_t n;

	if (c->off < c->len)
		return 1;
	c->off = c->len = 0;
	n = transport_read(c, c->in, sizeof(c->in));
	if (n > 0) {
		c->len = (size_t)n;
		return 1;
	}
	if (n == -1 && (errno == EAGAIN || errno == EINTR))
		return 0;
	if (n == 0 && http_eof(&c->http) == 0) {
		c->ended = 1;
		return 1;
	}
	c->why = n == 0 ? c->http.why : "the connection was lost";
	c->lost = 1;
	return -1;
}

int
client_take(struct client *c, const char **body, size_t *len)
{
	const char *in;
	size_t left;
	enum http_result r;

	if (c->ended)
		return 2;
	in = c->in + c->off;
	left = c->len - c->off;
	r = http_feed(&c->http, &in, &left, body, len);
	c->off = c->len - left;
	switch (r) {
	case HTTP_MORE:
		return 0;
	case HTTP_BODY:
		return 1;
	case HTTP_END:
		c->ended = 1;
		return 2;
	case HTTP_BAD:
		break;
	}
	c->why = c->http.why;
	return -1;
}

int
client_wait(const struct client *c, double deadline)
{
	struct pollfd pfd;
	double left;

	if (c->off < c->len || c->ended)
		return 1;
	pfd.fd = c->fd;
	pfd.events = POLLIN;
	do {
		left = deadline < 0 ? LONG_SECONDS : deadline - monotonic();
		if (left > LONG_SECONDS)
			left = LONG_SECONDS;
		if (poll(&pfd, 1, left > 0 ? (int)(left * 1000) + 1 : 0) > 0)
			return 1;
	} while (deadline < 0 || monotonic() < deadline);
	return 0;
}

/* ---- whole answers ------------------------------------------------------- */

static int
append(struct reply *r, size_t *size, const char *body, size_t len)
{
	if (len > MAX_ANSWER - r->len)
		return -1;
	if (len == 0)
		return 0;
	if (r->body == NULL || r->len + len > *size) {
		*size = *size * 2 + len + 4096;
		r->body = xreallocarray(r->body, *size, 1);
	}
	memcpy(r->body + r->len, body, len);
	r->len += len;
	return 0;
}

static int
useless(const char *why, int loud)
{
	if (loud)
		complain("the answer of %s cannot be used: %s", endpoint_text(),
		    why);
	return CTL_FAILED;
}

/* Reads to the end: NULL, or why not. */
static const char *
read_all(struct client *c, struct reply *reply, double deadline)
{
	const char *body;
	size_t len;
	size_t size;
	int n;

	size = 0;
	while ((n = client_take(c, &body, &len)) != 2) {
		if (n == -1)
			return c->why;
		if (n == 1) {
			if (append(reply, &size, body, len) == -1)
				return "it is too large";
			continue;
		}
		if (!client_wait(c, deadline)) {
			silent = 1;
			return "it takes too long";
		}
		if (client_fill(c) == -1)
			return c->why;
	}
	return NULL;
}

int
client_finish(struct client *c, struct reply *reply, double deadline)
{
	memset(reply, 0, sizeof(*reply));
	c->why = read_all(c, reply, deadline);
	client_close(c);
	if (c->why != NULL) {
		reply_free(reply);
		return silent ? no_answer(0) :
		    c->lost   ? CTL_UNREACHABLE :
				CTL_FAILED;
	}
	reply->status = c->http.status;
	if (strcmp(c->http.type, "application/json") == 0 ||
	    strcmp(c->http.type, "application/problem+json") == 0)
		reply->json = json_loadb(reply->body == NULL ? "" : reply->body,
		    reply->len, JSON_REJECT_DUPLICATES, NULL);
	return CTL_OK;
}

int
request(struct reply *reply, const char *method, const char *target,
    double seconds, int loud)
{
	struct client *c;
	double deadline;
	unsigned int again;
	int code;

	memset(reply, 0, sizeof(*reply));
	deadline = monotonic() + patience(seconds);
	c = xreallocarray(NULL, 1, sizeof(*c));
	/* muster-httpd may be replaced; to ask again changes nothing. */
	again = strcmp(method, "GET") == 0 ? RETRIES : 0;
	for (;; again--) {
		if (client_open(c, method, target, "application/json") == -1) {
			code = unreachable(errno, loud);
			break;
		}
		code = client_finish(c, reply, deadline);
		if (code == CTL_OK)
			break;
		if (silent) {
			(void)no_answer(loud);
			break;
		}
		if (!c->lost || again == 0) {
			(void)useless(c->why, loud);
			break;
		}
		(void)poll(NULL, 0, RETRY_MS);
	}
	free(c);
	return code;
}

int
request_raw(struct reply *reply, const char *target)
{
	struct client *c;
	int code;

	memset(reply, 0, sizeof(*reply));
	c = xreallocarray(NULL, 1, sizeof(*c));
	code = client_open(c, "GET", target, "application/octet-stream");
	if (code == 0)
		code = client_finish(
		    c, reply, monotonic() + patience(ANSWER_SECONDS));
	free(c);
	if (code == 0 && reply->status == 200)
		return 0;
	reply_free(reply);
	return -1;
}

void
reply_free(struct reply *reply)
{
	if (reply->json != NULL)
		json_decref(reply->json);
	free(reply->body);
	memset(reply, 0, sizeof(*reply));
}

const char *
reply_text(const struct reply *reply)
{
	static char status[32];
	const char *text;

	text = json_string_value(json_object_get(reply->json, "detail"));
	if (text == NULL)
		text = json_string_value(json_object_get(
		    json_object_get(reply->json, "error"), "message"));
	if (text != NULL && text[0] != '\0')
		return text;
	(void)snprintf(status, sizeof(status), "HTTP status %d", reply->status);
	return status;
}

int
reply_refused(const struct reply *reply)
{
	/* pymanager's 403, with "success", is about what it does just now. */
	if (reply->status == 401 ||
	    (reply->status == 403 &&
		json_object_get(reply->json, "success") == NULL)) {
		complain("%s: %s", endpoint_text(), reply_text(reply));
		return CTL_DENIED;
	}
	complain("%s", reply_text(reply));
	return reply->status == 404 ? CTL_UNKNOWN : CTL_FAILED;
}

int
strange_answer(int loud)
{
	return useless("it is not what musterd says", loud);
}

json_t *
get_object(const char *target, int loud, int *code)
{
	struct reply reply;
	json_t *json;

	json = NULL;
	*code = request(&reply, "GET", target, ANSWER_SECONDS, loud);
	if (*code != CTL_OK)
		return NULL;
	if (reply.status != 200)
		*code = reply_refused(&reply);
	else if (!json_is_object(reply.json))
		*code = strange_answer(loud);
	else
		json = json_incref(reply.json);
	reply_free(&reply);
	return json;
}
