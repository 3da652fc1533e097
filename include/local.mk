# SPDX-License-Identifier: GPL-2.0-or-later
# Headers that every layer may use.

noinst_HEADERS += \
	include/bounds.h \
	include/bytes.h \
	include/cleanup.h \
	include/clock.h \
	include/splitmix.h \
	include/text.h \
	include/units.h \
	$(NULL)
