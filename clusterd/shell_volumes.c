/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Cluster shared volumes on this node: every volume of the state is mounted while this node takes part; owners are told to
 * csvfs, ended runs of csvfs to the owner here; what can be used here to the core, how it goes to the other nodes.
 *
 * A run of csvfs begins when a majority knows its number (node.mount_run). So when a node is down, all runs up to that
 * number have ended, and a question that is late can never mean one that began afterwards.
 */
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cleanup.h"
#include "clock.h"
#include "clusterd/core/node.h"
#include "clusterd/core/state.h"
#include "clusterd/core/volume_use.h"
#include "clusterd/log.h"
#include "clusterd/shell_volumes.h"
#include "clusterd/volume_users.h"
#include "text.h"

#define REPORT_REPEAT_MS 5000
#define PROGRAM_NODE "csvfs"

/* --- what the state wants --- */

static const struct node *self_node(const struct volumes *v)
{
	return state_node(core_state(v->shell->core), v->shell->self);
}

bool volumes_take_part(const struct volumes *v)
{
	const struct node *n = self_node(v);
	struct core_status status;

	core_status(v->shell->core, watchdog_now_ms(), &status);
	return status.phase == PHASE_ACTIVE && n && n->state == NODE_ONLINE && n->incarnation == core_incarnation(v->shell->core);
}

/* It leaves in order, and nothing runs here any more that could use a volume. */
static bool leaves(const struct volumes *v)
{
	const struct node *n = self_node(v);
	struct core_status status;

	core_status(v->shell->core, watchdog_now_ms(), &status);
	return n && n->admin == ADMIN_STOPPING && status.phase == PHASE_ACTIVE && !status.runs &&
	       !core_state(v->shell->core)->load[v->shell->self].roles;
}

static const struct resource *owner_resource(const struct state *s, const struct volume *volume)
{
	return state_role(s, volume->role) ? state_resource(s, s->role_resource[volume->role]) : NULL;
}

uint64_t shell_epoch(uint64_t since_ms, uint64_t op) { return (since_ms << 10) + op; }

static const char *address_of(struct volumes *v, uint32_t node)
{
	struct mount_owner *a = &v->addresses[node];

	if (!a->address[0] && ring_address(v->shell->ring, node, a->address, sizeof(a->address)))
		a->address[0] = '\0';
	return a->address;
}

/* False: there is none that serves now. */
static bool serving_owner(struct volumes *v, const struct volume *volume, struct mount_owner *ret)
{
	const struct state *s = core_state(v->shell->core);
	const struct resource *r = owner_resource(s, volume);

	if (!r || r->state != RES_STARTED || !s->roles[volume->role].owner)
		return false;
	*ret = (struct mount_owner){ .epoch = shell_epoch(r->since_ms, 0), .node = s->roles[volume->role].owner,
				     .port = volume_port(volume) };
	text_copy(ret->address, sizeof(ret->address), address_of(v, ret->node));
	return ret->address[0];
}

/* --- mounts --- */

static struct volume_mount *mount_of(struct volumes *v, const struct volume *volume)
{
	for (uint32_t i = 0; i < v->n_mounts; i++)
		if (v->mounts[i]->id == volume->object.id && v->mounts[i]->number == volume->number && !v->mounts[i]->ending)
			return v->mounts[i];
	return NULL;
}

/* The name is taken until an older mount of it has ended. */
static bool name_is_taken(const struct volumes *v, const char *name)
{
	for (uint32_t i = 0; i < v->n_mounts; i++)
		if (!strcmp(v->mounts[i]->name, name))
			return true;
	return false;
}

static struct volume_mount *mount_add(struct volumes *v)
{
	struct volume_mount *m = v->n_mounts < MOUNTS_MAX ? calloc(1, sizeof(*m)) : NULL;

	if (m)
		v->mounts[v->n_mounts++] = m;
	return m;
}

static void mount_drop(struct volumes *v, uint32_t at)
{
	mount_done(v->mounts[at]);
	free(v->mounts[at]);
	v->mounts[at] = v->mounts[--v->n_mounts];
	v->event_due = v->report_due = true;
}

