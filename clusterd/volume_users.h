/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Mount points as the kernel's lists show them. Nothing here touches a mounted file system: one that hangs holds up nobody. */
#ifndef CLUSTERD_VOLUME_USERS_H
#define CLUSTERD_VOLUME_USERS_H

#include <stdbool.h>
#include <stddef.h>

/* Something is mounted at `dir`; `type`: of what is on top. */
bool volume_mounted(const char *dir, char *type, size_t size);
/* A csvfs shows a volume at `dir`, whoever started it. */
bool volume_served(const char *dir);
/* Processes with files, directories or programs below `dir`: "qemu (1234), bash (77), 3 more"; "" for none. */
void volume_users(const char *dir, char *out, size_t size);

#endif
