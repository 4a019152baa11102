#include <sys/stat.h>

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <bsd/stdlib.h>
#include <bsd/string.h>

#include "../common/log.h"
#include "parent.h"

/*
 * One cgroup (version 2) a process, below musterd's own: nobody leaves it
 * by daemonising.  No controllers are used.  Where there is none to be had
 * everything else works as well.
 */

#define MAX_DEPTH 8 /* of groups that jobs make in theirs */
#define REMOVE_TRIES 40

static char base[PATH_MAX]; /* "" none */
static int disabled;

/* The mount point of cgroup2, from a line of mountinfo; 0 or -1. */
static int
mount_point(char *line, char *path, size_t size)
{
	char *field;
	char *end;
	int i;

	if (strstr(line, " - cgroup2 ") == NULL)
		return -1;
	for (i = 0, field = line; i < 4 && field != NULL; i++) {
		field = strchr(field, ' ');
		if (field != NULL)
			field++;
		/* Only a mount of the root: the fourth field is "/". */
		if (i == 2 && field != NULL && strncmp(field, "/ ", 2) != 0)
			return -1;
	}
	end = field == NULL ? NULL : strchr(field, ' ');
	if (end == NULL || strchr(field, '\\') != NULL)
		return -1;
	*end = '\0';
	return strlcpy(path, field, size) < size ? 0 : -1;
}

static int
own_group(char *path, size_t size)
{
	char line[PATH_MAX + 512];
	FILE *f;
	int found;

	found = -1;
	f = fopen("/proc/self/mountinfo", "re");
	while (f != NULL && found == -1 && fgets(line, sizeof(line), f) != NULL)
		found = mount_point(line, path, size);
	if (f != NULL)
		(void)fclose(f);
	f = found == -1 ? NULL : fopen("/proc/self/cgroup", "re");
	found = -1;
	while (f != NULL && found == -1 && fgets(line, sizeof(line), f) != NULL)
		if (strncmp(line, "0::/", 4) == 0) {
			line[strcspn(line, "\n")] = '\0';
			found = strcmp(line + 3, "/") == 0 ||
				strlcat(path, line + 3, size) < size ?
			    0 :
			    -1;
		}
	if (f != NULL)
		(void)fclose(f);
	return found;
}

/* Removes a group and those below it, as far as they are empty; 0 or -1. */
static int
remove_groups(const char *path, int depth)
{
	char below[PATH_MAX];
	struct dirent *d;
	DIR *dir;

	if (rmdir(path) == 0 || errno == ENOENT)
		return 0;
	if (errno != EBUSY || depth == MAX_DEPTH ||
	    (dir = opendir(path)) == NULL)
		return -1;
	/* NOLINTNEXTLINE(concurrency-mt-unsafe) there are no threads */
	while ((d = readdir(dir)) != NULL)
		if (d->d_type == DT_DIR && d->d_name[0] != '.' &&
		    snprintf(below, sizeof(below), "%s/%s", path, d->d_name) <
			(int)sizeof(below))
			(void)remove_groups(below, depth + 1);
	(void)closedir(dir);
	return rmdir(path);
}

/* What a musterd has left that was killed together with its guard. */
static void
remove_stale(const char *own)
{
	char path[PATH_MAX + 300];
	struct dirent *d;
	const char *error;
	pid_t pid;
	DIR *dir;

	dir = opendir(own);
	if (dir == NULL)
		return;
	/* NOLINTNEXTLINE(concurrency-mt-unsafe) there are no threads */
	while ((d = readdir(dir)) != NULL) {
		if (strncmp(d->d_name, "muster-", 7) != 0)
			continue;
		pid = (pid_t)strtonum(d->d_name + 7, 1, INT_MAX, &error);
		if (error != NULL || kill(pid, 0) == 0 || errno != ESRCH)
			continue;
		(void)snprintf(path, sizeof(path), "%s/%s", own, d->d_name);
		(void)remove_groups(path, 0);
	}
	(void)closedir(dir);
}

