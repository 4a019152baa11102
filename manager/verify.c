#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include <bsd/string.h>

#include <event2/event.h>

#include "../common/check.h"
#include "../common/component.h"
#include "../common/imsg.h"
#include "../common/log.h"
#include "../common/spec.h"
#include "../common/stream.h"
#include "../common/url.h"
#include "../common/wire.h"
#include "logline.h"
#include "verify.h"

/*
 * The verification of one process: its verifiers one after the other, each
 * within its own timeout.  What needs the network is done by the verifier
 * program, command checks and pymanager's classes are processes, files are
 * looked at by the parent; exits are known here.
 */

RB_HEAD(verification_tree, verification);

static struct verification_tree verifications = RB_INITIALIZER(&verifications);
static uint32_t last_handle;
static uint32_t last_probe;

static struct event *watch; /* of the verifier program */
static int heard; /* something from it since the watch began */

#define VERIFIER_SECONDS 5
#define WORDS_LINES 3 /* of a command's output; the last may be empty */
#define WORDS_PATIENCE SECOND

static void attempt(struct verification *);
static void watch_verifier(void);

static int
verification_compare(struct verification *a, struct verification *b)
{
	return a->handle < b->handle ? -1 : a->handle > b->handle;
}

RB_GENERATE_INTERNAL(verification_tree, verification, entry,
    verification_compare, __attribute__((__unused__)) static)

static struct verification *
find(uint32_t handle)
{
	struct verification key;

	memset(&key, 0, sizeof(key));
	key.handle = handle;
	return RB_FIND(verification_tree, &verifications, &key);
}

static void
drop_handle(struct verification *v)
{
	if (v->handle != 0)
		(void)RB_REMOVE(verification_tree, &verifications, v);
	v->handle = 0;
}

/* A new number for what is asked now, so that late answers to what was
 * asked before find nothing. */
static uint32_t
take_handle(struct verification *v, int probe)
{
	drop_handle(v);
	v->telling = v->drained = v->gone = 0;
	if (probe) {
		if (last_probe == 0)
			last_probe = PROBE_IDS |
			    (uint32_t)(now_mono() / MILLISECOND * 16 &
				0x3fffffff);
		v->handle = ++last_probe;
	} else {
		if (++last_handle >= PROBE_IDS)
			last_handle = 1;
		v->handle = last_handle;
	}
	(void)RB_INSERT(verification_tree, &verifications, v);
	return v->handle;
}

/*
 * While checks are with the verifier something comes from it now and then: a
 * first attempt takes no longer than its own timeout.
 */
static void
watch_cb(int fd, short events, void *arg)
{
	struct verification *v;

	(void)fd;
	(void)events;
	(void)arg;
	RB_FOREACH (v, verification_tree, &verifications)
		if (v->remote)
			break;
	if (v == NULL)
		return;
	if (!heard && mgr.verifier != NULL)
		component_peer_late(ROLE_VERIFIER, 0);
	heard = 0;
	watch_verifier();
}

static void
watch_verifier(void)
{
	const struct timeval tv = {VERIFIER_SECONDS, 0};

	if (watch == NULL)
		watch = evtimer_new(mgr.base, watch_cb, NULL);
	if (watch != NULL && !evtimer_pending(watch, NULL))
		(void)evtimer_add(watch, &tv);
}

static const struct verify_config *
current(const struct verification *v)
{
	return &v->process->job->config->verifiers[v->index];
}

static struct verdict *
verdict_of(struct process *p)
{
	if (p->verdict == NULL) {
		p->verdict = calloc(1, sizeof(*p->verdict));
		if (p->verdict == NULL)
			fatal("process %u: verdict", p->id);
		(void)strlcpy(p->verdict->kind,
		    p->job->config->verifiers[0].kind_name,
		    sizeof(p->verdict->kind));
	}
	return p->verdict;
}

const char *
verify_reason(const struct process *p)
{
	return p->verdict == NULL ? "" : p->verdict->last;
}

static void
note(struct verification *v, const char *text)
{
	struct verdict *d;

	d = verdict_of(v->process);
	(void)strlcpy(d->kind, current(v)->kind_name, sizeof(d->kind));
	d->attempts = v->attempts;
	d->elapsed = now_mono() - v->began;
	logline_clean(d->last, sizeof(d->last), text);
	process_touch(v->process);
}

/* ---- ends ----------------------------------------------------------- */

/* The parent and the relay need it no longer for its words. */
static void
forget_told(struct verification *v)
{
	if (v->gone)
		manager_forget_probe(v->handle);
	v->gone = v->telling = v->drained = 0;
}

