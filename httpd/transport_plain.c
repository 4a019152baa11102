#include <sys/socket.h>

#include <errno.h>

#include "httpd.h"
#include "transport.h"

/* Bytes as they are: the worker of a configuration without TLS. */

size_t
transport_memory(void)
{
	return 0;
}

void
transport_prepare(void)
{
}

int
transport_open(struct client *c)
{
	(void)c;
	return 0;
}

int
transport_handshake(struct client *c)
{
	(void)c;
	return -1;
}

ssize_t
transport_read(struct client *c, void *buf, size_t size)
{
	return recv(c->fd, buf, size, 0);
}

ssize_t
transport_write(struct client *c, const void *data, size_t len)
{
	return send(c->fd, data, len, MSG_NOSIGNAL);
}

void
transport_end(struct client *c)
{
	(void)shutdown(c->fd, SHUT_WR);
}

void
transport_free(struct client *c)
{
	(void)c;
}

const char *
transport_certificate(struct client *c)
{
	(void)c;
	return NULL;
}

int64_t
transport_certificate_ends(struct client *c)
{
	(void)c;
	return 0;
}

int
transport_is_valid(struct client *c)
{
	(void)c;
	return 1;
}

/* It has nothing to do with TLS. */
int
transport_message(struct imsg *imsg)
{
	(void)imsg;
	return -1;
}
