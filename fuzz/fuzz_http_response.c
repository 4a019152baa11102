/* sources: httpd/http_response.c */
/* libs: */
/* covers: httpd/http_response.c */
/*
 * Response heads with foreign text in them: whatever the values are, the head
 * has the lines that were asked for and no other.
 *
 * Input: status (two bytes, high first), flags, seconds since 1970 (five
 * bytes), size of the buffer divided by 4, then, each ended by a NUL or the
 * end, Content-Type, name and value of an extra field.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "../httpd/http1.h"

#define FIXED 9

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* What must hold, or the input is a finding. */
static void
check(int condition)
{
	if (!condition)
		abort();
}

/* Cuts the next text off the input; never NULL, to be freed. */
static char *
next_text(const char **data, size_t *size)
{
	const char *nul;
	char *text;
	size_t len;

	nul = memchr(*data, '\0', *size);
	len = nul == NULL ? *size : (size_t)(nul - *data);
	text = strndup(*data, len);
	check(text != NULL);
	if (nul != NULL)
		len++;
	*data += len;
	*size -= len;
	return text;
}

/* How many lines the head must have, the empty one included. */
static unsigned int
lines_expected(const struct http_response *r)
{
	if (r->status < 200)
		return 2;
	return 4 + (r->type != NULL) + (r->length >= 0 && r->status != 204) +
	    (r->no_store != 0) + (r->connection != HTTP_CONNECTION_DEFAULT) +
	    (unsigned int)r->nextra;
}

static void
check_head(const char *head, size_t len, const struct http_response *r)
{
	unsigned int lines;
	size_t i;

	check(len >= 4 && memcmp(head + len - 4, "\r\n\r\n", 4) == 0);
	check(memcmp(head, "HTTP/1.1 ", 9) == 0);
	for (lines = 0, i = 0; i < len; i++) {
		check(head[i] != '\0');
		if (head[i] == '\n')
			check(head[i - 1] == '\r');
		if (head[i] != '\r')
			continue;
		check(i + 1 < len && head[i + 1] == '\n');
		lines++;
	}
	check(lines == lines_expected(r));
	check(http_status_text(r->status) != NULL);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct http_response r;
	struct http_extra extra;
	const char *rest;
	char *type;
	char *name;
	char *value;
	char *head;
	size_t room;
	int len;

	if (size < FIXED)
		return 0;
	memset(&r, 0, sizeof(r));
	r.status = data[0] << 8 | data[1];
	r.connection = (enum http_connection)((data[2] & 3) % 3);
	r.no_store = data[2] & 4;
	r.nextra = data[2] >> 3 & 1;
	r.now = (time_t)data[3] << 32 | (time_t)data[4] << 24 | data[5] << 16 |
	    data[6] << 8 | data[7];
	r.length = data[2] & 16 ? HTTP_NO_LENGTH : (int64_t)r.now * data[2];
	room = (size_t)data[8] * 4;
	rest = (const char *)data + FIXED;
	size -= FIXED;
	type = next_text(&rest, &size);
	name = next_text(&rest, &size);
	value = next_text(&rest, &size);
	r.type = *type == '\0' ? NULL : type;
	extra.name = name;
	extra.value = value;
	r.extra = &extra;
	head = malloc(room + 1);
	check(head != NULL);
	len = http_response_head(head, room, &r);
	check(len >= -1 && len <= (int)room);
	if (len != -1)
		check_head(head, (size_t)len, &r);
	free(head);
	free(type);
	free(name);
	free(value);
	return 0;
}
