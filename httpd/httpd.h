#ifndef MUSTER_HTTPD_H
#define MUSTER_HTTPD_H

#include <sys/types.h>
#include <bsd/sys/queue.h>

#include <stddef.h>
#include <stdint.h>

#include <event2/event.h>
#include <event2/event_struct.h>

#include "../common/channel.h"
#include "../common/feed.h"
#include "../common/message.h"
#include "http1.h"
#include "json.h"
#include "principal.h"

#define MAX_CLIENTS 480 /* descriptors left for all else: 32 */
#define HEAD_SECONDS 10 /* from its first byte to its last */
#define IDLE_SECONDS 75 /* between requests */
#define WRITE_SECONDS 30 /* without progress of the reader */
#define PAUSE_SECONDS 30 /* then another reader may have his place */
#define MAX_OUTPUT 16384 /* unsent: its next request waits */
#define MIN_OUTPUT 3584 /* the same, when many do not read */
#define MAX_STREAMS 400 /* readers of output; others find room, too */
#define COMMENT_SECONDS 15 /* of silence on a stream */
#define MAX_WAIT 600 /* seconds of ?wait= */

struct answer;
struct imsg;
struct list;
struct sockaddr;
struct table;
struct wire_reader;

/* ---- replica.c: what the manager has told --------------------------- */

/* One process, decoded from the feed; the strings are in `bytes`. */
struct replica_process {
	uint32_t id;
	uint32_t generation;
	uint32_t instance;
	int32_t pid;
	uint8_t state;
	uint8_t verified;
	uint8_t once;
	uint8_t listed;
	uint8_t ended;
	int32_t status;
	int64_t ended_wall;
	int64_t started_wall;
	uint32_t restarts;
	uint32_t slot;
	uint8_t streams;
	const char *job;
	size_t job_len;
	uint32_t nwords;
	struct wire_reader words; /* for words_next() */
	const char *cwd;
	size_t cwd_len;
	const char *user;
	size_t user_len;
	const char *waits; /* the job that it waits for */
	size_t waits_len;
	uint8_t has_verifier;
	const char *kind;
	size_t kind_len;
	uint32_t attempts;
	const char *last;
	size_t last_len;
	uint64_t elapsed;
};

struct replica {
	int complete; /* a whole snapshot is here */
	uint64_t sequence;
	char version[32];
	char boot[32];
	uint32_t pid;
	int64_t started;
	uint32_t owner;
	char *directory;
	char *user;
	uint32_t *uids;
	uint32_t nuids;
	uint32_t *gids;
	uint32_t ngids;
	char **hosts; /* ends with NULL */
	char **origins;
	uint8_t flags; /* FEED_* */
	char status[32];
	int ready;
	int shutdown;
	char *missing; /* one line a process */
};

extern struct replica replica;

int replica_message(struct imsg *);
/* The manager has gone: what is here is still answered. */
void replica_page(const uint64_t *page);
/*
 * Reads what the manager has published before this moment.  1: some of it is
 * still on its way here, but another worker may have answered with it; not for
 * long, however slow the manager is.
 */
int replica_is_behind(void);
/* 0, or -1: no such process. */
int replica_find(uint32_t id, struct replica_process *);
/* The processes as they are now, for who comes back: see table.h. */
struct table *replica_hold(void);
/* Walks in order of ids those of a table, or (NULL) of now: start with 0; 1
 * while there is one. */
int replica_next(
    const struct table *, size_t *cursor, struct replica_process *);
size_t replica_count(void);
/* pymanager's one line: the words joined by blanks. */
void replica_command(const struct replica_process *, struct json *);

/* ---- client.c: connections ------------------------------------------ */

enum client_state {
	CLIENT_READING, /* a head, or between requests */
	CLIENT_WAITING, /* an answer is on its way from elsewhere */
	CLIENT_STREAMING,
	CLIENT_CLOSING, /* written out, then closed */
	CLIENT_HANDSHAKE, /* of TLS, before all of these */
};

