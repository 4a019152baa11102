/* sources: verifier/http_client.c verifier/expect.c verifier/text.c */
/* libs: bsd */
/* covers: verifier/http_client.c */
/*
 * Answers of HTTP servers.  The first byte says how the rest is cut into
 * pieces; whatever the pieces, the outcome must be the same.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "../verifier/expect.h"
#include "../verifier/http_client.h"
#include "../verifier/verifier.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct outcome {
	struct expect expect;
	uint64_t bytes;
	uint64_t sum;
	unsigned int fields;
	unsigned int heads;
	unsigned int status;
	int found;
};

static void
check(int condition)
{
	if (!condition)
		abort();
}

static int
field(void *arg, const char *name, size_t name_len, const char *value,
    size_t value_len)
{
	struct outcome *o = arg;

	check(name_len > 0 && memchr(name, ':', name_len) == NULL);
	check(memchr(value, '\n', value_len) == NULL);
	check(memchr(value, '\0', value_len) == NULL);
	expect_field(&o->expect, name, name_len, value, value_len);
	o->fields++;
	return 0;
}

static int
head(void *arg, unsigned int status)
{
	struct outcome *o = arg;

	check(status >= 200 && status <= 999);
	check(++o->heads == 1);
	o->status = status;
	return 0;
}

static int
body(void *arg, const void *data, size_t len)
{
	char detail[DETAIL_SIZE];
	struct outcome *o = arg;
	const uint8_t *bytes = data;
	size_t i;

	check(o->heads == 1 && len > 0);
	for (i = 0; i < len; i++)
		o->sum = o->sum * 31 + bytes[i];
	o->bytes += len;
	if (!o->found && o->expect.body_len < MAX_BODY)
		o->found = expect_body(&o->expect, o->status, data, len, detail,
			       sizeof(detail)) == EXPECT_PASSED;
	return 0;
}

static const struct http_events events = {field, head, body};

static void
run(const uint8_t *data, size_t size, size_t step, struct http_answer *a,
    struct outcome *o)
{
	static char wanted_name[] = "Server";
	static char wanted_text[] = "ok";
	static char *wanted[] = {wanted_name};
	static struct check_spec spec;
	size_t n;

	spec.body = wanted_text;
	spec.wanted = wanted;
	spec.nwanted = 1;
	(void)memset(o, 0, sizeof(*o));
	expect_begin(&o->expect, &spec);
	http_answer_init(a, 0, &events, o);
	for (; size > 0; data += n, size -= n) {
		n = size < step ? size : step;
		if (http_answer_read(a, data, n) == -1)
			break;
	}
	(void)http_answer_end(a);
	check(a->state == HTTP_COMPLETE || a->state == HTTP_BROKEN);
	check((a->state == HTTP_BROKEN) == (a->problem != NULL));
	expect_end(&o->expect);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct http_answer answer[2];
	struct outcome outcome[2];

	if (size == 0)
		return 0;
	run(data + 1, size - 1, size, &answer[0], &outcome[0]);
	run(data + 1, size - 1, 1 + data[0] % 16, &answer[1], &outcome[1]);
	check(answer[0].state == answer[1].state);
	check(outcome[0].fields == outcome[1].fields);
	check(outcome[0].status == outcome[1].status);
	check(outcome[0].bytes == outcome[1].bytes);
	check(outcome[0].sum == outcome[1].sum);
	check(outcome[0].found == outcome[1].found);
	return 0;
}
