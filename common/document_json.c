/*
 * JSON (RFC 8259) into a document.
 *
 * jansson decides what a string and a number are and decodes them, one token
 * at a time.  The brackets between them are walked here, because jansson's own
 * tree has no positions and drops equal keys, and takes more than 200 MiB for
 * a file of 3 MB (a million times "{},": measured with 2.14).
 */

#include <errno.h>
#include <string.h>

#include <jansson.h>

#include "document.h"
#include "document_build.h"

/* What may come next. */
enum json_state {
	JSON_VALUE, /* a value */
	JSON_VALUE_OR_END, /* a value or ']' */
	JSON_KEY, /* a key */
	JSON_KEY_OR_END, /* a key or '}' */
	JSON_AFTER /* ',' or a closing bracket, or the end */
};

struct json_scan {
	struct doc_builder *b;
	const char *p;
	const char *end;
	unsigned line; /* of p */
	unsigned column;
};

/* Goes on to p, which stands in the same line. */
static void
advance(struct json_scan *s, const char *p)
{
	for (; s->p < p; s->p++)
		if (((unsigned char)*s->p & 0xc0) != 0x80)
			s->column++;
}

static void
skip_blanks(struct json_scan *s)
{
	for (; s->p < s->end; s->p++) {
		if (*s->p == '\n') {
			s->line++;
			s->column = 1;
		} else if (*s->p == ' ' || *s->p == '\t' || *s->p == '\r') {
			s->column++;
		} else {
			return;
		}
	}
}

/* How many bytes of a word or number stand at p. */
static size_t
word_length(const struct json_scan *s)
{
	const char *p;

	for (p = s->p; p < s->end; p++)
		if ((*p < '0' || *p > '9') && (*p < 'a' || *p > 'z') &&
		    (*p < 'A' || *p > 'Z') && *p != '-' && *p != '+' &&
		    *p != '.' && *p != '_')
			break;
	return (size_t)(p - s->p);
}

/* Copies the text at p, at most len bytes of it, into buf for a message. */
static const char *
show_here(const struct json_scan *s, size_t len, char *buf, size_t size)
{
	char piece[DOC_SHOWN];

	if (len >= sizeof(piece))
		len = sizeof(piece) - 1;
	while (len < (size_t)(s->end - s->p) &&
	    ((unsigned char)s->p[len] & 0xc0) == 0x80)
		len--; /* not within a character */
	memcpy(piece, s->p, len);
	piece[len] = '\0';
	return doc_show(piece, buf, size);
}

/* Reports what stands at p instead of what was expected. */
static int
unexpected(const struct json_scan *s, const char *expected)
{
	const struct doc_frame *top = doc_top(s->b);
	char shown[DOC_SHOWN];
	size_t len;

	if (s->p == s->end && top == NULL)
		return doc_fail(s->b, 0, 0, "the file is empty");
	if (s->p == s->end)
		return doc_fail(s->b, s->line, s->column,
		    "unexpected end of file, the '%c' of line %u is not closed",
		    top->node->kind == DOC_OBJECT ? '{' : '[', top->node->line);
	if (*s->p == '/' || *s->p == '#')
		return doc_fail(s->b, s->line, s->column,
		    "expected %s; JSON has no comments", expected);
	if (*s->p == '\'')
		return doc_fail(s->b, s->line, s->column,
		    "expected %s; strings stand in double quotes", expected);
	len = word_length(s);
	if (len == 0) {
		len = 1;
		while (s->p + len < s->end &&
		    ((unsigned char)s->p[len] & 0xc0) == 0x80)
			len++;
	}
	return doc_fail(s->b, s->line, s->column, "expected %s, not '%s'",
	    expected, show_here(s, len, shown, sizeof(shown)));
}

/* The end of the string that starts at p, or NULL after an error. */
static const char *
string_end(struct json_scan *s)
{
	const char *p;

	for (p = s->p + 1; p < s->end && *p != '"'; p++) {
		if (*p == '\\' && s->end - p > 1)
			p++;
		if ((unsigned char)*p < 0x20) {
			advance(s, p);
			(void)doc_fail(s->b, s->line, s->column,
			    *p == '\n' || *p == '\r' ?
				"a string must end on its line (\\n is a line "
				"break)" :
				"control character 0x%02x in a string",
			    (unsigned)*p);
			return NULL;
		}
	}
	if (p == s->end) {
		(void)doc_fail(
		    s->b, s->line, s->column, "a string is not closed");
		return NULL;
	}
	return p + 1;
}

