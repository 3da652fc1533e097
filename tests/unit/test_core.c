/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Stories of a few cores in which the order of things is told one by one: races that chance seldom finds. */
#include "tests/unit/core_rig.h"

#define NODES2 (NODE_BIT(1) | NODE_BIT(2))
#define NODES3 (NODES2 | NODE_BIT(3))
#define NODES4 (NODES3 | NODE_BIT(4))
#define T_STOP_MS 30000
#define PROVEN_MS 33000 /* T_stop and the margin, as they are by default */

static void with_role(const char *where)
{
	char text[128];

	snprintf(text, sizeof(text), "create role r possible=%s", where);
	rig_do(1, text);
	rig_do(1, "create resource d role=r agent=ocf:pacemaker:Dummy");
	rig_time(1000);
}

static void witness_says(uint32_t id, bool held)
{
	struct core_event e = { .kind = EVENT_WITNESS, .witness = { held } };

	rig_step(id, &e);
}

/*
 * Node 1 sees node 5 lost, is then away itself while 5 is back for a while, and sees it lost again: T_stop of 5 counts from
 * the second time.
 */
static void lost_again_while_away(void)
{
	rig_up(5);
	with_role("n5");
	rig_view(NODES4);
	rig_settle();
	rig_time(5000);
	rig_view((NODES4 | NODE_BIT(5)) & ~NODE_BIT(1));
	rig_settle();
	rig_time(20000);
	CHECK_EQ(rig_state(2)->nodes[5].state, NODE_ONLINE);
	rig_view(NODES4);
	rig_settle();
	rig_time(PROVEN_MS - 2000);
	CHECK_EQ(rig_state(1)->nodes[5].state, NODE_LOST);
	rig_time(5000);
	CHECK_EQ(rig_state(1)->nodes[5].state, NODE_DOWN);
	rig_down();
}

/* The watchdog of a node that was lost before it heard of a shorter T_stop resets it after the longer one. */
static void t_stop_is_shortened(void)
{
	rig_up(3);
	with_role("n3");
	rig.reading = NODES2;
	rig_do(1, "set cluster rig t_stop=20s");
	rig_view(NODES2);
	rig_settle();
	rig_time(PROVEN_MS - 5000);
	CHECK_EQ(rig_state(1)->nodes[3].state, NODE_LOST);
	CHECK_EQ(rig_state(1)->nodes[2].watchdog_ms, 5000); /* who has heard of it has said so */
	rig_do(1, "set cluster rig t_stop=40s");
	rig_time(1000);
	CHECK_EQ(rig_state(1)->nodes[2].watchdog_ms, 5000);
	rig_down();
}

static void excluded_stays_out(void)
{
	rig_up(3);
	rig.reading = NODES2;
	rig_time(20000);
	CHECK_EQ(rig_state(1)->nodes[3].state, NODE_LOST);
	rig.reading = NODES3;
	rig_settle();
	CHECK_EQ(rig_phase(3), PHASE_NO_QUORUM);
	CHECK(rig.nodes[3].n_restarts > 0);
	CHECK(rig_phase(1) == PHASE_ACTIVE && rig_phase(2) == PHASE_ACTIVE);
	rig_down();
}

/* Forcing makes one view authoritative; when that view loses a member later, votes count again. */
static void forced_once(void)
{
	struct core_event force = { .kind = EVENT_FORCE, .request = { .id = 60 } };

	rig_up(5);
	rig_view(NODES2);
	rig_settle();
	CHECK_EQ(rig_phase(1), PHASE_NO_QUORUM);
	rig.nodes[1].answers[60] = -1;
	rig_step(1, &force);
	rig_settle();
	rig_time(3000);
	CHECK_EQ(rig_phase(2), PHASE_ACTIVE);
	CHECK_EQ(votes_of(rig_state(2)).nodes, NODE_BIT(1));
	rig.reading = NODE_BIT(2);
	rig_time(20000);
	CHECK_EQ(rig_phase(2), PHASE_NO_QUORUM);
	rig_down();
}

