# SPDX-License-Identifier: GPL-2.0-or-later
# The lab: hosts as namespaces with their own corosync and clusterd. Needs root.
