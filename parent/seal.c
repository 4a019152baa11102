#include <sys/stat.h>

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "../common/log.h"
#include "parent.h"

/*
 * The seal: a staged table is checked as a whole, its users are resolved,
 * its sockets bound, and it takes effect.  A reload is the same, done by a
 * second manager beside the first, which takes its place in the end.
 */

static struct child *sealing;
static struct {
	uint32_t id;
	int going;
} reload;

/* The slots' entries, in the other table's numbers. */
static void
renumber(const struct table *from, const struct table *to)
{
	struct slot *s;
	uint32_t i;

	for (s = slot_next(NULL); s != NULL; s = slot_next(s)) {
		i = table_same(from, s->entry, to);
		if (i == NO_ENTRY)
			orphan_make(s, from);
		s->entry = i;
	}
}

static void
refuse_text(
    uint32_t entry, enum stage stage, int error, const char *text, size_t len)
{
	struct wire *w;

	w = message();
	wire_put_u32(w, entry);
	wire_put_u8(w, (uint8_t)stage);
	wire_put_i32(w, error);
	wire_put_bytes(w, text, len);
	send_wire(sealing, IMSG_SEAL_REFUSED, 0, -1);
	sealing->phase = MANAGER_REFUSED;
}

static void
refuse(uint32_t entry, enum stage stage, int error)
{
	refuse_text(entry, stage, error, "", 0);
}

/* It stands. */
static void
sealed(void)
{
	if (sealing == parent.check) {
		/* What the one before has said last counts: that all go down,
		 * for example.  If it has gone, so has the reload. */
		if (parent.manager->channel != NULL)
			channel_poll(parent.manager->channel);
		if (!reload.going)
			return;
		parent.old = parent.table;
		renumber(parent.table, parent.staged);
		children_promote();
		snapshot_swap();
		reload.going = 0;
	}
	/* After a crash the sealed one stands, whatever else is staged. */
	if (sealing->birth != BIRTH_CRASH) {
		parent.table = parent.staged;
		parent.staged = NULL;
		logfile_seal(parent.table);
	}
	(void)message();
	send_wire(parent.manager, IMSG_SEALED, 0, -1);
	children_sealed(sealing->birth);
	parent_world();
}

static void
warn(void)
{
	struct wire *w;
	uint32_t i;

	for (i = 0; i < parent.staged->count; i++) {
		if (!(parent.staged->entries[i].flags & ENTRY_IS_EXPOSED))
			continue;
		w = message();
		wire_put_u32(w, i);
		wire_put_u8(w, STAGE_TLS_MODE);
		send_wire(sealing, IMSG_SEAL_WARNING, 0, -1);
	}
}

/* The last step: sockets and the log; under -n nothing is touched. */
static void
bind_sockets(void)
{
	uint32_t entry;
	int error;

	warn();
	if (options['n'] != NULL) {
		(void)message();
		send_wire(sealing, IMSG_SEALED, 0, -1);
		return;
	}
	error = logfile_check(parent.staged, parent.table, &entry);
	if (error != 0) {
		refuse(entry, STAGE_LOGFILE, error);
		return;
	}
	error = socket_bind_all(parent.staged, parent.table, &entry);
	if (error != 0)
		refuse(entry, STAGE_SOCKET, error);
	else
		sealed();
}

static void
tls_done(uint32_t bad, const char *text, size_t len)
{
	if (bad != NO_ENTRY)
		refuse_text(bad, STAGE_TLS, EINVAL, text, len);
	else
		bind_sockets();
}

static void
resolved(void)
{
	const struct cred *c;
	uint32_t entry;
	uint32_t i;
	int error;

	for (i = 1; i < parent.staged->ncreds; i++) {
		c = &parent.staged->creds[i];
		if (c->stage != STAGE_NONE) {
			refuse(c->entry, c->stage, c->error);
			return;
		}
	}
	error = tls_load(parent.staged, &entry);
	if (error != 0)
		refuse(entry, STAGE_TLS_FILE, error);
	else if (tls_wanted(parent.staged))
		tls_check(parent.staged, tls_done);
	else
		bind_sockets();
}

int
seal_begin(struct child *c, struct wire_reader *r)
{
	uint32_t bad;
	uint32_t count;
	uint32_t flags;
	uint32_t workers;

	count = wire_get_u32(r);
	flags = wire_get_u32(r);
	workers = wire_get_u32(r);
	if (wire_end(r) == -1 || workers > MAX_WORKERS ||
	    (flags & ~(uint32_t)(SEAL_VERIFIER | SEAL_RESOLVER)) != 0)
		return -1;
	sealing = c;
	if (c->birth == BIRTH_CRASH) {
		if (count != parent.table->count)
			return -1;
		sealed();
		return 0;
	}
	if (parent.staged == NULL)
		parent.staged = table_new();
	if (parent.staged == NULL || count != parent.staged->count ||
	    parent.staged->partial != NULL)
		return -1;
	parent.staged->flags = flags;
	parent.staged->workers = workers;
	c->phase = MANAGER_SEALING;
	if (table_links(parent.staged, &bad) == -1)
		refuse(bad, STAGE_ENTRY, EINVAL);
	else
		users_resolve(parent.staged, resolved);
	return 0;
}

int
seal_adopted(void)
{
	if (parent.old == NULL)
		return -1;
	socket_close_all(parent.old, parent.table);
	orphan_table(parent.old);
	table_free(parent.old);
	parent.old = NULL;
	snapshot_drop();
	signal_again();
	return 0;
}

void
seal_rollback(void)
{
	struct table *given_up;

	if (parent.old == NULL)
		return;
	log_warnx("the new configuration is given up");
	given_up = parent.table;
	renumber(given_up, parent.old);
	socket_close_all(given_up, parent.old);
	parent.table = parent.old;
	parent.old = NULL;
	children_rolled_back(given_up);
	orphan_table(given_up);
	table_free(given_up);
	snapshot_swap();
	snapshot_drop();
}

/* ---- reload ------------------------------------------------------------ */

int
reload_goes_on(void)
{
	return reload.going || parent.old != NULL;
}

int
reload_begin(uint32_t id)
{
	const char *text;
	struct stat st;
	int error;
	int failed;
	int memfd;
	int fd;

	if (reload_goes_on())
		return 0; /* one at a time; the answer comes */
	signal_done(SIGHUP);
	reload.id = id;
	reload.going = 1;
	error = 0;
	fd = config_open(instance.file, &st);
	if (fd == -1)
		error = errno;
	memfd = snapshot_make(fd, error, &st);
	failed = errno;
	if (fd != -1)
		(void)close(fd);
	if (memfd == -1) {
		text = strerrordesc_np(failed);
		reload_answer(2, text, strlen(text));
		return 0;
	}
	snapshot_set(1, memfd, error == 0 ? &st : NULL);
	parent.check->birth = BIRTH_CHECK;
	child_start(parent.check);
	return 0;
}

/* Whoever asked for it has gone, and its answer with it. */
void
reload_cancel(void)
{
	if (!reload.going)
		return;
	reload.going = 0;
	log_warnx("the reload is given up: its manager has gone");
	child_stop(parent.check);
	snapshot_drop();
}

void
reload_answer(int code, const char *text, size_t len)
{
	struct wire *w;

	if (!reload.going)
		return;
	reload.going = 0;
	child_stop(parent.check);
	snapshot_drop();
	w = message();
	wire_put_u8(w, (uint8_t)code);
	wire_put_bytes(w, text, len);
	send_wire(parent.manager, IMSG_RELOAD_DONE, reload.id, -1);
	signal_again();
}