static void witness_lost_while_loading(void)
{
	rig_up(4);
	rig_do(1, "set cluster rig witness=share witness_target=x");
	rig_time(3000);
	rig_view(NODES2);
	rig_settle();
	rig_time(250);
	CHECK_EQ(rig.nodes[1].n_claims, 1);
	rig.hold_disks = true;
	witness_says(1, true);
	rig_settle();
	CHECK_EQ(rig_phase(2), PHASE_LOADING);
	witness_says(1, false);
	rig_settle();
	rig.hold_disks = false;
	rig_settle();
	CHECK_EQ(rig_phase(1), PHASE_NO_QUORUM);
	CHECK_EQ(rig_phase(2), PHASE_NO_QUORUM);
	rig_time(3000);
	witness_says(1, true);
	rig_settle();
	CHECK_EQ(rig_phase(2), PHASE_ACTIVE);
	rig_down();
}

/* What the witness remembers is what its holder was told: a new epoch without the holder needs a claim of its own. */
static void witness_held_by_the_excluded(void)
{
	rig_up(4);
	rig_do(1, "set cluster rig witness=share witness_target=x");
	rig_time(3000);
	rig_view(NODES2);
	rig_settle();
	rig_time(250);
	witness_says(1, true);
	rig_settle();
	rig_time(3000);
	CHECK_EQ(rig_phase(2), PHASE_ACTIVE);
	CHECK_EQ(votes_of(rig_state(2)).nodes, NODES2);
	CHECK(votes_of(rig_state(2)).witness);
	rig.reading = NODE_BIT(2);
	rig_time(20000);
	CHECK_EQ(rig_phase(2), PHASE_NO_QUORUM);
	CHECK(rig.nodes[2].n_claims > 0);
	witness_says(2, true);
	rig_settle();
	CHECK_EQ(rig_phase(2), PHASE_ACTIVE);
	/* The one that was excluded lets go of it. */
	rig.reading = NODES2;
	rig_settle();
	CHECK_EQ(rig.nodes[1].n_releases, 1);
	rig_down();
}

/* A node that was about to leave is resumed and given a role before its farewell is read. */
static void resumed_before_farewell(void)
{
	rig_up(3);
	rig.reading = NODES2;
	rig_do(1, "node-stop node n3");
	rig_do(1, "resume node n3");
	rig_do(1, "create role r possible=n3");
	rig_do(1, "create resource d role=r agent=ocf:pacemaker:Dummy");
	while (rig_state(3)->nodes[3].admin != ADMIN_STOPPING)
		REQUIRE(rig_next(3));
	rig_step(3, &(struct core_event){ .kind = EVENT_TICK });
	CHECK_EQ(rig.nodes[3].proposed[MSG_LEAVE], 1);
	rig.reading = NODES3;
	rig_settle();
	rig_time(1000);
	CHECK_EQ(rig.nodes[3].running[1], rig_state(1)->roles[1].owner == 3);
	CHECK_EQ(rig_state(1)->nodes[3].state, NODE_ONLINE);
	CHECK_EQ(rig.nodes[3].n_left, 0);
	rig_do(1, "stop role r");
	rig_time(1000);
	rig_do(1, "node-stop node n3");
	rig_time(1000);
	CHECK_EQ(rig_state(1)->nodes[3].state, NODE_DOWN);
	CHECK_EQ(rig.nodes[3].n_left, 1);
	rig_down();
}

static void mounts(uint32_t id, uint32_t count, uint64_t run)
{
	const struct volume_mark none = { 0, 0 };
	struct core_event e = { .kind = EVENT_VOLUMES, .volumes = { .up = &none, .mounts = count, .run = run } };

	rig_step(id, &e);
	rig_settle();
}

