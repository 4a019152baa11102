/* libs: bsd */
/*
 * The process that is started, killed and stopped in measurements.
 *
 *	child REPORT NAME			idle
 *	child REPORT NAME GO LINES BLOCK	writes, then idle
 *	child -v NAME LINES FILE		is this file what NAME writes?
 *
 * REPORT is a FIFO: the first thing it does is to write "start NAME PID
 * NANOSECONDS" there, with its own reading of CLOCK_MONOTONIC, in one write
 * that is shorter than PIPE_BUF.  A writer waits until somebody opens the
 * FIFO GO for writing, puts LINES lines of 100 bytes on standard output,
 * BLOCK bytes at once, and reports "begin" and "end" as well.
 */
#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <bsd/stdlib.h>

#define LINE 100
#define MAX_BLOCK (1024UL * 1024)
#define LIFE 1800 /* seconds: it outlives no measurement by much */

static int report_fd;

static void
report(const char *what, const char *name)
{
	struct timespec now;
	char line[256];
	int n;

	(void)clock_gettime(CLOCK_MONOTONIC, &now);
	n = snprintf(line, sizeof(line), "%s %s %d %lld\n", what, name,
	    (int)getpid(),
	    (long long)now.tv_sec * 1000000000LL + (long long)now.tv_nsec);
	if (n < 0 || (size_t)n >= sizeof(line) ||
	    write(report_fd, line, (size_t)n) != n)
		err(1, "report");
}

/* Each line is another: a lost, doubled or displaced one shows. */
static void
make_line(char line[LINE], const char *name, uint64_t number)
{
	static const char text[] = "abcdefghijklmnopqrstuvwxyz0123456789"
				   "abcdefghijklmnopqrstuvwxyz0123456789"
				   "abcdefghijklmnopqrstuvwxyz0123456789";
	size_t len;
	int i;

	memcpy(line, text + number % 7, LINE - 1);
	line[LINE - 1] = '\n';
	len = strlen(name);
	memcpy(line, name, len < 16 ? len : 16);
	line[16] = ' ';
	for (i = 28; i > 16; i--) {
		line[i] = (char)('0' + number % 10);
		number /= 10;
	}
}

static uint64_t
number_of(const char *text, uint64_t max)
{
	const char *error;
	long long n;

	n = strtonum(text, 1, (long long)max, &error);
	if (error != NULL)
		errx(2, "%s: %s", text, error);
	return (uint64_t)n;
}

static void
write_all(const char *data, size_t len)
{
	ssize_t n;

	while (len > 0) {
		n = write(STDOUT_FILENO, data, len);
		if (n == -1 && errno != EINTR)
			err(1, "write");
		if (n > 0) {
			data += n;
			len -= (size_t)n;
		}
	}
}

static void
write_lines(const char *name, uint64_t lines, size_t block)
{
	char *buf;
	uint64_t i;
	size_t n;

	buf = malloc(block + LINE);
	if (buf == NULL)
		err(1, "malloc");
	n = 0;
	for (i = 0; i < lines; i++) {
		make_line(buf + n, name, i);
		n += LINE;
		if (n + LINE > block) {
			write_all(buf, n);
			n = 0;
		}
	}
	write_all(buf, n);
	free(buf);
}

static void
write_when_told(char **argv)
{
	int fd;

	fd = open(argv[2], O_RDONLY | O_CLOEXEC);
	if (fd == -1)
		err(1, "%s", argv[2]);
	(void)close(fd);
	report("begin", argv[1]);
	write_lines(argv[1], number_of(argv[3], UINT32_MAX),
	    number_of(argv[4], MAX_BLOCK));
	report("end", argv[1]);
}

/* Says at which line the file is another; 0 or 1 to exit with. */
static int
verify(const char *name, uint64_t lines, const char *path)
{
	char want[LINE];
	char got[LINE];
	uint64_t i;
	FILE *f;
	size_t n;

	f = fopen(path, "re");
	if (f == NULL)
		err(1, "%s", path);
	for (i = 0; i < lines; i++) {
		n = fread(got, 1, LINE, f);
		make_line(want, name, i);
		if (n != LINE || memcmp(want, got, LINE) != 0) {
			(void)printf("%s: line %llu of %llu: %s\n", path,
			    (unsigned long long)i, (unsigned long long)lines,
			    n < LINE ? "end of file" : "another");
			return 1;
		}
	}
	if (fgetc(f) != EOF) {
		(void)printf("%s: more than %llu lines\n", path,
		    (unsigned long long)lines);
		return 1;
	}
	(void)fclose(f);
	return 0;
}

int
main(int argc, char **argv)
{
	if (argc == 5 && strcmp(argv[1], "-v") == 0)
		return verify(argv[2], number_of(argv[3], UINT32_MAX), argv[4]);
	if (argc != 3 && argc != 6)
		errx(2,
		    "usage: child REPORT NAME [GO LINES BLOCK]\n"
		    "       child -v NAME LINES FILE");
	report_fd = open(argv[1], O_WRONLY | O_CLOEXEC);
	if (report_fd == -1)
		err(1, "%s", argv[1]);
	report("start", argv[2]);
	(void)alarm(LIFE);
	if (argc == 6)
		write_when_told(argv + 1);
	(void)close(report_fd);
	for (;;)
		(void)pause();
}
