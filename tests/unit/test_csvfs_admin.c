/* SPDX-License-Identifier: GPL-2.0-or-later */
/* csvfs-admin on real devices: what it refuses and says, what it makes, checks and grows; and its questions to sockets. */
#include <pthread.h>

#include "csvfs/admin/admin.h"
#include "csvfs/io/volume_control.h"
#include "tests/unit/loop_rig.h"

static char *out_text, *err_text;
static json_t *result;

/* Runs it with --json; result and texts stay until the next run. */
static int run(const char *words, ...)
{
	char *argv[16] = { (char *)"csvfs-admin", (char *)"--json", (char *)words };
	int argc = 3, code;
	size_t size;
	FILE *out, *err;
	va_list ap;

	va_start(ap, words);
	while ((argv[argc] = va_arg(ap, char *)))
		REQUIRE(++argc < 15);
	va_end(ap);
	free(out_text);
	free(err_text);
	json_decref(result);
	out = open_memstream(&out_text, &size);
	err = open_memstream(&err_text, &size);
	REQUIRE(out && err);
	code = admin_main(argc, argv, out, err);
	fflush(err);
	fprintf(stderr, "%s", err_text); /* in the test's log */
	fclose(out);
	fclose(err);
	result = json_loads(out_text, 0, NULL);
	return code;
}

static const char *text_of(const char *key)
{
	const char *s = json_string_value(json_object_get(result, key));

	return s ? s : "(nothing)";
}

static json_int_t number_of(const char *key) { return json_integer_value(json_object_get(result, key)); }

/* --- what a trailer notes --- */

static void note_owner(const struct loop *l, uint32_t node, uint32_t state)
{
	struct trailer_owner o = { .epoch = 4, .node = node, .state = state, .owner = 99 };
	struct trailer_header h;
	struct trailer t;
	struct device d;
	char error[200];

	REQUIRE(!device_open(&d, l->path, true) && !trailer_find(&t, &d, &h, error, sizeof(error)));
	REQUIRE(!trailer_write_owner(&t, &o));
	device_close(&d);
}

static void note_session(const struct loop *l, uint32_t node, uint32_t used)
{
	struct trailer_session s = { .session = 5, .node = node, .used = used };
	struct trailer_header h;
	struct trailer t;
	struct device d;
	char error[200];

	REQUIRE(!device_open(&d, l->path, true) && !trailer_find(&t, &d, &h, error, sizeof(error)));
	REQUIRE(!trailer_write_session(&t, 17, &s));
	device_close(&d);
}

/* --- create --- */

/* One Linux partition, as of old. */
static void partition_table(const struct loop *l)
{
	static const uint8_t entry[16] = { 0, 0, 2, 0, 0x83, 0, 3, 0, 0, 8, 0, 0, 0, 0x20, 0, 0 };
	static const uint8_t magic[] = { 0x55, 0xaa };
	uint8_t *start = device_buffer(MIB);
	struct device d;

	REQUIRE(start && !device_open(&d, l->path, true));
	memset(start, 0, MIB);
	memcpy(start + 446, entry, sizeof(entry));
	memcpy(start + 510, magic, sizeof(magic));
	REQUIRE(!device_write(&d, start, MIB, 0));
	device_close(&d);
	free(start);
}