/* csvfs writes to what is shared: a node leaves without it only, and T_stop sees it ended as it does a resource. */
static void mounts_end_in_time(void)
{
	rig_up(3);
	mounts(3, 1, RIG_WALL_MS + 7);
	CHECK_EQ(rig_state(1)->nodes[3].mount_run, RIG_WALL_MS + 7);
	mounts(3, 1, RIG_WALL_MS + 3); /* it never falls */
	CHECK_EQ(rig_state(1)->nodes[3].mount_run, RIG_WALL_MS + 7);
	rig_time(CORE_TICK_MS);
	CHECK(rig.nodes[3].watchdog.watchdog.until_mono_ms != UINT64_MAX);
	rig_do(1, "node-stop node n3");
	rig_time(3000);
	CHECK_EQ(rig_state(1)->nodes[3].state, NODE_ONLINE);
	mounts(3, 0, 0);
	rig_time(1000);
	CHECK_EQ(rig_state(1)->nodes[3].state, NODE_DOWN);
	CHECK_EQ(rig.nodes[3].n_left, 1);
	rig_down();
	/* Without quorum: told to end them, and when that does not happen the host is reset. */
	rig_up(3);
	mounts(3, 1, RIG_WALL_MS + 7);
	rig_view(NODE_BIT(3));
	rig_settle();
	rig_time(2000);
	CHECK_EQ(rig.nodes[3].n_volumes_ends, 0);
	rig_time(6000);
	CHECK(rig.nodes[3].n_volumes_ends > 0);
	CHECK_EQ(rig.nodes[3].n_self_fences, 0);
	rig_time(30000);
	CHECK_EQ(rig.nodes[3].n_self_fences, 1);
	rig_down();
}

/* Two requests of node 3 were decided without it, the first refused, the second made: only that is known of the second. */
static void decided_without_the_asker(void)
{
	uint32_t refused, made;

	rig_up(3);
	rig_do(1, "create role a");
	refused = rig_ask(3, "create role a");
	made = rig_ask(3, "create role b");
	rig.reading = NODES2;
	rig_settle();
	rig_view(NODES3);
	rig_settle();
	rig_time(1000);
	CHECK_EQ(rig.nodes[3].answers[made], REFUSED_NOT);
	CHECK_EQ(rig.nodes[3].answers[refused], REFUSED_UNKNOWN_OUTCOME);
	rig_down();
}

/* Quorum is lost before the answer: the asker is told so once, and the old wish is not carried out after the rejoin. */
static void old_wish_is_dropped(void)
{
	uint32_t asked;

	rig_up(3);
	asked = rig_ask(3, "create role late");
	rig_view(NODE_BIT(3));
	rig_settle();
	CHECK_EQ(rig_phase(3), PHASE_NO_QUORUM);
	CHECK_EQ(rig.nodes[3].answers[asked], REFUSED_UNKNOWN_OUTCOME);
	rig_view(NODES3);
	rig_settle();
	rig_time(2000);
	CHECK_EQ(rig_phase(3), PHASE_ACTIVE);
	CHECK_EQ(state_find(rig_state(1), KIND_ROLE, "late"), 0);
	rig_down();
}

/* What monitors find during maintenance is not counted; after it, the next finding is acted on. */
static void failure_in_maintenance(void)
{
	uint32_t owner;

	rig_up(3);
	with_role("n1,n2");
	owner = rig_state(1)->roles[1].owner;
	REQUIRE(owner == 1 || owner == 2);
	rig_do(1, "set role r maintenance=yes");
	for (int i = 0; i < 3; i++) {
		rig_monitor_failed(owner, 1);
		rig_settle();
	}
	CHECK_EQ(rig_state(1)->resources[1].state, RES_STARTED);
	CHECK_EQ(rig_state(1)->resources[1].restarts, 0);
	rig_do(1, "set role r maintenance=no");
	rig_monitor_failed(owner, 1);
	rig_settle();
	CHECK_EQ(rig_state(1)->resources[1].restarts, 1);
	CHECK_EQ(rig_state(1)->resources[1].state, RES_STARTED);
	CHECK_EQ(rig_state(1)->roles[1].owner, owner);
	rig_down();
}

