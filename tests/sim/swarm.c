/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Draws a run from its seed and drives it: faults, workload, healing, convergence. */
#include "tests/sim/swarm.h"

#include "clusterd/core/timetable.h"

#include <assert.h>
#include <inttypes.h>
#include <string.h>

#define SETUP_LIMIT_MS 20000	 /* faults begin then at the latest, whatever the set-up has come to */
#define CONVERGE_LIMIT_MS 240000 /* I14: after healing */
#define CONVERGE_LOOK_MS 500
#define TIDY_MS 700
#define CALM_LOOKS 3

/* a of a driver's event; b is what it is about. */
enum driver {
	DRIVE_BOOT,
	DRIVE_SETUP,
	DRIVE_FAULT,
	DRIVE_NET_HEAL,
	DRIVE_DISK_OK,
	DRIVE_AGENTS_OK,
	DRIVE_WITNESS_OK,
	DRIVE_VOLUMES_OK,
	DRIVE_ADMIN,
	DRIVE_HEAL,
	DRIVE_CONVERGE,
	DRIVE_TIDY
};

static struct load_ops ops;

/* ---- drawing ---- */

static void draw_size(struct swarm *s, struct rng *r, uint32_t nodes)
{
	uint64_t x = rng_below(r, 1000);
	uint32_t n = x < 20    ? 1
		     : x < 70  ? 2
		     : x < 450 ? 3
		     : x < 600 ? 4
		     : x < 850 ? 5
		     : x < 940 ? (uint32_t)rng_range(r, 6, 7)
		     : x < 997 ? (uint32_t)rng_range(r, 8, 16)
			       : (uint32_t)rng_range(r, 17, NODE_MAX);

	s->world.nodes = nodes ? nodes : n;
	s->load.roles = rng_percent(r, 10) ? 1 : (uint32_t)rng_range(r, 1, rng_percent(r, 20) ? 40 : 10);
	if (s->world.nodes > 16 && s->load.roles > 10)
		s->load.roles = 10;
	s->load.resources_max = (uint32_t)rng_range(r, 1, 3);
	s->load.rules = rng_percent(r, 40) ? (uint32_t)rng_range(r, 1, 4) : 0;
	s->load.sets = rng_percent(r, 25) ? (uint32_t)rng_range(r, 1, 3) : 0;
}

static void draw_net(struct world_options *o, struct rng *r)
{
	o->order_us = (uint32_t)rng_range(r, 50, rng_percent(r, 20) ? 20000 : 1000);
	o->latency_us = (uint32_t)rng_range(r, 20, 500);
	o->latency_spread_us = (uint32_t)rng_range(r, 10, rng_percent(r, 30) ? 40000 : 2000);
	o->detect_min_ms = (uint32_t)rng_range(r, 50, 400);
	o->detect_max_ms = o->detect_min_ms + (uint32_t)rng_range(r, 10, 600);
	o->merge_max_ms = (uint32_t)rng_range(r, 10, 1000);
	o->view_skew_ms = rng_percent(r, 50) ? 0 : (uint32_t)rng_range(r, 1, 100);
	o->stepwise_views = rng_percent(r, 50);
	o->hash_views = rng_percent(r, 50);
	o->hole_us = 5000;
	o->drift_ppm = rng_percent(r, 50) ? 0 : (uint32_t)rng_range(r, 1, 500);
}

