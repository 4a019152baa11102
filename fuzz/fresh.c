#include <sys/types.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "fresh.h"

/*
 * The counters of -fsanitize=fuzzer-no-link; without it there are none.  The
 * compiler declares the same names in each file that has something to count.
 */
extern uint8_t __start___sancov_cntrs[]
    __attribute__((weak, visibility("hidden")));
extern uint8_t __stop___sancov_cntrs[]
    __attribute__((weak, visibility("hidden")));
int __lsan_do_recoverable_leak_check(void) __attribute__((weak));
/* Of gcc --coverage: what has been reached is written by exit(3) otherwise. */
void __gcov_dump(void) __attribute__((weak));

#ifdef __clang__
#define NOT_COUNTED __attribute__((no_sanitize("coverage")))
#else
#define NOT_COUNTED
#endif

NOT_COUNTED static size_t
counters(void)
{
	return (uintptr_t)__stop___sancov_cntrs -
	    (uintptr_t)__start___sancov_cntrs;
}

/* It takes longer than the input: a fuzzer looks for them now and then. */
#define LEAKS_EVERY 32

/* What both processes see, or NULL. */
NOT_COUNTED static uint8_t *
shared(void)
{
	static uint8_t *map;

	if (map != NULL || counters() == 0)
		return map;
	map = mmap(NULL, counters(), PROT_READ | PROT_WRITE,
	    MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (map == MAP_FAILED)
		abort();
	return map;
}

NOT_COUNTED static int
leaks(void)
{
	return __lsan_do_recoverable_leak_check != NULL &&
	    __lsan_do_recoverable_leak_check() != 0;
}

NOT_COUNTED void
fresh_run(
    void (*play)(const uint8_t *, size_t), const uint8_t *data, size_t size)
{
	static unsigned int inputs;
	uint8_t *seen;
	pid_t pid;
	int status;
	int look;

	seen = shared();
	look = counters() == 0 || inputs++ % LEAKS_EVERY == 0;
	if ((pid = fork()) == -1)
		abort();
	if (pid == 0) {
		(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
		play(data, size);
		if (look && leaks())
			abort();
		if (seen != NULL)
			memcpy(seen, __start___sancov_cntrs, counters());
		if (__gcov_dump != NULL)
			__gcov_dump();
		_exit(0);
	}
	while (waitpid(pid, &status, 0) == -1)
		if (errno != EINTR)
			abort();
	if (status != 0)
		abort();
	if (seen != NULL)
		memcpy(__start___sancov_cntrs, seen, counters());
}
