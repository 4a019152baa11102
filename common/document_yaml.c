/*
 * YAML into a document, by the events of libyaml, which keeps nothing but the
 * place where it is.  So each limit holds before memory is spent: libyaml's
 * own tree would expand nothing, but has no limits either.
 */

#include <math.h>
#include <search.h>
#include <stdlib.h>
#include <string.h>

#include <yaml.h>

#include "document.h"
#include "document_build.h"

/* What "&name" stands before. */
struct yaml_anchor {
	const char *name;
	struct doc_node *node;
};

struct yaml_state {
	struct doc_builder *b;
	void *anchors; /* a tree of tsearch(3), balanced in glibc */
	unsigned documents;
};

/* Tags that are known; "!" means "not to be resolved", a string. */
static const struct {
	const char *tag;
	const char *written;
	enum doc_kind kind;
} yaml_tags[] = {
    {"!", "!", DOC_STRING},
    {YAML_STR_TAG, "!!str", DOC_STRING},
    {YAML_NULL_TAG, "!!null", DOC_NULL},
    {YAML_BOOL_TAG, "!!bool", DOC_BOOL},
    {YAML_INT_TAG, "!!int", DOC_INTEGER},
    {YAML_FLOAT_TAG, "!!float", DOC_REAL},
    {YAML_SEQ_TAG, "!!seq", DOC_ARRAY},
    {YAML_MAP_TAG, "!!map", DOC_OBJECT},
};

#define YAML_TAGS (sizeof(yaml_tags) / sizeof(yaml_tags[0]))

static int
anchor_compare(const void *va, const void *vb)
{
	const struct yaml_anchor *a = va;
	const struct yaml_anchor *b = vb;

	return strcmp(a->name, b->name);
}

static unsigned
mark_line(const yaml_mark_t *mark)
{
	return (unsigned)mark->line + 1;
}

static unsigned
mark_column(const yaml_mark_t *mark)
{
	return (unsigned)mark->column + 1;
}

/* Whether text is one of the words, of which the last is NULL. */
static bool
is_word(const char *text, const char *const *words)
{
	for (; *words != NULL; words++)
		if (text[0] == (*words)[0] && strcmp(text, *words) == 0)
			return true;
	return false;
}

/* The value of a digit in base 8, 10 or 16, or base if it is none. */
static unsigned
digit_value(char c, unsigned base)
{
	unsigned value = base;

	if (c >= '0' && c <= '9')
		value = (unsigned)(c - '0');
	else if (c >= 'a' && c <= 'f')
		value = (unsigned)(c - 'a') + 10;
	else if (c >= 'A' && c <= 'F')
		value = (unsigned)(c - 'A') + 10;
	return value < base ? value : base;
}

/*
 * [-+]?[0-9]+, 0o[0-7]+ or 0x[0-9a-fA-F]+ (YAML 1.2.2 §10.3.2).  What does not
 * fit becomes a real.  Returns whether it is an integer.
 */
static bool
resolve_integer(const char *text, struct doc_node *node)
{
	const char *p = text;
	double real = 0;
	uint64_t limit = INT64_MAX;
	uint64_t value = 0;
	unsigned base = 10;
	bool fits = true;

	if (p[0] == '0' && (p[1] == 'o' || p[1] == 'x')) {
		base = p[1] == 'o' ? 8 : 16;
		p += 2;
	} else if (*p == '-' || *p == '+') {
		limit += *p++ == '-';
	}
	if (*p == '\0')
		return false;
	for (; *p != '\0'; p++) {
		const unsigned digit = digit_value(*p, base);

		if (digit == base)
			return false;
		real = real * base + digit;
		if (fits && value > (limit - digit) / base)
			fits = false;
		if (fits)
			value = value * base + digit;
	}
	node->kind = fits ? DOC_INTEGER : DOC_REAL;
	if (!fits)
		node->value.real = base == 10 ? strtod(text, NULL) : real;
	else if (text[0] == '-' && value > INT64_MAX)
		node->value.integer = INT64_MIN;
	else
		node->value.integer =
		    text[0] == '-' ? -(int64_t)value : (int64_t)value;
	return true;
}

/*
 * [-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?, an infinity or not a
 * number.  Returns whether it is one of these.
 */
