/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The record of what may run here: its life, a crash of the daemon in the middle of an operation, damage, no space. */
#include <poll.h>
#include <sys/resource.h>

#include "tests/unit/agents_rig.h"

static struct rig rig;

static struct agent_record found[8];
static unsigned int found_count;
static char list_error[AGENT_REPORT_SIZE];

static void note_record(void *user, const struct agent_record *record)
{
	(void)user;
	found[found_count++ % 8] = *record;
}

static int list(void)
{
	char run[192];

	snprintf(run, sizeof(run), "%s/run", rig.dir);
	found_count = 0;
	return agents_record_list(run, note_record, NULL, list_error);
}

static void file_write(const char *name, const char *text)
{
	char path[300];
	int fd;

	snprintf(path, sizeof(path), "%s/run/%s", rig.dir, name);
	fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	REQUIRE(fd >= 0 && write(fd, text, strlen(text)) == (ssize_t)strlen(text));
	close(fd);
}

static bool file_there(const char *name)
{
	char path[300];

	snprintf(path, sizeof(path), "%s/run/%s", rig.dir, name);
	return access(path, F_OK) == 0;
}

static bool log_has(struct rig *r, void *data)
{
	char text[4096];

	(void)r;
	return strstr(rig_read(rig.log, text, sizeof(text)), data) != NULL;
}

static void test_life(void)
{
	struct agent_request rq;

	rig_prepare(&rig, RIG_QUICK);
	CHECK_EQ(list(), 0);
	CHECK_EQ(found_count, 0);
	rq = rig_request(1, AGENT_START, 12, RIG_GOOD, rig.held);
	CHECK_EQ(agents_run(rig.a, &rq), 0);
	/* Spawned, not ended: already on record. */
	CHECK_EQ(list(), 0);
	CHECK_EQ(found_count, 1);
	CHECK_EQ(found[0].resource_id, 12);
	CHECK_STR(found[0].resource, "res12");
	CHECK_STR(found[0].role, "role1");
	CHECK_STR(found[0].agent, RIG_GOOD);
	CHECK_STR(found[0].params, rig.held);
	CHECK_EQ(found[0].stop_timeout_ms, 20000);
	CHECK(file_there("running/12"));
	REQUIRE(write(rig.fifo_fd, "\n", 1) == 1);
	rig_wait_results(&rig, 1);
	CHECK(file_there("active/12") && !file_there("running/12"));
	/* A stop that failed proves nothing. */
	CHECK_EQ(rig_do(&rig, AGENT_STOP, 12, RIG_FAULT, "how=exit\ncode=1\n", 5000)->r.rc, 1);
	CHECK(file_there("active/12"));
	CHECK_EQ(rig_do(&rig, AGENT_MONITOR, 12, RIG_GOOD, rig.params, 5000)->r.rc, 0);
	CHECK(file_there("active/12"));
	CHECK_EQ(rig_do(&rig, AGENT_STOP, 12, RIG_GOOD, rig.params, 5000)->r.rc, 0);
	CHECK(!file_there("active/12"));
	/* A start that failed may have left something. A monitor that says "not running" settles it. */
	CHECK_EQ(rig_do(&rig, AGENT_START, 12, RIG_FAULT, "how=exit\ncode=1\n", 5000)->r.rc, 1);
	CHECK(file_there("active/12"));
	CHECK_EQ(rig_do(&rig, AGENT_MONITOR, 12, RIG_GOOD, rig.params, 5000)->r.rc, 7);
	CHECK(!file_there("active/12"));
	CHECK_EQ(rig_do(&rig, AGENT_MIGRATE_FROM, 12, RIG_GOOD, rig.params, 5000)->r.rc, 0);
	CHECK(file_there("active/12"));
	rig_finish(&rig);
}

