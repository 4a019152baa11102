#include <sys/socket.h>

#include <netinet/in.h>

#include <netdb.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "../common/channel.h"
#include "../common/component.h"
#include "../common/imsg.h"
#include "../common/log.h"
#include "../common/message.h"
#include "../common/wire.h"
#include "host_name.h"
#include "resolve.h"
#include "resolver.h"

/*
 * muster-resolver: names to addresses, for the verifier, by getaddrinfo(3).
 *
 * One lookup at a time: threads and processes of its own would need a wider
 * sandbox, here and in the parent.  So a name whose servers do not answer
 * holds up those behind it, for at most LOOKUP_TRIES * LOOKUP_SECONDS for
 * each server in resolv.conf (three are used) and each search domain.  The
 * verifier asks for names that were slow last time after all others.
 */

/* resolv.conf(5); what stands in the file counts less. */
#define LOOKUP_OPTIONS "timeout:2 attempts:1"

static struct component self;
static struct channel *verifier;

static unsigned int
put_address(struct wire *w, const struct sockaddr *sa)
{
	const struct sockaddr_in *in = (const struct sockaddr_in *)sa;
	const struct sockaddr_in6 *in6 = (const struct sockaddr_in6 *)sa;

	switch (sa->sa_family) {
	case AF_INET:
		wire_put_u8(w, 4);
		wire_put_bytes(w, &in->sin_addr, sizeof(in->sin_addr));
		return 1;
	case AF_INET6:
		/* A zone cannot be told, and without it leads nowhere. */
		if (in6->sin6_scope_id != 0)
			return 0;
		wire_put_u8(w, 6);
		wire_put_bytes(w, &in6->sin6_addr, sizeof(in6->sin6_addr));
		return 1;
	default:
		return 0;
	}
}

static void
put_answer(struct wire *w, int error, const struct addrinfo *list)
{
	const struct addrinfo *ai;
	struct wire addresses;
	unsigned int count = 0;

	wire_init(&addresses);
	for (ai = list; ai != NULL && count < MAX_ADDRESSES; ai = ai->ai_next)
		count += put_address(&addresses, ai->ai_addr);
	if (error == 0 && count == 0)
		error = EAI_NONAME;
	wire_put_i32(w, error);
	wire_put_u32(w, count);
	wire_put_raw(w, addresses.data, addresses.len);
	wire_free(&addresses);
}

static int
resolve(struct channel *c, uint32_t id, const char *name)
{
	struct addrinfo hints;
	struct addrinfo *list = NULL;
	struct wire w;
	int error;

	(void)memset(&hints, 0, sizeof(hints));
	hints.ai_family = AF_UNSPEC;
	hints.ai_socktype = SOCK_STREAM;
	error = host_name_ok(name) ? getaddrinfo(name, NULL, &hints, &list) :
				     EAI_NONAME;
	wire_init(&w);
	put_answer(&w, error, error == 0 ? list : NULL);
	if (list != NULL)
		freeaddrinfo(list);
	(void)channel_send_wire(c, IMSG_RESOLVED, id, -1, &w);
	wire_free(&w);
	return 0;
}

/* channel_message_fn */
static int
verifier_message(struct channel *c, struct imsg *imsg, void *arg)
{
	char name[MAX_HOST_NAME + 2];
	struct wire_reader r;

	(void)arg;
	if (imsg_get_type(imsg) != IMSG_RESOLVE)
		return -1;
	message_read(&r, imsg);
	wire_get_string(&r, name, sizeof(name));
	if (wire_end(&r) == -1)
		return -1;
	return resolve(c, imsg_get_id(imsg), name);
}

/* channel_lost_fn */
static void
verifier_lost(struct channel *c, const char *why, void *arg)
{
	(void)c;
	(void)arg;
	/* It is still there and not introduced again: we are replaced. */
	if (channel_no_memory(why))
		fatalx("verifier: %s", why);
	log_info("verifier: %s", why);
	channel_free(verifier);
	verifier = NULL;
}

/* channel_message_fn */
static int
parent_message(struct channel *c, struct imsg *imsg, void *arg)
{
	struct wire_reader r;
	unsigned int role;
	int fd;

	(void)c;
	(void)arg;
	if (imsg_get_type(imsg) != IMSG_PEER)
		return -1;
	message_read(&r, imsg);
	role = wire_get_u8(&r);
	(void)wire_get_u32(&r);
	if (wire_end(&r) == -1 || role != ROLE_VERIFIER)
		return -1;
	fd = imsg_get_fd(imsg);
	if (fd == -1)
		return -1;
	channel_free(verifier);
	verifier = channel_new(
	    self.base, fd, 0, verifier_message, verifier_lost, NULL);
	if (verifier == NULL)
		fatal("no channel to the verifier");
	return 0;
}

static void
prepare(struct component *c)
{
	(void)c;
	/* NOLINTNEXTLINE(concurrency-mt-unsafe) there are no threads */
	if (setenv("RES_OPTIONS", LOOKUP_OPTIONS, 1) == -1)
		fatal("setenv");
	resolver_prepare();
}

int
main(int argc, char **argv)
{
	self.name = "resolver";
	self.role = SANDBOX_RESOLVER;
	self.dispatch = parent_message;
	self.prepare = prepare;
	component_run(&self, argc, argv);
}
