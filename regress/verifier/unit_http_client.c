/* sources: verifier/http_client.c */
/* libs: bsd */
/*
 * Reading HTTP answers: each whole, byte by byte, and cut short everywhere.
 */
#include <sys/types.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <bsd/string.h>

#include <cmocka.h>

#include "../../verifier/http_client.h"

/* All that was told, as one text. */
struct seen {
	char text[1024];
	size_t body;
	int stop_at_head;
};

static int
field(void *arg, const char *name, size_t name_len, const char *value,
    size_t value_len)
{
	struct seen *seen = arg;
	size_t len = strlen(seen->text);

	(void)snprintf(seen->text + len, sizeof(seen->text) - len, "%.*s=%.*s;",
	    (int)name_len, name, (int)value_len, value);
	return 0;
}

static int
head(void *arg, unsigned int status)
{
	struct seen *seen = arg;
	size_t len = strlen(seen->text);

	(void)snprintf(
	    seen->text + len, sizeof(seen->text) - len, "%u:", status);
	return seen->stop_at_head;
}

static int
body(void *arg, const void *data, size_t len)
{
	struct seen *seen = arg;
	size_t used = strlen(seen->text);

	seen->body += len;
	if (used + len < sizeof(seen->text)) {
		(void)memcpy(seen->text + used, data, len);
		seen->text[used + len] = '\0';
	}
	return 0;
}

static const struct http_events events = {field, head, body};

/* Reads `data` in pieces of `step` bytes, then the end if `end`. */
static int
read_in_steps(struct http_answer *a, struct seen *seen, int head_request,
    const char *data, size_t step, int end)
{
	size_t len = strlen(data);
	size_t n;
	char *piece;
	int result = 0;

	(void)memset(seen->text, 0, sizeof(seen->text));
	seen->body = 0;
	http_answer_init(a, head_request, &events, seen);
	while (len > 0 && result == 0) {
		n = len < step ? len : step;
		/* Of its exact size, so that reading beyond it is seen. */
		piece = malloc(n);
		assert_non_null(piece);
		(void)memcpy(piece, data, n);
		result = http_answer_read(a, piece, n);
		free(piece);
		data += n;
		len -= n;
	}
	if (result == 0 && end)
		result = http_answer_end(a);
	return result;
}

static void
good(int head_request, const char *data, const char *expect, int end)
{
	struct http_answer a;
	struct seen seen = {{0}, 0, 0};
	size_t step;

	for (step = 1; step <= strlen(data); step++) {
		assert_int_equal(
		    read_in_steps(&a, &seen, head_request, data, step, end), 0);
		assert_int_equal(a.state, HTTP_COMPLETE);
		assert_string_equal(seen.text, expect);
	}
}

/* A beginning of a good answer is never an error, nor complete. */
static void
cut(const char *data)
{
	struct http_answer a;
	struct seen seen = {{0}, 0, 0};
	size_t len;
	char *part;

	for (len = 0; len < strlen(data); len++) {
		part = strndup(data, len);
		assert_non_null(part);
		assert_int_equal(
		    read_in_steps(&a, &seen, 0, part, len + 1, 0), 0);
		assert_int_not_equal(a.state, HTTP_COMPLETE);
		assert_int_equal(http_answer_end(&a), -1);
		assert_non_null(a.problem);
		free(part);
	}
}

static void
bad(const char *data, const char *problem)
{
	struct http_answer a;
	struct seen seen = {{0}, 0, 0};
	size_t step;

	for (step = 1; step <= strlen(data); step += 7) {
		assert_int_equal(
		    read_in_steps(&a, &seen, 0, data, step, 1), -1);
		assert_int_equal(a.state, HTTP_BROKEN);
		assert_string_equal(a.problem, problem);
		/* It stays so. */
		assert_int_equal(http_answer_read(&a, "x", 1), -1);
		assert_int_equal(http_answer_end(&a), -1);
	}
}

