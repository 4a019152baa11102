/* sources: parent/parent.c parent/child.c parent/late.c parent/seal.c
 * parent/table.c parent/entry.c parent/spawn.c parent/plan.c parent/words.c
 * parent/group.c parent/reap.c parent/stream.c parent/blob.c
 * parent/logfile.c parent/socket.c parent/snapshot.c parent/tls.c
 * parent/cgroup.c parent/lines.c parent/orphan.c common/channel.c common/imsg.c
 * common/imsg_buffer.c common/wire.c */
/* libs: event_core bsd */
/*
 * What the components may ask of the parent: its real dispatch functions,
 * tables and queues.  Only what reaches out of the process is replaced: fork
 * and clone give pids that are nobody's, which end when they are killed;
 * nothing is opened, bound or connected.
 *
 * Input: u8 options, then records of u8 who (WHO_*), u16 type, u8 id, u16
 * length, payload.  With OPT_SEALED a small table is sealed first.
 */
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include <errno.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "../common/footprint.h"
#include "../common/log.h"
#include "../common/title.h"
#include "../parent/parent.h"

#define OPT_SEALED 1
#define OPT_FAILS 2 /* clone(2) does, now and then */

#define WHO_CHILDREN 6 /* manager, check, relay, verifier, resolver, httpd */
#define WHO_LOST 6 /* the child of the type is lost */
#define WHO_REAP 7 /* whatever was killed has ended */
#define WHO_EXIT 8 /* the process of the id ends by itself */
#define WHO_COUNT 9

#define FIRST_PID (1 << 22) /* above all real ones */
#define MAX_DEAD 4096

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

const char *options[128];
char **command;
struct instance instance;

static jmp_buf the_end;
static pid_t last_pid = FIRST_PID;
static pid_t dead[MAX_DEAD];
static size_t ndead;
static int clone_fails;
static int playing;

static void
check(int condition)
{
	if (!condition)
		abort();
}

/* ---- what reaches out -------------------------------------------------- */

int open(const char *path, int flags, ...);

static int
own_path(const char *path)
{
	return strncmp(path, "/proc/self/fd/", 14) == 0;
}

int
open(const char *path, int flags, ...)
{
	static const char dir[] = "/proc/";
	size_t len;

	if (!playing || own_path(path))
		return (int)syscall(SYS_openat, -100, path, flags, 0644);
	len = strlen(path);
	if (strncmp(path, dir, sizeof(dir) - 1) == 0 || len % 3 == 0) {
		errno = ENOENT;
		return -1;
	}
	return (int)syscall(SYS_memfd_create, "file", 1U);
}

ssize_t
write(int fd, const void *data, size_t len)
{
	if (playing && fd <= STDERR_FILENO)
		return (ssize_t)len;
	return syscall(SYS_write, fd, data, len);
}

pid_t
fork(void)
{
	return ++last_pid;
}

long
spawn_clone(struct plan *p, void *stack, size_t size, int cgroup)
{
	(void)stack;
	(void)size;
	(void)cgroup;
	check(p->argv[0] != NULL && p->directory != NULL);
	p->result->tid = 0;
	if (clone_fails && last_pid % 3 == 0) {
		last_pid++;
		return -EAGAIN;
	}
	return ++last_pid;
}

long
spawn_fork(struct plan *p)
{
	return spawn_clone(p, NULL, 0, -1);
}

int
kill(pid_t pid, int sig)
{
	if (pid < 0)
		pid = -pid;
	check(
	    pid >= FIRST_PID && pid <= last_pid && sig > 0 && sig <= SIGRTMAX);
	if ((sig == SIGKILL || sig == SIGTERM) && ndead < MAX_DEAD)
		dead[ndead++] = pid;
	return 0;
}

/* Each pid ends once; of those that are not known somebody else's child. */
int
waitid(idtype_t type, id_t id, siginfo_t *info, int flags)
{
	size_t i;

	memset(info, 0, sizeof(*info));
	if (type == P_PID && !(flags & WNOWAIT)) {
		for (i = 0; i < ndead; i++)
			while (i < ndead && dead[i] == (pid_t)id)
				dead[i] = dead[--ndead];
		info->si_pid = (pid_t)id;
		return 0;
	}
	if (ndead == 0)
		return 0;
	info->si_pid = dead[ndead - 1];
	info->si_code = CLD_KILLED;
	info->si_status = SIGKILL;
	return 0;
}

