#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "../common/log.h"
#include "../common/url.h"
#include "http.h"

/*
 * Attempts over HTTP with libcurl.
 *
 * A run is an attempt with its libcurl handle.  Finished runs are kept in a
 * small pool, because a handle is dear; a handle in use costs 10 KB.  The
 * connections are libcurl's own and outlive the runs.
 *
 * An attempt is decided as soon as what it was asked for is known, mostly
 * when the head is complete.  The run then goes on alone for a moment, so
 * that the rest of the answer is read and the connection can be used again.
 *
 * libcurl never looks up a name: each name is resolved by the resolver and
 * given to it as CURLOPT_RESOLVE; where it would start its resolver, which
 * needs threads and files, it is told not to.
 */

#define POOL_MAX 64 /* runs kept for later */
#define DRAINS_MAX 256 /* decided runs that still read */
#define DRAIN_SECONDS 1
#define CONNECT_MS 1000 /* for an address that is not the last */
#define MAX_HEAD (64UL * 1024) /* bytes of head, all answers together */

TAILQ_HEAD(run_list, http_run);

static struct run_list pool = TAILQ_HEAD_INITIALIZER(pool);
static struct run_list drains = TAILQ_HEAD_INITIALIZER(drains);
static unsigned int npool;
static unsigned int ndrains;
static struct event drain_timer;

static void http_begin(struct http_run *);

/* ---- runs -------------------------------------------------------------- */

static void
run_destroy(struct http_run *run)
{
	curl_easy_cleanup(run->easy);
	free(run);
}

/* Back into the pool, or away.  It is not active, and no list has it. */
static void
run_release(struct http_run *run)
{
	(void)curl_easy_setopt(run->easy, CURLOPT_HTTPHEADER, NULL);
	(void)curl_easy_setopt(run->easy, CURLOPT_RESOLVE, NULL);
	curl_slist_free_all(run->resolve);
	run->resolve = NULL;
	target_clear(&run->hop);
	expect_end(&run->expect);
	free(run->location);
	run->location = NULL;
	http_check_unref(run->http);
	run->http = NULL;
	run->check = NULL;
	if (npool >= POOL_MAX) {
		run_destroy(run);
		return;
	}
	TAILQ_INSERT_HEAD(&pool, run, entry);
	npool++;
}

/* Stops reading the rest of an answer. */
static void
drain_stop(struct http_run *run)
{
	TAILQ_REMOVE(&drains, run, entry);
	ndrains--;
	if (ndrains == 0)
		(void)evtimer_del(&drain_timer);
	if (run->active)
		http_loop_remove(run->easy, run->shard);
	run->active = 0;
	run_release(run);
}

static void
drain_later(void)
{
	static const struct timeval tv = {DRAIN_SECONDS, 0};

	if (ndrains > 0 && !evtimer_pending(&drain_timer, NULL))
		(void)evtimer_add(&drain_timer, &tv);
}

static void
drain_cb(int fd, short events, void *arg)
{
	struct http_run *run;
	uint64_t now;

	(void)fd;
	(void)events;
	(void)arg;
	now = now_ns();
	while ((run = TAILQ_FIRST(&drains)) != NULL && run->drain_end <= now)
		drain_stop(run);
	drain_later();
	http_loop_flush();
}

/* The attempt is decided; the run is alone from now on. */
static void
detach(struct http_run *run)
{
	run->check->run = NULL;
	run->check = NULL;
	run->drain_end = now_ns() + DRAIN_SECONDS * SECOND;
	TAILQ_INSERT_TAIL(&drains, run, entry);
	ndrains++;
	drain_later();
}

/* The attempt is decided and libcurl has nothing to do for it. */
static void
finish(struct http_run *run, int passed, unsigned int status, const char *text)
{
	struct check *c;

	c = run->check;
	c->run = NULL;
	run_release(run);
	check_done(c, passed, status, "%s", text);
}

/* ---- what libcurl hands us --------------------------------------------- */

static unsigned int
answer_status(const struct http_run *run)
{
	long status = 0;

	(void)curl_easy_getinfo(run->easy, CURLINFO_RESPONSE_CODE, &status);
	return status >= 0 && status <= 999 ? (unsigned int)status : 0;
}

/* Called from within libcurl: the run must stay. */
static void
decide(struct http_run *run, enum expect_result result, const char *detail)
{
	struct check *c;

	if (result == EXPECT_MORE)
		return;
	c = run->check;
	detach(run);
	check_done(
	    c, result == EXPECT_PASSED, answer_status(run), "%s", detail);
}

