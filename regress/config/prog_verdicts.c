/* sources: manager/config.c manager/config_access.c manager/config_check.c
 * manager/config_environment.c manager/config_job.c manager/config_keys.c
 * manager/config_memory.c manager/config_output.c manager/config_procfile.c
 * manager/config_schema.c
 * manager/config_top.c manager/config_url.c manager/config_value.c
 * manager/config_verifier.c manager/config_verify.c manager/config_words.c
 * manager/snapshot.c manager/suggest.c common/document.c common/document_json.c
 * common/document_yaml.c common/suggest.c common/wire.c */
/* libs: yaml jansson bsd */

/*
 * What musterd -n says of many documents: one a line of standard input, in
 * JSON; a line of output for each, with "OK" or the first error.  There are
 * no other files.
 */

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../../manager/config.h"
#include "../../manager/snapshot.h"

static char *const environment[] = {NULL};

static int
no_file(void *arg, const char *path, const void **bytes, size_t *len)
{
	(void)arg;
	(void)path;
	*bytes = NULL;
	*len = 0;
	errno = ENOENT;
	return -1;
}

static void
say(struct config_report *report)
{
	char text[1024];
	size_t i;

	for (i = 0; i < report->count && !report->list[i].error; i++)
		;
	if (i == report->count)
		(void)snprintf(text, sizeof(text), "OK");
	else
		(void)config_problem_text(&report->list[i], text, sizeof(text));
	(void)puts(text);
}

int
main(void)
{
	struct config_report report;
	struct snapshot s;
	struct config *c;
	char *line;
	size_t size;
	ssize_t n;

	line = NULL;
	size = 0;
	while ((n = getline(&line, &size, stdin)) > 0) {
		memset(&s, 0, sizeof(s));
		memset(&report, 0, sizeof(report));
		s.directory = s.home = s.libexec = strdup("/");
		s.user = s.socket = s.logfile = strdup("");
		s.path = strdup("a.json");
		s.environment = (char **)(uintptr_t)environment;
		s.bytes = line;
		s.len = (size_t)n;
		c = config_load(&s, 1, no_file, NULL, &report);
		say(&report);
		config_free(c);
		config_report_free(&report);
		free(s.directory);
		free(s.user);
		free(s.path);
	}
	free(line);
	return 0;
}
