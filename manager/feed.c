#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <bsd/stdlib.h>

#include <event2/event.h>

#include "../common/log.h"
#include "../common/spec.h"
#include "../common/wire.h"
#include "manager.h"

/*
 * The feed: each HTTP worker holds a copy of what the API tells, and gets
 * every change.  A batch ends with its sequence number, which is made
 * visible in the shared page before it is handed to the first worker: none
 * answers without what a client may have heard from another one.
 */

#define SHUTDOWN_PAUSE (100 * MILLISECOND)
#define ASK_PAUSE (1000 * MILLISECOND)
#define ASK_PATIENCE (10000 * MILLISECOND)

const char *
process_state_name(unsigned int state)
{
	static const char *const names[STATE_COUNT] = {
	    [STATE_WAITING] = "waiting",
	    [STATE_STARTING] = "starting",
	    [STATE_RUNNING] = "running",
	    [STATE_STOPPING] = "stopping",
	    [STATE_EXITED] = "exited",
	    [STATE_BACKOFF] = "backoff",
	    [STATE_FAILED] = "failed",
	    [STATE_STOPPED] = "stopped",
	};

	return state < STATE_COUNT ? names[state] : "?";
}

const char *
feed_status_word(void)
{
	switch (mgr.phase) {
	case PHASE_LOADING:
	case PHASE_STAGING:
		return "booting";
	case PHASE_ADOPTING:
		return "parsing modules";
	case PHASE_LAUNCHING:
		return "launching processes";
	case PHASE_RUNNING:
		return "running";
	case PHASE_FORCED:
		return "force shutdown";
	case PHASE_SHUTDOWN:
	case PHASE_FLUSHING:
		break;
	}
	return "shutdown";
}

void
feed_status_changed(void)
{
	mgr.dirty_status = 1;
	manager_later();
}

static unsigned int
streams_of(const struct job_config *c)
{
	if (c->out.mode == OUTPUT_DISCARD || c->out.mode == OUTPUT_INHERIT)
		return 0;
	return c->err.mode == OUTPUT_JOIN ? 1 : 2;
}

static void
put_process(struct wire *w, const struct process *p)
{
	const struct job_config *c;
	const struct verdict *d;
	const struct job *other;
	uint32_t i;

	c = p->job->config;
	wire_put_u32(w, p->id);
	wire_put_u32(w, p->generation);
	wire_put_u32(w, p->instance);
	/* Until its last output is whole it has not ended for the API. */
	wire_put_i32(w, p->live || p->undrained ? p->pid : 0);
	wire_put_u8(w, p->state);
	wire_put_u8(w, p->verified);
	wire_put_u8(w, 0);
	wire_put_u8(w, p->listed);
	wire_put_u8(w, p->ended);
	wire_put_i32(w, p->status);
	wire_put_i64(w, p->ended_wall);
	wire_put_i64(w, p->started_wall);
	wire_put_u32(w, p->restarts);
	wire_put_u32(w, p->generation == 0 ? NO_ENTRY : p->slot);
	wire_put_u8(w, (uint8_t)streams_of(c));
	wire_put_str(w, p->job->name);
	wire_put_u32(w, (uint32_t)c->words.count);
	for (i = 0; i < c->words.count; i++)
		wire_put_str(w, config_word(c, i, p->instance));
	/* "" stands for musterd's own, see FEED_CONFIG. */
	wire_put_str(w, c->working_directory);
	wire_put_str(w, c->user);
	other = launch_waits(p);
	wire_put_str(w, other == NULL ? "" : other->name);
	d = p->verdict;
	wire_put_u8(w, d != NULL);
	if (d == NULL)
		return;
	wire_put_str(w, d->kind);
	wire_put_u32(w, d->attempts);
	wire_put_str(w, d->last);
	wire_put_u64(w, d->elapsed);
}

static void
put_status(struct wire *w)
{
	char text[8192];
	const char *missing;

	missing = launch_missing(text, sizeof(text));
	wire_put_str(w, feed_status_word());
	wire_put_u8(w,
	    missing == NULL &&
		(mgr.phase == PHASE_RUNNING || mgr.phase == PHASE_LAUNCHING));
	wire_put_u8(w, (uint8_t)shutting_down());
	wire_put_str(w, missing == NULL ? "" : missing);
}

