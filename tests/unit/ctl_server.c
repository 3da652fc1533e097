/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What clusterctl's tests talk to: a clusterd of one process without a ring, on the real control socket. Changes are applied
 * to a saved state; agents succeed, one a step. `ctl_server RUN_DIR STATE_FILE [MODE]`; MODE makes it misbehave:
 * mute (takes requests, never answers), garbage, slow (a change takes SLOW_MS and waits for n2), refuse, die (ends at a change),
 * blind (nobody gets to see the state), picky (the agents refuse). How volumes do is what STATE_FILE.volumes says; their
 * counters STATE_FILE.counters, and from the second question on STATE_FILE.later.
 */
#include <grp.h>
#include <signal.h>
#include <stdlib.h>
#include <unistd.h>

#include "clusterd/core/role.h"
#include "clusterd/ctl/ctl.h"
#include "clusterd/ctl/ctl_link.h"
#include "clusterd/io/control.h"

#define STEP_MS 20
#define SLOW_MS 4000
#define HELD_MAX 64

static struct ctl ctl; /* holds the state and the status it answers with */
static struct engine engine;
static struct control *control;
static qb_loop_t *loop;
static const char *mode = "";
static bool ending;

/* Long polls under way. */
static struct held {
	uint32_t conn;
	uint64_t until_ms;
} held[HELD_MAX];

static uint32_t slow_conn;
static uint64_t slow_until_ms;

static void reply(uint32_t conn, const struct message *m)
{
	uint8_t frame[FRAME_MAX];
	int len = message_encode(m, frame, sizeof(frame));

	if (len < 0 || control_reply(control, conn, frame, (size_t)len) < 0)
		fprintf(stderr, "ctl_server: an answer was not taken\n");
}

static void answer(uint32_t conn, enum refusal refusal, const char *detail)
{
	struct message m = { .type = ANSWER };

	m.answer.refusal = (uint16_t)refusal;
	m.answer.epoch = ctl.view.state->tag.epoch;
	m.answer.seq = ctl.view.state->tag.seq;
	m.answer.detail = (struct span){ (const uint8_t *)detail, strlen(detail) };
	reply(conn, &m);
}

static void part(uint32_t conn, const void *data, size_t len)
{
	struct message m = { .type = ANSWER_PART };

	m.answer_part.data = (struct span){ data, len };
	reply(conn, &m);
}

static void status(uint32_t conn)
{
	struct message m = { .type = ANSWER_STATUS };

	m.answer_status = ctl.view.self;
	m.answer_status.epoch = ctl.view.state->tag.epoch;
	m.answer_status.seq = ctl.view.state->tag.seq;
	if (slow_conn) {
		m.answer_status.waiting_for = NODE_BIT(2);
		snprintf(m.answer_status.text, sizeof(m.answer_status.text), "its disk is slow");
	}
	reply(conn, &m);
}

static void hold(uint32_t conn, uint32_t wait_ms)
{
	for (size_t i = 0; i < HELD_MAX; i++)
		if (!held[i].conn) {
			held[i] = (struct held){ conn, ctl_mono_ms() + wait_ms };
			return;
		}
	status(conn);
}

static void moved(void)
{
	ctl.view.state->tag.seq++;
	for (size_t i = 0; i < HELD_MAX; i++)
		if (held[i].conn) {
			status(held[i].conn);
			held[i].conn = 0;
		}
}

static void nobody_acts(void *user, const struct core_action *action)
{
	(void)user;
	(void)action;
}