/* Stops what goes on outside for this attempt. */
static void
stop_activity(struct verification *v)
{
	struct wire w;

	if (v->handle == 0)
		return;
	if (v->remote && mgr.verifier != NULL)
		(void)channel_send(
		    mgr.verifier, IMSG_CHECK_STOP, v->handle, -1, NULL, 0);
	if (v->handle >= PROBE_IDS) {
		wire_init(&w);
		wire_put_u32(&w, v->handle);
		wire_put_u32(&w, 1);
		(void)manager_send(IMSG_PROC_KILL, 0, &w);
		wire_free(&w);
	}
	v->remote = 0;
	forget_told(v);
	drop_handle(v);
}

void
verify_cancel(struct process *p)
{
	struct verification *v;

	v = p->verification;
	if (v == NULL)
		return;
	p->verification = NULL;
	stop_activity(v);
	(void)event_del(&v->deadline);
	(void)event_del(&v->pause);
	free(v);
}

static void
print_failure(const struct verification *v, const char *text)
{
	if (mgr.config->messages &
	    (MESSAGE_VERIFIER_FAIL | MESSAGE_VERIFIER_VERBOSE))
		console_tell(LOG_LEVEL_WARNING, "Verifier fail: %s\n", text);
	log_debug(
	    "%s: %s: %s", v->process->job->name, current(v)->kind_name, text);
}

static void
failed(struct verification *v, const char *text)
{
	struct process *p;

	p = v->process;
	note(v, text);
	verify_cancel(p);
	process_event(p, EVENT_VERIFY_FAILED);
}

static void
start_timer(struct event *ev, uint64_t ns)
{
	struct timeval tv;

	tv.tv_sec = (time_t)(ns / SECOND);
	tv.tv_usec = (suseconds_t)(ns % SECOND / 1000);
	(void)evtimer_add(ev, &tv);
}

static void
start_current(struct verification *v)
{
	v->began = now_mono();
	v->attempts = 0;
	v->next_pause = 5 * MILLISECOND;
	(void)event_del(&v->deadline);
	if (current(v)->timeout != 0)
		start_timer(&v->deadline, current(v)->timeout);
	attempt(v);
}

static void
passed(struct verification *v, const char *text)
{
	struct process *p;

	p = v->process;
	note(v, text);
	stop_activity(v);
	if (v->index + 1 < p->job->config->nverifiers) {
		v->index++;
		start_current(v);
		return;
	}
	verify_cancel(p);
	process_event(p, EVENT_VERIFIED);
}

/* An attempt failed; there may be another. */
static void
attempt_failed(struct verification *v, const char *text)
{
	const struct verify_config *c;

	c = current(v);
	note(v, text);
	print_failure(v, text);
	start_timer(&v->pause,
	    v->next_pause < c->interval ? v->next_pause : c->interval);
	v->next_pause *= 2;
}

static void
deadline_cb(int fd, short ev, void *arg)
{
	struct verification *v;
	const struct verify_config *c;
	char text[160];
	double seconds;

	(void)fd;
	(void)ev;
	v = arg;
	c = current(v);
	seconds = (double)c->timeout / (double)SECOND;
	if (c->kind == VERIFY_EXITED) {
		(void)snprintf(text, sizeof(text),
		    "Process did not exit in given timeframe %gs", seconds);
		print_failure(v, text);
	} else if (v->attempts == 0 || v->process->verdict == NULL ||
	    v->process->verdict->last[0] == '\0')
		(void)snprintf(
		    text, sizeof(text), "no answer within %g s", seconds);
	else
		(void)snprintf(text, sizeof(text), "%.120s, gave up after %g s",
		    v->process->verdict->last, seconds);
	failed(v, text);
}

static void
pause_cb(int fd, short ev, void *arg)
{
	(void)fd;
	(void)ev;
	attempt(arg);
}

/* ---- attempts ------------------------------------------------------- */

static void
put_strings(struct wire *w, const struct strings *s)
{
	size_t i;

	wire_put_u32(w, (uint32_t)s->count);
	for (i = 0; i < s->count; i++)
		wire_put_str(w, s->list[i]);
}

