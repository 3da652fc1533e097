/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What a csvfs tells a new owner: every open file, then every lock, then that it is ready; many at a time, and all of it again
 * when the connection is lost meanwhile. The owner is a thread of the test for each connection; it keeps answers back until all
 * that may be under way is.
 */
#include <fcntl.h>

#include "csvfs/fuse/csvfs.h"
#include "tests/lib/check.h"
#include "tests/unit/serving_rig.h"
#include "text.h"

#define FILES 1000u
#define HANDLES (2 * FILES) /* handle n + 1 is of file n % FILES */
#define LOCKED 4u	    /* files with locks */
#define LOCKS_EACH 250u
#define LOCKS (LOCKED * LOCKS_EACH)
#define LINKS_MAX 64
#define QUIET_MS 50 /* so long it is looked whether something comes that must not */

struct csvfs csvfs;

void device_again(void) {}

static struct handle *handles[HANDLES];

/* --- the owner --- */

/* What goes otherwise than well, by count of questions of this owner: 0, never. */
struct plan {
	uint32_t lost_at; /* the connection ends instead of an answer */
	bool same_owner;  /* that one is it again who is asked afterwards */
	uint32_t refused; /* the first ones: no room for them */
	uint64_t stale;	  /* a handle: its file is no more */
	uint32_t fewer;	  /* handles end while the first ones are under way */
};

static struct rig {
	pthread_mutex_t lock;
	pthread_cond_t changed;
	struct link *links[LINKS_MAX]; /* those there are */
	uint64_t owner;
	uint32_t beginnings; /* of owners */
	struct plan plan;
	bool open[HANDLES + 1];
	uint32_t asked, opens, locks; /* asked: opens and locks, also repeated */
	uint32_t ready, released;
	uint64_t lock_seen[LOCKED];
	struct vol_message held[PENDING_RECLAIMS_MAX]; /* questions */
	uint32_t n_held, most;
	struct link *last; /* that holds the last ones of a kind: nothing may come before they are answered */
} rig = { .lock = PTHREAD_MUTEX_INITIALIZER, .changed = PTHREAD_COND_INITIALIZER };

static struct vol_fid file_id(uint32_t n)
{
	struct vol_fid f = { .len = 8, .type = 1 };

	memcpy(f.data, &n, sizeof(n));
	return f;
}

static void owner_begins(void)
{
	rig.owner++;
	rig.beginnings++;
	memset(rig.open, 0, sizeof(rig.open));
	memset(rig.lock_seen, 0, sizeof(rig.lock_seen));
	rig.asked = rig.opens = rig.locks = rig.ready = rig.released = rig.most = rig.n_held = 0;
	rig.last = NULL;
}

static bool respond(struct link *l, const struct vol_message *q, uint32_t error)
{
	return !link_send(l, &(struct vol_message){ .type = vol_answer_type(q->type), .request = q->request, .error = error });
}

/* The last first: nothing may depend on their order. */
static bool answer_held(struct link *l)
{
	bool sent = true;

	rig.last = NULL;
	while (sent && rig.n_held) {
		const struct vol_message *q = &rig.held[--rig.n_held];
		bool stale = q->type == VOL_OPEN && q->open.handle == rig.plan.stale;

		if (q->type == VOL_OPEN && !stale)
			rig.open[q->open.handle] = true;
		sent = respond(l, q, stale ? ESTALE : 0);
	}
	return sent;
}

static bool hold(struct link *l, const struct vol_message *q, bool last)
{
	REQUIRE(rig.n_held < PENDING_RECLAIMS_MAX);
	rig.held[rig.n_held++] = *q;
	rig.most = rig.n_held > rig.most ? rig.n_held : rig.most;
	rig.last = last ? l : NULL;
	/* Those that were refused come again one after the other. */
	return rig.plan.refused || (!last && rig.n_held == PENDING_RECLAIMS_MAX) ? answer_held(l) : true;
}

static void *release(void *data)
{
	handle_release(data);
	return NULL;
}

