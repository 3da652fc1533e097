/* SPDX-License-Identifier: GPL-2.0-or-later */
/* csvfs-owner on a real device: names, data, leases and recalls between two sessions, locks, a new owner. Needs root.
 */
#include "tests/unit/owner_rig.h"

static struct peer a, b;

/* What a file system lets root do alone, whoever owns the file. */
static int set_attribute(struct peer *p, const struct vol_fid *file, uint32_t uid, const char *name)
{
	static const uint8_t capability[20] = { 0, 0, 0, 2 }; /* VFS_CAP_REVISION_2: none at all */
	struct vol_message m = { .type = VOL_SETXATTR,
				 .setxattr = { .file = *file, .value = { capability, sizeof(capability) } } };

	m.setxattr.cred.uid = m.setxattr.cred.gid = uid;
	text_copy(m.setxattr.name, sizeof(m.setxattr.name), name);
	return ask(p, &m);
}

static void test_names(void)
{
	struct vol_fid f, g, dir;
	struct vol_message m = { .type = VOL_MKNOD, .mknod = { .mode = S_IFDIR | 0755, .name = "dir" } };
	struct vol_message no = { .type = VOL_SETATTR };

	CHECK_EQ(create(&a, "one", 1, &f), 0);
	CHECK_EQ(a.frame.m.entry.keep, 1);
	CHECK_EQ(create(&a, "one", 2, NULL), EEXIST);
	CHECK_EQ(lookup(&b, "one", &g), 0);
	CHECK(vol_fid_equal(&f, &g));
	CHECK_EQ(lookup(&b, "none", &g), ENOENT);
	CHECK_EQ(lookup(&b, ".csvfs", &g), ENOENT);
	m.mknod.parent = a.root;
	CHECK_EQ(ask(&a, &m), 0);
	dir = a.frame.m.entry.file;
	m = (struct vol_message){ .type = VOL_SYMLINK,
				  .symlink = {
					  .parent = dir, .name = "sym", .target = { (const void *)"../one", 6 } } };
	CHECK_EQ(ask(&a, &m), 0);
	m = (struct vol_message){ .type = VOL_READLINK, .readlink.file = a.frame.m.entry.file };
	CHECK_EQ(ask(&a, &m), 0);
	CHECK(a.frame.m.data.bytes.len == 6 && !memcmp(a.frame.m.data.bytes.data, "../one", 6));
	m = (struct vol_message){ .type = VOL_LINK, .link = { .file = f, .parent = dir, .name = "hard" } };
	CHECK_EQ(ask(&b, &m), 0);
	CHECK_EQ(b.frame.m.entry.attr.nlink, 2);
	m = rename_question(&a, "one", "two");
	CHECK_EQ(ask(&a, &m), 0);
	CHECK_EQ(lookup(&b, "one", &g), ENOENT);
	CHECK_EQ(lookup(&b, "two", &g), 0);
	/* Rights are those of who asks. */
	no.setattr.file = f;
	no.setattr.cred.uid = no.setattr.cred.gid = 65534;
	no.setattr.valid = VOL_SET_MODE;
	CHECK_EQ(ask(&a, &no), EPERM);
	CHECK_EQ(set_attribute(&a, &f, 65534, "trusted.t"), EPERM);
	CHECK_EQ(set_attribute(&a, &f, 65534, "security.capability"), EPERM);
	CHECK_EQ(set_attribute(&a, &f, 0, "trusted.t"), 0);
	no.setattr.cred.uid = no.setattr.cred.gid = 0;
	no.setattr.mode = 0600;
	CHECK_EQ(ask(&a, &no), 0);
	CHECK_EQ(a.frame.m.entry.attr.mode, S_IFREG | 0600);
	m = (struct vol_message){ .type = VOL_READDIR, .readdir = { .file = a.root, .size = 65536, .plus = 1 } };
	CHECK_EQ(ask(&a, &m), 0);
	CHECK_EQ(a.frame.m.data.value, 1);
	{
		struct reader r = reader_of(a.frame.m.data.bytes.data, a.frame.m.data.bytes.len);
		struct vol_dirent d;
		int n = 0, hidden = 0;

		while (reader_left(&r)) {
			vol_get_dirent(&r, &d, true);
			n++;
			hidden += !strcmp(d.name, ".csvfs");
		}
		CHECK(!r.bad);
		CHECK(n >= 4);
		CHECK_EQ(hidden, 0);
	}
	CHECK_EQ(release(&a, 1), 0);
	CHECK_EQ(unlink_name(&a, "two"), 0);
	CHECK_EQ(unlink_name(&a, "two"), ENOENT);
	CHECK_EQ(unlink_name(&a, "dir"), EISDIR);
}

static uint8_t pattern[MIB], seen[MIB];

static bool reads_as(struct peer *p, uint64_t handle, uint64_t at, const uint8_t *want, uint32_t len)
{
	CHECK_EQ(read_at(p, handle, at, len), 0);
	return p->frame.m.data.bytes.len == len && !memcmp(p->frame.m.data.bytes.data, want, len);
}

