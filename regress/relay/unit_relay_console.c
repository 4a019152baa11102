/* sources: regress/relay/fixture.c common/imsg.c common/imsg_buffer.c
 *	common/wire.c */
/* libs: bsd */
#include <sys/types.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include <errno.h>
#include <fcntl.h>
#include <pty.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <termios.h>
#include <unistd.h>

#include <bsd/string.h>

#include <cmocka.h>

#include "fixture.h"

/* The console: order, prefixes, and readers that are slow or go away. */

struct reader {
	int fd;
	size_t len;
	char text[4000000];
};

/* A console that is a pipe; returns what reads it. */
static struct reader *
console_pipe(struct rig *r, int number, uint32_t flags)
{
	struct reader *reader;
	int fds[2];

	reader = calloc(1, sizeof(*reader));
	assert_non_null(reader);
	assert_int_equal(pipe2(fds, O_CLOEXEC), 0);
	assert_int_equal(fcntl(fds[0], F_SETFL, O_NONBLOCK), 0);
	if (!(flags & CONSOLE_BLOCKING))
		assert_int_equal(fcntl(fds[1], F_SETFL, O_NONBLOCK), 0);
	reader->fd = fds[0];
	rig_console(r, number, flags, fds[1]);
	return reader;
}

static void
reader_free(struct reader *reader)
{
	(void)close(reader->fd);
	free(reader);
}

static size_t
reader_take(struct reader *reader)
{
	ssize_t n;

	do {
		n = read(reader->fd, reader->text + reader->len,
		    sizeof(reader->text) - 1 - reader->len);
		if (n > 0)
			reader->len += (size_t)n;
	} while (n > 0);
	reader->text[reader->len] = '\0';
	return reader->len;
}

static void
expect(struct rig *r, struct reader *reader, const char *text)
{
	int i;

	for (i = 0; i < 400 && reader_take(reader) < strlen(text); i++)
		rig_run(r, 5);
	assert_string_equal(reader->text, text);
	reader->len = 0;
}

static void
flush(struct rig *r, uint32_t id)
{
	rig_send(r, IMSG_CONSOLE_FLUSH, id, -1, NULL);
}

/* A text that was sent before a stream was opened comes before its output,
 * which is in the pipe already. */
static void
test_order(void **state)
{
	struct rig *r = *state;
	struct reader *reader = console_pipe(r, 1, 0);
	char text[64];
	char want[4096] = "";
	uint32_t i;

	for (i = 1; i <= 50; i++) {
		struct rig_stream *s;
		(void)snprintf(text, sizeof(text), "$ command %u\n", i);
		(void)strlcat(want, text, sizeof(want));
		rig_text(r, 1, text);
		(void)snprintf(text, sizeof(text), "output %u\n", i);
		(void)strlcat(want, text, sizeof(want));
		/* The pipe is full of it before the relay knows of it. */
		s = rig_prepare(r, 1, i, STREAM_STDOUT, STREAM_SHOW, NO_ENTRY);
		assert_int_equal(
		    write(s->writer, text, strlen(text)), strlen(text));
		rig_send_open(r, s, 1);
		rig_exit(r, 1, i);
		rig_until(r, r->drained[1] == i);
		/* What is said after the exit comes after the output. */
		rig_text(r, 1, "exited\n");
		(void)strlcat(want, "exited\n", sizeof(want));
		(void)close(s->writer);
		s->writer = -1;
		rig_until(r, s->closed);
	}
	expect(r, reader, want);
	reader_free(reader);
}

