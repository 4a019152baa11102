#ifndef MUSTER_MANAGER_SNAPSHOT_H
#define MUSTER_MANAGER_SNAPSHOT_H

#include <stddef.h>
#include <stdint.h>

/*
 * The snapshot of common/snapshot.h, mapped and decoded.  Strings are
 * copies; the file's bytes point into the mapping.
 */
struct snapshot {
	uint32_t flags; /* SNAPSHOT_* */
	unsigned int verbosity;
	char boot[32];
	uint64_t started_wall;
	uint64_t started;
	uint32_t uid;
	uint32_t gid;
	uint32_t pid;
	char *user;
	char *home;
	char *directory;
	char *libexec;
	char *socket;
	char *logfile; /* "" none */
	unsigned int columns;
	int colour;
	char **command; /* -x */
	size_t ncommand;
	char **environment;
	size_t nenvironment;
	char *path;
	int error; /* errno of reading the file */
	uint32_t mode;
	uint32_t owner;
	const void *bytes;
	size_t len;
	void *map;
	size_t map_len;
};

/* Takes fd over.  NULL with errno set (EINVAL: malformed). */
struct snapshot *snapshot_open(int fd);
void snapshot_free(struct snapshot *);
/* The file's bytes and the environment are not needed any more. */
void snapshot_release(struct snapshot *);
/* Value of a variable of musterd's environment, or NULL. */
const char *snapshot_getenv(const struct snapshot *, const char *name);

#endif
