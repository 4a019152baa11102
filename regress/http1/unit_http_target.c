/* sources: httpd/http1.c httpd/http_target.c httpd/http_host.c */
/* libs: cmocka */
/*
 * Targets, paths and queries.
 */
#include <stdio.h>

#include "parse.h"

#define HOST "Host: other.example\r\n"

/* Parses a head with that method and target. */
static enum http_parse
target(const char *method, const char *text, char *head, size_t size,
    struct http_request *req)
{
	int n;

	n = snprintf(
	    head, size, "%s %s HTTP/1.1\r\n" HOST "\r\n", method, text);
	assert_true(n > 0 && (size_t)n < size);
	return parse(head, req);
}

static void
test_origin_form(void **state)
{
	static const struct {
		const char *text;
		const char *path;
		const char *query;
	} cases[] = {
	    {"/", "/", ""},
	    {"//", "//", ""},
	    {"/?", "/", ""},
	    {"/??", "/", "?"},
	    {"/a/b?c=d&e", "/a/b", "c=d&e"},
	    {"/a?/?:@!$&'()*+,;=-._~%20", "/a", "/?:@!$&'()*+,;=-._~%20"},
	    {"/:@!$&'()*+,;=-._~%2F%ff", "/:@!$&'()*+,;=-._~%2F%ff", ""},
	};
	struct http_request req;
	char head[256];
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		assert_int_equal(
		    target("GET", cases[i].text, head, sizeof(head), &req),
		    HTTP_DONE);
		assert_int_equal(req.form, HTTP_FORM_ORIGIN);
		assert_view(head, req.target, cases[i].text);
		assert_view(head, req.path, cases[i].path);
		assert_view(head, req.query, cases[i].query);
		assert_view(head, req.host, "other.example");
	}
}

static void
test_bad_bytes(void **state)
{
	static const char *const bad[] = {
	    "/\"",
	    "/<",
	    "/>",
	    "/\\",
	    "/^",
	    "/`",
	    "/{",
	    "/|",
	    "/}",
	    "/[",
	    "/]",
	    "/#",
	    "/a#b",
	    "/\xc3\xa9",
	    "/\xff",
	    "/?\"",
	    "/?<",
	    "/?a#b",
	    "/?\xc3\xa9",
	    "/?{}",
	    "/%",
	    "/%2",
	    "/%zz",
	    "/%2g",
	    "/%g2",
	    "/%%20",
	    "/?%",
	    "/?a=%4",
	    "/?%xy",
	    "/%2?",
	    "/?%\xff",
	};
	struct http_request req;
	char head[256];
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		assert_int_equal(
		    target("GET", bad[i], head, sizeof(head), &req), HTTP_BAD);
		assert_int_equal(req.status, 400);
	}
}

static const char *const no_urls[] = {
    "http://",
    "https://",
    "http:///",
    "http:///path",
    "http://?q",
    "http:/localhost/",
    "http:localhost",
    "http",
    "ftp://h/",
    "file:///etc/passwd",
    "ws://h/",
    "localhost",
    "localhost:80",
    "http://user@h/",
    "http://user:password@h/",
    "http://a b/",
    "http://h:0/",
    "http://h:99999/",
    "http://[::1/",
    "http://h\\@x/",
    "http://h#f",
    "a/b",
    "?q",
    "../",
    "\\",
};

