/* sources: httpd/http1.c httpd/http_target.c httpd/http_host.c */
/* libs: cmocka */
/*
 * What is accepted of a request head, and what is told about it.
 */
#include <stdio.h>

#include "parse.h"

#define HOST "Host: localhost:5001\r\n"

/* Heads as real clients send them. */
static const char *const clients[] = {
    /* curl 7.88 */
    "GET /status HTTP/1.1\r\nHost: 127.0.0.1:5001\r\n"
    "User-Agent: curl/7.88.1\r\nAccept: */*\r\n\r\n",
    /* curl -0 */
    "GET /status HTTP/1.0\r\nHost: 127.0.0.1:5001\r\n"
    "User-Agent: curl/7.88.1\r\nAccept: */*\r\n\r\n",
    /* curl --http2 in clear text: the offer is not taken up */
    "GET /status HTTP/1.1\r\nHost: 127.0.0.1:5001\r\n"
    "User-Agent: curl/7.88.1\r\nAccept: */*\r\n"
    "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\n"
    "HTTP2-Settings: AAMAAABkAAQCAAAAAAIAAAAA\r\n\r\n",
    /* http.client, once as HTTP/1.0 without a Host */
    "POST /restart/1 HTTP/1.1\r\nHost: 127.0.0.1:5001\r\n"
    "Accept-Encoding: identity\r\nContent-Length: 0\r\n\r\n",
    "GET /status HTTP/1.0\r\n\r\n",
    /* requests */
    "DELETE / HTTP/1.1\r\nHost: 127.0.0.1:5001\r\n"
    "User-Agent: python-requests/2.34.2\r\n"
    "Accept-Encoding: gzip, deflate\r\nAccept: */*\r\n"
    "Connection: keep-alive\r\nContent-Length: 0\r\n\r\n",
    /* urllib */
    "GET / HTTP/1.1\r\nAccept-Encoding: identity\r\n"
    "Host: 127.0.0.1:5001\r\nUser-Agent: Python-urllib/3.11\r\n"
    "Connection: close\r\n\r\n",
    /* wget */
    "GET /status HTTP/1.1\r\nHost: 127.0.0.1:5001\r\n"
    "User-Agent: Wget/1.21.3\r\nAccept: */*\r\n"
    "Accept-Encoding: identity\r\nConnection: Keep-Alive\r\n\r\n",
};

static void
test_clients(void **state)
{
	struct http_request req;
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(clients) / sizeof(clients[0]); i++) {
		accepted(clients[i], &req);
		assert_int_equal(req.head_len, strlen(clients[i]));
		assert_int_equal(req.content_length, 0);
		assert_int_equal(req.status, 0);
	}
}

static void
test_everything_told(void **state)
{
	static const char head[] = "PUT /v1/jobs/s/j/config?wait=5 HTTP/1.1\r\n"
				   "hOST:\t localhost:5001 \t\r\n"
				   "X-Empty:\r\n"
				   "AUTHORIZATION: Bearer a.b\r\n"
				   "Content-Type: application/json\r\n"
				   "Content-Length: 17\r\n"
				   "Accept: application/json\r\n"
				   "Origin: http://localhost:5001\r\n"
				   "If-Match: \"7\"\r\n"
				   "If-None-Match: *\r\n"
				   "Last-Event-ID: 9f2c-41\r\n"
				   "Idempotency-Key: k1\r\n"
				   "Sec-Fetch-Site: same-origin\r\n"
				   "Cookie: ignored=1\r\n"
				   "\r\n{\"not\": \"looked at\"";
	struct http_request req;

	(void)state;
	accepted(head, &req);
	assert_int_equal(req.method, HTTP_METHOD_PUT);
	assert_view(head, req.method_name, "PUT");
	assert_view(head, req.target, "/v1/jobs/s/j/config?wait=5");
	assert_view(head, req.path, "/v1/jobs/s/j/config");
	assert_view(head, req.query, "wait=5");
	assert_view(head, req.host, "localhost:5001");
	assert_int_equal(req.form, HTTP_FORM_ORIGIN);
	assert_int_equal(req.scheme, HTTP_SCHEME_NONE);
	assert_int_equal(req.minor, 1);
	assert_int_equal(req.nfields, 13);
	assert_int_equal(req.has_length, 1);
	assert_int_equal(req.content_length, 17);
	assert_ptr_equal(
	    head + req.head_len, strstr(head, "{\"not\": \"looked at\""));
	assert_known(head, &req, HTTP_KNOWN_HOST, "localhost:5001");
	assert_known(head, &req, HTTP_KNOWN_ACCEPT, "application/json");
	assert_known(head, &req, HTTP_KNOWN_ORIGIN, "http://localhost:5001");
	assert_known(head, &req, HTTP_KNOWN_EXPECT, NULL);
	assert_known(head, &req, HTTP_KNOWN_IF_MATCH, "\"7\"");
	assert_known(head, &req, HTTP_KNOWN_CONNECTION, NULL);
	assert_known(head, &req, HTTP_KNOWN_CONTENT_TYPE, "application/json");
	assert_known(head, &req, HTTP_KNOWN_AUTHORIZATION, "Bearer a.b");
	assert_known(head, &req, HTTP_KNOWN_IF_NONE_MATCH, "*");
	assert_known(head, &req, HTTP_KNOWN_LAST_EVENT_ID, "9f2c-41");
	assert_known(head, &req, HTTP_KNOWN_CONTENT_LENGTH, "17");
	assert_known(head, &req, HTTP_KNOWN_SEC_FETCH_SITE, "same-origin");
	assert_known(head, &req, HTTP_KNOWN_IDEMPOTENCY_KEY, "k1");
	assert_known(head, &req, HTTP_KNOWN_TRANSFER_ENCODING, NULL);
	assert_view(head, req.fields[1].name, "X-Empty");
	assert_view(head, req.fields[1].value, "");
}

