# SPDX-License-Identifier: GPL-2.0-or-later
# Block device, extents of files, TLS link, control socket, volume header: one adapter a file.

libcsvfs_io_a_SOURCES = \
	csvfs/io/device.c \
	csvfs/io/device.h \
	csvfs/io/device_queue.c \
	csvfs/io/device_queue.h \
	csvfs/io/extents.c \
	csvfs/io/extents.h \
	csvfs/io/growth.c \
	csvfs/io/growth.h \
	csvfs/io/io_count.h \
	csvfs/io/link.c \
	csvfs/io/link.h \
	csvfs/io/link_key.c \
	csvfs/io/page_cache.c \
	csvfs/io/page_cache.h \
	csvfs/io/superblock.c \
	csvfs/io/superblock.h \
	csvfs/io/trailer.c \
	csvfs/io/trailer.h \
	csvfs/io/volume_control.c \
	csvfs/io/volume_control.h \
	csvfs/io/volume_process.c \
	csvfs/io/volume_process.h \
	$(NULL)
