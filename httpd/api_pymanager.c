#include <sys/wait.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <bsd/stdlib.h>

#include "httpd.h"

/*
 * pymanager's four endpoints, byte for byte in their bodies.  Its id is what
 * Python's int() takes; ours are 1, 2, 3 …
 */

static struct json out;

/* pymanager's number: exit code, or minus the signal. */
static int
code_of(int32_t status)
{
	return WIFSIGNALED(status) ? -WTERMSIG(status) : WEXITSTATUS(status);
}

static void
put_process(const struct replica_process *p)
{
	int running;

	running = p->pid != 0 || !p->ended;
	json_open(&out, '{');
	json_key(&out, "id");
	json_int(&out, p->id);
	json_key(&out, "command");
	replica_command(p, &out);
	json_key(&out, "status");
	json_text(&out, running ? "running" : "terminated");
	if (running) {
		json_key(&out, "pid");
		json_int(&out, p->pid);
	} else {
		json_key(&out, "code");
		json_int(&out, code_of(p->status));
	}
	json_close(&out, '{');
}

static void
fail(struct client *c, int status, const char *message)
{
	static const struct http_extra retry = {"Retry-After", "1"};

	json_begin(&out);
	json_open(&out, '{');
	json_key(&out, "success");
	json_bool(&out, 0);
	json_key(&out, "error");
	json_open(&out, '{');
	json_key(&out, "message");
	json_text(&out, message);
	json_close(&out, '{');
	json_close(&out, '{');
	if (status == 503 && !out.failed)
		respond(c, status, "application/json", out.data, out.len,
		    &retry, 1);
	else
		respond_json(c, status, &out);
}

static void
lost(struct client *c)
{
	fail(c, 503, "The manager is being replaced; try again.");
}

void
api_status(struct request *q)
{
	json_begin(&out);
	json_open(&out, '{');
	json_key(&out, "status");
	json_text(&out, replica.status);
	json_close(&out, '{');
	respond_json(q->client, 200, &out);
}

static const struct json *
row(const struct replica_process *p, int first)
{
	json_begin(&out);
	out.first = first;
	put_process(p);
	return &out;
}

static void
list(struct client *c)
{
	struct replica_process p;
	struct list_kind kind = {
	    .type = "application/json",
	    .close = "]}",
	    .row = row,
	    .listed = 1,
	    .sized = 1, /* HEAD tells it, as pymanager's does */
	};
	unsigned int count;
	size_t cursor;

	count = 0;
	cursor = 0;
	while (access_next(c, NULL, &cursor, &p))
		count += p.listed;
	(void)snprintf(kind.open, sizeof(kind.open),
	    "{\"count\": %u, \"processes\": [", count);
	list_answer(c, &kind);
}

static void
shutdown_answer(struct client *c, const struct answer *a)
{
	if (a == NULL) {
		lost(c);
		return;
	}
	if (a->status != 200) {
		fail(c, a->status, a->detail);
		return;
	}
	json_begin(&out);
	json_open(&out, '{');
	json_key(&out, "success");
	json_bool(&out, 1);
	json_close(&out, '{');
	respond_json(c, 200, &out);
}

void
api_root(struct request *q)
{
	if (replica.shutdown) {
		fail(q->client, 403, "Process is in shutdown.");
		return;
	}
	if (q->client->req.method != HTTP_METHOD_DELETE) {
		list(q->client);
		return;
	}
	if (!access_is_whole(q->client)) {
		refusal_audit(q->client, REQUEST_SHUTDOWN, "", 403);
		fail(q->client, 403, "This token is not for all jobs.");
		return;
	}
	if (manager_request(q->client, REQUEST_SHUTDOWN, "", shutdown_answer) ==
	    -1)
		lost(q->client);
}

/* ---- restart ---------------------------------------------------------- */

static void
restart_answer(struct client *c, const struct answer *a)
{
	struct replica_process p;
	char text[600];

	if (a == NULL) {
		lost(c);
		return;
	}
	if (a->status == 404) {
		(void)snprintf(text, sizeof(text),
		    "Process with id '%s' not found.", a->detail);
		fail(c, 404, text);
		return;
	}
	if (a->status != 200) {
		fail(c, a->status, a->detail);
		return;
	}
	json_begin(&out);
	json_open(&out, '{');
	json_key(&out, "success");
	json_bool(&out, 1);
	json_key(&out, "process");
	if (access_find(c, a->process, &p) == -1)
		json_null(&out);
	else
		put_process(&p);
	json_close(&out, '{');
	respond_json(c, 200, &out);
}

/* What Python's int() takes: blanks around, a sign, "_" between digits. */
static int
python_int(const char *s, char *digits, size_t size)
{
	size_t first;
	size_t n;

	n = 0;
	s += strspn(s, " \t");
	if (*s == '+' || *s == '-') {
		if (*s == '-')
			digits[n++] = '-';
		s++;
	}
	first = n;
	if (*s < '0' || *s > '9')
		return -1;
	for (; (*s >= '0' && *s <= '9') ||
	     (*s == '_' && s[1] >= '0' && s[1] <= '9');
	     s++)
		/* Zeros before a number say nothing. */
		if (*s != '_' && n < size - 1 && (*s != '0' || n > first))
			digits[n++] = *s;
	if (n == first) {
		digits[0] = '0'; /* which has no sign */
		n = 1;
	}
	digits[n] = '\0';
	return s[strspn(s, " \t")] == '\0' ? 0 : -1;
}

void
api_restart(struct request *q)
{
	struct replica_process p;
	const char *error;
	char digits[160];
	char text[256];
	uint32_t id;

	if (replica.shutdown) {
		fail(q->client, 403, "Process is in shutdown.");
		return;
	}
	if (python_int(q->path.segment[1], digits, sizeof(digits)) == -1) {
		(void)snprintf(text, sizeof(text), "Invalid ID '%.128s'.",
		    q->path.segment[1]);
		fail(q->client, 400, text);
		return;
	}
	id = (uint32_t)strtonum(digits, 1, UINT32_MAX, &error);
	if (strlen(digits) >= sizeof(q->client->argument) ||
	    (!access_is_whole(q->client) &&
		(error != NULL || access_find(q->client, id, &p) == -1))) {
		(void)snprintf(text, sizeof(text),
		    "Process with id '%s' not found.", digits);
		refusal_audit(q->client, REQUEST_RESTART_PROCESS, digits, 404);
		fail(q->client, 404, text);
		return;
	}
	if (manager_request(q->client, REQUEST_RESTART_PROCESS, digits,
		restart_answer) == -1)
		lost(q->client);
}
