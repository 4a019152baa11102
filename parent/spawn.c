#include <sys/mman.h>
#include <sys/resource.h>

#include <errno.h>
#include <fcntl.h>
#include <malloc.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "../common/log.h"
#include "parent.h"

/*
 * Spawning.  Requests stand in a queue; FLIGHTS processes at once may be on
 * their way from clone to exec.  Nobody tells us of an exec: the kernel
 * zeroes result.tid then, which is looked at whenever something else
 * happens and, while somebody waits for it, by a timer.
 */

#define FLIGHTS 16
#define STACK_SIZE 16384
#define STUCK_AFTER (30 * SEC) /* in exec: then it is killed */
#define REPORT_AFTER (60 * SEC) /* muster-exec's silence counts as success */
#define BURST 64 /* spawns after which memory is given back */
#define MAX_BARRIERS 1024
#define FAILED_GROUPS 64 /* remembered */
#define SPARE_DESCRIPTORS 32 /* for what runs, and for our own programs */

struct flight {
	struct plan plan; /* its memory is NULL: free */
	struct slot *slot; /* NULL: the process has ended meanwhile */
	uint64_t started;
	int pipe; /* fork only: end of file at its exec */
};

struct barrier {
	STAILQ_ENTRY(barrier) link;
	uint32_t id;
	uint32_t serial;
};

static TAILQ_HEAD(, slot) queue = TAILQ_HEAD_INITIALIZER(queue);
static TAILQ_HEAD(, slot) pending = TAILQ_HEAD_INITIALIZER(pending);
static STAILQ_HEAD(, barrier) barriers = STAILQ_HEAD_INITIALIZER(barriers);
static struct flight flights[FLIGHTS];
static volatile struct result *results;
static uint8_t *stacks;
static struct event timer;
static uint32_t timer_ms;
static uint32_t serial;
static uint32_t given_back; /* serial when memory was given back */
static uint32_t failed_groups[FAILED_GROUPS];
static uint32_t nfailed;
static uint32_t nbarriers;
static int use_fork;

static void
timer_cb(int fd, short events, void *arg)
{
	(void)fd;
	(void)events;
	(void)arg;
	spawn_run();
}

