#include <sys/socket.h>

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include <sha2.h>

#include "../common/log.h"
#include "httpd.h"
#include "transport.h"

/*
 * Who may ask: who shows a token or a certificate, what these are for.  Else,
 * on the Unix socket the kernel names the peer, and over loopback TCP it tells
 * whose socket the other end is: root, the owner and those that the
 * configuration lists may; nobody else.
 */

static int diag = -1;

void
access_prepare(void)
{
	diag = diag_open();
	if (diag != -1)
		return;
	/* A shortage passes: another worker may know them. */
	if (errno == EMFILE || errno == ENFILE || errno == ENOMEM ||
	    errno == ENOBUFS)
		fatal("sock_diag");
	log_warn("sock_diag: peers on TCP stay unknown");
}

static int
listed(const uint32_t *list, uint32_t n, uint32_t id)
{
	uint32_t i;

	for (i = 0; i < n; i++)
		if (list[i] == id)
			return 1;
	return 0;
}

static enum access_role
role_of_uid(int64_t uid)
{
	if (uid == 0 || uid == (int64_t)replica.owner)
		return ACCESS_ADMIN;
	if (uid > 0 && listed(replica.uids, replica.nuids, (uint32_t)uid))
		return ACCESS_ADMIN;
	return ACCESS_NONE;
}

static enum access_role
unix_peer(struct client *c)
{
	struct ucred cred;
	gid_t groups[64];
	socklen_t len;
	size_t i;

	len = sizeof(cred);
	(void)snprintf(c->from, sizeof(c->from), "unix");
	c->uid = -1;
	if (getsockopt(c->fd, SOL_SOCKET, SO_PEERCRED, &cred, &len) == -1)
		return ACCESS_NONE;
	c->uid = cred.uid;
	(void)snprintf(c->from, sizeof(c->from), "unix:pid=%d", cred.pid);
	if (role_of_uid(c->uid) != ACCESS_NONE)
		return role_of_uid(c->uid);
	if (replica.ngids == 0)
		return ACCESS_NONE;
	if (listed(replica.gids, replica.ngids, cred.gid))
		return ACCESS_ADMIN;
	len = sizeof(groups);
	if (getsockopt(c->fd, SOL_SOCKET, SO_PEERGROUPS, groups, &len) == -1)
		return ACCESS_NONE;
	for (i = 0; i < len / sizeof(*groups); i++)
		if (listed(replica.gids, replica.ngids, groups[i]))
			return ACCESS_ADMIN;
	return ACCESS_NONE;
}

static int
is_loopback(const struct sockaddr *sa)
{
	const struct sockaddr_in6 *v6;
	const struct sockaddr_in *v4;

	if (sa->sa_family == AF_INET) {
		v4 = (const struct sockaddr_in *)(const void *)sa;
		return ntohl(v4->sin_addr.s_addr) >> 24 == 127;
	}
	v6 = (const struct sockaddr_in6 *)(const void *)sa;
	return IN6_IS_ADDR_LOOPBACK(&v6->sin6_addr);
}

enum access_role
access_peer(struct client *c, const struct sockaddr *peer)
{
	const struct sockaddr_in6 *v6;
	const struct sockaddr_in *v4;
	struct sockaddr_storage local;
	char text[INET6_ADDRSTRLEN];
	const void *address;
	socklen_t len;
	uint16_t from;

	if (c->unix_socket)
		return unix_peer(c);
	c->uid = -1;
	memset(&local, 0, sizeof(local));
	len = sizeof(local);
	if (getsockname(c->fd, (struct sockaddr *)&local, &len) == -1)
		return ACCESS_NONE;
	if (peer->sa_family == AF_INET) {
		v4 = (const struct sockaddr_in *)(const void *)peer;
		address = &v4->sin_addr;
		from = ntohs(v4->sin_port);
	} else {
		v6 = (const struct sockaddr_in6 *)(const void *)peer;
		address = &v6->sin6_addr;
		from = ntohs(v6->sin6_port);
	}
	if (inet_ntop(peer->sa_family, address, text, sizeof(text)) == NULL)
		return ACCESS_NONE;
	(void)snprintf(c->from, sizeof(c->from), "%s:%u", text, from);
	/* Only who is on this machine has a user here. */
	if (is_loopback((struct sockaddr *)&local))
		c->uid = diag_uid(diag, (struct sockaddr *)&local, peer);
	return role_of_uid(c->uid);
}

