# SPDX-License-Identifier: GPL-2.0-or-later
# The program csvfs: a volume on one node.

libcsvfs_fuse_a_SOURCES = \
	$(NULL)
