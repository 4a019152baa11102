#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "ctl.h"

/* Times, and words for shells. */

#define MINUTE 60LL
#define HOUR 3600LL
#define DAY 86400LL
#define YEAR (366.0 * 86400.0)

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
