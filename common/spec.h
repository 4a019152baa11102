#ifndef MUSTER_SPEC_H
#define MUSTER_SPEC_H

#include <stdint.h>

/*
 * The bytes of sealed entries.  Written by the manager, checked and kept by
 * the parent.  All paths are absolute (the manager adds musterd's own
 * directory).
 *
 * ENTRY_SPEC:
 *	u32 flags (SPEC_*)
 *	str name		for messages, LISTEN_FDNAMES and the cookie
 *	str user		"" = musterd's own; a name or a number
 *	str group		"" = the user's
 *	u32 n, n * str		supplementary groups (only if SPEC_GROUPS)
 *	u32 umask		NO_UMASK = inherited
 *	i32 nice		added to musterd's own; NO_NICE = none
 *	u32 n, n * { u8 resource (RLIMIT_*), u64 soft, u64 hard }
 *				UINT64_MAX = unlimited
 *	str directory		working directory
 *	str launch directory	where a relative program is looked for second
 *	u32 n, n * word		word 0 is the program; n >= 1
 *	u32 n, n * word		environment, each NAME=VALUE; laid over
 *				musterd's own, or alone with SPEC_CLEAR_ENV
 *	u8 stdin  (enum spec_stdio: NULL, PIPE, INHERIT)
 *	u8 stdout (DISCARD, PIPE, INHERIT)
 *	u8 stderr (DISCARD, PIPE, INHERIT, JOIN)
 *	2 * { u32 stream flags (STREAM_SHOW …), u64 capture, u32 sink entry
 *	      (ENTRY_LOGFILE or NO_ENTRY), str prefix }   for stdout, stderr
 *	u32 n, n * u32		ENTRY_SOCKETs passed from descriptor 3 on
 *
 * word:
 *	u32 n, n * { u8 kind (enum segment), str text }
 *
 * ENTRY_LOGFILE:
 *	str path, u8 append (0: truncated at each start of its process, and
 *	when sealed), u32 mode, str user, str group
 * ENTRY_UNIX:	str path, str user, str group
 * ENTRY_FILE:	str path, str user, str group
 * ENTRY_LISTEN:
 *	u8 kind (enum listener_kind), str address (numeric), u16 port, str
 *	path, u32 mode, u32 backlog.  A Unix path's last directory is made
 *	0700 (0755 as root) when it is missing; a stale socket is replaced
 *	when nobody listens there.
 * ENTRY_TLS:	str path, u8 what (enum tls_file), u8 flags (TLS_FILE_*)
 * ENTRY_SOCKET:
 *	str name, u8 family (4, 6, 1), u8 type (1 stream, 2 dgram), str
 *	address, u16 port, str path, u32 mode, u32 backlog, u8 reuseport
 */

enum segment {
	SEGMENT_TEXT = 0,
	SEGMENT_INSTANCE = 1, /* number of the instance, from 0 */
	SEGMENT_NAME = 2, /* name of the job */
	SEGMENT_SOCKET_FILENO = 3, /* text: name of the socket */
	SEGMENT_SOCKET_PORT = 4,
	SEGMENT_SOCKET_PATH = 5,
	SEGMENT_PID_OF = 6, /* pid of the process that a probe is about */
	SEGMENT_REPORT_FD = 7, /* number of the descriptor to report on */
};

enum spec_stdio {
	STDIO_NULL = 0, /* /dev/null; "discard" */
	STDIO_PIPE = 1,
	STDIO_INHERIT = 2,
	STDIO_JOIN = 3, /* stderr only: where stdout goes */
};

#define SPEC_CLEAR_ENV 1
#define SPEC_GROUPS 2
#define SPEC_FOREGROUND 4 /* runner: musterd's session and foreground group */
/*
 * The program ends in muster-exec, which reports on descriptor
 * SEGMENT_REPORT_FD: struct exec_report, or nothing when its exec worked.
 * Until then the spawn counts as not yet done.
 */
#define SPEC_REPORT 8
#define SPEC_PROBE 16 /* no process of the API: a command check */
#define SPEC_KEEP_FDS_ABOUT 32 /* adapter: descriptors of its subject */
#define SPEC_ALL 63

#define NO_UMASK UINT32_MAX
#define NO_NICE INT32_MAX

#define MAX_WORDS 4096
#define MAX_SEGMENTS 256
#define MAX_STRING (128UL * 1024) /* execve(2): MAX_ARG_STRLEN */
#define MAX_GROUPS 64
#define MAX_LIMITS 16
#define MAX_PASSED_SOCKETS 64

/* What muster-exec writes when a step fails (then it exits with 127). */
struct exec_report {
	uint8_t stage; /* enum stage: CHDIR, EXEC, ENVIRONMENT_FILE */
	uint8_t pad[3];
	int32_t error; /* errno */
};

/* Descriptors of a SPEC_KEEP_FDS_ABOUT probe. */
#define ABOUT_STDIN_FD 3 /* writing end of the subject's stdin pipe */
#define ABOUT_STATUS_FD 4 /* i32 wait status comes when it has ended */

#endif
