#include <sys/socket.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <openssl/x509.h>

#include "../common/imsg.h"
#include "../common/log.h"
#include "../common/wire.h"
#include "httpd.h"
#include "tls.h"
#include "transport.h"

/*
 * Bytes through TLS: for connections of TCP; those of the Unix socket stay as
 * they are.  New certificates of ours are for new connections: libtls keeps
 * those of an old one as long as it lives.  What clients have shown is looked
 * at again.
 */

/*
 * Callbacks of libtls reach from a connection to the server that has accepted
 * it: a server lives as long as its last connection.
 */
struct tls_server {
	struct tls *tls;
	X509_STORE *authorities; /* of clients; NULL: none is asked for */
	int client_required;
	unsigned int users; /* connections, and 1 for `server` */
};

static struct tls_server *server; /* NULL: none yet, TCP is not served */
static struct tls_files coming;

size_t
transport_memory(void)
{
	return tls_memory_used();
}

void
transport_prepare(void)
{
	tls_memory_prepare();
	room_is_small(); /* connections take the rest */
	/* Reads files, and makes what the sandbox forbids. */
	if (tls_init() == -1)
		fatalx("tls_init failed");
	(void)tls_memory_for(1);
}

/* ---- certificates ----------------------------------------------------- */

static int
got_file(struct imsg *imsg)
{
	struct wire_reader r;
	uint8_t flags;
	uint8_t what;
	int fd;

	message_read(&r, imsg);
	what = wire_get_u8(&r);
	flags = wire_get_u8(&r);
	fd = imsg_get_fd(imsg);
	if (wire_end(&r) == -1 || fd == -1 || what < TLS_FILE_CERTIFICATE ||
	    what > TLS_FILE_KEY || coming.file[what].data != NULL) {
		if (fd != -1)
			(void)close(fd);
		return -1;
	}
	if (flags & TLS_FILE_REQUIRED)
		coming.client_required = 1;
	return tls_files_read(&coming, what, fd);
}

static void
verdict(uint8_t blame, const char *why)
{
	struct wire w;

	wire_init(&w);
	wire_put_u8(&w, blame);
	wire_put_str(&w, why);
	(void)channel_send_wire(parent_channel, IMSG_TLS_VERDICT, 0, -1, &w);
	wire_free(&w);
}

static void
server_release(struct tls_server *s)
{
	int before;

	if (s == NULL || --s->users > 0)
		return;
	before = tls_memory_for(0);
	tls_free(s->tls);
	X509_STORE_free(s->authorities);
	free(s);
	(void)tls_memory_for(before);
}

static int
server_replace(struct tls *tls, const struct tls_files *files)
{
	struct tls_server *next;

	next = calloc(1, sizeof(*next));
	if (next == NULL) {
		tls_free(tls);
		return -1;
	}
	next->tls = tls;
	next->users = 1;
	next->client_required = files->client_required;
	if (files->file[TLS_FILE_CLIENT_CA].data != NULL)
		next->authorities = tls_files_authorities(files);
	server_release(server);
	server = next;
	rights_renew_certificates();
	return 0;
}

static int
got_all(struct imsg *imsg)
{
	struct wire_reader r;
	struct tls *next;
	char why[400];
	uint8_t blame;
	uint8_t check;
	int n;

	message_read(&r, imsg);
	check = wire_get_u8(&r);
	if (wire_end(&r) == -1)
		return -1;
	if (check) {
		(void)tls_files_check(&coming, &blame, why, sizeof(why));
		tls_files_free(&coming);
		verdict(blame, why);
		return 0;
	}
	next = tls_files_server(&coming, &blame, why, sizeof(why));
	if (next == NULL) {
		tls_files_free(&coming);
		/* They were good a moment ago: no memory, perhaps. */
		log_warnx("TLS: %s", why);
		return server == NULL ? -1 : 0;
	}
	n = server_replace(next, &coming);
	tls_files_free(&coming);
	return n;
}

int
transport_message(struct imsg *imsg)
{
	int before;
	int n;

	before = tls_memory_for(0);
	n = imsg_get_type(imsg) == IMSG_TLS_FILE ? got_file(imsg) :
						   got_all(imsg);
	(void)tls_memory_for(before);
	return n;
}

/* ---- connections ------------------------------------------------------ */

int
transport_open(struct client *c)
{
	if (c->unix_socket)
		return 0;
	if (server == NULL ||
	    tls_accept_socket(server->tls, &c->tls, c->fd) == -1)
		return -1;
	c->server = server;
	server->users++;
	return 1;
}

int
transport_handshake(struct client *c)
{
	int n;

	tls_memory_limit(1);
	n = tls_handshake(c->tls);
	tls_memory_limit(0);
	if (n == 0) /* the server that it began with may be one of before */
		return c->server == server || transport_is_valid(c) != -1 ? 0 :
									    -1;
	if (n == TLS_WANT_POLLIN)
		return 1;
	if (n == TLS_WANT_POLLOUT)
		return 2;
	log_debug("TLS with %s: %s", c->from, tls_error(c->tls));
	return -1;
}

ssize_t
transport_read(struct client *c, void *buf, size_t size)
{
	ssize_t n;

	if (c->tls == NULL)
		return recv(c->fd, buf, size, 0);
	tls_memory_limit(1);
	n = tls_read(c->tls, buf, size);
	tls_memory_limit(0);
	if (n == TLS_WANT_POLLIN || n == TLS_WANT_POLLOUT) {
		errno = EAGAIN;
		return -1;
	}
	if (n < 0) {
		errno = ECONNRESET;
		return -1;
	}
	return n;
}

ssize_t
transport_write(struct client *c, const void *data, size_t len)
{
	ssize_t n;

	if (c->tls == NULL)
		return send(c->fd, data, len, MSG_NOSIGNAL);
	n = tls_write(c->tls, data, len);
	if (n == TLS_WANT_POLLOUT) {
		errno = EAGAIN;
		return -1;
	}
	/* Nothing that it could want to read first: there is no
	 * renegotiation. */
	if (n < 0) {
		errno = EPIPE;
		return -1;
	}
	return n;
}

void
transport_end(struct client *c)
{
	/* As far as it goes at once. */
	if (c->tls != NULL)
		(void)tls_close(c->tls);
	(void)shutdown(c->fd, SHUT_WR);
}

void
transport_free(struct client *c)
{
	tls_free(c->tls);
	server_release(c->server);
}

/* ---- who it is -------------------------------------------------------- */

const char *
transport_certificate(struct client *c)
{
	return c->tls != NULL && tls_peer_cert_provided(c->tls) ?
	    tls_peer_cert_hash(c->tls) :
	    NULL;
}

int64_t
transport_certificate_ends(struct client *c)
{
	time_t ends;

	ends = tls_peer_cert_notafter(c->tls);
	return ends == -1 ? 0 : (int64_t)ends;
}

int
transport_is_valid(struct client *c)
{
	const uint8_t *chain;
	size_t len;

	if (!tls_peer_cert_provided(c->tls))
		return server->client_required ? -1 : 1;
	/* None is asked for, or there was no memory: that is no excuse. */
	if (server->authorities == NULL)
		return server->client_required ? -1 : 0;
	chain = tls_peer_cert_chain_pem(c->tls, &len);
	return chain != NULL &&
		tls_chain_is_valid(server->authorities, chain, len) ?
	    1 :
	    -1;
}
