/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * csvfs-admin: one run of it. A command fills `result`, which is shown at the end as lines or as JSON, and returns an exit
 * code; what fails is said by admin_fail() with the object, what was tried and the way out.
 */
#ifndef CSVFS_ADMIN_ADMIN_H
#define CSVFS_ADMIN_ADMIN_H

#include <jansson.h>
#include <stdio.h>

#include "csvfs/io/superblock.h"
#include "csvfs/io/trailer.h"

#define ADMIN_ARGS_MAX 4
#define ADMIN_UUID_SIZE 37 /* with the NUL */
#define ADMIN_WHAT_SIZE 256

#define ADMIN_EXIT(code, symbol, meaning) symbol = (code),
enum admin_exit {
#include "csvfs/admin/admin_exits.def"
};
#undef ADMIN_EXIT

struct admin {
	FILE *out, *err;
	const char *filesystem, *label; /* options; NULL: not given */
	bool force, forget, json, repair, quota;
	uint32_t timeout_ms;
	const char *args[ADMIN_ARGS_MAX]; /* behind the command */
	int n_args;
	json_t *result; /* object */
};

/* Everything: arguments, command, output. The exit code. */
int admin_main(int argc, char **argv, FILE *out, FILE *err);
/* Says it once, and returns `code`. */
__attribute__((format(printf, 3, 4))) int admin_fail(struct admin *a, int code, const char *format, ...);
/* Names that a volume may have: one to NAME_SIZE - 1 letters, digits, '_', '.', '-', the first a letter or digit. */
bool admin_label_valid(const char *label);
void admin_uuid_text(uint64_t hi, uint64_t lo, char out[ADMIN_UUID_SIZE]);

/* --- a volume --- */

struct admin_volume {
	const char *path;
	struct device device;
	struct trailer trailer;
	struct trailer_header header;
	struct superblock super;
	struct trailer_owner claim; /* what volume_claim() has written */
	bool lost; /* it is not known which trailer is the volume's: nothing is written to any */
};

/* Opens the device and finds its trailer; says what is wrong. volume_close() also after a failure. */
int volume_open(struct admin *a, struct admin_volume *v, const char *path, bool write);
void volume_close(struct admin_volume *v);
extern uint32_t admin_claim_ms; /* how long a claim waits for others, TRAILER_CLAIM_MS; tests that are alone wait less */
/* The file system is the one that the volume was made with; a check or a growth of another would do harm. */
int volume_check_filesystem(struct admin *a, const struct admin_volume *v);
/*
 * The volume is ours until volume_release(): nobody has the device here, no owner and no sessions are noted on it (or
 * --forget), and an owner that starts meanwhile finds our note.
 */
int volume_claim(struct admin *a, struct admin_volume *v);
/* `code`, or another when somebody has taken the volume in spite of our note. */
int volume_release(struct admin *a, struct admin_volume *v, int code);
/* -EBUSY or the like as a text: who notes say they have it. ADMIN_OK: nobody. */
int volume_check_holders(struct admin *a, const struct admin_volume *v);

/* --- what it uses --- */

/* What libblkid finds on the device: *ret_what is "" for nothing. The cache it has filled is dropped. Negative errno. */
int probe_device(const char *path, char ret_what[ADMIN_WHAT_SIZE]);
/* Runs a program with its output on standard error; exit code, or negative errno (-ENOENT: not installed). NULL-ended. */
int run_program(const char *const argv[]);
/*
 * Mounts the volume where nobody sees it and calls fn (NULL: only the replay) on its root in a process of its own. 0, fn's
 * negative errno, or that of mount(2) and umount(2).
 */
typedef int run_mounted_fn(int root, const void *data);
int run_mounted(const struct admin_volume *v, run_mounted_fn *fn, const void *data);

/* --- commands --- */

#define ADMIN_COMMAND(name, min, max, args, fn, help) int fn(struct admin *a);
#include "csvfs/admin/admin_commands.def"
#undef ADMIN_COMMAND

#endif
