/* sources: common/sandbox_linux.c common/log.c */
/* sources: regress/sandbox/fixture.c */
/* libs: bsd seccomp cmocka */
#include <sys/types.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#include <fcntl.h>
#include <grp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "fixture.h"

#include "log.h"

/* The run-time of a sanitizer has habits of its own, which stay refused. */
#if defined(__SANITIZE_ADDRESS__)
#define SANITIZER 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define SANITIZER 1
#endif
#endif

static int null; /* /dev/null */
static int failures;

/* A line of /proc/PID/FILE, without its first word. */
static void
proc_line(
    pid_t pid, const char *file, const char *name, char *value, size_t size)
{
	char path[64];
	char line[256];
	FILE *f;

	value[0] = '\0';
	(void)snprintf(path, sizeof(path), "/proc/%d/%s", (int)pid, file);
	f = fopen(path, "re");
	assert_non_null(f);
	while (fgets(line, sizeof(line), f) != NULL) {
		if (strncmp(line, name, strlen(name)) != 0)
			continue;
		line[strcspn(line, "\n")] = '\0';
		(void)snprintf(value, size, "%s",
		    line + strlen(name) + strspn(line + strlen(name), " \t:"));
	}
	assert_int_equal(fclose(f), 0);
}

static void
proc_expect(pid_t pid, const char *file, const char *name, const char *expected)
{
	char value[256];

	proc_line(pid, file, name, value, sizeof(value));
	if (strcmp(value, expected) != 0) {
		print_error(
		    "%s: \"%s\" instead of \"%s\"\n", name, value, expected);
		failures++;
	}
}

/* A child that has entered and waits for the end of its standard input. */
static pid_t
confined(int role, int drop, int *stdin_fd)
{
	static const gid_t groups[] = {1, 2};
	char byte;
	pid_t pid;
	int in[2];
	int out[2];

	assert_int_equal(pipe2(in, O_CLOEXEC), 0);
	assert_int_equal(pipe2(out, O_CLOEXEC), 0);
	pid = fork();
	assert_int_not_equal(pid, -1);
	if (pid == 0) {
		if (drop && setgroups(2, groups) == -1)
			_exit(203);
		enter(role, drop, 0);
		(void)close(in[1]);
		if (write(out[1], "x", 1) != 1)
			_exit(201);
		_exit(read(in[0], &byte, 1) == 0 ? 0 : 202);
	}
	assert_int_equal(close(in[0]), 0);
	assert_int_equal(close(out[1]), 0);
	assert_int_equal(read(out[0], &byte, 1), 1);
	assert_int_equal(close(out[0]), 0);
	*stdin_fd = in[1];
	return pid;
}

static void
confined_check(pid_t pid, int role, int drop)
{
	const char *none = "0000000000000000";
	char path[64];
	char root[64];
	struct stat st;
	ssize_t n;

	proc_expect(pid, "status", "NoNewPrivs", "1");
	proc_expect(pid, "status", "Seccomp:", "2");
	proc_expect(pid, "status", "CapInh", none);
	proc_expect(pid, "status", "CapPrm", none);
	proc_expect(pid, "status", "CapEff", none);
	proc_expect(pid, "status", "CapAmb", none);
	proc_expect(pid, "limits", "Max core file size",
	    "0                    0                    bytes     ");
	proc_expect(pid, "limits", "Max processes",
	    "0                    0                    processes ");
	if (role != SANDBOX_RELAY)
		proc_expect(pid, "limits", "Max file size",
		    "0                    0                    bytes     ");
	/* A session of its own, out of reach of the terminal. */
	if (getsid(pid) != pid)
		failures++;
	/* Not dumpable: its files in /proc are root's. */
	(void)snprintf(path, sizeof(path), "/proc/%d/mem", (int)pid);
	assert_int_equal(stat(path, &st), 0);
	if (st.st_uid != 0)
		failures++;
	if (!drop)
		return;
	proc_expect(pid, "status", "CapBnd", none);
	proc_expect(pid, "status", "Uid", "65534\t65534\t65534\t65534");
	proc_expect(pid, "status", "Gid", "65534\t65534\t65534\t65534");
	proc_expect(pid, "status", "Groups", "");
	(void)snprintf(path, sizeof(path), "/proc/%d/root", (int)pid);
	n = readlink(path, root, sizeof(root) - 1);
	assert_in_range(n, 1, sizeof(root) - 1);
	root[n] = '\0';
	assert_string_equal(root, role == SANDBOX_RESOLVER ? "/" : empty);
}

static void
state_test(void **state)
{
	int drop;
	int role;

	(void)state;
	failures = 0;
	for (role = 0; role < ROLES; role++) {
		for (drop = 0; drop <= as_root; drop++) {
			int fd;
			pid_t pid;

			pid = confined(role, drop, &fd);
			confined_check(pid, role, drop);
			assert_int_equal(close(fd), 0);
			assert_int_equal(outcome(pid), 0);
		}
	}
	assert_int_equal(failures, 0);
}

