/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The replicated state machine of one node. Pure: no I/O, no clock, no allocation; same state and same event give the
 * same state and the same actions, byte for byte.
 *
 *   events:  CONFCHG and ORDERED change replicated state. All others are local and may only propose.
 *   actions: handed to the sink in order while core_step() runs; the sink must not call core_step().
 *
 *                    CONFCHG                     all HELLOs in                        all SYNCED
 *   (any phase) ----------------> PHASE_SYNC ---------------------> PHASE_LOADING ----------------> PHASE_ACTIVE
 *                                     |  not quorate                     |  (snapshot, promise)
 *                                     v                                  v CONFCHG: back to PHASE_SYNC
 *                              PHASE_NO_QUORUM
 */
#ifndef CORE_CORE_H
#define CORE_CORE_H

#include "proto/message.h"
#include "proto/objects.h"

struct core;
struct state;

#define EPOCH_FORCED_SHIFT 48 /* upper bits of an epoch count forced quorums: a forced side outranks all that did not know */

struct tag {
	uint64_t epoch, seq;
};

static inline int tag_compare(struct tag a, struct tag b)
{
	if (a.epoch != b.epoch)
		return a.epoch < b.epoch ? -1 : 1;
	return a.seq < b.seq ? -1 : a.seq > b.seq;
}

enum core_phase {
	PHASE_ALONE = 0,     /* no corosync, not in a view */
	PHASE_SYNC = 1,      /* collecting HELLOs */
	PHASE_LOADING = 2,   /* quorate: snapshot and promise on their way to every disk */
	PHASE_ACTIVE = 3,
	PHASE_NO_QUORUM = 4,
};

/* What this node is; fixed for the life of the core. */
struct core_config {
	uint32_t self;        /* node id */
	uint64_t incarnation; /* greater than any before on this node: wall clock in ms at start */
	uint64_t boot_id;     /* XXH3 of /proc/sys/kernel/random/boot_id */
	/*
	 * Monotonic time at which the run of clusterd before this one, in the same boot, last knew that it had quorum; 0:
	 * none. T_stop of what still runs here counts from then.
	 */
	uint64_t confirmed_mono_ms;
	uint32_t t_stop_ms; /* T_stop as that run knew it; 0: not known. Counts while there is no database. */
	/* That run had released its watchdog, because the cluster was disarmed: nobody counts on it until it says otherwise. */
	bool released;
	nodeset_t configured; /* corosync's node list */
	char node_name[NAME_SIZE], cluster_name[NAME_SIZE], site[NAME_SIZE], fault_domain[NAME_SIZE];
	uint32_t cpu, memory_mb, watchdog_ms, level_max;
	uint32_t detection_ms; /* within this time corosync notices the loss of a member; 0: not known */
	bool prevent_quorum;
};

#define CORE_TICK_MS 250

enum core_event_kind {
	EVENT_CONFCHG,      /* a view was installed; .confchg */
	EVENT_ORDERED,      /* a frame was delivered; .ordered */
	EVENT_TICK,         /* time passed; the shell ticks every CORE_TICK_MS */
	EVENT_AGENT_RESULT, /* an operation or a recurring monitor ended; .agent */
	EVENT_PERSISTED,    /* the commit of this cookie is on disk; .persisted */
	EVENT_REQUEST,      /* operations an administrator asks for; .request */
	EVENT_FORCE,        /* force quorum; .request.id */
	EVENT_FENCE_RESULT, /* the fence command ended; .fence */
	EVENT_WITNESS,      /* claim answered, or a held witness lost; .witness */
	EVENT_RING_LOST,    /* corosync is gone: no view any more */
	EVENT_INVENTORY,    /* what the local record says may be running, after a start of clusterd; .inventory */
	EVENT_VOLUMES,      /* which volumes can be used here, whenever that changes, and after a start of clusterd; .volumes */
	EVENT_SILENT,       /* this node owns a volume and a node does not answer its recall: that must be fenced; .silent */
};

