/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Agents of Debian's resource-agents under our runner: Dummy, Delay, a real daemon through nginx, and everybody's meta-data. */
#include "tests/unit/agents_rig.h"

#define AGENTS_DIR "/usr/lib/ocf/resource.d/heartbeat"

static struct rig rig;

static void test_dummy(void)
{
	static const char dummy[] = "ocf:heartbeat:Dummy";
	struct agent_request rq;

	rig_init(&rig, (struct agents_options){ 0 });
	CHECK_EQ(rig_do(&rig, AGENT_MONITOR, 1, dummy, "", 20000)->r.rc, OCF_NOT_RUNNING);
	CHECK_EQ(rig_do(&rig, AGENT_START, 1, dummy, "", 20000)->r.rc, OCF_SUCCESS);
	CHECK_EQ(rig_do(&rig, AGENT_MONITOR, 1, dummy, "", 20000)->r.rc, OCF_SUCCESS);
	/* It predates OCF 1.1: says that it cannot, and is restarted then. */
	CHECK_EQ(rig_do(&rig, AGENT_RELOAD, 1, dummy, "", 20000)->r.rc, OCF_ERR_UNIMPLEMENTED);
	rq = rig_request(1, AGENT_MIGRATE_TO, 1, dummy, "");
	rq.migrate_target = "node2";
	CHECK_EQ(agents_run(rig.a, &rq), 0);
	rig_wait_results(&rig, 5);
	CHECK_EQ(rig_last(&rig)->r.rc, 0);
	CHECK_CONTAINS(rig_last(&rig)->output, "Migrating res1 to node2.");
	CHECK_EQ(rig_do(&rig, AGENT_MIGRATE_FROM, 1, dummy, "", 20000)->r.rc, OCF_SUCCESS);
	CHECK_EQ(rig_do(&rig, AGENT_STOP, 1, dummy, "", 20000)->r.rc, OCF_SUCCESS);
	CHECK_EQ(rig_do(&rig, AGENT_VALIDATE_ALL, 0, dummy, "state=/nonexistent/state\n", 20000)->r.rc, OCF_ERR_ARGS);
	CHECK_STR(rig_last(&rig)->text, "State file \"/nonexistent/state\" is not writable");
	rig_done(&rig);
}

/* Delay sleeps: a start that takes longer than its time-out. */
static void test_delay(void)
{
	static const char delay[] = "ocf:heartbeat:Delay";

	rig_init(&rig, RIG_QUICK);
	CHECK_EQ(rig_do(&rig, AGENT_START, 1, delay, "startdelay=0\n", 20000)->r.rc, OCF_SUCCESS);
	CHECK_EQ(rig_do(&rig, AGENT_STOP, 1, delay, "stopdelay=0\nstartdelay=0\n", 20000)->r.rc, OCF_SUCCESS);
	CHECK_EQ(rig_do(&rig, AGENT_START, 1, delay, "startdelay=600\n", 500)->r.status, AGENT_TIMEOUT);
	rig_done(&rig);
}

static void nginx_config(char *params, size_t size, unsigned int port)
{
	char path[192];
	FILE *f;

	snprintf(path, sizeof(path), "%s/nginx.conf", rig.dir);
	f = fopen(path, "we");
	REQUIRE(f != NULL);
	fprintf(f,
		"pid %s/nginx.pid;\nerror_log %s/error.log;\nworker_processes 1;\nevents { }\n"
		"http { access_log off; client_body_temp_path %s/b; proxy_temp_path %s/p; fastcgi_temp_path %s/f;\n"
		"uwsgi_temp_path %s/u; scgi_temp_path %s/s;\n"
		"server { listen 127.0.0.1:%u; location / { return 200 \"hello\"; } } }\n",
		rig.dir, rig.dir, rig.dir, rig.dir, rig.dir, rig.dir, rig.dir, port);
	REQUIRE(!fclose(f));
	snprintf(params, size, "configfile=%s\nstatus10url=http://127.0.0.1:%u/\nstatus10regex=hello\ntest20conffile=\n", path,
		 port);
}

