#include <stdio.h>
#include <string.h>

#include <event2/event.h>

#include "../common/snapshot.h"
#include "logline.h"
#include "manager.h"

/*
 * The display while starting, under -x: on a terminal a block that is drawn
 * again in place, elsewhere one line for each change.
 */

#define FRAME 100000 /* µs between two pictures of a terminal */
#define MAX_ROWS 20 /* the terminal may have 24 */
#define ROW_SIZE 480
#define NAME_LEAST 16
#define NAME_COLUMNS 32
/* A line that is too long is cut by the terminal, also when it has become
 * narrower since: DECAWM, off and on. */
#define WRAP_OFF "\033[?7l"
#define WRAP_ON "\033[?7h"

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

static int
least(int a, int b)
{
	return a < b ? a : b;
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

static const char *
color(const struct process *p)
{
	if (!mgr.snapshot->colour)
		return "";
	return p->listed ? "\033[32m" : has_failed(p) ? "\033[31m" : "";
}

/* Characters of a name, not bytes. */
static int
characters(const char *s)
{
	int n;

	for (n = 0; *s != '\0'; s++)
		n += ((unsigned char)*s & 0xc0) != 0x80;
	return n;
}

/* The width of the column of names. */
static int
name_width(void)
{
	uint32_t i;
	int n;
	int width;

	width = NAME_LEAST;
	for (i = 0; i < mgr.nprocesses; i++) {
		if (mgr.processes[i]->job->hidden)
			continue;
		n = characters(mgr.processes[i]->job->config->name);
		if (n > width)
			width = n > NAME_COLUMNS ? NAME_COLUMNS : n;
	}
	return width;
}

static int
row(const struct process *p, int width, char *buf, size_t size)
{
	char reason[256];
	double seconds;

	seconds = p->verdict != NULL && p->listed ?
	    (double)p->verdict->elapsed / 1e9 :
	    p->started != 0 ? (double)(now_mono() - p->started) / 1e9 :
			      0;
	logline_clean(reason, sizeof(reason), verify_reason(p));
	width -= characters(p->job->config->name);
	return snprintf(buf, size, " %s%s%s %s%*s %-9s %s%s%.1fs", color(p),
	    mark(p), color(p)[0] == '\0' ? "" : "\033[0m", p->job->config->name,
	    width > 0 ? width : 0, "", word(p), reason,
	    reason[0] == '\0' ? "" : "  ", seconds);
}

/* How many rows stand for processes that are done and have no place. */
static unsigned int
too_many(void)
{
	uint32_t i;
	unsigned int n;

	n = 0;
	for (i = 0; i < mgr.nprocesses; i++)
		n += !mgr.processes[i]->job->hidden;
	return n > MAX_ROWS ? n - MAX_ROWS : 0;
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
	unsigned int skip;
	int width;

	n = (size_t)snprintf(text, sizeof(text), WRAP_OFF);
	rows = 0;
	ready = 0;
	skip = too_many();
	width = name_width();
	for (i = 0; i < mgr.nprocesses; i++)
		if (mgr.processes[i]->listed)
			ready++;
	if (drawn > 0)
		n += (size_t)snprintf(
		    text + n, sizeof(text) - n, "\033[%uA", drawn);
	n += (size_t)snprintf(text + n, sizeof(text) - n,
	    "\033[K[+] %u/%u ready\n", ready,
	    mgr.nprocesses - (mgr.runner != NULL ? 1 : 0));
	for (i = 0; i < mgr.nprocesses && rows < MAX_ROWS; i++) {
		p = mgr.processes[i];
		if (p->job->hidden || n + 600 > sizeof(text))
			continue;
		if (skip > 0 && p->listed) {
			skip--;
			continue;
		}
		n += (size_t)snprintf(text + n, sizeof(text) - n, "\033[K");
		n += (size_t)least(
		    row(p, width, text + n, ROW_SIZE), ROW_SIZE - 1);
		text[n++] = '\n';
		rows++;
	}
	drawn = rows + 1;
	/* Before the end of the last line: what follows is the command's. */
	n--;
	n += (size_t)snprintf(text + n, sizeof(text) - n, WRAP_ON "\n");
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
	char text[ROW_SIZE + 1];
	int n;

	if (!active || p->job->hidden || on_terminal())
		return;
	/* One line for what is final; attempts that fail are many. */
	if (!p->listed && p->state != STATE_FAILED && !mgr.launch_failed)
		return;
	n = least(row(p, name_width(), text, ROW_SIZE), ROW_SIZE - 1);
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
