#include <sys/types.h>

#include <string.h>
#include <strings.h>

#include "http_client.h"

void
http_answer_init(struct http_answer *a, int head_request,
    const struct http_events *events, void *arg)
{
	(void)memset(a, 0, offsetof(struct http_answer, line));
	a->events = events;
	a->arg = arg;
	a->head_request = head_request;
	a->state = HTTP_STATUS_LINE;
}

static int
broken(struct http_answer *a, const char *problem)
{
	a->state = HTTP_BROKEN;
	a->problem = problem;
	return -1;
}

static int
is_digit(char c)
{
	return c >= '0' && c <= '9';
}

/* RFC 9112 §4: "HTTP/1.1 200 OK" */
static int
status_line(struct http_answer *a)
{
	const char *s = a->line;

	if (a->line_len < 12 || memcmp(s, "HTTP/1.", 7) != 0 ||
	    (s[7] != '0' && s[7] != '1') || s[8] != ' ' || s[9] < '1' ||
	    !is_digit(s[9]) || !is_digit(s[10]) || !is_digit(s[11]) ||
	    (a->line_len > 12 && s[12] != ' '))
		return broken(a, "not an HTTP answer");
	a->minor = (unsigned int)(s[7] - '0');
	a->status = (unsigned int)(s[9] - '0') * 100 +
	    (unsigned int)(s[10] - '0') * 10 + (unsigned int)(s[11] - '0');
	a->chunked = 0;
	a->has_length = 0;
	a->left = 0;
	a->state = HTTP_FIELDS;
	return 0;
}

/* RFC 9110 §5.6.2 */
static int
is_token(const char *s, size_t len)
{
	size_t i;

	for (i = 0; i < len; i++)
		if (s[i] <= ' ' || s[i] >= 0x7f ||
		    strchr("\"(),/:;<=>?@[\\]{}", s[i]) != NULL)
			return 0;
	return len > 0;
}

static int
is_value(const char *s, size_t len)
{
	size_t i;

	for (i = 0; i < len; i++)
		if (((unsigned char)s[i] < ' ' && s[i] != '\t') || s[i] == 0x7f)
			return 0;
	return 1;
}

static int
same_word(const char *s, size_t len, const char *word)
{
	return len == strlen(word) && strncasecmp(s, word, len) == 0;
}

/* RFC 9112 §6.2 */
static int
content_length(struct http_answer *a, const char *value, size_t len)
{
	uint64_t n = 0;
	size_t i;

	if (len == 0 || len > 18)
		return broken(a, "bad Content-Length");
	for (i = 0; i < len; i++) {
		if (!is_digit(value[i]))
			return broken(a, "bad Content-Length");
		n = n * 10 + (uint64_t)(value[i] - '0');
	}
	if (a->has_length && a->left != n)
		return broken(a, "two different Content-Lengths");
	a->has_length = 1;
	a->left = n;
	return 0;
}

/* The fields that say where the answer ends. */
static int
framing_field(struct http_answer *a, const char *name, size_t name_len,
    const char *value, size_t len)
{
	if (same_word(name, name_len, "Content-Length"))
		return content_length(a, value, len);
	if (!same_word(name, name_len, "Transfer-Encoding"))
		return 0;
	if (a->chunked || !same_word(value, len, "chunked"))
		return broken(a, "unknown Transfer-Encoding");
	a->chunked = 1;
	return 0;
}

static int
field_line(struct http_answer *a)
{
	const char *colon;
	const char *value;
	size_t len;

	colon = memchr(a->line, ':', a->line_len);
	if (colon == NULL || !is_token(a->line, (size_t)(colon - a->line)))
		return broken(a, "malformed header field");
	value = colon + 1;
	len = (size_t)(a->line + a->line_len - value);
	while (len > 0 && (*value == ' ' || *value == '\t')) {
		value++;
		len--;
	}
	while (len > 0 && (value[len - 1] == ' ' || value[len - 1] == '\t'))
		len--;
	if (!is_value(value, len))
		return broken(a, "malformed header field");
	if (a->status < 200)
		return 0;
	if (framing_field(a, a->line, (size_t)(colon - a->line), value, len) ==
	    -1)
		return -1;
	a->stopped = a->events->field(
	    a->arg, a->line, (size_t)(colon - a->line), value, len);
	return 0;
}

/* RFC 9112 §6.3: where the body ends. */
static int
head_complete(struct http_answer *a)
{
	if (a->status < 200) {
		a->state = HTTP_STATUS_LINE;
		return 0;
	}
	if (a->chunked && (a->has_length || a->minor == 0))
		return broken(a, "two lengths of the body");
	if (a->head_request || a->status == 204 || a->status == 304)
		a->state = HTTP_COMPLETE;
	else if (a->chunked)
		a->state = HTTP_CHUNK_SIZE;
	else if (!a->has_length)
		a->state = HTTP_CLOSE_BODY;
	else
		a->state = a->left == 0 ? HTTP_COMPLETE : HTTP_LENGTH_BODY;
	a->stopped = a->events->head(a->arg, a->status);
	return 0;
}

