#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "ctl.h"

/*
 * Streams of processes as NDJSON.  A connection that is lost is made again
 * at the offset that was reached: muster-httpd may be replaced at any time.
 */

#define FIRST_PAUSE 0.05
#define DOUBLINGS 5 /* of the pause: up to 1.6 s */
#define RETRIES 20 /* of a stream that is not followed */

/* ---- events -----------------------------------------------------------------
 */

static void
print_event(struct feed *f, struct event *e)
{
	(void)json_object_set_new(
	    e->json, "name", json_string(f->process->name));
	(void)json_dumpf(e->json, stdout,
	    JSON_COMPACT | JSON_ENSURE_ASCII | JSON_REAL_PRECISION(12));
	(void)putchar('\n');
}

/*
 * What is kept seldom begins where a line does: it is shown from the next one
 * on, if that is near.
 */
static void
print_output(struct feed *f, const char *data, size_t len)
{
	const char *end;

	end = f->torn ? memchr(data, '\n', len) : NULL;
	f->torn = 0;
	if (end != NULL) {
		len -= (size_t)(end + 1 - data);
		data = end + 1;
	}
	printer_write(&f->printer, stdout, data, len);
}

static int
take_event(struct feed *f, const char *line, size_t len)
{
	struct event e;

	if (event_read(&e, line, len) == -1) {
		event_free(&e);
		return -1;
	}
	f->complete = 0;
	if (options.json)
		print_event(f, &e);
	else if (e.kind == EVENT_IO)
		print_output(f, e.data, e.len);
	/* What was dropped before we came is no news. */
	if (e.kind == EVENT_GAP && !f->begun)
		f->torn = 1;
	else if (e.kind == EVENT_GAP)
		note("%s: %llu bytes of %s are lost", f->process->label,
		    (unsigned long long)e.lost, f->stream);
	if (e.kind == EVENT_IO)
		f->failures = 0;
	if (e.kind == EVENT_IO || e.kind == EVENT_EOF) {
		f->next = e.offset + e.len;
		f->lines = 0;
		f->begun = 1;
	}
	event_free(&e);
	return 0;
}

static void
keep(struct feed *f, const char *s, size_t len)
{
	if (len == 0)
		return;
	if (f->line_len + len > f->line_size) {
		f->line_size = f->line_len + len + 4096;
		f->line = xreallocarray(f->line, f->line_size, 1);
	}
	memcpy(f->line + f->line_len, s, len);
	f->line_len += len;
}

/* Bytes of NDJSON; 0, or -1: they are none. */
static int
take_bytes(struct feed *f, const char *s, size_t len)
{
	const char *end;
	size_t n;
	int bad;

	while ((end = memchr(s, '\n', len)) != NULL) {
		n = (size_t)(end - s);
		keep(f, s, n);
		bad = f->line_len > 0 && take_event(f, f->line, f->line_len);
		f->line_len = 0;
		if (bad)
			return -1;
		s += n + 1;
		len -= n + 1;
	}
	if (f->line_len + len > MAX_EVENT)
		return -1;
	keep(f, s, len);
	return 0;
}

/* ---- one connection
 * ----------------------------------------------------------- */

static int
feed_open(struct feed *f, int follow)
{
	char target[160];

	if (f->lines > 0)
		(void)snprintf(target, sizeof(target),
		    "/v1/processes/%u/streams/%s?lines=%lld%s", f->process->id,
		    f->stream, f->lines, follow ? "&follow=1" : "");
	else
		(void)snprintf(target, sizeof(target),
		    "/v1/processes/%u/streams/%s?since=%llu%s", f->process->id,
		    f->stream, (unsigned long long)f->next,
		    follow ? "&follow=1" : "");
	f->line_len = 0;
	if (f->client == NULL)
		f->client = xreallocarray(NULL, 1, sizeof(*f->client));
	if (client_open(f->client, "GET", target, "application/x-ndjson") == 0)
		return 0;
	free(f->client);
	f->client = NULL;
	return -1;
}

