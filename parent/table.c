#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <bsd/stdlib.h>

#include "../common/hash.h"
#include "parent.h"

/*
 * The table of entries: what may be spawned, opened, connected and bound.
 * An entry is checked when it comes and kept as it came; what can be known
 * only when all are there (users, links between entries) is checked at the
 * seal.
 */

#define MAX_CREDS 4096 /* different users of a table */
#define PATH_CHAINS 4096 /* of log files */

struct table *
table_new(void)
{
	struct table *t;

	t = calloc(1, sizeof(*t));
	if (t == NULL)
		return NULL;
	t->creds = calloc(1, sizeof(*t->creds));
	if (t->creds == NULL) {
		free(t);
		return NULL;
	}
	t->creds[0].own = 1;
	t->creds[0].uid = instance.uid;
	t->creds[0].gid = instance.gid;
	t->ncreds = 1;
	t->bad = NO_ENTRY;
	return t;
}

void
table_free(struct table *t)
{
	uint32_t i;

	if (t == NULL)
		return;
	for (i = 0; i < t->count; i++) {
		free(t->entries[i].data);
		if (t->entries[i].fd != -1)
			(void)close(t->entries[i].fd);
	}
	for (i = 0; i < t->ncreds; i++)
		free(t->creds[i].groups);
	free(t->entries);
	free(t->creds);
	free(t->partial);
	free(t);
}

struct entry *
table_entry(const struct table *t, uint32_t i, enum entry_kind kind)
{
	if (t == NULL || i >= t->count || t->entries[i].kind != kind)
		return NULL;
	return &t->entries[i];
}

/* ---- staging ----------------------------------------------------------- */

/* The index of this user among those of the table; 0 or -1. */
static int
add_cred(
    struct table *t, struct entry *e, const uint8_t *key, size_t len, int exact)
{
	static const uint8_t nobody_named[8]; /* user "", group "" */
	struct cred *c;
	uint32_t i;

	e->cred = 0;
	if (!exact && len == sizeof(nobody_named) &&
	    memcmp(key, nobody_named, len) == 0)
		return 0;
	for (i = 1; i < t->ncreds; i++) {
		c = &t->creds[i];
		if (c->keylen == len && c->exact == exact &&
		    memcmp(c->key, key, len) == 0) {
			e->cred = i;
			return 0;
		}
	}
	if (t->ncreds == MAX_CREDS)
		return -1;
	c = reallocarray(t->creds, (size_t)t->ncreds + 1, sizeof(*c));
	if (c == NULL)
		return -1;
	t->creds = c;
	c += t->ncreds;
	memset(c, 0, sizeof(*c));
	c->key = key;
	c->keylen = len;
	c->exact = (uint8_t)exact;
	c->stage = STAGE_USER; /* until it is resolved */
	c->error = EAGAIN;
	c->entry = (uint32_t)(e - t->entries);
	e->cred = t->ncreds++;
	return 0;
}

static int
check_entry(struct table *t, struct entry *e)
{
	struct tls_entry tls;
	struct file_entry file;
	struct spec spec;

	switch (e->kind) {
	case ENTRY_SPEC:
		if (spec_read(e, &spec) == -1)
			return -1;
		return add_cred(t, e, spec.user, spec.user_len,
		    (spec.flags & SPEC_GROUPS) != 0);
	case ENTRY_LOGFILE:
	case ENTRY_UNIX:
	case ENTRY_FILE:
		if (file_read(e, &file) == -1)
			return -1;
		return add_cred(t, e, file.user, file.user_len, 0);
	case ENTRY_TLS:
		return tls_read(e, &tls);
	default:
		return socket_check(e);
	}
}

/* Takes data over; 0, or -1 (the manager is lost). */
static int
add_entry(struct table *t, uint8_t kind, uint8_t *data, uint32_t len)
{
	struct entry *e;
	uint32_t room;

	if (t->count % 64 == 0) {
		room = t->count + 64;
		e = reallocarray(t->entries, room, sizeof(*e));
		if (e == NULL) {
			free(data);
			return -1;
		}
		t->entries = e;
	}
	e = &t->entries[t->count++];
	memset(e, 0, sizeof(*e));
	e->fd = -1;
	e->kind = kind;
	e->data = data;
	e->len = len;
	t->bytes += len;
	if (check_entry(t, e) == -1 && t->bad == NO_ENTRY)
		t->bad = t->count - 1;
	return 0;
}

/* BEGIN and DATA; the last DATA completes the entry. */
static int
entry_begin(struct table *t, uint8_t kind, uint32_t len)
{
	if (len == 0 || len > MAX_ENTRY_SIZE)
		return -1;
	t->partial = malloc(len);
	if (t->partial == NULL)
		return -1;
	t->partial_len = len;
	t->partial_have = 0;
	t->partial_kind = kind;
	return 0;
}

