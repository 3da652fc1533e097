/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * How fast decisions are made with 63 nodes and 8,000 roles: one line a figure, "name value unit target ok|short".
 *
 * CPU time: nothing here waits, and other load does not count.
 *
 * plan.node_loss: from the proof that a lost node is off to the last decision of the role engine: every role of the node
 * has its new owner and its first start is asked for. plan.node_loss_commit adds digest and encoding of all that changed.
 */
#include <stdbool.h>
#include <time.h>

#include "clusterd/core/foresee.h"
#include "clusterd/core/node.h"
#include "clusterd/core/place.h"
#include "splitmix.h"
#include "tests/lib/check.h"

#define NODES NODE_MAX
#define ROLES 8000
#define SAMPLES 21
#define MIDDLE 10
#define CALLS 20000
#define GROUP 4 /* roles of a rule */

static uint64_t now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &ts);
	return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

static uint32_t draw(uint64_t *rng, uint32_t below)
{
	return (uint32_t)(splitmix_next(rng) % below);
}

/* target 0: a figure without one. */
static void figure(const char *name, double value, const char *unit, double target)
{
	printf("%s %.3f %s %.0f %s\n", name, value, unit, target, !target || value <= target ? "ok" : "short");
}

static int compare(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return (x > y) - (x < y);
}

static double median_ms(uint64_t samples[SAMPLES])
{
	qsort(samples, SAMPLES, sizeof(samples[0]), compare);
	return (double)samples[MIDDLE] / 1e6;
}

/* One rule for every GROUP roles: apart by node or by site, near by node, hard and soft. */
static void make_rules(struct state *s)
{
	for (uint32_t id = 1; id <= RULE_MAX && id * GROUP <= ROLES; id++) {
		struct rule *rule;
		char name[NAME_SIZE];

		snprintf(name, sizeof(name), "rule%u", id);
		REQUIRE(state_create(s, KIND_RULE, name, id) == id);
		rule = state_edit(s, KIND_RULE, id);
		rule->kind = id % 4 ? RULE_ANTI_AFFINITY : RULE_AFFINITY;
		rule->hard = id % 3 != 0;
		rule->scope = id % 5 ? SCOPE_NODE : SCOPE_SITE;
		for (uint32_t i = 0; i < GROUP; i++)
			rule->roles[i] = (uint16_t)((id - 1) * GROUP + i + 1);
		state_rules_changed(s);
	}
}

static void make_cluster(struct state *s, bool rules, uint32_t cpu_of_node)
{
	uint64_t rng = 1;

	state_clear(s);
	REQUIRE(state_create(s, KIND_CLUSTER, "bench", 1) == 1);
	((struct cluster *)state_edit(s, KIND_CLUSTER, 1))->now_ms = 1700000000000;
	for (uint32_t id = 1; id <= NODES; id++) {
		struct node *node;
		char name[NAME_SIZE];

		snprintf(name, sizeof(name), "node%u", id);
		REQUIRE(state_create(s, KIND_NODE, name, id) == id);
		node = state_edit(s, KIND_NODE, id);
		node->state = NODE_ONLINE;
		node->vote = 1;
		node->cpu_declared = cpu_of_node;
		node->memory_declared_mb = 1024 * 1024;
		snprintf(node->site, sizeof(node->site), "site%u", id % 4);
	}
	for (uint32_t id = 1; id <= ROLES; id++) {
		struct role *role;
		char name[NAME_SIZE];

		snprintf(name, sizeof(name), "vm%u", id);
		REQUIRE(state_create(s, KIND_ROLE, name, id) == id);
		role = state_edit(s, KIND_ROLE, id);
		role->state = ROLE_PENDING;
		role->priority = 1 + id % 3;
		role->cpu = 10 + draw(&rng, 90);
		role->memory_mb = 512 + draw(&rng, 4096);
		state_role_size_changed(s, id, 0, 0);
		REQUIRE(state_create(s, KIND_RESOURCE, name, id) == id);
		state_set_role_of(s, id, id);
	}
	if (rules)
		make_rules(s);
	REQUIRE(foresee_rest(s));
	state_commit(s, NULL);
}