static void
feed_close(struct feed *f)
{
	if (f->client == NULL)
		return;
	client_close(f->client);
	free(f->client);
	f->client = NULL;
}

/*
 * Takes all that has come: 0 more may, 1 that was its end, -1 the connection
 * is lost, 2 the answer is no stream (its status), or nonsense (200).
 */
static int
feed_take(struct feed *f)
{
	const char *body;
	size_t len;
	int n;

	if (client_fill(f->client) == -1)
		return -1;
	while ((n = client_take(f->client, &body, &len)) == 1) {
		if (f->client->http.status != 200)
			return 2;
		if (take_bytes(f, body, len) == -1)
			return 2;
	}
	if (n == 2 && f->client->http.status != 200)
		return 2;
	return n == 2 ? 1 : n == -1 ? 2 : 0;
}

void
feed_free(struct feed *f)
{
	feed_close(f);
	free(f->label);
	free(f->line);
	free(f->printer.held);
	memset(f, 0, sizeof(*f));
}

/* The answer is no stream: an exit code, told; CTL_OK: it has gone. */
static int
refused(const struct feed *f)
{
	int status;

	status = f->client->http.status;
	if (f->client->http.has_head && status == 404)
		return CTL_OK;
	if (status == 401 || status == 403) {
		complain("%s: not allowed", endpoint_text());
		return CTL_DENIED;
	}
	if (f->client->http.has_head && status != 200)
		complain("%s: HTTP status %d", f->process->label, status);
	else
		return strange_answer(1);
	return CTL_FAILED;
}

int
feed_read(struct feed *f)
{
	int code;
	int late;
	int n;
	unsigned int tries;

	late = 0;
	for (tries = 0; !late; tries++) {
		if (feed_open(f, 0) == -1)
			return unreachable(errno, 1);
		do {
			n = client_wait(
			    f->client, monotonic() + ANSWER_SECONDS);
			late = n == 0;
			n = late ? -1 : feed_take(f);
		} while (n == 0);
		if (n != -1 || late || tries == RETRIES)
			break;
		(void)poll(NULL, 0, 50);
	}
	code = n == 2 ? refused(f) : CTL_OK;
	if (late)
		code = no_answer(1);
	else if (n == -1) {
		complain("the connection to %s is lost", endpoint_text());
		code = CTL_UNREACHABLE;
	}
	feed_close(f);
	printer_end(&f->printer, stdout);
	return code;
}

/* ---- all at once
 * ------------------------------------------------------------------ */

struct follow {
	struct feed *feeds;
	struct pollfd *pfds; /* [0] standard output */
	const char *boot;
	double lost; /* since when nobody answers, 0: not so */
	size_t n;
};

char *
boot_get(int loud, int *code)
{
	const char *boot;
	json_t *json;
	char *copy;

	json = get_object("/v1", loud, code);
	if (json == NULL)
		return NULL;
	boot = json_string_value(json_object_get(json, "boot"));
	copy = boot == NULL ? NULL : xstrdup(boot);
	if (copy == NULL)
		*code = strange_answer(loud);
	json_decref(json);
	return copy;
}

static void
later(struct feed *f)
{
	unsigned int times;

	times = f->failures < DOUBLINGS ? f->failures : DOUBLINGS;
	f->again = monotonic() + FIRST_PAUSE * (double)(1U << times);
	f->failures++;
}

/*
 * Nobody answers: CTL_OK while that may pass, or an exit code, told.  It is
 * also CTL_OK if all streams had come to their end before: then musterd was
 * shut down, and all is done.
 */
