/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * sim_volume: runs seeds of a volume's leases, recalls and new owners, says what they found. Exit code: 0 clean, 127 the same
 * seed ran differently, 128 an invariant of safety, 129 something was not answered, 2 wrong usage.
 */
#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tests/sim/volume_world.h"

#define TAIL_LINES 60
#define TWICE_EVERY 50	/* each so many seeds one runs twice */
#define SEED_LIMIT_S 60 /* of real time */
#define CALM_MS 6000	/* work without faults */
#define QUIET_MS 6000	/* nothing new */
#define PATIENCE_MS 5000 /* in the calm, for any request */

enum { VERDICT_CLEAN = 0, VERDICT_DETERMINISM = 127, VERDICT_SAFETY = 128, VERDICT_LIVENESS = 129 };

static const struct {
	const char *name, *found_by, *bug;
} canaries[] = { [VOLUME_CANARY_NONE] = { "", "", "" },
#define VOLUME_CANARY_ROW(symbol, name, found_by, bug) [VOLUME_##symbol] = { name, found_by, bug },
		 VOLUME_CANARY_ROWS
#undef VOLUME_CANARY_ROW
};
#ifdef VOLUME_CANARY_BUILD
enum volume_canary volume_canary_chosen;
#endif

struct arguments {
	uint64_t first, last;
	bool verbose, coverage, keep_going;
	const char *program, *canary;
};

static struct world world;
static struct world_event events[EVENTS_MAX];
static struct write_note writes[WRITES_MAX];
static char tail[TAIL_LINES][256];
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

/* --- one seed --- */

static void world_begin(struct world *w, uint64_t seed)
{
	struct world_event e = { .kind = EV_OWNER }, fault = { .kind = EV_FAULT };
	void (*trace)(void *user, const char *line) = w->trace;
	void *trace_user = w->trace_user;

	free(w->owner.memory);
	free(w->owner.log_memory);
	memset(w, 0, sizeof(*w));
	w->trace = trace;
	w->trace_user = trace_user;
	w->events = events;
	w->writes = writes;
	writes[0] = (struct write_note){ 0 };
	w->rng.state = seed;
	w->hash = UINT64_C(0xcbf29ce484222325);
	w->version = 1;
	for (uint32_t t = 0; t < THINGS; t++)
		w->mounted.version[t] = w->disk.version[t] = 1;
	/* The seed draws the faults too: some runs have few, some only of one kind. */
	w->nodes = (uint32_t)rng_range(&w->rng, 2, NODES_MAX);
	w->fault_ms = (uint32_t)rng_range(&w->rng, 40, 1500);
	w->delay_us = (uint32_t)rng_range(&w->rng, 200, 8000);
	w->work_us = (uint32_t)rng_range(&w->rng, 1000, 10000);
	w->own_percent = (uint32_t)rng_range(&w->rng, 30, 98);
	w->slow_permille = rng_percent(&w->rng, 70) ? (uint32_t)rng_range(&w->rng, 1, 20) : 0;
	for (uint32_t k = 0; k < 5; k++)
		w->kinds[k] = rng_percent(&w->rng, 70) ? (uint32_t)rng_range(&w->rng, 1, k < 2 ? 20 : 8) : 0;
	w->kinds[0]++;
	w->owner.coming = true;
	world_push(w, 1, &e);
	world_push(w, 300 * US_PER_MS, &fault);
	for (uint32_t i = 0; i < w->nodes; i++)
		session_new(w, i);
}

static void trace_message(struct world *w, const struct sim_message *m, bool to_owner)
{
	static const char *const types[] = { "hello", "welcome", "ready", "lease", "give back",
					     "look",  "change",	 "truncate", "write", "recall", "recalled" };

	world_say(w, "%s %u: %s%s %" PRIx64 " thing %u at %" PRIu64 "+%" PRIu64 " grant %" PRIx64 " n %u%s%s%s",
		  to_owner ? "owner from" : "session", m->session,
		  types[m->type], m->answer ? " done" : "", m->number, m->thing, m->offset, m->length, m->grant, m->n,
		  m->sole ? " sole" : "", m->cache ? " cache" : "", m->reclaim ? " reclaim" : "");
}