static int
entry_data(struct table *t, struct wire_reader *r)
{
	const void *data;
	uint8_t *whole;
	size_t len;

	data = wire_get_rest(r, &len);
	if (t->partial == NULL || len == 0 ||
	    len > t->partial_len - t->partial_have)
		return -1;
	memcpy(t->partial + t->partial_have, data, len);
	t->partial_have += (uint32_t)len;
	if (t->partial_have < t->partial_len)
		return 0;
	whole = t->partial;
	t->partial = NULL;
	return add_entry(t, t->partial_kind, whole, t->partial_len);
}

int
table_message(struct table *t, uint32_t type, struct wire_reader *r)
{
	const void *data;
	uint8_t *copy;
	uint32_t i;
	size_t len;
	uint8_t kind;

	if (type == IMSG_ENTRY_DATA)
		return entry_data(t, r);
	i = wire_get_u32(r);
	kind = wire_get_u8(r);
	if (r->failed || i != t->count || i >= MAX_ENTRIES ||
	    t->partial != NULL || kind < ENTRY_SPEC || kind > ENTRY_KIND_MAX ||
	    t->bytes > MAX_TABLE_SIZE)
		return -1;
	if (type == IMSG_ENTRY_BEGIN) {
		len = wire_get_u32(r);
		if (wire_end(r) == -1)
			return -1;
		return entry_begin(t, kind, (uint32_t)len);
	}
	data = wire_get_bytes(r, MAX_ENTRY_SIZE, &len);
	if (wire_end(r) == -1 || len == 0)
		return -1;
	copy = malloc(len);
	if (copy == NULL)
		return -1;
	memcpy(copy, data, len);
	return add_entry(t, kind, copy, (uint32_t)len);
}

/* ---- links between entries --------------------------------------------- */

struct entry *
table_socket(const struct table *t, const char *name, size_t len)
{
	struct wire_reader r;
	const char *own;
	size_t own_len;
	uint32_t i;

	for (i = 0; i < t->count; i++) {
		if (t->entries[i].kind != ENTRY_SOCKET)
			continue;
		wire_read(&r, t->entries[i].data, t->entries[i].len);
		own = wire_get_view(&r, MAX_NAME, &own_len);
		if (own_len == len && memcmp(own, name, len) == 0)
			return &t->entries[i];
	}
	return NULL;
}

static int
link_words(const struct table *t, struct wire_reader r)
{
	const char *name;
	size_t len;
	uint32_t i;
	uint32_t j;
	uint32_t n;
	uint8_t kind;

	for (i = wire_get_u32(&r); i > 0; i--) {
		n = wire_get_u32(&r);
		for (j = 0; j < n; j++) {
			kind = wire_get_u8(&r);
			name = wire_get_view(&r, MAX_STRING, &len);
			if (kind >= SEGMENT_SOCKET_FILENO &&
			    kind <= SEGMENT_SOCKET_PATH &&
			    table_socket(t, name, len) == NULL)
				return -1;
		}
	}
	return 0;
}

/* One log file of each path and user, in chains by a hash of the path. */
struct paths {
	uint32_t heads[PATH_CHAINS];
	uint32_t seed; /* nobody knows which paths would share a chain */
	uint32_t next[]; /* of each entry */
};

static struct paths *
paths_new(const struct table *t)
{
	struct paths *p;
	uint32_t i;

	p = malloc(sizeof(*p) + t->count * sizeof(p->next[0]));
	if (p == NULL)
		return NULL;
	for (i = 0; i < PATH_CHAINS; i++)
		p->heads[i] = NO_ENTRY;
	p->seed = arc4random();
	return p;
}

static uint32_t *
path_chain(struct paths *p, const char *path)
{
	uint64_t h = hash_more(HASH_START ^ p->seed, path, strlen(path));

	return &p->heads[hash_fold(h) % PATH_CHAINS];
}

/* Entries with one path share a sink; of several users, each has its own. */
static void
link_logfile(struct table *t, uint32_t i, struct paths *p)
{
	struct file_entry file;
	struct file_entry other;
	struct entry *e;
	uint32_t *chain;
	uint32_t j;

	e = &t->entries[i];
	e->first = i;
	if (file_read(e, &file) == -1 || file.path[0] == '\0')
		return;
	chain = path_chain(p, file.path);
	for (j = *chain; j != NO_ENTRY; j = p->next[j]) {
		if (file_read(&t->entries[j], &other) == -1 ||
		    strcmp(file.path, other.path) != 0)
			continue;
		e->flags |= ENTRY_IS_SHARED;
		t->entries[j].flags |= ENTRY_IS_SHARED;
		if (t->entries[j].cred == e->cred)
			e->first = j;
	}
	if (e->first != i)
		return;
	p->next[i] = *chain;
	*chain = i;
}

