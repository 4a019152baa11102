#include <sys/socket.h>

#include <errno.h>
#include <poll.h>
#include <unistd.h>

#include <tls.h>

#include "ctl.h"
#include "transport.h"

/* Bytes through TLS; those of a Unix socket, or of http://, as they are. */

int
transport_secure(void)
{
	return 0;
}

/* NULL: complained. */
static struct tls *
new_client(void)
{
	struct tls_config *config;
	struct tls *tls;
	const char *why;

	why = NULL;
	tls = tls_client();
	config = tls_config_new();
	if (tls == NULL || config == NULL)
		why = "no memory";
	else if (tls_config_set_protocols(config,
		     TLS_PROTOCOL_TLSv1_2 | TLS_PROTOCOL_TLSv1_3) == -1 ||
	    (options.cacert != NULL &&
		tls_config_set_ca_file(config, options.cacert) == -1) ||
	    (options.cert != NULL &&
		tls_config_set_keypair_file(config, options.cert,
		    options.key == NULL ? options.cert : options.key) == -1))
		why = tls_config_error(config);
	else if (tls_configure(tls, config) == -1)
		why = tls_error(tls);
	if (why != NULL)
		complain("TLS: %s", why); /* it is the config's */
	tls_config_free(config);
	if (why == NULL)
		return tls;
	tls_free(tls);
	return NULL;
}

/* Waits for what TLS wants: 0, or -1 when it takes too long. */
static int
await(int fd, int want)
{
	struct pollfd pfd;

	pfd.fd = fd;
	pfd.events = want == TLS_WANT_POLLOUT ? POLLOUT : POLLIN;
	errno = ETIMEDOUT;
	return poll(&pfd, 1, (int)(patience(CONNECT_SECONDS) * 1000)) > 0 ? 0 :
									    -1;
}

int
transport_begin(struct client *c)
{
	int n;

	c->tls = NULL;
	if (!endpoint.tls)
		return 0;
	errno = 0;
	c->tls = new_client();
	if (c->tls == NULL) {
		errno = 0; /* it was told why */
		return -1;
	}
	n = tls_connect_socket(c->tls, c->fd, endpoint.host);
	while (n == 0 && (n = tls_handshake(c->tls)) < -1)
		n = await(c->fd, n);
	if (n == 0)
		return 0;
	if (errno == ETIMEDOUT)
		return -1;
	complain("%s: %s", endpoint_text(),
	    tls_error(c->tls) == NULL ? "TLS failed" : tls_error(c->tls));
	errno = 0;
	return -1;
}

static ssize_t
result_of(ssize_t n)
{
	if (n >= 0)
		return n;
	errno =
	    n == TLS_WANT_POLLIN || n == TLS_WANT_POLLOUT ? EAGAIN : ECONNRESET;
	return -1;
}

ssize_t
transport_write(struct client *c, const void *data, size_t len)
{
	if (c->tls == NULL)
		return send(c->fd, data, len, MSG_NOSIGNAL);
	return result_of(tls_write(c->tls, data, len));
}

ssize_t
transport_read(struct client *c, void *buf, size_t size)
{
	if (c->tls == NULL)
		return read(c->fd, buf, size);
	return result_of(tls_read(c->tls, buf, size));
}

void
transport_end(struct client *c)
{
	if (c->tls == NULL)
		return;
	(void)tls_close(c->tls);
	tls_free(c->tls);
	c->tls = NULL;
}