static void
test_field_lookup(void **state)
{
	static const char head[] =
	    "GET / HTTP/1.1\r\n" HOST "If-Match: \"1\"\r\n"
	    "X-^a: 1\r\nif-match: \"2\"\r\nX-~A: 2\r\n"
	    "X-[b: 3\r\n\r\n";
	static const char good[] =
	    "GET / HTTP/1.1\r\n" HOST "If-Match: \"1\"\r\n"
	    "X-^a: 1\r\nif-match: \"2\"\r\nX-~A: 2\r\n"
	    "\r\n";
	const struct http_field *f;
	struct http_request req;

	(void)state;
	refused(head, 400);
	accepted(good, &req);
	assert_known(good, &req, HTTP_KNOWN_IF_MATCH, "\"1\"");
	f = http_request_field(&req, good, "IF-MATCH", NULL);
	assert_non_null(f);
	assert_view(good, f->value, "\"1\"");
	f = http_request_field(&req, good, "If-Match", f);
	assert_non_null(f);
	assert_view(good, f->value, "\"2\"");
	assert_null(http_request_field(&req, good, "If-Match", f));
	assert_null(http_request_field(&req, good, "If-Matc", NULL));
	/* '^' and '~' differ by the bit that tells letters' cases apart. */
	f = http_request_field(&req, good, "x-~a", NULL);
	assert_non_null(f);
	assert_view(good, f->value, "2");
	assert_null(http_request_field(&req, good, "x-~a", f));
}

static void
test_methods(void **state)
{
	static const struct {
		const char *name;
		enum http_method method;
	} cases[] = {
	    {"GET", HTTP_METHOD_GET},
	    {"HEAD", HTTP_METHOD_HEAD},
	    {"POST", HTTP_METHOD_POST},
	    {"PUT", HTTP_METHOD_PUT},
	    {"DELETE", HTTP_METHOD_DELETE},
	    {"OPTIONS", HTTP_METHOD_OPTIONS},
	    {"PATCH", HTTP_METHOD_PATCH},
	    {"TRACE", HTTP_METHOD_TRACE},
	    {"get", HTTP_METHOD_OTHER},
	    {"Get", HTTP_METHOD_OTHER},
	    {"GETS", HTTP_METHOD_OTHER},
	    {"PRI", HTTP_METHOD_OTHER},
	    {"M-SEARCH", HTTP_METHOD_OTHER},
	    {"!#$%&'*+-.^_`|~09", HTTP_METHOD_OTHER},
	};
	struct http_request req;
	char head[128];
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		(void)snprintf(head, sizeof(head),
		    "%s / HTTP/1.1\r\n" HOST "\r\n", cases[i].name);
		accepted(head, &req);
		assert_int_equal(req.method, cases[i].method);
		assert_view(head, req.method_name, cases[i].name);
	}
}

