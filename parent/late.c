#include "../common/log.h"
#include "parent.h"

/*
 * Components that owe an answer.  Nobody is asked for signs of life by the
 * clock: whoever waits too long for a peer says so, and only then the peer is
 * asked; if it does not answer in time it is replaced.  (One that is stopped
 * is told of by SIGCHLD at once.)
 */

#define ANSWER_MS 2000
#define QUIET SEC /* after a sign of life nothing is asked for so long */
#define ACK_MS 5000 /* for a manager to take note of an exit */

static struct event acks;

static void
late_cb(int fd, short events, void *arg)
{
	struct child *c;

	(void)fd;
	(void)events;
	c = arg;
	if (c->channel != NULL)
		child_lost(c->channel, "it does not answer", c);
}

static void
acks_cb(int fd, short events, void *arg)
{
	const uint64_t since = (uint64_t)ACK_MS * 1000000;
	struct slot *s;

	(void)fd;
	(void)events;
	(void)arg;
	for (s = slot_next(NULL); s != NULL; s = slot_next(s))
		if (s->state == SLOT_EXITED && !(s->flags & IS_ACKED) &&
		    s->stage == STAGE_NONE && now() - s->ended >= since / 2)
			break;
	if (s == NULL)
		return;
	late_suspect(parent.manager);
	timer_set(&acks, ACK_MS);
}

void
late_init(struct child *c)
{
	event_start(&c->deadline, -1, late_cb, c);
	if (c->role == ROLE_MANAGER)
		event_start(&acks, -1, acks_cb, NULL);
}

void
late_suspect(struct child *c)
{
	if (c->channel == NULL || evtimer_pending(&c->deadline, NULL) ||
	    now() - c->alive < QUIET)
		return;
	/* It reads its configuration, or asks name servers, which may take
	 * long. */
	if ((c->role == ROLE_MANAGER && c->phase != MANAGER_READY) ||
	    c->role == ROLE_RESOLVER)
		return;
	(void)message();
	send_wire(c, IMSG_PROBE, 0, -1);
	timer_set(&c->deadline, ANSWER_MS);
}

void
late_forget(struct child *c)
{
	(void)evtimer_del(&c->deadline);
	c->alive = 0;
}

int
late_alive(struct child *c, struct wire_reader *r)
{
	if (wire_end(r) == -1 || !evtimer_pending(&c->deadline, NULL))
		return -1;
	(void)evtimer_del(&c->deadline);
	c->alive = now();
	return 0;
}

void
late_exit(void)
{
	if (!evtimer_pending(&acks, NULL))
		timer_set(&acks, ACK_MS);
}
