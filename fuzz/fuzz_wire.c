/* sources: common/wire.c */
/* libs: */
/* covers: common/wire.c */
/*
 * A reader of whatever a peer sends.  The input is a program: a byte that
 * says how many of the following are operations, the operations, then the
 * bytes to be read.  What has been read is written again: as long as the
 * reader has not failed, the result must be the bytes that were consumed.
 */
#include <sys/types.h>

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "wire.h"

static void
expect(int condition)
{
	if (!condition)
		abort();
}

static void
get_number(unsigned int operation, struct wire_reader *r, struct wire *w)
{
	switch (operation) {
	case 0:
		wire_put_u8(w, wire_get_u8(r));
		break;
	case 1:
		wire_put_u16(w, wire_get_u16(r));
		break;
	case 2:
		wire_put_u32(w, wire_get_u32(r));
		break;
	case 3:
		wire_put_u64(w, wire_get_u64(r));
		break;
	case 4:
		wire_put_i32(w, wire_get_i32(r));
		break;
	case 5:
		wire_put_i64(w, wire_get_i64(r));
		break;
	case 6:
		wire_put_f64(w, wire_get_f64(r));
		break;
	default:
		wire_put_u8(w, (uint8_t)wire_get_bool(r));
		break;
	}
}

/* `max` bounds strings and counts. */
static void
get_text(unsigned int operation, unsigned int max, struct wire_reader *r,
    struct wire *w)
{
	const void *data;
	const char *text;
	char buf[256];
	char *copy;
	size_t len;
	size_t left;
	uint32_t n;

	switch (operation) {
	case 0:
		left = r->left;
		n = wire_get_count(r, max, max % 5);
		expect(n <= max && n * (size_t)(max % 5) <= left);
		wire_put_u32(w, n);
		break;
	case 1:
		data = wire_get_bytes(r, max, &len);
		expect(len <= max && (data != NULL || len == 0));
		wire_put_bytes(w, data, len);
		break;
	case 2:
		text = wire_get_view(r, max, &len);
		expect(len <= max && (text != NULL || len == 0));
		expect(text == NULL || memchr(text, '\0', len) == NULL);
		wire_put_bytes(w, text, len);
		break;
	case 3:
		memset(buf, 'x', sizeof(buf));
		wire_get_string(r, buf, max);
		expect(max == 0 || strnlen(buf, max) < max);
		wire_put_str(w, max == 0 ? NULL : buf);
		break;
	case 4:
		copy = wire_get_strdup(r, max);
		expect((copy == NULL) == (r->failed != 0));
		expect(copy == NULL || strlen(copy) <= max);
		wire_put_str(w, copy);
		free(copy);
		break;
	default:
		left = r->left;
		data = wire_get_rest(r, &len);
		expect(len == left && r->left == 0);
		wire_put_raw(w, data, len);
		break;
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *, size_t);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct wire_reader r;
	struct wire w;
	const uint8_t *program;
	size_t count;
	size_t i;
	int failed;

	if (size < 1)
		return 0;
	count = data[0];
	program = data + 1;
	size--;
	if (count > size)
		count = size;
	data = program + count;
	size -= count;
	wire_init(&w);
	wire_read(&r, data, size);
	failed = 0;
	for (i = 0; i < count; i++) {
		if (program[i] < 128)
			get_number(program[i] % 8, &r, &w);
		else
			get_text(
			    (program[i] - 128U) / 20, program[i] % 20, &r, &w);
		/* It stays so. */
		expect(!failed || r.failed);
		failed = r.failed;
		expect(r.left <= size);
	}
	expect(wire_check(&w) == 0);
	if (!failed) {
		expect(w.len == size - r.left);
		expect(w.len == 0 || memcmp(w.data, data, w.len) == 0);
	}
	expect((wire_end(&r) == 0) == (!failed && r.left == 0));
	wire_reset(&w);
	expect(w.len == 0);
	wire_free(&w);
	return 0;
}
