#include <sys/stat.h>

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
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
 *	muster-exec FD DIRECTORY PROGRAM [ARGUMENT …]
 *
 * which changes the directory and executes the program.  What fails is
 * reported to the parent on descriptor FD as a struct exec_report; if nothing
 * does, the descriptor closes with the exec.
 *
 *	muster-exec -e FILE FD
 *
 * says that the shell came to its end before: it could not read the
 * environment file, or the file ended it.
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

/* Why the shell, which cannot tell the reason, got no further. */
static int
file_error(const char *path)
{
	struct stat st;

	if (access(path, R_OK) == -1 || stat(path, &st) == -1)
		return errno;
	return S_ISDIR(st.st_mode) ? EISDIR : ECANCELED;
}

/*
 * What the file changed for its shell is not for the program: signals are at
 * their defaults, as those of any other.
 */
static void
default_signals(void)
{
	struct sigaction sa;
	sigset_t none;
	int i;

	memset(&sa, 0, sizeof(sa));
	sa.sa_handler = SIG_DFL;
	for (i = 1; i < NSIG; i++)
		(void)sigaction(i, &sa, NULL);
	(void)sigemptyset(&none);
	/* NOLINTNEXTLINE(concurrency-mt-unsafe) there are no threads */
	(void)sigprocmask(SIG_SETMASK, &none, NULL);
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
	const char *file;
	int error;

	file = NULL;
	if (argc == 4 && strcmp(argv[1], "-e") == 0) {
		file = argv[2];
		argv += 2;
		argc -= 2;
	}
	if (argc < (file != NULL ? 2 : 4) ||
	    (report_fd = number(argv[1])) == -1)
		return 127;
	(void)fcntl(report_fd, F_SETFD, FD_CLOEXEC);
	if (file != NULL)
		report(STAGE_ENVIRONMENT_FILE, file_error(file));
	default_signals();
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
