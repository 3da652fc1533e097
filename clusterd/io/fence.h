/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The fence command: `fence_command NODE_NAME NODE_ID` must power the node off (or cut it off) and exit 0 only when that is
 * certain. Anything else, a time-out too, is "not confirmed".
 */
#ifndef CLUSTERD_FENCE_H
#define CLUSTERD_FENCE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <qb/qbloop.h>

#include "bounds.h"

#define FENCE_OUTPUT_MAX 512 /* last bytes of the command's output that are kept */
#define FENCE_ARG_MAX 16     /* words of fence_command */

struct fence;

/* `text`: exit code or signal or time-out, and the end of the output. */
typedef void (*fence_done_fn)(void *ctx, uint32_t node, bool confirmed, const char *text);

/* `command`: absolute path, then fixed arguments, separated by blanks; -EINVAL otherwise, -ENOENT, -EACCES. */
int fence_new(struct fence **ret_fence, qb_loop_t *loop, const char *command, uint32_t timeout_ms, fence_done_fn done,
	      void *ctx);
/* 0: started; -EALREADY: one for this node runs; other negative errno: not started, `done` is not called. */
int fence_node(struct fence *f, uint32_t node, const char *node_name);
/* Kills what runs; `done` is not called any more. */
void fence_free(struct fence *f);

#endif
