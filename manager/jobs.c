#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <bsd/string.h>

#include "../common/log.h"
#include "../common/snapshot.h"
#include "../common/spec.h"
#include "manager.h"

/* The tables of jobs and processes, made from the configuration. */

static struct job_config runner_config;
static struct stop_step runner_stop;

static struct process *
process_new(struct job *job, uint32_t instance)
{
	struct process *p;

	p = calloc(1, sizeof(*p));
	if (p == NULL)
		return NULL;
	p->job = job;
	p->instance = instance;
	p->slot = NO_ENTRY;
	p->state = STATE_WAITING;
	p->want = WANT_UP;
	SLIST_INIT(&p->waiting);
	mgr.processes[mgr.nprocesses++] = p;
	p->id = mgr.nprocesses;
	return p;
}

static int
job_init(struct job *job, struct job_config *c)
{
	unsigned int i;

	job->config = c;
	if (asprintf(&job->name, "default.%s", c->name) == -1)
		return -1;
	job->nprocesses = c->instances;
	job->processes = calloc(c->instances + 1, sizeof(struct process *));
	if (job->processes == NULL)
		return -1;
	for (i = 0; i < c->instances; i++) {
		job->processes[i] = process_new(job, i);
		if (job->processes[i] == NULL)
			return -1;
	}
	return 0;
}

/* For musterctl: where its musterd listens, as no file name tells it. */
static int
runner_environment(struct job_config *c)
{
	const char *path;
	char *text;
	int n;

	path = mgr.config->http.unix_path;
	c->environment.list = calloc(1, sizeof(*c->environment.list));
	n = asprintf(&text, "MUSTER_SOCKET=%s%s%s",
	    path[0] == '/' ? "" : mgr.snapshot->directory,
	    path[0] == '/' ? "" : "/", path);
	if (c->environment.list == NULL || n == -1)
		return -1;
	c->environment.list[0].source = text;
	c->environment.count = 1;
	return 0;
}

/* The command of -x is a job that is not listed: it starts when all others
 * are up, and its end is the end of musterd, with its code. */
static struct job_config *
runner_job_config(void)
{
	struct job_config *c;
	size_t i;
	size_t n;

	c = &runner_config;
	n = mgr.snapshot->ncommand;
	c->name = mgr.snapshot->command[0];
	c->words.list = calloc(n, sizeof(*c->words.list));
	if (c->words.list == NULL)
		return NULL;
	if (runner_environment(c) == -1)
		return NULL;
	c->words.count = n;
	for (i = 0; i < n; i++)
		c->words.list[i].source = mgr.snapshot->command[i];
	c->umask = NO_UMASK;
	c->nice = NO_NICE;
	c->instances = 1;
	c->exit_shutdown = 1;
	c->out.mode = OUTPUT_INHERIT;
	c->err.mode = OUTPUT_INHERIT;
	runner_stop.signal = 15;
	runner_stop.wait = c->graceful = mgr.config->graceful;
	c->stop = &runner_stop;
	c->nstop = 1;
	return c;
}

static int
by_id(const void *a, const void *b)
{
	const struct process *const *x = a;
	const struct process *const *y = b;

	return (*x)->id < (*y)->id ? -1 : (*x)->id > (*y)->id;
}

void
jobs_sort(void)
{
	qsort(mgr.processes, mgr.nprocesses, sizeof(struct process *), by_id);
}

/* It ends as the configuration wanted it that had it. */
static int
take_stop(struct job_config *c, const struct blob *b)
{
	static const struct stop_step plain = {.signal = SIGTERM};

	c->nstop = b->nstop == 0 ? 1 : b->nstop;
	c->graceful = b->nstop == 0 ? mgr.config->graceful : b->graceful;
	c->stop = calloc(c->nstop, sizeof(*c->stop));
	if (c->stop == NULL)
		return -1;
	if (b->nstop > 0)
		memcpy(c->stop, b->stop, b->nstop * sizeof(*c->stop));
	else {
		c->stop[0] = plain;
		c->stop[0].wait = c->graceful;
	}
	return 0;
}

/* Each has a job of its own, which lasts as long as this manager. */
struct process *
jobs_retired(const struct blob *b)
{
	struct process **list;
	struct job_config *c;
	struct process *p;
	struct job *job;
	const char *name;

	name = b->job == NULL || b->job[0] == '\0' ? "?" : b->job;
	list = reallocarray(mgr.processes, (size_t)mgr.nprocesses + 1,
	    sizeof(struct process *));
	job = calloc(1, sizeof(*job));
	c = calloc(1, sizeof(*c));
	if (list == NULL || job == NULL || c == NULL)
		fatal("retired job");
	mgr.processes = list;
	c->name = strdup(name);
	c->entry = NO_ENTRY; /* there is nothing to be started */
	job->config = c;
	job->retired = 1;
	p = c->name == NULL || take_stop(c, b) == -1 ||
		asprintf(&job->name, "default.%s", name) == -1 ?
	    NULL :
	    process_new(job, 0);
	if (p == NULL)
		fatal("retired job");
	return p;
}

int
jobs_make(void)
{
	struct job_config *runner;
	size_t i;
	size_t n;

	n = 0;
	for (i = 0; i < mgr.config->njobs; i++)
		n += mgr.config->jobs[i]->instances;
	if (n >= MAX_PROCESSES)
		return -1;
	mgr.jobs = calloc(mgr.config->njobs + 1, sizeof(*mgr.jobs));
	mgr.processes = calloc(n + 1, sizeof(struct process *));
	if (mgr.jobs == NULL || mgr.processes == NULL)
		return -1;
	for (i = 0; i < mgr.config->njobs; i++)
		if (job_init(&mgr.jobs[mgr.njobs++], mgr.config->jobs[i]) == -1)
			return -1;
	if (!(mgr.snapshot->flags & SNAPSHOT_RUNNER) ||
	    mgr.snapshot->ncommand == 0)
		return 0;
	runner = runner_job_config();
	if (runner == NULL)
		return -1;
	mgr.runner = &mgr.jobs[mgr.njobs++];
	mgr.runner->hidden = 1;
	return job_init(mgr.runner, runner);
}
