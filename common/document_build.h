#ifndef MUSTER_DOCUMENT_BUILD_H
#define MUSTER_DOCUMENT_BUILD_H

/*
 * What the readers of the two formats share, private to common/document*.c:
 * a builder that appends values in file order and keeps every limit.
 * Functions that can fail return -1 or NULL, with *err filled in.
 */

#include "document.h"

/* Bytes that a key or a word of the file may take in a message. */
#define DOC_SHOWN 64

/* An array or object that is not yet closed. */
struct doc_frame {
	struct doc_node *node;
	struct doc_node *last;
	const char *key; /* waiting for its value, or NULL */
	unsigned key_line;
	unsigned key_column;
};

struct doc_entry;

struct doc_builder {
	struct doc *doc;
	struct doc_error *err;
	const char *bytes; /* without the byte order mark */
	size_t len;
	enum doc_format format;
	bool aliases; /* one was used */
	size_t nodes;
	unsigned depth;
	struct doc_frame frames[MAX_DOC_DEPTH];
	struct doc_entry *entries; /* scratch space for sorting keys */
	size_t nentries;
};

/* The key of a member that is to be replaced by its value's members. */
extern const char doc_merge_key[];

/* The readers; bytes are valid UTF-8 without NUL. */
int doc_read_json(struct doc_builder *b);
int doc_read_yaml(struct doc_builder *b);

/* Always returns -1. */
int doc_fail(struct doc_builder *b, unsigned line, unsigned column,
    const char *fmt, ...) __attribute__((format(printf, 4, 5)));
/* The same with the position of a byte; an offset past the end means the end.
 */
int doc_fail_at(struct doc_builder *b, size_t offset, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

/* Zeroed memory that lives as long as the document. */
void *doc_alloc(struct doc_builder *b, size_t size);
/* A copy of len bytes, NUL-terminated. */
char *doc_copy(struct doc_builder *b, const char *bytes, size_t len);

/* A value that stands nowhere yet. */
struct doc_node *doc_node_new(
    struct doc_builder *b, enum doc_kind kind, unsigned line, unsigned column);
/* A copy of a closed value and all that it contains; the place is the alias's,
 * for errors. */
struct doc_node *doc_node_copy(struct doc_builder *b,
    const struct doc_node *from, unsigned line, unsigned column);
/* Sets the key of the next value of the innermost object. */
void doc_set_key(
    struct doc_builder *b, const char *key, unsigned line, unsigned column);
/* Puts a value at its place: in the innermost array or object, or root. */
void doc_append(struct doc_builder *b, struct doc_node *node);
/* Opens an array or object that has been appended. */
int doc_open(struct doc_builder *b, struct doc_node *node);
/* Closes the innermost one: expands merge keys, settles equal keys. */
int doc_close(struct doc_builder *b);
/* The innermost one that is open, or NULL. */
struct doc_frame *doc_top(struct doc_builder *b);

#endif