/* RFC 9112 §7.1: hexadecimal, then perhaps an extension. */
static int
chunk_size(struct http_answer *a)
{
	static const char digits[] = "0123456789abcdef0123456789ABCDEF";
	const char *at;
	uint64_t n = 0;
	size_t i;

	for (i = 0; i < a->line_len; i++) {
		at = a->line[i] == '\0' ? NULL : strchr(digits, a->line[i]);
		if (at == NULL)
			break;
		n = n * 16 + (uint64_t)((at - digits) % 16);
	}
	if (i == 0 || i > 15 ||
	    (i < a->line_len && a->line[i] != ';' && a->line[i] != ' ' &&
		a->line[i] != '\t'))
		return broken(a, "malformed chunk");
	a->left = n;
	a->state = n == 0 ? HTTP_TRAILER : HTTP_CHUNK_DATA;
	return 0;
}

/* A line is complete, without its end. */
static int
take_line(struct http_answer *a)
{
	switch (a->state) {
	case HTTP_STATUS_LINE:
		return status_line(a);
	case HTTP_FIELDS:
		return a->line_len == 0 ? head_complete(a) : field_line(a);
	case HTTP_CHUNK_SIZE:
		return chunk_size(a);
	case HTTP_CHUNK_END:
		if (a->line_len != 0)
			return broken(a, "malformed chunk");
		a->state = HTTP_CHUNK_SIZE;
		return 0;
	case HTTP_TRAILER:
		if (a->line_len == 0)
			a->state = HTTP_COMPLETE;
		return 0;
	default:
		return broken(a, "malformed answer");
	}
}

/* Collects a line.  Returns the bytes used, or -1. */
static ssize_t
read_line(struct http_answer *a, const char *data, size_t len)
{
	const char *end;
	size_t used;

	end = memchr(data, '\n', len);
	used = end == NULL ? len : (size_t)(end - data) + 1;
	if (used > HTTP_MAX_LINE - a->line_len)
		return broken(a, "line of the answer is too long");
	/* The lines of chunks are many, the one at a time is bounded. */
	if (a->state != HTTP_CHUNK_SIZE && a->state != HTTP_CHUNK_END) {
		a->head_len += used;
		if (a->head_len > HTTP_MAX_ANSWER_HEAD)
			return broken(a, "head of the answer is too long");
	}
	(void)memcpy(a->line + a->line_len, data, used);
	a->line_len += used;
	if (end == NULL)
		return (ssize_t)used;
	a->line_len--;
	if (a->line_len > 0 && a->line[a->line_len - 1] == '\r')
		a->line_len--;
	if (take_line(a) == -1)
		return -1;
	a->line_len = 0;
	return (ssize_t)used;
}

/* Hands out body.  Returns the bytes used. */
static ssize_t
read_body(struct http_answer *a, const char *data, size_t len)
{
	if (a->state != HTTP_CLOSE_BODY) {
		if (len > a->left)
			len = (size_t)a->left;
		a->left -= len;
		if (a->left == 0)
			a->state = a->state == HTTP_CHUNK_DATA ?
			    HTTP_CHUNK_END :
			    HTTP_COMPLETE;
	}
	a->stopped = a->events->body(a->arg, data, len);
	return (ssize_t)len;
}

int
http_answer_read(struct http_answer *a, const void *bytes, size_t len)
{
	const char *data = bytes;
	ssize_t used;

	while (len > 0 && !a->stopped && a->state != HTTP_COMPLETE) {
		if (a->state == HTTP_BROKEN)
			return -1;
		if (a->state == HTTP_LENGTH_BODY ||
		    a->state == HTTP_CLOSE_BODY || a->state == HTTP_CHUNK_DATA)
			used = read_body(a, data, len);
		else
			used = read_line(a, data, len);
		if (used == -1)
			return -1;
		data += used;
		len -= (size_t)used;
	}
	return a->state == HTTP_BROKEN ? -1 : 0;
}

int
http_answer_end(struct http_answer *a)
{
	if (a->state == HTTP_BROKEN)
		return -1;
	if (a->state == HTTP_CLOSE_BODY)
		a->state = HTTP_COMPLETE;
	if (a->state == HTTP_COMPLETE)
		return 0;
	if (a->state == HTTP_STATUS_LINE && a->head_len == 0)
		return broken(a, "connection closed without an answer");
	return broken(a, "answer cut short");
}
