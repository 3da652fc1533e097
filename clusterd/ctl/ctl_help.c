/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Help texts, and the words a shell may offer next: both read off the tables of commands, options and objects. */
#include <dirent.h>
#include <stdlib.h>
#include <string.h>

#include "clusterd/ctl/ctl.h"
#include "clusterd/ctl/ctl_agents.h"
#include "clusterd/ctl/ctl_volume.h"
#include "text.h"

static const char *command_spelled(const struct ctl_command *c, char *out, size_t size)
{
	snprintf(out, size, "%s%s%s%s%s", c->noun, *c->verb ? " " : "", c->verb, *c->args ? " " : "", c->args);
	return out;
}

static void command_line(FILE *out, const struct ctl_command *c)
{
	char text[128];

	command_spelled(c, text, sizeof(text));
	if (strlen(text) > 34)
		fprintf(out, "  %s\n  %-34s  %s\n", text, "", c->help);
	else
		fprintf(out, "  %-34s  %s\n", text, c->help);
}

static void option_line(FILE *out, const struct ctl_option *o)
{
	char text[64];

	snprintf(text, sizeof(text), "%s%c%s--%s%s%s", o->letter ? "-" : " ", o->letter ? o->letter : ' ',
		 o->letter ? ", " : "  ", o->name, o->arg ? " " : "", o->arg ? o->arg : "");
	fprintf(out, "  %-24s  %s\n", text, o->help);
}

static bool command_hidden(const struct ctl_command *c) { return !strcmp(c->noun, "complete"); }

void ctl_help_overview(FILE *out)
{
	fprintf(out, "usage: clusterctl COMMAND [ARGUMENT...] [OPTION...]\n\n");
	for (size_t i = 0; i < ctl_command_count; i++) {
		if (i && strcmp(ctl_commands[i].noun, ctl_commands[i - 1].noun) &&
		    (*ctl_commands[i].verb || *ctl_commands[i - 1].verb))
			fprintf(out, "\n");
		if (!command_hidden(&ctl_commands[i]))
			command_line(out, &ctl_commands[i]);
	}
	fprintf(out, "Options of every command:\n");
	for (size_t i = 0; i < OPT_NUMBER_MAX; i++)
		if (ctl_option_rows[i].global)
			option_line(out, &ctl_option_rows[i]);
	fprintf(out, "\n'clusterctl help COMMAND' or 'clusterctl COMMAND --help' tells more; the manual is clusterctl(8).\n");
}

void ctl_help_noun(FILE *out, const char *noun)
{
	fprintf(out, "usage: clusterctl %s COMMAND [ARGUMENT...] [OPTION...]\n\n", noun);
	for (size_t i = 0; i < ctl_command_count; i++)
		if (!strcmp(ctl_commands[i].noun, noun))
			command_line(out, &ctl_commands[i]);
}

static void fields_help(FILE *out, const struct object_type *type)
{
	fprintf(out, "\nFields:\n");
	for (size_t i = 0; i < type->n_fields; i++)
		if (type->fields[i].flags & FIELD_FLAG_C)
			fprintf(out, "  %-20s  %s\n", type->fields[i].name, type->fields[i].help);
	for (size_t i = 0; type->kind == KIND_VOLUME && ctl_ownership_fields[i]; i++)
		fprintf(out, "  %-20s  %s\n", ctl_ownership_fields[i],
			object_field(object_type(KIND_ROLE), ctl_ownership_fields[i])->help);
	fprintf(out, "\nname=value sets a field; name+=value adds to a list, name-=value takes away from it.\n");
}

void ctl_help_command(FILE *out, const struct ctl_command *c)
{
	char text[128];
	bool any = false;

	fprintf(out, "usage: clusterctl %s [OPTION...]\n\n%s\n", command_spelled(c, text, sizeof(text)), c->help);
	if (strstr(c->args, "FIELD=VALUE"))
		fields_help(out, object_type(c->kind));
	for (size_t i = 0; i < OPT_NUMBER_MAX; i++) {
		if (!(c->options & 1u << i))
			continue;
		fprintf(out, "%s", any ? "" : "\nOptions:\n");
		any = true;
		option_line(out, &ctl_option_rows[i]);
	}
	fprintf(out, "\nOptions of every command:\n");
	for (size_t i = 0; i < OPT_NUMBER_MAX; i++)
		if (ctl_option_rows[i].global)
			option_line(out, &ctl_option_rows[i]);
}

int cmd_help(struct ctl *ctl)
{
	size_t found = 0;

	if (!ctl->argc) {
		ctl_help_overview(ctl->out);
		return EXIT_DONE;
	}
	for (size_t i = 0; i < ctl_command_count; i++) {
		const struct ctl_command *c = &ctl_commands[i];

		if (strcmp(c->noun, ctl->argv[0]))
			continue;
		found++;
		if (*c->verb ? ctl->argc > 1 && !strcmp(c->verb, ctl->argv[1]) : 1) {
			ctl_help_command(ctl->out, c);
			return EXIT_DONE;
		}
	}
	if (!found || ctl->argc > 1)
		return ctl_usage(ctl, "%s%s%s: no such command; 'clusterctl help' shows them", ctl->argv[0],
				 ctl->argc > 1 ? " " : "", ctl->argc > 1 ? ctl->argv[1] : "");
	ctl_help_noun(ctl->out, ctl->argv[0]);
	return EXIT_DONE;
}

