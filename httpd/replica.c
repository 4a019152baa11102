#include <malloc.h>
#include <stdlib.h>
#include <string.h>

#include "../common/imsg.h"
#include "../common/log.h"
#include "../common/wire.h"
#include "httpd.h"
#include "table.h"
#include "words.h"

/*
 * The replica: what the manager feeds, from which all reads are answered.
 * A process is kept as bytes and decoded when it is asked for: as they came,
 * but its strings are packed and stand behind the rest (words.h).  While a new
 * snapshot comes (a new manager) the old one is answered.
 */

#define MAX_STRINGS 4096
#define MORE_WORDS 3 /* directory, user, what it waits for */
#define USUAL 65536 /* bytes of a process */
#define BEHIND_MS 50 /* so long the manager may be between two workers */

struct replica replica;

static struct table *table; /* NULL: nothing has come yet */
static struct table *coming; /* a snapshot comes, else NULL */
static const uint64_t *page;

const char *
process_state_name(unsigned int state)
{
	static const char *const names[STATE_COUNT] = {"waiting", "starting",
	    "running", "stopping", "exited", "backoff", "failed", "stopped"};

	return state < STATE_COUNT ? names[state] : "?";
}

/* ---- decoding ------------------------------------------------------- */

static void
decode_head(struct replica_process *p, struct wire_reader *r)
{
	memset(p, 0, sizeof(*p));
	p->id = wire_get_u32(r);
	p->generation = wire_get_u32(r);
	p->instance = wire_get_u32(r);
	p->pid = wire_get_i32(r);
	p->state = wire_get_u8(r);
	p->verified = (uint8_t)wire_get_bool(r);
	p->once = (uint8_t)wire_get_bool(r);
	p->listed = (uint8_t)wire_get_bool(r);
	p->ended = (uint8_t)wire_get_bool(r);
	p->status = wire_get_i32(r);
	p->ended_wall = wire_get_i64(r);
	p->started_wall = wire_get_i64(r);
	p->restarts = wire_get_u32(r);
	p->slot = wire_get_u32(r);
	p->streams = wire_get_u8(r);
	p->job = wire_get_view(r, MAX_BLOB_SIZE, &p->job_len);
	p->nwords = wire_get_count(r, MAX_STRINGS, 0);
}

static void
decode_verifier(struct replica_process *p, struct wire_reader *r)
{
	p->has_verifier = (uint8_t)wire_get_bool(r);
	if (!p->has_verifier)
		return;
	p->kind = wire_get_view(r, MAX_BLOB_SIZE, &p->kind_len);
	p->attempts = wire_get_u32(r);
	p->last = wire_get_view(r, MAX_BLOB_SIZE, &p->last_len);
	p->elapsed = wire_get_u64(r);
}

static int
decode(struct replica_process *p, const struct item *item)
{
	struct wire_reader r;
	uint32_t i;

	wire_read(&r, item->bytes, item->words);
	decode_head(p, &r);
	decode_verifier(p, &r);
	if (wire_end(&r) == -1)
		return -1;
	wire_read(&r, item->bytes + item->words, item->len - item->words);
	p->words = r;
	for (i = 0; i < p->nwords; i++)
		(void)words_next(&r, &p->cwd_len);
	p->cwd = words_next(&r, &p->cwd_len);
	p->user = words_next(&r, &p->user_len);
	p->waits = words_next(&r, &p->waits_len);
	return wire_end(&r);
}

/*
 * From the bytes that came to those that are kept, with the packed words from
 * *words on.  0, or -1: those that are packed already are the caller's to drop.
 */
