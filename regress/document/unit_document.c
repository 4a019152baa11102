/* sources: common/document.c common/document_json.c common/document_yaml.c */
/* libs: yaml jansson */

/*
 * What a document says: values, positions, keys, and the line that is printed
 * for each mistake.  Limits and abuse are in unit_abuse.c.
 */

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "document.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

/* A text that is wrong, and what is said about it. */
struct mistake {
	const char *text;
	unsigned line;
	unsigned column;
	const char *message;
};

static struct doc *
parse(const char *text, enum doc_format format)
{
	struct doc_error err;
	struct doc *doc;

	doc = doc_parse(NULL, text, strlen(text), format, &err);
	if (doc == NULL) {
		fail_msg(
		    "%s: %u:%u: %s", text, err.line, err.column, err.message);
		return NULL;
	}
	assert_non_null(doc->root);
	return doc;
}

static void
check_mistakes(const struct mistake *list, size_t n, enum doc_format format)
{
	struct doc_error err;
	size_t i;

	for (i = 0; i < n; i++) {
		memset(&err, 0x55, sizeof(err));
		if (doc_parse(NULL, list[i].text, strlen(list[i].text), format,
			&err) != NULL)
			fail_msg("taken: %s", list[i].text);
		if (err.line != list[i].line || err.column != list[i].column ||
		    strcmp(err.message, list[i].message) != 0)
			fail_msg("%s: %u:%u: %s", list[i].text, err.line,
			    err.column, err.message);
	}
}

static const struct doc_node *
get(const struct doc_node *object, const char *key)
{
	const struct doc_node *node;

	node = doc_get_exact(object, key);
	if (node == NULL)
		fail_msg("no member %s", key);
	return node;
}

static const struct doc_node *
element(const struct doc_node *array, size_t i)
{
	const struct doc_node *node;

	for (node = doc_first(array); node != NULL && i > 0; i--)
		node = doc_next(node);
	assert_non_null(node);
	return node;
}

static void
assert_place(const struct doc_node *node, unsigned line, unsigned column)
{
	assert_int_equal(node->line, line);
	assert_int_equal(node->column, column);
}

static void
assert_key_place(const struct doc_node *node, unsigned line, unsigned column)
{
	assert_int_equal(node->key_line, line);
	assert_int_equal(node->key_column, column);
}

/* The keys of an object, each with a blank behind it. */
static const char *
keys(const struct doc_node *object)
{
	static char buf[256];
	const struct doc_node *member;
	size_t used = 0;

	buf[0] = '\0';
	for (member = doc_first(object); member != NULL;
	     member = doc_next(member)) {
		used += (size_t)snprintf(
		    buf + used, sizeof(buf) - used, "%s ", member->key);
		assert_true(used < sizeof(buf));
		assert_ptr_equal(member->parent, object);
	}
	return buf;
}

static void
test_json_positions(void **state)
{
	const struct doc_node *a;
	const struct doc_node *root;
	struct doc *doc;

	(void)state;
	doc = parse("\xef\xbb\xbf {\r\n\t\"é€😀\": \"ü\", \"a\" : [ 1,\r\n"
		    "  {\"b\":null} ,-2.5e0\n]\n}",
	    DOC_JSON);
	root = doc->root;
	assert_place(root, 1, 2);
	assert_key_place(root, 0, 0);
	assert_null(root->key);
	assert_null(root->parent);
	assert_string_equal(keys(root), "é€😀 a ");
	assert_key_place(get(root, "é€😀"), 2, 2);
	assert_place(get(root, "é€😀"), 2, 9);
	a = get(root, "a");
	assert_key_place(a, 2, 14);
	assert_place(a, 2, 20);
	assert_int_equal(doc_count(a), 3);
	assert_place(element(a, 0), 2, 22);
	assert_key_place(element(a, 0), 0, 0);
	assert_place(element(a, 1), 3, 3);
	assert_key_place(get(element(a, 1), "b"), 3, 4);
	assert_place(get(element(a, 1), "b"), 3, 8);
	assert_place(element(a, 2), 3, 15);
	doc_free(doc);
}

