/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the kernel can do and libfuse 3.14 does not pass on: frames are looked at on their way (fuse_session_custom_io). The bits
 * are those of the kernel's include/uapi/linux/fuse.h; older headers lack some.
 *
 * Each thread that takes requests receives the data of a write into memory of its own, on a page: so it goes to the device from
 * where it lies, also when no thread waits for it (kernel_swap()). One of them at a time receives, the one that has the turn;
 * without asynchronous I/O all do. libfuse has the rest.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/fuse.h>
#include <semaphore.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/uio.h>
#include <unistd.h>

#include "csvfs/fuse/csvfs.h"

/* FUSE_DIRECT_IO_ALLOW_MMAP, since 6.6: bit 36 of the flags of INIT. */
#define ALLOW_MMAP2 (1u << (36 - 32))
/* Since 6.2, and not a thing to agree about: an older kernel does not look at it. */
#ifndef FOPEN_PARALLEL_DIRECT_WRITES
#define FOPEN_PARALLEL_DIRECT_WRITES (1u << 6)
#endif
#define BEFORE_DATA (sizeof(struct fuse_in_header) + sizeof(struct fuse_write_in))
#define IN_A_ROW 16 /* requests received before what the device has done is looked at, when there are always more */
#define HUGE_PAGE (2u << 20) /* of x86-64; elsewhere it is only a size */

static _Atomic uint64_t init_unique; /* of an INIT that offers it; 0: none */

/* The request this thread serves. */
static _Thread_local struct {
	uint64_t unique;
	uint32_t opcode, write_flags;
	uint8_t *memory; /* VOL_IO_MAX bytes */
	bool apart;	 /* the data of a write are there */
	bool turn;
	int fd; /* that this thread has made one that does not block */
} serving = { .fd = -1 };

bool kernel_kills_priv(void) { return serving.write_flags & FUSE_WRITE_KILL_SUIDGID; }

uint8_t *kernel_data(size_t size) { return size <= VOL_IO_MAX && serving.apart ? serving.memory : NULL; }

/* --- memory of threads --- */

/*
 * Of a huge page a read or write of 1 MiB is one piece for the device and not 256, which makes it half as fast again. So memory
 * is taken by huge pages, and kept when a thread ends.
 */
struct room {
	struct room *next;
};
static struct {
	pthread_mutex_t lock;
	struct room *free;
	pthread_key_t key; /* gives a thread's memory and its turn back at its end */
} rooms = { .lock = PTHREAD_MUTEX_INITIALIZER };

static void give_room(void *memory)
{
	struct room *r = memory;

	pthread_mutex_lock(&rooms.lock);
	r->next = rooms.free;
	rooms.free = r;
	pthread_mutex_unlock(&rooms.lock);
}

static void more_rooms(void)
{
	uint8_t *memory = aligned_alloc(HUGE_PAGE, HUGE_PAGE);

	if (!memory)
		return;
	(void)madvise(memory, HUGE_PAGE, MADV_HUGEPAGE); /* a help, no condition */
	for (size_t at = 0; at < HUGE_PAGE; at += VOL_IO_MAX)
		give_room(memory + at);
}

static struct room *free_room(void)
{
	struct room *r;

	pthread_mutex_lock(&rooms.lock);
	r = rooms.free;
	if (r)
		rooms.free = r->next;
	pthread_mutex_unlock(&rooms.lock);
	return r;
}

uint8_t *kernel_memory(void)
{
	struct room *r = free_room();

	if (!r) {
		more_rooms();
		r = free_room();
	}
	return (uint8_t *)r;
}

uint8_t *kernel_swap(uint8_t *other)
{
	uint8_t *data = serving.memory;

	serving.memory = other;
	serving.apart = false;
	return data;
}

/* False: there is no memory for it. */
static bool has_memory(void)
{
	if (!serving.memory)
		serving.memory = kernel_memory();
	return serving.memory != NULL;
}

/* --- the turn --- */

static sem_t turn;

bool turn_is_mine(void) { return serving.turn; }

void turn_pass(void)
{
	if (!serving.turn)
		return;
	serving.turn = false;
	sem_post(&turn);
}

/* Waiting for it is a point of cancellation. */
static void turn_take(void)
{
	int state;

	if (serving.turn)
		return;
	pthread_setcancelstate(PTHREAD_CANCEL_ENABLE, &state);
	while (sem_wait(&turn))
		;
	serving.turn = true;
	pthread_setcancelstate(state, NULL);
}

/* A thread of libfuse's ends: there are too many, or it was cancelled. */
static void thread_ends(void *unused)
{
	(void)unused;
	if (serving.memory)
		give_room(serving.memory);
	serving.memory = NULL;
	turn_pass();
}

/* Of these, what the node has cached or may do itself is done with the turn; the rest passes it on (session_ask()). */
static bool keeps_turn(uint32_t opcode)
{
	return opcode == FUSE_READ || opcode == FUSE_WRITE || opcode == FUSE_GETATTR || opcode == FUSE_LOOKUP;
}

/* --- requests --- */

static void look(const struct fuse_in_header *h, const void *body, size_t len)
{
	const struct fuse_init_in *init = body;
	const struct fuse_write_in *w = body;

	serving.unique = h->unique;
	serving.opcode = h->opcode;
	if (h->opcode == FUSE_WRITE && len >= sizeof(*w))
		serving.write_flags = w->write_flags;
	if (h->opcode != FUSE_INIT || csvfs.no_shared_maps)
		return;
	if (len >= sizeof(*init) && init->flags & FUSE_INIT_EXT && init->flags2 & ALLOW_MMAP2)
		atomic_store(&init_unique, h->unique);
	else
		fputs("csvfs: this kernel (before 6.6) has no shared mappings of such files: MAP_SHARED is refused\n", stderr);
}

