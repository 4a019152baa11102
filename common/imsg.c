#include <sys/types.h>
#include <sys/socket.h>
#include <sys/uio.h>

#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <bsd/sys/queue.h>

#include "imsg.h"

#define IMSG_ALLOW_FDPASS 0x01
#define IMSG_FD_MARK 0x80000000U

#define WRITE_IOV 256 /* messages gathered in one sendmsg(2) */
#define WRITE_CALLS 16 /* sendmsg(2) calls in one imsgbuf_write() */

_Static_assert(sizeof(struct imsg_hdr) == 16, "the header is the protocol");
_Static_assert(WRITE_IOV <= IOV_MAX, "sendmsg(2) would fail with EMSGSIZE");

/* Control data with one descriptor, aligned. */
union one_fd {
	struct cmsghdr hdr;
	unsigned char space[CMSG_SPACE(sizeof(int))];
};

/*
 * A received descriptor and the part of the stream, in bytes since its
 * beginning, that came with it.
 */
struct passed_fd {
	uint64_t from;
	uint64_t to;
	int fd; /* -1: unused */
};

/*
 * The two directions of a connection.  Messages to be sent are a queue of
 * ibufs.  Received bytes stay as they are until imsgbuf_get() copies a
 * message out of them.
 *
 * Which message does a received descriptor belong to?  imsgbuf_write()
 * starts a sendmsg(2) for each message with a descriptor, and Linux attaches
 * it to the first byte of that call: recvmsg(2) returns it with that byte,
 * possibly after bytes sent before, and stops where the bytes of that call
 * (or a part of them, in a long one) end.  So the message that a descriptor
 * belongs to begins among the bytes that came with it, and has the bit set;
 * whatever a hostile peer does, no other message gets it.
 *
 * Two descriptors at most wait: imsgbuf_read() reads only when all complete
 * messages have been taken.  Then one may wait for the first, incomplete
 * message, and a second one comes with what is read.
 */
struct msgbuf {
	STAILQ_HEAD(ibuf_queue, ibuf) queue;
	size_t sent; /* bytes of the first message that are written */
	size_t bytes; /* bytes of all messages that are not */
	uint32_t len; /* messages */

	int lost; /* errno of imsgbuf_read() for good, or 0 */
	unsigned char *rbuf; /* NULL when nothing is buffered */
	size_t rsize;
	size_t rpos; /* first byte of the next message */
	size_t wpos; /* end of what has been read */
	size_t rused; /* highest wpos so far, for wiping */
	uint64_t offset; /* of rpos in the stream */
	struct passed_fd fds[2];
};

int
imsgbuf_init(struct imsgbuf *imsgbuf, int fd)
{
	struct msgbuf *w;

	memset(imsgbuf, 0, sizeof(*imsgbuf));
	imsgbuf->fd = fd;
	imsgbuf->pid = getpid();
	imsgbuf->maxsize = MAX_IMSGSIZE;
	if ((w = calloc(1, sizeof(*w))) == NULL)
		return -1;
	STAILQ_INIT(&w->queue);
	w->fds[0].fd = w->fds[1].fd = -1;
	imsgbuf->w = w;
	return 0;
}

void
imsgbuf_allow_fdpass(struct imsgbuf *imsgbuf)
{
	imsgbuf->flags |= IMSG_ALLOW_FDPASS;
}

int
imsgbuf_set_maxsize(struct imsgbuf *imsgbuf, uint32_t max)
{
	if (max > IMSG_MAXSIZE_LIMIT) {
		errno = ERANGE;
		return -1;
	}
	imsgbuf->maxsize = max + IMSG_HEADER_SIZE;
	return 0;
}

static size_t
maxpayload(const struct imsgbuf *imsgbuf)
{
	return imsgbuf->maxsize - IMSG_HEADER_SIZE;
}

/* The connection's state, or NULL with errno set after imsgbuf_clear(). */
static struct msgbuf *
state(const struct imsgbuf *imsgbuf)
{
	if (imsgbuf->w == NULL)
		errno = EBADF;
	return imsgbuf->w;
}

/*
 * Receiving.
 */

