/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The program csvfs: a volume on one node. What its files share.
 *
 * Threads: those of libfuse, one of which has the turn (kernel.c) while others wait in session_ask() for the owner; one that
 * connects and recovers (session.c); one per connection that receives; a ticker; a control thread. Order of locks: csvfs.table,
 * inode.lock, session.lock, cache_lock. Nobody waits for the owner with one of them held, nor while he uses leased extents
 * (struct io_use). csvfs.releasing comes before all of them, and is held while he waits.
 */
#ifndef CSVFS_FUSE_CSVFS_H
#define CSVFS_FUSE_CSVFS_H

#include <errno.h>

#define FUSE_USE_VERSION 314
#include <fuse3/fuse_lowlevel.h>
#include <pthread.h>
#include <stdatomic.h>

#include "csvfs/core/extent_map.h"
#include "csvfs/core/name_cache.h"
#include "csvfs/core/pending.h"
#include "csvfs/core/queue.h"
#include "csvfs/io/device.h"
#include "csvfs/io/io_count.h"
#include "csvfs/io/link.h"
#include "csvfs/io/trailer.h"
#include "csvfs/io/volume_control.h"

#define DATA_LINKS 2
#define LINKS (1 + DATA_LINKS)
#define INODE_BUCKETS 4096
#define PAUSE_MAX_MS 120000u

/* --- the connection to the owner --- */

/* A question that is under way: in the frame of the thread that waits for it. */
struct call {
	struct vol_message q; /* its spans stay valid until it is answered */
	struct link_frame answer;
	uint64_t generation; /* of the ownership that answered */
	pthread_cond_t changed;
	int error; /* 0 or negative errno, when done */
	bool done, sending, recovery;
	bool again; /* the owner had no room for it: to be sent again */
	/*
	 * Called by the receiving thread when it was answered without an error, before anybody may find the next owner: so what the
	 * owner has given (an open file, a lock) is reclaimed from then on.
	 */
	void (*answered)(struct call *c);
	void *user;
	enum pending_kind kind;
	struct vol_fid changes; /* the file it changes, when the question does not tell (by handle) */
	/* caching.c */
	struct vol_fid had[2]; /* the files of the names it changes, as far as they were known */
	bool attr_known;
	bool only_this_owner; /* a new one is not asked: it does not know what this is about (GIVE_BACK) */
};

enum session_state { SESSION_DOWN, SESSION_RECOVERING, SESSION_UP };

struct session {
	pthread_mutex_t lock;
	pthread_cond_t changed;
	pthread_t thread;
	enum session_state state;
	struct pending_window window;
	uint64_t id, epoch, owner; /* owner: of WELCOME; 0: none has welcomed this id yet */
	uint64_t recovered;	   /* the owner that was told of all that is open and locked; 0: none */
	_Atomic uint64_t generation; /* rises with each new owner, and each time one is told anew */
	uint32_t owner_node, io_max;
	bool lend;
	struct vol_fid root;
	bool has_root;
	/* where it is said to be */
	char address[TEXT_SIZE];
	uint16_t port;
	uint64_t told_epoch;
	uint32_t told_node;
	bool stopping, broken;
	bool cache_off; /* nothing is kept until there is a new owner (caching_given_up()) */
	struct link *links[LINKS];
	uint32_t senders;   /* threads within link_send() */
	uint32_t want_room; /* threads that wait for the window, or for a connection */
	uint32_t next_data;
	uint64_t down_since_ms;
	bool given_up; /* the pause was too long: EIO at once */
	uint64_t pauses, paused_ms;
};

/* --- files --- */

struct held_lock { /* granted by the owner; to be reclaimed from the next */
	struct held_lock *next;
	uint64_t handle, owner, start, end;
	uint32_t pid;
	uint8_t type;
	bool flock;
};

struct range_wait { /* own writes to the same sectors, one after the other */
	struct range_wait *next;
	uint64_t from, to;
};

