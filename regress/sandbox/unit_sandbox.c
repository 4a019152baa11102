/* sources: common/sandbox_linux.c common/log.c */
/* sources: regress/sandbox/fixture.c */
/* libs: bsd seccomp cmocka */
#include <sys/types.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>

#include <netinet/in.h>
#include <netinet/tcp.h>

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/filter.h>
#include <netdb.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include <bsd/stdlib.h>

#include "fixture.h"

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

/* Made before the sandbox, for what is tried inside. */
static struct {
	pid_t test; /* the test program */
	int memory; /* memfd of one page */
	int stream[2]; /* socketpair */
	int pipe[2];
	int null;
	int tcp; /* TCP socket */
	int listener; /* listening on loopback */
	struct sockaddr_in address; /* of it */
} have;

static int landlock; /* the kernel's ABI, or less than 1 */

/* As a child that has entered the sandbox; returns 0 or an errno. */
typedef int (*attempt_fn)(int role, const void *arg);

static int
attempt(int role, int drop, attempt_fn function, const void *arg)
{
	pid_t pid;

	pid = fork();
	assert_int_not_equal(pid, -1);
	if (pid == 0) {
		enter(role, drop, 0);
		_exit(function(role, arg));
	}
	return outcome(pid);
}

static int failures;

/*
 * Tries it in all roles of the mask, as an ordinary user and, if we are root,
 * with a change of user and root directory.
 */
static void
expect(unsigned int roles, int expected, const char *what, attempt_fn function,
    const void *arg)
{
	int drop;
	int role;

	for (role = 0; role < ROLES; role++) {
		if ((roles & (1U << role)) == 0)
			continue;
		for (drop = 0; drop <= as_root; drop++) {
			int got = attempt(role, drop, function, arg);

			if (got == expected)
				continue;
			failures++;
			print_error("%s, %s%s: %d instead of %d\n", what,
			    role_name(role), drop ? " (dropped)" : "", got,
			    expected);
		}
	}
}

#define MANAGER (1U << SANDBOX_MANAGER)
#define VERIFIER (1U << SANDBOX_VERIFIER)
#define RESOLVER (1U << SANDBOX_RESOLVER)
#define RELAY (1U << SANDBOX_RELAY)
#define HTTPD (1U << SANDBOX_HTTPD)
#define EVERY (MANAGER | VERIFIER | RESOLVER | RELAY | HTTPD)

struct call {
	const char *name;
	long number;
	long a[6];
};

static int
call_fn(int role, const void *arg)
{
	const struct call *c = arg;

	(void)role;
	if (syscall(c->number, c->a[0], c->a[1], c->a[2], c->a[3], c->a[4],
		c->a[5]) == -1)
		return errno;
	return 0;
}

#define CALL(name, ...) \
	{ \
#name, SYS_##name, \
		{ \
			__VA_ARGS__ \
		} \
	}

