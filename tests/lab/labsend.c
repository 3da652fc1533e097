/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Talks nonsense to a clusterd, from a host of the lab:
 *
 *   labsend cpg GROUP garbage COUNT        messages of random bytes and sizes into the process group
 *   labsend cpg GROUP capture FILE COUNT   keeps the next COUNT messages of others
 *   labsend cpg GROUP replay FILE HOW      sends them again: whole, cut (shorter), flip (a bit wrong), grow (oversized)
 *   labsend ipc NAME garbage COUNT         requests of random bytes and sizes into the control socket
 *
 * Exit code 0: all was handed over.
 */
#include <corosync/cpg.h>
#include <inttypes.h>
#include <poll.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <qb/qbipcc.h>

#define MESSAGE_MAX (512 * 1024)
#define REQUEST_MAX (40 * 1024)
#define IPC_BUFFER (192 * 1024)
#define JOIN_TIMEOUT_MS 5000
#define SEND_TRIES 2000

static uint8_t message[MESSAGE_MAX];
static uint64_t lcg = 1;
static unsigned int left;
static FILE *file;

/* The same sequence in each run: what fails can be repeated. */
static uint32_t draw(uint32_t below)
{
	lcg = lcg * 6364136223846793005u + 1442695040888963407u;
	return (uint32_t)(lcg >> 33) % below;
}

static size_t draw_message(size_t max)
{
	static const uint32_t bounds[] = { 1, 8, 64, 4096, 64 * 1024 };
	uint32_t bound = bounds[draw(5)];
	size_t len = bound < max ? draw(bound) + 1 : max;

	for (size_t i = 0; i < len; i++)
		message[i] = (uint8_t)draw(256);
	return len;
}

static void on_deliver(cpg_handle_t h, const struct cpg_name *group, uint32_t node, uint32_t pid, void *data, size_t len)
{
	uint32_t size = (uint32_t)len;

	(void)h, (void)group, (void)pid, (void)node;
	if (!file || !left)
		return;
	if (fwrite(&size, sizeof(size), 1, file) == 1 && fwrite(data, len, 1, file) == 1)
		left--;
}

static void on_confchg(cpg_handle_t h, const struct cpg_name *group, const struct cpg_address *members, size_t n_members,
		       const struct cpg_address *gone, size_t n_gone, const struct cpg_address *joined, size_t n_joined)
{
	(void)h, (void)group, (void)members, (void)n_members, (void)gone, (void)n_gone, (void)joined, (void)n_joined;
}

static int cpg_send(cpg_handle_t h, size_t len)
{
	struct iovec iov = { message, len };

	for (int i = 0; i < SEND_TRIES; i++) {
		cs_error_t e = cpg_mcast_joined(h, CPG_TYPE_AGREED, &iov, 1);

		if (e == CS_OK) {
			cpg_dispatch(h, CS_DISPATCH_ALL);
			return 0;
		}
		if (e != CS_ERR_TRY_AGAIN) {
			fprintf(stderr, "labsend: %zu bytes: error %d\n", len, e);
			return 1;
		}
		poll(NULL, 0, 5);
	}
	fprintf(stderr, "labsend: corosync takes nothing\n");
	return 1;
}

static int replay(cpg_handle_t h, const char *how)
{
	uint32_t len;

	while (fread(&len, sizeof(len), 1, file) == 1 && len <= MESSAGE_MAX && fread(message, len, 1, file) == 1) {
		if (!strcmp(how, "cut"))
			len = draw(len) + 1;
		else if (!strcmp(how, "flip"))
			message[draw(len)] ^= (uint8_t)(1u << draw(8));
		else if (!strcmp(how, "grow"))
			len = MESSAGE_MAX;
		if (cpg_send(h, len))
			return 1;
	}
	return 0;
}

static int capture(cpg_handle_t h)
{
	int fd;

	if (cpg_fd_get(h, &fd) != CS_OK)
		return 1;
	for (struct pollfd p = { fd, POLLIN, 0 }; left;) {
		if (poll(&p, 1, JOIN_TIMEOUT_MS) <= 0 || cpg_dispatch(h, CS_DISPATCH_ALL) != CS_OK) {
			fprintf(stderr, "labsend: %u messages missing\n", left);
			return 1;
		}
	}
	return fclose(file) ? 1 : 0;
}

static int cpg_main(char **argv)
{
	cpg_callbacks_t callbacks = { on_deliver, on_confchg };
	struct cpg_name group;
	cpg_handle_t h;

	group.length = (uint32_t)snprintf(group.value, sizeof(group.value), "%s", argv[2]);
	if (cpg_initialize(&h, &callbacks) != CS_OK || cpg_join(h, &group) != CS_OK) {
		fprintf(stderr, "labsend: cannot join %s\n", argv[2]);
		return 1;
	}
	if (!strcmp(argv[3], "garbage")) {
		for (int n = atoi(argv[4]); n > 0; n--)
			if (cpg_send(h, draw_message(MESSAGE_MAX)))
				return 1;
	} else if (!strcmp(argv[3], "capture")) {
		file = fopen(argv[4], "w");
		left = (unsigned int)atoi(argv[5]);
		if (!file || capture(h))
			return 1;
	} else {
		file = fopen(argv[4], "r");
		if (!file || replay(h, argv[5]))
			return 1;
	}
	cpg_leave(h, &group);
	cpg_finalize(h);
	return 0;
}

static int ipc_main(char **argv)
{
	for (int n = atoi(argv[4]); n > 0; n--) {
		qb_ipcc_connection_t *c = qb_ipcc_connect(argv[2], IPC_BUFFER);
		struct qb_ipc_request_header head = { .id = 1 };

		if (!c) {
			perror("labsend: connect");
			return 1;
		}
		for (int k = (int)draw(4); k >= 0; k--) {
			size_t len = sizeof(head) + draw_message(REQUEST_MAX - sizeof(head));

			/* libqb itself wants an honest size; the id and all that follows may lie. */
			head.id = draw(4) ? 1 : (int32_t)draw(1000);
			head.size = (int32_t)len;
			memmove(message + sizeof(head), message, len - sizeof(head));
			memcpy(message, &head, sizeof(head));
			qb_ipcc_send(c, message, len);
		}
		qb_ipcc_disconnect(c);
	}
	return 0;
}

int main(int argc, char **argv)
{
	if (argc >= 5 && !strcmp(argv[1], "cpg") && (argc >= 6 || !strcmp(argv[3], "garbage")))
		return cpg_main(argv);
	if (argc == 5 && !strcmp(argv[1], "ipc"))
		return ipc_main(argv);
	fprintf(stderr, "usage: labsend cpg GROUP garbage COUNT | capture FILE COUNT | replay FILE HOW; ipc NAME garbage COUNT\n");
	return 2;
}