static void test_refusals(void)
{
	struct loop l = loop_new(400 * MIB, 512), ro = loop_again(l.file, 512, LO_FLAGS_READ_ONLY),
		    small = loop_new(4 * MIB, 512);
	int exclusive;

	CHECK_EQ(run("create", l.path, NULL), ADMIN_USAGE);
	CHECK_CONTAINS(err_text, "--label");
	CHECK_EQ(run("create", l.path, "--label", "a/b", NULL), ADMIN_USAGE);
	CHECK_EQ(run("create", l.path, "--label", "", NULL), ADMIN_USAGE);
	CHECK_EQ(run("create", l.path, "--label", "v", "--filesystem", "btrfs", NULL), ADMIN_USAGE);
	CHECK_CONTAINS(err_text, "ext4 or xfs");
	CHECK_EQ(run("create", "/dev/null", "--label", "v", NULL), ADMIN_FAILED);
	CHECK_EQ(run("create", "/dev/no-such-device", "--label", "v", NULL), ADMIN_FAILED);
	CHECK_EQ(run("create", ro.path, "--label", "v", NULL), ADMIN_FAILED);
	CHECK_CONTAINS(err_text, "read-only");
	CHECK_EQ(run("create", small.path, "--label", "v", NULL), ADMIN_REFUSED);
	CHECK_CONTAINS(err_text, "too few");
	exclusive = open(l.path, O_RDONLY | O_EXCL | O_CLOEXEC);
	CHECK_EQ(run("create", l.path, "--label", "v", "--force", NULL), ADMIN_REFUSED);
	CHECK_CONTAINS(err_text, "in use on this host");
	close(exclusive);
	/* It says what it has found, and leaves it alone. */
	REQUIRE(!rig_run("mkfs.ext4 -q -L precious %s", l.path));
	CHECK_EQ(run("create", l.path, "--label", "v", NULL), ADMIN_REFUSED);
	CHECK_CONTAINS(err_text, "ext4 (filesystem), label precious");
	CHECK_CONTAINS(err_text, "--force");
	CHECK(!rig_run("e2fsck -fn %s >/dev/null 2>&1", l.path));
	partition_table(&l);
	CHECK_EQ(run("create", l.path, "--label", "v", NULL), ADMIN_REFUSED);
	CHECK_CONTAINS(err_text, "partition table (dos)");
	CHECK_EQ(run("info", l.path, NULL), ADMIN_NO_VOLUME);
	CHECK_CONTAINS(err_text, "csvfs-admin create");
	CHECK_EQ(run("create", l.path, "--label", "v", "--force", NULL), ADMIN_OK);
	CHECK_EQ(run("create", l.path, "--label", "w", NULL), ADMIN_REFUSED);
	CHECK_CONTAINS(err_text, "the volume v already");
	note_owner(&l, 3, OWNER_MOUNTED);
	CHECK_EQ(run("create", l.path, "--label", "w", "--force", NULL), ADMIN_REFUSED);
	CHECK_CONTAINS(err_text, "node 3 has it mounted (epoch 4)");
	CHECK_EQ(run("create", l.path, "--label", "w", "--force", "--forget", NULL), ADMIN_OK);
	CHECK_STR(text_of("label"), "w");
	loop_free(&l);
	loop_free(&ro);
	loop_free(&small);
}

static void test_create(const char *filesystem, uint32_t sector)
{
	struct loop l = loop_new(400 * MIB + 3 * 4096, sector);
	struct superblock s;
	struct device d;
	char first[64];
	const char *uuid;

	CHECK_EQ(run("create", l.path, "--label", "a-volume_1.with-a-long-name", "--filesystem", filesystem, NULL), ADMIN_OK);
	CHECK_STR(err_text, "");
	CHECK_STR(text_of("label"), "a-volume_1.with-a-long-name");
	CHECK_STR(text_of("filesystem"), filesystem);
	CHECK_STR(text_of("unfit"), "(nothing)");
	CHECK_EQ(number_of("sector_bytes"), sector);
	CHECK_EQ(number_of("device_bytes"), 400 * MIB + 3 * 4096);
	CHECK(number_of("filesystem_bytes") <= (json_int_t)(392 * MIB + 3 * 4096));
	CHECK(number_of("filesystem_bytes") > (json_int_t)(370 * MIB));
	uuid = text_of("volume");
	CHECK_EQ(strlen(uuid), 36);
	CHECK_EQ(uuid[14], '4');
	snprintf(first, sizeof(first), "%s", uuid);
	CHECK_EQ(json_array_size(json_object_get(result, "sessions")), 0);
	CHECK_STR(json_string_value(json_object_get(json_object_get(result, "owner"), "state")), "free");
	/* The file system has the volume's identity and nothing that could not be lent. */
	REQUIRE(!device_open(&d, l.path, false) && !superblock_read(&d, &s));
	device_close(&d);
	CHECK(!s.unfit);
	snprintf(first + 40, 20, "%02x%02x%02x%02x", s.uuid[0], s.uuid[1], s.uuid[2], s.uuid[3]);
	CHECK(!strncmp(first, first + 40, 8));
	/* It can be mounted by anybody, and be filled to its end without harm to the trailer. */
	rig_mount_point("/mnt/c");
	REQUIRE(!mount(l.path, "/mnt/c", filesystem, 0, NULL));
	CHECK(rig_run("dd if=/dev/urandom of=/mnt/c/all bs=1M oflag=direct 2>/dev/null"));
	CHECK_EQ(run("check", l.path, NULL), ADMIN_REFUSED);
	CHECK_CONTAINS(err_text, "in use on this host");
	REQUIRE(!umount("/mnt/c"));
	CHECK_EQ(run("info", l.path, NULL), ADMIN_OK);
	CHECK_EQ(run("check", l.path, NULL), ADMIN_OK);
	CHECK_STR(text_of("state"), "clean");
	loop_free(&l);
}

