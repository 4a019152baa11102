/* sources: regress/relay/fixture.c common/imsg.c common/imsg_buffer.c
 *	common/wire.c */
/* libs: bsd */
#include <sys/types.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "fixture.h"

/* Streams, their ends, and what readers get. */

static void
send_two(struct rig *r, uint32_t type, uint32_t a, uint32_t b)
{
	struct wire w;

	wire_init(&w);
	wire_put_u32(&w, a);
	wire_put_u32(&w, b);
	rig_send(r, type, 0, -1, &w);
	wire_free(&w);
}

/* An idle stream costs no journal; the first byte asks for one, once. */
static void
test_lazy_journal(void **state)
{
	struct rig *r = *state;
	struct rig_stream *s;

	s = rig_open(r, 1, 1, STREAM_STDOUT, 0, NO_ENTRY);
	rig_run(r, 50);
	assert_int_equal(s->wanted, 0);
	rig_puts(r, s->writer, "a");
	rig_until(r, s->wanted == 1);
	rig_puts(r, s->writer, "b");
	rig_until(r, r->cells[s->cell].offset == 2);
	assert_int_equal(s->wanted, 1);
	assert_int_equal(lseek(s->journal, 0, SEEK_CUR), 2);
}

/* A journal that does not come is asked for again. */
static void
test_journal_again(void **state)
{
	struct rig *r = *state;
	struct rig_stream *s;
	uint32_t process = 1;

	s = rig_open(r, process, 1, STREAM_STDOUT, 0, NO_ENTRY);
	/* The rig does not find it and sends nothing. */
	s->process = 999;
	rig_puts(r, s->writer, "a");
	rig_run(r, 100);
	s->process = process;
	assert_int_equal(s->wanted, 0);
	rig_until(r, r->cells[s->cell].offset == 1);
	assert_int_equal(s->wanted, 1);
}

/* End of file without output: closed, and no journal. */
static void
test_closed(void **state)
{
	struct rig *r = *state;
	struct rig_stream *s;

	s = rig_open(r, 1, 1, STREAM_STDOUT, 0, NO_ENTRY);
	(void)close(s->writer);
	s->writer = -1;
	rig_until(r, s->closed);
	assert_int_equal(s->wanted, 0);
	/* And with some. */
	s = rig_open(r, 2, 1, STREAM_STDOUT, 0, NO_ENTRY);
	rig_puts(r, s->writer, "last");
	(void)close(s->writer);
	s->writer = -1;
	rig_until(r, s->closed);
	assert_int_equal(r->cells[s->cell].offset, 4);
	/* The exit comes afterwards. */
	rig_exit(r, 2, 1);
	rig_until(r, r->drained[2] == 1);
}

static void
test_drained_unknown(void **state)
{
	struct rig *r = *state;

	rig_exit(r, 7, 3);
	rig_until(r, r->drained[7] == 3);
	/* Remembered for a new manager, until there is a new generation. */
	rig_connect_manager(r);
	r->drained[7] = 0;
	rig_until(r, r->drained[7] == 3);
	(void)rig_open(r, 7, 4, STREAM_STDOUT, 0, NO_ENTRY);
	r->drained[7] = 0;
	rig_connect_manager(r);
	rig_run(r, 50);
	assert_int_equal(r->drained[7], 0);
	/* Or until the process is forgotten. */
	rig_exit(r, 7, 4);
	rig_until(r, r->drained[7] == 4);
	rig_forget(r, 7);
	r->drained[7] = 0;
	rig_connect_manager(r);
	rig_run(r, 50);
	assert_int_equal(r->drained[7], 0);
}

/* All that was written before the exit is there when it is told. */
static void
test_drain(void **state)
{
	struct rig *r = *state;
	uint32_t generation;

	for (generation = 1; generation <= 30; generation++) {
		struct rig_stream *out;
		struct rig_stream *err;
		size_t total = (size_t)generation * 7000 / 100 * 100;
		uint64_t before;
		pid_t pid;

		out = rig_open(r, 1, generation, 1, 0, NO_ENTRY);
		err = rig_open(r, 1, generation, 2, 0, NO_ENTRY);
		before = r->cells[out->cell].offset;
		rig_puts(r, err->writer, "some words");
		pid = rig_writer(r, out, 4000, total);
		if (total > 60000)
			rig_run(r, 30);
		assert_int_equal(waitpid(pid, NULL, 0), pid);
		rig_exit(r, 1, generation);
		rig_until(r, r->drained[1] == generation);
		assert_int_equal(r->cells[out->cell].offset - before, total);
		assert_int_equal(
		    r->cells[err->cell].offset, 10 * (uint64_t)generation);
		assert_int_equal(r->cells[out->cell].generation_start, before);
		(void)close(err->writer);
		err->writer = -1;
		rig_until(r, err->closed && out->closed);
	}
}

