/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The control socket on libqb's IPC server. */
#include "clusterd/io/control.h"

#include <errno.h>
#include <qb/qbipcs.h>
#include <qb/qbutil.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "bounds.h"
#include "clusterd/io/process.h"
#include "clusterd/io/soon.h"
#include "units.h"

struct waiting {
	struct waiting *next;
	size_t size;
	uint8_t bytes[];
};

struct client {
	struct control *owner; /* NULL: control_close() has begun */
	qb_ipcs_connection_t *connection;
	uint32_t id;
	enum control_access access;
	bool open;         /* connection_created seen, closed not */
	bool ending;       /* to be disconnected at the next turn of the loop */
	bool refused_data; /* a reply got -EAGAIN: tell when writable */
	struct waiting *first, **last;
	size_t backlog;
	uint64_t progress_ms; /* it last took something, or had nothing to take */
};

struct control {
	qb_loop_t *loop;
	qb_ipcs_service_t *service;
	struct control_handlers handlers;
	void *ctx;
	struct access *access;
	struct client *clients[CONTROL_CLIENT_MAX];
	uint32_t last_id;
	qb_loop_timer_handle flush_timer, end_timer;
};

/* libqb's poll callbacks have no context: one server a process, on one loop. */
static qb_loop_t *poll_loop;

static int32_t poll_job_add(enum qb_loop_priority p, void *data, qb_loop_job_dispatch_fn fn)
{
	return qb_loop_job_add(poll_loop, p, data, fn);
}

static int32_t poll_add(enum qb_loop_priority p, int32_t fd, int32_t events, void *data, qb_ipcs_dispatch_fn_t fn)
{
	return qb_loop_poll_add(poll_loop, p, fd, events, data, fn);
}

static int32_t poll_mod(enum qb_loop_priority p, int32_t fd, int32_t events, void *data, qb_ipcs_dispatch_fn_t fn)
{
	return qb_loop_poll_mod(poll_loop, p, fd, events, data, fn);
}

static int32_t poll_del(int32_t fd) { return qb_loop_poll_del(poll_loop, fd); }

/* --- clients --- */

static struct client *client_find(const struct control *c, uint32_t id)
{
	for (size_t i = 0; i < CONTROL_CLIENT_MAX; i++)
		if (c->clients[i] && c->clients[i]->id == id)
			return c->clients[i];
	return NULL;
}

static void backlog_clear(struct client *client)
{
	while (client->first) {
		struct waiting *w = client->first;

		client->first = w->next;
		free(w);
	}
	client->last = &client->first;
	client->backlog = 0;
}

static int32_t on_accept(qb_ipcs_connection_t *connection, uid_t uid, gid_t gid)
{
	struct control *c = qb_ipcs_connection_service_context_get(connection);
	struct qb_ipcs_connection_stats stats = { 0 };
	enum control_access access;
	struct client *client;
	size_t slot = 0;

	qb_ipcs_connection_stats_get(connection, &stats, QB_FALSE);
	access = access_of(c->access, stats.client_pid, uid, gid);
	if (access == CONTROL_NONE)
		return -EACCES;
	/* The client names the size of the shared memory, four gigabytes if it likes: even a reader could stop the host. */
	if ((uint32_t)qb_ipcs_connection_get_buffer_size(connection) > CONTROL_BUFFER_SIZE)
		return -EMSGSIZE;
	while (slot < CONTROL_CLIENT_MAX && c->clients[slot])
		slot++;
	if (slot == CONTROL_CLIENT_MAX)
		return -EMFILE;
	client = calloc(1, sizeof(*client));
	if (!client)
		return -ENOMEM;
	client->owner = c;
	client->connection = connection;
	client->access = access;
	client->last = &client->first;
	c->last_id = c->last_id == UINT32_MAX ? 1 : c->last_id + 1;
	client->id = c->last_id;
	client->progress_ms = process_now_ms();
	c->clients[slot] = client;
	/* the shared memory of this connection belongs to its user and to nobody else */
	qb_ipcs_connection_auth_set(connection, uid, gid, 0600);
	qb_ipcs_context_set(connection, client);
	return 0;
}

static void on_created(qb_ipcs_connection_t *connection)
{
	struct client *client = qb_ipcs_context_get(connection);

	client->open = true;
}

