#include <fnmatch.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <time.h>

#include <bsd/stdlib.h>
#include <bsd/string.h>

#include "../common/suggest.h"
#include "ctl.h"

/* Processes as /v1 tells of them (API.md §2), and the names that mean them. */

#define DEFAULT_SESSION "default."

static const char *
string_of(const json_t *object, const char *key)
{
	return json_string_value(json_object_get(object, key));
}

static long long
number_of(const json_t *object, const char *key)
{
	const json_t *v;

	v = json_object_get(object, key);
	return json_is_integer(v) ? json_integer_value(v) : 0;
}

/* "SIGTERM" as a number; 0 unknown. */
static int
signal_of(const char *name)
{
	const char *known;
	const char *error;
	int i;

	if (strncasecmp(name, "SIG", 3) == 0)
		name += 3;
	for (i = 1; i < NSIG; i++) {
		known = sigabbrev_np(i);
		if (known != NULL && strcasecmp(name, known) == 0)
			return i;
	}
	if (strncasecmp(name, "RTMIN+", 6) == 0) {
		i = (int)strtonum(name + 6, 0, SIGRTMAX - SIGRTMIN, &error);
		return error == NULL ? SIGRTMIN + i : 0;
	}
	return 0;
}

static void
read_exit(const json_t *exit, struct process *p)
{
	const char *text;
	const json_t *code;
	int n;

	p->ended = -1;
	if (!json_is_object(exit))
		return;
	p->has_exit = 1;
	text = string_of(exit, "time");
	if (text != NULL && rfc3339(text, &p->ended) == -1)
		p->ended = -1;
	text = string_of(exit, "signal");
	if (text != NULL) {
		n = signal_of(text);
		p->code = n == 0 ? 255 : 128 + n;
		(void)strlcpy(p->exit, text, sizeof(p->exit));
		return;
	}
	code = json_object_get(exit, "code");
	p->code =
	    json_is_integer(code) ? (int)(json_integer_value(code) & 255) : 255;
	(void)snprintf(p->exit, sizeof(p->exit), "exit %d", p->code);
}

/* The name of a job without the session that is not named. */
static const char *
label_of(const char *name)
{
	return strncmp(name, DEFAULT_SESSION, strlen(DEFAULT_SESSION)) == 0 ?
	    name + strlen(DEFAULT_SESSION) :
	    name;
}

int
process_read(json_t *json, struct process *p)
{
	const json_t *verifier;
	const json_t *uptime;
	long long id;
	long long pid;

	memset(p, 0, sizeof(*p));
	p->json = json;
	id = number_of(json, "id");
	p->name = string_of(json, "name");
	p->state = string_of(json, "state");
	if (id < 1 || id > UINT32_MAX || p->name == NULL ||
	    p->name[0] == '\0' || p->state == NULL)
		return -1;
	p->id = (uint32_t)id;
	p->label = label_of(p->name);
	pid = number_of(json, "pid");
	p->pid = pid > 0 && pid <= INT32_MAX ? (int32_t)pid : 0;
	p->generation = number_of(json, "generation");
	p->instance = number_of(json, "instance");
	p->restarts = number_of(json, "restarts");
	p->verified = json_is_true(json_object_get(json, "verified"));
	uptime = json_object_get(json, "uptime");
	p->uptime = json_is_number(uptime) && p->pid != 0 ?
	    json_number_value(uptime) :
	    -1;
	read_exit(json_object_get(json, "exit"), p);
	verifier = json_object_get(json, "verifier");
	p->kind = string_of(verifier, "kind");
	p->last = string_of(verifier, "last");
	if (p->last == NULL)
		p->last = "";
	p->waits = string_of(json, "waiting_for");
	if (p->waits != NULL)
		p->waits = label_of(p->waits);
	p->attempts = number_of(verifier, "attempts");
	p->elapsed_ms = number_of(verifier, "elapsed_ms");
	return 0;
}

int
processes_read(struct processes *all, json_t *document)
{
	json_t *array;
	size_t i;

	memset(all, 0, sizeof(*all));
	array = json_object_get(document, "processes");
	if (!json_is_array(array))
		return -1;
	all->n = json_array_size(array);
	all->list = xreallocarray(NULL, all->n + 1, sizeof(*all->list));
	for (i = 0; i < all->n; i++)
		if (process_read(json_array_get(array, i), &all->list[i]) ==
		    -1) {
			free(all->list);
			memset(all, 0, sizeof(*all));
			return -1;
		}
	all->document = document;
	return 0;
}

int
processes_get(struct processes *all, int loud)
{
	json_t *document;
	int code;

	document = get_object("/v1/processes", loud, &code);
	if (document == NULL)
		return code;
	if (processes_read(all, document) == 0)
		return CTL_OK;
	json_decref(document);
	return strange_answer(loud);
}

void
processes_free(struct processes *all)
{
	if (all->document != NULL)
		json_decref(all->document);
	free(all->list);
	memset(all, 0, sizeof(*all));
}

int
process_get(uint32_t id, double seconds, struct process *p, json_t **out)
{
	struct reply reply;
	char target[64];
	int code;

	*out = NULL;
	(void)snprintf(target, sizeof(target), "/v1/processes/%u", id);
	code = request(&reply, "GET", target, seconds, 0);
	if (code != CTL_OK)
		return code;
	code = reply.status == 404 ? CTL_UNKNOWN : CTL_FAILED;
	if (reply.status == 200 && process_read(reply.json, p) == 0) {
		*out = json_incref(reply.json);
		code = CTL_OK;
	}
	reply_free(&reply);
	return code;
}

/* ---- how it is
 * --------------------------------------------------------------- */

static int
is_in(const struct process *p, const char *state)
{
	return strcmp(p->state, state) == 0;
}

