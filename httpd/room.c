#include <sys/socket.h>

#include <errno.h>
#include <time.h>

#include "../common/log.h"
#include "httpd.h"
#include "transport.h"

/*
 * Who has to go, and who has to wait, when there is no room for all.
 *
 * Descriptors: a newcomer is never refused while there is one who says
 * nothing; of those the one that has been silent for longest goes.
 *
 * Memory: nothing is answered while too much of what was answered before is
 * still unread.  Those who then wait do so for STALLED_MS at most, after
 * which readers that take nothing are cut off.
 */

#define MAX_HELD (3UL * 1024 * 1024) /* bytes, for who is not done */
#define MAX_UNREAD (2UL * 1024 * 1024) /* bytes, of all clients */
#define PLENTY (512UL * 1024) /* less is unread: several answers at once */
#define STALLED_MS 50 /* nothing was taken: no reader */
#define BLOCKED_MS 10 /* the same, where others find no place */
#define SILENT_MS 1000
#define LOOK_MS 10 /* while somebody waits */
#define ONE_REQUEST 1024 /* bytes; more are probably several */
#define PEEKS 32 /* idle ones that are asked whether they are */
#define TELL_SECONDS 60

struct client_list clients = TAILQ_HEAD_INITIALIZER(clients);
static struct client_list deferred = TAILQ_HEAD_INITIALIZER(deferred);
static struct event look_timer;
static size_t held; /* bytes that have come and are not parsed */
static size_t most = MAX_UNREAD;
static size_t unread; /* bytes of output buffers */
static int64_t told; /* second of the last word about it */

int64_t
now_ms(void)
{
	struct timespec ts;

	/* It is asked for each answer; a few milliseconds do not matter. */
	(void)clock_gettime(CLOCK_MONOTONIC_COARSE, &ts);
	return (int64_t)ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

/* It has been served, or has taken something: others go before it. */
void
room_touch(struct client *c)
{
	c->progress = now_ms();
	TAILQ_REMOVE(&clients, c, entry);
	TAILQ_INSERT_TAIL(&clients, c, entry);
}

/* ---- descriptors ------------------------------------------------------ */

static int
has_said_nothing(const struct client *c)
{
	char byte;

	return recv(c->fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT) == -1 &&
	    errno == EAGAIN;
}

/*
 * Those who may go, in this order: who has been silent for a while, between
 * two requests or within one that he does not end, was told to go, or waits and
 * has closed his end; who does not read his answer; who has been silent for a
 * moment; who does not read what he follows.  Of each kind the one who has been
 * so for longest.
 */
enum kind { SILENT, STALLED, PAUSING, FOLLOWER, KINDS };

static enum kind
kind_of(const struct client *c, int64_t now)
{
	if (c->turn != TURN_NONE || c->deferred)
		return KINDS;
	if (c->writing) {
		if (c->progress >= now - BLOCKED_MS)
			return KINDS;
		return stream_follows(c->stream) ? FOLLOWER : STALLED;
	}
	if (c->state == CLIENT_CLOSING ||
	    (c->state == CLIENT_WAITING && c->gone))
		return SILENT;
	if (c->state != CLIENT_READING && c->state != CLIENT_HANDSHAKE)
		return KINDS;
	return c->progress < now - SILENT_MS ? SILENT : PAUSING;
}

static int
is_too_much(void)
{
	return held + transport_memory() > MAX_HELD;
}

static int
holds_nothing(const struct client *c)
{
	return c->tls == NULL && c->in == NULL;
}

static struct client *
missed_least(const struct client *newcomer)
{
	struct client *first[KINDS] = {NULL};
	struct client *c;
	unsigned int peeks;
	enum kind kind;
	int64_t now;
	int much;

	peeks = 0;
	much = nclients <= MAX_CLIENTS && is_too_much();
	now = now_ms();
	TAILQ_FOREACH (c, &clients, entry) {
		kind = c == newcomer || (much && holds_nothing(c)) ?
		    KINDS :
		    kind_of(c, now);
		if (kind == KINDS || first[kind] != NULL)
			continue;
		/* What it has just said may not have been read yet. */
		if (!c->writing && c->state != CLIENT_CLOSING && !c->gone &&
		    c->head_deadline == 0 && peeks++ < PEEKS &&
		    !has_said_nothing(c))
			continue;
		first[kind] = c;
		if (kind == SILENT)
			break;
	}
	for (kind = SILENT; kind < KINDS; kind++)
		if (first[kind] != NULL)
			return first[kind];
	return NULL;
}

static void
tell(const char *what)
{
	int64_t now;

	now = now_seconds();
	if (told != 0 && now - told < TELL_SECONDS)
		return;
	told = now;
	log_warnx("%s", what);
}

int
room_make(const struct client *newcomer)
{
	struct client *c;

	c = missed_least(newcomer);
	if (c == NULL) {
		tell("too many connections, all of them busy: others wait");
		return -1;
	}
	tell("too many connections: those that were silent for longest are "
	     "closed");
	client_free(c);
	return 0;
}

int
room_find(const struct client *newcomer)
{
	while (nclients > MAX_CLIENTS || is_too_much())
		if (room_make(newcomer) == -1)
			return -1;
	return 0;
}

void
room_holds(size_t before, size_t after)
{
	held = held - before + after;
}

/* ---- memory ----------------------------------------------------------- */

int
room_over(size_t asked)
{
	/* Half as much on top for who asks one thing at a time. */
	return unread > most + (asked <= ONE_REQUEST ? most / 2 : 0);
}

void
room_is_small(void)
{
	most = MAX_UNREAD / 2;
}

size_t
room_share(void)
{
	return unread < PLENTY ? MAX_OUTPUT : MIN_OUTPUT;
}

static void
look_again(void)
{
	struct timeval tv = {0, LOOK_MS * 1000L};

	(void)evtimer_add(&look_timer, &tv);
}

/* Somebody waits: those who take nothing do not keep him for long, nor does a
 * manager that is slow (replica_is_behind()). */
static void
look_cb(int fd, short ev, void *arg)
{
	struct client *next;
	struct client *c;
	int64_t before;

	(void)fd;
	(void)ev;
	(void)arg;
	before = now_ms() - STALLED_MS;
	TAILQ_FOREACH_SAFE (c, &clients, entry, next) {
		if (!room_over(SIZE_MAX))
			break;
		if (!c->writing || c->progress > before)
			continue;
		tell("answers that are not read take too much memory: "
		     "connections are closed");
		client_free(c);
	}
	room_release();
	if (!TAILQ_EMPTY(&deferred))
		look_again();
}

void
room_defer(struct client *c)
{
	if (c->deferred)
		return;
	if (!event_initialized(&look_timer))
		(void)evtimer_assign(&look_timer, base, look_cb, NULL);
	c->deferred = 1;
	TAILQ_INSERT_TAIL(&deferred, c, deferred_entry);
	if (!evtimer_pending(&look_timer, NULL))
		look_again();
}

void
room_forget(struct client *c)
{
	if (c->deferred)
		TAILQ_REMOVE(&deferred, c, deferred_entry);
	c->deferred = 0;
}

void
room_release(void)
{
	struct client *c;

	if (room_over(SIZE_MAX))
		return;
	while ((c = TAILQ_FIRST(&deferred)) != NULL) {
		room_forget(c);
		event_active(&c->write, EV_WRITE, 0);
	}
}

void
room_account(size_t before, size_t after)
{
	unread = unread - before + after;
	if (after <= before)
		room_release();
}
