/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Checks for C tests. A failed CHECK prints file, line and both values and the test goes on; a failed REQUIRE ends it.
 * main() returns check_result(): 0 when everything held, 1 otherwise (after the command that repeats the test).
 */
#ifndef TESTS_LIB_CHECK_H
#define TESTS_LIB_CHECK_H

#include <errno.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CHECK_SKIP 77 /* automake's exit code for "cannot be tested here" */

static int check_failed;
static int check_count;

static inline int check_note(int ok, const char *file, int line, const char *text)
{
	__atomic_add_fetch(&check_count, 1, __ATOMIC_RELAXED); /* threads of a test check too */
	if (!ok) {
		__atomic_add_fetch(&check_failed, 1, __ATOMIC_RELAXED);
		fprintf(stderr, "%s:%d: failed: %s\n", file, line, text);
	}
	return ok;
}

static inline int check_eq(long long a, long long b, const char *file, int line, const char *text)
{
	if (check_note(a == b, file, line, text))
		return 1;
	fprintf(stderr, "\tleft  %lld (0x%llx)\n\tright %lld (0x%llx)\n", a, (unsigned long long)a, b,
		(unsigned long long)b);
	return 0;
}

static inline int check_str(const char *a, const char *b, const char *file, int line, const char *text)
{
	if (check_note((!a && !b) || (a && b && !strcmp(a, b)), file, line, text))
		return 1;
	fprintf(stderr, "\tleft  %s%s%s\n\tright %s%s%s\n", a ? "\"" : "", a ? a : "NULL", a ? "\"" : "", b ? "\"" : "",
		b ? b : "NULL", b ? "\"" : "");
	return 0;
}

static inline int check_contains(const char *text, const char *part, const char *file, int line, const char *expr)
{
	if (check_note(text && part && strstr(text, part) != NULL, file, line, expr))
		return 1;
	fprintf(stderr, "\tnot in \"%s\"\n\twanted \"%s\"\n", text ? text : "NULL", part ? part : "NULL");
	return 0;
}

static inline int check_mem(const void *a, const void *b, size_t n, const char *file, int line, const char *text)
{
	const unsigned char *x = a, *y = b;
	size_t i = 0;

	while (i < n && x[i] == y[i])
		i++;
	if (check_note(i == n, file, line, text))
		return 1;
	fprintf(stderr, "\tfirst difference at byte %zu of %zu: left %02x, right %02x\n", i, n, x[i], y[i]);
	return 0;
}

static inline int check_result(void)
{
	if (!check_failed)
		return 0;
	fprintf(stderr, "%d of %d checks failed; repeat with: %s\n", check_failed, check_count,
		program_invocation_name);
	return 1;
}

#define CHECK(cond) check_note(!!(cond), __FILE__, __LINE__, #cond)
/* Any integer or pointer; both sides are compared as 64-bit values. */
#define CHECK_EQ(a, b) check_eq((long long)(a), (long long)(b), __FILE__, __LINE__, #a " == " #b)
#define CHECK_STR(a, b) check_str((a), (b), __FILE__, __LINE__, #a " == " #b)
#define CHECK_CONTAINS(text, part) check_contains((text), (part), __FILE__, __LINE__, #text " has " #part)
#define CHECK_MEM(a, b, n) check_mem((a), (b), (n), __FILE__, __LINE__, #a " == " #b)
/* For what the rest of the test cannot do without. */
#define REQUIRE(cond)                         \
	do {                                  \
		if (!CHECK(cond))             \
			exit(check_result()); \
	} while (0)

#endif
