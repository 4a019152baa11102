#include <stdlib.h>
#include <string.h>

#include "check_spec.h"

#define MAX_METHOD 32
#define MAX_HOST_TEXT 1024
#define MAX_CA (64UL * 1024)

static uint64_t
read_interval(struct wire_reader *r)
{
	uint64_t ns;

	ns = wire_get_u64(r);
	if (ns < MIN_INTERVAL)
		return MIN_INTERVAL;
	return ns > MAX_INTERVAL ? MAX_INTERVAL : ns;
}

/* Returns the list; the reader fails when memory is out. */
static char **
read_strings(struct wire_reader *r, unsigned int *count)
{
	char **list;
	uint32_t i;
	uint32_t n;

	*count = 0;
	n = wire_get_count(r, MAX_CHECK_FIELDS, sizeof(uint32_t));
	if (r->failed || n == 0)
		return NULL;
	list = calloc(n, sizeof(*list));
	if (list == NULL) {
		r->failed = 1;
		return NULL;
	}
	for (i = 0; i < n && !r->failed; i++) {
		list[i] = wire_get_strdup(r, MAX_URL);
		if (list[i] == NULL)
			r->failed = 1;
	}
	*count = n;
	return list;
}

static void
read_ranges(struct check_spec *spec, struct wire_reader *r)
{
	struct status_range *range;
	uint32_t i;
	uint32_t n;

	n = wire_get_count(r, MAX_CHECK_FIELDS, 2 * sizeof(uint16_t));
	if (r->failed || n == 0)
		return;
	spec->ranges = calloc(n, sizeof(*spec->ranges));
	if (spec->ranges == NULL) {
		r->failed = 1;
		return;
	}
	spec->nranges = n;
	for (i = 0; i < n; i++) {
		range = &spec->ranges[i];
		range->from = wire_get_u16(r);
		range->to = wire_get_u16(r);
		if (range->from < 100 || range->to > 999 ||
		    range->from > range->to)
			r->failed = 1;
	}
}

static void
read_ca(struct check_spec *spec, struct wire_reader *r)
{
	const void *bytes;

	bytes = wire_get_bytes(r, MAX_CA, &spec->ca_len);
	if (bytes == NULL || spec->ca_len == 0) {
		spec->ca_len = 0;
		return;
	}
	spec->ca = malloc(spec->ca_len);
	if (spec->ca == NULL)
		r->failed = 1;
	else
		(void)memcpy(spec->ca, bytes, spec->ca_len);
}

static void
read_method(struct check_spec *spec, struct wire_reader *r)
{
	spec->method = wire_get_strdup(r, MAX_METHOD);
	if (spec->method != NULL && spec->method[0] == '\0') {
		free(spec->method);
		spec->method = strdup("GET");
	}
}

int
check_spec_read(struct check_spec *spec, struct wire_reader *r)
{
	unsigned int kind;
	unsigned int mode;

	(void)memset(spec, 0, sizeof(*spec));
	kind = wire_get_u8(r);
	mode = wire_get_u8(r);
	if (kind < CHECK_HTTP || kind > CHECK_HTTP_UNIX ||
	    mode > CHECK_FOR_EVER)
		return -1;
	spec->kind = (enum check_kind)kind;
	spec->mode = (enum check_mode)mode;
	spec->verbose = wire_get_bool(r);
	spec->fixed = wire_get_bool(r);
	spec->interval = read_interval(r);
	spec->timeout = read_interval(r);
	spec->entry = wire_get_u32(r);
	spec->host = wire_get_strdup(r, MAX_HOST_TEXT);
	spec->port = wire_get_u16(r);
	spec->url = wire_get_strdup(r, MAX_URL);
	read_method(spec, r);
	spec->fields = read_strings(r, &spec->nfields);
	read_ranges(spec, r);
	spec->body = wire_get_strdup(r, (size_t)MAX_CHECK_BODY);
	spec->wanted = read_strings(r, &spec->nwanted);
	spec->redirects = wire_get_u8(r);
	spec->insecure = wire_get_bool(r);
	read_ca(spec, r);
	if (wire_end(r) == -1 || spec->host == NULL || spec->url == NULL ||
	    spec->method == NULL || spec->body == NULL) {
		check_spec_clear(spec);
		return -1;
	}
	return 0;
}

static void
free_strings(char **list, unsigned int count)
{
	unsigned int i;

	for (i = 0; i < count; i++)
		free(list[i]);
	free(list);
}

void
check_spec_clear(struct check_spec *spec)
{
	free(spec->host);
	free(spec->url);
	free(spec->method);
	free_strings(spec->fields, spec->nfields);
	free(spec->ranges);
	free(spec->body);
	free_strings(spec->wanted, spec->nwanted);
	free(spec->ca);
	(void)memset(spec, 0, sizeof(*spec));
}

/* RFC 9110 §5.6.2 */
static size_t
token_length(const char *s)
{
	return strspn(s,
	    "!#$%&'*+-.^_`|~0123456789"
	    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz");
}

/* RFC 9110 §5.5: a tab is the only control character of a value. */
static int
is_value(const char *s)
{
	for (; *s != '\0'; s++) {
		if ((unsigned char)*s < ' ' && *s != '\t')
			return 0;
		if (*s == 0x7f)
			return 0;
	}
	return 1;
}

static int
is_field(const char *line, int value_needed)
{
	size_t len;

	len = token_length(line);
	if (len == 0)
		return 0;
	if (line[len] == '\0')
		return !value_needed;
	return line[len] == ':' && is_value(line + len + 1);
}

const char *
check_spec_problem(const struct check_spec *spec)
{
	unsigned int i;

	if (spec->kind != CHECK_HTTP && spec->kind != CHECK_HTTP_UNIX)
		return NULL;
	if (token_length(spec->method) != strlen(spec->method))
		return "the request method is not a word";
	/* A tunnel has no answer that could be looked at. */
	if (strcmp(spec->method, "CONNECT") == 0)
		return "the request method CONNECT cannot be used";
	for (i = 0; i < spec->nfields; i++)
		if (!is_field(spec->fields[i], 1))
			return "a header field of the request cannot be used";
	for (i = 0; i < spec->nwanted; i++)
		if (!is_field(spec->wanted[i], 0))
			return "a header field to expect cannot be used";
	return NULL;
}
