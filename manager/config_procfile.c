#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "config_table.h"

/*
 * A Procfile has one "NAME: COMMAND" a line, each run by a shell, and
 * comments.  It is written anew as YAML, line by line, so that all that is
 * known of documents (UTF-8, limits, positions) holds for it, too.
 */

struct output {
	char *text;
	size_t len;
	size_t room;
};

static void
put(struct output *out, const char *text, size_t len)
{
	char *bigger;

	if (len > out->room - out->len) {
		out->room = out->room * 2 + len + 4096;
		bigger = realloc(out->text, out->room);
		if (bigger == NULL)
			abort();
		out->text = bigger;
	}
	memcpy(out->text + out->len, text, len);
	out->len += len;
}

static void
put_string(struct output *out, const char *text)
{
	put(out, text, strlen(text));
}

/* In double quotes; a tab is the only control character that YAML takes. */
static void
put_quoted(struct output *out, const char *text, size_t len)
{
	size_t i;

	put(out, "\"", 1);
	for (i = 0; i < len; i++) {
		if (text[i] == '"' || text[i] == '\\')
			put(out, "\\", 1);
		put(out, &text[i], 1);
	}
	put(out, "\"", 1);
}

static size_t
blanks(const char *text, size_t len)
{
	size_t i;

	for (i = 0; i < len && (text[i] == ' ' || text[i] == '\t'); i++)
		;
	return i;
}

/* One line, without its end; 0, or -1 if it is no process. */
static int
put_line(struct output *out, const char *line, size_t len)
{
	const char *colon;
	size_t name;
	size_t skip;

	skip = blanks(line, len);
	line += skip;
	len -= skip;
	while (len > 0 && strchr(" \t\r", line[len - 1]) != NULL)
		len--;
	if (len == 0 || line[0] == '#')
		return 0;
	colon = memchr(line, ':', len);
	if (colon == NULL || colon == line)
		return -1;
	name = (size_t)(colon - line);
	while (name > 0 && blanks(&line[name - 1], 1) > 0)
		name--;
	put_quoted(out, line, name);
	len -= (size_t)(colon + 1 - line);
	skip = blanks(colon + 1, len);
	put_string(out, ": {shell: true, prefix: true, command: ");
	put_quoted(out, colon + 1 + skip, len - skip);
	put_string(out, "},");
	return 0;
}

int
config_is_procfile(const char *path)
{
	const char *base;

	base = strrchr(path, '/');
	base = base == NULL ? path : base + 1;
	return strncmp(base, "Procfile", 8) == 0 &&
	    (base[8] == '\0' || base[8] == '.');
}

struct doc *
config_procfile(const void *bytes, size_t len, struct doc_error *error)
{
	struct output out = {NULL, 0, 0};
	const char *end;
	const char *line;
	struct doc *doc;
	unsigned int number;
	size_t n;

	put_string(&out, "{processes: {");
	line = bytes;
	for (number = 1; len > 0; number++) {
		end = memchr(line, '\n', len);
		n = end == NULL ? len : (size_t)(end - line);
		if (put_line(&out, line, n) == -1) {
			memset(error, 0, sizeof(*error));
			error->line = number;
			error->column = 1;
			(void)snprintf(error->message, sizeof(error->message),
			    "want NAME: COMMAND");
			free(out.text);
			return NULL;
		}
		n += end != NULL;
		put(&out, "\n", 1);
		line += n;
		len -= n;
	}
	put_string(&out, "}}\n");
	doc = doc_parse(NULL, out.text, out.len, DOC_YAML, error);
	free(out.text);
	/* Lines are those of the file, columns are not. */
	if (doc == NULL)
		error->column = 1;
	return doc;
}
