/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Requests of administrators. Names come from small pools, so that requests meet objects, and sometimes miss them. */
#include "tests/sim/load.h"

#include <stdlib.h>
#include <stdarg.h>
#include <string.h>

void load_begin(struct load_ops *o)
{
	o->w = writer_of(o->bytes, sizeof(o->bytes));
	o->op.verb = 0;
}

void load_end(struct load_ops *o)
{
	if (o->op.verb)
		change_op_encode(&o->w, &o->op);
	o->op.verb = 0;
}

void load_op(struct load_ops *o, enum change_verb verb, uint32_t kind, const char *name, const char *arg, bool force)
{
	load_end(o);
	o->op.verb = (uint8_t)verb;
	o->op.kind = (uint8_t)kind;
	o->op.force = force;
	o->op.n_fields = 0;
	snprintf(o->op.name, sizeof(o->op.name), "%s", name);
	snprintf(o->op.arg, sizeof(o->op.arg), "%s", arg);
}

void load_field(struct load_ops *o, enum edit_how how, const char *name, const char *format, ...)
{
	const struct object_type *type = object_type(o->op.kind);
	const struct field *field = type ? object_field(type, name) : NULL;
	uint32_t i = o->op.n_fields;
	va_list ap;

	if (!field || i >= ARRAY_SIZE(o->values))
		fprintf(stderr, "no field %s\n", name), abort();
	va_start(ap, format);
	vsnprintf(o->values[i], sizeof(o->values[i]), format, ap);
	va_end(ap);
	o->op.fields[i].number = field->number;
	o->op.fields[i].how = (uint8_t)how;
	o->op.fields[i].value = o->values[i];
	o->op.n_fields++;
}

size_t load_length(struct load_ops *o)
{
	load_end(o);
	return o->w.bad ? 0 : writer_len(&o->w);
}

/* ---- the set-up ---- */

static void cluster_op(struct world *w, struct load_ops *o)
{
	const struct world_options *p = &w->options;

	load_op(o, VERB_SET, KIND_CLUSTER, "sim", "", false);
	load_field(o, EDIT_SET, "quorum_grace", "%ums", p->grace_ms);
	load_field(o, EDIT_SET, "t_stop", "%ums", p->t_stop_ms);
	load_field(o, EDIT_SET, "fence_margin", "%ums", p->margin_ms);
	load_field(o, EDIT_SET, "stall", "%ums", p->stall_ms);
	load_field(o, EDIT_SET, "alive", "%ums", p->alive_ms);
	load_field(o, EDIT_SET, "quarantine_count", "%u", (uint32_t)rng_below(&w->rng, 4));
	if (rng_percent(&w->rng, 20))
		load_field(o, EDIT_SET, "node_ops_max", "%u", (uint32_t)rng_range(&w->rng, 1, 4));
	if (rng_percent(&w->rng, 15))
		load_field(o, EDIT_SET, "dynamic_quorum", "no");
	if (p->witness) {
		load_field(o, EDIT_SET, "witness", "share");
		load_field(o, EDIT_SET, "witness_target", "/witness");
	}
}

/* Two different objects of a pool, if it has two. */
static void load_pair(struct world *w, struct load_ops *o, enum edit_how how, const char *field, char letter,
		      uint32_t count)
{
	uint32_t first = (uint32_t)rng_range(&w->rng, 1, count);
	uint32_t second = count < 2 ? first : 1 + (first + (uint32_t)rng_below(&w->rng, count - 1)) % count;

	if (first == second)
		load_field(o, how, field, "%c%u", letter, first);
	else
		load_field(o, how, field, "%c%u,%c%u", letter, first, letter, second);
}

