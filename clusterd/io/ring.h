/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The ring: membership, total order and the quorum device, all from corosync (CPG, votequorum, cmap, cfg), on one
 * qb_loop. Callbacks run from the loop, never from inside a call of this header.
 *
 * Order: on_view and on_message come in exactly the order CPG gives them; that order is the same on all members of a view.
 * A message is delivered to its sender too. Delivery is AGREED: a member may see a message that no survivor saw.
 *
 * What corosync 3.1.7 does (tests/lab/lab_ring_test.py holds it to this):
 * - CPG tells a change of nodes first and the totem ring it belongs to right after; views wait for both.
 * - A message that cpg_mcast_joined() took is never lost to its sender: what was not ordered before a partition is
 *   delivered in the sender's next view, after the view's notification. After a merge there is one view for all.
 * - votequorum counts a quorum device's votes on each node by that node's own poll alone, whatever quorum.device.model is
 *   called (but "net"). With votes = N, expected votes are 2N and quorum N+1: members with their device vote always have
 *   it (1+N), all members without never (N). Quorate 1-3 ms after ring_vote(true); also with 63 nodes. A daemon that
 *   hangs or died keeps its node's vote for quorum.device.timeout (a stopped node's one too), then it is gone; re-register
 *   at once works; an orderly end takes the vote back at once.
 * - After a membership change every corosync of the ring waits for the device's poll on each of its nodes, and no message
 *   goes through until then: polled at once with "no", but a hung daemon costs all of them quorum.device.sync_timeout
 *   (30 s by default!). 200 ms are enough for a daemon that lives, and missing it costs nothing: recommended.
 *
 * Figures by hand, 2 cores for all nodes, knet aes256, one sender, messages/s and median latency to oneself:
 *   size            64 B           1 KiB         16 KiB        48 KiB
 *    3 nodes   171000 0.30 ms   49000 0.27 ms  4360 0.39 ms  1440 0.77 ms   (three senders, 1 KiB: 22000 together)
 *   16 nodes    24000 2.1 ms     7600 2.2 ms    710 2.9 ms    220 4.6 ms
 *   63 nodes     5200 9.5 ms     1400            120
 *
 * Calls into corosync wait for its answer: one that is stopped (SIGSTOP) stops its clusterd at the next call, whose
 * watchdog then resets the node; peers see the node go by the token.
 *
 * Source: cpg_overview(3), cpg_model_initialize(3), votequorum_qdevice_register(3), votequorum_qdevice_poll(3),
 * corosync.conf(5).
 */
#ifndef CLUSTERD_RING_H
#define CLUSTERD_RING_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <qb/qbloop.h>

#include "bounds.h"
#include "units.h"

#define RING_QUEUE_MAX 1024                    /* messages waiting for corosync */
#define RING_QUEUE_BYTES_MAX (8u * 1024 * 1024) /* and their bytes */
#define RING_RETRY_MS 5                        /* pause after TRY_AGAIN */
#define RING_RECONNECT_MS 500                  /* pause between attempts to reach corosync */
#define RING_DEVICE_NAME "clusterd"            /* as votequorum shows it */

struct ring;

struct ring_view {
	/*
	 * Number of the view: same on all its members, different for each set of processes; a later totem ring has a higher
	 * one. (Ring sequence << 24 | hash of the members and their process ids: processes may come and go within a ring. A
	 * daemon that leaves and joins again must do so as another process.)
	 */
	uint64_t number;
	nodeset_t members;  /* nodes whose clusterd is in the group, this one included */
	nodeset_t joined;   /* since the view before */
	nodeset_t leave;    /* left in order (cpg_leave) */
	nodeset_t nodedown; /* their corosync is not in our ring any more: dead or parted */
	nodeset_t procdown; /* clusterd died, its corosync lives */
	uint32_t ring_node; /* id of the totem ring the view was formed in */
	uint64_t ring_seq;
};

struct ring_handlers {
	/* Connected and joined; the view that holds this node follows. Also after each reconnection. */
	void (*on_ready)(void *ctx);
	void (*on_view)(void *ctx, const struct ring_view *view);
	void (*on_message)(void *ctx, uint32_t sender, const void *data, size_t len);
	/*
	 * corosync is gone (error: negative errno). This node is in no view; unsent messages are dropped. The ring retries
	 * every RING_RECONNECT_MS and reports on_ready.
	 */
	void (*on_lost)(void *ctx, int error);
	/* An attempt to connect failed, for another reason than the one before; it is repeated as above. */
	void (*on_unreachable)(void *ctx, int error);
	/* What votequorum says, on each change; soon equal to what ring_vote() said last. */
	void (*on_votequorum)(void *ctx, bool quorate);
};

struct ring_node {
	uint32_t id;
	char name[NAME_SIZE]; /* nodelist.node.N.name, else its first address */
};

struct ring_info {
	char cluster_name[NAME_SIZE];
	uint32_t self;
	uint32_t token_ms, consensus_ms; /* totem's effective values (runtime.config.totem) */
	bool device;                     /* corosync.conf has quorum.device that we may drive */
	uint32_t device_votes;
	uint32_t node_count;
	struct ring_node nodes[NODE_MAX];
};

/*
 * Starts to connect; never blocks for corosync: a missing corosync is the same as a lost one, retried by timer.
 * `cluster_name` NULL: corosync's own. Group is "clusterd:<cluster_name>".
 */
int ring_new(struct ring **ret_ring, qb_loop_t *loop, const char *cluster_name, const struct ring_handlers *handlers,
	     void *ctx);
/* Leaves (if joined) and frees. */
void ring_free(struct ring *r);

/*
 * Sends to all members, in the order of the calls. 0: accepted by corosync or queued here (bounded, in order, flushed as
 * corosync takes it). -ENOBUFS: queue full, nothing was taken; -EMSGSIZE: longer than FRAME_MAX; -ENOTCONN: no corosync.
 * A message accepted before a membership change may be delivered in the next view: carry the view in it.
 */
int ring_send(struct ring *r, const void *data, size_t len);
size_t ring_queue_length(const struct ring *r);

/* Leaves the group in order: peers see `leave`. The ring stays connected but delivers nothing more. */
int ring_leave(struct ring *r);

/* What cmap says; re-read at each on_ready. NULL before the first. */
const struct ring_info *ring_info(const struct ring *r);

/*
 * Numeric address of a node of the node list in its first network, as the node list or, for a name there, corosync itself
 * has it. Waits for corosync's answer, as ring_kick() does. -ENOENT: no such node, or no address of it is known.
 */
int ring_address(struct ring *r, uint32_t node, char *out, size_t size);

/*
 * Makes the corosync of `node` exit, with `reason` in its log (corosync_cfg_kill_node). 0: asked; -EAGAIN: a membership
 * change is under way, ask again; other negative errno.
 */
int ring_kick(struct ring *r, uint32_t node, const char *reason);

/*
 * The vote of the quorum device for the view that was reported last. It is false after a view that lost a member and after
 * every change of corosync's membership, until told again: corosync is never quorate when the caller is not. A clusterd
 * that joins within the same totem ring leaves it. Call it for each view, also when the answer is the same. -ENOTSUP:
 * corosync.conf has no quorum.device, or it is the net model's.
 */
int ring_vote(struct ring *r, bool quorate);

#endif
