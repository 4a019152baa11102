#include <time.h>

#include "httpd.h"
#include "transport.h"

/*
 * Rights that end while they are used: a request is judged when it comes, but
 * a connection outlives the reload that revokes its certificate, and what
 * somebody follows outlives his token.
 */

#define DAY 86400

static struct event timer; /* the next end of something that is followed */

int
rights_have_ended(const struct client *c)
{
	return c->ends != 0 && time(NULL) >= c->ends;
}

static void expire_cb(int, short, void *);

static void
set_timer(void)
{
	struct timeval tv = {0, 0};
	struct client *c;
	int64_t first;
	int64_t left;

	first = 0;
	TAILQ_FOREACH (c, &clients, entry)
		if (c->state == CLIENT_STREAMING && c->ends != 0 &&
		    (first == 0 || c->ends < first))
			first = c->ends;
	if (!event_initialized(&timer))
		(void)evtimer_assign(&timer, base, expire_cb, NULL);
	if (first == 0) {
		(void)evtimer_del(&timer);
		return;
	}
	/* Not for longer: an end may be too far away for a timer. */
	left = first - time(NULL);
	tv.tv_sec = left < 0 ? 0 : left > DAY ? DAY : (time_t)left;
	(void)evtimer_add(&timer, &tv);
}

static void
expire_cb(int fd, short ev, void *arg)
{
	struct client *c;

	(void)fd;
	(void)ev;
	(void)arg;
	TAILQ_FOREACH (c, &clients, entry)
		if (c->state == CLIENT_STREAMING && rights_have_ended(c))
			client_end(c);
	set_timer();
}

void
rights_watch(const struct client *c)
{
	if (c->ends != 0)
		set_timer();
}

/* What is begun with rights that are no more is not gone on with. */
static void
renew(struct client *c)
{
	static char empty[] = "";
	static char *nothing[] = {empty, NULL};
	static char name[] = "revoked";
	static const struct principal revoked = {
	    .name = name, .scope = nothing, .kind = PRINCIPAL_TOKEN};
	int may;

	may = access_again(c) != ACCESS_NONE && stream_is_covered(c);
	if (!may)
		c->principal = &revoked; /* if an answer is still to come */
	if (!may && c->state == CLIENT_STREAMING)
		client_end(c);
}

void
rights_renew(void)
{
	struct client *c;

	TAILQ_FOREACH (c, &clients, entry) {
		access_peer_again(c);
		if (c->principal != NULL || c->state == CLIENT_STREAMING ||
		    c->state == CLIENT_WAITING)
			renew(c);
	}
	set_timer();
}

/*
 * A certificate that would be refused today ends its connection, unless an
 * answer is on its way; one of a CA that counts for nothing any more is none.
 */
void
rights_renew_certificates(void)
{
	struct client *c;
	int valid;

	TAILQ_FOREACH (c, &clients, entry) {
		if (c->tls == NULL || c->state == CLIENT_HANDSHAKE)
			continue;
		valid = transport_is_valid(c);
		if (valid == 1)
			continue;
		c->is_certified = 0;
		if (valid == -1 && c->state != CLIENT_WAITING)
			client_end(c);
		else if (c->by == BY_CERTIFICATE)
			renew(c);
		if (valid == -1)
			c->close = 1;
	}
	set_timer();
}