static void node_loss(struct state *s, const struct state *full, const char *name)
{
	uint64_t plan[SAMPLES], commit[SAMPLES];
	char text[64];
	uint32_t placed = 0;

	for (uint32_t i = 0; i < SAMPLES; i++) {
		uint32_t node = 1 + i * 3;
		uint64_t start;
		struct engine e;

		memcpy(s, full, sizeof(*s));
		engine_init(&e);
		node_lost(&e, s, node, false, true);
		engine_run(&e, s);
		state_commit(s, NULL);
		placed += s->load[node].roles;
		start = now_ns();
		node_fenced(&e, s, node, FENCE_BY_COMMAND);
		engine_run(&e, s);
		plan[i] = now_ns() - start;
		state_commit(s, NULL);
		commit[i] = now_ns() - start;
		REQUIRE(!s->load[node].roles);
	}
	snprintf(text, sizeof(text), "plan.node_loss%s", name);
	figure(text, median_ms(plan), "ms", 20);
	snprintf(text, sizeof(text), "plan.node_loss_worst%s", name);
	figure(text, (double)plan[SAMPLES - 1] / 1e6, "ms", 20);
	snprintf(text, sizeof(text), "plan.node_loss_commit%s", name);
	figure(text, median_ms(commit), "ms", 20);
	snprintf(text, sizeof(text), "plan.node_loss_roles%s", name);
	figure(text, (double)placed / SAMPLES, "roles", 0);
}

static void one_role(struct state *s, const char *name)
{
	struct place_request request = { 0 };
	struct placement p;
	uint64_t start, sum = 0;
	char text[64];

	start = now_ns();
	for (uint32_t i = 0; i < CALLS; i++) {
		place_role(s, 1 + i * 7 % ROLES, &request, &p, NULL);
		sum += p.node;
	}
	REQUIRE(sum > 0);
	snprintf(text, sizeof(text), "plan.place_role%s", name);
	figure(text, (double)(now_ns() - start) / CALLS, "ns", 0);
}

/* Every node is full: each call looks for victims among all roles. */
static void one_preemption(struct state *s)
{
	struct place_request request = { .preempt = true };
	struct placement p;
	uint64_t start;
	uint32_t role = state_create(s, KIND_ROLE, "urgent", 0), n = 0;
	struct role *r = state_edit(s, KIND_ROLE, role);

	r->state = ROLE_PENDING;
	r->priority = PRIORITY_HIGH;
	r->cpu = s->nodes[1].cpu_declared / 8;
	start = now_ns();
	for (uint32_t i = 0; i < SAMPLES; i++) {
		place_role(s, role, &request, &p, NULL);
		n += p.n_victims;
	}
	REQUIRE(n > 0);
	figure("plan.preemption", (double)(now_ns() - start) / SAMPLES / 1e3, "us", 0);
}

static void survival(struct state *s, const struct state *full)
{
	struct foresee_limit limit;
	uint64_t start = now_ns();

	foresee_survival(full, s, ~(nodeset_t)1, true, &limit);
	figure("plan.survival", (double)(now_ns() - start) / 1e9, "s", 0);
	figure("plan.survival_sets", limit.tried, "sets", 0);
	figure("plan.survival_nodes", limit.nodes, "nodes", 0);
}

int main(void)
{
	struct state *full = calloc(1, sizeof(*full)), *s = calloc(1, sizeof(*s));

	REQUIRE(full && s);
	make_cluster(full, false, 12800);
	node_loss(s, full, "");
	memcpy(s, full, sizeof(*s));
	one_role(s, "");
	make_cluster(full, true, 12800);
	node_loss(s, full, "_rules");
	memcpy(s, full, sizeof(*s));
	one_role(s, "_rules");
	/* 8,000 roles of 54.5 on average want 436,000: 63 nodes of 7,000 hold them, 62 hardly: pre-emption on every loss */
	make_cluster(full, false, 7000);
	node_loss(s, full, "_tight");
	memcpy(s, full, sizeof(*s));
	one_preemption(s);
	make_cluster(full, false, 12800);
	survival(s, full);
	free(full);
	free(s);
	return check_result();
}
