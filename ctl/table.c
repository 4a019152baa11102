#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ctl.h"

/*
 * Tables: columns as wide as their widest cell, two blanks between them, no
 * lines.  The last column is not padded.
 */

#define GAP 2

static const char *const codes[] = {
    [PLAIN] = "",
    [BOLD] = "\033[1m",
    [DIM] = "\033[2m",
    [RED] = "\033[31m",
    [GREEN] = "\033[32m",
    [YELLOW] = "\033[33m",
    [BLUE] = "\033[34m",
    [MAGENTA] = "\033[35m",
    [CYAN] = "\033[36m",
};

const char *
color_on(enum color c, int color)
{
	return color ? codes[c] : "";
}

const char *
color_off(enum color c, int color)
{
	return color && c != PLAIN ? "\033[0m" : "";
}

void
table_begin(struct table *t, const char *const *heads, size_t n)
{
	memset(t, 0, sizeof(*t));
	t->ncolumns = n > MAX_COLUMNS ? MAX_COLUMNS : n;
	memcpy(t->heads, heads, t->ncolumns * sizeof(*heads));
}

void
table_cell(struct table *t, enum color color, const char *format, ...)
{
	struct table_cell *cell;
	va_list ap;

	if (t->ncells == t->size) {
		t->size = t->size * 2 + 64;
		t->cells = xreallocarray(t->cells, t->size, sizeof(*t->cells));
	}
	cell = &t->cells[t->ncells++];
	va_start(ap, format);
	if (vasprintf(&cell->text, format, ap) == -1)
		cell->text = xstrdup("");
	va_end(ap);
	cell->width = text_width(cell->text);
	cell->color = color;
}

/*
 * One cell and the blanks behind it.  *left is what the line may still take;
 * a cell that does not fit is cut, and says so by its last column.
 */
static void
put_cell(FILE *to, const char *text, size_t width, size_t pad, size_t *left)
{
	if (width <= *left)
		*left -= text_put(to, text, *left);
	else if (*left > 0) {
		(void)text_put(to, text, *left - 1);
		(void)fputs(text_is_utf8() ? "…" : "~", to);
		*left = 0;
	}
	for (; pad > 0 && *left > 0; pad--, (*left)--)
		(void)fputc(' ', to);
}

static void
put_row(FILE *to, const struct table *t, size_t row, const size_t *widths,
    int columns, int color)
{
	const struct table_cell *cell;
	size_t i;
	size_t left;

	left = columns > 0 ? (size_t)columns : SIZE_MAX;
	for (i = 0; i < t->ncolumns && left > 0; i++) {
		cell = &t->cells[row * t->ncolumns + i];
		(void)fputs(color_on(cell->color, color), to);
		put_cell(to, cell->text, cell->width, 0, &left);
		(void)fputs(color_off(cell->color, color), to);
		if (i + 1 < t->ncolumns)
			put_cell(
			    to, "", 0, widths[i] - cell->width + GAP, &left);
	}
	(void)fputc('\n', to);
}

void
table_print(FILE *to, const struct table *t, int columns, int color)
{
	size_t widths[MAX_COLUMNS];
	size_t i;
	size_t left;
	size_t width;

	if (t->ncolumns == 0)
		return;
	for (i = 0; i < t->ncolumns; i++)
		widths[i] = text_width(t->heads[i]);
	for (i = 0; i < t->ncells; i++)
		if (t->cells[i].width > widths[i % t->ncolumns])
			widths[i % t->ncolumns] = t->cells[i].width;
	left = columns > 0 ? (size_t)columns : SIZE_MAX;
	for (i = 0; i < t->ncolumns && left > 0; i++) {
		width = text_width(t->heads[i]);
		put_cell(to, t->heads[i], width,
		    i + 1 < t->ncolumns ? widths[i] - width + GAP : 0, &left);
	}
	(void)fputc('\n', to);
	for (i = 0; i + t->ncolumns <= t->ncells; i += t->ncolumns)
		put_row(to, t, i / t->ncolumns, widths, columns, color);
}

void
table_free(struct table *t)
{
	size_t i;

	for (i = 0; i < t->ncells; i++)
		free(t->cells[i].text);
	free(t->cells);
	memset(t, 0, sizeof(*t));
}
