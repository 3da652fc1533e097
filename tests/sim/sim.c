/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * sim: runs seeds, says what they found. Exit code: 0 clean, 127 the same seed ran differently, 128 an invariant of
 * safety, 129 no convergence or a hang, 2 wrong usage.
 */
#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "tests/sim/choose.h"
#include "tests/sim/swarm.h"

#define JOBS_MAX 64
#define FAILURES_MAX 16
#define TWICE_EVERY 50	 /* each so many seeds one runs twice */
#define SEED_LIMIT_S 120 /* of real time */
#define TAIL_LINES 60

static const char *const counter_names[] = {
#define COUNTER(name, kind, least) #name,
#include "tests/sim/counters.def"
#undef COUNTER
};
static const uint64_t counter_least[] = {
#define COUNTER(name, kind, least) least,
#include "tests/sim/counters.def"
#undef COUNTER
};

struct failure {
	uint64_t seed;
	int verdict;
	char invariant[16], text[1024];
};

/* One worker's account, in memory that outlives it. */
struct account {
	uint64_t seed; /* being run */
	uint64_t seeds, simulated_us, twice;
	uint64_t counts[COUNT_MAX];
	uint32_t n_failures;
	struct failure failures[FAILURES_MAX];
	bool ended;
};

struct arguments {
	uint64_t first, last;
	uint32_t minutes, nodes, jobs, keep_going;
	bool json, verbose, all, coverage;
	const char *program, *canary;
};

/* ---- the last lines of a trace ---- */

static char tail[TAIL_LINES][1024];
static uint32_t tail_at, tail_n;

static void trace_tail(void *user, const char *line)
{
	(void)user;
	snprintf(tail[tail_at], sizeof(tail[0]), "%s", line);
	tail_at = (tail_at + 1) % TAIL_LINES;
	tail_n += tail_n < TAIL_LINES;
}

static void trace_print(void *user, const char *line)
{
	fprintf(user, "%s\n", line);
}

static void note_failure(struct account *a, uint64_t seed, const struct swarm_result *r)
{
	struct failure *f;

	if (a->n_failures == FAILURES_MAX)
		return;
	f = &a->failures[a->n_failures++];
	f->seed = seed;
	f->verdict = r->verdict;
	snprintf(f->invariant, sizeof(f->invariant), "%s", r->invariant);
	snprintf(f->text, sizeof(f->text), "%s", r->failure);
}

static void run_seed(struct account *a, uint64_t seed, const struct arguments *args)
{
	struct swarm_limits limits = { .nodes = args->nodes };
	struct swarm_result r;

	a->seed = seed;
	alarm(SEED_LIMIT_S);
	swarm_run(seed, &limits, &r);
	if (!r.verdict && seed % TWICE_EVERY == 0) {
		struct swarm_result again;

		swarm_run(seed, &limits, &again);
		a->twice++;
		if (again.hash != r.hash) {
			r.verdict = VERDICT_DETERMINISM;
			r.invariant = "determinism";
			snprintf(r.failure, sizeof(r.failure), "trace hash %016" PRIx64 ", then %016" PRIx64, r.hash,
				 again.hash);
		}
	}
	alarm(0);
	a->seeds++;
	a->simulated_us += r.simulated_us;
	for (uint32_t i = 0; i < COUNT_MAX; i++)
		a->counts[i] += r.counts[i];
	if (r.verdict)
		note_failure(a, seed, &r);
}

static void worker(struct account *a, const struct arguments *args, uint32_t index, time_t until)
{
	for (uint64_t seed = args->first + index; seed <= args->last; seed += args->jobs) {
		if ((args->minutes && time(NULL) >= until) || a->n_failures > args->keep_going)
			break;
		run_seed(a, seed, args);
	}
	a->ended = true;
}

/* A worker that died took its seed with it: an assertion of the core, or a hang. */
static void note_death(struct account *a, int status)
{
	struct swarm_result r = { .verdict = VERDICT_SAFETY, .invariant = "crash" };

	if (a->ended)
		return;
	if (WIFSIGNALED(status) && WTERMSIG(status) == SIGALRM) {
		r.verdict = VERDICT_LIVENESS;
		r.invariant = "hang";
		snprintf(r.failure, sizeof(r.failure), "not done after %d s of real time", SEED_LIMIT_S);
	} else {
		snprintf(r.failure, sizeof(r.failure), "the core ended the process: %s",
			 WIFSIGNALED(status) ? strsignal(WTERMSIG(status)) : "exit");
	}
	note_failure(a, a->seed, &r);
}

