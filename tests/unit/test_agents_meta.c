/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Meta-data of agents and the check of parameters against it: good, wrong, hostile. */
#include "tests/unit/agents_rig.h"

static struct rig rig;

static void validate(const char *agent, const char *params)
{
	struct agent_request rq = rig_request(0, AGENT_VALIDATE_ALL, 0, agent, params);
	unsigned int before = rig.validations;

	CHECK_EQ(agents_validate(rig.a, &rq, rig_validated, &rig), 0);
	CHECK_EQ(rig.validations, before);
	rig_wait_validations(&rig, before + 1);
}

static void test_params(void)
{
	static const struct {
		const char *params;
		int error;
		const char *text;
	} cases[] = {
		{ "count=3\n", 0, "" },
		{ "count=-3\nsafe=No\nmode=two\nstate=/x y=z\ntrace_ra=1\n", 0, "" },
		{ "", -EINVAL, "ocf:test:good needs the parameter \"count\" (How many): add count=VALUE" },
		{ "count=\n", -EINVAL, "ocf:test:good: parameter \"count\" is required and must not be empty: How many" },
		{ "count=3s\n", -EINVAL, "ocf:test:good: parameter \"count\" takes a whole number, not \"3s\"" },
		{ "count=-\n", -EINVAL, "ocf:test:good: parameter \"count\" takes a whole number, not \"-\"" },
		{ "count=3\nsafe=maybe\n", -EINVAL, "ocf:test:good: parameter \"safe\" takes true or false, not \"maybe\"" },
		{ "count=3\nmode=three\n", -EINVAL,
		  "ocf:test:good: parameter \"mode\" takes one of: one two - not \"three\"" },
		{ "count=3\ncount=4\n", -EINVAL, "ocf:test:good: parameter \"count\" is given twice" },
		{ "cuont=3\n", -EINVAL, "ocf:test:good has no parameter \"cuont\"; did you mean \"count\"?" },
		{ "colour=3\n", -EINVAL,
		  "ocf:test:good has no parameter \"colour\"; it has: state log count safe mode refuse wait" },
	};

	rig_init(&rig, (struct agents_options){ 0 });
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		validate("ocf:test:good", cases[i].params);
		CHECK_EQ(rig.validation_error, cases[i].error);
		CHECK_STR(rig.validation_text, cases[i].text);
		CHECK_EQ(rig.start_timeout_ms, 20000);
		CHECK_EQ(rig.stop_timeout_ms, 60000);
		CHECK_EQ(rig.monitor10_interval_ms, 300000);
	}
	rig_done(&rig);
}

static void test_bad_agents(void)
{
	static const struct {
		const char *agent;
		int error;
		const char *text;
	} cases[] = {
		{ "ocf:test:meta_broken", -EBADMSG, "ocf:test:meta_broken: its meta-data is not valid XML (line " },
		{ "ocf:test:meta_foreign", -EBADMSG, "ocf:test:meta_foreign: its meta-data is not that of an OCF agent" },
		{ "ocf:test:meta_huge", -EBADMSG, "ocf:test:meta_huge: its meta-data is longer than 1 MiB" },
		{ "ocf:test:meta_bomb", -EBADMSG, "ocf:test:meta_bomb: its meta-data declares XML entities" },
		{ "ocf:test:meta_empty", -EBADMSG, "ocf:test:meta_empty: its meta-data is empty" },
		{ "ocf:test:meta_fails", -EIO, "ocf:test:meta_fails: its meta-data cannot be had: library missing; run " },
		{ "ocf:test:absent", -ENOENT, "ocf:test:absent is not installed on node1: no /usr/lib/ocf/resource.d/test/absent" },
		{ "ocf:test:noexec", -EACCES, "ocf:test:noexec is not executable on node1: chmod 755 " },
		{ "ocf:test:nointerpreter", -EIO, "the interpreter named in the first line of " },
	};

	rig_init(&rig, (struct agents_options){ 0 });
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		validate(cases[i].agent, "");
		CHECK_EQ(rig.validation_error, cases[i].error);
		CHECK_CONTAINS(rig.validation_text, cases[i].text);
		CHECK_EQ(rig.start_timeout_ms, 0);
	}
	rig_done(&rig);
}

static size_t meta_runs(const char *path)
{
	char text[256];

	return strlen(rig_read(path, text, sizeof(text))) / strlen("run\n");
}

