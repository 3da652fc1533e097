/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Child processes for a qb_loop: spawned into a session of their own, watched by pidfd, bounded in time, with their
 * output read as it comes.
 *
 * Contract
 * - Nothing blocks but the spawn itself (until the child has called execve(2), some hundred microseconds).
 * - The child sees: stdin /dev/null, stdout and stderr our pipes, no other descriptor, cwd /, umask 022, an empty signal
 *   mask, default dispositions, SCHED_OTHER, oom_score_adj 0, a session and process group with its own pid as id.
 * - The end is the end of the *leader* (the process we started). Children it leaves behind, such as a daemon it was
 *   meant to start, may hold the pipes open: we read what is there and close our ends. A daemon that goes on writing to
 *   an inherited pipe gets SIGPIPE, as under other cluster managers.
 * - A time-out or process_kill() sends SIGTERM to the process group, after grace_ms SIGKILL to the group and to every
 *   process of the session (shell job control makes groups of its own). The leader stays a zombie, so that its id cannot
 *   be given to a stranger, until the last signal was sent. Only a process that called setsid(2) itself escapes.
 * - A leader in uninterruptible sleep survives SIGKILL: `done` is called with PROCESS_STUCK after PROCESS_REAP_MS and once
 *   more when it has gone at last.
 * - Nobody else may reap our children: no waitpid(-1), no SIGCHLD set to SIG_IGN in this program.
 */
#ifndef CLUSTERD_IO_PROCESS_H
#define CLUSTERD_IO_PROCESS_H

#include <qb/qbloop.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#define PROCESS_GRACE_MS 2000        /* default time from SIGTERM to SIGKILL */
#define PROCESS_REAP_MS 3000         /* default time from SIGKILL to "stuck" */
#define PROCESS_READ_MAX (64 * 1024) /* bytes read from one pipe in one turn of the loop */
#define PROCESS_ABANDON_MS 500
#define PROCESS_STAT_SIZE 512        /* one line of /proc/PID/stat */

struct process;

enum process_stream { PROCESS_STDOUT, PROCESS_STDERR };

enum process_end {
	PROCESS_EXITED,   /* code: exit status */
	PROCESS_SIGNALLED, /* code: signal number */
	PROCESS_STUCK,    /* not gone after SIGKILL; another call of `done` follows */
	PROCESS_GONE,     /* an adopted process ended: nobody can tell us how */
};

struct process_result {
	pid_t pid;
	enum process_end end;
	int code;
	bool timed_out;       /* the time-out expired before the end */
	bool killed;          /* we sent a signal: time-out or process_kill() */
	uint64_t duration_ms; /* since the spawn, or since the adoption */
};

struct process_events {
	/* A piece of output, at most PROCESS_READ_MAX bytes; NULL: output is read and dropped. */
	void (*output)(void *user, enum process_stream stream, const char *data, size_t len);
	/* The end. Never called from within process_spawn(). The handle is freed after the last call. */
	void (*done)(void *user, const struct process_result *result);
};

struct process_spec {
	const char *path;   /* absolute */
	char *const *argv;
	char *const *envp;
	uint32_t timeout_ms; /* 0: none */
	uint32_t grace_ms;
	uint32_t reap_ms;
	/* -1, or a file to which the child appends its line of /proc/self/stat before it executes, so that no moment is
	 * without a record (process_adopt() reads it); what cannot be recorded is not executed. */
	int stat_fd;
};

/*
 * Spawn. 0, or negative errno: that of execve(2) (ENOENT also when the interpreter of a script is missing, EACCES,
 * ENOEXEC), or EMFILE, ENFILE, EAGAIN, ENOMEM when the machine is short of something; then nothing runs and `done` is not called.
 */
int process_spawn(qb_loop_t *loop, const struct process_spec *spec, const struct process_events *events, void *user,
		  struct process **ret);

/*
 * Watch a leader that an earlier instance of this program spawned. `stat` is the line its stat_fd received. -ESRCH: it has
 * ended (no process with this pid has the same start time). timeout_ms as above, from now.
 */
int process_adopt(qb_loop_t *loop, const char *stat, const struct process_spec *spec,
		  const struct process_events *events, void *user, struct process **ret);

/* SIGTERM, grace, SIGKILL to all of it. `done` still follows. Idempotent. */
void process_kill(struct process *p);

/*
 * Forget it without `done`; not from within `output`. With `kill`, SIGKILL to all of it first and up to PROCESS_ABANDON_MS to
 * reap it: for shutting down, not for normal operation.
 */
void process_abandon(struct process *p, bool kill);

pid_t process_pid(const struct process *p);

/* pid and start time (clock ticks since boot) of a line of /proc/PID/stat; -EINVAL. proc(5). */
int process_stat_parse(const char *line, pid_t *pid, pid_t *session, uint64_t *start);

/* Milliseconds of CLOCK_MONOTONIC. */
uint64_t process_now_ms(void);

#endif