/* Every way a write can lie to the sectors, the blocks and the end of the file, against a copy in memory. */
static void test_data(void)
{
	static const struct {
		uint32_t at, len;
	} writes[] = { { 0, 100 },	 { 100, 1000 },	  { 5, 1 },	 { 1024, 512 },	   { 1536, 4096 },
		       { 300, 9000 },	 { 20000, 77 },	  { 20077, 3 },	 { 65536, 65536 }, { 511, 2 },
		       { 131000, 5000 }, { 136000, 512 }, { 135999, 1 }, { 400000, 8192 }, { 399000, 700 } };
	struct vol_fid f;
	uint32_t size = 0;

	for (size_t i = 0; i < sizeof(pattern); i++)
		pattern[i] = (uint8_t)(i * 31 + i / 251);
	CHECK_EQ(create(&a, "data", 5, &f), 0);
	CHECK_EQ(open_file(&b, &f, 5, false), 0);
	for (size_t i = 0; i < sizeof(writes) / sizeof(*writes); i++) {
		uint32_t end = writes[i].at + writes[i].len;

		CHECK_EQ(write_at(i % 2 ? &a : &b, 5, writes[i].at, pattern + 7 * i, writes[i].len), 0);
		memcpy(seen + writes[i].at, pattern + 7 * i, writes[i].len);
		size = size > end ? size : end;
		CHECK(reads_as(&b, 5, 0, seen, size));
		CHECK_EQ(b.frame.m.data.value, size);
	}
	{
		struct vol_message m = write_question(5, 0, "tail", 4);

		m.write.append = 1;
		CHECK_EQ(ask(&a, &m), 0);
		CHECK_EQ(a.frame.m.written.offset, size);
		memcpy(seen + size, (const char[]){ 't', 'a', 'i', 'l' }, 4);
		m = (struct vol_message){
			.type = VOL_COPY,
			.copy = { .handle = 5, .offset = 3, .to_handle = 5, .to_offset = 600001, .length = 10000 }
		};
		CHECK_EQ(ask(&a, &m), 0);
		CHECK_EQ(a.frame.m.written.size, 10000);
		memcpy(seen + 600001, seen + 3, 10000);
		CHECK(reads_as(&b, 5, 0, seen, 610001));
		m = (struct vol_message){ .type = VOL_SETATTR,
					  .setattr = { .file = f, .handle = 5, .valid = VOL_SET_SIZE, .size = 1001 } };
		CHECK_EQ(ask(&a, &m), 0);
		m.setattr.size = 3000;
		CHECK_EQ(ask(&a, &m), 0);
		memset(seen + 1001, 0, 2000);
		CHECK(reads_as(&b, 5, 0, seen, 3000));
		m = (struct vol_message){ .type = VOL_FALLOCATE,
					  .fallocate = { .handle = 5, .mode = 3, .offset = 10, .length = 700 } };
		CHECK_EQ(ask(&a, &m), 0);
		memset(seen + 10, 0, 700);
		CHECK(reads_as(&a, 5, 0, seen, 3000));
		m = (struct vol_message){ .type = VOL_FSYNC, .fsync.file = f };
		CHECK_EQ(ask(&a, &m), 0);
	}
	CHECK_EQ(release(&a, 5), 0);
	CHECK_EQ(release(&b, 5), 0);
}

static void device_put(const struct vol_extent *e, int byte)
{
	struct device d;
	uint8_t *buf = device_buffer(4096);

	memset(buf, byte, 4096);
	REQUIRE(!device_open(&d, rig.loop.path, true));
	CHECK_EQ(device_write(&d, buf, 4096, e->physical), 0);
	device_close(&d);
	free(buf);
}

static void test_leases(void)
{
	struct vol_fid f;
	struct vol_extent e = { 0 };
	struct vol_message m;
	uint8_t x[4096];

	CHECK_EQ(create(&a, "leased", 6, &f), 0);
	CHECK_EQ(open_file(&b, &f, 6, false), 0);
	CHECK_EQ(lease(&a, 6, true, false, &e), 0); /* empty: nothing to lend */
	CHECK_EQ(write_at(&a, 6, 0, pattern, MIB), 0);
	CHECK_EQ(lease(&a, 6, true, false, &e), 1);
	CHECK(e.offset == 0 && e.length >= 4096);
	CHECK_EQ(a.frame.m.extents.sole, 1);
	/* What is written on the device is what the other session reads through the owner, once nobody has the file alone. */
	device_put(&e, 0x5a);
	memset(x, 0x5a, sizeof(x));
	m = (struct vol_message){ .type = VOL_READ, .request = b.next++, .read = { .handle = 6, .size = 1 } };
	peer_send(&b, &m);
	take_recall(&a, &f);
	CHECK_EQ(peer_wait(&b, m.request), 0);
	CHECK(reads_as(&b, 6, 0, x, 4096));
	/* A part of a sector waits until the holder has given it up. */
	m = write_question(6, 10, "part", 4);
	m.request = b.next++;
	b.answered = m.request;
	peer_send(&b, &m);
	REQUIRE(!peer_receive(&a, RIG_MS));
	REQUIRE(a.frame.m.type == VOL_RECALL);
	CHECK(peer_quiet(&b));
	device_put(&e, 0x33); /* what is on its way still gets there */
	{
		struct vol_message done = { .type = VOL_RECALLED, .request = a.frame.m.request };

		peer_send(&a, &done);
	}
	CHECK_EQ(peer_wait(&b, m.request), 0);
	memset(x, 0x33, sizeof(x));
	memcpy(x + 10, (const char[]){ 'p', 'a', 'r', 't' }, 4);
	CHECK(reads_as(&b, 6, 0, x, 4096));
	/* Both lease: nobody is sole. Truncation takes everything back from both. */
	CHECK_EQ(lease(&a, 6, false, false, &e), 1);
	m = (struct vol_message){ .type = VOL_SETATTR, .setattr = { .file = f, .valid = VOL_SET_SIZE, .size = 0 } };
	m.request = b.next++;
	b.answered = m.request;
	peer_send(&b, &m);
	take_recall(&a, &f);
	CHECK_EQ(peer_wait(&b, m.request), 0);
	CHECK_EQ(b.frame.m.entry.attr.size, 0);
}

