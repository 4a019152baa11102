#include <sys/wait.h>

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <event2/event.h>

#include "../common/component.h"
#include "../common/log.h"
#include "../common/snapshot.h"
#include "../common/wire.h"
#include "manager.h"

/*
 * The state machine of a process.  Whatever happens to a process is an
 * event, and the table at the end of this file says for each state what it
 * does; no other place changes `state`.
 */

typedef void (*process_handler)(struct process *);

/* How long an exit waits for the relay's word that its output is whole; a
 * relay that is replaced in between needs far less. */
#define DRAIN_PATIENCE (3 * SECOND)

/* The least before a spawn that failed is tried again. */
#define SPAWN_PAUSE (SECOND / 10)

static uint32_t spawn_group;

static void
set_state(struct process *p, enum process_state state)
{
	p->state = (uint8_t)state;
	process_touch(p);
}

void
process_spawn_group(uint32_t group)
{
	spawn_group = group;
}

void
process_touch(struct process *p)
{
	p->committed = 0;
	if (!p->dirty) {
		p->dirty = 1;
		STAILQ_INSERT_TAIL(&mgr.dirty, p, dirty_entry);
	}
	manager_later();
}

struct process *
process_find(uint32_t id)
{
	uint32_t high;
	uint32_t low;
	uint32_t mid;

	/* Mostly ids are 1, 2, 3 …; after reloads some are missing. */
	if (id >= 1 && id <= mgr.nprocesses && mgr.processes[id - 1]->id == id)
		return mgr.processes[id - 1];
	low = 0;
	high = mgr.nprocesses;
	while (low < high) {
		mid = (low + high) / 2;
		if (mgr.processes[mid]->id == id)
			return mgr.processes[mid];
		if (mgr.processes[mid]->id < id)
			low = mid + 1;
		else
			high = mid;
	}
	return NULL;
}

int
process_code(int32_t status)
{
	if (WIFSIGNALED(status))
		return -WTERMSIG(status);
	return WEXITSTATUS(status);
}

/* The code that an `exited` verifier asks for; 0 if there is none. */
static int
code_asked_for(const struct job_config *c)
{
	size_t i;

	for (i = 0; i < c->nverifiers; i++)
		if (c->verifiers[i].kind == VERIFY_EXITED)
			return c->verifiers[i].expect_code;
	return 0;
}

int
process_success(const struct process *p)
{
	const struct job_config *c;
	size_t i;
	int code;

	c = p->job->config;
	code = process_code(p->status);
	if (c->nsuccess == 0)
		return code == code_asked_for(c) ? 0 : -1;
	for (i = 0; i < c->nsuccess; i++)
		if (c->success_codes[i] == code)
			return 0;
	return -1;
}

void
process_signal_name(int signal, char *buf, size_t size)
{
	const char *name;

	name = sigabbrev_np(signal);
	if (name != NULL)
		(void)snprintf(buf, size, "SIG%s", name);
	else /* a real-time signal, signal(7) */
		(void)snprintf(buf, size, "SIGRTMIN%+d", signal - SIGRTMIN);
}

void
process_end_text(const struct process *p, char *buf, size_t size)
{
	char name[16];

	if (!WIFSIGNALED(p->status)) {
		(void)snprintf(
		    buf, size, "exited with code %d", WEXITSTATUS(p->status));
		return;
	}
	process_signal_name(WTERMSIG(p->status), name, sizeof(name));
	(void)snprintf(buf, size, "was ended by %s", name);
}

/* ---- timers --------------------------------------------------------- */

static void
process_timer_cb(int fd, short ev, void *arg)
{
	struct process *p;

	(void)fd;
	(void)ev;
	p = arg;
	process_timer_stop(p);
	process_event(p, EVENT_TIMER);
}

void
process_timer(struct process *p, uint64_t ns)
{
	struct timeval tv;

	if (p->timer == NULL)
		p->timer = evtimer_new(mgr.base, process_timer_cb, p);
	tv.tv_sec = (time_t)(ns / SECOND);
	tv.tv_usec = (suseconds_t)(ns % SECOND / 1000);
	if (p->timer == NULL || evtimer_add(p->timer, &tv) == -1)
		fatalx("process %u: no memory for a timer", p->id);
}

void
process_timer_stop(struct process *p)
{
	if (p->timer == NULL)
		return;
	event_free(p->timer);
	p->timer = NULL;
}

