/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Recurring monitors: silence while healthy, a report per failed run, recovery, levels, never beside another operation. */
#include "tests/unit/agents_rig.h"

static struct rig rig;

/* The good agent's, of resource 3. */
static const char *state_path(void)
{
	static char path[600];

	snprintf(path, sizeof(path), "%s/good-res3", rig.state_dir);
	return path;
}

static void monitor(uint32_t resource_id, uint32_t level, const char *agent, const char *text, int expected)
{
	struct agent_request rq = rig_request(0, AGENT_MONITOR, resource_id, agent, text);

	rq.interval_ms = AGENT_INTERVAL_MIN_MS;
	rq.level = level;
	CHECK_EQ(agents_monitor_start(rig.a, &rq), expected);
}

static unsigned int log_count(const char *what)
{
	char text[65536];
	unsigned int count = 0;

	rig_read(rig.log, text, sizeof(text));
	for (char *p = text; (p = strstr(p, what)); p++)
		count++;
	return count;
}

struct wanted {
	const char *what;
	unsigned int count;
};

static bool logged(struct rig *r, void *data)
{
	const struct wanted *w = data;

	(void)r;
	return log_count(w->what) >= w->count;
}

static void wait_log(const char *what, unsigned int count)
{
	struct wanted w = { what, count };

	REQUIRE(rig_wait(&rig, logged, &w));
}

static bool reported(struct rig *r, void *data)
{
	return r->report_count >= *(unsigned int *)data;
}

static void wait_reports(unsigned int count)
{
	REQUIRE(rig_wait(&rig, reported, &count));
}

static void touch(void)
{
	int fd = open(state_path(), O_WRONLY | O_CREAT | O_CLOEXEC, 0600);

	REQUIRE(fd >= 0);
	close(fd);
}

/* Every "begin" is followed by the "end" of the same action: nothing overlapped. */
static bool serial(void)
{
	char text[65536], *line, *save = NULL;
	char open_action[256] = "";

	rig_read(rig.log, text, sizeof(text));
	for (line = strtok_r(text, "\n", &save); line; line = strtok_r(NULL, "\n", &save)) {
		char *word = strrchr(line, ' ');
		bool begin = !strcmp(word, " begin");

		*word = '\0';
		if (begin ? open_action[0] != '\0' : strcmp(open_action, line) != 0)
			return false;
		snprintf(open_action, sizeof(open_action), "%s", begin ? line : "");
	}
	return true;
}

static void test_reports(void)
{
	rig_prepare(&rig, RIG_QUICK);
	CHECK_EQ(rig_do(&rig, AGENT_START, 3, RIG_GOOD, rig.params, 5000)->r.rc, 0);
	monitor(3, 0, RIG_GOOD, rig.params, 0);
	wait_log("monitor end", 3);
	CHECK_EQ(rig.report_count, 0);
	REQUIRE(!unlink(state_path()));
	wait_reports(2);
	CHECK_EQ(rig.reports[0].r.resource_id, 3);
	CHECK_EQ(rig.reports[0].r.rc, OCF_NOT_RUNNING);
	CHECK_EQ(rig.reports[0].r.status, AGENT_DONE);
	CHECK_EQ(rig.reports[0].r.failures, 1);
	CHECK_EQ(rig.reports[0].r.interval_ms, AGENT_INTERVAL_MIN_MS);
	CHECK_EQ(rig.reports[1].r.failures, 2);
	touch();
	while (rig.reports[(rig.report_count - 1) % 64].r.failures)
		wait_reports(rig.report_count + 1);
	CHECK_EQ(rig.reports[(rig.report_count - 1) % 64].r.rc, 0);
	agents_monitor_stop(rig.a, 3);
	CHECK_EQ(agents_pending(rig.a, 0), 0);
	rig_finish(&rig);
}

static void test_levels(void)
{
	rig_prepare(&rig, RIG_QUICK);
	touch();
	monitor(3, 0, RIG_GOOD, rig.params, 0);
	monitor(3, 10, RIG_GOOD, rig.params, 0);
	monitor(3, 20, RIG_GOOD, rig.params, 0);
	monitor(3, 30, RIG_GOOD, rig.params, 0);
	monitor(3, 40, RIG_GOOD, rig.params, -ENOBUFS);
	monitor(3, 10, RIG_GOOD, rig.params, 0); /* replaces */
	wait_log("res3 0 monitor end", 3);
	wait_log("res3 10 monitor end", 3);
	wait_log("res3 30 monitor end", 3);
	agents_monitor_stop(rig.a, 3);
	CHECK(serial());
	rig_finish(&rig);
}

