# SPDX-License-Identifier: GPL-2.0-or-later
# Extent maps, grants and recalls, locks, requests and their outcome. No I/O, no clock, no threads.

libcsvfs_core_a_SOURCES = \
	$(NULL)
