/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What benchmarks of the lab run in its hosts; each mode appends "WORD HOST ... NANOSECONDS" (CLOCK_MONOTONIC, which all
 * hosts of a lab share) to a file all hosts share.
 *
 *   bench_stamp start|stop|monitor|validate-all|meta-data   OCF agent: the time of `start` is taken before anything else
 *   bench_stamp fence NODE ID                               runs the lab's fence command between two times
 *   bench_stamp watch                                       member of a CPG group: the time of each loss it is told of
 */
#include <corosync/cpg.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "proto/message.h"

#define STAMPS "/run/lab/shared/stamps"
#define LAB_FENCE "/run/lab/fence"
#define GROUP "clusterd-bench"
#define RETRY_MS 100

static char host[65];

static uint64_t now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

/* One write to a file that is only appended to: lines of several processes do not mix. */
static int stamp(const char *word, const char *what, uint64_t ns)
{
	char line[256];
	int n = snprintf(line, sizeof(line), "%s %s %s %" PRIu64 "\n", word, host, what, ns);
	int fd = open(STAMPS, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0666);
	int rc = fd < 0 || write(fd, line, (size_t)n) != n;

	if (fd >= 0)
		close(fd);
	if (rc)
		perror("bench_stamp: " STAMPS);
	return rc;
}

/* --- agent --- */

static const char meta_data[] =
	"<?xml version=\"1.0\"?>\n"
	"<resource-agent name=\"stamp\" version=\"1.0\">\n"
	"<version>1.1</version>\n"
	"<longdesc lang=\"en\">Records the time of its start. For benchmarks.</longdesc>\n"
	"<shortdesc lang=\"en\">Records the time of its start</shortdesc>\n"
	"<parameters/>\n"
	"<actions>\n"
	"<action name=\"start\" timeout=\"20s\"/>\n"
	"<action name=\"stop\" timeout=\"20s\"/>\n"
	"<action name=\"monitor\" timeout=\"20s\" interval=\"10s\" depth=\"0\"/>\n"
	"<action name=\"meta-data\" timeout=\"5s\"/>\n"
	"<action name=\"validate-all\" timeout=\"20s\"/>\n"
	"</actions>\n"
	"</resource-agent>\n";

static int agent(const char *action, uint64_t began)
{
	const char *name = getenv("OCF_RESOURCE_INSTANCE");
	char path[256];
	int fd;

	if (!strcmp(action, "meta-data"))
		return fputs(meta_data, stdout) < 0 ? OCF_ERR_GENERIC : OCF_SUCCESS;
	if (!strcmp(action, "validate-all"))
		return OCF_SUCCESS;
	snprintf(path, sizeof(path), "/run/bench-stamp-%s", name ? name : "stamp");
	if (!strcmp(action, "monitor"))
		return access(path, F_OK) ? OCF_NOT_RUNNING : OCF_SUCCESS;
	if (!strcmp(action, "stop"))
		return unlink(path) && errno != ENOENT ? OCF_ERR_GENERIC : OCF_SUCCESS;
	if (strcmp(action, "start") != 0)
		return OCF_ERR_UNIMPLEMENTED;
	if (stamp("start", name ? name : "stamp", began))
		return OCF_ERR_GENERIC;
	fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
	if (fd < 0)
		return OCF_ERR_GENERIC;
	close(fd);
	return OCF_SUCCESS;
}

/* --- fence command --- */

static int fence(const char *node, uint64_t began)
{
	pid_t pid = vfork();
	int status = -1;

	if (pid == 0) {
		execl(LAB_FENCE, "fence", node, NULL);
		_exit(127);
	}
	while (pid > 0 && waitpid(pid, &status, 0) < 0 && errno == EINTR)
		;
	stamp("fence-asked", node, began);
	stamp("fence-done", node, now_ns());
	return status == 0 ? 0 : 1;
}

/* --- membership --- */

static void on_message(cpg_handle_t h, const struct cpg_name *group, uint32_t node, uint32_t pid, void *data, size_t len)
{
	(void)h, (void)group, (void)node, (void)pid, (void)data, (void)len;
}

static void on_change(cpg_handle_t h, const struct cpg_name *group, const struct cpg_address *members, size_t n_members,
		      const struct cpg_address *left, size_t n_left, const struct cpg_address *joined, size_t n_joined)
{
	uint64_t ns = now_ns();
	char node[16];

	(void)h, (void)group, (void)members, (void)n_members, (void)joined, (void)n_joined;
	for (size_t i = 0; i < n_left; i++) {
		snprintf(node, sizeof(node), "node%" PRIu32, left[i].nodeid);
		stamp("lost", node, ns);
	}
}

static int watch(void)
{
	cpg_callbacks_t callbacks = { .cpg_deliver_fn = on_message, .cpg_confchg_fn = on_change };
	struct cpg_name group = { .length = sizeof(GROUP) - 1, .value = GROUP };
	cs_error_t e = CS_OK;
	cpg_handle_t h;
	int fd;

	while (cpg_initialize(&h, &callbacks) != CS_OK)
		poll(NULL, 0, RETRY_MS); /* corosync is still starting */
	while ((e = cpg_join(h, &group)) == CS_ERR_TRY_AGAIN)
		poll(NULL, 0, RETRY_MS);
	if (e != CS_OK || cpg_fd_get(h, &fd) != CS_OK) {
		fprintf(stderr, "bench_stamp: cannot join a CPG group: error %d\n", e);
		return 1;
	}
	stamp("watching", "-", now_ns());
	while (e == CS_OK || e == CS_ERR_TRY_AGAIN) {
		struct pollfd p = { fd, POLLIN, 0 };

		if (poll(&p, 1, -1) < 0 && errno != EINTR)
			break;
		e = cpg_dispatch(h, CS_DISPATCH_ALL);
	}
	return 1;
}

int main(int argc, char **argv)
{
	uint64_t began = now_ns();

	gethostname(host, sizeof(host) - 1);
	if (argc >= 3 && !strcmp(argv[1], "fence"))
		return fence(argv[2], began);
	if (argc == 2 && !strcmp(argv[1], "watch"))
		return watch();
	if (argc == 2)
		return agent(argv[1], began);
	fprintf(stderr, "usage: bench_stamp OCF-ACTION | fence NODE ID | watch\n");
	return OCF_ERR_ARGS;
}
