/* sources: common/imsg.c common/imsg_buffer.c regress/imsg/fixture.c */
/* libs: cmocka */
#include <sys/types.h>
#include <sys/ioctl.h>
#include <sys/uio.h>

#include <errno.h>
#include <malloc.h>
#include <string.h>
#include <unistd.h>

#include "fixture.h"

static void
test_round_trip(void **unused)
{
	struct imsg imsg;
	char text[6];

	(void)unused;
	assert_int_equal(imsg_compose(&a, 7, 8, 0, -1, "hello", 6), 1);
	assert_int_equal(
	    imsg_compose(&a, UINT32_MAX, UINT32_MAX, 77, -1, NULL, 0), 1);
	assert_int_equal(imsgbuf_queuelen(&a), 2);
	assert_int_equal(imsgbuf_queuebytes(&a), 16 + 6 + 16);
	assert_int_equal(imsgbuf_write(&a), 0);
	assert_int_equal(imsgbuf_queuelen(&a), 0);
	assert_int_equal(imsgbuf_queuebytes(&a), 0);

	get_none();
	assert_int_equal(imsgbuf_read(&b), 1);
	get_one(&imsg, 7, 6);
	assert_int_equal(imsg_get_id(&imsg), 8);
	assert_int_equal(imsg_get_pid(&imsg), getpid());
	assert_int_equal(imsg_get_fd(&imsg), -1);
	assert_int_equal(imsg_get_data(&imsg, text, sizeof(text)), 0);
	assert_string_equal(text, "hello");
	imsg_free(&imsg);
	imsg_free(&imsg);
	get_one(&imsg, UINT32_MAX, 0);
	assert_int_equal(imsg_get_id(&imsg), UINT32_MAX);
	assert_int_equal(imsg_get_pid(&imsg), 77);
	imsg_free(&imsg);
	get_none();
}

static void
test_zero_payload(void **unused)
{
	struct imsg imsg;
	struct ibuf view;
	char c;

	(void)unused;
	assert_int_equal(imsg_compose(&a, 1, 0, 0, -1, NULL, 0), 1);
	assert_int_equal(imsgbuf_write(&a), 0);
	assert_int_equal(imsgbuf_read(&b), 1);
	get_one(&imsg, 1, 0);
	fail_with(imsg_get_ibuf(&imsg, &view), EBADMSG);
	fail_with(imsg_get_data(&imsg, &c, 1), EBADMSG);
	fail_with(imsg_get_data(&imsg, &c, 0), EINVAL);
	fail_with(imsg_get_buf(&imsg, &c, 1), EBADMSG);
	assert_int_equal(imsg_get_buf(&imsg, NULL, 0), 0);
	imsg_free(&imsg);
}

static void
test_get_data_exact(void **unused)
{
	struct imsg imsg;
	struct ibuf view;
	uint32_t v[2];
	char str[4];

	(void)unused;
	assert_int_equal(imsg_compose(&a, 1, 0, 0, -1, "abcdefg", 8), 1);
	assert_int_equal(imsgbuf_write(&a), 0);
	assert_int_equal(imsgbuf_read(&b), 1);
	get_one(&imsg, 1, 8);
	fail_with(imsg_get_data(&imsg, v, 7), EBADMSG);
	fail_with(imsg_get_data(&imsg, v, 9), EBADMSG);
	assert_int_equal(imsg_get_data(&imsg, v, 8), 0);
	fail_with(imsg_get_data(&imsg, v, 8), EBADMSG);
	ibuf_rewind(imsg.buf);
	assert_int_equal(imsg_get_buf(&imsg, str, 3), 0);
	assert_int_equal(imsg_get_len(&imsg), 5);
	fail_with(imsg_get_strbuf(&imsg, str, 4), EOVERFLOW);
	assert_string_equal(str, "def");
	assert_int_equal(imsg_get_len(&imsg), 1);
	assert_int_equal(imsg_get_ibuf(&imsg, &view), 0);
	assert_int_equal(ibuf_size(&view), 1);
	assert_memory_equal(ibuf_data(&view), "", 1);
	imsg_free(&imsg);
}

