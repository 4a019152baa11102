#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ctl.h"

/*
 * Completion scripts, made from the tables of verbs and options.  They ask
 * `musterctl __complete` for the names of processes.
 */

/* Verbs whose arguments are of a kind, with `between` them. */
static void
put_verbs(enum argument kind, const char *between)
{
	const struct verb *v;
	const char *front;

	front = "";
	for (v = verbs; v->name != NULL; v++) {
		if (v->hidden || (kind != ARGUMENT_NONE && v->argument != kind))
			continue;
		(void)printf("%s%s", front, v->name);
		front = between;
	}
}

/* Does an option of a verb hide this letter of a global one? */
static const struct verb *
hidden_by(const struct option_entry *o, const struct option_entry **hides)
{
	const struct option_entry *other;
	const struct verb *v;

	for (other = option_table; other->name != NULL; other++) {
		if (other->verbs == 0 || o->verbs != 0 || o->letter == '\0' ||
		    other->letter != o->letter)
			continue;
		for (v = verbs; v->name != NULL; v++)
			if (option_fits(other, v)) {
				*hides = other;
				return v;
			}
	}
	return NULL;
}

/* ---- bash
 * ---------------------------------------------------------------------------
 */

/* "*:-f | *:--file" or "wait:--for": patterns of VERB:OPTION. */
static void
bash_pattern(const struct option_entry *o)
{
	const struct verb *v;
	const char *front;

	front = "\t";
	for (v = verbs; v->name != NULL; v++) {
		if (o->verbs == 0 ? v != verbs : !option_fits(o, v))
			continue;
		if (o->letter != '\0')
			(void)printf("%s%s:-%c", front,
			    o->verbs == 0 ? "*" : v->name, o->letter);
		if (o->letter != '\0')
			front = " | ";
		(void)printf(
		    "%s%s:--%s", front, o->verbs == 0 ? "*" : v->name, o->name);
		front = " | ";
	}
	(void)printf(")");
}

/* A global letter that means a flag behind this verb. */
static void
bash_hidden(const char *what)
{
	const struct option_entry *hides;
	const struct option_entry *o;
	const struct verb *v;

	for (o = option_table; o->name != NULL; o++) {
		v = hidden_by(o, &hides);
		if (v != NULL && hides->value == NULL)
			(void)printf(
			    "\t%s:-%c) %s ;;\n", v->name, o->letter, what);
	}
}

static void
bash_takes_value(void)
{
	const struct option_entry *o;

	(void)printf("# Has this option (VERB:OPTION) a value?\n"
		     "_musterctl_takes_value() {\n\tcase $1 in\n");
	bash_hidden("return 1");
	for (o = option_table; o->name != NULL; o++) {
		if (o->value == NULL)
			continue;
		bash_pattern(o);
		(void)printf(" return 0 ;;\n");
	}
	(void)printf("\tesac\n\treturn 1\n}\n\n");
}

static void
bash_values(void)
{
	const struct option_entry *o;

	(void)printf("# The value of an option; 1: it has none.\n"
		     "_musterctl_value() {\n\tcase $1 in\n");
	bash_hidden("return 1");
	for (o = option_table; o->name != NULL; o++) {
		if (o->value == NULL)
			continue;
		bash_pattern(o);
		if (o->argument == ARGUMENT_FILE)
			(void)printf(" _musterctl_files ;;\n");
		else if (o->words != NULL)
			(void)printf(" _musterctl_words '%s' ;;\n", o->words);
		else
			(void)printf(" ;;\n");
	}
	(void)printf("\t*) return 1 ;;\n\tesac\n\treturn 0\n}\n\n");
}

static void
bash_options(const struct verb *v)
{
	const struct option_entry *o;

	for (o = option_table; o->name != NULL; o++) {
		if (!option_fits(o, v))
			continue;
		(void)printf(" --%s", o->name);
		if (o->letter != '\0')
			(void)printf(" -%c", o->letter);
	}
}