static void
test_yaml_positions(void **state)
{
	const struct doc_node *web;
	const struct doc_node *root;
	struct doc *doc;

	(void)state;
	doc = parse("\xef\xbb\xbf# é\r\nprocesses:\r\n"
		    "  wéb: {é: \"ü\", b: [1, x]}\r\n"
		    "  'db' :\r\n  - !!str 1\r\n  -\r\n    c: d\r\n"
		    "  text: |\r\n    line\r\n",
	    DOC_YAML);
	root = doc->root;
	assert_place(root, 2, 1);
	assert_string_equal(keys(root), "processes ");
	assert_key_place(get(root, "processes"), 2, 1);
	root = get(root, "processes");
	assert_place(root, 3, 3);
	assert_string_equal(keys(root), "wéb db text ");
	web = get(root, "wéb");
	assert_key_place(web, 3, 3);
	assert_place(web, 3, 8);
	assert_key_place(get(web, "é"), 3, 9);
	assert_place(get(web, "é"), 3, 12);
	assert_place(element(get(web, "b"), 1), 3, 24);
	assert_key_place(get(root, "db"), 4, 3);
	assert_place(element(get(root, "db"), 0), 5, 5);
	assert_place(element(get(root, "db"), 1), 7, 5);
	assert_place(get(element(get(root, "db"), 1), "c"), 7, 8);
	assert_place(get(root, "text"), 8, 9);
	assert_string_equal(get(root, "text")->text, "line\n");
	doc_free(doc);
}

static void
test_json_values(void **state)
{
	const struct doc_node *n;
	struct doc *doc;

	(void)state;
	doc = parse("[null, true, false, 0, -0, 9223372036854775807,"
		    "-9223372036854775808, 9223372036854775808, 1.5, -1E-2,"
		    "\"\", \"\\ud83d\\ude00\\u00e9\\\\\\/\\\"\\b\\f\\n\\r\\t\","
		    "\"é😀\x7f\", [], {}]",
	    DOC_JSON);
	assert_int_equal(doc_count(doc->root), 15);
	n = doc_first(doc->root);
	assert_int_equal(n->kind, DOC_NULL);
	n = doc_next(n);
	assert_true(n->kind == DOC_BOOL && n->value.boolean);
	n = doc_next(n);
	assert_true(n->kind == DOC_BOOL && !n->value.boolean);
	n = doc_next(n);
	assert_true(n->kind == DOC_INTEGER && n->value.integer == 0);
	n = doc_next(n);
	assert_true(n->kind == DOC_INTEGER && n->value.integer == 0);
	assert_string_equal(n->text, "-0");
	n = doc_next(n);
	assert_true(n->kind == DOC_INTEGER && n->value.integer == INT64_MAX);
	n = doc_next(n);
	assert_true(n->kind == DOC_INTEGER && n->value.integer == INT64_MIN);
	n = doc_next(n);
	assert_true(n->kind == DOC_REAL && n->value.real == 0x1p63);
	n = doc_next(n);
	assert_true(n->kind == DOC_REAL && n->value.real == 1.5);
	n = doc_next(n);
	assert_true(n->kind == DOC_REAL && n->value.real == -0.01);
	assert_string_equal(n->text, "-1E-2");
	assert_false(n->quoted);
	n = doc_next(n);
	assert_true(n->kind == DOC_STRING && n->quoted && n->size == 0);
	n = doc_next(n);
	assert_string_equal(n->text, "😀é\\/\"\b\f\n\r\t");
	assert_int_equal(n->size, strlen(n->text));
	n = doc_next(n);
	assert_string_equal(n->text, "é😀\x7f");
	n = doc_next(n);
	assert_true(n->kind == DOC_ARRAY && doc_count(n) == 0);
	assert_null(n->text);
	assert_null(doc_first(n));
	n = doc_next(n);
	assert_true(n->kind == DOC_OBJECT && doc_count(n) == 0);
	assert_null(doc_next(n));
	doc_free(doc);
}

