#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "manager.h"

/* Why a process could not be started, in pymanager's words. */

static const char *const stages[] = {
    [STAGE_NONE] = "spawn",
    [STAGE_SKIPPED] = "skipped",
    [STAGE_RESOURCE] = "resources",
    [STAGE_LOGFILE] = "output file",
    [STAGE_CGROUP] = "cgroup",
    [STAGE_CLONE] = "clone",
    [STAGE_SETSID] = "setsid",
    [STAGE_STDIO] = "standard streams",
    [STAGE_LIMIT] = "limits",
    [STAGE_NICE] = "nice",
    [STAGE_GROUPS] = "groups",
    [STAGE_USER] = "user",
    [STAGE_CHDIR] = "working directory",
    [STAGE_EXEC] = "exec",
    [STAGE_ENVIRONMENT_FILE] = "environment file",
    [STAGE_SOCKET] = "socket",
    [STAGE_ENTRY] = "entry",
};

/* The class of exception that Python makes of an errno. */
static const char *
python_error(int error)
{
	switch (error) {
	case ENOENT:
		return "FileNotFoundError";
	case EACCES:
	case EPERM:
		return "PermissionError";
	case ENOTDIR:
		return "NotADirectoryError";
	case EISDIR:
		return "IsADirectoryError";
	default:
		return "OSError";
	}
}

/* What it failed at: a file, a directory, a user, the program. */
static const char *
failed_thing(const struct process *p)
{
	const struct job_config *c;

	c = p->job->config;
	switch (p->stage) {
	case STAGE_CHDIR:
		return c->working_directory != NULL ? c->working_directory :
						      mgr.snapshot->directory;
	case STAGE_ENVIRONMENT_FILE:
		return c->environment_file;
	case STAGE_LOGFILE:
		return c->out.path != NULL ? c->out.path : c->err.path;
	case STAGE_USER:
		return c->user;
	default:
		return c->shell        ? c->shell_program :
		    c->words.count > 0 ? config_word(c, 0, p->instance) :
					 c->name;
	}
}

static const char *
reason(const struct process *p)
{
	if (p->error == ECANCELED)
		return "It has ended its shell";
	if (p->error == ELOOP && p->stage == STAGE_LOGFILE)
		return "A symbolic link, which is not followed";
	if (p->error == ETXTBSY && p->stage == STAGE_LOGFILE)
		return "It is the configuration";
	return strerrordesc_np(p->error);
}

void
process_failure(const struct process *p, char *buf, size_t size)
{
	const char *thing;

	thing = failed_thing(p);
	if (thing == NULL)
		thing = "";
	if (p->job->hidden) /* the command of -x is none of pymanager's */
		(void)snprintf(buf, size, "%s: %s", thing, reason(p));
	else if (p->stage == STAGE_EXEC)
		(void)snprintf(buf, size, "%s: [Errno %d] %s: '%s'",
		    python_error(p->error), p->error, reason(p), thing);
	else
		(void)snprintf(buf, size, "%s: [Errno %d] %s: '%s' (%s)",
		    python_error(p->error), p->error, reason(p), thing,
		    p->stage <= STAGE_ENTRY ? stages[p->stage] : "?");
}