/*
 * Has jansson decode the token of len bytes at p.  On failure errno is ENOMEM
 * if memory ran out, which *why does not tell.
 */
static json_t *
decode(const struct json_scan *s, size_t len, size_t flags, json_error_t *why)
{
	errno = 0;
	return json_loadb(s->p, len, JSON_DECODE_ANY | flags, why);
}

/* Reports why jansson refused the string at p. */
static void
string_fail(const struct json_scan *s, const json_error_t *why)
{
	unsigned column = s->column;
	char reason[JSON_ERROR_TEXT_LENGTH];
	char shown[DOC_SHOWN];
	char *near;

	if (errno == ENOMEM) {
		(void)doc_fail(s->b, 0, 0, "out of memory");
		return;
	}
	if (why->column > 0)
		column += (unsigned)why->column - 1;
	if (json_error_code(why) == json_error_null_character) {
		(void)doc_fail(s->b, s->line, column,
		    "NUL (\\u0000) cannot be in a string");
		return;
	}
	memcpy(reason, why->text, sizeof(reason));
	reason[sizeof(reason) - 1] = '\0';
	near = strstr(reason, " near ");
	if (near != NULL)
		*near = '\0';
	(void)doc_fail(s->b, s->line, column, "%s in a string",
	    doc_show(reason, shown, sizeof(shown)));
}

/* Decodes the string of len bytes at p, with its quotes and escapes. */
static const char *
decode_string(struct json_scan *s, size_t len, uint32_t *size)
{
	json_error_t why;
	const char *copy;
	json_t *json;

	json = decode(s, len, 0, &why);
	if (json == NULL) {
		string_fail(s, &why);
		return NULL;
	}
	*size = (uint32_t)json_string_length(json);
	copy = doc_copy(s->b, json_string_value(json), *size);
	json_decref(json);
	return copy;
}

/*
 * Reads the string at p into the arena.  What has no escapes needs no decoder:
 * its UTF-8 and its control characters have been looked at.
 */
static const char *
read_string(struct json_scan *s, uint32_t *size)
{
	const char *copy;
	const char *end;
	size_t len;

	end = string_end(s);
	if (end == NULL)
		return NULL;
	len = (size_t)(end - s->p);
	if (memchr(s->p, '\\', len) != NULL) {
		copy = decode_string(s, len, size);
	} else {
		*size = (uint32_t)len - 2;
		copy = doc_copy(s->b, s->p + 1, *size);
	}
	if (copy != NULL)
		advance(s, end);
	return copy;
}

/* Reports why jansson refused the number of len bytes at p. */
static int
number_fail(const struct json_scan *s, size_t len, const json_error_t *why)
{
	const char *what = "invalid number";
	char shown[DOC_SHOWN];

	if (errno == ENOMEM)
		return doc_fail(s->b, 0, 0, "out of memory");
	if (json_error_code(why) == json_error_numeric_overflow)
		what = "number is out of range";
	return doc_fail(s->b, s->line, s->column, "%s: %s", what,
	    show_here(s, len, shown, sizeof(shown)));
}

/* Sets node to the number of len bytes at p. */
static int
read_number(struct json_scan *s, size_t len, struct doc_node *node)
{
	json_error_t why;
	json_t *json;

	json = decode(s, len, 0, &why);
	if (json == NULL &&
	    json_error_code(&why) == json_error_numeric_overflow)
		json = decode(s, len, JSON_DECODE_INT_AS_REAL, &why);
	if (json == NULL)
		return number_fail(s, len, &why);
	if (json_is_integer(json)) {
		node->kind = DOC_INTEGER;
		node->value.integer = json_integer_value(json);
	} else {
		node->kind = DOC_REAL;
		node->value.real = json_real_value(json);
	}
	json_decref(json);
	return 0;
}

