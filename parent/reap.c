#include <sys/wait.h>

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "../common/log.h"
#include "parent.h"

/* The process ids of the API, and the ends of their processes. */

TAILQ_HEAD(slots, slot);

static int
compare_process(const struct slot *a, const struct slot *b)
{
	return a->process < b->process ? -1 : a->process > b->process;
}

static int
compare_pid(const struct slot *a, const struct slot *b)
{
	return a->pid < b->pid ? -1 : a->pid > b->pid;
}

static RB_HEAD(by_process, slot) by_process = RB_INITIALIZER(&by_process);
static RB_HEAD(by_pid, slot) by_pid = RB_INITIALIZER(&by_pid);
RB_PROTOTYPE(by_process, slot, by_process, compare_process)
RB_PROTOTYPE(by_pid, slot, by_pid, compare_pid)
RB_GENERATE(by_process, slot, by_process, compare_process)
RB_GENERATE(by_pid, slot, by_pid, compare_pid)

/* Untouched pages cost nothing. */
static struct slot slots[MAX_PROCESSES];
static struct slots free_slots = TAILQ_HEAD_INITIALIZER(free_slots);
static uint32_t fresh; /* slots from here on were never used */

struct slot *
slot_of_process(uint32_t process)
{
	struct slot key = {.process = process};

	return RB_FIND(by_process, &by_process, &key);
}

struct slot *
slot_of_pid(pid_t pid)
{
	struct slot key = {.pid = pid};

	return RB_FIND(by_pid, &by_pid, &key);
}

struct slot *
slot_next(struct slot *s)
{
	return s == NULL ? RB_MIN(by_process, &by_process) :
			   RB_NEXT(by_process, &by_process, s);
}

uint32_t
slot_index(const struct slot *s)
{
	return (uint32_t)(s - slots);
}

struct slot *
slot_new(uint32_t process)
{
	static const struct stream_cell nothing[CELLS_PER_SLOT];
	struct slot *s;

	s = TAILQ_FIRST(&free_slots);
	if (s != NULL) {
		TAILQ_REMOVE(&free_slots, s, link);
		(void)!pwrite(parent.cells, nothing, sizeof(nothing),
		    (off_t)(slot_index(s) * sizeof(nothing)));
	} else if (fresh < MAX_PROCESSES)
		s = &slots[fresh++];
	else
		return NULL;
	memset(s, 0, sizeof(*s));
	s->process = process;
	s->entry = NO_ENTRY;
	s->input = s->output[0] = s->output[1] = s->watch = -1;
	s->report = -1;
	s->journal[0] = s->journal[1] = -1;
	RB_INSERT(by_process, &by_process, s);
	if (process > parent.highest && process < FIRST_PROBE)
		parent.highest = process;
	return s;
}

void
slot_free(struct slot *s)
{
	RB_REMOVE(by_process, &by_process, s);
	if (s->flags & IS_GROUPED)
		(void)cgroup_left(s->process, 0);
	stream_forget(s);
	orphan_gone(s->process);
	free(s->announce);
	TAILQ_INSERT_HEAD(&free_slots, s, link);
}

void
slot_live(struct slot *s, pid_t pid)
{
	s->pid = pid;
	s->flags |= IS_LIVE;
	RB_INSERT(by_pid, &by_pid, s);
}

/* ---- telling ----------------------------------------------------------- */

static void
settle(struct slot *s)
{
	if (s->state == SLOT_EXITED && !(s->flags & IS_LEFT) &&
	    (s->flags & IS_ACKED))
		s->state = SLOT_IDLE;
	if (s->state == SLOT_IDLE && (s->flags & IS_FORGOTTEN))
		slot_free(s);
}

void
reap_failed(struct slot *s)
{
	struct wire *w;

	s->state = SLOT_EXITED;
	s->flags |= IS_ACKED; /* there is no exit to take note of */
	w = message();
	wire_put_u32(w, s->process);
	wire_put_u32(w, s->generation);
	wire_put_u8(w, s->stage);
	wire_put_i32(w, s->error);
	send_wire(parent.manager, IMSG_PROC_SPAWN_FAILED, 0, -1);
	spawn_settled(s);
	if (!(s->flags & IS_LEFT))
		s->state = SLOT_IDLE;
}

void
reap_gone(struct slot *s)
{
	struct wire *w;

	/*
	 * A group that was killed once is not used again: Linux kills what
	 * clone3 puts into it from another group (6.18: the sequence number
	 * of kills is taken of the parent's group, and compared with its).
	 */
	if ((s->flags & IS_DOOMED) && (s->flags & IS_GROUPED))
		(void)cgroup_left(s->process, 0);
	s->flags &= (uint16_t) ~(IS_LEFT | IS_DOOMED);
	input_close(s);
	if (s->stage != STAGE_NONE)
		reap_failed(s);
	else {
		w = message();
		wire_put_u32(w, s->process);
		wire_put_u32(w, s->generation);
		send_wire(parent.manager, IMSG_PROC_GONE, 0, -1);
	}
	settle(s);
}

