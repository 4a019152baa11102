#include <sys/types.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <bsd/string.h>

#include <cmocka.h>

#include "fixture.h"

#define CHUNK (100 * 1000L * LINE)
#define RELAY_FD 3

/* ---- the programs ---------------------------------------------------------
 */

static void
make_channel(struct imsgbuf *buf, int *ours, int *theirs)
{
	int fds[2];

	assert_int_equal(
	    socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), 0);
	assert_int_equal(fcntl(fds[0], F_SETFL, O_NONBLOCK), 0);
	assert_int_equal(imsgbuf_init(buf, fds[0]), 0);
	imsgbuf_allow_fdpass(buf);
	assert_int_equal(imsgbuf_set_maxsize(buf, 65536 - 16), 0);
	*ours = fds[0];
	*theirs = fds[1];
}

static void
drop_channel(struct imsgbuf *buf, int *fd)
{
	if (*fd == -1)
		return;
	imsgbuf_clear(buf);
	(void)close(*fd);
	*fd = -1;
}

static void
relay_path(char *path, size_t size)
{
	/* NOLINTNEXTLINE(concurrency-mt-unsafe) no threads */
	const char *given = getenv("RELAY_BIN");
	/* NOLINTNEXTLINE(concurrency-mt-unsafe) */
	const char *obj = getenv("OBJ");

	if (given != NULL)
		(void)snprintf(path, size, "%s", given);
	else
		(void)snprintf(path, size, "%s/libexec/muster/muster-relay",
		    obj != NULL ? obj : "obj");
}

static void
exec_relay(int fd)
{
	char path[256];
	int null;

	relay_path(path, sizeof(path));
	null = open("/dev/null", O_RDWR | O_CLOEXEC);
	if (null == -1 || dup2(null, 0) == -1 || dup2(null, 1) == -1)
		_exit(126);
	if (fd == RELAY_FD)
		(void)fcntl(fd, F_SETFD, 0);
	else if (dup2(fd, RELAY_FD) == -1)
		_exit(126);
	closefrom(RELAY_FD + 1);
	execl(path, path, "-i", "0", (char *)NULL);
	_exit(127);
}

static void
send_to(struct imsgbuf *buf, uint32_t type, uint32_t id, int fd,
    const void *data, size_t len)
{
	assert_int_equal(imsg_compose(buf, type, id, 0, fd, data, len), 1);
	assert_int_equal(imsgbuf_flush(buf), 0);
}

void
rig_send(
    struct rig *r, uint32_t type, uint32_t id, int fd, const struct wire *w)
{
	send_to(&r->parent, type, id, fd, w == NULL ? NULL : w->data,
	    w == NULL ? 0 : w->len);
}

static int
copy_of(int fd)
{
	int copy = fcntl(fd, F_DUPFD_CLOEXEC, 3);

	assert_true(copy != -1);
	return copy;
}

static void
send_peer(struct rig *r, uint8_t role, int fd)
{
	struct wire w;

	wire_init(&w);
	wire_put_u8(&w, role);
	wire_put_u32(&w, 0);
	rig_send(r, IMSG_PEER, 0, fd, &w);
	wire_free(&w);
}

void
rig_connect_manager(struct rig *r)
{
	int theirs;

	drop_channel(&r->manager, &r->manager_fd);
	make_channel(&r->manager, &r->manager_fd, &theirs);
	send_peer(r, ROLE_MANAGER, theirs);
}

void
rig_connect_worker(struct rig *r)
{
	int theirs;

	drop_channel(&r->worker, &r->worker_fd);
	make_channel(&r->worker, &r->worker_fd, &theirs);
	send_peer(r, ROLE_HTTPD, theirs);
}

static void
send_sink(struct rig *r, const struct rig_sink *k, uint32_t more)
{
	struct wire w;

	wire_init(&w);
	wire_put_u32(&w, k->number);
	wire_put_u32(&w, k->flags | more);
	rig_send(r, IMSG_SINK_OPEN, 0, copy_of(k->fd), &w);
	wire_free(&w);
}

