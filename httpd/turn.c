#include <time.h>

#include "httpd.h"

/*
 * Whose turn it is.
 *
 * Who has not used much lately is served first, so that many who want much
 * do not delay one who wants little; then one after another of those who
 * do, each for a share of the time.  When TURN is used up the loop looks for
 * what else has happened, and goes on afterwards.
 *
 * A handshake of TLS takes as long as a hundred requests.  One step of one is
 * made in a turn, and no more time goes into them than into the others as
 * long as these have something to do; so neither can hold up the other.
 */

#define MICROSECOND 1000LL
#define MILLISECOND (1000 * MICROSECOND)
#define TURN (1500 * MICROSECOND)
#define SHARE (40 * MICROSECOND) /* of who has not used much */
#define BUSY_SHARE (150 * MICROSECOND)
/*
 * What is used is a debt, which is paid off at one eighth of the time that
 * goes by: who owes more than CREDIT is busy.  It is forgotten some day.
 */
#define WEIGHT 8
#define CREDIT (1 * MILLISECOND)
#define MAX_DEBT (50 * MILLISECOND)

static struct client_list queues[TURN_QUEUES];
static struct event turn_event;
static int in_turn; /* turn_event is active */
static int64_t began; /* of this turn; as all of these in nanoseconds */
static int64_t now;
static int64_t share_end; /* of who is served */
static int64_t shakes_owe; /* until the others have had as much */
static int others; /* somebody was served in this turn, but for handshakes */
static struct client *served;

static int64_t
clock_ns(void)
{
	struct timespec ts;

	(void)clock_gettime(CLOCK_MONOTONIC, &ts);
	return (int64_t)ts.tv_sec * 1000 * MILLISECOND + ts.tv_nsec;
}

static int
is_empty(enum turn_queue queue)
{
	return TAILQ_EMPTY(&queues[queue]);
}

static void
enqueue(struct client *c, enum turn_queue queue)
{
	if (c->turn != TURN_NONE)
		return;
	c->turn = (uint8_t)queue;
	/* Who goes on with a handshake has answered: he means it. */
	if (queue == TURN_HANDSHAKE && c->shaken)
		TAILQ_INSERT_HEAD(&queues[queue], c, turn_entry);
	else
		TAILQ_INSERT_TAIL(&queues[queue], c, turn_entry);
}

static enum turn_queue
queue_of(const struct client *c)
{
	if (c->state == CLIENT_HANDSHAKE)
		return TURN_HANDSHAKE;
	return c->debt > now + CREDIT ? TURN_BUSY : TURN_FRESH;
}

static void
serve(struct client *c, int64_t share)
{
	int64_t before;
	int shake;
	int more;

	shake = c->state == CLIENT_HANDSHAKE;
	served = c;
	share_end = now + share;
	more = client_work(c);
	before = now;
	now = clock_ns();
	if (shake)
		shakes_owe = now - before;
	else {
		shakes_owe -= now - before;
		others = 1;
	}
	if (served == NULL) /* it has gone */
		return;
	served = NULL;
	if (c->debt < before)
		c->debt = before;
	c->debt += (now - before) * WEIGHT;
	if (c->debt > now + MAX_DEBT)
		c->debt = now + MAX_DEBT;
	if (more)
		enqueue(c,
		    c->state == CLIENT_HANDSHAKE ? TURN_HANDSHAKE : TURN_BUSY);
}

static void
serve_first(enum turn_queue queue)
{
	struct client *c;

	c = TAILQ_FIRST(&queues[queue]);
	turn_forget(c);
	serve(c, queue == TURN_FRESH ? SHARE : BUSY_SHARE);
}

/* A turn has TURN, but nobody's queue is left out for long. */
static void
turn_cb(int fd, short ev, void *arg)
{
	static const struct timeval soon = {0, 0};

	(void)fd;
	(void)ev;
	(void)arg;
	now = clock_ns();
	if (!in_turn) {
		others = 0;
		began = now;
	}
	in_turn = 1;
	if (!is_empty(TURN_BUSY))
		serve_first(TURN_BUSY);
	while (now - began < TURN && !is_empty(TURN_FRESH))
		serve_first(TURN_FRESH);
	while (
	    now - began < TURN && !is_empty(TURN_BUSY) && is_empty(TURN_FRESH))
		serve_first(TURN_BUSY);
	if (!is_empty(TURN_HANDSHAKE) && (!others || shakes_owe <= 0))
		serve_first(TURN_HANDSHAKE);
	in_turn = 0;
	if (!is_empty(TURN_FRESH) || !is_empty(TURN_BUSY) ||
	    !is_empty(TURN_HANDSHAKE))
		(void)evtimer_add(&turn_event, &soon);
}

void
turn_prepare(void)
{
	unsigned int i;

	for (i = 0; i < TURN_QUEUES; i++)
		TAILQ_INIT(&queues[i]);
	in_turn = 0;
	(void)evtimer_assign(&turn_event, base, turn_cb, NULL);
}

/* turn_cb() runs after all that the loop has found to do. */
void
turn_begin(void)
{
	if (in_turn)
		return;
	in_turn = 1;
	others = 0;
	began = now = clock_ns();
	event_active(&turn_event, EV_TIMEOUT, 0);
}

void
turn_pass(void)
{
	now = clock_ns();
}

void
turn_ready(struct client *c)
{
	enum turn_queue queue;

	if (c->turn != TURN_NONE)
		return;
	turn_begin();
	queue = queue_of(c);
	if (queue == TURN_FRESH && is_empty(TURN_FRESH) && served == NULL &&
	    now - began < TURN / 2)
		serve(c, SHARE);
	else
		enqueue(c, queue);
}

void
turn_later(struct client *c)
{
	turn_begin();
	enqueue(c, queue_of(c));
}

int
turn_is_over(void)
{
	return clock_ns() >= share_end;
}

void
turn_forget(struct client *c)
{
	if (served == c)
		served = NULL;
	if (c->turn == TURN_NONE)
		return;
	TAILQ_REMOVE(&queues[c->turn], c, turn_entry);
	c->turn = TURN_NONE;
}
