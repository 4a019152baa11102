#include <langinfo.h>
#include <locale.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <wchar.h>
#include <wctype.h>

#include <bsd/string.h>

#include "ctl.h"

/* What may be shown, and how wide it is. */

static int utf8;

void
text_locale(void)
{
	static const char *const names[] = {"LC_ALL", "LC_CTYPE", "LANG"};
	const char *value;
	const char *wanted;
	size_t i;

	/* Without any wish names are still UTF-8, as in cron(8). */
	wanted = "C.UTF-8";
	for (i = 0; i < sizeof(names) / sizeof(*names); i++) {
		value = environment(names[i]);
		if (value != NULL && value[0] != '\0')
			wanted = "";
	}
	/* NOLINTBEGIN(concurrency-mt-unsafe) there are no threads */
	if (setlocale(LC_CTYPE, wanted) == NULL)
		/* One that is not installed here, as ssh(1) brings it. */
		(void)setlocale(LC_CTYPE, "C.UTF-8");
	utf8 = strcmp(nl_langinfo(CODESET), "UTF-8") == 0;
	/* NOLINTEND(concurrency-mt-unsafe) */
}

int
text_is_utf8(void)
{
	return utf8;
}

/* Would it turn or hide the text around it?  Unicode UAX #9, and others
 * that have no width and no shape. */
static int
is_deceptive(wint_t c)
{
	return (c >= 0x200b && c <= 0x200f) || (c >= 0x2028 && c <= 0x202e) ||
	    (c >= 0x2060 && c <= 0x206f) || c == 0xfeff || c == 0x61c ||
	    (c >= 0xfff9 && c <= 0xfffb) || (c >= 0xe0000 && c <= 0xe0fff);
}

static size_t
escape(char shown[SHOWN_SIZE], int *width, unsigned char c)
{
	static const char names[] = "\n\r\t\033\b\a";
	static const char letters[] = "nrteba";
	const char *found;

	found = c == '\0' ? NULL : strchr(names, c);
	if (found != NULL)
		(void)snprintf(
		    shown, SHOWN_SIZE, "\\%c", letters[found - names]);
	else
		(void)snprintf(shown, SHOWN_SIZE, "\\x%02x", c);
	*width = (int)strlen(shown);
	return 1;
}

size_t
text_next(
    const char *s, size_t len, int flags, char shown[SHOWN_SIZE], int *width)
{
	mbstate_t state;
	wchar_t wide;
	size_t n;

	if ((unsigned char)s[0] < 0x80) {
		if ((s[0] < ' ' || s[0] == 0x7f) &&
		    (s[0] != '\t' || !(flags & TEXT_TAB)))
			return escape(shown, width, (unsigned char)s[0]);
		shown[0] = s[0];
		shown[1] = '\0';
		*width = 1;
		return 1;
	}
	memset(&state, 0, sizeof(state));
	/* NOLINTNEXTLINE(concurrency-mt-unsafe) there are no threads */
	n = mbrtowc(&wide, s, len, &state);
	if (n == (size_t)-2 && flags & TEXT_PARTIAL)
		return 0;
	if (n == 0 || n > len || n >= SHOWN_SIZE)
		return escape(shown, width, (unsigned char)s[0]);
	*width = wcwidth(wide);
	if (!iswprint((wint_t)wide) || *width < 0 ||
	    is_deceptive((wint_t)wide)) {
		(void)snprintf(shown, SHOWN_SIZE, "\\u%04lx",
		    (unsigned long)wide & 0x1fffff);
		*width = (int)strlen(shown);
		return n;
	}
	memcpy(shown, s, n);
	shown[n] = '\0';
	return n;
}

char *
text_escape(const char *s, size_t len)
{
	char shown[SHOWN_SIZE];
	size_t have;
	size_t n;
	size_t size;
	char *out;
	int width;

	size = len + SHOWN_SIZE;
	out = xreallocarray(NULL, size, 1);
	have = 0;
	while (len > 0) {
		n = text_next(s, len, 0, shown, &width);
		s += n;
		len -= n;
		n = strlen(shown);
		if (size - have <= n + len) {
			size = size * 2 + n;
			out = xreallocarray(out, size, 1);
		}
		memcpy(out + have, shown, n);
		have += n;
	}
	out[have] = '\0';
	return out;
}

size_t
text_width(const char *s)
{
	char shown[SHOWN_SIZE];
	size_t columns;
	size_t len;
	size_t n;
	int width;

	columns = 0;
	for (len = strlen(s); len > 0; len -= n, s += n) {
		n = text_next(s, len, 0, shown, &width);
		columns += (size_t)width;
	}
	return columns;
}

size_t
text_put(FILE *to, const char *s, size_t most)
{
	char shown[SHOWN_SIZE];
	size_t columns;
	size_t len;
	size_t n;
	int width;

	columns = 0;
	for (len = strlen(s); len > 0; len -= n, s += n) {
		n = text_next(s, len, 0, shown, &width);
		if (columns + (size_t)width > most)
			break;
		(void)fputs(shown, to);
		columns += (size_t)width;
	}
	return columns;
}

static void
no_memory(void)
{
	(void)fputs("musterctl: no memory\n", stderr);
	/* NOLINTNEXTLINE(concurrency-mt-unsafe) there are no threads */
	exit(CTL_FAILED);
}

void *
xreallocarray(void *p, size_t n, size_t size)
{
	p = reallocarray(p, n, size);
	if (p == NULL && n > 0 && size > 0)
		no_memory();
	return p;
}

char *
xstrdup(const char *s)
{
	char *copy;

	copy = strdup(s);
	if (copy == NULL)
		no_memory();
	return copy;
}

char *
xasprintf(const char *format, ...)
{
	va_list ap;
	char *text;

	va_start(ap, format);
	if (vasprintf(&text, format, ap) == -1)
		no_memory();
	va_end(ap);
	return text;
}