/* Nobody may do these, however harmless the arguments. */
static const struct call forbidden[] = {
    CALL(execve, (long)"/bin/true", 0, 0),
    CALL(execveat, AT_FDCWD, (long)"/bin/true", 0, 0, 0),
#ifdef SYS_fork
    CALL(fork, 0),
    CALL(vfork, 0),
#endif
    CALL(clone, SIGCHLD, 0, 0, 0, 0),
    CALL(clone3, 0, 0),
    CALL(ptrace, PTRACE_TRACEME, 0, 0, 0),
    CALL(process_vm_readv, 1, 0, 0, 0, 0, 0),
    CALL(process_vm_writev, 1, 0, 0, 0, 0, 0),
    CALL(pidfd_open, 1, 0),
    CALL(pidfd_send_signal, 0, 0, 0, 0),
    CALL(pidfd_getfd, 0, 0, 0),
    CALL(kcmp, 1, 1, 0, 0, 0),
    CALL(kill, 0, 0),
    CALL(tkill, 1, 0),
    CALL(rt_sigqueueinfo, 1, 0, 0),
    CALL(getppid, 0),
    CALL(setsid, 0),
    CALL(setpgid, 0, 0),
    CALL(setuid, 0),
    CALL(setgid, 0),
    CALL(setresuid, -1, -1, -1),
    CALL(setgroups, 0, 0),
    CALL(capset, 0, 0),
    CALL(prctl, 3, 0, 0, 0, 0),
    CALL(seccomp, 0, 0, 0),
    CALL(personality, 0xffffffff),
    CALL(prlimit64, 0, 0, 0, 0),
    CALL(setpriority, 0, 0, 0),
    CALL(sched_setaffinity, 0, 0, 0),
    CALL(unshare, CLONE_NEWUSER),
    CALL(setns, 0, 0),
    CALL(chroot, (long)"/"),
    CALL(chdir, (long)"/"),
    CALL(fchdir, 0),
    CALL(pivot_root, (long)"/", (long)"/"),
    CALL(mount, 0, 0, 0, 0, 0),
    CALL(umount2, 0, 0),
    CALL(open_tree, -1, 0, 0),
    CALL(move_mount, -1, 0, -1, 0, 0),
    CALL(fsopen, 0, 0),
    CALL(unlinkat, -1, 0, 0),
    CALL(renameat2, -1, 0, -1, 0, 0),
    CALL(linkat, -1, 0, -1, 0, 0),
    CALL(symlinkat, 0, -1, 0),
    CALL(mkdirat, -1, 0, 0),
    CALL(mknodat, -1, 0, 0, 0),
    CALL(fchmodat, -1, 0, 0),
    CALL(fchmod, 0, 0),
    CALL(fchown, 0, -1, -1),
    CALL(truncate, 0, 0),
    CALL(ftruncate, 0, 0),
    CALL(utimensat, -1, 0, 0, 0),
    CALL(getdents64, 0, 0, 0),
    CALL(openat2, -1, 0, 0, 0),
    CALL(open_by_handle_at, -1, 0, 0),
    CALL(name_to_handle_at, -1, 0, 0, 0, 0),
    CALL(flock, 0, 0),
    CALL(dup, 0),
    CALL(dup3, 0, 0, 0),
    CALL(pipe2, 0, 0),
    CALL(socketpair, AF_UNIX, SOCK_STREAM, 0, 0),
    CALL(bind, 0, 0, 0),
    CALL(listen, 0, 0),
    CALL(accept, 0, 0, 0),
    CALL(sendfile, 0, 0, 0, 0),
    CALL(copy_file_range, 0, 0, 0, 0, 0, 0),
    CALL(vmsplice, 0, 0, 0, 0),
    CALL(tee, 0, 0, 0, 0),
    CALL(memfd_create, (long)"x", 0),
    CALL(eventfd2, 0, 0),
    CALL(signalfd4, 0, 0, 0, 0),
    CALL(timerfd_create, 0, 0),
    CALL(timer_create, 0, 0, 0),
    CALL(setitimer, 0, 0, 0),
    CALL(inotify_init1, 0),
    CALL(fanotify_init, 0, 0),
    CALL(epoll_create1, 0),
    CALL(io_uring_setup, 1, 0),
    CALL(io_setup, 1, 0),
    CALL(bpf, 0, 0, 0),
    CALL(perf_event_open, 0, 0, 0, 0, 0),
    CALL(userfaultfd, 0),
    CALL(keyctl, 0, 0, 0, 0, 0),
    CALL(add_key, 0, 0, 0, 0, 0),
    CALL(request_key, 0, 0, 0, 0),
    CALL(shmget, 0, 0, 0),
    CALL(msgget, 0, 0),
    CALL(semget, 0, 0, 0),
    CALL(mq_open, 0, 0, 0, 0),
    CALL(landlock_create_ruleset, 0, 0, 0),
    CALL(init_module, 0, 0, 0),
    CALL(finit_module, 0, 0, 0),
    CALL(delete_module, 0, 0),
    CALL(kexec_load, 0, 0, 0, 0),
    CALL(reboot, 0, 0, 0, 0),
    CALL(swapon, 0, 0),
    CALL(acct, 0),
    CALL(quotactl, 0, 0, 0, 0),
    CALL(syslog, 0, 0, 0),
    CALL(clock_settime, 0, 0),
    CALL(settimeofday, 0, 0),
    CALL(sethostname, 0, 0),
    CALL(vhangup, 0),
    CALL(remap_file_pages, 0, 0, 0, 0, 0),
    CALL(pkey_mprotect, 0, 0, 4, 0),
#ifdef SYS_modify_ldt
    CALL(modify_ldt, 0, 0, 0),
    CALL(arch_prctl, 0x1001, 0),
    CALL(iopl, 0),
    CALL(ioperm, 0, 0, 0),
#endif
#ifdef __x86_64__
    {"x32 getpid", 0x40000000L | SYS_getpid, {0}},
#endif
    {"no such call", 100000, {0}},
};

