# SPDX-License-Identifier: GPL-2.0-or-later
# Extent maps, grants and recalls, locks, requests and their outcome. No I/O, no clock, no threads.

libcsvfs_core_a_SOURCES = \
	csvfs/core/extent_map.c \
	csvfs/core/extent_map.h \
	csvfs/core/file_lock.c \
	csvfs/core/file_lock.h \
	csvfs/core/grant.c \
	csvfs/core/grant.h \
	csvfs/core/grant_range.c \
	csvfs/core/grant_range.h \
	csvfs/core/grant_table.h \
	csvfs/core/intent.c \
	csvfs/core/intent.h \
	csvfs/core/intent_record.c \
	csvfs/core/intent_record.h \
	csvfs/core/name_cache.c \
	csvfs/core/name_cache.h \
	csvfs/core/pending.c \
	csvfs/core/pending.h \
	csvfs/core/queue.h \
	csvfs/core/request_log.c \
	csvfs/core/request_log.h \
	csvfs/core/session_set.h \
	csvfs/core/volume_canary.h \
	$(NULL)

# The same with planted bugs, for the simulation.
check_LIBRARIES += libcsvfs-core-canary.a
libcsvfs_core_canary_a_SOURCES = $(libcsvfs_core_a_SOURCES)
libcsvfs_core_canary_a_CPPFLAGS = $(AM_CPPFLAGS) -DVOLUME_CANARY_BUILD=1
