/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Placement cases in readable text: tests/golden/place/NAME.case, one story a file; README there tells the language.
 *
 *   test_place                   all cases
 *   test_place NAME ...          these
 *   test_place --update [NAME]   writes what it finds as the expectation; look at the difference before you commit it
 */
#include <ctype.h>
#include <dirent.h>
#include <stdarg.h>

#include "cleanup.h"
#include "clusterd/core/change.h"
#include "clusterd/core/explain.h"
#include "clusterd/core/foresee.h"
#include "clusterd/core/reason.h"
#include "clusterd/core/node.h"
#include "proto/object_text.h"
#include "tests/lib/check.h"

#define LINE_MAX_SIZE 4096
#define CASES_MAX 1024

struct text {
	char *data;
	size_t len;
};

__attribute__((format(printf, 2, 3))) static void append(struct text *t, const char *format, ...)
{
	char line[2 * LINE_MAX_SIZE];
	va_list args;
	int n;

	va_start(args, format);
	n = vsnprintf(line, sizeof(line), format, args);
	va_end(args);
	REQUIRE(n >= 0 && (size_t)n < sizeof(line));
	t->data = realloc(t->data, t->len + (size_t)n + 1);
	REQUIRE(t->data);
	memcpy(t->data + t->len, line, (size_t)n + 1);
	t->len += (size_t)n;
}

struct test_case {
	const char *name;
	unsigned int line;
	bool brief;         /* one line for many roles: only where they go */
	struct state *s, *before, *copy;
	struct text out;    /* the case as it should read */
	struct change_op *op;
};

/* A case that cannot be read is the author's mistake: say where and stop. */
__attribute__((format(printf, 2, 3), noreturn)) static void wrong(const struct test_case *c, const char *format, ...)
{
	va_list args;

	fprintf(stderr, "%s.case:%u: ", c->name, c->line);
	va_start(args, format);
	vfprintf(stderr, format, args);
	va_end(args);
	fputc('\n', stderr);
	exit(1);
}

static const char *name_of(const struct test_case *c, uint32_t kind, uint32_t id)
{
	const char *name = state_name(c->s, kind, id);

	return name ? name : "none";
}

static uint32_t need(const struct test_case *c, uint32_t kind, const char *name)
{
	uint32_t id = name ? state_find(c->s, kind, name) : 0;

	if (!id)
		wrong(c, "there is no %s '%s'", object_type(kind)->name, name ? name : "");
	return id;
}

/* --- objects --- */

static void set_field(struct test_case *c, uint32_t kind, uint32_t id, const char *key, const char *value)
{
	const struct object_type *type = object_type(kind);
	const struct field *f = object_field(type, !strcmp(key, "memory") ? "memory_mb" : key);
	struct name_resolver names = state_resolver(c->s);
	struct role *r = kind == KIND_ROLE ? &c->s->roles[id] : NULL;
	uint32_t cpu = r ? r->cpu : 0, memory_mb = r ? r->memory_mb : 0;
	union any_object any;
	char error[TEXT_SIZE];

	if (!f)
		wrong(c, "a %s has no field '%s'", type->name, key);
	memcpy(&any, state_get(c->s, kind, id), type->size);
	if (field_parse(type, f, &any, EDIT_SET, value, &names, error) < 0)
		wrong(c, "%s=%s: %s", key, value, error);
	if (r && !strcmp(key, "owner")) {
		state_set_owner(c->s, id, any.role.owner);
	} else if (r && !strcmp(key, "target")) {
		state_set_target(c->s, id, any.role.target);
	} else if (kind == KIND_RESOURCE && !strcmp(key, "role")) {
		state_set_role_of(c->s, id, any.resource.role);
	} else {
		memcpy(state_edit(c->s, kind, id), &any, type->size);
		if (r)
			state_role_size_changed(c->s, id, cpu, memory_mb);
	}
	if (kind == KIND_RULE)
		state_rules_changed(c->s);
}

