#include <sys/socket.h>

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>

#include "../common/log.h"
#include "httpd.h"

/*
 * Who may ask: on the Unix socket the kernel names the peer, over loopback
 * TCP it tells whose socket the other end is.  root, the owner and those
 * that the configuration lists may; nobody else.
 */

static int diag = -1;

void
access_prepare(void)
{
	diag = diag_open();
	if (diag == -1)
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
	c->uid = diag_uid(diag, (struct sockaddr *)&local, peer);
	return role_of_uid(c->uid);
}

/*
 * Host must be a local name, so that a page of a name that is made to
 * resolve to 127.0.0.1 gets nothing; a page of a foreign origin neither.
 * HTTP/1.0 may have no Host.
 */
int
access_request(const struct client *c, const char *buf, const char **reason)
{
	const struct http_request *q;
	const struct http_field *origin;
	const struct http_field *site;
	const char *const *hosts;
	const char *const *origins;

	q = &c->req;
	hosts = (const char *const *)replica.hosts;
	origins = (const char *const *)replica.origins;
	if (!c->unix_socket && q->host.len > 0 &&
	    !http_host_is_local(buf + q->host.off, q->host.len, hosts)) {
		*reason = "the Host is not one of ours";
		return 403;
	}
	origin = http_request_known(q, HTTP_KNOWN_ORIGIN);
	if (origin != NULL &&
	    !http_origin_is_same(buf + origin->value.off, origin->value.len, 0,
		buf + q->host.off, q->host.len, origins)) {
		*reason = "the Origin is foreign";
		return 403;
	}
	site = http_request_known(q, HTTP_KNOWN_SEC_FETCH_SITE);
	if (site != NULL && origin == NULL && site->value.len == 10 &&
	    memcmp(buf + site->value.off, "cross-site", 10) == 0) {
		*reason = "the request comes from a foreign site";
		return 403;
	}
	return 0;
}
