/* sources: common/imsg.c common/imsg_buffer.c regress/imsg/fixture.c */
/* libs: cmocka */
#include <sys/types.h>
#include <sys/resource.h>

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "fixture.h"

/* Bursts of five messages in which the bits of `with` carry descriptors. */
static void
test_fd_in_burst(void **unused)
{
	struct imsg imsg;
	ino_t ino[5];
	uint32_t i;
	uint32_t with;
	int fd;

	(void)unused;
	for (with = 0; with < 32; with++) {
		for (i = 0; i < 5; i++) {
			fd = (with & 1U << i) != 0 ? new_fd(&ino[i]) : -1;
			assert_int_equal(
			    imsg_compose(&a, i, with, 0, fd, "payload", i), 1);
		}
		assert_int_equal(imsgbuf_write(&a), 0);
		assert_int_equal(imsgbuf_queuelen(&a), 0);
		for (i = 0; i < 5; i++) {
			next_one(&imsg);
			assert_int_equal(imsg_get_type(&imsg), i);
			assert_int_equal(imsg_get_id(&imsg), with);
			assert_int_equal(imsg_get_len(&imsg), i);
			fd = imsg_get_fd(&imsg);
			if ((with & 1U << i) != 0)
				assert_fd_is(fd, ino[i]);
			else
				assert_int_equal(fd, -1);
			assert_int_equal(imsg_get_fd(&imsg), -1);
			imsg_free(&imsg);
		}
		get_none();
	}
}

/*
 * Long messages with descriptors fill the socket: they are cut by the
 * kernel and by us at many places.
 */
static void
test_fd_in_full_socket(void **unused)
{
	static char payload[60000];
	struct imsg imsg;
	ino_t ino[12];
	uint32_t got;
	uint32_t i;

	(void)unused;
	assert_int_equal(imsgbuf_set_maxsize(&a, sizeof(payload)), 0);
	assert_int_equal(imsgbuf_set_maxsize(&b, sizeof(payload)), 0);
	for (i = 0; i < 24; i++) {
		int fd = i % 2 == 0 ? new_fd(&ino[i / 2]) : -1;

		assert_int_equal(
		    imsg_compose(&a, i, 0, 0, fd, payload,
			i % 3 == 0 ? sizeof(payload) : (size_t)i * 1000),
		    1);
	}
	for (got = 0; got < 24;) {
		assert_int_equal(imsgbuf_write(&a), 0);
		assert_int_equal(imsgbuf_read(&b), 1);
		if (imsgbuf_get(&b, &imsg) != 1)
			continue;
		assert_int_equal(imsg_get_type(&imsg), got);
		if (got % 2 == 0)
			assert_fd_is(imsg_get_fd(&imsg), ino[got / 2]);
		else
			assert_int_equal(imsg_get_fd(&imsg), -1);
		imsg_free(&imsg);
		got++;
	}
	/* Each one went once, whatever was left of its message to send. */
	assert_int_equal(send_fds, 12);
}

/* Nobody takes the descriptor: imsg_free() and imsgbuf_clear() close it. */
static void
test_fd_unclaimed(void **unused)
{
	struct imsg imsg;
	ino_t ino;

	(void)unused;
	assert_int_equal(imsg_compose(&a, 1, 0, 0, new_fd(&ino), "x", 1), 1);
	assert_int_equal(imsg_compose(&a, 2, 0, 0, new_fd(&ino), "x", 1), 1);
	assert_int_equal(imsgbuf_write(&a), 0);
	assert_int_equal(imsg_compose(&a, 3, 0, 0, new_fd(&ino), "x", 1), 1);
	assert_int_equal(imsgbuf_read(&b), 1);
	get_one(&imsg, 1, 1);
	imsg_free(&imsg);
	assert_int_equal(imsgbuf_read(&b), 1);
}

