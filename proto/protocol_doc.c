/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Prints proto/PROTOCOL.md from the tables, so that the document cannot differ from the code. */
#include <stdio.h>
#include <string.h>

#include "proto/message.h"
#include "proto/object_text.h"
#include "proto/volume.h"

static const char intro[] = "# The protocol\n"
			    "\n"
			    "Made from `proto/*.def` by `proto/protocol_doc`; `make check` compares. Do not edit: "
			    "change the tables, then run\n"
			    "`proto/protocol_doc >$top_srcdir/proto/PROTOCOL.md` in the build directory.\n"
			    "\n"
			    "Nodes send each other *frames* in corosync's total order (CPG); clusterctl and clusterd "
			    "exchange the same frames\n"
			    "over a local socket. All numbers are little endian. Numbers of messages, fields, verbs "
			    "and values are never reused;\n"
			    "reserved bytes are zero; bytes after the last known field of a message come from a newer "
			    "peer and are ignored.\n"
			    "Golden bytes of everything below but shared volumes: `tests/golden/wire/`.\n"
			    "\n"
			    "## Frame\n"
			    "\n"
			    "| at | size | what |\n"
			    "|---|---|---|\n"
			    "| 0 | 4 | magic, `43 4c 44 31` (\"CLD1\") |\n"
			    "| 4 | 2 | version of the frame, 1 |\n"
			    "| 6 | 2 | type: number of the message |\n"
			    "| 8 | 4 | length of the body |\n"
			    "| 12 | 4 | reserved, zero |\n"
			    "| 16 | 8 | identity of the cluster, 0: the sender has none yet |\n"
			    "| 24 | 8 | view the frame was sent in |\n"
			    "| 32 | 8 | sender's wall clock, Unix milliseconds |\n"
			    "| 40 | 4 | CRC-32 (zlib) of the body |\n"
			    "| 44 | 4 | CRC-32 (zlib) of bytes 0 to 43 |\n"
			    "| 48 | | the body |\n"
			    "\n";

static const char message_types[] = "| type | on the wire |\n"
				    "|---|---|\n"
				    "| U8 U16 U32 U64 | 1, 2, 4, 8 bytes |\n"
				    "| NAME TEXT | u16 length and that many bytes, no NUL |\n"
				    "| BYTES | the rest of the body |\n"
				    "\n";

static const char object_intro[] =
	"## Objects\n"
	"\n"
	"The replicated state, in snapshots and in the database: u8 kind, u32 id, then for each field u16 number, u16 "
	"length and\n"
	"the bytes, numbers rising, closed by a number 0. A field that is zero or empty is left out, so that one state "
	"has one\n"
	"encoding; fields of a newer release are kept as they came. The digest of an object is XXH3 (64 bits, no seed) "
	"of its\n"
	"encoding, that of the state the sum of them.\n"
	"\n"
	"| type | on the wire |\n"
	"|---|---|\n"
	"| BOOL ENUM NODEREF | 1 byte |\n"
	"| ROLEREF | 2 bytes |\n"
	"| U32 MS | 4 bytes |\n"
	"| U64 TIME | 8 bytes; times are Unix milliseconds |\n"
	"| NODESET | 8 bytes, bit n is node n |\n"
	"| NAME TEXT | the bytes of the text |\n"
	"| PARAMS | lines `name=value\\n`, names rising |\n"
	"| NODELIST | a byte each, in order of preference |\n"
	"| ROLELIST SETLIST VOLUMELIST VOLUMESET | u16 each, rising |\n"
	"| TIMES | u64 each |\n"
	"| DEPS | per term u8 count, then u16 each: a term is an *or*, the terms an *and* |\n"
	"\n"
	"Set by: **K** when it is made or renamed, **C** people, **S** the cluster itself.\n"
	"\n";

