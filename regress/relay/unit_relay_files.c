/* sources: regress/relay/fixture.c common/imsg.c common/imsg_buffer.c
 *	common/wire.c */
/* libs: bsd */
#include <sys/types.h>
#include <sys/mman.h>
#include <sys/mount.h>
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

#include <bsd/string.h>

#include <cmocka.h>

#include "fixture.h"

/* Log files and journals: exact, also when the relay is killed. */

#define KILLS 220
#define ALONE (1ULL << 63)
#define HEADER_AT ((off_t)1024 * 1024 * 1024 - 4096)

static void
sink_close(struct rig *r, uint32_t number)
{
	struct wire w;

	wire_init(&w);
	wire_put_u32(&w, number);
	rig_send(r, IMSG_SINK_CLOSE, 0, -1, &w);
	wire_free(&w);
}

static void
expect_content(struct rig *r, const char *name, const char *text)
{
	char *bytes;
	size_t len;

	rig_wait_length(r, name, strlen(text));
	bytes = rig_content(r, name, &len);
	assert_string_equal(bytes, text);
	free(bytes);
}

static void
test_file(void **state)
{
	struct rig *r = *state;
	struct rig_stream *s;
	pid_t pid;

	rig_sink(r, 1, SINK_FRESH, rig_file(r, "a", 0));
	s = rig_open(r, 1, 1, STREAM_STDOUT, 0, 1);
	pid = rig_writer(r, s, 4000, 64000000);
	rig_until(r, s->closed);
	assert_int_equal(waitpid(pid, NULL, 0), pid);
	rig_check_file(r, "a", 0, 64000000);
	assert_int_equal(r->cells[s->cell].dropped, 0);
	assert_int_equal(r->cells[s->cell].sink_stream, 64000000);
	assert_int_equal(r->cells[s->cell].sink_file, 64000000);
	/* Its own file by the next generation, appended to. */
	s = rig_open(r, 1, 2, STREAM_STDOUT, 0, 1);
	pid = rig_writer(r, s, 100, 100000);
	rig_until(r, s->closed);
	assert_int_equal(waitpid(pid, NULL, 0), pid);
	rig_wait_length(r, "a", 64100000);
}

/* The file comes before the stream, after it, and after its output. */
static void
test_orders(void **state)
{
	struct rig *r = *state;
	struct rig_stream *s;

	s = rig_open(r, 1, 1, STREAM_STDOUT, 0, 5);
	rig_puts(r, s->writer, "one ");
	rig_until(r, r->cells[s->cell].offset == 4);
	rig_sink(r, 5, SINK_FRESH, rig_file(r, "a", 0));
	expect_content(r, "a", "one ");
	rig_puts(r, s->writer, "two ");
	expect_content(r, "a", "one two ");
	/* Another file for the next generation; the old one is closed. */
	rig_exit(r, 1, 1);
	rig_until(r, r->drained[1] == 1);
	rig_sink(r, 6, SINK_FRESH, rig_file(r, "b", 0));
	s = rig_open(r, 1, 2, STREAM_STDOUT, 0, 6);
	rig_puts(r, s->writer, "three");
	expect_content(r, "b", "three");
	sink_close(r, 5);
	/* None, and one again: only what comes from then on. */
	s = rig_open(r, 1, 3, STREAM_STDOUT, 0, NO_ENTRY);
	rig_puts(r, s->writer, "four");
	rig_until(r, r->cells[s->cell].offset == 17);
	s = rig_open(r, 1, 4, STREAM_STDOUT, 0, 6);
	rig_puts(r, s->writer, "five");
	expect_content(r, "b", "threefive");
	expect_content(r, "a", "one two ");
}

