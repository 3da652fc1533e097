/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The command line of clusterctl, read against the tables of commands and options. */
#include <errno.h>
#include <locale.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "clusterd/ctl/ctl.h"
#include "clusterd/ctl/ctl_link.h"
#include "proto/volume.h"
#include "text.h"

const struct ctl_option ctl_option_rows[OPT_NUMBER_MAX] = {
#define CTL_FLAG(member, name, letter, global, help) { name, letter, global, NULL, help, offsetof(struct ctl_options, member) },
#define CTL_VALUE(member, name, letter, global, arg, help) \
	{ name, letter, global, arg, help, offsetof(struct ctl_options, member) },
#include "clusterd/ctl/ctl_options.def"
};

const struct ctl_command ctl_commands[] = {
#define COMMAND(noun, verb, args, options, needs, handler, kind, help) { noun, verb, args, options, needs, handler, kind, help },
#include "clusterd/ctl/commands.def"
#undef COMMAND
};
const size_t ctl_command_count = ARRAY_SIZE(ctl_commands);

bool ctl_word_next(const char **args, struct ctl_word *ret)
{
	const char *p = *args + strspn(*args, " ");
	size_t n;

	memset(ret, 0, sizeof(*ret));
	if (!strncmp(p, "-- ", 3)) {
		ret->after_dashes = ret->optional = true;
		p += 3;
	}
	if (!*p)
		return false;
	if (*p == '[') {
		ret->optional = true;
		p++;
	}
	n = strcspn(p, " .]");
	text_copy_n(ret->name, sizeof(ret->name), p, n);
	ret->repeats = !strncmp(p + n, "...", 3);
	*args = p + strcspn(p, " ");
	return true;
}

/* How many words the command takes: at least, at most (INT32_MAX: any), and whether some may follow "--". */
static void words_bounds(const char *args, int *ret_min, int *ret_max, bool *ret_dashes)
{
	struct ctl_word w;

	*ret_min = *ret_max = 0;
	*ret_dashes = false;
	while (ctl_word_next(&args, &w)) {
		if (w.after_dashes) {
			*ret_dashes = true;
			continue;
		}
		*ret_min += !w.optional;
		if (w.repeats)
			*ret_max = INT32_MAX;
		else if (*ret_max < INT32_MAX)
			(*ret_max)++;
	}
}

static const struct ctl_option *option_by_name(const char *name, size_t len)
{
	for (size_t i = 0; i < OPT_NUMBER_MAX; i++)
		if (strlen(ctl_option_rows[i].name) == len && !memcmp(ctl_option_rows[i].name, name, len))
			return &ctl_option_rows[i];
	return NULL;
}

static const struct ctl_option *option_by_letter(char letter)
{
	for (size_t i = 0; i < OPT_NUMBER_MAX; i++)
		if (ctl_option_rows[i].letter && ctl_option_rows[i].letter == letter)
			return &ctl_option_rows[i];
	return NULL;
}

static int option_unknown(struct ctl *ctl, const char *word)
{
	struct ctl_nearest n = { .word = word + strspn(word, "-") };

	for (size_t i = 0; i < OPT_NUMBER_MAX; i++)
		ctl_nearest_try(&n, ctl_option_rows[i].name);
	if (n.best)
		return ctl_usage(ctl, "%s: no such option; did you mean --%s?", word, n.best);
	return ctl_usage(ctl, "%s: no such option; 'clusterctl help' shows them", word);
}

static int option_set(struct ctl *ctl, const struct ctl_option *o, const char *value, uint32_t *seen)
{
	char *at = (char *)&ctl->options + o->offset;

	if (o->arg)
		memcpy(at, &value, sizeof(value));
	else
		*(bool *)at = true;
	*seen |= 1u << (o - ctl_option_rows);
	return -1;
}

/* One word that begins with '-'; may take the next one. -1: go on. */
static int option_parse(struct ctl *ctl, int argc, char **argv, int *i, uint32_t *seen)
{
	const char *word = argv[*i], *value = NULL;
	const struct ctl_option *o;

	if (word[1] == '-') {
		size_t len = strcspn(word + 2, "=");

		o = option_by_name(word + 2, len);
		if (o && word[2 + len] == '=') {
			if (!o->arg)
				return ctl_usage(ctl, "--%s takes no value", o->name);
			value = word + 3 + len;
		}
	} else {
		o = option_by_letter(word[1]);
		if (o && word[2]) {
			if (!o->arg)
				return ctl_usage(ctl, "%s: write short options one by one", word);
			value = word + 2;
		}
	}
	if (!o)
		return option_unknown(ctl, word);
	if (o->arg && !value) {
		if (*i + 1 >= argc)
			return ctl_usage(ctl, "--%s wants a value: --%s %s", o->name, o->name, o->arg);
		value = argv[++*i];
	}
	return option_set(ctl, o, value, seen);
}

