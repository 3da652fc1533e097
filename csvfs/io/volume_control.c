/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Control sockets of csvfs and csvfs-owner: one thread, poll(2), a bounded table of clients. See volume_control.h. */
#include "csvfs/io/volume_control.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include "cleanup.h"
#include "clock.h"
#include "text.h"

#define FRAME_SIZE (VOL_HEADER_SIZE + VOLUME_CONTROL_BODY_MAX)
#define BACKLOG 16

/* Reads a question, then writes its answer, then reads the next one. */
struct client {
	int fd;
	uint64_t active_ms, order; /* when it last sent or took anything; order: among all, for several in a millisecond */
	size_t in_len, out_len, out_at;
	uint8_t in[FRAME_SIZE], out[FRAME_SIZE];
};

struct volume_control {
	int listener, quit;
	pthread_t thread;
	volume_control_fn *fn;
	void *user;
	struct sockaddr_un address;
	dev_t dev; /* the socket we made: not what may have replaced it */
	ino_t ino;
	uint64_t clock; /* counts what clients do */
	uint32_t n;
	struct client *clients[VOLUME_CONTROL_CLIENT_MAX];
};

/* --- frames --- */

/* -EAGAIN: not complete yet; -EBADMSG; or 0 and the message, spans in buf. */
static int frame_decode(const uint8_t *buf, size_t len, struct vol_message *ret, size_t *ret_want)
{
	size_t body;

	*ret_want = VOL_HEADER_SIZE;
	if (len < VOL_HEADER_SIZE)
		return -EAGAIN;
	if (vol_decode_header(buf, ret, &body) != FRAME_OK || body > VOLUME_CONTROL_BODY_MAX)
		return -EBADMSG;
	*ret_want = VOL_HEADER_SIZE + body;
	if (len < *ret_want)
		return -EAGAIN;
	return vol_decode_body(buf + VOL_HEADER_SIZE, body, ret) == FRAME_OK ? 0 : -EBADMSG;
}

/* --- server --- */

static void client_close(struct volume_control *c, uint32_t i)
{
	close(c->clients[i]->fd);
	free(c->clients[i]);
	c->clients[i] = c->clients[--c->n];
}

static void client_active(struct volume_control *c, struct client *client)
{
	client->active_ms = clock_ms(CLOCK_MONOTONIC);
	client->order = ++c->clock;
}

static void close_idlest(struct volume_control *c)
{
	uint32_t idlest = 0;

	for (uint32_t i = 1; i < c->n; i++) {
		if (c->clients[i]->order < c->clients[idlest]->order)
			idlest = i;
	}
	client_close(c, idlest);
}

static bool peer_may(int fd)
{
	struct ucred cred;
	socklen_t len = sizeof(cred);

	return !getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &cred, &len) && (cred.uid == 0 || cred.uid == geteuid());
}

