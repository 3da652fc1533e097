# SPDX-License-Identifier: GPL-2.0-or-later
# The wire: tables, bounded codec, versions. No I/O, no allocation.

libcluster_proto_a_SOURCES = \
	$(NULL)
