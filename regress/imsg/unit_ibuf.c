/* sources: common/imsg.c common/imsg_buffer.c regress/imsg/fixture.c */
/* libs: cmocka */
#include <sys/types.h>

#include <errno.h>
#include <string.h>

#include "fixture.h"

static void
test_ibuf_fixed(void **unused)
{
	struct ibuf *buf;
	char text[8];

	(void)unused;
	assert_non_null(buf = ibuf_open(8));
	assert_int_equal(ibuf_left(buf), 8);
	assert_int_equal(ibuf_add(buf, "abcde", 5), 0);
	assert_int_equal(ibuf_left(buf), 3);
	fail_with(ibuf_add(buf, "1234", 4), ERANGE);
	fail_with(ibuf_add_zero(buf, 4), ERANGE);
	fail_with(ibuf_add_zero(buf, SIZE_MAX), ERANGE);
	fail_with(ibuf_add_strbuf(buf, "x", 4), ERANGE);
	fail_with(ibuf_add_n32(buf, 1), ERANGE);
	assert_int_equal(ibuf_add(buf, NULL, 0), 0);
	assert_int_equal(ibuf_add_zero(buf, 3), 0);
	fail_with(ibuf_add_n8(buf, 1), ERANGE);
	assert_int_equal(ibuf_size(buf), 8);
	assert_memory_equal(ibuf_data(buf), "abcde\0\0\0", 8);
	fail_with(ibuf_get(buf, text, 9), EBADMSG);
	fail_with(ibuf_skip(buf, 9), EBADMSG);
	fail_with(ibuf_skip(buf, SIZE_MAX), EBADMSG);
	assert_int_equal(ibuf_get(buf, text, 5), 0);
	assert_memory_equal(text, "abcde", 5);
	assert_int_equal(ibuf_get(buf, NULL, 0), 0);
	assert_int_equal(ibuf_skip(buf, 3), 0);
	assert_int_equal(ibuf_size(buf), 0);
	assert_int_equal(ibuf_left(buf), 0);
	ibuf_rewind(buf);
	assert_int_equal(ibuf_size(buf), 8);
	ibuf_free(buf);
	ibuf_free(NULL);
	assert_null(ibuf_open(SIZE_MAX));
	assert_int_equal(errno, ENOMEM);
	assert_null(ibuf_dynamic(0, 0));
	assert_int_equal(errno, EINVAL);
	assert_null(ibuf_dynamic(2, 1));
	assert_int_equal(errno, EINVAL);
}

static void
test_ibuf_dynamic(void **unused)
{
	struct ibuf *buf;
	struct ibuf *copy;
	uint16_t n;
	uint32_t i;

	(void)unused;
	assert_non_null(buf = ibuf_dynamic(0, 2001));
	for (i = 0; i < 1000; i++)
		assert_int_equal(ibuf_add_n16(buf, i), 0);
	assert_int_equal(ibuf_left(buf), 1);
	fail_with(ibuf_add_n16(buf, 1), ERANGE);
	assert_int_equal(ibuf_skip(buf, 1000), 0);
	assert_non_null(copy = ibuf_dynamic(1, SIZE_MAX));
	assert_int_equal(ibuf_add_ibuf(copy, buf), 0);
	assert_int_equal(ibuf_size(copy), 1000);
	for (i = 500; i < 1000; i++) {
		assert_int_equal(ibuf_get_n16(copy, &n), 0);
		assert_int_equal(n, i);
	}
	fail_with(ibuf_get_n16(copy, &n), EBADMSG);
	fail_with(ibuf_add_zero(copy, SIZE_MAX / 2), ENOMEM);
	fail_with(ibuf_add_ibuf(buf, buf), ERANGE);
	ibuf_free(copy);
	ibuf_free(buf);
}

