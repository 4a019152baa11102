#ifndef MUSTER_REGRESS_OPENBSD_UNISTD_H
#define MUSTER_REGRESS_OPENBSD_UNISTD_H

/*
 * What OpenBSD's <unistd.h> has and other systems lack: with this directory
 * first in the include path, files named *_openbsd.c can be compiled, not
 * linked, anywhere.
 */
#include_next <unistd.h>

int pledge(const char *promises, const char *execpromises);
int unveil(const char *path, const char *permissions);

#endif
