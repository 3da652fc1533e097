/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Agents: those installed here, and what one of them takes. */
#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include <libxml/parser.h>
#include <libxml/tree.h>

#include "cleanup.h"
#include "clusterd/ctl/ctl.h"
#include "clusterd/ctl/ctl_agents.h"
#include "clusterd/ctl/ctl_link.h"
#include "clusterd/ctl/ctl_table.h"
#include "text.h"

#ifndef OCF_ROOT_DIR
#define OCF_ROOT_DIR "/usr/lib/ocf"
#endif
#define METADATA_MAX (1 << 20) /* bytes of one agent's meta-data */

static int visible(const struct dirent *d) { return d->d_name[0] != '.'; }

static bool is_agent(const char *path)
{
	struct stat st;

	return !stat(path, &st) && S_ISREG(st.st_mode) && (st.st_mode & 0111);
}

static int provider_each(const char *root, const char *provider, const char *prefix, FILE *out)
{
	char dir[PATH_MAX + NAME_MAX + 2], path[PATH_MAX + 2 * NAME_MAX + 4], name[2 * NAME_MAX + 8];
	struct dirent **list;
	int n, found = 0;

	snprintf(dir, sizeof(dir), "%.*s/%s", PATH_MAX, root, provider);
	n = scandir(dir, &list, visible, alphasort);
	for (int i = 0; i < n; i++) {
		snprintf(path, sizeof(path), "%s/%s", dir, list[i]->d_name);
		snprintf(name, sizeof(name), "ocf:%s:%s", provider, list[i]->d_name);
		if (!strncmp(name, prefix, strlen(prefix)) && is_agent(path)) {
			fprintf(out, "%s\n", name);
			found++;
		}
		free(list[i]);
	}
	if (n >= 0)
		free(list);
	return found;
}

int ctl_agents_each(const char *prefix, FILE *out)
{
	const char *env = getenv("OCF_ROOT");
	char root[PATH_MAX];
	struct dirent **list;
	int n, found = 0;

	snprintf(root, sizeof(root), "%s/resource.d", env && *env ? env : OCF_ROOT_DIR);
	n = scandir(root, &list, visible, alphasort);
	if (n < 0)
		return -errno;
	for (int i = 0; i < n; i++) {
		found += provider_each(root, list[i]->d_name, prefix, out);
		free(list[i]);
	}
	free(list);
	return found;
}

int cmd_resource_agents(struct ctl *ctl)
{
	const char *prefix = ctl->argc ? ctl->argv[0] : "";
	cleanup_free char *text = NULL;
	size_t len = 0;
	FILE *f = open_memstream(&text, &len);
	json_t *list;
	int n;

	if (!f)
		return ctl_fail(ctl, EXIT_UNREACHABLE, "memory", "no memory for the list");
	n = ctl_agents_each(prefix, f);
	fclose(f);
	if (n <= 0)
		return ctl_fail(ctl, refusal_exit_code(REFUSED_NOT_FOUND), "not-found",
				"no agent%s%s is installed on this node; package resource-agents has many",
				*prefix ? " whose name begins with " : "", prefix);
	if (!ctl->options.json) {
		fputs(text, ctl->out);
		return EXIT_DONE;
	}
	list = json_array();
	for (char *save, *line = strtok_r(text, "\n", &save); line; line = strtok_r(NULL, "\n", &save))
		json_array_append_new(list, json_string(line));
	return ctl_json_print(ctl, json_pack("{s:i, s:o}", "schema", CTL_SCHEMA, "agents", list));
}

/* --- describe --- */

static int metadata_fetch(struct ctl *ctl, const char *agent, char *text, size_t *len)
{
	struct message m = { .type = CTL_METADATA };
	int rc;

	text_copy(m.ctl_metadata.agent, sizeof(m.ctl_metadata.agent), agent);
	rc = ctl_link_send(ctl->link, &m);
	while (!rc) {
		rc = ctl_link_receive(ctl->link, ctl->timeout_s * MS_PER_SECOND, &m);
		if (!rc && m.type == ANSWER_PART && *len + m.answer_part.data.len <= METADATA_MAX) {
			memcpy(text + *len, m.answer_part.data.data, m.answer_part.data.len);
			*len += m.answer_part.data.len;
		} else if (!rc && m.type == ANSWER && m.answer.refusal) {
			return ctl_refused_by(ctl, &m.answer);
		} else if (!rc && m.type == ANSWER) {
			return 0;
		} else if (!rc) {
			rc = -EBADMSG;
		}
	}
	return ctl_fail(ctl, EXIT_UNREACHABLE, "unreachable", "agent %s: clusterd did not tell its meta-data: %s", agent,
			strerror(-rc));
}

