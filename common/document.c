/*
 * Documents: limits, memory, the builder that both readers use, and access.
 * document.h says what a document is.
 */

#include <sys/mman.h>

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "document.h"
#include "document_build.h"

/* Sizes of the arena's mappings: each is twice the one before. */
#define CHUNK_MIN ((size_t)64 * 1024)
#define CHUNK_MAX ((size_t)2 * 1024 * 1024)
/* Arena blocks start at multiples of this. */
#define ALIGNMENT ((size_t)8)

struct doc_chunk {
	struct doc_chunk *next;
	size_t size; /* all of the mapping */
	size_t used;
};

/* A member of an object whose keys are being compared. */
struct doc_entry {
	struct doc_node *node;
	size_t order;
};

const char doc_merge_key[] = "<<";

/*
 * Decodes the character at p, of which left bytes are there.  Returns its
 * length, or 0 if it is not valid UTF-8 (RFC 3629 §4).
 */
static size_t
utf8_decode(const char *p, size_t left, uint32_t *point)
{
	static const uint32_t least[] = {0, 0, 0x80, 0x800, 0x10000};
	const unsigned char *u = (const unsigned char *)p;
	uint32_t value;
	size_t i;
	size_t n;

	if (u[0] < 0x80) {
		*point = u[0];
		return 1;
	}
	n = u[0] >= 0xf0 ? 4 : u[0] >= 0xe0 ? 3 : 2;
	if (u[0] < 0xc2 || u[0] > 0xf4 || n > left)
		return 0;
	value = u[0] & (0x7fU >> n);
	for (i = 1; i < n; i++) {
		if ((u[i] & 0xc0) != 0x80)
			return 0;
		value = value << 6 | (u[i] & 0x3fU);
	}
	if (value < least[n] || value > 0x10ffff ||
	    (value >= 0xd800 && value <= 0xdfff))
		return 0;
	*point = value;
	return n;
}

/*
 * Characters that must not reach a terminal: controls, line separators, and
 * those that turn the direction of writing.
 */
static bool
must_escape(uint32_t point)
{
	return point < 0x20 || (point >= 0x7f && point < 0xa0) ||
	    point == 0x061c || point == 0x200e || point == 0x200f ||
	    (point >= 0x2028 && point <= 0x202e) ||
	    (point >= 0x2066 && point <= 0x2069) || point == 0xfeff;
}

const char *
doc_show(const char *text, char *buf, size_t size)
{
	static const char dots[] = "...";
	char piece[16];
	uint32_t point;
	size_t left;
	size_t n;
	size_t used = 0;
	size_t whole = 0; /* up to here, the dots would still fit */
	int len;

	for (left = strlen(text); left > 0; text += n, left -= n) {
		n = utf8_decode(text, left, &point);
		if (n == 0) {
			n = 1;
			len = snprintf(piece, sizeof(piece), "\\x%02x",
			    (unsigned char)*text);
		} else if (must_escape(point)) {
			len = snprintf(piece, sizeof(piece),
			    point < 0x80 ? "\\x%02x" : "\\u%04x", point);
		} else {
			len = snprintf(
			    piece, sizeof(piece), "%.*s", (int)n, text);
		}
		if (used + (size_t)len >= size) {
			memcpy(buf + whole, dots, sizeof(dots));
			return buf;
		}
		memcpy(buf + used, piece, (size_t)len);
		used += (size_t)len;
		if (used + sizeof(dots) <= size)
			whole = used;
	}
	buf[used] = '\0';
	return buf;
}

/* A message that is too long is cut. */
static void __attribute__((format(printf, 3, 0)))
message_set(char *message, size_t size, const char *fmt, va_list ap)
{
	(void)vsnprintf(message, size, fmt, ap);
}

int
doc_fail(
    struct doc_builder *b, unsigned line, unsigned column, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	b->err->line = line;
	b->err->column = column;
	message_set(b->err->message, sizeof(b->err->message), fmt, ap);
	va_end(ap);
	return -1;
}

