/* sources: httpd/http1.c httpd/http_target.c httpd/http_host.c */
/* libs: cmocka */
/*
 * Hosts and origins: which are well-formed, and which are ours.
 */
#include "parse.h"

#define LABEL63 \
	"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"

static void
test_well_formed(void **state)
{
	static const struct {
		const char *text;
		const char *name;
		enum http_host_kind kind;
		int port;
	} cases[] = {
	    {"localhost", "localhost", HTTP_HOST_NAME, 0},
	    {"localhost:5001", "localhost", HTTP_HOST_NAME, 5001},
	    {"localhost:", "localhost", HTTP_HOST_NAME, 0},
	    {"localhost:00080", "localhost", HTTP_HOST_NAME, 80},
	    {"localhost.", "localhost.", HTTP_HOST_NAME, 0},
	    {"A-b_c.Example:1", "A-b_c.Example", HTTP_HOST_NAME, 1},
	    {"1a", "1a", HTTP_HOST_NAME, 0},
	    {"1.2.a", "1.2.a", HTTP_HOST_NAME, 0},
	    {LABEL63, LABEL63, HTTP_HOST_NAME, 0},
	    {"127.0.0.1", "127.0.0.1", HTTP_HOST_IPV4, 0},
	    {"255.255.255.255:65535", "255.255.255.255", HTTP_HOST_IPV4, 65535},
	    {"[::1]", "::1", HTTP_HOST_IPV6, 0},
	    {"[::]:5001", "::", HTTP_HOST_IPV6, 5001},
	    {"[2001:DB8::1]:", "2001:DB8::1", HTTP_HOST_IPV6, 0},
	    {"[::ffff:127.0.0.1]:80", "::ffff:127.0.0.1", HTTP_HOST_IPV6, 80},
	};
	struct http_host host;
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		if (http_host_parse(
			cases[i].text, strlen(cases[i].text), &host) != 0)
			fail_msg("refused: %s", cases[i].text);
		assert_int_equal(host.kind, cases[i].kind);
		assert_int_equal(host.port, cases[i].port);
		assert_int_equal(host.len, strlen(cases[i].name));
		assert_memory_equal(host.name, cases[i].name, host.len);
	}
	assert_int_equal(http_host_parse("10.20.30.40", 11, &host), 0);
	assert_memory_equal(host.address, "\x0a\x14\x1e\x28", 4);
	assert_int_equal(http_host_parse("[::2]", 5, &host), 0);
	assert_memory_equal(
	    host.address, "\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\2", 16);
}

static const char *const malformed[] = {
    "",
    ":",
    ":80",
    ".",
    "..",
    ".localhost",
    "local..host",
    "localhost..",
    "local host",
    "localhost:x",
    "localhost:0",
    "localhost:000",
    "localhost:65536",
    "localhost:99999999999",
    "localhost:-1",
    "localhost:+1",
    "localhost: 80",
    "localhost:8 ",
    "a:1:2",
    "::1",
    "user@localhost",
    "localhost/",
    "localhost?",
    "localhost#",
    "local%68ost",
    "l\xc3\xb6kal",
    "a,b",
    "a;b",
    "*",
    /* numbers, but no dotted quads */
    "1",
    "127.1",
    "127.0.0",
    "127.0.0.1.",
    "127.0.0.1.1",
    "0177.0.0.1",
    "127.0.0.01",
    "127.0.0.256",
    "2130706433",
    "a.1",
    "localhost.1",
    "127.0.0.1000000000000000",
    /* brackets */
    "[",
    "]",
    "[]",
    "[::1",
    "::1]",
    "[::1]80",
    "[::1]]",
    "[::1]:x",
    "[::1]:70000",
    "[[::1]]",
    "[127.0.0.1]",
    "[localhost]",
    "[:::1]",
    "[1:2]",
    "[12345::]",
    "[::1%25lo]",
    "[::1%lo]",
    "[v1.a]",
    "[ ::1]",
    "[::1]a",
    "x[::1]",
    "[1111:2222:3333:4444:5555:6666:7777:8888:9999:aaaa:bbbb]",
};

static void
test_malformed(void **state)
{
	struct http_host host;
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(malformed) / sizeof(malformed[0]); i++) {
		if (http_host_parse(
			malformed[i], strlen(malformed[i]), &host) != -1)
			fail_msg("accepted: %s", malformed[i]);
		assert_int_equal(http_host_is_local(
				     malformed[i], strlen(malformed[i]), NULL),
		    0);
	}
	assert_int_equal(http_host_parse("local\0host", 10, &host), -1);
	assert_int_equal(http_host_parse("[::1\0]", 6, &host), -1);
	assert_int_equal(http_host_parse("127.0.0.1\0", 10, &host), -1);
	assert_int_equal(http_host_parse(NULL, 0, &host), -1);
}

