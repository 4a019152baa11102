/* sources: common/imsg.c common/imsg_buffer.c */
/* libs: */
/* covers: common/imsg.c common/imsg_buffer.c */
/*
 * The functions of imsg.h in any order, against a model: what was put in is
 * what comes out, in its order and with its descriptor; what cannot be is
 * refused, with the errno that is promised, and nothing has changed.
 *
 * Input: records of u8 operation (of `operations` below), u8 n, u8 what.  All
 * bytes of a payload follow from the number of the message.
 */
#include <sys/socket.h>

#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "imsg.h"

#define WITH_FD 1 /* in what */
#define TOO_LARGE 2
#define MANY 4

#define MAX_QUEUED 64 /* messages on their way */
#define MAX_BYTES 4096 /* of the buffer that is played with */

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct message {
	size_t len;
	uint32_t number;
	int has_fd;
};

static struct imsgbuf from;
static struct imsgbuf to;
static int socks[2];
static struct message queued[MAX_QUEUED];
static size_t nqueued;
static size_t maxsize;
static uint32_t number; /* of the last message */
static int cleared;

/* A buffer, and what it must hold. */
static struct ibuf *ibuf;
static uint8_t model[MAX_BYTES];
static size_t most;
static size_t wpos;
static size_t rpos;
static int has_fd;

static void
check(int condition)
{
	if (!condition)
		abort();
}

/* It must have failed so, where it had to. */
static void
check_errno(int failed, int had_to, int error)
{
	check(failed == had_to);
	check(!failed || errno == error);
	errno = 0;
}

static int
descriptor(void)
{
	int fd;

	check((fd = fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, 0)) != -1);
	return fd;
}

static void
fill(uint8_t *bytes, size_t len, uint32_t seed)
{
	size_t i;

	for (i = 0; i < len; i++)
		bytes[i] = (uint8_t)(seed + 7 * i);
}

/* ---- messages ------------------------------------------------------------ */

static size_t
length(uint8_t n, uint8_t what)
{
	if (what & TOO_LARGE)
		return maxsize + 1 + n;
	return (what & MANY ? n * 64U : n) % (maxsize + 1);
}

/* It has been queued, or must have been refused. */
static void
sent(int queue, size_t len, int fd, int allowed)
{
	struct message *m;

	if (cleared)
		check_errno(queue == -1, 1, EBADF);
	else
		check_errno(queue == -1, !allowed, ERANGE);
	if (queue == -1) {
		if (fd != -1)
			check(close(fd) == 0); /* it is still ours */
		return;
	}
	m = &queued[nqueued++];
	m->len = len;
	m->number = number;
	m->has_fd = fd != -1;
}

static void
op_compose(uint8_t n, uint8_t what)
{
	static uint8_t bytes[2 * 65536];
	size_t len;
	int fd;

	len = length(n, what);
	fill(bytes, len, ++number);
	fd = what & WITH_FD ? descriptor() : -1;
	sent(imsg_compose(&from, number, n, what, fd, bytes, len), len, fd,
	    len <= maxsize);
}

static void
op_composev(uint8_t n, uint8_t what)
{
	static uint8_t bytes[2 * 65536];
	struct iovec iov[3];
	size_t len;
	int fd;

	len = length(n, what);
	fill(bytes, len, ++number);
	iov[0].iov_base = bytes;
	iov[0].iov_len = len / 3;
	iov[1].iov_base = bytes + len / 3;
	iov[1].iov_len = 0;
	iov[2].iov_base = bytes + len / 3;
	iov[2].iov_len = len - len / 3;
	fd = what & WITH_FD ? descriptor() : -1;
	sent(imsg_composev(&from, number, n, what, fd, iov, 3), len, fd,
	    len <= maxsize);
}