/* A file that is removed while it is open stays until the last close, and others do not wait for its holder. */
static void test_orphan(void)
{
	struct vol_fid f, g;
	struct vol_extent e = { 0 };
	struct vol_message q = { .type = VOL_GETATTR };

	CHECK_EQ(create(&a, "gone", 7, &f), 0);
	CHECK_EQ(write_at(&a, 7, 0, pattern, 65536), 0);
	CHECK_EQ(lease(&a, 7, true, false, &e), 1);
	CHECK_EQ(unlink_name(&b, "gone"), 0);
	CHECK_EQ(lookup(&b, "gone", &g), ENOENT);
	CHECK(reads_as(&a, 7, 0, pattern, 65536));
	q.getattr.file = f;
	CHECK_EQ(ask(&a, &q), 0);
	CHECK_EQ(a.frame.m.entry.attr.nlink, 0);
	{
		struct vol_message m = { .type = VOL_RELEASE, .request = a.next++, .release.handle = 7 };
		bool answered = false, recalled = false;

		a.answered = m.request;
		peer_send(&a, &m);
		while (!answered || !recalled) {
			REQUIRE(!peer_receive(&a, RIG_MS));
			if (a.frame.m.type == VOL_RECALL) {
				struct vol_message done = { .type = VOL_RECALLED, .request = a.frame.m.request };

				peer_send(&a, &done);
				recalled = true;
			} else {
				answered = a.frame.m.request == m.request;
			}
		}
	}
}

/* Attributes of `file`, and whether they may be kept. */
static uint8_t look(struct peer *p, const struct vol_fid *file)
{
	struct vol_message m = { .type = VOL_GETATTR, .getattr.file = *file };

	CHECK_EQ(ask(p, &m), 0);
	return p->frame.m.entry.cache;
}

/* `m` of b waits until a has given up `what` of `file`; it is not lent again meanwhile. */
static void takes_back(struct vol_message *m, uint32_t what, const struct vol_fid *file, const char *name)
{
	struct vol_message done = { .type = VOL_RECALLED };

	m->request = b.next++;
	b.answered = m->request;
	peer_send(&b, m);
	REQUIRE(!peer_receive(&a, RIG_MS));
	REQUIRE(a.frame.m.type == VOL_RECALL);
	CHECK_EQ(a.frame.m.recall.what & what, what);
	CHECK(vol_fid_equal(&a.frame.m.recall.file, file));
	CHECK_STR(a.frame.m.recall.name, name);
	CHECK(peer_quiet(&b));
	done.request = a.frame.m.request;
	if (what & VOL_RECALL_ATTR)
		CHECK_EQ(look(&a, file) & VOL_CACHE_ATTR, 0);
	peer_send(&a, &done);
	CHECK_EQ(peer_wait(&b, m->request), 0);
}