static void
fd_drop(struct passed_fd *p)
{
	if (p->fd != -1)
		(void)close(p->fd);
	p->fd = -1;
}

/* Payload may be secret: wipe it before the memory goes elsewhere. */
static void
rbuf_free(struct msgbuf *w)
{
	if (w->rbuf != NULL)
		explicit_bzero(w->rbuf, w->rused);
	free(w->rbuf);
	w->rbuf = NULL;
	w->rsize = w->rpos = w->wpos = w->rused = 0;
}

/*
 * Makes room for reading.  The first bytes in the buffer, if any, are an
 * incomplete message of `len` bytes (IMSG_HEADER_SIZE if that is not yet
 * known).  The buffer grows with the bytes that really came, never because
 * of what a header says.
 */
static int
rbuf_room(struct msgbuf *w, size_t len)
{
	unsigned char *new;
	size_t left;
	size_t size;

	if (w->rbuf == NULL) {
		if ((w->rbuf = malloc(IBUF_READ_SIZE)) == NULL)
			return -1;
		w->rsize = IBUF_READ_SIZE;
		return 0;
	}
	left = w->wpos - w->rpos;
	if (w->wpos < w->rsize && w->rpos == 0)
		return 0; /* nothing to move, however often a peer trickles */
	if (left < w->rsize) {
		memmove(w->rbuf, w->rbuf + w->rpos, left);
		w->rpos = 0;
		w->wpos = left;
		return 0;
	}
	size = w->rsize * 2 < len ? w->rsize * 2 : len;
	if ((new = malloc(size)) == NULL)
		return -1;
	memcpy(new, w->rbuf, left);
	explicit_bzero(w->rbuf, w->rsize);
	free(w->rbuf);
	w->rbuf = new;
	w->rsize = size;
	return 0;
}

/*
 * Looks at the first message in the buffer.  Returns 1 and its header when
 * it is complete; 0 when it is not, with len IMSG_HEADER_SIZE if its header
 * is not either; -1 when the header cannot be right.  `len` comes without
 * the descriptor bit, which is returned in `marked`.
 */
static int
next_header(const struct imsgbuf *imsgbuf, struct imsg_hdr *hdr, int *marked)
{
	const struct msgbuf *w = imsgbuf->w;
	size_t left;

	memset(hdr, 0, sizeof(*hdr));
	hdr->len = IMSG_HEADER_SIZE;
	*marked = 0;
	if ((left = w->wpos - w->rpos) < sizeof(*hdr))
		return 0;
	memcpy(hdr, w->rbuf + w->rpos, sizeof(*hdr));
	*marked = (hdr->len & IMSG_FD_MARK) != 0;
	hdr->len &= ~IMSG_FD_MARK;
	if (hdr->len < IMSG_HEADER_SIZE) {
		errno = EBADMSG;
		return -1;
	}
	if (hdr->len > imsgbuf->maxsize) {
		errno = ERANGE;
		return -1;
	}
	return left >= hdr->len;
}

/*
 * No complete message is left: closes the descriptors that came with bytes
 * in the middle of the incomplete one, where no message begins.  Those that
 * came with bytes before it are gone already, see remove_message().
 */
static void
fds_prune(struct msgbuf *w)
{
	if (w->fds[0].from > w->offset)
		fd_drop(&w->fds[0]);
	if (w->fds[1].from > w->offset)
		fd_drop(&w->fds[1]);
}

/* The first of the received descriptors, the others are closed; or -1. */
static int
received_fd(struct msghdr *msg)
{
	struct cmsghdr *cmsg;
	size_t i;
	size_t n;
	int fd;
	int kept;

	kept = -1;
	for (cmsg = CMSG_FIRSTHDR(msg); cmsg != NULL;
	     cmsg = CMSG_NXTHDR(msg, cmsg)) {
		if (cmsg->cmsg_level != SOL_SOCKET ||
		    cmsg->cmsg_type != SCM_RIGHTS)
			continue;
		n = (cmsg->cmsg_len - CMSG_LEN(0)) / sizeof(int);
		for (i = 0; i < n; i++) {
			memcpy(&fd, CMSG_DATA(cmsg) + i * sizeof(int),
			    sizeof(int));
			if (kept == -1)
				kept = fd;
			else
				(void)close(fd);
		}
	}
	return kept;
}