static xmlNodePtr child(xmlNodePtr parent, const char *name)
{
	for (xmlNodePtr n = parent ? parent->children : NULL; n; n = n->next)
		if (n->type == XML_ELEMENT_NODE && !strcmp((const char *)n->name, name))
			return n;
	return NULL;
}

/* Text of an element with its white space folded. */
static const char *folded(xmlNodePtr node, char *out, size_t size)
{
	xmlChar *text = node ? xmlNodeGetContent(node) : NULL;
	size_t used = 0;

	for (const char *p = text ? (const char *)text : ""; *p && used + 2 < size; p++) {
		bool blank = strchr(" \t\r\n", *p) != NULL;

		if (!blank || (used && out[used - 1] != ' '))
			out[used++] = blank ? ' ' : *p;
	}
	out[used && out[used - 1] == ' ' ? used - 1 : used] = '\0';
	xmlFree(text);
	return out;
}

static const char *attribute(xmlNodePtr node, const char *name, char *out, size_t size)
{
	xmlChar *v = node ? xmlGetProp(node, (const xmlChar *)name) : NULL;

	text_copy(out, size, (const char *)v);
	xmlFree(v);
	return out;
}

static bool is_true(const char *text) { return !strcmp(text, "1") || !strcmp(text, "true") || !strcmp(text, "yes"); }

static void describe_text(struct ctl *ctl, xmlNodePtr root)
{
	static const char *const heads[] = { "PARAMETER", "TYPE", "REQUIRED", "DEFAULT", "MEANING", NULL };
	static const char *const action_heads[] = { "ACTION", ">TIME-OUT", ">INTERVAL", NULL };
	struct ctl_table *t = ctl_table_new(heads);
	char a[512], text[1024];

	fprintf(ctl->out, "%s: %s\n", ctl->argv[0], folded(child(root, "shortdesc"), text, sizeof(text)));
	fprintf(ctl->out, "%s\n\n", folded(child(root, "longdesc"), text, sizeof(text)));
	for (xmlNodePtr p = child(root, "parameters") ? child(root, "parameters")->children : NULL; p; p = p->next) {
		xmlNodePtr content = child(p, "content");

		if (p->type != XML_ELEMENT_NODE)
			continue;
		ctl_table_cell(t, TONE_PLAIN, "%s", attribute(p, "name", a, sizeof(a)));
		ctl_table_cell(t, TONE_PLAIN, "%s", attribute(content, "type", a, sizeof(a)));
		ctl_table_cell(t, TONE_PLAIN, "%s", is_true(attribute(p, "required", a, sizeof(a))) ? "yes" : "no");
		ctl_table_cell(t, TONE_PLAIN, "%s", attribute(content, "default", a, sizeof(a)));
		ctl_table_cell(t, TONE_PLAIN, "%s", folded(child(p, "shortdesc"), text, sizeof(text)));
	}
	ctl_table_print(t, ctl->out, ctl->color, 0);
	fputc('\n', ctl->out);
	t = ctl_table_new(action_heads);
	for (xmlNodePtr p = child(root, "actions") ? child(root, "actions")->children : NULL; p; p = p->next) {
		if (p->type != XML_ELEMENT_NODE)
			continue;
		ctl_table_cell(t, TONE_PLAIN, "%s", attribute(p, "name", a, sizeof(a)));
		ctl_table_cell(t, TONE_PLAIN, "%s", attribute(p, "timeout", a, sizeof(a)));
		ctl_table_cell(t, TONE_PLAIN, "%s", attribute(p, "interval", a, sizeof(a)));
	}
	ctl_table_print(t, ctl->out, ctl->color, 0);
}