static void
put_numbers(struct wire *w, const struct strings *s)
{
	size_t i;
	uint32_t n;
	const char *error;

	n = 0;
	for (i = 0; i < s->count; i++) {
		(void)strtonum(s->list[i], 0, UINT32_MAX, &error);
		if (error == NULL)
			n++;
	}
	wire_put_u32(w, n);
	for (i = 0; i < s->count; i++) {
		n = (uint32_t)strtonum(s->list[i], 0, UINT32_MAX, &error);
		if (error == NULL)
			wire_put_u32(w, n);
	}
}

static void
put_strings(struct wire *w, const struct strings *s)
{
	size_t i;

	wire_put_u32(w, (uint32_t)s->count);
	for (i = 0; i < s->count; i++)
		wire_put_str(w, s->list[i]);
}

static void
put_config(struct wire *w)
{
	char uid[16];

	(void)snprintf(uid, sizeof(uid), "%u", mgr.snapshot->uid);
	wire_put_str(w, MUSTER_VERSION);
	wire_put_str(w, mgr.snapshot->boot);
	wire_put_u32(w, mgr.snapshot->pid);
	wire_put_i64(w, (int64_t)mgr.snapshot->started_wall);
	wire_put_u32(w, mgr.snapshot->uid);
	wire_put_str(w, mgr.snapshot->directory);
	wire_put_str(
	    w, mgr.snapshot->user[0] != '\0' ? mgr.snapshot->user : uid);
	put_numbers(w, &mgr.config->http.allow_users);
	put_numbers(w, &mgr.config->http.allow_groups);
	put_strings(w, &mgr.config->http.allow_hosts);
	put_strings(w, &mgr.config->http.allow_origins);
	wire_put_u8(w,
	    (uint8_t)((mgr.config->http.insecure ? FEED_INSECURE : 0) |
		(mgr.config->http.enabled &&
			    !address_is_loopback(mgr.config->http.address) ?
			FEED_FOREIGN :
			0)));
}

static void
feed_principals(struct channel *c, struct wire *w)
{
	const struct principal_config *p;
	size_t i;

	for (i = 0; i < mgr.config->http.nprincipals; i++) {
		p = &mgr.config->http.principals[i];
		wire_reset(w);
		wire_put_str(w, p->name);
		wire_put_u8(w, (uint8_t)p->kind);
		wire_put_u8(w, (uint8_t)p->role);
		wire_put_i64(w, p->expires);
		wire_put_bytes(w, p->hash, sizeof(p->hash));
		put_strings(w, &p->scope);
		(void)channel_send_wire(c, IMSG_FEED_PRINCIPAL, 0, -1, w);
	}
}

static void
put_sequence(struct wire *w)
{
	wire_reset(w);
	wire_put_u64(w, mgr.sequence);
}

void
feed_worker(unsigned int worker)
{
	struct channel *c;
	struct wire w;
	uint32_t i;

	c = mgr.workers[worker].channel;
	wire_init(&w);
	put_sequence(&w);
	(void)channel_send_wire(c, IMSG_FEED_BEGIN, 0, -1, &w);
	wire_reset(&w);
	put_config(&w);
	(void)channel_send_wire(c, IMSG_FEED_CONFIG, 0, -1, &w);
	feed_principals(c, &w);
	wire_reset(&w);
	put_status(&w);
	(void)channel_send_wire(c, IMSG_FEED_STATUS, 0, -1, &w);
	for (i = 0; i < mgr.nprocesses; i++) {
		if (mgr.processes[i]->job->hidden ||
		    mgr.processes[i]->forgotten)
			continue;
		wire_reset(&w);
		put_process(&w, mgr.processes[i]);
		(void)channel_send_wire(c, IMSG_FEED_PROC, 0, -1, &w);
	}
	put_sequence(&w);
	(void)channel_send_wire(c, IMSG_FEED_SEQUENCE, 0, -1, &w);
	wire_free(&w);
	mgr.workers[worker].fed = 1;
}

