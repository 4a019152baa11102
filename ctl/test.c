#include <stddef.h>

#include "ctl.h"

/* test: a command between the start and the end of everything. */

int
verb_test(int argc, char **argv)
{
	const char *arguments[5];
	size_t n;

	(void)argc;
	n = 0;
	if (options.quiet)
		arguments[n++] = "-q";
	if (options.file != NULL) {
		arguments[n++] = "-f";
		arguments[n++] = options.file;
	}
	arguments[n++] = "-x";
	arguments[n] = NULL;
	return run_musterd(arguments, argv);
}
