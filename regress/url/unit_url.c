/* sources: common/url.c */
/* What is shown of a URL. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "../../common/url.h"

static void
password_test(void **state)
{
	static const char *const same[] = {"", "/", "http://a/", "http://a:80/",
	    "http://u@a:80/x:y@z", "http://a/u:p@b", "http://a?u:p@b",
	    "http://a#u:p@b", "u:p@a", "mailto:u:p@a", "http:", "http://[::1]/",
	    "http://u@[::1]:80/", "http://u:/p@a"};
	static const char *const hidden[][2] = {
	    {"http://u:p@a/x", "http://u:***@a/x"},
	    {"HTTPS://u:p@[::1]:80?q", "HTTPS://u:***@[::1]:80?q"},
	    {"http://:p@a", "http://:***@a"},
	    {"http://u:@a", "http://u:***@a"},
	    {"http://u:p:q@r@a/@", "http://u:***@a/@"},
	    {"http:/u:p@a", "http:/u:***@a"},
	    {"http:///u:p@a", "http:///u:***@a"},
	    {"//u:p@a/", "//u:***@a/"},
	};
	char buf[64];
	char cut[12];
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(same) / sizeof(*same); i++)
		assert_string_equal(
		    url_show(buf, sizeof(buf), same[i]), same[i]);
	for (i = 0; i < sizeof(hidden) / sizeof(*hidden); i++)
		assert_string_equal(
		    url_show(buf, sizeof(buf), hidden[i][0]), hidden[i][1]);
	assert_string_equal(
	    url_show(cut, sizeof(cut), "http://user:p@a"), "http://user");
}

int
main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(password_test)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
