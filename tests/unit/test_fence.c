/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The fence command: only exit code 0 in time confirms; arguments, output, time-out, cancel, no second one for a node. */
#include <fcntl.h>
#include <qb/qbutil.h>
#include <signal.h>
#include <sys/stat.h>
#include <unistd.h>

#include "clusterd/io/fence.h"
#include "clusterd/io/process.h"
#include "tests/lib/check.h"

#define WAIT_MS 20000

static qb_loop_t *loop;
static char dir[] = "/tmp/test_fence.XXXXXX", script[64];
static unsigned int done_count, wanted;
static int confirmed_last;
static uint32_t node_last;
static char text_last[1024];

static void on_done(void *ctx, uint32_t node, bool confirmed, const char *text)
{
	(void)ctx;
	node_last = node;
	confirmed_last = confirmed;
	snprintf(text_last, sizeof(text_last), "%s", text);
	if (++done_count >= wanted)
		qb_loop_stop(loop);
}

static void on_late(void *data)
{
	(void)data;
	CHECK(!"end of the command in time");
	qb_loop_stop(loop);
}

static void wait_for(unsigned int count)
{
	qb_loop_timer_handle timer;

	wanted = count;
	if (done_count >= count)
		return;
	qb_loop_timer_add(loop, QB_LOOP_LOW, WAIT_MS * QB_TIME_NS_IN_MSEC, NULL, on_late, &timer);
	qb_loop_run(loop);
	qb_loop_timer_del(loop, timer);
}

static void write_script(const char *body)
{
	FILE *f;

	snprintf(script, sizeof(script), "%s/off", dir);
	f = fopen(script, "w");
	fprintf(f, "#!/bin/sh\n%s\n", body);
	fclose(f);
	chmod(script, 0700);
}

static struct fence *new_fence(const char *command, uint32_t timeout_ms)
{
	struct fence *f = NULL;

	CHECK_EQ(fence_new(&f, loop, command, timeout_ms, on_done, NULL), 0);
	REQUIRE(f);
	done_count = 0;
	confirmed_last = -1;
	return f;
}

static void test_commands(void)
{
	struct fence *f = NULL;

	CHECK_EQ(fence_new(&f, loop, "relative/path", 1000, on_done, NULL), -EINVAL);
	CHECK_EQ(fence_new(&f, loop, "   ", 1000, on_done, NULL), -EINVAL);
	CHECK_EQ(fence_new(&f, loop, "/nonexistent/off", 1000, on_done, NULL), -ENOENT);
	CHECK_EQ(fence_new(&f, loop, "/x 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16", 1000, on_done, NULL), -E2BIG);
}

static void test_confirms(void)
{
	char command[128];
	struct fence *f;

	write_script("echo \"args: $*\"; [ \"$#\" = 4 ] && [ \"$3\" = node7 ] && [ \"$4\" = 7 ]");
	snprintf(command, sizeof(command), "  %s --user  x ", script);
	f = new_fence(command, WAIT_MS);
	CHECK_EQ(fence_node(f, 7, "node7"), 0);
	CHECK_EQ(fence_node(f, 7, "node7"), -EALREADY);
	CHECK_EQ(done_count, 0);
	wait_for(1);
	CHECK_EQ(confirmed_last, 1);
	CHECK_EQ(node_last, 7);
	CHECK_CONTAINS(text_last, "exit code 0");
	CHECK_CONTAINS(text_last, "args: --user x node7 7");
	CHECK_EQ(fence_node(f, 7, "node7"), 0); /* may be asked again */
	wait_for(2);
	CHECK_EQ(fence_node(f, 0, "node0"), -EINVAL);
	CHECK_EQ(fence_node(f, NODE_MAX + 1, "node64"), -EINVAL);
	CHECK_EQ(fence_node(f, 1, "-rf"), -EINVAL);
	fence_free(f);
}

static void test_failures(void)
{
	struct fence *f;

	write_script("for i in $(seq 1000); do echo line $i; done; echo 'no route to the BMC' >&2; exit 3");
	f = new_fence(script, WAIT_MS);
	CHECK_EQ(fence_node(f, 2, "node2"), 0);
	wait_for(1);
	CHECK_EQ(confirmed_last, 0);
	CHECK_CONTAINS(text_last, "exit code 3");
	CHECK(strlen(text_last) > 100 && strlen(text_last) < FENCE_OUTPUT_MAX + 128);
	CHECK(!strchr(text_last, '\n'));
	fence_free(f);

	write_script("kill -9 $$");
	f = new_fence(script, WAIT_MS);
	CHECK_EQ(fence_node(f, 2, "node2"), 0);
	wait_for(1);
	CHECK_EQ(confirmed_last, 0);
	CHECK_CONTAINS(text_last, "signal 9");
	fence_free(f);

	/* a command that says 0 only because it was told to stop confirms nothing */
	write_script("trap 'exit 0' TERM; while :; do sleep 0.05; done");
	f = new_fence(script, 200);
	CHECK_EQ(fence_node(f, 2, "node2"), 0);
	wait_for(1);
	CHECK_EQ(confirmed_last, 0);
	CHECK_CONTAINS(text_last, "timed out");
	fence_free(f);
}

static void test_many_and_free(void)
{
	struct fence *f;

	write_script("exit 0");
	f = new_fence(script, WAIT_MS);
	for (uint32_t node = 1; node <= NODE_MAX; node++)
		CHECK_EQ(fence_node(f, node, "any"), 0);
	wait_for(NODE_MAX);
	CHECK_EQ(fence_node(f, 5, "any"), 0);
	wait_for(NODE_MAX + 1);
	fence_free(f);

	write_script("sleep 1000");
	f = new_fence(script, WAIT_MS);
	CHECK_EQ(fence_node(f, 1, "any"), 0);
	fence_free(f); /* leaves no process: the next line would wait for it */
	CHECK_EQ(done_count, 0);
}

int main(void)
{
	signal(SIGPIPE, SIG_IGN);
	loop = qb_loop_create();
	REQUIRE(mkdtemp(dir));
	test_commands();
	test_confirms();
	test_failures();
	test_many_and_free();
	unlink(script);
	CHECK_EQ(rmdir(dir), 0);
	return check_result();
}
