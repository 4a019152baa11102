/*
 * The head of an HTTP/1.1 request: request line and field lines.
 *
 * The head is taken line by line.  Within a line the first control byte stops
 * the scan, so that what is no HTTP at all (a TLS hello, say) is refused as
 * soon as it shows, and a line is judged when it is complete.  Both depend on
 * the bytes alone and never on how they were cut into reads.
 */
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "http1.h"

enum state { STATE_LINE, STATE_FIELDS, STATE_DONE, STATE_BAD };

#define T HTTP_CLASS_TOKEN
#define C HTTP_CLASS_CONTROL
#define P (HTTP_CLASS_PATH | HTTP_CLASS_QUERY)
#define Q HTTP_CLASS_QUERY
#define H HTTP_CLASS_HOST
#define D (HTTP_CLASS_DIGIT | HTTP_CLASS_HEX)
#define X HTTP_CLASS_HEX

const uint8_t http_class[256] = {
    [0x00 ... 0x08] = C,
    [0x0a ... 0x1f] = C,
    [0x7f] = C,
    ['0' ... '9'] = T | P | H | D,
    ['A' ... 'F'] = T | P | H | X,
    ['G' ... 'Z'] = T | P | H,
    ['a' ... 'f'] = T | P | H | X,
    ['g' ... 'z'] = T | P | H,
    ['-'] = T | P | H,
    ['_'] = T | P | H,
    ['.'] = T | P,
    ['~'] = T | P,
    ['!'] = T | P,
    ['$'] = T | P,
    ['&'] = T | P,
    ['\''] = T | P,
    ['*'] = T | P,
    ['+'] = T | P,
    ['#'] = T,
    ['%'] = T,
    ['^'] = T,
    ['`'] = T,
    ['|'] = T,
    ['('] = P,
    [')'] = P,
    [','] = P,
    [';'] = P,
    ['='] = P,
    [':'] = P,
    ['@'] = P,
    ['/'] = P,
    ['?'] = Q,
};

#undef T
#undef C
#undef P
#undef Q
#undef H
#undef D
#undef X

static const struct {
	const char *name;
	uint8_t len;
	enum http_method method;
} methods[] = {
    {"GET", 3, HTTP_METHOD_GET},
    {"HEAD", 4, HTTP_METHOD_HEAD},
    {"POST", 4, HTTP_METHOD_POST},
    {"PUT", 3, HTTP_METHOD_PUT},
    {"DELETE", 6, HTTP_METHOD_DELETE},
    {"OPTIONS", 7, HTTP_METHOD_OPTIONS},
    {"PATCH", 5, HTTP_METHOD_PATCH},
    {"TRACE", 5, HTTP_METHOD_TRACE},
    {"CONNECT", 7, HTTP_METHOD_CONNECT},
};

/* In order of enum http_known; list: more than one line is allowed. */
static const struct {
	const char *name;
	uint8_t len;
	uint8_t list;
} known_fields[HTTP_KNOWN_MAX] = {
    [HTTP_KNOWN_HOST] = {"host", 4, 0},
    [HTTP_KNOWN_ACCEPT] = {"accept", 6, 1},
    [HTTP_KNOWN_ORIGIN] = {"origin", 6, 0},
    [HTTP_KNOWN_EXPECT] = {"expect", 6, 1},
    [HTTP_KNOWN_IF_MATCH] = {"if-match", 8, 1},
    [HTTP_KNOWN_CONNECTION] = {"connection", 10, 1},
    [HTTP_KNOWN_CONTENT_TYPE] = {"content-type", 12, 0},
    [HTTP_KNOWN_AUTHORIZATION] = {"authorization", 13, 0},
    [HTTP_KNOWN_IF_NONE_MATCH] = {"if-none-match", 13, 1},
    [HTTP_KNOWN_LAST_EVENT_ID] = {"last-event-id", 13, 0},
    [HTTP_KNOWN_CONTENT_LENGTH] = {"content-length", 14, 0},
    [HTTP_KNOWN_SEC_FETCH_SITE] = {"sec-fetch-site", 14, 0},
    [HTTP_KNOWN_IDEMPOTENCY_KEY] = {"idempotency-key", 15, 0},
    [HTTP_KNOWN_TRANSFER_ENCODING] = {"transfer-encoding", 17, 1},
};