struct inode {
	struct inode *next; /* in its bucket */
	uint64_t refs;	    /* csvfs.table; the kernel's lookups and our own */
	struct vol_fid fid;
	pthread_mutex_t lock;
	pthread_cond_t changed;
	struct extent_map map;
	struct io_drain drain;
	/*
	 * Bytes below are the file's, as far as extents are held there: what is at or above goes to the owner. A change of the
	 * size recalls the extents around the end first.
	 */
	uint64_t end;
	bool end_known; /* `end` is the size, as far as extents are held */
	uint64_t seq; /* counts what makes an `end` that is on its way worthless: recalls, new extents */
	uint64_t no_lease_until_ms, lease_length;
	uint64_t fill_end, fill_length; /* what was made last, for writes that go on there */
	uint32_t redirected; /* reads and writes that were */
	uint32_t opens;
	atomic_bool name_removed; /* it may be gone with the last close */
	struct vol_attr attr; /* as last heard; ino 0: nothing yet */
	uint32_t mode;	/* the same, a hint */
	uint64_t size; /* the same: what is behind it is not worth asking for a lease */
	bool dirty, told_later, needs_sync, needs_flush; /* told_later: others may have an older time cached */
	pthread_mutex_t syncing; /* one at a time: the next one must not answer before what it finds done is done */
	uint32_t touching; /* TOUCHes under way */
	int64_t mtime_ns;  /* when dirty or touching: the file's is not older */
	struct range_wait *ranges;
	struct held_lock *locks;
	/* pages.c */
	bool pages;			 /* the kernel may have some of it */
	bool pages_old;			 /* some of them may be older than the sole right */
	uint32_t dropping, at_owner;	 /* under way: drops of pages; questions, with a range of the file locked */
	struct recall_note *deferred;	 /* until the pages are dropped; the last that came first */
	uint64_t deferred_ms;		 /* when the first came */
	int64_t pages_mtime_ns, pages_ctime_ns; /* of the file, when its pages were looked after last */
	uint64_t pages_size;
};

struct handle {
	struct queue all; /* csvfs.table */
	uint64_t number;
	struct inode *inode; /* NULL until it is open */
	struct vol_fid fid;
	uint32_t flags;
	atomic_bool open; /* the owner has it; to be reclaimed */
	atomic_bool lost; /* somebody else may have had its locks: it does nothing any more */
};

struct counters {
	struct io_count direct_read, direct_written, redirected_read, redirected_written;
	_Atomic uint64_t recalls;
	_Atomic uint64_t asked, cached; /* questions to the owner; lookups and attributes that took none */
};

struct csvfs {
	/* options */
	const char *device_path, *mount_point, *key_path, *control_path;
	char owner_address[TEXT_SIZE];
	uint16_t owner_port;
	uint32_t node, pause_max_ms;
	uint64_t incarnation;

	struct device device;
	struct trailer trailer;
	struct trailer_header header;
	_Atomic uint64_t data_end; /* of the device: behind it is no file's data */
	struct link_key key;
	struct fuse_session *fuse;
	struct volume_control *control;
	struct session session;
	struct counters counters;
	atomic_bool path_failed, redirect; /* redirect: by an administrator */
	bool no_shared_maps; /* asked for: shared mappings are refused, as by an old kernel */
	_Atomic uint32_t deferred; /* recalls that wait for pages */
	atomic_bool stopping;
	pthread_t ticker;
	bool ticks;

	pthread_mutex_t cache_lock;
	struct name_cache *cache;
	bool cache_connected;

	pthread_mutex_t table;
	struct inode *buckets[INODE_BUCKETS];
	struct inode *root;
	struct queue handles;
	struct queue *to_reclaim; /* of handles: what recover.c looks at next; who takes that one out takes it on */
	struct queue unreleased;  /* handles that are closed here, and for the owner perhaps not */
	pthread_cond_t to_release; /* there are some again */
	pthread_mutex_t releasing; /* by one at a time: when he has done it, what was closed before is closed */
	uint32_t n_inodes, n_handles;
	_Atomic uint64_t next_handle;
};

extern struct csvfs csvfs;

uint64_t now_ms(void);
int64_t now_ns(void); /* CLOCK_REALTIME */