/* What is lent of attributes and names is taken back before it changes, from everybody but who changes it. */
static void test_cached(void)
{
	struct vol_message m = { .type = VOL_SETATTR, .setattr = { .valid = VOL_SET_MODE, .mode = 0600 } };
	struct vol_fid f, g;

	CHECK_EQ(create(&b, "cached", 30, &f), 0);
	a.keeps = true;
	CHECK_EQ(lookup(&a, "cached", &g), 0);
	CHECK_EQ(a.frame.m.entry.cache, VOL_CACHE_ATTR | VOL_CACHE_NAME);
	m.setattr.file = f;
	takes_back(&m, VOL_RECALL_ATTR, &f, "");
	CHECK_EQ(b.frame.m.entry.cache, VOL_CACHE_ATTR);
	CHECK_EQ(b.frame.m.entry.attr.mode, S_IFREG | 0600);
	CHECK_EQ(look(&a, &f), VOL_CACHE_ATTR);
	CHECK_EQ(a.frame.m.entry.attr.mode, S_IFREG | 0600);
	m = write_question(30, 0, "longer", 6);
	takes_back(&m, VOL_RECALL_ATTR, &f, "");
	CHECK_EQ(look(&a, &f), VOL_CACHE_ATTR);
	CHECK_EQ(a.frame.m.entry.attr.size, 6);
	m = (struct vol_message){ .type = VOL_TOUCH, .touch = { .file = f, .mtime_ns = (uint64_t)INT64_MAX / 4 } };
	takes_back(&m, VOL_RECALL_ATTR, &f, "");
	/* A time that nobody waits for: answered first, taken back then. */
	CHECK_EQ(look(&a, &f), VOL_CACHE_ATTR);
	m.touch.mtime_ns += 1000000000;
	m.touch.later = 1;
	CHECK_EQ(ask(&b, &m), 0);
	take_recall(&a, &f);
	/* A name that is not there, and then is. */
	CHECK_EQ(lookup(&a, "not yet", &g), ENOENT);
	CHECK_EQ(a.frame.m.entry.cache, VOL_CACHE_NAME);
	m = rename_question(&b, "cached", "not yet");
	m.request = b.next++;
	b.answered = m.request;
	peer_send(&b, &m);
	for (int i = 0; i < 2; i++) { /* of both names */
		take_recall(&a, &a.root);
		CHECK_EQ(a.frame.m.recall.what, VOL_RECALL_ATTR | VOL_RECALL_NAME);
	}
	CHECK_EQ(peer_wait(&b, m.request), 0);
	CHECK(vol_fid_equal(&b.frame.m.named.file, &f) && vol_fid_none(&b.frame.m.named.other));
	CHECK_EQ(lookup(&a, "not yet", &g), 0);
	CHECK(vol_fid_equal(&f, &g));
	/* Who changes it is not asked. */
	m = (struct vol_message){ .type = VOL_SETATTR, .setattr = { .file = f, .valid = VOL_SET_MODE, .mode = 0644 } };
	CHECK_EQ(ask(&a, &m), 0);
	CHECK_EQ(a.frame.m.entry.cache, VOL_CACHE_ATTR);
	a.keeps = false;
	CHECK_EQ(unlink_name(&b, "not yet"), 0);
	CHECK_EQ(release(&b, 30), 0);
}

/* Who makes a directory knows that it is empty, until somebody else makes a name in it. */
static void test_new_directory(void)
{
	struct vol_message m = { .type = VOL_MKNOD, .mknod = { .parent = a.root, .mode = S_IFDIR | 0755, .name = "fresh" } };
	struct vol_fid dir;

	a.keeps = true;
	CHECK_EQ(ask(&a, &m), 0);
	dir = a.frame.m.entry.file;
	CHECK_EQ(a.frame.m.entry.cache & VOL_CACHE_WHOLE, VOL_CACHE_WHOLE);
	m = (struct vol_message){ .type = VOL_CREATE,
				  .create = { .parent = dir, .name = "x", .mode = S_IFREG | 0644, .flags = O_RDWR, .handle = 31 } };
	takes_back(&m, VOL_RECALL_ATTR | VOL_RECALL_NAME, &dir, "x");
	/* The attributes are taken back already: it is the names that are asked for. */
	m.create.handle = 32;
	text_copy(m.create.name, sizeof(m.create.name), "y");
	takes_back(&m, VOL_RECALL_NAME, &dir, "y");
	a.keeps = false;
	CHECK_EQ(release(&b, 31), 0);
	CHECK_EQ(release(&b, 32), 0);
	/* And who removes a name, that it is missing. */
	CHECK_EQ(create(&b, "removed", 33, NULL), 0);
	CHECK_EQ(release(&b, 33), 0);
	a.keeps = true;
	CHECK_EQ(unlink_name(&a, "removed"), 0);
	CHECK_EQ(a.frame.m.named.cache & VOL_CACHE_NAME, VOL_CACHE_NAME);
	m = (struct vol_message){ .type = VOL_CREATE,
				  .create = { .parent = a.root, .name = "removed", .mode = S_IFREG | 0644, .handle = 34 } };
	takes_back(&m, VOL_RECALL_NAME, &a.root, "removed");
	a.keeps = false;
	CHECK_EQ(release(&b, 34), 0);
	m = (struct vol_message){ .type = VOL_MKNOD, .mknod = { .parent = a.root, .mode = S_IFREG | 0644, .name = "a file" } };
	CHECK_EQ(ask(&a, &m), 0);
	CHECK_EQ(a.frame.m.entry.cache & VOL_CACHE_WHOLE, 0);
}

static void test_locks(void)
{
	struct vol_fid f;
	struct vol_message m = { .type = VOL_LOCK,
				 .lock = { .handle = 8, .lock_owner = 1, .type = 1, .end = INT64_MAX, .pid = 11 } };
	struct vol_message wait = m;

	CHECK_EQ(create(&a, "locked", 8, &f), 0);
	CHECK_EQ(open_file(&b, &f, 8, false), 0);
	CHECK_EQ(ask(&a, &m), 0);
	CHECK_EQ(ask(&b, &m), EAGAIN);
	wait.lock.wait = 1;
	wait.request = b.next++;
	peer_send(&b, &wait);
	CHECK(peer_quiet(&b));
	CHECK_EQ(release(&a, 8), 0);
	CHECK_EQ(peer_wait(&b, wait.request), 0);
	CHECK_EQ(release(&b, 8), 0);
}

/*
 * The owner dies with an answer under way. The session asks the new one again; meanwhile another has made the old name
 * anew: it must not be moved over the first.
 */
