/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * csvfs-owner and sessions that have the key, and keep to nothing else: order, limits, numbers, names. The owner stays, says
 * the right error, and another session's work is not touched. Needs root.
 */
#include "tests/unit/owner_rig.h"

static struct peer good, bad;
static struct vol_fid kept; /* the good session's file, with KEPT in it */
static const char KEPT[] = "kept";

/* The good session is served as ever. */
static void check_unharmed(void)
{
	CHECK_EQ(read_at(&good, 1, 0, 4), 0);
	CHECK(good.frame.m.data.bytes.len == 4 && !memcmp(good.frame.m.data.bytes.data, KEPT, 4));
}

/* The connection ends; what came before it does not matter. */
static bool is_closed(struct link *l)
{
	struct link_frame f = { 0 };
	int ret;

	do
		ret = link_receive(l, &f, RIG_MS);
	while (!ret);
	link_frame_done(&f);
	return ret == -ECONNRESET || ret == -EBADMSG;
}

static struct link *connect_only(void)
{
	struct link *l;

	REQUIRE(!link_connect(&l, "127.0.0.1", rig.number, &rig.key_bytes, RIG_MS));
	return l;
}

static void bad_again(void)
{
	if (bad.link)
		link_free(bad.link);
	link_frame_done(&bad.frame);
	peer_new(&bad, 2);
}

/* --- order --- */

static void test_no_hello(void)
{
	static const uint16_t first[] = { VOL_LOOKUP, VOL_READY, VOL_BYE, VOL_WELCOME, VOL_RECALLED, VOL_WRITE, VOL_FENCED };

	for (size_t i = 0; i < ARRAY_SIZE(first); i++) {
		struct link *l = connect_only();
		struct vol_message m = { .type = first[i], .request = 1 };

		REQUIRE(!link_send(l, &m));
		CHECK(is_closed(l));
		link_free(l);
	}
	check_unharmed();
}

static void test_second_hello(void)
{
	struct vol_message m = { .type = VOL_HELLO,
				 .hello = { .volume_hi = rig.header.volume_hi, .volume_lo = rig.header.volume_lo,
					    .session = good.session, .node = 2, .level = VOL_LEVEL, .main = 1 } };

	bad_again();
	m.request = bad.next++;
	peer_send(&bad, &m);
	CHECK(is_closed(bad.link)); /* it does not become the good session, either */
	check_unharmed();
}

/* What one must not say of oneself. */
static void test_wrong_hello(void)
{
	const struct vol_hello right = { .volume_hi = rig.header.volume_hi, .volume_lo = rig.header.volume_lo, .session = 77,
					 .node = 2, .epoch = rig.epoch, .level = VOL_LEVEL, .main = 1, .first = 1 };
	struct vol_hello wrong[9];
	static const int errors[] = { ENXIO, ENXIO, EINVAL, EINVAL, EINVAL, EINVAL, ESTALE, ENOENT, EPERM };

	for (size_t i = 0; i < ARRAY_SIZE(wrong); i++)
		wrong[i] = right;
	wrong[0].volume_hi++;
	wrong[1].volume_lo++;
	wrong[2].session = 0;
	wrong[3].node = 0;
	wrong[4].node = NODE_MAX + 1;
	wrong[5].level = 0;
	wrong[6].epoch = UINT64_MAX;
	wrong[7].main = 0;
	wrong[8].session = good.session; /* of another node */
	for (size_t i = 0; i < ARRAY_SIZE(wrong); i++) {
		struct link *l = connect_only();
		struct vol_message m = { .type = VOL_HELLO, .request = 1, .hello = wrong[i] };
		struct link_frame f = { 0 };

		REQUIRE(!link_send(l, &m));
		REQUIRE(!link_receive(l, &f, RIG_MS));
		if (!CHECK_EQ(f.m.error, errors[i]))
			fprintf(stderr, "\twrong HELLO %zu\n", i);
		CHECK(is_closed(l));
		link_frame_done(&f);
		link_free(l);
	}
	check_unharmed();
}

