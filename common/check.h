#ifndef MUSTER_CHECK_H
#define MUSTER_CHECK_H

/*
 * IMSG_CHECK_START (manager → verifier):
 *	u8 kind (enum check_kind)
 *	u8 mode (CHECK_ONCE_PASSED: attempts until one passes)
 *	u8 verbose (send CHECK_TRYING before each attempt)
 *	u8 fixed (attempts start `interval` apart from the first; else the
 *	   first pauses are 5 ms, doubling up to `interval`)
 *	u64 interval ns, u64 attempt timeout ns
 *	u32 entry		ENTRY_UNIX for CHECK_UNIX, CHECK_HTTP_UNIX
 *	str host, u16 port	for CHECK_TCP (host: a name or an address)
 *	str url			for CHECK_HTTP; for CHECK_HTTP_UNIX the path
 *				and query; at most 8 KiB
 *	str method		"" = GET
 *	u32 n, n * str		header fields "Name: value"
 *	u32 n, n * { u16 from, u16 to }	statuses that pass; none = 200-299
 *	str body		text that the body must contain ("" any)
 *	u32 n, n * str		header fields that the answer must have
 *				("Name" or "Name: value")
 *	u8 redirects		followed at most
 *	u8 insecure		certificate not checked
 *	bytes ca		PEM bundle ("" = the system's)
 *
 * The manager owns the total timeout and ends a check with CHECK_STOP; the
 * verifier only makes attempts, until one passes or it is told to stop.
 */
enum check_kind {
	CHECK_HTTP = 1,
	CHECK_TCP = 2,
	CHECK_UNIX = 3,
	CHECK_HTTP_UNIX = 4,
};

enum check_mode {
	CHECK_UNTIL_PASSED = 0, /* at start */
	CHECK_FOR_EVER = 1, /* every `interval`, passed or not */
};

#define MAX_CHECKS 16384
#define MAX_URL 8192
#define MAX_CHECK_FIELDS 64
#define MAX_CHECK_BODY (64UL * 1024) /* bytes of an answer that are read */

#endif
