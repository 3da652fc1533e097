/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Log targets, the journal's datagrams, and the flight recorder with its crash handlers. */
#include "clusterd/log.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "text.h"
#include "units.h"

#define JOURNAL_SOCKET "/run/systemd/journal/socket"
#define JOURNAL_FIELDS_MAX 24
#define CRASH_STACK_SIZE 65536
#define RECORDER_SHM_DIR "/dev/shm" /* libqb's choice */

static const struct {
	const char *name;
	int level;
} levels[] = {
	{ "error", LOG_ERR },	{ "warning", LOG_WARNING }, { "notice", LOG_NOTICE },
	{ "info", LOG_INFO },	{ "debug", LOG_DEBUG },	    { "trace", LOG_TRACE },
};

static const int crash_signals[] = { SIGSEGV, SIGABRT, SIGBUS, SIGFPE, SIGILL };

static char recorder_dir[256], program_name[64];
static char file_path[PATH_MAX];
static int file_target = -1, output_target = -1;
static int file_fd = -1;
static int journal_fd = -1;
static uint64_t file_lost, output_lost; /* lines in a row that the target did not take */
static char crash_path[PATH_MAX];
static char recorder_shm[2][128]; /* what libqb keeps the ring in: a crash must not leave it behind */

int log_level_of(const char *name)
{
	for (size_t i = 0; i < ARRAY_SIZE(levels); i++)
		if (!strcmp(levels[i].name, name))
			return levels[i].level;
	return -EINVAL;
}

static const char *level_name(int level)
{
	for (size_t i = 0; i < ARRAY_SIZE(levels); i++)
		if (levels[i].level == level)
			return levels[i].name;
	return level < LOG_ERR ? "error" : "trace";
}

const char *log_quote(const char *text)
{
	static __thread char buffers[LOG_QUOTES][LOG_LINE_MAX];
	static __thread unsigned int next;
	char *out = buffers[next++ % LOG_QUOTES], *p = out, *end = out + LOG_LINE_MAX - 8;
	bool plain = *text != '\0';

	for (const char *t = text; *t && plain; t++)
		plain = isgraph((unsigned char)*t) ? *t != '"' && *t != '\\' && *t != '=' : (unsigned char)*t >= 0x80;
	if (!plain)
		*p++ = '"';
	for (; *text && p < end; text++) {
		unsigned char c = (unsigned char)*text;

		if (c == '"' || c == '\\')
			p += sprintf(p, "\\%c", c);
		else if (c == '\n')
			p += sprintf(p, "\\n");
		else if (c < 0x20 || c == 0x7f)
			p += sprintf(p, "\\x%02x", c);
		else
			*p++ = (char)c;
	}
	if (!plain)
		*p++ = '"';
	*p = '\0';
	return out;
}

/* --- stderr and the journal (one custom target) --- */

/* Is stderr a stream of the journal? systemd.exec(5), $JOURNAL_STREAM. */
static bool stderr_is_journal(void)
{
	const char *text = getenv("JOURNAL_STREAM");
	unsigned long long device, inode;
	struct stat st;

	return text && sscanf(text, "%llu:%llu", &device, &inode) == 2 && !fstat(STDERR_FILENO, &st) && st.st_dev == device &&
	       st.st_ino == inode;
}

static int journal_open(void)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX, .sun_path = JOURNAL_SOCKET };
	int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	if (fd >= 0 && connect(fd, (struct sockaddr *)&address, sizeof(address))) {
		close(fd);
		return -1;
	}
	return fd;
}

/* "key=value" pairs as fields CLUSTERD_KEY=value; a quoted value loses its quotes. Returns the end of `out`. */
static char *journal_pairs(char *out, char *end, const char *text)
{
	for (unsigned int n = 0; *text && n < JOURNAL_FIELDS_MAX; n++) {
		const char *equals = text + strcspn(text, " =");
		const char *stop;
		bool quoted;

		if (*equals != '=') {
			text = equals + (*equals == ' ');
			continue;
		}
		quoted = equals[1] == '"';
		stop = equals + 1 + quoted;
		while (*stop && (quoted ? *stop != '"' : *stop != ' '))
			stop += quoted && *stop == '\\' && stop[1] ? 2 : 1;
		if (end - out < 16 + (stop - text))
			break;
		out = stpcpy(out, "CLUSTERD_");
		for (; text < equals; text++)
			*out++ = isalnum((unsigned char)*text) ? (char)toupper((unsigned char)*text) : '_';
		*out++ = '=';
		out = mempcpy(out, equals + 1 + quoted, (size_t)(stop - equals - 1 - quoted));
		*out++ = '\n';
		text = stop + quoted;
		text += *text == ' ';
	}
	return out;
}

