#include <sys/types.h>
#include <sys/wait.h>

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <poll.h>
#include <pwd.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <bsd/stdlib.h>
#include <bsd/string.h>

#include "../common/log.h"
#include "parent.h"

/*
 * Names of users and groups become numbers in a process of its own, with a
 * deadline: what the name service does (libraries, sockets, a dead server)
 * does not happen in the parent.
 */

#define PATIENCE_MS 5000
#define MAX_MEMBERSHIPS 1024 /* groups of one user */

static struct {
	struct table *table;
	users_fn done;
	struct event event;
	struct wire answer;
	pid_t pid;
	int fd;
} job;

/* A number, or -1. */
static long long
number(const char *text)
{
	const char *error;
	long long n;

	n = strtonum(text, 0, UINT32_MAX - 1, &error);
	return error == NULL ? n : -1;
}

/* ---- in the resolving process ------------------------------------------ */

/* NOLINTBEGIN(concurrency-mt-unsafe) there are no threads */

static int
find_group(const char *name, gid_t *gid)
{
	struct group *gr;
	long long n;

	gr = getgrnam(name);
	n = gr != NULL ? (long long)gr->gr_gid : number(name);
	if (n == -1)
		return -1;
	*gid = (gid_t)n;
	return 0;
}

static enum stage
find_ids(struct cred *c, struct wire_reader *r, gid_t *groups, int *n)
{
	char user[MAX_NAME + 1];
	char group[MAX_NAME + 1];
	struct passwd *pw;
	long long id;
	uint32_t i;

	wire_get_string(r, user, sizeof(user));
	wire_get_string(r, group, sizeof(group));
	c->uid = instance.uid;
	c->gid = instance.gid;
	pw = user[0] == '\0' ? getpwuid(c->uid) : getpwnam(user);
	if (user[0] != '\0') {
		id = pw != NULL ? (long long)pw->pw_uid : number(user);
		if (id == -1)
			return STAGE_USER;
		c->uid = (uid_t)id;
		if (pw == NULL)
			pw = getpwuid(c->uid);
		/* Never root's group for want of a better one. */
		if (pw == NULL && group[0] == '\0')
			return STAGE_USER;
		if (pw != NULL)
			c->gid = pw->pw_gid;
	}
	if (group[0] != '\0' && find_group(group, &c->gid) == -1)
		return STAGE_GROUPS;
	if (c->explicit) {
		*n = (int)wire_get_count(r, MAX_GROUPS, 4);
		for (i = 0; i < (uint32_t)*n; i++) {
			wire_get_string(r, group, sizeof(group));
			if (find_group(group, &groups[i]) == -1)
				return STAGE_GROUPS;
		}
	} else if (pw == NULL) {
		*n = 1;
		groups[0] = c->gid;
	} else if (getgrouplist(pw->pw_name, c->gid, groups, n) == -1)
		return STAGE_GROUPS;
	return STAGE_NONE;
}

static void
resolve(struct cred *c, struct wire *out)
{
	gid_t groups[MAX_MEMBERSHIPS];
	struct wire_reader r;
	enum stage stage;
	int i;
	int n;

	n = MAX_MEMBERSHIPS;
	wire_read(&r, c->key, c->keylen);
	stage = find_ids(c, &r, groups, &n);
	wire_put_u8(out, (uint8_t)stage);
	wire_put_u32(out, c->uid);
	wire_put_u32(out, c->gid);
	if (stage != STAGE_NONE)
		n = 0;
	wire_put_u32(out, (uint32_t)n);
	for (i = 0; i < n; i++)
		wire_put_u32(out, groups[i]);
}

static void
identity(struct instance *found)
{
	struct passwd *pw;

	pw = getpwuid(instance.uid);
	if (pw != NULL) {
		(void)strlcpy(found->user, pw->pw_name, sizeof(found->user));
		(void)strlcpy(found->home, pw->pw_dir, sizeof(found->home));
	}
	pw = getpwnam("_muster");
	if (pw == NULL)
		pw = getpwnam("nobody");
	found->component_uid = pw != NULL ? pw->pw_uid : 65534;
	found->component_gid = pw != NULL ? pw->pw_gid : 65534;
}

/* NOLINTEND(concurrency-mt-unsafe) */

/* ---- in the parent ------------------------------------------------------ */

/* A process of ours; the reading end of its answer in *fd. */
static pid_t
start(int *fd)
{
	int ends[2];
	pid_t pid;

	if (pipe2(ends, O_CLOEXEC) == -1)
		return -1;
	pid = fork();
	if (pid == 0) {
		(void)close(ends[0]);
		*fd = ends[1];
		return 0;
	}
	(void)close(ends[1]);
	*fd = ends[0];
	if (pid == -1)
		(void)close(ends[0]);
	return pid;
}

