/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The invariants, held against what really happens in the world: a resource runs from the moment its start is asked for
 * until a stop that succeeded, a probe that found nothing, or the end of its host; never because somebody says so.
 */
#include <inttypes.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "clusterd/core/place.h"
#include "clusterd/core/reason.h"
#include "clusterd/core/timetable.h"
#include "tests/sim/world.h"

#define DIGEST_EVERY 4096	/* steps between two recomputations of a digest */
#define ANSWER_LIMIT_MS 120000	/* a request is answered within this while disks work */
#define DEFAULT_T_STOP_MS 30000 /* objects.def */
#define STOP_SLACK_MS 1500	/* I3: ticks, clocks, the last pet */

void check_fail(struct world *w, enum verdict verdict, const char *invariant, const char *format, ...)
{
	va_list ap;

	if (w->verdict)
		return;
	w->verdict = verdict;
	w->invariant = invariant;
	va_start(ap, format);
	vsnprintf(w->failure, sizeof(w->failure), format, ap);
	va_end(ap);
	if (w->trace)
		world_trace(w, NULL, "*** %s: %s", invariant, w->failure);
}

static bool off(const struct world *w, enum check check)
{
	return w->relax >> check & 1;
}

/* ---- positions and epochs: I10, I15 ---- */

static struct epoch *epoch_of(struct world *w, uint64_t number, bool make)
{
	for (uint32_t i = w->n_epochs; i-- > 0;)
		if (w->epochs[i].number == number)
			return &w->epochs[i];
	if (!make || w->n_epochs == SIM_EPOCHS)
		return NULL;
	w->epochs[w->n_epochs] = (struct epoch){ .number = number };
	return &w->epochs[w->n_epochs++];
}

static void check_digest(struct world *w, const struct sim_node *n, struct tag tag, uint64_t digest)
{
	struct epoch *e = epoch_of(w, tag.epoch, true);

	if (!e || tag.seq >= SIM_EPOCH_POSITIONS) {
		check_fail(w, VERDICT_SAFETY, "bounds", "n%u is at %" PRIu64 ".%" PRIu64, n->id, tag.epoch, tag.seq);
		return;
	}
	if (tag.seq >= e->size) {
		uint32_t size = e->size ? 2 * e->size : 64;

		while (size <= tag.seq)
			size *= 2;
		e->digests = realloc(e->digests, size * sizeof(*e->digests));
		if (!e->digests)
			abort();
		memset(e->digests + e->size, 0, (size - e->size) * sizeof(*e->digests));
		e->size = size;
	}
	if (!e->digests[tag.seq])
		e->digests[tag.seq] = digest | 1;
	else if (e->digests[tag.seq] != (digest | 1) && !off(w, CHECK_I10))
		check_fail(w, VERDICT_SAFETY, "I10",
			   "n%u at %" PRIu64 ".%" PRIu64 " has digest %016" PRIx64 ", another node had %016" PRIx64,
			   n->id, tag.epoch, tag.seq, digest, e->digests[tag.seq]);
}

/* Does the history that ends in `end` contain `what`? */
static bool contains(struct world *w, struct tag end, struct tag what)
{
	for (uint32_t i = 0; i <= w->n_epochs; i++) {
		const struct epoch *e;

		if (end.epoch == what.epoch)
			return end.seq >= what.seq;
		if (end.epoch < what.epoch)
			return false;
		e = epoch_of(w, end.epoch, false);
		if (!e || !e->opened)
			return false;
		end = e->base;
	}
	return false;
}

/* An epoch stands on the highest position among those of its view; who was behind has taken a copy of it. */
static struct tag base_of(struct world *w, struct tag tag, uint64_t view)
{
	struct tag base = { 0, 0 };

	for (uint32_t id = 1; id <= w->options.nodes; id++) {
		const struct sim_node *n = w->nodes[id];

		if (n->view == view && n->tag.epoch < tag.epoch && tag_compare(n->tag, base) > 0)
			base = n->tag;
	}
	return base;
}

