#include <sys/types.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include <grp.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "fixture.h"

#include "log.h"

char empty[] = "/tmp/muster-sandbox-XXXXXX";
int as_root;

int
fixture_setup(void)
{
	as_root = geteuid() == 0 ? 1 : 0;
	if (mkdtemp(empty) == NULL)
		return -1;
	return chmod(empty, 0755);
}

int
fixture_teardown(void)
{
	return rmdir(empty);
}

const char *
role_name(int role)
{
	static const char *const names[] = {
	    [SANDBOX_MANAGER] = "manager",
	    [SANDBOX_VERIFIER] = "verifier",
	    [SANDBOX_RESOLVER] = "resolver",
	    [SANDBOX_RELAY] = "relay",
	    [SANDBOX_HTTPD] = "httpd",
	};

	return names[role];
}

void
enter(int role, int drop, int trap)
{
	struct sandbox_options options;

	memset(&options, 0, sizeof(options));
	options.role = (enum sandbox_role)role;
	options.trap = trap;
	options.drop = drop;
	options.uid = NOBODY;
	options.gid = NOBODY;
	options.root = empty;
	log_init("sandbox", LOG_LEVEL_DEBUG, NULL);
	if (as_root && !drop &&
	    (setgroups(0, NULL) == -1 ||
		setresgid(NOBODY, NOBODY, NOBODY) == -1 ||
		setresuid(NOBODY, NOBODY, NOBODY) == -1))
		_exit(250);
	/* The change of user has switched it off already. */
	if (!drop && prctl(PR_SET_DUMPABLE, 1, 0, 0, 0) == -1)
		_exit(251);
	sandbox_enter(&options);
}

int
outcome(pid_t pid)
{
	int status;

	assert_int_equal(waitpid(pid, &status, 0), pid);
	if (!WIFSIGNALED(status))
		return WEXITSTATUS(status);
	return WTERMSIG(status) == SIGSYS ? KILLED : 1000 + WTERMSIG(status);
}
