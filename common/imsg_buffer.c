#include <sys/types.h>

#include <endian.h>
#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "imsg.h"

/*
 * The storage of an ibuf begins IMSG_HEADER_SIZE bytes before its `buf`.
 * A message header goes there, directly before the unread payload, so that
 * any ibuf can be sent as a message in one piece and without a copy.  The
 * first storage lies behind the struct, in one allocation; an ibuf that
 * grows beyond it gets storage of its own.  An IBUF_VIEW has no storage.
 */
#define HEADROOM IMSG_HEADER_SIZE

static struct ibuf *
ibuf_new(size_t len, size_t max)
{
	struct ibuf *buf;

	if (len > SIZE_MAX / 2) {
		errno = ENOMEM;
		return NULL;
	}
	if ((buf = malloc(sizeof(*buf) + HEADROOM + len)) == NULL)
		return NULL;
	memset(buf, 0, sizeof(*buf));
	buf->buf = (unsigned char *)(buf + 1) + HEADROOM;
	buf->size = len;
	buf->max = max;
	buf->fd = -1;
	return buf;
}

struct ibuf *
ibuf_open(size_t len)
{
	return ibuf_new(len, len);
}

struct ibuf *
ibuf_dynamic(size_t len, size_t max)
{
	if (max == 0 || max < len) {
		errno = EINVAL;
		return NULL;
	}
	return ibuf_new(len, max);
}

/* Wipes the content, which may be a secret, and frees storage of its own. */
static void
ibuf_release(struct ibuf *buf)
{
	explicit_bzero(buf->buf, buf->wpos);
	free(buf->heap);
}

void
ibuf_free(struct ibuf *buf)
{
	if (buf == NULL || (buf->flags & IBUF_VIEW) != 0)
		return;
	if (buf->fd != -1)
		(void)close(buf->fd);
	ibuf_release(buf);
	free(buf);
}

/*
 * Grows the storage to at least `need` bytes, which are at most buf->max.
 * Doubling keeps many small additions linear.
 */
static int
ibuf_grow(struct ibuf *buf, size_t need)
{
	unsigned char *storage;
	size_t size;

	size = buf->size > buf->max / 2 ? buf->max : buf->size * 2;
	if (size < need)
		size = need;
	if (size > SIZE_MAX / 2) {
		errno = ENOMEM;
		return -1;
	}
	if ((storage = malloc(HEADROOM + size)) == NULL)
		return -1;
	/* imsg_create() has written the header into the headroom. */
	memcpy(storage, buf->buf - HEADROOM, HEADROOM + buf->wpos);
	ibuf_release(buf);
	buf->heap = storage;
	buf->buf = storage + HEADROOM;
	buf->size = size;
	return 0;
}

/* Returns room for `len` more bytes, which count as written, or NULL. */
static unsigned char *
ibuf_extend(struct ibuf *buf, size_t len)
{
	unsigned char *room;

	if ((buf->flags & IBUF_VIEW) != 0) {
		errno = EINVAL;
		return NULL;
	}
	if (len > buf->max - buf->wpos) {
		errno = ERANGE;
		return NULL;
	}
	if (len > buf->size - buf->wpos &&
	    ibuf_grow(buf, buf->wpos + len) == -1)
		return NULL;
	room = buf->buf + buf->wpos;
	buf->wpos += len;
	return room;
}

int
ibuf_add(struct ibuf *buf, const void *data, size_t len)
{
	unsigned char *room;

	if ((room = ibuf_extend(buf, len)) == NULL)
		return -1;
	if (len > 0) /* data may be NULL if it is not */
		memcpy(room, data, len);
	return 0;
}

int
ibuf_add_ibuf(struct ibuf *buf, const struct ibuf *from)
{
	return ibuf_add(buf, ibuf_data(from), ibuf_size(from));
}

int
ibuf_add_zero(struct ibuf *buf, size_t len)
{
	unsigned char *room;

	if ((room = ibuf_extend(buf, len)) == NULL)
		return -1;
	memset(room, 0, len);
	return 0;
}

int
ibuf_add_n8(struct ibuf *buf, uint64_t value)
{
	uint8_t v;

	if (value > UINT8_MAX) {
		errno = EINVAL;
		return -1;
	}
	v = (uint8_t)value;
	return ibuf_add(buf, &v, sizeof(v));
}

int
ibuf_add_n16(struct ibuf *buf, uint64_t value)
{
	uint16_t v;

	if (value > UINT16_MAX) {
		errno = EINVAL;
		return -1;
	}
	v = htobe16((uint16_t)value);
	return ibuf_add(buf, &v, sizeof(v));
}

int
ibuf_add_n32(struct ibuf *buf, uint64_t value)
{
	uint32_t v;

	if (value > UINT32_MAX) {
		errno = EINVAL;
		return -1;
	}
	v = htobe32((uint32_t)value);
	return ibuf_add(buf, &v, sizeof(v));
}

int
ibuf_add_n64(struct ibuf *buf, uint64_t value)
{
	value = htobe64(value);
	return ibuf_add(buf, &value, sizeof(value));
}

