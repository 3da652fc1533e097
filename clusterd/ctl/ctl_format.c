/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Values of the state in words. */
#include <string.h>
#include <time.h>

#include "clusterd/ctl/ctl.h"
#include "clusterd/ctl/ctl_table.h"
#include "clusterd/core/explain.h"
#include "clusterd/core/reason.h"
#include "text.h"

const char *ctl_node_name(const struct ctl *ctl, uint32_t node)
{
	const char *name = node ? state_name(ctl->view.state, KIND_NODE, node) : NULL;

	return name ? name : "-";
}

const char *ctl_nodes(const struct ctl *ctl, nodeset_t nodes, char *out, size_t size)
{
	size_t used = 0;

	out[0] = '\0';
	for (uint32_t id = 1; id <= NODE_MAX && used < size; id++)
		if (nodeset_has(nodes, id))
			used += (size_t)snprintf(out + used, size - used, "%s%s", used ? ", " : "", ctl_node_name(ctl, id));
	return *out ? out : "none";
}

const char *ctl_since(const struct ctl *ctl, uint64_t at_ms, char out[32])
{
	uint64_t s = ctl->view.taken_ms > at_ms ? (ctl->view.taken_ms - at_ms) / MS_PER_SECOND : 0;

	if (!at_ms)
		snprintf(out, 32, "-");
	else if (s < 120)
		snprintf(out, 32, "%us", (unsigned int)s);
	else if (s < 7200)
		snprintf(out, 32, "%umin", (unsigned int)(s / 60));
	else if (s < 48ull * 3600)
		snprintf(out, 32, "%uh", (unsigned int)(s / 3600));
	else
		snprintf(out, 32, "%llud", (unsigned long long)(s / 86400));
	return out;
}

const char *ctl_time(uint64_t at_ms, char out[32])
{
	time_t t = (time_t)(at_ms / MS_PER_SECOND);
	struct tm tm;
	size_t n;

	if (!at_ms || !localtime_r(&t, &tm)) {
		snprintf(out, 32, "-");
		return out;
	}
	n = strftime(out, 32, "%Y-%m-%d %H:%M:%S", &tm);
	snprintf(out + n, 32 - n, ".%03u", (unsigned int)(at_ms % MS_PER_SECOND));
	return out;
}

bool ctl_is_unit_ms(const struct field *field)
{
	return field->type == FIELD_MS || field->type == FIELD_TIME || field->type == FIELD_TIMES;
}

static void times_text(const uint64_t *times, char *out, size_t size)
{
	size_t used = 0;
	char one[32];

	for (size_t i = 0; i < UNCLEAN_MAX && times[i]; i++)
		used += (size_t)snprintf(out + used, size - used, "%s%s", used ? ", " : "", ctl_time(times[i], one));
	if (!used)
		snprintf(out, size, "-");
}

const char *ctl_field(const struct ctl *ctl, const struct field *field, const void *object, char *out)
{
	struct name_resolver names = state_resolver(ctl->view.state);
	const uint8_t *at = (const uint8_t *)object + field->offset;
	char raw[FIELD_TEXT_MAX], one[32];
	uint64_t number;

	switch (field->type) {
	case FIELD_TIME:
		memcpy(&number, at, sizeof(number));
		text_copy(out, FIELD_TEXT_MAX, ctl_time(number, one));
		return out;
	case FIELD_TIMES:
		times_text((const void *)at, out, FIELD_TEXT_MAX);
		return out;
	}
	if (!strcmp(field->name, "cluster_id") || !strcmp(field->name, "boot_id")) {
		memcpy(&number, at, sizeof(number));
		snprintf(raw, sizeof(raw), "%016llx", (unsigned long long)number);
	} else if (!strcmp(field->name, "reason") || !strcmp(field->name, "fence_reason")) {
		text_copy(raw, sizeof(raw), reason_name(*(const uint32_t *)(const void *)at));
	} else if (field_print(field, object, &names, raw, sizeof(raw)) < 0) {
		snprintf(raw, sizeof(raw), "(too long to show)");
	}
	ctl_clean(raw, out, FIELD_TEXT_MAX);
	if (!*out)
		snprintf(out, FIELD_TEXT_MAX, "-");
	return out;
}

const char *ctl_node_state(const struct ctl *ctl, const struct node *n)
{
	const struct node_load *load = &ctl->view.state->load[n->object.id];
	const struct msg_answer_status *m = &ctl->view.self;

	/* Without quorum the state stands still: all we know of the others is that they are not here. */
	if (m->self && !m->quorate && !nodeset_has(m->members, n->object.id))
		return "unreachable";
	if (n->fence_asked)
		return "to be fenced";
	if (n->quarantine_until_ms && n->state == NODE_ONLINE)
		return "quarantined";
	if (n->state != NODE_ONLINE || n->admin == ADMIN_UP)
		return enum_text(enum_values_node_state, n->state);
	if (n->admin == ADMIN_DRAINING && !load->roles)
		return "drained";
	return enum_text(enum_values_node_admin, n->admin);
}

const char *ctl_role_state(const struct ctl *ctl, const struct role *r)
{
	const struct msg_answer_status *m = &ctl->view.self;

	/* Without quorum the state stands still; what has become of the role since then is known of this node alone. */
	if (!m->self || m->quorate || !r->owner || ctl_cluster(ctl)->disarmed)
		return enum_text(enum_values_role_state, r->state);
	if (r->owner != m->self)
		return r->state == ROLE_ONLINE ? "was online" : "was on its way";
	return m->stop_left_ms ? "to be stopped" : "stopped here";
}

const char *ctl_role_reason(const struct ctl *ctl, const struct role *r, char *out, size_t size)
{
	explain_reason(ctl->view.state, r->object.id, true, out, size);
	return out;
}
