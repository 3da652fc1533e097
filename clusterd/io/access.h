/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Who may do what over the control socket: root and the members of one group everything, those of another may look.
 *
 * Nothing here waits: the groups of a client are those its process has (proc_pid_status(5)), and the ids of our two groups
 * come from /etc/group. A group that is not there is asked of the name service (nsswitch.conf(5)) once, at access_new(), by a
 * thread, because a directory server may take its time; until it answers the group has no members.
 */
#ifndef CLUSTERD_ACCESS_H
#define CLUSTERD_ACCESS_H

#include <sys/types.h>

enum control_access { CONTROL_NONE, CONTROL_READ, CONTROL_FULL };

struct access;

/* -ENOMEM. An empty name is a group without members. */
int access_new(struct access **ret_access, const char *group_full, const char *group_read);
void access_free(struct access *a);
/* Of the process that connected, with the credentials the kernel told of it. */
enum control_access access_of(const struct access *a, pid_t pid, uid_t uid, gid_t gid);

#endif
