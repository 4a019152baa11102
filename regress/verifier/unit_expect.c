/* sources: verifier/expect.c verifier/text.c */
/* libs: bsd */
/*
 * What an answer must be like, and the words that tell why it is not.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <bsd/string.h>

#include <cmocka.h>

#include "../../verifier/expect.h"
#include "../../verifier/verifier.h"

static char body_text[64];
static char empty[1];
static char *wanted_list[MAX_CHECK_FIELDS];
static struct status_range ranges[2];
static struct check_spec spec;
static struct expect expect;
static char detail[DETAIL_SIZE];

static int
begin(void **state)
{
	(void)state;
	(void)memset(&spec, 0, sizeof(spec));
	(void)memset(&expect, 0, sizeof(expect));
	spec.body = empty;
	spec.ranges = ranges;
	spec.wanted = wanted_list;
	expect_begin(&expect, &spec);
	return 0;
}

static int
end(void **state)
{
	(void)state;
	expect_end(&expect);
	return 0;
}

static enum expect_result
status(unsigned int number)
{
	return expect_head(&expect, number, detail, sizeof(detail));
}

static void
test_status(void **state)
{
	(void)state;
	assert_int_equal(status(200), EXPECT_PASSED);
	assert_string_equal(detail, "http 200");
	assert_int_equal(status(299), EXPECT_PASSED);
	assert_int_equal(status(199), EXPECT_FAILED);
	assert_int_equal(status(300), EXPECT_FAILED);
	assert_string_equal(detail, "http 300");
	ranges[0].from = ranges[0].to = 404;
	ranges[1].from = 500;
	ranges[1].to = 502;
	spec.nranges = 2;
	assert_int_equal(status(200), EXPECT_FAILED);
	assert_int_equal(status(404), EXPECT_PASSED);
	assert_int_equal(status(500), EXPECT_PASSED);
	assert_int_equal(status(502), EXPECT_PASSED);
	assert_int_equal(status(503), EXPECT_FAILED);
}

static void
test_redirect(void **state)
{
	unsigned int i;

	(void)state;
	assert_int_equal(expect_redirect(&expect, 302), 0);
	spec.redirects = 1;
	for (i = 300; i < 400; i++)
		assert_int_equal(expect_redirect(&expect, i),
		    i == 301 || i == 302 || i == 303 || i == 307 || i == 308);
	ranges[0].from = ranges[0].to = 302;
	spec.nranges = 1;
	assert_int_equal(expect_redirect(&expect, 302), 0);
	assert_int_equal(expect_redirect(&expect, 301), 1);
}

static void
line(const char *text)
{
	expect_line(&expect, text, strlen(text));
}

static void
test_fields(void **state)
{
	static char name[] = "Name";
	static char pair[] = "Other:  a b ";
	static char none[] = "X:";

	(void)state;
	wanted_list[0] = name;
	wanted_list[1] = pair;
	wanted_list[2] = none;
	spec.nwanted = 3;
	line("nam: x\r\n");
	line("namee: x\r\n");
	line("Other: a  b\r\n");
	line("other: A b\r\n");
	line("no colon\r\n");
	line(": empty\r\n");
	line("X: y\r\n");
	assert_int_equal(expect.seen, 0);
	assert_int_equal(status(200), EXPECT_FAILED);
	assert_string_equal(detail, "no header field \"Name\"");
	line("NAME:\r\n");
	assert_int_equal(status(200), EXPECT_FAILED);
	assert_string_equal(detail, "no header field \"Other:  a b \"");
	line("oTHER:a b\t\n");
	line("x:  ");
	assert_int_equal(expect.seen, 7);
	assert_int_equal(status(200), EXPECT_PASSED);
	/* A new answer, a new count. */
	expect_begin(&expect, &spec);
	assert_int_equal(status(200), EXPECT_FAILED);
}

static void
test_most_fields(void **state)
{
	static char name[] = "Name";
	unsigned int i;

	(void)state;
	for (i = 0; i < MAX_CHECK_FIELDS; i++)
		wanted_list[i] = name;
	spec.nwanted = MAX_CHECK_FIELDS;
	assert_int_equal(status(200), EXPECT_FAILED);
	line("name: x");
	assert_int_equal(status(200), EXPECT_PASSED);
}

/* Is `text` found in `data` when that comes in pieces of each size? */
static int
found(const char *text, const char *data)
{
	enum expect_result result = EXPECT_MORE;
	size_t at;
	size_t len = strlen(data);
	size_t n;
	size_t step;
	int first = -1;
	char *piece;

	assert_in_range(strlcpy(body_text, text, sizeof(body_text)), 1,
	    sizeof(body_text) - 1);
	spec.body = body_text;
	for (step = 1; step <= len; step++) {
		expect_begin(&expect, &spec);
		for (at = 0; at < len; at += n) {
			n = len - at < step ? len - at : step;
			piece = malloc(n);
			assert_non_null(piece);
			(void)memcpy(piece, data + at, n);
			result = expect_body(
			    &expect, 200, piece, n, detail, sizeof(detail));
			free(piece);
			if (result != EXPECT_MORE)
				break;
		}
		if (first == -1)
			first = result == EXPECT_PASSED;
		assert_int_equal(first, result == EXPECT_PASSED);
	}
	return first;
}

