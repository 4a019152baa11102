#ifndef MUSTER_CTL_TRANSPORT_H
#define MUSTER_CTL_TRANSPORT_H

#include <sys/types.h>

#include <stddef.h>

struct client;

/*
 * The bytes of a connection: as they are (transport_plain.c), or through TLS
 * (transport_tls.c, the program musterctl-tls): who does not speak TLS shall
 * not wait for its libraries at each start.
 */

/* https:// was asked for: 0, or -1 with a complaint.  Does not return where
 * another program does that. */
int transport_secure(void);
/* After connect(2): 0, or -1 with errno, or with a complaint and errno 0. */
int transport_begin(struct client *);
/* As send(2) and read(2): -1 with EAGAIN when it would wait. */
ssize_t transport_write(struct client *, const void *, size_t);
ssize_t transport_read(struct client *, void *, size_t);
void transport_end(struct client *);

#endif
