#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <string.h>
#include <unistd.h>

#include <bsd/string.h>

#include "../common/log.h"
#include "parent.h"

/* Sockets: the listeners of the API, named ones for jobs, and connects. */

/*
 * Bytes that the kernel keeps for a client of the API who does not read; it
 * would let them grow to megabytes for each (tcp(7), tcp_wmem).
 */
#define API_BUFFER (64 * 1024)
#define MAX_UNREAD (16UL * 1024) /* answers, each with a descriptor */

union address {
	struct sockaddr sa;
	struct sockaddr_in in;
	struct sockaddr_in6 in6;
	struct sockaddr_un un;
};

struct wanted {
	union address address;
	socklen_t size;
	uint32_t mode;
	uint32_t backlog;
	int family;
	int type;
	int reuseport;
};

/* The start of an entry: what kind of address it has; 0 or -1. */
static int
read_kind(const struct entry *e, struct wire_reader *r, struct wanted *want)
{
	size_t len;
	uint8_t kind;
	uint8_t type;

	wire_read(r, e->data, e->len);
	want->type = SOCK_STREAM;
	if (e->kind == ENTRY_LISTEN) {
		kind = wire_get_u8(r);
		want->family = kind == LISTENER_UNIX ? AF_UNIX : AF_INET;
		return kind == LISTENER_UNIX || kind == LISTENER_TCP ? 0 : -1;
	}
	(void)wire_get_view(r, MAX_NAME, &len);
	kind = wire_get_u8(r);
	want->family = kind == 1 ? AF_UNIX : kind == 6 ? AF_INET6 : AF_INET;
	type = wire_get_u8(r);
	if (type == 2)
		want->type = SOCK_DGRAM;
	return type - 1U < 2 && (kind == 1 || kind == 4 || kind == 6) ? 0 : -1;
}

/* Numeric addresses only; 0 or -1. */
static int
read_wanted(const struct entry *e, struct wanted *want)
{
	struct wire_reader r;
	union address *a;
	char address[64];
	uint16_t port;

	memset(want, 0, sizeof(*want));
	a = &want->address;
	if (read_kind(e, &r, want) == -1)
		return -1;
	wire_get_string(&r, address, sizeof(address));
	port = htons(wire_get_u16(&r));
	wire_get_string(&r, a->un.sun_path,
	    want->family == AF_UNIX ? sizeof(a->un.sun_path) : 1);
	want->mode = wire_get_u32(&r);
	want->backlog = wire_get_u32(&r);
	if (e->kind == ENTRY_SOCKET)
		want->reuseport = wire_get_bool(&r);
	if (wire_end(&r) == -1 || want->mode > 0777 ||
	    want->backlog > INT32_MAX)
		return -1;
	want->size = sizeof(a->un);
	if (want->family == AF_UNIX) {
		a->un.sun_family = AF_UNIX;
		return a->un.sun_path[0] == '/' ? 0 : -1;
	}
	want->family = strchr(address, ':') != NULL ? AF_INET6 : AF_INET;
	a->sa.sa_family = (sa_family_t)want->family;
	if (want->family == AF_INET6) {
		a->in6.sin6_port = port;
		want->size = sizeof(a->in6);
		return inet_pton(AF_INET6, address, &a->in6.sin6_addr) - 1;
	}
	a->in.sin_port = port;
	want->size = sizeof(a->in);
	return inet_pton(AF_INET, address, &a->in.sin_addr) - 1;
}

int
socket_check(const struct entry *e)
{
	struct wanted want;

	return read_wanted(e, &want);
}

void
socket_path(const struct entry *e, char *buf, size_t size)
{
	struct wanted want;

	buf[0] = '\0';
	if (read_wanted(e, &want) == 0 && want.family == AF_UNIX)
		(void)strlcpy(buf, want.address.un.sun_path, size);
}

/* Its directory is made; a socket of ours that nobody serves is removed. */
static int
prepare_path(const struct wanted *want)
{
	char dir[sizeof(want->address.un.sun_path)];
	const char *path;
	struct stat st;
	char *slash;
	int fd;
	int n;

	path = want->address.un.sun_path;
	memcpy(dir, path, sizeof(dir));
	slash = strrchr(dir, '/');
	if (slash != NULL && slash != dir) {
		*slash = '\0';
		if (mkdir(dir, instance.uid == 0 ? 0755 : 0700) == -1 &&
		    errno != EEXIST)
			return -1;
	}
	if (lstat(path, &st) == -1)
		return errno == ENOENT ? 0 : -1;
	errno = EADDRINUSE;
	if (!S_ISSOCK(st.st_mode) || st.st_uid != instance.uid)
		return -1;
	fd = socket(AF_UNIX, want->type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd == -1)
		return -1;
	n = connect(fd, &want->address.sa, want->size);
	n = n == -1 && errno == ECONNREFUSED ? 0 : -1;
	(void)close(fd);
	errno = EADDRINUSE;
	return n == -1 ? -1 : unlink(path);
}

static void
set_option(int fd, int level, int option, int value)
{
	if (setsockopt(fd, level, option, &value, sizeof(value)) == -1)
		log_warn("setsockopt");
}

/* Accepted ones inherit what a listener has. */
static void
set_options(int fd, const struct wanted *want, int api)
{
	if (want->family == AF_UNIX)
		return;
	if (want->type == SOCK_STREAM) {
		set_option(fd, SOL_SOCKET, SO_REUSEADDR, 1);
		set_option(fd, IPPROTO_TCP, TCP_NODELAY, 1);
	}
	if (api)
		set_option(fd, SOL_SOCKET, SO_SNDBUF, API_BUFFER);
	if (want->family == AF_INET6)
		set_option(fd, IPPROTO_IPV6, IPV6_V6ONLY, 1);
	if (want->reuseport)
		set_option(fd, SOL_SOCKET, SO_REUSEPORT, 1);
}