static void
test_body(void **state)
{
	(void)state;
	assert_int_equal(found("a", "a"), 1);
	assert_int_equal(found("b", "a"), 0);
	assert_int_equal(found("ready", "is ready now"), 1);
	assert_int_equal(found("aab", "aaaaaab"), 1);
	assert_int_equal(found("abab", "abaabab"), 1);
	assert_int_equal(found("abab", "abaabaa"), 0);
	assert_int_equal(found("is ready now", "is ready now"), 1);
	assert_int_equal(found("is ready now!", "is ready now"), 0);
}

/* The text without its NUL. */
static void
put(char *at, const char *text)
{
	for (; *text != '\0'; text++)
		*at++ = *text;
}

static void
test_body_limit(void **state)
{
	static char data[MAX_BODY + 10];

	(void)state;
	(void)memset(data, 'a', sizeof(data));
	put(data + MAX_BODY - 4, "here");
	assert_int_equal(strlcpy(body_text, "here", sizeof(body_text)), 4);
	spec.body = body_text;
	assert_int_equal(expect_body(&expect, 200, data, sizeof(data), detail,
			     sizeof(detail)),
	    EXPECT_PASSED);
	expect_begin(&expect, &spec);
	assert_int_equal(expect_body(&expect, 200, data + 1, sizeof(data) - 1,
			     detail, sizeof(detail)),
	    EXPECT_PASSED);
	put(data + MAX_BODY - 4, "ahere");
	expect_begin(&expect, &spec);
	assert_int_equal(expect_body(&expect, 200, data, sizeof(data), detail,
			     sizeof(detail)),
	    EXPECT_FAILED);
	assert_string_equal(
	    detail, "body does not contain \"here\" in its first 64 KiB");
}

static void
test_quote(void **state)
{
	char buf[256];
	char small[8];

	(void)state;
	assert_string_equal(text_quote(buf, sizeof(buf), ""), "\"\"");
	assert_string_equal(text_quote(buf, sizeof(buf), "a\n\x7f\xff\xc3\xbc"),
	    "\"a\\x0a\\x7f\\xff\xc3\xbc\"");
	/* Overlong, surrogate, too large, cut short. */
	assert_string_equal(
	    text_quote(buf, sizeof(buf), "\xc0\x80|\xed\xa0\x80|\xf4\x90|\xc3"),
	    "\"\\xc0\\x80|\\xed\\xa0\\x80|\\xf4\\x90|\\xc3\"");
	assert_string_equal(text_quote(buf, sizeof(buf),
				"0123456789012345678901234567890123456789"),
	    "\"0123456789012345678901234567890123456789\"");
	assert_string_equal(text_quote(buf, sizeof(buf),
				"01234567890123456789012345678901234567890"),
	    "\"0123456789012345678901234567890123456789...\"");
	assert_string_equal(
	    text_quote(small, sizeof(small), "abcdefghij"), "\"abcdef");
}

static void
test_words(void **state)
{
	char buf[64];

	(void)state;
	assert_string_equal(text_duration(buf, sizeof(buf), 5 * SECOND), "5 s");
	assert_string_equal(
	    text_duration(buf, sizeof(buf), 250 * MILLISECOND), "250 ms");
	assert_string_equal(
	    text_duration(buf, sizeof(buf), 1500 * MILLISECOND), "1.5 s");
	assert_string_equal(
	    text_error(buf, sizeof(buf), ECONNREFUSED), "connection refused");
	(void)memcpy(buf, "SSL x\n\xff\xc3\xbc", 10);
	text_lower(buf);
	text_clean(buf);
	assert_string_equal(buf, "SSL x??\xc3\xbc");
	assert_int_equal(error_says_more(ECONNREFUSED, 0), 1);
	assert_int_equal(error_says_more(ECONNREFUSED, ENETUNREACH), 1);
	assert_int_equal(error_says_more(ENETUNREACH, ECONNREFUSED), 0);
	assert_int_equal(error_says_more(ECONNREFUSED, ETIMEDOUT), 0);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test_setup_teardown(test_status, begin, end),
	    cmocka_unit_test_setup_teardown(test_redirect, begin, end),
	    cmocka_unit_test_setup_teardown(test_fields, begin, end),
	    cmocka_unit_test_setup_teardown(test_most_fields, begin, end),
	    cmocka_unit_test_setup_teardown(test_body, begin, end),
	    cmocka_unit_test_setup_teardown(test_body_limit, begin, end),
	    cmocka_unit_test(test_quote),
	    cmocka_unit_test(test_words),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