static void draw_guard(struct world_options *o, struct rng *r)
{
	struct cluster c = { .quorum_grace_ms = rng_percent(r, 40) ? 0 : (uint32_t)rng_range(r, 1, 1500),
			     .alive_ms = (uint32_t)rng_range(r, 200, 700) };
	uint32_t least;

	o->grace_ms = c.quorum_grace_ms;
	o->alive_ms = c.alive_ms;
	o->watchdog_ms = rng_percent(r, 85) ? (uint32_t)rng_range(r, 400, 4000) : 0;
	least = timetable_least_t_stop_ms(&c, o->watchdog_ms);
	o->t_stop_ms = least + (rng_percent(r, 30) ? 0 : (uint32_t)rng_range(r, 0, 6000));
	if (o->t_stop_ms < 2000)
		o->t_stop_ms = 2000;
	if (o->watchdog_ms && rng_percent(r, 15))
		o->no_watchdog = NODE_BIT(rng_range(r, 1, o->nodes));
	o->margin_ms = 500 + o->detect_max_ms + o->view_skew_ms + (uint32_t)rng_range(r, 0, 1500);
	o->stall_ms = (uint32_t)rng_range(r, 1500, 6000);
	o->fence_command = rng_percent(r, 60);
	o->fence_percent = rng_percent(r, 60) ? 100 : (uint32_t)rng_range(r, 10, 90);
	o->fence_ms = (uint32_t)rng_range(r, 10, 4000);
	o->self_fence_weak = rng_percent(r, 20);
	o->witness = rng_percent(r, 30);
	o->witness_lease_ms = (uint32_t)rng_range(r, 1000, 6000);
	o->boot_ms = (uint32_t)rng_range(r, 500, 15000);
	/* A clusterd that is not back before its watchdog fires is a reset; that is how it should be set up, and is not
	 * always. */
	o->respawn_ms = o->watchdog_ms && rng_percent(r, 80) ? (uint32_t)rng_range(r, 20, o->watchdog_ms / 2)
							     : (uint32_t)rng_range(r, 20, 3000);
}

static void draw_agents(struct world_options *o, struct rng *r)
{
	o->disk_us = (uint32_t)rng_range(r, 100, rng_percent(r, 20) ? 100000 : 6000);
	o->start_ms = (uint32_t)rng_range(r, 1, 600);
	o->stop_ms = (uint32_t)rng_range(r, 1, 400);
	o->monitor_ms = (uint32_t)rng_range(r, 1, 200);
	o->start_fail_permille = (uint32_t)rng_below(r, 400);
	o->stop_fail_permille = (uint32_t)rng_below(r, 200);
	o->monitor_fail_permille = (uint32_t)rng_below(r, 300);
	o->hang_permille = (uint32_t)rng_below(r, 100);
	o->cpu = 800;
	o->memory_mb = 16000;
}

static void draw_faults(struct swarm *s, struct rng *r)
{
	static const uint8_t weights[FAULT_MAX] = {
		[FAULT_PARTITION] = 12,	    [FAULT_ISOLATE] = 10,    [FAULT_FLAP] = 8,
		[FAULT_PROCESS_CRASH] = 10, [FAULT_HOST_CRASH] = 10, [FAULT_POWER_LOSS] = 2,
		[FAULT_PROCESS_FREEZE] = 8, [FAULT_HOST_FREEZE] = 8, [FAULT_COROSYNC_CRASH] = 6,
		[FAULT_DISK_SLOW] = 5,	    [FAULT_DISK_FULL] = 4,   [FAULT_DATABASE_LOST] = 2,
		[FAULT_WALL_JUMP] = 4,	    [FAULT_LAG] = 5,	     [FAULT_RESOURCE_DIES] = 12,
		[FAULT_AGENTS_BAD] = 6,	    [FAULT_WITNESS_CUT] = 3, [FAULT_ADMIN_POWEROFF] = 3,
		[FAULT_NOISE] = 4,
	};

	for (uint32_t f = 0; f <= FAULT_FORCE; f++)
		s->weight[f] = rng_percent(r, 60) ? weights[f] * (uint32_t)rng_range(r, 1, 5) : 0;
	s->world.force = rng_percent(r, 5);
	s->weight[FAULT_FORCE] = s->world.force ? 40 : 0;
	if (!s->world.witness)
		s->weight[FAULT_WITNESS_CUT] = 0;
	s->fault_mean_ms = (uint32_t)rng_range(r, 300, rng_percent(r, 50) ? 3000 : 15000);
	s->long_ms = (uint32_t)rng_range(r, 100, rng_percent(r, 10) ? 30000 : 10000);
	s->fault_ms = (uint32_t)rng_range(r, 20000, 90000);
	s->dirty_start = rng_percent(r, 10);
	/* Large clusters cost time: fewer virtual seconds of them. */
	if (s->world.nodes > 16)
		s->fault_ms = 15000;
}

