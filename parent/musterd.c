#include <sys/file.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <syslog.h>
#include <time.h>
#include <unistd.h>

#include <bsd/stdlib.h>
#include <bsd/string.h>
#include <bsd/unistd.h>

#include "../common/log.h"
#include "../common/title.h"
#include "parent.h"

/* musterd: the command line, and who becomes what. */

#ifndef LIBEXECDIR
#define LIBEXECDIR "/usr/local/libexec/muster"
#endif

const char *options[128];
char **command;
struct instance instance;

uint64_t
now(void)
{
	struct timespec ts;

	(void)clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * SEC + (uint64_t)ts.tv_nsec;
}

static void __attribute__((noreturn)) quit(int code)
{
	if (code == 0 && (fflush(stdout) == EOF || ferror(stdout))) {
		log_warn("standard output");
		code = 1;
	}
	/* NOLINTNEXTLINE(concurrency-mt-unsafe) there are no threads */
	exit(code);
}

static void __attribute__((noreturn)) usage(int code)
{
	static const char synopsis[] =
	    "usage: musterd [-dhnqVvw] [-f FILE] [-l FILE] [-p FILE]"
	    " [--log-format F]\n"
	    "               [--wait]\n"
	    "       musterd [-qvw] [-f FILE] [-l FILE] [-p FILE]"
	    " [--log-format F]\n"
	    "               -x -- COMMAND [ARG ...]\n";
	static const char text[] =
	    "  -f, --file FILE     configuration (default: muster.yaml or .yml,"
	    " muster.json,\n"
	    "                      pymanager.json, Procfile, /etc/muster/"
	    "muster.yaml)\n"
	    "  -d, --daemon        into the background once it is accepted\n"
	    "      --wait          with -d: once all of it is up\n"
	    "  -x                  bring all up, run COMMAND, take all down\n"
	    "  -n                  check the configuration, start nothing\n"
	    "  -p, --pidfile FILE  write the process id there\n"
	    "  -l, --logfile FILE  messages go there; syslog: to the system's"
	    " log\n"
	    "      --log-format F  text, logfmt, json or syslog\n"
	    "  -q                  no progress display\n"
	    "  -v, --verbose       [INFO] messages\n"
	    "  -w, --debug         [DEBUG] messages, too\n"
	    "  -V, --version       print the version\n"
	    "  -h, --help          print this\n";

	(void)fputs(synopsis, code == 0 ? stdout : stderr);
	if (code == 0) /* who has mistyped sees what, in front of that */
		(void)fputs(text, stdout);
	quit(code);
}

static void
log_format_option(void)
{
	const char *word = options['F'];

	if (strcmp(word, "syslog") == 0) {
		options['l'] = "syslog:";
		options['F'] = "text";
	} else if (strcmp(word, "text") != 0 && strcmp(word, "logfmt") != 0 &&
	    strcmp(word, "json") != 0) {
		(void)fprintf(stderr,
		    "musterd: --log-format %s: want text, logfmt, json or "
		    "syslog\n",
		    word);
		quit(2);
	}
}

