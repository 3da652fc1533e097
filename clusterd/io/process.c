/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Child processes for a qb_loop, see process.h.
 *
 *   RUNNING --time-out, process_kill()--> TERM --grace_ms--> KILL --reap_ms--> STUCK
 *      |                                    |                  |                 |
 *      +------------------ the pidfd says that the leader ended -----------------+--> done, freed
 */
#include "clusterd/io/process.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "cleanup.h"
#include "clock.h"
#include "units.h"

#define CHILD_STACK_SIZE (64 * 1024)
#define KERNEL_SIGSET_SIZE 8
#define SWEEP_PASSES 4 /* a member may fork while we look */
#define NS_PER_MS 1000000ull

enum process_state { RUNNING, TERM, KILL, STUCK };

struct process {
	qb_loop_t *loop;
	struct process_events events;
	void *user;
	enum process_state state;
	pid_t pid;
	int pidfd;
	int pipe_fd[2];
	bool adopted, timed_out;
	qb_loop_timer_handle timeout, step;
	uint32_t grace_ms, reap_ms;
	uint64_t start_ms;
};

/* What the child needs; it shares our memory until it executes. */
struct child {
	const struct process_spec *spec;
	int out_fd[2];
	volatile int error;
};

uint64_t process_now_ms(void) { return clock_ms(CLOCK_MONOTONIC); }

int process_stat_parse(const char *line, pid_t *pid, pid_t *session, uint64_t *start)
{
	const char *p = strrchr(line, ')'); /* the command name may hold anything, also ')' and spaces */
	char *end;
	long id = strtol(line, &end, 10);

	if (!p || end == line || id <= 0 || id > INT32_MAX)
		return -EINVAL;
	*pid = (pid_t)id;
	p++;
	/* Fields 3.. follow: state(3) ppid(4) pgrp(5) session(6) … starttime(22). */
	for (int field = 3; field <= 22; field++) {
		while (*p == ' ')
			p++;
		if (!*p)
			return -EINVAL;
		if (field == 6)
			*session = (pid_t)strtol(p, NULL, 10);
		if (field == 22)
			*start = strtoull(p, NULL, 10);
		while (*p && *p != ' ')
			p++;
	}
	return 0;
}

static int stat_read(pid_t pid, char line[PROCESS_STAT_SIZE])
{
	char path[64];
	cleanup_fd int fd = -1;
	ssize_t n;

	snprintf(path, sizeof(path), "/proc/%d/stat", (int)pid);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	n = read(fd, line, PROCESS_STAT_SIZE - 1);
	if (n <= 0)
		return n ? -errno : -ESRCH;
	line[n] = '\0';
	return 0;
}

static bool has_ended(int pidfd)
{
	struct pollfd p = { .fd = pidfd, .events = POLLIN };

	return poll(&p, 1, 0) != 0;
}

/* SIGKILL to every live process of the session but the leader; how many there were. */
static int session_kill_pass(pid_t leader)
{
	DIR *dir = opendir("/proc");
	struct dirent *entry;
	int count = 0;

	if (!dir)
		return 0;
	while ((entry = readdir(dir))) {
		cleanup_fd int fd = -1;
		pid_t pid;

		if (!isdigit((unsigned char)entry->d_name[0]))
			continue;
		pid = (pid_t)strtol(entry->d_name, NULL, 10);
		if (pid == leader || getsid(pid) != leader)
			continue;
		/* Checked again with the pidfd in hand: the number may have become someone else's in between. */
		fd = pidfd_open(pid, 0);
		if (fd < 0 || has_ended(fd) || getsid(pid) != leader)
			continue;
		pidfd_send_signal(fd, SIGKILL, NULL, 0);
		count++;
	}
	closedir(dir);
	return count;
}

/* An unreaped child's id is ours for sure. An adopted one's is ours only while it lives: init reaps it at once. */
static bool id_is_ours(const struct process *p)
{
	return !p->adopted || !has_ended(p->pidfd);
}

static void kill_group(const struct process *p)
{
	if (id_is_ours(p))
		kill(-p->pid, SIGKILL);
}