static void role_fields(struct world *w, const struct load_options *l, struct load_ops *o)
{
	static const char *const priorities[] = { "high", "medium", "medium", "medium", "low", "no-autostart" };
	static const char *const failbacks[] = { "no", "no", "immediate", "window" };

	load_field(o, EDIT_SET, "priority", "%s", priorities[rng_below(&w->rng, 6)]);
	load_field(o, EDIT_SET, "failback", "%s", failbacks[rng_below(&w->rng, 4)]);
	load_field(o, EDIT_SET, "failback_from_h", "%u", (uint32_t)rng_below(&w->rng, 12));
	load_field(o, EDIT_SET, "failback_to_h", "%u", (uint32_t)rng_range(&w->rng, 12, 24));
	load_field(o, EDIT_SET, "threshold", "%u", (uint32_t)rng_below(&w->rng, 6));
	load_field(o, EDIT_SET, "period", "%ums", (uint32_t)rng_range(&w->rng, 1000, 30000));
	if (rng_percent(&w->rng, 40))
		load_field(o, EDIT_SET, "preferred", "n%u", (uint32_t)rng_range(&w->rng, 1, w->options.nodes));
	if (rng_percent(&w->rng, 15))
		load_pair(w, o, EDIT_SET, "possible", 'n', w->options.nodes);
	if (l->capacity) {
		load_field(o, EDIT_SET, "cpu", "%u", (uint32_t)rng_below(&w->rng, w->options.cpu / 3 + 1));
		load_field(o, EDIT_SET, "memory_mb", "%u", (uint32_t)rng_below(&w->rng, w->options.memory_mb / 3 + 1));
	}
}

static void volume_ops(struct world *w, struct load_ops *o, uint32_t number)
{
	char name[NAME_SIZE];

	snprintf(name, sizeof(name), "v%u", number);
	load_op(o, VERB_CREATE, KIND_VOLUME, name, "", false);
	load_field(o, EDIT_SET, "device", "/dev/%u", number);
	if (rng_percent(&w->rng, 20))
		load_field(o, EDIT_SET, "redirected", "n%u", (uint32_t)rng_range(&w->rng, 1, w->options.nodes));
}

static void resource_fields(struct world *w, struct load_ops *o)
{
	static const char *const on_fail[] = {
		"restart", "restart", "restart", "failover", "failover", "ignore", "stop"
	};
	uint32_t stop_max = w->options.t_stop_ms - w->options.grace_ms;

	load_field(o, EDIT_SET, "start_timeout", "%ums", (uint32_t)rng_range(&w->rng, 1000, 6000));
	load_field(o, EDIT_SET, "stop_timeout", "%ums",
		   (uint32_t)rng_range(&w->rng, 1000, stop_max < 1000 ? 1000 : stop_max));
	load_field(o, EDIT_SET, "monitor_interval", "%ums",
		   rng_percent(&w->rng, 10) ? 0 : (uint32_t)rng_range(&w->rng, 500, 10000));
	load_field(o, EDIT_SET, "restart_threshold", "%u", (uint32_t)rng_below(&w->rng, 4));
	load_field(o, EDIT_SET, "restart_period", "%ums", (uint32_t)rng_range(&w->rng, 1000, 60000));
	load_field(o, EDIT_SET, "on_fail", "%s", on_fail[rng_below(&w->rng, 7)]);
}

static void role_ops(struct world *w, const struct load_options *l, struct load_ops *o, uint32_t number)
{
	char role[NAME_SIZE], name[NAME_SIZE];
	uint32_t count = (uint32_t)rng_range(&w->rng, 1, l->resources_max);

	snprintf(role, sizeof(role), "r%u", number);
	load_op(o, VERB_CREATE, KIND_ROLE, role, "", false);
	role_fields(w, l, o);
	if (l->volumes && rng_percent(&w->rng, 60))
		load_pair(w, o, EDIT_SET, "volumes", 'v', rng_percent(&w->rng, 70) ? 1 : l->volumes);
	for (uint32_t i = 0; i < count; i++) {
		snprintf(name, sizeof(name), "r%u-%c", number, (char)('a' + i));
		load_op(o, VERB_CREATE, KIND_RESOURCE, name, "", false);
		load_field(o, EDIT_SET, "role", "%s", role);
		load_field(o, EDIT_SET, "agent", "ocf:sim:thing");
		resource_fields(w, o);
		if (i && rng_percent(&w->rng, 70))
			load_field(o, EDIT_SET, "depends", "r%u-%c", number, (char)('a' + rng_below(&w->rng, i)));
	}
}

