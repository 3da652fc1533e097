/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Direct reads and writes that no thread waits for. Most of what a small one costs is threads that go to sleep and are woken; here
 * who has the turn receives many, gives them to the device together, and answers those that are done.
 *
 * A large write is received with the turn anyway, and goes to the device from there: it takes the thread's memory over, which
 * gets other memory for it. Large reads are left to threads, who copy what was read to the kernel at a time.
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

#define SMALL (64u << 10) /* bytes, at most */
#define MANY 4u /* are given to the device before more are received: with more it has nothing to do meanwhile */
#define N_LARGE 8u /* at a time, each with memory of VOL_IO_MAX bytes */
#define N_SMALL (DEVICE_QUEUE_MAX - N_LARGE)
#define PAUSE_MAX 1024u /* large ones left to threads before it is tried again, of a device that refuses them all */

struct direct_io {
	struct direct_io *next; /* that is free, or to be gone on with */
	struct device_request request;
	struct direct_use use;
	fuse_req_t req;
	struct handle *handle;
	uint8_t *data; /* SMALL bytes; of a large one VOL_IO_MAX, and NULL before the first */
	size_t len;
	uint64_t offset, since_us;
	uint32_t how; /* enum write_how */
	bool write, recalls;
};

static struct {
	bool works;
	struct device_queue queue; /* of who has the turn */
	uint32_t n_large_waiting, pause, paused; /* the same's */
	struct direct_io small[N_SMALL], large[N_LARGE];
	pthread_mutex_t lock;
	struct direct_io *free_small, *free_large;
} direct = { .lock = PTHREAD_MUTEX_INITIALIZER };

static bool is_large(const struct direct_io *d) { return d >= direct.large && d < direct.large + N_LARGE; }

static struct direct_io *take(bool large)
{
	struct direct_io **list = large ? &direct.free_large : &direct.free_small, *d;

	pthread_mutex_lock(&direct.lock);
	d = *list;
	if (d)
		*list = d->next;
	pthread_mutex_unlock(&direct.lock);
	return d;
}

static void give(struct direct_io *d)
{
	struct direct_io **list = is_large(d) ? &direct.free_large : &direct.free_small;

	pthread_mutex_lock(&direct.lock);
	d->next = *list;
	*list = d;
	pthread_mutex_unlock(&direct.lock);
}

void direct_io_start(void)
{
	uint8_t *data = aligned_alloc(SMALL, (size_t)N_SMALL * SMALL);
	int error = data ? device_queue_open(&direct.queue, &csvfs.device) : -ENOMEM;

	if (error) {
		fprintf(stderr, "csvfs: no asynchronous I/O (%s%s): small reads and writes take longer\n", strerror(-error),
			error == -EAGAIN ? "; raise fs.aio-max-nr" : "");
		free(data);
		return;
	}
	for (uint32_t k = 0; k < N_SMALL; k++) {
		direct.small[k].data = data + (size_t)k * SMALL;
		give(&direct.small[k]);
	}
	for (uint32_t k = 0; k < N_LARGE; k++)
		give(&direct.large[k]);
	direct.works = true;
}

bool direct_io_works(void) { return direct.works; }
bool direct_io_many(void) { return direct.queue.n_waiting >= MANY || direct.n_large_waiting; }

/* --- begin --- */

/* A device may take a large one only in pieces, and refuses it then, or have no room: by and by it is asked less often. */
static bool may_be_large(void)
{
	if (!direct.paused)
		return true;
	direct.paused--;
	return false;
}

static void large_ended(bool refused)
{
	direct.pause = !refused ? 0 : direct.pause ? direct.pause * 2 : 1;
	if (direct.pause > PAUSE_MAX)
		direct.pause = PAUSE_MAX;
	direct.paused = direct.pause;
}

/* Memory that the thread gets for that with the data of a large write. */
static bool has_memory(struct direct_io *d, const uint8_t *data, size_t len)
{
	if (!is_large(d))
		return true;
	if (!d->data)
		d->data = kernel_memory();
	return d->data && data == kernel_data(len);
}

static void place(struct direct_io *d, const uint8_t *data)
{
	if (is_large(d))
		d->data = kernel_swap(d->data);
	else
		memcpy(d->data, data, d->len);
}

/* `data`: of a write. */
static bool begin(const struct direct_io *what, const uint8_t *data)
{
	const size_t len = what->len;
	const bool large = len > SMALL;
	struct direct_io *d;
	uint8_t *room;

	if (!turn_is_mine() || !len || handle_check(what->handle) || (large && (!data || !may_be_large())))
		return false;
	d = take(large);
	if (!d)
		return false;
	if (!has_memory(d, data, len)) {
		give(d);
		return false;
	}
	room = d->data;
	*d = *what;
	d->data = room;
	d->since_us = clock_us(CLOCK_MONOTONIC);
	if (!direct_use_begin(d->handle->inode, d->offset, len, d->write, &d->use)) {
		give(d);
		return false;
	}
	if (data)
		place(d, data);
	direct.n_large_waiting += large;
	/* There is room for as many as there are of us. */
	device_queue_add(&direct.queue, &d->request, d->write, d->data, len, d->use.physical);
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
	if (is_large(d))
		large_ended(d->request.failed);
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
	direct.n_large_waiting = 0;
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