int
ibuf_add_strbuf(struct ibuf *buf, const char *str, size_t len)
{
	unsigned char *room;
	size_t n;

	if ((n = strnlen(str, len)) == len) {
		errno = EOVERFLOW;
		return -1;
	}
	if ((room = ibuf_extend(buf, len)) == NULL)
		return -1;
	memcpy(room, str, n);
	memset(room + n, 0, len - n);
	return 0;
}

size_t
ibuf_size(const struct ibuf *buf)
{
	return buf->wpos - buf->rpos;
}

size_t
ibuf_left(const struct ibuf *buf)
{
	return buf->max - buf->wpos;
}

void *
ibuf_data(const struct ibuf *buf)
{
	return buf->buf + buf->rpos;
}

int
ibuf_skip(struct ibuf *buf, size_t len)
{
	if (len > ibuf_size(buf)) {
		errno = EBADMSG;
		return -1;
	}
	buf->rpos += len;
	return 0;
}

int
ibuf_get(struct ibuf *buf, void *data, size_t len)
{
	const void *from;

	from = ibuf_data(buf);
	if (ibuf_skip(buf, len) == -1)
		return -1;
	if (len > 0)
		memcpy(data, from, len);
	return 0;
}

int
ibuf_get_n8(struct ibuf *buf, uint8_t *value)
{
	return ibuf_get(buf, value, sizeof(*value));
}

int
ibuf_get_n16(struct ibuf *buf, uint16_t *value)
{
	uint16_t v;

	if (ibuf_get(buf, &v, sizeof(v)) == -1)
		return -1;
	*value = be16toh(v);
	return 0;
}

int
ibuf_get_n32(struct ibuf *buf, uint32_t *value)
{
	uint32_t v;

	if (ibuf_get(buf, &v, sizeof(v)) == -1)
		return -1;
	*value = be32toh(v);
	return 0;
}

int
ibuf_get_n64(struct ibuf *buf, uint64_t *value)
{
	uint64_t v;

	if (ibuf_get(buf, &v, sizeof(v)) == -1)
		return -1;
	*value = be64toh(v);
	return 0;
}

int
ibuf_get_ibuf(struct ibuf *buf, size_t len, struct ibuf *to)
{
	unsigned char *from;

	from = ibuf_data(buf);
	if (ibuf_skip(buf, len) == -1)
		return -1;
	memset(to, 0, sizeof(*to));
	to->buf = from;
	to->size = to->max = to->wpos = len;
	to->fd = -1;
	to->flags = IBUF_VIEW;
	return 0;
}

int
ibuf_get_strbuf(struct ibuf *buf, char *str, size_t len)
{
	if (len == 0) {
		errno = EINVAL;
		return -1;
	}
	if (ibuf_get(buf, str, len) == -1)
		return -1;
	if (str[len - 1] != '\0') {
		str[len - 1] = '\0';
		errno = EOVERFLOW;
		return -1;
	}
	return 0;
}

void
ibuf_rewind(struct ibuf *buf)
{
	buf->rpos = 0;
}

int
ibuf_fd_avail(struct ibuf *buf)
{
	return buf->fd != -1;
}

int
ibuf_fd_get(struct ibuf *buf)
{
	int fd;

	fd = buf->fd;
	buf->fd = -1;
	return fd;
}

void
ibuf_fd_set(struct ibuf *buf, int fd)
{
	if (buf->fd != -1)
		(void)close(buf->fd);
	buf->fd = -1;
	if (fd < 0)
		return;
	/* A view is never sent or freed: keeping it would leak it. */
	if ((buf->flags & IBUF_VIEW) != 0)
		(void)close(fd);
	else
		buf->fd = fd;
}

/*
 * Received messages.
 */

void
imsg_free(struct imsg *imsg)
{
	ibuf_free(imsg->buf);
	imsg->buf = NULL;
}

uint32_t
imsg_get_type(struct imsg *imsg)
{
	return imsg->hdr.type;
}

uint32_t
imsg_get_id(struct imsg *imsg)
{
	return imsg->hdr.peerid;
}

pid_t
imsg_get_pid(struct imsg *imsg)
{
	return (pid_t)imsg->hdr.pid;
}

size_t
imsg_get_len(struct imsg *imsg)
{
	return ibuf_size(imsg->buf);
}

int
imsg_get_fd(struct imsg *imsg)
{
	return ibuf_fd_get(imsg->buf);
}

int
imsg_get_data(struct imsg *imsg, void *data, size_t len)
{
	if (len == 0) {
		errno = EINVAL;
		return -1;
	}
	if (ibuf_size(imsg->buf) != len) {
		errno = EBADMSG;
		return -1;
	}
	return ibuf_get(imsg->buf, data, len);
}

int
imsg_get_ibuf(struct imsg *imsg, struct ibuf *ibuf)
{
	size_t len;

	if ((len = ibuf_size(imsg->buf)) == 0) {
		errno = EBADMSG;
		return -1;
	}
	return ibuf_get_ibuf(imsg->buf, len, ibuf);
}

int
imsg_get_buf(struct imsg *imsg, void *data, size_t len)
{
	return ibuf_get(imsg->buf, data, len);
}

int
imsg_get_strbuf(struct imsg *imsg, char *str, size_t len)
{
	return ibuf_get_strbuf(imsg->buf, str, len);
}
