# SPDX-License-Identifier: GPL-2.0-or-later
# Adapters to the outside, one a file: corosync, store, agents, watchdog, control socket.

libcluster_io_a_SOURCES = \
	$(NULL)
