/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What csvfs keeps of attributes and names: an answer that was overtaken by a recall or by a change of the session's own is not
 * kept, nothing is told without a connection, and nothing outlives an owner. The owner here holds answers back to have them
 * overtaken.
 */
#include <fcntl.h>

#include "tests/unit/session_rig.h"

static const struct vol_fid directory = { .len = 4, .type = 1, .data = "dir" }, file = { .len = 4, .type = 1, .data = "one" },
			    other = { .len = 4, .type = 1, .data = "two" };

static struct owner {
	pthread_mutex_t lock;
	pthread_cond_t changed;
	struct link *links[LINKS]; /* [0]: main */
	uint32_t n_links;
	uint64_t number; /* of the owner; 0: nobody is welcome */
	uint64_t size;	 /* of every file */
	bool there;	 /* the name */
	uint16_t hold;	 /* questions of this type are not answered */
	bool held, recalled;
	struct vol_message late; /* the answer held back */
	uint64_t asked;		 /* attributes and names */
	uint8_t whole;		 /* VOL_CACHE_WHOLE: what is made is a directory */
	uint8_t removed;	 /* VOL_CACHE_NAME: that a removed name is missing may be cached */
} owner = { .lock = PTHREAD_MUTEX_INITIALIZER, .changed = PTHREAD_COND_INITIALIZER, .number = 1, .size = 1 };

void recall_received(const struct vol_message *m, uint64_t generation)
{
	caching_recalled(&m->recall);
	session_recalled(generation, m->request, false, 0);
}

/* --- the owner; owner.lock is held --- */

static struct vol_entry entry_of_file(const struct vol_fid *f, uint8_t cache)
{
	return (struct vol_entry){ .file = *f, .cache = cache, .attr = { .ino = 5, .size = owner.size } };
}

static struct span list_of(void)
{
	static uint8_t bytes[4096];
	struct writer w = writer_of(bytes, sizeof(bytes));
	const uint8_t both = VOL_CACHE_ATTR | VOL_CACHE_NAME;
	const struct vol_dirent d[] = {
		{ .name = "a", .cache = both, .file = file, .attr = { .ino = 5, .size = owner.size } },
		{ .name = "b", .cache = both, .file = other, .attr = { .ino = 5, .size = owner.size } },
	};

	for (size_t i = 0; i < ARRAY_SIZE(d); i++)
		vol_put_dirent(&w, &d[i], true);
	return (struct span){ bytes, writer_len(&w) };
}

static void fill(struct vol_message *a, const struct vol_message *q)
{
	const struct vol_fid none = { 0 };

	switch (q->type) {
	case VOL_HELLO:
		a->welcome = rig_welcome(owner.number);
		a->error = owner.number ? 0 : EHOSTDOWN;
		break;
	case VOL_GETATTR: a->entry = entry_of_file(&q->getattr.file, VOL_CACHE_ATTR); break;
	case VOL_SETATTR: a->entry = entry_of_file(&q->setattr.file, VOL_CACHE_ATTR); break;
	case VOL_LOOKUP:
		a->entry = entry_of_file(owner.there ? &file : &none, VOL_CACHE_NAME | (owner.there ? VOL_CACHE_ATTR : 0));
		break;
	case VOL_MKNOD:
		a->entry = entry_of_file(&file, VOL_CACHE_NAME | VOL_CACHE_ATTR | VOL_CACHE_PARENT | owner.whole);
		a->entry.parent = (struct vol_attr){ .ino = 6, .size = owner.size };
		break;
	case VOL_UNLINK:
		a->named = (struct vol_named){ .file = file, .cache = VOL_CACHE_PARENT | owner.removed };
		a->named.parent = (struct vol_attr){ .ino = 6, .size = owner.size };
		break;
	case VOL_READDIR: a->data = (struct vol_data){ .value = 1, .bytes = list_of() }; break;
	case VOL_GETXATTR: a->error = ENODATA; break;
	default: break;
	}
}