static void
stop_at_rest(struct process *p)
{
	process_timer_stop(p);
	verify_cancel(p);
	p->want = WANT_DOWN;
	p->forgotten = (uint8_t)p->job->retired;
	set_state(p, STATE_STOPPED);
}

static void
back_off(struct process *p, uint64_t delay)
{
	p->due = now_mono() + delay;
	set_state(p, STATE_BACKOFF);
	process_timer(p, delay);
}

/* ---- spawning ------------------------------------------------------- */

static void
send_spawn(struct process *p)
{
	struct wire w;
	char line[MAX_CONSOLE - 64];

	line[0] = '\0';
	if (!(mgr.snapshot->flags & SNAPSHOT_RUNNER))
		console_command(line, sizeof(line), p);
	wire_init(&w);
	wire_put_u32(&w, p->id);
	wire_put_u32(&w, p->generation);
	wire_put_u32(&w, p->job->config->entry);
	wire_put_u32(&w, p->instance);
	wire_put_u32(&w, spawn_group);
	wire_put_u32(&w, 0);
	wire_put_str(&w, line);
	(void)manager_send(IMSG_PROC_SPAWN, 0, &w);
	wire_free(&w);
}

static void
spawn(struct process *p)
{
	/* Whoever has decided it has not heard of the end. */
	if (shutting_down()) {
		stop_at_rest(p);
		request_process_settled(p, -1, "Process is in shutdown.");
		return;
	}
	process_timer_stop(p);
	p->want = WANT_UP;
	p->again = 0;
	p->short_stop = 0;
	p->step = 0;
	p->generation++;
	if (p->generation > 1)
		p->restarts++;
	p->spawning = 1;
	p->verified = 0;
	p->stage = STAGE_NONE;
	p->error = 0;
	set_state(p, STATE_STARTING);
	blob_commit(p);
	send_spawn(p);
}

/* A wish from outside: what happened before no longer counts. */
static void
spawn_afresh(struct process *p)
{
	restart_forget(p);
	verify_cancel(p);
	spawn(p);
}

static void
started(struct process *p)
{
	p->spawning = 0;
	p->live = 1;
	p->started_wall = now_wall();
	p->ended = 0;
	process_touch(p);
	if (p->job->config->nverifiers > 0) {
		verify_begin(p);
		launch_continue();
		return;
	}
	process_event(p, EVENT_VERIFIED);
}

/* It was to be stopped while its spawn was on the way. */
static void
started_to_stop(struct process *p)
{
	p->spawning = 0;
	p->live = 1;
	p->started_wall = now_wall();
	p->ended = 0;
	process_touch(p);
	stop_begin(p);
}

/*
 * One that has run before, or for which something was lacking that may come
 * back, is kept up as its restart policy says; a first start that fails for
 * another reason is a mistake that time does not mend.
 */
static int
spawn_may_work_later(const struct process *p)
{
	return p->generation > 1 || p->error == EAGAIN || p->error == ENOMEM ||
	    p->error == EMFILE || p->error == ENFILE || p->error == ETXTBSY;
}

/*
 * on-exit: shutdown.  Its code is musterd's, but a command of -x that is cut
 * off by that has not succeeded, whatever this one did.
 */
static void
end_all_with(const struct process *p)
{
	const struct process *command;
	char end[64];
	int code;

	if (!p->job->config->exit_shutdown)
		return;
	code = process_code(p->status);
	if (code < 0)
		code = 128 - code;
	command = mgr.runner == NULL ? NULL : mgr.runner->processes[0];
	if (command != NULL && command != p && !shutting_down() &&
	    !command->ended) {
		process_end_text(p, end, sizeof(end));
		log_warnx("%s: %s, and ends all (on-exit)", p->job->name, end);
		if (code == 0)
			code = command->live ? 128 + SIGTERM : EXIT_SETUP;
	}
	shutdown_begin(code);
}

static void
spawn_again_or_not(struct process *p)
{
	uint64_t delay;

	if (mgr.phase != PHASE_RUNNING || p->job->hidden)
		return;
	if (spawn_may_work_later(p) && restart_wanted(p) &&
	    restart_decide(p, &delay) != RESTART_GIVE_UP)
		back_off(p, delay < SPAWN_PAUSE ? SPAWN_PAUSE : delay);
	else
		end_all_with(p);
}