static void dispatch(struct world *w, const struct world_event *e)
{
	struct world_event again = { .kind = EV_FAULT };

	if (e->kind == EV_MESSAGE)
		trace_message(w, &e->m, e->index);
	switch (e->kind) {
	case EV_MESSAGE:
		if (e->index)
			owner_event(w, e);
		else
			session_event(w, e);
		break;
	case EV_FAULT:
		if (w->calm)
			break;
		world_fault(w);
		world_push(w, rng_spread(&w->rng, (uint64_t)w->fault_ms * US_PER_MS), &again);
		break;
	case EV_RESTART:
		session_new(w, w->sessions[e->who].node);
		break;
	case EV_OP:
	case EV_POLL:
	case EV_FENCE:
	case EV_TOLD:
	case EV_OWNER:
		owner_event(w, e);
		break;
	default:
		session_event(w, e);
	}
	check_world(w);
}

static void run_until(struct world *w, uint64_t until)
{
	while (w->n_events && w->events[0].at <= until && !w->broken) {
		struct world_event e = w->events[0], last = w->events[--w->n_events];
		uint32_t i = 0;

		for (;;) {
			uint32_t child = 2 * i + 1;
			struct world_event *c = &w->events[child];

			if (child >= w->n_events)
				break;
			if (child + 1 < w->n_events && (c[1].at != c->at ? c[1].at < c->at : c[1].order < c->order))
				c = &w->events[++child];
			if (last.at != c->at ? last.at < c->at : last.order < c->order)
				break;
			w->events[i] = *c;
			i = child;
		}
		w->events[i] = last;
		w->now = e.at;
		w->order++;
		dispatch(w, &e);
	}
	w->now = until;
}

static int world_run(struct world *w, uint64_t seed)
{
	uint64_t calm;

	world_begin(w, seed);
	calm = rng_range(&w->rng, 3000, 10000) * US_PER_MS;
	run_until(w, calm);
	w->calm = true;
	world_say(w, "calm");
	for (uint32_t i = 0; i < w->n_sessions; i++) {
		w->sessions[i].frozen = false;
		w->sessions[i].cut_until = 0;
	}
	for (uint32_t ms = 100; ms <= CALM_MS && !w->broken; ms += 100) {
		run_until(w, calm + ms * US_PER_MS);
		check_answered(w, ms >= PATIENCE_MS ? calm : 0, ms >= PATIENCE_MS ? PATIENCE_MS * US_PER_MS : NEVER);
	}
	w->quiet = true;
	run_until(w, calm + (CALM_MS + QUIET_MS) * US_PER_MS);
	if (!w->broken)
		check_idle(w);
	if (!w->broken)
		return VERDICT_CLEAN;
	return strcmp(w->broken, "starved") ? VERDICT_SAFETY : VERDICT_LIVENESS;
}

/* --- all of them --- */

static void print_failure(const struct arguments *args, uint64_t seed)
{
	printf("seed %" PRIu64 ": %s violated: %s\n", seed, world.broken, world.text);
	for (uint32_t i = 0; i < tail_n; i++)
		printf("  %s\n", tail[(tail_at + TAIL_LINES - tail_n + i) % TAIL_LINES]);
	printf("repeat with: %s --seed %" PRIu64 " --verbose%s%s\n", args->program, seed, args->canary ? " --canary " : "",
	       args->canary ? args->canary : "");
}

static int run_seed(const struct arguments *args, uint64_t seed, uint64_t *counts)
{
	int verdict;
	uint64_t hash;

	alarm(SEED_LIMIT_S);
	tail_n = tail_at = 0;
	world.trace = trace_tail;
	verdict = world_run(&world, seed);
	hash = world.hash;
	for (uint32_t i = 0; i < COUNTS; i++)
		counts[i] += world.counts[i];
	if (!verdict && seed % TWICE_EVERY == 0) {
		verdict = world_run(&world, seed);
		if (!verdict && world.hash != hash) {
			printf("seed %" PRIu64 ": trace hash %016" PRIx64 ", then %016" PRIx64 "\n", seed, hash, world.hash);
			return VERDICT_DETERMINISM;
		}
	}
	if (verdict)
		print_failure(args, seed);
	return verdict;
}

static void too_long(int signal)
{
	static const char text[] = "sim_volume: a seed takes longer than its limit\n";

	(void)signal;
	if (write(STDERR_FILENO, text, sizeof(text) - 1) < 0)
		_exit(VERDICT_LIVENESS);
	_exit(VERDICT_LIVENESS);
}

