# SPDX-License-Identifier: GPL-2.0-or-later
# Cluster shared volumes in the lab: a SAN, nodes, conformance, coherence, a data checker with faults. Needs root.

test_tools += \
	tests/csvfs/csvbroken \
	tests/csvfs/csvload \
	tests/csvfs/csvsan \
	tests/csvfs/posix_suite \
	tests/csvfs/without \
	$(NULL)
tests_csvfs_csvload_SOURCES = \
	tests/csvfs/load/csvload.h \
	tests/csvfs/load/load_journal.c \
	tests/csvfs/load/load_main.c \
	tests/csvfs/load/load_verify.c \
	tests/csvfs/load/load_work.c \
	$(NULL)
tests_csvfs_posix_suite_SOURCES = \
	tests/csvfs/posix/posix.h \
	tests/csvfs/posix/posix_data.c \
	tests/csvfs/posix/posix_locks.c \
	tests/csvfs/posix/posix_main.c \
	tests/csvfs/posix/posix_names.c \
	tests/csvfs/posix/posix_open.c \
	tests/csvfs/posix/posix_rights.c \
	$(NULL)
# The checks are programs of their own: no main of the unit tests.
tests_csvfs_csvload_LDADD =
tests_csvfs_posix_suite_LDADD =
tests_csvfs_without_LDADD =

root_tests += \
	tests/csvfs/csvfs_cached_test.py \
	tests/csvfs/csvfs_data_test.py \
	tests/csvfs/csvfs_database_test.py \
	tests/csvfs/csvfs_faults_test.py \
	tests/csvfs/csvfs_large_test.py \
	tests/csvfs/csvfs_memory_test.py \
	tests/csvfs/csvfs_nodes_test.py \
	tests/csvfs/csvfs_once_test.py \
	tests/csvfs/csvfs_posix_test.py \
	tests/csvfs/csvfs_quota_test.py \
	tests/csvfs/csvfs_san_test.py \
	tests/csvfs/csvfs_stress_test.py \
	tests/csvfs/csvfs_trouble_test.py \
	$(NULL)
test_data += \
	tests/csvfs/README.md \
	tests/csvfs/csvrig.py \
	tests/csvfs/csvtorture \
	$(NULL)
