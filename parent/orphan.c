#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "parent.h"

/*
 * Processes whose job a reload has changed or taken away: until they have
 * gone, a relay that comes anew is told of their output what the table does
 * not say any more.  And the files that nobody writes to then.
 */

struct orphan {
	LIST_ENTRY(orphan) link;
	uint32_t process;
	struct orphan_output out[2];
};

static LIST_HEAD(, orphan) orphans = LIST_HEAD_INITIALIZER(orphans);

static struct orphan *
find(uint32_t process)
{
	struct orphan *o;

	LIST_FOREACH (o, &orphans, link)
		if (o->process == process)
			break;
	return o;
}

const struct orphan_output *
orphan_output(uint32_t process, int i)
{
	const struct orphan *o = find(process);

	return o == NULL ? NULL : &o->out[i];
}

/* Without memory or descriptor: it is as if the file were missing. */
static void
take(struct orphan_output *out, const struct output_spec *spec,
    const struct table *t)
{
	const struct entry *e;

	out->flags = spec->flags;
	out->capture = spec->capture;
	out->sink = NO_ENTRY;
	out->fd = -1;
	out->prefix = malloc(spec->prefix.len + 1);
	out->prefix_len = out->prefix == NULL ? 0 : spec->prefix.len;
	if (out->prefix_len > 0)
		memcpy(out->prefix, spec->prefix.text, out->prefix_len);
	e = table_entry(t, spec->sink, ENTRY_LOGFILE);
	if (e == NULL)
		return;
	e = &t->entries[e->first];
	if (e->fd == -1 || (out->fd = copy_fd(e->fd)) == -1)
		return;
	out->sink = e->sink;
	out->is_shared = (e->flags & ENTRY_IS_SHARED) != 0;
}

void
orphan_make(const struct slot *s, const struct table *t)
{
	const struct entry *e;
	struct orphan *o;
	struct spec spec;
	int i;

	e = table_entry(t, s->entry, ENTRY_SPEC);
	if (s->state == SLOT_IDLE || e == NULL || spec_read(e, &spec) == -1 ||
	    find(s->process) != NULL)
		return;
	o = calloc(1, sizeof(*o));
	if (o == NULL)
		return;
	o->process = s->process;
	for (i = 0; i < 2; i++)
		take(&o->out[i], &spec.out[i], t);
	LIST_INSERT_HEAD(&orphans, o, link);
}

static int
is_used(uint32_t sink)
{
	const struct orphan *o;

	LIST_FOREACH (o, &orphans, link)
		if (o->out[0].sink == sink || o->out[1].sink == sink)
			return 1;
	return logfile_has_sink(parent.table, sink);
}

static void
unuse(uint32_t sink)
{
	struct wire *w;

	if (sink == NO_ENTRY || is_used(sink))
		return;
	w = message();
	wire_put_u32(w, sink);
	send_wire(parent.relay, IMSG_SINK_CLOSE, 0, -1);
}

void
orphan_gone(uint32_t process)
{
	struct orphan *o = find(process);
	int i;

	if (o == NULL)
		return;
	LIST_REMOVE(o, link);
	for (i = 0; i < 2; i++) {
		unuse(o->out[i].sink);
		if (o->out[i].fd != -1)
			(void)close(o->out[i].fd);
		free(o->out[i].prefix);
	}
	free(o);
}

void
orphan_table(const struct table *gone)
{
	const struct entry *e;
	uint32_t i;

	for (i = 0; i < gone->count; i++) {
		e = &gone->entries[i];
		if (e->kind == ENTRY_LOGFILE && e->fd != -1)
			unuse(e->sink);
	}
}

void
orphan_resend(void)
{
	const struct orphan *o;
	int i;

	LIST_FOREACH (o, &orphans, link)
		for (i = 0; i < 2; i++)
			if (o->out[i].fd != -1)
				logfile_send(o->out[i].sink, o->out[i].fd,
				    o->out[i].is_shared ? SINK_SHARED : 0);
}
