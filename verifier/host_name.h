#ifndef MUSTER_VERIFIER_HOST_NAME_H
#define MUSTER_VERIFIER_HOST_NAME_H

#include <string.h>

#define MAX_HOST_NAME 253 /* RFC 1035 §2.3.4, without a dot at the end */

/*
 * Is it a name that resolver and libcurl can be asked for: letters, digits,
 * '-', '_' and '.', in ASCII?  An address in dots is one as well.  Here for
 * both programs.
 */
static inline int
host_name_ok(const char *s)
{
	size_t len;

	len = strspn(s,
	    "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
	    "-_.");
	if (s[len] != '\0' || len == 0 || s[0] == '.' || s[0] == '-')
		return 0;
	return len <= MAX_HOST_NAME ||
	    (len == MAX_HOST_NAME + 1 && s[len - 1] == '.');
}

#endif