static void check_opened(struct world *w, const struct sim_node *n, struct tag tag, uint64_t view)
{
	struct epoch *e = epoch_of(w, tag.epoch, true);
	struct tag base;

	if (!e)
		return;
	base = base_of(w, tag, view);
	if (!e->opened) {
		e->opened = true;
		e->base = base;
		e->view = view;
		w->counts[COUNT_epochs]++;
		if (!off(w, CHECK_I15) && !contains(w, base, w->acknowledged))
			check_fail(w, VERDICT_SAFETY, "I15",
				   "n%u opens epoch %" PRIu64 " on %" PRIu64 ".%" PRIu64
				   ", which lacks the acknowledged %" PRIu64 ".%" PRIu64,
				   n->id, tag.epoch, base.epoch, base.seq, w->acknowledged.epoch, w->acknowledged.seq);
		return;
	}
	if (e->view != view && !off(w, CHECK_QUORUM))
		check_fail(w, VERDICT_SAFETY, "quorum",
			   "epoch %" PRIu64 " is opened twice: in view %" PRIx64 ", and by n%u in view %" PRIx64,
			   tag.epoch, e->view, n->id, view);
}

static void check_marks(struct world *w, const struct sim_node *n)
{
	const struct state *s = core_state(n->core);

	if (off(w, CHECK_I15))
		return;
	for (uint32_t i = 0; i < w->n_marks; i++) {
		char name[NAME_SIZE];

		snprintf(name, sizeof(name), "mark-%u", w->marks[i].number);
		if (tag_compare(w->marks[i].tag, s->tag) > 0 || state_find(s, KIND_SET, name))
			continue;
		check_fail(w, VERDICT_SAFETY, "I15",
			   "n%u becomes active at %" PRIu64 ".%" PRIu64 " without the acknowledged %s", n->id,
			   s->tag.epoch, s->tag.seq, name);
		return;
	}
}

/* ---- one quorum at a time ---- */

static void check_alone(struct world *w, const struct sim_node *n)
{
	if (off(w, CHECK_QUORUM) || n->phase != PHASE_ACTIVE || !ring_current(n))
		return;
	for (uint32_t id = 1; id <= w->options.nodes; id++) {
		const struct sim_node *other = w->nodes[id];

		if (other->phase == PHASE_ACTIVE && other->ring != n->ring && ring_current(other))
			check_fail(w, VERDICT_SAFETY, "quorum", "n%u and n%u are active in different rings", n->id, id);
	}
}

/* ---- placements: I13 ---- */

static const char *scope_text(const struct node *node, uint32_t scope)
{
	return scope == SCOPE_SITE ? node->site : scope == SCOPE_FAULT_DOMAIN ? node->fault_domain : node->name;
}

static bool same_scope(const struct state *s, uint32_t scope, uint32_t a, uint32_t b)
{
	const char *left = scope_text(&s->nodes[a], scope), *right = scope_text(&s->nodes[b], scope);

	return a == b || (*left && !strcmp(left, right));
}

static uint32_t going_to(const struct role *r)
{
	return r->target ? r->target : r->owner;
}

/* One that has no node yet waits for one of lower priority that was asked to make room. */
static bool waits_for(const struct role *role, const struct role *other)
{
	return !role->owner && other->preempted && other->priority < role->priority;
}