void
access_peer_again(struct client *c)
{
	c->allowed =
	    (uint8_t)(c->unix_socket ? unix_peer(c) : role_of_uid(c->uid));
}

static int
digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

void
access_certificate(struct client *c)
{
	const char *digits;
	size_t i;

	digits = transport_certificate(c);
	if (digits == NULL || strncmp(digits, "SHA256:", 7) != 0)
		return;
	digits += 7;
	for (i = 0; i < sizeof(c->certificate); i++, digits += 2) {
		if (digit(digits[0]) == -1 || digit(digits[1]) == -1)
			return;
		c->certificate[i] =
		    (uint8_t)(digit(digits[0]) << 4 | digit(digits[1]));
	}
	c->certificate_ends = transport_certificate_ends(c);
	c->is_certified = 1;
}

/* ---- requests ------------------------------------------------------- */

/* "Bearer TOKEN" (RFC 6750 §2.1): 1 there is one, 0 there is none. */
static int
bearer(const struct client *c, const char *buf)
{
	const struct http_field *field;
	const char *value;

	field = http_request_known(&c->req, HTTP_KNOWN_AUTHORIZATION);
	if (field == NULL)
		return 0;
	value = buf + field->value.off;
	return field->value.len >= 6 && http_equal(value, "Bearer", 6);
}

/* Its hash; -1: it is none. */
static int
bearer_hash(struct client *c, const char *buf)
{
	const struct http_field *field;
	SHA2_CTX context;
	const char *value;
	size_t len;

	field = http_request_known(&c->req, HTTP_KNOWN_AUTHORIZATION);
	value = buf + field->value.off + 6;
	len = field->value.len - 6;
	if (len == 0 || *value != ' ')
		return -1;
	for (; len > 0 && *value == ' '; len--)
		value++;
	SHA256Init(&context);
	SHA256Update(&context, (const uint8_t *)value, len);
	SHA256Final(c->token, &context);
	return 0;
}

static int
has_expired(int64_t ends)
{
	return ends != 0 && time(NULL) >= ends;
}

static enum access_role
of_token(struct client *c, const char **reason)
{
	const struct principal *p;

	*reason = "this token is not known";
	p = principal_find(PRINCIPAL_TOKEN, c->token);
	if (p == NULL)
		return ACCESS_NONE;
	*reason = "this token has expired";
	if (has_expired(p->expires))
		return ACCESS_NONE;
	c->principal = p;
	c->ends = p->expires;
	return (enum access_role)p->role;
}

/* Certificates of the client CA are all alike until some are named. */
static enum access_role
of_certificate(struct client *c)
{
	const struct principal *p;

	if (!c->is_certified || has_expired(c->certificate_ends))
		return ACCESS_NONE;
	p = principal_find(PRINCIPAL_CERTIFICATE, c->certificate);
	if (p != NULL && has_expired(p->expires))
		return ACCESS_NONE;
	c->principal = p;
	c->ends = c->certificate_ends;
	if (p != NULL && p->expires != 0 &&
	    (c->ends == 0 || p->expires < c->ends))
		c->ends = p->expires;
	if (p != NULL)
		return (enum access_role)p->role;
	return principals_count(PRINCIPAL_CERTIFICATE) == 0 ? ACCESS_ADMIN :
							      ACCESS_NONE;
}

static enum access_role
of_user(const struct client *c)
{
	if (c->allowed == ACCESS_NONE && !c->unix_socket &&
	    (replica.flags & FEED_INSECURE))
		return ACCESS_ADMIN;
	return (enum access_role)c->allowed;
}

