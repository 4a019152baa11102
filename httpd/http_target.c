/*
 * The request-target: its four forms (RFC 9112 section 3.2), the segments of
 * the path and the pairs of the query.
 */
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "http1.h"

/* The value of a hexadecimal digit. */
static unsigned int
hex(char c)
{
	if (c <= '9')
		return (unsigned int)(c - '0');
	return (unsigned int)((c | 0x20) - 'a') + 10;
}

/* 1 if two hexadecimal digits stand at s, before end. */
static int
is_hex_pair(const char *s, const char *end)
{
	return end - s >= 2 && http_is(s[0], HTTP_CLASS_HEX) &&
	    http_is(s[1], HTTP_CLASS_HEX);
}

/* First byte from s to end that is neither of the class nor a proper %XX. */
static const char *
skip_class(const char *s, const char *end, unsigned int class)
{
	while (s < end) {
		if (http_is(*s, class))
			s++;
		else if (*s == '%' && is_hex_pair(s + 1, end))
			s += 3;
		else
			break;
	}
	return s;
}

/* [ path ] [ "?" query ] from s to end; a fragment is no part of a target. */
static int
path_query(const char *buf, const char *s, const char *end,
    struct http_request *req, const char **reason)
{
	const char *p;

	p = skip_class(s, end, HTTP_CLASS_PATH);
	req->path.off = (uint16_t)(s - buf);
	req->path.len = (uint16_t)(p - s);
	if (p < end && *p == '?') {
		s = ++p;
		p = skip_class(s, end, HTTP_CLASS_QUERY);
		req->query.off = (uint16_t)(s - buf);
		req->query.len = (uint16_t)(p - s);
	}
	if (p == end)
		return 0;
	*reason = "malformed character in the request target";
	return 400;
}

/*
 * absolute-form, RFC 9112 section 3.2.2.  User information is refused (RFC 9110
 * section 4.2.4), and so is an empty host (4.2.1).
 */
static int
absolute_form(const char *buf, const char *s, const char *end,
    struct http_request *req, const char **reason)
{
	struct http_host host;
	const char *p;

	if (end - s > 7 && http_equal(s, "http://", 7)) {
		req->scheme = HTTP_SCHEME_HTTP;
		s += 7;
	} else if (end - s > 8 && http_equal(s, "https://", 8)) {
		req->scheme = HTTP_SCHEME_HTTPS;
		s += 8;
	} else {
		*reason = "request target is neither a path nor a URL";
		return 400;
	}
	p = s;
	while (p < end && *p != '/' && *p != '?')
		p++;
	if (http_host_parse(s, (size_t)(p - s), &host) == -1) {
		*reason = "malformed host in the request target";
		return 400;
	}
	req->form = HTTP_FORM_ABSOLUTE;
	req->host.off = (uint16_t)(s - buf);
	req->host.len = (uint16_t)(p - s);
	return path_query(buf, p, end, req, reason);
}

int
http_target_parse(
    const char *buf, struct http_request *req, const char **reason)
{
	struct http_host host;
	const char *s;
	const char *end;

	s = buf + req->target.off;
	end = s + req->target.len;
	if (req->method == HTTP_METHOD_CONNECT) {
		/* Section 3.2.3; what would follow is a tunnel, not HTTP. */
		if (http_host_parse(s, req->target.len, &host) == -1 ||
		    host.port == 0) {
			*reason = "malformed authority for CONNECT";
			return 400;
		}
		*reason = "CONNECT is not supported";
		return 501;
	}
	if (s < end && *s == '/')
		return path_query(buf, s, end, req, reason);
	if (req->target.len == 1 && *s == '*') {
		req->form = HTTP_FORM_ASTERISK;
		if (req->method == HTTP_METHOD_OPTIONS)
			return 0;
		*reason = "'*' is a target of OPTIONS only";
		return 400;
	}
	return absolute_form(buf, s, end, req, reason);
}

/*
 * Length of the UTF-8 sequence at s, 0 if it is not well-formed: the table of
 * Unicode 15 section 3.9 (no overlong forms, no surrogates, up to U+10FFFF).
 */
