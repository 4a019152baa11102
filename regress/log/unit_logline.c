/* sources: manager/logline.c */
/* libs: jansson bsd */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <bsd/string.h>
#include <cmocka.h>
#include <jansson.h>

#include "../../manager/logline.h"

#define WALL INT64_C(1795292842123456789) /* 2026-11-21T20:27:22.123… */

static char line[MAX_LOGLINE];

static const char *
made(enum log_format format, enum log_level level, const char *program,
    const char *text)
{
	size_t n;

	memset(line, 'x', sizeof(line));
	n = logline(line, format, WALL, level, program, text);
	assert_int_equal(n, strlen(line));
	assert_int_equal(line[n - 1], '\n');
	assert_ptr_equal(strchr(line, '\n'), line + n - 1);
	return line;
}

static void
test_text(void **state)
{
	(void)state;
	assert_string_equal(
	    made(LOG_TEXT, LOG_LEVEL_WARNING, "parent", "it rains"),
	    "[WARNING] parent: it rains\n");
	assert_string_equal(
	    made(LOG_TEXT, LOG_LEVEL_ERROR, "", "it = \"rains\""),
	    "[ERROR] it = \"rains\"\n");
}

static void
test_logfmt(void **state)
{
	(void)state;
	assert_string_equal(made(LOG_LOGFMT, LOG_LEVEL_INFO, "parent", "up"),
	    "ts=2026-11-21T20:27:22.123Z level=info program=parent msg=up\n");
	assert_string_equal(
	    made(LOG_LOGFMT, LOG_LEVEL_DEBUG, "", "a \"b\" \\c=d"),
	    "ts=2026-11-21T20:27:22.123Z level=debug program=musterd "
	    "msg=\"a \\\"b\\\" \\\\c=d\"\n");
	assert_string_equal(made(LOG_LOGFMT, LOG_LEVEL_ERROR, "x", ""),
	    "ts=2026-11-21T20:27:22.123Z level=error program=x msg=\"\"\n");
}

static void
test_json(void **state)
{
	(void)state;
	assert_string_equal(
	    made(LOG_JSON, LOG_LEVEL_ERROR, "relay", "a \"b\" \\c"),
	    "{\"ts\": \"2026-11-21T20:27:22.123Z\", \"level\": \"error\", "
	    "\"program\": \"relay\", \"msg\": \"a \\\"b\\\" \\\\c\"}\n");
}

static void
test_control_bytes(void **state)
{
	(void)state;
	assert_string_equal(
	    made(LOG_TEXT, LOG_LEVEL_INFO, "p\033", "a\nb\tc\177\r\n\n"),
	    "[INFO] p\\033: a\\012b\\011c\\177\\015\n");
	assert_non_null(strstr(
	    made(LOG_LOGFMT, LOG_LEVEL_INFO, "p", "a\nb"), "\"a\\\\012b\""));
}

static void
test_other_alphabets(void **state)
{
	(void)state;
	assert_string_equal(made(LOG_TEXT, LOG_LEVEL_INFO, "", "gr\303\274n"),
	    "[INFO] gr\303\274n\n");
	assert_string_equal(
	    made(LOG_TEXT, LOG_LEVEL_INFO, "", "gr\374n"), "[INFO] gr\\374n\n");
	assert_non_null(strstr(
	    made(LOG_JSON, LOG_LEVEL_INFO, "", "gr\374n"), "gr\\\\374n"));
}

/* Whatever comes, of whatever length, it is one line of the format. */
static void
test_long_ones(void **state)
{
	static const char *const pieces[] = {"x", "\"", "\302\205", "\\", "\n",
	    "\303\274", "\342\202\254", "\360\237\230\200"};
	char text[3 * MAX_LOGLINE];
	json_t *object;
	size_t i;
	size_t n;
	int format;

	(void)state;
	for (i = 0; i < sizeof(pieces) / sizeof(pieces[0]); i++)
		for (n = 1850; n < 1950; n++) {
			memset(text, 'y', n % 8);
			text[n % 8] = '\0';
			while (strlen(text) < n)
				(void)strlcat(text, pieces[i], sizeof(text));
			(void)strlcat(text, "z", sizeof(text));
			for (format = LOG_TEXT; format < LOG_JSON; format++)
				(void)made((enum log_format)format,
				    LOG_LEVEL_WARNING, text, text);
			object = json_loads(
			    made(LOG_JSON, LOG_LEVEL_WARNING, text, text), 0,
			    NULL);
			assert_non_null(object);
			json_decref(object);
		}
}

static void
test_severity(void **state)
{
	(void)state;
	assert_int_equal(logline_severity(LOG_LEVEL_ERROR), 3);
	assert_int_equal(logline_severity(LOG_LEVEL_WARNING), 4);
	assert_int_equal(logline_severity(LOG_LEVEL_INFO), 6);
	assert_int_equal(logline_severity(LOG_LEVEL_DEBUG), 7);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_text),
	    cmocka_unit_test(test_logfmt),
	    cmocka_unit_test(test_json),
	    cmocka_unit_test(test_control_bytes),
	    cmocka_unit_test(test_other_alphabets),
	    cmocka_unit_test(test_long_ones),
	    cmocka_unit_test(test_severity),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
