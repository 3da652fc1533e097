/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The world's clock and queue, hosts and processes, and what a core's actions do. */
#include "tests/sim/world.h"

#include <assert.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

/* Nodes and their arenas are kept from one world to the next: only what was touched costs time. */
static struct sim_node *spare[NODE_MAX + 1];

static size_t arena_size(void)
{
	return (core_size() + 4095) & ~(size_t)4095;
}

static struct sim_node *node_new(struct world *w, uint32_t id)
{
	struct sim_node *n = spare[id];

	if (!n) {
		n = calloc(1, sizeof(*n));
		assert(n);
		n->arena = mmap(NULL, arena_size(), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE,
				-1, 0);
		assert(n->arena != MAP_FAILED);
		disk_init(&n->disk);
	}
	spare[id] = NULL;
	n->id = id;
	n->mono_offset_us = (int64_t)rng_range(&w->rng, 1000000, 1000000000);
	n->wall_offset_us = (int64_t)(1700000000000000u + rng_below(&w->rng, 2000000));
	n->drift_ppm = (int32_t)rng_below(&w->rng, 2 * w->options.drift_ppm + 1) - (int32_t)w->options.drift_ppm;
	return n;
}

static void node_recycle(struct sim_node *n)
{
	struct disk disk = n->disk;
	struct item_queue out, inbox;
	struct event_record *deferred = n->deferred;
	uint32_t deferred_size = n->deferred_size, id = n->id;
	void *arena = n->arena;

	ring_drop(n);
	out = n->out;
	inbox = n->inbox;
	madvise(arena, arena_size(), MADV_DONTNEED);
	memset(n, 0, sizeof(*n));
	n->disk = disk;
	disk_lose(&n->disk);
	n->out.items = out.items;
	n->out.size = out.size;
	n->inbox.items = inbox.items;
	n->inbox.size = inbox.size;
	n->deferred = deferred;
	n->deferred_size = deferred_size;
	n->arena = arena;
	spare[id] = n;
}

void world_init(struct world *w, const struct world_options *options, uint64_t seed)
{
	struct event_record *heap = w->heap;
	uint32_t heap_size = w->heap_size;

	for (uint32_t i = 0; i < w->n_epochs; i++)
		free(w->epochs[i].digests);
	memset(w, 0, sizeof(*w));
	w->heap = heap;
	w->heap_size = heap_size;
	w->options = *options;
	w->seed = seed;
	w->rng.middle = options->exact;
	w->rng.state = seed * 0x2545f4914f6cdd1du + 0x1234567;
	w->now_us = 1000000;
	w->next_uid = w->next_pid = w->next_boot = w->next_request = w->next_mark = 1;
	for (uint32_t id = 1; id <= options->nodes; id++)
		w->nodes[id] = node_new(w, id);
}

void world_done(struct world *w)
{
	ring_forget(w);
	for (uint32_t id = 1; id <= NODE_MAX; id++)
		if (w->nodes[id])
			node_recycle(w->nodes[id]);
	for (uint32_t i = 0; i < w->n_epochs; i++)
		free(w->epochs[i].digests);
	w->n_epochs = 0;
	memset(w->nodes, 0, sizeof(w->nodes));
	w->n_heap = 0;
}

void world_release(void)
{
	for (uint32_t id = 1; id <= NODE_MAX; id++) {
		struct sim_node *n = spare[id];

		if (!n)
			continue;
		munmap(n->arena, arena_size());
		disk_done(&n->disk);
		free(n->out.items);
		free(n->inbox.items);
		free(n->deferred);
		free(n);
		spare[id] = NULL;
	}
}

void world_trace(struct world *w, const struct sim_node *n, const char *format, ...)
{
	char line[1024];
	int at;
	va_list ap;

	if (!w->trace)
		return;
	at = snprintf(line, sizeof(line), "%5" PRIu64 ".%03u ", w->now_us / 1000000,
		      (unsigned int)(w->now_us / 1000 % 1000));
	if (n)
		at += snprintf(line + at, sizeof(line) - (size_t)at, "n%-2u ", n->id);
	else
		at += snprintf(line + at, sizeof(line) - (size_t)at, "    ");
	va_start(ap, format);
	vsnprintf(line + at, sizeof(line) - (size_t)at, format, ap);
	va_end(ap);
	w->trace(w->trace_user, line);
}

/* ---- the queue: a binary heap by time, then by order of insertion ---- */

