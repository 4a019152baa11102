/*
 * Host and Origin: their syntax, and whether they are ours.
 */
#include <sys/socket.h>

#include <arpa/inet.h>
#include <netinet/in.h>

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "http1.h"

/* inet_pton(3) of text without a NUL; returns 0, or -1 if it is no address. */
static int
address_parse(int family, const char *s, size_t len, uint8_t *address)
{
	char text[INET6_ADDRSTRLEN];

	if (len >= sizeof(text) || memchr(s, '\0', len) != NULL)
		return -1;
	memcpy(text, s, len);
	text[len] = '\0';
	return inet_pton(family, text, address) == 1 ? 0 : -1;
}

/* A name or a dotted quad: host->name and host->len.  Returns 0 or -1. */
static int
name_parse(struct http_host *host)
{
	size_t i;
	size_t label;
	int number;

	if (host->len == 0 || host->len > HTTP_MAX_HOST)
		return -1;
	label = 0;
	number = 1;
	for (i = 0; i < host->len; i++) {
		if (host->name[i] == '.') {
			if (label == 0 || label > HTTP_MAX_LABEL)
				return -1;
			if (i + 1 == host->len)
				break;
			label = 0;
			number = 1;
			continue;
		}
		if (!http_is(host->name[i], HTTP_CLASS_HOST))
			return -1;
		if (!http_is(host->name[i], HTTP_CLASS_DIGIT))
			number = 0;
		label++;
	}
	if (label > HTTP_MAX_LABEL)
		return -1;
	if (!number)
		return 0;
	host->kind = HTTP_HOST_IPV4;
	return address_parse(AF_INET, host->name, host->len, host->address);
}

/* What follows the ':', which may be nothing.  Returns 0 or -1. */
static int
port_parse(const char *s, size_t len, uint16_t *port)
{
	unsigned int n;
	size_t i;

	if (len == 0)
		return 0;
	n = 0;
	for (i = 0; i < len; i++) {
		if (!http_is(s[i], HTTP_CLASS_DIGIT))
			return -1;
		n = n * 10 + (unsigned int)(s[i] - '0');
		if (n > UINT16_MAX)
			return -1;
	}
	if (n == 0)
		return -1;
	*port = (uint16_t)n;
	return 0;
}

int
http_host_parse(const char *text, size_t len, struct http_host *host)
{
	const char *end;
	const char *p;

	if (len == 0)
		return -1;
	end = text + len;
	host->port = 0;
	if (*text == '[') {
		p = memchr(text, ']', len);
		if (p == NULL)
			return -1;
		host->kind = HTTP_HOST_IPV6;
		host->name = text + 1;
		host->len = (size_t)(p - text) - 1;
		if (address_parse(
			AF_INET6, host->name, host->len, host->address) == -1)
			return -1;
		p++;
	} else {
		p = memchr(text, ':', len);
		if (p == NULL)
			p = end;
		host->kind = HTTP_HOST_NAME;
		host->name = text;
		host->len = (size_t)(p - text);
		if (name_parse(host) == -1)
			return -1;
	}
	if (p == end)
		return 0;
	if (*p != ':')
		return -1;
	p++;
	return port_parse(p, (size_t)(end - p), &host->port);
}

/* 1 if a and b are the same host, whatever their ports. */
static int
is_same_host(const struct http_host *a, const struct http_host *b)
{
	if (a->kind != b->kind)
		return 0;
	switch (a->kind) {
	case HTTP_HOST_IPV4:
		return memcmp(a->address, b->address, 4) == 0;
	case HTTP_HOST_IPV6:
		return memcmp(a->address, b->address, 16) == 0;
	default:
		return a->len == b->len && http_equal(a->name, b->name, a->len);
	}
}

static int
is_loopback(const struct http_host *host)
{
	size_t len;

	switch (host->kind) {
	case HTTP_HOST_IPV4:
		return host->address[0] == 127;
	case HTTP_HOST_IPV6:
		return memcmp(host->address, &in6addr_loopback, 16) == 0;
	default:
		len = host->len;
		if (host->name[len - 1] == '.')
			len--;
		if (len == 9)
			return http_equal(host->name, "localhost", 9);
		return len > 10 &&
		    http_equal(host->name + len - 10, ".localhost", 10);
	}
}

int
http_host_is_local(const char *text, size_t len, const char *const *allow)
{
	struct http_host host;
	struct http_host other;

	if (http_host_parse(text, len, &host) == -1)
		return 0;
	if (is_loopback(&host))
		return 1;
	for (; allow != NULL && *allow != NULL; allow++) {
		if (http_host_parse(*allow, strlen(*allow), &other) == 0 &&
		    is_same_host(&host, &other) &&
		    (other.port == 0 || other.port == host.port))
			return 1;
	}
	return 0;
}

/*
 * Takes a serialised origin apart, scheme "://" host [ ":" port ], with the
 * port filled in.  Sets *tls for https.  Returns 0, or -1 if it is none.
 */
static int
origin_parse(const char *s, size_t len, int *tls, struct http_host *host)
{
	size_t n;

	n = 7;
	*tls = 0;
	if (len >= 8 && http_equal(s, "https://", 8)) {
		n = 8;
		*tls = 1;
	} else if (len < 7 || !http_equal(s, "http://", 7))
		return -1;
	if (http_host_parse(s + n, len - n, host) == -1)
		return -1;
	if (host->port == 0)
		host->port = *tls ? 443 : 80;
	return 0;
}

int
http_origin_is_same(const char *origin, size_t origin_len, int tls,
    const char *host, size_t host_len, const char *const *allow)
{
	struct http_host a;
	struct http_host b;
	int a_tls;
	int b_tls;

	if (origin_parse(origin, origin_len, &a_tls, &a) == -1)
		return 0;
	if (http_host_parse(host, host_len, &b) == 0) {
		if (b.port == 0)
			b.port = tls ? 443 : 80;
		if (a_tls == (tls != 0) && a.port == b.port &&
		    is_same_host(&a, &b))
			return 1;
	}
	for (; allow != NULL && *allow != NULL; allow++) {
		if (origin_parse(*allow, strlen(*allow), &b_tls, &b) == 0 &&
		    a_tls == b_tls && a.port == b.port && is_same_host(&a, &b))
			return 1;
	}
	return 0;
}
