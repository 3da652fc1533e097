/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Group commit: the journal is made durable for all that wait at a time [I8], and so are intents written [I9]. There is no
 * thread for it: the first who waits does it for all who have come until then (a batch); who comes meanwhile belongs to the
 * next batch, and one of those does that. A failure is the end of this owner: what was acknowledged would not be kept.
 *
 * An intent need not be durable by itself, only before what it is about: it is on the device when intent_wait() returns,
 * maybe in its cache. What is done then becomes durable by a commit record of the file system's journal, and that is
 * written behind a flush of the device (ext4: JBD2_BARRIER; XFS: the log buffers of a checkpoint), so the intent is durable
 * first. An intent that is lost with the cache was of something that has not happened.
 *
 * The ring has a claim of its own: what is carried to a newer page must be durable before its old place is written over,
 * INTENT_CARRY pages later. So at most UNFLUSHED_MAX pages wait for a flush; a commit counts as one.
 */
#ifndef CSVFS_OWNER_COMMITTER_H
#define CSVFS_OWNER_COMMITTER_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

struct owner;

/* Those who wait, by the batch they belong to. */
struct batches {
	pthread_cond_t over[2]; /* of batches with an even and an odd number */
	uint64_t gathering, ended; /* number of the batch that gathers; of those that are over */
	bool under_way;
};

struct committer {
	struct owner *owner;
	pthread_mutex_t lock; /* of commits; intents are guarded by owner.lock */
	struct batches commits, intents;
	uint64_t asked, committed; /* number of the newest request, of the newest that is on the disk */
	_Atomic uint64_t pages_written, pages_flushed; /* of intents: on the device; and surely not only in its cache */
	uint8_t *pages; /* of the batch of intents that is under way */
};

int committer_start(struct committer *c, struct owner *o);
void committer_stop(struct committer *c); /* nobody waits any more */
/* What was done before this call is in the journal on the disk when it returns. With the owner's own rights. */
void commit_wait(struct committer *c);
/* owner.lock is held: the intent of this request is durable before anything that is done after it returns, see above. */
void intent_wait(struct committer *c, uint64_t session, uint64_t request);

#endif
