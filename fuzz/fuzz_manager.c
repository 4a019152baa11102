/* sources: fuzz/frame.c fuzz/fresh.c manager/blob.c manager/config.c
 * manager/config_access.c manager/config_check.c
 * manager/config_environment.c manager/config_job.c manager/config_keys.c
 * manager/config_memory.c manager/config_output.c manager/config_procfile.c
 * manager/config_schema.c
 * manager/config_top.c manager/config_url.c manager/config_value.c
 * manager/config_verifier.c manager/config_verify.c manager/config_words.c
 * manager/console.c manager/feed.c manager/files.c
 * manager/environment_file.c manager/failure.c manager/jobs.c
 * manager/launch.c manager/logline.c manager/notify.c manager/process.c
 * manager/progress.c manager/reload.c manager/request.c manager/restart.c
 * manager/shutdown.c manager/snapshot.c manager/stage.c
 * manager/stage_listen.c manager/stop.c manager/suggest.c manager/tail.c
 * manager/verify.c manager/world.c
 * common/channel.c common/document.c common/document_json.c
 * common/document_yaml.c common/imsg.c common/bucket.c common/imsg_buffer.c
 * common/suggest.c common/url.c common/wire.c */
/* libs: event_core bsd yaml jansson */
/* covers: manager/manager.c */
/*
 * What the components may say to the manager: its real dispatch functions,
 * from a loaded configuration on, with channels that lead nowhere.
 *
 * Input as in frame.h: who WHO_*, type an index of the messages of that
 * sender.
 */
#include "../manager/verify.h"
#include "frame.h"

/* The program's own dispatch functions can be seen in its file alone. */
#define main program_main
/* NOLINTNEXTLINE(bugprone-suspicious-include) */
#include "../manager/manager.c"
#undef main

#define OPT_BEGUN 1 /* sealed, nothing runs: the launch begins */
#define OPT_GRAPH 2 /* jobs with `after` */
#define OPT_CRASH 4 /* after the crash of another manager */
#define OPT_RELOAD 8 /* after a reload */
#define OPT_RUNNER 16 /* -x */
#define OPT_PEERS 32 /* all components are there */
#define OPT_VERBOSE 64
#define OPT_UNSEALED 128
#define CHECK_ONLY (OPT_CRASH | OPT_RELOAD) /* musterd -n */

#define WHO_PARENT 0
#define WHO_RELAY 1
#define WHO_VERIFIER 2
#define WHO_WORKER 3 /* and the next */
#define WHO_TIME 5 /* type: in 10 ms, id: times 256 of these */
#define WHO_GONE 6 /* type: role, id: instance */
#define WHO_COUNT 7

#define OURS 0x80 /* in id: the check or probe of process id & 0x7f */

static const uint32_t of_parent[] = {IMSG_PROC_STARTED, IMSG_PROC_SPAWN_FAILED,
    IMSG_PROC_EXITED, IMSG_PROC_GONE, IMSG_PROC_BARRIER_DONE, IMSG_SIGNALLED,
    IMSG_FILE_STAT_DONE, IMSG_PEER, IMSG_LOG, IMSG_RELOAD_DONE,
    IMSG_COMPONENT_LOST, IMSG_WORLD_PROC, IMSG_WORLD_BLOB, IMSG_WORLD_END,
    IMSG_SEALED, IMSG_SEAL_REFUSED, IMSG_CFG_INCLUDED, IMSG_CFG_SNAPSHOT,
    IMSG_SEQUENCE_PAGE, IMSG_SEAL_WARNING, IMSG_BLOB_SET};
static const uint32_t of_relay[] = {IMSG_STREAM_DRAINED, IMSG_STREAM_TAIL_DONE,
    IMSG_CONSOLE_FLUSHED, IMSG_STREAM_READ_DONE};
static const uint32_t of_verifier[] = {
    IMSG_CHECK_ATTEMPT, IMSG_CHECK_TRYING, IMSG_CHECK_START};
static const uint32_t of_worker[] = {
    IMSG_REQUEST, IMSG_REQUEST_DONE, IMSG_REFUSED, IMSG_FEED_READ};

