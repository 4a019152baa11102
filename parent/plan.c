#include <sys/resource.h>
#include <sys/stat.h>

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include "parent.h"

/* From a sealed entry to what a new process does before its exec. */

int
make_pipe(int *reader, int *writer)
{
	int fds[2];

	if (pipe2(fds, O_CLOEXEC) == -1)
		return -1;
	*reader = fds[0];
	*writer = fds[1];
	return 0;
}

/* Passes a copy of fd, from above all targets. */
static int
pass_high(struct plan *p, struct ends *e, int fd)
{
	int copy;

	copy = fcntl(fd, F_DUPFD_CLOEXEC, FIRST_HIGH_FD);
	if (copy == -1)
		return -1;
	e->high[e->nhigh++] = copy;
	p->pass[p->npass++] = copy;
	return 0;
}

static int
plan_stdio(
    struct slot *s, const struct spec *spec, struct plan *p, struct ends *e)
{
	int i;

	for (i = 0; i < 3; i++) {
		p->stdio[i] = -1;
		if (spec->stdio[i] == STDIO_NULL)
			p->stdio[i] = instance.null;
		else if (spec->stdio[i] == STDIO_JOIN)
			p->stdio[i] = -2;
		if (spec->stdio[i] != STDIO_PIPE)
			continue;
		if ((i == 0 ? make_pipe(&e->child[0], &s->input) :
			      make_pipe(&s->output[i - 1], &e->child[i])) == -1)
			return -1;
		p->stdio[i] = e->child[i];
	}
	if (s->input != -1 && fcntl(s->input, F_SETFL, O_NONBLOCK) == -1)
		return -1;
	return 0;
}

/* Sockets, or what a probe is given of its subject; then the report. */
static int
plan_passed(
    struct slot *s, const struct spec *spec, struct plan *p, struct ends *e)
{
	struct slot *about;
	struct wire_reader r;
	uint32_t n;
	int fd;

	r = spec->sockets;
	for (n = wire_get_u32(&r); n > 0; n--)
		p->pass[p->npass++] =
		    parent.table->entries[wire_get_u32(&r)].fd;
	if (spec->flags & SPEC_KEEP_FDS_ABOUT) {
		about = slot_of_process(s->about);
		if (pass_high(p, e,
			about == NULL || about->input == -1 ?
			    instance.null :
			    about->input) == -1 ||
		    make_pipe(&fd, &s->watch) == -1)
			return -1;
		parent.watchers++;
		if (pass_high(p, e, fd) == -1) {
			(void)close(fd);
			return -1;
		}
		(void)close(fd);
		if (about != NULL && !(about->flags & IS_LIVE)) {
			(void)!write(
			    s->watch, &about->status, sizeof(about->status));
			watch_close(s);
		}
	}
	if (!(spec->flags & SPEC_REPORT))
		return 0;
	if (make_pipe(&s->report, &fd) == -1)
		return -1;
	(void)fcntl(s->report, F_SETFL, O_NONBLOCK);
	n = (uint32_t)pass_high(p, e, fd);
	(void)close(fd);
	return (int)n;
}

static void
plan_rest(struct plan *p, const struct spec *spec, const struct cred *c)
{
	struct wire_reader r;
	struct rlimit own;
	uint32_t n;

	p->own = c->own;
	p->uid = c->uid;
	p->gid = c->gid;
	p->ngroups = c->ngroups;
	p->umask = spec->umask;
	p->parent = getpid();
	p->group = spec->flags & SPEC_FOREGROUND ? instance.group : 0;
	p->default_hup = instance.ignored_hup;
	p->cgroup = -1;
	p->nice = NO_NICE;
	if (spec->nice != NO_NICE)
		p->nice = getpriority(PRIO_PROCESS, 0) + spec->nice;
	/* What musterd has raised for itself is put back. */
	(void)getrlimit(RLIMIT_NOFILE, &own);
	p->limits[0].resource = RLIMIT_NOFILE;
	p->limits[0].limit[0] = instance.nofile;
	p->limits[0].limit[1] = own.rlim_max;
	p->nlimits = 1;
	r = spec->limits;
	for (n = wire_get_u32(&r); n > 0; n--) {
		p->limits[p->nlimits].resource = wire_get_u8(&r);
		p->limits[p->nlimits].limit[0] = wire_get_u64(&r);
		p->limits[p->nlimits++].limit[1] = wire_get_u64(&r);
	}
}

/*
 * What can be known to fail is told before the clone, so that nothing that
 * comes after it in its group is started.
 */
static enum stage
look_ahead(struct plan *p)
{
	struct stat st;
	char **c;
	int error;

	if (stat(p->directory, &st) == -1)
		return STAGE_CHDIR;
	if (!S_ISDIR(st.st_mode)) {
		errno = ENOTDIR;
		return STAGE_CHDIR;
	}
	error = 0;
	errno = ENOENT;
	for (c = p->candidates; *c != NULL; c++) {
		/* Relative to the directory it will be in. */
		if ((*c)[0] != '/' ||
		    faccessat(AT_FDCWD, *c, X_OK, AT_EACCESS) == 0) {
			p->first = c;
			return STAGE_NONE;
		}
		if (error == 0 && errno != ENOENT && errno != ENOTDIR)
			error = errno;
	}
	if (error != 0)
		errno = error;
	return STAGE_EXEC;
}

void
plan_close(struct ends *e)
{
	int i;

	for (i = 0; i < 3; i++)
		if (e->child[i] != -1)
			(void)close(e->child[i]);
	for (i = 0; i < e->nhigh; i++)
		(void)close(e->high[i]);
}

enum stage
plan_make(struct plan *p, struct slot *s, struct ends *e)
{
	const struct cred *cred;
	const struct entry *entry;
	struct spec spec;
	int i;

	entry = table_entry(parent.table, s->entry, ENTRY_SPEC);
	errno = EINVAL;
	if (entry == NULL || spec_read(entry, &spec) == -1)
		return STAGE_ENTRY;
	cred = &parent.table->creds[entry->cred];
	if (plan_stdio(s, &spec, p, e) == -1 ||
	    plan_passed(s, &spec, p, e) == -1)
		return STAGE_RESOURCE;
	plan_rest(p, &spec, cred);
	p->memory = words_make(p, &spec, s, cred->groups, 2 + p->npass);
	if (p->memory == NULL)
		return STAGE_RESOURCE;
	p->first = p->candidates;
	if (spec.flags & SPEC_FOREGROUND)
		s->flags |= IS_FOREGROUND;
	if (spec.flags & SPEC_REPORT || cred->uid != instance.uid)
		s->flags |= IS_HOLDING;
	for (i = 0; i < 2; i++)
		if (s->output[i] != -1 && spec.out[i].sink != NO_ENTRY &&
		    logfile_use(s, spec.out[i].sink) == -1)
			return STAGE_LOGFILE;
	return cred->uid == instance.uid ? look_ahead(p) : STAGE_NONE;
}
