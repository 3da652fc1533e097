/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * csvfs and csvfs-owner as processes that outlive who started them: clusterd and its agents end and are restarted while a
 * volume is in use. Each is known by a record, a file that names its pid and when it started, so that a pid that was given
 * to a stranger meanwhile is never taken for it; signals go by pidfd.
 *
 * Files: RUN_DIR/volumes/NAME.KIND (control socket), NAME.KIND.process (record), and DIR/volume-NAME.KIND.log, where DIR is
 * the directory of clusterd's log file, RUN_DIR/volumes when there is none.
 */
#ifndef CSVFS_IO_VOLUME_PROCESS_H
#define CSVFS_IO_VOLUME_PROCESS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#define VOLUME_PATH_SIZE 512
#define VOLUME_LOG_MAX (4 << 20) /* bytes; a longer log is set aside as .log.old, in the place of an earlier one, at a start */

struct volume_place {
	char control[VOLUME_PATH_SIZE], record[VOLUME_PATH_SIZE], log[VOLUME_PATH_SIZE];
};

struct volume_process {
	int pidfd;
	pid_t pid;
};

/*
 * The paths of the volume `name`; kind: "owner" or "node". log_file NULL or "": none. -EINVAL: a name that is no file name;
 * -ENAMETOOLONG: the control socket's does not fit into sun_path.
 */
int volume_place(struct volume_place *ret, const char *run_dir, const char *log_file, const char *kind, const char *name);
/* Makes RUN_DIR/volumes, for root alone. */
int volume_place_make(const char *run_dir);

/*
 * Starts argv[0] (a path) with the rest of argv: in a session of its own, child of init, standard error and output appended
 * to place->log, no other descriptor of ours, signals and priority as usual. The record is written before it executes.
 * 0 or the errno of what failed; nothing runs then and there is no record. ret_log_from: where in the log its lines begin.
 */
int volume_process_start(const struct volume_place *place, const char *const argv[], struct volume_process *ret,
			 off_t *ret_log_from);
/* The process of the record. -ESRCH: it has ended, or there is no record; -EBADMSG: the record is damaged. */
int volume_process_find(const struct volume_place *place, struct volume_process *ret);
/* Waits for its end, with all of its threads. 0, -ETIMEDOUT; 0 ms: only looks. */
int volume_process_wait(const struct volume_process *p, int timeout_ms);
/*
 * It has been killed, and a thread of it is still in the kernel: its end comes when that returns. What would make it return may
 * have been the business of the process itself.
 */
bool volume_process_dying(const struct volume_process *p);
int volume_process_signal(const struct volume_process *p, int signal);
void volume_process_close(struct volume_process *p);
/* The last line its log has behind `from`, without what the program says of itself at its begin; "" when there is none. */
void volume_process_last_words(const struct volume_place *place, off_t from, char *out, size_t size);

#endif