/* Three messages, cut in two at each place, and one byte at a time. */
static void
test_short_reads(void **unused)
{
	struct imsg_hdr hdr = {.type = 1, .len = 16 + 5};
	unsigned char stream[3 * 21];
	char text[5];
	struct imsg imsg;
	size_t cut;
	size_t i;

	(void)unused;
	for (i = 0; i < 3; i++) {
		memcpy(stream + i * 21, &hdr, sizeof(hdr));
		memset(stream + i * 21 + 16, '1' + (int)i, 5);
	}
	for (cut = 1; cut < sizeof(stream); cut++) {
		send_raw(stream, cut, 0);
		assert_int_equal(imsgbuf_read(&b), 1);
		for (i = 0; i < cut / 21; i++) {
			get_one(&imsg, 1, 5);
			imsg_free(&imsg);
		}
		get_none();
		send_raw(stream + cut, sizeof(stream) - cut, 0);
		assert_int_equal(imsgbuf_read(&b), 1);
		for (; i < 3; i++) {
			get_one(&imsg, 1, 5);
			assert_int_equal(imsg_get_data(&imsg, text, 5), 0);
			assert_int_equal(text[0], '1' + i);
			assert_int_equal(text[4], '1' + i);
			imsg_free(&imsg);
		}
		get_none();
	}
	for (i = 0; i < sizeof(stream); i++) {
		get_none();
		send_raw(stream + i, 1, 0);
		assert_int_equal(imsgbuf_read(&b), 1);
		if (i % 21 != 20)
			continue;
		get_one(&imsg, 1, 5);
		imsg_free(&imsg);
	}
}

static void
test_oversize(void **unused)
{
	static char payload[MAX_IMSGSIZE];
	struct imsg imsg;
	struct iovec iov[2];
	size_t max = MAX_IMSGSIZE - IMSG_HEADER_SIZE;

	(void)unused;
	fail_with(imsg_compose(&a, 1, 0, 0, -1, payload, max + 1), ERANGE);
	assert_null(imsg_create(&a, 1, 0, 0, max + 1));
	iov[0].iov_base = iov[1].iov_base = payload;
	iov[0].iov_len = max;
	iov[1].iov_len = 1;
	fail_with(imsg_composev(&a, 1, 0, 0, -1, iov, 2), ERANGE);
	iov[1].iov_len = SIZE_MAX;
	fail_with(imsg_composev(&a, 1, 0, 0, -1, iov, 2), ERANGE);
	assert_int_equal(imsgbuf_queuelen(&a), 0);

	assert_int_equal(imsg_compose(&a, 1, 0, 0, -1, payload, max), 1);
	assert_int_equal(imsgbuf_flush(&a), 0);
	next_one(&imsg);
	assert_int_equal(imsg_get_len(&imsg), max);
	imsg_free(&imsg);

	send_header(2, 16, 0);
	send_header(3, MAX_IMSGSIZE + 1, 0);
	assert_int_equal(imsgbuf_read(&b), 1);
	get_one(&imsg, 2, 0);
	imsg_free(&imsg);
	fail_with(imsgbuf_get(&b, &imsg), ERANGE);
	fail_with(imsgbuf_get(&b, &imsg), ERANGE);
	fail_with(imsgbuf_read(&b), ERANGE);
}

static void
test_forged_lengths(void **unused)
{
	static const struct {
		uint32_t len;
		int error;
	} forged[] = {
	    {0, EBADMSG},
	    {1, EBADMSG},
	    {15, EBADMSG},
	    {MARK, EBADMSG},
	    {MARK | 15, EBADMSG},
	    {UINT32_MAX, ERANGE},
	    {INT32_MAX, ERANGE},
	    {MAX_IMSGSIZE + 1, ERANGE},
	    {MARK | (MAX_IMSGSIZE + 1), ERANGE},
	};
	struct imsg imsg;
	size_t i;

	(void)unused;
	for (i = 0; i < sizeof(forged) / sizeof(forged[0]); i++) {
		send_header(1, forged[i].len, 0);
		assert_int_equal(imsgbuf_read(&b), 1);
		fail_with(imsgbuf_get(&b, &imsg), forged[i].error);
		fail_with(imsgbuf_read(&b), forged[i].error);
		imsg_free(&imsg);
		imsgbuf_clear(&b);
		assert_int_equal(imsgbuf_init(&b, sock[1]), 0);
		imsgbuf_allow_fdpass(&b);
	}
	/* The longest allowed length alone allocates nothing for it. */
	assert_int_equal(imsgbuf_set_maxsize(&b, IMSG_MAXSIZE_LIMIT), 0);
	send_header(1, IMSG_MAXSIZE_LIMIT + 16, 0);
	assert_int_equal(imsgbuf_read(&b), 1);
	get_none();
}

