/* sources: httpd/http1.c httpd/http_target.c httpd/http_host.c */
/* libs: cmocka */
/*
 * What is refused.  The first part is every leniency that was found in evhttp
 * 2.1.12 with raw sockets, the second the shapes of request smuggling (RFC 9112
 * section 11.2), the third what is hardly HTTP.
 */
#include <stdio.h>

#include "parse.h"

#define GET "GET / HTTP/1.1\r\n"
#define POST "POST / HTTP/1.1\r\n"
#define HOST "Host: localhost\r\n"
#define END "\r\n"
/* What an attacker would like to be taken for a second request. */
#define SECOND "GET /smuggled HTTP/1.1\r\nHost: localhost\r\n\r\n"

struct refusal {
	const char *head;
	int status;
};

static void
refuse_all(const struct refusal *list, size_t n)
{
	size_t i;

	for (i = 0; i < n; i++)
		refused(list[i].head, list[i].status);
}

#define REFUSE_ALL(list) refuse_all(list, sizeof(list) / sizeof((list)[0]))

static const struct refusal leniencies[] = {
    /* bare LF */
    {"GET / HTTP/1.1\nHost: localhost\n\n", 400},
    {GET "Host: localhost\n\r\n", 400},
    {GET HOST "\n", 400},
    {GET HOST "X: a\nY: b\r\n" END, 400},
    /* folding */
    {GET HOST "X: a\r\n b\r\n" END, 400},
    {GET HOST "X: a\r\n\tb\r\n" END, 400},
    {GET HOST "X: a\r\n \r\n" END, 400},
    {GET " X: a\r\n" HOST END, 400},
    {GET "\tX: a\r\n" HOST END, 400},
    /* ... that splits a response which echoes the value */
    {GET HOST "X: a\r\n Injected: 1\r\n" END, 400},
    /* space before the colon, with the request that it hides */
    {POST HOST "Content-Length : 3\r\n" END "abc" SECOND, 400},
    {POST HOST "Content-Length\t: 3\r\n" END "abc" SECOND, 400},
    {GET "Host : localhost\r\n" END, 400},
    /* two different lengths, and two equal ones */
    {POST HOST "Content-Length: 3\r\nContent-Length: 46\r\n" END "abc" SECOND,
	400},
    {POST HOST "Content-Length: 3\r\nContent-Length: 3\r\n" END "abc", 400},
    /* a length that is not digits alone */
    {POST HOST "Content-Length: +3\r\n" END "abc", 400},
    /* chunks: sizes as 0x3, bare LF in them; none are read */
    {POST HOST "Transfer-Encoding: chunked\r\n" END "0x3\r\nabc\r\n0\r\n\r\n",
	501},
    {POST HOST "Transfer-Encoding: chunked\r\n" END "3\nabc\n0\n\n", 501},
    /* control bytes in a value */
    {GET HOST "X: a\x01"
	      "b\r\n" END,
	400},
    {GET HOST "X: \x1b[31m\r\n" END, 400},
    {GET HOST "X: \x7f\r\n" END, 400},
    {GET HOST "X: a\x0b"
	      "b\r\n" END,
	400},
    /* names that are none */
    {GET HOST "X(A){}: 1\r\n" END, 400},
    {GET HOST ": 1\r\n" END, 400},
    {GET HOST "X\xc3\xa9: 1\r\n" END, 400},
    {GET HOST "X\"Y: 1\r\n" END, 400},
    /* no Host, two Hosts */
    {GET END, 400},
    {GET HOST HOST END, 400},
    {GET HOST "hOst: evil.example\r\n" END, 400},
    {"GET / HTTP/1.0\r\n" HOST HOST END, 400},
    /* double spaces */
    {"GET  /  HTTP/1.1\r\n" HOST END, 400},
    {"GET  / HTTP/1.1\r\n" HOST END, 400},
    {"GET /  HTTP/1.1\r\n" HOST END, 400},
    {"GET  HTTP/1.1\r\n" HOST END, 400},
    {"GET /a b HTTP/1.1\r\n" HOST END, 400},
    {"GET\t/ HTTP/1.1\r\n" HOST END, 400},
    {"GET /\tHTTP/1.1\r\n" HOST END, 400},
};