static const char in_order[] =
    "http: {enabled: true, allow-users: [7]}\n"
    "processes:\n"
    "  plain: {command: /bin/a, instances: 2, restart: always,"
    " backoff: {initial: 200ms, max: 1s, reset-after: 1s},"
    " start-limit: {count: 2, within: 1m, retry-after: 2s}}\n"
    "  file: {command: /bin/b, verify: [{file: /f}, {unix: /s}]}\n"
    "  web: {command: /bin/c, verify: {http: \"http://127.0.0.1/\"},"
    " stop: [{signal: INT, wait: 1s}, {signal: TERM, wait: 2s}]}\n"
    "  late: {command: /bin/d, verify: {tcp: 80, timeout: 1s}}\n"
    "  probe: {command: /bin/e, verify: {command: /bin/true}}\n"
    "  once: {command: /bin/f, verify: exited}\n";

static const char in_graph[] =
    "keep-alive: false\n"
    "log-format: json\n"
    "processes:\n"
    "  db: {command: /bin/a, restart: always, verify: {tcp: 5432}}\n"
    "  migrate: {command: /bin/b, after: [db], verify: exited}\n"
    "  web: {command: /bin/c, instances: 3, restart: on-failure,"
    " after: {db: verified, migrate: exited},"
    " verify: {http+unix: /s, interval: 200ms}}\n"
    "  hand: {command: /bin/d, autostart: false}\n";

/* ---- the components ------------------------------------------------------ */

/* What must hold, whatever was said. */
static void
invariants(void)
{
	const struct process *p;
	uint32_t i;

	for (i = 0; i < mgr.nprocesses; i++) {
		p = mgr.processes[i];
		check(p->state < STATE_COUNT && p->id != 0);
		check(i == 0 || p->id > mgr.processes[i - 1]->id);
		check(process_find(p->id) == p);
		check(p->verification == NULL || p->verification->process == p);
	}
	check(mgr.phase >= PHASE_LAUNCHING || STAILQ_EMPTY(&mgr.dirty));
}

static uint32_t
handle_of(uint8_t id)
{
	const struct verification *v;

	if ((id & (OURS - 1)) >= mgr.nprocesses)
		return id;
	v = mgr.processes[id & (OURS - 1)]->verification;
	return v == NULL ? id : v->handle;
}

/* The descriptor that comes with it, or -1. */
static int
descriptor(uint32_t type)
{
	int fd;

	switch (type) {
	case IMSG_PEER:
		return frame_connection();
	case IMSG_SEQUENCE_PAGE:
		fd = memfd_create("page", MFD_CLOEXEC);
		check(fd != -1 && ftruncate(fd, 4096) == 0);
		return fd;
	default:
		return -1;
	}
}

/*
 * Says it; a channel whose messages are malformed is lost.  Of a probe that
 * is ours the payload begins with its number.
 */
static void
say(channel_message_fn message, channel_lost_fn lost, struct channel *c,
    void *arg, uint32_t type, uint32_t id, const void *data, size_t len)
{
	uint8_t payload[UINT16_MAX];
	uint32_t ours;
	int fd;

	if (len > 0)
		memcpy(payload, data, len);
	ours = id & OURS ? handle_of((uint8_t)id) : id;
	if (((type >= IMSG_PROC_STARTED && type <= IMSG_PROC_GONE) ||
		type == IMSG_STREAM_DRAINED) &&
	    (id & OURS) && len > sizeof(ours))
		memcpy(payload, &ours, sizeof(ours));
	fd = message == dispatch ? descriptor(type) : -1;
	if (frame_say(message, c, arg, type, ours, fd, payload, len) == 0)
		return;
	if (lost == NULL)
		frame_over = 1;
	else
		lost(c, "malformed message", arg);
}

static void
say_parent(uint32_t type, uint32_t id, const void *data, size_t len)
{
	say(dispatch, NULL, mgr.parent, NULL, type, id, data, len);
}

static void
gone(uint8_t role, uint8_t number)
{
	struct worker *w;

	w = &mgr.workers[number % MAX_WORKERS];
	if (role % 3 == 0 && mgr.relay != NULL)
		relay_lost(mgr.relay, channel_gone, NULL);
	else if (role % 3 == 1 && mgr.verifier != NULL)
		verifier_lost(mgr.verifier, channel_gone, NULL);
	else if (role % 3 == 2 && w->channel != NULL)
		worker_lost(w->channel, channel_gone, w);
}

