/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The runner with agents that misbehave (tests/fault/agents): a clear result each time, nothing left behind. */
#include <sys/resource.h>

#include "tests/unit/agents_rig.h"

#define TIMEOUT_MS 300 /* of agents that never end; what must not time out has 20 s */
#define LONG_MS 20000
#define SLACK_MS 50 /* the time-out began before the process did */

static struct rig rig;

static const struct rig_result *fault(const char *how, uint32_t timeout_ms)
{
	char params[300];

	snprintf(params, sizeof(params), "how=%s\npids=%s\n", how, rig.pids);
	return rig_do(&rig, AGENT_START, 1, RIG_FAULT, params, timeout_ms);
}

static void all_dead(unsigned int at_least)
{
	unsigned int noted;

	CHECK(rig_wait(&rig, rig_pids_dead, rig.pids));
	rig_pids_alive(rig.pids, &noted);
	CHECK(noted >= at_least);
	rig_finish(&rig);
}

static void test_hangs(void)
{
	const struct rig_result *r;

	rig_prepare(&rig, RIG_QUICK);
	r = fault("hang", TIMEOUT_MS);
	CHECK_EQ(r->r.status, AGENT_TIMEOUT);
	CHECK_EQ(r->r.rc, OCF_ERR_GENERIC);
	CHECK_STR(r->text, "timed out after 300 ms and was killed");
	CHECK(r->r.duration_ms >= TIMEOUT_MS - SLACK_MS);
	all_dead(2);
}

static void test_ignores_term(void)
{
	const struct rig_result *r;

	rig_prepare(&rig, RIG_QUICK);
	r = fault("ignore_term", TIMEOUT_MS);
	CHECK_EQ(r->r.status, AGENT_TIMEOUT);
	CHECK(r->r.duration_ms >= TIMEOUT_MS + 100 - SLACK_MS);
	all_dead(2);
}

static bool pids_noted(struct rig *r, void *data)
{
	unsigned int noted;

	(void)r;
	rig_pids_alive(rig.pids, &noted);
	return noted >= *(unsigned int *)data;
}

/* Process groups of their own inside of the agent's session die with it; found by the session, not by the group. */
static void test_job_control(void)
{
	struct agent_request rq;
	char params[300];
	unsigned int four = 4;

	rig_prepare(&rig, RIG_QUICK);
	snprintf(params, sizeof(params), "how=jobs\npids=%s\n", rig.pids);
	rq = rig_request(1, AGENT_START, 1, RIG_FAULT, params);
	CHECK_EQ(agents_run(rig.a, &rq), 0);
	REQUIRE(rig_wait(&rig, pids_noted, &four));
	CHECK_EQ(agents_cancel(rig.a, 1), 0);
	rig_wait_results(&rig, 1);
	CHECK_EQ(rig_last(&rig)->r.status, AGENT_CANCELLED);
	all_dead(4);
}

/* A daemon that an agent started holds our pipes: the result comes at once, and the daemon goes on. */
static void test_daemon_holds_pipe(void)
{
	const struct rig_result *r;
	unsigned int noted;

	rig_prepare(&rig, RIG_QUICK);
	r = fault("daemon", LONG_MS);
	CHECK_EQ(r->r.status, AGENT_DONE);
	CHECK_EQ(r->r.rc, OCF_SUCCESS);
	CHECK_STR(r->output, "started\n");
	CHECK(r->r.duration_ms < LONG_MS / 2);
	CHECK_EQ(rig_pids_alive(rig.pids, &noted), 1);
	CHECK_EQ(noted, 2);
	rig_pids_kill(rig.pids);
	rig_finish(&rig);
}

static void test_flood(void)
{
	const struct rig_result *r;

	rig_prepare(&rig, RIG_QUICK);
	r = fault("flood", LONG_MS);
	CHECK_EQ(r->r.status, AGENT_DONE);
	CHECK_EQ(r->r.rc, OCF_ERR_GENERIC);
	CHECK_STR(r->text, "after the flood");
	CHECK(r->r.output_total > 104857600);
	CHECK_EQ(r->r.output_len, AGENT_OUTPUT_KEEP);
	CHECK(!strncmp(r->output, "ocf-exit-reason:early words\nxxxx", 32));
	all_dead(1);
}

static void test_many_lines(void)
{
	const struct rig_result *r;

	rig_prepare(&rig, RIG_QUICK);
	r = fault("lines", LONG_MS);
	CHECK_EQ(r->r.rc, OCF_ERR_GENERIC);
	CHECK_STR(r->text, "1");
	CHECK_EQ(r->r.output_total, 2 * 1288895);
	all_dead(1);
}

static void test_signal(void)
{
	const struct rig_result *r;

	rig_prepare(&rig, RIG_QUICK);
	r = fault("signal", LONG_MS);
	CHECK_EQ(r->r.status, AGENT_SIGNALLED);
	CHECK_EQ(r->r.rc, OCF_ERR_GENERIC);
	CHECK_STR(r->text, "killed by signal 11 (Segmentation fault); last it said: about to die");
	all_dead(1);
}