static void want_mount(struct volumes *v, const struct volume *volume)
{
	struct volume_mount *m;

	if (mount_of(v, volume) || name_is_taken(v, volume->name))
		return;
	m = mount_add(v);
	if (!m)
		return;
	if (mount_init(m, &v->around, volume->object.id, volume->number, core_state(v->shell->core)->cluster.cluster_id,
		       volume->name)) {
		log_error("volume_name", "volume=%s why=%s", volume->name, log_quote("its path is too long"));
		free(m);
		v->n_mounts--;
	}
}

/* A number for its next run, once it is certain that no other serves the volume here. */
static void give_run(struct volumes *v, struct volume_mount *m)
{
	uint64_t least = core_incarnation(v->shell->core);

	if (m->alive || m->numbered)
		return;
	if (volume_served(m->dir)) {
		if (!m->trouble[0])
			log_error("volume_served", "volume=%s dir=%s why=%s", m->name, log_quote(m->dir),
				  log_quote("a csvfs that clusterd knows nothing of serves it: end it"));
		text_copy(m->trouble, sizeof(m->trouble), "a csvfs that clusterd knows nothing of serves it on this node: end it");
		return;
	}
	if (least < self_node(v)->mount_run + 1)
		least = self_node(v)->mount_run + 1;
	v->run = v->run + 1 > least ? v->run + 1 : least;
	m->run = v->run;
	m->numbered = true;
	v->run_tag = (struct tag){ 0, 0 };
	v->event_due = true;
}

/* A majority has it on disk. */
static void learn_run(struct volumes *v)
{
	const struct state *s = core_state(v->shell->core);
	struct core_status status;

	if (v->run_known >= v->run || self_node(v)->mount_run < v->run)
		return;
	core_status(v->shell->core, watchdog_now_ms(), &status);
	if (!v->run_tag.epoch || v->run_tag.epoch != s->tag.epoch)
		v->run_tag = s->tag;
	if (status.durable.epoch == v->run_tag.epoch && status.durable.seq >= v->run_tag.seq)
		v->run_known = v->run;
}

static void tick_mount(struct volumes *v, struct volume_mount *m, uint64_t now_ms, bool part)
{
	const struct volume *volume = state_volume(core_state(v->shell->core), m->id);
	struct mount_owner owner;
	bool serving;

	if (volume && (volume->number != m->number || core_state(v->shell->core)->cluster.cluster_id != m->cluster))
		volume = NULL;
	if (part && !m->ending && (!volume || strcmp(volume->name, m->name) != 0))
		mount_end(m, volume ? "it was renamed" : "it was deleted");
	if (part && volume && !m->ending && !m->alive && !v->killed) {
		text_copy(m->device, sizeof(m->device), volume->device);
		m->pause_max_ms = volume->pause_max_ms;
		give_run(v, m);
		if (m->numbered && m->run <= v->run_known)
			mount_start(m, now_ms);
	}
	serving = volume && serving_owner(v, volume, &owner);
	mount_tick(m, now_ms, serving ? &owner : NULL, volume && nodeset_has(volume->redirected, v->shell->self));
}

static void tick_mounts(struct volumes *v, uint64_t now_ms)
{
	const struct state *s = core_state(v->shell->core);
	bool part = volumes_take_part(v), leaving = leaves(v);

	for (uint32_t id = 1; part && !leaving && id <= s->high[KIND_VOLUME]; id++)
		if (state_volume(s, id))
			want_mount(v, state_volume(s, id));
	if (part) {
		v->killed &= v->n_alive != 0;
		learn_run(v);
	}
	for (uint32_t i = 0; i < v->n_mounts; i++) {
		if (leaving)
			mount_end(v->mounts[i], "this node leaves the cluster");
		tick_mount(v, v->mounts[i], now_ms, part && !leaving);
	}
	for (uint32_t i = v->n_mounts; i-- > 0;)
		if (v->mounts[i]->gone)
			mount_drop(v, i);
}

/* --- owners --- */

/* The name under which the agent has started it: volumes can be renamed meanwhile. */
static bool started_name(const struct shell *s, uint32_t resource, char *out, size_t size)
{
	const char *at = s->started[resource].params;

	while (at && *at) {
		if (!strncmp(at, "volume=", 7)) {
			text_copy_n(out, size, at + 7, strcspn(at + 7, "\n"));
			return true;
		}
		at = strchr(at, '\n');
		at += at != NULL;
	}
	return false;
}