/* Scalars of YAML, what they are, and what is wrong with others. */
static void
test_yaml_kinds(void **state)
{
	static const struct {
		const char *text;
		enum doc_kind kind;
	} list[] = {
	    {"~", DOC_NULL},
	    {"Null", DOC_NULL},
	    {"!!null ''", DOC_NULL},
	    {"nuLL", DOC_STRING},
	    {"true", DOC_BOOL},
	    {"FALSE", DOC_BOOL},
	    {"tRue", DOC_STRING},
	    {"yes", DOC_STRING},
	    {"!!bool 'True'", DOC_BOOL},
	    {"0", DOC_INTEGER},
	    {"-7", DOC_INTEGER},
	    {"+7", DOC_INTEGER},
	    {"!!int '7'", DOC_INTEGER},
	    {"0x", DOC_STRING},
	    {"0xfg", DOC_STRING},
	    {"-0x1", DOC_STRING},
	    {"0o8", DOC_STRING},
	    {"1_000", DOC_STRING},
	    {"12:30", DOC_STRING},
	    {"1.", DOC_REAL},
	    {".5", DOC_REAL},
	    {"-1.5e+3", DOC_REAL},
	    {"!!float 3", DOC_REAL},
	    {"1e3", DOC_REAL},
	    {".", DOC_STRING},
	    {"+", DOC_STRING},
	    {"1e", DOC_STRING},
	    {"1e+", DOC_STRING},
	    {"1.2.3", DOC_STRING},
	    {"e5", DOC_STRING},
	    {"inf", DOC_STRING},
	    {".infx", DOC_STRING},
	    {"'80'", DOC_STRING},
	    {"\"true\"", DOC_STRING},
	    {"! 80", DOC_STRING},
	    {"!!str 80", DOC_STRING},
	    {"!!str", DOC_STRING},
	    {"|\n 80", DOC_STRING},
	};
	size_t i;

	(void)state;
	for (i = 0; i < COUNT(list); i++) {
		struct doc *doc = parse(list[i].text, DOC_YAML);

		if (doc->root->kind != list[i].kind)
			fail_msg("%s is %s", list[i].text,
			    doc_kind_name(doc->root->kind));
		doc_free(doc);
	}
}

static void
test_yaml_numbers(void **state)
{
	const struct doc_node *n;
	struct doc *doc;

	(void)state;
	doc = parse("[0x1F, 0o17, 022, -12, 9223372036854775807,"
		    " -9223372036854775808, 9223372036854775808,"
		    " 0x7fffffffffffffff, 0xffffffffffffffff,"
		    " -9223372036854775809, -2.5e-1, .inf, -.Inf, .NaN]",
	    DOC_YAML);
	n = doc->root;
	assert_int_equal(element(n, 0)->value.integer, 31);
	assert_int_equal(element(n, 1)->value.integer, 15);
	assert_int_equal(element(n, 2)->value.integer, 22);
	assert_string_equal(element(n, 2)->text, "022");
	assert_int_equal(element(n, 3)->value.integer, -12);
	assert_true(element(n, 4)->value.integer == INT64_MAX);
	assert_int_equal(element(n, 5)->kind, DOC_INTEGER);
	assert_true(element(n, 5)->value.integer == INT64_MIN);
	assert_int_equal(element(n, 6)->kind, DOC_REAL);
	assert_true(element(n, 6)->value.real == 0x1p63);
	assert_true(element(n, 7)->value.integer == INT64_MAX);
	assert_int_equal(element(n, 8)->kind, DOC_REAL);
	assert_true(element(n, 8)->value.real == 0x1p64);
	assert_true(element(n, 9)->value.real == -0x1p63);
	assert_true(element(n, 10)->value.real == -0.25);
	assert_true(isinf(element(n, 11)->value.real));
	assert_true(element(n, 12)->value.real < 0);
	assert_true(isnan(element(n, 13)->value.real));
	doc_free(doc);
}