/* Grows as it is written; too much of it frees it. */
static void
op_create(uint8_t n, uint8_t what)
{
	static uint8_t bytes[2 * 65536];
	struct ibuf *msg;
	size_t len;
	int fd;

	len = length(n, what);
	fill(bytes, len, ++number);
	msg = imsg_create(&from, number, n, what, what & 8 ? len : 0);
	if (cleared || (what & 8 && len > maxsize)) {
		check_errno(msg == NULL, 1, cleared ? EBADF : ERANGE);
		return;
	}
	check(msg != NULL && ibuf_left(msg) == maxsize);
	check(imsg_add(msg, bytes, len / 2) == (int)(len / 2) ||
	    len / 2 > maxsize);
	if (len / 2 > maxsize)
		return;
	if (imsg_add(msg, bytes + len / 2, len - len / 2) == -1) {
		check_errno(1, len > maxsize, ERANGE);
		return;
	}
	fd = what & WITH_FD ? descriptor() : -1;
	ibuf_fd_set(msg, fd);
	imsg_close(&from, msg);
	sent(1, len, fd, 1);
}

/* The buffer's unread part, which goes. */
static void
op_compose_ibuf(uint8_t n, uint8_t what)
{
	struct ibuf view;
	int too_large;

	if (ibuf == NULL)
		return;
	if (what & TOO_LARGE) {
		check(ibuf_get_ibuf(ibuf, 0, &view) == 0);
		check(imsg_compose_ibuf(&from, 1, n, 0, &view) == -1);
		check(errno == (cleared ? EBADF : EINVAL));
		return;
	}
	too_large = wpos - rpos > maxsize;
	if (!too_large && !cleared)
		fill(ibuf_data(ibuf), wpos - rpos, number + 1);
	number++;
	if (imsg_compose_ibuf(&from, number, n, what, ibuf) == -1)
		check_errno(1, cleared || too_large, cleared ? EBADF : ERANGE);
	else
		sent(1, wpos - rpos, has_fd ? 0 : -1, 1);
	ibuf = NULL;
}

static void
op_write(uint8_t n, uint8_t what)
{
	uint32_t before;

	(void)n;
	(void)what;
	before = imsgbuf_queuelen(&from);
	check_errno(imsgbuf_write(&from) == -1, cleared, EBADF);
	check(imsgbuf_queuelen(&from) <= before && before <= nqueued);
	check(
	    (imsgbuf_queuelen(&from) == 0) == (imsgbuf_queuebytes(&from) == 0));
}

/* The next message, if one has come. */
static int
take(void)
{
	static uint8_t wanted[65536];
	struct message *m;
	struct imsg imsg;
	struct ibuf view;
	int fd;
	int n;

	if ((n = imsgbuf_get(&to, &imsg)) == 0)
		return 0;
	check(n == 1 && nqueued > 0);
	m = &queued[0];
	check(
	    imsg_get_type(&imsg) == m->number && imsg_get_len(&imsg) == m->len);
	fill(wanted, m->len, m->number);
	if (m->len > 0) {
		check(imsg_get_ibuf(&imsg, &view) == 0);
		check(memcmp(ibuf_data(&view), wanted, m->len) == 0);
	}
	fd = imsg_get_fd(&imsg);
	check((fd != -1) == m->has_fd);
	if (fd != -1)
		check(fcntl(fd, F_GETFD) == FD_CLOEXEC && close(fd) == 0);
	imsg_free(&imsg);
	memmove(queued, queued + 1, --nqueued * sizeof(queued[0]));
	return 1;
}

static void
op_read(uint8_t n, uint8_t what)
{
	(void)n;
	(void)what;
	check(imsgbuf_read(&to) == 1);
	while (take())
		continue;
}

/* All of it arrives, whatever the size of the socket's buffer. */
static void
op_drain(uint8_t n, uint8_t what)
{
	size_t before;

	while (nqueued > 0 && !cleared) {
		before = nqueued + imsgbuf_queuebytes(&from);
		op_write(n, what);
		op_read(n, what);
		check(nqueued + imsgbuf_queuebytes(&from) < before);
	}
	/* It does not wait for what is nothing. */
	check_errno(imsgbuf_flush(&from) == -1, cleared, EBADF);
}