static bool
resolve_real(const char *text, struct doc_node *node)
{
	static const char *const inf[] = {".inf", ".Inf", ".INF", NULL};
	static const char *const nan[] = {".nan", ".NaN", ".NAN", NULL};
	static const char digits[] = "0123456789";
	const char *p = text;
	size_t before;
	size_t after = 0;

	node->kind = DOC_REAL;
	node->value.real = NAN;
	if (is_word(text, nan))
		return true;
	if (*p == '-' || *p == '+')
		p++;
	node->value.real = text[0] == '-' ? -INFINITY : INFINITY;
	if (is_word(p, inf))
		return true;
	before = strspn(p, digits);
	p += before;
	if (*p == '.') {
		after = strspn(++p, digits);
		p += after;
	}
	if (before + after == 0)
		return false;
	if (*p == 'e' || *p == 'E') {
		p++;
		if (*p == '-' || *p == '+')
			p++;
		if (digit_value(*p, 10) == 10)
			return false;
		p += strspn(p, digits);
	}
	if (*p != '\0')
		return false;
	node->value.real = strtod(text, NULL);
	return true;
}

/* Gives node the kind and value that its text has as a plain scalar. */
static void
resolve_plain(struct doc_node *node)
{
	static const char *const nulls[] = {
	    "", "~", "null", "Null", "NULL", NULL};
	static const char *const trues[] = {"true", "True", "TRUE", NULL};
	static const char *const falses[] = {"false", "False", "FALSE", NULL};
	static const char *const almost[] = {"yes", "Yes", "YES", "no", "No",
	    "NO", "on", "On", "ON", "off", "Off", "OFF", NULL};

	if (is_word(node->text, nulls)) {
		node->kind = DOC_NULL;
	} else if (is_word(node->text, trues)) {
		node->kind = DOC_BOOL;
		node->value.boolean = true;
	} else if (is_word(node->text, falses)) {
		node->kind = DOC_BOOL;
		node->value.boolean = false;
	} else if (!resolve_integer(node->text, node) &&
	    !resolve_real(node->text, node)) {
		node->kind = DOC_STRING;
		node->value.integer = 0;
		node->looks_bool = is_word(node->text, almost);
	}
}

/* The index of a tag, YAML_TAGS if there is none, or -1 after an error. */
static int
tag_index(struct doc_builder *b, const yaml_char_t *tag, const yaml_mark_t *at)
{
	static const char prefix[] = "tag:yaml.org,2002:";
	const char *name = (const char *)tag;
	char shown[DOC_SHOWN];
	size_t i;

	if (tag == NULL)
		return YAML_TAGS;
	for (i = 0; i < YAML_TAGS; i++)
		if (strcmp(name, yaml_tags[i].tag) == 0)
			return (int)i;
	if (strncmp(name, prefix, sizeof(prefix) - 1) == 0)
		return doc_fail(b, mark_line(at), mark_column(at),
		    "unknown tag !!%s",
		    doc_show(name + sizeof(prefix) - 1, shown, sizeof(shown)));
	return doc_fail(b, mark_line(at), mark_column(at), "unknown tag %s",
	    doc_show(name, shown, sizeof(shown)));
}

/* Gives a scalar its kind and value, by its tag or by its looks. */
static int
scalar_resolve(struct doc_builder *b, struct doc_node *node, size_t tag)
{
	char shown[DOC_SHOWN];
	enum doc_kind kind;

	kind = tag < YAML_TAGS ? yaml_tags[tag].kind : DOC_STRING;
	if (tag < YAML_TAGS ? kind != DOC_STRING : !node->quoted) {
		resolve_plain(node);
		if (tag == YAML_TAGS)
			kind = node->kind;
	}
	if (kind == DOC_REAL && node->kind == DOC_INTEGER) {
		node->kind = DOC_REAL;
		node->value.real = (double)node->value.integer;
	}
	if (kind != node->kind)
		return doc_fail(b, node->line, node->column,
		    "\"%s\" is not a %s",
		    doc_show(node->text, shown, sizeof(shown)),
		    yaml_tags[tag].written);
	if (kind == DOC_REAL && isinf(node->value.real) &&
	    strpbrk(node->text, "iI") == NULL)
		return doc_fail(b, node->line, node->column,
		    "number is out of range: %s (quotes make it a string)",
		    doc_show(node->text, shown, sizeof(shown)));
	return 0;
}

