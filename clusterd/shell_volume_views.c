/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * How volumes do, for clusterctl, as JSON: the state on each node, of which every node hears (MSG_MOUNTS), and the
 * counters, which are asked of all nodes when somebody wants them. Who asks while answers are on their way gets the
 * same ones; a node that does not answer in time is named.
 *
 *   CTL_VOLUMES --MSG_COUNT--> every node --MSG_COUNTS, ...--> all that are online have said their last, or GATHER_MS
 * -> answer
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cleanup.h"
#include "clusterd/core/node.h"
#include "clusterd/core/state.h"
#include "clusterd/shell_volumes.h"
#include "text.h"

#define GATHER_MS 2000
#define GATHERED_MAX (2 * VOLUME_MAX * NODE_MAX)

/* Words of programs may have any byte; JSON may not. */
static void put_json_text(FILE *f, const char *text)
{
	putc('"', f);
	for (const char *p = text; *p; p++)
		if (*p == '"' || *p == '\\')
			fprintf(f, "\\%c", *p);
		else if ((unsigned char)*p < ' ')
			fprintf(f, "\\u%04x", (unsigned int)(unsigned char)*p);
		else
			putc((unsigned char)*p < 0x7f ? *p : '?', f);
	putc('"', f);
}

static void put_member(FILE *f, const char *name, const char *text)
{
	fprintf(f, ", \"%s\": ", name);
	put_json_text(f, text);
}

static void put_number(FILE *f, const char *name, uint64_t value)
{
	fprintf(f, ", \"%s\": %llu", name, (unsigned long long)value);
}

static void answer_file(struct shell *s, uint32_t conn, FILE *f, char *const *text, const size_t *len)
{
	if (fclose(f) || !*text)
		shell_control_answer(s, conn, REFUSED_BUSY, "not enough memory for the answer; try again");
	else
		shell_control_answer_text(s, conn, *text, *len);
}

/* --- state --- */

/* NULL: nothing is known of it. */
static const struct volume_report *report_for(const struct volumes *v, const struct volume *volume, uint32_t node,
					      uint64_t now_ms, struct volume_report *own)
{
	const struct state *s = core_state(v->shell->core);

	for (uint32_t i = 0; node == v->shell->self && i < v->n_mounts; i++) {
		if (v->mounts[i]->id != volume->object.id || v->mounts[i]->number != volume->number)
			continue;
		*own = volumes_report(v, v->mounts[i], now_ms);
		return own;
	}
	return s->nodes[node].state == NODE_ONLINE ? report_find(v->reports[node], volume->object.id, volume->number)
						   : NULL;
}

static void put_view(FILE *f, const struct volumes *v, const struct volume *volume, uint32_t node, uint64_t now_ms)
{
	const struct state *s = core_state(v->shell->core);
	struct volume_report own;
	const struct volume_report *r = report_for(v, volume, node, now_ms, &own);

	fputs("{\"volume\": ", f);
	put_json_text(f, volume->name);
	put_member(f, "node", s->nodes[node].name);
	put_member(f, "state", vol_state_text(r ? r->state : VOL_UNAVAILABLE));
	put_member(f, "reason",
		   r && r->known			 ? vol_reason_text(r->reason)
		   : s->nodes[node].state == NODE_ONLINE ? "not-mounted"
							 : "node-not-online");
	fprintf(f, ", \"mounted\": %s", r && r->known ? "true" : "false");
	put_member(f, "owner", r && r->owner && state_node(s, r->owner) ? s->nodes[r->owner].name : "");
	put_number(f, "epoch", r ? r->epoch : 0);
	put_member(f, "device", volume->device);
	put_number(f, "device_bytes", r ? r->device_size : 0);
	put_number(f, "frozen_ms", r ? r->frozen_ms : 0);
	put_member(f, "trouble", r ? r->trouble : "");
	putc('}', f);
}

static void answer_states(struct shell *s, uint32_t conn, const char *name)
{
	const struct state *state = core_state(s->core);
	cleanup_free char *text = NULL;
	size_t len = 0, n = 0;
	FILE *f = open_memstream(&text, &len);

	if (!f) {
		shell_control_answer(s, conn, REFUSED_BUSY, "not enough memory for the answer; try again");
		return;
	}
	putc('[', f);
	for (uint32_t id = 1; id <= state->high[KIND_VOLUME]; id++) {
		const struct volume *volume = state_volume(state, id);

		for (uint32_t node = 1; volume && node <= state->high[KIND_NODE]; node++) {
			if (!state_node(state, node) || (*name && strcmp(name, volume->name) != 0))
				continue;
			fputs(n++ ? ",\n " : "", f);
			put_view(f, s->volumes, volume, node, watchdog_now_ms());
		}
	}
	fputs("]\n", f);
	answer_file(s, conn, f, &text, &len);
}