static void draw_volumes(struct swarm *s, struct rng *r)
{
	if (!rng_percent(r, 40))
		return;
	s->world.volumes = true;
	s->world.pause_ms = (uint32_t)rng_range(r, 500, 20000);
	s->load.volumes = (uint32_t)rng_range(r, 1, 3);
	s->weight[FAULT_VOLUME_LOST] = rng_percent(r, 70) ? 10 * (uint32_t)rng_range(r, 1, 5) : 0;
	s->weight[FAULT_VOLUME_SILENT] = rng_percent(r, 40) ? 3 * (uint32_t)rng_range(r, 1, 3) : 0;
}

void swarm_draw(struct swarm *s, uint64_t seed, uint32_t nodes)
{
	struct rng rng = { .state = seed * 0xd6e8feb86659fd93u + 99 }, *r = &rng;

	memset(s, 0, sizeof(*s));
	draw_size(s, r, nodes);
	draw_net(&s->world, r);
	draw_guard(&s->world, r);
	draw_agents(&s->world, r);
	draw_faults(s, r);
	s->load.mean_ms = (uint32_t)rng_range(r, 50, rng_percent(r, 50) ? 1000 : 5000);
	s->load.hostile = rng_percent(r, 50);
	s->load.churn = rng_percent(r, 50);
	s->load.disarm = rng_percent(r, 15);
	s->load.maintenance = rng_percent(r, 10);
	s->load.evict = rng_percent(r, 15);
	s->load.node_stop = rng_percent(r, 40);
	s->load.capacity = rng_percent(r, 40);
	draw_volumes(s, r);
}

void swarm_describe(uint64_t seed, uint32_t nodes, FILE *out)
{
	static const char *const names[FAULT_MAX] = {
		"partition",	  "isolate",	 "flap",	   "process-crash", "host-crash",  "power-loss",
		"process-freeze", "host-freeze", "corosync-crash", "disk-slow",	    "disk-full",   "database-lost",
		"wall-jump",	  "lag",	 "resource-dies",  "agents-bad",    "witness-cut", "admin-poweroff",
		"noise",	  "force",	 "volume-lost",	   "volume-silent",
	};
	struct swarm s;

	swarm_draw(&s, seed, nodes);
	fprintf(out,
		"seed %" PRIu64 ": %u nodes, %u roles, T_stop %u grace %u margin %u stall %u alive %u watchdog %u ms",
		seed, s.world.nodes, s.load.roles, s.world.t_stop_ms, s.world.grace_ms, s.world.margin_ms,
		s.world.stall_ms, s.world.alive_ms, s.world.watchdog_ms);
	fprintf(out,
		", detection %u-%u ms, fence command %s%s%s\n  faults each %u ms for %u ms:", s.world.detect_min_ms,
		s.world.detect_max_ms, s.world.fence_command ? "yes" : "no", s.world.witness ? ", witness" : "",
		s.dirty_start ? ", faults from the start" : "", s.fault_mean_ms, s.fault_ms);
	for (uint32_t f = 0; f < FAULT_MAX; f++)
		if (s.weight[f])
			fprintf(out, " %s", names[f]);
	fprintf(out, "\n");
}

/* ---- helpers ---- */

static void drive(struct world *w, uint64_t after_ms, enum driver what, uint64_t about)
{
	world_push(w, w->now_us + after_ms * US_PER_MS, SIM_DRIVER, 0, 0, what, about);
}

static struct sim_node *any_node(struct world *w)
{
	return w->nodes[rng_range(&w->rng, 1, w->options.nodes)];
}

static struct sim_node *any_active(struct world *w)
{
	uint32_t at = (uint32_t)rng_below(&w->rng, w->options.nodes);

	for (uint32_t i = 0; i < w->options.nodes; i++) {
		struct sim_node *n = w->nodes[1 + (at + i) % w->options.nodes];

		if (node_runs(n) && n->phase == PHASE_ACTIVE)
			return n;
	}
	return NULL;
}

static uint64_t lasting(struct world *w, const struct swarm *s)
{
	return 20 + rng_spread(&w->rng, s->long_ms);
}

/* ---- faults ---- */