/* What stands behind -- is the command of -x; all other words are ignored. */
static void
parse_options(int argc, char **argv)
{
	static const struct option longs[] = {
	    {"file", required_argument, NULL, 'f'},
	    {"daemon", no_argument, NULL, 'd'},
	    {"wait", no_argument, NULL, 'W'},
	    {"pidfile", required_argument, NULL, 'p'},
	    {"version", no_argument, NULL, 'V'},
	    {"verbose", no_argument, NULL, 'v'},
	    {"debug", no_argument, NULL, 'w'},
	    {"logfile", required_argument, NULL, 'l'},
	    {"log-format", required_argument, NULL, 'F'},
	    {"help", no_argument, NULL, 'h'}, {NULL, 0, NULL, 0}};
	int c;
	int i;

	for (i = 1; i < argc && strcmp(argv[i], "--") != 0; i++)
		;
	if (i + 1 < argc)
		command = &argv[i + 1];
	for (;;) {
		/* NOLINTNEXTLINE(concurrency-mt-unsafe) no threads */
		c = getopt_long(i, argv, "df:hl:np:qVvwx", longs, NULL);
		if (c == -1)
			break;
		if (c == '?')
			usage(2);
		options[c] = optarg == NULL ? "" : optarg;
		if (c == 'h')
			usage(0);
		if (c == 'F')
			log_format_option();
		if (c == 'V') {
			(void)printf("musterd " MUSTER_VERSION "\n");
			quit(0);
		}
	}
	if (optind < i) /* as pymanager does, but not without a word */
		(void)fprintf(stderr, "musterd: %s: ignored%s%s%s\n",
		    argv[optind],
		    options['f'] == NULL ? " (did you mean -f " : "",
		    options['f'] == NULL ? argv[optind] : "",
		    options['f'] == NULL ? "?)" : "");
	if (options['W'] != NULL && options['d'] == NULL) {
		(void)fprintf(stderr, "musterd: --wait goes with -d\n");
		quit(2);
	}
	if (options['n'] != NULL)
		options['d'] = options['x'] = NULL;
	if (getpid() == 1) /* all others end with us */
		options['d'] = NULL;
	if (options['x'] == NULL)
		command = NULL;
	else if (command == NULL) {
		(void)fprintf(stderr, "musterd: -x needs -- COMMAND\n");
		quit(2);
	} else if (options['d'] != NULL) {
		(void)fprintf(stderr,
		    "musterd: -x waits for its command, -d for nothing\n");
		quit(2);
	}
}

/* Opens the configuration; where there is none pymanager's words and codes. */
static int
open_config(void)
{
	static const char global[] = SYSCONFDIR "/muster/muster.yaml";
	static const char *const names[] = {"muster.yaml", "muster.yml",
	    "muster.json", "pymanager.json", "Procfile", global};
	const size_t count = sizeof(names) / sizeof(names[0]);
	struct stat st;
	size_t i;
	int fd;

	fd = -1;
	errno = ENOENT;
	instance.file = options['f'];
	if (instance.file != NULL)
		fd = config_open(instance.file, &st);
	for (i = 0; options['f'] == NULL && fd == -1 && i < count &&
	     (errno == ENOENT || errno == ENOTDIR);
	     i++) {
		instance.file = names[i];
		fd = config_open(names[i], &st);
	}
	if (fd != -1)
		return fd;
	/* A pipe of the shell, <(...): we have closed what we were given. */
	if (errno == ENOENT && options['f'] != NULL &&
	    (strncmp(options['f'], "/dev/fd/", 8) == 0 ||
		strncmp(options['f'], "/proc/self/fd/", 14) == 0))
		errno = EINVAL;
	if (errno == ENOENT) {
		(void)printf("Cannot find file %s.\n",
		    options['f'] != NULL ? options['f'] : names[0]);
		quit(1);
	}
	(void)printf("Error while loading file %s: %s.\n", instance.file,
	    errno == EINVAL    ? "Not a regular file" :
		errno == EPERM ? "Others than its owner may write to it" :
				 /* NOLINTNEXTLINE(concurrency-mt-unsafe) */
				 strerror(errno));
	quit(2);
}

/* What is written to is emptied first: never the configuration itself. */
static void
spare_config(int config)
{
	static const char letters[] = {'l', 'p'};
	const char *name;
	struct stat a;
	struct stat b;
	size_t i;

	for (i = 0; i < sizeof(letters); i++) {
		name = options[(int)letters[i]];
		if (name == NULL || fstat(config, &a) == -1 ||
		    stat(name, &b) == -1 || a.st_ino != b.st_ino ||
		    a.st_dev != b.st_dev)
			continue;
		(void)fprintf(stderr,
		    "musterd: -%c %s: this is the configuration\n", letters[i],
		    name);
		quit(2);
	}
}

/* A private directory for sockets, made when it is missing. */
static int
own_directory(const char *path)
{
	struct stat st;

	if (mkdir(path, instance.uid == 0 ? 0755 : 0700) == -1 &&
	    errno != EEXIST)
		return -1;
	if (lstat(path, &st) == -1)
		return -1;
	if (S_ISDIR(st.st_mode) && st.st_uid == instance.uid &&
	    (st.st_mode & 022) == 0)
		return 0;
	errno = EPERM;
	return -1;
}

