/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * When pages of a file that the kernel has must be dropped for a lock: what is being dropped is not dropped yet, and the sole right
 * says nothing of what is older. The kernel here drops when it is told to.
 */
#include "csvfs/fuse/csvfs.h"
#include "tests/lib/check.h"

struct csvfs csvfs;

static struct {
	pthread_mutex_t lock;
	pthread_cond_t changed;
	bool begun, may_end;
	int error;
} kernel = { .lock = PTHREAD_MUTEX_INITIALIZER, .changed = PTHREAD_COND_INITIALIZER, .may_end = true };

int fuse_lowlevel_notify_inval_inode(struct fuse_session *se, fuse_ino_t ino, off_t off, off_t len)
{
	(void)se, (void)ino, (void)off, (void)len;
	pthread_mutex_lock(&kernel.lock);
	kernel.begun = true;
	pthread_cond_broadcast(&kernel.changed);
	while (!kernel.may_end)
		pthread_cond_wait(&kernel.changed, &kernel.lock);
	pthread_mutex_unlock(&kernel.lock);
	return kernel.error;
}

static void may_end(bool may)
{
	pthread_mutex_lock(&kernel.lock);
	kernel.may_end = may;
	kernel.begun = false;
	pthread_cond_broadcast(&kernel.changed);
	pthread_mutex_unlock(&kernel.lock);
}

/* What pages.c has of others, and this does not come to. */
uint64_t now_ms(void) { return 0; }
void call_init(struct call *c, uint16_t type) { c->q.type = type; }
void call_done(struct call *c) { (void)c; }
int session_ask(struct call *c) { return (void)c, -EIO; }
bool caching_attr(const struct vol_fid *file, struct vol_attr *ret) { return (void)file, (void)ret, false; }
void inode_put(struct inode *i, uint64_t n) { (void)i, (void)n; }
void inodes_each(void (*fn)(struct inode *i)) { (void)fn; }
static uint32_t gone_on; /* recalls */

void recalls_go_on(struct inode *i)
{
	for (const struct recall_note *n = pages_deferred(i); n; n = n->next)
		gone_on++;
	pthread_cond_broadcast(&i->changed);
}

static void get_sole(struct inode *i)
{
	pthread_mutex_lock(&i->lock);
	i->map.sole = true;
	pages_sole(i);
	pthread_mutex_unlock(&i->lock);
}

static void test_sole(struct inode *i)
{
	CHECK(!pages_shared(i));
	pages_used(i);
	CHECK(pages_shared(i));
	get_sole(i);
	CHECK(pages_shared(i)); /* others may have written since it was read */
	pages_drop(i);
	pages_used(i);
	CHECK(!pages_shared(i));
	i->map.sole = false;
	CHECK(pages_shared(i));
	get_sole(i);
	kernel.error = -EBUSY;
	pages_drop(i);
	CHECK(pages_shared(i)); /* it is still there */
	kernel.error = 0;
	pages_drop(i);
	CHECK(!pages_shared(i));
	i->map.sole = false;
	CHECK(!pages_shared(i));
}

static void *drop_main(void *data)
{
	pages_drop(data);
	return NULL;
}

static void test_dropping(struct inode *i)
{
	pthread_t thread;

	pages_used(i);
	may_end(false);
	REQUIRE(!pthread_create(&thread, NULL, drop_main, i));
	pthread_mutex_lock(&kernel.lock);
	while (!kernel.begun)
		pthread_cond_wait(&kernel.changed, &kernel.lock);
	pthread_mutex_unlock(&kernel.lock);
	CHECK(pages_shared(i)); /* who gets a lock meanwhile would find them */
	may_end(true);
	pthread_join(thread, NULL);
	CHECK(!pages_shared(i));
}

static enum pages_verdict recall(struct inode *i, struct recall_note *n, uint32_t what)
{
	enum pages_verdict ret;

	*n = (struct recall_note){ .what = what };
	pthread_mutex_lock(&i->lock);
	ret = pages_before_recall(i, n);
	pthread_mutex_unlock(&i->lock);
	return ret;
}

/* All who want the sole right wait for the pages, not only the first. */
static void test_recalls(struct inode *i)
{
	struct recall_note notes[4];

	CHECK_EQ(recall(i, &notes[0], VOL_RECALL_SOLE), PAGES_NOTHING);
	pages_used(i);
	may_end(false);
	CHECK_EQ(recall(i, &notes[0], VOL_RECALL_EXTENTS), PAGES_NOTHING);
	CHECK_EQ(recall(i, &notes[0], VOL_RECALL_SOLE), PAGES_BEGUN);
	CHECK_EQ(recall(i, &notes[1], VOL_RECALL_SOLE), PAGES_WITH_IT);
	i->at_owner++; /* the pages may have to wait for it */
	CHECK_EQ(recall(i, &notes[2], VOL_RECALL_SOLE), PAGES_NOTHING);
	i->at_owner--;
	CHECK_EQ(recall(i, &notes[3], VOL_RECALL_SOLE | VOL_RECALL_EXTENTS), PAGES_WITH_IT);
	CHECK_EQ(csvfs.deferred, 1);
	CHECK_EQ(gone_on, 0);
	may_end(true);
	pthread_mutex_lock(&i->lock);
	while (!gone_on)
		pthread_cond_wait(&i->changed, &i->lock);
	CHECK_EQ(gone_on, 3);
	CHECK_EQ(csvfs.deferred, 0);
	pthread_mutex_unlock(&i->lock);
}

int main(void)
{
	struct inode i = { .lock = PTHREAD_MUTEX_INITIALIZER, .changed = PTHREAD_COND_INITIALIZER };

	test_sole(&i);
	test_dropping(&i);
	test_recalls(&i);
	return check_result();
}
