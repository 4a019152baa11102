#ifndef MUSTER_WORDS_H
#define MUSTER_WORDS_H

#include <stddef.h>
#include <stdint.h>

#include "../common/wire.h"

/*
 * Strings of which jobs have many in common (programs, directories, users),
 * packed one behind the other: a short one as it is, a long one as a
 * reference to a text that is there once.
 */

/*
 * Adds one, which holds its text until it is dropped; out->failed without
 * memory.
 */
void words_put(struct wire *out, const char *, size_t len);
/* The next one; it lives until it is dropped.  NULL: there is none. */
const char *words_next(struct wire_reader *, size_t *len);
/* Lets go of the texts of all that are packed there. */
void words_drop(const uint8_t *packed, size_t len);
/* Bytes of these texts, each as if nobody else had it. */
size_t words_cost(const uint8_t *packed, size_t len);
/* Texts that are there. */
size_t words_texts(void);

#endif
