#include <sys/mman.h>
#include <sys/sendfile.h>
#include <sys/stat.h>

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include "../common/log.h"
#include "parent.h"

/*
 * The files of TLS.  The kernel copies them into sealed memory: not a byte of
 * a key is ever in the memory of this process.  A worker that is started for
 * that alone says whether they do; the others get them before they listen.
 */

#define MAX_TLS_FILE (1024L * 1024)
#define SEALS (F_SEAL_WRITE | F_SEAL_GROW | F_SEAL_SHRINK | F_SEAL_SEAL)
#define CHECK_MS 10000 /* for a checker to answer */

static struct {
	struct table *table;
	tls_fn done;
	struct event timer;
} check;

int
tls_wanted(const struct table *t)
{
	uint32_t i;

	for (i = 0; i < t->count; i++)
		if (t->entries[i].kind == ENTRY_TLS)
			return 1;
	return 0;
}

static int
copy(int to, int from)
{
	ssize_t total;
	ssize_t n;

	for (total = 0; total <= MAX_TLS_FILE; total += n) {
		n = sendfile(to, from, NULL, (size_t)MAX_TLS_FILE + 1);
		if (n == -1)
			return -1;
		if (n == 0)
			return fcntl(to, F_ADD_SEALS, SEALS);
	}
	errno = EFBIG;
	return -1;
}

/* Its sealed copy, or -1. */
static int
load(const struct tls_entry *t, int *open_to_all)
{
	struct stat st;
	int error;
	int copied;
	int fd;
	int n;

	*open_to_all = 0;
	/* As who started us, over symbolic links: that is how certificates
	 * are kept.  The name is the operator's. */
	fd = open(t->path, O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
	if (fd == -1)
		return -1;
	copied = -1;
	n = fstat(fd, &st);
	if (n == 0 && !S_ISREG(st.st_mode)) {
		errno = EINVAL;
		n = -1;
	} else if (n == 0 && t->what == TLS_FILE_KEY)
		*open_to_all = (st.st_mode & 007) != 0;
	if (n == 0)
		copied = memfd_create("tls", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	if (copied != -1 && copy(copied, fd) == -1) {
		error = errno;
		(void)close(copied);
		errno = error;
		copied = -1;
	}
	error = errno;
	(void)close(fd);
	errno = error;
	return copied;
}

int
tls_load(struct table *t, uint32_t *bad)
{
	struct tls_entry file;
	struct entry *e;
	int open_to_all;
	int fd;

	for (*bad = 0; *bad < t->count; (*bad)++) {
		e = &t->entries[*bad];
		if (e->kind != ENTRY_TLS || tls_read(e, &file) == -1)
			continue;
		fd = load(&file, &open_to_all);
		if (fd == -1)
			return errno;
		if (open_to_all)
			e->flags |= ENTRY_IS_EXPOSED;
		e->fd = fcntl(fd, F_DUPFD_CLOEXEC, FIRST_HIGH_FD);
		(void)close(fd);
		if (e->fd == -1)
			return errno;
	}
	return 0;
}

static void
give(struct child *worker, const struct table *t, int checking)
{
	struct tls_entry file;
	const struct entry *e;
	struct wire *w;
	uint32_t i;

	for (i = 0; i < t->count; i++) {
		e = &t->entries[i];
		if (e->kind != ENTRY_TLS || e->fd == -1 ||
		    tls_read(e, &file) == -1)
			continue;
		w = message();
		wire_put_u8(w, file.what);
		wire_put_u8(w, file.flags);
		send_fd(worker, IMSG_TLS_FILE, memfd_reopen(e->fd, O_RDONLY));
	}
	wire_put_u8(message(), (uint8_t)checking);
	send_wire(worker, IMSG_TLS_DONE, 0, -1);
}

void
tls_give(struct child *worker)
{
	if (worker == parent.checker)
		give(worker, check.table, 1);
	else if (tls_wanted(parent.table))
		give(worker, parent.table, 0);
}

/* ---- checking ---------------------------------------------------------- */

void
tls_cancel(void)
{
	if (check.table == NULL)
		return;
	(void)evtimer_del(&check.timer);
	check.table = NULL;
	child_stop(parent.checker);
}

void
tls_checked(uint8_t what, const char *text, size_t len)
{
	const struct table *t;
	struct tls_entry file;
	uint32_t bad;
	uint32_t i;

	t = check.table;
	if (t == NULL)
		return;
	tls_cancel();
	bad = NO_ENTRY;
	for (i = 0; i < t->count && what != TLS_FILE_NONE; i++)
		if (t->entries[i].kind == ENTRY_TLS &&
		    tls_read(&t->entries[i], &file) == 0 &&
		    (bad == NO_ENTRY || file.what == what))
			bad = i;
	check.done(bad, text, len);
}

int
tls_verdict(struct wire_reader *r)
{
	const char *text;
	size_t len;
	uint8_t what;

	what = wire_get_u8(r);
	text = wire_get_view(r, MAX_TLS_TEXT, &len);
	if (wire_end(r) == -1 || what > TLS_FILE_KEY)
		return -1;
	tls_checked(what, text, len);
	return 0;
}

static void
late_cb(int fd, short events, void *arg)
{
	static const char late[] = "the program that checks it does not answer";

	(void)fd;
	(void)events;
	(void)arg;
	tls_checked(TLS_FILE_KEY, late, sizeof(late) - 1);
}

void
tls_check(struct table *t, tls_fn done)
{
	check.table = t;
	check.done = done;
	event_start(&check.timer, -1, late_cb, NULL);
	timer_set(&check.timer, CHECK_MS);
	child_start(parent.checker);
}