static void
test_yaml_flags(void **state)
{
	static const char *const words[] = {"yes", "No", "ON", "off"};
	static const char *const others[] = {
	    "'yes'", "!!str yes", "true", "yep", "y", "oN"};
	const struct doc_node *n;
	struct doc *doc;
	size_t i;

	(void)state;
	for (i = 0; i < COUNT(words); i++) {
		doc = parse(words[i], DOC_YAML);
		assert_int_equal(doc->root->kind, DOC_STRING);
		assert_true(doc->root->looks_bool);
		doc_free(doc);
	}
	for (i = 0; i < COUNT(others); i++) {
		doc = parse(others[i], DOC_YAML);
		assert_false(doc->root->looks_bool);
		doc_free(doc);
	}
	doc = parse("- 80\n- \"80\"\n- '80'\n- >-\n  80\n- x", DOC_YAML);
	n = doc->root;
	for (i = 0; i < 5; i++)
		assert_int_equal(element(n, i)->quoted, i >= 1 && i <= 3);
	assert_string_equal(element(n, 1)->text, "80");
	assert_int_equal(element(n, 3)->size, 2);
	doc_free(doc);
}

static void
test_yaml_aliases(void **state)
{
	const struct doc_node *root;
	const struct doc_node *y;
	struct doc *doc;

	(void)state;
	doc = parse("x: &a {k: [1, &s v]}\n"
		    "y: *a\n"
		    "*s : &a 2\n"
		    "z: [*a, *s]\n"
		    "&key w: *key\n",
	    DOC_YAML);
	root = doc->root;
	assert_string_equal(keys(root), "x y v z w ");
	y = get(root, "y");
	assert_key_place(y, 2, 1);
	assert_place(y, 1, 4);
	assert_ptr_not_equal(y, get(root, "x"));
	assert_int_equal(element(get(y, "k"), 0)->value.integer, 1);
	assert_ptr_equal(get(y, "k")->parent, y);
	assert_ptr_equal(element(get(y, "k"), 1)->parent, get(y, "k"));
	assert_key_place(get(y, "k"), 1, 8);
	assert_key_place(get(root, "v"), 3, 1);
	assert_int_equal(element(get(root, "z"), 0)->value.integer, 2);
	assert_string_equal(element(get(root, "z"), 1)->text, "v");
	assert_null(element(get(root, "z"), 1)->key);
	assert_string_equal(get(root, "w")->text, "w");
	doc_free(doc);
}

static void
test_yaml_merge(void **state)
{
	const struct doc_node *root;
	struct doc *doc;

	(void)state;
	doc = parse("a: &a {p: 1, q: 2}\n"
		    "b: &b {q: 3, r: 4}\n"
		    "one: &one {x: 0, <<: *a, p: 9}\n"
		    "two: {<<: [*a, *b], y: 5}\n"
		    "three: {<<: *one, q: 7}\n"
		    "none: {<<: []}\n"
		    "text: {\"<<\": 6}\n",
	    DOC_YAML);
	root = get(doc->root, "one");
	assert_string_equal(keys(root), "x q p ");
	assert_int_equal(doc_count(root), 3);
	assert_int_equal(get(root, "p")->value.integer, 9);
	assert_int_equal(get(root, "q")->value.integer, 2);
	assert_true(get(root, "q")->merged);
	assert_false(get(root, "p")->merged);
	assert_key_place(get(root, "q"), 1, 14);
	root = get(doc->root, "two");
	assert_string_equal(keys(root), "p q r y ");
	assert_int_equal(get(root, "q")->value.integer, 2);
	assert_int_equal(get(root, "r")->value.integer, 4);
	root = get(doc->root, "three");
	assert_string_equal(keys(root), "x p q ");
	assert_int_equal(get(root, "p")->value.integer, 9);
	assert_int_equal(get(root, "q")->value.integer, 7);
	assert_string_equal(keys(get(doc->root, "a")), "p q ");
	assert_int_equal(doc_count(get(doc->root, "none")), 0);
	assert_int_equal(get(get(doc->root, "text"), "<<")->value.integer, 6);
	doc_free(doc);
}

