#include <sys/stat.h>

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <string.h>
#include <unistd.h>

#include "../common/log.h"
#include "parent.h"

/*
 * Files that output goes to: opened here as the job's user, written by the
 * relay.  A descriptor is kept for the next relay.
 */

#define LOGFILE_OWN 0 /* sink of the file named by -l */
#define SHOWN_PATH 800 /* bytes of one: a message has room for the reason */

static uint32_t last_sink;

void
logfile_send(uint32_t sink, int fd, uint32_t flags)
{
	struct wire *w;

	fd = copy_fd(fd);
	w = message();
	wire_put_u32(w, sink);
	wire_put_u32(w, flags);
	send_fd(parent.relay, IMSG_SINK_OPEN, fd);
}

static void
send_sink(const struct entry *e, uint32_t flags)
{
	logfile_send(e->sink, e->fd,
	    flags | (e->flags & ENTRY_IS_SHARED ? SINK_SHARED : 0));
}

/*
 * Their names lead to our own descriptors over symbolic links, which are not
 * followed in general.  Opened anew as any other file: non-blocking for the
 * relay alone, and with the rights of the job's user.  A regular file has one
 * offset then that all share, or one would write over the other.
 */
static int
own_stream(const char *path)
{
	if (strcmp(path, "/dev/stdout") == 0)
		return STDOUT_FILENO;
	return strcmp(path, "/dev/stderr") == 0 ? STDERR_FILENO : -1;
}

/* A descriptor of what its path names, or -1. */
static int
open_path(const struct table *t, const struct entry *e,
    const struct file_entry *file, struct stat *st)
{
	const int flags = O_WRONLY | O_APPEND | O_NONBLOCK | O_NOCTTY;
	int error;
	int own;
	int fd;

	if (cred_enter(&t->creds[e->cred]) == -1)
		return -1;
	own = own_stream(file->path);
	if (own != -1)
		fd = memfd_reopen(own, flags);
	else
		fd = open(file->path, flags | O_CREAT | O_NOFOLLOW | O_CLOEXEC,
		    (mode_t)file->mode);
	cred_leave(&t->creds[e->cred]);
	if (fd == -1)
		return -1;
	error = EINVAL;
	if (own != -1 && fstat(fd, st) == 0 && S_ISREG(st->st_mode)) {
		(void)close(fd);
		fd = fcntl(own, F_DUPFD_CLOEXEC, 0);
	}
	if (fstat(fd, st) == 0 && !S_ISDIR(st->st_mode) &&
	    !S_ISBLK(st->st_mode))
		error = snapshot_is_file(st) ? ETXTBSY : 0;
	if (error == 0)
		return fd;
	(void)close(fd);
	errno = error;
	return -1;
}

/* Opens (anew) and tells the relay; 0 or -1. */
static int
open_entry(const struct table *t, struct entry *e, int truncated)
{
	struct file_entry file;
	struct stat st;
	int error;
	int fd;

	if (file_read(e, &file) == -1)
		return -1;
	fd = open_path(t, e, &file, &st);
	if (fd == -1)
		return -1;
	truncated =
	    truncated && own_stream(file.path) == -1 && S_ISREG(st.st_mode);
	if (truncated && ftruncate(fd, 0) == -1) {
		error = errno;
		(void)close(fd);
		errno = error;
		return -1;
	}
	if (e->fd != -1)
		(void)close(e->fd);
	e->fd = fd;
	send_sink(e, truncated || st.st_size == 0 ? SINK_FRESH : 0);
	return 0;
}

int
logfile_use(const struct slot *s, uint32_t entry)
{
	struct file_entry file;
	struct entry *e;

	e = table_entry(parent.table, entry, ENTRY_LOGFILE);
	if (e == NULL || file_read(e, &file) == -1)
		return -1;
	e = &parent.table->entries[e->first];
	/* Another instance, or another process of the same file. */
	if (e->user == 0)
		e->user = s->process;
	if (e->user != s->process || s->instance > 0)
		e->flags |= ENTRY_IS_SHARED;
	if (e->sink == 0)
		e->sink = ++last_sink;
	if (e->fd == -1 || !file.append)
		return open_entry(parent.table, e, !file.append);
	if (e->user != s->process) /* the flags may have changed */
		send_sink(e, 0);
	return 0;
}

