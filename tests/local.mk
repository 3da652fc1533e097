# SPDX-License-Identifier: GPL-2.0-or-later
# How tests are built and run. The lists come from the directories included first.

include tests/lib/local.mk
include tests/unit/local.mk
include tests/golden/local.mk
include tests/sim/local.mk
include tests/fuzz/local.mk
include tests/fault/local.mk
include tests/lint/local.mk
include tests/lab/local.mk
include tests/bench/local.mk
include tests/csvfs/local.mk

check_PROGRAMS = $(unit_tests) $(fuzzers) $(test_tools)
check_SCRIPTS =
TESTS = $(script_tests) $(fuzzers) $(unit_tests)
EXTRA_DIST += \
	$(script_tests) \
	$(root_tests) \
	$(test_data) \
	tests/check \
	tests/demo \
	tests/packages \
	$(NULL)

TEST_EXTENSIONS = .sh .py
SH_LOG_COMPILER = $(BASH_PATH)
PY_LOG_COMPILER = $(PYTHON3)
AM_TESTS_ENVIRONMENT = \
	top_srcdir='$(abs_top_srcdir)'; export top_srcdir; \
	top_builddir='$(abs_top_builddir)'; export top_builddir; \
	NM='$(NM)'; export NM; \
	READELF='$(READELF)'; export READELF; \
	PYTHON3='$(PYTHON3)'; export PYTHON3; \
	HARDENED='$(HARDENED)'; export HARDENED; \
	FORTIFY='$(CLUSTER_CPPFLAGS)'; export FORTIFY; \
	INSTALLED_PROGRAMS='$(sbin_PROGRAMS) $(bin_PROGRAMS)'; export INSTALLED_PROGRAMS; \
	MANUAL_PAGES='$(dist_man_MANS)'; export MANUAL_PAGES; \
	PYTHONDONTWRITEBYTECODE=1; export PYTHONDONTWRITEBYTECODE; \
	ASAN_OPTIONS="detect_stack_use_after_return=1:abort_on_error=0:$$ASAN_OPTIONS"; export ASAN_OPTIONS; \
	UBSAN_OPTIONS="print_stacktrace=1:$$UBSAN_OPTIONS"; export UBSAN_OPTIONS; \
	$(NULL)

# The lab needs root and the machine to itself: one test at a time.
.PHONY: check-root
check-root: all $(check_LIBRARIES) $(check_PROGRAMS)
	@test "`id -u`" = 0 || { echo "make check-root: the lab makes namespaces and needs root: run it as root" >&2; exit 1; }
	$(MAKE) $(AM_MAKEFLAGS) -j1 check-TESTS TESTS='$(root_tests)' TEST_SUITE_LOG=tests/root-suite.log

# make bench: every figure; make bench B=name: one.
.PHONY: bench
bench: all $(check_LIBRARIES) $(bench_programs)
	@$(AM_TESTS_ENVIRONMENT) $(PYTHON3) -B $(srcdir)/tests/bench/bench $(B)
