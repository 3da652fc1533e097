/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The shared device: sectors of 512 and 4096 bytes, ends that move, devices that others hold. */
#include <sys/wait.h>

#include "csvfs/io/device.h"
#include "tests/unit/loop_rig.h"

static void test_not_a_device(void)
{
	char dir[] = "/tmp/clusterd-test.XXXXXX", path[64];
	struct device d;

	CHECK_EQ(device_open(&d, "/dev/no-such-device", false), -ENOENT);
	CHECK_EQ(device_open(&d, "/dev/null", false), -ENOTBLK);
	CHECK_EQ(d.fd, -1);
	device_close(&d);
	REQUIRE(mkdtemp(dir));
	CHECK_EQ(device_open(&d, dir, false), -ENOTBLK);
	/* Nobody writes to it: open(2) would wait for ever. */
	snprintf(path, sizeof(path), "%s/pipe", dir);
	REQUIRE(!mkfifo(path, 0600));
	CHECK_EQ(device_open(&d, path, false), -ENOTBLK);
	CHECK_EQ(device_is_free(path), -ENOTBLK);
	unlink(path);
	rmdir(dir);
}

static void test_io(uint32_t sector)
{
	struct loop l = loop_new(16 * MIB, sector), other = loop_again(l.file, sector, 0);
	uint8_t *a = device_buffer(3 * MIB), *b = device_buffer(3 * MIB);
	struct device d, e;

	REQUIRE(a && b && !((uintptr_t)a & 4095));
	CHECK_EQ(device_open(&d, l.path, true), 0);
	CHECK_EQ(device_open(&e, other.path, false), 0);
	CHECK_EQ(d.sector, sector);
	CHECK_EQ(d.size, 16 * MIB);
	for (size_t i = 0; i < 3 * MIB; i++)
		a[i] = (uint8_t)(i * 7 + (i >> 10));
	/* What one node writes the other reads, at once and at any place. */
	CHECK_EQ(device_write(&d, a, 3 * MIB, sector), 0);
	CHECK_EQ(device_flush(&d), 0);
	CHECK_EQ(device_read(&e, b, 3 * MIB, sector), 0);
	CHECK_MEM(a, b, 3 * MIB);
	CHECK_EQ(device_write(&d, a + sector, sector, 16 * MIB - sector), 0);
	CHECK_EQ(device_read(&e, b, sector, 16 * MIB - sector), 0);
	CHECK_MEM(a + sector, b, sector);
	CHECK_EQ(device_write(&e, a, sector, 0), -EBADF);
	CHECK_EQ(device_drop_cache(&d), 0);
	/* What O_DIRECT cannot do. */
	CHECK_EQ(device_write(&d, a, sector - 1, 0), -EINVAL);
	CHECK_EQ(device_write(&d, a, sector, 1), -EINVAL);
	CHECK_EQ(device_write(&d, a, sector, sector / 2), -EINVAL);
	CHECK_EQ(device_read(&d, b + 1, sector, 0), -EINVAL);
	CHECK_EQ(device_read(&d, b, sector, UINT64_MAX - sector + 1), -ENXIO);
	CHECK_EQ(device_read(&d, b, 0, 0), 0);
	free(a);
	free(b);
	device_close(&d);
	device_close(&e);
	loop_free(&l);
	loop_free(&other);
}

static void test_ends(void)
{
	struct loop l = loop_new(16 * MIB, 512);
	uint8_t *a = device_buffer(MIB);
	struct device d;

	REQUIRE(a);
	memset(a, 1, MIB);
	CHECK_EQ(device_open(&d, l.path, true), 0);
	CHECK_EQ(device_write(&d, a, MIB, 16 * MIB), -ENXIO);
	CHECK_EQ(device_write(&d, a, MIB, 16 * MIB - 512), -ENXIO);
	loop_resize(&l, 20 * MIB);
	CHECK_EQ(device_write(&d, a, MIB, 16 * MIB), 0);
	CHECK_EQ(device_refresh(&d), 0);
	CHECK_EQ(d.size, 20 * MIB);
	/* It shrinks, and we have not looked again. */
	loop_resize(&l, 8 * MIB);
	CHECK_EQ(device_write(&d, a, MIB, 10 * MIB), -ENXIO);
	CHECK_EQ(device_read(&d, a, MIB, 10 * MIB), -ENXIO);
	CHECK_EQ(device_write(&d, a, MIB, 8 * MIB - 512), -ENXIO); /* across the end */
	CHECK_EQ(device_read(&d, a, MIB, 8 * MIB - 512), -ENXIO);
	CHECK_EQ(device_write(&d, a, MIB, 7 * MIB), 0);
	CHECK_EQ(device_refresh(&d), 0);
	CHECK_EQ(d.size, 8 * MIB);
	free(a);
	device_close(&d);
	loop_free(&l);
}

static void test_read_only(void)
{
	struct loop l = loop_new(MIB, 512), ro = loop_again(l.file, 512, LO_FLAGS_READ_ONLY);
	uint8_t *a = device_buffer(512);
	struct device d;

	REQUIRE(a);
	CHECK_EQ(device_open(&d, ro.path, true), -EROFS);
	CHECK_EQ(device_open(&d, ro.path, false), 0);
	CHECK_EQ(device_read(&d, a, 512, 0), 0);
	device_close(&d);
	free(a);
	loop_free(&l);
	loop_free(&ro);
}

static void test_is_free(void)
{
	struct loop l = loop_new(32 * MIB, 512);
	int exclusive;

	CHECK_EQ(device_is_free("/dev/no-such-device"), -ENOENT);
	CHECK_EQ(device_is_free(l.path), 0);
	exclusive = open(l.path, O_RDONLY | O_EXCL | O_CLOEXEC);
	REQUIRE(exclusive >= 0);
	CHECK_EQ(device_is_free(l.path), -EBUSY);
	close(exclusive);
	CHECK_EQ(device_is_free(l.path), 0);
	loop_free(&l);
}

/* A mount namespace copied while the device is mounted keeps it, after umount(2) here. */
static void test_is_free_namespace(void)
{
	struct loop l = loop_new(32 * MIB, 512);
	int ready[2], end[2];
	char byte = 0;
	pid_t child;

	REQUIRE(!rig_run("mkfs.ext4 -q %s", l.path));
	rig_mount_point("/mnt/b");
	REQUIRE(!mount(l.path, "/mnt/b", "ext4", 0, NULL));
	REQUIRE(!pipe2(ready, O_CLOEXEC) && !pipe2(end, O_CLOEXEC));
	child = fork();
	REQUIRE(child >= 0);
	if (!child) {
		close(end[1]);
		_exit(unshare(CLONE_NEWNS) < 0 || write(ready[1], &byte, 1) != 1 || read(end[0], &byte, 1));
	}
	REQUIRE(read(ready[0], &byte, 1) == 1);
	REQUIRE(!umount("/mnt/b"));
	CHECK_EQ(device_is_free(l.path), -EBUSY);
	close(end[1]);
	REQUIRE(waitpid(child, NULL, 0) == child);
	CHECK_EQ(device_is_free(l.path), 0);
	close(end[0]);
	close(ready[0]);
	close(ready[1]);
	loop_free(&l);
}

int main(void)
{
	loop_rig_start();
	test_not_a_device();
	test_io(512);
	test_io(4096);
	test_ends();
	test_read_only();
	test_is_free();
	test_is_free_namespace();
	return check_result();
}
