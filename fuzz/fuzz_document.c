/* sources: common/document.c common/document_json.c common/document_yaml.c */
/* libs: yaml jansson */
/* covers: common/document.c common/document_json.c common/document_yaml.c */

/*
 * Documents.  The first byte says the format: 'j' is JSON, 'a' DOC_AUTO, 'J'
 * and 'Y' DOC_AUTO with a file name, all else is YAML.  What comes out is
 * walked and held to what document.h promises; JSON is compared with the tree
 * that jansson makes of the same bytes, so that both must agree on what is JSON
 * and on every value.
 */

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <jansson.h>

#include "document.h"

/* Nodes whose path and position are looked at: both take linear time. */
#define MAX_LOOKED_AT 200

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct walk {
	const char *bytes;
	size_t len;
	enum doc_format format;
	unsigned nodes;
};

/* Ends the program if a promise is broken. */
static void
check(bool holds, const char *promise)
{
	if (holds)
		return;
	(void)fprintf(stderr, "broken promise: %s\n", promise);
	abort();
}

/* Whether a message is one line that is safe to print. */
static bool
is_printable(const char *message)
{
	for (; *message != '\0'; message++)
		if ((unsigned char)*message < 0x20 || *message == 0x7f)
			return false;
	return true;
}

/* The byte at a place, or 0. */
static char
byte_at(const struct walk *w, unsigned line, unsigned column)
{
	unsigned l = 1;
	unsigned c = 1;
	size_t i;

	for (i = 0; i < w->len; i++) {
		if (((unsigned char)w->bytes[i] & 0xc0) == 0x80)
			continue;
		if (l == line && c == column)
			return w->bytes[i];
		c++;
		if (w->bytes[i] == '\n') {
			l++;
			c = 1;
		}
	}
	return '\0';
}

static void
check_position(const struct walk *w, const struct doc_node *node)
{
	char c = byte_at(w, node->line, node->column);

	if (node->key != NULL)
		check(byte_at(w, node->key_line, node->key_column) == '"',
		    "a key stands where it says");
	if (node->kind == DOC_OBJECT)
		check(c == '{', "an object stands where it says");
	else if (node->kind == DOC_ARRAY)
		check(c == '[', "an array stands where it says");
	else if (node->quoted)
		check(c == '"', "a string stands where it says");
	else
		check(c == node->text[0], "a scalar stands where it says");
}

static void
check_node(struct walk *w, const struct doc_node *node)
{
	const struct doc_node *parent = node->parent;
	char path[64];

	check(node->line > 0 && node->column > 0, "a value has a place");
	check((node->key != NULL) ==
		(parent != NULL && parent->kind == DOC_OBJECT),
	    "members, and no others, have keys");
	check((node->text == NULL) ==
		(node->kind == DOC_ARRAY || node->kind == DOC_OBJECT),
	    "scalars, and no others, have text");
	if (node->text != NULL)
		check(strlen(node->text) == node->size, "text has no NUL");
	if (node->kind == DOC_REAL && w->format == DOC_JSON)
		check(isfinite(node->value.real), "numbers are finite");
	check(strcmp(doc_kind_name(node->kind), "value") != 0,
	    "a value has a kind");
	check(!node->looks_bool || node->kind == DOC_STRING,
	    "only strings look like booleans");
	if (w->nodes++ >= MAX_LOOKED_AT)
		return;
	if (w->format == DOC_JSON)
		check_position(w, node);
	check(strlen(doc_path(node, path, sizeof(path))) < sizeof(path),
	    "a path fits");
	check(is_printable(path), "a path is printable");
	if (node->key != NULL) {
		check(doc_get_exact(parent, node->key) == node,
		    "keys are unique");
		check(doc_get(parent, node->key) != NULL, "keys are found");
	}
}

static void
walk(struct walk *w, const struct doc_node *node, unsigned depth)
{
	const struct doc_node *child;
	size_t n = 0;

	check_node(w, node);
	for (child = doc_first(node); child != NULL; child = doc_next(child)) {
		check(child->parent == node, "a child knows its parent");
		check(depth <= MAX_DOC_DEPTH, "depth is limited");
		walk(w, child, depth + 1);
		n++;
	}
	check(n == doc_count(node), "children are counted");
}