static int run_all(struct account *accounts, const struct arguments *args)
{
	time_t until = time(NULL) + (time_t)args->minutes * 60;
	pid_t pids[JOBS_MAX];

	for (uint32_t i = 0; i < args->jobs; i++) {
		pids[i] = fork();
		if (pids[i] < 0) {
			perror("sim: fork");
			return -1;
		}
		if (pids[i] == 0) {
			worker(&accounts[i], args, i, until);
			_exit(0);
		}
	}
	for (uint32_t i = 0; i < args->jobs; i++) {
		int status = 0;

		while (waitpid(pids[i], &status, 0) < 0 && errno == EINTR)
			;
		note_death(&accounts[i], status);
	}
	return 0;
}

/* ---- reports ---- */

static const char *command_of(const struct arguments *args, uint64_t seed, char *out, size_t size)
{
	int n = snprintf(out, size, "%s --seed %" PRIu64 " --verbose", args->program, seed);

	if (args->nodes)
		n += snprintf(out + n, size - (size_t)n, " --nodes %u", args->nodes);
	if (args->canary)
		snprintf(out + n, size - (size_t)n, " --canary %s", args->canary);
	return out;
}

static void print_failure(const struct failure *f, const struct arguments *args)
{
	struct swarm_limits limits = { .nodes = args->nodes, .trace = trace_tail, .trace_all = true };
	char command[512];
	pid_t child;

	printf("\nseed %" PRIu64 ": %s violated: %s\n", f->seed, f->invariant, f->text);
	swarm_describe(f->seed, args->nodes, stdout);
	fflush(stdout);
	/* Once more, with its trace, in a process that may die of it. */
	child = strcmp(f->invariant, "crash") && strcmp(f->invariant, "hang") ? fork() : -1;
	if (child == 0) {
		struct swarm_result r;

		alarm(SEED_LIMIT_S);
		tail_n = tail_at = 0;
		swarm_run(f->seed, &limits, &r);
		for (uint32_t i = 0; i < tail_n; i++)
			printf("  %s\n", tail[(tail_at + TAIL_LINES - tail_n + i) % TAIL_LINES]);
		fflush(stdout);
		_exit(0);
	}
	if (child > 0)
		while (waitpid(child, NULL, 0) < 0 && errno == EINTR)
			;
	printf("repeat with: %s\n", command_of(args, f->seed, command, sizeof(command)));
}

static void json_text(const char *text)
{
	putchar('"');
	for (; *text; text++) {
		if (*text == '"' || *text == '\\')
			putchar('\\');
		putchar((unsigned char)*text < 0x20 ? ' ' : *text);
	}
	putchar('"');
}

static void print_json(const struct account *sum, const struct arguments *args, double seconds)
{
	printf("{\"seeds\": %" PRIu64 ", \"first\": %" PRIu64 ", \"last\": %" PRIu64
	       ", \"simulated_hours\": %.2f, \"seconds\": %.1f, ",
	       sum->seeds, args->first, args->last, (double)sum->simulated_us / 3.6e9, seconds);
	printf("\"run_twice\": %" PRIu64 ", \"counters\": {", sum->twice);
	for (uint32_t i = 0; i < COUNT_MAX; i++)
		printf("%s\"%s\": %" PRIu64, i ? ", " : "", counter_names[i], sum->counts[i]);
	printf("}, \"failures\": [");
	for (uint32_t i = 0; i < sum->n_failures; i++) {
		printf("%s{\"seed\": %" PRIu64 ", \"verdict\": %d, \"invariant\": ", i ? ", " : "",
		       sum->failures[i].seed, sum->failures[i].verdict);
		json_text(sum->failures[i].invariant);
		printf(", \"text\": ");
		json_text(sum->failures[i].text);
		printf("}");
	}
	printf("]}\n");
}

