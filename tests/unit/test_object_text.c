/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Field values as people write them: what is read, what is printed, what is refused and in which words. */
#include "proto/object_text.h"

#include "tests/lib/check.h"

/* Node N is called nN, role N rN, resource N xN, set N sN: 1 to 99 of each exist, 1 to 63 nodes. */
static const char letters[] = { [KIND_NODE] = 'n', [KIND_ROLE] = 'r', [KIND_RESOURCE] = 'x', [KIND_SET] = 's' };

static uint32_t id_of(void *user, uint32_t kind, const char *name)
{
	uint32_t id = (uint32_t)atoi(name + 1);

	(void)user;
	return name[0] == letters[kind] && id <= (kind == KIND_NODE ? 63 : 200) ? id : 0;
}

static const char *name_of(void *user, uint32_t kind, uint32_t id)
{
	static char name[8][16];
	static unsigned int next;
	char *out = name[next++ % 8];

	(void)user;
	if (id > 200)
		return NULL;
	snprintf(out, sizeof(name[0]), "%c%u", letters[kind], id);
	return out;
}

static const struct name_resolver names = { id_of, name_of, NULL };
static union any_object object;
static char error[TEXT_SIZE];

static void begin(uint32_t kind)
{
	object_init(object_type(kind), &object, 1);
}

static int edit(uint32_t kind, const char *field, enum edit_how how, const char *text)
{
	const struct object_type *type = object_type(kind);

	return field_parse(type, object_field(type, field), &object, how, text, &names, error);
}

static const char *print(uint32_t kind, const char *field)
{
	static char out[FIELD_TEXT_MAX];

	REQUIRE(field_print(object_field(object_type(kind), field), &object, &names, out, sizeof(out)) >= 0);
	return out;
}

/* What is read prints as `printed` and reads back to the same. */
static void check_value(uint32_t kind, const char *field, const char *text, const char *printed)
{
	union any_object before;

	begin(kind);
	if (!CHECK_EQ(edit(kind, field, EDIT_SET, text), 0))
		fprintf(stderr, "\t%s=%s: %s\n", field, text, error);
	CHECK_STR(print(kind, field), printed);
	before = object;
	CHECK_EQ(edit(kind, field, EDIT_SET, printed), 0);
	CHECK_MEM(&object, &before, object_type(kind)->size);
}

static void check_refused(uint32_t kind, const char *field, enum edit_how how, const char *text, int rc,
			  const char *says)
{
	union any_object before = object;

	if (!CHECK_EQ(edit(kind, field, how, text), rc))
		fprintf(stderr, "\t%s %d %s\n", field, how, text);
	CHECK_CONTAINS(error, says);
	CHECK_CONTAINS(error, field);
	CHECK_MEM(&object, &before, object_type(kind)->size);
}

static void test_numbers(void)
{
	check_value(KIND_ROLE, "threshold", "0", "0");
	check_value(KIND_ROLE, "threshold", "007", "7");
	check_value(KIND_ROLE, "maintenance", "on", "yes");
	check_value(KIND_ROLE, "maintenance", "0", "no");
	check_value(KIND_ROLE, "maintenance", "true", "yes");
	check_value(KIND_ROLE, "priority", "no-autostart", "no-autostart");
	check_value(KIND_NODE, "incarnation", "18446744073709551615", "18446744073709551615");
	begin(KIND_ROLE);
	check_refused(KIND_ROLE, "threshold", EDIT_SET, "1001", -EINVAL, "0 to 1000 are allowed");
	check_refused(KIND_ROLE, "threshold", EDIT_SET, "99999999999999999999", -EINVAL, "out of range");
	check_refused(KIND_ROLE, "threshold", EDIT_SET, "-1", -EINVAL, "not a number");
	check_refused(KIND_ROLE, "threshold", EDIT_SET, "", -EINVAL, "not a number");
	check_refused(KIND_ROLE, "threshold", EDIT_SET, "1x", -EINVAL, "not a number");
	check_refused(KIND_ROLE, "threshold", EDIT_ADD, "1", -EINVAL, "is one value");
	check_refused(KIND_ROLE, "maintenance", EDIT_SET, "maybe", -EINVAL, "neither yes nor no");
	check_refused(KIND_ROLE, "priority", EDIT_SET, "urgent", -EINVAL, "no-autostart, low, medium, high");
}

