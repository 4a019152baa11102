#include <sys/mman.h>

#include <errno.h>
#include <malloc.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

/* strvis(3) is the same in both; the header wants to be told. */
#define LIBBSD_OPENBSD_VIS
#include <bsd/vis.h>

#include <event2/event.h>

#include "../common/imsg.h"
#include "../common/log.h"
#include "../common/snapshot.h"
#include "../common/wire.h"
#include "files.h"
#include "manager.h"

/*
 * muster-manager: decides.  It is born with a snapshot of the configuration,
 * fills the parent's table from it, and from the seal on can only say when
 * an entry is used.
 */

struct manager mgr;

uint64_t
now_mono(void)
{
	struct timespec ts;

	(void)clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * SECOND + (uint64_t)ts.tv_nsec;
}

int64_t
now_wall(void)
{
	struct timespec ts;

	(void)clock_gettime(CLOCK_REALTIME, &ts);
	return (int64_t)ts.tv_sec * (int64_t)SECOND + ts.tv_nsec;
}

int
manager_send(uint32_t type, uint32_t id, const struct wire *w)
{
	if (w == NULL)
		return channel_send(mgr.parent, type, id, -1, NULL, 0);
	return channel_send_wire(mgr.parent, type, id, -1, w);
}

void
manager_ack(uint32_t process, uint32_t generation)
{
	struct wire w;

	wire_init(&w);
	wire_put_u32(&w, process);
	wire_put_u32(&w, generation);
	(void)manager_send(IMSG_PROC_ACK, 0, &w);
	wire_free(&w);
}

void
manager_daemon_ready(int code)
{
	struct wire w;

	wire_init(&w);
	wire_put_u8(&w, (uint8_t)code);
	(void)manager_send(IMSG_DAEMON_READY, 0, &w);
	wire_free(&w);
}

/* ---- the end of a turn ---------------------------------------------- */

static void
flush_cb(int fd, short ev, void *arg)
{
	(void)fd;
	(void)ev;
	(void)arg;
	launch_run();
	feed_flush();
	notify_flush();
	shutdown_check();
}

void
manager_later(void)
{
	event_active(mgr.flush, EV_TIMEOUT, 0);
}

/* ---- loading -------------------------------------------------------- */

static void
verdict(enum exit_code code, const char *text)
{
	struct wire w;

	wire_init(&w);
	wire_put_u8(&w, (uint8_t)code);
	wire_put_u8(&w, 1);
	wire_put_str(&w, text);
	(void)manager_send(IMSG_CFG_VERDICT, 0, &w);
	wire_free(&w);
}

#define MAX_SHOWN 20 /* errors under -n */

static void
refuse(const struct config_report *report, int strict)
{
	char text[MAX_SHOWN * 600];
	char line[600];
	size_t i;
	size_t n;
	size_t shown;

	n = 0;
	shown = 0;
	text[0] = '\0';
	for (i = 0; i < report->count; i++) {
		if (!report->list[i].error)
			continue;
		if (shown++ == (strict ? MAX_SHOWN : 1))
			break;
		(void)config_problem_text(&report->list[i], line, sizeof(line));
		n += (size_t)snprintf(text + n, sizeof(text) - n, "%s%s\n",
		    strict || report->code == EXIT_SYNTAX ? "" : "[ERROR] ",
		    line);
	}
	verdict(report->code, text);
}

/* What the configuration is warned of, until it can be told. */
static struct config_report warnings;

void
manager_warn(void)
{
	char line[600];
	size_t i;

	for (i = 0; i < warnings.count; i++) {
		(void)config_problem_text(
		    &warnings.list[i], line, sizeof(line));
		console_log(LOG_LEVEL_WARNING, "", line);
	}
	config_report_free(&warnings);
}

static void
stage(void)
{
	mgr.phase = PHASE_STAGING;
	if (jobs_make() == -1 || stage_all(mgr.birth != BIRTH_CRASH) == -1)
		fatalx("no memory for the table of jobs");
}

