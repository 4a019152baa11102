/* libs: bsd */
/*
 * The least that somebody does who writes the output of others to files:
 * read(2) and write(2).
 *
 *	copy FD FILE [FD FILE ...]
 *
 * Each FD is the reading end of a pipe.  Runs until all have ended.
 */
#include <sys/epoll.h>

#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include <bsd/stdlib.h>

#define BUFFER 262144 /* bytes; of the pipes, too */
#define EVENTS 64

struct copy {
	int from;
	int to;
};

static char buffer[BUFFER];
static struct copy *all;

static void
begin(struct copy *c, const char *fd, const char *file, int ep)
{
	struct epoll_event ev = {.events = EPOLLIN};
	const char *error;

	c->from = (int)strtonum(fd, 0, 65535, &error);
	if (error != NULL)
		errx(2, "%s: %s", fd, error);
	c->to = open(
	    file, O_WRONLY | O_CREAT | O_TRUNC | O_APPEND | O_CLOEXEC, 0644);
	if (c->to == -1)
		err(1, "%s", file);
	(void)fcntl(c->from, F_SETPIPE_SZ, BUFFER);
	ev.data.ptr = c;
	if (fcntl(c->from, F_SETFL, O_NONBLOCK) == -1 ||
	    epoll_ctl(ep, EPOLL_CTL_ADD, c->from, &ev) == -1)
		err(1, "descriptor %s", fd);
}

/* 1, or 0 at its end. */
static int
move(const struct copy *c)
{
	ssize_t n;

	n = read(c->from, buffer, sizeof(buffer));
	if (n == -1 && errno != EAGAIN)
		err(1, "read");
	if (n > 0 && write(c->to, buffer, (size_t)n) != n)
		err(1, "write");
	return n != 0;
}

int
main(int argc, char **argv)
{
	struct epoll_event ev[EVENTS];
	struct copy *c;
	int left;
	int ep;
	int i;
	int n;

	if (argc < 3 || argc % 2 == 0)
		errx(2, "usage: copy FD FILE [FD FILE ...]");
	left = (argc - 1) / 2;
	ep = epoll_create1(EPOLL_CLOEXEC);
	all = calloc((size_t)left, sizeof(*all));
	if (ep == -1 || all == NULL)
		err(1, "copy");
	for (i = 0; i < left; i++)
		begin(&all[i], argv[1 + 2 * i], argv[2 + 2 * i], ep);
	while (left > 0) {
		n = epoll_wait(ep, ev, EVENTS, -1);
		for (i = 0; i < n; i++) {
			c = ev[i].data.ptr;
			if (move(c))
				continue;
			(void)close(c->from);
			(void)close(c->to);
			left--;
		}
	}
	return 0;
}
