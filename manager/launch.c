#include <errno.h>
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <event2/event.h>

#include "../common/log.h"
#include "../common/snapshot.h"
#include "manager.h"

/*
 * The launch.  Without any `after` in the file, jobs start one after
 * another, each when the one before is verified; jobs without a verifier
 * count as soon as they are spawned, so a run of them is asked for in one
 * go, as a group that the parent does in order and gives up at the first
 * that fails.  With `after`, each job waits for what it names, and at most
 * start-parallel processes are on the way at once.
 */

#define RUNNER_PATIENCE 2 /* seconds that the command waits for the display */

static size_t next_job; /* in file order: the first not launched */
static size_t next_check; /* the first whose processes are not all up */
static uint32_t group;
static uint32_t barrier; /* asked for, 0 none */
static struct job *runner_job;
static struct event *runner_patience;

static void
want_job(struct job *job)
{
	const struct job_config *c;
	size_t i;

	if (job->wanted)
		return;
	job->wanted = 1;
	c = job->config;
	for (i = 0; i < c->nafter; i++)
		want_job(&mgr.jobs[c->after[i].index]);
}

/* One that was not wanted and has never run may be wanted now. */
static void
want_process(struct job *job, struct process *p)
{
	if (job->hidden)
		return;
	if (!job->wanted && p->state == STATE_WAITING)
		process_event(p, EVENT_STOP);
	else if (job->wanted && p->state == STATE_STOPPED &&
	    p->generation == 0 && !shutting_down()) {
		process_start_anew(p);
		job->launched = 0;
	}
}

static void
want_jobs(void)
{
	struct job *job;
	size_t i;
	size_t j;

	for (i = 0; i < mgr.njobs; i++)
		if (mgr.jobs[i].config->autostart && !mgr.jobs[i].hidden)
			want_job(&mgr.jobs[i]);
	runner_job = mgr.runner;
	for (i = 0; i < mgr.njobs; i++)
		mgr.jobs[i].waits = 0; /* they have other numbers now */
	/* The others wait for nothing. */
	for (i = 0; i < mgr.njobs; i++) {
		job = &mgr.jobs[i];
		for (j = 0; j < job->nprocesses; j++)
			want_process(job, job->processes[j]);
	}
}

void
launch_adopt(void)
{
	want_jobs();
	launch_flushed();
	notify_ready(); /* perhaps a reload has failed */
	if (mgr.phase == PHASE_RUNNING) {
		/* Jobs of a reload may still wait. */
		mgr.reloading = 1;
		launch_continue();
	}
	if (mgr.phase != PHASE_LAUNCHING)
		return;
	notify_slow();
	if (mgr.launch_failed)
		shutdown_begin(EXIT_SETUP);
	else
		launch_continue();
}

/* What is new starts now. */
void
launch_reloaded(void)
{
	want_jobs();
	manager_warn();
	reload_tell();
	if (shutting_down())
		return;
	if (mgr.phase == PHASE_LAUNCHING) {
		/* The launch goes on, with what is wanted now. */
		notify_slow();
		if (mgr.launch_failed)
			shutdown_begin(EXIT_SETUP);
	} else {
		/* A failure among the new ones is told, and takes nothing
		 * down. */
		mgr.phase = PHASE_RUNNING;
		mgr.reloading = 1;
		notify_ready();
	}
	feed_status_changed();
	blob_global();
	/* The manager before may have been about to start it. */
	launch_flushed();
	launch_continue();
}

void
launch_begin(void)
{
	mgr.phase = PHASE_LAUNCHING;
	feed_status_changed();
	want_jobs();
	progress_begin();
	notify_slow();
	blob_global();
	launch_continue();
}

static void
launch_job(struct job *job)
{
	unsigned int i;

	job->launched = 1;
	/* What a reload adds is started whether others of it fail or not. */
	process_spawn_group(mgr.config->graph || mgr.reloading ? 0 : group);
	for (i = 0; i < job->nprocesses; i++)
		if (job->processes[i]->state == STATE_WAITING)
			process_event(job->processes[i], EVENT_START);
	process_spawn_group(0);
}