static void defaults(struct test_case *c, uint32_t kind, uint32_t id)
{
	if (kind == KIND_NODE) {
		((struct node *)state_edit(c->s, kind, id))->state = NODE_ONLINE;
		((struct node *)state_edit(c->s, kind, id))->vote = 1;
	}
	if (kind == KIND_ROLE)
		((struct role *)state_edit(c->s, kind, id))->state = ROLE_PENDING;
}

/* affinity, hard, … of a rule; any other word alone is a switch. */
static void set_word(struct test_case *c, uint32_t kind, uint32_t id, const char *word)
{
	if (kind == KIND_RULE && strstr(word, "affinity"))
		set_field(c, kind, id, "kind", word);
	else if (kind == KIND_RULE && !strcmp(word, "soft"))
		set_field(c, kind, id, "hard", "no");
	else
		set_field(c, kind, id, word, "yes");
}

static void object_line(struct test_case *c, uint32_t kind, const char *name, char *rest)
{
	uint32_t id = kind == KIND_CLUSTER ? 1 : state_find(c->s, kind, name);
	bool has_state = false;
	char *save = NULL;

	if (!id) {
		id = state_create(c->s, kind, name, 0);
		if (!id)
			wrong(c, "no %s more fits", object_type(kind)->name);
		defaults(c, kind, id);
	}
	for (char *word = strtok_r(rest, " ", &save); word; word = strtok_r(NULL, " ", &save)) {
		char *value = strchr(word, '=');

		if (!value) {
			set_word(c, kind, id, word);
			continue;
		}
		*value++ = '\0';
		has_state |= !strcmp(word, "state");
		set_field(c, kind, id, word, value);
		if (kind != KIND_ROLE || strcmp(word, "owner") != 0)
			continue;
		if (!has_state)
			set_field(c, kind, id, "state", "online");
		if (!c->s->roles[id].last_owner)
			set_field(c, kind, id, "last_owner", value);
	}
}

/* --- one role --- */

static nodeset_t nodes_named(const struct test_case *c, char *list)
{
	nodeset_t nodes = 0;
	char *save = NULL;

	for (char *name = strtok_r(list, ",", &save); name; name = strtok_r(NULL, ",", &save))
		nodes |= NODE_BIT(need(c, KIND_NODE, name));
	return nodes;
}

static struct place_request request_of(const struct test_case *c, char *words)
{
	struct place_request q = { 0 };
	char *save = NULL;

	for (char *word = strtok_r(words, " ", &save); word; word = strtok_r(NULL, " ", &save)) {
		if (!strncmp(word, "exclude=", 8))
			q.exclude = nodes_named(c, word + 8);
		else if (!strncmp(word, "stay=", 5))
			q.stay = need(c, KIND_NODE, word + 5);
		else if (!strcmp(word, "preempt"))
			q.preempt = true;
		else if (!strcmp(word, "ignore-bans"))
			q.ignore_bans = true;
		else if (!strcmp(word, "take-along"))
			q.take_along = true;
		else
			wrong(c, "'%s' is no word of a place line", word);
	}
	return q;
}

static void verdict_text(const struct test_case *c, const struct place_verdict *v, struct text *ret)
{
	append(ret, "%s", place_code_text(v->code));
	if (v->rule)
		append(ret, "(%s,%s)", name_of(c, KIND_RULE, v->rule), name_of(c, KIND_ROLE, v->other));
}

/* Why not this node: what forbids it, or the first part of the score that is less than the chosen one's. */
static void reason_text_of(const struct test_case *c, const struct place_verdict *v, const struct place_verdict *best,
			   struct text *ret)
{
	if (v->code != PLACE_OK || !best) {
		verdict_text(c, v, ret);
		return;
	}
	for (int part = 0; part < PART_MAX; part++)
		if (v->parts[part] != best->parts[part]) {
			append(ret, "%s", place_part_text(part));
			return;
		}
	append(ret, "id");
}

