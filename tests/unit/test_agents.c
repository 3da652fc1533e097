/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The runner of agents with well-behaved agents: results, order, limits, cancel, environment. */
#include "tests/unit/agents_rig.h"

static struct rig rig;

static void test_life(void)
{
	rig_prepare(&rig, (struct agents_options){ 0 });
	CHECK_EQ(rig_do(&rig, AGENT_MONITOR, 7, RIG_GOOD, rig.params, 5000)->r.rc, OCF_NOT_RUNNING);
	CHECK_EQ(rig_do(&rig, AGENT_START, 7, RIG_GOOD, rig.params, 5000)->r.rc, OCF_SUCCESS);
	CHECK_EQ(rig_last(&rig)->r.status, AGENT_DONE);
	CHECK_STR(rig_last(&rig)->text, "");
	CHECK_EQ(rig_do(&rig, AGENT_MONITOR, 7, RIG_GOOD, rig.params, 5000)->r.rc, OCF_SUCCESS);
	CHECK_EQ(rig_do(&rig, AGENT_RELOAD, 7, RIG_GOOD, rig.params, 5000)->r.rc, OCF_SUCCESS);
	CHECK_EQ(rig_do(&rig, AGENT_MIGRATE_TO, 7, RIG_GOOD, rig.params, 5000)->r.rc, OCF_SUCCESS);
	CHECK_EQ(rig_do(&rig, AGENT_STOP, 7, RIG_GOOD, rig.params, 5000)->r.rc, OCF_SUCCESS);
	CHECK_EQ(rig_do(&rig, AGENT_MIGRATE_FROM, 7, RIG_GOOD, rig.params, 5000)->r.rc, OCF_SUCCESS);
	CHECK_EQ(rig_do(&rig, AGENT_STOP, 7, RIG_GOOD, rig.params, 5000)->r.rc, OCF_SUCCESS);
	CHECK_EQ(rig_do(&rig, AGENT_META_DATA, 0, RIG_GOOD, NULL, 5000)->r.rc, OCF_SUCCESS);
	CHECK_CONTAINS(rig_last(&rig)->output, "<resource-agent");
	CHECK_EQ(agents_pending(rig.a, 0), 0);
	rig_finish(&rig);
}

static bool log_has(struct rig *r, void *data)
{
	char text[4096];

	(void)r;
	return strstr(rig_read(rig.log, text, sizeof(text)), data) != NULL;
}

static void let_go(unsigned int count)
{
	for (unsigned int i = 0; i < count; i++)
		REQUIRE(write(rig.fifo_fd, "\n", 1) == 1);
}

static void test_serial(void)
{
	static const enum agent_action order[] = { AGENT_START, AGENT_MONITOR, AGENT_RELOAD, AGENT_STOP };
	char text[4096];
	struct agent_request rq;

	rig_prepare(&rig, (struct agents_options){ 0 });
	for (unsigned int i = 0; i < 4; i++) {
		rq = rig_request(i + 1, order[i], 5, RIG_GOOD, i ? rig.params : rig.held);
		CHECK_EQ(agents_run(rig.a, &rq), 0);
	}
	CHECK_EQ(agents_pending(rig.a, 5), 4);
	CHECK_EQ(agents_pending(rig.a, 0), 4);
	CHECK_EQ(agents_run(rig.a, &rq), -EEXIST);
	REQUIRE(rig_wait(&rig, log_has, (void *)"start begin"));
	let_go(1);
	rig_wait_results(&rig, 4);
	for (unsigned int i = 0; i < 4; i++) {
		CHECK_EQ(rig.results[i].r.action, order[i]);
		CHECK_EQ(rig.results[i].r.rc, 0);
	}
	CHECK_STR(rig_read(rig.log, text, sizeof(text)),
		  "res5 0 start begin\nres5 0 start end\nres5 0 monitor begin\nres5 0 monitor end\n"
		  "res5 0 reload-agent begin\nres5 0 reload-agent end\nres5 0 stop begin\nres5 0 stop end\n");
	rig_finish(&rig);
}

static void test_queue_bound(void)
{
	struct agent_request rq;

	rig_prepare(&rig, (struct agents_options){ 0 });
	for (unsigned int i = 0; i < AGENT_QUEUE_MAX; i++) {
		rq = rig_request(i + 1, AGENT_MONITOR, 5, RIG_GOOD, rig.params);
		CHECK_EQ(agents_run(rig.a, &rq), 0);
	}
	rq.op = 100;
	CHECK_EQ(agents_run(rig.a, &rq), -ENOBUFS);
	rig_wait_results(&rig, AGENT_QUEUE_MAX);
	CHECK_EQ(agents_run(rig.a, &rq), 0);
	rig_wait_results(&rig, AGENT_QUEUE_MAX + 1);
	rig_finish(&rig);
}

