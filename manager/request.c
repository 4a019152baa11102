#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <bsd/stdlib.h>

#include "../common/bucket.h"
#include "../common/imsg.h"
#include "../common/log.h"
#include "../common/snapshot.h"
#include "../common/wire.h"
#include "manager.h"

/*
 * Requests that change something, from the HTTP workers.  The worker has
 * checked who asks; here it is decided.
 */

#define MAX_PENDING 4096 /* of one worker: as many as it keeps itself */

/* Of one worker, more than a sane one tells. */
#define REFUSED_RATE 2 /* a second */
#define REFUSED_BURST 40

static unsigned int pending_count[MAX_WORKERS];
static struct bucket refused[MAX_WORKERS];
static uint32_t left_out[MAX_WORKERS];

struct request {
	unsigned int worker;
	uint32_t id;
	uint8_t op;
	int64_t uid;
	uint8_t role;
	char who[160]; /* "token NAME", "certificate NAME", "": the uid */
	char from[128];
	char argument[256];
};

/* Who wants it, in words. */
static void
name_peer(const struct request *r, char *buf, size_t size)
{
	if (r->who[0] != '\0')
		(void)snprintf(buf, size, "%s", r->who);
	else if (r->uid >= 0)
		(void)snprintf(buf, size, "uid %lld", (long long)r->uid);
	else
		(void)snprintf(buf, size, "somebody");
}

static void
audit(const char *who, const char *from, const char *what, uint16_t status,
    const char *code)
{
	char result[80];
	const struct audit a = {who, from, what, result};

	if (status == 0) /* of several */
		(void)snprintf(result, sizeof(result), "%s", code);
	else
		(void)snprintf(result, sizeof(result), "%u%s%s", status,
		    code[0] == '\0' ? "" : " ", code);
	console_audit(&a);
}

static void
answer(unsigned int worker, uint32_t id, uint16_t status, const char *code,
    const char *detail, uint32_t process)
{
	struct wire w;

	/* The change that it tells of must be in the feed before it. */
	feed_flush();
	if (mgr.workers[worker].channel == NULL)
		return;
	wire_init(&w);
	wire_put_u16(&w, status);
	wire_put_u64(&w, mgr.sequence);
	wire_put_str(&w, code);
	wire_put_str(&w, detail);
	wire_put_u32(&w, process);
	(void)channel_send_wire(
	    mgr.workers[worker].channel, IMSG_REQUEST_DONE, id, -1, &w);
	wire_free(&w);
}

/* A number; what else a worker may say is not repeated in the audit, where it
 * could pass for more than it is. */
static const char *
target(const struct request *r)
{
	const char *s;

	s = r->argument[0] == '-' ? r->argument + 1 : r->argument;
	return s[strspn(s, "0123456789")] == '\0' && strlen(s) < 40 ?
	    r->argument :
	    "?";
}

/* Refused, or done, at once. */
static void
answer_now(const struct request *r, const char *what, uint16_t status,
    const char *code, const char *detail)
{
	char text[300];
	char who[160];

	name_peer(r, who, sizeof(who));
	(void)snprintf(text, sizeof(text), "%s%s%s", what,
	    r->argument[0] == '\0' ? "" : " ", target(r));
	audit(who, r->from, text, status, code);
	answer(r->worker, r->id, status, code, detail, 0);
}

/*
 * pymanager's list has what was verified once.  When the launch is over there
 * may be others, of a reload or not to be started by themselves: who asks for
 * one means it.
 */
static int
may_restart(const struct process *p)
{
	if (p == NULL || p->job->hidden || p->job->retired)
		return 0;
	return p->listed ||
	    (mgr.phase == PHASE_RUNNING && p->state != STATE_WAITING);
}

static void
restart_process(const struct request *r)
{
	struct pending *pending;
	struct process *p;
	const char *error;
	uint32_t id;

	if (shutting_down()) {
		answer_now(r, "restart", 403, "shutting-down",
		    "Process is in shutdown.");
		return;
	}
	id = (uint32_t)strtonum(r->argument, 1, INT32_MAX, &error);
	p = error == NULL ? process_find(id) : NULL;
	if (!may_restart(p)) {
		answer_now(r, "restart", 404, "process-not-found", r->argument);
		return;
	}
	pending = pending_count[r->worker] >= MAX_PENDING ?
	    NULL :
	    calloc(1, sizeof(*pending));
	if (pending == NULL) {
		answer_now(r, "restart", 503, "no-memory", "no memory");
		return;
	}
	name_peer(r, pending->who, sizeof(pending->who));
	(void)snprintf(pending->from, sizeof(pending->from), "%s", r->from);
	(void)snprintf(pending->what, sizeof(pending->what), "restart %u (%s)",
	    p->id, p->job->name);
	pending->worker = r->worker;
	pending->id = r->id;
	pending_count[r->worker]++;
	SLIST_INSERT_HEAD(&p->waiting, pending, entry);
	/* The manager before was asked, and has begun with it. */
	if (p->on_its_way &&
	    (p->state == STATE_STARTING || p->state == STATE_STOPPING))
		return;
	p->short_stop = !p->job->config->own_stop;
	process_event(p, EVENT_RESTART);
}

void
request_process_settled(struct process *p, int ok, const char *why)
{
	struct pending *pending;
	const char *code;
	uint16_t status;

	status = ok == 0 ? 200 : shutting_down() ? 403 : 500;
	code = ok == 0      ? "" :
	    shutting_down() ? "shutting-down" :
			      "verification-failed";
	p->on_its_way = 0;
	if (shutting_down())
		why = "Process is in shutdown.";
	while ((pending = SLIST_FIRST(&p->waiting)) != NULL) {
		SLIST_REMOVE_HEAD(&p->waiting, entry);
		pending_count[pending->worker]--;
		audit(pending->who, pending->from, pending->what, status, code);
		answer(pending->worker, pending->id, status, code,
		    ok == 0 ? "" : why, p->id);
		free(pending);
	}
}