static bool earlier(const struct event_record *a, const struct event_record *b)
{
	return a->at_us != b->at_us ? a->at_us < b->at_us : a->order < b->order;
}

static void heap_push(struct world *w, struct event_record e)
{
	uint32_t i = w->n_heap++;

	if (w->n_heap > w->heap_size) {
		w->heap_size = w->heap_size ? 2 * w->heap_size : 1024;
		w->heap = realloc(w->heap, w->heap_size * sizeof(*w->heap));
		assert(w->heap);
	}
	for (; i && earlier(&e, &w->heap[(i - 1) / 2]); i = (i - 1) / 2)
		w->heap[i] = w->heap[(i - 1) / 2];
	w->heap[i] = e;
}

static struct event_record heap_pop(struct world *w)
{
	struct event_record top = w->heap[0], e = w->heap[--w->n_heap];
	uint32_t i = 0;

	for (;;) {
		uint32_t child = 2 * i + 1;

		if (child >= w->n_heap)
			break;
		if (child + 1 < w->n_heap && earlier(&w->heap[child + 1], &w->heap[child]))
			child++;
		if (!earlier(&w->heap[child], &e))
			break;
		w->heap[i] = w->heap[child];
		i = child;
	}
	w->heap[i] = e;
	return top;
}

void world_push(struct world *w, uint64_t at_us, enum event_kind kind, uint32_t node, uint32_t generation, uint64_t a,
		uint64_t b)
{
	heap_push(w, (struct event_record){ .at_us = at_us < w->now_us ? w->now_us : at_us,
					    .order = w->next_order++,
					    .a = a,
					    .b = b,
					    .generation = generation,
					    .kind = (uint8_t)kind,
					    .node = (uint8_t)node });
}

/* ---- clocks ---- */

static uint64_t mono_us(const struct world *w, const struct sim_node *n)
{
	return (uint64_t)((int64_t)w->now_us + (int64_t)w->now_us / 1000 * n->drift_ppm / 1000 + n->mono_offset_us);
}

uint64_t node_mono_ms(const struct world *w, const struct sim_node *n)
{
	return mono_us(w, n) / US_PER_MS;
}

uint64_t node_wall_ms(const struct world *w, const struct sim_node *n)
{
	return (uint64_t)((int64_t)w->now_us + n->wall_offset_us) / US_PER_MS;
}

/* ---- steps and actions ---- */

bool node_runs(const struct sim_node *n)
{
	return n->process && !n->process_frozen && !n->host_frozen;
}

struct sink_user {
	struct world *w;
	struct sim_node *n;
};

static struct pending_request *pending_find(struct sim_node *n, uint64_t id)
{
	for (uint32_t i = 0; i < SIM_PENDING; i++)
		if (n->pending[i].used && n->pending[i].id == id)
			return &n->pending[i];
	return NULL;
}

static void act_reply(struct world *w, struct sim_node *n, const struct core_action *a)
{
	struct pending_request *p = pending_find(n, a->reply.id), was;

	check_reply(w, n, a->reply.id, a->reply.refusal, a->reply.tag);
	if (!p)
		return;
	was = *p;
	p->used = false;
	w->counts[a->reply.refusal == REFUSED_NOT ? COUNT_requests_done : COUNT_requests_refused]++;
	if (a->reply.refusal == REFUSED_UNKNOWN_OUTCOME)
		w->counts[COUNT_requests_unknown]++;
	if (a->reply.refusal == REFUSED_NOT && was.mark && w->n_marks < SIM_MARKS) {
		w->marks[w->n_marks].number = was.mark;
		w->marks[w->n_marks++].tag = a->reply.tag;
		w->counts[COUNT_acknowledged_marks]++;
	}
	if (w->on_reply)
		w->on_reply(w, n, was.owner, a->reply.refusal, a->reply.tag, a->reply.detail);
}

static void act_kick(struct world *w, struct sim_node *n, uint32_t node)
{
	struct sim_node *to = node <= NODE_MAX ? w->nodes[node] : NULL;

	w->counts[COUNT_kicks]++;
	if (to && to->corosync_up && n->ring && !n->ring->broken && to->ring == n->ring)
		world_push(w, w->now_us + rng_range(&w->rng, 200, 20000), SIM_KICKED, node, to->host_generation,
			   n->ring->uid, 0);
}

