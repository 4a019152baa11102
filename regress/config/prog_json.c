/* sources: common/document.c common/document_json.c common/document_yaml.c */
/* libs: yaml jansson bsd */

/*
 * Prints a YAML or JSON file as musterd reads it, as JSON: so the tests need
 * no other reader of YAML, which might read it in another way.
 */

#include <jansson.h>

#include <err.h>
#include <stdio.h>
#include <stdlib.h>

#include "document.h"

static json_t *
to_json(const struct doc_node *n)
{
	const struct doc_node *item;
	json_t *j;

	switch (n->kind) {
	case DOC_NULL:
		return json_null();
	case DOC_BOOL:
		return json_boolean(n->value.boolean);
	case DOC_INTEGER:
		return json_integer(n->value.integer);
	case DOC_REAL:
		return json_real(n->value.real);
	case DOC_STRING:
		return json_string(n->text);
	case DOC_ARRAY:
		j = json_array();
		for (item = doc_first(n); item != NULL; item = doc_next(item))
			(void)json_array_append_new(j, to_json(item));
		return j;
	case DOC_OBJECT:
		break;
	}
	j = json_object();
	for (item = doc_first(n); item != NULL; item = doc_next(item))
		(void)json_object_set_new(j, item->key, to_json(item));
	return j;
}

int
main(int argc, char **argv)
{
	static char bytes[1 << 20];
	struct doc_error error;
	struct doc *doc;
	json_t *j;
	FILE *f;
	size_t len;

	if (argc != 2)
		errx(2, "usage: prog_json FILE");
	f = fopen(argv[1], "re");
	if (f == NULL)
		err(1, "%s", argv[1]);
	len = fread(bytes, 1, sizeof(bytes), f);
	(void)fclose(f);
	doc = doc_parse(argv[1], bytes, len, DOC_AUTO, &error);
	if (doc == NULL)
		errx(1, "%s:%u:%u: %s", argv[1], error.line, error.column,
		    error.message);
	j = to_json(doc->root);
	(void)json_dumpf(j, stdout, JSON_INDENT(1));
	json_decref(j);
	doc_free(doc);
	return fflush(stdout) == 0 ? 0 : 1;
}