/* Tells for which other one a job waits: what its processes show changes. */
static void
job_waits(struct job *job, const struct job *other)
{
	uint32_t number = (uint32_t)(other - mgr.jobs) + 1;
	unsigned int i;

	if (job->waits == number)
		return;
	job->waits = number;
	for (i = 0; i < job->nprocesses; i++)
		process_touch(job->processes[i]);
	mgr.dirty_status = 1;
}

const struct job *
launch_waits(const struct process *p)
{
	const struct job *job = p->job;

	return p->state == STATE_WAITING && !job->launched && job->waits > 0 &&
		job->waits <= mgr.njobs ?
	    &mgr.jobs[job->waits - 1] :
	    NULL;
}

static int
job_up(const struct job *job)
{
	return job->nverified >= job->nprocesses;
}

/* Is one of it on its way? */
static int
job_starting(const struct job *job)
{
	const struct process *p;
	unsigned int i;

	for (i = 0; i < job->nprocesses; i++) {
		p = job->processes[i];
		if (p->again || p->state == STATE_STARTING)
			return 1;
	}
	return 0;
}

/*
 * Is it worth waiting for?  Those of a launch are: it fails with the first of
 * them.  Of what a reload adds each stands for itself: one that runs without
 * being verified, or comes back when it does, holds up no other.
 */
static int
job_in_question(const struct job *job)
{
	const struct process *p;
	unsigned int i;

	if (job->config->nverifiers == 0)
		return 0;
	if (job_starting(job))
		return 1;
	if (job_up(job))
		return 0;
	if (!mgr.reloading)
		return 1;
	for (i = 0; i < job->nprocesses; i++) {
		p = job->processes[i];
		if (p->state == STATE_STOPPING && p->want == WANT_UP)
			return 1;
	}
	return 0;
}

/* ---- file order ----------------------------------------------------- */

/* Of those behind it the next one says so; there may be thousands. */
static void
next_waits(const struct job *job)
{
	size_t i;

	for (i = (size_t)(job - mgr.jobs) + 1; i < mgr.njobs; i++)
		if (mgr.jobs[i].wanted) {
			job_waits(&mgr.jobs[i], job);
			return;
		}
}

static int
launch_in_order(void)
{
	struct job *job;

	if (group == 0)
		group = 1;
	while (next_job < mgr.njobs) {
		job = &mgr.jobs[next_job];
		if (!job->wanted) {
			next_job++;
			continue;
		}
		if (!job->launched)
			launch_job(job);
		if (job_in_question(job)) {
			next_waits(job);
			return 0;
		}
		if (job->config->nverifiers > 0)
			group++;
		next_job++;
	}
	return 1;
}

/* ---- after ---------------------------------------------------------- */

/*
 * What one process has to do with it: 1 satisfied, 0 not yet, -1 never.
 * What was so before it was told to restart does not count.
 */
static int
after_process(const struct process *p, enum after_condition condition)
{
	switch (condition) {
	case AFTER_STARTED:
		return p->started_wall != 0 && !p->spawning && !p->again &&
		    p->state != STATE_WAITING;
	case AFTER_VERIFIED:
		return p->verified && p->state != STATE_STOPPING &&
		    p->state != STATE_BACKOFF;
	case AFTER_EXITED:
		break;
	}
	if ((p->state != STATE_EXITED && p->state != STATE_FAILED) || !p->ended)
		return 0;
	if (p->stage != STAGE_NONE)
		return -1;
	return process_success(p) == 0 ? 1 : -1;
}

/* The same of all its processes; the last word is that of `decides`. */
static int
after_state(const struct after *after, struct process **decides)
{
	const struct job *job;
	unsigned int i;
	int state;
	int worst;

	job = &mgr.jobs[after->index];
	worst = 1;
	for (i = 0; i < job->nprocesses && worst != -1; i++) {
		state = after_process(job->processes[i], after->condition);
		if (state >= worst)
			continue;
		worst = state;
		*decides = job->processes[i];
	}
	return worst;
}

