#include <sys/types.h>

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <bsd/string.h>
/* strvis(3) is the same in both; the header wants to be told. */
#define LIBBSD_OPENBSD_VIS
#include <bsd/vis.h>

#include "log.h"

#define LOG_TEXT 1024 /* bytes of a message before escaping */
#define LOG_RATE 20 /* messages a second */
#define LOG_BURST 100
#define NSEC 1000000000LL

static const char *log_program = "?";
static enum log_level log_least = LOG_LEVEL_INFO;
static log_sink_fn log_sink;
static int log_journal;
static int log_busy; /* a sink that logs must not come here again */

/*
 * Token bucket: what is there at the time `log_time`, in messages times
 * NSEC, and what has been dropped since it was empty.
 */
static long long log_tokens = LOG_BURST * NSEC;
static long long log_time; /* CLOCK_MONOTONIC, ns; 0: not yet known */
static unsigned long log_dropped;

void
log_init(const char *program, enum log_level least, log_sink_fn sink)
{
	log_program = program;
	log_least = least;
	log_sink = sink;
}

void
log_set_level(enum log_level least)
{
	log_least = least;
}

enum log_level
log_get_level(void)
{
	return log_least;
}

void
log_set_journal(int journal)
{
	log_journal = journal;
}

static void
log_stderr(enum log_level level, const char *text)
{
	static const char *const severity[] = {"<3>", "<4>", "<6>", "<7>"};
	char line[4 * LOG_TEXT + 128];
	size_t len;
	int named;
	int n;

	/* Once is enough. */
	named = strcmp(log_program, "musterd") != 0;
	n = snprintf(line, sizeof(line), "%smusterd: %s%s%s",
	    log_journal ? severity[level] : "", named ? log_program : "",
	    named ? ": " : "", text);
	if (n < 0)
		return;
	len = (size_t)n < sizeof(line) - 1 ? (size_t)n : sizeof(line) - 2;
	line[len++] = '\n';
	/* There is nobody to tell that standard error has gone. */
	if (write(STDERR_FILENO, line, len) == -1)
		return;
}

static void
log_emit(enum log_level level, const char *text)
{
	if (log_sink != NULL)
		log_sink(level, text);
	else
		log_stderr(level, text);
}

/* Takes a token; 0 if there is none. */
static int
log_admit(void)
{
	struct timespec ts;
	long long now;

	if (clock_gettime(CLOCK_MONOTONIC, &ts) == -1)
		return 1;
	now = ts.tv_sec * NSEC + ts.tv_nsec;
	/* Compared before it is multiplied: a long silence is a full one. */
	if (log_time == 0 || now - log_time > NSEC * LOG_BURST / LOG_RATE)
		log_tokens = LOG_BURST * NSEC;
	else
		log_tokens += (now - log_time) * LOG_RATE;
	log_time = now;
	if (log_tokens > LOG_BURST * NSEC)
		log_tokens = LOG_BURST * NSEC;
	if (log_tokens < NSEC) {
		log_dropped++;
		return 0;
	}
	log_tokens -= NSEC;
	return 1;
}

/*
 * Escapes and emits.  Backslashes are not doubled, so that text which has
 * been through here in another program stays as it is.
 */
static void
log_text(enum log_level level, const char *raw)
{
	char text[4 * LOG_TEXT + 1];

	if (log_dropped > 0) {
		(void)snprintf(text, sizeof(text),
		    "%lu messages were dropped before the next one",
		    log_dropped);
		log_dropped = 0;
		log_emit(LOG_LEVEL_WARNING, text);
	}
	(void)strvis(text, raw, VIS_CSTYLE | VIS_OCTAL | VIS_NL | VIS_NOSLASH);
	log_emit(level, text);
}

static void log_format(enum log_level, int, int, const char *, va_list)
    __attribute__((format(printf, 4, 0)));

/* `error` is appended as text unless it is 0. */
static void
log_format(
    enum log_level level, int limited, int error, const char *fmt, va_list ap)
{
	int saved;

	if (log_busy || level > log_least)
		return;
	saved = errno;
	log_busy = 1;
	if (!limited || log_admit()) {
		char raw[LOG_TEXT];

		if (vsnprintf(raw, sizeof(raw), fmt, ap) < 0)
			(void)strlcpy(raw, fmt, sizeof(raw));
		if (error != 0) {
			(void)strlcat(raw, ": ", sizeof(raw));
			/* NOLINTNEXTLINE(concurrency-mt-unsafe) no threads */
			(void)strlcat(raw, strerror(error), sizeof(raw));
		}
		log_text(level, raw);
	}
	log_busy = 0;
	errno = saved;
}

void
log_warn(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	log_format(LOG_LEVEL_WARNING, 1, errno, fmt, ap);
	va_end(ap);
}

void
log_warnx(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	log_format(LOG_LEVEL_WARNING, 1, 0, fmt, ap);
	va_end(ap);
}

void
log_errorx(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	log_format(LOG_LEVEL_ERROR, 1, 0, fmt, ap);
	va_end(ap);
}

void
log_info(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	log_format(LOG_LEVEL_INFO, 1, 0, fmt, ap);
	va_end(ap);
}

void
log_debug(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	log_format(LOG_LEVEL_DEBUG, 1, 0, fmt, ap);
	va_end(ap);
}

void
fatal(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	log_format(LOG_LEVEL_ERROR, 0, errno, fmt, ap);
	va_end(ap);
	_exit(1);
}

void
fatalx(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	log_format(LOG_LEVEL_ERROR, 0, 0, fmt, ap);
	va_end(ap);
	_exit(1);
}
