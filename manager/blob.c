#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include <bsd/string.h>

#include "../common/imsg.h"
#include "../common/wire.h"
#include "manager.h"

/*
 * State that outlives this manager: a blob for each process and one for the
 * whole, kept by the parent unread.  A running process without verifier and
 * history needs none: that is what a missing blob means, as long as ids
 * follow from the configuration.  Before and after a reload they do not, and
 * each process has a blob with its name.
 */

#define BLOB_VERSION 2
#define MAX_DEATHS (256UL * 1024) /* of all processes: 2 MiB */

static void
send_blob(uint64_t key, const struct wire *content)
{
	struct wire w;

	wire_init(&w);
	wire_put_u64(&w, key);
	if (content == NULL)
		wire_put_bytes(&w, "", 0);
	else
		wire_put_bytes(&w, content->data, content->len);
	(void)manager_send(IMSG_BLOB_SET, 0, &w);
	wire_free(&w);
}

/* Would a missing blob say the same? */
static int
is_default(const struct process *p)
{
	return !mgr.named && p->state == STATE_RUNNING && p->want == WANT_UP &&
	    p->verified && p->listed && p->backoff == 0 && p->retries == 0 &&
	    p->restarts == 0 && !p->again && !p->ended && p->verdict == NULL;
}

/* At the end, and only if there is one. */
static void
put_verdict(struct wire *w, const struct verdict *d)
{
	if (d == NULL)
		return;
	wire_put_str(w, d->kind);
	wire_put_u32(w, d->attempts);
	wire_put_u64(w, d->elapsed);
	wire_put_str(w, d->last);
}

/* The latest of them: all blobs together have their limit. */
static void
put_deaths(struct wire *w, const struct process *p)
{
	size_t limit;
	size_t most;
	size_t n;

	most = MAX_DEATHS / mgr.nprocesses;
	limit = p->deaths == NULL ? 0 : p->job->config->limit_count;
	for (n = 0; n < limit && n < most && p->deaths[limit - 1 - n] != 0; n++)
		;
	wire_put_u32(w, (uint32_t)n);
	for (; n > 0; n--)
		wire_put_u64(w, p->deaths[limit - n]);
}

/* How it is stopped, if the next configuration does not know it. */
static void
put_stop(struct wire *w, const struct process *p)
{
	const struct job_config *c;
	size_t i;
	size_t n;

	c = p->job->config;
	n = mgr.named && !p->job->hidden ? c->nstop : 0;
	wire_put_u32(w, (uint32_t)n);
	for (i = 0; i < n; i++) {
		wire_put_i32(w, c->stop[i].signal);
		wire_put_u64(w, c->stop[i].wait);
	}
	wire_put_u64(w, c->graceful);
}

static void
put_process(struct wire *w, const struct process *p)
{
	wire_put_u8(w, BLOB_VERSION);
	wire_put_u8(w, p->state);
	wire_put_u8(w, p->want);
	wire_put_u8(w, p->verified);
	wire_put_u8(w, p->listed);
	wire_put_u8(w, p->again);
	wire_put_u8(w, p->ended);
	wire_put_u8(w, p->stage);
	wire_put_i32(w, p->error);
	wire_put_u32(w, p->generation);
	wire_put_i32(w, p->status);
	wire_put_u32(w, p->restarts);
	wire_put_u16(w, p->backoff);
	wire_put_u16(w, p->retries);
	wire_put_u64(w, p->ended_at);
	wire_put_i64(w, p->started_wall);
	wire_put_i64(w, p->ended_wall);
	wire_put_str(w,
	    !mgr.named         ? "" :
		p->job->hidden ? BLOB_HIDDEN :
				 p->job->config->name);
	wire_put_u32(w, p->instance);
	wire_put_u64(w,
	    !mgr.named || p->job->hidden ? 0 :
		p->job->retired          ? BLOB_RETIRED :
					   p->job->config->hash);
	wire_put_u64(w, p->due);
	put_deaths(w, p);
	put_stop(w, p);
	put_verdict(w, p->verdict);
}

