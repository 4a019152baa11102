/* sources: common/imsg.c common/imsg_buffer.c */
/* libs: */
/* covers: common/imsg.c common/imsg_buffer.c */
/*
 * What a hostile peer can send: bytes cut anywhere, with descriptors
 * anywhere, read and taken in any order.  The input is a byte of options and
 * then records: an operation (OP_*), a length (one byte, or two, low byte
 * first, with OP_LONG) and so many bytes to be sent.
 *
 * A copy of the stream is the measure: each message must be exactly what
 * stands there, and forwarding it must give the same bytes again.
 */
#include <sys/types.h>
#include <sys/socket.h>
#include <sys/uio.h>

#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "imsg.h"

#define OPT_FDPASS 0x01
#define OPT_SMALL 0x02 /* maximum payload 100 bytes */
#define OPT_LARGE 0x04 /* IMSG_MAXSIZE_LIMIT */

#define OP_FDS 0x03 /* number of descriptors */
#define OP_LONG 0x04
#define OP_READ 0x08 /* then read once */
#define OP_GET 0x10 /* then take all messages */
#define OP_GET_ONE 0x20 /* then take one */
#define OP_REPEAT 0x40 /* send the bytes 64 times */
#define OP_CLOSE 0x80 /* then nothing more, but read and take */

#define MARK 0x80000000U
#define STREAM_MAX (4U << 20)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static uint8_t stream[STREAM_MAX];

struct input {
	const uint8_t *next;
	size_t left;
};

struct peer {
	struct imsgbuf imsgbuf;
	int options;
	int sock; /* the hostile end */
	uint8_t *stream; /* all that was sent */
	size_t sent;
	size_t taken; /* that much of it in messages */
};

/* What must hold, or the input is a finding. */
static void
check(int condition)
{
	if (!condition)
		abort();
}

static int
lowest_fd(void)
{
	int fd;

	fd = fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, 0);
	check(fd != -1 && close(fd) == 0);
	return fd;
}

static uint8_t
take_byte(struct input *in)
{
	if (in->left == 0)
		return 0;
	in->left--;
	return *in->next++;
}

/* Sends bytes, as many as there is room for, with descriptors. */
static void
send_bytes(struct peer *p, const uint8_t *data, size_t len, size_t nfds)
{
	struct msghdr msg;
	struct iovec iov;
	union {
		struct cmsghdr hdr;
		unsigned char space[CMSG_SPACE(OP_FDS * sizeof(int))];
	} control;
	ssize_t n;

	if (len > STREAM_MAX - p->sent)
		len = STREAM_MAX - p->sent;
	if (len == 0)
		return;
	memcpy(p->stream + p->sent, data, len);
	memset(&msg, 0, sizeof(msg));
	memset(&control, 0, sizeof(control));
	iov.iov_base = p->stream + p->sent;
	iov.iov_len = len;
	msg.msg_iov = &iov;
	msg.msg_iovlen = 1;
	if (nfds > 0) {
		int fd = STDERR_FILENO;
		size_t i;

		msg.msg_control = control.space;
		msg.msg_controllen = CMSG_SPACE(nfds * sizeof(int));
		control.hdr.cmsg_level = SOL_SOCKET;
		control.hdr.cmsg_type = SCM_RIGHTS;
		control.hdr.cmsg_len = CMSG_LEN(nfds * sizeof(int));
		for (i = 0; i < nfds; i++)
			memcpy(CMSG_DATA(&control.hdr) + i * sizeof(int), &fd,
			    sizeof(int));
	}
	if ((n = sendmsg(p->sock, &msg, MSG_NOSIGNAL)) > 0)
		p->sent += (size_t)n;
}

