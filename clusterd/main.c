/* SPDX-License-Identifier: GPL-2.0-or-later */
/* clusterd: the daemon on each host of a failover cluster. Reads its options, runs the loop. */
#include <errno.h>
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include <qb/qbloop.h>

#include "clusterd/log.h"
#include "clusterd/options.h"
#include "clusterd/preflight.h"
#include "clusterd/shell.h"

static const char usage[] =
	"usage: clusterd [OPTION]...\n"
	"Failover cluster daemon; started by systemd after corosync.\n\n"
	"  -c, --config FILE      read FILE instead of " OPTIONS_FILE "\n"
	"  -t, --check-config     check the configuration file and exit\n"
	"  -f, --foreground       log to standard error too\n"
	"      --prevent-quorum   do not help to form a quorum by starting; only join one\n"
	"      --feature-level-max N  speak no higher feature level than N\n"
	"  -h, --help             show this text\n"
	"  -V, --version          show the version\n\n"
	"See clusterd(8), clusterd.conf(5), clusterctl(8).\n";

enum { OPT_PREVENT = 256, OPT_LEVEL };

#define EXIT_WRONG_USAGE 2

struct arguments {
	const char *config;
	bool check, foreground, prevent;
	uint32_t level;
};

/* -1: go on; else the exit code. */
static int parse_arguments(int argc, char **argv, struct arguments *a)
{
	static const struct option longs[] = {
		{ "config", required_argument, NULL, 'c' },
		{ "check-config", no_argument, NULL, 't' },
		{ "foreground", no_argument, NULL, 'f' },
		{ "prevent-quorum", no_argument, NULL, OPT_PREVENT },
		{ "feature-level-max", required_argument, NULL, OPT_LEVEL },
		{ "help", no_argument, NULL, 'h' },
		{ "version", no_argument, NULL, 'V' },
		{ NULL, 0, NULL, 0 },
	};
	char *end;
	int c;

	while ((c = getopt_long(argc, argv, "c:tfhV", longs, NULL)) != -1) {
		switch (c) {
		case 'c': a->config = optarg; break;
		case 't': a->check = true; break;
		case 'f': a->foreground = true; break;
		case OPT_PREVENT: a->prevent = true; break;
		case OPT_LEVEL:
			a->level = (uint32_t)strtoul(optarg, &end, 10);
			if (*end || !a->level || a->level > 65535) {
				fprintf(stderr, "clusterd: --feature-level-max %s: a number from 1 to 65535 is expected\n", optarg);
				return EXIT_WRONG_USAGE;
			}
			break;
		case 'h': fputs(usage, stdout); return 0;
		case 'V': printf("clusterd %s\n", VERSION); return 0;
		default: fputs("clusterd: try 'clusterd --help'\n", stderr); return EXIT_WRONG_USAGE;
		}
	}
	if (optind == argc)
		return -1;
	fprintf(stderr, "clusterd: %s: no arguments are expected; try 'clusterd --help'\n", argv[optind]);
	return EXIT_WRONG_USAGE;
}

static int load_options(const struct arguments *a, struct options *o)
{
	struct options_problems problems = { 0 };
	int ret = options_load(o, a->config, &problems);

	for (unsigned int i = 0; i < problems.count && i < OPTIONS_PROBLEM_MAX; i++)
		fprintf(stderr, "clusterd: %s\n", problems.text[i]);
	if (problems.count > OPTIONS_PROBLEM_MAX)
		fprintf(stderr, "clusterd: %s: %u more problems\n", a->config, problems.count - OPTIONS_PROBLEM_MAX);
	if (a->prevent)
		o->prevent_quorum = true;
	if (a->level)
		o->feature_level_max = a->level;
	return ret;
}

static int32_t on_term(int32_t sig, void *data)
{
	log_notice("signal", "signal=%s", log_quote(strsignal(sig)));
	shell_stop(data);
	return 0;
}

static int32_t on_hup(int32_t sig, void *data)
{
	(void)sig;
	(void)data;
	log_reopen();
	return 0;
}

static int32_t on_usr1(int32_t sig, void *data)
{
	char path[4096] = "";

	(void)sig;
	(void)data;
	log_recorder_dump(NULL, path, sizeof(path));
	log_notice("recorder_dumped", "path=%s", path);
	return 0;
}

static void log_missing(void *user, const char *text)
{
	(void)user;
	log_warning("missing", "what=%s", log_quote(text));
}

static void print_missing(void *user, const char *text)
{
	fprintf(stderr, "clusterd: %s: %s\n", (const char *)user, text);
}

static int check(const struct arguments *a, const struct options *o)
{
	unsigned int n = preflight(o, true, print_missing, (void *)a->config);

	if (n)
		printf("%s: good, but this machine lacks %u thing%s that it names\n", a->config, n, n == 1 ? "" : "s");
	else
		printf("%s: good\n", a->config);
	return 0;
}

static int run(const struct options *o)
{
	qb_loop_t *loop = qb_loop_create();
	struct shell *shell = NULL;
	char text[1024] = "";
	int ret = loop ? shell_new(&shell, loop, o, text, sizeof(text)) : -ENOMEM;

	if (ret) {
		fprintf(stderr, "clusterd: %s\n", text[0] ? text : strerror(-ret));
		log_error("cannot_start", "why=%s", log_quote(text[0] ? text : strerror(-ret)));
		return 1;
	}
	qb_loop_signal_add(loop, QB_LOOP_HIGH, SIGTERM, shell, on_term, NULL);
	qb_loop_signal_add(loop, QB_LOOP_HIGH, SIGINT, shell, on_term, NULL);
	qb_loop_signal_add(loop, QB_LOOP_LOW, SIGHUP, shell, on_hup, NULL);
	qb_loop_signal_add(loop, QB_LOOP_LOW, SIGUSR1, shell, on_usr1, NULL);
	qb_loop_run(loop);
	ret = shell_exit_code(shell);
	shell_free(shell);
	qb_loop_destroy(loop);
	return ret;
}

/* This process decides within milliseconds who lives: it should be neither starved nor chosen by the OOM killer. */
static void take_precedence(void)
{
	FILE *f = fopen("/proc/self/oom_score_adj", "we");

	if (f) {
		fputs("-900", f);
		fclose(f);
	}
	if (setpriority(PRIO_PROCESS, 0, -10))
		log_info("no_priority", "error=%s", log_quote(strerror(errno)));
	signal(SIGPIPE, SIG_IGN);
}

int main(int argc, char **argv)
{
	struct arguments a = { .config = OPTIONS_FILE };
	struct options o;
	struct log_config log;
	char text[512] = "";
	int ret = parse_arguments(argc, argv, &a);

	if (ret >= 0)
		return ret;
	if (load_options(&a, &o))
		return 1;
	if (a.check)
		return check(&a, &o);
	log = (struct log_config){ o.log_file, log_level_of(o.log_level), o.log_to_syslog, a.foreground || getenv("NOTIFY_SOCKET"),
				   o.state_dir };
	if (log_open("clusterd", &log, text, sizeof(text))) {
		fprintf(stderr, "clusterd: log: %s\n", text);
		return 1;
	}
	preflight(&o, false, log_missing, NULL);
	take_precedence();
	ret = run(&o);
	log_close();
	return ret;
}
