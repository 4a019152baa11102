/* sources: verifier/check_spec.c common/wire.c */
/* libs: bsd */
/* covers: verifier/check_spec.c */
/*
 * IMSG_CHECK_START as a hostile manager could send it.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "../verifier/check_spec.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
check(int condition)
{
	if (!condition)
		abort();
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct check_spec spec;
	struct wire_reader r;
	unsigned int i;

	wire_read(&r, data, size);
	if (check_spec_read(&spec, &r) == -1)
		return 0;
	check(spec.interval >= MIN_INTERVAL && spec.interval <= MAX_INTERVAL);
	check(spec.timeout >= MIN_INTERVAL && spec.timeout <= MAX_INTERVAL);
	check(strlen(spec.url) <= MAX_URL && spec.method[0] != '\0');
	check(strlen(spec.host) <= size && strlen(spec.body) <= size);
	check(spec.nfields <= MAX_CHECK_FIELDS);
	check(spec.nwanted <= MAX_CHECK_FIELDS);
	for (i = 0; i < spec.nfields; i++)
		check(strlen(spec.fields[i]) <= MAX_URL);
	for (i = 0; i < spec.nranges; i++)
		check(spec.ranges[i].from <= spec.ranges[i].to);
	check((spec.ca == NULL) == (spec.ca_len == 0));
	if (check_spec_problem(&spec) == NULL)
		for (i = 0; i < spec.nfields; i++)
			check(strpbrk(spec.fields[i], "\r\n") == NULL ||
			    spec.kind == CHECK_TCP || spec.kind == CHECK_UNIX);
	check_spec_clear(&spec);
	return 0;
}
