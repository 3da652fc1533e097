/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The watchdog's drivers, and the timer that pets. */
#include "clusterd/io/watchdog.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/watchdog.h>
#include <qb/qbutil.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "clock.h"
#include "text.h"
#include "units.h"

/*
 *   CLOSED --first deadline: open, set time-out--> ARMED --watchdog_release: magic close--> CLOSED
 *
 * ARMED pets at time-out/4 while now < deadline. Past it, nothing: only a new deadline pets again.
 */
struct watchdog {
	qb_loop_t *loop;
	enum watchdog_driver driver;
	char path[256];
	uint32_t timeout_ms;
	int fd; /* open: armed */
	uint64_t deadline_ms;
	bool petting;
	int error;
	qb_loop_timer_handle timer;
};

uint64_t watchdog_now_ms(void) { return clock_ms(CLOCK_MONOTONIC); }

static int put(struct watchdog *w, const char *text)
{
	size_t len = strlen(text);
	ssize_t n = write(w->fd, text, len);

	if (n == (ssize_t)len)
		return 0;
	return n < 0 ? -errno : -EIO;
}

static int device_set_timeout(struct watchdog *w)
{
	int seconds = (int)(w->timeout_ms / MS_PER_SECOND), got = 0;

	if (ioctl(w->fd, WDIOC_SETTIMEOUT, &seconds))
		return -errno;
	/* a driver may round: what counts is what it really does */
	if (ioctl(w->fd, WDIOC_GETTIMEOUT, &got))
		return -errno;
	return got == (int)(w->timeout_ms / MS_PER_SECOND) ? 0 : -ERANGE;
}

static int pipe_set_timeout(struct watchdog *w)
{
	char text[32];

	snprintf(text, sizeof(text), "T%u\n", w->timeout_ms);
	return put(w, text);
}

static int disarm_and_close(struct watchdog *w)
{
	int error = put(w, "V");

	close(w->fd);
	w->fd = -1;
	return error;
}

static int arm(struct watchdog *w)
{
	int error;

	w->fd = open(w->path, O_WRONLY | O_CLOEXEC | (w->driver == WATCHDOG_PIPE ? O_NONBLOCK : 0));
	if (w->fd < 0)
		return -errno;
	error = w->driver == WATCHDOG_PIPE ? pipe_set_timeout(w) : device_set_timeout(w);
	if (error)
		disarm_and_close(w);
	return error;
}

static void on_timer(void *data);

static void timer_start(struct watchdog *w)
{
	uint64_t ns = (uint64_t)w->timeout_ms * QB_TIME_NS_IN_MSEC / WATCHDOG_PET_DIVISOR;

	if (!w->timer && qb_loop_timer_add(w->loop, QB_LOOP_HIGH, ns, w, on_timer, &w->timer))
		w->error = -ENOMEM;
}

static void timer_stop(struct watchdog *w)
{
	if (w->timer)
		qb_loop_timer_del(w->loop, w->timer);
	w->timer = 0;
}

static void pet(struct watchdog *w)
{
	int error = put(w, "P");

	if (error)
		w->error = error;
}

static void on_timer(void *data)
{
	struct watchdog *w = data;

	w->timer = 0;
	if (watchdog_now_ms() >= w->deadline_ms) {
		w->petting = false;
		return;
	}
	pet(w);
	timer_start(w);
}

static int device_check(struct watchdog *w, char *text, size_t text_size)
{
	struct stat st;

	if (stat(w->path, &st)) {
		int error = -errno;

		snprintf(text, text_size,
			 "watchdog %s: %s; load a driver (softdog without hardware), or set watchdog_driver = none: then "
			 "nothing of this node starts elsewhere before a fence command confirms it",
			 w->path, strerror(errno));
		return error;
	}
	if (w->driver == WATCHDOG_PIPE ? !S_ISFIFO(st.st_mode) : !S_ISCHR(st.st_mode)) {
		snprintf(text, text_size, "watchdog %s: not a %s", w->path,
			 w->driver == WATCHDOG_PIPE ? "FIFO (watchdog_driver = pipe)" : "device (watchdog_driver = device)");
		return -ENODEV;
	}
	if (access(w->path, W_OK)) {
		int error = -errno;

		snprintf(text, text_size, "watchdog %s: cannot be written: %s", w->path, strerror(errno));
		return error;
	}
	return 0;
}

int watchdog_open(struct watchdog **ret_watchdog, qb_loop_t *loop, enum watchdog_driver driver, const char *path,
		  uint32_t timeout_ms, char *text, size_t text_size)
{
	struct watchdog *w;
	int error = 0;

	text[0] = '\0';
	if (timeout_ms < WATCHDOG_PET_DIVISOR || (driver == WATCHDOG_DEVICE && timeout_ms % MS_PER_SECOND)) {
		snprintf(text, text_size, "watchdog_timeout %u ms: a device needs whole seconds", timeout_ms);
		return -EINVAL;
	}
	w = calloc(1, sizeof(*w));
	if (!w)
		return -ENOMEM;
	w->loop = loop;
	w->driver = driver;
	w->timeout_ms = timeout_ms;
	w->fd = -1;
	if (driver != WATCHDOG_NONE) {
		text_copy(w->path, sizeof(w->path), path);
		error = device_check(w, text, text_size);
	}
	if (error) {
		free(w);
		return error;
	}
	*ret_watchdog = w;
	return 0;
}

int watchdog_deadline(struct watchdog *w, uint64_t deadline_ms)
{
	int error;

	if (w->driver == WATCHDOG_NONE)
		return 0;
	w->deadline_ms = deadline_ms;
	if (watchdog_now_ms() >= deadline_ms) {
		w->petting = false;
		timer_stop(w);
		return 0;
	}
	if (w->fd < 0) {
		error = arm(w);
		if (error)
			return error;
	}
	if (!w->petting) {
		w->petting = true;
		pet(w);
		timer_start(w);
	}
	return 0;
}

bool watchdog_armed(const struct watchdog *w) { return w->fd >= 0; }

int watchdog_error(struct watchdog *w)
{
	int error = w->error;

	w->error = 0;
	return error;
}

int watchdog_release(struct watchdog *w)
{
	timer_stop(w);
	w->petting = false;
	w->deadline_ms = 0;
	return w->fd < 0 ? 0 : disarm_and_close(w);
}

void watchdog_free(struct watchdog *w)
{
	if (!w)
		return;
	timer_stop(w);
	if (w->fd >= 0)
		close(w->fd);
	free(w);
}
