#ifndef MUSTER_VERIFIER_RESOLVE_H
#define MUSTER_VERIFIER_RESOLVE_H

#include <stddef.h>
#include <stdint.h>

#include "../common/wire.h"

struct check;
struct event_base;

/*
 * Names to addresses, for the probers.  The resolver program looks names up
 * one at a time; what it said is kept for 30 seconds, a failure for one.
 * `localhost` and names under it are 127.0.0.1 and ::1 (RFC 6761 §6.3)
 * without asking it.
 */
#define MAX_ADDRESSES 16 /* of a name, see IMSG_RESOLVED */

struct address {
	uint8_t family; /* 4 or 6 */
	uint8_t bytes[16]; /* 4 or 16 of them, network order */
};

struct addresses {
	int error; /* of getaddrinfo(3); 0: there is at least one */
	unsigned int count;
	const struct address *list; /* in the order to be tried */
};

void resolve_init(struct event_base *);
/*
 * Returns 1 and fills in the answer (valid until the next resolve_ call); or
 * 0: check_wake() is called for the check when there is one.  `host` may be
 * an address.
 */
int resolve_start(struct check *, const char *host, struct addresses *);
/* It waits no more; harmless when it does not wait. */
void resolve_stop(struct check *);
/* "cannot resolve NAME: why" for answers with an error. */
const char *resolve_problem(
    char *buf, size_t size, const char *host, const struct addresses *);

/* ---- for verifier.c ---------------------------------------------------- */

/* A name for the resolver: sends IMSG_RESOLVE.  0 or -1. */
typedef int (*resolve_send_fn)(uint32_t id, const char *name);
/* The resolver is there. */
void resolve_connected(resolve_send_fn);
/*
 * It has gone: the name that it was asked for fails, so that one which ends
 * the resolver does not do so for ever; the others wait for the next one.
 */
void resolve_lost(void);
/* IMSG_RESOLVED.  Returns -1 when it is malformed or not an answer. */
int resolve_answer(uint32_t id, struct wire_reader *);

#endif