static void drop_owner(struct volumes *v, uint32_t id)
{
	if (id >= ARRAY_SIZE(v->owners))
		return;
	if (v->owners[id]) {
		owner_done(v->owners[id]);
		free(v->owners[id]);
	}
	v->owners[id] = NULL;
}

struct volume_owner *volumes_owner_here(struct volumes *v, uint32_t id)
{
	const struct state *s = core_state(v->shell->core);
	const struct volume *volume = state_volume(s, id);
	const struct resource *r = volume ? owner_resource(s, volume) : NULL;
	struct volume_owner *o = id < ARRAY_SIZE(v->owners) ? v->owners[id] : NULL;
	char name[NAME_SIZE];

	if (!r || s->roles[volume->role].owner != v->shell->self || (r->state != RES_STARTED && r->state != RES_UNKNOWN) ||
	    !started_name(v->shell, r->object.id, name, sizeof(name)) || (o && o->number != volume->number)) {
		drop_owner(v, id);
		return NULL;
	}
	if (!o) {
		o = calloc(1, sizeof(*o));
		if (!o || owner_init(o, v->shell->loop, v->shell->options.run_dir, v->shell->options.log_file, id, volume->number,
				     name)) {
			free(o);
			return NULL;
		}
		v->owners[id] = o;
	}
	o->recall_ms = volume->recall_ms;
	return o;
}

/*
 * What proves that runs of csvfs have ended: their node is down, by the same condition by which its roles start elsewhere;
 * or the node itself says so. Of one that is not in the cluster any more nothing ran when it was taken out.
 */
static void note_ended(struct volumes *v, struct volume_owner *o)
{
	const struct state *s = core_state(v->shell->core);

	for (uint32_t node = 1; node <= NODE_MAX; node++) {
		const struct volume_report *r = report_find(v->reports[node], o->id, o->number);

		if (r && r->run)
			owner_note_ended(o, node, r->run - 1);
		if (!state_node(s, node)) {
			if (o->status_known && nodeset_has(o->status.waiting_for, node) && !o->ended[node])
				owner_note_ended(o, node, s->cluster.now_ms);
		} else if (s->nodes[node].state == NODE_DOWN) {
			owner_note_ended(o, node, s->nodes[node].mount_run);
		}
	}
}

static void report_silent(struct volumes *v, const struct volume_owner *o, uint32_t node)
{
	struct core_event e = { .kind = EVENT_SILENT };

	log_error("volume_silent", "volume=%s node=%u why=%s", state_name(core_state(v->shell->core), KIND_VOLUME, o->id), node,
		  log_quote("it keeps blocks that its owner wants back, or does not come back to the new owner"));
	e.silent.node = node;
	e.silent.of = (struct volume_mark){ o->id, o->number };
	shell_step_later(v->shell, &e);
}

static void tick_owners(struct volumes *v, uint64_t now_ms)
{
	const struct state *s = core_state(v->shell->core);
	nodeset_t present = nodes_in(s, NODE_ONLINE);

	for (uint32_t id = 1; id < ARRAY_SIZE(v->owners); id++) {
		struct volume_owner *o;
		uint32_t silent;

		if (!v->owners[id] && (id > s->high[KIND_VOLUME] || !state_volume(s, id)))
			continue;
		o = volumes_owner_here(v, id);
		if (!o)
			continue;
		note_ended(v, o);
		v->report_due |= o->status_known && !o->status.frozen_ms != !o->frozen_told;
		o->frozen_told = o->status_known && o->status.frozen_ms;
		silent = owner_tick(o, now_ms, present);
		if (silent && volumes_take_part(v))
			report_silent(v, o, silent);
	}
}

/* --- telling --- */

static void tell_core(struct volumes *v, uint64_t now_ms)
{
	struct core_event e = { .kind = EVENT_VOLUMES };
	struct volume_mark up[VOLUME_MAX];
	uint32_t n = 0, alive = 0;
	bool known = true;

	for (uint32_t i = 0; i < v->n_mounts; i++) {
		const struct volume_mount *m = v->mounts[i];

		alive += m->alive;
		known &= mount_is_known(m, now_ms);
		if (!m->ending && mount_is_up(m, now_ms) && n < VOLUME_MAX)
			up[n++] = (struct volume_mark){ m->id, m->number };
	}
	v->event_due |= alive != v->n_alive || (known && (n != v->n_up || memcmp(up, v->up, n * sizeof(up[0])) != 0));
	v->event_due |= known && !v->told_up;
	if (!v->event_due)
		return;
	v->event_due = false;
	v->n_alive = alive;
	if (known || v->told_up) {
		v->told_up = true;
		v->n_up = n;
		memcpy(v->up, up, n * sizeof(up[0]));
	}
	e.volumes.up = v->told_up ? v->up : NULL;
	e.volumes.n = v->n_up;
	e.volumes.mounts = alive;
	e.volumes.run = v->run;
	shell_step_later(v->shell, &e);
}