static void
forbidden_test(void **state)
{
	size_t i;

	(void)state;
	failures = 0;
	for (i = 0; i < COUNT(forbidden); i++)
		expect(
		    EVERY, KILLED, forbidden[i].name, call_fn, &forbidden[i]);
	assert_int_equal(failures, 0);
}

static int
dup_fn(int role, const void *arg)
{
	const int *command = arg;

	(void)role;
	return fcntl(have.null, *command, 0) == -1 ? errno : 0;
}

static void
fcntl_test(void **state)
{
	static const int commands[] = {F_DUPFD, F_DUPFD_CLOEXEC, F_SETOWN,
	    F_SETSIG, F_SETLK, F_SETLEASE, F_NOTIFY, F_ADD_SEALS, F_SETOWN_EX,
	    F_OFD_SETLK};
	static const int good[] = {F_GETFD, F_GETFL};
	static const int pipe_size = F_SETPIPE_SZ;
	size_t i;

	(void)state;
	failures = 0;
	for (i = 0; i < COUNT(commands); i++)
		expect(EVERY, KILLED, "fcntl", dup_fn, &commands[i]);
	for (i = 0; i < COUNT(good); i++)
		expect(EVERY, 0, "fcntl", dup_fn, &good[i]);
	/* Of /dev/null, which is no pipe. */
	expect(EVERY & ~RELAY, KILLED, "F_SETPIPE_SZ", dup_fn, &pipe_size);
	expect(RELAY, EBADF, "F_SETPIPE_SZ", dup_fn, &pipe_size);
	assert_int_equal(failures, 0);
}

struct path {
	const char *name;
	int flags;
};

static int
open_fn(int role, const void *arg)
{
	const struct path *path = arg;
	int fd;

	(void)role;
	fd = open(path->name, path->flags, 0600);
	return fd == -1 || close(fd) == -1 ? errno : 0;
}

static int
stat_fn(int role, const void *arg)
{
	struct stat st;

	(void)role;
	return stat(arg, &st) == -1 ? errno : 0;
}

static void
files_test(void **state)
{
	static const struct path passwd = {"/etc/passwd", O_RDONLY};
	static const struct path hosts = {"/etc/hosts", O_RDONLY};
	static const struct path self = {"/proc/self/mem", O_RDWR};
	static const struct path create = {"/tmp/x", O_RDWR | O_CREAT};
	static const struct path append = {"/etc/hosts", O_WRONLY | O_APPEND};

	(void)state;
	failures = 0;
	expect(EVERY & ~RESOLVER, EACCES, "open", open_fn, &passwd);
	expect(EVERY & ~RESOLVER, EACCES, "open", open_fn, &hosts);
	expect(EVERY & ~RESOLVER, EACCES, "open", open_fn, &self);
	expect(EVERY & ~RESOLVER, EACCES, "open", open_fn, &create);
	expect(EVERY & ~RESOLVER, EACCES, "stat", stat_fn, "/etc/passwd");
	expect(RESOLVER, 0, "open", open_fn, &hosts);
	if (landlock > 0)
		expect(RESOLVER, EACCES, "open", open_fn, &passwd);
	expect(RESOLVER, KILLED, "open", open_fn, &self);
	expect(RESOLVER, KILLED, "open", open_fn, &create);
	expect(RESOLVER, KILLED, "open", open_fn, &append);
	assert_int_equal(failures, 0);
}

