# SPDX-License-Identifier: GPL-2.0-or-later
# Rules of the house that a program can check.
