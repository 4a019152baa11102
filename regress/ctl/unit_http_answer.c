/* sources: ctl/http.c */
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

#define CHUNKED_HEAD "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"

/* What came of an answer. */
struct outcome {
	enum http_result result;
	size_t taken;
	char body[256];
	size_t body_len;
};

/* Feeds `step` bytes at a time, then the end of the connection if `eof`. */
static void
feed(struct http *h, struct outcome *o, const char *s, size_t len, size_t step,
    int eof)
{
	const char *body;
	const char *in;
	size_t at;
	size_t body_len;
	size_t left;

	memset(o, 0, sizeof(*o));
	http_begin(h);
	for (at = 0; at < len; at = o->taken) {
		in = s + at;
		left = len - at < step ? len - at : step;
		do {
			o->result = http_feed(h, &in, &left, &body, &body_len);
			if (o->result != HTTP_BODY)
				continue;
			assert_true(body >= s && body + body_len <= s + len);
			assert_true(body_len > 0);
			if (o->body_len + body_len <= sizeof(o->body))
				memcpy(o->body + o->body_len, body, body_len);
			o->body_len += body_len;
		} while (o->result == HTTP_BODY);
		o->taken = (size_t)(in - s);
		if (o->result != HTTP_MORE)
			break;
		assert_int_equal(left, 0);
	}
	if (eof && (o->result == HTTP_MORE))
		o->result = http_eof(h) == 0 ? HTTP_END : HTTP_BAD;
}

/* In one piece and in every other. */
static void
good(const char *s, int status, const char *body)
{
	struct http h;
	struct outcome o;
	size_t step;

	for (step = 1; step <= strlen(s); step++) {
		feed(&h, &o, s, strlen(s), step, 1);
		assert_int_equal(o.result, HTTP_END);
		assert_int_equal(o.taken, strlen(s));
		assert_int_equal(h.has_head, 1);
		assert_int_equal(h.status, status);
		assert_int_equal(o.body_len, strlen(body));
		assert_memory_equal(o.body, body, strlen(body));
	}
}

static void
bad(const char *s)
{
	struct http h;
	struct outcome o;
	size_t step;

	for (step = 1; step <= strlen(s); step++) {
		feed(&h, &o, s, strlen(s), step, 1);
		assert_int_equal(o.result, HTTP_BAD);
		assert_non_null(h.why);
	}
}

static void
good_test(void **state)
{
	(void)state;
	good("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello", 200, "hello");
	good("HTTP/1.0 404 \r\ncontent-length:0\r\n\r\n", 404, "");
	good("HTTP/1.1 599\r\n\r\nuntil the end", 599, "until the end");
	good("HTTP/1.1 204 None\r\n\r\n", 204, "");
	good("HTTP/1.1 304 None\r\nContent-Length: 5\r\n\r\n", 304, "");
	good("HTTP/1.1 200 OK\r\nTransfer-Encoding: \tchunked \r\n\r\n"
	     "3\r\nabc\r\nA;x=\"y\"\r\n0123456789\r\n00\r\n\r\n",
	    200, "abc0123456789");
	good("HTTP/1.1 200 OK\r\nTransfer-Encoding: Chunked\r\n\r\n"
	     "1 \r\nx\r\n0\r\nTrailer: y\r\n\r\n",
	    200, "x");
	good("HTTP/1.1 100 C\r\n\r\nHTTP/1.1 200 OK\r\n"
	     "Content-Length: 1\r\n\r\nx",
	    200, "x");
}

static void
bad_test(void **state)
{
	static const char *const cases[] = {"x", "HTTP/1.1 200 OK\n\n",
	    "HTTP/1.1 200 OK\r\n", "HTTP/1.1 200 OK\r\nX\r\n\r\n",
	    "HTTP/1.1  200 OK\r\n\r\n", "HTTP/1.1 2000\r\n\r\n",
	    "HTTP/1.1 099 X\r\n\r\n", "HTTP/1.1 600 X\r\n\r\n",
	    "HTTP/2.0 200 OK\r\n\r\n", "http/1.1 200 OK\r\n\r\n",
	    "HTTP/1.1 101 Go\r\n\r\n", "HTTP/1.1 100 C\r\n\r\n"};
	static const char *const fields[] = {"X : y", " X: y", "X: \ry",
	    "X: a\001b", "Content-Length: 1 1", "Content-Length: 0x1",
	    "Content-Length: ", "Content-Length: 9999999999999999",
	    "Content-Length: 2", "Content-Length: 1\r\nContent-Length: 1",
	    "Content-Encoding: gzip", "Transfer-Encoding: gzip",
	    "Transfer-Encoding: chunked, chunked",
	    "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked",
	    "Transfer-Encoding: chunked\r\nContent-Length: 1",
	    "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n"};
	static const char *const chunks[] = {"", "\r\n", "1\nx\r\n", "0x1\r\nx",
	    "100000000\r\nx", "1\r\nxx\r\n", "1\r\nx\r\n0\r\n", "-1\r\nx",
	    " 1\r\nx", "1\r\nx\r\n", "g\r\n", "1 x\r\nx"};
	char answer[256];
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(cases) / sizeof(*cases); i++)
		bad(cases[i]);
	for (i = 0; i < sizeof(fields) / sizeof(*fields); i++) {
		(void)snprintf(answer, sizeof(answer),
		    "HTTP/1.1 200 OK\r\n%s\r\n\r\nx", fields[i]);
		bad(answer);
	}
	for (i = 0; i < sizeof(chunks) / sizeof(*chunks); i++) {
		(void)snprintf(
		    answer, sizeof(answer), "%s%s", CHUNKED_HEAD, chunks[i]);
		bad(answer);
	}
}

