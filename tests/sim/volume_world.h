/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A volume in one process: a device, a file system with a journal, owners one after the other, sessions, a network between
 * them, and a cluster that fences. Leases, recalls, extent maps, windows of requests and the log of answers are csvfs/core's own;
 * the rest is as short as it can be.
 * One seed is one run. What is checked, after every event:
 *   I4     extents that a session has are durable in the journal
 *   I5     no session has extents, or I/O on its way, where the file has other blocks or none (I6: and it was cut off)
 *   I7     who has the sole right has it alone; no acknowledged write is gone
 *   stale  no attribute or name is cached that was changed, once that change has been answered
 *   starved  every request is answered, once the faults have ended
 */
#ifndef TESTS_SIM_VOLUME_WORLD_H
#define TESTS_SIM_VOLUME_WORLD_H

#include <stdio.h>

#include "csvfs/core/extent_map.h"
#include "csvfs/core/grant.h"
#include "csvfs/core/pending.h"
#include "csvfs/core/request_log.h"
#include "csvfs/core/volume_canary.h"
#include "tests/sim/rng.h"
#include "units.h"

#define FILES 3
#define BLOCKS 10 /* of a file; a block is a sector */
#define DEVICE 48 /* blocks; 0 is none */
#define CELLS 4	  /* what a partial write changes: a part of a sector */
#define SECTOR 512u
#define CELL (SECTOR / CELLS)
#define NAMES 3	      /* of the one directory */
#define THINGS (FILES + 1 + NAMES) /* what is cached: attributes of files and of the directory, names */
#define DIRECTORY FILES
#define NODES_MAX 4
#define SESSIONS_MAX 24 /* ever */
#define SLOTS 8
#define REQUESTS 12 /* of a session */
#define USES 6
#define NOTES 64
#define OPS 128
#define WINDOW 12
#define ANSWERS (SLOTS * REQUEST_LOG_SESSION_MAX) /* kept by an owner */
#define WRITES_MAX (1u << 17)
#define EVENTS_MAX 4096
#define NEVER UINT64_MAX

#define US_PER_MS 1000u

/* What is on the disk, and what the owner's mount makes of it before the next commit. */
struct fs {
	uint16_t map[FILES][BLOCKS];
	uint64_t hole_since[FILES][BLOCKS];
	uint32_t version[THINGS];
};

enum message_type {
	SIM_HELLO, SIM_WELCOME, SIM_READY, SIM_LEASE, SIM_GIVE_BACK, SIM_LOOK, SIM_CHANGE, SIM_TRUNCATE, SIM_WRITE, SIM_RECALL,
	SIM_RECALLED,
};
struct sim_message {
	enum message_type type;
	bool answer, grace, reclaim, cache, sole, whole, done;
	uint32_t session, thing, cell, write_id, version, what, n;
	uint64_t connection, number, answered, epoch, offset, length, grant;
	char name[16];
	struct vol_extent list[BLOCKS];
};

struct request {
	bool used;
	uint64_t born;
	struct sim_message m;
};

/* Direct I/O under way. */
struct direct {
	bool used, write;
	int cell; /* -1: all */
	uint32_t file, block, phys, write_id, step;
	uint32_t seen[CELLS];
	struct io_use use;
};

/* A recall, a give-back or the end of an old owner's rights that waits for I/O. */
struct note {
	bool used;
	uint32_t file;
	uint64_t request; /* give-back: to be sent then */
	struct io_recall recall;
};

struct session {
	uint32_t node;
	bool alive, frozen, fenced, reclaiming, ready_sent, fence_coming;
	uint64_t cut_until, connection, epoch;
	struct pending_window window;
	bool connected;
	struct lent_extent extents[FILES][BLOCKS * 2];
	struct extent_map map[FILES];
	struct io_drain drain[FILES];
	uint32_t cached[THINGS]; /* version; 0: not cached */
	struct request requests[REQUESTS];
	struct direct io[USES];
	struct note notes[NOTES];
};

