#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <jansson.h>

#include <bsd/string.h>

#include "logline.h"

/* One event of musterd's own log as one line. */

#define NSEC 1000000000
/* Bytes that are shown; each may become two. */
#define MAX_TEXT 1900
#define MAX_PROGRAM 40

static const struct {
	const char *word;
	const char *text;
	int severity;
} levels[] = {{"error", "ERROR", 3}, {"warning", "WARNING", 4},
    {"info", "INFO", 6}, {"debug", "DEBUG", 7}};

int
logline_severity(enum log_level level)
{
	return levels[level].severity;
}

static int
is_utf8(const char *text)
{
	json_t *string;

	string = json_string(text); /* refuses all else */
	json_decref(string);
	return string != NULL;
}

/* The length of what does something: of ASCII, and U+0080 to U+009F. */
static int
control(const char *s, int utf8)
{
	unsigned char c;

	c = (unsigned char)s[0];
	if (c < ' ' || c == 127 || (c > 127 && !utf8))
		return 1;
	return c == 0xc2 && (unsigned char)s[1] < 0xa0 ? 2 : 0;
}

void
logline_clean(char *buf, size_t size, const char *text)
{
	size_t len;
	size_t i;
	size_t n;
	int escaped;
	int utf8;

	utf8 = is_utf8(text);
	len = strlen(text);
	while (len > 0 && text[len - 1] == '\n')
		len--;
	n = 0;
	escaped = 0;
	for (i = 0; i < len && n + 9 < size; i++) {
		if (escaped == 0)
			escaped = control(text + i, utf8);
		if (escaped > 0) {
			n += (size_t)snprintf(buf + n, size - n, "\\%03o",
			    (unsigned char)text[i]);
			escaped--;
		} else
			buf[n++] = text[i];
	}
	/* Not the first half of a character. */
	if (utf8 && i < len && escaped == 0)
		for (; n > 0 && (text[i] & 0xc0) == 0x80; i--)
			n--;
	buf[n] = '\0';
}

static void
timestamp(char *buf, size_t size, int64_t wall)
{
	struct tm tm;
	time_t t;

	t = (time_t)(wall / NSEC);
	memset(&tm, 0, sizeof(tm));
	(void)gmtime_r(&t, &tm);
	(void)snprintf(buf, size, "%04d-%02d-%02dT%02d:%02d:%02d.%03dZ",
	    tm.tm_year + 1900, tm.tm_mon + 1, tm.tm_mday, tm.tm_hour, tm.tm_min,
	    tm.tm_sec, (int)(wall % NSEC / 1000000));
}

/* A value of logfmt: quoted unless it is a plain word. */
static void
quote(char *buf, size_t size, const char *text)
{
	size_t n;

	if (text[0] != '\0' && strpbrk(text, " =\"\\") == NULL) {
		(void)strlcpy(buf, text, size);
		return;
	}
	n = 0;
	buf[n++] = '"';
	for (; *text != '\0' && n + 4 < size; text++) {
		if (*text == '"' || *text == '\\')
			buf[n++] = '\\';
		buf[n++] = *text;
	}
	buf[n++] = '"';
	buf[n] = '\0';
}

static int
logfmt(char *buf, const char *ts, enum log_level level, const char *program,
    const char *text)
{
	char value[2][2 * MAX_TEXT + 8];

	quote(value[0], sizeof(value[0]), program);
	quote(value[1], sizeof(value[1]), text);
	return snprintf(buf, MAX_LOGLINE, "ts=%s level=%s program=%s msg=%s\n",
	    ts, levels[level].word, value[0], value[1]);
}

static int
json(char *buf, const char *ts, enum log_level level, const char *program,
    const char *text)
{
	json_t *object;
	size_t n;

	object = json_pack("{s:s, s:s, s:s, s:s}", "ts", ts, "level",
	    levels[level].word, "program", program, "msg", text);
	n = object == NULL ? 0 : json_dumpb(object, buf, MAX_LOGLINE - 2, 0);
	json_decref(object);
	if (n == 0 || n > MAX_LOGLINE - 2)
		return -1;
	buf[n++] = '\n';
	buf[n] = '\0';
	return (int)n;
}

size_t
logline(char buf[MAX_LOGLINE], enum log_format format, int64_t wall,
    enum log_level level, const char *program, const char *text)
{
	char who[MAX_PROGRAM + 6];
	char what[MAX_TEXT + 6];
	char ts[64];
	int n;

	logline_clean(who, sizeof(who), program);
	logline_clean(what, sizeof(what), text);
	timestamp(ts, sizeof(ts), wall);
	/* What is ours alone. */
	if (who[0] == '\0' && format != LOG_TEXT)
		(void)strlcpy(who, "musterd", sizeof(who));
	switch (format) {
	case LOG_LOGFMT:
		n = logfmt(buf, ts, level, who, what);
		break;
	case LOG_JSON:
		n = json(buf, ts, level, who, what);
		break;
	default:
		n = snprintf(buf, MAX_LOGLINE, "[%s] %s%s%s\n",
		    levels[level].text, who, who[0] == '\0' ? "" : ": ", what);
		break;
	}
	return n < 0 || n >= MAX_LOGLINE ? 0 : (size_t)n;
}

size_t
logline_audit(char buf[MAX_LOGLINE], enum log_format format, int64_t wall,
    const struct audit *a)
{
	const char *const values[4] = {a->who, a->from, a->what, a->result};
	static const char *const keys[4] = {"who", "from", "what", "result"};
	char safe[4][512];
	char quoted[1032];
	json_t *object;
	char ts[64];
	size_t i;
	size_t n;

	for (i = 0; i < 4; i++)
		logline_clean(safe[i], sizeof(safe[i]), values[i]);
	timestamp(ts, sizeof(ts), wall);
	if (format == LOG_TEXT)
		return (size_t)snprintf(buf, MAX_LOGLINE,
		    "[AUDIT] %s by %s from %s: %s\n", safe[2], safe[0], safe[1],
		    safe[3]);
	if (format == LOG_LOGFMT) {
		n = (size_t)snprintf(buf, MAX_LOGLINE,
		    "ts=%s level=info program=musterd msg=audit", ts);
		for (i = 0; i < 4 && n < MAX_LOGLINE; i++) {
			quote(quoted, sizeof(quoted), safe[i]);
			n += (size_t)snprintf(buf + n, MAX_LOGLINE - n,
			    " %s=%s", keys[i], quoted);
		}
		return n < MAX_LOGLINE - 1 ? n + strlcpy(buf + n, "\n", 2) : 0;
	}
	object = json_pack("{s:s, s:s, s:s, s:s}", "ts", ts, "level", "info",
	    "program", "musterd", "msg", "audit");
	for (i = 0; i < 4 && object != NULL; i++)
		(void)json_object_set_new(
		    object, keys[i], json_string(safe[i]));
	n = object == NULL ? 0 : json_dumpb(object, buf, MAX_LOGLINE - 2, 0);
	json_decref(object);
	if (n == 0 || n > MAX_LOGLINE - 2)
		return 0;
	return n + strlcpy(buf + n, "\n", 2);
}
