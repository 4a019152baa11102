#include <sys/resource.h>

#include <errno.h>
#include <unistd.h>

#include "../common/channel.h"
#include "../common/component.h"
#include "../common/imsg.h"
#include "../common/log.h"
#include "../common/message.h"
#include "../common/wire.h"
#include "resolve.h"
#include "verifier.h"

/*
 * The channels.  To the parent, always; to the manager and the resolver as
 * soon as the parent gives us one.  Without a manager there are no checks.
 */

#define MAX_DESCRIPTORS 65536 /* more than MAX_CHECKS need */
#define SPARE_DESCRIPTORS 64

static struct component self;
static struct channel *manager;
static struct channel *resolver;
static struct wire out; /* used again for each report */

/* ---- messages ---------------------------------------------------------- */

/* ---- manager ----------------------------------------------------------- */

void
report_attempt(const struct check *c, int passed, uint64_t elapsed,
    unsigned int status, const char *detail)
{
	if (manager == NULL)
		return;
	wire_reset(&out);
	wire_put_u32(&out, c->attempts);
	wire_put_u8(&out, passed ? 1 : 0);
	wire_put_u64(&out, elapsed);
	wire_put_u16(&out, (uint16_t)status);
	wire_put_str(&out, detail);
	(void)channel_send_wire(manager, IMSG_CHECK_ATTEMPT, c->id, -1, &out);
}

void
report_trying(const struct check *c, const char *text)
{
	if (manager == NULL)
		return;
	wire_reset(&out);
	wire_put_str(&out, text);
	(void)channel_send_wire(manager, IMSG_CHECK_TRYING, c->id, -1, &out);
}

static void
manager_gone(void)
{
	check_stop_all();
	channel_free(manager);
	manager = NULL;
}

/* channel_lost_fn */
static void
manager_lost(struct channel *c, const char *why, void *arg)
{
	(void)c;
	(void)arg;
	/* It is still there and not introduced again: we are replaced. */
	if (channel_no_memory(why))
		fatalx("manager: %s", why);
	log_info("manager: %s", why);
	manager_gone();
}

/* channel_message_fn */
static int
manager_message(struct channel *c, struct imsg *imsg, void *arg)
{
	struct check_spec spec;
	struct wire_reader r;

	(void)c;
	(void)arg;
	message_read(&r, imsg);
	switch (imsg_get_type(imsg)) {
	case IMSG_CHECK_START:
		if (check_spec_read(&spec, &r) == -1)
			return -1;
		return check_start(imsg_get_id(imsg), &spec);
	case IMSG_CHECK_STOP:
		if (wire_end(&r) == -1)
			return -1;
		check_stop(imsg_get_id(imsg));
		return 0;
	default:
		return -1;
	}
}

/* ---- resolver ---------------------------------------------------------- */

static int
send_name(uint32_t id, const char *name)
{
	wire_reset(&out);
	wire_put_str(&out, name);
	return channel_send_wire(resolver, IMSG_RESOLVE, id, -1, &out);
}

void
ask_resolver(void)
{
	(void)channel_send(self.parent, IMSG_RESOLVER_WANTED, 0, -1, NULL, 0);
}

void
drop_resolver(void)
{
	channel_free(resolver);
	resolver = NULL;
	resolve_lost();
}

/* channel_lost_fn */
static void
resolver_lost(struct channel *c, const char *why, void *arg)
{
	(void)c;
	(void)arg;
	log_info("resolver: %s", why);
	component_peer_lost(ROLE_RESOLVER, 0, why);
	drop_resolver();
}

/* channel_message_fn */
static int
resolver_message(struct channel *c, struct imsg *imsg, void *arg)
{
	struct wire_reader r;

	(void)c;
	(void)arg;
	if (imsg_get_type(imsg) != IMSG_RESOLVED)
		return -1;
	message_read(&r, imsg);
	return resolve_answer(imsg_get_id(imsg), &r);
}