/* Loads the configuration; again when further files have come. */
static void
load(void)
{
	struct config_report report;
	int strict;

	memset(&report, 0, sizeof(report));
	strict = (mgr.snapshot->flags & SNAPSHOT_CHECK_ONLY) != 0;
	mgr.config =
	    config_load(mgr.snapshot, strict, files_get, NULL, &report);
	if (files_pending() > 0) {
		config_free(mgr.config);
		mgr.config = NULL;
		config_report_free(&report);
		return;
	}
	if (mgr.config == NULL)
		refuse(&report, strict);
	else {
		if (mgr.birth != BIRTH_CRASH && !strict) {
			warnings = report;
			memset(&report, 0, sizeof(report));
		}
		stage();
	}
	config_report_free(&report);
}

static int
got_snapshot(struct imsg *imsg)
{
	struct wire_reader r;
	int fd;

	message_read(&r, imsg);
	mgr.birth = wire_get_u8(&r);
	fd = imsg_get_fd(imsg);
	if (wire_end(&r) == -1 || fd == -1 || mgr.snapshot != NULL)
		return -1;
	mgr.snapshot = snapshot_open(fd);
	if (mgr.snapshot == NULL)
		fatal("snapshot");
	log_set_level(mgr.snapshot->verbosity >= 2 ? LOG_LEVEL_DEBUG :
		mgr.snapshot->verbosity == 1       ? LOG_LEVEL_INFO :
						     LOG_LEVEL_WARNING);
	load();
	return 0;
}

static int
seal_refused(struct imsg *imsg)
{
	struct config_report report;
	struct wire_reader r;
	char text[512];
	uint32_t entry;
	int32_t error;
	uint8_t stage_of;

	message_read(&r, imsg);
	entry = wire_get_u32(&r);
	stage_of = wire_get_u8(&r);
	error = wire_get_i32(&r);
	wire_get_string(&r, text, sizeof(text));
	if (wire_end(&r) == -1)
		return -1;
	memset(&report, 0, sizeof(report));
	stage_blame(&report, entry, stage_of, error, text);
	refuse(&report, (mgr.snapshot->flags & SNAPSHOT_CHECK_ONLY) != 0);
	config_report_free(&report);
	return 0;
}

/* Under -n a warning is an error, as those of the file are. */
static int
seal_warning(struct imsg *imsg)
{
	const int strict = (mgr.snapshot->flags & SNAPSHOT_CHECK_ONLY) != 0;
	struct config_report report;
	struct wire_reader r;
	uint32_t entry;
	uint8_t stage_of;

	message_read(&r, imsg);
	entry = wire_get_u32(&r);
	stage_of = wire_get_u8(&r);
	if (wire_end(&r) == -1)
		return -1;
	if (!strict) {
		if (mgr.birth != BIRTH_CRASH)
			stage_blame(&warnings, entry, stage_of, 0, "");
		return 0;
	}
	memset(&report, 0, sizeof(report));
	stage_blame(&report, entry, stage_of, 1, "");
	refuse(&report, strict);
	config_report_free(&report);
	return 0;
}

/* ---- channels ------------------------------------------------------- */

static int
relay_message(struct channel *c, struct imsg *imsg, void *arg)
{
	struct wire_reader r;
	struct process *p;
	const void *data;
	size_t len;
	uint32_t generation;
	uint32_t id;

	(void)c;
	(void)arg;
	message_read(&r, imsg);
	switch (imsg_get_type(imsg)) {
	case IMSG_STREAM_DRAINED:
		id = wire_get_u32(&r);
		generation = wire_get_u32(&r);
		if (wire_end(&r) == -1)
			return -1;
		p = process_find(id);
		if (id >= PROBE_IDS)
			verify_probe_drained(id);
		else if (p != NULL && p->generation == generation) {
			p->drained = generation;
			process_drained(p);
		}
		return 0;
	case IMSG_STREAM_TAIL_DONE:
		data = wire_get_bytes(&r, MAX_READ, &len);
		if (wire_end(&r) == -1)
			return -1;
		if (imsg_get_id(imsg) >= PROBE_IDS)
			verify_probe_said(imsg_get_id(imsg), data, len);
		else
			tail_done(imsg_get_id(imsg), data, len);
		return 0;
	case IMSG_CONSOLE_FLUSHED:
		if (imsg_get_id(imsg) == FLUSH_RUNNER)
			launch_flushed();
		else
			shutdown_flushed();
		return 0;
	default:
		return -1;
	}
}