static void
put_check(struct wire *w, const struct verify_config *c)
{
	size_t i;
	enum check_kind kind;

	kind = c->kind == VERIFY_TCP ? CHECK_TCP :
	    c->kind == VERIFY_UNIX   ? CHECK_UNIX :
	    c->unix_path != NULL     ? CHECK_HTTP_UNIX :
				       CHECK_HTTP;
	wire_put_u8(w, (uint8_t)kind);
	wire_put_u8(w, CHECK_UNTIL_PASSED);
	wire_put_u8(w,
	    c->pymanager && (mgr.config->messages & MESSAGE_VERIFIER_VERBOSE));
	wire_put_u8(w, (uint8_t)c->pymanager);
	wire_put_u64(w, c->interval);
	wire_put_u64(w, c->attempt_timeout);
	wire_put_u32(w, c->entry);
	wire_put_str(w, c->host);
	wire_put_u16(w, c->port);
	wire_put_str(w, c->url);
	wire_put_str(w, c->method);
	put_strings(w, &c->headers);
	wire_put_u32(w, (uint32_t)c->nstatuses);
	for (i = 0; i < c->nstatuses; i++) {
		wire_put_u16(w, c->statuses[i].from);
		wire_put_u16(w, c->statuses[i].to);
	}
	wire_put_str(w, c->body);
	put_strings(w, &c->expect_headers);
	wire_put_u8(w, (uint8_t)c->redirects);
	wire_put_u8(w, (uint8_t)c->insecure);
	wire_put_bytes(w, c->ca, c->ca_len);
}

static void
send_check(struct verification *v)
{
	struct wire w;

	v->remote = 1;
	watch_verifier();
	(void)take_handle(v, 0);
	if (mgr.verifier == NULL)
		return; /* verify_resume() sends it */
	wire_init(&w);
	put_check(&w, current(v));
	(void)channel_send_wire(
	    mgr.verifier, IMSG_CHECK_START, v->handle, -1, &w);
	wire_free(&w);
}

static void
send_probe(struct verification *v)
{
	struct wire w;

	wire_init(&w);
	wire_put_u32(&w, take_handle(v, 1));
	wire_put_u32(&w, 1);
	wire_put_u32(&w, current(v)->entry);
	wire_put_u32(&w, v->process->instance);
	wire_put_u32(&w, 0);
	wire_put_u32(&w, v->process->id);
	wire_put_str(&w, "");
	(void)manager_send(IMSG_PROC_SPAWN, 0, &w);
	wire_free(&w);
	v->attempts++;
	if (current(v)->kind == VERIFY_COMMAND)
		start_timer(&v->pause, current(v)->attempt_timeout);
}

/* ---- what a command has said ---------------------------------------- */

static void
command_failed(struct verification *v, const char *words)
{
	char text[160];

	(void)snprintf(text, sizeof(text), "%s%s%s", v->failure,
	    words[0] == '\0' ? "" : ": ", words);
	forget_told(v);
	drop_handle(v);
	(void)event_del(&v->pause);
	if (current(v)->kind == VERIFY_CUSTOM)
		failed(v, text);
	else
		attempt_failed(v, text);
}

/*
 * All that it has written has been read: a command's last line is the reason,
 * what a class prints is on its way to where ours go.
 */
static void
ask_for_words(struct verification *v)
{
	if (current(v)->kind == VERIFY_CUSTOM)
		command_failed(v, "");
	else
		tail_ask(v->handle, STREAM_STDOUT, WORDS_LINES);
}

/* 0: there is nobody who has its output. */
static int
wait_for_words(struct verification *v, const char *failure)
{
	if (mgr.relay == NULL)
		return 0;
	(void)strlcpy(v->failure, failure, sizeof(v->failure));
	v->telling = 1;
	start_timer(&v->pause, WORDS_PATIENCE);
	if (v->drained)
		ask_for_words(v);
	return 1;
}

void
verify_probe_drained(uint32_t id)
{
	struct verification *v;

	v = find(id);
	if (v == NULL || v->drained)
		return;
	v->drained = 1;
	if (v->telling && mgr.relay != NULL)
		ask_for_words(v);
}

void
verify_probe_said(uint32_t id, const void *data, size_t len)
{
	struct verification *v;
	char raw[96];
	char text[4 * sizeof(raw)];
	const char *line;
	const char *s = data;

	v = find(id);
	if (v == NULL || !v->telling)
		return;
	while (len > 0 &&
	    (s[len - 1] == '\n' || s[len - 1] == '\r' || s[len - 1] == ' '))
		len--;
	line = memrchr(s, '\n', len);
	line = line == NULL ? s : line + 1;
	(void)snprintf(
	    raw, sizeof(raw), "%.*s", (int)(len - (size_t)(line - s)), line);
	logline_clean(text, sizeof(text), raw);
	command_failed(v, text);
}

int
verify_probe_gone(uint32_t id)
{
	struct verification *v;

	v = find(id);
	if (v == NULL || !v->telling)
		return 0;
	v->gone = 1;
	return 1;
}

