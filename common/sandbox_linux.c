#include <sys/types.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#include <netinet/in.h>
#include <netinet/tcp.h>

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <limits.h>
#include <linux/capability.h>
#include <malloc.h>
#include <signal.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <bsd/string.h>

#include <seccomp.h>

#include "log.h"
#include "sandbox.h"

/* Of the type of socket(2), without the flags. */
#define SOCKET_TYPE (UINT32_MAX & ~(SOCK_NONBLOCK | SOCK_CLOEXEC))
#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

#if defined(__SANITIZE_ADDRESS__)
#define SANDBOX_SANITIZER 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define SANDBOX_SANITIZER 1
#endif
#endif

/*
 * System calls.
 */

#define MANAGER (1U << SANDBOX_MANAGER)
#define VERIFIER (1U << SANDBOX_VERIFIER)
#define RESOLVER (1U << SANDBOX_RESOLVER)
#define RELAY (1U << SANDBOX_RELAY)
#define HTTPD (1U << SANDBOX_HTTPD)
#define EVERY (MANAGER | VERIFIER | RESOLVER | RELAY | HTTPD)
#define NETWORK (VERIFIER | RESOLVER | HTTPD)

/* With which arguments a call is allowed. */
enum sandbox_check {
	ANY = 0,
	FCNTL, /* descriptor and file flags; for the relay the pipe size */
	NO_EXEC, /* nothing that can be executed, see mmap(2) */
	NO_PATH, /* fstat(3): AT_EMPTY_PATH */
	READ_ONLY, /* openat(2) for reading */
	READABLE, /* ioctl(2) FIONREAD */
	OWN_PID, /* raise(3), abort(3) */
	INET, /* socket(2) of TCP; of UDP as well for the resolver */
	OPTION, /* setsockopt(2) of harmless ones */
};

struct sandbox_rule {
	int call;
	unsigned int roles;
	enum sandbox_check check;
};

/*
 * What a program may call; all else kills it.  Both names of a call stand
 * here where C libraries or machines differ (epoll_wait and epoll_pwait,
 * poll and ppoll, fstat and newfstatat).  The time calls are for machines
 * whose clock the vDSO cannot read.  sysinfo is qsort(3) of glibc, readv
 * stdio of musl.
 */
static const struct sandbox_rule sandbox_rules[] = {
    {SCMP_SYS(read), EVERY, ANY},
    {SCMP_SYS(write), EVERY, ANY},
    {SCMP_SYS(writev), EVERY, ANY},
    {SCMP_SYS(readv), RESOLVER, ANY},
    {SCMP_SYS(recvmsg), EVERY, ANY},
    {SCMP_SYS(sendmsg), EVERY, ANY},
    {SCMP_SYS(close), EVERY, ANY},
    {SCMP_SYS(fcntl), EVERY, FCNTL},
    {SCMP_SYS(fstat), EVERY, ANY},
    {SCMP_SYS(newfstatat), EVERY & ~RESOLVER, NO_PATH},
    {SCMP_SYS(epoll_wait), EVERY, ANY},
    {SCMP_SYS(epoll_pwait), EVERY, ANY},
    {SCMP_SYS(epoll_ctl), EVERY, ANY},

    {SCMP_SYS(brk), EVERY, ANY},
    {SCMP_SYS(mmap), EVERY, NO_EXEC},
    {SCMP_SYS(munmap), EVERY, ANY},
    {SCMP_SYS(mremap), EVERY, ANY},
    {SCMP_SYS(madvise), EVERY, ANY},
    {SCMP_SYS(mprotect), EVERY & ~RELAY, NO_EXEC},
    {SCMP_SYS(futex), EVERY, ANY},
    {SCMP_SYS(getrandom), EVERY, ANY},
    {SCMP_SYS(sysinfo), EVERY & ~RELAY, ANY},
    {SCMP_SYS(clock_gettime), EVERY, ANY},
    {SCMP_SYS(gettimeofday), EVERY, ANY},

    {SCMP_SYS(rt_sigreturn), EVERY, ANY},
    {SCMP_SYS(rt_sigprocmask), EVERY, ANY},
    {SCMP_SYS(rt_sigaction), VERIFIER, ANY},
    {SCMP_SYS(restart_syscall), EVERY, ANY},
    {SCMP_SYS(getpid), EVERY, ANY},
    {SCMP_SYS(gettid), EVERY, ANY},
    {SCMP_SYS(tgkill), EVERY, OWN_PID},
    {SCMP_SYS(exit), EVERY & ~RELAY, ANY},
    {SCMP_SYS(exit_group), EVERY, ANY},

    {SCMP_SYS(lseek), RELAY | RESOLVER, ANY},
    {SCMP_SYS(pread64), RELAY, ANY},
    {SCMP_SYS(pwrite64), RELAY, ANY},
    {SCMP_SYS(splice), RELAY, ANY},
    {SCMP_SYS(fallocate), RELAY, ANY},
    {SCMP_SYS(clock_nanosleep), RELAY, ANY},
    {SCMP_SYS(ioctl), RELAY | RESOLVER, READABLE},

    {SCMP_SYS(recvfrom), NETWORK, ANY},
    {SCMP_SYS(sendto), NETWORK, ANY},
    {SCMP_SYS(getsockname), NETWORK, ANY},
    {SCMP_SYS(getsockopt), NETWORK, ANY},
    {SCMP_SYS(accept4), HTTPD, ANY},
    {SCMP_SYS(shutdown), HTTPD | VERIFIER, ANY},
    {SCMP_SYS(socket), VERIFIER | RESOLVER, INET},
    {SCMP_SYS(connect), VERIFIER | RESOLVER, ANY},
    {SCMP_SYS(setsockopt), VERIFIER | RESOLVER, OPTION},
    {SCMP_SYS(getpeername), VERIFIER, ANY},
    {SCMP_SYS(poll), HTTPD | VERIFIER | RESOLVER, ANY},
    {SCMP_SYS(ppoll), HTTPD | VERIFIER | RESOLVER, ANY},

    {SCMP_SYS(openat), RESOLVER, READ_ONLY},
    {SCMP_SYS(newfstatat), RESOLVER, ANY},
    {SCMP_SYS(sendmmsg), RESOLVER, ANY},
    {SCMP_SYS(uname), RESOLVER, ANY},
};

