/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Golden traces: stories of a few nodes, told by commands ("> crash 1") and what follows from each, line by line. The
 * files are in tests/golden/trace. `test_trace --update [STORY]` writes them anew: read the difference before you keep
 * it.
 *
 *   nodes N [watchdog MS] [fence] [witness]   the world; all hosts boot        run MS        time passes
 *   role NAME RESOURCE...                     each needs the one before it     settle        … until all is well
 *   ask NODE VERB KIND NAME [ARG]             what clusterctl would ask        set NODE KIND NAME FIELD VALUE...
 *   crash NODE · kill NODE (clusterd) · corosync NODE · freeze NODE · stop NODE (SIGSTOP of clusterd) · go NODE (both)
 *   off NODE · on NODE · cut NODE... (they against the rest) · heal · power · dies NODE RESOURCE · force NODE
 *   start NODE · wipe NODE (clusterd killed, its database gone)
 */
#include <dirent.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "tests/lib/check.h"
#include "tests/sim/load.h"
#include "tests/sim/world.h"

#define STORY_MAX (256 * 1024)
#define WORDS_MAX 16
#define SETTLE_MS 120000

struct story {
	struct world *world;
	char *out;
	size_t len;
	bool begun;
};

static struct load_ops ops;

static void put_line(struct story *s, const char *line)
{
	size_t n = strlen(line);

	REQUIRE(s->len + n + 2 < STORY_MAX);
	memcpy(s->out + s->len, line, n);
	s->out[s->len + n] = '\n';
	s->len += n + 1;
	s->out[s->len] = '\0';
}

/* What a reader of the story does not miss. */
static void on_line(void *user, const char *line)
{
	static const char *const dull[] = { "votes: ", "incarnation", "phase sync", "phase loading" };

	for (size_t i = 0; i < ARRAY_SIZE(dull); i++)
		if (strstr(line, dull[i]))
			return;
	put_line(user, line);
}

static void on_driver(struct world *w, const struct event_record *e)
{
	if (e->kind == SIM_DRIVER)
		host_boot(w, w->nodes[e->a]);
}

static void begin(struct story *s, char **words, uint32_t n)
{
	struct world_options o = { .nodes = (uint32_t)atoi(words[1]),
				   .order_us = 300,
				   .latency_us = 200,
				   .latency_spread_us = 1,
				   .detect_min_ms = 1000,
				   .detect_max_ms = 1000,
				   .merge_max_ms = 200,
				   .disk_us = 2000,
				   .start_ms = 100,
				   .stop_ms = 50,
				   .monitor_ms = 20,
				   .boot_ms = 20000,
				   .respawn_ms = 500,
				   .fence_ms = 500,
				   .fence_percent = 100,
				   .witness_lease_ms = 6000,
				   .t_stop_ms = 30000,
				   .exact = true,
				   .cpu = 400,
				   .memory_mb = 8000 };

	for (uint32_t i = 2; i < n; i++) {
		if (!strcmp(words[i], "watchdog") && i + 1 < n)
			o.watchdog_ms = (uint32_t)atoi(words[++i]);
		else if (!strcmp(words[i], "fence"))
			o.fence_command = true;
		else if (!strcmp(words[i], "witness"))
			o.witness = true;
		else
			CHECK(!"an option of nodes");
	}
	world_init(s->world, &o, 1);
	s->begun = true;
	s->world->trace = on_line;
	s->world->trace_user = s;
	s->world->on_driver = on_driver;
	for (uint32_t id = 1; id <= o.nodes; id++)
		world_push(s->world, s->world->now_us + id * 1000, SIM_DRIVER, 0, 0, id, 0);
	world_push(s->world, s->world->now_us, SIM_CHECK, 0, 0, 0, 0);
}

static struct sim_node *node_of(struct story *s, const char *word)
{
	uint32_t id = (uint32_t)atoi(word);

	REQUIRE(s->begun && id >= 1 && id <= s->world->options.nodes);
	return s->world->nodes[id];
}

static struct sim_node *active_node(struct story *s)
{
	for (uint32_t id = 1; id <= s->world->options.nodes; id++)
		if (node_runs(s->world->nodes[id]) && s->world->nodes[id]->phase == PHASE_ACTIVE)
			return s->world->nodes[id];
	return NULL;
}

static void send_ops(struct story *s, struct sim_node *n)
{
	size_t len = load_length(&ops);

	if (!n || !node_request(s->world, n, ops.bytes, len, 0, NULL))
		put_line(s, "        nobody takes the request");
}

