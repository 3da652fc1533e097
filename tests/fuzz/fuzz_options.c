/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Configuration files: any bytes are parsed into sound options or into problems with texts. */
#include <stdint.h>
#include <string.h>

#include "clusterd/options.h"
#include "tests/fuzz/fuzz_require.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct options o;
	struct options_problems problems;

	memset(&problems, 0, sizeof(problems));
	options_default(&o);
	if (options_parse(&o, "fuzz.conf", (const char *)data, size, &problems))
		FUZZ_REQUIRE(problems.count);
	for (unsigned int i = 0; i < problems.count && i < OPTIONS_PROBLEM_MAX; i++)
		FUZZ_REQUIRE(memchr(problems.text[i], 0, sizeof(problems.text[i])) && problems.text[i][0]);
	return 0;
}
