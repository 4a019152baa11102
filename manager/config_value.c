#include <sys/socket.h>
#include <sys/un.h>

#include <ctype.h>
#include <limits.h>
#include <math.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <bsd/stdlib.h>

#include "../common/message.h"
#include "../common/spec.h"
#include "../common/suggest.h"
#include "config_table.h"
#include "snapshot.h"

/* Typed values: is a node what its key wants, and the plain setters. */

/* One of the words may be what YAML and JSON call null: stdin. */
static int
is_null_word(const struct key *k, const struct doc_node *n)
{
	size_t i;

	for (i = 0; k->words != NULL && k->words[i] != NULL; i++)
		if (strcmp(k->words[i], n->text) == 0)
			return 1;
	return 0;
}

static int
kind_fits(const struct key *k, const struct doc_node *n)
{
	switch (n->kind) {
	case DOC_BOOL:
		return (k->types & (TYPE_BOOL | TYPE_TRUTH)) != 0;
	case DOC_INTEGER:
		return (k->types &
			   (TYPE_INTEGER | TYPE_NUMBER | TYPE_DURATION |
			       TYPE_SIZE)) != 0;
	case DOC_REAL:
		return (k->types & (TYPE_NUMBER | TYPE_DURATION)) != 0;
	case DOC_STRING:
		return (k->types & (TYPE_STRING | TYPE_DURATION | TYPE_SIZE)) !=
		    0;
	case DOC_ARRAY:
		return (k->types & (TYPE_STRINGS | TYPE_LIST)) != 0;
	case DOC_OBJECT:
		return (k->types & (TYPE_GROUP | TYPE_MAP)) != 0;
	case DOC_NULL:
		return is_null_word(k, n);
	}
	return 0;
}

/* "want number 1-65535", "want one of never, on-failure, always" */
static const char *
wanted(const struct key *k, char *buf, size_t size)
{
	static const struct {
		unsigned int type;
		const char *name;
	} names[] = {
	    {TYPE_BOOL | TYPE_TRUTH, "true or false"},
	    {TYPE_INTEGER, "a number"},
	    {TYPE_NUMBER, "a number"},
	    {TYPE_DURATION, "a duration (seconds, or \"500ms\" \"2s\")"},
	    {TYPE_SIZE, "a size (bytes, or \"64k\")"},
	    {TYPE_STRING, "a string"},
	    {TYPE_STRINGS, "a list of strings"},
	    {TYPE_LIST, "a list"},
	    {TYPE_GROUP | TYPE_MAP, "a mapping"},
	};
	size_t i;
	size_t n;

	n = (size_t)snprintf(buf, size, "want ");
	for (i = 0; i < sizeof(names) / sizeof(*names) && n < size; i++) {
		if ((k->types & names[i].type) == 0)
			continue;
		if ((k->types & TYPE_STRINGS) && names[i].type == TYPE_LIST)
			continue;
		n += (size_t)snprintf(buf + n, size - n, "%s%s",
		    n > 5 ? " or " : "", names[i].name);
		if (names[i].type == TYPE_INTEGER && k->max != 0 && n < size)
			n += (size_t)snprintf(buf + n, size - n,
			    k->min < 0 ? " %lld to %lld" : " %lld-%lld",
			    (long long)k->min, (long long)k->max);
	}
	return buf;
}

static int
in_words(struct loader *l, const struct key *k, const struct doc_node *n)
{
	char list[200];
	char shown[48];
	const char *best;
	size_t count;
	size_t len;

	len = 0;
	list[0] = '\0';
	for (count = 0; k->words[count] != NULL; count++) {
		if (strcmp(k->words[count], n->text) == 0)
			return 1;
		if (len < sizeof(list))
			len += (size_t)snprintf(list + len, sizeof(list) - len,
			    "%s%s", count == 0 ? "" : ", ", k->words[count]);
	}
	best = config_errors_are_full(l) ? NULL :
					   suggest(n->text, k->words, count);
	config_error(l, n, "want one of %s, got \"%s\"%s%s%s", list,
	    doc_show(n->text, shown, sizeof(shown)),
	    best == NULL ? "" : " (did you mean \"", best == NULL ? "" : best,
	    best == NULL ? "" : "\"?)");
	return 0;
}

