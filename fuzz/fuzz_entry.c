/* sources: parent/entry.c parent/table.c parent/words.c parent/socket.c
 * common/wire.c */
/* libs: bsd */
/* covers: parent/entry.c parent/table.c parent/words.c */
/*
 * The table of entries as a hostile manager could stage it, and the words
 * and environment that its specs become.  Input: pieces of u8 kind (with
 * bits PIECE_*), u16 length, bytes; each is one entry.
 */
#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "../common/log.h"
#include "../parent/parent.h"

#define PIECE_PARTS 0x80 /* comes as ENTRY_BEGIN and two ENTRY_DATA */
#define PIECE_LONG 0x40 /* of which the second is too long */
#define PIECE_GONE 0x20 /* is not in the table of a later configuration */
#define PIECE_KIND 0x1f

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
send_fd(struct child *c, uint32_t type, int fd)
{
	(void)c;
	(void)type;
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

static int
say(struct table *t, uint32_t type, const void *data, size_t len)
{
	struct wire_reader r;

	wire_read(&r, data, len);
	return table_message(t, type, &r);
}

static void
say_parts(struct table *t, uint8_t kind, const uint8_t *data, uint16_t len)
{
	struct wire w;
	int begun;

	wire_init(&w);
	wire_put_u32(&w, t->count);
	wire_put_u8(&w, kind & PIECE_KIND);
	wire_put_u32(&w, len);
	begun = say(t, IMSG_ENTRY_BEGIN, w.data, w.len) == 0;
	/* Nothing else while it is incomplete. */
	check(!begun || say(t, IMSG_ENTRY_BEGIN, w.data, w.len) == -1);
	(void)say(t, IMSG_ENTRY_DATA, data, len / 2);
	wire_reset(&w);
	wire_put_raw(&w, data + len / 2, len - len / 2);
	if (kind & PIECE_LONG)
		wire_put_u8(&w, 0);
	(void)say(t, IMSG_ENTRY_DATA, w.data, w.len);
	wire_free(&w);
}

static void
say_piece(struct table *t, uint8_t kind, const uint8_t *data, uint16_t len)
{
	struct wire w;

	if (kind & PIECE_PARTS) {
		say_parts(t, kind, data, len);
		return;
	}
	wire_init(&w);
	wire_put_u32(&w, t->count);
	wire_put_u8(&w, kind & PIECE_KIND);
	wire_put_bytes(&w, data, len);
	(void)say(t, IMSG_ENTRY, w.data, w.len);
	wire_free(&w);
}

/* All of them, but those with one of the bits. */
static struct table *
stage(const uint8_t *data, size_t size, uint8_t without)
{
	struct table *t;
	uint16_t len;

	t = table_new();
	check(t != NULL);
	for (; size > 3; data += 3 + len, size -= 3 + len) {
		memcpy(&len, data + 1, sizeof(len));
		if (len > size - 3)
			len = (uint16_t)(size - 3);
		if (!(data[0] & without))
			say_piece(t, data[0], data + 3, len);
	}
	return t;
}

/* Each entry is found in its own table, and in another one its like. */
static void
compare(struct table *t, const struct table *other)
{
	uint32_t found;
	uint32_t i;

	for (i = 0; i < t->count; i++) {
		found = table_same(t, i, t);
		check(found < t->count &&
		    t->entries[found].kind == t->entries[i].kind);
		found = table_same(t, i, other);
		check(found == NO_ENTRY ||
		    (found < other->count &&
			other->entries[found].kind == t->entries[i].kind));
	}
	check(table_same(t, t->count, other) == NO_ENTRY);
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
	t = stage(data, size, 0);
	other = stage(data, size, PIECE_GONE);
	if (table_links(t, &bad) == 0) {
		parent.table = t;
		for (i = 0; i < t->count; i++)
			if (t->entries[i].kind == ENTRY_SPEC)
				expand(t, i);
		if (table_links(other, &bad) == 0)
			compare(t, other);
	} else
		check(bad < t->count);
	table_free(other);
	table_free(t);
	return 0;
}