/* A grandchild that goes on writing delays nothing, and is kept. */
static void
test_grandchild(void **state)
{
	struct rig *r = *state;
	struct rig_stream *old;
	struct rig_stream *s;
	uint64_t offset;
	pid_t pid;

	old = rig_open(r, 1, 1, STREAM_STDOUT, 0, NO_ENTRY);
	pid = rig_writer(r, old, 4000, (size_t)1 << 40);
	rig_until(r, r->cells[old->cell].offset > 1000000);
	rig_exit(r, 1, 1);
	rig_until(r, r->drained[1] == 1);
	offset = r->cells[old->cell].offset;
	/* A new generation while the old pipe is still written to. */
	s = rig_open(r, 1, 2, STREAM_STDOUT, 0, NO_ENTRY);
	rig_puts(r, s->writer, "new");
	rig_until(r, r->cells[old->cell].offset > offset + 1000000);
	rig_exit(r, 1, 2);
	rig_until(r, r->drained[1] == 2);
	assert_int_equal(old->closed, 0);
	assert_int_equal(kill(pid, SIGKILL), 0);
	assert_int_equal(waitpid(pid, NULL, 0), pid);
	rig_until(r, old->closed);
}

/* A new relay drains what ended while there was none, and tells it once all
 * streams of the process are known. */
static void
test_ended(void **state)
{
	struct rig *r = *state;
	struct rig_stream *out;
	struct rig_stream *err;
	struct rig_stream *none;

	out = rig_open(r, 1, 1, STREAM_STDOUT, 0, NO_ENTRY);
	err = rig_open(r, 1, 1, STREAM_STDERR, 0, NO_ENTRY);
	none = rig_open(r, 2, 5, STREAM_STDOUT, 0, NO_ENTRY);
	rig_puts(r, out->writer, "one");
	rig_until(r, r->cells[out->cell].offset == 3);
	rig_kill(r);
	rig_puts(r, out->writer, "two");
	rig_puts(r, err->writer, "error");
	out->flags |= STREAM_ENDED;
	err->flags |= STREAM_ENDED;
	/* Its pipe was closed before. */
	none->flags |= STREAM_ENDED;
	(void)close(none->reader);
	none->reader = -1;
	rig_start(r);
	rig_until(r, r->drained[1] == 1 && r->drained[2] == 5);
	assert_int_equal(r->cells[out->cell].offset, 6);
	assert_int_equal(r->cells[err->cell].offset, 5);
	assert_int_equal(r->drained_count, 2);
}

/* The same, when the second stream is late: the cells tell of it. */
static void
test_ended_late(void **state)
{
	struct rig *r = *state;
	struct rig_stream *out;
	struct rig_stream *err;

	out = rig_open(r, 1, 1, STREAM_STDOUT, 0, NO_ENTRY);
	err = rig_open(r, 1, 1, STREAM_STDERR, 0, NO_ENTRY);
	rig_puts(r, err->writer, "begin ");
	rig_until(r, r->cells[err->cell].offset == 6);
	rig_kill(r);
	rig_puts(r, err->writer, "end");
	out->flags |= STREAM_ENDED;
	err->flags |= STREAM_ENDED;
	err->process = 0;
	rig_start(r);
	rig_run(r, 100);
	assert_int_equal(r->drained[1], 0);
	err->process = 1;
	rig_send_open(r, err, 1);
	rig_until(r, r->drained[1] == 1);
	assert_int_equal(r->cells[err->cell].offset, 9);
}

