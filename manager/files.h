#ifndef MUSTER_FILES_H
#define MUSTER_FILES_H

#include <stddef.h>
#include <stdint.h>

struct imsg;

/*
 * Further files of the configuration (includes, CA bundles), read for us by
 * the parent into its snapshot.  Asking is asynchronous: files_get() of a
 * file that is not here yet asks for it and fails with EAGAIN; the loader
 * goes on as if it were empty, and is run again when all have come.
 */
int files_get(void *arg, const char *path, const void **bytes, size_t *len);
/* IMSG_CFG_INCLUDED; 0, or -1 when malformed. */
int files_answer(struct imsg *);
/* How many are asked for and have not come. */
unsigned int files_pending(void);

#endif
