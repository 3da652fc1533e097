/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The SQLite file of the store. */
#include "clusterd/io/store_db.h"

#include <errno.h>
#include <fcntl.h>
#include <sqlite3.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zlib.h>

#include "bytes.h"
#include "cleanup.h"
#include "text.h"
#include "units.h"

#define KEY_OF(kind, id) ((sqlite3_int64)(kind) << 32 | (id))

static const char *const open_statements[] = {
	/* exclusive before WAL: no shared memory file, and nobody else writes behind our back (sqlite.org/wal.html) */
	"PRAGMA locking_mode=EXCLUSIVE",
	"PRAGMA journal_mode=WAL",
	"PRAGMA synchronous=FULL",
	"PRAGMA foreign_keys=OFF",
	"PRAGMA temp_store=MEMORY",
};

static const char *const create_statements[] = {
	"BEGIN IMMEDIATE",
	"CREATE TABLE object(key INTEGER PRIMARY KEY, crc INTEGER NOT NULL, data BLOB NOT NULL)",
	("CREATE TABLE meta(one INTEGER PRIMARY KEY CHECK(one = 1), epoch INTEGER NOT NULL, seq INTEGER NOT NULL, "
	 "promised INTEGER NOT NULL, crc INTEGER NOT NULL)"),
};

static uint32_t row_crc(uint8_t kind, uint32_t id, const void *blob, size_t len)
{
	uint8_t head[5];
	struct writer w = writer_of(head, sizeof(head));

	put_u8(&w, kind);
	put_u32(&w, id);
	return (uint32_t)crc32(crc32(0, head, sizeof(head)), len ? blob : (const void *)"", (uInt)len); /* NULL would reset it */
}

static uint32_t meta_crc(const struct store_meta *m)
{
	uint8_t bytes[24];
	struct writer w = writer_of(bytes, sizeof(bytes));

	put_u64(&w, m->epoch);
	put_u64(&w, m->seq);
	put_u64(&w, m->promised);
	return (uint32_t)crc32(0, bytes, sizeof(bytes));
}

static int db_errno(struct store_db *d, int rc)
{
	int system_error = d->db ? sqlite3_system_errno(d->db) : 0;

	if (rc == SQLITE_OK || rc == SQLITE_DONE || rc == SQLITE_ROW)
		return 0;
	text_copy(d->error_text, sizeof(d->error_text), d->db ? sqlite3_errmsg(d->db) : sqlite3_errstr(rc));
	switch (rc & 0xff) {
	case SQLITE_CORRUPT:
	case SQLITE_NOTADB:
	case SQLITE_MISMATCH:
	case SQLITE_SCHEMA:
	case SQLITE_ERROR: /* a statement that does not fit the schema */
		return -EBADMSG;
	case SQLITE_FULL:
		return -ENOSPC;
	case SQLITE_NOMEM:
		return -ENOMEM;
	case SQLITE_BUSY:
	case SQLITE_LOCKED:
		return -EBUSY;
	case SQLITE_READONLY:
		return -EROFS;
	case SQLITE_PERM:
	case SQLITE_AUTH:
		return -EACCES;
	case SQLITE_CANTOPEN:
		return system_error ? -system_error : -ENOENT;
	default:
		return system_error ? -system_error : -EIO;
	}
}

static int run(struct store_db *d, const char *sql) { return db_errno(d, sqlite3_exec(d->db, sql, NULL, NULL, NULL)); }

static int number_query(struct store_db *d, const char *sql, sqlite3_int64 *out)
{
	sqlite3_stmt *s = NULL;
	int rc = sqlite3_prepare_v2(d->db, sql, -1, &s, NULL);

	if (rc == SQLITE_OK)
		rc = sqlite3_step(s);
	if (rc == SQLITE_ROW)
		*out = sqlite3_column_int64(s, 0);
	sqlite3_finalize(s);
	return db_errno(d, rc);
}

