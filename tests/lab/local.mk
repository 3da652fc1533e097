# SPDX-License-Identifier: GPL-2.0-or-later
# The lab: hosts as namespaces with their own corosync and clusterd. Needs root.

script_tests += \
	tests/lab/observer_test.py \
	$(NULL)

root_tests += \
	tests/lab/lab_badinput_test.py \
	tests/lab/lab_ctl_test.py \
	tests/lab/lab_daemon_test.py \
	tests/lab/lab_gc_test.py \
	tests/lab/lab_network_test.py \
	tests/lab/lab_power_test.py \
	tests/lab/lab_scenarios_test.py \
	tests/lab/lab_ring_test.py \
	tests/lab/lab_tracker_test.py \
	tests/lab/lab_volume_faults_test.py \
	tests/lab/lab_volume_grow_test.py \
	tests/lab/lab_volume_test.py \
	tests/lab/lab_watchdog_test.py \
	$(NULL)

# The lab compiles its helpers itself: it is a tool that works without a build tree.
test_data += \
	tests/lab/README.md \
	tests/lab/agents/brokenmeta \
	tests/lab/agents/misbehave \
	tests/lab/agents/tracker \
	tests/lab/inside.sh \
	tests/lab/lab \
	tests/lab/labcluster.py \
	tests/lab/labconf.py \
	tests/lab/labctl.py \
	tests/lab/labfuse.py \
	tests/lab/labinit.c \
	tests/lab/labsan.py \
	tests/lab/labsend.c \
	tests/lab/labserver.py \
	tests/lab/labtest.py \
	tests/lab/labtrack.c \
	tests/lab/labvolume.py \
	tests/lab/labwatch.c \
	tests/lab/observer.py \
	tests/lab/outside.sh \
	tests/lab/scale63 \
	tests/lab/scenarios \
	$(NULL)

# All of the scenario suite, two hundred random faults with and without a fence device, and 63 hosts: about two hours.
.PHONY: check-lab
check-lab: all
	$(AM_TESTS_ENVIRONMENT) $(srcdir)/tests/lab/scenarios --hosts 3,4,5
	$(AM_TESTS_ENVIRONMENT) $(srcdir)/tests/lab/scenarios --hosts 5 --random 200
	$(AM_TESTS_ENVIRONMENT) $(srcdir)/tests/lab/scenarios --hosts 3 --fence --random 200
	$(AM_TESTS_ENVIRONMENT) $(srcdir)/tests/lab/scale63