/* The head of an answer is complete. */
static void
head_done(struct http_run *run)
{
	char detail[DETAIL_SIZE];
	unsigned int status;

	run->in_head = 0;
	status = answer_status(run);
	if (status < 200)
		return;
	run->answered = 1;
	if (run->location != NULL && expect_redirect(&run->expect, status)) {
		run->redirect = 1;
		return;
	}
	decide(run, expect_head(&run->expect, status, detail, sizeof(detail)),
	    detail);
}

static void
take_location(struct http_run *run, const char *line, size_t len)
{
	const char *value = line + 9;

	if (run->location != NULL || len < 9 ||
	    strncasecmp(line, "Location:", 9) != 0)
		return;
	while (len > 9 &&
	    (line[len - 1] == '\n' || line[len - 1] == '\r' ||
		line[len - 1] == ' '))
		len--;
	while (value < line + len && *value == ' ')
		value++;
	/* One that is too long or has a NUL is refused by target_follow(). */
	run->location = strndup(value, (size_t)(line + len - value));
}

/* CURLOPT_HEADERFUNCTION: a line of a head, or of a trailer. */
static size_t
header_cb(char *line, size_t size, size_t n, void *arg)
{
	struct http_run *run = arg;
	size_t len = size * n;

	run->head_len += len;
	if (run->head_len > MAX_HEAD)
		return 0;
	if (run->check == NULL || run->answered)
		return len;
	if (!run->in_head) {
		expect_begin(&run->expect, &run->check->spec);
		free(run->location);
		run->location = NULL;
		run->in_head = 1;
		return len;
	}
	if (len <= 2 && (line[0] == '\r' || line[0] == '\n')) {
		head_done(run);
		return len;
	}
	take_location(run, line, len);
	expect_line(&run->expect, line, len);
	return len;
}

/* CURLOPT_WRITEFUNCTION */
static size_t
body_cb(char *data, size_t size, size_t n, void *arg)
{
	struct http_run *run = arg;
	char detail[DETAIL_SIZE];
	size_t len = size * n;

	if (run->check != NULL && !run->redirect) {
		decide(run,
		    expect_body(&run->expect, answer_status(run), data, len,
			detail, sizeof(detail)),
		    detail);
		return len;
	}
	run->drained += len;
	return run->drained > MAX_BODY ? 0 : len;
}

static struct http_run *
run_new(void)
{
	struct http_run *run;

	run = TAILQ_FIRST(&pool);
	if (run != NULL) {
		TAILQ_REMOVE(&pool, run, entry);
		npool--;
		return run;
	}
	run = calloc(1, sizeof(*run));
	if (run == NULL)
		return NULL;
	run->easy = curl_easy_init();
	if (run->easy == NULL) {
		free(run);
		return NULL;
	}
	http_handle_init(run, header_cb, body_cb);
	return run;
}

/* ---- attempts ---------------------------------------------------------- */

static const struct target *
current_target(const struct http_run *run)
{
	return run->hop.url != NULL ? &run->hop : &run->http->target;
}

/*
 * An address that does not answer may not take all the time when there are
 * others.  0: as long as the attempt.
 */
static long
connect_time(const struct http_run *run)
{
	uint64_t left;
	uint64_t ms;
	uint64_t spent;

	left = run->naddresses - run->ntried;
	if (left <= 1)
		return 0;
	spent = now_ns() - run->check->started;
	if (spent >= run->check->spec.timeout)
		return 1;
	ms = (run->check->spec.timeout - spent) / left / MILLISECOND;
	return ms < 1 ? 1 : ms > CONNECT_MS ? CONNECT_MS : (long)ms;
}

/* Starts the request, to the next address if there are several. */
static void
http_request(struct http_run *run)
{
	const struct address *address = NULL;
	const struct target *target;
	long ms;

	target = current_target(run);
	ms = connect_time(run);
	if (run->naddresses > 0)
		address = &run->addresses[(run->http->first + run->ntried++) %
		    run->naddresses];
	if (http_handle_address(run, target, address, ms) == -1) {
		finish(run, 0, 0, "out of memory");
		return;
	}
	run->error[0] = '\0';
	run->state.open_error = 0;
	run->state.connected = 0;
	run->in_head = 0;
	run->answered = 0;
	run->redirect = 0;
	run->head_len = 0;
	run->drained = 0;
	http_handle_request(run, target);
	run->shard = http_loop_add(run->easy, target->host, target->port);
	if (run->shard == -1) {
		finish(run, 0, 0, "out of memory");
		return;
	}
	run->active = 1;
}