static bool breaks_rule(const struct state *s, uint32_t role, uint32_t node, const char **ret_rule)
{
	static char what[4 * NAME_SIZE];

	for (uint32_t id = 1; id <= s->high[KIND_RULE]; id++) {
		const struct rule *rule = state_rule(s, id);
		bool mine = false, bad = false;

		if (!rule || !rule->hard)
			continue;
		for (uint32_t i = 0; i < ROLELIST_MAX && rule->roles[i]; i++) {
			const struct role *other = state_role(s, rule->roles[i]);
			uint32_t at = other ? going_to(other) : 0;

			mine |= rule->roles[i] == role;
			if (rule->roles[i] == role || !at || !state_node(s, at))
				continue;
			/* A companion that cannot stay where it is binds nobody. */
			if (rule->kind == RULE_AFFINITY &&
			    (s->nodes[at].state != NODE_ONLINE || s->nodes[at].fence_asked ||
			     s->nodes[at].admin >= ADMIN_DRAINING || other->state == ROLE_STOPPING))
				continue;
			if (same_scope(s, rule->scope, at, node) != (rule->kind == RULE_ANTI_AFFINITY))
				continue;
			if (rule->kind == RULE_ANTI_AFFINITY &&
			    (waits_for(&s->roles[role], other) || waits_for(other, &s->roles[role])))
				continue;
			bad = true;
			snprintf(what, sizeof(what), "%s: %s is %s, owner %u, target %u", rule->name, other->name,
				 enum_text(enum_values_role_state, other->state), other->owner, other->target);
		}
		if (!mine || !bad)
			continue;
		*ret_rule = what;
		return true;
	}
	return false;
}

/* Who needs nothing of a thing does not make its shortage worse. */
static bool over_capacity(const struct state *s, const struct role *role, uint32_t node)
{
	const struct node *n = &s->nodes[node];
	uint64_t cpu = 0, memory = 0, cpu_max = n->cpu ? n->cpu : n->cpu_declared;
	uint64_t memory_max = n->memory_mb ? n->memory_mb : n->memory_declared_mb;

	for (uint32_t id = 1; id <= s->high[KIND_ROLE]; id++) {
		const struct role *r = state_role(s, id);

		/* Those that are there; one on its way may still wait for others to make room. */
		if (r && r->owner == node) {
			cpu += r->cpu;
			memory += r->memory_mb;
		}
	}
	return (role->cpu && cpu_max && cpu > cpu_max) || (role->memory_mb && memory_max && memory > memory_max);
}

static bool takes_roles(const struct state *s, uint32_t node)
{
	return state_node(s, node) && s->nodes[node].state == NODE_ONLINE && s->nodes[node].admin == ADMIN_UP &&
	       s->nodes[node].quarantine_until_ms <= s->cluster.now_ms;
}

/* Quarantine speaks as long as another node takes roles. */
static bool quarantined(const struct state *s, uint32_t node)
{
	for (uint32_t other = 1; other <= NODE_MAX; other++)
		if (takes_roles(s, other))
			return s->nodes[node].quarantine_until_ms > s->cluster.now_ms;
	return false;
}

/* Name of a volume that the role needs and the node has not, by what the nodes have told. */
static const char *lacks_volume(const struct state *s, const struct role *r, uint32_t node)
{
	for (uint32_t i = 0; i < VOLUMELIST_MAX && r->volumes[i]; i++)
		if (!volume_set_has(&s->nodes[node].volumes_up, r->volumes[i]))
			return state_name(s, KIND_VOLUME, r->volumes[i]);
	return NULL;
}

/*
 * Nobody runs where a volume he needs can neither be used nor is about to have a new owner; nobody has a volume taken from
 * under him.
 */
static void check_volumes(struct world *w, const struct state *s, const struct role *r)
{
	const struct node *n = r->owner ? state_node(s, r->owner) : NULL;

	if (!n || n->state != NODE_ONLINE || (r->state != ROLE_ONLINE && r->state != ROLE_STARTING) || s->cluster.disarmed ||
	    s->cluster.maintenance || r->maintenance || n->maintenance)
		return;
	if (lacks_volume(s, r, r->owner))
		check_fail(w, VERDICT_SAFETY, "volume", "role %s is %s on %s, which cannot use its volume %s", r->name,
			   enum_text(enum_values_role_state, r->state), n->name, lacks_volume(s, r, r->owner));
	for (uint32_t i = 0; i < VOLUMELIST_MAX && r->volumes[i]; i++) {
		const struct role *owner = &s->roles[s->volumes[r->volumes[i]].role];

		if (!owner->want)
			check_fail(w, VERDICT_SAFETY, "volume", "role %s is %s on %s although %s is to be offline", r->name,
				   enum_text(enum_values_role_state, r->state), n->name, owner->name);
	}
}

