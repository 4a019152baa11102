#ifndef MUSTER_CHANNEL_H
#define MUSTER_CHANNEL_H

#include <stddef.h>
#include <stdint.h>

struct event_base;
struct imsg;
struct wire;
struct wire_reader;

/*
 * One end of an imsg connection in a libevent loop.  Both ends are made by
 * the parent with socketpair(2); the channel is the identity of the peer,
 * the pid in message headers is ignored.
 */
struct channel;

/*
 * Called for each message.  Returns 0, or -1 when the message is malformed
 * or out of place: the channel is then lost (see below).  The function may
 * call channel_free() on its own channel and must then return 0.
 */
typedef int (*channel_message_fn)(struct channel *, struct imsg *, void *arg);
/*
 * Called once when the peer has gone, sent rubbish, or does not read (more
 * than the limit is queued): `why` is a short constant text.  No further
 * message is delivered; the owner frees the channel.
 */
typedef void (*channel_lost_fn)(struct channel *, const char *why, void *arg);
/* 1 if that was because we had no memory: the peer is still there. */
int channel_no_memory(const char *why);

/* The text of one that has closed its end; all others are faults of it. */
extern const char channel_gone[];

#define CHANNEL_ACCEPT_FDS 1 /* descriptors may be received */
#define CHANNEL_MAX_MESSAGE (64UL * 1024) /* bytes with header */
#define CHANNEL_QUEUE_LIMIT (16UL * 1024 * 1024) /* default, bytes unsent */

/*
 * Takes ownership of fd (made non-blocking and close-on-exec).  Returns
 * NULL with errno set when out of memory (fd is then closed).
 */
struct channel *channel_new(struct event_base *, int fd, int flags,
    channel_message_fn, channel_lost_fn, void *arg);
/* Closes and frees; NULL is fine; safe inside a callback of this channel. */
void channel_free(struct channel *);
/*
 * Queue a message; it is written by the loop at the end of this turn, with
 * all others of the turn in few system calls.  `fd` is -1 or a descriptor
 * that is taken over and closed once sent (also on failure).  Returns 0, or
 * -1 when out of memory, too long or lost; the peer is then lost anyway.
 */
int channel_send(struct channel *, uint32_t type, uint32_t id, int fd,
    const void *data, size_t len);
/* The same with the content of a wire, which may be failed (then -1). */
int channel_send_wire(
    struct channel *, uint32_t type, uint32_t id, int fd, const struct wire *);
/* Writes what can be written now without blocking.  0 or -1. */
int channel_flush(struct channel *);
/* Reads and dispatches what is there now, without waiting. */
void channel_poll(struct channel *);
/* Unsent bytes. */
size_t channel_queued(const struct channel *);
void channel_set_limit(struct channel *, size_t bytes);
/*
 * Priority in the loop (event_priority_set(3)), of writing as well: what a
 * callback of a lower priority sends goes out at once, not with the turn.
 */
void channel_set_priority(struct channel *, int);
/*
 * Stop and go on reading (back pressure).  While reading is stopped a peer
 * that has gone is noticed only when something is sent to it; the pause ends
 * then.
 */
void channel_pause(struct channel *);
void channel_resume(struct channel *);

/* Messages so far, over all channels. */
unsigned int channel_received(void);
/* Is called when so many messages have come, over whichever channels. */
#define CHANNEL_MANY 256
void channel_on_many(void (*)(void));

/*
 * Starts reading the payload of a message, which is taken from it: call it
 * once.  An empty payload reads as no bytes.
 */
void message_read(struct wire_reader *, struct imsg *);

#endif