/* What fits the socket goes out in one call. */
static void
op_flush(uint8_t n, uint8_t what)
{
	if (imsgbuf_queuebytes(&from) > 16384)
		return;
	op_drain(n, what);
	op_compose(n % 100, what & WITH_FD);
	check_errno(imsgbuf_flush(&from) == -1, cleared, EBADF);
	check(imsgbuf_queuelen(&from) == 0);
}

/* Both ways; what is queued has been checked already. */
static void
op_maxsize(uint8_t n, uint8_t what)
{
	check(imsgbuf_set_maxsize(&from, IMSG_MAXSIZE_LIMIT + 1 + n) == -1);
	check(errno == ERANGE);
	op_drain(n, what);
	maxsize = what & MANY ? 65000 : n;
	check(imsgbuf_set_maxsize(&from, (uint32_t)maxsize) == 0);
	check(imsgbuf_set_maxsize(&to, (uint32_t)maxsize) == 0);
}

/* Nothing but an errno comes of it from now on. */
static void
op_clear(uint8_t n, uint8_t what)
{
	struct imsg imsg;

	op_drain(n, what);
	imsgbuf_clear(&from);
	cleared = 1;
	check(imsgbuf_queuelen(&from) == 0 && imsgbuf_queuebytes(&from) == 0);
	check(imsgbuf_read(&from) == -1 && errno == EBADF);
	check(imsgbuf_get(&from, &imsg) == -1 && errno == EBADF);
}

/* Closed descriptors, lost ones, and a peer that has gone. */
static void
op_closed(uint8_t n, uint8_t what)
{
	struct ibuf *msg;
	struct imsg imsg;
	int fd;

	op_clear(n, what);
	check(imsgbuf_init(&from, socks[0]) == 0);
	fd = descriptor();
	check(imsg_compose(&from, 1, 1, 0, fd, "", 1) == -1);
	check(errno == EINVAL);
	check(imsg_composev(&from, 1, 1, 0, fd, NULL, 0) == -1);
	check(errno == EINVAL);
	check((msg = imsg_create(&from, 1, 1, 0, 1)) != NULL);
	ibuf_fd_set(msg, fd);
	imsg_close(&from, msg);
	check(fcntl(fd, F_GETFD) == -1);
	check(imsgbuf_write(&from) == 0);
	check(imsgbuf_read(&to) == 1 && imsgbuf_get(&to, &imsg) == 1);
	check(imsg_get_fd(&imsg) == -1);
	imsg_free(&imsg);
	check(shutdown(socks[1], SHUT_RDWR) == 0);
	check(imsg_compose(&from, 1, 1, 0, -1, NULL, 0) == 1);
	check((n % 2 ? imsgbuf_write(&from) : imsgbuf_flush(&from)) == -1);
	check(errno == EPIPE && imsgbuf_read(&from) == 0);
	imsgbuf_clear(&from);
}

/* ---- the buffer ---------------------------------------------------------- */

static void
op_open(uint8_t n, uint8_t what)
{
	check(ibuf_dynamic(n, 0) == NULL && errno == EINVAL);
	check(ibuf_dynamic(n + 1U, n) == NULL && errno == EINVAL);
	check(ibuf_open(SIZE_MAX - n) == NULL && errno == ENOMEM);
	ibuf_free(ibuf);
	most = what & MANY ? MAX_BYTES : n;
	ibuf = what & MANY ? ibuf_dynamic(n, most) : ibuf_open(n);
	check(ibuf != NULL);
	wpos = rpos = 0;
	has_fd = 0;
}

/* It was added, or must have been refused. */
static void
added(int result, const void *bytes, size_t len)
{
	check_errno(result == -1, len > most - wpos, ERANGE);
	if (result == -1)
		return;
	memcpy(model + wpos, bytes, len);
	wpos += len;
}

