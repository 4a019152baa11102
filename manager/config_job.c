#include <sys/resource.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../common/message.h"
#include "../common/spec.h"
#include "../common/suggest.h"
#include "config_table.h"
#include "snapshot.h"

/* A job: its words, identity, restarts and end. */

/* ---- keys that are judged together when all have been read ---------- */

void
set_job_node(struct loader *l, const struct key *k, void *target,
    const struct doc_node *n)
{
	(void)target;
	*(const struct doc_node **)(void *)((char *)l + k->offset) = n;
}

void
set_working_directory(struct loader *l, const struct key *k, void *target,
    const struct doc_node *n)
{
	if (n->kind != DOC_NULL) /* pymanager's None */
		set_path(l, k, target, n);
}

void
set_shell(struct loader *l, const struct key *k, void *target,
    const struct doc_node *n)
{
	struct job_config *c;

	(void)k;
	c = target;
	c->shell = value_truth(n);
	l->shell_given = 1;
	if (!c->shell)
		return;
	if (n->kind == DOC_STRING) {
		l->shell_given = 2;
		c->shell_program = value_string(l, n);
	} else if (l->default_shell_off)
		c->shell = 0;
}

void
set_job_graceful(struct loader *l, const struct key *k, void *target,
    const struct doc_node *n)
{
	(void)k;
	((struct job_config *)target)->own_stop = 1;
	if (value_duration(l, n, &l->job_graceful) == 0)
		l->graceful = n;
}

/* ---- identity ------------------------------------------------------- */

/* Whether there is such a user is told later, by the parent. */
void
set_user(struct loader *l, const struct key *k, void *target,
    const struct doc_node *n)
{
	set_name(l, k, target, n);
	((struct job_config *)target)->user_at = config_position(l, n);
}

void
set_groups(struct loader *l, const struct key *k, void *target,
    const struct doc_node *n)
{
	struct job_config *c;

	(void)k;
	c = target;
	c->has_groups = 1;
	value_strings(l, n, &c->groups);
	if (c->groups.count > MAX_GROUPS)
		config_error(l, n, "more than %d groups", MAX_GROUPS);
}

void
set_umask(struct loader *l, const struct key *k, void *target,
    const struct doc_node *n)
{
	const char *s;
	unsigned int mask;

	(void)k;
	/* YAML reads 022 as a number, but a mask is octal however written. */
	mask = 0;
	s = n->text;
	if (strncmp(s, "0o", 2) == 0)
		s += 2;
	if (*s == '\0' || strlen(s) > 5)
		goto bad;
	for (; *s >= '0' && *s <= '7'; s++)
		mask = mask * 8 + (unsigned int)(*s - '0');
	if (*s != '\0' || mask > 0777)
		goto bad;
	((struct job_config *)target)->umask = mask;
	return;

bad:
	config_error(l, n, "want an octal mask such as \"022\"");
}

static const struct {
	const char *name;
	int resource;
} resources[] = {
    {"as", RLIMIT_AS},
    {"core", RLIMIT_CORE},
    {"cpu", RLIMIT_CPU},
    {"data", RLIMIT_DATA},
    {"fsize", RLIMIT_FSIZE},
    {"locks", RLIMIT_LOCKS},
    {"memlock", RLIMIT_MEMLOCK},
    {"msgqueue", RLIMIT_MSGQUEUE},
    {"nice", RLIMIT_NICE},
    {"nofile", RLIMIT_NOFILE},
    {"nproc", RLIMIT_NPROC},
    {"rss", RLIMIT_RSS},
    {"rtprio", RLIMIT_RTPRIO},
    {"rttime", RLIMIT_RTTIME},
    {"sigpending", RLIMIT_SIGPENDING},
    {"stack", RLIMIT_STACK},
};
#define NRESOURCES (sizeof(resources) / sizeof(*resources))

const char *
config_limit_name(size_t i)
{
	return i < NRESOURCES ? resources[i].name : NULL;
}

