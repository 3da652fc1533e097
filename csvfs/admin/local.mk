# SPDX-License-Identifier: GPL-2.0-or-later
# The program csvfs-admin: makes, checks and grows volumes.

libcsvfs_admin_a_SOURCES = \
	$(NULL)
