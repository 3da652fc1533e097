# SPDX-License-Identifier: GPL-2.0-or-later
# The program csvfs-admin: makes, checks and grows volumes. csvfs_admin.c is the program, everything else a library.

libcsvfs_admin_a_SOURCES = \
	csvfs/admin/admin.h \
	csvfs/admin/admin_check.c \
	csvfs/admin/admin_commands.def \
	csvfs/admin/admin_control.c \
	csvfs/admin/admin_create.c \
	csvfs/admin/admin_exits.def \
	csvfs/admin/admin_grow.c \
	csvfs/admin/admin_main.c \
	csvfs/admin/admin_probe.c \
	csvfs/admin/admin_run.c \
	csvfs/admin/admin_volume.c \
	$(NULL)

sbin_PROGRAMS += csvfs/admin/csvfs-admin
csvfs_admin_csvfs_admin_SOURCES = \
	csvfs/admin/csvfs_admin.c \
	$(NULL)
csvfs_admin_csvfs_admin_LDADD = \
	libcsvfs-admin.a \
	libcsvfs-io.a \
	libcluster-proto.a \
	$(DEPENDENCY_LIBS) \
	$(NULL)
dist_man_MANS += csvfs/admin/csvfs-admin.8
dist_bashcompletion_DATA += csvfs/admin/csvfs-admin.bash
