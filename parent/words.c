#include <sys/stat.h>

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "parent.h"

/*
 * The words, the environment and the paths to try of a new process, in one
 * piece of memory that lasts until its exec.
 */

#define DEFAULT_PATH "/usr/local/bin:/usr/bin:/bin"

struct arena {
	char *next;
	char *end;
	const struct slot *slot;
	const struct spec *spec;
	int report;
};

static void
put(struct arena *a, const char *text, size_t len)
{
	if (len > (size_t)(a->end - a->next))
		len = (size_t)(a->end - a->next);
	memcpy(a->next, text, len);
	a->next += len;
}

/* What is known only now. */
static void
put_segment(struct arena *a, uint8_t kind, const char *text, size_t len)
{
	const struct entry *e;
	const struct slot *about;
	struct wire_reader r;
	char buf[256];
	uint32_t i;

	buf[0] = '\0';
	e = NULL;
	if (kind >= SEGMENT_SOCKET_FILENO && kind <= SEGMENT_SOCKET_PATH)
		e = table_socket(parent.table, text, len);
	switch (kind) {
	case SEGMENT_TEXT:
		put(a, text, len);
		return;
	case SEGMENT_NAME:
		put(a, a->spec->name.text, a->spec->name.len);
		return;
	case SEGMENT_INSTANCE:
		(void)snprintf(buf, sizeof(buf), "%u", a->slot->instance);
		break;
	case SEGMENT_SOCKET_FILENO:
		r = a->spec->sockets;
		for (i = wire_get_u32(&r); i > 0 && e != NULL; i--)
			if (table_entry(parent.table, wire_get_u32(&r),
				ENTRY_SOCKET) == e)
				break;
		r = a->spec->sockets;
		(void)snprintf(
		    buf, sizeof(buf), "%u", 3 + wire_get_u32(&r) - i);
		break;
	case SEGMENT_SOCKET_PORT:
		(void)snprintf(buf, sizeof(buf), "%d", e == NULL ? 0 : e->port);
		break;
	case SEGMENT_SOCKET_PATH:
		if (e != NULL)
			socket_path(e, buf, sizeof(buf));
		break;
	case SEGMENT_PID_OF:
		about = slot_of_process(a->slot->about);
		(void)snprintf(
		    buf, sizeof(buf), "%d", about == NULL ? 0 : about->pid);
		break;
	default:
		(void)snprintf(buf, sizeof(buf), "%d", a->report);
		break;
	}
	put(a, buf, strlen(buf));
}

static void
put_words(struct arena *a, struct wire_reader r, char **list)
{
	const char *text;
	uint32_t i;
	uint32_t n;
	size_t len;
	uint8_t kind;

	for (i = wire_get_u32(&r); i > 0; i--) {
		*list++ = a->next;
		for (n = wire_get_u32(&r); n > 0; n--) {
			kind = wire_get_u8(&r);
			text = wire_get_bytes(&r, MAX_STRING, &len);
			put_segment(a, kind, text, len);
		}
		put(a, "", 1);
	}
}

/* Does the list have a variable of this name? */
static int
has_variable(char *const *list, size_t n, const char *variable)
{
	size_t len;

	len = strcspn(variable, "=") + 1;
	for (; n > 0; n--, list++)
		if (strncmp(*list, variable, len) == 0)
			return 1;
	return 0;
}

