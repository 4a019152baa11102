#ifndef MUSTER_DOCUMENT_H
#define MUSTER_DOCUMENT_H

/*
 * A configuration file, YAML or JSON, as one tree of values with positions.
 *
 * The bytes are hostile: every limit below is checked before memory is spent,
 * and the worst file stays within 2 seconds and 200 MiB.  The whole document
 * lies in one arena of its own mappings, so that doc_free() is one cheap call
 * after which the memory is back with the kernel, whatever was allocated in
 * between.  Nothing in a document may be written to or freed by the caller.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Bytes of a file: 16 MiB. */
#define MAX_DOC_BYTES ((size_t)16 << 20)
/* Arrays and objects inside one another; the root is level 1. */
#define MAX_DOC_DEPTH 64
/* Values of a document, those that aliases and merge keys copy included. */
#define MAX_DOC_NODES 1000000
/* Warnings that are kept; further ones are counted. */
#define MAX_DOC_WARNINGS 64
/* Lines of a YAML file that start with '%' (libyaml is quadratic in them). */
#define MAX_DOC_DIRECTIVES 64

enum doc_kind {
	DOC_NULL,
	DOC_BOOL,
	DOC_INTEGER,
	DOC_REAL,
	DOC_STRING,
	DOC_ARRAY,
	DOC_OBJECT
};

enum doc_format { DOC_AUTO, DOC_YAML, DOC_JSON };

/*
 * One value.  Lines and columns start at 1 and are never 0; a column counts
 * characters (UTF-8 code points, a tab is one), as editors do.
 *
 * text is what a scalar says, NUL-terminated, size bytes long, valid UTF-8 and
 * free of NUL: escapes are decoded and folded lines joined, but nothing else
 * is changed (the text of an umask 022 is "022", its value.integer is 22).
 * Every scalar has it, arrays and objects have NULL.
 *
 * Plain scalars of YAML follow the core schema of YAML 1.2.2 §10.3.2.  What
 * YAML 1.1 called a boolean as well (yes, no, on, off) is a string with
 * looks_bool set.  An integer that does not fit is a DOC_REAL, in JSON too.
 * A DOC_REAL of YAML can be infinite or NaN (.inf, .nan): check with
 * isfinite() before converting.
 *
 * An alias stands for a copy of what it names; the copy keeps the positions
 * where the text stands, and only its key's are the alias's own.
 */
struct doc_node {
	struct doc_node *next; /* sibling: use doc_next() */
	struct doc_node *parent; /* NULL for the root */
	const char *key; /* of an object's member, else NULL */
	const char *text; /* of a scalar, else NULL */
	union {
		struct doc_node *first; /* use doc_first() */
		int64_t integer; /* DOC_INTEGER */
		double real; /* DOC_REAL */
		bool boolean; /* DOC_BOOL */
	} value;
	uint32_t size; /* bytes of text; elements; members */
	uint32_t line;
	uint32_t column;
	uint32_t key_line; /* 0 without a key */
	uint32_t key_column;
	enum doc_kind kind : 8;
	bool quoted : 1; /* a scalar in quotes or a block scalar */
	bool looks_bool : 1; /* a plain yes, no, on or off */
	bool merged : 1; /* a member that came through "<<" */
};

/*
 * What is wrong, one line without file name, position or final dot, with
 * control characters escaped.  line is 0 where the file as a whole is meant.
 */
struct doc_error {
	unsigned line;
	unsigned column;
	char message[256];
};

/* The same for what is not an error; see struct doc_error. */
struct doc_warning {
	struct doc_warning *next;
	unsigned line;
	unsigned column;
	char message[256];
};

struct doc_chunk;

struct doc {
	struct doc_node *root; /* never NULL */
	/* The first ones of the file, in its order; the others are counted. */
	struct doc_warning *warnings;
	size_t nwarnings;
	size_t nwarnings_lost;
	/* The arena. */
	struct doc_chunk *chunks;
	size_t mapped; /* bytes */
};

/*
 * Parses the len bytes of a file.  name is used for DOC_AUTO only and may be
 * NULL: a suffix .json means JSON, .yaml and .yml YAML; otherwise a file whose
 * first character is '{' or '[' is JSON.  A UTF-8 byte order mark is skipped.
 *
 * JSON is that of RFC 8259.  Of equal keys the last value counts, at the place
 * of the first (as in Python), with a warning; in YAML they are an error.
 * Keys that differ in '-' and '_' only are different keys here.
 *
 * Returns the document, which the caller frees with doc_free(), or NULL with
 * *err filled in.  The bytes are not needed afterwards.
 */
struct doc *doc_parse(const char *name, const void *bytes, size_t len,
    enum doc_format format, struct doc_error *err);

/* Gives all memory of a document back; NULL is fine. */
void doc_free(struct doc *doc);

/* The first element or member, in file order, or NULL (scalars have none). */
const struct doc_node *doc_first(const struct doc_node *node);
/* The one after it, or NULL. */
const struct doc_node *doc_next(const struct doc_node *node);
/* How many elements or members; 0 for a scalar. */
size_t doc_count(const struct doc_node *node);

/*
 * The member with this option key, or NULL; '-' and '_' in keys are the same.
 * If several spellings stand in the object, the one with underscores only
 * wins (PYMANAGER.md Q2), else the first.
 */
const struct doc_node *doc_get(const struct doc_node *object, const char *key);
/* The member with exactly this key, or NULL: for names of jobs and the like. */
const struct doc_node *doc_get_exact(
    const struct doc_node *object, const char *key);
/* Whether two option keys are the same but for '-' and '_'. */
bool doc_get_key_equal(const char *a, const char *b);

/* For messages: "null", "boolean", "integer", "number", "string", "list",
 * "mapping". */
const char *doc_kind_name(enum doc_kind kind);

/*
 * Writes where a value stands in its document, such as
 * processes.web.arguments[2], to buf, and returns buf; the root is "".
 * A key that is not a plain word is put in quotes.  Steps that do not fit are
 * left out.
 */
const char *doc_path(const struct doc_node *node, char *buf, size_t size);

/*
 * Writes text of a document to buf, fit for a message: characters that could
 * steer a terminal are escaped, and a text that does not fit ends in "...".
 * size is at least 16.  Returns buf.
 */
const char *doc_show(const char *text, char *buf, size_t size);

#endif
