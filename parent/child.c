#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <bsd/string.h>
#include <bsd/unistd.h>

#include "../common/component.h"
#include "../common/log.h"
#include "parent.h"

/*
 * The unprivileged programs: started confined, connected with each other,
 * and replaced when they are lost, the first time at once, then with
 * pauses.
 */

#define FIRST_DELAY 100 /* ms before the second replacement */
#define LAST_DELAY 10000
#define REFUSED_DELAY 1000 /* at most for one that cannot be started */
#define STABLE (30 * SEC) /* of life: the delays begin anew */
#define KILLED_DELAY 50 /* ms for one that somebody kills again and again */
#define MERCY 1000 /* times in a row that it may have been somebody else */
#define MERCY_RATE 5 /* of them are forgotten in a second */
#define BOOT_TRIES 3 /* deaths of a manager that reads its configuration */
#define AGAIN 2 /* `wanted`: it was stopped, started when it is reaped */
#define LOG_RATE 1000 /* messages a second that a sane program stays below */

static struct child managers[2];
static struct child relay;
static struct child verifier;
static struct child resolver;
static struct child workers[MAX_WORKERS];
static struct child checker;
static struct child *all[MAX_WORKERS + 6];
#define NCHILDREN (sizeof(all) / sizeof(all[0]))

static void
start_cb(int fd, short events, void *arg)
{
	(void)fd;
	(void)events;
	child_start(arg);
}

static void
init(size_t i, struct child *c, const char *program, enum role role,
    uint32_t instance_number)
{
	all[i] = c;
	c->program = program;
	c->role = (uint8_t)role;
	c->instance = instance_number;
	event_start(&c->timer, -1, start_cb, c);
	late_init(c);
}

void
children_init(void)
{
	uint32_t i;

	init(0, &managers[0], "muster-manager", ROLE_MANAGER, 0);
	init(1, &managers[1], "muster-manager", ROLE_MANAGER, 0);
	init(2, &relay, "muster-relay", ROLE_RELAY, 0);
	init(3, &verifier, "muster-verifier", ROLE_VERIFIER, 0);
	init(4, &resolver, "muster-resolver", ROLE_RESOLVER, 0);
	for (i = 0; i < MAX_WORKERS; i++)
		init(5 + i, &workers[i], "muster-httpd", ROLE_HTTPD, i);
	init(5 + MAX_WORKERS, &checker, "muster-httpd-tls", ROLE_HTTPD,
	    MAX_WORKERS);
	parent.checker = &checker;
	parent.manager = &managers[0];
	parent.check = &managers[1];
	parent.relay = &relay;
	parent.verifier = &verifier;
	parent.resolver = &resolver;
	parent.workers = workers;
}

/* ---- starting ---------------------------------------------------------- */

