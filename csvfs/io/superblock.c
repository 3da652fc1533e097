/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Superblocks of ext4 (little endian, at 1024) and XFS (big endian, at 0). */
#include "csvfs/io/superblock.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "cleanup.h"
#include "text.h"
#include "units.h"

#define SUPERBLOCK_READ 4096u
#define EXT4_AT 1024
#define EXT4_MAGIC 0xef53u
#define EXT4_INCOMPAT_64BIT 0x80u
#define EXT4_INCOMPAT_RECOVER 0x4u
#define EXT4_COMPAT_JOURNAL 0x4u
#define EXT4_STATE_ERRORS 0x2u
#define EXT4_MOUNT_JOURNAL 0x60u /* s_default_mount_opts: how data is journalled */
#define EXT4_MOUNT_JOURNAL_DATA 0x20u
#define EXT4_RO_COMPAT_QUOTA 0x100u
#define XFS_QFLAGS_AT 176
#define XFS_RO_COMPAT_REFLINK 0x4u
#define BLOCK_SHIFT_MAX 16

struct feature {
	uint32_t bit;
	const char *why;
};

static const struct feature ext4_incompat[] = {
	{ 0x8, "is a journal device" },
	{ 0x8000, "has inline_data: small files have no blocks of their own" },
	{ 0x10000, "has encrypt: the device holds other bytes than the files" },
	{ 0x20000, "has casefold: names are not compared byte by byte" },
};
static const struct feature ext4_ro_compat[] = {
	{ 0x4000, "has shared_blocks: blocks belong to several files" },
	{ 0x8000, "has verity: files are checked by the kernel" },
};

static uint64_t le(const uint8_t *p, size_t width)
{
	uint64_t v = 0;

	for (size_t i = width; i-- > 0;)
		v = v << 8 | p[i];
	return v;
}

static uint64_t be(const uint8_t *p, size_t width)
{
	uint64_t v = 0;

	for (size_t i = 0; i < width; i++)
		v = v << 8 | p[i];
	return v;
}

const char *superblock_kind_text(enum superblock_kind kind)
{
	static const char *const texts[] = { "none", "ext4", "xfs" };

	return texts[kind];
}

static const char *feature_unfit(uint64_t bits, const struct feature *features, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		if (bits & features[i].bit)
			return features[i].why;
	}
	return NULL;
}

/* false: makes no sense. */
static bool size_set(struct superblock *s, uint64_t blocks, uint64_t shift)
{
	if (shift < 9 || shift > BLOCK_SHIFT_MAX || !blocks || blocks > (uint64_t)INT64_MAX >> shift)
		return false;
	s->block = 1u << shift;
	s->size = blocks << shift;
	return true;
}

static const char *ext4_unfit(const uint8_t *p)
{
	const char *why = feature_unfit(le(p + 0x60, 4), ext4_incompat, ARRAY_SIZE(ext4_incompat));

	if (!why)
		why = feature_unfit(le(p + 0x64, 4), ext4_ro_compat, ARRAY_SIZE(ext4_ro_compat));
	if (why)
		return why;
	if (!(le(p + 0x5c, 4) & EXT4_COMPAT_JOURNAL))
		return "has no journal";
	if (le(p + 0xe4, 4))
		return "has its journal on another device";
	if ((le(p + 0x100, 4) & EXT4_MOUNT_JOURNAL) == EXT4_MOUNT_JOURNAL_DATA)
		return "journals data: a replay would take back what nodes have written (tune2fs -o ^journal_data)";
	return NULL;
}

/* Inodes of the hidden files that keep them. */
static uint8_t ext4_quota(const uint8_t *p)
{
	if (!(le(p + 0x64, 4) & EXT4_RO_COMPAT_QUOTA))
		return 0;
	return (uint8_t)((le(p + 0x240, 4) ? QUOTA_USER : 0) | (le(p + 0x244, 4) ? QUOTA_GROUP : 0) |
			 (le(p + 0x26c, 4) ? QUOTA_PROJECT : 0));
}

