# SPDX-License-Identifier: GPL-2.0-or-later
# The program csvfs-owner: names, allocation and locks of a volume, on the node that has it mounted.

libcsvfs_owner_a_SOURCES = \
	$(NULL)
