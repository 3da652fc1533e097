/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Volumes and their ownerships: made, set, renamed and deleted together, and kept together. */
#include "tests/unit/change_rig.h"

#include "clusterd/core/node.h"
#include "clusterd/core/volume_use.h"

static const struct volume *volume(const char *name)
{
	return state_volume(&state, state_find(&state, KIND_VOLUME, name));
}

static void test_create(void)
{
	const struct volume *v;
	const struct resource *r;

	set_up(3);
	STORY({ "create volume v1 device=/dev/disk/by-id/a", REFUSED_NOT, NULL });
	v = volume("v1");
	REQUIRE(v && role("volume.v1") && resource("volume.v1.owner"));
	r = resource("volume.v1.owner");
	CHECK_EQ(v->role, role("volume.v1")->object.id);
	CHECK_EQ(volume_of_role(&state, v->role), v->object.id);
	CHECK_EQ(role("volume.v1")->kind, ROLE_OF_VOLUME);
	CHECK_EQ(role("volume.v1")->priority, PRIORITY_HIGH);
	CHECK_EQ(role("volume.v1")->want, 1);
	CHECK_EQ(r->role, v->role);
	CHECK_STR(r->agent, "ocf:clusterd:volume");
	CHECK_STR(r->params, "device=/dev/disk/by-id/a\nport=7311\nrecall=10000\nvolume=v1\n");
	CHECK(r->stop_timeout_ms + state.cluster.quorum_grace_ms < state.cluster.t_stop_ms);
	CHECK_EQ(r->monitor_interval_ms, 10000);
	CHECK_EQ(v->pause_max_ms, 120000);
	STORY({ "create volume v2 device=/dev/b port=8000 recall=3s redirected=n1,n3", REFUSED_NOT, NULL });
	CHECK_STR(resource("volume.v2.owner")->params, "device=/dev/b\nport=8000\nrecall=3000\nvolume=v2\n");
	CHECK(volume("v1")->number != volume("v2")->number);
}

static void test_refused(void)
{
	set_up(2);
	STORY({ "create volume v1 device=/dev/a", REFUSED_NOT, NULL },
	      { "create volume v1 device=/dev/b", REFUSED_EXISTS, "volume of that name" },
	      { "create volume v2", REFUSED_INVALID, "has no device" },
	      { "create volume v2 device=sda", REFUSED_INVALID, "has no device" },
	      { "create volume v2 device=/dev/a", REFUSED_INVALID, "the volume 'v1' has it" },
	      { "create volume v2 device=/dev/b port=7311", REFUSED_INVALID, "one node may own both" },
	      { "create volume v2 device=/dev/b port=70000", REFUSED_INVALID, NULL },
	      { "create volume v2 device=/dev/b role=volume.v1", REFUSED_INVALID, "the cluster keeps it" },
	      { "create volume a123456789012345678901234567890123456789012345678901 device=/dev/b", REFUSED_INVALID,
		"at most 50 characters" },
	      { "create volume a1234567890123456789012345678901234567890123456789 device=/dev/b", REFUSED_NOT, NULL });
	CHECK_STR(state.resources[2].name, "volume.a1234567890123456789012345678901234567890123456789.owner");
	CHECK_EQ(state.count[KIND_VOLUME], 2);
	CHECK_EQ(state.count[KIND_ROLE], 2);
}

