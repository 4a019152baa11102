#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../common/hash.h"
#include "config_table.h"

/*
 * The memory of a configuration: pieces that are given back all at once, and
 * strings of which those that are equal are one.
 */

#define CHUNK (16UL * 1024) /* of the arena */
#define RECENT 4096 /* strings that are looked at for another one */

struct config_arena {
	struct config_arena *next;
	size_t used;
	size_t size;
	_Alignas(16) char bytes[];
};

/* Strings need no alignment, and most of what is kept are strings. */
static void *
arena_take(struct config *c, size_t len)
{
	struct config_arena *a;
	size_t size;
	void *p;

	a = c->arena;
	if (a == NULL || a->size - a->used < len) {
		size = len > CHUNK / 4 ? len : CHUNK;
		a = calloc(1, sizeof(*a) + size);
		if (a == NULL)
			abort();
		a->size = size;
		/* A large piece goes behind, the open one stays in front. */
		if (len > CHUNK / 4 && c->arena != NULL) {
			a->next = c->arena->next;
			c->arena->next = a;
		} else {
			a->next = c->arena;
			c->arena = a;
		}
	}
	p = a->bytes + a->used;
	a->used += len;
	c->bytes += len;
	return p;
}

void *
config_alloc(struct config *c, size_t len)
{
	if (c->arena != NULL) {
		c->arena->used = (c->arena->used + 15) & ~(size_t)15;
		if (c->arena->used > c->arena->size)
			c->arena->used = c->arena->size;
	}
	return arena_take(c, len);
}

/*
 * Jobs have much in common: programs, directories, users.  Where two strings
 * fall together the later one is remembered: a thousand different ones may
 * cost a few copies, and no time.
 */
const char *
config_strdup(struct config *c, const char *s)
{
	const char **recent = NULL;
	uint64_t h;
	size_t len;
	char *copy;

	len = strlen(s) + 1;
	if (c->recent != NULL) {
		h = hash_more(HASH_START, s, len);
		recent = &c->recent[hash_fold(h) % RECENT];
		if (*recent != NULL && strcmp(*recent, s) == 0) {
			c->bytes += len; /* the parent will have it twice */
			return *recent;
		}
	}
	copy = arena_take(c, len);
	memcpy(copy, s, len);
	if (recent != NULL)
		*recent = copy;
	return copy;
}

void
config_share(struct config *c, int on)
{
	free(c->recent);
	c->recent = on ? calloc(RECENT, sizeof(*c->recent)) : NULL;
}

char *
config_printf(struct config *c, const char *fmt, ...)
{
	va_list ap;
	va_list again;
	char *s;
	int n;

	va_start(ap, fmt);
	va_copy(again, ap);
	n = vsnprintf(NULL, 0, fmt, ap);
	va_end(ap);
	if (n < 0)
		abort();
	s = arena_take(c, (size_t)n + 1);
	(void)vsnprintf(s, (size_t)n + 1, fmt, again);
	va_end(again);
	return s;
}

/* Room for one more of n elements; doubles at each power of two. */
void *
config_array(struct config *c, const void *old, size_t n, size_t size)
{
	void *bigger;

	if (n != 0 && (n & (n - 1)) != 0)
		return (void *)(uintptr_t)old;
	bigger = config_alloc(c, (n == 0 ? 1 : n * 2) * size);
	if (n > 0)
		memcpy(bigger, old, n * size);
	return bigger;
}

void
config_free(struct config *c)
{
	struct config_arena *a;

	if (c == NULL)
		return;
	config_share(c, 0);
	while ((a = c->arena) != NULL) {
		c->arena = a->next;
		free(a);
	}
	free(c);
}
