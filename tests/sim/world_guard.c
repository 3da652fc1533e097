/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What proves that a node cannot act, or who is right: watchdogs, fence commands, the witness. */
#include <inttypes.h>

#include "tests/sim/world.h"

#define PET_DIVISOR 4 /* as io/watchdog.h */

/* ---- the watchdog: hardware that resets the host when nobody has petted it for its time-out ---- */

static void pet(struct world *w, struct sim_node *n)
{
	n->watchdog_armed = true;
	n->watchdog_reset_us = w->now_us + w->options.watchdog_ms * US_PER_MS;
	world_push(w, n->watchdog_reset_us, SIM_WATCHDOG, n->id, 0, n->watchdog_generation, 0);
}

static void pet_next(struct world *w, struct sim_node *n, uint64_t mono_ms)
{
	uint64_t next = w->options.watchdog_ms / PET_DIVISOR, left = n->watchdog_until_ms - mono_ms;

	/* The last pet is as late as it may be. */
	if (next > left)
		next = left;
	if (next)
		world_push(w, w->now_us + next * US_PER_MS, SIM_PET, n->id, n->process_generation,
			   n->watchdog_generation, 0);
}

void watchdog_action(struct world *w, struct sim_node *n, bool armed, uint64_t until_ms)
{
	bool had = n->watchdog_until_ms != 0;
	uint64_t now = node_mono_ms(w, n);

	if (!w->options.watchdog_ms || nodeset_has(w->options.no_watchdog, n->id) || n->petting_ended)
		return;
	if (!armed) {
		n->watchdog_armed = false;
		n->watchdog_until_ms = 0;
		n->watchdog_generation++;
		return;
	}
	n->watchdog_until_ms = until_ms;
	if (now > until_ms) {
		n->watchdog_until_ms = 0;
		return;
	}
	if (!had || !n->watchdog_armed) {
		n->watchdog_generation++;
		pet(w, n);
		pet_next(w, n, now);
	}
}

void watchdog_pet(struct world *w, struct sim_node *n, uint64_t generation)
{
	uint64_t now = node_mono_ms(w, n);

	if (generation != n->watchdog_generation || !n->watchdog_until_ms)
		return;
	if (now > n->watchdog_until_ms) {
		n->watchdog_until_ms = 0;
		return;
	}
	pet(w, n);
	pet_next(w, n, now);
	if (now == n->watchdog_until_ms)
		n->watchdog_until_ms = 0;
}

void watchdog_expire(struct world *w, struct sim_node *n, uint64_t generation)
{
	if (generation != n->watchdog_generation || !n->watchdog_armed || w->now_us < n->watchdog_reset_us)
		return;
	w->counts[COUNT_watchdog_resets]++;
	host_crash(w, n, "its watchdog reset it", true);
}

/* ---- the fence command ---- */

void fence_action(struct world *w, struct sim_node *n, uint32_t node, uint64_t incarnation)
{
	uint64_t ms = w->options.fence_command ? 1 + rng_spread(&w->rng, w->options.fence_ms) : 0;

	world_push(w, w->now_us + ms * US_PER_MS + 100, SIM_FENCE, n->id, n->process_generation, node, incarnation);
}

void fence_ended(struct world *w, struct sim_node *n, uint32_t node, uint64_t incarnation)
{
	bool works = w->options.fence_command && (w->healed || rng_percent(&w->rng, w->options.fence_percent));
	struct core_event e = { .kind = EVENT_FENCE_RESULT };

	w->counts[works ? COUNT_fences_confirmed : COUNT_fences_failed]++;
	/* One that fails may have worked all the same. */
	if (works || (w->options.fence_command && rng_percent(&w->rng, 20)))
		host_crash(w, w->nodes[node], "fenced", true);
	world_trace(w, n, "fence command for n%u: %s", node, works ? "confirmed" : "failed");
	e.fence.node = node;
	e.fence.incarnation = incarnation;
	e.fence.confirmed = works;
	e.fence.text = works ? "" : w->options.fence_command ? "exit code 1" : "no fence_command is configured";
	/* A node does not fence itself; if it did, it is gone now. */
	if (n->process)
		node_step(w, n, &e);
}

/* ---- the witness: one holder at a time; a holder that is gone keeps it until its lease ends ---- */

void witness_claim(struct world *w, struct sim_node *n, const struct core_action *a)
{
	n->witness_have = a->witness.have_epoch;
	n->witness_take = a->witness.take_epoch;
	n->witness_present = a->witness.present;
	if (n->witness_claimed)
		return;
	n->witness_claimed = true;
	world_push(w, w->now_us + rng_range(&w->rng, 1000, 200000), SIM_WITNESS, n->id, n->process_generation, 0, 0);
}

void witness_release(struct world *w, struct sim_node *n)
{
	n->witness_claimed = false;
	/* A process that ends in order lets go; for one that does not, so much time passes. */
	if (w->witness.holder == n->id) {
		w->witness.holder = 0;
		w->witness.lease_us = w->now_us + (n->process ? 0 : w->options.witness_lease_ms * US_PER_MS);
	}
}

static void witness_tell(struct world *w, struct sim_node *n, bool held)
{
	struct core_event e = { .kind = EVENT_WITNESS };

	e.witness.held = held;
	w->counts[held ? COUNT_witness_held : COUNT_witness_lost]++;
	world_trace(w, n, held ? "holds the witness" : "does not hold the witness");
	node_step(w, n, &e);
}

/* The answer to a claim; and, later, the look whether the holder still reaches what it holds. */
void witness_answer(struct world *w, struct sim_node *n)
{
	const struct sim_node *holder = w->nodes[w->witness.holder];
	bool free_now;

	/* One that is frozen does not defend it. */
	if (holder && holder != n && !node_runs(holder) &&
	    holder->frozen_us + w->options.witness_lease_ms * US_PER_MS < w->now_us)
		w->witness.holder = 0;
	free_now = (!w->witness.holder && w->now_us >= w->witness.lease_us) || w->witness.holder == n->id;
	free_now &= w->witness.epoch <= n->witness_have ||
		    (nodeset_has(n->witness_present, w->witness.by) && w->witness.have <= n->witness_have);

	if (!n->witness_claimed)
		return;
	if (!w->options.witness || nodeset_has(w->witness.cut, n->id) || !free_now) {
		n->witness_claimed = false;
		witness_tell(w, n, false);
		return;
	}
	if (w->witness.holder != n->id) {
		w->witness.holder = n->id;
		w->witness.epoch = n->witness_take;
		w->witness.by = n->id;
		w->witness.have = n->witness_have;
		witness_tell(w, n, true);
	}
	if (n->process)
		world_push(w, w->now_us + w->options.witness_lease_ms / 4 * US_PER_MS, SIM_WITNESS_LOST, n->id,
			   n->process_generation, 0, 0);
}

/* Defence: the holder knows that it lost the witness before anybody else can have it. */
void witness_lost(struct world *w, struct sim_node *n)
{
	if (!n->witness_claimed)
		return;
	if (w->witness.holder == n->id && !nodeset_has(w->witness.cut, n->id)) {
		world_push(w, w->now_us + w->options.witness_lease_ms / 4 * US_PER_MS, SIM_WITNESS_LOST, n->id,
			   n->process_generation, 0, 0);
		return;
	}
	n->witness_claimed = false;
	if (w->witness.holder == n->id) {
		w->witness.holder = 0;
		w->witness.lease_us = w->now_us + w->options.witness_lease_ms * US_PER_MS;
	}
	witness_tell(w, n, false);
}