uint32_t
logfile_sink(uint32_t entry)
{
	const struct entry *e;

	e = table_entry(parent.table, entry, ENTRY_LOGFILE);
	if (e != NULL)
		e = &parent.table->entries[e->first];
	return e == NULL || e->fd == -1 ? NO_ENTRY : e->sink;
}

int
logfile_has_sink(const struct table *t, uint32_t sink)
{
	uint32_t i;

	for (i = 0; i < t->count; i++)
		if (t->entries[i].kind == ENTRY_LOGFILE &&
		    t->entries[i].fd != -1 && t->entries[i].sink == sink)
			return 1;
	return 0;
}

/* Is it that of -l? */
static int
is_own(const struct entry *e, struct file_entry *file)
{
	return e->kind == ENTRY_LOGFILE && !(e->flags & ENTRY_IS_USED) &&
	    file_read(e, file) == 0 && file->path[0] != '\0';
}

/* What stays is written to as before: 0 or -1. */
static int
take_over(struct table *t, uint32_t i, const struct table *old)
{
	const struct entry *before;
	struct entry *e;
	uint32_t j;

	e = &t->entries[i];
	j = old == NULL ? NO_ENTRY : table_same(t, i, old);
	if (j == NO_ENTRY || old->entries[j].fd == -1)
		return 0;
	before = &old->entries[j];
	e->sink = before->sink;
	e->user = before->user;
	e->flags |= before->flags & ENTRY_IS_SHARED;
	e->fd = copy_fd(before->fd);
	return e->fd == -1 ? -1 : 0;
}

int
logfile_check(struct table *t, const struct table *old, uint32_t *entry)
{
	struct file_entry file;
	struct stat st;
	uint32_t i;
	int fd;

	for (i = 0; i < t->count; i++) {
		if (t->entries[i].kind != ENTRY_LOGFILE)
			continue;
		*entry = i;
		if (take_over(t, i, old) == -1)
			return errno;
		if (!is_own(&t->entries[i], &file))
			continue;
		fd = open_path(t, &t->entries[i], &file, &st);
		if (fd == -1)
			return errno;
		(void)close(fd);
	}
	return 0;
}

void
logfile_seal(struct table *t)
{
	struct file_entry file;
	struct entry *e;
	uint32_t i;

	for (i = 0; i < t->count; i++) {
		e = &t->entries[i];
		if (e->kind != ENTRY_LOGFILE || e->fd != -1 ||
		    !is_own(e, &file))
			continue;
		e->sink = LOGFILE_OWN;
		if (open_entry(t, e, 1) == -1)
			log_warn("log file %.*s", SHOWN_PATH, file.path);
	}
}

static void
each_open(void (*fn)(struct entry *))
{
	uint32_t i;

	for (i = 0; parent.table != NULL && i < parent.table->count; i++)
		if (parent.table->entries[i].kind == ENTRY_LOGFILE &&
		    parent.table->entries[i].fd != -1)
			fn(&parent.table->entries[i]);
}

static void
reopen(struct entry *e)
{
	struct file_entry file;
	int error;

	if (open_entry(parent.table, e, 0) == 0)
		return;
	error = errno;
	(void)file_read(e, &file);
	errno = error;
	log_warn("log file %.*s cannot be opened again", SHOWN_PATH, file.path);
}

static void
resend(struct entry *e)
{
	send_sink(e, 0);
}

void
logfile_reopen(void)
{
	each_open(reopen);
}

void
logfile_resend(void)
{
	each_open(resend);
}

/* ---- what a check looks for -------------------------------------------- */

int
logfile_stat(uint32_t id, struct wire_reader *r)
{
	const struct cred *c;
	const struct entry *e;
	struct file_entry file;
	struct stat st;
	struct wire *w;
	int error;

	e = table_entry(parent.table, wire_get_u32(r), ENTRY_FILE);
	if (wire_end(r) == -1 || e == NULL || file_read(e, &file) == -1)
		return -1;
	memset(&st, 0, sizeof(st));
	c = &parent.table->creds[e->cred];
	if (cred_enter(c) == -1)
		error = errno;
	else {
		error = stat(file.path, &st) == -1 ? errno : 0;
		cred_leave(c);
	}
	w = message();
	wire_put_i32(w, error);
	wire_put_u32(w, st.st_mode);
	wire_put_u64(w, (uint64_t)st.st_size);
	wire_put_i64(w, st.st_mtime);
	send_wire(parent.manager, IMSG_FILE_STAT_DONE, id, -1);
	return 0;
}
