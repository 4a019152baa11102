#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include <bsd/string.h>

#include "http.h"

/* What is made of a check's spec when it begins. */

static unsigned int nchecks;

void
http_check_unref(struct http_check *h)
{
	if (h == NULL || --h->references > 0)
		return;
	target_clear(&h->target);
	curl_slist_free_all(h->fields);
	curl_slist_free_all(h->foreign);
	free(h);
}

/* RFC 9110 §15.4: what must not be shown to another server. */
static int
is_secret(const char *field)
{
	return strncasecmp(field, "Authorization:", 14) == 0 ||
	    strncasecmp(field, "Cookie:", 7) == 0 ||
	    strncasecmp(field, "Proxy-Authorization:", 20) == 0 ||
	    strncasecmp(field, "Host:", 5) == 0;
}

/* libcurl takes "Name:" as "leave it out"; "Name;" is an empty field. */
static int
add_field(struct curl_slist **list, const char *field)
{
	struct curl_slist *grown;
	const char *value;
	char *copy;

	copy = strdup(field);
	if (copy == NULL)
		return -1;
	value = strchr(copy, ':');
	if (value != NULL && value[1 + strspn(value + 1, " \t")] == '\0')
		(void)strlcpy(copy + (value - copy), ";", 2);
	grown = curl_slist_append(*list, copy);
	free(copy);
	if (grown == NULL)
		return -1;
	*list = grown;
	return 0;
}

static int
make_fields(struct http_check *h, const struct check_spec *spec)
{
	struct curl_slist *grown;
	unsigned int i;

	/* Keeps libcurl from naming the type of content that is not there. */
	if (http_sends_body(spec->method)) {
		grown = curl_slist_append(NULL, "Content-Type:");
		if (grown == NULL)
			return -1;
		h->fields = grown;
	}
	for (i = 0; i < spec->nfields; i++) {
		if (add_field(&h->fields, spec->fields[i]) == -1)
			return -1;
		if (!is_secret(spec->fields[i]) &&
		    add_field(&h->foreign, spec->fields[i]) == -1)
			return -1;
	}
	return 0;
}

const char *
http_check_prepare(struct check *c)
{
	struct http_check *h;

	h = calloc(1, sizeof(*h));
	if (h == NULL)
		return "out of memory";
	h->references = 1;
	http_loop_expect(++nchecks);
	c->http = h;
	if (make_fields(h, &c->spec) == -1)
		return "out of memory";
	return target_parse(&h->target, c->spec.url);
}

void
http_check_forget(struct check *c)
{
	if (c->http == NULL)
		return;
	http_loop_expect(--nchecks);
	http_check_unref(c->http);
	c->http = NULL;
}
