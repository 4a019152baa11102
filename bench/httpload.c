/* libs: bsd tls */
/*
 * Asks an HTTP server for one path, again and again, over connections that
 * stay open.
 *
 *	httpload [-t] [-c CONNECTIONS] [-p PIPELINE] [-s SECONDS] PORT PATH
 *
 * Each connection has PIPELINE requests on their way (default 1: the next
 * one goes out when the answer to the last is whole).  Prints "requests N
 * errors N seconds N": answers with status 200, other answers and lost
 * connections, and for how long it has asked.  -t: with TLS, whoever answers.
 */
#include <sys/epoll.h>
#include <sys/socket.h>

#include <netinet/in.h>
#include <netinet/tcp.h>

#include <err.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <time.h>
#include <unistd.h>

#include <bsd/stdlib.h>
#include <bsd/string.h>

#include <tls.h>

#define BUFFER 65536
#define EVENTS 64
#define MAX_PIPELINE 64
#define SECOND 1000000000.0

struct connection {
	int fd;
	struct tls *tls;
	size_t len;
	char buf[BUFFER + 1];
};

static struct tls_config *config; /* NULL: no TLS */
static struct sockaddr_in server;
static char requests[MAX_PIPELINE * 512];
static size_t request_len; /* of one */
static uint64_t good;
static uint64_t bad;

static double
seconds_now(void)
{
	struct timespec ts;

	(void)clock_gettime(CLOCK_MONOTONIC, &ts);
	return (double)ts.tv_sec + (double)ts.tv_nsec / SECOND;
}

/* Puts n requests on their way. */
static void
ask(struct connection *c, unsigned int n)
{
	ssize_t sent;
	size_t len;

	len = n * request_len;
	if (len == 0)
		return;
	if (c->tls != NULL)
		sent = tls_write(c->tls, requests, len);
	else
		sent = send(c->fd, requests, len, MSG_NOSIGNAL);
	if (sent != (ssize_t)len)
		err(1, "send");
}

static void
secure(struct connection *c)
{
	c->tls = tls_client();
	if (c->tls == NULL || tls_configure(c->tls, config) == -1 ||
	    tls_connect_socket(c->tls, c->fd, "localhost") == -1 ||
	    tls_handshake(c->tls) == -1)
		errx(1, "TLS: %s", tls_error(c->tls));
	if (fcntl(c->fd, F_SETFL, O_NONBLOCK) == -1)
		err(1, "fcntl");
}

static void
open_connection(struct connection *c, int ep)
{
	struct epoll_event ev;
	int on = 1;

	c->len = 0;
	c->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (c->fd == -1 ||
	    connect(c->fd, (struct sockaddr *)&server, sizeof(server)) == -1)
		err(1, "connect");
	(void)setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	if (config != NULL)
		secure(c);
	memset(&ev, 0, sizeof(ev));
	ev.events = EPOLLIN;
	ev.data.ptr = c;
	if (epoll_ctl(ep, EPOLL_CTL_ADD, c->fd, &ev) == -1)
		err(1, "epoll_ctl");
}

/* The length of the answer that `text` begins with, 0 if it is not whole. */
static size_t
answer_length(const char *text, size_t len)
{
	static const char field[] = "\r\nContent-Length:";
	const char *end;
	const char *p;
	size_t body;
	size_t whole;

	end = memmem(text, len, "\r\n\r\n", 4);
	if (end == NULL)
		return 0;
	p = strcasestr(text, field);
	if (p == NULL || p > end)
		errx(1, "an answer without Content-Length");
	p += sizeof(field) - 1;
	body = 0;
	for (p += strspn(p, " "); *p >= '0' && *p <= '9' && body < BUFFER; p++)
		body = body * 10 + (size_t)(*p - '0');
	whole = (size_t)(end + 4 - text) + body;
	return whole <= len ? whole : 0;
}

