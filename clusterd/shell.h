/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The shell of the core: turns what adapters report into events, and the core's actions into calls of adapters. It decides
 * nothing. One thread, one qb_loop; adapters never call back from inside a call, so a step is never entered twice.
 */
#ifndef CLUSTERD_SHELL_H
#define CLUSTERD_SHELL_H

#include <qb/qbloop.h>

#include "clusterd/core/core.h"
#include "clusterd/options.h"

#define SHELL_EXIT_RESTART 75 /* EX_TEMPFAIL: start clusterd again at once; its roles go on meanwhile */
#define SHELL_SNAPSHOTS_MAX 8 /* snapshots being sent to clients at once */
#define SHELL_CHANGES_MAX 256 /* changes whose agents are being asked */
#define SHELL_VET_PARALLEL 16 /* agents asked at once for one change */

struct shell;

/* Connects everything; 0 or negative errno with `text`. Nothing of the cluster happens before corosync is reached. */
int shell_new(struct shell **ret_shell, qb_loop_t *loop, const struct options *options, char *text, size_t text_size);
/* Closes everything; roles that run go on running. */
void shell_free(struct shell *s);
/* An orderly end: the node is drained and leaves; then the loop stops. Asked twice: at once, its roles go on. */
void shell_stop(struct shell *s);
/* What the program should exit with, once the loop has stopped. */
int shell_exit_code(const struct shell *s);

#endif