static void place_line(struct test_case *c, const char *name, char *words, bool put)
{
	uint32_t role = need(c, KIND_ROLE, name);
	struct place_request q = request_of(c, words);
	struct place_verdict verdicts[NODE_MAX + 1];
	struct placement p;
	const char *before = " because";

	place_role(c->s, role, &q, &p, verdicts);
	append(&c->out, " %s%s%s", c->brief ? name : "", c->brief ? ":" : "", name_of(c, KIND_NODE, p.node));
	for (uint32_t i = 0; i < p.n_victims; i++)
		append(&c->out, "%s%s", i ? "," : " stopping ", name_of(c, KIND_ROLE, p.victims[i]));
	for (uint32_t n = 1; n <= c->s->high[KIND_NODE]; n++) {
		if (c->brief || (n == p.node && !p.n_victims))
			continue;
		append(&c->out, "%s %s:", before, name_of(c, KIND_NODE, n));
		reason_text_of(c, &verdicts[n], p.node && !p.n_victims ? &verdicts[p.node] : NULL, &c->out);
		before = "";
	}
	if (!put || !p.node)
		return;
	for (uint32_t i = 0; i < p.n_victims; i++) {
		state_set_owner(c->s, p.victims[i], 0);
		((struct role *)state_edit(c->s, KIND_ROLE, p.victims[i]))->state = ROLE_PENDING;
	}
	state_set_owner(c->s, role, p.node);
	((struct role *)state_edit(c->s, KIND_ROLE, role))->state = ROLE_ONLINE;
	if (place_check(c->s, role, p.node, NULL) != PLACE_OK)
		wrong(c, "place_check() refuses what place_role() chose");
}

static void check_line(struct test_case *c, const char *name, char *words)
{
	uint32_t role = need(c, KIND_ROLE, name);
	struct place_verdict v;

	place_check(c->s, role, need(c, KIND_NODE, words), &v);
	append(&c->out, " ");
	verdict_text(c, &v, &c->out);
}

static void score_line(struct test_case *c, const char *name, char *words)
{
	uint32_t role = need(c, KIND_ROLE, name);
	struct place_request q = request_of(c, words);
	struct place_verdict verdicts[NODE_MAX + 1];
	struct placement p;

	place_role(c->s, role, &q, &p, verdicts);
	for (uint32_t n = 1; n <= c->s->high[KIND_NODE]; n++) {
		char words_of_score[EXPLAIN_LINE_SIZE];

		explain_score(c->s, role, n, &verdicts[n], words_of_score, sizeof(words_of_score));
		append(&c->out, "%s %s: %s", n == 1 ? "" : ";", name_of(c, KIND_NODE, n), words_of_score);
	}
}

static void why_text(void *user, const char *line)
{
	struct test_case *c = user;

	append(&c->out, "\n | %s", line);
}

static void why_line(struct test_case *c, const char *name)
{
	explain_role(c->s, need(c, KIND_ROLE, name), &(struct explain_sink){ why_text, c });
}

/* --- the role engine --- */

/* What changed since `before`: role:node, or role:state(reason). */
static void append_changes(struct test_case *c)
{
	bool any = false;

	for (uint32_t id = 1; id <= c->s->high[KIND_ROLE]; id++) {
		const struct role *a = &c->before->roles[id], *b = &c->s->roles[id];
		struct place_request q = { .preempt = c->s->cluster.preemption };
		struct place_verdict verdicts[NODE_MAX + 1];
		struct placement p;

		if (!b->object.used || (a->owner == b->owner && a->state == b->state && a->reason == b->reason))
			continue;
		any = true;
		append(&c->out, " %s:", b->name);
		if (b->owner && b->state == ROLE_ONLINE) {
			append(&c->out, "%s", name_of(c, KIND_NODE, b->owner));
			if (a->owner == b->owner)
				append(&c->out, "(%s)", reason_name(b->reason));
			continue;
		}
		append(&c->out, "%s", enum_text(enum_values_role_state, b->state));
		if (b->owner)
			append(&c->out, "@%s", name_of(c, KIND_NODE, b->owner));
		append(&c->out, "(%s", reason_name(b->reason));
		place_role(c->s, id, &q, &p, verdicts);
		for (uint32_t n = 1; b->reason == REASON_WAIT_PLACE && n <= c->s->high[KIND_NODE]; n++) {
			append(&c->out, "%s%s:", n == 1 ? "; " : " ", name_of(c, KIND_NODE, n));
			verdict_text(c, &verdicts[n], &c->out);
		}
		append(&c->out, ")");
	}
	if (!any)
		append(&c->out, " nothing");
}

