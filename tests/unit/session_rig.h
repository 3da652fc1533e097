/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The session of a csvfs (session.c) with an owner that is a thread of the test for each connection. The test defines answer(),
 * and recall_received(), which elsewhere belongs to files this rig does not have.
 */
#ifndef TESTS_UNIT_SESSION_RIG_H
#define TESTS_UNIT_SESSION_RIG_H

#include "csvfs/fuse/csvfs.h"
#include "tests/unit/serving_rig.h"
#include "text.h"

struct csvfs csvfs;

int recover_session(void) { return 0; }
void recover_lost(void) {}
void device_again(void) {}
void turn_pass(void) {}

/* What the owner does with a question or a RECALLED; false: the connection ends. Each connection has its thread. */
static bool answer(struct link *l, const struct vol_message *q);

static inline struct vol_welcome rig_welcome(uint64_t owner)
{
	return (struct vol_welcome){ .epoch = owner, .owner = owner, .level = VOL_LEVEL, .window = VOL_WINDOW_MAX,
				     .io_max = VOL_IO_MAX, .owner_node = 1, .root = { .len = 1 } };
}

static inline void rig_serve(struct link *l) { serving_answers(l, answer); }

static inline void rig_start(void)
{
	static struct serving serving = { .serve = rig_serve };

	memset(&csvfs.key, 7, sizeof(csvfs.key));
	serving.key = csvfs.key;
	serving_listen(&serving);
	serving_start(&serving);
	csvfs.owner_port = serving.port;
	csvfs.node = 1;
	csvfs.pause_max_ms = SERVING_MS;
	text_copy(csvfs.owner_address, sizeof(csvfs.owner_address), "127.0.0.1");
	REQUIRE(caching_start() == 0);
	REQUIRE(session_start() == 0);
}

#endif
