# SPDX-License-Identifier: GPL-2.0-or-later
# clusterctl: its main.c is the program, everything else is in a library so that tests can link it.

libcluster_ctl_a_SOURCES = \
	$(NULL)

EXTRA_PROGRAMS += clusterd/ctl/clusterctl
clusterd_ctl_clusterctl_SOURCES = \
	$(NULL)
clusterd_ctl_clusterctl_LDADD = \
	libcluster-ctl.a \
	libcluster-core.a \
	libcluster-proto.a \
	$(DEPENDENCY_LIBS) \
	$(NULL)
