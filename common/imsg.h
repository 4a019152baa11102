#ifndef MUSTER_IMSG_H
#define MUSTER_IMSG_H

#include <sys/types.h>
#include <sys/uio.h>

#include <stddef.h>
#include <stdint.h>

#include <bsd/sys/queue.h>

/*
 * Messages between processes over a Unix stream socket: the API of OpenBSD's
 * imsg_init(3) and ibuf_add(3) as completed in June 2025 (OpenBSD 7.8), so
 * that a system that ships it uses its own.  Names and behaviour are theirs,
 * this code is not.  Use the functions only; what the structs hold differs
 * from system to system.
 *
 * Differences from OpenBSD's that a caller may notice:
 * - a received descriptor is close-on-exec, and a peer that has gone is
 *   EPIPE, never SIGPIPE;
 * - lost descriptors (MSG_CTRUNC) are an error of imsgbuf_read(), and a
 *   message that announces a descriptor without one is an error of
 *   imsgbuf_get(), where descriptor passing is allowed;
 * - imsgbuf_read() reads no further while a complete message waits for
 *   imsgbuf_get(), so what a peer can make us hold is bounded by one read
 *   (64 KiB) or one message, whichever is larger;
 * - ibuf_size() of what imsg_create() returns does not count the header;
 * - imsgbuf_queuebytes() is muster's own.
 *
 * Not safe for threads.  Nothing here is fatal: errors are returned with
 * errno set.
 */

/* Header of a message on the wire, in host order. */
struct imsg_hdr {
	uint32_t type;
	uint32_t len; /* with the header; bit 31: a descriptor comes along */
	uint32_t peerid;
	uint32_t pid;
};

#define IBUF_READ_SIZE 65536 /* bytes asked for in one recvmsg(2) */
#define IMSG_HEADER_SIZE sizeof(struct imsg_hdr) /* 16 */
#define MAX_IMSGSIZE 16384 /* default maximum, bytes with header */
#define IMSG_MAXSIZE_LIMIT 1048576U /* for imsgbuf_set_maxsize() */

/* A buffer with a read and a write position.  The members are private. */
struct ibuf {
	STAILQ_ENTRY(ibuf) entry;
	unsigned char *buf; /* payload; see imsg_buffer.c for the headroom */
	void *heap; /* storage outside this allocation, owned, or NULL */
	size_t size; /* bytes of room in buf */
	size_t max; /* bytes that size may grow to */
	size_t wpos; /* bytes written */
	size_t rpos; /* bytes read */
	int fd; /* owned, or -1 */
	int flags; /* IBUF_* */
};

#define IBUF_VIEW 0x01 /* buf is borrowed, the struct is the caller's */

struct msgbuf;

/* One end of a connection.  May be moved with memcpy. */
struct imsgbuf {
	struct msgbuf *w; /* NULL before imsgbuf_init, after imsgbuf_clear */
	pid_t pid;
	uint32_t maxsize; /* bytes with header */
	int fd; /* borrowed */
	int flags;
};

/* A received message.  The members are private. */
struct imsg {
	struct imsg_hdr hdr;
	struct ibuf *buf;
};

/*
 * Connections.
 */

/*
 * Makes `fd`, a SOCK_STREAM Unix socket that stays the caller's, one end of
 * a connection.  Returns 0, or -1 (ENOMEM).  An idle end costs about 200
 * bytes: the read buffer exists only while there is something in it.
 */
int imsgbuf_init(struct imsgbuf *, int fd);
/* Descriptors may be sent and received from now on.  Off by default. */
void imsgbuf_allow_fdpass(struct imsgbuf *);
/*
 * Sets the maximum payload in bytes, for both directions, in place of
 * MAX_IMSGSIZE - IMSG_HEADER_SIZE.  Returns 0, or -1 (ERANGE) above
 * IMSG_MAXSIZE_LIMIT.
 */
int imsgbuf_set_maxsize(struct imsgbuf *, uint32_t max);
/*
 * Frees what is queued and buffered, closes descriptors in it, but not the
 * socket.  May be called again, and on a zeroed struct; the other functions
 * fail with EBADF afterwards (imsgbuf_queuelen and -bytes return 0).
 */
void imsgbuf_clear(struct imsgbuf *);

