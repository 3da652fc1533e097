/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Writes a saved state for tests of clusterctl: a cluster of three nodes with roles in every condition, made by the changes
 * and the decision code of the cluster itself. `ctl_canned FILE [many|lost|volumes|trouble]`; many: 60 roles more; lost: as
 * seen by a node without quorum; volumes: with two volumes, one of which n3 has lost; trouble: a lost, a draining and a
 * quarantined node, and much that is wrong.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "clusterd/core/foresee.h"
#include "clusterd/core/reason.h"
#include "clusterd/core/role.h"
#include "clusterd/ctl/ctl_change.h"

#define NOW_MS 1764000000000ull /* 2025-11-24 16:00 UTC */

static struct ctl ctl;

static void must(bool ok, const char *what)
{
	if (ok)
		return;
	fprintf(stderr, "ctl_canned: %s failed\n", what);
	exit(1);
}

/* "KIND VERB NAME field=value …" */
static void apply(const char *line)
{
	struct ctl_change *c = ctl_change_new();
	char words[512], *save, *kind, *verb, *name;

	snprintf(words, sizeof(words), "%s", line);
	kind = strtok_r(words, " ", &save);
	verb = strtok_r(NULL, " ", &save);
	name = strtok_r(NULL, " ", &save);
	ctl_change_op(c, !strcmp(verb, "create") ? VERB_CREATE : !strcmp(verb, "stop") ? VERB_ROLE_STOP : VERB_SET,
		      object_type_by_name(kind)->kind, name, NULL);
	for (char *word = strtok_r(NULL, " ", &save); word; word = strtok_r(NULL, " ", &save))
		must(!ctl_change_assign(&ctl, c, word), word);
	must(!ctl_change_put(&ctl, c) && !ctl_change_try(&ctl, c, ctl.view.state, ctl.view.self.members), line);
	ctl_change_free(c);
}

static void nodes(struct state *s)
{
	static const char *const sites[] = { "north", "north", "south" };

	for (uint32_t id = 1; id <= 3; id++) {
		char name[8];
		struct node *n;

		snprintf(name, sizeof(name), "n%u", id);
		must(state_create(s, KIND_NODE, name, id) == id, name);
		n = state_edit(s, KIND_NODE, id);
		n->state = NODE_ONLINE;
		n->vote = 1;
		n->level = 1;
		n->cpu_declared = 800;
		n->memory_declared_mb = 16384;
		n->watchdog_ms = 10000;
		n->incarnation = NOW_MS - 100000 - id;
		n->boot_id = 0x1234567890abcdefull + id;
		n->since_ms = NOW_MS - MS_PER_HOUR * 3;
		snprintf(n->site, sizeof(n->site), "%s", sites[id - 1]);
	}
}

static void configuration(void)
{
	static const char *const lines[] = {
		"network create lan subnet=10.0.0.0/24 metric=10",
		"role create web priority=high preferred=n1,n2 failback=immediate cpu=150 memory_mb=2048",
		"resource create web-address role=web agent=ocf:heartbeat:IPaddr2 param.ip=10.0.0.9 param.cidr_netmask=24",
		"resource create web-server role=web agent=ocf:heartbeat:nginx depends=web-address monitor_interval=30s",
		"role create db priority=high possible=n2,n3 cpu=400 memory_mb=8192",
		"resource create db-data role=db agent=ocf:pacemaker:Dummy",
		"role create batch priority=low cpu=100 memory_mb=14000 possible=n3",
		"resource create batch-job role=batch agent=ocf:heartbeat:Delay on_fail=stop",
		"role create huge priority=low memory_mb=60000",
		"resource create huge-job role=huge agent=ocf:heartbeat:Delay",
		"role create old",
		"role stop old",
		"rule create apart kind=anti-affinity hard=yes roles=web,db",
		"set create base roles=db",
		"set create front roles=web after=base delay=5s",
	};

	for (size_t i = 0; i < ARRAY_SIZE(lines); i++)
		apply(lines[i]);
}

/* A start that the agent refuses for good. */
static void broken(struct state *s)
{
	struct engine *e = calloc(1, sizeof(*e));
	const struct resource *x;
	struct msg_result m = { .rc = OCF_ERR_CONFIGURED, .status = AGENT_DONE, .action = AGENT_START };

	must(e != NULL, "memory");
	apply("role create broken possible=n1");
	apply("resource create broken-job role=broken agent=ocf:heartbeat:Filesystem param.device=/dev/nothing on_fail=stop");
	engine_init(e);
	engine_touch_all(e, s);
	engine_run(e, s);
	x = state_resource(s, state_find(s, KIND_RESOURCE, "broken-job"));
	must(x && x->op, "start of broken-job");
	m.op = x->op;
	m.resource = x->object.id;
	snprintf(m.output, sizeof(m.output), "device /dev/nothing does not exist");
	role_result(e, s, s->roles[x->role].owner, &m);
	engine_run(e, s);
	free(e);
}

