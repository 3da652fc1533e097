# SPDX-License-Identifier: GPL-2.0-or-later
# The replicated state and every decision. No I/O, no clock, no allocation after init.

libcluster_core_a_SOURCES = \
	clusterd/core/canary.h \
	clusterd/core/change.c \
	clusterd/core/change.h \
	clusterd/core/change_check.c \
	clusterd/core/change_node.c \
	clusterd/core/change_op.h \
	clusterd/core/change_role.c \
	clusterd/core/change_volume.c \
	clusterd/core/core.c \
	clusterd/core/core.h \
	clusterd/core/core_private.h \
	clusterd/core/core_status.c \
	clusterd/core/duty.c \
	clusterd/core/explain.c \
	clusterd/core/explain.h \
	clusterd/core/foresee.c \
	clusterd/core/foresee.h \
	clusterd/core/ledger.c \
	clusterd/core/local.c \
	clusterd/core/local_volumes.c \
	clusterd/core/node.c \
	clusterd/core/node.h \
	clusterd/core/place.c \
	clusterd/core/place.h \
	clusterd/core/place_preempt.c \
	clusterd/core/place_private.h \
	clusterd/core/reason.c \
	clusterd/core/reason.h \
	clusterd/core/reasons.def \
	clusterd/core/requests.c \
	clusterd/core/resource.c \
	clusterd/core/resource.h \
	clusterd/core/role.c \
	clusterd/core/role.h \
	clusterd/core/role_move.c \
	clusterd/core/role_move.h \
	clusterd/core/state.c \
	clusterd/core/state.h \
	clusterd/core/state_index.c \
	clusterd/core/state_index.h \
	clusterd/core/timetable.c \
	clusterd/core/timetable.h \
	clusterd/core/view.c \
	clusterd/core/view_open.c \
	clusterd/core/volume_use.c \
	clusterd/core/volume_use.h \
	clusterd/core/votes.c \
	clusterd/core/votes.h \
	$(NULL)

# The same sources with the planted bugs compiled in; only the simulator's canaries link it.
check_LIBRARIES += libcluster-core-canary.a
libcluster_core_canary_a_SOURCES = $(libcluster_core_a_SOURCES)
libcluster_core_canary_a_CPPFLAGS = $(AM_CPPFLAGS) -DCLUSTER_CANARY=1
