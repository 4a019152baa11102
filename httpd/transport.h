#ifndef MUSTER_TRANSPORT_H
#define MUSTER_TRANSPORT_H

#include <sys/types.h>

#include <stddef.h>
#include <stdint.h>

struct client;
struct imsg;

/*
 * The bytes of a connection: as they are (transport_plain.c), or through TLS
 * where it is one of TCP (transport_tls.c).  A worker has one of the two, as
 * a program that links libtls takes much more memory.
 */

/* Bytes that all connections take here. */
size_t transport_memory(void);
/* Before the sandbox. */
void transport_prepare(void);
/*
 * A new connection.  0, 1: there is a handshake to do before anything else,
 * -1: it cannot be served.
 */
int transport_open(struct client *);
/* Goes on with it: 0 done, 1 wants to read, 2 wants to write, -1 failed. */
int transport_handshake(struct client *);
/* As recv(2) and send(2) without flags: -1 with EAGAIN if there is nothing. */
ssize_t transport_read(struct client *, void *, size_t);
ssize_t transport_write(struct client *, const void *, size_t);
/* Tells the peer that no more is written; the descriptor stays. */
void transport_end(struct client *);
void transport_free(struct client *);
/* "SHA256:" and digits of the peer's certificate, or NULL: it has none. */
const char *transport_certificate(struct client *);
/* Until when it is valid: wall, seconds. */
int64_t transport_certificate_ends(struct client *);
/*
 * Would its certificate do today?  1, 0: it would not be asked for, -1: the
 * connection would be refused.
 */
int transport_is_valid(struct client *);
/* IMSG_TLS_FILE, IMSG_TLS_DONE: 0 or -1. */
int transport_message(struct imsg *);

#endif
