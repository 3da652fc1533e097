/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the kernel can do and libfuse 3.14 does not pass on: frames are looked at on their way (fuse_session_custom_io). The bits
 * are those of the kernel's include/uapi/linux/fuse.h; older headers lack some.
 */
#include <errno.h>
#include <linux/fuse.h>
#include <stdio.h>
#include <sys/uio.h>
#include <unistd.h>

#include "csvfs/fuse/csvfs.h"

/* FUSE_DIRECT_IO_ALLOW_MMAP, since 6.6: bit 36 of the flags of INIT. */
#define ALLOW_MMAP2 (1u << (36 - 32))

static _Atomic uint64_t init_unique; /* of an INIT that offers it; 0: none */
static _Thread_local uint32_t write_flags;

bool kernel_kills_priv(void) { return write_flags & FUSE_WRITE_KILL_SUIDGID; }

static void look(const struct fuse_in_header *h, const void *body, size_t len)
{
	const struct fuse_init_in *init = body;
	const struct fuse_write_in *w = body;

	if (h->opcode == FUSE_WRITE && len >= sizeof(*w))
		write_flags = w->write_flags;
	if (h->opcode != FUSE_INIT || csvfs.no_shared_maps)
		return;
	if (len >= sizeof(*init) && init->flags & FUSE_INIT_EXT && init->flags2 & ALLOW_MMAP2)
		atomic_store(&init_unique, h->unique);
	else
		fputs("csvfs: this kernel (before 6.6) has no shared mappings of such files: MAP_SHARED is refused\n", stderr);
}

static ssize_t receive(int fd, void *buf, size_t len, void *user)
{
	ssize_t n = read(fd, buf, len);
	const struct fuse_in_header *h = buf;

	(void)user;
	if (n >= (ssize_t)sizeof(*h))
		look(h, h + 1, (size_t)n - sizeof(*h));
	return n;
}

static bool accepts(const struct iovec *iov, int count)
{
	const struct fuse_out_header *h = iov[0].iov_base;

	return count == 2 && iov[0].iov_len == sizeof(*h) && h->unique == atomic_load(&init_unique) && !h->error &&
	       iov[1].iov_len == sizeof(struct fuse_init_out);
}

static ssize_t send(int fd, struct iovec *iov, int count, void *user)
{
	struct fuse_init_out out;
	struct iovec patched[2];

	(void)user;
	if (!atomic_load(&init_unique) || !accepts(iov, count))
		return writev(fd, iov, count);
	memcpy(&out, iov[1].iov_base, sizeof(out));
	out.flags |= FUSE_INIT_EXT;
	out.flags2 |= ALLOW_MMAP2;
	atomic_store(&init_unique, 0);
	patched[0] = iov[0];
	patched[1] = (struct iovec){ &out, sizeof(out) };
	return writev(fd, patched, 2);
}

int kernel_hook(struct fuse_session *se)
{
	static const struct fuse_custom_io io = { .writev = send, .read = receive };

	return fuse_session_custom_io(se, &io, fuse_session_fd(se));
}
