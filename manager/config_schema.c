#include <jansson.h>

#include <ctype.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "config_table.h"

/*
 * The JSON Schema (2020-12) of the configuration, made from the table that
 * drives the check.  Keys are given with - and with _; x- keys are free.
 * What it refuses musterd -n refuses as well; not the other way round, since
 * a schema knows nothing of files, other jobs and replaced variables.
 */

/* "$defs": one schema a group, by its title. */
static json_t *definitions;

static json_t *group_reference(const struct key_group *);

static json_t *
type_of(const char *name)
{
	return json_pack("{s:s}", "type", name);
}

/* An empty string is no path and no name. */
static int
wants_text(const struct key *k)
{
	static const key_set_fn setters[] = {set_path, set_working_directory,
	    set_socket_path, set_name, set_user, set_logfile, set_tokens,
	    set_include, set_environment_file, set_output_file, set_ca};
	size_t i;

	for (i = 0; i < sizeof(setters) / sizeof(*setters); i++)
		if (k->set == setters[i])
			return 1;
	return strcmp(k->name, "redirect-output") == 0;
}

/* One of the words may be "null", which without quotes is null. */
static json_t *
string_schema(const struct key *k)
{
	json_t *list;
	json_t *j;
	size_t i;

	if (k->words == NULL) {
		j = type_of("string");
		if (k->pattern != NULL)
			(void)json_object_set_new(
			    j, "pattern", json_string(k->pattern));
		else if (wants_text(k))
			(void)json_object_set_new(
			    j, "minLength", json_integer(1));
		return j;
	}
	list = json_array();
	for (i = 0; k->words[i] != NULL; i++) {
		(void)json_array_append_new(list, json_string(k->words[i]));
		if (strcmp(k->words[i], "null") == 0)
			(void)json_array_append_new(list, json_null());
	}
	return json_pack("{s:o}", "enum", list);
}

