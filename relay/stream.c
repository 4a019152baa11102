#include <sys/types.h>
#include <sys/stat.h>

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <event2/event.h>

#include "channel.h"
#include "imsg.h"
#include "log.h"
#include "relay.h"
#include "wire.h"

#define PROCESS_BUCKETS 1024
#define MAX_PIPES 64 /* of one stream, held by grandchildren */
#define MAX_PREFIX 256
#define MAX_FORGOTTEN 64 /* streams that outlive their process */
#define ENDED_MS 20
#define ENDED_ROUNDS 50
#define STREAM_FLAGS \
	(STREAM_SHOW | STREAM_PREFIX | STREAM_SHOW_STDERR | STREAM_ENDED | \
	    STREAM_BLOCK)

SLIST_HEAD(process_list, process);

static struct process_list processes[PROCESS_BUCKETS];
static uint32_t process_count;
static unsigned int forgotten_count;
static struct event *ended_timer;
static unsigned int ended_rounds; /* since the first message of a burst */

/* ---- tables -------------------------------------------------------------- */

static struct process_list *
bucket(uint32_t id)
{
	return &processes[id % PROCESS_BUCKETS];
}

static struct process *
process_find(uint32_t id)
{
	struct process *p;

	SLIST_FOREACH (p, bucket(id), next)
		if (p->id == id)
			return p;
	return NULL;
}

/* Finds or makes it.  NULL: out of bounds or memory. */
static struct process *
process_get(uint32_t id)
{
	struct process *p;

	p = process_find(id);
	if (p != NULL)
		return p;
	if (id == 0 || process_count >= MAX_PROCESSES)
		return NULL;
	p = calloc(1, sizeof(*p));
	if (p == NULL) {
		log_warn("process %u", id);
		return NULL;
	}
	p->id = id;
	process_count++;
	SLIST_INSERT_HEAD(bucket(id), p, next);
	return p;
}

struct stream *
stream_find(uint32_t process, uint8_t number)
{
	struct process *p;

	p = process_find(process);
	if (p == NULL || number < 1 || number > CELLS_PER_SLOT)
		return NULL;
	return p->streams[number - 1];
}

struct stream_cell *
stream_cell(const struct stream *s)
{
	static struct stream_cell nobody;

	return s->cell == NO_ENTRY ? &nobody : &relay.cells[s->cell];
}

int
stream_ended(const struct stream *s)
{
	return s->process == NULL || s->process->drained >= s->generation;
}

void
stream_count_dropped(const struct stream *s, uint64_t bytes)
{
	stream_cell(s)->dropped += bytes;
}

static struct stream *
stream_new(struct process *p, uint8_t number, uint32_t cell)
{
	struct stream *s;

	s = calloc(1, sizeof(*s));
	if (s == NULL)
		return NULL;
	journal_init(&s->journal);
	s->process = p;
	s->number = number;
	s->cell = cell;
	/* What was written before the journal comes again: nothing. */
	s->journal.end = s->journal.base = stream_cell(s)->offset;
	s->show = stream_cell(s)->show;
	p->streams[number - 1] = s;
	return s;
}

static void
stream_free(struct stream *s)
{
	console_forget(s);
	sink_detach(s);
	journal_close(&s->journal);
	free(s->prefix);
	birth_forget(s);
	free(s);
}

void
stream_each(void (*fn)(struct stream *))
{
	struct process *p;
	size_t b;
	size_t i;

	for (b = 0; b < PROCESS_BUCKETS; b++)
		SLIST_FOREACH (p, &processes[b], next)
			for (i = 0; i < CELLS_PER_SLOT; i++)
				if (p->streams[i] != NULL)
					fn(p->streams[i]);
}

void
stream_progress(struct stream *s)
{
	if (s->process == NULL) {
		if (sink_oldest(s, 0) == UINT64_MAX &&
		    console_oldest(s, 0) == UINT64_MAX) {
			forgotten_count--;
			stream_free(s);
		}
		return;
	}
	if (s->state & STATE_PARKED) {
		s->state &= (uint8_t)~STATE_PARKED;
		stream_watch(s, 1);
	}
}