/* Another daemon runs the operation and is killed in the middle of it; ours takes over. */
static void crash_during(struct agent_request rq, bool (*when)(struct rig *rig, void *data), void *data)
{
	char dir[128];
	pid_t pid;

	snprintf(dir, sizeof(dir), "%s", rig.dir);
	agents_free(rig.a);
	rig.a = NULL;
	pid = fork();
	REQUIRE(pid >= 0);
	if (!pid) {
		struct rig other;

		rig_init_at(&other, dir, (struct agents_options){ 0 });
		REQUIRE(agents_run(other.a, &rq) == 0);
		qb_loop_run(other.loop);
		_exit(0);
	}
	REQUIRE(rig_wait(&rig, when, data));
	REQUIRE(kill(pid, SIGKILL) == 0);
	REQUIRE(waitpid(pid, NULL, 0) == pid);
	rig_open_agents(&rig, RIG_QUICK);
}

static void test_orphan_is_waited_for(void)
{
	struct agent_request rq;

	rig_prepare(&rig, RIG_QUICK);
	rq = rig_request(1, AGENT_START, 12, RIG_GOOD, rig.held);
	crash_during(rq, log_has, (void *)"start begin");
	CHECK_EQ(agents_pending(rig.a, 12), 1);
	CHECK_EQ(agents_pending(rig.a, 0), 1);
	CHECK_EQ(list(), 0);
	CHECK_EQ(found_count, 1);
	rq = rig_request(2, AGENT_MONITOR, 12, RIG_GOOD, rig.params);
	CHECK_EQ(agents_run(rig.a, &rq), 0);
	CHECK_EQ(agents_pending(rig.a, 12), 2);
	rig_run_ms(&rig, 100);
	CHECK(!log_has(&rig, (void *)"monitor begin"));
	REQUIRE(write(rig.fifo_fd, "\n", 1) == 1);
	rig_wait_results(&rig, 1);
	CHECK(log_has(&rig, (void *)"start begin\nres12 0 start end\nres12 0 monitor begin\n"));
	CHECK_EQ(rig_last(&rig)->r.rc, 0);
	CHECK(!file_there("running/12"));
	rig_finish(&rig);
}

static void test_orphan_is_killed_for_stop(void)
{
	struct agent_request rq;

	rig_prepare(&rig, RIG_QUICK);
	rq = rig_request(1, AGENT_START, 12, RIG_GOOD, rig.held);
	crash_during(rq, log_has, (void *)"start begin");
	CHECK_EQ(rig_do(&rig, AGENT_STOP, 12, RIG_GOOD, rig.params, 20000)->r.rc, 0);
	CHECK(!log_has(&rig, (void *)"start end"));
	CHECK(!file_there("active/12"));
	rig_finish(&rig);
}

static bool pids_noted(struct rig *r, void *data)
{
	unsigned int noted;

	(void)r;
	(void)data;
	rig_pids_alive(rig.pids, &noted);
	return noted >= 2;
}

/* The orphan keeps the time-out that it had. */
static void test_orphan_times_out(void)
{
	struct agent_request rq;
	char text[300];

	rig_prepare(&rig, RIG_QUICK);
	snprintf(text, sizeof(text), "how=ignore_term\npids=%s\n", rig.pids);
	rq = rig_request(1, AGENT_STOP, 12, RIG_FAULT, text);
	rq.timeout_ms = 400;
	crash_during(rq, pids_noted, NULL);
	CHECK_EQ(agents_pending(rig.a, 12), 1);
	CHECK(rig_wait(&rig, rig_pids_dead, rig.pids));
	CHECK_EQ(rig_do(&rig, AGENT_STOP, 12, RIG_GOOD, rig.params, 20000)->r.rc, 0);
	CHECK_EQ(agents_pending(rig.a, 0), 0);
	rig_finish(&rig);
}

/* A stale note must neither block the resource nor kill a stranger who has the pid now. */
static void test_stale(void)
{
	char line[512], note[700], *at;

	rig_prepare(&rig, RIG_QUICK);
	agents_free(rig.a);
	rig_read("/proc/self/stat", line, sizeof(line));
	at = strrchr(line, ')'); /* another start time: field 22 */
	for (int field = 2; field < 22; field++)
		at = strchr(at + 1, ' ');
	snprintf(note, sizeof(note), "clusterd-running 1 start 1\n%.*s 1 2 3\n", (int)(at - line), line);
	file_write("running/12", note);
	file_write("running/13", "clusterd-running 1 start 1\n");
	file_write("running/14", "rubbish");
	file_write("running/notanumber", "rubbish");
	rig_open_agents(&rig, RIG_QUICK);
	CHECK_EQ(agents_pending(rig.a, 0), 0);
	CHECK(!file_there("running/12") && !file_there("running/13") && !file_there("running/14"));
	CHECK_EQ(rig_do(&rig, AGENT_START, 12, RIG_GOOD, rig.params, 5000)->r.rc, 0);
	rig_finish(&rig);
}

