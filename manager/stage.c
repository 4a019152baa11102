#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <bsd/string.h>

#include "../common/hash.h"
#include "../common/log.h"
#include "../common/snapshot.h"
#include "../common/spec.h"
#include "../common/stream.h"
#include "../common/wire.h"
#include "manager.h"

/*
 * The staging of the parent's table: every program, file and socket that may
 * ever be used is an entry of it.  The numbers follow from the configuration
 * alone, so a manager that is born after a crash finds them again without
 * sending anything.
 */

#define MODE_LOG 0644
#define PIECE (48UL * 1024) /* of an entry that is sent in pieces */

static struct blame *blames;
static uint32_t nentries;
static uint32_t room;
static int sending;

static void
send_pieces(enum entry_kind kind, const struct wire *w)
{
	struct wire head;
	size_t done;
	size_t n;

	wire_init(&head);
	wire_put_u32(&head, nentries);
	wire_put_u8(&head, (uint8_t)kind);
	wire_put_u32(&head, (uint32_t)w->len);
	(void)manager_send(IMSG_ENTRY_BEGIN, 0, &head);
	wire_free(&head);
	for (done = 0; done < w->len; done += n) {
		n = w->len - done < PIECE ? w->len - done : PIECE;
		(void)channel_send(
		    mgr.parent, IMSG_ENTRY_DATA, 0, -1, w->data + done, n);
	}
}

uint32_t
stage_add(
    enum entry_kind kind, const struct wire *content, const struct blame *blame)
{
	struct blame *bigger;
	struct wire w;

	if (nentries == room) {
		room = room == 0 ? 64 : room * 2;
		bigger = reallocarray(blames, room, sizeof(*blames));
		if (bigger == NULL)
			fatal("table");
		blames = bigger;
	}
	blames[nentries] = *blame;
	if (wire_check(content) == -1)
		fatalx("entry %u is too large", nentries);
	if (!sending)
		return nentries++;
	if (content->len > PIECE) {
		send_pieces(kind, content);
		return nentries++;
	}
	wire_init(&w);
	wire_put_u32(&w, nentries);
	wire_put_u8(&w, (uint8_t)kind);
	wire_put_bytes(&w, content->data, content->len);
	(void)manager_send(IMSG_ENTRY, 0, &w);
	wire_free(&w);
	return nentries++;
}

/* ---- words ---------------------------------------------------------- */

static void
put_text_word(struct wire *w, const char *text)
{
	wire_put_u32(w, 1);
	wire_put_u8(w, SEGMENT_TEXT);
	wire_put_str(w, text);
}

static void
put_special_word(struct wire *w, enum segment kind)
{
	wire_put_u32(w, 1);
	wire_put_u8(w, (uint8_t)kind);
	wire_put_str(w, "");
}

static uint32_t
segments_of(const struct word *word)
{
	return word->segments == NULL ? 1 : (uint32_t)word->segments->count;
}

static void
put_segments(struct wire *w, const struct word *word)
{
	size_t i;

	if (word->segments == NULL) {
		wire_put_u8(w, SEGMENT_TEXT);
		wire_put_str(w, word->source);
		return;
	}
	for (i = 0; i < word->segments->count; i++) {
		wire_put_u8(w, word->segments->list[i].kind);
		wire_put_str(w, word->segments->list[i].text);
	}
}

static void
put_word(struct wire *w, const struct word *word)
{
	wire_put_u32(w, segments_of(word));
	put_segments(w, word);
}

/* All words as one, joined by blanks and unquoted, for `sh -c`. */
static void
put_joined_word(struct wire *w, const struct words *words)
{
	size_t i;
	uint32_t n;

	n = (uint32_t)words->count - 1;
	for (i = 0; i < words->count; i++)
		n += segments_of(&words->list[i]);
	wire_put_u32(w, n);
	for (i = 0; i < words->count; i++) {
		if (i > 0) {
			wire_put_u8(w, SEGMENT_TEXT);
			wire_put_str(w, " ");
		}
		put_segments(w, &words->list[i]);
	}
}

static void
put_command(struct wire *w, const struct job_config *c)
{
	size_t i;

	if (c->shell) {
		put_text_word(w, c->shell_program);
		put_text_word(w, "-c");
		put_joined_word(w, &c->words);
		return;
	}
	for (i = 0; i < c->words.count; i++)
		put_word(w, &c->words.list[i]);
}

/* The number of words and, with an environment file, those in front of a
 * command of n words. */