/* --- session.c --- */

int session_start(void);
struct vol_fid session_root(void);
bool session_is_up(void);
/* BYE when it is up; then no more. */
void session_stop(void);
void session_set_owner(uint64_t epoch, uint32_t node, const char *address, uint16_t port);
/*
 * Asks the owner and waits for the answer, across reconnects and new owners. 0, or negative errno: the owner's, or EIO when
 * there was no owner for pause_max. call_done() in either case.
 */
int session_ask(struct call *c);
/*
 * The same in two halves, for who has several under way. session_begin() does not wait: -EAGAIN, there is no room, which may be
 * because of those that are under way and not ended: only session_end() sends again what the owner has not taken.
 */
int session_begin(struct call *c);
int session_end(struct call *c);
/* call.q zeroed but for its type. */
void call_init(struct call *c, uint16_t type);
void call_done(struct call *c);
/* From another thread: the lock that `c` waits for is no longer wanted. */
void session_cancel(struct call *c);
/* The answer to a recall, if the owner is still the one who asked. */
int session_recalled(uint64_t generation, uint64_t request, bool dirty, int64_t mtime_ns);
/* Now and then: a pause that was too long, or the end of csvfs, ends the waiting. */
void session_tick(void);
enum vol_state session_view(enum vol_reason *ret_reason);

/* --- recover.c: called by session.c --- */

/* A new owner: leases are dropped and drained, handles and locks are reclaimed. -ECONNRESET: the connection is gone again. */
int recover_session(void);
/* An OPEN or a LOCK that the owner before has granted; it may be answered later. For recover_session() only. */
void reclaim(const struct vol_message *q);
/*
 * The owner has given up this session: it was told that this node cannot write any more. Leases go, and open files that had locks
 * do nothing any more: others may have had those locks meanwhile.
 */
void recover_lost(void);
void recall_received(const struct vol_message *m, uint64_t generation);
/* The recalls that wait for pages of it go on, with them or without. inode.lock is held, and let go meanwhile. */
void recalls_go_on(struct inode *i);

/* --- inode.c --- */

/* With a reference. NULL: no memory. */
struct inode *inode_get(const struct vol_fid *fid);
/* NULL: unknown. */
struct inode *inode_find(const struct vol_fid *fid);
void inode_ref(struct inode *i);
void inode_put(struct inode *i, uint64_t n);
/* Calls fn for every inode, which stays meanwhile. */
void inodes_each(void (*fn)(struct inode *i));
struct inode *inode_of(fuse_ino_t ino);
/* The root's is known from the first owner on: waits for it, as a question would. */
struct vol_fid fid_of(struct inode *i);
static inline fuse_ino_t ino_of(const struct inode *i) { return i == csvfs.root ? FUSE_ROOT_ID : (fuse_ino_t)(uintptr_t)i; }
/* Not open yet: before the owner is asked. */
struct handle *handle_new(uint32_t flags);
void handle_opened(struct call *c); /* call.answered of OPEN and CREATE; call.user: the handle */
void handle_set_inode(struct handle *h, struct inode *i);
/* One that the owner does not have. */
void handle_free(struct handle *h);
/*
 * Asks the owner to close it. When there is none for too long the handle is gone here, and handles_release() asks later: the
 * same owner may come back, and it would keep the file open, and locked, for a process that is no more.
 */
void handle_release(struct handle *h);
/* The same of one that has no locks, and does not wait: handles_release() asks, of several in one message. */
void handle_release_later(struct handle *h);
/* OPEN or CREATE has failed; NULL: for want of a handle. After an error that may be ours nobody knows whether the owner has it. */
static inline void handle_unopened(struct handle *h, int error)
{
	if (h && (error == -EIO || error == -ENOMEM))
		handle_release(h);
	else if (h)
		handle_free(h);
}
void handles_wait_closed(void);
/* Asks for some of them. 0 or negative errno: they are to be closed still. */
int handles_release(void);
/* What was closed before is closed for the owner, too, when there is one. */
void handles_release_all(void);
/* 0, or -EIO: its locks were lost. */
static inline int handle_check(const struct handle *h) { return atomic_load(&h->lost) ? -EIO : 0; }
static inline struct handle *handle_of(const struct fuse_file_info *fi) { return (struct handle *)(uintptr_t)fi->fh; }