/*
 * What libraries do by habit and can do without is refused rather than
 * deadly, as in OpenSSH; in the trap mode it is deadly as well, so that the
 * fact is seen.
 */
static const struct {
	int call;
	int error;
	unsigned int roles;
} sandbox_habits[] = {
    {SCMP_SYS(open), EACCES, EVERY},
    {SCMP_SYS(openat), EACCES, EVERY & ~RESOLVER},
    {SCMP_SYS(stat), EACCES, EVERY},
    {SCMP_SYS(lstat), EACCES, EVERY},
    {SCMP_SYS(statx), EACCES, EVERY},
    {SCMP_SYS(access), EACCES, EVERY},
    {SCMP_SYS(faccessat), EACCES, EVERY},
    {SCMP_SYS(faccessat2), EACCES, EVERY},
    {SCMP_SYS(readlink), EACCES, EVERY},
    {SCMP_SYS(readlinkat), EACCES, EVERY},
    {SCMP_SYS(mprotect), EACCES, RELAY},
    {SCMP_SYS(sysinfo), ENOSYS, RELAY},
    {SCMP_SYS(ioctl), ENOTTY, EVERY & ~(RELAY | RESOLVER)},
};

#ifdef SANDBOX_SANITIZER
/* What the run-time of AddressSanitizer needs besides, in such builds. */
static const int sandbox_sanitizer[] = {
    SCMP_SYS(sigaltstack),
    SCMP_SYS(sched_yield),
};
#endif

/* Are calls of habit refused, not deadly? */
static int
habits(const struct sandbox_options *options)
{
#ifdef SANDBOX_SANITIZER
	(void)options;
	return 1;
#else
	return !options->trap;
#endif
}

static const int sandbox_fcntl[] = {
    F_GETFD,
    F_SETFD,
    F_GETFL,
    F_SETFL,
};

/*
 * What libcurl and the resolvers of C libraries set.  Not what a protocol
 * module, a filter or a group of addresses can be chosen with.
 */
