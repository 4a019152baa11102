#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "manager.h"

/* What a reload has done, in one line: the jobs that are new, and so on. */

#define NAMES 160 /* bytes of names of one kind */

struct kind {
	const char *word;
	unsigned int count;
	size_t len;
	char names[NAMES];
};

static void
add(struct kind *k, const char *name)
{
	int n;

	k->count++;
	if (k->len >= sizeof(k->names))
		return;
	n = snprintf(k->names + k->len, sizeof(k->names) - k->len, "%s%s",
	    k->len == 0 ? "" : ", ", name);
	if (n >= (int)(sizeof(k->names) - k->len)) {
		(void)snprintf(k->names + k->len, sizeof(k->names) - k->len,
		    "%s", k->len == 0 ? "..." : ", ...");
		n = sizeof(k->names);
	}
	k->len += (size_t)n;
}

/* Is it one of the configuration, of which an instance was taken away? */
static struct job *
job_named(const char *name)
{
	size_t i;

	for (i = 0; i < mgr.njobs; i++)
		if (!mgr.jobs[i].hidden &&
		    strcmp(mgr.jobs[i].config->name, name) == 0)
			return &mgr.jobs[i];
	return NULL;
}

/* Is this one a further instance of a job that has gone? */
static int
is_known(uint32_t process)
{
	const char *name = mgr.processes[process]->job->config->name;
	const struct job *job;

	while (process-- > 0) {
		job = mgr.processes[process]->job;
		if (job->retired && strcmp(job->config->name, name) == 0)
			return 1;
	}
	return 0;
}

static void
add_retired(struct kind *removed)
{
	struct job *job;
	struct job *still;
	uint32_t i;

	for (i = 0; i < mgr.nprocesses; i++) {
		job = mgr.processes[i]->job;
		if (!job->retired)
			continue;
		still = job_named(job->config->name);
		if (still != NULL)
			still->changed = 1;
		else if (!is_known(i))
			add(removed, job->config->name);
	}
}

/* How many of its processes are new? */
static unsigned int
new_processes(const struct job *job)
{
	unsigned int i;
	unsigned int n;

	n = 0;
	for (i = 0; i < job->nprocesses; i++)
		n += !job->processes[i]->stored;
	return n;
}

void
reload_tell(void)
{
	struct kind kinds[3] = {
	    {.word = "added"}, {.word = "changed"}, {.word = "removed"}};
	char text[3 * (NAMES + 32) + 64];
	const struct job *job;
	unsigned int kept;
	size_t i;
	size_t n;

	add_retired(&kinds[2]);
	kept = 0;
	for (i = 0; i < mgr.njobs; i++) {
		job = &mgr.jobs[i];
		if (job->hidden)
			continue;
		n = new_processes(job);
		if (n == job->nprocesses && n > 0)
			add(&kinds[0], job->config->name);
		else if (n > 0 || job->changed)
			add(&kinds[1], job->config->name);
		else
			kept++;
	}
	n = (size_t)snprintf(text, sizeof(text), "reloaded: ");
	for (i = 0; i < 3; i++)
		if (kinds[i].count > 0)
			n += (size_t)snprintf(text + n, sizeof(text) - n,
			    "%u %s (%s), ", kinds[i].count, kinds[i].word,
			    kinds[i].names);
	(void)snprintf(text + n, sizeof(text) - n, "%u not touched", kept);
	console_note(text);
}