void
spawn_init(void)
{
	char dumpable;
	int fd;

	results = mmap(NULL, FLIGHTS * sizeof(*results), PROT_READ | PROT_WRITE,
	    MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	stacks =
	    mmap(NULL, (size_t)FLIGHTS * STACK_SIZE, PROT_READ | PROT_WRITE,
		MAP_PRIVATE | MAP_ANONYMOUS | MAP_STACK, -1, 0);
	if (results == MAP_FAILED || stacks == MAP_FAILED)
		fatal("spawn");
	event_start(&timer, -1, timer_cb, NULL);
	/* A core of the new process would be readable, with our memory. */
	fd = open("/proc/sys/fs/suid_dumpable", O_RDONLY | O_CLOEXEC);
	if (fd != -1 && read(fd, &dumpable, 1) == 1 && dumpable == '1')
		use_fork = 1;
	if (fd != -1)
		(void)close(fd);
}

/* ---- what is on its way ------------------------------------------------ */

static void
flight_over(struct flight *f)
{
	free(f->plan.candidates);
	free(f->plan.memory);
	f->plan.candidates = NULL;
	f->plan.memory = NULL;
	if (f->pipe != -1)
		(void)close(f->pipe);
}

/* Has it left its stack (reached its exec, failed, or ended)? */
static int
has_left(const struct flight *f)
{
	char c;

	if (f->pipe != -1)
		return read(f->pipe, &c, 1) == 0;
	return __atomic_load_n(&f->plan.result->tid, __ATOMIC_ACQUIRE) == 0;
}

static void
flight_check(struct flight *f)
{
	struct slot *s;

	s = f->slot;
	if (has_left(f)) {
		if (s != NULL && f->plan.result->stage != STAGE_NONE) {
			s->stage = (uint8_t)f->plan.result->stage;
			s->error = f->plan.result->error;
		} else if (s != NULL && s->report == -1)
			spawn_settled(s);
		flight_over(f);
	} else if (s != NULL && s->stage == STAGE_NONE &&
	    now() - f->started > STUCK_AFTER) {
		s->stage = STAGE_EXEC;
		s->error = ETIMEDOUT;
		(void)kill(s->pid, SIGKILL);
	}
}

static struct flight *
flight_free(void)
{
	int i;

	for (i = 0; i < FLIGHTS; i++)
		if (flights[i].plan.memory == NULL)
			return &flights[i];
	return NULL;
}

static void
group_failed(uint32_t group)
{
	if (group != 0)
		failed_groups[nfailed++ % FAILED_GROUPS] = group;
}

static int
has_failed(uint32_t group)
{
	uint32_t i;

	for (i = 0; group != 0 && i < nfailed && i < FAILED_GROUPS; i++)
		if (failed_groups[i] == group)
			return 1;
	return 0;
}

void
spawn_forget_groups(void)
{
	nfailed = 0;
}

void
spawn_settled(struct slot *s)
{
	if (s->stage != STAGE_NONE && s->stage != STAGE_SKIPPED)
		group_failed(s->group);
	if (!(s->flags & IS_PENDING))
		return;
	TAILQ_REMOVE(&pending, s, link);
	s->flags &= (uint16_t) ~(IS_PENDING | IS_HOLDING);
}

/* ---- what muster-exec reports ------------------------------------------ */

static void
report_close(struct slot *s)
{
	if (s->report != -1)
		(void)close(s->report);
	s->report = -1;
}

/* Has it said something, or gone on to its exec? */
static void
report_check(struct slot *s)
{
	struct exec_report report;
	ssize_t n;

	n = read(s->report, &report, sizeof(report));
	if (n == -1 && now() - s->started < REPORT_AFTER)
		return;
	report_close(s);
	/* The pipe was in the hands of the job's user: nothing but a hint. */
	if (n != sizeof(report) ||
	    (report.stage != STAGE_CHDIR && report.stage != STAGE_EXEC &&
		report.stage != STAGE_ENVIRONMENT_FILE)) {
		spawn_settled(s);
		return;
	}
	s->stage = report.stage; /* its end follows */
	s->error = report.error;
}

void
spawn_over(struct slot *s)
{
	int i;

	for (i = 0; i < FLIGHTS; i++)
		if (flights[i].plan.memory != NULL && flights[i].slot == s) {
			flight_check(&flights[i]);
			flights[i].slot = NULL;
		}
	if (s->report != -1)
		report_check(s);
	report_close(s);
	spawn_settled(s);
}

/* ---- spawning ---------------------------------------------------------- */

static long
clone_process(struct flight *f, struct slot *s)
{
	void *stack;
	long pid;
	int end;
	int fd;

	fd = cgroup_works() ? cgroup_make(s->process, use_fork) : -1;
	if (fd == -1 && cgroup_works()) {
		s->stage = STAGE_CGROUP;
		return -errno;
	}
	s->flags &= (uint16_t)~IS_GROUPED;
	if (fd != -1)
		s->flags |= IS_GROUPED;
	f->pipe = -1;
	stack = stacks + (size_t)(f - flights) * STACK_SIZE;
	if (use_fork) {
		f->plan.cgroup = fd;
		if (make_pipe(&f->pipe, &end) == -1)
			pid = -errno;
		else {
			(void)fcntl(f->pipe, F_SETFL, O_NONBLOCK);
			pid = spawn_fork(&f->plan);
			(void)close(end);
		}
	} else
		pid = spawn_clone(&f->plan, stack, STACK_SIZE, fd);
	if (fd != -1)
		(void)close(fd);
	if (pid >= 0 || use_fork)
		return pid;
	if (pid == -ENOSYS || pid == -EPERM || pid == -EINVAL) {
		use_fork = 1;
		return clone_process(f, s);
	}
	if (fd != -1 &&
	    (pid == -EACCES || pid == -EBUSY || pid == -ENOENT ||
		pid == -EOPNOTSUPP)) {
		cgroup_disable();
		return clone_process(f, s);
	}
	return pid;
}

/*
 * A process must not take the last descriptors: its output, its journals and
 * the programs that carry them need some, too, and nobody would ask again.
 * The lowest free number tells how many are taken, nearly.
 */
static int
descriptors_are_left(void)
{
	struct rlimit limit;
	int fd;

	fd = copy_fd(instance.null);
	if (fd == -1)
		return 0;
	(void)close(fd);
	if (getrlimit(RLIMIT_NOFILE, &limit) == 0 &&
	    (rlim_t)fd + SPARE_DESCRIPTORS <= limit.rlim_cur)
		return 1;
	errno = EMFILE;
	return 0;
}

static void
abandon(struct slot *s, struct flight *f)
{
	int i;

	input_close(s);
	for (i = 0; i < 2; i++)
		if (s->output[i] != -1) {
			(void)close(s->output[i]);
			s->output[i] = -1;
		}
	watch_close(s);
	report_close(s);
	s->flags &= (uint16_t) ~(IS_HOLDING | IS_FOREGROUND);
	flight_over(f);
	reap_failed(s);
}

static void
spawn_one(struct slot *s, struct flight *f)
{
	struct ends e = {{-1, -1, -1}, {-1, -1, -1}, 0};
	struct wire *w;
	long pid;

	memset(&f->plan, 0, sizeof(f->plan));
	f->pipe = -1;
	f->plan.result = &results[f - flights];
	f->plan.result->stage = STAGE_NONE;
	s->stage = STAGE_RESOURCE;
	if (descriptors_are_left())
		s->stage = (uint8_t)plan_make(&f->plan, s, &e);
	s->error = errno;
	pid = -1;
	if (s->stage == STAGE_NONE) {
		pid = clone_process(f, s);
		if (pid < 0) {
			if (s->stage == STAGE_NONE)
				s->stage = STAGE_CLONE;
			s->error = (int32_t)-pid;
		}
	}
	plan_close(&e);
	if (pid < 0) {
		abandon(s, f);
		return;
	}
	s->started = f->started = now();
	s->state = SLOT_RUNNING;
	s->error = 0;
	s->flags |= IS_PENDING;
	TAILQ_INSERT_TAIL(&pending, s, link);
	f->slot = s;
	slot_live(s, (pid_t)pid);
	stream_open(s);
	w = message();
	wire_put_u32(w, s->process);
	wire_put_u32(w, s->generation);
	wire_put_i32(w, s->pid);
	wire_put_u64(w, s->started);
	wire_put_u32(w, slot_index(s));
	send_wire(parent.manager, IMSG_PROC_STARTED, 0, -1);
}

/* ---- the queue --------------------------------------------------------- */

/* Must it wait for one of its group to be known to run? */
static int
must_wait(const struct slot *s)
{
	const struct slot *other;

	if (s->group == 0)
		return 0;
	TAILQ_FOREACH (other, &pending, link)
		if (other->group == s->group && (other->flags & IS_HOLDING))
			return 1;
	return 0;
}

static void
announce(struct slot *s)
{
	struct wire *w;

	if (s->announce == NULL)
		return;
	w = message();
	wire_put_u8(w, STDOUT_FILENO);
	wire_put_str(w, s->announce);
	(void)stream_forward(IMSG_CONSOLE_WRITE, 0, w->data, w->len);
	free(s->announce);
	s->announce = NULL;
}

static void
run_queue(void)
{
	struct flight *f;
	struct slot *next;
	struct slot *s;

	for (s = TAILQ_FIRST(&queue); s != NULL; s = next) {
		next = TAILQ_NEXT(s, link);
		f = flight_free();
		if (must_wait(s))
			continue;
		if (f == NULL)
			return;
		TAILQ_REMOVE(&queue, s, link);
		s->flags &= (uint16_t)~IS_QUEUED;
		if (has_failed(s->group)) {
			s->stage = STAGE_SKIPPED;
			s->error = ECANCELED;
			free(s->announce);
			s->announce = NULL;
			reap_failed(s);
			continue;
		}
		announce(s);
		spawn_one(s, f);
	}
}

/* No spawn that was asked for before the barrier is open. */
static int
passed(const struct barrier *b)
{
	const struct slot *s;

	TAILQ_FOREACH (s, &queue, link)
		if ((int32_t)(s->serial - b->serial) <= 0)
			return 0;
	TAILQ_FOREACH (s, &pending, link)
		if ((int32_t)(s->serial - b->serial) <= 0)
			return 0;
	return 1;
}

/* Memory that a burst of spawns has needed. */
static void
give_back(void)
{
	if (serial - given_back < BURST)
		return;
	given_back = serial;
	(void)madvise(stacks, (size_t)FLIGHTS * STACK_SIZE, MADV_DONTNEED);
	(void)malloc_trim(0);
}

void
spawn_run(void)
{
	struct barrier *b;
	struct slot *next;
	struct slot *s;
	int i;

	for (i = 0; i < FLIGHTS; i++)
		if (flights[i].plan.memory != NULL)
			flight_check(&flights[i]);
	TAILQ_FOREACH_SAFE (s, &pending, link, next)
		if (s->report != -1)
			report_check(s);
	run_queue();
	while ((b = STAILQ_FIRST(&barriers)) != NULL && passed(b)) {
		STAILQ_REMOVE_HEAD(&barriers, link);
		nbarriers--;
		(void)message();
		send_wire(parent.manager, IMSG_PROC_BARRIER_DONE, b->id, -1);
		free(b);
	}
	for (i = 0; i < FLIGHTS && flights[i].plan.memory == NULL; i++)
		;
	if (i == FLIGHTS && TAILQ_EMPTY(&pending)) {
		give_back();
		return;
	}
	/* Nobody waits: only to give memory back, and for what is stuck. */
	if (!TAILQ_EMPTY(&queue) || b != NULL || timer_ms == 0)
		timer_ms = 1;
	else if (timer_ms < 1000)
		timer_ms *= 4;
	timer_set(&timer, timer_ms);
}

static void
no_room(uint32_t process, uint32_t generation)
{
	struct wire *w;

	w = message();
	wire_put_u32(w, process);
	wire_put_u32(w, generation);
	wire_put_u8(w, STAGE_RESOURCE);
	wire_put_i32(w, ENOSPC);
	send_wire(parent.manager, IMSG_PROC_SPAWN_FAILED, 0, -1);
}

int
spawn_request(struct wire_reader *r)
{
	struct slot *s;
	char *text;
	uint32_t process;
	uint32_t generation;
	uint32_t fields[4];
	int i;

	process = wire_get_u32(r);
	generation = wire_get_u32(r);
	for (i = 0; i < 4; i++)
		fields[i] = wire_get_u32(r);
	text = wire_get_strdup(r, MAX_CONSOLE);
	s = slot_of_process(process);
	if (wire_end(r) == -1 || process == 0 ||
	    (process > LAST_PROCESS && process < FIRST_PROBE) ||
	    table_entry(parent.table, fields[0], ENTRY_SPEC) == NULL ||
	    (s != NULL &&
		(s->state != SLOT_IDLE || generation <= s->generation))) {
		free(text);
		return -1;
	}
	if (s == NULL && (s = slot_new(process)) == NULL) {
		free(text);
		no_room(process, generation);
		return 0;
	}
	stream_retire(s);
	orphan_gone(process);
	s->generation = generation;
	s->entry = fields[0];
	s->instance = fields[1];
	s->group = fields[2];
	s->about = fields[3];
	s->announce = *text == '\0' ? NULL : text;
	if (s->announce == NULL)
		free(text);
	s->serial = ++serial;
	s->state = SLOT_SPAWNING;
	s->stage = STAGE_NONE;
	s->pid = 0;
	s->status = 0;
	s->flags = IS_QUEUED | (s->flags & IS_GROUPED);
	TAILQ_INSERT_TAIL(&queue, s, link);
	timer_ms = 0;
	spawn_run();
	return 0;
}

int
spawn_barrier(uint32_t id)
{
	struct barrier *b;

	b = nbarriers == MAX_BARRIERS ? NULL : malloc(sizeof(*b));
	if (b == NULL)
		return -1;
	nbarriers++;
	b->id = id;
	b->serial = serial;
	STAILQ_INSERT_TAIL(&barriers, b, link);
	spawn_run();
	return 0;
}
