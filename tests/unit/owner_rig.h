/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A volume on a loop device, csvfs-owner in a process of its own, and sessions that speak to it as csvfs does. */
#ifndef TESTS_UNIT_OWNER_RIG_H
#define TESTS_UNIT_OWNER_RIG_H

#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>

#include "csvfs/admin/admin.h"
#include "csvfs/io/link.h"
#include "csvfs/io/trailer.h"
#include "csvfs/io/volume_control.h"
#include "csvfs/owner/owner.h"
#include "tests/unit/loop_rig.h"
#include "text.h"

#define RIG_MS 60000
#define RIG_QUIET_MS 300 /* an answer that must not come is waited for this long */

static struct volume_rig {
	struct loop loop;
	char key[64], control[64], port[32];
	struct link_key key_bytes;
	uint16_t number;
	pid_t pid;
	uint64_t epoch;
	struct trailer_header header;
} rig;

struct peer {
	struct link *link;
	struct link_frame frame; /* what came last */
	struct link_frame early; /* what came while another was waited for */
	bool has_early;
	uint64_t session, next, answered, owner;
	uint32_t node;
	bool grace;
	bool keeps; /* the test takes recalls of attributes and names itself */
	struct vol_fid root, lent; /* lent: it has had extents of this one, the last */
};

/* --- owner --- */

static inline uint16_t free_port(void)
{
	uint16_t port = 0;
	int fd = link_listen("127.0.0.1", 0, &port);

	REQUIRE(fd >= 0);
	close(fd);
	return port;
}

static inline int ask_control(struct vol_message *q, struct vol_message *a)
{
	q->request = 1;
	return volume_control_ask(rig.control, q, a, RIG_MS);
}

static inline void owner_start(void)
{
	struct vol_message q = { .type = VOL_STATUS }, a;
	char epoch[24], words[13][64], *argv[14] = { NULL };
	const char *const line[13] = { "csvfs-owner", "--device",  rig.loop.path, "--node", "1",
				       "--epoch",     epoch,	   "--listen",	  rig.port, "--key",
				       rig.key,	      "--control", rig.control };

	rig.number = free_port();
	snprintf(rig.port, sizeof(rig.port), "127.0.0.1:%u", rig.number);
	snprintf(epoch, sizeof(epoch), "%llu", (unsigned long long)++rig.epoch);
	for (int i = 0; i < 13; i++) {
		text_copy(words[i], sizeof(words[i]), line[i]);
		argv[i] = words[i];
	}
	fflush(NULL);
	rig.pid = fork();
	REQUIRE(rig.pid >= 0);
	if (!rig.pid) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		_exit(owner_main(13, argv));
	}
	while (ask_control(&q, &a)) {
		int status;

		REQUIRE(waitpid(rig.pid, &status, WNOHANG) == 0); /* it ended */
		usleep(10000);
	}
}

static inline int owner_end(int sig)
{
	int status;

	kill(rig.pid, sig);
	REQUIRE(waitpid(rig.pid, &status, 0) == rig.pid);
	rig.pid = 0;
	return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
}

static inline int rig_create(const char *filesystem)
{
	const char *const line[7] = {
		"csvfs-admin", "create", "--label", "t", "--filesystem", filesystem, rig.loop.path
	};
	char words[7][64], *argv[8] = { NULL };
	FILE *null = fopen("/dev/null", "w");
	int ret;

	for (int i = 0; i < 7; i++) {
		text_copy(words[i], sizeof(words[i]), line[i]);
		argv[i] = words[i];
	}
	ret = admin_main(7, argv, null, stderr);
	fclose(null);
	return ret;
}

static inline void rig_start(const char *filesystem)
{
	struct device d;
	struct trailer t;
	char error[200];
	FILE *f;

	loop_rig_start();
	rig_mount_point("/mnt/t");
	snprintf(rig.key, sizeof(rig.key), "/mnt/t/key");
	snprintf(rig.control, sizeof(rig.control), "/mnt/t/control");
	f = fopen(rig.key, "w");
	REQUIRE(f && !fchmod(fileno(f), 0600) && fprintf(f, "%064d", 7) == 64 && !fclose(f));
	REQUIRE(!link_key_load(&rig.key_bytes, rig.key, error, sizeof(error)));
	rig.loop = loop_new(512 * MIB, 512);
	REQUIRE(!rig_create(filesystem));
	REQUIRE(!device_open(&d, rig.loop.path, false));
	REQUIRE(!trailer_find(&t, &d, &rig.header, error, sizeof(error)));
	device_close(&d);
}

