#ifndef MUSTER_VERIFIER_TARGET_H
#define MUSTER_VERIFIER_TARGET_H

#include <stddef.h>
#include <stdint.h>

/*
 * Where a request goes.  The URL is as libcurl has understood it (its URL
 * API), so that what we resolve is what it will look up.
 */
struct target {
	char *url;
	char *host; /* without brackets */
	uint16_t port;
	int tls;
	int literal; /* host is an address: 4, 6; 0: a name */
};

/*
 * Takes a URL apart.  Returns NULL, or why it cannot be used (a constant);
 * the target is then empty.  http and https only; hosts are addresses
 * without a zone, or names of letters, digits, '-', '_' and '.'.
 */
const char *target_parse(struct target *, const char *url);
/*
 * The target of a Location field seen at `from`, which may be relative
 * (RFC 9110 §10.2.2).  As target_parse().  From https to http is followed,
 * as libcurl does by default.
 */
const char *target_follow(
    struct target *, const struct target *from, const char *location);
void target_clear(struct target *);
/*
 * May fields with secrets go to `to`, which a server at `from` has named?
 * Only where scheme, host and port are the same.
 */
int target_same_origin(const struct target *from, const struct target *to);
/* Is the request after this redirect a GET (RFC 9110 §15.4.2 to .4)? */
int target_becomes_get(unsigned int status, const char *method);

#endif
