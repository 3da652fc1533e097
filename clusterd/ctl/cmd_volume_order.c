/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the owner of a volume does with its file system: freeze, thaw, trim, grow, check. Any node passes it on. */
#include <string.h>

#include "clusterd/ctl/ctl_change.h"
#include "clusterd/ctl/ctl_volume.h"
#include "proto/volume.h"
#include "text.h"

#define FREEZE_S 60

/* The answer is for people; with --json it is a member. Progress is on standard error. */
static int order(struct ctl *ctl, enum volume_order which, uint32_t most_ms)
{
	struct message m = { .type = CTL_VOLUME_ORDER };
	int rc;

	if (!ctl_find(ctl, KIND_VOLUME, ctl->argv[0]))
		return refusal_exit_code(REFUSED_NOT_FOUND);
	text_copy(m.ctl_volume_order.volume, sizeof(m.ctl_volume_order.volume), ctl->argv[0]);
	m.ctl_volume_order.order = (uint8_t)which;
	m.ctl_volume_order.most_ms = most_ms;
	ctl->parts = ctl->err;
	rc = ctl_ask(ctl, &m, false);
	ctl->parts = NULL;
	if (!rc && ctl->options.json)
		return ctl_json_print(ctl, json_pack("{s:i, s:{s:b}}", "schema", CTL_SCHEMA, "result", "done", 1));
	return rc;
}

/* They take as long as they take, unless --timeout says for how long somebody waits; they go on after it. */
static int long_order(struct ctl *ctl, enum volume_order which)
{
	if (!ctl->options.timeout)
		ctl->timeout_s = CTL_TIMEOUT_MAX_S;
	return order(ctl, which, 0);
}

int cmd_volume_freeze(struct ctl *ctl)
{
	return order(ctl, VOLUME_FREEZE, (ctl->options.most ? ctl->most_s : FREEZE_S) * MS_PER_SECOND);
}

int cmd_volume_thaw(struct ctl *ctl)
{
	return order(ctl, VOLUME_THAW, 0);
}

int cmd_volume_trim(struct ctl *ctl)
{
	return long_order(ctl, VOLUME_TRIM);
}

int cmd_volume_grow(struct ctl *ctl)
{
	return long_order(ctl, VOLUME_GROW);
}

int cmd_volume_check(struct ctl *ctl)
{
	return long_order(ctl, VOLUME_CHECK);
}