struct volume_report volumes_report(const struct volumes *v, const struct volume_mount *m, uint64_t now_ms)
{
	const struct volume_owner *owner = m->id < ARRAY_SIZE(v->owners) ? v->owners[m->id] : NULL;
	struct volume_report r = { .volume = m->id, .number = m->number, .run = m->run };

	r.known = m->alive && m->status_known;
	r.state = r.known && (m->ending || mount_is_up(m, now_ms)) ? m->status.state : VOL_UNAVAILABLE;
	r.reason = r.known ? m->status.reason : VOL_NO_REASON;
	r.owner = r.known ? m->status.owner_node : 0;
	r.epoch = r.known ? m->status.epoch : 0;
	r.device_size = r.known ? m->status.device_size : 0;
	r.frozen_ms = owner && owner->status_known && owner->number == m->number ? owner->status.frozen_ms : 0;
	text_copy(r.trouble, sizeof(r.trouble), m->trouble);
	return r;
}

int volumes_send(struct volumes *v, struct message *m)
{
	static uint8_t frame[FRAME_MAX];
	int len;

	m->cluster_id = core_state(v->shell->core)->cluster.cluster_id;
	m->view = v->view;
	m->sent_ms = clock_ms(CLOCK_REALTIME);
	len = message_encode(m, frame, sizeof(frame));
	return len < 0 ? len : ring_send(v->shell->ring, frame, (size_t)len);
}

static void tell_others(struct volumes *v, uint64_t now_ms)
{
	static uint8_t list[PAYLOAD_MAX];
	struct message m = { .type = MSG_MOUNTS };
	struct writer w = writer_of(list, sizeof(list));

	if (!volumes_take_part(v) || (!v->report_due && (!v->n_mounts || now_ms - v->report_ms < REPORT_REPEAT_MS)))
		return;
	v->report_due = false;
	v->report_ms = now_ms;
	for (uint32_t i = 0; i < v->n_mounts && i < VOLUME_MAX; i++) {
		struct volume_report r = volumes_report(v, v->mounts[i], now_ms);

		/* Of two of one volume the older one lives: nothing that the newer one could say is proven. */
		if (v->mounts[i]->run)
			report_put(&w, &r);
	}
	m.mounts.incarnation = core_incarnation(v->shell->core);
	m.mounts.list = (struct span){ list, writer_len(&w) };
	volumes_send(v, &m);
}

static void take_reports(struct volumes *v, uint32_t sender, const struct msg_mounts *m)
{
	if (!v->reports[sender])
		v->reports[sender] = malloc(sizeof(*v->reports[sender]));
	if (v->reports[sender])
		reports_read(&m->list, v->reports[sender]);
}

void shell_volumes_message(struct shell *s, uint32_t sender, const void *data, size_t len)
{
	uint16_t type = message_peek_type(data, len);
	struct volumes *v = s->volumes;
	struct message m;

	if (!v || !sender || sender > NODE_MAX || type < MSG_MOUNTS || type > MSG_ORDERED ||
	    message_decode(data, len, &m) != FRAME_OK || m.cluster_id != core_state(s->core)->cluster.cluster_id)
		return;
	switch (type) {
	case MSG_MOUNTS: take_reports(v, sender, &m.mounts); break;
	case MSG_COUNT: volumes_count_asked(v, sender, &m.count); break;
	case MSG_COUNTS: volumes_counts_came(v, sender, &m.counts); break;
	case MSG_ORDER: volumes_order_came(v, sender, &m.order); break;
	case MSG_ORDERED: volumes_ordered_came(v, sender, &m.ordered); break;
	default: break;
	}
}

/* --- the shell's side --- */

static void on_changed(void *user)
{
	struct volumes *v = user;

	v->report_due = true;
	shell_volumes_tick(v->shell);
}

