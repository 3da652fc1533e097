/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Changes: every verb, every refusal; change_rig.h says how the stories are written. */
#include "tests/unit/change_rig.h"

static void set_node_state(uint32_t id, enum node_state node_state)
{
	((struct node *)state_edit(&state, KIND_NODE, id))->state = node_state;
	if (node_state != NODE_ONLINE)
		members &= ~NODE_BIT(id);
	state_commit(&state, NULL);
}

static void test_objects(void)
{
	set_up(3);
	STORY({ "create role web priority=high preferred=n2,n1", REFUSED_NOT, NULL },
	      { "create role web", REFUSED_EXISTS, "there is a role of that name" },
	      { "create role -web", REFUSED_INVALID, "cannot have that name" },
	      { "create role db preferred=n9", REFUSED_NOT_FOUND, "no node 'n9'" },
	      { "create role db priority=urgent", REFUSED_INVALID, "high" },
	      { "create role db colour=red", REFUSED_LEVEL, "no field number 9999" },
	      { "create role db state=online", REFUSED_INVALID, "the cluster keeps it" },
	      { "set role web name=www", REFUSED_INVALID, "rename" },
	      { "set role web", REFUSED_INVALID, "at least one field" },
	      { "set role nope priority=low", REFUSED_NOT_FOUND, "clusterctl role list" },
	      { "set role web possible=n1", REFUSED_INVALID, "prefers node 'n2'" },
	      { "set role web possible=n1,n2,n3", REFUSED_NOT, NULL },
	      { "set role web possible-=n2", REFUSED_INVALID, "prefers node 'n2'" },
	      { "set role web possible-=n2 preferred-=n2", REFUSED_NOT, NULL },
	      { "set role web failback=window", REFUSED_INVALID, "empty failback window" },
	      { "set role web failback=window failback_from_h=22 failback_to_h=4", REFUSED_NOT, NULL },
	      { "rename role web >www", REFUSED_NOT, NULL }, { "rename role www >www", REFUSED_EXISTS, NULL },
	      { "rename role www >w/w", REFUSED_INVALID, NULL },
	      { "set role web priority=low", REFUSED_NOT_FOUND, NULL },
	      { "rename node n1 >n9", REFUSED_INVALID, "corosync" },
	      { "rename cluster test >x", REFUSED_INVALID, "corosync" },
	      { "create node n9", REFUSED_INVALID, "joins by itself" }, { "delete node n1", REFUSED_INVALID, "evict" },
	      { "start node n1", REFUSED_INVALID, "knows no 'start'" },
	      { "start role www priority=low", REFUSED_BAD_REQUEST, "takes no fields" },
	      { "set cluster wrong t_stop=20s", REFUSED_NOT_FOUND, "is called 'test'" },
	      { "create network lan subnet=10.0.0.0/24 metric=5", REFUSED_NOT, NULL },
	      { "set network lan use=none", REFUSED_NOT, NULL }, { "delete network lan", REFUSED_NOT, NULL },
	      { "delete role www", REFUSED_NOT, NULL });
	CHECK(!role("www"));
	CHECK_EQ(state.count[KIND_NETWORK], 0);
}

static void test_all_or_nothing(void)
{
	set_up(3);
	STORY({ "create role a;create role b;create role a", REFUSED_EXISTS, NULL });
	CHECK(!role("a"));
	CHECK(!role("b"));
	STORY({ "create role a;create resource r role=a agent=ocf:heartbeat:Dummy;stop role a", REFUSED_NOT, NULL });
	CHECK_EQ(role("a")->want, 0);
	CHECK_EQ(resource("r")->role, role("a")->object.id);
	CHECK_EQ(role("a")->reason, REASON_STOPPED);
}

