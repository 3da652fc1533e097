/* SPDX-License-Identifier: GPL-2.0-or-later */
/* How a volume does on each node, in words that say what to do. */
#include <stdlib.h>
#include <string.h>

#include "cleanup.h"
#include "clusterd/ctl/ctl_change.h"
#include "clusterd/ctl/ctl_table.h"
#include "clusterd/ctl/ctl_volume.h"
#include "text.h"

int ctl_volumes_ask(struct ctl *ctl, const char *volume, bool counters, json_t **ret)
{
	struct message m = { .type = CTL_VOLUMES };
	cleanup_free char *text = NULL;
	json_error_t error;
	size_t len = 0;
	int rc;

	text_copy(m.ctl_volumes.volume, sizeof(m.ctl_volumes.volume), volume);
	m.ctl_volumes.counters = counters;
	ctl->parts = open_memstream(&text, &len);
	if (!ctl->parts)
		return ctl_no_memory(ctl);
	rc = ctl_ask(ctl, &m, true);
	fclose(ctl->parts);
	ctl->parts = NULL;
	if (rc)
		return rc;
	*ret = text ? json_loadb(text, len, 0, &error) : NULL;
	return *ret ? 0
		    : ctl_fail(ctl, EXIT_UNREACHABLE, "unreachable",
			       "clusterd on this node: its answer makes no sense; clusterctl and clusterd may be of "
			       "different versions");
}

/* Refused before clusterd is asked: it would say less. */
static int check_volume(struct ctl *ctl)
{
	return ctl->argc && !ctl_find(ctl, KIND_VOLUME, ctl->argv[0]) ? refusal_exit_code(REFUSED_NOT_FOUND) : 0;
}

static const char *text_in(const json_t *row, const char *name)
{
	const char *text = json_string_value(json_object_get(row, name));

	return text ? text : "";
}

static uint64_t number_in(const json_t *row, const char *name)
{
	return (uint64_t)json_integer_value(json_object_get(row, name));
}

const char *ctl_bytes(uint64_t bytes, char out[32])
{
	static const char *const units[] = { "B", "KiB", "MiB", "GiB", "TiB", "PiB" };
	uint64_t tenths = bytes * 10;
	size_t unit = 0;

	if (bytes < 1024) {
		snprintf(out, 32, "%llu B", (unsigned long long)bytes);
		return out;
	}
	for (; bytes >= 1024 && unit + 1 < ARRAY_SIZE(units); unit++) {
		tenths = bytes >= UINT64_MAX / 10 ? bytes / 1024 * 10 : bytes * 10 / 1024;
		bytes /= 1024;
	}
	if (tenths < 1000)
		snprintf(out, 32, "%llu.%llu %s", (unsigned long long)tenths / 10, (unsigned long long)tenths % 10, units[unit]);
	else
		snprintf(out, 32, "%llu %s", (unsigned long long)tenths / 10, units[unit]);
	return out;
}

/* Why it is so, and what to do, where there is something to do. */
static void why(const json_t *row, char *out, size_t size)
{
	const char *reason = text_in(row, "reason"), *volume = text_in(row, "volume"), *node = text_in(row, "node");
	const char *trouble = text_in(row, "trouble");
	uint64_t frozen_ms = number_in(row, "frozen_ms");

	if (!strcmp(reason, "none"))
		text_copy(out, size, *trouble || frozen_ms ? "" : "-");
	else if (!strcmp(reason, "no-owner"))
		snprintf(out, size, "it has no owner: requests wait; 'clusterctl why volume.%s' tells why", volume);
	else if (!strcmp(reason, "owner-lost"))
		snprintf(out, size,
			 "not connected to its owner: requests wait until they are again, or another one owns it");
	else if (!strcmp(reason, "pause-too-long"))
		snprintf(out, size,
			 "no owner within the volume's pause_max: requests fail; 'clusterctl why volume.%s' tells why",
			 volume);
	else if (!strcmp(reason, "by-administrator"))
		snprintf(out, size, "an administrator wants it so; 'clusterctl volume redirect %s off %s' ends it",
			 volume, node);
	else if (!strcmp(reason, "no-leases"))
		snprintf(out, size, "its owner lends no blocks of this file system");
	else if (!strcmp(reason, "path-failed"))
		snprintf(out, size, "the path of %s to %s fails: all goes through the owner; it is tried each second",
			 node, text_in(row, "device"));
	else if (!strcmp(reason, "not-mounted"))
		snprintf(out, size, "csvfs does not run there%s",
			 *trouble ? "" : "; see the log of clusterd on that node");
	else if (!strcmp(reason, "node-not-online"))
		snprintf(out, size, "the node is not online");
	else
		text_copy(out, size, reason);
	if (frozen_ms)
		snprintf(out + strlen(out), size - strlen(out),
			 "%sits file system stands still, for %llu s more at most: writes of all nodes wait; "
			 "'clusterctl volume thaw %s' "
			 "ends it",
			 *out ? "; " : "", (unsigned long long)(frozen_ms + 999) / 1000, volume);
	if (*trouble)
		snprintf(out + strlen(out), size - strlen(out), "%s%s", *out ? ": " : "", trouble);
}

static enum ctl_tone tone_of(const char *state)
{
	return !strcmp(state, "direct") ? TONE_GOOD : !strcmp(state, "unavailable") ? TONE_BAD : TONE_WARN;
}

void ctl_volume_states(const struct ctl *ctl, const json_t *rows)
{
	static const char *const heads[] = { "VOLUME", "NODE", "STATE", "OWNER", "DEVICE", ">SIZE", "REASON", NULL };
	struct ctl_table *t = ctl_table_new(heads);
	char text[4 * TEXT_SIZE], size[32];
	const json_t *row;
	size_t i;

	json_array_foreach(rows, i, row)
	{
		const char *state = text_in(row, "state");
		uint64_t bytes = number_in(row, "device_bytes");

		if (!json_is_true(json_object_get(row, "mounted")))
			state = "not mounted";
		ctl_table_cell(t, TONE_PLAIN, "%s", text_in(row, "volume"));
		ctl_table_cell(t, TONE_PLAIN, "%s", text_in(row, "node"));
		ctl_table_cell(t, tone_of(state), "%s", state);
		ctl_table_cell(t, TONE_PLAIN, "%s", *text_in(row, "owner") ? text_in(row, "owner") : "-");
		ctl_table_cell(t, TONE_PLAIN, "%s", text_in(row, "device"));
		ctl_table_cell(t, TONE_PLAIN, "%s", bytes ? ctl_bytes(bytes, size) : "-");
		why(row, text, sizeof(text));
		ctl_table_cell(t, TONE_PLAIN, "%s", text);
	}
	ctl_table_print(t, ctl->out, ctl->color, 0);
}

int cmd_volume_state(struct ctl *ctl)
{
	json_t *rows = NULL, *j;
	int rc = check_volume(ctl);

	if (!rc)
		rc = ctl_volumes_ask(ctl, ctl->argc ? ctl->argv[0] : "", false, &rows);
	if (rc)
		return rc;
	if (ctl->options.json) {
		j = ctl_json_envelope(ctl);
		json_object_set_new(j, "volume_states", rows);
		return ctl_json_print(ctl, j);
	}
	ctl_volume_states(ctl, rows);
	json_decref(rows);
	return EXIT_DONE;
}