/* A file that is replaced (rotation), truncated or appended to by others. */
static void
test_replaced(void **state)
{
	struct rig *r = *state;
	struct rig_stream *s;
	int fd;

	rig_sink(r, 1, SINK_FRESH, rig_file(r, "a", 0));
	s = rig_open(r, 1, 1, STREAM_STDOUT, 0, 1);
	rig_puts(r, s->writer, "one");
	expect_content(r, "a", "one");
	rig_sink(r, 1, SINK_FRESH, rig_file(r, "b", 0));
	rig_puts(r, s->writer, "two");
	expect_content(r, "b", "two");
	expect_content(r, "a", "one");
	fd = rig_file(r, "b", O_TRUNC);
	rig_puts(r, s->writer, "three");
	expect_content(r, "b", "three");
	assert_int_equal(write(fd, "XX", 2), 2);
	rig_puts(r, s->writer, "four");
	expect_content(r, "b", "threeXXfour");
	rig_kill(r);
	rig_start(r);
	rig_puts(r, s->writer, "more");
	expect_content(r, "b", "threeXXfourmore");
	/* Also while there is no relay. */
	rig_kill(r);
	assert_int_equal(ftruncate(fd, 3), 0);
	rig_puts(r, s->writer, "five");
	rig_start(r);
	expect_content(r, "b", "thrfive");
	rig_kill(r);
	assert_int_equal(ftruncate(fd, 0), 0);
	rig_puts(r, s->writer, "six");
	rig_start(r);
	expect_content(r, "b", "six");
	rig_kill(r);
	assert_int_equal(ftruncate(fd, 1000000), 0);
	rig_puts(r, s->writer, "seven");
	rig_start(r);
	rig_wait_length(r, "b", 1000005);
	(void)close(fd);
}

/* Each state that a kill can leave of a cell gives the right cursor. */
static void
test_cell_states(void **state)
{
	struct rig *r = *state;
	struct rig_stream *s;
	struct stream_cell *cell;
	char want[64] = "01234";
	int step;

	rig_sink(r, 1, SINK_FRESH, rig_file(r, "a", 0));
	s = rig_open(r, 1, 1, STREAM_STDOUT, 0, 1);
	cell = &r->cells[s->cell];
	rig_puts(r, s->writer, "01234");
	for (step = 0; step < 5; step++) {
		expect_content(r, "a", want);
		rig_kill(r);
		assert_int_equal(cell->sink_stream, strlen(want));
		assert_int_equal(cell->sink_file, strlen(want));
		switch (step) {
		case 0: /* the bytes are in the file */
			cell->sink_stream -= 5;
			cell->sink_file -= 5;
			break;
		case 1: /* first store */
			cell->sink_stream |= ALONE;
			cell->sink_file -= 5;
			break;
		case 2: /* second */
			cell->sink_stream |= ALONE;
			break;
		default: /* third */
			break;
		}
		rig_start(r);
		rig_puts(r, s->writer, "56789");
		(void)strlcat(want, "56789", sizeof(want));
	}
	expect_content(r, "a", want);
}

/* A journal in the middle of a turn, and one that has turned often. */
static void
test_journal_states(void **state)
{
	struct rig *r = *state;
	struct rig_answer *a;
	int step;

	r->capture = 1;
	for (step = 0; step < 2; step++) {
		struct rig_stream *s;
		uint32_t process = (uint32_t)step + 1;
		uint64_t header[3];
		pid_t pid;

		s = rig_open(r, process, 1, STREAM_STDOUT, 0, NO_ENTRY);
		pid = rig_writer(r, s, 4000, 65600);
		rig_until(r, r->cells[s->cell].offset == 65600);
		assert_int_equal(waitpid(pid, NULL, 0), pid);
		rig_kill(r);
		assert_int_equal(
		    pread(s->journal, header, sizeof(header), HEADER_AT),
		    sizeof(header));
		assert_int_equal(header[0], 65536);
		assert_int_equal(header[1], 65536);
		assert_int_equal(header[2], 0);
		/* As if the last 64 bytes had not come. */
		assert_int_equal(
		    lseek(s->journal, step == 0 ? 65536 : 0, SEEK_SET),
		    step == 0 ? 65536 : 0);
		header[2] = 1;
		assert_int_equal(
		    pwrite(s->journal, header, sizeof(header), HEADER_AT),
		    sizeof(header));
		rig_start(r);
		rig_until(r, r->cells[s->cell].offset == 65536);
		assert_int_equal(lseek(s->journal, 0, SEEK_CUR), 0);
		s = rig_open(r, process, 2, STREAM_STDOUT, 0, NO_ENTRY);
		rig_puts(r, s->writer, "next");
		rig_until(r, r->cells[s->cell].offset == 65540);
		rig_read(r, process, process, 1, 65536, 0, 0);
		a = rig_answer(r, process);
		assert_string_equal(a->bytes, "next");
		assert_int_equal(a->offset, 65536);
		rig_read(r, 10 + process, process, 1, 0, 0, 0);
		a = rig_answer(r, 10 + process);
		/* The four bytes lie over the oldest. */
		assert_int_equal(a->lost, 4);
		rig_check_lines(
		    (char *)a->bytes + 96, (a->len - 96) / 100 * 100, 1);
		(void)close(s->writer);
		s->writer = -1;
		rig_until(r, s->closed);
	}
}

