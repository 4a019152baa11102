/* sources: common/imsg.c common/imsg_buffer.c common/wire.c */
/* libs: bsd */
/*
 * How many URL checks muster-verifier makes, and what they cost it, beside a
 * client that does nothing else (raw sockets, one request after the other
 * on a connection that stays open).
 *
 *	checks VERIFIER HTTPSINK [seconds]
 *
 * VERIFIER is the real program, sandbox and all; this one plays its parent
 * and its manager.  The CPU is the verifier's alone, from /proc.  A second
 * table says how long a URL that answers waits for that to be known while
 * others never answer.
 */
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>

#include <netinet/in.h>

#include <err.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <bsd/stdlib.h>
#include <bsd/string.h>

#include "../common/check.h"
#include "../common/imsg.h"
#include "../common/message.h"
#include "../common/wire.h"

#define COMPONENT_FD 3
#define SECOND 1000000000.0
#define MS 1000000ULL
#define EVENTS 256
#define DELAYS 25 /* URLs whose delay is taken, one after the other */

struct program {
	pid_t pid;
	struct imsgbuf parent;
	struct imsgbuf manager;
};

/* What a case is, and what it gave. */
struct measure {
	const char *name;
	uint64_t interval;
	unsigned int checks;
	unsigned int dead; /* more checks, of a server that never answers */
};

static double
clock_now(clockid_t clock)
{
	struct timespec ts;

	if (clock_gettime(clock, &ts) == -1)
		err(1, "clock_gettime");
	return (double)ts.tv_sec + (double)ts.tv_nsec / SECOND;
}

/* A number of a file of /proc: the one after `key`, or the first. */
static double
proc_number(pid_t pid, const char *file, const char *key)
{
	char line[256];
	char path[64];
	double value = 0;
	size_t len = strlen(key);
	FILE *f;

	(void)snprintf(path, sizeof(path), "/proc/%d/%s", (int)pid, file);
	f = fopen(path, "re");
	if (f == NULL)
		err(1, "%s", path);
	while (fgets(line, sizeof(line), f) != NULL)
		if (strncmp(line, key, len) == 0) {
			value = strtod(line + len, NULL);
			break;
		}
	(void)fclose(f);
	return value;
}

static double
cpu_of(pid_t pid)
{
	return proc_number(pid, "schedstat", "") / SECOND;
}

/* ---- programs ---------------------------------------------------------- */

static uint16_t
start_sink(const char *path, int silent, pid_t *pid)
{
	char text[16];
	int out[2];
	ssize_t n;

	if (pipe2(out, O_CLOEXEC) == -1)
		err(1, "pipe2");
	*pid = fork();
	if (*pid == -1)
		err(1, "fork");
	if (*pid == 0) {
		if (dup2(out[1], STDOUT_FILENO) == -1)
			_exit(127);
		(void)execl(path, path, silent ? "-s" : NULL, (char *)NULL);
		_exit(127);
	}
	(void)close(out[1]);
	n = read(out[0], text, sizeof(text) - 1);
	if (n <= 0)
		errx(1, "%s does not run", path);
	(void)close(out[0]);
	text[n] = '\0';
	text[strcspn(text, "\n")] = '\0';
	return (uint16_t)strtonum(text, 1, 65535, NULL);
}

static void
end_program(pid_t pid)
{
	(void)kill(pid, SIGKILL);
	(void)waitpid(pid, NULL, 0);
}

static void
send_all(struct imsgbuf *buf)
{
	if (imsgbuf_flush(buf) == -1)
		err(1, "imsgbuf_flush");
}

static void
make_pair(int pair[2])
{
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) == -1)
		err(1, "socketpair");
}

static void
init_buffer(struct imsgbuf *buf, int fd)
{
	if (imsgbuf_init(buf, fd) == -1)
		err(1, "imsgbuf_init");
	imsgbuf_allow_fdpass(buf);
}

