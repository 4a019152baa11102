/* sources: fuzz/frame.c fuzz/fresh.c httpd/accept.c httpd/access.c
 * httpd/api_pymanager.c httpd/api_v1.c httpd/client.c httpd/diag_linux.c
 * httpd/http1.c httpd/http_host.c httpd/http_response.c httpd/http_target.c
 * httpd/json.c httpd/list.c httpd/listen.c httpd/openapi.c httpd/principal.c
 * httpd/refusal.c httpd/replica.c httpd/respond.c httpd/rights.c
 * httpd/room.c httpd/route.c httpd/stream.c httpd/table.c httpd/tls_files.c
 * httpd/tls_memory.c httpd/transport_tls.c httpd/turn.c httpd/words.c
 * common/bucket.c common/channel.c common/imsg.c common/imsg_buffer.c
 * common/wire.c */
/* libs: event_core bsd jansson md tls ssl crypto */
/* covers: httpd/httpd.c httpd/stream.c */
/*
 * What the parent, the manager, the relay and clients may say to httpd: its
 * real dispatch functions, with clients of the Unix socket that ask, follow
 * output, and go.
 *
 * Input as in frame.h: who WHO_*, type an index of the messages of that
 * sender.
 */
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/un.h>

#include <fcntl.h>
#include <stdlib.h>

#include "frame.h"

/* The program's own dispatch functions can be seen in its file alone. */
#define main program_main
/* NOLINTNEXTLINE(bugprone-suspicious-include) */
#include "../httpd/httpd.c"
#undef main

#define OPT_FED 1 /* a snapshot with one process has come */
#define OPT_CELLS 2
#define OPT_LISTENS 4 /* on a Unix socket */
#define OPT_PEERS 8

#define WHO_PARENT 0
#define WHO_MANAGER 1
#define WHO_RELAY 2
#define WHO_TIME 3 /* type: in 10 ms, id: times 256 of these */
#define WHO_CLIENT 4 /* client `id` says it; type 1: it reads nothing more */
#define WHO_CLOSE 5 /* the client of the id goes */
#define WHO_GONE 6 /* type: the manager, the relay */
#define WHO_COUNT 7

#define CELLS 4
#define MAX_OURS 16 /* clients */

static const uint32_t of_parent[] = {IMSG_PEER, IMSG_LISTENER, IMSG_TLS_FILE,
    IMSG_TLS_DONE, IMSG_CELLS, IMSG_SEQUENCE_PAGE, IMSG_FEED_BEGIN};
static const uint32_t of_manager[] = {IMSG_FEED_BEGIN, IMSG_FEED_CONFIG,
    IMSG_FEED_STATUS, IMSG_FEED_PROC, IMSG_FEED_PROC_GONE, IMSG_FEED_SEQUENCE,
    IMSG_FEED_PRINCIPAL, IMSG_REQUEST_DONE, IMSG_REQUEST, IMSG_FEED_ASK};
static const uint32_t of_relay[] = {IMSG_STREAM_READ_DONE, IMSG_STREAM_READ};

static struct sockaddr_un place; /* where it listens */
static socklen_t place_len;
static int ours[MAX_OURS]; /* clients' ends; 0: none */

/* Once for all inputs: each begins in a copy of this process. */
__attribute__((constructor)) static void
prepare_library(void)
{
	transport_prepare();
}

/* ---- descriptors --------------------------------------------------------- */

static int
memory(const void *data, size_t len)
{
	int fd;

	fd = memfd_create("file", MFD_CLOEXEC);
	check(fd != -1 && write(fd, data, len) == (ssize_t)len &&
	    lseek(fd, 0, SEEK_SET) == 0);
	return fd;
}

/* On a name that the kernel chooses. */
static int
listener(void)
{
	int fd;

	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	memset(&place, 0, sizeof(place));
	place.sun_family = AF_UNIX;
	place_len = sizeof(place);
	check(fd != -1 &&
	    bind(fd, (struct sockaddr *)&place, sizeof(sa_family_t)) == 0 &&
	    listen(fd, MAX_OURS) == 0 &&
	    getsockname(fd, (struct sockaddr *)&place, &place_len) == 0);
	return fd;
}

/* ---- the components ------------------------------------------------------ */

/* Of a file the content follows the message. */
static void
say_parent(uint32_t type, uint8_t id, const uint8_t *data, size_t len)
{
	static const uint8_t page[(CELLS + 1) * sizeof(*cells)];
	size_t rest;
	int fd;

	rest = 0;
	fd = -1;
	if (id == 0)
		fd = -1;
	else if (type == IMSG_PEER)
		fd = frame_connection();
	else if (type == IMSG_LISTENER)
		fd = listener();
	else if (type == IMSG_TLS_FILE) {
		rest = len > 2 ? len - 2 : 0;
		fd = memory(data + len - rest, rest);
	} else if (type == IMSG_CELLS || type == IMSG_SEQUENCE_PAGE)
		fd = memory(page, sizeof(page));
	if (frame_say(dispatch, parent_channel, NULL, type, id, fd, data,
		len - rest) == -1)
		frame_over = 1;
}

static void
say_manager(uint32_t type, uint8_t id, const void *data, size_t len)
{
	if (manager_channel != NULL &&
	    frame_say(manager_message, manager_channel, NULL, type, id, -1,
		data, len) == -1)
		manager_lost(manager_channel, "malformed message", NULL);
}

static void
say_relay(uint32_t type, uint8_t id, const uint8_t *data, size_t len)
{
	if (relay_channel != NULL &&
	    frame_say(stream_message, relay_channel, NULL, type, id, -1, data,
		len) == -1)
		relay_lost(relay_channel, "malformed message", NULL);
}