static void
test_absolute_form(void **state)
{
	static const struct {
		const char *text;
		enum http_scheme scheme;
		const char *host;
		const char *path;
		const char *query;
	} cases[] = {
	    {"http://localhost/status", HTTP_SCHEME_HTTP, "localhost",
		"/status", ""},
	    {"HTTPS://[::1]:5001/a?b", HTTP_SCHEME_HTTPS, "[::1]:5001", "/a",
		"b"},
	    {"http://127.0.0.1:80", HTTP_SCHEME_HTTP, "127.0.0.1:80", "", ""},
	    {"http://h?q=/", HTTP_SCHEME_HTTP, "h", "", "q=/"},
	};
	struct http_request req;
	char head[256];
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		assert_int_equal(
		    target("GET", cases[i].text, head, sizeof(head), &req),
		    HTTP_DONE);
		assert_int_equal(req.form, HTTP_FORM_ABSOLUTE);
		assert_int_equal(req.scheme, cases[i].scheme);
		/* RFC 9112 section 3.2.2: not other.example. */
		assert_view(head, req.host, cases[i].host);
		assert_known(head, &req, HTTP_KNOWN_HOST, "other.example");
		assert_view(head, req.path, cases[i].path);
		assert_view(head, req.query, cases[i].query);
	}
	for (i = 0; i < sizeof(no_urls) / sizeof(no_urls[0]); i++) {
		if (target("GET", no_urls[i], head, sizeof(head), &req) !=
			HTTP_BAD ||
		    req.status != 400)
			fail_msg("accepted: %s", no_urls[i]);
	}
}

static void
test_other_forms(void **state)
{
	struct http_request req;
	char head[256];

	(void)state;
	assert_int_equal(
	    target("OPTIONS", "*", head, sizeof(head), &req), HTTP_DONE);
	assert_int_equal(req.form, HTTP_FORM_ASTERISK);
	assert_int_equal(req.path.len, 0);
	assert_view(head, req.host, "other.example");
	refused("GET * HTTP/1.1\r\n" HOST "\r\n", 400);
	refused("options * HTTP/1.1\r\n" HOST "\r\n", 400);
	refused("OPTIONS ** HTTP/1.1\r\n" HOST "\r\n", 400);
	refused("OPTIONS *? HTTP/1.1\r\n" HOST "\r\n", 400);
	/* What follows a CONNECT is not HTTP: never a finished request. */
	refused("CONNECT h.example:443 HTTP/1.1\r\n" HOST "\r\n", 501);
	refused("CONNECT [::1]:22 HTTP/1.1\r\n" HOST "\r\n", 501);
	refused("CONNECT h.example HTTP/1.1\r\n" HOST "\r\n", 400);
	refused("CONNECT h.example: HTTP/1.1\r\n" HOST "\r\n", 400);
	refused("CONNECT / HTTP/1.1\r\n" HOST "\r\n", 400);
	refused("CONNECT http://h:80/ HTTP/1.1\r\n" HOST "\r\n", 400);
	refused("CONNECT * HTTP/1.1\r\n" HOST "\r\n", 400);
	refused("GET h.example:443 HTTP/1.1\r\n" HOST "\r\n", 400);
}

static void
test_paths(void **state)
{
	static const struct {
		const char *raw;
		unsigned int n;
		int slash;
		const char *segments[HTTP_MAX_SEGMENTS];
	} cases[] = {
	    {"", 0, 0, {NULL}},
	    {"/", 0, 0, {NULL}},
	    {"//", 0, 0, {NULL}},
	    {"/////", 0, 0, {NULL}},
	    {"/status", 1, 0, {"status"}},
	    {"/status/", 1, 1, {"status"}},
	    {"/restart/%201", 2, 0, {"restart", " 1"}},
	    {"/restart/+2", 2, 0, {"restart", "+2"}},
	    {"/v1/jobs/s/caf%C3%A9%20%25", 4, 0,
		{"v1", "jobs", "s", "caf\xc3\xa9 %"}},
	    {"/.../..a/.b/a..", 4, 0, {"...", "..a", ".b", "a.."}},
	    {"/%41%5c%3f%23", 1, 0, {"A\\?#"}},
	    /* decoded once */
	    {"/%252e%252e", 1, 0, {"%2e%2e"}},
	    {"/%252F", 1, 0, {"%2F"}},
	    {"/1/2/3/4/5/6/7/8/9/a/b/c", 12, 0,
		{"1", "2", "3", "4", "5", "6", "7", "8", "9", "a", "b", "c"}},
	    {"/1/2/3/4/5/6/7/8/9/a/b/c/", 12, 1, {"1", "2"}},
	};
	struct http_path path;
	char buf[128];
	unsigned int k;
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		memset(&path, 0xff, sizeof(path));
		/* The promise of the header: a NUL more is enough. */
		assert_int_equal(
		    http_path_decode(cases[i].raw, strlen(cases[i].raw), &path,
			buf, strlen(cases[i].raw) + 1),
		    0);
		assert_int_equal(path.n, cases[i].n);
		assert_int_equal(path.slash, cases[i].slash);
		for (k = 0; k < path.n && cases[i].segments[k] != NULL; k++) {
			assert_string_equal(
			    path.segment[k], cases[i].segments[k]);
			assert_int_equal(
			    path.length[k], strlen(cases[i].segments[k]));
		}
	}
}