static void
put_front(struct wire *w, const struct job_config *c, size_t n)
{
	char path[4200];
	char *script;

	wire_put_u32(w, (uint32_t)n + (c->environment_file == NULL ? 0 : 6));
	if (c->environment_file == NULL)
		return;
	put_text_word(w, c->environment_shell);
	put_text_word(w, "-c");
	(void)snprintf(
	    path, sizeof(path), "%s/muster-exec", mgr.snapshot->libexec);
	script = environment_file_script(c->environment_file, path);
	put_text_word(w, script);
	free(script);
	put_text_word(w, c->environment_shell);
	put_special_word(w, SEGMENT_REPORT_FD);
	put_text_word(w,
	    c->working_directory != NULL ? c->working_directory :
					   mgr.snapshot->directory);
}

/* Where it is when it is executed; muster-exec goes on to another place. */
static const char *
first_directory(const struct job_config *c)
{
	return c->environment_file != NULL || c->working_directory == NULL ?
	    mgr.snapshot->directory :
	    c->working_directory;
}

/* ---- specs ---------------------------------------------------------- */

static void
put_identity(struct wire *w, const struct job_config *c)
{
	size_t i;

	wire_put_str(w, c->user);
	wire_put_str(w, c->group);
	wire_put_u32(w, (uint32_t)c->groups.count);
	for (i = 0; i < c->groups.count; i++)
		wire_put_str(w, c->groups.list[i]);
	wire_put_u32(w, c->umask);
	wire_put_i32(w, c->nice);
	wire_put_u32(w, (uint32_t)c->nlimits);
	for (i = 0; i < c->nlimits; i++) {
		wire_put_u8(w, c->limits[i].resource);
		wire_put_u64(w, c->limits[i].soft);
		wire_put_u64(w, c->limits[i].hard);
	}
}

static void
put_environment(struct wire *w, const struct job_config *c)
{
	size_t i;

	wire_put_u32(w, (uint32_t)c->environment.count);
	for (i = 0; i < c->environment.count; i++)
		put_word(w, &c->environment.list[i]);
}

static uint8_t
stdio_of(const struct output_config *o)
{
	switch (o->mode) {
	case OUTPUT_SHOW:
	case OUTPUT_KEEP:
	case OUTPUT_FILE:
		return STDIO_PIPE;
	case OUTPUT_JOIN:
		return STDIO_JOIN;
	case OUTPUT_INHERIT:
		return STDIO_INHERIT;
	case OUTPUT_DISCARD:
		break;
	}
	return STDIO_NULL;
}

static void
put_stream(struct wire *w, const struct job_config *c,
    const struct output_config *o, int number)
{
	char prefix[MAX_NAME + 8];
	uint32_t flags;

	flags = 0;
	prefix[0] = '\0';
	/* The command of -x has the terminal to itself. */
	if (o->mode == OUTPUT_SHOW && !(mgr.snapshot->flags & SNAPSHOT_RUNNER))
		flags |= STREAM_SHOW;
	if (number == 2)
		flags |= STREAM_SHOW_STDERR;
	if (c->prefix) {
		flags |= STREAM_PREFIX;
		(void)snprintf(prefix, sizeof(prefix), "%s | ", c->name);
	}
	wire_put_u32(w, flags);
	wire_put_u64(w, c->capture == 0 ? DEFAULT_CAPTURE : c->capture);
	wire_put_u32(w, o->mode == OUTPUT_FILE ? o->entry : NO_ENTRY);
	wire_put_str(w, prefix);
}

static uint32_t
stage_logfile(const struct job_config *c, const char *path, int append)
{
	struct wire w;
	struct blame blame = {&c->at, "redirect_output", c->name, path};
	uint32_t entry;

	wire_init(&w);
	wire_put_str(&w, path);
	wire_put_u8(&w, (uint8_t)append);
	wire_put_u32(&w, MODE_LOG);
	wire_put_str(&w, c->user);
	wire_put_str(&w, c->group);
	entry = stage_add(ENTRY_LOGFILE, &w, &blame);
	wire_free(&w);
	return entry;
}

static void
stage_outputs(struct job_config *c)
{
	c->out.entry = NO_ENTRY;
	c->err.entry = NO_ENTRY;
	if (c->out.mode == OUTPUT_FILE)
		c->out.entry = stage_logfile(c, c->out.path, c->out.append);
	if (c->err.mode == OUTPUT_FILE)
		c->err.entry = stage_logfile(c, c->err.path, c->err.append);
}

