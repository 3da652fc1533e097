/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The control socket: clusterctl's requests, each with one answer, or a stream of parts and one answer. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cleanup.h"
#include "clusterd/core/state.h"
#include "clusterd/log.h"
#include "clusterd/shell_private.h"
#include "proto/object_text.h"
#include "text.h"

#define LOG_TAIL_MAX (256 * 1024)   /* bytes of the log a client can see */
#define STATUS_WAIT_MAX_MS 60000

/* --- answers --- */

static int send_message(struct shell *s, uint32_t conn, struct message *m)
{
	uint8_t frame[FRAME_MAX];
	int len;

	m->cluster_id = core_state(s->core)->cluster.cluster_id;
	len = message_encode(m, frame, sizeof(frame));
	return len < 0 ? len : control_reply(s->control, conn, frame, (size_t)len);
}

/* The last message of an answer. A client that does not take even that has had its chance. */
static void send_last(struct shell *s, uint32_t conn, struct message *m)
{
	int ret = send_message(s, conn, m);

	if (ret && ret != -ENOTCONN)
		control_disconnect(s->control, conn);
}

void shell_control_answer(struct shell *s, uint32_t conn, enum refusal refusal, const char *detail)
{
	struct tag tag = core_state(s->core)->tag;
	struct message m = { .type = ANSWER };

	m.answer.refusal = (uint16_t)refusal;
	m.answer.epoch = tag.epoch;
	m.answer.seq = tag.seq;
	m.answer.detail = (struct span){ (const uint8_t *)detail, strlen(detail) };
	send_last(s, conn, &m);
}

void shell_control_part(struct shell *s, uint32_t conn, const char *text)
{
	struct message m = { .type = ANSWER_PART };

	m.answer_part.data = (struct span){ (const uint8_t *)text, strlen(text) };
	send_message(s, conn, &m);
}

/* --- long answers --- */

/* The next part, empty; NULL: there was no memory for it. */
static struct part *stream_add(struct stream *st)
{
	struct part *p = malloc(sizeof(*p));

	if (!p)
		return NULL;
	p->next = NULL;
	p->len = 0;
	*(st->first ? &st->last->next : &st->first) = p;
	st->last = p;
	return p;
}

static void stream_drop_first(struct stream *st)
{
	struct part *p = st->first;

	st->first = p->next;
	free(p);
}

static void stream_end(struct stream *st)
{
	while (st->first)
		stream_drop_first(st);
	*st = (struct stream){ 0 };
}

static void stream_go_on(struct shell *s, struct stream *st)
{
	while (st->first) {
		struct message m = { .type = ANSWER_PART };

		m.answer_part.data = (struct span){ st->first->bytes, st->first->len };
		if (send_message(s, st->conn, &m))
			return; /* goes on when the client has taken what it has */
		stream_drop_first(st);
	}
	shell_control_answer(s, st->conn, REFUSED_NOT, "done");
	stream_end(st);
}

/* An empty one; NULL: all are in use, which the client has been told. */
static struct stream *stream_new(struct shell *s, uint32_t conn)
{
	for (size_t i = 0; i < SHELL_SNAPSHOTS_MAX; i++) {
		if (s->streams[i].conn)
			continue;
		s->streams[i].conn = conn;
		return &s->streams[i];
	}
	shell_control_answer(s, conn, REFUSED_BUSY, "too many clients are reading long answers; try again");
	return NULL;
}

static void stream_fail(struct shell *s, struct stream *st)
{
	uint32_t conn = st->conn;

	stream_end(st);
	shell_control_answer(s, conn, REFUSED_BUSY, "not enough memory for the answer; try again");
}

static void on_writable(void *ctx, uint32_t conn)
{
	struct shell *s = ctx;

	for (size_t i = 0; i < SHELL_SNAPSHOTS_MAX; i++)
		if (s->streams[i].conn == conn && conn)
			stream_go_on(s, &s->streams[i]);
}

