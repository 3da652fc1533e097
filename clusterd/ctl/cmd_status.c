/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The status page, and the tables of objects it is made of. */
#include <string.h>

#include "clusterd/ctl/ctl_page.h"
#include "clusterd/ctl/ctl_table.h"
#include "clusterd/ctl/ctl_volume.h"
#include "clusterd/core/foresee.h"
#include "clusterd/core/votes.h"
#include "text.h"

static bool is_away(const struct ctl *ctl, uint32_t node)
{
	return ctl->view.self.self && !ctl->view.self.quorate && !nodeset_has(ctl->view.self.members, node);
}

static enum ctl_tone tone_of_node(const struct ctl *ctl, const struct node *n)
{
	if (n->state == NODE_LOST || n->fence_asked || is_away(ctl, n->object.id))
		return TONE_BAD;
	return n->state == NODE_ONLINE && n->admin == ADMIN_UP && !n->quarantine_until_ms ? TONE_GOOD : TONE_WARN;
}

static enum ctl_tone tone_of_role(const struct ctl *ctl, const struct role *r)
{
	if (r->owner && ctl->view.self.self && !ctl->view.self.quorate)
		return TONE_WARN;
	if (r->state == ROLE_FAILED)
		return TONE_BAD;
	if (r->state == ROLE_ONLINE)
		return TONE_GOOD;
	return r->state == ROLE_OFFLINE && !r->want ? TONE_FAINT : TONE_WARN;
}

static enum ctl_tone tone_of_resource(const struct resource *x)
{
	if (x->state == RES_FAILED || x->state == RES_BLOCKED)
		return TONE_BAD;
	return x->state == RES_STARTED ? TONE_GOOD : x->state == RES_STOPPED ? TONE_FAINT : TONE_WARN;
}

/* "used/of", or what is used when no capacity is known. */
static const char *share(uint64_t used, uint32_t configured, uint32_t declared, uint32_t unit, char out[32])
{
	uint32_t of = configured ? configured : declared;

	if (unit == 100)
		snprintf(out, 32, of ? "%llu.%02llu/%u" : "%llu.%02llu", (unsigned long long)used / 100,
			 (unsigned long long)used % 100, of / 100);
	else
		snprintf(out, 32, of ? "%llu/%u" : "%llu", (unsigned long long)used, of);
	return out;
}

void ctl_table_nodes(const struct ctl *ctl)
{
	static const char *const heads[] = { "NODE",	    "STATE", "VOTE",	     ">ROLES", ">CPU",
					     ">MEMORY MiB", "SITE",  "FAULT DOMAIN", ">SINCE", NULL };
	const struct state *s = ctl->view.state;
	struct ctl_table *t = ctl_table_new(heads);

	for (uint32_t id = 1; id <= s->high[KIND_NODE]; id++) {
		const struct node *n = state_node(s, id);
		char a[32];

		if (!n)
			continue;
		ctl_table_cell(t, TONE_PLAIN, "%s%s", n->name, id == ctl->view.self.self && !ctl->view.saved ? " *" : "");
		ctl_table_cell(t, tone_of_node(ctl, n), "%s%s", ctl_node_state(ctl, n), n->maintenance ? ", maintenance" : "");
		ctl_table_cell(t, TONE_PLAIN, "%s", n->vote ? "yes" : n->may_vote ? "no" : "never");
		ctl_table_cell(t, TONE_PLAIN, "%u", s->load[id].roles);
		ctl_table_cell(t, TONE_PLAIN, "%s", share(s->load[id].cpu, n->cpu, n->cpu_declared, 100, a));
		ctl_table_cell(t, TONE_PLAIN, "%s", share(s->load[id].memory_mb, n->memory_mb, n->memory_declared_mb, 1, a));
		ctl_table_cell(t, TONE_PLAIN, "%s", *n->site ? n->site : "-");
		ctl_table_cell(t, TONE_PLAIN, "%s", *n->fault_domain ? n->fault_domain : "-");
		ctl_table_cell(t, TONE_FAINT, "%s", ctl_since(ctl, n->since_ms, a));
	}
	ctl_table_print(t, ctl->out, ctl->color, 0);
}

