#include <sys/wait.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../common/imsg.h"
#include "../common/log.h"
#include "../common/wire.h"
#include "manager.h"

/*
 * The state of the world, told by the parent after the seal: empty at the
 * boot; after a crash of the manager, or a reload, what runs, what has ended
 * unseen, and the blobs of the manager before.  All is gathered first; at the
 * end each process of ours finds what is known of it.
 */

/* What is known of a process id. */
struct record {
	RB_ENTRY(record) entry;
	uint32_t id;
	int seen; /* the parent has a slot of it */
	uint8_t slot_state;
	uint8_t leftover;
	uint8_t stage;
	uint32_t generation;
	uint32_t slot;
	int32_t pid;
	int32_t status;
	int32_t error;
	uint64_t started;
	uint64_t ended;
	int has_blob;
	int lost; /* it is nobody's any more */
	struct blob blob;
};
RB_HEAD(record_tree, record);

static struct record_tree records = RB_INITIALIZER(&records);
static int global_seen;
static int procs_seen;
static uint32_t highest;

static int
record_compare(struct record *a, struct record *b)
{
	return a->id < b->id ? -1 : a->id > b->id;
}

RB_GENERATE_INTERNAL(record_tree, record, entry, record_compare,
    __attribute__((__unused__)) static)

static struct record *
record_of(uint32_t id)
{
	struct record key;
	struct record *r;

	memset(&key, 0, sizeof(key));
	key.id = id;
	r = RB_FIND(record_tree, &records, &key);
	if (r != NULL)
		return r;
	r = calloc(1, sizeof(*r));
	if (r == NULL)
		fatal("state of the world");
	r->id = id;
	(void)RB_INSERT(record_tree, &records, r);
	return r;
}

/* ---- gathering -------------------------------------------------------- */

static void
forget_probe(uint32_t id, uint32_t generation, uint8_t state)
{
	struct wire w;

	wire_init(&w);
	wire_put_u32(&w, id);
	if (state == SLOT_RUNNING || state == SLOT_SPAWNING) {
		wire_put_u32(&w, generation);
		(void)manager_send(IMSG_PROC_KILL, 0, &w);
	} else /* with what is left of it */
		(void)manager_send(IMSG_PROC_FORGET, 0, &w);
	wire_free(&w);
}

static int
read_proc(struct wire_reader *in)
{
	struct record *r;
	uint32_t generation;
	uint32_t id;
	uint8_t state;

	id = wire_get_u32(in);
	generation = wire_get_u32(in);
	(void)wire_get_u32(in); /* entry: of the table that was */
	(void)wire_get_u32(in); /* instance */
	state = wire_get_u8(in);
	if (id == 0)
		return -1;
	if (id >= PROBE_IDS) {
		forget_probe(id, generation, state);
		return 0;
	}
	r = record_of(id);
	r->seen = procs_seen = 1;
	r->generation = generation;
	r->slot_state = state;
	r->pid = wire_get_i32(in);
	r->started = wire_get_u64(in);
	r->status = wire_get_i32(in);
	r->ended = wire_get_u64(in);
	r->stage = wire_get_u8(in);
	r->error = wire_get_i32(in);
	r->leftover = (uint8_t)wire_get_bool(in);
	r->slot = wire_get_u32(in);
	/* The tree owns it. */
	return wire_end(in); /* NOLINT(clang-analyzer-unix.Malloc) */
}

static int
read_blob(struct wire_reader *in)
{
	struct record *r;
	const void *data;
	size_t len;
	uint64_t key;

	key = wire_get_u64(in);
	data = wire_get_bytes(in, MAX_BLOB_SIZE, &len);
	if (wire_end(in) == -1)
		return -1;
	/*
	 * The manager before may have been in other hands.  What cannot be
	 * read must not cost each one after it its life: it is as if it were
	 * missing.
	 */
	if (key == BLOB_GLOBAL) {
		global_seen = 1;
		if (blob_read_global(data, len) == -1)
			log_warnx("the state that was left is damaged");
		return 0;
	}
	if (key >> 32 != BLOB_PROCESS >> 32 || (uint32_t)key == 0 ||
	    (uint32_t)key > PROBE_IDS / 2)
		return 0;
	r = record_of((uint32_t)key);
	blob_free(&r->blob);
	r->has_blob = blob_read_process(&r->blob, data, len) == 0;
	if (!r->has_blob)
		log_warnx(
		    "the state that was left of process %u is damaged", r->id);
	return 0;
}

/* ---- whose is it? ------------------------------------------------------- */

