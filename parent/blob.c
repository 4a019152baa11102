#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "parent.h"

/*
 * What the manager wants to find again after a crash, unread; and what the
 * kernel says about a process, unread as well.
 */

#define MAX_BLOB_BYTES (CHANNEL_QUEUE_LIMIT / 2) /* of all */

struct blob {
	RB_ENTRY(blob) entry;
	uint64_t key;
	uint32_t len;
	uint8_t data[];
};

static int
compare(const struct blob *a, const struct blob *b)
{
	return a->key < b->key ? -1 : a->key > b->key;
}

static RB_HEAD(blobs, blob) blobs = RB_INITIALIZER(&blobs);
RB_PROTOTYPE(blobs, blob, entry, compare)
RB_GENERATE(blobs, blob, entry, compare)

static size_t bytes;
static uint32_t count;

int
blob_set(struct wire_reader *r)
{
	struct blob *blob;
	struct blob key = {.key = 0};
	const void *data;
	size_t len;

	key.key = wire_get_u64(r);
	data = wire_get_bytes(r, MAX_BLOB_SIZE, &len);
	if (wire_end(r) == -1)
		return -1;
	blob = RB_FIND(blobs, &blobs, &key);
	if (blob != NULL && len > 0 && blob->len == len) {
		memcpy(blob->data, data, len);
		return 0;
	}
	if (blob != NULL) {
		RB_REMOVE(blobs, &blobs, blob);
		bytes -= blob->len;
		count--;
		free(blob);
	}
	if (len == 0)
		return 0;
	if (count == MAX_BLOBS || bytes + len > MAX_BLOB_BYTES)
		return -1;
	blob = malloc(sizeof(*blob) + len);
	if (blob == NULL)
		return -1;
	blob->key = key.key;
	blob->len = (uint32_t)len;
	memcpy(blob->data, data, len);
	bytes += len;
	count++;
	RB_INSERT(blobs, &blobs, blob);
	/* NOLINTNEXTLINE(clang-analyzer-unix.Malloc) it is in the tree */
	return 0;
}

void
blob_world(void)
{
	struct blob *blob;
	struct wire *w;

	RB_FOREACH (blob, blobs, &blobs) {
		w = message();
		wire_put_u64(w, blob->key);
		wire_put_bytes(w, blob->data, blob->len);
		send_wire(parent.manager, IMSG_WORLD_BLOB, 0, -1);
	}
}

/* ---- /proc ------------------------------------------------------------- */

static void
put_file(struct wire *w, pid_t pid, const char *name)
{
	char path[32];
	char buf[4096];
	ssize_t n;
	int fd;

	(void)snprintf(path, sizeof(path), "/proc/%d/%s", (int)pid, name);
	n = -1;
	fd = pid == 0 ? -1 : open(path, O_RDONLY | O_CLOEXEC);
	if (fd != -1) {
		n = read(fd, buf, sizeof(buf));
		(void)close(fd);
	}
	wire_put_bytes(w, buf, n < 0 ? 0 : (size_t)n);
}

static uint32_t
count_fds(pid_t pid)
{
	char path[32];
	uint32_t n;
	DIR *dir;

	(void)snprintf(path, sizeof(path), "/proc/%d/fd", (int)pid);
	dir = pid == 0 ? NULL : opendir(path);
	if (dir == NULL)
		return 0;
	/* NOLINTNEXTLINE(concurrency-mt-unsafe) there are no threads */
	for (n = 0; n < UINT16_MAX && readdir(dir) != NULL; n++)
		;
	(void)closedir(dir);
	return n < 2 ? 0 : n - 2; /* . and .. */
}

int
stats_answer(struct wire_reader *r)
{
	struct slot *s;
	struct wire *w;
	pid_t pid;

	s = slot_of_process(wire_get_u32(r));
	if (wire_end(r) == -1 || s == NULL)
		return -1;
	pid = s->flags & IS_LIVE ? s->pid : 0;
	w = message();
	wire_put_u32(w, s->process);
	put_file(w, pid, "stat");
	put_file(w, pid, "statm");
	wire_put_u32(w, count_fds(pid));
	send_wire(parent.manager, IMSG_PROC_STATS, 0, -1);
	return 0;
}