static bool answer(struct link *l, const struct vol_message *q)
{
	struct vol_message a = { .type = vol_answer_type(q->type), .request = q->request };
	bool send = true;

	pthread_mutex_lock(&owner.lock);
	if (q->type == VOL_RECALLED) {
		owner.recalled = true;
		send = false;
	} else {
		fill(&a, q);
		owner.asked++;
		if (q->type == VOL_HELLO && !a.error)
			owner.links[owner.n_links++ % LINKS] = l;
		if (q->type == owner.hold) {
			owner.held = true;
			owner.hold = 0;
			owner.late = a;
			send = false;
		}
	}
	pthread_cond_broadcast(&owner.changed);
	pthread_mutex_unlock(&owner.lock);
	return !send || !link_send(l, &a);
}

static void wait_for(const bool *what)
{
	pthread_mutex_lock(&owner.lock);
	while (!*what)
		pthread_cond_wait(&owner.changed, &owner.lock);
	pthread_mutex_unlock(&owner.lock);
}

static void recall(const struct vol_fid *f, uint32_t what, const char *name)
{
	struct vol_message m = { .type = VOL_RECALL, .request = 1, .recall = { .file = *f, .what = what } };

	text_copy(m.recall.name, sizeof(m.recall.name), name);
	owner.recalled = false;
	CHECK_EQ(link_send(owner.links[0], &m), 0);
	wait_for(&owner.recalled);
}

/* --- who asks --- */

struct asker {
	struct call call;
	pthread_t thread;
	int error;
};

static void *ask_main(void *data)
{
	struct asker *a = data;

	a->error = session_ask(&a->call);
	return NULL;
}

static struct vol_message getattr(void) { return (struct vol_message){ .type = VOL_GETATTR, .getattr.file = file }; }
static struct vol_message setattr(void) { return (struct vol_message){ .type = VOL_SETATTR, .setattr.file = file }; }

static struct vol_message named(uint16_t type)
{
	struct vol_message m = { .type = type };

	if (type == VOL_LOOKUP)
		m.lookup = (struct vol_lookup){ .parent = directory, .name = "a" };
	else if (type == VOL_UNLINK)
		m.unlink = (struct vol_unlink){ .parent = directory, .name = "a" };
	else
		m.mknod = (struct vol_mknod){ .parent = directory, .name = "a" };
	return m;
}

static int ask(struct vol_message q)
{
	struct call c;
	int error;

	call_init(&c, q.type);
	c.q = q;
	error = session_ask(&c);
	call_done(&c);
	return error;
}

/* Returns when the owner has looked and holds his answer back. */
static void begin_held(struct asker *a, struct vol_message q)
{
	call_init(&a->call, q.type);
	a->call.q = q;
	pthread_mutex_lock(&owner.lock);
	owner.hold = q.type;
	owner.held = false;
	pthread_mutex_unlock(&owner.lock);
	REQUIRE(!pthread_create(&a->thread, NULL, ask_main, a));
	wait_for(&owner.held);
}

static int end_held(struct asker *a)
{
	CHECK_EQ(link_send(owner.links[0], &owner.late), 0);
	pthread_join(a->thread, NULL);
	call_done(&a->call);
	return a->error;
}

/* Size of the file as it is known here; 0: it is not. */
static uint64_t known(const struct vol_fid *f)
{
	struct vol_attr attr;

	return caching_attr(f, &attr) ? attr.size : 0;
}

enum name { UNKNOWN, MISSING, THERE };

static enum name known_in(const struct vol_fid *parent, const char *name)
{
	struct vol_entry e;

	return !caching_lookup(parent, name, &e) ? UNKNOWN : vol_fid_none(&e.file) ? MISSING : THERE;
}

static enum name known_name(const char *name) { return known_in(&directory, name); }

/* --- tests --- */

static void test_kept(void)
{
	uint64_t asked;

	CHECK_EQ(known(&file), 0);
	CHECK_EQ(ask(getattr()), 0);
	asked = owner.asked;
	CHECK_EQ(known(&file), 1);
	CHECK_EQ(ask(named(VOL_LOOKUP)), 0);
	CHECK_EQ(known_name("a"), MISSING);
	CHECK_EQ(owner.asked, asked + 1);
	recall(&directory, VOL_RECALL_NAME, "b");
	CHECK_EQ(known_name("a"), MISSING);
	recall(&directory, VOL_RECALL_NAME, "a");
	CHECK_EQ(known_name("a"), UNKNOWN);
	CHECK_EQ(ask(named(VOL_LOOKUP)), 0);
	recall(&directory, VOL_RECALL_NAME, "");
	CHECK_EQ(known_name("a"), UNKNOWN);
	CHECK_EQ(known(&file), 1);
	recall(&file, VOL_RECALL_ATTR, "");
	CHECK_EQ(known(&file), 0);
}