/* Memory of a journal is bounded by capture. */
static void
test_capture(void **state)
{
	struct rig *r = *state;
	struct rig_stream *s;
	struct rig_answer *a;
	struct stat st;
	pid_t pid;

	s = rig_open(r, 1, 1, STREAM_STDOUT, 0, NO_ENTRY);
	pid = rig_writer(r, s, 4000, 40000000);
	rig_until(r, r->cells[s->cell].offset == 40000000);
	assert_int_equal(waitpid(pid, NULL, 0), pid);
	assert_int_equal(fstat(s->journal, &st), 0);
	assert_in_range(st.st_blocks * 512, 256 * 1024, 280 * 1024);
	rig_read(r, 1, 1, 1, 0, 0, 0);
	a = rig_answer(r, 1);
	assert_int_equal(a->error, 0);
	/* At least `capture` bytes are there. */
	assert_true(a->offset <= 40000000 - DEFAULT_CAPTURE);
	assert_int_equal(a->lost, a->offset);
	rig_check_lines((char *)a->bytes + 100 - a->offset % 100,
	    a->len / 100 * 100 - 100, a->offset / 100 + 1);
}

/* The journal takes another size with the next generation. */
static void
test_capture_changes(void **state)
{
	static const uint64_t sizes[] = {1000000, 70000, 0, 300000};
	struct rig *r = *state;
	uint32_t i;
	uint64_t offset = 0;

	for (i = 0; i < 4; i++) {
		struct rig_stream *s;
		struct rig_answer *a;
		struct stat st;
		pid_t pid;

		r->capture = sizes[i];
		s = rig_open(r, 1, i + 1, STREAM_STDOUT, 0, NO_ENTRY);
		pid = rig_writer(r, s, 4000, 5000000);
		offset += 5000000;
		rig_until(r, r->cells[s->cell].offset == offset);
		assert_int_equal(waitpid(pid, NULL, 0), pid);
		assert_int_equal(fstat(s->journal, &st), 0);
		assert_true(st.st_blocks * 512 >= (off_t)sizes[i]);
		assert_true(st.st_blocks * 512 <= (off_t)sizes[i] + 140000);
		rig_read(r, i, 1, 1, (int64_t)(offset - sizes[i]), 0, 0);
		a = rig_answer(r, i);
		assert_int_equal(a->lost, 0);
		rig_check_lines((char *)a->bytes, a->len / 100 * 100,
		    (5000000 - sizes[i]) / 100);
		rig_until(r, s->closed);
	}
}

/* ---- READ and TAIL
 * ------------------------------------------------------------- */

static void
expect(struct rig *r, uint32_t id, uint64_t offset, const char *text, int end)
{
	struct rig_answer *a = rig_answer(r, id);

	assert_int_equal(a->error, 0);
	assert_int_equal(a->offset, offset);
	assert_string_equal((char *)a->bytes, text);
	assert_int_equal(a->end, end);
}

static void
test_read(void **state)
{
	struct rig *r = *state;
	struct rig_stream *s;

	rig_read(r, 1, 1, 1, 0, 0, 0);
	assert_int_equal(rig_answer(r, 1)->error, ESRCH);
	s = rig_open(r, 1, 1, STREAM_STDOUT, 0, NO_ENTRY);
	rig_run(r, 10);
	rig_read(r, 2, 1, 2, 0, 0, 0);
	assert_int_equal(rig_answer(r, 2)->error, ESRCH);
	/* Nothing there: at once, or when something comes. */
	rig_read(r, 3, 1, 1, 0, 0, 0);
	expect(r, 3, 0, "", 0);
	rig_read(r, 4, 1, 1, 0, 0, 1);
	rig_read(r, 5, 1, 1, 0, 0, 1);
	rig_run(r, 30);
	assert_null(rig_answered(r, 4));
	send_two(r, IMSG_STREAM_EXIT, 99, 1);
	assert_int_equal(imsg_compose(&r->worker, IMSG_STREAM_READ_CANCEL, 5, 0,
			     -1, NULL, 0),
	    1);
	assert_int_equal(imsgbuf_flush(&r->worker), 0);
	rig_run(r, 30);
	rig_puts(r, s->writer, "one\ntwo\nthree\nfour");
	expect(r, 4, 0, "one\ntwo\nthree\nfour", 0);
	/* From an offset, from the end, beyond it. */
	rig_read(r, 6, 1, 1, 4, 0, 1);
	expect(r, 6, 4, "two\nthree\nfour", 0);
	rig_read(r, 7, 1, 1, -4, 0, 0);
	expect(r, 7, 14, "four", 0);
	rig_read(r, 8, 1, 1, INT64_MIN, 0, 0);
	expect(r, 8, 0, "one\ntwo\nthree\nfour", 0);
	rig_read(r, 9, 1, 1, INT64_MAX, 0, 0);
	expect(r, 9, 18, "", 0);
	/* Lines. */
	rig_read(r, 10, 1, 1, 0, 1, 0);
	expect(r, 10, 14, "four", 0);
	rig_read(r, 11, 1, 1, 0, 3, 0);
	expect(r, 11, 4, "two\nthree\nfour", 0);
	rig_read(r, 12, 1, 1, 0, 9, 0);
	expect(r, 12, 0, "one\ntwo\nthree\nfour", 0);
	rig_read(r, 13, 1, 1, -6, 9, 0);
	expect(r, 13, 12, "e\nfour", 0);
	rig_puts(r, s->writer, "\n");
	rig_until(r, r->cells[s->cell].offset == 19);
	rig_read(r, 14, 1, 1, 0, 2, 0);
	expect(r, 14, 8, "three\nfour\n", 0);
	rig_run(r, 20);
	assert_null(rig_answered(r, 5));
}

