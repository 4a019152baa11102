#include <sys/socket.h>
#include <sys/un.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include <bsd/stdlib.h>

#include "../common/check.h"
#include "config_table.h"

/* Where a verifier connects to: URLs, and HOST:PORT. */

#define MAX_HOST 254 /* bytes with NUL: RFC 1035 §2.3.4 */

/* "http+unix://%2Frun%2Fapp.sock/health": socket and path. */
static int
split_http_unix(struct loader *l, const char *url, struct verify_config *v)
{
	const char *s;
	char *path;
	size_t n;

	s = url + strlen("http+unix://");
	path = config_alloc(l->config, strlen(s) + 1);
	for (n = 0; *s != '\0' && *s != '/'; s++) {
		if (*s != '%') {
			path[n++] = *s;
			continue;
		}
		if (value_hex(s[1]) == -1 || value_hex(s[2]) == -1)
			return -1;
		path[n++] = (char)(value_hex(s[1]) * 16 + value_hex(s[2]));
		s += 2;
	}
	path[n] = '\0';
	if (path[0] != '/' || strlen(path) != n ||
	    n >= sizeof(((struct sockaddr_un *)NULL)->sun_path))
		return -1;
	v->unix_path = path;
	v->url = config_strdup(l->config, *s == '\0' ? "/" : s);
	return 0;
}

/* Host and port of a URL, from behind "://"; NULL, or what is wrong. */
static const char *
authority_problem(const char *s)
{
	const char *colon;
	const char *error;
	const char *host;
	char port[8];
	size_t len;

	len = strcspn(s, "/?#");
	host = memrchr(s, '@', len);
	host = host == NULL ? s : host + 1;
	len -= (size_t)(host - s);
	colon = memrchr(host, ':', len);
	/* The colons of an address in brackets begin no port. */
	if (colon != NULL && memchr(colon, ']', len - (size_t)(colon - host)))
		colon = NULL;
	if (len == 0 || colon == host)
		return "the URL has no host";
	if (colon == NULL)
		return NULL;
	len -= (size_t)(colon + 1 - host);
	(void)snprintf(port, sizeof(port), "%.*s", (int)len, colon + 1);
	(void)strtonum(port, 1, 65535, &error);
	return error == NULL && len < sizeof(port) ? NULL :
						     "the URL has a bad port";
}

int
verify_is_url_text(const char *s)
{
	if (strlen(s) >= MAX_URL)
		return 0;
	for (; *s != '\0'; s++)
		if ((unsigned char)*s <= ' ' || *s == 0x7f)
			return 0;
	return 1;
}

int
verify_check_url(struct loader *l, const struct doc_node *n, const char *url)
{
	const char *problem;

	if (strncasecmp(url, "http://", 7) != 0 &&
	    strncasecmp(url, "https://", 8) != 0)
		problem = "want a URL with http:// or https://";
	else if (!verify_is_url_text(url))
		problem = "the URL has blanks in it, or is too long";
	else
		problem = authority_problem(strstr(url, "://") + 3);
	if (problem == NULL)
		return 0;
	config_error(l, n, "%s", problem);
	return -1;
}

static int
no_replacement(struct loader *l, const struct doc_node *n, const char *s)
{
	if (strstr(s, "$(socket.") == NULL && strstr(s, "$(name)") == NULL &&
	    strstr(s, "$(instance)") == NULL)
		return 0;
	config_error(l, n,
	    "replacements are made in commands and environments only, in "
	    "this version");
	return -1;
}

void
verify_url(struct loader *l, struct verify_config *v, const struct doc_node *n)
{
	const char *url;

	v->kind = VERIFY_HTTP;
	url = value_string(l, n);
	if (url == NULL || no_replacement(l, n, url) == -1)
		return;
	if (strncmp(url, "http+unix://", 12) == 0) {
		if (!verify_is_url_text(url) ||
		    split_http_unix(l, url, v) == -1)
			config_error(
			    l, n, "want http+unix://%%2Fpath%%2Fto.sock/path");
	} else if (verify_check_url(l, n, url) == 0)
		v->url = url;
}

void
verify_tcp(struct loader *l, struct verify_config *v, const struct doc_node *n)
{
	const char *error;
	const char *text;
	char *port;
	char *s;

	v->kind = VERIFY_TCP;
	v->host = config_strdup(l->config, "127.0.0.1");
	if (n->kind == DOC_INTEGER) {
		v->port = (uint16_t)n->value.integer;
		return;
	}
	text = value_string(l, n);
	if (text == NULL || no_replacement(l, n, text) == -1)
		return;
	s = config_printf(l->config, "%s", text);
	port = strrchr(s, ':');
	if (port == NULL)
		port = s; /* a port alone */
	else
		*port++ = '\0';
	v->port = (uint16_t)strtonum(port, 1, 65535, &error);
	if (error != NULL || strlen(s) >= MAX_HOST ||
	    s[strcspn(s, " \t\r\n/")] != '\0') {
		config_error(l, n, "want HOST:PORT");
		return;
	}
	if (port == s || s[0] == '\0')
		return;
	if (s[0] == '[' && s[strlen(s) - 1] == ']') {
		s[strlen(s) - 1] = '\0';
		s++;
	}
	v->host = s;
}
