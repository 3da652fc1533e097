# SPDX-License-Identifier: GPL-2.0-or-later
# Figures: each prints name, value, unit, target, verdict.
