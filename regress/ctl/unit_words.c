/* sources: ctl/words.c ctl/text.c ctl/say.c */
/* libs: bsd jansson cmocka */
#include <sys/types.h>

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

static void
age_test(void **state)
{
	static const struct {
		double seconds;
		const char *text;
	} cases[] = {{0, "0s"}, {0.99, "0s"}, {-5, "0s"}, {59.9, "59s"},
	    {60, "1m 0s"}, {3599, "59m 59s"}, {3600, "1h 0m"},
	    {86399, "23h 59m"}, {86400, "1d 0h"}, {273600, "3d 4h"},
	    {1e11, "1157407d 9h"}, {1e300, "0s"}};
	char buf[AGE_SIZE];
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(cases) / sizeof(*cases); i++)
		assert_string_equal(age(cases[i].seconds, buf), cases[i].text);
}

static void
elapsed_test(void **state)
{
	char buf[AGE_SIZE];

	(void)state;
	assert_string_equal(elapsed(0, buf), "0 ms");
	assert_string_equal(elapsed(-1, buf), "0 ms");
	assert_string_equal(elapsed(0.0124, buf), "12 ms");
	assert_string_equal(elapsed(0.9996, buf), "1.0 s");
	assert_string_equal(elapsed(1.234, buf), "1.2 s");
	assert_string_equal(elapsed(125, buf), "2m 5s");
}

static void
duration_test(void **state)
{
	static const struct {
		const char *text;
		double seconds; /* negative: malformed */
	} cases[] = {{"0", 0}, {"10", 10}, {"2.5", 2.5}, {"500ms", 0.5},
	    {"2s", 2}, {"1.5m", 90}, {"1h", 3600}, {"8760h", 31536000},
	    {"", -1}, {"s", -1}, {".5", -1}, {"1.2.3", -1}, {"-1", -1},
	    {"+1", -1}, {" 1", -1}, {"1 ", -1}, {"1 s", -1}, {"1d", -1},
	    {"1S", -1}, {"inf", -1}, {"nan", -1}, {"0x10", -1}, {"1e3", -1},
	    {"9000h", -1}, {"99999999999999999999999999999999999", -1}};
	double seconds;
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		if (cases[i].seconds < 0) {
			assert_int_equal(duration(cases[i].text, &seconds), -1);
			continue;
		}
		assert_int_equal(duration(cases[i].text, &seconds), 0);
		assert_true(seconds == cases[i].seconds);
	}
}

static void
rfc3339_test(void **state)
{
	double seconds;

	(void)state;
	assert_int_equal(rfc3339("1970-01-02T00:00:00Z", &seconds), 0);
	assert_true(seconds == 86400);
	assert_int_equal(rfc3339("2026-11-21T20:27:22.125Z", &seconds), 0);
	assert_true(seconds > 1795292842.124 && seconds < 1795292842.126);
	assert_int_equal(rfc3339("", &seconds), -1);
	assert_int_equal(rfc3339("2026-11-21", &seconds), -1);
	assert_int_equal(rfc3339("2026-11-21T20:27:22", &seconds), -1);
	assert_int_equal(rfc3339("2026-11-21T20:27:22+01:00", &seconds), -1);
	assert_int_equal(rfc3339("2026-13-21T20:27:22Z", &seconds), -1);
	assert_int_equal(rfc3339("2026-11-21T20:27:22Zx", &seconds), -1);
}

static void
quote(const char *word, const char *wanted)
{
	char *out;

	out = shell_quote(word);
	assert_string_equal(out, wanted);
	free(out);
}

static void
quote_test(void **state)
{
	(void)state;
	quote("/etc/muster/muster.yaml", "/etc/muster/muster.yaml");
	quote("", "''");
	quote("a b", "'a b'");
	quote("$(x)", "'$(x)'");
	quote("it's", "'it'\\''s'");
	quote("''", "''\\'''\\'''");
	quote("~", "'~'");
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(age_test),
	    cmocka_unit_test(elapsed_test),
	    cmocka_unit_test(duration_test),
	    cmocka_unit_test(rfc3339_test),
	    cmocka_unit_test(quote_test),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
