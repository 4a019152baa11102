#include <stdio.h>
#include <string.h>
#include <strings.h>

#include <bsd/string.h>

#include "ctl.h"

/*
 * Answers of HTTP/1.1 (RFC 9112), read strictly: what comes is musterd's, or
 * something is wrong.  A pure function over the bytes, in whatever pieces
 * they arrive.
 */

#define MAX_INTERIM 8
#define MAX_LENGTH_DIGITS 15
#define MAX_CHUNK_DIGITS 8

enum state {
	STATUS_LINE = 0,
	FIELD,
	CONTENT, /* of known length */
	UNTIL_CLOSE,
	CHUNK_SIZE,
	CHUNK,
	CHUNK_END, /* the line end behind its bytes */
	TRAILER,
	DONE,
	BROKEN,
};

void
http_begin(struct http *h)
{
	memset(h, 0, sizeof(*h));
	h->state = STATUS_LINE;
}

static enum http_result
bad(struct http *h, const char *why)
{
	h->state = BROKEN;
	h->why = why;
	return HTTP_BAD;
}

static int
is_digit(char c)
{
	return c >= '0' && c <= '9';
}

static char
lower(char c)
{
	static const char letters[] = "abcdefghijklmnopqrstuvwxyz";

	if (c >= 'A' && c <= 'Z')
		return letters[c - 'A'];
	return c;
}

/* RFC 9110 §5.6.2 */
static int
is_token(const char *s, size_t len)
{
	static const char others[] = "!#$%&'*+-.^_`|~";
	size_t i;

	for (i = 0; i < len; i++)
		if (!is_digit(s[i]) && !(s[i] >= 'a' && s[i] <= 'z') &&
		    !(s[i] >= 'A' && s[i] <= 'Z') &&
		    (s[i] == '\0' || strchr(others, s[i]) == NULL))
			return 0;
	return len > 0;
}

/* "HTTP/1.1 200 OK"; a new message begins. */
static int
status_line(struct http *h)
{
	const char *s;

	s = h->line;
	if (strncmp(s, "HTTP/1.", 7) != 0 || (s[7] != '0' && s[7] != '1') ||
	    s[8] != ' ' || s[9] < '1' || s[9] > '5' || !is_digit(s[10]) ||
	    !is_digit(s[11]) || (s[12] != ' ' && s[12] != '\0'))
		return -1;
	h->minor = s[7] - '0';
	h->status = (s[9] - '0') * 100 + (s[10] - '0') * 10 + s[11] - '0';
	h->chunked = h->has_length = 0;
	h->left = 0;
	h->type[0] = '\0';
	return 0;
}

static int
content_length(struct http *h, const char *value)
{
	size_t n;

	n = strspn(value, "0123456789");
	if (h->has_length || n == 0 || n > MAX_LENGTH_DIGITS ||
	    value[n] != '\0')
		return -1;
	h->has_length = 1;
	for (h->left = 0; *value != '\0'; value++)
		h->left = h->left * 10 + (uint64_t)(*value - '0');
	return 0;
}

static void
content_type(struct http *h, const char *value)
{
	size_t i;
	size_t n;

	n = strcspn(value, "; \t");
	if (n >= sizeof(h->type))
		n = 0;
	for (i = 0; i < n; i++)
		h->type[i] = lower(value[i]);
	h->type[n] = '\0';
}

/* A field that matters; NULL, or what is wrong with it. */
static const char *
field(struct http *h, const char *name, const char *value)
{
	if (strcasecmp(name, "Content-Length") == 0)
		return content_length(h, value) == 0 ?
		    NULL :
		    "its Content-Length is malformed";
	if (strcasecmp(name, "Transfer-Encoding") == 0) {
		if (h->chunked || h->minor == 0 ||
		    strcasecmp(value, "chunked") != 0)
			return "its Transfer-Encoding is not chunked";
		h->chunked = 1;
	} else if (strcasecmp(name, "Content-Encoding") == 0) {
		if (strcasecmp(value, "identity") != 0)
			return "it has a Content-Encoding";
	} else if (strcasecmp(name, "Content-Type") == 0)
		content_type(h, value);
	return NULL;
}

static const char *
field_line(struct http *h)
{
	char *colon;
	char *end;
	char *value;
	const char *p;

	colon = strchr(h->line, ':');
	if (colon == NULL || !is_token(h->line, (size_t)(colon - h->line)))
		return "a field line is malformed";
	*colon = '\0';
	value = colon + 1 + strspn(colon + 1, " \t");
	end = h->line + h->line_len;
	while (end > value && (end[-1] == ' ' || end[-1] == '\t'))
		*--end = '\0';
	for (p = value; *p != '\0'; p++)
		if (((unsigned char)*p < ' ' && *p != '\t') || *p == 0x7f)
			return "a field value has control characters";
	return field(h, h->line, value);
}