static int
socket_fn(int role, const void *arg)
{
	const int *kind = arg;
	int fd;

	(void)role;
	fd = socket(kind[0], kind[1], kind[2]);
	return fd == -1 || close(fd) == -1 ? errno : 0;
}

static void
socket_test(void **state)
{
	static const int families[] = {AF_UNIX, AF_NETLINK, AF_PACKET, AF_VSOCK,
	    AF_ALG, AF_BLUETOOTH, AF_KEY, AF_XDP, AF_TIPC};
	static const int inet[] = {AF_INET, AF_INET6};
	static const int protocols[] = {
	    IPPROTO_SCTP, IPPROTO_MPTCP, IPPROTO_ICMP, IPPROTO_UDPLITE};
	int kind[3] = {0, 0, 0};
	size_t i;

	(void)state;
	failures = 0;
	for (i = 0; i < COUNT(families); i++) {
		kind[0] = families[i];
		kind[1] = SOCK_STREAM | SOCK_CLOEXEC;
		expect(EVERY & ~RESOLVER, KILLED, "socket", socket_fn, kind);
		expect(RESOLVER,
		    kind[0] == AF_UNIX || kind[0] == AF_NETLINK ? EAFNOSUPPORT :
								  KILLED,
		    "socket", socket_fn, kind);
		kind[1] = SOCK_RAW;
		expect(EVERY & ~RESOLVER, KILLED, "socket", socket_fn, kind);
	}
	for (i = 0; i < COUNT(inet); i++) {
		kind[0] = inet[i];
		kind[1] = SOCK_RAW;
		expect(EVERY, KILLED, "raw socket", socket_fn, kind);
		kind[1] = SOCK_DGRAM | SOCK_NONBLOCK;
		expect(MANAGER | RELAY | HTTPD, KILLED, "UDP", socket_fn, kind);
		expect(VERIFIER, EAFNOSUPPORT, "UDP", socket_fn, kind);
		kind[1] = SOCK_STREAM;
		expect(MANAGER | RELAY | HTTPD, KILLED, "TCP", socket_fn, kind);
	}
	for (i = 0; i < COUNT(protocols); i++) {
		kind[0] = AF_INET;
		kind[1] = i < 2 ? SOCK_STREAM : SOCK_DGRAM;
		kind[2] = protocols[i];
		expect(i < 2 ? EVERY : RESOLVER, KILLED, "other protocol",
		    socket_fn, kind);
	}
	kind[2] = IPPROTO_UDP;
	expect(RESOLVER, 0, "UDP", socket_fn, kind);
	kind[1] = SOCK_STREAM;
	kind[2] = IPPROTO_TCP;
	expect(VERIFIER | RESOLVER, 0, "TCP", socket_fn, kind);
	kind[2] = 0;
	/* A kernel may have no IPv6. */
	kind[0] = AF_INET;
	kind[1] = SOCK_DGRAM | SOCK_NONBLOCK;
	expect(RESOLVER, 0, "UDP", socket_fn, kind);
	kind[1] = SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK;
	expect(VERIFIER | RESOLVER, 0, "TCP", socket_fn, kind);
	assert_int_equal(failures, 0);
}

static int
connect_fn(int role, const void *arg)
{
	(void)role;
	(void)arg;
	/* The socket is shared by all that try. */
	if (connect(have.tcp, (const struct sockaddr *)&have.address,
		sizeof(have.address)) == -1 &&
	    errno != EISCONN)
		return errno;
	return 0;
}

