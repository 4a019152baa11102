#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <bsd/string.h>

#include "../common/component.h"
#include "../common/imsg.h"
#include "../common/log.h"
#include "../common/stream.h"
#include "../common/wire.h"
#include "httpd.h"
#include "transport.h"

/*
 * muster-httpd: talks.  One of several workers that accept on the same
 * sockets; reads are answered from the replica, what changes something is
 * asked of the manager, output of the relay.
 */

#define DESCRIPTORS 512
#define MAX_REQUESTS 4096
#define ANSWER_SECONDS 2 /* then a peer is asked whether it lives */
#define PATIENCE 2 /* seconds for a new manager to come */

struct event_base *base;
struct channel *parent_channel;
struct channel *manager_channel;
struct channel *relay_channel;
static int ending; /* the manager waits until our clients have all */
const struct stream_cell *cells;
uint32_t ncells;

static uint32_t last_request;
static struct client *requests[MAX_REQUESTS]; /* by id modulo */

static struct event patience; /* for a new manager */
static struct event answers; /* of manager and relay */

/* ---- requests to the manager ------------------------------------------ */

static void
wait_for_manager(void)
{
	const struct timeval tv = {PATIENCE, 0};

	(void)evtimer_add(&patience, &tv);
}

void
expect_answers(void)
{
	const struct timeval tv = {ANSWER_SECONDS, 0};

	if (!evtimer_pending(&answers, NULL))
		(void)evtimer_add(&answers, &tv);
}

/* A restart may take its time: that costs a message now and then. */
static void
answers_cb(int fd, short events, void *arg)
{
	unsigned int i;
	int owed;

	(void)fd;
	(void)events;
	(void)arg;
	for (i = 0; i < MAX_REQUESTS; i++)
		if (requests[i] != NULL && requests[i]->asked)
			break;
	if (i < MAX_REQUESTS && manager_channel != NULL)
		component_peer_late(ROLE_MANAGER, 0);
	owed = stream_is_owed();
	if (owed)
		component_peer_late(ROLE_RELAY, 0);
	if (i < MAX_REQUESTS || owed)
		expect_answers();
}

static void
ask(struct client *c)
{
	struct wire w;
	char who[160];

	wire_init(&w);
	wire_put_u8(&w, c->op);
	wire_put_i64(&w, c->uid);
	wire_put_u8(&w, c->role);
	access_who(c, who, sizeof(who));
	wire_put_str(&w, who);
	wire_put_str(&w, c->from);
	wire_put_str(&w, c->argument);
	wire_put_str(&w, "");
	/* If it fails the manager is lost, and there will be another. */
	(void)channel_send_wire(
	    manager_channel, IMSG_REQUEST, c->request, -1, &w);
	wire_free(&w);
	c->asked = 1;
	expect_answers();
}

int
manager_request(struct client *c, enum request_op op, const char *argument,
    void (*answer)(struct client *, const struct answer *))
{
	unsigned int tries;

	for (tries = 0; tries < MAX_REQUESTS; tries++)
		if (requests[++last_request % MAX_REQUESTS] == NULL)
			break;
	if (tries == MAX_REQUESTS ||
	    strlcpy(c->argument, argument, sizeof(c->argument)) >=
		sizeof(c->argument))
		return -1;
	requests[last_request % MAX_REQUESTS] = c;
	c->request = last_request;
	c->op = (uint8_t)op;
	c->asked = 0;
	c->answer = answer;
	c->state = CLIENT_WAITING;
	if (manager_channel != NULL)
		ask(c);
	else if (!evtimer_pending(&patience, NULL))
		wait_for_manager();
	return 0;
}

void
manager_forget(struct client *c)
{
	api_v1_ready_gone(c);
	if (c->request != 0)
		requests[c->request % MAX_REQUESTS] = NULL;
	c->request = 0;
}