static void
send_console(struct rig *r, int number)
{
	struct wire w;

	wire_init(&w);
	wire_put_u8(&w, (uint8_t)number);
	wire_put_u32(&w, r->console_flags[number - 1]);
	rig_send(
	    r, IMSG_CONSOLE_OPEN, 0, copy_of(r->console_fd[number - 1]), &w);
	wire_free(&w);
}

static void
send_journal(struct rig *r, const struct rig_stream *s)
{
	struct wire w;

	wire_init(&w);
	wire_put_u32(&w, s->process);
	wire_put_u8(&w, s->number);
	rig_send(r, IMSG_STREAM_JOURNAL, 0, copy_of(s->journal), &w);
	wire_free(&w);
}

void
rig_send_open(struct rig *r, struct rig_stream *s, int with_pipe)
{
	struct wire w;

	wire_init(&w);
	wire_put_u32(&w, s->process);
	wire_put_u32(&w, s->generation);
	wire_put_u8(&w, s->number);
	wire_put_u32(&w, s->cell);
	wire_put_u32(&w, s->flags);
	wire_put_u64(&w, s->capture);
	wire_put_u32(&w, s->sink);
	wire_put_str(&w, s->prefix);
	rig_send(
	    r, IMSG_STREAM_OPEN, 0, with_pipe ? copy_of(s->reader) : -1, &w);
	wire_free(&w);
}

void
rig_start(struct rig *r)
{
	struct wire w;
	size_t i;
	int theirs;

	make_channel(&r->parent, &r->parent_fd, &theirs);
	r->relay = fork();
	assert_true(r->relay != -1);
	if (r->relay == 0)
		exec_relay(theirs);
	(void)close(theirs);
	wire_init(&w);
	wire_put_u32(&w, RIG_CELLS);
	rig_send(r, IMSG_CELLS, 0, copy_of(r->cells_fd), &w);
	wire_free(&w);
	rig_connect_manager(r);
	rig_connect_worker(r);
	for (i = 0; i < 2; i++)
		if (r->console_fd[i] != -1)
			send_console(r, (int)i + 1);
	for (i = 0; i < RIG_SINKS; i++)
		if (r->sinks[i].fd != -1)
			send_sink(r, &r->sinks[i], 0);
	for (i = 0; i < RIG_STREAMS; i++)
		if (r->streams[i].process != 0)
			rig_send_open(
			    r, &r->streams[i], r->streams[i].reader != -1);
	for (i = 0; i < RIG_STREAMS; i++)
		if (r->streams[i].process != 0 && r->streams[i].journal != -1)
			send_journal(r, &r->streams[i]);
}

int
rig_wait_end(struct rig *r)
{
	int status;

	assert_int_equal(waitpid(r->relay, &status, 0), r->relay);
	r->relay = -1;
	drop_channel(&r->parent, &r->parent_fd);
	drop_channel(&r->manager, &r->manager_fd);
	drop_channel(&r->worker, &r->worker_fd);
	return status;
}

void
rig_kill(struct rig *r)
{
	int status;

	assert_int_equal(kill(r->relay, SIGKILL), 0);
	status = rig_wait_end(r);
	/* It must not have ended by itself. */
	if (!WIFSIGNALED(status) || WTERMSIG(status) != SIGKILL)
		fail_msg("the relay ended with status %x", status);
}