/* Runs in the new process. */
static void __attribute__((noreturn))
exec_child(const struct child *c, int fd, pid_t own)
{
	static const char *const kept[] = {"TZ=", "LANG="};
	static char path_variable[] = "PATH=/usr/bin:/bin";
	static char *env[4];
	char path[PATH_MAX + 32];
	char args[6][sizeof(instance.root) + 2];
	char *argv[8];
	sigset_t none;
	size_t i;
	size_t n;
	int trap;

	/* NOLINTNEXTLINE(concurrency-mt-unsafe) there are no threads */
	trap = getenv("MUSTER_TRAP") != NULL;
	env[0] = path_variable;
	n = 1;
	for (i = 0; environ[i] != NULL && n < 3; i++)
		if (strncmp(environ[i], kept[0], 3) == 0 ||
		    strncmp(environ[i], kept[1], 5) == 0)
			env[n++] = environ[i];
	(void)snprintf(
	    path, sizeof(path), "%s/%s", instance.libexec, c->program);
	(void)snprintf(args[0], sizeof(args[0]), "-i%u", c->instance);
	(void)snprintf(args[1], sizeof(args[1]), "-v%d", (int)log_get_level());
	(void)snprintf(
	    args[2], sizeof(args[2]), "-u%u", instance.component_uid);
	(void)snprintf(
	    args[3], sizeof(args[3]), "-g%u", instance.component_gid);
	(void)snprintf(args[4], sizeof(args[4]), "-r%s", instance.root);
	(void)strlcpy(args[5], "-t", sizeof(args[5]));
	argv[0] = path;
	for (i = 0, n = 1; i < 6; i++)
		if (i < 2 || (i < 5 ? instance.uid == 0 : trap))
			argv[n++] = args[i];
	argv[n] = NULL;
	(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (getppid() != own)
		_exit(1);
	/* First these: COMPONENT_FD may be the number of instance.null. */
	(void)dup2(instance.null, STDIN_FILENO);
	(void)dup2(STDIN_FILENO, STDOUT_FILENO);
	if (!trap)
		(void)dup2(STDIN_FILENO, STDERR_FILENO);
	/* dup2(2) to itself would leave it close-on-exec. */
	fd = fcntl(fd, F_DUPFD, COMPONENT_FD + 1);
	(void)dup2(fd, COMPONENT_FD);
	closefrom(COMPONENT_FD + 1);
	(void)sigemptyset(&none);
	(void)signal(SIGXFSZ, SIG_DFL);
	signal_mask(&none);
	(void)execve(path, argv, env);
	_exit(127);
}

/* Which programs talk with each other. */
static int
linked(enum role a, enum role b)
{
	switch (a) {
	case ROLE_MANAGER:
		return b == ROLE_RELAY || b == ROLE_HTTPD || b == ROLE_VERIFIER;
	case ROLE_RELAY:
		return b == ROLE_HTTPD;
	case ROLE_VERIFIER:
		return b == ROLE_RESOLVER;
	default:
		return 0;
	}
}

static void
introduce(struct child *to, const struct child *peer, int fd)
{
	struct wire *w;

	w = message();
	wire_put_u8(w, peer->role);
	wire_put_u32(w,
	    peer->role == ROLE_MANAGER ? parent.old != NULL : peer->instance);
	send_wire(to, IMSG_PEER, 0, fd);
}

static void
link_pair(struct child *a, struct child *b)
{
	int ends[2];

	if (a->channel == NULL || b->channel == NULL || a == parent.check ||
	    b == parent.check || a == &checker || b == &checker ||
	    (!linked(a->role, b->role) && !linked(b->role, a->role)))
		return;
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0,
		ends) == -1) {
		/* One is of no use; its successor is linked anew. */
		child_lacks(a->role == ROLE_MANAGER ? b : a);
		return;
	}
	introduce(a, b, ends[0]);
	introduce(b, a, ends[1]);
}

static void
link_all(struct child *c)
{
	size_t i;

	for (i = 0; i < NCHILDREN; i++)
		if (all[i] != c)
			link_pair(c, all[i]);
}

/* What each must know before it is of use. */
static void
greet(struct child *c)
{
	if (c->role == ROLE_MANAGER) {
		c->phase = MANAGER_STAGING;
		snapshot_give(c);
		return; /* the rest comes with the seal */
	}
	if (c == &checker) {
		tls_give(c);
		return;
	}
	if (c->role == ROLE_RELAY)
		stream_resend();
	if (c->role == ROLE_HTTPD) {
		wire_put_u32(message(), MAX_PROCESSES * CELLS_PER_SLOT);
		send_fd(c, IMSG_CELLS, memfd_reopen(parent.cells, O_RDONLY));
		(void)message();
		send_fd(
		    c, IMSG_SEQUENCE_PAGE, memfd_reopen(parent.page, O_RDONLY));
	}
	if (parent.table == NULL)
		return;
	if (c->role == ROLE_HTTPD) {
		tls_give(c);
		socket_give(c);
	}
	link_all(c);
}