/* --- file_io.c --- */

bool direct_allowed(void);
/* A read or write that is straight on the device as a whole: what it uses meanwhile. */
struct direct_use {
	uint64_t physical; /* on the device */
	struct io_use use;
	struct range_wait range;
};
/* Whole sectors. False: it is not so, or somebody would have to be waited for. */
bool direct_use_begin(struct inode *i, uint64_t offset, size_t len, bool write, struct direct_use *ret);
/* True: recalls_send() has something to send. */
bool direct_use_end(struct inode *i, struct direct_use *u, bool write);
/* Bytes, or negative errno. */
ssize_t data_read(struct handle *h, uint8_t *buf, size_t len, uint64_t offset);
enum write_how {
	WRITE_APPEND = 1,
	WRITE_SYNC = 2,
	WRITE_KILL_PRIV = 4, /* takes the set-id bits away, if there are some */
	WRITE_PAGE = 8,	     /* of a mapping: never makes the file longer, what is behind its end is lost */
};
/* Without a copy when buf and offset are aligned alike. */
ssize_t data_write(struct handle *h, uint8_t *buf, size_t len, uint64_t offset, uint32_t how);
/*
 * The owner is told of the time of direct writes; others see it when this returns. For that those who have it cached must answer,
 * and who does not is fenced first.
 */
void inode_touch(struct inode *i);
/* The same, and others see it soon: nobody is waited for but the owner. */
void inode_touch_later(struct inode *i);
/* Before a question that changes the attributes itself: also a TOUCH of another thread has reached the owner then. */
void inode_touch_before(struct inode *i);
int inode_sync(struct inode *i, bool data_only);
/* At the last close. */
void inode_give_back(struct inode *i);
/* Drops all leases and waits until nothing uses them. */
void inode_drop_leases(struct inode *i);
void path_failed(int error);
/* inode.lock is held; sends what io_ready() gives, with the lock let go for it. */
void recalls_send(struct inode *i);

/* --- direct_io.c: direct reads and writes that no thread waits for; for who has the turn --- */

/* Once the device is open. Without it (no AIO to be had) all are done by threads that wait. */
void direct_io_start(void);
/* When nobody receives any more: waits for what is under way. */
void direct_io_stop(void);
bool direct_io_works(void);
/* True: `req` is answered when it is done. `how`: enum write_how. */
bool direct_io_read(fuse_req_t req, struct handle *h, size_t len, uint64_t offset);
bool direct_io_write(fuse_req_t req, struct handle *h, const uint8_t *data, size_t len, uint64_t offset, uint32_t how);
/* More than a few were begun, and the device does not know. */
bool direct_io_many(void);
/* Begins what was collected and answers what is done. False: there was nothing to answer. The turn may be passed on in it. */
bool direct_io_go_on(void);
/* Sleeps until there is something to be received from `fd`, or something is done. A point of cancellation. */
void direct_io_sleep(int fd);

/* --- kernel.c --- */

/* Once it is mounted, before it serves. */
int kernel_hook(struct fuse_session *se);
/*
 * One thread has the turn: it receives, and what can be done without waiting it does itself, one request after the other. Whoever
 * is about to wait for anything (the owner, the device, another request) passes the turn on first, to a thread that has nothing to
 * do. Other threads than those of libfuse never have it.
 */
bool turn_is_mine(void);
void turn_pass(void);
/* Of the FUSE_WRITE this thread serves: the writer must not leave set-id bits. */
bool kernel_kills_priv(void);
/*
 * Memory of this thread, on a page, until its next request: of a FUSE_WRITE it holds the data, otherwise it is free to be used.
 * NULL: there is not so much (then the data are where libfuse has them), or the thread takes no requests.
 */
