/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A volume on its device: finding it, having it alone, what is known of it. */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "clock.h"
#include "csvfs/admin/admin.h"
#include "text.h"

uint32_t admin_claim_ms = TRAILER_CLAIM_MS;

static const char *owner_state_text(uint32_t state)
{
	static const char *const texts[] = { "free", "mounting", "mounted" };

	return texts[state]; /* trailer_read_owner() has looked */
}

int volume_open(struct admin *a, struct admin_volume *v, const char *path, bool write)
{
	char error[ADMIN_WHAT_SIZE];
	int r;

	*v = (struct admin_volume){ .path = path, .device.fd = -1 };
	r = device_open(&v->device, path, write);
	if (r < 0)
		return admin_fail(a, ADMIN_FAILED, "%s: %s", path, strerror(-r));
	r = trailer_find(&v->trailer, &v->device, &v->header, error, sizeof(error));
	if (r < 0)
		return admin_fail(a, r == -ENOENT || r == -EBADMSG || r == -EPROTONOSUPPORT ? ADMIN_NO_VOLUME : ADMIN_FAILED,
				  "%s: %s", path, error);
	r = superblock_read(&v->device, &v->super);
	return r < 0 ? admin_fail(a, ADMIN_FAILED, "%s: reading its superblock: %s", path, strerror(-r)) : ADMIN_OK;
}

void volume_close(struct admin_volume *v) { device_close(&v->device); }

/* --- having it alone --- */

static int check_sessions(struct admin *a, const struct admin_volume *v)
{
	struct trailer_session *s = calloc(VOL_SESSION_MAX, sizeof(*s));
	int code = ADMIN_OK, r;

	if (!s)
		return admin_fail(a, ADMIN_FAILED, "no memory");
	r = trailer_read_sessions(&v->trailer, s);
	if (r < 0 && r != -EBADMSG)
		code = admin_fail(a, ADMIN_FAILED, "%s: reading its sessions: %s", v->path, strerror(-r));
	for (uint32_t i = 0; code == ADMIN_OK && i < VOL_SESSION_MAX; i++) {
		if (s[i].used)
			code = admin_fail(a, ADMIN_REFUSED,
					  "%s: csvfs on node %u may still write to it; stop it there, or say --forget when "
					  "that node is surely "
					  "stopped or fenced",
					  v->path, s[i].node);
	}
	free(s);
	return code;
}

int volume_check_holders(struct admin *a, const struct admin_volume *v)
{
	struct trailer_owner o;
	int r;

	if (a->forget)
		return ADMIN_OK;
	r = trailer_read_owner(&v->trailer, &o);
	if (r == -EBADMSG)
		return admin_fail(a, ADMIN_REFUSED,
				  "%s: the note of its owner is damaged; say --forget when no node has it mounted", v->path);
	if (r < 0)
		return admin_fail(a, ADMIN_FAILED, "%s: reading its owner: %s", v->path, strerror(-r));
	if (o.state != OWNER_FREE && !o.node)
		return admin_fail(a, ADMIN_REFUSED,
				  "%s: another csvfs-admin is at it, or was interrupted; say --forget when it is surely gone",
				  v->path);
	if (o.state != OWNER_FREE)
		return admin_fail(a, ADMIN_REFUSED,
				  "%s: node %u has it %s (epoch %" PRIu64
				  "); stop csvfs-owner there, or say --forget when that node is "
				  "surely stopped or fenced",
				  v->path, o.node, owner_state_text(o.state), o.epoch);
	return check_sessions(a, v);
}

static int check_free(struct admin *a, const char *path)
{
	int r = device_is_free(path);

	if (r == -EBUSY)
		return admin_fail(a, ADMIN_REFUSED,
				  "%s: in use on this host (mounted, perhaps in another mount namespace, or held by another "
				  "program); stop that first",
				  path);
	return r < 0 ? admin_fail(a, ADMIN_FAILED, "%s: %s", path, strerror(-r)) : ADMIN_OK;
}

int volume_check_filesystem(struct admin *a, const struct admin_volume *v)
{
	const char *why = trailer_unfit(&v->header, &v->super);

	/* What can be changed by hand is no reason not to mend. */
	if (!why || why == v->super.unfit)
		return ADMIN_OK;
	return admin_fail(a, ADMIN_UNCLEAN, "%s: its %s %s%s", v->path, v->header.filesystem, why,
			  v->super.kind == SUPERBLOCK_NONE ? "; e2fsck -b or xfs_repair by hand may find a copy of it" : "");
}

int volume_claim(struct admin *a, struct admin_volume *v)
{
	struct trailer_owner before = { 0 }, other = { 0 };
	uint64_t announced = 0;
	int code = check_free(a, v->path), found, r;

	if (code == ADMIN_OK)
		code = volume_check_holders(a, v);
	if (code != ADMIN_OK)
		return code;
	found = trailer_read_owner(&v->trailer, &before); /* its epoch; damaged: --forget was said */
	if (a->forget && trailer_forget_claims(&v->trailer, &announced))
		return admin_fail(a, ADMIN_FAILED, "%s: its claims cannot be read or written", v->path);
	v->claim = (struct trailer_owner){
		.epoch = before.epoch > announced ? before.epoch : announced,
		.written_ms = clock_ms(CLOCK_REALTIME),
		.state = OWNER_MOUNTING,
	};
	if (getrandom(&v->claim.owner, sizeof(v->claim.owner), 0) != sizeof(v->claim.owner))
		return admin_fail(a, ADMIN_FAILED, "no random numbers: %s", strerror(errno));
	r = trailer_claim(&v->trailer, found ? NULL : &before, &v->claim, admin_claim_ms, &other);
	if (r == -EBUSY)
		return admin_fail(a, ADMIN_REFUSED, "%s: node %u has taken it at the same time, or was interrupted", v->path,
				  other.node);
	if (r < 0)
		return admin_fail(a, ADMIN_FAILED, "%s: writing its owner: %s", v->path, strerror(-r));
	return ADMIN_OK;
}