void
watch_close(struct slot *s)
{
	if (s->watch == -1)
		return;
	(void)close(s->watch);
	s->watch = -1;
	parent.watchers--;
}

/* Probes that watch this process are told how it ended. */
static void
tell_watchers(const struct slot *about)
{
	struct slot *s;

	for (s = slot_next(NULL); s != NULL; s = slot_next(s))
		if (s->watch != -1 && s->about == about->process) {
			(void)!write(
			    s->watch, &about->status, sizeof(about->status));
			watch_close(s);
		}
}

static void
ended(struct slot *s)
{
	struct wire *w;

	s->state = SLOT_EXITED;
	watch_close(s);
	if (group_left(s))
		s->flags |= IS_LEFT;
	if (s->stage != STAGE_NONE) {
		/* It may be asked for again as soon as this is told. */
		if (s->flags & IS_LEFT)
			group_doom(s);
		else
			reap_gone(s);
		return;
	}
	if (parent.watchers > 0)
		tell_watchers(s);
	w = message();
	wire_put_u32(w, s->process);
	wire_put_u32(w, s->generation);
	wire_put_i32(w, s->status);
	wire_put_u64(w, s->ended);
	wire_put_u8(w, (s->flags & IS_LEFT) != 0);
	send_wire(parent.manager, IMSG_PROC_EXITED, 0, -1);
	late_exit();
	if (!(s->flags & IS_LEFT))
		reap_gone(s);
	else if (s->flags & IS_DOOMED)
		group_doom(s);
}

/* ---- reaping ----------------------------------------------------------- */

static int
wait_status(const siginfo_t *info)
{
	return info->si_code == CLD_EXITED ? W_EXITCODE(info->si_status, 0) :
	    info->si_code == CLD_DUMPED    ? info->si_status | WCOREFLAG :
					     info->si_status;
}

/*
 * An exit is noted before it is reaped; what belongs to it is looked for
 * once for all that have ended together.
 */
void
reap(void)
{
	const int options_all = WEXITED | WSTOPPED | WNOHANG | WNOWAIT;
	struct slots batch = TAILQ_HEAD_INITIALIZER(batch);
	struct slot *s;
	siginfo_t info;
	int status;

	for (;;) {
		info.si_pid = 0;
		if (waitid(P_ALL, 0, &info, options_all) == -1 ||
		    info.si_pid == 0)
			break;
		if (info.si_code == CLD_STOPPED) {
			(void)waitid(P_PID, (id_t)info.si_pid, &info,
			    WSTOPPED | WNOHANG);
			/* One that is stopped answers nobody. */
			if (child_is(info.si_pid))
				(void)kill(info.si_pid, SIGKILL);
			continue;
		}
		status = wait_status(&info);
		s = slot_of_pid(info.si_pid);
		if (s != NULL) {
			spawn_over(s);
			RB_REMOVE(by_pid, &by_pid, s);
			s->status = status;
			s->ended = now();
			s->flags &= (uint16_t)~IS_LIVE;
			TAILQ_INSERT_TAIL(&batch, s, link);
		}
		(void)waitid(P_PID, (id_t)info.si_pid, &info, WEXITED);
		if (s == NULL && !users_reaped(info.si_pid) &&
		    child_reaped(info.si_pid, status) == -1)
			group_orphaned();
	}
	group_look();
	TAILQ_FOREACH (s, &batch, link)
		ended(s);
	/* The manager learns of an exit before the relay can tell that the
	 * last output of it has come. */
	if (!TAILQ_EMPTY(&batch) && parent.manager->channel != NULL)
		(void)channel_flush(parent.manager->channel);
	while ((s = TAILQ_FIRST(&batch)) != NULL) {
		TAILQ_REMOVE(&batch, s, link);
		stream_exit(s);
		settle(s);
	}
	group_check();
}

int
reap_ack(struct wire_reader *r)
{
	struct slot *s;
	uint32_t generation;

	s = slot_of_process(wire_get_u32(r));
	generation = wire_get_u32(r);
	if (wire_end(r) == -1 || s == NULL || generation != s->generation ||
	    s->state != SLOT_EXITED)
		return -1;
	s->flags |= IS_ACKED;
	settle(s);
	return 0;
}

int
reap_forget(struct wire_reader *r)
{
	struct slot *s;
	uint32_t process;

	process = wire_get_u32(r);
	s = slot_of_process(process);
	/* A probe may have been forgotten by the manager before. */
	if (wire_end(r) == 0 && s == NULL && process >= FIRST_PROBE)
		return 0;
	if (r->failed || s == NULL || s->state == SLOT_SPAWNING ||
	    s->state == SLOT_RUNNING)
		return -1;
	s->flags |= IS_FORGOTTEN | IS_ACKED;
	if (s->flags & IS_LEFT)
		group_doom(s);
	settle(s);
	return 0;
}
