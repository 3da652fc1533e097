/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Processes below the agents: a leader that SIGKILL does not remove in time, signals, adoption, shortage. */
#include <sys/resource.h>

#include "tests/unit/agents_rig.h"

static qb_loop_t *loop;
static struct process_result results[4];
static unsigned int result_count, wanted_count;
static size_t output_bytes;

static void on_output(void *user, enum process_stream stream, const char *data, size_t len)
{
	(void)user;
	(void)stream;
	(void)data;
	output_bytes += len;
}

static void on_done(void *user, const struct process_result *result)
{
	(void)user;
	results[result_count++ % 4] = *result;
	if (result_count == wanted_count)
		qb_loop_stop(loop);
}

static const struct process_events events = { on_output, on_done };

static void on_late(void *data)
{
	(void)data;
	fprintf(stderr, "no end within the deadline\n");
	exit(1);
}

static void run(unsigned int count)
{
	qb_loop_timer_handle deadline;

	wanted_count = count;
	qb_loop_timer_add(loop, QB_LOOP_LOW, RIG_DEADLINE_MS * RIG_NS_PER_MS, NULL, on_late, &deadline);
	if (result_count < count)
		qb_loop_run(loop);
	qb_loop_timer_del(loop, deadline);
	CHECK_EQ(result_count, count);
}

static int spawn(const char *script, uint32_t timeout_ms, uint32_t reap_ms, struct process **ret)
{
	char *argv[] = { (char *)"sh", (char *)"-c", (char *)script, NULL };
	char *envp[] = { NULL };
	struct process_spec spec = {
		.path = "/bin/sh",
		.argv = argv,
		.envp = envp,
		.timeout_ms = timeout_ms,
		.grace_ms = 50,
		.reap_ms = reap_ms,
		.stat_fd = -1,
	};

	result_count = 0;
	output_bytes = 0;
	return process_spawn(loop, &spec, &events, NULL, ret);
}

static void test_ends(void)
{
	struct process *p;

	CHECK_EQ(spawn("echo hello; echo error >&2; exit 3", 0, PROCESS_REAP_MS, &p), 0);
	run(1);
	CHECK_EQ(results[0].end, PROCESS_EXITED);
	CHECK_EQ(results[0].code, 3);
	CHECK(!results[0].killed && !results[0].timed_out);
	CHECK_EQ(output_bytes, 12);
	CHECK_EQ(spawn("kill -9 $$", 0, PROCESS_REAP_MS, &p), 0);
	run(1);
	CHECK_EQ(results[0].end, PROCESS_SIGNALLED);
	CHECK_EQ(results[0].code, SIGKILL);
	CHECK(!results[0].killed);
}

/* A stopped process is woken, so that it can obey SIGTERM. */
static void test_stopped(void)
{
	struct process *p;

	CHECK_EQ(spawn("trap 'echo term; exit 9' TERM; kill -STOP $$; sleep 1000 & wait", 200, PROCESS_REAP_MS, &p), 0);
	run(1);
	CHECK(results[0].timed_out && results[0].killed);
	CHECK_EQ(results[0].end, PROCESS_EXITED);
	CHECK_EQ(results[0].code, 9);
	CHECK_EQ(output_bytes, 5);
}

/* reap_ms 0: the time for the process to vanish is over before it can have vanished. */
static void test_stuck(void)
{
	struct process *p;

	CHECK_EQ(spawn("trap '' TERM; while :; do sleep 1000; done", 100, 0, &p), 0);
	run(2);
	CHECK_EQ(results[0].end, PROCESS_STUCK);
	CHECK(results[0].timed_out);
	CHECK_EQ(results[1].end, PROCESS_SIGNALLED);
	CHECK_EQ(results[1].code, SIGKILL);
	CHECK_EQ(results[0].pid, results[1].pid);
}