static void fault_net(struct world *w, struct swarm *s, enum fault f)
{
	struct sim_node *n = any_node(w);
	uint64_t last = lasting(w, s);

	if (f == FAULT_PARTITION) {
		uint32_t sides = (uint32_t)rng_range(&w->rng, 2, 3);

		w->counts[COUNT_partition]++;
		for (uint32_t id = 1; id <= w->options.nodes; id++)
			w->nodes[id]->component = (uint32_t)rng_below(&w->rng, sides);
	} else {
		w->counts[f == FAULT_FLAP ? COUNT_flap : COUNT_isolate]++;
		n->component = 100 + n->id;
		if (f == FAULT_FLAP)
			last = rng_range(&w->rng, 1, w->options.detect_max_ms);
	}
	for (uint32_t id = 1; world_tracing(w) && id <= w->options.nodes; id++)
		if (w->nodes[id]->component)
			world_trace(w, w->nodes[id], "network: side %u", w->nodes[id]->component);
	ring_changed(w);
	drive(w, last, DRIVE_NET_HEAL, 0);
}

static void fault_freeze(struct world *w, struct swarm *s, bool host)
{
	struct sim_node *n = any_node(w);

	if (!n->up || n->host_frozen || n->process_frozen || !n->process)
		return;
	w->counts[host ? COUNT_host_freeze : COUNT_process_freeze]++;
	if (host)
		host_freeze(w, n);
	else
		process_freeze(w, n);
	world_push(w, w->now_us + lasting(w, s) * US_PER_MS, SIM_THAW, n->id, n->host_generation, 0, 0);
}

static void fault_crash(struct world *w, struct swarm *s, enum fault f)
{
	struct sim_node *n = any_node(w);

	switch (f) {
	case FAULT_PROCESS_CRASH:
		if (!n->process)
			return;
		w->counts[COUNT_process_crash]++;
		process_end(w, n, true);
		world_push(w, w->now_us + rng_range(&w->rng, 1, 2 * w->options.respawn_ms) * US_PER_MS, SIM_START,
			   n->id, n->process_generation, 0, 0);
		break;
	case FAULT_HOST_CRASH:
		if (!n->up)
			return;
		w->counts[COUNT_host_crash]++;
		host_crash(w, n, "crash", true);
		break;
	case FAULT_POWER_LOSS:
		w->counts[COUNT_power_loss]++;
		for (uint32_t id = 1; id <= w->options.nodes; id++)
			host_crash(w, w->nodes[id], "power loss", true);
		break;
	case FAULT_COROSYNC_CRASH:
		if (!n->up || !n->corosync_up)
			return;
		w->counts[COUNT_corosync_crash]++;
		world_trace(w, n, "corosync crashes");
		ring_kill(w, n);
		world_push(w, w->now_us + (500 + rng_spread(&w->rng, 2000)) * US_PER_MS, SIM_COROSYNC, n->id,
			   n->host_generation, 0, 0);
		break;
	default:
		break;
	}
	(void)s;
}

/* The votes of all others are a majority of the table that `s` has. */
static bool outvoted(const struct state *s, uint32_t node)
{
	uint32_t votes = 0, all = s->cluster.witness_vote;

	for (uint32_t id = 1; id <= s->high[KIND_NODE]; id++) {
		all += state_node(s, id) && s->nodes[id].vote;
		votes += id != node && state_node(s, id) && s->nodes[id].vote;
	}
	return 2 * votes > all;
}

/*
 * A lost database is a promise broken by the disk. It is survived as long as the others hold what was acknowledged: so
 * it comes while all others are active, and nothing else happens until the node has a copy again. Each of them may be at
 * another position, and the highest that is left decides whose votes are needed: it must be outvoted in all their tables.
 */
static void fault_database(struct world *w, struct swarm *s)
{
	struct sim_node *n = any_node(w);

	if (w->options.nodes < 3 || !n->process)
		return;
	for (uint32_t id = 1; id <= w->options.nodes; id++) {
		const struct sim_node *other = w->nodes[id];

		if (!ring_current(other) || other->phase != PHASE_ACTIVE || other->component != n->component ||
		    other->disk.full || other->disk.slow || !outvoted(core_state(other->core), n->id))
			return;
	}
	w->counts[COUNT_database_lost]++;
	world_trace(w, n, "database is lost");
	process_end(w, n, true);
	disk_lose(&n->disk);
	s->fragile = n->id;
	world_push(w, w->now_us + w->options.respawn_ms * US_PER_MS, SIM_START, n->id, n->process_generation, 0, 0);
}