/* The pause timer of a command that still runs: it is too slow. */
static int
probe_too_slow(struct verification *v)
{
	char text[80];

	if (v->handle < PROBE_IDS)
		return 0;
	if (v->telling) { /* the relay is lost, or late */
		command_failed(v, "");
		return 1;
	}
	stop_activity(v);
	(void)snprintf(text, sizeof(text), "command timed out after %g s",
	    (double)current(v)->attempt_timeout / (double)SECOND);
	attempt_failed(v, text);
	return 1;
}

static void
attempt(struct verification *v)
{
	struct wire w;

	switch (current(v)->kind) {
	case VERIFY_HTTP:
	case VERIFY_TCP:
	case VERIFY_UNIX:
		send_check(v);
		break;
	case VERIFY_EXITED:
		break;
	case VERIFY_COMMAND:
	case VERIFY_CUSTOM:
		if (!probe_too_slow(v))
			send_probe(v);
		break;
	case VERIFY_FILE:
		wire_init(&w);
		wire_put_u32(&w, current(v)->entry);
		(void)manager_send(IMSG_FILE_STAT, take_handle(v, 0), &w);
		wire_free(&w);
		v->attempts++;
		break;
	}
}

void
verify_begin(struct process *p)
{
	struct verification *v;

	if (p->verification != NULL) {
		/* A restart within its time: the deadline stands, but what
		 * the one before has passed says nothing of this one. */
		if (p->verification->index > 0) {
			stop_activity(p->verification);
			(void)event_del(&p->verification->pause);
			p->verification->index = 0;
		}
		attempt(p->verification);
		return;
	}
	v = calloc(1, sizeof(*v));
	if (v == NULL)
		fatal("process %u: verification", p->id);
	v->process = p;
	(void)evtimer_assign(&v->deadline, mgr.base, deadline_cb, v);
	(void)evtimer_assign(&v->pause, mgr.base, pause_cb, v);
	p->verification = v;
	(void)verdict_of(p);
	p->verdict->attempts = 0;
	p->verdict->elapsed = 0;
	p->verdict->last[0] = '\0';
	start_current(v);
}

/* ---- answers -------------------------------------------------------- */

void
verify_process_ended(struct process *p, int comes_back)
{
	struct verification *v;
	char end[64];
	char text[160];
	int code;

	v = p->verification;
	if (v == NULL)
		return;
	code = process_code(p->status);
	switch (current(v)->kind) {
	case VERIFY_EXITED:
		if (code == current(v)->expect_code) {
			(void)snprintf(
			    text, sizeof(text), "exit code %d", code);
			passed(v, text);
			return;
		}
		(void)snprintf(text, sizeof(text),
		    "Expected exit code %d, got %d", current(v)->expect_code,
		    code);
		print_failure(v, text);
		failed(v, text);
		return;
	case VERIFY_CUSTOM:
		return; /* it is told, and decides */
	default:
		break;
	}
	stop_activity(v);
	(void)event_del(&v->pause);
	if (comes_back)
		return;
	process_end_text(p, end, sizeof(end));
	(void)snprintf(text, sizeof(text), "%s before it was verified", end);
	failed(v, text);
}

void
verify_resume(struct channel *channel)
{
	struct verification *v;
	struct wire w;

	mgr.verifier = channel;
	RB_FOREACH (v, verification_tree, &verifications) {
		if (!v->remote)
			continue;
		wire_init(&w);
		put_check(&w, current(v));
		(void)channel_send_wire(
		    channel, IMSG_CHECK_START, v->handle, -1, &w);
		wire_free(&w);
	}
}

/* pymanager's words for a failed attempt of its own verifier. */
static void
attempt_text(const struct verify_config *c, uint16_t status, const char *detail,
    char *buf, size_t size)
{
	if (!c->pymanager)
		(void)snprintf(buf, size, "%s", detail);
	else if (status != 0)
		(void)snprintf(buf, size, "Got status %u from server.", status);
	else
		(void)snprintf(buf, size, "Connection error: %s", detail);
}

/* One line for terminals and logs: the verifier has cleaned it. */
static int
is_line(const char *text)
{
	for (; *text != '\0'; text++)
		if ((unsigned char)*text < ' ' || *text == 0x7f)
			return 0;
	return 1;
}

