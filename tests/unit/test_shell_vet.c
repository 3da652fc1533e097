/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Agents asked about a change: several at once and no more, one refusal for all, clients that leave, every bound. The
 * agents are links to one script: "held*" wait for a line of a FIFO each, "bad" has no meta-data.
 */
#include "clusterd/shell_private.h"
#include "proto/object_text.h"
#include "tests/unit/agents_rig.h"

#define AGENTS 24
#define CLIENTS (SHELL_CHANGES_MAX + 1)
#define NOT_ANSWERED (-1)

static const char script[] = "#!/bin/sh\n"
			     "echo \"${0##*/} $$\" >>\"$VET_LOG\"\n"
			     "case $0 in\n"
			     "*/held*) read -r _ <\"$VET_GATE\" ;;\n"
			     "*/bad) echo 'ocf-exit-reason:out of luck' >&2; exit 1 ;;\n"
			     "esac\n"
			     "echo '<resource-agent name=\"x\"><parameters><parameter name=\"p\"><content "
			     "type=\"string\"/></parameter></parameters>'\n"
			     "echo '<actions><action name=\"start\" timeout=\"20s\"/></actions></resource-agent>'\n";

static struct rig rig;
static struct shell shell;
static int gate = -1;
static char log_path[192];
static struct {
	int refusal; /* NOT_ANSWERED */
	char detail[AGENT_REPORT_SIZE + TEXT_SIZE];
	unsigned int submitted;
	size_t len;
} clients[CLIENTS + 1];
static unsigned int n_submitted;

/* The two ways out of vetting. */
void shell_control_answer(struct shell *s, uint32_t conn, enum refusal refusal, const char *detail)
{
	CHECK(s == &shell);
	CHECK_EQ(clients[conn].refusal, NOT_ANSWERED);
	clients[conn].refusal = (int)refusal;
	snprintf(clients[conn].detail, sizeof(clients[conn].detail), "%s", detail);
}

void shell_control_submit(struct shell *s, uint32_t conn, const void *ops, size_t len)
{
	CHECK(s == &shell);
	CHECK(ops != NULL);
	CHECK_EQ(clients[conn].submitted, 0);
	clients[conn].submitted++;
	clients[conn].len = len;
	n_submitted++;
}

static void agent_link(const char *from, const char *name)
{
	char path[700];

	snprintf(path, sizeof(path), "%s/own/%s", rig.agents_dir, name);
	REQUIRE(!link(from, path));
}

/* The owner's agent, which takes no device but /dev/good. */
static void volume_agent_make(void)
{
	static const char text[] = "#!/bin/sh\n"
				   "echo \"$1 $OCF_RESKEY_device $OCF_RESKEY_volume $OCF_RESKEY_port\" >>\"$VET_LOG\"\n"
				   "if [ \"$1\" = validate-all ] && [ \"$OCF_RESKEY_device\" != /dev/good ]; then\n"
				   "echo 'ocf-exit-reason:no volume of csvfs' >&2; exit 5; fi\n"
				   "echo '<resource-agent name=\"volume\"><parameters>'\n"
				   "for p in volume device port recall; do\n"
				   "echo \"<parameter name=\\\"$p\\\"><content type=\\\"string\\\"/></parameter>\"; done\n"
				   "echo '</parameters><actions><action name=\"start\" timeout=\"20s\"/>'\n"
				   "echo '<action name=\"validate-all\" timeout=\"20s\"/></actions></resource-agent>'\n";
	char path[700];
	int fd;

	snprintf(path, sizeof(path), "%s/clusterd", rig.agents_dir);
	REQUIRE(!mkdir(path, 0755));
	snprintf(path, sizeof(path), "%s/clusterd/volume", rig.agents_dir);
	fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0755);
	REQUIRE(fd >= 0 && write(fd, text, strlen(text)) == (ssize_t)strlen(text) && !close(fd));
}

static void agents_make(void)
{
	char path[700], name[32];
	int fd;

	snprintf(rig.agents_dir, sizeof(rig.agents_dir), "%s/agents", rig.dir);
	REQUIRE(!mkdir(rig.agents_dir, 0755));
	snprintf(path, sizeof(path), "%s/own", rig.agents_dir);
	REQUIRE(!mkdir(path, 0755));
	snprintf(path, sizeof(path), "%s/own/quick", rig.agents_dir);
	fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0755);
	REQUIRE(fd >= 0 && write(fd, script, strlen(script)) == (ssize_t)strlen(script) && !close(fd));
	agent_link(path, "bad");
	volume_agent_make();
	for (int i = 0; i < AGENTS; i++) {
		snprintf(name, sizeof(name), "held%d", i);
		agent_link(path, name);
	}
}