void shell_volumes_tick(struct shell *s)
{
	struct volumes *v = s->volumes;
	uint64_t now_ms = watchdog_now_ms();
	struct core_status status;

	if (!v)
		return;
	core_status(s->core, now_ms, &status);
	if (status.view != v->view) {
		v->view = status.view;
		memset(v->addresses, 0, sizeof(v->addresses));
		v->report_due = true; /* who joined knows nothing */
	}
	tick_mounts(v, now_ms);
	tick_owners(v, now_ms);
	tell_core(v, now_ms);
	tell_others(v, now_ms);
	volumes_gather_tick(v, now_ms);
	volumes_orders_tick(v, now_ms);
}

void shell_volumes_kill(struct shell *s)
{
	struct volumes *v = s->volumes;

	if (!v)
		return;
	v->killed = true;
	for (uint32_t i = 0; i < v->n_mounts; i++)
		mount_kill(v->mounts[i]);
}

static void adopt(void *user, const struct volume_mount *found)
{
	struct volumes *v = user;
	struct volume_mount *m = mount_add(v);
	int error;

	if (!m)
		return;
	*m = *found;
	error = mount_watch(m);
	if (v->run < m->run)
		v->run = m->run;
	if (!error)
		log_notice("volume_adopted", "volume=%s dir=%s run=%llu", m->name, log_quote(m->dir), (unsigned long long)m->run);
	else if (error != -ESRCH)
		log_error("volume_not_adopted", "volume=%s error=%s", m->name, log_quote(strerror(-error)));
}

/* Beside clusterd, as in a build directory's PATH, or where it was installed. */
void shell_find_program(const char *name, char *out, size_t size)
{
	const char *path = getenv("PATH");

	for (const char *p = path ? path : ""; *p; p += strcspn(p, ":"), p += *p == ':') {
		snprintf(out, size, "%.*s/%s", (int)strcspn(p, ":"), p, name);
		if (*p == '/' && !access(out, X_OK))
			return;
	}
	snprintf(out, size, SBINDIR "/%s", name);
}

int shell_volumes_open(struct shell *s, char *text, size_t text_size)
{
	const struct options *o = &s->options;
	struct core_event e = { .kind = EVENT_VOLUMES };
	struct volumes *v = calloc(1, sizeof(*v));
	int error = v ? volume_place_make(o->run_dir) : -ENOMEM;

	if (error) {
		snprintf(text, text_size, "%s/volumes: %s", o->run_dir, strerror(-error));
		free(v);
		return error;
	}
	v->shell = s;
	shell_find_program(PROGRAM_NODE, v->program, sizeof(v->program));
	v->around = (struct mount_surroundings){
		.loop = s->loop,
		.run_dir = o->run_dir,
		.log_file = o->log_file,
		.volume_dir = o->volume_dir,
		.key = o->volume_key,
		.program = v->program,
		.self = s->self,
		.changed = on_changed,
		.user = v,
	};
	s->volumes = v;
	error = mount_list(&v->around, adopt, v);
	if (error)
		log_error("volumes_unreadable", "error=%s", log_quote(strerror(-error)));
	for (uint32_t i = 0; i < v->n_mounts; i++)
		v->n_alive += v->mounts[i]->alive;
	e.volumes.mounts = v->n_alive;
	e.volumes.run = v->run;
	if (v->n_mounts)
		shell_step(s, &e);
	return 0;
}

static void note_alive(void *user, const struct volume_mount *m)
{
	struct volume_process p;

	/* What cannot be looked at may live. */
	*(bool *)user |= volume_process_find(&m->place, &p) != -ESRCH;
	volume_process_close(&p);
}

bool shell_volumes_recorded(const struct shell *s)
{
	const struct mount_surroundings around = { .run_dir = s->options.run_dir, .volume_dir = s->options.volume_dir };
	bool any = false;

	return mount_list(&around, note_alive, &any) || any;
}

void shell_volumes_close(struct shell *s)
{
	struct volumes *v = s->volumes;

	if (!v)
		return;
	volumes_gather_close(v);
	volumes_orders_close(v);
	s->volumes = NULL;
	while (v->n_mounts)
		mount_drop(v, v->n_mounts - 1);
	for (uint32_t id = 1; id <= VOLUME_MAX; id++)
		drop_owner(v, id);
	for (uint32_t node = 1; node <= NODE_MAX; node++)
		free(v->reports[node]);
	free(v);
}
