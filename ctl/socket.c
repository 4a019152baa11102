#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <netdb.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <bsd/stdlib.h>
#include <bsd/string.h>

#include "ctl.h"
#include "transport.h"

/*
 * Which musterd is meant, and a connection to it.  One instance is one
 * configuration file; the path of its socket follows from the file's.
 */

#define MAX_DIRS 3
#define MAX_FOUND 32
#define DEFAULT_PORT "5001"

struct endpoint endpoint;

/* Directories of sockets, musterd's own rule first. */
struct dirs {
	char path[MAX_DIRS][80];
	int system[MAX_DIRS]; /* root's */
	size_t n;
};

uint64_t
fnv1a(const char *s)
{
	uint64_t hash;

	hash = 0xcbf29ce484222325ULL;
	for (; *s != '\0'; s++)
		hash = (hash ^ (unsigned char)*s) * 0x100000001b3ULL;
	return hash;
}

void
socket_name(
    char buf[MAX_SOCKET_PATH], const char *dir, const char *real, int system)
{
	const char *base;
	unsigned long long hash;

	if (system && strcmp(real, SYSTEM_CONFIG) == 0) {
		(void)snprintf(buf, MAX_SOCKET_PATH, "%s/muster.sock", dir);
		return;
	}
	hash = fnv1a(real);
	base = strrchr(real, '/');
	base = base == NULL ? real : base + 1;
	if (snprintf(buf, MAX_SOCKET_PATH, "%s/%s-%016llx.sock", dir, base,
		hash) >= MAX_SOCKET_PATH)
		/* sun_path is short, file names may be long. */
		(void)snprintf(buf, MAX_SOCKET_PATH, "%s/%.4s-%016llx.sock",
		    dir, base, hash);
}

/* Who may put a socket there is we, or root; else -1 with errno. */
static int
trust_dir(const char *dir)
{
	struct stat st;

	if (lstat(dir, &st) == -1)
		return -1;
	if (S_ISDIR(st.st_mode) && (st.st_uid == 0 || st.st_uid == geteuid()) &&
	    (st.st_mode & 022) == 0)
		return 0;
	errno = EPERM;
	return -1;
}

static int
check_trust(const char *path)
{
	char dir[MAX_SOCKET_PATH];

	(void)strlcpy(dir, path, sizeof(dir));
	*strrchr(dir, '/') = '\0';
	return trust_dir(dir);
}

/* Would musterd, with this $XDG_RUNTIME_DIR, use its directory there? */
static int
is_usable(const char *dir, const char *runtime)
{
	return trust_dir(dir) == 0 ||
	    (errno == ENOENT && access(runtime, W_OK | X_OK) == 0);
}

static void
find_dirs(struct dirs *dirs)
{
	const char *runtime;

	memset(dirs, 0, sizeof(*dirs));
	if (geteuid() != 0) {
		runtime = environment("XDG_RUNTIME_DIR");
		if (runtime == NULL || runtime[0] != '/' ||
		    strlen(runtime) > 64)
			runtime = "";
		(void)snprintf(
		    dirs->path[0], sizeof(dirs->path[0]), "%s/muster", runtime);
		if (runtime[0] != '\0' && is_usable(dirs->path[0], runtime))
			dirs->n++;
		(void)snprintf(dirs->path[dirs->n++], sizeof(dirs->path[0]),
		    "/tmp/muster-%u", geteuid());
	}
	dirs->system[dirs->n] = 1;
	(void)strlcpy(
	    dirs->path[dirs->n++], RUNDIR "/muster", sizeof(dirs->path[0]));
}

/* ---- connections -------------------------------------------------------- */

static int
connect_unix(const char *path)
{
	struct sockaddr_un sun;
	int error;
	int fd;

	memset(&sun, 0, sizeof(sun));
	sun.sun_family = AF_UNIX;
	if (strlcpy(sun.sun_path, path, sizeof(sun.sun_path)) >=
	    sizeof(sun.sun_path)) {
		errno = ENAMETOOLONG;
		return -1;
	}
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd == -1)
		return -1;
	if (connect(fd, (struct sockaddr *)&sun, sizeof(sun)) == 0)
		return fd;
	error = errno;
	(void)close(fd);
	errno = error;
	return -1;
}

