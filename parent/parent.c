#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <bsd/string.h>

#include "../common/footprint.h"
#include "../common/log.h"
#include "../common/title.h"
#include "parent.h"

/*
 * The loop of the privileged process, and what each of the others may ask
 * of it: one function a peer is the list of that.
 */

#define MIN_FILES 256 /* descriptors, for itself and some processes */
#define SWEEP_LIMIT (2 * SEC) /* then the guard goes on */
#define WORLD_LIMIT (2 * CHANNEL_QUEUE_LIMIT) /* bytes, to a manager */

struct parent parent;

static struct wire scratch;

struct wire *
message(void)
{
	wire_reset(&scratch);
	return &scratch;
}

void
send_wire(struct child *c, uint32_t type, uint32_t id, int fd)
{
	if (c->channel == NULL) {
		if (fd != -1)
			(void)close(fd);
		return;
	}
	(void)channel_send_wire(c->channel, type, id, fd, &scratch);
}

void
send_fd(struct child *c, uint32_t type, int fd)
{
	if (fd == -1)
		child_lacks(c);
	else
		send_wire(c, type, 0, fd);
}

struct wire *
message_of(const struct slot *s)
{
	wire_reset(&scratch);
	wire_put_u32(&scratch, s->process);
	wire_put_u32(&scratch, s->generation);
	return &scratch;
}

int
copy_fd(int fd)
{
	return fcntl(fd, F_DUPFD_CLOEXEC, 3);
}

void
event_start(struct event *ev, int fd, event_callback_fn fn, void *arg)
{
	const short what = fd == -1 ? 0 : EV_READ | EV_PERSIST;

	if (event_assign(ev, parent.base, fd, what, fn, arg) == -1 ||
	    (fd != -1 && event_add(ev, NULL) == -1))
		fatalx("event");
}

void
timer_set(struct event *ev, uint32_t ms)
{
	const struct timeval tv = {
	    (time_t)(ms / 1000), (suseconds_t)(ms % 1000) * 1000};

	(void)event_add(ev, &tv);
}

/* ---- the end ----------------------------------------------------------- */

void
parent_end(int code)
{
	log_init("parent", log_get_level(), NULL);
	lines_end();
	/* They die while we do; the guard inherits and reaps them. */
	children_kill();
	if (parent.table != NULL)
		socket_close_all(parent.table, NULL);
	if (parent.staged != NULL)
		socket_close_all(parent.staged, NULL);
	if (group_any())
		guard_sweep(SWEEP_LIMIT);
	if (strncmp(instance.root, "/tmp/", 5) == 0)
		(void)rmdir(instance.root);
	_exit(code);
}

static void
guard_cb(int fd, short events, void *arg)
{
	(void)fd;
	(void)events;
	(void)arg;
	/* It never writes: it has gone. */
	log_errorx("the guard has gone: ending all");
	if (parent.table != NULL)
		socket_close_all(parent.table, NULL);
	guard_sweep(SWEEP_LIMIT);
	guard_remove();
	_exit(1);
}

void
guard_tell(char kind, const void *data, size_t len)
{
	char buf[MAX_GUARD_MESSAGE];

	if (len >= sizeof(buf))
		return;
	buf[0] = kind;
	memcpy(buf + 1, data, len);
	(void)!send(parent.guard, buf, len + 1, MSG_NOSIGNAL | MSG_DONTWAIT);
}

/* ---- the state of the world -------------------------------------------- */

static void
world_proc(const struct slot *s)
{
	struct wire *w;

	w = message();
	wire_put_u32(w, s->process);
	wire_put_u32(w, s->generation);
	wire_put_u32(w, s->entry);
	wire_put_u32(w, s->instance);
	wire_put_u8(w,
	    s->state == SLOT_EXITED && (s->flags & IS_ACKED) ? SLOT_LEFT :
							       s->state);
	wire_put_i32(w, s->pid);
	wire_put_u64(w, s->started);
	wire_put_i32(w, s->status);
	wire_put_u64(w, s->ended);
	wire_put_u8(w, s->stage);
	wire_put_i32(w, s->error);
	wire_put_u8(w, (s->flags & IS_LEFT) != 0);
	wire_put_u32(w, slot_index(s));
	send_wire(parent.manager, IMSG_WORLD_PROC, 0, -1);
}

