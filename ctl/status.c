#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "ctl.h"

/* status: the table, or one process in detail. */

#define TAIL_LINES 10
#define LABEL_WIDTH 9

/* "2 (9s ago)": restarts, and when it ended last if that is known. */
static char *
restarts_text(const struct process *p)
{
	char buf[AGE_SIZE];

	if (p->restarts == 0 || p->ended < 0)
		return xasprintf("%lld", p->restarts);
	return xasprintf("%lld (%s ago)", p->restarts,
	    age((double)time(NULL) - p->ended, buf));
}

static void
put_row(struct table *t, const struct process *p, int with_id)
{
	char buf[AGE_SIZE];
	char *text;

	table_cell(t, PLAIN, "%s", p->label);
	if (with_id)
		table_cell(t, PLAIN, "%u", p->id);
	table_cell(t, process_color(p), "%s", p->state);
	if (p->pid != 0)
		table_cell(t, PLAIN, "%d", p->pid);
	else
		table_cell(t, PLAIN, "-");
	table_cell(t, PLAIN, "%s", p->uptime < 0 ? "-" : age(p->uptime, buf));
	text = restarts_text(p);
	table_cell(t, PLAIN, "%s", text);
	free(text);
	text = process_remark(p);
	table_cell(t, PLAIN, "%s", text);
	free(text);
}

/* The column ID is there when names alone do not tell processes apart. */
static void
show_table(struct process **list, size_t n)
{
	static const char *const heads[] = {
	    "NAME", "ID", "STATE", "PID", "UPTIME", "RESTARTS", "VERIFIER"};
	const char *mine[MAX_COLUMNS];
	struct table t;
	size_t i;
	size_t k;
	int with_id;

	with_id = 0;
	for (i = 0; i < n; i++)
		with_id |= list[i]->instance > 0;
	k = 0;
	for (i = 0; i < sizeof(heads) / sizeof(*heads); i++)
		if (with_id || strcmp(heads[i], "ID") != 0)
			mine[k++] = heads[i];
	table_begin(&t, mine, k);
	for (i = 0; i < n; i++)
		put_row(&t, list[i], with_id);
	table_print(stdout, &t, terminal.columns, terminal.color);
	table_free(&t);
}

/* ---- one process
 * ------------------------------------------------------------- */

static void
field(const char *label, const char *value)
{
	(void)printf("%*s: ", LABEL_WIDTH, label);
	(void)text_put(stdout, value, SIZE_MAX);
	(void)putchar('\n');
}

/* Frees the value. */
static void
field_free(const char *label, char *value)
{
	field(label, value);
	free(value);
}

static void
show_times(const struct process *p)
{
	const char *started;
	char buf[AGE_SIZE];

	if (p->pid != 0)
		field_free("pid", xasprintf("%d", p->pid));
	started = json_string_value(json_object_get(p->json, "started"));
	if (p->uptime >= 0)
		field_free("since",
		    xasprintf("%s, %s ago", started == NULL ? "?" : started,
			age(p->uptime, buf)));
	else if (started != NULL)
		field("started", started);
	if (p->has_exit)
		field_free("exit",
		    p->ended < 0 ?
			xstrdup(p->exit) :
			xasprintf("%s, %s ago", p->exit,
			    age((double)time(NULL) - p->ended, buf)));
	field_free("restarts", xasprintf("%lld", p->restarts));
}

static void
show_verifier(const struct process *p)
{
	char buf[AGE_SIZE];

	if (p->kind == NULL) {
		field("verifier", "none");
		return;
	}
	field_free("verifier",
	    xasprintf("%s%s%s (%s, %lld %s, %s)", p->kind,
		p->last[0] == '\0' ? "" : ": ", p->last,
		p->verified ? "passed" : "not passed", p->attempts,
		p->attempts == 1 ? "attempt" : "attempts",
		elapsed((double)p->elapsed_ms / 1000, buf)));
}

static void
show_fields(const struct process *p)
{
	static const struct {
		const char *label;
		const char *key;
	} texts[] = {
	    {"command", "command"}, {"directory", "cwd"}, {"user", "user"}};
	const char *value;
	size_t i;

	for (i = 0; i < sizeof(texts) / sizeof(*texts); i++) {
		value =
		    json_string_value(json_object_get(p->json, texts[i].key));
		if (value != NULL && value[0] != '\0')
			field(texts[i].label, value);
	}
}

static void
show_one(const struct process *p)
{
	(void)text_put(stdout, p->label, SIZE_MAX);
	(void)printf(": %s", color_on(process_color(p), terminal.color));
	(void)text_put(stdout, p->state, SIZE_MAX);
	(void)fputs(color_off(process_color(p), terminal.color), stdout);
	(void)fputs(p->verified && (p->pid != 0 || process_is_good(p)) ?
		", verified\n" :
		"\n",
	    stdout);
	field_free("id",
	    xasprintf("%u (instance %lld, generation %lld)", p->id, p->instance,
		p->generation));
	if (p->waits != NULL)
		field("waits for", p->waits);
	show_times(p);
	show_verifier(p);
	show_fields(p);
	show_last_lines(stdout, p, TAIL_LINES);
}

/* ---- the verb
 * ------------------------------------------------------------------ */

static void
show_json(struct process **list, size_t n)
{
	json_t *array;
	size_t i;

	array = json_array();
	for (i = 0; i < n; i++)
		(void)json_array_append(array, list[i]->json);
	print_json(json_pack("{s:o}", "processes", array));
}

static int
worst(struct process **list, size_t n)
{
	enum status_code code;
	size_t i;
	int result_code;

	result_code = LSB_OK;
	for (i = 0; i < n; i++) {
		code = process_lsb(list[i]);
		if (code == LSB_DEAD)
			return LSB_DEAD;
		if (code != LSB_OK)
			result_code = LSB_NOT_RUNNING;
	}
	return result_code;
}

int
verb_status(int argc, char **argv)
{
	struct process **list;
	struct processes all;
	size_t n;
	int code;
	int unknown;

	code = locate(1);
	if (code == CTL_OK)
		code = processes_get(&all, 1);
	if (code != CTL_OK)
		return code == CTL_USAGE ? CTL_USAGE : LSB_UNKNOWN;
	unknown = processes_select(&all, argv, argc, &list, &n);
	if (options.json && unknown != -1)
		show_json(list, n);
	else if (n == 1 && argc == 1)
		show_one(list[0]);
	else if (n > 0 || argc == 0)
		show_table(list, n);
	code = unknown == -1 ? CTL_USAGE :
	    unknown > 0      ? (int)LSB_UNKNOWN :
			       worst(list, n);
	free(list);
	processes_free(&all);
	return code;
}
