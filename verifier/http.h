#ifndef MUSTER_VERIFIER_HTTP_H
#define MUSTER_VERIFIER_HTTP_H

#include <stddef.h>
#include <stdint.h>

#include <bsd/sys/queue.h>

#include <curl/curl.h>

#include "expect.h"
#include "http_loop.h"
#include "resolve.h"
#include "target.h"
#include "verifier.h"

/* What http.c shares with http_check.c, http_handle.c and http_text.c. */

/* What is made of a check's spec once. */
struct http_check {
	struct target target;
	struct curl_slist *fields;
	struct curl_slist *foreign; /* without secrets: for other origins */
	unsigned int references;
	unsigned int first; /* address of the name that answered last time */
};

struct http_run {
	struct http_loop_state state; /* first: http_ended() */
	TAILQ_ENTRY(http_run) entry; /* in `pool` or `drains` */
	struct check *check; /* NULL: decided, or in the pool */
	struct http_check *http;
	CURL *easy;
	struct curl_slist *resolve;
	struct target hop; /* where a redirect led to; url NULL: nowhere yet */
	struct address addresses[MAX_ADDRESSES]; /* of the hop's name */
	unsigned int naddresses; /* 0: not known, or no name */
	unsigned int ntried;
	int connect_error; /* of those that were tried */
	struct expect expect;
	char *location;
	uint64_t drain_end;
	size_t head_len;
	size_t drained;
	unsigned int hops;
	int active; /* libcurl is at it */
	int shard; /* see http_loop_add() */
	int in_head; /* a status line has come, its blank line has not */
	int answered; /* the head of the final answer is complete */
	int redirect; /* that answer is to be followed */
	int as_get; /* a redirect has changed the method */
	int foreign; /* a redirect has left the check's origin */
	char error[CURL_ERROR_SIZE];
};

/* ---- http_check.c ------------------------------------------------------ */

/* struct prober */
const char *http_check_prepare(struct check *);
void http_check_forget(struct check *);
void http_check_unref(struct http_check *);

/* ---- http_handle.c ----------------------------------------------------- */

/* Sets what is the same for all attempts; the callbacks get the run. */
void http_handle_init(
    struct http_run *, curl_write_callback header, curl_write_callback body);
/* Sets what differs between attempts and hops. */
void http_handle_request(struct http_run *, const struct target *);
/*
 * Where the target's host is (NULL: it is an address itself), and how long
 * connecting may take (0: no limit).  0 or -1.
 */
int http_handle_address(struct http_run *, const struct target *,
    const struct address *, long connect_ms);
/* Does the method announce content, which is empty with us? */
int http_sends_body(const char *method);

/* ---- http_text.c ------------------------------------------------------- */

/* Keeps the error of connecting that is to be told. */
void http_note_error(struct http_run *, CURLcode);
/* Why a transfer has failed, in our words where libcurl's are not for all. */
void http_describe(const struct http_run *, CURLcode, char *buf, size_t size);

#endif
