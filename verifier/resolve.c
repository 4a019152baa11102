#include <sys/socket.h>

#include <arpa/inet.h>
#include <netdb.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "../common/log.h"
#include "host_name.h"
#include "resolve.h"
#include "verifier.h"

/*
 * Every name that is known or wanted is in a tree.  The resolver is asked
 * for one name at a time, so that the order is decided as late as possible:
 * names that took long last time come last, then the one that most checks
 * wait for comes first, then the one that has waited longest.
 */

#define KEEP_GOOD (30 * SECOND)
#define KEEP_BAD (1 * SECOND)
#define SLOW (1 * SECOND) /* a lookup that took longer */
#define PATIENCE 60 /* seconds until a resolver is given up: see resolver.c */
#define MAX_NAMES 16384 /* kept; those that are waited for come on top */

enum name_state {
	NAME_IDLE, /* with an answer, perhaps too old */
	NAME_WANTED, /* in `wanted` */
	NAME_ASKED, /* the resolver is at it */
};

struct resolve_name {
	RB_ENTRY(resolve_name) node;
	TAILQ_ENTRY(resolve_name) entry; /* in `idle` or `wanted` */
	TAILQ_HEAD(, check) waiters;
	unsigned int nwaiters;
	enum name_state state;
	int slow;
	int error;
	unsigned int count;
	struct address *list;
	uint64_t expires;
	uint64_t asked;
	char name[];
};

RB_HEAD(name_tree, resolve_name);
TAILQ_HEAD(name_list, resolve_name);

static struct name_tree names = RB_INITIALIZER(&names);
static struct name_list wanted = TAILQ_HEAD_INITIALIZER(wanted);
/* The oldest answer first. */
static struct name_list idle = TAILQ_HEAD_INITIALIZER(idle);
static struct resolve_name *asked;
static struct event patience;
static resolve_send_fn send_name;
static unsigned int nnames;
static uint32_t request;
static int resolver_wanted;

static void ask_next(void);

static int
name_compare(struct resolve_name *a, struct resolve_name *b)
{
	return strcmp(a->name, b->name);
}

RB_GENERATE_INTERNAL(name_tree, resolve_name, node, name_compare,
    __attribute__((__unused__)) static)

/* ---- answers without a resolver ---------------------------------------- */

/* An address, or localhost.  Returns 1 when it is. */
static int
known(const char *host, struct addresses *answer)
{
	static struct address list[2];
	size_t len;

	(void)memset(list, 0, sizeof(list));
	answer->error = 0;
	answer->count = 1;
	answer->list = list;
	if (inet_pton(AF_INET, host, list[0].bytes) == 1) {
		list[0].family = 4;
		return 1;
	}
	if (inet_pton(AF_INET6, host, list[0].bytes) == 1) {
		list[0].family = 6;
		return 1;
	}
	len = strlen(host);
	if (len > 0 && host[len - 1] == '.')
		len--;
	if (len < 9 || strncasecmp(host + len - 9, "localhost", 9) != 0 ||
	    (len > 9 && host[len - 10] != '.'))
		return 0;
	(void)memset(list, 0, sizeof(list));
	list[0].family = 4;
	(void)memcpy(list[0].bytes, "\177\0\0\1", 4);
	list[1].family = 6;
	list[1].bytes[15] = 1;
	answer->count = 2;
	return 1;
}

/* ---- the tree ---------------------------------------------------------- */

static void
name_free(struct resolve_name *n)
{
	(void)RB_REMOVE(name_tree, &names, n);
	nnames--;
	free(n->list);
	free(n);
}

/* Forgets the oldest answers when there are too many. */
static void
forget_old(void)
{
	struct resolve_name *n;

	while (nnames > MAX_NAMES && (n = TAILQ_FIRST(&idle)) != NULL) {
		TAILQ_REMOVE(&idle, n, entry);
		name_free(n);
	}
}