static void rule_ops(struct world *w, const struct load_options *l, struct load_ops *o, uint32_t number)
{
	static const char *const scopes[] = { "node", "node", "fault-domain", "site" };
	char name[NAME_SIZE];

	snprintf(name, sizeof(name), "k%u", number);
	load_op(o, VERB_CREATE, KIND_RULE, name, "", false);
	load_field(o, EDIT_SET, "kind", rng_percent(&w->rng, 40) ? "affinity" : "anti-affinity");
	load_field(o, EDIT_SET, "hard", rng_percent(&w->rng, 50) ? "yes" : "no");
	load_field(o, EDIT_SET, "scope", "%s", scopes[rng_below(&w->rng, 4)]);
	load_pair(w, o, EDIT_ADD, "roles", 'r', l->roles);
}

static void set_ops(struct world *w, const struct load_options *l, struct load_ops *o, uint32_t number)
{
	char name[NAME_SIZE];

	snprintf(name, sizeof(name), "s%u", number);
	load_op(o, VERB_CREATE, KIND_SET, name, "", false);
	load_pair(w, o, EDIT_ADD, "roles", 'r', l->roles);
	load_field(o, EDIT_SET, "delay", "%ums", (uint32_t)rng_below(&w->rng, 2000));
	if (number > 1)
		load_field(o, EDIT_ADD, "after", "s%u", number - 1);
}

bool load_setup(struct world *w, const struct load_options *l, uint32_t step, struct load_ops *o)
{
	load_begin(o);
	if (step == 0)
		cluster_op(w, o);
	else if (step <= l->volumes)
		volume_ops(w, o, step);
	else if ((step -= l->volumes) <= l->roles)
		role_ops(w, l, o, step);
	else if (step <= l->roles + l->rules)
		rule_ops(w, l, o, step - l->roles);
	else if (step <= l->roles + l->rules + l->sets)
		set_ops(w, l, o, step - l->roles - l->rules);
	else
		return false;
	return true;
}

/* ---- random requests ---- */

static const char *role_name(struct world *w, const struct load_options *l, char *out)
{
	snprintf(out, NAME_SIZE, "r%u", (uint32_t)rng_range(&w->rng, 1, l->roles + 1));
	return out;
}

static const char *resource_name(struct world *w, const struct load_options *l, char *out)
{
	snprintf(out, NAME_SIZE, "r%u-%c", (uint32_t)rng_range(&w->rng, 1, l->roles + 1),
		 (char)('a' + rng_below(&w->rng, l->resources_max)));
	return out;
}

static const char *node_name(struct world *w, char *out)
{
	snprintf(out, NAME_SIZE, "n%u", (uint32_t)rng_range(&w->rng, 1, w->options.nodes));
	return out;
}

static void ask_role(struct world *w, const struct load_options *l, struct load_ops *o)
{
	static const enum change_verb verbs[] = { VERB_ROLE_START, VERB_ROLE_START, VERB_ROLE_STOP, VERB_ROLE_MOVE,
						  VERB_ROLE_MOVE,  VERB_ROLE_MOVE,  VERB_CLEANUP };
	enum change_verb verb = verbs[rng_below(&w->rng, ARRAY_SIZE(verbs))];
	char name[NAME_SIZE], arg[NAME_SIZE] = "";

	if (verb == VERB_ROLE_MOVE && rng_percent(&w->rng, 60))
		node_name(w, arg);
	load_op(o, verb, KIND_ROLE, role_name(w, l, name), arg, rng_percent(&w->rng, 10));
}

