/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What corosync's configuration tells the ring: nodes and time-outs; and the kick, by its cfg service. */
#include <arpa/inet.h>
#include <errno.h>
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <corosync/cfg.h>

#include "clusterd/io/ring_private.h"
#include "text.h"

#define NODELIST_PREFIX "nodelist.node."
#define NODE_LINKS 8 /* most that corosync has */
#define DEVICE_TIMEOUT_DEFAULT_MS VOTEQUORUM_QDEVICE_DEFAULT_TIMEOUT

static void text_get(cmap_handle_t h, const char *key, char *out, size_t size)
{
	char *value = NULL;

	out[0] = '\0';
	if (cmap_get_string(h, key, &value) != CS_OK)
		return;
	text_copy(out, size, value);
	free(value);
}

static uint32_t number_get(cmap_handle_t h, const char *key, uint32_t missing)
{
	uint32_t value;

	return cmap_get_uint32(h, key, &value) == CS_OK ? value : missing;
}

/* One entry of corosync's nodelist; false when it has no usable id. */
static bool node_read(cmap_handle_t h, unsigned int position, struct ring_node *out)
{
	char key[CMAP_KEYNAME_MAXLEN + 1];

	memset(out, 0, sizeof(*out));
	snprintf(key, sizeof(key), NODELIST_PREFIX "%u.nodeid", position);
	out->id = number_get(h, key, 0);
	if (out->id < 1 || out->id > NODE_MAX)
		return false;
	snprintf(key, sizeof(key), NODELIST_PREFIX "%u.name", position);
	text_get(h, key, out->name, sizeof(out->name));
	for (unsigned int link = 0; link < NODE_LINKS && !out->name[0]; link++) {
		snprintf(key, sizeof(key), NODELIST_PREFIX "%u.ring%u_addr", position, link);
		text_get(h, key, out->name, sizeof(out->name));
	}
	return true;
}

static int node_compare(const void *a, const void *b)
{
	const struct ring_node *x = a, *y = b;

	return x->id < y->id ? -1 : x->id > y->id;
}

/* Positions in the list may have gaps after nodes were removed: collect those that have a nodeid. */
static int nodes_read(cmap_handle_t h, struct ring_info *info)
{
	char key[CMAP_KEYNAME_MAXLEN + 1];
	cmap_value_types_t type;
	cmap_iter_handle_t it;
	unsigned int position;
	size_t len;
	int end;

	info->node_count = 0;
	if (cmap_iter_init(h, NODELIST_PREFIX, &it) != CS_OK)
		return -EIO;
	while (cmap_iter_next(h, it, key, &len, &type) == CS_OK) {
		end = 0;
		if (sscanf(key, NODELIST_PREFIX "%u.nodeid%n", &position, &end) != 1 || !end || key[end])
			continue;
		if (info->node_count < NODE_MAX && node_read(h, position, &info->nodes[info->node_count]))
			info->node_count++;
	}
	cmap_iter_finalize(h, it);
	qsort(info->nodes, info->node_count, sizeof(info->nodes[0]), node_compare);
	return info->node_count ? 0 : -ENOENT;
}

int ring_cmap_read(struct ring *r)
{
	struct ring_info info = { .self = r->info.self };
	char model[NAME_SIZE];
	int error;

	if (!r->cmap) {
		error = ring_errno(cmap_initialize(&r->cmap));
		if (error) {
			r->cmap = 0;
			return error;
		}
	}
	text_get(r->cmap, "totem.cluster_name", info.cluster_name, sizeof(info.cluster_name));
	info.token_ms = number_get(r->cmap, "runtime.config.totem.token", 0);
	info.consensus_ms = number_get(r->cmap, "runtime.config.totem.consensus", 0);
	text_get(r->cmap, "quorum.device.model", model, sizeof(model));
	/* "net" is corosync-qdevice's, which registers itself */
	info.device = model[0] && strcmp(model, "net");
	info.device_votes = number_get(r->cmap, "quorum.device.votes", 0);
	error = nodes_read(r->cmap, &info);
	if (error)
		return error;
	r->device_timeout_ms = number_get(r->cmap, "quorum.device.timeout", DEVICE_TIMEOUT_DEFAULT_MS);
	r->info = info;
	return 0;
}