static void
test_ibuf_numbers(void **unused)
{
	static const unsigned char wire[] = {
	    1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15};
	struct ibuf *buf;
	uint64_t n64 = 99;
	uint32_t n32 = 99;
	uint16_t n16 = 99;
	uint8_t n8 = 99;

	(void)unused;
	assert_non_null(buf = ibuf_open(sizeof(wire)));
	fail_with(ibuf_add_n8(buf, 0x100), EINVAL);
	fail_with(ibuf_add_n16(buf, 0x10000), EINVAL);
	fail_with(ibuf_add_n32(buf, 0x100000000), EINVAL);
	assert_int_equal(ibuf_add_n8(buf, 0x01), 0);
	assert_int_equal(ibuf_add_n16(buf, 0x0203), 0);
	assert_int_equal(ibuf_add_n32(buf, 0x04050607), 0);
	assert_int_equal(ibuf_add_n64(buf, 0x08090a0b0c0d0e0f), 0);
	assert_memory_equal(ibuf_data(buf), wire, sizeof(wire));
	assert_int_equal(ibuf_get_n8(buf, &n8), 0);
	assert_int_equal(ibuf_get_n16(buf, &n16), 0);
	assert_int_equal(ibuf_get_n32(buf, &n32), 0);
	assert_int_equal(ibuf_get_n64(buf, &n64), 0);
	assert_int_equal(n8, 0x01);
	assert_int_equal(n16, 0x0203);
	assert_int_equal(n32, 0x04050607);
	assert_true(n64 == 0x08090a0b0c0d0e0f);
	fail_with(ibuf_get_n8(buf, &n8), EBADMSG);
	fail_with(ibuf_get_n16(buf, &n16), EBADMSG);
	fail_with(ibuf_get_n32(buf, &n32), EBADMSG);
	fail_with(ibuf_get_n64(buf, &n64), EBADMSG);
	assert_int_equal(n8, 0x01);
	assert_int_equal(n32, 0x04050607);
	ibuf_free(buf);
}

static void
test_ibuf_strings(void **unused)
{
	struct ibuf *buf;
	char str[4];

	(void)unused;
	assert_non_null(buf = ibuf_open(12));
	fail_with(ibuf_add_strbuf(buf, "abcd", 4), EOVERFLOW);
	fail_with(ibuf_add_strbuf(buf, "", 0), EOVERFLOW);
	assert_int_equal(ibuf_add_strbuf(buf, "abc", 4), 0);
	assert_int_equal(ibuf_add_strbuf(buf, "", 4), 0);
	assert_memory_equal(ibuf_data(buf), "abc\0\0\0\0\0", 8);
	assert_int_equal(ibuf_add(buf, "wxyz", 4), 0);
	fail_with(ibuf_get_strbuf(buf, str, 0), EINVAL);
	assert_int_equal(ibuf_get_strbuf(buf, str, 4), 0);
	assert_string_equal(str, "abc");
	assert_int_equal(ibuf_get_strbuf(buf, str, 4), 0);
	assert_string_equal(str, "");
	fail_with(ibuf_get_strbuf(buf, str, 4), EOVERFLOW);
	assert_string_equal(str, "wxy");
	fail_with(ibuf_get_strbuf(buf, str, 1), EBADMSG);
	ibuf_free(buf);
}

static void
test_ibuf_view(void **unused)
{
	struct ibuf *buf;
	struct ibuf view;
	ino_t ino;
	char c;

	(void)unused;
	assert_non_null(buf = ibuf_open(4));
	assert_int_equal(ibuf_add(buf, "abcd", 4), 0);
	fail_with(ibuf_get_ibuf(buf, 5, &view), EBADMSG);
	assert_int_equal(ibuf_get_ibuf(buf, 3, &view), 0);
	assert_int_equal(ibuf_size(buf), 1);
	assert_int_equal(ibuf_size(&view), 3);
	assert_int_equal(ibuf_left(&view), 0);
	fail_with(ibuf_add(&view, "x", 1), EINVAL);
	fail_with(ibuf_add(&view, "x", 0), EINVAL);
	assert_int_equal(ibuf_skip(&view, 2), 0);
	assert_int_equal(ibuf_get(&view, &c, 1), 0);
	assert_int_equal(c, 'c');
	fail_with(ibuf_get(&view, &c, 1), EBADMSG);
	assert_false(ibuf_fd_avail(&view));
	assert_int_equal(ibuf_fd_get(&view), -1);
	ibuf_fd_set(&view, new_fd(&ino)); /* closed, not leaked */
	assert_false(ibuf_fd_avail(&view));
	ibuf_free(&view);
	assert_int_equal(ibuf_get(buf, &c, 1), 0);
	assert_int_equal(c, 'd');

	ibuf_fd_set(buf, new_fd(&ino));
	ibuf_fd_set(buf, new_fd(&ino));
	assert_true(ibuf_fd_avail(buf));
	assert_fd_is(ibuf_fd_get(buf), ino);
	assert_false(ibuf_fd_avail(buf));
	ibuf_fd_set(buf, new_fd(&ino));
	ibuf_fd_set(buf, -1);
	assert_false(ibuf_fd_avail(buf));
	ibuf_fd_set(buf, new_fd(&ino));
	ibuf_free(buf);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    PLAIN(test_ibuf_fixed),
	    PLAIN(test_ibuf_dynamic),
	    PLAIN(test_ibuf_numbers),
	    PLAIN(test_ibuf_strings),
	    PLAIN(test_ibuf_view),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
