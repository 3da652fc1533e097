/* SPDX-License-Identifier: GPL-2.0-or-later */
/* config export, import, check; restore from a backup. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <sqlite3.h>
#include <zlib.h>

#include "cleanup.h"
#include "clusterd/ctl/ctl_config.h"

static int export_write(struct ctl *ctl, FILE *f, json_t *config, const char *path)
{
	bool bad = json_dumpf(config, f, JSON_INDENT(2) | JSON_PRESERVE_ORDER) || fputc('\n', f) == EOF || fflush(f);

	if (bad)
		return ctl_fail(ctl, refusal_exit_code(REFUSED_IO), "io-error", "%s: cannot be written: %s", path, strerror(errno));
	return EXIT_DONE;
}

/* Written beside the old file and put in its place: an export that fails leaves what was there. */
static int export_file(struct ctl *ctl, json_t *config, const char *path)
{
	cleanup_free char *beside = NULL;
	FILE *f = NULL;
	int fd = -1, rc;

	if (asprintf(&beside, "%s.XXXXXX", path) > 0)
		fd = mkstemp(beside);
	if (fd >= 0)
		f = fdopen(fd, "w");
	if (!f)
		return ctl_fail(ctl, refusal_exit_code(REFUSED_IO), "io-error", "%s: cannot be created: %s", path, strerror(errno));
	rc = export_write(ctl, f, config, path);
	if (!rc && (fsync(fd) || rename(beside, path)))
		rc = ctl_fail(ctl, refusal_exit_code(REFUSED_IO), "io-error", "%s: cannot be written: %s", path, strerror(errno));
	fclose(f);
	if (rc)
		unlink(beside);
	return rc;
}

int cmd_config_export(struct ctl *ctl)
{
	json_t *config = ctl_config_of(ctl->view.state);
	int rc;

	if (ctl->argc && strcmp(ctl->argv[0], "-") != 0)
		rc = export_file(ctl, config, ctl->argv[0]);
	else
		rc = export_write(ctl, ctl->out, config, "standard output");
	json_decref(config);
	return rc;
}

/* Tries the plan on a copy, shows it, asks, sends it. Takes the plan's change. */
static int plan_run(struct ctl *ctl, struct plan *plan)
{
	struct state *copy = ctl_state_copy(ctl->view.state);
	struct ctl_change *c = plan->change;
	int rc;

	if (!copy)
		return ctl_no_memory(ctl);
	rc = ctl_change_try(ctl, c, copy, ctl->view.self.members);
	ctl_state_free(copy);
	if (!rc && c->n_parts > 1 && !ctl->view.saved)
		rc = ctl_change_vet(ctl, c);
	if (rc)
		return rc;
	if (!ctl->options.quiet && !ctl->options.json) {
		ctl_plan_print(ctl, plan);
		fprintf(ctl->out, "to create: %zu, to change: %zu, to delete: %zu\n", plan->n[PLAN_CREATE], plan->n[PLAN_CHANGE],
			plan->n[PLAN_DELETE]);
		fflush(ctl->out);
	}
	if (!c->n_ops && !ctl->options.json)
		return EXIT_DONE;
	if (plan->n[PLAN_DELETE] && !ctl_confirm(ctl, "%zu objects would be deleted", plan->n[PLAN_DELETE]))
		return EXIT_USAGE;
	if (ctl->options.json && ctl->options.dry_run)
		return ctl_json_print(ctl, json_pack("{s:i, s:{s:O, s:O, s:O}}", "schema", CTL_SCHEMA, "plan", "create",
						     plan->lists[PLAN_CREATE], "change", plan->lists[PLAN_CHANGE],
						     "delete", plan->lists[PLAN_DELETE]));
	plan->change = NULL;
	return ctl_change_run(ctl, c);
}

static int import(struct ctl *ctl, json_t *config, const char *file)
{
	struct plan plan;
	int rc = ctl_config_plan(ctl, ctl->view.state, config, file, &plan);

	if (!rc)
		rc = plan_run(ctl, &plan);
	ctl_plan_done(&plan);
	return rc;
}

int cmd_config_import(struct ctl *ctl)
{
	int rc = 0;
	json_t *config = ctl_config_read(ctl, ctl->argv[0], &rc);

	if (config)
		rc = import(ctl, config, ctl->argv[0]);
	json_decref(config);
	return rc;
}

/* --- check: on an empty cluster that has the file's nodes --- */

static int empty_cluster(struct ctl *ctl, json_t *config, const char *file)
{
	const char *name = json_string_value(json_object_get(json_object_get(config, "cluster"), "name"));
	struct state *s = ctl_state_new();
	json_t *fields;

	if (!s)
		return ctl_no_memory(ctl);
	ctl->view.state = s;
	state_clear(s);
	state_create(s, KIND_CLUSTER, name && !name_check(name) ? name : "cluster", 1);
	json_object_foreach(json_object_get(config, "nodes"), name, fields) {
		uint32_t id = name_check(name) ? 0 : state_create(s, KIND_NODE, name, 0);
		struct node *n;

		if (!id)
			return ctl_fail(ctl, refusal_exit_code(REFUSED_INVALID), "invalid",
					"%s: node '%s': not a name, or more than %d nodes", file, name, NODE_MAX);
		n = state_edit(s, KIND_NODE, id);
		n->state = NODE_ONLINE;
		n->vote = 1;
		ctl->view.self.members |= NODE_BIT(id);
	}
	state_reindex(s);
	return 0;
}

