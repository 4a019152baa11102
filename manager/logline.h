#ifndef MUSTER_LOGLINE_H
#define MUSTER_LOGLINE_H

#include <stddef.h>
#include <stdint.h>

#include "../common/log.h"

/* How musterd's own log lines look. */
enum log_format {
	LOG_TEXT = 0, /* [WARNING] program: text */
	LOG_LOGFMT, /* ts=… level=warning program=… msg="…" */
	LOG_JSON, /* {"ts": …, "level": …, "program": …, "msg": …} */
};

#define MAX_LOGLINE 4000 /* less than MAX_GUARD_MESSAGE of the parent */

/*
 * Composes one line with its end, of a message that can be anything: control
 * bytes, and all bytes above 127 if not all of them are UTF-8, are shown as
 * \ooo, line ends at the end are dropped, and what does not fit is cut.
 * `program` may be "".  `wall` is CLOCK_REALTIME in ns.  Returns its length,
 * 0 without memory.
 */
size_t logline(char buf[MAX_LOGLINE], enum log_format, int64_t wall,
    enum log_level, const char *program, const char *text);
/* What may stand in a line of `text`, as much as fits; likewise. */
void logline_clean(char *buf, size_t size, const char *text);
/* Who has changed something. */
struct audit {
	const char *who; /* "uid 0", "token ci" */
	const char *from; /* "unix:pid=7", "127.0.0.1:40112" */
	const char *what; /* "restart 3 (default.web)" */
	const char *result; /* "200", "404 process-not-found" */
};

/* The same of a change: `audit` is the message, with these as keys; as text
 * "[AUDIT] WHAT by WHO from FROM: RESULT". */
size_t logline_audit(
    char buf[MAX_LOGLINE], enum log_format, int64_t wall, const struct audit *);
/* syslog(3)'s number of a level. */
int logline_severity(enum log_level);

#endif
