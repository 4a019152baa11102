#include <sys/wait.h>

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <bsd/stdlib.h>

#include "../common/stream.h"
#include "../common/wire.h"
#include "httpd.h"
#include "words.h"

/* What /v1 tells: all from the replica. */

static struct json out;
static TAILQ_HEAD(, waiter) waiters = TAILQ_HEAD_INITIALIZER(waiters);

/* A client of GET /v1/ready?wait=. */
struct waiter {
	TAILQ_ENTRY(waiter) entry;
	struct client *client;
};

static int64_t
wall(void)
{
	struct timespec ts;

	(void)clock_gettime(CLOCK_REALTIME, &ts);
	return (int64_t)ts.tv_sec * 1000000000 + ts.tv_nsec;
}

static void
put_counts(const struct client *c)
{
	struct replica_process p;
	int64_t counts[STATE_COUNT];
	size_t cursor;
	unsigned int i;

	memset(counts, 0, sizeof(counts));
	cursor = 0;
	while (access_next(c, NULL, &cursor, &p))
		counts[p.state]++;
	json_open(&out, '{');
	for (i = 0; i < STATE_COUNT; i++) {
		json_key(&out, process_state_name(i));
		json_int(&out, counts[i]);
	}
	json_close(&out, '{');
}

void
api_v1(struct request *q)
{
	json_begin(&out);
	json_open(&out, '{');
	json_key(&out, "name");
	json_text(&out, "muster");
	json_key(&out, "version");
	json_text(&out, replica.version);
	json_key(&out, "boot");
	json_text(&out, replica.boot);
	json_key(&out, "status");
	json_text(&out, replica.status);
	json_key(&out, "ready");
	json_bool(&out, replica.ready);
	json_key(&out, "pid");
	json_int(&out, replica.pid);
	json_key(&out, "started");
	json_time(&out, replica.started);
	json_key(&out, "counts");
	put_counts(q->client);
	json_close(&out, '{');
	respond_json(q->client, 200, &out);
}

void
api_v1_healthz(struct request *q)
{
	respond(
	    q->client, 200, "text/plain; charset=utf-8", "ok\n", 3, NULL, 0);
}

void
api_v1_openapi(struct request *q)
{
	respond(q->client, 200, "application/json", openapi_json,
	    openapi_json_len(), NULL, 0);
}

/* ---- ready ------------------------------------------------------------ */

static void
answer_ready(struct client *c)
{
	if (!replica.ready) {
		respond_problem(c, 503, "not-ready",
		    replica.shutdown        ? "shutting down" :
			!access_is_whole(c) ? "not ready" :
			replica.missing != NULL && replica.missing[0] != '\0' ?
					      replica.missing :
					      replica.status);
		return;
	}
	json_begin(&out);
	json_open(&out, '{');
	json_key(&out, "ready");
	json_bool(&out, 1);
	json_close(&out, '{');
	respond_json(c, 200, &out);
}

static void
forget_waiter(struct client *c)
{
	struct waiter *next;
	struct waiter *w;

	TAILQ_FOREACH_SAFE (w, &waiters, entry, next)
		if (w->client == c) {
			TAILQ_REMOVE(&waiters, w, entry);
			free(w);
		}
}

/* The time of ?wait= is over, or the client has gone (`manager_forget`). */
static void
ready_timeout(struct client *c, const struct answer *a)
{
	(void)a;
	forget_waiter(c);
	answer_ready(c);
	client_flush(c);
}

void
api_v1_ready_gone(struct client *c)
{
	forget_waiter(c);
}

void
api_v1_ready_changed(void)
{
	struct waiter *next;
	struct waiter *w;
	struct client *c;

	if (TAILQ_EMPTY(&waiters) || (!replica.ready && !replica.shutdown))
		return;
	TAILQ_FOREACH_SAFE (w, &waiters, entry, next) {
		c = w->client;
		TAILQ_REMOVE(&waiters, w, entry);
		free(w);
		answer_ready(c);
		client_flush(c);
	}
}

void
api_v1_ready(struct request *q)
{
	struct waiter *w;
	const char *error;
	char text[32];
	long long seconds;
	int got;

	got = query_get(q->client, q->buf, "wait", text, sizeof(text));
	error = NULL;
	seconds = got == 1 ? strtonum(text, 0, MAX_WAIT, &error) : 0;
	if (got == -1 || error != NULL) {
		respond_problem(q->client, 400, "bad-query",
		    "wait is a number of seconds, 600 at most");
		return;
	}
	if (seconds == 0 || replica.ready || replica.shutdown) {
		answer_ready(q->client);
		return;
	}
	w = calloc(1, sizeof(*w));
	if (w == NULL) {
		answer_ready(q->client);
		return;
	}
	w->client = q->client;
	TAILQ_INSERT_TAIL(&waiters, w, entry);
	q->client->state = CLIENT_WAITING;
	q->client->answer = ready_timeout;
	client_timer(q->client, (unsigned int)seconds);
}

/* ---- processes -------------------------------------------------------- */

static void
put_exit(const struct replica_process *p)
{
	const char *name;
	char text[32];

	json_key(&out, "exit");
	if (!p->ended) {
		json_null(&out);
		return;
	}
	json_open(&out, '{');
	if (WIFSIGNALED(p->status)) {
		name = sigabbrev_np(WTERMSIG(p->status));
		if (name != NULL)
			(void)snprintf(text, sizeof(text), "SIG%s", name);
		else /* a real-time signal, signal(7) */
			(void)snprintf(text, sizeof(text), "SIGRTMIN+%d",
			    WTERMSIG(p->status) - SIGRTMIN);
		json_key(&out, "signal");
		json_text(&out, text);
	} else {
		json_key(&out, "code");
		json_int(&out, WEXITSTATUS(p->status));
	}
	json_key(&out, "time");
	json_time(&out, p->ended_wall);
	json_close(&out, '{');
}

