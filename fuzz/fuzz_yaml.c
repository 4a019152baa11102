/* sources: common/document.c common/document_json.c common/document_yaml.c */
/* libs: bsd yaml jansson */
/*
 * One document, written as JSON and as YAML in one of its many styles, must
 * give the same tree.  The input is a row of choices: what comes next, and
 * how it is written; behind its end all values are null.
 */
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <bsd/string.h>

#include "document.h"

#define MAX_DEPTH 8
#define MAX_WIDTH 5
#define MAX_TEXT ((size_t)12)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const uint8_t *next;
static size_t left;
static FILE *json;
static FILE *yaml;
static unsigned int keys; /* so far: each is another */
static unsigned int anchors;
static char anchored[256]; /* the scalar of the last anchor, as JSON */

static void
check(int condition)
{
	if (!condition)
		abort();
}

static unsigned int
choose(unsigned int n)
{
	if (left == 0)
		return 0;
	left--;
	return *next++ % n;
}

/* ---- scalars ------------------------------------------------------------- */

__attribute__((format(printf, 1, 2))) static void
both(const char *format, ...)
{
	va_list ap;
	va_list again;

	va_start(ap, format);
	va_copy(again, ap);
	check(vfprintf(json, format, ap) >= 0);
	check(vfprintf(yaml, format, again) >= 0);
	va_end(again);
	va_end(ap);
}

/* Both read it so. */
static void
put_quoted(FILE *to, const char *text)
{
	(void)fputc('"', to);
	for (; *text != '\0'; text++)
		if (*text == '"' || *text == '\\')
			(void)fprintf(to, "\\%c", *text);
		else if ((unsigned char)*text < ' ')
			(void)fprintf(to, "\\u%04x", (unsigned char)*text);
		else
			(void)fputc(*text, to);
	(void)fputc('"', to);
}

static void
put_single(const char *text)
{
	(void)fputc('\'', yaml);
	for (; *text != '\0'; text++) {
		(void)fputc(*text, yaml);
		if (*text == '\'')
			(void)fputc('\'', yaml);
	}
	(void)fputc('\'', yaml);
}

/* Lines as they are, each behind the indent of the first. */
static void
put_literal(const char *text, int indent)
{
	(void)fprintf(yaml, "|-\n%*s", indent + 2, "");
	for (; *text != '\0'; text++) {
		(void)fputc(*text, yaml);
		if (*text == '\n' && text[1] != '\n')
			(void)fprintf(yaml, "%*s", indent + 2, "");
	}
}

static void
make_text(char text[MAX_TEXT * 4])
{
	static const char *const letters[] = {"a", "b", "yes", "é", " ", "'",
	    "\"", "\\", "\n", "\t", ":", "#", "-", "1", "{", ",", "&", "~",
	    "\x01", ": "};
	unsigned int n;

	text[0] = '\0';
	for (n = choose((unsigned int)MAX_TEXT); n > 0; n--)
		(void)strlcat(text,
		    letters[choose(sizeof(letters) / sizeof(letters[0]))],
		    MAX_TEXT * 4);
}

static int
is_printable(const char *text, const char *besides)
{
	for (; *text != '\0'; text++)
		if ((unsigned char)*text < ' ' &&
		    strchr(besides, *text) == NULL)
			return 0;
	return 1;
}

/* Nothing that would be lost at the ends of its lines. */
static int
fits_literal(const char *text)
{
	size_t len = strlen(text);

	return len > 0 && is_printable(text, "\n\t") &&
	    strchr(" \t\n", text[0]) == NULL &&
	    strchr(" \t\n", text[len - 1]) == NULL &&
	    strstr(text, " \n") == NULL && strstr(text, "\n ") == NULL &&
	    strstr(text, "\t\n") == NULL && strstr(text, "\n\t") == NULL;
}

static void
put_string(const char *text, int indent, int flow)
{
	put_quoted(json, text);
	switch (choose(4)) {
	case 1:
		if (!is_printable(text, ""))
			break;
		put_single(text);
		return;
	case 2:
		if (flow || !fits_literal(text))
			break;
		put_literal(text, indent);
		return;
	case 3:
		/* Plain: the letters of words, which are nothing else. */
		if (strspn(text, "ab") == 0 ||
		    strspn(text, "abyes") != strlen(text))
			break;
		(void)fputs(text, yaml);
		return;
	default:
		break;
	}
	put_quoted(yaml, text);
}

static void
put_scalar(int indent, int flow)
{
	static const char *const constants[] = {"null", "true", "false"};
	char text[MAX_TEXT * 4];
	unsigned int n;

	switch (choose(5)) {
	case 0:
		both("%s", constants[choose(3)]);
		break;
	case 1:
		both("%d", (int)choose(256) - 128);
		break;
	case 2:
		n = choose(256);
		both("%u.%ue%d", n, choose(100), (int)choose(40) - 20);
		break;
	default:
		make_text(text);
		put_string(text, indent, flow);
		break;
	}
}

