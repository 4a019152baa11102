#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "ctl.h"

/* validate, and how musterd is found: both belong to one installation. */

/* $MUSTERD, or ../sbin/musterd beside our own directory, or by PATH. */
static char *
find_musterd(void)
{
	static char self[PATH_MAX];
	const char *value;
	char *path;
	char *slash;
	ssize_t n;

	value = environment("MUSTERD");
	if (value != NULL && value[0] != '\0')
		return xstrdup(value);
	n = readlink("/proc/self/exe", self, sizeof(self) - 1);
	if (n > 0) {
		self[n] = '\0';
		slash = strrchr(self, '/');
		if (slash != NULL) {
			*slash = '\0';
			path = xasprintf("%s/../sbin/musterd", self);
			if (access(path, X_OK) == 0)
				return path;
			free(path);
		}
	}
	return xstrdup("musterd");
}

int
run_musterd(const char *const *arguments, char **command)
{
	char **argv;
	size_t i;
	size_t n;

	if (options.socket != NULL || options.url != NULL) {
		complain("-%c names a musterd that runs; this starts one "
			 "itself, of the file of -f",
		    options.socket != NULL ? 's' : 'H');
		return CTL_USAGE;
	}
	for (n = 0; arguments[n] != NULL; n++)
		;
	for (i = 0; command[i] != NULL; i++)
		;
	argv = xreallocarray(NULL, n + i + 3, sizeof(*argv));
	n = 0;
	argv[n++] = find_musterd();
	for (i = 0; arguments[i] != NULL; i++)
		argv[n++] = xstrdup(arguments[i]);
	if (command[0] != NULL)
		argv[n++] = xstrdup("--");
	for (i = 0; command[i] != NULL; i++)
		argv[n++] = xstrdup(command[i]);
	argv[n] = NULL;
	(void)fflush(stdout);
	(void)execvp(argv[0], argv);
	complain("%s: %s", argv[0], reason(errno));
	for (i = 0; i < n; i++)
		free(argv[i]);
	free(argv);
	return CTL_FAILED;
}

int
verb_validate(int argc, char **argv)
{
	const char *arguments[4];
	char *none[] = {NULL};
	size_t n;

	if (argc == 1)
		options.file = argv[0];
	n = 0;
	arguments[n++] = "-n";
	if (options.file != NULL) {
		arguments[n++] = "-f";
		arguments[n++] = options.file;
	}
	arguments[n] = NULL;
	return run_musterd(arguments, none);
}
