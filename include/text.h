/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Texts in fields of a fixed size. */
#ifndef CLUSTER_TEXT_H
#define CLUSTER_TEXT_H

#include <stddef.h>
#include <string.h>

/*
 * `from`, at most n bytes and to its NUL, into `out` of `size` (not 0) bytes. What does not fit is cut off, at any byte,
 * also within a character. The rest of `out` is zero, whatever was there before: equal texts are equal bytes, which a
 * field of the state must be. `from` does not lie in `out`; NULL is "".
 */
static inline void text_copy_n(char *out, size_t size, const char *from, size_t n)
{
	n = from ? strnlen(from, n < size ? n : size - 1) : 0;
	if (n)
		memcpy(out, from, n);
	memset(out + n, 0, size - n);
}

/* The same, of a text that has a NUL. */
static inline void text_copy(char *out, size_t size, const char *from)
{
	text_copy_n(out, size, from, from ? strlen(from) : 0);
}

#endif
