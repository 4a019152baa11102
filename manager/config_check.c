#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../common/message.h"
#include "../common/suggest.h"
#include "config_table.h"
#include "snapshot.h"

/*
 * What concerns several jobs: names, the order that `after` makes, how much
 * of all there may be, and what they do to each other.
 */

#define OWN_ENTRIES 8 /* of musterd itself: listeners, log file, -x */

static int
by_name(const void *a, const void *b)
{
	const struct job_config *const *x = a;
	const struct job_config *const *y = b;

	return strcmp((*x)->name, (*y)->name);
}

#define NOBODY SIZE_MAX /* index of a job that is not there */

static void
problem(struct loader *l, const struct position *at, const char *job,
    const char *text)
{
	config_problem_add(
	    l->report, 1, EXIT_SETUP, at, "processes.%s: %s", job, text);
}

static void
after_problem(
    struct loader *l, const struct after *a, const char *job, const char *text)
{
	config_problem_add(l->report, 1, EXIT_SETUP, &a->at,
	    "processes.%s.after: %s", job, text);
}

/* Fills the index of each `after`. */
static void
resolve(struct loader *l, struct job_config *const *sorted,
    const char *const *names)
{
	const struct job_config *const *found;
	struct job_config key;
	const struct job_config *keyp;
	struct job_config *c;
	struct after *a;
	const char *best;
	char text[256];
	size_t i;
	size_t j;

	for (i = 0; i < l->config->njobs; i++) {
		c = l->config->jobs[i];
		for (j = 0; j < c->nafter; j++) {
			a = &c->after[j];
			key.name = strncmp(a->job, "default.", 8) == 0 ?
			    a->job + 8 :
			    a->job;
			keyp = &key;
			found = bsearch(&keyp, sorted, l->config->njobs,
			    sizeof(struct job_config *), by_name);
			if (found != NULL) {
				a->index = (size_t)(*found)->entry;
				continue;
			}
			a->index = NOBODY;
			best = config_errors_are_full(l) ?
			    NULL :
			    suggest(a->job, names, l->config->njobs);
			(void)snprintf(text, sizeof(text),
			    "no job \"%.64s\"%s%.64s%s", a->job,
			    best == NULL ? "" : " (did you mean \"",
			    best == NULL ? "" : best,
			    best == NULL ? "" : "\"?)");
			after_problem(l, a, c->name, text);
		}
	}
}

/* ---- cycles --------------------------------------------------------- */

#define WHITE 0
#define GREY 1
#define BLACK 2

struct visit {
	size_t job;
	size_t next; /* of its `after` */
};

static void
print_cycle(
    struct loader *l, const struct visit *stack, size_t depth, size_t again)
{
	const struct job_config *first;
	const char *to;
	char text[400];
	size_t i;
	size_t n;

	for (i = 0; stack[i].job != again; i++)
		;
	first = l->config->jobs[again];
	to = i + 1 < depth ? l->config->jobs[stack[i + 1].job]->name :
			     first->name;
	n = (size_t)snprintf(
	    text, sizeof(text), "a cycle: %.64s -> %.64s", first->name, to);
	for (i += 2; i <= depth && n < sizeof(text) - 160; i++)
		n += (size_t)snprintf(text + n, sizeof(text) - n, " -> %.64s",
		    i < depth ? l->config->jobs[stack[i].job]->name :
				first->name);
	if (i <= depth)
		(void)snprintf(text + n, sizeof(text) - n, " -> ... -> %.64s",
		    first->name);
	for (i = 0; stack[i].job != again; i++)
		;
	after_problem(l, &first->after[stack[i].next - 1], first->name, text);
}

/*
 * Depth first, without recursion.  Of what leads back into the path each is
 * reported, and then passed over, so that further cycles are found as well.
 */
static void
find_cycles(
    struct loader *l, unsigned char *colour, struct visit *stack, size_t start)
{
	const struct job_config *c;
	size_t depth;
	size_t to;

	depth = 1;
	stack[0].job = start;
	stack[0].next = 0;
	colour[start] = GREY;
	while (depth > 0 && !config_errors_are_full(l)) {
		c = l->config->jobs[stack[depth - 1].job];
		if (stack[depth - 1].next == c->nafter) {
			colour[stack[--depth].job] = BLACK;
			continue;
		}
		to = c->after[stack[depth - 1].next++].index;
		if (to == NOBODY || colour[to] == BLACK)
			continue;
		if (colour[to] == GREY) {
			print_cycle(l, stack, depth, to);
			continue;
		}
		colour[to] = GREY;
		stack[depth].job = to;
		stack[depth++].next = 0;
	}
}

static void
check_cycles(struct loader *l)
{
	unsigned char *colour;
	struct visit *stack;
	size_t i;

	colour = config_alloc(l->config, l->config->njobs + 1);
	stack =
	    config_alloc(l->config, (l->config->njobs + 1) * sizeof(*stack));
	for (i = 0; i < l->config->njobs && !config_errors_are_full(l); i++)
		if (colour[i] == WHITE)
			find_cycles(l, colour, stack, i);
}