/* ---- parent ------------------------------------------------------------ */

void
ask_unix(uint32_t request, uint32_t entry)
{
	wire_reset(&out);
	wire_put_u32(&out, entry);
	(void)channel_send_wire(
	    self.parent, IMSG_UNIX_CONNECT, request, -1, &out);
}

/*
 * Nobody is introduced twice: who has no memory for a peer is replaced.  NULL:
 * what is there is no socket (EPERM of epoll_ctl(2)).
 */
static struct channel *
peer_channel(int fd, channel_message_fn message, channel_lost_fn lost)
{
	struct channel *c;

	c = channel_new(self.base, fd, 0, message, lost, NULL);
	if (c == NULL && errno != EPERM)
		fatal("no channel to a peer");
	return c;
}

static void
connect_manager(int fd)
{
	manager_gone();
	manager = peer_channel(fd, manager_message, manager_lost);
}

static void
connect_resolver(int fd)
{
	channel_free(resolver);
	resolver = peer_channel(fd, resolver_message, resolver_lost);
	if (resolver == NULL) {
		resolve_lost();
		return;
	}
	resolve_connected(send_name);
}

/* IMSG_PEER */
static int
peer_message(struct wire_reader *r, int fd)
{
	unsigned int role;

	role = wire_get_u8(r);
	(void)wire_get_u32(r);
	if (wire_end(r) == -1 || fd == -1)
		return -1;
	switch (role) {
	case ROLE_MANAGER:
		connect_manager(fd);
		return 0;
	case ROLE_RESOLVER:
		connect_resolver(fd);
		return 0;
	default:
		return -1;
	}
}

/* channel_message_fn */
static int
parent_message(struct channel *c, struct imsg *imsg, void *arg)
{
	struct wire_reader r;
	int32_t error;
	int fd;

	(void)c;
	(void)arg;
	message_read(&r, imsg);
	fd = imsg_get_fd(imsg);
	switch (imsg_get_type(imsg)) {
	case IMSG_PEER:
		if (peer_message(&r, fd) == 0)
			return 0;
		break;
	case IMSG_UNIX_CONNECTED:
		error = wire_get_i32(&r);
		if (wire_end(&r) == 0)
			return unix_connected(imsg_get_id(imsg), error, fd);
		break;
	default:
		break;
	}
	if (fd != -1)
		(void)close(fd);
	return -1;
}

/* ---- start ------------------------------------------------------------- */

/* As many descriptors as we may have; returns their number. */
static unsigned int
raise_limit(void)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) == -1)
		fatal("getrlimit");
	limit.rlim_cur = limit.rlim_max;
	if (limit.rlim_cur == RLIM_INFINITY || limit.rlim_cur > MAX_DESCRIPTORS)
		limit.rlim_cur = MAX_DESCRIPTORS;
	if (setrlimit(RLIMIT_NOFILE, &limit) == -1)
		fatal("setrlimit");
	return (unsigned int)limit.rlim_cur;
}

static void
prepare(struct component *c)
{
	unsigned int limit;

	limit = raise_limit();
	limit = limit > 2 * SPARE_DESCRIPTORS ? limit - SPARE_DESCRIPTORS :
						SPARE_DESCRIPTORS;
	/*
	 * Half for attempts, a third for connections that wait for their
	 * next use; the rest for attempts that try two addresses at once
	 * and for answers that are read to their end.
	 */
	check_init(c->base, limit / 2);
	http_prepare(c->base, limit / 3);
	tls_prepare();
	tcp_init(c->base);
	unix_init(c->base);
	resolve_init(c->base);
	wire_init(&out);
}

int
main(int argc, char **argv)
{
	self.name = "verifier";
	self.role = SANDBOX_VERIFIER;
	self.dispatch = parent_message;
	self.prepare = prepare;
	component_run(&self, argc, argv);
}
