#include <sys/types.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include <errno.h>
#include <grp.h>
#include <stddef.h>
#include <unistd.h>

#include "log.h"
#include "sandbox.h"

/*
 * OpenBSD: chroot(2) and another user as elsewhere, then unveil(2) of
 * nothing and pledge(2).  A process that breaks its promise gets SIGABRT and
 * the kernel names the call, so there is no trap mode.
 */

/*
 * recvfd: channels, pipes and memory come from the parent.  inet: accept(2)
 * for httpd, TCP connections for the verifier, which cannot be told apart.
 * dns: resolv.conf(5), and port 53.
 */
static const char *const sandbox_promises[] = {
    [SANDBOX_MANAGER] = "stdio recvfd",
    [SANDBOX_VERIFIER] = "stdio recvfd inet",
    [SANDBOX_RESOLVER] = "stdio recvfd dns",
    [SANDBOX_RELAY] = "stdio recvfd",
    [SANDBOX_HTTPD] = "stdio recvfd inet unix",
};

static void
limit(int resource, rlim_t value)
{
	struct rlimit rl;

	rl.rlim_cur = rl.rlim_max = value;
	if (setrlimit(resource, &rl) == -1)
		fatal("sandbox: setrlimit");
}

/*
 * Changes root directory, groups and user, for good.  The resolver keeps
 * the root directory, because it reads files of /etc each time.
 */
static void
identity_enter(const struct sandbox_options *options)
{
	struct stat st;

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
	if (setgroups(1, &options->gid) == -1)
		fatal("sandbox: setgroups");
	if (setresgid(options->gid, options->gid, options->gid) == -1)
		fatal("sandbox: setresgid");
	if (setresuid(options->uid, options->uid, options->uid) == -1)
		fatal("sandbox: setresuid");
}

void
sandbox_enter(const struct sandbox_options *options)
{
	limit(RLIMIT_CORE, 0);
	limit(RLIMIT_NPROC, 0);
	if (options->role != SANDBOX_RELAY)
		limit(RLIMIT_FSIZE, 0);
	if (setsid() == -1 && errno != EPERM)
		fatal("sandbox: setsid");
	if (options->drop)
		identity_enter(options);
	/* "dns" opens its files whatever is unveiled. */
	if (unveil("/", "") == -1 || unveil(NULL, NULL) == -1)
		fatal("sandbox: unveil");
	if (pledge(sandbox_promises[options->role], "") == -1)
		fatal("sandbox: pledge");
}

/* pledge(2) counts in promises. */
int
sandbox_count(enum sandbox_role role)
{
	const char *p;
	int count;

	for (count = 1, p = sandbox_promises[role]; *p != '\0'; p++)
		count += *p == ' ';
	return count;
}
