#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ctl.h"

/* wait: until musterd is ready, or processes have got into a state. */

#define FIRST_PAUSE 20 /* milliseconds between two looks */
#define LAST_PAUSE 200
#define MOST_SECONDS 1 /* of one question whether it is ready */

enum answer {
	PENDING,
	MET,
	NEVER, /* it will not be so */
	UNSEEN, /* it was so, but nobody can tell the code */
};

/* A process when the wait began. */
struct waited {
	uint32_t id;
	long long generation;
	char *label;
	enum answer answer;
	int code; /* of its exit */
	char *why; /* what it is instead */
};

struct wait {
	struct waited *list;
	size_t n;
	double deadline; /* negative: none */
	double lost; /* since when nobody answers, 0: not so */
};

static int
is_late(double deadline)
{
	return deadline >= 0 && monotonic() >= deadline;
}

static void
pause_until(double deadline, int milliseconds)
{
	double left;

	left = (deadline - monotonic()) * 1000;
	if (deadline >= 0 && left < milliseconds)
		milliseconds = left > 0 ? (int)left + 1 : 0;
	(void)poll(NULL, 0, milliseconds);
}

/* Nobody answers: has musterd gone?  muster-httpd may be replaced. */
static int
has_gone(double *since)
{
	if (*since == 0)
		*since = monotonic();
	return monotonic() - *since >= GONE_SECONDS;
}

/* The result, as JSON if so wanted.  Takes over missing. */
static int
finish(int code, json_t *missing)
{
	if (options.json)
		print_json(json_pack("{s:b, s:o}", "met",
		    code == CTL_OK || missing == NULL, "missing",
		    missing == NULL ? json_array() : missing));
	else if (missing != NULL)
		json_decref(missing);
	return code;
}

/* ---- musterd as a whole
 * -------------------------------------------------------- */

/* Lines of text as an array. */
static json_t *
lines_of(const char *text)
{
	json_t *array;
	size_t n;

	array = json_array();
	for (; *text != '\0'; text += n + (text[n] != '\0')) {
		n = strcspn(text, "\n");
		(void)json_array_append_new(array, json_stringn(text, n));
	}
	return array;
}

static int
is_ending(void)
{
	const char *status;
	json_t *json;
	int code;
	int ending;

	json = get_object("/v1", 0, &code);
	status = json_string_value(json_object_get(json, "status"));
	ending = status != NULL && strstr(status, "shutdown") != NULL;
	if (json != NULL)
		json_decref(json);
	return ending;
}

/* Is there a line "NAME: STATE", or with a reason, of one in this state? */
static int
names_it(const char *text, const struct process *p)
{
	char *front;
	size_t n;
	int found;

	front = xasprintf("%s: %s", p->name, p->state);
	n = strlen(front);
	for (found = 0; !found && *text != '\0'; text += *text != '\0') {
		found = strncmp(text, front, n) == 0 &&
		    (text[n] == '\0' || text[n] == '\n' || text[n] == ':');
		text += strcspn(text, "\n");
	}
	free(front);
	return found;
}

/* It is over, and not because a verifier after `exited` is still at work. */
static int
has_given_up(const struct process *p)
{
	if (!process_is_over(p))
		return 0;
	return strcmp(p->state, "failed") == 0 ||
	    (strcmp(p->state, "exited") == 0 && (p->verified || p->code != 0));
}

/* Who of those that are missing has ended for good; NULL: nobody. */
static char *
hopeless(const char *text)
{
	struct processes all;
	char *name;
	size_t i;

	if (processes_get(&all, 0) != CTL_OK)
		return NULL;
	name = NULL;
	for (i = 0; i < all.n && name == NULL; i++)
		if (has_given_up(&all.list[i]) && names_it(text, &all.list[i]))
			name = xstrdup(all.list[i].name);
	processes_free(&all);
	return name;
}

/* Not ready: PENDING, or an exit code, told. */
static int
not_ready(const struct reply *reply, double deadline)
{
	char *name;
	int code;

	if (reply->status != 503)
		return reply_refused(reply);
	if (is_late(deadline)) {
		complain("not ready in time:\n%s", reply_text(reply));
		code = CTL_TIMEOUT;
	} else if (is_ending()) {
		complain("musterd is shutting down");
		code = CTL_FAILED;
	} else if ((name = hopeless(reply_text(reply))) != NULL) {
		complain("not ready, and will not be, as %s has ended:\n%s",
		    name, reply_text(reply));
		free(name);
		code = CTL_FAILED;
	} else
		return PENDING;
	return finish(code, lines_of(reply_text(reply)));
}

