#include <ctype.h>
#include <errno.h>
#include <math.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <bsd/stdlib.h>

#include "config_table.h"
#include "snapshot.h"

/* Typed values: is a node what its key wants, and the plain setters. */

static int
kind_fits(const struct key *k, const struct doc_node *n)
{
	switch (n->kind) {
	case DOC_BOOL:
		return (k->types & TYPE_BOOL) != 0;
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
		break;
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
			n += (size_t)snprintf(buf + n, size - n, " %lld-%lld",
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
	best = suggest(n->text, k->words, count);
	config_error(l, n, "want one of %s, got \"%s\"%s%s%s", list,
	    doc_show(n->text, shown, sizeof(shown)),
	    best == NULL ? "" : " (did you mean \"", best == NULL ? "" : best,
	    best == NULL ? "" : "\"?)");
	return 0;
}

int
value_check(struct loader *l, const struct key *k, const struct doc_node *n)
{
	char want[256];
	char shown[48];

	if (k->types & (TYPE_ANY | TYPE_TRUTH))
		return 0;
	if (!kind_fits(k, n)) {
		if (n->text != NULL && n->kind != DOC_NULL)
			config_error(l, n, "%s, got %s %s%s%s%s",
			    wanted(k, want, sizeof(want)),
			    doc_kind_name(n->kind),
			    n->kind == DOC_STRING ? "\"" : "",
			    doc_show(n->text, shown, sizeof(shown)),
			    n->kind == DOC_STRING ? "\"" : "",
			    n->looks_bool ? " (did you mean true or false?)" :
					    "");
		else
			config_error(l, n, "%s, got %s",
			    wanted(k, want, sizeof(want)),
			    doc_kind_name(n->kind));
		return -1;
	}
	if (n->kind == DOC_INTEGER && (k->types & TYPE_INTEGER) &&
	    (k->min != 0 || k->max != 0) &&
	    (n->value.integer < k->min || n->value.integer > k->max)) {
		config_error(l, n, "want a number %lld-%lld, got %lld",
		    (long long)k->min, (long long)k->max,
		    (long long)n->value.integer);
		return -1;
	}
	if (n->kind == DOC_STRING && k->words != NULL && !in_words(l, k, n))
		return -1;
	return 0;
}

/* ---- strings -------------------------------------------------------- */

/* Appends to a growing string of the configuration. */
static char *
append(struct loader *l, char *to, const char *from, size_t len)
{
	return config_printf(
	    l->config, "%s%.*s", to == NULL ? "" : to, (int)len, from);
}

#define MAX_EXPAND 16384 /* bytes of a string with ${…} */

/* ${NAME} and ${NAME:-default}; "$${" stands for "${". */
static char *
expand(struct loader *l, const struct doc_node *n)
{
	char name[128];
	const char *end;
	const char *fallback;
	const char *from;
	const char *s;
	const char *value;
	char *to;

	to = NULL;
	from = n->text;
	if (n->size > MAX_EXPAND) {
		config_error(l, n, "too long for ${…}");
		return NULL;
	}
	while ((s = strstr(from, "${")) != NULL) {
		to = append(l, to, from, (size_t)(s - from));
		if (s > n->text && s[-1] == '$') {
			to = append(l, to, "{", 1);
			from = s + 2;
			continue;
		}
		end = strchr(s, '}');
		if (end == NULL || (size_t)(end - s - 2) >= sizeof(name)) {
			config_error(l, n, "\"${\" without its \"}\"");
			return NULL;
		}
		(void)snprintf(
		    name, sizeof(name), "%.*s", (int)(end - s - 2), s + 2);
		fallback = strstr(name, ":-");
		if (fallback != NULL) {
			name[fallback - name] = '\0';
			fallback += 2;
		}
		value = snapshot_getenv(l->snapshot, name);
		if (value == NULL || (value[0] == '\0' && fallback != NULL))
			value = fallback;
		if (value == NULL) {
			config_error(l, n,
			    "${%s} is not in musterd's environment", name);
			return NULL;
		}
		to = append(l, to, value, strlen(value));
		from = end + 1;
	}
	return append(l, to, from, strlen(from));
}

char *
value_string(struct loader *l, const struct doc_node *n)
{
	if (n->text == NULL) {
		config_error(
		    l, n, "want a string, got %s", doc_kind_name(n->kind));
		return NULL;
	}
	if (l->expand && n->kind == DOC_STRING)
		return expand(l, n);
	return config_strdup(l->config, n->text);
}

char *
value_path(struct loader *l, const struct doc_node *n)
{
	char *s;

	s = value_string(l, n);
	if (s == NULL)
		return NULL;
	if (s[0] == '\0') {
		config_error(l, n, "want a path, got an empty string");
		return NULL;
	}
	if (s[0] == '/')
		return s;
	return config_printf(l->config, "%s/%s", l->snapshot->directory, s);
}

void
value_strings(struct loader *l, const struct doc_node *n, struct strings *out)
{
	const struct doc_node *item;
	char **list;
	char *s;

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

int
value_duration(struct loader *l, const struct doc_node *n, uint64_t *out)
{
	static const struct {
		const char *unit;
		double seconds;
	} units[] = {{"", 1}, {"ms", 1e-3}, {"s", 1}, {"m", 60}, {"h", 3600},
	    {"us", 1e-6}, {"min", 60}, {"d", 86400}};
	char shown[48];
	const char *unit;
	double seconds;
	size_t i;

	if (n->kind == DOC_INTEGER)
		seconds = (double)n->value.integer;
	else if (n->kind == DOC_REAL)
		seconds = n->value.real;
	else {
		if (n->text == NULL ||
		    number_unit(n->text, &seconds, &unit) == -1)
			goto bad;
		for (i = 0; i < sizeof(units) / sizeof(*units); i++)
			if (strcmp(units[i].unit, unit) == 0)
				break;
		if (i == sizeof(units) / sizeof(*units))
			goto bad;
		seconds *= units[i].seconds;
	}
	if (!isfinite(seconds) || seconds < 0 || seconds > 31 * 86400.0) {
		config_error(l, n, "want a duration of 0 to 31 days, got %s",
		    n->text == NULL ? "?" :
				      doc_show(n->text, shown, sizeof(shown)));
		return -1;
	}
	*out = (uint64_t)(seconds * 1e9 + 0.5);
	return 0;

bad:
	config_error(l, n,
	    "want a duration (seconds, or \"500ms\" \"2s\" \"5m\"), got "
	    "\"%s\"",
	    n->text == NULL ? doc_kind_name(n->kind) :
			      doc_show(n->text, shown, sizeof(shown)));
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
value_signal(struct loader *l, const struct doc_node *n, int *out)
{
	char shown[48];
	const char *name;
	const char *s;
	int i;

	if (n->kind == DOC_INTEGER && n->value.integer >= 1 &&
	    n->value.integer <= 64) {
		*out = (int)n->value.integer;
		return 0;
	}
	s = n->text == NULL ? "" : n->text;
	if (strncasecmp(s, "SIG", 3) == 0)
		s += 3;
	for (i = 1; i < NSIG; i++) {
		name = sigabbrev_np(i);
		if (name != NULL && strcasecmp(name, s) == 0) {
			*out = i;
			return 0;
		}
	}
	config_error(l, n, "\"%s\" is no signal",
	    n->text == NULL ? doc_kind_name(n->kind) :
			      doc_show(n->text, shown, sizeof(shown)));
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
	if (n->kind != DOC_BOOL)
		config_warning(l, n, "want true or false, got %s%s",
		    doc_kind_name(n->kind),
		    n->looks_bool ? ": a word counts as true" : "");
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
	*(char **)at(k, target) = value_string(l, n);
}

void
set_path(struct loader *l, const struct key *k, void *target,
    const struct doc_node *n)
{
	*(char **)at(k, target) = value_path(l, n);
}

void
set_duration(struct loader *l, const struct key *k, void *target,
    const struct doc_node *n)
{
	(void)value_duration(l, n, at(k, target));
}

void
set_size(struct loader *l, const struct key *k, void *target,
    const struct doc_node *n)
{
	char shown[48];
	const char *unit;
	double bytes;

	bytes = n->kind == DOC_INTEGER ? (double)n->value.integer : -1;
	if (n->kind == DOC_STRING && number_unit(n->text, &bytes, &unit) == 0) {
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
		    n->text == NULL ? doc_kind_name(n->kind) :
				      doc_show(n->text, shown, sizeof(shown)));
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
