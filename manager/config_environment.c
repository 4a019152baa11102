#include <limits.h>
#include <stdio.h>
#include <string.h>

#include "config_table.h"
#include "snapshot.h"

/* The variables of a job. */

/*
 * Bytes with NUL.  The name stands several times in the script that the shell
 * gets, and each of its quotes up to 13 times as long.
 */
#define MAX_ENVIRONMENT_FILE 1024

#define DEFAULT_PATH \
	"/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

static int
variable_name(const char *s, size_t len)
{
	return len > 0 && memchr(s, '=', len) == NULL;
}

/* NAME=VALUE, of the configuration's memory; 0, or -1: no more fit. */
static int
add_variable(struct loader *l, struct job_config *c, const struct doc_node *n,
    const char *text)
{
	struct word w;

	if (strlen(text) >= MAX_STRING) {
		config_error(l, n, "name and value are longer than %lu bytes",
		    MAX_STRING - 1UL);
		return 0;
	}
	word_make(l, n, text, &w);
	return words_append(l, n, &c->environment, &w);
}

void
set_environment(struct loader *l, const struct key *k, void *target,
    const struct doc_node *n)
{
	const struct doc_node *item;
	struct job_config *c;
	const char *s;

	(void)k;
	c = target;
	for (item = doc_first(n); item != NULL; item = doc_next(item)) {
		s = value_string(l, item);
		if (s == NULL)
			continue;
		if (n->kind == DOC_OBJECT) {
			if (!variable_name(item->key, strlen(item->key))) {
				config_error_key(l, item,
				    "no name of an environment variable");
				continue;
			}
			s = config_printf(l->config, "%s=%s", item->key, s);
		} else if (strchr(s, '=') == NULL || s[0] == '=') {
			config_error(l, item, "want NAME=VALUE");
			continue;
		}
		if (add_variable(l, c, item, s) == -1)
			return;
	}
}

void
set_environment_file(struct loader *l, const struct key *k, void *target,
    const struct doc_node *n)
{
	(void)k;
	((struct job_config *)target)->environment_file =
	    value_bounded(l, n, "a path", MAX_ENVIRONMENT_FILE);
}

/* ---- what is left of the environment when it is cleared --------------- */

/* The fields of a line of passwd(5): name, …, number, …, home, shell. */
struct account {
	char name[256];
	char number[16];
	char home[PATH_MAX];
	char shell[PATH_MAX];
};

static void
copy_field(char *to, size_t size, const char *from, size_t len)
{
	(void)snprintf(to, size, "%.*s", (int)len, from);
}

static void
parse_account(struct account *a, const char *line, size_t len)
{
	const char *end;
	size_t n;
	int field;

	memset(a, 0, sizeof(*a));
	for (field = 0; field < 7; field++) {
		end = memchr(line, ':', len);
		n = end == NULL ? len : (size_t)(end - line);
		if (field == 0)
			copy_field(a->name, sizeof(a->name), line, n);
		else if (field == 2)
			copy_field(a->number, sizeof(a->number), line, n);
		else if (field == 5)
			copy_field(a->home, sizeof(a->home), line, n);
		else if (field == 6)
			copy_field(a->shell, sizeof(a->shell), line, n);
		if (end == NULL)
			return;
		line += n + 1;
		len -= n + 1;
	}
}

/*
 * Fills in what the system's own list of users says; a user of another name
 * service has none of it.
 */
static void
find_account(struct loader *l, const char *user, struct account *a)
{
	const char *end;
	const char *line;
	const void *bytes;
	size_t len;
	size_t n;

	memset(a, 0, sizeof(*a));
	if (l->read_file(l->read_arg, "/etc/passwd", &bytes, &len) == -1)
		return;
	for (line = bytes; len > 0; line += n, len -= n) {
		end = memchr(line, '\n', len);
		n = end == NULL ? len : (size_t)(end - line);
		parse_account(a, line, n);
		if (a->name[0] != '\0' &&
		    (strcmp(a->name, user) == 0 ||
			strcmp(a->number, user) == 0))
			return;
		n += end != NULL;
	}
	memset(a, 0, sizeof(*a));
}

static void
add_minimal(struct loader *l, struct job_config *c, const struct doc_node *n,
    const char *name, const char *value)
{
	size_t i;
	size_t len;

	len = strlen(name);
	for (i = 0; i < c->environment.count; i++)
		if (strncmp(c->environment.list[i].source, name, len) == 0 &&
		    c->environment.list[i].source[len] == '=')
			return;
	(void)add_variable(
	    l, c, n, config_printf(l->config, "%s=%s", name, value));
}

void
environment_minimal(
    struct loader *l, struct job_config *c, const struct doc_node *n)
{
	struct account a;
	char own[16];
	const char *lang;
	const char *user;

	(void)snprintf(own, sizeof(own), "%u", l->snapshot->uid);
	user = c->user != NULL ? c->user : own;
	find_account(l, user, &a);
	lang = snapshot_getenv(l->snapshot, "LANG");
	add_minimal(l, c, n, "PATH", DEFAULT_PATH);
	add_minimal(l, c, n, "HOME", a.home[0] == '\0' ? "/" : a.home);
	add_minimal(l, c, n, "USER", a.name[0] == '\0' ? user : a.name);
	add_minimal(l, c, n, "SHELL", a.shell[0] == '\0' ? "/bin/sh" : a.shell);
	add_minimal(l, c, n, "LANG", lang == NULL ? "C.UTF-8" : lang);
}