/* Our own lines go the way of all others' while somebody takes them. */
static void
log_to_manager(enum log_level level, const char *text)
{
	struct wire w;

	wire_init(&w);
	wire_put_u8(&w, (uint8_t)level);
	wire_put_str(&w, "parent");
	wire_put_str(&w, text);
	if (wire_check(&w) == 0)
		lines_send(w.data, w.len);
	wire_free(&w);
}

void
parent_world(void)
{
	struct slot *s;

	/* As many blobs and processes as there can be must find room. */
	if (parent.manager->channel != NULL)
		channel_set_limit(parent.manager->channel, WORLD_LIMIT);
	(void)message();
	send_fd(parent.manager, IMSG_SEQUENCE_PAGE, copy_fd(parent.page));
	for (s = slot_next(NULL); s != NULL; s = slot_next(s))
		world_proc(s);
	blob_world();
	wire_put_u32(message(), parent.highest);
	send_wire(parent.manager, IMSG_WORLD_END, 0, -1);
	if (parent.manager->channel == NULL)
		return; /* lost meanwhile */
	parent.manager->phase = MANAGER_READY;
	log_init("parent", log_get_level(), log_to_manager);
	lines_again();
	spawn_forget_groups();
	signal_manager_ready();
}

/* ---- messages ---------------------------------------------------------- */

static int
got_log(struct child *c, struct wire_reader *r)
{
	static const char *const names[] = {[ROLE_MANAGER] = "manager",
	    [ROLE_VERIFIER] = "verifier",
	    [ROLE_RESOLVER] = "resolver",
	    [ROLE_RELAY] = "relay",
	    [ROLE_HTTPD] = "httpd"};
	struct wire_reader all;
	char program[64];
	char text[4200];
	uint8_t level;

	all = *r;
	level = wire_get_u8(r);
	wire_get_string(r, program, sizeof(program));
	wire_get_string(r, text, sizeof(text));
	/* Nobody speaks in the name of another. */
	if (wire_end(r) == -1 || level > LOG_LEVEL_DEBUG ||
	    strcmp(program, names[c->role]) != 0 || !child_may_log(c))
		return -1;
	/* The last word of one that ends is not told by itself. */
	if (c == parent.manager && level == LOG_LEVEL_ERROR)
		log_init("parent", log_get_level(), NULL);
	else if (parent.manager->phase == MANAGER_READY &&
	    parent.manager->channel != NULL) {
		lines_send(all.next, all.left);
		return 0;
	}
	lines_write(level, program, text);
	return 0;
}

/* CFG_VERDICT: the configuration is refused, or checked. */
static int
got_verdict(struct child *c, struct wire_reader *r)
{
	const char *text;
	size_t len;
	uint8_t code;
	uint8_t stream;

	code = wire_get_u8(r);
	stream = wire_get_u8(r);
	text = wire_get_view(r, CHANNEL_MAX_MESSAGE, &len);
	if (wire_end(r) == -1 || stream < STDOUT_FILENO ||
	    stream > STDERR_FILENO)
		return -1;
	if (c->birth == BIRTH_CHECK) {
		reload_answer(code, text, len);
		return 0;
	}
	if (c->birth != BIRTH_BOOT || c->phase == MANAGER_READY)
		return -1;
	/* Said and not written is no success. */
	errno = 0;
	if (write(stream, text, len) != (ssize_t)len) {
		log_warn("standard %s",
		    stream == STDOUT_FILENO ? "output" : "error");
		if (code == 0)
			code = 1;
	}
	parent_end(code);
}

