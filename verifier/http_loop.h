#ifndef MUSTER_VERIFIER_HTTP_LOOP_H
#define MUSTER_VERIFIER_HTTP_LOOP_H

#include <stdint.h>

#include <curl/curl.h>

struct event_base;

/*
 * libcurl's multi_socket interface in our loop.
 *
 * A socket is watched for as long as it is open, also while its connection
 * waits in libcurl's cache: otherwise each transfer would cost two
 * epoll_ctl(2).
 *
 * Whenever a transfer has ended libcurl walks through all connections of its
 * multi handle, which is a quarter of the cost of a check when they are 1000.
 * So the hosts are spread over several of them ("shards") as the checks
 * become many.
 */

/* What the loop and the owner of a handle tell each other. */
struct http_loop_state {
	int open_error; /* errno where a socket cannot be made, else 0 */
	int connected; /* set by the owner (CURLOPT_PREREQFUNCTION) */
};

/* A transfer has ended, and has been removed. */
typedef void (*http_ended_fn)(struct http_loop_state *, CURLcode);

/* fatal() on failure.  At most `connections` are kept open while idle. */
void http_loop_init(
    struct event_base *, unsigned int connections, http_ended_fn);
/* Sets what the loop needs on a new handle: it takes CURLOPT_PRIVATE. */
void http_loop_adopt(CURL *, struct http_loop_state *);
/*
 * That many checks are there: as many connections are kept, and more shards
 * may be used (never fewer).
 */
void http_loop_expect(unsigned int checks);
/*
 * Begins with the next http_loop_flush().  Connections are shared by what
 * goes to the same host and port.  Returns the shard, or -1.
 */
int http_loop_add(CURL *, const char *host, uint16_t port);
/* Not from within a callback of libcurl. */
void http_loop_remove(CURL *, int shard);
void http_loop_flush(void);

#endif
