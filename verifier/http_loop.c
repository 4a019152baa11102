#include <sys/socket.h>

#include <netinet/in.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <bsd/stdlib.h>

#include <event2/event.h>
#include <event2/event_struct.h>

#include "../common/hash.h"
#include "../common/log.h"
#include "http_loop.h"
#include "verifier.h"

#define FLUSH_ROUNDS 8
#define SHARDS 16
#define SHARD_CHECKS 64 /* for each shard that is used */

struct shard {
	CURLM *multi;
	struct event timer;
	int kicked; /* libcurl wants to be called at once */
};

/* An open socket of libcurl's. */
struct watch {
	struct event event;
	struct shard *shard;
	int wanted; /* CURL_POLL_*; 0: idle, it may stay registered */
	short registered; /* EV_READ, EV_WRITE */
};

static struct event_base *loop;
static struct shard shards[SHARDS];
static unsigned int nshards = 1; /* in use */
static unsigned int max_connections;
static http_ended_fn ended;
static struct watch **watches; /* by descriptor */
static int nwatches;
static int inside; /* libcurl is being called */

static void reap(struct shard *);

/* ---- calling libcurl --------------------------------------------------- */

static struct http_loop_state *
state_of(CURL *easy)
{
	char *state = NULL;

	(void)curl_easy_getinfo(easy, CURLINFO_PRIVATE, &state);
	return (void *)state;
}

static void
act(struct shard *s, curl_socket_t fd, int what)
{
	int alive;

	inside = 1;
	(void)curl_multi_socket_action(s->multi, fd, what, &alive);
	inside = 0;
	reap(s);
}

/* Hands out the transfers that have ended; that may begin others. */
static void
reap(struct shard *s)
{
	struct http_loop_state *state;
	CURLMsg *message;
	CURLcode code;
	int left;

	while ((message = curl_multi_info_read(s->multi, &left)) != NULL) {
		if (message->msg != CURLMSG_DONE)
			continue;
		state = state_of(message->easy_handle);
		code = message->data.result;
		(void)curl_multi_remove_handle(s->multi, message->easy_handle);
		ended(state, code);
	}
}

static void
flush_shard(struct shard *s)
{
	static const struct timeval at_once = {0, 0};
	int i;

	for (i = 0; i < FLUSH_ROUNDS && s->kicked; i++) {
		s->kicked = 0;
		act(s, CURL_SOCKET_TIMEOUT, 0);
	}
	/* A server that sends without a pause must not hold up the loop. */
	if (s->kicked)
		(void)evtimer_add(&s->timer, &at_once);
}

void
http_loop_flush(void)
{
	unsigned int i;

	for (i = 0; i < nshards; i++)
		flush_shard(&shards[i]);
}

/* ---- timer ------------------------------------------------------------- */

static void
timer_cb(int fd, short events, void *arg)
{
	struct shard *s = arg;

	(void)fd;
	(void)events;
	s->kicked = 1;
	http_loop_flush();
}

/* CURLMOPT_TIMERFUNCTION */
static int
timer_wanted(CURLM *m, long ms, void *arg)
{
	struct shard *s = arg;
	struct timeval tv;

	(void)m;
	if (ms < 0) {
		(void)evtimer_del(&s->timer);
		return 0;
	}
	/*
	 * "Now" comes with each transfer that is begun: no timer for that.
	 * Within a call the end of that call is early enough.
	 */
	if (ms == 0) {
		s->kicked = 1;
		return 0;
	}
	tv.tv_sec = ms / 1000;
	tv.tv_usec = ms % 1000 * 1000;
	(void)evtimer_add(&s->timer, &tv);
	return 0;
}

/* ---- sockets ----------------------------------------------------------- */

static void
socket_cb(int fd, short events, void *arg)
{
	struct watch *w = arg;
	int what = 0;

	/* The server has closed an idle connection; libcurl finds out. */
	if (w->wanted == 0) {
		(void)event_del(&w->event);
		w->registered = 0;
		return;
	}
	if ((events & EV_READ) != 0)
		what |= CURL_CSELECT_IN;
	if ((events & EV_WRITE) != 0)
		what |= CURL_CSELECT_OUT;
	act(w->shard, fd, what);
	http_loop_flush();
}

static int
watch_register(struct watch *w, int fd, short events)
{
	if (w->registered == events)
		return 0;
	if (w->registered != 0)
		(void)event_del(&w->event);
	w->registered = 0;
	if (event_assign(&w->event, loop, fd, (short)(events | EV_PERSIST),
		socket_cb, w) == -1 ||
	    event_add(&w->event, NULL) == -1)
		return -1;
	w->registered = events;
	return 0;
}

static void
watch_free(int fd)
{
	struct watch *w;

	w = fd >= 0 && fd < nwatches ? watches[fd] : NULL;
	if (w == NULL)
		return;
	if (w->registered != 0)
		(void)event_del(&w->event);
	free(w);
	watches[fd] = NULL;
}

/* The watch of a descriptor, made if need be; NULL: out of memory. */
static struct watch *
watch_get(int fd)
{
	struct watch **grown;
	int size;

	if (fd < 0)
		return NULL;
	if (fd >= nwatches) {
		size = nwatches == 0 ? 64 : nwatches;
		while (size <= fd)
			size *= 2;
		grown = recallocarray(watches, (size_t)nwatches, (size_t)size,
		    sizeof(struct watch *));
		if (grown == NULL)
			return NULL;
		watches = grown;
		nwatches = size;
	}
	if (watches[fd] == NULL)
		watches[fd] = calloc(1, sizeof(struct watch));
	return watches[fd];
}

