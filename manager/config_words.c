#include <stdlib.h>
#include <string.h>

#include "../common/spec.h"
#include "config_table.h"

/* Words of commands, and the replacements in them. */

static void
add_segment(struct loader *l, struct word *w, enum segment kind,
    const char *text, size_t len)
{
	struct segment_text *s;

	s = config_array(l->config, w->segments, w->nsegments, sizeof(*s));
	s[w->nsegments].kind = (uint8_t)kind;
	s[w->nsegments].text = config_printf(l->config, "%.*s", (int)len, text);
	w->nsegments++;
	w->segments = s;
}

/*
 * $(instance) and $(name) are replaced; any other $(…) is left alone, it
 * belongs to a shell.
 */
void
word_make(struct loader *l, const struct doc_node *n, const char *text,
    struct word *w)
{
	static const struct {
		const char *text;
		enum segment kind;
	} known[] = {
	    {"$(instance)", SEGMENT_INSTANCE}, {"$(name)", SEGMENT_NAME}};
	const char *from;
	const char *s;
	size_t i;
	size_t len;

	memset(w, 0, sizeof(*w));
	w->source = config_strdup(l->config, text);
	from = text;
	for (s = strstr(from, "$("); s != NULL; s = strstr(s, "$(")) {
		if (strncmp(s, "$(socket.", 9) == 0)
			config_error(l, n,
			    "$(socket…) is not available in this version");
		for (i = 0; i < sizeof(known) / sizeof(*known); i++) {
			len = strlen(known[i].text);
			if (strncmp(s, known[i].text, len) == 0)
				break;
		}
		if (i == sizeof(known) / sizeof(*known)) {
			s += 2;
			continue;
		}
		if (s > from)
			add_segment(
			    l, w, SEGMENT_TEXT, from, (size_t)(s - from));
		add_segment(l, w, known[i].kind, "", 0);
		s += len;
		from = s;
	}
	if (*from != '\0' && w->nsegments > 0)
		add_segment(l, w, SEGMENT_TEXT, from, strlen(from));
	if (w->nsegments > MAX_SEGMENTS)
		config_error(l, n, "too many replacements in one word");
}

void
words_append(struct loader *l, struct words *words, const struct word *w)
{
	struct word *list;

	list =
	    config_array(l->config, words->list, words->count, sizeof(*list));
	list[words->count++] = *w;
	words->list = list;
}

void
words_list(struct loader *l, const struct doc_node *n, struct words *words)
{
	const struct doc_node *item;
	struct word w;
	char *s;

	for (item = doc_first(n); item != NULL; item = doc_next(item)) {
		if (item->kind == DOC_NULL || item->text == NULL) {
			config_error(l, item, "want a string, got %s",
			    doc_kind_name(item->kind));
			continue;
		}
		s = value_string(l, item);
		if (s == NULL)
			continue;
		word_make(l, item, s, &w);
		words_append(l, words, &w);
	}
	if (words->count >= MAX_WORDS - 16)
		config_error(l, n, "too many words");
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
	char *text;

	text = value_string(l, n);
	if (text == NULL)
		return;
	buf = config_alloc(l->config, strlen(text) + 1);
	s = text;
	for (;;) {
		s += strspn(s, " \t\n");
		if (*s == '\0')
			break;
		s = next_word(s, buf);
		if (s == NULL) {
			config_error(l, n, "a quote is not closed");
			return;
		}
		word_make(l, n, buf, &w);
		words_append(l, words, &w);
	}
	if (words->count >= MAX_WORDS - 16)
		config_error(l, n, "too many words");
}

char *
words_joined(struct loader *l, const struct words *words)
{
	size_t i;
	size_t len;
	size_t n;
	char *s;

	len = 1;
	for (i = 0; i < words->count; i++)
		len += strlen(words->list[i].source) + 1;
	s = config_alloc(l->config, len);
	for (i = 0, n = 0; i < words->count; i++) {
		if (i > 0)
			s[n++] = ' ';
		len = strlen(words->list[i].source);
		memcpy(s + n, words->list[i].source, len);
		n += len;
	}
	s[n] = '\0';
	return s;
}