/* Who makes or removes a name knows the directory's attributes after it; not what somebody has changed since. */
static void test_parent(void)
{
	struct asker a;

	owner.size = 11;
	CHECK_EQ(ask(named(VOL_MKNOD)), 0);
	CHECK_EQ(known(&directory), 11);
	owner.size = 12;
	CHECK_EQ(ask(named(VOL_UNLINK)), 0);
	CHECK_EQ(known(&directory), 12);
	begin_held(&a, named(VOL_MKNOD));
	CHECK_EQ(known(&directory), 0); /* while it is under way */
	recall(&directory, VOL_RECALL_ATTR, "");
	CHECK_EQ(end_held(&a), 0);
	CHECK_EQ(known(&directory), 0);
	/* Two of its own: the answer that was made first comes last. */
	begin_held(&a, named(VOL_MKNOD));
	owner.size = 13;
	CHECK_EQ(ask(named(VOL_UNLINK)), 0);
	CHECK_EQ(known(&directory), 0);
	CHECK_EQ(end_held(&a), 0);
	CHECK_EQ(known(&directory), 0);
	owner.size = 1;
	recall(&file, VOL_RECALL_ATTR, "");
	recall(&directory, VOL_RECALL_ATTR | VOL_RECALL_NAME, "");
}

/* The recall is sent after the answer was made, and is here first. */
static void test_overtaken(void)
{
	struct asker a;

	begin_held(&a, getattr());
	recall(&file, VOL_RECALL_ATTR, "");
	owner.size = 2;
	CHECK_EQ(end_held(&a), 0);
	CHECK_EQ(known(&file), 0);
	CHECK_EQ(ask(getattr()), 0);
	CHECK_EQ(known(&file), 2);
	begin_held(&a, named(VOL_LOOKUP));
	recall(&directory, VOL_RECALL_NAME, "a");
	owner.there = true;
	CHECK_EQ(end_held(&a), 0);
	CHECK_EQ(known_name("a"), UNKNOWN);
	CHECK_EQ(ask(named(VOL_LOOKUP)), 0);
	CHECK_EQ(known_name("a"), THERE);
	recall(&directory, VOL_RECALL_NAME, "");
}

/* Of what a list tells only that is not kept which was recalled. */
static void test_list_overtaken(void)
{
	struct vol_message q = { .type = VOL_READDIR, .readdir = { .file = directory, .size = 4096, .plus = 1 } };
	struct asker a;

	begin_held(&a, q);
	recall(&other, VOL_RECALL_ATTR, "");
	CHECK_EQ(end_held(&a), 0);
	CHECK_EQ(known_name("a"), THERE);
	CHECK_EQ(known(&other), 0);
	begin_held(&a, q);
	recall(&directory, VOL_RECALL_NAME, "");
	CHECK_EQ(end_held(&a), 0);
	CHECK_EQ(known_name("a"), UNKNOWN);
	CHECK_EQ(known_name("b"), UNKNOWN);
	CHECK_EQ(known(&other), 2);
}

/* The owner does not recall from who changes it: its answer says so. */
static void test_own_change(void)
{
	struct asker a;

	begin_held(&a, getattr());
	owner.size = 3;
	CHECK_EQ(ask(setattr()), 0);
	CHECK_EQ(known(&file), 3);
	CHECK_EQ(end_held(&a), 0);
	CHECK(known(&file) != 2);
	owner.there = false;
	begin_held(&a, named(VOL_LOOKUP));
	CHECK_EQ(ask(named(VOL_MKNOD)), 0);
	CHECK_EQ(known_name("a"), THERE);
	CHECK_EQ(end_held(&a), 0);
	CHECK(known_name("a") != MISSING);
	owner.there = true;
}