static int
repack(struct wire *to, struct replica_process *p, const uint8_t *bytes,
    size_t len, size_t *words)
{
	struct wire_reader r;
	struct wire_reader strings;
	const uint8_t *verifier;
	const char *s;
	size_t n;
	uint32_t i;

	*words = 0;
	wire_read(&r, bytes, len);
	decode_head(p, &r);
	strings = r;
	for (i = 0; i < p->nwords + MORE_WORDS; i++)
		(void)wire_get_view(&r, MAX_BLOB_SIZE, &n);
	verifier = r.next;
	decode_verifier(p, &r);
	if (wire_end(&r) == -1 || p->id == 0 || p->state >= STATE_COUNT)
		return -1;
	wire_put_raw(to, bytes, (size_t)(strings.next - bytes));
	wire_put_raw(to, verifier, (size_t)(r.next - verifier));
	*words = to->len;
	for (i = 0; i < p->nwords + MORE_WORDS; i++) {
		s = wire_get_view(&strings, MAX_BLOB_SIZE, &n);
		words_put(to, s, n);
	}
	return wire_check(to);
}

/* ---- messages ------------------------------------------------------- */

/* What changes: that which is coming, if there is one. */
static struct table **
current(void)
{
	return coming != NULL ? &coming : &table;
}

static int
got_process(struct wire_reader *r)
{
	static struct wire kept;
	struct replica_process p;
	const void *bytes;
	size_t len;
	size_t words;
	int ret = -1;

	bytes = wire_get_rest(r, &len);
	if (*current() == NULL)
		return -1;
	wire_reset(&kept);
	if (repack(&kept, &p, bytes, len, &words) == 0)
		ret = table_put(
		    current(), p.id, kept.data, kept.len, words, MAX_PROCESSES);
	else if (kept.len > words)
		words_drop(kept.data + words, kept.len - words);
	if (kept.size > USUAL)
		wire_free(&kept);
	return ret;
}

static int
got_gone(struct wire_reader *r)
{
	uint32_t id;

	id = wire_get_u32(r);
	if (wire_end(r) == -1 || *current() == NULL)
		return -1;
	return table_remove(current(), id);
}

static int
got_status(struct wire_reader *r)
{
	char *missing;

	wire_get_string(r, replica.status, sizeof(replica.status));
	replica.ready = wire_get_bool(r);
	replica.shutdown = wire_get_bool(r);
	missing = wire_get_strdup(r, MAX_BLOB_SIZE);
	if (wire_end(r) == -1) {
		free(missing);
		return -1;
	}
	free(replica.missing);
	replica.missing = missing;
	return 0;
}

static uint32_t *
numbers(struct wire_reader *r, uint32_t *count)
{
	uint32_t *list;
	uint32_t i;
	uint32_t n;

	n = wire_get_count(r, MAX_STRINGS, 4);
	list = calloc((size_t)n + 1, sizeof(*list));
	if (list == NULL)
		r->failed = 1;
	for (i = 0; i < n && list != NULL; i++)
		list[i] = wire_get_u32(r);
	*count = r->failed ? 0 : n;
	return list;
}

static void
free_names(char **list)
{
	size_t i;

	for (i = 0; list != NULL && list[i] != NULL; i++)
		free(list[i]);
	free(list);
}

static char **
names(struct wire_reader *r)
{
	char **list;
	uint32_t i;
	uint32_t n;

	n = wire_get_count(r, MAX_STRINGS, 4);
	list = calloc((size_t)n + 1, sizeof(*list));
	if (list == NULL)
		r->failed = 1;
	for (i = 0; i < n && list != NULL; i++)
		list[i] = wire_get_strdup(r, 512);
	return list;
}

static void
free_config(struct replica *of)
{
	free(of->directory);
	free(of->user);
	free(of->uids);
	free(of->gids);
	free_names(of->hosts);
	free_names(of->origins);
}

