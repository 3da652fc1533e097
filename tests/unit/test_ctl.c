/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Parts of clusterctl: the command line's tables, near misses, widths, clean text, the limits of a change. */
#include "clusterd/ctl/ctl_change.h"
#include "clusterd/ctl/ctl_table.h"
#include "tests/lib/check.h"

static struct ctl ctl;

static void test_tables(void)
{
	for (size_t i = 0; i < ctl_command_count; i++) {
		const struct ctl_command *c = &ctl_commands[i];
		const char *args = c->args;
		struct ctl_word w;
		bool ended = false;

		CHECK(c->run != NULL && *c->help && strlen(c->noun));
		CHECK(!(c->options & OPT_BIT(state)) || c->needs >= VIEW);
		CHECK(!(c->options & OPT_BIT(dry_run)) || c->needs >= VIEW);
		CHECK(!strstr(c->args, "FIELD=VALUE") || object_type(c->kind));
		while (ctl_word_next(&args, &w)) {
			CHECK(*w.name && !strpbrk(w.name, "[]. "));
			CHECK(!ended || w.after_dashes); /* only the last word repeats */
			ended = w.repeats;
		}
		for (size_t k = i + 1; k < ctl_command_count; k++)
			CHECK(strcmp(c->noun, ctl_commands[k].noun) != 0 || strcmp(c->verb, ctl_commands[k].verb) != 0);
	}
	for (size_t i = 0; i < OPT_NUMBER_MAX; i++)
		for (size_t k = i + 1; k < OPT_NUMBER_MAX; k++)
			CHECK(!ctl_option_rows[i].letter || ctl_option_rows[i].letter != ctl_option_rows[k].letter);
}

static void test_words(void)
{
	const char *args = "ROLE [NODE] [FIELD=VALUE...] -- PARAM=VALUE...";
	struct ctl_word w;

	REQUIRE(ctl_word_next(&args, &w));
	CHECK_STR(w.name, "ROLE");
	CHECK(!w.optional && !w.repeats);
	REQUIRE(ctl_word_next(&args, &w));
	CHECK_STR(w.name, "NODE");
	CHECK(w.optional && !w.repeats);
	REQUIRE(ctl_word_next(&args, &w));
	CHECK_STR(w.name, "FIELD=VALUE");
	CHECK(w.optional && w.repeats && !w.after_dashes);
	REQUIRE(ctl_word_next(&args, &w));
	CHECK_STR(w.name, "PARAM=VALUE");
	CHECK(w.after_dashes && w.repeats);
	CHECK(!ctl_word_next(&args, &w));
}

static const char *nearest(const char *word, const char *a, const char *b)
{
	struct ctl_nearest n = { .word = word };

	ctl_nearest_try(&n, a);
	ctl_nearest_try(&n, b);
	return n.best;
}

static void test_nearest(void)
{
	char long_word[200];

	memset(long_word, 'x', sizeof(long_word) - 1);
	long_word[sizeof(long_word) - 1] = '\0';
	CHECK_STR(nearest("strat", "stop", "start"), "start");
	CHECK_STR(nearest("wbe", "web", "db"), "web");
	CHECK_STR(nearest("priorty", "preferred", "priority"), "priority");
	CHECK_STR(nearest("zzzz", "web", "db"), NULL);
	CHECK_STR(nearest("", "web", "db"), NULL);
	CHECK_STR(nearest(long_word, long_word, "db"), NULL);
}

static void test_text(void)
{
	char out[64];

	CHECK_EQ(ctl_width("abc"), 3);
	CHECK_EQ(ctl_width("grün"), 4);
	CHECK_EQ(ctl_width("e\xcc\x81"), 1);
	CHECK_EQ(ctl_width("日本"), 4);
	CHECK_EQ(ctl_width("\xff\xfe"), 2);
	CHECK_STR(ctl_clean("a\033[31mb\n\x7f", out, sizeof(out)), "a?[31mb ?");
	CHECK_STR(ctl_clean("\xc3\xbc\xc3", out, sizeof(out)), "\xc3\xbc?");
	CHECK_STR(ctl_clean("\xc2\x9b", out, sizeof(out)), "?");
	CHECK_EQ(strlen(ctl_clean("0123456789", out, 8)) < 8, 1);
}

