#ifndef MUSTER_HASH_H
#define MUSTER_HASH_H

#include <stddef.h>
#include <stdint.h>

/*
 * FNV-1a (http://www.isthe.com/chongo/tech/comp/fnv/): for tables and for
 * comparison with what was there before, not against somebody who chooses the
 * bytes; where that can be, start with a secret.
 */

#define HASH_START UINT64_C(0xcbf29ce484222325)

static inline uint64_t
hash_more(uint64_t h, const void *bytes, size_t len)
{
	const uint8_t *p = bytes;
	size_t i;

	for (i = 0; i < len; i++)
		h = (h ^ p[i]) * UINT64_C(0x100000001b3);
	return h;
}

/* As small as a table: the upper bits are the better ones. */
static inline uint32_t
hash_fold(uint64_t h)
{
	return (uint32_t)(h ^ h >> 32);
}

#endif
