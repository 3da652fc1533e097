# SPDX-License-Identifier: GPL-2.0-or-later
# Cluster shared volumes.

include csvfs/core/local.mk
include csvfs/io/local.mk
include csvfs/fuse/local.mk
include csvfs/owner/local.mk
include csvfs/admin/local.mk

EXTRA_DIST += \
	csvfs/README.md \
	$(NULL)