int
rig_setup(void **state)
{
	const char *tmp;
	struct rig *r;
	size_t i;

	(void)signal(SIGPIPE, SIG_IGN);
	r = calloc(1, sizeof(*r));
	assert_non_null(r);
	r->capture = DEFAULT_CAPTURE;
	r->parent_fd = r->manager_fd = r->worker_fd = -1;
	r->console_fd[0] = r->console_fd[1] = -1;
	for (i = 0; i < RIG_SINKS; i++)
		r->sinks[i].fd = -1;
	for (i = 0; i < RIG_STREAMS; i++) {
		r->streams[i].reader = -1;
		r->streams[i].writer = -1;
		r->streams[i].journal = -1;
	}
	/* NOLINTNEXTLINE(concurrency-mt-unsafe) */
	tmp = getenv("TMPDIR");
	assert_true(snprintf(r->dir, sizeof(r->dir), "%s/muster-relay.XXXXXX",
			tmp != NULL ? tmp : "/tmp") < (int)sizeof(r->dir));
	assert_non_null(mkdtemp(r->dir));
	r->cells_fd = memfd_create("cells", MFD_CLOEXEC);
	assert_true(r->cells_fd != -1);
	assert_int_equal(
	    ftruncate(r->cells_fd,
		(RIG_CELLS + 1) * (off_t)sizeof(struct stream_cell)),
	    0);
	r->cells = mmap(NULL, RIG_CELLS * sizeof(struct stream_cell),
	    PROT_READ | PROT_WRITE, MAP_SHARED, r->cells_fd, 0);
	assert_true(r->cells != MAP_FAILED);
	rig_start(r);
	*state = r;
	return 0;
}

static void
remove_dir(const char *path)
{
	struct dirent *e;
	char name[512];
	DIR *d;

	d = opendir(path);
	if (d == NULL)
		return;
	/* cppcheck-suppress readdirCalled */
	/* NOLINTNEXTLINE(concurrency-mt-unsafe) */
	while ((e = readdir(d)) != NULL) {
		(void)snprintf(name, sizeof(name), "%s/%s", path, e->d_name);
		if (e->d_type == DT_REG)
			(void)unlink(name);
	}
	(void)closedir(d);
	(void)rmdir(path);
}

int
rig_teardown(void **state)
{
	struct rig *r = *state;
	size_t i;

	if (r->relay > 0)
		rig_kill(r);
	rig_forget_streams(r);
	for (i = 0; i < RIG_SINKS; i++)
		(void)close(r->sinks[i].fd);
	rig_forget_answers(r);
	(void)close(r->console_fd[0]);
	(void)close(r->console_fd[1]);
	(void)munmap(r->cells, RIG_CELLS * sizeof(struct stream_cell));
	(void)close(r->cells_fd);
	remove_dir(r->dir);
	free(r);
	return 0;
}

/* ---- messages from the relay ----------------------------------------------
 */

static struct rig_stream *
find_stream(struct rig *r, uint32_t process, uint8_t number)
{
	size_t i;

	for (i = 0; i < RIG_STREAMS; i++)
		if (r->streams[i].process == process &&
		    r->streams[i].number == number)
			return &r->streams[i];
	return NULL;
}

static void
journal_wanted(struct rig *r, struct wire_reader *m)
{
	uint32_t process = wire_get_u32(m);
	uint8_t number = wire_get_u8(m);
	struct rig_stream *s = find_stream(r, process, number);
	size_t i;

	assert_int_equal(wire_end(m), 0);
	if (s == NULL)
		return;
	if (s->journal == -1)
		s->journal = memfd_create("journal", MFD_CLOEXEC);
	assert_true(s->journal != -1);
	/* Other generations of it share the journal. */
	for (i = 0; i < RIG_STREAMS; i++) {
		struct rig_stream *other = &r->streams[i];

		if (other->process != process || other->number != number)
			continue;
		other->wanted++;
		if (other->journal == -1)
			other->journal = copy_of(s->journal);
	}
	send_journal(r, s);
}

static void
stream_closed(struct rig *r, struct wire_reader *m)
{
	uint32_t process = wire_get_u32(m);
	uint32_t generation = wire_get_u32(m);
	uint8_t number = wire_get_u8(m);
	size_t i;

	assert_int_equal(wire_end(m), 0);
	for (i = 0; i < RIG_STREAMS; i++) {
		struct rig_stream *s = &r->streams[i];

		if (s->process != process || s->number != number ||
		    s->generation != generation)
			continue;
		s->closed = 1;
		(void)close(s->reader);
		s->reader = -1;
	}
}

void
rig_forget_answers(struct rig *r)
{
	while (r->answer_count > 0)
		free(r->answers[--r->answer_count].bytes);
}