static void test_resources(void)
{
	set_up(3);
	STORY({ "create role web;create role db", REFUSED_NOT, NULL },
	      { "create resource ip agent=ocf:heartbeat:IPaddr2", REFUSED_INVALID, "belongs to no role" },
	      { "create resource ip role=mail agent=ocf:heartbeat:IPaddr2", REFUSED_NOT_FOUND, "no role 'mail'" },
	      { "create resource ip role=web", REFUSED_INVALID, "ocf:PROVIDER:TYPE" },
	      { "create resource ip role=web agent=IPaddr2", REFUSED_INVALID, "ocf:PROVIDER:TYPE" },
	      { "create resource ip role=web agent=ocf:IPaddr2", REFUSED_INVALID, "ocf:PROVIDER:TYPE" },
	      { "create resource ip role=web agent=ocf:a:b:c", REFUSED_INVALID, "ocf:PROVIDER:TYPE" },
	      { "create resource ip role=web agent=ocf:heartbeat:IPaddr2 params+=ip=10.0.0.1 params+=nic=eth0",
		REFUSED_NOT, NULL },
	      { "create resource fs role=web agent=ocf:heartbeat:Filesystem", REFUSED_NOT, NULL },
	      { "create resource app role=web agent=ocf:heartbeat:nginx depends=ip,fs", REFUSED_NOT, NULL },
	      { "create resource pg role=db agent=ocf:heartbeat:pgsql", REFUSED_NOT, NULL },
	      { "set resource ip depends=ip", REFUSED_INVALID, "itself" },
	      { "set resource ip depends=pg", REFUSED_INVALID, "to order roles use a set" },
	      { "set resource ip depends=app", REFUSED_INVALID, "circle" },
	      { "set resource ip depends=fs|app", REFUSED_INVALID, "circle" },
	      { "set resource ip depends=nope", REFUSED_NOT_FOUND, "no resource 'nope'" },
	      { "set resource ip role=db", REFUSED_IN_USE, "'app' of the role 'web' depends on it" },
	      { "set resource app role=db", REFUSED_INVALID, "only on resources of its own role" },
	      { "set resource app role=db depends=pg", REFUSED_NOT, NULL },
	      { "set resource app role=web depends=ip,fs", REFUSED_NOT, NULL },
	      { "delete resource ip", REFUSED_IN_USE, "needed by 'app'" },
	      { "set resource app depends-=ip", REFUSED_NOT, NULL }, { "delete resource ip", REFUSED_NOT, NULL },
	      { "create resource ip role=web agent=ocf:heartbeat:IPaddr2", REFUSED_NOT, NULL });
	CHECK_STR(resource("ip")->params, "");

	bring_online("web", 1);
	STORY({ "delete resource ip", REFUSED_STATE, "is started: stop its role first" },
	      { "set resource ip role=db", REFUSED_STATE, "only while it is stopped" },
	      { "set resource ip agent=ocf:heartbeat:IPaddr", REFUSED_STATE, "only while it is stopped" },
	      { "set resource ip monitor_interval=5s", REFUSED_NOT, NULL });
	CHECK_EQ(resource("ip")->reload_wanted, 0);
	STORY({ "set resource ip params+=ip=10.0.0.7", REFUSED_NOT, NULL },
	      { "set resource pg params+=port=1", REFUSED_NOT, NULL });
	CHECK_EQ(resource("ip")->reload_wanted, 1);
	CHECK_EQ(resource("pg")->reload_wanted, 0);
	STORY({ "restart resource pg", REFUSED_STATE, "not started" }, { "restart resource ip", REFUSED_NOT, NULL });
	CHECK_EQ(resource("ip")->state, RES_FAILED);
	CHECK_EQ(resource("ip")->restarts, 0);
	STORY({ "set cluster test maintenance=yes", REFUSED_NOT, NULL },
	      { "restart resource app", REFUSED_STATE, "maintenance" });
}

static void test_resource_limit(void)
{
	char ops[256];
	struct change_outcome out;

	set_up(1);
	STORY({ "create role web", REFUSED_NOT, NULL });
	for (int i = 0; i < ROLE_RESOURCE_MAX; i++) {
		snprintf(ops, sizeof(ops), "create resource r%d role=web agent=ocf:heartbeat:Dummy", i);
		REQUIRE(apply(ops, &out));
	}
	STORY({ "create resource more role=web agent=ocf:heartbeat:Dummy", REFUSED_FULL, "at most 64" });
}