static int run_all(const struct arguments *args)
{
	uint64_t counts[COUNTS] = { 0 }, n = 0;
	int verdict = 0;

	for (uint64_t seed = args->first; seed <= args->last && (!verdict || args->keep_going); seed++, n++) {
		int found = run_seed(args, seed, counts);

		verdict = verdict ? verdict : found;
	}
	printf("%" PRIu64 " seeds%s\n", n, verdict ? "" : ", clean");
	for (uint32_t i = 0; i < COUNTS && args->coverage; i++) {
		printf("  %-10s %" PRIu64 "\n", count_names[i], counts[i]);
		/* Everything that can happen does. */
		if (counts[i] < n / 2 && !verdict)
			verdict = VERDICT_LIVENESS;
	}
	return verdict;
}

static int run_verbose(const struct arguments *args)
{
	int verdict;

	world.trace = trace_print;
	world.trace_user = stdout;
	verdict = world_run(&world, args->first);
	printf("trace hash %016" PRIx64 "\n", world.hash);
	if (verdict)
		printf("%s violated: %s\n", world.broken, world.text);
	return verdict;
}

/* --- arguments --- */

static void usage(FILE *out)
{
	fprintf(out, "Usage: sim_volume --seed S | --seeds A..B [--verbose] [--keep-going] [--coverage]\n"
		     "                  [--canary NAME | --canaries]\n"
		     "  --seed S      one seed; with --verbose its whole trace\n"
		     "  --seeds A..B  all of these\n"
		     "  --keep-going  not only to the first failing seed\n"
		     "  --coverage    fail when something that should happen does not\n"
		     "  --canary NAME with this planted bug, in the program sim_volume_canary; --canaries: which there are\n"
		     "Exit code: 0 clean, 127 a seed ran differently the second time, 128 safety, 129 not answered.\n");
}

static uint64_t number(const char *text, char **end)
{
	uint64_t value;

	errno = 0;
	value = strtoull(text, end, 10);
	if (errno || *end == text) {
		fprintf(stderr, "sim_volume: '%s': a number is wanted\n", text);
		exit(2);
	}
	return value;
}

static void parse_seeds(const char *text, bool range, struct arguments *args)
{
	char *end;

	args->first = args->last = number(text, &end);
	if (range && !strncmp(end, "..", 2))
		args->last = number(end + 2, &end);
	else if (range)
		end = (char *)"?";
	if (*end || !args->first || args->last < args->first) {
		fprintf(stderr, "sim_volume: seeds '%s': write %s\n", text, range ? "1..1000" : "a number from 1 on");
		exit(2);
	}
}

static void choose(const char *name)
{
#ifdef VOLUME_CANARY_BUILD
	for (uint32_t i = 1; i < ARRAY_SIZE(canaries); i++)
		if (!strcmp(canaries[i].name, name)) {
			volume_canary_chosen = (enum volume_canary)i;
			return;
		}
#endif
	fprintf(stderr, "sim_volume: there is no canary '%s' in this program; sim_volume_canary --canaries lists them\n", name);
	exit(2);
}

static void list_canaries(void)
{
	for (uint32_t i = 1; i < ARRAY_SIZE(canaries); i++)
		printf("%s\t%s\t%s\n", canaries[i].name, canaries[i].found_by, canaries[i].bug);
	exit(0);
}

static void parse(int argc, char **argv, struct arguments *args)
{
	static const struct option options[] = {
		{ "seed", 1, NULL, 's' },	 { "seeds", 1, NULL, 'r' },  { "verbose", 0, NULL, 'v' },
		{ "keep-going", 0, NULL, 'k' },
		{ "coverage", 0, NULL, 'c' }, { "canary", 1, NULL, 'b' }, { "canaries", 0, NULL, 'l' }, { "help", 0, NULL, 'h' },
		{ NULL, 0, NULL, 0 },
	};
	int c;

	while ((c = getopt_long(argc, argv, "", options, NULL)) != -1) {
		if (c == 's' || c == 'r') {
			parse_seeds(optarg, c == 'r', args);
		} else if (c == 'b') {
			args->canary = optarg;
			choose(optarg);
		} else if (c == 'l') {
			list_canaries();
		} else if (c == 'h') {
			usage(stdout);
			exit(0);
		} else if (c == '?') {
			usage(stderr);
			exit(2);
		}
		args->verbose |= c == 'v';
		args->keep_going |= c == 'k';
		args->coverage |= c == 'c';
	}
	if (optind != argc || !args->first) {
		usage(stderr);
		exit(2);
	}
}

int main(int argc, char **argv)
{
	struct arguments args = { .program = argv[0] };

	parse(argc, argv, &args);
	signal(SIGALRM, too_long);
	return args.verbose && args.first == args.last ? run_verbose(&args) : run_all(&args);
}