/* Nothing comes between a volume and its ownership. */
static void test_kept_together(void)
{
	set_up(2);
	STORY({ "create volume v1 device=/dev/a;create role web", REFUSED_NOT, NULL },
	      { "create resource ip role=web agent=ocf:heartbeat:IPaddr2", REFUSED_NOT, NULL },
	      { "delete role volume.v1", REFUSED_INVALID, "clusterctl volume remove v1" },
	      { "delete role volume.v1 force", REFUSED_INVALID, "clusterctl volume remove v1" },
	      { "rename role volume.v1 >data", REFUSED_INVALID, "clusterctl volume rename v1" },
	      { "set role volume.v1 volumes=v1", REFUSED_INVALID, "cannot need volumes" },
	      { "set role volume.v1 kind=ordinary", REFUSED_INVALID, "the cluster keeps it" },
	      { "delete resource volume.v1.owner", REFUSED_INVALID, "clusterctl volume remove v1" },
	      { "rename resource volume.v1.owner >data", REFUSED_INVALID, "clusterctl volume rename v1" },
	      { "set resource volume.v1.owner params+=port=1", REFUSED_INVALID, "clusterctl volume set v1" },
	      { "set resource volume.v1.owner agent=ocf:heartbeat:Dummy", REFUSED_INVALID, "clusterctl volume set v1" },
	      { "set resource volume.v1.owner role=web", REFUSED_INVALID, "clusterctl volume set v1" },
	      { "set resource ip role=volume.v1", REFUSED_INVALID, "ownership of the volume 'v1' alone" },
	      { "create resource x role=volume.v1 agent=ocf:heartbeat:Dummy", REFUSED_INVALID, "the volume 'v1' alone" },
	      { "create role volume.v2", REFUSED_INVALID, "clusterctl volume add" },
	      { "rename role web >volume.v2", REFUSED_INVALID, "clusterctl volume add" },
	      { "create resource volume.v2.owner role=web agent=ocf:heartbeat:Dummy", REFUSED_INVALID, "clusterctl volume add" },
	      { "rename resource ip >volume.x", REFUSED_INVALID, "clusterctl volume add" },
	      /* What does not part them is allowed. */
	      { "set role volume.v1 preferred=n2,n1 possible=n1,n2 maintenance=yes", REFUSED_NOT, NULL },
	      { "set resource volume.v1.owner monitor_interval=30s", REFUSED_NOT, NULL },
	      { "stop role volume.v1", REFUSED_NOT, NULL }, { "start volume v1", REFUSED_NOT, NULL },
	      { "cleanup volume v1", REFUSED_NOT, NULL });
	CHECK_EQ(role("volume.v1")->maintenance, 1);
	CHECK_EQ(role("volume.v1")->want, 1);
}

static void test_set_and_rename(void)
{
	set_up(2);
	STORY({ "create volume v1 device=/dev/a", REFUSED_NOT, NULL });
	bring_online("volume.v1", 1);
	STORY({ "set volume v1 redirected+=n2 pause_max=1min", REFUSED_NOT, NULL });
	CHECK_EQ(resource("volume.v1.owner")->reload_wanted, 0);
	STORY({ "set volume v1 recall=5s", REFUSED_NOT, NULL },
	      { "set volume v1 device=/dev/b", REFUSED_STATE, "clusterctl volume stop v1" },
	      { "rename volume v1 >data", REFUSED_STATE, "clusterctl volume stop v1" });
	CHECK_EQ(resource("volume.v1.owner")->reload_wanted, 1);
	CHECK_CONTAINS(resource("volume.v1.owner")->params, "recall=5000\n");
	set_up(2);
	STORY({ "create volume v1 device=/dev/a;stop volume v1", REFUSED_NOT, NULL },
	      { "rename volume v1 >data", REFUSED_NOT, NULL }, { "set volume data device=/dev/b", REFUSED_NOT, NULL });
	REQUIRE(volume("data") && role("volume.data") && resource("volume.data.owner"));
	CHECK(!volume("v1") && !role("volume.v1") && !resource("volume.v1.owner"));
	CHECK_STR(resource("volume.data.owner")->params, "device=/dev/b\nport=7311\nrecall=10000\nvolume=data\n");
}

/* The owner's time for stopping is what T_stop leaves, also when that changes; not when somebody has said otherwise. */
static void test_stop_timeout(void)
{
	uint32_t first, longer;

	set_up(2);
	STORY({ "create volume v1 device=/dev/a;create volume v2 device=/dev/b;create role web", REFUSED_NOT, NULL },
	      { "create resource ip role=web agent=ocf:heartbeat:IPaddr2", REFUSED_NOT, NULL },
	      { "set resource volume.v2.owner stop_timeout=7s", REFUSED_NOT, NULL });
	first = resource("volume.v1.owner")->stop_timeout_ms;
	STORY({ "set cluster test t_stop=100s", REFUSED_NOT, NULL });
	longer = resource("volume.v1.owner")->stop_timeout_ms;
	CHECK(longer > first);
	CHECK(longer < 100 * MS_PER_SECOND);
	CHECK_EQ(resource("volume.v2.owner")->stop_timeout_ms, 7 * MS_PER_SECOND);
	CHECK(resource("ip")->stop_timeout_ms != longer);
	STORY({ "set cluster test quorum_grace=20s", REFUSED_NOT, NULL });
	CHECK(resource("volume.v1.owner")->stop_timeout_ms < longer);
}

