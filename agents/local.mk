# SPDX-License-Identifier: GPL-2.0-or-later
# OCF resource agents of the cluster's own. volume_main.c is the program, everything else a library.

libcluster_agents_a_SOURCES = \
	agents/volume_agent.c \
	agents/volume_agent.h \
	agents/volume_metadata.h \
	$(NULL)

ocfagent_PROGRAMS = agents/volume
agents_volume_SOURCES = \
	agents/volume_main.c \
	$(NULL)
agents_volume_LDADD = \
	libcluster-agents.a \
	libcsvfs-io.a \
	libcsvfs-core.a \
	libcluster-proto.a \
	$(DEPENDENCY_LIBS) \
	$(NULL)
dist_man_MANS += agents/ocf_clusterd_volume.7
