#include <string.h>

#include "../common/imsg.h"
#include "../common/wire.h"
#include "manager.h"

/*
 * State that outlives this manager: a blob for each process and one for the
 * whole, kept by the parent unread.  A running, verified process with no
 * history needs none: that is what a missing blob means.
 */

#define BLOB_VERSION 1
#define KEY_GLOBAL UINT64_C(0)
#define KEY_PROCESS (UINT64_C(1) << 32)

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
	return p->state == STATE_RUNNING && p->want == WANT_UP && p->verified &&
	    p->listed && p->backoff == 0 && p->retries == 0 &&
	    p->restarts == 0 && !p->again && !p->ended;
}

void
blob_process(struct process *p)
{
	struct wire w;

	/* That all go down is in the global blob. */
	if (shutting_down())
		return;
	if (is_default(p)) {
		if (p->stored)
			send_blob(KEY_PROCESS | p->id, NULL);
		p->stored = 0;
		return;
	}
	p->stored = 1;
	wire_init(&w);
	wire_put_u8(&w, BLOB_VERSION);
	wire_put_u8(&w, p->state);
	wire_put_u8(&w, p->want);
	wire_put_u8(&w, p->verified);
	wire_put_u8(&w, p->listed);
	wire_put_u8(&w, p->again);
	wire_put_u8(&w, p->ended);
	wire_put_u8(&w, p->stage);
	wire_put_i32(&w, p->error);
	wire_put_u32(&w, p->generation);
	wire_put_i32(&w, p->status);
	wire_put_u32(&w, p->restarts);
	wire_put_u16(&w, p->backoff);
	wire_put_u16(&w, p->retries);
	wire_put_u64(&w, p->ended_at);
	wire_put_i64(&w, p->started_wall);
	wire_put_i64(&w, p->ended_wall);
	send_blob(KEY_PROCESS | p->id, &w);
	wire_free(&w);
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
	wire_put_u64(&w, mgr.sequence);
	send_blob(KEY_GLOBAL, &w);
	wire_free(&w);
}

static int
read_process(struct process *p, struct wire_reader *r)
{
	uint8_t state;

	if (wire_get_u8(r) != BLOB_VERSION)
		return -1;
	state = wire_get_u8(r);
	if (state >= STATE_COUNT)
		return -1;
	p->state = state;
	p->want = (uint8_t)wire_get_bool(r);
	p->verified = (uint8_t)wire_get_bool(r);
	p->listed = (uint8_t)wire_get_bool(r);
	p->again = (uint8_t)wire_get_bool(r);
	p->ended = (uint8_t)wire_get_bool(r);
	p->stage = wire_get_u8(r);
	p->error = wire_get_i32(r);
	p->generation = wire_get_u32(r);
	p->status = wire_get_i32(r);
	p->restarts = wire_get_u32(r);
	p->backoff = wire_get_u16(r);
	p->retries = wire_get_u16(r);
	p->ended_at = wire_get_u64(r);
	p->started_wall = wire_get_i64(r);
	p->ended_wall = wire_get_i64(r);
	p->stored = 1;
	return wire_end(r);
}

int
blob_read(uint64_t key, const void *data, size_t len)
{
	struct wire_reader r;
	struct process *p;
	uint8_t phase;

	wire_read(&r, data, len);
	if (key == KEY_GLOBAL) {
		if (wire_get_u8(&r) != BLOB_VERSION)
			return -1;
		phase = wire_get_u8(&r);
		if (phase < PHASE_LAUNCHING || phase > PHASE_FLUSHING)
			return -1;
		mgr.phase = phase == PHASE_FLUSHING ? PHASE_SHUTDOWN : phase;
		mgr.exit_code = wire_get_u8(&r);
		mgr.launch_failed = wire_get_u8(&r);
		mgr.sequence = wire_get_u64(&r) + 1000000;
		return wire_end(&r);
	}
	if ((key & KEY_PROCESS) == 0)
		return 0;
	p = process_find((uint32_t)key);
	return p == NULL ? 0 : read_process(p, &r);
}
