/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Group commit: one thread makes the journal durable for all that wait [I8], one writes the intents of all that wait
 * [I9].
 */
#ifndef CSVFS_OWNER_COMMITTER_H
#define CSVFS_OWNER_COMMITTER_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

struct owner;

struct committer {
	struct owner *owner;
	pthread_t commit_thread, intent_thread;
	pthread_mutex_t lock; /* the commits; intents are guarded by owner.lock */
	pthread_cond_t wanted, done, intent_wanted, intent_done;
	uint64_t asked, committed; /* number of the newest request, of the newest that is on the disk */
	uint64_t commits;	   /* ever */
	bool stopping, commit_started, intent_started;
};

int committer_start(struct committer *c, struct owner *o);
void committer_stop(struct committer *c);
/* What was done before this call is in the journal on the disk when it returns. */
void commit_wait(struct committer *c);
/* owner.lock is held: the intent of this request is on the disk when it returns. */
void intent_wait(struct committer *c, uint64_t session, uint64_t request);

#endif