static void
put_spec(struct wire *w, const struct job_config *c, int foreground)
{
	uint32_t flags;

	flags = 0;
	if (c->clear_environment)
		flags |= SPEC_CLEAR_ENV;
	if (c->has_groups)
		flags |= SPEC_GROUPS;
	if (foreground)
		flags |= SPEC_FOREGROUND;
	if (c->environment_file != NULL)
		flags |= SPEC_REPORT;
	wire_put_u32(w, flags);
	wire_put_str(w, c->name);
	put_identity(w, c);
	wire_put_str(w, first_directory(c));
	wire_put_str(w, mgr.snapshot->directory);
	put_front(w, c, c->shell ? 3 : c->words.count);
	put_command(w, c);
	put_environment(w, c);
	wire_put_u8(w,
	    foreground              ? STDIO_INHERIT :
		c->in == STDIN_PIPE ? STDIO_PIPE :
				      STDIO_NULL);
	wire_put_u8(w, stdio_of(&c->out));
	wire_put_u8(w, stdio_of(&c->err));
	put_stream(w, c, &c->out, 1);
	put_stream(w, c, &c->err, 2);
	wire_put_u32(w, 0);
}

/* What the process is, apart from the numbers of entries: a process whose
 * hash is the same in a new configuration is left alone. */
static void
hash_spec(struct job_config *c)
{
	struct job_config plain;
	struct wire w;

	plain = *c;
	plain.out.entry = NO_ENTRY;
	plain.err.entry = NO_ENTRY;
	wire_init(&w);
	put_spec(&w, &plain, 0);
	wire_put_str(&w, c->out.path);
	wire_put_u8(&w, (uint8_t)c->out.append);
	wire_put_str(&w, c->err.path);
	wire_put_u8(&w, (uint8_t)c->err.append);
	c->hash = hash_more(HASH_START, w.data, w.len);
	if (c->hash == 0)
		c->hash = 1; /* there is one */
	wire_free(&w);
}

static void
stage_spec(struct job_config *c, int foreground)
{
	struct blame blame = {&c->at, "user", c->name, c->user};
	struct wire w;

	hash_spec(c);
	wire_init(&w);
	put_spec(&w, c, foreground);
	c->entry = stage_add(ENTRY_SPEC, &w, &blame);
	wire_free(&w);
}

/* ---- verifiers ------------------------------------------------------ */

#define LAST_WORDS 4096 /* bytes that are kept of what a command says */

/* All it writes goes one way. */
static void
put_probe_tail(struct wire *w, int show)
{
	wire_put_u8(w, STDIO_NULL);
	wire_put_u8(w, STDIO_PIPE);
	wire_put_u8(w, STDIO_JOIN);
	wire_put_u32(w,
	    show && !(mgr.snapshot->flags & SNAPSHOT_RUNNER) ? STREAM_SHOW : 0);
	wire_put_u64(w, show ? DEFAULT_CAPTURE : LAST_WORDS);
	wire_put_u32(w, NO_ENTRY);
	wire_put_str(w, "");
	wire_put_u32(w, 0);
	wire_put_u64(w, DEFAULT_CAPTURE);
	wire_put_u32(w, NO_ENTRY);
	wire_put_str(w, "");
	wire_put_u32(w, 0);
}

static uint32_t
stage_command(const struct job_config *c, const struct verify_config *v)
{
	struct blame blame = {&v->at, "verify", c->name, NULL};
	struct wire w;
	size_t i;
	uint32_t entry;

	wire_init(&w);
	wire_put_u32(&w,
	    SPEC_PROBE | (c->has_groups ? SPEC_GROUPS : 0) |
		(c->clear_environment ? SPEC_CLEAR_ENV : 0) |
		(c->environment_file != NULL ? SPEC_REPORT : 0));
	wire_put_str(&w, c->name);
	put_identity(&w, c);
	wire_put_str(&w, first_directory(c));
	wire_put_str(&w, mgr.snapshot->directory);
	put_front(&w, c, v->command.count);
	for (i = 0; i < v->command.count; i++)
		put_word(&w, &v->command.list[i]);
	put_environment(&w, c);
	put_probe_tail(&w, 0);
	entry = stage_add(ENTRY_SPEC, &w, &blame);
	wire_free(&w);
	return entry;
}

