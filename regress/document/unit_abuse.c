/* sources: common/document.c common/document_json.c common/document_yaml.c */
/* libs: yaml jansson bsd */

/*
 * The limits of a document, each at its edge, and files that are made to hurt:
 * whatever the file, the answer is the right one, within 2 seconds of
 * processor time and 200 MiB.  Each abuse is parsed in a process of its own,
 * so that its memory can be told from that of the others.
 */

#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>

#include <limits.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <bsd/stdlib.h>
#include <cmocka.h>

#include "document.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))
#define MIB ((size_t)1 << 20)

/* A sanitizer costs time and, with its shadow and quarantine, memory. */
#if defined(__has_feature)
#if __has_feature(address_sanitizer)
#define SANITIZED 1
#endif
#endif
#if defined(__SANITIZE_ADDRESS__) && !defined(SANITIZED)
#define SANITIZED 1
#endif
#ifdef SANITIZED
#define MAX_SECONDS 20
#define MAX_KIBIBYTES (2048L * 1024)
#else
#define MAX_SECONDS 2
#define MAX_KIBIBYTES (200L * 1024)
#endif

/*
 * A file: head, then body again and again, then tail.  A '%' in the body is
 * replaced by the number of the repetition, so that names differ.  times 0
 * means as often as MAX_DOC_BYTES has room for.
 */
struct abuse {
	const char *head;
	const char *body;
	size_t times;
	const char *tail;
	enum doc_format format;
	unsigned line;
	unsigned column;
	const char *message; /* what it starts with; NULL: it is taken */
};

/* What the other process says, in shared memory. */
struct answer {
	bool taken;
	struct doc_error err;
	size_t count; /* of the root */
	size_t warnings;
	double seconds;
};

/* Appends text to buf at *used; false if it does not fit into size. */
static bool
put(char *buf, size_t size, size_t *used, const char *text, size_t number)
{
	int n;

	for (; *text != '\0'; text++) {
		if (*used + 24 > size)
			return false;
		if (*text != '%') {
			buf[(*used)++] = *text;
			continue;
		}
		n = snprintf(buf + *used, size - *used, "%zu", number);
		*used += (size_t)n;
	}
	return true;
}

/* The bytes of a file, *len of them, which the caller frees. */
static char *
compose(const struct abuse *a, size_t *len)
{
	size_t room;
	size_t size = MAX_DOC_BYTES;
	size_t i;
	char *buf;

	if (a->times > 0)
		size = strlen(a->head) + strlen(a->tail) + 64 +
		    a->times * (strlen(a->body) + 24);
	buf = malloc(size);
	assert_non_null(buf);
	room = size - strlen(a->tail) - 32;
	*len = 0;
	assert_true(put(buf, size, len, a->head, 0));
	for (i = 0; a->times == 0 || i < a->times; i++) {
		const size_t before = *len;

		if (put(buf, room, len, a->body, i))
			continue;
		*len = before;
		break;
	}
	assert_true(put(buf, size, len, a->tail, 0));
	return buf;
}

/* Parses in a child; *usage is what the child took. */
static void
parse_apart(const char *bytes, size_t len, enum doc_format format,
    struct answer *answer, struct rusage *usage)
{
	struct doc *doc;
	pid_t pid;
	int status;