static void test_damaged(void)
{
	rig_prepare(&rig, RIG_QUICK);
	CHECK_EQ(rig_do(&rig, AGENT_START, 20, RIG_GOOD, rig.params, 5000)->r.rc, 0);
	CHECK_EQ(rig_do(&rig, AGENT_START, 3, RIG_GOOD, rig.params, 5000)->r.rc, 0);
	file_write("active/5", "clusterd-active 1\nresource x\nrole y\nagent ../../bin/sh\ntimeout 1\nparams\n");
	file_write("active/.7", "left over");
	CHECK_EQ(list(), -EBADMSG);
	CHECK_CONTAINS(list_error, "/active/5 is no record of an active resource");
	CHECK_EQ(found_count, 2);
	CHECK_EQ(found[0].resource_id, 3);
	CHECK_EQ(found[1].resource_id, 20);
	rig_finish(&rig);
}

/* No space for the record: a start is refused and runs nothing, a stop is tried all the same. */
static void test_no_space(void)
{
	struct rlimit old, none;
	const struct rig_result *r;

	rig_prepare(&rig, RIG_QUICK);
	REQUIRE(!getrlimit(RLIMIT_FSIZE, &old));
	none = old;
	none.rlim_cur = 0;
	signal(SIGXFSZ, SIG_IGN);
	REQUIRE(!setrlimit(RLIMIT_FSIZE, &none));
	r = rig_do(&rig, AGENT_START, 12, RIG_FAULT, "how=silent\n", 5000);
	CHECK_EQ(r->r.status, AGENT_SPAWN_FAILED);
	CHECK_EQ(r->r.rc, OCF_ERR_GENERIC);
	CHECK_CONTAINS(r->text, "not started, because that could not be recorded in ");
	CHECK_EQ(r->r.output_total, 0);
	r = rig_do(&rig, AGENT_STOP, 12, RIG_FAULT, "how=exit\ncode=0\n", 5000);
	REQUIRE(!setrlimit(RLIMIT_FSIZE, &old));
	CHECK_EQ(r->r.status, AGENT_DONE);
	CHECK_EQ(r->r.rc, 0);
	CHECK(!file_there("active/12"));
	rig_finish(&rig);
}

/* A start that could not run its agent leaves nothing that a later run of clusterd would have to stop. */
static void test_never_ran(void)
{
	const struct rig_result *r;

	rig_prepare(&rig, RIG_QUICK);
	r = rig_do(&rig, AGENT_START, 14, "ocf:test:nointerpreter", "", 5000);
	CHECK_EQ(r->r.status, AGENT_SPAWN_FAILED);
	CHECK(!file_there("active/14"));
	CHECK(!file_there("running/14"));
	rig_finish(&rig);
}

static void test_no_directory(void)
{
	static const struct agents_callbacks callbacks = { rig_result_note, rig_report_note };
	struct agents_options options = { .run_dir = "/proc/no/such" };
	char error[AGENT_REPORT_SIZE];
	struct agents *a = NULL;

	rig_prepare(&rig, RIG_QUICK);
	CHECK_EQ(agents_new(rig.loop, &options, &callbacks, NULL, &a, error), -ENOENT);
	CHECK_CONTAINS(error, "/proc/no/such");
	rig_finish(&rig);
}

int main(void)
{
	test_life();
	test_orphan_is_waited_for();
	test_orphan_is_killed_for_stop();
	test_orphan_times_out();
	test_stale();
	test_damaged();
	test_no_space();
	test_never_ran();
	test_no_directory();
	return check_result();
}