/* "one of a, b, c" */
static void
wanted_word(const struct key *k, char *buf, size_t size)
{
	size_t i;
	size_t n;

	n = (size_t)snprintf(buf, size, "want one of ");
	for (i = 0; k->words[i] != NULL && n < size; i++)
		n += (size_t)snprintf(
		    buf + n, size - n, "%s%s", i == 0 ? "" : ", ", k->words[i]);
}

static void
wrong_kind(struct loader *l, const struct key *k, const struct doc_node *n,
    void (*report)(struct loader *, const struct doc_node *, const char *, ...))
{
	char want[256];
	char shown[48];

	if (k->words != NULL && k->types == TYPE_STRING)
		wanted_word(k, want, sizeof(want));
	else
		(void)wanted(k, want, sizeof(want));
	if (n->text == NULL || n->kind == DOC_NULL || (k->types & TYPE_SECRET))
		report(l, n, "%s, got %s", want, doc_kind_name(n->kind));
	else
		report(l, n, "%s, got %s %s%s%s%s", want,
		    doc_kind_name(n->kind), n->kind == DOC_STRING ? "\"" : "",
		    doc_show(n->text, shown, sizeof(shown)),
		    n->kind == DOC_STRING ? "\"" : "",
		    n->looks_bool ? " (did you mean true or false?)" : "");
}

/*
 * What works with pymanager, though it can hardly be meant.  But a plain `no`
 * of YAML, of which that knew nothing, must not count as true.
 */
static int
is_tolerated(const struct key *k, const struct doc_node *n)
{
	if ((k->types & TYPE_TRUTH) && !n->looks_bool)
		return 1;
	if ((k->types & TYPE_NULL) && n->kind == DOC_NULL)
		return 1;
	return (k->types & TYPE_LETTER) && n->kind == DOC_STRING &&
	    n->size <= 1;
}

int
value_check(struct loader *l, const struct key *k, const struct doc_node *n)
{
	if (k->types & TYPE_ANY)
		return 0;
	if (n->looks_bool && (k->types & (TYPE_BOOL | TYPE_TRUTH))) {
		wrong_kind(l, k, n, config_error);
		return -1;
	}
	if (!kind_fits(k, n)) {
		if (is_tolerated(k, n)) {
			wrong_kind(l, k, n, config_warning);
			return 0;
		}
		wrong_kind(l, k, n, config_error);
		return -1;
	}
	if (n->kind == DOC_INTEGER && (k->types & TYPE_INTEGER) &&
	    (k->min != 0 || k->max != 0) &&
	    (n->value.integer < k->min || n->value.integer > k->max)) {
		config_error(l, n,
		    k->min < 0 ? "want a number %lld to %lld, got %lld" :
				 "want a number %lld-%lld, got %lld",
		    (long long)k->min, (long long)k->max,
		    (long long)n->value.integer);
		return -1;
	}
	if (n->kind == DOC_STRING && k->words != NULL && !in_words(l, k, n))
		return -1;
	return 0;
}

/* ---- strings -------------------------------------------------------- */

/* The text that ${…} becomes; grows in place. */
struct expansion {
	char *text;
	size_t len;
	size_t room;
};

static int
expand_put(struct loader *l, const struct doc_node *n, struct expansion *e,
    const char *text, size_t len)
{
	if (len >= e->room - e->len) {
		config_error(l, n, "too long with its ${…}");
		return -1;
	}
	memcpy(e->text + e->len, text, len);
	e->len += len;
	return 0;
}