static void on_end_timer(void *data)
{
	struct control *c = data;

	c->end_timer = 0;
	for (size_t i = 0; i < CONTROL_CLIENT_MAX; i++)
		if (c->clients[i] && c->clients[i]->ending && c->clients[i]->open)
			qb_ipcs_disconnect(c->clients[i]->connection);
}

/* Not at once: libqb looks at the connection, and its caller at the request in its ring, after on_message() returned. */
static void end_soon(struct client *client)
{
	struct control *c = client->owner;

	client->ending = true;
	if (!c->end_timer)
		soon_add(c->loop, QB_LOOP_HIGH, c, on_end_timer, &c->end_timer);
}

static int32_t on_message(qb_ipcs_connection_t *connection, void *data, size_t size)
{
	struct client *client = qb_ipcs_context_get(connection);
	struct control_request_header head; /* in the ring it is not aligned */

	if (!client || !client->owner || client->ending)
		return 0;
	if (size >= sizeof(head))
		memcpy(&head, data, sizeof(head));
	if (size < sizeof(head) || head.qb.id != CONTROL_MESSAGE_ID || head.qb.size < 0 || (size_t)head.qb.size != size ||
	    size - sizeof(head) > CONTROL_DATA_MAX) {
		end_soon(client); /* not our protocol */
		return 0;
	}
	client->owner->handlers.on_request(client->owner->ctx, client->id, client->access, (const uint8_t *)data + sizeof(head),
					   size - sizeof(head));
	return 0;
}

static int32_t on_closed(qb_ipcs_connection_t *connection)
{
	struct client *client = qb_ipcs_context_get(connection);
	struct control *c = client ? client->owner : NULL;

	if (c && client->open) {
		client->open = false;
		backlog_clear(client);
		c->handlers.on_close(c->ctx, client->id);
	}
	return 0;
}

static void on_destroyed(qb_ipcs_connection_t *connection)
{
	struct client *client = qb_ipcs_context_get(connection);

	if (!client)
		return;
	for (size_t i = 0; client->owner && i < CONTROL_CLIENT_MAX; i++)
		if (client->owner->clients[i] == client)
			client->owner->clients[i] = NULL;
	backlog_clear(client);
	qb_ipcs_context_set(connection, NULL);
	free(client);
}

/* --- replies --- */

static int client_send(struct client *client, const void *message, size_t size)
{
	ssize_t n = qb_ipcs_event_send(client->connection, message, size);

	if (n == (ssize_t)size)
		return 0;
	return n == -EAGAIN || n == -ENOBUFS || n == -ETIMEDOUT ? -EAGAIN : n < 0 ? (int)n : -EIO;
}

/* 0: empty; -EAGAIN: the client is full; other: it is gone. */
static int client_flush(struct client *client)
{
	while (client->first) {
		struct waiting *w = client->first;
		int error = client_send(client, w->bytes, w->size);

		if (error)
			return error;
		client->progress_ms = process_now_ms();
		client->first = w->next;
		if (!client->first)
			client->last = &client->first;
		client->backlog -= w->size;
		free(w);
	}
	return 0;
}

static void flush_later(struct control *c);

static void on_flush_timer(void *data)
{
	struct control *c = data;
	bool again = false;

	c->flush_timer = 0;
	for (size_t i = 0; i < CONTROL_CLIENT_MAX; i++) {
		struct client *client = c->clients[i];
		int error;

		if (!client || !client->open || client->ending || (!client->first && !client->refused_data))
			continue;
		error = client_flush(client);
		if (error == -EAGAIN && process_now_ms() - client->progress_ms < CONTROL_STALL_MS) {
			again = true;
		} else if (error) {
			qb_ipcs_disconnect(client->connection);
		} else if (client->refused_data) {
			client->refused_data = false;
			if (c->handlers.on_writable)
				c->handlers.on_writable(c->ctx, client->id);
			again = true;
		}
	}
	if (again)
		flush_later(c);
}

static void flush_later(struct control *c)
{
	if (!c->flush_timer)
		qb_loop_timer_add(c->loop, QB_LOOP_MED, CONTROL_FLUSH_MS * (uint64_t)QB_TIME_NS_IN_MSEC, c, on_flush_timer,
				  &c->flush_timer);
}