#define OK "HTTP/1.1 200 OK\r\n"

static void
test_lengths(void **state)
{
	(void)state;
	good(0, OK "Content-Length: 3\r\n\r\nabc", "Content-Length=3;200:abc",
	    0);
	good(0, OK "content-LENGTH:0\r\n\r\n", "content-LENGTH=0;200:", 0);
	good(0, OK "Content-Length: 3\r\nContent-Length: 3\r\n\r\nabc",
	    "Content-Length=3;Content-Length=3;200:abc", 0);
	good(0, OK "\r\nuntil the end", "200:until the end", 1);
	good(0, OK "\r\n", "200:", 1);
	good(1, OK "Content-Length: 3\r\n\r\n", "Content-Length=3;200:", 0);
	good(0, "HTTP/1.1 204 No\r\nContent-Length: 3\r\n\r\n",
	    "Content-Length=3;204:", 0);
	good(0, "HTTP/1.1 304 Not\r\n\r\n", "304:", 0);
	cut(OK "Content-Length: 3\r\n\r\nabc");
}

static void
test_chunks(void **state)
{
	(void)state;
	good(0,
	    OK "Transfer-Encoding: Chunked\r\n\r\n"
	       "3\r\nabc\r\nA;x=y\r\n0123456789\r\n0\r\nTrailer: t\r\n\r\n",
	    "Transfer-Encoding=Chunked;200:abc0123456789", 0);
	good(0, OK "Transfer-Encoding: chunked\r\n\r\n000 \r\n\r\n",
	    "Transfer-Encoding=chunked;200:", 0);
	cut(OK "Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n");
}

static void
test_lines(void **state)
{
	(void)state;
	good(0, "HTTP/1.0 404 \nA:b\nC: \t d \t\nContent-Length:1\n\nx",
	    "A=b;C=d;Content-Length=1;404:x", 0);
	good(0, "HTTP/1.1 200\r\nContent-Length: 0\r\n\r\n",
	    "Content-Length=0;200:", 0);
	/* What follows is not looked at. */
	good(0, OK "Content-Length: 1\r\n\r\nxHTTP/1.1 500 No\r\n\r\n",
	    "Content-Length=1;200:x", 0);
	/* Interim answers are passed over, whatever they say. */
	good(0,
	    "HTTP/1.1 100 Continue\r\nContent-Length: 9\r\n\r\n"
	    "HTTP/1.1 103 Early\r\nTransfer-Encoding: x\r\n\r\n" OK
	    "Content-Length: 2\r\n\r\nab",
	    "Content-Length=2;200:ab", 0);
}

static void
test_bad(void **state)
{
	static const char *const lines[] = {"HTTP/2 200 OK", "HTTP/1.2 200 OK",
	    "http/1.1 200 OK", "HTTP/1.1  200 OK", "HTTP/1.1 20 OK",
	    "HTTP/1.1 2000 OK", "HTTP/1.1 +20 OK", "HTTP/1.1 000 OK", "",
	    "ICY 200 OK"};
	static const char *const fields[] = {"A", ": b", "A : b", " A: b",
	    "A\tb: c", "A(: b", "A: b\x01", "A: b\x7f", "A: b\rc",
	    "\xc3\xa4: b"};
	static const char *const chunks[] = {"g", "", "-1", "+1", "0x1",
	    "1234567890abcdef0", "ffffffffffffffff", "1\n\nab", "1\nxy"};
	char text[512];
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(lines) / sizeof(lines[0]); i++) {
		(void)snprintf(text, sizeof(text), "%s\r\n\r\n", lines[i]);
		bad(text, "not an HTTP answer");
	}
	for (i = 0; i < sizeof(fields) / sizeof(fields[0]); i++) {
		(void)snprintf(text, sizeof(text), OK "%s\r\n\r\n", fields[i]);
		bad(text, "malformed header field");
	}
	for (i = 0; i < sizeof(chunks) / sizeof(chunks[0]); i++) {
		(void)snprintf(text, sizeof(text),
		    OK "Transfer-Encoding: chunked\r\n\r\n%s\r\n", chunks[i]);
		bad(text, "malformed chunk");
	}
}