/* Forwards the message to the peer, where it must arrive as it came. */
static void
check_forward(struct peer *p, struct imsg *imsg, const struct imsg_hdr *hdr,
    const uint8_t *payload)
{
	struct imsg_hdr back;
	uint8_t *bytes;
	size_t got;
	size_t len;
	ssize_t n;

	len = hdr->len & ~MARK;
	check((bytes = malloc(len)) != NULL);
	check(imsg_forward(&p->imsgbuf, imsg) == 1);
	check(imsgbuf_queuelen(&p->imsgbuf) == 1);
	check(imsgbuf_queuebytes(&p->imsgbuf) == len);
	for (got = 0; got < len; got += (size_t)n) {
		check(imsgbuf_write(&p->imsgbuf) == 0);
		n = recv(p->sock, bytes + got, len - got, 0);
		check(n > 0);
	}
	check(imsgbuf_queuelen(&p->imsgbuf) == 0);
	memcpy(&back, bytes, sizeof(back));
	check(back.type == hdr->type && back.peerid == hdr->peerid);
	check(back.pid == (hdr->pid == 0 ? (uint32_t)getpid() : hdr->pid));
	check(back.len == len);
	check(memcmp(bytes + sizeof(back), payload, len - sizeof(back)) == 0);
	free(bytes);
}

/* Numbers from the payload, in network byte order, until it ends. */
static void
check_numbers(struct ibuf *view, const uint8_t *payload, size_t len)
{
	uint64_t n64 = 0;
	uint32_t n32 = 0;
	uint16_t n16 = 0;
	uint8_t n8 = 0;

	check((ibuf_get_n8(view, &n8) == 0) == (len >= 1));
	check((ibuf_get_n16(view, &n16) == 0) == (len >= 3));
	check((ibuf_get_n32(view, &n32) == 0) == (len >= 7));
	check((ibuf_get_n64(view, &n64) == 0) == (len >= 15));
	if (len >= 15) {
		check(n8 == payload[0]);
		check(n16 == (payload[1] << 8 | payload[2]));
		check(n32 >> 24 == payload[3] && (n32 & 0xff) == payload[6]);
		check(n64 >> 56 == payload[7] && (n64 & 0xff) == payload[14]);
	}
}

/* Reads the payload with each function that can. */
static void
check_payload(struct imsg *imsg, const uint8_t *payload, size_t len)
{
	struct ibuf part;
	struct ibuf view;
	char str[8];

	check(imsg_get_len(imsg) == len);
	check(imsg_get_data(imsg, str, len + 1) == -1);
	check((imsg_get_strbuf(imsg, str, sizeof(str)) == 0) ==
	    (len >= sizeof(str) && payload[7] == '\0'));
	ibuf_rewind(imsg->buf);
	if (len <= sizeof(str)) {
		check(imsg_get_buf(imsg, str, len) == 0);
		check(memcmp(str, payload, len) == 0);
		ibuf_rewind(imsg->buf);
		check((imsg_get_data(imsg, str, len) == 0) == (len > 0));
		ibuf_rewind(imsg->buf);
	}
	check((imsg_get_ibuf(imsg, &view) == 0) == (len > 0));
	if (len == 0)
		return;
	check(memcmp(ibuf_data(&view), payload, len) == 0);
	check_numbers(&view, payload, len);
	ibuf_rewind(&view);
	check(ibuf_get_ibuf(&view, len + 1, &part) == -1);
	check(ibuf_get_ibuf(&view, len / 2, &part) == 0);
	check(ibuf_skip(&part, len / 2 + 1) == -1);
	check(ibuf_skip(&part, len / 2) == 0);
	check(ibuf_size(&view) == len - len / 2 && ibuf_size(&part) == 0);
}

