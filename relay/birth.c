#include <stdlib.h>
#include <string.h>

#include "relay.h"

/*
 * Where each generation of a stream begins, as far as its bytes are kept and a
 * relay has lived: readers are told of each.  The cell has the latest, which
 * outlives the relay.
 */

#define MAX_BIRTHS 256

struct begin {
	uint64_t at; /* offset of its first byte */
	uint32_t generation;
};

/* The first of those that are kept entirely is behind all that are not. */
static void
forget_old(struct stream *s, uint64_t latest)
{
	uint64_t start = journal_start(&s->journal);
	uint64_t next;
	uint32_t n;

	for (n = 0; n < s->nbirths; n++) {
		next = n + 1 < s->nbirths ? s->births[n + 1].at : latest;
		if (next > start && s->nbirths - n < MAX_BIRTHS)
			break;
	}
	s->nbirths -= n;
	if (n > 0)
		memmove(
		    s->births, s->births + n, s->nbirths * sizeof(*s->births));
}

void
birth_note(struct stream *s)
{
	const struct stream_cell *cell = stream_cell(s);
	struct begin *more;
	uint32_t room;

	if (cell->generation == 0 || cell->generation_start >= s->journal.end)
		return; /* nothing was written by it */
	forget_old(s, cell->generation_start);
	/* 1, 2, 4 … */
	room = s->nbirths;
	if ((room & (room - 1)) == 0) {
		room = room == 0 ? 1 : room * 2;
		more = reallocarray(s->births, room, sizeof(*more));
		if (more == NULL) {
			birth_forget(s); /* told as one */
			return;
		}
		s->births = more;
	}
	s->births[s->nbirths].at = cell->generation_start;
	s->births[s->nbirths++].generation = cell->generation;
}

uint32_t
birth_find(const struct stream *s, uint64_t at, uint64_t *end)
{
	const struct stream_cell *cell = stream_cell(s);
	uint32_t generation = cell->generation;
	uint32_t n;

	if (at >= cell->generation_start || cell->generation_start > *end)
		return generation;
	*end = cell->generation_start;
	for (n = s->nbirths; n > 0; n--) {
		generation = s->births[n - 1].generation;
		if (s->births[n - 1].at <= at)
			return generation;
		*end = s->births[n - 1].at;
	}
	/* Of those before, that there was one is all that is known. */
	return generation - (generation > 0);
}

void
birth_forget(struct stream *s)
{
	free(s->births);
	s->births = NULL;
	s->nbirths = 0;
}
