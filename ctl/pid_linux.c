#include <sys/pidfd.h>

#include "ctl.h"

int
pid_open(pid_t pid)
{
	return pidfd_open(pid, 0);
}