static inline int
lower(char c)
{
	return c >= 'A' && c <= 'Z' ? c | 0x20 : c;
}

int
http_equal(const char *a, const char *b, size_t n)
{
	size_t i;

	for (i = 0; i < n; i++) {
		if (lower(a[i]) != lower(b[i]))
			return 0;
	}
	return 1;
}

void
http_request_init(struct http_request *req)
{
	memset(req, 0, offsetof(struct http_request, fields));
}

/* Every offset is below HTTP_MAX_HEAD, which fits. */
static struct http_view
view(size_t from, size_t to)
{
	return (struct http_view){(uint16_t)from, (uint16_t)(to - from)};
}

static enum http_parse
bad(struct http_request *req, int status, const char *reason)
{
	req->state = STATE_BAD;
	req->status = status;
	req->reason = reason;
	return HTTP_BAD;
}

/*
 * Goes on looking for the end of the line from req->pos.  HTTP_DONE: *eol is
 * the offset of its CR and req->pos that of the next line.
 */
static enum http_parse
line_end(const char *buf, size_t end, struct http_request *req, size_t *eol)
{
	size_t pos;

	pos = req->pos;
	while (pos < end && !http_is(buf[pos], HTTP_CLASS_CONTROL))
		pos++;
	req->pos = pos;
	if (pos == end)
		return HTTP_MORE;
	if (buf[pos] == '\n')
		return bad(req, 400, "line feed without carriage return");
	if (buf[pos] != '\r')
		return bad(req, 400, "control byte in the head");
	if (pos + 1 == end)
		return HTTP_MORE;
	if (buf[pos + 1] != '\n')
		return bad(req, 400, "carriage return without line feed");
	*eol = pos;
	req->pos = pos + 2;
	return HTTP_DONE;
}

static enum http_method
method_find(const char *name, size_t len)
{
	size_t i;

	for (i = 0; i < sizeof(methods) / sizeof(methods[0]); i++) {
		if (methods[i].len == len &&
		    memcmp(methods[i].name, name, len) == 0)
			return methods[i].method;
	}
	return HTTP_METHOD_OTHER;
}

/*
 * RFC 9112 section 2.3; the HTTP-version is what stands from pos to eol.  A
 * line without one is HTTP/0.9, which had no fields: nothing to be tolerant of.
 */
static enum http_parse
version_parse(const char *buf, size_t pos, size_t eol, struct http_request *req)
{
	const char *v;

	v = buf + pos;
	if (eol - pos != 8 || memcmp(v, "HTTP/", 5) != 0 ||
	    !http_is(v[5], HTTP_CLASS_DIGIT) || v[6] != '.' ||
	    !http_is(v[7], HTTP_CLASS_DIGIT))
		return bad(req, 400, "no HTTP version in the request line");
	if (v[5] != '1')
		return bad(req, 505, "only HTTP/1.1 and HTTP/1.0 are spoken");
	req->minor = v[7] != '0';
	return HTTP_DONE;
}

/* RFC 9112 section 3: method SP request-target SP HTTP-version. */
static enum http_parse
request_line(
    const char *buf, size_t start, size_t eol, struct http_request *req)
{
	const char *space;
	const char *reason;
	size_t pos;
	int status;

	pos = start;
	while (http_is(buf[pos], HTTP_CLASS_TOKEN))
		pos++;
	if (pos == start || buf[pos] != ' ')
		return bad(req, 400, "no method in the request line");
	req->method_name = view(start, pos);
	req->method = method_find(buf + start, pos - start);
	start = ++pos;
	space = memchr(buf + start, ' ', eol - start);
	if (space == NULL)
		return bad(req, 400, "no HTTP version in the request line");
	pos = (size_t)(space - buf);
	req->target = view(start, pos);
	if (version_parse(buf, pos + 1, eol, req) == HTTP_BAD)
		return HTTP_BAD;
	status = http_target_parse(buf, req, &reason);
	if (status != 0)
		return bad(req, status, reason);
	req->state = STATE_FIELDS;
	return HTTP_DONE;
}

