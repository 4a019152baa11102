#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include <errno.h>
#include <linux/sched.h>
#include <linux/close_range.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>

#include "parent.h"

/*
 * What happens between clone and exec.  The new process shares the
 * parent's memory and runs beside it (no CLONE_VFORK: an exec from a dead
 * NFS server must not stop the parent), on a stack of its own.  It touches
 * nothing but its plan and its result, and enters the kernel by
 * instructions of its own, because the C library's wrappers would write
 * the parent's errno.
 */

#define RAW static __attribute__((no_sanitize("address", "undefined"), unused))

#if defined(__x86_64__)
RAW inline long
raw(long nr, long a, long b, long c, long d, long e)
{
	register long r10 __asm__("r10") = d;
	register long r8 __asm__("r8") = e;
	long ret;

	__asm__ volatile("syscall"
			 : "=a"(ret)
			 : "a"(nr), "D"(a), "S"(b), "d"(c), "r"(r10), "r"(r8)
			 : "rcx", "r11", "memory");
	return ret;
}

RAW long
raw_clone(struct clone_args *args, void (*fn)(struct plan *), struct plan *plan)
{
	register void (*r8)(struct plan *) __asm__("r8") = fn;
	register struct plan *r9 __asm__("r9") = plan;
	long ret;

	__asm__ volatile(
	    "syscall\n\t"
	    "test %%rax, %%rax\n\t"
	    "jnz 1f\n\t"
	    "xor %%ebp, %%ebp\n\t"
	    "mov %%r9, %%rdi\n\t"
	    "call *%%r8\n\t"
	    "hlt\n"
	    "1:"
	    : "=a"(ret)
	    : "a"(SYS_clone3), "D"(args), "S"(sizeof(*args)), "r"(r8), "r"(r9)
	    : "rcx", "r11", "memory");
	return ret;
}
#elif defined(__aarch64__)
RAW inline long
raw(long nr, long a, long b, long c, long d, long e)
{
	register long x8 __asm__("x8") = nr;
	register long x0 __asm__("x0") = a;
	register long x1 __asm__("x1") = b;
	register long x2 __asm__("x2") = c;
	register long x3 __asm__("x3") = d;
	register long x4 __asm__("x4") = e;

	__asm__ volatile("svc #0"
			 : "+r"(x0)
			 : "r"(x8), "r"(x1), "r"(x2), "r"(x3), "r"(x4)
			 : "memory");
	return x0;
}

RAW long
raw_clone(struct clone_args *args, void (*fn)(struct plan *), struct plan *plan)
{
	register long x8 __asm__("x8") = SYS_clone3;
	register long x0 __asm__("x0") = (long)args;
	register long x1 __asm__("x1") = sizeof(*args);
	register void (*x9)(struct plan *) __asm__("x9") = fn;
	register struct plan *x10 __asm__("x10") = plan;

	__asm__ volatile("svc #0\n\t"
			 "cbnz x0, 1f\n\t"
			 "mov x29, #0\n\t"
			 "mov x0, x10\n\t"
			 "blr x9\n\t"
			 "brk #0\n"
			 "1:"
			 : "+r"(x0)
			 : "r"(x8), "r"(x1), "r"(x9), "r"(x10)
			 : "memory");
	return x0;
}
#else
/* Only after a fork: errno is the new process's own. */
RAW inline long
raw(long nr, long a, long b, long c, long d, long e)
{
	long ret;

	ret = syscall(nr, a, b, c, d, e);
	return ret == -1 ? -errno : ret;
}

RAW long
raw_clone(struct clone_args *args, void (*fn)(struct plan *), struct plan *plan)
{
	(void)args;
	(void)fn;
	(void)plan;
	return -ENOSYS;
}
#endif

RAW __attribute__((noreturn)) void
fail(const struct plan *p, enum stage stage, long error)
{
	p->result->error = (int32_t)-error;
	p->result->stage = stage;
	for (;;)
		(void)raw(SYS_exit_group, 127, 0, 0, 0, 0);
}

RAW inline void
check(const struct plan *p, enum stage stage, long ret)
{
	if (ret < 0)
		fail(p, stage, ret);
}

RAW void
set_stdio(const struct plan *p)
{
	int i;

	for (i = 0; i < 3; i++)
		if (p->stdio[i] >= 0)
			check(p, STAGE_STDIO,
			    raw(SYS_dup3, p->stdio[i], i, 0, 0, 0));
		else if (p->stdio[i] == -2)
			check(p, STAGE_STDIO, raw(SYS_dup3, 1, i, 0, 0, 0));
	for (i = 0; i < p->npass; i++)
		check(
		    p, STAGE_STDIO, raw(SYS_dup3, p->pass[i], 3 + i, 0, 0, 0));
	/* All descriptors are close-on-exec; this is the second lock. */
	(void)raw(
	    SYS_close_range, 3 + p->npass, ~0U, CLOSE_RANGE_CLOEXEC, 0, 0);
}

