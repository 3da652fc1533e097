/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What one core is made of; shared by the files that implement it, and by nobody else. */
#ifndef CORE_CORE_PRIVATE_H
#define CORE_CORE_PRIVATE_H

#include "clusterd/core/canary.h"
#include "clusterd/core/change.h"
#include "clusterd/core/core.h"
#include "clusterd/core/node.h"
#include "clusterd/core/reason.h"
#include "clusterd/core/role.h"
#include "clusterd/core/state.h"
#include "clusterd/core/votes.h"

#define COMMITS_IN_FLIGHT_MAX 64    /* commits handed to the disk and not yet durable; more are held and become one */
#define DIGESTS_KEPT 1024           /* newest positions whose digest can be compared */
#define SNAPSHOT_WINDOW 16          /* parts of a snapshot on their way at once */
#define RESULTS_WINDOW 128          /* proposed results not yet applied */
#define REQUEST_BYTES_MAX (4u << 20) /* operations of unanswered requests */
#define REQUEST_TIMEOUT_MS 60000    /* then the requester is told that the outcome is unknown */
#define LOCAL_OP ((uint64_t)1 << 63) /* operations a node gives itself: never in the replicated state */
#define LOCAL_RETRY_MS 3000         /* pause before a failed local stop is tried again */
#define FENCE_RETRY_MS 10000        /* pause before a fence command is tried again */
#define ACTOR_STAGGER_MS 2000       /* the next in rank acts when the one before it has not for so long */
#define CLOCK_STEP_MS 1000          /* the replicated clock moves this often while there are changes … */
#define CLOCK_IDLE_MS (10 * MS_PER_MINUTE) /* … and so often when there are none */
#define CLOCK_JUMP_MAX_MS MS_PER_HOUR /* and never further at once: one node's broken clock does little harm */
#define WITNESS_RETRY_MS 3000
#define SYNC_STALL_MIN_MS 2500      /* a member that does not answer a view for so long is left out of it */

/* A view being agreed on, or agreed. */
struct view {
	uint64_t number;
	uint64_t round_id; /* number, changed by each exclusion: what HELLO, SNAPSHOT and SYNCED answer */
	nodeset_t members, excluded;
	nodeset_t died; /* their clusterd ended, their corosync did not: it may be back in a moment */
	uint64_t since_ms; /* monotonic: start of this round, or of loading */
	uint64_t hello_ms; /* monotonic: when our HELLO of this round left */
	nodeset_t hello_in, synced_in, behind;
	struct msg_hello hello[NODE_MAX + 1];
	uint64_t hello_cluster[NODE_MAX + 1], hello_sent_ms[NODE_MAX + 1];
	uint32_t winner;   /* has the state everybody takes */
	uint64_t target;   /* epoch the view will open */
	uint64_t promise_cookie;
	bool synced_sent, forced;
	uint64_t force_request; /* ours to answer */
	bool witness_claimed, witness_held; /* held: by one of the participants, for all */
	bool witness_ours; /* this node has claimed it and not let go */
	uint64_t witness_next_ms;
	/* snapshot: the sender's cursor, the receiver's next part */
	uint64_t cursor;
	uint32_t parts_sent, parts_seen, parts_got;
	bool all_sent;
};

/* How far the position is on whose disk. */
struct ledger {
	uint64_t cookie;      /* of the newest commit handed to the disk */
	uint64_t cookie_done; /* and of the newest durable one */
	struct tag cookie_tag[COMMITS_IN_FLIGHT_MAX];
	bool commit_held;     /* a commit waits for one in flight */
	struct tag own;       /* durable here */
	uint64_t durable[NODE_MAX + 1]; /* sequence in the present epoch, by node */
	uint64_t committed;   /* sequence that a majority has on disk */
	uint64_t behind_ms[NODE_MAX + 1]; /* monotonic: since when a node's disk lags and makes no progress; 0: it does not */
	bool durable_in_flight;
	uint64_t digest_seq[DIGESTS_KEPT], digest[DIGESTS_KEPT];
	nodeset_t differs;    /* nodes whose digest was not ours */
};

enum pending_state { PENDING_FREE, PENDING_HELD, PENDING_PROPOSED, PENDING_APPLIED };

struct pending {
	enum pending_state state;
	uint64_t id, number, seq, since_ms;
	uint32_t offset, len; /* in bytes[] */
};