/* Standard error is another console, or the same in the same order. */
static void
test_two_consoles(void **state)
{
	struct rig *r = *state;
	struct reader *out = console_pipe(r, 1, 0);
	struct reader *err = console_pipe(r, 2, 0);
	struct rig_stream *s;
	char want[512] = "";
	int i;

	rig_text(r, 1, "out\n");
	rig_text(r, 2, "err\n");
	s = rig_open(
	    r, 1, 1, STREAM_STDERR, STREAM_SHOW | STREAM_SHOW_STDERR, NO_ENTRY);
	rig_puts(r, s->writer, "of it\n");
	expect(r, out, "out\n");
	expect(r, err, "err\nof it\n");
	reader_free(err);
	rig_console(r, 2, 0, fcntl(r->console_fd[0], F_DUPFD_CLOEXEC, 3));
	for (i = 0; i < 20; i++) {
		rig_text(r, 1 + i % 2, i % 2 ? "to stderr\n" : "to stdout\n");
		(void)strlcat(
		    want, i % 2 ? "to stderr\n" : "to stdout\n", sizeof(want));
	}
	expect(r, out, want);
	reader_free(out);
}

static void
test_prefix(void **state)
{
	struct rig *r = *state;
	struct reader *reader = console_pipe(r, 1, 0);
	struct rig_stream *a;
	struct rig_stream *b;
	char *text;
	size_t i;

	a = rig_open(r, 1, 1, 1, STREAM_SHOW | STREAM_PREFIX, NO_ENTRY);
	b = rig_open(r, 2, 1, 1, STREAM_SHOW | STREAM_PREFIX, NO_ENTRY);
	rig_puts(r, a->writer, "one\ntwo\n");
	expect(r, reader, "p1| one\np1| two\n");
	/* A line waits for its end, others do not wait for it. */
	rig_puts(r, a->writer, "three");
	rig_until(r, r->cells[a->cell].offset == 13);
	rig_puts(r, b->writer, "x\n\n");
	rig_until(r, r->cells[b->cell].offset == 3);
	rig_text(r, 1, "text\n");
	expect(r, reader, "p2| x\np2| \ntext\n");
	rig_puts(r, a->writer, " four\nfive");
	expect(r, reader, "p1| three four\n");
	rig_kill(r);
	rig_start(r);
	rig_puts(r, a->writer, " six");
	rig_exit(r, 1, 1);
	expect(r, reader, "p1| five six\n");
	/* A very long line, and something that comes in between. */
	text = malloc(5001);
	assert_non_null(text);
	memset(text, 'z', 5000);
	text[5000] = '\0';
	rig_puts(r, b->writer, text);
	for (i = 0; i < 400 && reader_take(reader) < 5004; i++)
		rig_run(r, 5);
	reader->len = 0;
	rig_text(r, 1, "text\n");
	expect(r, reader, "\ntext\n");
	rig_puts(r, b->writer, "end\n");
	expect(r, reader, "p2| end\n");
	free(text);
	reader_free(reader);
}

/* Many lines with a prefix, through a pipe that is read slowly. */
static void
test_prefix_slow(void **state)
{
	struct rig *r = *state;
	struct reader *reader = console_pipe(r, 1, 0);
	struct rig_stream *s;
	size_t at;
	int i;

	r->capture = 2000000;
	s = rig_open(r, 1, 1, 1, STREAM_SHOW | STREAM_PREFIX, NO_ENTRY);
	(void)rig_writer(r, s, 4000, 1000000);
	rig_until(r, s->closed);
	for (i = 0; i < 2000 && reader_take(reader) < 1040000; i++)
		rig_run(r, 2);
	assert_int_equal(reader->len, 1040000);
	for (at = 0; at < reader->len; at += 104) {
		assert_memory_equal(reader->text + at, "p1| ", 4);
		rig_check_lines(reader->text + at + 4, 100, at / 104);
	}
	(void)waitpid(-1, NULL, 0);
	reader_free(reader);
}

/*
 * A terminal that stands still holds up nobody; what it did not get is told
 * in its place, and is all that is missing.
 */
