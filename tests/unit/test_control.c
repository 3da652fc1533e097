/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The control socket: requests and late replies, many parts, who may connect, bad messages, a client that does not read,
 * too many clients, closing. Clients are processes of their own.
 */
#include <fcntl.h>
#include <grp.h>
#include <malloc.h>
#include <poll.h>
#include <qb/qbipcc.h>
#include <qb/qbutil.h>
#include <signal.h>
#include <stdbool.h>
#include <sys/wait.h>
#include <unistd.h>

#include "clusterd/io/control.h"
#include "tests/lib/check.h"

#define WAIT_MS 20000
#define PARTS 200

static qb_loop_t *loop;
static struct control *control;
static char run_dir[64];
static unsigned int requests, closed, writable;
static uint32_t last_conn, to_feed;
static enum control_access last_access;
static unsigned int parts_left;
static uint8_t part[CONTROL_DATA_MAX];

/* --- client's side --- */

static qb_ipcc_connection_t *client_connect(void)
{
	char name[CONTROL_NAME_SIZE];

	control_name(run_dir, name);
	return qb_ipcc_connect(name, CONTROL_BUFFER_SIZE);
}

static int client_send(qb_ipcc_connection_t *c, const void *data, size_t len, int id)
{
	static uint8_t message[2 * CONTROL_BUFFER_SIZE];
	struct control_request_header head = { 0 };
	ssize_t n;

	head.qb.id = id;
	head.qb.size = (int32_t)(sizeof(head) + len);
	memcpy(message, &head, sizeof(head));
	memcpy(message + sizeof(head), data, len);
	n = qb_ipcc_send(c, message, sizeof(head) + len);
	return n == (ssize_t)(sizeof(head) + len) ? 0 : (int)n;
}

/* Opaque bytes of the next message; negative errno. */
static int client_receive(qb_ipcc_connection_t *c, void *out, size_t size, int timeout_ms)
{
	static uint8_t message[CONTROL_BUFFER_SIZE];
	ssize_t n = qb_ipcc_event_recv(c, message, sizeof(message), timeout_ms);
	size_t head = sizeof(struct control_event_header);

	if (n < 0)
		return (int)n;
	if ((size_t)n < head || (size_t)n - head > size)
		return -EBADMSG;
	memcpy(out, message + head, (size_t)n - head);
	return (int)((size_t)n - head);
}

/* --- server's side --- */

static void feed(void)
{
	while (parts_left) {
		part[0] = (uint8_t)parts_left;
		if (control_reply(control, to_feed, part, sizeof(part)))
			return;
		parts_left--;
	}
}

static void on_late_reply(void *data)
{
	(void)data;
	control_reply(control, last_conn, "late", 4);
}

static void on_request(void *ctx, uint32_t conn, enum control_access access, const void *data, size_t len)
{
	qb_loop_timer_handle timer;

	(void)ctx;
	requests++;
	last_conn = conn;
	last_access = access;
	if (len == 5 && !memcmp(data, "parts", 5)) {
		to_feed = conn;
		parts_left = PARTS;
		feed();
	} else if (len == 4 && !memcmp(data, "late", 4)) {
		qb_loop_timer_add(loop, QB_LOOP_MED, 20 * QB_TIME_NS_IN_MSEC, NULL, on_late_reply, &timer);
	} else if (len == 4 && !memcmp(data, "drop", 4)) {
		control_disconnect(control, conn);
		CHECK_EQ(control_reply(control, conn, "x", 1), -ENOTCONN);
	} else if (len == 4 && !memcmp(data, "gone", 4)) {
		control_reply(control, conn, data, len); /* it may be there still */
	} else if (len == 6 && !memcmp(data, "access", 6)) {
		control_reply(control, conn, access == CONTROL_FULL ? "full" : "read", 4);
	} else {
		CHECK_EQ(control_reply(control, conn, data, len), 0);
	}
}

static void on_close(void *ctx, uint32_t conn)
{
	(void)ctx;
	(void)conn;
	closed++;
}

static void on_writable(void *ctx, uint32_t conn)
{
	(void)ctx;
	writable++;
	if (conn == to_feed)
		feed();
}

static void on_pause(void *data)
{
	(void)data;
	qb_loop_stop(loop);
}

static bool child_ended;

static void on_poll_child(void *data)
{
	qb_loop_timer_handle timer;
	pid_t pid = *(pid_t *)data;
	int status;

	if (waitpid(pid, &status, WNOHANG) == pid) {
		CHECK_EQ(status, 0);
		child_ended = true;
		qb_loop_stop(loop);
		return;
	}
	qb_loop_timer_add(loop, QB_LOOP_LOW, 5 * QB_TIME_NS_IN_MSEC, data, on_poll_child, &timer);
}