/* pymanager's own verifier classes, run by an adapter in Python. */
static uint32_t
stage_custom(const struct job_config *c, const struct verify_config *v)
{
	struct blame blame = {&v->at, "verifier", c->name, NULL};
	char path[4200];
	char messages[8];
	struct wire w;
	uint32_t entry;
	size_t i;

	(void)snprintf(
	    path, sizeof(path), "%s/verify-adapter", mgr.snapshot->libexec);
	(void)snprintf(messages, sizeof(messages), "%u", mgr.config->messages);
	wire_init(&w);
	wire_put_u32(&w,
	    SPEC_PROBE | SPEC_KEEP_FDS_ABOUT |
		(c->has_groups ? SPEC_GROUPS : 0));
	wire_put_str(&w, c->name);
	put_identity(&w, c);
	wire_put_str(&w, mgr.snapshot->directory);
	wire_put_str(&w, mgr.snapshot->directory);
	wire_put_u32(&w, 7 + (uint32_t)c->words.count);
	put_text_word(&w, "python3");
	put_text_word(&w, path);
	put_special_word(&w, SEGMENT_PID_OF);
	put_text_word(&w, v->module);
	put_text_word(&w, v->class_name);
	put_text_word(&w, v->arguments == NULL ? "{}" : v->arguments);
	put_text_word(&w, messages);
	for (i = 0; i < c->words.count; i++)
		put_word(&w, &c->words.list[i]);
	put_environment(&w, c);
	put_probe_tail(&w, 1);
	entry = stage_add(ENTRY_SPEC, &w, &blame);
	wire_free(&w);
	return entry;
}

static uint32_t
stage_path(const struct job_config *c, const struct verify_config *v,
    enum entry_kind kind, const char *path)
{
	struct blame blame = {&v->at, "verify", c->name, path};
	struct wire w;
	uint32_t entry;

	wire_init(&w);
	wire_put_str(&w, path);
	wire_put_str(&w, c->user);
	wire_put_str(&w, c->group);
	entry = stage_add(kind, &w, &blame);
	wire_free(&w);
	return entry;
}

static uint32_t
stage_verifier(
    const struct job_config *c, struct verify_config *v, uint32_t *flags)
{
	v->entry = NO_ENTRY;
	switch (v->kind) {
	case VERIFY_EXITED:
		break;
	case VERIFY_COMMAND:
		v->entry = stage_command(c, v);
		break;
	case VERIFY_CUSTOM:
		v->entry = stage_custom(c, v);
		break;
	case VERIFY_FILE:
		v->entry = stage_path(c, v, ENTRY_FILE, v->path);
		break;
	case VERIFY_UNIX:
		v->entry = stage_path(c, v, ENTRY_UNIX, v->unix_path);
		*flags |= SEAL_VERIFIER;
		break;
	case VERIFY_HTTP:
		if (v->unix_path != NULL)
			v->entry = stage_path(c, v, ENTRY_UNIX, v->unix_path);
		*flags |= SEAL_VERIFIER | SEAL_RESOLVER;
		break;
	case VERIFY_TCP:
		*flags |= SEAL_VERIFIER | SEAL_RESOLVER;
		break;
	}
	return v->entry;
}

/* ---- all ------------------------------------------------------------ */

/* The first entry is the log file of -l, with an empty path for none. */
static void
stage_own_logfile(void)
{
	static const struct position nowhere;
	struct blame blame = {&nowhere, "logfile", NULL, mgr.config->logfile};
	struct wire w;

	wire_init(&w);
	wire_put_str(&w, mgr.config->logfile);
	wire_put_u8(&w, 0);
	wire_put_u32(&w, MODE_LOG);
	wire_put_str(&w, "");
	wire_put_str(&w, "");
	(void)stage_add(ENTRY_LOGFILE, &w, &blame);
	wire_free(&w);
}

int
stage_all(int send)
{
	struct job_config *c;
	struct wire w;
	size_t i;
	size_t j;
	uint32_t flags;

	sending = send;
	flags = 0;
	stage_own_logfile();
	for (i = 0; i < mgr.njobs; i++) {
		c = mgr.jobs[i].config;
		stage_outputs(c);
		stage_spec(c, mgr.jobs[i].hidden);
		for (j = 0; j < c->nverifiers; j++)
			(void)stage_verifier(c, &c->verifiers[j], &flags);
	}
	stage_listeners();
	wire_init(&w);
	wire_put_u32(&w, nentries);
	wire_put_u32(&w, flags);
	wire_put_u32(&w, mgr.config->http.workers);
	(void)manager_send(IMSG_SEAL, 0, &w);
	wire_free(&w);
	return 0;
}

void
stage_end(void)
{
	free(blames);
	blames = NULL;
	nentries = 0;
	room = 0;
}

