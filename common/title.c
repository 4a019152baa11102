#include <stddef.h>
#include <string.h>
#include <unistd.h>

#include <bsd/unistd.h>

#include "title.h"

/* The last byte of the arguments, as the kernel knows them. */
static char *last;

void
title_init(int argc, char **argv)
{
	static char *nothing[1];

	if (argc > 0)
		last = argv[argc - 1] + strlen(argv[argc - 1]);
	setproctitle_init(argc, argv, environ);
	/* It copies them by clearenv(3), which leaves no list of none. */
	if (environ == NULL)
		environ = nothing;
}

/*
 * The leading '-' keeps setproctitle(3) from adding the program's name.
 * Linux shows the arguments up to their end, zeros and all, unless their last
 * byte is none (fs/proc/base.c, get_mm_cmdline): then it shows one string.
 * libbsd marks the end of the first argument alone.
 */
void
title_set(const char *title)
{
	setproctitle("-%s", title);
	if (last == NULL || *last != '\0')
		return;
	*last = last[-1] == '\0' ? '.' : ' ';
}