static void fault_disk(struct world *w, struct swarm *s, bool full)
{
	struct sim_node *n = any_node(w);

	w->counts[full ? COUNT_disk_full : COUNT_disk_slow]++;
	world_trace(w, n, full ? "disk is full" : "disk is slow");
	if (full)
		n->disk.full = true;
	else
		n->disk.slow = true;
	drive(w, lasting(w, s), DRIVE_DISK_OK, n->id);
}

static void fault_resource(struct world *w)
{
	struct sim_node *n = any_node(w);

	for (uint32_t i = 0, id = (uint32_t)rng_below(&w->rng, SIM_RESOURCES); i < SIM_RESOURCES;
	     i++, id = (id + 1) % SIM_RESOURCES) {
		struct sim_resource *r = &n->resources[id];

		if (!r->runs || r->n_ops || !r->monitored)
			continue;
		w->counts[COUNT_resource_dies]++;
		if (rng_percent(&w->rng, 60))
			r->runs = false;
		else
			r->sick = true;
		world_trace(w, n, "resource %u %s", id, r->runs ? "is sick" : "dies");
		return;
	}
}

/* A host loses its path to a volume, and the way to the owner with it. */
static void fault_volume(struct world *w, struct swarm *s)
{
	struct sim_node *n = any_node(w);
	uint32_t v = (uint32_t)rng_range(&w->rng, 1, s->load.volumes);

	if (!n->mounts[v].mounted)
		return;
	w->counts[COUNT_volume_lost]++;
	world_trace(w, n, "volume v%u is lost", v);
	n->mounts[v].broken = true;
	drive(w, lasting(w, s), DRIVE_VOLUMES_OK, n->id);
}

/* The owner of a volume accuses a node, maybe itself, of not answering. */
static void fault_silent(struct world *w)
{
	struct core_event e = { .kind = EVENT_SILENT };
	struct sim_node *n = any_node(w), *owner;
	const struct state *s;
	const struct volume *v;

	if (!node_runs(n) || n->phase != PHASE_ACTIVE)
		return;
	s = core_state(n->core);
	v = state_volume(s, 1);
	owner = v && state_role(s, v->role) && s->roles[v->role].owner ? w->nodes[s->roles[v->role].owner] : NULL;
	if (!owner || !node_runs(owner) || owner->phase != PHASE_ACTIVE)
		return;
	w->counts[COUNT_volume_silent]++;
	world_trace(w, owner, "says that n%u keeps blocks of volume v1 and does not answer", n->id);
	e.silent.node = n->id;
	e.silent.of = (struct volume_mark){ 1, v->number };
	node_step(w, owner, &e);
}

static void fault_small(struct world *w, struct swarm *s, enum fault f)
{
	struct sim_node *n = any_node(w);

	switch (f) {
	case FAULT_WALL_JUMP:
		w->counts[COUNT_wall_jump]++;
		n->wall_offset_us += ((int64_t)rng_below(&w->rng, 7200) - 3600) * 1000000;
		world_trace(w, n, "wall clock jumps");
		break;
	case FAULT_LAG:
		w->counts[COUNT_lag]++;
		n->lag_until_us = w->now_us + lasting(w, s) * US_PER_MS;
		break;
	case FAULT_AGENTS_BAD:
		w->counts[COUNT_agents_bad]++;
		w->agents_bad = true;
		world_trace(w, NULL, "agents fail now and then");
		drive(w, lasting(w, s), DRIVE_AGENTS_OK, 0);
		break;
	case FAULT_WITNESS_CUT:
		w->counts[COUNT_witness_cut]++;
		w->witness.cut |= rng_percent(&w->rng, 50) ? NODE_BIT(n->id) : ~(nodeset_t)1;
		drive(w, lasting(w, s), DRIVE_WITNESS_OK, 0);
		break;
	case FAULT_ADMIN_POWEROFF:
		if (s->off_node || !n->up)
			return;
		w->counts[COUNT_admin_poweroff]++;
		s->off_node = n->id;
		s->off_asked = false;
		s->off_since_us = w->now_us;
		n->held_off = true;
		host_crash(w, n, "switched off by an administrator", false);
		drive(w, 500, DRIVE_ADMIN, n->id);
		break;
	case FAULT_NOISE:
		if (!n->joined)
			return;
		w->counts[COUNT_noise]++;
		for (uint32_t i = (uint32_t)rng_range(&w->rng, 1, 20); i > 0; i--)
			ring_noise(w, n);
		break;
	case FAULT_FORCE:
		for (uint32_t id = 1; id <= w->options.nodes && n->phase != PHASE_NO_QUORUM; id++)
			n = w->nodes[id];
		/* One that has never been in a cluster would found its own, and stay a stranger to the others. */
		if (node_runs(n) && n->phase == PHASE_NO_QUORUM && n->tag.epoch && node_force(w, n, NULL)) {
			world_trace(w, n, "quorum is forced");
			w->relax |= 1u << CHECK_I1 | 1u << CHECK_I2;
			w->counts[COUNT_forced_quorum]++;
		}
		break;
	default:
		break;
	}
}

