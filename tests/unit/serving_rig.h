/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A peer at a port of loopback for what is tested: it accepts links, each has its thread. */
#ifndef TESTS_UNIT_SERVING_RIG_H
#define TESTS_UNIT_SERVING_RIG_H

#include <pthread.h>
#include <sys/socket.h>

#include "csvfs/io/link.h"
#include "tests/lib/check.h"

#define SERVING_MS 20000

/* Static: its threads end with the process. */
struct serving {
	struct link_key key;
	int listener;
	uint16_t port;
	/* All that there is to do by a link; then it ends. Several threads are in it at a time. */
	void (*serve)(struct link *l);
};

struct serving_link {
	const struct serving *serving;
	struct link *link;
};

static inline void *serving_one(void *data)
{
	struct serving_link *one = data;

	one->serving->serve(one->link);
	link_shutdown(one->link);
	link_free(one->link);
	free(one);
	return NULL;
}

static inline void *serving_all(void *data)
{
	const struct serving *s = data;
	int fd;

	while ((fd = accept4(s->listener, NULL, NULL, SOCK_CLOEXEC)) >= 0) {
		struct serving_link *one = malloc(sizeof(*one));
		pthread_t t;

		REQUIRE(one);
		one->serving = s;
		if (link_accept(&one->link, fd, &s->key, SERVING_MS)) {
			free(one);
			continue;
		}
		REQUIRE(!pthread_create(&t, NULL, serving_one, one));
		pthread_detach(t);
	}
	return NULL;
}

static inline void serving_listen(struct serving *s)
{
	s->listener = link_listen("127.0.0.1", 0, &s->port);
	REQUIRE(s->listener >= 0);
}

/* After serving_listen(), and after the forks of a test. */
static inline void serving_start(struct serving *s)
{
	pthread_t t;

	REQUIRE(!pthread_create(&t, NULL, serving_all, s));
	pthread_detach(t);
}

/* What a `serve` does that has nothing but an answer to each frame; false: the link ends. */
static inline void serving_answers(struct link *l, bool (*answer)(struct link *l, const struct vol_message *q))
{
	struct link_frame f = { 0 };

	while (!link_receive(l, &f, -1) && answer(l, &f.m))
		;
	link_frame_done(&f);
}

#endif