static void role_row(const struct ctl *ctl, struct ctl_table *t, const struct role *r)
{
	char a[32], why[2 * TEXT_SIZE];
	bool quiet = r->state == ROLE_ONLINE && !r->target;

	ctl_table_cell(t, TONE_PLAIN, "%s", r->name);
	ctl_table_cell(t, tone_of_role(ctl, r), "%s%s", ctl_role_state(ctl, r),
		       r->maintenance ? ", maintenance" : "");
	ctl_table_cell(t, TONE_PLAIN, "%s", ctl_node_name(ctl, r->owner));
	ctl_table_cell(t, TONE_PLAIN, "%s", enum_text(enum_values_priority, r->priority));
	ctl_table_cell(t, TONE_FAINT, "%s", ctl_since(ctl, r->since_ms, a));
	ctl_table_cell(t, quiet ? TONE_FAINT : TONE_PLAIN, "%s", r->reason ? ctl_role_reason(ctl, r, why, sizeof(why)) : "-");
}

/* A role that is where it should be needs no attention. */
static bool role_fine(const struct state *s, const struct role *r)
{
	for (uint32_t id = s->role_resource[r->object.id]; id; id = s->resource_next[id])
		if (s->resources[id].failing)
			return false;
	return (r->state == ROLE_ONLINE && (!r->target || r->target == r->owner)) || (r->state == ROLE_OFFLINE && !r->want);
}

unsigned int ctl_table_roles(const struct ctl *ctl, bool troubled_only)
{
	static const char *const heads[] = { "ROLE", "STATE", "NODE", "PRIORITY", ">SINCE", "REASON", NULL };
	const struct state *s = ctl->view.state;
	struct ctl_table *t = ctl_table_new(heads);
	unsigned int shown = 0;

	for (uint32_t id = 1; id <= s->high[KIND_ROLE]; id++) {
		const struct role *r = state_role(s, id);

		if (!r || (troubled_only && role_fine(s, r)))
			continue;
		role_row(ctl, t, r);
		shown++;
	}
	if (shown || !troubled_only)
		ctl_table_print(t, ctl->out, ctl->color, 0);
	else
		ctl_table_print(t, NULL, false, 0);
	return shown;
}

void ctl_table_resources(const struct ctl *ctl, uint32_t role)
{
	static const char *const heads[] = { "RESOURCE", "ROLE", "AGENT", "STATE", "NODE", "DEPENDS", "LAST ERROR", NULL };
	const struct field *depends = object_field(object_type(KIND_RESOURCE), "depends");
	const struct state *s = ctl->view.state;
	struct ctl_table *t = ctl_table_new(heads);
	char text[FIELD_TEXT_MAX];

	for (uint32_t id = 1; id <= s->high[KIND_RESOURCE]; id++) {
		const struct resource *x = state_resource(s, id);
		const struct role *r = x ? state_role(s, x->role) : NULL;

		if (!x || (role && x->role != role))
			continue;
		ctl_table_cell(t, TONE_PLAIN, "%s", x->name);
		ctl_table_cell(t, TONE_PLAIN, "%s", r ? r->name : "-");
		ctl_table_cell(t, TONE_PLAIN, "%s", x->agent);
		ctl_table_cell(t, tone_of_resource(x), "%s", enum_text(enum_values_resource_state, x->state));
		ctl_table_cell(t, TONE_PLAIN, "%s", r && x->state != RES_STOPPED ? ctl_node_name(ctl, r->owner) : "-");
		ctl_table_cell(t, TONE_PLAIN, "%s", ctl_field(ctl, depends, x, text));
		ctl_table_cell(t, TONE_PLAIN, "%s", *x->last_error ? x->last_error : x->last_rc ? "failed without a word" : "-");
	}
	ctl_table_print(t, ctl->out, ctl->color, 0);
}

/* Networks, rules, sets: their configuration fields as columns. */
void ctl_table_plain(const struct ctl *ctl, uint32_t kind)
{
	const struct object_type *type = object_type(kind);
	const struct state *s = ctl->view.state;
	const char *heads[TABLE_COLUMN_MAX] = { 0 };
	char head_text[TABLE_COLUMN_MAX][32], text[FIELD_TEXT_MAX];
	struct ctl_table *t;
	size_t n = 0;

	for (size_t i = 0; i < type->n_fields && n < TABLE_COLUMN_MAX - 1; i++) {
		const struct field *f = &type->fields[i];

		text_copy(head_text[n], sizeof(head_text[n]), f->flags & FIELD_FLAG_K ? type->name : f->name);
		for (char *p = head_text[n]; *p; p++)
			*p = (char)(*p == '_' ? ' ' : *p >= 'a' && *p <= 'z' ? *p - 32 : *p);
		heads[n] = head_text[n];
		n++;
	}
	t = ctl_table_new(heads);
	for (uint32_t id = 1; id <= s->high[kind]; id++) {
		const void *object = state_get(s, kind, id);

		for (size_t i = 0; object && i < n; i++)
			ctl_table_cell(t, TONE_PLAIN, "%s", ctl_field(ctl, &type->fields[i], object, text));
	}
	ctl_table_print(t, ctl->out, ctl->color, 0);
}