static void
put_stream(const struct replica_process *p, unsigned int number)
{
	const struct stream_cell *cell;

	cell = stream_cell(p, number);
	json_open(&out, '{');
	json_key(&out, "name");
	json_text(&out, number == 1 ? "stdout" : "stderr");
	json_key(&out, "fd");
	json_int(&out, number);
	json_key(&out, "mode");
	json_text(&out, "r");
	json_key(&out, "offset");
	json_int(&out, cell == NULL ? 0 : (int64_t)cell->offset);
	json_key(&out, "dropped");
	json_int(&out, cell == NULL ? 0 : (int64_t)cell->dropped);
	json_close(&out, '{');
}

static void
put_verifier(const struct replica_process *p)
{
	json_key(&out, "verifier");
	if (!p->has_verifier) {
		json_null(&out);
		return;
	}
	json_open(&out, '{');
	json_key(&out, "kind");
	json_string(&out, p->kind, p->kind_len);
	json_key(&out, "attempts");
	json_int(&out, p->attempts);
	json_key(&out, "last");
	json_string(&out, p->last, p->last_len);
	json_key(&out, "elapsed_ms");
	json_int(&out, (int64_t)(p->elapsed / 1000000));
	json_close(&out, '{');
}

static void
put_args(const struct replica_process *p)
{
	struct wire_reader r;
	const char *s;
	size_t len;
	uint32_t i;

	r = p->words;
	json_key(&out, "args");
	json_open(&out, '[');
	for (i = 0; i < p->nwords; i++) {
		s = words_next(&r, &len);
		/* The first word is the program. */
		if (s != NULL && i > 0)
			json_string(&out, s, len);
	}
	json_close(&out, '[');
}

static void
put_times(const struct replica_process *p)
{
	json_key(&out, "started");
	json_time(&out, p->started_wall);
	json_key(&out, "uptime");
	if (p->pid != 0)
		json_seconds(&out, wall() - p->started_wall);
	else
		json_null(&out);
}

static void
put_process(const struct replica_process *p)
{
	json_open(&out, '{');
	json_key(&out, "id");
	json_int(&out, p->id);
	json_key(&out, "pid");
	if (p->pid != 0)
		json_int(&out, p->pid);
	else
		json_null(&out);
	json_key(&out, "name");
	json_string(&out, p->job, p->job_len);
	json_key(&out, "instance");
	json_int(&out, p->instance);
	json_key(&out, "generation");
	json_int(&out, p->generation);
	json_key(&out, "once");
	json_bool(&out, p->once);
	json_key(&out, "state");
	json_text(&out, process_state_name(p->state));
	json_key(&out, "verified");
	json_bool(&out, p->verified);
	put_times(p);
	put_exit(p);
	json_key(&out, "restarts");
	json_int(&out, p->restarts);
	put_verifier(p);
	json_key(&out, "command");
	replica_command(p, &out);
	put_args(p);
	json_key(&out, "cwd");
	if (p->cwd_len == 0)
		json_text(&out, replica.directory);
	else
		json_string(&out, p->cwd, p->cwd_len);
	json_key(&out, "user");
	if (p->user_len == 0)
		json_text(&out, replica.user);
	else
		json_string(&out, p->user, p->user_len);
	if (p->waits_len > 0) {
		json_key(&out, "waiting_for");
		json_string(&out, p->waits, p->waits_len);
	}
	json_key(&out, "streams");
	json_open(&out, '[');
	if (p->streams >= 1)
		put_stream(p, STREAM_STDOUT);
	if (p->streams >= 2)
		put_stream(p, STREAM_STDERR);
	json_close(&out, '[');
	json_close(&out, '{');
}

static const struct json *
row(const struct replica_process *p, int first)
{
	json_begin(&out);
	out.first = first;
	put_process(p);
	return &out;
}

static const struct json *
line(const struct replica_process *p, int first)
{
	(void)row(p, first);
	json_raw(&out, "\n", 1);
	return &out;
}

void
api_v1_processes(struct request *q)
{
	static const struct list_kind rows = {
	    .type = "application/json",
	    .open = "{\"processes\": [",
	    .close = "]}",
	    .row = row,
	};
	static const struct list_kind lines = {
	    .type = "application/x-ndjson",
	    .close = "",
	    .row = line,
	    .lines = 1,
	};
	struct list_kind kind;
	unsigned int wanted;
	int got;

	wanted = accept_quality(q, "application/x-ndjson");
	kind = wanted > 0 && wanted >= accept_quality(q, "application/json") ?
	    lines :
	    rows;
	got = query_get(q->client, q->buf, "job", kind.job, sizeof(kind.job));
	kind.one_job = got == 1;
	if (got == -1)
		respond_problem(q->client, 400, "bad-query", "malformed query");
	else
		list_answer(q->client, &kind);
}

void
api_v1_process(struct request *q)
{
	struct replica_process p;
	const char *error;
	uint32_t id;

	id = (uint32_t)strtonum(q->path.segment[2], 1, UINT32_MAX, &error);
	if (error != NULL || access_find(q->client, id, &p) == -1) {
		respond_problem(q->client, 404, "process-not-found",
		    "there is no such process");
		return;
	}
	json_begin(&out);
	put_process(&p);
	respond_json(q->client, 200, &out);
}