static void change(uint32_t conn, const struct msg_ctl_change *m)
{
	static struct change_op scratch;
	static struct change_outcome outcome;
	const struct core_sink sink = { .act = nobody_acts };
	struct state *s = ctl.view.state;

	if (!strcmp(mode, "refuse")) {
		answer(conn, REFUSED_NO_QUORUM, "this side has 1 of 3 votes");
		return;
	}
	if (!strcmp(mode, "die"))
		exit(0);
	state_commit(s, &sink);
	if (!change_apply(s, ctl.view.self.members, m->ops.data, m->ops.len, &scratch, &outcome)) {
		answer(conn, outcome.refusal, outcome.detail);
		return;
	}
	moved();
	engine_touch_all(&engine, s);
	engine_run(&engine, s);
	if (!strcmp(mode, "slow")) {
		slow_conn = conn;
		slow_until_ms = ctl_mono_ms() + SLOW_MS;
	} else {
		answer(conn, REFUSED_NOT, "");
	}
}

/* One operation in flight ends well. */
static bool operation_end(struct state *s)
{
	for (uint32_t id = 1; id <= s->high[KIND_RESOURCE]; id++) {
		const struct resource *x = state_resource(s, id);
		struct msg_result m = { .resource = id, .rc = OCF_SUCCESS, .status = AGENT_DONE };

		if (!x || !x->op)
			continue;
		m.op = x->op;
		m.action = (uint8_t)x->op_action;
		role_result(&engine, s, s->roles[x->role].owner, &m);
		engine_run(&engine, s);
		return true;
	}
	return false;
}

static void step(void *unused)
{
	uint64_t now = ctl_mono_ms();
	qb_loop_timer_handle timer;

	(void)unused;
	if (operation_end(ctl.view.state))
		moved();
	for (size_t i = 0; i < HELD_MAX; i++)
		if (held[i].conn && now >= held[i].until_ms) {
			status(held[i].conn);
			held[i].conn = 0;
		}
	if (slow_conn && now >= slow_until_ms) {
		answer(slow_conn, REFUSED_NOT, "");
		slow_conn = 0;
	}
	if (ending)
		qb_loop_stop(loop);
	qb_loop_timer_add(loop, QB_LOOP_MED, STEP_MS * 1000000ull, NULL, step, &timer);
}

static void snapshot(uint32_t conn)
{
	uint8_t buffer[FRAME_MAX / 4];
	uint64_t cursor = 0;
	bool done;

	if (!strcmp(mode, "blind")) {
		answer(conn, REFUSED_BUSY, "nobody sees the state");
		return;
	}
	do {
		struct writer w = writer_of(buffer, sizeof(buffer));

		done = state_encode_next(ctl.view.state, &cursor, &w);
		part(conn, buffer, writer_len(&w));
	} while (!done);
	answer(conn, REFUSED_NOT, "");
}

static void metadata(uint32_t conn, const char *agent)
{
	static const char xml[] =
		"<?xml version=\"1.0\"?><resource-agent name=\"Dummy\"><longdesc>Does\n nothing.</longdesc>"
		"<shortdesc>A dummy</shortdesc><parameters><parameter name=\"state\" unique=\"1\" required=\"0\">"
		"<shortdesc>State file</shortdesc><content type=\"string\" default=\"/run/x\"/></parameter></parameters>"
		"<actions><action name=\"start\" timeout=\"20s\"/></actions></resource-agent>";

	if (strcmp(agent, "ocf:heartbeat:Dummy") != 0) {
		answer(conn, REFUSED_NOT_FOUND, "agent is not installed on node n1");
		return;
	}
	part(conn, xml, 100);
	part(conn, xml + 100, sizeof(xml) - 101);
	answer(conn, REFUSED_NOT, "");
}

static void volumes(uint32_t conn, bool counters)
{
	static unsigned int asked;
	static char text[PAYLOAD_MAX];
	char path[256];
	size_t n;
	FILE *f;

	snprintf(path, sizeof(path), "%s.%s", ctl.options.state, !counters ? "volumes" : asked++ ? "later" : "counters");
	f = fopen(path, "re");
	n = f ? fread(text, 1, sizeof(text), f) : 0;
	if (f)
		fclose(f);
	part(conn, text, n / 2);
	part(conn, text + n / 2, n - n / 2);
	answer(conn, REFUSED_NOT, "done");
}

