# SPDX-License-Identifier: GPL-2.0-or-later
# Figures: each prints name, value, unit, target, verdict.

test_tools += \
	tests/bench/bench_agents \
	tests/bench/bench_plan \
	$(NULL)
test_data += \
	tests/bench/bench_plan_pacemaker.py \
	$(NULL)
