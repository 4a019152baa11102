/* sources: httpd/json.c */
/* libs: cmocka */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "httpd/json.h"

/* What is written must be what Python's json.dumps() writes. */

static struct json j;

static void
expect(const char *text)
{
	assert_false(j.failed);
	assert_int_equal(j.len, strlen(text));
	assert_memory_equal(j.data, text, j.len);
}

static void
test_parts(void **state)
{
	(void)state;
	json_begin(&j);
	json_open(&j, '{');
	json_key(&j, "a");
	json_int(&j, INT64_MIN);
	json_key(&j, "b");
	json_open(&j, '[');
	json_bool(&j, 1);
	json_null(&j);
	json_open(&j, '{');
	json_close(&j, '{');
	json_close(&j, '[');
	json_close(&j, '{');
	expect("{\"a\": -9223372036854775808, \"b\": [true, null, {}]}");
}

static void
test_escapes(void **state)
{
	(void)state;
	json_begin(&j);
	json_text(&j, "\"\\\b\f\n\r\t\x01/\x7f\xc3\xa9\xf0\x9f\x98\x80");
	expect(
	    "\"\\\"\\\\\\b\\f\\n\\r\\t\\u0001/\\u007f\\u00e9\\ud83d\\ude00\"");
}

static void
test_time(void **state)
{
	(void)state;
	json_begin(&j);
	json_time(&j, INT64_C(951782400) * 1000000000 + 7000000);
	expect("\"2000-02-29T00:00:00.007Z\"");
	json_begin(&j);
	json_time(&j, 0);
	expect("null");
}

/* Bytes that are sent as text must come back as they were. */
static void
test_is_text(void **state)
{
	static const struct {
		const char *bytes;
		size_t len;
		int text;
	} cases[] = {
	    {"", 0, 1},
	    {"plain\n", 6, 1},
	    {"\xc3\xa9", 2, 1},
	    {"\xef\xbf\xbd", 3, 1},
	    {"a\0b", 3, 0},
	    {"\xc0\x80", 2, 0},
	    {"\xe0\x80\x80", 3, 0},
	    {"\xed\xa0\x80", 3, 0},
	    {"\xf4\x90\x80\x80", 4, 0},
	    {"\xf0\x9f\x98", 3, 0},
	    {"\xff", 1, 0},
	    {"a\x80", 2, 0},
	};
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(cases) / sizeof(*cases); i++)
		assert_int_equal(
		    json_is_text(cases[i].bytes, cases[i].len), cases[i].text);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_parts),
	    cmocka_unit_test(test_escapes),
	    cmocka_unit_test(test_time),
	    cmocka_unit_test(test_is_text),
	};
	int failed;

	failed = cmocka_run_group_tests(tests, NULL, NULL);
	json_free(&j);
	return failed;
}