/* Whether the next value is a key. */
static bool
wants_key(struct doc_builder *b)
{
	const struct doc_frame *top = doc_top(b);

	return top != NULL && top->node->kind == DOC_OBJECT && top->key == NULL;
}

static int
key_fail(struct doc_builder *b, const yaml_mark_t *at)
{
	return doc_fail(b, mark_line(at), mark_column(at),
	    "a key must be a word or a string, not a list or mapping");
}

/* Remembers what an anchor names; a later one of the same name replaces it. */
static int
anchor_set(struct yaml_state *y, const yaml_char_t *name, struct doc_node *node)
{
	struct yaml_anchor *anchor;
	struct yaml_anchor **slot;

	if (name == NULL)
		return 0;
	anchor = doc_alloc(y->b, sizeof(*anchor));
	if (anchor == NULL)
		return -1;
	anchor->name =
	    doc_copy(y->b, (const char *)name, strlen((const char *)name));
	if (anchor->name == NULL)
		return -1;
	anchor->node = node;
	slot = tsearch(anchor, &y->anchors, anchor_compare);
	if (slot == NULL)
		return doc_fail(y->b, 0, 0, "out of memory");
	(*slot)->node = node;
	return 0;
}

/* Forgets the anchors; what they name belongs to the document. */
static void
anchors_free(struct yaml_state *y)
{
	while (y->anchors != NULL)
		(void)tdelete(*(struct yaml_anchor **)y->anchors, &y->anchors,
		    anchor_compare);
}

/* The closed value that an alias names, or NULL. */
static const struct doc_node *
anchor_get(struct yaml_state *y, const yaml_event_t *event)
{
	struct doc_builder *b = y->b;
	struct yaml_anchor *const *anchor;
	struct yaml_anchor find;
	char shown[DOC_SHOWN];
	unsigned i;

	find.node = NULL;
	find.name = (const char *)event->data.alias.anchor;
	anchor = tfind(&find, &y->anchors, anchor_compare);
	(void)doc_show(find.name, shown, sizeof(shown));
	if (anchor == NULL) {
		(void)doc_fail(b, mark_line(&event->start_mark),
		    mark_column(&event->start_mark),
		    "alias *%s: there is no anchor &%s before it", shown,
		    shown);
		return NULL;
	}
	for (i = 0; i < b->depth; i++) {
		if (b->frames[i].node == (*anchor)->node) {
			(void)doc_fail(b, mark_line(&event->start_mark),
			    mark_column(&event->start_mark),
			    "alias *%s stands inside what it names", shown);
			return NULL;
		}
	}
	return (*anchor)->node;
}

static int
event_alias(struct yaml_state *y, const yaml_event_t *event)
{
	const struct doc_node *target;
	struct doc_node *copy;

	target = anchor_get(y, event);
	if (target == NULL)
		return -1;
	y->b->aliases = true;
	if (wants_key(y->b)) {
		if (target->text == NULL)
			return key_fail(y->b, &event->start_mark);
		doc_set_key(y->b, target->text, mark_line(&event->start_mark),
		    mark_column(&event->start_mark));
		return 0;
	}
	copy = doc_node_copy(y->b, target, mark_line(&event->start_mark),
	    mark_column(&event->start_mark));
	if (copy == NULL)
		return -1;
	doc_append(y->b, copy);
	return 0;
}

/* The text of a scalar, copied. */
static const char *
scalar_text(struct doc_builder *b, const yaml_event_t *event)
{
	const char *value = (const char *)event->data.scalar.value;
	size_t len = event->data.scalar.length;

	if (memchr(value, '\0', len) != NULL) {
		(void)doc_fail(b, mark_line(&event->start_mark),
		    mark_column(&event->start_mark),
		    "NUL (\\0) cannot be in a string");
		return NULL;
	}
	return doc_copy(b, value, len);
}

