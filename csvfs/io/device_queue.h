/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Reads and writes of the device that nobody waits for, by Linux AIO (io_submit(2)). One thread at a time.
 *
 * Why not io_uring: the kernel takes a ring down after its process is gone, and what was on its way is then still on its way. A
 * csvfs that was reaped is taken for one that does not write any more. With AIO its memory is not given back, and so it does not
 * become a zombie, before all of it has ended (exit_aio() of Linux).
 */
#ifndef CSVFS_IO_DEVICE_QUEUE_H
#define CSVFS_IO_DEVICE_QUEUE_H

#include <libaio.h>

#include "csvfs/io/device.h"

#define DEVICE_QUEUE_MAX 72u /* requests at a time */

struct device_request { /* in the caller's memory until it has ended */
	struct iocb iocb;
	size_t len;
	bool failed; /* whatever it was: do it again, and wait (device_read(), device_write()) */
};

struct device_queue {
	io_context_t context;
	int fd, ended; /* the device; an eventfd: readable when requests have ended */
	struct iocb *waiting[DEVICE_QUEUE_MAX]; /* to be submitted */
	struct device_request *refused[DEVICE_QUEUE_MAX]; /* by the kernel, and not told yet */
	uint32_t n_waiting, n_refused, n; /* n: of all that device_queue_ended() has not told */
};

/* Negative errno; -EAGAIN: all of fs.aio-max-nr are in use. */
int device_queue_open(struct device_queue *ret, const struct device *d);
/* Nothing is under way. */
void device_queue_close(struct device_queue *q);
/* Buffer, length and offset as for device_read(). False: there is no room. */
bool device_queue_add(struct device_queue *q, struct device_request *r, bool write, void *buf, size_t len, uint64_t at);
/* What was added is on its way to the device. */
void device_queue_submit(struct device_queue *q);
/* Those that have ended, at most `max`. `wait`: at least one, when anything is under way. */
uint32_t device_queue_ended(struct device_queue *q, struct device_request **ret, uint32_t max, bool wait);

#endif
