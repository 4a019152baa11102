#ifndef MUSTER_VERIFIER_CHECK_SPEC_H
#define MUSTER_VERIFIER_CHECK_SPEC_H

#include <stddef.h>
#include <stdint.h>

#include "../common/check.h"
#include "../common/wire.h"

/*
 * A check as the manager asks for it (check.h).  Strings are owned, never
 * NULL and may be empty.
 */
struct status_range {
	uint16_t from;
	uint16_t to;
};

struct check_spec {
	enum check_kind kind;
	enum check_mode mode;
	int verbose;
	int fixed;
	int insecure;
	unsigned int redirects;
	uint64_t interval; /* ns, MIN_INTERVAL to MAX_INTERVAL */
	uint64_t timeout; /* ns, the same */
	uint32_t entry;
	uint16_t port;
	char *host;
	char *url;
	char *method; /* "GET" where none was said */
	char **fields; /* of the request, "Name: value" */
	unsigned int nfields;
	struct status_range *ranges; /* none: 200 to 299 */
	unsigned int nranges;
	char *body;
	char **wanted; /* of the answer, "Name" or "Name: value" */
	unsigned int nwanted;
	void *ca; /* NULL: the system's */
	size_t ca_len;
};

#define MIN_INTERVAL 1000000ULL /* 1 ms */
#define MAX_INTERVAL (7ULL * 86400 * 1000000000)

/*
 * Decodes the payload of IMSG_CHECK_START.  Returns 0, or -1 when it is
 * malformed or memory is out; nothing is to be freed then.  Intervals out
 * of range are moved into it.  What is well-formed but cannot be used (a
 * method with a blank in it) is accepted, see check_spec_problem().
 */
int check_spec_read(struct check_spec *, struct wire_reader *);
/* Frees the content; a zeroed struct is fine. */
void check_spec_clear(struct check_spec *);
/*
 * NULL, or why no attempt can be made: a field or method that would break
 * the request (RFC 9110 §5.5, §5.6.2).  Constant text.
 */
const char *check_spec_problem(const struct check_spec *);

#endif