/* The longest label and the longest name, and one byte more. */
static void
test_longest(void **state)
{
	char longest[HTTP_MAX_HOST + 2];
	struct http_host host;
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(longest); i++)
		longest[i] = i % 2 ? '.' : 'a';
	assert_int_equal(http_host_parse(longest, HTTP_MAX_HOST, &host), 0);
	assert_int_equal(
	    http_host_parse(longest, HTTP_MAX_HOST + 1, &host), -1);
	assert_int_equal(http_host_parse(LABEL63, 63, &host), 0);
	assert_int_equal(http_host_parse(LABEL63 "a", 64, &host), -1);
	assert_int_equal(http_host_parse(LABEL63 "a.b", 66, &host), -1);
	assert_int_equal(http_host_parse("b." LABEL63 "a", 66, &host), -1);
	assert_int_equal(http_host_parse("b." LABEL63 ".c", 67, &host), 0);
}

static int
is_local(const char *text, const char *const *allow)
{
	return http_host_is_local(text, strlen(text), allow);
}

static void
test_local(void **state)
{
	static const char *const local[] = {
	    "localhost",
	    "LocalHost",
	    "localhost:5001",
	    "localhost.",
	    "localhost.:80",
	    "a.localhost",
	    "a.b.LOCALHOST:1",
	    "a.localhost.",
	    "127.0.0.1",
	    "127.0.0.1:5001",
	    "127.1.2.3",
	    "127.255.255.255",
	    "[::1]",
	    "[::1]:5001",
	    "[0:0:0:0:0:0:0:1]:1",
	    "[::0001]",
	};
	static const char *const foreign[] = {
	    "example.org",
	    "localhost.example.org",
	    "xlocalhost",
	    "notlocalhost:80",
	    "localhos",
	    "localhostx",
	    "-localhost",
	    "local.host",
	    "127.example.org",
	    "127.0.0.1.example.org",
	    "126.255.255.255",
	    "128.0.0.1",
	    "0.0.0.0",
	    "10.0.0.1",
	    "192.168.1.1",
	    "[::]",
	    "[::2]",
	    "[::ffff:127.0.0.1]",
	    "[fe80::1]",
	    "[2001:db8::1]",
	    "a.localhost.org",
	    "127.0.0.1.nip.io",
	    "localhost.1a",
	};
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(local) / sizeof(local[0]); i++) {
		if (!is_local(local[i], NULL))
			fail_msg("foreign: %s", local[i]);
	}
	for (i = 0; i < sizeof(foreign) / sizeof(foreign[0]); i++) {
		if (is_local(foreign[i], NULL))
			fail_msg("local: %s", foreign[i]);
	}
}

static void
test_allowed_hosts(void **state)
{
	static const char *const allow[] = {"ci.example.org",
	    "box.example:8443", "10.0.0.1", "[2001:db8::1]", "not a host", "",
	    NULL};
	static const char *const none[] = {NULL};

	(void)state;
	assert_int_equal(is_local("ci.example.org", allow), 1);
	assert_int_equal(is_local("CI.example.org:5001", allow), 1);
	assert_int_equal(is_local("ci.example.org.", allow), 0);
	assert_int_equal(is_local("a.ci.example.org", allow), 0);
	assert_int_equal(is_local("box.example:8443", allow), 1);
	assert_int_equal(is_local("box.example", allow), 0);
	assert_int_equal(is_local("box.example:443", allow), 0);
	assert_int_equal(is_local("10.0.0.1:1", allow), 1);
	assert_int_equal(is_local("10.0.0.2", allow), 0);
	assert_int_equal(is_local("[2001:DB8:0::1]", allow), 1);
	assert_int_equal(is_local("[2001:db8::2]", allow), 0);
	assert_int_equal(is_local("not a host", allow), 0);
	assert_int_equal(is_local("", allow), 0);
	assert_int_equal(is_local("localhost", allow), 1);
	assert_int_equal(is_local("localhost", none), 1);
	assert_int_equal(is_local("ci.example.org", none), 0);
}

static int
is_same(const char *origin, int tls, const char *host, const char *const *allow)
{
	return http_origin_is_same(
	    origin, strlen(origin), tls, host, strlen(host), allow);
}

