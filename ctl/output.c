#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ctl.h"

/* What processes have written: printed, and decoded from events. */

#define MAX_HELD 65536 /* bytes of a line that is waited for */

/* ---- printing
 * ------------------------------------------------------------------ */

static void
put_prefix(const struct printer *p, FILE *to)
{
	size_t used;

	(void)fputs(color_on(p->color, terminal.color), to);
	for (used = text_put(to, p->prefix, SIZE_MAX); used < p->pad; used++)
		(void)fputc(' ', to);
	(void)fputs(text_is_utf8() ? " │ " : " | ", to);
	(void)fputs(color_off(p->color, terminal.color), to);
}

/*
 * Writes bytes as they may appear; how many were taken: less than len if an
 * incomplete character ends them.
 */
static size_t
put_bytes(
    const struct printer *p, FILE *to, const char *s, size_t len, int partial)
{
	char shown[SHOWN_SIZE];
	size_t at;
	size_t n;
	int width;

	if (!p->to_terminal) {
		(void)fwrite(s, 1, len, to);
		return len;
	}
	for (at = 0; at < len; at += n) {
		if (s[at] == '\r') {
			n = 1;
			if (at + 1 == len && partial)
				return at;
			/* The other half of a line end. */
			if (at + 1 < len && s[at + 1] == '\n')
				continue;
		}
		if (s[at] == '\n') {
			(void)fputc('\n', to);
			n = 1;
			continue;
		}
		n = text_next(s + at, len - at,
		    TEXT_TAB | (partial ? TEXT_PARTIAL : 0), shown, &width);
		if (n == 0)
			return at;
		(void)fputs(shown, to);
	}
	return at;
}

static void
hold(struct printer *p, const char *s, size_t len)
{
	if (len == 0)
		return;
	if (p->held_len + len > p->held_size) {
		p->held_size = p->held_len + len + 256;
		p->held = xreallocarray(p->held, p->held_size, 1);
	}
	memcpy(p->held + p->held_len, s, len);
	p->held_len += len;
}

/* A whole line, with its newline or without. */
static void
put_line(struct printer *p, FILE *to, const char *s, size_t len)
{
	put_prefix(p, to);
	if (p->held_len > 0) {
		hold(p, s, len);
		(void)put_bytes(p, to, p->held, p->held_len, 0);
		p->held_len = 0;
	} else
		(void)put_bytes(p, to, s, len, 0);
}

static void
write_lines(struct printer *p, FILE *to, const char *s, size_t len)
{
	const char *end;
	size_t n;

	while (len > 0) {
		end = memchr(s, '\n', len);
		if (end == NULL)
			break;
		n = (size_t)(end - s) + 1;
		put_line(p, to, s, n);
		s += n;
		len -= n;
	}
	hold(p, s, len);
	if (p->held_len > MAX_HELD)
		printer_end(p, to);
}

void
printer_write(struct printer *p, FILE *to, const char *s, size_t len)
{
	size_t taken;

	if (p->prefix != NULL) {
		write_lines(p, to, s, len);
		return;
	}
	if (p->held_len == 0 && !p->to_terminal) {
		(void)put_bytes(p, to, s, len, 1);
		return;
	}
	hold(p, s, len);
	taken = put_bytes(p, to, p->held, p->held_len, 1);
	memmove(p->held, p->held + taken, p->held_len - taken);
	p->held_len -= taken;
}

void
printer_end(struct printer *p, FILE *to)
{
	if (p->held_len == 0)
		return;
	if (p->prefix != NULL) {
		put_line(p, to, "\n", 1);
		return;
	}
	(void)put_bytes(p, to, p->held, p->held_len, 0);
	p->held_len = 0;
}

/* ---- events
 * ---------------------------------------------------------------------- */

static int
digit_of(char c)
{
	if (c >= 'A' && c <= 'Z')
		return c - 'A';
	if (c >= 'a' && c <= 'z')
		return c - 'a' + 26;
	if (c >= '0' && c <= '9')
		return c - '0' + 52;
	return c == '+' ? 62 : c == '/' ? 63 : -1;
}

