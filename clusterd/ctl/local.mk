# SPDX-License-Identifier: GPL-2.0-or-later
# clusterctl: clusterctl.c is the program, everything else is in a library so that tests can link it.

libcluster_ctl_a_SOURCES = \
	clusterd/ctl/cmd_cluster.c \
	clusterd/ctl/cmd_config.c \
	clusterd/ctl/cmd_events.c \
	clusterd/ctl/cmd_foresee.c \
	clusterd/ctl/cmd_node.c \
	clusterd/ctl/cmd_objects.c \
	clusterd/ctl/cmd_role.c \
	clusterd/ctl/cmd_status.c \
	clusterd/ctl/cmd_volume.c \
	clusterd/ctl/cmd_volume_order.c \
	clusterd/ctl/cmd_volume_state.c \
	clusterd/ctl/cmd_volume_stats.c \
	clusterd/ctl/commands.def \
	clusterd/ctl/ctl.h \
	clusterd/ctl/ctl_agents.c \
	clusterd/ctl/ctl_agents.h \
	clusterd/ctl/ctl_args.c \
	clusterd/ctl/ctl_change.c \
	clusterd/ctl/ctl_change.h \
	clusterd/ctl/ctl_config.c \
	clusterd/ctl/ctl_config.h \
	clusterd/ctl/ctl_error.c \
	clusterd/ctl/ctl_format.c \
	clusterd/ctl/ctl_help.c \
	clusterd/ctl/ctl_json.c \
	clusterd/ctl/ctl_link.c \
	clusterd/ctl/ctl_link.h \
	clusterd/ctl/ctl_options.def \
	clusterd/ctl/ctl_page.h \
	clusterd/ctl/ctl_screen.c \
	clusterd/ctl/ctl_screen.h \
	clusterd/ctl/ctl_table.c \
	clusterd/ctl/ctl_table.h \
	clusterd/ctl/ctl_view.c \
	clusterd/ctl/ctl_volume.h \
	clusterd/ctl/ctl_wait.c \
	clusterd/ctl/exits.def \
	$(NULL)

sbin_PROGRAMS += clusterd/ctl/clusterctl
clusterd_ctl_clusterctl_SOURCES = \
	clusterd/ctl/clusterctl.c \
	$(NULL)
clusterd_ctl_clusterctl_LDADD = \
	libcluster-ctl.a \
	libcluster-core.a \
	libcluster-proto.a \
	$(DEPENDENCY_LIBS) \
	$(NULL)
dist_man_MANS += clusterd/ctl/clusterctl.8
dist_bashcompletion_DATA += clusterd/ctl/clusterctl.bash