static void create_role(struct story *s, char **words, uint32_t n)
{
	load_begin(&ops);
	load_op(&ops, VERB_CREATE, KIND_ROLE, words[1], "", false);
	for (uint32_t i = 2; i < n; i++) {
		load_op(&ops, VERB_CREATE, KIND_RESOURCE, words[i], "", false);
		load_field(&ops, EDIT_SET, "role", "%s", words[1]);
		load_field(&ops, EDIT_SET, "agent", "ocf:sim:thing");
		load_field(&ops, EDIT_SET, "stop_timeout", "10s");
		load_field(&ops, EDIT_SET, "monitor_interval", "5s");
		if (i > 2)
			load_field(&ops, EDIT_SET, "depends", "%s", words[i - 1]);
	}
	send_ops(s, active_node(s));
}

static uint8_t verb_of(const char *name)
{
	for (uint8_t verb = 1; verb < 32; verb++)
		if (change_verb_name(verb) && !strcmp(change_verb_name(verb), name))
			return verb;
	CHECK(!"a verb of changes.def");
	return VERB_CLEANUP;
}

static void ask(struct story *s, char **words, uint32_t n)
{
	bool set = !strcmp(words[0], "set");
	const struct object_type *type = n >= 5 ? object_type_by_name(words[set ? 2 : 3]) : NULL;

	REQUIRE(type);
	load_begin(&ops);
	if (set) {
		load_op(&ops, VERB_SET, type->kind, words[3], "", false);
		for (uint32_t i = 4; i + 1 < n; i += 2)
			load_field(&ops, EDIT_SET, words[i], "%s", words[i + 1]);
	} else {
		load_op(&ops, (enum change_verb)verb_of(words[2]), type->kind, words[4], n > 5 ? words[5] : "", false);
	}
	send_ops(s, node_of(s, words[1]));
}

static void settle(struct story *s)
{
	uint64_t until = s->world->now_us + SETTLE_MS * US_PER_MS;
	char text[512];
	const char *missing = "";

	while (missing && s->world->now_us < until && !s->world->verdict) {
		world_run(s->world, s->world->now_us + 100 * US_PER_MS);
		missing = check_converged(s->world, text, sizeof(text));
	}
	if (missing)
		put_line(s, text);
}

static void cut(struct story *s, char **words, uint32_t n)
{
	for (uint32_t i = 1; i < n; i++)
		node_of(s, words[i])->component = 1;
	ring_changed(s->world);
}

static void heal(struct story *s)
{
	for (uint32_t id = 1; id <= s->world->options.nodes; id++)
		s->world->nodes[id]->component = 0;
	ring_changed(s->world);
}

static void dies(struct story *s, char **words)
{
	struct sim_node *n = node_of(s, words[1]);
	uint32_t id = state_find(core_state(n->core), KIND_RESOURCE, words[2]);

	REQUIRE(id && id < SIM_RESOURCES);
	CHECK(n->resources[id].runs);
	n->resources[id].runs = false;
}

static void harm(struct story *s, char **words)
{
	struct world *w = s->world;
	struct sim_node *n = node_of(s, words[1]);
	const char *verb = words[0];

	if (!strcmp(verb, "crash"))
		host_crash(w, n, "crash", true);
	else if (!strcmp(verb, "off"))
		host_crash(w, n, "switched off", false);
	else if (!strcmp(verb, "on"))
		host_boot(w, n);
	else if (!strcmp(verb, "freeze"))
		host_freeze(w, n);
	else if (!strcmp(verb, "stop"))
		process_freeze(w, n);
	else if (!strcmp(verb, "go"))
		node_thaw(w, n);
	else if (!strcmp(verb, "force"))
		CHECK(node_force(w, n, NULL));
	else if (!strcmp(verb, "start"))
		process_start(w, n);
	else if (!strcmp(verb, "corosync")) {
		ring_kill(w, n);
		world_push(w, w->now_us + 2000 * US_PER_MS, SIM_COROSYNC, n->id, n->host_generation, 0, 0);
	} else if (!strcmp(verb, "kill") || !strcmp(verb, "wipe")) {
		process_end(w, n, true);
		if (!strcmp(verb, "wipe"))
			disk_lose(&n->disk);
		world_push(w, w->now_us + w->options.respawn_ms * US_PER_MS, SIM_START, n->id, n->process_generation, 0,
			   0);
	} else {
		fprintf(stderr, "test_trace: there is no command '%s'\n", verb);
		exit(1);
	}
}