static void
spawn_failed(struct process *p)
{
	char text[512];

	p->spawning = 0;
	p->live = 0;
	/* As a shell says it of a program that cannot be run. */
	p->ended = 1;
	p->status = W_EXITCODE(127, 0);
	p->started = p->ended_at = now_mono(); /* it has not lived */
	p->ended_wall = now_wall();
	verify_cancel(p);
	set_state(p, STATE_FAILED);
	if (p->stage == STAGE_SKIPPED)
		return;
	process_failure(p, text, sizeof(text));
	launch_process_failed(p, text);
	request_process_settled(p, -1, text);
	spawn_again_or_not(p);
}

static void
spawn_failed_stopping(struct process *p)
{
	int again;

	again = p->again;
	p->spawning = 0;
	p->live = 0;
	if (again) {
		spawn(p);
		return;
	}
	stop_at_rest(p);
	request_process_settled(p, -1, "Process is in shutdown.");
}

/* ---- verification --------------------------------------------------- */

static void
note_verified(struct process *p)
{
	if (!p->listed) {
		p->listed = 1;
		p->job->nverified++;
	}
	p->verified = 1;
	process_touch(p);
	progress_process(p);
	request_process_settled(p, 0, "");
	launch_continue();
}

static void
verified(struct process *p)
{
	set_state(p, STATE_RUNNING);
	note_verified(p);
}

static void
note_verify_failed(struct process *p)
{
	process_touch(p);
	launch_process_failed(p, NULL);
	request_process_settled(p, -1, verify_reason(p));
}

/* At a restart it is left running, as pymanager does; at the launch
 * launch_process_failed() takes all down. */
static void
verify_failed(struct process *p)
{
	set_state(p, STATE_RUNNING);
	note_verify_failed(p);
}

/* ---- the end -------------------------------------------------------- */

/* The parent knows what is to become of it before it hears of a signal. */
static void
begin_to_stop(struct process *p)
{
	verify_cancel(p);
	set_state(p, STATE_STOPPING);
	blob_commit(p);
	if (p->live)
		stop_begin(p);
}

static void
stop_again(struct process *p)
{
	p->want = WANT_DOWN;
	p->again = 0;
	process_touch(p);
}

static void
come_back(struct process *p)
{
	p->want = WANT_UP;
	p->again = 1;
	process_touch(p);
}

static void
stop(struct process *p)
{
	stop_again(p);
	begin_to_stop(p);
}

static void
restart(struct process *p)
{
	come_back(p);
	begin_to_stop(p);
}

static void
stay_down(struct process *p)
{
	p->want = WANT_DOWN;
	process_touch(p);
	if (p->job->retired)
		stop_at_rest(p);
}

static int
is_to_end(const struct job_config *c)
{
	size_t i;

	for (i = 0; i < c->nverifiers; i++)
		if (c->verifiers[i].kind == VERIFY_EXITED)
			return 1;
	return 0;
}

/*
 * It is over, and not as it should be.  Where a policy was to keep it up this
 * is told; so it is before and while the command of -x runs, which may well
 * find another one at its port.
 */
void
process_tell_over(const struct process *p)
{
	char end[64];

	process_end_text(p, end, sizeof(end));
	if (p->state == STATE_FAILED)
		log_warnx("%s: %s, and is not started again (start-limit)",
		    p->job->name, end);
	else if (p->state == STATE_EXITED && mgr.runner != NULL &&
	    !p->job->hidden && mgr.phase == PHASE_RUNNING &&
	    process_success(p) == -1 && !is_to_end(p->job->config) &&
	    !p->job->config->exit_shutdown) /* it is told there */
		log_warnx("%s: %s", p->job->name, end);
}

static void
settle_stopped(struct process *p)
{
	stop_at_rest(p);
	request_process_settled(p, -1, "Process is in shutdown.");
}

static void
settle_to_come_back(
    struct process *p, enum restart_decision decision, uint64_t delay)
{
	verify_process_ended(p, 1);
	/* Its end may have failed the launch, and that has stopped all. */
	if (p->want == WANT_DOWN)
		settle_stopped(p);
	else if (decision == RESTART_NOW)
		spawn(p);
	else {
		back_off(p, delay);
		launch_continue(); /* others need not wait so long */
	}
}

/* What comes after an end, once nothing is left of it. */
static void
settle(struct process *p)
{
	enum restart_decision decision;
	uint64_t delay;
	int comes_back;

	if (p->leftover || p->undrained)
		return;
	p->settling = 0;
	process_timer_stop(p);
	if (p->again) {
		spawn_afresh(p);
		return;
	}
	if (p->want == WANT_DOWN) {
		settle_stopped(p);
		return;
	}
	comes_back = restart_wanted(p);
	decision = RESTART_GIVE_UP;
	delay = 0;
	if (comes_back)
		decision = restart_decide(p, &delay);
	if (!comes_back || decision == RESTART_GIVE_UP) {
		set_state(p, comes_back ? STATE_FAILED : STATE_EXITED);
		process_tell_over(p);
		verify_process_ended(p, 0);
		launch_continue();
		end_all_with(p);
		return;
	}
	settle_to_come_back(p, decision, delay);
}