static void test_durations(void)
{
	check_value(KIND_RESOURCE, "monitor_interval", "0", "0s");
	check_value(KIND_RESOURCE, "monitor_interval", "250ms", "250ms");
	check_value(KIND_RESOURCE, "monitor_interval", "30s", "30s");
	check_value(KIND_RESOURCE, "monitor_interval", "5min", "5min");
	check_value(KIND_RESOURCE, "monitor_interval", "5m", "5min"); /* as clusterd.conf takes it, too */
	check_value(KIND_CLUSTER, "utc_offset", "+00:00", "+00:00");
	check_value(KIND_CLUSTER, "utc_offset", "-05:30", "-05:30");
	check_value(KIND_CLUSTER, "utc_offset", "+14:00", "+14:00");
	check_value(KIND_RESOURCE, "monitor_interval", "120min", "2h");
	check_value(KIND_RESOURCE, "monitor_interval", "1d", "1d");
	check_value(KIND_RESOURCE, "monitor_interval", "90000ms", "90s");
	begin(KIND_RESOURCE);
	check_refused(KIND_RESOURCE, "monitor_interval", EDIT_SET, "30", -EINVAL, "as 30s");
	begin(KIND_CLUSTER);
	check_refused(KIND_CLUSTER, "utc_offset", EDIT_SET, "+14:01", -EINVAL, "-12:00 to +14:00 are allowed");
	check_refused(KIND_CLUSTER, "utc_offset", EDIT_SET, "-12:01", -EINVAL, "-12:00 to +14:00 are allowed");
	check_refused(KIND_CLUSTER, "utc_offset", EDIT_SET, "-99:59", -EINVAL, "-12:00 to +14:00 are allowed");
	check_refused(KIND_CLUSTER, "utc_offset", EDIT_SET, "+2", -EINVAL, "write +02:00 or -05:30");
	check_refused(KIND_CLUSTER, "utc_offset", EDIT_SET, "+02:60", -EINVAL, "write +02:00 or -05:30");
	check_refused(KIND_CLUSTER, "utc_offset", EDIT_SET, "+02:00x", -EINVAL, "write +02:00 or -05:30");
	check_refused(KIND_RESOURCE, "monitor_interval", EDIT_SET, "5 min", -EINVAL, "not a duration");
	check_refused(KIND_RESOURCE, "monitor_interval", EDIT_SET, "s", -EINVAL, "not a duration");
	check_refused(KIND_RESOURCE, "monitor_interval", EDIT_SET, "", -EINVAL, "not a duration");
	check_refused(KIND_RESOURCE, "monitor_interval", EDIT_SET, "2d", -EINVAL, "0s to 1d are allowed");
	check_refused(KIND_RESOURCE, "monitor_interval", EDIT_SET, "18446744073709551615d", -EINVAL, "out of range");
	check_refused(KIND_RESOURCE, "start_timeout", EDIT_SET, "999ms", -EINVAL, "1s to 1h");
}