/* Before the seal a manager can stage; nothing else. */
static int
manager_stages(struct child *c, uint32_t type, struct wire_reader *r)
{
	char path[PATH_MAX];

	switch (type) {
	case IMSG_CFG_INCLUDE:
		wire_get_string(r, path, sizeof(path));
		if (wire_end(r) == -1 || c->phase != MANAGER_STAGING)
			return -1;
		return snapshot_include(c, path);
	case IMSG_CFG_VERDICT:
		return got_verdict(c, r);
	case IMSG_ENTRY:
	case IMSG_ENTRY_BEGIN:
	case IMSG_ENTRY_DATA:
		if (c->phase != MANAGER_STAGING || c->birth == BIRTH_CRASH)
			return -1;
		if (parent.staged == NULL)
			parent.staged = table_new();
		if (parent.staged == NULL)
			return -1;
		return table_message(parent.staged, type, r);
	case IMSG_SEAL:
		if (c->phase != MANAGER_STAGING)
			return -1;
		return seal_begin(c, r);
	default:
		return -1;
	}
}

static int
got_code(struct wire_reader *r, uint8_t *code)
{
	*code = wire_get_u8(r);
	return wire_end(r);
}

static int
manager_asks(uint32_t type, uint32_t id, struct wire_reader *r)
{
	const char *text;
	size_t len;
	uint8_t code;

	switch (type) {
	case IMSG_PROC_SPAWN:
		return spawn_request(r);
	case IMSG_PROC_SIGNAL:
		return group_signal(r);
	case IMSG_PROC_KILL:
		return group_kill(r);
	case IMSG_PROC_ACK:
		return reap_ack(r);
	case IMSG_PROC_FORGET:
		return reap_forget(r);
	case IMSG_PROC_BARRIER:
		return wire_end(r) == -1 ? -1 : spawn_barrier(id);
	case IMSG_PROC_STDIN:
		return input_write(r);
	case IMSG_PROC_STATS:
		return stats_answer(r);
	case IMSG_BLOB_SET:
		return blob_set(r);
	case IMSG_FILE_STAT:
		return logfile_stat(id, r);
	case IMSG_CONSOLE_WRITE:
	case IMSG_CONSOLE_FLUSH:
	case IMSG_LOGFILE_WRITE:
		return stream_forward(type, id, r->next, r->left);
	case IMSG_LOG_TAKEN:
		return lines_taken(id, r);
	case IMSG_DAEMON_READY:
		if (got_code(r, &code) == -1)
			return -1;
		guard_tell(GUARD_READY, &code, 1);
		return 0;
	case IMSG_REOPEN:
		if (wire_end(r) == -1)
			return -1;
		signal_done(SIGUSR1);
		logfile_reopen();
		return 0;
	case IMSG_RELOAD:
		return wire_end(r) == -1 ? -1 : reload_begin(id);
	case IMSG_ADOPTED:
		return wire_end(r) == -1 ? -1 : seal_adopted();
	case IMSG_NOTIFY:
	case IMSG_SYSLOG:
		text = wire_get_view(r, MAX_GUARD_MESSAGE - 1, &len);
		if (wire_end(r) == -1)
			return -1;
		guard_tell(type == IMSG_NOTIFY ? GUARD_NOTIFY : GUARD_SYSLOG,
		    text, len);
		return 0;
	default:
		return -1;
	}
}

static int
manager_dispatch(
    struct child *c, uint32_t type, uint32_t id, struct wire_reader *r)
{
	uint8_t code;

	if (type == IMSG_QUIT && c == parent.manager) {
		if (got_code(r, &code) == -1)
			return -1;
		parent_end(code);
	}
	/* Texts about the configuration come before the seal. */
	if (c == parent.manager &&
	    (c->phase == MANAGER_READY || type == IMSG_CONSOLE_WRITE ||
		type == IMSG_LOGFILE_WRITE || type == IMSG_DAEMON_READY))
		return manager_asks(type, id, r);
	return manager_stages(c, type, r);
}