static void begin(void)
{
	static const struct core_config config = { .self = 1, .node_name = "node1", .cluster_name = "testcluster" };
	char gate_path[192], variables[2][256];
	const char *environment[] = { variables[0], variables[1], NULL };

	rig_init(&rig, (struct agents_options){ 0 });
	agents_free(rig.a);
	agents_make();
	snprintf(log_path, sizeof(log_path), "%s/log", rig.dir);
	snprintf(gate_path, sizeof(gate_path), "%s/gate", rig.dir);
	snprintf(variables[0], sizeof(variables[0]), "VET_LOG=%s", log_path);
	snprintf(variables[1], sizeof(variables[1]), "VET_GATE=%s", gate_path);
	REQUIRE(!mkfifo(gate_path, 0600));
	gate = open(gate_path, O_RDWR | O_CLOEXEC);
	REQUIRE(gate >= 0);
	rig_open_agents(&rig, (struct agents_options){ .environment = environment });
	memset(&shell, 0, sizeof(shell));
	shell.agents = rig.a;
	shell.loop = rig.loop;
	snprintf(shell.node_name, sizeof(shell.node_name), "node1");
	shell.memory = calloc(1, core_size());
	REQUIRE(shell.memory != NULL);
	shell.core = core_init(shell.memory, &config);
	for (size_t i = 0; i <= CLIENTS; i++)
		clients[i].refusal = NOT_ANSWERED;
	for (size_t i = 0; i <= CLIENTS; i++)
		clients[i].submitted = 0;
	n_submitted = 0;
}

static void end(void)
{
	CHECK_EQ(shell.n_vettings, 0);
	CHECK(shell.vettings == NULL);
	close(gate);
	free(shell.memory);
	rig_done(&rig);
}

/* ---- changes ---- */

static uint8_t ops[64 * FRAME_MAX];
static struct writer out;

static void change_begin(void)
{
	out = writer_of(ops, sizeof(ops));
}

static void change_add(unsigned int n, const char *agent, const char *params)
{
	static struct change_op op;
	const struct object_type *type = object_type(KIND_RESOURCE);

	op = (struct change_op){ .verb = VERB_CREATE, .kind = KIND_RESOURCE, .n_fields = 2 };
	snprintf(op.name, sizeof(op.name), "r%u", n);
	op.fields[0].number = object_field(type, "agent")->number;
	op.fields[0].how = EDIT_SET;
	op.fields[0].value = agent;
	op.fields[1].number = object_field(type, "params")->number;
	op.fields[1].how = EDIT_SET;
	op.fields[1].value = params;
	change_op_encode(&out, &op);
	REQUIRE(!out.bad);
}

static void change_add_volume(const char *name, const char *device, bool force)
{
	static struct change_op op;
	const struct object_type *type = object_type(KIND_VOLUME);

	op = (struct change_op){ .verb = VERB_CREATE, .kind = KIND_VOLUME, .force = force, .n_fields = 2 };
	snprintf(op.name, sizeof(op.name), "%s", name);
	op.fields[0].number = object_field(type, "device")->number;
	op.fields[0].how = EDIT_SET;
	op.fields[0].value = device;
	op.fields[1].number = object_field(type, "port")->number;
	op.fields[1].how = EDIT_SET;
	op.fields[1].value = "8000";
	change_op_encode(&out, &op);
	REQUIRE(!out.bad);
}

static void change_add_held(unsigned int n)
{
	char agent[AGENT_NAME_SIZE];

	snprintf(agent, sizeof(agent), "ocf:own:held%u", n);
	change_add(n, agent, "");
}

static void change_vet(uint32_t conn)
{
	shell_vet_change(&shell, conn, ops, writer_len(&out), true);
}

/* ---- what the agents did ---- */

static unsigned int runs(void)
{
	char text[16384];
	unsigned int n = 0;

	for (const char *p = rig_read(log_path, text, sizeof(text)); *p; p++)
		n += *p == '\n';
	return n;
}

static bool have_runs(struct rig *r, void *data)
{
	(void)r;
	return runs() >= *(unsigned int *)data;
}

static void wait_runs(unsigned int n)
{
	REQUIRE(rig_wait(&rig, have_runs, &n));
	CHECK_EQ(runs(), n);
}

/* The process of the agent; 0: it was not run. */
static pid_t run_pid(const char *agent)
{
	char text[16384], word[64];
	const char *at;

	snprintf(word, sizeof(word), "%s ", agent);
	at = strstr(rig_read(log_path, text, sizeof(text)), word);
	return at ? (pid_t)strtol(at + strlen(word), NULL, 10) : 0;
}

