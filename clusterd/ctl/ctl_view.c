/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The view commands work on: fetched from clusterd, or read from a saved file of the very same messages. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cleanup.h"
#include "clusterd/ctl/ctl.h"
#include "clusterd/ctl/ctl_link.h"

/* Anonymous memory: zero, and only what is touched is backed; most of a state's tables stay empty. */
struct state *ctl_state_new(void)
{
	void *p = mmap(NULL, sizeof(struct state), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	return p == MAP_FAILED ? NULL : p;
}

void ctl_state_free(struct state *s)
{
	if (s)
		munmap(s, sizeof(*s));
}

struct state *ctl_state_copy(const struct state *from)
{
	struct state *s = ctl_state_new();
	uint8_t buffer[FRAME_MAX];
	uint64_t cursor = 0;
	bool done;

	if (!s)
		return NULL;
	do {
		struct writer w = writer_of(buffer, sizeof(buffer));
		struct reader r;

		done = state_encode_next(from, &cursor, &w);
		r = reader_of(buffer, writer_len(&w));
		while (reader_left(&r))
			if (state_put_encoded(s, &r)) {
				ctl_state_free(s);
				return NULL;
			}
	} while (!done);
	state_reindex(s);
	s->tag = from->tag;
	s->digest = from->digest;
	return s;
}

const char *ctl_phase_text(uint32_t phase)
{
	static const char *const texts[] = {
		[PHASE_ALONE] = "alone", [PHASE_SYNC] = "forming", [PHASE_LOADING] = "loading",
		[PHASE_ACTIVE] = "active", [PHASE_NO_QUORUM] = "no quorum",
	};

	return phase < ARRAY_SIZE(texts) ? texts[phase] : "?";
}

static int unreachable(struct ctl *ctl, int error)
{
	const char *what =
		error == -ETIMEDOUT ? "it does not answer; 'systemctl status clusterd' shows whether it is stuck"
		: error == -EACCES || error == -EPERM
			? "your account may not speak to it: be root, or in group clusterd or clusterd-ro"
		: error == -EMFILE || error == -ENFILE ? "too many clients are connected; end some"
		: error == -EBADMSG ? "its answer makes no sense; clusterctl and clusterd may be of different versions"
				    : "it is not running here, or is ending; 'systemctl start clusterd' starts it";

	if (error == -EACCES || error == -EPERM)
		return ctl_fail(ctl, refusal_exit_code(REFUSED_ACCESS), "access", "clusterd on this node: %s", what);
	return ctl_fail(ctl, EXIT_UNREACHABLE, "unreachable", "clusterd on this node: %s (%s)", what, strerror(-error));
}

int ctl_connect(struct ctl *ctl)
{
	int rc = ctl->link ? 0 : ctl_link_open(ctl->options.socket, ctl_patience(ctl), &ctl->link);

	return rc ? unreachable(ctl, rc) : 0;
}

/* One message of an answer to a view's request. 1: more to come; 0: done; negative errno; refusals are reported. */
static int view_take(struct ctl *ctl, const struct message *m)
{
	struct reader r;

	switch (m->type) {
	case ANSWER_PART:
		r = reader_of(m->answer_part.data.data, m->answer_part.data.len);
		while (reader_left(&r))
			if (state_put_encoded(ctl->view.state, &r))
				return -EBADMSG;
		return 1;
	case ANSWER_STATUS:
		ctl->view.self = m->answer_status;
		ctl->view.taken_ms = m->sent_ms ? m->sent_ms : ctl_wall_ms();
		return 0;
	case ANSWER:
		if (m->answer.refusal)
			return ctl_refused_by(ctl, &m->answer);
		ctl->view.state->tag = (struct tag){ m->answer.epoch, m->answer.seq };
		return 0;
	default:
		return -EBADMSG;
	}
}

/* clusterd answers these out of its own memory: a short patience, shorter still with --timeout. */
uint32_t ctl_patience(const struct ctl *ctl)
{
	uint64_t ms = (uint64_t)ctl->timeout_s * MS_PER_SECOND;

	return ms < CTL_ANSWER_MS ? (uint32_t)ms : CTL_ANSWER_MS;
}

static int view_answer(struct ctl *ctl, uint32_t timeout_ms)
{
	struct message m;
	int rc;

	do {
		rc = ctl_link_receive(ctl->link, timeout_ms, &m);
		if (rc)
			return unreachable(ctl, rc);
		rc = view_take(ctl, &m);
	} while (rc == 1 && m.type == ANSWER_PART);
	return rc < 0 ? unreachable(ctl, rc) : rc;
}

static int view_request(struct ctl *ctl, const struct message *request, uint32_t timeout_ms)
{
	int rc = ctl_link_send(ctl->link, request);

	return rc ? unreachable(ctl, rc) : view_answer(ctl, timeout_ms);
}

static int view_fetch(struct ctl *ctl)
{
	struct message m = { .type = CTL_SNAPSHOT };
	struct state *fresh = ctl_state_new();
	int rc;

	if (!fresh)
		return ctl_fail(ctl, EXIT_UNREACHABLE, "memory", "no memory for the cluster's state");
	ctl_state_free(ctl->view.state);
	ctl->view.state = fresh;
	rc = view_request(ctl, &m, ctl_patience(ctl));
	state_reindex(ctl->view.state);
	if (ctl->view.self.epoch == 0 && ctl->view.self.seq == 0) {
		ctl->view.self.epoch = fresh->tag.epoch;
		ctl->view.self.seq = fresh->tag.seq;
	}
	return rc;
}

static struct message status_request(const struct ctl *ctl, uint32_t wait_ms)
{
	struct message m = { .type = CTL_STATUS };