static void
zero_test(void **state)
{
	static const char answer[] =
	    "HTTP/1.1 200 OK\r\nX: a\0b\r\nContent-Length: 0\r\n\r\n";
	struct http h;
	struct outcome o;

	(void)state;
	feed(&h, &o, answer, sizeof(answer) - 1, 9999, 1);
	assert_int_equal(o.result, HTTP_BAD);
}

static void
behind_test(void **state)
{
	static const char answer[] =
	    "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nabcdef";
	struct http h;
	struct outcome o;

	(void)state;
	feed(&h, &o, answer, sizeof(answer) - 1, 9999, 0);
	assert_int_equal(o.result, HTTP_END);
	assert_int_equal(o.taken, sizeof(answer) - 1 - 4);
	assert_int_equal(http_eof(&h), 0);
}

static void
type_test(void **state)
{
	static const struct {
		const char *value;
		const char *type;
	} cases[] = {{"application/json", "application/json"},
	    {"Application/JSON;charset=utf-8", "application/json"},
	    {"text/plain ; x", "text/plain"}, {"", ""},
	    {"a/aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
		"a/aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"},
	    {"a/aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
		""}};
	struct http h;
	struct outcome o;
	char answer[256];
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		(void)snprintf(answer, sizeof(answer),
		    "HTTP/1.1 200 OK\r\nContent-Type: %s\r\n"
		    "Content-Length: 0\r\n\r\n",
		    cases[i].value);
		feed(&h, &o, answer, strlen(answer), 9999, 0);
		assert_int_equal(o.result, HTTP_END);
		assert_string_equal(h.type, cases[i].type);
	}
}

/* The head, and then the unit as often as it fits; the length. */
static size_t
repeat(char *to, size_t size, const char *head, const char *unit)
{
	size_t i;
	size_t n;

	n = strlen(head);
	for (i = 0; i < n; i++)
		to[i] = head[i];
	for (; n + strlen(unit) <= size; n += strlen(unit))
		for (i = 0; i < strlen(unit); i++)
			to[n + i] = unit[i];
	return n;
}

/* Limits hold, however long the rest is. */
static void
limits_test(void **state)
{
	static char answer[70000];
	struct http h;
	struct outcome o;
	size_t n;

	(void)state;
	n = repeat(answer, sizeof(answer), "HTTP/1.1 200 OK\r\nX: ", "x");
	feed(&h, &o, answer, n, 1000, 0);
	assert_int_equal(o.result, HTTP_BAD);
	assert_true(o.taken <= HTTP_MAX_LINE + 100);
	n = repeat(answer, sizeof(answer), "HTTP/1.1 200 OK\r\n", "X: x\r\n");
	feed(&h, &o, answer, n, 1000, 0);
	assert_int_equal(o.result, HTTP_BAD);
	assert_true(o.taken <= HTTP_MAX_HEAD + 100);
	/* Lines of chunks are no part of the head. */
	n = repeat(answer, sizeof(answer) - 5, CHUNKED_HEAD, "1\r\nx\r\n");
	n += repeat(answer + n, 5, "", "0\r\n\r\n");
	feed(&h, &o, answer, n, 1000, 0);
	assert_int_equal(o.result, HTTP_END);
	assert_true(o.body_len > 11000);
}

/* Damaged answers end, in whatever way, within their bounds. */
static void
noise_test(void **state)
{
	static const char whole[] =
	    "HTTP/1.1 200 OK\r\nContent-Type: a/b\r\nTransfer-Encoding: "
	    "chunked\r\n\r\n3\r\nabc\r\na;x\r\n0123456789\r\n0\r\nT: y\r\n\r\n";
	char answer[sizeof(whole)];
	struct http h;
	struct outcome o;
	unsigned int i;
	unsigned int n;
	uint32_t seed;

	(void)state;
	seed = 1;
	for (n = 0; n < 100000; n++) {
		memcpy(answer, whole, sizeof(whole));
		for (i = 0; i < 1 + n % 4; i++) {
			seed = seed * 1664525 + 1013904223;
			answer[(seed >> 8) % (sizeof(whole) - 1)] =
			    (char)(seed >> 24);
		}
		feed(&h, &o, answer, sizeof(whole) - 1, 1 + n % 40, 1);
		assert_true(o.result == HTTP_END || o.result == HTTP_BAD);
		assert_true(o.body_len < sizeof(whole));
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(good_test),
	    cmocka_unit_test(bad_test),
	    cmocka_unit_test(zero_test),
	    cmocka_unit_test(behind_test),
	    cmocka_unit_test(type_test),
	    cmocka_unit_test(limits_test),
	    cmocka_unit_test(noise_test),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