static const struct {
	int level;
	int option;
} sandbox_socket_options[] = {
    {SOL_SOCKET, SO_KEEPALIVE},
    {SOL_SOCKET, SO_LINGER},
    {SOL_SOCKET, SO_REUSEADDR},
    {SOL_SOCKET, SO_RCVBUF},
    {SOL_SOCKET, SO_SNDBUF},
    {IPPROTO_IP, IP_TOS},
    {IPPROTO_IP, IP_MTU_DISCOVER},
    {IPPROTO_IP, IP_RECVERR},
    {IPPROTO_IPV6, IPV6_TCLASS},
    {IPPROTO_IPV6, IPV6_V6ONLY},
    {IPPROTO_IPV6, IPV6_MTU_DISCOVER},
    {IPPROTO_IPV6, IPV6_RECVERR},
    {IPPROTO_TCP, TCP_NODELAY},
    {IPPROTO_TCP, TCP_KEEPIDLE},
    {IPPROTO_TCP, TCP_KEEPINTVL},
    {IPPROTO_TCP, TCP_KEEPCNT},
    {IPPROTO_TCP, TCP_USER_TIMEOUT},
    {IPPROTO_TCP, TCP_QUICKACK},
    {IPPROTO_TCP, TCP_FASTOPEN_CONNECT},
};

static const char *const sandbox_names[] = {
    [SANDBOX_MANAGER] = "manager",
    [SANDBOX_VERIFIER] = "verifier",
    [SANDBOX_RESOLVER] = "resolver",
    [SANDBOX_RELAY] = "relay",
    [SANDBOX_HTTPD] = "httpd",
};

/* Of an argument, by number: is it `value`, in the bits of `mask`? */
static struct scmp_arg_cmp
equal(unsigned int argument, scmp_datum_t value)
{
	struct scmp_arg_cmp compare;

	memset(&compare, 0, sizeof(compare));
	compare.arg = argument;
	compare.op = SCMP_CMP_EQ;
	compare.datum_a = value;
	return compare;
}

static struct scmp_arg_cmp
masked(unsigned int argument, scmp_datum_t mask, scmp_datum_t value)
{
	struct scmp_arg_cmp compare;

	compare = equal(argument, mask);
	compare.op = SCMP_CMP_MASKED_EQ;
	compare.datum_b = value;
	return compare;
}

/* Adds a rule: `count` comparisons of arguments must all hold. */
static void
filter_add(scmp_filter_ctx filter, uint32_t action, int call,
    unsigned int count, const struct scmp_arg_cmp *compare)
{
	int error;

	error = seccomp_rule_add_array(filter, action, call, count, compare);
	if (error < 0) {
		errno = -error;
		fatal("sandbox: seccomp_rule_add_array");
	}
}

static void
filter_add_equal(scmp_filter_ctx filter, int call, unsigned int argument,
    const int *values, size_t count)
{
	size_t i;

	for (i = 0; i < count; i++) {
		struct scmp_arg_cmp compare;

		compare = equal(argument, (scmp_datum_t)values[i]);
		filter_add(filter, SCMP_ACT_ALLOW, call, 1, &compare);
	}
}

/* socket(2) of this kind, by any of the names of its protocol. */
static void
filter_add_inet(scmp_filter_ctx filter, int family, int type, int protocol)
{
	const int protocols[] = {IPPROTO_IP, protocol};
	size_t i;

	for (i = 0; i < COUNT(protocols); i++) {
		struct scmp_arg_cmp compare[] = {
		    equal(0, (scmp_datum_t)family),
		    masked(1, SOCKET_TYPE, (scmp_datum_t)type),
		    equal(2, (scmp_datum_t)protocols[i]),
		};

		filter_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(socket),
		    COUNT(compare), compare);
	}
}

/*
 * socket(2): TCP and, for the resolver, UDP; others, such as SCTP, would
 * load a module into the kernel.  curl asks for a UDP socket to see whether
 * there is IPv6, getaddrinfo(3) for nscd's Unix socket and for netlink:
 * these take a refusal well.
 */