/* Tells the manager, once all pipes of an ended generation are drained. */
void
process_check(struct process *process, uint32_t generation)
{
	size_t i;

	if (process->ended >= generation)
		return;
	for (i = 0; i < CELLS_PER_SLOT; i++) {
		struct stream *s = process->streams[i];
		struct pipe_end *p;

		if (s == NULL)
			continue;
		SLIST_FOREACH (p, &s->pipes, next)
			if (p->generation == generation &&
			    !(p->flags & PIPE_DRAINED))
				return;
	}
	if (process->drained < generation)
		process->drained = generation;
	relay_send_drained(process->id, generation);
	for (i = 0; i < CELLS_PER_SLOT; i++)
		if (process->streams[i] != NULL)
			follow_push(process->streams[i]);
}

/* ---- messages of the parent ------------------------------------------------
 */

/* What STREAM_OPEN says. */
struct stream_parameters {
	uint32_t process;
	uint32_t generation;
	uint32_t cell;
	uint32_t flags;
	uint32_t sink;
	uint32_t capture;
	uint8_t number;
	char prefix[MAX_PREFIX];
};

static int
parameters_get(struct stream_parameters *o, struct imsg *imsg)
{
	struct wire_reader r;
	uint64_t capture;

	message_read(&r, imsg);
	o->process = wire_get_u32(&r);
	o->generation = wire_get_u32(&r);
	o->number = wire_get_u8(&r);
	o->cell = wire_get_u32(&r);
	o->flags = wire_get_u32(&r);
	capture = wire_get_u64(&r);
	o->sink = wire_get_u32(&r);
	wire_get_string(&r, o->prefix, sizeof(o->prefix));
	if (wire_end(&r) == -1)
		return -1;
	if (o->process == 0 || o->generation == 0 || o->number < 1 ||
	    o->number > CELLS_PER_SLOT || o->cell >= relay.cell_count ||
	    (o->sink >= SINK_NUMBERS && o->sink != NO_ENTRY) ||
	    (o->flags & ~(uint32_t)STREAM_FLAGS) != 0)
		return -1;
	if (capture == 0)
		capture = 1;
	o->capture =
	    capture < JOURNAL_LAP_MAX ? (uint32_t)capture : JOURNAL_LAP_MAX;
	return 0;
}

/* A new generation of the stream, or the first one that a new relay sees. */
static int
stream_configure(struct stream *s, const struct stream_parameters *o)
{
	struct stream_cell *cell = stream_cell(s);
	char *prefix = NULL;

	if ((o->flags & STREAM_PREFIX) && o->prefix[0] != '\0') {
		prefix = strdup(o->prefix);
		if (prefix == NULL)
			return -1;
	}
	free(s->prefix);
	s->prefix = prefix;
	s->generation = o->generation;
	s->capture = o->capture;
	s->flags = (uint8_t)(o->flags &
	    (STREAM_SHOW | STREAM_SHOW_STDERR | STREAM_BLOCK));
	if (cell->generation < o->generation) {
		birth_note(s);
		cell->generation_start = s->journal.end;
		cell->generation = o->generation;
	}
	sink_attach(s, o->sink);
	return 0;
}

/* Too many generations are held: the oldest one is given up. */
static void
stream_limit_pipes(struct stream *s)
{
	struct pipe_end *oldest = NULL;
	struct pipe_end *p;
	unsigned int count = 0;

	SLIST_FOREACH (p, &s->pipes, next) {
		count++;
		if (oldest == NULL || p->generation < oldest->generation)
			oldest = p;
	}
	if (count < MAX_PIPES || oldest == NULL)
		return;
	log_warnx("process %u: output of generation %u is given up",
	    s->process->id, oldest->generation);
	pipe_finish(oldest);
}

static int
stream_add_pipe(struct stream *s, const struct stream_parameters *o, int fd)
{
	struct pipe_end *p;

	SLIST_FOREACH (p, &s->pipes, next)
		if (p->generation == o->generation)
			return -1;
	stream_limit_pipes(s);
	p = calloc(1, sizeof(*p));
	if (p == NULL)
		return -1;
	p->stream = s;
	p->fd = fd;
	p->generation = o->generation;
	SLIST_INSERT_HEAD(&s->pipes, p, next);
	if (!(s->state & STATE_PARKED) &&
	    (s->journal.fd != -1 || !(s->state & STATE_WANTED)))
		pipe_watch(p);
	return 0;
}