/* Splits options from words. -1: go on. */
static int split(struct ctl *ctl, int argc, char **argv, uint32_t *seen)
{
	bool dashes = false;

	for (int i = 1; i < argc; i++) {
		int rc = -1;

		if (ctl->argc >= CTL_ARGS_MAX || ctl->n_params >= CTL_ARGS_MAX)
			return ctl_usage(ctl, "more than %d words on the command line", CTL_ARGS_MAX);
		if (dashes)
			ctl->params[ctl->n_params++] = argv[i];
		else if (!strcmp(argv[i], "--"))
			dashes = true;
		else if (argv[i][0] == '-' && argv[i][1])
			rc = option_parse(ctl, argc, argv, &i, seen);
		else
			ctl->argv[ctl->argc++] = argv[i];
		if (rc >= 0)
			return rc;
		if (ctl->argc == 1 && !strcmp(ctl->argv[0], "complete")) { /* its words are somebody else's options */
			while (++i < argc && ctl->argc < CTL_ARGS_MAX)
				ctl->argv[ctl->argc++] = argv[i];
			break;
		}
	}
	if (dashes && ctl->argc == 0)
		return ctl_usage(ctl, "what stands before '--'? 'clusterctl help' shows the commands");
	return -1;
}

static int command_unknown(struct ctl *ctl, const char *noun, const char *verb)
{
	struct ctl_nearest n = { .word = verb ? verb : noun };
	bool noun_known = false;

	for (size_t i = 0; i < ctl_command_count; i++)
		noun_known |= !strcmp(ctl_commands[i].noun, noun);
	n.word = noun_known ? verb : noun;
	for (size_t i = 0; i < ctl_command_count && n.word; i++)
		if (!noun_known)
			ctl_nearest_try(&n, ctl_commands[i].noun);
		else if (!strcmp(ctl_commands[i].noun, noun))
			ctl_nearest_try(&n, ctl_commands[i].verb);
	if (noun_known && !verb) {
		ctl_help_noun(ctl->err, noun);
		return EXIT_USAGE;
	}
	if (n.best)
		return ctl_usage(ctl, "%s%s%s: no such command; did you mean '%s%s%s'?", noun, noun_known ? " " : "",
				 noun_known ? verb : "", noun_known ? noun : "", noun_known ? " " : "", n.best);
	return ctl_usage(ctl, "%s%s%s: no such command; 'clusterctl help%s%s' shows them", noun, noun_known ? " " : "",
			 noun_known ? verb : "", noun_known ? " " : "", noun_known ? noun : "");
}

/* Finds the command and takes its words off argv. -1: go on. */
static int command_find(struct ctl *ctl)
{
	const char *noun = ctl->argv[0], *verb = ctl->argc > 1 ? ctl->argv[1] : NULL;

	for (size_t i = 0; i < ctl_command_count; i++) {
		const struct ctl_command *c = &ctl_commands[i];
		int words = *c->verb ? 2 : 1;

		if (strcmp(c->noun, noun) || (*c->verb && (!verb || strcmp(c->verb, verb))))
			continue;
		ctl->command = c;
		ctl->argc -= words;
		memmove(ctl->argv, ctl->argv + words, (size_t)ctl->argc * sizeof(ctl->argv[0]));
		return -1;
	}
	if (ctl->options.help) {
		ctl_help_noun(ctl->out, noun);
		return EXIT_DONE;
	}
	return command_unknown(ctl, noun, verb);
}

static int words_check(struct ctl *ctl)
{
	const struct ctl_command *c = ctl->command;
	int min, max;
	bool dashes;

	words_bounds(c->args, &min, &max, &dashes);
	if (ctl->argc >= min && ctl->argc <= max && (dashes || !ctl->n_params))
		return -1;
	return ctl_usage(ctl, "%s; usage: clusterctl %s%s%s%s%s",
			 ctl->argc < min ? "something is missing" :
			 ctl->argc > max ? "there is a word too many" : "it takes nothing after '--'",
			 c->noun, *c->verb ? " " : "", c->verb, *c->args ? " " : "", c->args);
}

static int number_parse(struct ctl *ctl, const char *option, const char *text, uint64_t max, uint64_t *ret)
{
	char *end;

	errno = 0;
	*ret = strtoull(text, &end, 10);
	if (errno || end == text || *end || text[0] == '-' || *ret > max)
		return ctl_usage(ctl, "--%s %s: it wants a whole number from 0 to %llu", option, text, (unsigned long long)max);
	return -1;
}