static void test_rules_and_sets(void)
{
	set_up(3);
	STORY({ "create role a;create role b;create role c", REFUSED_NOT, NULL },
	      { "create rule apart roles=a", REFUSED_INVALID, "fewer than two roles" },
	      { "create rule apart roles=a,x", REFUSED_NOT_FOUND, "no role 'x'" },
	      { "create rule apart hard=yes roles=a,b", REFUSED_NOT, NULL },
	      { "create rule close kind=affinity hard=yes roles=c,b,a", REFUSED_INVALID,
		"contradicts the rule 'apart' about the roles 'a' and 'b'" },
	      { "create rule close kind=affinity roles=c,b,a", REFUSED_NOT, NULL },
	      { "create rule site kind=affinity hard=yes scope=site roles=a,b", REFUSED_NOT, NULL },
	      { "set rule apart scope=site", REFUSED_INVALID, "contradicts the rule 'site'" },
	      { "create set first roles=a", REFUSED_NOT, NULL },
	      { "create set second roles=b after=first", REFUSED_NOT, NULL },
	      { "create set third roles=c after=second", REFUSED_NOT, NULL },
	      { "set set first after=first", REFUSED_INVALID, "wait for itself" },
	      { "set set first after=third", REFUSED_INVALID, "wait for itself" },
	      { "set set third roles+=a", REFUSED_INVALID, "the role 'a' wait for itself" },
	      { "set set first roles+=c", REFUSED_INVALID, "the role 'c' wait for itself" },
	      { "delete set second", REFUSED_IN_USE, "waited for by the set 'third'" },
	      { "delete role a", REFUSED_NOT, NULL });
	CHECK(!state_find(&state, KIND_RULE, "apart"));
	CHECK(!state_find(&state, KIND_RULE, "site"));
	CHECK(state_find(&state, KIND_RULE, "close"));
	CHECK_EQ(state.sets[state_find(&state, KIND_SET, "first")].roles[0], 0);
	STORY({ "set set third after=", REFUSED_NOT, NULL }, { "delete set second", REFUSED_NOT, NULL },
	      { "delete rule close", REFUSED_NOT, NULL });
	CHECK_EQ(state.count[KIND_RULE], 0);
}

static void test_start_stop_delete(void)
{
	set_up(3);
	STORY({ "create role web;create resource ip role=web agent=ocf:heartbeat:Dummy", REFUSED_NOT, NULL });
	bring_online("web", 2);
	STORY({ "delete role web", REFUSED_STATE, "on node n2" },
	      { "delete role web force", REFUSED_STATE, "stop it first" }, { "stop role web", REFUSED_NOT, NULL },
	      { "stop role web", REFUSED_NOT, NULL });
	CHECK_EQ(role("web")->want, 0);
	CHECK_EQ(role("web")->owner, 2);
	STORY({ "start role web", REFUSED_NOT, NULL });
	CHECK_EQ(role("web")->want, 1);

	((struct role *)state_edit(&state, KIND_ROLE, 1))->state = ROLE_FAILED;
	((struct role *)state_edit(&state, KIND_ROLE, 1))->failures = 3;
	((struct role *)state_edit(&state, KIND_ROLE, 1))->banned = NODE_BIT(2);
	state_set_owner(&state, 1, 0);
	((struct resource *)state_edit(&state, KIND_RESOURCE, 1))->state = RES_STOPPED;
	state_commit(&state, NULL);
	STORY({ "delete role web", REFUSED_STATE, "is failed, not offline" }, { "start role web", REFUSED_NOT, NULL });
	CHECK_EQ(role("web")->state, ROLE_PENDING);
	CHECK_EQ(role("web")->banned, 0);
	CHECK_EQ(role("web")->failures, 0);
	STORY({ "delete role web", REFUSED_STATE, "is pending" }, { "delete role web force", REFUSED_NOT, NULL });
	CHECK_EQ(state.count[KIND_RESOURCE], 0);
}

