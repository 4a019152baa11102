#include <sys/socket.h>

#include <arpa/inet.h>
#include <errno.h>
#include <linux/inet_diag.h>
#include <linux/netlink.h>
#include <linux/sock_diag.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <string.h>

#include "httpd.h"

/*
 * Who is at the other end of a loopback connection: sock_diag(7).  The
 * answer counts only if it names an inode: a socket that its owner has
 * closed shows uid 0.
 */

int
diag_open(void)
{
	return socket(AF_NETLINK, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK,
	    NETLINK_SOCK_DIAG);
}

struct query {
	struct nlmsghdr header;
	struct inet_diag_req_v2 request;
};

/* Fills ports and addresses: the peer's socket is the one asked for. */
static int
fill(struct query *q, const struct sockaddr *local, const struct sockaddr *peer)
{
	const struct sockaddr_in6 *l6;
	const struct sockaddr_in6 *p6;
	const struct sockaddr_in *l4;
	const struct sockaddr_in *p4;
	struct inet_diag_sockid *id;

	id = &q->request.id;
	if (local->sa_family == AF_INET && peer->sa_family == AF_INET) {
		l4 = (const struct sockaddr_in *)(const void *)local;
		p4 = (const struct sockaddr_in *)(const void *)peer;
		q->request.sdiag_family = AF_INET;
		id->idiag_sport = p4->sin_port;
		id->idiag_dport = l4->sin_port;
		id->idiag_src[0] = p4->sin_addr.s_addr;
		id->idiag_dst[0] = l4->sin_addr.s_addr;
		return 0;
	}
	if (local->sa_family != AF_INET6 || peer->sa_family != AF_INET6)
		return -1;
	l6 = (const struct sockaddr_in6 *)(const void *)local;
	p6 = (const struct sockaddr_in6 *)(const void *)peer;
	id->idiag_sport = p6->sin6_port;
	id->idiag_dport = l6->sin6_port;
	if (IN6_IS_ADDR_V4MAPPED(&p6->sin6_addr)) {
		q->request.sdiag_family = AF_INET;
		memcpy(&id->idiag_src[0], &p6->sin6_addr.s6_addr[12], 4);
		memcpy(&id->idiag_dst[0], &l6->sin6_addr.s6_addr[12], 4);
		return 0;
	}
	q->request.sdiag_family = AF_INET6;
	memcpy(id->idiag_src, &p6->sin6_addr, 16);
	memcpy(id->idiag_dst, &l6->sin6_addr, 16);
	return 0;
}

int64_t
diag_uid(int fd, const struct sockaddr *local, const struct sockaddr *peer)
{
	static uint32_t sequence;
	union {
		struct nlmsghdr header;
		char bytes[4096];
	} answer;
	const struct inet_diag_msg *msg;
	struct query q;
	ssize_t n;

	memset(&q, 0, sizeof(q));
	q.header.nlmsg_len = sizeof(q);
	q.header.nlmsg_type = SOCK_DIAG_BY_FAMILY;
	q.header.nlmsg_flags = NLM_F_REQUEST;
	q.header.nlmsg_seq = ++sequence;
	q.request.sdiag_protocol = IPPROTO_TCP;
	q.request.idiag_states = (uint32_t)-1;
	q.request.id.idiag_cookie[0] = INET_DIAG_NOCOOKIE;
	q.request.id.idiag_cookie[1] = INET_DIAG_NOCOOKIE;
	if (fd == -1 || fill(&q, local, peer) == -1 ||
	    send(fd, &q, sizeof(q), 0) != (ssize_t)sizeof(q))
		return -1;
	/* The kernel answers within the send. */
	do
		n = recv(fd, &answer, sizeof(answer), 0);
	while (n > 0 && answer.header.nlmsg_seq != sequence);
	if (n < (ssize_t)(NLMSG_LENGTH(sizeof(*msg))) ||
	    answer.header.nlmsg_type != SOCK_DIAG_BY_FAMILY)
		return -1;
	msg = NLMSG_DATA(&answer.header);
	return msg->idiag_inode == 0 ? -1 : (int64_t)msg->idiag_uid;
}