/* --- completion: `clusterctl complete WORD...` prints what may stand in the place of the last word, one a line --- */

static void offer(struct ctl *ctl, const char *prefix, const char *word, const char *suffix)
{
	if (!strncmp(word, prefix, strlen(prefix)))
		fprintf(ctl->out, "%s%s\n", word, suffix);
}

static void offer_names(struct ctl *ctl, uint32_t kind, const char *prefix)
{
	const struct state *s = ctl->view.state;

	for (uint32_t id = 1; id <= s->high[kind]; id++)
		if (state_get(s, kind, id))
			offer(ctl, prefix, state_name(s, kind, id), "");
}

/* The view, silently: completion says nothing when there is no cluster. */
static bool view_quiet(struct ctl *ctl)
{
	FILE *err = ctl->err;
	int rc;

	if (ctl->view.state)
		return true;
	ctl->err = fopen("/dev/null", "w");
	if (!ctl->err) {
		ctl->err = err;
		return false;
	}
	ctl->timeout_s = 2;
	rc = ctl_view_load(ctl);
	fclose(ctl->err);
	ctl->err = err;
	return rc == 0;
}

/* "a,b,": does it have the name? */
static bool list_has_name(const char *list, size_t len, const char *name)
{
	for (const char *p = list, *end; p < list + len; p = end + 1) {
		end = p + strcspn(p, ",");
		if ((size_t)(end - p) == strlen(name) && !memcmp(p, name, strlen(name)))
			return true;
	}
	return false;
}

/* Names of objects after what is typed of an assignment; in a list, after its last comma, and not twice. */
static void offer_references(struct ctl *ctl, uint32_t kind, const char *assignment, size_t value)
{
	const char *comma = strrchr(assignment + value, ',');
	size_t keep = comma ? (size_t)(comma + 1 - assignment) : value;
	const struct state *s;
	char full[1024];

	if (!view_quiet(ctl))
		return;
	s = ctl->view.state;
	for (uint32_t id = 1; id <= s->high[kind]; id++) {
		if (!state_get(s, kind, id) || list_has_name(assignment + value, keep - value, state_name(s, kind, id)))
			continue;
		snprintf(full, sizeof(full), "%.*s%s", (int)keep, assignment, state_name(s, kind, id));
		offer(ctl, assignment, full, "");
	}
}

static uint32_t kind_referred(const struct field *f)
{
	switch (f->type) {
	case FIELD_NODEREF:
	case FIELD_NODESET:
	case FIELD_NODELIST: return KIND_NODE;
	case FIELD_ROLEREF:
	case FIELD_ROLELIST: return KIND_ROLE;
	case FIELD_SETLIST: return KIND_SET;
	case FIELD_VOLUMELIST:
	case FIELD_VOLUMESET: return KIND_VOLUME;
	case FIELD_DEPS: return KIND_RESOURCE;
	default: return 0;
	}
}

/* Values of `name=`: those of an enumeration, yes and no, or names. */
static void offer_values(struct ctl *ctl, const struct object_type *type, const char *assignment)
{
	char name[64], full[160];
	size_t n = strcspn(assignment, "=+-");
	size_t op = strspn(assignment + n, "+-=");
	const struct field *f;

	text_copy_n(name, sizeof(name), assignment, n);
	f = object_field(type, name);
	if (!f && type->kind == KIND_VOLUME && ctl_is_ownership_field(name, n))
		f = object_field(object_type(KIND_ROLE), name);
	if (!f)
		return;
	if (kind_referred(f))
		offer_references(ctl, kind_referred(f), assignment, n + op);
	if (f->type == FIELD_BOOL)
		for (int i = 0; i < 2; i++) {
			snprintf(full, sizeof(full), "%.*s%s", (int)(n + op), assignment, i ? "no" : "yes");
			offer(ctl, assignment, full, "");
		}
	for (const struct enum_value *v = f->values; v && v->text; v++) {
		snprintf(full, sizeof(full), "%.*s%s", (int)(n + op), assignment, v->text);
		offer(ctl, assignment, full, "");
	}
}