/* An ownership that ends for good ends when nobody that stops uses it any more. */
static void check_owner_stop(struct world *w, const struct state *s, const struct role *owner)
{
	uint32_t volume = 0;

	if (owner->want || owner->target || owner->state == ROLE_FAILED)
		return;
	for (uint32_t id = 1; id <= s->high[KIND_VOLUME]; id++)
		if (state_volume(s, id) && s->volumes[id].role == owner->object.id)
			volume = id;
	for (uint32_t id = 1; volume && id <= s->high[KIND_ROLE]; id++) {
		const struct role *r = state_role(s, id);
		bool uses = false, runs = false;

		for (uint32_t i = 0; r && i < VOLUMELIST_MAX && r->volumes[i]; i++)
			uses |= r->volumes[i] == volume;
		if (!uses || !r->owner || s->nodes[r->owner].state != NODE_ONLINE || r->maintenance ||
		    s->nodes[r->owner].maintenance)
			continue;
		for (uint32_t i = s->role_resource[id]; i; i = s->resource_next[i])
			runs |= s->resources[i].state != RES_STOPPED;
		if (runs)
			check_fail(w, VERDICT_SAFETY, "volume", "%s is stopped while %s runs on %s", owner->name, r->name,
				   s->nodes[r->owner].name);
	}
}

static void check_placement(struct world *w, const struct state *s, uint32_t role, uint32_t node)
{
	const struct role *r = &s->roles[role];
	const struct node *n = state_node(s, node);
	const char *rule = "";

	w->counts[COUNT_placements_checked]++;
	if (!n || n->state != NODE_ONLINE)
		check_fail(w, VERDICT_SAFETY, "I13", "role %s is placed on n%u, which is not online", r->name, node);
	else if (r->possible && !nodeset_has(r->possible, node))
		check_fail(w, VERDICT_SAFETY, "I13", "role %s is placed on n%u, which is no possible owner", r->name,
			   node);
	else if (n->admin != ADMIN_UP)
		check_fail(w, VERDICT_SAFETY, "I13", "role %s is placed on n%u, which is paused", r->name, node);
	else if (quarantined(s, node))
		check_fail(w, VERDICT_SAFETY, "I13", "role %s is placed on n%u, which is quarantined", r->name, node);
	else if (r->owner == node && over_capacity(s, r, node))
		check_fail(w, VERDICT_SAFETY, "I13",
			   "role %s (owner %u, target %u, reason %u) is placed on n%u, which is too small for it",
			   r->name, r->owner, r->target, r->reason, node);
	else if (lacks_volume(s, r, node) && !off(w, CHECK_VOLUME))
		check_fail(w, VERDICT_SAFETY, "volume", "role %s is placed on n%u, which cannot use its volume %s", r->name,
			   node, lacks_volume(s, r, node));
	else if (breaks_rule(s, role, node, &rule))
		check_fail(w, VERDICT_SAFETY, "I13", "role %s is placed on n%u, which breaks rule %s", r->name, node,
			   rule);
}