/*
 * One recvmsg(2) into the buffer, with what comes along into *fdp.  Without
 * room for control data the kernel itself discards descriptors: they never
 * enter our table.
 */
static ssize_t
receive(struct imsgbuf *imsgbuf, int *fdp)
{
	struct msgbuf *w = imsgbuf->w;
	struct msghdr msg;
	struct iovec iov;
	union one_fd control;
	ssize_t n;

	iov.iov_base = w->rbuf + w->wpos;
	iov.iov_len = w->rsize - w->wpos;
	do {
		memset(&msg, 0, sizeof(msg));
		msg.msg_iov = &iov;
		msg.msg_iovlen = 1;
		if ((imsgbuf->flags & IMSG_ALLOW_FDPASS) != 0) {
			msg.msg_control = &control;
			msg.msg_controllen = sizeof(control.space);
		}
		n = recvmsg(imsgbuf->fd, &msg, MSG_CMSG_CLOEXEC);
	} while (n == -1 && errno == EINTR);
	*fdp = -1;
	if (n == -1 || (imsgbuf->flags & IMSG_ALLOW_FDPASS) == 0)
		return n;
	*fdp = received_fd(&msg);
	if ((msg.msg_flags & MSG_CTRUNC) != 0) {
		w->lost = errno = EMFILE;
		return -1;
	}
	return n;
}

/* Accounts for `n` bytes that have been read and a descriptor or -1. */
static void
received(struct msgbuf *w, size_t n, int fd)
{
	struct passed_fd *p;

	w->wpos += n;
	if (w->rused < w->wpos)
		w->rused = w->wpos;
	if (fd == -1)
		return;
	p = w->fds[0].fd == -1 ? &w->fds[0] : &w->fds[1];
	p->to = w->offset + (w->wpos - w->rpos);
	p->from = p->to - n;
	p->fd = fd;
}

int
imsgbuf_read(struct imsgbuf *imsgbuf)
{
	struct imsg_hdr hdr;
	struct msgbuf *w;
	ssize_t n;
	int error;
	int fd;
	int marked;

	if ((w = state(imsgbuf)) == NULL)
		return -1;
	if (w->lost != 0) {
		errno = w->lost;
		return -1;
	}
	if ((n = next_header(imsgbuf, &hdr, &marked)) != 0)
		return (int)n;
	fds_prune(w);
	if (rbuf_room(w, hdr.len) == -1)
		return -1;
	n = receive(imsgbuf, &fd);
	error = errno;
	if (n > 0) {
		received(w, (size_t)n, fd);
		return 1;
	}
	if (fd != -1)
		(void)close(fd);
	if (w->wpos == 0)
		rbuf_free(w);
	if (n == -1 && (error == EAGAIN || error == EWOULDBLOCK))
		return 1;
	errno = error;
	return (int)n;
}

/* Did the first message begin among the bytes that came with it? */
static int
fd_is_next(const struct msgbuf *w, const struct passed_fd *p)
{
	return p->fd != -1 && p->from <= w->offset && w->offset < p->to;
}

/* The descriptor of the first message, now the caller's, or -1. */
static int
take_fd(struct msgbuf *w)
{
	struct passed_fd *p;
	int fd;

	p = fd_is_next(w, &w->fds[0]) ? &w->fds[0] : &w->fds[1];
	if (!fd_is_next(w, p))
		return -1;
	fd = p->fd;
	p->fd = -1;
	return fd;
}

/*
 * Removes the first message, of `len` bytes, from the buffer.  Descriptors
 * that came with bytes before the next message belong to none: they are
 * closed.
 */
static void
remove_message(struct msgbuf *w, size_t len)
{
	w->offset += len;
	w->rpos += len;
	if (w->fds[0].to <= w->offset)
		fd_drop(&w->fds[0]);
	if (w->fds[1].to <= w->offset)
		fd_drop(&w->fds[1]);
	if (w->rpos == w->wpos)
		rbuf_free(w);
}

