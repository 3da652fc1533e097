/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The session of a csvfs (session.c) with an owner that is a thread of the test for each connection. The test defines answer(),
 * and recall_received(), which elsewhere belongs to files this rig does not have.
 */
#ifndef TESTS_UNIT_SESSION_RIG_H
#define TESTS_UNIT_SESSION_RIG_H

#include <sys/socket.h>

#include "csvfs/fuse/csvfs.h"
#include "tests/lib/check.h"
#include "text.h"

#define RIG_MS 20000

struct csvfs csvfs;

int recover_session(void) { return 0; }
void recover_lost(void) {}
void device_again(void) {}

/* What the owner does with a question or a RECALLED; false: the connection ends. Each connection has its thread. */
static bool answer(struct link *l, const struct vol_message *q);

static int rig_listener;

static inline struct vol_welcome rig_welcome(uint64_t owner)
{
	return (struct vol_welcome){ .epoch = owner, .owner = owner, .level = VOL_LEVEL, .window = VOL_WINDOW_MAX,
				     .io_max = VOL_IO_MAX, .owner_node = 1, .root = { .len = 1 } };
}

static inline void *rig_serve(void *data)
{
	struct link *l = data;
	struct link_frame f = { 0 };

	while (!link_receive(l, &f, -1) && answer(l, &f.m))
		;
	link_frame_done(&f);
	link_shutdown(l);
	link_free(l);
	return NULL;
}

static inline void *rig_accept(void *unused)
{
	(void)unused;
	for (;;) {
		struct link *l;
		pthread_t t;
		int fd = accept4(rig_listener, NULL, NULL, SOCK_CLOEXEC);

		if (fd < 0)
			return NULL;
		if (!link_accept(&l, fd, &csvfs.key, RIG_MS) && !pthread_create(&t, NULL, rig_serve, l))
			pthread_detach(t);
	}
}

static inline void rig_start(void)
{
	pthread_t t;

	memset(&csvfs.key, 7, sizeof(csvfs.key));
	rig_listener = link_listen("127.0.0.1", 0, &csvfs.owner_port);
	REQUIRE(rig_listener >= 0);
	REQUIRE(!pthread_create(&t, NULL, rig_accept, NULL));
	pthread_detach(t);
	csvfs.node = 1;
	csvfs.pause_max_ms = RIG_MS;
	text_copy(csvfs.owner_address, sizeof(csvfs.owner_address), "127.0.0.1");
	REQUIRE(caching_start() == 0);
	REQUIRE(session_start() == 0);
}

#endif