static int
bind_entry(struct entry *e)
{
	struct wanted want;
	socklen_t size;
	mode_t mask;
	int bound;
	int error;
	int fd;
	int n;

	if (read_wanted(e, &want) == -1 ||
	    (want.family == AF_UNIX && prepare_path(&want) == -1))
		return -1;
	/* For jobs blocking ones, as anybody makes them. */
	n = socket(want.family,
	    want.type | SOCK_CLOEXEC |
		(e->kind == ENTRY_LISTEN ? SOCK_NONBLOCK : 0),
	    0);
	if (n == -1)
		return -1;
	fd = fcntl(n, F_DUPFD_CLOEXEC, FIRST_HIGH_FD);
	(void)close(n);
	if (fd == -1)
		return -1;
	set_options(fd, &want, e->kind == ENTRY_LISTEN);
	mask = umask(0777 & ~want.mode);
	n = bind(fd, &want.address.sa, want.size);
	(void)umask(mask);
	bound = n == 0;
	if (n == 0 && want.type == SOCK_STREAM)
		n = listen(fd, (int)want.backlog);
	size = want.size;
	if (n == 0)
		n = getsockname(fd, &want.address.sa, &size);
	if (n == -1) {
		error = errno;
		if (bound && want.family == AF_UNIX)
			(void)unlink(want.address.un.sun_path);
		(void)close(fd);
		errno = error;
		return -1;
	}
	e->fd = fd;
	if (want.family == AF_UNIX) {
		e->flags |= ENTRY_IS_BOUND;
		guard_tell(GUARD_SOCKET, want.address.un.sun_path,
		    strlen(want.address.un.sun_path));
	} else /* the same place in both */
		e->port = ntohs(want.address.in.sin_port);
	return 0;
}

int
socket_bind_all(struct table *t, const struct table *old, uint32_t *bad)
{
	struct entry *e;
	uint32_t i;
	uint32_t j;

	for (i = 0; i < t->count; i++) {
		e = &t->entries[i];
		if (e->kind != ENTRY_LISTEN && e->kind != ENTRY_SOCKET)
			continue;
		j = old == NULL ? NO_ENTRY : table_same(t, i, old);
		if (j != NO_ENTRY && old->entries[j].fd != -1) {
			e->fd = fcntl(
			    old->entries[j].fd, F_DUPFD_CLOEXEC, FIRST_HIGH_FD);
			e->port = old->entries[j].port;
			e->flags = old->entries[j].flags;
			if (e->fd == -1) {
				*bad = i;
				return errno;
			}
		} else if (bind_entry(e) == -1) {
			*bad = i;
			return errno;
		}
	}
	return 0;
}

void
socket_close_all(struct table *t, const struct table *next)
{
	struct entry *e;
	char path[108];
	uint32_t i;

	for (i = 0; i < t->count; i++) {
		e = &t->entries[i];
		if (!(e->flags & ENTRY_IS_BOUND) || e->fd == -1 ||
		    (next != NULL && table_same(t, i, next) != NO_ENTRY))
			continue;
		socket_path(e, path, sizeof(path));
		(void)unlink(path);
	}
}

int
socket_same_listeners(const struct table *a, const struct table *b)
{
	uint32_t i;
	uint32_t n;

	n = 0;
	for (i = 0; i < b->count; i++)
		n += b->entries[i].kind == ENTRY_LISTEN;
	for (i = 0; i < a->count; i++) {
		if (a->entries[i].kind != ENTRY_LISTEN)
			continue;
		if (table_same(a, i, b) == NO_ENTRY)
			return 0;
		n--;
	}
	return n == 0;
}

void
socket_give(struct child *worker)
{
	const struct entry *e;
	struct wire *w;
	uint32_t i;

	for (i = 0; i < parent.table->count; i++) {
		e = &parent.table->entries[i];
		if (e->kind != ENTRY_LISTEN || e->fd == -1)
			continue;
		w = message();
		wire_put_u8(w, e->data[0]); /* enum listener_kind */
		wire_put_u16(w, e->port);
		send_fd(worker, IMSG_LISTENER, copy_fd(e->fd));
	}
}

int
socket_connect(uint32_t id, struct wire_reader *r)
{
	const struct cred *c;
	const struct entry *e;
	struct file_entry file;
	struct sockaddr_un sun;
	int error;
	int fd;

	e = table_entry(parent.table, wire_get_u32(r), ENTRY_UNIX);
	if (wire_end(r) == -1 || e == NULL || file_read(e, &file) == -1)
		return -1;
	memset(&sun, 0, sizeof(sun));
	sun.sun_family = AF_UNIX;
	(void)strlcpy(sun.sun_path, file.path, sizeof(sun.sun_path));
	c = &parent.table->creds[e->cred];
	error = 0;
	fd = -1;
	/* Who does not take them must not use up our descriptors. */
	if (channel_queued(parent.verifier->channel) > MAX_UNREAD)
		errno = ECONNREFUSED;
	else
		fd = socket(
		    AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd == -1 || cred_enter(c) == -1)
		error = errno;
	else {
		if (connect(fd, (struct sockaddr *)&sun, sizeof(sun)) == -1)
			/* EAGAIN: its queue is full. */
			error = errno == EAGAIN ? ECONNREFUSED : errno;
		cred_leave(c);
	}
	if (error != 0 && fd != -1) {
		(void)close(fd);
		fd = -1;
	}
	wire_put_i32(message(), error);
	send_wire(parent.verifier, IMSG_UNIX_CONNECTED, id, fd);
	return 0;
}