int
doc_fail_at(struct doc_builder *b, size_t offset, const char *fmt, ...)
{
	va_list ap;
	unsigned column = 1;
	unsigned line = 1;
	size_t i;

	for (i = 0; i < offset && i < b->len; i++) {
		if (b->bytes[i] == '\n') {
			line++;
			column = 1;
		} else if (((unsigned char)b->bytes[i] & 0xc0) != 0x80) {
			column++;
		}
	}
	va_start(ap, fmt);
	b->err->line = line;
	b->err->column = column;
	message_set(b->err->message, sizeof(b->err->message), fmt, ap);
	va_end(ap);
	return -1;
}

/* Whether a warning stands before this place. */
static bool
warning_before(
    const struct doc_warning *warning, unsigned line, unsigned column)
{
	return warning->line < line ||
	    (warning->line == line && warning->column < column);
}

/*
 * Keeps a warning.  Objects are checked when they are closed, the inner ones
 * first, so the list is sorted here; if it is full, the last one goes.
 */
static int __attribute__((format(printf, 4, 5))) warning_add(
    struct doc_builder *b, unsigned line, unsigned column, const char *fmt, ...)
{
	struct doc_warning **link;
	struct doc_warning **place = NULL;
	struct doc_warning *warning;
	struct doc *doc = b->doc;
	va_list ap;

	for (link = &doc->warnings; *link != NULL; link = &(*link)->next) {
		if (place == NULL && !warning_before(*link, line, column))
			place = link;
		if (doc->nwarnings == MAX_DOC_WARNINGS && (*link)->next == NULL)
			break;
	}
	if (doc->nwarnings == MAX_DOC_WARNINGS) {
		doc->nwarnings_lost++;
		if (place == NULL)
			return 0;
		warning = *link;
		*link = NULL;
	} else {
		warning = doc_alloc(b, sizeof(*warning));
		if (warning == NULL)
			return -1;
		doc->nwarnings++;
	}
	if (place == NULL)
		place = link;
	warning->line = line;
	warning->column = column;
	va_start(ap, fmt);
	message_set(warning->message, sizeof(warning->message), fmt, ap);
	va_end(ap);
	warning->next = *place;
	*place = warning;
	return 0;
}

