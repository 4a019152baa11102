#include <stdlib.h>
#include <string.h>

#include "../common/suggest.h"
#include "config_table.h"

/* "did you mean …" for keys: also the words of other tools. */

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

/* What the word of another tool is called here, if the group has it. */
static const char *
translate(const char *word, const struct key_group *group)
{
	const struct key *k;
	size_t i;

	for (i = 0; i < sizeof(foreign_words) / sizeof(*foreign_words); i++) {
		if (!suggest_is_same(word, foreign_words[i].foreign))
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