static void print_text(const struct account *sum, const struct arguments *args, double seconds)
{
	for (uint32_t i = 0; i < sum->n_failures; i++)
		print_failure(&sum->failures[i], args);
	printf("%s%" PRIu64 " seeds, %.1f simulated hours in %.0f s (%.1f ms a seed), %" PRIu64
	       " run twice, %u failed\n",
	       sum->n_failures ? "\n" : "", sum->seeds, (double)sum->simulated_us / 3.6e9, seconds,
	       sum->seeds ? seconds * 1000 * args->jobs / (double)sum->seeds : 0.0, sum->twice, sum->n_failures);
	if (args->verbose || args->coverage)
		for (uint32_t i = 0; i < COUNT_MAX; i++)
			printf("  %-22s %" PRIu64 "\n", counter_names[i], sum->counts[i]);
}

/* Is everything that the simulator can do really happening? Counters grow with the seeds. */
static int check_coverage(const struct account *sum)
{
	int bad = 0;

	for (uint32_t i = 0; i < COUNT_MAX; i++) {
		uint64_t least = counter_least[i] * sum->seeds / 200;

		if (sum->counts[i] >= least)
			continue;
		printf("coverage: %s happened %" PRIu64 " times in %" PRIu64 " seeds, expected at least %" PRIu64 "\n",
		       counter_names[i], sum->counts[i], sum->seeds, least);
		bad = 1;
	}
	return bad;
}

static int compare_failures(const void *a, const void *b)
{
	const struct failure *left = a, *right = b;

	return left->seed < right->seed ? -1 : left->seed > right->seed;
}

static void sum_up(struct account *sum, const struct account *accounts, uint32_t n)
{
	for (uint32_t i = 0; i < n; i++) {
		sum->seeds += accounts[i].seeds;
		sum->simulated_us += accounts[i].simulated_us;
		sum->twice += accounts[i].twice;
		for (uint32_t c = 0; c < COUNT_MAX; c++)
			sum->counts[c] += accounts[i].counts[c];
		for (uint32_t f = 0; f < accounts[i].n_failures && sum->n_failures < FAILURES_MAX; f++)
			sum->failures[sum->n_failures++] = accounts[i].failures[f];
	}
	qsort(sum->failures, sum->n_failures, sizeof(sum->failures[0]), compare_failures);
}

/* ---- one seed, in full ---- */

static int run_verbose(const struct arguments *args)
{
	struct swarm_limits limits = {
		.nodes = args->nodes, .trace = trace_print, .trace_user = stdout, .trace_all = args->all
	};
	struct swarm_result r;

	swarm_describe(args->first, args->nodes, stdout);
	swarm_run(args->first, &limits, &r);
	printf("%.1f simulated s, trace hash %016" PRIx64 "\n", (double)r.simulated_us / 1e6, r.hash);
	if (r.verdict)
		printf("%s violated: %s\n", r.invariant, r.failure);
	return r.verdict;
}

static void usage(FILE *out)
{
	fprintf(out,
		"Usage: sim --seed S | --seeds A..B [--minutes M] [--nodes N] [--jobs J] [--json] [--verbose [--all]]\n"
		"  --seed S      one seed; with --verbose its trace, with --all also each message\n"
		"  --seeds A..B  all of these\n"
		"  --minutes M   stop after so long, whatever is left\n"
		"  --nodes N     this many nodes instead of what the seed draws\n"
		"  --jobs J      processes at once\n"
		"  --keep-going  up to 16 failing seeds instead of the first\n"
		"  --coverage    fail when something that should happen does not\n"
		"  --json        the account as JSON\n"
		"  --canary NAME with this planted bug, in the program sim_canary; --canaries: which there are\n"
		"Exit code: 0 clean, 127 a seed ran differently the second time, 128 safety, 129 liveness.\n");
}

enum {
	OPT_SEED = 256,
	OPT_SEEDS,
	OPT_MINUTES,
	OPT_NODES,
	OPT_JOBS,
	OPT_JSON,
	OPT_VERBOSE,
	OPT_ALL,
	OPT_KEEP,
	OPT_COVERAGE,
	OPT_CANARY,
	OPT_CANARIES,
	OPT_HELP
};

static uint64_t number(const char *text, const char *what, uint64_t least, uint64_t most)
{
	char *end;
	uint64_t value;

	errno = 0;
	value = strtoull(text, &end, 10);
	if (errno || end == text || *end || value < least || value > most) {
		fprintf(stderr, "sim: %s '%s': a number from %" PRIu64 " to %" PRIu64 " is wanted\n", what, text, least,
			most);
		exit(2);
	}
	return value;
}

