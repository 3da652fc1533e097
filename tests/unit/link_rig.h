/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Two ends of a link over loopback, each accepted in a thread. */
#ifndef TESTS_UNIT_LINK_RIG_H
#define TESTS_UNIT_LINK_RIG_H

#include <pthread.h>
#include <sys/socket.h>
#include <unistd.h>

#include "clock.h"
#include "csvfs/io/link.h"
#include "tests/lib/check.h"

#define RIG_TIMEOUT_MS 20000

struct rig {
	int listener;
	uint16_t port;
	struct link_key key;
	uint32_t timeout_ms;
	struct link *server;
	int result;
	pthread_t thread;
};

static inline void *rig_accept(void *data)
{
	struct rig *r = data;
	int fd = accept4(r->listener, NULL, NULL, SOCK_CLOEXEC);

	r->result = fd < 0 ? -errno : link_accept(&r->server, fd, &r->key, r->timeout_ms);
	return NULL;
}

/* Listens and waits for one peer in a thread. */
static inline void rig_start(struct rig *r, uint8_t key_byte, uint32_t timeout_ms)
{
	memset(r, 0, sizeof(*r));
	memset(&r->key, key_byte, sizeof(r->key));
	r->timeout_ms = timeout_ms;
	r->listener = link_listen("127.0.0.1", 0, &r->port);
	REQUIRE(r->listener >= 0);
	REQUIRE(!pthread_create(&r->thread, NULL, rig_accept, r));
}

static inline int rig_finish(struct rig *r)
{
	pthread_join(r->thread, NULL);
	close(r->listener);
	return r->result;
}

static inline struct link *rig_pair(struct rig *r)
{
	struct link *client = NULL;

	rig_start(r, 7, RIG_TIMEOUT_MS);
	REQUIRE(link_connect(&client, "127.0.0.1", r->port, &r->key, RIG_TIMEOUT_MS) == 0);
	REQUIRE(rig_finish(r) == 0);
	return client;
}

static inline void rig_end(struct rig *r, struct link *client)
{
	link_free(client);
	link_free(r->server);
}

#endif
