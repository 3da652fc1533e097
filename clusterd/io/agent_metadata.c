/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Meta-data of OCF agents: XML to struct agent_meta, the check of parameters against it, and the cache.
 *
 * The parser gets no network, no DTD, no entities (a declaration of one ends it), no document above AGENT_META_SIZE.
 */
#include "clusterd/io/agent_runner.h"

#include <ctype.h>
#include <errno.h>
#include <libxml/parser.h>
#include <libxml/tree.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "units.h"

#define CLOSE_NAME_DISTANCE 2
#define LISTED_NAMES_MAX 12

struct meta_entry {
	struct meta_entry *next, **prev;
	char *path;
	dev_t dev;
	ino_t ino;
	off_t size;
	struct timespec mtime;
	struct agent_meta *meta;
	uint64_t used;
	unsigned int refs;
};

/* ---- values ---- */

struct xml_span {
	const char *p;
	size_t len;
};

static bool is_integer(struct xml_span v)
{
	size_t i = v.len && (v.p[0] == '-' || v.p[0] == '+');

	if (i == v.len)
		return false;
	for (; i < v.len; i++)
		if (!isdigit((unsigned char)v.p[i]))
			return false;
	return true;
}

static bool is_boolean(struct xml_span v)
{
	static const char *const words[] = { "yes", "true", "1", "on", "ja", "y", "no", "false", "0", "off", "nein", "n" };

	for (size_t i = 0; i < ARRAY_SIZE(words); i++)
		if (strlen(words[i]) == v.len && !strncasecmp(words[i], v.p, v.len))
			return true;
	return false;
}

static bool is_choice(struct xml_span v, const char *choices)
{
	while (*choices) {
		size_t len = strcspn(choices, "\n");

		if (len == v.len && !memcmp(choices, v.p, len))
			return true;
		choices += len + (choices[len] == '\n');
	}
	return false;
}

static bool type_accepts(const struct agent_meta_param *param, struct xml_span v)
{
	switch (param->type) {
	case AGENT_PARAM_INTEGER:
		return is_integer(v);
	case AGENT_PARAM_BOOLEAN:
		return is_boolean(v);
	case AGENT_PARAM_SELECT:
		return !*param->choices || is_choice(v, param->choices);
	case AGENT_PARAM_STRING:
		break;
	}
	return true;
}

/* ---- parsing ---- */

struct parse {
	bool entities;
};

static void on_entity(void *user, const xmlChar *name, int type, const xmlChar *public_id, const xmlChar *system_id,
		      xmlChar *content)
{
	xmlParserCtxtPtr ctxt = user;
	struct parse *parse = ctxt->_private;

	(void)name;
	(void)type;
	(void)public_id;
	(void)system_id;
	(void)content;
	parse->entities = true;
	xmlStopParser(ctxt);
}

static char *attribute(xmlNodePtr node, const char *name)
{
	xmlChar *value = xmlGetProp(node, (const xmlChar *)name);
	char *copy = strdup(value ? (const char *)value : "");

	xmlFree(value);
	return copy;
}

static bool attribute_true(xmlNodePtr node, const char *name)
{
	char *value = attribute(node, name);
	bool yes = value && (!strcmp(value, "1") || !strcasecmp(value, "true") || !strcasecmp(value, "yes"));

	free(value);
	return yes;
}

static bool is_element(xmlNodePtr node, const char *name)
{
	return node->type == XML_ELEMENT_NODE && !strcmp((const char *)node->name, name);
}

static xmlNodePtr child(xmlNodePtr parent, const char *name)
{
	for (xmlNodePtr node = parent ? parent->children : NULL; node; node = node->next)
		if (is_element(node, name))
			return node;
	return NULL;
}

/* Text of a child element on one line; "" when it is absent; NULL when out of memory. */
static char *child_text(xmlNodePtr parent, const char *name)
{
	xmlNodePtr node = child(parent, name);
	xmlChar *content = node ? xmlNodeGetContent(node) : NULL;
	char clean[AGENT_TEXT_SIZE] = "";

	if (content) {
		for (xmlChar *p = content; *p; p++)
			if (*p == '\n')
				*p = ' ';
		text_clean(clean, sizeof(clean), (const char *)content, strlen((const char *)content));
	}
	xmlFree(content);
	return strdup(clean);
}