/* Who goes where with this position; judged once, where it is first reached by applying it. */
static void check_roles(struct world *w, struct sim_node *n, const struct state *s, bool judge)
{
	for (uint32_t id = 1; id <= s->high[KIND_ROLE] && id < SIM_ROLES; id++) {
		const struct role *r = state_role(s, id);
		uint8_t owner = r ? (uint8_t)r->owner : 0, target = r ? (uint8_t)r->target : 0;
		uint8_t to = target && target != n->targets[id] ? target : owner && owner != n->owners[id] ? owner : 0;

		if (world_tracing(w) && judge && r &&
		    (r->state != n->role_states[id] || owner != n->owners[id] || target != n->targets[id]))
			world_trace(w, NULL, "role %s is %s, owner %s, target %s: %s", r->name,
				    enum_text(enum_values_role_state, r->state), owner ? s->nodes[owner].name : "none",
				    target ? s->nodes[target].name : "none", reason_name(r->reason));
		n->role_states[id] = r ? (uint8_t)r->state : 0;
		if (judge && to && r->reason != REASON_FOUND_RUNNING) {
			w->counts[COUNT_placements]++;
			if (n->owners[id] && to != n->owners[id])
				w->counts[COUNT_failovers]++;
			if (r->volumes[0])
				w->counts[COUNT_placements_on_volumes]++;
			if (!off(w, CHECK_I13))
				check_placement(w, s, id, to);
		}
		if (judge && r && r->volumes[0] && !off(w, CHECK_VOLUME))
			check_volumes(w, s, r);
		if (r && r->kind == ROLE_OF_VOLUME && s->role_resource[id]) {
			const struct resource *res = &s->resources[s->role_resource[id]];

			if (judge && res->op != n->owner_ops[id] && res->op_action == AGENT_STOP && !off(w, CHECK_VOLUME))
				check_owner_stop(w, s, r);
			n->owner_ops[id] = res->op;
		}
		n->owners[id] = owner;
		n->targets[id] = target;
	}
}

/* ---- after every step ---- */

static void note_phase(struct world *w, struct sim_node *n, const struct core_status *status, struct tag tag)
{
	if (n->phase != PHASE_ACTIVE && status->phase == PHASE_ACTIVE) {
		w->counts[COUNT_activations]++;
		check_opened(w, n, tag, status->view);
		check_marks(w, n);
	}
	if (status->phase == PHASE_NO_QUORUM && n->phase != PHASE_NO_QUORUM)
		w->counts[COUNT_no_quorum_spells]++;
	if (n->phase != status->phase) {
		static const char *const names[] = { "alone", "sync", "loading", "active", "no quorum" };

		n->phase_since_us = w->now_us;
		world_trace(w, n, "phase %s, position %" PRIu64 ".%" PRIu64, names[status->phase], tag.epoch, tag.seq);
	}
}

/* As state_digest_recompute(), but of the ids in use alone: that one looks at every slot there is. */
static uint64_t digest_of(const struct state *s)
{
	uint64_t sum = 0;

	for (uint32_t kind = KIND_CLUSTER; kind <= KIND_LAST; kind++)
		for (uint32_t id = 1; id <= s->high[kind]; id++)
			if (state_get(s, kind, id))
				sum += object_hash(object_type(kind), state_get(s, kind, id));
	return sum;
}

void check_step(struct world *w, struct sim_node *n, const struct core_event *e)
{
	const struct state *s = core_state(n->core);
	struct tag tag = s->tag, was = n->tag;
	struct core_status status;

	if (n->actions > SIM_ACTIONS_MAX)
		check_fail(w, VERDICT_SAFETY, "bounds", "n%u: %u actions in one step", n->id, n->actions);
	core_status(n->core, e->mono_ms, &status);
	n->view = status.view;
	if (status.phase != n->phase)
		note_phase(w, n, &status, tag);
	n->phase = status.phase;
	n->quorate = status.quorate;
	n->t_stop_ms = s->cluster.object.used ? s->cluster.t_stop_ms : DEFAULT_T_STOP_MS;
	n->guarded = s->cluster.object.used && !nodeset_has(w->options.no_watchdog, n->id) &&
		     timetable_holds(&s->cluster, w->options.watchdog_ms);
	w->disarmed_seen |= s->cluster.disarmed != 0;
	world_mix(w, s->digest);
	if (tag_compare(tag, was) || s->digest != n->digest) {
		bool next = tag.epoch == was.epoch && tag.seq == was.seq + 1;

		if (status.phase != PHASE_LOADING)
			check_digest(w, n, tag, s->digest);
		check_roles(w, n, s, next && tag_compare(tag, w->newest) > 0);
		if (tag_compare(tag, w->newest) > 0)
			w->newest = tag;
		n->tag = tag;
		n->digest = s->digest;
	}
	if (status.phase == PHASE_ACTIVE && status.quorate && ring_current(n))
		n->covered_us = w->now_us;
	check_alone(w, n);
	if (w->counts[COUNT_steps] % DIGEST_EVERY == 0 && digest_of(s) != s->digest)
		check_fail(w, VERDICT_SAFETY, "I10",
			   "n%u at %" PRIu64 ".%" PRIu64 ": the digest kept is not that of the objects", n->id,
			   tag.epoch, tag.seq);
}