static void
take_answer(struct rig *r, struct imsg *imsg, struct wire_reader *m)
{
	struct rig_answer *a;
	const void *bytes;

	/* More than a test looks at one by one. */
	if (r->answer_count == RIG_ANSWERS)
		rig_forget_answers(r);
	r->answer_total++;
	a = &r->answers[r->answer_count++];
	memset(a, 0, sizeof(*a));
	a->id = imsg_get_id(imsg);
	if (imsg_get_type(imsg) == IMSG_STREAM_READ_DONE) {
		a->error = wire_get_i32(m);
		a->offset = wire_get_u64(m);
		a->lost = wire_get_u64(m);
		a->generation = wire_get_u32(m);
		a->end = wire_get_u8(m);
	}
	bytes = wire_get_bytes(m, MAX_READ, &a->len);
	assert_int_equal(wire_end(m), 0);
	a->bytes = calloc(1, a->len + 1);
	assert_non_null(a->bytes);
	if (a->len > 0)
		memcpy(a->bytes, bytes, a->len);
}

static void
take_message(struct rig *r, struct imsg *imsg)
{
	struct wire_reader m;
	struct ibuf payload;
	uint32_t process;

	wire_read(&m, NULL, 0);
	if (imsg_get_ibuf(imsg, &payload) == 0)
		wire_read(&m, ibuf_data(&payload), ibuf_size(&payload));
	switch (imsg_get_type(imsg)) {
	case IMSG_STREAM_JOURNAL_WANTED:
		journal_wanted(r, &m);
		break;
	case IMSG_STREAM_CLOSED:
		stream_closed(r, &m);
		break;
	case IMSG_STREAM_DRAINED:
		process = wire_get_u32(&m);
		if (process < RIG_DRAINED)
			r->drained[process] = wire_get_u32(&m);
		r->drained_count++;
		break;
	case IMSG_CONSOLE_FLUSHED:
		r->flushed = imsg_get_id(imsg);
		r->flushed_count++;
		break;
	case IMSG_STREAM_READ_DONE:
	case IMSG_STREAM_TAIL_DONE:
		take_answer(r, imsg, &m);
		break;
	case IMSG_LOG:
		(void)wire_get_u8(&m);
		wire_get_string(&m, r->log, sizeof(r->log));
		wire_get_string(&m, r->log, sizeof(r->log));
		r->log_count++;
		break;
	case IMSG_PEER_BAD:
		assert_int_equal(wire_get_u8(&m), ROLE_HTTPD);
		(void)wire_get_u32(&m);
		assert_int_equal(wire_end(&m), 0);
		r->accused++;
		break;
	default:
		fail_msg("message %u of the relay", imsg_get_type(imsg));
	}
}

/* Returns -1 when the peer has gone. */
static int
take_messages(struct rig *r, struct imsgbuf *buf)
{
	struct imsg imsg;
	int more = imsgbuf_read(buf);

	if (more != 1)
		return -1;
	while (imsgbuf_get(buf, &imsg) == 1) {
		take_message(r, &imsg);
		imsg_free(&imsg);
	}
	return 0;
}

static long long
now_ms(void)
{
	struct timespec ts;

	(void)clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec * 1000LL + ts.tv_nsec / 1000000;
}

void
rig_run(struct rig *r, int ms)
{
	long long until = now_ms() + ms;

	for (;;) {
		struct pollfd p[3] = {{.fd = r->parent_fd, .events = POLLIN},
		    {.fd = r->manager_fd, .events = POLLIN},
		    {.fd = r->worker_fd, .events = POLLIN}};
		long long left = until - now_ms();
		int n = poll(p, 3, left > 0 ? (int)left : 0);

		if (n <= 0)
			return;
		if (p[0].revents && take_messages(r, &r->parent) == -1) {
			if (!r->may_end)
				fail_msg("the relay has ended");
			return;
		}
		if (p[1].revents && take_messages(r, &r->manager) == -1)
			drop_channel(&r->manager, &r->manager_fd);
		if (p[2].revents && take_messages(r, &r->worker) == -1)
			drop_channel(&r->worker, &r->worker_fd);
		if (left <= 0 && ms > 0)
			return;
	}
}