static void
test_versions(void **state)
{
	struct http_request req;

	(void)state;
	accepted("GET / HTTP/1.0\r\n\r\n", &req);
	assert_int_equal(req.minor, 0);
	assert_int_equal(req.host.len, 0);
	accepted("GET / HTTP/1.1\r\n" HOST "\r\n", &req);
	assert_int_equal(req.minor, 1);
	/* RFC 9110 section 6.2: the highest minor version that is known. */
	accepted("GET / HTTP/1.2\r\n" HOST "\r\n", &req);
	assert_int_equal(req.minor, 1);
	accepted("GET / HTTP/1.9\r\n" HOST "\r\n", &req);
	assert_int_equal(req.keep_alive, 1);
	refused("GET / HTTP/1.2\r\n\r\n", 400);
	refused("GET / HTTP/2.0\r\n", 505);
	refused("GET / HTTP/2.7\r\n", 505);
	refused("GET / HTTP/3.0\r\n", 505);
	refused("GET / HTTP/0.9\r\n", 505);
	refused("GET / HTTP/1.10\r\n", 400);
	refused("GET / HTTP/1\r\n", 400);
	refused("GET / HTTP/1.\r\n", 400);
	refused("GET / HTTP/11\r\n", 400);
	refused("GET / HTTP/1,1\r\n", 400);
	refused("GET / HTTP/+1.1\r\n", 400);
	refused("GET / HTTP/a.1\r\n", 400);
	refused("GET / HTTP/1.a\r\n", 400);
	refused("GET / http/1.1\r\n", 400);
	refused("GET / HTTPS/1.1\r\n", 400);
	refused("GET / ICY/1.1\r\n", 400);
	refused("GET / HTTP/1.1 \r\n", 400);
	refused("GET / HTTP/1.1\t\r\n", 400);
	/* HTTP/0.9 */
	refused("GET /\r\n", 400);
	refused("GET / \r\n", 400);
	/* the preface of HTTP/2, RFC 9113 section 3.4 */
	refused("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 505);
}

static void
test_empty_line_in_front(void **state)
{
	struct http_request req;

	(void)state;
	accepted("\r\nGET / HTTP/1.1\r\n" HOST "\r\n", &req);
	assert_int_equal(
	    req.head_len, strlen("\r\nGET / HTTP/1.1\r\n" HOST "\r\n"));
	refused("\r\n\r\n", 400);
	refused("\r\n\r\nGET / HTTP/1.1\r\n" HOST "\r\n", 400);
	refused("\nGET / HTTP/1.1\r\n" HOST "\r\n", 400);
	refused(" GET / HTTP/1.1\r\n" HOST "\r\n", 400);
	refused(" \r\nGET / HTTP/1.1\r\n" HOST "\r\n", 400);
}

static void
test_keep_alive(void **state)
{
	static const struct {
		const char *version;
		const char *fields;
		int keep_alive;
	} cases[] = {
	    {"1.1", "", 1},
	    {"1.0", "", 0},
	    {"1.1", "Connection: close\r\n", 0},
	    {"1.1", "connection:CLOSE\r\n", 0},
	    {"1.1", "Connection: keep-alive\r\n", 1},
	    {"1.0", "Connection: Keep-Alive\r\n", 1},
	    {"1.0", "Connection: close, keep-alive\r\n", 0},
	    {"1.1", "Connection: keep-alive ,\t close\r\n", 0},
	    {"1.0", "Connection: a\r\nConnection: keep-alive\r\n", 1},
	    {"1.1", "Connection: a\r\nConnection: close\r\n", 0},
	    {"1.1", "Connection:\r\n", 1},
	    {"1.1", "Connection: ,, ,\r\n", 1},
	    {"1.1", "Connection: closed, xclose, clos\r\n", 1},
	    {"1.0", "Connection: keep-alives, keep_alive\r\n", 0},
	    {"1.1", "X-Connection: close\r\n", 1},
	};
	struct http_request req;
	char head[160];
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		(void)snprintf(head, sizeof(head),
		    "GET / HTTP/%s\r\n" HOST "%s\r\n", cases[i].version,
		    cases[i].fields);
		accepted(head, &req);
		assert_int_equal(req.keep_alive, cases[i].keep_alive);
	}
	refused("GET / HTTP/1.1\r\n" HOST "Connection: a b\r\n\r\n", 400);
	refused("GET / HTTP/1.1\r\n" HOST "Connection: \"close\"\r\n\r\n", 400);
	refused("GET / HTTP/1.1\r\n" HOST "Connection: close;q=1\r\n\r\n", 400);
}

