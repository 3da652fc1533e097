/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Direct reads and writes that no thread waits for. Most of what a small one costs is threads that go to sleep and are woken; here
 * who has the turn receives many, gives them to the device together, and answers those that are done.
 *
 * What is not that simple (through the owner, parts of sectors, behind the end) is file_io.c's, and so is whatever failed here.
 */
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "csvfs/fuse/csvfs.h"
#include "csvfs/io/device_queue.h"
#include "units.h"

#define LONGEST (64u << 10) /* bytes; the time of longer ones is the device's, and threads copy them at a time */
#define MANY 4u  /* are given to the device before more are received: with more it has nothing to do meanwhile */

struct direct_io {
	struct direct_io *next; /* that is free, or to be gone on with */
	struct device_request request;
	struct direct_use use;
	fuse_req_t req;
	struct handle *handle;
	uint8_t *data; /* LONGEST bytes */
	size_t len;
	uint64_t offset, since_us;
	uint32_t how; /* enum write_how */
	bool write, recalls;
};

static struct {
	bool works;
	struct device_queue queue; /* of who has the turn */
	struct direct_io all[DEVICE_QUEUE_MAX];
	pthread_mutex_t lock;
	struct direct_io *free;
} direct = { .lock = PTHREAD_MUTEX_INITIALIZER };

void direct_io_start(void)
{
	uint8_t *data = aligned_alloc(LONGEST, (size_t)DEVICE_QUEUE_MAX * LONGEST);
	int error = data ? device_queue_open(&direct.queue, &csvfs.device) : -ENOMEM;

	if (error) {
		fprintf(stderr, "csvfs: no asynchronous I/O (%s%s): small reads and writes take longer\n", strerror(-error),
			error == -EAGAIN ? "; raise fs.aio-max-nr" : "");
		free(data);
		return;
	}
	for (uint32_t k = 0; k < DEVICE_QUEUE_MAX; k++) {
		direct.all[k] = (struct direct_io){ .data = data + (size_t)k * LONGEST, .next = direct.free };
		direct.free = &direct.all[k];
	}
	direct.works = true;
}

bool direct_io_works(void) { return direct.works; }
bool direct_io_many(void) { return direct.queue.n_waiting >= MANY; }

static struct direct_io *take(void)
{
	struct direct_io *d;

	pthread_mutex_lock(&direct.lock);
	d = direct.free;
	if (d)
		direct.free = d->next;
	pthread_mutex_unlock(&direct.lock);
	return d;
}

static void give(struct direct_io *d)
{
	pthread_mutex_lock(&direct.lock);
	d->next = direct.free;
	direct.free = d;
	pthread_mutex_unlock(&direct.lock);
}

/* --- begin --- */

/* `data`: of a write. */
static bool begin(const struct direct_io *what, const uint8_t *data)
{
	const size_t len = what->len;
	struct direct_io *d;
	uint8_t *room;

	if (!turn_is_mine() || !len || len > LONGEST || handle_check(what->handle))
		return false;
	d = take();
	if (!d)
		return false;
	room = d->data;
	*d = *what;
	d->data = room;
	d->since_us = clock_us(CLOCK_MONOTONIC);
	if (!direct_use_begin(d->handle->inode, d->offset, len, d->write, &d->use)) {
		give(d);
		return false;
	}
	if (data)
		memcpy(room, data, len);
	/* There is room for as many as there are of us. */
	device_queue_add(&direct.queue, &d->request, d->write, room, len, d->use.physical);
	return true;
}

bool direct_io_read(fuse_req_t req, struct handle *h, size_t len, uint64_t offset)
{
	return begin(&(struct direct_io){ .req = req, .handle = h, .len = len, .offset = offset }, NULL);
}

/* Nobody needs to be asked for it. */
static bool has_no_set_id(const struct inode *i)
{
	uint32_t mode;

	return caching_mode(&i->fid, &mode) && !(mode & (S_ISUID | S_ISGID));
}

bool direct_io_write(fuse_req_t req, struct handle *h, const uint8_t *data, size_t len, uint64_t offset, uint32_t how)
{
	if (how & ~(uint32_t)WRITE_KILL_PRIV || (how && !has_no_set_id(h->inode)))
		return false;
	return begin(&(struct direct_io){ .req = req, .handle = h, .len = len, .offset = offset, .how = how, .write = true }, data);
}

/* --- end --- */

static void answer(struct direct_io *d, ssize_t n)
{
	if (n < 0)
		fuse_reply_err(d->req, (int)-n);
	else if (d->write)
		fuse_reply_write(d->req, (size_t)n);
	else
		fuse_reply_buf(d->req, (const char *)d->data, (size_t)n);
	give(d);
}

/* True: it is answered. Otherwise somebody has to be waited for. */
static bool ended(struct direct_io *d)
{
	struct counters *c = &csvfs.counters;

	d->recalls = direct_use_end(d->handle->inode, &d->use, d->write);
	if (!d->request.failed)
		io_counted(d->write ? &c->direct_written : &c->direct_read, d->len, d->since_us);
	if (d->recalls || d->request.failed)
		return false;
	answer(d, (ssize_t)d->len);
	return true;
}

/* Not with the turn. */
static void wait_for_rest(struct direct_io *d)
{
	struct inode *i = d->handle->inode;
	ssize_t n = (ssize_t)d->len;

	if (d->recalls) {
		pthread_mutex_lock(&i->lock);
		recalls_send(i);
		pthread_mutex_unlock(&i->lock);
	}
	if (d->request.failed && d->write)
		n = data_write(d->handle, d->data, d->len, d->offset, d->how);
	else if (d->request.failed)
		n = data_read(d->handle, d->data, d->len, d->offset);
	answer(d, n);
}

static bool end_some(bool wait)
{
	struct device_request *requests[DEVICE_QUEUE_MAX];
	struct direct_io *rest = NULL;
	uint32_t n = device_queue_ended(&direct.queue, requests, DEVICE_QUEUE_MAX, wait);

	for (uint32_t k = 0; k < n; k++) {
		struct direct_io *d = CONTAINER_OF(requests[k], struct direct_io, request);

		if (!ended(d)) {
			d->next = rest;
			rest = d;
		}
	}
	if (rest)
		turn_pass();
	while (rest) {
		struct direct_io *d = rest;

		rest = d->next;
		wait_for_rest(d);
	}
	return n > 0;
}

bool direct_io_go_on(void)
{
	device_queue_submit(&direct.queue);
	return end_some(false);
}

void direct_io_sleep(int fd)
{
	struct pollfd fds[2] = { { .fd = fd, .events = POLLIN }, { .fd = direct.queue.ended, .events = POLLIN } };
	uint64_t number;
	int state;

	pthread_setcancelstate(PTHREAD_CANCEL_ENABLE, &state);
	poll(fds, 2, -1);
	pthread_setcancelstate(state, NULL);
	if (fds[1].revents)
		(void)!read(direct.queue.ended, &number, sizeof(number));
}

void direct_io_stop(void)
{
	if (!direct.works)
		return;
	direct_io_go_on();
	while (direct.queue.n)
		end_some(true);
	device_queue_close(&direct.queue);
}
