#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "ctl.h"

/* info: what musterd says of itself. */

static const char *
text_of(const json_t *json, const char *key)
{
	const char *text;

	text = json_string_value(json_object_get(json, key));
	return text == NULL ? "?" : text;
}

static void
field(const char *label, const char *value)
{
	(void)printf("%9s: ", label);
	(void)text_put(stdout, value, SIZE_MAX);
	(void)putchar('\n');
}

/* "4: 3 running, 1 exited" */
static void
show_counts(json_t *counts)
{
	const char *state;
	json_t *v;
	char *text;
	char *next;
	long long total;

	text = xstrdup("");
	total = 0;
	json_object_foreach(counts, state, v)
	{
		if (!json_is_integer(v) || json_integer_value(v) <= 0 ||
		    json_integer_value(v) > UINT32_MAX)
			continue;
		total += json_integer_value(v);
		next = xasprintf("%s%s%lld %s", text,
		    text[0] == '\0' ? ": " : ", ",
		    (long long)json_integer_value(v), state);
		free(text);
		text = next;
	}
	next = xasprintf("%lld%s", total, text);
	field("processes", next);
	free(next);
	free(text);
}

static void
show(const json_t *json)
{
	const char *started;
	char buf[AGE_SIZE];
	double seconds;
	char *text;

	(void)text_put(stdout, text_of(json, "name"), SIZE_MAX);
	(void)putchar(' ');
	(void)text_put(stdout, text_of(json, "version"), SIZE_MAX);
	(void)putchar('\n');
	field("status", text_of(json, "status"));
	field("ready",
	    json_is_true(json_object_get(json, "ready")) ? "yes" : "no");
	text = xasprintf("%lld",
	    (long long)json_integer_value(json_object_get(json, "pid")));
	field("pid", text);
	free(text);
	started = text_of(json, "started");
	text = rfc3339(started, &seconds) == -1 ?
	    xstrdup(started) :
	    xasprintf(
		"%s, %s ago", started, age((double)time(NULL) - seconds, buf));
	field("started", text);
	free(text);
	field("boot", text_of(json, "boot"));
	field("at", endpoint_text());
	show_counts(json_object_get(json, "counts"));
}

int
verb_info(int argc, char **argv)
{
	json_t *json;
	int code;

	(void)argc;
	(void)argv;
	code = locate(1);
	if (code != CTL_OK)
		return code;
	json = get_object("/v1", 1, &code);
	if (json == NULL)
		return code;
	if (options.json) {
		print_json(json);
		return CTL_OK;
	}
	show(json);
	json_decref(json);
	return CTL_OK;
}
