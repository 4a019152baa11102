#include <sys/types.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "fixture.h"

/* Two connected ends, and what the system calls below saw and shall do. */
struct imsgbuf a;
struct imsgbuf b;
int sock[2];
static int open_before;
unsigned int send_calls;
size_t send_iov;
unsigned int send_fds;
int send_error; /* errno for the next sendmsg, once */
unsigned int recv_calls;
int recv_error;

/* In place of libc's: count the calls and fail on demand. */
ssize_t
sendmsg(int fd, const struct msghdr *msg, int flags)
{
	ssize_t n;

	send_calls++;
	send_iov = msg->msg_iovlen;
	assert_true((flags & MSG_NOSIGNAL) != 0);
	if (send_error != 0) {
		errno = send_error;
		send_error = 0;
		return -1;
	}
	n = syscall(SYS_sendmsg, fd, msg, flags);
	send_fds += n > 0 && msg->msg_controllen > 0;
	return n;
}

ssize_t
recvmsg(int fd, struct msghdr *msg, int flags)
{
	recv_calls++;
	if (recv_error != 0) {
		errno = recv_error;
		recv_error = 0;
		return -1;
	}
	return syscall(SYS_recvmsg, fd, msg, flags);
}

int
open_fds(void)
{
	int fd;
	int n;

	for (n = 0, fd = 0; fd < 1024; fd++)
		n += fcntl(fd, F_GETFD) != -1;
	return n;
}

int
setup(void **unused)
{
	(void)unused;
	open_before = open_fds();
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0,
		sock) == -1)
		return -1;
	if (imsgbuf_init(&a, sock[0]) == -1 || imsgbuf_init(&b, sock[1]) == -1)
		return -1;
	send_calls = send_fds = recv_calls = 0;
	send_error = recv_error = 0;
	return 0;
}

int
setup_fdpass(void **unused)
{
	if (setup(unused) == -1)
		return -1;
	imsgbuf_allow_fdpass(&a);
	imsgbuf_allow_fdpass(&b);
	return 0;
}

/* Every test also checks that no descriptor is left. */
int
teardown(void **unused)
{
	(void)unused;
	imsgbuf_clear(&a);
	imsgbuf_clear(&b);
	if (sock[0] != -1)
		(void)close(sock[0]);
	if (sock[1] != -1)
		(void)close(sock[1]);
	assert_int_equal(open_fds(), open_before);
	return 0;
}

/* A descriptor that can be told from others by its inode number. */
int
new_fd(ino_t *ino)
{
	struct stat st;
	int fd;

	fd = memfd_create("unit_imsg", MFD_CLOEXEC);
	assert_int_not_equal(fd, -1);
	assert_int_equal(fstat(fd, &st), 0);
	*ino = st.st_ino;
	return fd;
}

void
assert_fd_is(int fd, ino_t ino)
{
	struct stat st;

	assert_int_not_equal(fd, -1);
	assert_int_equal(fstat(fd, &st), 0);
	assert_int_equal(st.st_ino, ino);
	assert_int_equal(fcntl(fd, F_GETFD), FD_CLOEXEC);
	assert_int_equal(close(fd), 0);
}

void
fail_with(int result, int error)
{
	assert_int_equal(result, -1);
	assert_int_equal(errno, error);
	errno = 0;
}

void
send_with(const void *data, size_t len, const int *fds, size_t nfds)
{
	struct msghdr msg;
	struct iovec iov;
	union {
		struct cmsghdr hdr;
		unsigned char space[CMSG_SPACE(MAX_RAW_FDS * sizeof(int))];
	} control;

	memset(&msg, 0, sizeof(msg));
	memset(&control, 0, sizeof(control));
	iov.iov_base = memcpy(test_malloc(len), data, len);
	iov.iov_len = len;
	msg.msg_iov = &iov;
	msg.msg_iovlen = 1;
	if (nfds > 0) {
		msg.msg_control = control.space;
		msg.msg_controllen = CMSG_SPACE(nfds * sizeof(int));
		control.hdr.cmsg_level = SOL_SOCKET;
		control.hdr.cmsg_type = SCM_RIGHTS;
		control.hdr.cmsg_len = CMSG_LEN(nfds * sizeof(int));
		memcpy(CMSG_DATA(&control.hdr), fds, nfds * sizeof(int));
	}
	assert_int_equal(syscall(SYS_sendmsg, sock[0], &msg, 0), len);
	test_free(iov.iov_base);
}

void
send_raw(const void *data, size_t len, size_t nfds)
{
	int fds[MAX_RAW_FDS];
	size_t i;

	for (i = 0; i < nfds; i++)
		fds[i] = sock[0];
	send_with(data, len, fds, nfds);
}

void
send_header(uint32_t type, uint32_t len, size_t nfds)
{
	struct imsg_hdr hdr;

	memset(&hdr, 0, sizeof(hdr));
	hdr.type = type;
	hdr.len = len;
	send_raw(&hdr, sizeof(hdr), nfds);
}

void
get_one(struct imsg *imsg, uint32_t type, size_t len)
{
	assert_int_equal(imsgbuf_get(&b, imsg), 1);
	assert_int_equal(imsg_get_type(imsg), type);
	assert_int_equal(imsg_get_len(imsg), len);
}

void
get_none(void)
{
	struct imsg imsg;

	assert_int_equal(imsgbuf_get(&b, &imsg), 0);
}

/* Reads as often as needed for the next message. */
void
next_one(struct imsg *imsg)
{
	int n;

	while ((n = imsgbuf_get(&b, imsg)) == 0)
		assert_int_equal(imsgbuf_read(&b), 1);
	assert_int_equal(n, 1);
}