static bool is_dead(struct rig *r, void *data)
{
	(void)r;
	return !rig_pid_alive(*(pid_t *)data);
}

static void let_go(unsigned int n)
{
	char lines[AGENTS];

	REQUIRE(n <= sizeof(lines));
	memset(lines, '\n', sizeof(lines));
	REQUIRE(write(gate, lines, n) == (ssize_t)n);
}

static bool have_submitted(struct rig *r, void *data)
{
	(void)r;
	return n_submitted >= *(unsigned int *)data;
}

static void wait_submitted(unsigned int n)
{
	REQUIRE(rig_wait(&rig, have_submitted, &n));
	CHECK_EQ(n_submitted, n);
}

static bool have_answer(struct rig *r, void *data)
{
	(void)r;
	return clients[*(uint32_t *)data].refusal != NOT_ANSWERED;
}

static void wait_answer(uint32_t conn)
{
	REQUIRE(rig_wait(&rig, have_answer, &conn));
}

/* ---- tests ---- */

/* All agents that may be asked at once are, while none has answered; the change waits for the last of them. */
static void test_overlap(void)
{
	begin();
	change_begin();
	for (unsigned int i = 0; i < AGENTS; i++)
		change_add_held(i);
	change_vet(1);
	wait_runs(SHELL_VET_PARALLEL);
	CHECK_EQ(n_submitted, 0);
	let_go(AGENTS - 1);
	wait_runs(AGENTS);
	CHECK_EQ(n_submitted, 0);
	let_go(1);
	wait_submitted(1);
	CHECK_EQ(clients[1].len, writer_len(&out));
	CHECK_EQ(clients[1].refusal, NOT_ANSWERED);
	end();
}

/* Several changes have no more agents running than one. */
static void test_slots(void)
{
	begin();
	for (unsigned int i = 0; i < AGENTS; i++) {
		change_begin();
		change_add_held(i);
		change_vet(i + 1);
	}
	wait_runs(AGENT_QUERIES_PARALLEL);
	let_go(AGENTS);
	wait_submitted(AGENTS);
	end();
}

/* One of as many resources as a change can have: it is named, with what is wrong. */
static void test_one_refused(void)
{
	char params[64];

	begin();
	change_begin();
	for (unsigned int i = 0; i < CHANGE_OPS_MAX; i++) {
		snprintf(params, sizeof(params), i == 200 ? "q=%u\n" : "p=%u\n", i);
		change_add(i, "ocf:own:quick", params);
	}
	change_vet(1);
	wait_answer(1);
	CHECK_EQ(clients[1].refusal, REFUSED_AGENT);
	CHECK_CONTAINS(clients[1].detail, "resource 'r200': ocf:own:quick has no parameter \"q\"");
	CHECK_EQ(n_submitted, 0);
	end();
}

/* A refusal does not wait for agents that hang, and ends them. */
static void test_refused_early(void)
{
	pid_t pid;

	begin();
	change_begin();
	change_add_held(0);
	change_add(1, "ocf:own:bad", "");
	change_vet(1);
	wait_answer(1);
	CHECK_EQ(clients[1].refusal, REFUSED_AGENT);
	CHECK_CONTAINS(clients[1].detail, "resource 'r1': ocf:own:bad: its meta-data cannot be had");
	CHECK_CONTAINS(clients[1].detail, "out of luck");
	pid = run_pid("held0");
	CHECK(!pid || rig_wait(&rig, is_dead, &pid));
	end();
}

/* A client leaves: what it alone wanted to know ends, what others wait for goes on. */
static void test_client_leaves(void)
{
	pid_t alone, shared;

	begin();
	change_begin();
	change_add_held(0);
	change_add_held(1);
	change_vet(1);
	wait_runs(2);
	change_begin();
	change_add_held(1);
	change_vet(2);
	change_begin();
	change_add_held(2);
	change_vet(3);
	wait_runs(3);
	alone = run_pid("held0");
	shared = run_pid("held1");
	REQUIRE(alone && shared);
	shell_vet_forget(&shell, 1);
	CHECK_EQ(shell.n_vettings, 2);
	REQUIRE(rig_wait(&rig, is_dead, &alone));
	CHECK(rig_pid_alive(shared));
	let_go(2);
	wait_submitted(2);
	CHECK_EQ(clients[2].submitted, 1);
	CHECK_EQ(clients[3].submitted, 1);
	CHECK_EQ(clients[1].refusal, NOT_ANSWERED);
	CHECK_EQ(clients[1].submitted, 0);
	CHECK_EQ(runs(), 3);
	/* the agent that was ended is asked anew */
	change_begin();
	change_add_held(0);
	change_vet(4);
	wait_runs(4);
	let_go(1);
	wait_submitted(3);
	end();
}

