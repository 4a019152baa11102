#include <stdio.h>
#include <string.h>

#include "ctl.h"

/* --help, made from the tables. */

#define INDENT 26

static void
put_options(FILE *to, const struct verb *v)
{
	const struct option_entry *o;
	char text[64];

	for (o = option_table; o->name != NULL; o++) {
		if (!option_fits(o, v))
			continue;
		(void)snprintf(text, sizeof(text), "%c%c%c --%s%s%s",
		    o->letter == '\0' ? ' ' : '-',
		    o->letter == '\0' ? ' ' : o->letter,
		    o->letter == '\0' ? ' ' : ',', o->name,
		    o->value == NULL ? "" : "=",
		    o->value == NULL ? "" : o->value);
		(void)fprintf(to, "  %-*s %s\n", INDENT, text, o->help);
	}
}

void
help_all(FILE *to)
{
	const struct verb *v;
	char text[64];

	(void)fprintf(to,
	    "usage: musterctl [-f CONFIG | -s SOCKET | -H URL] [--json] [-q]\n"
	    "                 [--color=auto|always|never] VERB [NAME ...]\n"
	    "\n");
	for (v = verbs; v->name != NULL; v++) {
		if (v->hidden)
			continue;
		(void)snprintf(
		    text, sizeof(text), "%s %s", v->name, v->synopsis);
		(void)fprintf(to, "  %-*s %s\n", INDENT, text, v->help);
	}
	(void)fprintf(to, "\noptions:\n");
	put_options(to, NULL);
	(void)fprintf(to,
	    "\nA NAME is a job (web, SESSION.JOB), id:NUMBER of a process, or "
	    "a pattern\nas of the shell.  See musterctl help VERB, and "
	    "musterctl(8).\n");
}

void
help_verb(FILE *to, const struct verb *v)
{
	const struct option_entry *o;
	int has_options;

	has_options = 0;
	for (o = option_table; o->name != NULL; o++)
		has_options |= option_fits(o, v);
	(void)fprintf(to, "usage: musterctl [OPTION ...] %s%s%s%s\n\n%s\n",
	    v->name, has_options ? " [OPTION ...]" : "",
	    v->synopsis[0] == '\0' ? "" : " ", v->synopsis, v->help);
	if (has_options) {
		(void)fprintf(to, "\noptions:\n");
		put_options(to, v);
	}
}

int
verb_help(int argc, char **argv)
{
	const struct verb *v;

	if (argc == 0) {
		help_all(stdout);
		return CTL_OK;
	}
	v = verb_find(argv[0]);
	if (v == NULL) {
		(void)verb_unknown(argv[0]);
		return CTL_USAGE;
	}
	help_verb(stdout, v);
	return CTL_OK;
}