/* Not a journal: the relay ends, and does not go wild. */
static void
test_bad_journal(void **state)
{
	struct rig *r = *state;
	struct rig_stream *s;
	uint64_t header[3] = {1, 0, 0};
	size_t i;

	r->may_end = 1;
	for (i = 0; i < 3; i++) {
		header[0] = i == 0 ? UINT64_MAX : 0;
		header[1] = i == 1 ? UINT64_MAX : 0;
		header[2] = i == 2 ? 7 : 0;
		s = rig_open(r, 1, 1, STREAM_STDOUT, 0, NO_ENTRY);
		s->journal = memfd_create("journal", MFD_CLOEXEC);
		assert_int_equal(
		    pwrite(s->journal, header, sizeof(header), HEADER_AT),
		    sizeof(header));
		rig_puts(r, s->writer, "x");
		rig_run(r, 50);
		assert_int_equal(rig_wait_end(r), 0);
		rig_forget_streams(r);
		rig_start(r);
	}
}

/* ---- kills
 * ------------------------------------------------------------------- */

static pid_t
endless_writer(struct rig *r, struct rig_stream *s, size_t block)
{
	return rig_writer(r, s, block, (size_t)1 << 50);
}

static void
short_sleep(unsigned int us)
{
	struct timespec ts = {0, (long)us * 1000};

	(void)nanosleep(&ts, NULL);
}

/*
 * Killed at random instants while it moves bytes: in the end each file holds
 * each byte once.
 */
static void
test_kill(void **state)
{
	static const size_t blocks[] = {4000, 100, 65500};
	struct rig *r = *state;
	struct rig_stream *s[3];
	pid_t pids[3];
	uint64_t offset;
	uint32_t i;
	char name[2] = "a";
	int kills;

	srandom((unsigned int)getpid());
	for (i = 0; i < 3; i++) {
		name[0] = (char)('a' + i);
		/* Laps of 64 KiB, that turns are frequent. */
		r->capture = i == 1 ? 1 : DEFAULT_CAPTURE;
		rig_sink(r, i + 1, SINK_FRESH, rig_file(r, name, 0));
		s[i] = rig_open(r, i + 1, 1, STREAM_STDOUT, 0, i + 1);
		pids[i] = endless_writer(r, s[i], blocks[i]);
	}
	for (kills = 0; kills < KILLS; kills++) {
		offset = r->cells[s[0]->cell].offset;
		rig_until(r, r->cells[s[0]->cell].offset != offset);
		short_sleep((unsigned int)random() % 1500);
		rig_kill(r);
		rig_start(r);
	}
	for (i = 0; i < 3; i++) {
		assert_int_equal(kill(pids[i], SIGKILL), 0);
		assert_int_equal(waitpid(pids[i], NULL, 0), pids[i]);
	}
	for (i = 0; i < 3; i++) {
		name[0] = (char)('a' + i);
		rig_until(r, s[i]->closed);
		rig_check_file(r, name, 0, r->cells[s[i]->cell].offset);
		assert_int_equal(r->cells[s[i]->cell].sink_dropped, 0);
	}
	print_message("# %d kills, %llu + %llu + %llu bytes\n", kills,
	    (unsigned long long)r->cells[s[0]->cell].offset,
	    (unsigned long long)r->cells[s[1]->cell].offset,
	    (unsigned long long)r->cells[s[2]->cell].offset);
}