static int
job_may_start(struct job *job)
{
	const struct job_config *c;
	struct process *dead;
	char text[256];
	char end[64];
	size_t i;
	int state;

	c = job->config;
	for (i = 0; i < c->nafter; i++) {
		state = after_state(&c->after[i], &dead);
		if (state == 0) {
			job_waits(job, &mgr.jobs[c->after[i].index]);
			return 0;
		}
		if (state == 1)
			continue;
		job_waits(job, dead->job);
		process_end_text(dead, end, sizeof(end));
		(void)snprintf(text, sizeof(text),
		    "RuntimeError: %s %s, and %s waits for its success",
		    dead->job->config->name, end, c->name);
		if (!job->stuck)
			launch_process_failed(dead, text);
		job->stuck = 1;
		return -1;
	}
	return 1;
}

static unsigned int
on_the_way(void)
{
	unsigned int n;
	uint32_t i;

	n = 0;
	for (i = 0; i < mgr.nprocesses; i++)
		if (mgr.processes[i]->state == STATE_STARTING &&
		    !mgr.processes[i]->job->hidden)
			n++;
	return n;
}

static int
launch_graph(void)
{
	struct job *job;
	unsigned int busy;
	size_t i;
	int all;
	int state;

	all = 1;
	busy = on_the_way();
	for (i = 0; i < mgr.njobs; i++) {
		job = &mgr.jobs[i];
		if (!job->wanted || job->launched)
			continue;
		all = 0;
		if (busy >= mgr.config->start_parallel)
			return 0;
		state = job_may_start(job);
		if (mgr.launch_failed)
			return 0;
		if (state != 1)
			continue;
		job->stuck = 0;
		launch_job(job);
		busy += job->nprocesses;
	}
	return all;
}

/* ---- the end of the launch ------------------------------------------ */

void
launch_flushed(void)
{
	if (runner_patience != NULL)
		event_free(runner_patience);
	runner_patience = NULL;
	if (runner_job != NULL && !runner_job->launched &&
	    mgr.phase == PHASE_RUNNING)
		launch_job(runner_job);
}

static void
patience_cb(int fd, short ev, void *arg)
{
	(void)fd;
	(void)ev;
	(void)arg;
	launch_flushed();
}

static void
launch_done(void)
{
	struct timeval tv = {RUNNER_PATIENCE, 0};
	uint32_t i;

	mgr.phase = PHASE_RUNNING;
	feed_status_changed();
	blob_global();
	progress_end();
	notify_ready();
	(void)malloc_trim(0); /* what the burst has left */
	if (runner_job == NULL)
		return;
	for (i = 0; i < mgr.nprocesses; i++)
		if (mgr.processes[i]->state == STATE_EXITED)
			process_tell_over(mgr.processes[i]);
	/* The command writes by itself, and must not meet the display. */
	runner_patience = evtimer_new(mgr.base, patience_cb, NULL);
	if (mgr.relay == NULL || runner_patience == NULL ||
	    evtimer_add(runner_patience, &tv) == -1)
		launch_flushed();
	else
		console_flush(FLUSH_RUNNER);
}

void
launch_run(void)
{
	int all;

	if (!mgr.launch_due)
		return;
	mgr.launch_due = 0;
	if (mgr.launch_failed ||
	    (mgr.phase != PHASE_LAUNCHING &&
		!(mgr.reloading && mgr.phase == PHASE_RUNNING)))
		return;
	all = mgr.config->graph ? launch_graph() : launch_in_order();
	if (all && mgr.reloading)
		mgr.reloading = 0;
	if (!all || mgr.phase != PHASE_LAUNCHING)
		return;
	while (next_check < mgr.njobs &&
	    (!mgr.jobs[next_check].wanted || job_up(&mgr.jobs[next_check])))
		next_check++;
	if (next_check < mgr.njobs || barrier != 0)
		return;
	/* Each has been cloned; has each reached its exec? */
	barrier = 1;
	(void)manager_send(IMSG_PROC_BARRIER, barrier, NULL);
}

void
launch_continue(void)
{
	mgr.launch_due = 1;
	manager_later();
}

void
launch_barrier_done(uint32_t id)
{
	if (id != barrier || mgr.phase != PHASE_LAUNCHING || mgr.launch_failed)
		return;
	launch_done();
}