static json_t *describe_list(xmlNodePtr root, const char *list_name, const char *const *attributes)
{
	json_t *list = json_array();
	char a[512], text[1024];

	for (xmlNodePtr p = child(root, list_name) ? child(root, list_name)->children : NULL; p; p = p->next) {
		json_t *j = json_object();

		if (p->type != XML_ELEMENT_NODE) {
			json_decref(j);
			continue;
		}
		for (size_t i = 0; attributes[i]; i++)
			json_object_set_new(j, attributes[i], json_string(attribute(p, attributes[i], a, sizeof(a))));
		if (child(p, "content")) {
			json_object_set_new(j, "type", json_string(attribute(child(p, "content"), "type", a, sizeof(a))));
			json_object_set_new(j, "default", json_string(attribute(child(p, "content"), "default", a, sizeof(a))));
			json_object_set_new(j, "shortdesc", json_string(folded(child(p, "shortdesc"), text, sizeof(text))));
			json_object_set_new(j, "longdesc", json_string(folded(child(p, "longdesc"), text, sizeof(text))));
		}
		json_array_append_new(list, j);
	}
	return list;
}

static int describe_json(struct ctl *ctl, xmlNodePtr root)
{
	static const char *const of_parameter[] = { "name", "required", "unique", NULL };
	static const char *const of_action[] = { "name", "timeout", "interval", "depth", NULL };
	char text[1024];

	return ctl_json_print(ctl, json_pack("{s:i, s:{s:s, s:s, s:o, s:o}}", "schema", CTL_SCHEMA, "agent", "name", ctl->argv[0],
					     "shortdesc", folded(child(root, "shortdesc"), text, sizeof(text)), "parameters",
					     describe_list(root, "parameters", of_parameter), "actions",
					     describe_list(root, "actions", of_action)));
}

int cmd_resource_describe(struct ctl *ctl)
{
	cleanup_free char *text = malloc(METADATA_MAX);
	size_t len = 0;
	xmlDocPtr doc;
	int rc;

	if (!text)
		return ctl_fail(ctl, EXIT_UNREACHABLE, "memory", "no memory for the meta-data");
	rc = metadata_fetch(ctl, ctl->argv[0], text, &len);
	if (rc)
		return rc;
	doc = xmlReadMemory(text, (int)len, "meta-data", NULL, XML_PARSE_NOERROR | XML_PARSE_NOWARNING | XML_PARSE_NONET);
	if (!doc || !xmlDocGetRootElement(doc)) {
		xmlFreeDoc(doc);
		return ctl_fail(ctl, refusal_exit_code(REFUSED_AGENT), "agent", "agent %s: its meta-data is not XML", ctl->argv[0]);
	}
	if (ctl->options.json)
		rc = describe_json(ctl, xmlDocGetRootElement(doc));
	else
		describe_text(ctl, xmlDocGetRootElement(doc));
	xmlFreeDoc(doc);
	return rc;
}

void ctl_agent_params(struct ctl *ctl, const char *agent, const char *prefix)
{
	cleanup_free char *text = malloc(METADATA_MAX);
	FILE *err = ctl->err, *out = ctl->out, *nowhere = fopen("/dev/null", "we");
	size_t len = 0;
	xmlDocPtr doc = NULL;
	xmlNodePtr list;
	char name[512];

	if (text && nowhere) {
		ctl->err = ctl->out = nowhere;
		if ((ctl->link || !ctl_connect(ctl)) && !metadata_fetch(ctl, agent, text, &len))
			doc = xmlReadMemory(text, (int)len, "meta-data", NULL,
					    XML_PARSE_NOERROR | XML_PARSE_NOWARNING | XML_PARSE_NONET);
		ctl->err = err;
		ctl->out = out;
	}
	if (nowhere)
		fclose(nowhere);
	list = doc ? child(xmlDocGetRootElement(doc), "parameters") : NULL;
	for (xmlNodePtr p = list ? list->children : NULL; p; p = p->next)
		if (p->type == XML_ELEMENT_NODE && !strncmp(attribute(p, "name", name, sizeof(name)), prefix, strlen(prefix)))
			fprintf(ctl->out, "%s=\n", name);
	xmlFreeDoc(doc);
}