static void
slow_console(struct rig *r, uint32_t flags)
{
	struct reader *reader = console_pipe(r, 1, flags);
	struct rig_stream *s;
	uint64_t missing = 0;
	uint64_t at = 0;
	const char *text;
	const char *end;
	pid_t pid;
	int i;

	s = rig_open(r, 1, 1, STREAM_STDOUT, STREAM_SHOW, NO_ENTRY);
	pid = rig_writer(r, s, 4000, 2000000);
	rig_until(r, s->closed);
	assert_int_equal(waitpid(pid, NULL, 0), pid);
	rig_exit(r, 1, 1);
	rig_until(r, r->drained[1] == 1);
	rig_text(r, 1, "after\n");
	flush(r, 77);
	rig_run(r, 50);
	assert_int_equal(r->flushed_count, 0);
	for (i = 0; i < 2000 && r->flushed_count == 0; i++) {
		(void)reader_take(reader);
		rig_run(r, 2);
	}
	(void)reader_take(reader);
	assert_int_equal(r->flushed, 77);
	assert_true(reader->len > 6);
	assert_string_equal(reader->text + reader->len - 6, "after\n");
	reader->text[reader->len - 6] = '\0';
	/* Its parts, and between them how much is missing. */
	for (text = reader->text;; text = end) {
		const char *notice = strstr(text, "musterd: ");
		uint64_t bytes;
		size_t len;

		len = notice == NULL ? strlen(text) : (size_t)(notice - text);
		if (notice != NULL && len > 0) {
			/* A line of its own: what it cuts off is ended. */
			assert_int_equal(notice[-1], '\n');
			if ((at + len) % LINE != 0)
				len--;
		}
		rig_check_part(text, len, at);
		if (notice == NULL)
			break;
		at += len;
		bytes = rig_number(notice + 9, &end);
		assert_memory_equal(end, " bytes not shown\n", 17);
		end += 17;
		at += bytes;
		missing += bytes;
	}
	assert_int_equal(at + strlen(text), 2000000);
	assert_true(missing > 1000000);
	assert_int_equal(r->cells[s->cell].dropped, missing);
	reader_free(reader);
}

static void
test_slow(void **state)
{
	slow_console(*state, 0);
}

/* The same where the descriptor may block: the relay must not. */
static void
test_slow_blocking(void **state)
{
	slow_console(*state, CONSOLE_BLOCKING);
}

/* backpressure: the writer waits for the console, nothing is lost. */
static void
test_block(void **state)
{
	struct rig *r = *state;
	struct reader *reader = console_pipe(r, 1, 0);
	struct rig_stream *s;
	pid_t pid;
	int i;

	s = rig_open(
	    r, 1, 1, STREAM_STDOUT, STREAM_SHOW | STREAM_BLOCK, NO_ENTRY);
	pid = rig_writer(r, s, 4000, 3000000);
	rig_run(r, 200);
	assert_int_equal(waitpid(pid, NULL, WNOHANG), 0);
	for (i = 0; i < 5000 && !s->closed; i++) {
		(void)reader_take(reader);
		rig_run(r, 1);
	}
	for (i = 0; i < 400 && reader_take(reader) < 3000000; i++)
		rig_run(r, 5);
	assert_int_equal(waitpid(pid, NULL, 0), pid);
	assert_int_equal(reader->len, 3000000);
	rig_check_lines(reader->text, 3000000, 0);
	reader_free(reader);
}

/* Texts are kept up to a bound; the rest is told. */
static void
test_many_texts(void **state)
{
	struct rig *r = *state;
	struct reader *reader = console_pipe(r, 1, 0);
	uint64_t missing;
	const char *notice;
	char text[10001];
	int i;

	memset(text, 'x', 10000);
	text[9999] = '\n';
	text[10000] = '\0';
	for (i = 0; i < 150; i++)
		rig_text(r, 1, text);
	flush(r, 1);
	for (i = 0; i < 400 && r->flushed_count == 0; i++) {
		(void)reader_take(reader);
		rig_run(r, 5);
	}
	for (i = 0; i < 20; i++) {
		(void)reader_take(reader);
		rig_run(r, 5);
	}
	notice = strstr(reader->text, "musterd: ");
	assert_non_null(notice);
	missing = rig_number(notice + 9, NULL);
	assert_in_range(missing, 100000, 600000);
	assert_int_equal(reader->len - strlen(notice) + missing, 1500000);
	reader_free(reader);
}

