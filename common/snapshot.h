#ifndef MUSTER_SNAPSHOT_H
#define MUSTER_SNAPSHOT_H

/*
 * The configuration snapshot: what a manager is born with.  A sealed memfd
 * of, in wire.h's encoding:
 *
 *	u32 SNAPSHOT_VERSION
 *	u32 flags (SNAPSHOT_*)
 *	u8 verbosity (0, 1 -v, 2 -w)
 *	str boot		8 hex digits, the same while this muster lives
 *	u64 start of musterd, wall;  u64 the same, CLOCK_MONOTONIC
 *	u32 uid, u32 gid	of musterd;  u32 pid of the guard
 *	str user name, str home	of musterd ("" unknown)
 *	str directory		musterd's current directory
 *	str libexec		directory of the helper programs
 *	str socket		default path of the Unix listener
 *	str log file		-l ("" none), as given
 *	u8 columns of the terminal (0: no terminal on standard error), u8
 *	colour (0, 1)
 *	u32 n, n * str		command after -- for -x
 *	u32 n, n * str		musterd's environment, NAME=VALUE
 *	str path		configuration file as found (display name)
 *	i32 errno of reading it (ENOENT: no file; EINVAL: not regular;
 *	EFBIG: over MAX_FILE_SIZE)
 *	u32 mode, u32 owner uid of the file
 *	bytes			its content
 */
#define SNAPSHOT_VERSION 1

#define SNAPSHOT_CHECK_ONLY 1 /* -n */
#define SNAPSHOT_DAEMON 2 /* -d */
#define SNAPSHOT_DAEMON_WAIT 4 /* --wait */
#define SNAPSHOT_RUNNER 8 /* -x */
#define SNAPSHOT_ROOT 16 /* the parent is root */
#define SNAPSHOT_STDERR_TTY 32
#define SNAPSHOT_STDOUT_TTY 64
#define SNAPSHOT_QUIET 128 /* -q: no progress */
#define SNAPSHOT_JOURNAL 256 /* standard output is systemd's journal */
#define SNAPSHOT_LOG_TEXT 512 /* --log-format */
#define SNAPSHOT_LOG_LOGFMT 1024
#define SNAPSHOT_LOG_JSON 2048

#endif