/* Messages that are another's to send, once one is in. */
static void test_wrong_kind(void)
{
	static const struct {
		uint16_t type;
		int error; /* 0: the connection ends */
	} sent[] = { { VOL_WELCOME, 0 },	  { VOL_DATA, 0 },	  { VOL_RECALL, 0 },
		     { VOL_FENCED, EOPNOTSUPP },  { VOL_FREEZE, EOPNOTSUPP }, { VOL_SET_OWNER, EOPNOTSUPP },
		     { VOL_JOB, EOPNOTSUPP },	  { VOL_REDIRECT, EOPNOTSUPP } };

	for (size_t i = 0; i < ARRAY_SIZE(sent); i++) {
		struct vol_message m = { .type = sent[i].type };

		bad_again();
		if (m.type == VOL_FENCED)
			m.fenced = (struct vol_fenced){ .node = 1, .incarnation = UINT64_MAX };
		if (sent[i].error) {
			CHECK_EQ(ask(&bad, &m), sent[i].error);
			continue;
		}
		m.request = bad.next++;
		peer_send(&bad, &m);
		CHECK(is_closed(bad.link));
	}
	check_unharmed();
}

static void test_unasked_answers(void)
{
	struct vol_message m = { .type = VOL_RECALLED, .recalled = { .dirty = 1, .mtime_ns = UINT64_MAX } };
	static const uint64_t numbers[] = { 0, 1, 1000, UINT64_MAX, (uint64_t)1 << 63 };

	bad_again();
	for (size_t i = 0; i < ARRAY_SIZE(numbers); i++) {
		m.request = numbers[i];
		peer_send(&bad, &m);
	}
	m.error = EIO;
	m.request = 2;
	peer_send(&bad, &m);
	m = (struct vol_message){ .type = VOL_PING };
	CHECK_EQ(ask(&bad, &m), 0);
	check_unharmed();
}

/* --- numbers --- */

static void test_offsets(void)
{
	static const uint64_t far[] = { INT64_MAX, (uint64_t)INT64_MAX - 1, (uint64_t)INT64_MAX - 511, (uint64_t)INT64_MAX + 1,
					UINT64_MAX, UINT64_MAX - 4095 };
	struct vol_fid f;

	bad_again();
	CHECK_EQ(create(&bad, "far", 1, &f), 0);
	for (size_t i = 0; i < ARRAY_SIZE(far); i++) {
		struct vol_message m = { .type = VOL_LEASE,
					 .lease = { .handle = 1, .offset = far[i], .length = UINT64_MAX, .write = 1 } };

		CHECK_EQ(write_at(&bad, 1, far[i], "x", 1), EFBIG);
		CHECK_EQ(read_at(&bad, 1, far[i], 4096), EINVAL);
		CHECK_EQ(ask(&bad, &m), 0);
		CHECK_EQ(bad.frame.m.extents.list.len, 0);
		m.lease.reclaim = 1;
		CHECK_EQ(ask(&bad, &m), 0);
		CHECK_EQ(bad.frame.m.extents.list.len, 0);
		m = (struct vol_message){ .type = VOL_SETATTR,
					  .setattr = { .file = f, .handle = 1, .valid = VOL_SET_SIZE, .size = far[i] } };
		CHECK_EQ(ask(&bad, &m), EFBIG);
		for (uint32_t mode = 0; mode < 64; mode++) {
			m = (struct vol_message){ .type = VOL_FALLOCATE,
						  .fallocate = { .handle = 1, .mode = mode, .offset = far[i], .length = far[i] } };
			CHECK(ask(&bad, &m) != 0);
		}
		m = (struct vol_message){ .type = VOL_SEEK, .seek = { .handle = 1, .offset = far[i], .whence = SEEK_DATA } };
		CHECK_EQ(ask(&bad, &m), ENXIO);
		m = (struct vol_message){ .type = VOL_COPY,
					  .copy = { .handle = 1, .offset = far[i], .to_handle = 1, .length = UINT64_MAX } };
		CHECK(ask(&bad, &m) != 0);
		m.copy = (struct vol_copy){ .handle = 1, .to_offset = far[i], .to_handle = 1, .length = UINT64_MAX };
		CHECK(ask(&bad, &m) != 0);
		m = (struct vol_message){ .type = VOL_GIVE_BACK, .give_back = { .file = f, .offset = far[i], .length = far[i] } };
		CHECK_EQ(ask(&bad, &m), 0);
		m = (struct vol_message){ .type = VOL_LOCK, .lock = { .handle = 1, .type = 1, .start = far[i], .end = 0 } };
		CHECK(ask(&bad, &m) != 0);
		m = (struct vol_message){ .type = VOL_TOUCH, .touch = { .file = f, .mtime_ns = far[i] } };
		CHECK_EQ(ask(&bad, &m), 0);
		m = (struct vol_message){ .type = VOL_CANCEL, .cancel.request = far[i] };
		CHECK_EQ(ask(&bad, &m), 0);
	}
	CHECK_EQ(read_at(&bad, 1, 0, UINT32_MAX), EINVAL);
	CHECK_EQ(read_at(&bad, 1, 0, VOL_IO_MAX + 1), EINVAL);
	CHECK_EQ(read_at(&bad, 1, 0, VOL_IO_MAX), 0);
	CHECK_EQ(write_at(&bad, 1, 0, "", 0), EINVAL);
	check_unharmed();
}

