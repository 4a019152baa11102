#include <limits.h>
#include <stdio.h>
#include <string.h>

#include <event2/event.h>

#include <bsd/stdlib.h>
#include <bsd/string.h>

#include "../common/log.h"
#include "../common/snapshot.h"
#include "../common/wire.h"
#include "manager.h"

/*
 * What a service manager above us is told: sd_notify(3).  The texts are made
 * here, the guard sends them; nothing is sent where nobody listens.
 */

#define EXTENSION "EXTEND_TIMEOUT_USEC=30000000"
#define EXTEND_SECONDS 10 /* from one to the next */

static int listened;
static int ready_due; /* to be told at the end of this turn */
static struct event *watchdog; /* NULL: nobody watches */
static struct event *extension; /* while a start or an end takes long */
static char last_status[MAX_NAME + 64];

static void
send_text(const char *text)
{
	struct wire w;

	if (!listened)
		return;
	wire_init(&w);
	wire_put_str(&w, text);
	(void)manager_send(IMSG_NOTIFY, 0, &w);
	wire_free(&w);
}

/* ---- signs of life -------------------------------------------------- */

static void
watchdog_cb(int fd, short ev, void *arg)
{
	(void)fd;
	(void)ev;
	(void)arg;
	send_text("WATCHDOG=1");
}

/* Only the variables that were meant for the guard. */
static void
watchdog_begin(void)
{
	struct timeval tv;
	const char *error;
	const char *pid;
	const char *usec;
	long long half;

	usec = snapshot_getenv(mgr.snapshot, "WATCHDOG_USEC");
	pid = snapshot_getenv(mgr.snapshot, "WATCHDOG_PID");
	if (usec == NULL)
		return;
	if (pid != NULL &&
	    (strtonum(pid, 1, INT_MAX, &error) != mgr.snapshot->pid ||
		error != NULL))
		return;
	half = strtonum(usec, 1, LLONG_MAX, &error) / 2;
	if (error != NULL) {
		log_warnx("WATCHDOG_USEC is %s", error);
		return;
	}
	if (half < 1000)
		half = 1000;
	watchdog = event_new(mgr.base, -1, EV_PERSIST, watchdog_cb, NULL);
	tv.tv_sec = half / 1000000;
	tv.tv_usec = half % 1000000;
	if (watchdog == NULL || event_add(watchdog, &tv) == -1)
		log_warnx("no memory for the watchdog");
	watchdog_cb(-1, 0, NULL);
}

void
notify_begin(void)
{
	listened = snapshot_getenv(mgr.snapshot, "NOTIFY_SOCKET") != NULL;
	if (listened)
		watchdog_begin();
}

static void
extend_cb(int fd, short ev, void *arg)
{
	const struct timeval tv = {EXTEND_SECONDS, 0};

	(void)fd;
	(void)ev;
	(void)arg;
	/* While it runs this would be about the time that it may run. */
	if (mgr.phase != PHASE_LAUNCHING && !shutting_down())
		return;
	send_text(EXTENSION);
	(void)evtimer_add(extension, &tv);
}

/* How long it takes is bounded by our own configuration. */
void
notify_slow(void)
{
	if (!listened)
		return;
	if (extension == NULL)
		extension = evtimer_new(mgr.base, extend_cb, NULL);
	if (extension != NULL)
		extend_cb(-1, 0, NULL);
}

/* ---- states --------------------------------------------------------- */

/* "STATUS=3/4 ready, waiting for web", when it has changed. */
static void
notify_status(void)
{
	const struct process *waiting;
	char text[sizeof(last_status)];
	uint32_t i;
	unsigned int up;
	unsigned int all;

	if (!listened || mgr.phase != PHASE_LAUNCHING)
		return;
	waiting = NULL;
	up = 0;
	all = 0;
	for (i = 0; i < mgr.nprocesses; i++) {
		if (mgr.processes[i]->job->hidden)
			continue;
		all++;
		if (mgr.processes[i]->listed)
			up++;
		else if (waiting == NULL)
			waiting = mgr.processes[i];
	}
	(void)snprintf(text, sizeof(text), "STATUS=%u/%u ready%s%s", up, all,
	    waiting == NULL ? "" : ", waiting for ",
	    waiting == NULL ? "" : waiting->job->config->name);
	if (strcmp(text, last_status) == 0)
		return;
	(void)strlcpy(last_status, text, sizeof(last_status));
	send_text(text);
}

/* All is up, or what was interrupted by a reload goes on. */
void
notify_ready(void)
{
	ready_due = 1;
	manager_later();
}

/* Not before the API says so, too: whoever waits for it may ask at once. */
void
notify_flush(void)
{
	char text[64];

	notify_status();
	if (!ready_due)
		return;
	ready_due = 0;
	if (mgr.phase != PHASE_RUNNING)
		return;
	if (mgr.snapshot->flags & SNAPSHOT_DAEMON_WAIT)
		manager_daemon_ready(0);
	(void)snprintf(text, sizeof(text), "READY=1\nSTATUS=%u processes",
	    mgr.nprocesses - (mgr.runner != NULL ? 1 : 0));
	send_text(text);
}

void
notify_reloading(void)
{
	char text[80];

	if (mgr.phase != PHASE_RUNNING)
		return;
	(void)snprintf(text, sizeof(text),
	    "RELOADING=1\nMONOTONIC_USEC=%llu\nSTATUS=reloading",
	    (unsigned long long)(now_mono() / 1000));
	send_text(text);
}

void
notify_stopping(void)
{
	send_text("STOPPING=1\nSTATUS=shutting down");
	notify_slow();
}