/* The name in small letters. */
static struct resolve_name *
name_new(const char *host)
{
	struct resolve_name *n;
	size_t i;
	size_t len;

	len = strlen(host);
	n = calloc(1, sizeof(*n) + len + 1);
	if (n == NULL)
		return NULL;
	for (i = 0; i < len; i++)
		n->name[i] = (char)(host[i] >= 'A' && host[i] <= 'Z' ?
			host[i] + ('a' - 'A') :
			host[i]);
	TAILQ_INIT(&n->waiters);
	return n;
}

/* The name's place in the tree, made if need be; NULL: out of memory. */
static struct resolve_name *
name_get(const char *host)
{
	struct resolve_name *fresh;
	struct resolve_name *n;

	fresh = name_new(host);
	if (fresh == NULL)
		return NULL;
	n = RB_INSERT(name_tree, &names, fresh);
	if (n != NULL) {
		free(fresh);
		return n;
	}
	nnames++;
	TAILQ_INSERT_HEAD(&idle, fresh, entry);
	return fresh;
}

static void
take_answer(const struct resolve_name *n, struct addresses *answer)
{
	answer->error = n->error;
	answer->count = n->count;
	answer->list = n->list;
}

/* ---- asking ------------------------------------------------------------ */

static int
goes_before(const struct resolve_name *a, const struct resolve_name *b)
{
	if (a->slow != b->slow)
		return b->slow;
	return a->nwaiters > b->nwaiters;
}

static struct resolve_name *
choose(void)
{
	struct resolve_name *best;
	struct resolve_name *n;

	best = TAILQ_FIRST(&wanted);
	TAILQ_FOREACH (n, &wanted, entry)
		if (goes_before(n, best))
			best = n;
	return best;
}

/* The lookup has an end: all that waited go on. */
static void
settle(struct resolve_name *n, int error)
{
	struct check *c;
	uint64_t now;

	now = now_ns();
	n->error = error;
	n->slow = now - n->asked > SLOW;
	n->expires = now + (error == 0 ? KEEP_GOOD : KEEP_BAD);
	n->state = NAME_IDLE;
	TAILQ_INSERT_TAIL(&idle, n, entry);
	while ((c = TAILQ_FIRST(&n->waiters)) != NULL) {
		resolve_stop(c);
		check_wake(c);
	}
	forget_old();
}

/* Puts the addresses, perhaps none, in the place of the old ones. */
static int
keep_list(
    struct resolve_name *n, const struct address *list, unsigned int count)
{
	free(n->list);
	n->list = NULL;
	n->count = 0;
	if (count == 0)
		return 0;
	n->list = calloc(count, sizeof(*list));
	if (n->list == NULL)
		return -1;
	(void)memcpy(n->list, list, count * sizeof(*list));
	n->count = count;
	return 0;
}

static void
fail_asked(void)
{
	struct resolve_name *n;

	n = asked;
	if (n == NULL)
		return;
	asked = NULL;
	(void)evtimer_del(&patience);
	(void)keep_list(n, NULL, 0);
	settle(n, EAI_AGAIN);
}

static void
ask(struct resolve_name *n)
{
	static const struct timeval tv = {PATIENCE, 0};

	TAILQ_REMOVE(&wanted, n, entry);
	n->state = NAME_ASKED;
	n->asked = now_ns();
	asked = n;
	/* 0 is no number of ours, so that a forged answer needs a guess. */
	if (++request == 0)
		request = 1;
	(void)evtimer_add(&patience, &tv);
	if (send_name(request, n->name) == -1)
		log_debug("resolver: not asked for %s", n->name);
}

static void
ask_next(void)
{
	struct resolve_name *n;

	if (asked != NULL)
		return;
	n = choose();
	if (n == NULL)
		return;
	if (send_name != NULL) {
		ask(n);
		return;
	}
	if (!resolver_wanted) {
		resolver_wanted = 1;
		ask_resolver();
	}
}

static void
patience_cb(int fd, short events, void *arg)
{
	(void)fd;
	(void)events;
	(void)arg;
	log_warnx("resolver: no answer within %d s", PATIENCE);
	drop_resolver();
}