/*
 * clusterd was stopped while nothing ran here, so that no watchdog was armed; then it reads that it was told to start
 * something, long ago. The others may have waited for its end since. It starts when its own sign of life has come back.
 */
static void old_orders_are_not_carried_out(void)
{
	rig_up(3);
	rig.reading &= ~NODE_BIT(3);
	with_role("n3");
	rig_time(9000);
	REQUIRE(rig_state(1)->roles[1].owner == 3);
	REQUIRE(rig_state(1)->resources[1].op);
	rig.reading |= NODE_BIT(3);
	rig.hold_agents = true;
	rig_settle();
	CHECK_EQ(rig_state(3)->resources[1].op, rig_state(1)->resources[1].op);
	CHECK_EQ(rig.nodes[3].n_runs, 0);
	rig_time(CORE_TICK_MS);
	CHECK_EQ(rig.nodes[3].n_runs, 1);
	rig.hold_agents = false;
	rig_settle();
	CHECK_EQ(rig_state(1)->roles[1].state, ROLE_ONLINE);
	CHECK_EQ(rig.nodes[3].n_restarts, 0);
	rig_down();
}

static uint32_t events_of(enum reason reason)
{
	uint32_t n = 0;

	for (uint32_t id = 1; id <= rig_state(1)->high[KIND_EVENT]; id++)
		n += rig_state(1)->events[id].object.used && rig_state(1)->events[id].reason == (uint32_t)reason;
	return n;
}

/* A monitor that fails and is left so is one event, however often it runs; so is its end. The others hear nothing between. */
static void failing_is_told_once(const char *left_so, const char *acted_on, enum reason told)
{
	uint64_t seq = 0;

	rig_up(3);
	with_role("n1");
	rig_do(1, left_so);
	for (int i = 0; i < 5; i++) {
		rig_monitor_failed(1, 1);
		rig_settle();
		if (i == 0)
			seq = rig_state(1)->tag.seq;
	}
	CHECK_EQ(rig_state(1)->tag.seq, seq);
	CHECK_EQ(events_of(told), 1);
	CHECK(rig_state(1)->resources[1].failing);
	CHECK_EQ(rig_state(1)->resources[1].restarts, 0);
	rig_monitored(1, 1, OCF_SUCCESS, "");
	rig_settle();
	CHECK(!rig_state(1)->resources[1].failing);
	CHECK_EQ(events_of(REASON_RECOVERED), 1);
	CHECK_EQ(rig_state(1)->resources[1].restarts, 0);
	CHECK_EQ(rig_state(1)->roles[1].state, ROLE_ONLINE);
	rig_monitored(1, 1, OCF_SUCCESS, "");
	rig_monitor_failed(1, 1);
	rig_settle();
	CHECK_EQ(events_of(REASON_RECOVERED), 1);
	CHECK_EQ(events_of(told), 2);
	/* What fails still is acted on when that is wanted again. */
	rig_do(1, acted_on);
	rig_monitor_failed(1, 1);
	rig_settle();
	CHECK_EQ(rig_state(1)->resources[1].restarts, 1);
	CHECK(!rig_state(1)->resources[1].failing);
	CHECK_EQ(rig_state(1)->roles[1].state, ROLE_ONLINE);
	rig_down();
}

