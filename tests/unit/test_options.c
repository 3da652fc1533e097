/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Configuration file: values, units, every kind of wrong line with its message, and the manual's table. */
#include <fcntl.h>
#include <stdint.h>
#include <unistd.h>

#include "clusterd/options.h"
#include "tests/lib/check.h"

static struct options options;
static struct options_problems problems;

static int parse(const char *text)
{
	return options_parse(&options, "test.conf", text, strlen(text), &problems);
}

static void test_defaults(void)
{
	CHECK_EQ(parse(""), 0);
	CHECK_STR(options.state_dir, "/var/lib/clusterd");
	CHECK_STR(options.watchdog_driver, "device");
	CHECK_EQ(options.watchdog_timeout_ms, 10000);
	CHECK_EQ(options.log_to_syslog, 0);
	CHECK_EQ(options.agent_parallel, 32);
}

static void test_values(void)
{
	CHECK_EQ(parse("# comment\n\n  cluster_name =  blue-1 # why\nwatchdog_timeout=15s\nmemory = 2T\ncpu = 400\n"
		       "log_to_syslog = YES\nlog_level = trace\nfence_command = /usr/sbin/off --a#b 'x'\r\nsite ="), 0);
	CHECK_EQ(problems.count, 0);
	CHECK_STR(options.cluster_name, "blue-1");
	CHECK_EQ(options.watchdog_timeout_ms, 15000);
	CHECK_EQ(options.memory_mib, 2 * 1024 * 1024);
	CHECK_EQ(options.cpu, 400);
	CHECK_EQ(options.log_to_syslog, 1);
	CHECK_STR(options.log_level, "trace");
	CHECK_STR(options.fence_command, "/usr/sbin/off --a#b 'x'");
	CHECK_STR(options.site, "");
}

static void test_wrong(void)
{
	static const struct {
		const char *text, *message;
	} cases[] = {
		{ "colour = red", "test.conf:1: colour: no such key (clusterd.conf(5) lists them)" },
		{ "\nwatchdog_timout = 5s", "test.conf:2: watchdog_timout: no such key; did you mean watchdog_timeout?" },
		{ "just words", "test.conf:1: \"just words\": not a line \"key = value\"" },
		{ "cpu = 1\ncpu = 2", "test.conf:2: cpu: already set in line 1" },
		{ "watchdog_timeout = 5",
		  "watchdog_timeout = 5: is not a duration such as 500ms, 30s, 2min, 1h; allowed: 1s to 5min" },
		{ "watchdog_timeout = 6m", "test.conf:1: watchdog_timeout = 6m: out of range; allowed: 1s to 5m" },
		{ "watchdog_timeout = 99999999999999999999s", "is too large; allowed: 1s to 5m" },
		{ "watchdog_timeout = 4294967297s", "out of range" },
		{ "watchdog_timeout = 1500ms", "watchdog_driver = device needs whole seconds" },
		{ "watchdog_timeout = -1s", "is not a duration" },
		{ "agent_parallel = 0", "agent_parallel = 0: out of range; allowed: 1 to 1024 processes" },
		{ "agent_parallel = many", "is not a whole number; allowed: 1 to 1024 processes" },
		{ "memory = 5X", "is not a size such as 512M, 64G, 1T" },
		{ "log_to_syslog = maybe", "log_to_syslog = maybe: allowed: yes, no" },
		{ "log_level = loud", "log_level = loud: allowed: error|warning|notice|info|debug|trace" },
		{ "watchdog_driver = dev", "allowed: device|pipe|none" },
		{ "state_dir = here", "state_dir = here: must be an absolute path" },
		{ "state_dir =", "state_dir is empty" },
		{ "watchdog =", "watchdog is empty" },
		{ "fence_command = off", "must be named by its absolute path" },
		{ "cluster_name = two words", "allowed: letters, digits, '-', '_', '.'" },
		{ "cluster_name = aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", "longer than 63" },
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		CHECK_EQ(parse(cases[i].text), -EINVAL);
		if (!CHECK_EQ(problems.count, 1))
			fprintf(stderr, "\tof \"%s\": %s\n", cases[i].text, problems.text[0]);
		CHECK_CONTAINS(problems.text[0], cases[i].message);
	}
}

static void test_hostile(void)
{
	static char text[OPTIONS_FILE_MAX + 100];
	size_t n = 0;

	CHECK_EQ(options_parse(&options, "test.conf", "cpu = 1\0x\n", 10, &problems), -EINVAL);
	CHECK_CONTAINS(problems.text[0], "NUL");
	memset(text, 'x', 2000);
	CHECK_EQ(options_parse(&options, "test.conf", text, 2000, &problems), -EINVAL);
	CHECK_CONTAINS(problems.text[0], "longer than 1024");
	while (n < 20000)
		n += (size_t)sprintf(text + n, "wrong%zu = 1\n", n);
	CHECK_EQ(options_parse(&options, "test.conf", text, n, &problems), -EINVAL);
	CHECK(problems.count > OPTIONS_PROBLEM_MAX);
	CHECK_CONTAINS(problems.text[OPTIONS_PROBLEM_MAX - 1], "no such key");
	/* any bytes: an error or not, never a crash */
	for (unsigned int seed = 1; seed < 3000; seed++) {
		uint32_t r = seed * 2654435761u;

		for (size_t i = 0; i < 200; i++) {
			r = r * 1103515245u + 12345u;
			text[i] = "=# \n\tcpu_memory019sMTk\"\0\xff"[r >> 16 & 15] + (char)(r >> 24 & 1);
		}
		options_parse(&options, "test.conf", text, 200, &problems);
	}
}