static const char operation_intro[] = "## Operations of a change\n"
				      "\n"
				      "One after the other: u8 verb, u8 kind of object, u8 force (0 or 1), NAME name, "
				      "NAME arg, u8 n, then n times u16 number of a\n"
				      "field, u8 how (0 set, 1 add, 2 remove) and TEXT value, as people write it. All "
				      "of a change is applied, or nothing.\n"
				      "\n"
				      "| number | verb | what it does |\n"
				      "|---|---|---|\n";

/* A bar within a cell would end it. */
static void print_cell(const char *help)
{
	for (; *help; help++)
		printf("%s%c", *help == '|' ? "\\" : "", *help);
}

static void print_messages(void)
{
	printf("## Messages\n\n1 to 63 between nodes, 64 to 95 requests to clusterd, 96 to 127 its answers. Sequenced: "
	       "applying it\n"
	       "advances the tag of the state.\n\n%s",
	       message_types);
#define MESSAGE(number, symbol, name, sequenced, since, help)                                                        \
	printf("### %d %s%s\n\n%s. Since feature level %d.\n\n| field | type | |\n|---|---|---|\n", (number), #name, \
	       (sequenced) ? " (sequenced)" : "", (help), (since));
#define MFIELD(parent, type, member, help) printf("| %s | %s | %s |\n", #member, #type, (help));
#define MESSAGE_END(name) printf("\n");
#include "proto/messages.def"
#undef MESSAGE
#undef MFIELD
#undef MESSAGE_END
}

static const char *type_name(uint8_t type)
{
	static const char *const names[] = {
		[FIELD_NAME] = "NAME",
		[FIELD_TEXT] = "TEXT",
		[FIELD_PARAMS] = "PARAMS",
		[FIELD_U32] = "U32",
		[FIELD_U64] = "U64",
		[FIELD_BOOL] = "BOOL",
		[FIELD_MS] = "MS",
		[FIELD_ZONE] = "ZONE",
		[FIELD_TIME] = "TIME",
		[FIELD_ENUM] = "ENUM",
		[FIELD_NODEREF] = "NODEREF",
		[FIELD_ROLEREF] = "ROLEREF",
		[FIELD_NODESET] = "NODESET",
		[FIELD_NODELIST] = "NODELIST",
		[FIELD_ROLELIST] = "ROLELIST",
		[FIELD_SETLIST] = "SETLIST",
		[FIELD_VOLUMELIST] = "VOLUMELIST",
		[FIELD_VOLUMESET] = "VOLUMESET",
		[FIELD_DEPS] = "DEPS",
		[FIELD_TIMES] = "TIMES",
	};

	return names[type];
}

static void print_range(const struct field *f)
{
	switch (f->type) {
	case FIELD_U32:
	case FIELD_U64:
	case FIELD_MS:
	case FIELD_ZONE:
		if (f->max != UINT64_MAX)
			printf("%llu to %llu, ", (unsigned long long)f->min, (unsigned long long)f->max);
		printf("default %llu", (unsigned long long)f->def);
		break;
	case FIELD_BOOL:
		printf("default %llu", (unsigned long long)f->def);
		break;
	case FIELD_ENUM:
		for (const struct enum_value *v = f->values; v->text; v++)
			printf("%s%u %s", v == f->values ? "" : ", ", v->number, v->text);
		printf("; default %llu", (unsigned long long)f->def);
		break;
	default:
		break;
	}
}

static void print_objects(void)
{
	fputs(object_intro, stdout);
	for (uint32_t kind = KIND_CLUSTER; kind <= KIND_LAST; kind++) {
		const struct object_type *type = object_type(kind);

		printf("### %u %s\n\nIds 1 to %u.\n\n| number | field | type | set by | since | range | "
		       "|\n|---|---|---|---|---|---|---|\n",
		       kind, type->name, type->max);
		for (size_t i = 0; i < type->n_fields; i++) {
			const struct field *f = &type->fields[i];

			printf("| %u | %s | %s | %s | %u | ", f->number, f->name, type_name(f->type),
			       f->flags & FIELD_FLAG_K	 ? "K"
			       : f->flags & FIELD_FLAG_C ? "C"
							 : "S",
			       f->since);
			print_range(f);
			printf(" | ");
			print_cell(f->help);
			printf(" |\n");
		}
		printf("\n");
	}
}