/* Many questions, one run; a changed file is asked again. */
static void test_cache(void)
{
	char count[192], variable[224], path[192], script[4096], source[600];
	const char *environment[] = { variable, NULL };
	int fd;

	snprintf(count, sizeof(count), "/tmp/clusterd-test-meta.%d", (int)getpid());
	snprintf(variable, sizeof(variable), "COUNT_META=%s", count);
	rig_init(&rig, (struct agents_options){ .environment = environment });
	snprintf(source, sizeof(source), "%s/test/good", rig.agents_dir);
	rig_read(source, script, sizeof(script));
	agents_free(rig.a);
	snprintf(rig.agents_dir, sizeof(rig.agents_dir), "%s/agents", rig.dir);
	REQUIRE(!mkdir(rig.agents_dir, 0755));
	snprintf(path, sizeof(path), "%s/agents/own", rig.dir);
	REQUIRE(!mkdir(path, 0755));
	snprintf(path, sizeof(path), "%s/agents/own/good", rig.dir);
	fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0755);
	REQUIRE(fd >= 0 && write(fd, script, strlen(script)) == (ssize_t)strlen(script) && !close(fd));
	rig_open_agents(&rig, (struct agents_options){ .environment = environment });
	for (int i = 0; i < 10; i++)
		CHECK_EQ(agents_meta(rig.a, "ocf:own:good", rig_validated, &rig), 0);
	rig_wait_validations(&rig, 10);
	CHECK_EQ(rig.validation_error, 0);
	CHECK_EQ(meta_runs(count), 1);
	CHECK_EQ(agents_meta(rig.a, "ocf:own:good", rig_validated, &rig), 0);
	rig_wait_validations(&rig, 11);
	CHECK_EQ(meta_runs(count), 1);
	fd = open(path, O_WRONLY | O_APPEND | O_CLOEXEC);
	REQUIRE(fd >= 0 && write(fd, "#\n", 2) == 2 && !close(fd));
	CHECK_EQ(agents_meta(rig.a, "ocf:own:good", rig_validated, &rig), 0);
	rig_wait_validations(&rig, 12);
	CHECK_EQ(meta_runs(count), 2);
	unlink(count);
	rig_done(&rig);
}

/* Queries that are unfinished when the module ends. */
static void test_shutdown(void)
{
	rig_init(&rig, (struct agents_options){ 0 });
	CHECK_EQ(agents_meta(rig.a, "ocf:test:good", rig_validated, &rig), 0);
	CHECK_EQ(agents_meta(rig.a, "ocf:test:absent", rig_validated, &rig), 0);
	rig_done(&rig);
	CHECK_EQ(rig.validations, 0);
}

static void test_parser(void)
{
	static const char many[] = "<resource-agent name=\"x\"><parameters>";
	struct agent_meta *meta = NULL;
	char error[AGENT_REPORT_SIZE], *xml = malloc(AGENT_META_SIZE);
	size_t len = strlen(many);

	REQUIRE(xml != NULL);
	memcpy(xml, many, len + 1);
	for (int i = 0; i <= AGENT_META_PARAMS; i++)
		len += (size_t)sprintf(xml + len, "<parameter name=\"p%d\"/>", i);
	len += (size_t)sprintf(xml + len, "</parameters><actions/></resource-agent>");
	CHECK_EQ(agent_meta_parse("ocf:a:b", xml, len, &meta, error), -EBADMSG);
	CHECK_STR(error, "ocf:a:b: its meta-data has more than 512 parameters");
	len = 0;
	for (int i = 0; i < 50000; i++) /* deep, not long */
		len += (size_t)sprintf(xml + len, "<a>");
	CHECK_EQ(agent_meta_parse("ocf:a:b", xml, len, &meta, error), -EBADMSG);
	CHECK_CONTAINS(error, "not valid XML");
	len = (size_t)sprintf(xml, "<resource-agent><actions><action name=\"stop\" timeout=\"99999999999h\"/>"
				   "<action name=\"start\" timeout=\"soon\"/></actions></resource-agent>");
	CHECK_EQ(agent_meta_parse("ocf:a:b", xml, len, &meta, error), 0);
	CHECK_EQ(agent_meta_action(meta, "stop", 0)->timeout_ms, UINT32_MAX);
	CHECK_EQ(agent_meta_action(meta, "start", 5)->timeout_ms, 0);
	CHECK(agent_meta_action(meta, "promote", 0) == NULL);
	CHECK_EQ(agent_meta_check(meta, "a=b\n", error), -EINVAL);
	CHECK_STR(error, "ocf:a:b has no parameter \"a\"; it has none");
	agent_meta_free(meta);
	free(xml);
}

int main(void)
{
	test_params();
	test_bad_agents();
	test_cache();
	test_shutdown();
	test_parser();
	return check_result();
}
