/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Answers carry no number, so a connection has one request at a time: a second one before the answer is refused, in words
 * that are true of either, and nothing else comes on that connection any more. The socket, the core and what the shell
 * serves from stand in here.
 */
#include "clusterd/shell_private.h"
#include "tests/lib/check.h"

#define CONNS 8

static struct shell shell;
static struct control_handlers handlers;
static unsigned int n_answers[CONNS], n_parts[CONNS], n_statuses[CONNS], n_disconnects;
static struct msg_answer answers[CONNS]; /* the newest */
static char details[CONNS][4 * TEXT_SIZE];
static agents_validated_fn meta_done;
static void *meta_user;
static uint64_t requests[CONNS], n_requests;
static uint32_t forgotten;

/* ---- the world around ---- */

int control_open(struct control **ret_control, qb_loop_t *loop, const char *run_dir, const char *group_full,
		 const char *group_read, const struct control_handlers *h, void *ctx)
{
	(void)loop, (void)run_dir, (void)group_full, (void)group_read;
	CHECK(ctx == &shell);
	handlers = *h;
	*ret_control = (struct control *)&handlers;
	return 0;
}

void control_close(struct control *c) { (void)c; }

int control_reply(struct control *c, uint32_t conn, const void *data, size_t len)
{
	struct message m;

	(void)c;
	REQUIRE(conn && conn < CONNS);
	REQUIRE(message_decode(data, len, &m) == FRAME_OK);
	if (m.type == ANSWER_PART)
		n_parts[conn]++;
	if (m.type == ANSWER_STATUS)
		n_statuses[conn]++;
	if (m.type != ANSWER)
		return 0;
	n_answers[conn]++;
	answers[conn] = m.answer;
	snprintf(details[conn], sizeof(details[conn]), "%.*s", (int)m.answer.detail.len, (const char *)m.answer.detail.data);
	return 0;
}

void control_disconnect(struct control *c, uint32_t conn)
{
	(void)c, (void)conn;
	n_disconnects++;
}

void shell_step(struct shell *s, struct core_event *e)
{
	CHECK(s == &shell);
	REQUIRE(e->kind == EVENT_REQUEST || e->kind == EVENT_FORCE);
	requests[n_requests++] = e->request.id;
}

void shell_end(struct shell *s, int code) { (void)s, (void)code; }
void shell_stop(struct shell *s) { (void)s; }
void shell_vet_close(struct shell *s) { (void)s; }
void shell_vet_forget(struct shell *s, uint32_t conn)
{
	(void)s;
	forgotten = conn;
}

void shell_vet_change(struct shell *s, uint32_t conn, const void *ops, size_t len, bool submit)
{
	CHECK(submit);
	shell_control_submit(s, conn, ops, len);
}

void store_status(struct store *s, struct store_status *out)
{
	(void)s;
	memset(out, 0, sizeof(*out));
}

int store_backup(struct store *s, const char *path, void (*done)(void *ctx, int error, const char *text), void *ctx)
{
	(void)s, (void)path, (void)done, (void)ctx;
	return -EBUSY;
}

size_t ring_queue_length(const struct ring *r)
{
	(void)r;
	return 0;
}

int agents_meta(struct agents *a, const char *agent, agents_validated_fn done, void *user)
{
	(void)a, (void)agent;
	meta_done = done;
	meta_user = user;
	return 0;
}

/* ---- clients ---- */

static void begin(void)
{
	static const struct core_config config = { .self = 1, .node_name = "node1", .cluster_name = "testcluster" };
	char text[TEXT_SIZE];

	memset(&shell, 0, sizeof(shell));
	memset(n_answers, 0, sizeof(n_answers));
	memset(n_parts, 0, sizeof(n_parts));
	memset(n_statuses, 0, sizeof(n_statuses));
	n_requests = n_disconnects = forgotten = 0;
	shell.memory = calloc(1, core_size());
	REQUIRE(shell.memory != NULL);
	shell.core = core_init(shell.memory, &config);
	core_load_done(shell.core, (struct tag){ 0, 0 }, 0);
	REQUIRE(!shell_control_open(&shell, text, sizeof(text)));
}

static void end(void)
{
	shell_control_close(&shell);
	CHECK_EQ(shell.n_waiters, 0);
	CHECK_EQ(shell.n_requests, 0);
	CHECK(shell.fetches == NULL);
	free(shell.memory);
}

static void ask(uint32_t conn, const struct message *m)
{
	static uint8_t frame[FRAME_MAX];
	int len = message_encode(m, frame, sizeof(frame));

	REQUIRE(len > 0);
	handlers.on_request(&shell, conn, CONTROL_FULL, frame, (size_t)len);
}