/* Runs `body` as a client in a process of its own while the server serves. */
static void with_client(int (*body)(void))
{
	qb_loop_timer_handle timer;
	pid_t pid = fork();

	if (!pid) {
		check_failed = check_count = 0;
		alarm(WAIT_MS / 1000);
		_exit(body());
	}
	child_ended = false;
	qb_loop_timer_add(loop, QB_LOOP_LOW, QB_TIME_NS_IN_MSEC, &pid, on_poll_child, &timer);
	qb_loop_run(loop);
	CHECK(child_ended);
}

static int body_echo(void)
{
	qb_ipcc_connection_t *c = client_connect();
	static uint8_t big[CONTROL_DATA_MAX], got[CONTROL_DATA_MAX];

	REQUIRE(c);
	CHECK_EQ(client_send(c, "hello", 5, CONTROL_MESSAGE_ID), 0);
	CHECK_EQ(client_receive(c, got, sizeof(got), WAIT_MS), 5);
	CHECK_MEM(got, "hello", 5);
	memset(big, 0x3c, sizeof(big));
	CHECK_EQ(client_send(c, big, sizeof(big), CONTROL_MESSAGE_ID), 0);
	CHECK_EQ(client_receive(c, got, sizeof(got), WAIT_MS), sizeof(big));
	CHECK_MEM(got, big, sizeof(big));
	/* two requests open, the first answered last */
	CHECK_EQ(client_send(c, "late", 4, CONTROL_MESSAGE_ID), 0);
	CHECK_EQ(client_send(c, "soon", 4, CONTROL_MESSAGE_ID), 0);
	CHECK_EQ(client_receive(c, got, sizeof(got), WAIT_MS), 4);
	CHECK_MEM(got, "soon", 4);
	CHECK_EQ(client_receive(c, got, sizeof(got), WAIT_MS), 4);
	CHECK_MEM(got, "late", 4);
	qb_ipcc_disconnect(c);
	return check_result();
}

static int body_parts(void)
{
	qb_ipcc_connection_t *c = client_connect();
	static uint8_t got[CONTROL_DATA_MAX];

	REQUIRE(c);
	CHECK_EQ(client_send(c, "parts", 5, CONTROL_MESSAGE_ID), 0);
	poll(NULL, 0, 100); /* a slow reader: the backlog fills */
	for (unsigned int i = PARTS; i; i--) {
		CHECK_EQ(client_receive(c, got, sizeof(got), WAIT_MS), sizeof(got));
		CHECK_EQ(got[0], (uint8_t)i);
	}
	qb_ipcc_disconnect(c);
	return check_result();
}

static int body_bad(void)
{
	static const struct {
		size_t len;
		int id;
	} cases[] = { { 5, 77 }, { CONTROL_DATA_MAX + 1, CONTROL_MESSAGE_ID } };
	uint8_t got[64];

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		qb_ipcc_connection_t *c = client_connect();
		static uint8_t bytes[CONTROL_DATA_MAX + 1];

		REQUIRE(c);
		CHECK_EQ(client_send(c, bytes, cases[i].len, cases[i].id), 0);
		CHECK(client_receive(c, got, sizeof(got), WAIT_MS) < 0);
		CHECK(!qb_ipcc_is_connected(c));
		qb_ipcc_disconnect(c);
	}
	return check_result();
}

/* Foreign messages with more behind them, by clients that do not wait for what becomes of it. */
static int body_bad_burst(void)
{
	for (unsigned int i = 0; i < 300; i++) {
		qb_ipcc_connection_t *c = client_connect();

		REQUIRE(c);
		for (unsigned int k = 0; k < 4; k++)
			client_send(c, "gone", 4, k == i % 4 ? 77 : CONTROL_MESSAGE_ID); /* fails when it is known to be dropped */
		qb_ipcc_disconnect(c);
	}
	return check_result();
}

static int body_dropped(void)
{
	qb_ipcc_connection_t *c = client_connect();
	uint8_t got[64];

	REQUIRE(c);
	CHECK_EQ(client_send(c, "drop", 4, CONTROL_MESSAGE_ID), 0);
	CHECK(client_receive(c, got, sizeof(got), WAIT_MS) < 0);
	return check_result();
}

