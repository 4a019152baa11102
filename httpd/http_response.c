/*
 * Response heads: every answer passes here, so they are copied together from
 * constants, without a format string.
 */
#include <errno.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <time.h>

#include "http1.h"

/* 9999-12-31 23:59:59, the last that four digits of a year can tell. */
#define LAST_SECOND 253402300799LL
#define DAY 86400

#define VERSION "HTTP/1.1 "

/* What a field name consists of, RFC 9110 section 5.6.2. */
#define TOKEN \
	"!#$%&'*+-.^_`|~0123456789" \
	"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"

/* Status lines by rising status (RFC 9110 section 15, RFC 6585). */
static const struct {
	int status;
	const char *line;
} statuses[] = {
    {100, VERSION "100 Continue"},
    {200, VERSION "200 OK"},
    {201, VERSION "201 Created"},
    {202, VERSION "202 Accepted"},
    {204, VERSION "204 No Content"},
    {206, VERSION "206 Partial Content"},
    {304, VERSION "304 Not Modified"},
    {307, VERSION "307 Temporary Redirect"},
    {400, VERSION "400 Bad Request"},
    {401, VERSION "401 Unauthorized"},
    {403, VERSION "403 Forbidden"},
    {404, VERSION "404 Not Found"},
    {405, VERSION "405 Method Not Allowed"},
    {406, VERSION "406 Not Acceptable"},
    {408, VERSION "408 Request Timeout"},
    {409, VERSION "409 Conflict"},
    {411, VERSION "411 Length Required"},
    {412, VERSION "412 Precondition Failed"},
    {413, VERSION "413 Content Too Large"},
    {414, VERSION "414 URI Too Long"},
    {415, VERSION "415 Unsupported Media Type"},
    {417, VERSION "417 Expectation Failed"},
    {421, VERSION "421 Misdirected Request"},
    {422, VERSION "422 Unprocessable Content"},
    {429, VERSION "429 Too Many Requests"},
    {431, VERSION "431 Request Header Fields Too Large"},
    {500, VERSION "500 Internal Server Error"},
    {501, VERSION "501 Not Implemented"},
    {503, VERSION "503 Service Unavailable"},
    {505, VERSION "505 HTTP Version Not Supported"},
};

/* What is being composed; error is an errno, and then nothing more is put. */
struct output {
	char *next;
	size_t left;
	int error;
};

static const char *
status_line(int status)
{
	size_t low;
	size_t high;

	low = 0;
	high = sizeof(statuses) / sizeof(statuses[0]);
	while (low < high) {
		const size_t mid = (low + high) / 2;

		if (statuses[mid].status == status)
			return statuses[mid].line;
		if (statuses[mid].status < status)
			low = mid + 1;
		else
			high = mid;
	}
	return NULL;
}

const char *
http_status_text(int status)
{
	const char *line;

	line = status_line(status);
	return line == NULL ? NULL : line + strlen(VERSION "100 ");
}

static void
put(struct output *out, const char *s, size_t len)
{
	if (len > out->left && out->error == 0)
		out->error = EMSGSIZE;
	if (out->error != 0)
		return;
	memcpy(out->next, s, len);
	out->next += len;
	out->left -= len;
}

static void
put_text(struct output *out, const char *s)
{
	put(out, s, strlen(s));
}

static void
put_number(struct output *out, uint64_t n)
{
	char digits[20];
	size_t i;

	i = sizeof(digits);
	do {
		digits[--i] = (char)('0' + n % 10);
		n /= 10;
	} while (n != 0);
	put(out, digits + i, sizeof(digits) - i);
}

/* A value that the caller has from elsewhere must not end its line. */
static void
put_value(struct output *out, const char *value)
{
	const char *s;

	for (s = value; *s != '\0'; s++) {
		if (((unsigned char)*s < ' ' && *s != '\t') || *s == 0x7f) {
			out->error = EINVAL;
			return;
		}
	}
	put(out, value, (size_t)(s - value));
}

static void
put_name(struct output *out, const char *name)
{
	size_t len;

	len = strspn(name, TOKEN);
	if (len == 0 || name[len] != '\0')
		out->error = EINVAL;
	else
		put(out, name, len);
}

