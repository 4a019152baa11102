#ifndef MUSTER_REGRESS_IMSG_FIXTURE_H
#define MUSTER_REGRESS_IMSG_FIXTURE_H

#include <sys/types.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "imsg.h"

/*
 * Two connected non-blocking ends for the tests of imsg: `a` on sock[0] and
 * `b` on sock[1].  The fixture stands between the library and sendmsg(2)
 * and recvmsg(2), to count calls and to let the next one fail.
 */
#define MARK 0x80000000U /* in imsg_hdr.len: a descriptor comes along */

extern struct imsgbuf a;
extern struct imsgbuf b;
extern int sock[2];
extern unsigned int send_calls;
extern size_t send_iov; /* pieces in the last call */
extern unsigned int send_fds; /* calls that sent a descriptor */
extern int send_error; /* errno for the next call, or 0 */
extern unsigned int recv_calls;
extern int recv_error;

/* With descriptors allowed on both ends in setup_fdpass(). */
int setup(void **);
int setup_fdpass(void **);
/* Also checks that no descriptor is left open. */
int teardown(void **);

#define PLAIN(test) cmocka_unit_test_setup_teardown(test, setup, teardown)
#define FDPASS(test) \
	cmocka_unit_test_setup_teardown(test, setup_fdpass, teardown)

/* Number of descriptors of this process. */
int open_fds(void);
/* A descriptor that can be told from others by its inode number. */
int new_fd(ino_t *);
/* Checks that it is that one and close-on-exec, and closes it. */
void assert_fd_is(int fd, ino_t);
/* Checks for -1 and errno. */
void fail_with(int result, int error);

/* From sock[0], past the library, with descriptors (of whatever). */
#define MAX_RAW_FDS 3
void send_with(const void *, size_t len, const int *fds, size_t nfds);
void send_raw(const void *, size_t len, size_t nfds);
void send_header(uint32_t type, uint32_t len, size_t nfds);

/* Messages of `b`: one is there; none is; read until there is one. */
void get_one(struct imsg *, uint32_t type, size_t len);
void get_none(void);
void next_one(struct imsg *);

#endif
