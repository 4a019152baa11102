#ifndef MUSTER_VERIFIER_H
#define MUSTER_VERIFIER_H

#include <sys/types.h>

#include <stddef.h>
#include <stdint.h>

#include <bsd/sys/queue.h>
#include <bsd/sys/tree.h>

#include <event2/event.h>
#include <event2/event_struct.h>

#include "../common/check.h"
#include "check_spec.h"

/*
 * muster-verifier: makes the attempts of checks.
 *
 *	verifier.c	the channels
 *	check_spec.c 	the message that starts a check
 *	check.c		which attempt is made when
 *	http.c		attempts over libcurl; http_check.c, http_handle.c and
 *			http_text.c are parts of it, http_loop.c its sockets and
 *			timer in our loop; tls.c the trusted certificates
 *	target.c	URLs and redirects
 *	expect.c	what an answer must be like
 *	tcp.c unix.c	the other kinds; http_client.c reads HTTP for the
 *			second
 *	resolve.c	names; the other end is resolver.c, another program
 *	text.c		words of the reports
 *
 * Times are CLOCK_MONOTONIC nanoseconds.  One thread, one loop.
 */

#define MILLISECOND 1000000ULL
#define SECOND 1000000000ULL

#define DETAIL_SIZE 256 /* bytes of a report's text with its NUL */

struct check;
struct http_check;
struct resolve_name;

TAILQ_HEAD(check_list, check);

/*
 * How attempts of a kind are made.
 *
 * prepare: once for a check.  Returns NULL, or why no attempt can ever pass
 *	(a constant).
 * forget: frees what prepare made.  No attempt is under way.  May be NULL.
 * start: begins an attempt, or goes on with one whose name has been resolved.
 *	It ends with check_done(), perhaps before start returns.
 * stop: ends an attempt without a report and frees c->run.
 * waiting: what the attempt waits for, in words: "connecting".
 */
struct prober {
	const char *(*prepare)(struct check *);
	void (*forget)(struct check *);
	void (*start)(struct check *);
	void (*stop)(struct check *);
	const char *(*waiting)(struct check *);
};

enum check_state {
	CHECK_PAUSED, /* the timer starts the next attempt */
	CHECK_READY, /* in a queue for it */
	CHECK_RUNNING, /* the timer ends the attempt */
};

/* What the last attempt says about the next: a queue for each. */
enum check_pace {
	PACE_QUICK, /* there was an answer of some kind */
	PACE_FRESH, /* there was no attempt yet */
	PACE_SLOW, /* timed out */
	PACE_COUNT,
};

/* One check of the manager; made and freed by check.c. */
struct check {
	RB_ENTRY(check) node;
	TAILQ_ENTRY(check) entry; /* while queue is not NULL */
	struct check_list *queue;
	TAILQ_ENTRY(check) waiter; /* while name is not NULL */
	struct resolve_name *name; /* that is being resolved for it */
	struct event timer;
	const struct prober *prober;
	void *run; /* of the prober, while RUNNING */
	struct http_check *http; /* of http.c */
	const char *problem; /* why no attempt can pass, or NULL */
	struct check_spec spec;
	uint64_t due; /* CHECK_FOR_EVER: when the attempt should begin */
	uint64_t started; /* the attempt */
	uint64_t pause; /* the last one; 0: none yet */
	uint32_t id;
	uint32_t attempts;
	enum check_state state;
	enum check_pace pace;
};

/* ---- check.c ----------------------------------------------------------- */

/*
 * `slots` attempts at most are under way at once.  Call after the sandbox
 * is entered or before, but before all others.
 */
void check_init(struct event_base *, unsigned int slots);
/*
 * Takes over the content of the spec.  Returns 0, or -1 when the id is in
 * use, MAX_CHECKS are there, or memory is out (the content is freed).
 */
int check_start(uint32_t id, struct check_spec *);
/* An unknown id is fine: the check may have passed in the meantime. */
void check_stop(uint32_t id);
void check_stop_all(void);
unsigned int check_count(void);
/*
 * The attempt has ended: reports it, and plans the next or frees the check.
 * The prober has freed c->run and set it to NULL.  `status` is HTTP's, or 0.
 * Do not use c afterwards.
 */
void check_done(struct check *, int passed, unsigned int status,
    const char *fmt, ...) __attribute__((format(printf, 4, 5)));
/* Calls prober->start() again soon: its name has been resolved. */
void check_wake(struct check *);
uint64_t now_ns(void);

/* ---- verifier.c -------------------------------------------------------- */

void report_attempt(const struct check *, int passed, uint64_t elapsed,
    unsigned int status, const char *detail);
void report_trying(const struct check *, const char *text);
/* IMSG_UNIX_CONNECT; the answer comes to unix_connected(). */
void ask_unix(uint32_t request, uint32_t entry);
/* IMSG_RESOLVER_WANTED; resolve_connected() is called when it is there. */
void ask_resolver(void);
/* It does not answer: closes its channel and calls resolve_lost(). */
void drop_resolver(void);

/* ---- http.c, tcp.c, unix.c --------------------------------------------- */

extern const struct prober http_prober;
extern const struct prober tcp_prober;
extern const struct prober unix_prober; /* CHECK_UNIX, CHECK_HTTP_UNIX */

/* Before the sandbox; fatal() when libcurl cannot be had. */
void http_prepare(struct event_base *, unsigned int connections);
/* Makes libcurl begin what was started since the last call. */
void http_flush(void);
void tcp_init(struct event_base *);
/*
 * Before a socket is closed: one that is connected to itself (a port of the
 * ephemeral range on which nobody listens, tried often enough) must not keep
 * the port from the service in TIME_WAIT.  Returns 1 if it is such a one.
 */
int socket_let_go(int fd);
void unix_init(struct event_base *);
/*
 * The parent's answer to ask_unix(); takes fd, which may be -1.  Returns -1
 * when it makes no sense.
 */
int unix_connected(uint32_t request, int error, int fd);

/* ---- tls.c ------------------------------------------------------------- */

/* Before the sandbox: opens the CA bundle. */
void tls_prepare(void);
/*
 * Gives the trusted certificates to an SSL_CTX (CURLOPT_SSL_CTX_FUNCTION).
 * They are parsed at the first call (20 ms) and shared from then on.
 * Returns 0 or -1.
 */
int tls_trust(void *ssl_ctx);

/* ---- text.c ------------------------------------------------------------ */

/*
 * "\"text\"" with what is not printable UTF-8 as \xNN; at most 40
 * characters, then "...".  Returns buf.
 */
const char *text_quote(char *buf, size_t size, const char *text);
/* Makes any bytes one printable line, in place. */
void text_clean(char *);
/* "5 s", "250 ms", "1.5 s" */
const char *text_duration(char *buf, size_t size, uint64_t ns);
/* strerror(3), beginning with a small letter. */
const char *text_error(char *buf, size_t size, int error);
/*
 * Of the errors with several addresses of a host the first is told; but that
 * one was refused says more than that there is no way to another.
 */
int error_says_more(int error, int than);
/* The same for any text: "Name or service not known". */
void text_lower(char *);

#endif