static void test_delete(void)
{
	uint64_t number;

	set_up(2);
	STORY({ "create volume v1 device=/dev/a;create role web volumes=v1;create role db", REFUSED_NOT, NULL },
	      { "create rule near roles=web,db,volume.v1;create set first roles=volume.v1", REFUSED_NOT, NULL });
	bring_online("volume.v1", 1);
	bring_online("web", 2);
	STORY({ "delete volume v1", REFUSED_STATE, "on node n1: stop it first: clusterctl volume stop v1" },
	      { "stop volume v1", REFUSED_IN_USE, "'web', which is on node 'n2'" }, { "stop volume v1 force", REFUSED_NOT, NULL });
	set_up(2);
	STORY({ "create volume v1 device=/dev/a;create role web volumes=v1;create role db", REFUSED_NOT, NULL },
	      { "create rule near roles=web,db,volume.v1;create set first roles=volume.v1", REFUSED_NOT, NULL },
	      { "delete volume v1 force", REFUSED_IN_USE, "is needed by: web;" },
	      { "set role web volumes-=v1", REFUSED_NOT, NULL });
	((struct role *)state_edit(&state, KIND_ROLE, volume("v1")->role))->state = ROLE_PENDING;
	state_commit(&state, NULL);
	STORY({ "delete volume v1", REFUSED_STATE, "not offline" });
	number = volume("v1")->number;
	volume_set_put(&((struct node *)state_edit(&state, KIND_NODE, 2))->volumes_up, volume("v1")->object.id, true);
	state_commit(&state, NULL);
	STORY({ "delete volume v1 force", REFUSED_NOT, NULL });
	CHECK(!volume("v1") && !role("volume.v1") && !resource("volume.v1.owner"));
	CHECK_EQ(state.rules[1].roles[2], 0);
	CHECK_EQ(state.sets[1].roles[0], 0);
	CHECK(!volume_set_has(&state.nodes[2].volumes_up, 1));
	/* Its id is given anew, its number is not. */
	STORY({ "create volume other device=/dev/a", REFUSED_NOT, NULL });
	CHECK_EQ(volume("other")->object.id, 1);
	CHECK(volume("other")->number != number);
}

static void test_evict(void)
{
	set_up(3);
	STORY({ "create volume v1 device=/dev/a redirected=n2,n3", REFUSED_NOT, NULL });
	((struct node *)state_edit(&state, KIND_NODE, 3))->state = NODE_DOWN;
	((struct node *)state_edit(&state, KIND_NODE, 3))->vote = 0;
	state_commit(&state, NULL);
	STORY({ "evict node n3", REFUSED_NOT, NULL });
	CHECK_EQ(volume("v1")->redirected, NODE_BIT(2));
}

/* All or nothing: the ownership does not stay behind. */
static void test_all_or_nothing(void)
{
	set_up(2);
	STORY({ "create volume v1 device=/dev/a;create role web volumes=v1;stop role none", REFUSED_NOT_FOUND, NULL });
	CHECK_EQ(state.count[KIND_VOLUME] + state.count[KIND_ROLE] + state.count[KIND_RESOURCE], 0);
}

/* --- what nodes report --- */

static int report(uint32_t node, const struct volume *v, uint64_t number, struct engine *e)
{
	uint8_t bytes[16];
	struct writer w = writer_of(bytes, sizeof(bytes));
	struct msg_volumes m = { .incarnation = 1000 + node };
	int rc;

	if (v) {
		put_u16(&w, (uint16_t)v->object.id);
		put_u64(&w, number);
	}
	m.up = (struct span){ bytes, writer_len(&w) };
	rc = node_volumes(e, &state, node, &m);
	state_commit(&state, NULL);
	return rc;
}

static void test_report(void)
{
	const struct volume *v;
	struct engine e;
	uint64_t digest;

	set_up(2);
	STORY({ "create volume v1 device=/dev/a;create role web volumes=v1", REFUSED_NOT, NULL });
	engine_init(&e);
	v = volume("v1");
	CHECK_EQ(report(2, v, v->number, &e), 0);
	CHECK(volume_set_has(&state.nodes[2].volumes_up, 1));
	CHECK(e.work[0] >> role("web")->object.id & 1);
	digest = state.digest;
	CHECK_EQ(report(2, v, v->number, &e), 0); /* nothing new */
	CHECK_EQ(state.digest, digest);
	CHECK_EQ(report(1, v, v->number + 1, &e), 0); /* an earlier one of this id */
	CHECK(!volume_set_has(&state.nodes[1].volumes_up, 1));
	((struct node *)state_edit(&state, KIND_NODE, 2))->incarnation++;
	state_commit(&state, NULL);
	CHECK_EQ(report(2, NULL, 0, &e), -ESTALE);
	CHECK(volume_set_has(&state.nodes[2].volumes_up, 1));
}