/* --- counters, as they are gathered --- */

static void put_latency(FILE *f, const char *name, const struct vol_latency *l)
{
	fprintf(f, ", \"%s\": [", name);
	for (unsigned int k = 0; k < VOL_LATENCY_BUCKETS; k++)
		fprintf(f, "%s%llu", k ? ", " : "", (unsigned long long)l->n[k]);
	putc(']', f);
}

static void put_count(FILE *f, const struct state *s, const struct gathered *g)
{
	const struct vol_status_is *is = &g->count.status;

	fputs("{\"volume\": ", f);
	put_json_text(f, s->volumes[g->count.volume].name);
	put_member(f, "node", s->nodes[g->node].name);
	put_member(f, "program", g->count.owner ? "csvfs-owner" : "csvfs");
	put_number(f, "at_ms", g->count.at_ms);
	put_number(f, "direct_read_bytes", is->direct_read);
	put_number(f, "direct_written_bytes", is->direct_written);
	put_number(f, "redirected_read_bytes", is->redirected_read);
	put_number(f, "redirected_written_bytes", is->redirected_written);
	put_number(f, "direct_ops", is->direct_ops);
	put_number(f, "redirected_ops", is->redirected_ops);
	put_number(f, "recalls", is->recalls);
	put_number(f, "pauses", is->pauses);
	put_number(f, "paused_ms", is->paused_ms);
	put_number(f, "files", is->files);
	put_number(f, "handles", is->handles);
	put_latency(f, "direct_read_us", &is->direct_read_us);
	put_latency(f, "direct_write_us", &is->direct_write_us);
	put_latency(f, "redirected_read_us", &is->redirected_read_us);
	put_latency(f, "redirected_write_us", &is->redirected_write_us);
	putc('}', f);
}

/* Of a volume that is there; of another one that had its id nothing is said. */
static bool is_wanted(const struct state *s, const struct gathered *g, const char *name)
{
	const struct volume *volume = state_volume(s, g->count.volume);

	return volume && volume->number == g->count.number && state_node(s, g->node) &&
	       (!*name || !strcmp(name, volume->name));
}

static void answer_counts(struct volumes *v, uint32_t conn, const char *name)
{
	const struct gathering *g = &v->gathering;
	const struct state *s = core_state(v->shell->core);
	cleanup_free char *text = NULL;
	size_t len = 0, n = 0;
	FILE *f = open_memstream(&text, &len);

	if (!f) {
		shell_control_answer(v->shell, conn, REFUSED_BUSY, "not enough memory for the answer; try again");
		return;
	}
	fputs("{\"counters\": [", f);
	for (uint32_t i = 0; i < g->n; i++) {
		if (!is_wanted(s, &g->list[i], name))
			continue;
		fputs(n++ ? ",\n " : "", f);
		put_count(f, s, &g->list[i]);
	}
	fputs("], \"missing\": [", f);
	n = 0;
	for (uint32_t node = 1; node <= NODE_MAX; node++) {
		if (!nodeset_has(g->missing, node) || !state_node(s, node))
			continue;
		fputs(n++ ? ", " : "", f);
		put_json_text(f, s->nodes[node].name);
	}
	fputs("]}\n", f);
	answer_file(v->shell, conn, f, &text, &len);
}

/* --- gathering --- */

static void gather_end(struct volumes *v)
{
	struct gathering *g = &v->gathering;

	for (uint32_t i = 0; i < g->n_clients; i++)
		answer_counts(v, g->clients[i].conn, g->clients[i].volume);
	free(g->list);
	*g = (struct gathering){ .asked = g->asked };
}

static void gather_begin(struct volumes *v)
{
	struct message m = { .type = MSG_COUNT };
	struct gathering *g = &v->gathering;

	/* Above those of runs of clusterd before this one, whose answers may still come. */
	g->asked = g->asked ? g->asked + 1 : core_incarnation(v->shell->core);
	g->until_ms = watchdog_now_ms() + GATHER_MS;
	g->missing = nodes_in(core_state(v->shell->core), NODE_ONLINE);
	m.count.asked = g->asked;
	if (volumes_send(v, &m))
		g->until_ms = 1; /* nobody hears it: answered at the next tick */
}