/* Accepted by evhttp. */
static void
test_evhttp_accepts(void **state)
{
	struct http_request req;

	(void)state;
	REFUSE_ALL(leniencies);
	/* NUL in a header, a name, a target and a method. */
#define REFUSED_BYTES(s) refused_bytes(s, sizeof(s) - 1, 400)
	REFUSED_BYTES(GET HOST "X: a\0b\r\n" END);
	REFUSED_BYTES(GET HOST "X\0: a\r\n" END);
	REFUSED_BYTES("GET /\0 HTTP/1.1\r\n" HOST END);
	REFUSED_BYTES("GET\0 / HTTP/1.1\r\n" HOST END);
	REFUSED_BYTES("\0");
	/* Unknown and lower-case methods are told as such, for a 501. */
	accepted("get / HTTP/1.1\r\n" HOST END, &req);
	assert_int_equal(req.method, HTTP_METHOD_OTHER);
	accepted("FETCH / HTTP/1.1\r\n" HOST END, &req);
	assert_int_equal(req.method, HTTP_METHOD_OTHER);
	/* HTTP/1.2 is 1.1 (RFC 9110 section 6.2), and held to its rules. */
	accepted("GET / HTTP/1.2\r\n" HOST END, &req);
	assert_int_equal(req.minor, 1);
}

/* Refused by evhttp as well. */
static void
test_evhttp_refuses(void **state)
{
	static const struct refusal list[] = {
	    {POST HOST "Transfer-Encoding: chunked\r\n"
		       "Content-Length: 3\r\n" END,
		400},
	    {POST HOST "Content-Length: 3\r\n"
		       "Transfer-Encoding: chunked\r\n" END,
		400},
	    {POST HOST "Transfer-Encoding: gzip\r\n" END, 501},
	    {POST HOST "Transfer-Encoding: nonsense\r\n" END, 501},
	    {POST HOST "Content-Length: -1\r\n" END, 400},
	    {POST HOST "Content-Length: 0x3\r\n" END, 400},
	    {POST HOST "Content-Length: 3,3\r\n" END, 400},
	    {POST HOST "Content-Length: 3, 3\r\n" END, 400},
	    {GET HOST "X: a\rb\r\n" END, 400},
	    {"GET / HTTP/2.7\r\n" HOST END, 505},
	    {"GET /\r\n", 400},
	    {POST HOST "Transfer-Encoding: chunked\r\n" END
		       "3;x=y\r\nabc\r\n0\r\n\r\n",
		501},
	    {POST HOST "Expect: nothing\r\n" END, 417},
	};

	(void)state;
	REFUSE_ALL(list);
}

static void
test_lengths(void **state)
{
	static const struct refusal list[] = {
	    {POST HOST "Content-Length:\r\n" END, 400},
	    {POST HOST "Content-Length: \r\n" END, 400},
	    {POST HOST "Content-Length: 3 3\r\n" END, 400},
	    {POST HOST "Content-Length: 3\t4\r\n" END, 400},
	    {POST HOST "Content-Length: 3;\r\n" END, 400},
	    {POST HOST "Content-Length: 3.0\r\n" END, 400},
	    {POST HOST "Content-Length: 3e0\r\n" END, 400},
	    {POST HOST "Content-Length: 1_0\r\n" END, 400},
	    {POST HOST "Content-Length: \"3\"\r\n" END, 400},
	    {POST HOST "Content-Length: x\r\n" END, 400},
	    {POST HOST "Content-Length: a3\r\n" END, 400},
	    /* a full-width digit three */
	    {POST HOST "Content-Length: \xef\xbc\x93\r\n" END, 400},
	    /* too large and not a number: the latter is told first */
	    {POST HOST "Content-Length: 99999999999999999999x\r\n" END, 400},
	    {POST HOST "Content-Length: 3\r\nCONTENT-LENGTH: 4\r\n" END, 400},
	    {POST "Content-Length: 0\r\n" HOST
		  "Content-Length: 46\r\n" END SECOND,
		400},
	    /* hidden behind a name that only looks like it */
	    {POST HOST "Content-Length\xc2\xa0: 3\r\n" END, 400},
	    {POST HOST "Content-Length\r\n: 3\r\n" END, 400},
	    {POST HOST "Content-Length\r: 3\r\n" END, 400},
	};

	(void)state;
	REFUSE_ALL(list);
}