static inline void rig_fsck(bool xfs)
{
	CHECK_EQ(rig_run(xfs ? "xfs_repair -n %s >/mnt/t/fsck 2>&1" : "e2fsck -fn %s >/mnt/t/fsck 2>&1", rig.loop.path),
		 0);
}

/* --- sessions --- */

static inline void peer_send(struct peer *p, struct vol_message *m)
{
	m->answered = p->answered;
	REQUIRE(!link_send(p->link, m));
}

#define RIG_PEERS 4
#define RIG_POLL_MS 20
static struct peer *rig_peers[RIG_PEERS];

/* What no test here keeps: attributes and names. True: it was such a recall, and is answered. */
static inline bool peer_uncached(struct peer *p, const struct link_frame *f)
{
	struct vol_message m = { .type = VOL_RECALLED, .request = f->m.request };

	if (f->m.type != VOL_RECALL || p->keeps)
		return false;
	if (f->m.recall.what & (VOL_RECALL_EXTENTS | VOL_RECALL_SOLE) && vol_fid_equal(&p->lent, &f->m.recall.file))
		return false;
	peer_send(p, &m);
	return true;
}

/* The others live meanwhile. */
static inline void peers_look(const struct peer *except)
{
	for (int i = 0; i < RIG_PEERS; i++) {
		struct peer *p = rig_peers[i];

		if (!p || p == except || !p->link || p->has_early || link_receive(p->link, &p->early, 0))
			continue;
		p->has_early = !peer_uncached(p, &p->early);
	}
}

/* The next frame but recalls of attributes and names. */
static inline int peer_receive(struct peer *p, int timeout_ms)
{
	int ret;

	if (p->has_early) {
		link_frame_done(&p->frame);
		p->frame = p->early;
		p->early = (struct link_frame){ 0 };
		p->has_early = false;
		return 0;
	}
	do {
		peers_look(p);
		ret = link_receive(p->link, &p->frame, timeout_ms < RIG_POLL_MS ? timeout_ms : RIG_POLL_MS);
		timeout_ms -= RIG_POLL_MS;
	} while ((ret == -ETIMEDOUT && timeout_ms > 0) || (!ret && peer_uncached(p, &p->frame)));
	return ret;
}

/* The next frame is the answer to `request`; its errno. */
static inline int peer_wait(struct peer *p, uint64_t request)
{
	REQUIRE(!peer_receive(p, RIG_MS));
	REQUIRE(p->frame.m.request == request);
	return (int)p->frame.m.error;
}

/* Asks and waits; the session has had the answers of all before. 0 or errno. */
static inline int ask(struct peer *p, struct vol_message *m)
{
	m->request = p->next++;
	p->answered = m->request;
	peer_send(p, m);
	return peer_wait(p, m->request);
}

static inline bool peer_quiet(struct peer *p)
{
	return peer_receive(p, RIG_QUIET_MS) == -ETIMEDOUT;
}

/* 0 and welcome, or the errno of the owner. A peer that has been welcome before is not `first`. */
static inline int peer_hello(struct peer *p)
{
	struct vol_message m = { .type = VOL_HELLO,
				 .answered = p->answered,
				 .hello = { .volume_hi = rig.header.volume_hi,
					    .volume_lo = rig.header.volume_lo,
					    .session = p->session,
					    .node = p->node,
					    .incarnation = 1,
					    .epoch = rig.epoch,
					    .level = VOL_LEVEL,
					    .main = 1,
					    .first = !p->owner } };
	int error;

	if (p->link)
		link_free(p->link);
	link_frame_done(&p->early);
	p->has_early = false;
	REQUIRE(!link_connect(&p->link, "127.0.0.1", rig.number, &rig.key_bytes, RIG_MS));
	m.request = p->next++;
	peer_send(p, &m);
	error = peer_wait(p, m.request);
	if (error)
		return error;
	p->grace = p->frame.m.welcome.grace;
	p->root = p->frame.m.welcome.root;
	p->owner = p->frame.m.welcome.owner;
	return 0;
}

static inline void peer_connect(struct peer *p)
{
	REQUIRE(!peer_hello(p));
}

static inline void peer_ready(struct peer *p)
{
	struct vol_message m = { .type = VOL_READY };

	CHECK_EQ(ask(p, &m), 0);
}

static inline void peer_new(struct peer *p, uint32_t node)
{
	static uint64_t session = 1000; /* never the same twice: what is known of one holds for ever */
	int at = 0;

	*p = (struct peer){ .session = ++session, .next = 1, .node = node };
	while (rig_peers[at] && rig_peers[at] != p)
		REQUIRE(++at < RIG_PEERS);
	rig_peers[at] = p;
	peer_connect(p);
	peer_ready(p);
}

