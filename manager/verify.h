#ifndef MUSTER_VERIFY_H
#define MUSTER_VERIFY_H

#include <event2/event_struct.h>

#include "manager.h"

/* A verification that goes on. */
struct verification {
	RB_ENTRY(verification) entry; /* while handle is not 0 */
	struct process *process;
	size_t index; /* of the verifier in the job's list */
	uint32_t handle; /* what is asked outside: check, probe or stat */
	uint32_t attempts;
	int remote; /* asked of the verifier program */
	/* A command that has failed: its last line belongs to the reason. */
	char failure[64];
	uint8_t telling; /* it has ended; its output is waited for */
	uint8_t drained; /* its output is complete */
	uint8_t gone; /* nothing is left: to be forgotten after that */
	uint64_t began; /* of the current verifier */
	uint64_t next_pause;
	struct event deadline;
	struct event pause; /* until the next attempt */
};

#endif