/* Returns the number of pipes of that generation, which are marked. */
static unsigned int
process_mark(struct process *process, uint32_t generation)
{
	unsigned int count = 0;
	size_t i;

	for (i = 0; i < CELLS_PER_SLOT; i++) {
		struct pipe_end *p;

		if (process->streams[i] == NULL)
			continue;
		SLIST_FOREACH (p, &process->streams[i]->pipes, next) {
			if (p->generation == generation) {
				p->flags |= PIPE_ENDED;
				count++;
			}
		}
	}
	return count;
}

/* Drains the pipes that are marked and not yet drained. */
static void
process_drain(struct process *process)
{
	size_t i;

	for (i = 0; i < CELLS_PER_SLOT; i++) {
		struct pipe_end *p;

		if (process->streams[i] == NULL)
			continue;
		SLIST_FOREACH (p, &process->streams[i]->pipes, next)
			if ((p->flags & (PIPE_ENDED | PIPE_DRAINED)) ==
			    PIPE_ENDED)
				pipe_drain(p);
	}
}

static void
process_exit(struct process *process, uint32_t generation)
{
	if (process_mark(process, generation) > 0)
		process_drain(process);
	else
		process_check(process, generation);
}

/*
 * A new relay is told with STREAM_OPEN that a process has ended.  It must
 * not say "drained" after its standard output when the message about its
 * standard error is still to come, so it waits for the end of the burst;
 * longer if the cells tell that there is another stream.
 */
static void
process_ended(struct process *process, uint32_t generation)
{
	(void)process_mark(process, generation);
	if (process->ended < generation)
		process->ended = generation;
	if (evtimer_pending(ended_timer, NULL))
		return;
	ended_rounds = 0;
	relay_arm(ended_timer, ENDED_MS);
}

/* Our predecessor knew another stream of that generation. */
static int
ended_incomplete(const struct process *process)
{
	size_t i;

	for (i = 0; i < CELLS_PER_SLOT; i++) {
		const struct stream *s = process->streams[i];

		/* The cells of a slot lie side by side. */
		if (s != NULL && process->streams[1 - i] == NULL &&
		    (s->cell ^ 1) < relay.cell_count &&
		    relay.cells[s->cell ^ 1].generation == process->ended)
			return 1;
	}
	return 0;
}

static void
ended_cb(int fd, short events, void *arg)
{
	struct process *p;
	size_t b;
	int again = 0;

	(void)fd;
	(void)events;
	(void)arg;
	ended_rounds++;
	for (b = 0; b < PROCESS_BUCKETS; b++) {
		SLIST_FOREACH (p, &processes[b], next) {
			uint32_t generation = p->ended;

			if (generation == 0)
				continue;
			if (ended_rounds < ENDED_ROUNDS &&
			    ended_incomplete(p)) {
				again = 1;
				continue;
			}
			p->ended = 0;
			process_drain(p);
			if (p->drained < generation)
				process_check(p, generation);
		}
	}
	if (again)
		relay_arm(ended_timer, ENDED_MS);
}

/* The pipes can be watched now, and those drained that had to wait. */
static void
stream_journal_came(struct stream *s)
{
	struct stream_cell *cell = stream_cell(s);
	struct pipe_end *p;

	cell->offset = s->journal.end;
	if (cell->generation_start > s->journal.end)
		cell->generation_start = s->journal.end;
	if (s->show > s->journal.end)
		s->show = s->journal.end;
	stream_skip(s);
	sink_ready(s);
	console_push(s, 0);
	SLIST_FOREACH (p, &s->pipes, next) {
		pipe_watch(p);
		if ((p->flags & (PIPE_ENDED | PIPE_DRAINED)) == PIPE_ENDED)
			pipe_drain(p);
	}
	follow_push(s);
}

static int
pipe_check(int fd)
{
	struct stat st;
	int flags;

	if (fstat(fd, &st) == -1 || !S_ISFIFO(st.st_mode))
		return -1;
	flags = fcntl(fd, F_GETFL);
	if (flags == -1 || (flags & O_ACCMODE) == O_WRONLY)
		return -1;
	return 0;
}

/*
 * A new relay gets this for each generation that is still there.  Without a
 * descriptor: the pipe was closed before (STREAM_CLOSED), what the journal
 * holds can be read.
 */