/* ---- what a test does
 * -------------------------------------------------------- */

struct rig_stream *
rig_open(struct rig *r, uint32_t process, uint32_t generation, uint8_t number,
    uint32_t flags, uint32_t sink)
{
	struct rig_stream *s;

	s = rig_prepare(r, process, generation, number, flags, sink);
	rig_send_open(r, s, 1);
	return s;
}

struct rig_stream *
rig_prepare(struct rig *r, uint32_t process, uint32_t generation,
    uint8_t number, uint32_t flags, uint32_t sink)
{
	const struct rig_stream *earlier = find_stream(r, process, number);
	struct rig_stream *s = NULL;
	size_t i;
	int fds[2];

	for (i = 0; i < RIG_STREAMS && s == NULL; i++)
		if (r->streams[i].process == 0)
			s = &r->streams[i];
	assert_non_null(s);
	assert_int_equal(pipe2(fds, O_CLOEXEC), 0);
	assert_int_equal(fcntl(fds[0], F_SETFL, O_NONBLOCK), 0);
	s->journal = earlier != NULL && earlier->journal != -1 ?
	    copy_of(earlier->journal) :
	    -1;
	s->process = process;
	s->generation = generation;
	s->number = number;
	s->flags = flags;
	s->sink = sink;
	s->cell = (process - 1) * CELLS_PER_SLOT + number - 1;
	s->capture = r->capture;
	(void)snprintf(s->prefix, sizeof(s->prefix), "p%u| ", process);
	s->reader = fds[0];
	s->writer = fds[1];
	s->closed = 0;
	s->wanted = 0;
	return s;
}

void
rig_exit(struct rig *r, uint32_t process, uint32_t generation)
{
	struct wire w;

	wire_init(&w);
	wire_put_u32(&w, process);
	wire_put_u32(&w, generation);
	rig_send(r, IMSG_STREAM_EXIT, 0, -1, &w);
	wire_free(&w);
}

static void
forget_stream(struct rig_stream *s)
{
	(void)close(s->reader);
	(void)close(s->writer);
	(void)close(s->journal);
	s->reader = s->writer = s->journal = -1;
	s->process = 0;
}

void
rig_forget_streams(struct rig *r)
{
	size_t i;

	for (i = 0; i < RIG_STREAMS; i++)
		forget_stream(&r->streams[i]);
}

void
rig_forget(struct rig *r, uint32_t process)
{
	struct wire w;
	size_t i;

	wire_init(&w);
	wire_put_u32(&w, process);
	rig_send(r, IMSG_STREAM_FORGET, 0, -1, &w);
	wire_free(&w);
	for (i = 0; i < RIG_STREAMS; i++)
		if (r->streams[i].process == process)
			forget_stream(&r->streams[i]);
}

static void
file_path(const struct rig *r, const char *name, char *path, size_t size)
{
	assert_true(snprintf(path, size, "%s/%s", r->dir, name) < (int)size);
}

int
rig_file(struct rig *r, const char *name, int flags)
{
	char path[256];
	int fd;

	file_path(r, name, path, sizeof(path));
	fd = open(path,
	    O_WRONLY | O_APPEND | O_CREAT | O_NONBLOCK | O_CLOEXEC | flags,
	    0600);
	assert_true(fd != -1);
	return fd;
}

void
rig_sink(struct rig *r, uint32_t number, uint32_t flags, int fd)
{
	struct rig_sink *k = NULL;
	size_t i;

	for (i = 0; i < RIG_SINKS && k == NULL; i++)
		if (r->sinks[i].fd != -1 && r->sinks[i].number == number)
			k = &r->sinks[i];
	for (i = 0; i < RIG_SINKS && k == NULL; i++)
		if (r->sinks[i].fd == -1)
			k = &r->sinks[i];
	assert_non_null(k);
	if (k->fd != -1)
		(void)close(k->fd);
	k->number = number;
	k->flags = flags & ~(uint32_t)SINK_FRESH;
	k->fd = fd;
	send_sink(r, k, flags & SINK_FRESH);
}

