/*
 * Feeding heads to the parser, for the tests of this folder.
 */
#ifndef MUSTER_REGRESS_HTTP1_PARSE_H
#define MUSTER_REGRESS_HTTP1_PARSE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "../../httpd/http1.h"

/* A head of n bytes in one call, from a block that ends where it ends. */
static inline enum http_parse
parse_whole(const char *head, size_t n, struct http_request *req)
{
	enum http_parse verdict;
	char *copy;

	copy = malloc(n + (n == 0));
	assert_non_null(copy);
	memcpy(copy, head, n);
	memset(req, 0, sizeof(*req));
	http_request_init(req);
	verdict = http_parse_head(copy, n, req);
	free(copy);
	return verdict;
}

/*
 * The same in one call, and in calls with step bytes more each time and a new
 * block for each.  Both must find the same to the last bit.
 */
static inline enum http_parse
parse_step(const char *head, size_t n, size_t step, struct http_request *req)
{
	struct http_request again;
	enum http_parse verdict;
	enum http_parse first;
	size_t got;

	first = parse_whole(head, n, req);
	memset(&again, 0, sizeof(again));
	http_request_init(&again);
	verdict = HTTP_MORE;
	for (got = 0; got < n && verdict == HTTP_MORE;) {
		char *copy;

		got = n - got < step ? n : got + step;
		copy = malloc(got);
		assert_non_null(copy);
		memcpy(copy, head, got);
		verdict = http_parse_head(copy, got, &again);
		free(copy);
	}
	assert_int_equal(verdict, first);
	assert_memory_equal(&again, req, sizeof(again));
	return first;
}

/* Whole, byte by byte, and in threes. */
static inline enum http_parse
parse_bytes(const char *head, size_t n, struct http_request *req)
{
	(void)parse_step(head, n, 3, req);
	return parse_step(head, n, 1, req);
}

static inline enum http_parse
parse(const char *head, struct http_request *req)
{
	return parse_bytes(head, strlen(head), req);
}

/* The head must be taken. */
static inline void
accepted(const char *head, struct http_request *req)
{
	if (parse(head, req) != HTTP_DONE)
		fail_msg("refused with %d %s: %s", req->status,
		    req->reason == NULL ? "" : req->reason, head);
}

/* The head must be refused with that status, and give a reason. */
static inline void
refused_bytes(const char *head, size_t n, int status)
{
	struct http_request req;
	enum http_parse verdict;

	verdict = parse_bytes(head, n, &req);
	if (verdict != HTTP_BAD || req.status != status)
		fail_msg("verdict %d status %d instead of %d: %s", verdict,
		    req.status, status, head);
	assert_non_null(req.reason);
	/* Once refused, refused. */
	assert_int_equal(http_parse_head(head, n, &req), HTTP_BAD);
}

static inline void
refused(const char *head, int status)
{
	refused_bytes(head, strlen(head), status);
}

/* A view has this text. */
static inline void
assert_view(const char *buf, struct http_view view, const char *text)
{
	assert_int_equal(view.len, strlen(text));
	assert_memory_equal(buf + view.off, text, view.len);
}

/* A field of that kind has this value, or with NULL is not there. */
static inline void
assert_known(const char *buf, const struct http_request *req,
    enum http_known which, const char *text)
{
	const struct http_field *f;

	f = http_request_known(req, which);
	if (text == NULL) {
		assert_null(f);
		return;
	}
	assert_non_null(f);
	assert_view(buf, f->value, text);
}

#endif /* MUSTER_REGRESS_HTTP1_PARSE_H */