/* A number, "unlimited", or -1 for what is neither. */
static int
limit_value(const struct doc_node *n, uint64_t *out)
{
	if (n->kind == DOC_INTEGER && n->value.integer >= 0) {
		*out = (uint64_t)n->value.integer;
		return 0;
	}
	if (n->kind == DOC_STRING &&
	    (strcmp(n->text, "unlimited") == 0 ||
		strcmp(n->text, "infinity") == 0)) {
		*out = UINT64_MAX;
		return 0;
	}
	return -1;
}

static int
limit_read(const struct doc_node *n, struct limit *limit)
{
	const struct doc_node *hard;
	const struct doc_node *soft;

	if (n->kind != DOC_OBJECT) {
		if (limit_value(n, &limit->soft) == -1)
			return -1;
		limit->hard = limit->soft;
		return 0;
	}
	soft = doc_get(n, "soft");
	hard = doc_get(n, "hard");
	if (soft == NULL || hard == NULL || doc_count(n) != 2)
		return -1;
	if (limit_value(soft, &limit->soft) == -1 ||
	    limit_value(hard, &limit->hard) == -1)
		return -1;
	return 0;
}

void
set_limits(struct loader *l, const struct key *k, void *target,
    const struct doc_node *n)
{
	const char *names[NRESOURCES];
	const struct doc_node *item;
	struct job_config *c;
	struct limit *list;
	const char *best;
	size_t i;

	(void)k;
	c = target;
	for (item = doc_first(n); item != NULL; item = doc_next(item)) {
		for (i = 0; i < NRESOURCES; i++) {
			names[i] = resources[i].name;
			if (strcmp(names[i], item->key) == 0)
				break;
		}
		if (i == NRESOURCES) {
			best = config_errors_are_full(l) ?
			    NULL :
			    suggest(item->key, names, NRESOURCES);
			config_error_key(l, item, "unknown limit%s%s%s",
			    best == NULL ? "" : " (did you mean \"",
			    best == NULL ? "" : best,
			    best == NULL ? "" : "\"?)");
			continue;
		}
		list = config_array(
		    l->config, c->limits, c->nlimits, sizeof(*list));
		list[c->nlimits].resource = (uint8_t)resources[i].resource;
		if (limit_read(item, &list[c->nlimits]) == -1)
			config_error(l, item,
			    "want a number, \"unlimited\", or {soft, hard}");
		else if (list[c->nlimits].soft > list[c->nlimits].hard)
			config_error(l, item, "soft is more than hard");
		c->nlimits++;
		c->limits = list;
	}
}

/* ---- order ---------------------------------------------------------- */

/* A name is the text of the node, or the key of a condition. */
static void
add_after(struct loader *l, struct job_config *c, const struct doc_node *n,
    int is_key, enum after_condition condition)
{
	struct after *list;

	if (config_is_full(l, n, 0))
		return;
	list = config_array(l->config, c->after, c->nafter, sizeof(*list));
	list[c->nafter].job =
	    config_strdup(l->config, is_key ? n->key : n->text);
	list[c->nafter].condition = condition;
	list[c->nafter].at = config_position(l, n);
	if (is_key && n->key_line != 0) {
		list[c->nafter].at.line = n->key_line;
		list[c->nafter].at.column = n->key_column;
	}
	c->nafter++;
	c->after = list;
	l->config->graph = 1;
}