static void
start_verifier(const char *path, struct program *p)
{
	struct wire w;
	int pair[2];

	make_pair(pair);
	p->pid = fork();
	if (p->pid == -1)
		err(1, "fork");
	if (p->pid == 0) {
		if (dup2(pair[1], COMPONENT_FD) == -1 ||
		    fcntl(COMPONENT_FD, F_SETFD, 0) == -1)
			_exit(127);
		(void)execl(path, path, "-i", "0", (char *)NULL);
		_exit(127);
	}
	(void)close(pair[1]);
	init_buffer(&p->parent, pair[0]);
	make_pair(pair);
	wire_init(&w);
	wire_put_u8(&w, ROLE_MANAGER);
	wire_put_u32(&w, 0);
	if (imsg_compose(&p->parent, IMSG_PEER, 0, 0, pair[1], w.data, w.len) ==
	    -1)
		err(1, "imsg_compose");
	wire_free(&w);
	send_all(&p->parent);
	init_buffer(&p->manager, pair[0]);
}

static void
end_verifier(struct program *p)
{
	end_program(p->pid);
	(void)close(p->parent.fd);
	(void)close(p->manager.fd);
	imsgbuf_clear(&p->parent);
	imsgbuf_clear(&p->manager);
}

/* ---- checks ------------------------------------------------------------ */

static void
start_check(struct program *p, uint32_t id, enum check_mode mode,
    const char *url, uint64_t interval)
{
	struct wire w;
	unsigned int i;

	wire_init(&w);
	wire_put_u8(&w, CHECK_HTTP);
	wire_put_u8(&w, (uint8_t)mode);
	wire_put_u8(&w, 0);
	wire_put_u8(&w, 0);
	wire_put_u64(&w, interval);
	wire_put_u64(&w, 5000 * MS);
	wire_put_u32(&w, NO_ENTRY);
	wire_put_str(&w, "");
	wire_put_u16(&w, 0);
	wire_put_str(&w, url);
	wire_put_str(&w, "");
	for (i = 0; i < 2; i++)
		wire_put_u32(&w, 0); /* fields, statuses */
	wire_put_str(&w, "");
	wire_put_u32(&w, 0);
	wire_put_u8(&w, 0);
	wire_put_u8(&w, 0);
	wire_put_bytes(&w, "", 0);
	if (imsg_compose(
		&p->manager, IMSG_CHECK_START, id, 0, -1, w.data, w.len) == -1)
		err(1, "imsg_compose");
	wire_free(&w);
	if (id % 64 == 0)
		send_all(&p->manager);
}

/* Counts what is reported until the time is over; -1 for none. */
static void
collect(struct program *p, double seconds, uint64_t *good, uint64_t *bad)
{
	struct pollfd pfd = {p->manager.fd, POLLIN, 0};
	struct wire_reader r;
	struct ibuf b;
	struct imsg imsg;
	double end;
	double left;

	*good = *bad = 0;
	end = clock_now(CLOCK_MONOTONIC) + seconds;
	while ((left = end - clock_now(CLOCK_MONOTONIC)) > 0) {
		if (poll(&pfd, 1, (int)(left * 1000) + 1) == -1)
			err(1, "poll");
		if (pfd.revents == 0)
			continue;
		if (imsgbuf_read(&p->manager) != 1)
			errx(1, "the verifier has gone");
		while (imsgbuf_get(&p->manager, &imsg) == 1) {
			if (imsg_get_type(&imsg) == IMSG_CHECK_ATTEMPT &&
			    imsg_get_ibuf(&imsg, &b) == 0) {
				wire_read(&r, ibuf_data(&b), ibuf_size(&b));
				(void)wire_get_u32(&r);
				if (wire_get_u8(&r))
					(*good)++;
				else
					(*bad)++;
			}
			imsg_free(&imsg);
		}
	}
}

static void
print_row(const char *name, uint64_t checks, double wall, double cpu,
    uint64_t bad, double switches, double pss)
{
	double us = checks == 0 ? 0 : cpu / (double)checks * 1e6;

	(void)printf("| %-34s | %7.0f | %6.1f | %6.1f | %7.0f | %5.0f | %6.0f "
		     "| %3llu |\n",
	    name, (double)checks / wall, us, cpu / wall * 100,
	    us == 0 ? 0 : 1e6 / us, switches / wall, pss,
	    (unsigned long long)bad);
	(void)fflush(stdout);
}

