#include <sys/mman.h>
#include <sys/stat.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "../common/message.h"
#include "../common/snapshot.h"
#include "../common/spec.h"
#include "../common/wire.h"
#include "snapshot.h"

#define MAX_ENVIRONMENT 65536 /* variables */

static char **
read_list(struct wire_reader *r, size_t *count)
{
	char **list;
	uint32_t i;
	uint32_t n;

	n = wire_get_count(r, MAX_ENVIRONMENT, 4);
	list = calloc((size_t)n + 1, sizeof(*list));
	if (list == NULL) {
		r->failed = 1;
		return NULL;
	}
	for (i = 0; i < n; i++) {
		list[i] = wire_get_strdup(r, MAX_STRING * 16);
		if (list[i] == NULL)
			break;
	}
	*count = i;
	return list;
}

static void
decode(struct snapshot *s, struct wire_reader *r)
{
	if (wire_get_u32(r) != SNAPSHOT_VERSION)
		r->failed = 1;
	s->flags = wire_get_u32(r);
	s->verbosity = wire_get_u8(r);
	wire_get_string(r, s->boot, sizeof(s->boot));
	s->started_wall = wire_get_u64(r);
	s->started = wire_get_u64(r);
	s->uid = wire_get_u32(r);
	s->gid = wire_get_u32(r);
	s->pid = wire_get_u32(r);
	s->user = wire_get_strdup(r, MAX_STRING);
	s->home = wire_get_strdup(r, MAX_STRING);
	s->directory = wire_get_strdup(r, MAX_STRING);
	s->libexec = wire_get_strdup(r, MAX_STRING);
	s->socket = wire_get_strdup(r, MAX_STRING);
	s->logfile = wire_get_strdup(r, MAX_STRING);
	s->columns = wire_get_u8(r);
	s->colour = wire_get_u8(r);
	s->command = read_list(r, &s->ncommand);
	s->environment = read_list(r, &s->nenvironment);
	s->path = wire_get_strdup(r, MAX_STRING);
	s->error = wire_get_i32(r);
	s->mode = wire_get_u32(r);
	s->owner = wire_get_u32(r);
	s->bytes = wire_get_bytes(r, MAX_FILE_SIZE, &s->len);
}

struct snapshot *
snapshot_open(int fd)
{
	struct wire_reader r;
	struct snapshot *s;
	struct stat st;

	s = calloc(1, sizeof(*s));
	if (s == NULL || fstat(fd, &st) == -1 || st.st_size <= 0)
		goto fail;
	s->map_len = (size_t)st.st_size;
	s->map = mmap(NULL, s->map_len, PROT_READ, MAP_SHARED, fd, 0);
	if (s->map == MAP_FAILED) {
		s->map = NULL;
		goto fail;
	}
	(void)close(fd);
	wire_read(&r, s->map, s->map_len);
	decode(s, &r);
	if (wire_end(&r) == -1) {
		snapshot_free(s);
		errno = EINVAL;
		return NULL;
	}
	return s;

fail:
	(void)close(fd);
	free(s);
	if (errno == 0)
		errno = EINVAL;
	return NULL;
}

static void
free_list(char **list, size_t count)
{
	size_t i;

	for (i = 0; i < count; i++)
		free(list[i]);
	free(list);
}

void
snapshot_release(struct snapshot *s)
{
	free_list(s->environment, s->nenvironment);
	s->environment = NULL;
	s->nenvironment = 0;
	if (s->map != NULL)
		(void)munmap(s->map, s->map_len);
	s->map = NULL;
	s->bytes = NULL;
	s->len = 0;
}

void
snapshot_free(struct snapshot *s)
{
	if (s == NULL)
		return;
	snapshot_release(s);
	free_list(s->command, s->ncommand);
	free(s->user);
	free(s->home);
	free(s->directory);
	free(s->libexec);
	free(s->socket);
	free(s->logfile);
	free(s->path);
	free(s);
}

const char *
snapshot_getenv(const struct snapshot *s, const char *name)
{
	size_t i;
	size_t len;

	len = strlen(name);
	for (i = 0; i < s->nenvironment; i++)
		if (strncmp(s->environment[i], name, len) == 0 &&
		    s->environment[i][len] == '=')
			return s->environment[i] + len + 1;
	return NULL;
}