/* Takes a message.  Returns what imsgbuf_get() did. */
static int
take_message(struct peer *p)
{
	const uint8_t *at = p->stream + p->taken;
	struct imsg_hdr hdr;
	struct imsg imsg;
	int fd;
	int n;

	if ((n = imsgbuf_get(&p->imsgbuf, &imsg)) != 1)
		return n;
	check(p->sent - p->taken >= sizeof(hdr));
	memcpy(&hdr, at, sizeof(hdr));
	check((hdr.len & ~MARK) >= sizeof(hdr));
	check((hdr.len & ~MARK) <= p->sent - p->taken);
	check((hdr.len & ~MARK) <= p->imsgbuf.maxsize);
	check(imsg_get_type(&imsg) == hdr.type);
	check(imsg_get_id(&imsg) == hdr.peerid);
	check(imsg_get_pid(&imsg) == (pid_t)hdr.pid);
	at += sizeof(hdr);
	check_payload(&imsg, at, (hdr.len & ~MARK) - sizeof(hdr));
	check_forward(p, &imsg, &hdr, at);
	fd = imsg_get_fd(&imsg);
	check((fd != -1) ==
	    ((p->options & OPT_FDPASS) != 0 && (hdr.len & MARK) != 0));
	if (fd != -1) {
		check(fcntl(fd, F_GETFD) == FD_CLOEXEC);
		/* Half of them stay, for imsg_free() to close. */
		if (hdr.type % 2 == 0)
			ibuf_fd_set(imsg.buf, fd);
		else
			check(close(fd) == 0);
	}
	imsg_free(&imsg);
	p->taken += hdr.len & ~MARK;
	return 1;
}

/* An error that the bytes do not explain would be ours. */
static void
check_error(const struct peer *p, int lost)
{
	struct imsg_hdr hdr;

	if (lost)
		return;
	check(p->sent - p->taken >= sizeof(hdr));
	memcpy(&hdr, p->stream + p->taken, sizeof(hdr));
	check((hdr.len & ~MARK) < sizeof(hdr) ||
	    (hdr.len & ~MARK) > p->imsgbuf.maxsize ||
	    ((hdr.len & MARK) != 0 && (p->options & OPT_FDPASS) != 0));
}

/* Does one record.  Returns -1 when the connection is to be given up. */
static int
step(struct peer *p, struct input *in, int *lost)
{
	const uint8_t *data;
	size_t i;
	size_t len;
	int n;
	uint8_t op;

	op = take_byte(in);
	len = take_byte(in);
	if ((op & OP_LONG) != 0)
		len |= (size_t)take_byte(in) << 8;
	if (len > in->left)
		len = in->left;
	data = in->next;
	in->next += len;
	in->left -= len;
	if ((op & OP_FDS) == OP_FDS && (p->options & OPT_FDPASS) != 0)
		*lost = 1; /* three do not fit: MSG_CTRUNC */
	for (i = 0; i < ((op & OP_REPEAT) != 0 ? 64 : 1); i++)
		send_bytes(p, data, len, i == 0 ? op & OP_FDS : 0);
	if ((op & OP_CLOSE) != 0) {
		(void)shutdown(p->sock, SHUT_WR);
		in->left = 0;
	}
	if ((op & (OP_READ | OP_CLOSE)) != 0) {
		if ((n = imsgbuf_read(&p->imsgbuf)) != 1)
			return n;
	}
	if ((op & OP_GET_ONE) != 0 && take_message(p) == -1)
		return -1;
	if ((op & (OP_GET | OP_CLOSE)) != 0) {
		do
			n = take_message(p);
		while (n == 1);
		return n;
	}
	return 0;
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct input in = {data, size};
	struct peer p = {.stream = stream};
	int sock[2];
	int lost = 0;
	int lowest;
	int n = 0;

	lowest = lowest_fd();
	check(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, sock) == 0);
	p.sock = sock[0];
	p.options = take_byte(&in);
	check(imsgbuf_init(&p.imsgbuf, sock[1]) == 0);
	if ((p.options & OPT_FDPASS) != 0)
		imsgbuf_allow_fdpass(&p.imsgbuf);
	if ((p.options & OPT_SMALL) != 0)
		check(imsgbuf_set_maxsize(&p.imsgbuf, 100) == 0);
	if ((p.options & OPT_LARGE) != 0)
		check(imsgbuf_set_maxsize(&p.imsgbuf, IMSG_MAXSIZE_LIMIT) == 0);
	while (in.left > 0 && n == 0)
		n = step(&p, &in, &lost);
	if (n == -1) {
		check_error(&p, lost);
		check(take_message(&p) == -1);
		check(imsgbuf_read(&p.imsgbuf) != 0);
	}
	imsgbuf_clear(&p.imsgbuf);
	check(close(sock[0]) == 0 && close(sock[1]) == 0);
	check(lowest_fd() == lowest);
	return 0;
}