static void
test_expect(void **state)
{
	struct http_request req;

	(void)state;
	accepted("PUT / HTTP/1.1\r\n" HOST "Expect: 100-continue\r\n"
		 "Content-Length: 1\r\n\r\n",
	    &req);
	assert_int_equal(req.expects_continue, 1);
	accepted("PUT / HTTP/1.1\r\nContent-Length: 1\r\n"
		 "Expect: 100-Continue\r\n" HOST "\r\n",
	    &req);
	assert_int_equal(req.expects_continue, 1);
	/* Nothing to wait for. */
	accepted(
	    "PUT / HTTP/1.1\r\n" HOST "Expect: 100-continue\r\n\r\n", &req);
	assert_int_equal(req.expects_continue, 0);
	accepted("PUT / HTTP/1.1\r\n" HOST "Expect: 100-continue\r\n"
		 "Content-Length: 0\r\n\r\n",
	    &req);
	assert_int_equal(req.expects_continue, 0);
	/* HTTP/1.0 does not know it. */
	accepted("PUT / HTTP/1.0\r\nExpect: 100-continue\r\n"
		 "Content-Length: 1\r\n\r\n",
	    &req);
	assert_int_equal(req.expects_continue, 0);
	accepted("PUT / HTTP/1.1\r\n" HOST "Content-Length: 1\r\n\r\n", &req);
	assert_int_equal(req.expects_continue, 0);
	refused("PUT / HTTP/1.1\r\n" HOST "Expect: 200-ok\r\n\r\n", 417);
	refused("PUT / HTTP/1.1\r\n" HOST "Expect: 100-continu\r\n\r\n", 417);
	refused(
	    "PUT / HTTP/1.1\r\n" HOST "Expect: 100-continue, x\r\n\r\n", 417);
	refused("PUT / HTTP/1.1\r\n" HOST "Expect:\r\n\r\n", 417);
	refused("PUT / HTTP/1.1\r\n" HOST "Expect: 100-continue\r\n"
		"Expect: magic\r\n\r\n",
	    417);
}

static void
test_content_length(void **state)
{
	struct http_request req;

	(void)state;
	accepted("POST / HTTP/1.1\r\n" HOST "\r\n", &req);
	assert_int_equal(req.has_length, 0);
	accepted("POST / HTTP/1.1\r\n" HOST "Content-Length: 0\r\n\r\n", &req);
	assert_int_equal(req.has_length, 1);
	assert_int_equal(req.content_length, 0);
	accepted(
	    "POST / HTTP/1.1\r\n" HOST "Content-Length: 007\r\n\r\n", &req);
	assert_int_equal(req.content_length, 7);
	accepted(
	    "POST / HTTP/1.1\r\n" HOST "Content-Length: 1048576\r\n\r\n", &req);
	assert_int_equal(req.content_length, HTTP_MAX_BODY);
	refused(
	    "POST / HTTP/1.1\r\n" HOST "Content-Length: 1048577\r\n\r\n", 413);
	refused(
	    "POST / HTTP/1.1\r\n" HOST "Content-Length: 10485760\r\n\r\n", 413);
	/* 2^64 + 1, and far more digits than any type has. */
	refused("POST / HTTP/1.1\r\n" HOST
		"Content-Length: 18446744073709551617\r\n\r\n",
	    413);
	refused("POST / HTTP/1.1\r\n" HOST
		"Content-Length: 1000000000000000000000000000000000000000"
		"000000000000000000000000000000000000000000000\r\n\r\n",
	    413);
}

/* A head of exactly n bytes, filled up in the value of a field. */
static char *
head_of_size(size_t n)
{
	static const char start[] = "GET / HTTP/1.1\r\n" HOST "X: ";
	char *head;

	head = malloc(n + 1);
	assert_non_null(head);
	memset(head, 'a', n);
	memcpy(head, start, sizeof(start) - 1);
	memcpy(head + n - 4, "\r\n\r\n", 5);
	return head;
}

static void
test_head_size(void **state)
{
	static const char line[] = "GET /";
	struct http_request req;
	char *head;

	(void)state;
	head = head_of_size(HTTP_MAX_HEAD);
	assert_int_equal(parse_step(head, HTTP_MAX_HEAD, 1, &req), HTTP_DONE);
	assert_int_equal(req.head_len, HTTP_MAX_HEAD);
	/* One byte less, and it is waited for. */
	assert_int_equal(
	    parse_step(head, HTTP_MAX_HEAD - 1, 1, &req), HTTP_MORE);
	free(head);

	head = head_of_size(HTTP_MAX_HEAD + 1);
	assert_int_equal(
	    parse_step(head, HTTP_MAX_HEAD + 1, 1, &req), HTTP_BAD);
	assert_int_equal(req.status, 431);
	assert_int_equal(parse_step(head, HTTP_MAX_HEAD, 1, &req), HTTP_BAD);
	assert_int_equal(req.status, 431);

	/* The same in the request line. */
	memset(head, 'a', HTTP_MAX_HEAD + 1);
	memcpy(head, line, sizeof(line) - 1);
	assert_int_equal(
	    parse_step(head, HTTP_MAX_HEAD - 1, 1, &req), HTTP_MORE);
	assert_int_equal(
	    parse_step(head, HTTP_MAX_HEAD + 1, 1, &req), HTTP_BAD);
	assert_int_equal(req.status, 414);
	free(head);
}

