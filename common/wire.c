#include <stdlib.h>
#include <string.h>

#include "wire.h"

#define WIRE_FIRST 256 /* bytes of the first allocation */

/* Makes room for n more bytes and returns their place, or NULL (failed). */
static uint8_t *
wire_room(struct wire *w, size_t n)
{
	uint8_t *data;

	if (w->failed)
		return NULL;
	if (n > WIRE_MAX - w->len) {
		w->failed = 1;
		return NULL;
	}
	if (w->len + n > w->size) {
		size_t size = w->size == 0 ? WIRE_FIRST : w->size;

		while (size < w->len + n)
			size *= 2;
		data = realloc(w->data, size);
		if (data == NULL) {
			w->failed = 1;
			return NULL;
		}
		w->data = data;
		w->size = size;
	}
	data = w->data + w->len;
	w->len += n;
	return data;
}

void
wire_init(struct wire *w)
{
	memset(w, 0, sizeof(*w));
}

void
wire_free(struct wire *w)
{
	free(w->data);
	memset(w, 0, sizeof(*w));
}

void
wire_reset(struct wire *w)
{
	w->len = 0;
	w->failed = 0;
}

void
wire_put_raw(struct wire *w, const void *data, size_t len)
{
	uint8_t *p;

	/* memcpy(3) must not see a null pointer, even for nothing. */
	if (len == 0)
		return;
	p = wire_room(w, len);
	if (p != NULL)
		memcpy(p, data, len);
}

void
wire_put_u8(struct wire *w, uint8_t v)
{
	wire_put_raw(w, &v, sizeof(v));
}

void
wire_put_u16(struct wire *w, uint16_t v)
{
	wire_put_raw(w, &v, sizeof(v));
}

void
wire_put_u32(struct wire *w, uint32_t v)
{
	wire_put_raw(w, &v, sizeof(v));
}

void
wire_put_u64(struct wire *w, uint64_t v)
{
	wire_put_raw(w, &v, sizeof(v));
}

void
wire_put_i32(struct wire *w, int32_t v)
{
	wire_put_raw(w, &v, sizeof(v));
}

void
wire_put_i64(struct wire *w, int64_t v)
{
	wire_put_raw(w, &v, sizeof(v));
}

void
wire_put_f64(struct wire *w, double v)
{
	wire_put_raw(w, &v, sizeof(v));
}

void
wire_put_bytes(struct wire *w, const void *data, size_t len)
{
	if (len > WIRE_MAX) {
		w->failed = 1;
		return;
	}
	wire_put_u32(w, (uint32_t)len);
	wire_put_raw(w, data, len);
}

void
wire_put_str(struct wire *w, const char *s)
{
	wire_put_bytes(w, s, s == NULL ? 0 : strlen(s));
}

int
wire_check(const struct wire *w)
{
	return w->failed ? -1 : 0;
}

void
wire_read(struct wire_reader *r, const void *data, size_t len)
{
	static const uint8_t nothing;

	/* An empty payload lies nowhere, and NULL + 0 is undefined. */
	r->next = data == NULL ? &nothing : data;
	r->left = len;
	r->failed = 0;
}

/* Nothing more can be read once something was wrong. */
static void
wire_fail(struct wire_reader *r)
{
	r->failed = 1;
	r->left = 0;
}

/* Takes n bytes: their place, or NULL (failed). */
static const uint8_t *
wire_take(struct wire_reader *r, size_t n)
{
	const uint8_t *p;

	if (r->failed || n > r->left) {
		wire_fail(r);
		return NULL;
	}
	p = r->next;
	r->next += n;
	r->left -= n;
	return p;
}

/* Copies n > 0 bytes to v, or zeroes it. */
static void
wire_get_number(struct wire_reader *r, void *v, size_t n)
{
	const uint8_t *p;

	p = wire_take(r, n);
	if (p == NULL)
		memset(v, 0, n);
	else
		memcpy(v, p, n);
}

uint8_t
wire_get_u8(struct wire_reader *r)
{
	uint8_t v;

	wire_get_number(r, &v, sizeof(v));
	return v;
}

uint16_t
wire_get_u16(struct wire_reader *r)
{
	uint16_t v;

	wire_get_number(r, &v, sizeof(v));
	return v;
}

uint32_t
wire_get_u32(struct wire_reader *r)
{
	uint32_t v;

	wire_get_number(r, &v, sizeof(v));
	return v;
}

uint64_t
wire_get_u64(struct wire_reader *r)
{
	uint64_t v;

	wire_get_number(r, &v, sizeof(v));
	return v;
}

int32_t
wire_get_i32(struct wire_reader *r)
{
	int32_t v;

	wire_get_number(r, &v, sizeof(v));
	return v;
}

int64_t
wire_get_i64(struct wire_reader *r)
{
	int64_t v;

	wire_get_number(r, &v, sizeof(v));
	return v;
}

double
wire_get_f64(struct wire_reader *r)
{
	double v;

	wire_get_number(r, &v, sizeof(v));
	return v;
}

int
wire_get_bool(struct wire_reader *r)
{
	uint8_t v;

	v = wire_get_u8(r);
	if (v > 1) {
		wire_fail(r);
		return 0;
	}
	return v;
}

uint32_t
wire_get_count(struct wire_reader *r, uint32_t max, size_t least)
{
	uint32_t n;

	n = wire_get_u32(r);
	if (n > max || (least > 0 && n > r->left / least)) {
		wire_fail(r);
		return 0;
	}
	return n;
}

const void *
wire_get_bytes(struct wire_reader *r, size_t max, size_t *len)
{
	const void *p;
	uint32_t n;

	*len = 0;
	n = wire_get_u32(r);
	if (n > max)
		wire_fail(r);
	p = wire_take(r, n);
	if (p != NULL)
		*len = n;
	return p;
}

const char *
wire_get_view(struct wire_reader *r, size_t max, size_t *len)
{
	const char *s;

	s = wire_get_bytes(r, max, len);
	if (s != NULL && memchr(s, '\0', *len) != NULL) {
		wire_fail(r);
		*len = 0;
		return NULL;
	}
	return s;
}

void
wire_get_string(struct wire_reader *r, char *buf, size_t size)
{
	const char *s;
	size_t len;

	if (size == 0) {
		wire_fail(r);
		return;
	}
	s = wire_get_view(r, size - 1, &len);
	if (s != NULL)
		memcpy(buf, s, len);
	buf[len] = '\0';
}

char *
wire_get_strdup(struct wire_reader *r, size_t max)
{
	const char *s;
	size_t len;
	char *copy;

	s = wire_get_view(r, max, &len);
	if (s == NULL)
		return NULL;
	copy = strndup(s, len);
	if (copy == NULL)
		wire_fail(r);
	return copy;
}

const void *
wire_get_rest(struct wire_reader *r, size_t *len)
{
	*len = r->left;
	return wire_take(r, r->left);
}

int
wire_end(const struct wire_reader *r)
{
	return r->failed || r->left > 0 ? -1 : 0;
}