/* systemd.io/JOURNAL_NATIVE_PROTOCOL. Never waits for a journal that hangs: the line is lost. */
static bool journal_send(const struct qb_log_callsite *cs, const char *message)
{
	char datagram[4 * LOG_LINE_MAX], *p = datagram;
	size_t event = strcspn(message, " ");

	p += snprintf(p, sizeof(datagram),
		      "PRIORITY=%d\nSYSLOG_IDENTIFIER=%s\nCODE_FILE=%s\nCODE_LINE=%u\nCODE_FUNC=%s\nCLUSTERD_EVENT=%.*s\n"
		      "MESSAGE=%s\n",
		      cs->priority > LOG_DEBUG ? LOG_DEBUG : cs->priority, program_name, cs->filename, cs->lineno, cs->function,
		      (int)event, message, message);
	p = journal_pairs(p, datagram + sizeof(datagram), message + event);
	return send(journal_fd, datagram, (size_t)(p - datagram), MSG_NOSIGNAL) >= 0;
}

static bool line_write(int fd, const struct qb_log_callsite *cs, const struct timespec *timestamp, const char *message)
{
	char line[LOG_LINE_MAX + 128], when[40], zone[8];
	struct tm tm;
	int n;

	localtime_r(&timestamp->tv_sec, &tm);
	strftime(when, sizeof(when), "%Y-%m-%dT%H:%M:%S", &tm);
	strftime(zone, sizeof(zone), "%z", &tm);
	n = snprintf(line, sizeof(line), "%s.%03ld%s %-7s %s\n", when, timestamp->tv_nsec / 1000000, zone,
		     level_name(cs->priority), message);
	if (n >= (int)sizeof(line)) {
		n = (int)sizeof(line) - 1;
		line[n - 1] = '\n';
	}
	return write(fd, line, (size_t)n) == n;
}

static bool line_out(int target, const struct qb_log_callsite *cs, const struct timespec *timestamp, const char *message)
{
	if (target == file_target)
		return line_write(file_fd, cs, timestamp, message);
	if (journal_fd >= 0)
		return journal_send(cs, message);
	return line_write(STDERR_FILENO, cs, timestamp, message);
}

/* The first line that a target takes again says how many are missing before it. */
static void on_line(int32_t target, struct qb_log_callsite *cs, struct timespec *timestamp, const char *message)
{
	uint64_t *lost = target == file_target ? &file_lost : &output_lost;
	struct qb_log_callsite about = *cs;
	char text[64];

	about.priority = LOG_WARNING;
	snprintf(text, sizeof(text), "log_lines_lost count=%llu", (unsigned long long)*lost);
	if (*lost && line_out(target, &about, timestamp, text))
		*lost = 0;
	if (*lost || !line_out(target, cs, timestamp, message))
		++*lost;
}

/* --- the flight recorder --- */

/* The name is composed without malloc or stdio, so that a crash handler may do it. */
static void recorder_name(char *out, size_t size)
{
	char digits[24];
	time_t now = time(NULL);
	size_t n = strlen(recorder_dir), i = 0;
	static const char part[] = "/recorder-";

	if (n + sizeof(part) + 2 * sizeof(digits) > size) {
		out[0] = '\0';
		return;
	}
	memcpy(out, recorder_dir, n);
	memcpy(out + n, part, sizeof(part) - 1);
	n += sizeof(part) - 1;
	for (int field = 0; field < 2; field++) {
		unsigned long long v = field ? (unsigned long long)getpid() : (unsigned long long)now;

		for (i = 0; v || !i; v /= 10)
			digits[i++] = (char)('0' + v % 10);
		while (i)
			out[n++] = digits[--i];
		if (!field)
			out[n++] = '-';
	}
	out[n] = '\0';
}

