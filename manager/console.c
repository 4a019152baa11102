#include <stdarg.h>
#include <stdio.h>
#include <string.h>

/* strvis(3) is the same in both; the header wants to be told. */
#define LIBBSD_OPENBSD_VIS
#include <bsd/string.h>
#include <bsd/vis.h>

#include "../common/log.h"
#include "../common/snapshot.h"
#include "../common/wire.h"
#include "manager.h"

/*
 * What musterd says on its own output: pymanager's texts, and log lines.
 * All of it passes the parent to the relay, so that it stands in order with
 * the output of the processes.
 */

void
console_bytes(int number, const void *data, size_t len)
{
	struct wire w;

	/* The command of -x has the standard output to itself. */
	if (mgr.snapshot->flags & SNAPSHOT_RUNNER)
		number = 2;
	wire_init(&w);
	wire_put_u8(&w, (uint8_t)number);
	wire_put_bytes(&w, data, len);
	(void)manager_send(IMSG_CONSOLE_WRITE, 0, &w);
	wire_free(&w);
}

void
console_print(int number, const char *fmt, ...)
{
	char buf[MAX_CONSOLE - 64];
	va_list ap;
	int n;

	va_start(ap, fmt);
	n = vsnprintf(buf, sizeof(buf), fmt, ap);
	va_end(ap);
	if (n < 0)
		return;
	if ((size_t)n >= sizeof(buf))
		n = (int)sizeof(buf) - 1;
	console_bytes(number, buf, (size_t)n);
}

void
console_flush(enum flush what)
{
	(void)manager_send(IMSG_CONSOLE_FLUSH, (uint32_t)what, NULL);
}

static void
log_line(int number, const char *line)
{
	struct wire w;

	if (mgr.config == NULL || mgr.config->logfile == NULL) {
		console_bytes((uint8_t)number, line, strlen(line));
		return;
	}
	wire_init(&w);
	wire_put_str(&w, line);
	(void)manager_send(IMSG_LOGFILE_WRITE, 0, &w);
	wire_free(&w);
}

/* Not on standard output: that is as pymanager's. */
void
console_audit(const char *text)
{
	char some[800];
	char safe[sizeof(some) * 4 + 1];
	char line[sizeof(safe) + 16];

	(void)strlcpy(some, text, sizeof(some));
	(void)strvis(safe, some, VIS_CSTYLE | VIS_OCTAL | VIS_NL | VIS_NOSLASH);
	(void)snprintf(line, sizeof(line), "[AUDIT] %s\n", safe);
	log_line(2, line);
}

void
console_log(int level, const char *program, const char *text)
{
	static const char *const words[] = {
	    "ERROR", "WARNING", "INFO", "DEBUG"};
	char line[2048];
	int n;

	if (level < LOG_LEVEL_ERROR || level > LOG_LEVEL_DEBUG ||
	    (level >= LOG_LEVEL_INFO &&
		(int)mgr.snapshot->verbosity < level - 1))
		return;
	n = snprintf(line, sizeof(line), "[%s] %s%s%s\n", words[level], program,
	    program[0] == '\0' ? "" : ": ", text);
	if (n >= (int)sizeof(line))
		line[sizeof(line) - 2] = '\n';
	log_line(1, line);
}
