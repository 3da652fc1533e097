/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A page on the terminal that is drawn over itself until a key or a signal ends it. */
#ifndef CTL_CTL_SCREEN_H
#define CTL_CTL_SCREEN_H

#include <signal.h>
#include <termios.h>

#include "clusterd/ctl/ctl.h"

struct screen {
	struct termios before;
	bool raw;
	int signals;
	sigset_t mask;
};

/* 0 or negative errno. From then on keys are read one by one, and SIGINT, SIGTERM and SIGHUP end screen_wait(). */
int screen_begin(struct ctl *ctl, struct screen *sc);
void screen_end(struct ctl *ctl, struct screen *sc);
/* What `page` prints to ctl->out. */
void screen_draw(struct ctl *ctl, void (*page)(struct ctl *ctl, void *user), void *user);
/* Waits until link_fd (-1: none) can be read, for a key, a signal, timeout_ms (-1: for ever). True: the user wants to
 * leave. */
bool screen_wait(const struct screen *sc, int link_fd, int timeout_ms, bool *ret_answer);

#endif