static void
measure(const struct measure *m, const char *verifier, uint16_t port,
    uint16_t dead_port, double seconds)
{
	struct program p;
	char url[64];
	double cpu;
	double switches;
	double wall;
	uint64_t bad;
	uint64_t good;
	unsigned int i;

	start_verifier(verifier, &p);
	for (i = 0; i < m->checks; i++) {
		(void)snprintf(url, sizeof(url), "http://127.0.%u.%u:%u/",
		    1 + i / 250, 1 + i % 250, port);
		start_check(&p, i + 1, CHECK_FOR_EVER, url, m->interval);
	}
	for (i = 0; i < m->dead; i++) {
		(void)snprintf(url, sizeof(url), "http://127.1.%u.%u:%u/",
		    1 + i / 250, 1 + i % 250, dead_port);
		start_check(&p, 100000 + i, CHECK_FOR_EVER, url, 1000 * MS);
	}
	send_all(&p.manager);
	/* Connections are made, and the first part of an interval is over. */
	collect(&p, 1.5, &good, &bad);
	cpu = cpu_of(p.pid);
	switches = proc_number(p.pid, "status", "voluntary_ctxt_switches:");
	wall = clock_now(CLOCK_MONOTONIC);
	collect(&p, seconds, &good, &bad);
	wall = clock_now(CLOCK_MONOTONIC) - wall;
	cpu = cpu_of(p.pid) - cpu;
	switches =
	    proc_number(p.pid, "status", "voluntary_ctxt_switches:") - switches;
	print_row(m->name, good, wall, cpu, bad, switches,
	    proc_number(p.pid, "smaps_rollup", "Pss:"));
	end_verifier(&p);
}

/* ---- raw --------------------------------------------------------------- */

static const char request[] =
    "GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nUser-Agent: raw\r\n"
    "Accept: */*\r\n\r\n";

static int
raw_connect(int ep, unsigned int i, uint16_t port)
{
	struct epoll_event ev;
	struct sockaddr_in sin;
	int fd;

	memset(&sin, 0, sizeof(sin));
	sin.sin_family = AF_INET;
	sin.sin_port = htons(port);
	sin.sin_addr.s_addr = htonl(0x7f000101 + (i / 250 << 8) + i % 250);
	fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd == -1 || connect(fd, (struct sockaddr *)&sin, sizeof(sin)) == -1)
		err(1, "connect");
	memset(&ev, 0, sizeof(ev));
	ev.events = EPOLLIN;
	ev.data.fd = fd;
	if (epoll_ctl(ep, EPOLL_CTL_ADD, fd, &ev) == -1)
		err(1, "epoll_ctl");
	return fd;
}

static void
raw(unsigned int connections, uint16_t port, double seconds)
{
	struct epoll_event ev[EVENTS];
	char buf[4096];
	char name[64];
	double cpu;
	double start;
	uint64_t count = 0;
	unsigned int i;
	int ep;
	int n;

	ep = epoll_create1(EPOLL_CLOEXEC);
	if (ep == -1)
		err(1, "epoll_create1");
	for (i = 0; i < connections; i++)
		if (write(raw_connect(ep, i, port), request,
			sizeof(request) - 1) == -1)
			err(1, "write");
	cpu = clock_now(CLOCK_PROCESS_CPUTIME_ID);
	start = clock_now(CLOCK_MONOTONIC);
	while (clock_now(CLOCK_MONOTONIC) - start < seconds) {
		n = epoll_wait(ep, ev, EVENTS, 100);
		for (i = 0; (int)i < n; i++) {
			if (read(ev[i].data.fd, buf, sizeof(buf)) <= 0 ||
			    write(ev[i].data.fd, request,
				sizeof(request) - 1) == -1)
				err(1, "connection");
			count++;
		}
	}
	(void)snprintf(
	    name, sizeof(name), "raw sockets, %u connections", connections);
	print_row(name, count, clock_now(CLOCK_MONOTONIC) - start,
	    clock_now(CLOCK_PROCESS_CPUTIME_ID) - cpu, 0, 0, 0);
	(void)close(ep);
}

/* ---- delay ------------------------------------------------------------- */

static int
compare(const void *a, const void *b)
{
	double x = *(const double *)a;
	double y = *(const double *)b;

	return x < y ? -1 : x > y;
}