static void test_load(void)
{
	char path[] = "/tmp/test_options.XXXXXX";
	static char big[OPTIONS_FILE_MAX + 10];
	int fd = mkstemp(path);

	CHECK_EQ(write(fd, "cpu = 7\n", 8), 8);
	CHECK_EQ(options_load(&options, path, &problems), 0);
	CHECK_EQ(options.cpu, 7);
	memset(big, '\n', sizeof(big));
	CHECK_EQ(write(fd, big, sizeof(big)), sizeof(big));
	CHECK_EQ(options_load(&options, path, &problems), -EFBIG);
	close(fd);
	unlink(path);
	CHECK_EQ(options_load(&options, path, &problems), -ENOENT);
	CHECK_CONTAINS(problems.text[0], "cannot be read: No such file");
	CHECK(options_load(&options, "/", &problems) < 0);
}

static void test_show(void)
{
	char text[TEXT_SIZE];

	CHECK_EQ(parse("watchdog_timeout = 120000ms\nmemory = 1536M"), 0);
	CHECK_EQ(options_show(&options, "watchdog_timeout", text, sizeof(text)), 0);
	CHECK_STR(text, "2min");
	CHECK_EQ(options_show(&options, "memory", text, sizeof(text)), 0);
	CHECK_STR(text, "1536M");
	CHECK_EQ(options_show(&options, "log_to_syslog", text, sizeof(text)), 0);
	CHECK_STR(text, "no");
	CHECK_EQ(options_show(&options, "nothing", text, sizeof(text)), -ENOENT);
	/* what is shown is accepted and means the same */
	for (size_t i = 0; i < option_row_count; i++) {
		struct options first = options;
		char line[TEXT_SIZE + NAME_SIZE], again[TEXT_SIZE];

		CHECK_EQ(options_show(&first, option_rows[i].key, text, sizeof(text)), 0);
		snprintf(line, sizeof(line), "%s = %s\n", option_rows[i].key, text);
		CHECK_EQ(parse(line), 0);
		CHECK_EQ(options_show(&options, option_rows[i].key, again, sizeof(again)), 0);
		CHECK_STR(again, text);
		options = first;
	}
}

/* A row as it stands in the manual. */
static void describe(const struct option_row *row, char *out, size_t size)
{
	char value[TEXT_SIZE], low[32], high[32];
	size_t n = (size_t)snprintf(out, size, ".It Ic %s\n%s.\n", row->key, row->help);
	struct options limit;

	options_show(&options, row->key, value, sizeof(value));
	if (row->type == OPTION_CHOICE_TYPE)
		n += (size_t)snprintf(out + n, size - n, "One of\n.Ql %s .\n", row->choices);
	if (row->type >= OPTION_NUMBER_TYPE) {
		options_default(&limit);
		*(uint32_t *)((char *)&limit + row->offset) = row->min;
		options_show(&limit, row->key, low, sizeof(low));
		*(uint32_t *)((char *)&limit + row->offset) = row->max;
		options_show(&limit, row->key, high, sizeof(high));
		n += (size_t)snprintf(out + n, size - n, "From %s to %s%s%s.\n", low, high,
				      row->type == OPTION_NUMBER_TYPE ? " " : "",
				      row->type == OPTION_NUMBER_TYPE ? row->unit : "");
	}
	snprintf(out + n, size - n, "Default:\n.Ql %s .\n", value[0] ? value : "(empty)");
}

/* Each row is in clusterd.conf(5) as the table has it; the page has no other keys. */
static void test_manual(void)
{
	const char *top = getenv("top_srcdir");
	static char page[256 * 1024];
	char path[512], wanted[1024];
	unsigned int tags = 0;
	size_t n;
	FILE *f;

	snprintf(path, sizeof(path), "%s/clusterd/clusterd.conf.5", top ? top : ".");
	f = fopen(path, "r");
	REQUIRE(f);
	n = fread(page, 1, sizeof(page) - 1, f);
	fclose(f);
	page[n] = '\0';
	parse("");
	for (size_t i = 0; i < option_row_count; i++) {
		describe(&option_rows[i], wanted, sizeof(wanted));
		if (!CHECK(strstr(page, wanted)))
			fprintf(stderr, "\tclusterd.conf.5 lacks:\n%s\t(test_options --manual prints all)\n", wanted);
	}
	for (const char *p = page; (p = strstr(p, ".It Ic ")); p++)
		tags++;
	CHECK_EQ(tags, option_row_count);
}

int main(int argc, char **argv)
{
	if (argc > 1 && !strcmp(argv[1], "--manual")) {
		char text[1024];

		parse("");
		for (size_t i = 0; i < option_row_count; i++) {
			describe(&option_rows[i], text, sizeof(text));
			fputs(text, stdout);
		}
		return 0;
	}
	test_defaults();
	test_values();
	test_wrong();
	test_hostile();
	test_load();
	test_show();
	test_manual();
	return check_result();
}