static void ask_counts(struct volumes *v, uint32_t conn, const char *name)
{
	struct gathering *g = &v->gathering;

	if (g->n_clients == ARRAY_SIZE(g->clients)) {
		shell_control_answer(v->shell, conn, REFUSED_BUSY, "too many clients ask for counters; try again");
		return;
	}
	g->clients[g->n_clients].conn = conn;
	text_copy(g->clients[g->n_clients].volume, NAME_SIZE, name);
	g->n_clients++;
	if (!g->until_ms)
		gather_begin(v);
}

static bool gather_add(struct gathering *g, uint32_t node, const struct volume_count *c)
{
	struct gathered *list;

	if (g->n == g->size) {
		uint32_t size = g->size ? 2 * g->size : 64;

		list = size <= 2 * GATHERED_MAX ? realloc(g->list, size * sizeof(*list)) : NULL;
		if (!list)
			return false;
		g->list = list;
		g->size = size;
	}
	g->list[g->n++] = (struct gathered){ node, *c };
	return true;
}

void volumes_counts_came(struct volumes *v, uint32_t sender, const struct msg_counts *m)
{
	struct reader r = reader_of(m->list.data, m->list.len);
	struct gathering *g = &v->gathering;
	struct volume_count c;

	if (m->to != v->shell->self || m->asked != g->asked || !nodeset_has(g->missing, sender))
		return;
	while (reader_left(&r) && !count_get(&r, &c))
		if (!gather_add(g, sender, &c))
			return; /* stays missing */
	if (m->last)
		g->missing &= ~NODE_BIT(sender);
	if (!g->missing)
		gather_end(v);
}

void volumes_gather_tick(struct volumes *v, uint64_t now_ms)
{
	struct gathering *g = &v->gathering;

	if (g->until_ms)
		g->missing &= nodes_in(core_state(v->shell->core), NODE_ONLINE);
	if (g->until_ms && (!g->missing || now_ms >= g->until_ms))
		gather_end(v);
}

void volumes_gather_close(struct volumes *v)
{
	if (v->gathering.until_ms)
		gather_end(v);
}

/* --- the other side: what this node has counted --- */

struct counts_out {
	struct volumes *volumes;
	struct message m;
	struct writer w;
};

static void counts_flush(struct counts_out *out, bool last)
{
	out->m.counts.last = last;
	out->m.counts.list = (struct span){ out->w.start, writer_len(&out->w) };
	volumes_send(out->volumes, &out->m);
	out->w.p = out->w.start;
}

static void counts_add(struct counts_out *out, const struct volume_count *c)
{
	if (writer_len(&out->w) + COUNT_ITEM_MAX > PAYLOAD_MAX)
		counts_flush(out, false);
	count_put(&out->w, c);
}

void volumes_count_asked(struct volumes *v, uint32_t sender, const struct msg_count *m)
{
	static uint8_t list[PAYLOAD_MAX];
	struct counts_out out = { .volumes = v, .m = { .type = MSG_COUNTS }, .w = writer_of(list, sizeof(list)) };

	if (!volumes_take_part(v))
		return;
	out.m.counts.to = sender;
	out.m.counts.asked = m->asked;
	for (uint32_t i = 0; i < v->n_mounts; i++) {
		const struct volume_mount *mount = v->mounts[i];
		struct volume_count c = { mount->id, mount->number, false, mount->status_ms, mount->status };

		if (mount->alive && mount->status_known && !mount->ending)
			counts_add(&out, &c);
	}
	for (uint32_t id = 1; id <= VOLUME_MAX; id++) {
		const struct volume_owner *o = v->owners[id];
		struct volume_count c = { .volume = id, .owner = true };

		if (!o || !o->status_known)
			continue;
		c.number = o->number;
		c.at_ms = o->answered_ms;
		c.status = o->status;
		counts_add(&out, &c);
	}
	counts_flush(&out, true);
}

/* --- from clusterctl --- */

void shell_volumes_answer(struct shell *s, uint32_t conn, const struct msg_ctl_volumes *m)
{
	if (m->volume[0] && !state_find(core_state(s->core), KIND_VOLUME, m->volume))
		shell_control_answer(s, conn, REFUSED_NOT_FOUND, "there is no volume of that name");
	else if (m->counters)
		ask_counts(s->volumes, conn, m->volume);
	else
		answer_states(s, conn, m->volume);
}