static void released(const struct vol_message *q)
{
	struct reader more = reader_of(q->release.more.data, q->release.more.len);

	CHECK(q->release.more.len < VOL_RELEASES_MAX * sizeof(uint64_t));
	rig.open[q->release.handle] = false;
	while (reader_left(&more))
		rig.open[get_u64(&more)] = false;
	rig.released++;
}

/* The question to the owner waits until the session is up. */
static void close_handle(uint32_t n)
{
	pthread_t t;

	atomic_store(&handles[n]->open, false);
	REQUIRE(!pthread_create(&t, NULL, release, handles[n]));
	pthread_detach(t);
	handles[n] = NULL;
}

/* The client waits for room, to go on then with that one. */
static void wait_next(const struct handle *h)
{
	const struct timespec t = { .tv_nsec = 1000000 };
	bool there = false;

	while (!there) {
		pthread_mutex_lock(&csvfs.table);
		there = csvfs.to_reclaim == &h->all;
		pthread_mutex_unlock(&csvfs.table);
		nanosleep(&t, NULL);
	}
}

/* The first ones are under way: one of those closes, one that is still to come, and the next ones are gone at once. */
static void handles_end(void)
{
	wait_next(handles[PENDING_RECLAIMS_MAX + 1]);
	close_handle(5);
	close_handle(HANDLES - 7);
	for (uint32_t n = PENDING_RECLAIMS_MAX + 1; n < PENDING_RECLAIMS_MAX + rig.plan.fewer; n++) {
		atomic_store(&handles[n]->open, false);
		handle_free(handles[n]);
		handles[n] = NULL;
	}
}

static bool on_open(struct link *l, const struct vol_message *q)
{
	const uint64_t n = q->open.handle;
	const struct vol_fid file = file_id((uint32_t)((n - 1) % FILES));

	CHECK(n && n <= HANDLES && !rig.open[n] && q->open.reclaim && !rig.locks && !rig.ready);
	CHECK(vol_fid_equal(&q->open.file, &file));
	CHECK_EQ(q->open.flags, O_RDWR);
	if (++rig.opens == PENDING_RECLAIMS_MAX && rig.plan.fewer)
		handles_end();
	return hold(l, q, rig.opens == HANDLES - rig.plan.fewer);
}

static bool on_lock(struct link *l, const struct vol_message *q)
{
	const struct vol_lock *k = &q->lock;

	CHECK(k->reclaim && k->handle && k->handle <= LOCKED && k->start < LOCKS_EACH && k->start == k->end);
	CHECK_EQ(k->type, F_WRLCK);
	CHECK_EQ(rig.opens, HANDLES - rig.plan.fewer);
	CHECK(!rig.ready && !rig.last && (!rig.n_held || rig.held[0].type == VOL_LOCK)); /* all files have been opened */
	rig.lock_seen[k->handle - 1] += k->start;
	return hold(l, q, ++rig.locks == LOCKS);
}

static bool on_reclaim(struct link *l, const struct vol_message *q)
{
	if (++rig.asked <= rig.plan.refused)
		return respond(l, q, VOL_AGAIN);
	if (rig.asked == rig.plan.lost_at) {
		const bool same = rig.plan.same_owner;

		owner_begins();
		rig.owner -= same;
		rig.plan = (struct plan){ 0 };
		return false;
	}
	return q->type == VOL_OPEN ? on_open(l, q) : on_lock(l, q);
}

static bool answer_locked(struct link *l, const struct vol_message *q)
{
	struct vol_message a = { .type = VOL_WELCOME, .request = q->request };

	switch (q->type) {
	case VOL_OPEN:
	case VOL_LOCK:
		return on_reclaim(l, q);
	case VOL_HELLO:
		a.welcome = (struct vol_welcome){ .epoch = rig.owner, .owner = rig.owner, .level = VOL_LEVEL, .owner_node = 1,
						  .window = VOL_WINDOW_MAX, .io_max = VOL_IO_MAX, .root = { .len = 1 } };
		return !link_send(l, &a);
	case VOL_READY:
		CHECK(!rig.n_held);
		CHECK_EQ(rig.locks, LOCKS);
		rig.ready++;
		pthread_cond_broadcast(&rig.changed);
		break;
	case VOL_RELEASE:
		CHECK(rig.ready); /* not before, or an OPEN under way would come after it */
		released(q);
		pthread_cond_broadcast(&rig.changed);
		break;
	default:
		break;
	}
	return respond(l, q, 0);
}