static void offer_word(struct ctl *ctl, const struct ctl_command *c, const struct ctl_word *w, const char *prefix)
{
	static const struct { const char *word; uint8_t kind; } names[] = {
		{ "NODE", KIND_NODE }, { "ROLE", KIND_ROLE }, { "RESOURCE", KIND_RESOURCE }, { "RULE", KIND_RULE },
		{ "SET", KIND_SET }, { "NETWORK", KIND_NETWORK }, { "VOLUME", KIND_VOLUME },
	};
	const struct object_type *type = object_type(c ? c->kind : 0);

	for (size_t i = 0; i < ARRAY_SIZE(names); i++)
		if (!strcmp(w->name, names[i].word) && view_quiet(ctl))
			offer_names(ctl, names[i].kind, prefix);
	if (!strcmp(w->name, "AGENT"))
		ctl_agents_each(prefix, ctl->out);
	if (!strncmp(w->name, "FIELD=", 6) && type && strchr(prefix, '='))
		offer_values(ctl, type, prefix);
	else if (!strncmp(w->name, "FIELD=", 6) && type)
		for (size_t i = 0; i < type->n_fields; i++)
			if (type->fields[i].flags & FIELD_FLAG_C)
				offer(ctl, prefix, type->fields[i].name, "=");
	for (size_t i = 0; !strncmp(w->name, "FIELD=", 6) && type && type->kind == KIND_VOLUME && ctl_ownership_fields[i]; i++)
		if (!strchr(prefix, '='))
			offer(ctl, prefix, ctl_ownership_fields[i], "=");
	if (!strcmp(w->name, "on|off")) {
		offer(ctl, prefix, "on", "");
		offer(ctl, prefix, "off", "");
	}
	if (!strcmp(w->name, "COMMAND"))
		for (size_t i = 0; i < ctl_command_count; i++)
			if (!i || strcmp(ctl_commands[i].noun, ctl_commands[i - 1].noun))
				offer(ctl, prefix, ctl_commands[i].noun, "");
}

/* The agent's own parameters: of the agent on the command line, or of the resource's. */
static void offer_params(struct ctl *ctl, const struct ctl_command *c, const char *const *words, int n, const char *prefix)
{
	const char *agent = NULL;
	uint32_t id;

	if (!strncmp(c->args, "ROLE NAME AGENT", 15)) {
		agent = n > 2 ? words[2] : NULL;
	} else if (n && view_quiet(ctl)) {
		id = state_find(ctl->view.state, KIND_RESOURCE, words[0]);
		agent = id ? ctl->view.state->resources[id].agent : NULL;
	}
	if (agent)
		ctl_agent_params(ctl, agent, prefix);
}

static void offer_options(struct ctl *ctl, const struct ctl_command *c, const char *prefix)
{
	for (size_t i = 0; i < OPT_NUMBER_MAX; i++) {
		char text[32];

		snprintf(text, sizeof(text), "--%s", ctl_option_rows[i].name);
		if (ctl_option_rows[i].global || (c && (c->options & 1u << i)))
			offer(ctl, prefix, text, "");
	}
}

/* Removes options and their values from the words typed so far; the last word stays. *ret_dashes: it is after a lone --. */
static int words_only(struct ctl *ctl, bool *ret_dashes)
{
	int n = 0;

	*ret_dashes = false;
	for (int i = 0; i < ctl->argc; i++) {
		const char *word = ctl->argv[i];
		bool takes = false;

		if (i + 1 < ctl->argc && !strcmp(word, "--") && !*ret_dashes) {
			*ret_dashes = true;
			continue;
		}
		if (i + 1 < ctl->argc && word[0] == '-' && !*ret_dashes) {
			for (size_t o = 0; o < OPT_NUMBER_MAX; o++)
				takes |= ctl_option_rows[o].arg && word[1] == '-' && !strcmp(word + 2, ctl_option_rows[o].name);
			if (takes && i + 2 < ctl->argc)
				i++;
			continue;
		}
		ctl->argv[n++] = word;
	}
	return n;
}

static const struct ctl_command *command_of(struct ctl *ctl, int n, int *ret_words)
{
	for (size_t i = 0; i < ctl_command_count; i++) {
		const struct ctl_command *c = &ctl_commands[i];
		int words = *c->verb ? 2 : 1;

		if (n > words && !strcmp(c->noun, ctl->argv[0]) && (words == 1 || !strcmp(c->verb, ctl->argv[1]))) {
			*ret_words = words;
			return c;
		}
	}
	return NULL;
}

int cmd_complete(struct ctl *ctl)
{
	bool dashes;
	int n = words_only(ctl, &dashes), words = 0, at = 0;
	const char *prefix = n ? ctl->argv[n - 1] : "";
	const struct ctl_command *c = command_of(ctl, n, &words);
	struct ctl_word w;

	if (dashes) {
		if (c && strstr(c->args, "-- PARAM"))
			offer_params(ctl, c, ctl->argv + words, n - words, prefix);
		return EXIT_DONE;
	}
	if (prefix[0] == '-') {
		offer_options(ctl, c, prefix);
		return EXIT_DONE;
	}
	for (size_t i = 0; !c && i < ctl_command_count; i++) {
		if (n <= 1 && (!i || strcmp(ctl_commands[i].noun, ctl_commands[i - 1].noun)) && !command_hidden(&ctl_commands[i]))
			offer(ctl, prefix, ctl_commands[i].noun, "");
		else if (n == 2 && !strcmp(ctl_commands[i].noun, ctl->argv[0]))
			offer(ctl, prefix, ctl_commands[i].verb, "");
	}
	for (const char *args = c ? c->args : ""; c && ctl_word_next(&args, &w); at++)
		if (words + at == n - 1 || (w.repeats && words + at < n - 1))
			offer_word(ctl, c, &w, prefix);
	return EXIT_DONE;
}
