/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the files of the ring share: connection state (ring.c), quorum device (ring_device.c), cmap and cfg (ring_cmap.c). */
#ifndef CLUSTERD_RING_PRIVATE_H
#define CLUSTERD_RING_PRIVATE_H

#include <corosync/cmap.h>
#include <corosync/corotypes.h>
#include <corosync/cpg.h>
#include <corosync/votequorum.h>

#include "clusterd/io/ring.h"

enum ring_state { RING_DOWN, RING_CONNECTED, RING_JOINING, RING_IN, RING_LEFT };

struct ring_id {
	uint32_t node;
	uint64_t seq;
};

static inline bool ring_id_equal(struct ring_id a, struct ring_id b) { return a.node == b.node && a.seq == b.seq; }

struct ring_queued {
	void *data;
	size_t len;
};

struct ring {
	qb_loop_t *loop;
	struct ring_handlers handlers;
	void *ctx;
	char cluster_name[NAME_SIZE];
	enum ring_state state;
	bool ready;          /* on_ready was told, on_lost not */
	uint64_t connection; /* counts connections: callbacks may start over */
	int connect_error;   /* of the last attempt, told by on_unreachable */
	qb_loop_timer_handle connect_timer, retry_timer, device_timer;

	cpg_handle_t cpg;
	int cpg_fd;
	uint32_t pids[NODE_MAX + 1]; /* of the member processes; 0: none */
	struct ring_id totem;        /* last told by CPG */
	bool totem_known, totem_awaited;
	struct ring_view view; /* being collected */
	bool view_pending;
	struct ring_id view_ring; /* of the view reported last */

	struct ring_queued queue[RING_QUEUE_MAX];
	size_t queue_head, queued, queued_bytes;

	votequorum_handle_t vq;
	int vq_fd;
	int votequorum; /* its last word: 0 or 1; -1: none on this connection */
	bool device_registered;
	bool vq_ring_known;
	struct ring_id vq_ring;
	bool vote; /* for view_ring */
	uint32_t device_timeout_ms;

	cmap_handle_t cmap;
	struct ring_info info;
};

int ring_errno(cs_error_t e);
void ring_lost(struct ring *r, int error);

/* votequorum's part; without votequorum, or without a device in corosync.conf, all are no-ops. */
void ring_device_open(struct ring *r);
void ring_device_done(struct ring *r);
void ring_device_unregister(struct ring *r);
void ring_device_poll(struct ring *r);

int ring_cmap_read(struct ring *r);
void ring_cmap_done(struct ring *r);

#endif