static void
test_maxsize(void **unused)
{
	struct imsg imsg;
	unsigned char *big;
	size_t i;

	(void)unused;
	fail_with(imsgbuf_set_maxsize(&a, IMSG_MAXSIZE_LIMIT + 1), ERANGE);
	assert_int_equal(imsgbuf_set_maxsize(&a, IMSG_MAXSIZE_LIMIT), 0);
	assert_int_equal(imsgbuf_set_maxsize(&b, IMSG_MAXSIZE_LIMIT), 0);
	big = test_malloc(IMSG_MAXSIZE_LIMIT);
	for (i = 0; i < IMSG_MAXSIZE_LIMIT; i++)
		big[i] = (unsigned char)(i % 251);
	assert_int_equal(imsg_compose(&a, 1, 0, 0, -1, "x", 1), 1);
	assert_int_equal(
	    imsg_compose(&a, 2, 0, 0, -1, big, IMSG_MAXSIZE_LIMIT), 1);
	assert_int_equal(imsg_compose(&a, 3, 0, 0, -1, "y", 1), 1);
	while (imsgbuf_queuelen(&a) > 0) {
		assert_int_equal(imsgbuf_write(&a), 0);
		if (imsgbuf_get(&b, &imsg) == 1) {
			assert_int_equal(imsg_get_type(&imsg), 1);
			imsg_free(&imsg);
		}
		assert_int_equal(imsgbuf_read(&b), 1);
	}
	next_one(&imsg);
	assert_int_equal(imsg_get_type(&imsg), 2);
	assert_int_equal(imsg_get_len(&imsg), IMSG_MAXSIZE_LIMIT);
	assert_memory_equal(ibuf_data(imsg.buf), big, IMSG_MAXSIZE_LIMIT);
	imsg_free(&imsg);
	next_one(&imsg);
	assert_int_equal(imsg_get_type(&imsg), 3);
	imsg_free(&imsg);
	test_free(big);

	/* Smaller than the default holds too; a header always goes. */
	assert_int_equal(imsgbuf_set_maxsize(&a, 0), 0);
	fail_with(imsg_compose(&a, 1, 0, 0, -1, "x", 1), ERANGE);
	assert_int_equal(imsg_compose(&a, 1, 0, 0, -1, NULL, 0), 1);
}

/* Many messages leave in few calls, in order; the queue counts them. */
static void
test_gather(void **unused)
{
	ino_t ino;
	uint32_t i;

	(void)unused;
	for (i = 0; i < 200; i++)
		assert_int_equal(imsg_compose(&a, i, 0, 0, -1, &i, 4), 1);
	assert_int_equal(imsgbuf_write(&a), 0);
	assert_int_equal(imsgbuf_queuelen(&a), 0);
	assert_int_equal(send_calls, 1);
	assert_int_equal(send_iov, 200);

	/* A descriptor begins a call and others may follow in it. */
	send_calls = 0;
	for (i = 0; i < 20; i++) {
		assert_int_equal(
		    imsg_compose(&a, i, 0, 0,
			i == 7 || i == 8 ? new_fd(&ino) : -1, &i, 4),
		    1);
	}
	assert_int_equal(imsgbuf_write(&a), 0);
	assert_int_equal(imsgbuf_queuelen(&a), 0);
	assert_int_equal(send_calls, 3);
	assert_int_equal(send_iov, 12);

	/* Idle calls cost nothing. */
	assert_int_equal(imsgbuf_write(&a), 0);
	assert_int_equal(imsgbuf_flush(&a), 0);
	assert_int_equal(send_calls, 3);
}