/* libqb creates files that all may execute: it finds one of ours. Safe in a crash handler. */
static ssize_t recorder_write(const char *path)
{
	int fd;

	unlink(path);
	fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (fd < 0)
		return -errno;
	close(fd);
	return qb_log_blackbox_write_to_file(path);
}

int log_recorder_dump(const char *path, char *ret_path, size_t size)
{
	char name[PATH_MAX];
	ssize_t n;

	if (!path) {
		if (!recorder_dir[0])
			return -ENOTSUP;
		recorder_name(name, sizeof(name));
		path = name;
	}
	n = recorder_write(path);
	if (n < 0)
		return (int)n;
	if (ret_path)
		text_copy(ret_path, size, path);
	return 0;
}

static int path_sync(const char *path)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC), error;

	if (fd < 0)
		return -errno;
	error = fsync(fd) ? -errno : 0;
	close(fd);
	return error;
}

/* Its result is the thread's; what it points to outlives the caller that has stopped waiting. */
static void *recorder_save(void *unused)
{
	char path[PATH_MAX];
	int error = log_recorder_dump(NULL, path, sizeof(path));

	(void)unused;
	if (!error)
		error = path_sync(path);
	if (!error)
		error = path_sync(recorder_dir);
	return (void *)(intptr_t)error;
}

int log_recorder_save(uint32_t wait_ms)
{
	struct timespec until;
	sigset_t all, before;
	pthread_t thread;
	void *result;
	int error;

	clock_gettime(CLOCK_REALTIME, &until);
	until.tv_sec += (until.tv_nsec / 1000000 + wait_ms) / MS_PER_SECOND;
	until.tv_nsec = (until.tv_nsec / 1000000 + wait_ms) % MS_PER_SECOND * 1000000;
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	error = pthread_create(&thread, NULL, recorder_save, NULL);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	if (error)
		return -error;
	error = pthread_timedjoin_np(thread, &result, &until);
	if (!error)
		return (int)(intptr_t)result;
	pthread_detach(thread);
	return -error;
}

/* Best effort in a broken process: dump, tell where, die of the same signal (so that a core is written too). */
static void on_crash(int signal_number)
{
	static const char told[] = "clusterd: crashed; flight recorder: ";
	static volatile sig_atomic_t inside;

	if (!inside) {
		inside = 1;
		recorder_name(crash_path, sizeof(crash_path));
		if (crash_path[0] && recorder_write(crash_path) >= 0 &&
		    write(STDERR_FILENO, told, sizeof(told) - 1) > 0 &&
		    write(STDERR_FILENO, crash_path, strlen(crash_path)) > 0 && write(STDERR_FILENO, "\n", 1) > 0)
			inside = 2;
		unlink(recorder_shm[0]);
		unlink(recorder_shm[1]);
	}
	raise(signal_number); /* SA_RESETHAND: the default action now */
}

static int crash_handlers_install(void)
{
	static char stack[CRASH_STACK_SIZE];
	stack_t alternative = { .ss_sp = stack, .ss_size = sizeof(stack) };
	struct sigaction action = { .sa_handler = on_crash, .sa_flags = SA_RESETHAND | SA_NODEFER | SA_ONSTACK };

	if (sigaltstack(&alternative, NULL))
		return -errno;
	for (size_t i = 0; i < ARRAY_SIZE(crash_signals); i++)
		if (sigaction(crash_signals[i], &action, NULL))
			return -errno;
	return 0;
}

/* --- opening --- */

static int target_filter(int target, int level)
{
	int error;

	qb_log_filter_ctl(target, QB_LOG_FILTER_CLEAR_ALL, QB_LOG_FILTER_FILE, "*", LOG_TRACE);
	error = qb_log_filter_ctl(target, QB_LOG_FILTER_ADD, QB_LOG_FILTER_FILE, "*", (uint8_t)level);
	return error ? error : qb_log_ctl(target, QB_LOG_CONF_ENABLED, QB_TRUE);
}

static int target_open(int *ret_target, int level)
{
	int target = qb_log_custom_open(on_line, NULL, NULL, NULL);

	if (target < 0)
		return target;
	*ret_target = target;
	qb_log_format_set(target, "%b");
	qb_log_ctl(target, QB_LOG_CONF_MAX_LINE_LEN, LOG_LINE_MAX);
	return target_filter(target, level);
}

