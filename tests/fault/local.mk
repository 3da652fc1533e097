# SPDX-License-Identifier: GPL-2.0-or-later
# Bad input and failing surroundings, one test each.

test_data += \
	tests/fault/agents/test/fault \
	tests/fault/agents/test/good \
	tests/fault/agents/test/meta_bomb \
	tests/fault/agents/test/meta_broken \
	tests/fault/agents/test/meta_empty \
	tests/fault/agents/test/meta_fails \
	tests/fault/agents/test/meta_foreign \
	tests/fault/agents/test/meta_huge \
	tests/fault/agents/test/noexec \
	tests/fault/agents/test/nointerpreter \
	$(NULL)