int
bind(int fd, const struct sockaddr *address, socklen_t len)
{
	(void)fd;
	(void)address;
	(void)len;
	return 0;
}

int
listen(int fd, int backlog)
{
	(void)fd;
	(void)backlog;
	return 0;
}

int
connect(int fd, const struct sockaddr *address, socklen_t len)
{
	(void)fd;
	(void)address;
	(void)len;
	errno = ENOENT;
	return -1;
}

int
mkdir(const char *path, mode_t mode)
{
	(void)path;
	(void)mode;
	errno = EACCES;
	return -1;
}

int
unlink(const char *path)
{
	(void)path;
	return 0;
}

int
rmdir(const char *path)
{
	(void)path;
	return 0;
}

/* ---- the rest of the parent -------------------------------------------- */

uint64_t
now(void)
{
	static uint64_t time;

	return ++time * MSEC;
}

int
is_journal(int fd)
{
	(void)fd;
	return 0;
}

int
verbosity(void)
{
	return 0;
}

void
guard_remove(void)
{
}

void
guard_sweep(uint64_t limit)
{
	(void)limit;
}

/* Only the parent ends like this, while it is played. */
void
_exit(int code)
{
	if (playing)
		longjmp(the_end, 1);
	for (;;)
		(void)syscall(SYS_exit_group, code);
}

void
users_resolve(struct table *t, users_fn done)
{
	uint32_t i;

	for (i = 1; i < t->ncreds; i++) {
		t->creds[i].own = 1;
		if (t->creds[i].keylen % 4 != 0)
			t->creds[i].stage = STAGE_NONE;
	}
	done();
}

void
users_cancel(void)
{
}

int
users_reaped(pid_t pid)
{
	(void)pid;
	return 0;
}

void
users_components(users_fn done)
{
	done();
}

int
cred_enter(const struct cred *c)
{
	check(c->own || c->stage == STAGE_NONE);
	return 0;
}

void
cred_leave(const struct cred *c)
{
	(void)c;
}

void
signal_mask(const sigset_t *set)
{
	(void)set;
}

void
signal_init(void)
{
}

void
signal_check(void)
{
}

void
signal_again(void)
{
}

void
signal_done(int sig)
{
	(void)sig;
}

void
signal_manager_ready(void)
{
}

void
title_set(const char *title)
{
	(void)title;
}

void
footprint_trim_later(struct event_base *base)
{
	(void)base;
}

#define QUIET(name) \
	void name(const char *fmt, ...) \
	{ \
		(void)fmt; \
	}

QUIET(log_warn)
QUIET(log_warnx)
QUIET(log_errorx)
QUIET(log_info)
QUIET(log_debug)

void
log_init(const char *program, enum log_level least, log_sink_fn sink)
{
	(void)program;
	(void)least;
	(void)sink;
}

enum log_level
log_get_level(void)
{
	return LOG_LEVEL_WARNING;
}

/* Never because of what another has sent. */
void
fatal(const char *fmt, ...)
{
	(void)fmt;
	abort();
}

void
fatalx(const char *fmt, ...)
{
	(void)fmt;
	abort();
}

/* ---- the components ---------------------------------------------------- */

static struct child *
child_of(unsigned int who)
{
	struct child *const children[] = {parent.manager, parent.check,
	    parent.relay, parent.verifier, parent.resolver, parent.workers};

	return children[who];
}

/* As the loop would, when their pauses are over. */
static void
start_again(void)
{
	struct child *c;
	unsigned int i;

	for (i = 0; i < WHO_CHILDREN; i++) {
		c = child_of(i);
		if (c->wanted && c->pid == 0)
			child_start(c);
	}
}