/* A shortage is told once. */
static void
refused(struct child *c)
{
	if (!c->refused)
		log_warn("%s cannot be started", c->program);
	c->refused = 1;
}

static uint32_t
grown(uint32_t delay, uint32_t most)
{
	delay = delay == 0 ? FIRST_DELAY : delay * 2;
	return delay > most ? most : delay;
}

void
child_start(struct child *c)
{
	pid_t own;
	int ends[2];

	if (c->pid != 0) {
		if (!c->wanted)
			c->wanted = AGAIN;
		return;
	}
	c->wanted = 1;
	c->guilty = 0;
	c->lacking = 0;
	c->dismissed = 0;
	own = getpid();
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) == -1)
		goto later;
	c->started = now();
	c->pid = fork();
	if (c->pid == 0)
		exec_child(c, ends[1], own);
	(void)close(ends[1]);
	if (c->pid == -1) {
		c->pid = 0;
		(void)close(ends[0]);
		goto later;
	}
	c->channel = channel_new(
	    parent.base, ends[0], 0, parent_dispatch, child_lost, c);
	if (c->channel == NULL) {
		refused(c);
		(void)kill(c->pid, SIGKILL);
		return;
	}
	greet(c);
	if (c->channel != NULL) { /* it lacks nothing */
		c->refused = 0;
		c->retry = 0;
	}
	return;
later:
	refused(c);
	if (c->role == ROLE_MANAGER && parent.table == NULL)
		parent_end(1); /* nothing is lost by that */
	c->retry = grown(c->retry, REFUSED_DELAY);
	timer_set(&c->timer, c->retry);
}

/* ---- losing ------------------------------------------------------------ */

static void
disconnect(struct child *c)
{
	if (c->channel == NULL)
		return;
	channel_free(c->channel);
	c->channel = NULL;
	late_forget(c);
	if (c->role != ROLE_MANAGER)
		return;
	if (c->phase == MANAGER_SEALING) {
		users_cancel();
		tls_cancel();
	}
	if (c->phase != MANAGER_READY) { /* only one stages at a time */
		if (parent.staged != NULL)
			socket_close_all(parent.staged, parent.table);
		table_free(parent.staged);
		parent.staged = NULL;
	}
	if (c == parent.manager)
		log_init("parent", log_get_level(), NULL);
}

void
child_stop(struct child *c)
{
	c->wanted = 0;
	c->dismissed = 1;
	(void)evtimer_del(&c->timer);
	disconnect(c);
	if (c->pid != 0)
		(void)kill(c->pid, SIGKILL);
}

void
children_kill(void)
{
	size_t i;

	for (i = 0; i < NCHILDREN; i++)
		if (all[i]->pid != 0)
			(void)kill(all[i]->pid, SIGKILL);
}

/* Replaced when it has been reaped. */
static void
end_child(struct child *c)
{
	disconnect(c);
	c->guilty = 1;
	if (c->pid != 0)
		(void)kill(c->pid, SIGKILL);
}

void
child_lost(struct channel *channel, const char *why, void *arg)
{
	struct child *c;

	(void)channel;
	c = arg;
	end_child(c);
	/* Who has gone by itself did so as its status tells. */
	c->guilty = why != channel_gone;
	/* Not by the way of a manager that is ended.  How one that has gone by
	 * itself has ended is told when it is reaped. */
	if (why == channel_gone)
		log_info("%s %u: %s", c->program, c->instance, why);
	else
		log_warnx("%s %u: %s", c->program, c->instance, why);
}

void
child_lacks(struct child *c)
{
	if (c->channel == NULL)
		return;
	if (!c->refused)
		log_warn("%s %u lacks a descriptor", c->program, c->instance);
	c->refused = 1;
	end_child(c);
	c->lacking = 1;
}