/* ---- for the probers --------------------------------------------------- */

void
resolve_init(struct event_base *base)
{
	if (evtimer_assign(&patience, base, patience_cb, NULL) == -1)
		fatalx("evtimer_assign failed");
}

int
resolve_start(struct check *c, const char *host, struct addresses *answer)
{
	struct resolve_name *n;

	if (known(host, answer))
		return 1;
	answer->count = 0;
	answer->list = NULL;
	answer->error = EAI_NONAME;
	if (!host_name_ok(host))
		return 1;
	n = name_get(host);
	if (n == NULL) {
		answer->error = EAI_MEMORY;
		return 1;
	}
	if (n->state == NAME_IDLE && n->expires > now_ns()) {
		take_answer(n, answer);
		return 1;
	}
	resolve_stop(c);
	TAILQ_INSERT_TAIL(&n->waiters, c, waiter);
	n->nwaiters++;
	c->name = n;
	if (n->state == NAME_IDLE) {
		TAILQ_REMOVE(&idle, n, entry);
		TAILQ_INSERT_TAIL(&wanted, n, entry);
		n->state = NAME_WANTED;
		ask_next();
	}
	return 0;
}

void
resolve_stop(struct check *c)
{
	struct resolve_name *n;

	n = c->name;
	if (n == NULL)
		return;
	TAILQ_REMOVE(&n->waiters, c, waiter);
	n->nwaiters--;
	c->name = NULL;
	/* Nobody asks for it any more. */
	if (n->state == NAME_WANTED && n->nwaiters == 0) {
		TAILQ_REMOVE(&wanted, n, entry);
		TAILQ_INSERT_HEAD(&idle, n, entry);
		n->state = NAME_IDLE;
		forget_old();
	}
}

const char *
resolve_problem(
    char *buf, size_t size, const char *host, const struct addresses *answer)
{
	char why[128];

	(void)snprintf(why, sizeof(why), "%s", gai_strerror(answer->error));
	text_lower(why);
	(void)snprintf(buf, size, "cannot resolve %.100s: %s", host, why);
	return buf;
}

/* ---- the resolver ------------------------------------------------------ */

void
resolve_connected(resolve_send_fn fn)
{
	fail_asked();
	send_name = fn;
	resolver_wanted = 0;
	ask_next();
}

void
resolve_lost(void)
{
	send_name = NULL;
	resolver_wanted = 0;
	fail_asked();
	ask_next();
}

/* One address.  Returns -1 when it is malformed. */
static int
read_address(struct wire_reader *r, struct address *a)
{
	const void *bytes;
	size_t len;

	a->family = wire_get_u8(r);
	bytes = wire_get_bytes(r, sizeof(a->bytes), &len);
	if (bytes == NULL || (a->family != 4 && a->family != 6) ||
	    len != (a->family == 4 ? 4U : 16U))
		return -1;
	(void)memcpy(a->bytes, bytes, len);
	return 0;
}

static int
read_addresses(struct wire_reader *r, struct address *list, unsigned int *count)
{
	uint32_t i;
	uint32_t n;

	n = wire_get_count(r, MAX_ADDRESSES, 1 + sizeof(uint32_t) + 4);
	for (i = 0; i < n && !r->failed; i++)
		if (read_address(r, &list[i]) == -1)
			return -1;
	*count = n;
	return wire_end(r);
}

int
resolve_answer(uint32_t id, struct wire_reader *r)
{
	struct address list[MAX_ADDRESSES];
	struct resolve_name *n;
	unsigned int count;
	int32_t error;

	(void)memset(list, 0, sizeof(list));
	error = wire_get_i32(r);
	if (read_addresses(r, list, &count) == -1)
		return -1;
	if ((error == 0) != (count > 0))
		return -1;
	n = asked;
	if (n == NULL || id != request)
		return -1;
	asked = NULL;
	(void)evtimer_del(&patience);
	settle(n, keep_list(n, list, count) == -1 ? EAI_MEMORY : error);
	ask_next();
	return 0;
}