static void
filter_add_socket(scmp_filter_ctx filter, enum sandbox_role role)
{
	const int families[] = {AF_INET, AF_INET6};
	const int local[] = {AF_UNIX, AF_NETLINK};
	const uint32_t refuse = SCMP_ACT_ERRNO(EAFNOSUPPORT);
	const int call = SCMP_SYS(socket);
	size_t i;

	for (i = 0; i < COUNT(families); i++) {
		struct scmp_arg_cmp compare[] = {
		    equal(0, (scmp_datum_t)families[i]),
		    masked(1, SOCKET_TYPE, SOCK_DGRAM),
		};

		filter_add_inet(filter, families[i], SOCK_STREAM, IPPROTO_TCP);
		if (role == SANDBOX_RESOLVER)
			filter_add_inet(
			    filter, families[i], SOCK_DGRAM, IPPROTO_UDP);
		else
			filter_add(filter, refuse, call, 2, compare);
	}
	for (i = 0; role == SANDBOX_RESOLVER && i < COUNT(local); i++) {
		struct scmp_arg_cmp compare;

		compare = equal(0, (scmp_datum_t)local[i]);
		filter_add(filter, refuse, call, 1, &compare);
	}
}

static void
filter_add_options(scmp_filter_ctx filter)
{
	size_t i;

	for (i = 0; i < COUNT(sandbox_socket_options); i++) {
		struct scmp_arg_cmp compare[] = {
		    equal(1, (scmp_datum_t)sandbox_socket_options[i].level),
		    equal(2, (scmp_datum_t)sandbox_socket_options[i].option),
		};

		filter_add(
		    filter, SCMP_ACT_ALLOW, SCMP_SYS(setsockopt), 2, compare);
	}
}

/*
 * Allows the call when the bits `mask` of an argument have this value, and
 * refuses it with `error`, if that is not 0, when they have not; then the
 * mask must be one bit.
 */
static void
filter_add_masked(scmp_filter_ctx filter, int call, unsigned int argument,
    unsigned int mask, unsigned int value, int error)
{
	struct scmp_arg_cmp compare;

	compare = masked(argument, mask, value);
	filter_add(filter, SCMP_ACT_ALLOW, call, 1, &compare);
	if (error == 0)
		return;
	compare.datum_b = mask & ~value;
	filter_add(filter, SCMP_ACT_ERRNO((uint16_t)error), call, 1, &compare);
}

static void
filter_add_rule(scmp_filter_ctx filter, const struct sandbox_rule *rule,
    const struct sandbox_options *options)
{
	struct scmp_arg_cmp compare;
	int resolver;

	resolver = options->role == SANDBOX_RESOLVER;
	switch (rule->check) {
	case ANY:
		filter_add(filter, SCMP_ACT_ALLOW, rule->call, 0, NULL);
		break;
	case FCNTL:
		filter_add_equal(
		    filter, rule->call, 1, sandbox_fcntl, COUNT(sandbox_fcntl));
		compare = equal(1, F_SETPIPE_SZ);
		if (options->role == SANDBOX_RELAY)
			filter_add(
			    filter, SCMP_ACT_ALLOW, rule->call, 1, &compare);
		break;
	case NO_EXEC:
		/*
		 * dlopen(3) of a module for names is no attack where there
		 * is no Landlock to refuse the file.
		 */
		filter_add_masked(
		    filter, rule->call, 2, PROT_EXEC, 0, resolver ? EACCES : 0);
		break;
	case NO_PATH:
		filter_add_masked(filter, rule->call, 3, AT_EMPTY_PATH,
		    AT_EMPTY_PATH, habits(options) ? EACCES : 0);
		break;
	case READ_ONLY:
		filter_add_masked(filter, rule->call, 2,
		    O_ACCMODE | O_CREAT | O_TRUNC | O_APPEND | O_TMPFILE,
		    O_RDONLY, 0);
		break;
	case READABLE:
		compare = equal(1, FIONREAD);
		filter_add(filter, SCMP_ACT_ALLOW, rule->call, 1, &compare);
		compare.op = SCMP_CMP_NE;
		if (habits(options))
			filter_add(filter, SCMP_ACT_ERRNO(ENOTTY), rule->call,
			    1, &compare);
		break;
	case OWN_PID:
		compare = equal(0, (scmp_datum_t)getpid());
		filter_add(filter, SCMP_ACT_ALLOW, rule->call, 1, &compare);
		break;
	case INET:
		filter_add_socket(filter, options->role);
		break;
	case OPTION:
		filter_add_options(filter);
		break;
	}
}

/*
 * The trap mode.
 */

static const char *trap_role;
static char *trap_names[1024]; /* of the system calls, where known */

/* Appends what fits; snprintf(3) is not for signal handlers. */
static void
trap_append(char *line, size_t size, const char *text)
{
	(void)strlcat(line, text, size);
}

