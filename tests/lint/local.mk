# SPDX-License-Identifier: GPL-2.0-or-later
# Rules of the house that a program can check.

script_tests += \
	tests/lint/lint_hardening.sh \
	tests/lint/lint_includes.py \
	tests/lint/lint_manual.sh \
	tests/lint/lint_pure.sh \
	tests/lint/lint_registered.py \
	tests/lint/lint_shell.sh \
	tests/lint/lint_style.py \
	$(NULL)
test_data += \
	tests/lint/lint_tree.py \
	tests/lint/tidy_run.sh \
	$(NULL)

TIDY_FLAGS = $(DEFS) $(AM_CPPFLAGS) -U_FORTIFY_SOURCE $(CPPFLAGS) -std=gnu11 -Wall -Wextra -Wshadow -Wvla

# make tidy [TIDY='file ...']
TIDY = $(sort $(filter %.c,$(DIST_SOURCES) $(test_data)))
.PHONY: tidy
tidy:
	@test -n "$(CLANG_TIDY)" || { echo "make tidy: no clang-tidy was found: install it, then configure again" >&2; exit 1; }
	@$(BASH_PATH) $(srcdir)/tests/lint/tidy_run.sh $(CLANG_TIDY) $(abs_top_srcdir) $(TIDY) -- \
		$(subst -I$(top_srcdir),-I$(abs_top_srcdir),$(TIDY_FLAGS))
