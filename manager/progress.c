#include <stdio.h>
#include <string.h>

#include <event2/event.h>

#include "../common/snapshot.h"
#include "manager.h"

/*
 * The display while starting, under -x: on a terminal a block that is drawn
 * again in place, elsewhere one line for each change.
 */

#define FRAME 100000 /* µs between two pictures of a terminal */
#define MAX_ROWS 40

static struct event *frame;
static int active;
static unsigned int drawn; /* rows on the terminal */
static unsigned int turn;

static int
on_terminal(void)
{
	return (mgr.snapshot->flags & SNAPSHOT_STDERR_TTY) != 0 &&
	    mgr.snapshot->columns > 20;
}

/* It will not be verified. */
static int
has_failed(const struct process *p)
{
	return !p->listed && p->verification == NULL &&
	    (p->state == STATE_RUNNING || p->state == STATE_EXITED ||
		p->state == STATE_FAILED);
}

static const char *
mark(const struct process *p)
{
	static const char *const wheel[] = {
	    "⠋", "⠙", "⠹", "⠸", "⠼", "⠴", "⠦", "⠧"};

	if (p->listed)
		return "✔";
	if (has_failed(p))
		return "✘";
	return p->state == STATE_WAITING ? "·" : wheel[turn % 8];
}

static const char *
word(const struct process *p)
{
	if (p->listed)
		return p->job->config->nverifiers > 0 ? "verified" : "started";
	if (has_failed(p))
		return "failed";
	if (p->state == STATE_STARTING)
		return "waiting";
	return process_state_name(p->state);
}

static int
row(const struct process *p, char *buf, size_t size)
{
	double seconds;

	seconds = p->verdict != NULL && p->listed ?
	    (double)p->verdict->elapsed / 1e9 :
	    p->started != 0 ? (double)(now_mono() - p->started) / 1e9 :
			      0;
	return snprintf(buf, size, " %s %-16s %-9s %-.*s %.1fs", mark(p),
	    p->job->config->name, word(p),
	    mgr.snapshot->columns > 60 ? (int)mgr.snapshot->columns - 44 : 200,
	    verify_reason(p), seconds);
}

static void
draw(void)
{
	char text[12000];
	const struct process *p;
	size_t n;
	uint32_t i;
	unsigned int rows;
	unsigned int ready;

	n = 0;
	rows = 0;
	ready = 0;
	for (i = 0; i < mgr.nprocesses; i++)
		if (mgr.processes[i]->listed)
			ready++;
	if (drawn > 0)
		n += (size_t)snprintf(text, sizeof(text), "\033[%uA", drawn);
	n += (size_t)snprintf(text + n, sizeof(text) - n,
	    "\033[K[+] %u/%u ready\n", ready,
	    mgr.nprocesses - (mgr.runner != NULL ? 1 : 0));
	for (i = 0; i < mgr.nprocesses && rows < MAX_ROWS; i++) {
		p = mgr.processes[i];
		if (p->job->hidden || n + 600 > sizeof(text))
			continue;
		n += (size_t)snprintf(text + n, sizeof(text) - n, "\033[K");
		n += (size_t)row(p, text + n, 400);
		text[n++] = '\n';
		rows++;
	}
	drawn = rows + 1;
	console_bytes(2, text, n);
}

static void
frame_cb(int fd, short ev, void *arg)
{
	(void)fd;
	(void)ev;
	(void)arg;
	turn++;
	draw();
}

void
progress_begin(void)
{
	struct timeval tv = {0, FRAME};

	if (!(mgr.snapshot->flags & SNAPSHOT_RUNNER) ||
	    (mgr.snapshot->flags & SNAPSHOT_QUIET))
		return;
	active = 1;
	if (!on_terminal())
		return;
	frame = event_new(mgr.base, -1, EV_PERSIST, frame_cb, NULL);
	if (frame != NULL)
		(void)event_add(frame, &tv);
	draw();
}

void
progress_process(struct process *p)
{
	char text[512];
	int n;

	if (!active || p->job->hidden || on_terminal())
		return;
	/* One line for what is final; attempts that fail are many. */
	if (!p->listed && p->state != STATE_FAILED && !mgr.launch_failed)
		return;
	n = row(p, text, sizeof(text) - 1);
	if (n < 0)
		return;
	if ((size_t)n > sizeof(text) - 2)
		n = (int)sizeof(text) - 2;
	text[n++] = '\n';
	console_bytes(2, text, (size_t)n);
}

void
progress_end(void)
{
	if (!active)
		return;
	if (on_terminal())
		draw();
	active = 0;
	if (frame != NULL)
		event_free(frame);
	frame = NULL;
}
