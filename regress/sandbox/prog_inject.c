/* sources: common/sandbox_linux.c common/log.c */
/* libs: bsd seccomp */
#include <sys/types.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/user.h>
#include <sys/wait.h>

#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/filter.h>
#include <linux/ptrace.h>
#include <linux/seccomp.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <bsd/stdlib.h>
#include <bsd/string.h>

#include <seccomp.h>

#include "log.h"
#include "sandbox.h"

/*
 * Makes a live process do system calls that its program would not do.
 *
 *	prog_inject PID <calls >outcomes
 *	prog_inject -f PID	prints its seccomp filter, in hexadecimal
 *	prog_inject -r ROLE	the filter of a process that has just
 *				entered the sandbox
 *
 * A call is a line `HOW ABI CALL ARGUMENT ...`, with up to six arguments: a
 * number, or % and the bytes, in hexadecimal, that it shall point to.
 *
 *	live	in the process itself
 *	bare	so, too, while its filter is suspended: what else holds?
 *	twin	in a new process of ours that has a copy of its filter
 *
 * ABI is native, i386 or x32; CALL its name or number.  The outcome is a line
 * with the name and the result, or `killed` (by the filter), `trapped`,
 * `signal N`, `exited N`, `blocked`, `event N`.  Exit code 77: that cannot be
 * done here.  It needs root and a kernel with CONFIG_CHECKPOINT_RESTORE.
 */

#define UNSUPPORTED 77
#define MAX_INSNS 4096

/* The filter of a process that we trace; returns how long it is. */
static unsigned short
get_filter(pid_t pid, struct sock_filter *insns)
{
	long count;

	errno = 0;
	if (ptrace(PTRACE_SECCOMP_GET_FILTER, pid, 1, NULL) != -1)
		errx(1, "%d has several filters", (int)pid);
	if (errno != ENOENT)
		err(1, "PTRACE_SECCOMP_GET_FILTER");
	count = ptrace(PTRACE_SECCOMP_GET_FILTER, pid, 0, NULL);
	if (count < 1 || count > MAX_INSNS)
		err(1, "%d has no filter", (int)pid);
	if (ptrace(PTRACE_SECCOMP_GET_FILTER, pid, 0, insns) != count)
		err(1, "PTRACE_SECCOMP_GET_FILTER");
	return (unsigned short)count;
}

static void
print_filter(pid_t pid)
{
	static struct sock_filter insns[MAX_INSNS];
	int count;
	int i;

	count = get_filter(pid, insns);
	(void)printf("%d\n", (int)pid);
	for (i = 0; i < count; i++)
		(void)printf("%04x %02x %02x %08x\n", insns[i].code,
		    insns[i].jt, insns[i].jf, insns[i].k);
}

/* Waits for a process that we trace; SIGALRM ends it. */
static int
wait_traced(pid_t pid, int *status)
{
	pid_t got;

	(void)alarm(5);
	got = waitpid(pid, status, __WALL);
	(void)alarm(0);
	return got == pid ? 0 : -1;
}

static void
seize(pid_t pid, long options)
{
	int status;

	if (ptrace(PTRACE_SEIZE, pid, NULL, options) == -1)
		err(1, "PTRACE_SEIZE of %d", (int)pid);
	if (ptrace(PTRACE_INTERRUPT, pid, NULL, NULL) == -1)
		err(1, "PTRACE_INTERRUPT");
	for (;;) {
		if (wait_traced(pid, &status) == -1 || !WIFSTOPPED(status))
			errx(1, "%d does not stop", (int)pid);
		if (status >> 16 == PTRACE_EVENT_STOP)
			return;
		if (ptrace(PTRACE_CONT, pid, NULL, (long)WSTOPSIG(status)) ==
		    -1)
			err(1, "PTRACE_CONT");
	}
}

static void
detach(pid_t pid, int signal_number)
{
	if (ptrace(PTRACE_DETACH, pid, NULL, (long)signal_number) == -1)
		err(1, "PTRACE_DETACH");
}

/* Ends us if this machine lets us do none of this. */
static void
try(void)
{
	int error = 0;
	int status;
	pid_t pid;

	pid = fork();
	if (pid == -1)
		err(1, "fork");
	if (pid == 0) {
		(void)prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
		for (;;)
			(void)pause();
	}
	if (ptrace(PTRACE_SEIZE, pid, NULL, PTRACE_O_SUSPEND_SECCOMP) == -1)
		error = errno;
	(void)kill(pid, SIGKILL);
	(void)waitpid(pid, &status, __WALL);
	if (error != 0) {
		errno = error;
		warn("PTRACE_O_SUSPEND_SECCOMP");
		_exit(UNSUPPORTED);
	}
}