void check_process_start(struct world *w, struct sim_node *n)
{
	const struct state *s = core_state(n->core);

	n->phase = PHASE_ALONE;
	n->tag = s->tag;
	n->digest = s->digest;
	n->quorate = false;
	memset(n->owners, 0, sizeof(n->owners));
	memset(n->targets, 0, sizeof(n->targets));
	check_roles(w, n, s, false);
}

/* ---- actions: I1, I2, I11, I12 ---- */

void check_start(struct world *w, struct sim_node *n, uint32_t resource, uint32_t role)
{
	struct core_status status;

	core_status(n->core, node_mono_ms(w, n), &status);
	if ((status.phase != PHASE_ACTIVE || !status.quorate) && !off(w, CHECK_I11))
		check_fail(w, VERDICT_SAFETY, "I11", "n%u starts resource %u although its view is not quorate", n->id,
			   resource);
	for (uint32_t id = 1; id <= w->options.nodes; id++) {
		const struct sim_node *other = w->nodes[id];
		bool lost = !nodeset_has(status.members, id);

		for (uint32_t i = 1; i < SIM_RESOURCES && id != n->id; i++) {
			const struct sim_resource *r = &other->resources[i];

			if (!r->may_run || (i != resource && r->role != role))
				continue;
			if (lost && !off(w, CHECK_I2))
				check_fail(w, VERDICT_SAFETY, "I2",
					   "n%u starts resource %u, but resource %u of that role may still run on the "
					   "lost n%u",
					   n->id, resource, i, id);
			else if (!lost && !off(w, CHECK_I1))
				check_fail(w, VERDICT_SAFETY, "I1",
					   "n%u starts resource %u, but resource %u of that role runs on n%u", n->id,
					   resource, i, id);
			return;
		}
	}
}

void check_reply(struct world *w, struct sim_node *n, uint64_t id, enum refusal refusal, struct tag tag)
{
	struct core_status status;
	bool known = false, force = false;

	for (uint32_t i = 0; i < SIM_PENDING; i++) {
		bool this = n->pending[i].used && n->pending[i].id == id;

		known |= this;
		force |= this && n->pending[i].force;
	}
	if (!known && !off(w, CHECK_I12))
		check_fail(w, VERDICT_SAFETY, "I12", "n%u answers request %" PRIu64 ", which is not open", n->id, id);
	/* That quorum is forced is said before the forced view is active. */
	if (refusal != REFUSED_NOT || force)
		return;
	core_status(n->core, node_mono_ms(w, n), &status);
	if ((status.phase != PHASE_ACTIVE || !status.quorate) && !off(w, CHECK_I11))
		check_fail(w, VERDICT_SAFETY, "I11",
			   "n%u acknowledges request %" PRIu64 " although its view is not quorate", n->id, id);
	if (tag_compare(tag, w->acknowledged) > 0)
		w->acknowledged = tag;
}

void check_left(struct world *w, struct sim_node *n)
{
	for (uint32_t id = 1; id < SIM_RESOURCES; id++)
		if (n->resources[id].may_run)
			check_fail(w, VERDICT_SAFETY, "leave", "n%u leaves although resource %u may still run on it",
				   n->id, id);
	if (mounts_count(n))
		check_fail(w, VERDICT_SAFETY, "leave", "n%u leaves although a volume is mounted on it", n->id);
}

/* ---- from time to time: I3, I12 ---- */

