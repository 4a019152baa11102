#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "../common/message.h"
#include "../common/spec.h"

/*
 * The last step of a program whose environment comes from a file: a shell of
 * the job's user has sourced the file and executes
 *
 *	muster-exec [-e FILE] FD DIRECTORY PROGRAM [ARGUMENT …]
 *
 * which changes the directory and executes the program.  What fails is
 * reported to the parent on descriptor FD as a struct exec_report; if nothing
 * does, the descriptor closes with the exec.  -e: the shell could not read
 * the environment file.
 */

static int report_fd = -1;

static void report(enum stage stage, int error) __attribute__((noreturn));

static void
report(enum stage stage, int error)
{
	struct exec_report r;

	memset(&r, 0, sizeof(r));
	r.stage = (uint8_t)stage;
	r.error = error;
	if (report_fd != -1)
		(void)!write(report_fd, &r, sizeof(r));
	_exit(127);
}

/* A descriptor number in decimal digits, or -1. */
static int
number(const char *s)
{
	int n;

	n = 0;
	if (*s == '\0')
		return -1;
	for (; *s != '\0'; s++) {
		if (*s < '0' || *s > '9' || n > 100000)
			return -1;
		n = n * 10 + (*s - '0');
	}
	return n;
}

int
main(int argc, char **argv)
{
	char launch[PATH_MAX];
	char path[PATH_MAX];
	const char *unreadable;
	int error;

	unreadable = NULL;
	if (argc > 2 && strcmp(argv[1], "-e") == 0) {
		unreadable = argv[2];
		argv += 2;
		argc -= 2;
	}
	if (argc < 4 || (report_fd = number(argv[1])) == -1)
		return 127;
	(void)fcntl(report_fd, F_SETFD, FD_CLOEXEC);
	if (unreadable != NULL) {
		/* Ask again for the reason that the shell could not tell. */
		if (access(unreadable, R_OK) == 0)
			errno = EISDIR;
		report(STAGE_ENVIRONMENT_FILE, errno);
	}
	if (getcwd(launch, sizeof(launch)) == NULL)
		launch[0] = '\0';
	if (chdir(argv[2]) == -1)
		report(STAGE_CHDIR, errno);
	(void)execvp(argv[3], argv + 3);
	error = errno;
	/* A relative program is looked for where musterd was started, too. */
	if (error == ENOENT && launch[0] != '\0' && argv[3][0] != '/' &&
	    strchr(argv[3], '/') != NULL &&
	    snprintf(path, sizeof(path), "%s/%s", launch, argv[3]) <
		(int)sizeof(path)) {
		(void)execv(path, argv + 3);
		error = errno;
	}
	report(STAGE_EXEC, error);
}