/* With an anchor, which an alias may stand for. */
static void
put_anchored(void)
{
	char text[MAX_TEXT * 4];
	FILE *whole = json;

	make_text(text);
	json = fmemopen(anchored, sizeof(anchored), "w");
	check(json != NULL);
	(void)fprintf(yaml, "&a%u ", ++anchors);
	put_string(text, 0, 1);
	check(fclose(json) == 0);
	json = whole;
	(void)fputs(anchored, json);
}

/* ---- the tree ------------------------------------------------------------ */

static void put_value(int indent, int flow, int depth);

static void
put_key(void)
{
	static const char *const quotes[] = {"", "\"", "'"};
	const char *quote;

	quote = quotes[choose(3)];
	(void)fprintf(json, "\"k%u\":", keys);
	(void)fprintf(yaml, "%sk%u%s: ", quote, keys, quote);
	keys++;
}

static void
put_flow(int object, unsigned int n, int indent, int depth)
{
	unsigned int i;

	both("%s", object ? "{" : "[");
	for (i = 0; i < n; i++) {
		if (i > 0)
			both("%s", ", ");
		if (object)
			put_key();
		put_value(indent, 1, depth + 1);
	}
	both("%s", object ? "}" : "]");
}

static void
put_block(int object, unsigned int n, int indent, int depth)
{
	unsigned int i;

	(void)fputc(object ? '{' : '[', json);
	for (i = 0; i < n; i++) {
		if (i > 0)
			(void)fputc(',', json);
		(void)fprintf(yaml, "\n%*s%s", indent, "", object ? "" : "- ");
		if (object)
			put_key();
		put_value(indent + 1 + (int)choose(3), 0, depth + 1);
		if (choose(8) == 1)
			(void)fputs("\n# comment", yaml);
	}
	(void)fputc(object ? '}' : ']', json);
}

static void
put_value(int indent, int flow, int depth)
{
	unsigned int kind;
	unsigned int n;

	kind = choose(8);
	if (kind < 4 && depth < MAX_DEPTH) {
		n = choose(MAX_WIDTH);
		flow = flow || n == 0 || choose(4) == 0;
		if (flow)
			put_flow(kind % 2 == 1, n, indent, depth);
		else
			put_block(kind % 2 == 1, n, indent, depth);
	} else if (kind == 4)
		put_anchored();
	else if (kind == 5 && anchors > 0) {
		(void)fputs(anchored, json);
		(void)fprintf(yaml, "*a%u ", anchors);
	} else
		put_scalar(indent, flow);
}

static void
compare(const struct doc_node *a, const struct doc_node *b)
{
	check(a->kind == b->kind && doc_count(a) == doc_count(b));
	check((a->key == NULL) == (b->key == NULL));
	if (a->key != NULL && b->key != NULL)
		check(strcmp(a->key, b->key) == 0);
	if (a->kind == DOC_STRING)
		check(a->size == b->size && strcmp(a->text, b->text) == 0);
	else if (a->kind == DOC_INTEGER)
		check(a->value.integer == b->value.integer);
	else if (a->kind == DOC_REAL)
		check(a->value.real == b->value.real);
	else if (a->kind == DOC_BOOL)
		check(a->value.boolean == b->value.boolean);
	a = doc_first(a);
	b = doc_first(b);
	for (; a != NULL; a = doc_next(a), b = doc_next(b))
		compare(a, b);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct doc_error error;
	struct doc *docs[2];
	char *text[2];
	size_t len[2];

	next = data;
	left = size;
	keys = anchors = 0;
	json = open_memstream(&text[0], &len[0]);
	yaml = open_memstream(&text[1], &len[1]);
	check(json != NULL && yaml != NULL);
	put_value(0, 0, 1);
	(void)fputc('\n', yaml);
	check(fclose(json) == 0 && fclose(yaml) == 0);
	docs[0] = doc_parse(NULL, text[0], len[0], DOC_JSON, &error);
	check(docs[0] != NULL);
	docs[1] = doc_parse(NULL, text[1], len[1], DOC_YAML, &error);
	if (docs[1] == NULL)
		(void)fprintf(stderr, "%u:%u: %s\n%s", error.line, error.column,
		    error.message, text[1]);
	check(docs[1] != NULL);
	compare(docs[0]->root, docs[1]->root);
	doc_free(docs[0]);
	doc_free(docs[1]);
	free(text[0]);
	free(text[1]);
	return 0;
}
