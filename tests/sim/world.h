/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A world of up to 63 hosts in one process: cores, a ring in place of corosync, disks, agents, watchdogs, fence
 * commands, a witness, and one virtual clock. Everything that happens comes out of one queue and one source of chance:
 * the same options give the same run, byte for byte.
 *
 * What the ring promises is what corosync promises (totemsrp, CPG): one total order in a ring; when a ring breaks,
 * hosts that stay together deliver the same prefix of it and then the new view, hosts that do not may have delivered
 * more or less (AGREED order); a message whose sender lives is delivered in the old view or in the next; process groups
 * change in the order of the messages; a merge may come as several views. See world_ring.c.
 */
#ifndef TESTS_SIM_WORLD_H
#define TESTS_SIM_WORLD_H

#include <stdio.h>

#include "clusterd/core/core.h"
#include "clusterd/core/state.h"
#include "tests/sim/rng.h"

#define US_PER_MS 1000u
#define SIM_ROLES 128
#define SIM_RESOURCES 512
#define SIM_VOLUMES 8
#define SIM_RULES (RULE_MAX + 1)
#define SIM_AGENT_QUEUE 8     /* as io/agents.h: unfinished operations of one resource */
#define SIM_ACTIONS_MAX 40000 /* actions of one step: a snapshot of everything has about so many objects */
#define SIM_QUEUE_MAX 1024    /* as io/ring.h: messages waiting for corosync */
#define SIM_KEPT 16
#define SIM_MARKS 200 /* acknowledged changes that are looked for in every later view */

enum counter {
#define COUNTER(name, kind, least) COUNT_##name,
#include "tests/sim/counters.def"
#undef COUNTER
	COUNT_MAX
};

/* What one run may do; drawn from the seed (swarm.c) or set by a story. Durations are milliseconds unless they say _us.
 */
struct world_options {
	uint32_t nodes;
	uint32_t order_us, latency_us, latency_spread_us; /* queue to order; order to delivery */
	uint32_t detect_min_ms, detect_max_ms;		  /* loss of a host to the new ring */
	uint32_t merge_max_ms;
	uint32_t view_skew_ms;			/* a new view reaches the members within this */
	bool stepwise_views;			/* merges come as several views */
	bool hash_views;			/* view numbers within a ring do not rise */
	bool holes;				/* survivors may skip a lost message of a lost sender */
	uint32_t hole_us;			/* age at which a message has reached everybody */
	uint32_t disk_us;			/* one sync */
	uint32_t drift_ppm;			/* clocks run apart by up to this */
	uint32_t start_ms, stop_ms, monitor_ms; /* how long agents take, at most about twice that */
	uint32_t start_fail_permille, stop_fail_permille, monitor_fail_permille,
		hang_permille;	/* while agents are bad */
	uint32_t watchdog_ms;	/* 0: none */
	nodeset_t no_watchdog;	/* nodes without one although watchdog_ms is set */
	uint32_t fence_percent; /* chance that a fence command works; 0 and !fence_command: absent */
	bool fence_command;
	uint32_t fence_ms;
	bool witness; /* there is one to claim */
	uint32_t witness_lease_ms;
	uint32_t boot_ms, respawn_ms; /* host after a reset; clusterd after its end */
	bool self_fence_weak;	      /* an immediate reset does not work: the watchdog must do it */
	uint32_t t_stop_ms, grace_ms, margin_ms, stall_ms, alive_ms; /* what the set-up configures */
	bool exact;						     /* everything takes its middle time: for stories */
	bool force; /* quorum may be forced: what that may break is not checked */
	uint32_t cpu, memory_mb;
	bool volumes;	   /* csvfs is run on the hosts */
	uint32_t pause_ms; /* how long its requests wait for an owner */
};

struct frame {
	uint32_t refs, len;
	uint8_t data[];
};

enum item_kind { ITEM_MESSAGE, ITEM_VIEW, ITEM_LOST };