RAW void
set_identity(const struct plan *p)
{
	if (p->own)
		return;
	check(p, STAGE_GROUPS,
	    raw(SYS_setgroups, p->ngroups, (long)p->groups, 0, 0, 0));
	check(
	    p, STAGE_GROUPS, raw(SYS_setresgid, p->gid, p->gid, p->gid, 0, 0));
	check(p, STAGE_USER, raw(SYS_setresuid, p->uid, p->uid, p->uid, 0, 0));
}

RAW void
set_own_pid(const struct plan *p)
{
	char *end;
	long pid;
	long n;
	int digits;

	if (p->own_pid == NULL)
		return;
	pid = raw(SYS_getpid, 0, 0, 0, 0, 0);
	digits = 1;
	for (n = pid; n > 9; n /= 10)
		digits++;
	end = p->own_pid + digits;
	*end = '\0';
	for (n = pid; digits > 0; digits--, n /= 10)
		*--end = (char)('0' + n % 10);
}

RAW void
try_exec(const struct plan *p)
{
	char **c;
	long error;
	int denied;

	denied = 0;
	error = -ENOENT;
	for (c = p->first; *c != NULL; c++) {
		error = raw(
		    SYS_execve, (long)*c, (long)p->argv, (long)p->envp, 0, 0);
		if (error == -ENOEXEC) {
			/* A script without #!, as execvp(3) does. */
			static char shell[] = "/bin/sh";

			p->argv[-1] = shell;
			p->argv[0] = *c;
			error = raw(SYS_execve, (long)shell,
			    (long)(p->argv - 1), (long)p->envp, 0, 0);
		}
		if (error == -EACCES)
			denied = 1;
		else if (error != -ENOENT && error != -ENOTDIR &&
		    error != -ESTALE && error != -ENODEV && error != -ETIMEDOUT)
			fail(p, STAGE_EXEC, error);
	}
	fail(p, STAGE_EXEC, denied ? -EACCES : error);
}

RAW void
child_main(struct plan *p)
{
	const uint64_t none = 0;
	const uint64_t dfl[4] = {0, 0, 0, 0}; /* struct sigaction: SIG_DFL */
	int i;

	if (p->cgroup != -1)
		check(p, STAGE_CGROUP,
		    raw(SYS_write, p->cgroup, (long)"0", 1, 0, 0));
	check(p, STAGE_SETSID,
	    p->group == 0 ? raw(SYS_setsid, 0, 0, 0, 0, 0) :
			    raw(SYS_setpgid, 0, p->group, 0, 0, 0));
	set_stdio(p);
	for (i = 0; i < p->nlimits; i++)
		check(p, STAGE_LIMIT,
		    raw(SYS_prlimit64, 0, p->limits[i].resource,
			(long)p->limits[i].limit, 0, 0));
	if (p->nice != NO_NICE)
		check(p, STAGE_NICE,
		    raw(SYS_setpriority, PRIO_PROCESS, 0, p->nice, 0, 0));
	set_identity(p);
	/* A change of user clears it, hence only now. */
	check(
	    p, STAGE_USER, raw(SYS_prctl, PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0));
	if (raw(SYS_getppid, 0, 0, 0, 0, 0) != p->parent)
		fail(p, STAGE_CLONE, -ESRCH);
	if (p->umask != NO_UMASK)
		(void)raw(SYS_umask, p->umask, 0, 0, 0, 0);
	check(p, STAGE_CHDIR, raw(SYS_chdir, (long)p->directory, 0, 0, 0, 0));
	set_own_pid(p);
	if (p->default_hup)
		(void)raw(SYS_rt_sigaction, SIGHUP, (long)dfl, 0, 8, 0);
	(void)raw(SYS_rt_sigaction, SIGXFSZ, (long)dfl, 0, 8, 0);
	(void)raw(SYS_rt_sigprocmask, SIG_SETMASK, (long)&none, 0, 8, 0);
	try_exec(p);
}

/*
 * All signals are blocked and none has a handler, so none can be handled
 * here in the parent's memory.
 */
long
spawn_clone(struct plan *p, void *stack, size_t size, int cgroup)
{
	struct clone_args args;

	memset(&args, 0, sizeof(args));
	args.flags = CLONE_VM | CLONE_CHILD_CLEARTID;
	args.exit_signal = SIGCHLD;
	args.child_tid = (uint64_t)(uintptr_t)&p->result->tid;
	args.stack = (uint64_t)(uintptr_t)stack;
	args.stack_size = size;
	if (cgroup != -1) {
		args.flags |= CLONE_INTO_CGROUP;
		args.cgroup = (uint64_t)cgroup;
	}
	p->result->tid = 1;
	return raw_clone(&args, child_main, p);
}

long
spawn_fork(struct plan *p)
{
	pid_t pid;

	p->result->tid = 1;
	pid = fork();
	if (pid == 0)
		child_main(p);
	return pid == -1 ? -errno : pid;
}