/* ---- what the parent takes ------------------------------------------ */

#define SEGMENT_SIZE 16 /* of a word or segment, beside its text */
#define SPEC_SIZE (64UL * 1024) /* of all but words and variables, at most */

static size_t
words_size(const struct words *words)
{
	const struct segments *segments;
	size_t i;
	size_t n;
	size_t size;

	size = 0;
	for (i = 0; i < words->count; i++) {
		segments = words->list[i].segments;
		n = segments == NULL ? 1 : segments->count;
		size += strlen(words->list[i].source) + (n + 1) * SEGMENT_SIZE;
	}
	return size;
}

/* The entries of a job in the parent's table; reports one too large. */
static size_t
check_entries(struct loader *l, const struct job_config *c)
{
	const struct verify_config *v;
	size_t environment;
	size_t i;
	size_t n;

	n = 1;
	n += c->out.mode == OUTPUT_FILE;
	n += c->err.mode == OUTPUT_FILE;
	environment = words_size(&c->environment);
	if (words_size(&c->words) + environment > MAX_ENTRY_SIZE - SPEC_SIZE)
		problem(l, &c->at, c->name,
		    "command and environment are larger than 960 KiB");
	for (i = 0; i < c->nverifiers; i++) {
		v = &c->verifiers[i];
		n += v->kind != VERIFY_EXITED && v->kind != VERIFY_TCP &&
		    (v->kind != VERIFY_HTTP || v->unix_path != NULL);
		if (words_size(&v->command) + environment >
		    MAX_ENTRY_SIZE - SPEC_SIZE)
			problem(l, &v->at, c->name,
			    "verify: command and environment are larger than "
			    "960 KiB");
		/* Its words are those of the job and its own arguments. */
		if (v->kind == VERIFY_CUSTOM && v->arguments != NULL &&
		    words_size(&c->words) + strlen(v->arguments) + environment >
			MAX_ENTRY_SIZE - SPEC_SIZE)
			problem(l, &v->at, c->name,
			    "verifier: command, arguments and environment are "
			    "larger than 960 KiB");
	}
	return n;
}

/* How many processes and entries a configuration may have in all. */
static void
check_totals(struct loader *l)
{
	const struct job_config *c;
	char text[128];
	size_t entries;
	size_t i;
	size_t processes;

	entries = OWN_ENTRIES;
	processes = 0;
	for (i = 0; i < l->config->njobs && l->report->errors == 0; i++) {
		c = l->config->jobs[i];
		entries += check_entries(l, c);
		processes += c->instances;
		text[0] = '\0';
		/* One more is the command of -x. */
		if (processes >= MAX_PROCESSES - 1)
			(void)snprintf(text, sizeof(text),
			    "instances: more than %d processes in all",
			    MAX_PROCESSES - 2);
		else if (entries > MAX_ENTRIES)
			(void)snprintf(text, sizeof(text),
			    "more than %d commands, files and sockets in all",
			    MAX_ENTRIES - OWN_ENTRIES);
		if (text[0] != '\0')
			problem(l, &c->at, c->name, text);
	}
}

/* ---- what is hardly meant ---------------------------------------------- */

/* A log file of a job. */
struct log_user {
	const struct job_config *job;
	const struct output_config *output;
};

static int
by_path(const void *a, const void *b)
{
	const struct log_user *x = a;
	const struct log_user *y = b;
	int n;

	n = strcmp(x->output->path, y->output->path);
	if (n != 0)
		return n;
	return x->job->entry < y->job->entry ? -1 :
					       x->job->entry > y->job->entry;
}

static void
add_user(struct log_user *list, size_t *n, const struct job_config *job,
    const struct output_config *output)
{
	if (output->mode != OUTPUT_FILE ||
	    strncmp(output->path, "/dev/", 5) == 0)
		return;
	list[*n].job = job;
	list[(*n)++].output = output;
}

/*
 * The path without "//", "/." and "/..", as far as that can be told without
 * looking at files.
 */
static const char *
plain_path(struct loader *l, const char *path)
{
	char *plain;
	size_t len;
	size_t n;

	plain = config_alloc(l->config, strlen(path) + 2);
	n = 0;
	for (; *path != '\0'; path += len) {
		path += strspn(path, "/");
		len = strcspn(path, "/");
		if (len == 2 && strncmp(path, "..", 2) == 0) {
			while (n > 0 && plain[--n] != '/')
				;
			continue;
		}
		if (len == 0 || (len == 1 && path[0] == '.'))
			continue;
		plain[n++] = '/';
		memcpy(plain + n, path, len);
		n += len;
	}
	plain[n] = '\0';
	return plain;
}

/* Is it one of the files that the configuration was read from? */
static int
is_own_file(struct loader *l, const struct strings *own, const char *path)
{
	size_t i;

	path = plain_path(l, path);
	for (i = 0; i < own->count; i++)
		if (strcmp(path, own->list[i]) == 0)
			return 1;
	return 0;
}