void
frame_record(
    unsigned int who, uint8_t type, uint8_t id, const uint8_t *data, size_t len)
{
	struct worker *w;

	who %= WHO_COUNT;
	switch (who) {
	case WHO_PARENT:
		say_parent(FRAME_TYPE(of_parent, type), id, data, len);
		break;
	case WHO_RELAY:
		if (mgr.relay != NULL)
			say(relay_message, relay_lost, mgr.relay, NULL,
			    FRAME_TYPE(of_relay, type), id, data, len);
		break;
	case WHO_VERIFIER:
		if (mgr.verifier != NULL)
			say(verifier_message, verifier_lost, mgr.verifier, NULL,
			    FRAME_TYPE(of_verifier, type), id, data, len);
		break;
	case WHO_TIME:
		frame_sleep((type + 256 * (uint64_t)id) * 10 * MILLISECOND);
		break;
	case WHO_GONE:
		gone(type, id);
		break;
	default:
		w = &mgr.workers[who - WHO_WORKER];
		/* Paused until it has been told something. */
		if (w->channel != NULL && w->fed)
			say(worker_message, worker_lost, w->channel, w,
			    FRAME_TYPE(of_worker, type), id, data, len);
		break;
	}
	invariants();
	frame_turn();
	invariants();
}

/* ---- the beginning ------------------------------------------------------- */

static int
snapshot_file(uint8_t options)
{
	static const char *const texts[] = {"", "/root", "/", "/libexec",
	    "/run/muster.sock", ""}; /* user, home ... log file */
	const char *config;
	struct wire w;
	size_t i;
	int fd;

	config = options & OPT_GRAPH ? in_graph : in_order;
	wire_init(&w);
	wire_put_u32(&w, SNAPSHOT_VERSION);
	wire_put_u32(&w,
	    (options & OPT_RUNNER ? SNAPSHOT_RUNNER : 0) |
		((options & CHECK_ONLY) == CHECK_ONLY ? SNAPSHOT_CHECK_ONLY :
							0));
	wire_put_u8(&w, options & OPT_VERBOSE ? 2 : 0);
	wire_put_str(&w, "01234567");
	wire_put_u64(&w, frame_time());
	wire_put_u64(&w, frame_time());
	for (i = 0; i < 3; i++)
		wire_put_u32(&w, 1000);
	for (i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
		wire_put_str(&w, texts[i]);
	wire_put_u8(&w, options & OPT_VERBOSE ? 80 : 0);
	wire_put_u8(&w, 1);
	wire_put_u32(&w, 1);
	wire_put_str(&w, "/bin/x");
	wire_put_u32(&w, 2);
	wire_put_str(&w, "PATH=/bin");
	wire_put_str(&w, "NOTIFY_SOCKET=/n");
	wire_put_str(&w, "/muster.yaml");
	wire_put_i32(&w, 0);
	wire_put_u32(&w, 0100644);
	wire_put_u32(&w, 1000);
	wire_put_bytes(&w, config, strlen(config));
	fd = memfd_create("snapshot", MFD_CLOEXEC);
	check(fd != -1 && wire_check(&w) == 0 &&
	    write(fd, w.data, w.len) == (ssize_t)w.len);
	wire_free(&w);
	return fd;
}

static void
load_snapshot(uint8_t options)
{
	uint8_t birth;

	birth = (options & CHECK_ONLY) == CHECK_ONLY ? BIRTH_BOOT :
	    options & OPT_CRASH                      ? BIRTH_CRASH :
	    options & OPT_RELOAD                     ? BIRTH_CHECK :
						       BIRTH_BOOT;
	check(frame_say(dispatch, mgr.parent, NULL, IMSG_CFG_SNAPSHOT, 0,
		  snapshot_file(options), &birth, sizeof(birth)) == 0);
	check(mgr.phase == PHASE_STAGING && mgr.nprocesses >= 6);
}

static void
introduce(enum role role, uint32_t number)
{
	(void)frame_introduce(dispatch, mgr.parent, role, number);
}

void
frame_begin(uint8_t options)
{
	static const uint32_t highest;

	load_snapshot(options);
	frame_turn();
	if (options & OPT_UNSEALED)
		return;
	say_parent(IMSG_SEALED, 0, NULL, 0);
	if (options & OPT_PEERS) {
		introduce(ROLE_RELAY, 0);
		introduce(ROLE_VERIFIER, 0);
		introduce(ROLE_HTTPD, 0);
		introduce(ROLE_HTTPD, 1);
	}
	if (options & OPT_BEGUN)
		say_parent(IMSG_WORLD_END, 0, (const uint8_t *)&highest,
		    sizeof(highest));
	frame_turn();
}
