# SPDX-License-Identifier: GPL-2.0-or-later
# Files whose text is the expectation: placement cases, traces, bytes of the wire.

unit_tests += \
	tests/golden/test_place \
	tests/golden/test_volume_golden \
	tests/golden/test_wire \
	$(NULL)
script_tests += \
	tests/golden/protocol_test.sh \
	$(NULL)
test_data += \
	tests/golden/ctl \
	tests/golden/place \
	tests/golden/volume \
	tests/golden/wire \
	$(NULL)
noinst_HEADERS += \
	tests/golden/golden_hex.h \
	$(NULL)