/* Resolves and starts the request, or waits for the resolver. */
static void
http_begin(struct http_run *run)
{
	char text[DETAIL_SIZE];
	struct addresses answer;
	const struct target *target;

	target = current_target(run);
	run->connect_error = 0;
	run->naddresses = 0;
	run->ntried = 0;
	if (!target->literal) {
		if (!resolve_start(run->check, target->host, &answer))
			return;
		if (answer.error != 0) {
			(void)resolve_problem(
			    text, sizeof(text), target->host, &answer);
			finish(run, 0, 0, text);
			return;
		}
		run->naddresses = answer.count;
		(void)memcpy(run->addresses, answer.list,
		    answer.count * sizeof(*answer.list));
	}
	http_request(run);
}

static void
http_start(struct check *c)
{
	struct http_run *run;

	if (c->run == NULL) {
		run = run_new();
		if (run == NULL) {
			check_done(c, 0, 0, "out of memory");
			return;
		}
		run->check = c;
		run->http = c->http;
		run->http->references++;
		run->hops = 0;
		run->as_get = 0;
		run->foreign = 0;
		c->run = run;
	}
	http_begin(c->run);
}

static void
http_stop(struct check *c)
{
	struct http_run *run = c->run;

	resolve_stop(c);
	c->run = NULL;
	if (run->active)
		http_loop_remove(run->easy, run->shard);
	run->active = 0;
	run_release(run);
}

static const char *
http_waiting(struct check *c)
{
	const struct http_run *run = c->run;

	if (!run->active)
		return "resolving the name";
	if (run->answered)
		return "reading the body";
	return run->state.connected ? "waiting for the answer" : "connecting";
}

const struct prober http_prober = {
    http_check_prepare,
    http_check_forget,
    http_start,
    http_stop,
    http_waiting,
};

/* ---- ends -------------------------------------------------------------- */

static void
follow(struct http_run *run)
{
	char quoted[128];
	char shown[DETAIL_SIZE];
	char text[DETAIL_SIZE];
	struct target next;
	const char *why;
	unsigned int status;

	status = answer_status(run);
	if (run->hops >= run->check->spec.redirects) {
		(void)snprintf(text, sizeof(text), "more than %u redirects",
		    run->check->spec.redirects);
		finish(run, 0, status, text);
		return;
	}
	why = target_follow(&next, current_target(run), run->location);
	if (why != NULL) {
		(void)snprintf(text, sizeof(text), "redirect to %s: %s",
		    text_quote(quoted, sizeof(quoted),
			url_show(shown, sizeof(shown), run->location)),
		    why);
		finish(run, 0, status, text);
		return;
	}
	run->hops++;
	if (target_becomes_get(status, run->check->spec.method))
		run->as_get = 1;
	target_clear(&run->hop);
	run->hop = next;
	if (!target_same_origin(&run->http->target, &run->hop))
		run->foreign = 1;
	http_begin(run);
}

/* It did not connect: is there another address to try? */
static int
next_address(struct http_run *run, CURLcode code)
{
	if (run->state.connected ||
	    (code != CURLE_COULDNT_CONNECT && code != CURLE_OPERATION_TIMEDOUT))
		return 0;
	http_note_error(run, code);
	return run->ntried < run->naddresses;
}

/* http_ended_fn */
static void
http_ended(struct http_loop_state *state, CURLcode code)
{
	struct http_run *run = (struct http_run *)state;
	char text[DETAIL_SIZE];

	run->active = 0;
	if (run->check == NULL) {
		drain_stop(run);
		return;
	}
	if (run->redirect) {
		follow(run);
		return;
	}
	if (next_address(run, code)) {
		http_request(run);
		return;
	}
	if (code != CURLE_OK)
		http_describe(run, code, text, sizeof(text));
	else if (run->answered)
		expect_missing(&run->expect, text, sizeof(text));
	else
		(void)snprintf(text, sizeof(text), "not an HTTP answer");
	finish(run, 0, run->answered ? answer_status(run) : 0, text);
}

void
http_flush(void)
{
	http_loop_flush();
	/* Not from within libcurl, where they are made. */
	while (ndrains > DRAINS_MAX)
		drain_stop(TAILQ_FIRST(&drains));
}

void
http_prepare(struct event_base *base, unsigned int connections)
{
	http_loop_init(base, connections, http_ended);
	if (evtimer_assign(&drain_timer, base, drain_cb, NULL) == -1)
		fatalx("evtimer_assign failed");
}
