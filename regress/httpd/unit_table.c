/* sources: httpd/table.c httpd/words.c common/wire.c */
/* libs: cmocka bsd event_core */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "httpd/httpd.h"
#include "httpd/table.h"
#include "httpd/words.h"

/* A table is what it was for who holds it, and nothing is left of it. */

static size_t kept; /* bytes that only readers of lists still hold */

void
room_account(size_t before, size_t after)
{
	kept = kept - before + after;
}

/* A text of the id's own, and one that many have. */
static int
put(struct table **t, uint32_t id, const char *text, size_t max)
{
	char own[32];
	struct wire w;
	size_t words;
	int n;

	wire_init(&w);
	wire_put_raw(&w, text, strlen(text) + 1);
	words = w.len;
	n = snprintf(own, sizeof(own), "a text of the %s %u", text, id);
	words_put(&w, own, (size_t)n);
	words_put(&w, "short", 5);
	words_put(&w, "what many have in common", 24);
	assert_int_equal(wire_check(&w), 0);
	n = table_put(t, id, w.data, w.len, words, max);
	wire_free(&w);
	return n;
}

static struct table *
filled(uint32_t n)
{
	struct table *t;
	uint32_t id;

	t = table_new();
	assert_non_null(t);
	for (id = n; id > 0; id--)
		assert_int_equal(put(&t, id, "old", n), 0);
	return t;
}

static void
expect(const struct table *t, uint32_t id, const char *text)
{
	const struct item *item;
	struct wire_reader r;
	const char *s;
	char own[32];
	size_t len;
	int n;

	item = table_find(t, id);
	if (text == NULL) {
		assert_null(item);
		return;
	}
	assert_non_null(item);
	assert_int_equal(item->id, id);
	assert_string_equal((const char *)item->bytes, text);
	wire_read(&r, item->bytes + item->words, item->len - item->words);
	n = snprintf(own, sizeof(own), "a text of the %s %u", text, id);
	s = words_next(&r, &len);
	assert_int_equal(len, n);
	assert_memory_equal(s, own, len);
	s = words_next(&r, &len);
	assert_int_equal(len, 5);
	assert_memory_equal(s, "short", len);
	s = words_next(&r, &len);
	assert_int_equal(len, 24);
	assert_memory_equal(s, "what many have in common", len);
	assert_int_equal(wire_end(&r), 0);
	assert_null(words_next(&r, &len));
}

static void
test_order(void **state)
{
	struct table *t;
	uint32_t i;

	(void)state;
	t = filled(100);
	assert_int_equal(table_count(t), 100);
	assert_int_equal(words_texts(), 101);
	for (i = 0; i < 100; i++)
		assert_int_equal(table_at(t, i)->id, i + 1);
	assert_null(table_at(t, 100));
	/* There is no room for another, but for another of the same id. */
	assert_int_equal(put(&t, 101, "new", 100), -1);
	assert_int_equal(put(&t, 50, "new", 100), 0);
	assert_int_equal(table_remove(&t, 51), 0);
	assert_int_equal(table_remove(&t, 51), 0);
	expect(t, 50, "new");
	expect(t, 51, NULL);
	expect(t, 52, "old");
	assert_int_equal(table_count(t), 99);
	assert_int_equal(words_texts(), 100);
	table_free(t);
	assert_int_equal(words_texts(), 0);
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
	assert_int_equal(put(&t, 7, "new", 100), 0);
	held[1] = table_hold(t);
	held[2] = table_hold(t);
	assert_int_equal(table_remove(&t, 8), 0);
	assert_int_equal(put(&t, 21, "new", 100), 0);
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
	assert_int_equal(put(&t, 9, "new", 100), 0);
	assert_int_equal(kept, 0);
	table_free(t);
	assert_int_equal(words_texts(), 0);
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
	/* Each as if it were alone with what it has in common with others. */
	assert_true(kept >= (size_t)20 * (4 + 16 + 24));
	expect(held, 20, "old");
	table_free(held);
	assert_int_equal(kept, 0);
	table_retire(filled(3));
	table_retire(NULL);
	assert_int_equal(kept, 0);
	assert_int_equal(words_texts(), 0);
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