static void
test_same_origin(void **state)
{
	static const struct {
		const char *origin;
		const char *host;
		int tls;
		int same;
	} cases[] = {
	    {"http://localhost:5001", "localhost:5001", 0, 1},
	    {"http://LOCALHOST:5001", "localhost:5001", 0, 1},
	    {"HTTP://localhost:5001", "localhost:5001", 0, 1},
	    {"http://localhost", "localhost", 0, 1},
	    {"http://localhost", "localhost:80", 0, 1},
	    {"http://localhost:80", "localhost", 0, 1},
	    {"https://localhost", "localhost:443", 1, 1},
	    {"https://localhost:443", "localhost", 1, 1},
	    {"http://[::1]:5001", "[0::1]:5001", 0, 1},
	    {"http://127.0.0.1:5001", "127.0.0.1:5001", 0, 1},
	    /* another scheme, port or host */
	    {"https://localhost:5001", "localhost:5001", 0, 0},
	    {"http://localhost:5001", "localhost:5001", 1, 0},
	    {"https://localhost", "localhost", 0, 0},
	    {"https://localhost", "localhost:80", 1, 0},
	    {"http://localhost:5002", "localhost:5001", 0, 0},
	    {"http://localhost", "localhost:5001", 0, 0},
	    {"http://localhost:5001", "127.0.0.1:5001", 0, 0},
	    {"http://127.0.0.1:5001", "127.0.0.2:5001", 0, 0},
	    {"http://[::1]:5001", "127.0.0.1:5001", 0, 0},
	    {"http://[::1]:5001", "[::2]:5001", 0, 0},
	    {"http://evil.example", "localhost:5001", 0, 0},
	    {"http://localhost.evil.example", "localhost", 0, 0},
	    {"http://localhos", "localhost", 0, 0},
	    /* none at all */
	    {"null", "localhost", 0, 0},
	    {"", "localhost", 0, 0},
	    {"http://", "localhost", 0, 0},
	    {"http:", "localhost", 0, 0},
	    {"https://", "localhost", 1, 0},
	    {"localhost", "localhost", 0, 0},
	    {"//localhost", "localhost", 0, 0},
	    {"ftp://localhost", "localhost", 0, 0},
	    {"http://localhost/", "localhost", 0, 0},
	    {"http://a@localhost", "localhost", 0, 0},
	    {"http://localhost http://x", "localhost", 0, 0},
	    {"http://localhost", "", 0, 0},
	    {"http://localhost", "local host", 0, 0},
	};
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		if (is_same(cases[i].origin, cases[i].tls, cases[i].host,
			NULL) != cases[i].same)
			fail_msg("not %d: %s at %s", cases[i].same,
			    cases[i].origin, cases[i].host);
	}
	/* HTTP/1.0 without a Host. */
	assert_int_equal(
	    http_origin_is_same("http://localhost", 16, 0, NULL, 0, NULL), 0);
}

static void
test_allowed_origins(void **state)
{
	static const char *const allow[] = {"https://ci.example.org",
	    "http://[::1]:3000", "null", "http://", "nonsense", NULL};

	(void)state;
	assert_int_equal(
	    is_same("https://ci.example.org", 0, "localhost", allow), 1);
	assert_int_equal(
	    is_same("https://CI.example.org:443", 0, "localhost", allow), 1);
	assert_int_equal(
	    is_same("http://ci.example.org", 0, "localhost", allow), 0);
	assert_int_equal(
	    is_same("http://ci.example.org:443", 0, "localhost", allow), 0);
	assert_int_equal(
	    is_same("https://ci.example.org:444", 0, "localhost", allow), 0);
	assert_int_equal(
	    is_same("http://[0::1]:3000", 1, "localhost", allow), 1);
	assert_int_equal(is_same("http://[::1]", 1, "localhost", allow), 0);
	/* Foreign even if somebody lists it. */
	assert_int_equal(is_same("null", 0, "localhost", allow), 0);
	assert_int_equal(is_same("nonsense", 0, "localhost", allow), 0);
	assert_int_equal(is_same("https://ci.example.org", 0, "", allow), 1);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_well_formed),
	    cmocka_unit_test(test_malformed),
	    cmocka_unit_test(test_longest),
	    cmocka_unit_test(test_local),
	    cmocka_unit_test(test_allowed_hosts),
	    cmocka_unit_test(test_same_origin),
	    cmocka_unit_test(test_allowed_origins),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