static void act_persist(struct world *w, struct sim_node *n, const struct core_action *a)
{
	if (a->kind == ACTION_PERSIST_WIPE) {
		w->counts[COUNT_snapshots]++;
		disk_wipe(&n->disk);
	} else if (a->kind == ACTION_PERSIST_PUT) {
		disk_put(&n->disk, a->persist.kind, a->persist.id, a->persist.data.data, a->persist.data.len);
	} else {
		disk_delete(&n->disk, a->persist.kind, a->persist.id);
	}
}

static void act(void *user, const struct core_action *a)
{
	struct sink_user *u = user;
	struct world *w = u->w;
	struct sim_node *n = u->n;

	n->actions++;
	w->counts[COUNT_actions]++;
	world_mix(w, (uint64_t)a->kind << 8 | n->id);
	if (w->trace)
		world_node_action(w, n, a);
	switch (a->kind) {
	case ACTION_PROPOSE:
		ring_send(w, n, a->frame.data, a->frame.len);
		break;
	case ACTION_PERSIST_WIPE:
	case ACTION_PERSIST_PUT:
	case ACTION_PERSIST_DELETE:
		act_persist(w, n, a);
		break;
	case ACTION_PERSIST_COMMIT:
		disk_commit(w, n, a->commit.tag, a->commit.promised, a->commit.cookie);
		break;
	case ACTION_REPLY:
		act_reply(w, n, a);
		break;
	case ACTION_AGENT_RUN:
		agents_run(w, n, a);
		break;
	case ACTION_AGENT_CANCEL:
		agents_cancel(w, n, a->agent.op, a->agent.resource_id);
		break;
	case ACTION_MONITOR_START:
		agents_monitor(w, n, a->agent.resource);
		break;
	case ACTION_MONITOR_STOP:
		agents_monitor_stop(n, a->agent.resource_id);
		break;
	case ACTION_FENCE:
		fence_action(w, n, a->fence.node, a->fence.incarnation);
		break;
	case ACTION_KICK:
		act_kick(w, n, a->fence.node);
		break;
	case ACTION_VOTE:
		break;
	case ACTION_WITNESS_CLAIM:
		witness_claim(w, n, a);
		break;
	case ACTION_WITNESS_RELEASE:
		witness_release(w, n);
		break;
	case ACTION_WATCHDOG:
		n->confirmed_ms = a->watchdog.confirmed_mono_ms;
		n->told_t_stop_ms = a->watchdog.t_stop_ms;
		n->told_released = !a->watchdog.armed;
		watchdog_action(w, n, a->watchdog.armed, a->watchdog.until_mono_ms);
		break;
	case ACTION_VOLUMES_END:
		mounts_end(w, n);
		break;
	case ACTION_SELF_FENCE:
		n->want_reset = true;
		break;
	case ACTION_RESTART:
		n->want_restart = true;
		break;
	case ACTION_LEFT:
		n->want_leave = true;
		break;
	case ACTION_TRACE:
		break;
	}
}

/* What an action asked for that must not happen while the core is at work. */
static void after_step(struct world *w, struct sim_node *n)
{
	if (n->want_reset) {
		n->want_reset = false;
		w->counts[COUNT_self_fences]++;
		if (w->options.self_fence_weak && n->watchdog_armed) {
			n->petting_ended = true;
			n->watchdog_until_ms = 0;
		} else {
			host_crash(w, n, "reset itself", true);
		}
	} else if (n->want_restart) {
		w->counts[COUNT_core_restarts]++;
		process_end(w, n, false);
		world_push(w, w->now_us + w->options.respawn_ms * US_PER_MS, SIM_START, n->id, n->process_generation, 0,
			   0);
	} else if (n->want_leave) {
		w->counts[COUNT_core_left]++;
		check_left(w, n);
		watchdog_action(w, n, false, 0);
		process_end(w, n, false);
		n->left = true;
	}
}

void node_step(struct world *w, struct sim_node *n, struct core_event *e)
{
	struct sink_user user = { w, n };
	struct core_sink sink = { act, &user };

	e->mono_ms = node_mono_ms(w, n);
	e->wall_ms = node_wall_ms(w, n);
	n->actions = 0;
	w->counts[COUNT_steps]++;
	world_mix(w, (uint64_t)e->kind << 32 | n->id);
	world_mix(w, w->now_us);
	core_step(n->core, e, &sink);
	check_step(w, n, e);
	after_step(w, n);
}