static int prepare_all(struct store_db *d)
{
	struct {
		sqlite3_stmt **s;
		const char *sql;
	} const rows[] = {
		{ &d->put, "INSERT INTO object(key, crc, data) VALUES(?1, ?2, ?3) "
			   "ON CONFLICT(key) DO UPDATE SET crc = ?2, data = ?3" },
		{ &d->del, "DELETE FROM object WHERE key = ?1" },
		{ &d->wipe, "DELETE FROM object" },
		{ &d->meta, "INSERT INTO meta(one, epoch, seq, promised, crc) VALUES(1, ?1, ?2, ?3, ?4) "
			    "ON CONFLICT(one) DO UPDATE SET epoch = ?1, seq = ?2, promised = ?3, crc = ?4" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		int error = db_errno(d, sqlite3_prepare_v3(d->db, rows[i].sql, -1, SQLITE_PREPARE_PERSISTENT, rows[i].s, NULL));

		if (error)
			return error;
	}
	return 0;
}

static int create_schema(struct store_db *d)
{
	char sql[64];
	int error = 0;

	for (size_t i = 0; i < ARRAY_SIZE(create_statements) && !error; i++)
		error = run(d, create_statements[i]);
	snprintf(sql, sizeof(sql), "PRAGMA application_id=%d", STORE_APPLICATION_ID);
	if (!error)
		error = run(d, sql);
	snprintf(sql, sizeof(sql), "PRAGMA user_version=%d", STORE_SCHEMA);
	if (!error)
		error = run(d, sql);
	return error ? error : run(d, "COMMIT");
}

static int verify_schema(struct store_db *d)
{
	sqlite3_int64 application = 0, version = 0;
	int error = number_query(d, "PRAGMA application_id", &application);

	if (!error)
		error = number_query(d, "PRAGMA user_version", &version);
	if (error)
		return error;
	if (application != STORE_APPLICATION_ID) {
		snprintf(d->error_text, sizeof(d->error_text), "not a cluster database (application id %#llx)",
			 (unsigned long long)application);
		return -EBADMSG;
	}
	if (version != STORE_SCHEMA) {
		snprintf(d->error_text, sizeof(d->error_text), "schema %lld, this program has %d", version, STORE_SCHEMA);
		return -EBADMSG;
	}
	return 0;
}

/* Parameters of agents may be passwords, and SQLite takes the mode of the database for its log: nobody else reads them. */
static int make_private(const char *path, bool create)
{
	cleanup_fd int fd = open(path, (create ? O_RDWR | O_CREAT : O_RDONLY) | O_CLOEXEC | O_NOFOLLOW, 0600);

	return fd < 0 || fchmod(fd, 0600) ? -errno : 0;
}

int store_db_open(struct store_db *d, const char *path, bool create)
{
	int flags = SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX | (create ? SQLITE_OPEN_CREATE : 0);
	int error;

	if (path != d->path) {
		memset(d, 0, sizeof(*d));
		if (snprintf(d->path, sizeof(d->path), "%s", path) >= (int)sizeof(d->path))
			return -ENAMETOOLONG;
	}
	error = make_private(d->path, create);
	if (!error && !create) {
		char wal[sizeof(d->path) + 8];

		snprintf(wal, sizeof(wal), "%s-wal", d->path);
		make_private(wal, false); /* there is none after an orderly end */
	}
	if (!error)
		error = db_errno(d, sqlite3_open_v2(d->path, &d->db, flags, NULL));
	for (size_t i = 0; i < ARRAY_SIZE(open_statements) && !error; i++)
		error = run(d, open_statements[i]);
	if (!error && create)
		error = create_schema(d);
	if (!error)
		error = verify_schema(d);
	if (!error)
		error = prepare_all(d);
	if (!error && create)
		error = store_sync_dir_of(d->path);
	if (error)
		store_db_close(d);
	return error;
}

void store_db_close(struct store_db *d)
{
	sqlite3_finalize(d->put);
	sqlite3_finalize(d->del);
	sqlite3_finalize(d->wipe);
	sqlite3_finalize(d->meta);
	sqlite3_close_v2(d->db);
	d->put = d->del = d->wipe = d->meta = NULL;
	d->db = NULL;
}

static int quick_check(struct store_db *d)
{
	sqlite3_stmt *s = NULL;
	const char *text;
	int rc = sqlite3_prepare_v2(d->db, "PRAGMA quick_check(1)", -1, &s, NULL);
	int error;

	if (rc == SQLITE_OK)
		rc = sqlite3_step(s);
	text = rc == SQLITE_ROW ? (const char *)sqlite3_column_text(s, 0) : NULL;
	if (text && strcmp(text, "ok")) {
		text_copy(d->error_text, sizeof(d->error_text), text);
		error = -EBADMSG;
	} else {
		error = db_errno(d, rc);
	}
	sqlite3_finalize(s);
	return error;
}

/* Every row through `object` (may be NULL), each verified first. */
static int walk(struct store_db *d, int (*object)(void *, uint8_t, uint32_t, const void *, size_t), void *ctx)
{
	sqlite3_stmt *s = NULL;
	int rc = sqlite3_prepare_v2(d->db, "SELECT key, crc, data FROM object ORDER BY key", -1, &s, NULL);
	int error = 0;

	if (rc != SQLITE_OK)
		return db_errno(d, rc);
	while (!error && (rc = sqlite3_step(s)) == SQLITE_ROW) {
		sqlite3_int64 key = sqlite3_column_int64(s, 0);
		const void *blob = sqlite3_column_blob(s, 2);
		size_t len = (size_t)sqlite3_column_bytes(s, 2);
		uint8_t kind = (uint8_t)(key >> 32);
		uint32_t id = (uint32_t)key;

		if (key < 0 || key >> 40 || sqlite3_column_int64(s, 1) != row_crc(kind, id, blob, len)) {
			snprintf(d->error_text, sizeof(d->error_text), "object kind %u id %u: checksum does not match", kind, id);
			error = -EBADMSG;
		} else if (object && object(ctx, kind, id, blob, len)) {
			snprintf(d->error_text, sizeof(d->error_text), "object kind %u id %u: refused by its decoder", kind, id);
			error = -EBADMSG;
		}
	}
	if (!error)
		error = db_errno(d, rc);
	sqlite3_finalize(s);
	return error;
}

static int meta_read(struct store_db *d, struct store_meta *meta)
{
	sqlite3_stmt *s = NULL;
	int rc = sqlite3_prepare_v2(d->db, "SELECT epoch, seq, promised, crc FROM meta", -1, &s, NULL);
	int error;

	memset(meta, 0, sizeof(*meta));
	if (rc == SQLITE_OK)
		rc = sqlite3_step(s);
	error = db_errno(d, rc);
	if (rc == SQLITE_ROW) {
		meta->epoch = (uint64_t)sqlite3_column_int64(s, 0);
		meta->seq = (uint64_t)sqlite3_column_int64(s, 1);
		meta->promised = (uint64_t)sqlite3_column_int64(s, 2);
		if (sqlite3_column_int64(s, 3) != meta_crc(meta)) {
			snprintf(d->error_text, sizeof(d->error_text), "tag: checksum does not match");
			error = -EBADMSG;
		}
	}
	sqlite3_finalize(s);
	return error;
}

int store_db_check(struct store_db *d)
{
	struct store_meta meta;
	int error = quick_check(d);

	if (!error)
		error = meta_read(d, &meta);
	return error ? error : walk(d, NULL, NULL);
}

int store_db_load(struct store_db *d, struct store_meta *meta,
		  int (*object)(void *ctx, uint8_t kind, uint32_t id, const void *blob, size_t len), void *ctx)
{
	int error = meta_read(d, meta);

	return error ? error : walk(d, object, ctx);
}

static int step(struct store_db *d, sqlite3_stmt *s)
{
	int rc = sqlite3_step(s);
	int error = db_errno(d, rc);

	sqlite3_reset(s);
	sqlite3_clear_bindings(s);
	return error;
}

int store_db_begin(struct store_db *d)
{
	int error = d->db ? 0 : store_db_open(d, d->path, false);

	return error ? error : run(d, "BEGIN IMMEDIATE");
}

int store_db_put(struct store_db *d, uint8_t kind, uint32_t id, const void *blob, size_t len)
{
	sqlite3_bind_int64(d->put, 1, KEY_OF(kind, id));
	sqlite3_bind_int64(d->put, 2, row_crc(kind, id, blob, len));
	sqlite3_bind_blob(d->put, 3, len ? blob : "", (int)len, SQLITE_STATIC);
	return step(d, d->put);
}

int store_db_delete(struct store_db *d, uint8_t kind, uint32_t id)
{
	sqlite3_bind_int64(d->del, 1, KEY_OF(kind, id));
	return step(d, d->del);
}

int store_db_wipe(struct store_db *d) { return step(d, d->wipe); }

int store_db_commit(struct store_db *d, const struct store_meta *meta)
{
	int error;

	sqlite3_bind_int64(d->meta, 1, (sqlite3_int64)meta->epoch);
	sqlite3_bind_int64(d->meta, 2, (sqlite3_int64)meta->seq);
	sqlite3_bind_int64(d->meta, 3, (sqlite3_int64)meta->promised);
	sqlite3_bind_int64(d->meta, 4, meta_crc(meta));
	error = step(d, d->meta);
	return error ? error : run(d, "COMMIT");
}

/*
 * After a failed write or sync nobody knows what the page cache still holds: the connection is closed, and what was not
 * committed is written again in full through a new one.
 */
void store_db_rollback(struct store_db *d)
{
	if (d->db && !sqlite3_get_autocommit(d->db))
		sqlite3_exec(d->db, "ROLLBACK", NULL, NULL, NULL);
	store_db_close(d);
}

int store_sync_dir_of(const char *path)
{
	const char *slash = strrchr(path, '/');
	cleanup_free char *dir = slash && slash != path ? strndup(path, (size_t)(slash - path)) : strdup(slash ? "/" : ".");
	cleanup_fd int fd = dir ? open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC) : -1;

	return fd < 0 || fsync(fd) ? -errno : 0;
}