static void
test_json_duplicates(void **state)
{
	const struct doc_warning *w;
	const struct doc_node *root;
	struct doc *doc;

	(void)state;
	doc = parse("{\"a\": 1, \"b\": {\"z\": 1,\n \"\\u007a\": [2]},\n"
		    " \"a\": 2, \"a-b\": 1, \"a_b\": 2,\n"
		    "\"a\": {\"k\\n\": 1, \"k\\n\": 2}}",
	    DOC_JSON);
	root = doc->root;
	assert_string_equal(keys(root), "a b a-b a_b ");
	assert_int_equal(doc_count(root), 4);
	assert_key_place(get(root, "a"), 4, 1);
	assert_place(get(root, "a"), 4, 6);
	assert_int_equal(get(get(root, "a"), "k\n")->value.integer, 2);
	assert_ptr_equal(get(get(root, "a"), "k\n")->parent, get(root, "a"));
	assert_int_equal(get(get(root, "b"), "z")->kind, DOC_ARRAY);
	assert_int_equal(doc->nwarnings, 4);
	assert_int_equal(doc->nwarnings_lost, 0);
	w = doc->warnings;
	assert_string_equal(w->message,
	    "duplicate key \"z\", first on line 1: the last value counts");
	assert_int_equal(w->line, 2);
	assert_int_equal(w->column, 2);
	w = w->next;
	assert_string_equal(w->message,
	    "duplicate key \"a\", first on line 1: the last value counts");
	assert_int_equal(w->line, 3);
	assert_int_equal(w->column, 2);
	w = w->next;
	assert_int_equal(w->line, 4);
	assert_int_equal(w->column, 1);
	w = w->next;
	assert_string_equal(w->message,
	    "duplicate key \"k\\x0a\", first on line 4: the last value counts");
	assert_null(w->next);
	doc_free(doc);
}

static void
test_json_mistakes(void **state)
{
	static const struct mistake list[] = {
	    {"", 0, 0, "the file is empty"},
	    {"\xef\xbb\xbf \r\n", 0, 0, "the file is empty"},
	    {"{\n\"a\":", 2, 5,
		"unexpected end of file, the '{' of line 1 is not closed"},
	    {"[[],\n", 2, 1,
		"unexpected end of file, the '[' of line 1 is not closed"},
	    {"{\"a\" 1}", 1, 6, "expected ':' after a key, not '1'"},
	    {"{a: 1}", 1, 2, "expected a key in double quotes, not 'a'"},
	    {"['a']", 1, 2, "expected a value; strings stand in double quotes"},
	    {"[1 // one\n]", 1, 4, "expected ',' or ']'; JSON has no comments"},
	    {"{\"é\":1 \"b\":2}", 1, 8, "expected ',' or '}', not '\"'"},
	    {"[1}", 1, 3, "expected ',' or ']', not '}'"},
	    {"{\"a\":1,\n}", 2, 1, "no comma may stand before '}'"},
	    {"[,1]", 1, 2, "expected a value, not ','"},
	    {"[1,,2]", 1, 4, "expected a value, not ','"},
	    {"[True]", 1, 2, "expected a value, not 'True'"},
	    {"[NaN]", 1, 2, "expected a value, not 'NaN'"},
	    {"[truefalse]", 1, 2, "expected a value, not 'truefalse'"},
	    {"[\xe2\x82\xac]", 1, 2, "expected a value, not '€'"},
	    {"[\x1b]", 1, 2, "expected a value, not '\\x1b'"},
	    {"{} {}", 1, 4, "expected nothing after the value, not '{'"},
	    {"[01]", 1, 2, "invalid number: 01"},
	    {"[-]", 1, 2, "invalid number: -"},
	    {"[1.]", 1, 2, "invalid number: 1."},
	    {"[-Infinity]", 1, 2, "invalid number: -Infinity"},
	    {"[1e999]", 1, 2, "number is out of range: 1e999"},
	    {"\"abc", 1, 1, "a string is not closed"},
	    {"[\"abc\\\"]", 1, 2, "a string is not closed"},
	    {"\"abc\\", 1, 1, "a string is not closed"},
	    {"\"é\tb\"", 1, 3, "control character 0x09 in a string"},
	    {"\"a\nb\"", 1, 3,
		"a string must end on its line (\\n is a line break)"},
	    {"\"é\\q\"", 1, 4, "invalid escape in a string"},
	    {"\"\\u12x4\"", 1, 6, "invalid escape in a string"},
	    {"\"\\ud83d\"", 1, 8, "invalid Unicode '\\uD83D' in a string"},
	    {"\"\\ude00\\ud83d\"", 1, 14,
		"invalid Unicode '\\uDE00' in a string"},
	    {"{\"a\\u0000\":1}", 1, 10, "NUL (\\u0000) cannot be in a string"},
	    {"[\"\xff\"]", 1, 3, "invalid UTF-8 (byte 0xff)"},
	};

	(void)state;
	check_mistakes(list, COUNT(list), DOC_JSON);
}