static void ask_resource(struct world *w, const struct load_options *l, struct load_ops *o)
{
	char name[NAME_SIZE];

	resource_name(w, l, name);
	switch (rng_below(&w->rng, 4)) {
	case 0:
		load_op(o, VERB_RESTART, KIND_RESOURCE, name, "", false);
		break;
	case 1:
		load_op(o, VERB_CLEANUP, KIND_RESOURCE, name, "", false);
		break;
	case 2:
		load_op(o, VERB_SET, KIND_RESOURCE, name, "", false);
		load_field(o, EDIT_ADD, "params", "p%u=%u", (uint32_t)rng_below(&w->rng, 4),
			   (uint32_t)rng_below(&w->rng, 100));
		break;
	default:
		load_op(o, VERB_SET, KIND_RESOURCE, name, "", false);
		resource_fields(w, o);
	}
}

static void ask_node(struct world *w, const struct load_options *l, struct load_ops *o)
{
	static const enum change_verb verbs[] = { VERB_NODE_PAUSE, VERB_NODE_RESUME, VERB_NODE_RESUME,
						  VERB_NODE_DRAIN, VERB_NODE_STOP,   VERB_NODE_EVICT };
	enum change_verb verb = verbs[rng_below(&w->rng, ARRAY_SIZE(verbs))];
	char name[NAME_SIZE];

	if (verb == VERB_NODE_STOP && !l->node_stop)
		verb = VERB_NODE_RESUME;
	if (verb == VERB_NODE_EVICT && !l->evict)
		verb = VERB_NODE_RESUME;
	load_op(o, verb, KIND_NODE, node_name(w, name),
		verb == VERB_NODE_RESUME && rng_percent(&w->rng, 50) ? "failback" : "",
		verb != VERB_NODE_EVICT && rng_percent(&w->rng, 15));
}

static void ask_fields(struct world *w, const struct load_options *l, struct load_ops *o)
{
	char name[NAME_SIZE];

	switch (rng_below(&w->rng, 8)) {
	case 0:
		load_op(o, VERB_SET, KIND_NODE, node_name(w, name), "", false);
		load_field(o, EDIT_SET, "may_vote", rng_percent(&w->rng, 80) ? "yes" : "no");
		break;
	case 1:
		load_op(o, VERB_SET, KIND_NODE, node_name(w, name), "", false);
		load_field(o, EDIT_SET, "site", "site%u", (uint32_t)rng_below(&w->rng, 3));
		load_field(o, EDIT_SET, "fault_domain", "rack%u", (uint32_t)rng_below(&w->rng, 3));
		if (l->maintenance)
			load_field(o, EDIT_SET, "maintenance", rng_percent(&w->rng, 30) ? "yes" : "no");
		break;
	case 2:
		load_op(o, VERB_SET, KIND_CLUSTER, "sim", "", false);
		load_field(o, EDIT_SET, "dynamic_quorum", rng_percent(&w->rng, 70) ? "yes" : "no");
		load_field(o, EDIT_SET, "lower_priority_node", "n%u",
			   (uint32_t)rng_range(&w->rng, 1, w->options.nodes));
		break;
	case 3:
		load_op(o, VERB_SET, KIND_CLUSTER, "sim", "", false);
		load_field(o, EDIT_SET, "preemption", rng_percent(&w->rng, 70) ? "yes" : "no");
		load_field(o, EDIT_SET, "node_ops_max", "%u", (uint32_t)rng_range(&w->rng, 1, 40));
		if (l->disarm)
			load_field(o, EDIT_SET, "disarmed", rng_percent(&w->rng, 30) ? "yes" : "no");
		if (l->maintenance)
			load_field(o, EDIT_SET, "maintenance", rng_percent(&w->rng, 30) ? "yes" : "no");
		if (w->options.witness && rng_percent(&w->rng, 30))
			load_field(o, EDIT_SET, "witness", rng_percent(&w->rng, 50) ? "share" : "none");
		break;
	default:
		load_op(o, VERB_SET, KIND_ROLE, role_name(w, l, name), "", false);
		role_fields(w, l, o);
		if (l->maintenance && rng_percent(&w->rng, 20))
			load_field(o, EDIT_SET, "maintenance", rng_percent(&w->rng, 30) ? "yes" : "no");
	}
}