static void
bash_arguments(void)
{
	const struct verb *v;

	(void)printf("_musterctl_arguments() {\n\tcase $1 in\n\t");
	put_verbs(ARGUMENT_NAMES, " | ");
	(void)printf(") _musterctl_names ;;\n\t");
	put_verbs(ARGUMENT_FILE, " | ");
	(void)printf(") _musterctl_files ;;\n");
	for (v = verbs; v->name != NULL; v++)
		if (v->argument == ARGUMENT_WORD)
			(void)printf("\t%s) _musterctl_words '%s' ;;\n",
			    v->name, v->words);
	(void)printf("\t");
	put_verbs(ARGUMENT_VERB, " | ");
	(void)printf(") _musterctl_words '");
	put_verbs(ARGUMENT_NONE, " ");
	(void)printf("' ;;\n\tesac\n}\n\n");
	(void)printf("_musterctl_options() {\n\tlocal own=\n\tcase $1 in\n");
	for (v = verbs; v->name != NULL; v++) {
		if (v->bit == 0)
			continue;
		(void)printf("\t%s) own='", v->name);
		bash_options(v);
		(void)printf("' ;;\n");
	}
	(void)printf("\tesac\n\t_musterctl_words \"");
	bash_options(NULL);
	(void)printf("$own\"\n}\n\n");
}

static void
bash_helpers(void)
{
	(void)fputs(
	    "# bash completion for musterctl\n"
	    "# shellcheck shell=bash\n"
	    "# This is what \"musterctl completion bash\" prints.\n\n"
	    "_musterctl_words() {\n"
	    "\tmapfile -t COMPREPLY < <(compgen -W \"$1\" -- \"$cur\")\n"
	    "}\n\n"
	    "_musterctl_files() {\n"
	    "\tcompopt -o filenames 2>/dev/null\n"
	    "\tmapfile -t COMPREPLY < <(compgen -f -- \"$cur\")\n"
	    "}\n\n"
	    "_musterctl_names() {\n"
	    "\tlocal name\n"
	    "\twhile IFS=$'\\t' read -r name _; do\n"
	    "\t\tif [[ $name == \"$cur\"* ]]; then\n"
	    "\t\t\tprintf -v name %q \"$name\"\n"
	    "\t\t\tCOMPREPLY+=(\"$name\")\n"
	    "\t\tfi\n"
	    "\tdone < <(\"${COMP_WORDS[0]}\" \"${instance[@]}\" __complete "
	    "2>/dev/null)\n"
	    "}\n\n",
	    stdout);
	bash_takes_value();
	bash_values();
	bash_arguments();
}

static void
bash(void)
{
	bash_helpers();
	(void)fputs(
	    "_musterctl() {\n"
	    "\tlocal cur=${COMP_WORDS[COMP_CWORD]} prev='' verb='' word i\n"
	    "\tlocal -a instance=()\n"
	    "\tCOMPREPLY=()\n"
	    "\tfor ((i = 1; i < COMP_CWORD; i++)); do\n"
	    "\t\tword=${COMP_WORDS[i]}\n"
	    "\t\tprev=''\n"
	    "\t\tif [[ $word == -- && -n $verb ]]; then\n"
	    "\t\t\tif ((i + 1 == COMP_CWORD)) && [[ $verb == test ]]; then\n"
	    "\t\t\t\tmapfile -t COMPREPLY < <(compgen -c -- \"$cur\")\n"
	    "\t\t\telif [[ $verb == test ]]; then\n"
	    "\t\t\t\t_musterctl_files\n"
	    "\t\t\telse\n"
	    "\t\t\t\t_musterctl_arguments \"$verb\"\n"
	    "\t\t\tfi\n"
	    "\t\t\treturn\n"
	    "\t\telif [[ $word == -* ]]; then\n"
	    "\t\t\t_musterctl_takes_value \"$verb:$word\" || continue\n"
	    "\t\t\tprev=$word\n"
	    "\t\t\t[[ ${COMP_WORDS[i + 1]} == = ]] && ((i++))\n"
	    "\t\t\t((++i < COMP_CWORD)) || break\n"
	    "\t\t\tcase $word in\n"
	    "\t\t\t-[fsH] | --file | --socket | --host)\n"
	    "\t\t\t\tinstance=(\"$word\" \"${COMP_WORDS[i]}\")\n"
	    "\t\t\t\t;;\n"
	    "\t\t\tesac\n"
	    "\t\t\tprev=''\n"
	    "\t\telif [[ -z $verb ]]; then\n"
	    "\t\t\tverb=$word\n"
	    "\t\tfi\n"
	    "\tdone\n"
	    "\t[[ $cur == = ]] && cur=''\n"
	    "\tif [[ -n $prev ]] && _musterctl_value \"$verb:$prev\"; then\n"
	    "\t\treturn\n"
	    "\tfi\n"
	    "\tif [[ $cur == -* ]]; then\n"
	    "\t\t_musterctl_options \"$verb\"\n"
	    "\telif [[ -n $verb ]]; then\n"
	    "\t\t_musterctl_arguments \"$verb\"\n"
	    "\telse\n"
	    "\t\t_musterctl_words '",
	    stdout);
	put_verbs(ARGUMENT_NONE, " ");
	(void)fputs("'\n"
		    "\tfi\n"
		    "}\n\n"
		    "complete -F _musterctl musterctl\n",
	    stdout);
}

