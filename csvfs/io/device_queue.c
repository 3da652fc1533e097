/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "csvfs/io/device_queue.h"

#include <errno.h>
#include <linux/fs.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "units.h"

int device_queue_open(struct device_queue *ret, const struct device *d)
{
	int error;

	*ret = (struct device_queue){ .fd = d->fd, .ended = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC) };
	if (ret->ended < 0)
		return -errno;
	error = io_setup((int)DEVICE_QUEUE_MAX, &ret->context);
	if (error)
		close(ret->ended);
	return error;
}

void device_queue_close(struct device_queue *q)
{
	io_destroy(q->context);
	close(q->ended);
}

bool device_queue_add(struct device_queue *q, struct device_request *r, bool write, void *buf, size_t len, uint64_t at)
{
	if (q->n == DEVICE_QUEUE_MAX)
		return false;
	if (write)
		io_prep_pwrite(&r->iocb, q->fd, buf, len, (long long)at);
	else
		io_prep_pread(&r->iocb, q->fd, buf, len, (long long)at);
	io_set_eventfd(&r->iocb, q->ended);
	r->iocb.aio_rw_flags = RWF_NOWAIT; /* rather than to wait for room in the queue of the device */
	r->len = len;
	r->failed = false;
	q->waiting[q->n_waiting++] = &r->iocb;
	q->n++;
	return true;
}

void device_queue_submit(struct device_queue *q)
{
	uint32_t done = 0;

	while (done < q->n_waiting) {
		int n = io_submit(q->context, (long)(q->n_waiting - done), q->waiting + done);

		if (n > 0) {
			done += (uint32_t)n;
		} else if (n != -EINTR) {
			struct device_request *r = CONTAINER_OF(q->waiting[done++], struct device_request, iocb);

			r->failed = true;
			q->refused[q->n_refused++] = r;
		}
	}
	q->n_waiting = 0;
}

static uint32_t tell_refused(struct device_queue *q, struct device_request **ret, uint32_t max)
{
	uint32_t n = 0;

	while (n < max && q->n_refused)
		ret[n++] = q->refused[--q->n_refused];
	return n;
}

uint32_t device_queue_ended(struct device_queue *q, struct device_request **ret, uint32_t max, bool wait)
{
	struct io_event events[DEVICE_QUEUE_MAX];
	struct timespec at_once = { 0, 0 };
	uint32_t told = tell_refused(q, ret, max), left = max - told;
	int n = 0;

	if (left > DEVICE_QUEUE_MAX)
		left = DEVICE_QUEUE_MAX;
	if (left && q->n > told + q->n_waiting)
		do
			n = io_getevents(q->context, wait && !told, (long)left, events, wait && !told ? NULL : &at_once);
		while (n == -EINTR);
	for (int k = 0; k < n; k++) {
		struct device_request *r = CONTAINER_OF(events[k].obj, struct device_request, iocb);

		r->failed = events[k].res != r->len;
		ret[told++] = r;
	}
	q->n -= told;
	return told;
}