struct requests {
	struct pending ring[PENDING_MAX];
	uint32_t head, tail; /* indexes modulo PENDING_MAX; tail is the oldest */
	uint64_t next_number;
	uint32_t byte_head;
	uint8_t bytes[REQUEST_BYTES_MAX];
};

struct local_result {
	uint64_t op;
	uint32_t rc;
	uint8_t action, status, present, proposed;
	char output[TEXT_SIZE];
};

/* What this node itself does and has running. */
struct local {
	uint8_t runs[RESOURCE_MAX + 1];     /* may be running here */
	uint8_t found[RESOURCE_MAX + 1];    /* enum resource_state of one that runs, for the inventory */
	uint64_t op[RESOURCE_MAX + 1];      /* in flight with the agent */
	uint8_t op_action[RESOURCE_MAX + 1];
	uint32_t monitored[RESOURCE_MAX + 1]; /* hash of the running monitor's settings, 0: none */
	uint64_t start_seq[RESOURCE_MAX + 1]; /* a start waits until this is committed; 0: none */
	uint64_t retry_ms[RESOURCE_MAX + 1]; /* its stop failed in this view, and is tried again from then on; 0: it did not */
	struct local_result results[RESOURCE_MAX + 1];
	uint32_t high; /* highest id of which anything is noted here */
	uint32_t n_runs, n_ops, n_starts, n_results, n_proposed;
	uint64_t next_op;
	uint64_t confirmed_ms;   /* monotonic: when this node last knew that it had quorum */
	uint64_t alive_ms; /* when the newest sign of life left; on its way when above confirmed_ms */
	bool inventory_known, inventory_sent;
	bool kept;       /* it has stopped nothing of its own accord since its last inventory */
	bool hello_kept; /* what our HELLO of this view said of that */
	bool stopping;   /* everything, because quorum is lost */
	bool released;       /* the watchdog, because a majority knows that the cluster is disarmed */
	uint64_t disarm_seq; /* position at which this node saw that; 0: armed */
	bool declare_in_flight;
	bool self_fenced, restart_asked;
	struct volume_mark volumes[VOLUME_MAX]; /* that can be used here; ids rise */
	uint32_t n_volumes, n_mounts;
	uint64_t mount_run;
	bool volumes_known, volumes_in_flight;
	uint64_t watchdog_until; /* last told */
	bool watchdog_armed, watchdog_told;
};

struct core {
	struct core_config config;
	struct state *state, *spare;
	struct engine engine;
	const struct core_sink *sink;
	uint64_t mono_ms, wall_ms, step_gap_ms;
	enum core_phase phase;
	bool prevent;
	uint64_t promised;
	struct view view;
	struct ledger ledger;
	struct requests requests;
	struct local local;
	uint64_t heard_ms[NODE_MAX + 1];
	uint64_t said_ms[NODE_MAX + 1], said_at_ms[NODE_MAX + 1]; /* a member's wall clock when it last spoke; monotonic: when */
	uint64_t clock_moved_ms;              /* monotonic: when the replicated clock was last moved */
	uint64_t lost_ms[NODE_MAX + 1];       /* monotonic: since when we wait for its end */
	uint64_t opened_epoch;                /* the newest this node took part in */
	uint64_t fence_next_ms[NODE_MAX + 1];
	uint64_t asked_ms[NODE_MAX + 1];      /* monotonic: since when a member is to be fenced for a failed stop */
	uint64_t proof_next_ms[NODE_MAX + 1], kick_ms[NODE_MAX + 1];
	bool clock_in_flight, votes_in_flight, leave_sent, changed_since_clock;
	uint64_t exclude_sent_ms;
	struct cluster defaults; /* settings while there is no cluster yet */
	struct change_op op_scratch;
	struct change_outcome outcome;
	uint8_t frame[FRAME_MAX];
	char text[TEXT_SIZE];
};