/* Two digits of n, which is below 100. */
static void
two_digits(char *buf, int n)
{
	buf[0] = (char)('0' + n / 10);
	buf[1] = (char)('0' + n % 10);
}

int
http_date(char *buf, time_t when)
{
	static const char pattern[HTTP_DATE_SIZE] =
	    "Thu, 01 Jan 1970 00:00:00 GMT";
	static const char weekdays[7][4] = {
	    "Thu", "Fri", "Sat", "Sun", "Mon", "Tue", "Wed"};
	static const char months[12][4] = {"Mar", "Apr", "May", "Jun", "Jul",
	    "Aug", "Sep", "Oct", "Nov", "Dec", "Jan", "Feb"};
	int days;
	int era;
	int month;
	int seconds;
	int year;

	if (when < 0 || when > LAST_SECOND) {
		errno = EINVAL;
		return -1;
	}
	seconds = (int)(when % DAY);
	days = (int)(when / DAY);
	memcpy(buf, pattern, sizeof(pattern));
	memcpy(buf, weekdays[days % 7], 3);

	/*
	 * Years are taken to begin in March, so that a leap day is the last of
	 * its year and months begin every 30.6 days.  Days are counted from
	 * 0000-03-01; an era is 400 years, 146097 days.
	 */
	days += 719468;
	era = days / 146097;
	days %= 146097;
	year = (days - days / 1460 + days / 36524 - days / 146096) / 365;
	days -= 365 * year + year / 4 - year / 100;
	year += era * 400;
	month = (5 * days + 2) / 153;
	two_digits(buf + 5, days - (153 * month + 2) / 5 + 1);
	memcpy(buf + 8, months[month], 3);
	if (month >= 10)
		year++;
	two_digits(buf + 12, year / 100);
	two_digits(buf + 14, year % 100);
	two_digits(buf + 17, seconds / 3600);
	two_digits(buf + 20, seconds / 60 % 60);
	two_digits(buf + 23, seconds % 60);
	return 0;
}

/* The Date field: made once for the second that it is good for. */
static void
put_date(struct output *out, time_t now)
{
	static char text[HTTP_DATE_SIZE];
	static time_t made = -1;

	if (now != made) {
		if (http_date(text, now) == -1) {
			out->error = EINVAL;
			return;
		}
		made = now;
	}
	put_text(out, "Date: ");
	put(out, text, sizeof(text) - 1);
	put_text(out, "\r\nServer: muster\r\n");
}

/* The fields of all but 1xx. */
static void
put_fields(struct output *out, const struct http_response *response)
{
	size_t i;

	put_date(out, response->now);
	if (response->type != NULL) {
		put_text(out, "Content-Type: ");
		put_value(out, response->type);
		put_text(out, "\r\n");
	}
	if (response->length >= 0 && response->status != 204) {
		put_text(out, "Content-Length: ");
		put_number(out, (uint64_t)response->length);
		put_text(out, "\r\n");
	}
	if (response->no_store)
		put_text(out, "Cache-Control: no-store\r\n");
	if (response->connection == HTTP_CONNECTION_CLOSE)
		put_text(out, "Connection: close\r\n");
	else if (response->connection == HTTP_CONNECTION_KEEP_ALIVE)
		put_text(out, "Connection: keep-alive\r\n");
	for (i = 0; i < response->nextra; i++) {
		put_name(out, response->extra[i].name);
		put_text(out, ": ");
		put_value(out, response->extra[i].value);
		put_text(out, "\r\n");
	}
}

int
http_response_head(char *buf, size_t size, const struct http_response *response)
{
	struct output out;
	const char *line;

	line = status_line(response->status);
	if (line == NULL) {
		errno = EINVAL;
		return -1;
	}
	out.next = buf;
	out.left = size;
	out.error = 0;
	put_text(&out, line);
	put_text(&out, "\r\n");
	if (response->status >= 200)
		put_fields(&out, response);
	put_text(&out, "\r\n");
	if (out.error != 0) {
		errno = out.error;
		return -1;
	}
	return (int)(size - out.left);
}