/* What waits for a process to read it. */
struct item {
	enum item_kind kind;
	uint32_t sender;
	uint64_t ready_us; /* corosync has it here */
	uint64_t ring, index;
	uint64_t ordered_us;
	uint64_t view;
	nodeset_t members, procdown;
	struct frame *frame;
};

struct item_queue {
	struct item *items;
	uint32_t head, n, size;
};

struct ring {
	bool used, broken;
	uint64_t uid, seq;
	nodeset_t members; /* hosts */
	nodeset_t procs;   /* processes in the group */
	uint64_t next_index;
	uint32_t changes; /* of the group, counted */
};

struct agent_op {
	uint64_t op;
	enum agent_action action;
	uint32_t timeout_ms;
	bool cancelled; /* before it began */
};

struct sim_resource {
	bool may_run;	     /* started, and no stop, probe or reset has proven the end */
	bool runs;	     /* in truth */
	bool sick;	     /* monitors fail until it is restarted */
	uint32_t role;	     /* at its start */
	uint32_t generation; /* of the operation in flight and of the monitor */
	uint32_t n_ops;
	struct agent_op ops[SIM_AGENT_QUEUE]; /* ops[0] is in flight */
	enum agent_status end_status;	      /* of ops[0], drawn when it began */
	uint32_t end_rc;
	bool ended; /* its effect has come, its result has not been read yet */
	bool monitored, reported;
	uint32_t monitor_generation, interval_ms, monitor_timeout_ms;
};

/* csvfs of one volume. */
struct sim_mount {
	bool mounted, up;
	bool broken; /* the host has lost the path, and the way to the owner */
	uint64_t number, paused_us;
};

struct blob {
	uint8_t *data;
	uint32_t len, size;
};

/* A transaction on its way to the disk: puts and deletes as u32 key, u32 length (UINT32_MAX: delete), bytes. */
struct commit {
	uint64_t cookie, promised;
	struct tag tag;
	bool wipe;
	uint8_t *data;
	size_t len, size;
};

struct disk {
	struct blob *blobs; /* by disk_slot() */
	struct tag tag;
	uint64_t promised;
	struct commit stage;
	struct commit *queue;
	uint32_t n, size, in_flight;
	bool slow, full;
};

struct pending_request {
	uint64_t id, at_us;
	uint32_t mark; /* 0: none */
	bool force;
	void *owner;
	bool used;
};
#define SIM_PENDING 256

struct sim_node {
	uint32_t id;
	/* host */
	bool up, host_frozen, corosync_up, held_off; /* held_off: an administrator keeps it off */
	uint32_t host_generation;
	uint64_t boot_id, boots;
	int64_t mono_offset_us, wall_offset_us;
	int32_t drift_ppm;
	uint32_t component;
	/* corosync */
	struct ring *ring;
	uint64_t ring_seq, last_ring; /* same number: they have delivered the same */
	uint64_t broken_us;	      /* since when it has no working ring */
	struct item_queue out, inbox;
	bool ordering;
	uint64_t last_ready_us, lag_until_us;
	/* clusterd */
	bool process, process_frozen, joined, left;
	uint32_t process_generation, pid;
	struct core *core;
	void *arena;
	uint64_t incarnation;
	uint64_t confirmed_ms, told_t_stop_ms; /* file of the run directory, until the next boot … */
	bool told_released;		       /* … as is this */
	uint64_t frozen_us;
	nodeset_t view_members; /* of the last view put into the inbox */
	bool want_reset, want_restart, want_leave;
	uint32_t actions;
	struct pending_request pending[SIM_PENDING];
	struct event_record *deferred;
	uint32_t n_deferred, deferred_size;
	struct disk disk;
	struct sim_resource resources[SIM_RESOURCES];
	struct sim_mount mounts[SIM_VOLUMES + 1];
	uint64_t mount_run, mount_used; /* the number told for the next run; that of the newest one */
	bool mounts_ending;
	/* watchdog */
	bool watchdog_armed, petting_ended; /* petting_ended: the node fences itself */
	uint64_t watchdog_until_ms, watchdog_reset_us;
	uint64_t watchdog_generation;
	/* witness */
	bool witness_claimed;
	uint64_t witness_have, witness_take; /* epochs of the claim */
	nodeset_t witness_present;
	/* what the checks remember */
	enum core_phase phase;
	uint64_t view;
	struct tag tag;
	uint64_t digest;
	bool quorate;
	uint32_t t_stop_ms;  /* as its own state last said */
	bool guarded;	     /* its watchdog proves something */
	uint64_t covered_us; /* last moment it was in touch with a quorum */
	uint64_t phase_since_us;
	uint64_t owner_ops[SIM_ROLES]; /* operation of the resource of a volume's ownership */
	uint8_t owners[SIM_ROLES], targets[SIM_ROLES], role_states[SIM_ROLES];
};