static void
trap_handler(int signal_number, siginfo_t *info, void *context)
{
	char number[16];
	char line[160] = "musterd: ";
	size_t at;
	unsigned int call;

	(void)signal_number;
	(void)context;
	call = (unsigned int)info->si_syscall;
	at = sizeof(number) - 1;
	number[at] = '\0';
	do {
		number[--at] = (char)('0' + call % 10);
		call /= 10;
	} while (call > 0 && at > 0);
	trap_append(line, sizeof(line), trap_role);
	trap_append(line, sizeof(line), ": sandbox: system call ");
	trap_append(line, sizeof(line), number + at);
	call = (unsigned int)info->si_syscall;
	if (call < COUNT(trap_names) && trap_names[call] != NULL) {
		trap_append(line, sizeof(line), " ");
		trap_append(line, sizeof(line), trap_names[call]);
	}
	trap_append(line, sizeof(line), " is not allowed\n");
	if (write(STDERR_FILENO, line, strlen(line)) == -1)
		_exit(160);
	_exit(159);
}

/* The names are looked up now: the library's function allocates memory. */
static void
trap_prepare(enum sandbox_role role)
{
	struct sigaction action;
	int i;

	trap_role = sandbox_names[role];
	for (i = 0; i < (int)COUNT(trap_names); i++)
		trap_names[i] =
		    seccomp_syscall_resolve_num_arch(SCMP_ARCH_NATIVE, i);
	memset(&action, 0, sizeof(action));
	(void)sigemptyset(&action.sa_mask);
	action.sa_flags = SA_SIGINFO;
	action.sa_sigaction = trap_handler;
	if (sigaction(SIGSYS, &action, NULL) == -1)
		fatal("sandbox: sigaction");
}

static void
filter_set(scmp_filter_ctx filter, enum scmp_filter_attr name, uint32_t value)
{
	int error;

	error = seccomp_attr_set(filter, name, value);
	if (error < 0) {
		errno = -error;
		fatal("sandbox: seccomp_attr_set");
	}
}

static void
filter_enter(const struct sandbox_options *options)
{
	const unsigned int role = 1U << options->role;
	scmp_filter_ctx filter;
	size_t i;
	int error;

	filter =
	    seccomp_init(options->trap ? SCMP_ACT_TRAP : SCMP_ACT_KILL_PROCESS);
	if (filter == NULL)
		fatalx("sandbox: seccomp_init failed");
	filter_set(filter, SCMP_FLTATR_ACT_BADARCH, SCMP_ACT_KILL_PROCESS);
	/* A binary tree: the calls at the end of the list cost no more. */
	filter_set(filter, SCMP_FLTATR_CTL_OPTIMIZE, 2);
	for (i = 0; i < COUNT(sandbox_rules); i++) {
		if ((sandbox_rules[i].roles & role) != 0)
			filter_add_rule(filter, &sandbox_rules[i], options);
	}
	for (i = 0; habits(options) && i < COUNT(sandbox_habits); i++) {
		if ((sandbox_habits[i].roles & role) != 0)
			filter_add(filter,
			    SCMP_ACT_ERRNO((uint16_t)sandbox_habits[i].error),
			    sandbox_habits[i].call, 0, NULL);
	}
#ifdef SANDBOX_SANITIZER
	for (i = 0; i < COUNT(sandbox_sanitizer); i++)
		filter_add(
		    filter, SCMP_ACT_ALLOW, sandbox_sanitizer[i], 0, NULL);
#endif
	error = seccomp_load(filter);
	if (error < 0) {
		errno = -error;
		fatal("sandbox: seccomp_load");
	}
	seccomp_release(filter);
	/* The library's tables were larger than all that is to come. */
	(void)malloc_trim(0);
}

/*
 * Landlock.  The header of the C library's kernel may be older than the
 * kernel that we run on, so the names are our own.
 */

#define RULESET_VERSION 1U /* LANDLOCK_CREATE_RULESET_VERSION */
#define RULE_PATH_BENEATH 1
#define RULE_NET_PORT 2
#define FS_READ_FILE (1ULL << 2)
#define FS_ALL(bits) ((1ULL << (bits)) - 1)
#define NET_BIND_TCP (1ULL << 0)
#define NET_CONNECT_TCP (1ULL << 1)
#define SCOPE_ABSTRACT_UNIX (1ULL << 0)
#define SCOPE_SIGNAL (1ULL << 1)
#define DNS_PORT 53

