/* sources: fuzz/fresh.c ctl/client.c ctl/follow.c ctl/http.c ctl/info.c
 * ctl/logs.c ctl/output.c ctl/patience.c ctl/process.c ctl/progress.c
 * ctl/restart.c ctl/say.c ctl/shutdown.c ctl/status.c ctl/table.c ctl/text.c
 * ctl/transport_plain.c ctl/wait.c ctl/words.c common/suggest.c */
/* libs: bsd jansson */
/* covers: ctl/http.c */
/*
 * What a musterd, or who has taken its place, may answer to musterctl: the
 * real verbs.  No byte of it may reach the terminal unescaped.  Time passes
 * when they wait.
 *
 * Input: u8 verb, u8 options, then answers of u16 length, bytes: each for one
 * connection, which ends behind it.
 */
#include <sys/socket.h>
#include <sys/syscall.h>

#include <errno.h>
#include <poll.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "../ctl/ctl.h"
#include "fresh.h"

#define OPT_JSON 1
#define OPT_NAME 2 /* "web" */
#define OPT_COLUMNS 4
#define OPT_FOLLOW 8
#define OPT_NO_WAIT 16
#define OPT_ALL 32
#define OPT_PLAIN 64 /* progress in lines */
#define OPT_ERRORS 128 /* logs of stderr */

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct options options;
struct endpoint endpoint;

static const uint8_t *answers;
static size_t answers_len;
static double virtual_time = 1000;
static int playing;

static void
check(int condition)
{
	if (!condition)
		abort();
}

/* ---- time and musterd ---------------------------------------------------- */

/* Of the fuzzer as well. */
int
clock_gettime(clockid_t clock, struct timespec *ts)
{
	if (!playing)
		return (int)syscall(SYS_clock_gettime, clock, ts);
	virtual_time += 0.001;
	ts->tv_sec = (time_t)virtual_time;
	ts->tv_nsec = (long)((virtual_time - (double)ts->tv_sec) * 1e9);
	return 0;
}

int
poll(struct pollfd *list, nfds_t n, int ms)
{
	struct timespec at_once = {0, 0};
	int ready;

	ready = n == 0 ? 0 : ppoll(list, n, &at_once, NULL);
	if (ready == 0)
		virtual_time += ms < 0 || ms > 1000 ? 1 : ms / 1000.0;
	return ready;
}

int
pid_open(pid_t pid)
{
	check(pid > 0);
	return -1;
}

int
locate(int loud)
{
	(void)loud;
	return CTL_OK;
}

const char *
endpoint_text(void)
{
	return "/run/muster.sock";
}

int
unreachable(int error, int loud)
{
	if (loud)
		complain("%s: %s", endpoint_text(), reason(error));
	return CTL_UNREACHABLE;
}

/* It has answered before it is asked. */
int
endpoint_connect(const struct endpoint *e)
{
	int fds[2];
	uint16_t len;

	check(e == &endpoint);
	errno = ECONNREFUSED;
	virtual_time += 0.01;
	if (answers_len < sizeof(len))
		return -1;
	memcpy(&len, answers, sizeof(len));
	answers += sizeof(len);
	answers_len -= sizeof(len);
	if (len > answers_len)
		len = (uint16_t)answers_len;
	check(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0,
		  fds) == 0);
	check(send(fds[1], answers, len, 0) == len);
	check(shutdown(fds[1], SHUT_WR) == 0);
	/* Left open, so that the question can be sent. */
	answers += len;
	answers_len -= len;
	return fds[0];
}

/* ---- what is shown ------------------------------------------------------- */

static void
look(const char *text, size_t len)
{
	size_t i;

	for (i = 0; i < len; i++)
		check((unsigned char)text[i] >= ' ' || text[i] == '\n' ||
		    text[i] == '\t');
}

static void
play(const uint8_t *data, size_t size)
{
	static int (*const verbs_of[])(int, char **) = {verb_status, verb_info,
	    verb_logs, verb_restart, verb_wait, verb_shutdown};
	static char web[] = "web";
	static char *words[] = {web, NULL};
	char *text[2];
	size_t len[2];

	memset(&options, 0, sizeof(options));
	options.color = COLOR_NEVER;
	options.timeout = 30;
	options.lines = LINES_DEFAULT;
	options.json = (data[1] & OPT_JSON) != 0;
	options.follow = (data[1] & OPT_FOLLOW) != 0;
	options.no_wait = (data[1] & OPT_NO_WAIT) != 0;
	options.all = (data[1] & OPT_ALL) != 0;
	options.only_stderr = (data[1] & OPT_ERRORS) != 0;
	options.progress =
	    data[1] & OPT_PLAIN ? PROGRESS_PLAIN : PROGRESS_QUIET;
	options.wait_for = data[0] / 8 % 4;
	options.has_for = data[0] / 32 % 2;
	terminal.columns = data[1] & OPT_COLUMNS ? 30 : 200;
	answers = data + 2;
	answers_len = size - 2;
	stdout = open_memstream(&text[0], &len[0]);
	stderr = open_memstream(&text[1], &len[1]);
	check(stdout != NULL && stderr != NULL);
	playing = 1;
	(void)verbs_of[data[0] % 8 % 6](
	    data[1] & OPT_NAME ? 1 : 0, data[1] & OPT_NAME ? words : words + 1);
	playing = 0;
	check(fclose(stdout) == 0 && fclose(stderr) == 0);
	look(text[0], len[0]);
	look(text[1], len[1]);
	free(text[0]);
	free(text[1]);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (size >= 2)
		fresh_run(play, data, size);
	return 0;
}
