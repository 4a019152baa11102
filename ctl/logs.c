#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ctl.h"

/* logs: what processes have written, and write. */

#define FOLLOWED_LINES 10

struct feeds {
	struct feed *list;
	size_t n;
	size_t processes; /* that they are of */
};

static void
feeds_free(struct feeds *feeds)
{
	size_t i;

	for (i = 0; i < feeds->n; i++)
		feed_free(&feeds->list[i]);
	free(feeds->list);
	memset(feeds, 0, sizeof(*feeds));
}

/* Where it begins: at an offset, or lines before the end. */
static void
set_begin(struct feed *f, const json_t *stream, int anew)
{
	const json_t *offset;
	long long lines;

	lines = options.lines;
	if (lines == LINES_DEFAULT)
		lines = options.follow ? FOLLOWED_LINES : LINES_ALL;
	if (anew || lines == LINES_ALL)
		return;
	f->lines = lines;
	if (lines > 0)
		return;
	offset = json_object_get(stream, "offset");
	if (json_is_integer(offset) && json_integer_value(offset) > 0)
		f->next = (uint64_t)json_integer_value(offset);
}

static void
add_process(struct feeds *feeds, const struct process *p, int anew, int named)
{
	const json_t *streams;
	const char *name;
	struct feed *f;
	size_t i;
	size_t n;
	int found;

	streams = json_object_get(p->json, "streams");
	n = json_array_size(streams);
	found = 0;
	for (i = 0; i < n && found < 2; i++) {
		name = stream_name(json_array_get(streams, i));
		if (name == NULL ||
		    (options.only_stderr && strcmp(name, "stderr") != 0))
			continue;
		feeds->list = xreallocarray(
		    feeds->list, feeds->n + 1, sizeof(*feeds->list));
		f = &feeds->list[feeds->n++];
		memset(f, 0, sizeof(*f));
		f->process = p;
		f->stream = name;
		f->printer.to_terminal = terminal.columns > 0;
		set_begin(f, json_array_get(streams, i), anew);
		found++;
	}
	feeds->processes += found > 0;
	if (found == 0 && named)
		note(options.only_stderr && n > 0 ?
			"%s: its standard error is joined to standard output" :
			"%s: its output is not kept",
		    p->label);
}

/* Names in front of the lines, padded to the same width. */
static void
set_prefixes(struct feeds *feeds, const struct processes *all)
{
	static const enum color colors[] = {CYAN, YELLOW, GREEN, MAGENTA, BLUE};
	const struct process *p;
	struct feed *f;
	size_t i;
	size_t pad;
	size_t width;

	if (feeds->processes < 2)
		return;
	pad = 0;
	for (i = 0; i < feeds->n; i++) {
		f = &feeds->list[i];
		p = f->process;
		f->label = process_title(p, all);
		f->printer.prefix = f->label;
		f->printer.color =
		    colors[p->id % (sizeof(colors) / sizeof(*colors))];
		width = text_width(f->label);
		if (width > pad)
			pad = width;
	}
	for (i = 0; i < feeds->n; i++)
		feeds->list[i].printer.pad = pad;
}

static int
read_all(struct feeds *feeds)
{
	size_t i;
	int code;

	if (options.lines == 0)
		return CTL_OK;
	code = CTL_OK;
	for (i = 0; i < feeds->n && code == CTL_OK; i++)
		code = feed_read(&feeds->list[i]);
	return code;
}

/* One look at the processes, and their output; -1: anew. */
static int
show(const struct processes *all, char **names, int nnames, const char *boot,
    int anew)
{
	struct process **list;
	struct feeds feeds;
	size_t i;
	size_t n;
	int code;

	code = processes_select(all, names, nnames, &list, &n);
	if (code != 0) {
		free(list);
		return code == -1 ? CTL_USAGE : CTL_UNKNOWN;
	}
	memset(&feeds, 0, sizeof(feeds));
	for (i = 0; i < n; i++)
		add_process(&feeds, list[i], anew, nnames > 0);
	set_prefixes(&feeds, all);
	if (feeds.n == 0) {
		if (nnames == 0)
			note("there is no process whose output is kept");
		code = CTL_FAILED;
	} else if (boot == NULL)
		code = read_all(&feeds);
	else if (feeds.n > MAX_FOLLOWED) {
		complain("%zu streams are too many to follow (at most %d)",
		    feeds.n, MAX_FOLLOWED);
		code = CTL_FAILED;
	} else
		code = feeds_follow(feeds.list, feeds.n, boot);
	feeds_free(&feeds);
	free(list);
	return code;
}

int
verb_logs(int argc, char **argv)
{
	struct processes all;
	char *boot;
	int anew;
	int code;

	code = locate(1);
	if (code != CTL_OK)
		return code;
	for (anew = 0;; anew = 1) {
		boot = NULL;
		/* First: what is listed is then of it, or of a later one. */
		if (options.follow && (boot = boot_get(1, &code)) == NULL)
			return code;
		code = processes_get(&all, 1);
		if (code == CTL_OK) {
			code = show(&all, argv, argc, boot, anew);
			processes_free(&all);
		}
		free(boot);
		if (code != -1)
			return code;
		note("another musterd has taken its place");
	}
}