/* "20s", "20", "500ms", "2min", "1h" -> milliseconds; 0 when it is none of these. */
static uint32_t duration_ms(const char *text)
{
	static const struct {
		const char *name;
		uint32_t ms;
	} units[] = { { "", 1000 },	 { "s", 1000 },	     { "sec", 1000 },	  { "ms", 1 },	       { "msec", 1 },
		      { "m", MS_PER_MINUTE }, { "min", MS_PER_MINUTE }, { "h", MS_PER_HOUR }, { "hr", MS_PER_HOUR } };
	char *end;
	unsigned long long n = strtoull(text, &end, 10);

	if (!isdigit((unsigned char)*text))
		return 0;
	while (*end == ' ')
		end++;
	for (size_t i = 0; i < ARRAY_SIZE(units); i++)
		if (!strcasecmp(end, units[i].name))
			return n > UINT32_MAX / units[i].ms ? UINT32_MAX : (uint32_t)(n * units[i].ms);
	return 0;
}

static uint32_t attribute_ms(xmlNodePtr node, const char *name)
{
	char *value = attribute(node, name);
	uint32_t ms = value ? duration_ms(value) : 0;

	free(value);
	return ms;
}

static char *choices_of(xmlNodePtr content)
{
	char *all = strdup("");

	for (xmlNodePtr node = content ? content->children : NULL; node && all; node = node->next) {
		char *value = is_element(node, "option") ? attribute(node, "value") : NULL;
		char *more = NULL;

		if (!value)
			continue;
		if (asprintf(&more, "%s%s\n", all, value) < 0)
			more = NULL;
		free(value);
		free(all);
		all = more;
	}
	return all;
}

static enum agent_param_type type_of(xmlNodePtr content)
{
	char *type = content ? attribute(content, "type") : NULL;
	enum agent_param_type t = AGENT_PARAM_STRING;

	if (type && !strcasecmp(type, "integer"))
		t = AGENT_PARAM_INTEGER;
	else if (type && !strcasecmp(type, "boolean"))
		t = AGENT_PARAM_BOOLEAN;
	else if (type && !strcasecmp(type, "select"))
		t = AGENT_PARAM_SELECT;
	free(type);
	return t;
}

static int param_parse(struct agent_meta *meta, xmlNodePtr node, char *error)
{
	struct agent_meta_param *param;
	xmlNodePtr content = child(node, "content");

	if (meta->param_count == AGENT_META_PARAMS) {
		snprintf(error, AGENT_REPORT_SIZE, "%s: its meta-data has more than %d parameters", meta->agent,
			 AGENT_META_PARAMS);
		return -EBADMSG;
	}
	param = &meta->params[meta->param_count++];
	param->name = attribute(node, "name");
	param->shortdesc = child_text(node, "shortdesc");
	param->value_default = content ? attribute(content, "default") : strdup("");
	param->choices = choices_of(content);
	param->type = type_of(content);
	param->required = attribute_true(node, "required");
	param->unique = attribute_true(node, "unique");
	if (!param->name || !param->shortdesc || !param->value_default || !param->choices)
		return -ENOMEM;
	/* Several agents of the field declare a type that their own default contradicts: then the default is right. */
	if (*param->value_default &&
	    !type_accepts(param, (struct xml_span){ param->value_default, strlen(param->value_default) }))
		param->type = AGENT_PARAM_STRING;
	if (*param->name)
		return 0;
	snprintf(error, AGENT_REPORT_SIZE, "%s: its meta-data has a parameter without a name (line %ld)", meta->agent,
		 xmlGetLineNo(node));
	return -EBADMSG;
}

static int action_parse(struct agent_meta *meta, xmlNodePtr node, char *error)
{
	struct agent_meta_action *action;
	char *name, *depth;

	if (meta->action_count == AGENT_META_ACTIONS) {
		snprintf(error, AGENT_REPORT_SIZE, "%s: its meta-data has more than %d actions", meta->agent,
			 AGENT_META_ACTIONS);
		return -EBADMSG;
	}
	name = attribute(node, "name");
	depth = attribute(node, "depth");
	if (!name || !depth) {
		free(name);
		free(depth);
		return -ENOMEM;
	}
	action = &meta->actions[meta->action_count++];
	text_clean(action->name, sizeof(action->name), name, strlen(name));
	action->depth = (uint32_t)strtoul(depth, NULL, 10);
	action->timeout_ms = attribute_ms(node, "timeout");
	action->interval_ms = attribute_ms(node, "interval");
	free(name);
	free(depth);
	return 0;
}

