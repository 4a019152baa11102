#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <bsd/stdlib.h>

#include "../common/imsg.h"
#include "../common/log.h"
#include "../common/wire.h"
#include "manager.h"

/*
 * Requests that change something, from the HTTP workers.  The worker has
 * checked who asks; here it is decided.
 */

struct request {
	unsigned int worker;
	uint32_t id;
	uint8_t op;
	int64_t uid;
	uint8_t role;
	char from[128];
	char argument[256];
};

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

static void
restart_process(const struct request *r)
{
	struct pending *pending;
	struct process *p;
	const char *error;
	uint32_t id;

	if (shutting_down()) {
		answer(r->worker, r->id, 403, "shutting-down",
		    "Process is in shutdown.", 0);
		return;
	}
	id = (uint32_t)strtonum(r->argument, 1, INT32_MAX, &error);
	p = error == NULL ? process_find(id) : NULL;
	if (p == NULL || !p->listed || p->job->hidden) {
		answer(
		    r->worker, r->id, 404, "process-not-found", r->argument, 0);
		return;
	}
	pending = calloc(1, sizeof(*pending));
	if (pending == NULL) {
		answer(r->worker, r->id, 503, "no-memory", "no memory", 0);
		return;
	}
	pending->worker = r->worker;
	pending->id = r->id;
	SLIST_INSERT_HEAD(&p->waiting, pending, entry);
	p->short_stop = !p->job->config->own_stop;
	process_event(p, EVENT_RESTART);
}

void
request_process_settled(struct process *p, int ok, const char *why)
{
	struct pending *pending;

	while ((pending = SLIST_FIRST(&p->waiting)) != NULL) {
		SLIST_REMOVE_HEAD(&p->waiting, entry);
		if (ok == 0)
			answer(
			    pending->worker, pending->id, 200, "", "", p->id);
		else if (shutting_down())
			answer(pending->worker, pending->id, 403,
			    "shutting-down", "Process is in shutdown.", p->id);
		else
			answer(pending->worker, pending->id, 500,
			    "verification-failed", why, p->id);
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
			free(pending);
		}
	}
}

int
request_message(unsigned int worker, struct imsg *imsg)
{
	struct request r;
	struct wire_reader in;

	if (imsg_get_type(imsg) != IMSG_REQUEST)
		return -1;
	memset(&r, 0, sizeof(r));
	r.worker = worker;
	r.id = imsg_get_id(imsg);
	message_read(&in, imsg);
	r.op = wire_get_u8(&in);
	r.uid = wire_get_i64(&in);
	r.role = wire_get_u8(&in);
	wire_get_string(&in, r.from, sizeof(r.from));
	wire_get_string(&in, r.argument, sizeof(r.argument));
	(void)wire_get_view(&in, MAX_BLOB_SIZE, &(size_t){0});
	if (wire_end(&in) == -1)
		return -1;
	if (r.role < ACCESS_OPERATE) {
		answer(worker, r.id, 403, "forbidden", "not allowed", 0);
		return 0;
	}
	log_info("request %u from %s (uid %lld): %s", r.op, r.from,
	    (long long)r.uid, r.argument);
	switch (r.op) {
	case REQUEST_RESTART_PROCESS:
		restart_process(&r);
		return 0;
	case REQUEST_SHUTDOWN:
		if (shutting_down()) {
			answer(worker, r.id, 403, "shutting-down",
			    "Process is in shutdown.", 0);
			return 0;
		}
		shutdown_begin(0);
		answer(worker, r.id, 200, "", "", 0);
		shutdown_answered();
		return 0;
	default:
		return -1;
	}
}
