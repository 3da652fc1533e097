/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Command line and output of csvfs-admin. */
#include <ctype.h>
#include <getopt.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "bounds.h"
#include "csvfs/admin/admin.h"
#include "units.h"

#define TIMEOUT_DEFAULT_MS (60u * MS_PER_SECOND)
#define TIMEOUT_MAX_S 86400u

struct command {
	const char *name, *args, *help;
	int min, max;
	int (*run)(struct admin *a);
};

#define ADMIN_COMMAND(name, min, max, args, fn, help) { name, args, help, min, max, fn },
static const struct command commands[] = {
#include "csvfs/admin/admin_commands.def"
};
#undef ADMIN_COMMAND

struct option_help {
	const char *name, *arg;
	int letter;
	const char *help;
};

static const struct option_help option_helps[] = {
	{ "filesystem", "TYPE", 't', "create: ext4 (the default) or xfs" },
	{ "label", "NAME", 'L', "create: name of the volume" },
	{ "quota", NULL, 'q', "create: keep and enforce quotas of users and groups" },
	{ "force", NULL, 'f', "create: on a device that carries something, which is lost" },
	{ "forget", NULL, 'F', "whoever the device says has the volume is surely stopped or fenced" },
	{ "repair", NULL, 'r', "check: replay the journal and mend what is wrong" },
	{ "timeout", "SECONDS", 'T', "wait so long for the answer of a socket (60)" },
	{ "json", NULL, 'j', "show the result as JSON" },
	{ "help", NULL, 'h', "show this" },
	{ "version", NULL, 'V', "show the version" },
};

int admin_fail(struct admin *a, int code, const char *format, ...)
{
	char text[1024];
	va_list args;

	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	fprintf(a->err, "csvfs-admin: %s\n", text);
	json_object_set_new(a->result, "error", json_string(text));
	return code;
}

bool admin_label_valid(const char *label)
{
	size_t n = strlen(label);

	if (!n || n >= NAME_SIZE || !isalnum((unsigned char)*label))
		return false;
	for (; *label; label++) {
		if (!isalnum((unsigned char)*label) && !strchr("_.-", *label))
			return false;
	}
	return true;
}

void admin_uuid_text(uint64_t hi, uint64_t lo, char out[ADMIN_UUID_SIZE])
{
	snprintf(out, ADMIN_UUID_SIZE, "%08x-%04x-%04x-%04x-%012" PRIx64, (unsigned int)(hi >> 32),
		 (unsigned int)(hi >> 16) & 0xffff, (unsigned int)hi & 0xffff, (unsigned int)(lo >> 48), lo & 0xffffffffffff);
}

static void usage(FILE *out)
{
	fprintf(out, "usage: csvfs-admin COMMAND [OPTION]... ARGUMENT...\n\n");
	for (size_t i = 0; i < ARRAY_SIZE(commands); i++)
		fprintf(out, "  %s %s\n      %s\n", commands[i].name, commands[i].args, commands[i].help);
	fprintf(out, "\n");
	for (size_t i = 0; i < ARRAY_SIZE(option_helps); i++) {
		const struct option_help *o = &option_helps[i];
		char head[64];

		snprintf(head, sizeof(head), "-%c, --%s %s", o->letter, o->name, o->arg ? o->arg : "");
		fprintf(out, "  %-26s %s\n", head, o->help);
	}
	fprintf(out, "\nSee csvfs-admin(8).\n");
}

/* --- output --- */

static void print_size(FILE *out, json_int_t bytes)
{
	static const char *const units[] = { "B", "KiB", "MiB", "GiB", "TiB", "PiB" };
	double v = (double)bytes;
	size_t i = 0;

	while (v >= 1024 && i + 1 < ARRAY_SIZE(units)) {
		v /= 1024;
		i++;
	}
	fprintf(out, i ? "%.1f %s (%" JSON_INTEGER_FORMAT " bytes)" : "%.0f %s", v, units[i], bytes);
}

static void print_value(FILE *out, const char *key, const json_t *value)
{
	size_t n = strlen(key);

	if (json_is_string(value))
		fprintf(out, "%s", json_string_value(value));
	else if (json_is_boolean(value))
		fprintf(out, "%s", json_is_true(value) ? "yes" : "no");
	else if (n > 6 && !strcmp(key + n - 6, "_bytes"))
		print_size(out, json_integer_value(value));
	else
		fprintf(out, "%" JSON_INTEGER_FORMAT, json_integer_value(value));
}