static void test_move(void)
{
	set_up(3);
	STORY({ "create role web;create role db", REFUSED_NOT, NULL }, { "stop role db", REFUSED_NOT, NULL });
	bring_online("web", 1);
	STORY({ "move role web >n1", REFUSED_STATE, "is on node 'n1' already" },
	      { "move role web >n9", REFUSED_NOT_FOUND, "no node 'n9'" },
	      { "move role db >n1", REFUSED_STATE, "start it first" }, { "move role web >n2", REFUSED_NOT, NULL });
	CHECK_EQ(role("web")->target, 2);
	CHECK_EQ(role("web")->moved_by_hand, 1);
	CHECK_EQ(role("web")->reason, REASON_MOVED);
	CHECK_EQ(role("web")->reason_node, 1);
	CHECK_EQ(role("web")->preferred[0], 0); /* no constraint is left */
	CHECK_EQ(role("web")->possible, 0);
	STORY({ "move role web >n1", REFUSED_NOT, NULL });
	CHECK_EQ(role("web")->target, 0);

	STORY({ "pause node n2", REFUSED_NOT, NULL },
	      { "move role web >n2", REFUSED_NO_PLACE, "clusterctl node resume n2" },
	      { "move role web >n2 force", REFUSED_NO_PLACE, "is paused" }, { "move role web", REFUSED_NOT, NULL });
	CHECK_EQ(role("web")->target, 3);
	STORY({ "stop role web;start role web;pause node n3", REFUSED_NOT, NULL },
	      { "move role web", REFUSED_NO_PLACE, "n3: it is paused" },
	      { "resume node n3;set role web possible=n1,n2", REFUSED_NOT, NULL },
	      { "move role web >n3", REFUSED_NO_PLACE, "not among the role's possible owners" },
	      { "set role web possible=;set node n3 memory_mb=100;set role web memory_mb=200", REFUSED_NOT, NULL },
	      { "move role web >n3", REFUSED_NO_PLACE, "not enough memory" },
	      { "set role web memory_mb=0", REFUSED_NOT, NULL });
	((struct role *)state_edit(&state, KIND_ROLE, 1))->banned = NODE_BIT(3);
	state_commit(&state, NULL);
	STORY({ "move role web >n3", REFUSED_NO_PLACE, "use --force" },
	      { "move role web >n3 force", REFUSED_NOT, NULL });
	CHECK_EQ(role("web")->target, 3);
	CHECK_EQ(role("web")->banned, 0);

	STORY({ "set cluster test disarmed=yes", REFUSED_NOT, NULL },
	      { "move role web >n1", REFUSED_STATE, "clusterctl arm" },
	      { "set cluster test disarmed=no", REFUSED_NOT, NULL },
	      { "set role web maintenance=yes", REFUSED_NOT, NULL },
	      { "move role web >n1", REFUSED_STATE, "maintenance" },
	      { "set role web maintenance=no", REFUSED_NOT, NULL });
	set_node_state(1, NODE_LOST);
	STORY({ "move role web >n3", REFUSED_STATE, "confirm-fenced n1" });
}

static void test_move_with_companions(void)
{
	set_up(3);
	STORY({ "create role web;create role db;create role log", REFUSED_NOT, NULL },
	      { "create rule close kind=affinity hard=yes roles=web,db;create rule apart hard=yes roles=web,log",
		REFUSED_NOT, NULL });
	bring_online("web", 1);
	bring_online("db", 1);
	bring_online("log", 3);
	STORY({ "move role web >n3", REFUSED_NO_PLACE, "no place for both" },
	      { "move role log >n1", REFUSED_NO_PLACE, "apart from 'web'" },
	      { "move role web >n2", REFUSED_NOT, NULL });
	CHECK_EQ(role("web")->target, 2);
	CHECK_EQ(role("db")->target, 2);
	STORY({ "move role db >n1", REFUSED_NOT, NULL }); /* whoever of them is asked takes the other along */
	CHECK_EQ(role("db")->target, 0);
	CHECK_EQ(role("web")->target, 0);
}

static void test_cleanup(void)
{
	struct resource *r;
	struct role *web;

	set_up(3);
	STORY({ "create role web;create resource ip role=web agent=ocf:heartbeat:Dummy", REFUSED_NOT, NULL });
	bring_online("web", 1);
	r = state_edit(&state, KIND_RESOURCE, 1);
	r->state = RES_BLOCKED;
	r->restarts = 4;
	r->last_rc = 1;
	snprintf(r->last_error, sizeof(r->last_error), "busy");
	web = state_edit(&state, KIND_ROLE, 1);
	web->state = ROLE_FAILED;
	web->banned = NODE_BIT(1);
	((struct node *)state_edit(&state, KIND_NODE, 1))->fence_asked = 1;
	state_commit(&state, NULL);
	STORY({ "cleanup role web", REFUSED_NOT, NULL });
	CHECK_EQ(resource("ip")->state, RES_FAILED); /* its stop is tried again */
	CHECK_EQ(resource("ip")->restarts, 0);
	CHECK_STR(resource("ip")->last_error, "");
	CHECK_EQ(role("web")->state, ROLE_STOPPING); /* still owned: stopped whole first */
	CHECK_EQ(role("web")->owner, 1);
	CHECK_EQ(role("web")->banned, 0);
	CHECK_EQ(state.nodes[1].fence_asked, 0);

	((struct resource *)state_edit(&state, KIND_RESOURCE, 1))->state = RES_BLOCKED;
	set_node_state(1, NODE_LOST);
	STORY({ "cleanup resource ip", REFUSED_NOT, NULL });
	CHECK_EQ(resource("ip")->state, RES_BLOCKED); /* nobody can stop it there: a fence must */
	STORY({ "confirm-fenced node n2", REFUSED_STATE, "not lost" }, { "confirm-fenced node n1", REFUSED_NOT, NULL });
	CHECK_EQ(state.nodes[1].state, NODE_DOWN);
	CHECK_EQ(role("web")->owner, 0);
	CHECK_EQ(resource("ip")->state, RES_STOPPED);
}