static void
test_yaml_mistakes(void **state)
{
	static const struct mistake list[] = {
	    {"", 0, 0, "the file is empty"},
	    {"# only\n", 0, 0, "the file is empty"},
	    {"---\n...\n", 0, 0, "the file is empty"},
	    {"a: 1\n---\nb: 2\n", 2, 1,
		"a second document starts here; a file has one"},
	    {"é: &x [*x]", 1, 8, "alias *x stands inside what it names"},
	    {"a: *x", 1, 4, "alias *x: there is no anchor &x before it"},
	    {"b: 1\na: 1\na: 2\nb: 2", 3, 1,
		"duplicate key \"a\", first on line 2"},
	    {"a: {b: 1, 'b': 2}", 1, 11,
		"duplicate key \"b\", first on line 1"},
	    {"<<: {a: 1}\n<<: {b: 1}", 2, 1,
		"duplicate key \"<<\", first on line 1; it can name a list"},
	    {"<<: 3", 1, 5,
		"\"<<\" needs a mapping or a list of mappings, "
		"not: integer"},
	    {"<<: [{}, []]", 1, 10,
		"\"<<\" needs a mapping or a list of mappings, not: list"},
	    {"{{x}}: 1", 1, 1,
		"a key must be a word or a string, not a list or mapping"},
	    {"x: &k []\n*k : 1", 2, 1,
		"a key must be a word or a string, not a list or mapping"},
	    {"a: !foo b", 1, 4, "unknown tag !foo"},
	    {"a: !!binary b", 1, 4, "unknown tag !!binary"},

	    {"!!foo a: 1", 1, 1, "unknown tag !!foo"},
	    {"!foo [a]", 1, 1, "unknown tag !foo"},
	    {"!!map []", 1, 1, "a list is not a !!map"},
	    {"!!str {}", 1, 1, "a mapping is not a !!str"},
	    {"!!seq a", 1, 1, "\"a\" is not a !!seq"},
	    {"!!int 1.5", 1, 1, "\"1.5\" is not a !!int"},
	    {"!!bool yes", 1, 1, "\"yes\" is not a !!bool"},
	    {"- 1e999", 1, 3,
		"number is out of range: 1e999 (quotes make it a string)"},
	    {"a: \"\\0\"", 1, 4, "NUL (\\0) cannot be in a string"},
	    {"\"\\0\": a", 1, 1, "NUL (\\0) cannot be in a string"},
	    {"é: \a", 1, 4, "control characters are not allowed (U+0007)"},
	    {"a:\n\t- b", 2, 1,
		"found character that cannot start any token, while "
		"scanning for the next token; indent with blanks, not "
		"with tabs"},
	    {"a: b: c", 1, 5,
		"mapping values are not allowed in this context; a colon is "
		"missing before, or the indentation is wrong, or a value with "
		"\": \" wants quotes"},
	    {"a: [1,\n\n", 3, 1,
		"did not find expected node content, while parsing a flow "
		"node"},
	    {"a: {b: 1\n", 2, 1,
		"did not find expected ',' or '}', while parsing a flow "
		"mapping that starts on line 1"},
	    {"%YAML 3.0\n---\na", 1, 1, "found incompatible YAML document"},
	};

	(void)state;
	check_mistakes(list, COUNT(list), DOC_YAML);
}