static inline void peer_gone(struct peer *p)
{
	link_free(p->link);
	link_frame_done(&p->frame);
	link_frame_done(&p->early);
	p->link = NULL;
	p->has_early = false;
}

static inline void peer_bye(struct peer *p)
{
	struct vol_message m = { .type = VOL_BYE };

	CHECK_EQ(ask(p, &m), 0);
	peer_gone(p);
}

/* --- questions --- */

static inline int lookup(struct peer *p, const char *name, struct vol_fid *ret)
{
	struct vol_message m = { .type = VOL_LOOKUP, .lookup.parent = p->root };
	int error;

	text_copy(m.lookup.name, sizeof(m.lookup.name), name);
	error = ask(p, &m);
	if (!error)
		*ret = p->frame.m.entry.file;
	return error ? error : vol_fid_none(ret) ? ENOENT : 0;
}

static inline int create(struct peer *p, const char *name, uint64_t handle, struct vol_fid *ret)
{
	struct vol_message m = {
		.type = VOL_CREATE,
		.create = { .parent = p->root, .mode = S_IFREG | 0644, .flags = O_RDWR | O_EXCL, .handle = handle }
	};
	int error;

	text_copy(m.create.name, sizeof(m.create.name), name);
	error = ask(p, &m);
	if (!error && ret)
		*ret = p->frame.m.entry.file;
	return error;
}

static inline int open_file(struct peer *p, const struct vol_fid *file, uint64_t handle, bool reclaim)
{
	struct vol_message m = { .type = VOL_OPEN,
				 .open = { .file = *file, .flags = O_RDWR, .handle = handle, .reclaim = reclaim } };

	return ask(p, &m);
}

static inline int release(struct peer *p, uint64_t handle)
{
	struct vol_message m = { .type = VOL_RELEASE, .release.handle = handle };

	return ask(p, &m);
}

static inline struct vol_message write_question(uint64_t handle, uint64_t at, const void *data, size_t len)
{
	return (struct vol_message){
		.type = VOL_WRITE, .write = { .handle = handle, .offset = at, .bytes = { (const uint8_t *)data, len } }
	};
}

static inline int write_at(struct peer *p, uint64_t handle, uint64_t at, const void *data, size_t len)
{
	struct vol_message m = write_question(handle, at, data, len);

	return ask(p, &m);
}

static inline int read_at(struct peer *p, uint64_t handle, uint64_t at, uint32_t len)
{
	struct vol_message m = { .type = VOL_READ, .read = { .handle = handle, .offset = at, .size = len } };

	return ask(p, &m);
}

static inline int unlink_name(struct peer *p, const char *name)
{
	struct vol_message m = { .type = VOL_UNLINK, .unlink.parent = p->root };

	text_copy(m.unlink.name, sizeof(m.unlink.name), name);
	return ask(p, &m);
}

static inline struct vol_message rename_question(const struct peer *p, const char *from, const char *to)
{
	struct vol_message m = { .type = VOL_RENAME, .rename = { .parent = p->root, .new_parent = p->root } };

	text_copy(m.rename.name, sizeof(m.rename.name), from);
	text_copy(m.rename.new_name, sizeof(m.rename.new_name), to);
	return m;
}

/* Extents of the answer; the first in *ret. */
static inline int lease(struct peer *p, uint64_t handle, bool write, bool reclaim, struct vol_extent *ret)
{
	struct vol_message m = { .type = VOL_LEASE,
				 .lease = { .handle = handle, .length = MIB, .write = write, .reclaim = reclaim } };
	struct reader r;

	m.lease.fill = write ? MIB : 0;
	CHECK_EQ(ask(p, &m), 0);
	r = reader_of(p->frame.m.extents.list.data, p->frame.m.extents.list.len);
	if (reader_left(&r)) {
		vol_get_extent(&r, ret);
		p->lent = p->frame.m.extents.file;
	}
	return (int)(p->frame.m.extents.list.len / VOL_EXTENT_SIZE);
}

/* The peer gets a recall; it is answered. */
static inline void take_recall(struct peer *p, const struct vol_fid *file)
{
	struct vol_message m = { .type = VOL_RECALLED };

	REQUIRE(!peer_receive(p, RIG_MS));
	REQUIRE(p->frame.m.type == VOL_RECALL);
	CHECK(vol_fid_equal(&p->frame.m.recall.file, file));
	m.request = p->frame.m.request;
	peer_send(p, &m);
}

#endif
