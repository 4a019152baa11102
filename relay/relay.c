#include <sys/types.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <event2/event.h>

#include "channel.h"
#include "component.h"
#include "imsg.h"
#include "log.h"
#include "relay.h"
#include "wire.h"

#define MAX_CELLS (4 * CELLS_PER_SLOT * MAX_PROCESSES)

struct relay relay;

void
relay_arm(struct event *timer, unsigned int ms)
{
	struct timeval tv = {ms / 1000, ms % 1000 * 1000L};

	if (event_add(timer, &tv) == -1)
		fatalx("event_add failed");
}

void
relay_send_drained(uint32_t process, uint32_t generation)
{
	uint32_t message[2] = {process, generation};

	if (relay.manager != NULL)
		(void)channel_send(relay.manager, IMSG_STREAM_DRAINED, 0, -1,
		    message, sizeof(message));
}

void
relay_send_flushed(uint32_t id)
{
	if (relay.manager != NULL)
		(void)channel_send(
		    relay.manager, IMSG_CONSOLE_FLUSHED, id, -1, NULL, 0);
}

/* ---- the manager
 * ------------------------------------------------------------- */

static int
manager_dispatch(struct channel *c, struct imsg *imsg, void *arg)
{
	(void)c;
	(void)arg;
	switch (imsg_get_type(imsg)) {
	case IMSG_STREAM_TAIL:
		return follow_tail(imsg);
	default:
		return -1;
	}
}

static void
manager_drop(void)
{
	channel_free(relay.manager);
	relay.manager = NULL;
	console_forget_flushes();
}

static void
manager_lost(struct channel *c, const char *why, void *arg)
{
	(void)c;
	(void)arg;
	/* It is still there and not introduced again: we are replaced. */
	if (channel_no_memory(why))
		fatalx("manager: %s", why);
	log_debug("manager: %s", why);
	manager_drop();
}

static int
manager_peer(int fd)
{
	manager_drop();
	relay.manager = channel_new(
	    relay.base, fd, 0, manager_dispatch, manager_lost, NULL);
	if (relay.manager == NULL)
		fatal("no channel to the manager");
	channel_set_priority(relay.manager, 0);
	stream_tell_drained();
	return 0;
}

/* ---- the parent
 * --------------------------------------------------------------- */

static int
relay_peer(struct imsg *imsg)
{
	struct wire_reader r;
	uint32_t instance;
	uint8_t role;
	int fd;

	message_read(&r, imsg);
	role = wire_get_u8(&r);
	instance = wire_get_u32(&r);
	if (wire_end(&r) == -1)
		return -1;
	fd = imsg_get_fd(imsg);
	if (fd == -1)
		return -1;
	if (role == ROLE_MANAGER) /* after a reload, too: we owe no answer */
		return manager_peer(fd);
	if (role == ROLE_HTTPD)
		return follow_peer(instance, fd);
	(void)close(fd);
	return -1;
}

/* Once, before the first stream. */
static int
relay_cells(struct imsg *imsg)
{
	struct stat st;
	uint32_t count;
	size_t size;
	void *cells;
	int fd;

	if (relay.cells != NULL ||
	    imsg_get_data(imsg, &count, sizeof(count)) == -1 || count == 0 ||
	    count > MAX_CELLS)
		return -1;
	fd = imsg_get_fd(imsg);
	if (fd == -1)
		return -1;
	size = (count + 1) * sizeof(struct stream_cell);
	if (fstat(fd, &st) == -1 || st.st_size < (off_t)size) {
		(void)close(fd);
		return -1;
	}
	cells = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	(void)close(fd);
	if (cells == MAP_FAILED) {
		log_warn("mmap");
		return -1;
	}
	relay.cells = cells;
	relay.cell_count = count;
	console_count(&relay.cells[count].offset);
	return 0;
}

static int
relay_dispatch(struct channel *c, struct imsg *imsg, void *arg)
{
	(void)c;
	(void)arg;
	switch (imsg_get_type(imsg)) {
	case IMSG_PEER:
		return relay_peer(imsg);
	case IMSG_CELLS:
		return relay_cells(imsg);
	case IMSG_STREAM_OPEN:
		return stream_open(imsg);
	case IMSG_STREAM_JOURNAL:
		return stream_journal(imsg);
	case IMSG_STREAM_EXIT:
		return stream_exit(imsg);
	case IMSG_STREAM_FORGET:
		return stream_forget(imsg);
	case IMSG_SINK_OPEN:
		return sink_open(imsg);
	case IMSG_SINK_CLOSE:
		return sink_close(imsg);
	case IMSG_CONSOLE_OPEN:
		return console_open(imsg);
	case IMSG_CONSOLE_WRITE:
		return console_write(imsg);
	case IMSG_CONSOLE_FLUSH:
		return console_flush(imsg);
	case IMSG_LOGFILE_WRITE:
		return console_logfile(imsg);
	default:
		return -1;
	}
}

static void
relay_prepare(struct component *self)
{
	relay.base = self->base;
	buffer_init();
	console_init();
	follow_init();
	stream_init();
	pump_init();
}

static void
relay_ready(struct component *self)
{
	relay.parent = self->parent;
}

int
main(int argc, char **argv)
{
	struct component self = {
	    .name = "relay",
	    .role = SANDBOX_RELAY,
	    .dispatch = relay_dispatch,
	    .prepare = relay_prepare,
	    .ready = relay_ready,
	};

	component_run(&self, argc, argv);
}
