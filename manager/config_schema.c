#include <jansson.h>

#include <stdlib.h>
#include <string.h>

#include "config_table.h"

/*
 * The JSON Schema (2020-12) of the configuration, made from the table that
 * drives the check.  Keys are given with - and with _; x- keys are free.
 */

static json_t *group_schema(const struct key_group *);

static json_t *
type_of(const char *name)
{
	return json_pack("{s:s}", "type", name);
}

static json_t *
string_schema(const struct key *k)
{
	json_t *list;
	size_t i;

	if (k->words == NULL)
		return type_of("string");
	list = json_array();
	for (i = 0; k->words[i] != NULL; i++)
		(void)json_array_append_new(list, json_string(k->words[i]));
	return json_pack("{s:o}", "enum", list);
}

static json_t *
integer_schema(const struct key *k)
{
	json_t *j;

	j = type_of("integer");
	if (k->min != 0 || k->max != 0) {
		(void)json_object_set_new(j, "minimum", json_integer(k->min));
		(void)json_object_set_new(j, "maximum", json_integer(k->max));
	}
	return j;
}

static void
add_types(json_t *any, const struct key *k)
{
	if (k->types & (TYPE_BOOL))
		(void)json_array_append_new(any, type_of("boolean"));
	if (k->types & (TYPE_INTEGER))
		(void)json_array_append_new(any, integer_schema(k));
	if (k->types & (TYPE_NUMBER | TYPE_DURATION))
		(void)json_array_append_new(any,
		    json_pack("{s:s,s:i}", "type", "number", "minimum", 0));
	if (k->types & TYPE_SIZE)
		(void)json_array_append_new(any, integer_schema(k));
	if (k->types & TYPE_DURATION)
		(void)json_array_append_new(any,
		    json_pack("{s:s,s:s}", "type", "string", "pattern",
			"^[0-9.]+ *(us|ms|s|m|min|h|d)?$"));
	if (k->types & TYPE_SIZE)
		(void)json_array_append_new(any,
		    json_pack("{s:s,s:s}", "type", "string", "pattern",
			"^[0-9.]+ *([kKmM](iB)?)?$"));
	if (k->types & TYPE_STRING)
		(void)json_array_append_new(any, string_schema(k));
	if (k->types & TYPE_STRINGS)
		(void)json_array_append_new(any,
		    json_pack("{s:s,s:{s:[s,s,s]}}", "type", "array", "items",
			"type", "string", "number", "boolean"));
	if (k->types & TYPE_LIST)
		(void)json_array_append_new(any, type_of("array"));
	if (k->types & TYPE_GROUP)
		(void)json_array_append_new(any, group_schema(k->group));
}

static json_t *
processes_schema(void)
{
	return json_pack("{s:s,s:o,s:{s:i,s:s}}", "type", "object",
	    "additionalProperties", group_schema(&group_job), "propertyNames",
	    "minLength", 1, "pattern", "^[^/]+$");
}

static json_t *
key_schema(const struct key *k)
{
	json_t *any;
	json_t *j;

	any = json_array();
	add_types(any, k);
	if (strcmp(k->name, "processes") == 0)
		(void)json_array_append_new(any, processes_schema());
	else if (k->types & TYPE_MAP)
		(void)json_array_append_new(any, type_of("object"));
	if ((k->types & (TYPE_ANY | TYPE_TRUTH)) || json_array_size(any) == 0) {
		j = json_object();
		json_decref(any);
	} else if (json_array_size(any) == 1) {
		j = json_incref(json_array_get(any, 0));
		json_decref(any);
	} else
		j = json_pack("{s:o}", "anyOf", any);
	(void)json_object_set_new(j, "description", json_string(k->about));
	return j;
}

static json_t *
group_schema(const struct key_group *group)
{
	const struct key *k;
	json_t *properties;
	json_t *j;
	char other[64];
	size_t i;

	properties = json_object();
	for (k = group->keys; k->name != NULL; k++) {
		if (k->later != NULL)
			continue;
		j = key_schema(k);
		(void)json_object_set(properties, k->name, j);
		for (i = 0; k->name[i] != '\0' && i < sizeof(other) - 1; i++)
			other[i] = (char)(k->name[i] == '-' ? '_' : k->name[i]);
		other[i] = '\0';
		if (strcmp(other, k->name) != 0)
			(void)json_object_set(properties, other, j);
		json_decref(j);
	}
	return json_pack("{s:s,s:o,s:{s:{}},s:b}", "type", "object",
	    "properties", properties, "patternProperties", "^x-",
	    "additionalProperties", 0);
}

void
config_schema_print(FILE *out)
{
	json_t *j;

	j = group_schema(&group_top);
	(void)json_object_set_new(j, "$schema",
	    json_string("https://json-schema.org/draft/2020-12/schema"));
	(void)json_object_set_new(j, "title", json_string("muster"));
	(void)json_object_set_new(j, "required", json_pack("[s]", "processes"));
	(void)json_dumpf(j, out, JSON_INDENT(1) | JSON_SORT_KEYS);
	(void)fputc('\n', out);
	json_decref(j);
}
