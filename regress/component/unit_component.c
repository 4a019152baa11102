/* sources: common/component.c common/channel.c common/imsg.c */
/* sources: common/imsg_buffer.c common/wire.c common/log.c */
/* sources: common/footprint.c common/title.c common/sandbox_linux.c */
/* libs: event_core bsd seccomp cmocka */
/*
 * The test program is a component itself when it is started by that name:
 * `component -i INSTANCE ...`.
 */
#include <sys/types.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "component.h"
#include "imsg.h"
#include "log.h"
#include "message.h"
#include "wire.h"

/* What the component is told to do, as types of messages. */
enum order {
	ORDER_ECHO = 1000,
	ORDER_LOG,
	ORDER_DEBUG,
	ORDER_FATAL,
	ORDER_FORK,
	ORDER_REFUSE,
};

static char empty[] = "/tmp/muster-component-XXXXXX";

/*
 * The component.
 */

static int prepared;

static int
dispatch(struct channel *c, struct imsg *imsg, void *arg)
{
	const struct component *self = arg;

	switch (imsg_get_type(imsg)) {
	case ORDER_ECHO:
		return channel_send(
		    c, ORDER_ECHO, (uint32_t)self->instance, -1, "echo", 4);
	case ORDER_LOG:
		log_warnx("line\nbreak");
		return 0;
	case ORDER_DEBUG:
		log_debug("debug");
		return 0;
	case ORDER_FATAL:
		fatalx("the end");
	case ORDER_FORK:
		(void)syscall(SYS_getppid);
		return 0;
	default:
		return -1;
	}
}

static void
prepare(struct component *self)
{
	if (access("/", F_OK) == -1 || self->base == NULL)
		fatal("prepare: no root directory yet");
	prepared = 1;
	/* Given to dispatch() although the channel is there already. */
	self->arg = self;
}

static void
ready(struct component *self)
{
	if (!prepared)
		fatalx("ready: before prepare");
	if (channel_send(self->parent, ORDER_ECHO, 77, -1, NULL, 0) == -1)
		fatalx("ready: channel_send");
}

/*
 * The parent.
 */

struct child {
	pid_t pid;
	int fd;
	struct imsgbuf imsgbuf;
};

/* Up to four more arguments. */
static void
start(struct child *child, const char *a, const char *b, const char *c)
{
	const char *argv[16] = {"component", "-i", "3"};
	int argc = 3;
	int sv[2];

	assert_int_equal(
	    socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, sv), 0);
	if (geteuid() == 0) {
		argv[argc++] = "-u";
		argv[argc++] = "65534";
		argv[argc++] = "-g";
		argv[argc++] = "65534";
		argv[argc++] = "-r";
		argv[argc++] = empty;
	}
	argv[argc++] = a;
	argv[argc++] = b;
	argv[argc++] = c;
	argv[argc] = NULL;
	child->pid = fork();
	assert_int_not_equal(child->pid, -1);
	if (child->pid == 0) {
		int null = open("/dev/null", O_RDWR | O_CLOEXEC);

		if (null == -1 || dup2(null, STDERR_FILENO) == -1)
			_exit(120);
		/* dup2 to itself would leave it close-on-exec. */
		if (sv[1] == COMPONENT_FD ? fcntl(sv[1], F_SETFD, 0) == -1 :
					    dup2(sv[1], COMPONENT_FD) == -1)
			_exit(121);
		(void)execv("/proc/self/exe", (char *const *)(uintptr_t)argv);
		_exit(122);
	}
	assert_int_equal(close(sv[1]), 0);
	child->fd = sv[0];
	assert_int_equal(imsgbuf_init(&child->imsgbuf, child->fd), 0);
}

static void
order(struct child *child, uint32_t type)
{
	assert_int_equal(
	    imsg_compose(&child->imsgbuf, type, 0, 0, -1, NULL, 0), 1);
	assert_int_equal(imsgbuf_flush(&child->imsgbuf), 0);
}

/* The next message; its type, or 0 at the end. */
static uint32_t
answer(struct child *child, struct imsg *imsg)
{
	int n;

	for (;;) {
		n = imsgbuf_get(&child->imsgbuf, imsg);
		assert_int_not_equal(n, -1);
		if (n == 1)
			return imsg_get_type(imsg);
		n = imsgbuf_read(&child->imsgbuf);
		if (n != 1)
			return 0;
	}
}

static void
expect_log(struct child *child, enum log_level level, const char *text)
{
	struct wire_reader r;
	struct ibuf ibuf;
	struct imsg imsg;
	char program[64];
	char line[256];

	assert_int_equal(answer(child, &imsg), IMSG_LOG);
	assert_int_equal(imsg_get_ibuf(&imsg, &ibuf), 0);
	wire_read(&r, ibuf_data(&ibuf), ibuf_size(&ibuf));
	assert_int_equal(wire_get_u8(&r), level);
	wire_get_string(&r, program, sizeof(program));
	wire_get_string(&r, line, sizeof(line));
	assert_int_equal(wire_end(&r), 0);
	assert_string_equal(program, "httpd");
	if (text != NULL)
		assert_string_equal(line, text);
	imsg_free(&imsg);
}