/* What came, or nothing in all of QUIET_MS. False: the connection ends. */
static bool received(struct link *l, const struct vol_message *m, uint32_t *since)
{
	if (m && m->type == VOL_HELLO)
		*since = rig.beginnings;
	if (*since != rig.beginnings)
		return false; /* it was for the owner before */
	return m ? answer_locked(l, m) : answer_held(l);
}

/* Puts it where `was` is: in and out of the list. */
static void put_link(const struct link *was, struct link *l)
{
	uint32_t i = 0;

	pthread_mutex_lock(&rig.lock);
	while (i < LINKS_MAX && rig.links[i] != was)
		i++;
	REQUIRE(i < LINKS_MAX);
	rig.links[i] = l;
	pthread_mutex_unlock(&rig.lock);
}

static void serve(struct link *l)
{
	struct link_frame f = { 0 };
	uint32_t since = 0;
	bool more = true, last = false;

	put_link(NULL, l);
	while (more) {
		int error = link_receive(l, &f, last ? QUIET_MS : -1);

		if (error && error != -ETIMEDOUT)
			break;
		pthread_mutex_lock(&rig.lock);
		more = received(l, error ? NULL : &f.m, &since);
		last = rig.last == l;
		pthread_mutex_unlock(&rig.lock);
	}
	link_frame_done(&f);
	put_link(l, NULL);
}

static void wait_for(const uint32_t *count, uint32_t n)
{
	while (*count < n)
		pthread_cond_wait(&rig.changed, &rig.lock);
}

/* Until the session is up. */
static void wait_up(void)
{
	struct call c;

	pthread_mutex_lock(&rig.lock);
	wait_for(&rig.ready, 1);
	pthread_mutex_unlock(&rig.lock);
	call_init(&c, VOL_GETATTR);
	CHECK_EQ(session_ask(&c), 0);
	call_done(&c);
}

static void start(void)
{
	static struct serving s = { .serve = serve };

	queue_init(&csvfs.handles);
	queue_init(&csvfs.unreleased);
	rig.owner = 1;
	serving_listen(&s);
	serving_start(&s);
	csvfs.key = s.key;
	csvfs.owner_port = s.port;
	csvfs.node = 1;
	csvfs.pause_max_ms = SERVING_MS;
	text_copy(csvfs.owner_address, sizeof(csvfs.owner_address), "127.0.0.1");
}

/* The owner that is asked from now on; returns when the session is up with it or with who came after it. */
static void next_owner(const struct plan *p)
{
	pthread_mutex_lock(&rig.lock);
	owner_begins();
	rig.plan = *p;
	for (uint32_t i = 0; i < LINKS_MAX; i++)
		if (rig.links[i])
			link_shutdown(rig.links[i]);
	pthread_mutex_unlock(&rig.lock);
	wait_up();
}

/* --- what is open, what is locked --- */

static void open_all(void)
{
	for (uint32_t n = 0; n < HANDLES; n++) {
		struct handle *h = handles[n] = handle_new(O_RDWR | O_TRUNC);
		const struct vol_fid fid = file_id(n % FILES);
		struct inode *i = inode_get(&fid);

		REQUIRE(h && i);
		CHECK_EQ(h->number, n + 1);
		h->fid = fid;
		handle_set_inode(h, i);
		inode_put(i, 1);
		atomic_store(&h->open, true);
	}
}

static void lock_all(void)
{
	for (uint32_t n = 0; n < LOCKS; n++) {
		struct inode *i = handles[n / LOCKS_EACH]->inode;
		struct held_lock *l = malloc(sizeof(*l));

		REQUIRE(l);
		*l = (struct held_lock){ .next = i->locks, .handle = n / LOCKS_EACH + 1, .owner = 9, .pid = 1, .type = F_WRLCK,
					 .start = n % LOCKS_EACH, .end = n % LOCKS_EACH };
		i->locks = l;
	}
}