static void ext4_decode(const uint8_t *p, struct superblock *s)
{
	uint64_t blocks = le(p + 4, 4), incompat = le(p + 0x60, 4);

	if (incompat & EXT4_INCOMPAT_64BIT)
		blocks |= le(p + 0x150, 4) << 32;
	if (!size_set(s, blocks, 10 + le(p + 24, 4)))
		return;
	s->kind = SUPERBLOCK_EXT4;
	s->replay = incompat & EXT4_INCOMPAT_RECOVER;
	s->errors = le(p + 0x3a, 2) & EXT4_STATE_ERRORS;
	memcpy(s->uuid, p + 0x68, sizeof(s->uuid));
	text_copy_n(s->label, sizeof(s->label), (const char *)p + 0x78, 16);
	s->quota = ext4_quota(p);
	s->unfit = ext4_unfit(p);
}

static const char *xfs_unfit(const uint8_t *p)
{
	if ((be(p + 100, 2) & 0xf) != 5)
		return "has no checksums (an XFS of version 4)";
	if (be(p + 212, 4) & XFS_RO_COMPAT_REFLINK)
		return "has reflink: blocks may belong to several files";
	if (be(p + 16, 8))
		return "has a realtime device";
	if (!be(p + 48, 8))
		return "has its log on another device";
	return NULL;
}

static void xfs_quota(const uint8_t *p, struct superblock *s)
{
	static const struct {
		uint8_t kind;
		uint16_t counted, enforced;
	} flags[] = { { QUOTA_USER, 0x1, 0x2 }, { QUOTA_GROUP, 0x40, 0x80 }, { QUOTA_PROJECT, 0x8, 0x200 } };
	uint64_t found = be(p + XFS_QFLAGS_AT, 2);

	for (size_t i = 0; i < ARRAY_SIZE(flags); i++) {
		if (!(found & flags[i].counted))
			continue;
		if (found & flags[i].enforced)
			s->quota |= flags[i].kind;
		else
			s->counted |= flags[i].kind;
	}
}

static void xfs_decode(const uint8_t *p, struct superblock *s)
{
	if (!size_set(s, be(p + 8, 8), p[120]))
		return;
	s->kind = SUPERBLOCK_XFS;
	memcpy(s->uuid, p + 32, sizeof(s->uuid));
	text_copy_n(s->label, sizeof(s->label), (const char *)p + 108, 12);
	s->imax_pct = p[127];
	xfs_quota(p, s);
	s->unfit = xfs_unfit(p);
}

void superblock_decode(const uint8_t *start, struct superblock *ret)
{
	memset(ret, 0, sizeof(*ret));
	if (!memcmp(start, "XFSB", 4))
		xfs_decode(start, ret);
	else if (le(start + EXT4_AT + 0x38, 2) == EXT4_MAGIC)
		ext4_decode(start + EXT4_AT, ret);
}

void superblock_quota_options(const struct superblock *s, char ret[SUPERBLOCK_QUOTA_SIZE])
{
	static const struct {
		uint8_t kind;
		const char *enforced, *counted;
	} options[QUOTA_KINDS] = { { QUOTA_USER, ",usrquota", ",uqnoenforce" },
				   { QUOTA_GROUP, ",grpquota", ",gqnoenforce" },
				   { QUOTA_PROJECT, ",prjquota", ",pqnoenforce" } };
	size_t n = 0;

	*ret = '\0';
	for (size_t i = 0; i < QUOTA_KINDS; i++) {
		const char *o = s->quota & options[i].kind     ? options[i].enforced
				: s->counted & options[i].kind ? options[i].counted
							       : "";

		n += (size_t)snprintf(ret + n, SUPERBLOCK_QUOTA_SIZE - n, "%s", o);
	}
}

int superblock_read(const struct device *d, struct superblock *ret)
{
	cleanup_free uint8_t *buf = device_buffer(SUPERBLOCK_READ);
	int r = buf ? device_read(d, buf, SUPERBLOCK_READ, 0) : -ENOMEM;

	if (!r)
		superblock_decode(buf, ret);
	return r;
}