static void check_isolated(struct world *w, const struct sim_node *n)
{
	uint64_t limit = n->t_stop_ms + w->options.detect_max_ms + w->options.view_skew_ms + STOP_SLACK_MS;

	if (off(w, CHECK_I3) || w->disarmed_seen || !n->up || !n->guarded ||
	    w->now_us < n->covered_us + limit * US_PER_MS)
		return;
	for (uint32_t id = 1; id < SIM_RESOURCES; id++) {
		if (!n->resources[id].runs)
			continue;
		check_fail(w, VERDICT_SAFETY, "I3",
			   "n%u has been without quorum for %" PRIu64 " ms and resource %u still runs (T_stop %u ms)",
			   n->id, (w->now_us - n->covered_us) / US_PER_MS, id, n->t_stop_ms);
		return;
	}
	if (mounts_count(n))
		check_fail(w, VERDICT_SAFETY, "I3",
			   "n%u has been without quorum for %" PRIu64 " ms and a volume is still mounted (T_stop %u ms)", n->id,
			   (w->now_us - n->covered_us) / US_PER_MS, n->t_stop_ms);
}

static bool disk_trouble(const struct world *w)
{
	for (uint32_t id = 1; id <= w->options.nodes; id++)
		if (w->nodes[id]->disk.slow || w->nodes[id]->disk.full)
			return true;
	return false;
}

static void check_pending(struct world *w, struct sim_node *n)
{
	if (off(w, CHECK_I12) || !node_runs(n) || disk_trouble(w))
		return;
	for (uint32_t i = 0; i < SIM_PENDING; i++)
		if (n->pending[i].used && n->pending[i].at_us + (uint64_t)ANSWER_LIMIT_MS * US_PER_MS < w->now_us)
			check_fail(w, VERDICT_LIVENESS, "I12", "n%u has not answered request %" PRIu64 " for %u s",
				   n->id, n->pending[i].id, ANSWER_LIMIT_MS / 1000);
}

void check_periodic(struct world *w)
{
	for (uint32_t id = 1; id <= w->options.nodes; id++) {
		struct sim_node *n = w->nodes[id];

		if (n->phase == PHASE_ACTIVE && n->quorate && node_runs(n) && ring_current(n))
			n->covered_us = w->now_us;
		if (!n->up)
			n->covered_us = w->now_us;
		check_isolated(w, n);
		check_pending(w, n);
	}
}

/* ---- convergence: I14 ---- */

static bool set_waits(const struct state *s, uint32_t role)
{
	for (uint32_t id = 1; id <= s->high[KIND_SET]; id++) {
		const struct set *set = state_set(s, id);

		for (uint32_t i = 0; set && i < ROLELIST_MAX && set->roles[i]; i++)
			if (set->roles[i] == role && set->after[0])
				return true;
	}
	return false;
}

static bool may_fit(const struct world *w, const struct state *s, uint32_t role)
{
	struct place_request request = { .preempt = false };
	struct placement placement;

	(void)w;
	/* Only its lazily built index of rules is written. */
	place_role((struct state *)(uintptr_t)s, role, &request, &placement, NULL);
	return placement.node != 0;
}

static const char *role_missing(struct world *w, const struct state *s, uint32_t id, char *out, size_t size)
{
	const struct role *r = state_role(s, id);
	int at;

	if (!r || r->maintenance || s->cluster.maintenance)
		return NULL;
	if (!r->want || r->priority == PRIORITY_NO_AUTOSTART) {
		if (r->want || r->state == ROLE_OFFLINE || r->state == ROLE_FAILED)
			return NULL;
		snprintf(out, size, "role %s should be offline and is in state %u", r->name, r->state);
		return out;
	}
	if (r->state == ROLE_ONLINE)
		return NULL;
	if (r->state == ROLE_PENDING && (set_waits(s, id) || !may_fit(w, s, id)))
		return NULL;
	at = snprintf(out, size, "role %s should be online and is in state %s, reason %u, owner %u target %u;", r->name,
		      enum_text(enum_values_role_state, r->state), r->reason, r->owner, r->target);
	for (uint32_t i = 1; i <= s->high[KIND_RESOURCE] && (size_t)at < size; i++) {
		const struct resource *res = state_resource(s, i);

		if (res && res->role == id)
			at += snprintf(out + at, size - (size_t)at, " %s %s%s%s", res->name,
				       enum_text(enum_values_resource_state, res->state),
				       res->op ? ", in flight: " : "",
				       res->op ? enum_text(enum_values_agent_action, res->op_action) : "");
	}
	return out;
}