/* Enters the sandbox of a role in a new process and prints its filter. */
static void
filter_of_role(const char *name)
{
	static const char *const names[] = {
	    "manager", "verifier", "resolver", "relay", "httpd"};
	struct sandbox_options options;
	char byte;
	pid_t pid;
	int ready[2];
	int hold[2]; /* ends when we do */
	int role;

	for (role = 0; role < 5 && strcmp(names[role], name) != 0; role++)
		;
	if (role == 5 || pipe2(ready, O_CLOEXEC) == -1 ||
	    pipe2(hold, O_CLOEXEC) == -1)
		errx(1, "%s is no role", name);
	pid = fork();
	if (pid == -1)
		err(1, "fork");
	if (pid == 0) {
		memset(&options, 0, sizeof(options));
		options.role = (enum sandbox_role)role;
		log_init("sandbox", LOG_LEVEL_ERROR, NULL);
		sandbox_enter(&options);
		(void)close(hold[1]);
		if (write(ready[1], "x", 1) != 1 ||
		    read(hold[0], &byte, 1) != 0)
			_exit(1);
		_exit(0);
	}
	if (read(ready[0], &byte, 1) != 1)
		errx(1, "%s: no sandbox", name);
	seize(pid, PTRACE_O_EXITKILL);
	print_filter(pid);
	(void)kill(pid, SIGKILL);
}

#ifdef __x86_64__

#define NOBODY 65534

enum abi {
	NATIVE,
	I386,
	X32,
};

struct call {
	char how[8]; /* as the line says */
	enum abi abi;
	long number;
	char name[64];
	unsigned long long args[6];
	unsigned char data[2048]; /* what arguments point to */
	size_t size;
	int pointers; /* bit mask: these arguments are offsets in data */
};

static pid_t target;

/* ---- one call ---------------------------------------------------------- */

static void
get(pid_t pid, struct user_regs_struct *regs)
{
	if (ptrace(PTRACE_GETREGS, pid, NULL, regs) == -1)
		err(1, "PTRACE_GETREGS");
}

static void
set(pid_t pid, const struct user_regs_struct *regs)
{
	if (ptrace(PTRACE_SETREGS, pid, NULL, regs) == -1)
		err(1, "PTRACE_SETREGS");
}

static long
peek(pid_t pid, unsigned long long address)
{
	long word;

	errno = 0;
	word = ptrace(PTRACE_PEEKTEXT, pid, address, NULL);
	if (errno != 0)
		err(1, "PTRACE_PEEKTEXT");
	return word;
}

static void
poke(pid_t pid, unsigned long long address, long word)
{
	if (ptrace(PTRACE_POKETEXT, pid, address, word) == -1)
		err(1, "PTRACE_POKETEXT");
}

/* The instruction pointer is put on `syscall` or `int $0x80`. */
static void
prepare(pid_t pid, const struct call *c, const struct user_regs_struct *saved)
{
	struct user_regs_struct regs;
	struct iovec local = {(void *)(uintptr_t)c->data, c->size};
	struct iovec remote = {NULL, c->size};
	unsigned long long a[6];
	unsigned long long base;
	long word;
	int i;

	base = (saved->rsp - 8192) & ~15ULL;
	remote.iov_base = (void *)(uintptr_t)base; /* NOLINT */
	if (c->size > 0 &&
	    process_vm_writev(pid, &local, 1, &remote, 1, 0) == -1)
		err(1, "process_vm_writev");
	for (i = 0; i < 6; i++)
		a[i] = c->args[i] + ((c->pointers & 1 << i) ? base : 0);
	regs = *saved;
	regs.orig_rax = (unsigned long long)-1; /* nothing to restart */
	regs.rax = (unsigned long long)c->number;
	if (c->abi == I386) {
		regs.rbx = a[0];
		regs.rcx = a[1];
		regs.rdx = a[2];
		regs.rsi = a[3];
		regs.rdi = a[4];
		regs.rbp = a[5];
	} else {
		regs.rdi = a[0];
		regs.rsi = a[1];
		regs.rdx = a[2];
		regs.r10 = a[3];
		regs.r8 = a[4];
		regs.r9 = a[5];
	}
	word = peek(pid, saved->rip) & ~0xffffL;
	poke(pid, saved->rip, word | (c->abi == I386 ? 0x80cd : 0x050f));
	set(pid, &regs);
}