static void test_times(void)
{
	check_value(KIND_NODE, "since", "never", "never");
	check_value(KIND_NODE, "since", "1970-01-01T00:00:00.001Z", "1970-01-01T00:00:00.001Z");
	check_value(KIND_NODE, "since", "2024-02-29T23:59:59.999Z", "2024-02-29T23:59:59.999Z");
	CHECK_EQ(object.node.since_ms, 1709251199999);
	check_value(KIND_NODE, "since", "2000-03-01T00:00:00.000Z", "2000-03-01T00:00:00.000Z");
	CHECK_EQ(object.node.since_ms, 951868800000);
	object.node.since_ms = UINT64_MAX;
	CHECK_STR(print(KIND_NODE, "since"), "584556019-04-03T14:25:51.615Z");
	check_value(KIND_NODE, "since", "584556019-04-03T14:25:51.615Z", "584556019-04-03T14:25:51.615Z");
	check_value(KIND_NODE, "unclean", "2026-01-31T12:00:00.000Z,2026-01-31T11:00:00.000Z",
		    "2026-01-31T12:00:00.000Z,2026-01-31T11:00:00.000Z");
	check_value(KIND_NODE, "unclean", "", "");
	begin(KIND_NODE);
	check_refused(KIND_NODE, "since", EDIT_SET, "2026-02-30T00:00:00.000Z", -EINVAL, "not a time");
	check_refused(KIND_NODE, "since", EDIT_SET, "2026-01-31 12:00:00", -EINVAL, "not a time");
	check_refused(KIND_NODE, "since", EDIT_SET, "1969-12-31T23:59:59.999Z", -EINVAL, "not a time");
	check_refused(KIND_NODE, "unclean", EDIT_SET, "never", -EINVAL, "up to 3 times");
}

static void test_texts(void)
{
	char longest[TEXT_SIZE + 1];

	check_value(KIND_NETWORK, "subnet", "10.0.0.0/24", "10.0.0.0/24");
	check_value(KIND_NETWORK, "subnet", "", "");
	check_value(KIND_NETWORK, "subnet", "gr\xc3\xbc\xc3\x9f \xf0\x9f\x98\x80",
		    "gr\xc3\xbc\xc3\x9f \xf0\x9f\x98\x80");
	check_value(KIND_RESOURCE, "agent", "ocf:heartbeat:IPaddr2", "ocf:heartbeat:IPaddr2");
	check_value(KIND_NODE, "site", "north", "north");
	memset(longest, 'x', sizeof(longest));
	longest[TEXT_SIZE] = '\0';
	begin(KIND_NETWORK);
	check_refused(KIND_NETWORK, "subnet", EDIT_SET, longest, -EINVAL, "at most 255");
	longest[TEXT_SIZE - 1] = '\0';
	CHECK_EQ(edit(KIND_NETWORK, "subnet", EDIT_SET, longest), 0);
	check_refused(KIND_NETWORK, "subnet", EDIT_SET, "a\nb", -EINVAL, "line break");
	check_refused(KIND_NETWORK, "subnet", EDIT_SET, "a\x1b[31m", -EINVAL, "control character");
	check_refused(KIND_NETWORK, "subnet", EDIT_SET, "a\x7f", -EINVAL, "control character");
	check_refused(KIND_NETWORK, "subnet", EDIT_SET, "\xc2\x85", -EINVAL, "control character");
	check_refused(KIND_NETWORK, "subnet", EDIT_SET, "\xc0\xaf", -EINVAL, "UTF-8");
	check_refused(KIND_NETWORK, "subnet", EDIT_SET, "\xed\xa0\x80", -EINVAL, "UTF-8");
	check_refused(KIND_NETWORK, "subnet", EDIT_SET, "\xe2\x82", -EINVAL, "UTF-8");
	begin(KIND_NODE);
	check_refused(KIND_NODE, "site", EDIT_SET, "two words", -EINVAL, "not a name");
	check_refused(KIND_NODE, "site", EDIT_SET, ":x", -EINVAL, "not a name");
	CHECK_EQ(name_check("a"), 0);
	CHECK_EQ(name_check("0a._-Z"), 0);
	CHECK_EQ(name_check(""), -EINVAL);
	CHECK_EQ(name_check(".a"), -EINVAL);
	CHECK_EQ(name_check("a/b"), -EINVAL);
	longest[NAME_SIZE] = '\0';
	CHECK_EQ(name_check(longest), -EINVAL);
	longest[NAME_SIZE - 1] = '\0';
	CHECK_EQ(name_check(longest), 0);
}

