/* sources: httpd/replica.c httpd/table.c httpd/words.c httpd/principal.c
 * httpd/json.c common/imsg.c common/imsg_buffer.c common/wire.c */
/* libs: bsd jansson */
/* covers: httpd/replica.c httpd/words.c */
/*
 * The feed as a hostile manager could send it, and what httpd reads of it
 * afterwards.  Input: records of u8 type (from IMSG_FEED_BEGIN on), u16
 * length, payload.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "../common/imsg.h"
#include "../common/wire.h"
#include "../httpd/httpd.h"
#include "../httpd/table.h"
#include "../httpd/words.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* What the replica needs of the rest. */
struct channel *manager_channel;

void
rights_renew(void)
{
}

void
listen_start(void)
{
}

void
api_v1_ready_changed(void)
{
}

void
stream_shutdown(void)
{
}

void
room_release(void)
{
}

int64_t
now_ms(void)
{
	return 0;
}

void
room_account(size_t before, size_t after)
{
	(void)before;
	(void)after;
}

void
channel_poll(struct channel *c)
{
	(void)c;
}

void
message_read(struct wire_reader *r, struct imsg *imsg)
{
	struct ibuf payload;

	if (imsg_get_ibuf(imsg, &payload) == -1)
		wire_read(r, NULL, 0);
	else
		wire_read(r, ibuf_data(&payload), ibuf_size(&payload));
}

static void
check(int condition)
{
	if (!condition)
		abort();
}

static int
say(uint32_t type, const void *data, size_t len)
{
	struct imsg imsg;
	int n;

	memset(&imsg, 0, sizeof(imsg));
	imsg.hdr.type = type;
	imsg.hdr.len = (uint32_t)(len + IMSG_HEADER_SIZE);
	imsg.buf = ibuf_open(len);
	check(imsg.buf != NULL && ibuf_add(imsg.buf, data, len) == 0);
	n = replica_message(&imsg);
	imsg_free(&imsg);
	return n;
}

/* All that was accepted can be read, in order, and by its id. */
static void
look(void)
{
	struct replica_process p;
	struct replica_process q;
	struct json j;
	uint32_t last;
	size_t cursor;
	size_t n;

	memset(&j, 0, sizeof(j));
	json_begin(&j);
	cursor = 0;
	last = 0;
	for (n = 0; replica_next(NULL, &cursor, &p); n++) {
		check(p.id > last && p.state < STATE_COUNT);
		check(replica_find(p.id, &q) == 0 && q.id == p.id);
		last = p.id;
		replica_command(&p, &j);
		json_string(&j, p.job, p.job_len);
	}
	check(n == replica_count() && replica_find(0, &p) == -1);
	(void)replica_is_behind();
	check(!replica.complete ||
	    (replica.directory != NULL && replica.user != NULL &&
		replica.hosts != NULL && replica.origins != NULL &&
		replica.missing != NULL && memchr(replica.status, 0, 32)));
	json_free(&j);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const uint64_t sequence = 1;
	struct table *held = NULL; /* as who writes a long list does */
	uint16_t len;

	for (; size >= 3; data += 3 + len, size -= 3 + len) {
		memcpy(&len, data + 1, sizeof(len));
		if (len > size - 3)
			len = (uint16_t)(size - 3);
		/* After rubbish the channel would be lost. */
		if (say(IMSG_FEED_BEGIN + data[0] % 8, data + 3, len) == -1)
			break;
		look();
		if (held == NULL && replica_count() > 0)
			held = replica_hold();
	}
	look();
	table_free(held);
	/* An empty snapshot for the next input. */
	check(say(IMSG_FEED_BEGIN, &sequence, sizeof(sequence)) == 0);
	if (replica.directory != NULL && replica.missing != NULL) {
		check(
		    say(IMSG_FEED_SEQUENCE, &sequence, sizeof(sequence)) == 0);
		check(replica_count() == 0 && words_texts() == 0);
	}
	return 0;
}
