#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "ctl.h"

/* Times, words for shells, and words that were meant. */

#define MINUTE 60LL
#define HOUR 3600LL
#define DAY 86400LL
#define YEAR (366.0 * 86400.0)
#define MAX_WORD 64

const char *
age(double seconds, char buf[AGE_SIZE])
{
	long long n;

	/* Also what is no number. */
	n = seconds > 0 && seconds < 1e12 ? (long long)seconds : 0;
	if (n < MINUTE)
		(void)snprintf(buf, AGE_SIZE, "%llds", n);
	else if (n < HOUR)
		(void)snprintf(
		    buf, AGE_SIZE, "%lldm %llds", n / MINUTE, n % MINUTE);
	else if (n < DAY)
		(void)snprintf(
		    buf, AGE_SIZE, "%lldh %lldm", n / HOUR, n % HOUR / MINUTE);
	else
		(void)snprintf(
		    buf, AGE_SIZE, "%lldd %lldh", n / DAY, n % DAY / HOUR);
	return buf;
}

const char *
elapsed(double seconds, char buf[AGE_SIZE])
{
	if (!(seconds > 0))
		seconds = 0;
	if (seconds >= (double)MINUTE)
		return age(seconds, buf);
	if (seconds < 0.9995)
		(void)snprintf(buf, AGE_SIZE, "%.0f ms", seconds * 1000);
	else
		(void)snprintf(buf, AGE_SIZE, "%.1f s", seconds);
	return buf;
}

int
duration(const char *text, double *seconds)
{
	static const struct {
		const char *name;
		double factor;
	} units[] = {{"", 1}, {"s", 1}, {"ms", 0.001}, {"m", 60}, {"h", 3600}};
	char digits[32];
	size_t dots;
	size_t i;
	size_t n;

	/* strtod(3) alone would take "inf", "0x1" and blanks. */
	n = strspn(text, "0123456789.");
	dots = 0;
	for (i = 0; i < n; i++)
		dots += text[i] == '.';
	if (n == 0 || n >= sizeof(digits) || dots > 1 || text[0] == '.')
		return -1;
	memcpy(digits, text, n);
	digits[n] = '\0';
	for (i = 0; i < sizeof(units) / sizeof(*units); i++)
		if (strcmp(text + n, units[i].name) == 0)
			break;
	if (i == sizeof(units) / sizeof(*units))
		return -1;
	*seconds = strtod(digits, NULL) * units[i].factor;
	return *seconds <= YEAR ? 0 : -1;
}

int
rfc3339(const char *text, double *seconds)
{
	struct tm tm;
	const char *end;
	double fraction;
	double unit;

	memset(&tm, 0, sizeof(tm));
	end = strptime(text, "%Y-%m-%dT%H:%M:%S", &tm);
	if (end == NULL)
		return -1;
	fraction = 0;
	if (*end == '.') {
		unit = 0.1;
		for (end++; *end >= '0' && *end <= '9'; end++) {
			fraction += (*end - '0') * unit;
			unit /= 10;
		}
	}
	if (strcmp(end, "Z") != 0)
		return -1;
	*seconds = (double)timegm(&tm) + fraction;
	return 0;
}

char *
shell_quote(const char *word)
{
	static const char plain[] = "abcdefghijklmnopqrstuvwxyz"
				    "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
				    "0123456789_-+=./,:@%";
	const char *p;
	size_t size;
	char *out;
	char *q;

	if (word[0] != '\0' && word[strspn(word, plain)] == '\0')
		return xstrdup(word);
	size = strlen(word) + 3;
	for (p = word; *p != '\0'; p++)
		size += *p == '\'' ? 3 : 0;
	out = q = xreallocarray(NULL, size, 1);
	*q++ = '\'';
	for (p = word; *p != '\0'; p++) {
		if (*p == '\'') {
			memcpy(q, "'\\''", 4);
			q += 4;
		} else
			*q++ = *p;
	}
	*q++ = '\'';
	*q = '\0';
	return out;
}

static size_t
least(size_t a, size_t b)
{
	return a < b ? a : b;
}

/* Damerau-Levenshtein distance (restricted edit distance). */
static size_t
distance(const char *a, const char *b)
{
	size_t rows[3][MAX_WORD + 1];
	size_t *one;
	size_t *row;
	size_t *two;
	size_t i;
	size_t j;
	size_t la;
	size_t lb;

	la = strlen(a);
	lb = strlen(b);
	if (la > MAX_WORD || lb > MAX_WORD)
		return MAX_WORD;
	for (j = 0; j <= lb; j++)
		rows[0][j] = j;
	for (i = 1; i <= la; i++) {
		row = rows[i % 3];
		one = rows[(i + 2) % 3];
		two = rows[(i + 1) % 3];
		row[0] = i;
		for (j = 1; j <= lb; j++) {
			row[j] = least(one[j], row[j - 1]) + 1;
			row[j] =
			    least(row[j], one[j - 1] + (a[i - 1] != b[j - 1]));
			if (i > 1 && j > 1 && a[i - 1] == b[j - 2] &&
			    a[i - 2] == b[j - 1])
				row[j] = least(row[j], two[j - 2] + 1);
		}
	}
	return rows[la % 3][lb];
}

const char *
nearest(const char *word, const char *const *words, size_t n)
{
	const char *best;
	size_t bound;
	size_t d;
	size_t i;

	best = NULL;
	bound = least(2, strlen(word) / 3) + 1;
	for (i = 0; i < n; i++) {
		d = distance(word, words[i]);
		if (d < bound) {
			bound = d;
			best = words[i];
		}
	}
	return best;
}
