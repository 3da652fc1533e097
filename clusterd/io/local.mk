# SPDX-License-Identifier: GPL-2.0-or-later
# Adapters to the outside, one a file: corosync, store, agents, watchdog, control socket.

libcluster_io_a_SOURCES = \
	clusterd/io/access.c \
	clusterd/io/access.h \
	clusterd/io/agent_environ.c \
	clusterd/io/agent_metadata.c \
	clusterd/io/agent_monitor.c \
	clusterd/io/agent_output.c \
	clusterd/io/agent_record.c \
	clusterd/io/agent_runner.c \
	clusterd/io/agent_runner.h \
	clusterd/io/agent_validation.c \
	clusterd/io/agents.h \
	clusterd/io/control.c \
	clusterd/io/control.h \
	clusterd/io/fence.c \
	clusterd/io/fence.h \
	clusterd/io/process.c \
	clusterd/io/process.h \
	clusterd/io/ring.c \
	clusterd/io/ring.h \
	clusterd/io/ring_cmap.c \
	clusterd/io/ring_device.c \
	clusterd/io/ring_private.h \
	clusterd/io/soon.h \
	clusterd/io/store.c \
	clusterd/io/store.h \
	clusterd/io/store_db.c \
	clusterd/io/store_db.h \
	clusterd/io/volume_client.c \
	clusterd/io/volume_client.h \
	clusterd/io/watchdog.c \
	clusterd/io/watchdog.h \
	$(NULL)