/* The value of "${NAME}" or "${NAME:-default}" at s, which ends at end. */
static int
expand_one(struct loader *l, const struct doc_node *n, struct expansion *e,
    const char *s, const char *end)
{
	char name[256];
	char shown[48];
	const char *value;
	char *fallback;

	if (end == NULL || (size_t)(end - s - 2) >= sizeof(name)) {
		config_error(l, n, "\"${\" without its \"}\"");
		return -1;
	}
	(void)snprintf(name, sizeof(name), "%.*s", (int)(end - s - 2), s + 2);
	fallback = strstr(name, ":-");
	if (fallback != NULL) {
		*fallback = '\0';
		fallback += 2;
	}
	value = snapshot_getenv(l->snapshot, name);
	if (fallback != NULL && (value == NULL || value[0] == '\0'))
		value = fallback;
	if (value == NULL) {
		config_error(l, n, "${%s} is not in musterd's environment",
		    doc_show(name, shown, sizeof(shown)));
		return -1;
	}
	return expand_put(l, n, e, value, strlen(value));
}

/* ${NAME} and ${NAME:-default}; "$${" stands for "${". */
static const char *
expand(struct loader *l, const struct doc_node *n)
{
	static char buf[MAX_STRING];
	struct expansion e = {buf, 0, sizeof(buf)};
	const char *end;
	const char *from;
	const char *s;

	for (from = n->text; (s = strstr(from, "${")) != NULL; from = end + 1) {
		if (expand_put(l, n, &e, from, (size_t)(s - from)) == -1)
			return NULL;
		if (s > from && s[-1] == '$') {
			end = s + 1;
			if (expand_put(l, n, &e, "{", 1) == -1)
				return NULL;
			continue;
		}
		end = strchr(s, '}');
		if (expand_one(l, n, &e, s, end) == -1)
			return NULL;
	}
	if (expand_put(l, n, &e, from, strlen(from)) == -1 ||
	    config_is_full(l, n, e.len))
		return NULL;
	buf[e.len] = '\0';
	return config_strdup(l->config, buf);
}

const char *
value_string(struct loader *l, const struct doc_node *n)
{
	if (n->text == NULL || n->kind == DOC_NULL) {
		config_error(
		    l, n, "want a string, got %s", doc_kind_name(n->kind));
		return NULL;
	}
	if (l->expand && n->kind == DOC_STRING && strstr(n->text, "${") != NULL)
		return expand(l, n);
	if (n->size >= MAX_STRING) {
		config_error(l, n, "want a string of at most %lu bytes, got %u",
		    MAX_STRING - 1UL, n->size);
		return NULL;
	}
	if (config_is_full(l, n, n->size))
		return NULL;
	return config_strdup(l->config, n->text);
}

/* A string that must not be empty and is shorter than size. */
const char *
value_bounded(
    struct loader *l, const struct doc_node *n, const char *what, size_t size)
{
	size_t len;
	const char *s;

	s = value_string(l, n);
	if (s == NULL)
		return NULL;
	len = strlen(s);
	if (len > 0 && len < size)
		return s;
	if (len == 0)
		config_error(l, n, "want %s, got an empty string", what);
	else
		config_error(l, n, "want %s of at most %zu bytes, got %zu",
		    what, size - 1, len);
	return NULL;
}

static const char *
absolute(
    struct loader *l, const struct doc_node *n, const char *what, size_t size)
{
	size_t len;
	const char *s;

	s = value_bounded(l, n, what, size);
	if (s == NULL || s[0] == '/')
		return s;
	s = config_printf(l->config, "%s/%s", l->snapshot->directory, s);
	len = strlen(s);
	if (len < size)
		return s;
	config_error(l, n,
	    "want %s of at most %zu bytes, got %zu with musterd's directory",
	    what, size - 1, len);
	return NULL;
}

const char *
value_path(struct loader *l, const struct doc_node *n)
{
	return absolute(l, n, "a path", PATH_MAX);
}

