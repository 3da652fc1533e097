# SPDX-License-Identifier: GPL-2.0-or-later
# One C program a module: links the libraries, uses tests/lib/check.h.

unit_tests += \
	tests/unit/test_agents \
	tests/unit/test_agents_bad \
	tests/unit/test_agents_meta \
	tests/unit/test_agents_monitor \
	tests/unit/test_agents_real \
	tests/unit/test_agents_record \
	tests/unit/test_bytes \
	tests/unit/test_bounds \
	tests/unit/test_change \
	tests/unit/test_change_volume \
	tests/unit/test_core \
	tests/unit/test_ctl \
	tests/unit/test_message \
	tests/unit/test_object_text \
	tests/unit/test_objects \
	tests/unit/test_place_random \
	tests/unit/test_control \
	tests/unit/test_csvfs_admin \
	tests/unit/test_csvfs_caching \
	tests/unit/test_csvfs_hostile \
	tests/unit/test_csvfs_owner \
	tests/unit/test_csvfs_pages \
	tests/unit/test_csvfs_recover \
	tests/unit/test_csvfs_session \
	tests/unit/test_device \
	tests/unit/test_device_queue \
	tests/unit/test_extent_map \
	tests/unit/test_extents \
	tests/unit/test_fence \
	tests/unit/test_file_lock \
	tests/unit/test_grant \
	tests/unit/test_grant_random \
	tests/unit/test_intent \
	tests/unit/test_latency \
	tests/unit/test_link \
	tests/unit/test_link_bad \
	tests/unit/test_log \
	tests/unit/test_name_cache \
	tests/unit/test_options \
	tests/unit/test_owner_hostile \
	tests/unit/test_page_cache \
	tests/unit/test_pending \
	tests/unit/test_process \
	tests/unit/test_request_log \
	tests/unit/test_shell_vet \
	tests/unit/test_store \
	tests/unit/test_superblock \
	tests/unit/test_timetable \
	tests/unit/test_trailer \
	tests/unit/test_trailer_move \
	tests/unit/test_volume_agent \
	tests/unit/test_volume_client \
	tests/unit/test_volume_control \
	tests/unit/test_volume_process \
	tests/unit/test_volume_report \
	tests/unit/test_volume_wire \
	tests/unit/test_watchdog \
	tests/unit/test_wire_random \
	$(NULL)
test_tools += \
	tests/unit/ctl_canned \
	tests/unit/ctl_server \
	tests/unit/ringtool \
	$(NULL)
script_tests += \
	tests/unit/test_csvfs_admin_manual.sh \
	tests/unit/test_ctl_config.sh \
	tests/unit/test_ctl_golden.py \
	tests/unit/test_ctl_live.sh \
	tests/unit/test_ctl_manual.py \
	tests/unit/test_ctl_volume.sh \
	tests/unit/test_packaging.sh \
	$(NULL)
noinst_HEADERS += \
	tests/unit/agents_rig.h \
	tests/unit/change_rig.h \
	tests/unit/core_rig.h \
	tests/unit/link_rig.h \
	tests/unit/loop_rig.h \
	tests/unit/owner_rig.h \
	tests/unit/serving_rig.h \
	tests/unit/session_rig.h \
	$(NULL)
