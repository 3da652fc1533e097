/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Making a volume. The trailer comes last: what is interrupted before is no volume. The file system gets exactly the features
 * the invariants allow, whatever the host's /etc says, and is looked at when it is made.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "cleanup.h"
#include "csvfs/admin/admin.h"
#include "text.h"

#define BLOCK 4096u
#define HEAD (1u << 20) /* signatures at the start of a device lie within */

static const char ext4_features[] = "none,has_journal,ext_attr,resize_inode,dir_index,filetype,extent,64bit,flex_bg,sparse_super,"
				    "large_file,huge_file,dir_nlink,extra_isize,metadata_csum";

struct making {
	const char *path;
	struct device device;
	uint64_t at; /* where the trailer will be, the file system ends */
	struct trailer_header header;
};

/* --- may we? --- */

static int check_device(struct admin *a, struct making *m)
{
	int r = device_open(&m->device, m->path, true);

	if (r < 0)
		return admin_fail(a, ADMIN_FAILED, "%s: %s", m->path,
				  r == -EROFS ? "is read-only; look at what exports it" : strerror(-r));
	r = device_is_free(m->path);
	if (r == -EBUSY)
		return admin_fail(
			a, ADMIN_REFUSED,
			"%s: in use on this host (mounted, or held by device-mapper, md or another program); stop that first",
			m->path);
	if (r < 0)
		return admin_fail(a, ADMIN_FAILED, "%s: %s", m->path, strerror(-r));
	m->at = trailer_place(m->device.size);
	if (!m->at)
		return admin_fail(a, ADMIN_REFUSED,
				  "%s: %" PRIu64 " bytes are too few; a volume needs 64 MiB (ext4) or 320 MiB (xfs)", m->path,
				  m->device.size);
	return ADMIN_OK;
}

/* A volume of ours: not even --force takes it from who has it. */
static int check_volume(struct admin *a, struct making *m)
{
	struct admin_volume v = { .path = m->path, .device = m->device };
	char error[ADMIN_WHAT_SIZE];
	int r = trailer_find(&v.trailer, &m->device, &v.header, error, sizeof(error));

	if (r == -ENOENT)
		return ADMIN_OK;
	if (r < 0 && r != -EBADMSG && r != -EPROTONOSUPPORT)
		return admin_fail(a, ADMIN_FAILED, "%s: %s", m->path, error);
	if (!a->force && r < 0)
		return admin_fail(a, ADMIN_REFUSED,
				  "%s: is or was a volume of csvfs (%s); --force makes a new one, and all on it is lost",
				  m->path, error);
	if (!a->force)
		return admin_fail(a, ADMIN_REFUSED,
				  "%s: is the volume %s already; --force makes a new one, and all on it is lost", m->path,
				  v.header.label);
	if (r < 0)
		return a->forget
			       ? ADMIN_OK
			       : admin_fail(a, ADMIN_REFUSED,
					    "%s: who has this volume cannot be read (%s); say --forget too when no node has it",
					    m->path, error);
	v.trailer.device = &m->device;
	return volume_check_holders(a, &v);
}

static int check_contents(struct admin *a, const struct making *m)
{
	char what[ADMIN_WHAT_SIZE];
	int r = probe_device(m->path, what);

	if (r < 0)
		return admin_fail(a, ADMIN_FAILED, "%s: looking at what it carries: %s", m->path, strerror(-r));
	if (*what && !a->force)
		return admin_fail(a, ADMIN_REFUSED, "%s: carries %s; --force makes a volume of it, and all on it is lost",
				  m->path, what);
	return ADMIN_OK;
}

/* --- doing it --- */

/* Old signatures, the copy of a partition table at the end too, and any trailer. */
static int wipe(const struct making *m)
{
	cleanup_free void *zeros = device_buffer(HEAD);
	uint64_t end = m->device.size & ~(uint64_t)(m->device.sector - 1);
	int r;

	if (!zeros)
		return -ENOMEM;
	memset(zeros, 0, HEAD);
	r = device_write(&m->device, zeros, HEAD, 0);
	for (uint64_t at = m->at; !r && at < end; at += HEAD)
		r = device_write(&m->device, zeros, end - at < HEAD ? (size_t)(end - at) : HEAD, at);
	return r < 0 ? r : device_flush(&m->device);
}

/* Random, of version 4 (RFC 9562). */
static int identity_draw(struct trailer_header *h)
{
	uint64_t v[2];

	if (getrandom(v, sizeof(v), 0) != sizeof(v))
		return -errno;
	h->volume_hi = (v[0] & ~(uint64_t)0xf000) | 0x4000;
	h->volume_lo = (v[1] & ~((uint64_t)3 << 62)) | (uint64_t)2 << 62;
	return 0;
}

