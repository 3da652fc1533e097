/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the parts of csvfs-owner share: the volume, its sessions, a request under way.
 *
 * Order of locks; none but the first two is held while the file system, the device or the network is waited for:
 *   claim (claims.c) -> names (names.c), ranges of files (files.c) -> owner.last -> owner.lock -> files.lock ->
 * file.lock owner.lock guards sessions, connections and handles, and everything of csvfs/core.
 *
 * A worker that waits (for a recall, a commit, a name) keeps its thread; others are started instead, up to WORKERS_MAX.
 * So what does not need that recall goes on [I6].
 *
 * Attributes and names are lent with nearly every answer that tells them: noted first, then looked at. Whatever changes them
 * takes them back from everybody else first, and from the asking session by the answer (pending.h).
 */
#ifndef CSVFS_OWNER_OWNER_H
#define CSVFS_OWNER_OWNER_H

#include <pthread.h>
#include <stdatomic.h>

#include "csvfs/core/file_lock.h"
#include "csvfs/core/grant.h"
#include "csvfs/core/intent.h"
#include "csvfs/core/request_log.h"
#include "csvfs/io/io_count.h"
#include "csvfs/io/link.h"
#include "csvfs/owner/committer.h"
#include "csvfs/owner/files.h"
#include "csvfs/owner/mount.h"

#define HANDLES_MAX 32768u /* open files of one session */
#define SESSION_REQUESTS_MAX (4 * VOL_WINDOW_MAX) /* under way at a time: the window, and what came by connections before */
#define HANDLE_BUCKETS 1024u
#define CONNECTIONS_MAX 512u
#define HANDSHAKE_MS 5000u
#define WATCH_MS 1000u /* the owner looks whether the volume is still its own: the second barrier, trailer_claim() */
#define WORKERS_IDLE_MAX 16u /* threads that are kept */
#define WORKERS_MAX 4096u
#define ALLOC_CHUNK (1u << 20) /* what is lent to be written is allocated in such pieces */
#define RECALL_MS 10000u
#define GRANT_FILES_MAX 65536u
#define GRANT_HOLDERS_MAX 262144u
#define GRANT_CLAIMS_MAX (2 * (WORKERS_MAX + 64)) /* an operation on names may have to cut a file as well */
#define GRANT_CLAIM_WANTS_MAX (5 * (WORKERS_MAX + 64))
#define LOCKS_MAX 65536u
#define LOCK_WAITERS_MAX 32768u
#define LOGGED_MAX 65536u
#define NO_END UINT64_MAX

struct owner;
struct session;

/* One connection; its reader thread owns it. Under owner.lock but link. Freed when the reader and all requests let go.
 */
struct conn {
	struct conn *next; /* of the owner's list */
	struct owner *owner;
	struct session *session; /* NULL before HELLO */
	struct link *link;	 /* sends by any thread; NULL during the handshake */
	int fd;			 /* during the handshake, -1 after it */
	uint32_t refs;
	bool dead; /* its frames are no longer executed */
};

/* An open file of a session. Under owner.lock; `refs` keeps it while requests use it. */
struct handle {
	struct handle *next;
	uint64_t number;
	uint32_t refs, flags; /* flags: O_* */
	struct file *file;
	struct session *session; /* for counting only */
};

enum session_state { SESSION_EXPECTED, SESSION_RECLAIMING, SESSION_READY, SESSION_GONE };

/* Under owner.lock. In its slot until it is gone and nobody refers to it. */
struct session {
	uint32_t slot, node;
	uint64_t id, incarnation;
	enum session_state state;
	uint32_t refs;	    /* connections and requests */
	uint32_t requests;  /* that workers have or will have */
	uint32_t repeating; /* those of the class REPEAT */
	bool forgotten;	    /* gone, and no table knows it any more */
	struct conn *main;  /* recalls go there; NULL: it is reconnecting */
	struct handle *handles[HANDLE_BUCKETS];
	uint32_t n_handles;
};

struct owner_options {
	struct mount_options mount;
	const char *address, *key, *control;
	uint16_t port;
	uint32_t recall_ms;
};

struct counters {
	struct io_count read, written;
	atomic_ullong asked; /* questions of all sessions */
};

struct job {
	struct job *next;
	void (*run)(struct job *j);
};

/* Threads that do what may wait. */
struct workers {
	pthread_mutex_t lock;
	pthread_cond_t wanted, ended;
	struct job *first, **last;
	uint32_t threads, idle, queued;
	bool stopping;
};

/* The thread that looks whether the volume is still ours. */
struct watch {
	pthread_t thread;
	pthread_mutex_t lock;
	pthread_cond_t changed;
	bool started, stopping;
};

struct recall_sent; /* claims.c */

struct owner {
	struct owner_options options;
	struct volume_mount mount;
	struct files files;
	struct committer committer;
	struct workers workers;
	struct watch watch;
	struct counters counters;
	struct link_key key;
	int listener;