static int meta_fill(struct agent_meta *meta, xmlNodePtr root, char *error)
{
	xmlNodePtr params = child(root, "parameters");
	xmlNodePtr actions = child(root, "actions");
	int r = 0;

	if (!is_element(root, "resource-agent") || !actions) {
		snprintf(error, AGENT_REPORT_SIZE,
			 "%s: its meta-data is not that of an OCF agent (no <%s>); reinstall or repair the agent", meta->agent,
			 actions || !is_element(root, "resource-agent") ? "resource-agent" : "actions");
		return -EBADMSG;
	}
	meta->shortdesc = child_text(root, "shortdesc");
	meta->params = calloc(AGENT_META_PARAMS, sizeof(*meta->params));
	meta->actions = calloc(AGENT_META_ACTIONS, sizeof(*meta->actions));
	if (!meta->shortdesc || !meta->params || !meta->actions)
		return -ENOMEM;
	for (xmlNodePtr node = params ? params->children : NULL; node && !r; node = node->next)
		if (is_element(node, "parameter"))
			r = param_parse(meta, node, error);
	for (xmlNodePtr node = actions->children; node && !r; node = node->next)
		if (is_element(node, "action"))
			r = action_parse(meta, node, error);
	return r;
}

/* Give back what the bounds reserved and the agent did not need. */
static void meta_trim(struct agent_meta *meta)
{
	void *smaller = realloc(meta->params, (meta->param_count + 1) * sizeof(*meta->params));

	if (smaller)
		meta->params = smaller;
	smaller = realloc(meta->actions, (meta->action_count + 1) * sizeof(*meta->actions));
	if (smaller)
		meta->actions = smaller;
}

static void xml_error(const char *agent, const struct parse *parse, xmlParserCtxtPtr ctxt, char *error)
{
	const xmlError *e = xmlCtxtGetLastError(ctxt);
	char why[AGENT_TEXT_SIZE] = "not well-formed";

	if (parse->entities) {
		snprintf(error, AGENT_REPORT_SIZE,
			 "%s: its meta-data declares XML entities, which are not accepted; repair the agent", agent);
		return;
	}
	if (e && e->message)
		text_clean(why, sizeof(why), e->message, strlen(e->message));
	snprintf(error, AGENT_REPORT_SIZE, "%s: its meta-data is not valid XML (line %d: %s); reinstall or repair the agent",
		 agent, e ? e->line : 0, why);
}

int agent_meta_parse(const char *agent, const char *xml, size_t len, struct agent_meta **ret, char *error)
{
	struct parse parse = { false };
	struct agent_meta *meta = calloc(1, sizeof(*meta));
	xmlParserCtxtPtr ctxt = xmlNewParserCtxt();
	xmlDocPtr doc = NULL;
	int r = -EBADMSG;

	error[0] = '\0';
	if (!meta || !ctxt) {
		r = -ENOMEM;
		goto out;
	}
	text_clean(meta->agent, sizeof(meta->agent), agent, strlen(agent));
	if (!len || len > AGENT_META_SIZE) {
		snprintf(error, AGENT_REPORT_SIZE, "%s: its meta-data is %s; reinstall or repair the agent", agent,
			 len ? "longer than 1 MiB" : "empty");
		goto out;
	}
	ctxt->_private = &parse;
	ctxt->sax->entityDecl = on_entity;
	doc = xmlCtxtReadMemory(ctxt, xml, (int)len, agent, NULL, XML_PARSE_NONET | XML_PARSE_NOERROR | XML_PARSE_NOWARNING);
	if (!doc || parse.entities || !ctxt->wellFormed || !xmlDocGetRootElement(doc))
		xml_error(agent, &parse, ctxt, error);
	else
		r = meta_fill(meta, xmlDocGetRootElement(doc), error);
out:
	xmlFreeDoc(doc);
	if (ctxt)
		xmlFreeParserCtxt(ctxt);
	if (r) {
		if (r == -ENOMEM)
			snprintf(error, AGENT_REPORT_SIZE, "%s: out of memory for its meta-data", agent);
		agent_meta_free(meta);
		return r;
	}
	meta_trim(meta);
	meta->xml = strndup(xml, len);
	*ret = meta;
	return 0;
}

void agent_meta_free(struct agent_meta *meta)
{
	if (!meta)
		return;
	for (unsigned int i = 0; i < meta->param_count; i++) {
		free(meta->params[i].name);
		free(meta->params[i].shortdesc);
		free(meta->params[i].value_default);
		free(meta->params[i].choices);
	}
	free(meta->params);
	free(meta->actions);
	free(meta->shortdesc);
	free(meta->xml);
	free(meta);
}

