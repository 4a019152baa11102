#include <stdio.h>
#include <string.h>

#include "../common/wire.h"
#include "manager.h"

/*
 * What a service manager above us is told: sd_notify(3).  The texts are made
 * here, the guard sends them; nothing is sent where nobody listens.
 */

static int listened;

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

void
notify_begin(void)
{
	listened = snapshot_getenv(mgr.snapshot, "NOTIFY_SOCKET") != NULL;
}

/* "STATUS=3/4 ready, waiting for web", at most once a turn. */
void
notify_status(void)
{
	const struct process *waiting;
	char text[MAX_NAME + 64];
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
	send_text(text);
}

void
notify_ready(void)
{
	char text[64];

	(void)snprintf(text, sizeof(text), "READY=1\nSTATUS=%u processes",
	    mgr.nprocesses - (mgr.runner != NULL ? 1 : 0));
	send_text(text);
}

void
notify_stopping(void)
{
	send_text("STOPPING=1\nSTATUS=shutting down");
}