/* VERB KIND NAME [ARG [force]]: an operation of an administrator, by the code that applies it. */
static void do_verb(struct test_case *c, char *words)
{
	uint8_t bytes[LINE_MAX_SIZE];
	struct writer w = writer_of(bytes, sizeof(bytes));
	struct change_outcome outcome;
	nodeset_t members = 0;
	char *save = NULL, *verb = strtok_r(words, " ", &save), *kind = strtok_r(NULL, " ", &save);
	char *name = strtok_r(NULL, " ", &save), *arg = strtok_r(NULL, " ", &save);
	char *force = strtok_r(NULL, " ", &save);

	memset(c->op, 0, sizeof(*c->op));
	for (uint8_t v = 1; v < UINT8_MAX && verb; v++)
		if (change_verb_name(v) && !strcmp(change_verb_name(v), verb))
			c->op->verb = v;
	if (!c->op->verb || !kind || !name || !object_type_by_name(kind))
		wrong(c, "do VERB KIND NAME [ARG [force]]");
	c->op->kind = object_type_by_name(kind)->kind;
	snprintf(c->op->name, sizeof(c->op->name), "%s", name);
	snprintf(c->op->arg, sizeof(c->op->arg), "%s", arg ? arg : "");
	c->op->force = force && !strcmp(force, "force");
	change_op_encode(&w, c->op);
	for (uint32_t n = 1; n <= c->s->high[KIND_NODE]; n++)
		if (c->s->nodes[n].state == NODE_ONLINE)
			members |= NODE_BIT(n);
	state_commit(c->s, NULL);
	if (!change_apply(c->s, members, bytes, writer_len(&w), c->op, &outcome))
		append(&c->out, " refused(%s)", refusal_name((uint16_t)outcome.refusal));
}

static void fail_resource(struct test_case *c, const char *name)
{
	uint32_t id = need(c, KIND_RESOURCE, name);
	struct msg_result m = { .resource = id, .action = AGENT_MONITOR, .rc = OCF_NOT_RUNNING, .status = AGENT_DONE,
			       .output = "not running" };
	struct engine e;

	engine_init(&e);
	role_result(&e, c->s, c->s->roles[c->s->resources[id].role].owner, &m);
	engine_run(&e, c->s);
}

/* NODE [VOLUME,VOLUME]: the node can use these from now on, and no others. */
static void report_volumes(struct test_case *c, char *words)
{
	char *save = NULL, *node = strtok_r(words, " ", &save), *list = strtok_r(NULL, " ", &save), *names = NULL;
	struct volume_set up = { 0 };
	uint8_t bytes[VOLUME_MAX * 10];
	struct writer w = writer_of(bytes, sizeof(bytes));
	struct msg_volumes m = { 0 };
	struct engine e;
	uint32_t id = need(c, KIND_NODE, node);

	for (char *name = list ? strtok_r(list, ",", &names) : NULL; name; name = strtok_r(NULL, ",", &names))
		volume_set_put(&up, need(c, KIND_VOLUME, name), true);
	for (uint32_t v = 1; v <= VOLUME_MAX; v++) {
		if (!volume_set_has(&up, v))
			continue;
		put_u16(&w, (uint16_t)v);
		put_u64(&w, c->s->volumes[v].number);
	}
	m.incarnation = c->s->nodes[id].incarnation;
	m.up = (struct span){ bytes, writer_len(&w) };
	engine_init(&e);
	if (node_volumes(&e, c->s, id, &m) < 0)
		wrong(c, "the node's volumes are refused");
	engine_run(&e, c->s);
}