int
imsgbuf_get(struct imsgbuf *imsgbuf, struct imsg *imsg)
{
	struct imsg_hdr hdr;
	struct msgbuf *w;
	struct ibuf *buf;
	size_t len;
	int marked;
	int n;

	memset(imsg, 0, sizeof(*imsg));
	if ((w = state(imsgbuf)) == NULL)
		return -1;
	if (w->lost != 0) {
		errno = w->lost;
		return -1;
	}
	if ((n = next_header(imsgbuf, &hdr, &marked)) != 1) {
		if (n == 0)
			fds_prune(w);
		return n;
	}
	len = hdr.len - IMSG_HEADER_SIZE;
	if ((buf = ibuf_open(len)) == NULL)
		return -1;
	if (marked && (imsgbuf->flags & IMSG_ALLOW_FDPASS) != 0) {
		ibuf_fd_set(buf, take_fd(w));
		if (!ibuf_fd_avail(buf)) {
			ibuf_free(buf);
			errno = EBADMSG;
			return -1;
		}
	}
	(void)ibuf_add(buf, w->rbuf + w->rpos + IMSG_HEADER_SIZE, len);
	remove_message(w, hdr.len);
	imsg->hdr = hdr;
	imsg->buf = buf;
	return 1;
}

/*
 * Sending.
 */

static size_t
message_size(const struct ibuf *buf)
{
	return IMSG_HEADER_SIZE + ibuf_size(buf);
}

/*
 * Points the vector at the next unsent bytes and returns its length.  The
 * first message's descriptor, if it has one, goes into *fdp; one further
 * back ends the vector, for its message must begin a sendmsg(2).
 */
static size_t
gather(const struct msgbuf *w, struct iovec *iov, int *fdp)
{
	struct ibuf *buf;
	size_t n;
	size_t skip;

	n = 0;
	skip = w->sent;
	*fdp = -1;
	for (buf = STAILQ_FIRST(&w->queue); buf != NULL && n < WRITE_IOV;
	     buf = STAILQ_NEXT(buf, entry)) {
		if (n > 0 && buf->fd != -1)
			break;
		if (n == 0)
			*fdp = buf->fd;
		iov[n].iov_base =
		    (unsigned char *)ibuf_data(buf) - IMSG_HEADER_SIZE + skip;
		iov[n].iov_len = message_size(buf) - skip;
		skip = 0;
		n++;
	}
	return n;
}

/* Removes `n` written bytes from the queue. */
static void
drain(struct msgbuf *w, size_t n)
{
	struct ibuf *buf;

	w->bytes -= n;
	while (n > 0 && (buf = STAILQ_FIRST(&w->queue)) != NULL) {
		size_t left = message_size(buf) - w->sent;

		/* A descriptor has gone with the first byte. */
		ibuf_fd_set(buf, -1);
		if (n < left) {
			w->sent += n;
			return;
		}
		n -= left;
		w->sent = 0;
		w->len--;
		STAILQ_REMOVE_HEAD(&w->queue, entry);
		ibuf_free(buf);
	}
}

/*
 * One sendmsg(2).  Returns 1 when all that was offered has been written, 0
 * when the socket is full, -1 on error.
 */
static int
transmit(struct imsgbuf *imsgbuf)
{
	struct msgbuf *w = imsgbuf->w;
	struct iovec iov[WRITE_IOV];
	struct msghdr msg;
	union one_fd control;
	size_t i;
	size_t offered;
	ssize_t n;
	int fd;

	memset(&msg, 0, sizeof(msg));
	msg.msg_iov = iov;
	msg.msg_iovlen = gather(w, iov, &fd);
	if (fd != -1) {
		memset(&control, 0, sizeof(control));
		msg.msg_control = &control;
		msg.msg_controllen = sizeof(control.space);
		control.hdr.cmsg_len = CMSG_LEN(sizeof(int));
		control.hdr.cmsg_level = SOL_SOCKET;
		control.hdr.cmsg_type = SCM_RIGHTS;
		memcpy(CMSG_DATA(&control.hdr), &fd, sizeof(int));
	}
	for (offered = 0, i = 0; i < msg.msg_iovlen; i++)
		offered += iov[i].iov_len;
	do {
		n = sendmsg(imsgbuf->fd, &msg, MSG_NOSIGNAL);
	} while (n == -1 && errno == EINTR);
	if (n == -1) {
		if (errno == EAGAIN || errno == EWOULDBLOCK || errno == ENOBUFS)
			return 0;
		return -1;
	}
	drain(w, (size_t)n);
	return (size_t)n == offered;
}

