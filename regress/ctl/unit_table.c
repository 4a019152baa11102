/* sources: ctl/table.c ctl/text.c ctl/say.c ctl/words.c */
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

static const char *const heads[] = {"NAME", "STATE", "WHY"};

static int
setup(void **state)
{
	(void)state;
	/* NOLINTNEXTLINE(concurrency-mt-unsafe) there are no threads */
	assert_int_equal(setenv("LC_ALL", "C.UTF-8", 1), 0);
	text_locale();
	return 0;
}

static void
print(const struct table *t, int columns, int color, const char *wanted)
{
	char buf[1024];
	FILE *to;

	to = fmemopen(buf, sizeof(buf), "w");
	assert_non_null(to);
	table_print(to, t, columns, color);
	assert_int_equal(fclose(to), 0);
	assert_string_equal(buf, wanted);
}

static void
fill(struct table *t)
{
	table_begin(t, heads, 3);
	table_cell(t, PLAIN, "web");
	table_cell(t, GREEN, "running");
	table_cell(t, PLAIN, "ok %d", 200);
	table_cell(t, PLAIN, "\345\255\227\345\255\227\n");
	table_cell(t, RED, "x");
	table_cell(t, PLAIN, "-");
}

static void
plain_test(void **state)
{
	struct table t;

	(void)state;
	fill(&t);
	print(&t, 0, 0,
	    "NAME    STATE    WHY\n"
	    "web     running  ok 200\n"
	    "\345\255\227\345\255\227\\n  x        -\n");
	table_free(&t);
	table_begin(&t, heads, 3);
	print(&t, 0, 0, "NAME  STATE  WHY\n");
	table_free(&t);
}

static void
color_test(void **state)
{
	struct table t;

	(void)state;
	fill(&t);
	print(&t, 0, 1,
	    "NAME    STATE    WHY\n"
	    "web     \033[32mrunning\033[0m  ok 200\n"
	    "\345\255\227\345\255\227\\n  \033[31mx\033[0m        -\n");
	table_free(&t);
	assert_string_equal(color_on(RED, 0), "");
	assert_string_equal(color_off(PLAIN, 1), "");
}

static void
cut_test(void **state)
{
	struct table t;

	(void)state;
	fill(&t);
	print(&t, 19, 0,
	    "NAME    STATE    W\342\200\246\n"
	    "web     running  o\342\200\246\n"
	    "\345\255\227\345\255\227\\n  x        -\n");
	/* A blank where a wide character does not fit. */
	print(&t, 4, 0, "NAME\nweb \n\345\255\227\342\200\246\n");
	print(&t, 1, 0, "\342\200\246\n\342\200\246\n\342\200\246\n");
	print(&t, 12, 1,
	    "NAME    STA\342\200\246\n"
	    "web     \033[32mrun\342\200\246\033[0m\n"
	    "\345\255\227\345\255\227\\n  \033[31mx\033[0m   \n");
	table_free(&t);
}

static void
many_test(void **state)
{
	struct table t;
	unsigned int i;

	(void)state;
	table_begin(&t, heads, 2);
	for (i = 0; i < 10000; i++)
		table_cell(&t, PLAIN, "%u", i);
	assert_int_equal(t.ncells, 10000);
	assert_string_equal(t.cells[9999].text, "9999");
	table_free(&t);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(plain_test),
	    cmocka_unit_test(color_test),
	    cmocka_unit_test(cut_test),
	    cmocka_unit_test(many_test),
	};

	return cmocka_run_group_tests(tests, setup, NULL);
}