static int
connect_address(const struct addrinfo *ai)
{
	struct pollfd pfd;
	socklen_t len;
	int error;
	int fd;

	fd = socket(ai->ai_family,
	    ai->ai_socktype | SOCK_CLOEXEC | SOCK_NONBLOCK, ai->ai_protocol);
	if (fd == -1)
		return -1;
	error = 0;
	if (connect(fd, ai->ai_addr, ai->ai_addrlen) == -1) {
		error = errno;
		pfd.fd = fd;
		pfd.events = POLLOUT;
		len = sizeof(error);
		if (error == EINPROGRESS) {
			if (poll(&pfd, 1,
				(int)(patience(CONNECT_SECONDS) * 1000)) <= 0)
				error = ETIMEDOUT;
			else if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &error,
				     &len) == -1)
				error = errno;
		}
	}
	if (error == 0)
		return fd;
	(void)close(fd);
	errno = error;
	return -1;
}

static int
connect_tcp(const char *host, const char *port)
{
	struct addrinfo hints;
	struct addrinfo *ai;
	struct addrinfo *list;
	int fd;

	memset(&hints, 0, sizeof(hints));
	hints.ai_socktype = SOCK_STREAM;
	hints.ai_flags = AI_NUMERICSERV;
	if (getaddrinfo(host, port, &hints, &list) != 0) {
		errno = EADDRNOTAVAIL;
		return -1;
	}
	fd = -1;
	errno = EADDRNOTAVAIL;
	for (ai = list; ai != NULL && fd == -1; ai = ai->ai_next)
		fd = connect_address(ai);
	freeaddrinfo(list);
	return fd;
}

int
endpoint_connect(const struct endpoint *e)
{
	double deadline;
	int fd;

	if (e->path[0] == '\0')
		return connect_tcp(e->host, e->port);
	if (e->guarded && check_trust(e->path) == -1)
		return -1;
	/* EAGAIN: so many wait already. */
	deadline = monotonic() + patience(CONNECT_SECONDS);
	while ((fd = connect_unix(e->path)) == -1 && errno == EAGAIN &&
	    monotonic() < deadline)
		(void)poll(NULL, 0, 10);
	return fd;
}

/* 1 somebody answers there; 0 not, with errno. */
static int
answers(const char *path)
{
	int fd;

	fd = connect_unix(path);
	if (fd == -1)
		return errno == EAGAIN;
	(void)close(fd);
	return 1;
}

/* ---- what is told ----------------------------------------------------------
 */

const char *
endpoint_text(void)
{
	static char text[sizeof(endpoint.host) + sizeof(endpoint.port) + 16];
	int is_v6;

	if (endpoint.path[0] != '\0')
		return endpoint.path;
	is_v6 = strchr(endpoint.host, ':') != NULL;
	(void)snprintf(text, sizeof(text), "http%s://%s%s%s:%s",
	    endpoint.tls ? "s" : "", is_v6 ? "[" : "", endpoint.host,
	    is_v6 ? "]" : "", endpoint.port);
	return text;
}

/* Who has that configuration all the same, 0: nobody.  Its lock file tells. */
static pid_t
holder(void)
{
	const char *error;
	char path[MAX_SOCKET_PATH + 8];
	char text[16];
	ssize_t n;
	pid_t pid;
	int fd;

	(void)snprintf(path, sizeof(path), "%s.lock", endpoint.path);
	fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
	if (fd == -1)
		return 0;
	n = read(fd, text, sizeof(text) - 1);
	(void)close(fd);
	text[n < 1 ? 0 : n - 1] = '\0';
	pid = (pid_t)strtonum(text, 1, INT_MAX, &error);
	if (error != NULL || (kill(pid, 0) == -1 && errno != EPERM))
		return 0;
	return pid;
}

int
unreachable(int error, int loud)
{
	char *file;
	pid_t pid;

	if (error == 0) /* it was told why */
		return CTL_FAILED;
	if (error == EAGAIN || error == ETIMEDOUT)
		return no_answer(loud);
	if (error == EACCES || error == EPERM) {
		if (loud)
			complain("%s: %s", endpoint_text(), reason(error));
		return CTL_DENIED;
	}
	if (!loud)
		return CTL_UNREACHABLE;
	if (endpoint.file == NULL)
		complain("no musterd answers at %s (%s); to start one: "
			 "musterd -d",
		    endpoint_text(), reason(error));
	else if ((pid = holder()) != 0)
		complain("no musterd answers at %s (%s), though process %d "
			 "has %s; if it names a socket by http.unix: -s SOCKET",
		    endpoint_text(), reason(error), (int)pid, endpoint.file);
	else {
		file = shell_quote(endpoint.file);
		complain("no musterd answers at %s (%s); to start it: "
			 "musterd -d -f %s",
		    endpoint_text(), reason(error), file);
		free(file);
	}
	return CTL_UNREACHABLE;
}

