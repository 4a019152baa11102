#ifndef MUSTER_SANDBOX_H
#define MUSTER_SANDBOX_H

#include <sys/types.h>

enum sandbox_role {
	SANDBOX_MANAGER,
	SANDBOX_VERIFIER,
	SANDBOX_RESOLVER,
	SANDBOX_RELAY,
	SANDBOX_HTTPD,
};

struct sandbox_options {
	enum sandbox_role role;
	int drop; /* started as root: chroot, setgroups, setresgid/uid */
	uid_t uid;
	gid_t gid;
	const char *root; /* empty directory of root's for chroot, when drop */
	int trap; /* debug: names a refused call on descriptor 2, exit 159 */
};

/*
 * Confines this process, in this order: rlimits (core 0, nproc 0, fsize 0
 * except for the relay whose memfds count), dumpable 0, chroot and change
 * of user and groups, capability bounding and all other sets empty,
 * no_new_privs, Landlock as far as the kernel has it, seccomp allow-list
 * with KILL_PROCESS.  Must be called before a byte from outside is read.
 * On failure of a step that must hold: fatal().  Landlock is best effort
 * (kernels before 5.13 have none, 6.1 has no TCP rules).  The resolver keeps
 * the root directory, since getaddrinfo(3) reads files of /etc each time:
 * Landlock leaves it those and no others.
 */
void sandbox_enter(const struct sandbox_options *);
/* Number of system calls (OpenBSD: promises) that a role is allowed. */
int sandbox_count(enum sandbox_role);

#endif