/* A volume as the shell came to know it: a later one may have the same id, never the same number. */
struct volume_mark {
	uint32_t volume; /* id */
	uint64_t number; /* its field */
};

struct inventory_item {
	uint32_t resource; /* id */
	uint32_t state;    /* RES_STARTED, RES_FAILED (must be stopped) or RES_STOPPED */
};

struct core_event {
	enum core_event_kind kind;
	uint64_t mono_ms; /* monotonic clock */
	uint64_t wall_ms; /* Unix clock */
	union {
		struct {
			uint64_t view;     /* rises; same number on all members of a view: ring seq */
			nodeset_t members; /* of the process group */
			nodeset_t procdown; /* left since the view before while their corosync lives: clusterd died there */
		} confchg;
		struct {
			uint32_t sender;
			const void *data;
			size_t len;
		} ordered;
		struct {
			uint64_t op; /* 0: recurring monitor */
			uint32_t resource;
			enum agent_action action;
			uint32_t rc;
			enum agent_status status;
			const char *output;
		} agent;
		struct {
			uint64_t cookie;
		} persisted;
		struct {
			uint64_t id; /* the shell's; comes back in REPLY */
			const void *ops;
			size_t len;
		} request;
		struct {
			uint32_t node;
			uint64_t incarnation;
			bool confirmed;
			const char *text;
		} fence;
		struct {
			bool held;
		} witness;
		struct {
			const struct inventory_item *items;
			uint32_t n;
		} inventory;
		struct {
			/*
			 * All that are mounted here and whose reads and writes succeed, directly or through the owner, or
			 * wait for a new owner (paused). One that came back after it was left out is in again; one whose
			 * requests fail is not. Until the first of these events the state's last word counts.
			 */
			const struct volume_mark *up; /* NULL: not known yet */
			uint32_t n;
			/*
			 * Processes csvfs that may write here, in whatever state: what T_stop must see ended, and an orderly
			 * leave too. Told before the inventory when there are any.
			 */
			uint32_t mounts;
			/*
			 * Highest number given to a run of csvfs. A run is started when the state knows its number: so a
			 * node that is proven down has none above its mount_run.
			 */
			uint64_t run;
		} volumes;
		struct {
			uint32_t node; /* may be this one */
			struct volume_mark of;
		} silent;
	};
};

enum core_action_kind {
	ACTION_PROPOSE,        /* multicast .frame */
	ACTION_PERSIST_WIPE,   /* forget every object; part of the next commit */
	ACTION_PERSIST_PUT,    /* .persist */
	ACTION_PERSIST_DELETE, /* .persist without data */
	ACTION_PERSIST_COMMIT, /* make all since the last commit durable as one; then EVENT_PERSISTED; .commit */
	ACTION_REPLY,          /* the one final answer to a request; .reply */
	ACTION_AGENT_RUN,      /* .agent */
	ACTION_AGENT_CANCEL,   /* .agent.op, .agent.resource */
	ACTION_MONITOR_START,  /* recurring monitors of .agent.resource, as its fields say; replaces running ones */
	ACTION_MONITOR_STOP,   /* .agent.resource */
	ACTION_FENCE,          /* .fence: try the fence command; answer by EVENT_FENCE_RESULT */
	ACTION_KICK,           /* .fence.node: end its corosync (corosync_cfg_kill_node) */
	ACTION_VOTE,           /* .quorate: what the quorum device says */
	ACTION_WITNESS_CLAIM,  /* .witness; then EVENT_WITNESS; held until released */
	ACTION_WITNESS_RELEASE,
	ACTION_WATCHDOG,       /* .watchdog: pet until then, never later; keep .armed, .confirmed, .t_stop for the next run */
	ACTION_VOLUMES_END,    /* no quorum: csvfs is killed here, whoever uses it; then EVENT_VOLUMES. Comes again until then */
	ACTION_SELF_FENCE,     /* .text: stop petting, reset the host at once */
	ACTION_RESTART,        /* .text: clusterd leaves the group and starts anew; its roles go on */
	ACTION_LEFT,           /* orderly end done: clusterd may exit */
	ACTION_TRACE,          /* .trace: a line for the log */
};

