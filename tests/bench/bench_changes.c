/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Acknowledged changes as a client of the control socket sees them: `bench_changes SECONDS DEPTH ROLE COUNT` sets a field of
 * ROLE1..ROLEn in turn, with up to DEPTH requests under way, and prints one line:
 *
 *   CHANGES REFUSED SECONDS P50_US P99_US MAX_US
 *
 * Answers come in the order of the requests, as all are changes of one connection.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "clusterd/ctl/ctl_link.h"
#include "proto/object_text.h"
#include "units.h"

#define DEPTH_MAX (PENDING_MAX / 2)
#define SAMPLES_MAX (1u << 20)
#define OPS_SIZE 512
#define ANSWER_WAIT_MS 30000

struct run {
	struct ctl_link *link;
	const char *role;
	unsigned int roles, depth, sent, answered, refused;
	uint64_t sent_ns[DEPTH_MAX];
	uint32_t us[SAMPLES_MAX];
	struct change_op op;
};

static uint64_t now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static int ask(struct run *r)
{
	struct message m = { .type = CTL_CHANGE };
	uint8_t ops[OPS_SIZE];
	struct writer w = writer_of(ops, sizeof(ops));
	char value[16];

	r->op.verb = VERB_SET;
	r->op.kind = KIND_ROLE;
	snprintf(r->op.name, sizeof(r->op.name), "%s%u", r->role, 1 + r->sent % r->roles);
	snprintf(value, sizeof(value), "%u", 1 + r->sent);
	r->op.n_fields = 1;
	r->op.fields[0].number = object_field(object_type(KIND_ROLE), "memory_mb")->number;
	r->op.fields[0].how = EDIT_SET;
	r->op.fields[0].value = value;
	change_op_encode(&w, &r->op);
	m.ctl_change.ops = (struct span){ ops, writer_len(&w) };
	r->sent_ns[r->sent % DEPTH_MAX] = now_ns();
	r->sent++;
	return ctl_link_send(r->link, &m);
}

static int take(struct run *r)
{
	struct message m;
	int rc = ctl_link_receive(r->link, ANSWER_WAIT_MS, &m);

	if (rc || m.type != ANSWER)
		return rc ? rc : -EBADMSG;
	if (m.answer.refusal && !r->refused++)
		fprintf(stderr, "bench_changes: refused: %.*s\n", (int)m.answer.detail.len, (const char *)m.answer.detail.data);
	if (r->answered < SAMPLES_MAX)
		r->us[r->answered] = (uint32_t)((now_ns() - r->sent_ns[r->answered % DEPTH_MAX]) / 1000);
	r->answered++;
	return 0;
}

static int compare(const void *a, const void *b)
{
	uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

	return (x > y) - (x < y);
}

static int measure(struct run *r, double seconds)
{
	uint64_t began = now_ns(), until = began + (uint64_t)(seconds * 1e9);
	unsigned int n;
	int rc = 0;

	while (!rc && (now_ns() < until || r->answered < r->sent)) {
		while (!rc && now_ns() < until && r->sent - r->answered < r->depth)
			rc = ask(r);
		if (!rc && r->answered < r->sent)
			rc = take(r);
	}
	seconds = (double)(now_ns() - began) / 1e9;
	n = r->answered < SAMPLES_MAX ? r->answered : SAMPLES_MAX;
	if (rc || !n) {
		fprintf(stderr, "bench_changes: %u sent, %u answered: %s\n", r->sent, r->answered, strerror(-rc));
		return 1;
	}
	qsort(r->us, n, sizeof(r->us[0]), compare);
	printf("%u %u %.3f %u %u %u\n", r->answered - r->refused, r->refused, seconds, r->us[n / 2], r->us[n * 99ul / 100],
	       r->us[n - 1]);
	return 0;
}

int main(int argc, char **argv)
{
	struct run *r = calloc(1, sizeof(*r));
	int rc;

	if (argc != 5 || !r) {
		fprintf(stderr, "usage: bench_changes SECONDS DEPTH ROLE COUNT\n");
		free(r);
		return 2;
	}
	r->depth = (unsigned int)strtoul(argv[2], NULL, 10);
	r->role = argv[3];
	r->roles = (unsigned int)strtoul(argv[4], NULL, 10);
	r->depth = r->depth < 1 ? 1 : r->depth > DEPTH_MAX ? DEPTH_MAX : r->depth;
	r->roles = r->roles ? r->roles : 1;
	rc = ctl_link_open(NULL, CTL_CONNECT_MS, &r->link);
	if (rc) {
		fprintf(stderr, "bench_changes: no clusterd: %s\n", strerror(-rc));
		free(r);
		return 1;
	}
	rc = measure(r, strtod(argv[1], NULL));
	ctl_link_close(r->link);
	free(r);
	return rc;
}
