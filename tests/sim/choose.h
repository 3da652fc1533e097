/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Which planted bug this process runs with; there are some in the program sim_canary alone. */
#ifndef TESTS_SIM_CHOOSE_H
#define TESTS_SIM_CHOOSE_H

#include <stdio.h>

/* 0, or -1: there is no such canary in this program. */
int canary_choose(const char *name);
/* One a line: name, tab, invariants that may report it, tab, the bug. */
void canary_list(FILE *out);

#endif
