/* SPDX-License-Identifier: GPL-2.0-or-later */
/* ocf:clusterd:volume as clusterd runs it, with a real csvfs-owner on a real device. Needs root. */
#include <sys/pidfd.h>
#include <time.h>

#include "csvfs/io/volume_process.h"
#include "proto/message.h"
#include "tests/unit/owner_rig.h"

#define RUN_DIR "/mnt/t/run"
#define STILL_MS 2000 /* time-out of an action that cannot succeed: the agent uses half of it */
#define TIMEOUT_MS 60000

static char said[1024]; /* by the agent, last */
static struct volume_place place;
static const char *device;

static void set_epoch(uint64_t epoch)
{
	char text[32];

	snprintf(text, sizeof(text), "%llu", (unsigned long long)epoch);
	if (epoch)
		setenv("CLUSTERD_EPOCH", text, 1);
	else
		unsetenv("CLUSTERD_EPOCH");
}

static int agent_within(const char *action, uint32_t timeout_ms)
{
	char timeout[16];
	FILE *f;
	int rc;

	snprintf(timeout, sizeof(timeout), "%u", timeout_ms);
	setenv("OCF_RESKEY_CRM_meta_timeout", timeout, 1);
	setenv("OCF_RESKEY_device", device, 1);
	rc = rig_run("\"$top_builddir\"/agents/volume %s >/mnt/t/said 2>&1", action);
	f = fopen("/mnt/t/said", "r");
	REQUIRE(f);
	said[fread(said, 1, sizeof(said) - 1, f)] = '\0';
	fclose(f);
	return rc;
}

static int agent(const char *action) { return agent_within(action, TIMEOUT_MS); }

/* The owner that runs. */
static struct volume_process owner(void)
{
	struct volume_process p;

	REQUIRE(!volume_process_find(&place, &p));
	return p;
}

static void write_record(pid_t pid, unsigned long long start)
{
	FILE *f = fopen(place.record, "w");

	REQUIRE(f && fprintf(f, "%d %llu\n", (int)pid, start) > 0 && !fclose(f));
}

static void surroundings(void)
{
	char program[512];

	snprintf(program, sizeof(program), "%s/csvfs/owner/csvfs-owner", getenv("top_builddir"));
	if (access(program, X_OK))
		rig_skip("csvfs-owner is not built");
	REQUIRE(!mkdir(RUN_DIR, 0700));
	setenv("OCF_RESKEY_volume", "v1", 1);
	setenv("CLUSTERD_RUN_DIR", RUN_DIR, 1);
	setenv("CLUSTERD_CSVFS_OWNER", program, 1);
	setenv("CLUSTERD_NODE_ID", "1", 1);
	setenv("CLUSTERD_INCARNATION", "5", 1);
	setenv("CLUSTERD_ADDRESS", "127.0.0.1", 1);
	setenv("CLUSTERD_VOLUME_KEY", rig.key, 1);
	snprintf(rig.port, sizeof(rig.port), "%u", free_port());
	setenv("OCF_RESKEY_port", rig.port, 1);
	device = rig.loop.path;
	REQUIRE(!volume_place(&place, RUN_DIR, NULL, "owner", "v1"));
}

static void test_life(void)
{
	struct volume_process p;
	struct trailer_owner record;
	struct device d;
	struct trailer t = { .device = &d };
	char error[200];

	CHECK_EQ(agent("validate-all"), OCF_SUCCESS);
	CHECK_EQ(agent("monitor"), OCF_NOT_RUNNING);
	CHECK_EQ(agent("stop"), OCF_SUCCESS);
	CHECK_EQ(agent("start"), OCF_ERR_GENERIC); /* not by hand: no epoch */
	CHECK_CONTAINS(said, "clusterd's own");
	set_epoch(7);
	CHECK_EQ(agent("start"), OCF_SUCCESS);
	CHECK_EQ(agent("monitor"), OCF_SUCCESS);
	p = owner();
	set_epoch(8);
	CHECK_EQ(agent("start"), OCF_SUCCESS); /* it serves: the same process goes on */
	CHECK_EQ(owner().pid, p.pid);
	CHECK_EQ(agent("stop"), OCF_SUCCESS);
	CHECK_EQ(volume_process_wait(&p, 0), 0);
	CHECK_EQ(agent("monitor"), OCF_NOT_RUNNING);
	REQUIRE(!device_open(&d, device, false));
	REQUIRE(!trailer_find(&t, &d, &rig.header, error, sizeof(error)));
	REQUIRE(!trailer_read_owner(&t, &record));
	device_close(&d);
	CHECK_EQ(record.epoch, 7);
	CHECK_EQ(record.node, 1);
	CHECK_EQ(record.incarnation, 5);
	CHECK_EQ(record.state, OWNER_FREE);
	/* What csvfs-owner says is the agent's reason. */
	set_epoch(7);
	CHECK_EQ(agent("start"), OCF_ERR_GENERIC);
	CHECK_CONTAINS(said, "ocf-exit-reason:");
	CHECK_CONTAINS(said, "epoch 7 is over");
	CHECK_EQ(agent("monitor"), OCF_NOT_RUNNING);
	volume_process_close(&p);
}

