/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A session of csvfs with an owner that has no room: the same question comes again, and nobody hears of it. */
#include "tests/unit/session_rig.h"

#define REFUSALS 3

void recall_received(const struct vol_message *m, uint64_t generation) { (void)m, (void)generation; }

/* --- the owner --- */

static struct rig {
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
		a.welcome = rig_welcome(1);
	return !link_send(l, &a);
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
	rig_start();
	test_again();
	test_lock();
	session_stop();
	return check_result();
}