/* Killed again and again while the file is replaced: nothing is lost or
 * doubled over all of the files. */
static void
test_kill_rotation(void **state)
{
	struct rig *r = *state;
	struct rig_stream *s;
	uint64_t offset;
	uint64_t at = 0;
	char name[16];
	pid_t pid;
	int i;

	rig_sink(r, 1, SINK_FRESH, rig_file(r, "f0", 0));
	s = rig_open(r, 1, 1, STREAM_STDOUT, 0, 1);
	pid = endless_writer(r, s, 4000);
	for (i = 1; i <= 20; i++) {
		(void)snprintf(name, sizeof(name), "f%d", i);
		rig_sink(r, 1, SINK_FRESH, rig_file(r, name, 0));
		/* Until the relay has taken it. */
		rig_wait_more(r, name);
		short_sleep((unsigned int)random() % 1000);
		rig_kill(r);
		rig_start(r);
		offset = r->cells[s->cell].offset;
		rig_until(r, r->cells[s->cell].offset != offset);
	}
	assert_int_equal(kill(pid, SIGKILL), 0);
	assert_int_equal(waitpid(pid, NULL, 0), pid);
	rig_until(r, s->closed);
	for (i = 0; i <= 20; i++) {
		char *bytes;
		size_t len;

		(void)snprintf(name, sizeof(name), "f%d", i);
		bytes = rig_content(r, name, &len);
		rig_check_part(bytes, len, at);
		at += len;
		free(bytes);
	}
	assert_int_equal(at, r->cells[s->cell].offset);
}

/* ---- shared files
 * ---------------------------------------------------------------- */

static void
test_shared(void **state)
{
	struct rig *r = *state;
	struct rig_stream *a;
	struct rig_stream *b;

	rig_sink(r, 1, SINK_FRESH | SINK_SHARED, rig_file(r, "a", 0));
	a = rig_open(r, 1, 1, STREAM_STDOUT, 0, 1);
	b = rig_open(r, 2, 1, STREAM_STDOUT, 0, 1);
	/* A line waits for its end. */
	rig_puts(r, a->writer, "a1 ");
	rig_until(r, r->cells[a->cell].offset == 3);
	rig_puts(r, b->writer, "b1\nb2 ");
	expect_content(r, "a", "b1\n");
	rig_puts(r, a->writer, "a2\n");
	expect_content(r, "a", "b1\na1 a2\n");
	/* The rest comes with the exit. */
	rig_kill(r);
	rig_start(r);
	rig_exit(r, 2, 1);
	expect_content(r, "a", "b1\na1 a2\nb2 ");
	/* And with the end of the pipe. */
	rig_puts(r, a->writer, "a3");
	(void)close(a->writer);
	a->writer = -1;
	rig_until(r, a->closed);
	expect_content(r, "a", "b1\na1 a2\nb2 a3");
}

/* Each stream's lines are there in order, a kill loses none. */
static void
test_shared_kill(void **state)
{
	struct rig *r = *state;
	struct rig_stream *s[2];
	uint64_t next[2] = {0, 0};
	uint64_t offset;
	char *bytes;
	pid_t pids[2];
	const char *end;
	size_t doubled = 0;
	size_t torn = 0;
	size_t len;
	size_t at;
	uint32_t i;

	rig_sink(r, 1, SINK_FRESH | SINK_SHARED, rig_file(r, "a", 0));
	for (i = 0; i < 2; i++) {
		s[i] = rig_open(r, i + 1, 1, STREAM_STDOUT, 0, 1);
		/* The second one writes capital letters. */
		pids[i] = rig_writer_case(r, s[i], 4000, 40000000, i == 1);
	}
	for (i = 0; i < 30; i++) {
		offset = r->cells[s[0]->cell].offset;
		rig_until(
		    r, s[0]->closed || r->cells[s[0]->cell].offset != offset);
		short_sleep((unsigned int)random() % 1000);
		rig_kill(r);
		rig_start(r);
	}
	rig_until(r, s[0]->closed && s[1]->closed);
	for (i = 0; i < 2; i++)
		assert_int_equal(waitpid(pids[i], NULL, 0), pids[i]);
	bytes = rig_content(r, "a", &len);
	for (at = 0; at < len; at = (size_t)(end + 1 - bytes)) {
		const char *line;
		uint64_t number;
		int which;

		end = memchr(bytes + at, '\n', len - at);
		assert_non_null(end);
		/* What a kill has cut off comes again, as a whole line. */
		line = end - 99;
		assert_true(line >= bytes + at);
		torn += line > bytes + at;
		which = line[50] < 'a';
		number = rig_line_number(line);
		assert_true(number <= next[which]);
		if (number == next[which])
			next[which]++;
		else
			doubled++;
	}
	assert_in_range(torn, 0, 30);
	assert_int_equal(next[0], 400000);
	assert_int_equal(next[1], 400000);
	print_message(
	    "# 30 kills: %zu lines doubled, %zu torn\n", doubled, torn);
	free(bytes);
}

