# SPDX-License-Identifier: GPL-2.0-or-later
# Block device, extents of files, TLS link, volume header: one adapter a file.

libcsvfs_io_a_SOURCES = \
	$(NULL)
