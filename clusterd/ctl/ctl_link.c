/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Connection to clusterd over libqb's IPC. */
#include <errno.h>
#include <poll.h>
#include <stdlib.h>

#include "clock.h"
#include "clusterd/control_wire.h"
#include "clusterd/ctl/ctl_link.h"
#include "text.h"

#define EVENT_SIZE (sizeof(struct control_event_header) + CONTROL_DATA_MAX)
#define REQUEST_SIZE (sizeof(struct control_request_header) + CONTROL_DATA_MAX)

struct ctl_link {
	qb_ipcc_connection_t *qb;
	char name[CONTROL_NAME_SIZE];
	uint8_t in[EVENT_SIZE] __attribute__((aligned(8)));
	uint8_t out[REQUEST_SIZE] __attribute__((aligned(8)));
};

uint64_t ctl_mono_ms(void) { return clock_ms(CLOCK_MONOTONIC); }
uint64_t ctl_wall_ms(void) { return clock_ms(CLOCK_REALTIME); }

static void name_choose(const char *socket, char out[CONTROL_NAME_SIZE])
{
	if (!socket)
		socket = getenv("CLUSTERD_SOCKET");
	if (!socket || !*socket || *socket == '/')
		control_name(socket && *socket ? socket : NULL, out);
	else
		text_copy(out, CONTROL_NAME_SIZE, socket);
}

/* The handshake by hand: a stopped daemon must not hold us. */
static int handshake(struct ctl_link *link, uint32_t timeout_ms)
{
	struct pollfd p = { .events = POLLIN };
	int rc;

	link->qb = qb_ipcc_connect_async(link->name, CONTROL_BUFFER_SIZE, &p.fd);
	if (!link->qb)
		return errno ? -errno : -ENOTCONN;
	do
		rc = poll(&p, 1, (int)timeout_ms);
	while (rc < 0 && errno == EINTR);
	if (rc <= 0) {
		qb_ipcc_disconnect(link->qb);
		return rc ? -errno : -ETIMEDOUT;
	}
	return qb_ipcc_connect_continue(link->qb); /* frees the connection when it fails */
}

int ctl_link_open(const char *socket, uint32_t timeout_ms, struct ctl_link **ret_link)
{
	struct ctl_link *link = calloc(1, sizeof(*link));
	int rc;

	if (!link)
		return -ENOMEM;
	name_choose(socket, link->name);
	rc = handshake(link, timeout_ms < CTL_CONNECT_MS ? timeout_ms : CTL_CONNECT_MS);
	if (rc) {
		free(link);
		return rc;
	}
	*ret_link = link;
	return 0;
}

void ctl_link_close(struct ctl_link *link)
{
	if (!link)
		return;
	qb_ipcc_disconnect(link->qb);
	free(link);
}

int ctl_link_fd(const struct ctl_link *link)
{
	int fd = -1;

	return qb_ipcc_fd_get(link->qb, &fd) ? -1 : fd;
}

int ctl_link_send(struct ctl_link *link, const struct message *request)
{
	struct control_request_header *header = (void *)link->out;
	uint64_t until = ctl_mono_ms() + CTL_ANSWER_MS;
	int len = message_encode(request, link->out + sizeof(*header), CONTROL_DATA_MAX);
	ssize_t n;

	if (len < 0)
		return len;
	memset(header, 0, sizeof(*header));
	header->qb.id = CONTROL_MESSAGE_ID;
	header->qb.size = (int32_t)(sizeof(*header) + (size_t)len);
	while ((n = qb_ipcc_send(link->qb, link->out, (size_t)header->qb.size)) == -EAGAIN) {
		if (ctl_mono_ms() >= until)
			return -ETIMEDOUT;
		poll(NULL, 0, 10); /* the request ring is full: the daemon has to take something out first */
	}
	return n < 0 ? (int)n : 0;
}

int ctl_link_receive(struct ctl_link *link, uint32_t timeout_ms, struct message *ret)
{
	const struct control_event_header *header = (void *)link->in;
	ssize_t n = qb_ipcc_event_recv(link->qb, link->in, sizeof(link->in), (int32_t)timeout_ms);

	if (n == -EAGAIN || n == -ETIMEDOUT)
		return qb_ipcc_is_connected(link->qb) ? -ETIMEDOUT : -ENOTCONN;
	if (n < 0)
		return n == -EBADMSG || n == -EMSGSIZE ? -EBADMSG : -ENOTCONN;
	if ((size_t)n < sizeof(*header) || header->qb.size != n)
		return -EBADMSG;
	return message_decode(link->in + sizeof(*header), (size_t)n - sizeof(*header), ret) == FRAME_OK ? 0 : -EBADMSG;
}
