#include <stdlib.h>
#include <string.h>

#include <bsd/stdlib.h>

#include "../common/log.h"
#include "manager.h"

/*
 * What a job's restart policy says after an exit: whether the process comes
 * back, and when.
 */

int
restart_wanted(const struct process *p)
{
	switch (p->job->config->restart) {
	case RESTART_ALWAYS:
		return 1;
	case RESTART_ON_FAILURE:
		return process_success(p) == -1;
	case RESTART_NEVER:
		break;
	}
	return 0;
}

static int
remember_deaths(struct process *p)
{
	if (p->deaths == NULL)
		p->deaths =
		    calloc(p->job->config->limit_count, sizeof(*p->deaths));
	if (p->deaths != NULL)
		return 0;
	log_warn("process %u: start-limit", p->id);
	return -1;
}

/* Notes this death; 1 if it is one too many: the limit-th in that time. */
static int
limit_reached(struct process *p)
{
	const struct job_config *c;
	unsigned int i;

	c = p->job->config;
	if (c->limit_count == 0 || remember_deaths(p) == -1)
		return 0;
	for (i = 0; i + 1 < c->limit_count; i++)
		p->deaths[i] = p->deaths[i + 1];
	p->deaths[c->limit_count - 1] = p->ended_at;
	return p->deaths[0] != 0 &&
	    p->ended_at - p->deaths[0] <= c->limit_within;
}

/* The delay doubles with each early death, less up to a tenth so that many
 * processes that died together do not come back together. */
static uint64_t
backoff_delay(struct process *p)
{
	const struct job_config *c;
	uint64_t delay;
	unsigned int i;

	c = p->job->config;
	if (p->ended_at - p->started >= c->backoff_reset)
		p->backoff = 0;
	if (p->backoff++ == 0 || c->backoff_initial == 0)
		return 0;
	delay = c->backoff_initial;
	for (i = 2; i < p->backoff && delay < c->backoff_max; i++)
		delay *= 2;
	if (delay > c->backoff_max)
		delay = c->backoff_max;
	if (p->backoff == UINT16_MAX)
		p->backoff--;
	return delay - delay / 1000 * (arc4random() % 100);
}

enum restart_decision
restart_decide(struct process *p, uint64_t *delay)
{
	const struct job_config *c;

	c = p->job->config;
	*delay = 0;
	/* The retry has succeeded; a later trouble is another one. */
	if (p->ended_at - p->started >= c->limit_within)
		p->retries = 0;
	if (limit_reached(p)) {
		if (c->limit_retry_after == 0 || p->retries >= c->limit_retries)
			return RESTART_GIVE_UP;
		p->retries++;
		*delay = c->limit_retry_after;
		return RESTART_LATER;
	}
	*delay = backoff_delay(p);
	return *delay == 0 ? RESTART_NOW : RESTART_LATER;
}

void
restart_forget(struct process *p)
{
	p->backoff = 0;
	p->retries = 0;
	free(p->deaths);
	p->deaths = NULL;
}

void
restart_recall(struct process *p, const uint64_t *deaths, uint32_t n)
{
	uint32_t limit;

	limit = p->job->config->limit_count;
	if (limit == 0 || n == 0 || remember_deaths(p) == -1)
		return;
	if (n > limit) {
		deaths += n - limit;
		n = limit;
	}
	memcpy(p->deaths + (limit - n), deaths, n * sizeof(*deaths));
}

uint64_t
restart_left(const struct process *p)
{
	const struct job_config *c;
	uint64_t longest;
	uint64_t since;

	c = p->job->config;
	longest = c->backoff_max > c->limit_retry_after ? c->backoff_max :
							  c->limit_retry_after;
	since = now_mono();
	if (p->due <= since)
		return 0;
	return p->due - since < longest ? p->due - since : longest;
}
