/* libs: bsd tls */
/*
 * A server of HTTP for measurements: answers each request, whatever it is,
 * with the same few bytes, as fast as one thread can.
 *
 *	httpsink [-p PORT] [-s] [-t FILE]
 *
 * Listens on all addresses of the machine's loopback and beyond, prints its
 * port and runs until it is killed.  With -s it takes connections and never
 * answers; with -t it speaks TLS, with the certificate and key in FILE.
 */
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>

#include <netinet/in.h>
#include <netinet/tcp.h>

#include <err.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <bsd/stdlib.h>

#include <tls.h>

#define EVENTS 256
#define MAX_FD 4096 /* with TLS */

static const char answer[] =
    "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 3\r\n"
    "\r\nok\n";

static struct tls *server; /* NULL: no TLS */
static struct tls *connections[MAX_FD];

static void
secure(const char *file)
{
	struct tls_config *config;

	(void)signal(SIGPIPE, SIG_IGN);
	config = tls_config_new();
	server = tls_server();
	if (config == NULL || server == NULL)
		errx(1, "TLS");
	if (tls_config_set_keypair_file(config, file, file) == -1)
		errx(1, "%s: %s", file, tls_config_error(config));
	if (tls_configure(server, config) == -1)
		errx(1, "%s: %s", file, tls_error(server));
	tls_config_free(config);
}

static int
listen_on(uint16_t port)
{
	struct sockaddr_in sin;
	socklen_t len = sizeof(sin);
	int fd;
	int on = 1;

	fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd == -1)
		err(1, "socket");
	memset(&sin, 0, sizeof(sin));
	sin.sin_family = AF_INET;
	sin.sin_port = htons(port);
	if (setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) == -1 ||
	    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on)) == -1 ||
	    bind(fd, (struct sockaddr *)&sin, sizeof(sin)) == -1 ||
	    listen(fd, 4096) == -1 ||
	    getsockname(fd, (struct sockaddr *)&sin, &len) == -1)
		err(1, "port %u", port);
	if (printf("%u\n", ntohs(sin.sin_port)) < 0 || fflush(stdout) != 0)
		err(1, "standard output");
	return fd;
}

static void
watch(int ep, int fd)
{
	struct epoll_event ev;

	memset(&ev, 0, sizeof(ev));
	ev.events = EPOLLIN;
	ev.data.fd = fd;
	if (epoll_ctl(ep, EPOLL_CTL_ADD, fd, &ev) == -1)
		err(1, "epoll_ctl");
}

static void
accept_all(int ep, int listener)
{
	struct sockaddr_in peer;
	socklen_t len = sizeof(peer);
	int fd;

	while ((fd = accept4(listener, (struct sockaddr *)&peer, &len,
		    SOCK_CLOEXEC | SOCK_NONBLOCK)) != -1) {
		if (server != NULL &&
		    (fd >= MAX_FD ||
			tls_accept_socket(server, &connections[fd], fd) == -1))
			errx(1, "%s", tls_error(server));
		watch(ep, fd);
	}
}

static void
let_go(int fd)
{
	if (server != NULL) {
		tls_free(connections[fd]);
		connections[fd] = NULL;
	}
	(void)close(fd);
}

/* One read is one request: the clients that are measured send it so. */
static void
serve(int fd, int silent)
{
	char buf[16384];
	ssize_t n;

	if (server != NULL)
		n = tls_read(connections[fd], buf, sizeof(buf));
	else
		n = read(fd, buf, sizeof(buf));
	if (server != NULL && n == TLS_WANT_POLLIN)
		return;
	if (n <= 0) {
		let_go(fd);
		return;
	}
	if (silent)
		return;
	if (server != NULL)
		n = tls_write(connections[fd], answer, sizeof(answer) - 1);
	else
		n = send(fd, answer, sizeof(answer) - 1, MSG_NOSIGNAL);
	if (n < 0)
		let_go(fd);
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
	struct epoll_event ev[EVENTS];
	const char *error;
	uint16_t port = 0;
	int silent = 0;
	int option;
	int listener;
	int ep;
	int i;
	int n;

	/* NOLINTNEXTLINE(concurrency-mt-unsafe) there are no threads */
	while ((option = getopt(argc, argv, "p:st:")) != -1) {
		switch (option) {
		case 'p':
			port = (uint16_t)strtonum(optarg, 0, 65535, &error);
			if (error != NULL)
				errx(2, "port %s is %s", optarg, error);
			break;
		case 's':
			silent = 1;
			break;
		case 't':
			secure(optarg);
			break;
		default:
			errx(2, "usage: httpsink [-p port] [-s] [-t file]");
		}
	}
	more_files();
	listener = listen_on(port);
	ep = epoll_create1(EPOLL_CLOEXEC);
	if (ep == -1)
		err(1, "epoll_create1");
	watch(ep, listener);
	for (;;) {
		n = epoll_wait(ep, ev, EVENTS, -1);
		for (i = 0; i < n; i++) {
			if (ev[i].data.fd == listener)
				accept_all(ep, listener);
			else
				serve(ev[i].data.fd, silent);
		}
	}
}
