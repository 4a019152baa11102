#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ctl.h"

/*
 * restart: one process after another, each until it is verified.  musterd
 * answers then; should it not answer, because muster-httpd was replaced, the
 * list of processes tells.
 */

#define FRAME 0.1 /* seconds between two pictures */
#define FRAMES_PER_LOOK 4 /* pictures for each look at the process */
#define TAIL_LINES 10
#define LOST_SECONDS 90 /* for a restart whose answer was lost */
#define ACCEPT_SECONDS 2 /* for one that is not waited for */
#define LOOK_SECONDS 5 /* for one look */

struct restart {
	struct progress progress;
	json_t *results; /* of --json */
	double deadline; /* negative: none */
};

/* One of them. */
struct one {
	const struct process *before;
	const char *title;
	struct process now; /* lives in document */
	json_t *document;
	size_t row;
	double began;
};

/* An exit code, without a word. */
static int
look(struct restart *r, struct one *one)
{
	struct process p;
	json_t *document;
	int code;

	code = process_get(one->before->id, LOOK_SECONDS, &p, &document);
	if (code != CTL_OK)
		return code;
	if (one->document != NULL)
		json_decref(one->document);
	one->document = document;
	one->now = p;
	/* Before it has begun, how it was is no news. */
	if (p.generation != one->before->generation ||
	    strcmp(p.state, one->before->state) != 0)
		progress_change(&r->progress, one->row, &p);
	return CTL_OK;
}

/* ---- what is told
 * -------------------------------------------------------------------- */

static void
note_json(struct restart *r, const struct one *one, const char *error)
{
	const struct process *p;
	json_t *json;

	p = one->document == NULL ? one->before : &one->now;
	json = json_pack("{s:s, s:I, s:b, s:o, s:f}", "name", p->name, "id",
	    (json_int_t)p->id, "ok", error == NULL, "pid",
	    p->pid == 0 ? json_null() : json_integer(p->pid), "seconds",
	    monotonic() - one->began);
	if (error != NULL)
		(void)json_object_set_new(json, "error", json_string(error));
	(void)json_array_append_new(r->results, json);
}

static void
tell_good(struct restart *r, const struct one *one)
{
	const struct process *p;
	char buf[AGE_SIZE];
	char *how;
	char *verified;

	progress_done(&r->progress, one->row, 1);
	progress_clear(&r->progress);
	note_json(r, one, NULL);
	if (options.json)
		return;
	p = &one->now;
	if (one->document == NULL) {
		result("%s: restarted", one->title);
		return;
	}
	verified = p->kind == NULL || !p->verified ?
	    xstrdup("") :
	    xasprintf("%sverified in %s",
		p->pid == 0 && !p->has_exit ? "" : ", ",
		elapsed((double)p->elapsed_ms / 1000, buf));
	how = p->pid != 0 ? xasprintf("pid %d", p->pid) : xstrdup(p->exit);
	result("%s: restarted (%s%s)", one->title, how, verified);
	free(how);
	free(verified);
}

/* Options that lead to the same instance. */
static char *
same_options(void)
{
	const char *option;
	const char *value;
	char *quoted;
	char *text;

	option = options.socket != NULL ? "-s" :
	    options.url != NULL         ? "-H" :
	    options.file != NULL        ? "-f" :
					  NULL;
	if (option == NULL)
		return xstrdup("");
	value = options.socket != NULL ? options.socket :
	    options.url != NULL        ? options.url :
					 options.file;
	quoted = shell_quote(value);
	text = xasprintf("%s %s ", option, quoted);
	free(quoted);
	return text;
}

/* The reason, the last lines, and where there are more. */
static int
tell_bad(struct restart *r, const struct one *one, const char *error, int code)
{
	char *name;
	char *same;

	progress_done(&r->progress, one->row, 0);
	progress_clear(&r->progress);
	note_json(r, one, error);
	complain("%s: %s", one->title, error);
	if (code != CTL_FAILED)
		return code;
	show_last_lines(stderr, one->document == NULL ? one->before : &one->now,
	    TAIL_LINES);
	same = same_options();
	if (strcmp(one->title, one->before->label) == 0)
		name = shell_quote(one->before->label);
	else
		name = xasprintf("id:%u", one->before->id);
	note("more: musterctl %slogs %s", same, name);
	free(same);
	free(name);
	return code;
}

/* ---- one process
 * ----------------------------------------------------------------------- */

static int
judge(struct restart *r, struct one *one, const struct reply *reply)
{
	char *text;
	int code;

	(void)look(r, one);
	if (reply->status == 200) {
		if (json_is_true(json_object_get(reply->json, "success"))) {
			tell_good(r, one);
			return CTL_OK;
		}
		return tell_bad(r, one,
		    "restarted, but the answer is not what musterd says",
		    CTL_FAILED);
	}
	if (reply->status == 401 ||
	    (reply->status == 403 &&
		json_object_get(reply->json, "success") == NULL))
		return tell_bad(r, one, reply_text(reply), CTL_DENIED);
	if (reply->status == 404 && one->document != NULL)
		return tell_bad(r, one,
		    "cannot be restarted while it waits for its first start",
		    CTL_FAILED);
	text = xasprintf("restart failed: %s", reply_text(reply));
	code = tell_bad(
	    r, one, text, reply->status == 404 ? CTL_UNKNOWN : CTL_FAILED);
	free(text);
	return code;
}

static int
has_begun(const struct one *one)
{
	return one->document != NULL &&
	    (one->now.generation > one->before->generation ||
		strcmp(one->now.state, one->before->state) != 0);
}

/*
 * The answer was lost: what do the processes say?  Where nothing happens the
 * question was lost, too.
 */
