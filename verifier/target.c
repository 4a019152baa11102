#include <sys/socket.h>

#include <arpa/inet.h>

#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include <bsd/stdlib.h>

#include <curl/curl.h>

#include "../common/check.h"
#include "host_name.h"
#include "target.h"

void
target_clear(struct target *t)
{
	free(t->url);
	free(t->host);
	(void)memset(t, 0, sizeof(*t));
}

/* A part of the URL as a fresh string that free(3) takes, or NULL. */
static char *
part(CURLU *u, CURLUPart what, unsigned int flags)
{
	char *copy;
	char *text;

	if (curl_url_get(u, what, &text, flags) != CURLUE_OK)
		return NULL;
	copy = strdup(text);
	curl_free(text);
	return copy;
}

static const char *
take_scheme(struct target *t, CURLU *u)
{
	const char *why = NULL;
	char *scheme;

	scheme = part(u, CURLUPART_SCHEME, 0);
	if (scheme == NULL)
		return "URL without a scheme";
	if (strcasecmp(scheme, "https") == 0)
		t->tls = 1;
	else if (strcasecmp(scheme, "http") != 0)
		why = "URL is neither http nor https";
	free(scheme);
	return why;
}

static int
has_zone(const char *host, CURLU *u)
{
	char *zone;

	if (strchr(host, '%') != NULL)
		return 1;
	zone = part(u, CURLUPART_ZONEID, 0);
	free(zone);
	return zone != NULL;
}

/* Takes the brackets off an IPv6 address, in place. */
static void
strip_brackets(char *host)
{
	size_t len;

	len = strlen(host);
	if (len < 2 || host[0] != '[' || host[len - 1] != ']')
		return;
	(void)memmove(host, host + 1, len - 2);
	host[len - 2] = '\0';
}

static int
is_ascii(const char *s)
{
	for (; *s != '\0'; s++)
		if ((unsigned char)*s >= 0x80)
			return 0;
	return 1;
}

static const char *
take_host(struct target *t, CURLU *u)
{
	unsigned char address[16];

	t->host = part(u, CURLUPART_HOST, 0);
	if (t->host == NULL || t->host[0] == '\0')
		return "URL without a host";
	strip_brackets(t->host);
	/* libcurl would need calls for it that the sandbox refuses. */
	if (has_zone(t->host, u))
		return "URL with an address zone";
	if (inet_pton(AF_INET, t->host, address) == 1)
		t->literal = 4;
	else if (inet_pton(AF_INET6, t->host, address) == 1)
		t->literal = 6;
	else if (!host_name_ok(t->host))
		return is_ascii(t->host) ?
		    "URL with a bad host name" :
		    "URL with a host name that is not ASCII (write xn--...)";
	return NULL;
}

static const char *
take_port(struct target *t, CURLU *u)
{
	const char *error;
	char *port;

	port = part(u, CURLUPART_PORT, CURLU_DEFAULT_PORT);
	if (port == NULL)
		return "URL without a port";
	t->port = (uint16_t)strtonum(port, 1, UINT16_MAX, &error);
	free(port);
	return error == NULL ? NULL : "URL with a bad port";
}

/* Fills in the target from a parsed URL. */
static const char *
take_parts(struct target *t, CURLU *u)
{
	const char *why;

	/* It is not sent, and makes two URLs of one (RFC 9110 §7.1). */
	(void)curl_url_set(u, CURLUPART_FRAGMENT, NULL, 0);
	why = take_scheme(t, u);
	if (why == NULL)
		why = take_host(t, u);
	if (why == NULL)
		why = take_port(t, u);
	if (why != NULL)
		return why;
	t->url = part(u, CURLUPART_URL, 0);
	return t->url == NULL ? "out of memory" : NULL;
}

/* The URL, relative to `base` if that is not NULL. */
static const char *
parse(struct target *t, const char *base, const char *url, unsigned int flags)
{
	const char *why;
	CURLU *u;

	(void)memset(t, 0, sizeof(*t));
	if (strlen(url) > MAX_URL)
		return "URL is too long";
	u = curl_url();
	if (u == NULL)
		return "out of memory";
	if (base != NULL)
		(void)curl_url_set(u, CURLUPART_URL, base, 0);
	/* Schemes are judged by take_scheme(), with a better word. */
	if (curl_url_set(u, CURLUPART_URL, url,
		flags | CURLU_NON_SUPPORT_SCHEME) != CURLUE_OK)
		why = "malformed URL";
	else
		why = take_parts(t, u);
	curl_url_cleanup(u);
	if (why != NULL)
		target_clear(t);
	return why;
}

const char *
target_parse(struct target *t, const char *url)
{
	return parse(t, NULL, url, 0);
}

const char *
target_follow(struct target *t, const struct target *from, const char *location)
{
	/* RFC 3986 §4.4: the same document, which libcurl takes for "/". */
	if (location[0] == '\0' || location[0] == '#')
		return parse(t, NULL, from->url, 0);
	/* Blanks in it are a common mistake that libcurl forgives as well. */
	return parse(t, from->url, location, CURLU_URLENCODE);
}

int
target_same_origin(const struct target *from, const struct target *to)
{
	return from->tls == to->tls && from->port == to->port &&
	    strcasecmp(from->host, to->host) == 0;
}

int
target_becomes_get(unsigned int status, const char *method)
{
	if (strcmp(method, "HEAD") == 0)
		return 0;
	if (status == 303)
		return 1;
	return (status == 301 || status == 302) && strcmp(method, "POST") == 0;
}
