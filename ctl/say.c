#include <sys/ioctl.h>

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <bsd/stdlib.h>

#include "ctl.h"

/* Messages, results, and what the terminal can do. */

struct terminal terminal;

const char *
environment(const char *name)
{
	/* NOLINTNEXTLINE(concurrency-mt-unsafe) there are no threads */
	return getenv(name);
}

const char *
reason(int error)
{
	/* NOLINTNEXTLINE(concurrency-mt-unsafe) there are no threads */
	return strerror(error);
}

double
monotonic(void)
{
	struct timespec ts;

	(void)clock_gettime(CLOCK_MONOTONIC, &ts);
	return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

int
terminal_columns(int fd)
{
	struct winsize size;
	const char *error;
	const char *text;
	int n;

	if (!isatty(fd))
		return 0;
	if (ioctl(fd, TIOCGWINSZ, &size) == 0 && size.ws_col > 0)
		return size.ws_col;
	text = environment("COLUMNS");
	error = "";
	n = text == NULL ? 0 : (int)strtonum(text, 1, 10000, &error);
	return error == NULL ? n : 80;
}

static int
is_set(const char *name)
{
	const char *value;

	value = environment(name);
	return value != NULL && value[0] != '\0';
}

/* https://no-color.org, and CLICOLOR_FORCE as in ls(1) of the BSDs. */
static int
wants_color(void)
{
	const char *term;

	if (options.color != COLOR_AUTO)
		return options.color == COLOR_ALWAYS;
	if (is_set("CLICOLOR_FORCE") &&
	    strcmp(environment("CLICOLOR_FORCE"), "0") != 0)
		return 1;
	term = environment("TERM");
	return terminal.columns > 0 && !is_set("NO_COLOR") && term != NULL &&
	    strcmp(term, "dumb") != 0;
}

void
terminal_init(void)
{
	terminal.columns = terminal_columns(STDOUT_FILENO);
	terminal.color = wants_color();
}

/* Each line of text with what stands in front of it. */
static void
put_lines(FILE *to, const char *front, char *text)
{
	char *line;

	while ((line = strsep(&text, "\n")) != NULL) {
		if (line[0] == '\0' && text == NULL)
			break;
		(void)fputs(front, to);
		(void)text_put(to, line, SIZE_MAX);
		(void)fputc('\n', to);
	}
}

__attribute__((format(printf, 3, 0))) static void
say(FILE *to, const char *front, const char *format, va_list ap)
{
	char *text;

	if (vasprintf(&text, format, ap) == -1)
		return;
	put_lines(to, front, text);
	free(text);
}

/* The first error is the one that is told: later ones say less. */
static int write_error;

int
output_error(void)
{
	errno = 0;
	if ((fflush(stdout) == EOF || ferror(stdout)) && write_error == 0)
		write_error = errno == 0 ? EIO : errno;
	return write_error;
}

void
complain(const char *format, ...)
{
	va_list ap;

	(void)output_error();
	va_start(ap, format);
	say(stderr, "musterctl: ", format, ap);
	va_end(ap);
}

void
note(const char *format, ...)
{
	va_list ap;

	if (options.quiet)
		return;
	(void)output_error();
	va_start(ap, format);
	say(stderr, "musterctl: ", format, ap);
	va_end(ap);
}

void
result(const char *format, ...)
{
	va_list ap;

	if (options.quiet)
		return;
	va_start(ap, format);
	say(stdout, "", format, ap);
	va_end(ap);
	(void)output_error();
}

void
print_json(json_t *json)
{
	/* ASCII: no byte of it can mean anything to a terminal. */
	(void)json_dumpf(json, stdout,
	    JSON_INDENT(2) | JSON_ENSURE_ASCII | JSON_REAL_PRECISION(12));
	(void)fputc('\n', stdout);
	json_decref(json);
}