static void
publish_exit(struct process *p)
{
	p->undrained = 0;
	p->ended = 1;
	p->pid = 0;
	process_touch(p);
	if (!p->job->hidden) {
		if (mgr.config->messages & MESSAGE_PROCESS_EXIT)
			console_tell(LOG_LEVEL_INFO,
			    "Process %s exited with code %d\n",
			    config_command_line(p->job->config, p->instance),
			    process_code(p->status));
		progress_process(p);
	}
	/* Not before it is told: the next manager would take it for told. */
	manager_ack(p->id, p->generation);
}

void
process_drained(struct process *p)
{
	if (!p->undrained)
		return;
	publish_exit(p);
	if (p->settling)
		settle(p);
}

static void
exited(struct process *p)
{
	int stopping;

	stopping = p->state == STATE_STOPPING;
	p->live = 0;
	p->undrained = 1;
	p->settling = 1;
	p->ended_wall = now_wall();
	set_state(p, STATE_STOPPING);
	if (p->leftover)
		stop_leftover(p, stopping);
	else
		process_timer(p, DRAIN_PATIENCE);
}

static void
gone(struct process *p)
{
	p->leftover = 0;
	if (!p->settling)
		return;
	process_timer(p, DRAIN_PATIENCE);
	settle(p);
}

/* The wait of a stop step, or of the last output, is over. */
static void
stopping_timer(struct process *p)
{
	if (p->live || p->leftover) {
		stop_next(p);
		return;
	}
	log_warnx("process %u: no word of its last output", p->id);
	component_peer_late(ROLE_RELAY, 0);
	process_drained(p);
}

/* ---- adopted from an earlier manager --------------------------------- */

void
process_adopt_live(struct process *p)
{
	p->live = 1;
	if (p->state == STATE_STOPPING) {
		stop_begin(p);
		return;
	}
	if (p->verified || p->job->config->nverifiers == 0) {
		p->state = STATE_RUNNING;
		/* The manager before had not heard of its start. */
		if (!p->listed)
			note_verified(p);
		p->verified = 1;
		return;
	}
	p->state = STATE_STARTING;
	verify_begin(p);
}

/* Its end was told; some that it has left have not gone yet. */
void
process_adopt_left(struct process *p)
{
	p->live = 0;
	p->ended = 1;
	p->pid = 0;
	p->leftover = 1;
	p->settling = 1;
	p->state = STATE_STOPPING;
	stop_leftover(p, 0);
}

/* Another configuration may well mend what was wrong. */
void
process_start_anew(struct process *p)
{
	restart_forget(p);
	process_timer_stop(p);
	verify_cancel(p);
	p->want = WANT_UP;
	p->again = 0;
	/* What it was is no reason to start those that wait for it. */
	p->verified = 0;
	set_state(p, STATE_WAITING);
}

void
process_adopt_ended(struct process *p)
{
	switch (p->state) {
	case STATE_EXITED:
	case STATE_FAILED:
	case STATE_STOPPED:
		break;
	case STATE_BACKOFF:
		process_timer(p, restart_left(p));
		break;
	default:
		p->ended = 1;
		settle(p);
		break;
	}
}

void
process_adopt_lost(struct process *p)
{
	if (p->want == WANT_UP)
		spawn(p);
	else
		set_state(p, STATE_STOPPED);
}

/* ---- the table ------------------------------------------------------ */

/* Nothing to do: the event asks for what is already so. */
static void
already(struct process *p)
{
	(void)p;
}

static void
stopped_already(struct process *p)
{
	if (p->job->retired)
		stop_at_rest(p);
}

/* Late news of a generation that is over. */
static void
stale(struct process *p)
{
	log_debug("process %u: stale event in state %s", p->id,
	    process_state_name(p->state));
}