	m.ctl_status.known_epoch = ctl->view.self.epoch;
	m.ctl_status.known_seq = ctl->view.self.seq;
	m.ctl_status.wait_ms = wait_ms;
	return m;
}

/* Reads a saved state: the frames of the answers, one after the other. */
static int frames_read(struct ctl *ctl, const uint8_t *data, size_t len)
{
	while (len) {
		struct reader r = reader_of(data, len);
		struct message m;
		size_t frame;

		get_u64(&r);
		frame = FRAME_HEADER_SIZE + (size_t)get_u32(&r);
		if (r.bad || frame > len || message_decode(data, frame, &m) != FRAME_OK || view_take(ctl, &m) < 0)
			return -EBADMSG;
		data += frame;
		len -= frame;
		if (m.type == ANSWER)
			return len ? -EBADMSG : 0;
	}
	return -EBADMSG;
}

static int view_read(struct ctl *ctl, const char *path)
{
	cleanup_fd int fd = open(path, O_RDONLY | O_CLOEXEC);
	cleanup_free uint8_t *data = NULL;
	struct stat st;
	size_t have = 0;

	if (fd < 0 || fstat(fd, &st))
		return ctl_fail(ctl, refusal_exit_code(REFUSED_IO), "io-error", "%s: cannot be read: %s", path, strerror(errno));
	if (!S_ISREG(st.st_mode) || st.st_size > CTL_STATE_FILE_MAX)
		return ctl_fail(ctl, refusal_exit_code(REFUSED_INVALID), "invalid", "%s: not a saved state", path);
	data = malloc((size_t)st.st_size + 1);
	ctl->view.state = ctl_state_new();
	if (!data || !ctl->view.state)
		return ctl_fail(ctl, EXIT_UNREACHABLE, "memory", "%s: no memory for it", path);
	while (have < (size_t)st.st_size) {
		ssize_t n = read(fd, data + have, (size_t)st.st_size - have);

		if (n <= 0)
			break;
		have += (size_t)n;
	}
	if (frames_read(ctl, data, have))
		return ctl_fail(ctl, refusal_exit_code(REFUSED_INVALID), "invalid",
				"%s: not a saved state, or damaged; 'clusterctl state save FILE' makes one", path);
	state_reindex(ctl->view.state);
	ctl->view.saved = true;
	return 0;
}

int ctl_view_load(struct ctl *ctl)
{
	int rc;

	if (ctl->options.state)
		return view_read(ctl, ctl->options.state);
	rc = ctl_connect(ctl);
	if (!rc) {
		struct message m = status_request(ctl, 0);

		rc = view_request(ctl, &m, ctl_patience(ctl));
	}
	return rc ? rc : view_fetch(ctl);
}

bool ctl_change_looks(const struct ctl *ctl)
{
	if (ctl->options.dry_run || ctl->options.wait || ctl->options.state)
		return true;
	return ctl->argc > CHANGE_OPS_MAX; /* several changes: what is wrong with the last one is found before the first */
}

int ctl_view_ask(struct ctl *ctl, uint32_t wait_ms)
{
	struct message m = status_request(ctl, wait_ms);
	int rc = ctl_link_send(ctl->link, &m);

	ctl->asked_ms = wait_ms;
	return rc ? unreachable(ctl, rc) : 0;
}

int ctl_view_answer(struct ctl *ctl)
{
	struct msg_answer_status before = ctl->view.self;

	if (view_answer(ctl, ctl->asked_ms + ctl_patience(ctl)))
		return -EIO;
	if (before.epoch == ctl->view.self.epoch && before.seq == ctl->view.self.seq)
		return before.phase == ctl->view.self.phase && before.members == ctl->view.self.members ? -ETIMEDOUT : 0;
	return view_fetch(ctl) ? -EIO : 0;
}

int ctl_view_follow(struct ctl *ctl, uint32_t wait_ms)
{
	return ctl_view_ask(ctl, wait_ms) ? -EIO : ctl_view_answer(ctl);
}

/* --- saving --- */

static int frame_write(FILE *f, const struct message *m)
{
	uint8_t buffer[FRAME_MAX];
	int len = message_encode(m, buffer, sizeof(buffer));

	return len < 0 || fwrite(buffer, (size_t)len, 1, f) != 1 ? -EIO : 0;
}

static int frames_write(const struct ctl_view *view, FILE *f)
{
	struct message m = { .type = ANSWER_STATUS, .sent_ms = view->taken_ms };
	uint8_t buffer[FRAME_MAX / 2];
	uint64_t cursor = 0;
	bool done;

	m.answer_status = view->self;
	if (frame_write(f, &m))
		return -EIO;
	do {
		struct writer w = writer_of(buffer, sizeof(buffer));

		done = state_encode_next(view->state, &cursor, &w);
		m = (struct message){ .type = ANSWER_PART, .sent_ms = view->taken_ms };
		m.answer_part.data = (struct span){ buffer, writer_len(&w) };
		if (frame_write(f, &m))
			return -EIO;
	} while (!done);
	m = (struct message){ .type = ANSWER, .sent_ms = view->taken_ms };
	m.answer.epoch = view->state->tag.epoch;
	m.answer.seq = view->state->tag.seq;
	return frame_write(f, &m);
}

int ctl_view_save(struct ctl *ctl, const char *path)
{
	FILE *f = fopen(path, "wxe");

	if (!f && errno == EEXIST)
		return ctl_fail(ctl, refusal_exit_code(REFUSED_EXISTS), "exists", "%s: exists already; name a new file", path);
	if (!f)
		return ctl_fail(ctl, refusal_exit_code(REFUSED_IO), "io-error", "%s: cannot be created: %s", path, strerror(errno));
	if (frames_write(&ctl->view, f) | fclose(f)) {
		int error = errno;

		unlink(path);
		return ctl_fail(ctl, refusal_exit_code(REFUSED_IO), "io-error", "%s: cannot be written: %s", path, strerror(error));
	}
	return 0;
}

int cmd_state_save(struct ctl *ctl)
{
	int rc = ctl_view_save(ctl, ctl->argv[0]);

	if (!rc && !ctl->options.quiet)
		fprintf(ctl->out, "saved; look at it with 'clusterctl status --state %s'\n", ctl->argv[0]);
	return rc;
}
