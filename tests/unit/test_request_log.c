/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A request that is sent again happens once: stories, and random frames against a naive model. */
#include "csvfs/core/request_log.h"
#include "splitmix.h"
#include "tests/lib/check.h"

#define SESSIONS 3
#define NUMBERS 64
#define ENTRIES 48
#define STEPS 40000

static void classes(void)
{
	static const uint16_t intents[] = { VOL_CREATE, VOL_MKNOD, VOL_SYMLINK, VOL_LINK, VOL_UNLINK, VOL_RENAME };
	static const uint16_t kept[] = { VOL_SETATTR, VOL_WRITE, VOL_FALLOCATE, VOL_COPY, VOL_SETXATTR, VOL_TOUCH };
	static const uint16_t repeated[] = { VOL_LOOKUP, VOL_GETATTR, VOL_READ, VOL_LEASE, VOL_LOCK, VOL_FSYNC,
					     VOL_RELEASE, VOL_OPEN };
	struct vol_message m = { .type = VOL_WRITE };

	m.write.append = 1;
	CHECK_EQ(request_class(&m), REQUEST_INTENT);
	memset(&m, 0, sizeof(m));
	for (size_t i = 0; i < ARRAY_SIZE(intents); i++) {
		m.type = intents[i];
		CHECK_EQ(request_class(&m), REQUEST_INTENT);
	}
	for (size_t i = 0; i < ARRAY_SIZE(kept); i++) {
		m.type = kept[i];
		CHECK_EQ(request_class(&m), REQUEST_MEMORY);
	}
	for (size_t i = 0; i < ARRAY_SIZE(repeated); i++) {
		m.type = repeated[i];
		CHECK_EQ(request_class(&m), REQUEST_REPEAT);
	}
	m.open.flags = 01000; /* O_TRUNC changes the file */
	CHECK_EQ(request_class(&m), REQUEST_MEMORY);
}

static struct request_log *new_log(uint32_t entries) { return request_log_init(malloc(request_log_size(entries)), entries); }

static void longest_answer(void)
{
	struct request_log *l = new_log(4);
	struct vol_message m = { .type = VOL_ENTRY, .request = 7 }, ret;
	uint8_t bytes[REQUEST_ANSWER_MAX];

	m.entry.file.len = VOL_FID_MAX;
	memset(m.entry.file.data, 9, VOL_FID_MAX);
	m.entry.attr.size = m.entry.parent.size = 123456789;
	CHECK_EQ(request_log_answer(l, 0, 7, &m), -ENOENT);
	CHECK_EQ(request_log_begin(l, 0, 7, &ret), REQUEST_NEW);
	CHECK_EQ(request_log_answer(l, 0, 7, &m), 0);
	CHECK_EQ(request_log_begin(l, 0, 7, &ret), REQUEST_ANSWERED);
	CHECK_EQ(ret.entry.attr.size, 123456789);
	CHECK(vol_fid_equal(&ret.entry.file, &m.entry.file));
	memset(bytes, 0, sizeof(bytes));
	m = (struct vol_message){ .type = VOL_DATA, .request = 8, .data = { .bytes = { bytes, sizeof(bytes) } } };
	CHECK_EQ(request_log_begin(l, 0, 8, &ret), REQUEST_NEW);
	CHECK_EQ(request_log_answer(l, 0, 8, &m), -E2BIG);
	CHECK_EQ(request_log_begin(l, VOL_SESSION_MAX, 8, &ret), REQUEST_FULL);
	free(l);
}