static void test_new_owner(void)
{
	struct vol_fid first, second, now;
	struct vol_extent before = { 0 }, after = { 0 };
	struct vol_message m, mine;

	CHECK_EQ(create(&a, "old", 9, &first), 0);
	CHECK_EQ(write_at(&a, 9, 0, pattern, 65536), 0);
	CHECK_EQ(lease(&a, 9, true, false, &before), 1);
	mine = rename_question(&a, "old", "new");
	mine.request = a.next++;
	a.answered = mine.request;
	peer_send(&a, &mine);
	CHECK_EQ(peer_wait(&a, mine.request), 0); /* and this answer is lost */
	CHECK_EQ(create(&b, "old", 9, &second), 0);
	CHECK_EQ(owner_end(SIGKILL), -SIGKILL);
	owner_start();
	peer_connect(&a);
	CHECK_EQ(a.grace, 1);
	a.answered = mine.request;
	m = (struct vol_message){ .type = VOL_OPEN,
				  .request = a.next++,
				  .open = { .file = first, .flags = O_RDWR, .handle = 9, .reclaim = 1 } };
	peer_send(&a, &m);
	CHECK_EQ(peer_wait(&a, m.request), 0);
	m = (struct vol_message){ .type = VOL_LEASE,
				  .request = a.next++,
				  .lease = { .handle = 9, .length = 65536, .write = 1, .reclaim = 1 } };
	peer_send(&a, &m);
	CHECK_EQ(peer_wait(&a, m.request), 0);
	{
		struct reader r = reader_of(a.frame.m.extents.list.data, a.frame.m.extents.list.len);

		REQUIRE(reader_left(&r));
		vol_get_extent(&r, &after);
		CHECK_EQ(before.physical, after.physical);
	}
	/* Asked again, twice. */
	peer_send(&a, &mine);
	CHECK_EQ(peer_wait(&a, mine.request), 0);
	peer_send(&a, &mine);
	CHECK_EQ(peer_wait(&a, mine.request), 0);
	peer_ready(&a);
	peer_connect(&b);
	CHECK_EQ(b.grace, 1);
	peer_ready(&b);
	CHECK_EQ(lookup(&b, "new", &now), 0);
	CHECK(vol_fid_equal(&now, &first));
	CHECK_EQ(lookup(&b, "old", &now), 0);
	CHECK(vol_fid_equal(&now, &second));
	CHECK(reads_as(&a, 9, 0, pattern, 65536));
}

/* Who does not come back is waited for, until it is said that it cannot write any more. */
static void test_fenced(void)
{
	struct vol_message q = { .type = VOL_STATUS },
			   f = { .type = VOL_FENCED, .fenced = { .node = 1, .incarnation = 1 } }, answer;

	CHECK_EQ(owner_end(SIGKILL), -SIGKILL);
	owner_start();
	peer_connect(&b);
	peer_ready(&b);
	CHECK_EQ(ask_control(&q, &answer), 0);
	CHECK_EQ(answer.status_is.waiting_for, 1 << 1);
	CHECK_EQ(ask_control(&f, &answer), 0);
	CHECK_EQ(answer.error, 0);
	CHECK_EQ(ask_control(&q, &answer), 0);
	CHECK_EQ(answer.status_is.waiting_for, 0);
	/* It is not taken for a new one: it would go on with leases and locks that others may have by now. */
	CHECK_EQ(peer_hello(&a), ENOENT);
	CHECK_EQ(peer_hello(&a), ENOENT);
	peer_gone(&a);
	peer_new(&a, 1);
	CHECK_EQ(a.grace, 0);
}

/* A write that waits for a silent holder: when its own session is fenced, it must never reach the file. */
static void test_fenced_write(void)
{
	struct vol_message f = { .type = VOL_FENCED, .fenced = { .node = 2, .incarnation = 1 } }, answer, m;
	struct vol_message done = { .type = VOL_RECALLED };
	struct vol_extent e = { 0 };
	struct vol_fid file;

	CHECK_EQ(create(&a, "fenced", 20, &file), 0);
	CHECK_EQ(write_at(&a, 20, 0, pattern, 8192), 0);
	CHECK_EQ(lease(&a, 20, true, false, &e), 1);
	CHECK_EQ(open_file(&b, &file, 20, false), 0);
	m = write_question(20, 100, "stale", 5);
	m.request = b.next++;
	peer_send(&b, &m);
	REQUIRE(!peer_receive(&a, RIG_MS));
	REQUIRE(a.frame.m.type == VOL_RECALL);
	done.request = a.frame.m.request;
	CHECK_EQ(ask_control(&f, &answer), 0);
	CHECK_EQ(answer.error, 0);
	CHECK_EQ(peer_receive(&b, RIG_MS), -ECONNRESET);
	peer_send(&a, &done);
	CHECK(reads_as(&a, 20, 0, pattern, 8192));
	CHECK_EQ(release(&a, 20), 0);
	peer_gone(&b);
	peer_new(&b, 2);
}

/* A file of the volume as the file system has it while there is no owner. */
static void cut_to(const char *name, off_t size)
{
	char path[64];

	mkdir("/mnt/t/plain", 0700);
	REQUIRE(!rig_run("mount %s /mnt/t/plain", rig.loop.path));
	snprintf(path, sizeof(path), "/mnt/t/plain/%s", name);
	CHECK_EQ(truncate(path, size), 0);
	REQUIRE(!rig_run("umount /mnt/t/plain # %s", rig.loop.path));
}

