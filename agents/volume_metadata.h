/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What ocf:clusterd:volume says of itself (OCF Resource Agent API 1.1, ra-api.rng). */
#ifndef AGENTS_VOLUME_METADATA_H
#define AGENTS_VOLUME_METADATA_H

static const char volume_metadata[] =
	"<?xml version=\"1.0\"?>\n"
	"<!DOCTYPE resource-agent SYSTEM \"ra-api-1.dtd\">\n"
	"<resource-agent name=\"volume\" version=\"1.0\">\n"
	"<version>1.1</version>\n"
	"<longdesc lang=\"en\">\n"
	"Ownership of a cluster shared volume: runs csvfs-owner, which mounts the volume's file system for itself and serves\n"
	"csvfs of all nodes. Made and set by 'clusterctl volume'; see ocf_clusterd_volume(7).\n"
	"</longdesc>\n"
	"<shortdesc lang=\"en\">owner of a cluster shared volume</shortdesc>\n"
	"<parameters>\n"
	"<parameter name=\"volume\" unique=\"1\" required=\"1\">\n"
	"<longdesc lang=\"en\">Name of the volume.</longdesc>\n"
	"<shortdesc lang=\"en\">name</shortdesc>\n"
	"<content type=\"string\"/>\n"
	"</parameter>\n"
	"<parameter name=\"device\" unique=\"1\" required=\"1\">\n"
	"<longdesc lang=\"en\">Its block device, the same path on all nodes, as /dev/disk/by-id/.</longdesc>\n"
	"<shortdesc lang=\"en\">block device</shortdesc>\n"
	"<content type=\"string\"/>\n"
	"</parameter>\n"
	"<parameter name=\"port\" unique=\"1\">\n"
	"<longdesc lang=\"en\">TCP port at which the owner listens, at this node's address in the cluster network.</longdesc>\n"
	"<shortdesc lang=\"en\">port</shortdesc>\n"
	"<content type=\"integer\" default=\"7310\"/>\n"
	"</parameter>\n"
	"<parameter name=\"recall\">\n"
	"<longdesc lang=\"en\">Milliseconds in which a node gives back a lease; one that does not is reported.</longdesc>\n"
	"<shortdesc lang=\"en\">time for a recall</shortdesc>\n"
	"<content type=\"integer\" default=\"10000\"/>\n"
	"</parameter>\n"
	"</parameters>\n"
	"<actions>\n"
	"<action name=\"start\" timeout=\"90s\"/>\n"
	"<action name=\"stop\" timeout=\"60s\"/>\n"
	"<action name=\"monitor\" timeout=\"20s\" interval=\"5s\" depth=\"0\"/>\n"
	"<action name=\"validate-all\" timeout=\"20s\"/>\n"
	"<action name=\"meta-data\" timeout=\"5s\"/>\n"
	"</actions>\n"
	"</resource-agent>\n";

#endif