/* An answer ends where a generation begins, and the end is told. */
static void
test_read_generations(void **state)
{
	struct rig *r = *state;
	struct rig_stream *s;

	s = rig_open(r, 1, 1, STREAM_STDOUT, 0, NO_ENTRY);
	rig_puts(r, s->writer, "old");
	rig_read(r, 1, 1, 1, 0, 0, 1);
	expect(r, 1, 0, "old", 0);
	assert_int_equal(rig_answered(r, 1)->generation, 1);
	/* Who waits is told the end ... */
	rig_read(r, 2, 1, 1, 3, 0, 1);
	rig_run(r, 20);
	rig_exit(r, 1, 1);
	expect(r, 2, 3, "", 1);
	/* ... and afterwards waits for the next generation, */
	rig_read(r, 3, 1, 1, 3, 0, 1);
	rig_run(r, 30);
	assert_null(rig_answered(r, 3));
	/* unless he wants to know about an end that was. */
	rig_read(r, 4, 1, 1, 3, 0, 2);
	expect(r, 4, 3, "", 1);
	rig_read(r, 5, 1, 1, 0, 0, 0);
	expect(r, 5, 0, "old", 1);
	s = rig_open(r, 1, 2, STREAM_STDOUT, 0, NO_ENTRY);
	rig_puts(r, s->writer, "new");
	expect(r, 3, 3, "new", 0);
	assert_int_equal(rig_answered(r, 3)->generation, 2);
	rig_read(r, 6, 1, 1, 1, 0, 0);
	expect(r, 6, 1, "ld", 0);
	assert_int_equal(rig_answered(r, 6)->generation, 1);
	/* The process is given up. */
	rig_read(r, 7, 1, 1, 6, 0, 1);
	rig_run(r, 20);
	rig_forget(r, 1);
	assert_int_equal(rig_answer(r, 7)->error, ESRCH);
}

/* The same stream as READ answers show it, in order and complete. */
static void
test_follow(void **state)
{
	struct rig *r = *state;
	struct rig_stream *s;
	uint64_t at = 0;
	uint32_t id;
	char *all;
	pid_t pid;

	all = calloc(1, 2000000);
	assert_non_null(all);
	r->capture = 4000000;
	s = rig_open(r, 1, 1, STREAM_STDOUT, 0, NO_ENTRY);
	pid = rig_writer(r, s, 1000, 2000000);
	for (id = 1; at < 2000000; id++) {
		struct rig_answer *a;

		rig_read(r, id, 1, 1, (int64_t)at, 0, 1);
		a = rig_answer(r, id);
		assert_int_equal(a->lost, 0);
		assert_int_equal(a->offset, at);
		assert_in_range(a->len, 1, MAX_READ);
		memcpy(all + at, a->bytes, a->len);
		at += a->len;
		rig_forget_answers(r);
	}
	rig_check_lines(all, 2000000, 0);
	assert_int_equal(waitpid(pid, NULL, 0), pid);
	free(all);
}

