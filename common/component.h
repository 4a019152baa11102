#ifndef MUSTER_COMPONENT_H
#define MUSTER_COMPONENT_H

#include <event2/event.h>

#include "channel.h"
#include "message.h"
#include "sandbox.h"

/*
 * What the unprivileged programs have in common.  The parent starts them as
 *	PROGRAM -i INSTANCE [-u UID -g GID -r DIR] [-t] [-v LEVEL]
 * with descriptor COMPONENT_FD connected to the parent, 0-2 on /dev/null
 * (2 is musterd's own in -t mode), a clean environment (PATH, TZ, LANG),
 * nothing else open.
 */
#define COMPONENT_FD 3

struct component {
	const char *name; /* "manager" */
	enum sandbox_role role;
	int instance; /* httpd workers: 0, 1, … */
	struct event_base *base;
	struct channel *parent;
	channel_message_fn dispatch; /* messages of the parent */
	/* Work that must be done before the sandbox (may be NULL). */
	void (*prepare)(struct component *);
	/* After the sandbox, before the loop (may be NULL). */
	void (*ready)(struct component *);
	void *arg; /* given to dispatch; may be set in prepare or ready */
};

/*
 * For a channel_lost_fn: has the parent replace a peer that sends rubbish or
 * does not read.  One that has just gone is replaced anyway.
 */
void component_peer_lost(enum role, uint32_t instance, const char *why);
/* Says that this peer owes an answer for too long; see IMSG_PEER_LATE. */
void component_peer_late(enum role, uint32_t instance);
/*
 * Makes the event base (three priorities, 0 is served first; epoll; no signal
 * handlers; SIGPIPE ignored) and the parent's channel, of which nothing is
 * read before the loop runs; sets log messages to go there as IMSG_LOG, so
 * that those of a start that fails arrive as well; parses the arguments,
 * sets the title ("musterd: manager"), calls prepare, enters the sandbox,
 * calls ready and runs the loop.  When the parent has gone the program exits
 * at once with status 0.  Does not return.
 */
void component_run(struct component *, int argc, char **argv)
    __attribute__((noreturn));

#endif