void shell_control_answer_text(struct shell *s, uint32_t conn, const void *text, size_t len)
{
	struct stream *st = stream_new(s, conn);

	for (size_t at = 0; st && at < len; at += PAYLOAD_MAX) {
		struct part *p = stream_add(st);

		if (!p) {
			stream_fail(s, st);
			return;
		}
		p->len = len - at < PAYLOAD_MAX ? len - at : PAYLOAD_MAX;
		memcpy(p->bytes, (const uint8_t *)text + at, p->len);
	}
	if (st)
		stream_go_on(s, st);
}

/* All parts now: the client shall see one state, however long it takes to read it. */
static void snapshot(struct shell *s, uint32_t conn)
{
	struct stream *st = stream_new(s, conn);
	uint64_t cursor = 0;

	for (bool done = false; st && !done;) {
		struct part *p = stream_add(st);
		struct writer w;

		if (!p) {
			stream_fail(s, st);
			return;
		}
		w = writer_of(p->bytes, sizeof(p->bytes));
		done = state_encode_next(core_state(s->core), &cursor, &w);
		p->len = writer_len(&w);
	}
	if (st)
		stream_go_on(s, st);
}

/* --- status --- */

static void status(struct shell *s, uint32_t conn)
{
	struct message m = { .type = ANSWER_STATUS };
	struct msg_answer_status *a = &m.answer_status;
	struct store_status store;
	struct core_status c;

	core_status(s->core, watchdog_now_ms(), &c);
	store_status(s->store, &store);
	a->self = s->self;
	a->phase = (uint8_t)c.phase;
	a->quorate = c.quorate;
	a->view = c.view;
	a->members = c.members;
	a->waiting_for = c.waiting_for;
	a->slow = c.slow;
	a->epoch = c.tag.epoch;
	a->seq = c.tag.seq;
	a->durable_seq = c.durable.seq;
	a->digest = c.digest;
	a->pending = c.pending;
	a->queued = (uint32_t)ring_queue_length(s->ring);
	a->stop_left_ms = c.stop_left_ms;
	a->witness_held = c.witness_held;
	a->watchdog_ms = s->watchdog ? s->options.watchdog_timeout_ms : 0;
	text_copy(a->store_error, TEXT_SIZE, store.error ? store.error_text : "");
	text_copy(a->version, TEXT_SIZE, VERSION);
	text_copy(a->text, TEXT_SIZE, c.text);
	send_last(s, conn, &m);
}

static void status_request(struct shell *s, uint32_t conn, const struct msg_ctl_status *m)
{
	struct tag known = { m->known_epoch, m->known_seq };
	uint32_t wait_ms = m->wait_ms < STATUS_WAIT_MAX_MS ? m->wait_ms : STATUS_WAIT_MAX_MS;

	if (!wait_ms || tag_compare(known, core_state(s->core)->tag) || s->n_waiters == CONTROL_CLIENT_MAX) {
		status(s, conn);
		return;
	}
	s->waiters[s->n_waiters++] = (struct waiter){ conn, known, watchdog_now_ms() + wait_ms };
}

void shell_control_news(struct shell *s)
{
	struct tag tag = core_state(s->core)->tag;
	uint64_t now = watchdog_now_ms();
	struct core_status c;

	for (uint32_t i = 0; i < s->n_waiters;) {
		struct waiter w = s->waiters[i];

		if (!tag_compare(w.known, tag) && now < w.until_ms) {
			i++;
			continue;
		}
		s->waiters[i] = s->waiters[--s->n_waiters];
		status(s, w.conn);
	}
	if (!s->stopping)
		return;
	core_status(s->core, now, &c);
	if (c.quorate) {
		shell_control_leave(s);
		return;
	}
	/* While a view forms its end is awaited: others may be waiting for this node's orderly leave. */
	if (c.runs || s->inventory || (c.phase != PHASE_ALONE && c.phase != PHASE_NO_QUORUM))
		return;
	if (s->watchdog)
		watchdog_release(s->watchdog); /* nothing runs, and nothing will: no reason to reset the host */
	shell_end(s, 0);
}

/* --- changes --- */

/* A number under which the core answers; 0: too many wait. */
static uint64_t request_new(struct shell *s, uint32_t conn)
{
	if (s->n_requests == ARRAY_SIZE(s->requests))
		return 0;
	s->requests[s->n_requests++] = (struct request){ ++s->next_request, conn };
	return s->next_request;
}

