#ifndef MUSTER_FEED_H
#define MUSTER_FEED_H

/*
 * Payloads of the feed (manager → httpd).
 *
 * IMSG_FEED_CONFIG:
 *	str version, str boot, u32 pid of musterd, i64 started (wall, ns)
 *	u32 owner uid, str directory, str user (of musterd)
 *	u32 n, n * u32		allowed uids;  u32 n, n * u32 allowed gids
 *	u32 n, n * str		allow-hosts;  u32 n, n * str allow-origins
 *	u8 flags (FEED_*)
 *
 * IMSG_FEED_PRINCIPAL:		an entry of `http.tokens`
 *	str name, u8 kind (enum principal_kind), u8 role (enum access_role)
 *	i64 expires (wall, seconds; 0 never)
 *	bytes SHA-256 (of the token's text, or of the certificate's DER form)
 *	u32 n, n * str scope	"S" or "S.J"; n = 0: everything
 *
 * IMSG_FEED_PROC:
 *	u32 process, u32 generation, u32 instance, i32 pid (0: none)
 *	u8 state (enum process_state)
 *	u8 verified, u8 once, u8 listed (shown at pymanager's GET /)
 *	u8 ended (the exit below is valid), i32 wait status, i64 ended (wall)
 *	i64 started (wall ns, 0 never), u32 restarts
 *	u32 slot (its stream cells, see stream.h; NO_ENTRY none)
 *	u8 streams: 0 none, 1 stdout (stderr joined), 2 stdout and stderr
 *	str job ("default.web")
 *	u32 n, n * str		words: program and arguments
 *	str cwd, str user	"" = musterd's own
 *	str waits		the job that it waits for, "" none
 *	u8 has verifier; if 1: str kind, u32 attempts, str last, u64 elapsed ns
 */

#define FEED_INSECURE 1 /* whoever reaches the TCP listener may do all */
#define FEED_FOREIGN 2 /* it is not on a loopback address */

enum principal_kind {
	PRINCIPAL_TOKEN = 1, /* hash of the token's text */
	PRINCIPAL_CERTIFICATE = 2, /* hash of the DER form */
};

#define PRINCIPAL_HASH 32 /* bytes of SHA-256 */
#define MAX_PRINCIPALS 1024

enum process_state {
	STATE_WAITING = 0,
	STATE_STARTING,
	STATE_RUNNING,
	STATE_STOPPING,
	STATE_EXITED,
	STATE_BACKOFF,
	STATE_FAILED,
	STATE_STOPPED,
	STATE_COUNT
};

/* "waiting" …; "?" when out of range. */
const char *process_state_name(unsigned int);

#endif