/* Takes what has come; asks as often as an answer was whole. */
static void
take(struct connection *c, int ep)
{
	unsigned int answers;
	size_t used;
	size_t len;
	ssize_t n;

	if (c->tls != NULL)
		n = tls_read(c->tls, c->buf + c->len, BUFFER - c->len);
	else
		n = read(c->fd, c->buf + c->len, BUFFER - c->len);
	if (c->tls != NULL && n == TLS_WANT_POLLIN)
		return;
	if (n <= 0) {
		bad++;
		tls_free(c->tls);
		(void)close(c->fd);
		open_connection(c, ep);
		ask(c, 1);
		return;
	}
	c->len += (size_t)n;
	c->buf[c->len] = '\0';
	answers = 0;
	for (used = 0; (len = answer_length(c->buf + used, c->len - used)) != 0;
	     used += len) {
		answers++;
		if (strncmp(c->buf + used, "HTTP/1.1 200", 12) == 0)
			good++;
		else
			bad++;
	}
	c->len -= used;
	memmove(c->buf, c->buf + used, c->len);
	if (c->len == BUFFER)
		errx(1, "an answer longer than %d bytes", BUFFER);
	ask(c, answers);
}

static void
load(unsigned int connections, unsigned int pipeline, double seconds)
{
	struct epoll_event ev[EVENTS];
	struct connection *all;
	double start;
	double now;
	unsigned int i;
	int ep;
	int n;

	ep = epoll_create1(EPOLL_CLOEXEC);
	all = calloc(connections, sizeof(*all));
	if (ep == -1 || all == NULL)
		err(1, "connections");
	for (i = 0; i < connections; i++) {
		open_connection(&all[i], ep);
		ask(&all[i], pipeline);
	}
	start = now = seconds_now();
	while (now - start < seconds) {
		n = epoll_wait(ep, ev, EVENTS, 100);
		for (i = 0; (int)i < n; i++)
			take(ev[i].data.ptr, ep);
		now = seconds_now();
	}
	(void)printf("requests %llu errors %llu seconds %.4f\n",
	    (unsigned long long)good, (unsigned long long)bad, now - start);
	for (i = 0; i < connections; i++) {
		tls_free(all[i].tls);
		(void)close(all[i].fd);
	}
	(void)close(ep);
	free(all);
}

static unsigned int
number(const char *text, unsigned int max)
{
	const char *error;
	long long n;

	n = strtonum(text, 1, max, &error);
	if (error != NULL)
		errx(2, "%s: %s", text, error);
	return (unsigned int)n;
}

static void
want_tls(void)
{
	config = tls_config_new();
	if (config == NULL)
		errx(1, "TLS");
	tls_config_insecure_noverifycert(config);
	tls_config_insecure_noverifyname(config);
}

static void
make_requests(const char *path)
{
	int n;
	size_t i;

	n = snprintf(requests, sizeof(requests) / MAX_PIPELINE,
	    "GET %s HTTP/1.1\r\nHost: localhost\r\n\r\n", path);
	if (n < 0 || (size_t)n >= sizeof(requests) / MAX_PIPELINE)
		errx(2, "the path is too long");
	request_len = (size_t)n;
	for (i = 1; i < MAX_PIPELINE; i++)
		memcpy(requests + i * request_len, requests, request_len);
}

int
main(int argc, char **argv)
{
	unsigned int connections = 4;
	unsigned int pipeline = 1;
	unsigned int seconds = 3;
	int option;

	/* NOLINTNEXTLINE(concurrency-mt-unsafe) there are no threads */
	while ((option = getopt(argc, argv, "c:p:s:t")) != -1)
		switch (option) {
		case 'c':
			connections = number(optarg, 1024);
			break;
		case 'p':
			pipeline = number(optarg, MAX_PIPELINE);
			break;
		case 's':
			seconds = number(optarg, 3600);
			break;
		case 't':
			want_tls();
			break;
		default:
			optind = argc;
			break;
		}
	if (argc - optind != 2)
		errx(2,
		    "usage: httpload [-t] [-c connections] [-p pipeline] "
		    "[-s seconds] port path");
	server.sin_family = AF_INET;
	server.sin_port = htons((uint16_t)number(argv[optind], 65535));
	server.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	make_requests(argv[optind + 1]);
	load(connections, pipeline, seconds);
	return 0;
}