static void pass_time(struct test_case *c, const char *text)
{
	char *unit;
	uint64_t ms = strtoull(text, &unit, 10) * MS_PER_SECOND;
	struct engine e;

	if (!strcmp(unit, "min"))
		ms *= 60;
	else if (!strcmp(unit, "h"))
		ms *= 3600;
	else if (strcmp(unit, "s") != 0)
		wrong(c, "a time is a number and s, min or h");
	engine_init(&e);
	node_clock(&e, c->s, c->s->cluster.now_ms + ms);
	role_clock(&e, c->s, c->s->cluster.now_ms + ms);
	engine_run(&e, c->s);
}

static void plan_line(struct test_case *c, const char *what, char *words)
{
	bool rests = true;

	foresee_copy(c->before, c->s);
	if (!strcmp(what, "lose"))
		rests = foresee_lose(c->s, nodes_named(c, words));
	else if (!strcmp(what, "drain"))
		rests = foresee_drain(c->s, nodes_named(c, words));
	else if (!strcmp(what, "return"))
		rests = foresee_return(c->s, nodes_named(c, words));
	else if (!strcmp(what, "do"))
		do_verb(c, words);
	else if (!strcmp(what, "fail"))
		fail_resource(c, words);
	else if (!strcmp(what, "volumes"))
		report_volumes(c, words);
	else if (!strcmp(what, "time"))
		pass_time(c, words);
	else if (strcmp(what, "rest") != 0)
		wrong(c, "'%s' is no word of a plan line", what);
	if (!rests || !foresee_rest(c->s))
		wrong(c, "the roles do not come to rest");
	append_changes(c);
}

static void names_of(const struct test_case *c, nodeset_t nodes, struct text *ret)
{
	for (; nodes; nodes &= nodes - 1)
		append(ret, "%s%s", name_of(c, KIND_NODE, nodeset_first(nodes)), nodes & (nodes - 1) ? "," : "");
}

static void survive_line(struct test_case *c, const char *how)
{
	struct foresee_limit limit;

	if (strcmp(how, "at-once") != 0 && strcmp(how, "one-by-one") != 0)
		wrong(c, "survive at-once, or survive one-by-one");
	foresee_survival(c->s, c->copy, ~(nodeset_t)1, !strcmp(how, "at-once"), &limit);
	append(&c->out, " %u%s", limit.nodes, limit.exhaustive ? "" : " (sampled)");
	if (limit.worst) {
		append(&c->out, ", not ");
		names_of(c, limit.worst, &c->out);
		if (limit.quorum_lost)
			append(&c->out, ": quorum");
		else
			append(&c->out, ": %u down, first %s", limit.down, name_of(c, KIND_ROLE, limit.first_down));
	}
}

static void quorum_line(struct test_case *c, const char *what, char *words)
{
	bool witness, quorate;

	if (strcmp(what, "lose") != 0 && strcmp(what, "lose-each") != 0)
		wrong(c, "quorum lose NODES (at once), or quorum lose-each NODES (one by one)");
	quorate = foresee_quorum(c->s, ~(nodeset_t)1, nodes_named(c, words), !strcmp(what, "lose"), &witness);
	append(&c->out, " %s%s", quorate ? "kept" : "lost", quorate && witness ? " by the witness" : "");
}

/* --- files --- */

static void command(struct test_case *c, char *words)
{
	char *rest = words, *verb = strsep(&rest, " "), *name = rest ? strsep(&rest, " ") : NULL;
	char none[1] = "";

	rest = rest ? rest : none;
	if (!name)
		wrong(c, "'%s' of what?", verb);
	if (!strcmp(verb, "place") || !strcmp(verb, "put"))
		place_line(c, name, rest, verb[1] == 'u');
	else if (!strcmp(verb, "check"))
		check_line(c, name, rest);
	else if (!strcmp(verb, "score"))
		score_line(c, name, rest);
	else if (!strcmp(verb, "why"))
		why_line(c, name);
	else if (!strcmp(verb, "plan"))
		plan_line(c, name, rest);
	else if (!strcmp(verb, "survive"))
		survive_line(c, name);
	else if (!strcmp(verb, "quorum"))
		quorum_line(c, name, rest);
	else
		wrong(c, "'%s' is no word a line may begin with", verb);
}

