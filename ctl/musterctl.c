#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "ctl.h"

/* musterctl: tells musterd what to do, and shows what it says. */

/* What is opened must not become standard output. */
static void
open_descriptors(void)
{
	int fd;

	do {
		fd = open("/dev/null", O_RDWR | O_CLOEXEC);
		if (fd != -1 && fd <= STDERR_FILENO &&
		    fcntl(fd, F_SETFD, 0) == -1)
			break;
	} while (fd != -1 && fd <= STDERR_FILENO);
	if (fd > STDERR_FILENO)
		(void)close(fd);
}

/* The code, or another when not all could be written. */
static int
finish(int code)
{
	int error;

	error = output_error();
	if (error == 0)
		return code;
	if (error == EPIPE)
		return 128 + SIGPIPE;
	complain("standard output: %s", reason(error));
	return code == CTL_OK ? CTL_FAILED : code;
}

/* options_parse() moves them about. */
static char **
copy_words(int argc, char **argv)
{
	char **copy;

	copy = xreallocarray(NULL, (size_t)argc + 1, sizeof(*copy));
	memcpy(copy, argv, ((size_t)argc + 1) * sizeof(*copy));
	return copy;
}

int
main(int argc, char **argv)
{
	const struct verb *v;

	/* As head(1) ends what stands in front of it, whoever started us. */
	(void)signal(SIGPIPE, SIG_DFL);
	open_descriptors();
	text_locale();
	if (argc == 0)
		return CTL_USAGE;
	options.argv = copy_words(argc, argv);
	v = options_parse(&argc, &argv);
	terminal_init();
	if (argc == -1)
		return CTL_USAGE;
	if (options.version) {
		(void)printf("musterctl " MUSTER_VERSION "\n");
		return finish(CTL_OK);
	}
	if (options.help) {
		if (v == NULL)
			help_all(stdout);
		else
			help_verb(stdout, v);
		return finish(CTL_OK);
	}
	if (v == NULL) {
		help_all(stderr);
		return CTL_USAGE;
	}
	return finish(v->run(argc, argv));
}
