/* libs: bsd */
/*
 * The least that somebody does who starts N processes, starts each again
 * when it ends, and stops them: what a process manager is measured beside.
 *
 *	spawner N CHILD REPORT [GROUP]
 *
 * Runs "CHILD REPORT pNNNN" for each, with a pipe as its standard output,
 * until SIGTERM comes; then sends that to all and ends after the last.
 * With GROUP, a directory of cgroup2, each has a group of its own in there,
 * which is removed when it has ended: who does not let grandchildren escape
 * has that to do, too.  (It then starts by copies of itself, which is slower.)
 * FLIGHTS processes at once share our memory, each on a stack of its own,
 * from clone(2) to exec.  Each takes a table of descriptors of its own with
 * the lowest ones alone: with a copy of the whole table a start would cost
 * more the more run already.
 */
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/signalfd.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/close_range.h>
#include <linux/futex.h>
#include <linux/sched.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <bsd/stdlib.h>

#define FLIGHTS 16
#define STACK_SIZE 16384
#define LOW_FD 3 /* the pipes of those in flight; they keep what is below */

struct process {
	pid_t pid;
	int output;
	char name[16];
};

struct flight {
	int busy; /* cleared by the kernel when it has reached its exec */
	int fd;
	char *words[4];
	char *stack;
};

static struct process *processes;
static int groups = -1; /* GROUP */
static unsigned int count;
static struct flight flights[FLIGHTS];
static unsigned int last;

static int
child_main(void *arg)
{
	struct flight *f = arg;
	sigset_t none;

	(void)syscall(
	    SYS_close_range, LOW_FD + FLIGHTS, ~0U, CLOSE_RANGE_UNSHARE);
	(void)setsid();
	(void)dup2(f->fd, STDOUT_FILENO);
	(void)sigemptyset(&none);
	/* NOLINTNEXTLINE(concurrency-mt-unsafe) there are no threads */
	(void)sigprocmask(SIG_SETMASK, &none, NULL);
	(void)execv(f->words[0], f->words);
	_exit(127);
}

/* The one that has been in use for the longest time, once it is free. */
static struct flight *
next_flight(void)
{
	struct flight *f;
	int busy;

	f = &flights[last++ % FLIGHTS];
	while ((busy = __atomic_load_n(&f->busy, __ATOMIC_ACQUIRE)) != 0)
		(void)syscall(SYS_futex, &f->busy, FUTEX_WAIT, busy, NULL);
	return f;
}

/* A copy of this process, in a group of its own. */
static pid_t
start_in_group(struct process *p, struct flight *f)
{
	struct clone_args args = {
	    .flags = CLONE_INTO_CGROUP, .exit_signal = SIGCHLD};
	long pid;
	int group;

	if (mkdirat(groups, p->name, 0755) == -1 && errno != EEXIST)
		err(1, "%s", p->name);
	group = openat(groups, p->name, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (group == -1)
		err(1, "%s", p->name);
	args.cgroup = (uint64_t)group;
	pid = syscall(SYS_clone3, &args, sizeof(args));
	if (pid == 0)
		(void)child_main(f);
	(void)close(group);
	return (pid_t)pid;
}

static void
start(struct process *p)
{
	struct flight *f;
	int ends[2];

	f = next_flight();
	if (p->output != -1)
		(void)close(p->output);
	if (pipe2(ends, O_CLOEXEC) == -1 ||
	    dup3(ends[1], f->fd, O_CLOEXEC) == -1)
		err(1, "pipe");
	(void)close(ends[1]);
	p->output = ends[0];
	f->words[2] = p->name;
	f->busy = groups == -1;
	if (groups != -1)
		p->pid = start_in_group(p, f);
	else
		p->pid = clone(child_main, f->stack + STACK_SIZE,
		    CLONE_VM | CLONE_FILES | CLONE_CHILD_CLEARTID | SIGCHLD, f,
		    NULL, NULL, &f->busy);
	if (p->pid == -1)
		err(1, "clone");
}

/* Reaps; they are started again unless all is to end.  1 if none is left. */
static int
reap(int ending)
{
	unsigned int i;
	pid_t pid;

	while ((pid = waitpid(-1, NULL, WNOHANG)) > 0)
		for (i = 0; i < count; i++)
			if (processes[i].pid == pid) {
				if (!ending)
					start(&processes[i]);
				else if (groups != -1)
					(void)unlinkat(groups,
					    processes[i].name, AT_REMOVEDIR);
				break;
			}
	return pid == -1 && errno == ECHILD;
}

static void
stop_all(void)
{
	unsigned int i;

	for (i = 0; i < count; i++)
		(void)kill(processes[i].pid, SIGTERM);
}

static void
run(int signals)
{
	struct signalfd_siginfo info;
	int ending = 0;

	while (read(signals, &info, sizeof(info)) == sizeof(info)) {
		if (info.ssi_signo == SIGTERM) {
			ending = 1;
			stop_all();
		}
		if (reap(ending))
			return;
	}
	err(1, "signalfd");
}

static void
prepare(char *child, char *report, const char *group)
{
	struct rlimit limit;
	int i;

	if (getrlimit(RLIMIT_NOFILE, &limit) == -1)
		err(1, "getrlimit");
	limit.rlim_cur = limit.rlim_max;
	if (setrlimit(RLIMIT_NOFILE, &limit) == -1)
		err(1, "setrlimit");
	closefrom(LOW_FD);
	if (group != NULL) {
		i = open(group, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		groups = fcntl(i, F_DUPFD_CLOEXEC, LOW_FD + FLIGHTS);
		if (groups == -1)
			err(1, "%s", group);
		(void)close(i);
	}
	for (i = 0; i < FLIGHTS; i++) {
		flights[i].fd = open("/dev/null", O_RDWR | O_CLOEXEC);
		flights[i].stack = malloc(STACK_SIZE);
		if (flights[i].fd != LOW_FD + i || flights[i].stack == NULL)
			err(1, "flights");
		flights[i].words[0] = child;
		flights[i].words[1] = report;
	}
	processes = calloc(count, sizeof(*processes));
	if (processes == NULL)
		err(1, "calloc");
}

int
main(int argc, char **argv)
{
	const char *error;
	sigset_t set;
	unsigned int i;
	int signals;

	if (argc != 4 && argc != 5)
		errx(2, "usage: spawner N CHILD REPORT [GROUP]");
	count = (unsigned int)strtonum(argv[1], 1, 100000, &error);
	if (error != NULL)
		errx(2, "%s is %s", argv[1], error);
	prepare(argv[2], argv[3], argv[4]);
	/* None is handled by what shares our memory. */
	(void)sigfillset(&set);
	/* NOLINTNEXTLINE(concurrency-mt-unsafe) there are no threads */
	(void)sigprocmask(SIG_SETMASK, &set, NULL);
	(void)sigemptyset(&set);
	(void)sigaddset(&set, SIGCHLD);
	(void)sigaddset(&set, SIGTERM);
	signals = signalfd(-1, &set, SFD_CLOEXEC);
	if (signals == -1)
		err(1, "signalfd");
	for (i = 0; i < count; i++) {
		processes[i].output = -1;
		(void)snprintf(
		    processes[i].name, sizeof(processes[i].name), "p%04u", i);
		start(&processes[i]);
	}
	run(signals);
	return 0;
}