/* a{1..3}b: once for each number; replaced throughout the line. */
static bool expand(const char *line, unsigned long number, char *out, size_t size)
{
	const char *open = strchr(line, '{'), *close = open ? strchr(open, '}') : NULL, *dots = open ? strstr(open, "..") : NULL;
	unsigned long first, last;
	size_t at = 0, len;

	if (!open || !close || !dots || dots > close) {
		snprintf(out, size, "%s", line);
		return number == 0;
	}
	first = strtoul(open + 1, NULL, 10);
	last = strtoul(dots + 2, NULL, 10);
	len = (size_t)(close + 1 - open);
	for (const char *p = line; *p && at + 1 < size;) {
		if (!strncmp(p, open, len)) {
			at += (size_t)snprintf(out + at, size - at, "%lu", first + number);
			p += len;
		} else {
			out[at++] = *p++;
		}
	}
	out[at < size ? at : size - 1] = '\0';
	return first + number <= last;
}

static void expand_and(struct test_case *c, const char *line, void (*each)(struct test_case *c, char *line))
{
	char one[LINE_MAX_SIZE];

	for (unsigned long i = 0; expand(line, i, one, sizeof(one)); i++)
		each(c, one);
}

static void object_words(struct test_case *c, char *line)
{
	char *rest = line, *kind = strsep(&rest, " "), *name = kind;
	char none[1] = "";
	const struct object_type *type = object_type_by_name(kind);

	if (type->kind != KIND_CLUSTER)
		name = rest ? strsep(&rest, " ") : NULL;
	if (!name)
		wrong(c, "%s of which name?", kind);
	object_line(c, type->kind, name, rest ? rest : none);
}

static bool is_object_line(const char *line)
{
	char word[NAME_SIZE];
	size_t n = strcspn(line, " ");

	if (n >= sizeof(word))
		return false;
	memcpy(word, line, n);
	word[n] = '\0';
	return object_type_by_name(word) != NULL;
}

static void trim(char *line)
{
	size_t n = strlen(line);

	while (n && isspace((unsigned char)line[n - 1]))
		line[--n] = '\0';
}

static void case_line(struct test_case *c, char *line)
{
	char copy[LINE_MAX_SIZE];
	char *arrow;

	trim(line);
	if (line[0] == ' ' && line[1] == '|')
		return; /* said anew by its command */
	if (!line[0] || line[0] == '#') {
		append(&c->out, "%s\n", line);
		return;
	}
	if (is_object_line(line)) {
		append(&c->out, "%s\n", line);
		expand_and(c, line, object_words);
		return;
	}
	arrow = strstr(line, " ->");
	if (arrow)
		*arrow = '\0';
	append(&c->out, "%s ->", line);
	snprintf(copy, sizeof(copy), "%s", line);
	c->brief = strchr(line, '{') != NULL;
	expand_and(c, copy, command);
	append(&c->out, "\n");
}

static char *file_read(const char *path)
{
	cleanup_file FILE *f = fopen(path, "r");
	struct text t = { 0 };
	char line[LINE_MAX_SIZE];

	if (!f) {
		fprintf(stderr, "%s: %s\n", path, strerror(errno));
		exit(1);
	}
	append(&t, "%s", "");
	while (fgets(line, sizeof(line), f))
		append(&t, "%s", line);
	return t.data;
}

static void file_write(const char *path, const char *text)
{
	cleanup_file FILE *f = fopen(path, "w");

	if (!f || fputs(text, f) == EOF || fflush(f) == EOF) {
		fprintf(stderr, "%s: %s\n", path, strerror(errno));
		exit(1);
	}
}