/* Sets node to the word or number at p. */
static int
read_word(struct json_scan *s, struct doc_node *node)
{
	size_t len = word_length(s);

	if (len == 4 && memcmp(s->p, "null", len) == 0) {
		node->kind = DOC_NULL;
	} else if ((len == 4 && memcmp(s->p, "true", len) == 0) ||
	    (len == 5 && memcmp(s->p, "false", len) == 0)) {
		node->kind = DOC_BOOL;
		node->value.boolean = len == 4;
	} else if (*s->p == '-' || (*s->p >= '0' && *s->p <= '9')) {
		if (read_number(s, len, node) == -1)
			return -1;
	} else {
		return unexpected(s, "a value");
	}
	node->size = (uint32_t)len;
	node->text = doc_copy(s->b, s->p, len);
	if (node->text == NULL)
		return -1;
	advance(s, s->p + len);
	return 0;
}

/* Reads the value at p, or the opening bracket of it. */
static int
read_value(struct json_scan *s, enum json_state *state)
{
	struct doc_node *node;

	if (s->p == s->end)
		return unexpected(s, "a value");
	node = doc_node_new(s->b, DOC_STRING, s->line, s->column);
	if (node == NULL)
		return -1;
	*state = JSON_AFTER;
	switch (*s->p) {
	case '{':
		node->kind = DOC_OBJECT;
		*state = JSON_KEY_OR_END;
		break;
	case '[':
		node->kind = DOC_ARRAY;
		*state = JSON_VALUE_OR_END;
		break;
	case '"':
		node->quoted = true;
		node->text = read_string(s, &node->size);
		if (node->text == NULL)
			return -1;
		break;
	default:
		if (read_word(s, node) == -1)
			return -1;
		break;
	}
	doc_append(s->b, node);
	if (*state == JSON_AFTER)
		return 0;
	advance(s, s->p + 1);
	return doc_open(s->b, node);
}

/* Reads the key at p and the colon behind it. */
static int
read_key(struct json_scan *s, enum json_state *state)
{
	const char *key;
	unsigned column = s->column;
	unsigned line = s->line;
	uint32_t size;

	if (s->p == s->end || *s->p != '"')
		return unexpected(s, "a key in double quotes");
	key = read_string(s, &size);
	if (key == NULL)
		return -1;
	doc_set_key(s->b, key, line, column);
	skip_blanks(s);
	if (s->p == s->end || *s->p != ':')
		return unexpected(s, "':' after a key");
	advance(s, s->p + 1);
	*state = JSON_VALUE;
	return 0;
}

/* Reads the comma or closing bracket at p. */
static int
read_separator(struct json_scan *s, enum json_state *state)
{
	bool object = doc_top(s->b)->node->kind == DOC_OBJECT;

	if (s->p == s->end || (*s->p != ',' && *s->p != (object ? '}' : ']')))
		return unexpected(s, object ? "',' or '}'" : "',' or ']'");
	*state = JSON_AFTER;
	if (*s->p != ',') {
		advance(s, s->p + 1);
		return doc_close(s->b);
	}
	advance(s, s->p + 1);
	skip_blanks(s);
	if (s->p < s->end && (*s->p == '}' || *s->p == ']'))
		return doc_fail(s->b, s->line, s->column,
		    "no comma may stand before '%c'", *s->p);
	*state = object ? JSON_KEY : JSON_VALUE;
	return 0;
}

int
doc_read_json(struct doc_builder *b)
{
	struct json_scan s = {b, b->bytes, b->bytes + b->len, 1, 1};
	enum json_state state = JSON_VALUE;
	int result = 0;

	while (result == 0) {
		skip_blanks(&s);
		if (state == JSON_AFTER && b->depth == 0)
			break;
		if (s.p < s.end &&
		    ((state == JSON_KEY_OR_END && *s.p == '}') ||
			(state == JSON_VALUE_OR_END && *s.p == ']')))
			state = JSON_AFTER;
		if (state == JSON_AFTER)
			result = read_separator(&s, &state);
		else if (state == JSON_KEY || state == JSON_KEY_OR_END)
			result = read_key(&s, &state);
		else
			result = read_value(&s, &state);
	}
	if (result == 0 && s.p < s.end)
		result = unexpected(&s, "nothing after the value");
	return result;
}
