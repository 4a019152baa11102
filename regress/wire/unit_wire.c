/* sources: common/wire.c */
/* libs: cmocka */
#include <sys/types.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "wire.h"

static void
numbers_test(void **state)
{
	struct wire_reader r;
	struct wire w;

	(void)state;
	wire_init(&w);
	wire_put_u8(&w, UINT8_MAX);
	wire_put_u16(&w, 0x1234);
	wire_put_u32(&w, 0x12345678);
	wire_put_u64(&w, UINT64_MAX - 1);
	wire_put_i32(&w, INT32_MIN);
	wire_put_i64(&w, INT64_MIN);
	wire_put_f64(&w, -0.1);
	wire_put_u8(&w, 1);
	wire_put_u8(&w, 0);
	assert_int_equal(wire_check(&w), 0);
	assert_int_equal(w.len, 1 + 2 + 4 + 8 + 4 + 8 + 8 + 1 + 1);

	wire_read(&r, w.data, w.len);
	assert_int_equal(wire_get_u8(&r), UINT8_MAX);
	assert_int_equal(wire_get_u16(&r), 0x1234);
	assert_int_equal(wire_get_u32(&r), 0x12345678);
	assert_true(wire_get_u64(&r) == UINT64_MAX - 1);
	assert_true(wire_get_i32(&r) == INT32_MIN);
	assert_true(wire_get_i64(&r) == INT64_MIN);
	assert_true(wire_get_f64(&r) == -0.1);
	assert_int_equal(wire_get_bool(&r), 1);
	assert_int_equal(wire_end(&r), -1);
	assert_int_equal(wire_get_bool(&r), 0);
	assert_int_equal(wire_end(&r), 0);
	assert_int_equal(wire_get_u8(&r), 0);
	assert_int_equal(wire_end(&r), -1);
	wire_free(&w);
}

/* The layout is the protocol: host order, u32 length, bytes, no padding. */
static void
layout_test(void **state)
{
	unsigned char expected[4 + 2 + 1 + 4];
	uint32_t n;
	struct wire w;

	(void)state;
	n = 2;
	memcpy(expected, &n, sizeof(n));
	expected[4] = 'a';
	expected[5] = 'b';
	expected[6] = 9;
	n = 0;
	memcpy(expected + 7, &n, sizeof(n));
	wire_init(&w);
	wire_put_str(&w, "ab");
	wire_put_u8(&w, 9);
	wire_put_str(&w, NULL);
	assert_int_equal(w.len, sizeof(expected));
	assert_memory_equal(w.data, expected, sizeof(expected));
	wire_reset(&w);
	assert_int_equal(w.len, 0);
	wire_put_raw(&w, "xyz", 3);
	wire_put_raw(&w, NULL, 0);
	assert_int_equal(w.len, 3);
	assert_memory_equal(w.data, "xyz", 3);
	wire_free(&w);
	assert_null(w.data);
	assert_int_equal(w.len, 0);
}

/* Every getter fails at the end of data, gives 0, and stays failed. */
static void
short_test(void **state)
{
	static const unsigned char data[8] = {1, 1, 1, 1, 1, 1, 1, 1};
	struct wire_reader r;
	const char *text;
	char buf[4] = "abc";
	size_t len;

	(void)state;
	wire_read(&r, data, 1);
	assert_int_equal(wire_get_u16(&r), 0);
	/* A byte was there, but the reader had failed. */
	assert_int_equal(wire_get_u8(&r), 0);
	assert_int_equal(wire_end(&r), -1);
	wire_read(&r, data, 3);
	assert_int_equal(wire_get_u32(&r), 0);
	assert_int_equal(wire_end(&r), -1);
	wire_read(&r, data, 7);
	assert_true(wire_get_u64(&r) == 0);
	assert_int_equal(wire_end(&r), -1);
	wire_read(&r, data, 3);
	assert_int_equal(wire_get_i32(&r), 0);
	wire_read(&r, data, 7);
	assert_true(wire_get_i64(&r) == 0);
	wire_read(&r, data, 7);
	assert_true(wire_get_f64(&r) == 0.0);
	wire_read(&r, NULL, 0);
	assert_int_equal(wire_get_bool(&r), 0);
	assert_int_equal(wire_end(&r), -1);
	assert_int_equal(wire_get_count(&r, 10, 1), 0);
	text = wire_get_view(&r, 10, &len);
	assert_null(text);
	assert_int_equal(len, 0);
	assert_null(wire_get_bytes(&r, 10, &len));
	assert_null(wire_get_strdup(&r, 10));
	assert_null(wire_get_rest(&r, &len));
	assert_int_equal(len, 0);
	wire_get_string(&r, buf, sizeof(buf));
	assert_string_equal(buf, "");
	wire_read(&r, NULL, 0);
	assert_int_equal(wire_end(&r), 0);
}