/* From the loss of quorum on, not from the end of the grace, status says when what runs here will have stopped. */
static void stop_is_announced(void)
{
	struct core_status st;
	uint32_t owner;

	rig_up(3);
	with_role("n3");
	owner = rig_state(1)->roles[1].owner;
	REQUIRE(owner == 3);
	core_status(rig.nodes[3].core, rig.mono_ms, &st);
	CHECK_EQ(st.stop_left_ms, 0);
	rig_view(NODE_BIT(3));
	rig_settle();
	core_status(rig.nodes[3].core, rig.mono_ms, &st);
	CHECK_EQ(st.phase, PHASE_NO_QUORUM);
	CHECK(st.stop_left_ms > 20000 && st.stop_left_ms <= 30000);
	CHECK(rig.nodes[3].running[1]);
	rig_time(8000);
	CHECK(!rig.nodes[3].running[1]);
	core_status(rig.nodes[3].core, rig.mono_ms, &st);
	CHECK_EQ(st.stop_left_ms, 0);
	rig_down();
}

/* Disarmed nothing is stopped for lack of quorum, so nothing is announced either. */
static void no_stop_while_disarmed(void)
{
	struct core_status st;

	rig_up(3);
	with_role("n3");
	rig_do(1, "set cluster rig disarmed=yes");
	rig_time(1000);
	rig_view(NODE_BIT(3));
	rig_time(8000);
	core_status(rig.nodes[3].core, rig.mono_ms, &st);
	CHECK_EQ(st.phase, PHASE_NO_QUORUM);
	CHECK(rig.nodes[3].running[1]);
	CHECK_EQ(st.stop_left_ms, 0);
	rig_down();
}

/* A node without the agent's package: nothing was started there, so nothing is to be stopped, and nobody to be fenced. */
static void agent_is_missing(enum agent_status status)
{
	rig_up(3);
	rig.hold_agents = true;
	rig_do(1, "create role r preferred=n1,n2");
	rig_do(1, "create resource d role=r agent=ocf:pacemaker:Dummy on_fail=failover");
	rig_time(1000);
	REQUIRE(rig.nodes[1].n_runs == 1 && rig.nodes[1].runs[0].action == AGENT_START);
	rig_ended(1, status, OCF_ERR_INSTALLED);
	rig_time(1000);
	CHECK_EQ(rig.nodes[1].n_runs, 0);
	CHECK_EQ(rig.nodes[1].core->local.n_runs, 0);
	CHECK_EQ(rig_state(1)->nodes[1].fence_asked, 0);
	CHECK_EQ(rig_state(1)->roles[1].owner, 2);
	rig.hold_agents = false;
	rig_settle();
	CHECK_EQ(rig_state(1)->roles[1].state, ROLE_ONLINE);
	rig_down();
}

/*
 * An administrator said that node 3 is off, which was not so: its clusterd is back and finds what runs elsewhere by now. When
 * it cannot be stopped the host is reset, as for any failed stop: the node would never tell what it runs, and hold up its
 * own roles and, after a forced quorum, all.
 */
static const char *status_text(uint32_t id)
{
	static struct core_status status;

	core_status(rig.nodes[id].core, rig.mono_ms, &status);
	return status.text;
}

/*
 * Without a watchdog the kernel is asked alone, which may refuse; disarmed nothing is reset. Then at least the status page
 * says, here and on the others, what holds the node up, and for how long it has.
 */