/* Also those that the shell's job control put into groups of their own. */
static void kill_all(const struct process *p)
{
	if (!id_is_ours(p))
		return;
	kill(-p->pid, SIGKILL);
	for (int i = 0; i < SWEEP_PASSES && session_kill_pass(p->pid) > 0; i++)
		;
}

/* ---- the child: only system calls, in the memory of the parent, which waits ---- */

/* So that the next instance of the daemon can tell this process from a later one with the same pid. */
__attribute__((no_sanitize("address", "undefined"))) static int child_write_stat(int to)
{
	char line[PROCESS_STAT_SIZE];
	int fd = open("/proc/self/stat", O_RDONLY | O_CLOEXEC);
	ssize_t n, written;

	if (fd < 0)
		return errno;
	n = read(fd, line, sizeof(line));
	if (n <= 0)
		return n ? errno : EIO;
	written = write(to, line, (size_t)n);
	if (written != n)
		return written < 0 ? errno : ENOSPC;
	return 0;
}

__attribute__((no_sanitize("address", "undefined"))) static void child_reset(void)
{
	static const unsigned long default_action[8]; /* the kernel's struct sigaction: SIG_DFL, no flags, empty mask */
	struct sched_param normal;
	int fd;

	/* Not sigaction(3), which refuses the two signals that glibc keeps for itself. */
	for (int sig = 1; sig < NSIG; sig++)
		syscall(SYS_rt_sigaction, sig, default_action, NULL, KERNEL_SIGSET_SIZE);
	normal.sched_priority = 0;
	sched_setscheduler(0, SCHED_OTHER, &normal);
	setpriority(PRIO_PROCESS, 0, 0);
	umask(022);
	fd = open("/proc/self/oom_score_adj", O_WRONLY | O_CLOEXEC);
	if (fd >= 0 && write(fd, "0", 1) != 1)
		return; /* lowering is refused without privilege; the value is then the caller's own */
}

__attribute__((no_sanitize("address", "undefined"))) static int child_main(void *arg)
{
	struct child *c = arg;
	sigset_t none;
	int null;

	setsid();
	child_reset();
	null = open("/dev/null", O_RDWR | O_CLOEXEC);
	if (c->spec->stat_fd >= 0) {
		c->error = child_write_stat(c->spec->stat_fd);
		if (c->error)
			_exit(127);
	}
	if (null < 0 || dup2(null, STDIN_FILENO) < 0 || dup2(c->out_fd[0] >= 0 ? c->out_fd[0] : null, STDOUT_FILENO) < 0 ||
	    dup2(c->out_fd[1] >= 0 ? c->out_fd[1] : null, STDERR_FILENO) < 0 || chdir("/") < 0 ||
	    close_range(3, ~0U, 0) < 0) {
		c->error = errno;
		_exit(127);
	}
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	execve(c->spec->path, c->spec->argv, c->spec->envp);
	c->error = errno;
	_exit(127);
}

/*
 * clone(2) like vfork(2), for three things that posix_spawn(3) does not give: the pidfd made with the process or not at all,
 * execve's error without a pipe, and a few calls between. No page table is copied, however large the daemon is.
 */
static int child_start(const struct process_spec *spec, const int out_fd[2], int *ret_pidfd, pid_t *ret_pid)
{
	static char stack[CHILD_STACK_SIZE] __attribute__((aligned(16)));
	struct child c = { .spec = spec, .out_fd = { out_fd[0], out_fd[1] } };
	sigset_t all, old;
	int pidfd = -1, error;
	pid_t pid;

	/* No handler of ours may run in the child, which shares our memory. */
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	pid = clone(child_main, stack + sizeof(stack), CLONE_VM | CLONE_VFORK | CLONE_PIDFD | SIGCHLD, &c, &pidfd);
	error = pid < 0 ? errno : c.error;
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	if (error) {
		if (pid > 0) {
			siginfo_t info;

			waitid(P_PIDFD, (id_t)pidfd, &info, WEXITED);
			close(pidfd);
		}
		return -error;
	}
	*ret_pidfd = pidfd;
	*ret_pid = pid;
	return 0;
}

/* ---- the parent ---- */

static void timer_stop(struct process *p, qb_loop_timer_handle *timer)
{
	if (*timer)
		qb_loop_timer_del(p->loop, *timer);
	*timer = 0;
}