static void ask_objects(struct world *w, const struct load_options *l, struct load_ops *o)
{
	char name[NAME_SIZE], other[NAME_SIZE];

	switch (rng_below(&w->rng, 8)) {
	case 0:
		load_op(o, VERB_DELETE, KIND_ROLE, role_name(w, l, name), "", rng_percent(&w->rng, 30));
		break;
	case 1:
		load_op(o, VERB_DELETE, KIND_RESOURCE, resource_name(w, l, name), "", rng_percent(&w->rng, 30));
		break;
	case 2:
	case 3:
		role_ops(w, l, o, (uint32_t)rng_range(&w->rng, 1, l->roles + 1));
		break;
	case 4:
		snprintf(name, sizeof(name), "k%u", (uint32_t)rng_range(&w->rng, 1, l->rules + 1));
		load_op(o, VERB_DELETE, KIND_RULE, name, "", false);
		break;
	case 5:
		rule_ops(w, l, o, (uint32_t)rng_range(&w->rng, 1, l->rules + 1));
		break;
	case 6:
		set_ops(w, l, o, (uint32_t)rng_range(&w->rng, 1, l->sets + 1));
		break;
	default:
		load_op(o, VERB_RENAME, KIND_ROLE, role_name(w, l, name), role_name(w, l, other), false);
	}
}

static const char *volume_name(struct world *w, const struct load_options *l, const char *prefix, char *out)
{
	snprintf(out, NAME_SIZE, "%sv%u", prefix, (uint32_t)rng_range(&w->rng, 1, l->volumes + 1));
	return out;
}

static void ask_volume(struct world *w, const struct load_options *l, struct load_ops *o)
{
	static const enum change_verb verbs[] = { VERB_ROLE_START, VERB_ROLE_START, VERB_ROLE_STOP, VERB_ROLE_MOVE,
						  VERB_ROLE_MOVE,  VERB_CLEANUP };
	char name[NAME_SIZE], other[NAME_SIZE] = "";
	uint64_t x = rng_below(&w->rng, 10);

	if (x < 5) {
		enum change_verb verb = verbs[rng_below(&w->rng, ARRAY_SIZE(verbs))];

		if (verb == VERB_ROLE_MOVE && rng_percent(&w->rng, 60))
			node_name(w, other);
		load_op(o, verb, KIND_VOLUME, volume_name(w, l, "", name), other, rng_percent(&w->rng, 50));
	} else if (x == 5) {
		volume_ops(w, o, (uint32_t)rng_range(&w->rng, 1, l->volumes + 1));
	} else if (x == 6 && l->churn) {
		load_op(o, rng_percent(&w->rng, 70) ? VERB_DELETE : VERB_RENAME, KIND_VOLUME, volume_name(w, l, "", name), "",
			rng_percent(&w->rng, 50));
		if (o->op.verb == VERB_RENAME)
			volume_name(w, l, "", o->op.arg);
	} else if (x == 7) {
		/* What would part a volume from its ownership. */
		load_op(o, rng_percent(&w->rng, 50) ? VERB_DELETE : VERB_SET, KIND_ROLE, volume_name(w, l, "volume.", name), "",
			true);
		if (o->op.verb == VERB_SET)
			role_fields(w, l, o);
	} else {
		load_op(o, VERB_SET, KIND_ROLE, role_name(w, l, name), "", false);
		load_field(o, rng_percent(&w->rng, 50) ? EDIT_ADD : EDIT_REMOVE, "volumes", "%s",
			   volume_name(w, l, "", other));
	}
}