static void print_operations(void)
{
	fputs(operation_intro, stdout);
#define VERB(number, symbol, name, help) printf("| %d | %s | %s |\n", (number), (name), (help));
#include "proto/changes.def"
#undef VERB
	printf("\n## Refusals\n\nFinal answers other than `done`, and the exit code clusterctl makes of each.\n\n"
	       "| number | name | exit code | |\n|---|---|---|---|\n");
#define REFUSAL(number, symbol, name, exit_code, text) \
	printf("| %d | %s | %d | %s |\n", (number), (name), (exit_code), (text));
#include "proto/refusals.def"
#undef REFUSAL
	printf("\n## Limits\n\n"
	       "Frame %d bytes, operations of a change %d, fields of an operation %d, value of a field %d bytes with "
	       "its NUL,\n"
	       "encoded object %d bytes, name %d and text %d bytes with their NUL.\n",
	       FRAME_MAX, CHANGE_OPS_MAX, OP_FIELDS_MAX, OP_VALUE_MAX, OBJECT_ENCODED_MAX, NAME_SIZE, TEXT_SIZE);
}

static const char volume_intro[] =
	"\n## Shared volumes\n"
	"\n"
	"Between `csvfs` and `csvfs-owner`, over TLS, and on their local control sockets. Frame:\n"
	"u32 magic `43 53 56 31` (\"CSV1\"), u16 version 1, u16 type, u32 length of the body, u32 errno of an answer\n"
	"(which has no body then), u64 number\n"
	"of the request, u64 lowest number still unanswered, u32 zero, u32 CRC-32 of bytes 0 to 35; then the body.\n"
	"Kind: **Q** question of the session, **A** answer of the owner, **O** question of the owner, **R** its answer.\n"
	"\n"
	"| type | on the wire |\n"
	"|---|---|\n"
	"| U8 U16 U32 U64 | 1, 2, 4, 8 bytes; times are nanoseconds since the epoch, two's complement |\n"
	"| FNAME TEXT | u16 length and that many bytes, no NUL; FNAME has no `/` and is not `.` or `..` |\n"
	"| FID | u8 length, u8 type, the bytes |\n"
	"| CRED | u32 uid, gid, umask, u16 n, n times u32 group |\n"
	"| ATTR | u64 ino, size, blocks of 512 bytes, rdev; u32 mode, nlink, uid, gid, blksize; u64 atime, mtime, ctime |\n"
	"| LATENCY | 24 times u64: how many took less than 2^k us and not less than half of that; the last: or longer |\n"
	"| BYTES | the rest of the body |\n"
	"\n";

static void print_volume(void)
{
	fputs(volume_intro, stdout);
#define VOL(number, symbol, name, kind, answer, help)                                                                     \
	printf("### %d %s (%s)\n\n%s.%s%s\n\n| field | type | |\n|---|---|---|\n", (number), #name, #kind, (help), \
	       (answer) ? " Answer: " : "", (answer) ? vol_name(answer) : "");
#define VFIELD(parent, type, member, help) printf("| %s | %s | %s |\n", #member, #type, (help));
#define VOL_END(name) printf("\n");
#include "proto/volume.def"
#undef VOL
#undef VFIELD
#undef VOL_END
	printf("Body %d bytes, read or write %d, file id %d, groups %d, name %d with its NUL.\n", VOL_BODY_MAX, VOL_IO_MAX,
	       VOL_FID_MAX, VOL_GROUPS_MAX, VOL_FNAME_SIZE);
}

int main(void)
{
	fputs(intro, stdout);
	print_messages();
	print_objects();
	print_operations();
	print_volume();
	return fflush(stdout) || ferror(stdout);
}
