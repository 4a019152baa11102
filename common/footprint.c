#include <sys/types.h>

#include <sys/mman.h>
#include <sys/time.h>

#include <link.h>
#include <malloc.h>
#include <stddef.h>
#include <stdint.h>
#include <time.h>
#include <unistd.h>

#include "footprint.h"

/* How long most starts take; and some take longer. */
#define SHORT_START 250 /* ms */
#define AGAIN 250 /* ms */
#define LAST 500 /* ms after one in which little happened */
#define MAX_TRIMS 24 /* it is no start any more */
#define BUSY 5 /* ms of the processor since the last look: it goes on */

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

/* Milliseconds of the processor, so far. */
static int64_t
used(void)
{
	struct timespec ts;

	if (clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &ts) == -1)
		return 0;
	return (int64_t)ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

static void trim_cb(evutil_socket_t, short, void *);

static void
trim_in(struct event_base *base, int ms)
{
	const struct timeval tv = {ms / 1000, ms % 1000 * 1000L};

	(void)event_base_once(base, -1, EV_TIMEOUT, trim_cb, base, &tv);
}

static void
trim_cb(evutil_socket_t fd, short events, void *arg)
{
	static int64_t before;
	static int trims;
	static int calm;
	int64_t now;

	(void)fd;
	(void)events;
	footprint_trim();
	now = used();
	if (trims++ > 0 && now - before <= BUSY)
		calm++;
	if (calm < 2 && trims < MAX_TRIMS)
		trim_in(arg, calm ? LAST : AGAIN);
	before = now;
}

void
footprint_trim_later(struct event_base *base)
{
	trim_in(base, SHORT_START);
}