/* ---- -H --------------------------------------------------------------------
 */

/* "" or ":PORT", and perhaps "/". */
static int
parse_port(struct endpoint *e, const char *text)
{
	const char *error;
	char digits[8];
	size_t n;

	(void)strlcpy(e->port, DEFAULT_PORT, sizeof(e->port));
	if (text[0] == ':') {
		n = strspn(++text, "0123456789");
		if (n == 0 || n >= sizeof(digits))
			return -1;
		memcpy(digits, text, n);
		digits[n] = '\0';
		(void)snprintf(e->port, sizeof(e->port), "%d",
		    (int)strtonum(digits, 1, 65535, &error));
		if (error != NULL)
			return -1;
		text += n;
	}
	return text[0] == '\0' || strcmp(text, "/") == 0 ? 0 : -1;
}

static int
parse_host(struct endpoint *e, const char *url)
{
	const char *rest;
	size_t n;

	if (url[0] == '[') {
		url++;
		n = strspn(url, "0123456789abcdefABCDEF:.");
		if (url[n] != ']')
			return -1;
		rest = url + n + 1;
	} else {
		n = strcspn(url, ":/?#@[]");
		rest = url + n;
	}
	if (n == 0 || n >= sizeof(e->host))
		return -1;
	memcpy(e->host, url, n);
	return parse_port(e, rest);
}

int
endpoint_parse(struct endpoint *e, const char *url)
{
	memset(e, 0, sizeof(*e));
	if (strncmp(url, "http://", 7) == 0)
		return parse_host(e, url + 7);
	e->tls = strncmp(url, "https://", 8) == 0;
	if (e->tls)
		return parse_host(e, url + 8);
	if (strncmp(url, "unix:///", 8) != 0)
		return -1;
	url += 7;
	return strlcpy(e->path, url, sizeof(e->path)) < sizeof(e->path) ? 0 :
									  -1;
}

/* ---- -f
 * ----------------------------------------------------------------------- */

/*
 * The path of one that is no longer there, as musterd had it when it was: to
 * be freed, or NULL.  Where a link leads nowhere the name is another.
 */
static char *
real_directory(const char *file)
{
	const char *base;
	struct stat st;
	char *copy;
	char *dir;
	char *real;

	base = strrchr(file, '/');
	base = base == NULL ? file : base + 1;
	if (base[0] == '\0' || strcmp(base, ".") == 0 ||
	    strcmp(base, "..") == 0 || lstat(file, &st) == 0) {
		errno = ENOENT;
		return NULL;
	}
	copy = xstrdup(file);
	copy[base - file] = '\0';
	dir = realpath(copy[0] == '\0' ? "." : copy, NULL);
	free(copy);
	if (dir == NULL)
		return NULL;
	real = xasprintf("%s/%s", strcmp(dir, "/") == 0 ? "" : dir, base);
	free(dir);
	return real;
}

/*
 * The instance of a file: the first place where somebody answers, or else
 * the first.  1 if somebody does, 0, or -1: there is no such file, and none
 * that was started with it runs.
 */
static int
locate_file(const char *file, const struct dirs *dirs)
{
	char path[MAX_SOCKET_PATH];
	char *real;
	size_t i;
	int found;
	int missing;

	real = realpath(file, NULL);
	missing = real == NULL && errno == ENOENT;
	if (missing)
		real = real_directory(file);
	if (real == NULL)
		return -1;
	free(endpoint.file);
	endpoint.file = xstrdup(file);
	endpoint.path[0] = '\0';
	endpoint.guarded = 1;
	found = 0;
	for (i = 0; i < dirs->n && !found; i++) {
		socket_name(path, dirs->path[i], real, dirs->system[i]);
		if (trust_dir(dirs->path[i]) == 0 && answers(path))
			found = 1;
		if (found || endpoint.path[0] == '\0')
			(void)strlcpy(
			    endpoint.path, path, sizeof(endpoint.path));
	}
	free(real);
	if (!missing || found)
		return found;
	free(endpoint.file);
	memset(&endpoint, 0, sizeof(endpoint));
	errno = ENOENT;
	return -1;
}

/* ---- no option --------------------------------------------------------------
 */

static int
is_socket_name(const char *name)
{
	size_t len;

	len = strlen(name);
	return len > 5 && strcmp(name + len - 5, ".sock") == 0;
}