int
imsgbuf_write(struct imsgbuf *imsgbuf)
{
	struct msgbuf *w;
	int calls;
	int n;

	if ((w = state(imsgbuf)) == NULL)
		return -1;
	n = 1;
	for (calls = 0; n == 1 && w->len > 0 && calls < WRITE_CALLS; calls++)
		n = transmit(imsgbuf);
	return n == -1 ? -1 : 0;
}

int
imsgbuf_flush(struct imsgbuf *imsgbuf)
{
	struct msgbuf *w;
	struct pollfd pfd;

	if ((w = state(imsgbuf)) == NULL)
		return -1;
	pfd.fd = imsgbuf->fd;
	pfd.events = POLLOUT;
	while (w->len > 0) {
		int n = transmit(imsgbuf);

		if (n == -1)
			return -1;
		if (n == 1)
			continue;
		if (poll(&pfd, 1, -1) == -1 && errno != EINTR)
			return -1;
	}
	return 0;
}

uint32_t
imsgbuf_queuelen(struct imsgbuf *imsgbuf)
{
	return imsgbuf->w == NULL ? 0 : imsgbuf->w->len;
}

size_t
imsgbuf_queuebytes(struct imsgbuf *imsgbuf)
{
	return imsgbuf->w == NULL ? 0 : imsgbuf->w->bytes;
}

void
imsgbuf_clear(struct imsgbuf *imsgbuf)
{
	struct msgbuf *w = imsgbuf->w;
	struct ibuf *buf;

	if (w == NULL)
		return;
	while ((buf = STAILQ_FIRST(&w->queue)) != NULL) {
		STAILQ_REMOVE_HEAD(&w->queue, entry);
		ibuf_free(buf);
	}
	fd_drop(&w->fds[0]);
	fd_drop(&w->fds[1]);
	rbuf_free(w);
	free(w);
	imsgbuf->w = NULL;
}

/*
 * Composing.  The header lies directly before the unread payload, in the
 * headroom that each ibuf has (imsg_buffer.c).  imsg_create() writes it
 * there, enqueue() adds what is known only in the end.
 */

static void
put_header(struct ibuf *buf, const struct imsg_hdr *hdr)
{
	unsigned char *payload;

	payload = ibuf_data(buf);
	memcpy(payload - sizeof(*hdr), hdr, sizeof(*hdr));
}

static void
fill_header(const struct imsgbuf *imsgbuf, struct imsg_hdr *hdr, uint32_t type,
    uint32_t id, pid_t pid)
{
	memset(hdr, 0, sizeof(*hdr));
	hdr->type = type;
	hdr->peerid = id;
	hdr->pid = (uint32_t)(pid == 0 ? imsgbuf->pid : pid);
}

/* Takes over the ibuf, whose payload fits the maximum, with its header. */
static void
enqueue(struct imsgbuf *imsgbuf, struct ibuf *buf, struct imsg_hdr *hdr)
{
	struct msgbuf *w = imsgbuf->w;

	hdr->len = (uint32_t)message_size(buf);
	w->bytes += hdr->len;
	w->len++;
	if (buf->fd != -1)
		hdr->len |= IMSG_FD_MARK;
	put_header(buf, hdr);
	STAILQ_INSERT_TAIL(&w->queue, buf, entry);
}

struct ibuf *
imsg_create(struct imsgbuf *imsgbuf, uint32_t type, uint32_t id, pid_t pid,
    size_t datalen)
{
	struct imsg_hdr hdr;
	struct ibuf *buf;

	if (state(imsgbuf) == NULL)
		return NULL;
	if (datalen > maxpayload(imsgbuf)) {
		errno = ERANGE;
		return NULL;
	}
	if ((buf = ibuf_open(datalen)) == NULL)
		return NULL;
	buf->max = maxpayload(imsgbuf);
	fill_header(imsgbuf, &hdr, type, id, pid);
	put_header(buf, &hdr);
	return buf;
}