int
verify_message(struct channel *channel, struct imsg *imsg)
{
	struct wire_reader r;
	struct verification *v;
	static char url[MAX_URL + 4];
	char detail[512];
	char text[600];
	uint16_t status;
	int ok;

	(void)channel;
	heard = 1;
	v = find(imsg_get_id(imsg));
	message_read(&r, imsg);
	switch (imsg_get_type(imsg)) {
	case IMSG_CHECK_TRYING:
		wire_get_string(&r, detail, sizeof(detail));
		if (wire_end(&r) == -1 ||
		    (v != NULL && v->remote && current(v)->url == NULL))
			return -1; /* it was not asked to tell that */
		if (v != NULL && v->remote)
			console_tell(LOG_LEVEL_INFO,
			    "Verifier: Attempting connection to %s with a "
			    "timeout of %gs\n",
			    url_show(url, sizeof(url), current(v)->url),
			    (double)current(v)->attempt_timeout /
				(double)SECOND);
		return 0;
	case IMSG_CHECK_ATTEMPT:
		(void)wire_get_u32(&r);
		ok = wire_get_bool(&r);
		(void)wire_get_u64(&r);
		status = wire_get_u16(&r);
		wire_get_string(&r, detail, sizeof(detail));
		if (wire_end(&r) == -1 || !is_line(detail))
			return -1;
		break;
	default:
		return -1;
	}
	if (v == NULL || !v->remote)
		return 0;
	v->attempts++;
	if (ok) {
		v->remote = 0; /* it has ended the check by itself */
		passed(v, detail);
		return 0;
	}
	attempt_text(current(v), status, detail, text, sizeof(text));
	note(v, text);
	print_failure(v, text);
	progress_process(v->process);
	return 0;
}

/* What the exit status of verify-adapter means. */
static const char *
adapter_text(int code)
{
	switch (code) {
	case 0:
		return "verifier class returned True";
	case 2:
		return "verifier class cannot be used";
	case 3:
		return "verifier class returned False";
	case 4:
		return "verifier class raised an exception";
	default:
		return NULL;
	}
}

static void
probe_text(struct verification *v, int status, char *buf, size_t size)
{
	const int is_custom = current(v)->kind == VERIFY_CUSTOM;
	const char *what = is_custom ? "verifier" : "command";
	const char *text;
	char name[16];

	text = is_custom && WIFEXITED(status) ?
	    adapter_text(WEXITSTATUS(status)) :
	    NULL;
	if (text != NULL)
		(void)strlcpy(buf, text, size);
	else if (WIFSIGNALED(status)) {
		process_signal_name(WTERMSIG(status), name, sizeof(name));
		(void)snprintf(buf, size, "%s was ended by %s", what, name);
	} else
		(void)snprintf(buf, size, "%s exited with code %d", what,
		    WEXITSTATUS(status));
}

static void
cannot_start(const struct verification *v, uint8_t stage, int32_t error,
    char *buf, size_t size)
{
	if (stage == STAGE_ENVIRONMENT_FILE)
		(void)snprintf(buf, size,
		    "command cannot start: environment file: %s",
		    error == ECANCELED ? "it has ended its shell" :
					 strerrordesc_np(error));
	else
		(void)snprintf(buf, size, "%s cannot start: %s",
		    current(v)->kind == VERIFY_CUSTOM ? "python3" : "command",
		    strerrordesc_np(error));
}

void
verify_probe_ended(uint32_t id, int32_t status, uint8_t stage, int32_t error)
{
	struct verification *v;
	char text[160];

	v = find(id);
	if (v == NULL)
		return;
	(void)event_del(&v->pause);
	if (stage != STAGE_NONE)
		cannot_start(v, stage, error, text, sizeof(text));
	else
		probe_text(v, status, text, sizeof(text));
	if (stage == STAGE_NONE && WIFEXITED(status) &&
	    WEXITSTATUS(status) == 0) {
		drop_handle(v);
		passed(v, text);
		return;
	}
	if (stage == STAGE_NONE && wait_for_words(v, text))
		return;
	drop_handle(v);
	if (current(v)->kind == VERIFY_CUSTOM)
		failed(v, text);
	else
		attempt_failed(v, text);
}

void
verify_stat_done(uint32_t id, int32_t error, uint32_t mode)
{
	struct verification *v;
	char text[160];

	v = find(id);
	if (v == NULL || current(v)->kind != VERIFY_FILE)
		return;
	drop_handle(v);
	if (error == 0 && !S_ISDIR(mode)) {
		passed(v, "file is there");
		return;
	}
	(void)snprintf(text, sizeof(text), "%.100s: %s", current(v)->path,
	    error == 0 ? "is a directory" : strerrordesc_np(error));
	attempt_failed(v, text);
}
