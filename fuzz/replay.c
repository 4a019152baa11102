/*
 * Runs a fuzz target on files instead of under a fuzzer, where the compiler
 * has none, or for coverage: replay file|directory ...
 */
#include <sys/types.h>
#include <sys/stat.h>

#include <dirent.h>
#include <err.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static size_t inputs;

/* The block has the size of the file: sanitizers see reads beyond it. */
static void
replay_file(const char *path, int fd, size_t size)
{
	uint8_t *data;
	size_t got;
	ssize_t n;

	if ((data = malloc(size)) == NULL && size > 0)
		err(1, "%s", path);
	for (got = 0; got < size; got += (size_t)n) {
		if ((n = read(fd, data + got, size - got)) == -1)
			err(1, "%s", path);
		if (n == 0)
			errx(1, "%s: shorter than its size", path);
	}
	(void)LLVMFuzzerTestOneInput(data, size);
	free(data);
	inputs++;
}

static int
not_hidden(const struct dirent *entry)
{
	return entry->d_name[0] != '.';
}

/* A file, or all files in a directory by name; `at` as for openat(2). */
static void
replay(int at, const char *path)
{
	struct dirent **entries;
	struct stat st;
	int fd;

	if ((fd = openat(at, path, O_RDONLY | O_CLOEXEC)) == -1)
		err(1, "%s", path);
	if (fstat(fd, &st) == -1)
		err(1, "%s", path);
	if (S_ISDIR(st.st_mode)) {
		int i;
		int n;

		n = scandirat(fd, ".", &entries, not_hidden, alphasort);
		if (n == -1)
			err(1, "%s", path);
		for (i = 0; i < n; i++) {
			replay(fd, entries[i]->d_name);
			free(entries[i]);
		}
		free(entries);
	} else
		replay_file(path, fd, (size_t)st.st_size);
	(void)close(fd);
}

int
main(int argc, char *argv[])
{
	int i;

	if (argc < 2) {
		(void)fprintf(
		    stderr, "usage: %s file|directory ...\n", argv[0]);
		return 1;
	}
	for (i = 1; i < argc; i++)
		replay(AT_FDCWD, argv[i]);
	printf("%zu inputs\n", inputs);
	return inputs == 0;
}