void
users_identity(void)
{
	struct instance found;
	struct pollfd pfd;
	pid_t pid;

	memset(&found, 0, sizeof(found));
	pid = start(&pfd.fd);
	if (pid == -1)
		fatal("fork");
	if (pid == 0) {
		identity(&found);
		(void)!write(pfd.fd, &found, sizeof(found));
		_exit(0);
	}
	pfd.events = POLLIN;
	/* One write: it is there as a whole or not at all. */
	if (poll(&pfd, 1, PATIENCE_MS) != 1 ||
	    read(pfd.fd, &found, sizeof(found)) != sizeof(found)) {
		log_warnx("users cannot be resolved");
		found.component_uid = 65534;
		found.component_gid = 65534;
	}
	(void)close(pfd.fd);
	(void)kill(pid, SIGKILL);
	(void)waitpid(pid, NULL, 0);
	memcpy(instance.user, found.user, sizeof(instance.user));
	memcpy(instance.home, found.home, sizeof(instance.home));
	instance.component_uid = found.component_uid;
	instance.component_gid = found.component_gid;
}

/* What is known of one of them: 0, or errno and the stage. */
static int
accept_cred(struct cred *c, struct wire_reader *r, enum stage *stage)
{
	uint32_t i;
	uint32_t n;

	*stage = wire_get_u8(r);
	c->uid = wire_get_u32(r);
	c->gid = wire_get_u32(r);
	n = wire_get_count(r, MAX_MEMBERSHIPS, sizeof(uint32_t));
	if (r->failed) {
		*stage = STAGE_USER;
		return EIO;
	}
	if (*stage != STAGE_NONE)
		return ENOENT;
	if (instance.uid != 0) {
		*stage = c->uid != instance.uid ? STAGE_USER : STAGE_GROUPS;
		if (c->uid != instance.uid || c->gid != instance.gid ||
		    c->explicit)
			return EPERM;
		c->own = 1;
	}
	c->groups = calloc((size_t)n + 1, sizeof(*c->groups));
	if (c->groups == NULL)
		return ENOMEM;
	c->ngroups = n;
	for (i = 0; i < n; i++)
		c->groups[i] = wire_get_u32(r);
	return 0;
}

void
users_cancel(void)
{
	if (job.table == NULL)
		return;
	job.table = NULL;
	(void)event_del(&job.event);
	(void)close(job.fd);
	if (job.pid != 0) /* not reaped yet */
		(void)kill(job.pid, SIGKILL);
}

static void
finish(int error)
{
	struct wire_reader r;
	struct table *t;
	enum stage stage;
	uint32_t entry;
	uint32_t i;

	t = job.table;
	users_cancel();
	stage = STAGE_USER;
	entry = t->ncreds > 1 ? t->creds[1].entry : 0;
	wire_read(&r, job.answer.data, job.answer.len);
	for (i = 1; i < t->ncreds && error == 0; i++) {
		entry = t->creds[i].entry;
		error = accept_cred(&t->creds[i], &r, &stage);
	}
	wire_free(&job.answer);
	job.done(error, entry, stage);
}

static void
answer_cb(int fd, short events, void *arg)
{
	uint8_t buf[4096];
	ssize_t n;

	(void)arg;
	if (events & EV_TIMEOUT) {
		finish(ETIMEDOUT);
		return;
	}
	n = read(fd, buf, sizeof(buf));
	if (n > 0)
		wire_put_raw(&job.answer, buf, (size_t)n);
	if (n <= 0 || wire_check(&job.answer) == -1)
		finish(n == 0 ? 0 : EIO);
}

void
users_resolve(struct table *t, users_fn done)
{
	struct timeval tv;
	struct wire out;
	uint32_t i;

	if (t->ncreds == 1) {
		done(0, 0, STAGE_NONE);
		return;
	}
	job.pid = start(&job.fd);
	if (job.pid == -1) {
		done(errno, t->creds[1].entry, STAGE_USER);
		return;
	}
	if (job.pid == 0) {
		wire_init(&out);
		for (i = 1; i < t->ncreds; i++)
			resolve(&t->creds[i], &out);
		for (i = 0; i < out.len; i += 4096)
			if (write(job.fd, out.data + i,
				out.len - i < 4096 ? out.len - i : 4096) == -1)
				_exit(1);
		_exit(0);
	}
	job.table = t;
	job.done = done;
	wire_init(&job.answer);
	if (event_assign(&job.event, parent.base, job.fd, EV_READ | EV_PERSIST,
		answer_cb, NULL) == -1 ||
	    event_add(&job.event, ms_to_tv(PATIENCE_MS, &tv)) == -1)
		fatalx("event_add");
}

int
users_reaped(pid_t pid)
{
	if (pid != job.pid)
		return 0;
	job.pid = 0;
	return 1;
}

/* ---- acting as another user --------------------------------------------- */

int
cred_enter(const struct cred *c)
{
	if (c->own)
		return 0;
	if (setgroups(c->ngroups, c->groups) == -1 ||
	    setresgid((gid_t)-1, c->gid, (gid_t)-1) == -1 ||
	    setresuid((uid_t)-1, c->uid, (uid_t)-1) == -1) {
		cred_leave(c);
		return -1;
	}
	return 0;
}

void
cred_leave(const struct cred *c)
{
	int saved;

	if (c->own)
		return;
	saved = errno;
	if (setresuid((uid_t)-1, instance.uid, (uid_t)-1) == -1 ||
	    setresgid((gid_t)-1, instance.gid, (gid_t)-1) == -1 ||
	    setgroups((size_t)instance.ngroups, instance.groups) == -1)
		fatal("cannot become root again");
	errno = saved;
}