/* The test of a start that must not succeed. */
static int
refused(uid_t uid, gid_t gid, const char *root)
{
	struct sandbox_options options;
	pid_t pid;

	pid = fork();
	assert_int_not_equal(pid, -1);
	if (pid == 0) {
		if (dup2(null, STDERR_FILENO) == -1)
			_exit(200);
		memset(&options, 0, sizeof(options));
		options.role = SANDBOX_HTTPD;
		options.drop = 1;
		options.uid = uid;
		options.gid = gid;
		options.root = root;
		log_init("sandbox", LOG_LEVEL_ERROR, NULL);
		sandbox_enter(&options);
		_exit(0);
	}
	return outcome(pid);
}

static void
refused_test(void **state)
{
	(void)state;
	if (!as_root) {
		print_message("SKIP: needs root\n");
		skip();
	}
	assert_int_equal(refused(NOBODY, NOBODY, empty), 0);
	assert_int_equal(refused(0, NOBODY, empty), 1);
	assert_int_equal(refused(NOBODY, 0, empty), 1);
	assert_int_equal(refused(NOBODY, NOBODY, "/nowhere/at/all"), 1);
	assert_int_equal(refused(NOBODY, NOBODY, "/etc/passwd"), 1);
	assert_int_equal(refused(NOBODY, NOBODY, "/tmp"), 1);
	assert_int_equal(chown(empty, NOBODY, 0), 0);
	assert_int_equal(refused(NOBODY, NOBODY, empty), 1);
	assert_int_equal(chown(empty, 0, 0), 0);
	assert_int_equal(chmod(empty, 0775), 0);
	assert_int_equal(refused(NOBODY, NOBODY, empty), 1);
	assert_int_equal(chmod(empty, 0755), 0);
}

/* An ordinary user cannot change users: nothing half done. */
static void
unprivileged_drop_test(void **state)
{
	pid_t pid;

	(void)state;
	pid = fork();
	assert_int_not_equal(pid, -1);
	if (pid == 0) {
		if (dup2(null, STDERR_FILENO) == -1 ||
		    (as_root && setresuid(NOBODY, NOBODY, NOBODY) == -1))
			_exit(200);
		enter(SANDBOX_HTTPD, 1, 0);
		_exit(0);
	}
	assert_int_equal(outcome(pid), 1);
}

/* The trap mode names the call, also one that is only refused otherwise. */
static void
trap(long call, const char *expected)
{
	char text[256];
	ssize_t n;
	pid_t pid;
	int fds[2];

	assert_int_equal(pipe2(fds, O_CLOEXEC), 0);
	pid = fork();
	assert_int_not_equal(pid, -1);
	if (pid == 0) {
		if (dup2(fds[1], STDERR_FILENO) == -1)
			_exit(200);
		enter(SANDBOX_HTTPD, 0, 1);
		(void)syscall(call, AT_FDCWD, "/etc/passwd", O_RDONLY);
		_exit(0);
	}
	assert_int_equal(close(fds[1]), 0);
	assert_int_equal(outcome(pid), 159);
	n = read(fds[0], text, sizeof(text) - 1);
	assert_in_range(n, 1, sizeof(text) - 1);
	text[n] = '\0';
	assert_string_equal(text, expected);
	assert_int_equal(close(fds[0]), 0);
}

static void
trap_test(void **state)
{
	char text[128];

	(void)state;
	(void)snprintf(text, sizeof(text),
	    "musterd: httpd: sandbox: system call %d getppid is not allowed\n",
	    SYS_getppid);
	trap(SYS_getppid, text);
	trap(100000,
	    "musterd: httpd: sandbox: system call 100000 is not allowed\n");
#ifndef SANITIZER
	(void)snprintf(text, sizeof(text),
	    "musterd: httpd: sandbox: system call %d openat is not allowed\n",
	    SYS_openat);
	trap(SYS_openat, text);
#endif
}

static void
count_test(void **state)
{
	int role;

	(void)state;
	for (role = 0; role < ROLES; role++)
		print_message("%s: %d system calls are allowed\n",
		    role_name(role), sandbox_count((enum sandbox_role)role));
	assert_in_range(sandbox_count(SANDBOX_HTTPD), 20, 40);
	assert_in_range(sandbox_count(SANDBOX_VERIFIER), 20, 45);
	assert_in_range(sandbox_count(SANDBOX_MANAGER), 20, 40);
	assert_in_range(sandbox_count(SANDBOX_RELAY), 20, 35);
	assert_in_range(sandbox_count(SANDBOX_RESOLVER), 20, 48);
}

static int
setup(void **state)
{
	(void)state;
	null = open("/dev/null", O_RDWR | O_CLOEXEC);
	return null == -1 ? -1 : fixture_setup();
}

static int
teardown(void **state)
{
	(void)state;
	return fixture_teardown();
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(count_test),
	    cmocka_unit_test(state_test),
	    cmocka_unit_test(refused_test),
	    cmocka_unit_test(unprivileged_drop_test),
	    cmocka_unit_test(trap_test),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
