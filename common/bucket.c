#include <time.h>

#include "bucket.h"

#define NSEC 1000000000LL

int
bucket_take(struct bucket *b, unsigned int rate, unsigned int burst)
{
	struct timespec ts;
	int64_t now;

	if (clock_gettime(CLOCK_MONOTONIC, &ts) == -1)
		return 1;
	now = (int64_t)ts.tv_sec * NSEC + ts.tv_nsec;
	/* Compared before it is multiplied: a long silence fills it. */
	if (now - b->time > NSEC * burst / rate)
		b->used = 0;
	else
		b->used -= (now - b->time) * rate;
	if (b->used < 0)
		b->used = 0;
	b->time = now;
	if (b->used > NSEC * (burst - 1))
		return 0;
	b->used += NSEC;
	return 1;
}