static void
check_output(struct loader *l, const struct strings *own,
    const struct job_config *c, const struct output_config *o)
{
	if (o->mode == OUTPUT_FILE && is_own_file(l, own, o->path))
		config_problem_add(l->report, 1, EXIT_SETUP, &o->at,
		    "processes.%s: its output file is the configuration",
		    c->name);
}

/* What is written to is emptied first. */
static void
check_own_files(struct loader *l)
{
	const char *path;
	struct strings own;
	size_t i;

	own.list = config_alloc(
	    l->config, (l->included.count + 1) * sizeof(*own.list));
	own.count = 0;
	path = l->snapshot->path;
	if (path[0] != '/')
		path = config_printf(
		    l->config, "%s/%s", l->snapshot->directory, path);
	own.list[own.count++] = plain_path(l, path);
	for (i = 0; i < l->included.count; i++)
		own.list[own.count++] = plain_path(l, l->included.list[i]);
	path = l->config->logfile;
	if (path != NULL && is_own_file(l, &own, path))
		config_problem_add(l->report, 1, EXIT_SETUP,
		    &l->config->logfile_at,
		    "logfile: this is the configuration");
	for (i = 0; i < l->config->njobs; i++) {
		check_output(
		    l, &own, l->config->jobs[i], &l->config->jobs[i]->out);
		check_output(
		    l, &own, l->config->jobs[i], &l->config->jobs[i]->err);
	}
}

static int
is_emptied(const struct output_config *o)
{
	return o->mode == OUTPUT_FILE && !o->append &&
	    strncmp(o->path, "/dev/", 5) != 0;
}

/* The same among the instances of one job. */
static void
check_own_log_files(struct loader *l, const struct job_config *c)
{
	if (c->instances > 1 && (is_emptied(&c->out) || is_emptied(&c->err)))
		config_problem_add(l->report, l->strict, EXIT_SETUP, &c->at,
		    "processes.%s: its output file is that of all its %u "
		    "instances, and is emptied at each start without append",
		    c->name, c->instances);
}

/* Who starts later takes away what the other one has written. */
static void
check_log_files(struct loader *l)
{
	const struct log_user *other;
	const struct log_user *u;
	struct log_user *list;
	size_t i;
	size_t n;

	list =
	    config_alloc(l->config, (2 * l->config->njobs + 1) * sizeof(*list));
	n = 0;
	for (i = 0; i < l->config->njobs; i++) {
		add_user(
		    list, &n, l->config->jobs[i], &l->config->jobs[i]->out);
		add_user(
		    list, &n, l->config->jobs[i], &l->config->jobs[i]->err);
		check_own_log_files(l, l->config->jobs[i]);
	}
	qsort(list, n, sizeof(*list), by_path);
	for (i = 1; i < n; i++) {
		other = &list[i - 1];
		u = &list[i];
		if (u->job != other->job &&
		    strcmp(u->output->path, other->output->path) == 0 &&
		    !(u->output->append && other->output->append))
			config_problem_add(l->report, l->strict, EXIT_SETUP,
			    &u->job->at,
			    "processes.%s: its output file is also that of "
			    "%s, and is emptied at each start without append",
			    u->job->name, other->job->name);
	}
}

static void
check_ends(struct loader *l)
{
	const struct job_config *c;
	const struct job_config *other;
	const struct after *a;
	size_t i;
	size_t j;

	for (i = 0; i < l->config->njobs; i++) {
		c = l->config->jobs[i];
		for (j = 0; j < c->nafter; j++) {
			a = &c->after[j];
			other = l->config->jobs[a->index];
			if (a->condition == AFTER_EXITED &&
			    other->restart == RESTART_ALWAYS &&
			    other->limit_count == 0)
				config_problem_add(l->report, l->strict,
				    EXIT_SETUP, &a->at,
				    "processes.%s.after: %s has \"restart: "
				    "always\" and is never over",
				    c->name, other->name);
		}
	}
}

void
config_check_jobs(struct loader *l)
{
	struct job_config **sorted;
	const char **names;
	size_t i;
	size_t n;

	n = l->config->njobs;
	sorted = config_alloc(l->config, (n + 1) * sizeof(struct job_config *));
	names = config_alloc(l->config, (n + 1) * sizeof(char *));
	for (i = 0; i < n; i++) {
		sorted[i] = l->config->jobs[i];
		names[i] = sorted[i]->name;
		/* Until staging, the place in the file. */
		sorted[i]->entry = (uint32_t)i;
	}
	qsort(sorted, n, sizeof(struct job_config *), by_name);
	for (i = 1; i < n; i++)
		if (strcmp(sorted[i - 1]->name, sorted[i]->name) == 0)
			problem(l, &sorted[i]->at, sorted[i]->name,
			    "the name is given twice");
	resolve(l, sorted, names);
	if (l->config->graph)
		check_cycles(l);
	check_own_files(l);
	if (l->report->errors == 0)
		check_totals(l);
	if (l->report->errors > 0)
		return;
	check_log_files(l);
	check_ends(l);
}