static int mkfs(const struct making *m, bool quota)
{
	char features[sizeof(ext4_features) + sizeof(",quota")];
	char uuid[ADMIN_UUID_SIZE], blocks[32], xfs_meta[80], xfs_data[48], label[17];
	const char *const ext4[] = { "mkfs.ext4",
				     "-q",
				     "-F",
				     "-b",
				     "4096",
				     "-m",
				     "0",
				     "-I",
				     "256",
				     "-O",
				     features,
				     "-E",
				     "lazy_itable_init=0,lazy_journal_init=0",
				     "-L",
				     label,
				     "-U",
				     uuid,
				     m->path,
				     blocks,
				     NULL };
	const char *const xfs[] = { "mkfs.xfs",	  "-q",	       "-f",  "-m",	   xfs_meta, "-n",     "ftype=1",
				    "-b",	  "size=4096", "-s",  "size=4096", "-d",     xfs_data, "-l",
				    "internal=1", "-L",	       label, m->path,	   NULL };
	bool is_xfs = !strcmp(m->header.filesystem, "xfs");

	snprintf(features, sizeof(features), "%s%s", ext4_features, quota ? ",quota" : "");
	admin_uuid_text(m->header.volume_hi, m->header.volume_lo, uuid);
	text_copy_n(label, sizeof(label), m->header.label, is_xfs ? 12 : 16);
	snprintf(blocks, sizeof(blocks), "%" PRIu64, m->at / BLOCK);
	snprintf(xfs_meta, sizeof(xfs_meta), "crc=1,reflink=0,rmapbt=0,uuid=%s", uuid);
	snprintf(xfs_data, sizeof(xfs_data), "size=%" PRIu64, m->at);
	return run_program(is_xfs ? xfs : ext4);
}

/* It is the one we asked for, and ends where the trailer begins, or before. */
static int verify(struct admin *a, const struct making *m)
{
	struct superblock s = { 0 };
	int r = device_drop_cache(&m->device);

	if (!r)
		r = superblock_read(&m->device, &s);
	if (r < 0)
		return admin_fail(a, ADMIN_FAILED, "%s: reading the new file system: %s", m->path, strerror(-r));
	if (strcmp(superblock_kind_text(s.kind), m->header.filesystem) || s.block != BLOCK)
		return admin_fail(a, ADMIN_FAILED, "%s: mkfs has not made what was asked for", m->path);
	if (s.size > m->at)
		return admin_fail(a, ADMIN_FAILED, "%s: the file system is %" PRIu64 " bytes too long; has the device shrunk?",
				  m->path, s.size - m->at);
	if (s.unfit)
		return admin_fail(a, ADMIN_FAILED, "%s: the file system %s", m->path, s.unfit);
	return ADMIN_OK;
}

/* XFS keeps quotas from the first mount on that asks for them; of ext4 it shows whether this kernel knows them. */
static int quota_begin(struct admin *a, const struct making *m)
{
	struct admin_volume v = { .path = m->path, .device = m->device, .header = m->header };
	int r = superblock_read(&m->device, &v.super);

	v.super.quota = QUOTA_USER | QUOTA_GROUP;
	if (!r)
		r = run_mounted(&v, NULL, NULL);
	if (r < 0)
		return admin_fail(a, ADMIN_FAILED,
				  "%s: mounting it with quotas: %s; does this node's kernel know them (CONFIG_QFMT_V2, "
				  "CONFIG_XFS_QUOTA)? The device is not a volume now",
				  m->path, strerror(-r));
	return ADMIN_OK;
}

static int make(struct admin *a, struct making *m)
{
	struct trailer t;
	int code, r = identity_draw(&m->header);

	if (!r)
		r = wipe(m);
	if (r < 0)
		return admin_fail(a, ADMIN_FAILED, "%s: clearing it: %s", m->path, strerror(-r));
	r = mkfs(m, a->quota);
	if (r == -ENOENT)
		return admin_fail(a, ADMIN_FAILED, "mkfs.%s is not installed; its package is %s", m->header.filesystem,
				  strcmp(m->header.filesystem, "xfs") ? "e2fsprogs" : "xfsprogs");
	if (r)
		return admin_fail(a, ADMIN_FAILED, "%s: mkfs.%s failed (%s %d); the device is not a volume now", m->path,
				  m->header.filesystem, r < 0 ? "errno" : "exit code", r < 0 ? -r : r);
	code = verify(a, m);
	if (code == ADMIN_OK && a->quota)
		code = quota_begin(a, m);
	if (code != ADMIN_OK)
		return code;
	r = trailer_make(&t, &m->device, &m->header);
	if (r < 0)
		return admin_fail(a, ADMIN_FAILED, "%s: writing the trailer: %s; the device is not a volume now", m->path,
				  strerror(-r));
	return ADMIN_OK;
}

static int check_options(struct admin *a, struct making *m)
{
	const char *filesystem = a->filesystem ? a->filesystem : "ext4";

	if (!a->label)
		return admin_fail(a, ADMIN_USAGE, "a volume needs a name: --label NAME");
	if (!admin_label_valid(a->label))
		return admin_fail(a, ADMIN_USAGE, "\"%s\" is no name of a volume: 1 to %d letters, digits, '_', '.', '-'",
				  a->label, NAME_SIZE - 1);
	if (strcmp(filesystem, "ext4") && strcmp(filesystem, "xfs"))
		return admin_fail(a, ADMIN_USAGE, "--filesystem is ext4 or xfs, not %s", filesystem);
	text_copy(m->header.filesystem, sizeof(m->header.filesystem), filesystem);
	text_copy(m->header.label, sizeof(m->header.label), a->label);
	return ADMIN_OK;
}

int admin_create(struct admin *a)
{
	struct making m = { .path = a->args[0], .device.fd = -1 };
	int code = check_options(a, &m);

	if (code == ADMIN_OK)
		code = check_device(a, &m);
	if (code == ADMIN_OK)
		code = check_volume(a, &m);
	if (code == ADMIN_OK)
		code = check_contents(a, &m);
	if (code == ADMIN_OK)
		code = make(a, &m);
	device_close(&m.device);
	if (code == ADMIN_OK) { /* what was written is what is found */
		code = admin_info(a);
	}
	return code;
}
