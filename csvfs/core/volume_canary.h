/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Planted bugs of the lease protocol, for tests/sim/sim_volume_canary alone (-DVOLUME_CANARY_BUILD), and there only the chosen
 * one. A check of the simulation that does not find its canary checks nothing.
 */
#ifndef CSVFS_CORE_VOLUME_CANARY_H
#define CSVFS_CORE_VOLUME_CANARY_H

/* VOLUME_CANARY_ROW(SYMBOL, "name", "invariants that may report it", "the bug") */
#define VOLUME_CANARY_ROWS \
	VOLUME_CANARY_ROW(CANARY_LEND_UNDURABLE, "lend-undurable", "I4", "extents leave before the journal commit") \
	VOLUME_CANARY_ROW(CANARY_NOT_THE_ASKER, "not-the-asker", "I5", "who truncates keeps its own leases") \
	VOLUME_CANARY_ROW(CANARY_PASS_SILENT, "pass-silent", "I6", "a silent holder is passed by after a time") \
	VOLUME_CANARY_ROW(CANARY_SHARED_SOLE, "shared-sole", "I7", "a lease does not take the sole right of another back") \
	VOLUME_CANARY_ROW(CANARY_EARLY_SOLE, "early-sole", "I7", "the sole right is given while another waits for a lease") \
	VOLUME_CANARY_ROW(CANARY_OVERTAKEN, "overtaken", "I5 I6 I7", "extents are added though a recall has overtaken them") \
	VOLUME_CANARY_ROW(CANARY_NO_DRAIN, "no-drain", "I5 I6 I7", "a recall is answered while writes are under way") \
	VOLUME_CANARY_ROW(CANARY_SHORT_GRACE, "short-grace", "I5 I6 I7 stale", "grace ends with the first session that is ready") \
	VOLUME_CANARY_ROW(CANARY_READY_UNDRAINED, "ready-undrained", "I5 I6 I7", "READY before the old sole right is drained") \
	VOLUME_CANARY_ROW(CANARY_MODIFY_ANYWAY, "modify-anyway", "I7", "partial sectors are written without the sole right") \
	VOLUME_CANARY_ROW(CANARY_LEND_CLAIMED, "lend-claimed", "I5 I6", "a lease is given in the middle of a claim") \
	VOLUME_CANARY_ROW(CANARY_CACHE_OVERTAKEN, "cache-overtaken", "stale", "an answer that a recall has overtaken is cached") \
	VOLUME_CANARY_ROW(CANARY_ATTR_CLAIMED, "attr-claimed", "stale", "attributes are lent in the middle of a claim") \
	VOLUME_CANARY_ROW(CANARY_NAME_CLEARED, "name-cleared", "stale", "a recalled name clears the note of its namesake by hash") \
	VOLUME_CANARY_ROW(CANARY_LOOK_FIRST, "look-first", "stale", "the owner looks at attributes first and lends them then") \
	VOLUME_CANARY_ROW(CANARY_NO_WAKE, "no-wake", "starved", "the end of a claim does not wake who waits") \
	VOLUME_CANARY_ROW(CANARY_GIVE_UNDRAINED, "give-undrained", "I5 I6", "leases are given back while writes are under way") \
	VOLUME_CANARY_ROW(CANARY_DO_AGAIN, "do-again", "stale I7", "what is sent again is done again by the same owner")

enum volume_canary {
	VOLUME_CANARY_NONE,
#define VOLUME_CANARY_ROW(symbol, name, found_by, bug) VOLUME_##symbol,
	VOLUME_CANARY_ROWS
#undef VOLUME_CANARY_ROW
};

#ifdef VOLUME_CANARY_BUILD
extern enum volume_canary volume_canary_chosen;
#define VOLUME_CANARY(which) (volume_canary_chosen == VOLUME_CANARY_##which)
#else
#define VOLUME_CANARY(which) 0
#endif

#endif