/* ---- files that fail
 * --------------------------------------------------------------- */

/* A writer is never held up by a file that fails; what is lost is counted. */
static void
test_full(void **state)
{
	struct rig *r = *state;
	struct rig_stream *s;
	uint64_t dropped;
	char *bytes;
	pid_t pid;
	size_t len;
	int fd;

	fd = open("/dev/full", O_WRONLY | O_CLOEXEC);
	assert_true(fd != -1);
	rig_sink(r, 1, 0, fd);
	s = rig_open(r, 1, 1, STREAM_STDOUT, 0, 1);
	pid = rig_writer(r, s, 4000, 10000000);
	rig_until(r, s->closed);
	assert_int_equal(waitpid(pid, NULL, 0), pid);
	rig_exit(r, 1, 1);
	rig_until(r, r->drained[1] == 1);
	/* One line of log, whatever the number of tries. */
	rig_run(r, 400);
	assert_int_equal(r->log_count, 1);
	assert_non_null(strstr(r->log, "No space left"));
	dropped = r->cells[s->cell].sink_dropped;
	assert_in_range(dropped, 10000000 - 300000, 10000000 - 200000);
	assert_int_equal(r->cells[s->cell].dropped, dropped);
	/* A file that works: goes on with what is still there. */
	rig_sink(r, 1, SINK_FRESH, rig_file(r, "a", 0));
	rig_wait_length(r, "a", 10000000 - dropped);
	bytes = rig_content(r, "a", &len);
	rig_check_part(bytes, len, dropped);
	free(bytes);
	rig_until(r, r->log_count == 2);
	assert_non_null(strstr(r->log, "bytes were lost"));
}