	pthread_mutex_t
		last; /* between looking whether a name is the last of a file, and removing it; and opening a file */
	pthread_mutex_t names_lock;
	pthread_cond_t names_changed;
	struct name_lock *names;

	pthread_rwlock_t trailer_lock; /* who reads or writes the trailer keeps it from being moved; no lock is taken within */

	pthread_mutex_t lock;
	pthread_cond_t changed; /* something a claim, a WELCOME or the end waits for */
	struct grant_table *grants;
	struct file_lock_table *locks;
	struct request_log *log;
	struct intent_table *intents;
	struct session *sessions[VOL_SESSION_MAX];
	struct conn *conns;
	struct recall_sent *recalls;
	bool grace, stopping, frozen, thawing;
	bool taking_back;	/* a job takes cached attributes and names back for want of room */
	uint32_t take_back_at;	/* where in the table it goes on */
	uint64_t freeze_number, frozen_until_ms; /* of CLOCK_MONOTONIC */
	struct vol_job_is job; /* owner_jobs.c */
	uint32_t n_conns, n_handles, n_requests;
	uint32_t orphans;      /* files without a name whose blocks are not free yet */
	uint64_t orphans_gone; /* ever */
};

/* --- a request under way --- */

struct request {
	struct job job;
	struct owner *owner;
	struct session *session;
	struct conn *conn;
	struct link_frame frame; /* the question */
	enum request_class class;
	uint64_t since_us; /* it came */
	struct vol_message answer;
	void *payload; /* of the answer; freed with the request */
};

/* Of an operation that the new owner does or that a lock answers later: nothing is sent. */
#define NO_ANSWER (-ESHUTDOWN)

static inline const struct vol_message *question(const struct request *r)
{
	return &r->frame.m;
}
/* Space for the payload of the answer, aligned for O_DIRECT. NULL: no memory. */
void *request_payload(struct request *r, size_t len);
/* To the session's newest connection, or nowhere when there is none. Takes owner.lock. */
void session_send(struct owner *o, struct session *s, const struct vol_message *m);
/* The same in a thread of its own, for who holds owner.lock: a peer that takes nothing holds up nobody else. No payload. */
void session_post(struct owner *o, struct session *s, const struct vol_message *m);

/* server.c */
int server_start(struct owner *o, uint16_t *ret_port);
/* Nothing new is read; returns when no request is under way any more and every connection is gone. */
void server_stop(struct owner *o);
void conn_put(struct conn *c); /* owner.lock is held */
void job_run(struct owner *o, struct job *j);
/* The same for what needs no more than a file, or none (NULL). -ENOMEM. */
int job_later(struct owner *o, void (*run)(struct owner *o, struct file *file), struct file *file);
/* Answers WELCOME to HELLO; the connection has its session then. 0 or negative errno. (sessions.c) */
int session_hello(struct owner *o, struct conn *c, const struct vol_message *m, struct vol_message *answer);
/* WELCOME is sent: recalls go to this connection, those that were not answered first. */
void session_welcomed(struct owner *o, struct conn *c);

/* sessions.c; owner.lock is held unless said otherwise */
int sessions_load(struct owner *o); /* before threads: those of the trailer, grace */
int sessions_init(struct owner *o); /* before threads: the tables of csvfs/core */
void session_put(struct owner *o, struct session *s);
/*
 * BYE or fenced: no request of it is under way any more when this returns, and what it had is gone, also from the
 * trailer. `last`: the BYE itself, which is still to be answered; NULL: none. owner.lock is taken.
 */
void session_end(struct owner *o, struct session *s, const struct request *last);
void session_ready(struct owner *o, struct session *s);
void session_fenced(struct owner *o, uint32_t node, uint64_t incarnation); /* owner.lock is taken */

/* --- handles; owner.lock is taken inside --- */

/* Adds an open file; takes over the reference to `file`, also on failure. A handle that is there already is replaced.
 */
int handle_add(struct owner *o, struct session *s, uint64_t number, struct file *file, uint32_t flags);
/* With a reference for the caller; NULL: there is none. */
struct handle *handle_get(struct request *r, uint64_t number);
void handle_put(struct owner *o, struct handle *h);
/* Takes it out of the session, its locks go. */
int handle_remove(struct owner *o, struct session *s, uint64_t number);
static inline bool handle_reads(const struct handle *h)
{
	return (h->flags & 3) != 1;
}
static inline bool handle_writes(const struct handle *h)
{
	return (h->flags & 3) != 0;
}

/* --- claims: what an operation needs to have taken back [I5, I7] --- */

/*
 * Waits until `what` (enum vol_recall_bits) of [start, end) of the file is taken back. 0, or NO_ANSWER: the owner ends.
 * End it with claim_end(). `s`: who asks; NULL: the owner itself.
 */
int claim_take(struct owner *o, struct session *s, const struct file *file, uint32_t what, uint64_t start, uint64_t end,
	       uint64_t *ret_claim);