static void order(uint32_t conn, const struct msg_ctl_volume_order *m)
{
	char text[2 * TEXT_SIZE];

	if (m->order == VOLUME_TRIM)
		part(conn, "trim: 50 %\n", 11);
	snprintf(text, sizeof(text), "volume %s: %s %u", m->volume, enum_text(enum_values_volume_order, m->order), m->most_ms);
	answer(conn, m->order == VOLUME_THAW ? REFUSED_STATE : REFUSED_NOT, text);
}

static void on_request(void *ctx, uint32_t conn, enum control_access access, const void *data, size_t len)
{
	struct message m;

	(void)ctx;
	(void)access;
	if (!strcmp(mode, "mute"))
		return;
	if (!strcmp(mode, "garbage")) {
		control_reply(control, conn, "garbage", 7);
		return;
	}
	if (message_decode(data, len, &m) != FRAME_OK) {
		answer(conn, REFUSED_BAD_REQUEST, "");
		return;
	}
	switch (m.type) {
	case CTL_STATUS:
		if (!m.ctl_status.wait_ms || m.ctl_status.known_seq != ctl.view.state->tag.seq)
			status(conn);
		else
			hold(conn, m.ctl_status.wait_ms);
		break;
	case CTL_SNAPSHOT:
		snapshot(conn);
		break;
	case CTL_CHANGE:
		change(conn, &m.ctl_change);
		break;
	case CTL_VET:
		answer(conn, strcmp(mode, "picky") ? REFUSED_NOT : REFUSED_AGENT, "resource 'r1': not with me");
		break;
	case CTL_LOG:
		part(conn, "one\ntwo\n", 8);
		answer(conn, REFUSED_NOT, "");
		break;
	case CTL_METADATA:
		metadata(conn, m.ctl_metadata.agent);
		break;
	case CTL_BACKUP:
		if (strstr(m.ctl_backup.path, "full"))
			answer(conn, REFUSED_IO, m.ctl_backup.path);
		else
			answer(conn, REFUSED_NOT, m.ctl_backup.path);
		break;
	case CTL_VOLUMES:
		volumes(conn, m.ctl_volumes.counters);
		break;
	case CTL_VOLUME_ORDER:
		order(conn, &m.ctl_volume_order);
		break;
	case CTL_STOP:
		answer(conn, REFUSED_NOT, "");
		ending = true;
		break;
	default:
		answer(conn, REFUSED_NOT, "");
	}
}

static void on_close(void *ctx, uint32_t conn)
{
	(void)ctx;
	for (size_t i = 0; i < HELD_MAX; i++)
		if (held[i].conn == conn)
			held[i].conn = 0;
	if (slow_conn == conn)
		slow_conn = 0;
}

static int32_t on_signal(int32_t signal_number, void *data)
{
	(void)signal_number;
	(void)data;
	qb_loop_stop(loop);
	return 0;
}

int main(int argc, char **argv)
{
	static const struct control_handlers handlers = { .on_request = on_request, .on_close = on_close };
	const struct group *g = getgrgid(getgid());
	qb_loop_signal_handle handle;
	int rc;

	ctl.out = stdout;
	ctl.err = stderr;
	if (argc < 3)
		return 1;
	mode = argc > 3 ? argv[3] : "";
	ctl.options.state = argv[2];
	if (ctl_view_load(&ctl))
		return 1;
	loop = qb_loop_create();
	rc = control_open(&control, loop, argv[1], g ? g->gr_name : NULL, NULL, &handlers, NULL);
	if (rc) {
		fprintf(stderr, "ctl_server: %s\n", strerror(-rc));
		return 77;
	}
	engine_init(&engine);
	qb_loop_signal_add(loop, QB_LOOP_HIGH, SIGTERM, NULL, on_signal, &handle);
	step(NULL);
	printf("ready\n");
	fflush(stdout);
	qb_loop_run(loop);
	control_close(control);
	ctl_state_free(ctl.view.state);
	return 0;
}
