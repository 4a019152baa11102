#include <sys/mman.h>
#include <sys/stat.h>

#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "../common/log.h"
#include "parent.h"

/*
 * The parent's side of output: it makes the pipes and the journals and
 * keeps a descriptor of each, so that a new relay goes on where the last
 * one was killed.  It never reads from them.
 */

#define INPUT_PIPE (1024 * 1024)
#define MAX_HELD (1024UL * 1024) /* bytes of texts that are not written yet */
/* Where the relay says how many texts it has written: behind the cells. */
#define WRITTEN_AT \
	(sizeof(struct stream_cell) * CELLS_PER_SLOT * MAX_PROCESSES + \
	    offsetof(struct stream_cell, offset))
#define MANY_HELD 8192 /* then we look how far the relay has come */
#define MAX_BEHIND (4UL * 1024 * 1024) /* of what the relay has not read */
#define MAX_OLD_PIPES 64 /* of one stream: as many as the relay keeps */

/* A pipe of an earlier generation that somebody still holds. */
struct old_pipe {
	LIST_ENTRY(old_pipe) link;
	uint32_t process;
	uint32_t generation;
	int fd;
	uint8_t stream;
};

/* A message that waits for a relay, or has not been written by it. */
struct held {
	STAILQ_ENTRY(held) link;
	uint64_t number; /* of a text, 0 if it is none */
	uint32_t type;
	uint32_t id;
	size_t len;
	uint8_t data[];
};

static LIST_HEAD(, old_pipe) old_pipes = LIST_HEAD_INITIALIZER(old_pipes);
static STAILQ_HEAD(, held) held = STAILQ_HEAD_INITIALIZER(held);
static size_t held_bytes;
static uint64_t ntexts; /* that were numbered */
static int journal_failed; /* the last time that one was wanted */

static int
make_memfd(const char *name, size_t size)
{
	int fd;

	fd = memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING);
	/* Those who map it must not be made to fault. */
	if (fd == -1 || ftruncate(fd, (off_t)size) == -1 ||
	    fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW) == -1)
		fatal("memfd %s", name);
	return fd;
}

void
stream_init(void)
{
	parent.cells = make_memfd("cells",
	    sizeof(struct stream_cell) * (CELLS_PER_SLOT * MAX_PROCESSES + 1));
	parent.page = make_memfd("sequence", (size_t)sysconf(_SC_PAGESIZE));
}

/* Where its output goes; the prefix is borrowed. */
static void
describe(const struct slot *s, int i, struct orphan_output *out)
{
	const struct orphan_output *known = orphan_output(s->process, i);
	const struct entry *e;
	struct spec spec;

	if (known != NULL) {
		*out = *known;
		return;
	}
	memset(out, 0, sizeof(*out));
	out->capture = DEFAULT_CAPTURE;
	out->sink = NO_ENTRY;
	e = table_entry(parent.table, s->entry, ENTRY_SPEC);
	if (e == NULL || spec_read(e, &spec) == -1)
		return;
	out->flags = spec.out[i].flags;
	out->capture = spec.out[i].capture;
	out->sink = logfile_sink(spec.out[i].sink);
	/* It is not changed here. */
	out->prefix = (char *)(uintptr_t)spec.out[i].prefix.text;
	out->prefix_len = spec.out[i].prefix.len;
}

static void
send_stream(struct slot *s, int i, uint32_t generation, int fd, int has_ended)
{
	struct orphan_output out;
	struct wire *w;

	describe(s, i, &out);
	/* Without a pipe: there is only what was kept. */
	if (fd != -1 && (fd = copy_fd(fd)) == -1) {
		child_lacks(parent.relay);
		return;
	}
	w = message();
	wire_put_u32(w, s->process);
	wire_put_u32(w, generation);
	wire_put_u8(w, (uint8_t)(i + 1));
	wire_put_u32(w, slot_index(s) * CELLS_PER_SLOT + (uint32_t)i);
	wire_put_u32(w, out.flags | (uint32_t)(has_ended ? STREAM_ENDED : 0));
	wire_put_u64(w, out.capture);
	wire_put_u32(w, out.sink);
	wire_put_bytes(w, out.prefix, out.prefix_len);
	send_wire(parent.relay, IMSG_STREAM_OPEN, 0, fd);
}

/* 0, or -1: the relay asks again after a while. */
static int
send_journal(struct slot *s, int i)
{
	struct wire *w;
	int fd;

	/* The open description, and with it the offset, is shared. */
	fd = copy_fd(s->journal[i]);
	if (fd == -1)
		return -1;
	/* Once: each message holds a descriptor until it is read. */
	s->given |= (uint8_t)(i + 1);
	w = message();
	wire_put_u32(w, s->process);
	wire_put_u8(w, (uint8_t)(i + 1));
	send_wire(parent.relay, IMSG_STREAM_JOURNAL, 0, fd);
	return 0;
}

void
stream_open(struct slot *s)
{
	int i;

	for (i = 0; i < 2; i++)
		if (s->output[i] != -1)
			send_stream(s, i, s->generation, s->output[i], 0);
}