/* The question alone: answered like a change, and nothing is submitted. */
static void test_question(void)
{
	begin();
	change_begin();
	change_add(1, "ocf:own:quick", "p=1\n");
	change_add_held(0);
	shell_vet_change(&shell, 1, ops, writer_len(&out), false);
	wait_runs(2);
	CHECK_EQ(clients[1].refusal, NOT_ANSWERED);
	let_go(1);
	wait_answer(1);
	CHECK_EQ(clients[1].refusal, REFUSED_NOT);
	change_begin();
	change_add(1, "ocf:own:quick", "q=1\n");
	shell_vet_change(&shell, 2, ops, writer_len(&out), false);
	wait_answer(2);
	CHECK_EQ(clients[2].refusal, REFUSED_AGENT);
	CHECK_EQ(n_submitted, 0);
	end();
}

/* As many changes as may wait, each with as many resources as it can have: alike ones are one question. */
static void test_alike(void)
{
	begin();
	change_begin();
	for (unsigned int i = 0; i < CHANGE_OPS_MAX; i++)
		change_add(i, "ocf:own:held0", "p=1\n");
	for (uint32_t conn = 1; conn <= SHELL_CHANGES_MAX; conn++)
		change_vet(conn);
	CHECK_EQ(shell.n_vettings, SHELL_CHANGES_MAX);
	for (uint32_t conn = 1; conn <= SHELL_CHANGES_MAX; conn++)
		CHECK_EQ(clients[conn].refusal, NOT_ANSWERED);
	change_vet(SHELL_CHANGES_MAX + 1);
	CHECK_EQ(clients[SHELL_CHANGES_MAX + 1].refusal, REFUSED_BUSY);
	wait_runs(1);
	let_go(1);
	wait_submitted(SHELL_CHANGES_MAX);
	CHECK_EQ(runs(), 1);
	end();
}

static void change_of_held(unsigned int n)
{
	change_begin();
	for (unsigned int i = 0; i < n; i++)
		change_add_held(i);
}

/* All queries are taken: who has asked something goes on later, who could ask nothing is told. */
static void test_queries_taken(void)
{
	const uint32_t full = AGENT_QUERIES_MAX / SHELL_VET_PARALLEL - 1;

	begin();
	change_of_held(SHELL_VET_PARALLEL);
	for (uint32_t conn = 1; conn <= full; conn++)
		change_vet(conn);
	change_of_held(SHELL_VET_PARALLEL - 5);
	change_vet(full + 1);
	change_of_held(SHELL_VET_PARALLEL);
	change_vet(full + 2); /* asks five, then waits */
	change_vet(full + 3);
	for (uint32_t conn = 1; conn <= full + 2; conn++)
		CHECK_EQ(clients[conn].refusal, NOT_ANSWERED);
	CHECK_EQ(clients[full + 3].refusal, REFUSED_BUSY);
	CHECK_CONTAINS(clients[full + 3].detail, "too many agents");
	let_go(SHELL_VET_PARALLEL);
	wait_submitted(full + 2);
	CHECK_EQ(runs(), SHELL_VET_PARALLEL);
	end();
}

/* clusterd ends: who waits is told, nothing is left running. */
static void test_close(void)
{
	begin();
	change_begin();
	change_add_held(0);
	change_vet(1);
	change_vet(2);
	shell_vet_close(&shell);
	CHECK_EQ(clients[1].refusal, REFUSED_BUSY);
	CHECK_EQ(clients[2].refusal, REFUSED_BUSY);
	end();
}

/* The owner's agent looks at a volume's device before the volume is made. */
static void test_volume(void)
{
	begin();
	change_begin();
	change_add_volume("good", "/dev/good", false);
	change_vet(1);
	wait_submitted(1);
	change_begin();
	change_add_volume("bad", "/dev/bad", false);
	change_vet(2);
	wait_answer(2);
	CHECK_EQ(clients[2].refusal, REFUSED_AGENT);
	CHECK_CONTAINS(clients[2].detail, "volume 'bad': ");
	CHECK_CONTAINS(clients[2].detail, "no volume of csvfs");
	CHECK_CONTAINS(clients[2].detail, "--force skips this check, which looks at the device on node node1");
	change_begin();
	change_add_volume("bad", "/dev/bad", true);
	change_vet(3);
	wait_submitted(2);
	CHECK_EQ(clients[3].refusal, NOT_ANSWERED);
	end();
}

int main(void)
{
	test_overlap();
	test_slots();
	test_one_refused();
	test_refused_early();
	test_client_leaves();
	test_volume();
	test_question();
	test_alike();
	test_queries_taken();
	test_close();
	return check_result();
}
