# SPDX-License-Identifier: GPL-2.0-or-later
# Files whose text is the expectation: placement cases, traces, bytes of the wire.
test_data += \
	tests/golden/ctl \
	$(NULL)
