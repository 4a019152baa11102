#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include <bsd/string.h>

#include "verifier.h"

#define QUOTE_MAX 40 /* characters shown of a text */

/*
 * Length of the UTF-8 sequence that text begins with (RFC 3629 §4), or 0.
 * Stops at the NUL, which continues no sequence.
 */
static size_t
sequence_length(const unsigned char *s)
{
	size_t i;
	size_t len;

	if (s[0] < 0x80)
		return s[0] >= ' ' && s[0] != 0x7f;
	if (s[0] < 0xc2 || s[0] > 0xf4)
		return 0;
	len = s[0] < 0xe0 ? 2 : s[0] < 0xf0 ? 3 : 4;
	for (i = 1; i < len; i++)
		if ((s[i] & 0xc0) != 0x80)
			return 0;
	/* Overlong forms, surrogates, beyond U+10FFFF, C1 controls. */
	if ((s[0] == 0xe0 && s[1] < 0xa0) || (s[0] == 0xed && s[1] > 0x9f) ||
	    (s[0] == 0xf0 && s[1] < 0x90) || (s[0] == 0xf4 && s[1] > 0x8f) ||
	    (s[0] == 0xc2 && s[1] < 0xa0))
		return 0;
	return len;
}

const char *
text_quote(char *buf, size_t size, const char *text)
{
	const unsigned char *s = (const unsigned char *)text;
	char piece[8];
	size_t len;
	int count;

	(void)strlcpy(buf, "\"", size);
	for (count = 0; *s != '\0' && count < QUOTE_MAX; count++) {
		len = sequence_length(s);
		if (len == 0) {
			(void)snprintf(piece, sizeof(piece), "\\x%02x", *s);
			s++;
		} else {
			(void)memcpy(piece, s, len);
			piece[len] = '\0';
			s += len;
		}
		(void)strlcat(buf, piece, size);
	}
	(void)strlcat(buf, *s == '\0' ? "\"" : "...\"", size);
	return buf;
}

void
text_clean(char *text)
{
	unsigned char *s = (unsigned char *)text;
	size_t len;

	while (*s != '\0') {
		len = sequence_length(s);
		if (len == 0) {
			*s = '?';
			len = 1;
		}
		s += len;
	}
}

const char *
text_duration(char *buf, size_t size, uint64_t ns)
{
	if (ns < SECOND)
		(void)snprintf(
		    buf, size, "%g ms", (double)ns / (double)MILLISECOND);
	else
		(void)snprintf(buf, size, "%g s", (double)ns / (double)SECOND);
	return buf;
}

void
text_lower(char *text)
{
	/* "I/O error" and "SSL ..." stay as they are. */
	if (isupper((unsigned char)text[0]) && islower((unsigned char)text[1]))
		text[0] = (char)tolower((unsigned char)text[0]);
}

int
error_says_more(int error, int than)
{
	if (than == 0)
		return 1;
	return error == ECONNREFUSED &&
	    (than == ENETUNREACH || than == EHOSTUNREACH ||
		than == EADDRNOTAVAIL || than == EAFNOSUPPORT);
}

const char *
text_error(char *buf, size_t size, int error)
{
	char text[128];

	(void)strlcpy(buf, strerror_r(error, text, sizeof(text)), size);
	text_lower(buf);
	return buf;
}