/* A daemon forks away, inherits our pipes, serves, and stops. */
static void test_nginx(void)
{
	static const char nginx[] = "ocf:heartbeat:nginx";
	unsigned int port = 20000 + (unsigned int)getpid() % 20000;
	char params[512];

	if (geteuid() != 0 || access("/usr/sbin/nginx", X_OK) < 0) {
		fprintf(stderr, "nginx is not installed or this is not root: not tested\n");
		return;
	}
	rig_init(&rig, (struct agents_options){ 0 });
	nginx_config(params, sizeof(params), port);
	CHECK_EQ(rig_do(&rig, AGENT_MONITOR, 1, nginx, params, 20000)->r.rc, OCF_NOT_RUNNING);
	CHECK_EQ(rig_do(&rig, AGENT_START, 1, nginx, params, 40000)->r.rc, OCF_SUCCESS);
	if (rig_last(&rig)->r.rc)
		fprintf(stderr, "%s\n%s\n", rig_last(&rig)->text, rig_last(&rig)->output);
	CHECK_EQ(rig_do(&rig, AGENT_MONITOR, 1, nginx, params, 20000)->r.rc, OCF_SUCCESS);
	CHECK_EQ(rig_do(&rig, AGENT_STOP, 1, nginx, params, 60000)->r.rc, OCF_SUCCESS);
	CHECK_EQ(rig_do(&rig, AGENT_MONITOR, 1, nginx, params, 20000)->r.rc, OCF_NOT_RUNNING);
	rig_done(&rig);
}

static unsigned int usable, unusable;

/* What an agent states as its own default must pass our check of types: else we would refuse what works elsewhere. */
static void on_meta(void *user, const struct agent_validation *v)
{
	char params[PARAMS_SIZE], error[AGENT_REPORT_SIZE];

	(void)user;
	if (v->error) {
		unusable++;
		fprintf(stderr, "(%s)\n", v->text);
		return;
	}
	usable++;
	for (unsigned int i = 0; i < v->meta->param_count; i++) {
		const struct agent_meta_param *param = &v->meta->params[i];

		if (!*param->value_default || strchr(param->value_default, '\n') || strlen(param->value_default) > 500)
			continue;
		snprintf(params, sizeof(params), "%s=%s\n", param->name, param->value_default);
		if (agent_meta_check(v->meta, params, error) && !strstr(error, " needs the parameter "))
			CHECK_STR(error, "");
	}
}

static bool all_answered(struct rig *r, void *data)
{
	(void)r;
	return usable + unusable == *(unsigned int *)data;
}

static void test_everybody(void)
{
	DIR *dir = opendir(AGENTS_DIR);
	struct dirent *entry;
	unsigned int asked = 0;

	REQUIRE(dir != NULL);
	rig_init(&rig, (struct agents_options){ .max_parallel = 4 });
	while ((entry = readdir(dir))) {
		char agent[AGENT_NAME_SIZE];

		if (entry->d_name[0] == '.' || (size_t)snprintf(agent, sizeof(agent), "ocf:heartbeat:%s", entry->d_name) >=
						       sizeof(agent))
			continue;
		asked += agents_meta(rig.a, agent, on_meta, NULL) == 0;
	}
	closedir(dir);
	REQUIRE(rig_wait(&rig, all_answered, &asked));
	fprintf(stderr, "meta-data of %u agents, %u of them unusable here\n", asked, unusable);
	CHECK(asked > 20);
	CHECK(unusable * 10 <= asked);
	rig_done(&rig);
}

int main(void)
{
	if (access(AGENTS_DIR "/Dummy", X_OK) < 0) {
		fprintf(stderr, "resource-agents is not installed: skipped\n");
		return CHECK_SKIP;
	}
	test_dummy();
	test_delay();
	test_nginx();
	test_everybody();
	return check_result();
}