/*
 * Appending is not repeatable: the new owner knows what the one before has done of it, all or, with `done` bytes, a part, after
 * which it goes on. `owners`: die one after the other before they hear of the answer.
 */
static void append_again(const char *name, uint64_t handle, off_t done, int owners)
{
	struct vol_message m, ready = { .type = VOL_READY },
			      open = { .type = VOL_OPEN, .open = { .flags = O_RDWR, .handle = handle, .reclaim = 1 } };
	struct vol_fid f;

	CHECK_EQ(create(&a, name, handle, &f), 0);
	open.open.file = f;
	CHECK_EQ(write_at(&a, handle, 0, "12345", 5), 0);
	m = write_question(handle, 0, "67890", 5);
	m.write.append = 1;
	m.request = a.next++;
	a.answered = m.request;
	peer_send(&a, &m);
	CHECK_EQ(peer_wait(&a, m.request), 0);
	for (int i = 0; i < owners; i++) {
		CHECK_EQ(owner_end(SIGKILL), -SIGKILL);
		if (done)
			cut_to(name, 5 + done + i);
		owner_start();
		peer_connect(&a);
		a.answered = m.request;
		/* Not by ask(): that would tell the owner that the answer to the append has come. */
		open.request = a.next++;
		peer_send(&a, &open);
		CHECK_EQ(peer_wait(&a, open.request), 0);
		ready.request = a.next++;
		peer_send(&a, &ready);
		CHECK_EQ(peer_wait(&a, ready.request), 0);
		peer_connect(&b);
		peer_ready(&b);
		peer_send(&a, &m);
		CHECK_EQ(peer_wait(&a, m.request), 0);
		CHECK_EQ(a.frame.m.written.size, 5);
		CHECK_EQ(a.frame.m.written.offset, 5);
		CHECK_EQ(a.frame.m.written.attr.size, 10);
	}
	CHECK(reads_as(&a, handle, 0, (const uint8_t *)"1234567890", 10));
	CHECK_EQ(release(&a, handle), 0);
}

static void test_append_again(void)
{
	append_again("log", 21, 0, 1);
	append_again("log-part", 22, 2, 1);
	append_again("log-parts", 23, 1, 3);
}

static void test_freeze(void)
{
	struct vol_message freeze = { .type = VOL_FREEZE, .freeze = { .on = 1, .most_ms = 60000 } }, answer, m;
	struct vol_message thaw = { .type = VOL_FREEZE }, trim = { .type = VOL_JOB, .job.kind = VOL_JOB_TRIM };
	struct vol_extent e = { 0 };
	struct vol_fid f;

	CHECK_EQ(create(&a, "frozen", 22, &f), 0);
	CHECK_EQ(write_at(&a, 22, 0, pattern, 8192), 0);
	CHECK_EQ(ask_control(&freeze, &answer), 0);
	CHECK_EQ(answer.error, 0);
	CHECK_EQ(ask_control(&freeze, &answer), 0);
	CHECK_EQ(answer.error, EBUSY);
	CHECK_EQ(ask_control(&trim, &answer), 0);
	CHECK_EQ(answer.error, EBUSY);
	CHECK_EQ(lease(&a, 22, false, false, &e), 0);
	m = write_question(22, 0, "x", 1);
	m.request = a.next++;
	a.answered = m.request;
	peer_send(&a, &m);
	CHECK(peer_quiet(&a));
	CHECK_EQ(ask_control(&thaw, &answer), 0);
	CHECK_EQ(answer.error, 0);
	CHECK_EQ(peer_wait(&a, m.request), 0);
	/* Who waits for it goes on when nobody ends it. */
	freeze.freeze.most_ms = 300;
	CHECK_EQ(ask_control(&freeze, &answer), 0);
	CHECK_EQ(answer.error, 0);
	m = write_question(22, 0, "y", 1);
	m.request = a.next++;
	a.answered = m.request;
	peer_send(&a, &m);
	CHECK_EQ(peer_wait(&a, m.request), 0);
	CHECK_EQ(ask_control(&thaw, &answer), 0);
	CHECK_EQ(answer.error, EINVAL);
	freeze.freeze.most_ms = 0;
	CHECK_EQ(ask_control(&freeze, &answer), 0);
	CHECK_EQ(answer.error, ERANGE);
	CHECK_EQ(lease(&a, 22, false, false, &e), 1);
}

/* A job ends, whatever the device can do, and says how it went; the next one can be had then. */
static void test_jobs(void)
{
	struct vol_message trim = { .type = VOL_JOB, .job.kind = VOL_JOB_TRIM }, look = { .type = VOL_JOB_STATUS }, answer;

	for (int i = 0; i < 2; i++) {
		CHECK_EQ(ask_control(&trim, &answer), 0);
		CHECK_EQ(answer.error, 0);
		do
			CHECK_EQ(ask_control(&look, &answer), 0);
		while (answer.job_is.running);
		CHECK_EQ(answer.job_is.kind, VOL_JOB_TRIM);
		if (!answer.job_is.failed)
			CHECK_EQ(answer.job_is.done, answer.job_is.total);
		else
			CHECK_EQ(answer.job_is.failed, EOPNOTSUPP);
	}
}