/* Its verifier is that it ends. */
static int
is_task(const struct process *p)
{
	return p->kind != NULL && strcasestr(p->kind, "exited") != NULL;
}

int
process_is_good(const struct process *p)
{
	return p->verified &&
	    (is_in(p, "running") || (is_in(p, "exited") && is_task(p)));
}

int
process_is_over(const struct process *p)
{
	return p->pid == 0 &&
	    (is_in(p, "exited") || is_in(p, "failed") || is_in(p, "stopped"));
}

enum status_code
process_lsb(const struct process *p)
{
	if (process_is_good(p))
		return LSB_OK;
	if (is_in(p, "failed") || is_in(p, "backoff") ||
	    (is_in(p, "exited") && p->code != 0))
		return LSB_DEAD;
	return LSB_NOT_RUNNING;
}

enum color
process_color(const struct process *p)
{
	if (process_is_good(p))
		return GREEN;
	if (is_in(p, "failed") || is_in(p, "backoff") ||
	    (is_in(p, "exited") && p->code != 0))
		return RED;
	if (is_in(p, "stopped") || is_in(p, "exited"))
		return DIM;
	return YELLOW;
}

char *
process_remark(const struct process *p)
{
	if (is_in(p, "waiting"))
		return p->waits == NULL ? xstrdup("waits for its turn") :
					  xasprintf("waits for %s", p->waits);
	if (is_in(p, "starting") && p->kind != NULL)
		return xasprintf("waiting: %s, try %lld",
		    p->last[0] == '\0' ? p->kind : p->last, p->attempts);
	if (p->pid == 0 && p->has_exit && !process_is_good(p))
		return p->last[0] == '\0' || p->verified ?
		    xstrdup(p->exit) :
		    xasprintf("%s, %s", p->exit, p->last);
	if (p->kind == NULL)
		return xstrdup("-");
	if (p->verified)
		return xasprintf(
		    "ok %s", p->last[0] == '\0' ? p->kind : p->last);
	return xstrdup(p->last[0] == '\0' ? p->kind : p->last);
}

/* ---- names
 * ------------------------------------------------------------------- */

static int
is_pattern(const char *name)
{
	return strpbrk(name, "*?[") != NULL;
}

/* id:3 as a number, 0: it is another name, -1: malformed. */
static long long
id_of(const char *name)
{
	const char *error;
	long long id;

	if (strncmp(name, "id:", 3) != 0)
		return 0;
	id = strtonum(name + 3, 1, UINT32_MAX, &error);
	if (error != NULL || name[3 + strspn(name + 3, "0123456789")] != '\0')
		return -1;
	return id;
}

/* Is the label, or the full name, the one that is given? */
static int
has_label(const struct processes *all, const char *name, int full)
{
	size_t i;

	for (i = 0; i < all->n; i++)
		if (strcmp(full ? all->list[i].name : all->list[i].label,
			name) == 0 &&
		    (full || all->list[i].label != all->list[i].name))
			return 1;
	return 0;
}

/* Marks what one name means; how many. */
static size_t
mark(const struct processes *all, const char *name, long long id, char *marks)
{
	const struct process *p;
	size_t found;
	size_t i;
	int label;
	int full;
	int match;

	/* The session `default` comes first. */
	label = id == 0 && has_label(all, name, 0);
	full = id == 0 && !label && has_label(all, name, 1);
	found = 0;
	for (i = 0; i < all->n; i++) {
		p = &all->list[i];
		if (id > 0)
			match = p->id == id;
		else if (label)
			match =
			    p->label != p->name && strcmp(p->label, name) == 0;
		else if (full)
			match = strcmp(p->name, name) == 0;
		else
			match = is_pattern(name) &&
			    (fnmatch(name, p->label, 0) == 0 ||
				fnmatch(name, p->name, 0) == 0);
		if (match) {
			marks[i] = 1;
			found++;
		}
	}
	return found;
}

static void
complain_unknown(const struct processes *all, const char *name)
{
	const char **labels;
	const char *meant;
	size_t i;

	labels = xreallocarray(NULL, all->n + 1, sizeof(*labels));
	for (i = 0; i < all->n; i++)
		labels[i] = all->list[i].label;
	meant = suggest(name, labels, all->n);
	if (meant != NULL)
		complain(
		    "%s: no such process (did you mean \"%s\"?)", name, meant);
	else
		complain("%s: no such process", name);
	free(labels);
}

int
processes_select(const struct processes *all, char **names, int nnames,
    struct process ***list, size_t *n)
{
	long long id;
	char *marks;
	size_t j;
	int i;
	int unknown;

	*n = 0;
	/* NOLINTNEXTLINE(bugprone-sizeof-expression) it is one of pointers */
	*list = xreallocarray(NULL, all->n + 1, sizeof(**list));
	marks = xreallocarray(NULL, all->n + 1, 1);
	memset(marks, nnames == 0, all->n + 1);
	unknown = 0;
	for (i = 0; i < nnames; i++) {
		id = id_of(names[i]);
		if (id == -1) {
			complain("%s: want id:NUMBER", names[i]);
			free(marks);
			return -1;
		}
		if (mark(all, names[i], id, marks) == 0) {
			complain_unknown(all, names[i]);
			unknown++;
		}
	}
	for (j = 0; j < all->n; j++)
		if (marks[j])
			(*list)[(*n)++] = &all->list[j];
	free(marks);
	return unknown;
}

char *
process_title(const struct process *p, const struct processes *all)
{
	size_t i;

	for (i = 0; i < all->n; i++)
		if (all->list[i].id != p->id &&
		    strcmp(all->list[i].label, p->label) == 0)
			return xasprintf("%s id:%u", p->label, p->id);
	return xstrdup(p->label);
}
