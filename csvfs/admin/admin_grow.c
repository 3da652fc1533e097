/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Growing a volume that nobody has. The order makes every interruption harmless: the new trailer is whole before the file
 * system grows over the old one, and a second run goes on where the first ended.
 */
#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "csvfs/admin/admin.h"
#include "csvfs/io/growth.h"

static int grow_mounted(int root, const void *data)
{
	const struct admin_volume *v = data;
	int r = growth_run(&v->super, root, v->trailer.at);

	return r < 0 ? r : 0;
}

static int move_trailer(struct admin *a, struct admin_volume *v)
{
	struct trailer to;
	int r = trailer_settle(&v->trailer, &v->header);

	if (r < 0)
		return admin_fail(a, ADMIN_FAILED, "%s: trailers of before, behind its file system: %s", v->path, strerror(-r));
	if (trailer_place(v->device.size) < v->trailer.at + TRAILER_SIZE)
		return ADMIN_OK;
	r = trailer_move(&to, &v->trailer, &v->header);
	v->lost = r == -ENOTRECOVERABLE;
	if (v->lost)
		return admin_fail(a, ADMIN_FAILED,
				  "%s: writing the trailer at its new end, and taking it away again, failed; when the device works "
				  "again, say it again with --forget",
				  v->path);
	if (r < 0)
		return admin_fail(a, ADMIN_FAILED, "%s: writing the trailer at its new end: %s; the old one is still good",
				  v->path, strerror(-r));
	v->trailer = to;
	return ADMIN_OK;
}

/* Online growing of ext4 is journalled, but takes CAP_SYS_RESOURCE, which a container may lack. */
static int grow_unmounted(const struct admin_volume *v, uint64_t blocks)
{
	char count[32];
	const char *const check[] = { "e2fsck", "-f", "-y", v->path, NULL };
	const char *const resize[] = { "resize2fs", v->path, count, NULL };
	int r = run_program(check);

	if (r > 1) /* e2fsck(8): 1 is "errors corrected" */
		return -EIO;
	snprintf(count, sizeof(count), "%" PRIu64, blocks);
	if (r >= 0)
		r = run_program(resize);
	if (r >= 0)
		r = r ? -EIO : device_drop_cache(&v->device);
	return r;
}

static int grow_filesystem(struct admin *a, const struct admin_volume *v)
{
	uint64_t size = growth_size(&v->super, v->trailer.at);
	int r;

	if (size <= v->super.size)
		return ADMIN_OK;
	r = run_mounted(v, grow_mounted, v);
	if (r == -EPERM && v->super.kind == SUPERBLOCK_EXT4)
		r = grow_unmounted(v, size / v->super.block);
	return r < 0 ? admin_fail(a, ADMIN_FAILED, "%s: growing its %s: %s; the volume is good, at its old size; try again",
				  v->path, v->header.filesystem, strerror(-r))
		     : ADMIN_OK;
}

static int grow_claimed(struct admin *a, struct admin_volume *v)
{
	uint64_t before = v->super.size;
	int code = move_trailer(a, v), r;

	if (code == ADMIN_OK)
		code = grow_filesystem(a, v);
	if (code != ADMIN_OK)
		return code;
	r = superblock_read(&v->device, &v->super);
	if (r < 0 || v->super.size > v->trailer.at)
		return admin_fail(a, ADMIN_FAILED, "%s: reading its superblock: %s", v->path,
				  r ? strerror(-r) : "it is too long");
	json_object_set_new(a->result, "before_bytes", json_integer((json_int_t)before));
	json_object_set_new(a->result, "filesystem_bytes", json_integer((json_int_t)v->super.size));
	json_object_set_new(a->result, "grown", json_boolean(v->super.size > before));
	return ADMIN_OK;
}

int admin_grow(struct admin *a)
{
	struct admin_volume v;
	int code = volume_open(a, &v, a->args[0], true);

	if (code == ADMIN_OK)
		code = volume_check_filesystem(a, &v);
	if (code == ADMIN_OK) {
		code = volume_claim(a, &v);
		if (code == ADMIN_OK)
			code = volume_release(a, &v, grow_claimed(a, &v));
	}
	volume_close(&v);
	return code;
}