void shell_control_submit(struct shell *s, uint32_t conn, const void *ops, size_t len)
{
	struct core_event e = { .kind = EVENT_REQUEST };

	e.request.id = request_new(s, conn);
	e.request.ops = ops;
	e.request.len = len;
	if (e.request.id)
		shell_step(s, &e);
	else
		shell_control_answer(s, conn, REFUSED_BUSY, "too many changes are waiting on this node; try again");
}

void shell_control_reply(struct shell *s, const struct core_action *a)
{
	for (uint32_t i = 0; i < s->n_requests; i++) {
		uint32_t conn = s->requests[i].conn;

		if (s->requests[i].id != a->reply.id)
			continue;
		s->requests[i] = s->requests[--s->n_requests];
		if (conn)
			shell_control_answer(s, conn, a->reply.refusal, a->reply.detail);
		if (a->reply.id != s->leave_request || !a->reply.refusal)
			return;
		s->leave_request = 0; /* asked again by shell_control_news() */
		log_warning("leave_refused", "why=%s", log_quote(a->reply.detail));
		return;
	}
}

/* Another word than the kinds of witness is refused by the change itself, which lists them. */
static bool wants_witness(struct shell *s, const void *ops, size_t len)
{
	uint32_t kind;

	struct reader r = reader_of(ops, len);

	while (reader_left(&r) && !change_op_decode(&r, &s->op)) {
		const struct object_type *type = object_type(KIND_CLUSTER);

		for (uint32_t i = 0; s->op.kind == KIND_CLUSTER && i < s->op.n_fields; i++)
			if (object_field_by_number(type, s->op.fields[i].number) == object_field(type, "witness") &&
			    !enum_number(enum_values_witness_kind, s->op.fields[i].value, &kind) && kind != WITNESS_NONE)
				return true;
	}
	return false;
}

static void change(struct shell *s, uint32_t conn, const struct span *ops)
{
	if (wants_witness(s, ops->data, ops->len))
		shell_control_answer(s, conn, REFUSED_INVALID,
				     "cluster: witness: this version of clusterd can drive none yet; without one, dynamic "
				     "quorum and lower_priority_node decide an even split");
	else
		shell_vet_change(s, conn, ops->data, ops->len, true);
}

static void stop_node(struct shell *s, uint32_t conn, bool force)
{
	struct change_op *op = &s->op;
	uint8_t bytes[256];
	struct writer w = writer_of(bytes, sizeof(bytes));

	op->verb = VERB_NODE_STOP;
	op->kind = KIND_NODE;
	op->force = force;
	op->n_fields = 0;
	op->arg[0] = '\0';
	text_copy(op->name, sizeof(op->name), state_name(core_state(s->core), KIND_NODE, s->self));
	change_op_encode(&w, op);
	shell_control_submit(s, conn, bytes, writer_len(&w));
}

void shell_control_leave(struct shell *s)
{
	uint64_t now = watchdog_now_ms();

	if (s->leave_request || now < s->leave_next_ms || s->n_requests == ARRAY_SIZE(s->requests))
		return;
	s->leave_next_ms = now + SHELL_LEAVE_RETRY_MS;
	s->leave_request = s->next_request + 1;
	stop_node(s, 0, true);
}

static void stop_request(struct shell *s, uint32_t conn, bool force)
{
	struct core_status c;

	core_status(s->core, watchdog_now_ms(), &c);
	if (c.quorate) {
		stop_node(s, conn, force);
		return;
	}
	if (c.runs && !force) {
		shell_control_answer(s, conn, REFUSED_NO_QUORUM,
				     "this node has no quorum and still runs resources; --force ends clusterd when it has "
				     "stopped them");
		return;
	}
	shell_control_answer(s, conn, REFUSED_NOT, "clusterd ends");
	shell_stop(s);
}

/* --- the rest --- */

static struct fetch *fetch_new(struct shell *s, uint32_t conn)
{
	struct fetch *f = calloc(1, sizeof(*f));