/* What is in the table must hold, whatever was said. */
static void
invariants(void)
{
	struct slot *s;

	for (s = slot_next(NULL); s != NULL; s = slot_next(s)) {
		check(s->process != 0 && s->state != SLOT_FREE);
		check(!(s->flags & IS_LIVE) || s->pid >= FIRST_PID);
		check(s->state != SLOT_RUNNING || (s->flags & IS_LIVE));
		check(parent.table != NULL);
		check(s->entry == NO_ENTRY ||
		    table_entry(parent.table, s->entry, ENTRY_SPEC) != NULL);
	}
	check(parent.manager->phase != MANAGER_READY ||
	    parent.manager->channel == NULL || parent.table != NULL);
}

static struct imsg imsg; /* the one that is looked at */

static void
say(struct child *c, uint32_t type, uint32_t id, const void *data, size_t len)
{
	if (c->channel == NULL)
		return;
	memset(&imsg, 0, sizeof(imsg));
	imsg.hdr.type = type;
	imsg.hdr.len = (uint32_t)(len + IMSG_HEADER_SIZE);
	imsg.hdr.peerid = id;
	imsg.buf = ibuf_open(len);
	check(imsg.buf != NULL && ibuf_add(imsg.buf, data, len) == 0);
	if (parent_dispatch(c->channel, &imsg, c) == -1)
		child_lost(c->channel, "malformed message", c);
	imsg_free(&imsg);
	invariants();
}

static void
reap_all(void)
{
	reap();
	spawn_run();
	start_again();
	invariants();
}

static void
record(unsigned int who, uint32_t type, uint8_t id, const uint8_t *data,
    size_t len)
{
	struct child *c;
	struct slot *s;

	if (who < WHO_CHILDREN)
		say(child_of(who), type, id, data, len);
	else if (who == WHO_LOST) {
		c = child_of(type % WHO_CHILDREN);
		if (c->pid != 0)
			(void)kill(c->pid, SIGKILL);
	} else if (who == WHO_EXIT) {
		s = slot_of_process(id);
		if (s != NULL && (s->flags & IS_LIVE))
			(void)kill(s->pid, SIGKILL);
	} else
		reap_all();
}

/* ---- the beginning and the end ----------------------------------------- */

static void
init(void)
{
	static char *environment[] = {"PATH=/bin:/usr/bin", NULL};

	environ = environment;
	check(signal(SIGPIPE, SIG_IGN) != SIG_ERR);
	instance.uid = 1000;
	instance.gid = 1000;
	instance.file = "/dev/null";
	instance.libexec = "/none";
	instance.null = (int)syscall(SYS_openat, -100, "/dev/null", 2, 0);
	memcpy(instance.boot, "01234567", 9);
	memcpy(instance.directory, "/", 2);
	parent.base = event_base_new();
	parent.guard = -1;
	check(parent.base != NULL);
	stream_init();
	children_init();
	spawn_init();
}

static void
put_word(struct wire *w, const char *text)
{
	wire_put_u32(w, 1);
	wire_put_u8(w, SEGMENT_TEXT);
	wire_put_str(w, text);
}

static void
put_spec(struct wire *w, uint32_t flags, uint32_t sink)
{
	int i;

	wire_put_u32(w, flags);
	wire_put_str(w, "job");
	wire_put_str(w, "");
	wire_put_str(w, "");
	wire_put_u32(w, 0);
	wire_put_u32(w, NO_UMASK);
	wire_put_i32(w, NO_NICE);
	wire_put_u32(w, 0);
	wire_put_str(w, "/");
	wire_put_str(w, "/");
	wire_put_u32(w, 1);
	put_word(w, "/bin/sh");
	wire_put_u32(w, 0);
	wire_put_u8(w, STDIO_PIPE);
	wire_put_u8(w, STDIO_PIPE);
	wire_put_u8(w, STDIO_PIPE);
	for (i = 0; i < 2; i++) {
		wire_put_u32(w, STREAM_SHOW);
		wire_put_u64(w, DEFAULT_CAPTURE);
		wire_put_u32(w, i == 0 ? sink : NO_ENTRY);
		wire_put_str(w, "");
	}
	wire_put_u32(w, 0);
}