struct ruleset_attr {
	uint64_t fs;
	uint64_t net; /* from ABI 4 on */
	uint64_t scoped; /* from ABI 6 on */
};

struct path_beneath_attr {
	uint64_t access;
	int32_t fd;
} __attribute__((packed));

struct net_port_attr {
	uint64_t access;
	uint64_t port;
};

/* What an ABI knows of: more is refused with EINVAL or E2BIG. */
static size_t
landlock_rights(long abi, struct ruleset_attr *attr)
{
	memset(attr, 0, sizeof(*attr));
	attr->fs = FS_ALL(13);
	if (abi >= 2)
		attr->fs = FS_ALL(14); /* REFER */
	if (abi >= 3)
		attr->fs = FS_ALL(15); /* TRUNCATE */
	if (abi >= 5)
		attr->fs = FS_ALL(16); /* IOCTL_DEV */
	if (abi < 4)
		return offsetof(struct ruleset_attr, net);
	attr->net = NET_BIND_TCP | NET_CONNECT_TCP;
	if (abi < 6)
		return offsetof(struct ruleset_attr, scoped);
	attr->scoped = SCOPE_ABSTRACT_UNIX | SCOPE_SIGNAL;
	return sizeof(*attr);
}

static void
landlock_allow(int ruleset, const char *path)
{
	struct path_beneath_attr rule;
	int fd;

	fd = open(path, O_PATH | O_CLOEXEC);
	if (fd == -1)
		return; /* most systems have not all of them */
	rule.access = FS_READ_FILE;
	rule.fd = fd;
	if (syscall(SYS_landlock_add_rule, ruleset, RULE_PATH_BENEATH, &rule,
		0) == -1)
		log_warn("sandbox: %s", path);
	(void)close(fd);
}

/*
 * What getaddrinfo(3) reads.  resolv.conf is often a link to a file that is
 * replaced again and again: then its directory.
 */
static void
landlock_allow_names(int ruleset)
{
	static const char *const files[] = {"/etc/resolv.conf", "/etc/hosts",
	    "/etc/nsswitch.conf", "/etc/host.conf", "/etc/gai.conf"};
	struct net_port_attr port = {NET_CONNECT_TCP, DNS_PORT};
	char path[PATH_MAX];
	char *slash;
	size_t i;

	for (i = 0; i < COUNT(files); i++)
		landlock_allow(ruleset, files[i]);
	if (realpath(files[0], path) != NULL &&
	    strncmp(path, "/etc/", 5) != 0) {
		slash = strrchr(path, '/');
		if (slash != NULL && slash != path) {
			*slash = '\0';
			landlock_allow(ruleset, path);
		}
	}
	/* Fails before ABI 4, where connecting is not restricted. */
	(void)syscall(SYS_landlock_add_rule, ruleset, RULE_NET_PORT, &port, 0);
}

static void
landlock_enter(const struct sandbox_options *options)
{
	struct ruleset_attr attr;
	size_t size;
	long abi;
	int ruleset;

	abi = syscall(SYS_landlock_create_ruleset, NULL, 0, RULESET_VERSION);
	if (abi < 1)
		return; /* none in this kernel, or switched off */
	size = landlock_rights(abi, &attr);
	/* Which ports a check will ask is not known yet. */
	if (options->role == SANDBOX_VERIFIER)
		attr.net &= ~NET_CONNECT_TCP;
	ruleset = (int)syscall(SYS_landlock_create_ruleset, &attr, size, 0);
	if (ruleset == -1) {
		log_warn("sandbox: landlock_create_ruleset");
		return;
	}
	if (options->role == SANDBOX_RESOLVER)
		landlock_allow_names(ruleset);
	if (syscall(SYS_landlock_restrict_self, ruleset, 0) == -1)
		log_warn("sandbox: landlock_restrict_self");
	(void)close(ruleset);
}

/*
 * Limits, users, capabilities.
 */

static void
limit(int resource, rlim_t value)
{
	struct rlimit rl;

	rl.rlim_cur = rl.rlim_max = value;
	if (setrlimit(resource, &rl) == -1)
		fatal("sandbox: setrlimit");
}