static int file_open(void)
{
	int fd = open(file_path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NOCTTY, 0640);

	if (fd < 0)
		return -errno;
	if (file_fd >= 0)
		close(file_fd);
	file_fd = fd;
	return 0;
}

/* What an instance left that was killed outright: two megabytes of memory each, until the next boot. */
static void remove_old_recorders(void)
{
	DIR *dir = opendir(RECORDER_SHM_DIR);
	char prefix[80], path[PATH_MAX];
	struct dirent *e;

	snprintf(prefix, sizeof(prefix), "qb-%s-", program_name);
	while (dir && (e = readdir(dir))) {
		char *end;
		long pid;

		if (strncmp(e->d_name, prefix, strlen(prefix)) != 0)
			continue;
		pid = strtol(e->d_name + strlen(prefix), &end, 10);
		if (pid <= 0 || strncmp(end, "-blackbox-", 10) != 0 || !kill((pid_t)pid, 0) || errno != ESRCH)
			continue;
		snprintf(path, sizeof(path), RECORDER_SHM_DIR "/%s", e->d_name);
		unlink(path);
	}
	if (dir)
		closedir(dir);
}

static int open_recorder(char *text, size_t text_size)
{
	int error = qb_log_ctl(QB_LOG_BLACKBOX, QB_LOG_CONF_SIZE, LOG_RECORDER_SIZE);

	remove_old_recorders();
	qb_log_ctl(QB_LOG_BLACKBOX, QB_LOG_CONF_MAX_LINE_LEN, LOG_LINE_MAX);
	for (unsigned int i = 0; i < 2; i++)
		snprintf(recorder_shm[i], sizeof(recorder_shm[i]), RECORDER_SHM_DIR "/qb-%s-%d-blackbox-%s", program_name, getpid(),
			 i ? "header" : "data");
	if (!error)
		error = target_filter(QB_LOG_BLACKBOX, LOG_TRACE);
	if (!error)
		error = crash_handlers_install();
	if (error)
		snprintf(text, text_size, "flight recorder of %d bytes in /dev/shm: %s", LOG_RECORDER_SIZE, strerror(-error));
	return error;
}

int log_open(const char *program, const struct log_config *config, char *text, size_t text_size)
{
	int error;

	text[0] = '\0';
	text_copy(program_name, sizeof(program_name), program);
	text_copy(recorder_dir, sizeof(recorder_dir), config->state_dir);
	qb_log_init(program_name, LOG_DAEMON, LOG_EMERG);
	qb_log_ctl(QB_LOG_SYSLOG, QB_LOG_CONF_ENABLED, QB_FALSE);
	if (config->to_syslog) {
		qb_log_format_set(QB_LOG_SYSLOG, "%b");
		qb_log_ctl(QB_LOG_SYSLOG, QB_LOG_CONF_MAX_LINE_LEN, LOG_LINE_MAX);
		target_filter(QB_LOG_SYSLOG, config->level);
	}
	error = 0;
	if (config->file && config->file[0]) {
		text_copy(file_path, sizeof(file_path), config->file);
		error = file_open();
		if (error)
			snprintf(text, text_size, "log_file = %s: cannot be opened: %s", config->file, strerror(-error));
		else
			error = target_open(&file_target, config->level);
	}
	if (!error && config->to_stderr) {
		if (stderr_is_journal())
			journal_fd = journal_open();
		error = target_open(&output_target, config->level);
	}
	if (!error)
		error = open_recorder(text, text_size);
	if (error && !text[0])
		snprintf(text, text_size, "log: %s", strerror(-error));
	if (error)
		log_close();
	return error;
}

void log_close(void)
{
	struct sigaction action = { .sa_handler = SIG_DFL };

	for (size_t i = 0; i < ARRAY_SIZE(crash_signals); i++)
		sigaction(crash_signals[i], &action, NULL);
	qb_log_fini();
	if (journal_fd >= 0)
		close(journal_fd);
	if (file_fd >= 0)
		close(file_fd);
	journal_fd = file_fd = file_target = output_target = -1;
	file_lost = output_lost = 0;
}

int log_reopen(void) { return file_target < 0 ? 0 : file_open(); }
