/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Runs a program as on a kernel without a system call: without CALL PROGRAM ARGUMENT... It fails with ENOSYS. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "tests/lib/without_call.h"

static const struct {
	const char *name;
	unsigned int number;
} calls[] = { { "io_setup", SYS_io_setup } };

static unsigned int number_of(const char *name)
{
	for (size_t k = 0; k < sizeof(calls) / sizeof(calls[0]); k++)
		if (!strcmp(calls[k].name, name))
			return calls[k].number;
	fprintf(stderr, "without: %s: no system call of the list\n", name);
	exit(2);
}

int main(int argc, char **argv)
{
	if (argc < 3)
		return 2;
	if (without_call(number_of(argv[1]))) {
		fprintf(stderr, "without: %s\n", strerror(errno));
		return 1;
	}
	execv(argv[2], argv + 2);
	fprintf(stderr, "without: %s: %s\n", argv[2], strerror(errno));
	return 1;
}
