/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The OCF 1.1 agent ocf:clusterd:volume: ownership of a cluster shared volume, which is a process csvfs-owner on this node.
 *
 *            start                        serves                     SIGTERM
 *   stopped ------> mounting, loading ---------------> started ---------------> unmounting ----> stopped
 *      ^              |  its last words are our error                              |  process ended, and an exclusive
 *      +--------------+                                                            +- open of the device proves release
 *
 * Stopped means: no process of the record, and nobody on this node has the device mounted or open exclusively. Whatever
 * csvfs-owner said last, this is what the next owner depends on; a stop that cannot prove it fails, and the node is fenced.
 */
#ifndef AGENTS_VOLUME_AGENT_H
#define AGENTS_VOLUME_AGENT_H

/* The agent's main; exit code: enum ocf_rc. */
int volume_agent(int argc, char **argv);

#endif