static void
bool_test(void **state)
{
	static const unsigned char data[2] = {2, 1};
	struct wire_reader r;

	(void)state;
	wire_read(&r, data, sizeof(data));
	assert_int_equal(wire_get_bool(&r), 0);
	assert_int_equal(wire_get_bool(&r), 0);
	assert_int_equal(wire_end(&r), -1);
}

static void
strings_test(void **state)
{
	struct wire_reader r;
	struct wire w;
	const char *text;
	char *copy;
	char buf[6];
	size_t len;

	(void)state;
	wire_init(&w);
	wire_put_str(&w, "hello");
	wire_put_str(&w, "");
	wire_put_bytes(&w, "a\0b", 3);
	wire_put_str(&w, "hello");
	wire_put_str(&w, "there");
	wire_put_raw(&w, "rest", 4);
	wire_read(&r, w.data, w.len);
	wire_get_string(&r, buf, sizeof(buf)); /* just fits */
	assert_string_equal(buf, "hello");
	wire_get_string(&r, buf, 1);
	assert_string_equal(buf, "");
	assert_memory_equal(wire_get_bytes(&r, 3, &len), "a\0b", 3);
	assert_int_equal(len, 3);
	text = wire_get_view(&r, 5, &len);
	assert_int_equal(len, 5);
	assert_memory_equal(text, "hello", 5);
	copy = wire_get_strdup(&r, 5);
	assert_non_null(copy);
	assert_string_equal(copy, "there");
	free(copy);
	assert_memory_equal(wire_get_rest(&r, &len), "rest", 4);
	assert_int_equal(len, 4);
	assert_int_equal(wire_end(&r), 0);
	wire_free(&w);
}

/* Too long by one, or with a NUL inside. */
static void
strings_bad_test(void **state)
{
	struct wire_reader r;
	struct wire w;
	char buf[6];
	size_t len;

	(void)state;
	wire_init(&w);
	wire_put_bytes(&w, "hello", 5);
	wire_read(&r, w.data, w.len);
	buf[0] = 'x';
	wire_get_string(&r, buf, 5);
	assert_string_equal(buf, "");
	assert_int_equal(wire_end(&r), -1);
	wire_read(&r, w.data, w.len);
	wire_get_string(&r, buf, 0);
	assert_int_equal(wire_end(&r), -1);
	wire_read(&r, w.data, w.len);
	assert_null(wire_get_view(&r, 4, &len));
	assert_null(wire_get_view(&r, 4, &len));
	wire_read(&r, w.data, w.len);
	assert_null(wire_get_strdup(&r, 4));
	wire_read(&r, w.data, w.len);
	assert_null(wire_get_bytes(&r, 4, &len));
	assert_int_equal(len, 0);
	/* The length says more than there is. */
	wire_read(&r, w.data, w.len - 1);
	assert_null(wire_get_bytes(&r, 100, &len));
	assert_int_equal(wire_end(&r), -1);

	wire_reset(&w);
	wire_put_bytes(&w, "he\0lo", 5);
	wire_read(&r, w.data, w.len);
	assert_null(wire_get_view(&r, 5, &len));
	assert_int_equal(len, 0);
	assert_int_equal(wire_end(&r), -1);
	wire_read(&r, w.data, w.len);
	assert_null(wire_get_strdup(&r, 5));
	wire_read(&r, w.data, w.len);
	wire_get_string(&r, buf, sizeof(buf));
	assert_string_equal(buf, "");
	assert_int_equal(wire_end(&r), -1);
	wire_free(&w);
}

