/*
 * HTTP/1.1 as muster-httpd speaks it: a small and strict parser of request
 * heads, what is needed for the target, Host and Origin, and the composition of
 * response heads.
 *
 * Everything here works on buffers of the caller.  Nothing allocates, reads,
 * writes or looks at the clock, the locale or the environment.  The one piece
 * of state is the text of the Date field, kept for the second that it is good
 * for (http_response_head()); none of it may be used from two threads.
 *
 * References: RFC 9110 (semantics), RFC 9112 (HTTP/1.1), RFC 3986 (URI),
 * RFC 6454 (Origin).  Where they leave a choice the strict side is taken: this
 * server has no legacy peers, and what one side tolerates and the other does
 * not is what requests are smuggled through (RFC 9112 section 11.2).
 */
#ifndef MUSTER_HTTP1_H
#define MUSTER_HTTP1_H

#include <stddef.h>
#include <stdint.h>
#include <time.h>

/*
 * Longest request head in bytes: from the first byte, a tolerated empty line
 * included, to the empty line that ends it, included.  RFC 9112 section 3
 * recommends 8000 for the request line alone.
 */
#define HTTP_MAX_HEAD 8192
/* Most field lines in a head. */
#define HTTP_MAX_FIELDS 64
/* Largest Content-Length that is accepted (API.md section 1: 1 MiB). */
#define HTTP_MAX_BODY 1048576
/* Most segments in a path; the deepest route has six. */
#define HTTP_MAX_SEGMENTS 12
/* Longest host name of an authority, and of one of its labels (RFC 1035). */
#define HTTP_MAX_HOST 253
#define HTTP_MAX_LABEL 63

/* What http_parse_head() found. */
enum http_parse {
	HTTP_MORE, /* not complete; call again with more bytes */
	HTTP_DONE, /* complete: head_len and everything else is set */
	HTTP_BAD /* answer status with reason, then close the connection */
};

/* RFC 9110 section 9; method names are case-sensitive. */
enum http_method {
	HTTP_METHOD_OTHER, /* a token, but none of these: answer 501 */
	HTTP_METHOD_GET,
	HTTP_METHOD_HEAD,
	HTTP_METHOD_POST,
	HTTP_METHOD_PUT,
	HTTP_METHOD_DELETE,
	HTTP_METHOD_OPTIONS,
	HTTP_METHOD_PATCH,
	HTTP_METHOD_TRACE,
	HTTP_METHOD_CONNECT /* never in a HTTP_DONE request: 501 */
};

/* RFC 9112 section 3.2; authority-form never makes a HTTP_DONE request. */
enum http_form {
	HTTP_FORM_ORIGIN, /* /path?query */
	HTTP_FORM_ABSOLUTE, /* http://host/path?query */
	HTTP_FORM_ASTERISK /* OPTIONS * */
};

/*
 * Scheme of an absolute-form target.  A caller refuses with 421 a request
 * whose scheme is not that of its connection (RFC 9110 section 7.4).
 */
enum http_scheme {
	HTTP_SCHEME_NONE, /* not an absolute-form target */
	HTTP_SCHEME_HTTP,
	HTTP_SCHEME_HTTPS
};

/* Fields that the parser looks up on its own: http_request_known(). */
enum http_known {
	HTTP_KNOWN_NONE, /* any other field; never asked for */
	HTTP_KNOWN_HOST,
	HTTP_KNOWN_ACCEPT,
	HTTP_KNOWN_ORIGIN,
	HTTP_KNOWN_EXPECT,
	HTTP_KNOWN_IF_MATCH,
	HTTP_KNOWN_CONNECTION,
	HTTP_KNOWN_CONTENT_TYPE,
	HTTP_KNOWN_AUTHORIZATION,
	HTTP_KNOWN_IF_NONE_MATCH,
	HTTP_KNOWN_LAST_EVENT_ID,
	HTTP_KNOWN_CONTENT_LENGTH,
	HTTP_KNOWN_SEC_FETCH_SITE,
	HTTP_KNOWN_IDEMPOTENCY_KEY,
	HTTP_KNOWN_TRANSFER_ENCODING,
	HTTP_KNOWN_MAX
};