/* The reader has gone: no error, all goes on, flushes are answered. */
static void
test_hangup(void **state)
{
	struct rig *r = *state;
	struct reader *reader = console_pipe(r, 1, 0);
	struct rig_stream *s;
	pid_t pid;

	s = rig_open(
	    r, 1, 1, STREAM_STDOUT, STREAM_SHOW | STREAM_BLOCK, NO_ENTRY);
	pid = rig_writer(r, s, 4000, 3000000);
	rig_run(r, 100);
	flush(r, 5);
	rig_run(r, 50);
	assert_int_equal(r->flushed_count, 0);
	reader_free(reader);
	rig_until(r, r->flushed_count == 1);
	rig_until(r, s->closed);
	assert_int_equal(waitpid(pid, NULL, 0), pid);
	rig_text(r, 1, "for nobody\n");
	flush(r, 6);
	rig_until(r, r->flushed == 6);
	assert_int_equal(r->cells[s->cell].dropped, 0);
	assert_int_equal(r->log_count, 0);
	/* A new one. */
	reader = console_pipe(r, 1, 0);
	rig_text(r, 1, "again\n");
	expect(r, reader, "again\n");
	reader_free(reader);
}

/* Files, terminals, /dev/null and sockets. */
static void
test_kinds(void **state)
{
	struct rig *r = *state;
	struct reader *reader;
	struct rig_stream *s;
	char *bytes;
	size_t len;
	int master;
	int slave;
	int fds[2];

	rig_console(r, 1, CONSOLE_REGULAR, rig_file(r, "out", 0));
	s = rig_open(r, 1, 1, STREAM_STDOUT, STREAM_SHOW, NO_ENTRY);
	rig_puts(r, s->writer, "to a file\n");
	rig_wait_length(r, "out", 10);
	bytes = rig_content(r, "out", &len);
	assert_string_equal(bytes, "to a file\n");
	free(bytes);
	rig_console(r, 1, 0, open("/dev/null", O_WRONLY | O_CLOEXEC));
	rig_puts(r, s->writer, "away\n");
	flush(r, 1);
	rig_until(r, r->flushed == 1);
	rig_console(
	    r, 1, CONSOLE_BLOCKING, open("/dev/null", O_WRONLY | O_CLOEXEC));
	rig_text(r, 1, "away\n");
	flush(r, 2);
	rig_until(r, r->flushed == 2);
	reader = calloc(1, sizeof(*reader));
	assert_non_null(reader);
	assert_int_equal(openpty(&master, &slave, NULL, NULL, NULL), 0);
	assert_int_equal(fcntl(slave, F_SETFL, O_NONBLOCK), 0);
	assert_int_equal(fcntl(master, F_SETFL, O_NONBLOCK), 0);
	rig_console(r, 1, 0, slave);
	rig_puts(r, s->writer, "terminal\n");
	reader->fd = master;
	expect(r, reader, "terminal\r\n");
	(void)close(master);
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, fds), 0);
	assert_int_equal(fcntl(fds[0], F_SETFL, O_NONBLOCK), 0);
	rig_console(r, 1, CONSOLE_BLOCKING, fds[1]);
	reader->fd = fds[0];
	reader->len = 0;
	rig_puts(r, s->writer, "socket\n");
	expect(r, reader, "socket\n");
	reader_free(reader);
}

/* A process that is given up while the console is slow: its last words are
 * shown nevertheless. */
