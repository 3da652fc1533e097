/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The local copy of the cluster database: objects as blobs, the tag and the promise, in one SQLite file
 * (<dir>/cluster.db, WAL, synchronous=FULL) that a thread of its own writes. Calls never block on the disk; completions
 * come on the loop, in the order of the commits. Changes of all waiting commits share one transaction and one sync.
 *
 * What store_put … staged becomes durable with the store_commit() that follows it, all or nothing.
 */
#ifndef CLUSTERD_STORE_H
#define CLUSTERD_STORE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <qb/qbloop.h>

#include "bounds.h"

#define STORE_QUEUE_BYTES_MAX (128u * 1024 * 1024) /* staged and not yet on disk: two full snapshots */
#define STORE_RETRY_MS 1000                        /* pause before a failed commit is tried again */
#define STORE_SCHEMA 1

struct store;

enum store_opened {
	STORE_LOADED,  /* a database was there and is sound */
	STORE_CREATED, /* there was none */
	STORE_REBUILT, /* it was damaged or foreign: moved aside, a new one created; load the state from peers */
};

struct store_meta {
	uint64_t epoch, seq;
	uint64_t promised;
};

struct store_handlers {
	/* From store_open only, before it returns: each object of the database, by kind and id. Non-zero stops: damaged. */
	int (*on_object)(void *ctx, uint8_t kind, uint32_t id, const void *blob, size_t len);
	/* From store_open, when a database that had delivered objects turns out damaged: forget them. */
	void (*on_reset)(void *ctx);
	/*
	 * error 0: what `cookie` committed is on disk; once per cookie, in order. Negative errno (-ENOSPC, -EIO …): not yet,
	 * kept and retried each STORE_RETRY_MS; once per failing episode and cookie.
	 */
	void (*on_commit)(void *ctx, uint64_t cookie, int error);
};

struct store_status {
	enum store_opened opened;
	char kept_aside[256]; /* STORE_REBUILT: path of the damaged file */
	int error;            /* 0, or why commits fail now */
	char error_text[384];
	uint64_t commits, transactions, failures;
	size_t queued_commits, queued_bytes;
};

/*
 * Takes the lock <dir>/lock (-EBUSY: `text` names the process that has it), opens, checks and loads. Blocking: for the
 * start of the program. `text` gets what happened on errors and on STORE_REBUILT.
 */
int store_open(struct store **ret_store, qb_loop_t *loop, const char *dir, const struct store_handlers *handlers,
	       void *ctx, struct store_meta *ret_meta, char *text, size_t text_size);
/* Writes what was committed (waits up to `wait_ms`), drops what was only staged, closes, unlocks. */
void store_close(struct store *s, uint32_t wait_ms);

/* 0 or -ENOBUFS (STORE_QUEUE_BYTES_MAX reached: this node cannot be durable any more), -EMSGSIZE (OBJECT_ENCODED_MAX). */
int store_put(struct store *s, uint8_t kind, uint32_t id, const void *blob, size_t len);
int store_delete(struct store *s, uint8_t kind, uint32_t id);
/* Deletes every object; the staged changes before it in the same commit are void. */
int store_wipe(struct store *s);
int store_commit(struct store *s, const struct store_meta *meta, uint64_t cookie);

void store_status(struct store *s, struct store_status *out);

/*
 * Copies the durable state to a new file `path` (written beside it, synced, renamed; refuses an existing one). Runs on the
 * store's thread; `done` comes on the loop with 0 or negative errno and a text. -EBUSY: one is under way.
 */
int store_backup(struct store *s, const char *path, void (*done)(void *ctx, int error, const char *text), void *ctx);

#endif