/* Waits for the first answer to a check; what others say is dropped. */
static void
await(struct program *p, uint32_t id)
{
	struct imsg imsg;
	int found = 0;

	while (!found) {
		if (imsgbuf_read(&p->manager) != 1)
			errx(1, "the verifier has gone");
		while (imsgbuf_get(&p->manager, &imsg) == 1) {
			if (imsg_get_type(&imsg) == IMSG_CHECK_ATTEMPT &&
			    imsg_get_id(&imsg) == id)
				found = 1;
			imsg_free(&imsg);
		}
	}
}

static void
delay(const char *verifier, uint16_t port, uint16_t dead_port, unsigned int n)
{
	struct program p;
	double delays[DELAYS];
	char url[64];
	uint64_t bad;
	uint64_t good;
	unsigned int i;

	start_verifier(verifier, &p);
	for (i = 0; i < n; i++) {
		(void)snprintf(url, sizeof(url), "http://127.1.%u.%u:%u/",
		    1 + i / 250, 1 + i % 250, dead_port);
		start_check(&p, 1 + i, CHECK_FOR_EVER, url, 1000 * MS);
	}
	send_all(&p.manager);
	collect(&p, 1.5, &good, &bad);
	for (i = 0; i < DELAYS; i++) {
		(void)snprintf(
		    url, sizeof(url), "http://127.0.1.%u:%u/", 1 + i, port);
		delays[i] = clock_now(CLOCK_MONOTONIC);
		start_check(&p, 100000 + i, CHECK_UNTIL_PASSED, url, 1000 * MS);
		send_all(&p.manager);
		await(&p, 100000 + i);
		delays[i] = (clock_now(CLOCK_MONOTONIC) - delays[i]) * 1000;
	}
	qsort(delays, DELAYS, sizeof(delays[0]), compare);
	(void)printf("| beside %4u dead URLs               | %6.2f | %6.2f |\n",
	    n, delays[DELAYS / 2], delays[DELAYS - 1]);
	(void)fflush(stdout);
	end_verifier(&p);
}

static void
more_files(void)
{
	struct rlimit rl;

	if (getrlimit(RLIMIT_NOFILE, &rl) == -1)
		err(1, "getrlimit");
	rl.rlim_cur = rl.rlim_max;
	if (setrlimit(RLIMIT_NOFILE, &rl) == -1)
		err(1, "setrlimit");
}

int
main(int argc, char **argv)
{
	static const struct measure measures[] = {
	    {"flat out, 100 URLs", 1 * MS, 100, 0},
	    {"flat out, 1000 URLs", 1 * MS, 1000, 0},
	    {"1000 a second, 1000 URLs", 1000 * MS, 1000, 0},
	    {"the same beside 2000 dead URLs", 1000 * MS, 1000, 2000},
	    {"1000 URLs, none due", 86400000 * MS, 1000, 0},
	};
	const char *error;
	double seconds = 3;
	pid_t sinks[2];
	size_t i;
	uint16_t dead_port;
	uint16_t port;

	if (argc != 3 && argc != 4)
		errx(2, "usage: checks VERIFIER HTTPSINK [seconds]");
	if (argc == 4)
		seconds = (double)strtonum(argv[3], 1, 600, &error);
	if (argc == 4 && error != NULL)
		errx(2, "%s seconds is %s", argv[3], error);
	more_files();
	port = start_sink(argv[2], 0, &sinks[0]);
	dead_port = start_sink(argv[2], 1, &sinks[1]);
	(void)printf("| %-34s | checks/s | us each | %% CPU | per core | wakes "
		     "| PSS kB | bad |\n|---|---|---|---|---|---|---|---|\n",
	    "case");
	for (i = 0; i < sizeof(measures) / sizeof(measures[0]); i++)
		measure(&measures[i], argv[1], port, dead_port, seconds);
	raw(100, port, seconds);
	raw(1000, port, seconds);
	(void)printf("\n| %-34s | median | worst  |\n|---|---|---|\n",
	    "ms until one that answers is known");
	delay(argv[1], port, dead_port, 0);
	delay(argv[1], port, dead_port, 2000);
	end_program(sinks[0]);
	end_program(sinks[1]);
	return 0;
}
