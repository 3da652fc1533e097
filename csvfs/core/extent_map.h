/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Client side, one per open file: the extents the owner has lent, and what uses them. Pure; the caller holds the file's lock.
 *
 * Order of things in a session:
 *   direct I/O   lock; extent_map_find(); io_begin() for each piece that is not redirected; unlock; I/O; lock; io_end(); unlock
 *   a recall     lock; extent_map_recall(); io_recall_begin(); send RECALLED for whatever io_ready() gives; unlock
 *   io_end()     send RECALLED for whatever io_ready() gives
 * What is in use when a recall comes is waited for; what begins later does not find the extents any more.
 *
 * Answers and recalls cross on the wire (several connections, threads of the owner). A recall tells the newest grant it
 * concerns; extent_map_add() refuses an answer that is not newer than the newest recall of the file. The owner then believes
 * that the session has a lease which it does not have: harmless, it is asked for again.
 *
 * GIVE_BACK and LEASE of one file must not cross: extent_map_ask_begin() and extent_map_give_begin() say when one has to wait.
 * A LEASE that reclaims is one of them.
 *
 * A new owner knows only what is reclaimed from it. So READY waits until everything that was cut is drained: the sole right,
 * what the new owner did not confirm, what the old one had recalled, and give-backs; a GIVE_BACK that was not answered is not
 * sent again.
 */
#ifndef CSVFS_CORE_EXTENT_MAP_H
#define CSVFS_CORE_EXTENT_MAP_H

#include "proto/volume.h"

#define EXTENT_MAP_MAX 65536 /* extents of one file; more are redirected */

struct lent_extent {
	uint64_t offset, physical, length; /* bytes */
	uint64_t grant;
	bool writable;
};

struct extent_map {
	struct lent_extent *extents; /* rising, disjoint, neighbours that continue each other are one */
	uint32_t n, capacity;
	uint32_t asking; /* LEASE requests under way */
	bool giving;	 /* a GIVE_BACK is under way */
	bool sole;
	uint64_t recalled; /* newest grant a recall of extents or of `sole` concerned */
};

/* Empty, in the caller's array. */
void extent_map_init(struct extent_map *m, struct lent_extent *array, uint32_t capacity);
/* Into a bigger array (at most EXTENT_MAP_MAX are used); the old one is the caller's again. */
void extent_map_move(struct extent_map *m, struct lent_extent *array, uint32_t capacity);
/*
 * Adds what VOL_EXTENTS lent; what overlaps older extents replaces them. An answer that a recall has overtaken is not added,
 * nor is one whose list is not rising, empty extents or sums beyond UINT64_MAX (-EBADMSG: nothing was added).
 * Number of extents that were added; fewer than n: overtaken, or full (extent_map_move() and ask again).
 */
int extent_map_add(struct extent_map *m, const struct vol_extent *list, uint32_t n, uint64_t grant, bool writable, bool sole);
/* A VOL_RECALL: forgets the range and/or the sole right, and refuses answers up to `grant` from now on. */
void extent_map_recall(struct extent_map *m, uint64_t grant, uint32_t what, uint64_t offset, uint64_t length);
/* Forgets a range by itself: a failed path, a give-back. length UINT64_MAX: to the end. */
void extent_map_cut(struct extent_map *m, uint64_t offset, uint64_t length);
void extent_map_clear(struct extent_map *m);
/*
 * A new owner: the sole right ends (drain it as if it had been recalled, before READY); extents stay and stay usable until
 * extent_map_reclaimed() was told the new owner's answer to a LEASE with `reclaim` for that range: what the new owner did not
 * confirm, at the same place, goes. true: all was confirmed.
 */
void extent_map_new_owner(struct extent_map *m);
bool extent_map_reclaimed(struct extent_map *m, uint64_t offset, uint64_t length, const struct vol_extent *list, uint32_t n,
			  uint64_t grant, bool writable);

/* May a LEASE be sent now? true: end it with ask_end() when it is answered or given up. */
bool extent_map_ask_begin(struct extent_map *m);
void extent_map_ask_end(struct extent_map *m);
/* May a GIVE_BACK be sent now? true: the range has been cut; when io_recall_begin() has drained it, send, then give_end(). */
bool extent_map_give_begin(struct extent_map *m, uint64_t offset, uint64_t length);
void extent_map_give_end(struct extent_map *m);

enum piece_kind {
	PIECE_DIRECT,	/* whole sectors: straight to the device */
	PIECE_PARTIAL,	/* within one sector that is lent: by a bounce buffer; a write reads the sector first (only with `sole`) */
	PIECE_REDIRECT, /* to the owner */
};
struct extent_piece {
	enum piece_kind kind;
	uint64_t offset, length; /* in the file */
	uint64_t physical;	 /* on the device, of `offset` */
};
/*
 * How to read or write [offset, offset + length): pieces, rising, from `offset` on without gaps. Number of pieces, at most
 * max; with fewer than needed they end before the range does: ask again from there. `sector`: power of two.
 */
uint32_t extent_map_find(const struct extent_map *m, uint64_t offset, uint64_t length, bool write, uint32_t sector,
			 struct extent_piece *out, uint32_t max);

/* --- what uses the extents --- */

struct io_use { /* in the caller's request */
	uint64_t offset, length, begun;
	bool modify; /* reads a sector to write it back: needs the sole right */
	struct io_use *prev, *next;
};
struct io_recall { /* in the caller's note of the recall */
	uint64_t number; /* of VOL_RECALL; 0: the session's own (give back, new owner) */
	uint64_t offset, length, begun;
	uint32_t what; /* enum vol_recall_bits */
	uint32_t waiting; /* for so many uses */
	struct io_recall *next;
};
struct io_drain {
	struct io_use *uses;
	struct io_recall *recalls;
	uint64_t clock; /* counts begins */
	uint32_t n_uses;
};

void io_drain_init(struct io_drain *d);
void io_begin(struct io_drain *d, struct io_use *u, uint64_t offset, uint64_t length, bool modify);
/* true: io_ready() has something. */
bool io_end(struct io_drain *d, struct io_use *u);
/* The recall waits for every use that overlaps (extents) or modifies (sole). Call extent_map_recall() first. */
void io_recall_begin(struct io_drain *d, struct io_recall *r, uint64_t number, uint32_t what, uint64_t offset, uint64_t length);
/* The next recall that waits for nothing any more, removed from the list; NULL: none. Oldest first. */
struct io_recall *io_ready(struct io_drain *d);

#endif
