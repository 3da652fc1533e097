/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Parts of the shell: shell.c wires, shell_agents.c runs resources, shell_control.c serves clusterctl,
 * shell_vet.c asks agents about changes.
 */
#ifndef CLUSTERD_SHELL_PRIVATE_H
#define CLUSTERD_SHELL_PRIVATE_H

#include "clusterd/io/agents.h"
#include "clusterd/io/control.h"
#include "clusterd/io/fence.h"
#include "clusterd/io/ring.h"
#include "clusterd/io/store.h"
#include "clusterd/io/watchdog.h"
#include "clusterd/shell.h"

#define SHELL_REPEATS 16           /* lines of the core that are remembered */
#define SHELL_REPEAT_MS 10000      /* the same line is logged once in this time */
#define SHELL_LEAVE_RETRY_MS 1000  /* the cluster is asked again to let this node go */

/* What a resource was started with: it is stopped with the same, whatever has been configured since. */
struct started {
	char *agent, *params, *name, *role;
};

struct waiter {
	uint32_t conn;
	struct tag known;
	uint64_t until_ms;
};

/* A message's worth of a long answer. */
struct part {
	struct part *next;
	size_t len;
	uint8_t bytes[PAYLOAD_MAX];
};

/* A long answer on its way to a client: the parts that are still to be sent. */
struct stream {
	uint32_t conn;
	struct part *first, *last;
};

/* Somebody waits for an agent's meta-data or a backup. */
struct fetch {
	struct fetch *next, **prev;
	struct shell *shell;
	uint32_t conn;
};

struct vetting;

struct request {
	uint64_t id;
	uint32_t conn;
};

/* A line of the core that may come again and again. */
struct repeat {
	uint64_t hash, until_ms;
	uint32_t held_back;
};

struct shell {
	qb_loop_t *loop;
	struct options options;
	struct core *core;
	void *memory;
	struct core_sink sink;
	struct ring *ring;
	struct store *store;
	struct watchdog *watchdog;
	struct fence *fence;
	struct agents *agents;
	struct control *control;
	struct volumes *volumes;
	qb_loop_timer_handle timer;
	uint32_t self;
	char node_name[NAME_SIZE];
	uint64_t confirmed_written_ms;
	uint64_t fence_incarnation[NODE_MAX + 1];
	bool stopping, spare_used, quorate, store_failing, released_written;
	struct repeat repeats[SHELL_REPEATS];
	int exit_code;
	/* shell_agents.c */
	struct started started[RESOURCE_MAX + 1];
	struct inventory_item *inventory;
	uint32_t n_inventory, n_probes;
	uint64_t next_probe;
	/* shell_control.c */
	struct waiter waiters[CONTROL_CLIENT_MAX];
	uint32_t n_waiters;
	struct stream streams[SHELL_SNAPSHOTS_MAX];
	struct request requests[PENDING_MAX];
	uint32_t n_requests;
	uint64_t next_request, leave_request, leave_next_ms;
	struct fetch *fetches;
	/* shell_vet.c */
	struct vetting *vettings;
	uint32_t n_vettings;
	struct change_op op; /* scratch */
};

/* Steps the core with the times filled in. Not from within an action. */
void shell_step(struct shell *s, struct core_event *event);
void shell_step_later(struct shell *s, const struct core_event *event);
/* Ends the loop; the program exits with `code`. */
void shell_end(struct shell *s, int code);

/* Something that a run of clusterd before this one has started may still run; before shell_agents_open(). */
bool shell_agents_recorded(const struct shell *s);
int shell_agents_open(struct shell *s, char *text, size_t text_size);
void shell_agents_close(struct shell *s);
void shell_agents_act(struct shell *s, const struct core_action *a);

/* Finds what a run of clusterd before has mounted; before shell_agents_open(). */
int shell_volumes_open(struct shell *s, char *text, size_t text_size);
void shell_volumes_close(struct shell *s);
/* A csvfs that a run of clusterd before this one has started lives; before shell_volumes_open(). */
bool shell_volumes_recorded(const struct shell *s);
void shell_volumes_tick(struct shell *s);
/* A message of the ring, before the core sees it. */
void shell_volumes_message(struct shell *s, uint32_t sender, const void *data, size_t len);
/* ACTION_VOLUMES_END */
void shell_volumes_kill(struct shell *s);
/* How volumes do, as JSON: shell_volume_views.c. */
void shell_volumes_answer(struct shell *s, uint32_t conn, const struct msg_ctl_volumes *m);
/* Handed to the node that owns the volume: shell_volume_orders.c. */
void shell_volumes_order(struct shell *s, uint32_t conn, const struct msg_ctl_volume_order *order);
/* The epoch of an ownership whose start was ordered at this time of the replicated clock: ocf_clusterd_volume(7). */
uint64_t shell_epoch(uint64_t since_ms, uint64_t op);
void shell_find_program(const char *name, char *out, size_t size);

int shell_control_open(struct shell *s, char *text, size_t text_size);
void shell_control_close(struct shell *s);
void shell_control_reply(struct shell *s, const struct core_action *a);
/* After each step: clients that wait for news get them. */
void shell_control_news(struct shell *s);
/* A part before the answer: progress. Who does not take it does without. */
void shell_control_part(struct shell *s, uint32_t conn, const char *text);
/* Text of any length, in parts. */
void shell_control_answer_text(struct shell *s, uint32_t conn, const void *text, size_t len);
/* Asks the cluster to drain this node and let it go, unless that is under way. */
void shell_control_leave(struct shell *s);
/* The one answer of a request. */
void shell_control_answer(struct shell *s, uint32_t conn, enum refusal refusal, const char *detail);
/* Hands a change to the core; its answer goes to `conn`. */
void shell_control_submit(struct shell *s, uint32_t conn, const void *ops, size_t len);

/* Hands the change over when the agents of its resources accept their parameters; without `submit` they are asked alone. */
void shell_vet_change(struct shell *s, uint32_t conn, const void *ops, size_t len, bool submit);
/* The client is gone: its changes that still wait are not made. */
void shell_vet_forget(struct shell *s, uint32_t conn);
/* Changes that still wait are answered: they were not made. */
void shell_vet_close(struct shell *s);

#endif
