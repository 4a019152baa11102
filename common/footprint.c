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
#define CALM 2 /* looks between which nothing has come: it is over */
#define BURST 40 /* trims without a pause: it is how things are, */
#define SELDOM 5 /* seconds: no need for haste */

static struct event *later;
static int trims; /* since it was calm */

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
trim_in_a_while(void)
{
	struct timeval tv = {0, LOOK * 1000L};

	if (later == NULL || evtimer_pending(later, NULL))
		return;
	if (trims++ >= BURST)
		tv = (struct timeval){SELDOM, 0};
	(void)event_add(later, &tv);
}

static void
trim_cb(evutil_socket_t fd, short events, void *arg)
{
	static unsigned int before;
	static int calm;
	unsigned int now;

	(void)fd;
	(void)events;
	(void)arg;
	footprint_trim();
	now = channel_received();
	calm = now == before ? calm + 1 : 0;
	if (calm < CALM)
		trim_in_a_while();
	else
		trims = calm = 0;
	before = now;
}

void
footprint_trim_later(struct event_base *base)
{
	later = event_new(base, -1, 0, trim_cb, NULL);
	channel_on_many(trim_in_a_while);
	trim_in_a_while();
}
