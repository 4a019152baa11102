#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <bsd/stdlib.h>

#include "../common/log.h"
#include "parent.h"

/*
 * All that belongs to a process: its cgroup; or, without one, its process
 * group, what descends from it, and what carries its mark (an environment
 * variable) among the orphans that have become our children.
 */

#define MAX_MEMBERS 8192 /* looked at in one go */
#define FIRST_KILL_PAUSE 5 /* ms */
#define LAST_KILL_PAUSE 1000
#define PF_EXITING 0x4U /* of flags in proc_pid_stat(5): linux/sched.h */

static struct {
	struct event timer;
	uint32_t pause;
	int orphans; /* some have been reaped since the last look */
	int blind; /* the last look at something was in vain */
	size_t nloose; /* our children that are in no table ... */
	int looked; /* ... since the last group_look() */
	uint32_t left; /* slots with IS_LEFT */
} state;

size_t
read_pids(const char *path, pid_t *pids, size_t max)
{
	char buf[4096];
	ssize_t len;
	ssize_t i;
	size_t n;
	pid_t pid;
	int fd;

	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd == -1)
		return 0;
	n = 0;
	pid = 0;
	while (n < max && (len = read(fd, buf, sizeof(buf))) > 0)
		for (i = 0; i < len && n < max; i++)
			if (buf[i] >= '0' && buf[i] <= '9')
				pid = pid * 10 + (buf[i] - '0');
			else if (pid > 0) {
				pids[n++] = pid;
				pid = 0;
			}
	(void)close(fd);
	return n;
}

size_t
children_of(pid_t pid, pid_t *pids, size_t max)
{
	char path[64];
	struct dirent *d;
	size_t n;
	DIR *dir;

	(void)snprintf(path, sizeof(path), "/proc/%d/task", (int)pid);
	dir = opendir(path);
	if (dir == NULL)
		return 0;
	n = 0;
	/* NOLINTNEXTLINE(concurrency-mt-unsafe) there are no threads */
	while ((d = readdir(dir)) != NULL && n < max) {
		if (d->d_name[0] == '.' ||
		    snprintf(path, sizeof(path), "/proc/%d/task/%.20s/children",
			(int)pid, d->d_name) >= (int)sizeof(path))
			continue;
		n += read_pids(path, pids + n, max - n);
	}
	(void)closedir(dir);
	return n;
}

/* Begin of a file of proc(5), with a NUL behind it; its length, 0 if none. */
static size_t
read_proc(pid_t pid, const char *name, char *buf, size_t size)
{
	char path[32];
	ssize_t len;
	int fd;

	(void)snprintf(path, sizeof(path), "/proc/%d/%s", (int)pid, name);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd == -1)
		return 0;
	len = read(fd, buf, size - 1);
	(void)close(fd);
	if (len < 0)
		len = 0;
	buf[len] = '\0';
	return (size_t)len;
}

/* Does this orphan carry the mark of that process? */
static int
is_marked(pid_t pid, const struct slot *s)
{
	static char buf[65536];
	char mark[64];
	size_t len;
	int n;

	len = read_proc(pid, "environ", buf, sizeof(buf));
	/* With the NUL at its end. */
	n = snprintf(mark, sizeof(mark), "MUSTER_PROCESS=%s-%u", instance.boot,
	    s->process);
	return len > 0 && memmem(buf, len, mark, (size_t)n + 1) != NULL;
}

/*
 * Is it in the midst of its exit?  It has no environment any more then, and is
 * no zombie yet: whose it was cannot be told, so everybody waits for it; but
 * not for one that hangs there (D), for which all others would wait for ever.
 */
static int
is_ending(pid_t pid)
{
	char buf[512];
	const char *error;
	char *field;
	char *p;
	int i;

	if (read_proc(pid, "stat", buf, sizeof(buf)) == 0)
		return 0;
	/* Its name, state, parent, group, session, terminal and its group. */
	p = strrchr(buf, ')');
	if (p == NULL || strncmp(p, ") Z", 3) == 0 || strncmp(p, ") D", 3) == 0)
		return 0;
	for (i = 0; i < 7 && p != NULL; i++)
		p = strchr(p + 1, ' ');
	if (p == NULL)
		return 0;
	field = p + 1;
	field[strcspn(field, " ")] = '\0';
	return (strtonum(field, 0, UINT32_MAX, &error) & PF_EXITING) != 0;
}

static int
belongs(pid_t pid, const struct slot *s)
{
	if (!(s->flags & IS_FOREGROUND) &&
	    (getsid(pid) == s->pid || getpgid(pid) == s->pid))
		return 1;
	return is_marked(pid, s) || is_ending(pid);
}

static pid_t loose[MAX_MEMBERS];

void
group_look(void)
{
	state.looked = 0;
}

/* Orphans that have become our children: one look serves a whole batch. */
static size_t
orphans(void)
{
	size_t i;
	size_t n;

	if (state.looked)
		return state.nloose;
	state.looked = 1;
	state.nloose = 0;
	n = children_of(getpid(), loose, MAX_MEMBERS);
	for (i = 0; i < n; i++)
		if (slot_of_pid(loose[i]) == NULL && !child_is(loose[i]))
			loose[state.nloose++] = loose[i];
	return state.nloose;
}

/* All that belongs to it, the first process included. */
static size_t
members(const struct slot *s, pid_t *pids, size_t max)
{
	size_t count;
	size_t i;
	size_t n;

	if (s->flags & IS_GROUPED)
		return cgroup_members(s->process, pids, max);
	count = 0;
	if (s->flags & IS_LIVE)
		pids[count++] = s->pid;
	n = orphans();
	for (i = 0; i < n && count < max; i++)
		if (belongs(loose[i], s))
			pids[count++] = loose[i];
	for (i = 0; i < count; i++)
		count += children_of(pids[i], pids + count, max - count);
	return count;
}