const char *
value_socket_path(struct loader *l, const struct doc_node *n)
{
	return absolute(l, n, "the path of a socket",
	    sizeof(((struct sockaddr_un *)NULL)->sun_path));
}

void
value_strings(struct loader *l, const struct doc_node *n, struct strings *out)
{
	const struct doc_node *item;
	const char **list;
	const char *s;

	item = n->kind == DOC_ARRAY ? doc_first(n) : n;
	for (; item != NULL;
	     item = n->kind == DOC_ARRAY ? doc_next(item) : NULL) {
		s = value_string(l, item);
		if (s == NULL)
			continue;
		list = config_array(
		    l->config, out->list, out->count, sizeof(*list));
		list[out->count++] = s;
		out->list = list;
	}
}

/* ---- numbers with units --------------------------------------------- */

/* Splits "1.5ms" into number and unit; -1 if it is no such thing. */
static int
number_unit(const char *s, double *number, const char **unit)
{
	char digits[32];
	size_t i;

	i = strspn(s, "0123456789.");
	if (i == 0 || i >= sizeof(digits) || strcmp(s, ".") == 0)
		return -1;
	memcpy(digits, s, i);
	digits[i] = '\0';
	if (strchr(digits, '.') != NULL &&
	    strchr(strchr(digits, '.') + 1, '.') != NULL)
		return -1;
	*number = strtod(digits, NULL);
	for (s += i; *s == ' '; s++)
		;
	*unit = s;
	return 0;
}

/* What a string says, in seconds; -1: no duration. */
static int
duration_text(const char *text, double *seconds)
{
	static const struct {
		const char *unit;
		double seconds;
	} units[] = {{"", 1}, {"ms", 1e-3}, {"s", 1}, {"m", 60}, {"h", 3600},
	    {"us", 1e-6}, {"min", 60}, {"d", 86400}};
	const char *unit;
	size_t i;

	if (number_unit(text, seconds, &unit) == -1)
		return -1;
	for (i = 0; i < sizeof(units) / sizeof(*units); i++)
		if (strcmp(units[i].unit, unit) == 0) {
			*seconds *= units[i].seconds;
			return 0;
		}
	return -1;
}

int
value_duration(struct loader *l, const struct doc_node *n, uint64_t *out)
{
	char shown[48];
	const char *text;
	double seconds;

	text = n->text == NULL ? doc_kind_name(n->kind) : n->text;
	if (n->kind == DOC_INTEGER)
		seconds = (double)n->value.integer;
	else if (n->kind == DOC_REAL)
		seconds = n->value.real;
	else {
		if (n->kind == DOC_STRING && l->expand) {
			text = value_string(l, n);
			if (text == NULL)
				return -1;
		}
		if (n->kind != DOC_STRING ||
		    duration_text(text, &seconds) == -1) {
			config_error(l, n,
			    "want a duration (seconds, or \"500ms\" \"2s\" "
			    "\"5m\"), got \"%s\"",
			    doc_show(text, shown, sizeof(shown)));
			return -1;
		}
	}
	if (isfinite(seconds) && seconds >= 0 && seconds <= MAX_DURATION) {
		*out = (uint64_t)(seconds * 1e9 + 0.5);
		return 0;
	}
	config_error(l, n, "want a duration of 0 to 31 days, got %s",
	    doc_show(text, shown, sizeof(shown)));
	return -1;
}

int
value_truth(const struct doc_node *n)
{
	switch (n->kind) {
	case DOC_NULL:
		return 0;
	case DOC_BOOL:
		return n->value.boolean;
	case DOC_INTEGER:
		return n->value.integer != 0;
	case DOC_REAL:
		return n->value.real != 0.0;
	case DOC_STRING:
		return n->size > 0;
	case DOC_ARRAY:
	case DOC_OBJECT:
		break;
	}
	return doc_count(n) > 0;
}