static void fault(struct world *w, struct swarm *s)
{
	uint32_t total = 0, f;
	uint64_t x;

	if (s->healing)
		return;
	drive(w, 1 + rng_spread(&w->rng, s->fault_mean_ms), DRIVE_FAULT, 0);
	if (s->fragile) {
		if (w->nodes[s->fragile]->phase != PHASE_ACTIVE || w->nodes[s->fragile]->disk.n)
			return;
		s->fragile = 0;
	}
	for (f = 0; f < FAULT_MAX; f++)
		total += s->weight[f];
	x = rng_below(&w->rng, total);
	for (f = 0; f < FAULT_MAX - 1 && x >= s->weight[f]; f++)
		x -= s->weight[f];
	if (!total)
		return;
	switch ((enum fault)f) {
	case FAULT_PARTITION:
	case FAULT_ISOLATE:
	case FAULT_FLAP:
		fault_net(w, s, f);
		break;
	case FAULT_PROCESS_CRASH:
	case FAULT_HOST_CRASH:
	case FAULT_POWER_LOSS:
	case FAULT_COROSYNC_CRASH:
		fault_crash(w, s, f);
		break;
	case FAULT_PROCESS_FREEZE:
	case FAULT_HOST_FREEZE:
		fault_freeze(w, s, f == FAULT_HOST_FREEZE);
		break;
	case FAULT_DISK_SLOW:
	case FAULT_DISK_FULL:
		fault_disk(w, s, f == FAULT_DISK_FULL);
		break;
	case FAULT_DATABASE_LOST:
		fault_database(w, s);
		break;
	case FAULT_RESOURCE_DIES:
		fault_resource(w);
		break;
	case FAULT_VOLUME_LOST:
		fault_volume(w, s);
		break;
	case FAULT_VOLUME_SILENT:
		fault_silent(w);
		break;
	default:
		fault_small(w, s, f);
	}
}

/* A node that is off, truly, may be confirmed as fenced; it stays off until that is answered. */
static void admin(struct world *w, struct swarm *s, uint32_t id)
{
	struct sim_node *n = w->nodes[id], *at = any_active(w);
	const struct node *seen = at ? state_node(core_state(at->core), id) : NULL;
	char name[NAME_SIZE];

	if (s->off_node != id)
		return;
	if (!s->off_asked && seen && seen->state == NODE_LOST) {
		snprintf(name, sizeof(name), "n%u", id);
		load_begin(&ops);
		load_op(&ops, VERB_NODE_FENCED, KIND_NODE, name, "", false);
		s->off_asked = true;
		node_request(w, at, ops.bytes, load_length(&ops), 0, &s->off_node);
	}
	if (s->off_node && !s->off_asked && w->now_us > s->off_since_us + 20000 * US_PER_MS)
		s->off_node = 0;
	if (s->off_node && w->now_us < s->off_since_us + 60000 * US_PER_MS && !s->healing) {
		drive(w, 500, DRIVE_ADMIN, id);
		return;
	}
	s->off_node = 0;
	n->held_off = false;
	host_boot(w, n);
}

/* ---- set-up, workload, healing ---- */