/* Lets it do the call; returns 1 if it stands behind it. */
static int
step(pid_t pid, const struct call *c, int *status)
{
	struct user_regs_struct regs;

	if (ptrace(PTRACE_SINGLESTEP, pid, NULL, NULL) == -1)
		err(1, "PTRACE_SINGLESTEP");
	(void)printf("%s ", c->name);
	if (wait_traced(pid, status) == -1)
		(void)printf("blocked\n");
	else if (WIFEXITED(*status))
		(void)printf("exited %d\n", WEXITSTATUS(*status));
	else if (WIFSIGNALED(*status) && WTERMSIG(*status) == SIGSYS)
		(void)printf("killed\n");
	else if (WIFSIGNALED(*status))
		(void)printf("signal %d\n", WTERMSIG(*status));
	else if (*status >> 16 != 0)
		(void)printf("event %d\n", *status >> 16);
	else if (WSTOPSIG(*status) == SIGSYS)
		(void)printf("trapped\n");
	else if (WSTOPSIG(*status) != SIGTRAP)
		(void)printf("signal %d\n", WSTOPSIG(*status));
	else {
		get(pid, &regs);
		(void)printf("%lld\n",
		    c->abi == I386 ? (long long)(int)regs.rax :
				     (long long)regs.rax);
		return 1;
	}
	return 0;
}

/* ---- in whom ----------------------------------------------------------- */

/* A new process that has this filter; it is stopped. */
static pid_t
twin_new(struct sock_filter *insns, unsigned short count)
{
	struct sock_fprog program = {count, insns};
	pid_t pid;
	int status;

	pid = fork();
	if (pid == -1)
		err(1, "fork");
	if (pid == 0) {
		/* First: its right to trace is what we are at this moment. */
		if (ptrace(PTRACE_TRACEME, 0, NULL, NULL) == -1 ||
		    setgroups(0, NULL) == -1 ||
		    setresgid(NOBODY, NOBODY, NOBODY) == -1 ||
		    setresuid(NOBODY, NOBODY, NOBODY) == -1 ||
		    prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == -1 ||
		    prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) == -1)
			_exit(1);
		for (;;)
			__asm__ volatile("int3");
	}
	if (wait_traced(pid, &status) == -1 || !WIFSTOPPED(status) ||
	    WSTOPSIG(status) != SIGTRAP)
		errx(1, "no twin");
	if (ptrace(PTRACE_SETOPTIONS, pid, NULL,
		PTRACE_O_TRACEFORK | PTRACE_O_TRACEVFORK | PTRACE_O_TRACECLONE |
		    PTRACE_O_EXITKILL) == -1)
		err(1, "PTRACE_SETOPTIONS");
	return pid;
}

static void
in_twin(const struct call *c)
{
	static struct sock_filter insns[MAX_INSNS];
	static unsigned short count;
	struct user_regs_struct regs;
	pid_t pid;
	int status = 0;

	if (count == 0) {
		seize(target, 0);
		count = get_filter(target, insns);
		detach(target, 0);
	}
	pid = twin_new(insns, count);
	get(pid, &regs);
	prepare(pid, c, &regs);
	(void)step(pid, c, &status);
	if (WIFSTOPPED(status) || status == 0) {
		(void)kill(pid, SIGKILL);
		while (wait_traced(pid, &status) == 0 && WIFSTOPPED(status))
			;
	}
}

static void
in_target(const struct call *c, int bare)
{
	struct user_regs_struct saved;
	long word;
	int status = 0;

	seize(target, bare ? PTRACE_O_SUSPEND_SECCOMP : 0);
	get(target, &saved);
	word = peek(target, saved.rip);
	prepare(target, c, &saved);
	if (step(target, c, &status)) {
		poke(target, saved.rip, word);
		set(target, &saved);
		detach(target, 0);
		return;
	}
	/* Its handler runs; the SIGTRAP of the single step is not its own. */
	while (WIFSTOPPED(status)) {
		if (ptrace(PTRACE_CONT, target, NULL,
			WSTOPSIG(status) == SIGTRAP ? 0L : WSTOPSIG(status)) ==
		    -1)
			err(1, "PTRACE_CONT");
		if (wait_traced(target, &status) == -1)
			errx(1, "%d does not end", (int)target);
	}
}