/* At least one, at most `max`. */
static int seconds_parse(struct ctl *ctl, const char *option, const char *text, uint32_t max, uint32_t *ret)
{
	uint64_t v = 0;
	int rc = text ? number_parse(ctl, option, text, max, &v) : -1;

	*ret = (uint32_t)v;
	return rc < 0 && text && !v ? ctl_usage(ctl, "--%s 0: one second at least", option) : rc;
}

static int values_parse(struct ctl *ctl)
{
	uint64_t v;
	int rc = -1;

	ctl->timeout_s = CTL_TIMEOUT_S;
	ctl->lines = CTL_LINES;
	if (ctl->options.timeout) {
		rc = number_parse(ctl, "timeout", ctl->options.timeout, CTL_TIMEOUT_MAX_S, &v);
		ctl->timeout_s = (uint32_t)v;
	}
	if (rc < 0 && ctl->options.lines) {
		rc = number_parse(ctl, "lines", ctl->options.lines, UINT32_MAX, &v);
		ctl->lines = (uint32_t)v;
		if (rc < 0 && !v)
			rc = ctl_usage(ctl, "--lines 0: at least one");
	}
	if (rc < 0 && ctl->options.since)
		rc = number_parse(ctl, "since", ctl->options.since, UINT64_MAX, &ctl->since);
	if (rc < 0)
		rc = seconds_parse(ctl, "interval", ctl->options.interval, CTL_INTERVAL_MAX_S, &ctl->interval_s);
	if (rc < 0)
		rc = seconds_parse(ctl, "for", ctl->options.most, FREEZE_MAX_MS / MS_PER_SECOND, &ctl->most_s);
	return rc;
}

int ctl_args_parse(struct ctl *ctl, int argc, char **argv)
{
	uint32_t seen = 0;
	int rc = split(ctl, argc, argv, &seen);

	if (rc >= 0)
		return rc;
	if (ctl->argc == 0) {
		ctl_help_overview(ctl->options.help ? ctl->out : ctl->err);
		return ctl->options.help ? EXIT_DONE : EXIT_USAGE;
	}
	rc = command_find(ctl);
	if (rc >= 0)
		return rc;
	if (ctl->options.help) {
		ctl_help_command(ctl->out, ctl->command);
		return EXIT_DONE;
	}
	for (size_t i = 0; i < OPT_NUMBER_MAX; i++)
		if ((seen & 1u << i) && !ctl_option_rows[i].global && !(ctl->command->options & 1u << i))
			return ctl_usage(ctl, "--%s: '%s%s%s' does not take it; 'clusterctl help %s%s%s' shows what it takes",
					 ctl_option_rows[i].name, ctl->command->noun, *ctl->command->verb ? " " : "",
					 ctl->command->verb, ctl->command->noun, *ctl->command->verb ? " " : "",
					 ctl->command->verb);
	if (ctl->options.state && (ctl->command->options & OPT_BIT(dry_run)) && !ctl->options.dry_run)
		return ctl_usage(ctl, "--state: a saved state cannot be changed; with --dry-run you see what would happen");
	rc = words_check(ctl);
	return rc >= 0 ? rc : values_parse(ctl);
}

static int run(struct ctl *ctl)
{
	enum ctl_needs needs = ctl->command->needs;
	int rc = 0;

	if (needs == CHANGE)
		needs = ctl_change_looks(ctl) ? VIEW : LINK;
	if (needs == LINK)
		rc = ctl_connect(ctl);
	else if (needs == VIEW)
		rc = ctl_view_load(ctl);
	if (!rc)
		rc = ctl->command->run(ctl);
	return rc;
}

int ctl_main(int argc, char **argv, FILE *out, FILE *err)
{
	struct ctl *ctl = calloc(1, sizeof(*ctl));
	int rc;

	if (!ctl) {
		fprintf(err, "clusterctl: no memory\n");
		return EXIT_UNREACHABLE;
	}
	ctl->out = out;
	ctl->err = err;
	rc = ctl_args_parse(ctl, argc, argv);
	if (rc < 0) {
		ctl->color = isatty(fileno(out)) && !ctl->options.no_color && !getenv("NO_COLOR") && !ctl->options.json;
		rc = run(ctl);
	}
	if (fflush(out) && rc == EXIT_DONE) {
		fprintf(err, "clusterctl: standard output: %s\n", strerror(errno));
		rc = refusal_exit_code(REFUSED_IO);
	}
	ctl_link_close(ctl->link);
	ctl_state_free(ctl->view.state);
	free(ctl);
	return rc;
}