static void test_lists(void)
{
	check_value(KIND_ROLE, "possible", "n63, n2 ,n9", "n2,n9,n63");
	CHECK_EQ(object.role.possible, NODE_BIT(2) | NODE_BIT(9) | NODE_BIT(63));
	check_value(KIND_ROLE, "possible", "", "");
	check_value(KIND_ROLE, "preferred", "n3,n1,n2", "n3,n1,n2");
	CHECK_EQ(edit(KIND_ROLE, "preferred", EDIT_ADD, "n1,n9"), 0);
	CHECK_STR(print(KIND_ROLE, "preferred"), "n3,n1,n2,n9");
	CHECK_EQ(edit(KIND_ROLE, "preferred", EDIT_REMOVE, "n1,n3"), 0);
	CHECK_STR(print(KIND_ROLE, "preferred"), "n2,n9");
	check_refused(KIND_ROLE, "preferred", EDIT_REMOVE, "n1", -EINVAL, "'n1' is not in it");
	check_refused(KIND_ROLE, "preferred", EDIT_SET, "n1,n1", -EINVAL, "named twice");
	check_refused(KIND_ROLE, "preferred", EDIT_SET, "n1,", -EINVAL, "empty name");
	check_refused(KIND_ROLE, "preferred", EDIT_SET, ",n1", -EINVAL, "empty name");
	check_refused(KIND_ROLE, "preferred", EDIT_SET, "n1,n64", -ENOENT, "no node 'n64'");
	check_refused(KIND_ROLE, "preferred", EDIT_ADD, "\x1b", -ENOENT, "no node '?'");
	check_value(KIND_RULE, "roles", "r100,r5,r7", "r5,r7,r100");
	CHECK_EQ(object.rule.roles[0], 5);
	CHECK_EQ(edit(KIND_RULE, "roles", EDIT_ADD, "r6"), 0);
	CHECK_STR(print(KIND_RULE, "roles"), "r5,r6,r7,r100");
	check_value(KIND_SET, "after", "s8,s1", "s1,s8");
	check_refused(KIND_SET, "after", EDIT_ADD, "s2,s3,s4,s5,s6,s7,s9", -EINVAL, "at most 8");
	check_refused(KIND_SET, "after", EDIT_ADD, "s2,s3,s4,s5,s6,s7,s9,s10,s11", -EINVAL, "at most 8");
	check_value(KIND_RESOURCE, "role", "r12", "r12");
	check_refused(KIND_RESOURCE, "role", EDIT_SET, "", -EINVAL, "must name a role");
	check_value(KIND_CLUSTER, "lower_priority_node", "n4", "n4");
	check_value(KIND_CLUSTER, "lower_priority_node", "", "");
	object.cluster.lower_priority_node = 300;
	CHECK_STR(print(KIND_CLUSTER, "lower_priority_node"), "#300");
}

static void test_full_list(void)
{
	char text[FIELD_TEXT_MAX], out[FIELD_TEXT_MAX];
	const struct field *f = object_field(object_type(KIND_RULE), "roles");
	size_t n = 0;

	for (int i = 1; i <= ROLELIST_MAX; i++)
		n += (size_t)snprintf(text + n, sizeof(text) - n, "%sr%d", n ? "," : "", i);
	check_value(KIND_RULE, "roles", text, text);
	check_refused(KIND_RULE, "roles", EDIT_ADD, "r150", -EINVAL, "at most 128");
	CHECK_EQ(field_print(f, &object, &names, out, n), -E2BIG);
	CHECK_EQ(field_print(f, &object, &names, out, n + 1), (int)n);
	CHECK_EQ(field_print(f, &object, &names, out, 0), -E2BIG);
}