/* From the question on it may have been made: another node may see it, and tell. */
static void test_change_under_way(void)
{
	struct asker a;

	CHECK_EQ(ask(getattr()), 0);
	CHECK(known(&file));
	begin_held(&a, setattr());
	CHECK_EQ(known(&file), 0);
	CHECK_EQ(ask(getattr()), 0);
	CHECK_EQ(known(&file), 0);
	CHECK_EQ(end_held(&a), 0);
	CHECK(known(&file));
	CHECK_EQ(ask(named(VOL_LOOKUP)), 0);
	CHECK_EQ(known_name("a"), THERE);
	begin_held(&a, named(VOL_UNLINK));
	CHECK_EQ(known_name("a"), UNKNOWN);
	CHECK_EQ(known(&file), 0);
	CHECK_EQ(ask(named(VOL_LOOKUP)), 0);
	CHECK_EQ(ask(getattr()), 0);
	CHECK_EQ(known_name("a"), UNKNOWN);
	CHECK_EQ(known(&file), 0);
	CHECK_EQ(end_held(&a), 0);
	CHECK_EQ(known_name("a"), UNKNOWN);
	CHECK_EQ(ask(named(VOL_LOOKUP)), 0);
	CHECK_EQ(known_name("a"), THERE);
}

/* Of a new directory (`file`) all names are known: what is not made or taken back is not there. */
static void test_whole(void)
{
	struct vol_message inside = { .type = VOL_CREATE, .create = { .parent = file, .name = "x" } };
	struct asker a;

	owner.whole = VOL_CACHE_WHOLE;
	CHECK_EQ(ask(named(VOL_MKNOD)), 0);
	CHECK_EQ(known_in(&file, "x"), MISSING);
	CHECK_EQ(known_name("b"), UNKNOWN);
	recall(&file, VOL_RECALL_NAME, "x");
	CHECK_EQ(known_in(&file, "x"), UNKNOWN);
	CHECK_EQ(known_in(&file, "y"), MISSING);
	inside.create.name[0] = 'z';
	begin_held(&a, inside);
	CHECK_EQ(known_in(&file, "z"), UNKNOWN); /* others may see it by now */
	CHECK_EQ(end_held(&a), 0);
	CHECK_EQ(known_in(&file, "z"), UNKNOWN); /* the answer did not tell */
	CHECK_EQ(known_in(&file, "y"), MISSING);
	recall(&file, VOL_RECALL_NAME, "");
	CHECK_EQ(known_in(&file, "y"), UNKNOWN);
	/* A name of it was taken back, or made by another process of the node, before the answer was here. */
	begin_held(&a, named(VOL_MKNOD));
	recall(&file, VOL_RECALL_NAME, "x");
	CHECK_EQ(end_held(&a), 0);
	CHECK_EQ(known_in(&file, "y"), UNKNOWN);
	begin_held(&a, named(VOL_MKNOD));
	CHECK_EQ(ask(inside), 0);
	CHECK_EQ(end_held(&a), 0);
	CHECK_EQ(known_in(&file, "y"), UNKNOWN);
	begin_held(&a, inside);
	CHECK_EQ(ask(named(VOL_MKNOD)), 0);
	CHECK_EQ(known_in(&file, "y"), UNKNOWN);
	CHECK_EQ(end_held(&a), 0);
	owner.whole = 0;
	recall(&directory, VOL_RECALL_ATTR | VOL_RECALL_NAME, "");
	recall(&file, VOL_RECALL_ATTR | VOL_RECALL_NAME, "");
}

/* Who removes a name knows that it is missing, unless it, or anything of the directory, was taken back or changed meanwhile. */
static void test_removed(void)
{
	struct asker a;

	owner.removed = VOL_CACHE_NAME;
	CHECK_EQ(ask(named(VOL_UNLINK)), 0);
	CHECK_EQ(known_name("a"), MISSING);
	CHECK_EQ(ask(named(VOL_MKNOD)), 0);
	CHECK_EQ(known_name("a"), THERE);
	begin_held(&a, named(VOL_UNLINK));
	CHECK_EQ(known_name("a"), UNKNOWN);
	recall(&directory, VOL_RECALL_NAME, "a");
	CHECK_EQ(end_held(&a), 0);
	CHECK_EQ(known_name("a"), UNKNOWN);
	begin_held(&a, named(VOL_UNLINK));
	CHECK_EQ(ask(named(VOL_MKNOD)), 0);
	CHECK_EQ(end_held(&a), 0);
	CHECK_EQ(known_name("a"), UNKNOWN);
	begin_held(&a, named(VOL_MKNOD));
	CHECK_EQ(ask(named(VOL_UNLINK)), 0);
	CHECK_EQ(known_name("a"), UNKNOWN);
	CHECK_EQ(end_held(&a), 0);
	owner.removed = 0;
	recall(&directory, VOL_RECALL_ATTR | VOL_RECALL_NAME, "");
	recall(&file, VOL_RECALL_ATTR, "");
}