enum event_kind {
	SIM_ORDER,
	SIM_DELIVER,
	SIM_REGROUP,
	SIM_TOKEN,
	SIM_JOIN,
	SIM_TICK,
	SIM_DISK,
	SIM_AGENT,
	SIM_MONITOR,
	SIM_PET,
	SIM_WATCHDOG,
	SIM_FENCE,
	SIM_WITNESS,
	SIM_WITNESS_LOST,
	SIM_BOOT,
	SIM_START,
	SIM_INVENTORY,
	SIM_MOUNTS,
	SIM_COROSYNC,
	SIM_KICKED,
	SIM_CHECK,
	SIM_DRIVER,
	SIM_LOAD,
	SIM_THAW,
};

struct event_record {
	uint64_t at_us, order;
	uint64_t a, b;
	uint32_t generation;
	uint8_t kind, node;
};

struct witness {
	uint32_t holder; /* node, 0: free */
	uint64_t lease_us;
	uint64_t epoch; /* highest it was claimed for … */
	uint32_t by;	/* … by whom … */
	uint64_t have;	/* … and from which */
	nodeset_t cut;	/* cannot reach it */
};

/* What was seen of an epoch: the position it was opened on, by whom, and the digest of each of its positions. */
#define SIM_EPOCHS 4096
#define SIM_EPOCH_POSITIONS 65536
struct epoch {
	uint64_t number, view;
	struct tag base;
	bool opened;
	uint64_t *digests; /* by sequence; 0: nobody was there yet */
	uint32_t size;
};

struct regroup {
	bool used;
	uint64_t uid, at_us;
	nodeset_t members;
};
#define SIM_REGROUPS 64

enum verdict { VERDICT_OK = 0, VERDICT_DETERMINISM = 127, VERDICT_SAFETY = 128, VERDICT_LIVENESS = 129 };

struct world {
	struct world_options options;
	uint64_t seed;
	struct rng rng;
	uint64_t now_us, next_order;
	struct event_record *heap;
	uint32_t n_heap, heap_size;
	struct sim_node *nodes[NODE_MAX + 1];
	struct ring rings[2 * NODE_MAX + 2];
	uint64_t next_uid, next_pid, next_boot, next_request;
	struct regroup regroups[SIM_REGROUPS];
	struct witness witness;
	struct frame *kept[SIM_KEPT]; /* some messages of before, for those who replay them */
	bool agents_bad, healed;
	uint32_t relax; /* checks that are off, by 1 << enum check */
	bool disarmed_seen;
	/* checks */
	struct epoch epochs[SIM_EPOCHS];
	uint32_t n_epochs;
	struct tag acknowledged; /* highest */
	uint32_t n_marks, next_mark;
	struct {
		uint32_t number;
		struct tag tag;
	} marks[SIM_MARKS];
	struct tag newest; /* highest tag reached by anybody */
	uint64_t counts[COUNT_MAX];
	uint64_t hash;
	/* the verdict */
	enum verdict verdict;
	const char *invariant;
	char failure[1024];
	/* who drives */
	void (*on_driver)(struct world *w, const struct event_record *e);
	void (*on_reply)(struct world *w, struct sim_node *n, void *owner, enum refusal refusal, struct tag tag,
			 const char *detail);
	void *driver;
	/* the trace, when wanted */
	void (*trace)(void *user, const char *line);
	void *trace_user;
	bool trace_all; /* also ticks and single messages */
};

