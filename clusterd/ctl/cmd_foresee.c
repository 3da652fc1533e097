/* SPDX-License-Identifier: GPL-2.0-or-later */
/* why, simulate, and what a change would do: the cluster's own decision code on a copy of the state. */
#include <stdlib.h>
#include <string.h>

#include "clusterd/ctl/ctl_change.h"
#include "clusterd/ctl/ctl_page.h"
#include "clusterd/ctl/ctl_table.h"
#include "clusterd/core/explain.h"
#include "clusterd/core/foresee.h"
#include "clusterd/core/reason.h"

/* --- effects: two states compared --- */

/* What became of a role; NULL: nothing. `*ret_bad`: it does not run though it should, or could not leave. */
static const char *effect_word(const struct state *after, const struct role *a, const struct role *b, bool *ret_bad)
{
	bool was = a && a->owner, is = b && b->owner, leaves = is && after->nodes[b->owner].admin >= ADMIN_DRAINING;

	*ret_bad = b && ((was && !is && b->want && b->state != ROLE_OFFLINE) || leaves);
	if (!b)
		return "is deleted";
	if (leaves)
		return "CANNOT LEAVE";
	if (was && is && a->owner != b->owner)
		return "moves";
	if (was && is)
		return NULL;
	if (was)
		return *ret_bad ? "GOES DOWN" : "stops";
	if (is)
		return "starts";
	return !a && b->want ? "is created, waits" : !a ? "is created" : NULL;
}

static const char *name_in(const struct state *s, uint32_t node)
{
	const char *name = node ? state_name(s, KIND_NODE, node) : NULL;

	return name ? name : "-";
}

/* Why it ends there: the reason of the end state. */
static const char *reason_in(const struct state *s, const struct role *r, char *out, size_t size)
{
	if (!r)
		return "-";
	explain_reason(s, r->object.id, false, out, size);
	return out;
}

void ctl_effect_print(struct ctl *ctl, const struct state *before, const struct state *after, struct ctl_effect *ret)
{
	static const char *const heads[] = { "ROLE", "WHAT", "FROM", "TO", "REASON", NULL };
	struct ctl_table *t = ctl_table_new(heads);
	uint32_t high = before->high[KIND_ROLE] > after->high[KIND_ROLE] ? before->high[KIND_ROLE] : after->high[KIND_ROLE];
	char why[2 * TEXT_SIZE];

	for (uint32_t id = 1; id <= high; id++) {
		const struct role *a = state_role(before, id), *b = state_role(after, id);
		bool bad = false;
		const char *what = a || b ? effect_word(after, a, b, &bad) : NULL;

		if (!what)
			continue;
		ret->changed++;
		ret->lost += bad;
		reason_in(after, b, why, sizeof(why));
		if (ret->json)
			json_array_append_new(ret->json,
					      json_pack("{s:s, s:s, s:b, s:s?, s:s?, s:s, s:s}", "role",
							b ? b->name : a->name, "what", what, "bad", bad, "from",
							a && a->owner ? name_in(before, a->owner) : NULL, "to",
							b && b->owner ? name_in(after, b->owner) : NULL, "reason",
							b ? reason_name(b->reason) : "deleted", "text", b ? why : ""));
		ctl_table_cell(t, TONE_PLAIN, "%s", b ? b->name : a->name);
		ctl_table_cell(t, bad ? TONE_BAD : TONE_PLAIN, "%s", what);
		ctl_table_cell(t, TONE_PLAIN, "%s", a ? name_in(before, a->owner) : "-");
		ctl_table_cell(t, TONE_PLAIN, "%s", b ? name_in(after, b->owner) : "-");
		ctl_table_cell(t, TONE_PLAIN, "%s", b && *why ? why : "-");
	}
	ctl_table_print(t, ret->changed && !ret->json ? ctl->out : NULL, ctl->color, 0);
}

static void effect_sum(struct ctl *ctl, const struct ctl_effect *e)
{
	if (!e->changed)
		fprintf(ctl->out, "No role would move, start or stop.\n");
	else
		fprintf(ctl->out, "%u role%s concerned, %u in trouble.\n", e->changed, e->changed == 1 ? "" : "s", e->lost);
}

void ctl_settle(struct state *s) { foresee_rest(s); }

/* --- simulate --- */

static nodeset_t members(const struct ctl *ctl)
{
	const struct state *s = ctl->view.state;
	nodeset_t online = 0;

	if (ctl->view.self.members)
		return ctl->view.self.members;
	for (uint32_t id = 1; id <= s->high[KIND_NODE]; id++)
		if (state_node(s, id) && s->nodes[id].state == NODE_ONLINE)
			online |= NODE_BIT(id);
	return online;
}