/* After a reload ids do not follow from the file: the blobs have names. */
static struct process *
owner(const struct record *r)
{
	struct job *job;
	size_t i;

	if (!r->has_blob || r->blob.job[0] == '\0')
		return process_find(r->id);
	if (strcmp(r->blob.job, BLOB_HIDDEN) == 0)
		return mgr.runner == NULL || r->blob.instance != 0 ?
		    NULL :
		    mgr.runner->processes[0];
	for (i = 0; i < mgr.njobs; i++) {
		job = &mgr.jobs[i];
		if (strcmp(job->config->name, r->blob.job) != 0 || job->hidden)
			continue;
		return r->blob.instance < job->nprocesses ?
		    job->processes[r->blob.instance] :
		    NULL;
	}
	return NULL;
}

/* Gives each process the id under which it is known, the new ones new ids. */
static void
renumber(void)
{
	struct process **owners;
	struct process *p;
	struct record *r;
	uint32_t i;
	uint32_t n;

	n = 0;
	RB_FOREACH (r, record_tree, &records)
		n++;
	owners = calloc((size_t)n + 1, sizeof(struct process *));
	if (owners == NULL)
		fatal("state of the world");
	i = 0;
	RB_FOREACH (r, record_tree, &records)
		owners[i++] = owner(r);
	for (i = 0; i < mgr.nprocesses; i++)
		mgr.processes[i]->id = 0;
	i = 0;
	RB_FOREACH (r, record_tree, &records) {
		p = owners[i++];
		if (r->id > highest)
			highest = r->id;
		if (p == NULL || p->id != 0) {
			r->lost = !r->seen;
			if (!r->seen)
				continue; /* there is nothing to look after */
			p = jobs_retired(&r->blob);
		}
		p->id = r->id;
	}
	free(owners);
	for (i = 0; i < mgr.nprocesses; i++)
		if (mgr.processes[i]->id == 0)
			mgr.processes[i]->id = ++highest;
	jobs_sort();
}

/* ---- adoption ----------------------------------------------------------- */

static void
adopt_counts(struct process *p)
{
	struct job *job;

	job = p->job;
	if (p->listed)
		job->nverified++;
}

/* When it was by the clock on the wall; 0 if that cannot be. */
static int64_t
wall_of(uint64_t mono)
{
	uint64_t since;

	since = now_mono();
	return mono == 0 || mono > since ? 0 :
					   now_wall() - (int64_t)(since - mono);
}

static void
take_record(struct process *p, struct record *r)
{
	if (r->seen) {
		/* What a missing blob means. */
		p->state = STATE_RUNNING;
		p->want = WANT_UP;
		p->verified = p->job->config->nverifiers == 0;
		p->listed = p->verified;
	}
	if (r->has_blob)
		blob_apply(&r->blob, p);
	if (shutting_down()) { /* which has no blobs */
		p->want = WANT_DOWN;
		p->again = 0;
	}
	if (!r->seen)
		return;
	/* Nothing verifies another one than that of which it was said. */
	if (p->generation < r->generation && p->job->config->nverifiers > 0)
		p->verified = 0;
	if (p->generation != r->generation || p->started_wall == 0)
		p->started_wall = wall_of(r->started);
	p->generation = r->generation;
	p->pid = r->pid;
	p->started = r->started;
	/* What is as a missing blob says has no wall clock in one. */
	if (p->started_wall == 0 && p->started != 0)
		p->started_wall =
		    now_wall() - (int64_t)(now_mono() - p->started);
	p->stage = r->stage;
	p->error = r->error;
	p->slot = r->slot;
}

/* The manager before was killed between the blob and the spawn itself. */
static int
was_not_asked_for(const struct record *r)
{
	return r->has_blob && r->blob.state == STATE_STARTING &&
	    r->blob.generation > (r->seen ? r->generation : 0);
}

static void
ask_again(struct process *p, const struct record *r)
{
	p->generation = r->blob.generation - 1;
	if (p->restarts > 0)
		p->restarts--;
	process_adopt_lost(p);
}

static void
adopt_process(struct process *p, struct record *r)
{
	take_record(p, r);
	p->on_its_way = p->again || p->state == STATE_STARTING;
	adopt_counts(p);
	process_touch(p);
	if (was_not_asked_for(r)) {
		ask_again(p, r);
		return;
	}
	if (!r->seen || r->slot_state == SLOT_FREE) {
		if (p->state == STATE_STARTING || p->state == STATE_STOPPING)
			process_adopt_lost(p);
		else if (p->state == STATE_BACKOFF)
			process_adopt_ended(p);
		return;
	}
	switch (r->slot_state) {
	case SLOT_SPAWNING:
		p->spawning = 1;
		p->pid = 0;
		if (p->state != STATE_STOPPING)
			p->state = STATE_STARTING;
		break;
	case SLOT_RUNNING:
		process_adopt_live(p);
		break;
	case SLOT_EXITED:
		process_adopt_live(p);
		p->status = r->status;
		p->ended_at = r->ended;
		p->leftover = r->leftover;
		process_event(p, EVENT_EXITED);
		break;
	case SLOT_LEFT:
		p->status = r->status;
		p->ended_at = r->ended;
		process_adopt_left(p);
		break;
	default: /* idle: the end was acknowledged, or it could not start */
		p->status =
		    r->stage == STAGE_NONE ? r->status : W_EXITCODE(127, 0);
		p->ended_at = r->ended;
		/* In backoff it was taken note of. */
		if (r->stage != STAGE_NONE && p->state != STATE_BACKOFF)
			process_event(p, EVENT_SPAWN_FAILED);
		else
			process_adopt_ended(p);
		break;
	}
}

