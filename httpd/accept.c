#include <string.h>

#include "httpd.h"

/*
 * Which of several forms of an answer a client prefers (RFC 9110 12.5.1).
 * Only what it names counts: a wildcard leaves the choice to us.
 */

/* A weight in thousandths, 0 if it is none (12.4.2). */
static unsigned int
weight(const char *s, size_t len)
{
	unsigned int n;
	unsigned int unit = 100;
	size_t i;

	if (len == 0 || (s[0] != '0' && s[0] != '1'))
		return 0;
	n = s[0] == '1' ? 1000 : 0;
	for (i = 2; i < len && i < 5 && s[1] == '.'; i++, unit /= 10) {
		if (s[i] < '0' || s[i] > '9')
			break;
		n += (unsigned int)(s[i] - '0') * unit;
	}
	return n > 1000 ? 1000 : n;
}

/* Up to the next `end` that is not in a quoted string. */
static size_t
part(const char *s, size_t len, char end)
{
	size_t i;
	int quoted = 0;

	for (i = 0; i < len && (quoted || s[i] != end); i++)
		if (s[i] == '"')
			quoted = !quoted;
		else if (quoted && s[i] == '\\' && i + 1 < len)
			i++;
	return i;
}

static void
trim(const char **s, size_t *len)
{
	for (; *len > 0 && (**s == ' ' || **s == '\t'); (*len)--)
		(*s)++;
	while (*len > 0 && ((*s)[*len - 1] == ' ' || (*s)[*len - 1] == '\t'))
		(*len)--;
}

/* Of one element of the list. */
static unsigned int
element_quality(const char *s, size_t len, const char *type)
{
	const char *name;
	size_t n;
	size_t used;

	n = used = part(s, len, ';');
	name = s;
	trim(&name, &n);
	if (n != strlen(type) || !http_equal(name, type, n))
		return 0;
	while (used < len) {
		s += used + 1;
		len -= used + 1;
		n = used = part(s, len, ';');
		name = s;
		trim(&name, &n);
		if (n > 2 && http_equal(name, "q=", 2))
			return weight(name + 2, n - 2);
	}
	return 1000;
}

unsigned int
accept_quality(const struct request *q, const char *type)
{
	const struct http_field *f = NULL;
	const char *s;
	size_t len;
	size_t n;
	unsigned int best = 0;
	unsigned int got;

	while ((f = http_request_field(&q->client->req, q->buf, "Accept", f)) !=
	    NULL) {
		s = q->buf + f->value.off;
		for (len = f->value.len; len > 0; s += n, len -= n) {
			n = part(s, len, ',');
			got = element_quality(s, n, type);
			if (got > best)
				best = got;
			n += n < len;
		}
	}
	return best;
}