int
text_python_int(const char *s, int64_t *out)
{
	char digits[24];
	const char *error;
	size_t n;

	n = 0;
	s += strspn(s, " \t\n\r\v\f");
	if (*s == '+' || *s == '-')
		digits[n++] = *s++;
	for (; *s != '\0' && strchr(" \t\n\r\v\f", *s) == NULL; s++) {
		/* Single ones, between digits. */
		if (*s == '_' && isdigit((unsigned char)s[-1]) &&
		    isdigit((unsigned char)s[1]))
			continue;
		if (!isdigit((unsigned char)*s) || n == sizeof(digits) - 1)
			return -1;
		digits[n++] = *s;
	}
	digits[n] = '\0';
	*out =
	    strtonum(digits + (digits[0] == '+'), INT64_MIN, INT64_MAX, &error);
	return error == NULL && s[strspn(s, " \t\n\r\v\f")] == '\0' ? 0 : -1;
}

int
value_python_int(const struct doc_node *n, int64_t *out)
{
	if (n->kind == DOC_BOOL)
		*out = n->value.boolean;
	else if (n->kind == DOC_INTEGER)
		*out = n->value.integer;
	else if (n->kind == DOC_STRING)
		return text_python_int(n->text, out);
	else if (n->kind != DOC_REAL || !isfinite(n->value.real))
		return -1;
	else if (fabs(n->value.real) < 9e18)
		*out = (int64_t)n->value.real;
	else
		*out = n->value.real > 0 ? INT64_MAX : INT64_MIN;
	return 0;
}

/* Decimal digits alone; -1 for anything else, and for more than max. */
static int
small_number(const char *s, int max)
{
	const char *error;
	int n;

	if (s[strspn(s, "0123456789")] != '\0')
		return -1;
	n = (int)strtonum(s, 0, max, &error);
	return error == NULL ? n : -1;
}

/* RTMIN+1 and RTMAX-1. */
static int
real_time_signal(const char *s)
{
	int n;

	n = -1;
	if (strcasecmp(s, "RTMIN") == 0 || strcasecmp(s, "RTMAX") == 0)
		n = 0;
	else if (strncasecmp(s, "RTMIN+", 6) == 0 ||
	    strncasecmp(s, "RTMAX-", 6) == 0)
		n = small_number(s + 6, SIGRTMAX - SIGRTMIN);
	if (n == -1)
		return 0;
	return strncasecmp(s, "RTMIN", 5) == 0 ? SIGRTMIN + n : SIGRTMAX - n;
}

/* 0: it is none. */
static int
signal_number(const char *s)
{
	const char *name;
	int i;

	if (isdigit((unsigned char)s[0])) {
		i = small_number(s, SIGRTMAX);
		return i > 0 ? i : 0;
	}
	if (strncasecmp(s, "SIG", 3) == 0)
		s += 3;
	for (i = 1; i < NSIG; i++) {
		name = sigabbrev_np(i);
		if (name != NULL && strcasecmp(name, s) == 0)
			return i;
	}
	return real_time_signal(s);
}

int
value_signal(struct loader *l, const struct doc_node *n, int *out)
{
	char shown[48];
	int number;

	if (n->kind != DOC_INTEGER && n->kind != DOC_STRING) {
		config_error(l, n, "want a signal, by name or number, got %s",
		    doc_kind_name(n->kind));
		return -1;
	}
	if (n->kind == DOC_STRING)
		number = signal_number(n->text);
	else if (n->value.integer >= 1 && n->value.integer <= SIGRTMAX)
		number = (int)n->value.integer;
	else
		number = 0;
	if (number == 0)
		config_error(l, n, "\"%s\" is no signal",
		    doc_show(n->text, shown, sizeof(shown)));
	else if (number > MAX_STANDARD_SIGNAL && number < SIGRTMIN)
		config_error(l, n,
		    "%d is no signal to use: the C library keeps it to itself",
		    number);
	else {
		*out = number;
		return 0;
	}
	return -1;
}

/* ---- setters -------------------------------------------------------- */

static void *
at(const struct key *k, void *target)
{
	return (char *)target + k->offset;
}

