#include <sys/types.h>

#include <sys/mman.h>
#include <sys/time.h>

#include <link.h>
#include <malloc.h>
#include <stddef.h>
#include <stdint.h>
#include <unistd.h>

#include "footprint.h"

/* How long a start takes: most of them, and one of a thousand jobs. */
#define SHORT_START 250000 /* µs */
#define LONG_START 1 /* s */

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
trim_now(evutil_socket_t fd, short events, void *arg)
{
	(void)fd;
	(void)events;
	(void)arg;
	footprint_trim();
}

void
footprint_trim_later(struct event_base *base)
{
	const struct timeval first = {0, SHORT_START};
	const struct timeval second = {LONG_START, 0};

	(void)event_base_once(base, -1, EV_TIMEOUT, trim_now, NULL, &first);
	(void)event_base_once(base, -1, EV_TIMEOUT, trim_now, NULL, &second);
}
