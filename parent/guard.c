#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "../common/footprint.h"
#include "../common/log.h"
#include "parent.h"

/*
 * What musterd becomes first: the process that others know.  It waits for
 * the parent, hands on signals, and ends all that descends from it when
 * the parent has gone, in whatever way.
 */

#define MAX_BOUND 8 /* sockets that are remembered, the latest */
#define SWEEP_PIDS 1024
#define SWEEP_LIMIT (60 * SEC)

/* What the parent has bound: should it be killed, nobody else removes it. */
static struct {
	char path[sizeof(((struct sockaddr_un *)NULL)->sun_path) + 1];
	dev_t device;
	ino_t inode;
} bound[MAX_BOUND];
static unsigned int nbound;

void
guard_sweep(uint64_t limit)
{
	pid_t pids[SWEEP_PIDS];
	struct timespec pause = {0, 1000000};
	siginfo_t info;
	sigset_t set;
	uint64_t end;
	size_t i;
	size_t n;

	(void)sigemptyset(&set);
	(void)sigaddset(&set, SIGCHLD);
	end = now() + limit;
	for (;;) {
		cgroup_kill_all();
		n = children_of(getpid(), pids, SWEEP_PIDS);
		for (i = 0; i < n; i++)
			(void)kill(pids[i], SIGKILL);
		do {
			info.si_pid = 0;
			if (waitid(P_ALL, 0, &info, WEXITED | WNOHANG) == -1 &&
			    errno == ECHILD)
				return;
			if (info.si_pid != 0)
				pause.tv_nsec = 1000000;
		} while (info.si_pid != 0);
		if (now() > end)
			break;
		(void)sigtimedwait(&set, NULL, &pause);
		if (pause.tv_nsec < 500000000)
			pause.tv_nsec *= 2;
	}
	log_warnx("some processes cannot be killed");
}

static void
note_socket(const char *path, size_t len)
{
	struct stat st;
	unsigned int i;

	i = nbound % MAX_BOUND;
	if (len >= sizeof(bound[i].path))
		return;
	memcpy(bound[i].path, path, len);
	bound[i].path[len] = '\0';
	if (lstat(bound[i].path, &st) == -1 || !S_ISSOCK(st.st_mode))
		return;
	bound[i].device = st.st_dev;
	bound[i].inode = st.st_ino;
	nbound++;
}

/* Those that are still the ones that were bound. */
static void
remove_sockets(void)
{
	struct stat st;
	unsigned int i;

	for (i = 0; i < nbound && i < MAX_BOUND; i++)
		if (lstat(bound[i].path, &st) == 0 && S_ISSOCK(st.st_mode) &&
		    st.st_dev == bound[i].device && st.st_ino == bound[i].inode)
			(void)unlink(bound[i].path);
}

void
guard_remove(void)
{
	cgroup_remove_all();
	if (options['n'] != NULL)
		return;
	remove_sockets();
	(void)unlink(instance.socket);
	if (options['p'] != NULL)
		pid_file_remove(options['p']);
	/* Still locked: nobody can have taken it over. */
	(void)unlink(instance.lockfile);
}

/* Who listens may be busy for a while, but not for ever. */
static void
send_to(const char *name, const char *text, size_t len)
{
	const struct timeval patience = {1, 0};
	struct sockaddr_un sun;
	socklen_t size;
	size_t n;
	int fd;

	n = name == NULL ? 0 : strlen(name);
	if (n < 2 || n >= sizeof(sun.sun_path))
		return;
	memset(&sun, 0, sizeof(sun));
	sun.sun_family = AF_UNIX;
	memcpy(sun.sun_path, name, n);
	if (sun.sun_path[0] == '@') /* abstract */
		sun.sun_path[0] = '\0';
	size = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + n);
	fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (fd == -1)
		return;
	if (setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience,
		sizeof(patience)) == -1 ||
	    sendto(fd, text, len, MSG_NOSIGNAL, (struct sockaddr *)&sun,
		size) == -1)
		log_warn("%s", name);
	(void)close(fd);
}