/* A new mapping with room for size bytes, at the head of the list. */
static struct doc_chunk *
chunk_new(struct doc *doc, size_t size)
{
	struct doc_chunk *chunk;
	size_t want = CHUNK_MIN;

	while (want < doc->mapped && want < CHUNK_MAX)
		want *= 2;
	if (want < size + sizeof(*chunk))
		want = size + sizeof(*chunk);
	chunk = mmap(NULL, want, PROT_READ | PROT_WRITE,
	    MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (chunk == MAP_FAILED)
		return NULL;
	chunk->size = want;
	chunk->used = sizeof(*chunk);
	chunk->next = doc->chunks;
	doc->chunks = chunk;
	doc->mapped += want;
	return chunk;
}

void *
doc_alloc(struct doc_builder *b, size_t size)
{
	struct doc_chunk *chunk = b->doc->chunks;
	void *p;

	size = (size + ALIGNMENT - 1) & ~(ALIGNMENT - 1);
	if (chunk == NULL || size > chunk->size - chunk->used)
		chunk = chunk_new(b->doc, size);
	if (chunk == NULL) {
		(void)doc_fail(b, 0, 0, "out of memory");
		return NULL;
	}
	p = (char *)chunk + chunk->used;
	chunk->used += size;
	return p;
}

char *
doc_copy(struct doc_builder *b, const char *bytes, size_t len)
{
	char *copy;

	copy = doc_alloc(b, len + 1);
	if (copy == NULL)
		return NULL;
	memcpy(copy, bytes, len);
	copy[len] = '\0';
	return copy;
}

struct doc_node *
doc_node_new(
    struct doc_builder *b, enum doc_kind kind, unsigned line, unsigned column)
{
	struct doc_node *node;

	if (b->nodes == MAX_DOC_NODES) {
		if (b->aliases)
			(void)doc_fail(
			    b, line, column, "too many nodes (alias bomb?)");
		else
			(void)doc_fail(b, line, column,
			    "too many values, at most %d", MAX_DOC_NODES);
		return NULL;
	}
	node = doc_alloc(b, sizeof(*node));
	if (node == NULL)
		return NULL;
	b->nodes++;
	node->kind = kind;
	node->line = line;
	node->column = column;
	return node;
}

/*
 * Copies one value for the alias at this place; level is how many arrays and
 * objects it will stand in.
 */
static struct doc_node *
node_copy_level(struct doc_builder *b, const struct doc_node *from,
    unsigned line, unsigned column, unsigned level)
{
	const struct doc_node *child;
	struct doc_node **link;
	struct doc_node *copy;

	if (from->text == NULL && level == MAX_DOC_DEPTH) {
		(void)doc_fail(b, line, column, "nested deeper than %d levels",
		    MAX_DOC_DEPTH);
		return NULL;
	}
	copy = doc_node_new(b, from->kind, line, column);
	if (copy == NULL)
		return NULL;
	*copy = *from;
	copy->next = NULL;
	if (from->text != NULL)
		return copy;
	link = &copy->value.first;
	for (child = from->value.first; child != NULL; child = child->next) {
		*link = node_copy_level(b, child, line, column, level + 1);
		if (*link == NULL)
			return NULL;
		(*link)->parent = copy;
		link = &(*link)->next;
	}
	return copy;
}

struct doc_node *
doc_node_copy(struct doc_builder *b, const struct doc_node *from, unsigned line,
    unsigned column)
{
	return node_copy_level(b, from, line, column, b->depth);
}

struct doc_frame *
doc_top(struct doc_builder *b)
{
	return b->depth == 0 ? NULL : &b->frames[b->depth - 1];
}

void
doc_set_key(
    struct doc_builder *b, const char *key, unsigned line, unsigned column)
{
	struct doc_frame *top = doc_top(b);

	top->key = key;
	top->key_line = line;
	top->key_column = column;
}

void
doc_append(struct doc_builder *b, struct doc_node *node)
{
	struct doc_frame *top = doc_top(b);

	node->next = NULL;
	node->key = NULL;
	node->key_line = 0;
	node->key_column = 0;
	node->merged = false;
	if (top == NULL) {
		node->parent = NULL;
		b->doc->root = node;
		return;
	}
	node->parent = top->node;
	if (top->key != NULL) {
		node->key = top->key;
		node->key_line = top->key_line;
		node->key_column = top->key_column;
		top->key = NULL;
	}
	if (top->last == NULL)
		top->node->value.first = node;
	else
		top->last->next = node;
	top->last = node;
	top->node->size++;
}

int
doc_open(struct doc_builder *b, struct doc_node *node)
{
	if (b->depth == MAX_DOC_DEPTH)
		return doc_fail(b, node->line, node->column,
		    "nested deeper than %d levels", MAX_DOC_DEPTH);
	memset(&b->frames[b->depth], 0, sizeof(b->frames[0]));
	b->frames[b->depth++].node = node;
	return 0;
}

/*
 * Puts the members of one object that "<<" names where *link points.  Returns
 * the place after them, or NULL if it is not an object.
 */
static struct doc_node **
merge_splice(struct doc_builder *b, struct doc_node *object,
    struct doc_node *source, struct doc_node **link)
{
	struct doc_node *member;

	if (source->kind != DOC_OBJECT) {
		(void)doc_fail(b, source->line, source->column,
		    "\"<<\" needs a mapping or a list of mappings, not: %s",
		    doc_kind_name(source->kind));
		return NULL;
	}
	*link = source->value.first;
	for (; (member = *link) != NULL; link = &member->next) {
		member->parent = object;
		member->merged = true;
	}
	return link;
}

/* Replaces the member "<<" by what it names; there can be one. */
static int
merge_expand(struct doc_builder *b, struct doc_node *object)
{
	struct doc_node **link;
	struct doc_node *element;
	struct doc_node *merge;
	struct doc_node *next;

	for (link = &object->value.first; (merge = *link) != NULL;
	     link = &merge->next)
		if (merge->key == doc_merge_key)
			break;
	if (merge == NULL)
		return 0;
	for (next = merge->next; next != NULL; next = next->next)
		if (next->key == doc_merge_key)
			return doc_fail(b, next->key_line, next->key_column,
			    "duplicate key \"<<\", first on line %u; "
			    "it can name a list",
			    merge->key_line);
	next = merge->next;
	if (merge->kind != DOC_ARRAY) {
		link = merge_splice(b, object, merge, link);
	} else {
		for (element = merge->value.first;
		     element != NULL && link != NULL; element = element->next)
			link = merge_splice(b, object, element, link);
	}
	if (link == NULL)
		return -1;
	*link = next;
	return 0;
}

/* By key; a member's own before what was merged; then by place. */
static int
entry_compare(const void *va, const void *vb)
{
	const struct doc_entry *a = va;
	const struct doc_entry *b = vb;
	int c;

	c = strcmp(a->node->key, b->node->key);
	if (c == 0)
		c = (int)a->node->merged - (int)b->node->merged;
	if (c == 0)
		c = a->order < b->order ? -1 : 1;
	return c;
}

/* Makes room for n entries. */
static int
entries_grow(struct doc_builder *b, size_t n)
{
	struct doc_entry *entries;
	size_t room = n + n / 2 + 16;

	if (n <= b->nentries)
		return 0;
	entries = reallocarray(b->entries, room, sizeof(*entries));
	if (entries == NULL)
		return doc_fail(b, 0, 0, "out of memory");
	b->entries = entries;
	b->nentries = room;
	return 0;
}

/* Fills b->entries with the members of an object, sorted. */
static int
entries_sort(struct doc_builder *b, struct doc_node *object)
{
	struct doc_node *member;
	size_t n = 0;

	for (member = object->value.first; member != NULL;
	     member = member->next)
		n++;
	object->size = (uint32_t)n;
	if (entries_grow(b, n) == -1)
		return -1;
	n = 0;
	for (member = object->value.first; member != NULL;
	     member = member->next) {
		b->entries[n].node = member;
		b->entries[n].order = n;
		n++;
	}
	if (n > 1)
		qsort(b->entries, n, sizeof(b->entries[0]), entry_compare);
	return 0;
}

/* Gives a member the key position and value of a later one of the same key. */
static void
member_replace(struct doc_node *member, const struct doc_node *later)
{
	struct doc_node *child;
	struct doc_node *next = member->next;

	*member = *later;
	member->next = next;
	if (member->text != NULL)
		return;
	for (child = member->value.first; child != NULL; child = child->next)
		child->parent = member;
}

/*
 * Settles a group of n members with the same key: the first stays, the others
 * lose their key.  Returns 0, or -1 with *bad set to a member that is an
 * error, or NULL if memory ran out.
 */
static int
group_settle(struct doc_builder *b, const struct doc_entry *group, size_t n,
    const struct doc_node **bad)
{
	struct doc_node *first = group[0].node;
	struct doc_node *node;
	char key[DOC_SHOWN];
	unsigned line = first->key_line;
	size_t i;

	for (i = 1; i < n; i++) {
		node = group[i].node;
		if (b->format == DOC_YAML && !node->merged) {
			*bad = node;
			return -1;
		}
		if (b->format == DOC_JSON) {
			if (warning_add(b, node->key_line, node->key_column,
				"duplicate key \"%s\", first on line %u: "
				"the last value counts",
				doc_show(node->key, key, sizeof(key)),
				line) == -1) {
				*bad = NULL;
				return -1;
			}
			member_replace(first, node);
		}
		node->key = NULL;
	}
	return 0;
}

/* Reports a duplicate key. */
static int
duplicate_fail(
    struct doc_builder *b, const struct doc_node *bad, unsigned first_line)
{
	char key[DOC_SHOWN];

	return doc_fail(b, bad->key_line, bad->key_column,
	    "duplicate key \"%s\", first on line %u",
	    doc_show(bad->key, key, sizeof(key)), first_line);
}

/*
 * Sees to it that each key stands once in an object.  Of several duplicates
 * in YAML the one that comes first in the file is reported.
 */
static int
keys_settle(struct doc_builder *b, struct doc_node *object)
{
	const struct doc_node *bad;
	const struct doc_node *worst = NULL;
	struct doc_node **link;
	unsigned first_line = 0;
	size_t i;
	size_t j;

	if (entries_sort(b, object) == -1)
		return -1;
	for (i = 0; i < object->size; i = j) {
		for (j = i + 1; j < object->size; j++)
			if (strcmp(b->entries[i].node->key,
				b->entries[j].node->key) != 0)
				break;
		if (j == i + 1)
			continue;
		if (group_settle(b, &b->entries[i], j - i, &bad) == 0)
			continue;
		if (bad == NULL)
			return -1;
		if (worst == NULL || bad->key_line < worst->key_line ||
		    (bad->key_line == worst->key_line &&
			bad->key_column < worst->key_column)) {
			worst = bad;
			first_line = b->entries[i].node->key_line;
		}
	}
	if (worst != NULL)
		return duplicate_fail(b, worst, first_line);
	for (link = &object->value.first; *link != NULL;) {
		if ((*link)->key != NULL) {
			link = &(*link)->next;
			continue;
		}
		*link = (*link)->next;
		object->size--;
	}
	return 0;
}

int
doc_close(struct doc_builder *b)
{
	struct doc_node *node = b->frames[--b->depth].node;

	if (node->kind != DOC_OBJECT)
		return 0;
	if (b->format == DOC_YAML && merge_expand(b, node) == -1)
		return -1;
	return keys_settle(b, node);
}

/* Refuses NUL and all that is not UTF-8, before anything else looks at it. */
static int
bytes_check(struct doc_builder *b)
{
	uint32_t point;
	size_t i;
	size_t n;

	for (i = 0; i < b->len; i += n) {
		n = utf8_decode(b->bytes + i, b->len - i, &point);
		if (n == 0 && i == 0 && b->len >= 2 &&
		    (memcmp(b->bytes, "\xff\xfe", 2) == 0 ||
			memcmp(b->bytes, "\xfe\xff", 2) == 0))
			return doc_fail(
			    b, 1, 1, "the file is UTF-16, it must be UTF-8");
		if (n == 0)
			return doc_fail_at(b, i, "invalid UTF-8 (byte 0x%02x)",
			    (unsigned char)b->bytes[i]);
		if (point == 0)
			return doc_fail_at(b, i, "NUL byte");
	}
	return 0;
}

/* Whether a file name ends in suffix, in any case. */
static bool
has_suffix(const char *name, const char *suffix)
{
	size_t name_len = strlen(name);
	size_t suffix_len = strlen(suffix);

	return name_len > suffix_len &&
	    strcasecmp(name + name_len - suffix_len, suffix) == 0;
}

static enum doc_format
format_guess(const char *name, const char *bytes, size_t len)
{
	size_t i;

	if (name != NULL && has_suffix(name, ".json"))
		return DOC_JSON;
	if (name != NULL &&
	    (has_suffix(name, ".yaml") || has_suffix(name, ".yml")))
		return DOC_YAML;
	for (i = 0; i < len; i++)
		if (strchr(" \t\r\n", bytes[i]) == NULL || bytes[i] == '\0')
			break;
	return i < len && (bytes[i] == '{' || bytes[i] == '[') ? DOC_JSON :
								 DOC_YAML;
}

/* Reads the document that b describes; on failure *b->err says why. */
static int
document_read(struct doc_builder *b, const char *name)
{
	if (b->len > MAX_DOC_BYTES)
		return doc_fail(b, 0, 0,
		    "file is too large (%zu bytes, at most %zu MiB)", b->len,
		    MAX_DOC_BYTES >> 20);
	if (b->len >= 3 && memcmp(b->bytes, "\xef\xbb\xbf", 3) == 0) {
		b->bytes += 3;
		b->len -= 3;
	}
	if (b->format == DOC_AUTO)
		b->format = format_guess(name, b->bytes, b->len);
	if (bytes_check(b) == -1)
		return -1;
	return b->format == DOC_JSON ? doc_read_json(b) : doc_read_yaml(b);
}

struct doc *
doc_parse(const char *name, const void *bytes, size_t len,
    enum doc_format format, struct doc_error *err)
{
	struct doc_builder *b;
	struct doc *doc;

	memset(err, 0, sizeof(*err));
	b = calloc(1, sizeof(*b));
	doc = calloc(1, sizeof(*doc));
	if (b == NULL || doc == NULL) {
		(void)snprintf(
		    err->message, sizeof(err->message), "out of memory");
		free(b);
		free(doc);
		return NULL;
	}
	b->doc = doc;
	b->err = err;
	b->bytes = len == 0 ? "" : bytes;
	b->len = len;
	b->format = format;
	if (document_read(b, name) == -1) {
		doc_free(doc);
		doc = NULL;
	}
	free(b->entries);
	free(b);
	return doc;
}

void
doc_free(struct doc *doc)
{
	struct doc_chunk *chunk;

	if (doc == NULL)
		return;
	while ((chunk = doc->chunks) != NULL) {
		doc->chunks = chunk->next;
		(void)munmap(chunk, chunk->size);
	}
	free(doc);
}

const struct doc_node *
doc_first(const struct doc_node *node)
{
	return node->text == NULL ? node->value.first : NULL;
}

const struct doc_node *
doc_next(const struct doc_node *node)
{
	return node->next;
}

size_t
doc_count(const struct doc_node *node)
{
	return node->text == NULL ? node->size : 0;
}

bool
doc_get_key_equal(const char *a, const char *b)
{
	for (; *a != '\0' && *b != '\0'; a++, b++) {
		if (*a == *b)
			continue;
		if ((*a != '-' && *a != '_') || (*b != '-' && *b != '_'))
			return false;
	}
	return *a == *b;
}

const struct doc_node *
doc_get(const struct doc_node *object, const char *key)
{
	const struct doc_node *found = NULL;
	const struct doc_node *member;

	if (object->kind != DOC_OBJECT)
		return NULL;
	for (member = doc_first(object); member != NULL;
	     member = doc_next(member)) {
		if (!doc_get_key_equal(member->key, key))
			continue;
		if (strchr(member->key, '-') == NULL)
			return member;
		if (found == NULL)
			found = member;
	}
	return found;
}

const struct doc_node *
doc_get_exact(const struct doc_node *object, const char *key)
{
	const struct doc_node *member;

	if (object->kind != DOC_OBJECT)
		return NULL;
	for (member = doc_first(object); member != NULL;
	     member = doc_next(member))
		if (strcmp(member->key, key) == 0)
			return member;
	return NULL;
}

const char *
doc_kind_name(enum doc_kind kind)
{
	switch (kind) {
	case DOC_NULL:
		return "null";
	case DOC_BOOL:
		return "boolean";
	case DOC_INTEGER:
		return "integer";
	case DOC_REAL:
		return "number";
	case DOC_STRING:
		return "string";
	case DOC_ARRAY:
		return "list";
	case DOC_OBJECT:
		return "mapping";
	}
	return "value";
}

/* The place of a value in its array. */
static size_t
element_index(const struct doc_node *node)
{
	const struct doc_node *element;
	size_t i = 0;

	for (element = doc_first(node->parent);
	     element != NULL && element != node; element = doc_next(element))
		i++;
	return i;
}

/* Writes one step of a path; true if it fitted. */
static bool
path_step(const struct doc_node *node, char *buf, size_t size, bool top)
{
	static const char word[] = "abcdefghijklmnopqrstuvwxyz"
				   "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
				   "0123456789-_";
	char key[DOC_SHOWN];
	int n;

	if (node->key == NULL)
		n = snprintf(buf, size, "[%zu]", element_index(node));
	else if (node->key[0] != '\0' &&
	    node->key[strspn(node->key, word)] == '\0')
		n = snprintf(buf, size, "%s%s", top ? "" : ".", node->key);
	else
		n = snprintf(buf, size, "%s\"%s\"", top ? "" : ".",
		    doc_show(node->key, key, sizeof(key)));
	if (n >= 0 && (size_t)n < size)
		return true;
	buf[0] = '\0';
	return false;
}

const char *
doc_path(const struct doc_node *node, char *buf, size_t size)
{
	const struct doc_node *steps[MAX_DOC_DEPTH];
	size_t n = 0;
	size_t used = 0;

	for (; node->parent != NULL && n < MAX_DOC_DEPTH; node = node->parent)
		steps[n++] = node;
	buf[0] = '\0';
	while (n-- > 0) {
		if (!path_step(steps[n], buf + used, size - used, used == 0))
			break;
		used += strlen(buf + used);
	}
	return buf;
}
