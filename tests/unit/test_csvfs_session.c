/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A session of csvfs with an owner that has no room: the same question comes again, and nobody hears of it. */
#include <sys/socket.h>

#include "csvfs/fuse/csvfs.h"
#include "tests/lib/check.h"
#include "text.h"

#define RIG_MS 20000
#define REFUSALS 3

struct csvfs csvfs;

int recover_session(void) { return 0; }
void recover_lost(void) {}
void device_again(void) {}
void recall_received(const struct vol_message *m, uint64_t generation) { (void)m, (void)generation; }

/* --- the owner: connections one after the other, a thread for each --- */

static struct rig {
	int listener;
	uint16_t port;
	pthread_mutex_t lock;
	uint64_t number;	  /* of the refused question */
	unsigned int seen, refuse; /* how often it came; how often it is refused */
	bool other_number;
} rig = { .lock = PTHREAD_MUTEX_INITIALIZER };

static uint32_t verdict(const struct vol_message *q)
{
	uint32_t error = 0;

	if (q->type == VOL_LOCK)
		return EAGAIN;
	if (q->type != VOL_GETATTR && q->type != VOL_WRITE)
		return 0;
	pthread_mutex_lock(&rig.lock);
	rig.other_number |= rig.seen && q->request != rig.number;
	rig.number = q->request;
	if (rig.seen++ < rig.refuse)
		error = VOL_AGAIN;
	pthread_mutex_unlock(&rig.lock);
	return error;
}

static bool answer(struct link *l, const struct vol_message *q)
{
	struct vol_message a = { .type = vol_answer_type(q->type), .request = q->request, .error = verdict(q) };

	if (q->type == VOL_HELLO)
		a.welcome = (struct vol_welcome){ .epoch = 1, .owner = 1, .level = VOL_LEVEL, .window = VOL_WINDOW_MAX,
						  .io_max = VOL_IO_MAX, .owner_node = 1, .root = { .len = 1 } };
	return !link_send(l, &a);
}

static void *serve(void *data)
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

static void *accept_all(void *unused)
{
	(void)unused;
	for (;;) {
		struct link *l;
		pthread_t t;
		int fd = accept4(rig.listener, NULL, NULL, SOCK_CLOEXEC);

		if (fd < 0)
			return NULL;
		if (!link_accept(&l, fd, &csvfs.key, RIG_MS) && !pthread_create(&t, NULL, serve, l))
			pthread_detach(t);
	}
}

static void start(void)
{
	pthread_t t;

	memset(&csvfs.key, 7, sizeof(csvfs.key));
	rig.listener = link_listen("127.0.0.1", 0, &rig.port);
	REQUIRE(rig.listener >= 0);
	REQUIRE(!pthread_create(&t, NULL, accept_all, NULL));
	pthread_detach(t);
	csvfs.node = 1;
	csvfs.pause_max_ms = RIG_MS;
	text_copy(csvfs.owner_address, sizeof(csvfs.owner_address), "127.0.0.1");
	csvfs.owner_port = rig.port;
	REQUIRE(session_start() == 0);
}

/* --- */

static void ask_refused(uint16_t type, unsigned int refuse)
{
	struct call c;

	pthread_mutex_lock(&rig.lock);
	rig.seen = 0;
	rig.refuse = refuse;
	pthread_mutex_unlock(&rig.lock);
	call_init(&c, type);
	CHECK_EQ(session_ask(&c), 0);
	call_done(&c);
	CHECK_EQ(rig.seen, refuse + 1);
	CHECK(!rig.other_number);
}

static void test_again(void)
{
	ask_refused(VOL_GETATTR, REFUSALS);
	ask_refused(VOL_WRITE, REFUSALS);
}

/* What a lock is answered is the application's. */
static void test_lock(void)
{
	struct call c;

	call_init(&c, VOL_LOCK);
	CHECK_EQ(session_ask(&c), -EAGAIN);
	call_done(&c);
}

int main(void)
{
	start();
	test_again();
	test_lock();
	session_stop();
	return check_result();
}
