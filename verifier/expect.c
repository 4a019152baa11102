#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "expect.h"
#include "verifier.h"

void
expect_begin(struct expect *e, const struct check_spec *spec)
{
	free(e->tail);
	(void)memset(e, 0, sizeof(*e));
	e->spec = spec;
}

void
expect_end(struct expect *e)
{
	free(e->tail);
	(void)memset(e, 0, sizeof(*e));
}

static int
is_blank(char c)
{
	return c == ' ' || c == '\t';
}

/* Does the field fit the "Name" or "Name: value" that is wanted? */
static int
field_fits(const char *wanted, const char *name, size_t name_len,
    const char *value, size_t value_len)
{
	size_t len;

	if (strncasecmp(wanted, name, name_len) != 0)
		return 0;
	wanted += name_len;
	if (*wanted == '\0')
		return 1;
	if (*wanted++ != ':')
		return 0;
	while (is_blank(*wanted))
		wanted++;
	len = strlen(wanted);
	while (len > 0 && is_blank(wanted[len - 1]))
		len--;
	return len == value_len && memcmp(wanted, value, len) == 0;
}

void
expect_field(struct expect *e, const char *name, size_t name_len,
    const char *value, size_t value_len)
{
	unsigned int i;

	if (name_len == 0)
		return;
	for (i = 0; i < e->spec->nwanted; i++)
		if (field_fits(
			e->spec->wanted[i], name, name_len, value, value_len))
			e->seen |= (uint64_t)1 << i;
}

void
expect_line(struct expect *e, const char *line, size_t len)
{
	const char *colon;
	const char *value;

	if (e->spec->nwanted == 0)
		return;
	colon = memchr(line, ':', len);
	if (colon == NULL)
		return;
	value = colon + 1;
	while (value < line + len && is_blank(*value))
		value++;
	while (line + len > value &&
	    (is_blank(line[len - 1]) || line[len - 1] == '\r' ||
		line[len - 1] == '\n'))
		len--;
	expect_field(e, line, (size_t)(colon - line), value,
	    (size_t)(line + len - value));
}

static int
status_fits(const struct check_spec *spec, unsigned int status)
{
	unsigned int i;

	if (spec->nranges == 0)
		return status >= 200 && status <= 299;
	for (i = 0; i < spec->nranges; i++)
		if (status >= spec->ranges[i].from &&
		    status <= spec->ranges[i].to)
			return 1;
	return 0;
}

enum expect_result
expect_head(struct expect *e, unsigned int status, char *detail, size_t size)
{
	char quoted[128];
	unsigned int i;

	(void)snprintf(detail, size, "http %u", status);
	if (!status_fits(e->spec, status))
		return EXPECT_FAILED;
	for (i = 0; i < e->spec->nwanted; i++) {
		if ((e->seen & (uint64_t)1 << i) != 0)
			continue;
		(void)snprintf(detail, size, "no header field %s",
		    text_quote(quoted, sizeof(quoted), e->spec->wanted[i]));
		return EXPECT_FAILED;
	}
	return e->spec->body[0] == '\0' ? EXPECT_PASSED : EXPECT_MORE;
}

/* Keeps the end of tail and data: one byte less than the text is long. */
static int
keep_tail(struct expect *e, const char *data, size_t len, size_t room)
{
	size_t keep;

	if (room == 0)
		return 0;
	if (e->tail == NULL) {
		e->tail = malloc(room);
		if (e->tail == NULL)
			return -1;
	}
	if (len >= room) {
		(void)memcpy(e->tail, data + len - room, room);
		e->tail_len = room;
		return 0;
	}
	keep = e->tail_len < room - len ? e->tail_len : room - len;
	(void)memmove(e->tail, e->tail + e->tail_len - keep, keep);
	(void)memcpy(e->tail + keep, data, len);
	e->tail_len = keep + len;
	return 0;
}

/* Is the text partly in the tail and partly in the data? */
static int
across(const struct expect *e, const char *data, size_t len)
{
	const char *text;
	size_t in_tail;
	size_t text_len;

	text = e->spec->body;
	text_len = strlen(text);
	in_tail = text_len > len ? text_len - len : 1;
	for (; in_tail <= e->tail_len; in_tail++) {
		if (memcmp(e->tail + e->tail_len - in_tail, text, in_tail) ==
			0 &&
		    memcmp(data, text + in_tail, text_len - in_tail) == 0)
			return 1;
	}
	return 0;
}

enum expect_result
expect_body(struct expect *e, unsigned int status, const void *data, size_t len,
    char *detail, size_t size)
{
	const char *text;
	size_t text_len;

	text = e->spec->body;
	text_len = strlen(text);
	if (len > MAX_BODY - e->body_len)
		len = MAX_BODY - e->body_len;
	e->body_len += len;
	if (memmem(data, len, text, text_len) != NULL || across(e, data, len)) {
		(void)snprintf(detail, size, "http %u", status);
		return EXPECT_PASSED;
	}
	if (e->body_len == MAX_BODY ||
	    keep_tail(e, data, len, text_len - 1) == -1) {
		expect_missing(e, detail, size);
		return EXPECT_FAILED;
	}
	return EXPECT_MORE;
}

void
expect_missing(const struct expect *e, char *detail, size_t size)
{
	char quoted[128];

	(void)snprintf(detail, size, "body does not contain %s%s",
	    text_quote(quoted, sizeof(quoted), e->spec->body),
	    e->body_len == MAX_BODY ? " in its first 64 KiB" : "");
}

int
expect_redirect(const struct expect *e, unsigned int status)
{
	if (e->spec->redirects == 0)
		return 0;
	if (e->spec->nranges > 0 && status_fits(e->spec, status))
		return 0;
	/* RFC 9110 §15.4: 300, 304 and 305 ask for something else. */
	return status == 301 || status == 302 || status == 303 ||
	    status == 307 || status == 308;
}
