#include <sys/types.h>

#include <limits.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <bsd/stdlib.h>

#include <event2/event.h>

#include "component.h"
#include "footprint.h"
#include "imsg.h"
#include "log.h"
#include "message.h"
#include "title.h"
#include "wire.h"

/* The one component of this program, for the sink of log messages. */
static const struct component *component_self;

/* What the command line says. */
struct component_options {
	struct sandbox_options sandbox;
	enum log_level level;
};

static long long
component_number(int option, const char *text, long long max)
{
	const char *error;
	long long value;

	value = strtonum(text, 0, max, &error);
	if (error != NULL)
		fatalx("option -%c %s is %s", option, text, error);
	return value;
}

static void
component_parse(struct component *self, struct component_options *options,
    int argc, char **argv)
{
	int have_gid = 0;
	int option;

	memset(options, 0, sizeof(*options));
	options->level = LOG_LEVEL_INFO;
	options->sandbox.role = self->role;
	/* NOLINTNEXTLINE(concurrency-mt-unsafe) there are no threads */
	while ((option = getopt(argc, argv, "g:i:r:tu:v:")) != -1) {
		switch (option) {
		case 'g':
			options->sandbox.gid = (gid_t)component_number(
			    option, optarg, UINT32_MAX - 1);
			have_gid = 1;
			break;
		case 'i':
			self->instance =
			    (int)component_number(option, optarg, INT_MAX);
			break;
		case 'r':
			options->sandbox.root = optarg;
			break;
		case 't':
			options->sandbox.trap = 1;
			break;
		case 'u':
			options->sandbox.uid = (uid_t)component_number(
			    option, optarg, UINT32_MAX - 1);
			options->sandbox.drop = 1;
			break;
		case 'v':
			options->level = (enum log_level)component_number(
			    option, optarg, LOG_LEVEL_DEBUG);
			break;
		default:
			fatalx("bad usage: this program is started by musterd");
		}
	}
	if (optind != argc)
		fatalx("bad usage: this program is started by musterd");
	if (options->sandbox.drop &&
	    (!have_gid || options->sandbox.root == NULL))
		fatalx("options -u, -g and -r belong together");
}

static void
component_title(const struct component *self)
{
	char title[64];

	if (self->role == SANDBOX_HTTPD)
		(void)snprintf(title, sizeof(title), "musterd: %s %d",
		    self->name, self->instance);
	else
		(void)snprintf(title, sizeof(title), "musterd: %s", self->name);
	title_set(title);
}

/*
 * epoll without its changelist: a descriptor that was shared with another
 * process must be taken out of the set before it is closed.
 */
static struct event_base *
component_base(void)
{
	struct event_config *config;
	struct event_base *base;

	config = event_config_new();
	if (config == NULL)
		fatalx("event_config_new failed");
	if (event_config_set_flag(config,
		EVENT_BASE_FLAG_NOLOCK | EVENT_BASE_FLAG_IGNORE_ENV) == -1)
		fatalx("event_config_set_flag failed");
	/* What can wait (2) is interrupted by what cannot. */
	if (event_config_set_max_dispatch_interval(config, NULL, 1, 2) == -1)
		fatalx("event_config_set_max_dispatch_interval failed");
	base = event_base_new_with_config(config);
	event_config_free(config);
	if (base == NULL)
		fatalx("event_base_new_with_config failed");
	if (event_base_priority_init(base, 3) == -1)
		fatalx("event_base_priority_init failed");
	return base;
}

static void
component_log(enum log_level level, const char *text)
{
	struct wire w;

	wire_init(&w);
	wire_put_u8(&w, (uint8_t)level);
	wire_put_str(&w, component_self->name);
	wire_put_str(&w, text);
	/* Where this fails the parent has gone, and so are we in a moment. */
	(void)channel_send_wire(component_self->parent, IMSG_LOG, 0, -1, &w);
	/* It may be the last one, of fatal(). */
	if (level == LOG_LEVEL_ERROR)
		(void)channel_flush(component_self->parent);
	wire_free(&w);
}

/* `arg` of the program itself may be set as late as in its prepare(). */
static int
component_message(struct channel *c, struct imsg *imsg, void *arg)
{
	const struct component *self = arg;

	if (imsg_get_type(imsg) == IMSG_PROBE)
		return channel_send(c, IMSG_ALIVE, 0, -1, NULL, 0);
	return self->dispatch(c, imsg, self->arg);
}

static void
component_lost(struct channel *c, const char *why, void *arg)
{
	(void)c;
	(void)why;
	(void)arg;
	_exit(0);
}

static void
tell_of_peer(uint32_t type, enum role role, uint32_t instance)
{
	struct wire w;

	wire_init(&w);
	wire_put_u8(&w, (uint8_t)role);
	wire_put_u32(&w, instance);
	(void)channel_send_wire(component_self->parent, type, 0, -1, &w);
	wire_free(&w);
}

void
component_peer_lost(enum role role, uint32_t instance, const char *why)
{
	if (why != channel_gone)
		tell_of_peer(IMSG_PEER_BAD, role, instance);
}

void
component_peer_late(enum role role, uint32_t instance)
{
	tell_of_peer(IMSG_PEER_LATE, role, instance);
}

/*
 * The channel is there from the beginning, so that it takes what goes wrong
 * to the parent; it is read by nobody before the loop runs.
 */
static void
component_connect(struct component *self)
{
	self->base = component_base();
	self->parent = channel_new(self->base, COMPONENT_FD, CHANNEL_ACCEPT_FDS,
	    component_message, component_lost, self);
	if (self->parent == NULL)
		fatal("channel_new");
	channel_set_priority(self->parent, 0);
	component_self = self;
	log_init(self->name, LOG_LEVEL_INFO, component_log);
}

void
component_run(struct component *self, int argc, char **argv)
{
	struct component_options options;

	title_init(argc, argv);
	log_init(self->name, LOG_LEVEL_INFO, NULL);
	if (signal(SIGPIPE, SIG_IGN) == SIG_ERR)
		fatal("signal");
	component_connect(self);
	component_parse(self, &options, argc, argv);
	log_set_level(options.level);
	component_title(self);
	/* Reads a file, as long as there are any. */
	tzset();
	if (self->prepare != NULL)
		self->prepare(self);
	sandbox_enter(&options.sandbox);
	log_debug("sandboxed: %d system calls are allowed",
	    sandbox_count(self->role));
	if (self->ready != NULL)
		self->ready(self);
	footprint_trim_later(self->base);
	if (event_base_dispatch(self->base) == -1)
		fatalx("event_base_dispatch failed");
	fatalx("nothing to wait for");
}