static void test_crash(void)
{
	struct volume_process p;

	set_epoch(20);
	REQUIRE(agent("start") == OCF_SUCCESS);
	p = owner();
	CHECK_EQ(volume_process_signal(&p, SIGKILL), 0);
	CHECK_EQ(volume_process_wait(&p, RIG_MS), 0);
	CHECK_EQ(agent("stop"), OCF_SUCCESS); /* when the kernel has let it go */
	CHECK_EQ(agent("monitor"), OCF_NOT_RUNNING);
	volume_process_close(&p);
}

/* A pid that belongs to somebody else by now is neither asked nor ended. */
static void test_stranger(void)
{
	pid_t stranger = fork();
	int status;

	REQUIRE(stranger >= 0);
	if (!stranger) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		pause();
		_exit(0);
	}
	write_record(stranger, 1);
	CHECK_EQ(agent("monitor"), OCF_NOT_RUNNING);
	write_record(stranger, 1);
	CHECK_EQ(agent("stop"), OCF_SUCCESS);
	CHECK_EQ(waitpid(stranger, &status, WNOHANG), 0);
	kill(stranger, SIGKILL);
	waitpid(stranger, &status, 0);
}

/* What cannot be proven to be over is a failed stop. */
static void test_not_free(void)
{
	struct volume_process p;
	int fd;

	set_epoch(30);
	REQUIRE(agent("start") == OCF_SUCCESS);
	p = owner();
	CHECK_EQ(volume_process_signal(&p, SIGSTOP), 0);
	CHECK_EQ(agent_within("monitor", STILL_MS), OCF_ERR_GENERIC);
	CHECK_CONTAINS(said, "does not answer");
	CHECK_EQ(agent_within("stop", STILL_MS), OCF_ERR_GENERIC);
	CHECK_CONTAINS(said, "does not end");
	CHECK_EQ(volume_process_signal(&p, SIGCONT), 0);
	CHECK_EQ(agent("stop"), OCF_SUCCESS);
	volume_process_close(&p);
	fd = open(device, O_RDONLY | O_EXCL | O_CLOEXEC);
	REQUIRE(fd >= 0);
	CHECK_EQ(agent_within("stop", STILL_MS), OCF_ERR_GENERIC);
	CHECK_CONTAINS(said, "is not free");
	CHECK_EQ(agent("monitor"), OCF_ERR_GENERIC);
	close(fd);
	CHECK_EQ(agent("stop"), OCF_SUCCESS);
}

static void test_wrong(void)
{
	set_epoch(40);
	device = "/dev/none";
	CHECK_EQ(agent("start"), OCF_ERR_INSTALLED);
	CHECK_EQ(agent("validate-all"), OCF_ERR_INSTALLED);
	CHECK_EQ(agent("stop"), OCF_SUCCESS);
	device = "none";
	CHECK_EQ(agent("start"), OCF_ERR_CONFIGURED);
	device = rig.loop.path;
	setenv("CLUSTERD_CSVFS_OWNER", "/none", 1);
	CHECK_EQ(agent("start"), OCF_ERR_INSTALLED);
	CHECK_EQ(agent("nonsense"), OCF_ERR_UNIMPLEMENTED);
	CHECK_EQ(agent("meta-data"), OCF_SUCCESS);
	CHECK_CONTAINS(said, "<parameter name=\"volume\"");
}

int main(void)
{
	rig_start("ext4");
	surroundings();
	test_life();
	test_crash();
	test_stranger();
	test_not_free();
	test_wrong();
	rig_fsck(false);
	return check_result();
}