static void pipe_close(struct process *p, int i)
{
	if (p->pipe_fd[i] < 0)
		return;
	qb_loop_poll_del(p->loop, p->pipe_fd[i]);
	close(p->pipe_fd[i]);
	p->pipe_fd[i] = -1;
}

static void process_release(struct process *p)
{
	timer_stop(p, &p->timeout);
	timer_stop(p, &p->step);
	pipe_close(p, PROCESS_STDOUT);
	pipe_close(p, PROCESS_STDERR);
	if (p->pidfd >= 0) {
		qb_loop_poll_del(p->loop, p->pidfd);
		close(p->pidfd);
	}
	free(p);
}

/* One read; false when there is nothing more for now, or for ever. */
static bool pipe_read(struct process *p, int i)
{
	static char buf[PROCESS_READ_MAX];
	ssize_t n;

	if (p->pipe_fd[i] < 0)
		return false;
	n = read(p->pipe_fd[i], buf, sizeof(buf));
	if (n > 0) {
		p->events.output(p->user, (enum process_stream)i, buf, (size_t)n);
		return true;
	}
	if (n == 0 || (errno != EAGAIN && errno != EINTR))
		pipe_close(p, i);
	return false;
}

static int32_t on_stdout(int32_t fd, int32_t revents, void *data)
{
	(void)fd;
	(void)revents;
	pipe_read(data, PROCESS_STDOUT);
	return 0;
}

static int32_t on_stderr(int32_t fd, int32_t revents, void *data)
{
	(void)fd;
	(void)revents;
	pipe_read(data, PROCESS_STDERR);
	return 0;
}

static void report(struct process *p, enum process_end end, int code)
{
	struct process_result result = {
		.pid = p->pid,
		.end = end,
		.code = code,
		.timed_out = p->timed_out,
		.killed = p->state != RUNNING,
		.duration_ms = process_now_ms() - p->start_ms,
	};

	p->events.done(p->user, &result);
}

/* Read what the leader left in the pipes: one pipe's capacity each; whoever else writes is not waited for. */
static void pipes_drain(struct process *p)
{
	for (int i = PROCESS_STDOUT; i <= PROCESS_STDERR; i++)
		for (int reads = 0; reads < 4 && pipe_read(p, i); reads++)
			;
}

static int32_t on_exit_of_leader(int32_t fd, int32_t revents, void *data)
{
	struct process *p = data;
	enum process_end end = PROCESS_GONE;
	int code = 0;

	(void)revents;
	if (!p->adopted) {
		siginfo_t info = { 0 };

		if (p->state != RUNNING)
			kill_all(p);
		pipes_drain(p);
		if (waitid(P_PIDFD, (id_t)fd, &info, WEXITED | WNOHANG) == 0) {
			if (!info.si_pid)
				return 0;
			end = info.si_code == CLD_EXITED ? PROCESS_EXITED : PROCESS_SIGNALLED;
			code = info.si_status;
		}
	}
	report(p, end, code);
	process_release(p);
	return 0;
}

static void on_reap_timer(void *data)
{
	struct process *p = data;

	p->step = 0;
	p->state = STUCK;
	report(p, PROCESS_STUCK, 0);
}

static void on_grace_timer(void *data)
{
	struct process *p = data;

	p->step = 0;
	p->state = KILL;
	kill_group(p);
	qb_loop_timer_add(p->loop, QB_LOOP_MED, p->reap_ms * NS_PER_MS, p, on_reap_timer, &p->step);
}

void process_kill(struct process *p)
{
	if (p->state != RUNNING)
		return;
	p->state = TERM;
	timer_stop(p, &p->timeout);
	if (id_is_ours(p)) {
		kill(-p->pid, SIGTERM);
		kill(-p->pid, SIGCONT); /* a stopped process would not see SIGTERM */
	}
	qb_loop_timer_add(p->loop, QB_LOOP_MED, p->grace_ms * NS_PER_MS, p, on_grace_timer, &p->step);
}

static void on_timeout(void *data)
{
	struct process *p = data;

	p->timeout = 0;
	p->timed_out = true;
	process_kill(p);
}