/*
 * Without memory for a message, the peer is still there and will not be
 * introduced again: then it is better that we are replaced.
 */
static void
peer_lost(const char *name, const char *why)
{
	if (channel_no_memory(why))
		fatalx("%s: %s", name, why);
	log_debug("%s: %s", name, why);
}

static void
relay_lost(struct channel *c, const char *why, void *arg)
{
	(void)arg;
	peer_lost("relay", why);
	component_peer_lost(ROLE_RELAY, 0, why);
	if (mgr.relay == c)
		mgr.relay = NULL;
	channel_free(c);
}

static int
verifier_message(struct channel *c, struct imsg *imsg, void *arg)
{
	(void)arg;
	return verify_message(c, imsg);
}

static void
verifier_lost(struct channel *c, const char *why, void *arg)
{
	(void)arg;
	peer_lost("verifier", why);
	component_peer_lost(ROLE_VERIFIER, 0, why);
	if (mgr.verifier == c)
		mgr.verifier = NULL;
	channel_free(c);
}

static int
worker_message(struct channel *c, struct imsg *imsg, void *arg)
{
	unsigned int worker;

	(void)c;
	worker = (unsigned int)((struct worker *)arg - mgr.workers);
	if (imsg_get_type(imsg) == IMSG_FEED_READ) {
		if (imsg_get_len(imsg) != 0 || feed_was_read(worker) == -1)
			return -1;
		shutdown_read();
		return 0;
	}
	return request_message(worker, imsg);
}

static void
worker_lost(struct channel *c, const char *why, void *arg)
{
	struct worker *w;

	peer_lost("httpd", why);
	w = arg;
	component_peer_lost(ROLE_HTTPD, (uint32_t)(w - mgr.workers), why);
	if (w->channel == c) {
		w->channel = NULL;
		w->fed = 0;
		request_worker_lost((unsigned int)(w - mgr.workers));
	}
	channel_free(c);
}

/* Nobody is introduced twice: who cannot listen to a peer is replaced. */
static int
got_peer(struct imsg *imsg)
{
	struct wire_reader r;
	struct channel *c;
	struct worker *w;
	uint32_t instance;
	uint8_t role;
	int fd;

	message_read(&r, imsg);
	role = wire_get_u8(&r);
	instance = wire_get_u32(&r);
	fd = imsg_get_fd(imsg);
	if (wire_end(&r) == -1 || fd == -1)
		return -1;
	switch (role) {
	case ROLE_RELAY:
		channel_free(mgr.relay);
		mgr.relay = channel_new(
		    mgr.base, fd, 0, relay_message, relay_lost, NULL);
		if (mgr.relay == NULL)
			fatal("no channel to the relay");
		return 0;
	case ROLE_VERIFIER:
		channel_free(mgr.verifier);
		c = channel_new(
		    mgr.base, fd, 0, verifier_message, verifier_lost, NULL);
		if (c == NULL)
			fatal("no channel to the verifier");
		verify_resume(c);
		return 0;
	case ROLE_HTTPD:
		if (instance >= MAX_WORKERS)
			break;
		w = &mgr.workers[instance];
		if (w->channel != NULL) {
			request_worker_lost(instance);
			channel_free(w->channel);
		}
		w->fed = 0;
		w->owes = 0;
		w->channel = channel_new(
		    mgr.base, fd, 0, worker_message, worker_lost, w);
		if (w->channel == NULL)
			fatal("no channel to httpd %u", instance);
		if (mgr.phase >= PHASE_LAUNCHING)
			feed_worker(instance);
		else /* nothing can be answered yet */
			channel_pause(w->channel);
		return 0;
	default:
		break;
	}
	(void)close(fd);
	return -1;
}