/* Bytes that are no text, in both formats. */
static void
test_bytes(void **state)
{
	static const struct {
		const char *bytes;
		size_t len;
		unsigned line;
		unsigned column;
		const char *message;
	} list[] = {
	    {"\"\xc3\xa9\n\0\"", 6, 2, 1, "NUL byte"},
	    {"\0", 1, 1, 1, "NUL byte"},
	    {"\"\xc3\xa9\xc3", 4, 1, 3, "invalid UTF-8 (byte 0xc3)"},
	    {"\"\xc0\x80\"", 4, 1, 2, "invalid UTF-8 (byte 0xc0)"},
	    {"\"\xe0\x80\x80\"", 5, 1, 2, "invalid UTF-8 (byte 0xe0)"},
	    {"\"\xed\xa0\x80\"", 5, 1, 2, "invalid UTF-8 (byte 0xed)"},
	    {"\"\xf0\x80\x80\x80\"", 6, 1, 2, "invalid UTF-8 (byte 0xf0)"},
	    {"\"\xf4\x90\x80\x80\"", 6, 1, 2, "invalid UTF-8 (byte 0xf4)"},
	    {"\"\xf5\x80\x80\x80\"", 6, 1, 2, "invalid UTF-8 (byte 0xf5)"},
	    {"\"\x80\"", 3, 1, 2, "invalid UTF-8 (byte 0x80)"},
	    {"\xff\xfe\"\0\"\0", 6, 1, 1,
		"the file is UTF-16, it must be UTF-8"},
	    {"\xfe\xff\0\"\0\"", 6, 1, 1,
		"the file is UTF-16, it must be UTF-8"},
	};
	static const enum doc_format formats[] = {DOC_AUTO, DOC_YAML, DOC_JSON};
	struct doc_error err;
	size_t i;
	size_t j;

	(void)state;
	for (i = 0; i < COUNT(list); i++) {
		for (j = 0; j < COUNT(formats); j++) {
			assert_null(doc_parse(NULL, list[i].bytes, list[i].len,
			    formats[j], &err));
			assert_string_equal(err.message, list[i].message);
			assert_int_equal(err.line, list[i].line);
			assert_int_equal(err.column, list[i].column);
		}
	}
	assert_null(doc_parse("x", NULL, 0, DOC_AUTO, &err));
	assert_string_equal(err.message, "the file is empty");
}

/* A comment is possible in YAML only, so it tells which format was taken. */
static void
test_auto(void **state)
{
	static const struct {
		const char *name;
		const char *text;
		bool yaml;
	} list[] = {
	    {NULL, "{} # c", false},
	    {NULL, "\xef\xbb\xbf\r\n\t [] # c", false},
	    {NULL, "a: {} # c", true},
	    {NULL, "\"a\": b # c", true},
	    {"muster.yaml", "{} # c", true},
	    {"/etc/x.YML", "[] # c", true},
	    {"a.yaml.json", "{} # c", false},
	    {"a.JSON", "a: 1 # c", false},
	    {"json", "{} # c", false},
	    {".yaml", "{} # c", false},
	    {"muster.conf", "a: 1 # c", true},
	};
	struct doc_error err;
	size_t i;

	(void)state;
	for (i = 0; i < COUNT(list); i++) {
		struct doc *doc;

		doc = doc_parse(list[i].name, list[i].text,
		    strlen(list[i].text), DOC_AUTO, &err);
		assert_int_equal(doc != NULL, list[i].yaml);
		doc_free(doc);
	}
	doc_free(NULL);
}

static void
test_get(void **state)
{
	const struct doc_node *root;
	struct doc *doc;

	(void)state;
	assert_true(doc_get_key_equal("keep-alive", "keep_alive"));
	assert_true(doc_get_key_equal("a_b-c", "a-b_c"));
	assert_true(doc_get_key_equal("", ""));
	assert_false(doc_get_key_equal("keep-alive", "keepalive"));
	assert_false(doc_get_key_equal("a", "a-"));
	assert_false(doc_get_key_equal("a-", "a"));
	assert_false(doc_get_key_equal("a-b", "a.b"));
	doc = parse(
	    "{keep-alive: 1, keep_alive: 2, x_y: 3, p-q: 4, l: [5]}", DOC_YAML);
	root = doc->root;
	assert_int_equal(doc_get(root, "keep-alive")->value.integer, 2);
	assert_int_equal(doc_get(root, "keep_alive")->value.integer, 2);
	assert_int_equal(doc_get(root, "x-y")->value.integer, 3);
	assert_int_equal(doc_get(root, "p_q")->value.integer, 4);
	assert_int_equal(doc_get_exact(root, "keep-alive")->value.integer, 1);
	assert_null(doc_get_exact(root, "x-y"));
	assert_null(doc_get(root, "nope"));
	assert_null(doc_get(get(root, "l"), "nope"));
	assert_null(doc_get_exact(get(root, "x_y"), "nope"));
	assert_null(doc_first(get(root, "x_y")));
	assert_int_equal(doc_count(get(root, "x_y")), 0);
	assert_null(doc_next(root));
	doc_free(doc);
}