/* The empty line: what follows?  RFC 9112 §6.3 */
static enum http_result
head_end(struct http *h)
{
	if (h->status < 200) {
		if (h->status == 101 || ++h->interim > MAX_INTERIM)
			return bad(h, "an interim answer was not asked for");
		h->state = STATUS_LINE;
		return HTTP_MORE;
	}
	if (h->chunked && h->has_length)
		return bad(h, "it has two lengths");
	h->has_head = 1;
	if (h->status == 204 || h->status == 304)
		h->state = DONE;
	else if (h->chunked)
		h->state = CHUNK_SIZE;
	else if (h->has_length)
		h->state = h->left == 0 ? DONE : CONTENT;
	else
		h->state = UNTIL_CLOSE;
	return h->state == DONE ? HTTP_END : HTTP_MORE;
}

/* Hexadecimal digits, and extensions, which mean nothing here. */
static enum http_result
chunk_size(struct http *h)
{
	static const char digits[] = "0123456789abcdef";
	const char *p;
	size_t n;
	char c;

	h->left = 0;
	for (n = 0; h->line[n] != '\0'; n++) {
		c = lower(h->line[n]);
		p = strchr(digits, c);
		if (p == NULL)
			break;
		if (n >= MAX_CHUNK_DIGITS)
			return bad(h, "a chunk is too large");
		h->left = h->left * 16 + (uint64_t)(p - digits);
	}
	p = h->line + n;
	p += strspn(p, " \t");
	if (n == 0 || (*p != '\0' && *p != ';'))
		return bad(h, "the size of a chunk is malformed");
	h->state = h->left == 0 ? TRAILER : CHUNK;
	return HTTP_MORE;
}

static enum http_result
whole_line(struct http *h)
{
	const char *why;

	if (h->line_len != strlen(h->line))
		return bad(h, "it has a zero byte");
	switch (h->state) {
	case STATUS_LINE:
		if (status_line(h) == -1)
			return bad(h, "it is not HTTP");
		h->state = FIELD;
		return HTTP_MORE;
	case FIELD:
		if (h->line_len == 0)
			return head_end(h);
		why = field_line(h);
		return why == NULL ? HTTP_MORE : bad(h, why);
	case CHUNK_SIZE:
		/* Only the fields of heads and trailers are counted. */
		h->head_len -= h->line_len + 2;
		return chunk_size(h);
	case CHUNK_END:
		if (h->line_len != 0)
			return bad(h, "a chunk is longer than it says");
		h->head_len -= 2;
		h->state = CHUNK_SIZE;
		return HTTP_MORE;
	default: /* TRAILER */
		if (h->line_len == 0)
			h->state = DONE;
		return h->line_len == 0 ? HTTP_END : HTTP_MORE;
	}
}

/* Collects a line up to CR LF; HTTP_MORE also when there is a next one. */
static enum http_result
line_byte(struct http *h, char c)
{
	enum http_result r;

	if (++h->head_len > HTTP_MAX_HEAD)
		return bad(h, "its head is too long");
	if (c != '\n') {
		if (h->line_len > 0 && h->line[h->line_len - 1] == '\r')
			return bad(h, "a line ends in the wrong way");
		if (h->line_len >= sizeof(h->line) - 1)
			return bad(h, "a line is too long");
		h->line[h->line_len++] = c;
		return HTTP_MORE;
	}
	if (h->line_len == 0 || h->line[h->line_len - 1] != '\r')
		return bad(h, "a line ends in the wrong way");
	h->line[--h->line_len] = '\0';
	r = whole_line(h);
	h->line_len = 0;
	return r;
}

/* Bytes of the content. */
static enum http_result
piece(struct http *h, const char **in, size_t *len, const char **body,
    size_t *body_len)
{
	size_t n;

	n = *len;
	if (h->state != UNTIL_CLOSE) {
		if (n > h->left)
			n = (size_t)h->left;
		h->left -= n;
	}
	*body = *in;
	*body_len = n;
	*in += n;
	*len -= n;
	if (h->state == CONTENT && h->left == 0)
		h->state = DONE;
	else if (h->state == CHUNK && h->left == 0)
		h->state = CHUNK_END;
	return HTTP_BODY;
}

enum http_result
http_feed(struct http *h, const char **in, size_t *len, const char **body,
    size_t *body_len)
{
	enum http_result r;

	for (;;) {
		if (h->state == DONE)
			return HTTP_END;
		if (h->state == BROKEN)
			return HTTP_BAD;
		if (*len == 0)
			return HTTP_MORE;
		if (h->state == CONTENT || h->state == UNTIL_CLOSE ||
		    h->state == CHUNK)
			return piece(h, in, len, body, body_len);
		r = line_byte(h, **in);
		(*in)++;
		(*len)--;
		if (r != HTTP_MORE)
			return r;
	}
}

int
http_eof(struct http *h)
{
	if (h->state == DONE || h->state == UNTIL_CLOSE)
		return 0;
	if (h->state == BROKEN)
		return -1;
	h->why = h->state == STATUS_LINE && h->line_len == 0 ?
	    "there is none" :
	    "it was cut short";
	h->state = BROKEN;
	return -1;
}
