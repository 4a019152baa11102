#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "ctl.h"

/* shutdown: DELETE /, and the wait until musterd has gone. */

#define LOOK 0.25 /* seconds between two looks at the socket */
#define PAUSE_MS 10
#define LAST_SECONDS 5 /* from the end of the socket to that of musterd */

/* Its pid, if that is a number of ours; an exit code, told. */
static int
get_pid(pid_t *pid)
{
	const json_t *v;
	json_t *json;
	int code;

	*pid = 0;
	json = get_object("/v1", 1, &code);
	if (json == NULL)
		return code;
	v = json_object_get(json, "pid");
	if (json_is_integer(v) && json_integer_value(v) > 0 &&
	    json_integer_value(v) <= INT32_MAX)
		*pid = (pid_t)json_integer_value(v);
	json_decref(json);
	return CTL_OK;
}

static int
ask(void)
{
	struct reply reply;
	int code;

	code = request(&reply, "DELETE", "/", ANSWER_SECONDS, 0);
	if (silent)
		return no_answer(1);
	if (code == CTL_UNREACHABLE)
		return CTL_OK; /* it may have been quick: we shall see */
	if (code != CTL_OK)
		return code == CTL_DENIED ? unreachable(EACCES, 1) :
					    strange_answer(1);
	if (reply.status == 403 &&
	    json_object_get(reply.json, "success") != NULL)
		note("it is shutting down already");
	else if (reply.status != 200)
		code = reply_refused(&reply);
	reply_free(&reply);
	return code;
}

/* Does nobody answer any more?  Looks for a moment. */
static int
socket_gone(double deadline)
{
	struct pollfd pfd;
	double left;

	pfd.fd = endpoint_connect(&endpoint);
	if (pfd.fd == -1)
		return errno == ECONNREFUSED || errno == ENOENT;
	left = deadline < 0 ? LOOK : deadline - monotonic();
	if (left > LOOK)
		left = LOOK;
	/* An end is what will come. */
	pfd.events = POLLIN;
	if (poll(&pfd, 1, left > 0 ? (int)(left * 1000) + 1 : 0) > 0)
		(void)poll(NULL, 0, PAUSE_MS);
	(void)close(pfd.fd);
	return 0;
}

/* 0, or -1: not in time. */
static int
wait_gone(int fd, double deadline)
{
	struct pollfd pfd;
	double last;

	while (!socket_gone(deadline))
		if (deadline >= 0 && monotonic() >= deadline)
			return -1;
	if (fd == -1)
		return 0;
	/* The last of it; a pid of another namespace never ends. */
	last = monotonic() + LAST_SECONDS;
	if (deadline >= 0 && deadline < last)
		last = deadline;
	pfd.fd = fd;
	pfd.events = POLLIN;
	while (poll(&pfd, 1, PAUSE_MS) == 0 && monotonic() < last)
		;
	return 0;
}

static int
tell(pid_t pid, int gone, double seconds)
{
	char buf[AGE_SIZE];

	if (options.json) {
		print_json(json_pack("{s:o, s:b}", "pid",
		    pid == 0 ? json_null() : json_integer(pid), "gone", gone));
		return CTL_OK;
	}
	if (gone)
		result("musterd: ended (%s)", elapsed(seconds, buf));
	else
		result("musterd: shutting down");
	return CTL_OK;
}

int
verb_shutdown(int argc, char **argv)
{
	double began;
	double deadline;
	pid_t pid;
	int code;
	int fd;

	(void)argc;
	(void)argv;
	began = monotonic();
	deadline = options.timeout < 0 ? -1 : began + options.timeout;
	give_up = deadline;
	code = locate(1);
	if (code == CTL_OK)
		code = get_pid(&pid);
	if (code != CTL_OK)
		return code;
	/* Before it ends: the number may then be another's. */
	fd = pid != 0 && endpoint.path[0] != '\0' ? pid_open(pid) : -1;
	code = ask();
	if (code == CTL_OK && options.no_wait)
		code = tell(pid, 0, 0);
	else if (code == CTL_OK && wait_gone(fd, deadline) == -1) {
		complain("musterd has not ended in time; it goes on with it");
		code = CTL_TIMEOUT;
	} else if (code == CTL_OK)
		code = tell(pid, 1, monotonic() - began);
	if (fd != -1)
		(void)close(fd);
	return code;
}
