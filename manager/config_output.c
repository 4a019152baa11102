#include <stdio.h>
#include <string.h>

#include "config_table.h"

/* `stdout` and `stderr`. */

void
output_path(struct loader *l, struct output_config *o, const struct doc_node *n)
{
	o->at = config_position(l, n);
	o->path = value_path(l, n);
	if (o->path != NULL &&
	    (strstr(o->path, "$(name)") != NULL ||
		strstr(o->path, "$(instance)") != NULL))
		config_warning(l, n,
		    "replacements are made in commands and environments only: "
		    "this is a file of just this name");
}

void
set_output_file(struct loader *l, const struct key *k, void *target,
    const struct doc_node *n)
{
	(void)k;
	output_path(l, target, n);
}

static void
output_word(struct loader *l, struct output_config *o, const struct doc_node *n,
    int is_stderr)
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
	char shown[48];
	size_t i;

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

void
set_output(struct loader *l, const struct key *k, void *target,
    const struct doc_node *n)
{
	struct output_config *o;
	size_t errors;
	int is_stderr;

	o = (struct output_config *)(void *)((char *)target + k->offset);
	is_stderr = strcmp(k->name, "stderr") == 0;
	if (!is_stderr)
		l->output = n;
	if (n->kind != DOC_OBJECT) {
		output_word(l, o, n, is_stderr);
		return;
	}
	errors = l->report->errors;
	o->mode = OUTPUT_FILE;
	o->path = NULL;
	config_group(l, k->group, o, n);
	if (o->path == NULL && l->report->errors == errors)
		config_error(l, n, "want {file: PATH}");
}