/* --- the page --- */

static void say(const struct ctl *ctl, enum ctl_tone tone, const char *text)
{
	ctl_tone_begin(ctl->out, ctl->color, tone);
	fputs(text, ctl->out);
	ctl_tone_end(ctl->out, ctl->color, tone);
	fputc('\n', ctl->out);
}

void ctl_say_stale(const struct ctl *ctl)
{
	const struct msg_answer_status *m = &ctl->view.self;

	if (m->self && !m->quorate && ctl->view.state->count[KIND_CLUSTER])
		say(ctl, TONE_BAD, "Below is what this node knew when it lost quorum; the others may have gone on since.");
}

/* The voters whose loss alone would leave the rest without quorum. */
static nodeset_t needed_voters(const struct ctl *ctl)
{
	nodeset_t members = ctl->view.self.members, needed = 0;

	for (nodeset_t left = members & votes_of(ctl->view.state).nodes; left; left &= left - 1)
		if (!foresee_quorum(ctl->view.state, members, NODE_BIT(nodeset_first(left)), true, NULL))
			needed |= NODE_BIT(nodeset_first(left));
	return needed;
}

static void warn_of_needed(const struct ctl *ctl)
{
	nodeset_t needed = ctl->view.self.quorate && ctl->view.state->count[KIND_NODE] > 1 ? needed_voters(ctl) : 0;
	char nodes[2 * TEXT_SIZE], text[4 * TEXT_SIZE];

	if (!needed)
		return;
	snprintf(text, sizeof(text), "One more loss may stop everything: without %s%s the rest has no quorum.",
		 nodeset_count(needed) > 1 ? "any of " : "", ctl_nodes(ctl, needed, nodes, sizeof(nodes)));
	say(ctl, TONE_WARN, text);
}

/* Roles avoid them, and somebody has to know why. */
static void warn_of_quarantine(const struct ctl *ctl)
{
	const struct state *s = ctl->view.state;
	char text[2 * TEXT_SIZE], at[32];

	for (uint32_t id = 1; id <= s->high[KIND_NODE]; id++) {
		const struct node *n = state_node(s, id);

		if (!n || n->quarantine_until_ms <= s->cluster.now_ms)
			continue;
		snprintf(text, sizeof(text),
			 "Node %s is quarantined until %s: it was lost too often; 'clusterctl node resume %s' ends it.",
			 n->name, ctl_time(n->quarantine_until_ms, at), n->name);
		say(ctl, TONE_WARN, text);
	}
}

static void headline(const struct ctl *ctl)
{
	const struct msg_answer_status *m = &ctl->view.self;
	const struct state *s = ctl->view.state;
	uint32_t online = 0;
	char text[4 * TEXT_SIZE], at[32];

	for (uint32_t id = 1; id <= s->high[KIND_NODE]; id++)
		online += state_node(s, id) && s->nodes[id].state == NODE_ONLINE && !is_away(ctl, id);
	if (!s->count[KIND_CLUSTER]) {
		say(ctl, TONE_WARN, "No cluster yet: it is created when a majority of corosync's nodes runs clusterd.");
	} else {
		snprintf(text, sizeof(text), "Cluster %s: %s, %u of %u nodes online, feature level %u%s%s",
			 s->cluster.name,
			 m->quorate && m->phase == PHASE_ACTIVE ? "quorate"
			 : m->quorate				? "quorate, forming"
								: "NO QUORUM here",
			 online, s->count[KIND_NODE], s->cluster.level, ctl->view.saved ? ", as saved " : "",
			 ctl->view.saved ? ctl_time(ctl->view.taken_ms, at) : "");
		say(ctl, m->quorate ? TONE_HEAD : TONE_BAD, text);
	}
}

