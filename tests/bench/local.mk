# SPDX-License-Identifier: GPL-2.0-or-later
# Figures: tests/bench/README.md says how to add one.

bench_programs = \
	tests/bench/bench_agents \
	tests/bench/bench_changes \
	tests/bench/bench_files \
	tests/bench/bench_plan \
	tests/bench/bench_spawn \
	tests/bench/bench_stamp \
	$(NULL)
test_tools += $(bench_programs)
root_tests += \
	tests/bench/bench_smoke_test.py \
	$(NULL)
test_data += \
	tests/bench/README.md \
	tests/bench/bench \
	tests/bench/bench_plan_pacemaker.py \
	tests/bench/benchlib.py \
	tests/bench/figures_agents.py \
	tests/bench/figures_changes.py \
	tests/bench/figures_csvfs.py \
	tests/bench/figures_failover.py \
	tests/bench/figures_plan.py \
	tests/bench/figures_scale.py \
	tests/bench/peer_pacemaker.py \
	$(NULL)