static const struct refusal codings[] = {
    {POST HOST "transfer-encoding:chunked\r\n" END, 501},
    {POST HOST "Transfer-Encoding: Chunked\r\n" END, 501},
    {POST HOST "Transfer-Encoding: identity\r\n" END, 501},
    {POST HOST "Transfer-Encoding:\r\n" END, 501},
    {POST HOST "Transfer-Encoding: \"chunked\"\r\n" END, 501},
    {POST HOST "Transfer-Encoding: x, chunked\r\n" END, 501},
    {POST HOST "Transfer-Encoding: chunked\r\n"
	       "Transfer-Encoding: identity\r\n" END,
	501},
    {"POST / HTTP/1.0\r\n"
     "Transfer-Encoding: chunked\r\n" END,
	501},
    {"GET / HTTP/1.1\r\n" HOST "Transfer-Encoding: chunked\r\n" END, 501},
    /* CL.TE, TE.CL, TE.TE and their disguises */
    {POST HOST "Content-Length: 6\r\n"
	       "Transfer-Encoding: chunked\r\n" END "0\r\n\r\n"
	       "G",
	400},
    {POST HOST "Transfer-Encoding: chunked\r\n"
	       "Content-Length: 4\r\n" END
	       "5c\r\nGPOST / HTTP/1.1\r\n\r\n0\r\n\r\n",
	400},
    {POST HOST "Content-Length: 4\r\n"
	       "Transfer-Encoding: xchunked\r\n" END,
	400},
    {POST HOST "Content-Length: 4\r\n"
	       "Transfer-Encoding : chunked\r\n" END,
	400},
    {POST HOST "Content-Length: 4\r\n"
	       "Transfer-Encoding: chunked\r\n"
	       "Transfer-Encoding: x\r\n" END,
	400},
    {POST HOST "Content-Length: 4\r\n"
	       "Transfer-Encoding:\tchunked\r\n" END,
	400},
    {POST HOST "Content-Length: 4\r\n"
	       "Transfer-Encoding:\x0b"
	       "chunked\r\n" END,
	400},
    {POST HOST "Content-Length: 4\r\n"
	       " Transfer-Encoding: chunked\r\n" END,
	400},
    {POST HOST "Content-Length: 4\r\n"
	       "X: x\nTransfer-Encoding: chunked\r\n" END,
	400},
    {POST HOST "Content-Length: 4\r\n"
	       "X: x\rTransfer-Encoding: chunked\r\n" END,
	400},
    {POST HOST "Content-Length: 4\r\n"
	       "Transfer-Encoding\r\n : chunked\r\n" END,
	400},
    {POST HOST "Content-Length: 4\r\n"
	       "Transfer-Encoding\r\n" END,
	400},
    {POST HOST "Content-Length: 9999999\r\n"
	       "Transfer-Encoding: chunked\r\n" END,
	400},
};

static void
test_transfer_encoding(void **state)
{
	struct http_request req;

	(void)state;
	REFUSE_ALL(codings);
	/* These are other fields. */
	accepted(GET HOST "TE: trailers\r\nTransfer_Encoding: chunked\r\n" END,
	    &req);
	assert_int_equal(req.nfields, 3);
}