static void test_nodes(void)
{
	struct change_outcome out;

	set_up(3);
	STORY({ "create role web preferred=n3,n2;create role only possible=n3", REFUSED_NOT, NULL });
	CHECK(apply("drain node n3", &out));
	CHECK_EQ(out.nodes, NODE_BIT(3));
	CHECK(out.topology);
	CHECK_EQ(state.nodes[3].admin, ADMIN_DRAINING);
	STORY({ "resume node n3 >now", REFUSED_INVALID, "'failback'" }, { "resume node n3", REFUSED_NOT, NULL },
	      { "evict node n3", REFUSED_STATE, "stop it first" });
	CHECK_EQ(state.nodes[3].admin, ADMIN_UP);

	bring_online("web", 2);
	((struct role *)state_edit(&state, KIND_ROLE, 1))->drained_from = 3;
	((struct node *)state_edit(&state, KIND_NODE, 3))->quarantine_until_ms = 5;
	state_commit(&state, NULL);
	STORY({ "resume node n3 >failback", REFUSED_NOT, NULL });
	CHECK_EQ(role("web")->target, 3);
	CHECK_EQ(role("web")->drained_from, 0);
	CHECK_EQ(state.nodes[3].quarantine_until_ms, 0);

	set_node_state(3, NODE_LOST);
	STORY({ "evict node n3", REFUSED_STATE, "may still act" }, { "drain node n3", REFUSED_STATE, "is lost" },
	      { "stop role web", REFUSED_NOT, NULL });
	set_node_state(3, NODE_DOWN);
	STORY({ "evict node n3", REFUSED_WOULD_LOSE_QUORUM, "still has a vote" });
	((struct node *)state_edit(&state, KIND_NODE, 3))->vote = 0;
	state_commit(&state, NULL);
	STORY({ "evict node n3", REFUSED_IN_USE, "only possible owner of the role 'only'" },
	      { "set role only possible=n1,n3", REFUSED_NOT, NULL }, { "evict node n3", REFUSED_NOT, NULL });
	CHECK(!state_node(&state, 3));
	CHECK_EQ(role("only")->possible, NODE_BIT(1));
	CHECK_EQ(role("web")->preferred[0], 2);
}

static void test_node_stop(void)
{
	set_up(3);
	STORY({ "node-stop node n3", REFUSED_NOT, NULL }, { "pause node n3", REFUSED_STATE, "is stopping" },
	      { "node-stop node n2", REFUSED_WOULD_LOSE_QUORUM, "--force" }, { "resume node n3", REFUSED_NOT, NULL },
	      { "node-stop node n2", REFUSED_NOT, NULL });
	CHECK_EQ(state.nodes[2].admin, ADMIN_STOPPING);

	/* Two nodes, the second without a vote: the first holds the quorum alone. */
	set_up(2);
	STORY({ "node-stop node n1", REFUSED_WOULD_LOSE_QUORUM, NULL },
	      { "node-stop node n1 force", REFUSED_NOT, NULL });
	set_up(2);
	STORY({ "node-stop node n2", REFUSED_NOT, NULL });
	/* With a witness that votes any of the two may go. */
	set_up(2);
	STORY({ "set cluster test witness=disk", REFUSED_INVALID, "witness_target" },
	      { "set cluster test witness=disk witness_target=/dev/sdw", REFUSED_NOT, NULL });
	((struct node *)state_edit(&state, KIND_NODE, 2))->vote = 1;
	((struct cluster *)state_edit(&state, KIND_CLUSTER, 1))->witness_vote = 1;
	state_commit(&state, NULL);
	STORY({ "node-stop node n1", REFUSED_NOT, NULL });

	set_up(3);
	STORY({ "create role web possible=n3", REFUSED_NOT, NULL });
	bring_online("web", 3);
	STORY({ "node-stop node n3", REFUSED_NO_PLACE, "takes the role 'web'" },
	      { "node-stop node n3 force", REFUSED_NOT, NULL });
	set_node_state(1, NODE_DOWN);
	STORY({ "node-stop node n1", REFUSED_STATE, "only an online node" });
}