static void
test_two_lengths(void **state)
{
	(void)state;
	bad(OK "Content-Length: 1\r\nContent-Length: 2\r\n\r\nab",
	    "two different Content-Lengths");
	bad(OK "Content-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
	    "two lengths of the body");
	bad("HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
	    "two lengths of the body");
	bad(OK "Content-Length: 1, 1\r\n\r\n", "bad Content-Length");
	bad(OK "Content-Length:\r\n\r\n", "bad Content-Length");
	bad(OK "Content-Length: 9999999999999999999\r\n\r\n",
	    "bad Content-Length");
	bad(OK "Transfer-Encoding: identity\r\n\r\n",
	    "unknown Transfer-Encoding");
	bad(OK "Transfer-Encoding: chunked\r\n"
	       "Transfer-Encoding: chunked\r\n\r\n",
	    "unknown Transfer-Encoding");
}

static void
test_limits(void **state)
{
	struct http_answer a;
	struct seen seen = {{0}, 0, 0};
	char line[HTTP_MAX_LINE + 16];
	unsigned int i;

	(void)state;
	/* A line of the greatest length, and one byte more. */
	for (i = 0; i < 2; i++) {
		(void)memset(line, 'x', sizeof(line));
		line[0] = 'A';
		line[1] = ':';
		(void)strlcpy(line + HTTP_MAX_LINE - 2 + i, "\r\n", 3);
		http_answer_init(&a, 0, &events, &seen);
		assert_int_equal(http_answer_read(&a, OK, strlen(OK)), 0);
		assert_int_equal(
		    http_answer_read(&a, line, strlen(line)), i == 0 ? 0 : -1);
	}
	http_answer_init(&a, 0, &events, &seen);
	assert_int_equal(http_answer_read(&a, OK, strlen(OK)), 0);
	for (i = 0; i < HTTP_MAX_ANSWER_HEAD; i++)
		if (http_answer_read(&a, "A: b\r\n", 6) == -1)
			break;
	assert_in_range(i, 1, HTTP_MAX_ANSWER_HEAD / 6);
	assert_string_equal(a.problem, "head of the answer is too long");
}

/* Interim answers without end are bounded as well. */
static void
test_endless_interim(void **state)
{
	static const char interim[] = "HTTP/1.1 100 Continue\r\n\r\n";
	struct http_answer a;
	struct seen seen = {{0}, 0, 0};
	unsigned int i;

	(void)state;
	http_answer_init(&a, 0, &events, &seen);
	for (i = 0; i < HTTP_MAX_ANSWER_HEAD; i++)
		if (http_answer_read(&a, interim, strlen(interim)) == -1)
			break;
	assert_in_range(i, 1, HTTP_MAX_ANSWER_HEAD / strlen(interim));
}

/* An event function can stop the reading. */
static void
test_stop(void **state)
{
	struct http_answer a;
	struct seen seen = {{0}, 0, 1};

	(void)state;
	assert_int_equal(read_in_steps(&a, &seen, 0,
			     OK "Content-Length: 3\r\n\r\nabc", 100, 0),
	    0);
	assert_int_equal(a.stopped, 1);
	assert_int_equal(seen.body, 0);
	assert_string_equal(seen.text, "Content-Length=3;200:");
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_lengths),
	    cmocka_unit_test(test_chunks),
	    cmocka_unit_test(test_lines),
	    cmocka_unit_test(test_bad),
	    cmocka_unit_test(test_two_lengths),
	    cmocka_unit_test(test_limits),
	    cmocka_unit_test(test_endless_interim),
	    cmocka_unit_test(test_stop),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