static void
test_forget(void **state)
{
	struct rig *r = *state;
	struct reader *reader = console_pipe(r, 1, 0);
	struct rig_stream *s;
	uint32_t cell;
	size_t i;

	s = rig_open(r, 1, 1, STREAM_STDOUT, STREAM_SHOW, NO_ENTRY);
	cell = s->cell;
	(void)rig_writer(r, s, 4000, 200000);
	rig_until(r, s->closed);
	rig_exit(r, 1, 1);
	rig_until(r, r->drained[1] == 1);
	rig_forget(r, 1);
	rig_run(r, 20);
	assert_int_equal(r->cells[cell].offset, 0);
	/* The slot has another process meanwhile. */
	s = rig_prepare(r, 2, 1, STREAM_STDOUT, 0, NO_ENTRY);
	s->cell = cell;
	rig_send_open(r, s, 1);
	rig_puts(r, s->writer, "new");
	for (i = 0; i < 400 && reader_take(reader) < 200000; i++)
		rig_run(r, 5);
	assert_int_equal(reader->len, 200000);
	rig_check_lines(reader->text, 200000, 0);
	rig_until(r, r->cells[cell].offset == 3);
	assert_int_equal(r->cells[cell].show, 3);
	(void)waitpid(-1, NULL, 0);
	reader_free(reader);
}

/* A new relay goes on showing where the old one stopped. */
static void
test_kill(void **state)
{
	struct rig *r = *state;
	struct reader *reader = console_pipe(r, 1, 0);
	struct rig_stream *s;
	size_t at;
	uint64_t next = 0;
	int i;

	r->capture = 4000000;
	s = rig_open(r, 1, 1, STREAM_STDOUT, STREAM_SHOW, NO_ENTRY);
	(void)rig_writer(r, s, 4000, 3000000);
	for (i = 0; i < 20; i++) {
		rig_run(r, 2);
		(void)reader_take(reader);
		rig_kill(r);
		(void)reader_take(reader);
		rig_start(r);
	}
	for (i = 0; i < 1000 && !s->closed; i++) {
		rig_run(r, 2);
		(void)reader_take(reader);
	}
	flush(r, 1);
	for (i = 0; i < 1000 && r->flushed_count == 0; i++) {
		rig_run(r, 2);
		(void)reader_take(reader);
	}
	(void)reader_take(reader);
	/* A kill may double what was written last, and loses nothing. */
	for (at = 0; at + 100 <= reader->len && next < 30000;) {
		char number[16];

		(void)snprintf(number, sizeof(number), "%012llu ",
		    (unsigned long long)next);
		if (memcmp(reader->text + at, number, 13) == 0) {
			at += 100;
			next++;
		} else
			at++;
	}
	assert_int_equal(next, 30000);
	(void)waitpid(-1, NULL, 0);
	reader_free(reader);
}

/* A flush of a manager that has gone is not answered to the next one. */
static void
test_flush_manager(void **state)
{
	struct rig *r = *state;
	struct reader *reader = console_pipe(r, 1, 0);
	struct rig_stream *s;
	int i;

	flush(r, 1);
	rig_until(r, r->flushed == 1);
	s = rig_open(r, 1, 1, STREAM_STDOUT, STREAM_SHOW, NO_ENTRY);
	(void)rig_writer(r, s, 4000, 200000);
	rig_until(r, s->closed);
	flush(r, 2);
	rig_connect_manager(r);
	flush(r, 3);
	for (i = 0; i < 1000 && r->flushed_count < 2; i++) {
		rig_run(r, 2);
		(void)reader_take(reader);
	}
	rig_run(r, 20);
	assert_int_equal(r->flushed_count, 2);
	assert_int_equal(r->flushed, 3);
	(void)waitpid(-1, NULL, 0);
	reader_free(reader);
}

#define TEST(name) \
	cmocka_unit_test_setup_teardown(name, rig_setup, rig_teardown)

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    TEST(test_order),
	    TEST(test_two_consoles),
	    TEST(test_prefix),
	    TEST(test_prefix_slow),
	    TEST(test_slow),
	    TEST(test_slow_blocking),
	    TEST(test_block),
	    TEST(test_many_texts),
	    TEST(test_hangup),
	    TEST(test_kinds),
	    TEST(test_forget),
	    TEST(test_kill),
	    TEST(test_flush_manager),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
