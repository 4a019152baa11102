#include <stdio.h>
#include <string.h>

#include "url.h"

/*
 * Behind the slashes of "http://" or "//"; NULL: there is no authority.
 * libcurl takes one slash or three for two.
 */
static const char *
authority(const char *url)
{
	const char *s;

	s = url + strcspn(url, ":/?#");
	if (*s == ':')
		s++;
	return *s == '/' ? s + strspn(s, "/") : NULL;
}

const char *
url_show(char *buf, size_t size, const char *url)
{
	const char *at;
	const char *colon;
	const char *s;

	s = authority(url);
	/* The last @: older programs let the password have one. */
	at = s == NULL ? NULL : memrchr(s, '@', strcspn(s, "/?#"));
	colon = at == NULL ? NULL : memchr(s, ':', (size_t)(at - s));
	if (colon == NULL)
		(void)snprintf(buf, size, "%s", url);
	else
		(void)snprintf(
		    buf, size, "%.*s:***%s", (int)(colon - url), url, at);
	return buf;
}