static int sync_file(const char *path)
{
	cleanup_fd int fd = open(path, O_RDONLY | O_CLOEXEC);

	return fd < 0 || fsync(fd) ? -errno : 0;
}

int store_db_copy(struct store_db *d, const char *path)
{
	char temporary[300];
	sqlite3_backup *backup;
	sqlite3 *to = NULL;
	int rc, error;

	if (snprintf(temporary, sizeof(temporary), "%s.part", path) >= (int)sizeof(temporary))
		return -ENAMETOOLONG;
	error = d->db ? 0 : store_db_open(d, d->path, false);
	if (error)
		return error;
	unlink(temporary);
	error = make_private(temporary, true);
	if (error)
		return error;
	rc = sqlite3_open_v2(temporary, &to, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE, NULL);
	backup = rc == SQLITE_OK ? sqlite3_backup_init(to, "main", d->db, "main") : NULL;
	if (backup) {
		rc = sqlite3_backup_step(backup, -1);
		sqlite3_backup_finish(backup);
	}
	if (backup && rc == SQLITE_DONE)
		rc = sqlite3_exec(to, "PRAGMA journal_mode=DELETE", NULL, NULL, NULL);
	else if (rc == SQLITE_OK)
		rc = SQLITE_ERROR;
	if (rc != SQLITE_OK) {
		int system_error = to ? sqlite3_system_errno(to) : 0;

		snprintf(d->error_text, sizeof(d->error_text), "%.200s: %s", temporary,
			 to ? sqlite3_errmsg(to) : sqlite3_errstr(rc));
		error = (rc & 0xff) == SQLITE_FULL ? -ENOSPC : system_error ? -system_error : -EIO;
	}
	sqlite3_close(to);
	if (!error)
		error = sync_file(temporary);
	if (!error && renameat2(AT_FDCWD, temporary, AT_FDCWD, path, RENAME_NOREPLACE)) {
		error = -errno;
		snprintf(d->error_text, sizeof(d->error_text), "%.200s: %s", path, strerror(errno));
	}
	if (!error)
		error = store_sync_dir_of(path);
	if (error)
		unlink(temporary);
	return error;
}