bool node_request(struct world *w, struct sim_node *n, const void *ops, size_t len, uint32_t mark, void *owner)
{
	struct core_event e = { .kind = EVENT_REQUEST };

	if (!node_runs(n))
		return false;
	for (uint32_t i = 0; i < SIM_PENDING; i++) {
		if (n->pending[i].used)
			continue;
		e.request.id = w->next_request++;
		e.request.ops = ops;
		e.request.len = len;
		n->pending[i] = (struct pending_request){ e.request.id, w->now_us, mark, false, owner, true };
		w->counts[COUNT_requests]++;
		node_step(w, n, &e);
		return true;
	}
	return false;
}

bool node_force(struct world *w, struct sim_node *n, void *owner)
{
	struct core_event e = { .kind = EVENT_FORCE };

	if (!node_runs(n) || n->pending[0].used)
		return false;
	e.request.id = w->next_request++;
	n->pending[0] = (struct pending_request){ e.request.id, w->now_us, 0, true, owner, true };
	w->counts[COUNT_requests]++;
	node_step(w, n, &e);
	return true;
}

/* ---- processes and hosts ---- */

void process_start(struct world *w, struct sim_node *n)
{
	struct core_config c = {
		.self = n->id,
		.boot_id = n->boot_id,
		.confirmed_mono_ms = n->confirmed_ms,
		.t_stop_ms = (uint32_t)n->told_t_stop_ms,
		.released = n->told_released,
		.configured = (w->options.nodes == NODE_MAX ? ~(nodeset_t)1 : NODE_BIT(w->options.nodes + 1) - 2),
		.cpu = w->options.cpu,
		.memory_mb = w->options.memory_mb,
		.watchdog_ms = nodeset_has(w->options.no_watchdog, n->id) ? 0 : w->options.watchdog_ms,
		.level_max = FEATURE_LEVEL,
	};
	uint64_t wall = node_wall_ms(w, n);

	assert(!n->process && n->up);
	n->incarnation = wall > n->incarnation ? wall : n->incarnation + 1;
	c.incarnation = n->incarnation;
	snprintf(c.node_name, sizeof(c.node_name), "n%u", n->id);
	snprintf(c.cluster_name, sizeof(c.cluster_name), "sim");
	snprintf(c.site, sizeof(c.site), "site%u", n->id % 2);
	snprintf(c.fault_domain, sizeof(c.fault_domain), "rack%u", n->id % 3);
	n->process = true;
	n->process_frozen = n->left = n->joined = false;
	n->want_reset = n->want_restart = n->want_leave = false;
	n->process_generation++;
	n->mount_run = n->mount_used; /* what was told and not begun is told anew */
	n->pid = (uint32_t)w->next_pid++;
	n->view_members = 0;
	n->last_ready_us = 0;
	world_trace(w, n, "clusterd starts, incarnation %" PRIu64, n->incarnation);
	n->core = core_init(n->arena, &c);
	disk_load(&n->disk, n->core);
	core_load_done(n->core, n->disk.tag, n->disk.promised);
	check_process_start(w, n);
	world_push(w, w->now_us + rng_range(&w->rng, 1, CORE_TICK_MS * US_PER_MS), SIM_TICK, n->id,
		   n->process_generation, 0, 0);
	world_push(w, w->now_us + rng_range(&w->rng, 100, w->options.monitor_ms * US_PER_MS + 1000), SIM_INVENTORY,
		   n->id, n->process_generation, 0, 0);
	if (n->corosync_up)
		world_push(w, w->now_us + rng_range(&w->rng, 1000, 50000), SIM_JOIN, n->id, n->process_generation, 0,
			   0);
	if (w->options.volumes)
		world_push(w, w->now_us + rng_range(&w->rng, 1, 400) * US_PER_MS, SIM_MOUNTS, n->id, n->process_generation, 0,
			   0);
}

void process_end(struct world *w, struct sim_node *n, bool crash)
{
	if (!n->process)
		return;
	world_trace(w, n, crash ? "clusterd crashes" : "clusterd ends");
	ring_leave(w, n, crash);
	n->process = n->joined = n->process_frozen = n->mounts_ending = false;
	n->process_generation++;
	n->n_deferred = 0;
	disk_crash(w, n);
	agents_crash(w, n);
	witness_release(w, n);
	n->watchdog_until_ms = 0;
	madvise(n->arena, arena_size(), MADV_DONTNEED);
	n->core = NULL;
	n->phase = PHASE_ALONE;
	for (uint32_t i = 0; i < SIM_PENDING; i++) {
		struct pending_request p = n->pending[i];

		n->pending[i].used = false;
		if (p.used && w->on_reply)
			w->on_reply(w, n, p.owner, REFUSED_UNKNOWN_OUTCOME, (struct tag){ 0, 0 }, "clusterd ended");
	}
}