static void test_errors(void)
{
	struct rlimit old, few;
	struct process *p = NULL;
	char *argv[] = { (char *)"x", NULL };
	struct process_spec spec = { .path = "/nonexistent", .argv = argv, .envp = argv + 1, .stat_fd = -1 };

	CHECK_EQ(process_spawn(loop, &spec, &events, NULL, &p), -ENOENT);
	spec.path = "/etc/passwd";
	CHECK_EQ(process_spawn(loop, &spec, &events, NULL, &p), -EACCES);
	spec.path = "/bin/sh";
	REQUIRE(!getrlimit(RLIMIT_NOFILE, &old));
	few = old;
	few.rlim_cur = (rlim_t)open("/dev/null", O_RDONLY | O_CLOEXEC) + 4;
	REQUIRE(!setrlimit(RLIMIT_NOFILE, &few));
	CHECK_EQ(process_spawn(loop, &spec, &events, NULL, &p), -EMFILE);
	REQUIRE(!setrlimit(RLIMIT_NOFILE, &old));
	CHECK(p == NULL);
	close((int)few.rlim_cur - 4);
}

/* A process that is not our child: watched and killed by its line of /proc/PID/stat. */
static void test_adopt(void)
{
	struct process_spec spec = { .timeout_ms = 100, .grace_ms = 50, .reap_ms = PROCESS_REAP_MS };
	char line[PROCESS_STAT_SIZE], path[64];
	struct process *p = NULL;
	int pipe_fd[2];
	pid_t pid, middle;

	REQUIRE(!pipe(pipe_fd));
	middle = fork();
	REQUIRE(middle >= 0);
	if (!middle) {
		pid = fork();
		if (!pid) {
			setsid();
			pid = getpid();
			if (write(pipe_fd[1], &pid, sizeof(pid)) < 0)
				_exit(1);
			close(pipe_fd[0]);
			close(pipe_fd[1]);
			for (;;)
				pause();
		}
		_exit(0);
	}
	REQUIRE(waitpid(middle, NULL, 0) == middle);
	REQUIRE(read(pipe_fd[0], &pid, sizeof(pid)) == sizeof(pid));
	snprintf(path, sizeof(path), "/proc/%d/stat", (int)pid);
	rig_read(path, line, sizeof(line));
	result_count = 0;
	CHECK_EQ(process_adopt(loop, line, &spec, &events, NULL, &p), 0);
	CHECK_EQ(process_pid(p), pid);
	run(1);
	CHECK_EQ(results[0].end, PROCESS_GONE);
	CHECK(results[0].timed_out);
	CHECK(!rig_pid_alive(pid));
	CHECK_EQ(process_adopt(loop, line, &spec, &events, NULL, &p), -ESRCH);
	CHECK_EQ(process_adopt(loop, "rubbish", &spec, &events, NULL, &p), -EINVAL);
	close(pipe_fd[0]);
	close(pipe_fd[1]);
}

static void test_abandon(void)
{
	struct process *p;
	pid_t pid;

	CHECK_EQ(spawn("trap '' TERM; while :; do sleep 1000; done", 0, PROCESS_REAP_MS, &p), 0);
	pid = process_pid(p);
	process_abandon(p, true);
	CHECK(!rig_pid_alive(pid));
	CHECK_EQ(result_count, 0);
}

static void test_stat(void)
{
	pid_t pid = 0, session = 0;
	uint64_t start = 0;

	CHECK_EQ(process_stat_parse("42 (a) b (c)) S 1 42 41 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 1 0 98765 1 2\n", &pid,
				    &session, &start),
		 0);
	CHECK_EQ(pid, 42);
	CHECK_EQ(session, 41);
	CHECK_EQ(start, 98765);
	CHECK_EQ(process_stat_parse("42 (a) S 1 42 41 0", &pid, &session, &start), -EINVAL);
	CHECK_EQ(process_stat_parse("4294967297 (a) S 1 42 41 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 1 0 98765 1 2", &pid, &session,
				    &start),
		 -EINVAL);
	CHECK_EQ(process_stat_parse("", &pid, &session, &start), -EINVAL);
	CHECK_EQ(process_stat_parse("-1 (a) S 1 42 41 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 1 0 98765 1 2", &pid, &session,
				    &start),
		 -EINVAL);
}

int main(void)
{
	siginfo_t info;

	loop = qb_loop_create();
	test_ends();
	test_stopped();
	test_stuck();
	test_errors();
	test_adopt();
	test_abandon();
	test_stat();
	qb_loop_destroy(loop);
	CHECK(waitid(P_ALL, 0, &info, WEXITED | WNOHANG | WNOWAIT) < 0 && errno == ECHILD);
	return check_result();
}
