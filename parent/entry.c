#include <sys/resource.h>

#include <string.h>

#include "parent.h"

/*
 * The bytes of an entry, decoded and checked: once when it is staged and
 * again whenever it is used, so that nothing has to be kept but the bytes.
 */

#define MAX_JOB_NAME 256UL
#define MAX_CAPTURE (1ULL << 30)
#define DYNAMIC_ROOM 256 /* what a segment becomes at most: path, name */
#define KNOWN_STREAM_FLAGS \
	(STREAM_SHOW | STREAM_PREFIX | STREAM_SHOW_STDERR | STREAM_BLOCK)

static void
get_view(struct wire_reader *r, struct view *v, size_t max)
{
	v->text = wire_get_view(r, max, &v->len);
}

static void
get_path(struct wire_reader *r, struct view *v, size_t max)
{
	get_view(r, v, max - 1);
	if (v->len == 0 || v->text[0] != '/')
		r->failed = 1;
}

static void
get_name(struct wire_reader *r)
{
	struct view v;

	get_view(r, &v, MAX_NAME);
}

/* A word; one of the environment must begin with literal "NAME=". */
static void
skip_word(struct wire_reader *r, struct spec *s, int environment)
{
	const char *equals;
	struct view v;
	uint32_t i;
	uint32_t n;
	uint8_t kind;

	n = wire_get_count(r, MAX_SEGMENTS, 5);
	if (environment && n == 0)
		r->failed = 1;
	for (i = 0; i < n && !r->failed; i++) {
		kind = wire_get_u8(r);
		get_view(r, &v, MAX_STRING - 1);
		if (kind > SEGMENT_REPORT_FD || r->failed ||
		    (kind == SEGMENT_REPORT_FD && !(s->flags & SPEC_REPORT)))
			r->failed = 1;
		else if (environment && i == 0) {
			equals = memchr(v.text, '=', v.len);
			if (kind != SEGMENT_TEXT || equals == NULL ||
			    equals == v.text)
				r->failed = 1;
		}
		s->room += kind == SEGMENT_TEXT ? v.len : DYNAMIC_ROOM;
	}
	s->room++;
}

static void
skip_limits(struct wire_reader *r)
{
	uint64_t soft;
	uint64_t hard;
	uint32_t i;
	uint32_t n;

	n = wire_get_count(r, MAX_LIMITS, 17);
	for (i = 0; i < n; i++) {
		if (wire_get_u8(r) >= RLIM_NLIMITS)
			r->failed = 1;
		soft = wire_get_u64(r);
		hard = wire_get_u64(r);
		if (soft > hard)
			r->failed = 1;
	}
}

static void
read_user(struct wire_reader *r, struct spec *s)
{
	uint32_t i;
	uint32_t n;

	s->user = r->next;
	get_name(r);
	get_name(r);
	s->user_len = (size_t)(r->next - s->user);
	n = wire_get_count(r, MAX_GROUPS, 4);
	for (i = 0; i < n; i++)
		get_name(r);
	if (s->flags & SPEC_GROUPS)
		s->user_len = (size_t)(r->next - s->user);
	else if (n > 0)
		r->failed = 1;
}

static void
read_output(struct wire_reader *r, struct spec *s)
{
	int i;

	s->stdio[0] = wire_get_u8(r);
	s->stdio[1] = wire_get_u8(r);
	s->stdio[2] = wire_get_u8(r);
	if (s->stdio[0] > STDIO_INHERIT || s->stdio[1] > STDIO_INHERIT ||
	    s->stdio[2] > STDIO_JOIN)
		r->failed = 1;
	for (i = 0; i < 2; i++) {
		s->out[i].flags = wire_get_u32(r);
		s->out[i].capture = wire_get_u64(r);
		s->out[i].sink_at = r->next;
		s->out[i].sink = wire_get_u32(r);
		get_view(r, &s->out[i].prefix, MAX_JOB_NAME);
		if ((s->out[i].flags & ~(uint32_t)KNOWN_STREAM_FLAGS) != 0 ||
		    s->out[i].capture > MAX_CAPTURE)
			r->failed = 1;
	}
}

int
spec_read(const struct entry *e, struct spec *s)
{
	struct wire_reader r;
	uint32_t i;

	memset(s, 0, sizeof(*s));
	wire_read(&r, e->data, e->len);
	s->flags = wire_get_u32(&r);
	get_view(&r, &s->name, MAX_JOB_NAME);
	read_user(&r, s);
	s->umask = wire_get_u32(&r);
	s->nice = wire_get_i32(&r);
	s->limits = r;
	skip_limits(&r);
	get_path(&r, &s->directory, PATH_MAX);
	get_path(&r, &s->launch, PATH_MAX);
	s->words = r;
	s->nwords = wire_get_count(&r, MAX_WORDS, 4);
	for (i = 0; i < s->nwords; i++)
		skip_word(&r, s, 0);
	s->environment = r;
	s->nenvironment = wire_get_count(&r, MAX_WORDS, 4);
	for (i = 0; i < s->nenvironment; i++)
		skip_word(&r, s, 1);
	read_output(&r, s);
	s->sockets = r;
	i = wire_get_count(&r, MAX_PASSED_SOCKETS, 4);
	if (s->nwords == 0 || (s->flags & ~(uint32_t)SPEC_ALL) != 0 ||
	    (s->umask > 0777 && s->umask != NO_UMASK) ||
	    (s->nice != NO_NICE && (s->nice < -40 || s->nice > 40)) ||
	    /* Both would begin at descriptor 3. */
	    (i > 0 && (s->flags & SPEC_KEEP_FDS_ABOUT)))
		return -1;
	while (i-- > 0)
		(void)wire_get_u32(&r);
	return wire_end(&r);
}

int
file_read(const struct entry *e, struct file_entry *f)
{
	struct wire_reader r;

	memset(f, 0, sizeof(*f));
	wire_read(&r, e->data, e->len);
	wire_get_string(&r, f->path,
	    e->kind == ENTRY_UNIX ? MAX_SOCKET_PATH : sizeof(f->path));
	/* No path at all: there is no such log file. */
	if (f->path[0] != '/' &&
	    (e->kind != ENTRY_LOGFILE || f->path[0] != '\0'))
		return -1;
	if (e->kind == ENTRY_LOGFILE) {
		f->append = wire_get_bool(&r);
		f->mode = wire_get_u32(&r);
	}
	f->user = r.next;
	f->user_len = r.left;
	get_name(&r);
	get_name(&r);
	return f->mode > 07777 ? -1 : wire_end(&r);
}

int
tls_read(const struct entry *e, struct tls_entry *t)
{
	struct wire_reader r;

	wire_read(&r, e->data, e->len);
	wire_get_string(&r, t->path, sizeof(t->path));
	t->what = wire_get_u8(&r);
	t->flags = wire_get_u8(&r);
	if (wire_end(&r) == -1 || t->path[0] != '/' ||
	    t->what < TLS_FILE_CERTIFICATE || t->what > TLS_FILE_KEY ||
	    t->flags > TLS_FILE_REQUIRED)
		return -1;
	return 0;
}