static void warnings(const struct ctl *ctl)
{
	const struct msg_answer_status *m = &ctl->view.self;
	const struct cluster *c = ctl_cluster(ctl);
	char nodes[2 * TEXT_SIZE], text[4 * TEXT_SIZE];

	ctl_say_stale(ctl);
	if (c->disarmed)
		say(ctl, TONE_BAD, "DISARMED: nothing fences and nothing moves; 'clusterctl arm' ends it.");
	if (c->maintenance)
		say(ctl, TONE_WARN, "Maintenance: roles are left as they are; 'clusterctl cluster set maintenance=no' ends it.");
	warn_of_needed(ctl);
	warn_of_quarantine(ctl);
	if (m->stop_left_ms) {
		snprintf(text, sizeof(text), "This node stops its roles within %u s unless quorum returns.",
			 (m->stop_left_ms + 999) / 1000);
		say(ctl, TONE_BAD, text);
	}
	if (m->waiting_for) {
		snprintf(text, sizeof(text), "Waiting for %s: %s", ctl_nodes(ctl, m->waiting_for, nodes, sizeof(nodes)), m->text);
		say(ctl, TONE_WARN, text);
	} else if (m->phase != PHASE_ACTIVE && *m->text) {
		say(ctl, TONE_WARN, m->text);
	}
	if (m->slow) {
		snprintf(text, sizeof(text), "Slow, on disk or in answering: %s", ctl_nodes(ctl, m->slow, nodes, sizeof(nodes)));
		say(ctl, TONE_WARN, text);
	}
	if (*m->store_error) {
		snprintf(text, sizeof(text), "This node cannot write its database: %s", m->store_error);
		say(ctl, TONE_BAD, text);
	}
}

static void quorum_line(const struct ctl *ctl)
{
	const struct cluster *c = ctl_cluster(ctl);
	struct votes v = votes_of(ctl->view.state);
	uint32_t total = votes_total(v);
	nodeset_t here = ctl->view.self.members & v.nodes;
	uint32_t have = (uint32_t)nodeset_count(here) + (v.witness && ctl->view.self.witness_held);

	fprintf(ctl->out, "Votes: %u of %u here, %u needed; witness: %s%s\n", have, total, total / 2 + 1,
		enum_text(enum_values_witness_kind, c->witness),
		!c->witness ? "" : v.witness ? ", votes now" : ", does not vote now");
}

void ctl_page(const struct ctl *ctl)
{
	const struct state *s = ctl->view.state;
	uint32_t states[ROLE_FAILED + 1] = { 0 };
	bool many = s->count[KIND_ROLE] > CTL_STATUS_ROLES && !ctl->options.all;

	headline(ctl);
	if (s->count[KIND_CLUSTER])
		quorum_line(ctl);
	warnings(ctl);
	fputc('\n', ctl->out);
	ctl_table_nodes(ctl);
	fputc('\n', ctl->out);
	if (s->count[KIND_VOLUME]) {
		ctl_table_volumes(ctl);
		fputc('\n', ctl->out);
	}
	for (uint32_t id = 1; id <= s->high[KIND_ROLE]; id++)
		if (state_role(s, id) && s->roles[id].state <= ROLE_FAILED)
			states[s->roles[id].state]++;
	if (!s->count[KIND_ROLE]) {
		fprintf(ctl->out, "No roles; 'clusterctl role create NAME' makes one.\n");
		return;
	}
	if (many) {
		fprintf(ctl->out, "%u roles:", s->count[KIND_ROLE]);
		for (uint32_t i = 0, any = 0; i <= ROLE_FAILED; i++)
			if (states[i])
				fprintf(ctl->out, "%s %u %s", any++ ? "," : "", states[i], enum_text(enum_values_role_state, i));
		fprintf(ctl->out, ". Those that are not as they should be%s\n", " (--all shows every role):");
	}
	if (!ctl_table_roles(ctl, many))
		fprintf(ctl->out, "none\n");
}

int cmd_status(struct ctl *ctl)
{
	static const uint8_t kinds[] = { KIND_NODE, KIND_NETWORK, KIND_ROLE, KIND_RESOURCE, KIND_RULE, KIND_SET, KIND_VOLUME };
	char name[32];
	json_t *j;

	if (!ctl->options.json) {
		ctl_page(ctl);
		return EXIT_DONE;
	}
	j = ctl_json_envelope(ctl);
	json_object_set_new(j, "status", ctl_json_self(ctl));
	json_object_set_new(j, "settings", ctl_json_object(ctl, object_type(KIND_CLUSTER), ctl_cluster(ctl)));
	for (size_t i = 0; i < ARRAY_SIZE(kinds); i++)
		json_object_set_new(j, ctl_plural(kinds[i], name), ctl_json_all(ctl, kinds[i]));
	return ctl_json_print(ctl, j);
}
