/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Superblocks that the real mkfs make, fit and unfit ones, and garbage. */
#include "csvfs/io/superblock.h"
#include "tests/unit/loop_rig.h"

#define SIZE (400 * MIB)

static struct loop loop;
static struct device device;

static struct superblock read_it(void)
{
	struct superblock s;

	CHECK_EQ(superblock_read(&device, &s), 0);
	return s;
}

static void check_unfit(const char *what)
{
	struct superblock s = read_it();

	CHECK(s.kind != SUPERBLOCK_NONE);
	CHECK_CONTAINS(s.unfit, what);
}

static void test_ext4(void)
{
	static const struct { const char *options, *why; } unfit[] = {
		{ "-O inline_data", "inline_data" }, { "-O encrypt", "encrypt" },    { "-O verity", "verity" },
		{ "-O casefold", "casefold" },	     { "-O ^has_journal", "journal" },
	};
	struct superblock s;

	REQUIRE(!rig_run("mkfs.ext4 -q -F -L small -U 11223344-5566-7788-99aa-bbccddeeff00 -b 1024 %s 100M", loop.path));
	s = read_it();
	CHECK_EQ(s.kind, SUPERBLOCK_EXT4);
	CHECK_STR(superblock_kind_text(s.kind), "ext4");
	CHECK_EQ(s.block, 1024);
	CHECK_EQ(s.size, 100 * MIB);
	CHECK_STR(s.label, "small");
	CHECK_EQ(s.uuid[0], 0x11);
	CHECK_EQ(s.uuid[15], 0);
	CHECK(!s.unfit && !s.replay && !s.errors);
	/* Mounted, not yet replayed. */
	rig_mount_point("/mnt/s");
	REQUIRE(!mount(loop.path, "/mnt/s", "ext4", 0, NULL));
	REQUIRE(!rig_run("touch /mnt/s/x && sync /mnt/s/x"));
	s = read_it();
	CHECK(s.replay);
	REQUIRE(!umount("/mnt/s"));
	CHECK(!read_it().replay);
	REQUIRE(!rig_run("tune2fs -o journal_data %s >/dev/null", loop.path));
	check_unfit("journal_data");
	for (size_t i = 0; i < sizeof(unfit) / sizeof(unfit[0]); i++) {
		REQUIRE(!rig_run("mkfs.ext4 -q -F %s %s", unfit[i].options, loop.path));
		check_unfit(unfit[i].why);
	}
}

static void test_quota(void)
{
	static const struct { const char *features; uint8_t kinds; const char *options; } ext4[] = {
		{ "quota -E quotatype=usrquota", QUOTA_USER, ",usrquota" },
		{ "quota", QUOTA_USER | QUOTA_GROUP, ",usrquota,grpquota" },
		{ "quota,project", QUOTA_USER | QUOTA_GROUP | QUOTA_PROJECT, ",usrquota,grpquota,prjquota" },
	};
	char options[SUPERBLOCK_QUOTA_SIZE];
	uint8_t *start = device_buffer(4096);
	struct superblock s;

	for (size_t i = 0; i < sizeof(ext4) / sizeof(ext4[0]); i++) {
		REQUIRE(!rig_run("mkfs.ext4 -q -F -O %s %s", ext4[i].features, loop.path));
		s = read_it();
		CHECK(s.quota == ext4[i].kinds && !s.counted && !s.unfit);
		superblock_quota_options(&s, options);
		CHECK_STR(options, ext4[i].options);
	}
	REQUIRE(!rig_run("mkfs.xfs -q -f -m reflink=0 %s", loop.path));
	REQUIRE(start && !device_read(&device, start, 4096, 0));
	superblock_decode(start, &s);
	superblock_quota_options(&s, options);
	CHECK_STR(options, "");
	start[176] = 0x00; /* sb_qflags: users enforced, groups counted */
	start[177] = 0x47;
	superblock_decode(start, &s);
	CHECK(s.quota == QUOTA_USER && s.counted == QUOTA_GROUP);
	superblock_quota_options(&s, options);
	CHECK_STR(options, ",usrquota,gqnoenforce");
	memset(&s, 0xff, sizeof(s));
	superblock_quota_options(&s, options);
	CHECK_STR(options, ",usrquota,grpquota,prjquota");
	free(start);
}

static void test_xfs(void)
{
	struct superblock s;

	REQUIRE(!rig_run("mkfs.xfs -q -f -m reflink=0 -L small %s", loop.path));
	s = read_it();
	CHECK_EQ(s.kind, SUPERBLOCK_XFS);
	CHECK_EQ(s.block, 4096);
	CHECK_EQ(s.size, SIZE);
	CHECK_STR(s.label, "small");
	CHECK_EQ(s.imax_pct, 25);
	CHECK(!s.unfit);
	REQUIRE(!rig_run("mkfs.xfs -q -f -m reflink=1 %s", loop.path));
	check_unfit("reflink");
}

static void test_garbage(void)
{
	static const uint8_t xfs[] = { 'X', 'F', 'S', 'B' }, ext4[] = { 0x53, 0xef };
	uint8_t *start = device_buffer(4096);
	struct superblock s;
	uint32_t seed = 1;

	REQUIRE(start);
	memset(start, 0, 4096);
	superblock_decode(start, &s);
	CHECK_EQ(s.kind, SUPERBLOCK_NONE);
	for (int i = 0; i < 20000; i++) {
		for (int k = 0; k < 4096; k++) {
			seed = seed * 1664525 + 1013904223;
			start[k] = (uint8_t)(seed >> 24);
		}
		if (i & 1) {
			memcpy(start, xfs, sizeof(xfs));
			start[120] = (uint8_t)i;
		} else {
			memcpy(start + 1024 + 0x38, ext4, sizeof(ext4));
			memset(start + 1024 + 25, 0, 3);
		}
		superblock_decode(start, &s);
		CHECK(s.kind == SUPERBLOCK_NONE || (s.block >= 512 && s.size && s.size <= INT64_MAX));
		CHECK(strlen(s.label) < sizeof(s.label));
		if (i > 1000)
			i += 7;
	}
	free(start);
}

int main(void)
{
	loop_rig_start();
	loop = loop_new(SIZE, 512);
	REQUIRE(!device_open(&device, loop.path, false));
	CHECK_EQ(read_it().kind, SUPERBLOCK_NONE);
	test_ext4();
	test_xfs();
	test_quota();
	test_garbage();
	device_close(&device);
	loop_free(&loop);
	return check_result();
}