/* One descriptor comes with a header in two parts, another with the rest. */
static void
test_fd_split_header(void **unused)
{
	struct imsg_hdr hdr = {.type = 1, .len = MARK | 16};
	struct imsg imsg;
	int open_now = open_fds();

	(void)unused;
	send_raw(&hdr, 3, 1);
	assert_int_equal(imsgbuf_read(&b), 1);
	get_none();
	assert_int_equal(open_fds(), open_now + 1);
	send_raw((unsigned char *)&hdr + 3, 13, 0);
	send_raw(&hdr, 16, 1);
	assert_int_equal(imsgbuf_read(&b), 1);
	assert_int_equal(open_fds(), open_now + 2);
	get_one(&imsg, 1, 0);
	assert_true(ibuf_fd_avail(imsg.buf));
	imsg_free(&imsg);
	get_one(&imsg, 1, 0);
	assert_true(ibuf_fd_avail(imsg.buf));
	imsg_free(&imsg);
	assert_int_equal(open_fds(), open_now);

	/* A header cut by a second descriptor: the first one counts. */
	send_raw(&hdr, 3, 1);
	assert_int_equal(imsgbuf_read(&b), 1);
	send_raw((unsigned char *)&hdr + 3, 5, 1);
	assert_int_equal(imsgbuf_read(&b), 1);
	assert_int_equal(open_fds(), open_now + 2);
	get_none();
	assert_int_equal(open_fds(), open_now + 1);
	send_raw((unsigned char *)&hdr + 8, 8, 1);
	assert_int_equal(imsgbuf_read(&b), 1);
	get_one(&imsg, 1, 0);
	assert_int_equal(open_fds(), open_now + 1);
	imsg_free(&imsg);
}

/*
 * Headers are always cut: while a message waits for its end, its descriptor
 * waits too, and the next one comes.
 */
static void
test_fd_overlapping(void **unused)
{
	struct imsg_hdr hdr = {.type = 1, .len = MARK | 16};
	struct imsg imsg;
	ino_t ino[10];
	size_t i;
	int fd;
	int open_now = open_fds();

	(void)unused;
	for (i = 0; i < 10; i++) {
		if (i > 0)
			send_raw((unsigned char *)&hdr + 4, 12, 0);
		fd = new_fd(&ino[i]);
		send_with(&hdr, 3, &fd, 1);
		assert_int_equal(close(fd), 0);
		assert_int_equal(imsgbuf_read(&b), 1);
		if (i > 0) {
			get_one(&imsg, 1, 0);
			assert_fd_is(imsg_get_fd(&imsg), ino[i - 1]);
			imsg_free(&imsg);
		}
		get_none();
		/* One that nobody asked for, in the middle of the header. */
		send_raw((unsigned char *)&hdr + 3, 1, 1);
		assert_int_equal(imsgbuf_read(&b), 1);
		get_none();
		assert_int_equal(open_fds(), open_now + 1);
	}
}

static void
test_fd_unasked(void **unused)
{
	struct imsg imsg;
	size_t i;
	int open_now = open_fds();

	(void)unused;
	/* With a message that has no bit set. */
	send_header(1, 16, 1);
	assert_int_equal(imsgbuf_read(&b), 1);
	get_one(&imsg, 1, 0);
	assert_int_equal(imsg_get_fd(&imsg), -1);
	imsg_free(&imsg);
	assert_int_equal(open_fds(), open_now);

	/* In the middle of a message, again and again: two may wait. */
	send_header(2, 16 + 100, 0);
	for (i = 0; i < 100; i++) {
		send_raw("x", 1, 1);
		assert_int_equal(imsgbuf_read(&b), 1);
		assert_in_range(open_fds(), open_now, open_now + 2);
	}
	assert_int_equal(imsgbuf_read(&b), 1);
	get_one(&imsg, 2, 100);
	assert_int_equal(imsg_get_fd(&imsg), -1);
	imsg_free(&imsg);
	assert_int_equal(open_fds(), open_now);

	/* The next message does not inherit it. */
	send_header(3, 16 + 1, 0);
	send_raw("x", 1, 1);
	send_header(4, MARK | 16, 0);
	assert_int_equal(imsgbuf_read(&b), 1);
	get_one(&imsg, 3, 1);
	imsg_free(&imsg);
	assert_int_equal(imsgbuf_read(&b), 1);
	fail_with(imsgbuf_get(&b, &imsg), EBADMSG);
}

static void
test_fd_missing(void **unused)
{
	struct imsg imsg;

	(void)unused;
	send_header(1, 16, 0);
	send_header(2, MARK | 16, 0);
	assert_int_equal(imsgbuf_read(&b), 1);
	get_one(&imsg, 1, 0);
	imsg_free(&imsg);
	fail_with(imsgbuf_get(&b, &imsg), EBADMSG);
	fail_with(imsgbuf_get(&b, &imsg), EBADMSG);
	imsg_free(&imsg);
}

