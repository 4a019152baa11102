#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "json.h"

void
json_begin(struct json *j)
{
	j->len = 0;
	j->failed = 0;
	j->first = 1;
}

void
json_free(struct json *j)
{
	free(j->data);
	memset(j, 0, sizeof(*j));
}

static int
room(struct json *j, size_t n)
{
	char *bigger;
	size_t size;

	if (j->failed)
		return -1;
	if (j->size - j->len >= n)
		return 0;
	size = j->size == 0 ? 1024 : j->size * 2;
	while (size - j->len < n)
		size *= 2;
	bigger = realloc(j->data, size);
	if (bigger == NULL) {
		j->failed = 1;
		return -1;
	}
	j->data = bigger;
	j->size = size;
	return 0;
}

void
json_raw(struct json *j, const char *s, size_t len)
{
	if (room(j, len) == -1)
		return;
	memcpy(j->data + j->len, s, len);
	j->len += len;
}

/* The comma before any element but the first. */
static void
separate(struct json *j)
{
	if (!j->first)
		json_raw(j, ", ", 2);
	j->first = 0;
}

void
json_open(struct json *j, char bracket)
{
	separate(j);
	json_raw(j, &bracket, 1);
	j->first = 1;
}

void
json_close(struct json *j, char bracket)
{
	char c;

	c = bracket == '{' ? '}' : ']';
	json_raw(j, &c, 1);
	j->first = 0;
}

/* Decodes one character of UTF-8; a byte that is none gives U+FFFD. */
static size_t
decode(const unsigned char *s, size_t len, uint32_t *out)
{
	static const uint32_t least[] = {0, 0, 0x80, 0x800, 0x10000};
	size_t i;
	size_t n;
	uint32_t c;

	n = s[0] < 0x80 ? 1 :
	    s[0] < 0xc2 ? 0 :
	    s[0] < 0xe0 ? 2 :
	    s[0] < 0xf0 ? 3 :
	    s[0] < 0xf5 ? 4 :
			  0;
	*out = 0xfffd;
	if (n == 0 || n > len)
		return 1;
	c = n == 1 ? s[0] : s[0] & (0xffU >> (n + 1));
	for (i = 1; i < n; i++) {
		if ((s[i] & 0xc0) != 0x80)
			return 1;
		c = c << 6 | (s[i] & 0x3fU);
	}
	if (c < least[n] || c > 0x10ffff || (c >= 0xd800 && c < 0xe000))
		return 1;
	*out = c;
	return n;
}

int
json_is_text(const void *data, size_t len)
{
	const unsigned char *p;
	uint32_t c;
	size_t n;

	for (p = data; len > 0; p += n, len -= n) {
		n = decode(p, len, &c);
		/* U+FFFD of three bytes was there; of one it stands for what
		 * is no UTF-8. */
		if (c == 0 || (c == 0xfffd && n == 1))
			return 0;
	}
	return 1;
}

static void
escape(struct json *j, uint32_t c)
{
	static const char shorts[] = "\"\"\\\\\bb\ff\nn\rr\tt";
	char buf[16];
	size_t i;

	for (i = 0; i < sizeof(shorts) - 1; i += 2) {
		if (c != (unsigned char)shorts[i])
			continue;
		buf[0] = '\\';
		buf[1] = shorts[i + 1];
		json_raw(j, buf, 2);
		return;
	}
	if (c < 0x10000) {
		(void)snprintf(buf, sizeof(buf), "\\u%04x", c);
		json_raw(j, buf, 6);
		return;
	}
	c -= 0x10000;
	(void)snprintf(buf, sizeof(buf), "\\u%04x\\u%04x", 0xd800 + (c >> 10),
	    0xdc00 + (c & 0x3ff));
	json_raw(j, buf, 12);
}

static void
quoted(struct json *j, const char *s, size_t len)
{
	const unsigned char *p;
	size_t plain;
	uint32_t c;
	size_t n;

	p = (const unsigned char *)s;
	json_raw(j, "\"", 1);
	while (len > 0) {
		for (plain = 0; plain < len; plain++)
			if (p[plain] < 0x20 || p[plain] >= 0x7f ||
			    p[plain] == '"' || p[plain] == '\\')
				break;
		json_raw(j, (const char *)p, plain);
		p += plain;
		len -= plain;
		if (len == 0)
			break;
		n = decode(p, len, &c);
		escape(j, c);
		p += n;
		len -= n;
	}
	json_raw(j, "\"", 1);
}

void
json_string(struct json *j, const char *s, size_t len)
{
	separate(j);
	quoted(j, s, len);
}

void
json_text(struct json *j, const char *s)
{
	json_string(j, s, strlen(s));
}

void
json_key(struct json *j, const char *key)
{
	json_text(j, key);
	json_raw(j, ": ", 2);
	j->first = 1;
}

void
json_int(struct json *j, int64_t n)
{
	char buf[24];
	char *p;
	uint64_t u;

	separate(j);
	u = n < 0 ? 0 - (uint64_t)n : (uint64_t)n;
	p = buf + sizeof(buf);
	do
		*--p = (char)('0' + u % 10);
	while ((u /= 10) != 0);
	if (n < 0)
		*--p = '-';
	json_raw(j, p, (size_t)(buf + sizeof(buf) - p));
}

void
json_bool(struct json *j, int b)
{
	separate(j);
	json_raw(j, b ? "true" : "false", b ? 4 : 5);
}

void
json_null(struct json *j)
{
	separate(j);
	json_raw(j, "null", 4);
}

void
json_seconds(struct json *j, int64_t ns)
{
	char buf[40];

	separate(j);
	(void)snprintf(buf, sizeof(buf), "%.3f", (double)ns / 1e9);
	json_raw(j, buf, strlen(buf));
}

/* Days since 1970 to a date, after the proleptic Gregorian calendar. */
static void
civil(int64_t days, int *year, int *month, int *day)
{
	int64_t era;
	int64_t z;
	int doe;
	int doy;
	int mp;
	int yoe;

	z = days + 719468;
	era = z / 146097;
	doe = (int)(z - era * 146097);
	yoe = (doe - doe / 1460 + doe / 36524 - doe / 146096) / 365;
	doy = doe - (365 * yoe + yoe / 4 - yoe / 100);
	mp = (5 * doy + 2) / 153;
	*day = doy - (153 * mp + 2) / 5 + 1;
	*month = mp < 10 ? mp + 3 : mp - 9;
	*year = yoe + (int)era * 400 + (*month <= 2);
}

void
json_time(struct json *j, int64_t ns)
{
	char buf[64];
	int64_t s;
	int day;
	int month;
	int year;

	if (ns <= 0) {
		json_null(j);
		return;
	}
	s = ns / 1000000000;
	civil(s / 86400, &year, &month, &day);
	(void)snprintf(buf, sizeof(buf), "%04d-%02d-%02dT%02d:%02d:%02d.%03dZ",
	    year, month, day, (int)(s / 3600 % 24), (int)(s / 60 % 60),
	    (int)(s % 60), (int)(ns / 1000000 % 1000));
	json_text(j, buf);
}