static void stray_does_not_stop(bool disarmed, bool watchdog)
{
	struct inventory_item item = { 1, RES_STARTED };
	struct core_event e = { .kind = EVENT_INVENTORY, .inventory = { &item, 1 } };

	rig_up(3);
	with_role("n1");
	rig_view(NODES2);
	rig_settle();
	rig_do(1, "confirm-fenced node n3");
	if (disarmed)
		rig_do(1, "set cluster rig disarmed=yes");
	free(rig.nodes[3].core);
	rig_boot(3, NODES3);
	if (!watchdog)
		rig.nodes[3].core->config.watchdog_ms = 0;
	rig_step(3, &e);
	rig.hold_agents = true;
	rig_view(NODES3);
	rig_settle();
	rig_time(1000);
	CHECK_EQ(rig_state(1)->nodes[3].state, NODE_JOINING);
	CHECK_STR(status_text(1), "waiting for the inventory of n3");
	CHECK_STR(status_text(3), "this node tells what it runs when what belongs elsewhere has stopped here: d");
	REQUIRE(rig.nodes[3].n_runs == 1 && rig.nodes[3].runs[0].action == AGENT_STOP);
	rig_ended(3, AGENT_TIMEOUT, OCF_ERR_GENERIC);
	rig_time(500);
	CHECK_EQ(rig.nodes[3].n_self_fences, !disarmed);
	rig_time(60000);
	CHECK_EQ(rig_state(1)->nodes[3].state, NODE_JOINING);
	CHECK_CONTAINS(status_text(1), "waiting for the inventory of n3, for ");
	CHECK_CONTAINS(status_text(1), " s: its log tells what holds it up");
	CHECK_CONTAINS(status_text(3), disarmed ? "belongs elsewhere has stopped here: d" : "reset it by hand");
	rig_down();
}

/*
 * Node 3 alone reads that its resource failed, and stops it; the others go on from before that, and give the same number to
 * the start that follows when it is back. What became of the stop is no answer to the start.
 */
static void number_given_twice(void)
{
	uint64_t op;

	rig_up(3);
	with_role("n3");
	rig.hold_agents = true;
	rig.reading = NODE_BIT(3);
	rig_monitor_failed(3, 1);
	rig_settle();
	REQUIRE(rig.nodes[3].n_runs == 1 && rig.nodes[3].runs[0].action == AGENT_STOP);
	op = rig.nodes[3].runs[0].op;
	rig_view(NODES2);
	rig_settle();
	rig_view(NODES3);
	rig_settle();
	CHECK_EQ(rig_state(1)->nodes[3].state, NODE_JOINING);
	rig_result(3, 0);
	rig_settle();
	CHECK_EQ(rig_state(1)->nodes[3].state, NODE_ONLINE);
	CHECK_EQ(rig_state(1)->resources[1].op, op);
	rig.hold_agents = false;
	rig_time(5000);
	CHECK_EQ(rig_state(1)->resources[1].state, RES_STARTED);
	CHECK(rig.nodes[3].running[1]);
	rig_down();
}

static void alone(uint32_t id)
{
	struct core_event e = { .kind = EVENT_RING_LOST };

	rig_view(NODES3 & ~NODE_BIT(id));
	rig_settle();
	rig.reading = NODE_BIT(id);
	rig_step(id, &e);
}

/* Disarmed for work on the network, which is down; clusterd of a node that is alone is started anew. Its roles go on. */
static void respawn_while_disarmed(void)
{
	const struct inventory_item item = { 1, RES_STARTED };

	rig_up(3);
	with_role("n3");
	rig_do(1, "set cluster rig disarmed=yes");
	rig_time(1000);
	alone(3);
	rig_time(10 * T_STOP_MS);
	CHECK(rig.nodes[3].running[1]);
	rig_respawn(3, &item);
	rig_time(T_STOP_MS);
	CHECK_EQ(rig.nodes[3].n_self_fences, 0);
	CHECK(rig.nodes[3].running[1]);
	CHECK(!rig.nodes[3].watchdog.watchdog.armed);
	/* The others arm meanwhile: they do not count on its watchdog before it has said that it is armed. */
	rig.reading = NODES2;
	rig_do(1, "set cluster rig disarmed=no");
	rig_time(2 * PROVEN_MS);
	CHECK_EQ(rig_state(1)->nodes[3].state, NODE_LOST);
	rig_view(NODES3);
	rig_settle();
	rig_time(1000);
	CHECK_EQ(rig_state(1)->nodes[3].state, NODE_ONLINE);
	CHECK(rig.nodes[3].watchdog.watchdog.armed);
	CHECK(rig.nodes[3].running[1]);
	rig_down();
}