/* One value means one line, RFC 9110 section 5.3. */
static void
test_singletons(void **state)
{
	static const char *const singletons[] = {
	    "Host: localhost",
	    "Origin: http://localhost",
	    "Content-Type: text/plain",
	    "Authorization: Bearer x",
	    "Last-Event-ID: 1",
	    "Content-Length: 0",
	    "Sec-Fetch-Site: none",
	    "Idempotency-Key: x",
	};
	static const char *const lists[] = {
	    "Accept: */*",
	    "If-Match: *",
	    "If-None-Match: *",
	    "Connection: close",
	    "Expect: 100-continue",
	    "Cookie: a=b",
	    "X-Any: 1",
	};
	struct http_request req;
	char head[256];
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(singletons) / sizeof(singletons[0]); i++) {
		(void)snprintf(head, sizeof(head),
		    "GET / HTTP/1.0\r\n%s\r\nX: y\r\n%s\r\n\r\n", singletons[i],
		    singletons[i]);
		refused(head, 400);
		(void)snprintf(head, sizeof(head),
		    "GET / HTTP/1.0\r\n%s\r\nX: y\r\n\r\n", singletons[i]);
		accepted(head, &req);
	}
	for (i = 0; i < sizeof(lists) / sizeof(lists[0]); i++) {
		(void)snprintf(head, sizeof(head),
		    GET HOST "%s\r\nX: y\r\n%s\r\n\r\n", lists[i], lists[i]);
		accepted(head, &req);
		assert_int_equal(req.nfields, 4);
	}
}

static void
test_hosts(void **state)
{
	static const struct refusal list[] = {
	    {GET "Host:\r\n" END, 400},
	    {GET "Host: \r\n" END, 400},
	    {"GET / HTTP/1.0\r\nHost:\r\n" END, 400},
	    {GET "Host: a b\r\n" END, 400},
	    {GET "Host: a,b\r\n" END, 400},
	    {GET "Host: user@localhost\r\n" END, 400},
	    {GET "Host: localhost/\r\n" END, 400},
	    {GET "Host: localhost:99999\r\n" END, 400},
	    {GET "Host: localhost:5001:5001\r\n" END, 400},
	    {GET "Host: [::1\r\n" END, 400},
	    {GET "Host: http://localhost\r\n" END, 400},
	    {GET "Host: %6cocalhost\r\n" END, 400},
	    {GET "Host: localhost\xe3\x80\x82\r\n" END, 400},
	    /* also where the target's own host counts */
	    {"GET http://localhost/ HTTP/1.1\r\nHost: a b\r\n" END, 400},
	    {"GET http://localhost/ HTTP/1.1\r\n" END, 400},
	};

	(void)state;
	REFUSE_ALL(list);
}

static void
test_lines(void **state)
{
	static const struct refusal list[] = {
	    {GET HOST "no colon\r\n" END, 400},
	    {GET HOST "nocolon\r\n" END, 400},
	    {GET HOST "GET / HTTP/1.1\r\n" END, 400},
	    {GET HOST "\r\r\n", 400},
	    {GET HOST "\rX", 400},
	    {"GET / HTTP/1.1\r\r\n", 400},
	    {"GET / HTTP/1.1\r" HOST END, 400},
	    {" / HTTP/1.1\r\n", 400},
	    {"/ HTTP/1.1\r\n", 400},
	    {"GET\r\n", 400},
	    {"GET \r\n", 400},
	    {"G(T / HTTP/1.1\r\n", 400},
	    {"G\xc3\x8aT / HTTP/1.1\r\n", 400},
	};

	(void)state;
	REFUSE_ALL(list);
}

/* What is no HTTP shows at its first control byte, not after a time-out. */
static void
test_other_protocols(void **state)
{
	struct http_request req;

	(void)state;
	/* the hello of TLS */
	assert_int_equal(parse_bytes("\x16", 1, &req), HTTP_BAD);
	assert_int_equal(req.status, 400);
	/* SSH, SMTP, and HTTP/2 */
	refused("SSH-2.0-OpenSSH_9.2\r\n", 400);
	refused("EHLO example.org\r\n", 400);
	refused("PRI * HTTP/2.0\r\n", 505);
	/* JSON with a line end of its own */
	refused("{\"method\": \"status\"}\n", 400);
	assert_int_equal(parse("GET / HTTP/1.1", &req), HTTP_MORE);
	assert_int_equal(parse("", &req), HTTP_MORE);
}