/*
 * Power loss: a copy of the device as it is at one moment, without what the owner still had in memory. What was
 * answered is there.
 */
static void test_power_loss(bool xfs)
{
	struct loop live = rig.loop;
	struct vol_fid f, g;
	off_t size = lseek(live.file, 0, SEEK_END), at = 0;
	struct vol_message m;
	struct loop copy = loop_new((uint64_t)size, 512);

	CHECK_EQ(create(&a, "kept", 23, &f), 0);
	CHECK_EQ(write_at(&a, 23, 0, pattern, 70000), 0);
	m = write_question(23, 0, pattern + 7, 3000);
	m.write.append = 1;
	CHECK_EQ(ask(&a, &m), 0);
	m = rename_question(&a, "kept", "moved"); /* the last: no other commit takes it to the disk */
	CHECK_EQ(ask(&a, &m), 0);
	while (at < size) {
		loff_t from = at, to = at;
		ssize_t n = copy_file_range(live.file, &from, copy.file, &to, (size_t)(size - at), 0);

		REQUIRE(n > 0);
		at += n;
	}
	CHECK_EQ(owner_end(SIGKILL), -SIGKILL);
	rig.loop = copy;
	owner_start();
	peer_connect(&a);
	CHECK_EQ(open_file(&a, &f, 23, true), 0);
	peer_ready(&a);
	peer_connect(&b);
	peer_ready(&b);
	CHECK_EQ(lookup(&b, "moved", &g), 0);
	CHECK(vol_fid_equal(&f, &g));
	CHECK_EQ(lookup(&b, "kept", &g), ENOENT);
	CHECK(reads_as(&a, 23, 0, pattern, 70000));
	CHECK(reads_as(&a, 23, 70000, pattern + 7, 3000));
	rig.loop = live;
	rig_fsck(xfs);
	rig.loop = copy;
	loop_free(&live);
}

/* A page of a mapping never makes the file longer. */
static void test_within(void)
{
	struct vol_message m;
	struct vol_fid f;

	CHECK_EQ(create(&a, "mapped", 60, &f), 0);
	CHECK_EQ(write_at(&a, 60, 0, pattern, 5000), 0);
	m = write_question(60, 4096, pattern + 1, 4096);
	m.write.within = 1;
	CHECK_EQ(ask(&a, &m), 0);
	CHECK_EQ(a.frame.m.written.size, 5000 - 4096);
	CHECK_EQ(a.frame.m.written.attr.size, 5000);
	CHECK(reads_as(&a, 60, 4096, pattern + 1, 5000 - 4096));
	m = write_question(60, 8192, pattern, 4096);
	m.write.within = 1;
	CHECK_EQ(ask(&a, &m), 0);
	CHECK_EQ(a.frame.m.written.size, 0);
	CHECK_EQ(a.frame.m.written.attr.size, 5000);
	CHECK_EQ(release(&a, 60), 0);
}

/* Who has a file alone may have changed it in memory: it is asked before anybody else reads. */
static void test_sole(void)
{
	struct vol_extent e = { 0 };
	struct vol_message m = { .type = VOL_READ, .read = { .handle = 61, .size = 4096 } };
	struct vol_fid f;

	CHECK_EQ(create(&a, "alone", 61, &f), 0);
	CHECK_EQ(write_at(&a, 61, 0, pattern, 65536), 0);
	CHECK_EQ(lease(&a, 61, true, false, &e), 1);
	CHECK(a.frame.m.extents.sole);
	CHECK_EQ(open_file(&b, &f, 61, false), 0);
	m.request = b.next++;
	peer_send(&b, &m);
	CHECK(peer_quiet(&b));
	take_recall(&a, &f);
	CHECK_EQ(peer_wait(&b, m.request), 0);
	CHECK_EQ(lease(&b, 61, true, false, &e), 1);
	CHECK(!b.frame.m.extents.sole);
	CHECK_EQ(release(&a, 61), 0);
	CHECK_EQ(release(&b, 61), 0);
}

static struct vol_job_is job(uint8_t kind)
{
	struct vol_message begin = { .type = VOL_JOB, .job.kind = kind }, look = { .type = VOL_JOB_STATUS }, answer;

	CHECK_EQ(ask_control(&begin, &answer), 0);
	CHECK_EQ(answer.error, 0);
	do
		CHECK_EQ(ask_control(&look, &answer), 0);
	while (answer.job_is.running);
	CHECK_EQ(answer.job_is.kind, kind);
	return answer.job_is;
}

