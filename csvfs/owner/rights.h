/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A thread acts with the rights of the process that asked: user, group, supplementary groups and umask of this thread
 * alone. With a user other than root the kernel takes its capabilities over files away (capabilities(7)), so it judges
 * as it would locally.
 */
#ifndef CSVFS_OWNER_RIGHTS_H
#define CSVFS_OWNER_RIGHTS_H

#include "proto/volume.h"

/*
 * Once per process, before threads: what no request may use is no thread's (CAP_SYS_RESOURCE: quotas and reserved blocks count for
 * all).
 */
int rights_restrict(void);
/* ext4 is grown with just that: for a thread that does nothing else meanwhile. -EPERM: this process does not have it. */
int rights_resize(bool on);
/* Once per thread that will change its rights: a umask of its own. 0 or negative errno. */
int rights_thread(void);
/* This thread acts for `c` until rights_drop(); NULL: as root. 0 or negative errno, then it acts as root. */
int rights_take(const struct vol_cred *c);
void rights_drop(void);

/* For cleanup: { rights_scope int ret = rights_take(cred); … } */
static inline void rights_scope_end(const int *unused)
{
	(void)unused;
	rights_drop();
}
#define rights_scope __attribute__((cleanup(rights_scope_end)))

#endif