static void
test_interrupted(void **unused)
{
	static const int passing[] = {EAGAIN, ENOBUFS};
	struct imsg imsg;
	size_t i;

	(void)unused;
	for (i = 0; i < 2; i++) {
		assert_int_equal(imsg_compose(&a, 1, 0, 0, -1, "x", 1), 1);
		send_error = passing[i];
		assert_int_equal(imsgbuf_write(&a), 0);
		assert_int_equal(imsgbuf_queuelen(&a), 1);
		assert_int_equal(imsgbuf_queuebytes(&a), 17);
		send_error = passing[i];
		assert_int_equal(imsgbuf_flush(&a), 0);
		assert_int_equal(imsgbuf_queuelen(&a), 0);
	}
	assert_int_equal(imsg_compose(&a, 1, 0, 0, -1, "x", 1), 1);
	send_error = EINTR;
	assert_int_equal(imsgbuf_write(&a), 0);
	assert_int_equal(imsgbuf_queuelen(&a), 0);
	assert_int_equal(imsg_compose(&a, 1, 0, 0, -1, "x", 1), 1);
	send_error = ECONNRESET;
	fail_with(imsgbuf_write(&a), ECONNRESET);
	send_error = ECONNRESET;
	fail_with(imsgbuf_flush(&a), ECONNRESET);

	recv_error = EAGAIN;
	assert_int_equal(imsgbuf_read(&b), 1);
	get_none();
	recv_error = ECONNRESET;
	fail_with(imsgbuf_read(&b), ECONNRESET);
	recv_error = EINTR;
	assert_int_equal(imsgbuf_read(&b), 1);
	for (i = 0; i < 3; i++) {
		get_one(&imsg, 1, 1);
		imsg_free(&imsg);
	}
	/* Nothing there is no error. */
	assert_int_equal(imsgbuf_read(&b), 1);
	get_none();
}

/* 10 000 messages, each thousandth with a descriptor, for a slow reader. */
static void
test_long_queue(void **unused)
{
	struct imsg imsg;
	ino_t ino[10];
	size_t bytes;
	uint32_t got;
	uint32_t i;
	uint32_t left;
	uint32_t value[20];

	(void)unused;
	memset(value, 0, sizeof(value));
	for (bytes = 0, i = 0; i < 10000; i++) {
		int fd = i % 1000 == 0 ? new_fd(&ino[i / 1000]) : -1;

		value[0] = i;
		assert_int_equal(
		    imsg_compose(&a, i, 0, 0, fd, value, 4 + i % 77), 1);
		bytes += 16 + 4 + i % 77;
	}
	assert_int_equal(imsgbuf_queuelen(&a), 10000);
	assert_int_equal(imsgbuf_queuebytes(&a), bytes);
	do {
		left = imsgbuf_queuelen(&a);
		assert_int_equal(imsgbuf_write(&a), 0);
	} while (imsgbuf_queuelen(&a) < left);
	assert_in_range(left, 1, 9999);
	assert_in_range(imsgbuf_queuebytes(&a), 1, bytes - 1);
	for (got = 0; got < 10000; got++) {
		if (got % 100 == 0)
			assert_int_equal(imsgbuf_write(&a), 0);
		next_one(&imsg);
		assert_int_equal(imsg_get_type(&imsg), got);
		assert_int_equal(imsg_get_len(&imsg), 4 + got % 77);
		assert_int_equal(imsg_get_buf(&imsg, &i, 4), 0);
		assert_int_equal(i, got);
		if (got % 1000 == 0)
			assert_fd_is(imsg_get_fd(&imsg), ino[got / 1000]);
		else
			assert_int_equal(imsg_get_fd(&imsg), -1);
		imsg_free(&imsg);
	}
	assert_int_equal(imsgbuf_queuelen(&a), 0);
	assert_int_equal(imsgbuf_queuebytes(&a), 0);
}

/* A peer that writes and writes cannot make us hold more than one read. */
static void
test_bounded_receive(void **unused)
{
	static const char payload[1000];
	struct imsg imsg;
	size_t got;
	int there;
	int i;

	(void)unused;
	for (i = 0; i < 150; i++)
		assert_int_equal(
		    imsg_compose(&a, 1, 0, 0, -1, payload, sizeof(payload)), 1);
	assert_int_equal(imsgbuf_write(&a), 0);
	assert_int_equal(ioctl(sock[1], FIONREAD, &there), 0);
	for (i = 0; i < 5; i++)
		assert_int_equal(imsgbuf_read(&b), 1);
	assert_int_equal(recv_calls, 1);
	assert_int_equal(ioctl(sock[1], FIONREAD, &i), 0);
	assert_int_equal(there - i, IBUF_READ_SIZE);
	for (got = 0; imsgbuf_get(&b, &imsg) == 1; got++)
		imsg_free(&imsg);
	assert_int_equal(got, IBUF_READ_SIZE / (16 + sizeof(payload)));
	assert_int_equal(imsgbuf_read(&b), 1);
	assert_int_equal(recv_calls, 2);
}