/* Seconds that the server may take, in whole ones. */
static int
server_patience(double deadline)
{
	double left;

	if (deadline < 0)
		return MOST_SECONDS;
	left = deadline - monotonic();
	return left >= MOST_SECONDS ? MOST_SECONDS : left > 0 ? (int)left : 0;
}

static int
wait_ready(double deadline)
{
	struct reply reply;
	char target[48];
	double lost;
	int code;
	int first;
	int seconds;

	lost = 0;
	for (first = 1;; first = 0) {
		/* At first what is so now: it may be hopeless. */
		seconds = first ? 0 : server_patience(deadline);
		(void)snprintf(
		    target, sizeof(target), "/v1/ready?wait=%d", seconds);
		code = request(
		    &reply, "GET", target, seconds + ANSWER_SECONDS, first);
		if (code == CTL_OK && reply.status == 200) {
			reply_free(&reply);
			return finish(CTL_OK, NULL);
		}
		if (code == CTL_OK) {
			lost = 0;
			code = not_ready(&reply, deadline);
			reply_free(&reply);
			if (code != PENDING)
				return code;
		} else if (silent) {
			if (!first)
				(void)no_answer(1);
			return finish(
			    code, lines_of("musterd does not answer"));
		} else if (first || code != CTL_UNREACHABLE) {
			return first ? code : strange_answer(1);
		} else if (has_gone(&lost)) {
			complain("musterd has ended");
			return CTL_FAILED;
		} else if (is_late(deadline)) {
			complain("not ready in time");
			return CTL_TIMEOUT;
		}
		pause_until(
		    deadline, first || seconds == 0 ? FIRST_PAUSE : LAST_PAUSE);
	}
}

/* ---- processes
 * ------------------------------------------------------------------- */

static enum answer
exit_of(struct waited *w, const struct process *p)
{
	if (p->pid == 0 && p->has_exit) {
		w->code = p->code;
		return MET;
	}
	if (p->generation > w->generation)
		return UNSEEN;
	return process_is_over(p) ? NEVER : PENDING;
}

static enum answer
judge(struct waited *w, const struct process *p)
{
	switch (options.wait_for) {
	case WAIT_VERIFIED:
		/* What was verified once may have died since. */
		if (p->verified &&
		    (p->pid != 0 || process_is_good(p) ||
			(strcmp(p->state, "exited") == 0 && p->has_exit &&
			    p->code == 0)))
			return MET;
		break;
	case WAIT_RUNNING:
		if (strcmp(p->state, "running") == 0)
			return MET;
		break;
	case WAIT_STOPPED:
		return process_is_over(p) ? MET : PENDING;
	case WAIT_EXIT:
		return exit_of(w, p);
	}
	return strcmp(p->state, "failed") == 0 ||
		strcmp(p->state, "exited") == 0 ?
	    NEVER :
	    PENDING;
}

/* Looks at one of them; NULL: it is listed no more. */
static void
look(struct waited *w, const struct process *p)
{
	char *remark;

	/* What was reached stays so. */
	if (w->answer == MET || w->answer == UNSEEN)
		return;
	free(w->why);
	if (p == NULL) {
		w->why = xstrdup("is gone");
		w->answer = options.wait_for == WAIT_STOPPED ? MET :
		    options.wait_for == WAIT_EXIT            ? UNSEEN :
							       NEVER;
		return;
	}
	remark = process_remark(p);
	w->why = strcmp(remark, "-") == 0 ?
	    xstrdup(p->state) :
	    xasprintf("%s: %s", p->state, remark);
	free(remark);
	w->answer = judge(w, p);
}

static const struct process *
find(const struct processes *all, uint32_t id)
{
	size_t i;

	for (i = 0; i < all->n; i++)
		if (all->list[i].id == id)
			return &all->list[i];
	return NULL;
}

/* The first code that is not 0. */
static int
exit_code(const struct wait *w)
{
	size_t i;

	for (i = 0; i < w->n; i++)
		if (w->list[i].code != 0)
			return w->list[i].code;
	return CTL_OK;
}