/* ---- what to do -------------------------------------------------------- */

static const struct {
	const char *name;
	uint32_t arch;
} abis[] = {
    [NATIVE] = {"native", SCMP_ARCH_X86_64},
    [I386] = {"i386", SCMP_ARCH_X86},
    [X32] = {"x32", SCMP_ARCH_X32},
};

static long long
number(const char *text)
{
	const char *error;
	long long value;

	value = strtonum(text, INT64_MIN, INT64_MAX, &error);
	if (error != NULL)
		errx(1, "%s is %s", text, error);
	return value;
}

static unsigned int
digit(char c)
{
	static const char digits[] = "0123456789abcdef";
	const char *at;

	at = c == '\0' ? NULL : strchr(digits, c);
	if (at == NULL)
		errx(1, "bytes are pairs of hexadecimal digits");
	return (unsigned int)(at - digits);
}

/* Bytes in hexadecimal, to the end of `data`. */
static void
parse_bytes(struct call *c, int i, const char *text)
{
	c->args[i] = c->size;
	c->pointers |= 1 << i;
	for (; *text != '\0'; text += 2) {
		if (c->size == sizeof(c->data))
			errx(1, "too many bytes");
		c->data[c->size++] =
		    (unsigned char)(digit(text[0]) << 4 | digit(text[1]));
	}
	c->size = (c->size + 15) & ~(size_t)15;
}

static void
parse(struct call *c, char *line)
{
	const char *word;
	char *name;
	int i;

	memset(c, 0, sizeof(*c));
	(void)strlcpy(c->how, strsep(&line, " "), sizeof(c->how));
	word = strsep(&line, " ");
	for (i = 0; word != NULL && i <= X32; i++)
		if (strcmp(abis[i].name, word) == 0)
			break;
	word = strsep(&line, " ");
	if (word == NULL || i > X32)
		errx(1, "HOW ABI CALL ARGUMENT ...");
	c->abi = (enum abi)i;
	if (word[0] >= '0' && word[0] <= '9')
		c->number = (long)number(word);
	else
		c->number =
		    seccomp_syscall_resolve_name_arch(abis[i].arch, word);
	if (c->number < 0)
		errx(1, "%s: no such system call", word);
	name = seccomp_syscall_resolve_num_arch(abis[i].arch, (int)c->number);
	(void)strlcpy(c->name, name != NULL ? name : word, sizeof(c->name));
	free(name);
	for (i = 0; (word = strsep(&line, " ")) != NULL && i < 6; i++) {
		if (word[0] == '%')
			parse_bytes(c, i, word + 1);
		else
			c->args[i] = (unsigned long long)number(word);
	}
}

static void
late(int signal_number)
{
	(void)signal_number;
}

static int
inject(pid_t pid)
{
	struct sigaction action;
	struct call c;
	char *line = NULL;
	size_t size = 0;

	target = pid;
	memset(&action, 0, sizeof(action));
	if (setvbuf(stdout, NULL, _IOLBF, 0) != 0)
		err(1, "setvbuf");
	action.sa_handler = late; /* without SA_RESTART: waitpid(2) ends */
	if (sigaction(SIGALRM, &action, NULL) == -1)
		err(1, "sigaction");
	while (getline(&line, &size, stdin) > 0) {
		line[strcspn(line, "\n")] = '\0';
		parse(&c, line);
		if (strcmp(c.how, "twin") == 0)
			in_twin(&c);
		else
			in_target(&c, strcmp(c.how, "bare") == 0);
	}
	free(line);
	return fflush(stdout) == EOF;
}

#else

static int
inject(pid_t pid)
{
	warnx("%d: not on this machine", (int)pid);
	return UNSUPPORTED;
}

#endif

int
main(int argc, char **argv)
{
	const char *error = NULL;
	pid_t pid;

	try();
	if (argc == 3 && strcmp(argv[1], "-r") == 0) {
		filter_of_role(argv[2]);
		return 0;
	}
	if (argc < 2 || argc > 3)
		errx(1, "prog_inject [-f] PID, or -r ROLE");
	pid = (pid_t)strtonum(argv[argc - 1], 1, INT32_MAX, &error);
	if (error != NULL)
		errx(1, "%s: %s", argv[argc - 1], error);
	if (argc == 2)
		return inject(pid);
	seize(pid, 0);
	print_filter(pid);
	detach(pid, 0);
	return 0;
}
