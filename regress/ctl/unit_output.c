/* sources: ctl/output.c ctl/client.c ctl/http.c ctl/patience.c ctl/socket.c */
/* sources: ctl/table.c */
/* sources: ctl/transport_plain.c ctl/text.c ctl/say.c ctl/words.c */
/* libs: bsd jansson cmocka */
#include <sys/types.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "ctl/ctl.h"

struct options options;

static int
setup(void **state)
{
	(void)state;
	/* NOLINTNEXTLINE(concurrency-mt-unsafe) there are no threads */
	assert_int_equal(setenv("LC_ALL", "C.UTF-8", 1), 0);
	text_locale();
	return 0;
}

/* Writes pieces of `step` bytes; what comes out. */
static void
check(struct printer *p, const char *in, size_t step, const char *wanted)
{
	char buf[1024];
	FILE *to;
	size_t len;
	size_t n;

	to = fmemopen(buf, sizeof(buf), "w");
	assert_non_null(to);
	for (len = strlen(in); len > 0; len -= n, in += n) {
		n = len < step ? len : step;
		printer_write(p, to, in, n);
	}
	printer_end(p, to);
	printer_end(p, to);
	assert_int_equal(fclose(to), 0);
	assert_string_equal(buf, wanted);
	free(p->held);
}

/* How the bytes were cut does not matter. */
static void
printer_test(void **state)
{
	static const char in[] =
	    "a\303\274b\t\r\n\033[1m\rx\n\n\342\202\254\377\nend\303";
	static const char *const wanted[] = {/* raw */
	    "a\303\274b\t\r\n\033[1m\rx\n\n\342\202\254\377\nend\303",
	    /* a terminal */
	    "a\303\274b\t\n\\e[1m\\rx\n\n\342\202\254\\xff\nend\\xc3",
	    /* a prefix */
	    "p  \342\224\202 a\303\274b\t\r\np  \342\224\202 \033[1m\rx\n"
	    "p  \342\224\202 \np  \342\224\202 \342\202\254\377\n"
	    "p  \342\224\202 end\303\n",
	    /* both */
	    "p  \342\224\202 a\303\274b\t\np  \342\224\202 \\e[1m\\rx\n"
	    "p  \342\224\202 \np  \342\224\202 \342\202\254\\xff\n"
	    "p  \342\224\202 end\\xc3\n"};
	struct printer p;
	size_t i;
	size_t step;

	(void)state;
	for (i = 0; i < 4; i++)
		for (step = 1; step <= sizeof(in); step++) {
			memset(&p, 0, sizeof(p));
			p.to_terminal = (int)(i & 1);
			p.prefix = i >= 2 ? "p" : NULL;
			p.pad = 2;
			check(&p, in, step, wanted[i]);
		}
}

/* A line without an end is not kept for ever. */
static void
long_line_test(void **state)
{
	struct printer p;
	FILE *to;
	char *text;
	char piece[1000];
	size_t i;
	size_t size;

	(void)state;
	memset(&p, 0, sizeof(p));
	p.prefix = "p";
	memset(piece, 'x', sizeof(piece));
	to = open_memstream(&text, &size);
	assert_non_null(to);
	for (i = 0; i < 200; i++) {
		printer_write(&p, to, piece, sizeof(piece));
		assert_true(p.held_size < 100000);
	}
	printer_end(&p, to);
	assert_int_equal(fclose(to), 0);
	assert_true(size > 200000 && size < 201000);
	free(text);
	free(p.held);
}

static void
base64(const char *in, const char *wanted)
{
	char buf[64];
	ssize_t n;

	(void)snprintf(buf, sizeof(buf), "%s", in);
	n = base64_decode(buf, strlen(buf));
	if (wanted == NULL) {
		assert_int_equal(n, -1);
		return;
	}
	assert_int_equal(n, strlen(wanted));
	assert_memory_equal(buf, wanted, strlen(wanted));
}

/* RFC 4648 §10 */
static void
base64_test(void **state)
{
	(void)state;
	base64("", "");
	base64("Zg==", "f");
	base64("Zm8=", "fo");
	base64("Zm9v", "foo");
	base64("Zm9vYmFy", "foobar");
	base64("++//", "\373\357\377");
	base64("Zg=", NULL);
	base64("Zg", NULL);
	base64("Z===", NULL);
	base64("====", NULL);
	base64("=Zg=", NULL);
	base64("Zg==Zg==", NULL);
	base64("Zm 9", NULL);
	base64("-_-_", NULL);
}

static int
read_event(struct event *e, const char *line)
{
	return event_read(e, line, strlen(line));
}

static void
event_test(void **state)
{
	struct event e;

	(void)state;
	assert_int_equal(read_event(&e,
			     "{\"event\": \"io\", \"offset\": 7, \"data\": "
			     "\"a\\u0000\\u00fc\"}"),
	    0);
	assert_int_equal(e.kind, EVENT_IO);
	assert_true(e.offset == 7);
	assert_int_equal(e.len, 4);
	assert_memory_equal(e.data, "a\0\303\274", 4);
	event_free(&e);
	assert_int_equal(read_event(&e,
			     "{\"event\": \"io\", \"offset\": 0, "
			     "\"data_b64\": \"/w==\"}"),
	    0);
	assert_int_equal(e.len, 1);
	assert_memory_equal(e.data, "\377", 1);
	event_free(&e);
	assert_int_equal(
	    read_event(&e, "{\"event\": \"gap\", \"lost\": 5}"), 0);
	assert_int_equal(e.kind, EVENT_GAP);
	assert_true(e.lost == 5);
	event_free(&e);
	assert_int_equal(
	    read_event(&e, "{\"event\": \"eof\", \"offset\": 9}"), 0);
	assert_int_equal(e.kind, EVENT_EOF);
	assert_true(e.offset == 9);
	event_free(&e);
	assert_int_equal(read_event(&e, "{\"event\": \"new\"}"), 0);
	assert_int_equal(e.kind, EVENT_OTHER);
	event_free(&e);
}

static void
bad_event_test(void **state)
{
	static const char *const lines[] = {"", "{", "3", "[]", "{}",
	    "{\"event\": 3}", "{\"event\": \"io\"}",
	    "{\"event\": \"io\", \"offset\": 0}",
	    "{\"event\": \"io\", \"data\": \"x\"}",
	    "{\"event\": \"io\", \"offset\": -1, \"data\": \"x\"}",
	    "{\"event\": \"io\", \"offset\": 1.5, \"data\": \"x\"}",
	    "{\"event\": \"io\", \"offset\": 0, \"data\": null}",
	    "{\"event\": \"io\", \"offset\": 0, \"data_b64\": \"x\"}",
	    "{\"event\": \"gap\", \"lost\": \"many\"}",
	    "{\"event\": \"gap\", \"event\": \"gap\"}"};
	struct event e;
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(lines) / sizeof(*lines); i++) {
		assert_int_equal(read_event(&e, lines[i]), -1);
		event_free(&e);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(printer_test),
	    cmocka_unit_test(long_line_test),
	    cmocka_unit_test(base64_test),
	    cmocka_unit_test(event_test),
	    cmocka_unit_test(bad_event_test),
	};

	return cmocka_run_group_tests(tests, setup, NULL);
}
