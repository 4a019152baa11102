/* sources: httpd/http_response.c */
/* libs: cmocka */
/*
 * Response heads.
 */
#include <errno.h>
#include <stdio.h>
#include <time.h>

#include "parse.h"

/* 1994-11-06 08:49:37, the example of RFC 9110 section 5.6.7. */
#define NOW 784111777
#define DATE "Date: Sun, 06 Nov 1994 08:49:37 GMT\r\nServer: muster\r\n"

/* Composes with exactly enough room, and then with every smaller one. */
static void
composed(const struct http_response *response, const char *expect)
{
	char *buf;
	size_t size;
	size_t n;

	size = strlen(expect);
	buf = malloc(size);
	assert_non_null(buf);
	assert_int_equal(http_response_head(buf, size, response), size);
	assert_memory_equal(buf, expect, size);
	free(buf);
	for (n = 0; n < size; n++) {
		buf = malloc(n + (n == 0));
		assert_non_null(buf);
		errno = 0;
		assert_int_equal(http_response_head(buf, n, response), -1);
		assert_int_equal(errno, EMSGSIZE);
		free(buf);
	}
}

static void
test_heads(void **state)
{
	static const struct http_extra extra[] = {
	    {"Allow", "DELETE,GET"},
	    {"ETag", "\"7\""},
	    {"X-Empty", ""},
	    {"X-Text", "tab\tand caf\xc3\xa9"},
	};
	struct http_response r;

	(void)state;
	memset(&r, 0, sizeof(r));
	r.status = 200;
	r.now = NOW;
	r.length = 1234567890;
	r.type = "application/json";
	composed(&r,
	    "HTTP/1.1 200 OK\r\n" DATE "Content-Type: application/json\r\n"
	    "Content-Length: 1234567890\r\n\r\n");
	r.no_store = 1;
	r.connection = HTTP_CONNECTION_KEEP_ALIVE;
	r.type = NULL;
	r.length = 0;
	composed(&r,
	    "HTTP/1.1 200 OK\r\n" DATE "Content-Length: 0\r\n"
	    "Cache-Control: no-store\r\nConnection: keep-alive\r\n\r\n");
	r.status = 405;
	r.connection = HTTP_CONNECTION_CLOSE;
	r.no_store = 0;
	r.extra = extra;
	r.nextra = 4;
	composed(&r,
	    "HTTP/1.1 405 Method Not Allowed\r\n" DATE "Content-Length: 0\r\n"
	    "Connection: close\r\nAllow: DELETE,GET\r\nETag: \"7\"\r\n"
	    "X-Empty: \r\nX-Text: tab\tand caf\xc3\xa9\r\n\r\n");
	/* A stream; a 304 that tells no length. */
	r.status = 200;
	r.length = HTTP_NO_LENGTH;
	r.nextra = 0;
	r.type = "text/event-stream";
	composed(&r,
	    "HTTP/1.1 200 OK\r\n" DATE "Content-Type: text/event-stream\r\n"
	    "Connection: close\r\n\r\n");
	r.length = INT64_MAX;
	r.type = NULL;
	composed(&r,
	    "HTTP/1.1 200 OK\r\n" DATE "Content-Length: 9223372036854775807\r\n"
	    "Connection: close\r\n\r\n");
}

static void
test_without_content(void **state)
{
	struct http_response r;

	(void)state;
	memset(&r, 0, sizeof(r));
	r.now = NOW;
	r.length = 7;
	r.type = "text/plain";
	r.status = 100;
	composed(&r, "HTTP/1.1 100 Continue\r\n\r\n");
	r.type = NULL;
	r.status = 204;
	composed(&r, "HTTP/1.1 204 No Content\r\n" DATE "\r\n");
	r.status = 304;
	composed(&r,
	    "HTTP/1.1 304 Not Modified\r\n" DATE "Content-Length: 7\r\n\r\n");
}

static const struct {
	int status;
	const char *text;
} known[] = {
    {100, "Continue"},
    {200, "OK"},
    {201, "Created"},
    {202, "Accepted"},
    {204, "No Content"},
    {206, "Partial Content"},
    {304, "Not Modified"},
    {307, "Temporary Redirect"},
    {400, "Bad Request"},
    {401, "Unauthorized"},
    {403, "Forbidden"},
    {404, "Not Found"},
    {405, "Method Not Allowed"},
    {406, "Not Acceptable"},
    {408, "Request Timeout"},
    {409, "Conflict"},
    {411, "Length Required"},
    {412, "Precondition Failed"},
    {413, "Content Too Large"},
    {414, "URI Too Long"},
    {415, "Unsupported Media Type"},
    {417, "Expectation Failed"},
    {421, "Misdirected Request"},
    {422, "Unprocessable Content"},
    {429, "Too Many Requests"},
    {431, "Request Header Fields Too Large"},
    {500, "Internal Server Error"},
    {501, "Not Implemented"},
    {503, "Service Unavailable"},
    {505, "HTTP Version Not Supported"},
};