static int
option_fn(int role, const void *arg)
{
	const int *option = arg;
	int on = 1;

	(void)role;
	return setsockopt(have.tcp, option[0], option[1], &on, sizeof(on)) ==
		-1 ?
	    errno :
	    0;
}

static void
connect_test(void **state)
{
	static const int nodelay[] = {IPPROTO_TCP, TCP_NODELAY};
	static const int keep[] = {SOL_SOCKET, SO_KEEPALIVE};
	static const int filter[] = {SOL_SOCKET, SO_ATTACH_FILTER};
	static const int bpf[] = {SOL_SOCKET, SO_ATTACH_BPF};
	static const int module[] = {IPPROTO_TCP, TCP_ULP};
	static const int group[] = {IPPROTO_IP, IP_ADD_MEMBERSHIP};

	(void)state;
	failures = 0;
	expect(VERIFIER, 0, "connect", connect_fn, NULL);
	/* The resolver asks port 53 and nothing else. */
	if (landlock >= 4)
		expect(RESOLVER, EACCES, "connect", connect_fn, NULL);
	expect(MANAGER | RELAY | HTTPD, KILLED, "connect", connect_fn, NULL);
	expect(VERIFIER | RESOLVER, 0, "setsockopt", option_fn, nodelay);
	expect(VERIFIER | RESOLVER, 0, "setsockopt", option_fn, keep);
	expect(EVERY, KILLED, "setsockopt", option_fn, filter);
	expect(EVERY, KILLED, "setsockopt", option_fn, bpf);
	expect(EVERY, KILLED, "setsockopt", option_fn, module);
	expect(EVERY, KILLED, "setsockopt", option_fn, group);
	expect(MANAGER | RELAY | HTTPD, KILLED, "setsockopt", option_fn, keep);
	assert_int_equal(failures, 0);
}

static int
mmap_fn(int role, const void *arg)
{
	const int *how = arg;
	void *p;

	(void)role;
	p = mmap(NULL, 4096, how[0], how[1],
	    (how[1] & MAP_ANONYMOUS) != 0 ? -1 : have.memory, 0);
	return p == MAP_FAILED || munmap(p, 4096) == -1 ? errno : 0;
}