void
blob_process(struct process *p)
{
	struct wire w;

	/* That all go down is in the global blob; the command of -x has its
	 * number, unless that follows from names. */
	if (shutting_down() || (p->job->hidden && !mgr.named))
		return;
	if (is_default(p) || p->forgotten) {
		if (p->stored)
			send_blob(BLOB_PROCESS | p->id, NULL);
		p->stored = 0;
		return;
	}
	p->stored = 1;
	wire_init(&w);
	put_process(&w, p);
	send_blob(BLOB_PROCESS | p->id, &w);
	wire_free(&w);
}

void
blob_forget(uint32_t process)
{
	send_blob(BLOB_PROCESS | process, NULL);
}

void
blob_commit(struct process *p)
{
	if (!p->committed)
		blob_process(p);
	p->committed = 1;
}

void
blob_name_all(void)
{
	uint32_t i;

	mgr.named = 1;
	blob_global();
	for (i = 0; i < mgr.nprocesses; i++)
		blob_process(mgr.processes[i]);
}

void
blob_global(void)
{
	struct wire w;

	wire_init(&w);
	wire_put_u8(&w, BLOB_VERSION);
	wire_put_u8(&w, (uint8_t)mgr.phase);
	wire_put_u8(&w, (uint8_t)mgr.exit_code);
	wire_put_u8(&w, (uint8_t)mgr.launch_failed);
	wire_put_u8(&w, (uint8_t)mgr.named);
	wire_put_u8(&w, (uint8_t)mgr.too_early);
	wire_put_u32(&w, mgr.signals);
	wire_put_u64(&w, mgr.sequence);
	send_blob(BLOB_GLOBAL, &w);
	wire_free(&w);
}

/* A text for logs, terminals and the API, as verify.c writes it. */
static void
get_text(struct wire_reader *r, char *buf, size_t size)
{
	char raw[256];
	char clean[4 * sizeof(raw) + 16];

	if (size > sizeof(raw))
		size = sizeof(raw);
	wire_get_string(r, raw, size);
	logline_clean(clean, sizeof(clean), raw);
	(void)strlcpy(buf, clean, size);
}

static struct verdict *
get_verdict(struct wire_reader *r)
{
	struct verdict *d;

	d = calloc(1, sizeof(*d));
	if (d == NULL)
		fatal("state of the world");
	get_text(r, d->kind, sizeof(d->kind));
	d->attempts = wire_get_u32(r);
	d->elapsed = wire_get_u64(r);
	get_text(r, d->last, sizeof(d->last));
	return d;
}

static void
get_deaths(struct wire_reader *r, struct blob *b)
{
	uint32_t i;

	b->ndeaths = wire_get_count(r, MAX_LIMIT_COUNT, 8);
	if (b->ndeaths == 0)
		return;
	b->deaths = calloc(b->ndeaths, sizeof(*b->deaths));
	if (b->deaths == NULL)
		fatal("state of the world");
	for (i = 0; i < b->ndeaths; i++)
		b->deaths[i] = wire_get_u64(r);
}

static int
get_stop(struct wire_reader *r, struct blob *b)
{
	uint32_t i;

	b->nstop = wire_get_count(r, MAX_STOP_STEPS, 12);
	b->stop = calloc((size_t)b->nstop + 1, sizeof(*b->stop));
	if (b->stop == NULL)
		fatal("state of the world");
	for (i = 0; i < b->nstop; i++) {
		b->stop[i].signal = wire_get_i32(r);
		b->stop[i].wait = wire_get_u64(r);
		if (b->stop[i].signal < 1 || b->stop[i].signal > SIGRTMAX)
			return -1;
	}
	b->graceful = wire_get_u64(r);
	return 0;
}

