#include <sys/socket.h>

#include <netinet/in.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "../common/log.h"
#include "resolve.h"
#include "verifier.h"

/*
 * An attempt passes when one of the host's addresses takes a connection.
 * They are tried in their order; where one does not answer within 250 ms the
 * next is tried beside it (RFC 8305 §5).
 */

#define TRIES 4 /* sockets of one attempt at once */
#define STAGGER_MS 250

struct tcp_try {
	struct event event;
	struct tcp_run *run;
	int fd; /* -1: none */
};

struct tcp_run {
	struct check *check;
	struct event stagger;
	struct tcp_try tries[TRIES];
	unsigned int ntries; /* open */
	unsigned int next; /* address */
	unsigned int count;
	int error; /* what is reported when all have failed */
	struct address list[MAX_ADDRESSES];
};

static struct event_base *loop;

static void try_next(struct tcp_run *);

int
socket_let_go(int fd)
{
	struct linger linger = {1, 0};
	struct sockaddr_storage local;
	struct sockaddr_storage peer;
	socklen_t local_len = sizeof(local);
	socklen_t peer_len = sizeof(peer);

	if (getpeername(fd, (struct sockaddr *)&peer, &peer_len) == -1 ||
	    getsockname(fd, (struct sockaddr *)&local, &local_len) == -1 ||
	    local_len != peer_len || memcmp(&local, &peer, local_len) != 0)
		return 0;
	(void)setsockopt(fd, SOL_SOCKET, SO_LINGER, &linger, sizeof(linger));
	return 1;
}

static void
close_try(struct tcp_try *t)
{
	if (t->fd == -1)
		return;
	(void)event_del(&t->event);
	(void)close(t->fd);
	t->fd = -1;
	t->run->ntries--;
}

static void
tcp_free(struct tcp_run *run)
{
	int i;

	for (i = 0; i < TRIES; i++)
		close_try(&run->tries[i]);
	(void)evtimer_del(&run->stagger);
	run->check->run = NULL;
	free(run);
}

static void
tcp_finish(struct tcp_run *run, int passed, const char *text)
{
	struct check *c = run->check;

	tcp_free(run);
	check_done(c, passed, 0, "%s", text);
}

static void
note_error(struct tcp_run *run, int error)
{
	if (error_says_more(error, run->error))
		run->error = error;
}

/* Frees the run when nothing is left to be tried. */
static void
end_if_over(struct tcp_run *run)
{
	char text[DETAIL_SIZE];

	if (run->ntries > 0 || run->next < run->count)
		return;
	tcp_finish(run, 0, text_error(text, sizeof(text), run->error));
}

static int
connect_error(int fd)
{
	socklen_t len = sizeof(int);
	int error;

	if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &len) == -1)
		return errno;
	if (error == 0 && socket_let_go(fd))
		return ECONNREFUSED;
	return error;
}

static void
try_cb(int fd, short events, void *arg)
{
	struct tcp_try *t = arg;
	struct tcp_run *run = t->run;
	int error;

	(void)events;
	error = connect_error(fd);
	close_try(t);
	if (error == 0) {
		tcp_finish(run, 1, "connected");
		return;
	}
	note_error(run, error);
	try_next(run);
}

static void
stagger_cb(int fd, short events, void *arg)
{
	(void)fd;
	(void)events;
	try_next(arg);
}

static socklen_t
make_address(
    const struct address *a, uint16_t port, struct sockaddr_storage *ss)
{
	struct sockaddr_in *in = (struct sockaddr_in *)ss;
	struct sockaddr_in6 *in6 = (struct sockaddr_in6 *)ss;

	(void)memset(ss, 0, sizeof(*ss));
	if (a->family == 4) {
		in->sin_family = AF_INET;
		in->sin_port = htons(port);
		(void)memcpy(&in->sin_addr, a->bytes, 4);
		return sizeof(*in);
	}
	in6->sin6_family = AF_INET6;
	in6->sin6_port = htons(port);
	(void)memcpy(&in6->sin6_addr, a->bytes, 16);
	return sizeof(*in6);
}