/* Makes the node of a scalar; it stands nowhere yet. */
static struct doc_node *
scalar_new(struct yaml_state *y, const yaml_event_t *event)
{
	struct doc_builder *b = y->b;
	struct doc_node *node;
	int tag;

	node = doc_node_new(b, DOC_STRING, mark_line(&event->start_mark),
	    mark_column(&event->start_mark));
	if (node == NULL)
		return NULL;
	node->text = scalar_text(b, event);
	if (node->text == NULL)
		return NULL;
	node->size = (uint32_t)event->data.scalar.length;
	node->quoted = event->data.scalar.style != YAML_PLAIN_SCALAR_STYLE;
	tag = tag_index(b, event->data.scalar.tag, &event->start_mark);
	if (tag == -1 || scalar_resolve(b, node, (size_t)tag) == -1)
		return NULL;
	if (anchor_set(y, event->data.scalar.anchor, node) == -1)
		return NULL;
	return node;
}

/* A key is its text; only an anchor or a tag asks what else it could be. */
static int
event_key(struct yaml_state *y, const yaml_event_t *event)
{
	const struct doc_node *node;
	const char *key;

	if (event->data.scalar.anchor == NULL &&
	    event->data.scalar.tag == NULL) {
		key = scalar_text(y->b, event);
	} else {
		node = scalar_new(y, event);
		key = node == NULL ? NULL : node->text;
	}
	if (key == NULL)
		return -1;
	if (event->data.scalar.style == YAML_PLAIN_SCALAR_STYLE &&
	    event->data.scalar.tag == NULL && strcmp(key, doc_merge_key) == 0)
		key = doc_merge_key;
	doc_set_key(y->b, key, mark_line(&event->start_mark),
	    mark_column(&event->start_mark));
	return 0;
}

static int
event_scalar(struct yaml_state *y, const yaml_event_t *event)
{
	struct doc_node *node;

	if (wants_key(y->b))
		return event_key(y, event);
	node = scalar_new(y, event);
	if (node == NULL)
		return -1;
	doc_append(y->b, node);
	return 0;
}

/* The start of an array or object. */
static int
event_open(struct yaml_state *y, const yaml_event_t *event, enum doc_kind kind,
    const yaml_char_t *anchor, const yaml_char_t *tag)
{
	struct doc_builder *b = y->b;
	struct doc_node *node;
	int i;

	if (wants_key(b))
		return key_fail(b, &event->start_mark);
	i = tag_index(b, tag, &event->start_mark);
	if (i == -1)
		return -1;
	if (i > 0 && (size_t)i < YAML_TAGS && yaml_tags[i].kind != kind)
		return doc_fail(b, mark_line(&event->start_mark),
		    mark_column(&event->start_mark), "a %s is not a %s",
		    doc_kind_name(kind), yaml_tags[i].written);
	node = doc_node_new(b, kind, mark_line(&event->start_mark),
	    mark_column(&event->start_mark));
	if (node == NULL || anchor_set(y, anchor, node) == -1)
		return -1;
	doc_append(b, node);
	return doc_open(b, node);
}

/* A document must be the only one and hold something. */
static int
event_document(struct yaml_state *y, const yaml_event_t *event)
{
	const struct doc_node *root = y->b->doc->root;

	switch (event->type) {
	case YAML_DOCUMENT_START_EVENT:
		if (y->documents++ == 0)
			return 0;
		return doc_fail(y->b, mark_line(&event->start_mark),
		    mark_column(&event->start_mark),
		    "a second document starts here; a file has one");
	case YAML_STREAM_END_EVENT:
		if (root == NULL ||
		    (root->kind == DOC_NULL && root->size == 0 &&
			!root->quoted))
			return doc_fail(y->b, 0, 0, "the file is empty");
		return 0;
	default:
		return 0;
	}
}

static int
event_handle(struct yaml_state *y, const yaml_event_t *event)
{
	switch (event->type) {
	case YAML_ALIAS_EVENT:
		return event_alias(y, event);
	case YAML_SCALAR_EVENT:
		return event_scalar(y, event);
	case YAML_SEQUENCE_START_EVENT:
		return event_open(y, event, DOC_ARRAY,
		    event->data.sequence_start.anchor,
		    event->data.sequence_start.tag);
	case YAML_MAPPING_START_EVENT:
		return event_open(y, event, DOC_OBJECT,
		    event->data.mapping_start.anchor,
		    event->data.mapping_start.tag);
	case YAML_SEQUENCE_END_EVENT:
	case YAML_MAPPING_END_EVENT:
		return doc_close(y->b);
	default:
		return event_document(y, event);
	}
}

