/* sources: fuzz/frame.c fuzz/fresh.c verifier/check.c verifier/check_spec.c
 * verifier/expect.c verifier/http.c verifier/http_check.c
 * verifier/http_client.c verifier/http_handle.c verifier/http_loop.c
 * verifier/http_text.c verifier/resolve.c verifier/target.c verifier/tcp.c
 * verifier/text.c verifier/tls.c verifier/unix.c common/channel.c
 * common/imsg.c common/imsg_buffer.c common/url.c common/wire.c */
/* libs: event_core bsd curl ssl crypto */
/* covers: verifier/verifier.c verifier/resolve.c */
/*
 * What the parent, the manager and the resolver may say to the verifier: its
 * real dispatch functions and attempts, also over libcurl, with servers that
 * refuse, do not answer, or say what the input says.
 *
 * Input as in frame.h: who WHO_*, type an index of the messages of that
 * sender.
 */
#include <sys/socket.h>

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

#include <curl/curl.h>

#include "frame.h"

/* The program's own dispatch functions can be seen in its file alone. */
#define main program_main
/* NOLINTNEXTLINE(bugprone-suspicious-include) */
#include "../verifier/verifier.c"
#undef main

#define OPT_MANAGER 1
#define OPT_RESOLVER 2

#define WHO_PARENT 0 /* with a connection, if id is odd */
#define WHO_MANAGER 1
#define WHO_RESOLVER 2
#define WHO_TIME 3 /* type: in 10 ms, id: times 256 of these */
#define WHO_SERVER \
	4 /* of connection `id`: says it, and ends if type is odd \
	   */
#define WHO_GONE 5 /* type: the manager, the resolver */
#define WHO_COUNT 6

#define MAX_SERVERS 64

static const uint32_t of_parent[] = {
    IMSG_UNIX_CONNECTED, IMSG_PEER, IMSG_CHECK_STOP};
static const uint32_t of_manager[] = {
    IMSG_CHECK_START, IMSG_CHECK_STOP, IMSG_RESOLVED};
static const uint32_t of_resolver[] = {IMSG_RESOLVED, IMSG_RESOLVE};

static int servers[MAX_SERVERS];
static size_t nservers;

/* Once for all inputs: each begins in a copy of this process. */
__attribute__((constructor)) static void
prepare_library(void)
{
	/* No bundle of certificates: it takes long to read. */
	/* NOLINTNEXTLINE(concurrency-mt-unsafe) there are no threads */
	check(setenv("SSL_CERT_FILE", "/dev/null", 1) == 0);
	check(curl_global_init(CURL_GLOBAL_DEFAULT) == CURLE_OK);
}

/* ---- what reaches out ---------------------------------------------------- */

/* One end of a connection, the other a server's, or -1. */
static int
server(void)
{
	int fd;

	if (nservers == MAX_SERVERS || (fd = frame_connection()) == -1)
		return -1;
	servers[nservers++] = frame_far();
	return fd;
}

/* A socket that never becomes writable. */
static int
deaf(void)
{
	int fds[2];

	check(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0,
		  fds) == 0);
	while (send(fds[0], "deaf", 4, MSG_NOSIGNAL) > 0)
		continue;
	if (frame_adopt(fds[1]) == 0)
		return fds[0];
	(void)close(fds[0]);
	return -1;
}

/* The last byte of the address decides what becomes of it. */
int
connect(int fd, const struct sockaddr *address, socklen_t len)
{
	unsigned int last;
	int end;

	last = ((const uint8_t *)
		address)[address->sa_family == AF_INET ? 7 : len - 5];
	errno = ECONNREFUSED;
	if (last % 4 == 0)
		return -1;
	if ((end = last % 4 == 2 ? deaf() : server()) == -1)
		return -1;
	check(dup2(end, fd) == fd && close(end) == 0);
	errno = EINPROGRESS;
	return last % 4 == 3 ? 0 : -1;
}

/* ---- the components ------------------------------------------------------ */

/* What must hold, whatever was said. */
static void
invariants(void)
{
	check(manager != NULL || check_count() == 0);
	check(check_count() <= MAX_CHECKS);
}

static void
say_parent(uint32_t type, uint8_t id, const uint8_t *data, size_t len)
{
	int fd;

	fd = id % 2 == 0 ? -1 : server();
	if (frame_say(parent_message, self.parent, NULL, type, id / 2, fd, data,
		len) == -1)
		frame_over = 1;
}

static void
say_server(uint8_t type, uint8_t id, const uint8_t *data, size_t len)
{
	if (nservers == 0)
		return;
	(void)send(servers[id % nservers], data, len, MSG_NOSIGNAL);
	if (type % 2 == 1)
		(void)shutdown(servers[id % nservers], SHUT_WR);
}

void
frame_record(
    unsigned int who, uint8_t type, uint8_t id, const uint8_t *data, size_t len)
{
	who %= WHO_COUNT;
	if (who == WHO_PARENT)
		say_parent(FRAME_TYPE(of_parent, type), id, data, len);
	else if (who == WHO_MANAGER && manager != NULL) {
		if (frame_say(manager_message, manager, NULL,
			FRAME_TYPE(of_manager, type), id, -1, data, len) == -1)
			manager_lost(manager, "malformed message", NULL);
	} else if (who == WHO_RESOLVER && resolver != NULL) {
		if (frame_say(resolver_message, resolver, NULL,
			FRAME_TYPE(of_resolver, type), id, -1, data, len) == -1)
			resolver_lost(resolver, "malformed message", NULL);
	} else if (who == WHO_TIME)
		frame_sleep((type + 256 * (uint64_t)id) * 10 * MILLISECOND);
	else if (who == WHO_SERVER)
		say_server(type, id, data, len);
	else if (who == WHO_GONE && type % 2 == 0 && manager != NULL)
		manager_lost(manager, channel_gone, NULL);
	else if (who == WHO_GONE && type % 2 == 1 && resolver != NULL)
		resolver_lost(resolver, channel_gone, NULL);
	invariants();
	frame_turn();
	invariants();
}

void
frame_begin(uint8_t options)
{
	if (options & OPT_MANAGER)
		(void)frame_introduce(
		    parent_message, self.parent, ROLE_MANAGER, 0);
	if (options & OPT_RESOLVER)
		(void)frame_introduce(
		    parent_message, self.parent, ROLE_RESOLVER, 0);
	frame_turn();
}
