#include <stdio.h>
#include <string.h>

#include <event2/event.h>

#include "../common/snapshot.h"
#include "../common/wire.h"
#include "logline.h"
#include "manager.h"

/*
 * The last words of a process whose start has failed: why, and its last ten
 * lines of output.
 */

#define TAIL_LINES 10
#define TAIL_PATIENCE 2 /* seconds that the end waits for them */

static struct process *asked;
static struct event *patience;

static void
patience_cb(int fd, short ev, void *arg)
{
	(void)fd;
	(void)ev;
	(void)arg;
	asked = NULL;
	manager_later();
}

int
tail_pending(void)
{
	return asked != NULL;
}

static void
print_reason(const struct process *p)
{
	const struct verdict *d;

	d = p->verdict;
	if (p->stage != STAGE_NONE) /* what is said is of no job */
		console_tell(LOG_LEVEL_ERROR, "%s: was not started\n",
		    p->job->config->name);
	if (p->stage != STAGE_NONE || d == NULL || d->last[0] == '\0')
		return;
	console_tell(LOG_LEVEL_ERROR,
	    "%s: %s verifier: %s (%u attempt%s, %.1f s)\n",
	    p->job->config->name, d->kind, d->last, d->attempts,
	    d->attempts == 1 ? "" : "s", (double)d->elapsed / 1e9);
}

void
tail_ask(uint32_t id, uint8_t stream, uint32_t lines)
{
	struct wire w;

	wire_init(&w);
	wire_put_u32(&w, id);
	wire_put_u8(&w, stream);
	wire_put_u32(&w, lines);
	(void)channel_send_wire(mgr.relay, IMSG_STREAM_TAIL, id, -1, &w);
	wire_free(&w);
}

void
tail_request(struct process *p)
{
	struct timeval tv;

	print_reason(p);
	if (asked != NULL || mgr.relay == NULL || p->generation == 0)
		return;
	tv.tv_sec = TAIL_PATIENCE;
	tv.tv_usec = 0;
	if (patience == NULL)
		patience = evtimer_new(mgr.base, patience_cb, NULL);
	if (patience == NULL || evtimer_add(patience, &tv) == -1)
		return;
	asked = p;
	tail_ask(p->id, 0, TAIL_LINES);
}

/* What a process writes must not do anything to the terminal. */
static void
print_line(const char *line, size_t len)
{
	char raw[1001];
	char text[4 * sizeof(raw)];

	(void)snprintf(raw, sizeof(raw), "%.*s", (int)len, line);
	logline_clean(text, sizeof(text), raw);
	console_tell(LOG_LEVEL_ERROR, "    %s\n", text);
}

/* Where the rest can be seen: a run of -x is over when this is read. */
static void
print_more(const struct job_config *c)
{
	if (c->out.mode == OUTPUT_FILE)
		console_tell(LOG_LEVEL_ERROR, "%s: more is in %s\n", c->name,
		    c->out.path);
	else if (c->out.mode == OUTPUT_SHOW &&
	    (mgr.snapshot->flags & SNAPSHOT_RUNNER) != 0)
		console_tell(LOG_LEVEL_ERROR, "%s: for more: musterd -f %s\n",
		    c->name, mgr.snapshot->path);
}

void
tail_done(uint32_t id, const void *data, size_t len)
{
	const char *end;
	const char *line;
	size_t n;

	if (asked == NULL || asked->id != id)
		return;
	line = data;
	if (len > 0)
		console_tell(LOG_LEVEL_ERROR, "%s: last lines of its output:\n",
		    asked->job->config->name);
	while (len > 0) {
		end = memchr(line, '\n', len);
		n = end == NULL ? len : (size_t)(end - line);
		print_line(line, n > 1000 ? 1000 : n);
		if (end == NULL)
			break;
		len -= n + 1;
		line = end + 1;
	}
	/* One that never came to be has written nothing. */
	if (asked->stage == STAGE_NONE)
		print_more(asked->job->config);
	asked = NULL;
	(void)event_del(patience);
	manager_later();
}