static void parse_seeds(const char *text, struct arguments *args)
{
	char first[32];
	const char *dots = strstr(text, "..");

	if (!dots || (size_t)(dots - text) >= sizeof(first)) {
		fprintf(stderr, "sim: --seeds '%s': write it as 1..1000\n", text);
		exit(2);
	}
	snprintf(first, sizeof(first), "%.*s", (int)(dots - text), text);
	args->first = number(first, "--seeds", 0, UINT64_MAX);
	args->last = number(dots + 2, "--seeds", args->first, UINT64_MAX);
}

static void parse(int argc, char **argv, struct arguments *args)
{
	static const struct option options[] = {
		{ "seed", 1, NULL, OPT_SEED },	     { "seeds", 1, NULL, OPT_SEEDS },
		{ "minutes", 1, NULL, OPT_MINUTES }, { "nodes", 1, NULL, OPT_NODES },
		{ "jobs", 1, NULL, OPT_JOBS },	     { "json", 0, NULL, OPT_JSON },
		{ "verbose", 0, NULL, OPT_VERBOSE }, { "all", 0, NULL, OPT_ALL },
		{ "keep-going", 0, NULL, OPT_KEEP }, { "coverage", 0, NULL, OPT_COVERAGE },
		{ "canary", 1, NULL, OPT_CANARY },   { "canaries", 0, NULL, OPT_CANARIES },
		{ "help", 0, NULL, OPT_HELP },	     { NULL, 0, NULL, 0 },
	};
	int c;

	while ((c = getopt_long(argc, argv, "", options, NULL)) != -1) {
		switch (c) {
		case OPT_SEED:
			args->first = args->last = number(optarg, "--seed", 0, UINT64_MAX);
			break;
		case OPT_SEEDS:
			parse_seeds(optarg, args);
			break;
		case OPT_MINUTES:
			args->minutes = (uint32_t)number(optarg, "--minutes", 1, 100000);
			break;
		case OPT_NODES:
			args->nodes = (uint32_t)number(optarg, "--nodes", 1, NODE_MAX);
			break;
		case OPT_JOBS:
			args->jobs = (uint32_t)number(optarg, "--jobs", 1, JOBS_MAX);
			break;
		case OPT_JSON:
			args->json = true;
			break;
		case OPT_VERBOSE:
			args->verbose = true;
			break;
		case OPT_ALL:
			args->all = true;
			break;
		case OPT_KEEP:
			args->keep_going = FAILURES_MAX;
			break;
		case OPT_COVERAGE:
			args->coverage = true;
			break;
		case OPT_CANARY:
			args->canary = optarg;
			break;
		case OPT_CANARIES:
			canary_list(stdout);
			exit(0);
		case OPT_HELP:
			usage(stdout);
			exit(0);
		default:
			usage(stderr);
			exit(2);
		}
	}
	if (optind != argc || args->last == 0) {
		usage(stderr);
		exit(2);
	}
	if (args->canary && canary_choose(args->canary) < 0) {
		fprintf(stderr, "sim: there is no canary '%s' in this program; sim_canary --canaries lists them\n",
			args->canary);
		exit(2);
	}
}

int main(int argc, char **argv)
{
	struct arguments args = { .jobs = 1, .program = argv[0] };
	struct account *accounts, sum = { 0 };
	struct timespec begin, end;
	double seconds;
	int verdict;

	parse(argc, argv, &args);
	if (args.verbose && args.first == args.last)
		return run_verbose(&args);
	accounts = mmap(NULL, args.jobs * sizeof(*accounts), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (accounts == MAP_FAILED) {
		perror("sim: mmap");
		return 2;
	}
	clock_gettime(CLOCK_MONOTONIC, &begin);
	if (run_all(accounts, &args) < 0)
		return 2;
	clock_gettime(CLOCK_MONOTONIC, &end);
	seconds = (double)(end.tv_sec - begin.tv_sec) + (double)(end.tv_nsec - begin.tv_nsec) / 1e9;
	sum_up(&sum, accounts, args.jobs);
	if (args.json)
		print_json(&sum, &args, seconds);
	else
		print_text(&sum, &args, seconds);
	verdict = sum.n_failures ? sum.failures[0].verdict : 0;
	if (!verdict && args.coverage)
		verdict = check_coverage(&sum);
	return verdict;
}