/* Sockets of one directory that answer, or refuse us; their paths are to be
 * freed. */
static void
scan_dir(const char *dir, int refuse, char **found, size_t *n)
{
	struct dirent *entry;
	char path[MAX_SOCKET_PATH];
	DIR *d;

	d = trust_dir(dir) == 0 ? opendir(dir) : NULL;
	if (d == NULL)
		return;
	/* NOLINTNEXTLINE(concurrency-mt-unsafe) there are no threads */
	while ((entry = readdir(d)) != NULL && *n < MAX_FOUND) {
		if (!is_socket_name(entry->d_name) ||
		    snprintf(path, sizeof(path), "%s/%s", dir, entry->d_name) >=
			(int)sizeof(path))
			continue;
		if (refuse ? !answers(path) && errno == EACCES : answers(path))
			found[(*n)++] = xstrdup(path);
	}
	(void)closedir(d);
}

/* Sockets that answer: ours, or else root's, or else those that refuse. */
static size_t
scan(const struct dirs *dirs, char **found)
{
	size_t i;
	size_t n;
	int refuse;

	n = 0;
	for (refuse = 0; refuse < 2 && n == 0; refuse++)
		for (i = 0; i < dirs->n; i++)
			if (!dirs->system[i] || n == 0)
				scan_dir(dirs->path[i], refuse, found, &n);
	return n;
}

/* The only one that runs. */
static int
locate_running(const struct dirs *dirs, int loud)
{
	char *found[MAX_FOUND];
	size_t i;
	size_t n;

	n = scan(dirs, found);
	if (n > 1 && loud)
		complain("several instances run; say which with -s or -f:");
	if (n == 1) {
		(void)strlcpy(endpoint.path, found[0], sizeof(endpoint.path));
		endpoint.guarded = 1;
		free(endpoint.file);
		endpoint.file = NULL;
	}
	for (i = 0; i < n; i++) {
		if (n > 1 && loud)
			complain("  %s", found[i]);
		free(found[i]);
	}
	if (n > 1)
		return CTL_USAGE;
	/* Else the system's is the one that is not there. */
	if (n == 1 || endpoint.file != NULL)
		return CTL_OK;
	if (loud)
		complain("no musterd runs, as far as %s tells; to start one: "
			 "musterd -d -f FILE",
		    dirs->path[0]);
	return CTL_UNREACHABLE;
}

static int
locate_here(int loud)
{
	/* musterd's own order. */
	static const char *const names[] = {"muster.yaml", "muster.yml",
	    "muster.json", "pymanager.json", "Procfile"};
	struct dirs dirs;
	struct stat st;
	size_t i;

	find_dirs(&dirs);
	for (i = 0; i < sizeof(names) / sizeof(*names); i++)
		if (stat(names[i], &st) == 0 && S_ISREG(st.st_mode) &&
		    locate_file(names[i], &dirs) != -1)
			return CTL_OK;
	if (locate_file(SYSTEM_CONFIG, &dirs) == 1)
		return CTL_OK;
	return locate_running(&dirs, loud);
}

/* The option, or what a command of -x is given: its musterd is meant. */
static const char *
named_socket(void)
{
	const char *s;

	if (options.socket != NULL || options.url != NULL ||
	    options.file != NULL)
		return options.socket;
	s = environment("MUSTER_SOCKET");
	return s == NULL || s[0] == '\0' ? NULL : s;
}

int
locate(int loud)
{
	struct dirs dirs;
	const char *named;

	memset(&endpoint, 0, sizeof(endpoint));
	named = named_socket();
	if (named != NULL) {
		if (strlcpy(endpoint.path, named, sizeof(endpoint.path)) <
			sizeof(endpoint.path) &&
		    endpoint.path[0] != '\0')
			return CTL_OK;
		if (loud)
			complain("%s: %s", named, reason(ENAMETOOLONG));
		return CTL_USAGE;
	}
	if (options.url != NULL) {
		if (endpoint_parse(&endpoint, options.url) == 0)
			return !endpoint.tls || transport_secure() == 0 ?
			    CTL_OK :
			    CTL_FAILED;
		if (loud)
			complain("%s: want http[s]://HOST[:PORT] or "
				 "unix:///PATH",
			    options.url);
		return CTL_USAGE;
	}
	if (options.file == NULL)
		return locate_here(loud);
	find_dirs(&dirs);
	if (locate_file(options.file, &dirs) != -1)
		return CTL_OK;
	if (loud)
		complain("%s: %s", options.file, reason(errno));
	return CTL_FAILED;
}