int volume_release(struct admin *a, struct admin_volume *v, int code)
{
	struct trailer_owner now;
	int r;

	if (v->lost)
		return code;
	r = trailer_read_owner(&v->trailer, &now);
	if (!r && (now.owner != v->claim.owner || now.state != OWNER_MOUNTING))
		return admin_fail(a, ADMIN_FAILED, "%s: node %u has taken it meanwhile; stop csvfs-owner there and check it",
				  v->path, now.node);
	if (!r) {
		now.state = OWNER_FREE;
		r = trailer_write_owner(&v->trailer, &now);
	}
	return r < 0 ? admin_fail(a, ADMIN_FAILED, "%s: writing its owner: %s; say --forget next time", v->path, strerror(-r))
		     : code;
}

/* --- info, label --- */

static void show_owner(struct admin *a, const struct admin_volume *v)
{
	struct trailer_owner o;
	int r = trailer_read_owner(&v->trailer, &o);

	if (r < 0) {
		json_object_set_new(a->result, "owner", json_pack("{s:s}", "state", r == -EBADMSG ? "damaged" : "unreadable"));
		return;
	}
	json_object_set_new(a->result, "owner",
			    json_pack("{s:s, s:i, s:I}", "state", owner_state_text(o.state), "node", (int)o.node, "epoch",
				      (json_int_t)o.epoch));
}

static void show_sessions(struct admin *a, const struct admin_volume *v)
{
	struct trailer_session *s = calloc(VOL_SESSION_MAX, sizeof(*s));
	json_t *list = json_array();

	if (s && (!trailer_read_sessions(&v->trailer, s) || s->used)) {
		for (uint32_t i = 0; i < VOL_SESSION_MAX; i++) {
			char id[20];

			snprintf(id, sizeof(id), "%016" PRIx64, s[i].session);
			if (s[i].used)
				json_array_append_new(list, json_pack("{s:i, s:s}", "node", (int)s[i].node, "id",
								      s[i].session ? id : "damaged"));
		}
	}
	json_object_set_new(a->result, "sessions", list);
	free(s);
}

static void show_volume(struct admin *a, const struct admin_volume *v)
{
	char uuid[ADMIN_UUID_SIZE];

	admin_uuid_text(v->header.volume_hi, v->header.volume_lo, uuid);
	json_object_set_new(a->result, "label", json_string(v->header.label));
	json_object_set_new(a->result, "volume", json_string(uuid));
	json_object_set_new(a->result, "filesystem", json_string(v->header.filesystem));
	json_object_set_new(a->result, "sector_bytes", json_integer(v->device.sector));
	json_object_set_new(a->result, "device_bytes", json_integer((json_int_t)v->device.size));
	json_object_set_new(a->result, "filesystem_bytes", json_integer((json_int_t)v->super.size));
	json_object_set_new(a->result, "quota", json_boolean(v->super.quota));
	json_object_set_new(a->result, "can_grow", json_boolean(trailer_place(v->device.size) >= v->trailer.at + TRAILER_SIZE));
}

int admin_info(struct admin *a)
{
	struct admin_volume v;
	int code = volume_open(a, &v, a->args[0], false);

	if (code == ADMIN_OK) {
		show_volume(a, &v);
		show_owner(a, &v);
		show_sessions(a, &v);
		if (trailer_unfit(&v.header, &v.super))
			json_object_set_new(a->result, "unfit", json_string(trailer_unfit(&v.header, &v.super)));
	}
	volume_close(&v);
	return code;
}

static int label_claimed(struct admin *a, struct admin_volume *v, const char *label)
{
	int r;

	text_copy(v->header.label, sizeof(v->header.label), label);
	r = trailer_write_header(&v->trailer, &v->header);
	if (r < 0)
		return admin_fail(a, ADMIN_FAILED, "%s: writing its header: %s; try again", v->path, strerror(-r));
	json_object_set_new(a->result, "label", json_string(label));
	return ADMIN_OK;
}

/* Of a volume that nobody has: an owner may be moving its trailer, and the file system over the old one. */
int admin_label(struct admin *a)
{
	const char *label = a->args[1];
	struct admin_volume v;
	int code;

	if (!admin_label_valid(label))
		return admin_fail(a, ADMIN_USAGE, "\"%s\" is no name of a volume: 1 to %d letters, digits, '_', '.', '-'",
				  label, NAME_SIZE - 1);
	code = volume_open(a, &v, a->args[0], true);
	if (code == ADMIN_OK)
		code = volume_claim(a, &v);
	if (code == ADMIN_OK)
		code = volume_release(a, &v, label_claimed(a, &v, label));
	volume_close(&v);
	return code;
}