static void status(struct state *s)
{
	struct msg_answer_status *m = &ctl.view.self;

	m->self = 1;
	m->phase = PHASE_ACTIVE;
	m->quorate = 1;
	m->view = 7;
	m->members = NODE_BIT(1) | NODE_BIT(2) | NODE_BIT(3);
	m->epoch = s->tag.epoch = 3;
	m->seq = m->durable_seq = s->tag.seq = 99;
	m->watchdog_ms = 10000;
	snprintf(m->version, sizeof(m->version), "test");
	ctl.view.taken_ms = NOW_MS + 90 * MS_PER_SECOND;
}

/* Two volumes, and roles that need them; n3 has lost its way to the first. */
static void volumes(struct state *s)
{
	apply("volume create data device=/dev/disk/by-id/wwn-0x5000 redirected=n2");
	apply("volume create images device=/dev/disk/by-id/wwn-0x5001 port=8000 recall=5s");
	apply("role set volume.data preferred=n2 possible=n1,n2");
	for (uint32_t id = 1; id <= 3; id++)
		for (uint32_t v = 1; v <= 2; v++)
			if (id != 3 || v != 1)
				volume_set_put(&((struct node *)state_edit(s, KIND_NODE, id))->volumes_up, v, true);
	apply("role create vm1 volumes=data,images memory_mb=512");
	apply("resource create vm1-guest role=vm1 agent=ocf:heartbeat:VirtualDomain");
	apply("role create vm2 volumes=data possible=n3");
}

static void lost(void)
{
	struct msg_answer_status *m = &ctl.view.self;

	m->phase = PHASE_NO_QUORUM;
	m->quorate = 0;
	m->members = NODE_BIT(1);
	m->stop_left_ms = 12300;
	snprintf(m->text, sizeof(m->text), "no quorum: 1 of 3 votes count here; missing: n2, n3");
}

static void trouble(struct state *s)
{
	struct msg_answer_status *m = &ctl.view.self;
	struct cluster *c = state_edit(s, KIND_CLUSTER, 1);
	struct node *n = state_edit(s, KIND_NODE, 1);

	c->disarmed = c->maintenance = 1;
	c->witness = WITNESS_SHARE;
	c->witness_vote = 1;
	snprintf(c->witness_target, sizeof(c->witness_target), "/srv/witness");
	n->admin = ADMIN_DRAINING;
	n = state_edit(s, KIND_NODE, 2);
	n->state = NODE_LOST;
	n->vote = 0;
	n = state_edit(s, KIND_NODE, 3);
	n->quarantine_until_ms = NOW_MS + MS_PER_HOUR;
	n->unclean_ms[0] = NOW_MS - MS_PER_HOUR;
	n->maintenance = 1;
	n = state_edit(s, KIND_NODE, state_create(s, KIND_NODE, "n4", 4));
	n->state = NODE_JOINING;
	m->members = NODE_BIT(1) | NODE_BIT(3) | NODE_BIT(4);
	m->waiting_for = NODE_BIT(4);
	m->slow = NODE_BIT(3);
	snprintf(m->text, sizeof(m->text), "its inventory");
	snprintf(m->store_error, sizeof(m->store_error), "/var/lib/clusterd: no space left on device");
	state_reindex(s);
}

/* Online, and its monitor fails, which is left so. */
static void failing(struct state *s)
{
	struct resource *x = state_edit(s, KIND_RESOURCE, state_find(s, KIND_RESOURCE, "web-server"));

	x->failing = 1;
	x->last_rc = 1;
	snprintf(x->last_error, sizeof(x->last_error), "no answer on port 80");
}

int main(int argc, char **argv)
{
	struct state *s = ctl_state_new();

	ctl.out = stdout;
	ctl.err = stderr;
	must(argc >= 2 && s, "usage: ctl_canned FILE [many]");
	ctl.view.state = s;
	state_clear(s);
	must(state_create(s, KIND_CLUSTER, "demo", 1) == 1, "cluster");
	((struct cluster *)state_edit(s, KIND_CLUSTER, 1))->now_ms = NOW_MS;
	((struct cluster *)state_edit(s, KIND_CLUSTER, 1))->cluster_id = 0xfedcba9876543210ull;
	nodes(s);
	status(s);
	configuration();
	must(foresee_rest(s), "coming to rest");
	broken(s);
	if (argc > 2 && !strcmp(argv[2], "many"))
		failing(s);
	for (int i = 0; i < (argc > 2 && !strcmp(argv[2], "many") ? 60 : 0); i++) {
		char line[64];

		snprintf(line, sizeof(line), "role create role%02d priority=low", i);
		apply(line);
	}
	if (argc > 2 && !strcmp(argv[2], "volumes"))
		volumes(s);
	must(foresee_rest(s), "coming to rest");
	if (argc > 2 && !strcmp(argv[2], "lost"))
		lost();
	if (argc > 2 && !strcmp(argv[2], "trouble"))
		trouble(s);
	remove(argv[1]);
	must(!ctl_view_save(&ctl, argv[1]), argv[1]);
	ctl_state_free(s);
	return 0;
}