/* world.c */
void world_init(struct world *w, const struct world_options *options, uint64_t seed);
void world_done(struct world *w);
/* Gives memory that is kept between worlds back. */
void world_release(void);
/* Handles events until `until_us` or a violated invariant. */
void world_run(struct world *w, uint64_t until_us);
void world_push(struct world *w, uint64_t at_us, enum event_kind kind, uint32_t node, uint32_t generation, uint64_t a,
		uint64_t b);
static inline struct sim_node *world_node(const struct world *w, uint32_t id)
{
	return w->nodes[id];
}
bool node_runs(const struct sim_node *n); /* clusterd is there and nothing is frozen */
uint64_t node_mono_ms(const struct world *w, const struct sim_node *n);
uint64_t node_wall_ms(const struct world *w, const struct sim_node *n);
void node_step(struct world *w, struct sim_node *n, struct core_event *e);
void host_boot(struct world *w, struct sim_node *n);
void host_crash(struct world *w, struct sim_node *n, const char *why, bool boots_again);
void host_freeze(struct world *w, struct sim_node *n);
void process_start(struct world *w, struct sim_node *n);
void process_end(struct world *w, struct sim_node *n, bool crash);
void process_freeze(struct world *w, struct sim_node *n);
void node_thaw(struct world *w, struct sim_node *n);
void node_defer(struct sim_node *n, const struct event_record *e); /* until it thaws */
/* Hands operations to clusterd as clusterctl would. The mark, if any, names the change to be found in every later view.
 */
bool node_request(struct world *w, struct sim_node *n, const void *ops, size_t len, uint32_t mark, void *owner);
bool node_force(struct world *w, struct sim_node *n, void *owner);
void world_trace(struct world *w, const struct sim_node *n, const char *format, ...)
	__attribute__((format(printf, 3, 4)));
static inline bool world_tracing(const struct world *w)
{
	return w->trace != NULL;
}
static inline void world_mix(struct world *w, uint64_t x)
{
	w->hash = (w->hash ^ x) * 0x9fb21c651e98df25u;
	w->hash ^= w->hash >> 29;
}
/* In a story: what an action or a frame is, as text. */
/* "n1 n2 n5" */
const char *world_nodes_text(nodeset_t nodes, char *out, size_t size);
const char *world_frame_text(const void *data, size_t len, char *out, size_t size);
void world_node_action(struct world *w, struct sim_node *n, const struct core_action *a);

/* world_ring.c */
void ring_changed(struct world *w); /* hosts, corosyncs or the network changed: break what is broken, plan new rings */
void ring_regroup(struct world *w, uint64_t uid);
void ring_send(struct world *w, struct sim_node *n, const void *data, size_t len);
/* Bytes that are no message of this moment, as if `n` had sent them: garbage, a damaged message, an old one, a foreign
 * one. */
void ring_noise(struct world *w, struct sim_node *n);
void ring_forget(struct world *w); /* kept messages */
void ring_order(struct world *w, struct sim_node *n, uint64_t uid);
void ring_deliver(struct world *w, struct sim_node *n);
void ring_join(struct world *w, struct sim_node *n);
void ring_leave(struct world *w, struct sim_node *n, bool crash);
void ring_kill(struct world *w, struct sim_node *n); /* its corosync ends */
void ring_drop(struct sim_node *n);		     /* forget inbox and queue: nobody reads them any more */
nodeset_t ring_reach(const struct world *w, const struct sim_node *n);
bool ring_current(const struct sim_node *n); /* in an unbroken ring whose newest view the core has seen */

