#include <stdlib.h>
#include <string.h>

#include "../common/imsg.h"
#include "../common/log.h"
#include "../common/wire.h"
#include "manager.h"

/*
 * The state of the world, told by the parent after the seal: empty at the
 * boot; after a crash of the manager what runs, what has ended unseen, and
 * the blobs of the one before.
 */

/* What the parent knows of a process. */
struct seen {
	uint8_t state; /* enum slot_state */
	uint8_t leftover;
	int32_t status;
	uint64_t ended;
};

static struct seen *world; /* index id - 1 */
static int blobs;

static void
forget_probe(uint32_t id, uint32_t generation, uint8_t state)
{
	struct wire w;

	if (state == SLOT_EXITED)
		manager_ack(id, generation);
	wire_init(&w);
	wire_put_u32(&w, id);
	if (state == SLOT_RUNNING || state == SLOT_SPAWNING) {
		wire_put_u32(&w, generation);
		(void)manager_send(IMSG_PROC_KILL, 0, &w);
	} else if (state == SLOT_IDLE)
		(void)manager_send(IMSG_PROC_FORGET, 0, &w);
	wire_free(&w);
}

static int
read_proc(struct wire_reader *r)
{
	struct process *p;
	struct seen *s;
	uint32_t generation;
	uint32_t id;
	uint8_t state;

	id = wire_get_u32(r);
	generation = wire_get_u32(r);
	(void)wire_get_u32(r); /* entry */
	(void)wire_get_u32(r); /* instance */
	state = wire_get_u8(r);
	if (id >= PROBE_IDS) {
		forget_probe(id, generation, state);
		return 0;
	}
	p = process_find(id);
	if (p == NULL)
		return -1;
	if (world == NULL)
		world = calloc(mgr.nprocesses, sizeof(*world));
	if (world == NULL)
		fatal("state of the world");
	s = &world[id - 1];
	s->state = state;
	p->generation = generation;
	p->pid = wire_get_i32(r);
	p->started = wire_get_u64(r);
	s->status = wire_get_i32(r);
	s->ended = wire_get_u64(r);
	p->stage = wire_get_u8(r);
	p->error = wire_get_i32(r);
	s->leftover = (uint8_t)wire_get_bool(r);
	p->slot = wire_get_u32(r);
	/* What a missing blob means. */
	p->state = STATE_RUNNING;
	p->want = WANT_UP;
	p->verified = 1;
	p->listed = 1;
	return wire_end(r);
}

static void
adopt_counts(struct process *p)
{
	struct job *job;

	job = p->job;
	if (p->generation > 0) {
		job->launched = 1;
		job->nstarted++;
	}
	if (p->listed)
		job->nverified++;
	if (p->state == STATE_EXITED && p->ended && process_success(p) == 0)
		job->nended_well++;
}

static void
adopt_process(struct process *p)
{
	const struct seen *s;

	s = world == NULL ? NULL : &world[p->id - 1];
	adopt_counts(p);
	process_touch(p);
	if (s == NULL || s->state == SLOT_FREE) {
		if (p->state == STATE_STARTING || p->state == STATE_STOPPING)
			process_adopt_lost(p);
		return;
	}
	switch (s->state) {
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
		p->status = s->status;
		p->ended_at = s->ended;
		p->leftover = s->leftover;
		process_event(p, EVENT_EXITED);
		manager_ack(p->id, p->generation);
		break;
	default: /* idle: the end was acknowledged */
		p->status = s->status;
		p->ended_at = s->ended;
		process_adopt_ended(p);
		break;
	}
}

static void
reconcile(void)
{
	enum phase phase;
	uint32_t i;

	phase = mgr.phase;
	mgr.phase = PHASE_ADOPTING;
	for (i = 0; i < mgr.nprocesses; i++)
		adopt_process(mgr.processes[i]);
	free(world);
	world = NULL;
	feed_status_changed();
	if (!blobs) {
		launch_begin();
		return;
	}
	mgr.phase = phase;
	log_info("adopted %u processes", mgr.nprocesses);
	launch_adopt();
	if (shutting_down())
		shutdown_again();
}

int
world_message(struct imsg *imsg)
{
	struct wire_reader r;
	const void *data;
	size_t len;
	uint64_t key;

	message_read(&r, imsg);
	switch (imsg_get_type(imsg)) {
	case IMSG_WORLD_PROC:
		return read_proc(&r);
	case IMSG_WORLD_BLOB:
		key = wire_get_u64(&r);
		data = wire_get_bytes(&r, MAX_BLOB_SIZE, &len);
		if (wire_end(&r) == -1)
			return -1;
		blobs = 1;
		return blob_read(key, data, len);
	case IMSG_WORLD_END:
		(void)wire_get_u32(&r);
		if (wire_end(&r) == -1)
			return -1;
		reconcile();
		return 0;
	default:
		return -1;
	}
}