/* What a request has its rights from. */
enum access_by { BY_USER, BY_TOKEN, BY_CERTIFICATE };

/* Where it waits for its turn (turn.c). */
enum turn_queue {
	TURN_NONE,
	TURN_FRESH, /* has not used much lately */
	TURN_BUSY,
	TURN_HANDSHAKE,
	TURN_QUEUES
};

struct stream;

struct client {
	TAILQ_ENTRY(client) entry;
	TAILQ_ENTRY(client) deferred_entry; /* room.c */
	TAILQ_ENTRY(client) turn_entry; /* turn.c */
	int fd;
	uint8_t state; /* enum client_state */
	uint8_t unix_socket;
	uint8_t allowed; /* enum access_role of the peer's user */
	uint8_t role; /* enum access_role of the request */
	uint8_t is_certified; /* `certificate` is the hash of one */
	uint8_t by; /* enum access_by of the request */
	uint8_t head; /* the request was a HEAD */
	uint8_t minor; /* of the request's version */
	uint8_t close; /* after this answer */
	uint8_t writing; /* the write event is armed */
	uint8_t deferred; /* waits until others have read their answers */
	uint8_t turn; /* enum turn_queue */
	uint8_t shaken; /* a step of its handshake was made */
	uint8_t unwatched; /* nothing is read for now */
	uint8_t looked_at; /* now and then, for its end, while unwatched */
	uint8_t gone; /* it waits, and will not say more */
	uint8_t told; /* how often, that there is something to read */
	uint8_t more; /* `in` may hold a whole request */
	int64_t debt; /* ns: until then it has used its time */
	int64_t uid; /* of the peer, -1 unknown */
	char from[64];
	uint8_t certificate[PRINCIPAL_HASH];
	int64_t certificate_ends; /* wall, seconds */
	uint8_t token[PRINCIPAL_HASH]; /* of the request */
	int64_t ends; /* what the request may: wall, seconds; 0 never */
	struct tls *tls; /* NULL: bytes as they are */
	struct tls_server *server; /* of tls */
	/* Of the request, until the replica changes; NULL: its user. */
	const struct principal *principal;
	struct event read;
	struct event write;
	struct event timer; /* ?wait=, comments of streams */
	char *in; /* bytes that wait for more, or for their turn */
	size_t in_len;
	uint64_t skip; /* bytes of content to be thrown away */
	char *out; /* unsent bytes */
	size_t out_len;
	size_t out_off;
	size_t out_size;
	int64_t head_deadline; /* monotonic seconds, 0 none */
	int64_t progress; /* ms: served, or has taken something */
	uint32_t request; /* id at the manager while waiting */
	uint8_t op; /* enum request_op of it */
	uint8_t asked; /* a manager has got it */
	char argument[32];
	void (*answer)(struct client *, const struct answer *);
	struct stream *stream;
	struct list *list;
	struct http_request req;
};

TAILQ_HEAD(client_list, client);

/* What the manager answered to a request. */
struct answer {
	uint16_t status;
	char code[64];
	char detail[512];
	uint32_t process;
};

/* `peer` is what accept(2) told; taken over: fd. */
struct client *client_new(int fd, int unix_socket, const struct sockaddr *peer);
void client_free(struct client *);
/* The answer to the current request is complete: goes on with the next. */
void client_done(struct client *);
/* Appends to the output; what can be written now is written by
 * client_flush().  -1: too much is unsent. */
int client_write(struct client *, const void *, size_t);
void client_flush(struct client *);
/* All that was written has left (streams pull more then). */
int client_drained(const struct client *);
void client_timer(struct client *, unsigned int seconds);
/* What there is to do for it, within its share: 1 if there is more. */
int client_work(struct client *);
/* Ends it, whatever it does, when the loop comes to it. */
void client_end(struct client *);
int64_t now_seconds(void);
extern unsigned int nclients;