/* RFC 9110 section 8.6: 1*DIGIT and nothing else, no list of equal values. */
static enum http_parse
content_length(const char *s, size_t len, struct http_request *req)
{
	uint64_t n;
	size_t i;

	n = 0;
	for (i = 0; i < len && http_is(s[i], HTTP_CLASS_DIGIT); i++) {
		if (n <= HTTP_MAX_BODY)
			n = n * 10 + (uint64_t)(s[i] - '0');
	}
	if (len == 0 || i < len)
		return bad(req, 400, "Content-Length is not a number");
	req->content_length = n;
	req->has_length = 1;
	return HTTP_DONE;
}

/* RFC 9110 section 7.6.1: #connection-option, where elements may be empty. */
static enum http_parse
connection(const char *s, size_t len, struct http_request *req)
{
	size_t pos;
	size_t start;

	pos = 0;
	while (pos < len) {
		if (s[pos] == ' ' || s[pos] == '\t' || s[pos] == ',') {
			pos++;
			continue;
		}
		start = pos;
		while (pos < len && http_is(s[pos], HTTP_CLASS_TOKEN))
			pos++;
		if (pos - start == 5 && http_equal(s + start, "close", 5))
			req->close = 1;
		if (pos - start == 10 &&
		    http_equal(s + start, "keep-alive", 10))
			req->keep = 1;
		while (pos < len && (s[pos] == ' ' || s[pos] == '\t'))
			pos++;
		if (pos < len && s[pos] != ',')
			return bad(req, 400, "Connection is not a list");
	}
	return HTTP_DONE;
}

static enum http_known
known_find(const char *name, size_t len)
{
	unsigned int i;

	for (i = HTTP_KNOWN_NONE + 1; i < HTTP_KNOWN_MAX; i++) {
		if (known_fields[i].len == len &&
		    http_equal(known_fields[i].name, name, len))
			return (enum http_known)i;
	}
	return HTTP_KNOWN_NONE;
}

/* Notes and checks the newest field if it is one that matters here. */
static enum http_parse
known_field(const char *buf, struct http_request *req)
{
	const struct http_field *f;
	const char *value;
	struct http_host host;
	enum http_known which;
	size_t len;

	f = &req->fields[req->nfields - 1];
	which = known_find(buf + f->name.off, f->name.len);
	if (which == HTTP_KNOWN_NONE)
		return HTTP_DONE;
	if (req->known[which] == 0)
		req->known[which] = req->nfields;
	else if (!known_fields[which].list)
		return bad(req, 400, "a field that has one value came twice");
	value = buf + f->value.off;
	len = f->value.len;
	switch (which) {
	case HTTP_KNOWN_HOST:
		if (http_host_parse(value, len, &host) == -1)
			return bad(req, 400, "Host is malformed");
		return HTTP_DONE;
	case HTTP_KNOWN_CONTENT_LENGTH:
		return content_length(value, len, req);
	case HTTP_KNOWN_CONNECTION:
		return connection(value, len, req);
	case HTTP_KNOWN_EXPECT:
		if (len != 12 || !http_equal(value, "100-continue", 12))
			return bad(req, 417, "unknown expectation");
		return HTTP_DONE;
	default:
		return HTTP_DONE;
	}
}

/* RFC 9112 section 5: field-name ":" OWS field-value OWS. */
static enum http_parse
field_line(const char *buf, size_t start, size_t eol, struct http_request *req)
{
	struct http_field *f;
	size_t pos;

	if (buf[start] == ' ' || buf[start] == '\t')
		return bad(req, 400, "folded line, or space before a name");
	if (req->nfields == HTTP_MAX_FIELDS)
		return bad(req, 431, "too many fields");
	pos = start;
	while (http_is(buf[pos], HTTP_CLASS_TOKEN))
		pos++;
	if (pos == start || buf[pos] != ':')
		return bad(req, 400, "field name is malformed");
	f = &req->fields[req->nfields++];
	f->name = view(start, pos);
	pos++;
	while (pos < eol && (buf[pos] == ' ' || buf[pos] == '\t'))
		pos++;
	while (eol > pos && (buf[eol - 1] == ' ' || buf[eol - 1] == '\t'))
		eol--;
	f->value = view(pos, eol);
	return known_field(buf, req);
}

