#include <stdlib.h>
#include <string.h>

#include "../common/hash.h"
#include "words.h"

#define SHORT 15 /* bytes: a reference to a text takes nearly as much */
#define REFERENCE 0xff /* in place of the length: a pointer follows */

struct text {
	struct text *next;
	uint32_t hash;
	uint32_t refs;
	uint32_t len;
	char bytes[];
};

/* As it is packed: without alignment. */
struct reference {
	struct text *text;
};

static struct text **buckets;
static size_t nbuckets; /* a power of two, or 0 */
static size_t ntexts;

/* Twice the buckets when they are full.  Without memory: as they are. */
static void
grow(void)
{
	struct text **bigger;
	struct text *t;
	size_t i;
	size_t n;

	if (ntexts < nbuckets)
		return;
	n = nbuckets == 0 ? 16 : nbuckets * 2;
	bigger = calloc(n, sizeof(struct text *));
	if (bigger == NULL)
		return;
	for (i = 0; i < nbuckets; i++)
		while ((t = buckets[i]) != NULL) {
			buckets[i] = t->next;
			t->next = bigger[t->hash & (n - 1)];
			bigger[t->hash & (n - 1)] = t;
		}
	free(buckets);
	buckets = bigger;
	nbuckets = n;
}

static struct text *
text_get(const char *s, size_t len)
{
	struct text *t;
	uint32_t h;

	h = hash_fold(hash_more(HASH_START, s, len));
	for (t = nbuckets == 0 ? NULL : buckets[h & (nbuckets - 1)]; t != NULL;
	     t = t->next)
		if (t->hash == h && t->len == len &&
		    memcmp(t->bytes, s, len) == 0) {
			t->refs++;
			return t;
		}
	grow();
	t = nbuckets == 0 ? NULL : malloc(sizeof(*t) + len);
	if (t == NULL)
		return NULL;
	t->hash = h;
	t->refs = 1;
	t->len = (uint32_t)len;
	memcpy(t->bytes, s, len);
	t->next = buckets[h & (nbuckets - 1)];
	buckets[h & (nbuckets - 1)] = t;
	ntexts++;
	return t;
}

static void
text_drop(struct text *t)
{
	struct text **at;

	if (--t->refs > 0)
		return;
	for (at = &buckets[t->hash & (nbuckets - 1)]; *at != t;)
		at = &(*at)->next;
	*at = t->next;
	free(t);
	ntexts--;
}

void
words_put(struct wire *out, const char *s, size_t len)
{
	struct reference reference;

	if (len <= SHORT) {
		wire_put_u8(out, (uint8_t)len);
		wire_put_raw(out, s, len);
		return;
	}
	reference.text = text_get(s, len);
	if (reference.text == NULL) {
		out->failed = 1;
		return;
	}
	wire_put_u8(out, REFERENCE);
	wire_put_raw(out, &reference, sizeof(reference));
	if (out->failed)
		text_drop(reference.text);
}

/* One; *text is its text, or NULL if it is short. */
static const char *
next(struct wire_reader *r, size_t *len, struct text **text)
{
	struct reference reference;
	const char *s;

	*text = NULL;
	*len = wire_get_u8(r);
	if (*len == REFERENCE) {
		if (r->left < sizeof(reference))
			r->failed = 1;
		if (r->failed)
			return NULL;
		memcpy(&reference, r->next, sizeof(reference));
		r->next += sizeof(reference);
		r->left -= sizeof(reference);
		*text = reference.text;
		*len = (*text)->len;
		return (*text)->bytes;
	}
	if (r->left < *len)
		r->failed = 1;
	if (r->failed)
		return NULL;
	s = (const char *)r->next;
	r->next += *len;
	r->left -= *len;
	return s;
}

const char *
words_next(struct wire_reader *r, size_t *len)
{
	struct text *text;

	return next(r, len, &text);
}

void
words_drop(const uint8_t *packed, size_t len)
{
	struct wire_reader r;
	struct text *text;
	size_t n;

	wire_read(&r, packed, len);
	while (r.left > 0 && next(&r, &n, &text) != NULL)
		if (text != NULL)
			text_drop(text);
}

size_t
words_cost(const uint8_t *packed, size_t len)
{
	struct wire_reader r;
	struct text *text;
	size_t cost = 0;
	size_t n;

	wire_read(&r, packed, len);
	while (r.left > 0 && next(&r, &n, &text) != NULL)
		if (text != NULL)
			cost += n;
	return cost;
}

size_t
words_texts(void)
{
	return ntexts;
}