/* ---- failure -------------------------------------------------------- */

/* The words as Python prints a list of strings. */
static void
python_list(const struct process *p, char *buf, size_t size)
{
	const struct job_config *c = p->job->config;
	const char *s;
	uint32_t i;
	size_t n;

	n = 0;
	buf[0] = '\0';
	for (i = 0; i < c->words.count && n + 8 < size; i++) {
		n += (size_t)snprintf(buf + n, size - n, i == 0 ? "['" : ", '");
		for (s = config_word(c, i, p->instance);
		     *s != '\0' && n + 8 < size; s++) {
			if (*s == '\'' || *s == '\\')
				buf[n++] = '\\';
			buf[n++] = *s;
		}
		buf[n++] = '\'';
		buf[n] = '\0';
	}
	(void)snprintf(buf + n, size - n, "]");
}

void
launch_process_failed(struct process *p, const char *why)
{
	char text[4096];
	char list[3072];

	if (mgr.phase != PHASE_LAUNCHING) {
		if (p->job->hidden)
			console_tell(LOG_LEVEL_ERROR, "musterd: %s\n",
			    why != NULL ? why : verify_reason(p));
		else if (!shutting_down())
			log_warnx("%s: %s", p->job->name,
			    why != NULL ? why : verify_reason(p));
		if (p->job->hidden)
			shutdown_begin(p->error == ENOENT ? 127 : 126);
		launch_continue(); /* the next of a reload waits no more */
		return;
	}
	if (mgr.launch_failed)
		return;
	mgr.launch_failed = 1;
	progress_process(p);
	progress_end();
	if (why == NULL) {
		python_list(p, list, sizeof(list));
		(void)snprintf(text, sizeof(text),
		    "VerificationFailedException: Process verification "
		    "failed.\nCommand line for process: %s",
		    list);
		why = text;
	}
	console_tell(
	    LOG_LEVEL_ERROR, "[ERROR] could not set up processes: %s\n", why);
	tail_request(p);
	shutdown_begin(EXIT_SETUP);
}

/* ---- readiness ------------------------------------------------------ */

static int
process_ready(const struct process *p)
{
	switch (p->state) {
	case STATE_RUNNING:
		return p->verified;
	case STATE_EXITED:
		return process_success(p) == 0 &&
		    p->job->config->restart != RESTART_ALWAYS && p->listed;
	case STATE_STOPPED:
		return !p->job->wanted;
	default:
		return 0;
	}
}

/* Why a process is not ready: its end, if that came after it was verified. */
static const char *
missing_reason(const struct process *p, char *buf, size_t size)
{
	const struct job *other;
	char name[16];
	int code;

	other = launch_waits(p);
	if (other != NULL) {
		(void)snprintf(buf, size, "for %s", other->config->name);
		return buf;
	}
	if ((p->state != STATE_EXITED && p->state != STATE_FAILED &&
		p->state != STATE_BACKOFF) ||
	    !p->ended || (!p->verified && verify_reason(p)[0] != '\0'))
		return verify_reason(p);
	code = process_code(p->status);
	if (code < 0) {
		process_signal_name(-code, name, sizeof(name));
		(void)snprintf(buf, size, "ended by %s", name);
	} else
		(void)snprintf(buf, size, "exit code %d", code);
	return buf;
}

const char *
launch_missing(char *buf, size_t size)
{
	const char *reason;
	char text[128];
	const struct process *p;
	size_t n;
	uint32_t i;
	int missing;

	missing = 0;
	n = 0;
	buf[0] = '\0';
	for (i = 0; i < mgr.nprocesses && n + 256 < size; i++) {
		p = mgr.processes[i];
		if (p->job->hidden || process_ready(p))
			continue;
		missing = 1;
		reason = missing_reason(p, text, sizeof(text));
		n += (size_t)snprintf(buf + n, size - n, "%s%s: %s%s%.100s",
		    n == 0 ? "" : "\n", p->job->name,
		    process_state_name(p->state),
		    reason[0] == '\0'             ? "" :
			p->state == STATE_WAITING ? " " :
						    ": ",
		    reason);
	}
	return missing ? buf : NULL;
}