/* Which of them may say of which that it misbehaves. */
static int
may_accuse(const struct child *by, const struct child *of)
{
	switch (by->role) {
	case ROLE_MANAGER:
		return by == parent.manager && of->role != ROLE_MANAGER;
	case ROLE_RELAY:
		return of->role == ROLE_HTTPD;
	case ROLE_VERIFIER:
		return of->role == ROLE_RESOLVER;
	default:
		return 0;
	}
}

static struct child *
find(enum role role, uint32_t instance_number)
{
	size_t i;

	for (i = 0; i < NCHILDREN; i++)
		if (all[i]->role == role && all[i] != parent.check &&
		    all[i] != &checker && all[i]->instance == instance_number)
			return all[i];
	return NULL;
}

int
child_accused(const struct child *by, uint32_t type, struct wire_reader *r)
{
	struct child *c;
	uint8_t role;

	role = wire_get_u8(r);
	c = find((enum role)role, wire_get_u32(r));
	if (wire_end(r) == -1 || c == NULL || by == parent.check ||
	    by == &checker)
		return -1;
	if (type == IMSG_PEER_LATE) {
		if (!linked(by->role, c->role) && !linked(c->role, by->role))
			return -1;
		late_suspect(c);
		return 0;
	}
	if (!may_accuse(by, c))
		return -1;
	if (c->channel == NULL)
		return 0; /* on its way out already */
	log_warnx(
	    "%s %u: %s complains of it", c->program, c->instance, by->program);
	end_child(c);
	return 0;
}

/*
 * Was it killed, or stopped, by somebody?  One that closes its channel looks
 * alike: so there is a limit.
 */
static int
is_victim(struct child *c, int status)
{
	uint64_t refilled;

	if (c->guilty || !WIFSIGNALED(status) || WTERMSIG(status) != SIGKILL)
		return 0;
	refilled = (now() - c->mercy_since) / (SEC / MERCY_RATE);
	c->mercy_since += refilled * (SEC / MERCY_RATE);
	c->mercy = c->mercy < refilled ? 0 : c->mercy - (uint32_t)refilled;
	if (c->mercy >= MERCY)
		return 0;
	c->mercy++;
	return 1;
}

/*
 * One that misbehaves, or crashes, again and again is started ever later; not
 * so a victim: the API must be there.
 */
static uint32_t
next_delay(struct child *c, int status)
{
	uint32_t delay;

	if (c->lacking) {
		c->retry = grown(c->retry, REFUSED_DELAY);
		return c->retry;
	}
	if (is_victim(c, status))
		return now() - c->started < KILLED_DELAY * MSEC ? KILLED_DELAY :
								  0;
	if (now() - c->started > STABLE)
		c->delay = 0;
	delay = c->delay;
	c->delay = grown(delay, LAST_DELAY);
	return delay;
}

static void
replace(struct child *c, int status)
{
	struct wire *w;

	c->restarts++;
	if (c->role != ROLE_MANAGER) {
		w = message();
		wire_put_u8(w, c->role);
		wire_put_u32(w, c->instance);
		wire_put_u32(w, c->restarts);
		send_wire(parent.manager, IMSG_COMPONENT_LOST, 0, -1);
	} else if (parent.table == NULL) {
		if (c->restarts == BOOT_TRIES) {
			log_errorx("the configuration cannot be read: %s dies "
				   "of it",
			    c->program);
			parent_end(1);
		}
	} else {
		c->birth = BIRTH_CRASH;
		reload_cancel();
		seal_rollback();
	}
	timer_set(&c->timer, next_delay(c, status));
}