/* ---- zsh
 * ------------------------------------------------------------------------------
 */

/* Text inside of '…' or, with `special` characters, of '…[ ]'. */
static void
zsh_text(const char *s, const char *special)
{
	for (; *s != '\0'; s++) {
		if (*s == '\'') {
			(void)fputs("'\\''", stdout);
			continue;
		}
		if (strchr(special, *s) != NULL)
			(void)putchar('\\');
		(void)putchar(*s);
	}
}

static void
zsh_options(const struct verb *v, const char *indent, const char *end)
{
	const struct option_entry *o;
	const char *plus;

	for (o = option_table; o->name != NULL; o++) {
		if (!option_fits(o, v))
			continue;
		(void)fputs(indent, stdout);
		plus = o->value == NULL ? "" : "=";
		if (o->letter != '\0')
			(void)printf("'(-%c --%s)'{-%c%s,--%s%s}'[", o->letter,
			    o->name, o->letter, o->value == NULL ? "" : "+",
			    o->name, plus);
		else
			(void)printf("'--%s%s[", o->name, plus);
		zsh_text(o->help, "[]\\");
		(void)putchar(']');
		if (o->value != NULL) {
			(void)printf(":%s:", o->value);
			if (o->argument == ARGUMENT_FILE)
				(void)fputs("_files", stdout);
			else if (o->words != NULL)
				(void)printf("(%s)", o->words);
			else
				(void)putchar(' ');
		}
		(void)printf("'%s", end);
	}
}

/* The global options, without a letter that means another thing here. */
static void
zsh_globals(const struct verb *v)
{
	const struct option_entry *hides;
	const struct option_entry *o;

	for (o = option_table; o->name != NULL; o++)
		if (hidden_by(o, &hides) == v) {
			(void)printf("${specs:#*)-%c*}", o->letter);
			return;
		}
	(void)printf("$specs");
}

static void
zsh_arguments(const struct verb *v)
{
	switch (v->argument) {
	case ARGUMENT_NAMES:
		(void)fputs("'*:process:_musterctl_names'", stdout);
		break;
	case ARGUMENT_FILE:
		(void)fputs("'1:file:_files'", stdout);
		break;
	case ARGUMENT_WORD:
		(void)printf("'1:shell:(%s)'", v->words);
		break;
	case ARGUMENT_VERB:
		(void)fputs("'1:verb:_musterctl_verbs'", stdout);
		break;
	case ARGUMENT_COMMAND:
		(void)fputs("'*::command:_normal'", stdout);
		break;
	default:
		(void)fputs("'*: :'", stdout);
		break;
	}
}