static size_t
utf8_sequence(const unsigned char *s, size_t len)
{
	unsigned char low;
	unsigned char high;
	size_t n;
	size_t i;

	if (s[0] < 0x80)
		return 1;
	if (s[0] < 0xc2 || s[0] > 0xf4)
		return 0;
	n = s[0] < 0xe0 ? 2 : s[0] < 0xf0 ? 3 : 4;
	if (n > len)
		return 0;
	low = s[0] == 0xe0 ? 0xa0 : s[0] == 0xf0 ? 0x90 : 0x80;
	high = s[0] == 0xed ? 0x9f : s[0] == 0xf4 ? 0x8f : 0xbf;
	if (s[1] < low || s[1] > high)
		return 0;
	for (i = 2; i < n; i++) {
		if ((s[i] & 0xc0) != 0x80)
			return 0;
	}
	return n;
}

/* 1 if s is UTF-8 without control bytes. */
static int
is_text(const char *s, size_t len)
{
	size_t i;
	size_t n;

	for (i = 0; i < len; i += n) {
		if (s[i] == '\t' || http_is(s[i], HTTP_CLASS_CONTROL))
			return 0;
		n = utf8_sequence((const unsigned char *)s + i, len - i);
		if (n == 0)
			return 0;
	}
	return 1;
}

/*
 * Decodes %XX, and '+' if plus is set, of s into out and adds a NUL.  Sets
 * *out_len, without it.  Returns 0 or the status to answer.
 */
static int
decode(const char *s, size_t len, int plus, char *out, size_t size,
    size_t *out_len)
{
	const char *end;
	size_t n;

	end = s + len;
	n = 0;
	while (s < end) {
		char c = *s++;

		if (c == '+' && plus)
			c = ' ';
		else if (c == '%') {
			if (!is_hex_pair(s, end))
				return 400;
			c = (char)(hex(s[0]) << 4 | hex(s[1]));
			s += 2;
		}
		if (n == size)
			return 414;
		out[n++] = c;
	}
	if (n == size)
		return 414;
	out[n] = '\0';
	*out_len = n;
	return is_text(out, n) ? 0 : 400;
}

/* One segment, decoded at buf.  Returns 0 or the status to answer. */
static int
segment_decode(
    const char *s, size_t len, struct http_path *path, char *buf, size_t size)
{
	size_t n;
	int status;

	if (path->n == HTTP_MAX_SEGMENTS)
		return 404;
	status = decode(s, len, 0, buf, size, &n);
	if (status != 0)
		return status;
	/*
	 * Judged after decoding, so that '%2e%2e' is '..'.  No name has a
	 * '/', and taking one for a separator would be a second decoding.
	 */
	if (memchr(buf, '/', n) != NULL || strcmp(buf, ".") == 0 ||
	    strcmp(buf, "..") == 0)
		return 400;
	path->segment[path->n] = buf;
	path->length[path->n] = n;
	path->n++;
	return 0;
}

int
http_path_decode(
    const char *raw, size_t len, struct http_path *path, char *buf, size_t size)
{
	const char *end;
	const char *next;
	size_t used;

	path->n = 0;
	path->slash = 0;
	end = raw + len;
	for (next = raw; next < end && *next == '/'; next++)
		;
	if (next == end)
		return 0;
	if (next - raw != 1)
		return 400;
	used = 0;
	for (raw = next; raw < end; raw = next + 1) {
		int status;

		for (next = raw; next < end && *next != '/'; next++)
			;
		if (next == raw)
			return 400;
		status = segment_decode(
		    raw, (size_t)(next - raw), path, buf + used, size - used);
		if (status != 0)
			return status;
		used += path->length[path->n - 1] + 1;
		if (next == end)
			return 0;
	}
	path->slash = 1;
	return 0;
}

void
http_query_begin(struct http_query *query, const char *raw, size_t len)
{
	query->next = raw;
	query->end = raw + len;
	query->status = 0;
}

int
http_query_next(struct http_query *query, char *key, size_t key_size,
    char *value, size_t value_size)
{
	const char *s;
	const char *end;
	const char *equals;
	size_t n;

	while (query->next < query->end && *query->next == '&')
		query->next++;
	if (query->next == query->end)
		return 0;
	s = query->next;
	end = memchr(s, '&', (size_t)(query->end - s));
	if (end == NULL)
		end = query->end;
	query->next = end;
	equals = memchr(s, '=', (size_t)(end - s));
	query->status = decode(
	    s, (size_t)((equals ? equals : end) - s), 1, key, key_size, &n);
	if (query->status != 0)
		return -1;
	s = equals != NULL ? equals + 1 : end;
	query->status = decode(s, (size_t)(end - s), 1, value, value_size, &n);
	return query->status != 0 ? -1 : 1;
}
