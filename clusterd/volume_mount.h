/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * One volume on this node: its csvfs, which outlives clusterd, and its mount point.
 *
 *            number known          answers                        unmounted, ended
 *   absent ---------------> started -----> runs ------> ending ---------------------> gone
 *     ^                        |             |  ends by itself: the dead mount is detached
 *     +---- pause, growing ----+-------------+
 *
 * An end waits for those who use the volume and says who they are; only mount_kill() does not. Nothing here waits: questions
 * go by volume_client.h, unmounting is a process of its own, the end of csvfs is told by its pidfd.
 */
#ifndef CLUSTERD_VOLUME_MOUNT_H
#define CLUSTERD_VOLUME_MOUNT_H

#include <qb/qbloop.h>

#include "clusterd/io/volume_client.h"
#include "csvfs/io/volume_process.h"

#define MOUNT_DIR_SIZE 512
#define MOUNT_ASK_MS 1000          /* csvfs is asked how it goes this often */
#define MOUNT_ANSWER_MS 3000       /* and answers within this time … */
#define MOUNT_SILENT_MS 10000      /* … or counts as hung after that, and its volume as out of use here */
#define MOUNT_RETRY_MIN_MS 1000    /* pause before csvfs is started again, doubled each time … */
#define MOUNT_RETRY_MAX_MS 60000   /* … up to this; one that ran for so long begins anew */
#define MOUNT_UNMOUNT_MS 2000      /* pause before a busy one is tried again */

struct process;

/* What all mounts of this node share. */
struct mount_surroundings {
	qb_loop_t *loop;
	const char *run_dir, *log_file, *volume_dir, *key, *program;
	uint32_t self;
	/* Something about it is different: how it goes, or that it has ended. Not from within a call of this header. */
	void (*changed)(void *user);
	void *user;
};

struct mount_owner {
	uint64_t epoch;
	uint32_t node, port;
	char address[TEXT_SIZE];
};

struct volume_mount {
	const struct mount_surroundings *around;
	uint32_t id;
	uint64_t number, cluster; /* of the volume; of the cluster it is of */
	char name[NAME_SIZE], device[TEXT_SIZE], dir[MOUNT_DIR_SIZE];
	uint32_t pause_max_ms;
	uint64_t run;    /* number of the csvfs that runs, or is to be started next; lower ones have ended. 0: none yet */
	bool numbered;   /* `run` was given for the next start */
	bool alive;      /* its process, or what that has begun to write */
	bool lingers;    /* only the latter */
	bool ending;     /* it is to be unmounted and forgotten */
	bool gone;       /* that has happened */
	bool killed;     /* by mount_kill(): no sign of trouble */
	bool status_known;
	struct vol_status_is status; /* its last answer … */
	uint64_t status_ms;          /* … which came then */
	char trouble[TEXT_SIZE];     /* "" or why it is not as it should be, for people */
	/* volume_mount.c's own */
	struct volume_place place;
	struct volume_process process;
	struct volume_question *question;
	uint16_t asked;
	bool moved; /* to be asked at once */
	uint64_t asked_ms, answered_ms, started_ms, next_start_ms, next_unmount_ms;
	uint32_t pause_ms;
	struct process *unmounting;
	struct mount_owner told, telling;
	int told_redirect, telling_redirect; /* -1: not known */
};

/* A volume that has none here yet. -EINVAL, -ENAMETOOLONG: its name or directory cannot be. */
int mount_init(struct volume_mount *m, const struct mount_surroundings *around, uint32_t id, uint64_t number, uint64_t cluster,
	       const char *name);
/*
 * Those that a run of clusterd before has left, `each` to be kept by the callee (copied: nothing of it is watched yet, see
 * mount_watch()). 0 or negative errno.
 */
int mount_list(const struct mount_surroundings *around, void (*each)(void *user, const struct volume_mount *m), void *user);
/* Begins to watch one of mount_list(), at its final address. */
int mount_watch(struct volume_mount *m);
/* Starts csvfs under m->run, unless it is too early after a failure. */
void mount_start(struct volume_mount *m, uint64_t now_ms);
/* Tells, asks, unmounts: whatever is due. `owner`: NULL: none that could be told. */
void mount_tick(struct volume_mount *m, uint64_t now_ms, const struct mount_owner *owner, bool redirect);
/* To be unmounted, when nobody uses it any more. `why` for the log. */
void mount_end(struct volume_mount *m, const char *why);
/* Now, whoever uses it: SIGKILL, and what is open or waits there fails. The end is told by `changed`. */
void mount_kill(struct volume_mount *m);
/* Forgets it; csvfs goes on. */
void mount_done(struct volume_mount *m);
/* Reads and writes here succeed, or wait for a new owner. */
bool mount_is_up(const struct volume_mount *m, uint64_t now_ms);
/* How it goes has been asked since clusterd started, or that will not be known. */
bool mount_is_known(const struct volume_mount *m, uint64_t now_ms);

#endif
