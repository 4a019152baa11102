#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "../common/log.h"
#include "../common/snapshot.h"
#include "parent.h"

/* The configuration's bytes, read and never looked at. */

#define SEALS (F_SEAL_WRITE | F_SEAL_GROW | F_SEAL_SHRINK | F_SEAL_SEAL)
#define CHUNK 65536

struct included {
	char *path;
	int fd; /* sealed memfd or -1 */
	int error;
	dev_t device; /* what was read */
	ino_t inode;
};

/* What managers are born with: [0] the standing one, [1] while checked. */
static struct {
	int fd;
	dev_t device;
	ino_t inode;
	uint32_t count;
	struct included files[MAX_INCLUDES];
} snapshots[2] = {{.fd = -1}, {.fd = -1}};

int
config_open(const char *path, struct stat *st)
{
	int error;
	int fd;

	fd = open(path, O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
	if (fd == -1)
		return -1;
	error = 0;
	if (fstat(fd, st) == -1)
		error = errno;
	else if (!S_ISREG(st->st_mode))
		error = EINVAL;
	else if (st->st_size > (off_t)MAX_FILE_SIZE)
		error = EFBIG;
	else if (instance.uid == 0 && (st->st_mode & 022) != 0)
		error = EPERM; /* what it says is done as root */
	if (error == 0)
		return fd;
	(void)close(fd);
	errno = error;
	return -1;
}

int
memfd_reopen(int fd, int flags)
{
	char path[32];
	int copy;

	(void)snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	copy = open(path, flags | O_CLOEXEC);
	return copy;
}

static int
write_all(int fd, const void *data, size_t len)
{
	const uint8_t *p;
	ssize_t n;

	for (p = data; len > 0; p += n, len -= (size_t)n) {
		n = write(fd, p, len);
		if (n <= 0)
			return -1;
	}
	return 0;
}

/* Copies the file behind what is there; its length as read, or -1. */
static ssize_t
copy_file(int memfd, int fd)
{
	static uint8_t buf[CHUNK];
	ssize_t total;
	ssize_t n;

	for (total = 0; total <= (ssize_t)MAX_FILE_SIZE; total += n) {
		n = read(fd, buf, sizeof(buf));
		if (n == 0)
			return total;
		if (n == -1 || write_all(memfd, buf, (size_t)n) == -1)
			return -1;
	}
	errno = EFBIG;
	return -1;
}

static uint32_t
log_format(void)
{
	const char *word;

	word = options['F'];
	return word == NULL             ? 0 :
	    strcmp(word, "logfmt") == 0 ? SNAPSHOT_LOG_LOGFMT :
	    strcmp(word, "json") == 0   ? SNAPSHOT_LOG_JSON :
					  SNAPSHOT_LOG_TEXT;
}

static uint32_t
snapshot_flags(void)
{
	const char *const *o = options;

	return (o['n'] != NULL ? SNAPSHOT_CHECK_ONLY : 0) |
	    (o['d'] != NULL ? SNAPSHOT_DAEMON : 0) |
	    (o['d'] != NULL && o['W'] != NULL ? SNAPSHOT_DAEMON_WAIT : 0) |
	    (o['x'] != NULL ? SNAPSHOT_RUNNER : 0) |
	    (o['q'] != NULL ? SNAPSHOT_QUIET : 0) |
	    (is_journal(STDOUT_FILENO) ? SNAPSHOT_JOURNAL : 0) | log_format() |
	    (instance.uid == 0 ? SNAPSHOT_ROOT : 0) |
	    (isatty(STDOUT_FILENO) ? SNAPSHOT_STDOUT_TTY : 0) |
	    (isatty(STDERR_FILENO) ? SNAPSHOT_STDERR_TTY : 0);
}

static void
put_terminal(struct wire *w)
{
	struct winsize size;
	const char *force;
	const char *never;
	const char *term;
	int colour;

	memset(&size, 0, sizeof(size));
	if (ioctl(STDERR_FILENO, TIOCGWINSZ, &size) == -1)
		size.ws_col = 0;
	/* NOLINTBEGIN(concurrency-mt-unsafe) there are no threads */
	force = getenv("CLICOLOR_FORCE");
	never = getenv("NO_COLOR");
	term = getenv("TERM");
	/* NOLINTEND(concurrency-mt-unsafe) */
	colour = isatty(STDERR_FILENO) && (never == NULL || *never == '\0') &&
	    (term == NULL || strcmp(term, "dumb") != 0);
	if (force != NULL && *force != '\0')
		colour = 1;
	wire_put_u8(w, (uint8_t)(size.ws_col < 255 ? size.ws_col : 255));
	wire_put_u8(w, (uint8_t)colour);
}

static void
put_list(struct wire *w, char *const *list)
{
	uint32_t n;

	for (n = 0; list != NULL && list[n] != NULL; n++)
		;
	wire_put_u32(w, n);
	for (n = 0; list != NULL && list[n] != NULL; n++)
		wire_put_str(w, list[n]);
}

static void
put_head(struct wire *w, int error, const struct stat *st)
{
	wire_put_u32(w, SNAPSHOT_VERSION);
	wire_put_u32(w, snapshot_flags());
	wire_put_u8(w, (uint8_t)verbosity());
	wire_put_str(w, instance.boot);
	wire_put_u64(w, instance.started_wall);
	wire_put_u64(w, instance.started);
	wire_put_u32(w, instance.uid);
	wire_put_u32(w, instance.gid);
	wire_put_u32(w, (uint32_t)instance.guard);
	wire_put_str(w, instance.user);
	wire_put_str(w, instance.home);
	wire_put_str(w, instance.directory);
	wire_put_str(w, instance.libexec);
	wire_put_str(w, instance.socket);
	wire_put_str(w, options['l']);
	put_terminal(w);
	put_list(w, command);
	put_list(w, environ);
	wire_put_str(w, instance.file);
	wire_put_i32(w, error);
	wire_put_u32(w, error == 0 ? st->st_mode : 0);
	wire_put_u32(w, error == 0 ? st->st_uid : 0);
}

int
snapshot_make(int fd, int error, const struct stat *st)
{
	struct wire w;
	uint32_t len;
	ssize_t n;
	int memfd;

	wire_init(&w);
	put_head(&w, error, st);
	memfd = memfd_create("snapshot", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	n = 0;
	len = 0;
	if (memfd == -1 || wire_check(&w) == -1 ||
	    write_all(memfd, w.data, w.len) == -1 ||
	    write_all(memfd, &len, sizeof(len)) == -1)
		goto fail;
	if (fd != -1)
		n = copy_file(memfd, fd);
	len = (uint32_t)n;
	if (n == -1 ||
	    pwrite(memfd, &len, sizeof(len), (off_t)w.len) != sizeof(len) ||
	    fcntl(memfd, F_ADD_SEALS, SEALS) == -1)
		goto fail;
	wire_free(&w);
	return memfd;
fail:
	error = errno;
	wire_free(&w);
	if (memfd != -1)
		(void)close(memfd);
	errno = error;
	return -1;
}

void
snapshot_set(int staged, int memfd, const struct stat *st)
{
	snapshots[staged].fd = memfd;
	snapshots[staged].device = st == NULL ? 0 : st->st_dev;
	snapshots[staged].inode = st == NULL ? 0 : st->st_ino;
}

/* The number of a file that has been replaced may be another's by now. */
static int
is_still(const char *path, const struct stat *st)
{
	struct stat now_there;

	return stat(path, &now_there) == 0 && now_there.st_ino == st->st_ino &&
	    now_there.st_dev == st->st_dev;
}

int
snapshot_is_file(const struct stat *st)
{
	const struct included *file;
	uint32_t i;
	uint32_t n;

	for (i = 0; i < 2; i++) {
		if (snapshots[i].fd != -1 && snapshots[i].inode == st->st_ino &&
		    snapshots[i].device == st->st_dev &&
		    is_still(instance.file, st))
			return 1;
		for (n = 0; n < snapshots[i].count; n++) {
			file = &snapshots[i].files[n];
			if (file->fd != -1 && file->inode == st->st_ino &&
			    file->device == st->st_dev &&
			    is_still(file->path, st))
				return 1;
		}
	}
	return 0;
}

static void
forget(int i)
{
	uint32_t n;

	for (n = 0; n < snapshots[i].count; n++) {
		free(snapshots[i].files[n].path);
		if (snapshots[i].files[n].fd != -1)
			(void)close(snapshots[i].files[n].fd);
	}
	snapshots[i].count = 0;
	if (snapshots[i].fd != -1)
		(void)close(snapshots[i].fd);
	snapshots[i].fd = -1;
}

void
snapshot_drop(void)
{
	forget(1);
}

void
snapshot_swap(void)
{
	typeof(snapshots[0]) other;

	other = snapshots[0];
	snapshots[0] = snapshots[1];
	snapshots[1] = other;
}

void
snapshot_give(struct child *c)
{
	wire_put_u8(message(), c->birth);
	send_fd(c, IMSG_CFG_SNAPSHOT,
	    memfd_reopen(snapshots[c->birth == BIRTH_CHECK].fd, O_RDONLY));
}

static void
read_include(struct included *file)
{
	struct stat st;
	int fd;

	file->fd = -1;
	fd = config_open(file->path, &st);
	if (fd == -1) {
		file->error = errno;
		return;
	}
	file->device = st.st_dev;
	file->inode = st.st_ino;
	file->fd = memfd_create("include", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	if (file->fd == -1 || copy_file(file->fd, fd) == -1 ||
	    fcntl(file->fd, F_ADD_SEALS, SEALS) == -1) {
		file->error = errno;
		if (file->fd != -1)
			(void)close(file->fd);
		file->fd = -1;
	}
	(void)close(fd);
}

int
snapshot_include(struct child *c, const char *path)
{
	struct included *file;
	typeof(&snapshots[0]) s;
	uint32_t i;

	s = &snapshots[c->birth == BIRTH_CHECK];
	for (i = 0; i < s->count; i++)
		if (strcmp(s->files[i].path, path) == 0)
			break;
	/* After the seal nothing new is read, for whoever asks. */
	if (path[0] != '/' || i == MAX_INCLUDES ||
	    (i == s->count && c->birth == BIRTH_CRASH))
		return -1;
	file = &s->files[i];
	if (i == s->count) {
		memset(file, 0, sizeof(*file));
		file->path = strdup(path);
		if (file->path == NULL)
			return -1;
		read_include(file);
		s->count++;
	}
	wire_put_i32(message(), file->error);
	if (file->fd == -1)
		send_wire(c, IMSG_CFG_INCLUDED, 0, -1);
	else
		send_fd(c, IMSG_CFG_INCLUDED, memfd_reopen(file->fd, O_RDONLY));
	return 0;
}