static void command(struct story *s, char *text)
{
	char *words[WORDS_MAX], *save;
	uint32_t n = 0;

	for (char *word = strtok_r(text, " ", &save); word && n < WORDS_MAX; word = strtok_r(NULL, " ", &save))
		words[n++] = word;
	REQUIRE(n && (s->begun || !strcmp(words[0], "nodes")));
	if (!strcmp(words[0], "nodes") && n > 1)
		begin(s, words, n);
	else if (!strcmp(words[0], "run") && n == 2)
		world_run(s->world, s->world->now_us + (uint64_t)atoi(words[1]) * US_PER_MS);
	else if (!strcmp(words[0], "settle"))
		settle(s);
	else if (!strcmp(words[0], "role") && n > 1)
		create_role(s, words, n);
	else if (!strcmp(words[0], "ask") || !strcmp(words[0], "set"))
		ask(s, words, n);
	else if (!strcmp(words[0], "cut"))
		cut(s, words, n);
	else if (!strcmp(words[0], "heal"))
		heal(s);
	else if (!strcmp(words[0], "power"))
		for (uint32_t id = 1; id <= s->world->options.nodes; id++)
			host_crash(s->world, s->world->nodes[id], "power loss", true);
	else if (!strcmp(words[0], "dies") && n == 3)
		dies(s, words);
	else if (n == 2)
		harm(s, words);
	else
		CHECK(!"a command of a story");
}

static char *read_file(const char *path)
{
	char *text = calloc(1, STORY_MAX);
	FILE *f = fopen(path, "r");

	REQUIRE(text && f);
	REQUIRE(fread(text, 1, STORY_MAX - 1, f) < STORY_MAX - 1);
	fclose(f);
	return text;
}

/* First lines that differ. */
static void show_difference(const char *want, const char *got)
{
	uint32_t line = 1;

	while (*want && *got) {
		size_t a = strcspn(want, "\n"), b = strcspn(got, "\n");

		if (a != b || strncmp(want, got, a))
			break;
		want += a + (want[a] != '\0');
		got += b + (got[b] != '\0');
		line++;
	}
	fprintf(stderr, "line %u:\n- %.*s\n+ %.*s\n", line, (int)strcspn(want, "\n"), want, (int)strcspn(got, "\n"),
		got);
}

static void tell(const char *folder, const char *name, bool update)
{
	static struct world world;
	char path[4096], *script, *copy, *save, *line;
	struct story s = { .world = &world, .out = calloc(1, STORY_MAX) };

	snprintf(path, sizeof(path), "%s/%s.txt", folder, name);
	script = read_file(path);
	copy = strdup(script);
	REQUIRE(s.out && copy);
	/* The story is its own script: commands and comments stay, the rest is told anew. */
	for (line = strtok_r(copy, "\n", &save); line; line = strtok_r(NULL, "\n", &save)) {
		if (line[0] != '>' && line[0] != '#')
			continue;
		put_line(&s, line);
		if (line[0] == '>')
			command(&s, line + 1);
	}
	if (!CHECK_EQ(world.verdict, VERDICT_OK))
		fprintf(stderr, "%s: %s: %s\n", name, world.invariant, world.failure);
	if (update) {
		FILE *f = fopen(path, "w");

		REQUIRE(f && fputs(s.out, f) >= 0);
		fclose(f);
	} else if (!CHECK(!strcmp(script, s.out))) {
		fprintf(stderr, "tests/golden/trace/%s.txt is told otherwise (- file, + now), ", name);
		show_difference(script, s.out);
		fprintf(stderr, "if that is meant: test_trace --update %s\n", name);
	}
	world_done(&world);
	free(s.out);
	free(script);
	free(copy);
}

static int compare_names(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

int main(int argc, char **argv)
{
	const char *top = getenv("top_srcdir");
	bool update = argc > 1 && !strcmp(argv[1], "--update");
	char folder[2048], *names[256];
	size_t n = 0;

	snprintf(folder, sizeof(folder), "%s/tests/golden/trace", top ? top : ".");
	for (int i = update ? 2 : 1; i < argc && n < ARRAY_SIZE(names); i++)
		names[n++] = strdup(argv[i]);
	if (!n) {
		DIR *dir = opendir(folder);

		REQUIRE(dir);
		for (struct dirent *e; (e = readdir(dir)) && n < ARRAY_SIZE(names);)
			if (strstr(e->d_name, ".txt"))
				names[n++] = strndup(e->d_name, strlen(e->d_name) - 4);
		closedir(dir);
		qsort(names, n, sizeof(names[0]), compare_names);
	}
	CHECK(n > 0);
	for (size_t i = 0; i < n; i++) {
		tell(folder, names[i], update);
		free(names[i]);
	}
	world_release();
	printf("%zu stories\n", n);
	return check_result();
}
