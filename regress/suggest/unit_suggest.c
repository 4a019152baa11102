/* sources: common/suggest.c */
/* libs: cmocka */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "suggest.h"

static void
suggest_test(void **state)
{
	static const char *const words[] = {
	    "status", "restart", "logs", "wait", "shutdown", "web"};
	char large[200];
	size_t n;

	(void)state;
	n = sizeof(words) / sizeof(*words);
	assert_string_equal(suggest("statsu", words, n), "status");
	assert_string_equal(suggest("restrat", words, n), "restart");
	assert_string_equal(suggest("sttus", words, n), "status");
	assert_string_equal(suggest("statuss", words, n), "status");
	assert_string_equal(suggest("shtudwon", words, n), "shutdown");
	assert_string_equal(suggest("wed", words, n), "web");
	assert_string_equal(suggest("WEB", words, n), "web");
	/* A third of the word may be wrong, and two letters at most. */
	assert_null(suggest("we", words, n));
	assert_null(suggest("wxy", words, n));
	assert_null(suggest("stxxxx", words, n));
	assert_null(suggest("shutxxxn", words, n));
	assert_null(suggest("", words, n));
	memset(large, 'a', sizeof(large) - 1);
	large[sizeof(large) - 1] = '\0';
	assert_null(suggest(large, words, n));
}

static void
same_test(void **state)
{
	(void)state;
	assert_true(suggest_is_same("Env_File", "env-file"));
	assert_true(suggest_is_same("", ""));
	assert_false(suggest_is_same("env", "env-file"));
	assert_false(suggest_is_same("env-file", "env"));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(suggest_test),
	    cmocka_unit_test(same_test),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