/* With every slot of the other operations taken, stops and queries still run; a waiting operation runs when a slot is free. */
static void test_pools(void)
{
	struct agent_request rq;

	rig_prepare(&rig, (struct agents_options){ .max_parallel = 2 });
	for (unsigned int i = 1; i <= 3; i++) {
		rq = rig_request(i, AGENT_START, i, RIG_GOOD, rig.held);
		CHECK_EQ(agents_run(rig.a, &rq), 0);
	}
	rq = rig_request(4, AGENT_STOP, 4, RIG_GOOD, rig.params);
	CHECK_EQ(agents_run(rig.a, &rq), 0);
	rig_wait_results(&rig, 1);
	CHECK_EQ(rig_last(&rig)->r.op, 4);
	REQUIRE(rig_wait(&rig, log_has, (void *)"res1 0 start begin"));
	REQUIRE(rig_wait(&rig, log_has, (void *)"res2 0 start begin"));
	CHECK(!log_has(&rig, (void *)"res3 0 start begin"));
	CHECK_EQ(agents_meta(rig.a, RIG_GOOD, rig_validated, &rig), 0);
	rig_wait_validations(&rig, 1);
	CHECK_EQ(rig.validation_error, 0);
	CHECK_EQ(agents_cancel(rig.a, 2), 0);
	rig_wait_results(&rig, 2);
	CHECK_EQ(rig_last(&rig)->r.op, 2);
	CHECK_EQ(rig_last(&rig)->r.status, AGENT_CANCELLED);
	REQUIRE(rig_wait(&rig, log_has, (void *)"res3 0 start begin"));
	let_go(2);
	rig_wait_results(&rig, 4);
	rig_finish(&rig);
}

static void test_cancel(void)
{
	struct agent_request running = rig_request(1, AGENT_START, 9, RIG_FAULT, "how=hang\n");
	struct agent_request waiting = rig_request(2, AGENT_MONITOR, 9, RIG_FAULT, "how=exit\ncode=0\n");

	rig_prepare(&rig, (struct agents_options){ 0 });
	CHECK_EQ(agents_run(rig.a, &running), 0);
	CHECK_EQ(agents_run(rig.a, &waiting), 0);
	CHECK_EQ(agents_cancel(rig.a, 2), 0);
	CHECK_EQ(agents_cancel(rig.a, 2), 0);
	CHECK_EQ(rig.result_count, 0);
	rig_wait_results(&rig, 1);
	CHECK_EQ(rig_last(&rig)->r.op, 2);
	CHECK_EQ(rig_last(&rig)->r.status, AGENT_CANCELLED);
	CHECK_EQ(agents_cancel(rig.a, 1), 0);
	rig_wait_results(&rig, 2);
	CHECK_EQ(rig_last(&rig)->r.status, AGENT_CANCELLED);
	CHECK_EQ(agents_cancel(rig.a, 1), -ENOENT);
	rig_finish(&rig);
}

/* A result may ask for the next operation at once. */
static void chain(struct rig *r, const struct agent_result *result)
{
	struct agent_request rq = rig_request(result->op + 1, AGENT_MONITOR, 3, RIG_GOOD, rig.params);

	if (result->op < 5)
		CHECK_EQ(agents_run(r->a, &rq), 0);
}

static void test_reentry(void)
{
	struct agent_request rq;

	rig_prepare(&rig, (struct agents_options){ 0 });
	rig.on_result = chain;
	rq = rig_request(1, AGENT_MONITOR, 3, RIG_GOOD, rig.params);
	CHECK_EQ(agents_run(rig.a, &rq), 0);
	rig_wait_results(&rig, 5);
	rig_finish(&rig);
}

static void test_malformed(void)
{
	static const char *const agents[] = { "heartbeat:Dummy", "ocf:Dummy", "lsb:nginx", "ocf:../x:Dummy", "ocf:a:../../sh",
					      "ocf::Dummy", "ocf:a:", "ocf:a:.b", "" };
	struct agent_request rq;

	rig_prepare(&rig, (struct agents_options){ 0 });
	for (size_t i = 0; i < sizeof(agents) / sizeof(agents[0]); i++) {
		rq = rig_request(1, AGENT_START, 1, agents[i], "");
		CHECK_EQ(agents_run(rig.a, &rq), -EINVAL);
		CHECK_CONTAINS(agent_request_fault(&rq), "ocf:PROVIDER:TYPE");
	}
	rq = rig_request(1, AGENT_START, 0, RIG_GOOD, "");
	CHECK_EQ(agents_run(rig.a, &rq), -EINVAL);
	rq = rig_request(1, AGENT_START, RESOURCE_MAX + 1, RIG_GOOD, "");
	CHECK_EQ(agents_run(rig.a, &rq), -EINVAL);
	rq = rig_request(1, AGENT_START, 1, RIG_GOOD, "novalue\n");
	CHECK_EQ(agents_run(rig.a, &rq), -EINVAL);
	rq = rig_request(1, AGENT_START, 1, RIG_GOOD, "a=\001\n");
	CHECK_EQ(agents_run(rig.a, &rq), -EINVAL);
	rq = rig_request(1, AGENT_START, 1, RIG_GOOD, "");
	rq.resource = "a/b";
	CHECK_EQ(agents_run(rig.a, &rq), -EINVAL);
	CHECK_EQ(rig.result_count, 0);
	rig_finish(&rig);
}

