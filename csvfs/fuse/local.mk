# SPDX-License-Identifier: GPL-2.0-or-later
# The program csvfs: a volume on one node. csvfs.c is the program, everything else a library.

libcsvfs_fuse_a_SOURCES = \
	csvfs/fuse/caching.c \
	csvfs/fuse/csvfs.h \
	csvfs/fuse/csvfs_main.c \
	csvfs/fuse/direct_io.c \
	csvfs/fuse/file_io.c \
	csvfs/fuse/file_ops.c \
	csvfs/fuse/inode.c \
	csvfs/fuse/kernel.c \
	csvfs/fuse/locks.c \
	csvfs/fuse/name_ops.c \
	csvfs/fuse/pages.c \
	csvfs/fuse/recover.c \
	csvfs/fuse/session.c \
	$(NULL)

sbin_PROGRAMS += csvfs/fuse/csvfs
csvfs_fuse_csvfs_SOURCES = \
	csvfs/fuse/csvfs.c \
	$(NULL)
csvfs_fuse_csvfs_LDADD = \
	libcsvfs-fuse.a \
	libcsvfs-io.a \
	libcsvfs-core.a \
	libcluster-proto.a \
	$(DEPENDENCY_LIBS) \
	$(NULL)
dist_man_MANS += csvfs/fuse/csvfs.8