static void quorum_say(struct ctl *ctl, bool keeps, bool by_witness)
{
	if (!keeps) {
		ctl_tone_begin(ctl->out, ctl->color, TONE_BAD);
		fprintf(ctl->out, "Quorum would be lost: the rest stops its roles within T_stop.\n");
		ctl_tone_end(ctl->out, ctl->color, TONE_BAD);
	} else {
		fprintf(ctl->out, "Quorum stays%s.\n", by_witness ? ", by the witness alone" : "");
	}
}

/* Without quorum nothing runs. */
static void all_stop(struct state *s)
{
	for (uint32_t id = 1; id <= s->high[KIND_ROLE]; id++) {
		if (!state_role(s, id) || !s->roles[id].owner)
			continue;
		state_set_owner(s, id, 0);
		((struct role *)state_edit(s, KIND_ROLE, id))->state = ROLE_PENDING;
		((struct role *)state_edit(s, KIND_ROLE, id))->reason = REASON_NONE;
	}
}

static int simulate(struct ctl *ctl, bool lose)
{
	struct state *after = ctl_state_new();
	struct ctl_effect effect = { .json = ctl->options.json ? json_array() : NULL };
	bool keeps = true, by_witness = false, rest;
	nodeset_t nodes;
	int rc = ctl_find_nodes(ctl, &nodes);

	if (rc || !after) {
		ctl_state_free(after);
		json_decref(effect.json);
		return rc ? rc : ctl_no_memory(ctl);
	}
	foresee_copy(after, ctl->view.state);
	if (lose)
		keeps = foresee_quorum(ctl->view.state, members(ctl), nodes, true, &by_witness);
	rest = !keeps || (lose ? foresee_lose(after, nodes) : foresee_drain(after, nodes));
	if (!ctl->options.json && lose)
		quorum_say(ctl, keeps, by_witness);
	if (!keeps)
		all_stop(after);
	ctl_effect_print(ctl, ctl->view.state, after, &effect);
	if (ctl->options.json) {
		json_t *j = ctl_json_envelope(ctl);

		json_object_set_new(j, "simulation",
				    json_pack("{s:s, s:o, s:b, s:b, s:b, s:i, s:o}", "what", lose ? "lose" : "drain",
					      "nodes", ctl_json_nodes(ctl, nodes), "quorum", keeps, "by_witness",
					      by_witness, "settled", rest, "down", (int)effect.lost, "roles",
					      effect.json));
		ctl_json_print(ctl, j);
	} else {
		effect_sum(ctl, &effect);
		if (!rest)
			fprintf(ctl->out, "The roles did not come to rest: this shows how far they came.\n");
	}
	ctl_state_free(after);
	return effect.lost || !keeps ? EXIT_ROLES_DOWN : EXIT_DONE;
}

int ctl_foresee_force(struct ctl *ctl)
{
	const struct state *s = ctl->view.state;
	struct ctl_effect effect = { .json = ctl->options.json ? json_array() : NULL };
	struct state *after = ctl_state_new();
	char here[TEXT_SIZE], away[TEXT_SIZE];
	nodeset_t others = 0;

	if (!after) {
		json_decref(effect.json);
		return ctl_no_memory(ctl);
	}
	for (uint32_t id = 1; id <= s->high[KIND_NODE]; id++)
		if (state_node(s, id) && s->nodes[id].state != NODE_DOWN && !nodeset_has(members(ctl), id))
			others |= NODE_BIT(id);
	foresee_copy(after, s);
	foresee_lose(after, others);
	if (!ctl->options.json)
		fprintf(ctl->out,
			"This side would decide: %s. Not here: %s; their roles start here once each is fenced, or confirmed to be "
			"off:\n",
			ctl_nodes(ctl, members(ctl), here, sizeof(here)),
			others ? ctl_nodes(ctl, others, away, sizeof(away)) : "none");
	ctl_effect_print(ctl, s, after, &effect);
	if (ctl->options.json)
		ctl_json_print(ctl, json_pack("{s:i, s:{s:o, s:o, s:o}}", "schema", CTL_SCHEMA, "dry_run", "members",
					      ctl_json_nodes(ctl, members(ctl)), "others", ctl_json_nodes(ctl, others), "roles",
					      effect.json));
	else
		effect_sum(ctl, &effect);
	ctl_state_free(after);
	return EXIT_DONE;
}

int cmd_simulate_lose(struct ctl *ctl) { return simulate(ctl, true); }
int cmd_simulate_drain(struct ctl *ctl) { return simulate(ctl, false); }

static void survive_say(struct ctl *ctl, const struct foresee_limit *l, bool at_once)
{
	char nodes[2 * TEXT_SIZE];

	fprintf(ctl->out, "%-22s ", at_once ? "At once:" : "One after the other:");
	if (l->nodes)
		fprintf(ctl->out, "any %u node%s may fail with everything running%s.", l->nodes, l->nodes == 1 ? "" : "s",
			l->exhaustive ? "" : " (not every set of nodes was tried)");
	else
		fprintf(ctl->out, "no node may fail with everything running.");
	if (!l->worst) {
		fputc('\n', ctl->out);
		return;
	}
	fprintf(ctl->out, " Without %s: ", ctl_nodes(ctl, l->worst, nodes, sizeof(nodes)));
	if (l->quorum_lost)
		fprintf(ctl->out, "quorum is lost.\n");
	else
		fprintf(ctl->out, "%u role%s not run, first %s.\n", l->down, l->down == 1 ? " does" : "s do",
			state_name(ctl->view.state, KIND_ROLE, l->first_down));
}

