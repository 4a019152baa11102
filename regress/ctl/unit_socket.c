/* sources: ctl/transport_plain.c ctl/patience.c ctl/socket.c ctl/text.c */
/* sources: ctl/say.c ctl/words.c */
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

/* Vectors of draft-eastlake-fnv. */
static void
hash_test(void **state)
{
	(void)state;
	assert_true(fnv1a("") == 0xcbf29ce484222325ULL);
	assert_true(fnv1a("a") == 0xaf63dc4c8601ec8cULL);
	assert_true(fnv1a("foobar") == 0x85944171f73967e8ULL);
	assert_true(fnv1a("\377") == 0xaf64724c8602eb6eULL);
}

static void
name(const char *dir, const char *real, int system, const char *wanted)
{
	char buf[MAX_SOCKET_PATH];

	socket_name(buf, dir, real, system);
	assert_string_equal(buf, wanted);
}

static void
name_test(void **state)
{
	char buf[MAX_SOCKET_PATH];
	char real[300];

	(void)state;
	name("/run/muster", SYSTEM_CONFIG, 1, "/run/muster/muster.sock");
	/* The hash of that path, but only for another user. */
	socket_name(buf, "/tmp/muster-1", SYSTEM_CONFIG, 0);
	assert_memory_equal(buf, "/tmp/muster-1/muster.yaml-", 26);
	name("/run/muster", "/foobar", 1,
	    "/run/muster/foobar-1a2bb6d76011c807.sock");
	/* Leading zeros are kept. */
	name("/r", "/a/x300", 0, "/r/x300-045b1e1b8d26e183.sock");
	/* 107 bytes fit, 108 do not. */
	memset(real, 'n', sizeof(real));
	real[0] = '/';
	real[1 + 73] = '\0';
	socket_name(buf, "/run/muster", real, 1);
	assert_int_equal(strlen(buf), 107);
	assert_memory_equal(buf, "/run/muster/nnnnnnnn", 20);
	real[1 + 73] = 'n';
	real[1 + 74] = '\0';
	socket_name(buf, "/run/muster", real, 1);
	assert_int_equal(strlen(buf), 11 + 1 + 4 + 1 + 16 + 5);
	assert_memory_equal(buf, "/run/muster/nnnn-", 17);
}

static void
good(const char *url, const char *path, const char *host, const char *port)
{
	struct endpoint e;

	assert_int_equal(endpoint_parse(&e, url), 0);
	assert_int_equal(e.tls, url[4] == 's');
	assert_string_equal(e.path, path);
	assert_string_equal(e.host, host);
	assert_string_equal(e.port, port);
}

static void
url_test(void **state)
{
	static const char *const malformed[] = {"", "http:", "http://",
	    "http://:80", "http:///", "http://h:", "http://h:0",
	    "http://h:65536", "http://h:99999999", "http://h:8a", "http://h/x",
	    "http://h?", "http://h#", "http://u@h", "http://u:p@h",
	    "http://[::1", "http://[]", "http://[::1]8", "http://[h]",
	    "http://a[b", "https://", "HTTP://h", "unix://x", "unix:/x"};
	struct endpoint e;
	size_t i;

	(void)state;
	good("http://h", "", "h", "5001");
	good("http://h/", "", "h", "5001");
	good("http://127.0.0.1:80", "", "127.0.0.1", "80");
	good("http://a.b-c:65535/", "", "a.b-c", "65535");
	good("http://h:0080", "", "h", "80");
	good("http://[::1]", "", "::1", "5001");
	good("https://h", "", "h", "5001");
	good("https://[::1]:443/", "", "::1", "443");
	good("http://[fe80::1]:9/", "", "fe80::1", "9");
	good("unix:///x y", "/x y", "", "");
	for (i = 0; i < sizeof(malformed) / sizeof(*malformed); i++)
		assert_int_equal(endpoint_parse(&e, malformed[i]), -1);
}

static void
text_test(void **state)
{
	(void)state;
	assert_int_equal(endpoint_parse(&endpoint, "http://[::1]:9"), 0);
	assert_string_equal(endpoint_text(), "http://[::1]:9");
	assert_int_equal(endpoint_parse(&endpoint, "http://h"), 0);
	assert_string_equal(endpoint_text(), "http://h:5001");
	assert_int_equal(endpoint_parse(&endpoint, "unix:///a"), 0);
	assert_string_equal(endpoint_text(), "/a");
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(hash_test),
	    cmocka_unit_test(name_test),
	    cmocka_unit_test(url_test),
	    cmocka_unit_test(text_test),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