/* --- info, label --- */

static void test_info(void)
{
	struct loop l = loop_new(64 * MIB, 512);
	const json_t *owner, *session;

	REQUIRE(run("create", l.path, "--label", "one", NULL) == ADMIN_OK);
	note_owner(&l, 5, OWNER_MOUNTED);
	note_session(&l, 6, 1);
	CHECK_EQ(run("info", l.path, NULL), ADMIN_OK);
	owner = json_object_get(result, "owner");
	CHECK_STR(json_string_value(json_object_get(owner, "state")), "mounted");
	CHECK_EQ(json_integer_value(json_object_get(owner, "node")), 5);
	CHECK_EQ(json_array_size(json_object_get(result, "sessions")), 1);
	session = json_array_get(json_object_get(result, "sessions"), 0);
	CHECK_EQ(json_integer_value(json_object_get(session, "node")), 6);
	/* Not under the hands of an owner, who may be moving the trailer. */
	CHECK_EQ(run("label", l.path, "two", NULL), ADMIN_REFUSED);
	CHECK_CONTAINS(err_text, "node 5");
	CHECK_EQ(run("label", l.path, "two", "--forget", NULL), ADMIN_OK);
	note_owner(&l, 5, OWNER_MOUNTED);
	CHECK_EQ(run("label", l.path, "-x", NULL), ADMIN_USAGE);
	CHECK_EQ(run("label", l.path, "t wo", NULL), ADMIN_USAGE);
	CHECK_EQ(run("info", l.path, NULL), ADMIN_OK);
	CHECK_STR(text_of("label"), "two");
	/* Who has it keeps it. */
	CHECK_EQ(run("check", l.path, NULL), ADMIN_REFUSED);
	CHECK_CONTAINS(err_text, "node 5");
	CHECK_EQ(run("grow", l.path, NULL), ADMIN_REFUSED);
	note_owner(&l, 0, OWNER_MOUNTING);
	CHECK_EQ(run("check", l.path, NULL), ADMIN_REFUSED);
	CHECK_CONTAINS(err_text, "another csvfs-admin");
	note_owner(&l, 5, OWNER_FREE);
	CHECK_EQ(run("check", l.path, NULL), ADMIN_REFUSED);
	CHECK_CONTAINS(err_text, "csvfs on node 6");
	CHECK_EQ(run("check", l.path, "--forget", NULL), ADMIN_OK);
	note_session(&l, 6, 0);
	CHECK_EQ(run("check", l.path, NULL), ADMIN_OK);
	CHECK_EQ(run("info", l.path, NULL), ADMIN_OK);
	owner = json_object_get(result, "owner");
	CHECK_STR(json_string_value(json_object_get(owner, "state")), "free");
	CHECK_EQ(json_integer_value(json_object_get(owner, "epoch")), 4); /* never goes back */
	loop_free(&l);
}