void
stream_exit(struct slot *s)
{
	struct wire *w;

	w = message();
	wire_put_u32(w, s->process);
	wire_put_u32(w, s->generation);
	send_wire(parent.relay, IMSG_STREAM_EXIT, 0, -1);
}

static void
close_old(struct old_pipe *p)
{
	LIST_REMOVE(p, link);
	(void)close(p->fd);
	free(p);
}

/* Makes room: a relay that closes none must not use up our descriptors. */
static void
limit_old(uint32_t process, uint8_t stream)
{
	struct old_pipe *oldest;
	struct old_pipe *p;
	unsigned int n;

	oldest = NULL;
	n = 0;
	LIST_FOREACH (p, &old_pipes, link)
		if (p->process == process && p->stream == stream) {
			oldest = p;
			n++;
		}
	if (n >= MAX_OLD_PIPES)
		close_old(oldest);
}

void
stream_retire(struct slot *s)
{
	struct old_pipe *p;
	int i;

	for (i = 0; i < 2; i++) {
		if (s->output[i] == -1)
			continue;
		limit_old(s->process, (uint8_t)i);
		p = malloc(sizeof(*p));
		if (p == NULL)
			(void)close(s->output[i]); /* the relay has it */
		else {
			p->process = s->process;
			p->generation = s->generation;
			p->stream = (uint8_t)i;
			p->fd = s->output[i];
			LIST_INSERT_HEAD(&old_pipes, p, link);
		}
		s->output[i] = -1;
	}
}

void
stream_forget(struct slot *s)
{
	static const struct stream_cell blank[CELLS_PER_SLOT];
	struct old_pipe *next;
	struct old_pipe *p;
	int i;

	stream_retire(s);
	/* The next process of this slot begins anew, whatever relay lives. */
	if ((s->journal[0] != -1 || s->journal[1] != -1) &&
	    pwrite(parent.cells, blank, sizeof(blank),
		(off_t)slot_index(s) * (off_t)sizeof(blank)) == -1)
		log_warn("process %u: output", s->process);
	LIST_FOREACH_SAFE (p, &old_pipes, link, next)
		if (p->process == s->process)
			close_old(p);
	for (i = 0; i < 2; i++)
		if (s->journal[i] != -1)
			(void)close(s->journal[i]);
	wire_put_u32(message(), s->process);
	send_wire(parent.relay, IMSG_STREAM_FORGET, 0, -1);
}

