/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Chooses the planted bug, where the core was built with them. */
#include "tests/sim/choose.h"

#include <string.h>

#include "clusterd/core/canary.h"

static const struct {
	const char *name, *found_by, *bug;
} rows[] = { [CANARY_NONE] = { "", "", "" },
#define CANARY_ROW(symbol, name, found_by, bug) [symbol] = { name, found_by, bug },
	     CANARY_ROWS
#undef CANARY_ROW
};

#ifdef CLUSTER_CANARY
enum canary canary_chosen;
unsigned int canary_memory;
#endif

int canary_choose(const char *name)
{
#ifdef CLUSTER_CANARY
	for (size_t i = 1; i < sizeof(rows) / sizeof(rows[0]); i++)
		if (!strcmp(rows[i].name, name)) {
			canary_chosen = (enum canary)i;
			return 0;
		}
#else
	(void)name;
#endif
	return -1;
}

void canary_list(FILE *out)
{
	for (size_t i = 1; i < sizeof(rows) / sizeof(rows[0]); i++)
		fprintf(out, "%s\t%s\t%s\n", rows[i].name, rows[i].found_by, rows[i].bug);
}