/* All of it, or what was there stays: it is read while none comes. */
static int
got_config(struct wire_reader *r)
{
	struct replica fresh;

	fresh = replica;
	wire_get_string(r, fresh.version, sizeof(fresh.version));
	wire_get_string(r, fresh.boot, sizeof(fresh.boot));
	fresh.pid = wire_get_u32(r);
	fresh.started = wire_get_i64(r);
	fresh.owner = wire_get_u32(r);
	fresh.directory = wire_get_strdup(r, MAX_BLOB_SIZE);
	fresh.user = wire_get_strdup(r, MAX_BLOB_SIZE);
	fresh.uids = numbers(r, &fresh.nuids);
	fresh.gids = numbers(r, &fresh.ngids);
	fresh.hosts = names(r);
	fresh.origins = names(r);
	fresh.flags = wire_get_u8(r);
	if (wire_end(r) == -1) {
		free_config(&fresh);
		return -1;
	}
	free_config(&replica);
	replica = fresh;
	principals_begin();
	return 0;
}

static int
got_sequence(struct wire_reader *r)
{
	uint64_t sequence;

	sequence = wire_get_u64(r);
	/* Without rules and status there is nothing to answer. */
	if (wire_end(r) == -1 || replica.directory == NULL ||
	    replica.missing == NULL)
		return -1;
	replica.sequence = sequence;
	if (coming != NULL) {
		table_retire(table);
		table = coming;
		coming = NULL;
		principals_commit();
		rights_renew();
		replica.complete = 1;
		(void)malloc_trim(0); /* what the burst has left */
		listen_start();
	}
	api_v1_ready_changed();
	stream_shutdown();
	room_release();
	return 0;
}

int
replica_message(struct imsg *imsg)
{
	struct wire_reader r;

	message_read(&r, imsg);
	switch (imsg_get_type(imsg)) {
	case IMSG_FEED_BEGIN:
		(void)wire_get_u64(&r);
		table_free(coming);
		coming = table_new();
		return coming == NULL ? -1 : wire_end(&r);
	case IMSG_FEED_CONFIG:
		return got_config(&r);
	case IMSG_FEED_PRINCIPAL:
		return principals_add(&r);
	case IMSG_FEED_STATUS:
		return got_status(&r);
	case IMSG_FEED_PROC:
		return got_process(&r);
	case IMSG_FEED_PROC_GONE:
		return got_gone(&r);
	case IMSG_FEED_SEQUENCE:
		return got_sequence(&r);
	default:
		return -1;
	}
}

/* ---- reading -------------------------------------------------------- */

void
replica_page(const uint64_t *shared)
{
	page = shared;
}

static int
is_published(void)
{
	return page == NULL || manager_channel == NULL ||
	    __atomic_load_n(page, __ATOMIC_ACQUIRE) <= replica.sequence;
}

int
replica_is_behind(void)
{
	static int64_t since;
	int64_t now;

	if (is_published()) {
		since = 0;
		return 0;
	}
	channel_poll(manager_channel);
	if (is_published())
		return 0;
	now = now_ms();
	if (since == 0)
		since = now;
	return now - since < BEHIND_MS;
}

int
replica_find(uint32_t id, struct replica_process *p)
{
	const struct item *item;

	item = table_find(table, id);
	return item == NULL ? -1 : decode(p, item);
}

struct table *
replica_hold(void)
{
	return table_hold(table);
}

int
replica_next(const struct table *of, size_t *cursor, struct replica_process *p)
{
	const struct item *item;

	item = table_at(of == NULL ? table : of, *cursor);
	if (item == NULL || decode(p, item) == -1)
		return 0;
	(*cursor)++;
	return 1;
}

size_t
replica_count(void)
{
	return table_count(table);
}

void
replica_command(const struct replica_process *p, struct json *j)
{
	static char line[2 * MAX_BLOB_SIZE];
	struct wire_reader r;
	const char *s;
	size_t len;
	size_t n;
	uint32_t i;

	n = 0;
	r = p->words;
	for (i = 0; i < p->nwords; i++) {
		s = words_next(&r, &len);
		if (s == NULL || n + len + 1 > sizeof(line))
			break;
		if (i > 0)
			line[n++] = ' ';
		memcpy(line + n, s, len);
		n += len;
	}
	json_string(j, line, n);
}