static void
test_tail(void **state)
{
	struct rig *r = *state;
	struct rig_stream *out;
	struct rig_stream *err;
	struct rig_answer *a;

	rig_tail(r, 1, 1, 0, 10);
	assert_int_equal(rig_answer(r, 1)->len, 0);
	out = rig_open(r, 1, 1, STREAM_STDOUT, 0, NO_ENTRY);
	rig_puts(r, out->writer, "1\n2\n3\n");
	rig_until(r, r->cells[out->cell].offset == 6);
	rig_tail(r, 2, 1, 0, 2);
	assert_string_equal(rig_answer(r, 2)->bytes, "2\n3\n");
	err = rig_open(r, 1, 1, STREAM_STDERR, 0, NO_ENTRY);
	rig_puts(r, err->writer, "e1\ne2");
	rig_until(r, r->cells[err->cell].offset == 5);
	rig_tail(r, 3, 1, 0, 2);
	assert_string_equal(rig_answer(r, 3)->bytes, "2\n3\ne1\ne2");
	rig_tail(r, 4, 1, 2, 1);
	assert_string_equal(rig_answer(r, 4)->bytes, "e2");
	rig_tail(r, 5, 1, 1, 0);
	assert_int_equal(rig_answer(r, 5)->len, 0);
	/* More than fits. */
	(void)rig_writer(r, out, 4000, 100000);
	rig_until(r, r->cells[out->cell].offset == 100006);
	rig_tail(r, 6, 1, 0, 5000);
	a = rig_answer(r, 6);
	assert_true(a->len > 16000 && a->len <= MAX_READ);
	assert_string_equal((char *)a->bytes + a->len - 5, "e1\ne2");
	(void)waitpid(-1, NULL, 0);
}

/* Many requests of one worker, and one that reads no answers. */
static void
test_read_bounds(void **state)
{
	struct rig *r = *state;
	struct rig_stream *s;
	uint32_t id;

	s = rig_open(r, 1, 1, STREAM_STDOUT, 0, NO_ENTRY);
	rig_puts(r, s->writer, "x");
	rig_until(r, r->cells[s->cell].offset == 1);
	for (id = 1; id <= 4096; id++)
		rig_read(r, id, 1, 1, 1, 0, 1);
	rig_read(r, 5000, 1, 1, 1, 0, 1);
	assert_int_equal(rig_answer(r, 5000)->error, EAGAIN);
	/* All of them want 20 kB each: far more than may be queued. */
	rig_exit(r, 1, 1);
	(void)rig_writer(r, s, 1000, 20000);
	rig_until(r, r->worker_fd == -1 || r->answer_total == 4097);
	assert_true(r->worker_fd != -1);
	(void)waitpid(-1, NULL, 0);
}

/* ---- rubbish
 * ---------------------------------------------------------------------- */

static void
test_bad_worker(void **state)
{
	struct rig *r = *state;
	unsigned int count = 0;
	uint8_t bytes[40];
	uint32_t type;
	size_t len;

	memset(bytes, 0xff, sizeof(bytes));
	for (type = IMSG_STREAM_READ - 1; type <= IMSG_STREAM_READ_CANCEL + 1;
	     type++) {
		for (len = 1; len < sizeof(bytes); len += 3) {
			assert_int_equal(imsg_compose(&r->worker, type, 1, 0,
					     -1, bytes, len),
			    1);
			(void)imsgbuf_flush(&r->worker);
			rig_until(r, r->worker_fd == -1);
			rig_connect_worker(r);
			count++;
		}
	}
	rig_until(r, r->accused == count);
	/* Two waiting requests with one id. */
	(void)rig_open(r, 1, 1, STREAM_STDOUT, 0, NO_ENTRY);
	rig_run(r, 10);
	rig_read(r, 1, 1, 1, 0, 0, 1);
	rig_run(r, 10);
	assert_true(r->worker_fd != -1);
	rig_read(r, 1, 1, 1, 0, 0, 1);
	rig_until(r, r->worker_fd == -1);
	/* And the manager. */
	assert_int_equal(
	    imsg_compose(&r->manager, IMSG_STREAM_TAIL, 1, 0, -1, bytes, 3), 1);
	(void)imsgbuf_flush(&r->manager);
	rig_until(r, r->manager_fd == -1);
}

