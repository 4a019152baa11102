#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "config_table.h"

/* What concerns several jobs: names, and the order that `after` makes. */

static int
by_name(const void *a, const void *b)
{
	const struct job_config *const *x = a;
	const struct job_config *const *y = b;

	return strcmp((*x)->name, (*y)->name);
}

static void
problem(struct loader *l, const struct position *at, const char *job,
    const char *text)
{
	config_problem_add(
	    l->report, 1, EXIT_SETUP, at, "processes.%s: %s", job, text);
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
			best = suggest(a->job, names, l->config->njobs);
			(void)snprintf(text, sizeof(text),
			    "after: no job \"%.64s\"%s%.64s%s", a->job,
			    best == NULL ? "" : " (did you mean \"",
			    best == NULL ? "" : best,
			    best == NULL ? "" : "\"?)");
			problem(l, &a->at, c->name, text);
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
	char text[400];
	size_t i;
	size_t n;

	for (i = 0; stack[i].job != again; i++)
		;
	first = l->config->jobs[again];
	n = (size_t)snprintf(text, sizeof(text), "after: a cycle: ");
	for (; i < depth && n < sizeof(text) - 80; i++)
		n += (size_t)snprintf(text + n, sizeof(text) - n, "%.64s -> ",
		    l->config->jobs[stack[i].job]->name);
	(void)snprintf(text + n, sizeof(text) - n, "%.64s", first->name);
	problem(l, &first->after[0].at, first->name, text);
}

/* Depth first, without recursion; reports the first cycle of each start. */
static void
find_cycle(
    struct loader *l, unsigned char *colour, struct visit *stack, size_t start)
{
	const struct job_config *c;
	size_t depth;
	size_t to;

	depth = 1;
	stack[0].job = start;
	stack[0].next = 0;
	colour[start] = GREY;
	while (depth > 0) {
		c = l->config->jobs[stack[depth - 1].job];
		if (stack[depth - 1].next == c->nafter) {
			colour[stack[--depth].job] = BLACK;
			continue;
		}
		to = c->after[stack[depth - 1].next++].index;
		if (colour[to] == GREY) {
			print_cycle(l, stack, depth, to);
			return;
		}
		if (colour[to] == BLACK)
			continue;
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
	for (i = 0; i < l->config->njobs && l->report->errors == 0; i++)
		if (colour[i] == WHITE)
			find_cycle(l, colour, stack, i);
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
	if (l->report->errors == 0 && l->config->graph)
		check_cycles(l);
}