static void test_words(void)
{
	static const struct {
		const char *how, *text;
		int rc;
	} cases[] = {
		{ "control", "a?b?[31mc d?e", 1 },
		{ "log", "the disk is gone", 1 },
		{ "stdout", "said on stdout, without an end of line", 1 },
		{ "unterminated", "no end of line", 1 },
		{ "silent", "generic error (the agent gave no reason)", 1 },
		{ "exit\ncode=0", "", 0 },
		{ "exit\ncode=7", "not running (the agent gave no reason)", 7 },
		{ "exit\ncode=42", "exit code 42, which is not an OCF code", 1 },
		{ "exit\ncode=127", "exit code 127, which is not an OCF code", 1 },
		{ "exit\ncode=190", "degraded (the agent gave no reason)", 190 },
	};
	const struct rig_result *r;

	rig_prepare(&rig, RIG_QUICK);
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		r = fault(cases[i].how, LONG_MS);
		CHECK_EQ(r->r.status, AGENT_DONE);
		CHECK_EQ(r->r.rc, cases[i].rc);
		CHECK_STR(r->text, cases[i].text);
	}
	r = fault("long", LONG_MS);
	CHECK_EQ(r->r.rc, OCF_ERR_ARGS);
	CHECK_EQ(strlen(r->text), AGENT_TEXT_SIZE - 1);
	CHECK_STR(r->text + AGENT_TEXT_SIZE - 5, "0...");
	all_dead(1);
}

static void test_missing(void)
{
	const struct rig_result *r;

	rig_prepare(&rig, RIG_QUICK);
	r = rig_do(&rig, AGENT_START, 1, "ocf:test:absent", "", LONG_MS);
	CHECK_EQ(r->r.status, AGENT_NOT_INSTALLED);
	CHECK_EQ(r->r.rc, OCF_ERR_INSTALLED);
	CHECK_CONTAINS(r->text, "ocf:test:absent is not installed on node1");
	r = rig_do(&rig, AGENT_STOP, 1, "ocf:test:nointerpreter", "", LONG_MS);
	CHECK_EQ(r->r.status, AGENT_SPAWN_FAILED);
	CHECK_EQ(r->r.rc, OCF_ERR_INSTALLED);
	CHECK_CONTAINS(r->text, "interpreter");
	rig_finish(&rig);
}

static void test_not_executable(void)
{
	const struct rig_result *r;

	rig_prepare(&rig, RIG_QUICK);
	r = rig_do(&rig, AGENT_START, 1, "ocf:test:noexec", "", LONG_MS);
	CHECK_EQ(r->r.status, AGENT_SPAWN_FAILED);
	CHECK_EQ(r->r.rc, OCF_ERR_PERM);
	CHECK_CONTAINS(r->text, "ocf:test:noexec is not executable on node1: chmod 755 ");
	rig_finish(&rig);
}

/* The next operation of the resource runs although the one before had to be killed. */
static void test_after_timeout(void)
{
	rig_prepare(&rig, RIG_QUICK);
	CHECK_EQ(fault("ignore_term", TIMEOUT_MS)->r.status, AGENT_TIMEOUT);
	CHECK_EQ(fault("exit\ncode=0", LONG_MS)->r.status, AGENT_DONE);
	all_dead(3);
}

static void on_relief(void *data)
{
	setrlimit(RLIMIT_NOFILE, data);
}

/* Descriptors are short for a while: that is no failure of the resource. */
static void test_shortage(void)
{
	struct rlimit old, few;
	struct agent_request rq = rig_request(1, AGENT_STOP, 1, RIG_FAULT, "how=exit\ncode=0\n");
	qb_loop_timer_handle timer;
	int fd;

	rig_prepare(&rig, RIG_QUICK);
	REQUIRE(!getrlimit(RLIMIT_NOFILE, &old));
	fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
	few = old;
	few.rlim_cur = (rlim_t)fd + 1;
	REQUIRE(!setrlimit(RLIMIT_NOFILE, &few));
	CHECK_EQ(agents_run(rig.a, &rq), 0);
	qb_loop_timer_add(rig.loop, QB_LOOP_LOW, 300 * RIG_NS_PER_MS, &old, on_relief, &timer);
	rig_wait_results(&rig, 1);
	CHECK_EQ(rig_last(&rig)->r.status, AGENT_DONE);
	CHECK_EQ(rig_last(&rig)->r.rc, 0);
	/* It does not last longer than the operation's own time. */
	REQUIRE(!setrlimit(RLIMIT_NOFILE, &few));
	rq.op = 2;
	rq.timeout_ms = 500;
	CHECK_EQ(agents_run(rig.a, &rq), 0);
	rig_wait_results(&rig, 2);
	CHECK_EQ(rig_last(&rig)->r.status, AGENT_SPAWN_FAILED);
	CHECK_EQ(rig_last(&rig)->r.rc, OCF_ERR_GENERIC);
	CHECK_CONTAINS(rig_last(&rig)->text, "Too many open files");
	/* Cancelled while it waits for the next try; and the module ends while another waits. */
	rq.op = 3;
	rq.timeout_ms = LONG_MS;
	CHECK_EQ(agents_run(rig.a, &rq), 0);
	CHECK_EQ(agents_cancel(rig.a, 3), 0);
	rig_wait_results(&rig, 3);
	CHECK_EQ(rig_last(&rig)->r.status, AGENT_CANCELLED);
	rq.op = 4;
	CHECK_EQ(agents_run(rig.a, &rq), 0);
	REQUIRE(!setrlimit(RLIMIT_NOFILE, &old));
	close(fd);
	rig_finish(&rig);
}

int main(void)
{
	test_hangs();
	test_ignores_term();
	test_job_control();
	test_daemon_holds_pipe();
	test_flood();
	test_many_lines();
	test_signal();
	test_words();
	test_missing();
	test_not_executable();
	test_after_timeout();
	test_shortage();
	return check_result();
}