/* ---- turn.c: who is served when --------------------------------------- */

void turn_prepare(void);
/* There is something to do for it: now, or when its turn comes. */
void turn_ready(struct client *);
void turn_later(struct client *); /* not now */
/* Is the share of who is served used up? */
int turn_is_over(void);
void turn_forget(struct client *);
/* Before and after what is done for nobody that is known yet. */
void turn_begin(void);
void turn_pass(void);

/* ---- room.c: too many connections, too much unread ------------------- */

extern struct client_list clients; /* least recently served first */

int64_t now_ms(void);
void room_touch(struct client *);
/* Closes the connection that is missed least, not that of the newcomer
 * (or NULL).  -1: all are busy. */
int room_make(const struct client *newcomer);
/* As often as connections and what they hold are too many.  -1: they are. */
int room_find(const struct client *newcomer);
/* What has come, and waits to be parsed, has another size. */
void room_holds(size_t before, size_t after);
/* So much is unread that who has sent so many bytes (SIZE_MAX: no request)
 * is not answered now: room_defer(). */
int room_over(size_t asked);
/* Half of what may be unread otherwise. */
void room_is_small(void);
/* How much may be unsent of one client before its next request waits. */
size_t room_share(void);
/* Its write event is made active when there is room again. */
void room_defer(struct client *);
void room_forget(struct client *);
/* Those who wait go on, if there is room. */
void room_release(void);
/* The size of an output buffer has changed. */
void room_account(size_t before, size_t after);

/* ---- listen.c ------------------------------------------------------- */

int listen_message(struct imsg *);
void listen_start(void); /* when the replica is complete */
void listen_resume(void); /* a descriptor has become free */

/* ---- access.c ------------------------------------------------------- */

void access_prepare(void); /* before the sandbox */
/* Role of the user of a new connection; fills uid and from. */
enum access_role access_peer(struct client *, const struct sockaddr *peer);
/* After the handshake: whose certificate it has shown. */
void access_certificate(struct client *);
/*
 * Who makes this request, and from where (Host, Origin)?  Fills role and
 * principal.  0, or a status and a reason.
 */
int access_request(struct client *, const char *buf, const char **reason);
/*
 * The rules are others now, or some time has gone by: the role that the
 * request has today, and the principal.
 */
enum access_role access_again(struct client *);
/* What the user of the connection may has changed. */
void access_peer_again(struct client *);
/* "token ci", "certificate alice"; "": a user. */
void access_who(const struct client *, char *buf, size_t size);
/* As replica_find() and replica_next(), of what the request may see. */
int access_find(const struct client *, uint32_t id, struct replica_process *);
int access_next(const struct client *, const struct table *, size_t *cursor,
    struct replica_process *);
/* Does it see all jobs? */
int access_is_whole(const struct client *);

/* ---- rights.c: what is allowed no more -------------------------------- */

/* After a reload: users, tokens and names of certificates. */
void rights_renew(void);
/* After new files of TLS. */
void rights_renew_certificates(void);
/* Something begins that may go on for longer than its rights. */
void rights_watch(const struct client *);
int rights_have_ended(const struct client *);

/* ---- refusal.c -------------------------------------------------------- */

/* The audit tells of it. */
void refusal_audit(
    const struct client *, enum request_op, const char *argument, int status);

/* ---- diag_linux.c --------------------------------------------------- */

int diag_open(void); /* a descriptor, -1 with errno */
/* uid of the other end of a loopback connection, -1 unknown. */
int64_t diag_uid(
    int fd, const struct sockaddr *local, const struct sockaddr *peer);

/* ---- route.c -------------------------------------------------------- */

/* Answers the request in c->req; the head lies at buf. */
void route(struct client *, const char *buf);

/* A request while it is routed. */
struct request {
	struct client *client;
	const char *buf;
	struct http_path path;
	char text[HTTP_MAX_HEAD + 1]; /* of the path */
};