static struct process *process_new(qb_loop_t *loop, const struct process_spec *spec, const struct process_events *events,
				   void *user)
{
	struct process *p = calloc(1, sizeof(*p));

	if (!p)
		return NULL;
	p->loop = loop;
	p->events = *events;
	p->user = user;
	p->pidfd = p->pipe_fd[0] = p->pipe_fd[1] = -1;
	p->grace_ms = spec->grace_ms;
	p->reap_ms = spec->reap_ms;
	p->start_ms = process_now_ms();
	return p;
}

/* Watch what has been started. Failures are out of memory only; the process is then killed by the caller. */
static int process_watch(struct process *p, uint32_t timeout_ms)
{
	static const qb_loop_poll_dispatch_fn readers[2] = { on_stdout, on_stderr };
	int r = qb_loop_poll_add(p->loop, QB_LOOP_MED, p->pidfd, POLLIN, p, on_exit_of_leader);

	for (int i = 0; i < 2 && !r; i++)
		if (p->pipe_fd[i] >= 0)
			r = qb_loop_poll_add(p->loop, QB_LOOP_LOW, p->pipe_fd[i], POLLIN, p, readers[i]);
	if (!r && timeout_ms)
		r = qb_loop_timer_add(p->loop, QB_LOOP_MED, timeout_ms * NS_PER_MS, p, on_timeout, &p->timeout);
	return r;
}

static int pipe_open(int *read_end, int *write_end)
{
	int fds[2];

	if (pipe2(fds, O_CLOEXEC) < 0)
		return -errno;
	*read_end = fds[0];
	*write_end = fds[1];
	/* Only our end: the agent expects writes that block. */
	return fcntl(fds[0], F_SETFL, O_NONBLOCK) < 0 ? -errno : 0;
}

int process_spawn(qb_loop_t *loop, const struct process_spec *spec, const struct process_events *events, void *user,
		  struct process **ret)
{
	struct process *p = process_new(loop, spec, events, user);
	cleanup_fd int out = -1;
	cleanup_fd int err = -1;
	int r = 0;

	if (!p)
		return -ENOMEM;
	if (events->output)
		r = pipe_open(&p->pipe_fd[0], &out);
	if (!r && events->output)
		r = pipe_open(&p->pipe_fd[1], &err);
	if (!r)
		r = child_start(spec, (const int[2]){ out, err }, &p->pidfd, &p->pid);
	if (r) {
		process_release(p);
		return r;
	}
	r = process_watch(p, spec->timeout_ms);
	if (r) {
		process_abandon(p, true);
		return r;
	}
	*ret = p;
	return 0;
}

int process_adopt(qb_loop_t *loop, const char *stat, const struct process_spec *spec, const struct process_events *events,
		  void *user, struct process **ret)
{
	struct process *p;
	char line[PROCESS_STAT_SIZE];
	pid_t pid, session = 0, found;
	uint64_t start = 0, found_start = 0;
	int pidfd, r;

	r = process_stat_parse(stat, &pid, &session, &start);
	if (r)
		return r;
	pidfd = pidfd_open(pid, 0);
	if (pidfd < 0)
		return -errno;
	/* With the pidfd in hand the number cannot change its meaning any more: same start time, same process. */
	if (stat_read(pid, line) || process_stat_parse(line, &found, &session, &found_start) || start != found_start ||
	    strrchr(line, ')')[2] == 'Z') {
		close(pidfd);
		return -ESRCH;
	}
	p = process_new(loop, spec, events, user);
	if (!p) {
		close(pidfd);
		return -ENOMEM;
	}
	p->adopted = true;
	p->pid = pid;
	p->pidfd = pidfd;
	r = process_watch(p, spec->timeout_ms);
	if (r) {
		process_release(p);
		return r;
	}
	*ret = p;
	return 0;
}

void process_abandon(struct process *p, bool kill)
{
	siginfo_t info;

	if (kill) {
		struct pollfd gone = { .fd = p->pidfd, .events = POLLIN };

		kill_all(p);
		while (poll(&gone, 1, PROCESS_ABANDON_MS) < 0 && errno == EINTR)
			;
	}
	if (!p->adopted)
		waitid(P_PIDFD, (id_t)p->pidfd, &info, WEXITED | WNOHANG);
	process_release(p);
}

pid_t process_pid(const struct process *p)
{
	return p->pid;
}
