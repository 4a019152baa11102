/* sources: common/log.c */
/* libs: bsd cmocka */
#include <sys/types.h>
#include <sys/wait.h>

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include <bsd/string.h>

#include "log.h"

static char last[8192];
static enum log_level last_level;
static unsigned int lines;
static unsigned int drops; /* lines that tell of dropped ones */
static unsigned long dropped; /* and how many */
static int recurse;

static void
sink(enum log_level level, const char *text)
{
	const char *end;
	unsigned long n;

	lines++;
	last_level = level;
	assert_true(strlcpy(last, text, sizeof(last)) < sizeof(last));
	assert_null(strpbrk(text, "\n\r\033"));
	for (n = 0, end = text; *end >= '0' && *end <= '9'; end++)
		n = n * 10 + (unsigned long)(*end - '0');
	if (strcmp(end, " messages were dropped before the next one") == 0) {
		drops++;
		dropped += n;
	}
	if (recurse)
		log_warnx("the sink itself says something");
}

static void
rest(long milliseconds)
{
	struct timespec ts = {
	    milliseconds / 1000, milliseconds % 1000 * 1000000};

	assert_int_equal(nanosleep(&ts, NULL), 0);
}

static int
setup(void **state)
{
	(void)state;
	lines = drops = 0;
	dropped = 0;
	recurse = 0;
	last[0] = '\0';
	log_init("test", LOG_LEVEL_DEBUG, sink);
	return 0;
}

static void
levels_test(void **state)
{
	(void)state;
	log_debug("a %d", 1);
	assert_string_equal(last, "a 1");
	assert_int_equal(last_level, LOG_LEVEL_DEBUG);
	log_info("b");
	assert_int_equal(last_level, LOG_LEVEL_INFO);
	log_warnx("c");
	assert_int_equal(last_level, LOG_LEVEL_WARNING);
	log_errorx("d");
	assert_int_equal(last_level, LOG_LEVEL_ERROR);
	assert_int_equal(lines, 4);
	log_set_level(LOG_LEVEL_WARNING);
	assert_int_equal(log_get_level(), LOG_LEVEL_WARNING);
	log_info("e");
	log_debug("f");
	assert_int_equal(lines, 4);
	log_warnx("g");
	assert_int_equal(lines, 5);
	log_set_level(LOG_LEVEL_ERROR);
	log_warnx("h");
	assert_string_equal(last, "g");
}

static void
errno_test(void **state)
{
	(void)state;
	errno = ENOENT;
	log_warn("%s", "/nowhere");
	assert_string_equal(last, "/nowhere: No such file or directory");
	assert_int_equal(errno, ENOENT);
	log_warnx("%s", "/nowhere");
	assert_string_equal(last, "/nowhere");
	assert_int_equal(errno, ENOENT);
}

/* One message is one line, and does nothing to a terminal. */
static void
escape_test(void **state)
{
	(void)state;
	log_info("%s", "one\ntwo\r\033[31mred\177 \302\233 tab\tend");
	assert_string_equal(
	    last, "one\\ntwo\\r\\033[31mred\\177 \\302\\233 tab\tend");
	/* What has been escaped elsewhere stays as it is. */
	log_info("%s", "one\\ntwo \\033 C:\\");
	assert_string_equal(last, "one\\ntwo \\033 C:\\");
}

static void
long_test(void **state)
{
	static char text[100000];

	(void)state;
	memset(text, 'x', sizeof(text) - 1);
	log_info("%s", text);
	assert_in_range(strlen(last), 500, 2000);
	memset(text, '\033', sizeof(text) - 1);
	log_info("%s", text);
	assert_in_range(strlen(last), 2000, 8000);
	errno = ENOENT;
	memset(text, 'x', sizeof(text) - 1);
	log_warn("%s", text);
	assert_in_range(strlen(last), 500, 2000);
}

static void
recursion_test(void **state)
{
	(void)state;
	recurse = 1;
	log_info("once");
	assert_int_equal(lines, 1);
	log_info("twice");
	assert_int_equal(lines, 2);
	assert_string_equal(last, "twice");
}

/* The tests before have used some of the first hundred: fill up first. */
static void
rate_test(void **state)
{
	unsigned int i;

	(void)state;
	rest(5100);
	for (i = 0; i < 1000; i++)
		log_info("message %u", i);
	/* A slow machine has earned some more on the way. */
	assert_in_range(lines, 100, 120);
	assert_int_equal(drops, 0);
	i = lines;
	rest(160);
	log_info("after");
	assert_string_equal(last, "after");
	assert_int_equal(lines, i + 2);
	assert_int_equal(drops, 1);
	assert_int_equal(dropped, 1000 - i);
	/* Twenty a second, not as many as one likes after a rest. */
	for (i = 0; i < 1000; i++)
		log_info("message %u", i);
	assert_in_range(lines, 102, 140);
	rest(60);
	log_info("last");
	assert_int_equal(drops, 2);
}

/* What a child writes to its standard error, and its exit status. */
static int
in_child(void (*function)(void), char *text, size_t size)
{
	size_t len;
	ssize_t n;
	pid_t pid;
	int fds[2];
	int status;

	assert_int_equal(pipe2(fds, O_CLOEXEC), 0);
	pid = fork();
	assert_int_not_equal(pid, -1);
	if (pid == 0) {
		if (dup2(fds[1], STDERR_FILENO) == -1)
			_exit(99);
		function();
		_exit(0);
	}
	assert_int_equal(close(fds[1]), 0);
	for (len = 0; (n = read(fds[0], text + len, size - 1 - len)) > 0;)
		len += (size_t)n;
	assert_int_equal(n, 0);
	text[len] = '\0';
	assert_int_equal(close(fds[0]), 0);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	return status;
}

static void
say_lines(void)
{
	log_init("parent", LOG_LEVEL_INFO, NULL);
	log_info("to\nstderr");
	log_debug("not this one");
	log_warnx("and this");
}

static void
say_fatal(void)
{
	log_init("parent", LOG_LEVEL_INFO, NULL);
	errno = EPERM;
	fatal("the %s", "end");
}

/* Also when the rate is exceeded. */
static void
say_fatalx(void)
{
	unsigned int i;

	log_init("parent", LOG_LEVEL_ERROR, sink);
	for (i = 0; i < 1000; i++)
		log_errorx("x");
	log_init("parent", LOG_LEVEL_ERROR, NULL);
	fatalx("the end");
}

static void
stderr_test(void **state)
{
	char text[512];

	(void)state;
	assert_int_equal(in_child(say_lines, text, sizeof(text)), 0);
	assert_string_equal(
	    text, "musterd: parent: to\\nstderr\nmusterd: parent: and this\n");
	assert_int_equal(
	    in_child(say_fatal, text, sizeof(text)), W_EXITCODE(1, 0));
	assert_string_equal(
	    text, "musterd: parent: the end: Operation not permitted\n");
	assert_int_equal(
	    in_child(say_fatalx, text, sizeof(text)), W_EXITCODE(1, 0));
	assert_non_null(strstr(text, "musterd: parent: the end\n"));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test_setup(levels_test, setup),
	    cmocka_unit_test_setup(errno_test, setup),
	    cmocka_unit_test_setup(escape_test, setup),
	    cmocka_unit_test_setup(long_test, setup),
	    cmocka_unit_test_setup(recursion_test, setup),
	    cmocka_unit_test_setup(stderr_test, setup),
	    cmocka_unit_test_setup(rate_test, setup),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
