#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <syslog.h>

#include <bsd/string.h>

#include "../common/log.h"
#include "../common/snapshot.h"
#include "../common/wire.h"
#include "logline.h"
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
console_flush(enum flush what)
{
	(void)manager_send(IMSG_CONSOLE_FLUSH, (uint32_t)what, NULL);
}

static int
to_syslog(void)
{
	return mgr.config != NULL && mgr.config->syslog;
}

static void
send_text(uint32_t type, const char *text, size_t len)
{
	struct wire w;

	wire_init(&w);
	wire_put_bytes(&w, text, len);
	(void)manager_send(type, 0, &w);
	wire_free(&w);
}

/* The log shares standard output with the texts. */
static int
to_console(void)
{
	return !to_syslog() &&
	    (mgr.config == NULL || mgr.config->logfile == NULL);
}

/* A line, with its end, goes where the log is. */
static void
deliver(int severity, int number, const char *line, size_t len)
{
	char text[MAX_LOGLINE + 32];
	int n;

	if (to_syslog()) {
		/* It has a clock of its own. */
		n = snprintf(text, sizeof(text), "<%d>musterd[%u]: %.*s",
		    LOG_DAEMON | severity, mgr.snapshot->pid, (int)len - 1,
		    line);
		send_text(IMSG_SYSLOG, text, (size_t)n);
	} else if (!to_console())
		send_text(IMSG_LOGFILE_WRITE, line, len);
	else if (mgr.snapshot->flags & SNAPSHOT_JOURNAL) {
		n = snprintf(
		    text, sizeof(text), "<%d>%.*s", severity, (int)len, line);
		console_bytes(number, text, (size_t)n);
	} else
		console_bytes(number, line, len);
}

static enum log_format
format(void)
{
	return mgr.config == NULL ? LOG_TEXT :
				    (enum log_format)mgr.config->log_format;
}

static void
log_line(enum log_level level, const char *program, const char *text)
{
	char line[MAX_LOGLINE];
	size_t len;

	len = logline(line, format(), now_wall(), level, program, text);
	if (len > 0)
		deliver(logline_severity(level), 1, line, len);
}

void
console_tell(enum log_level level, const char *fmt, ...)
{
	static const char marked[] = "[ERROR] ";
	char text[MAX_CONSOLE - 64];
	va_list ap;
	int n;

	va_start(ap, fmt);
	n = vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	if (n < 0)
		return;
	if (format() == LOG_TEXT && !to_syslog())
		console_bytes(1, text, strlen(text));
	else if (strncmp(text, marked, sizeof(marked) - 1) == 0)
		log_line(level, "", text + sizeof(marked) - 1);
	else
		log_line(level, "", text);
}

void
console_command(char *buf, size_t size, const struct process *p)
{
	const struct job_config *c = p->job->config;
	char line[MAX_LOGLINE];
	char text[MAX_LOGLINE];

	if (format() == LOG_TEXT || !to_console()) {
		if (snprintf(buf, size, "$ %s\n",
			config_command_line(c, p->instance)) >= (int)size)
			(void)snprintf(buf + size - 5, 5, "...\n");
		return;
	}
	(void)snprintf(text, sizeof(text), "%s: starting %s", c->name,
	    config_command_line(c, p->instance));
	(void)logline(line, format(), now_wall(), LOG_LEVEL_INFO, "", text);
	(void)snprintf(buf, size, "%s%s",
	    mgr.snapshot->flags & SNAPSHOT_JOURNAL ? "<6>" : "", line);
}

void
console_log(int level, const char *program, const char *text)
{
	if (level < LOG_LEVEL_ERROR || level > LOG_LEVEL_DEBUG ||
	    (level >= LOG_LEVEL_INFO &&
		(int)mgr.snapshot->verbosity < level - 1))
		return;
	log_line((enum log_level)level, program, text);
}

void
console_note(const char *text)
{
	log_line(LOG_LEVEL_INFO, "", text);
}

/* Not on standard output: that is as pymanager's. */
void
console_audit(const struct audit *a)
{
	char line[MAX_LOGLINE];
	size_t len;

	len = logline_audit(line, format(), now_wall(), a);
	if (len > 0)
		deliver(LOG_NOTICE, 2, line, len);
}