int
parent_dispatch(struct channel *channel, struct imsg *imsg, void *arg)
{
	struct wire_reader r;
	struct child *c;
	uint32_t type;
	uint32_t id;

	(void)channel;
	c = arg;
	type = imsg_get_type(imsg);
	id = imsg_get_id(imsg);
	message_read(&r, imsg);
	if (type == IMSG_LOG)
		return got_log(c, &r);
	if (type == IMSG_PEER_BAD || type == IMSG_PEER_LATE)
		return child_accused(c, type, &r);
	if (type == IMSG_ALIVE)
		return late_alive(c, &r);
	switch (c->role) {
	case ROLE_MANAGER:
		return manager_dispatch(c, type, id, &r);
	case ROLE_RELAY:
		if (type == IMSG_STREAM_JOURNAL_WANTED)
			return stream_journal_wanted(&r);
		return type == IMSG_STREAM_CLOSED ? stream_closed(&r) : -1;
	case ROLE_VERIFIER:
		if (type == IMSG_UNIX_CONNECT)
			return socket_connect(id, &r);
		if (type != IMSG_RESOLVER_WANTED || wire_end(&r) == -1 ||
		    !(parent.table->flags & SEAL_RESOLVER))
			return -1;
		child_start(parent.resolver);
		return 0;
	case ROLE_HTTPD: /* only the checker has something to say */
		return c == parent.checker && type == IMSG_TLS_VERDICT ?
		    tls_verdict(&r) :
		    -1;
	default: /* the resolver has nothing to ask */
		return -1;
	}
}

/* ---- start ------------------------------------------------------------- */

static int
is_root(const char *path)
{
	struct stat st;

	(void)strlcpy(instance.root, path, sizeof(instance.root));
	return lstat(path, &st) == 0 && S_ISDIR(st.st_mode) && st.st_uid == 0 &&
	    (st.st_mode & 022) == 0;
}

/*
 * An empty directory for the components' chroot(2): that of a package, one
 * that we make, or one of our own.
 */
static void
make_root(void)
{
	static const char installed[] = STATEDIR "/muster/empty";
	static const char made[] = RUNDIR "/muster/empty";

	if (instance.uid != 0 || is_root(installed))
		return;
	(void)mkdir(RUNDIR "/muster", 0755);
	if ((mkdir(made, 0755) == 0 || errno == EEXIST) && is_root(made))
		return;
	(void)strlcpy(
	    instance.root, "/tmp/muster-empty-XXXXXX", sizeof(instance.root));
	if (mkdtemp(instance.root) == NULL || chmod(instance.root, 0755) == -1)
		fatal("%s", instance.root);
}

static void
raise_limit(void)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) == -1)
		fatal("getrlimit");
	if (limit.rlim_max < MIN_FILES)
		fatalx("%ju open files are too few, want %d (ulimit -Hn)",
		    (uintmax_t)limit.rlim_max, MIN_FILES);
	instance.nofile = limit.rlim_cur;
	limit.rlim_cur = limit.rlim_max;
	if (setrlimit(RLIMIT_NOFILE, &limit) == -1)
		log_warn("setrlimit");
}

static void
first_snapshot(int config)
{
	struct stat st;
	int memfd;

	if (fstat(config, &st) == -1)
		fatal("%s", instance.file);
	memfd = snapshot_make(config, 0, &st);
	if (memfd == -1) {
		(void)printf("Error while loading file %s: %s.\n",
		    instance.file, strerrordesc_np(errno));
		(void)fflush(stdout);
		_exit(2);
	}
	(void)close(config);
	snapshot_set(0, memfd, &st);
}

/* Their programs load while the manager reads its configuration. */
static void
first_children(void)
{
	parent.manager->birth = BIRTH_BOOT;
	child_start(parent.manager);
	if (options['n'] != NULL)
		return;
	child_start(parent.relay);
	child_start(&parent.workers[0]);
}

void
parent_run(int config, int guard)
{
	struct event event;

	/* A terminal's ^C is the guard's to hand on. */
	if (setpgid(0, 0) == -1 || prctl(PR_SET_CHILD_SUBREAPER, 1) == -1)
		fatal("parent");
	raise_limit();
	make_root();
	parent.guard = guard;
	parent.base = event_base_new();
	if (parent.base == NULL)
		fatalx("event_base_new");
	wire_init(&scratch);
	signal_init();
	stream_init();
	spawn_init();
	children_init();
	event_start(&event, guard, guard_cb, NULL);
	first_snapshot(config);
	users_components(first_children);
	title_set("musterd: parent");
	footprint_trim_later(parent.base);
	(void)event_base_dispatch(parent.base);
	fatalx("event loop");
}