/* The same for several files at once, at most GRANT_WANTS_MAX; none: *ret_claim is 0. */
int claim_take_wants(struct owner *o, struct session *s, const struct grant_want *wants, uint32_t n, uint64_t *ret_claim);
/*
 * Attributes of the file have changed and nobody waits for others to see it (the time of a direct write, blocks made
 * ahead): they are taken back in a job of its own.
 */
void claim_attr_later(struct owner *o, struct file *file);
/* The same, of all of a file, for the owner itself; -ETIMEDOUT after timeout_ms. */
int claim_take_all(struct owner *o, const struct vol_fid *file, uint32_t timeout_ms, uint64_t *ret_claim);
void claim_end(struct owner *o, uint64_t claim); /* 0: none */
/*
 * Before `s` reads the file or gets a lease of it: who has the sole right may have changed it in memory (a mapping), and
 * writes that back. 0, or NO_ANSWER.
 */
int claim_sole(struct owner *o, struct session *s, const struct file *file);
/* What core has to do, after each call of it. owner.lock is held. */
void owner_pump(struct owner *o);
void recalls_forget(struct owner *o, uint32_t slot); /* the session is gone; owner.lock is held */
/* VOL_RECALLED came. Takes owner.lock. */
void recall_answered(struct owner *o, struct session *s, const struct vol_message *m);

/* --- ends --- */

/* Ends the process at once, with the superblock shut down: nothing of this owner reaches the device any more [I10a]. */
void owner_fence(struct owner *o, const char *why, int error) __attribute__((noreturn));
/* mount_verify(), while the trailer stays where it is. Any thread. */
int owner_verify(struct owner *o);
/* After a failed operation: a device that is gone or a file system in error is the end of this owner. Returns `error`.
 */
int owner_check(struct owner *o, int error);

/* --- operations: they fill r->answer; 0, negative errno, or NO_ANSWER --- */

int request_do(struct request *r); /* operations.c */
/* Lends the attributes, then looks at them. */
int answer_entry(struct request *r, const struct file *file);
/* VOL_CACHE_ATTR or VOL_CACHE_NAME when the session may cache it; before it is looked at. */
uint8_t lend_attr(struct request *r, const struct vol_fid *file);
uint8_t lend_name(struct request *r, const struct vol_fid *directory, const char *name);
/* Likewise VOL_CACHE_WHOLE, of all names there can be. */
uint8_t lend_whole(struct request *r, const struct vol_fid *directory);

/* names.c, remove.c */
int do_lookup(struct request *r);
int do_create(struct request *r);
int do_make(struct request *r); /* mknod, symlink, link */
int do_unlink(struct request *r);
int do_rename(struct request *r);
/* What the names of an intent are now. */
void names_now(struct owner *o, const struct intent *i, struct intent_now *ret);
void orphan_remove(struct owner *o, struct file *file); /* in a job of its own; takes over the reference */
void orphan_note(struct owner *o, struct file *file); /* it has its last name among the orphans now; owner.lock is held */
int orphans_collect_later(struct owner *o);		/* end of grace: removes those that nobody has open. -ENOMEM */

/* attributes.c */
int do_getattr(struct request *r);
int do_setattr(struct request *r);
int do_touch(struct request *r);
int do_statfs(struct request *r);
int do_getxattr(struct request *r);
int do_setxattr(struct request *r);
int do_readlink(struct request *r);
int do_readdir(struct request *r);
/* As a write or a truncation by somebody else than root would. */
int file_drop_set_id(const struct file *file);
void file_touch(struct file *file, int64_t mtime_ns);

/* open.c, data.c, space.c */
int do_open(struct request *r);
int do_release(struct request *r);
int do_read(struct request *r);
int do_write(struct request *r);
int do_fsync(struct request *r);
int do_fallocate(struct request *r);
int do_seek(struct request *r);
int do_copy(struct request *r);
/*
 * After `error` was had for want of room: on a local file system a removed file's blocks are free when its last close returns,
 * and here soon after. Waits a moment for them. True: there is more room now, try again.
 */
bool room_comes(struct owner *o, int error);
int file_truncate(struct owner *o, struct session *s, struct file *file, uint64_t size);

/* leases.c */
int do_lease(struct request *r);
int do_give_back(struct request *r);
int do_lock(struct request *r);
int do_cancel(struct request *r);
void locks_pump(struct owner *o); /* answers what waits no more; owner.lock is held */

/* owner_control.c; -EINVAL: it does not stand still */
int owner_thaw(struct owner *o);
void owner_control(void *user, const struct vol_message *question, struct vol_message *answer);

/* owner_jobs.c */
/* The freeze that has just begun ends then by itself. */
int owner_freeze_until(struct owner *o, uint64_t until_ms);
/* -EOPNOTSUPP, -ENOMEM, -EBUSY: one is under way, or the file system stands still. */
int owner_job_start(struct owner *o, uint8_t kind);
void owner_job_status(struct owner *o, struct vol_job_is *ret);

/* owner_main.c */
int owner_main(int argc, char **argv);

#endif