	if (!f) {
		shell_control_answer(s, conn, REFUSED_BUSY, "not enough memory for this request; try again");
		return NULL;
	}
	*f = (struct fetch){ s->fetches, &s->fetches, s, conn };
	if (f->next)
		f->next->prev = &f->next;
	s->fetches = f;
	return f;
}

static void fetch_done(struct fetch *f)
{
	*f->prev = f->next;
	if (f->next)
		f->next->prev = f->prev;
	free(f);
}

static void on_meta(void *user, const struct agent_validation *v)
{
	struct fetch *f = user;

	if (v->error)
		shell_control_answer(f->shell, f->conn, REFUSED_AGENT, v->text);
	else if (!v->meta->xml)
		shell_control_answer(f->shell, f->conn, REFUSED_AGENT, "the agent's meta-data was not kept");
	else
		shell_control_answer_text(f->shell, f->conn, v->meta->xml, strlen(v->meta->xml));
	fetch_done(f);
}

static void metadata(struct shell *s, uint32_t conn, const char *agent)
{
	struct fetch *f = fetch_new(s, conn);
	int ret;

	if (!f)
		return;
	ret = agents_meta(s->agents, agent, on_meta, f);
	if (!ret)
		return;
	fetch_done(f);
	shell_control_answer(s, conn, REFUSED_AGENT,
			     ret == -EINVAL ? "an agent is named ocf:PROVIDER:TYPE, for example ocf:heartbeat:IPaddr2" :
					      strerror(-ret));
}

static void backup_refuse(struct shell *s, uint32_t conn, const char *path, int error)
{
	char text[2 * TEXT_SIZE];

	switch (error) {
	case -EBUSY:
		shell_control_answer(s, conn, REFUSED_BUSY, "a backup is under way on this node; try again");
		return;
	case -EEXIST:
		snprintf(text, sizeof(text), "%s: exists already; name a new file", path);
		shell_control_answer(s, conn, REFUSED_EXISTS, text);
		return;
	case -EINVAL:
		snprintf(text, sizeof(text), "%s: name the file by its absolute path", path);
		shell_control_answer(s, conn, REFUSED_INVALID, text);
		return;
	default:
		snprintf(text, sizeof(text), "%s: cannot be written: %s", path, strerror(-error));
		shell_control_answer(s, conn, REFUSED_IO, text);
	}
}

static void on_backup(void *ctx, int error, const char *text)
{
	struct fetch *f = ctx;

	shell_control_answer(f->shell, f->conn, error == -EEXIST ? REFUSED_EXISTS : error ? REFUSED_IO : REFUSED_NOT, text);
	fetch_done(f);
}

static void backup(struct shell *s, uint32_t conn, const char *path)
{
	struct fetch *f = fetch_new(s, conn);
	int ret;

	if (!f)
		return;
	ret = path[0] == '/' ? store_backup(s->store, path, on_backup, f) : -EINVAL;
	if (!ret)
		return;
	fetch_done(f);
	backup_refuse(s, conn, path, ret);
}

static void log_tail(struct shell *s, uint32_t conn, uint32_t lines)
{
	cleanup_fd int fd = open(s->options.log_file, O_RDONLY | O_CLOEXEC);
	cleanup_free uint8_t *data = NULL;
	struct stat st;
	ssize_t n, at;
	off_t from;

	if (fd < 0 || fstat(fd, &st)) {
		shell_control_answer(s, conn, REFUSED_IO,
				     "the log file of this node cannot be read; see log_file in clusterd.conf");
		return;
	}
	from = st.st_size > LOG_TAIL_MAX ? st.st_size - LOG_TAIL_MAX : 0;
	data = malloc(LOG_TAIL_MAX);
	n = data ? pread(fd, data, LOG_TAIL_MAX, from) : -1;
	if (n < 0) {
		shell_control_answer(s, conn, REFUSED_IO, "the log file of this node cannot be read");
		return;
	}
	at = lines ? n : 0;
	while (at > 0 && (at == n || data[at - 1] != '\n' || --lines > 0))
		at--;
	shell_control_answer_text(s, conn, data + at, (size_t)(n - at));
}