/* Both texts line by line: those that differ, as a reader of diffs expects them. */
static void print_difference(const char *name, const char *expected, const char *found)
{
	fprintf(stderr, "%s.case differs (- expected, + found):\n", name);
	while (*expected || *found) {
		int a = (int)strcspn(expected, "\n"), b = (int)strcspn(found, "\n");

		if (a != b || strncmp(expected, found, (size_t)a) != 0) {
			fprintf(stderr, "  -%.*s\n  +%.*s\n", a, expected, b, found);
		}
		expected += a + (expected[a] == '\n');
		found += b + (found[b] == '\n');
	}
}

static void state_renew(struct state *s)
{
	state_clear(s);
	REQUIRE(state_create(s, KIND_CLUSTER, "c", 1) == 1);
	((struct cluster *)state_edit(s, KIND_CLUSTER, 1))->now_ms = 1700000000000;
}

static void run_case(struct test_case *c, const char *folder, const char *name, bool update)
{
	char path[2 * LINE_MAX_SIZE];
	cleanup_free char *expected = NULL;
	cleanup_free char *lines = NULL;
	char *rest, *line;

	snprintf(path, sizeof(path), "%s/%s.case", folder, name);
	expected = file_read(path);
	lines = rest = strdup(expected);
	c->name = name;
	c->line = 0;
	c->out = (struct text){ 0 };
	append(&c->out, "%s", "");
	state_renew(c->s);
	while ((line = strsep(&rest, "\n"))) {
		c->line++;
		if (rest || *line)
			case_line(c, line);
	}
	state_commit(c->s, NULL);
	check_count++;
	if (strcmp(expected, c->out.data) != 0 && update) {
		file_write(path, c->out.data);
		printf("%s.case: written\n", name);
	} else if (strcmp(expected, c->out.data) != 0) {
		check_failed++;
		print_difference(name, expected, c->out.data);
		fprintf(stderr, "  repeat with: %s %s\n  accept with: %s --update %s\n", program_invocation_name, name,
			program_invocation_name, name);
	}
	free(c->out.data);
}

static int by_name(const void *a, const void *b) { return strcmp(*(char *const *)a, *(char *const *)b); }

static size_t cases_in(const char *folder, char *names[CASES_MAX])
{
	DIR *dir = opendir(folder);
	size_t n = 0;

	if (!dir) {
		fprintf(stderr, "%s: %s; set top_srcdir\n", folder, strerror(errno));
		exit(1);
	}
	for (struct dirent *entry = readdir(dir); entry; entry = readdir(dir)) {
		char *dot = strrchr(entry->d_name, '.');

		if (!dot || strcmp(dot, ".case") != 0)
			continue;
		REQUIRE(n < CASES_MAX);
		names[n++] = strndup(entry->d_name, (size_t)(dot - entry->d_name));
	}
	closedir(dir);
	qsort(names, n, sizeof(names[0]), by_name);
	return n;
}

int main(int argc, char **argv)
{
	const char *top = getenv("top_srcdir");
	struct test_case c = { .s = calloc(1, sizeof(struct state)),
			       .before = calloc(1, sizeof(struct state)),
			       .copy = calloc(1, sizeof(struct state)),
			       .op = calloc(1, sizeof(struct change_op)) };
	bool update = argc > 1 && !strcmp(argv[1], "--update");
	char *names[CASES_MAX], folder[LINE_MAX_SIZE];
	size_t n = 0;

	REQUIRE(c.s && c.before && c.copy && c.op);
	snprintf(folder, sizeof(folder), "%s/tests/golden/place", top ? top : ".");
	for (int i = update ? 2 : 1; i < argc && n < CASES_MAX; i++)
		names[n++] = strdup(argv[i]);
	if (!n)
		n = cases_in(folder, names);
	for (size_t i = 0; i < n; i++) {
		run_case(&c, folder, names[i], update);
		free(names[i]);
	}
	printf("%zu cases\n", n);
	free(c.s);
	free(c.before);
	free(c.copy);
	free(c.op);
	return check_result();
}
