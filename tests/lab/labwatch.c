/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Tells the lab's server, as it happens, what corosync on this host believes: `labwatch HOST SOCKET` sends the
 * datagrams "HOST down" and "HOST quorum QUORATE RING MEMBER,MEMBER…".
 */
#include <corosync/corotypes.h>
#include <corosync/quorum.h>
#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#define RETRY_MS 100
#define TEXT_MAX 1024

static const char *host;
static int sock = -1;
static struct sockaddr_un server = { .sun_family = AF_UNIX };
static char last[TEXT_MAX];

static void tell(const char *text)
{
	if (!strcmp(text, last))
		return;
	if (sendto(sock, text, strlen(text), 0, (struct sockaddr *)&server, sizeof(server)) >= 0)
		snprintf(last, sizeof(last), "%s", text);
}

static void on_quorum(quorum_handle_t h, uint32_t quorate, struct quorum_ring_id ring, uint32_t count,
		      const uint32_t *members)
{
	char text[TEXT_MAX];
	int n = snprintf(text, sizeof(text), "%s quorum %" PRIu32 " %" PRIu32 ".%" PRIu64 " ", host, quorate, ring.nodeid,
			 ring.seq);

	(void)h;
	for (uint32_t i = 0; i < count && n > 0 && (size_t)n < sizeof(text) - 16; i++)
		n += snprintf(text + n, sizeof(text) - (size_t)n, "%s%" PRIu32, i ? "," : "", members[i]);
	tell(text);
}

static void on_nodes(quorum_handle_t h, struct quorum_ring_id ring, uint32_t nmembers, const uint32_t *members,
		     uint32_t njoined, const uint32_t *joined, uint32_t nleft, const uint32_t *left)
{
	(void)h, (void)ring, (void)nmembers, (void)members, (void)njoined, (void)joined, (void)nleft, (void)left;
}

/* Follows one life of corosync; returns when its connection ends. */
static void follow(void)
{
	quorum_model_v1_data_t model = { .model = QUORUM_MODEL_V1,
					 .quorum_notify_fn = on_quorum,
					 .nodelist_notify_fn = on_nodes };
	quorum_handle_t h;
	uint32_t type;
	int fd;

	if (quorum_model_initialize(&h, QUORUM_MODEL_V1, (quorum_model_data_t *)&model, &type, NULL) != CS_OK)
		return;
	if (quorum_fd_get(h, &fd) == CS_OK && quorum_trackstart(h, CS_TRACK_CURRENT | CS_TRACK_CHANGES) == CS_OK) {
		struct pollfd p = { fd, POLLIN, 0 };
		cs_error_t e = CS_OK;

		while (e == CS_OK || e == CS_ERR_TRY_AGAIN) {
			if (poll(&p, 1, -1) < 0 && errno != EINTR)
				break;
			e = quorum_dispatch(h, CS_DISPATCH_ALL);
		}
	}
	quorum_finalize(h);
}

int main(int argc, char **argv)
{
	char down[TEXT_MAX];

	if (argc != 3 || strlen(argv[2]) >= sizeof(server.sun_path)) {
		fprintf(stderr, "usage: labwatch HOST SOCKET\n");
		return 2;
	}
	host = argv[1];
	snprintf(server.sun_path, sizeof(server.sun_path), "%s", argv[2]);
	snprintf(down, sizeof(down), "%s down", host);
	sock = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (sock < 0) {
		perror("labwatch: socket");
		return 1;
	}
	for (;;) {
		follow();
		tell(down);
		poll(NULL, 0, RETRY_MS);
	}
}