static void
test_end_of_file(void **unused)
{
	struct imsg imsg;

	(void)unused;
	send_header(1, 16, 0);
	send_raw("half a message", 7, 0);
	assert_int_equal(close(sock[0]), 0);
	sock[0] = -1;
	assert_int_equal(imsgbuf_read(&b), 1);
	assert_int_equal(imsgbuf_read(&b), 1); /* one waits */
	get_one(&imsg, 1, 0);
	imsg_free(&imsg);
	get_none();
	assert_int_equal(imsgbuf_read(&b), 0);
	assert_int_equal(imsgbuf_read(&b), 0);
	get_none();
	assert_int_equal(imsg_compose(&b, 1, 0, 0, -1, NULL, 0), 1);
	fail_with(imsgbuf_write(&b), EPIPE);
	fail_with(imsgbuf_flush(&b), EPIPE);
}

static void
test_compose_variants(void **unused)
{
	struct iovec iov[3] = {{(void *)(uintptr_t) "ab", 2}, {NULL, 0},
	    {(void *)(uintptr_t) "cde", 3}};
	struct imsg imsg;
	struct ibuf *buf;
	char text[16];
	ino_t ino;

	(void)unused;
	assert_int_equal(imsg_composev(&a, 1, 11, 12, new_fd(&ino), iov, 3), 1);
	/* Grows beyond what it was made for; the header survives that. */
	assert_non_null(buf = imsg_create(&a, 2, 21, 22, 1));
	assert_int_equal(imsg_add(buf, "ab", 2), 2);
	assert_int_equal(imsg_add(buf, "cde", 3), 3);
	assert_int_equal(ibuf_skip(buf, 1), 0);
	imsg_close(&a, buf);
	/* Only the unread part goes. */
	assert_non_null(buf = ibuf_dynamic(0, 100));
	assert_int_equal(ibuf_add(buf, "xxabcde", 7), 0);
	assert_int_equal(ibuf_skip(buf, 2), 0);
	assert_int_equal(imsg_compose_ibuf(&a, 3, 31, 32, buf), 1);
	assert_int_equal(imsgbuf_queuebytes(&a), 3 * (16 + 5));
	assert_int_equal(imsgbuf_write(&a), 0);

	next_one(&imsg);
	assert_int_equal(imsg_get_type(&imsg), 1);
	assert_fd_is(imsg_get_fd(&imsg), ino);
	assert_int_equal(imsg_get_buf(&imsg, text, 4), 0);
	assert_int_equal(imsg_forward(&b, &imsg), 1);
	imsg_free(&imsg);
	next_one(&imsg);
	assert_int_equal(imsg_get_type(&imsg), 2);
	assert_int_equal(imsg_get_id(&imsg), 21);
	assert_int_equal(imsg_get_pid(&imsg), 22);
	assert_int_equal(imsg_get_data(&imsg, text, 5), 0);
	assert_memory_equal(text, "abcde", 5);
	imsg_free(&imsg);
	next_one(&imsg);
	assert_int_equal(imsg_get_type(&imsg), 3);
	assert_int_equal(imsg_get_id(&imsg), 31);
	assert_int_equal(imsg_get_data(&imsg, text, 5), 0);
	assert_memory_equal(text, "abcde", 5);
	imsg_free(&imsg);

	/* The forwarded one, complete and without the descriptor. */
	assert_int_equal(imsgbuf_write(&b), 0);
	assert_int_equal(imsgbuf_read(&a), 1);
	assert_int_equal(imsgbuf_get(&a, &imsg), 1);
	assert_int_equal(imsg_get_type(&imsg), 1);
	assert_int_equal(imsg_get_id(&imsg), 11);
	assert_int_equal(imsg_get_pid(&imsg), 12);
	assert_int_equal(imsg_get_fd(&imsg), -1);
	assert_int_equal(imsg_get_data(&imsg, text, 5), 0);
	assert_memory_equal(text, "abcde", 5);
	imsg_free(&imsg);
}

static void
test_compose_failures(void **unused)
{
	static char payload[MAX_IMSGSIZE];
	struct ibuf *buf;
	struct ibuf view;
	ino_t ino;

	(void)unused;
	assert_non_null(buf = imsg_create(&a, 1, 0, 0, 0));
	ibuf_fd_set(buf, new_fd(&ino));
	fail_with(imsg_add(buf, payload, sizeof(payload)), ERANGE);
	assert_non_null(buf = ibuf_open(sizeof(payload)));
	assert_int_equal(ibuf_add(buf, payload, sizeof(payload)), 0);
	assert_int_equal(ibuf_get_ibuf(buf, 10, &view), 0);
	fail_with(imsg_compose_ibuf(&a, 1, 0, 0, &view), EINVAL);
	ibuf_rewind(buf);
	fail_with(imsg_compose_ibuf(&a, 1, 0, 0, buf), ERANGE);
	assert_int_equal(imsgbuf_queuelen(&a), 0);
}