uint8_t *kernel_data(size_t size);
/* That memory, with the data, becomes the caller's, and `other` the thread's. Both are of VOL_IO_MAX bytes. */
uint8_t *kernel_swap(uint8_t *other);
/* VOL_IO_MAX bytes for the caller, of a huge page where there are such; never given back. NULL: there is no memory. */
uint8_t *kernel_memory(void);

/* --- pages.c: its head says what is coherent --- */

/* A recall that is being done, or waits for it. */
struct recall_note {
	struct recall_note *next; /* that waits, too */
	struct io_recall recall;
	uint64_t generation, request, grant, offset, length;
	uint32_t what;
};
/* The kernel reads or writes pages of it. */
void pages_used(struct inode *i);
/* There may be some, and others may use the file, or have used it since. */
bool pages_shared(struct inode *i);
/* This node has got the sole right. inode.lock is held. */
void pages_sole(struct inode *i);
/* Writes back and drops. Other threads serve the kernel meanwhile: not with a lock, nor from a thread they need. */
void pages_drop(struct inode *i);
enum pages_verdict {
	PAGES_NOTHING,	/* the recall goes on */
	PAGES_BEGUN,	/* it does so when pages are dropped, and the caller's reference of the inode is taken over */
	PAGES_WITH_IT,	/* it does so with the one that waits already */
};
/* inode.lock is held. */
enum pages_verdict pages_before_recall(struct inode *i, struct recall_note *n);
/* The recalls that wait, no longer kept here; NULL: none. inode.lock is held. */
struct recall_note *pages_deferred(struct inode *i);
void pages_tick(void);
/* Now and then: drops them when the file has changed and others use it. */
void pages_refresh(struct inode *i);

/* --- locks.c --- */

void op_getlk(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi, struct flock *l);
void op_setlk(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi, struct flock *l, int sleep);
void op_flock(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi, int op);
void locks_closed(struct inode *i, const struct handle *h, uint64_t lock_owner);
/* True: there were some. */
bool locks_released(struct inode *i, uint64_t handle);
/* Calls reclaim() for each. -ENOMEM. */
int locks_reclaim(struct inode *i);
/* They are somebody else's by now: forgets them, and marks the open files they were taken by. */
void locks_lost(struct inode *i);

/* --- caching.c: attributes and names that the owner has lent --- */

int caching_start(void);
/* False: the owner is to be asked. */
bool caching_attr(const struct vol_fid *file, struct vol_attr *ret);
/* The mode, also while there is no connection: a write that goes straight to the device need not wait for one. */
bool caching_mode(const struct vol_fid *file, uint32_t *ret);
/* ret->file none: there is no such name. */
bool caching_lookup(const struct vol_fid *directory, const char *name, struct vol_entry *ret);
/* True: the file is known not to have this extended attribute, which is an ACL. */
bool caching_no_acl(const struct vol_fid *file, const char *xattr);
/* A recall of attributes or names; the file was changed by what is no question. They take session.lock. */
void caching_recalled(const struct vol_recall *q);
void caching_changed(const struct vol_fid *file);
/*
 * Called by session.c with session.lock held: the question got its number; its answer is here, before pending_answered(); nobody
 * waits for it any more.
 */
void caching_asked(struct call *c);
void caching_answered(const struct call *c, const struct vol_message *m);
void caching_given_up(const struct call *c);
void caching_disconnected(void);
void caching_connected(bool new_owner);

/* --- name_ops.c, file_ops.c: operations of FUSE --- */

void call_cred(struct vol_cred *ret, fuse_req_t req);
/* As the owner tells it, with the time of direct writes that he does not know of yet. */
void stat_of(struct inode *i, const struct vol_attr *a, struct stat *ret);
void names_operations(struct fuse_lowlevel_ops *ops);
void files_operations(struct fuse_lowlevel_ops *ops);
/* With a lookup of the kernel's. False: no memory. */
bool entry_of(const struct vol_entry *e, struct fuse_entry_param *ret);

/* --- csvfs_main.c --- */

/* The device may have grown: where its files end now. Any thread. */
void device_again(void);
void control_question(void *user, const struct vol_message *question, struct vol_message *answer);
int csvfs_main(int argc, char **argv);

#endif