/* A piece of the buffer: offset from its start and length, in bytes. */
struct http_view {
	uint16_t off;
	uint16_t len;
};

/* A field line; the value is without the white space around it. */
struct http_field {
	struct http_view name;
	struct http_view value;
};

/*
 * A request head.  Views are offsets, so the buffer may move between calls and
 * afterwards, as long as its bytes stay the same.
 */
struct http_request {
	/* The outcome, valid after HTTP_DONE. */
	size_t head_len; /* bytes of the head; the content begins here */
	uint64_t content_length; /* bytes of content; 0 if there is none */
	struct http_view method_name;
	struct http_view target; /* the request-target as it came */
	struct http_view path; /* raw; empty stands for "/" */
	struct http_view query; /* raw, without '?'; may be empty */
	struct http_view host; /* the one that counts, with port; or empty */
	enum http_method method;
	enum http_form form;
	enum http_scheme scheme;
	uint8_t minor; /* 0 or 1 (a higher one is 1); the major is 1 */
	uint8_t has_length; /* there was a Content-Length */
	uint8_t keep_alive; /* the connection may be used again */
	uint8_t expects_continue; /* send 100 before reading the content */

	/* The outcome of HTTP_BAD. */
	int status; /* what to answer: 400 413 414 417 431 501 505 */
	const char *reason; /* a short constant text for people */

	/* Where to go on; the parser's own. */
	size_t pos; /* first byte that was not looked at */
	size_t line; /* start of the current line */
	uint8_t state;
	uint8_t blank; /* the tolerated empty line has been seen */
	uint8_t close; /* Connection: close */
	uint8_t keep; /* Connection: keep-alive */

	uint8_t nfields;
	uint8_t known[HTTP_KNOWN_MAX]; /* index + 1 in fields, 0: absent */
	struct http_field fields[HTTP_MAX_FIELDS];
};

/*
 * Makes req ready for the first http_parse_head() of a request.  Cheap: the
 * table of fields is not touched.
 */
void http_request_init(struct http_request *req);

/*
 * Parses the request head at the start of buf, of which len bytes have been
 * read so far.  Call it again with the same req, and the same bytes plus more,
 * as long as it says HTTP_MORE: only the new bytes are looked at, and the
 * verdict does not depend on how the bytes were cut.  It never looks beyond
 * HTTP_MAX_HEAD bytes, so a buffer of that size is enough.  Once it has said
 * HTTP_DONE or HTTP_BAD it repeats that until http_request_init().
 *
 * Accepted: HTTP/1.0 and 1.1 (1.2 and up read as 1.1, RFC 9110 section 6.2),
 * one empty line in front (RFC 9112 section 2.2), CRLF, single spaces, token
 * names, values without control bytes.  HTTP_BAD sets status:
 *  400 what is not HTTP/1.1; a bare CR or LF (RFC 9112 section 2.2), a folded
 *      line (5.2), a space before the colon (5.1), a missing, second or
 *      malformed Host in 1.1 (3.2), a second or malformed Content-Length (6.3),
 *      Content-Length beside Transfer-Encoding (6.1), a second line of a field
 *      that has only one value, a target that is none (3.2), malformed %XX in
 *      it
 *  413 Content-Length above HTTP_MAX_BODY
 *  414 no end of the request line within HTTP_MAX_HEAD
 *  417 an expectation other than 100-continue (RFC 9110 section 10.1.1)
 *  431 head larger than HTTP_MAX_HEAD, or more than HTTP_MAX_FIELDS fields
 *  501 any Transfer-Encoding (RFC 9112 section 6.1); CONNECT
 *  505 another major version, the HTTP/2 preface among them
 * The connection must be closed after it: what follows has no known start.
 *
 * Not judged here, but by the caller: whether a method is allowed (405 or 501
 * for HTTP_METHOD_OTHER), whether the host is ours (http_host_is_local()),
 * whether the scheme is the connection's (421), 408, 411.
 */
