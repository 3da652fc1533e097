# SPDX-License-Identifier: GPL-2.0-or-later
# The daemon: main.c is the program, everything else is in a library so that tests can link it.

libcluster_daemon_a_SOURCES = \
	clusterd/control_wire.h \
	clusterd/log.c \
	clusterd/log.h \
	clusterd/options.c \
	clusterd/options.def \
	clusterd/options.h \
	clusterd/preflight.c \
	clusterd/preflight.h \
	clusterd/shell_vet.c \
	clusterd/volume_count.c \
	clusterd/volume_count.h \
	clusterd/volume_report.c \
	clusterd/volume_report.h \
	clusterd/volume_users.c \
	clusterd/volume_users.h \
	$(NULL)

sbin_PROGRAMS += clusterd/clusterd
clusterd_clusterd_SOURCES = \
	clusterd/main.c \
	clusterd/shell.c \
	clusterd/shell.h \
	clusterd/shell_agents.c \
	clusterd/shell_control.c \
	clusterd/shell_private.h \
	clusterd/shell_volume_orders.c \
	clusterd/shell_volume_views.c \
	clusterd/shell_volumes.c \
	clusterd/shell_volumes.h \
	clusterd/volume_mount.c \
	clusterd/volume_mount.h \
	clusterd/volume_ownership.c \
	clusterd/volume_ownership.h \
	$(NULL)
clusterd_clusterd_LDADD = \
	libcluster-daemon.a \
	libcluster-io.a \
	libcluster-core.a \
	libcsvfs-io.a \
	libcsvfs-core.a \
	libcluster-proto.a \
	$(DEPENDENCY_LIBS) \
	$(NULL)

dist_man_MANS += \
	clusterd/clusterd.8 \
	clusterd/clusterd.conf.5 \
	$(NULL)
nodist_systemdsystemunit_DATA += \
	clusterd/clusterd.service \
	$(NULL)
dist_sysusers_DATA += clusterd/clusterd.sysusers.conf
dist_logrotate_DATA += clusterd/clusterd.logrotate
EXTRA_DIST += clusterd/clusterd.service.in
CLEANFILES += clusterd/clusterd.service

# [@]: config.status would put its own value in the place of the name between two @ of this very rule.
clusterd/clusterd.service: clusterd/clusterd.service.in Makefile
	@$(MKDIR_P) $(@D)
	$(AM_V_GEN)$(SED) 's|[@]sbindir[@]|$(sbindir)|g' $(srcdir)/clusterd/clusterd.service.in >$@.tmp && mv $@.tmp $@