/* ---- respond.c ------------------------------------------------------ */

/* A whole answer; `extra` may be NULL. */
void respond(struct client *, int status, const char *type, const void *body,
    size_t len, const struct http_extra *extra, size_t nextra);
void respond_json(struct client *, int status, const struct json *);
/* RFC 9457.  401 comes with WWW-Authenticate, 503 with Retry-After. */
void respond_problem(
    struct client *, int status, const char *code, const char *detail);
void respond_method(struct client *, const char *allow);
/*
 * Head of an answer that is written bit by bit: of so many bytes, or of
 * HTTP_NO_LENGTH, in chunks then (respond_chunk).
 */
void respond_stream(struct client *, const char *type, int64_t length);
int respond_chunk(struct client *, const void *, size_t);
void respond_stream_end(struct client *);
/* Value of a query parameter: 1 found, 0 not, -1 malformed. */
int query_get(const struct client *, const char *buf, const char *key,
    char *value, size_t size);

/* ---- accept.c -------------------------------------------------------- */

/* How much this type is wanted, in thousandths; 0 if it is not named. */
unsigned int accept_quality(const struct request *, const char *type);

/* etc/openapi.json (openapi.c) */
extern const unsigned char openapi_json[];
size_t openapi_json_len(void);

/* ---- list.c ----------------------------------------------------------- */

struct list_kind {
	const char *type;
	char open[64]; /* before the rows, and behind them */
	const char *close;
	/* A row, behind a comma unless it is the first. */
	const struct json *(*row)(const struct replica_process *, int first);
	char job[MAX_NAME + 80]; /* of this one only, */
	uint8_t one_job; /* if it is asked for */
	uint8_t listed; /* what pymanager shows only */
	uint8_t lines; /* one each, no commas */
	uint8_t sized; /* has a Content-Length however long it is */
};

void list_answer(struct client *, const struct list_kind *);
int list_work(struct client *); /* as client_work() */
void list_free(struct list *);

/* ---- api_pymanager.c, api_v1.c, stream.c ---------------------------- */

void api_root(struct request *);
void api_status(struct request *);
void api_restart(struct request *);
void api_v1(struct request *);
void api_v1_ready(struct request *);
void api_v1_openapi(struct request *);
void api_v1_healthz(struct request *);
void api_v1_processes(struct request *);
void api_v1_process(struct request *);
void api_v1_stream(struct request *);
/* Those that wait for readiness are looked at again. */
void api_v1_ready_changed(void);
void api_v1_ready_gone(struct client *);

int stream_message(struct channel *, struct imsg *, void *);
void stream_free(struct stream *);
/* What has been written so far; NULL if it is not known. */
const struct stream_cell *stream_cell(
    const struct replica_process *, unsigned int number);
int stream_follows(const struct stream *); /* NULL does not */
/* May it see the process that it reads (as long as there is one)? */
int stream_is_covered(const struct client *);
void stream_pull(struct client *); /* the reader has taken all */
void stream_resume(void); /* a new relay */
int stream_any(void); /* is somebody reading? */
/* Ends those that wait for a start that will not come. */
void stream_shutdown(void);
/* Has the relay to answer one that does not wait for output? */
int stream_is_owed(void);
void stream_comment(struct client *);

/* ---- httpd.c -------------------------------------------------------- */

extern struct event_base *base;
extern struct channel *parent_channel;
extern struct channel *manager_channel; /* NULL: being replaced */
extern struct channel *relay_channel;
extern const struct stream_cell *cells;
extern uint32_t ncells;

/* Asks the manager, or the next one when it is being replaced; the client
 * waits.  -1: too many are waiting. */
int manager_request(struct client *, enum request_op, const char *argument,
    void (*)(struct client *, const struct answer *));
void manager_forget(struct client *);
/* A client has got something, or has gone: perhaps it was the last one. */
void httpd_end(void);
/* Somebody was asked: who takes long is looked after. */
void expect_answers(void);

#endif