static void test_no_acl(void)
{
	struct vol_message q = { .type = VOL_GETXATTR, .getxattr = { .file = file, .name = "system.posix_acl_access" } };
	struct asker a;

	recall(&file, VOL_RECALL_ATTR, "");
	CHECK_EQ(ask(q), -ENODATA);
	CHECK(!caching_no_acl(&file, q.getxattr.name)); /* nothing was lent with which it would be recalled */
	CHECK_EQ(ask(getattr()), 0);
	CHECK_EQ(ask(q), -ENODATA);
	CHECK(caching_no_acl(&file, q.getxattr.name));
	CHECK(!caching_no_acl(&file, "user.x"));
	recall(&file, VOL_RECALL_ATTR, "");
	CHECK(!caching_no_acl(&file, q.getxattr.name));
	CHECK_EQ(ask(getattr()), 0);
	begin_held(&a, q);
	recall(&file, VOL_RECALL_ATTR, "");
	CHECK_EQ(ask(getattr()), 0);
	CHECK_EQ(end_held(&a), -ENODATA);
	CHECK(!caching_no_acl(&file, q.getxattr.name));
}

/* --- connections --- */

/* All connections end, and nobody is the owner. */
static void owner_ends(void)
{
	struct session *s = &csvfs.session;
	uint64_t pauses = s->pauses;

	pthread_mutex_lock(&owner.lock);
	owner.number = 0;
	owner.n_links = 0;
	link_shutdown(owner.links[0]); /* csvfs ends the others; they are then gone at any time */
	pthread_mutex_unlock(&owner.lock);
	pthread_mutex_lock(&s->lock);
	while (s->pauses == pauses)
		pthread_cond_wait(&s->changed, &s->lock);
	pthread_mutex_unlock(&s->lock);
}

static void owner_is(uint64_t number)
{
	struct session *s = &csvfs.session;

	pthread_mutex_lock(&owner.lock);
	owner.number = number;
	pthread_mutex_unlock(&owner.lock);
	pthread_mutex_lock(&s->lock);
	while (s->state != SESSION_UP)
		pthread_cond_wait(&s->changed, &s->lock);
	pthread_mutex_unlock(&s->lock);
}

static void test_connections(void)
{
	uint32_t mode;

	CHECK_EQ(ask(getattr()), 0);
	CHECK(known(&file));
	owner_ends();
	CHECK_EQ(known(&file), 0);
	CHECK(caching_mode(&file, &mode)); /* a direct write does not wait */
	owner.size = 4;
	owner_is(1);
	CHECK_EQ(known(&file), 0);
	CHECK(!caching_mode(&file, &mode));
	CHECK_EQ(ask(getattr()), 0);
	CHECK_EQ(known(&file), 4);
	owner_ends();
	owner_is(2);
	CHECK_EQ(known(&file), 0);
}

/* A change that was given up may be made whenever: nothing is kept until there is another owner. */
static void test_given_up(void)
{
	struct asker a;

	begin_held(&a, setattr());
	owner_ends();
	csvfs.pause_max_ms = 0;
	session_tick();
	pthread_join(a.thread, NULL);
	call_done(&a.call);
	CHECK_EQ(a.error, -EIO);
	csvfs.pause_max_ms = SERVING_MS;
	owner_is(2);
	CHECK_EQ(ask(getattr()), 0);
	CHECK_EQ(known(&file), 0);
	owner_ends();
	owner_is(3);
	CHECK_EQ(ask(getattr()), 0);
	CHECK_EQ(known(&file), 4);
}

int main(void)
{
	rig_start();
	test_kept();
	test_parent();
	test_overtaken();
	test_list_overtaken();
	test_own_change();
	test_change_under_way();
	test_whole();
	test_removed();
	test_no_acl();
	test_connections();
	test_given_up();
	session_stop();
	return check_result();
}
