#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "ctl.h"

/*
 * What goes on while a verb waits, on standard error: on a terminal a block
 * that is drawn again in place, else a line or an object for each change.
 */

#define MAX_ROWS 12
#define MAX_LABEL 24

static enum progress_kind
kind_of(void)
{
	const char *term;

	if (options.progress != PROGRESS_AUTO)
		return options.progress;
	term = environment("TERM");
	if (options.quiet || options.json || !isatty(STDERR_FILENO) ||
	    term == NULL || strcmp(term, "dumb") == 0)
		return PROGRESS_QUIET;
	return PROGRESS_TTY;
}

void
progress_begin(struct progress *p, size_t n)
{
	memset(p, 0, sizeof(*p));
	p->kind = kind_of();
	p->began = monotonic();
	p->n = n;
	p->rows = xreallocarray(NULL, n + 1, sizeof(*p->rows));
	memset(p->rows, 0, (n + 1) * sizeof(*p->rows));
}

static void
print_change(const struct progress *p, const struct progress_row *row)
{
	json_t *json;

	if (p->kind == PROGRESS_PLAIN) {
		(void)text_put(stderr, row->label, SIZE_MAX);
		(void)fputs(": ", stderr);
		(void)text_put(stderr, row->word, SIZE_MAX);
		if (strcmp(row->detail, "-") != 0) {
			(void)fputs(": ", stderr);
			(void)text_put(stderr, row->detail, SIZE_MAX);
		}
		(void)fputc('\n', stderr);
	} else if (p->kind == PROGRESS_JSON) {
		json = json_pack("{s:s, s:s, s:s, s:f}", "name", row->label,
		    "state", row->word, "detail", row->detail, "seconds",
		    monotonic() - p->began);
		(void)json_dumpf(json, stderr,
		    JSON_COMPACT | JSON_ENSURE_ASCII | JSON_REAL_PRECISION(12));
		(void)fputc('\n', stderr);
		json_decref(json);
	}
}

void
progress_change(struct progress *p, size_t i, const struct process *process)
{
	struct progress_row *row;
	const char *word;
	char *detail;
	int changed;

	row = &p->rows[i];
	word = process_is_good(process) ? "verified" : process->state;
	detail = process_remark(process);
	changed = row->word == NULL || strcmp(row->word, word) != 0 ||
	    strcmp(row->detail, detail) != 0;
	free(row->word);
	free(row->detail);
	row->word = xstrdup(word);
	row->detail = detail;
	if (changed)
		print_change(p, row);
}

void
progress_done(struct progress *p, size_t i, int good)
{
	p->rows[i].until = monotonic();
	p->rows[i].good = good;
}

/* ---- a terminal
 * -------------------------------------------------------------------- */

static void
put_row(const struct progress *p, const struct progress_row *row, size_t width,
    int columns)
{
	static const char *const wheel[] = {
	    "⠋", "⠙", "⠹", "⠸", "⠼", "⠴", "⠦", "⠧"};
	const char *mark;
	char buf[AGE_SIZE];
	char *text;
	double until;
	size_t left;

	/* A mark, the label and the blanks between them. */
	left = width + 5;
	left = (size_t)columns > left ? (size_t)columns - left : 0;
	until = row->until != 0 ? row->until : monotonic();
	mark = row->until != 0 ? (row->good ? "✔" : "✘") :
	    row->since != 0    ? wheel[p->turn % 8] :
				 "·";
	if (!text_is_utf8())
		mark = row->until == 0 ? "." : row->good ? "+" : "!";
	text = xasprintf("%-9s %s  %s", row->word == NULL ? "" : row->word,
	    row->detail == NULL ? "" : row->detail,
	    row->since == 0 ? "" : elapsed(until - row->since, buf));
	(void)fprintf(stderr, " %s ", mark);
	for (width -= text_put(stderr, row->label, width); width > 0; width--)
		(void)fputc(' ', stderr);
	(void)fputs("  ", stderr);
	(void)text_put(stderr, text, left);
	(void)fputs("\033[K\n", stderr);
	free(text);
}

void
progress_clear(struct progress *p)
{
	if (p->drawn > 0)
		(void)fprintf(stderr, "\033[%zuA\033[J", p->drawn);
	(void)fflush(stderr);
	p->drawn = 0;
}

void
progress_draw(struct progress *p)
{
	size_t done;
	size_t first;
	size_t i;
	size_t width;
	size_t w;
	double seconds;
	int columns;

	if (p->kind != PROGRESS_TTY)
		return;
	columns = terminal_columns(STDERR_FILENO);
	done = 0;
	width = 0;
	for (i = 0; i < p->n; i++) {
		done += p->rows[i].until != 0;
		w = text_width(p->rows[i].label);
		if (w > width)
			width = w > MAX_LABEL ? MAX_LABEL : w;
	}
	first = p->n <= MAX_ROWS || done < 2 ? 0 :
	    done - 2 > p->n - MAX_ROWS       ? p->n - MAX_ROWS :
					       done - 2;
	if (p->drawn > 0)
		(void)fprintf(stderr, "\033[%zuA", p->drawn);
	seconds = monotonic() - p->began;
	(void)fprintf(stderr, "[+] %zu/%zu done  %02d:%04.1f\033[K\n", done,
	    p->n, (int)(seconds / 60), seconds - (int)(seconds / 60) * 60);
	p->drawn = 1;
	for (i = first; i < p->n && i < first + MAX_ROWS; i++, p->drawn++)
		put_row(p, &p->rows[i], width, columns);
	(void)fflush(stderr);
	p->turn++;
}

void
progress_end(struct progress *p)
{
	size_t i;

	progress_clear(p);
	for (i = 0; i < p->n; i++) {
		free(p->rows[i].word);
		free(p->rows[i].detail);
	}
	free(p->rows);
	p->rows = NULL;
}
