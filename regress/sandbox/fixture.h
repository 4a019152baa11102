#ifndef MUSTER_REGRESS_SANDBOX_FIXTURE_H
#define MUSTER_REGRESS_SANDBOX_FIXTURE_H

#include <sys/types.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "sandbox.h"

/*
 * Children that enter the sandbox as an ordinary user: one that was so
 * before, or (drop) one that root changes to, which only root can try.
 */
#define ROLES ((int)SANDBOX_HTTPD + 1)
#define NOBODY 65534

/* What outcome() gives for a child that the filter has killed. */
#define KILLED (-1)

extern int as_root; /* 0 or 1 */
extern char empty[]; /* root directory of those that drop */

/* To be called by the group's setup and teardown; 0 or -1. */
int fixture_setup(void);
int fixture_teardown(void);

const char *role_name(int role);
/* In the child; exits if that fails. */
void enter(int role, int drop, int trap);
/* Waits: exit status, KILLED, or 1000 + another signal. */
int outcome(pid_t);

#endif
