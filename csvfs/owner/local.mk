# SPDX-License-Identifier: GPL-2.0-or-later
# The program csvfs-owner: names, allocation and locks of a volume, on the node that has it mounted.

libcsvfs_owner_a_SOURCES = \
	csvfs/owner/attributes.c \
	csvfs/owner/claims.c \
	csvfs/owner/committer.c \
	csvfs/owner/committer.h \
	csvfs/owner/data.c \
	csvfs/owner/files.c \
	csvfs/owner/files.h \
	csvfs/owner/leases.c \
	csvfs/owner/mount.c \
	csvfs/owner/mount.h \
	csvfs/owner/names.c \
	csvfs/owner/names.h \
	csvfs/owner/open.c \
	csvfs/owner/operations.c \
	csvfs/owner/owner.h \
	csvfs/owner/owner_control.c \
	csvfs/owner/owner_jobs.c \
	csvfs/owner/owner_main.c \
	csvfs/owner/remove.c \
	csvfs/owner/rights.c \
	csvfs/owner/rights.h \
	csvfs/owner/server.c \
	csvfs/owner/sessions.c \
	csvfs/owner/space.c \
	$(NULL)

sbin_PROGRAMS += csvfs/owner/csvfs-owner
csvfs_owner_csvfs_owner_SOURCES = \
	csvfs/owner/csvfs_owner.c \
	$(NULL)
csvfs_owner_csvfs_owner_LDADD = \
	libcsvfs-owner.a \
	libcsvfs-io.a \
	libcsvfs-core.a \
	libcluster-proto.a \
	$(DEPENDENCY_LIBS) \
	$(NULL)
dist_man_MANS += csvfs/owner/csvfs-owner.8