static int backlog_add(struct client *client, const void *message, size_t size)
{
	struct waiting *w;

	if (client->backlog + size > CONTROL_BACKLOG_MAX) {
		client->refused_data = true;
		return -EAGAIN;
	}
	w = malloc(sizeof(*w) + size);
	if (!w)
		return -ENOMEM;
	w->next = NULL;
	w->size = size;
	memcpy(w->bytes, message, size);
	if (!client->first)
		client->progress_ms = process_now_ms();
	*client->last = w;
	client->last = &w->next;
	client->backlog += size;
	flush_later(client->owner);
	return 0;
}

int control_reply(struct control *c, uint32_t conn, const void *data, size_t len)
{
	struct client *client = client_find(c, conn);
	static uint8_t message[sizeof(struct control_event_header) + CONTROL_DATA_MAX];
	struct control_event_header head = { 0 };
	size_t size = sizeof(head) + len;
	int error = -EAGAIN;

	if (len > CONTROL_DATA_MAX)
		return -EMSGSIZE;
	if (!client || !client->open || client->ending)
		return -ENOTCONN;
	head.qb.id = CONTROL_MESSAGE_ID;
	head.qb.size = (int32_t)size;
	memcpy(message, &head, sizeof(head));
	if (len)
		memcpy(message + sizeof(head), data, len);
	if (!client->first)
		error = client_send(client, message, size);
	if (error == -EAGAIN)
		return backlog_add(client, message, size);
	return error ? -ENOTCONN : 0;
}

void control_disconnect(struct control *c, uint32_t conn)
{
	struct client *client = client_find(c, conn);

	if (client && client->open)
		end_soon(client);
}

size_t control_connections(const struct control *c, uint32_t *out, size_t max)
{
	size_t n = 0;

	for (size_t i = 0; i < CONTROL_CLIENT_MAX && n < max; i++)
		if (c->clients[i] && c->clients[i]->open)
			out[n++] = c->clients[i]->id;
	return n;
}

int control_open(struct control **ret_control, qb_loop_t *loop, const char *run_dir, const char *group_full,
		 const char *group_read, const struct control_handlers *handlers, void *ctx)
{
	static struct qb_ipcs_service_handlers service_handlers = {
		.connection_accept = on_accept,
		.connection_created = on_created,
		.msg_process = on_message,
		.connection_closed = on_closed,
		.connection_destroyed = on_destroyed,
	};
	static struct qb_ipcs_poll_handlers poll_handlers = {
		.job_add = poll_job_add,
		.dispatch_add = poll_add,
		.dispatch_mod = poll_mod,
		.dispatch_del = poll_del,
	};
	struct control *c = calloc(1, sizeof(*c));
	char name[CONTROL_NAME_SIZE];
	int error;

	if (!c)
		return -ENOMEM;
	c->loop = poll_loop = loop;
	c->handlers = *handlers;
	c->ctx = ctx;
	error = access_new(&c->access, group_full ? group_full : "clusterd", group_read ? group_read : "clusterd-ro");
	if (error) {
		free(c);
		return error;
	}
	control_name(run_dir, name);
	c->service = qb_ipcs_create(name, 0, QB_IPC_NATIVE, &service_handlers);
	if (!c->service) {
		access_free(c->access);
		free(c);
		return -ENOMEM;
	}
	qb_ipcs_service_context_set(c->service, c);
	qb_ipcs_poll_handlers_set(c->service, &poll_handlers);
	qb_ipcs_enforce_buffer_size(c->service, CONTROL_BUFFER_SIZE);
	error = qb_ipcs_run(c->service);
	if (error) {
		access_free(c->access);
		free(c); /* qb_ipcs_run() has dropped the service */
		return error;
	}
	*ret_control = c;
	return 0;
}

void control_close(struct control *c)
{
	if (!c)
		return;
	if (c->flush_timer)
		qb_loop_timer_del(c->loop, c->flush_timer);
	if (c->end_timer)
		qb_loop_timer_del(c->loop, c->end_timer);
	for (size_t i = 0; i < CONTROL_CLIENT_MAX; i++) {
		if (!c->clients[i])
			continue;
		client_flush(c->clients[i]);
		c->clients[i]->owner = NULL;
	}
	qb_ipcs_destroy(c->service);
	access_free(c->access);
	free(c);
}
