/* libs: bsd */
#include <sys/wait.h>

#include <err.h>
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <bsd/stdlib.h>

/*
 * Makes as many orphans as its argument says, one after another as fast as
 * it can, each of which ends at once; says `done` and waits for a signal.
 */

static void
make_orphan(void)
{
	pid_t pid;
	int status;

	while ((pid = fork()) == -1 && errno == EAGAIN)
		(void)usleep(1000);
	if (pid == -1)
		err(1, "fork");
	if (pid == 0)
		_exit(fork() == -1 ? 1 : 0);
	if (waitpid(pid, &status, 0) == -1 || status != 0)
		errx(1, "no orphan was made");
}

int
main(int argc, char **argv)
{
	const char *error;
	long long n;

	error = "missing";
	n = argc < 2 ? 0 : strtonum(argv[1], 1, INT_MAX, &error);
	if (error != NULL)
		errx(2, "number of orphans: %s", error);
	for (; n > 0; n--)
		make_orphan();
	(void)puts("done");
	(void)fflush(stdout);
	(void)pause();
	return 0;
}