/* A file system that is full, then has room again. */
static void
test_no_space(void **state)
{
	struct rig *r = *state;
	struct rig_stream *s;
	struct stat st;
	char path[128];
	char ballast[144];
	int fd;
	int big;
	pid_t pid;

	(void)snprintf(path, sizeof(path), "%s/mnt", r->dir);
	assert_int_equal(mkdir(path, 0700), 0);
	if (mount("tmpfs", path, "tmpfs", 0, "size=1m") == -1) {
		(void)rmdir(path);
		print_message("SKIP no right to mount a file system\n");
		skip();
	}
	(void)snprintf(ballast, sizeof(ballast), "%s/ballast", path);
	big = open(ballast, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
	assert_true(big != -1);
	assert_int_equal(posix_fallocate(big, 0, 900000), 0);
	rig_sink(r, 1, SINK_FRESH, rig_file(r, "mnt/a", 0));
	s = rig_open(r, 1, 1, STREAM_STDOUT, 0, 1);
	pid = rig_writer(r, s, 4000, 300000);
	rig_until(r, s->closed);
	assert_int_equal(waitpid(pid, NULL, 0), pid);
	fd = rig_file(r, "mnt/a", 0);
	assert_int_equal(fstat(fd, &st), 0);
	assert_in_range(st.st_size, 1, 200000);
	/* Killed while it waits: the next one goes on. */
	rig_kill(r);
	rig_start(r);
	rig_run(r, 150);
	assert_int_equal(ftruncate(big, 0), 0);
	rig_wait_length(r, "mnt/a", 300000);
	rig_check_file(r, "mnt/a", 0, 300000);
	assert_int_equal(r->cells[s->cell].sink_dropped, 0);
	(void)close(fd);
	(void)close(big);
	rig_kill(r);
	(void)close(r->sinks[0].fd);
	r->sinks[0].fd = -1;
	assert_int_equal(umount(path), 0);
	(void)rmdir(path);
}

/* backpressure: the writer waits for the file, nothing is lost. */
static void
test_block(void **state)
{
	struct rig *r = *state;
	struct rig_stream *s;
	uint64_t offset;
	pid_t pid;
	int fd;

	fd = open("/dev/full", O_WRONLY | O_CLOEXEC);
	assert_true(fd != -1);
	rig_sink(r, 1, 0, fd);
	s = rig_open(r, 1, 1, STREAM_STDOUT, STREAM_BLOCK, 1);
	pid = rig_writer(r, s, 4000, 3000000);
	rig_run(r, 300);
	offset = r->cells[s->cell].offset;
	assert_in_range(offset, 200000, 300000);
	rig_run(r, 100);
	assert_int_equal(r->cells[s->cell].offset, offset);
	assert_int_equal(waitpid(pid, NULL, WNOHANG), 0);
	rig_sink(r, 1, SINK_FRESH, rig_file(r, "a", 0));
	rig_until(r, s->closed);
	assert_int_equal(waitpid(pid, NULL, 0), pid);
	rig_check_file(r, "a", 0, 3000000);
	assert_int_equal(r->cells[s->cell].dropped, 0);
}

/* SINK_CLOSE and FORGET wait until all is written. */
static void
test_close_late(void **state)
{
	struct rig *r = *state;
	struct rig_stream *s;
	int fd;

	fd = open("/dev/full", O_WRONLY | O_CLOEXEC);
	assert_true(fd != -1);
	rig_sink(r, 1, 0, fd);
	s = rig_open(r, 1, 1, STREAM_STDOUT, 0, 1);
	rig_puts(r, s->writer, "last words");
	rig_until(r, r->cells[s->cell].offset == 10);
	rig_exit(r, 1, 1);
	rig_until(r, r->drained[1] == 1);
	rig_forget(r, 1);
	sink_close(r, 1);
	rig_run(r, 50);
	rig_sink(r, 1, SINK_FRESH, rig_file(r, "a", 0));
	expect_content(r, "a", "last words");
	assert_int_equal(r->cells[s->cell].offset, 0);
	/* And nothing of it is left that could do harm. */
	sink_close(r, 1);
	rig_run(r, 20);
}

/* Lines for the log file of musterd itself. */
static void
test_logfile(void **state)
{
	struct rig *r = *state;
	struct wire w;
	int fds[2];
	char buf[64] = "";

	assert_int_equal(pipe2(fds, O_CLOEXEC | O_NONBLOCK), 0);
	rig_console(r, 1, 0, fds[1]);
	wire_init(&w);
	wire_put_str(&w, "to the console");
	rig_send(r, IMSG_LOGFILE_WRITE, 0, -1, &w);
	rig_until(r, read(fds[0], buf, sizeof(buf)) == 15);
	assert_memory_equal(buf, "to the console\n", 15);
	rig_sink(r, 0, 0, rig_file(r, "log", 0));
	wire_reset(&w);
	wire_put_str(&w, "to the file\n");
	rig_send(r, IMSG_LOGFILE_WRITE, 0, -1, &w);
	expect_content(r, "log", "to the file\n");
	wire_free(&w);
	(void)close(fds[0]);
}

#define TEST(name) \
	cmocka_unit_test_setup_teardown(name, rig_setup, rig_teardown)

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    TEST(test_file),
	    TEST(test_orders),
	    TEST(test_replaced),
	    TEST(test_cell_states),
	    TEST(test_journal_states),
	    TEST(test_bad_journal),
	    TEST(test_kill),
	    TEST(test_kill_rotation),
	    TEST(test_shared),
	    TEST(test_shared_kill),
	    TEST(test_full),
	    TEST(test_no_space),
	    TEST(test_block),
	    TEST(test_close_late),
	    TEST(test_logfile),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