static void ask_hostile(struct world *w, const struct load_options *l, struct load_ops *o)
{
	size_t len;

	w->counts[COUNT_requests_hostile]++;
	if (rng_percent(&w->rng, 50)) {
		len = rng_below(&w->rng, 300);
		for (size_t i = 0; i < len; i++)
			put_u8(&o->w, (uint8_t)rng_next(&w->rng));
		return;
	}
	ask_fields(w, l, o);
	len = load_length(o);
	for (uint32_t i = 0; i < 3 && len; i++) {
		/* Not the verbs that vouch for something outside: an administrator who lies about a fence is not
		 * survived. */
		uint8_t *at = &o->bytes[1 + rng_below(&w->rng, len - 1)];

		*at ^= (uint8_t)(1 << rng_below(&w->rng, 8));
	}
	if (rng_percent(&w->rng, 50))
		o->w.p = o->w.start + rng_below(&w->rng, len);
}

uint32_t load_random(struct world *w, const struct load_options *l, struct load_ops *o)
{
	uint64_t x = rng_below(&w->rng, 100);
	char name[NAME_SIZE];

	load_begin(o);
	if (l->volumes && rng_percent(&w->rng, 12)) {
		ask_volume(w, l, o);
		return 0;
	}
	if (x < 40 && w->next_mark < SIM_MARKS) {
		snprintf(name, sizeof(name), "mark-%u", w->next_mark);
		load_op(o, VERB_CREATE, KIND_SET, name, "", false);
		return w->next_mark++;
	}
	if (x < 60)
		ask_role(w, l, o);
	else if (x < 70)
		ask_resource(w, l, o);
	else if (x < 78)
		ask_node(w, l, o);
	else if (x < 88)
		ask_fields(w, l, o);
	else if (x < 96 && l->churn)
		ask_objects(w, l, o);
	else if (x < 99 && l->hostile)
		ask_hostile(w, l, o);
	else
		load_op(o, VERB_UPGRADE, KIND_CLUSTER, "sim", "", false);
	return 0;
}

/* ---- the end: an administrator puts right what was asked for ---- */

static bool tidy_roles(const struct state *s, struct load_ops *o)
{
	bool any = false;
	uint32_t count = 0;

	for (uint32_t id = 1; id <= s->high[KIND_ROLE] && count < 100; id++) {
		const struct role *r = state_role(s, id);

		if (!r)
			continue;
		if (r->state == ROLE_FAILED || (r->banned && r->state == ROLE_PENDING)) {
			load_op(o, VERB_CLEANUP, KIND_ROLE, r->name, "", false);
			any = true;
			count++;
		}
		if (r->maintenance) {
			load_op(o, VERB_SET, KIND_ROLE, r->name, "", false);
			load_field(o, EDIT_SET, "maintenance", "no");
			any = true;
			count++;
		}
	}
	return any;
}

bool load_tidy(struct world *w, const struct state *s, struct load_ops *o)
{
	bool any = false;

	load_begin(o);
	if (s->cluster.disarmed || s->cluster.maintenance || s->cluster.quarantine_count) {
		load_op(o, VERB_SET, KIND_CLUSTER, s->cluster.name, "", false);
		load_field(o, EDIT_SET, "disarmed", "no");
		load_field(o, EDIT_SET, "maintenance", "no");
		load_field(o, EDIT_SET, "quarantine_count", "0");
		any = true;
	}
	for (uint32_t id = 1; id <= w->options.nodes; id++) {
		const struct node *n = state_node(s, id);

		if (!n)
			continue;
		if (n->admin != ADMIN_UP || n->quarantine_until_ms > s->cluster.now_ms) {
			load_op(o, VERB_NODE_RESUME, KIND_NODE, n->name, "", false);
			any = true;
		}
		if (n->maintenance) {
			load_op(o, VERB_SET, KIND_NODE, n->name, "", false);
			load_field(o, EDIT_SET, "maintenance", "no");
			any = true;
		}
	}
	return tidy_roles(s, o) || any;
}
