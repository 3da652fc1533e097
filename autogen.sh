#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-or-later
# Makes ./configure out of configure.ac; needs autoconf, automake and pkg-config (tests/packages lists them).
set -e
cd "$(dirname "$0")"
exec autoreconf --install --force --warnings=all,no-portability,no-obsolete "$@"
