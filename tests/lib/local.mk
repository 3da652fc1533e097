# SPDX-License-Identifier: GPL-2.0-or-later
# What tests share.

noinst_HEADERS += \
	tests/lib/any_names.h \
	tests/lib/check.h \
	tests/lib/without_call.h \
	$(NULL)
test_data += \
	tests/lib/ctl_daemon.sh \
	tests/lib/install_packages.sh \
	tests/lib/testlib.sh \
	$(NULL)