/* RFC 4648 §4, with its padding. */
ssize_t
base64_decode(char *text, size_t len)
{
	unsigned int bits;
	size_t i;
	size_t n;
	size_t pad;
	int d;

	if (len % 4 != 0)
		return -1;
	pad = len == 0 || text[len - 1] != '=' ? 0 :
	    text[len - 2] == '='               ? 2 :
						 1;
	bits = 0;
	n = 0;
	for (i = 0; i < len; i++) {
		d = i >= len - pad ? 0 : digit_of(text[i]);
		if (d == -1)
			return -1;
		bits = bits << 6 | (unsigned int)d;
		if (i % 4 != 3)
			continue;
		text[n++] = (char)(bits >> 16 & 255);
		text[n++] = (char)(bits >> 8 & 255);
		text[n++] = (char)(bits & 255);
		bits = 0;
	}
	return (ssize_t)(n - pad);
}

static int
read_data(struct event *e)
{
	const json_t *v;
	ssize_t n;
	int encoded;

	v = json_object_get(e->json, "data");
	encoded = v == NULL;
	if (encoded)
		v = json_object_get(e->json, "data_b64");
	if (!json_is_string(v))
		return -1;
	e->len = json_string_length(v);
	e->data = xreallocarray(NULL, e->len + 1, 1);
	memcpy(e->data, json_string_value(v), e->len);
	if (!encoded)
		return 0;
	n = base64_decode(e->data, e->len);
	e->len = n == -1 ? 0 : (size_t)n;
	return n == -1 ? -1 : 0;
}

/* A number that is none is malformed; one that is missing is 0. */
static int
read_number(const json_t *json, const char *key, uint64_t *out)
{
	const json_t *v;

	*out = 0;
	v = json_object_get(json, key);
	if (v == NULL)
		return 0;
	if (!json_is_integer(v) || json_integer_value(v) < 0)
		return -1;
	*out = (uint64_t)json_integer_value(v);
	return 0;
}

int
event_read(struct event *e, const char *line, size_t len)
{
	const char *kind;

	memset(e, 0, sizeof(*e));
	/* Output may have zero bytes. */
	e->json = json_loadb(
	    line, len, JSON_REJECT_DUPLICATES | JSON_ALLOW_NUL, NULL);
	kind = json_string_value(json_object_get(e->json, "event"));
	if (kind == NULL || read_number(e->json, "offset", &e->offset) == -1 ||
	    read_number(e->json, "lost", &e->lost) == -1)
		return -1;
	if (strcmp(kind, "io") == 0) {
		e->kind = EVENT_IO;
		return json_object_get(e->json, "offset") == NULL ?
		    -1 :
		    read_data(e);
	}
	e->kind = strcmp(kind, "eof") == 0 ? EVENT_EOF :
	    strcmp(kind, "gap") == 0       ? EVENT_GAP :
					     EVENT_OTHER;
	return 0;
}

void
event_free(struct event *e)
{
	if (e->json != NULL)
		json_decref(e->json);
	free(e->data);
	memset(e, 0, sizeof(*e));
}

const char *
stream_name(const json_t *stream)
{
	const char *name;

	name = json_string_value(json_object_get(stream, "name"));
	if (name == NULL)
		return NULL;
	return strcmp(name, "stdout") == 0 ? "stdout" :
	    strcmp(name, "stderr") == 0    ? "stderr" :
					     NULL;
}

/* ---- the last lines
 * --------------------------------------------------------------- */

static void
show_lines(FILE *to, const struct process *p, const char *stream,
    unsigned int lines, int with_name)
{
	struct printer printer;
	struct reply reply;
	char target[96];

	(void)snprintf(target, sizeof(target),
	    "/v1/processes/%u/streams/%s?lines=%u", p->id, stream, lines);
	if (request_raw(&reply, target) == -1)
		return;
	if (reply.len > 0) {
		memset(&printer, 0, sizeof(printer));
		printer.to_terminal = 1; /* never raw beside other text */
		(void)fprintf(to, "\n%s%s", with_name ? stream : "",
		    with_name ? ":\n" : "");
		printer_write(&printer, to, reply.body, reply.len);
		printer_end(&printer, to);
		if (reply.body[reply.len - 1] != '\n')
			(void)fputc('\n', to);
		free(printer.held);
	}
	reply_free(&reply);
}

void
show_last_lines(FILE *to, const struct process *p, unsigned int lines)
{
	const json_t *streams;
	const char *name;
	size_t i;
	size_t n;

	streams = json_object_get(p->json, "streams");
	n = json_array_size(streams);
	for (i = 0; i < n; i++) {
		name = stream_name(json_array_get(streams, i));
		if (name != NULL)
			show_lines(to, p, name, lines, n > 1);
	}
}