static void
to_workers(uint32_t type, const struct wire *w)
{
	unsigned int i;

	for (i = 0; i < MAX_WORKERS; i++)
		if (mgr.workers[i].channel != NULL && mgr.workers[i].fed)
			(void)channel_send_wire(
			    mgr.workers[i].channel, type, 0, -1, w);
}

/*
 * Does it still read?  It is asked behind a change, and looked after at a
 * later one: that costs no timer, and nobody misses a worker that hangs while
 * nothing happens, as who waits for it is answered by another one.
 */
static void
ask(unsigned int worker)
{
	struct worker *w;
	uint64_t now;

	w = &mgr.workers[worker];
	now = now_mono();
	if (now - w->asked < (w->owes ? ASK_PATIENCE : ASK_PAUSE))
		return;
	w->asked = now;
	if (w->owes)
		component_peer_late(ROLE_HTTPD, worker);
	else if (channel_send(w->channel, IMSG_FEED_ASK, 0, -1, NULL, 0) == 0)
		w->owes = 1;
}

int
feed_was_read(unsigned int worker)
{
	if (mgr.workers[worker].owes == 0)
		return -1;
	mgr.workers[worker].owes--;
	return 0;
}

void
feed_ask_all(void)
{
	static const uint8_t last = 1;
	struct worker *w;

	for (w = mgr.workers; w < &mgr.workers[MAX_WORKERS]; w++)
		if (w->channel != NULL && w->fed &&
		    channel_send(w->channel, IMSG_FEED_ASK, 0, -1, &last,
			sizeof(last)) == 0) {
			w->owes++;
			(void)channel_flush(w->channel);
		}
}

int
feed_is_owed(void)
{
	const struct worker *w;

	for (w = mgr.workers; w < &mgr.workers[MAX_WORKERS]; w++)
		if (w->channel != NULL && w->owes > 0)
			return 1;
	return 0;
}

static void
publish(void)
{
	unsigned int i;

	if (mgr.page != NULL)
		__atomic_store_n(mgr.page, mgr.sequence, __ATOMIC_RELEASE);
	for (i = 0; i < MAX_WORKERS; i++)
		if (mgr.workers[i].channel != NULL && mgr.workers[i].fed) {
			ask(i);
			(void)channel_flush(mgr.workers[i].channel);
		}
}

/* While a thousand processes go down the workers are told now and then. */
static int
feed_may_wait(void)
{
	static const struct timeval tv = {0, SHUTDOWN_PAUSE / 1000};
	static uint64_t last;
	uint64_t now;

	if (!shutting_down() || mgr.dirty_status)
		return 0;
	now = now_mono();
	if (now - last < SHUTDOWN_PAUSE) {
		(void)event_add(mgr.flush, &tv);
		return 1;
	}
	last = now;
	return 0;
}

/* The last process of a job that left the configuration has gone. */
static void
forget(const struct process *p, struct wire *w)
{
	wire_reset(w);
	wire_put_u32(w, p->id);
	(void)manager_send(IMSG_PROC_FORGET, 0, w);
	to_workers(IMSG_FEED_PROC_GONE, w);
}

void
feed_flush(void)
{
	struct process *p;
	struct wire w;

	if (STAILQ_EMPTY(&mgr.dirty) && !mgr.dirty_status)
		return;
	if (feed_may_wait())
		return;
	wire_init(&w);
	mgr.sequence++;
	while ((p = STAILQ_FIRST(&mgr.dirty)) != NULL) {
		STAILQ_REMOVE_HEAD(&mgr.dirty, dirty_entry);
		p->dirty = 0;
		blob_commit(p);
		if (p->forgotten)
			forget(p, &w);
		if (p->job->hidden || p->forgotten)
			continue;
		wire_reset(&w);
		put_process(&w, p);
		to_workers(IMSG_FEED_PROC, &w);
	}
	wire_reset(&w);
	put_status(&w);
	to_workers(IMSG_FEED_STATUS, &w);
	mgr.dirty_status = 0;
	put_sequence(&w);
	to_workers(IMSG_FEED_SEQUENCE, &w);
	wire_free(&w);
	publish();
}