void host_boot(struct world *w, struct sim_node *n)
{
	if (n->up)
		return;
	n->up = n->corosync_up = true;
	n->host_frozen = false;
	n->boot_id = 0x1000 + w->next_boot++;
	n->boots++;
	n->confirmed_ms = n->told_t_stop_ms = 0;
	n->told_released = false;
	n->broken_us = 0;
	n->last_ring = 0;
	world_trace(w, n, "boots");
	ring_changed(w);
	world_push(w, w->now_us + rng_range(&w->rng, 1, w->options.respawn_ms + 1) * US_PER_MS, SIM_START, n->id,
		   n->process_generation, 0, 0);
}

void host_crash(struct world *w, struct sim_node *n, const char *why, bool boots_again)
{
	if (!n->up)
		return;
	world_trace(w, n, "host is gone: %s", why);
	n->host_generation++;
	n->up = n->host_frozen = false;
	ring_kill(w, n);
	process_end(w, n, true);
	agents_reset(n);
	mounts_reset(n);
	n->watchdog_armed = n->petting_ended = false;
	n->watchdog_generation++;
	n->process_generation++;
	n->left = false;
	if (boots_again)
		world_push(w,
			   w->now_us + rng_range(&w->rng, w->options.boot_ms / 2, w->options.boot_ms * 2) * US_PER_MS,
			   SIM_BOOT, n->id, n->host_generation, 0, 0);
}

void process_freeze(struct world *w, struct sim_node *n)
{
	if (!node_runs(n))
		return;
	world_trace(w, n, "clusterd is stopped (SIGSTOP)");
	n->process_frozen = true;
	n->frozen_us = w->now_us;
}

void host_freeze(struct world *w, struct sim_node *n)
{
	if (!n->up || n->host_frozen)
		return;
	world_trace(w, n, "host freezes");
	n->host_frozen = true;
	n->frozen_us = w->now_us;
	/* The others notice when the token does not come. */
	world_push(w, w->now_us + w->options.detect_min_ms * US_PER_MS / 2, SIM_TOKEN, n->id, n->host_generation, 0, 0);
}

void node_thaw(struct world *w, struct sim_node *n)
{
	uint32_t count = n->n_deferred;

	if (!n->host_frozen && !n->process_frozen)
		return;
	world_trace(w, n, "goes on");
	n->host_frozen = n->process_frozen = false;
	if (n->broken_us)
		n->broken_us = w->now_us; /* its corosync begins to look for the others now */
	ring_changed(w);
	n->n_deferred = 0;
	for (uint32_t i = 0; i < count; i++) {
		struct event_record e = n->deferred[i];

		e.at_us = w->now_us + i;
		e.order = w->next_order++;
		heap_push(w, e);
	}
	n->ordering = false;
	ring_send(w, n, NULL, 0);
}

void node_defer(struct sim_node *n, const struct event_record *e)
{
	if (n->n_deferred == n->deferred_size) {
		n->deferred_size = n->deferred_size ? 2 * n->deferred_size : 64;
		n->deferred = realloc(n->deferred, n->deferred_size * sizeof(*n->deferred));
		assert(n->deferred);
	}
	n->deferred[n->n_deferred++] = *e;
}

static void handle_tick(struct world *w, struct sim_node *n)
{
	struct core_event tick = { .kind = EVENT_TICK };

	world_push(w, w->now_us + CORE_TICK_MS * US_PER_MS, SIM_TICK, n->id, n->process_generation, 0, 0);
	node_step(w, n, &tick);
}