int
stream_journal_wanted(struct wire_reader *r)
{
	struct slot *s;
	uint8_t stream;

	s = slot_of_process(wire_get_u32(r));
	stream = wire_get_u8(r);
	if (wire_end(r) == -1 || stream < 1 || stream > 2)
		return -1;
	/* Forgotten meanwhile, or asked for by the relay before as well. */
	if (s == NULL || (s->given & stream))
		return 0;
	if (s->journal[stream - 1] == -1)
		s->journal[stream - 1] =
		    memfd_create("journal", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	if (s->journal[stream - 1] == -1 || send_journal(s, stream - 1) == -1) {
		/* Each asks again every second; one line tells it. */
		if (!journal_failed)
			log_warn("journal of process %u", s->process);
		journal_failed = 1;
	} else
		journal_failed = 0;
	return 0;
}

int
stream_closed(struct wire_reader *r)
{
	struct old_pipe *p;
	struct slot *s;
	uint32_t process;
	uint32_t generation;
	uint8_t stream;

	process = wire_get_u32(r);
	generation = wire_get_u32(r);
	stream = (uint8_t)(wire_get_u8(r) - 1);
	if (wire_end(r) == -1 || stream > 1)
		return -1;
	s = slot_of_process(process);
	if (s != NULL && s->generation == generation &&
	    s->output[stream] != -1) {
		(void)close(s->output[stream]);
		s->output[stream] = -1;
		return 0;
	}
	LIST_FOREACH (p, &old_pipes, link)
		if (p->process == process && p->generation == generation &&
		    p->stream == stream) {
			close_old(p);
			return 0;
		}
	return 0;
}

/* ---- the console ------------------------------------------------------- */

static void
send_console(int number)
{
	struct stat st;
	struct wire *w;
	uint32_t flags;
	int fd;

	flags = 0;
	fd = -1;
	if (fstat(number, &st) == -1)
		return;
	if (S_ISREG(st.st_mode))
		flags = CONSOLE_REGULAR;
	else {
		/* Non-blocking for the relay alone, not for who shares it. */
		fd = memfd_reopen(
		    number, O_WRONLY | O_NONBLOCK | O_APPEND | O_NOCTTY);
		if (fd == -1)
			flags = CONSOLE_BLOCKING;
	}
	if (fd == -1)
		fd = copy_fd(number);
	w = message();
	wire_put_u8(w, (uint8_t)number);
	wire_put_u32(w, flags);
	send_fd(parent.relay, IMSG_CONSOLE_OPEN, fd);
}

static void
drop_first(void)
{
	struct held *h;

	h = STAILQ_FIRST(&held);
	STAILQ_REMOVE_HEAD(&held, link);
	held_bytes -= h->len;
	free(h);
}

/* What the relay has written need not be kept for the next one. */
static void
drop_written(void)
{
	const struct held *h;
	uint64_t written;

	if (pread(parent.cells, &written, sizeof(written), WRITTEN_AT) !=
	    sizeof(written))
		return;
	while ((h = STAILQ_FIRST(&held)) != NULL && h->number != 0 &&
	    h->number <= written)
		drop_first();
}

static void
hold(uint32_t type, uint32_t id, uint64_t number, const void *data, size_t len)
{
	struct held *h;

	h = malloc(sizeof(*h) + len);
	if (h == NULL)
		return;
	h->type = type;
	h->id = id;
	h->number = number;
	h->len = len;
	memcpy(h->data, data, len);
	held_bytes += len;
	STAILQ_INSERT_TAIL(&held, h, link);
}

/* A text is kept until it is written: the relay may be killed before. */
int
stream_forward(uint32_t type, uint32_t id, const void *data, size_t len)
{
	struct channel *c;
	int is_text;

	c = parent.relay->channel;
	is_text = type != IMSG_CONSOLE_FLUSH;
	/* Who floods the console must not cost the relay its life. */
	if (c == NULL ? held_bytes + len > MAX_HELD :
			is_text && channel_queued(c) > MAX_BEHIND)
		return 0;
	if (c != NULL)
		(void)channel_send(c, type, id, -1, data, len);
	if (c != NULL && !is_text)
		return 0;
	if (c != NULL && held_bytes > MANY_HELD)
		drop_written();
	while (!STAILQ_EMPTY(&held) && held_bytes + len > MAX_HELD)
		drop_first();
	hold(type, id, is_text ? ++ntexts : 0, data, len);
	return 0;
}

/* The next relay counts on from the first text that it is given again. */
static void
held_begin(void)
{
	const struct held *h;
	uint64_t written;

	drop_written();
	written = ntexts;
	STAILQ_FOREACH (h, &held, link)
		if (h->number != 0) {
			written = h->number - 1;
			break;
		}
	(void)!pwrite(parent.cells, &written, sizeof(written), WRITTEN_AT);
}

static void
held_resend(void)
{
	struct held *next;
	struct held *h;

	if (parent.relay->channel == NULL)
		return; /* lost meanwhile */
	STAILQ_FOREACH_SAFE (h, &held, link, next) {
		(void)channel_send(
		    parent.relay->channel, h->type, h->id, -1, h->data, h->len);
		if (h->number == 0) {
			STAILQ_REMOVE(&held, h, held, link);
			held_bytes -= h->len;
			free(h);
		}
	}
}

void
stream_resend(void)
{
	struct old_pipe *p;
	struct slot *s;
	int i;

	held_begin();
	wire_put_u32(message(), MAX_PROCESSES * CELLS_PER_SLOT);
	send_fd(parent.relay, IMSG_CELLS, copy_fd(parent.cells));
	send_console(STDOUT_FILENO);
	send_console(STDERR_FILENO);
	logfile_resend();
	orphan_resend();
	LIST_FOREACH (p, &old_pipes, link)
		if ((s = slot_of_process(p->process)) != NULL)
			send_stream(s, p->stream, p->generation, p->fd, 1);
	for (s = slot_next(NULL); s != NULL; s = slot_next(s)) {
		s->given = 0;
		/* It is told of when it has begun. */
		if (s->state == SLOT_SPAWNING)
			continue;
		for (i = 0; i < 2; i++) {
			if (s->output[i] != -1 || s->journal[i] != -1)
				send_stream(s, i, s->generation, s->output[i],
				    !(s->flags & IS_LIVE));
			if (s->journal[i] != -1 && send_journal(s, i) == -1)
				child_lacks(parent.relay);
		}
	}
	for (s = slot_next(NULL); s != NULL; s = slot_next(s))
		if (s->state != SLOT_SPAWNING && !(s->flags & IS_LIVE) &&
		    s->output[0] == -1 && s->output[1] == -1 &&
		    s->generation > 0)
			stream_exit(s);
	held_resend();
}

/* ---- standard input ---------------------------------------------------- */

void
input_close(struct slot *s)
{
	if (s->input != -1)
		(void)close(s->input);
	s->input = -1;
}

/* The pipe is the queue: it is made large when it is used at all. */
int
input_write(struct wire_reader *r)
{
	struct slot *s;
	const void *data;
	size_t len;

	s = slot_of_process(wire_get_u32(r));
	data = wire_get_bytes(r, CHANNEL_MAX_MESSAGE, &len);
	if (wire_end(r) == -1 || s == NULL)
		return -1;
	if (s->input == -1 || len == 0)
		return 0;
	if (fcntl(s->input, F_GETPIPE_SZ) < INPUT_PIPE)
		(void)fcntl(s->input, F_SETPIPE_SZ, INPUT_PIPE);
	if (write(s->input, data, len) != (ssize_t)len)
		log_warnx("process %u does not read its input", s->process);
	return 0;
}
