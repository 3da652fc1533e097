/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Acknowledged changes as a client of the control socket sees them: `bench_changes SECONDS DEPTH ROLE COUNT` sets a field of
 * ROLE1..ROLEn in turn, with up to DEPTH requests under way, and prints one line:
 *
 *   CHANGES REFUSED SECONDS P50_US P99_US MAX_US
 *
 * Answers come in the order of the requests, as all are changes of one connection.
 *
 * `bench_changes fill COUNT AGENT` makes COUNT roles vm1..vmN that shall be offline, each with a resource disk1..diskN.
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
#define FILL_PART 64 /* roles of one change, three operations each */
#define FILL_WAIT_MS 120000

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

static void put_op(struct run *r, struct writer *w, enum change_verb verb, uint32_t kind, const char *name)
{
	r->op.verb = (uint8_t)verb;
	r->op.kind = (uint8_t)kind;
	snprintf(r->op.name, sizeof(r->op.name), "%s", name);
	change_op_encode(w, &r->op);
	r->op.n_fields = 0;
}

static void put_field(struct run *r, uint32_t kind, const char *name, const char *value)
{
	r->op.fields[r->op.n_fields].number = object_field(object_type(kind), name)->number;
	r->op.fields[r->op.n_fields].how = EDIT_SET;
	r->op.fields[r->op.n_fields++].value = value;
}

static void put_role(struct run *r, struct writer *w, unsigned int number, const char *agent)
{
	char role[NAME_SIZE], disk[NAME_SIZE], cpu[16], memory[16];

	snprintf(role, sizeof(role), "vm%u", number);
	snprintf(disk, sizeof(disk), "disk%u", number);
	snprintf(cpu, sizeof(cpu), "%u", 10 + number % 90);
	snprintf(memory, sizeof(memory), "%u", 512 + number % 4096);
	put_field(r, KIND_ROLE, "priority", "no-autostart");
	put_field(r, KIND_ROLE, "cpu", cpu);
	put_field(r, KIND_ROLE, "memory_mb", memory);
	put_op(r, w, VERB_CREATE, KIND_ROLE, role);
	put_op(r, w, VERB_ROLE_STOP, KIND_ROLE, role);
	put_field(r, KIND_RESOURCE, "role", role);
	put_field(r, KIND_RESOURCE, "agent", agent);
	put_op(r, w, VERB_CREATE, KIND_RESOURCE, disk);
}

static int fill(struct run *r, unsigned int count, const char *agent)
{
	static uint8_t ops[FRAME_MAX - 1024];

	for (unsigned int done = 0; done < count;) {
		struct message m = { .type = CTL_CHANGE };
		struct writer w = writer_of(ops, sizeof(ops));
		int rc;

		for (unsigned int i = 0; i < FILL_PART && done < count; i++)
			put_role(r, &w, ++done, agent);
		m.ctl_change.ops = (struct span){ ops, writer_len(&w) };
		rc = w.bad ? -E2BIG : ctl_link_send(r->link, &m);
		if (!rc)
			rc = ctl_link_receive(r->link, FILL_WAIT_MS, &m);
		if (rc || m.type != ANSWER || m.answer.refusal) {
			fprintf(stderr, "bench_changes: up to role %u: %s %.*s\n", done, strerror(-rc),
				rc ? 0 : (int)m.answer.detail.len, rc ? "" : (const char *)m.answer.detail.data);
			return 1;
		}
	}
	return 0;
}

static int load(struct run *r, char **argv)
{
	r->depth = (unsigned int)strtoul(argv[2], NULL, 10);
	r->role = argv[3];
	r->roles = (unsigned int)strtoul(argv[4], NULL, 10);
	r->depth = r->depth < 1 ? 1 : r->depth > DEPTH_MAX ? DEPTH_MAX : r->depth;
	r->roles = r->roles ? r->roles : 1;
	return measure(r, strtod(argv[1], NULL));
}

int main(int argc, char **argv)
{
	bool filling = argc == 4 && !strcmp(argv[1], "fill");
	struct run *r = calloc(1, sizeof(*r));
	int rc;

	if ((argc != 5 && !filling) || !r) {
		fprintf(stderr, "usage: bench_changes SECONDS DEPTH ROLE COUNT | fill COUNT AGENT\n");
		free(r);
		return 2;
	}
	rc = ctl_link_open(NULL, CTL_CONNECT_MS, &r->link);
	if (rc) {
		fprintf(stderr, "bench_changes: no clusterd: %s\n", strerror(-rc));
		free(r);
		return 1;
	}
	rc = filling ? fill(r, (unsigned int)strtoul(argv[2], NULL, 10), argv[3]) : load(r, argv);
	ctl_link_close(r->link);
	free(r);
	return rc;
}