/* Without that, T_stop counts on from where the run before had been. */
static void respawn_alone(void)
{
	const struct inventory_item item = { 1, RES_STARTED };

	rig_up(3);
	with_role("n3");
	alone(3);
	rig_time(1000);
	rig_respawn(3, &item);
	rig_time(T_STOP_MS);
	CHECK(!rig.nodes[3].running[1]);
	rig_down();
}

/* The lowest node moves the replicated clock for all; its own clock is broken. What waits for time gets its time. */
static void clock_of_the_lowest(int64_t ahead_ms)
{
	uint64_t before;

	rig.nodes[1].wall_ahead_ms = ahead_ms;
	rig_up(3);
	rig_do(2, "create role early");
	rig_do(2, "create resource a role=early agent=ocf:pacemaker:Dummy");
	rig_do(2, "create set first roles=early");
	rig_time(1000);
	before = rig_state(2)->cluster.now_ms;
	rig_do(2, "create role late");
	rig_do(2, "create resource b role=late agent=ocf:pacemaker:Dummy");
	rig_do(2, "create set second roles=late after=first delay=20s");
	rig_do(2, "stop role early");
	rig_do(2, "stop role late");
	rig_do(2, "start role early");
	rig_do(2, "start role late");
	rig_time(10000);
	CHECK_EQ(rig_state(2)->roles[2].state, ROLE_PENDING);
	rig_time(15000);
	CHECK_EQ(rig_state(2)->roles[2].state, ROLE_ONLINE);
	rig_time(60000);
	CHECK(rig_state(2)->cluster.now_ms - before < 2 * 85000);
	rig_down();
}

/* Two of three clocks are set back: the replicated clock, which never goes back, goes on all the same. */
static void clocks_set_back(void)
{
	uint64_t before;

	rig_up(3);
	rig_do(1, "create role r");
	rig_time(1000);
	before = rig_state(1)->cluster.now_ms;
	rig.nodes[1].wall_ahead_ms = rig.nodes[2].wall_ahead_ms = -(int64_t)MS_PER_HOUR;
	for (int i = 0; i < 30; i++) {
		rig_time(1000);
		rig_do(1, i % 2 ? "set role r memory_mb=1" : "set role r memory_mb=2");
	}
	CHECK(rig_state(1)->cluster.now_ms >= before + 12000);
	CHECK(rig_state(1)->cluster.now_ms <= before + 31000);
	rig_down();
}

int main(void)
{
	stop_is_announced();
	no_stop_while_disarmed();
	lost_again_while_away();
	t_stop_is_shortened();
	excluded_stays_out();
	forced_once();
	witness_lost_while_loading();
	witness_held_by_the_excluded();
	resumed_before_farewell();
	mounts_end_in_time();
	decided_without_the_asker();
	old_wish_is_dropped();
	old_orders_are_not_carried_out();
	failure_in_maintenance();
	failing_is_told_once("set role r maintenance=yes", "set role r maintenance=no", REASON_LEFT_FAILING);
	failing_is_told_once("set node n1 maintenance=yes", "set node n1 maintenance=no", REASON_LEFT_FAILING);
	failing_is_told_once("set resource d on_fail=ignore", "set resource d on_fail=restart", REASON_IGNORED);
	agent_is_missing(AGENT_NOT_INSTALLED);
	agent_is_missing(AGENT_SPAWN_FAILED);
	stray_does_not_stop(false, true);
	stray_does_not_stop(false, false);
	stray_does_not_stop(true, true);
	stray_does_not_stop(true, false);
	number_given_twice();
	respawn_while_disarmed();
	respawn_alone();
	clock_of_the_lowest(-24 * 365 * (int64_t)MS_PER_HOUR);
	clock_of_the_lowest(24 * 365 * (int64_t)MS_PER_HOUR);
	clocks_set_back();
	return check_result();
}
