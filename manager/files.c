#include <sys/mman.h>
#include <sys/stat.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <bsd/sys/queue.h>

#include "../common/imsg.h"
#include "../common/wire.h"
#include "files.h"
#include "manager.h"

struct file {
	STAILQ_ENTRY(file) entry;
	char *path;
	int come;
	int error;
	void *bytes;
	size_t len;
};

static STAILQ_HEAD(, file) files = STAILQ_HEAD_INITIALIZER(files);
static unsigned int count;
static unsigned int pending;

static struct file *
ask(const char *path)
{
	struct wire w;
	struct file *f;

	if (count >= MAX_INCLUDES) {
		errno = EMFILE;
		return NULL;
	}
	f = calloc(1, sizeof(*f));
	if (f == NULL || (f->path = strdup(path)) == NULL) {
		free(f);
		return NULL;
	}
	STAILQ_INSERT_TAIL(&files, f, entry);
	count++;
	pending++;
	wire_init(&w);
	wire_put_str(&w, path);
	(void)manager_send(IMSG_CFG_INCLUDE, 0, &w);
	wire_free(&w);
	return f;
}

int
files_get(void *arg, const char *path, const void **bytes, size_t *len)
{
	struct file *f;

	(void)arg;
	STAILQ_FOREACH (f, &files, entry)
		if (strcmp(f->path, path) == 0)
			break;
	if (f == NULL && (f = ask(path)) == NULL)
		return -1;
	if (!f->come) {
		errno = EAGAIN;
		return -1;
	}
	if (f->error != 0) {
		errno = f->error;
		return -1;
	}
	*bytes = f->bytes;
	*len = f->len;
	return 0;
}

static void
map_file(struct file *f, int fd)
{
	struct stat st;

	if (fstat(fd, &st) == -1) {
		f->error = errno;
		return;
	}
	if (st.st_size == 0) {
		f->bytes = (void *)"";
		return;
	}
	f->bytes = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_SHARED, fd, 0);
	if (f->bytes == MAP_FAILED) {
		f->bytes = NULL;
		f->error = errno;
		return;
	}
	f->len = (size_t)st.st_size;
}

int
files_answer(struct imsg *imsg)
{
	struct wire_reader r;
	struct file *f;
	int fd;

	message_read(&r, imsg);
	STAILQ_FOREACH (f, &files, entry)
		if (!f->come)
			break;
	if (f == NULL)
		return -1;
	f->error = wire_get_i32(&r);
	if (wire_end(&r) == -1)
		return -1;
	fd = imsg_get_fd(imsg);
	if (f->error == 0 && fd == -1)
		return -1;
	if (fd != -1) {
		map_file(f, fd);
		(void)close(fd);
	}
	f->come = 1;
	pending--;
	return 0;
}

unsigned int
files_pending(void)
{
	return pending;
}
