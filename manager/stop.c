#include <signal.h>

#include "../common/log.h"
#include "../common/wire.h"
#include "manager.h"

/*
 * The stop sequence of a process: each step sends a signal to its process
 * group and waits; what is left after the last step is killed, in whatever
 * session it hides.
 */

#define SHORT_STOP (5 * SECOND) /* pymanager's POST /restart */

static void
send_signal(struct process *p, int signal, enum scope scope)
{
	struct wire w;

	wire_init(&w);
	wire_put_u32(&w, p->id);
	wire_put_u32(&w, p->generation);
	wire_put_i32(&w, signal);
	wire_put_u8(&w, (uint8_t)scope);
	(void)manager_send(IMSG_PROC_SIGNAL, 0, &w);
	wire_free(&w);
}

void
stop_kill(struct process *p)
{
	struct wire w;

	wire_init(&w);
	wire_put_u32(&w, p->id);
	wire_put_u32(&w, p->generation);
	(void)manager_send(IMSG_PROC_KILL, 0, &w);
	wire_free(&w);
}

static void
stop_step(struct process *p)
{
	const struct job_config *c;
	const struct stop_step *step;
	uint64_t wait;

	c = p->job->config;
	step = &c->stop[p->step];
	wait = step->wait;
	if (p->short_stop && wait > SHORT_STOP)
		wait = SHORT_STOP;
	send_signal(p, step->signal, SCOPE_GROUP);
	process_timer(p, wait);
}

void
stop_begin(struct process *p)
{
	p->step = 0;
	if (mgr.phase == PHASE_FORCED) {
		stop_kill(p);
		return;
	}
	stop_step(p);
}

void
stop_next(struct process *p)
{
	if (p->live && (size_t)p->step + 1 < p->job->config->nstop) {
		p->step++;
		stop_step(p);
		return;
	}
	log_info("process %u (%s): killed after its graceful time", p->id,
	    p->job->name);
	stop_kill(p);
}

/*
 * What is left when the first process has ended.  In a stop its group has
 * been asked to end already, and has what remains of its time; other sessions
 * hear of it now.
 */
void
stop_leftover(struct process *p, int stopping)
{
	if (mgr.phase == PHASE_FORCED) {
		stop_kill(p);
		return;
	}
	if (stopping) {
		send_signal(p, SIGTERM, SCOPE_REST);
		return;
	}
	send_signal(p, SIGTERM, SCOPE_ALL);
	process_timer(p, mgr.config->graceful);
}