/*
 * What another configuration means for a process that was adopted: that of a
 * reload, or, if its manager did not live to the end of it, that of before.
 */
static void
apply_reload(struct process *p, const struct record *r)
{
	int was_retired;

	if (p->job->retired) {
		process_event(p, EVENT_STOP);
		return;
	}
	if (!r->has_blob || r->blob.hash == 0 ||
	    r->blob.hash == p->job->config->hash)
		return;
	p->job->changed = 1;
	was_retired = r->blob.hash == BLOB_RETIRED;
	switch (p->state) {
	case STATE_BACKOFF:
	case STATE_FAILED:
		process_start_anew(p);
		break;
	case STATE_EXITED: /* what it had to do is done */
		if (process_success(p) == -1)
			process_start_anew(p);
		break;
	case STATE_STOPPED:
		if (was_retired)
			process_start_anew(p);
		break;
	case STATE_STOPPING: /* by itself, and what it has left goes now */
		if (!p->live && !p->spawning && p->want == WANT_UP &&
		    process_success(p) == -1) {
			process_event(p, EVENT_RESTART);
			break;
		}
		/* FALLTHROUGH */
	default:
		if (p->live || p->spawning || was_retired)
			process_event(p, EVENT_RESTART);
		break;
	}
}

/* ---- the end --------------------------------------------------------------
 */

/* Jobs that have all been asked to start; a reload may have added instances. */
static void
note_launched(void)
{
	struct job *job;
	size_t i;
	size_t j;

	for (i = 0; i < mgr.njobs; i++) {
		job = &mgr.jobs[i];
		job->launched = 1;
		for (j = 0; j < job->nprocesses; j++)
			if (job->processes[j]->state == STATE_WAITING)
				job->launched = 0;
	}
}

static void
adopt_all(void)
{
	struct record *r;
	struct process *p;

	RB_FOREACH (r, record_tree, &records) {
		p = process_find(r->id);
		if (p != NULL && !r->lost)
			adopt_process(p, r);
	}
	if (!shutting_down())
		RB_FOREACH (r, record_tree, &records) {
			p = process_find(r->id);
			if (p != NULL && !r->lost)
				apply_reload(p, r);
		}
}

/* After all that they are known for has been told. */
static void
forget_records(void)
{
	struct record *next;
	struct record *r;

	RB_FOREACH_SAFE (r, record_tree, &records, next) {
		if (r->lost && r->has_blob)
			blob_forget(r->id);
		(void)RB_REMOVE(record_tree, &records, r);
		blob_free(&r->blob);
		free(r);
	}
}

static void
reconcile(void)
{
	feed_status_changed();
	if (!global_seen && !procs_seen) {
		launch_begin();
		return;
	}
	if (!global_seen) /* it was taken away: what runs is all we know */
		mgr.phase = PHASE_RUNNING;
	renumber();
	adopt_all();
	note_launched();
	log_info("adopted %u processes", mgr.nprocesses);
	if (mgr.birth == BIRTH_CHECK) {
		launch_reloaded();
		/* Then the old configuration may go: all is as the new one
		 * wants it, or will be. */
		feed_flush();
		(void)manager_send(IMSG_ADOPTED, 0, NULL);
	} else
		launch_adopt();
	forget_records();
	if (shutting_down())
		shutdown_again();
}

int
world_message(struct imsg *imsg)
{
	struct wire_reader r;

	message_read(&r, imsg);
	switch (imsg_get_type(imsg)) {
	case IMSG_WORLD_PROC:
		return read_proc(&r);
	case IMSG_WORLD_BLOB:
		return read_blob(&r);
	case IMSG_WORLD_END:
		highest = wire_get_u32(&r);
		if (wire_end(&r) == -1)
			return -1;
		/* Probes have numbers of their own. */
		if (highest >= PROBE_IDS)
			highest = 0;
		reconcile();
		return 0;
	default:
		return -1;
	}
}
