#include <stdio.h>

#include "../common/bucket.h"
#include "../common/log.h"
#include "../common/wire.h"
#include "httpd.h"

/*
 * Attempts to change something that are refused here: the manager, who writes
 * the audit, is told of them, but not of more than it can bear.  What is left
 * out is counted, and told as well.
 */

#define RATE 1 /* a second */
#define BURST 20
#define TELL_SECONDS 2 /* the number, when nothing else comes */

static struct bucket bucket;
static struct event timer;
static uint32_t left_out;

static void
tell(const struct client *c, uint8_t op, uint16_t status, const char *argument)
{
	struct wire w;
	char who[160];

	who[0] = '\0';
	if (c != NULL)
		access_who(c, who, sizeof(who));
	wire_init(&w);
	wire_put_u8(&w, op);
	wire_put_u16(&w, status);
	wire_put_i64(&w, c == NULL ? -1 : c->uid);
	wire_put_str(&w, who);
	wire_put_str(&w, c == NULL ? "" : c->from);
	wire_put_str(&w, argument);
	wire_put_u32(&w, left_out);
	if (channel_send_wire(manager_channel, IMSG_REFUSED, 0, -1, &w) == 0)
		left_out = 0;
	wire_free(&w);
}

static void
leave_out(void)
{
	const struct timeval tv = {TELL_SECONDS, 0};

	if (left_out < UINT32_MAX)
		left_out++;
	if (!evtimer_pending(&timer, NULL))
		(void)evtimer_add(&timer, &tv);
}

static void
number_cb(int fd, short ev, void *arg)
{
	const struct timeval tv = {TELL_SECONDS, 0};

	(void)fd;
	(void)ev;
	(void)arg;
	if (left_out == 0)
		return;
	if (manager_channel != NULL)
		tell(NULL, 0, 0, "");
	else
		(void)evtimer_add(&timer, &tv);
}

void
refusal_audit(const struct client *c, enum request_op op, const char *argument,
    int status)
{
	char text[64];

	if (!event_initialized(&timer))
		(void)evtimer_assign(&timer, base, number_cb, NULL);
	if (manager_channel == NULL || !bucket_take(&bucket, RATE, BURST)) {
		leave_out();
		return;
	}
	/* It can be as long as a head. */
	(void)snprintf(text, sizeof(text), "%s", argument);
	tell(c, (uint8_t)op, (uint16_t)status, text);
}