static void
test_statuses(void **state)
{
	struct http_response r;
	char buf[256];
	char line[64];
	size_t i;
	int status;

	(void)state;
	memset(&r, 0, sizeof(r));
	for (status = -1, i = 0; status < 1000; status++) {
		int n;

		r.status = status;
		errno = 0;
		n = http_response_head(buf, sizeof(buf), &r);
		if (i == sizeof(known) / sizeof(known[0]) ||
		    status != known[i].status) {
			assert_int_equal(n, -1);
			assert_int_equal(errno, EINVAL);
			assert_null(http_status_text(status));
			continue;
		}
		(void)snprintf(line, sizeof(line), "HTTP/1.1 %d %s\r\n", status,
		    known[i].text);
		assert_true(n > (int)strlen(line));
		assert_memory_equal(buf, line, strlen(line));
		assert_string_equal(http_status_text(status), known[i].text);
		i++;
	}
	assert_int_equal(i, sizeof(known) / sizeof(known[0]));
}

/* Nothing that a client sent may begin a line of the answer. */
static void
test_splitting(void **state)
{
	static const struct http_extra bad[] = {
	    {"Location", "/a\r\nInjected: 1"},
	    {"Location", "/a\nInjected: 1"},
	    {"Location", "/a\rInjected: 1"},
	    {"Location", "\r"},
	    {"Location", "\x01"},
	    {"Location", "\x7f"},
	    {"Location", "a\x1b"},
	    {"", "a"},
	    {"A B", "a"},
	    {"A:", "a"},
	    {"A\r\nB", "a"},
	    {"A\n", "a"},
	    {"\xc3\xa9", "a"},
	};
	struct http_response r;
	char buf[512];
	size_t i;

	(void)state;
	memset(&r, 0, sizeof(r));
	r.status = 201;
	r.now = NOW;
	r.nextra = 1;
	for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		r.extra = &bad[i];
		errno = 0;
		assert_int_equal(http_response_head(buf, sizeof(buf), &r), -1);
		assert_int_equal(errno, EINVAL);
	}
	r.nextra = 0;
	r.type = "text/plain\r\nInjected: 1";
	errno = 0;
	assert_int_equal(http_response_head(buf, sizeof(buf), &r), -1);
	assert_int_equal(errno, EINVAL);
	r.type = "text/plain";
	assert_true(http_response_head(buf, sizeof(buf), &r) > 0);
}

/* Against the C library, over all years. */
static void
test_dates(void **state)
{
	static const time_t fixed[] = {0, 1, 59, 86399, 86400, 951782399,
	    951782400, 951868799, 951868800, 1078012800, 2147483647, 4107542400,
	    4107456000, 253402300799};
	struct tm tm;
	char expect[64];
	char buf[HTTP_DATE_SIZE];
	time_t when;
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(fixed) / sizeof(fixed[0]); i++) {
		assert_non_null(gmtime_r(&fixed[i], &tm));
		assert_int_equal(strftime(expect, sizeof(expect),
				     "%a, %d %b %Y %H:%M:%S GMT", &tm),
		    HTTP_DATE_SIZE - 1);
		assert_int_equal(http_date(buf, fixed[i]), 0);
		assert_string_equal(buf, expect);
	}
	/* Each day up to 2400 and beyond, at another time of the day. */
	for (when = 3; when < 14000000000; when += 86400 + 61) {
		assert_non_null(gmtime_r(&when, &tm));
		assert_int_not_equal(strftime(expect, sizeof(expect),
					 "%a, %d %b %Y %H:%M:%S GMT", &tm),
		    0);
		assert_int_equal(http_date(buf, when), 0);
		if (strcmp(buf, expect) != 0)
			fail_msg("%s instead of %s", buf, expect);
	}
	errno = 0;
	assert_int_equal(http_date(buf, -1), -1);
	assert_int_equal(errno, EINVAL);
	errno = 0;
	assert_int_equal(http_date(buf, 253402300800), -1);
	assert_int_equal(errno, EINVAL);
}

/* The text is kept for a second and no longer, also past a failure. */
static void
test_date_is_kept(void **state)
{
	struct http_response r;
	char buf[256];

	(void)state;
	memset(&r, 0, sizeof(r));
	r.status = 200;
	r.now = NOW;
	assert_true(http_response_head(buf, sizeof(buf), &r) > 0);
	assert_non_null(memmem(buf, 80, "08:49:37", 8));
	r.now = -1;
	errno = 0;
	assert_int_equal(http_response_head(buf, sizeof(buf), &r), -1);
	assert_int_equal(errno, EINVAL);
	r.now = NOW;
	assert_true(http_response_head(buf, sizeof(buf), &r) > 0);
	assert_non_null(memmem(buf, 80, "08:49:37", 8));
	r.now = NOW + 1;
	assert_true(http_response_head(buf, sizeof(buf), &r) > 0);
	assert_non_null(memmem(buf, 80, "08:49:38", 8));
	r.now = NOW - 60;
	assert_true(http_response_head(buf, sizeof(buf), &r) > 0);
	assert_non_null(memmem(buf, 80, "08:48:37", 8));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_heads),
	    cmocka_unit_test(test_without_content),
	    cmocka_unit_test(test_statuses),
	    cmocka_unit_test(test_splitting),
	    cmocka_unit_test(test_dates),
	    cmocka_unit_test(test_date_is_kept),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
