/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Every limit of the cluster, in one place. A test reaches each; crossing one is a refusal, never a crash. */
#ifndef CLUSTER_BOUNDS_H
#define CLUSTER_BOUNDS_H

#define NODE_MAX 63          /* node ids are 1..63: a set of nodes is one 64-bit word, bit 0 unused */
#define NETWORK_MAX 16       /* ids 1..16 */
#define ROLE_MAX 8192        /* ids 1..8192 */
#define RESOURCE_MAX 16384   /* ids 1..16384 */
#define RULE_MAX 1024        /* ids 1..1024 */
#define SET_MAX 256          /* ids 1..256 */
#define VOLUME_MAX 256       /* ids 1..256 */
#define EVENT_MAX 1024       /* ring of the newest cluster-wide events */
#define ROLE_RESOURCE_MAX 64 /* resources of one role */

#define NAME_SIZE 64     /* with the NUL */
#define TEXT_SIZE 256    /* with the NUL */
#define PARAMS_SIZE 1024 /* "name=value\n" lines, with the NUL */
#define ROLELIST_MAX 128 /* roles named by a rule or a set */
#define SETLIST_MAX 8    /* sets a set waits for */
#define VOLUMELIST_MAX 16 /* volumes a role needs */
#define DEPS_CLAUSE_MAX 8 /* "and" terms of a dependency */
#define DEPS_CHOICE_MAX 4 /* "or" choices within a term */
#define UNCLEAN_MAX 3     /* remembered unclean losses of a node (quarantine) */

#define UNKNOWN_FIELDS_SIZE 128 /* bytes of a newer peer's fields kept per object */
#define OBJECT_ENCODED_MAX 4096 /* encoded bytes of one object, header included */

#define FRAME_MAX (48 * 1024)     /* one message; below corosync's atomic limit with room to spare */
#define PAYLOAD_MAX (FRAME_MAX - 256) /* what one message carries, objects or text, beside its own fields */
#define CHANGE_OPS_MAX 256        /* operations of one change: all or nothing */
#define CHANGE_UNDO_SIZE (4 << 20) /* bytes of before-images one change may need */
#define PENDING_MAX 512         /* unanswered requests of one node */

/* Cluster shared volumes. */
#define VOL_FNAME_SIZE 256      /* a name in a directory, with the NUL */
#define VOL_FID_MAX 24          /* bytes of a file id: ext4 needs 8, XFS up to 24 */
#define VOL_GROUPS_MAX 128      /* groups of a process that are looked at; a process with more is judged by the first */
#define VOL_IO_MAX (1 << 20)    /* longest read or write of one request */
#define VOL_BODY_MAX (VOL_IO_MAX + 64 * 1024)
#define VOL_SESSION_MAX 256     /* sessions of one volume: 63 nodes and those that are ending */
#define VOL_WINDOW_MAX 256      /* unanswered requests of one session */
#define VOL_EXTENTS_MAX 2048    /* extents of one answer */

#endif
