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
	struct event timer;
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
	if (c->exact) {
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

/* NOLINTEND(concurrency-mt-unsafe) */

/* ---- in the parent ----------------------------------------------------- */

void
users_cancel(void)
{
	if (job.table == NULL)
		return;
	job.table = NULL;
	(void)event_del(&job.event);
	(void)event_del(&job.timer);
	(void)close(job.fd);
	wire_free(&job.answer);
	if (job.pid > 0) /* not reaped yet */
		(void)kill(job.pid, SIGKILL);
}

/* What was found out about one of them. */
static void
accept_cred(struct cred *c, struct wire_reader *r, int error)
{
	uint32_t i;
	uint32_t n;

	c->stage = wire_get_u8(r);
	c->uid = wire_get_u32(r);
	c->gid = wire_get_u32(r);
	n = wire_get_count(r, MAX_MEMBERSHIPS, sizeof(uint32_t));
	c->error = ENOENT;
	if (r->failed) {
		c->stage = STAGE_USER;
		c->error = error;
	}
	if (c->stage != STAGE_NONE)
		return;
	c->error = ENOMEM;
	c->groups = calloc((size_t)n + 1, sizeof(*c->groups));
	for (i = 0; c->groups != NULL && i < n; i++)
		c->groups[i] = wire_get_u32(r);
	c->ngroups = n;
	if (c->groups == NULL || instance.uid != 0)
		c->stage = c->uid != instance.uid ? STAGE_USER : STAGE_GROUPS;
	if (c->groups == NULL || instance.uid == 0)
		return;
	c->error = EPERM; /* unless it is ourselves */
	if (c->stage == STAGE_GROUPS && c->gid == instance.gid && !c->exact)
		c->stage = STAGE_NONE;
	c->own = 1;
}

static void
finish(int error)
{
	struct wire_reader r;
	users_fn done;
	uint32_t i;

	wire_read(&r, job.answer.data, job.answer.len);
	for (i = 1; i < job.table->ncreds; i++)
		accept_cred(&job.table->creds[i], &r, error);
	done = job.done;
	users_cancel();
	done();
}

static void
answer_cb(int fd, short events, void *arg)
{
	uint8_t buf[4096];
	ssize_t n;

	(void)arg;
	n = events & EV_READ ? read(fd, buf, sizeof(buf)) : 0;
	if (n > 0)
		wire_put_raw(&job.answer, buf, (size_t)n);
	if (n <= 0 || wire_check(&job.answer) == -1)
		finish(events & EV_READ ? EIO : ETIMEDOUT);
}

static void __attribute__((noreturn)) resolve_all(struct table *t, int fd)
{
	struct wire out;
	ssize_t n;
	size_t done;
	uint32_t i;

	wire_init(&out);
	for (i = 1; i < t->ncreds; i++)
		resolve(&t->creds[i], &out);
	for (done = 0; done < out.len; done += (size_t)n) {
		n = write(fd, out.data + done, out.len - done);
		if (n == -1)
			break;
	}
	_exit(0);
}

void
users_resolve(struct table *t, users_fn done)
{
	int ends[2];
	int error;

	if (t->ncreds == 1) {
		done();
		return;
	}
	job.table = t;
	job.done = done;
	wire_init(&job.answer);
	event_start(&job.event, -1, answer_cb, NULL);
	event_start(&job.timer, -1, answer_cb, NULL);
	job.pid = 0;
	job.fd = -1;
	if (pipe2(ends, O_CLOEXEC) == -1) {
		finish(errno); /* all that are named are refused */
		return;
	}
	job.pid = fork();
	error = errno;
	if (job.pid == 0)
		resolve_all(t, ends[1]);
	(void)close(ends[1]);
	job.fd = ends[0];
	if (job.pid == -1)
		finish(error);
	else if (event_assign(&job.event, parent.base, job.fd,
		     EV_READ | EV_PERSIST, answer_cb, NULL) == -1 ||
	    event_add(&job.event, NULL) == -1)
		finish(ENOMEM);
	else
		timer_set(&job.timer, PATIENCE_MS);
}

/* ---- the user of the components ---------------------------------------- */

static struct table *component_table;
static users_fn component_done;

static void
components_resolved(void)
{
	const struct cred *c;
	uint32_t i;

	instance.component_uid = instance.component_gid = 65534;
	for (i = component_table->ncreds - 1; i > 0; i--) {
		c = &component_table->creds[i];
		if (c->stage != STAGE_NONE || c->uid == 0)
			continue;
		instance.component_uid = c->uid;
		instance.component_gid = c->gid;
	}
	table_free(component_table);
	component_done();
}

void
users_components(users_fn done)
{
	static const char *const names[] = {"_muster", "nobody"};
	static struct wire keys[2];
	struct table *t;
	struct cred *c;
	int i;

	t = table_new();
	c = reallocarray(t == NULL ? NULL : t->creds, 3, sizeof(*c));
	if (t == NULL || c == NULL)
		fatal("users");
	memset(c + 1, 0, 2 * sizeof(*c));
	for (i = 0; i < 2; i++) {
		c[i + 1].stage = STAGE_USER;
		wire_put_str(&keys[i], names[i]);
		wire_put_str(&keys[i], "");
		c[i + 1].key = keys[i].data;
		c[i + 1].keylen = keys[i].len;
	}
	t->creds = c;
	t->ncreds = instance.uid == 0 ? 3 : 1;
	component_table = t;
	component_done = done;
	users_resolve(t, components_resolved);
}

int
users_reaped(pid_t pid)
{
	if (pid != job.pid)
		return 0;
	job.pid = 0;
	return 1;
}

/* ---- acting as another user -------------------------------------------- */

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
