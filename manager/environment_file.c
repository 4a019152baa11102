#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../common/log.h"
#include "manager.h"

/*
 * The script that a shell of the job's user runs in front of the program: it
 * sources the environment file and becomes muster-exec, which changes the
 * directory and executes the program.
 *
 * Names stand in it as text, not in variables: the file and the program see
 * all of the environment, and any of its names could be ours.  The file is
 * sourced in a function, where its positional parameters are not those that
 * the exec needs.  A file that cannot be read, and one that ends its shell
 * (exit, set -e, a mistake of syntax), gets no further than the trap, which
 * has muster-exec say so: dash would exit and bash would go on.
 */

/* What makes a shell see more in a name than a name. */
#define SPECIAL "$`~'\"\\*?[{;&|<>()# \t\n"

static void
quote(FILE *f, const char *s)
{
	(void)fputc('\'', f);
	for (; *s != '\0'; s++)
		if (*s == '\'')
			(void)fputs("'\\''", f);
		else
			(void)fputc(*s, f);
	(void)fputc('\'', f);
}

/* exec MUSTER-EXEC -e FILE, as the word of the trap. */
static void
put_trap(FILE *f, const char *program, const char *path)
{
	char *text;
	size_t size;
	FILE *inner;

	text = NULL;
	inner = open_memstream(&text, &size);
	if (inner == NULL)
		fatal("open_memstream");
	(void)fputs("exec ", inner);
	quote(inner, program);
	(void)fputs(" -e ", inner);
	quote(inner, path);
	(void)fputc(' ', inner);
	if (fclose(inner) == EOF)
		fatal("open_memstream");
	(void)fputs("trap ", f);
	quote(f, text);
	/* The descriptor to report on: "$1" as it is now. */
	(void)fputs("\"$1\" EXIT; ", f);
	free(text);
}

static void
put_source(FILE *f, const char *path)
{
	(void)fputs("if [ -r ", f);
	quote(f, path);
	(void)fputs(" ] && [ ! -d ", f);
	quote(f, path);
	(void)fputs(" ]; then . ", f);
	quote(f, path);
	(void)fputs("; else ", f);
}

/*
 * The name as pymanager gave it to the shell, without quotes: "$HOME/env",
 * "~/env".  Only where there is no file of just this name.
 */
static void
put_expanded(FILE *f, const char *name)
{
	char *text;

	if (strpbrk(name, SPECIAL) == NULL) {
		(void)fputs("exit 127", f);
		return;
	}
	if (asprintf(&text, "m %s", name) == -1)
		fatal("asprintf");
	(void)fputs("eval ", f);
	quote(f, text);
	/* bash goes on after a mistake of syntax in the name. */
	(void)fputs("; [ $? -eq 0 ] || exit 127", f);
	free(text);
}

char *
environment_file_script(const char *name, const char *program)
{
	char *path;
	char *text;
	size_t size;
	FILE *f;

	text = NULL;
	f = open_memstream(&text, &size);
	/* Without a slash a shell would look for it in PATH. */
	if (f == NULL ||
	    asprintf(&path, "%s%s", strchr(name, '/') == NULL ? "./" : "",
		name) == -1)
		fatal("the script of an environment file");
	put_trap(f, program, path);
	(void)fputs("m() { case $1 in */*) ;; *) set -- \"./$1\" ;; esac; "
		    "if [ -r \"$1\" ] && [ ! -d \"$1\" ]; "
		    "then . \"$1\"; return 0; else exit 127; fi; }; n() { ",
	    f);
	put_source(f, path);
	put_expanded(f, name);
	(void)fputs("; fi; }; n; exec ", f);
	quote(f, program);
	(void)fputs(" \"$@\"", f);
	if (fclose(f) == EOF)
		fatal("open_memstream");
	free(path);
	return text;
}