enum http_parse http_parse_head(
    const char *buf, size_t len, struct http_request *req);

/*
 * The first field line of that kind, or NULL.  Accept, Connection, Expect,
 * If-Match and If-None-Match are lists and may have more lines, which
 * http_request_field() finds; of all the others there is only one.
 */
const struct http_field *http_request_known(
    const struct http_request *req, enum http_known which);

/*
 * The next field line called name (any case) after the line after, or from
 * the first one if after is NULL; NULL if there is no more.  buf is the buffer
 * that was parsed.
 */
const struct http_field *http_request_field(const struct http_request *req,
    const char *buf, const char *name, const struct http_field *after);

/*
 * Target of a request: fills in form, scheme, path, query and, for the
 * absolute form, host, from the view req->target and req->method.  Returns 0,
 * or the status to answer with *reason set.  http_parse_head() calls it.
 */
int http_target_parse(
    const char *buf, struct http_request *req, const char **reason);

/* A decoded path; the texts lie in the caller's buffer. */
struct http_path {
	const char *segment[HTTP_MAX_SEGMENTS]; /* NUL-terminated UTF-8 */
	size_t length[HTTP_MAX_SEGMENTS]; /* without the NUL */
	unsigned int n; /* 0 is the root */
	int slash; /* it ended in '/', and is not the root */
};

/*
 * Splits a raw path at '/', then decodes each segment once, into buf, where
 * each is followed by a NUL; a size of len + 1 is always enough.  The empty
 * path, and any number of slashes alone, is the root (PYMANAGER.md section 5:
 * '//' is '/').  Returns 0, or the status to answer:
 *  400 another empty segment, a segment '.' or '..', '%2F' inside a segment,
 *      a malformed %XX, a control byte, invalid UTF-8, no '/' at the start
 *  404 more than HTTP_MAX_SEGMENTS segments
 *  414 buf is too small
 */
int http_path_decode(const char *raw, size_t len, struct http_path *path,
    char *buf, size_t size);

/* A walk over the pairs of a query. */
struct http_query {
	const char *next;
	const char *end;
	int status; /* after -1: what to answer, 400 or 414 */
};

/* Starts a walk over the raw query of len bytes, which must stay there. */
void http_query_begin(struct http_query *query, const char *raw, size_t len);

/*
 * Decodes the next key=value, '+' and %XX resolved, into two buffers of the
 * caller, each NUL-terminated.  A key alone has the value "", empty pairs are
 * skipped.  Returns 1 for a pair, 0 at the end, -1 with status set: 400 for a
 * malformed %XX, a control byte or invalid UTF-8, 414 for what does not fit.
 */
int http_query_next(struct http_query *query, char *key, size_t key_size,
    char *value, size_t value_size);

enum http_host_kind { HTTP_HOST_NAME, HTTP_HOST_IPV4, HTTP_HOST_IPV6 };

/* An authority without user information, taken apart. */
struct http_host {
	const char *name; /* in the text given; IPv6 without brackets */
	size_t len;
	enum http_host_kind kind;
	uint8_t address[16]; /* network order; 4 bytes for IPv4 */
	uint16_t port; /* 0: none, or empty (RFC 9110 section 4.2.3) */
};

/*
 * Takes apart host [ ":" [ port ] ] (RFC 9110 section 7.2).  A name has labels
 * of letters, digits, '-' and '_', 1 to HTTP_MAX_LABEL bytes each and
 * HTTP_MAX_HOST together, and may end in a dot; a name whose last label is a
 * number must be a dotted quad, so that 127.1 or 0177.0.0.1 are no hosts; an
 * IPv6 address stands in brackets and has no zone.  A port is 1 to 65535.
 * Returns 0, or -1 if it is none of these.
 */
int http_host_parse(const char *text, size_t len, struct http_host *host);