static int
lost(struct follow *w, int error)
{
	size_t i;

	if (error == EACCES)
		return unreachable(error, 1);
	if (w->lost == 0)
		w->lost = monotonic();
	if (monotonic() - w->lost < GONE_SECONDS)
		return CTL_OK;
	for (i = 0; i < w->n; i++)
		if (!w->feeds[i].complete && !w->feeds[i].done)
			return unreachable(error, 1);
	for (i = 0; i < w->n; i++)
		w->feeds[i].done = 1;
	note("musterd has ended");
	return CTL_OK;
}

/* CTL_OK, an exit code, or -1: another musterd answers. */
static int
connect_again(struct follow *w, struct feed *f)
{
	char *boot;
	int code;
	int same;

	if (f->failures > 0) {
		boot = boot_get(0, &code);
		if (boot == NULL && code != CTL_UNREACHABLE)
			return strange_answer(1);
		same = boot != NULL && strcmp(boot, w->boot) == 0;
		if (boot != NULL && !same) {
			free(boot);
			return -1;
		}
		free(boot);
	}
	if (feed_open(f, 1) == -1) {
		code = lost(w, errno);
		later(f);
		return code;
	}
	w->lost = 0;
	return CTL_OK;
}

static int
readable(struct feed *f)
{
	int code;
	int n;

	n = feed_take(f);
	if (n == 0)
		return CTL_OK;
	code = n == 2 ? refused(f) : CTL_OK;
	feed_close(f);
	if (n == 2) {
		f->done = 1;
		printer_end(&f->printer, stdout);
		return code;
	}
	if (n == 1)
		f->complete = 1;
	later(f);
	return CTL_OK;
}

/* Milliseconds until the next connection, -1: for ever; -2: all are done. */
static int
fill_pollfds(struct follow *w)
{
	const struct feed *f;
	double first;
	size_t i;
	int left;

	w->pfds[0].fd = STDOUT_FILENO;
	w->pfds[0].events = 0;
	first = 0;
	left = 0;
	for (i = 0; i < w->n; i++) {
		f = &w->feeds[i];
		w->pfds[i + 1].fd = f->client == NULL ? -1 : f->client->fd;
		w->pfds[i + 1].events = POLLIN;
		w->pfds[i + 1].revents = 0;
		left |= !f->done;
		if (!f->done && f->client == NULL &&
		    (first == 0 || f->again < first))
			first = f->again;
	}
	if (!left)
		return -2;
	if (first == 0)
		return -1;
	first -= monotonic();
	return first > 0 ? (int)(first * 1000) + 1 : 0;
}

static int
turn(struct follow *w)
{
	struct feed *f;
	size_t i;
	int code;

	code = CTL_OK;
	for (i = 0; i < w->n && code == CTL_OK; i++) {
		f = &w->feeds[i];
		if (f->done)
			continue;
		if (f->client == NULL && f->again <= monotonic())
			code = connect_again(w, f);
		else if (f->client != NULL && w->pfds[i + 1].revents != 0)
			code = readable(f);
	}
	if (fflush(stdout) != 0)
		return CTL_FAILED;
	return code;
}

int
feeds_follow(struct feed *feeds, size_t n, const char *boot)
{
	struct follow w;
	int code;
	int timeout;

	memset(&w, 0, sizeof(w));
	w.feeds = feeds;
	w.n = n;
	w.boot = boot;
	w.pfds = xreallocarray(NULL, n + 1, sizeof(*w.pfds));
	memset(w.pfds, 0, (n + 1) * sizeof(*w.pfds));
	for (;;) {
		code = turn(&w);
		timeout = fill_pollfds(&w);
		if (code != CTL_OK || timeout == -2)
			break;
		if (poll(w.pfds, (nfds_t)n + 1, timeout) == -1 &&
		    errno != EINTR) {
			complain("poll: %s", reason(errno));
			code = CTL_FAILED;
			break;
		}
		/* Its reader has gone, though nothing is to be written. */
		if (w.pfds[0].revents & (POLLERR | POLLHUP))
			(void)raise(SIGPIPE);
	}
	free(w.pfds);
	return code;
}
