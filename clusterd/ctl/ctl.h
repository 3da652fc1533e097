/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * clusterctl: what its files share. A run parses the command line against commands.def, gets a view (the replicated
 * state and one node's own view of it, from a running clusterd or a saved file), and runs one handler, which returns
 * the program's exit code. All output goes to ctl->out and ctl->err.
 */
#ifndef CTL_CTL_H
#define CTL_CTL_H

#include <stdio.h>

#include <jansson.h>

#include "clusterd/core/change.h"
#include "clusterd/core/state.h"
#include "proto/message.h"
#include "proto/object_text.h"

#define CTL_SCHEMA 1             /* of --json; rises when a member changes its meaning or goes away */
#define CTL_TIMEOUT_S 60         /* default of --timeout */
#define CTL_TIMEOUT_MAX_S 604800
#define CTL_LINES 50             /* default of --lines */
#define CTL_INTERVAL_MAX_S 86400
#define CTL_ARGS_MAX 1024        /* words of one command line */
#define CTL_STATUS_ROLES 40      /* 'status' shows only the troubled ones of more roles than this */

enum ctl_exit {
#define CTL_EXIT(code, symbol, meaning) symbol = (code),
#include "clusterd/ctl/exits.def"
};

/* One bit an option. */
enum ctl_option_number {
#define CTL_FLAG(member, name, letter, global, help) OPT_NUMBER_##member,
#define CTL_VALUE(member, name, letter, global, arg, help) OPT_NUMBER_##member,
#include "clusterd/ctl/ctl_options.def"
	OPT_NUMBER_MAX
};
#define OPT_BIT(member) (1u << OPT_NUMBER_##member)
#define OPT_CHANGE (OPT_BIT(dry_run) | OPT_BIT(wait) | OPT_BIT(state))

struct ctl_options {
#define CTL_FLAG(member, name, letter, global, help) bool member;
#define CTL_VALUE(member, name, letter, global, arg, help) const char *member;
#include "clusterd/ctl/ctl_options.def"
};

struct ctl_option {
	const char *name;
	char letter;
	bool global;
	const char *arg; /* NULL: a flag */
	const char *help;
	size_t offset; /* in struct ctl_options */
};
extern const struct ctl_option ctl_option_rows[OPT_NUMBER_MAX];

enum ctl_needs { NOTHING, LINK, VIEW, CHANGE };

struct ctl;

struct ctl_command {
	const char *noun, *verb, *args;
	uint32_t options;
	enum ctl_needs needs;
	int (*run)(struct ctl *ctl);
	uint8_t kind;
	const char *help;
};
extern const struct ctl_command ctl_commands[];
extern const size_t ctl_command_count;

struct ctl_link;

/* The cluster as one node sees it, at one moment. */
struct ctl_view {
	struct state *state;
	struct msg_answer_status self;
	uint64_t taken_ms; /* wall clock, for "how long ago" */
	bool saved;        /* from a file: a state of the past */
};

struct ctl {
	const struct ctl_command *command;
	struct ctl_options options;
	int argc; /* words after the command */
	const char *argv[CTL_ARGS_MAX];
	uint8_t named[CTL_ARGS_MAX]; /* kind of the object that argv[i] was taken to be: ctl_known() */
	int n_params; /* words after a lone -- */
	const char *params[CTL_ARGS_MAX];
	uint32_t timeout_s, lines, interval_s, most_s;
	uint64_t since;
	bool color;
	FILE *out, *err;
	FILE *parts; /* where the parts of a long answer go; NULL: to out */
	struct ctl_link *link;
	struct ctl_view view;
	uint32_t asked_ms; /* of the long poll under way */
};

/* --- ctl_args.c: the command line --- */

/* Returns -1 to go on, else the exit code: `ctl` is filled from argv. */
int ctl_args_parse(struct ctl *ctl, int argc, char **argv);
/* Runs the program; the whole of main(). */
int ctl_main(int argc, char **argv, FILE *out, FILE *err);
/* One word of an ARGUMENTS text: its spelling without [] and ..., and how often it may come. */
struct ctl_word {
	char name[32];
	bool optional, repeats, after_dashes;
};
/* The next word of an ARGUMENTS text, false at the end. */
bool ctl_word_next(const char **args, struct ctl_word *ret);

/* --- ctl_help.c --- */

void ctl_help_overview(FILE *out);
void ctl_help_noun(FILE *out, const char *noun);
void ctl_help_command(FILE *out, const struct ctl_command *command);

/* --- ctl_error.c: every error names the object, what was tried, what to do --- */

/* Prints "clusterctl: …" (and the JSON error with --json) and returns `code`. */
int ctl_fail(struct ctl *ctl, int code, const char *name, const char *format, ...) __attribute__((format(printf, 4, 5)));
int ctl_usage(struct ctl *ctl, const char *format, ...) __attribute__((format(printf, 2, 3)));
int ctl_refused(struct ctl *ctl, enum refusal refusal, const char *detail);
int ctl_refused_by(struct ctl *ctl, const struct msg_answer *answer);
/* The object of this name, or 0 after saying that there is none, with the nearest name. */
uint32_t ctl_find(struct ctl *ctl, uint32_t kind, const char *name);
/*
 * The same for argv[i], true or false. Without a view the object is taken to be there: clusterd will know, and if not, its
 * refusal is put in ctl_find()'s words by ctl_unknown_say().
 */
bool ctl_known(struct ctl *ctl, uint32_t kind, int i);
/* clusterd does not know an object: true when that was one of ours, and is said. Fetches the view. */
bool ctl_unknown_say(struct ctl *ctl);
/* The nodes that the arguments name: 0 or an exit code. */
int ctl_find_nodes(struct ctl *ctl, nodeset_t *ret);
/* The nearest of the words added, NULL when none is near. */
struct ctl_nearest {
	const char *word;
	const char *best;
	unsigned int distance;
};
void ctl_nearest_try(struct ctl_nearest *n, const char *candidate);
/* Asks on a terminal; --yes answers. False (and a message) when it must not be done. */
bool ctl_confirm(struct ctl *ctl, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* --- ctl_view.c: the state --- */

/* 0, or an exit code after an error. Connects when needed. */
int ctl_connect(struct ctl *ctl);
int ctl_view_load(struct ctl *ctl);
/* Must a CHANGE command see the state before it asks for its change? The whole state is long in large clusters. */
bool ctl_change_looks(const struct ctl *ctl);
/* How long an answer that needs no other node may take. */
uint32_t ctl_patience(const struct ctl *ctl);
/* A second copy of what ctl->view has, to try things on; free with ctl_state_free(). NULL: no memory. */
struct state *ctl_state_copy(const struct state *from);
struct state *ctl_state_new(void);
void ctl_state_free(struct state *s);
#define CTL_STATE_FILE_MAX (256u << 20) /* bytes of a saved state */
int ctl_view_save(struct ctl *ctl, const char *path);
/* Waits until the state moved or the time is over, loads it anew: 0; -ETIMEDOUT; other negative errno after an error. */
int ctl_view_follow(struct ctl *ctl, uint32_t wait_ms);
/* The same in two halves; between them ctl_link_fd() may be waited for. */
int ctl_view_ask(struct ctl *ctl, uint32_t wait_ms);
int ctl_view_answer(struct ctl *ctl);
static inline const struct cluster *ctl_cluster(const struct ctl *ctl) { return &ctl->view.state->cluster; }
/* Known phases: "alone", "forming", "loading", "active", "no quorum". */
const char *ctl_phase_text(uint32_t phase);
const char *ctl_node_name(const struct ctl *ctl, uint32_t node); /* "-" for none */

/* --- ctl_format.c: values for people --- */

const char *ctl_since(const struct ctl *ctl, uint64_t at_ms, char out[32]); /* "3min" ago, "-" for never */
const char *ctl_time(uint64_t at_ms, char out[32]);
const char *ctl_nodes(const struct ctl *ctl, nodeset_t nodes, char *out, size_t size);
/* Field as text for people; `out` has FIELD_TEXT_MAX bytes. */
const char *ctl_field(const struct ctl *ctl, const struct field *field, const void *object, char *out);
/* State of a node in words: its state and what is asked of it. */
const char *ctl_node_state(const struct ctl *ctl, const struct node *n);
const char *ctl_role_state(const struct ctl *ctl, const struct role *r);
const char *ctl_role_reason(const struct ctl *ctl, const struct role *r, char *out, size_t size);
bool ctl_is_unit_ms(const struct field *field);

/* --- ctl_json.c --- */

json_t *ctl_json_object(const struct ctl *ctl, const struct object_type *type, const void *object);
json_t *ctl_json_all(const struct ctl *ctl, uint32_t kind);
/* An envelope with schema, cluster and tag; the caller adds its member and prints it. */
json_t *ctl_json_envelope(const struct ctl *ctl);
json_t *ctl_json_text(const char *text); /* what is not ASCII in a text that is not UTF-8 becomes '?' */
json_t *ctl_json_nodes(const struct ctl *ctl, nodeset_t nodes);
json_t *ctl_json_self(const struct ctl *ctl);
int ctl_json_print(struct ctl *ctl, json_t *steal);
const char *ctl_plural(uint32_t kind, char out[32]);

/* --- the commands: commands.def --- */
#define COMMAND(noun, verb, args, options, needs, handler, kind, help) int handler(struct ctl *ctl);
#include "clusterd/ctl/commands.def"
#undef COMMAND

#endif