/*
 * Reads what is there, at most IBUF_READ_SIZE bytes with one recvmsg(2).
 * Returns 1, also when nothing is there on a non-blocking socket or when
 * messages still wait for imsgbuf_get(); 0 when the peer has closed (all
 * that it sent has been returned by then, save an incomplete message); -1
 * on error.  Errors besides recvmsg(2)'s: ERANGE and EBADMSG as for
 * imsgbuf_get(); EMFILE, now and ever after, when descriptors were lost:
 * this process has too many open, or the peer sent several with one message
 * (Linux reports both as MSG_CTRUNC and delivers the data).
 *
 * Take messages until imsgbuf_get() returns 0 before waiting for the socket
 * to become readable: what was read already does not make it so.
 */
int imsgbuf_read(struct imsgbuf *);
/*
 * The next complete message.  Returns 1 and fills in the imsg, which
 * imsg_free() must free; 0 when there is none; -1 on error, for which the
 * connection must be given up except for ENOMEM: ERANGE for a length above
 * the maximum, EBADMSG for one that is shorter than the header and for a
 * descriptor that was announced and did not come (only where descriptors
 * are allowed; elsewhere imsg_get_fd() is -1 for such a message).  The imsg
 * stays valid after imsgbuf_read() and imsgbuf_clear().
 *
 * Descriptors that no message announced are closed.
 */
int imsgbuf_get(struct imsgbuf *, struct imsg *);

/*
 * Writes queued messages, many with one sendmsg(2), until the socket is
 * full, or a fixed amount of work is done.  Returns 0, also when nothing
 * could be written (EAGAIN, ENOBUFS), -1 on error (EPIPE: the peer has
 * gone).  imsgbuf_queuelen() tells whether something is left.
 */
int imsgbuf_write(struct imsgbuf *);
/*
 * Writes all queued messages, and waits with poll(2) where the socket is
 * non-blocking.  Returns 0 or -1.
 */
int imsgbuf_flush(struct imsgbuf *);
/* Messages not yet completely written. */
uint32_t imsgbuf_queuelen(struct imsgbuf *);
/*
 * muster's own: bytes not yet written, headers included, with which the
 * sender to a slow peer bounds its memory.  Add about 90 bytes a message
 * for the memory really used.
 */
size_t imsgbuf_queuebytes(struct imsgbuf *);

/*
 * Composing.  `id` and `type` are the caller's; `pid` 0 means this process.
 * All need the payload to fit the maximum (else ERANGE).
 */

/*
 * Queues a message.  `fd` is -1 or a descriptor that is closed once sent;
 * it needs imsgbuf_allow_fdpass() (else EINVAL).  Returns 1; or -1, and fd
 * is still the caller's.
 */
int imsg_compose(struct imsgbuf *, uint32_t type, uint32_t id, pid_t pid,
    int fd, const void *data, size_t datalen);
/* The same with the payload in pieces. */
int imsg_composev(struct imsgbuf *, uint32_t type, uint32_t id, pid_t pid,
    int fd, const struct iovec *iov, int iovcnt);
/*
 * The same with the unread part of an ibuf and its descriptor, without a
 * copy.  The ibuf is taken over, also on failure.  Returns 1 or -1.
 */
int imsg_compose_ibuf(
    struct imsgbuf *, uint32_t type, uint32_t id, pid_t pid, struct ibuf *);
/*
 * Starts a message with room for `datalen` bytes (it can grow up to the
 * maximum).  Returns NULL on error.  Write to it with imsg_add() or the
 * ibuf_add functions, then imsg_close() or ibuf_free() it.
 */
struct ibuf *imsg_create(
    struct imsgbuf *, uint32_t type, uint32_t id, pid_t pid, size_t datalen);
/* Appends.  Returns datalen; or -1, and the message has been freed. */
int imsg_add(struct ibuf *msg, const void *data, size_t datalen);
/*
 * Queues the message.  A descriptor set with ibuf_fd_set() is closed instead
 * of sent where descriptors are not allowed.
 */
void imsg_close(struct imsgbuf *, struct ibuf *msg);
/*
 * Queues a copy of a received message, without a descriptor; what was read
 * of it before does not matter.  Returns 1 or -1.
 */
int imsg_forward(struct imsgbuf *, struct imsg *);