static void
count_test(void **state)
{
	struct wire_reader r;
	struct wire w;

	(void)state;
	wire_init(&w);
	wire_put_u32(&w, 3);
	wire_put_raw(&w, "123456789abc", 12);
	wire_read(&r, w.data, w.len);
	assert_int_equal(wire_get_count(&r, 3, 4), 3);
	assert_int_equal(r.left, 12);
	wire_read(&r, w.data, w.len);
	assert_int_equal(wire_get_count(&r, 2, 4), 0);
	assert_int_equal(wire_end(&r), -1);
	wire_read(&r, w.data, w.len);
	assert_int_equal(wire_get_count(&r, 3, 5), 0);
	wire_read(&r, w.data, w.len);
	assert_int_equal(wire_get_count(&r, 3, 0), 3);

	/* A product that does not fit into a number. */
	wire_reset(&w);
	wire_put_u32(&w, UINT32_MAX);
	wire_put_raw(&w, "123456789abc", 12);
	wire_read(&r, w.data, w.len);
	assert_int_equal(
	    wire_get_count(&r, UINT32_MAX, SIZE_MAX / UINT32_MAX + 2), 0);
	assert_int_equal(wire_end(&r), -1);
	wire_free(&w);
}

/* Up to WIRE_MAX bytes; then it fails, for good until it is reset. */
static void
limit_test(void **state)
{
	struct wire w;
	char *big;

	(void)state;
	big = calloc(1, WIRE_MAX);
	assert_non_null(big);
	wire_init(&w);
	wire_put_bytes(&w, big, WIRE_MAX - 4);
	assert_int_equal(wire_check(&w), 0);
	assert_int_equal(w.len, WIRE_MAX);
	wire_put_u8(&w, 1);
	assert_int_equal(wire_check(&w), -1);
	assert_int_equal(w.len, WIRE_MAX);
	wire_reset(&w);
	assert_int_equal(wire_check(&w), 0);
	wire_put_bytes(&w, big, SIZE_MAX); /* never read */
	assert_int_equal(wire_check(&w), -1);
	assert_int_equal(w.len, 0);
	wire_put_u8(&w, 1);
	assert_int_equal(w.len, 0);
	wire_reset(&w);
	wire_put_raw(&w, big, SIZE_MAX);
	assert_int_equal(wire_check(&w), -1);
	wire_free(&w);
	free(big);
}

/* Growth in small steps keeps what is there. */
static void
growth_test(void **state)
{
	struct wire_reader r;
	struct wire w;
	uint32_t i;

	(void)state;
	wire_init(&w);
	for (i = 0; i < 100000; i++)
		wire_put_u32(&w, i);
	assert_int_equal(wire_check(&w), 0);
	wire_read(&r, w.data, w.len);
	for (i = 0; i < 100000; i++)
		assert_int_equal(wire_get_u32(&r), i);
	assert_int_equal(wire_end(&r), 0);
	wire_free(&w);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(numbers_test),
	    cmocka_unit_test(layout_test),
	    cmocka_unit_test(short_test),
	    cmocka_unit_test(bool_test),
	    cmocka_unit_test(strings_test),
	    cmocka_unit_test(strings_bad_test),
	    cmocka_unit_test(count_test),
	    cmocka_unit_test(limit_test),
	    cmocka_unit_test(growth_test),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