const struct agent_meta_action *agent_meta_action(const struct agent_meta *meta, const char *name, uint32_t depth)
{
	const struct agent_meta_action *first = NULL;

	for (unsigned int i = 0; i < meta->action_count; i++) {
		const struct agent_meta_action *action = &meta->actions[i];

		if (strcmp(action->name, name) != 0)
			continue;
		if (action->depth == depth)
			return action;
		if (!first)
			first = action;
	}
	return first;
}

/* ---- the check ---- */

static bool span_is(struct xml_span s, const char *text)
{
	return strlen(text) == s.len && !memcmp(text, s.p, s.len);
}

static const struct agent_meta_param *param_find(const struct agent_meta *meta, struct xml_span name)
{
	for (unsigned int i = 0; i < meta->param_count; i++)
		if (span_is(name, meta->params[i].name))
			return &meta->params[i];
	return NULL;
}

/* What the shell library of all agents understands, whatever the agent says of itself. */
static bool param_generic(struct xml_span name)
{
	static const char *const generic[] = { "trace_ra", "trace_file", "trace_dir", "OCF_CHECK_LEVEL" };

	for (size_t i = 0; i < ARRAY_SIZE(generic); i++)
		if (span_is(name, generic[i]))
			return true;
	return false;
}

static unsigned int min3(unsigned int a, unsigned int b, unsigned int c)
{
	unsigned int m = a < b ? a : b;

	return m < c ? m : c;
}

/* Levenshtein distance. */
static unsigned int distance(struct xml_span a, const char *b)
{
	unsigned int row[NAME_SIZE + 1];
	size_t b_len = strlen(b);

	if (b_len > NAME_SIZE)
		return UINT32_MAX;
	for (size_t j = 0; j <= b_len; j++)
		row[j] = (unsigned int)j;
	for (size_t i = 1; i <= a.len; i++) {
		unsigned int diagonal = row[0];

		row[0] = (unsigned int)i;
		for (size_t j = 1; j <= b_len; j++) {
			unsigned int above = row[j];
			bool same = tolower((unsigned char)a.p[i - 1]) == tolower((unsigned char)b[j - 1]);

			row[j] = min3(above + 1, row[j - 1] + 1, diagonal + !same);
			diagonal = above;
		}
	}
	return row[b_len];
}

static void unknown_param(const struct agent_meta *meta, struct xml_span name, char *error)
{
	const char *best = NULL;
	unsigned int best_distance = CLOSE_NAME_DISTANCE + 1;
	int n;

	for (unsigned int i = 0; i < meta->param_count; i++) {
		unsigned int d = distance(name, meta->params[i].name);

		if (d < best_distance && d < name.len) {
			best_distance = d;
			best = meta->params[i].name;
		}
	}
	n = snprintf(error, AGENT_REPORT_SIZE, "%s has no parameter \"%.*s\"", meta->agent, (int)name.len, name.p);
	if (best) {
		snprintf(error + n, AGENT_REPORT_SIZE - (size_t)n, "; did you mean \"%s\"?", best);
		return;
	}
	n += snprintf(error + n, AGENT_REPORT_SIZE - (size_t)n, meta->param_count ? "; it has:" : "; it has none");
	for (unsigned int i = 0; i < meta->param_count && i < LISTED_NAMES_MAX && n < AGENT_REPORT_SIZE; i++)
		n += snprintf(error + n, AGENT_REPORT_SIZE - (size_t)n, " %s%s", meta->params[i].name,
			      i + 1 == LISTED_NAMES_MAX && meta->param_count > LISTED_NAMES_MAX ? " ..." : "");
}

static int value_check(const struct agent_meta *meta, const struct agent_meta_param *param, struct xml_span v, char *error)
{
	char wanted[AGENT_TEXT_SIZE];

	if (!v.len && param->required) {
		snprintf(error, AGENT_REPORT_SIZE, "%s: parameter \"%s\" is required and must not be empty%s%s", meta->agent,
			 param->name, *param->shortdesc ? ": " : "", param->shortdesc);
		return -EINVAL;
	}
	if (!v.len || type_accepts(param, v))
		return 0;
	switch (param->type) {
	case AGENT_PARAM_INTEGER:
		snprintf(wanted, sizeof(wanted), "a whole number,");
		break;
	case AGENT_PARAM_BOOLEAN:
		snprintf(wanted, sizeof(wanted), "true or false,");
		break;
	default:
		snprintf(wanted, sizeof(wanted), "one of: %s-", param->choices);
		for (char *p = wanted; *p; p++)
			if (*p == '\n')
				*p = ' ';
	}
	snprintf(error, AGENT_REPORT_SIZE, "%s: parameter \"%s\" takes %s not \"%.*s\"", meta->agent, param->name, wanted,
		 (int)v.len, v.p);
	return -EINVAL;
}