static void
stage(uint32_t number, uint8_t kind, const struct wire *content)
{
	struct wire w;

	wire_init(&w);
	wire_put_u32(&w, number);
	wire_put_u8(&w, kind);
	wire_put_bytes(&w, content->data, content->len);
	say(parent.manager, IMSG_ENTRY, 0, w.data, w.len);
	wire_free(&w);
}

/* Two specs, a probe, a log file, a socket to connect to, a file. */
static void
seal(void)
{
	static const uint32_t message_seal[3] = {
	    6, SEAL_VERIFIER | SEAL_RESOLVER, 1};
	struct wire w;
	uint32_t i;

	wire_init(&w);
	for (i = 0; i < 6; i++) {
		wire_reset(&w);
		if (i < 3) {
			put_spec(&w,
			    i == 2 ?
				SPEC_PROBE | SPEC_REPORT | SPEC_KEEP_FDS_ABOUT :
				0,
			    i == 1 ? 3 : NO_ENTRY);
			stage(i, ENTRY_SPEC, &w);
			continue;
		}
		wire_put_str(&w, "/file");
		if (i == 3) {
			wire_put_u8(&w, 1);
			wire_put_u32(&w, 0644);
		}
		wire_put_str(&w, "");
		wire_put_str(&w, "");
		stage(i,
		    i == 3     ? ENTRY_LOGFILE :
			i == 4 ? ENTRY_UNIX :
				 ENTRY_FILE,
		    &w);
	}
	wire_free(&w);
	say(parent.manager, IMSG_SEAL, 0, message_seal, sizeof(message_seal));
	check(parent.table != NULL && parent.table->count == 6);
}

static void
forget(struct slot *s)
{
	struct wire_reader r;
	uint32_t id;

	id = s->process;
	wire_read(&r, &id, sizeof(id));
	if (s->flags & IS_LIVE)
		(void)kill(s->pid, SIGKILL);
	else
		(void)reap_forget(&r);
}

/* All that there is can be ended and given up. */
static void
clear(void)
{
	struct slot *next;
	struct slot *s;
	unsigned int i;

	for (i = 0; i < 5; i++)
		child_stop(child_of(i));
	for (i = 0; i < MAX_WORKERS; i++)
		child_stop(&parent.workers[i]);
	child_stop(parent.checker);
	for (i = 0; i < 8 && (i == 0 || slot_next(NULL) != NULL); i++) {
		for (s = slot_next(NULL); s != NULL; s = next) {
			next = slot_next(s);
			forget(s);
		}
		reap();
		spawn_run();
	}
	check(slot_next(NULL) == NULL);
	reload_answer(0, "", 0);
	reap();
	table_free(parent.old);
	table_free(parent.staged);
	table_free(parent.table);
	parent.old = parent.staged = parent.table = NULL;
	snapshot_drop();
	parent.manager->restarts = parent.check->restarts = 0;
	parent.highest = 0;
	ndead = 0;
}

static void
begin(void)
{
	struct stat st;
	int memfd;

	memset(&st, 0, sizeof(st));
	/* Of the last input, or none. */
	snapshot_swap();
	snapshot_drop();
	memfd = snapshot_make(-1, ENOENT, &st);
	check(memfd != -1);
	snapshot_set(0, memfd, NULL);
	parent.manager->birth = BIRTH_BOOT;
	child_start(parent.manager);
	child_start(parent.relay);
	child_start(parent.workers);
}

static void
play(const uint8_t *data, size_t size)
{
	uint16_t type;
	uint16_t len;

	clone_fails = (data[0] & OPT_FAILS) != 0;
	if (data[0] & OPT_SEALED)
		seal();
	for (data++, size--; size >= 6; data += 6 + len, size -= 6 + len) {
		memcpy(&type, data + 1, sizeof(type));
		memcpy(&len, data + 4, sizeof(len));
		if (len > size - 6)
			len = (uint16_t)(size - 6);
		record(data[0] % WHO_COUNT, type, data[3], data + 6, len);
	}
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (size < 1)
		return 0;
	playing = 1;
	if (parent.base == NULL)
		init();
	begin();
	if (setjmp(the_end) == 0)
		play(data, size);
	else
		imsg_free(&imsg);
	clear();
	playing = 0;
	return 0;
}