static void test_long_write(void)
{
	static uint8_t big[VOL_IO_MAX + 4096];

	CHECK_EQ(write_at(&bad, 1, 0, big, sizeof(big)), EINVAL);
	CHECK_EQ(write_at(&bad, 1, 0, big, VOL_IO_MAX), 0);
	check_unharmed();
}

static void test_sizes_of_lists(void)
{
	struct vol_message m = { .type = VOL_READDIR, .readdir = { .file = bad.root, .plus = 1 } };
	static const uint32_t sizes[] = { 0, 1, 40, UINT32_MAX };

	for (size_t i = 0; i < ARRAY_SIZE(sizes); i++) {
		m.readdir.size = sizes[i];
		CHECK_EQ(ask(&bad, &m), sizes[i] < 100 ? EINVAL : 0);
	}
	m.readdir.cookie = UINT64_MAX;
	CHECK(ask(&bad, &m) >= 0); /* an error or the end, as the file system says */
	m = (struct vol_message){ .type = VOL_GETXATTR, .getxattr = { .file = kept, .size = UINT32_MAX, .name = "user.none" } };
	CHECK_EQ(ask(&bad, &m), ENODATA);
	m.getxattr.name[0] = '\0';
	CHECK_EQ(ask(&bad, &m), 0);
	check_unharmed();
}

/* --- what is not there, or not to be seen --- */

static void test_unknown_handles(void)
{
	static const uint16_t types[] = { VOL_READ, VOL_WRITE, VOL_FALLOCATE, VOL_SEEK, VOL_COPY, VOL_LEASE, VOL_LOCK };
	static const uint64_t handles[] = { 0, 999, UINT64_MAX };

	for (size_t i = 0; i < ARRAY_SIZE(types); i++) {
		for (size_t k = 0; k < ARRAY_SIZE(handles); k++) {
			struct vol_message m = { .type = types[i] };

			memcpy((uint8_t *)&m + offsetof(struct vol_message, read), &handles[k], sizeof(handles[k]));
			if (!CHECK_EQ(ask(&bad, &m), EBADF))
				fprintf(stderr, "\t%s of handle %llu\n", vol_name(types[i]), (unsigned long long)handles[k]);
		}
	}
	CHECK_EQ(release(&bad, 999), 0);
}

static void check_no_file(const struct vol_fid *f)
{
	struct vol_message m = { .type = VOL_GETATTR, .getattr.file = *f };

	CHECK_EQ(ask(&bad, &m), ESTALE);
	m = (struct vol_message){ .type = VOL_READDIR, .readdir = { .file = *f, .size = 65536 } };
	CHECK_EQ(ask(&bad, &m), ESTALE);
	m = (struct vol_message){ .type = VOL_LOOKUP, .lookup = { .parent = *f, .name = "orphans" } };
	CHECK_EQ(ask(&bad, &m), ESTALE);
	m = (struct vol_message){ .type = VOL_CREATE,
				  .create = { .parent = *f, .name = "x", .mode = 0644, .flags = O_RDWR, .handle = 5 } };
	CHECK_EQ(ask(&bad, &m), ESTALE);
	m = (struct vol_message){ .type = VOL_UNLINK, .unlink = { .parent = *f, .name = "orphans", .directory = 1 } };
	CHECK_EQ(ask(&bad, &m), ESTALE);
	m = (struct vol_message){ .type = VOL_SETATTR, .setattr = { .file = *f, .valid = VOL_SET_MODE, .mode = 0777 } };
	CHECK_EQ(ask(&bad, &m), ESTALE);
	CHECK_EQ(open_file(&bad, f, 5, false), ESTALE);
	CHECK_EQ(open_file(&bad, f, 5, true), ESTALE);
	m = (struct vol_message){ .type = VOL_LINK, .link = { .file = *f, .parent = bad.root, .name = "l" } };
	CHECK_EQ(ask(&bad, &m), ESTALE);
	m = rename_question(&bad, "far", "near");
	m.rename.new_parent = *f;
	CHECK_EQ(ask(&bad, &m), ESTALE);
	m = (struct vol_message){ .type = VOL_TOUCH, .touch = { .file = *f, .mtime_ns = 1 } };
	CHECK_EQ(ask(&bad, &m), ESTALE);
	m = (struct vol_message){ .type = VOL_FSYNC, .fsync.file = *f };
	CHECK_EQ(ask(&bad, &m), ESTALE);
	m = (struct vol_message){ .type = VOL_SETXATTR, .setxattr = { .file = *f, .name = "user.x" } };
	CHECK_EQ(ask(&bad, &m), ESTALE);
}