/* Asks for much, reads nothing, and meanwhile another client is served. */
static int body_lazy(void)
{
	qb_ipcc_connection_t *lazy = client_connect(), *quick = client_connect();
	uint8_t got[64];

	REQUIRE(lazy && quick);
	CHECK_EQ(client_send(lazy, "parts", 5, CONTROL_MESSAGE_ID), 0);
	for (int i = 0; i < 50; i++) {
		CHECK_EQ(client_send(quick, "quick", 5, CONTROL_MESSAGE_ID), 0);
		CHECK_EQ(client_receive(quick, got, sizeof(got), WAIT_MS), 5);
	}
	return check_result();
}

static int body_many(void)
{
	qb_ipcc_connection_t *c[CONTROL_CLIENT_MAX + 1];

	for (unsigned int i = 0; i < CONTROL_CLIENT_MAX; i++) {
		c[i] = client_connect();
		REQUIRE(c[i]);
	}
	CHECK(!client_connect());
	CHECK_EQ(errno, EMFILE);
	qb_ipcc_disconnect(c[0]);
	for (unsigned int i = 0; i < 200 && !(c[0] = client_connect()); i++)
		poll(NULL, 0, 10); /* the server notices by itself */
	CHECK(c[0]);
	for (unsigned int i = 0; i < CONTROL_CLIENT_MAX; i++)
		qb_ipcc_disconnect(c[i]);
	return check_result();
}

static int as_user(const char *wanted)
{
	qb_ipcc_connection_t *c;
	uint8_t got[64];

	c = client_connect();
	if (!wanted) {
		CHECK(!c);
		CHECK_EQ(errno, EACCES);
		return check_result();
	}
	REQUIRE(c);
	CHECK_EQ(client_send(c, "access", 6, CONTROL_MESSAGE_ID), 0);
	CHECK_EQ(client_receive(c, got, sizeof(got), WAIT_MS), 4);
	CHECK_MEM(got, wanted, 4);
	return check_result();
}

static void become(uid_t uid, gid_t gid)
{
	REQUIRE(!setgroups(0, NULL) && !setgid(gid) && !setuid(uid));
}

static int body_stranger(void)
{
	become(65534, 65534);
	return as_user(NULL);
}

static int body_reader(void)
{
	become(65534, getgrnam("daemon")->gr_gid);
	return as_user("read");
}

static int body_admin(void)
{
	become(65534, getgrnam("bin")->gr_gid);
	return as_user("full");
}

static int body_root(void) { return as_user("full"); }

static void open_control(void)
{
	static const struct control_handlers handlers = { on_request, on_close, on_writable };

	/* groups that every Debian has stand for the product's */
	CHECK_EQ(control_open(&control, loop, run_dir, "bin", "daemon", &handlers, NULL), 0);
	REQUIRE(control);
}

int main(void)
{
	static const struct control_handlers handlers = { on_request, on_close, on_writable };
	struct control *second = NULL;
	uint32_t ids[4];

	mallopt(M_PERTURB, 0xa5); /* what libqb uses after it was freed shows */
	signal(SIGPIPE, SIG_IGN);
	loop = qb_loop_create();
	snprintf(run_dir, sizeof(run_dir), "/tmp/test_control.%d", getpid());
	open_control();
	CHECK(control_open(&second, loop, run_dir, NULL, NULL, &handlers, NULL) < 0);
	with_client(body_echo);
	CHECK_EQ(requests, 4);
	CHECK_EQ(last_access, CONTROL_FULL);
	with_client(body_parts);
	CHECK(writable > 0);
	with_client(body_bad);
	CHECK_EQ(requests, 5);
	with_client(body_dropped);
	with_client(body_bad_burst);
	writable = 0;
	with_client(body_lazy);
	with_client(body_many);
	if (getuid() == 0) {
		with_client(body_root);
		with_client(body_stranger);
		with_client(body_reader);
		with_client(body_admin);
	}
	CHECK_EQ(control_reply(control, 999999, "x", 1), -ENOTCONN);
	CHECK_EQ(control_reply(control, 1, part, CONTROL_DATA_MAX + 1), -EMSGSIZE);
	/* the server notices the last client's end by itself */
	for (unsigned int i = 0; i < WAIT_MS / 10 && control_connections(control, ids, 4); i++) {
		qb_loop_timer_handle timer;

		qb_loop_timer_add(loop, QB_LOOP_LOW, 10 * QB_TIME_NS_IN_MSEC, NULL, on_pause, &timer);
		qb_loop_run(loop);
	}
	CHECK_EQ(control_connections(control, ids, 4), 0);
	CHECK(closed > 5);
	control_close(control);
	open_control(); /* the name is free again */
	with_client(body_echo);
	control_close(control);
	return check_result();
}
