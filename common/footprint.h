#ifndef MUSTER_FOOTPRINT_H
#define MUSTER_FOOTPRINT_H

#include <event2/event.h>

/*
 * Gives back what only the start of this program needed: free memory of
 * malloc(3) at the end of the heap, and the mapped pages of code and constants
 * (they are clean, and come back from the page cache when they are needed).
 */
void footprint_trim(void);
/*
 * The same when the start is over, and whatever makes many messages: when none
 * has come for a moment, or seldom if that does not happen.  An idle program
 * is not woken.
 */
void footprint_trim_later(struct event_base *);

#endif