int agent_meta_check(const struct agent_meta *meta, const char *params, char *error)
{
	bool given[AGENT_META_PARAMS] = { false };
	const char *cursor = params;
	struct xml_span name, value;

	error[0] = '\0';
	if (!agent_params_valid(params)) {
		snprintf(error, AGENT_REPORT_SIZE,
			 "%s: parameters are lines \"name=value\" of at most %d bytes in all, without control characters",
			 meta->agent, PARAMS_SIZE - 1);
		return -EINVAL;
	}
	while (agent_params_next(&cursor, &name.p, &name.len, &value.p, &value.len)) {
		const struct agent_meta_param *param = param_find(meta, name);

		if (!param && param_generic(name))
			continue;
		if (!param) {
			unknown_param(meta, name, error);
			return -EINVAL;
		}
		if (given[param - meta->params]) {
			snprintf(error, AGENT_REPORT_SIZE, "%s: parameter \"%s\" is given twice", meta->agent, param->name);
			return -EINVAL;
		}
		given[param - meta->params] = true;
		if (value_check(meta, param, value, error))
			return -EINVAL;
	}
	for (unsigned int i = 0; i < meta->param_count; i++) {
		const struct agent_meta_param *param = &meta->params[i];

		if (!param->required || given[i] || *param->value_default)
			continue;
		snprintf(error, AGENT_REPORT_SIZE, "%s needs the parameter \"%s\"%s%s%s: add %s=VALUE", meta->agent, param->name,
			 *param->shortdesc ? " (" : "", param->shortdesc, *param->shortdesc ? ")" : "", param->name);
		return -EINVAL;
	}
	return 0;
}

/* ---- the cache ---- */

static void entry_unlink(struct meta_entry *e)
{
	*e->prev = e->next;
	if (e->next)
		e->next->prev = e->prev;
}

void meta_entry_hold(struct meta_entry *e)
{
	e->refs++;
}

void meta_entry_release(struct meta_entry *e)
{
	if (!e || --e->refs)
		return;
	agent_meta_free(e->meta);
	free(e->path);
	free(e);
}

const struct agent_meta *meta_entry_get(const struct meta_entry *e)
{
	return e->meta;
}

static void entry_drop(struct agents *a, struct meta_entry *e)
{
	entry_unlink(e);
	a->meta_count--;
	meta_entry_release(e);
}

static bool entry_fresh(const struct meta_entry *e, const struct stat *st)
{
	return e->dev == st->st_dev && e->ino == st->st_ino && e->size == st->st_size &&
	       e->mtime.tv_sec == st->st_mtim.tv_sec && e->mtime.tv_nsec == st->st_mtim.tv_nsec;
}

struct meta_entry *meta_entry_find(struct agents *a, const char *path, const struct stat *st)
{
	for (struct meta_entry *e = a->metas; e; e = e->next) {
		if (strcmp(e->path, path) != 0)
			continue;
		if (entry_fresh(e, st)) {
			e->used = ++a->meta_clock;
			return e;
		}
		entry_drop(a, e);
		return NULL;
	}
	return NULL;
}

static void cache_make_room(struct agents *a)
{
	struct meta_entry *oldest = a->metas;

	if (!oldest || a->meta_count < AGENT_META_CACHE)
		return;
	for (struct meta_entry *e = a->metas; e; e = e->next)
		if (e->used < oldest->used)
			oldest = e;
	entry_drop(a, oldest);
}

struct meta_entry *meta_entry_add(struct agents *a, const char *path, const struct stat *st, struct agent_meta *meta)
{
	struct meta_entry *e = calloc(1, sizeof(*e));

	if (e)
		e->path = strdup(path);
	if (!e || !e->path) {
		free(e);
		return NULL;
	}
	(void)meta_entry_find(a, path, st); /* an older one goes */
	cache_make_room(a);
	e->dev = st->st_dev;
	e->ino = st->st_ino;
	e->size = st->st_size;
	e->mtime = st->st_mtim;
	e->meta = meta;
	e->used = ++a->meta_clock;
	e->refs = 1;
	e->next = a->metas;
	e->prev = &a->metas;
	if (e->next)
		e->next->prev = &e->next;
	a->metas = e;
	a->meta_count++;
	return e;
}

void metas_free(struct agents *a)
{
	while (a->metas)
		entry_drop(a, a->metas);
}