struct core_action {
	enum core_action_kind kind;
	union {
		struct span frame;
		struct {
			uint8_t kind;
			uint32_t id;
			struct span data;
		} persist;
		struct {
			struct tag tag;
			uint64_t promised, cookie;
		} commit;
		struct {
			uint64_t id;
			enum refusal refusal;
			struct tag tag;
			const char *detail;
		} reply;
		struct {
			uint64_t op;
			enum agent_action action;
			uint32_t timeout_ms;
			uint32_t resource_id;
			const struct resource *resource; /* valid during the call; NULL: the state knows it no more, the */
			const struct role *role;         /* local record tells how to stop it */
		} agent;
		struct {
			uint32_t node;
			uint64_t incarnation;
			const char *name;
		} fence;
		struct {
			bool armed;             /* false: release it (disarmed, left) */
			uint64_t until_mono_ms; /* UINT64_MAX: no limit */
			uint64_t confirmed_mono_ms;
			uint32_t t_stop_ms;
		} watchdog;
		struct {
			int priority; /* syslog's */
			const char *text;
		} trace;
		/*
		 * The witness remembers of its newest claim the epochs (take and have) and the node. A claim fails while
		 * another holds it, and when the remembered take is above `have_epoch`: this node's state would be older
		 * than what the witness helped to decide. Unless that claimant is one of `present` and the remembered have
		 * is not above `have_epoch`: only voters claim, nothing was decided in that epoch without the claimant's
		 * disk, its state says that nothing was, and all that was decided before is known here. A claim that
		 * succeeds leaves its own. A newer claim takes the place of one that has not been answered: one answer for
		 * both.
		 */
		struct {
			uint64_t have_epoch, take_epoch;
			nodeset_t present;
		} witness;
		bool quorate;
		const char *text;
	};
};

struct core_sink {
	void (*act)(void *user, const struct core_action *action);
	void *user;
};

/* Bytes core_init() needs. The memory may be lazily backed; most of it is touched by large clusters only. */
size_t core_size(void);
/* `memory` is zeroed, suitably aligned memory of core_size() bytes. */
struct core *core_init(void *memory, const struct core_config *config);
/*
 * Before the first step: what the database held. -EBADMSG: not an object; the shell refuses the database then. At the end
 * the incarnation is raised above the one the database knows, should the wall clock have gone back.
 */
int core_load_object(struct core *core, const void *encoded, size_t len);
void core_load_done(struct core *core, struct tag tag, uint64_t promised);

void core_step(struct core *core, const struct core_event *event, const struct core_sink *sink);

/* For looking: the replicated state, and the node's own view of things. */
const struct state *core_state(const struct core *core);
/* As it was raised above the database's. */
uint64_t core_incarnation(const struct core *core);

struct core_status {
	enum core_phase phase;
	bool quorate, witness_held;
	uint64_t view;
	nodeset_t members;     /* of the group */
	nodeset_t waiting_for; /* whose HELLO, SYNCED or inventory is missing */
	nodeset_t slow;        /* members behind on disk or silent */
	struct tag tag, durable;
	uint64_t digest, promised;
	uint32_t pending;
	uint32_t runs; /* resources that may run here */
	uint32_t stop_left_ms;
	const char *text; /* one line: what is waited for */
};
void core_status(struct core *core, uint64_t mono_ms, struct core_status *ret);
/* The spare half of the memory, unused outside PHASE_LOADING: the shell may give its pages back. */
void core_spare(const struct core *core, void **ret_memory, size_t *ret_size);

#endif
