# SPDX-License-Identifier: GPL-2.0-or-later
# Bad input and failing surroundings, one test each.
