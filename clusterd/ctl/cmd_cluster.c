/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The cluster as a whole: quorum, disarm, upgrade, version, log, backup. */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cleanup.h"
#include "clusterd/ctl/ctl_change.h"
#include "clusterd/ctl/ctl_link.h"
#include "clusterd/ctl/ctl_table.h"
#include "clusterd/core/votes.h"
#include "text.h"

#ifndef PACKAGE_VERSION
#define PACKAGE_VERSION "unknown"
#endif

static int cluster_op(struct ctl *ctl, enum change_verb verb, const char *field, const char *value)
{
	struct ctl_change *c = ctl_change_new();
	int rc = 0;

	if (!c)
		return ctl_no_memory(ctl);
	ctl_change_op(c, verb, KIND_CLUSTER, "", NULL); /* there is one */
	if (field)
		rc = ctl_change_field(ctl, c, object_field(object_type(KIND_CLUSTER), field), EDIT_SET, value);
	return ctl_change_finish(ctl, c, rc);
}

int cmd_disarm(struct ctl *ctl) { return cluster_op(ctl, VERB_SET, "disarmed", "yes"); }
int cmd_arm(struct ctl *ctl) { return cluster_op(ctl, VERB_SET, "disarmed", "no"); }
int cmd_cluster_upgrade(struct ctl *ctl) { return cluster_op(ctl, VERB_UPGRADE, NULL, NULL); }

/* --- quorum --- */

static int quorum_json(struct ctl *ctl, struct votes v, nodeset_t present, bool quorate)
{
	json_t *j = ctl_json_envelope(ctl);
	const struct cluster *c = ctl_cluster(ctl);

	json_object_set_new(j, "quorum",
			    json_pack("{s:b, s:i, s:i, s:i, s:o, s:o, s:s, s:b, s:b, s:b}", "quorate", quorate, "votes",
				      votes_total(v), "needed", votes_total(v) / 2 + 1, "here",
				      nodeset_count(v.nodes & present) + (v.witness && ctl->view.self.witness_held),
				      "voters", ctl_json_nodes(ctl, v.nodes), "present", ctl_json_nodes(ctl, present),
				      "witness", enum_text(enum_values_witness_kind, c->witness), "witness_vote",
				      v.witness, "witness_held", ctl->view.self.witness_held, "dynamic",
				      c->dynamic_quorum));
	return ctl_json_print(ctl, j);
}

/* What one more lost node does, node by node. */
static void quorum_nodes(struct ctl *ctl, struct votes v)
{
	static const char *const heads[] = { "NODE", "STATE", "VOTE", "IF LOST", NULL };
	const struct msg_answer_status *m = &ctl->view.self;
	const struct state *s = ctl->view.state;
	struct ctl_table *t = ctl_table_new(heads);

	for (uint32_t id = 1; id <= s->high[KIND_NODE]; id++) {
		const struct node *n = state_node(s, id);
		bool here = n && m->quorate && nodeset_has(m->members, id);
		bool keeps = n && votes_majority(v, m->members & ~NODE_BIT(id), m->witness_held);

		if (!n)
			continue;
		ctl_table_cell(t, TONE_PLAIN, "%s", n->name);
		ctl_table_cell(t, TONE_PLAIN, "%s", ctl_node_state(ctl, n));
		ctl_table_cell(t, TONE_PLAIN, "%s", n->vote ? "yes" : n->may_vote ? "no" : "never");
		ctl_table_cell(t, keeps || !here ? TONE_PLAIN : TONE_BAD, "%s",
			       !here   ? "-"
			       : keeps ? "quorum stays"
				       : "QUORUM IS LOST");
	}
	ctl_table_print(t, ctl->out, ctl->color, 0);
}

int cmd_quorum_show(struct ctl *ctl)
{
	const struct msg_answer_status *m = &ctl->view.self;
	struct votes v = votes_of(ctl->view.state);
	const struct cluster *c = ctl_cluster(ctl);
	uint32_t total = votes_total(v);

	if (ctl->options.json)
		return quorum_json(ctl, v, m->members, m->quorate);
	fprintf(ctl->out, "%s: %d of %u votes are here, %u are needed; dynamic quorum %s\n", m->quorate ? "quorate" : "NOT quorate",
		nodeset_count(v.nodes & m->members) + (v.witness && m->witness_held), total, total / 2 + 1,
		c->dynamic_quorum ? "on" : "off");
	if (!m->quorate && *m->text)
		fprintf(ctl->out, "%s\n", m->text);
	if (c->witness)
		fprintf(ctl->out, "witness: %s %s, %s, %s\n", enum_text(enum_values_witness_kind, c->witness),
			c->witness_target, v.witness ? "votes now" : "does not vote now",
			m->witness_held ? "held by this side" : "not held by this side");
	else
		fprintf(ctl->out, "witness: none\n");
	fputc('\n', ctl->out);
	quorum_nodes(ctl, v);
	return EXIT_DONE;
}