static int
observe(struct restart *r, struct one *one)
{
	const struct process *p;
	double begins;
	double last;

	begins = monotonic() + ACCEPT_SECONDS;
	last = monotonic() + LOST_SECONDS;
	if (r->deadline >= 0 && r->deadline < last)
		last = r->deadline;
	p = &one->now;
	do {
		(void)look(r, one);
		if (one->document != NULL &&
		    p->generation > one->before->generation) {
			if (p->verified) {
				tell_good(r, one);
				return CTL_OK;
			}
			if (process_is_over(p))
				return tell_bad(r, one,
				    "restart failed: it has ended before it "
				    "was verified",
				    CTL_FAILED);
		}
		progress_draw(&r->progress);
		(void)poll(NULL, 0, (int)(FRAME * 1000));
	} while (monotonic() < last &&
	    (one->document == NULL || has_begun(one) || monotonic() < begins));
	return tell_bad(r, one, "the answer of musterd was lost",
	    r->deadline >= 0 ? CTL_TIMEOUT : CTL_UNREACHABLE);
}

/* Until the answer begins: 1, or 0: not in time. */
static int
wait_answer(struct restart *r, struct one *one, const struct client *c)
{
	double until;
	unsigned int frame;

	for (frame = 0;; frame++) {
		if (r->progress.kind == PROGRESS_QUIET)
			return client_wait(c, r->deadline);
		if (frame % FRAMES_PER_LOOK == 0)
			(void)look(r, one);
		progress_draw(&r->progress);
		until = monotonic() + FRAME;
		if (r->deadline >= 0 && r->deadline < until)
			until = r->deadline;
		if (client_wait(c, until))
			return 1;
		if (r->deadline >= 0 && monotonic() >= r->deadline)
			return 0;
	}
}

/* Not answered in time, or not waited for: is musterd at it? */
static int
tell_pending(struct restart *r, struct one *one)
{
	int code;

	code = look(r, one);
	if (code == CTL_UNREACHABLE || code == CTL_TIMEOUT)
		return tell_bad(r, one,
		    "musterd does not answer; the restart may go on", code);
	if (!options.no_wait)
		return tell_bad(r, one,
		    "not verified in time; the restart goes on", CTL_TIMEOUT);
	progress_done(&r->progress, one->row, 1);
	progress_clear(&r->progress);
	note_json(r, one, NULL);
	if (!options.json)
		result("%s: restart is under way", one->title);
	return CTL_OK;
}

/* Has it begun?  An error comes at once. */
static int
wait_accepted(struct restart *r, struct one *one, const struct client *c)
{
	double last;

	last = monotonic() + ACCEPT_SECONDS;
	do {
		if (client_wait(c, monotonic() + 0.02))
			return 1;
		(void)look(r, one);
		if (has_begun(one))
			break;
	} while (monotonic() < last);
	return 0;
}

static int
restart_one(struct restart *r, struct one *one)
{
	struct client *c;
	struct reply reply;
	char target[32];
	int answered;
	int code;

	(void)snprintf(target, sizeof(target), "/restart/%u", one->before->id);
	c = xreallocarray(NULL, 1, sizeof(*c));
	if (client_open(c, "POST", target, "application/json") == -1) {
		free(c);
		progress_clear(&r->progress);
		return unreachable(errno, 1);
	}
	answered =
	    options.no_wait ? wait_accepted(r, one, c) : wait_answer(r, one, c);
	if (!answered) {
		client_close(c);
		free(c);
		return tell_pending(r, one);
	}
	code = client_finish(c, &reply, monotonic() + patience(ANSWER_SECONDS));
	free(c);
	if (code != CTL_OK)
		return observe(r, one);
	code = judge(r, one, &reply);
	reply_free(&reply);
	return code;
}

static int
restart_all(const struct processes *all, struct process **list, size_t n)
{
	struct restart r;
	struct one one;
	char **titles;
	size_t i;
	int code;
	int worst;

	r.results = json_array();
	r.deadline = give_up;
	progress_begin(&r.progress, n);
	titles = xreallocarray(NULL, n + 1, sizeof(*titles));
	for (i = 0; i < n; i++) {
		titles[i] = process_title(list[i], all);
		r.progress.rows[i].label = titles[i];
	}
	worst = CTL_OK;
	for (i = 0; i < n; i++) {
		memset(&one, 0, sizeof(one));
		one.before = list[i];
		one.title = titles[i];
		one.row = i;
		one.began = r.progress.rows[i].since = monotonic();
		code = restart_one(&r, &one);
		if (one.document != NULL)
			json_decref(one.document);
		if (code != CTL_OK)
			worst = code;
		/* The others would fare no better. */
		if (code == CTL_DENIED || code == CTL_UNREACHABLE ||
		    code == CTL_TIMEOUT)
			break;
	}
	progress_end(&r.progress);
	for (i = 0; i < n; i++)
		free(titles[i]);
	free(titles);
	if (options.json)
		print_json(json_pack("{s:o}", "results", r.results));
	else
		json_decref(r.results);
	return worst;
}

int
verb_restart(int argc, char **argv)
{
	struct process **list;
	struct processes all;
	size_t n;
	int code;

	if ((argc == 0) != options.all) {
		complain(options.all ?
			"names and --all exclude each other" :
			"restart: which processes? (--all for all of them)");
		return CTL_USAGE;
	}
	if (options.timeout >= 0)
		give_up = monotonic() + options.timeout;
	code = locate(1);
	if (code == CTL_OK)
		code = processes_get(&all, 1);
	if (code != CTL_OK)
		return code;
	code = processes_select(&all, argv, argc, &list, &n);
	code = code == -1 ? CTL_USAGE :
	    code > 0      ? CTL_UNKNOWN :
			    restart_all(&all, list, n);
	free(list);
	processes_free(&all);
	return code;
}
