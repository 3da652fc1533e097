/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What grant.c keeps: its own, nobody else looks into it. */
#ifndef CSVFS_CORE_GRANT_TABLE_H
#define CSVFS_CORE_GRANT_TABLE_H

#include "csvfs/core/grant.h"
#include "csvfs/core/grant_range.h"
#include "csvfs/core/queue.h"

#define EPOCH_SHIFT 40	      /* numbers of one epoch: 10^12, numbers of all: 16 million epochs */
#define NAME_BITS 512	      /* names lent of a directory are noted by a hash of so many values */
#define NAME_WORDS (NAME_BITS / 64)
#define NAME_RECALLS_MAX 16   /* single names recalled of a directory, then all: the notes begin anew */
#define OTHERS (VOL_RECALL_SOLE | VOL_RECALL_ATTR | VOL_RECALL_NAME) /* not recalled from who asks */

struct file {
	struct queue hash, holders, line;
	struct queue dirty; /* in the table's list: its line is to be looked at */
	struct vol_fid fid;
	bool lent; /* has holders: counts against the limit */
};

/* What a session has of a file. */
struct holder {
	struct queue of_file, of_session;
	struct file *file;
	uint32_t session;
	struct grant_ranges ranges;
	bool sole, attr;
	uint32_t name_recalls;
	uint64_t names[NAME_WORDS];
};

enum entry_state { ENTRY_QUEUED, ENTRY_ASKING, ENTRY_FREE, ENTRY_GIVEN, ENTRY_REFUSED };

/* One place in a line: a want of a claim, or a lease that waits. */
struct entry {
	struct queue line;    /* in its file; of a lease that is decided: in the table's `told` */
	struct queue of;      /* in its claim; of a lease: in its session */
	struct queue number_; /* of those that ask: hash by number */
	struct queue sending; /* somebody is to be asked (again) */
	struct file *file;
	struct claim *claim; /* NULL: a lease */
	enum entry_state state;
	uint32_t what, session;
	struct grant_range range;
	uint64_t offset, length; /* as asked */
	uint64_t number, grant;	 /* of the recall; newest grant it concerns */
	uint64_t sent_ms;
	bool sent;
	struct session_set pending, to_send, all_names;
	/* lease */
	uint64_t request;
	void *user;
	struct grant_given given;
	char name[VOL_FNAME_SIZE];
};

struct claim {
	struct queue link; /* free, alive, or ready and not yet told */
	struct queue wants;
	uint32_t session, serial, index;
	uint32_t waiting; /* wants that are not free */
	bool alive;
	void *user;
};

struct grant_table {
	struct grant_limits limit;
	struct grant_counts count;
	uint64_t number; /* the last grant or recall */
	bool no_lending;
	struct session_set grace;
	uint32_t n_buckets; /* power of two */
	struct queue *file_hash, *number_hash;
	struct file *files;
	struct holder *holders;
	struct entry *entries;
	struct claim *claims;
	uint32_t n_files;
	struct queue free_files, free_holders, free_entries, free_claims;
	struct queue of_session[VOL_SESSION_MAX]; /* holders */
	struct queue waits[VOL_SESSION_MAX];	  /* leases that wait */
	struct queue dirty, sending, told, ready, alive;
};

#endif