static void check_reclaimed(void)
{
	uint32_t missing = 0;

	pthread_mutex_lock(&rig.lock);
	CHECK_EQ(rig.ready, 1);
	for (uint32_t n = 0; n < HANDLES; n++)
		missing += handles[n] && n + 1 != rig.plan.stale && !rig.open[n + 1];
	CHECK_EQ(missing, 0);
	for (uint32_t k = 0; k < LOCKED; k++)
		CHECK_EQ(rig.lock_seen[k], LOCKS_EACH * (LOCKS_EACH - 1) / 2); /* each once */
	pthread_mutex_unlock(&rig.lock);
}

/* --- */

/* More than one under way, and no more than is allowed. */
static void test_many(void)
{
	next_owner(&(struct plan){ .lost_at = 0 });
	check_reclaimed();
	CHECK_EQ(rig.asked, HANDLES + LOCKS);
	CHECK_EQ(rig.most, PENDING_RECLAIMS_MAX);
}

/* One open file's error is not the others'. */
static void test_stale(void)
{
	next_owner(&(struct plan){ .stale = 77 });
	check_reclaimed();
	CHECK(!rig.open[77]);
}

/* The owner has no room for any of them: they come again. */
static void test_no_room(void)
{
	next_owner(&(struct plan){ .refused = 2 * PENDING_RECLAIMS_MAX });
	check_reclaimed();
	CHECK_EQ(rig.asked, HANDLES + LOCKS + 2 * PENDING_RECLAIMS_MAX);
}

/* With answers that never come. Whoever is the owner then hears of everything. */
static void test_lost(uint32_t at, bool same_owner)
{
	next_owner(&(struct plan){ .lost_at = at, .same_owner = same_owner });
	check_reclaimed();
	CHECK_EQ(rig.asked, HANDLES + LOCKS);
}

static void test_closed_meanwhile(void)
{
	next_owner(&(struct plan){ .fewer = 10 });
	check_reclaimed();
	pthread_mutex_lock(&rig.lock);
	wait_for(&rig.released, 2);
	for (uint32_t n = 0; n < HANDLES; n++)
		CHECK_EQ(rig.open[n + 1], handles[n] != NULL);
	pthread_mutex_unlock(&rig.lock);
}

static uint32_t close_later(uint32_t n)
{
	uint32_t closed = 0;

	for (uint32_t k = 0; k < HANDLES && closed < n; k++) {
		if (!handles[k])
			continue;
		handle_release_later(handles[k]);
		handles[k] = NULL;
		closed++;
	}
	return closed;
}

/* Those that nobody waits for are closed with as few questions as there may be. */
static void test_closed_later(void)
{
	rig.released = 0;
	REQUIRE(close_later(VOL_RELEASES_MAX + 3) == VOL_RELEASES_MAX + 3);
	CHECK_EQ(rig.released, 0);
	CHECK_EQ(handles_release(), 0);
	CHECK_EQ(handles_release(), 0);
	CHECK_EQ(rig.released, 2);
	CHECK(queue_empty(&csvfs.unreleased));
	for (uint32_t n = 0; n < HANDLES; n++)
		CHECK_EQ(rig.open[n + 1], handles[n] != NULL);
}

/* And stay to be closed while there is no owner. */
static void test_closed_without_owner(void)
{
	struct handle *first;

	REQUIRE(close_later(3) == 3);
	first = QUEUE_FIRST(&csvfs.unreleased, struct handle, all);
	for (uint32_t k = 0; k < 2; k++) {
		CHECK_EQ(handles_release(), -EIO);
		CHECK(QUEUE_FIRST(&csvfs.unreleased, struct handle, all) == first);
	}
}

int main(void)
{
	start();
	open_all();
	lock_all();
	REQUIRE(caching_start() == 0);
	REQUIRE(session_start() == 0);
	wait_up();
	check_reclaimed();
	test_many();
	test_stale();
	test_no_room();
	for (uint32_t same = 0; same < 2; same++) {
		test_lost(HANDLES / 2 + 3, same);
		test_lost(HANDLES + LOCKS / 2 + 3, same);
	}
	test_closed_meanwhile();
	test_closed_later();
	session_stop();
	test_closed_without_owner();
	return check_result();
}