void
set_after(struct loader *l, const struct key *k, void *target,
    const struct doc_node *n)
{
	static const char *const words[] = {
	    "verified", "exited", "started", NULL};
	static const struct key condition = {
	    .name = "after", .types = TYPE_STRING, .words = words};
	const struct doc_node *item;
	struct job_config *c;
	int i;

	(void)k;
	c = target;
	if (n->kind == DOC_STRING) {
		add_after(l, c, n, 0, AFTER_VERIFIED);
		return;
	}
	for (item = doc_first(n); item != NULL; item = doc_next(item)) {
		if (n->kind == DOC_ARRAY) {
			if (item->kind != DOC_STRING)
				config_error(l, item, "want the name of a job");
			else
				add_after(l, c, item, 0, AFTER_VERIFIED);
			continue;
		}
		if (value_check(l, &condition, item) == -1)
			continue;
		for (i = 0; words[i] != NULL; i++)
			if (strcmp(words[i], item->text) == 0)
				add_after(l, c, item, 1, i);
	}
	/* An empty list still says: this file has an order of its own. */
	l->config->graph = 1;
}

/* ---- the end -------------------------------------------------------- */

void
set_success(struct loader *l, const struct key *k, void *target,
    const struct doc_node *n)
{
	const struct doc_node *item;
	struct job_config *c;
	int *list;

	c = target;
	item = n->kind == DOC_ARRAY ? doc_first(n) : n;
	for (; item != NULL;
	     item = n->kind == DOC_ARRAY ? doc_next(item) : NULL) {
		if (item->kind != DOC_INTEGER || item->value.integer < k->min ||
		    item->value.integer > k->max) {
			config_error(l, item, "want an exit code");
			continue;
		}
		list = config_array(
		    l->config, c->success_codes, c->nsuccess, sizeof(*list));
		list[c->nsuccess++] = (int)item->value.integer;
		c->success_codes = list;
	}
}

void
set_signal(struct loader *l, const struct key *k, void *target,
    const struct doc_node *n)
{
	(void)k;
	(void)value_signal(l, n, &((struct stop_step *)target)->signal);
}

static void
add_step(struct loader *l, struct job_config *c, const struct doc_node *n)
{
	struct stop_step *list;
	struct stop_step *step;

	list = config_array(l->config, c->stop, c->nstop, sizeof(*list));
	step = &list[c->nstop++];
	c->stop = list;
	step->signal = 15;
	step->wait = UINT64_MAX; /* the graceful time */
	if (n->kind == DOC_OBJECT)
		config_group(l, &group_stop, step, n);
	else if (n->kind == DOC_ARRAY)
		config_error(l, n,
		    "want a signal or a mapping with signal and wait, got "
		    "list");
	else
		(void)value_signal(l, n, &step->signal);
}

void
set_stop(struct loader *l, const struct key *k, void *target,
    const struct doc_node *n)
{
	const struct doc_node *item;
	struct job_config *c;

	(void)k;
	c = target;
	c->own_stop = 1;
	if (n->kind != DOC_ARRAY) {
		add_step(l, c, n);
		return;
	}
	if (doc_count(n) > MAX_STOP_STEPS) {
		config_error(l, n, "more than %d steps", MAX_STOP_STEPS);
		return;
	}
	for (item = doc_first(n); item != NULL; item = doc_next(item))
		add_step(l, c, item);
}

void
set_start_limit(struct loader *l, const struct key *k, void *target,
    const struct doc_node *n)
{
	struct job_config *c;

	c = target;
	c->limit_within = 10 * SECOND;
	c->limit_retries = 5;
	config_group(l, k->group, c, n);
}

/* ---- the whole job -------------------------------------------------- */

static void
job_defaults(struct job_config *c)
{
	c->umask = NO_UMASK;
	c->nice = NO_NICE;
	c->instances = 1;
	c->autostart = 1;
	c->backoff_initial = 100 * MILLISECOND;
	c->backoff_max = 60 * SECOND;
	c->backoff_reset = 10 * SECOND;
	c->err.mode = OUTPUT_JOIN;
}

/* `command`: a list of words, a line for the shell, or one to be split. */
static void
read_command(struct loader *l, struct job_config *c)
{
	struct word w;
	const char *s;

	if (l->command->kind == DOC_ARRAY)
		words_list(l, l->command, &c->words);
	else if (!c->shell)
		words_split(l, l->command, &c->words);
	else {
		s = value_string(l, l->command);
		if (s == NULL)
			return;
		word_make(l, l->command, s, &w);
		(void)words_append(l, l->command, &c->words, &w);
	}
}