int
child_reaped(pid_t pid, int status)
{
	static const char died[] = "the program that checks it has died";
	struct child *c;
	size_t i;

	for (i = 0; i < NCHILDREN && all[i]->pid != pid; i++)
		;
	if (i == NCHILDREN)
		return -1;
	c = all[i];
	c->pid = 0;
	/* What it said last. */
	if (c->channel != NULL)
		channel_poll(c->channel);
	disconnect(c);
	if (c->wanted == AGAIN)
		child_start(c);
	if (c->pid != 0 || !c->wanted)
		return 0;
	if (c == &checker) {
		c->wanted = 0;
		tls_checked(TLS_FILE_KEY, died, sizeof(died) - 1);
		return 0;
	}
	if (c->lacking || c->dismissed)
		log_debug("%s %u: ended", c->program, c->instance);
	else if (WIFSIGNALED(status))
		log_warnx("%s %u was ended by signal %d%s", c->program,
		    c->instance, WTERMSIG(status),
		    WTERMSIG(status) == SIGSYS ?
			" (a system call that it may not make)" :
			"");
	else
		log_warnx("%s %u has ended with status %d", c->program,
		    c->instance, WEXITSTATUS(status));
	if (c == parent.check) {
		c->wanted = 0;
		reload_answer(1, died, sizeof(died) - 1);
	} else
		replace(c, status);
	return 0;
}

int
child_is(pid_t pid)
{
	size_t i;

	for (i = 0; i < NCHILDREN; i++)
		if (all[i]->pid == pid)
			return 1;
	return 0;
}

/* ---- the seal ---------------------------------------------------------- */

/* TLS makes a program larger: only who needs it has it. */
static const char *
worker_program(void)
{
	return tls_wanted(parent.table) ? "muster-httpd-tls" : "muster-httpd";
}

static void
workers_tls(void)
{
	struct child *c;
	uint32_t i;

	for (i = 0; i < MAX_WORKERS; i++) {
		c = &workers[i];
		if (strcmp(c->program, worker_program()) == 0)
			tls_give(c);
		else if (c->pid != 0) {
			child_stop(c);
			c->wanted = AGAIN;
		}
		c->program = worker_program();
	}
}

/* Ends what this table does not want, or not like this, as `before` had it. */
static void
end_unwanted(const struct table *before)
{
	struct child *c;
	uint32_t i;

	workers_tls();
	for (i = 0; i < MAX_WORKERS; i++) {
		c = &workers[i];
		if (i >= parent.table->workers)
			child_stop(c);
		else if (before != NULL && c->channel != NULL &&
		    !socket_same_listeners(before, parent.table)) {
			/* Its listeners are others now. */
			end_child(c);
			c->dismissed = 1;
			c->delay = 0;
		}
	}
	if (!(parent.table->flags & SEAL_VERIFIER)) {
		child_stop(&verifier);
		child_stop(&resolver);
	}
}

static void
start_wanted(void)
{
	uint32_t i;

	for (i = 0; i < parent.table->workers; i++)
		child_start(&workers[i]);
	if (parent.table->flags & SEAL_VERIFIER)
		child_start(&verifier);
	child_start(&relay);
}

void
children_rolled_back(const struct table *given_up)
{
	end_unwanted(given_up);
	start_wanted();
}

void
children_sealed(enum birth birth)
{
	size_t a;
	size_t b;

	if (birth == BIRTH_CRASH) {
		link_all(parent.manager);
		return;
	}
	end_unwanted(parent.old);
	if (birth == BIRTH_CHECK)
		link_all(parent.manager);
	else { /* those that were started early */
		for (a = 0; a < parent.table->workers; a++)
			if (workers[a].channel != NULL)
				socket_give(&workers[a]);
		for (a = 0; a < NCHILDREN; a++)
			for (b = a + 1; b < NCHILDREN; b++)
				link_pair(all[a], all[b]);
	}
	start_wanted();
}

void
children_promote(void)
{
	struct child *c;

	c = parent.manager;
	parent.manager = parent.check;
	parent.check = c;
	child_stop(c);
}

int
child_may_log(struct child *c)
{
	if (now() / SEC != c->log_time) {
		c->log_time = now() / SEC;
		c->log_count = 0;
	}
	return ++c->log_count <= LOG_RATE;
}