/* A session's share is bounded, and what it has acknowledged makes room. */
static void share(void)
{
	struct request_log *l = new_log(REQUEST_LOG_SESSION_MAX + 1);
	struct vol_message ret;

	for (uint64_t n = 1; n <= REQUEST_LOG_SESSION_MAX; n++)
		CHECK_EQ(request_log_begin(l, 5, n, &ret), REQUEST_NEW);
	CHECK_EQ(request_log_begin(l, 5, 5000, &ret), REQUEST_FULL);
	CHECK_EQ(request_log_begin(l, 6, 1, &ret), REQUEST_NEW);
	CHECK_EQ(request_log_begin(l, 7, 1, &ret), REQUEST_FULL);
	request_log_answered(l, 5, 3);
	request_log_answered(l, 5, 2);
	CHECK_EQ(request_log_mark(l, 5), 3);
	CHECK_EQ(request_log_begin(l, 5, 2, &ret), REQUEST_OLD);
	CHECK_EQ(request_log_begin(l, 5, 5000, &ret), REQUEST_NEW);
	request_log_session_gone(l, 5);
	CHECK_EQ(request_log_count(l, 5), 0);
	CHECK_EQ(request_log_begin(l, 5, 1, &ret), REQUEST_NEW);
	free(l);
}

struct model {
	uint64_t mark;
	int state[NUMBERS]; /* -1 nothing, 0 in progress, else the answer's size */
};

static int used(const struct model *m)
{
	int n = 0;

	for (int i = 0; i < NUMBERS; i++)
		n += m->state[i] >= 0;
	return n;
}

static void model_forget(struct model *m, uint64_t below)
{
	for (uint64_t i = 0; i < below && i < NUMBERS; i++)
		m->state[i] = -1;
}

static void step_begin(struct request_log *l, struct model *all, uint32_t s, uint64_t n)
{
	struct model *m = &all[s];
	struct vol_message ret;
	enum request_state state = request_log_begin(l, s, n, &ret);
	int total = 0;

	for (int i = 0; i < SESSIONS; i++)
		total += used(&all[i]);
	if (n < m->mark) {
		CHECK_EQ(state, REQUEST_OLD);
	} else if (m->state[n] > 0) {
		if (CHECK_EQ(state, REQUEST_ANSWERED))
			CHECK_EQ(ret.written.size, m->state[n]);
	} else if (!m->state[n]) {
		CHECK_EQ(state, REQUEST_IN_PROGRESS);
	} else if (total >= ENTRIES) {
		CHECK_EQ(state, REQUEST_FULL);
	} else {
		CHECK_EQ(state, REQUEST_NEW);
		m->state[n] = 0;
	}
}

static void step_answer(struct request_log *l, struct model *m, uint32_t s, uint64_t n, int size)
{
	struct vol_message answer = { .type = VOL_WRITTEN, .request = n, .written = { .size = (uint32_t)size } };

	CHECK_EQ(request_log_answer(l, s, n, &answer), m->state[n] >= 0 ? 0 : -ENOENT);
	if (m->state[n] >= 0)
		m->state[n] = size;
}

static void against_model(uint64_t seed)
{
	struct request_log *l = new_log(ENTRIES);
	struct model all[SESSIONS];
	uint64_t rng = seed;

	memset(all, 0xff, sizeof(all));
	for (int i = 0; i < SESSIONS; i++)
		all[i].mark = 0;
	for (int step = 1; step <= STEPS && !check_failed; step++) {
		uint32_t s = (uint32_t)(splitmix_next(&rng) % SESSIONS), what = (uint32_t)(splitmix_next(&rng) % 100);
		uint64_t n = splitmix_next(&rng) % NUMBERS;

		if (what < 55) {
			step_begin(l, all, s, n);
		} else if (what < 90) {
			step_answer(l, &all[s], s, n, step);
		} else if (what < 97) {
			n = n % 4 + all[s].mark;
			request_log_answered(l, s, n);
			all[s].mark = n;
			model_forget(&all[s], n);
		} else {
			request_log_session_gone(l, s);
			all[s].mark = 0;
			model_forget(&all[s], NUMBERS);
		}
		if (all[s].mark >= NUMBERS - 8) {
			request_log_session_gone(l, s);
			all[s].mark = 0;
			model_forget(&all[s], NUMBERS);
		}
		CHECK_EQ(request_log_count(l, s), used(&all[s]));
		CHECK_EQ(request_log_mark(l, s), all[s].mark);
	}
	if (check_failed)
		fprintf(stderr, "seed %llu\n", (unsigned long long)seed);
	free(l);
}

int main(void)
{
	classes();
	longest_answer();
	share();
	for (uint64_t seed = 1; seed <= 5; seed++)
		against_model(seed);
	return check_result();
}
