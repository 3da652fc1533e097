/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The main() of fuzz targets outside of libFuzzer: feeds the files named as arguments, or every file of
 * corpus/PROGRAM/, in the order of their names. A target that crashes names the file it got by then.
 */
#include <dirent.h>
#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cleanup.h"

#define INPUT_MAX (1u << 20)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static int replay_file(const char *path)
{
	cleanup_file FILE *f = fopen(path, "rb");
	cleanup_free uint8_t *data = NULL;
	cleanup_free uint8_t *buffer = malloc(INPUT_MAX);
	size_t size;

	if (!f || !buffer) {
		fprintf(stderr, "%s: cannot read: %s\n", path, strerror(errno));
		return -1;
	}
	/* To stdout and flushed: the last name printed is the input that crashed. */
	printf("%s\n", path);
	fflush(stdout);
	size = fread(buffer, 1, INPUT_MAX, f);
	/* An exact copy, so that a sanitizer sees the first byte too far. */
	data = malloc(size ? size : 1);
	if (!data)
		return -1;
	memcpy(data, buffer, size);
	LLVMFuzzerTestOneInput(data, size);
	return 0;
}

static int not_hidden(const struct dirent *entry) { return entry->d_name[0] != '.'; }

static int replay_directory(const char *dir)
{
	struct dirent **names = NULL;
	int count = scandir(dir, &names, not_hidden, alphasort);
	int failed = count <= 0;

	if (count <= 0)
		fprintf(stderr, "%s: no corpus: put at least one input there\n", dir);
	for (int i = 0; i < count; i++) {
		cleanup_free char *path = NULL;

		if (asprintf(&path, "%s/%s", dir, names[i]->d_name) < 0)
			path = NULL;
		failed |= !path || replay_file(path) < 0;
		free(names[i]);
	}
	free(names);
	printf("%d inputs\n", count);
	return failed;
}

int main(int argc, char **argv)
{
	const char *srcdir = getenv("top_srcdir");
	cleanup_free char *dir = NULL;
	int failed = 0;

	if (argc < 2) {
		if (asprintf(&dir, "%s/tests/fuzz/corpus/%s", srcdir ? srcdir : ".", program_invocation_short_name) < 0)
			return 1;
		return replay_directory(dir);
	}
	for (int i = 1; i < argc; i++)
		failed |= replay_file(argv[i]) < 0;
	return failed;
}