/*
 * 1 if a Host (or authority) of len bytes names this machine: localhost,
 * *.localhost (RFC 6761 section 6.3), 127.0.0.0/8, [::1], any port; or a host
 * of allow, a NULL-terminated list or NULL, where an entry with a port asks for
 * that port.  Else 0, also for a malformed or empty one.  Keeps out DNS
 * rebinding: a page of a foreign name that resolves to 127.0.0.1.
 */
int http_host_is_local(const char *text, size_t len, const char *const *allow);

/*
 * 1 if an Origin (RFC 6454 section 7) of origin_len bytes is that of the
 * request itself, which came with TLS or not and with the Host of host_len
 * bytes (0: none): same scheme, host and port; or if it equals an origin of
 * allow, a NULL-terminated list or NULL.  Else 0, also for "null" and for
 * anything malformed.  Only meaningful if http_host_is_local() holds as well.
 */
int http_origin_is_same(const char *origin, size_t origin_len, int tls,
    const char *host, size_t host_len, const char *const *allow);

/* What a response says about its connection. */
enum http_connection {
	HTTP_CONNECTION_DEFAULT, /* nothing: stays open in 1.1 */
	HTTP_CONNECTION_CLOSE,
	HTTP_CONNECTION_KEEP_ALIVE /* for a client of HTTP/1.0 */
};

/* One more field of a response. */
struct http_extra {
	const char *name;
	const char *value;
};

/* No Content-Length: the content ends with the connection, or is chunked. */
#define HTTP_NO_LENGTH (-1)

struct http_response {
	int status;
	enum http_connection connection;
	time_t now; /* wall clock, for Date */
	int64_t length; /* bytes of content, or HTTP_NO_LENGTH */
	const char *type; /* Content-Type, or NULL */
	int no_store; /* Cache-Control: no-store */
	const struct http_extra *extra; /* nextra of them */
	size_t nextra;
};

/*
 * Composes a response head, empty line included, in buf of size bytes; no NUL
 * follows.  100 is the bare status line; 204 and 1xx have no Content-Length
 * (RFC 9110 section 8.6).  Returns its length, or -1 with errno EINVAL for a
 * status that is not in the table, a time out of the years 1970 to 9999, a
 * field name that is no token or a value with a control byte (response
 * splitting, RFC 9112 section 11.1), EMSGSIZE if buf is too small.
 */
int http_response_head(
    char *buf, size_t size, const struct http_response *response);

/* The reason phrase of a status, or NULL if it is not in the table. */
const char *http_status_text(int status);

/*
 * IMF-fixdate (RFC 9110 section 5.6.7) of a time in 1970 to 9999, with a NUL:
 * buf has HTTP_DATE_SIZE bytes.  Own arithmetic: gmtime(3) may open the time
 * zone file, which the sandbox refuses.  Returns 0, or -1 with errno EINVAL.
 */
#define HTTP_DATE_SIZE 30
int http_date(char *buf, time_t when);

/* Classes of bytes, as bits of http_class[byte]. */
#define HTTP_CLASS_TOKEN 0x01 /* RFC 9110 section 5.6.2 tchar */
#define HTTP_CLASS_CONTROL 0x02 /* never in a field value: CTL but HTAB */
#define HTTP_CLASS_PATH 0x04 /* RFC 3986 section 3.3: pchar, '/', no '%' */
#define HTTP_CLASS_QUERY 0x08 /* the same and '?' */
#define HTTP_CLASS_HOST 0x10 /* letter, digit, '-', '_' */
#define HTTP_CLASS_DIGIT 0x20
#define HTTP_CLASS_HEX 0x40
extern const uint8_t http_class[256];

/* Has c (any char) one of the classes? */
static inline int
http_is(char c, unsigned int classes)
{
	return (http_class[(unsigned char)c] & classes) != 0;
}

/* 1 if the n bytes at a and b are the same but for the case of A to Z. */
int http_equal(const char *a, const char *b, size_t n);

#endif /* MUSTER_HTTP1_H */
