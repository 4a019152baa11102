/* sources: httpd/table.c */
/* libs: cmocka bsd event_core */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "httpd/httpd.h"
#include "httpd/table.h"

/* A table is what it was for who holds it, and nothing is left of it. */

static size_t kept; /* bytes that only readers of lists still hold */

void
room_account(size_t before, size_t after)
{
	kept = kept - before + after;
}

static struct table *
filled(uint32_t n)
{
	struct table *t;
	uint32_t id;

	t = table_new();
	assert_non_null(t);
	for (id = n; id > 0; id--)
		assert_int_equal(table_put(&t, id, "old", 4, n), 0);
	return t;
}

static void
expect(const struct table *t, uint32_t id, const char *text)
{
	const struct item *item;

	item = table_find(t, id);
	if (text == NULL) {
		assert_null(item);
		return;
	}
	assert_non_null(item);
	assert_int_equal(item->id, id);
	assert_string_equal((const char *)item->bytes, text);
}

static void
test_order(void **state)
{
	struct table *t;
	uint32_t i;

	(void)state;
	t = filled(100);
	assert_int_equal(table_count(t), 100);
	for (i = 0; i < 100; i++)
		assert_int_equal(table_at(t, i)->id, i + 1);
	assert_null(table_at(t, 100));
	/* There is no room for another, but for another of the same id. */
	assert_int_equal(table_put(&t, 101, "new", 4, 100), -1);
	assert_int_equal(table_put(&t, 50, "new", 4, 100), 0);
	assert_int_equal(table_remove(&t, 51), 0);
	assert_int_equal(table_remove(&t, 51), 0);
	expect(t, 50, "new");
	expect(t, 51, NULL);
	expect(t, 52, "old");
	assert_int_equal(table_count(t), 99);
	table_free(t);
	assert_int_equal(kept, 0);
}

static void
test_held(void **state)
{
	struct table *held[3];
	struct table *t;

	(void)state;
	t = filled(20);
	held[0] = table_hold(t);
	assert_int_equal(table_put(&t, 7, "new", 4, 100), 0);
	held[1] = table_hold(t);
	held[2] = table_hold(t);
	assert_int_equal(table_remove(&t, 8), 0);
	assert_int_equal(table_put(&t, 21, "new", 4, 100), 0);
	expect(held[0], 7, "old");
	expect(held[0], 8, "old");
	expect(held[1], 7, "new");
	expect(held[2], 8, "old");
	expect(held[2], 21, NULL);
	expect(t, 8, NULL);
	expect(t, 21, "new");
	assert_true(kept > 8);
	table_free(held[1]);
	table_free(held[0]);
	table_free(held[2]);
	assert_int_equal(kept, 0);
	/* Nobody holds it: it is changed as it is. */
	assert_int_equal(table_put(&t, 9, "new", 4, 100), 0);
	assert_int_equal(kept, 0);
	table_free(t);
}

/* A new manager: all of it is another. */
static void
test_retired(void **state)
{
	struct table *held;
	struct table *t;

	(void)state;
	t = filled(20);
	held = table_hold(t);
	table_retire(t);
	assert_true(kept >= (size_t)20 * 4);
	expect(held, 20, "old");
	table_free(held);
	assert_int_equal(kept, 0);
	table_retire(filled(3));
	table_retire(NULL);
	assert_int_equal(kept, 0);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_order),
	    cmocka_unit_test(test_held),
	    cmocka_unit_test(test_retired),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