static void
op_add(uint8_t n, uint8_t what)
{
	uint8_t bytes[256 * 8];
	size_t len;

	len = what & MANY ? n * 8U : n;
	fill(bytes, len, what);
	added(ibuf_add(ibuf, bytes, len), bytes, len);
}

static void
op_add_zero(uint8_t n, uint8_t what)
{
	static const uint8_t zeros[256];

	(void)what;
	added(ibuf_add_zero(ibuf, n), zeros, n);
}

static void
op_add_number(uint8_t n, uint8_t what)
{
	const uint8_t bytes[8] = {0, 0, 0, 0, 0, 0, what, n};
	const uint64_t value = (uint64_t)what << 8 | n;

	switch (what % 4) {
	case 0:
		added(ibuf_add_n8(ibuf, n), bytes + 7, 1);
		check(ibuf_add_n8(ibuf, 0x100U + n) == -1 && errno == EINVAL);
		break;
	case 1:
		added(ibuf_add_n16(ibuf, value), bytes + 6, 2);
		check(
		    ibuf_add_n16(ibuf, 0x10000U + n) == -1 && errno == EINVAL);
		break;
	case 2:
		added(ibuf_add_n32(ibuf, value), bytes + 4, 4);
		check(ibuf_add_n32(ibuf, 0x100000000U + n) == -1 &&
		    errno == EINVAL);
		break;
	default:
		added(ibuf_add_n64(ibuf, value), bytes, 8);
		break;
	}
}

static void
op_add_string(uint8_t n, uint8_t what)
{
	char field[256] = "musterd";
	const size_t len = n % 16;

	(void)what;
	if (len <= 7)
		check_errno(
		    ibuf_add_strbuf(ibuf, field, len) == -1, 1, EOVERFLOW);
	else
		added(ibuf_add_strbuf(ibuf, field, len), field, len);
}

static void
op_add_ibuf(uint8_t n, uint8_t what)
{
	uint8_t bytes[256];
	struct ibuf *other;
	struct ibuf view;

	fill(bytes, n, what);
	check((other = ibuf_open(n)) != NULL && ibuf_left(other) == n);
	check(ibuf_add(other, bytes, n) == 0 && ibuf_left(other) == 0);
	check(ibuf_add(other, bytes, 1) == -1 && errno == ERANGE);
	check(ibuf_get_ibuf(other, n / 2, &view) == 0);
	check(ibuf_add_zero(&view, 0) == -1 && errno == EINVAL);
	ibuf_fd_set(&view, descriptor()); /* is closed: views keep none */
	check(!ibuf_fd_avail(&view));
	ibuf_free(&view);
	added(ibuf_add_ibuf(ibuf, other), bytes + n / 2, n - n / 2);
	ibuf_free(other);
}

/* It was taken, or there was not so much. */
static int
taken(int result, size_t len)
{
	check_errno(result == -1, len > wpos - rpos, EBADMSG);
	if (result == 0)
		rpos += len;
	return result == 0;
}

static void
op_get(uint8_t n, uint8_t what)
{
	uint8_t bytes[256];
	struct ibuf view;
	const uint8_t *at = model + rpos;

	if (what % 4 == 0)
		(void)taken(ibuf_skip(ibuf, n), n);
	else if (what % 4 == 1 && taken(ibuf_get(ibuf, bytes, n), n))
		check(memcmp(bytes, at, n) == 0);
	else if (what % 4 == 2 && taken(ibuf_get_ibuf(ibuf, n, &view), n))
		check(ibuf_size(&view) == n &&
		    memcmp(ibuf_data(&view), at, n) == 0);
	else if (what % 4 == 3) {
		ibuf_rewind(ibuf);
		rpos = 0;
	}
}

