#include <sys/types.h>
#include <sys/mman.h>

#include <event2/event.h>

#include "log.h"
#include "relay.h"

#define SMALL_SIZE 8192
#define IDLE_MS 1000

/* Most output comes in pieces that do not need more. */
static uint8_t buffer_small[SMALL_SIZE];

static uint8_t *buffer_large;
static struct event *buffer_timer;
static int buffer_used; /* since the timer was set */
static int buffer_armed;

static void
buffer_idle_cb(int fd, short events, void *arg)
{
	(void)fd;
	(void)events;
	(void)arg;
	buffer_armed = 0;
	if (buffer_used) {
		buffer_used = 0;
		buffer_armed = 1;
		relay_arm(buffer_timer, IDLE_MS);
		return;
	}
	if (madvise(buffer_large, BUFFER_SIZE, MADV_DONTNEED) == -1)
		log_warn("madvise");
}

void
buffer_init(void)
{
	void *p;

	p = mmap(NULL, BUFFER_SIZE, PROT_READ | PROT_WRITE,
	    MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (p == MAP_FAILED)
		fatal("mmap");
	buffer_large = p;
	buffer_timer = evtimer_new(relay.base, buffer_idle_cb, NULL);
	if (buffer_timer == NULL)
		fatalx("evtimer_new failed");
}

uint8_t *
buffer_get(size_t want)
{
	if (want <= SMALL_SIZE)
		return buffer_small;
	if (!buffer_armed) {
		buffer_armed = 1;
		buffer_used = 0;
		relay_arm(buffer_timer, IDLE_MS);
	} else
		buffer_used = 1;
	return buffer_large;
}