/* Ids by guess: next to those that are given, of other kinds, of nothing. The inodes of .csvfs are among them. */
static void test_file_ids(void)
{
	struct vol_fid none = { 0 }, odd = { .len = VOL_FID_MAX, .type = 255 };
	struct vol_message m = { .type = VOL_READDIR, .readdir = { .file = bad.root, .size = 65536 } };
	struct reader r;
	struct vol_dirent d;

	check_no_file(&none);
	memset(odd.data, 0xff, sizeof(odd.data));
	check_no_file(&odd);
	odd = kept;
	odd.len = 1;
	check_no_file(&odd);
	odd = kept;
	odd.data[kept.len - 1] ^= 0x55; /* another generation */
	check_no_file(&odd);
	CHECK_EQ(ask(&bad, &m), 0);
	r = reader_of(bad.frame.m.data.bytes.data, bad.frame.m.data.bytes.len);
	while (reader_left(&r)) {
		vol_get_dirent(&r, &d, false);
		CHECK(strcmp(d.name, FILES_HIDDEN));
	}
}

/* The names of the hidden directory, as a test of the device sees them: by the volume mounted elsewhere. */
static void hidden_ids(const char *filesystem, struct vol_fid *hidden, struct vol_fid *orphans)
{
	char path[64];

	CHECK_EQ(rig_run("mkdir -p /mnt/t/plain && mount -t %s %s /mnt/t/plain", filesystem, rig.loop.path), 0);
	for (int i = 0; i < 2; i++) {
		int fd;

		snprintf(path, sizeof(path), "/mnt/t/plain/" FILES_HIDDEN "%s", i ? "/" FILES_ORPHANS : "");
		fd = open(path, O_RDONLY | O_CLOEXEC);
		REQUIRE(fd >= 0 && !files_fid(fd, i ? orphans : hidden));
		close(fd);
	}
	CHECK_EQ(rig_run("umount %s", "/mnt/t/plain"), 0);
}

static void test_names(void)
{
	static const char *const wrong[] = { "", ".csvfs" };
	static const char *const impossible[] = { ".", "..", "a/b", "/", "../x" };

	for (size_t i = 0; i < ARRAY_SIZE(wrong); i++) {
		struct vol_message m = { .type = VOL_MKNOD, .mknod = { .parent = bad.root, .mode = S_IFDIR | 0755 } };
		int error = *wrong[i] ? EPERM : EINVAL;
		struct vol_fid f;

		text_copy(m.mknod.name, sizeof(m.mknod.name), wrong[i]);
		CHECK_EQ(ask(&bad, &m), error);
		CHECK_EQ(create(&bad, wrong[i], 50, NULL), error);
		CHECK_EQ(unlink_name(&bad, wrong[i]), error);
		CHECK_EQ(lookup(&bad, wrong[i], &f), *wrong[i] ? ENOENT : EINVAL);
		m = rename_question(&bad, "far", wrong[i]);
		CHECK_EQ(ask(&bad, &m), error);
		m = rename_question(&bad, wrong[i], "near");
		CHECK_EQ(ask(&bad, &m), error);
	}
	/* No decoder takes these: the connection ends. */
	for (size_t i = 0; i < ARRAY_SIZE(impossible); i++) {
		struct vol_message m = { .type = VOL_LOOKUP, .lookup.parent = bad.root, .request = bad.next++ };

		text_copy(m.lookup.name, sizeof(m.lookup.name), impossible[i]);
		peer_send(&bad, &m);
		CHECK(is_closed(bad.link));
		bad_again();
	}
	check_unharmed();
}