int
stream_open(struct imsg *imsg)
{
	struct stream_parameters o;
	struct process *process;
	struct stream *s;
	int fd;

	if (parameters_get(&o, imsg) == -1)
		return -1;
	process = process_get(o.process);
	if (process == NULL)
		return -1;
	s = process->streams[o.number - 1];
	if (s == NULL)
		s = stream_new(process, o.number, o.cell);
	if (s == NULL || s->cell != o.cell)
		return -1;
	if (process->latest < o.generation)
		process->latest = o.generation;
	if (s->generation < o.generation && stream_configure(s, &o) == -1)
		return -1;
	fd = imsg_get_fd(imsg);
	if (fd != -1 &&
	    (pipe_check(fd) == -1 || stream_add_pipe(s, &o, fd) == -1)) {
		(void)close(fd);
		return -1;
	}
	if (o.flags & STREAM_ENDED)
		process_ended(process, o.generation);
	return 0;
}

int
stream_journal(struct imsg *imsg)
{
	struct stream *s;
	struct wire_reader r;
	uint32_t process;
	uint8_t number;
	int fd;

	message_read(&r, imsg);
	process = wire_get_u32(&r);
	number = wire_get_u8(&r);
	fd = imsg_get_fd(imsg);
	if (wire_end(&r) == -1 || fd == -1) {
		if (fd != -1)
			(void)close(fd);
		return -1;
	}
	s = stream_find(process, number);
	if (s == NULL || s->journal.fd != -1) {
		/* Asked for twice, by our predecessor and by us. */
		(void)close(fd);
		return 0;
	}
	if (journal_open(&s->journal, fd) == -1) {
		log_warnx("process %u: not a journal", process);
		return -1;
	}
	stream_journal_came(s);
	return 0;
}

int
stream_exit(struct imsg *imsg)
{
	struct process *process;
	uint32_t message[2];

	if (imsg_get_data(imsg, message, sizeof(message)) == -1 ||
	    message[1] == 0)
		return -1;
	process = process_get(message[0]);
	if (process == NULL)
		return -1;
	if (process->latest < message[1])
		process->latest = message[1];
	process_exit(process, message[1]);
	return 0;
}

static void
empty(struct stream *s, int force)
{
	struct pipe_end *next;
	struct pipe_end *p;

	SLIST_FOREACH_SAFE (p, &s->pipes, next, next)
		(void)pipe_empty(p, force);
}

void
stream_empty(struct stream *s)
{
	empty(s, 0);
}

/* Keeps the stream for those that still have to write its last bytes. */
static void
stream_forgotten(struct stream *s)
{
	/* What the last ones have written is in there; they have gone. */
	empty(s, 1);
	while (!SLIST_EMPTY(&s->pipes))
		pipe_free(SLIST_FIRST(&s->pipes));
	follow_forget(s);
	sink_push(s, 1);
	console_push(s, 1);
	memset(stream_cell(s), 0, sizeof(struct stream_cell));
	s->cell = NO_ENTRY;
	s->process = NULL;
	if (forgotten_count >= MAX_FORGOTTEN) {
		stream_free(s);
		return;
	}
	forgotten_count++;
	stream_progress(s);
}

int
stream_forget(struct imsg *imsg)
{
	struct process *process;
	uint32_t id;
	size_t i;

	if (imsg_get_data(imsg, &id, sizeof(id)) == -1)
		return -1;
	process = process_find(id);
	if (process == NULL)
		return 0;
	for (i = 0; i < CELLS_PER_SLOT; i++)
		if (process->streams[i] != NULL)
			stream_forgotten(process->streams[i]);
	SLIST_REMOVE(bucket(id), process, process, next);
	process_count--;
	free(process);
	return 0;
}

void
stream_tell_drained(void)
{
	struct process *p;
	size_t b;

	for (b = 0; b < PROCESS_BUCKETS; b++)
		SLIST_FOREACH (p, &processes[b], next)
			if (p->drained != 0 && p->drained >= p->latest)
				relay_send_drained(p->id, p->drained);
}

void
stream_init(void)
{
	ended_timer = evtimer_new(relay.base, ended_cb, NULL);
	if (ended_timer == NULL)
		fatalx("evtimer_new failed");
}
