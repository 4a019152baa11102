#ifndef MUSTER_BUCKET_H
#define MUSTER_BUCKET_H

#include <stdint.h>

/* A limit of rate; all zeros is one that is full. */
struct bucket {
	int64_t used; /* tokens times a second in nanoseconds */
	int64_t time; /* CLOCK_MONOTONIC, ns, of that */
};

/* Takes one of `burst`, of which so many come back in a second: 1, or 0 if
 * there is none. */
int bucket_take(struct bucket *, unsigned int rate, unsigned int burst);

#endif