int cmd_quorum_would_lose(struct ctl *ctl)
{
	struct votes v = votes_of(ctl->view.state);
	nodeset_t lost, left;
	bool keeps;
	int rc = ctl_find_nodes(ctl, &lost);

	if (rc)
		return rc;
	left = ctl->view.self.members & ~lost;
	keeps = votes_majority(v, left, ctl->view.self.witness_held);
	if (ctl->options.json) {
		quorum_json(ctl, v, left, keeps);
	} else if (!ctl->options.quiet) {
		fprintf(ctl->out, "%s: %d of %u votes would be left, %u are needed\n",
			keeps ? "quorum stays" : "QUORUM WOULD BE LOST",
			nodeset_count(v.nodes & left) + (v.witness && ctl->view.self.witness_held), votes_total(v),
			votes_total(v) / 2 + 1);
		if (!keeps && nodeset_count(lost & v.nodes) > 1)
			fprintf(ctl->out, "Stopped one after the other, each after the votes have followed, the cluster may go on: "
					  "'clusterctl node stop' refuses what it must not do.\n");
	}
	return keeps ? EXIT_DONE : refusal_exit_code(REFUSED_WOULD_LOSE_QUORUM);
}

int cmd_quorum_force(struct ctl *ctl)
{
	struct message m = { .type = CTL_FORCE };

	if (ctl->options.dry_run)
		return ctl_foresee_force(ctl);
	if (!ctl_confirm(ctl, "this side becomes authoritative: changes that only the other side has are dropped when "
			      "it rejoins, and if the other side is alive and not fenced, roles run twice"))
		return EXIT_USAGE;
	return ctl_ask(ctl, &m, false);
}

/* --- this node --- */

int cmd_version(struct ctl *ctl)
{
	struct message m = { .type = CTL_STATUS };
	struct ctl_link *link = NULL;
	char daemon[TEXT_SIZE] = "";
	uint32_t level = 0;

	if (!ctl_link_open(ctl->options.socket, ctl_patience(ctl), &link)) {
		if (!ctl_link_send(link, &m) && !ctl_link_receive(link, ctl_patience(ctl), &m) && m.type == ANSWER_STATUS)
			text_copy(daemon, sizeof(daemon), m.answer_status.version);
		ctl->link = link;
		if (*daemon && !ctl_view_load(ctl))
			level = ctl_cluster(ctl)->level;
	}
	if (ctl->options.json)
		return ctl_json_print(ctl, json_pack("{s:i, s:{s:s, s:s?, s:i, s:i}}", "schema", CTL_SCHEMA, "version",
						     "clusterctl", PACKAGE_VERSION, "clusterd", *daemon ? daemon : NULL,
						     "feature_level_max", FEATURE_LEVEL, "feature_level", (int)level));
	fprintf(ctl->out, "clusterctl %s, speaks feature level %d\n", PACKAGE_VERSION, FEATURE_LEVEL);
	fprintf(ctl->out, "clusterd %s%s\n", *daemon ? daemon : "is not running on this node, or does not answer", "");
	if (level)
		fprintf(ctl->out, "cluster %s: feature level %u is in force\n", ctl_cluster(ctl)->name, level);
	return EXIT_DONE;
}

/* One string a line. */
static json_t *log_lines(char *text)
{
	json_t *list = json_array();

	for (char *line = text, *end; line && *line; line = end) {
		end = line + strcspn(line, "\n");
		if (*end)
			*end++ = '\0';
		json_array_append_new(list, ctl_json_text(line));
	}
	return list;
}

int cmd_log(struct ctl *ctl)
{
	struct message m = { .type = CTL_LOG };
	cleanup_free char *text = NULL;
	size_t len = 0;
	int rc;

	m.ctl_log.lines = ctl->lines;
	if (!ctl->options.json)
		return ctl_ask(ctl, &m, true);
	ctl->parts = open_memstream(&text, &len);
	if (!ctl->parts)
		return ctl_no_memory(ctl);
	rc = ctl_ask(ctl, &m, true);
	fclose(ctl->parts);
	ctl->parts = NULL;
	return rc ? rc : ctl_json_print(ctl, json_pack("{s:i, s:o}", "schema", CTL_SCHEMA, "log", log_lines(text)));
}

int cmd_backup(struct ctl *ctl)
{
	struct message m = { .type = CTL_BACKUP };
	cleanup_free char *here = ctl->argv[0][0] == '/' ? NULL : getcwd(NULL, 0);
	const char *slash = here && here[1] ? "/" : "";
	int n = snprintf(m.ctl_backup.path, sizeof(m.ctl_backup.path), "%s%s%s", here ? here : "", slash, ctl->argv[0]);

	if (n < 0 || (size_t)n >= sizeof(m.ctl_backup.path) || m.ctl_backup.path[0] != '/')
		return ctl_usage(ctl, "%s: the path is longer than %d bytes, or the directory is gone", ctl->argv[0],
				 TEXT_SIZE - 1);
	n = ctl_ask(ctl, &m, true);
	if (n)
		return n;
	if (ctl->options.json)
		return ctl_json_print(ctl, json_pack("{s:i, s:{s:o}}", "schema", CTL_SCHEMA, "backup", "path",
						     ctl_json_text(m.ctl_backup.path)));
	if (!ctl->options.quiet)
		fprintf(ctl->out, "written: %s\n", m.ctl_backup.path);
	return EXIT_DONE;
}