static void test_environment(void)
{
	static const char *const wanted[] = {
		"OCF_ROOT=/usr/lib/ocf\n", "OCF_RESOURCE_INSTANCE=res11\n", "OCF_RESOURCE_TYPE=fault\n",
		"OCF_RESOURCE_PROVIDER=test\n", "OCF_RA_VERSION_MAJOR=1\n", "OCF_RA_VERSION_MINOR=1\n",
		"OCF_RESKEY_how=environment\n", "OCF_RESKEY_text=two words = 'q' $HOME\n", "OCF_RESKEY_CRM_meta_timeout=5000\n",
		"OCF_RESKEY_CRM_meta_interval=0\n", "OCF_RESKEY_CRM_meta_name=migrate_to\n",
		"OCF_RESKEY_CRM_meta_on_node=node1\n", "OCF_RESKEY_CRM_meta_migrate_target=node2\n", "OCF_CHECK_LEVEL=10\n",
		"LC_ALL=C\n", "HA_LOGFACILITY=none\n", "CLUSTERD_CLUSTER=testcluster\n", "EXTRA=more\n",
		"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin\n",
		"cwd=/ umask=0022 stdin=/dev/null\n", "SigBlk:\t0000000000000000\n", "SigIgn:\t0000000000000000\n",
		"oom=0 ",
	};
	static const char *const extra[] = { "EXTRA=more", NULL };
	struct agent_request rq;
	sigset_t usr1;
	const char *line;
	int pid = 0, pgrp = 0, session = 0, leak = open("/dev/null", O_RDONLY);

	rig_prepare(&rig, (struct agents_options){ .environment = extra });
	setenv("DAEMON_SECRET", "1", 1);
	umask(0);
	signal(SIGPIPE, SIG_IGN);
	sigemptyset(&usr1);
	sigaddset(&usr1, SIGUSR1);
	sigprocmask(SIG_BLOCK, &usr1, NULL);
	rq = rig_request(1, AGENT_MIGRATE_TO, 11, RIG_FAULT, "how=environment\ntext=two words = 'q' $HOME\n");
	rq.timeout_ms = 5000;
	rq.level = 10;
	rq.migrate_target = "node2";
	CHECK_EQ(agents_run(rig.a, &rq), 0);
	rig_wait_results(&rig, 1);
	for (size_t i = 0; i < sizeof(wanted) / sizeof(wanted[0]); i++)
		CHECK_CONTAINS(rig_last(&rig)->output, wanted[i]);
	CHECK(strstr(rig_last(&rig)->output, "DAEMON_SECRET") == NULL);
	CHECK(strstr(rig_last(&rig)->output, "leaked") == NULL);
	line = strstr(rig_last(&rig)->output, "pid=");
	CHECK(line && sscanf(line, "pid=%d pgrp= %d session= %d", &pid, &pgrp, &session) == 3);
	CHECK(pid == pgrp && pid == session);
	close(leak);
	rig_finish(&rig);
}

static void test_shutdown(void)
{
	struct agent_request rq;
	char text[300];

	rig_prepare(&rig, (struct agents_options){ 0 });
	snprintf(text, sizeof(text), "how=hang\npids=%s\n", rig.pids);
	rq = rig_request(1, AGENT_VALIDATE_ALL, 0, RIG_FAULT, text);
	CHECK_EQ(agents_run(rig.a, &rq), 0);
	rq = rig_request(2, AGENT_START, 1, "ocf:test:absent", "");
	CHECK_EQ(agents_run(rig.a, &rq), 0); /* its result is due when the module ends */
	agents_free(rig.a);
	CHECK_EQ(rig.result_count, 0);
	rig.a = NULL;
	CHECK(rig_wait(&rig, rig_pids_dead, rig.pids));
	rig_finish(&rig);
}

int main(void)
{
	test_life();
	test_serial();
	test_queue_bound();
	test_pools();
	test_cancel();
	test_reentry();
	test_malformed();
	test_environment();
	test_shutdown();
	return check_result();
}
