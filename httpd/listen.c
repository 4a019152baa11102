#include <sys/socket.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "../common/imsg.h"
#include "../common/log.h"
#include "../common/wire.h"
#include "httpd.h"

/* The listening sockets, made by the parent. */

#define MAX_LISTENERS 8
#define ACCEPTS 16 /* in one turn */
#define PAUSE_MS 1000 /* the system has no room */
#define BUSY_MS 5 /* all that are here are busy */

struct listener {
	int fd;
	uint8_t kind;
	uint16_t port;
	struct event event;
};

static struct listener listeners[MAX_LISTENERS];
static unsigned int nlisteners;
static int started;
static int paused;
static struct event pause_timer;

static void accept_cb(int, short, void *);

static void
pause_cb(int fd, short ev, void *arg)
{
	(void)fd;
	(void)ev;
	(void)arg;
	if (paused) {
		paused = 0;
		started = 0;
		listen_start();
	}
}

/* Full: new connections wait in the kernel's queue. */
static void
pause_all(int ms)
{
	struct timeval tv = {ms / 1000, ms % 1000 * 1000L};
	unsigned int i;

	for (i = 0; i < nlisteners; i++)
		(void)event_del(&listeners[i].event);
	paused = 1;
	(void)evtimer_add(&pause_timer, &tv);
}

static void
accept_cb(int fd, short ev, void *arg)
{
	struct sockaddr_storage peer;
	struct listener *l;
	struct client *c;
	socklen_t len;
	unsigned int i;
	int client;

	(void)ev;
	l = arg;
	turn_begin();
	for (i = 0; i < ACCEPTS; i++) {
		memset(&peer, 0, sizeof(peer));
		len = sizeof(peer);
		client = accept4(fd, (struct sockaddr *)&peer, &len,
		    SOCK_NONBLOCK | SOCK_CLOEXEC);
		if (client == -1) {
			if (errno == EMFILE && room_make(NULL) == 0)
				continue;
			if (errno == EMFILE || errno == ENFILE ||
			    errno == ENOBUFS || errno == ENOMEM)
				pause_all(PAUSE_MS);
			break;
		}
		c = client_new(
		    client, l->kind == LISTENER_UNIX, (struct sockaddr *)&peer);
		if (room_find(c) == -1) {
			pause_all(BUSY_MS);
			break;
		}
	}
	turn_pass();
}

/* Who cannot listen is of no use, and is replaced. */
static void
listen_to(struct listener *l)
{
	if (event_add(&l->event, NULL) == -1)
		fatal("listener");
}

int
listen_message(struct imsg *imsg)
{
	struct wire_reader r;
	struct listener *l;
	uint16_t port;
	uint8_t kind;
	int fd;

	message_read(&r, imsg);
	kind = wire_get_u8(&r);
	port = wire_get_u16(&r);
	fd = imsg_get_fd(imsg);
	if (wire_end(&r) == -1 || fd == -1 || nlisteners == MAX_LISTENERS ||
	    (kind != LISTENER_TCP && kind != LISTENER_UNIX)) {
		if (fd != -1)
			(void)close(fd);
		return -1;
	}
	if (nlisteners == 0)
		(void)evtimer_assign(&pause_timer, base, pause_cb, NULL);
	l = &listeners[nlisteners++];
	l->fd = fd;
	l->kind = kind;
	l->port = port;
	(void)event_assign(
	    &l->event, base, fd, EV_READ | EV_PERSIST, accept_cb, l);
	if (replica.complete && !paused)
		listen_to(l);
	return 0;
}

void
listen_start(void)
{
	unsigned int i;

	if (started)
		return;
	started = 1;
	for (i = 0; i < nlisteners; i++)
		listen_to(&listeners[i]);
}

void
listen_resume(void)
{
	if (paused && nclients < MAX_CLIENTS - MAX_CLIENTS / 16) {
		(void)event_del(&pause_timer);
		pause_cb(-1, 0, NULL);
	}
}
