#include <stdio.h>
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

/*
 * What a word is: as written, or in a process, which is known by its job and
 * the number of the instance.  Its length; `to` may be NULL.
 */
static size_t
put_word(char *to, const struct word *w, const struct job_config *c,
    uint32_t instance)
{
	const struct segment_text *s;
	const char *text;
	char number[16];
	size_t count;
	size_t len;
	size_t n;

	if (c == NULL || w->segments == NULL) {
		n = strlen(w->source);
		if (to != NULL)
			memcpy(to, w->source, n);
		return n;
	}
	(void)snprintf(number, sizeof(number), "%u", instance);
	s = w->segments->list;
	for (count = w->segments->count, n = 0; count > 0; count--, s++) {
		text = s->kind == SEGMENT_INSTANCE ? number :
		    s->kind == SEGMENT_NAME        ? c->name :
						     s->text;
		len = strlen(text);
		if (to != NULL)
			memcpy(to + n, text, len);
		n += len;
	}
	return n;
}

/* With blanks between them and a NUL: what they need. */
static size_t
join(char *to, const struct words *words, const struct job_config *c,
    uint32_t instance)
{
	size_t i;
	size_t n;

	n = 0;
	for (i = 0; i < words->count; i++) {
		n += put_word(
		    to == NULL ? NULL : to + n, &words->list[i], c, instance);
		if (to != NULL)
			to[n] = i + 1 < words->count ? ' ' : '\0';
		n++;
	}
	if (to != NULL && n == 0)
		to[0] = '\0';
	return n == 0 ? 1 : n;
}

char *
words_joined(struct loader *l, const struct words *words)
{
	char *s;

	s = config_alloc(l->config, join(NULL, words, NULL, 0));
	(void)join(s, words, NULL, 0);
	return s;
}

/* Room for a text that is shown; NULL: there is none. */
static char *
shown(size_t size)
{
	static char *text;
	static size_t room;
	char *bigger;

	if (text == NULL || size > room) {
		bigger = realloc(text, size);
		if (bigger == NULL)
			return NULL;
		text = bigger;
		room = size;
	}
	return text;
}

const char *
config_command_line(const struct job_config *c, uint32_t instance)
{
	char *line;

	if (c->words.count == 0)
		return c->name;
	line = shown(join(NULL, &c->words, c, instance));
	if (line == NULL)
		return c->words.list[0].source;
	(void)join(line, &c->words, c, instance);
	return line;
}

const char *
config_word(const struct job_config *c, uint32_t i, uint32_t instance)
{
	const struct word *w;
	char *text;
	size_t len;

	w = &c->words.list[i];
	if (w->segments == NULL)
		return w->source;
	text = shown(put_word(NULL, w, c, instance) + 1);
	if (text == NULL)
		return w->source;
	len = put_word(text, w, c, instance);
	text[len] = '\0';
	return text;
}