void
request_worker_lost(unsigned int worker)
{
	struct pending *pending;
	struct pending *next;
	struct process *p;
	uint32_t i;

	for (i = 0; i < mgr.nprocesses; i++) {
		p = mgr.processes[i];
		SLIST_FOREACH_SAFE (pending, &p->waiting, entry, next) {
			if (pending->worker != worker)
				continue;
			SLIST_REMOVE(&p->waiting, pending, pending, entry);
			pending_count[worker]--;
			audit(pending->who, pending->from, pending->what, 503,
			    "worker-lost");
			free(pending);
		}
	}
}

static void
shut_down(const struct request *r)
{
	if (r->role < ACCESS_ADMIN) {
		answer_now(r, "shutdown", 403, "forbidden",
		    "this wants the role admin");
		return;
	}
	if (shutting_down()) {
		answer_now(r, "shutdown", 403, "shutting-down",
		    "Process is in shutdown.");
		return;
	}
	/* As by a signal: nobody must take it for a success of the command. */
	shutdown_begin(
	    mgr.snapshot->flags & SNAPSHOT_RUNNER ? 128 + SIGTERM : 0);
	answer_now(r, "shutdown", 200, "", "");
	shutdown_answered();
}

/* ---- what a worker has refused ---------------------------------------- */

static void
audit_left_out(unsigned int worker, uint32_t before)
{
	char from[32];
	char what[48];

	if (before > UINT32_MAX - left_out[worker])
		before = UINT32_MAX - left_out[worker];
	before += left_out[worker];
	left_out[worker] = 0;
	if (before == 0)
		return;
	(void)snprintf(what, sizeof(what), "%u more attempts", before);
	(void)snprintf(from, sizeof(from), "worker %u", worker);
	audit("others", from, what, 0, "refused");
}

/* In words of our own: a worker may lie, but not say more than with a request
 * that is refused here. */
static void
audit_refused(const struct request *r, uint16_t status)
{
	const struct process *p;
	const char *error;
	char text[400];
	char who[160];
	uint32_t id;

	name_peer(r, who, sizeof(who));
	id = (uint32_t)strtonum(r->argument, 1, INT32_MAX, &error);
	p = error == NULL ? process_find(id) : NULL;
	if (r->op == REQUEST_SHUTDOWN)
		(void)snprintf(text, sizeof(text), "shutdown");
	else if (p != NULL && may_restart(p))
		(void)snprintf(
		    text, sizeof(text), "restart %u (%s)", p->id, p->job->name);
	else
		(void)snprintf(text, sizeof(text), "restart %s", target(r));
	audit(who, r->from, text, status,
	    status == 401     ? "unauthorized" :
		status == 403 ? "forbidden" :
		status == 404 ? "process-not-found" :
				"manager-lost");
}

static int
got_refused(unsigned int worker, struct imsg *imsg)
{
	struct request r;
	struct wire_reader in;
	uint32_t before;
	uint16_t status;

	memset(&r, 0, sizeof(r));
	message_read(&in, imsg);
	r.op = wire_get_u8(&in);
	status = wire_get_u16(&in);
	r.uid = wire_get_i64(&in);
	wire_get_string(&in, r.who, sizeof(r.who));
	wire_get_string(&in, r.from, sizeof(r.from));
	wire_get_string(&in, r.argument, sizeof(r.argument));
	before = wire_get_u32(&in);
	if (wire_end(&in) == -1 || r.op > REQUEST_SHUTDOWN ||
	    (r.op != 0 && status != 401 && status != 403 && status != 404 &&
		status != 503))
		return -1;
	if (!bucket_take(&refused[worker], REFUSED_RATE, REFUSED_BURST)) {
		if (left_out[worker] < UINT32_MAX)
			left_out[worker]++;
		return 0;
	}
	audit_left_out(worker, before);
	if (r.op != 0)
		audit_refused(&r, status);
	return 0;
}

int
request_message(unsigned int worker, struct imsg *imsg)
{
	struct request r;
	struct wire_reader in;

	if (imsg_get_type(imsg) == IMSG_REFUSED)
		return got_refused(worker, imsg);
	if (imsg_get_type(imsg) != IMSG_REQUEST)
		return -1;
	memset(&r, 0, sizeof(r));
	r.worker = worker;
	r.id = imsg_get_id(imsg);
	message_read(&in, imsg);
	r.op = wire_get_u8(&in);
	r.uid = wire_get_i64(&in);
	r.role = wire_get_u8(&in);
	wire_get_string(&in, r.who, sizeof(r.who));
	wire_get_string(&in, r.from, sizeof(r.from));
	wire_get_string(&in, r.argument, sizeof(r.argument));
	(void)wire_get_view(&in, MAX_BLOB_SIZE, &(size_t){0});
	if (wire_end(&in) == -1)
		return -1;
	/* It may take its time until the audit tells how it has ended. */
	log_info("request %u from %s (uid %lld): %s", r.op, r.from,
	    (long long)r.uid, r.argument);
	switch (r.op) {
	case REQUEST_RESTART_PROCESS:
		if (r.role < ACCESS_OPERATE)
			answer_now(&r, "restart", 403, "forbidden",
			    "this wants the role operate");
		else
			restart_process(&r);
		return 0;
	case REQUEST_SHUTDOWN:
		shut_down(&r);
		return 0;
	default:
		return -1;
	}
}