/* A file system that is not the volume's any more. */
static void test_strange(void)
{
	struct loop l = loop_new(64 * MIB, 512);

	REQUIRE(run("create", l.path, "--label", "one", NULL) == ADMIN_OK);
	REQUIRE(!rig_run("tune2fs -f -U random %s >/dev/null", l.path));
	CHECK_EQ(run("info", l.path, NULL), ADMIN_OK);
	CHECK_CONTAINS(text_of("unfit"), "another UUID");
	CHECK_EQ(run("check", l.path, NULL), ADMIN_UNCLEAN);
	REQUIRE(run("create", l.path, "--label", "one", "--force", NULL) == ADMIN_OK);
	REQUIRE(!rig_run("tune2fs -o journal_data %s >/dev/null", l.path));
	CHECK_EQ(run("info", l.path, NULL), ADMIN_OK);
	CHECK_CONTAINS(text_of("unfit"), "journal_data");
	CHECK_EQ(run("check", l.path, NULL), ADMIN_OK);
	REQUIRE(!rig_run("debugfs -w -R 'ssv blocks_count 16384' %s >/dev/null 2>&1", l.path));
	CHECK_EQ(run("info", l.path, NULL), ADMIN_OK);
	CHECK_CONTAINS(text_of("unfit"), "trailer");
	CHECK_EQ(run("grow", l.path, NULL), ADMIN_UNCLEAN);
	REQUIRE(!rig_run("dd if=/dev/zero of=%s bs=1M count=1 conv=notrunc oflag=direct 2>/dev/null", l.path));
	CHECK_EQ(run("check", l.path, NULL), ADMIN_UNCLEAN);
	CHECK_CONTAINS(err_text, "superblock");
	loop_free(&l);
}

/* --- check --- */

