#include <stdlib.h>
#include <string.h>

#include "config_table.h"

/*
 * "did you mean …": the known name that is nearest to a wrong one by the
 * Damerau-Levenshtein distance (restricted edit distance), at most 2 and at
 * most a third of the word; and the words of other tools.
 */

#define MAX_WORD 64
#define MAX_KEYS 64 /* of a group */

static const struct {
	const char *foreign;
	const char *ours;
} foreign_words[] = {
    {"autorestart", "restart"},
    {"respawn", "restart"},
    {"cmd", "command"},
    {"exec", "command"},
    {"execstart", "command"},
    {"exec-start", "command"},
    {"script", "command"},
    {"run", "command"},
    {"program", "command"},
    {"availability", "restart"},
    {"restartsec", "backoff"},
    {"restart-sec", "backoff"},
    {"startsecs", "backoff"},
    {"restart-delay", "backoff"},
    {"startretries", "start-limit"},
    {"max-restarts", "start-limit"},
    {"args", "arguments"},
    {"env", "environment"},
    {"env-file", "environment-file"},
    {"cwd", "working-directory"},
    {"directory", "working-directory"},
    {"dir", "working-directory"},
    {"working-dir", "working-directory"},
    {"numprocs", "instances"},
    {"numprocesses", "instances"},
    {"replicas", "instances"},
    {"depends-on", "after"},
    {"requires", "after"},
    {"wants", "after"},
    {"priority", "after"},
    {"healthcheck", "verify"},
    {"health-check", "verify"},
    {"readiness-probe", "verify"},
    {"liveness-probe", "check"},
    {"ready", "verify"},
    {"uid", "user"},
    {"gid", "group"},
    {"stopsignal", "stop"},
    {"stop-signal", "stop"},
    {"kill-timeout", "graceful-time"},
    {"stop-timeout", "graceful-time"},
    {"stopwaitsecs", "graceful-time"},
    {"stop-grace-period", "graceful-time"},
    {"timeoutstopsec", "graceful-time"},
    {"exitcodes", "success-codes"},
    {"successexitstatus", "success-codes"},
    {"redirect-stderr", "stderr"},
    {"stderr-logfile", "stderr"},
    {"out-file", "redirect-output"},
    {"error-file", "stderr"},
    {"environmentfile", "environment-file"},
    {"limitnofile", "limits"},
    {"ulimits", "limits"},
    {"stdout-logfile", "redirect-output"},
    {"log", "redirect-output"},
    {"services", "processes"},
    {"program", "processes"},
    {"programs", "processes"},
    {"apps", "processes"},
    {"jobs", "processes"},
};

static unsigned int
least(unsigned int a, unsigned int b)
{
	return a < b ? a : b;
}

static char
plain(char c)
{
	if (c == '_')
		return '-';
	if (c >= 'A' && c <= 'Z')
		c |= 0x20;
	return c;
}

static unsigned int
distance(const char *a, const char *b)
{
	unsigned int rows[3][MAX_WORD + 1];
	unsigned int *one;
	unsigned int *row;
	unsigned int *two;
	size_t i;
	size_t j;
	size_t la;
	size_t lb;
	int same;

	la = strlen(a);
	lb = strlen(b);
	if (la > MAX_WORD || lb > MAX_WORD)
		return MAX_WORD;
	for (j = 0; j <= lb; j++)
		rows[0][j] = (unsigned int)j;
	for (i = 1; i <= la; i++) {
		row = rows[i % 3];
		one = rows[(i + 2) % 3];
		two = rows[(i + 1) % 3];
		row[0] = (unsigned int)i;
		for (j = 1; j <= lb; j++) {
			same = plain(a[i - 1]) == plain(b[j - 1]);
			row[j] = least(one[j], row[j - 1]) + 1;
			row[j] = least(row[j], one[j - 1] + !same);
			if (i > 1 && j > 1 &&
			    plain(a[i - 1]) == plain(b[j - 2]) &&
			    plain(a[i - 2]) == plain(b[j - 1]))
				row[j] = least(row[j], two[j - 2] + 1);
		}
	}
	return rows[la % 3][lb];
}

const char *
suggest(const char *word, const char *const *names, size_t n)
{
	const char *best;
	size_t i;
	unsigned int bound;
	unsigned int d;

	best = NULL;
	bound = least(2, (unsigned int)(strlen(word) / 3)) + 1;
	for (i = 0; i < n; i++) {
		d = distance(word, names[i]);
		if (d < bound) {
			bound = d;
			best = names[i];
		}
	}
	return best;
}

static int
is_same(const char *a, const char *b)
{
	while (*a != '\0' && plain(*a) == plain(*b)) {
		a++;
		b++;
	}
	return *a == '\0' && *b == '\0';
}

/* What the word of another tool is called here, if the group has it. */
static const char *
translate(const char *word, const struct key_group *group)
{
	const struct key *k;
	size_t i;

	for (i = 0; i < sizeof(foreign_words) / sizeof(*foreign_words); i++) {
		if (!is_same(word, foreign_words[i].foreign))
			continue;
		for (k = group->keys; k->name != NULL; k++)
			if (strcmp(k->name, foreign_words[i].ours) == 0)
				return k->name;
	}
	return NULL;
}

const char *
suggest_key(const char *word, const struct key_group *group)
{
	const char *names[MAX_KEYS];
	const struct key *k;
	const char *known;
	size_t n;

	/* First: "autorestart" looks much like "autostart". */
	known = translate(word, group);
	if (known != NULL)
		return known;
	n = 0;
	for (k = group->keys; k->name != NULL && n < MAX_KEYS; k++)
		names[n++] = k->name;
	return suggest(word, names, n);
}