static void
answered(struct client *c, const struct answer *a)
{
	void (*answer)(struct client *, const struct answer *);

	requests[c->request % MAX_REQUESTS] = NULL;
	c->request = 0;
	answer = c->answer;
	c->answer = NULL;
	answer(c, a);
	client_flush(c);
}

static int
got_answer(struct imsg *imsg)
{
	struct wire_reader r;
	struct answer a;
	struct client *c;
	uint32_t id;

	id = imsg_get_id(imsg);
	message_read(&r, imsg);
	a.status = wire_get_u16(&r);
	(void)wire_get_u64(&r); /* the feed came before it on this channel */
	wire_get_string(&r, a.code, sizeof(a.code));
	wire_get_string(&r, a.detail, sizeof(a.detail));
	a.process = wire_get_u32(&r);
	if (wire_end(&r) == -1 || a.status < 200 || a.status > 599)
		return -1;
	c = requests[id % MAX_REQUESTS];
	if (c != NULL && c->request == id)
		answered(c, &a);
	return 0;
}

/* ---- channels --------------------------------------------------------- */

void
httpd_end(void)
{
	const struct client *c;

	if (!ending || manager_channel == NULL || stream_any())
		return;
	TAILQ_FOREACH (c, &clients, entry)
		if (!client_drained(c) || c->list != NULL)
			return;
	ending = 0;
	(void)channel_send(manager_channel, IMSG_FEED_READ, 0, -1, NULL, 0);
}

static int
manager_message(struct channel *channel, struct imsg *imsg, void *arg)
{
	(void)arg;
	switch (imsg_get_type(imsg)) {
	case IMSG_REQUEST_DONE:
		return got_answer(imsg);
	case IMSG_FEED_ASK:
		if (imsg_get_len(imsg) > 1)
			return -1;
		if (imsg_get_len(imsg) == 0)
			return channel_send(
			    channel, IMSG_FEED_READ, 0, -1, NULL, 0);
		ending = 1;
		httpd_end();
		return 0;
	default:
		return replica_message(imsg);
	}
}

/*
 * When it was we who had no memory, the peer is still there and will not be
 * introduced again: then it is better that we are replaced.
 */
static void
lost(const char *name, const char *why)
{
	if (channel_no_memory(why))
		fatalx("%s: %s", name, why);
	log_debug("%s: %s", name, why);
}

static void
manager_forgotten(struct channel *channel)
{
	if (manager_channel == channel)
		manager_channel = NULL;
	channel_free(channel);
	wait_for_manager();
}

static void
patience_cb(int fd, short events, void *arg)
{
	unsigned int i;

	(void)fd;
	(void)events;
	(void)arg;
	for (i = 0; i < MAX_REQUESTS; i++)
		if (requests[i] != NULL)
			answered(requests[i], NULL);
}

/*
 * What no manager has got yet is asked of this one; and after a reload what
 * the last one did not answer: the new one goes on with its work.  After a
 * crash nobody knows what was done.
 */
static void
manager_came(int reloaded)
{
	unsigned int i;

	(void)evtimer_del(&patience);
	for (i = 0; i < MAX_REQUESTS; i++) {
		if (requests[i] == NULL)
			continue;
		if (reloaded || !requests[i]->asked)
			ask(requests[i]);
		else {
			/* The one that was asked cannot say what became of it.
			 */
			refusal_audit(requests[i], requests[i]->op,
			    requests[i]->argument, 503);
			answered(requests[i], NULL);
		}
	}
}

static void
manager_lost(struct channel *channel, const char *why, void *arg)
{
	(void)arg;
	lost("manager", why);
	manager_forgotten(channel);
}

static void
relay_lost(struct channel *channel, const char *why, void *arg)
{
	(void)arg;
	lost("relay", why);
	if (relay_channel == channel)
		relay_channel = NULL;
	channel_free(channel);
}