static void setup(struct world *w, struct swarm *s)
{
	struct sim_node *n = any_active(w);

	if (s->setup_done || s->healing)
		return;
	drive(w, 200, DRIVE_SETUP, 0);
	if (!n || s->load_open)
		return;
	if (!load_setup(w, &s->load, s->setup_step, &ops)) {
		s->setup_done = true;
		return;
	}
	s->load_open = true;
	if (!node_request(w, n, ops.bytes, load_length(&ops), 0, &s->load_open))
		s->load_open = false;
}

static void load(struct world *w, struct swarm *s)
{
	struct sim_node *n = any_node(w);
	uint32_t mark;

	if (s->healing)
		return;
	world_push(w, w->now_us + (1 + rng_spread(&w->rng, s->load.mean_ms)) * US_PER_MS, SIM_LOAD, 0, 0, 0, 0);
	if (!node_runs(n))
		return;
	mark = load_random(w, &s->load, &ops);
	node_request(w, n, ops.bytes, load_length(&ops), mark, NULL);
}

static void on_reply(struct world *w, struct sim_node *n, void *owner, enum refusal refusal, struct tag tag,
		     const char *detail)
{
	struct swarm *s = w->driver;

	(void)n;
	(void)tag;
	(void)detail;
	if (owner == &s->load_open) {
		s->load_open = false;
		if (refusal == REFUSED_INVALID || refusal == REFUSED_BAD_REQUEST)
			w->counts[COUNT_setup_refused]++;
		if (refusal != REFUSED_NO_QUORUM && refusal != REFUSED_BUSY && refusal != REFUSED_SYNCING &&
		    refusal != REFUSED_UNKNOWN_OUTCOME)
			s->setup_step++;
	} else if (owner == &s->off_node) {
		s->off_node = 0;
		s->off_asked = false;
		drive(w, 1, DRIVE_ADMIN, 0);
		for (uint32_t id = 1; id <= w->options.nodes; id++)
			if (w->nodes[id]->held_off) {
				s->off_node = id;
				s->off_since_us = 0;
				drive(w, 1, DRIVE_ADMIN, id);
			}
	}
}

static void heal(struct world *w, struct swarm *s)
{
	s->healing = w->healed = true;
	s->heal_us = w->now_us;
	w->agents_bad = false;
	w->witness.cut = 0;
	if (w->options.watchdog_ms && w->options.respawn_ms > w->options.watchdog_ms / 4)
		w->options.respawn_ms = w->options.watchdog_ms / 4;
	world_trace(w, NULL, "everything is healed");
	for (uint32_t id = 1; id <= w->options.nodes; id++) {
		struct sim_node *n = w->nodes[id];

		n->component = 0;
		n->held_off = false;
		n->lag_until_us = 0;
		n->disk.slow = n->disk.full = false;
		for (uint32_t v = 1; v <= SIM_VOLUMES; v++)
			n->mounts[v].broken = false;
		if (n->mounts_ending)
			world_push(w, w->now_us + US_PER_MS, SIM_MOUNTS, id, n->process_generation, 1, 0);
		node_thaw(w, n);
		if (!n->up)
			world_push(w, w->now_us + w->options.boot_ms * US_PER_MS, SIM_BOOT, id, n->host_generation, 0,
				   0);
		else if (!n->corosync_up)
			world_push(w, w->now_us + 500 * US_PER_MS, SIM_COROSYNC, id, n->host_generation, 0, 0);
		if (n->up && !n->process)
			world_push(w, w->now_us + w->options.respawn_ms * US_PER_MS, SIM_START, id,
				   n->process_generation, 0, 0);
	}
	ring_changed(w);
	drive(w, TIDY_MS, DRIVE_TIDY, 0);
	drive(w, CONVERGE_LOOK_MS, DRIVE_CONVERGE, 0);
}

static void tidy(struct world *w, struct swarm *s)
{
	struct sim_node *n = any_active(w);

	drive(w, TIDY_MS, DRIVE_TIDY, 0);
	/* Whoever left in good order while everything was healed is started by the administrator. */
	for (uint32_t id = 1; id <= w->options.nodes; id++)
		if (w->nodes[id]->left) {
			w->nodes[id]->left = false;
			world_push(w, w->now_us, SIM_START, id, w->nodes[id]->process_generation, 0, 0);
		}
	if (n && load_tidy(w, core_state(n->core), &ops))
		node_request(w, n, ops.bytes, load_length(&ops), 0, NULL);
	(void)s;
}