static void
test_field_count(void **state)
{
	struct http_request req;
	char head[1024];
	size_t n;
	int i;

	(void)state;
	n = (size_t)snprintf(head, sizeof(head), "GET / HTTP/1.1\r\n" HOST);
	for (i = 1; i < HTTP_MAX_FIELDS; i++)
		n +=
		    (size_t)snprintf(head + n, sizeof(head) - n, "A:%d\r\n", i);
	memcpy(head + n, "\r\n", 3);
	accepted(head, &req);
	assert_int_equal(req.nfields, HTTP_MAX_FIELDS);
	assert_view(head, req.fields[HTTP_MAX_FIELDS - 1].value, "63");
	memcpy(head + n, "A:64\r\n\r\n", 9);
	refused(head, 431);
}

/* A thousand requests in one buffer, each found where the last one ended. */
static void
test_pipeline(void **state)
{
	struct http_request req;
	char *buf;
	char expect[32];
	size_t size;
	size_t n;
	size_t pos;
	int i;

	(void)state;
	size = 100000;
	buf = malloc(size);
	assert_non_null(buf);
	for (i = 0, n = 0; i < 1000; i++)
		n += (size_t)snprintf(buf + n, size - n,
		    "%s /%d HTTP/1.1\r\n" HOST "Content-Length: %d\r\n\r\n%.*s",
		    i % 2 ? "PUT" : "GET", i, i % 10, i % 10, "0123456789");
	for (i = 0, pos = 0; i < 1000; i++) {
		http_request_init(&req);
		assert_int_equal(
		    http_parse_head(buf + pos, n - pos, &req), HTTP_DONE);
		assert_int_equal(
		    req.method, i % 2 ? HTTP_METHOD_PUT : HTTP_METHOD_GET);
		(void)snprintf(expect, sizeof(expect), "/%d", i);
		assert_view(buf + pos, req.path, expect);
		assert_int_equal(req.content_length, i % 10);
		assert_int_equal(req.nfields, 2);
		pos += req.head_len + (size_t)req.content_length;
	}
	assert_int_equal(pos, n);
	free(buf);
}

/* Dribbled bytes are looked at once: all that was seen is behind pos. */
static void
test_resume(void **state)
{
	struct http_request req;
	size_t n;
	size_t size;

	(void)state;
	size = strlen(clients[0]);
	http_request_init(&req);
	assert_int_equal(http_parse_head(clients[0], 0, &req), HTTP_MORE);
	for (n = 1; n < size; n++) {
		assert_int_equal(
		    http_parse_head(clients[0], n, &req), HTTP_MORE);
		/* A CR waits for what follows it. */
		assert_int_equal(req.pos, n - (clients[0][n - 1] == '\r'));
		/* No new byte: no change. */
		assert_int_equal(
		    http_parse_head(clients[0], n, &req), HTTP_MORE);
	}
	assert_int_equal(http_parse_head(clients[0], n, &req), HTTP_DONE);
	/* Done stays done, whatever follows. */
	assert_int_equal(http_parse_head(clients[0], n, &req), HTTP_DONE);
	assert_int_equal(req.head_len, size);
	/* A used one is as good as new. */
	http_request_init(&req);
	assert_int_equal(req.nfields, 0);
	assert_null(http_request_known(&req, HTTP_KNOWN_HOST));
	assert_int_equal(
	    http_parse_head(clients[4], strlen(clients[4]), &req), HTTP_DONE);
	assert_int_equal(req.host.len, 0);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_clients),
	    cmocka_unit_test(test_everything_told),
	    cmocka_unit_test(test_field_lookup),
	    cmocka_unit_test(test_methods),
	    cmocka_unit_test(test_versions),
	    cmocka_unit_test(test_empty_line_in_front),
	    cmocka_unit_test(test_keep_alive),
	    cmocka_unit_test(test_expect),
	    cmocka_unit_test(test_content_length),
	    cmocka_unit_test(test_head_size),
	    cmocka_unit_test(test_field_count),
	    cmocka_unit_test(test_pipeline),
	    cmocka_unit_test(test_resume),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