void ring_cmap_done(struct ring *r)
{
	if (r->cmap)
		cmap_finalize(r->cmap);
	r->cmap = 0;
}

/* The first address in the node list; "" when the node is not there. */
static void listed_address(cmap_handle_t h, uint32_t node, char *out, size_t size)
{
	char key[CMAP_KEYNAME_MAXLEN + 1];
	cmap_value_types_t type;
	cmap_iter_handle_t it;
	unsigned int position;
	size_t len;
	int end;

	out[0] = '\0';
	if (cmap_iter_init(h, NODELIST_PREFIX, &it) != CS_OK)
		return;
	while (!out[0] && cmap_iter_next(h, it, key, &len, &type) == CS_OK) {
		end = 0;
		if (sscanf(key, NODELIST_PREFIX "%u.nodeid%n", &position, &end) != 1 || !end || key[end] ||
		    number_get(h, key, 0) != node)
			continue;
		for (unsigned int link = 0; link < NODE_LINKS && !out[0]; link++) {
			snprintf(key, sizeof(key), NODELIST_PREFIX "%u.ring%u_addr", position, link);
			text_get(h, key, out, size);
		}
	}
	cmap_iter_finalize(h, it);
}

/* What corosync made of a name. */
static int resolved_address(uint32_t node, char *out, size_t size)
{
	corosync_cfg_node_address_t addresses[NODE_LINKS];
	corosync_cfg_callbacks_t callbacks = { 0 };
	corosync_cfg_handle_t cfg;
	struct sockaddr_storage a;
	socklen_t len;
	int n = 0, error = ring_errno(corosync_cfg_initialize(&cfg, &callbacks));

	if (error)
		return error;
	error = ring_errno(corosync_cfg_get_node_addrs(cfg, node, NODE_LINKS, &n, addresses));
	corosync_cfg_finalize(cfg);
	if (error || n < 1)
		return error ? error : -ENOENT;
	memset(&a, 0, sizeof(a));
	memcpy(&a, addresses[0].address, sizeof(addresses[0].address) < sizeof(a) ? sizeof(addresses[0].address) : sizeof(a));
	len = a.ss_family == AF_INET6 ? sizeof(struct sockaddr_in6) : sizeof(struct sockaddr_in);
	return getnameinfo((struct sockaddr *)&a, len, out, (socklen_t)size, NULL, 0, NI_NUMERICHOST) ? -ENOENT : 0;
}

int ring_address(struct ring *r, uint32_t node, char *out, size_t size)
{
	uint8_t binary[sizeof(struct in6_addr)];
	char listed[NAME_SIZE];

	if (!r->cmap)
		return -ENOTCONN;
	listed_address(r->cmap, node, listed, sizeof(listed));
	if (!listed[0])
		return -ENOENT;
	if (inet_pton(AF_INET, listed, binary) != 1 && inet_pton(AF_INET6, listed, binary) != 1)
		return resolved_address(node, out, size);
	text_copy(out, size, listed);
	return 0;
}

int ring_kick(struct ring *r, uint32_t node, const char *reason)
{
	corosync_cfg_callbacks_t callbacks = { 0 };
	corosync_cfg_handle_t cfg;
	int error;

	if (!r->ready)
		return -ENOTCONN;
	error = ring_errno(corosync_cfg_initialize(&cfg, &callbacks));
	if (error)
		return error;
	error = ring_errno(corosync_cfg_kill_node(cfg, node, reason));
	corosync_cfg_finalize(cfg);
	return error;
}
