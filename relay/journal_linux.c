#include <sys/types.h>
#include <sys/ioctl.h>
#include <sys/stat.h>

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "log.h"
#include "relay.h"

/*
 * The journal of a stream.
 *
 * splice(2) takes bytes from a pipe, copies them into the memfd and moves
 * its file offset in one system call, which a SIGKILL cannot divide; and the
 * offset lives in the open file description, of which the parent has a copy.
 * So a relay that is killed loses and doubles nothing: the next one asks the
 * descriptor how far it is.  (Reading into memory loses what was read and
 * not yet written: measured, in half of all kills.)
 *
 * The memfd is written in laps.  When a lap is full, the next byte goes to
 * file offset 0 again, over the oldest; until then
 *
 *	file:	0 ......... o ............ previous
 *		this lap    the lap before
 *
 * file offset o holds stream offset `base` + o in this lap, and what is left
 * of the lap before holds base - previous + o onwards.  Against one endless
 * file whose old pages are punched out this costs half (0.5 CPU seconds for
 * 1 GB to a log file instead of 1.0, measured): no page is allocated, mapped
 * or freed, and the same few stay in the processor's cache.
 *
 * Turning is the only step of several system calls.  A header that lies far
 * behind the data, written with one pwrite(2) within one page, tells
 * `turning`; nothing is spliced until that is cleared, so that a successor
 * finds either o == previous (the offset was not yet set back) or o == 0.
 * Before the first turn there is no header: base and previous are 0.
 */

/* Near enough for a page tree of three levels, beyond any lap. */
#define HEADER_AT ((off_t)1024 * 1024 * 1024 - 4096)

struct journal_header {
	uint64_t base;
	uint64_t previous;
	uint64_t turning;
};

#define SPLICE_MAX (1024UL * 1024) /* the largest pipe of an ordinary user */

void
journal_init(struct journal *j)
{
	memset(j, 0, sizeof(*j));
	j->fd = -1;
}

void
journal_close(struct journal *j)
{
	if (j->fd != -1)
		(void)close(j->fd);
	j->fd = -1;
}

static int
header_write(const struct journal *j, uint64_t turning)
{
	struct journal_header h;
	ssize_t n;

	h.base = j->base;
	h.previous = j->previous;
	h.turning = turning;
	n = pwrite(j->fd, &h, sizeof(h), HEADER_AT);
	if (n == (ssize_t)sizeof(h))
		return 0;
	if (n != -1)
		errno = EIO;
	return -1;
}

/* Second and third step of a turn; may be repeated. */
static int
turn_finish(struct journal *j)
{
	if (lseek(j->fd, 0, SEEK_SET) == -1)
		return -1;
	return header_write(j, 0);
}

/*
 * Begins a new lap.  When it fails the journal is as before; only where it
 * stops half way (the kernel could not get a page back that was there) we
 * leave it to a successor to go on.
 */
static int
turn(struct journal *j)
{
	uint32_t lap = (uint32_t)(j->end - j->base);
	struct journal before = *j;

	j->base = j->end;
	j->previous = lap;
	if (header_write(j, 1) == -1) {
		*j = before;
		return -1;
	}
	if (turn_finish(j) == -1)
		fatal("journal");
	/* The laps became shorter: what lies behind this one is older. */
	if (before.previous > lap)
		(void)fallocate(j->fd,
		    FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, lap,
		    before.previous - lap);
	return 0;
}

int
journal_open(struct journal *j, int fd)
{
	struct journal_header h;
	struct stat st;
	ssize_t n;
	off_t at;

	if (fstat(fd, &st) == -1 || !S_ISREG(st.st_mode))
		goto fail;
	at = lseek(fd, 0, SEEK_CUR);
	n = pread(fd, &h, sizeof(h), HEADER_AT);
	if (at == -1 || n == -1)
		goto fail;
	if (n == 0)
		memset(&h, 0, sizeof(h));
	else if (n != (ssize_t)sizeof(h))
		goto fail;
	if (at >= HEADER_AT || h.previous >= (uint64_t)HEADER_AT ||
	    h.base > INT64_MAX || h.turning > 1 ||
	    (h.turning && at != 0 && (uint64_t)at != h.previous))
		goto fail;
	j->fd = fd;
	j->base = h.base;
	j->previous = (uint32_t)h.previous;
	j->end = h.base + (h.turning ? 0 : (uint64_t)at);
	if (!h.turning || turn_finish(j) == 0)
		return 0;
	j->fd = -1;
fail:
	(void)close(fd);
	return -1;
}

uint64_t
journal_start(const struct journal *j)
{
	uint64_t at = j->end - j->base;

	return j->previous > at ? j->end - j->previous : j->base;
}

/* Bytes that may be written now without touching `oldest` and later ones. */
static uint64_t
room(const struct journal *j, uint32_t lap, uint64_t oldest)
{
	uint64_t at = j->end - j->base;
	uint64_t left = at < lap ? lap - at : 0;
	uint64_t start = journal_start(j);

	if (oldest >= j->base)
		return left;
	if (oldest <= start)
		return 0;
	return oldest - start < left ? oldest - start : left;
}

ssize_t
journal_splice(
    struct journal *j, int fd, size_t max, uint32_t lap, uint64_t oldest)
{
	uint64_t left;
	ssize_t n;

	if (j->end - j->base >= lap && turn(j) == -1)
		return -1;
	left = room(j, lap, oldest);
	if (left == 0) {
		errno = ENOBUFS;
		return -1;
	}
	if (max > SPLICE_MAX)
		max = SPLICE_MAX;
	if (max > left)
		max = (size_t)left;
	do
		n = splice(fd, NULL, j->fd, NULL, max,
		    SPLICE_F_NONBLOCK | SPLICE_F_MOVE);
	while (n == -1 && errno == EINTR);
	if (n > 0)
		j->end += (uint64_t)n;
	return n;
}

static int
read_at(int fd, off_t at, uint8_t *buf, size_t len)
{
	while (len > 0) {
		ssize_t n = pread(fd, buf, len, at);

		if (n == -1 && errno == EINTR)
			continue;
		if (n <= 0)
			return -1;
		buf += n;
		at += n;
		len -= (size_t)n;
	}
	return 0;
}

int
journal_read(const struct journal *j, uint64_t from, void *buf, size_t len)
{
	uint8_t *to = buf;

	if (len == 0)
		return 0;
	if (j->fd == -1 || from < journal_start(j) || from > j->end ||
	    len > j->end - from) {
		errno = EINVAL;
		return -1;
	}
	if (from < j->base) {
		uint64_t at = from + j->previous - j->base;
		size_t n = len;

		if (n > j->base - from)
			n = (size_t)(j->base - from);
		if (read_at(j->fd, (off_t)at, to, n) == -1)
			return -1;
		to += n;
		from += n;
		len -= n;
	}
	return read_at(j->fd, (off_t)(from - j->base), to, len);
}

size_t
journal_waiting(int fd)
{
	int n;

	if (ioctl(fd, FIONREAD, &n) == -1 || n < 0)
		return 0;
	return (size_t)n;
}

int
journal_grow(int fd)
{
	return fcntl(fd, F_SETPIPE_SZ, GROWN_PIPE) == -1 ? -1 : 0;
}