int
blob_read_process(struct blob *b, const void *data, size_t len)
{
	struct wire_reader r;

	wire_read(&r, data, len);
	if (wire_get_u8(&r) != BLOB_VERSION)
		return -1;
	b->state = wire_get_u8(&r);
	if (b->state >= STATE_COUNT)
		return -1;
	b->want = (uint8_t)wire_get_bool(&r);
	b->verified = (uint8_t)wire_get_bool(&r);
	b->listed = (uint8_t)wire_get_bool(&r);
	b->again = (uint8_t)wire_get_bool(&r);
	b->ended = (uint8_t)wire_get_bool(&r);
	b->stage = wire_get_u8(&r);
	b->error = wire_get_i32(&r);
	b->generation = wire_get_u32(&r);
	b->status = wire_get_i32(&r);
	b->restarts = wire_get_u32(&r);
	b->backoff = wire_get_u16(&r);
	b->retries = wire_get_u16(&r);
	b->ended_at = wire_get_u64(&r);
	b->started_wall = wire_get_i64(&r);
	b->ended_wall = wire_get_i64(&r);
	b->job = wire_get_strdup(&r, MAX_NAME + 1);
	b->instance = wire_get_u32(&r);
	b->hash = wire_get_u64(&r);
	b->due = wire_get_u64(&r);
	get_deaths(&r, b);
	if (get_stop(&r, b) == -1)
		return -1;
	if (!r.failed && r.left > 0)
		b->verdict = get_verdict(&r);
	return wire_end(&r);
}

void
blob_free(struct blob *b)
{
	free(b->job);
	free(b->deaths);
	free(b->stop);
	free(b->verdict);
	memset(b, 0, sizeof(*b));
}

void
blob_apply(struct blob *b, struct process *p)
{
	p->state = b->state;
	p->want = b->want;
	p->verified = b->verified;
	p->listed = b->listed;
	p->again = b->again;
	p->ended = b->ended;
	p->stage = b->stage;
	p->error = b->error;
	p->generation = b->generation;
	p->status = b->status;
	p->restarts = b->restarts;
	p->backoff = b->backoff;
	p->retries = b->retries;
	p->ended_at = b->ended_at;
	p->started_wall = b->started_wall;
	p->ended_wall = b->ended_wall;
	p->due = b->due;
	restart_recall(p, b->deaths, b->ndeaths);
	p->stored = 1;
	/* After a reload there may be nothing more that verifies it. */
	if (p->job->config->nverifiers == 0)
		return;
	p->verdict = b->verdict;
	b->verdict = NULL;
}

int
blob_read_global(const void *data, size_t len)
{
	struct wire_reader r;
	uint64_t sequence;
	uint32_t signals;
	uint8_t version;
	uint8_t phase;
	int code;
	int early;
	int failed;
	int named;

	wire_read(&r, data, len);
	version = wire_get_u8(&r);
	phase = wire_get_u8(&r);
	code = wire_get_u8(&r);
	failed = wire_get_u8(&r);
	named = wire_get_bool(&r);
	early = wire_get_bool(&r);
	signals = wire_get_u32(&r);
	sequence = wire_get_u64(&r);
	if (wire_end(&r) == -1 || version != BLOB_VERSION ||
	    phase < PHASE_LAUNCHING || phase > PHASE_FLUSHING) {
		mgr.phase = PHASE_RUNNING;
		return -1;
	}
	mgr.phase = phase == PHASE_FLUSHING ? PHASE_SHUTDOWN : phase;
	mgr.exit_code = code;
	mgr.launch_failed = failed != 0;
	mgr.named = named;
	mgr.too_early = early;
	/* Who was asked to end does; else all signals are news to us. */
	if (shutting_down())
		mgr.signals = mgr.replayed = signals;
	/* More than the one before can have published. */
	mgr.sequence = sequence + (UINT64_C(1) << 32);
	return 0;
}