/* Begins to connect.  Returns the socket, or -1 with errno. */
static int
connect_to(const struct address *a, uint16_t port)
{
	struct sockaddr_storage ss;
	socklen_t len;
	int error;
	int fd;

	len = make_address(a, port, &ss);
	fd = socket(ss.ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK,
	    IPPROTO_TCP);
	if (fd == -1)
		return -1;
	if (connect(fd, (struct sockaddr *)&ss, len) == 0 ||
	    errno == EINPROGRESS)
		return fd;
	error = errno;
	(void)close(fd);
	errno = error;
	return -1;
}

static struct tcp_try *
free_try(struct tcp_run *run)
{
	int i;

	for (i = 0; i < TRIES; i++)
		if (run->tries[i].fd == -1)
			return &run->tries[i];
	return NULL;
}

/* Tries addresses until one is under way.  May free the run. */
static void
try_next(struct tcp_run *run)
{
	static const struct timeval tv = {0, STAGGER_MS * 1000L};
	struct tcp_try *t;

	while (run->next < run->count && (t = free_try(run)) != NULL) {
		t->fd =
		    connect_to(&run->list[run->next++], run->check->spec.port);
		if (t->fd == -1) {
			note_error(run, errno);
			continue;
		}
		run->ntries++;
		if (event_assign(&t->event, loop, t->fd, EV_WRITE, try_cb, t) ==
			-1 ||
		    event_add(&t->event, NULL) == -1) {
			note_error(run, ENOMEM);
			close_try(t);
			continue;
		}
		break;
	}
	if (run->next < run->count)
		(void)evtimer_add(&run->stagger, &tv);
	end_if_over(run);
}

static struct tcp_run *
tcp_new(struct check *c, const struct addresses *answer)
{
	struct tcp_run *run;
	int i;

	run = calloc(1, sizeof(*run));
	if (run == NULL)
		return NULL;
	run->check = c;
	run->count = answer->count;
	(void)memcpy(
	    run->list, answer->list, answer->count * sizeof(*answer->list));
	for (i = 0; i < TRIES; i++) {
		run->tries[i].run = run;
		run->tries[i].fd = -1;
	}
	if (evtimer_assign(&run->stagger, loop, stagger_cb, run) == -1) {
		free(run);
		return NULL;
	}
	return run;
}

static void
tcp_start(struct check *c)
{
	char text[DETAIL_SIZE];
	struct addresses answer;
	struct tcp_run *run;

	if (!resolve_start(c, c->spec.host, &answer))
		return;
	if (answer.error != 0) {
		check_done(c, 0, 0, "%s",
		    resolve_problem(text, sizeof(text), c->spec.host, &answer));
		return;
	}
	run = tcp_new(c, &answer);
	if (run == NULL) {
		check_done(c, 0, 0, "out of memory");
		return;
	}
	c->run = run;
	try_next(run);
}

static void
tcp_stop(struct check *c)
{
	resolve_stop(c);
	if (c->run != NULL)
		tcp_free(c->run);
}

static const char *
tcp_waiting(struct check *c)
{
	return c->run == NULL ? "resolving the name" : "connecting";
}

static const char *
tcp_prepare(struct check *c)
{
	char *host = c->spec.host;
	size_t len = strlen(host);

	if (len >= 2 && host[0] == '[' && host[len - 1] == ']') {
		(void)memmove(host, host + 1, len - 2);
		host[len - 2] = '\0';
	}
	if (c->spec.port == 0)
		return "there is no port 0";
	return NULL;
}

const struct prober tcp_prober = {
    tcp_prepare,
    NULL,
    tcp_start,
    tcp_stop,
    tcp_waiting,
};

void
tcp_init(struct event_base *base)
{
	loop = base;
}
