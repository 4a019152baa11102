#ifndef MUSTER_URL_H
#define MUSTER_URL_H

#include <stddef.h>

/*
 * A URL as it may be shown: its password (RFC 3986 §3.2.1) is "***".  What
 * does not fit is cut off.  Returns buf.
 */
const char *url_show(char *buf, size_t size, const char *url);

#endif