static const struct {
	const char *raw;
	int status;
} bad_paths[] = {
    {"status", 400},
    {"*", 400},
    {"//status", 400},
    {"/a//b", 400},
    {"/a//", 400},
    {"/.", 400},
    {"/..", 400},
    {"/./", 400},
    {"/../", 400},
    {"/a/../b", 400},
    {"/a/./b", 400},
    {"/a/..", 400},
    {"/%2e", 400},
    {"/%2E%2e", 400},
    {"/.%2e/x", 400},
    {"/%2f", 400},
    {"/a%2Fb", 400},
    {"/%2e%2e%2fetc", 400},
    {"/%00", 400},
    {"/a%00b", 400},
    {"/..%00", 400},
    {"/%0a", 400},
    {"/%0d", 400},
    {"/%09", 400},
    {"/%1b%5b31m", 400},
    {"/%7f", 400},
    /* malformed escapes; the head's parser refuses them as well */
    {"/%", 400},
    {"/%2", 400},
    {"/%2/2", 400},
    {"/%zz", 400},
    /* UTF-8: lone, overlong, surrogate, too high, cut short */
    {"/%80", 400},
    {"/%ff", 400},
    {"/%c3", 400},
    {"/%c3/%a9", 400},
    {"/%c3%28", 400},
    {"/%c0%af", 400},
    {"/%c1%81", 400},
    {"/%e0%80%af", 400},
    {"/%e0%9f%bf", 400},
    {"/%ed%a0%80", 400},
    {"/%e2%82", 400},
    {"/%e2%82%28", 400},
    {"/%f0%80%80%af", 400},
    {"/%f0%8f%bf%bf", 400},
    {"/%f4%90%80%80", 400},
    {"/%f5%80%80%80", 400},
    {"/%f0%9f%98", 400},
    {"/1/2/3/4/5/6/7/8/9/a/b/c/d", 404},
};

static void
test_bad_paths(void **state)
{
	static const char *const good[] = {
	    "/%c2%80",
	    "/%df%bf",
	    "/%e0%a0%80",
	    "/%ed%9f%bf",
	    "/%ee%80%80",
	    "/%ef%bf%bf",
	    "/%f0%90%80%80",
	    "/%f4%8f%bf%bf",
	    "/%f1%80%80%80",
	    "/%e2%82%ac",
	};
	struct http_path path;
	char buf[128];
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(bad_paths) / sizeof(bad_paths[0]); i++) {
		if (http_path_decode(bad_paths[i].raw, strlen(bad_paths[i].raw),
			&path, buf, sizeof(buf)) != bad_paths[i].status)
			fail_msg("not %d: %s", bad_paths[i].status,
			    bad_paths[i].raw);
	}
	/* What follows the end is not looked at. */
	assert_int_equal(http_path_decode("/%41", 3, &path, buf, 9), 400);
	assert_int_equal(http_path_decode("/%c3%a9", 6, &path, buf, 9), 400);
	assert_int_equal(http_path_decode("/%c3%a9", 4, &path, buf, 9), 400);
	for (i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
		if (http_path_decode(
			good[i], strlen(good[i]), &path, buf, sizeof(buf)) != 0)
			fail_msg("refused: %s", good[i]);
	}
}