static void ask_change(uint32_t conn) { ask(conn, &(struct message){ .type = CTL_CHANGE }); }
static void ask_status(uint32_t conn) { ask(conn, &(struct message){ .type = CTL_STATUS }); }

static void core_answers(uint64_t id, enum refusal refusal, const char *detail)
{
	struct core_action a = { .kind = ACTION_REPLY };

	a.reply.id = id;
	a.reply.refusal = refusal;
	a.reply.detail = detail;
	shell_control_reply(&shell, &a);
}

/* The last word on a connection was the refusal, in words that fit either request. */
static void check_refused(uint32_t conn, unsigned int times)
{
	CHECK_EQ(n_answers[conn], times);
	CHECK_EQ(answers[conn].refusal, REFUSED_UNKNOWN_OUTCOME);
	CHECK_CONTAINS(details[conn], "may or may not have been carried out");
	CHECK_CONTAINS(details[conn], "one request at a time");
}

/* ---- tests ---- */

static void test_one_after_the_other(void)
{
	begin();
	for (unsigned int i = 0; i < 3; i++) {
		ask_change(1);
		REQUIRE(n_requests == i + 1);
		core_answers(requests[i], REFUSED_NOT, "done");
		CHECK_EQ(n_answers[1], i + 1);
		CHECK_EQ(answers[1].refusal, REFUSED_NOT);
		ask_status(1);
		CHECK_EQ(n_statuses[1], i + 1);
	}
	end();
}

/* The second change is not made; that the first is, must not be taken for its answer. */
static void test_two_changes(void)
{
	begin();
	ask_change(1);
	ask_change(2);
	ask_change(1);
	CHECK_EQ(n_requests, 2);
	CHECK_EQ(forgotten, 1);
	check_refused(1, 1);
	core_answers(requests[0], REFUSED_NOT, "done");
	check_refused(1, 1);
	ask_change(1);
	CHECK_EQ(n_requests, 2);
	check_refused(1, 2);
	core_answers(requests[1], REFUSED_NOT, "done");
	CHECK_EQ(answers[2].refusal, REFUSED_NOT);
	CHECK_EQ(n_disconnects, 0);
	end();
}

/* A question beside a change, and two questions. */
static void test_questions(void)
{
	struct message wait = { .type = CTL_STATUS, .ctl_status = { .wait_ms = 1000 } };

	begin();
	ask_change(1);
	ask_status(1);
	CHECK_EQ(n_statuses[1], 0);
	check_refused(1, 1);
	core_answers(requests[0], REFUSED_NOT, "done");
	check_refused(1, 1);
	ask(2, &wait);
	CHECK_EQ(shell.n_waiters, 1);
	ask_status(2);
	CHECK_EQ(shell.n_waiters, 0);
	CHECK_EQ(n_statuses[2], 0);
	check_refused(2, 1);
	end();
}

/* A long answer that is ready later does not come in parts either. */
static void test_long_answer(void)
{
	struct agent_meta meta = { .xml = (char *)"<resource-agent/>" };
	struct agent_validation v = { .meta = &meta };

	begin();
	ask(1, &(struct message){ .type = CTL_METADATA, .ctl_metadata = { .agent = "ocf:own:x" } });
	ask_status(1);
	check_refused(1, 1);
	meta_done(meta_user, &v);
	CHECK_EQ(n_parts[1], 0);
	check_refused(1, 1);
	ask(2, &(struct message){ .type = CTL_METADATA, .ctl_metadata = { .agent = "ocf:own:x" } });
	meta_done(meta_user, &v);
	CHECK_EQ(n_parts[2], 1);
	CHECK_EQ(answers[2].refusal, REFUSED_NOT);
	end();
}

/* Connections end, refused or waiting; their places are free again. */
static void test_closed(void)
{
	begin();
	for (unsigned int i = 0; i < 4 * CONTROL_CLIENT_MAX; i++) {
		struct message wait = { .type = CTL_STATUS, .ctl_status = { .wait_ms = 1000 } };

		ask(1, &wait);
		if (i % 2)
			ask(1, &wait);
		handlers.on_close(&shell, 1);
		CHECK_EQ(shell.n_callers, 0);
		CHECK_EQ(shell.n_waiters, 0);
	}
	end();
}

int main(void)
{
	test_one_after_the_other();
	test_two_changes();
	test_questions();
	test_long_answer();
	test_closed();
	return check_result();
}