/* While an operation runs, the monitor waits; it comes when the operation has ended. */
static void test_waits(void)
{
	struct agent_request rq;
	unsigned int before;

	rig_prepare(&rig, RIG_QUICK);
	touch();
	monitor(3, 0, RIG_GOOD, rig.params, 0);
	wait_log("monitor end", 1);
	rq = rig_request(1, AGENT_RELOAD, 3, RIG_GOOD, rig.held);
	CHECK_EQ(agents_run(rig.a, &rq), 0);
	wait_log("reload-agent begin", 1);
	before = log_count("monitor begin");
	rig_run_ms(&rig, 3 * AGENT_INTERVAL_MIN_MS);
	CHECK_EQ(log_count("monitor begin"), before);
	REQUIRE(write(rig.fifo_fd, "\n", 1) == 1);
	wait_log("monitor end", before + 2);
	agents_monitor_stop(rig.a, 3);
	CHECK(serial());
	CHECK_EQ(rig.report_count, 0);
	rig_finish(&rig);
}

/* A stop does not wait for a monitor that hangs, and no report comes after it. */
static void test_stop_preempts(void)
{
	const struct rig_result *r;

	rig_prepare(&rig, RIG_QUICK);
	monitor(3, 0, RIG_GOOD, rig.held, 0);
	wait_log("monitor begin", 1);
	r = rig_do(&rig, AGENT_STOP, 3, RIG_GOOD, rig.params, 20000);
	CHECK_EQ(r->r.rc, 0);
	CHECK(r->r.queued_ms < 10000);
	rig_run_ms(&rig, 3 * AGENT_INTERVAL_MIN_MS);
	CHECK_EQ(log_count("monitor begin"), 1);
	CHECK_EQ(rig.report_count, 0);
	rig_finish(&rig);
}

static void test_bad_monitor(void)
{
	struct agent_request rq;

	rig_prepare(&rig, RIG_QUICK);
	rq = rig_request(0, AGENT_MONITOR, 3, RIG_FAULT, "how=hang\n");
	rq.interval_ms = AGENT_INTERVAL_MIN_MS;
	rq.timeout_ms = 100;
	CHECK_EQ(agents_monitor_start(rig.a, &rq), 0);
	wait_reports(2);
	CHECK_EQ(rig.reports[0].r.status, AGENT_TIMEOUT);
	CHECK_EQ(rig.reports[1].r.failures, 2);
	agents_monitor_stop(rig.a, 3);
	monitor(4, 0, "ocf:test:absent", "", 0);
	wait_reports(3);
	CHECK_EQ(rig.reports[2].r.status, AGENT_NOT_INSTALLED);
	rq.interval_ms = AGENT_INTERVAL_MIN_MS - 1;
	CHECK_EQ(agents_monitor_start(rig.a, &rq), -EINVAL);
	rig_finish(&rig);
}

/* Monitors that hang fill their own pool only. */
static void test_no_starvation(void)
{
	rig_prepare(&rig, RIG_QUICK);
	agents_free(rig.a);
	rig_open_agents(&rig, (struct agents_options){ .max_parallel = 2, .grace_ms = 100 });
	for (uint32_t id = 10; id < 20; id++)
		monitor(id, 0, RIG_GOOD, rig.held, 0);
	wait_log("monitor begin", 2);
	CHECK_EQ(rig_do(&rig, AGENT_START, 3, RIG_GOOD, rig.params, 20000)->r.rc, 0);
	CHECK_EQ(log_count("monitor begin"), 2);
	for (int i = 0; i < 40; i++)
		REQUIRE(write(rig.fifo_fd, "\n", 1) == 1);
	for (uint32_t id = 10; id < 20; id++) {
		char what[64];

		snprintf(what, sizeof(what), "res%u 0 monitor end", id);
		wait_log(what, 1);
	}
	rig_finish(&rig);
}

int main(void)
{
	test_reports();
	test_levels();
	test_waits();
	test_stop_preempts();
	test_bad_monitor();
	test_no_starvation();
	return check_result();
}