static void test_cluster(void)
{
	set_up(3);
	STORY({ "set cluster test quorum_grace=29500ms", REFUSED_INVALID, "no time to stop" },
	      { "set cluster test t_stop=1s", REFUSED_INVALID, "out of range" },
	      { "upgrade cluster test", REFUSED_STATE, "node 'n1' speaks no higher" });
	((struct node *)state_edit(&state, KIND_NODE, 1))->watchdog_ms = 20000;
	for (uint32_t id = 1; id <= 3; id++)
		((struct node *)state_edit(&state, KIND_NODE, id))->level = id == 3 ? 2 : 4;
	state_commit(&state, NULL);
	STORY({ "set cluster test t_stop=20s", REFUSED_INVALID, "watchdog of node 'n1'" },
	      { "set cluster test t_stop=28s", REFUSED_NOT, NULL }, { "upgrade cluster test", REFUSED_NOT, NULL });
	CHECK_EQ(state.cluster.level, 2);
	set_node_state(3, NODE_DOWN);
	STORY({ "upgrade cluster test", REFUSED_STATE, "node 'n3'" },
	      { "upgrade cluster test force", REFUSED_NOT, NULL });
	CHECK_EQ(state.cluster.level, 4);
	STORY({ "set cluster test lower_priority_node=n2", REFUSED_NOT, NULL });
	CHECK_EQ(state.cluster.lower_priority_node, 2);
}

static void test_bad_requests(void)
{
	static const uint8_t garbage[] = { 1, 4, 0, 5, 0, 'a' };
	struct change_outcome out;
	struct writer w = writer_of(encoded, sizeof(encoded));

	set_up(1);
	CHECK(!change_apply(&state, members, garbage, sizeof(garbage), &scratch, &out));
	CHECK_EQ(out.refusal, REFUSED_BAD_REQUEST);
	CHECK_CONTAINS(out.detail, "operation 1");
	CHECK(!change_apply(&state, members, garbage, 0, &scratch, &out));
	CHECK_EQ(out.refusal, REFUSED_BAD_REQUEST);
	memset(&op, 0, sizeof(op));
	op.verb = 200;
	op.kind = KIND_ROLE;
	change_op_encode(&w, &op);
	CHECK(!change_apply(&state, members, encoded, writer_len(&w), &scratch, &out));
	CHECK_EQ(out.refusal, REFUSED_LEVEL);

	STORY({ "create role a", REFUSED_NOT, NULL });
	w = writer_of(encoded, sizeof(encoded));
	for (int i = 0; i <= CHANGE_OPS_MAX; i++) {
		memset(&op, 0, sizeof(op));
		op.verb = VERB_ROLE_START;
		op.kind = KIND_ROLE;
		snprintf(op.name, sizeof(op.name), "a");
		change_op_encode(&w, &op);
	}
	CHECK(!change_apply(&state, members, encoded, writer_len(&w), &scratch, &out));
	CHECK_EQ(out.refusal, REFUSED_FULL);
	CHECK_EQ(out.op, CHANGE_OPS_MAX);
	CHECK(!state.n_dirty);
}

/* Every table filled to its limit refuses the next one. */
static void test_limits(void)
{
	static const struct {
		uint32_t kind;
		const char *ops;
	} kinds[] = {
		{ KIND_NETWORK, "create network more" },
		{ KIND_ROLE, "create role more" },
		{ KIND_RESOURCE, "create resource more role=x agent=ocf:heartbeat:Dummy" },
		{ KIND_RULE, "create rule more roles=x,y" },
		{ KIND_SET, "create set more" },
		{ KIND_VOLUME, "create volume more device=/dev/more" },
	};
	char name[16];

	for (size_t i = 0; i < ARRAY_SIZE(kinds); i++) {
		set_up(1);
		if (kinds[i].kind != KIND_ROLE)
			STORY({ "create role x;create role y", REFUSED_NOT, NULL });
		for (uint32_t n = state.count[kinds[i].kind]; n < object_type(kinds[i].kind)->max; n++) {
			snprintf(name, sizeof(name), "o%u", n);
			REQUIRE(state_create(&state, kinds[i].kind, name, 0));
		}
		state_commit(&state, NULL);
		STORY({ kinds[i].ops, REFUSED_FULL, "one too many" });
	}
}

int main(void)
{
	test_objects();
	test_all_or_nothing();
	test_resources();
	test_resource_limit();
	test_rules_and_sets();
	test_start_stop_delete();
	test_move();
	test_move_with_companions();
	test_cleanup();
	test_nodes();
	test_node_stop();
	test_cluster();
	test_bad_requests();
	test_limits();
	return check_result();
}