static void
zsh(void)
{
	const struct verb *v;

	(void)fputs(
	    "#compdef musterctl\n"
	    "# zsh completion for musterctl\n"
	    "# This is what \"musterctl completion zsh\" prints.\n\n"
	    "_musterctl_names() {\n"
	    "\tlocal -a names\n"
	    "\tlocal line\n"
	    "\tfor line in ${(f)\"$(_call_program names "
	    "${(q)musterctl_command} ${(q)instance} __complete)\"}; do\n"
	    "\t\tnames+=(\"${${line%%$'\\t'*}//:/\\\\:}:${line#*$'\\t'}\")\n"
	    "\tdone\n"
	    "\t_describe -t names process names\n"
	    "}\n\n"
	    "_musterctl_verbs() {\n"
	    "\tlocal -a verbs=(\n",
	    stdout);
	for (v = verbs; v->name != NULL; v++)
		if (!v->hidden) {
			(void)printf("\t\t'%s:", v->name);
			zsh_text(v->help, "");
			(void)printf("'\n");
		}
	(void)fputs("\t)\n"
		    "\t_describe -t verbs verb verbs\n"
		    "}\n\n"
		    "_musterctl() {\n"
		    "\tlocal curcontext=$curcontext option "
		    "musterctl_command=$words[1]\n"
		    "\tlocal -a context state line instance\n"
		    "\tlocal -A opt_args\n"
		    "\tlocal -a specs=(\n",
	    stdout);
	zsh_options(NULL, "\t\t", "\n");
	(void)fputs("\t)\n"
		    "\t_arguments -C -s -A '-*' $specs \\\n"
		    "\t\t'1:verb:_musterctl_verbs' \\\n"
		    "\t\t'*:: :->arguments' && return\n"
		    "\t[[ $state == arguments ]] || return 1\n"
		    "\tfor option in -f --file -s --socket -H --host; do\n"
		    "\t\t(($+opt_args[$option])) &&\n"
		    "\t\t\tinstance=($option ${(Q)opt_args[$option]})\n"
		    "\tdone\n"
		    "\tcase $words[1] in\n",
	    stdout);
	for (v = verbs; v->name != NULL; v++) {
		if (v->hidden)
			continue;
		(void)printf("\t%s)\n\t\t_arguments -s ", v->name);
		zsh_globals(v);
		(void)printf(" \\\n");
		zsh_options(v, "\t\t\t", " \\\n");
		(void)fputs("\t\t\t", stdout);
		zsh_arguments(v);
		(void)fputs("\n\t\t;;\n", stdout);
	}
	(void)fputs("\tesac\n}\n\n_musterctl \"$@\"\n", stdout);
}

/* ---- fish
 * -------------------------------------------------------------------------------
 */

static void
fish_help(const char *s)
{
	(void)fputs(" -d '", stdout);
	for (; *s != '\0'; s++) {
		if (*s == '\'' || *s == '\\')
			(void)putchar('\\');
		(void)putchar(*s);
	}
	(void)fputs("'\n", stdout);
}

static void
fish_option(const struct option_entry *o, const struct verb *v)
{
	const struct option_entry *hides;
	const struct verb *hider;

	hider = hidden_by(o, &hides);
	(void)printf("complete -c musterctl");
	if (v != NULL)
		(void)printf(" -n '__musterctl_verb %s'", v->name);
	if (hider != NULL)
		(void)printf(" -n 'not __musterctl_verb %s'", hider->name);
	if (o->letter != '\0')
		(void)printf(" -s %c", o->letter);
	(void)printf(" -l %s", o->name);
	if (o->value != NULL)
		(void)printf(o->argument == ARGUMENT_FILE ? " -r -F" : " -x");
	if (o->words != NULL)
		(void)printf(" -a '%s'", o->words);
	fish_help(o->help);
}

static void
fish_verb(const struct verb *v)
{
	const struct option_entry *o;

	(void)printf(
	    "complete -c musterctl -n 'not __musterctl_verb' -a %s", v->name);
	fish_help(v->help);
	for (o = option_table; o->name != NULL; o++)
		if (option_fits(o, v))
			fish_option(o, v);
	if (v->argument == ARGUMENT_NONE || v->argument == ARGUMENT_TEXT)
		return;
	(void)printf("complete -c musterctl -n '__musterctl_verb %s'", v->name);
	if (v->argument == ARGUMENT_NAMES)
		(void)printf(" -a '(__musterctl_names)'\n");
	else if (v->argument == ARGUMENT_WORD)
		(void)printf(" -a '%s'\n", v->words);
	else if (v->argument == ARGUMENT_VERB) {
		(void)printf(" -a '");
		put_verbs(ARGUMENT_NONE, " ");
		(void)printf("'\n");
	} else if (v->argument == ARGUMENT_COMMAND)
		(void)printf(
		    " -a '(__fish_complete_subcommand --commandline)' -F\n");
	else
		(void)printf(" -F\n");
}

