/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Log of the daemon on libqb: each line is an event name and key=value pairs, to a file, to the journal (as fields) or
 * stderr, to syslog if asked, and always, trace included, to the flight recorder: a ring in memory that is written out on a
 * crash or on request and read by `qb-blackbox`.
 *
 * Logging never waits: what a full disk or a hanging journal does not take is lost, and log_lines_lost tells how many lines
 * when it takes some again.
 *
 *     log_info("role_started", "role=%s node=%u why=%s", name, node, log_quote(text));
 */
#ifndef CLUSTERD_LOG_H
#define CLUSTERD_LOG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <syslog.h>

#include <qb/qblog.h>

#define LOG_RECORDER_SIZE (1024 * 1024)
#define LOG_LINE_MAX 1024
#define LOG_QUOTES 8 /* log_quote() results alive at once in a thread */

#define log_at(level, event, fmt, ...) qb_log(level, event " " fmt, ##__VA_ARGS__)
#define log_error(event, fmt, ...) log_at(LOG_ERR, event, fmt, ##__VA_ARGS__)
#define log_warning(event, fmt, ...) log_at(LOG_WARNING, event, fmt, ##__VA_ARGS__)
#define log_notice(event, fmt, ...) log_at(LOG_NOTICE, event, fmt, ##__VA_ARGS__)
#define log_info(event, fmt, ...) log_at(LOG_INFO, event, fmt, ##__VA_ARGS__)
#define log_debug(event, fmt, ...) log_at(LOG_DEBUG, event, fmt, ##__VA_ARGS__)
#define log_trace(event, fmt, ...) log_at(LOG_TRACE, event, fmt, ##__VA_ARGS__)

struct log_config {
	const char *file; /* NULL or "": none */
	int level;        /* LOG_ERR … LOG_DEBUG, LOG_TRACE: what goes to file, journal, stderr, syslog */
	bool to_syslog;
	bool to_stderr;        /* the journal when stderr is one */
	const char *state_dir; /* the recorder is dumped to <state_dir>/recorder-… ; NULL: no dump */
};

/* 0 or negative errno with `text`. Installs handlers for SIGSEGV, SIGABRT, SIGBUS, SIGFPE, SIGILL that dump and re-raise. */
int log_open(const char *program, const struct log_config *config, char *text, size_t text_size);
void log_close(void);
/* Opens the file anew (after rotation); the old one stays when that fails. */
int log_reopen(void);

/* Writes the flight recorder to `path`, or NULL: <state_dir>/recorder-<time>. `ret_path` (PATH_MAX bytes) may be NULL. */
int log_recorder_dump(const char *path, char *ret_path, size_t size);
/*
 * Writes it to <state_dir>/recorder-<time> and to the disk, before a reset: in a thread of its own, since the disk may hang.
 * 0 when it is there; -ETIMEDOUT after `wait_ms`; other negative errno.
 */
int log_recorder_save(uint32_t wait_ms);

/* `text` as a value: in quotes with escapes when it has blanks, quotes or control characters. Lives LOG_QUOTES calls. */
const char *log_quote(const char *text);

/* "error", "warning", "notice", "info", "debug", "trace" -> syslog level; -EINVAL. */
int log_level_of(const char *name);

#endif
