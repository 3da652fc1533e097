/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Names for codecs without a state: any id has one, "o" and the number. */
#ifndef TESTS_LIB_ANY_NAMES_H
#define TESTS_LIB_ANY_NAMES_H

#include <stdio.h>
#include <stdlib.h>

#include "proto/object_text.h"

static inline uint32_t any_id_of(void *user, uint32_t kind, const char *name)
{
	(void)user;
	(void)kind;
	return (uint32_t)strtoul(name + 1, NULL, 10);
}

static inline const char *any_name_of(void *user, uint32_t kind, uint32_t id)
{
	static char name[16];

	(void)user;
	(void)kind;
	snprintf(name, sizeof(name), "o%u", id);
	return name;
}

static const struct name_resolver any_names = { any_id_of, any_name_of, NULL };

#endif