/* Options with a value, as a list for a `switch`. */
static void
fish_values(void)
{
	const struct option_entry *o;

	for (o = option_table; o->name != NULL; o++) {
		if (o->value == NULL)
			continue;
		(void)printf(" --%s", o->name);
		if (o->letter != '\0')
			(void)printf(" -%c", o->letter);
	}
}

static void
fish(void)
{
	const struct option_entry *o;
	const struct verb *v;

	(void)fputs("# fish completion for musterctl\n"
		    "# This is what \"musterctl completion fish\" prints.\n\n"
		    "# Prints the verb, or with arguments: is it one of them?\n"
		    "function __musterctl_verb\n"
		    "\tset -l words (commandline -opc)\n"
		    "\tset -e words[1]\n"
		    "\tset -l skip 0\n"
		    "\tfor word in $words\n"
		    "\t\tif test $skip = 1\n"
		    "\t\t\tset skip 0\n"
		    "\t\t\tcontinue\n"
		    "\t\tend\n"
		    "\t\tswitch $word\n"
		    "\t\t\tcase",
	    stdout);
	fish_values();
	(void)fputs("\n"
		    "\t\t\t\tset skip 1\n"
		    "\t\t\tcase '-*'\n"
		    "\t\t\t\tcontinue\n"
		    "\t\t\tcase '*'\n"
		    "\t\t\t\ttest (count $argv) = 0; or contains -- $word "
		    "$argv\n"
		    "\t\t\t\treturn\n"
		    "\t\tend\n"
		    "\tend\n"
		    "\treturn 1\n"
		    "end\n\n"
		    "function __musterctl_names\n"
		    "\tset -l words (commandline -opc)\n"
		    "\tset -l instance\n"
		    "\tfor i in (seq 2 (math (count $words) - 1))\n"
		    "\t\tswitch $words[$i]\n"
		    "\t\t\tcase -f -s -H --file --socket --host\n"
		    "\t\t\t\tset instance $words[$i] $words[(math $i + 1)]\n"
		    "\t\t\tcase '--file=*' '--socket=*' '--host=*'\n"
		    "\t\t\t\tset instance $words[$i]\n"
		    "\t\t\tcase '-*'\n"
		    "\t\t\tcase '*'\n"
		    "\t\t\t\tcontains -- $words[(math $i - 1)] -f -s -H --file "
		    "--socket --host --color; or break\n"
		    "\t\tend\n"
		    "\tend\n"
		    "\t$words[1] $instance __complete 2>/dev/null\n"
		    "end\n\n"
		    "complete -c musterctl -f\n",
	    stdout);
	for (o = option_table; o->name != NULL; o++)
		if (o->verbs == 0)
			fish_option(o, NULL);
	for (v = verbs; v->name != NULL; v++)
		if (!v->hidden)
			fish_verb(v);
}

int
verb_completion(int argc, char **argv)
{
	(void)argc;
	if (strcmp(argv[0], "bash") == 0)
		bash();
	else if (strcmp(argv[0], "zsh") == 0)
		zsh();
	else if (strcmp(argv[0], "fish") == 0)
		fish();
	else {
		complain("completion: %s: want bash, zsh or fish", argv[0]);
		return CTL_USAGE;
	}
	return CTL_OK;
}

/* ---- __complete
 * -------------------------------------------------------------------------- */

/* Names that are shown as they are, each once, with the state. */
int
verb_complete(int argc, char **argv)
{
	struct processes all;
	struct reply reply;
	char *shown;
	size_t i;

	(void)argc;
	(void)argv;
	if (locate(0) != CTL_OK ||
	    request(&reply, "GET", "/v1/processes", 2, 0) != CTL_OK)
		return CTL_UNREACHABLE;
	if (reply.status != 200 || processes_read(&all, reply.json) == -1) {
		reply_free(&reply);
		return CTL_FAILED;
	}
	for (i = 0; i < all.n; i++) {
		shown =
		    text_escape(all.list[i].label, strlen(all.list[i].label));
		if (strcmp(shown, all.list[i].label) == 0 &&
		    all.list[i].instance == 0) {
			(void)printf("%s\t", shown);
			(void)text_put(stdout, all.list[i].state, SIZE_MAX);
			(void)putchar('\n');
		}
		free(shown);
	}
	free(all.list);
	reply_free(&reply);
	return CTL_OK;
}