static void
test_path_space(void **state)
{
	struct http_path path;
	char buf[8];

	(void)state;
	memset(buf, 'x', sizeof(buf));
	assert_int_equal(http_path_decode("/abc/de", 7, &path, buf, 7), 0);
	assert_int_equal(buf[7], 'x');
	assert_string_equal(path.segment[1], "de");
	assert_int_equal(http_path_decode("/abc/de", 7, &path, buf, 6), 414);
	assert_int_equal(http_path_decode("/abc/de", 7, &path, buf, 4), 414);
	assert_int_equal(http_path_decode("/abc/de", 7, &path, buf, 3), 414);
	assert_int_equal(http_path_decode("/abc/de", 7, &path, buf, 0), 414);
	assert_int_equal(http_path_decode("/", 1, &path, buf, 0), 0);
}

static void
test_queries(void **state)
{
	static const struct {
		const char *raw;
		const char *pairs[8];
	} cases[] = {
	    {"", {NULL}},
	    {"&", {NULL}},
	    {"&&&", {NULL}},
	    {"a", {"a", ""}},
	    {"a=", {"a", ""}},
	    {"=b", {"", "b"}},
	    {"=", {"", ""}},
	    {"a=b=c", {"a", "b=c"}},
	    {"a=1&&b=2&", {"a", "1", "b", "2"}},
	    {"topic=EVENTS&topic=JOB%3As.j",
		{"topic", "EVENTS", "topic", "JOB:s.j"}},
	    {"a+b=c+%2B+d", {"a b", "c + d"}},
	    {"%3d%26=%26%3d", {"=&", "&="}},
	    {"x=caf%c3%a9/..%2f", {"x", "caf\xc3\xa9/../"}},
	    {"a;b=c?d", {"a;b", "c?d"}},
	};
	struct http_query query;
	char key[16];
	char value[16];
	size_t i;
	size_t k;

	(void)state;
	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		http_query_begin(&query, cases[i].raw, strlen(cases[i].raw));
		for (k = 0; cases[i].pairs[k] != NULL; k += 2) {
			assert_int_equal(http_query_next(&query, key,
					     sizeof(key), value, sizeof(value)),
			    1);
			assert_string_equal(key, cases[i].pairs[k]);
			assert_string_equal(value, cases[i].pairs[k + 1]);
		}
		assert_int_equal(http_query_next(&query, key, sizeof(key),
				     value, sizeof(value)),
		    0);
		assert_int_equal(query.status, 0);
	}
}

static void
test_bad_queries(void **state)
{
	static const struct {
		const char *raw;
		int status;
	} cases[] = {
	    {"a=%", 400},
	    {"a=%4", 400},
	    {"%zz=1", 400},
	    {"a=%00", 400},
	    {"%00", 400},
	    {"a=%0a", 400},
	    {"a=b%0d%0ac", 400},
	    {"a=%09", 400},
	    {"a=%c3%28", 400},
	    {"a=%ff", 400},
	    {"a=12345678", 414},
	    {"12345678=a", 414},
	    {"123456789", 414},
	    /* cut at '=' and '&' before decoding: no escape spans them */
	    {"a=%4&1=x", 400},
	};
	struct http_query query;
	char key[8];
	char value[8];
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		http_query_begin(&query, cases[i].raw, strlen(cases[i].raw));
		assert_int_equal(http_query_next(&query, key, sizeof(key),
				     value, sizeof(value)),
		    -1);
		assert_int_equal(query.status, cases[i].status);
	}
	/* The last that fits. */
	http_query_begin(&query, "1234567=7654321", 15);
	assert_int_equal(
	    http_query_next(&query, key, sizeof(key), value, sizeof(value)), 1);
	assert_string_equal(key, "1234567");
	assert_string_equal(value, "7654321");
	http_query_begin(&query, "a", 1);
	assert_int_equal(http_query_next(&query, key, 0, value, 8), -1);
	assert_int_equal(query.status, 414);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_origin_form),
	    cmocka_unit_test(test_bad_bytes),
	    cmocka_unit_test(test_absolute_form),
	    cmocka_unit_test(test_other_forms),
	    cmocka_unit_test(test_paths),
	    cmocka_unit_test(test_bad_paths),
	    cmocka_unit_test(test_path_space),
	    cmocka_unit_test(test_queries),
	    cmocka_unit_test(test_bad_queries),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