/* It has entered the sandbox and says so. */
static void
expect_ready(struct child *child)
{
	struct imsg imsg;

	assert_int_equal(answer(child, &imsg), ORDER_ECHO);
	assert_int_equal(imsg_get_id(&imsg), 77);
	imsg_free(&imsg);
}

static int
end(struct child *child)
{
	int status;

	imsgbuf_clear(&child->imsgbuf);
	assert_int_equal(close(child->fd), 0);
	assert_int_equal(waitpid(child->pid, &status, 0), child->pid);
	return status;
}

static void
expect_title(pid_t pid, const char *title)
{
	char path[64];
	char text[256];
	ssize_t n;
	int fd;

	(void)snprintf(path, sizeof(path), "/proc/%d/cmdline", (int)pid);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	assert_int_not_equal(fd, -1);
	n = read(fd, text, sizeof(text) - 1);
	assert_in_range(n, 1, sizeof(text) - 1);
	text[n] = '\0';
	assert_string_equal(text, title);
	/* It is one string, and no empty ones after it. */
	assert_int_equal(n, strlen(title) + 1);
	assert_int_equal(close(fd), 0);
}

static void
life_test(void **state)
{
	struct child child;
	struct imsg imsg;

	(void)state;
	start(&child, NULL, NULL, NULL);
	expect_ready(&child);
	expect_title(child.pid, "musterd: httpd 3");
	order(&child, ORDER_ECHO);
	assert_int_equal(answer(&child, &imsg), ORDER_ECHO);
	assert_int_equal(imsg_get_id(&imsg), 3);
	assert_int_equal(imsg_get_len(&imsg), 4);
	imsg_free(&imsg);
	/* The level was not asked for. */
	order(&child, ORDER_DEBUG);
	order(&child, ORDER_LOG);
	expect_log(&child, LOG_LEVEL_WARNING, "line\\nbreak");
	/* The parent has gone. */
	assert_int_equal(end(&child), 0);
}

static void
level_test(void **state)
{
	struct child child;

	(void)state;
	start(&child, "-v", "3", NULL);
	/* How many calls the sandbox allows. */
	expect_log(&child, LOG_LEVEL_DEBUG, NULL);
	expect_ready(&child);
	order(&child, ORDER_DEBUG);
	expect_log(&child, LOG_LEVEL_DEBUG, "debug");
	assert_int_equal(end(&child), 0);
}

static void
fatal_test(void **state)
{
	struct child child;
	struct imsg imsg;

	(void)state;
	start(&child, NULL, NULL, NULL);
	expect_ready(&child);
	order(&child, ORDER_FATAL);
	expect_log(&child, LOG_LEVEL_ERROR, "the end");
	assert_int_equal(answer(&child, &imsg), 0);
	assert_int_equal(end(&child), W_EXITCODE(1, 0));
}

/* A message that it does not understand is the end of the parent, too. */
static void
refuse_test(void **state)
{
	struct child child;
	struct imsg imsg;

	(void)state;
	start(&child, NULL, NULL, NULL);
	expect_ready(&child);
	order(&child, ORDER_REFUSE);
	assert_int_equal(answer(&child, &imsg), 0);
	assert_int_equal(end(&child), 0);
}

static void
sandbox_test(void **state)
{
	struct child child;
	struct imsg imsg;
	int status;

	(void)state;
	start(&child, NULL, NULL, NULL);
	expect_ready(&child);
	order(&child, ORDER_FORK);
	assert_int_equal(answer(&child, &imsg), 0);
	status = end(&child);
	assert_true(WIFSIGNALED(status));
	assert_int_equal(WTERMSIG(status), SIGSYS);

	start(&child, "-t", NULL, NULL);
	expect_ready(&child);
	order(&child, ORDER_FORK);
	assert_int_equal(answer(&child, &imsg), 0);
	assert_int_equal(end(&child), W_EXITCODE(159, 0));
}

static void
usage_test(void **state)
{
	static const char *const bad[][2] = {{"-i", "-1"}, {"-i", "x"},
	    {"-v", "4"}, {"-x", NULL}, {"word", NULL}, {"-u", "root"}};
	struct child child;
	struct imsg imsg;
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		start(&child, bad[i][0], bad[i][1], NULL);
		expect_log(&child, LOG_LEVEL_ERROR, NULL);
		assert_int_equal(answer(&child, &imsg), 0);
		assert_int_equal(end(&child), W_EXITCODE(1, 0));
	}
}

static int
setup(void **state)
{
	(void)state;
	return mkdtemp(empty) == NULL || chmod(empty, 0755) == -1 ? -1 : 0;
}

static int
teardown(void **state)
{
	(void)state;
	return rmdir(empty);
}

int
main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(life_test),
	    cmocka_unit_test(level_test),
	    cmocka_unit_test(fatal_test),
	    cmocka_unit_test(refuse_test),
	    cmocka_unit_test(sandbox_test),
	    cmocka_unit_test(usage_test),
	};

	if (argc > 0 && strcmp(argv[0], "component") == 0) {
		static struct component self = {
		    .name = "httpd",
		    .role = SANDBOX_HTTPD,
		    .dispatch = dispatch,
		    .prepare = prepare,
		    .ready = ready,
		};

		component_run(&self, argc, argv);
	}
	return cmocka_run_group_tests(tests, setup, teardown);
}
