#ifndef MUSTER_PRINCIPAL_H
#define MUSTER_PRINCIPAL_H

#include <stddef.h>
#include <stdint.h>

#include "../common/feed.h"
#include "../common/wire.h"

/* Whom the operator has named: bearers of tokens, owners of certificates. */

struct principal {
	char *name;
	char **scope; /* "S" or "S.J", ends with NULL; empty: everything */
	uint8_t kind; /* enum principal_kind */
	uint8_t role; /* enum access_role */
	int64_t expires; /* seconds since 1970, 0 never */
	uint8_t hash[PRINCIPAL_HASH];
};

/* FEED_CONFIG: a new list begins; FEED_PRINCIPAL: 0 or -1. */
void principals_begin(void);
int principals_add(struct wire_reader *);
/* The snapshot is complete: the new list is the one. */
void principals_commit(void);
/* NULL: nobody. The comparison takes the same time whatever the hash is. */
const struct principal *principal_find(
    enum principal_kind, const uint8_t hash[PRINCIPAL_HASH]);
size_t principals_count(enum principal_kind);
/* May it see this job ("default.web")? */
int principal_covers(const struct principal *, const char *job, size_t len);

#endif