/* The empty line has come: what only the whole head can tell. */
static enum http_parse
head_end(struct http_request *req)
{
	const struct http_field *host;

	host = http_request_known(req, HTTP_KNOWN_HOST);
	if (host == NULL && req->minor != 0)
		return bad(req, 400, "no Host");
	/* RFC 9112 section 3.2.2: the target's own host wins. */
	if (host != NULL && req->form != HTTP_FORM_ABSOLUTE)
		req->host = host->value;
	if (http_request_known(req, HTTP_KNOWN_TRANSFER_ENCODING) != NULL) {
		if (req->has_length)
			return bad(req, 400,
			    "Transfer-Encoding beside Content-Length");
		return bad(req, 501,
		    "no Transfer-Encoding is supported, send a Content-Length");
	}
	if (req->content_length > HTTP_MAX_BODY)
		return bad(req, 413, "content is too large");
	/* RFC 9112 section 9.3. */
	req->keep_alive = !req->close && (req->minor != 0 || req->keep);
	/* RFC 9110 section 10.1.1: not in 1.0, and not without content. */
	req->expects_continue = req->minor != 0 && req->content_length > 0 &&
	    http_request_known(req, HTTP_KNOWN_EXPECT) != NULL;
	req->head_len = req->pos;
	req->state = STATE_DONE;
	return HTTP_DONE;
}

/* A complete line, its end not included.  HTTP_MORE: go on with the next. */
static enum http_parse
line_parse(const char *buf, size_t eol, struct http_request *req)
{
	enum http_parse verdict;
	size_t start;

	start = req->line;
	if (req->state == STATE_FIELDS) {
		if (start == eol)
			return head_end(req);
		verdict = field_line(buf, start, eol, req);
	} else if (start != eol)
		verdict = request_line(buf, start, eol, req);
	else if (req->blank)
		verdict = bad(req, 400, "empty lines before the request line");
	else {
		/* RFC 9112 section 2.2: some clients end content with one. */
		req->blank = 1;
		verdict = HTTP_DONE;
	}
	return verdict == HTTP_BAD ? HTTP_BAD : HTTP_MORE;
}

enum http_parse
http_parse_head(const char *buf, size_t len, struct http_request *req)
{
	enum http_parse verdict;
	size_t end;
	size_t eol;

	if (req->state == STATE_DONE)
		return HTTP_DONE;
	if (req->state == STATE_BAD)
		return HTTP_BAD;
	end = len < HTTP_MAX_HEAD ? len : HTTP_MAX_HEAD;
	do {
		verdict = line_end(buf, end, req, &eol);
		if (verdict == HTTP_BAD)
			return HTTP_BAD;
		if (verdict == HTTP_MORE) {
			if (end < HTTP_MAX_HEAD)
				return HTTP_MORE;
			if (req->state == STATE_LINE)
				return bad(req, 414, "request line too long");
			return bad(req, 431, "head too large");
		}
		verdict = line_parse(buf, eol, req);
		req->line = req->pos;
	} while (verdict == HTTP_MORE);
	return verdict;
}

const struct http_field *
http_request_known(const struct http_request *req, enum http_known which)
{
	if (req->known[which] == 0)
		return NULL;
	return &req->fields[req->known[which] - 1];
}

const struct http_field *
http_request_field(const struct http_request *req, const char *buf,
    const char *name, const struct http_field *after)
{
	const struct http_field *f;
	size_t len;

	len = strlen(name);
	for (f = after == NULL ? req->fields : after + 1;
	     f < req->fields + req->nfields; f++) {
		if (f->name.len == len &&
		    http_equal(buf + f->name.off, name, len))
			return f;
	}
	return NULL;
}