static void test_deps(void)
{
	check_value(KIND_RESOURCE, "depends", "x1,x2|x3", "x1,x2|x3");
	CHECK_EQ(edit(KIND_RESOURCE, "depends", EDIT_ADD, "x3|x2"), 0); /* the same term */
	CHECK_STR(print(KIND_RESOURCE, "depends"), "x1,x2|x3");
	CHECK_EQ(edit(KIND_RESOURCE, "depends", EDIT_ADD, "x4"), 0);
	CHECK_EQ(edit(KIND_RESOURCE, "depends", EDIT_REMOVE, "x3|x2"), 0);
	CHECK_STR(print(KIND_RESOURCE, "depends"), "x1,x4");
	check_refused(KIND_RESOURCE, "depends", EDIT_REMOVE, "x2", -EINVAL, "not among the dependencies");
	check_refused(KIND_RESOURCE, "depends", EDIT_SET, "x1|x1", -EINVAL, "named twice");
	check_refused(KIND_RESOURCE, "depends", EDIT_SET, "x1|x2|x3|x4|x5", -EINVAL, "at most 4");
	check_refused(KIND_RESOURCE, "depends", EDIT_SET, "x1,x2,x3,x4,x5,x6,x7,x8,x9", -EINVAL, "at most 8");
	check_refused(KIND_RESOURCE, "depends", EDIT_SET, "x1||x2", -EINVAL, "empty name");
	check_refused(KIND_RESOURCE, "depends", EDIT_SET, "x1,", -EINVAL, "empty name");
	check_refused(KIND_RESOURCE, "depends", EDIT_SET, "x999", -ENOENT, "no resource 'x999'");
	check_value(KIND_RESOURCE, "depends", "", "");
}

static void test_params(void)
{
	char big[PARAMS_SIZE];

	check_value(KIND_RESOURCE, "params", "nic=eth0\nip=10.0.0.1\n", "ip=10.0.0.1\nnic=eth0");
	CHECK_STR(object.resource.params, "ip=10.0.0.1\nnic=eth0\n");
	CHECK_EQ(edit(KIND_RESOURCE, "params", EDIT_ADD, "ip=10.0.0.2"), 0);
	CHECK_EQ(edit(KIND_RESOURCE, "params", EDIT_ADD, "iface=x=y z"), 0);
	CHECK_EQ(edit(KIND_RESOURCE, "params", EDIT_ADD, "i="), 0);
	CHECK_STR(object.resource.params, "i=\niface=x=y z\nip=10.0.0.2\nnic=eth0\n");
	CHECK_EQ(edit(KIND_RESOURCE, "params", EDIT_REMOVE, "ip"), 0);
	CHECK_STR(object.resource.params, "i=\niface=x=y z\nnic=eth0\n");
	check_refused(KIND_RESOURCE, "params", EDIT_REMOVE, "ip", -ENOENT, "no parameter 'ip'");
	check_refused(KIND_RESOURCE, "params", EDIT_REMOVE, "nic=eth0", -EINVAL, "name only");
	check_refused(KIND_RESOURCE, "params", EDIT_ADD, "nic", -EINVAL, "name=value");
	check_refused(KIND_RESOURCE, "params", EDIT_ADD, "=x", -EINVAL, "no name");
	check_refused(KIND_RESOURCE, "params", EDIT_ADD, "a b=x", -EINVAL, "'a b' is not the name");
	check_refused(KIND_RESOURCE, "params", EDIT_ADD, "a=x\nb=y", -EINVAL, "line break");
	check_refused(KIND_RESOURCE, "params", EDIT_ADD, "a=\t", -EINVAL, "control character");
	check_refused(KIND_RESOURCE, "params", EDIT_SET, "a=1\na=2", -EINVAL, "'a' is given twice");
	check_refused(KIND_RESOURCE, "params", EDIT_SET, "a=1\n\nb=2", -EINVAL, "name=value");
	memset(big, 'x', sizeof(big));
	big[1] = '=';
	big[PARAMS_SIZE - 1] = '\0';
	begin(KIND_RESOURCE);
	check_refused(KIND_RESOURCE, "params", EDIT_ADD, big, -EINVAL, "too long");
	big[PARAMS_SIZE - 2] = '\0';
	CHECK_EQ(edit(KIND_RESOURCE, "params", EDIT_ADD, big), 0);
	check_refused(KIND_RESOURCE, "params", EDIT_ADD, "y=", -EINVAL, "too long");
	CHECK_EQ(edit(KIND_RESOURCE, "params", EDIT_ADD, "x=short"), 0);
	CHECK_STR(object.resource.params, "x=short\n");
}

int main(void)
{
	test_numbers();
	test_durations();
	test_times();
	test_texts();
	test_lists();
	test_full_list();
	test_deps();
	test_params();
	return check_result();
}