/* core.c: common to all */
void core_act(struct core *c, const struct core_action *a);
void core_trace(struct core *c, int priority, const char *format, ...) __attribute__((format(printf, 3, 4)));
/* Fills in cluster, view and time, encodes, proposes. */
void core_propose(struct core *c, struct message *m);
/* Middle of the participants' clocks: one broken clock moves nothing. */
uint64_t core_middle_clock_ms(const struct core *c, const uint64_t clocks[NODE_MAX + 1]);
/* Members this view goes on with. */
nodeset_t core_participants(const struct core *c);
/* The one of the participants that acts for all in small things, after `waited_ms` the next in rank, and so on. */
bool core_is_actor(const struct core *c, uint64_t waited_ms);
/* After replicated state has changed: roles, local work, digest, disk. */
void core_settle(struct core *c);
const char *core_node_name(const struct core *c, uint32_t id);
/* "a, b, node 7", cut where out ends. */
void core_list_names(const struct core *c, nodeset_t set, char *out, size_t size);
/* The cluster's settings, or the defaults while none is known. */
static inline const struct cluster *core_cluster(const struct core *c)
{
	return c->state->cluster.object.used ? &c->state->cluster : &c->defaults;
}
static inline bool core_active(const struct core *c) { return c->phase == PHASE_ACTIVE; }

/* view.c */
void view_confchg(struct core *c, uint64_t number, nodeset_t members, nodeset_t procdown);
void view_lost(struct core *c);
void view_hello(struct core *c, uint32_t sender, const struct message *m);
void view_snapshot(struct core *c, uint32_t sender, const struct msg_snapshot *m);
void view_synced(struct core *c, uint32_t sender, const struct msg_synced *m);
void view_propose_exclude(struct core *c, nodeset_t silent);
void view_exclude(struct core *c, const struct msg_exclude *m);
void view_force(struct core *c, uint32_t sender, const struct msg_force *m);
void view_force_request(struct core *c, uint64_t id);
void view_witness(struct core *c, const struct msg_witness *m);
/* Lets go of the witness if this node has it. */
void view_witness_release(struct core *c);
void view_witness_event(struct core *c, bool held);
void view_persisted(struct core *c);
void view_tick(struct core *c);
/* Why these members are no quorum: which votes are missing, which of those here do not count. One line. */
void view_no_quorum_text(const struct core *c, char *text, size_t size);

/* view_open.c: the moment a view becomes active */
void view_open(struct core *c);

/* ledger.c */
void ledger_reset(struct core *c);
/* Hands the position to the disk; returns the cookie whose completion covers it. */
uint64_t ledger_commit(struct core *c);
void ledger_persisted(struct core *c, uint64_t cookie);
void ledger_durable(struct core *c, uint32_t sender, const struct msg_durable *m);
void ledger_alive(struct core *c, uint32_t sender, const struct msg_alive *m);
void ledger_tick(struct core *c);

/* requests.c */
void requests_add(struct core *c, uint64_t id, const void *ops, size_t len);
void requests_applied(struct core *c, const struct msg_change *m, bool applied);
void requests_committed(struct core *c);
void requests_view_open(struct core *c);
void requests_no_quorum(struct core *c);
void requests_tick(struct core *c);
uint32_t requests_count(const struct core *c);
void core_reply(struct core *c, uint64_t id, enum refusal refusal, const char *detail);

/* local.c */
void local_init(struct core *c);
void local_inventory(struct core *c, const struct inventory_item *items, uint32_t n);
void local_agent_result(struct core *c, const struct core_event *e);
/* A resource or its role's owner changed. */
void local_reconcile(struct core *c, uint32_t resource);
void local_reconcile_all(struct core *c);
void local_view_open(struct core *c);
/* Our own inventory: this node takes part from now on. */
void local_inventory_applied(struct core *c);
/* Begins the starts that wait, if a majority knows of them and this node hears of one. */
void local_start_waiting(struct core *c);
void local_result_applied(struct core *c, uint32_t resource, uint64_t op);
void local_tick(struct core *c);
/* Time left until all that runs here has stopped or the host is reset, should quorum stay lost; 0: nothing threatens. */
uint32_t local_stop_left_ms(const struct core *c);
/* Names of what runs here and belongs elsewhere, as many as fit; returns how many there are. */
uint32_t local_list_strays(const struct core *c, char *out, size_t size);

/* local_volumes.c */
void local_volumes(struct core *c, const struct core_event *e);
/* Tells the others what they do not know yet. */
void local_volumes_push(struct core *c);
void local_volumes_applied(struct core *c);
void local_silent(struct core *c, uint32_t node, const struct volume_mark *of);

/* duty.c: what one of the members does for all: fences, clock, votes, exclusion of the silent */
void duty_tick(struct core *c);
void duty_fence_result(struct core *c, uint32_t node, uint64_t incarnation, bool confirmed, const char *text);
void duty_committed(struct core *c);

#endif