static void force_quorum(struct shell *s, uint32_t conn)
{
	struct core_event e = { .kind = EVENT_FORCE };

	e.request.id = request_new(s, conn);
	if (e.request.id)
		shell_step(s, &e);
	else
		shell_control_answer(s, conn, REFUSED_BUSY, "too many changes are waiting on this node; try again");
}

static bool changes_something(uint16_t type)
{
	return type == CTL_CHANGE || type == CTL_FORCE || type == CTL_BACKUP || type == CTL_STOP ||
	       type == CTL_VOLUME_ORDER;
}

static void on_request(void *ctx, uint32_t conn, enum control_access access, const void *data, size_t len)
{
	struct shell *s = ctx;
	struct message m;
	enum frame_fault fault = message_decode(data, len, &m);

	if (fault != FRAME_OK) {
		shell_control_answer(s, conn, REFUSED_BAD_REQUEST, frame_fault_text(fault));
		return;
	}
	if (changes_something(m.type) && access != CONTROL_FULL) {
		shell_control_answer(s, conn, REFUSED_ACCESS,
		       "members of the reader group may look, not change; ask for root or the admin group");
		return;
	}
	switch (m.type) {
	case CTL_SNAPSHOT: snapshot(s, conn); break;
	case CTL_STATUS: status_request(s, conn, &m.ctl_status); break;
	case CTL_CHANGE: change(s, conn, &m.ctl_change.ops); break;
	case CTL_FORCE: force_quorum(s, conn); break;
	case CTL_LOG: log_tail(s, conn, m.ctl_log.lines); break;
	case CTL_BACKUP: backup(s, conn, m.ctl_backup.path); break;
	case CTL_METADATA: metadata(s, conn, m.ctl_metadata.agent); break;
	case CTL_STOP: stop_request(s, conn, m.ctl_stop.force); break;
	case CTL_VOLUMES: shell_volumes_answer(s, conn, &m.ctl_volumes); break;
	case CTL_VOLUME_ORDER: shell_volumes_order(s, conn, &m.ctl_volume_order); break;
	case CTL_VET: shell_vet_change(s, conn, m.ctl_vet.ops.data, m.ctl_vet.ops.len, false); break;
	default: shell_control_answer(s, conn, REFUSED_BAD_REQUEST, refusal_text(REFUSED_BAD_REQUEST)); break;
	}
}

static void on_close(void *ctx, uint32_t conn)
{
	struct shell *s = ctx;

	shell_vet_forget(s, conn);
	for (size_t i = 0; i < SHELL_SNAPSHOTS_MAX; i++)
		if (s->streams[i].conn == conn)
			stream_end(&s->streams[i]);
	for (uint32_t i = 0; i < s->n_waiters;) {
		if (s->waiters[i].conn == conn)
			s->waiters[i] = s->waiters[--s->n_waiters];
		else
			i++;
	}
}

int shell_control_open(struct shell *s, char *text, size_t text_size)
{
	struct control_handlers handlers = { on_request, on_close, on_writable };
	int ret = control_open(&s->control, s->loop, s->options.run_dir, s->options.admin_group, s->options.reader_group,
			       &handlers, s);

	if (ret)
		snprintf(text, text_size, "control socket: %s", ret == -EADDRINUSE ? "another clusterd has it" : strerror(-ret));
	return ret;
}

/* Whoever still waits gets its answer. */
static void answer_all(struct shell *s)
{
	shell_vet_close(s);
	while (s->fetches) {
		shell_control_answer(s, s->fetches->conn, REFUSED_BUSY, "clusterd on this node is ending");
		fetch_done(s->fetches);
	}
	for (; s->n_requests; s->n_requests--)
		if (s->requests[s->n_requests - 1].conn)
			shell_control_answer(s, s->requests[s->n_requests - 1].conn, REFUSED_UNKNOWN_OUTCOME,
					     "clusterd on this node ended before the answer of a majority; look on another node "
					     "whether the change was made");
	while (s->n_waiters)
		status(s, s->waiters[--s->n_waiters].conn);
}

void shell_control_close(struct shell *s)
{
	if (s->control) {
		answer_all(s);
		control_close(s->control);
	}
	for (size_t i = 0; i < SHELL_SNAPSHOTS_MAX; i++)
		stream_end(&s->streams[i]);
}
