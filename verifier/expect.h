#ifndef MUSTER_VERIFIER_EXPECT_H
#define MUSTER_VERIFIER_EXPECT_H

#include <stddef.h>
#include <stdint.h>

#include "check_spec.h"

/*
 * Compares an answer, as it comes, with what a check wants.  The order is
 * status, fields, body; the first that does not fit is what is reported.
 */
struct expect {
	const struct check_spec *spec;
	char *tail; /* last bytes of the body: the text may begin in it */
	size_t tail_len;
	size_t body_len; /* bytes of body so far */
	uint64_t seen; /* bit n: spec->wanted[n] has come */
};

#define MAX_BODY ((size_t)MAX_CHECK_BODY)

enum expect_result {
	EXPECT_PASSED,
	EXPECT_FAILED,
	EXPECT_MORE, /* the body decides */
};

/* For a new answer; the struct may be used or zeroed. */
void expect_begin(struct expect *, const struct check_spec *);
void expect_end(struct expect *);
/* A field of the head; name and value without blanks around them. */
void expect_field(struct expect *, const char *name, size_t name_len,
    const char *value, size_t value_len);
/* The same with the whole line, as "Name: value\r\n". */
void expect_line(struct expect *, const char *line, size_t len);
/*
 * The head is complete.  Writes the report's text, unless the body decides.
 */
enum expect_result expect_head(
    struct expect *, unsigned int status, char *detail, size_t size);
/*
 * A piece of body: EXPECT_PASSED as soon as the text is there, EXPECT_FAILED
 * when it is not in the first MAX_CHECK_BODY bytes.
 */
enum expect_result expect_body(struct expect *, unsigned int status,
    const void *data, size_t len, char *detail, size_t size);
/* The answer has ended and the text was not found. */
void expect_missing(const struct expect *, char *detail, size_t size);
/*
 * Is this answer one to be followed?  A status that is expected by name is
 * an answer, not a redirect.
 */
int expect_redirect(const struct expect *, unsigned int status);

#endif