void
cgroup_init(pid_t guard)
{
	char own[PATH_MAX];
	char number[32];

	/* NOLINTNEXTLINE(concurrency-mt-unsafe) there are no threads */
	if (getenv("MUSTER_NO_CGROUP") != NULL ||
	    own_group(own, sizeof(own)) == -1)
		return;
	remove_stale(own);
	(void)snprintf(number, sizeof(number), "/muster-%d", (int)guard);
	if (strlcat(own, number, sizeof(own)) < sizeof(own) - 64 &&
	    mkdir(own, 0755) == 0)
		(void)strlcpy(base, own, sizeof(base));
}

int
cgroup_works(void)
{
	return base[0] != '\0' && !disabled;
}

/* For new processes; those that have a group keep it. */
void
cgroup_disable(void)
{
	log_warn("cgroups cannot be used");
	disabled = 1;
}

static const char *
group_path(uint32_t process, const char *file)
{
	static char path[PATH_MAX + 64];

	(void)snprintf(path, sizeof(path), "%s/%u%s", base, process, file);
	return path;
}

int
cgroup_make(uint32_t process, int procs)
{
	const char *path = group_path(process, "");

	/* A musterd in another pid namespace may have taken ours for stale. */
	if (mkdir(path, 0755) == -1 && errno != EEXIST &&
	    (errno != ENOENT || mkdir(base, 0755) == -1 ||
		mkdir(path, 0755) == -1))
		return -1;
	if (procs)
		return open(
		    group_path(process, "/cgroup.procs"), O_WRONLY | O_CLOEXEC);
	return open(group_path(process, ""), O_PATH | O_DIRECTORY | O_CLOEXEC);
}

size_t
cgroup_members(uint32_t process, pid_t *pids, size_t max)
{
	return read_pids(group_path(process, "/cgroup.procs"), pids, max);
}

/* -1: that cannot be seen now. */
static int
is_populated(uint32_t process)
{
	char buf[128];
	ssize_t n;
	int fd;

	fd = open(group_path(process, "/cgroup.events"), O_RDONLY | O_CLOEXEC);
	if (fd == -1)
		return errno == ENOENT ? 0 : -1;
	n = read(fd, buf, sizeof(buf) - 1);
	if (n == -1)
		n = errno == ENODEV ? 0 : -1; /* removed meanwhile */
	(void)close(fd);
	if (n == -1)
		return -1;
	buf[n] = '\0';
	return strstr(buf, "populated 1") != NULL;
}

int
cgroup_left(uint32_t process, int keep)
{
	int left;

	if (keep)
		return is_populated(process);
	if (rmdir(group_path(process, "")) == 0 || errno == ENOENT)
		return 0;
	left = is_populated(process);
	/* The groups that it has made below. */
	if (left == 0)
		(void)remove_groups(group_path(process, ""), 0);
	return left;
}

static int
write_one(const char *path)
{
	int fd;
	int n;

	fd = open(path, O_WRONLY | O_CLOEXEC);
	if (fd == -1)
		return -1;
	n = (int)write(fd, "1", 1);
	(void)close(fd);
	return n == 1 ? 0 : -1;
}

int
cgroup_kill(uint32_t process)
{
	return write_one(group_path(process, "/cgroup.kill"));
}

void
cgroup_kill_all(void)
{
	char path[PATH_MAX + 64];

	(void)snprintf(path, sizeof(path), "%s/cgroup.kill", base);
	if (base[0] != '\0')
		(void)write_one(path);
}

/* Who has been reaped may still be on its way out of its group. */
void
cgroup_remove_all(void)
{
	const struct timespec pause = {0, 5000000};
	int tries;

	if (base[0] == '\0')
		return;
	for (tries = 0; remove_groups(base, 0) == -1; tries++) {
		if (tries == REMOVE_TRIES) {
			log_warn("%s", base);
			return;
		}
		(void)nanosleep(&pause, NULL);
	}
}