/*
 * Received messages.  Payload is read from the front: what a function has
 * returned is gone for the next.
 */

/* Frees it and closes a descriptor that nobody took.  May be repeated. */
void imsg_free(struct imsg *);
uint32_t imsg_get_type(struct imsg *);
uint32_t imsg_get_id(struct imsg *);
/* As the peer wrote it: not proof of anything. */
pid_t imsg_get_pid(struct imsg *);
/* Unread bytes of payload. */
size_t imsg_get_len(struct imsg *);
/* The descriptor, which is the caller's from now on, or -1. */
int imsg_get_fd(struct imsg *);
/*
 * Copies the payload, which must be exactly `len` bytes, at least 1.
 * Returns 0, or -1 (EBADMSG; EINVAL for len 0).
 */
int imsg_get_data(struct imsg *, void *data, size_t len);
/*
 * Points the ibuf, which needs no ibuf_free(), at the payload, until
 * imsg_free().  Returns 0, or -1 (EBADMSG) when there is no payload.
 */
int imsg_get_ibuf(struct imsg *, struct ibuf *);
/* ibuf_get() and ibuf_get_strbuf() on the payload. */
int imsg_get_buf(struct imsg *, void *data, size_t len);
int imsg_get_strbuf(struct imsg *, char *str, size_t len);

/*
 * Buffers.  Functions returning int return 0, or -1 with errno set and
 * nothing changed.  Content is wiped when memory is freed.
 */

/* A buffer of exactly `len` bytes.  NULL when out of memory. */
struct ibuf *ibuf_open(size_t len);
/* One with `len` bytes that grows up to `max`.  EINVAL: max 0 or < len. */
struct ibuf *ibuf_dynamic(size_t len, size_t max);
/* Frees, closes its descriptor.  NULL and borrowed ibufs are left alone. */
void ibuf_free(struct ibuf *);

/* Append.  ERANGE: no room; EINVAL: a borrowed ibuf, a value too large. */
int ibuf_add(struct ibuf *, const void *data, size_t len);
int ibuf_add_ibuf(struct ibuf *, const struct ibuf *from); /* unread part */
int ibuf_add_zero(struct ibuf *, size_t len);
/* Network byte order. */
int ibuf_add_n8(struct ibuf *, uint64_t value);
int ibuf_add_n16(struct ibuf *, uint64_t value);
int ibuf_add_n32(struct ibuf *, uint64_t value);
int ibuf_add_n64(struct ibuf *, uint64_t value);
/*
 * A string in a field of `len` bytes, padded with NULs, at least one
 * (EOVERFLOW when it does not fit).
 */
int ibuf_add_strbuf(struct ibuf *, const char *str, size_t len);

/* Bytes written and not yet read. */
size_t ibuf_size(const struct ibuf *);
/* Bytes that can still be added. */
size_t ibuf_left(const struct ibuf *);
/* The ibuf_size() unread bytes, until the next add or free. */
void *ibuf_data(const struct ibuf *);

/* Take from the front.  EBADMSG: not that many bytes. */
int ibuf_get(struct ibuf *, void *data, size_t len);
int ibuf_get_n8(struct ibuf *, uint8_t *);
int ibuf_get_n16(struct ibuf *, uint16_t *);
int ibuf_get_n32(struct ibuf *, uint32_t *);
int ibuf_get_n64(struct ibuf *, uint64_t *);
/* Points `to`, which needs no ibuf_free(), at the next `len` bytes. */
int ibuf_get_ibuf(struct ibuf *, size_t len, struct ibuf *to);
/*
 * Copies a field of `len` bytes; str is NUL-terminated whenever the field
 * was there.  EOVERFLOW: the last byte was no NUL (the field is consumed);
 * EINVAL: len is 0.
 */
int ibuf_get_strbuf(struct ibuf *, char *str, size_t len);
int ibuf_skip(struct ibuf *, size_t len);
/* Makes all that was read unread. */
void ibuf_rewind(struct ibuf *);

/* Is there a descriptor? */
int ibuf_fd_avail(struct ibuf *);
/* Takes it; -1 if there is none. */
int ibuf_fd_get(struct ibuf *);
/* Gives one (or -1) to the ibuf; an earlier one is closed. */
void ibuf_fd_set(struct ibuf *, int fd);

#endif
