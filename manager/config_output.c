#include <stdio.h>
#include <string.h>

#include "config_table.h"

/* `stdout` and `stderr`. */

void
set_output(struct loader *l, const struct key *k, void *target,
    const struct doc_node *n)
{
	static const struct {
		const char *word;
		enum output_mode mode;
	} known[] = {
	    {"show", OUTPUT_SHOW},
	    {"keep", OUTPUT_KEEP},
	    {"discard", OUTPUT_DISCARD},
	    {"inherit", OUTPUT_INHERIT},
	    {"join", OUTPUT_JOIN},
	};
	const struct doc_node *file;
	const struct doc_node *append;
	struct output_config *o;
	char shown[48];
	size_t i;
	int is_stderr;

	o = (struct output_config *)(void *)((char *)target + k->offset);
	is_stderr = strcmp(k->name, "stderr") == 0;
	if (n->kind == DOC_OBJECT) {
		file = doc_get(n, "file");
		append = doc_get(n, "append");
		if (file == NULL || file->kind != DOC_STRING ||
		    (append != NULL && append->kind != DOC_BOOL) ||
		    doc_count(n) != (append == NULL ? 1U : 2U)) {
			config_error(l, n,
			    "want {file: PATH}, with append: true or not");
			return;
		}
		o->mode = OUTPUT_FILE;
		o->path = value_path(l, file);
		o->append = append != NULL && append->value.boolean;
		return;
	}
	for (i = 0; i < sizeof(known) / sizeof(*known); i++) {
		if (strcmp(known[i].word, n->text) != 0 ||
		    (known[i].mode == OUTPUT_JOIN && !is_stderr))
			continue;
		o->mode = known[i].mode;
		return;
	}
	config_error(l, n,
	    "want one of show, keep, discard, inherit%s, or {file: PATH}, got "
	    "\"%s\"",
	    is_stderr ? ", join" : "", doc_show(n->text, shown, sizeof(shown)));
}
