#include <sys/types.h>
#include <sys/epoll.h>

#include <errno.h>

#include "log.h"
#include "relay.h"

static int watch_fd = -1;

int
watch_init(void)
{
	watch_fd = epoll_create1(EPOLL_CLOEXEC);
	if (watch_fd == -1)
		fatal("epoll_create1");
	return watch_fd;
}

int
watch_add(int fd, void *arg)
{
	struct epoll_event event = {.events = EPOLLIN, .data = {.ptr = arg}};

	return epoll_ctl(watch_fd, EPOLL_CTL_ADD, fd, &event);
}

/*
 * Must be called before close(2): the parent has a copy of the descriptor,
 * so that closing ours would leave it in the set.
 */
void
watch_remove(int fd)
{
	if (epoll_ctl(watch_fd, EPOLL_CTL_DEL, fd, NULL) == -1)
		log_warn("epoll_ctl");
}

int
watch_ready(struct watched *ready)
{
	struct epoll_event events[WATCH_BATCH];
	int i;
	int n;

	n = epoll_wait(watch_fd, events, WATCH_BATCH, 0);
	if (n == -1) {
		if (errno != EINTR)
			log_warn("epoll_wait");
		return 0;
	}
	for (i = 0; i < n; i++) {
		ready[i].arg = events[i].data.ptr;
		ready[i].hangup = (events[i].events & EPOLLIN) == 0;
	}
	return n;
}
