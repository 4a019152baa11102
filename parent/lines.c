#include <stdlib.h>
#include <string.h>

#include "../common/log.h"
#include "parent.h"

/*
 * Lines of the log, ours and those of components, go through the manager.
 * Each is kept until the manager has passed it on: one that is killed takes
 * none with it.
 */

#define LINES_MOST 256 /* kept; a manager that takes none is replaced soon */
#define LINE_TRIES 3 /* it may be the line that a manager does not survive */

struct line {
	STAILQ_ENTRY(line) entry;
	uint32_t number;
	uint8_t tries;
	size_t len;
	uint8_t payload[]; /* of IMSG_LOG */
};

static STAILQ_HEAD(, line) kept = STAILQ_HEAD_INITIALIZER(kept);
static unsigned int nkept;
static uint32_t last; /* number of the last line */

static void
forget_first(void)
{
	struct line *line = STAILQ_FIRST(&kept);

	STAILQ_REMOVE_HEAD(&kept, entry);
	nkept--;
	free(line);
}

static void
keep(const void *payload, size_t len)
{
	struct line *line;

	line = nkept < LINES_MOST ? malloc(sizeof(*line) + len) : NULL;
	if (line == NULL)
		return;
	line->number = last;
	line->tries = 1;
	line->len = len;
	memcpy(line->payload, payload, len);
	STAILQ_INSERT_TAIL(&kept, line, entry);
	nkept++;
}

void
lines_send(const void *payload, size_t len)
{
	last++;
	keep(payload, len);
	if (parent.manager->channel != NULL)
		(void)channel_send(
		    parent.manager->channel, IMSG_LOG, last, -1, payload, len);
}

int
lines_taken(uint32_t number, struct wire_reader *r)
{
	const struct line *line;

	if (wire_end(r) == -1)
		return -1;
	while ((line = STAILQ_FIRST(&kept)) != NULL &&
	    (int32_t)(line->number - number) <= 0)
		forget_first();
	return 0;
}

/* A line as it is written when nobody else does it. */
static void
write_line(const struct line *line)
{
	struct wire_reader r;
	char program[64];
	char text[4200];
	uint8_t level;

	wire_read(&r, line->payload, line->len);
	level = wire_get_u8(&r);
	wire_get_string(&r, program, sizeof(program));
	wire_get_string(&r, text, sizeof(text));
	if (wire_end(&r) == 0)
		lines_write(level, program, text);
}

void
lines_write(uint8_t level, const char *program, const char *text)
{
	int own = strcmp(program, "parent") == 0;
	const char *colon = own ? "" : ": ";

	if (own)
		program = "";
	if (level == LOG_LEVEL_ERROR)
		log_errorx("%s%s%s", program, colon, text);
	else if (level == LOG_LEVEL_WARNING)
		log_warnx("%s%s%s", program, colon, text);
	else
		log_info("%s%s%s", program, colon, text);
}

void
lines_again(void)
{
	struct line *next;
	struct line *line;

	for (line = STAILQ_FIRST(&kept); line != NULL; line = next) {
		next = STAILQ_NEXT(line, entry);
		if (line->tries++ < LINE_TRIES &&
		    parent.manager->channel != NULL) {
			(void)channel_send(parent.manager->channel, IMSG_LOG,
			    line->number, -1, line->payload, line->len);
			continue;
		}
		STAILQ_REMOVE(&kept, line, line, entry);
		nkept--;
		free(line);
	}
}

void
lines_end(void)
{
	for (; !STAILQ_EMPTY(&kept); forget_first())
		write_line(STAILQ_FIRST(&kept));
}