/* --- too much --- */

static void test_many_opens(void)
{
	uint32_t n = 0;
	int error = 0;

	while (!error && n <= HANDLES_MAX)
		error = open_file(&bad, &kept, 1000 + n++, false);
	CHECK_EQ(error, ENFILE);
	CHECK(n > HANDLES_MAX / 2);
	check_unharmed();
	CHECK_EQ(open_file(&good, &kept, 900, false), 0);
	CHECK_EQ(release(&good, 900), 0);
	peer_bye(&bad);
	bad.link = NULL;
	check_unharmed();
}

/* What the sessions before have cached, of the directory in which they made files too, is theirs until they are fenced. */
static void bad_fenced(void)
{
	struct vol_message f = { .type = VOL_FENCED, .fenced = { .node = 2, .incarnation = 1 } }, answer;

	CHECK_EQ(ask_control(&f, &answer), 0);
	CHECK_EQ(answer.error, 0);
}

/* More questions at once than the window: those too many are refused, the others answered, each once. */
static void flood(uint16_t type, uint32_t n)
{
	uint32_t seen = 0, again = 0;
	struct vol_fid own;

	bad_fenced();
	bad_again();
	CHECK_EQ(create(&bad, vol_name(type), 1, &own), 0);
	for (uint32_t i = 0; i < n; i++) {
		struct vol_message m = { .type = type, .request = bad.next++ };

		if (type == VOL_SETATTR)
			m.setattr = (struct vol_setattr){ .file = own, .valid = VOL_SET_MTIME_NOW };
		else
			m.getattr.file = own;
		peer_send(&bad, &m);
	}
	for (; seen < n; seen++) {
		REQUIRE(!peer_receive(&bad, RIG_MS));
		CHECK(!bad.frame.m.error || bad.frame.m.error == VOL_AGAIN);
		again += bad.frame.m.error == VOL_AGAIN;
	}
	printf("%u %s at once: %u refused\n", n, vol_name(type), again);
	if (type == VOL_SETATTR)
		CHECK(again >= n - REQUEST_LOG_SESSION_MAX - 1);
	peer_bye(&bad);
	check_unharmed();
}

static void test_many_connections(void)
{
	struct link *links[40];
	struct vol_message m = { .type = VOL_PING };

	/* Some say nothing, some end in the middle. */
	for (size_t i = 0; i < ARRAY_SIZE(links); i++)
		links[i] = connect_only();
	for (size_t i = 0; i < ARRAY_SIZE(links); i++) {
		if (i % 2)
			link_shutdown(links[i]);
		link_free(links[i]);
	}
	CHECK_EQ(ask(&good, &m), 0);
	check_unharmed();
}

static void run(const char *filesystem)
{
	struct vol_fid hidden, orphans;

	rig_start(filesystem);
	owner_start();
	CHECK_EQ(owner_end(SIGTERM), 0);
	hidden_ids(filesystem, &hidden, &orphans);
	owner_start();
	peer_new(&good, 1);
	CHECK_EQ(create(&good, "kept", 1, &kept), 0);
	CHECK_EQ(write_at(&good, 1, 0, KEPT, 4), 0);
	test_no_hello();
	test_second_hello();
	test_wrong_hello();
	test_wrong_kind();
	test_unasked_answers();
	test_offsets();
	test_long_write();
	test_sizes_of_lists();
	test_unknown_handles();
	check_no_file(&hidden);
	check_no_file(&orphans);
	test_file_ids();
	test_names();
	test_many_opens();
	flood(VOL_GETATTR, 5000);
	flood(VOL_SETATTR, 3000);
	test_many_connections();
	bad_again();
	peer_bye(&bad);
	peer_bye(&good);
	CHECK_EQ(owner_end(SIGTERM), 0);
	rig_fsck(!strcmp(filesystem, "xfs"));
}

int main(void)
{
	run("ext4");
	return check_result();
}