static void
test_clear(void **unused)
{
	static char text[] = "";
	const struct iovec too_long = {text, IMSG_MAXSIZE_LIMIT + 1};
	struct imsg imsg;
	struct ibuf *buf;
	ino_t ino;

	(void)unused;
	assert_int_equal(imsg_compose(&a, 1, 0, 0, new_fd(&ino), "x", 1), 1);
	assert_non_null(buf = imsg_create(&a, 1, 0, 0, 0));
	ibuf_fd_set(buf, new_fd(&ino));
	imsgbuf_clear(&a);
	imsgbuf_clear(&a);
	imsg_close(&a, buf);
	fail_with(imsg_compose(&a, 1, 0, 0, -1, NULL, 0), EBADF);
	/* It counts more than what else is wrong. */
	fail_with(imsg_composev(&a, 1, 0, 0, -1, &too_long, 1), EBADF);
	assert_non_null(buf = ibuf_open(0));
	fail_with(imsg_compose_ibuf(&a, 1, 0, 0, buf), EBADF);
	fail_with(imsgbuf_read(&a), EBADF);
	fail_with(imsgbuf_get(&a, &imsg), EBADF);
	fail_with(imsgbuf_write(&a), EBADF);
	fail_with(imsgbuf_flush(&a), EBADF);
	assert_int_equal(imsgbuf_queuelen(&a), 0);
	assert_int_equal(imsgbuf_queuebytes(&a), 0);

	/* A message outlives its connection. */
	send_header(1, 16 + 3, 0);
	send_raw("abc", 3, 0);
	assert_int_equal(imsgbuf_read(&b), 1);
	get_one(&imsg, 1, 3);
	imsgbuf_clear(&b);
	assert_memory_equal(ibuf_data(imsg.buf), "abc", 3);
	imsg_free(&imsg);
}

/* Idle ends hold little, also after traffic. */
static void
test_idle_memory(void **unused)
{
	static struct imsgbuf idle[200];
	static char payload[70000];
	struct mallinfo2 before;
	struct mallinfo2 after;
	struct imsg imsg;
	size_t i;

	(void)unused;
	before = mallinfo2();
	for (i = 0; i < 200; i++) {
		assert_int_equal(imsgbuf_init(&idle[i], sock[1]), 0);
		send_header(1, 16, 0);
		assert_int_equal(imsgbuf_read(&idle[i]), 1);
		assert_int_equal(imsgbuf_get(&idle[i], &imsg), 1);
		imsg_free(&imsg);
		if (i % 2 == 0) /* woken for nothing */
			assert_int_equal(imsgbuf_read(&idle[i]), 1);
	}
	after = mallinfo2();
	assert_in_range(after.uordblks - before.uordblks, 0, 200 * 256);
	/* A long message takes no memory for what has not come yet. */
	assert_int_equal(imsgbuf_set_maxsize(&b, IMSG_MAXSIZE_LIMIT), 0);
	send_header(1, IMSG_MAXSIZE_LIMIT, 0);
	send_raw(payload, sizeof(payload), 0);
	assert_int_equal(imsgbuf_read(&b), 1);
	assert_int_equal(imsgbuf_read(&b), 1);
	after = mallinfo2();
	assert_in_range(
	    after.uordblks + after.hblkhd - before.uordblks - before.hblkhd, 0,
	    200 * 256 + 2 * IBUF_READ_SIZE + 1000);
	for (i = 0; i < 200; i++)
		imsgbuf_clear(&idle[i]);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    PLAIN(test_round_trip),
	    PLAIN(test_zero_payload),
	    PLAIN(test_get_data_exact),
	    PLAIN(test_short_reads),
	    PLAIN(test_oversize),
	    FDPASS(test_forged_lengths),
	    PLAIN(test_maxsize),
	    FDPASS(test_gather),
	    PLAIN(test_interrupted),
	    FDPASS(test_long_queue),
	    PLAIN(test_bounded_receive),
	    PLAIN(test_end_of_file),
	    FDPASS(test_compose_variants),
	    FDPASS(test_compose_failures),
	    FDPASS(test_clear),
	    PLAIN(test_idle_memory),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