/* The device has grown, and the file system does, while it is in use; what follows finds the trailer at its new place. */
static void test_grow(bool xfs)
{
	off_t size = lseek(rig.loop.file, 0, SEEK_END);
	struct vol_message statfs = { .type = VOL_STATFS };
	struct vol_job_is is = job(VOL_JOB_GROW);
	uint64_t before;
	struct vol_fid f;

	CHECK_EQ(is.failed, 0); /* nothing to do */
	CHECK(is.value > 0 && is.value < (uint64_t)size);
	before = is.value;
	is = job(VOL_JOB_CHECK);
	CHECK_EQ(is.failed, 0);
	CHECK_CONTAINS(is.text, "no error is noted");
	CHECK_EQ(ask(&a, &statfs), 0);
	loop_resize(&rig.loop, (uint64_t)size + (256u << 20));
	is = job(VOL_JOB_GROW);
	if (is.failed == EPERM && !xfs) { /* a container's root may lack what it takes: then it says so, and all is as it was */
		CHECK_CONTAINS(is.text, "CAP_SYS_RESOURCE");
	} else {
		CHECK_EQ(is.failed, 0);
		CHECK(is.value >= before + (240u << 20));
		before = a.frame.m.statfs_is.blocks * a.frame.m.statfs_is.frsize;
		CHECK_EQ(ask(&a, &statfs), 0);
		CHECK(a.frame.m.statfs_is.blocks * a.frame.m.statfs_is.frsize >= before + (200u << 20));
	}
	CHECK_EQ(create(&a, "grown", 70, &f), 0);
	CHECK_EQ(write_at(&a, 70, 0, pattern, 8192), 0);
	CHECK_EQ(release(&a, 70), 0);
	CHECK_EQ(job(VOL_JOB_CHECK).failed, 0);
}

static int reads(uint64_t handle)
{
	struct vol_message m = { .type = VOL_READ, .read = { .handle = handle, .size = 512 } };

	return ask(&a, &m);
}

/* Several in one question: those that are there are closed, whatever else is named. */
static void test_release_many(void)
{
	static uint8_t more[VOL_RELEASES_MAX * sizeof(uint64_t)];
	struct vol_message m = { .type = VOL_RELEASE, .release.handle = 901 };
	struct writer w = writer_of(more, sizeof(more));
	struct vol_fid f;

	REQUIRE(!create(&a, "many", 901, &f));
	for (uint64_t n = 902; n < 905; n++)
		REQUIRE(!open_file(&a, &f, n, false));
	put_u64(&w, 902);
	put_u64(&w, 999);
	put_u64(&w, 904);
	m.release.more = (struct span){ more, writer_len(&w) - 1 };
	CHECK_EQ(ask(&a, &m), EINVAL);
	m.release.more.len = sizeof(more);
	CHECK_EQ(ask(&a, &m), EINVAL);
	for (uint64_t n = 901; n < 905; n++)
		CHECK_EQ(reads(n), 0);
	m.release.more.len = writer_len(&w);
	CHECK_EQ(ask(&a, &m), 0);
	for (uint64_t n = 901; n < 905; n++)
		CHECK_EQ(reads(n), n == 903 ? 0 : EBADF);
	CHECK_EQ(release(&a, 903), 0);
	CHECK_EQ(unlink_name(&a, "many"), 0);
}

/*
 * A move that was cut off before there were notes, by a csvfs-admin of then: an owner mounts what is at the end, and lets the old
 * trailer lead there. The device has grown again when it ends.
 */
static void test_two_trailers(void)
{
	off_t size = lseek(rig.loop.file, 0, SEEK_END);
	struct trailer old, to, found;
	struct trailer_header h, old_header;
	char error[200];
	struct device d;

	loop_resize(&rig.loop, (uint64_t)size + 64 * MIB);
	REQUIRE(!device_open(&d, rig.loop.path, true));
	REQUIRE(!trailer_find(&old, &d, &old_header, error, sizeof(error)));
	REQUIRE(!trailer_move(&to, &old, &h) && !trailer_write_header(&old, &old_header));
	owner_start();
	CHECK_EQ(owner_end(SIGTERM), 0);
	loop_resize(&rig.loop, (uint64_t)size + 128 * MIB);
	CHECK_EQ(trailer_find(&found, &d, &h, error, sizeof(error)), 0);
	CHECK_EQ(found.at, to.at);
	device_close(&d);
}

static void run(const char *filesystem)
{
	rig_start(filesystem);
	owner_start();
	peer_new(&a, 1);
	peer_new(&b, 2);
	test_names();
	test_data();
	test_leases();
	test_within();
	test_sole();
	test_grow(!strcmp(filesystem, "xfs"));
	test_orphan();
	test_cached();
	test_new_directory();
	test_locks();
	test_new_owner();
	test_fenced();
	test_fenced_write();
	test_append_again();
	test_release_many();
	test_freeze();
	test_jobs();
	test_power_loss(!strcmp(filesystem, "xfs"));
	peer_bye(&a);
	peer_bye(&b);
	CHECK_EQ(owner_end(SIGTERM), 0);
	rig_fsck(!strcmp(filesystem, "xfs"));
	test_two_trailers();
	loop_free(&rig.loop);
}

/* Each in a process of its own: the owner is one. */
static void run_apart(const char *filesystem)
{
	int status;
	pid_t pid = fork();

	REQUIRE(pid >= 0);
	if (!pid) {
		run(filesystem);
		exit(check_result());
	}
	REQUIRE(waitpid(pid, &status, 0) == pid);
	if (WIFEXITED(status) && WEXITSTATUS(status) == CHECK_SKIP)
		exit(CHECK_SKIP);
	if (!CHECK(WIFEXITED(status) && !WEXITSTATUS(status)))
		fprintf(stderr, "\twith %s\n", filesystem);
}

int main(void)
{
	run_apart("ext4");
	run_apart("xfs");
	return check_result();
}
