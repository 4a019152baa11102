/* sources: fuzz/frame.c fuzz/fresh.c common/channel.c common/imsg.c
 * common/imsg_buffer.c common/wire.c */
/* libs: event_core bsd */
/* covers: verifier/resolver.c */
/*
 * What the parent and the verifier may say to the resolver, and what a name
 * server may answer: its real dispatch functions; the addresses of a name
 * are made of its bytes.
 *
 * Input as in frame.h: who WHO_*, type an index of the messages of that
 * sender.
 */
#include <sys/socket.h>

#include <netdb.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>

#include "frame.h"

/* The program's own dispatch functions can be seen in its file alone. */
#define main program_main
/* NOLINTNEXTLINE(bugprone-suspicious-include) */
#include "../verifier/resolver.c"
#undef main

#define OPT_VERIFIER 1

#define WHO_PARENT 0 /* with a connection, if id is odd */
#define WHO_VERIFIER 1
#define WHO_GONE 2
#define WHO_COUNT 3

static const uint32_t of_parent[] = {IMSG_PEER, IMSG_RESOLVE};
static const uint32_t of_verifier[] = {IMSG_RESOLVE, IMSG_PEER};

/* ---- the network --------------------------------------------------------- */

struct made {
	struct addrinfo info;
	struct sockaddr_in6 address; /* or a sockaddr_in */
};

/* One address from a byte of the name; NULL behind its end. */
static struct addrinfo *
make(const char *name)
{
	struct made *m;

	if (*name == '\0')
		return NULL;
	if ((m = calloc(1, sizeof(*m))) == NULL)
		abort();
	m->info.ai_addr = (struct sockaddr *)&m->address;
	m->address.sin6_family = AF_INET6;
	if (*name % 4 == 0)
		m->address.sin6_family = AF_INET;
	else if (*name % 4 == 1)
		m->address.sin6_scope_id = 1;
	else if (*name == 'x')
		m->address.sin6_family = AF_UNIX;
	m->info.ai_next = make(name + 1);
	return &m->info;
}

int
getaddrinfo(const char *name, const char *service, const struct addrinfo *hints,
    struct addrinfo **list)
{
	check(name[0] != '\0' && strlen(name) <= MAX_HOST_NAME);
	check(service == NULL && hints->ai_socktype == SOCK_STREAM);
	if (name[0] == '0')
		return EAI_AGAIN;
	*list = make(name[0] == '1' ? "" : name);
	return 0;
}

void
freeaddrinfo(struct addrinfo *list)
{
	struct addrinfo *next;

	for (; list != NULL; list = next) {
		next = list->ai_next;
		free((struct made *)(void *)list);
	}
}

void
resolver_prepare(void)
{
}

/* ---- the components ------------------------------------------------------ */

static int verifier_far = -1;

/* What the verifier would take for malformed. */
static void
look(const uint8_t *bytes, size_t len, uint32_t id)
{
	struct wire_reader r;
	struct imsg_hdr hdr;
	uint32_t count;
	uint32_t i;
	size_t n;
	uint8_t family;

	check(len >= sizeof(hdr));
	memcpy(&hdr, bytes, sizeof(hdr));
	check(hdr.type == IMSG_RESOLVED && hdr.peerid == id && hdr.len == len);
	wire_read(&r, bytes + sizeof(hdr), len - sizeof(hdr));
	check((wire_get_i32(&r) == 0) == (r.left > sizeof(count)));
	count = wire_get_u32(&r);
	check(count <= MAX_ADDRESSES);
	for (i = 0; i < count; i++) {
		family = wire_get_u8(&r);
		check(wire_get_bytes(&r, 16, &n) != NULL);
		check((family == 4 && n == 4) || (family == 6 && n == 16));
	}
	check(wire_end(&r) == 0);
}

/* Asks for a name: there is one answer, and then no more. */
static void
say_verifier(uint32_t type, uint8_t id, const uint8_t *data, size_t len)
{
	uint8_t bytes[4096];
	ssize_t n;

	if (frame_say(verifier_message, verifier, NULL, type, id, -1, data,
		len) == -1) {
		verifier_lost(verifier, "malformed message", NULL);
		return;
	}
	(void)channel_flush(verifier);
	n = recv(verifier_far, bytes, sizeof(bytes), MSG_DONTWAIT);
	check(n > 0);
	look(bytes, (size_t)n, id);
}

static void
say_parent(uint32_t type, uint8_t id, const uint8_t *data, size_t len)
{
	int fd;

	fd = id % 2 == 0 ? -1 : frame_connection();
	if (frame_say(parent_message, self.parent, NULL, type, id, fd, data,
		len) == -1)
		frame_over = 1;
	else
		verifier_far = frame_far();
}

void
frame_record(
    unsigned int who, uint8_t type, uint8_t id, const uint8_t *data, size_t len)
{
	who %= WHO_COUNT;
	if (who == WHO_PARENT)
		say_parent(FRAME_TYPE(of_parent, type), id, data, len);
	else if (who == WHO_VERIFIER && verifier != NULL)
		say_verifier(FRAME_TYPE(of_verifier, type), id, data, len);
	else if (who == WHO_GONE && verifier != NULL)
		verifier_lost(verifier, channel_gone, NULL);
	frame_turn();
}

void
frame_begin(uint8_t options)
{
	if (options & OPT_VERIFIER)
		verifier_far = frame_introduce(
		    parent_message, self.parent, ROLE_VERIFIER, 0);
}
