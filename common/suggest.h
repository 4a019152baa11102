#ifndef MUSTER_SUGGEST_H
#define MUSTER_SUGGEST_H

#include <stddef.h>

/*
 * "did you mean …": the one of n words that is nearest to a wrong one by the
 * Damerau-Levenshtein distance (restricted edit distance), at most 2 and at
 * most a third of the word; NULL if none is.  Capitals are small letters, and
 * "_" is "-".
 */
const char *suggest(const char *word, const char *const *words, size_t n);
/* Are two words the same but for that? */
int suggest_is_same(const char *, const char *);

#endif