static void test_report_bad(void)
{
	const uint8_t twice[] = { 1, 0, 1, 0, 0, 0, 0, 0, 0, 0, 1, 0, 1, 0, 0, 0, 0, 0, 0, 0 };
	const uint8_t cut[] = { 1, 0, 1 };
	struct msg_volumes m = { .incarnation = 1001 };
	struct engine e;

	set_up(1);
	engine_init(&e);
	m.up = (struct span){ twice, sizeof(twice) };
	CHECK_EQ(node_volumes(&e, &state, 1, &m), -EBADMSG);
	m.up = (struct span){ cut, sizeof(cut) };
	CHECK_EQ(node_volumes(&e, &state, 1, &m), -EBADMSG);
	CHECK_EQ(node_volumes(&e, &state, 9, &m), -ESTALE);
	CHECK(!state.n_dirty);
}

/* Whoever keeps blocks and does not answer is fenced, on the word of the owner alone. */
static void test_silent(void)
{
	struct msg_silent m = { .node = 2, .incarnation = 1002, .volume = 1 };
	struct engine e;

	set_up(3);
	STORY({ "create volume v1 device=/dev/a", REFUSED_NOT, NULL });
	engine_init(&e);
	m.number = volume("v1")->number;
	node_silent(&e, &state, 1, &m); /* nobody owns it */
	CHECK_EQ(state.nodes[2].fence_asked, 0);
	state_commit(&state, NULL);
	bring_online("volume.v1", 1);
	node_silent(&e, &state, 3, &m); /* not the owner */
	m.number++;
	node_silent(&e, &state, 1, &m); /* of an earlier volume */
	m.number--;
	m.incarnation--;
	node_silent(&e, &state, 1, &m); /* it was restarted since */
	CHECK_EQ(state.nodes[2].fence_asked, 0);
	m.incarnation++;
	node_silent(&e, &state, 1, &m);
	CHECK_EQ(state.nodes[2].fence_asked, 1);
	CHECK_EQ(state.nodes[2].fence_reason, REASON_VOLUME_SILENT);
	state_commit(&state, NULL);
	/* The cleanup of a resource whose stop failed there does not take that back. */
	STORY({ "create role web;create resource ip role=web agent=ocf:heartbeat:IPaddr2", REFUSED_NOT, NULL });
	bring_online("web", 2);
	((struct resource *)state_edit(&state, KIND_RESOURCE, resource("ip")->object.id))->state = RES_BLOCKED;
	state_commit(&state, NULL);
	STORY({ "cleanup resource ip", REFUSED_NOT, NULL });
	CHECK_EQ(state.nodes[2].fence_asked, 1);
	((struct node *)state_edit(&state, KIND_NODE, 2))->state = NODE_LOST;
	node_fenced(&e, &state, 2, FENCE_BY_COMMAND);
	state_commit(&state, NULL);
	CHECK_EQ(state.nodes[2].fence_asked + state.nodes[2].fence_reason, 0);
}

/* --- the order of stops --- */

static void test_held(void)
{
	uint32_t own, web;

	set_up(2);
	STORY({ "create volume v1 device=/dev/a;create role web volumes=v1", REFUSED_NOT, NULL },
	      { "create resource ip role=web agent=ocf:heartbeat:IPaddr2", REFUSED_NOT, NULL });
	own = role("volume.v1")->object.id;
	web = role("web")->object.id;
	bring_online("volume.v1", 1);
	bring_online("web", 2);
	CHECK(!volume_is_held(&state, own));
	STORY({ "stop volume v1 force", REFUSED_NOT, NULL });
	CHECK(volume_is_held(&state, own));
	CHECK_EQ(volume_unwanted(&state, role("web")), 1);
	((struct node *)state_edit(&state, KIND_NODE, 2))->state = NODE_LOST; /* its fence stops it */
	CHECK(!volume_is_held(&state, own));
	((struct node *)state_edit(&state, KIND_NODE, 2))->state = NODE_ONLINE;
	((struct role *)state_edit(&state, KIND_ROLE, web))->maintenance = 1; /* it will not stop */
	CHECK(!volume_is_held(&state, own));
	((struct role *)state_edit(&state, KIND_ROLE, web))->maintenance = 0;
	((struct resource *)state_edit(&state, KIND_RESOURCE, resource("ip")->object.id))->state = RES_STOPPED;
	CHECK(!volume_is_held(&state, own));
	state_commit(&state, NULL);
}

int main(void)
{
	test_create();
	test_refused();
	test_kept_together();
	test_set_and_rename();
	test_stop_timeout();
	test_delete();
	test_evict();
	test_all_or_nothing();
	test_report();
	test_report_bad();
	test_silent();
	test_held();
	return check_result();
}