/* "key: value" lines; an object is its members in one line, a list one line each. */
static void print_lines(FILE *out, json_t *object, const char *separator)
{
	const char *key, *between = "";
	json_t *value;
	size_t i;

	json_object_foreach(object, key, value)
	{
		if (json_is_array(value)) {
			json_t *item;

			json_array_foreach(value, i, item)
			{
				fprintf(out, "%s: ", key);
				print_lines(out, item, ", ");
				fprintf(out, "\n");
			}
			continue;
		}
		fprintf(out, "%s%s: ", between, key);
		if (json_is_object(value))
			print_lines(out, value, ", ");
		else
			print_value(out, key, value);
		if (*separator == '\n')
			fprintf(out, "\n");
		else
			between = separator;
	}
}

static void show(struct admin *a)
{
	if (a->json) {
		json_dumpf(a->result, a->out, JSON_INDENT(2));
		fprintf(a->out, "\n");
		return;
	}
	json_object_del(a->result, "error");
	print_lines(a->out, a->result, "\n");
}

/* --- arguments --- */

static int bad_usage(struct admin *a, const char *what, const char *which)
{
	return admin_fail(a, ADMIN_USAGE, "%s%s; csvfs-admin --help shows what there is", what, which);
}

static const struct command *command_find(const char *name)
{
	for (size_t i = 0; i < ARRAY_SIZE(commands); i++) {
		if (!strcmp(commands[i].name, name))
			return &commands[i];
	}
	return NULL;
}

static int set_timeout(struct admin *a, const char *text)
{
	char *end;
	unsigned long v = strtoul(text, &end, 10);

	if (!isdigit((unsigned char)*text) || *end || !v || v > TIMEOUT_MAX_S)
		return bad_usage(a, "--timeout takes seconds, not ", text);
	a->timeout_ms = (uint32_t)v * MS_PER_SECOND;
	return ADMIN_OK;
}

static int set_option(struct admin *a, int letter)
{
	switch (letter) {
	case 't': a->filesystem = optarg; return ADMIN_OK;
	case 'L': a->label = optarg; return ADMIN_OK;
	case 'q': a->quota = true; return ADMIN_OK;
	case 'f': a->force = true; return ADMIN_OK;
	case 'F': a->forget = true; return ADMIN_OK;
	case 'r': a->repair = true; return ADMIN_OK;
	case 'j': a->json = true; return ADMIN_OK;
	case 'T': return set_timeout(a, optarg);
	default: return ADMIN_USAGE; /* getopt has said it */
	}
}

/* -1: go on; else the exit code. */
static int parse_options(struct admin *a, int argc, char **argv)
{
	struct option longs[ARRAY_SIZE(option_helps) + 1] = { 0 };
	char letters[3 * ARRAY_SIZE(option_helps) + 1], *p = letters;
	int letter, r;

	for (size_t i = 0; i < ARRAY_SIZE(option_helps); i++) {
		const struct option_help *o = &option_helps[i];

		longs[i] = (struct option){ o->name, o->arg ? required_argument : no_argument, NULL, o->letter };
		*p++ = (char)o->letter;
		if (o->arg)
			*p++ = ':';
	}
	*p = '\0';
	optind = 0; /* anew, for tests that call us twice */
	while ((letter = getopt_long(argc, argv, letters, longs, NULL)) != -1) {
		if (letter == 'h') {
			usage(a->out);
			return ADMIN_OK;
		}
		if (letter == 'V') {
			fprintf(a->out, "csvfs-admin %s\n", PACKAGE_VERSION);
			return ADMIN_OK;
		}
		r = set_option(a, letter);
		if (r)
			return r;
	}
	return -1;
}

static int run_command(struct admin *a, int argc, char **argv)
{
	const struct command *c;
	int code;

	if (optind >= argc)
		return bad_usage(a, "which command?", "");
	c = command_find(argv[optind]);
	if (!c)
		return bad_usage(a, "no such command: ", argv[optind]);
	a->n_args = argc - optind - 1;
	if (a->n_args < c->min || a->n_args > c->max)
		return admin_fail(a, ADMIN_USAGE, "usage: csvfs-admin %s %s", c->name, c->args);
	for (int i = 0; i < a->n_args; i++)
		a->args[i] = argv[optind + 1 + i];
	code = c->run(a);
	if (a->json || code == ADMIN_OK || code == ADMIN_UNCLEAN)
		show(a);
	return code;
}

int admin_main(int argc, char **argv, FILE *out, FILE *err)
{
	struct admin a = { .out = out, .err = err, .timeout_ms = TIMEOUT_DEFAULT_MS, .result = json_object() };
	int code;

	if (!a.result)
		return ADMIN_FAILED;
	code = parse_options(&a, argc, argv);
	if (code < 0)
		code = run_command(&a, argc, argv);
	json_decref(a.result);
	if (fflush(out) || ferror(out))
		return ADMIN_FAILED;
	return code;
}