/*
 * CURLMOPT_SOCKETFUNCTION.  A connection that is not complete yet is closed
 * by libcurl without a word, and the number is another socket's then: no
 * watch may be left of it.
 */
static int
socket_wanted(CURL *easy, curl_socket_t fd, int what, void *arg, void *unused)
{
	struct watch *w;
	short events = 0;

	(void)unused;
	if (what == CURL_POLL_REMOVE && !state_of(easy)->connected) {
		watch_free(fd);
		return 0;
	}
	w = watch_get(fd);
	if (w == NULL) {
		log_warn("socket %d cannot be watched", fd);
		return 0;
	}
	w->shard = arg;
	w->wanted = what == CURL_POLL_REMOVE ? 0 : what;
	if (w->wanted == 0)
		return 0;
	if ((what & CURL_POLL_IN) != 0)
		events |= EV_READ;
	if ((what & CURL_POLL_OUT) != 0)
		events |= EV_WRITE;
	/* -1 would be the end of all transfers; this one times out. */
	if (events != 0 && watch_register(w, fd, events) == -1)
		log_warn("socket %d cannot be watched", fd);
	return 0;
}

/* CURLOPT_OPENSOCKETFUNCTION */
static curl_socket_t
socket_open(void *arg, curlsocktype purpose, struct curl_sockaddr *address)
{
	struct http_loop_state *state = arg;
	int fd;

	(void)purpose;
	state->open_error = EAFNOSUPPORT;
	if (address->family != AF_INET && address->family != AF_INET6)
		return CURL_SOCKET_BAD;
	fd = socket(address->family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK,
	    IPPROTO_TCP);
	state->open_error = fd == -1 ? errno : 0;
	/* Should one with this number have vanished without a word. */
	watch_free(fd);
	return fd == -1 ? CURL_SOCKET_BAD : fd;
}

/* CURLOPT_CLOSESOCKETFUNCTION */
static int
socket_close(void *arg, curl_socket_t fd)
{
	(void)arg;
	watch_free(fd);
	(void)socket_let_go(fd);
	return close(fd);
}

/* ---- transfers --------------------------------------------------------- */

/* Sets how many idle connections each shard keeps. */
static void
keep_connections(unsigned int checks)
{
	unsigned int most;
	unsigned int n;
	unsigned int i;

	/* Twice as many as checks, because the hash is not even. */
	n = checks * 2 / nshards + 8;
	most = max_connections / nshards;
	for (i = 0; i < nshards; i++)
		(void)curl_multi_setopt(shards[i].multi, CURLMOPT_MAXCONNECTS,
		    (long)(n < most ? n : most));
}

void
http_loop_expect(unsigned int checks)
{
	while (nshards < SHARDS && nshards * SHARD_CHECKS < checks)
		nshards *= 2;
	keep_connections(checks);
}

static void
shard_init(struct shard *s)
{
	s->multi = curl_multi_init();
	if (s->multi == NULL)
		fatalx("curl_multi_init failed");
	if (curl_multi_setopt(
		s->multi, CURLMOPT_SOCKETFUNCTION, socket_wanted) != CURLM_OK ||
	    curl_multi_setopt(s->multi, CURLMOPT_SOCKETDATA, s) != CURLM_OK ||
	    curl_multi_setopt(s->multi, CURLMOPT_TIMERFUNCTION, timer_wanted) !=
		CURLM_OK ||
	    curl_multi_setopt(s->multi, CURLMOPT_TIMERDATA, s) != CURLM_OK ||
	    curl_multi_setopt(
		s->multi, CURLMOPT_PIPELINING, CURLPIPE_NOTHING) != CURLM_OK)
		fatalx("curl_multi_setopt failed");
	if (evtimer_assign(&s->timer, loop, timer_cb, s) == -1)
		fatalx("evtimer_assign failed");
}

/* All are made now: it takes calls that the sandbox refuses. */
void
http_loop_init(
    struct event_base *base, unsigned int connections, http_ended_fn fn)
{
	int i;

	loop = base;
	ended = fn;
	max_connections = connections;
	if (curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK)
		fatalx("curl_global_init failed");
	for (i = 0; i < SHARDS; i++)
		shard_init(&shards[i]);
	keep_connections(0);
}

static int
choose_shard(const char *host, uint16_t port)
{
	uint64_t h = hash_more(HASH_START ^ port, host, strlen(host));

	return (int)(hash_fold(h) % nshards);
}

void
http_loop_adopt(CURL *easy, struct http_loop_state *state)
{
	(void)curl_easy_setopt(easy, CURLOPT_OPENSOCKETFUNCTION, socket_open);
	(void)curl_easy_setopt(easy, CURLOPT_OPENSOCKETDATA, state);
	(void)curl_easy_setopt(easy, CURLOPT_PRIVATE, state);
	(void)curl_easy_setopt(easy, CURLOPT_CLOSESOCKETFUNCTION, socket_close);
}

int
http_loop_add(CURL *easy, const char *host, uint16_t port)
{
	int n;

	n = choose_shard(host, port);
	if (curl_multi_add_handle(shards[n].multi, easy) != CURLM_OK)
		return -1;
	return n;
}

void
http_loop_remove(CURL *easy, int shard)
{
	if (inside)
		fatalx("transfer removed within a callback");
	(void)curl_multi_remove_handle(shards[shard].multi, easy);
}
