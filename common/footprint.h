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
 * The same a moment after the start, and after whatever makes many messages:
 * again while there is much to do, since nobody knows how long it takes; an
 * idle program is not woken.
 */
void footprint_trim_later(struct event_base *);

#endif