static json_t *survive_json(const struct ctl *ctl, const struct foresee_limit *l)
{
	const char *role = l->first_down ? state_name(ctl->view.state, KIND_ROLE, l->first_down) : NULL;

	return json_pack("{s:i, s:b, s:o, s:b, s:i, s:s?, s:i}", "nodes", (int)l->nodes, "exhaustive", l->exhaustive, "worst",
			 ctl_json_nodes(ctl, l->worst), "quorum_lost", l->quorum_lost, "down", (int)l->down, "first_down", role,
			 "tried", (int)l->tried);
}

int cmd_simulate_survive(struct ctl *ctl)
{
	struct state *copy = ctl_state_new();
	struct foresee_limit at_once, in_turn;
	json_t *j;

	if (!copy)
		return ctl_no_memory(ctl);
	foresee_survival(ctl->view.state, copy, members(ctl), true, &at_once);
	foresee_survival(ctl->view.state, copy, members(ctl), false, &in_turn);
	ctl_state_free(copy);
	if (!ctl->options.json) {
		survive_say(ctl, &at_once, true);
		survive_say(ctl, &in_turn, false);
		return EXIT_DONE;
	}
	j = ctl_json_envelope(ctl);
	json_object_set_new(j, "survive",
			    json_pack("{s:o, s:o}", "at_once", survive_json(ctl, &at_once), "in_turn",
				      survive_json(ctl, &in_turn)));
	return ctl_json_print(ctl, j);
}

/* --- why --- */

static void why_line(void *user, const char *text)
{
	struct ctl *ctl = user;
	char clean[EXPLAIN_LINE_SIZE];

	fprintf(ctl->out, "%s\n", ctl_clean(text, clean, sizeof(clean)));
}

static void why_line_json(void *user, const char *text) { json_array_append_new(user, json_string(text)); }

static json_t *verdict_json(const struct ctl *ctl, uint32_t role, uint32_t node, const struct place_verdict *v)
{
	json_t *parts = json_object();
	char text[EXPLAIN_LINE_SIZE];

	for (int i = 0; i < PART_MAX; i++)
		json_object_set_new(parts, place_part_text((enum place_part)i), json_integer(v->parts[i]));
	explain_verdict(ctl->view.state, role, node, v, text, sizeof(text));
	return json_pack("{s:s, s:b, s:s, s:s, s:I, s:o}", "node", ctl_node_name(ctl, node), "possible",
			 v->code == PLACE_OK, "verdict", place_code_text(v->code), "text", text, "score",
			 (json_int_t)v->score, "parts", parts);
}

static int why_json(struct ctl *ctl, uint32_t role)
{
	static struct place_verdict verdicts[NODE_MAX + 1];
	struct place_request request = { .stay = ctl->view.state->roles[role].owner };
	struct state *s = ctl->view.state;
	json_t *j = ctl_json_envelope(ctl), *nodes = json_array(), *lines = json_array();
	struct explain_sink sink = { why_line_json, lines };
	struct placement placement;

	place_role(s, role, &request, &placement, verdicts);
	for (uint32_t id = 1; id <= s->high[KIND_NODE]; id++)
		if (state_node(s, id))
			json_array_append_new(nodes, verdict_json(ctl, role, id, &verdicts[id]));
	explain_role(s, role, &sink);
	json_object_set_new(j, "why",
			    json_pack("{s:o, s:s?, s:o, s:o}", "role",
				      ctl_json_object(ctl, object_type(KIND_ROLE), &s->roles[role]), "best",
				      placement.node ? ctl_node_name(ctl, placement.node) : NULL, "nodes", nodes,
				      "lines", lines));
	return ctl_json_print(ctl, j);
}

int cmd_why(struct ctl *ctl)
{
	struct explain_sink sink = { why_line, ctl };
	uint32_t role = ctl_find(ctl, KIND_ROLE, ctl->argv[0]);

	if (!role)
		return refusal_exit_code(REFUSED_NOT_FOUND);
	/* The replicated clock stands when nothing is due; how long ago things were is told by the time of the view. */
	if (ctl->view.state->cluster.now_ms < ctl->view.taken_ms)
		ctl->view.state->cluster.now_ms = ctl->view.taken_ms;
	if (ctl->options.json)
		return why_json(ctl, role);
	ctl_say_stale(ctl);
	explain_role(ctl->view.state, role, &sink);
	return EXIT_DONE;
}