/* Where the API's socket of this configuration file is: API.md, 5. */
static void
name_socket(void)
{
	char dir[80];
	char own[32];
	const char *runtime;
	const char *base;
	const char *p;
	char *real;
	uint64_t hash;
	int width;

	real = realpath(instance.file, NULL);
	if (real == NULL)
		return;
	/* NOLINTNEXTLINE(concurrency-mt-unsafe) there are no threads */
	runtime = getenv("XDG_RUNTIME_DIR");
	if (instance.uid == 0)
		runtime = RUNDIR;
	if (runtime == NULL || runtime[0] != '/' || strlen(runtime) > 64)
		runtime = ""; /* cannot be used */
	(void)snprintf(dir, sizeof(dir), "%s/muster", runtime);
	if (own_directory(dir) == -1 && instance.uid != 0) {
		(void)snprintf(
		    dir, sizeof(dir), "/tmp/muster-%u", instance.uid);
		(void)own_directory(dir);
	}
	hash = 0xcbf29ce484222325ULL; /* FNV-1a */
	for (p = real; *p != '\0'; p++)
		hash = (hash ^ (uint8_t)*p) * 0x100000001b3ULL;
	base = strrchr(real, '/') + 1;
	own[0] = '\0';
	if (options['x'] != NULL) /* an instance of its own */
		(void)snprintf(own, sizeof(own), "-%d", (int)getpid());
	if (instance.uid == 0 && options['x'] == NULL &&
	    strcmp(real, SYSCONFDIR "/muster/muster.yaml") == 0)
		(void)snprintf(instance.socket, sizeof(instance.socket),
		    "%s/muster.sock", dir);
	else
		/* sun_path is short, file names may be long. */
		for (width = NAME_MAX; width > 0; width = width > 4 ? 4 : 0)
			if (snprintf(instance.socket, sizeof(instance.socket),
				"%s/%.*s-%016llx%s.sock", dir, width, base,
				(unsigned long long)hash,
				own) < (int)sizeof(instance.socket))
				break;
	free(real);
}

/* Before there is a parent nobody else removes what was made. */
static void __attribute__((noreturn)) give_up(const char *what)
{
	const int error = errno;

	guard_remove();
	errno = error;
	fatal("%s", what);
}

/*
 * One instance for one file.  The lock is held by guard and parent while
 * either lives; an exit removes the file while it is still locked, hence
 * the second look.
 */