void
set_bool(struct loader *l, const struct key *k, void *target,
    const struct doc_node *n)
{
	(void)l;
	*(int *)at(k, target) = n->value.boolean;
}

void
set_truth(struct loader *l, const struct key *k, void *target,
    const struct doc_node *n)
{
	(void)l;
	*(int *)at(k, target) = value_truth(n);
}

void
set_uint(struct loader *l, const struct key *k, void *target,
    const struct doc_node *n)
{
	(void)l;
	*(unsigned int *)at(k, target) = (unsigned int)n->value.integer;
}

void
set_int(struct loader *l, const struct key *k, void *target,
    const struct doc_node *n)
{
	(void)l;
	*(int *)at(k, target) = (int)n->value.integer;
}

void
set_string(struct loader *l, const struct key *k, void *target,
    const struct doc_node *n)
{
	*(const char **)at(k, target) = value_string(l, n);
}

void
set_path(struct loader *l, const struct key *k, void *target,
    const struct doc_node *n)
{
	*(const char **)at(k, target) = value_path(l, n);
}

void
set_socket_path(struct loader *l, const struct key *k, void *target,
    const struct doc_node *n)
{
	*(const char **)at(k, target) = value_socket_path(l, n);
}

/* An empty name would mean musterd's own user: never by accident. */
void
set_name(struct loader *l, const struct key *k, void *target,
    const struct doc_node *n)
{
	*(const char **)at(k, target) =
	    value_bounded(l, n, "a name or a number", MAX_NAME + 1);
}

void
set_duration(struct loader *l, const struct key *k, void *target,
    const struct doc_node *n)
{
	(void)value_duration(l, n, at(k, target));
}

void
set_pause(struct loader *l, const struct key *k, void *target,
    const struct doc_node *n)
{
	uint64_t ns;

	if (value_duration(l, n, &ns) == -1)
		return;
	if (ns < MILLISECOND)
		config_error(l, n, "want a duration of at least 1 ms");
	else
		*(uint64_t *)at(k, target) = ns;
}

void
set_size(struct loader *l, const struct key *k, void *target,
    const struct doc_node *n)
{
	char shown[48];
	const char *text;
	const char *unit;
	double bytes;

	bytes = n->kind == DOC_INTEGER ? (double)n->value.integer : -1;
	text = n->text;
	if (n->kind == DOC_STRING && l->expand)
		text = value_string(l, n);
	if (text == NULL)
		return;
	if (n->kind == DOC_STRING && number_unit(text, &bytes, &unit) == 0) {
		if (strcasecmp(unit, "k") == 0 || strcasecmp(unit, "KiB") == 0)
			bytes *= 1024;
		else if (strcasecmp(unit, "m") == 0 ||
		    strcasecmp(unit, "MiB") == 0)
			bytes *= 1024 * 1024;
		else if (unit[0] != '\0')
			bytes = -1;
	}
	if (bytes < (double)k->min || bytes > (double)k->max) {
		config_error(l, n,
		    "want a size of %lld to %lld bytes (\"64k\"), got \"%s\"",
		    (long long)k->min, (long long)k->max,
		    doc_show(text, shown, sizeof(shown)));
		return;
	}
	*(uint64_t *)at(k, target) = (uint64_t)bytes;
}

void
set_strings(struct loader *l, const struct key *k, void *target,
    const struct doc_node *n)
{
	value_strings(l, n, at(k, target));
}

void
set_word(struct loader *l, const struct key *k, void *target,
    const struct doc_node *n)
{
	int i;

	(void)l;
	for (i = 0; k->words[i] != NULL; i++)
		if (strcmp(k->words[i], n->text) == 0)
			*(int *)at(k, target) = i;
}

void
set_group(struct loader *l, const struct key *k, void *target,
    const struct doc_node *n)
{
	config_group(l, k->group, target, n);
}

int
value_hex(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	c |= 0x20;
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}