/* A string of a form of its own; what ${…} becomes is not known. */
static json_t *
pattern_schema(const char *pattern)
{
	return json_pack("{s:s,s:o}", "type", "string", "pattern",
	    json_sprintf("%s|[$][{]", pattern));
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

/* Beyond 31 days only a number is known to be too long. */
static json_t *
duration_schema(const struct key *k)
{
	json_t *number;

	number = json_pack("{s:s,s:i,s:i}", "type", "number", "minimum", 0,
	    "maximum", MAX_DURATION);
	if (k != NULL && k->set == set_pause)
		(void)json_object_set_new(number, "minimum", json_real(0.001));
	return json_pack("{s:[o,o]}", "anyOf", number,
	    pattern_schema("^([0-9]{1,20}([.][0-9]{0,9})?|[.][0-9]{1,9}) *"
			   "(us|ms|s|m|min|h|d)?$"));
}

static void
add_types(json_t *any, const struct key *k)
{
	if (k->types & (TYPE_BOOL | TYPE_TRUTH))
		(void)json_array_append_new(any, type_of("boolean"));
	if (k->types & (TYPE_INTEGER | TYPE_SIZE))
		(void)json_array_append_new(any, integer_schema(k));
	if (k->types & TYPE_NUMBER)
		(void)json_array_append_new(any,
		    json_pack("{s:s,s:i}", "type", "number", "minimum", 0));
	if (k->types & TYPE_DURATION)
		(void)json_array_append_new(any, duration_schema(k));
	if (k->types & TYPE_SIZE)
		(void)json_array_append_new(any,
		    pattern_schema("^([0-9]{1,20}([.][0-9]{0,9})?|"
				   "[.][0-9]{1,9}) *([kKmM]([iI][bB])?)?$"));
	if (k->types & TYPE_STRING)
		(void)json_array_append_new(any, string_schema(k));
	if (k->types & TYPE_STRINGS)
		(void)json_array_append_new(any,
		    json_pack("{s:s,s:{s:[s,s,s]}}", "type", "array", "items",
			"type", "string", "number", "boolean"));
	if (k->types & TYPE_LIST)
		(void)json_array_append_new(any, type_of("array"));
	if (k->types & TYPE_GROUP)
		(void)json_array_append_new(any, group_reference(k->group));
}

static json_t *
map_schema(const struct key *k)
{
	if (k->group == NULL)
		return type_of("object");
	return json_pack("{s:s,s:o}", "type", "object", "additionalProperties",
	    group_reference(k->group));
}

/* A name may begin with x-; what is then no mapping is no job. */
static json_t *
processes_schema(void)
{
	return json_pack("{s:s,s:o,s:{s:{}},s:{s:i,s:s}}", "type", "object",
	    "additionalProperties", group_reference(&group_job),
	    "patternProperties", "^x-", "propertyNames", "minLength", 1,
	    "pattern", "^[^/]+$");
}

/* What arguments one of pymanager's own classes takes. */
static json_t *
arguments_schema(const char *pattern, const struct key_group *group)
{
	return json_pack("{s:{s:{s:{s:s}},s:[s]},s:{s:{s:o}}}", "if",
	    "properties", "type", "pattern", pattern, "required", "type",
	    "then", "properties", "arguments", group_reference(group));
}

static void
add_arguments(json_t *verifier)
{
	json_t *all;

	all = json_array();
	(void)json_array_append_new(all,
	    arguments_schema("^(((pym)?utils[.])?http_verifier|pymutils)[.]"
			     "HttpOkVerifier$",
		&group_httpok));
	(void)json_array_append_new(all,
	    arguments_schema("^(((pym)?utils[.])?exited_verifier|pymutils)[.]"
			     "ExitedVerifier$",
		&group_exited));
	(void)json_object_set_new(verifier, "allOf", all);
}

/* Of what is not available in this version, the default; NULL: nothing. */
static json_t *
later_schema(const struct key *k)
{
	if (k->types & TYPE_BOOL)
		return json_pack("{s:b}", "const", 0);
	if (k->words != NULL)
		return json_pack("{s:s}", "const", k->words[0]);
	return NULL;
}

static json_t *
key_schema(const struct key *k)
{
	json_t *any;
	json_t *j;

	any = json_array();
	if (k->later != NULL)
		(void)json_array_append_new(any, later_schema(k));
	else
		add_types(any, k);
	if (k->set == set_processes)
		(void)json_array_append_new(any, processes_schema());
	else if (k->later == NULL && (k->types & TYPE_MAP))
		(void)json_array_append_new(any, map_schema(k));
	if (k->schema != NULL)
		j = json_loads(k->schema, 0, NULL);
	else if (k->types & TYPE_ANY)
		j = json_object();
	else if (json_array_size(any) == 1)
		j = json_incref(json_array_get(any, 0));
	else
		j = json_pack("{s:O}", "anyOf", any);
	json_decref(any);
	(void)json_object_set_new(j, "description", json_string(k->about));
	return j;
}

static void
add_key(json_t *properties, const struct key *k)
{
	char other[64];
	json_t *j;
	size_t i;

	j = key_schema(k);
	(void)json_object_set(properties, k->name, j);
	(void)snprintf(other, sizeof(other), "%s", k->name);
	for (i = 0; other[i] != '\0'; i++)
		if (other[i] == '-')
			other[i] = '_';
	if (strcmp(other, k->name) != 0)
		(void)json_object_set(properties, other, j);
	json_decref(j);
}

static json_t *
group_schema(const struct key_group *group)
{
	const struct key *k;
	json_t *default_only;
	json_t *properties;

	properties = json_object();
	for (k = group->keys; k->name != NULL; k++) {
		default_only = k->later == NULL ? NULL : later_schema(k);
		if (k->later == NULL || default_only != NULL)
			add_key(properties, k);
		json_decref(default_only);
	}
	return json_pack("{s:s,s:o,s:{s:{}},s:b}", "type", "object",
	    "properties", properties, "patternProperties", "^x-",
	    "additionalProperties", 0);
}

static json_t *
group_reference(const struct key_group *group)
{
	json_t *schema;

	if (json_object_get(definitions, group->title) == NULL) {
		schema = group_schema(group);
		if (group->schema != NULL)
			(void)json_object_update_new(
			    schema, json_loads(group->schema, 0, NULL));
		if (group == &group_verifier)
			add_arguments(schema);
		(void)json_object_set_new(definitions, group->title, schema);
	}
	return json_pack(
	    "{s:o}", "$ref", json_sprintf("#/$defs/%s", group->title));
}

/* ---- values of a form of their own ---------------------------------- */

/* In letters of any size. */
static void
put_any_case(const char *name, FILE *f)
{
	for (; *name != '\0'; name++)
		if (isalpha((unsigned char)*name))
			(void)fprintf(
			    f, "[%c%c]", *name, tolower((unsigned char)*name));
		else
			(void)fputc(*name, f);
}

/* "0*(FROM|...|TO)" */
static void
put_numbers(int from, int to, FILE *f)
{
	int i;

	(void)fputs("0*(", f);
	for (i = from; i <= to; i++)
		(void)fprintf(f, "%s%d", i == from ? "" : "|", i);
	(void)fputc(')', f);
}

/* A name with or without SIG, or a number. */
static json_t *
signal_schema(void)
{
	const char *name;
	json_t *j;
	char *text;
	size_t size;
	FILE *f;
	int i;

	text = NULL;
	f = open_memstream(&text, &size);
	if (f == NULL)
		abort();
	(void)fputs("^([Ss][Ii][Gg])?(", f);
	for (i = 1; i < NSIG; i++) {
		name = sigabbrev_np(i);
		if (name == NULL)
			continue;
		(void)fputs(i == 1 ? "" : "|", f);
		put_any_case(name, f);
	}
	(void)fputc('|', f);
	put_any_case("RTMIN", f);
	(void)fputs("([+]", f);
	put_numbers(0, SIGRTMAX - SIGRTMIN, f);
	(void)fputs(")?|", f);
	put_any_case("RTMAX", f);
	(void)fputs("(-", f);
	put_numbers(0, SIGRTMAX - SIGRTMIN, f);
	(void)fputs(")?)$|^", f);
	put_numbers(1, MAX_STANDARD_SIGNAL, f);
	(void)fputs("$|^", f);
	put_numbers(SIGRTMIN, SIGRTMAX, f);
	(void)fputc('$', f);
	if (fclose(f) == EOF)
		abort();
	j = json_pack("{s:[{s:s,s:s},{s:s,s:i,s:i},{s:s,s:i,s:i}]}", "anyOf",
	    "type", "string", "pattern", text, "type", "integer", "minimum", 1,
	    "maximum", MAX_STANDARD_SIGNAL, "type", "integer", "minimum",
	    SIGRTMIN, "maximum", SIGRTMAX);
	free(text);
	return j;
}

static json_t *
limits_schema(void)
{
	static const char value[] =
	    "{\"anyOf\":[{\"type\":\"integer\",\"minimum\":0},"
	    "{\"enum\":[\"unlimited\",\"infinity\"]}]}";
	const char *name;
	json_t *both;
	json_t *limit;
	json_t *limits;
	size_t i;

	both = json_pack("{s:s,s:{s:o,s:o},s:[s,s],s:b}", "type", "object",
	    "properties", "soft", json_loads(value, 0, NULL), "hard",
	    json_loads(value, 0, NULL), "required", "soft", "hard",
	    "additionalProperties", 0);
	limit = json_loads(value, 0, NULL);
	(void)json_array_append_new(json_object_get(limit, "anyOf"), both);
	limits = json_object();
	for (i = 0; (name = config_limit_name(i)) != NULL; i++)
		(void)json_object_set(limits, name, limit);
	json_decref(limit);
	return json_pack("{s:s,s:o,s:b}", "type", "object", "properties",
	    limits, "additionalProperties", 0);
}

static json_t *
success_schema(void)
{
	static const char code[] =
	    "{\"type\":\"integer\",\"minimum\":-64,\"maximum\":255}";

	return json_pack("{s:[o,{s:s,s:o}]}", "anyOf",
	    json_loads(code, 0, NULL), "type", "array", "items",
	    json_loads(code, 0, NULL));
}

void
config_schema_print(FILE *out)
{
	json_t *j;

	definitions = json_object();
	j = group_schema(&group_top);
	/* Those that only the text of a key names. */
	json_decref(group_reference(&group_stop));
	json_decref(group_reference(&group_verify));
	json_decref(group_reference(&group_verifier));
	(void)json_object_set_new(
	    definitions, "duration", duration_schema(NULL));
	(void)json_object_set_new(definitions, "signal", signal_schema());
	(void)json_object_set_new(definitions, "limits", limits_schema());
	(void)json_object_set_new(
	    definitions, "success-codes", success_schema());
	(void)json_object_set_new(j, "$defs", definitions);
	(void)json_object_set_new(j, "$schema",
	    json_string("https://json-schema.org/draft/2020-12/schema"));
	(void)json_object_set_new(j, "title", json_string(group_top.title));
	/* Included files may have all the processes. */
	(void)json_object_set_new(j, "anyOf",
	    json_pack("[{s:[s]},{s:[s]}]", "required", "processes", "required",
		"include"));
	(void)json_dumpf(j, out, JSON_INDENT(1) | JSON_SORT_KEYS);
	(void)fputc('\n', out);
	json_decref(j);
	definitions = NULL;
}