/* world_disk.c */
void disk_init(struct disk *d);
void disk_done(struct disk *d);
void disk_put(struct disk *d, uint8_t kind, uint32_t id, const void *data, size_t len);
void disk_delete(struct disk *d, uint8_t kind, uint32_t id);
void disk_wipe(struct disk *d);
void disk_commit(struct world *w, struct sim_node *n, struct tag tag, uint64_t promised, uint64_t cookie);
void disk_synced(struct world *w, struct sim_node *n);
void disk_crash(struct world *w, struct sim_node *n); /* the process is gone */
void disk_lose(struct disk *d);
void disk_load(const struct disk *d, struct core *core);

/* world_agents.c */
void agents_run(struct world *w, struct sim_node *n, const struct core_action *a);
void agents_cancel(struct world *w, struct sim_node *n, uint64_t op, uint32_t resource);
void agents_monitor(struct world *w, struct sim_node *n, const struct resource *r);
void agents_monitor_stop(struct sim_node *n, uint32_t resource);
void agents_ended(struct world *w, struct sim_node *n, uint32_t resource, uint32_t generation);
void agents_monitored(struct world *w, struct sim_node *n, uint32_t resource, uint32_t generation);
void agents_crash(struct world *w, struct sim_node *n); /* clusterd is gone, what it started runs on */
void agents_reset(struct sim_node *n);			/* the host is gone */
void agents_inventory(struct world *w, struct sim_node *n);

/* world_mounts.c */
void mounts_look(struct world *w, struct sim_node *n);
void mounts_report(struct world *w, struct sim_node *n);
void mounts_end(struct world *w, struct sim_node *n);
void mounts_ended(struct world *w, struct sim_node *n);
void mounts_reset(struct sim_node *n); /* the host is gone */
uint32_t mounts_count(const struct sim_node *n);

/* world_guard.c */
void watchdog_action(struct world *w, struct sim_node *n, bool armed, uint64_t until_ms);
void watchdog_pet(struct world *w, struct sim_node *n, uint64_t generation);
void watchdog_expire(struct world *w, struct sim_node *n, uint64_t generation);
void fence_action(struct world *w, struct sim_node *n, uint32_t node, uint64_t incarnation);
void fence_ended(struct world *w, struct sim_node *n, uint32_t node, uint64_t incarnation);
void witness_claim(struct world *w, struct sim_node *n, const struct core_action *a);
void witness_release(struct world *w, struct sim_node *n);
void witness_answer(struct world *w, struct sim_node *n);
void witness_lost(struct world *w, struct sim_node *n);

/* world_check.c */
enum check {
	CHECK_I1,
	CHECK_I2,
	CHECK_I3,
	CHECK_I10,
	CHECK_I11,
	CHECK_I12,
	CHECK_I13,
	CHECK_I14,
	CHECK_I15,
	CHECK_QUORUM,
	CHECK_BOUNDS,
	CHECK_LEAVE,
	CHECK_VOLUME
};
void check_fail(struct world *w, enum verdict verdict, const char *invariant, const char *format, ...)
	__attribute__((format(printf, 4, 5)));
void check_step(struct world *w, struct sim_node *n, const struct core_event *e);
void check_start(struct world *w, struct sim_node *n, uint32_t resource, uint32_t role);
void check_reply(struct world *w, struct sim_node *n, uint64_t id, enum refusal refusal, struct tag tag);
void check_process_start(struct world *w, struct sim_node *n);
void check_left(struct world *w, struct sim_node *n);
void check_periodic(struct world *w);
/* After healing: NULL when everything that can run runs and all agree, else what is missing. */
const char *check_converged(struct world *w, char *out, size_t size);

#endif