/* One descriptor, two messages that announce one. */
static void
test_fd_shared(void **unused)
{
	struct imsg_hdr hdr[2];
	struct imsg imsg;

	(void)unused;
	memset(hdr, 0, sizeof(hdr));
	hdr[0].len = hdr[1].len = MARK | 16;
	send_raw(hdr, sizeof(hdr), 1);
	assert_int_equal(imsgbuf_read(&b), 1);
	get_one(&imsg, 0, 0);
	imsg_free(&imsg);
	fail_with(imsgbuf_get(&b, &imsg), EBADMSG);
}

static void
test_fd_extra(void **unused)
{
	struct imsg imsg;
	int open_now = open_fds();

	(void)unused;
	send_header(1, MARK | 16, 2);
	assert_int_equal(imsgbuf_read(&b), 1);
	assert_int_equal(open_fds(), open_now + 1);
	get_one(&imsg, 1, 0);
	assert_int_equal(fcntl(imsg.buf->fd, F_GETFD), FD_CLOEXEC);
	imsg_free(&imsg);

	send_header(2, MARK | 16, 3);
	fail_with(imsgbuf_read(&b), EMFILE);
	assert_int_equal(open_fds(), open_now);
	fail_with(imsgbuf_read(&b), EMFILE);
	fail_with(imsgbuf_get(&b, &imsg), EMFILE);
}

static void
test_fd_table_full(void **unused)
{
	struct rlimit full;
	struct rlimit old;
	struct imsg imsg;
	int open_now = open_fds();
	int fd;

	(void)unused;
	send_header(1, MARK | 16, 1);
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &old), 0);
	assert_int_not_equal(fd = fcntl(0, F_DUPFD_CLOEXEC, 0), -1);
	full = old;
	full.rlim_cur = (rlim_t)fd;
	assert_int_equal(close(fd), 0);
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &full), 0);
	fail_with(imsgbuf_read(&b), EMFILE);
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &old), 0);
	fail_with(imsgbuf_read(&b), EMFILE);
	fail_with(imsgbuf_get(&b, &imsg), EMFILE);
	assert_int_equal(open_fds(), open_now);
}

/* Neither end allows descriptors, then only the sending one. */
static void
test_fd_not_allowed(void **unused)
{
	struct imsg imsg;
	struct ibuf *buf;
	ino_t ino;
	int fd;

	(void)unused;
	fd = new_fd(&ino);
	fail_with(imsg_compose(&a, 1, 0, 0, fd, NULL, 0), EINVAL);
	fail_with(imsg_composev(&a, 1, 0, 0, fd, NULL, 0), EINVAL);
	assert_non_null(buf = imsg_create(&a, 1, 0, 0, 0));
	ibuf_fd_set(buf, fd);
	imsg_close(&a, buf);
	assert_int_equal(fcntl(fd, F_GETFD), -1);
	assert_non_null(buf = ibuf_open(1));
	ibuf_fd_set(buf, new_fd(&ino));
	fail_with(imsg_compose_ibuf(&a, 1, 0, 0, buf), EINVAL);
	assert_int_equal(imsgbuf_write(&a), 0);
	assert_int_equal(imsgbuf_read(&b), 1);
	get_one(&imsg, 1, 0);
	imsg_free(&imsg);

	imsgbuf_allow_fdpass(&a);
	assert_int_equal(imsg_compose(&a, 2, 0, 0, new_fd(&ino), "x", 1), 1);
	assert_int_equal(imsg_compose(&a, 3, 0, 0, -1, "y", 1), 1);
	assert_int_equal(imsgbuf_write(&a), 0);
	next_one(&imsg);
	assert_int_equal(imsg_get_type(&imsg), 2);
	assert_int_equal(imsg_get_fd(&imsg), -1);
	imsg_free(&imsg);
	next_one(&imsg);
	assert_int_equal(imsg_get_type(&imsg), 3);
	imsg_free(&imsg);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    FDPASS(test_fd_in_burst),
	    FDPASS(test_fd_in_full_socket),
	    FDPASS(test_fd_unclaimed),
	    FDPASS(test_fd_split_header),
	    FDPASS(test_fd_overlapping),
	    FDPASS(test_fd_unasked),
	    FDPASS(test_fd_missing),
	    FDPASS(test_fd_shared),
	    FDPASS(test_fd_extra),
	    FDPASS(test_fd_table_full),
	    PLAIN(test_fd_not_allowed),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
