#include <stdlib.h>
#include <string.h>

#include "../common/spec.h"
#include "config_table.h"

/* Words of commands, and the replacements in them. */

/* The replacement that stands at s, and its length; -1: none of ours. */
static int
replacement(const char *s, size_t *len)
{
	static const struct {
		const char *text;
		enum segment kind;
	} known[] = {
	    {"$(instance)", SEGMENT_INSTANCE}, {"$(name)", SEGMENT_NAME}};
	size_t i;

	for (i = 0; i < sizeof(known) / sizeof(*known); i++) {
		*len = strlen(known[i].text);
		if (strncmp(s, known[i].text, *len) == 0)
			return (int)known[i].kind;
	}
	return -1;
}

static const struct segments *
segments_keep(struct loader *l, const struct segment_text *list, size_t count)
{
	struct segments *kept;

	kept = config_alloc(l->config, sizeof(*kept) + count * sizeof(*list));
	kept->count = count;
	memcpy(kept->list, list, count * sizeof(*list));
	return kept;
}

/*
 * $(instance) and $(name) are replaced; any other $(…) is left alone, it
 * belongs to a shell.
 */
void
word_make(struct loader *l, const struct doc_node *n, const char *text,
    struct word *w)
{
	static struct segment_text list[MAX_SEGMENTS];
	const char *from;
	const char *s;
	size_t count;
	size_t len;
	int kind;

	w->source = text;
	w->segments = NULL;
	count = 0;
	from = text;
	for (s = strstr(from, "$("); s != NULL; s = strstr(s, "$(")) {
		if (strncmp(s, "$(socket.", 9) == 0)
			config_error(l, n,
			    "$(socket…) is not available in this version");
		kind = replacement(s, &len);
		if (kind == -1) {
			s += 2;
			continue;
		}
		if (s > from)
			list[count++] = (struct segment_text){SEGMENT_TEXT,
			    config_printf(
				l->config, "%.*s", (int)(s - from), from)};
		list[count++] = (struct segment_text){(uint8_t)kind, ""};
		s += len;
		from = s;
		if (count >= MAX_SEGMENTS - 2) {
			config_error(l, n, "too many replacements in one word");
			return;
		}
	}
	if (count == 0)
		return;
	if (*from != '\0')
		list[count++] = (struct segment_text){
		    SEGMENT_TEXT, config_strdup(l->config, from)};
	w->segments = segments_keep(l, list, count);
}

int
words_append(struct loader *l, const struct doc_node *n, struct words *words,
    const struct word *w)
{
	if (words->count >= MAX_CONFIG_WORDS) {
		config_error(l, n, "more than %d words", MAX_CONFIG_WORDS);
		return -1;
	}
	if (words->count == words->room)
		words_reserve(l, words, words->count == 0 ? 1 : words->count);
	words->list[words->count++] = *w;
	return 0;
}

void
words_reserve(struct loader *l, struct words *words, uint32_t more)
{
	struct word *list;

	list = config_alloc(
	    l->config, ((size_t)words->count + more) * sizeof(*list));
	if (words->count > 0)
		memcpy(list, words->list, words->count * sizeof(*list));
	words->list = list;
	words->room = words->count + more;
}

void
words_list(struct loader *l, const struct doc_node *n, struct words *words)
{
	const struct doc_node *item;
	struct word w;
	const char *s;

	if (words->room - words->count < n->size && n->size <= MAX_WORDS)
		words_reserve(l, words, (uint32_t)n->size);
	for (item = doc_first(n); item != NULL; item = doc_next(item)) {
		s = value_string(l, item);
		if (s == NULL)
			continue;
		word_make(l, item, s, &w);
		if (words_append(l, item, words, &w) == -1)
			return;
	}
}

/* One word from *s on, without its quotes; NULL: a quote is not closed. */
static const char *
next_word(const char *s, char *to)
{
	char quote;

	quote = '\0';
	for (; *s != '\0'; s++) {
		if (quote == '\0' && (*s == ' ' || *s == '\t' || *s == '\n'))
			break;
		if (quote == '\0' && (*s == '\'' || *s == '"')) {
			quote = *s;
			continue;
		}
		if (*s == quote && quote != '\0') {
			quote = '\0';
			continue;
		}
		if (*s == '\\' && quote != '\'' && s[1] != '\0' &&
		    (quote == '\0' || strchr("\"\\$`\n", s[1]) != NULL))
			s++;
		*to++ = *s;
	}
	*to = '\0';
	return quote == '\0' ? s : NULL;
}

void
words_split(struct loader *l, const struct doc_node *n, struct words *words)
{
	struct word w;
	const char *s;
	char *buf;
	const char *text;

	text = value_string(l, n);
	if (text == NULL)
		return;
	/* All words and a NUL behind each: no word is longer than what it was
	 * made of, and a blank or the end stands behind it. */
	buf = config_alloc(l->config, strlen(text) + 1);
	s = text;
	for (;;) {
		s += strspn(s, " \t\n");
		if (*s == '\0')
			return;
		s = next_word(s, buf);
		if (s == NULL) {
			config_error(l, n, "a quote is not closed");
			return;
		}
		word_make(l, n, buf, &w);
		if (words_append(l, n, words, &w) == -1)
			return;
		buf += strlen(buf) + 1;
	}
}

static size_t
joined_size(const struct words *words)
{
	size_t size;
	size_t i;

	size = 1;
	for (i = 0; i < words->count; i++)
		size += strlen(words->list[i].source) + 1;
	return size;
}

static void
join(const struct words *words, char *s)
{
	size_t len;
	size_t i;
	size_t n;

	for (i = 0, n = 0; i < words->count; i++) {
		if (i > 0)
			s[n++] = ' ';
		len = strlen(words->list[i].source);
		memcpy(s + n, words->list[i].source, len);
		n += len;
	}
	s[n] = '\0';
}

char *
words_joined(struct loader *l, const struct words *words)
{
	char *s;

	s = config_alloc(l->config, joined_size(words));
	join(words, s);
	return s;
}

const char *
config_command_line(const struct job_config *c)
{
	static char *line;
	static size_t room;
	size_t size;
	char *bigger;

	if (c->words.count == 0)
		return c->name;
	size = joined_size(&c->words);
	if (line == NULL || size > room) {
		bigger = realloc(line, size);
		if (bigger == NULL)
			return c->words.list[0].source;
		line = bigger;
		room = size;
	}
	join(&c->words, line);
	return line;
}