static const process_handler table[STATE_COUNT][EVENT_COUNT] = {
    [STATE_WAITING] =
	{
	    [EVENT_START] = spawn,
	    [EVENT_STOP] = stop_at_rest,
	    [EVENT_RESTART] = already,
	    [EVENT_STARTED] = stale,
	    [EVENT_SPAWN_FAILED] = stale,
	    [EVENT_VERIFIED] = stale,
	    [EVENT_VERIFY_FAILED] = stale,
	    [EVENT_EXITED] = stale,
	    [EVENT_GONE] = stale,
	    [EVENT_TIMER] = stale,
	},
    [STATE_STARTING] =
	{
	    [EVENT_START] = already,
	    [EVENT_STOP] = stop,
	    [EVENT_RESTART] = restart,
	    [EVENT_STARTED] = started,
	    [EVENT_SPAWN_FAILED] = spawn_failed,
	    [EVENT_VERIFIED] = verified,
	    [EVENT_VERIFY_FAILED] = verify_failed,
	    [EVENT_EXITED] = exited,
	    [EVENT_GONE] = stale,
	    [EVENT_TIMER] = stale,
	},
    [STATE_RUNNING] =
	{
	    [EVENT_START] = already,
	    [EVENT_STOP] = stop,
	    [EVENT_RESTART] = restart,
	    [EVENT_STARTED] = stale,
	    /* exec failed after the clone was reported */
	    [EVENT_SPAWN_FAILED] = spawn_failed,
	    [EVENT_VERIFIED] = note_verified,
	    [EVENT_VERIFY_FAILED] = note_verify_failed,
	    [EVENT_EXITED] = exited,
	    [EVENT_GONE] = stale,
	    [EVENT_TIMER] = stale,
	},
    [STATE_STOPPING] =
	{
	    [EVENT_START] = come_back,
	    [EVENT_STOP] = stop_again,
	    [EVENT_RESTART] = come_back,
	    [EVENT_STARTED] = started_to_stop,
	    [EVENT_SPAWN_FAILED] = spawn_failed_stopping,
	    [EVENT_VERIFIED] = note_verified,
	    [EVENT_VERIFY_FAILED] = note_verify_failed,
	    [EVENT_EXITED] = exited,
	    [EVENT_GONE] = gone,
	    [EVENT_TIMER] = stopping_timer,
	},
    [STATE_EXITED] =
	{
	    [EVENT_START] = spawn_afresh,
	    [EVENT_STOP] = stay_down,
	    [EVENT_RESTART] = spawn_afresh,
	    [EVENT_STARTED] = stale,
	    [EVENT_SPAWN_FAILED] = stale,
	    [EVENT_VERIFIED] = note_verified,
	    [EVENT_VERIFY_FAILED] = note_verify_failed,
	    [EVENT_EXITED] = stale,
	    [EVENT_GONE] = stale,
	    [EVENT_TIMER] = stale,
	},
    [STATE_BACKOFF] =
	{
	    [EVENT_START] = spawn_afresh,
	    [EVENT_STOP] = stop_at_rest,
	    [EVENT_RESTART] = spawn_afresh,
	    [EVENT_STARTED] = stale,
	    [EVENT_SPAWN_FAILED] = stale,
	    [EVENT_VERIFIED] = stale,
	    [EVENT_VERIFY_FAILED] = note_verify_failed,
	    [EVENT_EXITED] = stale,
	    [EVENT_GONE] = stale,
	    [EVENT_TIMER] = spawn,
	},
    [STATE_FAILED] =
	{
	    [EVENT_START] = spawn_afresh,
	    [EVENT_STOP] = stay_down,
	    [EVENT_RESTART] = spawn_afresh,
	    [EVENT_STARTED] = stale,
	    [EVENT_SPAWN_FAILED] = stale,
	    [EVENT_VERIFIED] = stale,
	    [EVENT_VERIFY_FAILED] = note_verify_failed,
	    [EVENT_EXITED] = stale,
	    [EVENT_GONE] = stale,
	    [EVENT_TIMER] = stale,
	},
    [STATE_STOPPED] =
	{
	    [EVENT_START] = spawn_afresh,
	    [EVENT_STOP] = stopped_already,
	    [EVENT_RESTART] = spawn_afresh,
	    [EVENT_STARTED] = stale,
	    [EVENT_SPAWN_FAILED] = stale,
	    [EVENT_VERIFIED] = stale,
	    [EVENT_VERIFY_FAILED] = stale,
	    [EVENT_EXITED] = stale,
	    [EVENT_GONE] = stale,
	    [EVENT_TIMER] = stale,
	},
};

void
process_event(struct process *p, enum process_event event)
{
	log_debug("process %u (%s): event %d in state %s", p->id, p->job->name,
	    (int)event, process_state_name(p->state));
	table[p->state][event](p);
}