int
imsg_add(struct ibuf *msg, const void *data, size_t datalen)
{
	if (ibuf_add(msg, data, datalen) == -1) {
		ibuf_free(msg);
		return -1;
	}
	return (int)datalen;
}

void
imsg_close(struct imsgbuf *imsgbuf, struct ibuf *msg)
{
	struct imsg_hdr hdr;

	if (imsgbuf->w == NULL) {
		ibuf_free(msg);
		return;
	}
	if ((imsgbuf->flags & IMSG_ALLOW_FDPASS) == 0)
		ibuf_fd_set(msg, -1);
	ibuf_rewind(msg);
	memcpy(&hdr, msg->buf - sizeof(hdr), sizeof(hdr));
	enqueue(imsgbuf, msg, &hdr);
}

/* May a message with `fd`, or -1, be sent here? */
static int
check_fd(const struct imsgbuf *imsgbuf, int fd)
{
	if (state(imsgbuf) == NULL)
		return -1;
	if (fd != -1 && (imsgbuf->flags & IMSG_ALLOW_FDPASS) == 0) {
		errno = EINVAL;
		return -1;
	}
	return 0;
}

int
imsg_compose(struct imsgbuf *imsgbuf, uint32_t type, uint32_t id, pid_t pid,
    int fd, const void *data, size_t datalen)
{
	struct ibuf *buf;

	if (check_fd(imsgbuf, fd) == -1)
		return -1;
	if ((buf = imsg_create(imsgbuf, type, id, pid, datalen)) == NULL)
		return -1;
	if (imsg_add(buf, data, datalen) == -1)
		return -1;
	ibuf_fd_set(buf, fd);
	imsg_close(imsgbuf, buf);
	return 1;
}

int
imsg_composev(struct imsgbuf *imsgbuf, uint32_t type, uint32_t id, pid_t pid,
    int fd, const struct iovec *iov, int iovcnt)
{
	struct ibuf *buf;
	size_t len;
	int i;

	if (check_fd(imsgbuf, fd) == -1)
		return -1;
	for (len = 0, i = 0; i < iovcnt; i++) {
		if (iov[i].iov_len > maxpayload(imsgbuf) - len) {
			errno = ERANGE;
			return -1;
		}
		len += iov[i].iov_len;
	}
	if ((buf = imsg_create(imsgbuf, type, id, pid, len)) == NULL)
		return -1;
	for (i = 0; i < iovcnt; i++) {
		if (imsg_add(buf, iov[i].iov_base, iov[i].iov_len) == -1)
			return -1;
	}
	ibuf_fd_set(buf, fd);
	imsg_close(imsgbuf, buf);
	return 1;
}

int
imsg_compose_ibuf(struct imsgbuf *imsgbuf, uint32_t type, uint32_t id,
    pid_t pid, struct ibuf *buf)
{
	struct imsg_hdr hdr;

	if (check_fd(imsgbuf, buf->fd) == -1)
		goto fail;
	if (ibuf_size(buf) > maxpayload(imsgbuf)) {
		errno = ERANGE;
		goto fail;
	}
	if ((buf->flags & IBUF_VIEW) != 0) {
		/* Borrowed memory must not wait in a queue. */
		errno = EINVAL;
		goto fail;
	}
	fill_header(imsgbuf, &hdr, type, id, pid);
	enqueue(imsgbuf, buf, &hdr);
	return 1;
fail:
	ibuf_free(buf);
	return -1;
}

int
imsg_forward(struct imsgbuf *imsgbuf, struct imsg *imsg)
{
	const struct imsg_hdr *hdr = &imsg->hdr;

	ibuf_rewind(imsg->buf);
	return imsg_compose(imsgbuf, hdr->type, hdr->peerid, (pid_t)hdr->pid,
	    -1, ibuf_data(imsg->buf), ibuf_size(imsg->buf));
}
