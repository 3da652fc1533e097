/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What clusterd's control socket and its clients agree on beneath the protocol: a libqb IPC service; each way one message
 * is a qb header and opaque bytes. Requests use the request channel (qb_ipcc_send), everything from the daemon comes on
 * the event channel (qb_ipcc_event_recv, pollable by qb_ipcc_fd_get), so a client may have many requests open.
 */
#ifndef CLUSTERD_CONTROL_WIRE_H
#define CLUSTERD_CONTROL_WIRE_H

#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <qb/qbipcc.h>

#include "bounds.h"
#include "text.h"

#define CONTROL_RUN_DIR "/run/clusterd"
#define CONTROL_NAME "clusterd"
#define CONTROL_NAME_SIZE 32
#define CONTROL_MESSAGE_ID 1
#define CONTROL_DATA_MAX FRAME_MAX           /* opaque bytes of one message, either way */
#define CONTROL_BUFFER_SIZE (4 * FRAME_MAX) /* for qb_ipcc_connect */

struct control_request_header {
	struct qb_ipc_request_header qb; /* id CONTROL_MESSAGE_ID, size of all */
};

struct control_event_header {
	struct qb_ipc_response_header qb;
};

/*
 * IPC name of the daemon that uses `run_dir`: "clusterd" for the standard one, else "clusterd-<hash>", so that several
 * daemons can live on one machine. NULL is the standard one.
 */
static inline void control_name(const char *run_dir, char out[CONTROL_NAME_SIZE])
{
	uint32_t hash = 2166136261u;

	if (!run_dir || !strcmp(run_dir, CONTROL_RUN_DIR)) {
		text_copy(out, CONTROL_NAME_SIZE, CONTROL_NAME);
		return;
	}
	for (const char *p = run_dir; *p; p++)
		hash = (hash ^ (uint8_t)*p) * 16777619u;
	snprintf(out, CONTROL_NAME_SIZE, "%s-%08x", CONTROL_NAME, hash);
}

#endif