/* All words become the one that the shell gets: joined, never quoted. */
static void
join_words(struct loader *l, struct job_config *c, const struct doc_node *n)
{
	struct words joined;
	struct word w;
	char *s;

	memset(&joined, 0, sizeof(joined));
	s = words_joined(l, &c->words);
	if (strlen(s) >= MAX_STRING) {
		config_error(
		    l, n, "a command of more than %lu bytes", MAX_STRING - 1UL);
		return;
	}
	word_make(l, n, s, &w);
	(void)words_append(l, n, &joined, &w);
	c->words = joined;
}

/* The key that was to be one of these, and is misspelt; NULL: none. */
static const char *
misspelt_words(const struct doc_node *n, const char **meant)
{
	static const char *const keys[] = {
	    "command", "executable", "arguments"};
	const struct doc_node *member;
	size_t i;

	for (member = doc_first(n); member != NULL; member = doc_next(member)) {
		*meant = suggest_key(member->key, &group_job);
		for (i = 0; *meant != NULL && i < 3; i++)
			if (strcmp(*meant, keys[i]) == 0 &&
			    !doc_get_key_equal(*meant, member->key))
				return member->key;
	}
	return NULL;
}

static void
missing_words(
    struct loader *l, const struct job_config *c, const struct doc_node *n)
{
	const char *key;
	const char *meant;
	char shown[48];

	key = l->command != NULL ? NULL : misspelt_words(n, &meant);
	if (key == NULL)
		config_error(l, l->command != NULL ? l->command : n,
		    "Missing executable or arguments in definition for "
		    "process %s.",
		    c->name);
	else
		config_error(l, n,
		    "Missing executable or arguments in definition for "
		    "process %s. (%s: did you mean \"%s\"?)",
		    c->name, doc_show(key, shown, sizeof(shown)), meant);
}

static void
read_words(struct loader *l, struct job_config *c, const struct doc_node *n)
{
	struct word w;
	size_t errors;
	const char *s;

	if (l->full || n->kind != DOC_OBJECT)
		return; /* what is missing was not read */
	errors = l->report->errors;
	if (l->command != NULL &&
	    (l->executable != NULL || l->arguments != NULL)) {
		config_error(l, l->command,
		    "give either command, or executable and arguments");
		return;
	}
	if (l->command != NULL)
		read_command(l, c);
	else if (l->executable != NULL && l->arguments != NULL) {
		s = value_string(l, l->executable);
		if (s == NULL)
			return;
		word_make(l, l->executable, s, &w);
		if (l->arguments->kind == DOC_ARRAY &&
		    l->arguments->size < MAX_WORDS)
			words_reserve(
			    l, &c->words, (uint32_t)l->arguments->size + 1);
		(void)words_append(l, l->executable, &c->words, &w);
		if (l->arguments->kind == DOC_ARRAY)
			words_list(l, l->arguments, &c->words);
		else if (l->arguments->size > 0) { /* one letter */
			word_make(l, l->arguments,
			    config_strdup(l->config, l->arguments->text), &w);
			(void)words_append(l, l->arguments, &c->words, &w);
		}
	} else if (doc_get(n, "command") != NULL ||
	    (doc_get(n, "executable") != NULL &&
		doc_get(n, "arguments") != NULL))
		return; /* there, but of a wrong kind: reported */
	if (l->report->errors != errors)
		return;
	if (c->words.count == 0 || c->words.list[0].source[0] == '\0')
		missing_words(l, c, n);
	else if (c->shell)
		join_words(l, c, n);
}

