#ifndef MUSTER_TABLE_H
#define MUSTER_TABLE_H

#include <stddef.h>
#include <stdint.h>

/*
 * The processes of the replica, sorted by id, each as bytes of which the last
 * are packed words (words.h).
 * Who writes a long list holds the table as it was when he began: a change
 * makes another one then, which shares what is the same.
 */
struct table;

struct item {
	uint32_t id;
	uint32_t len;
	uint32_t words; /* here the packed words begin */
	uint32_t refs; /* of tables */
	uint8_t left; /* the table of now has another, or none */
	uint8_t bytes[];
};

struct table *table_new(void); /* NULL: no memory */
struct table *table_hold(struct table *);
void table_free(struct table *); /* what one has made or holds */
/* It is the one of now no more: what others keep of it is accounted for. */
void table_retire(struct table *);
/*
 * Adds or replaces; the table may become another one.  The words' texts are
 * the table's then; with -1 they are dropped.
 */
int table_put(struct table **, uint32_t id, const void *bytes, size_t len,
    size_t words, size_t max);
int table_remove(struct table **, uint32_t id); /* 0, also if there is none */
const struct item *table_find(const struct table *, uint32_t id);
/* In order of ids; NULL behind the last. */
const struct item *table_at(const struct table *, size_t);
size_t table_count(const struct table *);

#endif