int cmd_config_check(struct ctl *ctl)
{
	struct plan plan = { 0 };
	int rc = 0;
	json_t *config = ctl_config_read(ctl, ctl->argv[0], &rc);

	if (!config)
		return rc;
	rc = empty_cluster(ctl, config, ctl->argv[0]);
	if (!rc)
		rc = ctl_config_plan(ctl, ctl->view.state, config, ctl->argv[0], &plan);
	if (!rc)
		rc = ctl_change_try(ctl, plan.change, ctl->view.state, ctl->view.self.members);
	if (!rc && ctl->options.json)
		ctl_json_print(ctl,
			       json_pack("{s:i, s:{s:s, s:b, s:i, s:i, s:i}}", "schema", CTL_SCHEMA, "check", "file",
					 ctl->argv[0], "valid", 1, "nodes", (int)ctl->view.state->count[KIND_NODE],
					 "roles", (int)ctl->view.state->count[KIND_ROLE], "resources",
					 (int)ctl->view.state->count[KIND_RESOURCE]));
	else if (!rc && !ctl->options.quiet)
		fprintf(ctl->out, "%s: valid; nodes: %u, volumes: %u, roles: %u, resources: %u, rules: %u, sets: %u\n",
			ctl->argv[0],
			ctl->view.state->count[KIND_NODE], ctl->view.state->count[KIND_VOLUME],
			ctl->view.state->count[KIND_ROLE], ctl->view.state->count[KIND_RESOURCE],
			ctl->view.state->count[KIND_RULE], ctl->view.state->count[KIND_SET]);
	ctl_plan_done(&plan);
	json_decref(config);
	return rc;
}

/* --- restore --- */

/* The checksum the store keeps beside each object: of kind, id and data. */
static bool row_sound(sqlite3_stmt *q)
{
	sqlite3_int64 key = sqlite3_column_int64(q, 0);
	const void *data = sqlite3_column_blob(q, 2);
	uint8_t head[5];
	struct writer w = writer_of(head, sizeof(head));

	put_u8(&w, (uint8_t)(key >> 32));
	put_u32(&w, (uint32_t)key);
	return data && sqlite3_column_int64(q, 1) ==
			       (sqlite3_int64)(uint32_t)crc32(crc32(0, head, sizeof(head)), data, (uInt)sqlite3_column_bytes(q, 2));
}

static int backup_rows(sqlite3 *db, struct state *s)
{
	sqlite3_stmt *q = NULL;
	int rc = sqlite3_prepare_v2(db, "SELECT key, crc, data FROM object ORDER BY key", -1, &q, NULL), bad = rc != SQLITE_OK;

	while (!bad && (rc = sqlite3_step(q)) == SQLITE_ROW) {
		struct reader r = reader_of(sqlite3_column_blob(q, 2), (size_t)sqlite3_column_bytes(q, 2));

		bad = !row_sound(q) || state_put_encoded(s, &r) || reader_left(&r);
	}
	sqlite3_finalize(q);
	return bad || rc != SQLITE_DONE ? -EBADMSG : 0;
}

/* Read only, and never created. */
static int backup_read(struct ctl *ctl, const char *path, struct state *s)
{
	sqlite3 *db = NULL;
	int rc = access(path, R_OK) ? -errno : 0;

	if (rc)
		return ctl_fail(ctl, refusal_exit_code(REFUSED_IO), "io-error", "%s: cannot be read: %s", path, strerror(-rc));
	rc = sqlite3_open_v2(path, &db, SQLITE_OPEN_READONLY, NULL) == SQLITE_OK ? backup_rows(db, s) : -EBADMSG;
	sqlite3_close(db);
	if (rc)
		return ctl_fail(ctl, refusal_exit_code(REFUSED_INVALID), "invalid",
				"%s: not a backup of a cluster database, or damaged; 'clusterctl backup' writes one", path);
	state_reindex(s);
	if (!s->count[KIND_CLUSTER])
		return ctl_fail(ctl, refusal_exit_code(REFUSED_INVALID), "invalid",
				"%s: there is no cluster in this database", path);
	if (s->cluster.level > FEATURE_LEVEL)
		return ctl_fail(ctl, refusal_exit_code(REFUSED_LEVEL), "feature-level",
				"%s: of feature level %u; this clusterctl knows %d: use the one of the release that wrote it", path,
				s->cluster.level, FEATURE_LEVEL);
	return 0;
}

int cmd_restore(struct ctl *ctl)
{
	const char *path = ctl->argv[0];
	struct state *s = ctl_state_new();
	json_t *config;
	int rc;

	if (!s)
		return ctl_no_memory(ctl);
	rc = backup_read(ctl, path, s);
	if (!rc && s->cluster.cluster_id != ctl_cluster(ctl)->cluster_id && !ctl->options.force)
		rc = ctl_fail(ctl, refusal_exit_code(REFUSED_INVALID), "invalid",
			      "%s: a backup of another cluster, '%s'; --force takes its configuration all the same",
			      path, s->cluster.name);
	if (!rc) {
		config = ctl_config_of(s);
		rc = import(ctl, config, path);
		json_decref(config);
	}
	ctl_state_free(s);
	return rc;
}
