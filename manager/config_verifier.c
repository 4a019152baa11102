#include <jansson.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "config_table.h"

/* `verifier`: pymanager's classes, two built in, all others in Python. */

#define MAX_CLASS 1024 /* bytes of MODULE.CLASS */

/* Is the type one of our own, under any name that its module ever had? */
static int
builtin(const char *type, const char *class, const char *module)
{
	static const char *const prefixes[] = {"", "utils.", "pymutils."};
	char name[96];
	size_t i;

	for (i = 0; i < 3; i++) {
		(void)snprintf(
		    name, sizeof(name), "%s%s.%s", prefixes[i], module, class);
		if (strcmp(type, name) == 0)
			return 1;
	}
	(void)snprintf(name, sizeof(name), "pymutils.%s", class);
	return strcmp(type, name) == 0;
}

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
		j = json_real(n->value.real);
		return j != NULL ? j : json_null();
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

/* Bytes of the texts, which an alias may have multiplied. */
static size_t
texts_size(const struct doc_node *n)
{
	const struct doc_node *item;
	size_t size;

	size = n->size + (n->key == NULL ? 0 : strlen(n->key));
	for (item = doc_first(n); item != NULL; item = doc_next(item))
		size += texts_size(item) + 2;
	return size;
}

/* The arguments are one word of the adapter's command line. */
static void
custom_arguments(
    struct loader *l, struct verify_config *v, const struct doc_node *n)
{
	json_t *json;
	char *text;

	text = NULL;
	if (texts_size(n) < MAX_STRING) {
		json = to_json(n);
		text = json_dumps(json, JSON_COMPACT);
		json_decref(json);
	}
	if (text == NULL || strlen(text) >= MAX_STRING)
		config_error(
		    l, n, "arguments of more than %lu bytes", MAX_STRING - 1UL);
	else if (!config_is_full(l, n, strlen(text)))
		v->arguments = config_strdup(l->config, text);
	free(text);
}

static void
custom(struct loader *l, struct verify_config *v, const char *name,
    const struct doc_node *type, const struct doc_node *arguments)
{
	const char *dot;
	char shown[160];
	size_t i;

	for (i = 0; i < l->modules.count; i++)
		if (strcmp(l->modules.list[i], type->text) == 0)
			break;
	dot = strrchr(type->text, '.');
	if (i == l->modules.count || dot == NULL) {
		(void)doc_show(type->text, shown, sizeof(shown));
		if (verify_is_kind(type->text))
			config_error(l, type,
			    "Missing verifier %s used in process %s (did you "
			    "mean \"verify: {%s: ...}\"?)",
			    shown, name, shown);
		else
			config_error(l, type,
			    "Missing verifier %s used in process %s (modules "
			    "lists none of this name)",
			    shown, name);
		return;
	}
	if (type->size > MAX_CLASS) {
		config_error(
		    l, type, "a name of more than %d bytes", MAX_CLASS);
		return;
	}
	v->kind = VERIFY_CUSTOM;
	/* It has its own idea of time. */
	v->timeout = 0;
	v->module = config_printf(
	    l->config, "%.*s", (int)(dot - type->text), type->text);
	v->class_name = config_strdup(l->config, dot + 1);
	if (arguments != NULL)
		custom_arguments(l, v, arguments);
}

static void
http_ok(struct loader *l, struct verify_config *v, const struct doc_node *n,
    const struct doc_node *arguments)
{
	size_t errors;

	v->kind = VERIFY_HTTP;
	errors = l->report->errors;
	if (arguments != NULL)
		config_group(l, &group_httpok, v, arguments);
	v->attempt_timeout = v->interval;
	if (l->report->errors != errors)
		return;
	if (v->url == NULL)
		config_error(l, n, "the verifier has no url");
	else if (verify_check_url(l, doc_get(arguments, "url"), v->url) == 0)
		verify_check_size(l, v, n);
}

/* None is for ever, and what is longer than we count is as good as that. */
void
set_patience(struct loader *l, const struct key *k, void *target,
    const struct doc_node *n)
{
	uint64_t *timeout;

	timeout = (uint64_t *)(void *)((char *)target + k->offset);
	if (n->kind == DOC_NULL)
		*timeout = 0;
	else if ((n->kind == DOC_INTEGER && n->value.integer > MAX_DURATION) ||
	    (n->kind == DOC_REAL && n->value.real > MAX_DURATION)) {
		config_warning(l, n,
		    "want a duration of 0 to 31 days, got %s: no limit",
		    n->text);
		*timeout = 0;
	} else
		set_duration(l, k, target, n);
}

static void
verifier_one(struct loader *l, struct job_config *c, const struct doc_node *n)
{
	const struct doc_node *arguments;
	const struct doc_node *type;
	struct verify_config *v;
	size_t errors;

	errors = l->report->errors;
	if (n->kind == DOC_OBJECT)
		config_group(l, &group_verifier, NULL, n);
	type = n->kind == DOC_OBJECT ? doc_get(n, "type") : NULL;
	arguments = n->kind == DOC_OBJECT ? doc_get(n, "arguments") : NULL;
	if (type == NULL)
		config_error(l, n,
		    "Missing verifier type for verifier of process %s.",
		    c->name);
	if (type == NULL || l->report->errors != errors)
		return;
	v = verify_add(l, c, n);
	if (v == NULL)
		return;
	v->pymanager = 1;
	v->kind_name = config_strdup(l->config, type->text);
	if (builtin(type->text, "HttpOkVerifier", "http_verifier")) {
		http_ok(l, v, n, arguments);
	} else if (builtin(type->text, "ExitedVerifier", "exited_verifier")) {
		v->kind = VERIFY_EXITED;
		if (arguments != NULL)
			config_group(l, &group_exited, v, arguments);
	} else
		custom(l, v, c->name, type, arguments);
}

void
set_verifier(struct loader *l, const struct key *k, void *target,
    const struct doc_node *n)
{
	const struct doc_node *item;

	(void)k;
	if (n->kind != DOC_ARRAY) {
		verifier_one(l, target, n);
		return;
	}
	for (item = doc_first(n); item != NULL; item = doc_next(item))
		verifier_one(l, target, item);
}