static void
op_get_number(uint8_t n, uint8_t what)
{
	const uint8_t *at = model + rpos;
	uint64_t value = 0;
	size_t len;
	uint32_t n32 = 0;
	uint16_t n16 = 0;
	uint8_t n8 = 0;
	size_t i;
	int result;

	(void)n;
	len = 1U << what % 4;
	if (len == 1)
		result = ibuf_get_n8(ibuf, &n8);
	else if (len == 2)
		result = ibuf_get_n16(ibuf, &n16);
	else if (len == 4)
		result = ibuf_get_n32(ibuf, &n32);
	else
		result = ibuf_get_n64(ibuf, &value);
	value |= n8 | n16 | n32;
	if (taken(result, len))
		for (i = 0; i < len; i++)
			check((uint8_t)(value >> 8 * (len - 1 - i)) == at[i]);
}

static void
op_get_string(uint8_t n, uint8_t what)
{
	const uint8_t *at = model + rpos;
	char field[16];
	size_t len;
	int result;

	(void)what;
	len = n % 16;
	result = ibuf_get_strbuf(ibuf, field, len);
	if (len == 0)
		check_errno(result == -1, 1, EINVAL);
	else if (len > wpos - rpos)
		check_errno(result == -1, 1, EBADMSG);
	else {
		check_errno(result == -1, at[len - 1] != '\0', EOVERFLOW);
		check(
		    memcmp(field, at, len - 1) == 0 && field[len - 1] == '\0');
		rpos += len;
	}
}

static void
op_fd(uint8_t n, uint8_t what)
{
	int fd;

	(void)n;
	if (what & WITH_FD) {
		ibuf_fd_set(ibuf, descriptor());
		has_fd = 1;
		return;
	}
	fd = ibuf_fd_get(ibuf);
	check((fd != -1) == has_fd);
	has_fd = 0;
	if (fd != -1)
		check(close(fd) == 0);
}

/* ---- the input ----------------------------------------------------------- */

#define MESSAGES 4 /* the first ones queue a message */
#define CHANNELS 11 /* the first ones are about messages */

static void (*const operations[])(uint8_t, uint8_t) = {op_compose, op_composev,
    op_create, op_compose_ibuf, op_write, op_read, op_drain, op_flush,
    op_maxsize, op_clear, op_closed, op_open, op_add, op_add_zero,
    op_add_number, op_add_string, op_add_ibuf, op_get, op_get_number,
    op_get_string, op_fd};

static void
step(uint8_t operation, uint8_t n, uint8_t what)
{
	operation %= sizeof(operations) / sizeof(operations[0]);
	if (operation < MESSAGES && nqueued == MAX_QUEUED)
		return;
	if (cleared && (operation > MESSAGES && operation < CHANNELS))
		return;
	if (operation >= CHANNELS && ibuf == NULL)
		op_open(n, what);
	errno = 0;
	operations[operation](n, what);
	if (ibuf == NULL)
		return;
	check(ibuf_size(ibuf) == wpos - rpos && ibuf_left(ibuf) == most - wpos);
	check(ibuf_fd_avail(ibuf) == has_fd);
	check(memcmp(ibuf_data(ibuf), model + rpos, wpos - rpos) == 0);
}

static void
lowest_fd(int *lowest)
{
	int fd;

	fd = descriptor();
	*lowest = fd;
	check(close(fd) == 0);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	int lowest;
	int now;

	lowest_fd(&lowest);
	check(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, socks) == 0);
	check(imsgbuf_init(&from, socks[0]) == 0);
	check(imsgbuf_init(&to, socks[1]) == 0);
	imsgbuf_allow_fdpass(&from);
	imsgbuf_allow_fdpass(&to);
	maxsize = MAX_IMSGSIZE - IMSG_HEADER_SIZE;
	cleared = 0;
	nqueued = 0;
	number = 0;
	for (; size >= 3; data += 3, size -= 3)
		step(data[0], data[1], data[2]);
	ibuf_free(ibuf);
	ibuf = NULL;
	imsgbuf_clear(&from);
	imsgbuf_clear(&to);
	check(close(socks[0]) == 0 && close(socks[1]) == 0);
	lowest_fd(&now);
	check(now == lowest);
	return 0;
}