static int
lock_instance(void)
{
	struct stat a;
	struct stat b;
	char pid[16];
	ssize_t n;
	int error;
	int fd;

	if (snprintf(instance.lockfile, sizeof(instance.lockfile), "%s.lock",
		instance.socket) >= (int)sizeof(instance.lockfile))
		return -1;
	for (;;) {
		fd = open(instance.lockfile,
		    O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
		if (fd == -1) {
			log_warn("%s", instance.lockfile);
			instance.lockfile[0] = '\0';
			return -1;
		}
		error = flock(fd, LOCK_EX | LOCK_NB) == -1 ? errno : 0;
		if (error == EWOULDBLOCK) {
			n = pread(fd, pid, sizeof(pid) - 1, 0);
			pid[n < 1 ? 0 : n - 1] = '\0';
			(void)fprintf(stderr,
			    "musterd: %s is in the hands of process %s\n",
			    instance.file, pid);
			quit(1);
		}
		if (error != 0)
			log_warn("%s", instance.lockfile);
		if (fstat(fd, &a) == 0 && lstat(instance.lockfile, &b) == 0 &&
		    a.st_ino == b.st_ino && a.st_dev == b.st_dev)
			return fd;
		(void)close(fd);
	}
}

/* Another musterd that lives has locked its own. */
static void
write_pid_file(void)
{
	const char *name = options['p'];

	if (pid_file_make(name) == 0)
		return;
	if (errno == ELOOP || errno == EWOULDBLOCK) {
		log_errorx("%s: %s", name,
		    errno == ELOOP ? "A symbolic link is not followed" :
				     "It is in the hands of another musterd");
		guard_remove();
		_exit(1);
	}
	give_up(name);
}

/* Goes on in the daemon; who called it waits for the code.  Q25. */
static int
daemonize(void)
{
	sigset_t none;
	uint8_t code;
	int ends[2];

	if (pipe2(ends, O_CLOEXEC) == -1)
		give_up("pipe2");
	(void)fflush(NULL);
	switch (fork()) {
	case -1:
		log_warn("fork");
		guard_remove();
		_exit(6);
	case 0:
		break;
	default:
		/* Who only waits has nothing to clean up. */
		(void)sigemptyset(&none);
		signal_mask(&none);
		(void)close(ends[1]);
		if (read(ends[0], &code, 1) != 1)
			code = 1;
		_exit(code);
	}
	(void)close(ends[0]);
	if (setsid() == -1)
		log_warn("setsid");
	switch (fork()) {
	case -1:
		log_warn("fork");
		guard_remove();
		code = 7;
		(void)!write(ends[1], &code, 1);
		_exit(7);
	case 0:
		return ends[1];
	default:
		_exit(0);
	}
}

/* Where the other programs are: beside this one, or where installed. */
static void
find_libexec(void)
{
	static const char inside[] = "/../libexec/muster";
	char self[PATH_MAX];
	char *slash;
	ssize_t n;

	/* NOLINTNEXTLINE(concurrency-mt-unsafe) there are no threads */
	instance.libexec = getenv("MUSTER_LIBEXEC");
	if (instance.libexec != NULL && instance.libexec[0] == '/' &&
	    getuid() == geteuid() && getgid() == getegid())
		return;
	instance.libexec = LIBEXECDIR;
	n = readlink("/proc/self/exe", self, sizeof(self) - sizeof(inside));
	self[n < 0 ? 0 : n] = '\0';
	slash = strrchr(self, '/');
	if (slash == NULL)
		return;
	memcpy(slash, inside, sizeof(inside));
	if (access(self, X_OK) == 0 && (slash = strdup(self)) != NULL)
		instance.libexec = slash;
}

/* Without the first of them nothing can be said of a configuration. */
static void
check_libexec(void)
{
	char path[PATH_MAX];

	(void)snprintf(
	    path, sizeof(path), "%s/muster-manager", instance.libexec);
	if (access(path, X_OK) == -1)
		fatal("%s", path);
}

/* JOURNAL_STREAM is its device and inode. */
int
is_journal(int fd)
{
	const char *stream;
	struct stat st;
	char own[64];

	/* NOLINTNEXTLINE(concurrency-mt-unsafe) there are no threads */
	stream = getenv("JOURNAL_STREAM");
	if (stream == NULL || fstat(fd, &st) == -1)
		return 0;
	(void)snprintf(own, sizeof(own), "%ju:%ju", (uintmax_t)st.st_dev,
	    (uintmax_t)st.st_ino);
	return strcmp(own, stream) == 0;
}

int
verbosity(void)
{
	return options['w'] != NULL ? 2 : options['v'] != NULL;
}

/*
 * Our user's name, as far as it can be known without the system's users, whose
 * libraries have no place here.  Who has become root may have another's.
 */
static const char *
own_name(const char *logname)
{
	if (instance.uid == 0)
		return "root";
	return logname != NULL && strcmp(logname, "root") == 0 ? NULL : logname;
}

static void
init_instance(void)
{
	static const uint64_t kernel_default[4]; /* struct sigaction */
	struct sigaction sa;
	struct timespec ts;
	int sig;
	int fd;

	instance.uid = geteuid();
	instance.gid = getegid();
	instance.ngroups =
	    getgroups(sizeof(instance.groups) / sizeof(gid_t), instance.groups);
	/* NOLINTBEGIN(concurrency-mt-unsafe) there are no threads */
	instance.notify = getenv("NOTIFY_SOCKET");
	instance.syslog = getenv("MUSTER_SYSLOG");
	instance.user = own_name(getenv("LOGNAME"));
	instance.home = getenv("HOME");
	/* NOLINTEND(concurrency-mt-unsafe) */
	if (instance.syslog == NULL)
		instance.syslog = _PATH_LOG;
	fd = open("/dev/tty", O_RDONLY | O_NOCTTY | O_CLOEXEC);
	instance.had_tty = fd != -1;
	if (fd != -1)
		(void)close(fd);
	instance.started = now();
	(void)clock_gettime(CLOCK_REALTIME, &ts);
	instance.started_wall =
	    (uint64_t)ts.tv_sec * SEC + (uint64_t)ts.tv_nsec;
	(void)snprintf(
	    instance.boot, sizeof(instance.boot), "%08x", arc4random());
	if (getcwd(instance.directory, sizeof(instance.directory)) == NULL)
		fatal("current directory");
	/*
	 * Jobs start with all signals at their defaults; nohup(1) is for
	 * musterd alone.
	 */
	for (sig = 1; sig < NSIG; sig++)
		if (sigaction(sig, NULL, &sa) == 0 &&
		    sa.sa_handler == SIG_IGN) {
			if (sig == SIGHUP)
				instance.ignored_hup = 1;
			else
				(void)signal(sig, SIG_DFL);
		}
	/*
	 * glibc keeps those below SIGRTMIN to itself, and who is started by
	 * its posix_spawn(3), as by make(1), has them ignored.
	 */
	for (sig = 32; sig < SIGRTMIN; sig++)
		(void)syscall(SYS_rt_sigaction, sig, kernel_default, NULL, 8);
	/* Too large is an error of write(2), which we tell. */
	(void)signal(SIGXFSZ, SIG_IGN);
	find_libexec();
}

/* Descriptors 0 to 2 exist, and nothing else that we were given. */
static void
clean_descriptors(void)
{
	static const char null[] = "/dev/null";
	int fd;

	do {
		fd = open(null, O_RDWR | O_CLOEXEC);
		if (fd == -1) /* it may be that there is no fd 2, either */
			fatal("%s", null);
		if (fd <= STDERR_FILENO)
			(void)fcntl(fd, F_SETFD, 0);
	} while (fd <= STDERR_FILENO);
	closefrom(STDERR_FILENO + 1);
	instance.null = open(null, O_RDWR | O_CLOEXEC);
	if (instance.null == -1)
		fatal("%s", null);
}

int
main(int argc, char **argv)
{
	char pid_text[16];
	sigset_t all;
	int ends[2];
	int config;
	int ready;
	int lock;
	pid_t pid;

	log_init("musterd", LOG_LEVEL_WARNING, NULL);
	clean_descriptors();
	(void)sigfillset(&all);
	/* What process 1 neither handles nor blocks does not reach it. */
	if (getpid() == 1)
		signal_mask(&all);
	title_init(argc, argv);
	log_set_journal(is_journal(STDERR_FILENO));
	parse_options(argc, argv);
	log_set_level((enum log_level)(LOG_LEVEL_WARNING + verbosity()));
	init_instance();
	check_libexec();
	config = open_config();
	spare_config(config);
	name_socket();
	/* From here on there is something to remove: no signal ends us now. */
	signal_mask(&all);
	/* The name that -x has is nobody else's. */
	lock = -1;
	if (options['n'] == NULL && options['x'] == NULL)
		lock = lock_instance();
	ready = options['d'] != NULL ? daemonize() : -1;
	if (lock != -1)
		(void)pid_put(lock, pid_text);
	if (options['p'] != NULL && options['n'] == NULL)
		write_pid_file();
	instance.guard = getpid();
	instance.group = getpgrp();
	instance.is_alone = options['x'] != NULL && instance.group == getsid(0);
	if (options['n'] == NULL)
		cgroup_init(instance.guard);
	(void)fflush(NULL);
	if (prctl(PR_SET_CHILD_SUBREAPER, 1) == -1 ||
	    socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) == -1)
		give_up("guard");
	pid = fork();
	if (pid == -1)
		give_up("fork");
	if (pid == 0) {
		(void)close(ends[0]);
		if (ready != -1)
			(void)close(ready);
		parent_run(config, ends[1]);
	}
	(void)close(ends[1]);
	(void)close(config);
	return guard_run(pid, ends[0], ready);
}
