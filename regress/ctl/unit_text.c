/* sources: ctl/text.c ctl/say.c ctl/words.c */
/* libs: bsd jansson cmocka */
#include <sys/types.h>

#include <locale.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "ctl/ctl.h"

struct options options;

static int
utf8_setup(void **state)
{
	(void)state;
	/* NOLINTNEXTLINE(concurrency-mt-unsafe) there are no threads */
	assert_int_equal(setenv("LC_ALL", "C.UTF-8", 1), 0);
	text_locale();
	return text_is_utf8() ? 0 : -1;
}

static int
c_setup(void **state)
{
	(void)state;
	/* NOLINTNEXTLINE(concurrency-mt-unsafe) there are no threads */
	assert_int_equal(setenv("LC_ALL", "C", 1), 0);
	text_locale();
	return text_is_utf8() ? -1 : 0;
}

static void
check(const char *in, size_t len, const char *wanted)
{
	char *out;

	out = text_escape(in, len);
	assert_string_equal(out, wanted);
	free(out);
}

static void
escape_test(void **state)
{
	(void)state;
	check("", 0, "");
	check("plain ~!", 8, "plain ~!");
	check(
	    "\n\r\t\033\b\a\0\177\001", 9, "\\n\\r\\t\\e\\b\\a\\x00\\x7f\\x01");
	/* A backslash is no control character. */
	check("a\\nb", 4, "a\\nb");
	check("\303\274\342\202\254\360\237\230\200", 9,
	    "\303\274\342\202\254\360\237\230\200");
	/* C1 controls, which some terminals obey: U+009B. */
	check("\302\233[2J", 5, "\\u009b[2J");
	/* Directions, invisible ones, tags. */
	check("\342\200\256", 3, "\\u202e");
	check("\342\201\246", 3, "\\u2066");
	check("\342\200\213", 3, "\\u200b");
	check("\357\273\277", 3, "\\ufeff");
	check("\363\240\201\201", 4, "\\ue0041");
	/* Malformed: alone, cut, overlong, surrogate. */
	check("\200a", 2, "\\x80a");
	check("\303", 1, "\\xc3");
	check("\342\202", 2, "\\xe2\\x82");
	check("\300\257", 2, "\\xc0\\xaf");
	check("\355\240\200", 3, "\\xed\\xa0\\x80");
	check("\377\376", 2, "\\xff\\xfe");
}

static void
c_locale_test(void **state)
{
	(void)state;
	check("a\303\274\n", 4, "a\\xc3\\xbc\\n");
	assert_int_equal(text_width("a\303\274"), 9);
}

static void
width_test(void **state)
{
	(void)state;
	assert_int_equal(text_width(""), 0);
	assert_int_equal(text_width("abc"), 3);
	assert_int_equal(text_width("\303\274"), 1);
	assert_int_equal(text_width("\345\255\227\345\255\227"), 4);
	assert_int_equal(text_width("e\314\201"), 1);
	assert_int_equal(text_width("\033"), 2);
}

static void
put(const char *in, size_t most, const char *wanted, size_t width)
{
	char buf[64];
	FILE *to;

	to = fmemopen(buf, sizeof(buf), "w");
	assert_non_null(to);
	assert_int_equal(text_put(to, in, most), width);
	assert_int_equal(fclose(to), 0);
	assert_string_equal(buf, wanted);
}

static void
put_test(void **state)
{
	(void)state;
	put("abc", SIZE_MAX, "abc", 3);
	put("abc", 2, "ab", 2);
	put("abc", 0, "", 0);
	/* Half of a wide character, or of an escape, is nothing. */
	put("a\345\255\227b", 2, "a", 1);
	put("a\345\255\227b", 3, "a\345\255\227", 3);
	put("a\nb", 2, "a", 1);
	put("a\nb", 3, "a\\n", 3);
}

static void
partial_test(void **state)
{
	char shown[SHOWN_SIZE];
	int width;

	(void)state;
	assert_int_equal(text_next("\303", 1, TEXT_PARTIAL, shown, &width), 0);
	assert_int_equal(
	    text_next("\360\237\230", 3, TEXT_PARTIAL, shown, &width), 0);
	/* It can never become one. */
	assert_int_equal(text_next("\303a", 2, TEXT_PARTIAL, shown, &width), 1);
	assert_string_equal(shown, "\\xc3");
	assert_int_equal(text_next("\t", 1, TEXT_TAB, shown, &width), 1);
	assert_string_equal(shown, "\t");
	assert_int_equal(text_next("\n", 1, TEXT_TAB, shown, &width), 1);
	assert_string_equal(shown, "\\n");
}

/* Nothing but printable ASCII and whole characters comes out of any bytes. */
static void
noise_test(void **state)
{
	char in[64];
	char *out;
	size_t i;
	size_t len;
	unsigned int n;
	uint32_t seed;

	(void)state;
	seed = 1;
	for (n = 0; n < 20000; n++) {
		for (i = 0; i < sizeof(in); i++) {
			seed = seed * 1664525 + 1013904223;
			in[i] = (char)(seed >> 24);
		}
		len = seed >> 16 & 63;
		out = text_escape(in, len);
		for (i = 0; out[i] != '\0'; i++)
			assert_true(
			    (unsigned char)out[i] >= ' ' && out[i] != '\177');
		assert_true(mbstowcs(NULL, out, 0) != (size_t)-1);
		free(out);
	}
}

static void
memory_test(void **state)
{
	char *s;

	(void)state;
	s = xasprintf("%s-%d", "a", 3);
	assert_string_equal(s, "a-3");
	free(s);
	s = xstrdup("b");
	assert_string_equal(s, "b");
	free(s);
}

int
main(void)
{
	const struct CMUnitTest utf8[] = {
	    cmocka_unit_test(escape_test),
	    cmocka_unit_test(width_test),
	    cmocka_unit_test(put_test),
	    cmocka_unit_test(partial_test),
	    cmocka_unit_test(noise_test),
	    cmocka_unit_test(memory_test),
	};
	const struct CMUnitTest c[] = {
	    cmocka_unit_test(c_locale_test),
	};
	int failed;

	failed = cmocka_run_group_tests_name("utf8", utf8, utf8_setup, NULL);
	return failed + cmocka_run_group_tests_name("c", c, c_setup, NULL);
}