static void
limits_enter(const struct sandbox_options *options)
{
	limit(RLIMIT_CORE, 0);
	limit(RLIMIT_NPROC, 0);
	/*
	 * The relay writes to journals and log files.  In the trap mode
	 * standard error may be a file.
	 */
	if (options->role != SANDBOX_RELAY && !options->trap)
		limit(RLIMIT_FSIZE, 0);
}

/* Nobody may attach to us or read our memory. */
static void
dumpable_enter(void)
{
	if (prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) == -1)
		fatal("sandbox: PR_SET_DUMPABLE");
}

/*
 * Changes root directory, groups and user, for good.  The resolver keeps
 * the root directory: getaddrinfo(3) reads files of /etc each time.
 */
static void
identity_enter(const struct sandbox_options *options)
{
	struct stat st;
	uid_t ruid;
	uid_t euid;
	uid_t suid;

	if (options->uid == 0 || options->gid == 0)
		fatalx("sandbox: not with root's uid or gid");
	if (options->role != SANDBOX_RESOLVER) {
		if (stat(options->root, &st) == -1)
			fatal("sandbox: %s", options->root);
		if (!S_ISDIR(st.st_mode) || st.st_uid != 0 ||
		    (st.st_mode & (S_IWGRP | S_IWOTH)) != 0)
			fatalx("sandbox: %s: not a directory of root's alone",
			    options->root);
		if (chroot(options->root) == -1 || chdir("/") == -1)
			fatal("sandbox: %s", options->root);
	}
	if (setgroups(0, NULL) == -1)
		fatal("sandbox: setgroups");
	if (setresgid(options->gid, options->gid, options->gid) == -1)
		fatal("sandbox: setresgid");
	if (setresuid(options->uid, options->uid, options->uid) == -1)
		fatal("sandbox: setresuid");
	if (getresuid(&ruid, &euid, &suid) == -1 || ruid != options->uid ||
	    euid != options->uid || suid != options->uid || setuid(0) != -1 ||
	    seteuid(0) != -1 || setgid(0) != -1)
		fatalx("sandbox: root can be regained");
}

/*
 * Takes all capabilities out of the bounding set, which needs one, so that
 * it comes before the change of user.
 */
static void
bounding_enter(void)
{
	unsigned long cap;

	for (cap = 0; prctl(PR_CAPBSET_READ, cap, 0, 0, 0) >= 0; cap++) {
		if (prctl(PR_CAPBSET_DROP, cap, 0, 0, 0) == -1) {
			/* An ordinary user, who gains none by exec(2)
			 * either: no_new_privs. */
			if (errno == EPERM)
				return;
			fatal("sandbox: PR_CAPBSET_DROP");
		}
	}
}

static void
capabilities_enter(void)
{
	struct __user_cap_header_struct header;
	struct __user_cap_data_struct data[_LINUX_CAPABILITY_U32S_3];

	if (prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0) == -1)
		fatal("sandbox: PR_CAP_AMBIENT");
	memset(&header, 0, sizeof(header));
	memset(data, 0, sizeof(data));
	header.version = _LINUX_CAPABILITY_VERSION_3;
	if (syscall(SYS_capset, &header, data) == -1)
		fatal("sandbox: capset");
	if (syscall(SYS_capget, &header, data) == -1)
		fatal("sandbox: capget");
	if ((data[0].effective | data[0].permitted | data[0].inheritable |
		data[1].effective | data[1].permitted | data[1].inheritable) !=
	    0)
		fatalx("sandbox: capabilities are left");
}

void
sandbox_enter(const struct sandbox_options *options)
{
	if (options->trap)
		trap_prepare(options->role);
	limits_enter(options);
	dumpable_enter();
	/* Out of reach of the terminal's keys; EPERM: musterd did it. */
	if (setsid() == -1 && errno != EPERM)
		fatal("sandbox: setsid");
	bounding_enter();
	if (options->drop)
		identity_enter(options);
	capabilities_enter();
	/* A change of credentials resets it to fs.suid_dumpable. */
	dumpable_enter();
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == -1)
		fatal("sandbox: PR_SET_NO_NEW_PRIVS");
	landlock_enter(options);
	filter_enter(options);
}

int
sandbox_count(enum sandbox_role role)
{
	size_t i;
	int count;

	for (count = 0, i = 0; i < COUNT(sandbox_rules); i++)
		count += (sandbox_rules[i].roles & (1U << role)) != 0;
	return count;
}