/* What the world says about an online role. */
static const char *role_truth(struct world *w, const struct state *s, uint32_t id, char *out, size_t size)
{
	const struct role *r = state_role(s, id);

	for (uint32_t i = 1; r && i <= s->high[KIND_RESOURCE] && i < SIM_RESOURCES; i++) {
		const struct resource *res = state_resource(s, i);

		if (!res || res->role != id || s->cluster.maintenance || r->maintenance)
			continue;
		for (uint32_t n = 1; n <= w->options.nodes; n++) {
			bool here = r->state == ROLE_ONLINE && r->owner == n && res->state == RES_STARTED;
			const struct sim_resource *truth = &w->nodes[n]->resources[i];

			if (here && !truth->runs && res->monitor_interval_ms && res->on_fail != ON_FAIL_IGNORE &&
			    !s->nodes[n].maintenance) {
				snprintf(out, size, "resource %s is online on n%u and does not run there", res->name,
					 n);
				return out;
			}
			if (!here && truth->may_run &&
			    (r->state == ROLE_ONLINE ? r->owner != n : r->state == ROLE_OFFLINE)) {
				snprintf(out, size, "resource %s may run on n%u, where it should not", res->name, n);
				return out;
			}
		}
	}
	return NULL;
}

/* What it needs is mounted in truth. */
static const char *volumes_truth(const struct world *w, const struct state *s, uint32_t id, char *out, size_t size)
{
	const struct role *r = state_role(s, id);

	for (uint32_t i = 0; r && r->state == ROLE_ONLINE && i < VOLUMELIST_MAX && r->volumes[i]; i++) {
		const struct sim_mount *m = &w->nodes[r->owner]->mounts[r->volumes[i]];

		if (m->mounted && m->up && m->number == s->volumes[r->volumes[i]].number)
			continue;
		snprintf(out, size, "role %s is online on n%u, where its volume %s is of no use", r->name, r->owner,
			 state_name(s, KIND_VOLUME, r->volumes[i]));
		return out;
	}
	return NULL;
}

const char *check_converged(struct world *w, char *out, size_t size)
{
	const struct sim_node *first = w->nodes[1];
	const struct state *s;

	for (uint32_t id = 1; id <= w->options.nodes; id++) {
		const struct sim_node *n = w->nodes[id];

		if (!node_runs(n) || n->phase != PHASE_ACTIVE) {
			snprintf(out, size, "n%u is not active (phase %d)", id, (int)n->phase);
			return out;
		}
		if (n->view != first->view || tag_compare(n->tag, first->tag) || n->digest != first->digest) {
			snprintf(out, size,
				 "n%u is at %" PRIu64 ".%" PRIu64 " in view %" PRIx64 ", n1 at %" PRIu64 ".%" PRIu64
				 " in view %" PRIx64,
				 id, n->tag.epoch, n->tag.seq, n->view, first->tag.epoch, first->tag.seq, first->view);
			return out;
		}
		for (uint32_t i = 0; i < SIM_PENDING; i++)
			if (n->pending[i].used) {
				snprintf(out, size, "request %" PRIu64 " on n%u is not answered", n->pending[i].id, id);
				return out;
			}
	}
	s = core_state(first->core);
	for (uint32_t id = 1; id <= w->options.nodes; id++)
		if (!state_node(s, id) || s->nodes[id].state != NODE_ONLINE) {
			snprintf(out, size, "node %u is not online", id);
			return out;
		}
	for (uint32_t id = 1; id <= s->high[KIND_ROLE]; id++) {
		const char *missing = role_missing(w, s, id, out, size);

		if (!missing)
			missing = role_truth(w, s, id, out, size);
		if (!missing)
			missing = volumes_truth(w, s, id, out, size);
		if (missing)
			return missing;
	}
	return NULL;
}