/* What stands before the data of a write to where libfuse wants it, the data to this thread's memory. */
static ssize_t receive_apart(int fd, void *buf)
{
	const struct iovec parts[2] = { { buf, BEFORE_DATA }, { serving.memory, VOL_IO_MAX } };
	const struct fuse_in_header *h = buf;
	ssize_t n = readv(fd, parts, 2);

	if (n > (ssize_t)BEFORE_DATA && h->opcode != FUSE_WRITE)
		memcpy((uint8_t *)buf + BEFORE_DATA, serving.memory, (size_t)n - BEFORE_DATA);
	return n;
}

static ssize_t receive_now(int fd, void *buf, size_t len)
{
	const struct fuse_in_header *h = buf;
	ssize_t n;

	serving.apart = has_memory() && len >= BEFORE_DATA + VOL_IO_MAX;
	n = serving.apart ? receive_apart(fd, buf) : read(fd, buf, len);
	if (n >= (ssize_t)sizeof(*h))
		look(h, h + 1, (size_t)n - sizeof(*h));
	return n;
}

static bool does_not_block(int fd)
{
	int flags = serving.fd == fd ? O_NONBLOCK : fcntl(fd, F_GETFL);

	if (flags >= 0 && (flags & O_NONBLOCK || !fcntl(fd, F_SETFL, flags | O_NONBLOCK)))
		serving.fd = fd;
	return serving.fd == fd;
}

static ssize_t receive_with_turn(int fd, void *buf, size_t len)
{
	static uint32_t in_a_row; /* of who has the turn */
	ssize_t n;

	if (direct_io_many() || ++in_a_row == IN_A_ROW) {
		in_a_row = 0;
		direct_io_go_on();
	}
	for (;;) {
		turn_take(); /* also again: going on may have passed it on */
		n = receive_now(fd, buf, len);
		if (n >= 0 || errno != EAGAIN)
			break;
		if (!direct_io_go_on())
			direct_io_sleep(fd);
	}
	if (n < 0 || !keeps_turn(serving.opcode))
		turn_pass();
	return n;
}

/* Only while it waits may libfuse cancel it: what it does otherwise it does to the end. */
static ssize_t receive(int fd, void *buf, size_t len, void *user)
{
	ssize_t n;
	int state, error;

	(void)user;
	if (pthread_setspecific(rooms.key, &serving) || !direct_io_works() || !does_not_block(fd))
		return receive_now(fd, buf, len);
	pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &state);
	turn_take();
	n = receive_with_turn(fd, buf, len);
	error = errno;
	pthread_setcancelstate(state, NULL);
	errno = error;
	return n;
}

/* --- answers --- */

static bool accepts(const struct iovec *iov, int count)
{
	const struct fuse_out_header *h = iov[0].iov_base;

	return count == 2 && iov[0].iov_len == sizeof(*h) && h->unique == atomic_load(&init_unique) && !h->error &&
	       iov[1].iov_len == sizeof(struct fuse_init_out);
}

static ssize_t send_init(int fd, const struct iovec *iov)
{
	struct fuse_init_out out;
	struct iovec patched[2] = { iov[0], { &out, sizeof(out) } };

	memcpy(&out, iov[1].iov_base, sizeof(out));
	out.flags |= FUSE_INIT_EXT;
	out.flags2 |= ALLOW_MMAP2;
	atomic_store(&init_unique, 0);
	return writev(fd, patched, 2);
}

/* An answer that ends with what was opened: to OPEN, and to CREATE, behind the entry. */
static bool opens(const struct iovec *iov, int count)
{
	const struct fuse_out_header *h = iov[0].iov_base;
	size_t len = sizeof(struct fuse_open_out) + (serving.opcode == FUSE_CREATE ? sizeof(struct fuse_entry_out) : 0);

	return (serving.opcode == FUSE_OPEN || serving.opcode == FUSE_CREATE) && count == 2 && iov[0].iov_len == sizeof(*h) &&
	       h->unique == serving.unique && !h->error && iov[1].iov_len == len;
}

/*
 * Without it the kernel lets one write(2) of a file after the other reach us. What must come one after the other does so then by
 * us (range_lock() of file_io.c) and the owner; appends, and writes behind the end, by the kernel as well.
 */
static ssize_t send_opened(int fd, const struct iovec *iov)
{
	uint8_t body[sizeof(struct fuse_entry_out) + sizeof(struct fuse_open_out)];
	struct iovec patched[2] = { iov[0], { body, iov[1].iov_len } };
	struct fuse_open_out out;
	uint8_t *at = body + iov[1].iov_len - sizeof(out);

	memcpy(body, iov[1].iov_base, iov[1].iov_len);
	memcpy(&out, at, sizeof(out));
	if (out.open_flags & FOPEN_DIRECT_IO)
		out.open_flags |= FOPEN_PARALLEL_DIRECT_WRITES;
	memcpy(at, &out, sizeof(out));
	return writev(fd, patched, 2);
}

static ssize_t send(int fd, struct iovec *iov, int count, void *user)
{
	(void)user;
	if (atomic_load(&init_unique) && accepts(iov, count))
		return send_init(fd, iov);
	return opens(iov, count) ? send_opened(fd, iov) : writev(fd, iov, count);
}

int kernel_hook(struct fuse_session *se)
{
	static const struct fuse_custom_io io = { .writev = send, .read = receive };
	int error = pthread_key_create(&rooms.key, thread_ends);

	if (!error && sem_init(&turn, 0, 1))
		error = errno;

	return error ? -error : fuse_session_custom_io(se, &io, fuse_session_fd(se));
}