static void converge(struct world *w, struct swarm *s)
{
	char text[512];
	const char *missing = check_converged(w, text, sizeof(text));

	s->calm = missing ? 0 : s->calm + 1;
	if (s->calm == CALM_LOOKS) {
		s->converge_us = w->now_us;
		return;
	}
	if (missing && w->now_us > s->heal_us + (uint64_t)CONVERGE_LIMIT_MS * US_PER_MS) {
		check_fail(w, VERDICT_LIVENESS, "I14", "%u s after everything was healed: %s", CONVERGE_LIMIT_MS / 1000,
			   missing);
		return;
	}
	drive(w, CONVERGE_LOOK_MS, DRIVE_CONVERGE, 0);
}

static void net_heal(struct world *w)
{
	world_trace(w, NULL, "network is whole");
	for (uint32_t id = 1; id <= w->options.nodes; id++)
		w->nodes[id]->component = 0;
	ring_changed(w);
}

static void on_driver(struct world *w, const struct event_record *e)
{
	struct swarm *s = w->driver;

	if (e->kind == SIM_LOAD) {
		load(w, s);
		return;
	}
	switch ((enum driver)e->a) {
	case DRIVE_BOOT:
		host_boot(w, w->nodes[e->b]);
		break;
	case DRIVE_SETUP:
		setup(w, s);
		break;
	case DRIVE_FAULT:
		fault(w, s);
		break;
	case DRIVE_NET_HEAL:
		net_heal(w);
		break;
	case DRIVE_DISK_OK:
		w->nodes[e->b]->disk.slow = w->nodes[e->b]->disk.full = false;
		break;
	case DRIVE_AGENTS_OK:
		w->agents_bad = false;
		break;
	case DRIVE_WITNESS_OK:
		w->witness.cut = 0;
		break;
	case DRIVE_VOLUMES_OK:
		for (uint32_t v = 1; v <= SIM_VOLUMES; v++)
			w->nodes[e->b]->mounts[v].broken = false;
		break;
	case DRIVE_ADMIN:
		if (e->b)
			admin(w, s, (uint32_t)e->b);
		break;
	case DRIVE_HEAL:
		heal(w, s);
		break;
	case DRIVE_CONVERGE:
		converge(w, s);
		break;
	case DRIVE_TIDY:
		tidy(w, s);
		break;
	}
}

void swarm_run(uint64_t seed, const struct swarm_limits *limits, struct swarm_result *ret)
{
	static struct world w;
	static struct swarm s;
	uint64_t begin;

	swarm_draw(&s, seed, limits->nodes);
	world_init(&w, &s.world, seed);
	w.trace = limits->trace;
	w.trace_user = limits->trace_user;
	w.trace_all = limits->trace_all;
	w.on_driver = on_driver;
	w.on_reply = on_reply;
	w.driver = &s;
	if (s.world.force)
		w.relax |= 1u << CHECK_I10 | 1u << CHECK_I15 | 1u << CHECK_QUORUM;
	begin = w.now_us;
	for (uint32_t id = 1; id <= s.world.nodes; id++)
		drive(&w, rng_below(&w.rng, rng_percent(&w.rng, 80) ? 500 : 5000), DRIVE_BOOT, id);
	drive(&w, 300, DRIVE_SETUP, 0);
	drive(&w, s.dirty_start ? 0 : SETUP_LIMIT_MS, DRIVE_FAULT, 0);
	drive(&w, SETUP_LIMIT_MS + s.fault_ms, DRIVE_HEAL, 0);
	world_push(&w, w.now_us + 5000 * US_PER_MS, SIM_LOAD, 0, 0, 0, 0);
	world_push(&w, w.now_us, SIM_CHECK, 0, 0, 0, 0);
	while (!w.verdict && !s.converge_us)
		world_run(&w, w.now_us + 1000 * US_PER_MS);
	ret->verdict = w.verdict;
	ret->invariant = w.invariant ? w.invariant : "";
	memcpy(ret->failure, w.failure, sizeof(ret->failure));
	ret->hash = w.hash;
	ret->simulated_us = w.now_us - begin;
	memcpy(ret->counts, w.counts, sizeof(ret->counts));
	world_done(&w);
}