static int
mprotect_fn(int role, const void *arg)
{
	const int *how = arg;
	void *p;

	(void)role;
	p = mmap(NULL, 4096, PROT_READ | PROT_WRITE,
	    MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (p == MAP_FAILED)
		return 200;
	return mprotect(p, 4096, how[0]) == -1 ? errno : 0;
}

static void
memory_test(void **state)
{
	static const int run[] = {
	    PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS};
	static const int run_file[] = {PROT_EXEC, MAP_SHARED};
	static const int shared[] = {PROT_READ | PROT_WRITE, MAP_SHARED};
	static const int view[] = {PROT_READ, MAP_SHARED};
	static const int ours[] = {
	    PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS};

	(void)state;
	failures = 0;
	expect(EVERY & ~RESOLVER, KILLED, "mmap", mmap_fn, run);
	expect(EVERY & ~RESOLVER, KILLED, "mmap", mmap_fn, run_file);
	expect(RESOLVER, EACCES, "mmap", mmap_fn, run);
	expect(RESOLVER, EACCES, "mmap", mmap_fn, run_file);
	expect(EVERY, 0, "mmap", mmap_fn, shared);
	expect(EVERY, 0, "mmap", mmap_fn, view);
	expect(EVERY, 0, "mmap", mmap_fn, ours);
	expect(
	    MANAGER | VERIFIER | HTTPD, KILLED, "mprotect", mprotect_fn, run);
	expect(RESOLVER | RELAY, EACCES, "mprotect", mprotect_fn, run);
	expect(EVERY & ~RELAY, 0, "mprotect", mprotect_fn, view);
	assert_int_equal(failures, 0);
}

static int
signal_fn(int role, const void *arg)
{
	const int *self = arg;

	(void)role;
	return syscall(SYS_tgkill, *self ? getpid() : have.test,
		   *self ? getpid() : have.test, 0) == -1 ?
	    errno :
	    0;
}

static int
abort_fn(int role, const void *arg)
{
	(void)role;
	(void)arg;
	abort();
}

static void
signal_test(void **state)
{
	static const int self = 1;
	static const int other = 0;

	(void)state;
	failures = 0;
	expect(EVERY, 0, "tgkill", signal_fn, &self);
	expect(EVERY, KILLED, "tgkill", signal_fn, &other);
	/* A failed assertion does not look like a broken filter. */
	expect(EVERY, 1000 + SIGABRT, "abort", abort_fn, NULL);
	assert_int_equal(failures, 0);
}

static int
ioctl_fn(int role, const void *arg)
{
	const unsigned long *request = arg;
	char buf[256];

	(void)role;
	memset(buf, 0, sizeof(buf));
	return ioctl(have.pipe[0], *request, buf) == -1 ? errno : 0;
}

static void
ioctl_test(void **state)
{
	static const unsigned long requests[] = {
	    0x5401 /* TCGETS */, TIOCSTI, FIONBIO, TIOCSCTTY};
	static const unsigned long readable = FIONREAD;
	size_t i;

	(void)state;
	failures = 0;
	for (i = 0; i < COUNT(requests); i++)
		expect(EVERY, ENOTTY, "ioctl", ioctl_fn, &requests[i]);
	expect(RELAY | RESOLVER, 0, "ioctl", ioctl_fn, &readable);
	expect(
	    MANAGER | VERIFIER | HTTPD, ENOTTY, "ioctl", ioctl_fn, &readable);
	assert_int_equal(failures, 0);
}

static int
compare(const void *a, const void *b)
{
	return memcmp(a, b, sizeof(int));
}

/* What the C library does behind our back. */
static int
library_fn(int role, const void *arg)
{
	static const char zeros[16];
	struct timespec ts = {0, 1000};
	struct stat st;
	char buf[16];
	void *p;
	void *q;
	size_t size;

	(void)arg;
	for (size = 16; size < (size_t)8 * 1024 * 1024; size *= 3) {
		p = malloc(size);
		q = p == NULL ? NULL : realloc(p, size * 2);
		if (q == NULL)
			return 201;
		memset(q, 1, size * 2);
		if (role != SANDBOX_RELAY)
			qsort(q, size / 16 < 65536 ? size / 16 : 65536,
			    sizeof(int), compare);
		free(q);
	}
	if (fstat(have.memory, &st) == -1 && role != SANDBOX_RESOLVER)
		return 202;
	arc4random_buf(buf, sizeof(buf));
	if (memcmp(buf, zeros, sizeof(buf)) == 0)
		return 203;
	if (clock_gettime(CLOCK_MONOTONIC, &ts) == -1 || time(NULL) == -1)
		return 204;
	if (isatty(have.null))
		return 205;
	ts.tv_sec = 0;
	ts.tv_nsec = 1000;
	if (role == SANDBOX_RELAY && nanosleep(&ts, NULL) == -1)
		return 206;
	if (write(have.stream[0], "x", 1) != 1 ||
	    read(have.stream[1], &st, 1) != 1)
		return 207;
	return 0;
}

/* The calls of the relay's work. */
static int
relay_fn(int role, const void *arg)
{
	char buf[8];
	loff_t offset;
	int n;

	(void)role;
	(void)arg;
	if (lseek(have.memory, 0, SEEK_SET) != 0 ||
	    write(have.pipe[1], "output", 6) != 6 ||
	    ioctl(have.pipe[0], FIONREAD, &n) == -1 || n != 6)
		return 201;
	if (splice(have.pipe[0], NULL, have.memory, NULL, 100,
		SPLICE_F_NONBLOCK) != 6)
		return 202;
	if (pread(have.memory, buf, 6, 0) != 6 ||
	    pwrite(have.memory, buf, 6, 6) != 6)
		return 203;
	offset = lseek(have.memory, 0, SEEK_CUR);
	if (offset != 6)
		return 204;
	if (fallocate(have.memory, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
		0, 4096) == -1)
		return 205;
	if (fcntl(have.pipe[0], F_SETPIPE_SZ, 65536) == -1)
		return 206;
	return 0;
}

static int
send_fn(int role, const void *arg)
{
	struct iovec iov = {(void *)(uintptr_t) "x", 1};
	struct msghdr msg;

	(void)role;
	(void)arg;
	memset(&msg, 0, sizeof(msg));
	msg.msg_iov = &iov;
	msg.msg_iovlen = 1;
	if (sendmsg(have.stream[0], &msg, MSG_NOSIGNAL) != 1)
		return errno;
	msg.msg_iovlen = 0;
	return recvmsg(have.stream[1], &msg, MSG_DONTWAIT) == -1 ? errno : 0;
}

/* The answer is one or none; the question does not kill. */
static int
resolve_fn(int role, const void *arg)
{
	struct addrinfo *list;
	int error;

	(void)role;
	error = getaddrinfo(arg, NULL, NULL, &list);
	if (error == 0)
		freeaddrinfo(list);
	return error == 0 ? 0 : 200 - error;
}

static void
library_test(void **state)
{
	(void)state;
	failures = 0;
	expect(EVERY & ~RESOLVER, 0, "library", library_fn, NULL);
	expect(EVERY, 0, "sendmsg", send_fn, NULL);
	expect(RELAY, 0, "relay", relay_fn, NULL);
	expect(RESOLVER, 0, "getaddrinfo", resolve_fn, "127.0.0.1");
	expect(RESOLVER, 0, "getaddrinfo", resolve_fn, "localhost");
	assert_int_equal(failures, 0);
}

/* The 32-bit entry of the kernel is no way around the filter. */
static int
compat_fn(int role, const void *arg)
{
	(void)role;
	(void)arg;
#ifdef __x86_64__
	{
		long result = 20; /* getpid */

		__asm__ volatile("int $0x80" : "+a"(result) : : "memory");
	}
#else
	abort();
#endif
	return 0;
}

static void
compat_test(void **state)
{
	int role;

	(void)state;
	for (role = 0; role < ROLES; role++)
		assert_int_not_equal(attempt(role, 0, compat_fn, NULL), 0);
}

static int
setup(void **state)
{
	socklen_t len = sizeof(have.address);

	(void)state;
	landlock = (int)syscall(SYS_landlock_create_ruleset, NULL, 0, 1);
	have.test = getpid();
	have.memory = memfd_create("test", MFD_CLOEXEC);
	have.null = open("/dev/null", O_RDWR | O_CLOEXEC);
	have.tcp = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	have.listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fixture_setup() == -1 || have.memory == -1 ||
	    ftruncate(have.memory, 4096) == -1 || have.null == -1 ||
	    have.tcp == -1 || have.listener == -1 ||
	    socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, have.stream) ==
		-1 ||
	    pipe2(have.pipe, O_CLOEXEC) == -1)
		return -1;
	have.address.sin_family = AF_INET;
	have.address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	if (bind(have.listener, (struct sockaddr *)&have.address, len) == -1 ||
	    listen(have.listener, 16) == -1 ||
	    getsockname(
		have.listener, (struct sockaddr *)&have.address, &len) == -1)
		return -1;
	return 0;
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
	    cmocka_unit_test(forbidden_test),
	    cmocka_unit_test(fcntl_test),
	    cmocka_unit_test(files_test),
	    cmocka_unit_test(socket_test),
	    cmocka_unit_test(connect_test),
	    cmocka_unit_test(memory_test),
	    cmocka_unit_test(signal_test),
	    cmocka_unit_test(ioctl_test),
	    cmocka_unit_test(library_test),
	    cmocka_unit_test(compat_test),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