/* A parent that sends rubbish ends the relay: status 0, no crash. */
static void
test_bad_parent(void **state)
{
	struct rig *r = *state;
	uint8_t bytes[64];
	uint32_t type;
	int status;
	size_t len;
	int fill;

	r->may_end = 1;
	for (type = IMSG_STREAM_OPEN; type <= IMSG_CONSOLE_OPEN; type++) {
		for (len = 0; len < sizeof(bytes); len += 9) {
			fill = len % 2 ? 0xff : 0;
			memset(bytes, fill, sizeof(bytes));
			(void)imsg_compose(
			    &r->parent, type, 1, 0, -1, bytes, len);
			(void)imsgbuf_flush(&r->parent);
			if (type == IMSG_STREAM_FORGET ||
			    type == IMSG_SINK_CLOSE) {
				/* Of something unknown is no error. */
				rig_run(r, 20);
				(void)kill(r->relay, SIGKILL);
			}
			status = rig_wait_end(r);
			if (WIFSIGNALED(status))
				assert_int_equal(WTERMSIG(status), SIGKILL);
			else
				assert_int_equal(status, 0);
			rig_start(r);
		}
	}
}

/* ---- cost
 * ---------------------------------------------------------------------------
 */

static long
status_number(pid_t pid, const char *file, const char *key)
{
	char path[64];
	char line[256];
	long value = -1;
	FILE *f;

	(void)snprintf(path, sizeof(path), "/proc/%d/%s", (int)pid, file);
	f = fopen(path, "re");
	assert_non_null(f);
	while (fgets(line, sizeof(line), f) != NULL)
		if (strncmp(line, key, strlen(key)) == 0)
			value = (long)rig_number(line + strlen(key), NULL);
	(void)fclose(f);
	return value;
}

/* Nothing to do: no wakeup at all, with output a second ago. */
static void
test_idle(void **state)
{
	struct rig *r = *state;
	struct rig_stream *s;
	long before;

	s = rig_open(r, 1, 1, STREAM_STDOUT, 0, NO_ENTRY);
	(void)rig_open(r, 2, 1, STREAM_STDOUT, 0, NO_ENTRY);
	(void)rig_writer(r, s, 4000, 100000);
	rig_until(r, s->closed);
	rig_run(r, 2500);
	before = status_number(r->relay, "status", "voluntary_ctxt_switches:");
	rig_run(r, 1500);
	assert_int_equal(
	    status_number(r->relay, "status", "voluntary_ctxt_switches:"),
	    before);
	(void)waitpid(-1, NULL, 0);
}

/* The memory of a thousand idle streams. */
static void
test_memory(void **state)
{
	struct rig *r = *state;
	struct rig_stream s;
	uint32_t i;
	long before;
	long after;
	int fds[2];

	assert_int_equal(pipe2(fds, O_CLOEXEC), 0);
	memset(&s, 0, sizeof(s));
	s.generation = 1;
	s.sink = NO_ENTRY;
	s.capture = DEFAULT_CAPTURE;
	s.number = STREAM_STDOUT;
	s.reader = fds[0];
	before = 0;
	for (i = 1; i <= 1500; i++) {
		if (i == 501) {
			rig_exit(r, 2001, 1);
			rig_until(r, r->drained_count > 0);
			before = status_number(
			    r->relay, "smaps_rollup", "Private_Dirty:");
		}
		s.process = i;
		/* The pages of the cells are not what is measured. */
		s.cell = 1;
		(void)close(fds[0]);
		(void)close(fds[1]);
		assert_int_equal(pipe2(fds, O_CLOEXEC), 0);
		s.reader = fds[0];
		rig_send_open(r, &s, 1);
		rig_run(r, 0);
	}
	rig_exit(r, 2001, 2);
	rig_until(r, r->drained_count > 1);
	after = status_number(r->relay, "smaps_rollup", "Private_Dirty:");
	print_message("# %ld bytes for each of 1000 idle streams\n",
	    (after - before) * 1024 / 1000);
	(void)close(fds[0]);
	(void)close(fds[1]);
#ifndef __SANITIZE_ADDRESS__
	assert_true((after - before) * 1024 / 1000 <= 250);
#endif
}

#define TEST(name) \
	cmocka_unit_test_setup_teardown(name, rig_setup, rig_teardown)

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    TEST(test_lazy_journal),
	    TEST(test_journal_again),
	    TEST(test_closed),
	    TEST(test_drained_unknown),
	    TEST(test_drain),
	    TEST(test_grandchild),
	    TEST(test_ended),
	    TEST(test_ended_late),
	    TEST(test_capture),
	    TEST(test_capture_changes),
	    TEST(test_read),
	    TEST(test_read_generations),
	    TEST(test_follow),
	    TEST(test_tail),
	    TEST(test_read_bounds),
	    TEST(test_bad_worker),
	    TEST(test_bad_parent),
	    TEST(test_idle),
	    TEST(test_memory),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
