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
	if ((size_t)p->step + 1 < p->job->config->nstop) {
		p->step++;
		stop_step(p);
		return;
	}
	log_info("process %u (%s): killed after its graceful time", p->id,
	    p->job->name);
	stop_kill(p);
}

/*
 * The first process has ended.  If it was asked to, those of its group were
 * as well, and the rest of the sequence is theirs; in their own sessions
 * there may be some that have not heard of it.
 */
void
stop_leftover(struct process *p, int stopping)
{
	const struct job_config *c;

	c = p->job->config;
	if (mgr.phase == PHASE_FORCED) {
		stop_kill(p);
		return;
	}
	if (stopping) {
		if (!p->job->hidden)
			send_signal(p, c->stop[p->step].signal, SCOPE_REST);
		return;
	}
	p->step = (uint8_t)(c->nstop - 1);
	send_signal(p, SIGTERM, SCOPE_ALL);
	process_timer(p, c->graceful);
}