/* Ours, not for whom we start. */
static int
is_private(const char *variable)
{
	static const char *const names[] = {"NOTIFY_SOCKET=", "WATCHDOG_",
	    "LISTEN_PID=", "LISTEN_FDS=", "LISTEN_FDNAMES=", "MUSTER_PROCESS="};
	size_t i;

	for (i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		if (strncmp(variable, names[i], strlen(names[i])) == 0)
			return 1;
	return 0;
}

/* LISTEN_FDS and so on, sd_listen_fds(3); the number of variables. */
static size_t
put_sockets(struct arena *a, struct plan *p, char **list)
{
	const struct entry *e;
	struct wire_reader r;
	struct wire_reader name;
	const char *text;
	uint32_t i;
	uint32_t n;
	size_t len;

	r = a->spec->sockets;
	n = wire_get_u32(&r);
	if (n == 0)
		return 0;
	list[0] = a->next;
	a->next +=
	    snprintf(a->next, (size_t)(a->end - a->next), "LISTEN_FDS=%u", n);
	put(a, "", 1);
	list[1] = a->next;
	put(a, "LISTEN_PID=", 11);
	p->own_pid = a->next;
	put(a, "0000000000", 11); /* the new process knows it */
	list[2] = a->next;
	put(a, "LISTEN_FDNAMES=", 15);
	for (i = 0; i < n; i++) {
		e = &parent.table->entries[wire_get_u32(&r)];
		wire_read(&name, e->data, e->len);
		text = wire_get_bytes(&name, MAX_NAME, &len);
		if (i > 0)
			put(a, ":", 1);
		put(a, text, len);
	}
	put(a, "", 1);
	return 3;
}

static void
put_environment(struct arena *a, struct plan *p)
{
	char **list;
	size_t given;
	size_t i;
	size_t n;

	list = p->envp;
	/* The mark comes first, where it is looked for. */
	list[0] = a->next;
	a->next += snprintf(a->next, (size_t)(a->end - a->next),
	    "MUSTER_PROCESS=%s-%u", instance.boot, a->slot->process);
	put(a, "", 1);
	n = 1 + put_sockets(a, p, list + 1);
	put_words(a, a->spec->environment, list + n);
	given = n + a->spec->nenvironment;
	n = given;
	if (!(a->spec->flags & SPEC_CLEAR_ENV))
		for (i = 0; environ[i] != NULL; i++)
			if (!is_private(environ[i]) &&
			    !has_variable(list, given, environ[i]))
				list[n++] = environ[i];
	list[n] = NULL;
}

static char *
put_path(struct arena *a, const char *dir, size_t len, const char *program)
{
	char *path;

	path = a->next;
	put(a, dir, len);
	if (len > 0)
		put(a, "/", 1);
	put(a, program, strlen(program) + 1);
	return path;
}

static const char *
search_path(char *const *envp)
{
	for (; *envp != NULL; envp++)
		if (strncmp(*envp, "PATH=", 5) == 0)
			return *envp + 5;
	return DEFAULT_PATH;
}

static void
put_candidates(struct arena *a, struct plan *p, const char *path)
{
	const char *program;
	char **c;
	size_t len;

	c = p->candidates;
	program = p->argv[0];
	if (program[0] == '/')
		*c++ = p->argv[0];
	else if (strchr(program, '/') != NULL) {
		*c++ = put_path(a, a->spec->directory.text,
		    a->spec->directory.len, program);
		*c++ = put_path(
		    a, a->spec->launch.text, a->spec->launch.len, program);
	} else
		for (;; path += len + 1) {
			len = strcspn(path, ":");
			*c++ = put_path(a, path, len, program);
			if (path[len] == '\0')
				break;
		}
	*c = NULL;
}

void *
words_make(struct plan *p, const struct spec *s, const struct slot *slot,
    const gid_t *groups, int report)
{
	struct arena a;
	const char *path;
	size_t pointers;
	size_t program;
	size_t room;
	size_t n;
	char **memory;

	for (n = 0; environ[n] != NULL; n++)
		;
	pointers = (size_t)s->nwords + s->nenvironment + n + 16 + p->ngroups;
	room = s->room + s->directory.len + 512 +
	    (size_t)MAX_PASSED_SOCKETS * (MAX_NAME + 1);
	memory = malloc(pointers * sizeof(char *) + room);
	if (memory == NULL)
		return NULL;
	p->argv = memory + 1;
	p->envp = p->argv + s->nwords + 1;
	/* A table may go while the process is on its way. */
	p->groups = (gid_t *)(memory + pointers) - p->ngroups;
	if (p->ngroups > 0)
		memcpy(p->groups, groups, p->ngroups * sizeof(gid_t));
	a.next = (char *)(memory + pointers);
	a.end = a.next + room;
	a.slot = slot;
	a.spec = s;
	a.report = report;
	put_words(&a, s->words, p->argv);
	p->argv[s->nwords] = NULL;
	put_environment(&a, p);
	p->directory = a.next;
	put(&a, s->directory.text, s->directory.len);
	put(&a, "", 1);
	/* What to try depends on PATH, which is known only now. */
	path = search_path(p->envp);
	program = strlen(p->argv[0]) + 2;
	for (n = 3, room = 0; path[room] != '\0'; room++)
		n += path[room] == ':';
	room += n * (program + s->directory.len + s->launch.len);
	p->candidates = malloc((n + 1) * sizeof(char *) + room);
	if (p->candidates == NULL) {
		free(memory);
		return NULL;
	}
	a.next = (char *)(p->candidates + n + 1);
	a.end = a.next + room;
	put_candidates(&a, p, path);
	return memory;
}