/* Events of clusterd itself: they wait while it is frozen and end with it. */
static void handle_process(struct world *w, struct sim_node *n, const struct event_record *e)
{
	if (!n->process || e->generation != n->process_generation)
		return;
	if (!node_runs(n)) {
		node_defer(n, e);
		return;
	}
	switch (e->kind) {
	case SIM_TICK:
		handle_tick(w, n);
		break;
	case SIM_DELIVER:
		ring_deliver(w, n);
		break;
	case SIM_JOIN:
		ring_join(w, n);
		break;
	case SIM_DISK:
		disk_synced(w, n);
		break;
	case SIM_INVENTORY:
		if (mounts_count(n))
			mounts_report(w, n);
		agents_inventory(w, n);
		break;
	case SIM_MOUNTS:
		if (e->a)
			mounts_ended(w, n);
		else
			mounts_look(w, n);
		break;
	case SIM_PET:
		watchdog_pet(w, n, e->a);
		break;
	case SIM_FENCE:
		fence_ended(w, n, (uint32_t)e->a, e->b);
		break;
	case SIM_WITNESS:
		witness_answer(w, n);
		break;
	case SIM_WITNESS_LOST:
		witness_lost(w, n);
		break;
	default:
		assert(!"event of a process");
	}
}

/* Events of the host: they end with it, and wait while it is frozen where that matters. */
static void handle_host(struct world *w, struct sim_node *n, const struct event_record *e)
{
	if (e->generation != n->host_generation)
		return;
	switch (e->kind) {
	case SIM_ORDER:
		ring_order(w, n, e->a);
		break;
	case SIM_TOKEN:
		if (n->host_frozen)
			ring_changed(w);
		break;
	case SIM_BOOT:
		if (!n->held_off)
			host_boot(w, n);
		break;
	case SIM_COROSYNC:
		if (n->up && !n->corosync_up) {
			n->corosync_up = true;
			n->broken_us = 0;
			ring_changed(w);
			if (n->process)
				world_push(w, w->now_us + rng_range(&w->rng, 1000, 500000), SIM_JOIN, n->id,
					   n->process_generation, 0, 0);
		}
		break;
	case SIM_KICKED:
		if (n->ring && n->ring->uid == e->a && n->corosync_up) {
			world_trace(w, n, "corosync is ended by a peer");
			ring_kill(w, n);
			world_push(w, w->now_us + rng_range(&w->rng, 100, 3000) * US_PER_MS, SIM_COROSYNC, n->id,
				   n->host_generation, 0, 0);
		}
		break;
	default:
		assert(!"event of a host");
	}
}

static void handle(struct world *w, const struct event_record *e)
{
	struct sim_node *n = e->node ? w->nodes[e->node] : NULL;

	switch (e->kind) {
	case SIM_TICK:
	case SIM_DELIVER:
	case SIM_JOIN:
	case SIM_DISK:
	case SIM_INVENTORY:
	case SIM_MOUNTS:
	case SIM_PET:
	case SIM_FENCE:
	case SIM_WITNESS:
	case SIM_WITNESS_LOST:
		handle_process(w, n, e);
		break;
	case SIM_ORDER:
	case SIM_TOKEN:
	case SIM_BOOT:
	case SIM_COROSYNC:
	case SIM_KICKED:
		handle_host(w, n, e);
		break;
	case SIM_START:
		if (n->up && !n->process && e->generation == n->process_generation)
			process_start(w, n);
		break;
	case SIM_AGENT:
	case SIM_MONITOR:
		if (n->host_frozen)
			node_defer(n, e);
		else if (e->kind == SIM_AGENT)
			agents_ended(w, n, (uint32_t)e->a, (uint32_t)e->b);
		else
			agents_monitored(w, n, (uint32_t)e->a, (uint32_t)e->b);
		break;
	case SIM_THAW:
		if (e->generation == n->host_generation)
			node_thaw(w, n);
		break;
	case SIM_WATCHDOG:
		watchdog_expire(w, n, e->a);
		break;
	case SIM_REGROUP:
		ring_regroup(w, e->a);
		break;
	case SIM_CHECK:
		check_periodic(w);
		world_push(w, w->now_us + 500 * US_PER_MS, SIM_CHECK, 0, 0, 0, 0);
		break;
	case SIM_DRIVER:
	case SIM_LOAD:
		if (w->on_driver)
			w->on_driver(w, e);
		break;
	default:
		assert(!"event");
	}
}

void world_run(struct world *w, uint64_t until_us)
{
	while (!w->verdict && w->n_heap && w->heap[0].at_us <= until_us) {
		struct event_record e = heap_pop(w);

		w->now_us = e.at_us;
		handle(w, &e);
	}
	if (!w->verdict && w->now_us < until_us)
		w->now_us = until_us;
}
