/* sources: parent/entry.c parent/table.c parent/words.c parent/socket.c
 * common/wire.c */
/* libs: bsd */
/*
 * The table of entries as a hostile manager could stage it, and the words
 * and environment that its specs become.  Input: pieces of u8 kind, u16
 * length, bytes; each is one entry.
 */
#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "../common/log.h"
#include "../parent/parent.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct parent parent;
struct instance instance;

/* What the sources need of the rest of the parent. */
static struct wire scratch;

struct wire *
message(void)
{
	wire_reset(&scratch);
	return &scratch;
}

void
send_wire(struct child *c, uint32_t type, uint32_t id, int fd)
{
	(void)c;
	(void)type;
	(void)id;
	(void)fd;
}

void
guard_tell(char kind, const void *data, size_t len)
{
	(void)kind;
	(void)data;
	(void)len;
}

size_t
channel_queued(const struct channel *c)
{
	(void)c;
	return 0;
}

int
copy_fd(int fd)
{
	return fd;
}

int
cred_enter(const struct cred *c)
{
	(void)c;
	return -1;
}

void
cred_leave(const struct cred *c)
{
	(void)c;
}

struct slot *
slot_of_process(uint32_t process)
{
	(void)process;
	return NULL;
}

void
log_warn(const char *fmt, ...)
{
	(void)fmt;
}

static void
check(int condition)
{
	if (!condition)
		abort();
}

/* Everything that a spec can become must be where the plan says. */
static void
expand(struct table *t, uint32_t i)
{
	struct slot slot = {.process = 7, .instance = 3, .entry = i};
	struct plan plan;
	struct spec spec;
	void *memory;
	uint32_t n;

	check(spec_read(&t->entries[i], &spec) == 0);
	memset(&plan, 0, sizeof(plan));
	memory = words_make(&plan, &spec, &slot, NULL, 9);
	check(memory != NULL);
	for (n = 0; n < spec.nwords; n++)
		check(strlen(plan.argv[n]) <= spec.room);
	check(plan.argv[spec.nwords] == NULL && plan.argv[0] != NULL);
	for (n = 0; plan.envp[n] != NULL; n++)
		check(strchr(plan.envp[n], '=') != NULL);
	check(n >= spec.nenvironment + 1);
	for (n = 0; plan.candidates[n] != NULL && plan.argv[0] != NULL; n++)
		check(strstr(plan.candidates[n], plan.argv[0]) != NULL);
	check(plan.directory[0] == '/');
	free(plan.candidates);
	free(memory);
}

static struct table *
stage(const uint8_t *data, size_t size)
{
	struct wire_reader r;
	struct table *t;
	struct wire w;
	uint16_t len;

	t = table_new();
	check(t != NULL);
	while (size > 3) {
		memcpy(&len, data + 1, sizeof(len));
		if (len > size - 3)
			len = (uint16_t)(size - 3);
		wire_init(&w);
		wire_put_u32(&w, t->count);
		wire_put_u8(&w, data[0]);
		wire_put_bytes(&w, data + 3, len);
		wire_read(&r, w.data, w.len);
		(void)table_message(t, IMSG_ENTRY, &r);
		wire_free(&w);
		data += 3 + len;
		size -= 3 + len;
	}
	return t;
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static char *environment[] = {
	    "PATH=/bin::/usr/bin", "A=1", "NOTIFY_SOCKET=/x", NULL};
	struct table *other;
	struct table *t;
	uint32_t bad;
	uint32_t i;

	environ = environment;
	memcpy(instance.boot, "01234567", 9);
	t = stage(data, size);
	other = stage(data, size);
	if (table_links(t, &bad) == 0) {
		parent.table = t;
		check(table_links(other, &bad) == 0);
		for (i = 0; i < t->count; i++) {
			if (t->entries[i].kind == ENTRY_SPEC)
				expand(t, i);
			bad = table_same(t, i, other);
			check(bad < t->count &&
			    t->entries[bad].kind == t->entries[i].kind);
		}
	} else
		check(bad < t->count);
	table_free(other);
	table_free(t);
	return 0;
}
