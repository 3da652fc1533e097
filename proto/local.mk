# SPDX-License-Identifier: GPL-2.0-or-later
# The wire: tables, bounded codec, versions. No I/O, no allocation.

libcluster_proto_a_SOURCES = \
	proto/changes.def \
	proto/enums.def \
	proto/message.c \
	proto/message.h \
	proto/messages.def \
	proto/object_text.c \
	proto/object_text.h \
	proto/objects.c \
	proto/objects.def \
	proto/objects.h \
	proto/refusals.def \
	proto/volume.c \
	proto/volume.def \
	proto/volume.h \
	proto/latency.h \
	$(NULL)

# Prints PROTOCOL.md; a test compares.
test_tools += \
	proto/protocol_doc \
	$(NULL)
EXTRA_DIST += \
	proto/PROTOCOL.md \
	$(NULL)