static void test_table(void)
{
	static const char *const heads[] = { "NAME", ">COUNT", "TEXT", NULL };
	struct ctl_table *t = ctl_table_new(heads);
	char *text = NULL;
	size_t len = 0;
	FILE *f = open_memstream(&text, &len);

	REQUIRE(t && f);
	ctl_table_cell(t, TONE_GOOD, "grün");
	ctl_table_cell(t, TONE_PLAIN, "7");
	ctl_table_cell(t, TONE_PLAIN, "x");
	ctl_table_cell(t, TONE_PLAIN, "b");
	ctl_table_cell(t, TONE_PLAIN, "1234567");
	ctl_table_cell(t, TONE_PLAIN, "%s", "");
	ctl_table_print(t, f, false, 1);
	fclose(f);
	CHECK_STR(text, " NAME    COUNT  TEXT\n"
			" grün        7  x\n"
			" b     1234567\n");
	free(text);
}

/* Changes that do not fit into one frame become several, none of them too large. */
static void test_parts(void)
{
	struct ctl_change *c = ctl_change_new();
	char name[NAME_SIZE];

	REQUIRE(c);
	for (int i = 0; i < 2 * CHANGE_OPS_MAX + 1; i++) {
		snprintf(name, sizeof(name), "role%d", i);
		ctl_change_op(c, VERB_CREATE, KIND_ROLE, name, NULL);
		REQUIRE(!ctl_change_assign(&ctl, c, "priority=low"));
		REQUIRE(!ctl_change_put(&ctl, c));
	}
	CHECK_EQ(c->n_parts, 3);
	CHECK_EQ(c->n_ops, 2 * CHANGE_OPS_MAX + 1);
	for (size_t i = 0; i < c->n_parts; i++)
		CHECK(c->parts[i].len <= CTL_PART_SIZE);
	ctl_change_free(c);
}

static void test_assignments(void)
{
	struct ctl_change *c = ctl_change_new();

	REQUIRE(c);
	ctl_change_op(c, VERB_SET, KIND_RESOURCE, "r", NULL);
	CHECK(!ctl_change_assign(&ctl, c, "depends+=a|b"));
	CHECK_EQ(c->op.fields[0].how, EDIT_ADD);
	CHECK_STR(c->op.fields[0].value, "a|b");
	CHECK(!ctl_change_assign(&ctl, c, "params-=ip"));
	CHECK_EQ(c->op.fields[1].how, EDIT_REMOVE);
	CHECK(!ctl_change_assign(&ctl, c, "param.ip=a=b"));
	CHECK_EQ(c->op.fields[2].how, EDIT_ADD);
	CHECK_STR(c->op.fields[2].value, "ip=a=b");
	CHECK_EQ(ctl_change_assign(&ctl, c, "=x"), EXIT_USAGE);
	CHECK_EQ(ctl_change_assign(&ctl, c, "depends"), EXIT_USAGE);
	CHECK_EQ(ctl_change_assign(&ctl, c, "state=started"), EXIT_USAGE);
	CHECK_EQ(ctl_change_assign(&ctl, c, "name=x"), EXIT_USAGE);
	CHECK_EQ(c->op.n_fields, 3);
	ctl_change_free(c);
}

int main(void)
{
	ctl.out = stdout;
	ctl.err = fopen("/dev/null", "w");
	REQUIRE(ctl.err);
	test_tables();
	test_words();
	test_nearest();
	test_text();
	test_table();
	test_parts();
	test_assignments();
	fclose(ctl.err);
	return check_result();
}