static int
got_page(struct imsg *imsg)
{
	void *page;
	int fd;

	fd = imsg_get_fd(imsg);
	if (fd == -1)
		return -1;
	page = mmap(
	    NULL, sizeof(*mgr.page), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	(void)close(fd);
	if (page == MAP_FAILED)
		fatal("sequence page");
	mgr.page = page;
	/* It goes on where the manager of before was. */
	if (mgr.sequence < *mgr.page)
		mgr.sequence = *mgr.page;
	return 0;
}

/* ---- processes ------------------------------------------------------ */

void
manager_forget_probe(uint32_t id)
{
	struct wire w;

	wire_init(&w);
	wire_put_u32(&w, id);
	(void)manager_send(IMSG_PROC_FORGET, 0, &w);
	wire_free(&w);
}

static void
probe_kill(uint32_t id, uint32_t generation)
{
	struct wire w;

	wire_init(&w);
	wire_put_u32(&w, id);
	wire_put_u32(&w, generation);
	(void)manager_send(IMSG_PROC_KILL, 0, &w);
	wire_free(&w);
}

static int
got_started(struct wire_reader *r)
{
	struct process *p;
	uint32_t generation;
	uint32_t id;

	id = wire_get_u32(r);
	generation = wire_get_u32(r);
	p = process_find(id);
	if (p == NULL || p->generation != generation || !p->spawning)
		return id >= PROBE_IDS ? 0 : -1;
	p->pid = wire_get_i32(r);
	p->started = wire_get_u64(r);
	p->slot = wire_get_u32(r);
	if (wire_end(r) == -1)
		return -1;
	process_event(p, EVENT_STARTED);
	return 0;
}

static int
got_spawn_failed(struct wire_reader *r)
{
	struct process *p;
	uint32_t generation;
	uint32_t id;
	int32_t error;
	uint8_t stage_of;

	id = wire_get_u32(r);
	generation = wire_get_u32(r);
	stage_of = wire_get_u8(r);
	error = wire_get_i32(r);
	if (wire_end(r) == -1)
		return -1;
	if (id >= PROBE_IDS) {
		verify_probe_ended(id, 0, stage_of, error);
		manager_forget_probe(id);
		return 0;
	}
	p = process_find(id);
	if (p == NULL || p->generation != generation)
		return -1;
	p->stage = stage_of;
	p->error = error;
	p->pid = 0;
	process_event(p, EVENT_SPAWN_FAILED);
	return 0;
}

static int
got_exited(struct wire_reader *r)
{
	struct process *p;
	uint64_t ended;
	uint32_t generation;
	uint32_t id;
	int32_t status;
	int leftover;

	id = wire_get_u32(r);
	generation = wire_get_u32(r);
	status = wire_get_i32(r);
	ended = wire_get_u64(r);
	leftover = wire_get_bool(r);
	if (wire_end(r) == -1)
		return -1;
	if (id >= PROBE_IDS) {
		manager_ack(id, generation);
		if (leftover)
			probe_kill(id, generation);
		verify_probe_ended(id, status, STAGE_NONE, 0);
		return 0;
	}
	p = process_find(id);
	if (p == NULL || p->generation != generation)
		return -1;
	p->status = status;
	p->ended_at = ended;
	p->leftover = (uint8_t)leftover;
	process_event(p, EVENT_EXITED);
	if (!p->undrained) /* old news: nobody will tell it */
		manager_ack(id, generation);
	/* We have read the relay's channel before the parent's. */
	else if (p->drained == generation)
		process_drained(p);
	return 0;
}

static int
got_gone(struct wire_reader *r)
{
	struct process *p;
	uint32_t generation;
	uint32_t id;

	id = wire_get_u32(r);
	generation = wire_get_u32(r);
	if (wire_end(r) == -1)
		return -1;
	if (id >= PROBE_IDS) {
		if (!verify_probe_gone(id))
			manager_forget_probe(id);
		return 0;
	}
	p = process_find(id);
	if (p != NULL && p->generation == generation && p->leftover)
		process_event(p, EVENT_GONE);
	return 0;
}

static int
got_stat(struct imsg *imsg)
{
	struct wire_reader r;
	int32_t error;
	uint32_t mode;

	message_read(&r, imsg);
	error = wire_get_i32(&r);
	mode = wire_get_u32(&r);
	(void)wire_get_u64(&r);
	(void)wire_get_i64(&r);
	if (wire_end(&r) == -1)
		return -1;
	verify_stat_done(imsg_get_id(imsg), error, mode);
	return 0;
}

/* ---- signals -------------------------------------------------------- */

static void
end_by_signal(int signal)
{
	int code;

	code = mgr.snapshot->flags & SNAPSHOT_RUNNER ? 128 + signal : 0;
	if (mgr.phase < PHASE_LAUNCHING) {
		struct wire w;

		wire_init(&w);
		wire_put_u8(&w, (uint8_t)code);
		(void)manager_send(IMSG_QUIT, 0, &w);
		wire_free(&w);
		return;
	}
	if (shutting_down()) {
		if (signal != SIGINT)
			return;
		if (shutdown_is_the_same())
			mgr.exit_code = code;
		else
			shutdown_force();
		return;
	}
	console_tell(LOG_LEVEL_INFO,
	    "Shutting down gracefully (SIGINT again to terminate "
	    "immediately)...\n");
	shutdown_begin(code);
}

static void
reload(void)
{
	notify_reloading();
	/* Ids will not follow from the file any more. */
	blob_name_all();
	(void)manager_send(IMSG_RELOAD, 0, NULL);
}

/* The parent tells each new manager of all signals that ask for the end. */
static void
asked_to_end(int signal)
{
	if (mgr.replayed > 0) {
		mgr.replayed--;
		return;
	}
	mgr.signals++;
	end_by_signal(signal);
	blob_global();
}

static int
got_signal(struct wire_reader *r)
{
	int32_t signal;
	int hangup;

	signal = wire_get_i32(r);
	hangup = wire_get_bool(r);
	if (wire_end(r) == -1)
		return -1;
	switch (signal) {
	case SIGTERM:
	case SIGINT:
	case SIGQUIT:
		asked_to_end(signal);
		break;
	case SIGHUP:
		if (hangup)
			end_by_signal(signal);
		else if (!shutting_down() && mgr.phase >= PHASE_LAUNCHING)
			reload();
		break;
	case SIGUSR1:
		(void)manager_send(IMSG_REOPEN, 0, NULL);
		break;
	default:
		log_warnx("upgrade in place (SIGUSR2) is not available in this "
			  "version");
		break;
	}
	return 0;
}

/* ---- the parent's messages ------------------------------------------ */

static int
got_log(uint32_t id, struct wire_reader *r)
{
	/* A sane program has escaped it: then nothing changes. */
	const int how = VIS_CSTYLE | VIS_OCTAL | VIS_NL | VIS_NOSLASH;
	char program[64];
	char text[4200];
	char clean[4 * sizeof(text)];
	uint8_t level;

	level = wire_get_u8(r);
	wire_get_string(r, program, sizeof(program));
	wire_get_string(r, text, sizeof(text));
	if (wire_end(r) == -1)
		return -1;
	(void)strvis(clean, text, how);
	if (mgr.snapshot != NULL)
		console_log(level, program, clean);
	(void)channel_send(mgr.parent, IMSG_LOG_TAKEN, id, -1, NULL, 0);
	return 0;
}

static int
got_reload_done(struct wire_reader *r)
{
	static const char mark[] = "[ERROR] "; /* the log has its own */
	char text[8192];
	uint8_t code;
	size_t skip;

	code = wire_get_u8(r);
	wire_get_string(r, text, sizeof(text));
	if (wire_end(r) == -1)
		return -1;
	skip =
	    strncmp(text, mark, sizeof(mark) - 1) == 0 ? sizeof(mark) - 1 : 0;
	if (code != 0)
		console_log(LOG_LEVEL_ERROR, "reload refused", text + skip);
	notify_ready();
	return 0;
}

static int
sealed(void)
{
	if (mgr.snapshot->flags & SNAPSHOT_CHECK_ONLY) {
		verdict(EXIT_OK, "configuration OK\n");
		return 0;
	}
	mgr.phase = PHASE_ADOPTING;
	if (mgr.birth == BIRTH_BOOT)
		manager_warn();
	stage_end();
	notify_begin();
	snapshot_release(mgr.snapshot);
	(void)malloc_trim(0);
	if (mgr.birth == BIRTH_BOOT &&
	    (mgr.snapshot->flags & (SNAPSHOT_DAEMON | SNAPSHOT_DAEMON_WAIT)) ==
		SNAPSHOT_DAEMON)
		manager_daemon_ready(0);
	return 0;
}

static int
world(struct imsg *imsg)
{
	unsigned int i;

	if (world_message(imsg) == -1)
		return -1;
	if (imsg_get_type(imsg) != IMSG_WORLD_END)
		return 0;
	for (i = 0; i < MAX_WORKERS; i++)
		if (mgr.workers[i].channel != NULL) {
			feed_worker(i);
			channel_resume(mgr.workers[i].channel);
		}
	return 0;
}

/* Messages of which the payload is all that matters. */
static int
dispatch_payload(struct imsg *imsg)
{
	struct wire_reader r;

	message_read(&r, imsg);
	/* What happened before the state of the world came is part of it. */
	if (mgr.phase < PHASE_LAUNCHING &&
	    imsg_get_type(imsg) >= IMSG_PROC_STARTED &&
	    imsg_get_type(imsg) <= IMSG_PROC_GONE)
		return 0;
	switch (imsg_get_type(imsg)) {
	case IMSG_PROC_STARTED:
		return got_started(&r);
	case IMSG_PROC_SPAWN_FAILED:
		return got_spawn_failed(&r);
	case IMSG_PROC_EXITED:
		return got_exited(&r);
	case IMSG_PROC_GONE:
		return got_gone(&r);
	case IMSG_SIGNALLED:
		return got_signal(&r);
	case IMSG_LOG:
		return got_log(imsg_get_id(imsg), &r);
	case IMSG_RELOAD_DONE:
		return got_reload_done(&r);
	default:
		return -1;
	}
}

static int
dispatch(struct channel *c, struct imsg *imsg, void *arg)
{
	(void)c;
	(void)arg;
	switch (imsg_get_type(imsg)) {
	case IMSG_CFG_SNAPSHOT:
		return got_snapshot(imsg);
	case IMSG_CFG_INCLUDED:
		if (files_answer(imsg) == -1)
			return -1;
		if (files_pending() == 0)
			load();
		return 0;
	case IMSG_SEALED:
		/* Once: what was launched since then must not be forgotten. */
		return mgr.phase == PHASE_STAGING ? sealed() : -1;
	case IMSG_SEAL_REFUSED:
		return mgr.phase == PHASE_STAGING ? seal_refused(imsg) : -1;
	case IMSG_SEAL_WARNING:
		return seal_warning(imsg);
	case IMSG_PEER:
		return got_peer(imsg);
	case IMSG_SEQUENCE_PAGE:
		return got_page(imsg);
	case IMSG_WORLD_PROC:
	case IMSG_WORLD_BLOB:
	case IMSG_WORLD_END:
		return world(imsg);
	case IMSG_PROC_BARRIER_DONE:
		launch_barrier_done(imsg_get_id(imsg));
		return 0;
	case IMSG_FILE_STAT_DONE:
		return got_stat(imsg);
	case IMSG_COMPONENT_LOST:
		return 0; /* the parent has told it by LOG */
	default:
		return dispatch_payload(imsg);
	}
}

static void
ready(struct component *component)
{
	mgr.component = component;
	mgr.base = component->base;
	mgr.parent = component->parent;
	STAILQ_INIT(&mgr.dirty);
	mgr.flush = event_new(mgr.base, -1, 0, flush_cb, NULL);
	if (mgr.flush == NULL)
		fatalx("no memory");
}

int
main(int argc, char **argv)
{
	static struct component component = {
	    .name = "manager",
	    .role = SANDBOX_MANAGER,
	    .dispatch = dispatch,
	    .ready = ready,
	};

	component_run(&component, argc, argv);
}