void
rig_console(struct rig *r, int number, uint32_t flags, int fd)
{
	if (r->console_fd[number - 1] != -1)
		(void)close(r->console_fd[number - 1]);
	r->console_fd[number - 1] = fd;
	r->console_flags[number - 1] = flags;
	send_console(r, number);
}

void
rig_text(struct rig *r, int number, const char *text)
{
	struct wire w;

	wire_init(&w);
	wire_put_u8(&w, (uint8_t)number);
	wire_put_bytes(&w, text, strlen(text));
	rig_send(r, IMSG_CONSOLE_WRITE, 0, -1, &w);
	wire_free(&w);
}

void
rig_read(struct rig *r, uint32_t id, uint32_t process, uint8_t number,
    int64_t from, uint32_t lines, uint8_t wait)
{
	struct wire w;

	wire_init(&w);
	wire_put_u32(&w, process);
	wire_put_u8(&w, number);
	wire_put_i64(&w, from);
	wire_put_u32(&w, lines);
	wire_put_u8(&w, wait);
	send_to(&r->worker, IMSG_STREAM_READ, id, -1, w.data, w.len);
	wire_free(&w);
}

void
rig_tail(struct rig *r, uint32_t id, uint32_t process, uint8_t number,
    uint32_t lines)
{
	struct wire w;

	wire_init(&w);
	wire_put_u32(&w, process);
	wire_put_u8(&w, number);
	wire_put_u32(&w, lines);
	send_to(&r->manager, IMSG_STREAM_TAIL, id, -1, w.data, w.len);
	wire_free(&w);
}

struct rig_answer *
rig_answered(struct rig *r, uint32_t id)
{
	size_t i;

	for (i = 0; i < r->answer_count; i++)
		if (r->answers[i].id == id)
			return &r->answers[i];
	return NULL;
}

struct rig_answer *
rig_answer(struct rig *r, uint32_t id)
{
	rig_until(r, rig_answered(r, id) != NULL);
	return rig_answered(r, id);
}

void
rig_write(struct rig *r, int fd, const void *bytes, size_t len)
{
	const char *p = bytes;
	int tries = 0;

	assert_int_equal(fcntl(fd, F_SETFL, O_NONBLOCK), 0);
	while (len > 0) {
		ssize_t n = write(fd, p, len);

		if (n == -1) {
			assert_int_equal(errno, EAGAIN);
			if (tries++ > 5000)
				fail_msg("the pipe is not read");
			rig_run(r, 2);
			continue;
		}
		tries = 0;
		p += n;
		len -= (size_t)n;
		rig_run(r, 0);
	}
	assert_int_equal(fcntl(fd, F_SETFL, 0), 0);
}

void
rig_puts(struct rig *r, int fd, const char *text)
{
	rig_write(r, fd, text, strlen(text));
}

char *
rig_content(struct rig *r, const char *name, size_t *len)
{
	struct stat st;
	char path[256];
	char *bytes;
	int fd;

	file_path(r, name, path, sizeof(path));
	fd = open(path, O_RDONLY | O_CLOEXEC);
	assert_true(fd != -1);
	assert_int_equal(fstat(fd, &st), 0);
	*len = (size_t)st.st_size;
	bytes = malloc(*len + 1);
	assert_non_null(bytes);
	assert_int_equal(read(fd, bytes, *len), *len);
	bytes[*len] = '\0';
	(void)close(fd);
	return bytes;
}

void
rig_wait_length(struct rig *r, const char *name, size_t len)
{
	struct stat st;
	char path[256];

	file_path(r, name, path, sizeof(path));
	rig_until(r, stat(path, &st) == 0 && st.st_size == (off_t)len);
}

void
rig_wait_more(struct rig *r, const char *name)
{
	struct stat st;
	char path[256];

	file_path(r, name, path, sizeof(path));
	rig_until(r, stat(path, &st) == 0 && st.st_size > 0);
}

