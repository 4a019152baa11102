#include <signal.h>
#include <stdlib.h>

#include <event2/event.h>

#include "../common/log.h"
#include "../common/snapshot.h"
#include "../common/wire.h"
#include "manager.h"

/*
 * The end: all processes get their stop sequence side by side; when nothing
 * is left and the last texts are written, the parent is told to quit.
 */

#define FLUSH_PATIENCE 2 /* seconds for the last texts */
#define WORKERS_TIME 200000 /* µs for HTTP workers to write what is left */
#define ANSWER_TIME 100000 /* µs for the answer to DELETE to leave */

static struct event *patience;
static struct event *answering; /* an HTTP client is being answered */
static int flushed; /* the last texts are written */

static void
answered_cb(int fd, short ev, void *arg)
{
	(void)fd;
	(void)ev;
	(void)arg;
	event_free(answering);
	answering = NULL;
	manager_later();
}

void
shutdown_answered(void)
{
	struct timeval tv = {0, ANSWER_TIME};

	answering = evtimer_new(mgr.base, answered_cb, NULL);
	if (answering != NULL)
		(void)evtimer_add(answering, &tv);
}

int
shutting_down(void)
{
	return mgr.phase >= PHASE_SHUTDOWN;
}

void
shutdown_begin(int code)
{
	struct process *p;
	uint32_t i;

	if (mgr.exit_code == 0)
		mgr.exit_code = code;
	if (shutting_down())
		return;
	mgr.too_early = mgr.phase == PHASE_LAUNCHING;
	mgr.phase = PHASE_SHUTDOWN;
	feed_status_changed();
	blob_global();
	/* Whoever has asked is not answered before that is known. */
	(void)channel_flush(mgr.parent);
	progress_end();
	notify_stopping();
	for (i = 0; i < mgr.nprocesses; i++) {
		p = mgr.processes[i];
		/* While there is somebody to pass it on. */
		request_process_settled(p, -1, "");
		process_event(p, EVENT_STOP);
	}
	manager_later();
}

void
shutdown_force(void)
{
	uint32_t i;

	if (mgr.phase == PHASE_FORCED || mgr.phase == PHASE_FLUSHING)
		return;
	if (!shutting_down())
		shutdown_begin(0);
	mgr.phase = PHASE_FORCED;
	feed_status_changed();
	blob_global();
	for (i = 0; i < mgr.nprocesses; i++)
		if (mgr.processes[i]->live || mgr.processes[i]->leftover)
			stop_kill(mgr.processes[i]);
}

void
shutdown_again(void)
{
	struct process *p;
	uint32_t i;

	for (i = 0; i < mgr.nprocesses; i++) {
		p = mgr.processes[i];
		process_event(p, EVENT_STOP);
	}
	notify_slow();
	manager_later();
}

int
shutdown_is_the_same(void)
{
	const struct process *p;
	int code;

	if (mgr.runner == NULL || mgr.signals > 1)
		return 0;
	p = mgr.runner->processes[0];
	code = process_code(p->status);
	return p->ended &&
	    now_mono() - p->ended_at <
	    (code == -SIGINT || code == 128 + SIGINT ? SECOND : SECOND / 10);
}

static int
at_rest(const struct process *p)
{
	if (p->spawning || p->live || p->leftover || p->undrained)
		return 0;
	return p->state == STATE_EXITED || p->state == STATE_FAILED ||
	    p->state == STATE_STOPPED;
}

static void
quit(void)
{
	struct wire w;

	/* Who waits until all is up must not go on. */
	if (mgr.too_early && mgr.exit_code == 0 &&
	    mgr.snapshot->flags & SNAPSHOT_DAEMON_WAIT)
		manager_daemon_ready(EXIT_SETUP);
	wire_init(&w);
	wire_put_u8(&w, (uint8_t)mgr.exit_code);
	(void)manager_send(IMSG_QUIT, 0, &w);
	wire_free(&w);
}

static void
patience_cb(int fd, short ev, void *arg)
{
	(void)fd;
	(void)ev;
	(void)arg;
	quit();
}

/*
 * The relay has handed all output on.  What of it is on its way to readers
 * over HTTP is in front of the question that is put to the workers now.
 */
void
shutdown_flushed(void)
{
	const struct timeval tv = {0, WORKERS_TIME};

	if (mgr.phase != PHASE_FLUSHING || flushed)
		return;
	flushed = 1;
	feed_ask_all();
	(void)evtimer_add(patience, &tv);
	shutdown_read();
}

void
shutdown_read(void)
{
	if (flushed && !feed_is_owed())
		quit();
}

void
shutdown_check(void)
{
	struct timeval tv;
	uint32_t i;

	if (mgr.phase == PHASE_RUNNING &&
	    (mgr.config->keep_alive || mgr.runner != NULL))
		return;
	if (mgr.phase < PHASE_RUNNING || mgr.phase == PHASE_FLUSHING)
		return;
	for (i = 0; i < mgr.nprocesses; i++)
		if (!at_rest(mgr.processes[i]))
			return;
	if (mgr.phase == PHASE_RUNNING) {
		shutdown_begin(0);
		return;
	}
	if (tail_pending() || answering != NULL)
		return;
	mgr.phase = PHASE_FLUSHING;
	tv.tv_sec = FLUSH_PATIENCE;
	tv.tv_usec = 0;
	patience = evtimer_new(mgr.base, patience_cb, NULL);
	if (patience == NULL || evtimer_add(patience, &tv) == -1 ||
	    mgr.relay == NULL) {
		quit();
		return;
	}
	console_flush(FLUSH_LAST);
}
