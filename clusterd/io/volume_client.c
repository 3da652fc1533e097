/* SPDX-License-Identifier: GPL-2.0-or-later */
/* One question, one connection: sent, answered or timed out. */
#include "clusterd/io/volume_client.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <qb/qbutil.h>

#include "clusterd/io/soon.h"

struct volume_question {
	qb_loop_t *loop;
	qb_loop_timer_handle timer;
	volume_client_fn *done;
	void *user;
	uint16_t answer_type;
	int fd, error;
	size_t len, at; /* of the question: sent so far; then of the answer: received so far */
	bool sent;
	uint8_t bytes[VOLUME_CLIENT_FRAME_MAX];
};

static void question_free(struct volume_question *q)
{
	if (q->timer)
		qb_loop_timer_del(q->loop, q->timer);
	if (q->fd >= 0) {
		qb_loop_poll_del(q->loop, q->fd);
		close(q->fd);
	}
	free(q);
}

static void end(struct volume_question *q, int error, const struct vol_message *answer)
{
	volume_client_fn *done = q->done;
	void *user = q->user;
	struct vol_message kept;

	/* Bytes it may have lie in what is freed: none of the answers of a control socket has any to tell. */
	if (answer) {
		kept = *answer;
		if (kept.type == VOL_DATA && !kept.error)
			kept.data.bytes = (struct span){ 0 };
	}
	question_free(q);
	done(user, error, answer ? &kept : NULL);
}

static void on_timeout(void *data)
{
	struct volume_question *q = data;

	q->timer = 0;
	end(q, q->error ? q->error : -ETIMEDOUT, NULL);
}

/* When the answer is whole, or cannot be one, `q` is gone. */
static void answered(struct volume_question *q)
{
	struct vol_message m;
	size_t body;

	if (q->at < VOL_HEADER_SIZE)
		return;
	if (vol_decode_header(q->bytes, &m, &body) != FRAME_OK || body > sizeof(q->bytes) - VOL_HEADER_SIZE) {
		end(q, -EBADMSG, NULL);
		return;
	}
	if (q->at < VOL_HEADER_SIZE + body)
		return;
	if (vol_decode_body(q->bytes + VOL_HEADER_SIZE, body, &m) != FRAME_OK || m.type != q->answer_type)
		end(q, -EBADMSG, NULL);
	else
		end(q, 0, &m);
}

static int32_t on_readable(struct volume_question *q)
{
	ssize_t n = recv(q->fd, q->bytes + q->at, sizeof(q->bytes) - q->at, 0);

	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return 0;
	if (n <= 0) {
		end(q, n ? -errno : -ECONNRESET, NULL);
		return 0;
	}
	q->at += (size_t)n;
	answered(q);
	return 0;
}

static int32_t on_writable(struct volume_question *q);

static int32_t on_event(int32_t fd, int32_t events, void *data)
{
	struct volume_question *q = data;

	(void)fd;
	(void)events;
	return q->sent ? on_readable(q) : on_writable(q);
}

static int32_t on_writable(struct volume_question *q)
{
	ssize_t n = send(q->fd, q->bytes + q->at, q->len - q->at, MSG_NOSIGNAL);

	if (n < 0 && errno != EAGAIN && errno != EINTR) {
		end(q, errno == EPIPE ? -ECONNRESET : -errno, NULL);
		return 0;
	}
	if (n > 0)
		q->at += (size_t)n;
	if (q->at < q->len)
		return 0;
	q->sent = true;
	q->at = 0;
	qb_loop_poll_mod(q->loop, QB_LOOP_MED, q->fd, POLLIN, q, on_event);
	return 0;
}

static int connect_to(const char *path)
{
	struct sockaddr_un a = { .sun_family = AF_UNIX };
	size_t len = strlen(path);
	int fd;

	if (len >= sizeof(a.sun_path))
		return -ENAMETOOLONG;
	memcpy(a.sun_path, path, len);
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return -errno;
	/* EAGAIN: its queue is full, as one that hangs leaves it. There is no waiting for that: it is asked again. */
	if (connect(fd, (const struct sockaddr *)&a, sizeof(a)) < 0) {
		int error = -errno;

		close(fd);
		return error;
	}
	return fd;
}

int volume_client_ask(struct volume_question **ret, qb_loop_t *loop, const char *path, const struct vol_message *m,
		      uint32_t timeout_ms, volume_client_fn *done, void *user)
{
	struct volume_question *q = calloc(1, sizeof(*q));
	struct vol_message numbered = *m;
	int len, error;

	if (!q)
		return -ENOMEM;
	*q = (struct volume_question){ .loop = loop, .done = done, .user = user, .fd = -1,
				       .answer_type = vol_answer_type(m->type) };
	numbered.request = 1;
	len = vol_encode(&numbered, q->bytes, sizeof(q->bytes), false);
	if (len < 0) {
		free(q);
		return len;
	}
	q->len = (size_t)len;
	q->fd = connect_to(path);
	if (q->fd < 0) {
		/* Told later, as everything is. */
		q->error = q->fd;
		q->fd = -1;
		error = soon_add(loop, QB_LOOP_MED, q, on_timeout, &q->timer);
	} else {
		error = qb_loop_poll_add(loop, QB_LOOP_MED, q->fd, POLLOUT, q, on_event);
		if (!error)
			error = qb_loop_timer_add(loop, QB_LOOP_MED, (uint64_t)timeout_ms * QB_TIME_NS_IN_MSEC, q, on_timeout,
						  &q->timer);
	}
	if (error) {
		question_free(q);
		return error;
	}
	*ret = q;
	return 0;
}

void volume_client_cancel(struct volume_question *q)
{
	if (q)
		question_free(q);
}
