#include <stdlib.h>
#include <string.h>

#include "../common/message.h"
#include "principal.h"

#define MAX_SCOPES 64

struct list {
	struct principal *items;
	size_t count;
};

static struct list list;
static struct list coming;

static void
clear(struct list *l)
{
	size_t i;
	size_t j;

	for (i = 0; i < l->count; i++) {
		for (j = 0;
		     l->items[i].scope != NULL && l->items[i].scope[j] != NULL;
		     j++)
			free(l->items[i].scope[j]);
		free(l->items[i].scope);
		free(l->items[i].name);
	}
	free(l->items);
	memset(l, 0, sizeof(*l));
}

void
principals_begin(void)
{
	clear(&coming);
}

int
principals_add(struct wire_reader *r)
{
	struct principal *bigger;
	struct principal *p;
	const void *hash;
	uint32_t i;
	uint32_t n;
	size_t len;

	if (coming.count == MAX_PRINCIPALS)
		return -1;
	bigger = reallocarray(coming.items, coming.count + 1, sizeof(*bigger));
	if (bigger == NULL)
		return -1;
	coming.items = bigger;
	p = &coming.items[coming.count++];
	memset(p, 0, sizeof(*p));
	p->name = wire_get_strdup(r, MAX_NAME);
	p->kind = wire_get_u8(r);
	p->role = wire_get_u8(r);
	p->expires = wire_get_i64(r);
	hash = wire_get_bytes(r, PRINCIPAL_HASH, &len);
	n = wire_get_count(r, MAX_SCOPES, 4);
	p->scope = calloc((size_t)n + 1, sizeof(*p->scope));
	if (p->scope == NULL || hash == NULL || len != PRINCIPAL_HASH)
		return -1;
	memcpy(p->hash, hash, PRINCIPAL_HASH);
	for (i = 0; i < n; i++)
		p->scope[i] = wire_get_strdup(r, 2UL * MAX_NAME);
	return wire_end(r) == -1 || p->role < ACCESS_READ ||
		p->role > ACCESS_ADMIN ||
		(p->kind != PRINCIPAL_TOKEN &&
		    p->kind != PRINCIPAL_CERTIFICATE) ?
	    -1 :
	    0;
}

void
principals_commit(void)
{
	clear(&list);
	list = coming;
	memset(&coming, 0, sizeof(coming));
}

static int
same(const uint8_t *a, const uint8_t *b)
{
	uint8_t difference;
	size_t i;

	difference = 0;
	for (i = 0; i < PRINCIPAL_HASH; i++)
		difference |= a[i] ^ b[i];
	return difference == 0;
}

const struct principal *
principal_find(enum principal_kind kind, const uint8_t hash[PRINCIPAL_HASH])
{
	const struct principal *found;
	size_t i;

	found = NULL;
	for (i = 0; i < list.count; i++)
		if (same(list.items[i].hash, hash) &&
		    list.items[i].kind == kind)
			found = &list.items[i];
	return found;
}

size_t
principals_count(enum principal_kind kind)
{
	size_t i;
	size_t n;

	n = 0;
	for (i = 0; i < list.count; i++)
		n += list.items[i].kind == kind;
	return n;
}

int
principal_covers(const struct principal *p, const char *job, size_t len)
{
	size_t i;
	size_t n;

	if (p == NULL || p->scope[0] == NULL)
		return 1;
	for (i = 0; p->scope[i] != NULL; i++) {
		n = strlen(p->scope[i]);
		/* The job itself, or its session: what is before the dot. */
		if (n <= len && memcmp(p->scope[i], job, n) == 0 &&
		    (n == len ||
			(job[n] == '.' && strchr(p->scope[i], '.') == NULL)))
			return 1;
	}
	return 0;
}