static void
say_client(uint8_t id, const uint8_t *data, size_t len)
{
	int *c;

	c = &ours[id % MAX_OURS];
	if (*c == 0) {
		if (place_len == 0)
			return;
		*c = socket(
		    AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
		check(*c != -1);
		if (connect(*c, (struct sockaddr *)&place, place_len) == -1 ||
		    frame_adopt(fcntl(*c, F_DUPFD_CLOEXEC, 0)) == -1) {
			(void)close(*c);
			*c = 0;
			return;
		}
	}
	(void)send(*c, data, len, MSG_NOSIGNAL);
}

static void
close_client(uint8_t type, uint8_t id)
{
	int *c;

	c = &ours[id % MAX_OURS];
	if (*c == 0)
		return;
	(void)shutdown(*c, type % 2 == 0 ? SHUT_RDWR : SHUT_WR);
	(void)close(*c);
	*c = 0;
}

static void
gone(uint8_t type)
{
	if (type % 2 == 0 && manager_channel != NULL)
		manager_lost(manager_channel, channel_gone, NULL);
	else if (type % 2 == 1 && relay_channel != NULL)
		relay_lost(relay_channel, channel_gone, NULL);
}

/* All that was accepted can be read, in order, and by its id. */
static void
invariants(void)
{
	struct replica_process p;
	struct replica_process q;
	uint32_t last;
	size_t cursor;
	size_t n;

	cursor = 0;
	last = 0;
	for (n = 0; replica_next(NULL, &cursor, &p); n++) {
		check(p.id > last && p.state < STATE_COUNT);
		check(replica_find(p.id, &q) == 0 && q.id == p.id);
		last = p.id;
	}
	check(n == replica_count() && replica_find(0, &p) == -1);
	check(!replica.complete || replica.directory != NULL);
	check(nclients <= MAX_CLIENTS);
}

void
frame_record(
    unsigned int who, uint8_t type, uint8_t id, const uint8_t *data, size_t len)
{
	who %= WHO_COUNT;
	if (who == WHO_PARENT)
		say_parent(FRAME_TYPE(of_parent, type), id, data, len);
	else if (who == WHO_MANAGER)
		say_manager(FRAME_TYPE(of_manager, type), id, data, len);
	else if (who == WHO_RELAY)
		say_relay(FRAME_TYPE(of_relay, type), id, data, len);
	else if (who == WHO_TIME)
		frame_sleep((type + 256 * (uint64_t)id) * 10000000);
	else if (who == WHO_CLIENT)
		say_client(id, data, len);
	else if (who == WHO_CLOSE)
		close_client(type, id);
	else
		gone(type);
	invariants();
	frame_turn();
	invariants();
}

/* ---- the beginning ------------------------------------------------------- */

static void
put_numbers(struct wire *w, unsigned int n, uint32_t value)
{
	for (; n > 0; n--)
		wire_put_u32(w, value);
}

/* Ours are the clients. */
static void
feed_config(struct wire *w)
{
	wire_reset(w);
	wire_put_str(w, "0.1.0");
	wire_put_str(w, "01234567");
	wire_put_u32(w, 1);
	wire_put_i64(w, 1);
	wire_put_u32(w, geteuid());
	wire_put_str(w, "/");
	wire_put_str(w, "muster");
	put_numbers(w, 4, 0);
	wire_put_u8(w, 0);
	say_manager(IMSG_FEED_CONFIG, 0, w->data, w->len);
}

static void
feed_process(struct wire *w)
{
	wire_reset(w);
	put_numbers(w, 3, 1);
	wire_put_i32(w, 77);
	wire_put_u8(w, STATE_RUNNING);
	wire_put_u8(w, 1);
	wire_put_u8(w, 0);
	wire_put_u8(w, 1);
	wire_put_u8(w, 0);
	wire_put_i32(w, 0);
	wire_put_i64(w, 0);
	wire_put_i64(w, 1);
	put_numbers(w, 2, 0);
	wire_put_u8(w, 2);
	wire_put_str(w, "default.web");
	wire_put_u32(w, 1);
	wire_put_str(w, "/bin/web");
	wire_put_str(w, "");
	wire_put_str(w, "");
	wire_put_str(w, "");
	wire_put_u8(w, 0);
	say_manager(IMSG_FEED_PROC, 0, w->data, w->len);
}

static void
feed(void)
{
	static const uint64_t sequence = 1;
	struct wire w;

	wire_init(&w);
	say_manager(IMSG_FEED_BEGIN, 0, &sequence, sizeof(sequence));
	feed_config(&w);
	wire_reset(&w);
	wire_put_str(&w, "running");
	wire_put_u8(&w, 1);
	wire_put_u8(&w, 0);
	wire_put_str(&w, "");
	say_manager(IMSG_FEED_STATUS, 0, w.data, w.len);
	feed_process(&w);
	wire_free(&w);
	say_manager(IMSG_FEED_SEQUENCE, 0, &sequence, sizeof(sequence));
	check(manager_channel != NULL && replica.complete);
}

void
frame_begin(uint8_t options)
{
	static const uint8_t unix_socket[] = {LISTENER_UNIX, 0, 0};
	static const uint32_t count = CELLS;

	if (options & OPT_CELLS)
		say_parent(
		    IMSG_CELLS, 1, (const uint8_t *)&count, sizeof(count));
	if (options & OPT_LISTENS)
		say_parent(IMSG_LISTENER, 1, unix_socket, sizeof(unix_socket));
	if (options & OPT_PEERS) {
		(void)frame_introduce(
		    dispatch, parent_channel, ROLE_MANAGER, 0);
		(void)frame_introduce(dispatch, parent_channel, ROLE_RELAY, 0);
		if (options & OPT_FED)
			feed();
	}
	frame_turn();
}