static int
identify(struct client *c, const char *buf, const char **reason)
{
	c->principal = NULL;
	c->ends = 0;
	if (bearer(c, buf)) {
		c->by = BY_TOKEN;
		*reason = "this token is not known";
		c->role = bearer_hash(c, buf) == -1 ?
		    ACCESS_NONE :
		    (uint8_t)of_token(c, reason);
		return c->role == ACCESS_NONE ? 401 : 0;
	}
	c->by = BY_CERTIFICATE;
	c->role = (uint8_t)of_certificate(c);
	if (c->role == ACCESS_NONE) {
		c->by = BY_USER;
		c->ends = 0;
		c->role = (uint8_t)of_user(c);
	}
	if (c->role != ACCESS_NONE)
		return 0;
	if (c->tls != NULL || (replica.flags & FEED_FOREIGN) ||
	    principals_count(PRINCIPAL_TOKEN) > 0) {
		*reason = "this wants a token (Authorization: Bearer)";
		return 401;
	}
	*reason = "this user may not speak to this musterd (see "
		  "http.allow-users)";
	return 403;
}

enum access_role
access_again(struct client *c)
{
	const char *reason;

	c->principal = NULL;
	c->ends = 0;
	switch (c->by) {
	case BY_TOKEN:
		c->role = (uint8_t)of_token(c, &reason);
		break;
	case BY_CERTIFICATE:
		c->role = (uint8_t)of_certificate(c);
		break;
	default:
		c->role = (uint8_t)of_user(c);
		break;
	}
	return (enum access_role)c->role;
}

void
access_who(const struct client *c, char *buf, size_t size)
{
	buf[0] = '\0';
	if (c->principal != NULL)
		(void)snprintf(buf, size, "%s %s",
		    c->principal->kind == PRINCIPAL_TOKEN ? "token" :
							    "certificate",
		    c->principal->name);
	else if (c->is_certified && c->uid == -1)
		(void)snprintf(buf, size, "certificate %02x%02x%02x%02x...",
		    c->certificate[0], c->certificate[1], c->certificate[2],
		    c->certificate[3]);
}

int
access_find(const struct client *c, uint32_t id, struct replica_process *p)
{
	if (replica_find(id, p) == -1)
		return -1;
	return principal_covers(c->principal, p->job, p->job_len) ? 0 : -1;
}

int
access_next(const struct client *c, const struct table *of, size_t *cursor,
    struct replica_process *p)
{
	while (replica_next(of, cursor, p))
		if (principal_covers(c->principal, p->job, p->job_len))
			return 1;
	return 0;
}

int
access_is_whole(const struct client *c)
{
	return c->principal == NULL || c->principal->scope[0] == NULL;
}

/*
 * Host must be a local name, so that a page of a name that is made to
 * resolve to 127.0.0.1 gets nothing; a page of a foreign origin neither.
 * HTTP/1.0 may have no Host.  Who shows what no browser adds by itself may use
 * any name, and a number is nobody's name.
 */
static int
is_our_host(const struct client *c, const char *buf)
{
	const struct http_request *q;
	struct http_host host;
	const char *name;

	q = &c->req;
	name = buf + q->host.off;
	if (c->unix_socket || q->host.len == 0 || c->principal != NULL ||
	    (c->is_certified && c->role != ACCESS_NONE))
		return 1;
	if ((replica.flags & FEED_FOREIGN) &&
	    http_host_parse(name, q->host.len, &host) == 0 &&
	    host.kind != HTTP_HOST_NAME)
		return 1;
	return http_host_is_local(
	    name, q->host.len, (const char *const *)replica.hosts);
}

int
access_request(struct client *c, const char *buf, const char **reason)
{
	const struct http_request *q;
	const struct http_field *origin;
	const struct http_field *site;
	int status;

	q = &c->req;
	status = identify(c, buf, reason);
	if (status == 401)
		return status;
	if (!is_our_host(c, buf)) {
		*reason = "the Host is not one of ours";
		return 403;
	}
	origin = http_request_known(q, HTTP_KNOWN_ORIGIN);
	if (origin != NULL &&
	    !http_origin_is_same(buf + origin->value.off, origin->value.len,
		c->tls != NULL, buf + q->host.off, q->host.len,
		(const char *const *)replica.origins)) {
		*reason = "the Origin is foreign";
		return 403;
	}
	site = http_request_known(q, HTTP_KNOWN_SEC_FETCH_SITE);
	if (site != NULL && origin == NULL && site->value.len == 10 &&
	    memcmp(buf + site->value.off, "cross-site", 10) == 0) {
		*reason = "the request comes from a foreign site";
		return 403;
	}
	return status;
}