struct slot {
	bool used;
	uint32_t session;
	uint64_t connection;
};

struct op {
	bool used, locked, given;
	uint32_t step, session, slot, epoch;
	uint64_t claim;
	struct grant_given grant;
	struct sim_message m;
	uint32_t seen[CELLS];
};

struct owner {
	bool up, coming;
	uint64_t epoch;
	struct grant_table *grants;
	struct request_log *log;
	void *memory, *log_memory;
	struct slot slots[SLOTS];
	struct op ops[OPS];
	bool locked[FILES];
};

enum event_kind {
	EV_MESSAGE, EV_WORK, EV_IO, EV_OP, EV_POLL, EV_FAULT, EV_CONNECT, EV_FENCE, EV_TOLD, EV_OWNER, EV_THAW, EV_RESTART,
};
struct world_event {
	uint64_t at, order, epoch;
	enum event_kind kind;
	uint32_t who, index;
	struct sim_message m;
};

struct write_note {
	uint64_t begun, acked;
};

struct world {
	struct rng rng;
	uint64_t now, order, connection, hash;
	uint32_t nodes, n_sessions, n_writes, n_events, version;
	struct world_event *events; /* heap */
	struct fs disk, mounted;
	uint32_t device[DEVICE][CELLS]; /* number of the write */
	uint64_t floor[FILES][BLOCKS][CELLS]; /* when the newest acknowledged write began */
	struct write_note *writes;
	uint32_t answered[THINGS]; /* version of the newest change that was answered */
	bool trailer[SESSIONS_MAX];
	struct session sessions[SESSIONS_MAX];
	struct owner owner;
	bool calm, quiet; /* no more faults; no more work either */
	uint32_t fault_ms, kinds[6], delay_us, work_us, own_percent, slow_permille;
	uint64_t counts[16];
	const char *broken; /* the invariant */
	char text[256];
	void (*trace)(void *user, const char *line);
	void *trace_user;
};

enum {
	COUNT_DIRECT, COUNT_MODIFY, COUNT_REDIRECT, COUNT_LEASE, COUNT_RECALL, COUNT_TRUNCATE, COUNT_CHANGE, COUNT_CACHED,
	COUNT_EPOCH, COUNT_FENCE, COUNT_BREAK, COUNT_RECLAIM, COUNT_GIVE_BACK, COUNT_FREEZE, COUNT_OVERTAKEN, COUNTS,
};
extern const char *const count_names[COUNTS];

/* volume_world.c */
void world_push(struct world *w, uint64_t delay_us, const struct world_event *e);
void world_say(struct world *w, const char *format, ...) __attribute__((format(printf, 2, 3)));
void world_break(struct world *w, const char *invariant, const char *format, ...) __attribute__((format(printf, 3, 4)));
void world_send(struct world *w, const struct sim_message *m, bool to_owner);
uint32_t world_write_new(struct world *w);
struct vol_fid thing_fid(uint32_t thing);
extern const char *const names[NAMES];
void world_fault(struct world *w);
void world_fence_soon(struct world *w, uint32_t session);

/* volume_session.c */
void session_new(struct world *w, uint32_t node);
void session_event(struct world *w, const struct world_event *e);
void session_disconnect(struct world *w, uint32_t index, uint64_t for_us);

/* volume_owner.c */
void owner_event(struct world *w, const struct world_event *e);
void owner_crash(struct world *w);

/* volume_check.c */
void check_world(struct world *w);
void check_block(struct world *w, uint32_t file, uint32_t block);
void check_io(struct world *w, uint32_t session, const struct direct *io);
void write_acked(struct world *w, uint32_t file, uint32_t block, int cell, uint32_t id);
void check_answered(struct world *w, uint64_t born_before, uint64_t age_us);
void check_idle(struct world *w);

#endif
