#include <sys/types.h>

#include <sys/mman.h>
#include <sys/time.h>

#include <link.h>
#include <malloc.h>
#include <stddef.h>
#include <stdint.h>
#include <unistd.h>

#include "channel.h"
#include "footprint.h"

#define LOOK 150 /* ms until the next look */
#define CALM 2 /* looks in a row before which nothing has come: it is over */
#define BURST 20 /* looks without that: it is how things are, */
#define SELDOM 5 /* seconds from a trim to the next then */

static struct event *later;
static int looks; /* since it was calm */

/*
 * Segments that cannot be written have no private page, which would be lost
 * (madvise(2), MADV_DONTNEED).
 */
static int
trim_object(struct dl_phdr_info *info, size_t size, void *arg)
{
	const ElfW(Phdr) * segment;
	uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE);
	uintptr_t begin;
	uintptr_t end;
	size_t i;

	(void)size;
	(void)arg;
	for (i = 0; i < info->dlpi_phnum; i++) {
		segment = &info->dlpi_phdr[i];
		if (segment->p_type != PT_LOAD || (segment->p_flags & PF_W))
			continue;
		begin = info->dlpi_addr + segment->p_vaddr;
		end = begin + segment->p_memsz;
		begin &= ~(page - 1);
		end = (end + page - 1) & ~(page - 1);
		(void)madvise((void *)begin, end - begin, MADV_DONTNEED);
	}
	return 0;
}

void
footprint_trim(void)
{
	(void)malloc_trim(0);
	(void)dl_iterate_phdr(trim_object, NULL);
}

static void
look_in_a_while(void)
{
	struct timeval tv = {0, LOOK * 1000L};

	if (later == NULL || evtimer_pending(later, NULL))
		return;
	if (looks >= BURST)
		tv = (struct timeval){SELDOM, 0};
	(void)event_add(later, &tv);
}

/* What is given back in the middle of the work is asked for again at once. */
static void
look_cb(evutil_socket_t fd, short events, void *arg)
{
	static unsigned int before;
	static int calm;
	unsigned int now;

	(void)fd;
	(void)events;
	(void)arg;
	now = channel_received();
	calm = now == before ? calm + 1 : 0;
	before = now;
	if (calm >= CALM) {
		footprint_trim();
		looks = calm = 0;
		return;
	}
	if (++looks >= BURST)
		footprint_trim();
	look_in_a_while();
}

void
footprint_trim_later(struct event_base *base)
{
	later = event_new(base, -1, 0, look_cb, NULL);
	channel_on_many(look_in_a_while);
	look_in_a_while();
}
