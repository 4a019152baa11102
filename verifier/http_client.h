#ifndef MUSTER_VERIFIER_HTTP_CLIENT_H
#define MUSTER_VERIFIER_HTTP_CLIENT_H

#include <stddef.h>
#include <stdint.h>

/*
 * Reads an HTTP/1.x answer (RFC 9112) piece by piece: pure functions over
 * bytes that a stranger has sent.  For what libcurl cannot do, connections
 * that somebody else has made.
 *
 * Strict where two readers could see two different answers: no blank before
 * a colon, no folded lines, no NUL, one length (§6.3), chunked as the last
 * and only transfer coding.  A bare LF ends a line (§2.2 allows it).
 */
#define HTTP_MAX_LINE 8192 /* bytes of a line */
#define HTTP_MAX_ANSWER_HEAD 65536U /* heads and trailer together */

enum http_state {
	HTTP_STATUS_LINE,
	HTTP_FIELDS,
	HTTP_LENGTH_BODY,
	HTTP_CLOSE_BODY, /* until the connection ends */
	HTTP_CHUNK_SIZE,
	HTTP_CHUNK_DATA,
	HTTP_CHUNK_END,
	HTTP_TRAILER,
	HTTP_COMPLETE,
	HTTP_BROKEN,
};

/*
 * What is told about an answer.  A function that returns not 0 stops the
 * reading: http_answer_read() returns at once and is not called again.
 */
struct http_events {
	/* A field of the final answer (not of a 1xx). */
	int (*field)(void *arg, const char *name, size_t name_len,
	    const char *value, size_t value_len);
	int (*head)(void *arg, unsigned int status);
	int (*body)(void *arg, const void *data, size_t len);
};

struct http_answer {
	const struct http_events *events;
	void *arg;
	const char *problem; /* HTTP_BROKEN: what is wrong, a constant */
	enum http_state state;
	unsigned int status;
	unsigned int minor; /* of HTTP/1.x */
	int head_request; /* the answer has no body */
	int chunked;
	int has_length;
	int stopped;
	uint64_t left; /* bytes of body or chunk */
	size_t head_len;
	size_t line_len;
	char line[HTTP_MAX_LINE];
};

void http_answer_init(struct http_answer *, int head_request,
    const struct http_events *, void *arg);
/*
 * Takes the next bytes.  Returns 0, or -1 when the answer is broken, see
 * `problem`.  Look at `state` for HTTP_COMPLETE; what follows a complete
 * answer is ignored.
 */
int http_answer_read(struct http_answer *, const void *data, size_t len);
/* The connection has ended: completes a body that ends so, or breaks. */
int http_answer_end(struct http_answer *);

#endif