static int
got_peer(struct imsg *imsg)
{
	struct wire_reader r;
	uint32_t number;
	uint8_t role;
	int fd;

	message_read(&r, imsg);
	role = wire_get_u8(&r);
	number = wire_get_u32(&r);
	fd = imsg_get_fd(imsg);
	if (wire_end(&r) == -1 || fd == -1 ||
	    (role != ROLE_MANAGER && role != ROLE_RELAY)) {
		if (fd != -1)
			(void)close(fd);
		return -1;
	}
	if (role == ROLE_RELAY) {
		channel_free(relay_channel);
		relay_channel =
		    channel_new(base, fd, 0, stream_message, relay_lost, NULL);
		if (relay_channel == NULL)
			fatal("no channel to the relay");
		stream_resume();
		return 0;
	}
	if (manager_channel != NULL)
		manager_forgotten(manager_channel);
	manager_channel =
	    channel_new(base, fd, 0, manager_message, manager_lost, NULL);
	if (manager_channel == NULL)
		fatal("no channel to the manager");
	manager_came(number != 0);
	return 0;
}

static int
got_cells(struct imsg *imsg)
{
	struct wire_reader r;
	struct stat st;
	uint32_t n;
	void *map;
	int fd;

	message_read(&r, imsg);
	n = wire_get_u32(&r);
	fd = imsg_get_fd(imsg);
	if (wire_end(&r) == -1 || fd == -1)
		return -1;
	map = MAP_FAILED;
	if (n > 0 && fstat(fd, &st) == 0 &&
	    (uint64_t)st.st_size >= (uint64_t)n * sizeof(*cells))
		map = mmap(NULL, (size_t)n * sizeof(*cells), PROT_READ,
		    MAP_SHARED, fd, 0);
	(void)close(fd);
	if (map == MAP_FAILED)
		return -1;
	cells = map;
	ncells = n;
	return 0;
}

static int
got_page(struct imsg *imsg)
{
	void *map;
	int fd;

	fd = imsg_get_fd(imsg);
	if (fd == -1)
		return -1;
	map = mmap(NULL, sizeof(uint64_t), PROT_READ, MAP_SHARED, fd, 0);
	(void)close(fd);
	if (map == MAP_FAILED)
		return -1;
	replica_page(map);
	return 0;
}

static int
dispatch(struct channel *channel, struct imsg *imsg, void *arg)
{
	(void)channel;
	(void)arg;
	switch (imsg_get_type(imsg)) {
	case IMSG_PEER:
		return got_peer(imsg);
	case IMSG_LISTENER:
		return listen_message(imsg);
	case IMSG_TLS_FILE:
	case IMSG_TLS_DONE:
		return transport_message(imsg);
	case IMSG_CELLS:
		return got_cells(imsg);
	case IMSG_SEQUENCE_PAGE:
		return got_page(imsg);
	default:
		return -1;
	}
}

static void
prepare(struct component *component)
{
	struct rlimit limit = {DESCRIPTORS, DESCRIPTORS};

	struct rlimit own;

	(void)component;
	/* Fewer, where it may not have so many. */
	if (getrlimit(RLIMIT_NOFILE, &own) == 0 && own.rlim_max < DESCRIPTORS)
		limit = own;
	if (setrlimit(RLIMIT_NOFILE, &limit) == -1)
		log_warn("setrlimit");
	access_prepare();
	transport_prepare();
}

static void
ready(struct component *component)
{
	base = component->base;
	parent_channel = component->parent;
	turn_prepare();
	(void)evtimer_assign(&patience, base, patience_cb, NULL);
	(void)evtimer_assign(&answers, base, answers_cb, NULL);
}

int
main(int argc, char **argv)
{
	static struct component component = {
	    .name = "httpd",
	    .role = SANDBOX_HTTPD,
	    .dispatch = dispatch,
	    .prepare = prepare,
	    .ready = ready,
	};

	component_run(&component, argc, argv);
}