static void
signal_members(const struct slot *s, int sig, enum scope scope)
{
	static pid_t pids[MAX_MEMBERS];
	size_t i;
	size_t n;

	group_look();
	n = members(s, pids, MAX_MEMBERS);
	for (i = 0; i < n; i++)
		/* While there is such a group its number is nobody else's. */
		if (scope != SCOPE_REST || getpgid(pids[i]) != s->pid)
			(void)kill(pids[i], sig);
}

static void
signal_slot(const struct slot *s, int sig, enum scope scope)
{
	/*
	 * The number of a live or unreaped process is nobody else's; that
	 * of a group whose leader is gone may be.
	 */
	if (scope >= SCOPE_ALL || !(s->flags & IS_LIVE) ||
	    (s->flags & IS_FOREGROUND)) {
		if (scope != SCOPE_LEADER)
			signal_members(s, sig, scope);
		else if (s->flags & IS_LIVE)
			(void)kill(s->pid, sig);
		return;
	}
	if (scope == SCOPE_LEADER || kill(-s->pid, sig) == -1)
		(void)kill(s->pid, sig); /* has not come to its setsid yet */
}

static void
kill_slot(const struct slot *s)
{
	if (!(s->flags & IS_GROUPED) || cgroup_kill(s->process) == -1)
		signal_members(s, SIGKILL, SCOPE_ALL);
}

/* 0 if a message is about a generation that is over; -1 if malformed. */
static int
find(struct wire_reader *r, struct slot **s)
{
	uint32_t generation;

	*s = slot_of_process(wire_get_u32(r));
	generation = wire_get_u32(r);
	if (r->failed || *s == NULL || generation > (*s)->generation)
		return -1;
	if (generation < (*s)->generation ||
	    !((*s)->flags & (IS_LIVE | IS_LEFT)))
		*s = NULL;
	return 0;
}

int
group_signal(struct wire_reader *r)
{
	struct slot *s;
	int32_t sig;
	uint8_t scope;

	if (find(r, &s) == -1)
		return -1;
	sig = wire_get_i32(r);
	scope = wire_get_u8(r);
	if (wire_end(r) == -1 || sig < 1 || sig > SIGRTMAX || scope > SCOPE_MAX)
		return -1;
	if (s != NULL)
		signal_slot(s, sig, scope);
	return 0;
}

int
group_kill(struct wire_reader *r)
{
	struct slot *s;

	if (find(r, &s) == -1 || wire_end(r) == -1)
		return -1;
	if (s != NULL)
		group_doom(s);
	return 0;
}

int
group_any(void)
{
	struct slot *s;

	for (s = slot_next(NULL); s != NULL; s = slot_next(s))
		if (s->flags & (IS_LIVE | IS_LEFT))
			return 1;
	return 0;
}

void
group_all(int sig)
{
	struct slot *s;

	for (s = slot_next(NULL); s != NULL; s = slot_next(s))
		if (s->flags & (IS_LIVE | IS_LEFT))
			signal_slot(s, sig, SCOPE_ALL);
}

/* ---- what is left ------------------------------------------------------ */

static void
kill_cb(int fd, short events, void *arg)
{
	(void)fd;
	(void)events;
	(void)arg;
	state.orphans = 1;
	group_check();
	signal_check();
}

/* Goes on while something is doomed: at each exit, and now and then. */
static void
kill_later(void)
{
	if (!event_initialized(&state.timer))
		event_start(&state.timer, -1, kill_cb, NULL);
	if (evtimer_pending(&state.timer, NULL))
		return;
	timer_set(&state.timer, state.pause);
	if (state.pause < LAST_KILL_PAUSE)
		state.pause *= 2;
}

/* What cannot be seen may be there: it is looked for again after a while. */
static int
is_left(const struct slot *s)
{
	pid_t pids[2];
	int n;

	if (!(s->flags & IS_GROUPED))
		return members(s, pids, 2) > 0;
	/* What was started again once will be started again. */
	n = cgroup_left(s->process, s->generation > 1);
	if (n == -1)
		state.blind = 1;
	return n != 0;
}

int
group_left(struct slot *s)
{
	if (!is_left(s))
		return 0;
	state.left++;
	/* On some kernels a task leaves its cgroup after SIGCHLD. */
	state.pause = FIRST_KILL_PAUSE;
	kill_later();
	return 1;
}

void
group_orphaned(void)
{
	state.orphans = 1;
}

void
group_doom(struct slot *s)
{
	s->flags |= IS_DOOMED;
	kill_slot(s);
	if (!(s->flags & IS_LEFT))
		return;
	state.pause = FIRST_KILL_PAUSE;
	kill_later();
}

void
group_check(void)
{
	struct slot *next;
	struct slot *s;
	int doomed;

	if (state.left == 0 || !state.orphans)
		return;
	state.orphans = 0;
	state.blind = 0;
	group_look();
	doomed = 0;
	for (s = slot_next(NULL); s != NULL; s = next) {
		next = slot_next(s);
		if (!(s->flags & IS_LEFT))
			continue;
		if (!is_left(s)) {
			state.left--;
			reap_gone(s);
			continue;
		}
		if (s->flags & IS_DOOMED) {
			doomed = 1;
			kill_slot(s);
		}
	}
	if (doomed || state.blind)
		kill_later();
}