static void client_accept(struct volume_control *c)
{
	int fd = accept4(c->listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
	struct client *client;

	if (fd < 0) {
		/* Out of descriptors: the listener stays readable. */
		if (errno == EMFILE || errno == ENFILE || errno == ENOMEM || errno == ENOBUFS)
			poll(NULL, 0, 100);
		return;
	}
	client = peer_may(fd) ? malloc(sizeof(*client)) : NULL;
	if (!client) {
		close(fd);
		return;
	}
	client->fd = fd;
	client_active(c, client);
	client->in_len = client->out_len = client->out_at = 0;
	if (c->n == VOLUME_CONTROL_CLIENT_MAX)
		close_idlest(c);
	c->clients[c->n++] = client;
}

static int answer_question(struct volume_control *c, struct client *client, const struct vol_message *question)
{
	struct vol_message answer = { .type = vol_answer_type(question->type), .request = question->request };
	int len;

	if (vol_kind(question->type) != VOL_KIND_Q || question->error)
		return -EBADMSG;
	c->fn(c->user, question, &answer);
	len = vol_encode(&answer, client->out, sizeof(client->out), false);
	if (len < 0) {
		answer.error = EMSGSIZE;
		len = vol_encode(&answer, client->out, sizeof(client->out), false);
	}
	if (len < 0)
		return len;
	client->out_len = (size_t)len;
	client->out_at = 0;
	client->in_len = 0;
	client_active(c, client); /* the handler may have taken long */
	return 0;
}

/* 0: go on; else the connection ends. */
static int client_write(struct volume_control *c, struct client *client)
{
	ssize_t n = send(client->fd, client->out + client->out_at, client->out_len - client->out_at, MSG_NOSIGNAL);

	if (n < 0)
		return errno == EAGAIN || errno == EINTR ? 0 : -errno;
	client->out_at += (size_t)n;
	client_active(c, client);
	if (client->out_at == client->out_len)
		client->out_at = client->out_len = 0;
	return 0;
}

/* Never more than the question's own bytes: what a client sends before it has its answer waits in the socket. */
static int client_read(struct volume_control *c, struct client *client)
{
	struct vol_message question;
	size_t want;
	int r = frame_decode(client->in, client->in_len, &question, &want);
	ssize_t n;

	if (r != -EAGAIN)
		return -EBADMSG;
	n = recv(client->fd, client->in + client->in_len, want - client->in_len, 0);
	if (n < 0)
		return errno == EAGAIN || errno == EINTR ? 0 : -errno;
	if (n == 0)
		return -ECONNRESET;
	client->in_len += (size_t)n;
	client_active(c, client);
	r = frame_decode(client->in, client->in_len, &question, &want);
	if (r == -EAGAIN)
		return 0;
	r = r < 0 ? r : answer_question(c, client, &question);
	return r < 0 ? r : client_write(c, client);
}

static void serve_clients(struct volume_control *c, const struct pollfd *p, uint32_t n)
{
	uint64_t now = clock_ms(CLOCK_MONOTONIC);

	/* From the end: closing one puts the last, which is done, in its place. */
	for (uint32_t i = n; i-- > 0;) {
		struct client *client = c->clients[i];
		int r = 0;

		if (p[i].revents)
			r = client->out_len ? client_write(c, client) : client_read(c, client);
		else if (client->out_len && now - client->active_ms >= VOLUME_CONTROL_STALL_MS)
			r = -ETIMEDOUT;
		if (r < 0)
			client_close(c, i);
	}
}

static void *control_thread(void *data)
{
	struct volume_control *c = data;
	struct pollfd p[2 + VOLUME_CONTROL_CLIENT_MAX];

	for (;;) {
		uint32_t n = c->n;
		bool stalled = false;

		p[0] = (struct pollfd){ .fd = c->quit, .events = POLLIN };
		p[1] = (struct pollfd){ .fd = c->listener, .events = POLLIN };
		for (uint32_t i = 0; i < n; i++) {
			p[2 + i] = (struct pollfd){ .fd = c->clients[i]->fd, .events = c->clients[i]->out_len ? POLLOUT : POLLIN };
			stalled |= c->clients[i]->out_len;
		}
		if (poll(p, 2 + n, stalled ? VOLUME_CONTROL_STALL_MS / 4 : -1) < 0)
			continue;
		if (p[0].revents)
			return NULL;
		serve_clients(c, p + 2, n);
		if (p[1].revents)
			client_accept(c);
	}
}

static int address_of(const char *path, struct sockaddr_un *ret)
{
	*ret = (struct sockaddr_un){ .sun_family = AF_UNIX };
	if (!*path)
		return -EINVAL;
	if (strlen(path) >= sizeof(ret->sun_path))
		return -ENAMETOOLONG;
	text_copy(ret->sun_path, sizeof(ret->sun_path), path);
	return 0;
}

/* A socket nobody listens at, left by a program that was killed, is in nobody's way. */
static int remove_stale(const struct sockaddr_un *a)
{
	cleanup_fd int fd = -1;
	struct stat st;

	if (lstat(a->sun_path, &st) < 0)
		return errno == ENOENT ? 0 : -errno;
	if (!S_ISSOCK(st.st_mode))
		return -EEXIST;
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return -errno;
	if (!connect(fd, (const struct sockaddr *)a, sizeof(*a)) || errno != ECONNREFUSED)
		return -EADDRINUSE;
	return unlink(a->sun_path) < 0 && errno != ENOENT ? -errno : 0;
}

/* Its mode is set before anybody can connect. */
static int start_listening(struct volume_control *c)
{
	struct stat st;
	int r = remove_stale(&c->address);

	if (r < 0)
		return r;
	c->listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (c->listener < 0 || bind(c->listener, (struct sockaddr *)&c->address, sizeof(c->address)) < 0)
		return -errno;
	if (lstat(c->address.sun_path, &st) < 0 || chmod(c->address.sun_path, 0600) < 0 || listen(c->listener, BACKLOG) < 0) {
		r = -errno;
		unlink(c->address.sun_path);
		return r;
	}
	c->dev = st.st_dev;
	c->ino = st.st_ino;
	return 0;
}

static void remove_ours(const struct volume_control *c)
{
	struct stat st;

	if (!lstat(c->address.sun_path, &st) && st.st_dev == c->dev && st.st_ino == c->ino)
		unlink(c->address.sun_path);
}

/* The program's signals are for its own threads. */
static int start_thread(struct volume_control *c)
{
	sigset_t all, before;
	int r;

	sigfillset(&all);
	pthread_sigmask(SIG_BLOCK, &all, &before);
	r = pthread_create(&c->thread, NULL, control_thread, c);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	if (r)
		remove_ours(c);
	return -r;
}

int volume_control_listen(struct volume_control **ret, const char *path, volume_control_fn *fn, void *user)
{
	struct volume_control *c = calloc(1, sizeof(*c));
	int r;

	*ret = NULL;
	if (!c)
		return -ENOMEM;
	c->fn = fn;
	c->user = user;
	c->listener = -1;
	c->quit = eventfd(0, EFD_CLOEXEC);
	r = c->quit < 0 ? -errno : address_of(path, &c->address);
	if (!r)
		r = start_listening(c);
	if (!r)
		r = start_thread(c);
	if (r < 0) {
		cleanup_close_fd(&c->listener);
		cleanup_close_fd(&c->quit);
		free(c);
		return r;
	}
	*ret = c;
	return 0;
}

void volume_control_free(struct volume_control *c)
{
	if (!c)
		return;
	eventfd_write(c->quit, 1);
	pthread_join(c->thread, NULL);
	remove_ours(c);
	while (c->n)
		client_close(c, c->n - 1);
	close(c->listener);
	close(c->quit);
	free(c);
}

/* --- client --- */

static int wait_for(int fd, short events, int64_t deadline)
{
	struct pollfd p = { .fd = fd, .events = events };
	int64_t left = deadline < 0 ? -1 : deadline - (int64_t)clock_ms(CLOCK_MONOTONIC);
	int n;

	if (deadline >= 0 && left <= 0)
		return -ETIMEDOUT;
	n = poll(&p, 1, left > INT32_MAX ? INT32_MAX : (int)left);
	return n < 0 && errno != EINTR ? -errno : 0;
}

/* As long as the server's queue is full, connect(2) says EAGAIN, and nothing can be waited for. */
static int connect_within(int fd, const struct sockaddr_un *a, int64_t deadline)
{
	while (connect(fd, (const struct sockaddr *)a, sizeof(*a)) < 0) {
		struct timespec pause = { .tv_nsec = 10000000 };

		if (errno != EAGAIN && errno != EINTR)
			return -errno;
		if (deadline >= 0 && (int64_t)clock_ms(CLOCK_MONOTONIC) >= deadline)
			return -ETIMEDOUT;
		nanosleep(&pause, NULL);
	}
	return 0;
}

static int send_within(int fd, const uint8_t *buf, size_t len, int64_t deadline)
{
	for (size_t at = 0; at < len;) {
		ssize_t n = send(fd, buf + at, len - at, MSG_NOSIGNAL);
		int r;

		if (n >= 0) {
			at += (size_t)n;
			continue;
		}
		if (errno != EAGAIN && errno != EINTR)
			return errno == EPIPE ? -ECONNRESET : -errno;
		r = wait_for(fd, POLLOUT, deadline);
		if (r < 0)
			return r;
	}
	return 0;
}

static int receive_within(int fd, uint8_t *buf, struct vol_message *ret, int64_t deadline)
{
	size_t len = 0, want;
	int r;

	while ((r = frame_decode(buf, len, ret, &want)) == -EAGAIN) {
		ssize_t n = recv(fd, buf + len, want - len, 0);

		if (n == 0)
			return -ECONNRESET;
		if (n > 0) {
			len += (size_t)n;
			continue;
		}
		if (errno != EAGAIN && errno != EINTR)
			return -errno;
		r = wait_for(fd, POLLIN, deadline);
		if (r < 0)
			return r;
	}
	return r;
}

int volume_control_ask(const char *path, const struct vol_message *question, struct vol_message *answer, int timeout_ms)
{
	int64_t deadline = timeout_ms < 0 ? -1 : (int64_t)clock_ms(CLOCK_MONOTONIC) + timeout_ms;
	cleanup_free uint8_t *buf = malloc(FRAME_SIZE);
	cleanup_fd int fd = -1;
	struct sockaddr_un a;
	int r = buf ? address_of(path, &a) : -ENOMEM, len;

	if (r < 0)
		return r;
	len = vol_encode(question, buf, FRAME_SIZE, false);
	if (len < 0)
		return len;
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return -errno;
	r = connect_within(fd, &a, deadline);
	if (!r)
		r = send_within(fd, buf, (size_t)len, deadline);
	if (!r)
		r = receive_within(fd, buf, answer, deadline);
	if (r < 0)
		return r;
	if (answer->type != vol_answer_type(question->type) || answer->request != question->request)
		return -EBADMSG;
	/* They would point into what is freed here. */
	if (answer->type == VOL_DATA && !answer->error)
		answer->data.bytes = (struct span){ 0 };
	if (answer->type == VOL_EXTENTS && !answer->error)
		answer->extents.list = (struct span){ 0 };
	return 0;
}