/* The verdict on a head in which %c stands for that byte. */
static enum http_parse
with_byte(const char *head, int byte)
{
	struct http_request req;
	char text[128];
	const char *mark;
	size_t len;

	len = strlen(head);
	mark = strstr(head, "%c");
	assert_non_null(mark);
	assert_true(len <= sizeof(text));
	memcpy(text, head, len);
	text[mark - head] = (char)byte;
	memcpy(text + (mark - head) + 1, mark + 2,
	    len - (size_t)(mark - head) - 2);
	return parse_bytes(text, len - 1, &req);
}

/* Each of the 256 bytes where a name, a value, a path, a query may have it. */
static void
test_alphabets(void **state)
{
	static const char alnum[] =
	    "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
	static const char token[] = "!#$%&'*+-.^_`|~";
	static const char target[] = "-._~!$&'()*+,;=:@/";
	int byte;

	(void)state;
	for (byte = 0; byte < 256; byte++) {
		int letter = byte != 0 && strchr(alnum, byte) != NULL;
		int tchar = letter || (byte != 0 && strchr(token, byte));
		int pchar = letter || (byte != 0 && strchr(target, byte));
		int vchar = byte == '\t' || (byte >= ' ' && byte != 0x7f);

		assert_int_equal(with_byte("GET / HTTP/1.0\r\nA%cA: b\r\n\r\n",
				     byte) == HTTP_DONE,
		    tchar || byte == ':');
		assert_int_equal(
		    with_byte("G%cT / HTTP/1.0\r\n\r\n", byte) == HTTP_DONE,
		    tchar);
		assert_int_equal(with_byte("GET / HTTP/1.0\r\nA: b%cb\r\n\r\n",
				     byte) == HTTP_DONE,
		    vchar);
		assert_int_equal(
		    with_byte("GET /a%ca HTTP/1.0\r\n\r\n", byte) == HTTP_DONE,
		    pchar || byte == '?');
		assert_int_equal(
		    with_byte("GET /?a%ca HTTP/1.0\r\n\r\n", byte) == HTTP_DONE,
		    pchar || byte == '?');
		assert_int_equal(
		    with_byte("GET / HTTP/1.0\r\nHost: a%ca\r\n\r\n", byte) ==
			HTTP_DONE,
		    letter || (byte != 0 && strchr("-_.", byte) != NULL));
	}
}

/* Every byte at every place of a small head: the same verdict in any cut. */
static void
test_every_byte(void **state)
{
	static const char good[] = "GET /a?b=c HTTP/1.1\r\nHost: [::1]:80\r\n"
				   "Content-Length: 0\r\nConnection: close\r\n"
				   "\r\n";
	struct http_request req;
	char head[sizeof(good)];
	size_t i;
	int byte;

	(void)state;
	for (i = 0; i < sizeof(good) - 1; i++) {
		for (byte = 0; byte < 256; byte++) {
			memcpy(head, good, sizeof(good));
			head[i] = (char)byte;
			(void)parse_step(head, sizeof(good) - 1, 1, &req);
			/* No control byte but in its place. */
			if (req.status == 0 && req.head_len != 0 &&
			    (byte < 0x20 || byte == 0x7f) && byte != '\t')
				assert_int_equal(byte, good[i]);
		}
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_evhttp_accepts),
	    cmocka_unit_test(test_evhttp_refuses),
	    cmocka_unit_test(test_lengths),
	    cmocka_unit_test(test_transfer_encoding),
	    cmocka_unit_test(test_singletons),
	    cmocka_unit_test(test_hosts),
	    cmocka_unit_test(test_lines),
	    cmocka_unit_test(test_other_protocols),
	    cmocka_unit_test(test_alphabets),
	    cmocka_unit_test(test_every_byte),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