static void
test_path(void **state)
{
	const struct doc_node *web;
	const struct doc_node *list;
	struct doc *doc;
	char buf[64];

	(void)state;
	doc = parse("processes: {web: {arguments: [a, b, [c]]},"
		    " a.b: {'': 1}, \"\\e\": 2}",
	    DOC_YAML);
	web = get(get(doc->root, "processes"), "web");
	list = get(web, "arguments");
	assert_string_equal(doc_path(doc->root, buf, sizeof(buf)), "");
	assert_string_equal(doc_path(web, buf, sizeof(buf)), "processes.web");
	assert_string_equal(doc_path(element(list, 1), buf, sizeof(buf)),
	    "processes.web.arguments[1]");
	assert_string_equal(
	    doc_path(element(element(list, 2), 0), buf, sizeof(buf)),
	    "processes.web.arguments[2][0]");
	assert_string_equal(
	    doc_path(element(list, 1), buf, 14), "processes.web");
	assert_string_equal(doc_path(element(list, 1), buf, 13), "processes");
	assert_string_equal(doc_path(element(list, 1), buf, 1), "");
	web = get(get(doc->root, "processes"), "a.b");
	assert_string_equal(
	    doc_path(get(web, ""), buf, sizeof(buf)), "processes.\"a.b\".\"\"");
	web = get(get(doc->root, "processes"), "\x1b");
	assert_string_equal(
	    doc_path(web, buf, sizeof(buf)), "processes.\"\\x1b\"");
	doc_free(doc);
}

static void
test_show(void **state)
{
	char buf[16];

	(void)state;
	assert_string_equal(doc_show("", buf, sizeof(buf)), "");
	assert_string_equal(doc_show("é😀 \"", buf, sizeof(buf)), "é😀 \"");
	assert_string_equal(
	    doc_show("a\x1b\n\x7f", buf, sizeof(buf)), "a\\x1b\\x0a\\x7f");
	assert_string_equal(doc_show("\xc2\x9b\xe2\x80\xae", buf, sizeof(buf)),
	    "\\u009b\\u202e");
	assert_string_equal(
	    doc_show("\xff\xc3", buf, sizeof(buf)), "\\xff\\xc3");
	assert_string_equal(
	    doc_show("123456789012345", buf, sizeof(buf)), "123456789012345");
	assert_string_equal(
	    doc_show("1234567890123456", buf, sizeof(buf)), "123456789012...");
	assert_string_equal(
	    doc_show("12345678901éxxxx", buf, sizeof(buf)), "12345678901...");
	assert_string_equal(doc_show("\x01\x01\x01\x01", buf, sizeof(buf)),
	    "\\x01\\x01\\x01...");
}

static void
test_kind_names(void **state)
{
	static const char *const names[] = {"null", "boolean", "integer",
	    "number", "string", "list", "mapping"};
	size_t i;

	(void)state;
	for (i = 0; i < COUNT(names); i++)
		assert_string_equal(doc_kind_name((enum doc_kind)i), names[i]);
}

int
main(void)
{
	static const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_json_positions),
	    cmocka_unit_test(test_yaml_positions),
	    cmocka_unit_test(test_json_values),
	    cmocka_unit_test(test_yaml_kinds),
	    cmocka_unit_test(test_yaml_numbers),
	    cmocka_unit_test(test_yaml_flags),
	    cmocka_unit_test(test_yaml_aliases),
	    cmocka_unit_test(test_yaml_merge),
	    cmocka_unit_test(test_json_duplicates),
	    cmocka_unit_test(test_json_mistakes),
	    cmocka_unit_test(test_yaml_mistakes),
	    cmocka_unit_test(test_bytes),
	    cmocka_unit_test(test_auto),
	    cmocka_unit_test(test_get),
	    cmocka_unit_test(test_path),
	    cmocka_unit_test(test_show),
	    cmocka_unit_test(test_kind_names),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