/* Whether a tab stands at this place, the most frequent slip in YAML. */
static bool
is_tab(const struct doc_builder *b, const yaml_mark_t *mark)
{
	const char *end = b->bytes + b->len;
	const char *p = b->bytes;
	size_t i;

	for (i = 0; i < mark->line; i++) {
		p = memchr(p, '\n', (size_t)(end - p));
		if (p == NULL)
			return false;
		p++;
	}
	for (i = 0; i < mark->column && p < end; p++)
		if (((unsigned char)p[0] & 0xc0) != 0x80)
			i++;
	return p < end && *p == '\t';
}

/* What to do about the complaints that slips in YAML lead to. */
static const char *
advice(const struct doc_builder *b, const yaml_mark_t *at, const char *what)
{
	if (is_tab(b, at))
		return "; indent with blanks, not with tabs";
	if (strcmp(what, "mapping values are not allowed in this context") == 0)
		return "; a colon is missing before, or the indentation is "
		       "wrong, or a value with \": \" wants quotes";
	if (strcmp(what, "did not find expected key") == 0)
		return "; is the indentation right?";
	if (strcmp(what, "did not find expected <document start>") == 0 &&
	    b->len > 0 && b->bytes[0] == '[')
		return "; sections in brackets are not YAML, see "
		       "muster.yaml(5)";
	return "";
}

/* Puts libyaml's complaint into one line. */
static int
problem(struct doc_builder *b, const yaml_parser_t *parser)
{
	const yaml_mark_t *at = &parser->problem_mark;
	const char *what = parser->problem;
	const char *tab;

	if (parser->error == YAML_MEMORY_ERROR || what == NULL)
		return doc_fail(b, 0, 0, "out of memory");
	if (parser->error == YAML_READER_ERROR)
		return doc_fail_at(b, parser->problem_offset, "%s (U+%04X)",
		    what, (unsigned)parser->problem_value);
	tab = advice(b, at, what);
	if (parser->context == NULL)
		return doc_fail(
		    b, mark_line(at), mark_column(at), "%s%s", what, tab);
	if (parser->context_mark.line == at->line)
		return doc_fail(b, mark_line(at), mark_column(at), "%s, %s%s",
		    what, parser->context, tab);
	return doc_fail(b, mark_line(at), mark_column(at),
	    "%s, %s that starts on line %u%s", what, parser->context,
	    mark_line(&parser->context_mark), tab);
}

/*
 * libyaml compares each %TAG directive with all before it: a million of them
 * would take minutes (measured: 2.3 s for 40 000 with 0.2.5).
 */
static int
directives_check(struct doc_builder *b)
{
	const char *end = b->bytes + b->len;
	const char *p = b->bytes;
	unsigned n = 0;

	while (p < end) {
		if (*p == '%' && ++n > MAX_DOC_DIRECTIVES)
			return doc_fail_at(b, (size_t)(p - b->bytes),
			    "more than %d lines that start with '%%'",
			    MAX_DOC_DIRECTIVES);
		p = memchr(p, '\n', (size_t)(end - p));
		if (p == NULL)
			break;
		p++;
	}
	return 0;
}

int
doc_read_yaml(struct doc_builder *b)
{
	struct yaml_state y = {b, NULL, 0};
	yaml_parser_t parser;
	yaml_event_t event;
	bool done = false;
	int result = 0;

	if (directives_check(b) == -1)
		return -1;
	if (!yaml_parser_initialize(&parser))
		return doc_fail(b, 0, 0, "out of memory");
	yaml_parser_set_encoding(&parser, YAML_UTF8_ENCODING);
	yaml_parser_set_input_string(
	    &parser, (const unsigned char *)b->bytes, b->len);
	while (result == 0 && !done) {
		if (!yaml_parser_parse(&parser, &event)) {
			result = problem(b, &parser);
			break;
		}
		result = event_handle(&y, &event);
		done = event.type == YAML_STREAM_END_EVENT;
		yaml_event_delete(&event);
	}
	yaml_parser_delete(&parser);
	anchors_free(&y);
	return result;
}