static void
read_output(struct loader *l, struct job_config *c)
{
	int suppress;

	suppress = l->suppress != NULL && value_truth(l->suppress);
	if (suppress && l->redirect != NULL)
		config_error(l, l->redirect,
		    "suppress_output and redirect_output exclude each other");
	else if (l->output != NULL && (suppress || l->redirect != NULL))
		config_error(l, l->output, "stdout and %s exclude each other",
		    suppress ? "suppress_output" : "redirect_output");
	else if (suppress)
		c->out.mode = OUTPUT_KEEP;
	else if (l->redirect != NULL) {
		c->out.mode = OUTPUT_FILE;
		output_path(l, &c->out, l->redirect);
		c->out.append =
		    l->appending != NULL && l->appending->value.boolean;
	} else if (l->appending != NULL && l->appending->value.boolean)
		config_warning(l, l->appending,
		    "without effect: there is no redirect_output");
}

static void
read_stop(struct loader *l, struct job_config *c)
{
	uint64_t graceful;
	size_t i;

	graceful = l->graceful != NULL ? l->job_graceful : l->config->graceful;
	if (c->nstop == 0) {
		c->stop = config_alloc(l->config, sizeof(*c->stop));
		c->stop[0].signal = 15;
		c->stop[0].wait = UINT64_MAX;
		c->nstop = 1;
	}
	for (i = 0; i < c->nstop; i++)
		if (c->stop[i].wait == UINT64_MAX)
			c->stop[i].wait = graceful;
	c->graceful = graceful;
}

static int
name_is_good(const char *name)
{
	size_t i;
	size_t len;

	len = strlen(name);
	if (len == 0 || len > MAX_NAME || strcmp(name, ".") == 0 ||
	    strcmp(name, "..") == 0)
		return 0;
	for (i = 0; i < len; i++) {
		if ((unsigned char)name[i] < 0x20 || name[i] == 0x7f ||
		    name[i] == '/')
			return 0;
		/* U+0080 to U+009F are controls, too. */
		if ((unsigned char)name[i] == 0xc2 &&
		    (unsigned char)name[i + 1] < 0xa0)
			return 0;
	}
	return 1;
}

static void
read_job(struct loader *l, const struct doc_node *n)
{
	struct job_config **list;
	struct job_config *c;

	c = config_alloc(l->config, sizeof(*c));
	c->name = config_strdup(l->config, n->key);
	c->at = config_position(l, n);
	if (!name_is_good(n->key))
		config_error_key(l, n,
		    "a name has 1 to %d bytes, no \"/\" and no control "
		    "characters",
		    MAX_NAME);
	job_defaults(c);
	l->shell_given = 0;
	l->suppress = l->redirect = l->output = l->appending = NULL;
	l->graceful = l->executable = l->arguments = l->command = NULL;
	config_group(l, &group_job, c, n);
	if (c->shell && c->shell_program == NULL)
		c->shell_program =
		    l->default_shell != NULL ? l->default_shell : "/bin/sh";
	c->environment_shell = l->shell_given == 2 && c->shell_program != NULL ?
	    c->shell_program :
	    l->default_shell != NULL ? l->default_shell :
				       "/bin/sh";
	read_words(l, c, n);
	read_output(l, c);
	read_stop(l, c);
	if (c->clear_environment)
		environment_minimal(l, c, n);
	list = config_array(l->config, l->config->jobs, l->config->njobs,
	    sizeof(struct job_config *));
	list[l->config->njobs++] = c;
	l->config->jobs = list;
}

void
set_processes(struct loader *l, const struct key *k, void *target,
    const struct doc_node *n)
{
	const struct doc_node *job;

	(void)k;
	(void)target;
	l->has_processes = 1;
	for (job = doc_first(n); job != NULL; job = doc_next(job)) {
		if (strncmp(job->key, "x-", 2) == 0 && job->kind != DOC_OBJECT)
			continue;
		if (l->config->njobs >= MAX_JOBS) {
			config_error_key(l, job, "more than %d jobs", MAX_JOBS);
			return;
		}
		if (config_is_full(l, job, 0))
			return;
		read_job(l, job);
	}
}
