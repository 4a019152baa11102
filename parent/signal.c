#include <sys/ioctl.h>
#include <sys/signalfd.h>

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <unistd.h>

#include "../common/log.h"
#include "parent.h"

/*
 * Signals.  All are blocked and read from a descriptor, so that no handler
 * can ever run in a process that shares our memory on its way to an exec.
 * The manager decides what they mean; without one the parent ends alone.
 */

#define MANAGER_PATIENCE 1000 /* ms without a manager after a SIGTERM */
#define LAST_GRACE 10000 /* ms from our own SIGTERM to SIGKILL */

static struct {
	struct event event;
	struct event timer;
	int fd;
	int asked; /* the signal that asked for the end, 0 none */
	int times;
	int terminated; /* SIGTERM was sent, SIGKILL comes next */
	enum wish {
		NOTHING,
		WANTED,
		TOLD, /* to this manager, which has not done it yet */
	} reopen,
	    reload; /* USR1, HUP */
} state;

static int
exit_code(void)
{
	return options['x'] != NULL ? 128 + state.asked : 0;
}

/* Has the terminal that we had gone? */
static int
hangup(void)
{
	struct pollfd fds[3];
	int fd;
	int i;

	for (i = 0; i < 3; i++) {
		fds[i].fd = i;
		fds[i].events = 0;
	}
	if (poll(fds, 3, 0) > 0)
		for (i = 0; i < 3; i++)
			if ((fds[i].revents & POLLHUP) &&
			    (isatty(i) || errno == EIO))
				return 1;
	fd = open("/dev/tty", O_RDONLY | O_NOCTTY | O_NONBLOCK | O_CLOEXEC);
	if (fd == -1)
		return errno == ENXIO && instance.had_tty;
	(void)close(fd);
	return 0;
}

void
signal_check(void)
{
	if (state.terminated && !group_any())
		parent_end(exit_code());
}

static void
tell(int sig)
{
	struct wire *w;

	w = message();
	wire_put_i32(w, sig);
	wire_put_u8(w, (uint8_t)(sig == SIGHUP && hangup()));
	send_wire(parent.manager, IMSG_SIGNALLED, 0, -1);
	late_suspect(parent.manager);
}

static int
manager_is_ready(void)
{
	return parent.manager->channel != NULL &&
	    parent.manager->phase == MANAGER_READY;
}

void
signal_again(void)
{
	if (!manager_is_ready())
		return;
	if (state.reopen == WANTED) {
		state.reopen = TOLD;
		tell(SIGUSR1);
	}
	/* The file may have been read too early for this one. */
	if (state.reload == WANTED && !reload_goes_on()) {
		state.reload = TOLD;
		tell(SIGHUP);
	}
}

void
signal_done(int sig)
{
	if (sig == SIGHUP)
		state.reload = NOTHING;
	else
		state.reopen = NOTHING;
}

void
signal_manager_ready(void)
{
	int i;

	for (i = 0; state.asked != 0 && i < state.times; i++)
		tell(state.asked);
	/* The one before has not come to it. */
	if (state.reopen == TOLD)
		state.reopen = WANTED;
	if (state.reload == TOLD)
		state.reload = WANTED;
	signal_again();
}

static void
timer_cb(int fd, short events, void *arg)
{
	(void)fd;
	(void)events;
	(void)arg;
	if (state.terminated)
		parent_end(exit_code());
	if (manager_is_ready())
		return;
	log_warnx("there is no manager: ending all");
	state.terminated = 1;
	child_stop(parent.manager); /* nobody starts anything again */
	group_all(SIGTERM);
	signal_check(); /* perhaps nothing runs */
	timer_set(&state.timer, LAST_GRACE);
}

/* TERM, INT, QUIT, or the end of the terminal. */
static void
asked_to_end(int sig)
{
	if (state.asked == 0)
		state.asked = sig;
	state.times++;
	if (parent.table == NULL) /* nothing was started yet */
		parent_end(exit_code());
	if (manager_is_ready()) {
		tell(sig);
		/* Twice is the manager's matter; it seems not to care. */
		if (sig == SIGINT && state.times > 2)
			parent_end(exit_code());
		return;
	}
	if (sig == SIGINT && state.times > 1)
		parent_end(exit_code());
	if (!state.terminated)
		timer_set(&state.timer, MANAGER_PATIENCE);
}

static void
handle(int sig)
{
	switch (sig) {
	case SIGCHLD:
		reap();
		spawn_run();
		signal_check();
		break;
	case SIGTERM:
	case SIGINT:
	case SIGQUIT:
		asked_to_end(sig);
		break;
	case SIGUSR1:
		state.reopen = WANTED;
		signal_again();
		break;
	case SIGHUP:
		if (!hangup()) {
			state.reload = WANTED;
			signal_again();
		} else if (manager_is_ready())
			tell(sig);
		else
			asked_to_end(sig);
		break;
	default:
		if (manager_is_ready())
			tell(sig);
		break;
	}
}

static void
signal_cb(int fd, short events, void *arg)
{
	struct signalfd_siginfo info[8];
	ssize_t i;
	ssize_t n;

	(void)events;
	(void)arg;
	n = read(fd, info, sizeof(info)) / (ssize_t)sizeof(info[0]);
	for (i = 0; i < n; i++)
		handle((int)info[i].ssi_signo);
}

void
signal_mask(const sigset_t *set)
{
	/* NOLINTNEXTLINE(concurrency-mt-unsafe) there are no threads */
	(void)sigprocmask(SIG_SETMASK, set, NULL);
}

void
signal_wanted(sigset_t *set)
{
	static const int wanted[] = {
	    SIGTERM, SIGINT, SIGQUIT, SIGUSR1, SIGUSR2, SIGCHLD};
	size_t i;

	(void)sigemptyset(set);
	for (i = 0; i < sizeof(wanted) / sizeof(wanted[0]); i++)
		(void)sigaddset(set, wanted[i]);
	if (!instance.ignored_hup)
		(void)sigaddset(set, SIGHUP);
}

void
signal_init(void)
{
	sigset_t set;

	signal_wanted(&set);
	state.fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	if (state.fd == -1)
		fatal("signalfd");
	event_start(&state.event, state.fd, signal_cb, NULL);
	event_start(&state.timer, -1, timer_cb, NULL);
}