static void
tell_ready(int *ready, uint8_t code)
{
	if (*ready == -1)
		return;
	(void)!write(*ready, &code, 1);
	(void)close(*ready);
	*ready = -1;
}

/* Handles a message of the parent: its length, 0 at its end, -1 none. */
static ssize_t
guard_message(int fd, int *ready)
{
	char buf[MAX_GUARD_MESSAGE];
	ssize_t n;

	n = recv(fd, buf, sizeof(buf), MSG_DONTWAIT);
	if (n <= 0)
		return n;
	if (buf[0] == GUARD_READY && n == 2)
		tell_ready(ready, (uint8_t)buf[1]);
	else if (buf[0] == GUARD_NOTIFY)
		send_to(instance.notify, buf + 1, (size_t)n - 1);
	else if (buf[0] == GUARD_SYSLOG)
		send_to(instance.syslog, buf + 1, (size_t)n - 1);
	else if (buf[0] == GUARD_SOCKET)
		note_socket(buf + 1, (size_t)n - 1);
	return n;
}

/* Reaps; 1 and the status when it was the parent. */
static int
guard_reap(pid_t parent_pid, int *status)
{
	siginfo_t info;

	for (;;) {
		info.si_pid = 0;
		if (waitid(P_ALL, 0, &info, WEXITED | WNOHANG) == -1 ||
		    info.si_pid == 0)
			return 0;
		if (info.si_pid != parent_pid)
			continue;
		*status = info.si_code == CLD_EXITED ? info.si_status :
						       128 + info.si_status;
		if (info.si_code != CLD_EXITED)
			log_errorx("the parent was ended by signal %d: "
				   "ending all",
			    info.si_status);
		return 1;
	}
}

/*
 * ^Z where no shell is there to continue what it stops (ssh -t, a container).
 * The kernel would not stop an orphaned process group (POSIX.1-2017, 3.264),
 * but ours is none: the command's parent is in another group of the session.
 * Not at once: that would take the ^Z away from who handles it, to put the
 * terminal in order perhaps, and stops itself a moment later.
 */
static const int go_on[] = {20, 100, 500}; /* ms */

static void
guard_wait(pid_t pid, int fd, int signals, int *ready, int *status)
{
	struct signalfd_siginfo info;
	struct pollfd fds[2];
	unsigned int times = 0;
	int patience = -1;
	int n;

	fds[0].fd = signals;
	fds[1].fd = fd;
	fds[0].events = fds[1].events = POLLIN;
	for (;;) {
		n = poll(fds, 2, patience);
		if (n == 0) {
			(void)kill(-instance.group, SIGCONT);
			times++;
			patience = times < sizeof(go_on) / sizeof(*go_on) ?
			    go_on[times] :
			    -1;
		}
		if (n <= 0)
			continue;
		if (fds[1].revents != 0 && guard_message(fd, ready) == 0)
			fds[1].fd = -1;
		if (fds[0].revents == 0 ||
		    read(signals, &info, sizeof(info)) != sizeof(info))
			continue;
		if (info.ssi_signo == SIGCHLD) {
			if (guard_reap(pid, status))
				return;
		} else if (info.ssi_signo == SIGTSTP) {
			times = 0;
			patience = go_on[0];
		} else
			(void)kill(pid, (int)info.ssi_signo);
	}
}

int
guard_run(pid_t pid, int fd, int ready)
{
	sigset_t set;
	int signals;
	int status;

	signal_wanted(&set);
	if (instance.is_alone)
		(void)sigaddset(&set, SIGTSTP);
	signals = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	if (signals == -1)
		fatal("signalfd");
	(void)sigaddset(&set, SIGPIPE);
	(void)sigaddset(&set, SIGTTOU);
	signal_mask(&set);
	status = 1;
	footprint_trim();
	guard_wait(pid, fd, signals, &ready, &status);
	while (guard_message(fd, &ready) > 0)
		;
	guard_sweep(SWEEP_LIMIT);
	guard_remove();
	tell_ready(&ready, (uint8_t)status);
	return status;
}
