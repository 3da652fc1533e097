/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Parts of the shell: shell.c wires, shell_agents.c runs resources, shell_control.c serves clusterctl. */
#ifndef CLUSTERD_SHELL_PRIVATE_H
#define CLUSTERD_SHELL_PRIVATE_H

#include "clusterd/io/agents.h"
#include "clusterd/io/control.h"
#include "clusterd/io/fence.h"
#include "clusterd/io/ring.h"
#include "clusterd/io/store.h"
#include "clusterd/io/watchdog.h"
#include "clusterd/shell.h"

/* What a resource was started with: it is stopped with the same, whatever has been configured since. */
struct started {
	char *agent, *params, *name, *role;
};

struct waiter {
	uint32_t conn;
	struct tag known;
	uint64_t until_ms;
};

/* A long answer on its way to a client. */
struct stream {
	uint32_t conn;
	uint8_t *data;
	size_t len, at;
	bool objects; /* parts end where an object ends */
};

/* A change whose agents are being asked before it goes to the cluster. */
struct vetting {
	struct shell *shell;
	uint32_t conn;
	uint8_t *ops;
	size_t len, at; /* next operation to look at */
};

struct request {
	uint64_t id;
	uint32_t conn;
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
	qb_loop_timer_handle timer;
	uint32_t self;
	char node_name[NAME_SIZE];
	uint64_t confirmed_written_ms;
	uint64_t fence_incarnation[NODE_MAX + 1];
	bool members_known, stopping, spare_used;
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
	uint32_t n_requests, n_vettings;
	uint64_t next_request;
	struct tag told;
	struct change_op op; /* scratch */
};

/* Steps the core with the times filled in. Not from within an action. */
void shell_step(struct shell *s, struct core_event *event);
void shell_step_later(struct shell *s, const struct core_event *event);
/* Ends the loop; the program exits with `code`. */
void shell_end(struct shell *s, int code);

int shell_agents_open(struct shell *s, char *text, size_t text_size);
void shell_agents_close(struct shell *s);
void shell_agents_act(struct shell *s, const struct core_action *a);

int shell_control_open(struct shell *s, char *text, size_t text_size);
void shell_control_close(struct shell *s);
void shell_control_reply(struct shell *s, const struct core_action *a);
/* After each step: clients that wait for news get them. */
void shell_control_news(struct shell *s);
/* Asks the cluster to drain this node and let it go. */
void shell_control_leave(struct shell *s, uint32_t conn, bool force);

#endif