static const struct job_config *
find_job(const char *name)
{
	size_t i;

	for (i = 0; i < mgr.config->njobs && name != NULL; i++)
		if (strcmp(mgr.config->jobs[i]->name, name) == 0)
			return mgr.config->jobs[i];
	return NULL;
}

/* All that a job says of groups: which of them is none is not told. */
static void
name_groups(const struct job_config *c, char *buf, size_t size)
{
	size_t i;

	buf[0] = '\0';
	if (c == NULL)
		return;
	if (c->group != NULL)
		(void)strlcpy(buf, c->group, size);
	for (i = 0; i < c->groups.count; i++) {
		if (buf[0] != '\0')
			(void)strlcat(buf, ", ", size);
		(void)strlcat(buf, c->groups.list[i], size);
	}
}

/* Of a number that is nobody's, no group follows. */
static int
wants_group(const struct job_config *c)
{
	return c->group == NULL &&
	    c->user[strspn(c->user, "0123456789")] == '\0';
}

/* Any entry of a job may be the first that has its user and groups. */
static void
blame_identity(struct config_report *report, const struct blame *b,
    uint8_t stage, int32_t error)
{
	static const char unknown[] =
	    "a number that the system does not know needs group beside it";
	const struct job_config *c;
	const char *why;
	char groups[256];

	c = find_job(b->job);
	why = error == EPERM ? "only root can start processes of others" :
	    error != ENOENT  ? strerrordesc_np(error) :
			       "no such user or group";
	if (stage == STAGE_USER && c != NULL && c->user != NULL) {
		if (error == ENOENT)
			why = wants_group(c) ? unknown : "no such user";
		config_problem_add(report, 1, EXIT_SETUP, &c->user_at,
		    "processes.%s.user: \"%s\": %s", c->name, c->user, why);
		return;
	}
	name_groups(c, groups, sizeof(groups));
	config_problem_add(report, 1, EXIT_SETUP, b->at,
	    "processes.%s: %s \"%s\": %s", b->job == NULL ? "" : b->job,
	    stage == STAGE_USER ? "user" : "group",
	    stage == STAGE_USER ? "" : groups, why);
}

void
stage_blame(struct config_report *report, uint32_t entry, uint8_t stage,
    int32_t error, const char *text)
{
	static const struct position nowhere;
	const struct blame *b;
	enum exit_code code;

	if (entry >= nentries) {
		config_problem_add(report, 1, EXIT_SETUP, &nowhere,
		    "the table of entries was refused: %s",
		    strerrordesc_np(error));
		return;
	}
	b = &blames[entry];
	code = stage == STAGE_SOCKET || stage == STAGE_LOGFILE ?
	    EXIT_NOT_FOUND :
	    EXIT_SETUP;
	if (stage == STAGE_SOCKET && b->value == NULL)
		config_problem_add(report, 1, code, b->at,
		    "%s: cannot listen on %s port %u: %s", b->key,
		    mgr.config->http.address, mgr.config->http.port,
		    strerrordesc_np(error));
	else if (stage == STAGE_SOCKET)
		config_problem_add(report, 1, code, b->at,
		    "%s: cannot listen on %s: %s", b->key, b->value,
		    strerrordesc_np(error));
	else if (stage == STAGE_LOGFILE)
		config_problem_add(report, 1, code, b->at,
		    "%s: cannot open %s: %s", b->key, b->value,
		    error == ETXTBSY ? "It is the configuration" :
				       strerrordesc_np(error));
	else if (stage == STAGE_TLS_MODE)
		config_problem_add(report, error, code, b->at,
		    "%s: %s can be read by others (want mode 0600 or 0640)",
		    b->key, b->value);
	else if (stage == STAGE_TLS)
		config_problem_add(report, 1, code, b->at, "%s: %s: %s", b->key,
		    b->value, text);
	else if (stage == STAGE_TLS_FILE)
		config_problem_add(report, 1, code, b->at,
		    "%s: cannot read %s: %s", b->key, b->value,
		    strerrordesc_np(error));
	else if (stage == STAGE_USER || stage == STAGE_GROUPS)
		blame_identity(report, b, stage, error);
	else
		config_problem_add(report, 1, code, b->at, "%s%s%s%s%s: %s",
		    b->job == NULL ? "" : b->job, b->job == NULL ? "" : ": ",
		    b->key, b->value == NULL ? "" : ": ",
		    b->value == NULL ? "" : b->value, strerrordesc_np(error));
}
