/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * How fast agents are run: one line a figure, "name value unit target ok|short".
 *
 * agents_run() returns when the agent has called execve(2) (the parent of a vfork waits for that), so its duration is the time
 * from request to exec.
 */
#include <time.h>

#include "tests/unit/agents_rig.h"

#define SAMPLES 501
#define MIDDLE 250
#define OPERATIONS 2000
#define RESOURCES 64
#define BALLAST (256u << 20) /* a daemon with much in memory must not spawn slower */

static struct rig rig;
static unsigned int asked;

static uint64_t now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

static int compare(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return (x > y) - (x < y);
}

static void figure(const char *name, double value, const char *unit, double target, bool less)
{
	bool ok = less ? value <= target : value >= target;

	printf("%s %.0f %s %.0f %s\n", name, value, unit, target, ok ? "ok" : "short");
}

static void trivial_agent(void)
{
	char path[600];

	snprintf(rig.agents_dir, sizeof(rig.agents_dir), "%s/agents", rig.dir);
	REQUIRE(!mkdir(rig.agents_dir, 0755));
	snprintf(path, sizeof(path), "%s/bench", rig.agents_dir);
	REQUIRE(!mkdir(path, 0755));
	snprintf(path, sizeof(path), "%s/bench/true", rig.agents_dir);
	REQUIRE(!symlink("/bin/true", path));
	agents_free(rig.a);
	rig_open_agents(&rig, (struct agents_options){ 0 });
}

static void to_exec(const char *name)
{
	uint64_t sample[SAMPLES];
	double median;

	for (unsigned int i = 0; i < SAMPLES; i++) {
		struct agent_request rq = rig_request(++asked, AGENT_START, 1, "ocf:bench:true", "a=1\nb=2\n");
		uint64_t start = now_ns();

		REQUIRE(agents_run(rig.a, &rq) == 0);
		sample[i] = now_ns() - start;
		rig_wait_results(&rig, asked);
	}
	qsort(sample, SAMPLES, sizeof(sample[0]), compare);
	median = (double)sample[MIDDLE];
	figure(name, median / 1000, "us", 500, true);
}

/* Every result asks for the next operation of its resource until all are done. */
static void next(struct rig *r, const struct agent_result *result)
{
	struct agent_request rq = rig_request(asked + 1, AGENT_MONITOR, result->resource_id, "ocf:bench:true", "");

	if (asked >= OPERATIONS + 2 * SAMPLES)
		return;
	asked++;
	REQUIRE(agents_run(r->a, &rq) == 0);
}

static void throughput(void)
{
	uint64_t start = now_ns();

	rig.on_result = next;
	for (uint32_t id = 1; id <= RESOURCES; id++) {
		struct agent_request rq = rig_request(++asked, AGENT_MONITOR, id, "ocf:bench:true", "");

		REQUIRE(agents_run(rig.a, &rq) == 0);
	}
	rig_wait_results(&rig, OPERATIONS + 2 * SAMPLES);
	figure("agents.operations", OPERATIONS / ((double)(now_ns() - start) / 1e9), "1/s", 500, false);
}

int main(void)
{
	char *ballast;

	setenv("TMPDIR", "/dev/shm", 0); /* the record lives on a tmpfs: run_dir is below /run */
	rig_init(&rig, (struct agents_options){ 0 });
	trivial_agent();
	to_exec("agents.request_to_exec");
	ballast = malloc(BALLAST);
	REQUIRE(ballast != NULL);
	memset(ballast, 1, BALLAST);
	to_exec("agents.request_to_exec_256MiB");
	throughput();
	free(ballast);
	rig_done(&rig);
	return check_result();
}