/* Tells of all that are so far; the end with a code. */
static int
conclude(const struct wait *w, enum answer which, const char *how, int code)
{
	json_t *missing;
	size_t i;

	missing = json_array();
	for (i = 0; i < w->n; i++) {
		if (w->list[i].answer != which)
			continue;
		complain("%s: %s%s", w->list[i].label, w->list[i].why, how);
		(void)json_array_append_new(missing,
		    json_sprintf("%s: %s", w->list[i].label, w->list[i].why));
	}
	return finish(code, missing);
}

/* One look at all: -1 goes on, or an exit code. */
static int
judge_all(struct wait *w, const struct processes *all)
{
	size_t i;
	size_t counts[UNSEEN + 1] = {0};

	for (i = 0; i < w->n; i++) {
		look(&w->list[i], find(all, w->list[i].id));
		counts[w->list[i].answer]++;
	}
	if (counts[NEVER] > 0)
		return conclude(w, NEVER, "", CTL_FAILED);
	if (counts[PENDING] > 0)
		return is_late(w->deadline) ?
		    conclude(w, PENDING, " (not in time)", CTL_TIMEOUT) :
		    -1;
	if (counts[UNSEEN] > 0)
		return conclude(w, UNSEEN,
		    " (it has ended, but its exit code is not known)",
		    CTL_FAILED);
	return finish(exit_code(w), NULL);
}

/* The end of musterd is that of its processes. */
static int
musterd_ended(void)
{
	if (options.wait_for == WAIT_STOPPED)
		return finish(CTL_OK, NULL);
	complain(options.wait_for == WAIT_EXIT ?
		"musterd has ended, and the exit code is not known" :
		"musterd has ended");
	return options.wait_for == WAIT_EXIT ? CTL_UNREACHABLE : CTL_FAILED;
}

static int
wait_states(struct wait *w, struct processes *all)
{
	int code;
	int pause;

	pause = FIRST_PAUSE;
	while ((code = judge_all(w, all)) == -1) {
		processes_free(all);
		pause_until(w->deadline, pause);
		pause = pause * 2 > LAST_PAUSE ? LAST_PAUSE : pause * 2;
		while ((code = processes_get(all, 0)) != CTL_OK) {
			if (silent) {
				(void)no_answer(1);
				return conclude(
				    w, PENDING, " (not in time)", code);
			}
			if (code != CTL_UNREACHABLE)
				return code == CTL_FAILED ? strange_answer(1) :
							    code;
			if (has_gone(&w->lost))
				return musterd_ended();
			pause_until(-1, FIRST_PAUSE);
		}
		w->lost = 0;
	}
	return code;
}

static int
wait_processes(double deadline, char **names, int nnames)
{
	struct process **list;
	struct processes all;
	struct wait w;
	size_t i;
	int code;

	code = processes_get(&all, 1);
	if (silent)
		return finish(code, lines_of("musterd does not answer"));
	if (code != CTL_OK)
		return code;
	memset(&w, 0, sizeof(w));
	w.deadline = deadline;
	code = processes_select(&all, names, nnames, &list, &w.n);
	if (code == 0) {
		w.list = xreallocarray(NULL, w.n + 1, sizeof(*w.list));
		memset(w.list, 0, (w.n + 1) * sizeof(*w.list));
		for (i = 0; i < w.n; i++) {
			w.list[i].id = list[i]->id;
			w.list[i].generation = list[i]->generation;
			w.list[i].label = process_title(list[i], &all);
		}
		code = wait_states(&w, &all);
		for (i = 0; i < w.n; i++) {
			free(w.list[i].label);
			free(w.list[i].why);
		}
		free(w.list);
	} else
		code = code == -1 ? CTL_USAGE : CTL_UNKNOWN;
	free(list);
	processes_free(&all);
	return code;
}

int
verb_wait(int argc, char **argv)
{
	double deadline;
	int code;

	deadline = options.timeout < 0 ? -1 : monotonic() + options.timeout;
	give_up = deadline;
	code = locate(1);
	if (code != CTL_OK)
		return code;
	if (argc == 0 && !options.has_for)
		return wait_ready(deadline);
	return wait_processes(deadline, argv, argc);
}
