/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The SQLite file of the store: open and check, transactions, copy. One thread at a time; blocking. */
#ifndef CLUSTERD_STORE_DB_H
#define CLUSTERD_STORE_DB_H

#include "clusterd/io/store.h"

#define STORE_APPLICATION_ID 0x436c5564 /* "ClUd" in the file's header */

struct sqlite3;
struct sqlite3_stmt;

struct store_db {
	char path[256];
	struct sqlite3 *db; /* NULL: closed after an error, opened again by the next store_db_begin() */
	struct sqlite3_stmt *put, *del, *wipe, *meta;
	char error_text[384];
};

/* 0; -EBADMSG: not a database, damaged, or another schema; other negative errno: cannot be used now. */
int store_db_open(struct store_db *d, const char *path, bool create);
void store_db_close(struct store_db *d);
/* Whole file by quick_check and every row by its CRC. 0, -EBADMSG or other negative errno. */
int store_db_check(struct store_db *d);
/* Meta, and each object to `object`; -EBADMSG when it returns non-zero. */
int store_db_load(struct store_db *d, struct store_meta *meta,
		  int (*object)(void *ctx, uint8_t kind, uint32_t id, const void *blob, size_t len), void *ctx);

/* Any failure of these: store_db_rollback() and start again with store_db_begin(). */
int store_db_begin(struct store_db *d);
int store_db_put(struct store_db *d, uint8_t kind, uint32_t id, const void *blob, size_t len);
int store_db_delete(struct store_db *d, uint8_t kind, uint32_t id);
int store_db_wipe(struct store_db *d);
int store_db_commit(struct store_db *d, const struct store_meta *meta);
void store_db_rollback(struct store_db *d);

/* Copy of what is committed as one file without WAL. */
int store_db_copy(struct store_db *d, const char *path);

int store_sync_dir_of(const char *path);

#endif