/* Holds a document against jansson's tree of the same bytes. */
static void
compare(const struct doc_node *node, json_t *json)
{
	const struct doc_node *child = doc_first(node);
	const char *key;
	json_t *value;
	size_t i;

	switch (json_typeof(json)) {
	case JSON_OBJECT:
		check(node->kind == DOC_OBJECT &&
			doc_count(node) == json_object_size(json),
		    "objects are the same");
		json_object_foreach(json, key, value)
		{
			check(strcmp(child->key, key) == 0,
			    "keys are the same, in the same order");
			compare(child, value);
			child = doc_next(child);
		}
		return;
	case JSON_ARRAY:
		check(node->kind == DOC_ARRAY &&
			doc_count(node) == json_array_size(json),
		    "arrays are the same");
		json_array_foreach(json, i, value)
		{
			compare(child, value);
			child = doc_next(child);
		}
		return;
	case JSON_STRING:
		check(node->kind == DOC_STRING && node->quoted &&
			strcmp(node->text, json_string_value(json)) == 0,
		    "strings are the same");
		return;
	case JSON_INTEGER:
		check(node->kind == DOC_INTEGER &&
			node->value.integer == json_integer_value(json),
		    "integers are the same");
		return;
	case JSON_REAL:
		check(node->kind == DOC_REAL &&
			node->value.real == json_real_value(json),
		    "numbers are the same");
		return;
	case JSON_NULL:
		check(node->kind == DOC_NULL, "null is the same");
		return;
	case JSON_TRUE:
	case JSON_FALSE:
		check(node->kind == DOC_BOOL &&
			node->value.boolean == json_is_true(json),
		    "booleans are the same");
		return;
	}
}

/* Integers that do not fit are reals here and refused by jansson. */
static bool
has_big_integer(const struct doc_node *node)
{
	const struct doc_node *child;

	if (node->kind == DOC_REAL)
		return strpbrk(node->text, ".eE") == NULL;
	for (child = doc_first(node); child != NULL; child = doc_next(child))
		if (has_big_integer(child))
			return true;
	return false;
}

/* jansson 2.14 takes a NUL after a number, as in "[1e9\0]", for a blank. */
static bool
is_known(const char *message)
{
	return strstr(message, "nested deeper") != NULL ||
	    strstr(message, "too many values") != NULL ||
	    strcmp(message, "NUL byte") == 0;
}

/* Whether jansson and this parser say the same of JSON. */
static void
compare_document(
    const struct walk *w, const struct doc *doc, const struct doc_error *err)
{
	json_t *json;

	json = json_loadb(w->bytes, w->len, JSON_DECODE_ANY, NULL);
	if (doc == NULL)
		check(json == NULL || is_known(err->message),
		    "what jansson takes is JSON");
	else if (json == NULL)
		/* One that a later value of its key replaced is not seen. */
		check(has_big_integer(doc->root) || doc->nwarnings > 0,
		    "what jansson refuses is not JSON");
	else
		compare(doc->root, json);
	json_decref(json);
}

static void
check_warnings(const struct doc *doc)
{
	const struct doc_warning *warning;
	size_t n = 0;

	for (warning = doc->warnings; warning != NULL;
	     warning = warning->next) {
		check(is_printable(warning->message), "a warning is printable");
		check(warning->next == NULL ||
			warning->line < warning->next->line ||
			(warning->line == warning->next->line &&
			    warning->column < warning->next->column),
		    "warnings are sorted");
		n++;
	}
	check(n == doc->nwarnings && n <= MAX_DOC_WARNINGS,
	    "warnings are counted");
	check(doc->nwarnings_lost == 0 || n == MAX_DOC_WARNINGS,
	    "warnings are lost only when there are many");
}

/* The format that the first byte stands for, and a file name or NULL. */
static enum doc_format
choose(uint8_t first, const char **name)
{
	*name = NULL;
	switch (first) {
	case 'j':
		return DOC_JSON;
	case 'J':
		*name = "muster.json";
		return DOC_AUTO;
	case 'Y':
		*name = "muster.YML";
		return DOC_AUTO;
	case 'a':
		return DOC_AUTO;
	default:
		return DOC_YAML;
	}
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const char *name;
	struct doc_error err;
	struct doc *doc;
	struct walk w = {0};

	if (size == 0)
		return 0;
	w.bytes = (const char *)data + 1;
	w.len = size - 1;
	w.format = choose(data[0], &name);
	doc = doc_parse(name, w.bytes, w.len, w.format, &err);
	if (w.len >= 3 && memcmp(w.bytes, "\xef\xbb\xbf", 3) == 0) {
		w.bytes += 3;
		w.len -= 3;
	}
	if (doc == NULL) {
		check(err.message[0] != '\0', "an error has a message");
		check(is_printable(err.message), "a message is printable");
		check((err.line == 0) == (err.column == 0),
		    "an error has a place or none");
	} else {
		walk(&w, doc->root, 1);
		check_warnings(doc);
	}
	if (w.format == DOC_JSON)
		compare_document(&w, doc, &err);
	doc_free(doc);
	return 0;
}
