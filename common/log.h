#ifndef MUSTER_LOG_H
#define MUSTER_LOG_H

#include <stdint.h>

/*
 * Messages of the programs.  The parent and the guard write to standard
 * error; the other programs hand a message to the function that they set
 * (it goes to the manager by the parent's channel), because they have no
 * files.  Text is escaped (vis(3)) so that one message is one line, and
 * limited in rate: 20 a second with bursts of 100; what is dropped is
 * counted and told in the next line.
 */
enum log_level {
	LOG_LEVEL_ERROR = 0,
	LOG_LEVEL_WARNING = 1,
	LOG_LEVEL_INFO = 2,
	LOG_LEVEL_DEBUG = 3,
};

typedef void (*log_sink_fn)(enum log_level, const char *text);

/* program: a constant, e.g. "parent".  sink NULL: standard error. */
void log_init(const char *program, enum log_level least, log_sink_fn sink);
void log_set_level(enum log_level least);
/* Standard error is systemd's journal: "<4>" and so on stands in front. */
void log_set_journal(int);
enum log_level log_get_level(void);

/* The variants without x append ": strerror(errno)"; errno is kept. */
void log_warn(const char *, ...) __attribute__((format(printf, 1, 2)));
void log_warnx(const char *, ...) __attribute__((format(printf, 1, 2)));
void log_errorx(const char *, ...) __attribute__((format(printf, 1, 2)));
void log_info(const char *, ...) __attribute__((format(printf, 1, 2)));
void log_debug(const char *, ...) __attribute__((format(printf, 1, 2)));
/*
 * For start-up and programming errors only: message, then _exit(1).  Never
 * in the parent because of something a peer has sent.
 */
void fatal(const char *, ...) __attribute__((noreturn, format(printf, 1, 2)));
void fatalx(const char *, ...) __attribute__((noreturn, format(printf, 1, 2)));

#endif