static void test_check(void)
{
	struct loop l = loop_new(64 * MIB, 512);

	REQUIRE(run("create", l.path, "--label", "one", NULL) == ADMIN_OK);
	/* A crash: the journal is full of work. Stopped at once, so that nothing is written any more. */
	rig_mount_point("/mnt/d");
	REQUIRE(!mount(l.path, "/mnt/d", "ext4", 0, NULL));
	REQUIRE(!rig_run("echo kept >/mnt/d/file && sync /mnt/d/file"));
	{
		int root = open("/mnt/d", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		uint32_t no_flush = 2;

		REQUIRE(root >= 0 && !ioctl(root, _IOR('X', 125, uint32_t), &no_flush));
		close(root);
	}
	REQUIRE(!umount("/mnt/d"));
	CHECK_EQ(run("check", l.path, NULL), ADMIN_REFUSED);
	CHECK_CONTAINS(err_text, "journal has to be replayed");
	CHECK_EQ(run("check", l.path, "--repair", NULL), ADMIN_OK);
	CHECK_EQ(run("check", l.path, NULL), ADMIN_OK);
	CHECK_STR(text_of("state"), "clean");
	REQUIRE(!mount(l.path, "/mnt/d", "ext4", 0, NULL));
	CHECK(!rig_run("grep -q kept /mnt/d/file"));
	REQUIRE(!umount("/mnt/d"));
	/* Errors are found, and mended. */
	REQUIRE(!rig_run("debugfs -w -R 'clri file' %s >/dev/null 2>&1", l.path));
	CHECK_EQ(run("check", l.path, NULL), ADMIN_UNCLEAN);
	CHECK_STR(text_of("state"), "errors");
	CHECK_CONTAINS(err_text, "--repair");
	CHECK_EQ(run("check", l.path, "--repair", NULL), ADMIN_OK);
	CHECK_STR(text_of("state"), "mended");
	CHECK_EQ(run("check", l.path, NULL), ADMIN_OK);
	loop_free(&l);
}

/* --- grow --- */

static void test_grow(const char *filesystem)
{
	struct loop l = loop_new(400 * MIB, 512);
	char uuid[64];

	REQUIRE(run("create", l.path, "--label", "one", "--filesystem", filesystem, NULL) == ADMIN_OK);
	snprintf(uuid, sizeof(uuid), "%s", text_of("volume"));
	rig_mount_point("/mnt/e");
	REQUIRE(!mount(l.path, "/mnt/e", filesystem, 0, NULL));
	REQUIRE(!rig_run("head -c 64M /dev/urandom >/mnt/e/file && sha256sum </mnt/e/file >/mnt/e/sum"));
	REQUIRE(!umount("/mnt/e"));
	/* Nothing to do is no error. */
	CHECK_EQ(run("grow", l.path, NULL), ADMIN_OK);
	CHECK(json_is_false(json_object_get(result, "grown")));
	loop_resize(&l, 401 * MIB);
	CHECK_EQ(run("grow", l.path, NULL), ADMIN_OK);
	CHECK(json_is_false(json_object_get(result, "grown")));
	loop_resize(&l, 800 * MIB);
	CHECK_EQ(run("info", l.path, NULL), ADMIN_OK);
	CHECK(json_is_true(json_object_get(result, "can_grow")));
	CHECK_EQ(run("grow", l.path, NULL), ADMIN_OK);
	CHECK(json_is_true(json_object_get(result, "grown")));
	CHECK(number_of("filesystem_bytes") > (json_int_t)(770 * MIB));
	CHECK(number_of("filesystem_bytes") <= (json_int_t)(792 * MIB));
	CHECK_EQ(run("info", l.path, NULL), ADMIN_OK);
	CHECK(json_is_false(json_object_get(result, "can_grow")));
	CHECK_STR(text_of("volume"), uuid);
	CHECK_STR(json_string_value(json_object_get(json_object_get(result, "owner"), "state")), "free");
	/* What was there is there, and the new end is no part of the file system. */
	REQUIRE(!mount(l.path, "/mnt/e", filesystem, 0, NULL));
	CHECK(!rig_run("sha256sum </mnt/e/file | cmp - /mnt/e/sum"));
	CHECK(rig_run("dd if=/dev/zero of=/mnt/e/all bs=1M oflag=direct 2>/dev/null"));
	REQUIRE(!umount("/mnt/e"));
	CHECK_EQ(run("check", l.path, NULL), ADMIN_OK);
	/* Again, as if the first run had died before the file system grew. */
	loop_resize(&l, 1000 * MIB);
	{
		struct trailer t, to;
		struct trailer_header h;
		struct device d;
		char error[200];

		REQUIRE(!device_open(&d, l.path, true) && !trailer_find(&t, &d, &h, error, sizeof(error)));
		REQUIRE(!trailer_move(&to, &t, &h));
		device_close(&d);
	}
	CHECK_EQ(run("grow", l.path, NULL), ADMIN_OK);
	CHECK(json_is_true(json_object_get(result, "grown")));
	CHECK_EQ(run("check", l.path, NULL), ADMIN_OK);
	loop_free(&l);
}

/* --- sockets --- */

static struct vol_message seen;
static uint32_t looks, job_error;

static void answer(void *user, const struct vol_message *q, struct vol_message *a)
{
	(void)user;
	seen = *q;
	switch (q->type) {
	case VOL_STATUS:
		a->status_is.state = VOL_PAUSED;
		a->status_is.reason = VOL_OWNER_LOST;
		a->status_is.waiting_for = NODE_BIT(3) | NODE_BIT(63);
		strcpy(a->status_is.text, "waiting");
		a->status_is.direct_read_us.n[7] = 98;
		a->status_is.direct_read_us.n[10] = 2;
		break;
	case VOL_JOB: looks = 0; break;
	case VOL_JOB_STATUS:
		a->job_is = (struct vol_job_is){ .kind = VOL_JOB_TRIM, .running = looks++ < 2, .value = 4096, .failed = job_error };
		break;
	case VOL_REDIRECT: a->error = EOPNOTSUPP; break;
	case VOL_FREEZE: a->error = q->freeze.on ? 0 : EINVAL; break;
	default: break;
	}
}

static void test_sockets(void)
{
	char dir[] = "/tmp/clusterd-test.XXXXXX", path[64];
	struct volume_control *c;

	REQUIRE(mkdtemp(dir));
	snprintf(path, sizeof(path), "%s/socket", dir);
	CHECK_EQ(run("status", path, NULL), ADMIN_FAILED);
	CHECK_CONTAINS(err_text, "does the program run?");
	REQUIRE(!volume_control_listen(&c, path, answer, NULL));
	CHECK_EQ(run("status", path, NULL), ADMIN_OK);
	CHECK_STR(text_of("state"), vol_state_text(VOL_PAUSED));
	CHECK_STR(text_of("text"), "waiting");
	CHECK_EQ(number_of("direct_read_p50_us"), 128);
	CHECK_EQ(number_of("direct_read_p99_us"), 1024);
	CHECK_EQ(number_of("direct_write_p99_us"), 0);
	CHECK_EQ(json_array_size(json_object_get(result, "waiting_for")), 2);
	CHECK_EQ(run("freeze", path, NULL), ADMIN_OK);
	CHECK_EQ(seen.freeze.most_ms, 60000);
	CHECK_EQ(run("freeze", path, "5", NULL), ADMIN_OK);
	CHECK_EQ(seen.freeze.most_ms, 5000);
	CHECK_EQ(run("freeze", path, "601", NULL), ADMIN_USAGE);
	CHECK_EQ(run("thaw", path, NULL), ADMIN_FAILED);
	CHECK_CONTAINS(err_text, "Invalid argument");
	CHECK_EQ(run("trim", path, NULL), ADMIN_OK);
	CHECK_EQ(number_of("trimmed_bytes"), 4096);
	CHECK_EQ(looks, 3);
	job_error = EOPNOTSUPP;
	CHECK_EQ(run("trim", path, NULL), ADMIN_FAILED);
	CHECK_CONTAINS(err_text, "not supported");
	CHECK_EQ(run("redirect", path, "on", NULL), ADMIN_FAILED);
	CHECK_CONTAINS(err_text, "right socket");
	CHECK_EQ(run("redirect", path, "maybe", NULL), ADMIN_USAGE);
	CHECK_EQ(run("set-owner", path, "7", "2", "[fd00::1]:4711", NULL), ADMIN_OK);
	CHECK_EQ(seen.set_owner.epoch, 7);
	CHECK_EQ(seen.set_owner.node, 2);
	CHECK_EQ(seen.set_owner.port, 4711);
	CHECK_STR(seen.set_owner.address, "fd00::1");
	CHECK_EQ(run("set-owner", path, "8", "0", NULL), ADMIN_OK);
	CHECK_EQ(seen.set_owner.node, 0);
	CHECK_EQ(run("set-owner", path, "7", "2", NULL), ADMIN_USAGE);
	CHECK_EQ(run("set-owner", path, "7", "64", "1.2.3.4:5", NULL), ADMIN_USAGE);
	CHECK_EQ(run("set-owner", path, "7", "2", "1.2.3.4:65536", NULL), ADMIN_USAGE);
	CHECK_EQ(run("fenced", path, "3", "18446744073709551615", NULL), ADMIN_OK);
	CHECK_EQ(seen.fenced.node, 3);
	CHECK_EQ(seen.fenced.incarnation, UINT64_MAX);
	CHECK_EQ(run("fenced", path, "3", "18446744073709551616", NULL), ADMIN_USAGE);
	CHECK_EQ(run("fenced", path, "-3", "1", NULL), ADMIN_USAGE);
	volume_control_free(c);
	rmdir(dir);
}

static void test_usage(void)
{
	CHECK_EQ(run("nonsense", NULL), ADMIN_USAGE);
	CHECK_CONTAINS(err_text, "nonsense");
	CHECK_EQ(run("info", NULL), ADMIN_USAGE);
	CHECK_CONTAINS(err_text, "csvfs-admin info DEVICE");
	CHECK_EQ(run("info", "a", "b", NULL), ADMIN_USAGE);
	CHECK_EQ(run("info", "/dev/null", "--timeout", "soon", NULL), ADMIN_USAGE);
	CHECK_EQ(run("--help", NULL), ADMIN_OK);
	CHECK_CONTAINS(out_text, "csvfs-admin COMMAND");
}

int main(void)
{
	test_usage();
	test_sockets();
	loop_rig_start();
	admin_claim_ms = 1;
	test_refusals();
	test_create("ext4", 512);
	test_create("ext4", 4096);
	test_create("xfs", 512);
	test_create("xfs", 4096);
	test_info();
	test_strange();
	test_check();
	test_grow("ext4");
	test_grow("xfs");
	free(out_text);
	free(err_text);
	json_decref(result);
	return check_result();
}