static int
link_spec(struct table *t, const struct spec *s)
{
	struct wire_reader r;
	struct entry *file;
	uint32_t i;

	for (i = 0; i < 2; i++) {
		if (s->out[i].sink == NO_ENTRY)
			continue;
		file = table_entry(t, s->out[i].sink, ENTRY_LOGFILE);
		if (file == NULL)
			return -1;
		if (s->stdio[i + 1] == STDIO_PIPE) {
			if (file->flags & ENTRY_IS_USED)
				file->flags |= ENTRY_IS_SHARED;
			file->flags |= ENTRY_IS_USED;
		}
	}
	r = s->sockets;
	for (i = wire_get_u32(&r); i > 0; i--)
		if (table_entry(t, wire_get_u32(&r), ENTRY_SOCKET) == NULL)
			return -1;
	return link_words(t, s->words) == -1 ||
		link_words(t, s->environment) == -1 ?
	    -1 :
	    0;
}

/* The first entry that is wrong, or NO_ENTRY. */
static uint32_t
link_all(struct table *t, struct paths *p)
{
	struct spec spec;
	uint32_t i;

	for (i = 0; i < t->count; i++)
		if (t->entries[i].kind == ENTRY_LOGFILE)
			link_logfile(t, i, p);
		else if (t->entries[i].kind == ENTRY_SPEC &&
		    (spec_read(&t->entries[i], &spec) == -1 ||
			link_spec(t, &spec) == -1))
			return i;
	return NO_ENTRY;
}

int
table_links(struct table *t, uint32_t *bad)
{
	struct paths *p;

	*bad = t->bad;
	if (*bad != NO_ENTRY)
		return -1;
	p = paths_new(t);
	if (p == NULL)
		return -1;
	*bad = link_all(t, p);
	free(p);
	return *bad == NO_ENTRY ? 0 : -1;
}

/* ---- comparing two tables ---------------------------------------------- */

static int
same_bytes(const struct entry *a, const struct entry *b)
{
	return a->kind == b->kind && a->len == b->len &&
	    memcmp(a->data, b->data, a->len) == 0;
}

/* Do two indexes, each in its own table, mean the same? */
static int
same_link(
    const struct table *ta, uint32_t a, const struct table *tb, uint32_t b)
{
	if (a >= ta->count || b >= tb->count)
		return a == NO_ENTRY && b == NO_ENTRY;
	return same_bytes(&ta->entries[a], &tb->entries[b]);
}

/* All is compared as it stands, but for indexes. */
static int
same_spec(const struct table *ta, const struct entry *a, const struct table *tb,
    const struct entry *b)
{
	struct spec sa;
	struct spec sb;
	const uint8_t *pa;
	const uint8_t *pb;
	size_t len;
	uint32_t n;
	int i;

	if (spec_read(a, &sa) == -1 || spec_read(b, &sb) == -1)
		return 0;
	pa = a->data;
	pb = b->data;
	for (i = 0; i < 3; i++) {
		len = (size_t)((i < 2 ? sa.out[i].sink_at : sa.sockets.next) -
		    pa);
		if (len > (size_t)(b->data + b->len - pb) ||
		    memcmp(pa, pb, len) != 0)
			return 0;
		pa += len + sizeof(uint32_t);
		pb += len + sizeof(uint32_t);
		if (i < 2 && !same_link(ta, sa.out[i].sink, tb, sb.out[i].sink))
			return 0;
	}
	n = wire_get_u32(&sa.sockets);
	if (n != wire_get_u32(&sb.sockets))
		return 0;
	while (n-- > 0)
		if (!same_link(ta, wire_get_u32(&sa.sockets), tb,
			wire_get_u32(&sb.sockets)))
			return 0;
	return 1;
}

uint32_t
table_same(const struct table *from, uint32_t i, const struct table *to)
{
	const struct entry *e;
	uint32_t j;
	uint32_t n;

	if (i >= from->count)
		return NO_ENTRY;
	e = &from->entries[i];
	for (n = 0; n < to->count; n++) {
		/* Most have not moved. */
		j = (i + n) % to->count;
		if (to->entries[j].kind != e->kind ||
		    to->entries[j].len != e->len)
			continue;
		if (e->kind == ENTRY_SPEC ?
			same_spec(from, e, to, &to->entries[j]) :
			same_bytes(e, &to->entries[j]))
			return j;
	}
	return NO_ENTRY;
}
