/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Checking and mending the file system of a volume that nobody has. */
#include <errno.h>
#include <string.h>

#include "csvfs/admin/admin.h"

#define E2FSCK_MENDED 3	    /* e2fsck(8): errors corrected (1), and reboot (2) */
#define E2FSCK_ERRORS 4	    /* left uncorrected */
#define XFS_REPAIR_ERRORS 1 /* xfs_repair(8): with -n, corruption was found */

struct outcome {
	const char *state; /* "clean", "mended", "errors" */
	int code;
};

/* What a program's exit code means; NULL: it failed. */
static struct outcome outcome_of(bool xfs, int exit_code)
{
	if (!exit_code)
		return (struct outcome){ "clean", ADMIN_OK };
	if (xfs && exit_code == XFS_REPAIR_ERRORS)
		return (struct outcome){ "errors", ADMIN_UNCLEAN };
	if (!xfs && exit_code > 0 && exit_code <= E2FSCK_MENDED)
		return (struct outcome){ "mended", ADMIN_OK };
	if (!xfs && exit_code > 0 && (exit_code & E2FSCK_ERRORS) && exit_code < 8)
		return (struct outcome){ "errors", ADMIN_UNCLEAN };
	return (struct outcome){ NULL, ADMIN_FAILED };
}

static int run_fsck(struct admin *a, const struct admin_volume *v)
{
	const char *const e2fsck[] = { "e2fsck", "-f", a->repair ? "-y" : "-n", v->path, NULL };
	const char *const look[] = { "xfs_repair", "-n", v->path, NULL };
	const char *const repair[] = { "xfs_repair", v->path, NULL };
	bool xfs = v->super.kind == SUPERBLOCK_XFS;
	const char *const *argv = !xfs ? e2fsck : a->repair ? repair : look;
	int r = run_program(argv);
	struct outcome o = outcome_of(xfs, r);

	if (r == -ENOENT)
		return admin_fail(a, ADMIN_FAILED, "%s is not installed; its package is %s", argv[0],
				  xfs ? "xfsprogs" : "e2fsprogs");
	if (!o.state)
		return admin_fail(a, ADMIN_FAILED, "%s: %s failed (%d), see above", v->path, argv[0], r);
	json_object_set_new(a->result, "state", json_string(o.state));
	if (o.code != ADMIN_OK)
		admin_fail(a, o.code, "%s: %s has found errors%s", v->path, argv[0],
			   a->repair ? " that it could not mend" : "; --repair mends them");
	return o.code;
}

/* The journal first: fsck does not replay that of XFS. What cannot be mounted may still be mended. */
static int check_claimed(struct admin *a, const struct admin_volume *v)
{
	int code, r;

	if (v->super.replay && !a->repair)
		return admin_fail(a, ADMIN_REFUSED,
				  "%s: its journal has to be replayed, so what a check found would mean nothing; let an owner "
				  "mount it once, or "
				  "say --repair",
				  v->path);
	if (a->repair) {
		r = run_mounted(v, NULL, NULL);
		if (r < 0)
			fprintf(a->err, "csvfs-admin: %s: mounting it, to replay its journal: %s; mending it without\n",
				v->path, strerror(-r));
	}
	r = device_drop_cache(&v->device);
	code = r < 0 ? ADMIN_OK : run_fsck(a, v);
	if (!r)
		r = device_drop_cache(&v->device);
	return r < 0 ? admin_fail(a, ADMIN_FAILED, "%s: %s", v->path, strerror(-r)) : code;
}

int admin_check(struct admin *a)
{
	struct admin_volume v;
	int code = volume_open(a, &v, a->args[0], true);

	if (code == ADMIN_OK)
		code = volume_check_filesystem(a, &v);
	if (code == ADMIN_OK) {
		code = volume_claim(a, &v);
		if (code == ADMIN_OK)
			code = volume_release(a, &v, check_claimed(a, &v));
	}
	volume_close(&v);
	return code;
}
