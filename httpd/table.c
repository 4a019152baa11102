#include <stdlib.h>
#include <string.h>

#include "httpd.h"
#include "table.h"
#include "words.h"

struct table {
	struct item **items; /* sorted by id */
	size_t count;
	size_t room;
	unsigned int refs;
	int left; /* only readers of long lists still hold it */
};

struct table *
table_new(void)
{
	struct table *t;

	t = calloc(1, sizeof(*t));
	if (t != NULL)
		t->refs = 1;
	return t;
}

struct table *
table_hold(struct table *t)
{
	t->refs++;
	return t;
}

static size_t
item_cost(const struct item *item)
{
	return item->len +
	    words_cost(item->bytes + item->words, item->len - item->words);
}

/* What only those keep who have not read it takes part of their room. */
static void
item_leave(struct item *item)
{
	item->left = 1;
	room_account(0, item_cost(item));
}

static void
item_free(struct item *item)
{
	if (--item->refs > 0)
		return;
	if (item->left)
		room_account(item_cost(item), 0);
	words_drop(item->bytes + item->words, item->len - item->words);
	free(item);
}

void
table_free(struct table *t)
{
	size_t i;

	if (t == NULL || --t->refs > 0)
		return;
	for (i = 0; i < t->count; i++)
		item_free(t->items[i]);
	if (t->left)
		room_account(t->room * sizeof(struct item *), 0);
	free(t->items);
	free(t);
}

static void
leave(struct table *t)
{
	t->left = 1;
	room_account(0, t->room * sizeof(struct item *));
}

void
table_retire(struct table *t)
{
	size_t i;

	if (t != NULL && t->refs > 1) {
		leave(t);
		for (i = 0; i < t->count; i++)
			if (!t->items[i]->left)
				item_leave(t->items[i]);
	}
	table_free(t);
}

/* One that nobody else holds, and that has room for one more. */
static struct table *
own(struct table **t)
{
	struct item **items;
	struct table *old;
	struct table *new;
	size_t room;
	size_t i;

	old = *t;
	room = old->count < old->room ? old->room :
	    old->room == 0            ? 16 :
					old->room * 2;
	if (old->refs == 1) {
		if (room == old->room)
			return old;
		items = reallocarray(old->items, room, sizeof(struct item *));
		if (items == NULL)
			return NULL;
		old->items = items;
		old->room = room;
		return old;
	}
	new = table_new();
	if (new == NULL)
		return NULL;
	new->items = calloc(room, sizeof(struct item *));
	if (new->items == NULL) {
		free(new);
		return NULL;
	}
	new->room = room;
	new->count = old->count;
	for (i = 0; i < old->count; i++) {
		new->items[i] = old->items[i];
		new->items[i]->refs++;
	}
	leave(old);
	table_free(old);
	*t = new;
	return new;
}

static void
drop(struct item *item)
{
	if (item->refs > 1)
		item_leave(item);
	item_free(item);
}

/* Index of the first item whose id is not less. */
static size_t
lower(const struct table *t, uint32_t id)
{
	size_t high;
	size_t low;
	size_t mid;

	/* Ids come in order, mostly. */
	if (t->count == 0 || t->items[t->count - 1]->id < id)
		return t->count;
	if (id > 0 && id <= t->count && t->items[id - 1]->id == id)
		return id - 1;
	low = 0;
	high = t->count;
	while (low < high) {
		mid = (low + high) / 2;
		if (t->items[mid]->id < id)
			low = mid + 1;
		else
			high = mid;
	}
	return low;
}

static int
is_at(const struct table *t, size_t i, uint32_t id)
{
	return i < t->count && t->items[i]->id == id;
}

static struct item *
item_new(uint32_t id, const void *bytes, size_t len, size_t words)
{
	struct item *item;

	item = malloc(offsetof(struct item, bytes) + len);
	if (item == NULL)
		return NULL;
	item->id = id;
	item->len = (uint32_t)len;
	item->words = (uint32_t)words;
	item->refs = 1;
	item->left = 0;
	memcpy(item->bytes, bytes, len);
	return item;
}

int
table_put(struct table **table, uint32_t id, const void *bytes, size_t len,
    size_t words, size_t max)
{
	struct table *t = NULL;
	struct item *item = NULL;
	size_t i;

	i = lower(*table, id);
	if (is_at(*table, i, id) || (*table)->count < max)
		item = item_new(id, bytes, len, words);
	if (item != NULL)
		t = own(table);
	if (t == NULL) {
		words_drop((const uint8_t *)bytes + words, len - words);
		free(item);
		return -1;
	}
	if (is_at(t, i, id)) {
		drop(t->items[i]);
		t->items[i] = item;
		return 0;
	}
	memmove(t->items + i + 1, t->items + i,
	    (t->count - i) * sizeof(struct item *));
	t->items[i] = item;
	t->count++;
	return 0;
}

int
table_remove(struct table **table, uint32_t id)
{
	struct table *t;
	size_t i;

	i = lower(*table, id);
	if (!is_at(*table, i, id))
		return 0;
	t = own(table);
	if (t == NULL)
		return -1;
	drop(t->items[i]);
	t->count--;
	memmove(t->items + i, t->items + i + 1,
	    (t->count - i) * sizeof(struct item *));
	return 0;
}

const struct item *
table_find(const struct table *t, uint32_t id)
{
	size_t i;

	i = t == NULL ? 0 : lower(t, id);
	return t != NULL && is_at(t, i, id) ? t->items[i] : NULL;
}

const struct item *
table_at(const struct table *t, size_t i)
{
	return t != NULL && i < t->count ? t->items[i] : NULL;
}

size_t
table_count(const struct table *t)
{
	return t == NULL ? 0 : t->count;
}
