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
/*
 * A csvfs has the device, or reads and writes that one has begun are still under way: the lock of device_hold() is there. True also
 * when the kernel's list of locks cannot be read.
 */
bool volume_device_held(const char *device);
/* Processes with files, directories or programs below `dir`: "qemu (1234), bash (77), 3 more"; "" for none. */
void volume_users(const char *dir, char *out, size_t size);

#endif