	pid = fork();
	assert_true(pid != -1);
	if (pid == 0) {
		const clock_t start = clock();

		doc = doc_parse(NULL, bytes, len, format, &answer->err);
		answer->taken = doc != NULL;
		if (doc != NULL) {
			answer->count = doc_count(doc->root);
			answer->warnings = doc->nwarnings + doc->nwarnings_lost;
		}
		doc_free(doc);
		answer->seconds = (double)(clock() - start) / CLOCKS_PER_SEC;
		_exit(0);
	}
	assert_int_equal(wait4(pid, &status, 0, usage), pid);
	assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

static void
check_abuse(const struct abuse *a, struct answer *answer)
{
	struct rusage usage;
	size_t len;
	char *bytes;

	memset(answer, 0, sizeof(*answer));
	bytes = compose(a, &len);
	parse_apart(bytes, len, a->format, answer, &usage);
	free(bytes);
	if (answer->seconds > MAX_SECONDS)
		fail_msg("%s%s...: %f s", a->head, a->body, answer->seconds);
	if (usage.ru_maxrss > MAX_KIBIBYTES)
		fail_msg("%s%s...: %ld KiB", a->head, a->body, usage.ru_maxrss);
	if (answer->taken != (a->message == NULL))
		fail_msg("%s%s...: %s", a->head, a->body,
		    answer->taken ? "taken" : answer->err.message);
	if (a->message == NULL)
		return;
	if (strncmp(answer->err.message, a->message, strlen(a->message)) != 0 ||
	    strchr(answer->err.message, '\n') != NULL ||
	    answer->err.line != a->line || answer->err.column != a->column)
		fail_msg("%s%s...: %u:%u: %s", a->head, a->body,
		    answer->err.line, answer->err.column, answer->err.message);
}

static void
check_list(const struct abuse *list, size_t n)
{
	struct answer *answer;
	size_t i;

	answer = mmap(NULL, sizeof(*answer), PROT_READ | PROT_WRITE,
	    MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	assert_ptr_not_equal(answer, MAP_FAILED);
	for (i = 0; i < n; i++)
		check_abuse(&list[i], answer);
	assert_int_equal(munmap(answer, sizeof(*answer)), 0);
}

static void
test_depth(void **state)
{
	static const char deep[] = "nested deeper than 64 levels";
	static const struct abuse list[] = {
	    {"", "[", 100000, "", DOC_JSON, 1, 65, deep},
	    {"", "{\"a\":", 100000, "", DOC_JSON, 1, 321, deep},
	    {"", "[", 100000, "", DOC_YAML, 1, 65, deep},
	    {"", "[\n", 100000, "", DOC_YAML, 65, 1, deep},
	    {"", "{a: ", 100000, "", DOC_YAML, 1, 257, deep},
	    {"", "- ", 100000, "", DOC_YAML, 1, 129, deep},
	    {"", "- - \n ", 100000, "", DOC_YAML, 2, 2,
		"did not find expected"},
	    {"", "? ", 100000, "", DOC_YAML, 1, 3, "a key must be"},
	    {"", "[", 64, "", DOC_JSON, 1, 65, "unexpected end of file"},
	};

	(void)state;
	check_list(list, COUNT(list));
}

/* 64 levels are taken, 65 are not. */
static void
test_depth_edge(void **state)
{
	static const enum doc_format formats[] = {DOC_JSON, DOC_YAML};
	struct doc_error err;
	size_t i;
	unsigned n;

	(void)state;
	for (i = 0; i < COUNT(formats); i++) {
		for (n = 64; n <= 65; n++) {
			struct doc *doc;
			char text[130];

			memset(text, '[', n);
			memset(text + n, ']', n);
			doc = doc_parse(
			    NULL, text, (size_t)n * 2, formats[i], &err);
			assert_int_equal(doc != NULL, n == 64);
			doc_free(doc);
		}
	}
}

/* The same by way of an alias: a mapping, n lists, 20 lists that it names. */
static void
test_depth_alias(void **state)
{
	char closing[64] = "";
	char opening[64] = "";
	char text[512];
	struct doc_error err;
	int n;

	(void)state;
	memset(opening, '[', sizeof(opening) - 1);
	memset(closing, ']', sizeof(closing) - 1);
	for (n = 43; n <= 44; n++) {
		struct doc *doc;
		int len;

		len = snprintf(text, sizeof(text),
		    "x: &a %.20sv%.20s\ny: %.*s*a , *a%.*s", opening, closing,
		    n, opening, n, closing);
		assert_in_range(len, 100, sizeof(text) - 1);
		doc = doc_parse(NULL, text, (size_t)len, DOC_YAML, &err);
		assert_int_equal(doc != NULL, n == 43);
		doc_free(doc);
	}
	assert_string_equal(err.message, "nested deeper than 64 levels");
	assert_int_equal(err.line, 2);
	assert_int_equal(err.column, 4 + 44);
}

static void
test_nodes(void **state)
{
	static const char many[] = "too many values, at most 1000000";
	static const struct abuse list[] = {
	    {"[", "1,", 999998, "1]", DOC_JSON, 0, 0, NULL},
	    {"[", "1,", 999999, "1]", DOC_JSON, 1, 2000000, many},
	    {"[", "{},", 999998, "{}]", DOC_JSON, 0, 0, NULL},
	    {"[", "\"\\n\",", 999998, "1]", DOC_JSON, 0, 0, NULL},
	    {"[", "1,", 999998, "1]", DOC_YAML, 0, 0, NULL},
	    {"", "- a\n", 1000000, "", DOC_YAML, 1000000, 3, many},
	    {"", "- {}\n", 999999, "", DOC_YAML, 0, 0, NULL},
	    {"", "k%: 1\n", 999999, "", DOC_YAML, 0, 0, NULL},
	    {"{", "\"k%\":1,", 880000, "\"\":1}", DOC_JSON, 0, 0, NULL},
	};

	(void)state;
	check_list(list, COUNT(list));
}

static void
test_aliases(void **state)
{
	static const char bomb[] = "too many nodes (alias bomb?)";
	static const struct abuse list[] = {
	    {"a: &a [x,x,x,x,x,x,x,x,x,x]\n"
	     "b: &b [*a,*a,*a,*a,*a,*a,*a,*a,*a,*a]\n"
	     "c: &c [*b,*b,*b,*b,*b,*b,*b,*b,*b,*b]\n"
	     "d: &d [*c,*c,*c,*c,*c,*c,*c,*c,*c,*c]\n"
	     "e: &e [*d,*d,*d,*d,*d,*d,*d,*d,*d,*d]\n"
	     "f: &f [*e,*e,*e,*e,*e,*e,*e,*e,*e,*e]\n",
		"", 1, "g: [*f,*f,*f,*f,*f,*f,*f,*f,*f,*f]\n", DOC_YAML, 6, 29,
		bomb},
	    {"a: &a {p: 1, q: 2, r: 3}\n", "k%: {<<: *a}\n", 300000, "",
		DOC_YAML, 200001, 10, bomb},
	    {"- &a {p: 1, q: 2, r: 3, s: 4}\n- <<: [", "*a,", 190000, "*a]",
		DOC_YAML, 0, 0, NULL},
	    {"- &a x\n", "- *a\n", 999998, "", DOC_YAML, 0, 0, NULL},
	    {"", "- &a% x\n", 600000, "", DOC_YAML, 0, 0, NULL},
	    {"", "- &a% x\n- *a%\n", 300000, "", DOC_YAML, 0, 0, NULL},
	    {"", "- &a x\n", 900000, "", DOC_YAML, 0, 0, NULL},
	};

	(void)state;
	check_list(list, COUNT(list));
}

static void
test_keys(void **state)
{
	static const struct abuse list[] = {
	    {"", "a: 1\n", 900000, "", DOC_YAML, 2, 1,
		"duplicate key \"a\", first on line 1"},
	    {"{", "\"a\":{\"b\":1},", 490000, "\"a\":1}", DOC_JSON, 0, 0, NULL},
	    {"{\"é", "x", 0, "\":1}", DOC_JSON, 0, 0, NULL},
	    {"? \"é", "x", 0, "\"", DOC_YAML, 0, 0, NULL},
	    {"é", "x", 0, ": 1", DOC_YAML, 1, 16777158,
		"mapping values are not allowed"},
	};

	(void)state;
	check_list(list, COUNT(list));
}

/* Files of the greatest size. */
static void
test_long(void **state)
{
	static const struct abuse list[] = {
	    {"\"", "x", 0, "\"", DOC_JSON, 0, 0, NULL},
	    {"\"", "\\n", 0, "\"", DOC_JSON, 0, 0, NULL},
	    {"\"", "é", 0, "", DOC_JSON, 1, 1, "a string is not closed"},
	    {"[", "1", 0, "]", DOC_JSON, 1, 2, "number is out of range"},
	    {"[0.", "0", 0, "1]", DOC_JSON, 0, 0, NULL},
	    {"[", "x", 0, "]", DOC_JSON, 1, 2, "expected a value, not 'xxx"},
	    {"", "\n", 0, "", DOC_JSON, 0, 0, "the file is empty"},
	    {"\"", "x", 0, "\"", DOC_YAML, 0, 0, NULL},
	    {"\"", "\n", 0, "\"", DOC_YAML, 0, 0, NULL},
	    {"", "x", 0, "", DOC_YAML, 0, 0, NULL},
	    {"", "1", 0, "", DOC_YAML, 1, 1, "number is out of range"},
	    {"a: |\n", "  x\n", 0, "", DOC_YAML, 0, 0, NULL},
	    {"a: b\n", "  x\n", 0, "", DOC_YAML, 0, 0, NULL},
	    {"", "#\n", 0, "", DOC_YAML, 0, 0, "the file is empty"},
	    {"", "\r", 0, "", DOC_YAML, 0, 0, "the file is empty"},
	    {"", " ", 0, "", DOC_YAML, 0, 0, "the file is empty"},
	    {"&a", "a", 0, " b", DOC_YAML, 0, 0, NULL},
	    {"!<", "%41", 0, "> b", DOC_YAML, 1, 1, "unknown tag"},
	    {"*", "a", 0, "", DOC_YAML, 1, 1, "alias *aaa"},
	    {"[", "a,", 0, "]", DOC_YAML, 1, 2000000, "too many values"},
	    {"", "? \n", 0, "", DOC_YAML, 1000001, 1, "too many values"},
	    {"", "---\n", 0, "", DOC_YAML, 2, 1, "a second document"},
	};

	(void)state;
	check_list(list, COUNT(list));
}

static void
test_directives(void **state)
{
	static const char many[] = "more than 64 lines that start with '%'";
	struct answer *answer;
	struct rusage usage;
	size_t len = 0;
	size_t i;
	char *text;

	(void)state;
	text = malloc(MAX_DOC_BYTES);
	assert_non_null(text);
	answer = mmap(NULL, sizeof(*answer), PROT_READ | PROT_WRITE,
	    MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	assert_ptr_not_equal(answer, MAP_FAILED);
	for (i = 0; i < 64; i++)
		len += (size_t)snprintf(
		    text + len, MAX_DOC_BYTES - len, "%%TAG !a%zu! tag:x\n", i);
	i = (size_t)snprintf(text + len, MAX_DOC_BYTES - len, "--- 1\n");
	parse_apart(text, len + i, DOC_YAML, answer, &usage);
	assert_true(answer->taken);
	for (i = 64; len < MAX_DOC_BYTES - 64; i++)
		len += (size_t)snprintf(
		    text + len, MAX_DOC_BYTES - len, "%%TAG !a%zu! tag:x\n", i);
	parse_apart(text, len, DOC_YAML, answer, &usage);
	assert_false(answer->taken);
	assert_string_equal(answer->err.message, many);
	assert_int_equal(answer->err.line, 65);
	assert_true(answer->seconds < MAX_SECONDS);
	assert_int_equal(munmap(answer, sizeof(*answer)), 0);
	free(text);
}

static void
test_size(void **state)
{
	struct doc_error err;
	struct doc *doc;
	char *bytes;

	(void)state;
	bytes = malloc(100 * MIB);
	assert_non_null(bytes);
	memset(bytes, ' ', 100 * MIB);
	bytes[0] = '7';
	doc = doc_parse(NULL, bytes, MAX_DOC_BYTES, DOC_JSON, &err);
	assert_non_null(doc);
	doc_free(doc);
	assert_null(doc_parse(NULL, bytes, MAX_DOC_BYTES + 1, DOC_JSON, &err));
	assert_string_equal(
	    err.message, "file is too large (16777217 bytes, at most 16 MiB)");
	assert_int_equal(err.line, 0);
	assert_null(doc_parse(NULL, bytes, 100 * MIB, DOC_AUTO, &err));
	assert_string_equal(
	    err.message, "file is too large (104857600 bytes, at most 16 MiB)");
	free(bytes);
}

/* The first 64 warnings are kept, in order; the others are counted. */
static void
test_warnings(void **state)
{
	const struct doc_warning *w;
	struct doc_error err;
	struct doc *doc;
	size_t len = 0;
	char text[4096];
	unsigned i;

	(void)state;
	len += (size_t)snprintf(text, sizeof(text), "{\"z\":1,\n\"z\":2,\n");
	for (i = 0; i < 100; i++)
		len += (size_t)snprintf(text + len, sizeof(text) - len,
		    "\"%03u\":{\"k\":1,\"k\":2},\n", 100 - i);
	len += (size_t)snprintf(text + len, sizeof(text) - len, "\"z\":3}");
	doc = doc_parse(NULL, text, len, DOC_JSON, &err);
	assert_non_null(doc);
	assert_int_equal(doc->nwarnings, MAX_DOC_WARNINGS);
	assert_int_equal(doc->nwarnings_lost, 102 - MAX_DOC_WARNINGS);
	for (w = doc->warnings, i = 2; w != NULL; w = w->next, i++)
		assert_int_equal(w->line, i);
	assert_int_equal(i, 2 + MAX_DOC_WARNINGS);
	assert_int_equal(doc_get(doc->root, "z")->value.integer, 3);
	assert_ptr_equal(doc_first(doc->root), doc_get(doc->root, "z"));
	assert_int_equal(doc_count(doc->root), 101);
	doc_free(doc);
}

#ifndef SANITIZED
/* Resident pages of this process. */
static long
resident(void)
{
	FILE *file;
	char line[128];
	const char *error;
	char *end;
	long pages;

	file = fopen("/proc/self/statm", "re");
	if (file == NULL)
		skip();
	assert_non_null(fgets(line, sizeof(line), file));
	(void)fclose(file);
	end = strchr(line, ' ');
	assert_non_null(end);
	*strchrnul(++end, ' ') = '\0';
	pages = (long)strtonum(end, 1, LONG_MAX, &error);
	assert_null(error);
	return pages;
}

/* doc_free() gives memory back though something younger is still in use. */
static void
test_memory_goes_back(void **state)
{
	static const struct abuse many = {
	    "[", "{\"a\":\"b\"},", 200000, "1]", DOC_JSON, 0, 0, NULL};
	struct doc_error err;
	struct doc *doc;
	size_t len;
	char *bytes;
	void *younger[1000];
	size_t i;
	long before;
	long during;

	(void)state;
	bytes = compose(&many, &len);
	before = resident();
	doc = doc_parse(NULL, bytes, len, DOC_JSON, &err);
	assert_non_null(doc);
	during = resident();
	for (i = 0; i < COUNT(younger); i++)
		younger[i] = calloc(1, 512);
	doc_free(doc);
	assert_true(during - before > 5000);
	assert_true(resident() - before < 1000);
	for (i = 0; i < COUNT(younger); i++)
		free(younger[i]);
	free(bytes);
}
#endif

int
main(void)
{
	static const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_depth),
	    cmocka_unit_test(test_depth_edge),
	    cmocka_unit_test(test_depth_alias),
	    cmocka_unit_test(test_nodes),
	    cmocka_unit_test(test_aliases),
	    cmocka_unit_test(test_keys),
	    cmocka_unit_test(test_long),
	    cmocka_unit_test(test_directives),
	    cmocka_unit_test(test_size),
	    cmocka_unit_test(test_warnings),
#ifndef SANITIZED
	    cmocka_unit_test(test_memory_goes_back),
#endif
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
