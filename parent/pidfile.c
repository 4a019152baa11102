#include <sys/file.h>
#include <sys/stat.h>

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "../common/log.h"
#include "parent.h"

/*
 * The file of -p.  Who runs with it has a lock on it; at the end it is
 * removed if it is still what was written.
 */

#define MAX_TRIES 10 /* where files have no inode to be known by */

static struct {
	dev_t device;
	ino_t inode;
	char text[16];
	size_t len;
	int is_made; /* by us, and a regular file */
} made;

size_t
pid_put(int fd, char text[16])
{
	ssize_t n;
	int len;

	len = snprintf(text, 16, "%d\n", (int)getpid());
	/* A pipe or device can be written to, and nothing else. */
	if (ftruncate(fd, 0) == -1 && errno != EINVAL)
		n = -1;
	else {
		n = pwrite(fd, text, (size_t)len, 0);
		if (n == -1 && errno == ESPIPE)
			n = write(fd, text, (size_t)len);
	}
	if (n != len)
		log_warn("cannot write the process id");
	return n == -1 ? 0 : (size_t)n;
}

/* Is it, still, what the path names? */
static int
is_there(const char *path, const struct stat *st)
{
	struct stat other;

	return lstat(path, &other) == 0 && S_ISREG(other.st_mode) &&
	    other.st_ino == st->st_ino && other.st_dev == st->st_dev;
}

/* A link is followed to what is no regular file. */
static int
open_linked(const char *path, struct stat *st)
{
	int fd;

	fd = open(path, O_WRONLY | O_CLOEXEC);
	if (fd != -1 && fstat(fd, st) == 0 && !S_ISREG(st->st_mode))
		return fd;
	if (fd != -1)
		(void)close(fd);
	errno = ELOOP;
	return -1;
}

/* Opened and locked, or only opened if it is no regular file; -1 and errno. */
static int
open_locked(const char *path, struct stat *st)
{
	int error;
	int fd;

	fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0644);
	if (fd == -1 && errno == ELOOP) /* perhaps of a device: /dev/stdout */
		return open_linked(path, st);
	if (fd == -1)
		return -1;
	if (fstat(fd, st) == 0 &&
	    (!S_ISREG(st->st_mode) || flock(fd, LOCK_EX | LOCK_NB) == 0 ||
		errno != EWOULDBLOCK)) /* it cannot be locked there */
		return fd;
	error = errno;
	(void)close(fd);
	errno = error;
	return -1;
}

int
pid_file_make(const char *path)
{
	struct stat st;
	int tries;
	int fd;

	for (tries = 1;; tries++) {
		fd = open_locked(path, &st);
		if (fd == -1)
			return -1;
		/* Who had it may have removed it before letting go of it. */
		made.is_made = S_ISREG(st.st_mode) && is_there(path, &st);
		if (made.is_made || !S_ISREG(st.st_mode) || tries == MAX_TRIES)
			break;
		(void)close(fd);
	}
	made.device = st.st_dev;
	made.inode = st.st_ino;
	made.len = pid_put(fd, made.text);
	/* The lock is that of guard and parent, until both have gone. */
	if (!made.is_made)
		(void)close(fd); /* devices and pipes stay */
	return 0;
}

void
pid_file_remove(const char *path)
{
	char text[sizeof(made.text)];
	struct stat st;
	ssize_t n;
	int fd;

	if (!made.is_made)
		return;
	fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
	if (fd == -1)
		return;
	n = pread(fd, text, sizeof(text), 0);
	if (n == (ssize_t)made.len && memcmp(text, made.text, made.len) == 0 &&
	    fstat(fd, &st) == 0 && st.st_dev == made.device &&
	    st.st_ino == made.inode && is_there(path, &st))
		(void)unlink(path);
	(void)close(fd);
}