/* ---- numbered lines
 * -------------------------------------------------------------- */

static void
make_line(char *line, uint64_t number)
{
	char digits[32];

	memset(line, 'a' + (int)(number % 26), LINE);
	(void)snprintf(
	    digits, sizeof(digits), "%012llu ", (unsigned long long)number);
	memcpy(line, digits, 13);
	line[LINE - 1] = '\n';
}

uint64_t
rig_number(const char *text, const char **end)
{
	uint64_t number = 0;

	while (*text == ' ' || *text == '\t')
		text++;
	assert_in_range(*text, '0', '9');
	for (; *text >= '0' && *text <= '9'; text++)
		number = number * 10 + (uint64_t)(*text - '0');
	if (end != NULL)
		*end = text;
	return number;
}

uint64_t
rig_line_number(const char *line)
{
	const char *end;
	uint64_t number = rig_number(line, &end);

	assert_ptr_equal(end, line + 12);
	return number;
}

void
rig_check_lines(const char *bytes, size_t len, uint64_t from)
{
	char line[LINE];
	size_t at;

	for (at = 0; at + LINE <= len; at += LINE, from++) {
		make_line(line, from);
		if (memcmp(bytes + at, line, LINE) != 0)
			fail_msg("at %zu: \"%.30s\" instead of \"%.30s\"", at,
			    bytes + at, line);
	}
	assert_int_equal(at, len);
}

void
rig_check_part(const char *bytes, size_t len, uint64_t from)
{
	size_t skip = from % LINE == 0 ? 0 : LINE - from % LINE;

	if (skip > len)
		skip = len;
	rig_check_lines(
	    bytes + skip, (len - skip) / LINE * LINE, (from + skip) / LINE);
}

void
rig_check_file(struct rig *r, const char *name, uint64_t from, uint64_t len)
{
	struct stat st;
	char path[256];
	char *buf;
	uint64_t at;
	ssize_t n;
	int fd;

	file_path(r, name, path, sizeof(path));
	fd = open(path, O_RDONLY | O_CLOEXEC);
	assert_true(fd != -1);
	assert_int_equal(fstat(fd, &st), 0);
	assert_int_equal(st.st_size, len);
	buf = malloc(CHUNK);
	assert_non_null(buf);
	for (at = 0; at < len; at += (uint64_t)n) {
		n = read(fd, buf, CHUNK);
		assert_true(n > 0);
		rig_check_part(buf, (size_t)n, from + at);
	}
	free(buf);
	(void)close(fd);
}

static void
write_lines(int fd, size_t block, size_t total, int upper)
{
	size_t lines = block / LINE;
	uint64_t number = 0;
	char *buf;

	buf = malloc(block);
	if (buf == NULL)
		_exit(1);
	while (number < total / LINE) {
		size_t len = 0;
		size_t at;
		size_t i;

		for (i = 0; i < lines && number < total / LINE; i++) {
			make_line(buf + len, number++);
			if (upper)
				buf[len + LINE / 2] = 'X';
			len += LINE;
		}
		for (at = 0; at < len;) {
			ssize_t n = write(fd, buf + at, len - at);

			if (n == -1)
				_exit(2);
			at += (size_t)n;
		}
	}
	free(buf);
}

pid_t
rig_writer(struct rig *r, struct rig_stream *s, size_t block, size_t total)
{
	return rig_writer_case(r, s, block, total, 0);
}

pid_t
rig_writer_case(
    struct rig *r, struct rig_stream *s, size_t block, size_t total, int upper)
{
	pid_t pid;

	(void)r;
	pid = fork();
	assert_true(pid != -1);
	if (pid == 0) {
		(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
		if (dup2(s->writer, RELAY_FD) == -1)
			_exit(3);
		closefrom(RELAY_FD + 1);
		write_lines(RELAY_FD, block, total, upper);
		_exit(0);
	}
	(void)close(s->writer);
	s->writer = -1;
	return pid;
}
