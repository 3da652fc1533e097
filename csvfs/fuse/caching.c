/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Attributes and names that the owner has lent. The kernel keeps none of them (its time-outs are 0): it asks here each time, and
 * the owner is asked for what is not known here. So a recall needs no word to the kernel, which could wait for a lock that is
 * held by somebody who waits for the owner.
 *
 * What comes in is entered, and what is taken back is dropped, with session.lock held: between the look at the marks
 * (pending.h) and the entry there is no recall. Whoever looks something up holds csvfs.cache_lock only.
 *
 * What this session changes itself is not recalled from it. From the question to the answer nothing of it is known or kept: others
 * may see the change long before the answer is here, which waits for the journal.
 *
 * Without a connection nothing is told from here: the owner may have given us up, and changed it. It is dropped when there is a
 * connection again. Who may look into a directory is decided by the kernel (default_permissions), with the attributes of here.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

#include "csvfs/fuse/csvfs.h"

#define CACHE_FILES 65536u
#define CACHE_NAMES 65536u
#define ACL_ACCESS "system.posix_acl_access"
#define ACL_DEFAULT "system.posix_acl_default"

static struct pending_window *const window = &csvfs.session.window;

int caching_start(void)
{
	const struct name_cache_limits limits = { .files = CACHE_FILES, .names = CACHE_NAMES };
	void *memory = calloc(1, name_cache_size(&limits));

	if (!memory)
		return -ENOMEM;
	pthread_mutex_init(&csvfs.cache_lock, NULL);
	csvfs.cache = name_cache_init(memory, &limits);
	return 0;
}

/* --- looking up --- */

static bool counted(bool known)
{
	if (known)
		atomic_fetch_add(&csvfs.counters.cached, 1);
	return known;
}

bool caching_attr(const struct vol_fid *file, struct vol_attr *ret)
{
	bool known;

	pthread_mutex_lock(&csvfs.cache_lock);
	known = csvfs.cache_connected && name_cache_attr(csvfs.cache, file, ret);
	pthread_mutex_unlock(&csvfs.cache_lock);
	return counted(known);
}

bool caching_mode(const struct vol_fid *file, uint32_t *ret)
{
	struct vol_attr attr;
	bool known;

	pthread_mutex_lock(&csvfs.cache_lock);
	known = name_cache_attr(csvfs.cache, file, &attr);
	pthread_mutex_unlock(&csvfs.cache_lock);
	if (known)
		*ret = attr.mode;
	return known;
}

bool caching_lookup(const struct vol_fid *directory, const char *name, struct vol_entry *ret)
{
	bool known;

	*ret = (struct vol_entry){ 0 };
	if (strlen(name) >= VOL_FNAME_SIZE)
		return false; /* that is another error than that it is not there */
	pthread_mutex_lock(&csvfs.cache_lock);
	known = csvfs.cache_connected && name_cache_name(csvfs.cache, directory, name, &ret->file) &&
		(vol_fid_none(&ret->file) || name_cache_attr(csvfs.cache, &ret->file, &ret->attr));
	pthread_mutex_unlock(&csvfs.cache_lock);
	return counted(known);
}

static uint32_t missing_bit(const char *xattr)
{
	return !strcmp(xattr, ACL_ACCESS) ? NAME_CACHE_NO_ACL : !strcmp(xattr, ACL_DEFAULT) ? NAME_CACHE_NO_DEFAULT_ACL : 0;
}

bool caching_no_acl(const struct vol_fid *file, const char *xattr)
{
	const uint32_t bit = missing_bit(xattr);
	bool known = false;

	if (bit) {
		pthread_mutex_lock(&csvfs.cache_lock);
		known = csvfs.cache_connected && name_cache_missing(csvfs.cache, file) & bit;
		pthread_mutex_unlock(&csvfs.cache_lock);
	}
	return counted(known);
}

/* --- dropping; session.lock is held --- */

static void drop_attr(const struct vol_fid *file)
{
	if (vol_fid_none(file))
		return;
	pending_recalled(window, file);
	pthread_mutex_lock(&csvfs.cache_lock);
	name_cache_drop_attr(csvfs.cache, file);
	pthread_mutex_unlock(&csvfs.cache_lock);
}

static void drop_all(void)
{
	pending_recalled(window, NULL);
	pthread_mutex_lock(&csvfs.cache_lock);
	name_cache_clear(csvfs.cache);
	pthread_mutex_unlock(&csvfs.cache_lock);
}

/* --- changes of this session, which the owner does not recall from it; session.lock is held --- */

#define CHANGED_NAMES 2
#define CHANGED_FILES 4

/* What a question changes. The attributes of the names' directories, too. */
struct changed {
	const struct vol_fid *directories[CHANGED_NAMES], *files[CHANGED_FILES];
	const char *names[CHANGED_NAMES];
	uint32_t n_names, n_files;
};

static void add_file(struct changed *d, const struct vol_fid *file)
{
	if (!vol_fid_none(file))
		d->files[d->n_files++] = file;
}

static void add_name(struct changed *d, const struct call *c, const struct vol_fid *directory, const char *name)
{
	add_file(d, &c->had[d->n_names]);
	d->directories[d->n_names] = directory;
	d->names[d->n_names++] = name;
}

static struct changed changed_by(const struct call *c)
{
	const struct vol_message *q = &c->q;
	struct changed d = { 0 };

	switch (q->type) {
	case VOL_SETATTR: add_file(&d, &q->setattr.file); break;
	case VOL_SETXATTR: add_file(&d, &q->setxattr.file); break;
	case VOL_TOUCH: add_file(&d, &q->touch.file); break;
	case VOL_WRITE:
	case VOL_COPY:
	case VOL_FALLOCATE: add_file(&d, &c->changes); break;
	case VOL_LEASE:
		if (q->lease.write)
			add_file(&d, &c->changes);
		break;
	case VOL_OPEN:
		if (q->open.flags & O_TRUNC)
			add_file(&d, &q->open.file);
		break;
	case VOL_CREATE: add_name(&d, c, &q->create.parent, q->create.name); break;
	case VOL_MKNOD: add_name(&d, c, &q->mknod.parent, q->mknod.name); break;
	case VOL_SYMLINK: add_name(&d, c, &q->symlink.parent, q->symlink.name); break;
	case VOL_LINK:
		add_name(&d, c, &q->link.parent, q->link.name);
		add_file(&d, &q->link.file);
		break;
	case VOL_UNLINK: add_name(&d, c, &q->unlink.parent, q->unlink.name); break;
	case VOL_RENAME:
		add_name(&d, c, &q->rename.parent, q->rename.name);
		add_name(&d, c, &q->rename.new_parent, q->rename.new_name);
		break;
	default: break;
	}
	return d;
}

/*
 * From now on it may be made at any time, so that what is known is no longer so. Which file has a name that is not known here only
 * the owner knows: its links and its time of change may be told as before until he has answered.
 */
static void change_begins(struct call *c)
{
	struct changed d;

	pthread_mutex_lock(&csvfs.cache_lock);
	d = changed_by(c);
	for (uint32_t k = 0; k < d.n_names; k++)
		name_cache_name(csvfs.cache, d.directories[k], d.names[k], &c->had[k]);
	d = changed_by(c);
	for (uint32_t k = 0; k < d.n_names; k++) {
		name_cache_drop_attr(csvfs.cache, d.directories[k]);
		name_cache_drop_name(csvfs.cache, d.directories[k], d.names[k]);
	}
	for (uint32_t k = 0; k < d.n_files; k++)
		name_cache_drop_attr(csvfs.cache, d.files[k]);
	pthread_mutex_unlock(&csvfs.cache_lock);
}

/* It has been made, or not: what was asked before its answer may be older. `a`: the answer, if it is one. */
static void change_ended(const struct call *c, const struct vol_message *a)
{
	const struct changed d = changed_by(c);

	for (uint32_t k = 0; k < d.n_names; k++) {
		drop_attr(d.directories[k]); /* its names, too, as far as they are on their way */
		pthread_mutex_lock(&csvfs.cache_lock);
		name_cache_drop_name(csvfs.cache, d.directories[k], d.names[k]);
		pthread_mutex_unlock(&csvfs.cache_lock);
	}
	for (uint32_t k = 0; k < d.n_files; k++)
		drop_attr(d.files[k]);
	if (a && c->q.type == VOL_CREATE)
		drop_attr(&a->entry.file);
	if (a && (c->q.type == VOL_UNLINK || c->q.type == VOL_RENAME)) {
		drop_attr(&a->named.file);
		drop_attr(&a->named.other);
	}
}

/* The changes that are under way but for `except`. */
struct changes {
	struct changed list[VOL_WINDOW_MAX + PENDING_RECLAIMS_MAX];
	uint32_t n;
};

static void changes_now(struct changes *ret, const struct call *except)
{
	const struct pending *p;

	ret->n = 0;
	for (uint64_t at = 0; (p = pending_next(window, at)); at = p->number + 1) {
		const struct call *c = p->user;

		if (c == except)
			continue;
		ret->list[ret->n] = changed_by(c);
		ret->n += ret->list[ret->n].n_names + ret->list[ret->n].n_files > 0;
	}
}

static bool changes_attr(const struct changes *now, const struct vol_fid *file)
{
	for (uint32_t i = 0; i < now->n; i++) {
		for (uint32_t k = 0; k < now->list[i].n_names; k++)
			if (vol_fid_equal(now->list[i].directories[k], file))
				return true;
		for (uint32_t k = 0; k < now->list[i].n_files; k++)
			if (vol_fid_equal(now->list[i].files[k], file))
				return true;
	}
	return false;
}

static bool changes_name(const struct changes *now, const struct vol_fid *directory, const char *name)
{
	for (uint32_t i = 0; i < now->n; i++)
		for (uint32_t k = 0; k < now->list[i].n_names; k++)
			if (!strcmp(now->list[i].names[k], name) && vol_fid_equal(now->list[i].directories[k], directory))
				return true;
	return false;
}

/* --- connections, recalls --- */

static void set_connected(bool connected)
{
	pthread_mutex_lock(&csvfs.cache_lock);
	csvfs.cache_connected = connected;
	pthread_mutex_unlock(&csvfs.cache_lock);
}

void caching_disconnected(void)
{
	set_connected(false);
}

void caching_connected(bool new_owner)
{
	if (new_owner)
		csvfs.session.cache_off = false;
	drop_all();
	set_connected(true);
}

/* The owner may do it still, whenever it comes to it, and tells nobody: until there is another one nothing is kept. */
void caching_given_up(const struct call *c)
{
	if (request_class(&c->q) == REQUEST_REPEAT && c->q.type != VOL_TOUCH && c->q.type != VOL_LEASE)
		return;
	csvfs.session.cache_off = true;
	drop_all();
}

void caching_recalled(const struct vol_recall *q)
{
	pthread_mutex_lock(&csvfs.session.lock);
	pending_recalled(window, &q->file);
	pthread_mutex_lock(&csvfs.cache_lock);
	if (q->what & VOL_RECALL_ATTR)
		name_cache_drop_attr(csvfs.cache, &q->file);
	if (q->what & VOL_RECALL_NAME)
		name_cache_drop_name(csvfs.cache, &q->file, q->name);
	pthread_mutex_unlock(&csvfs.cache_lock);
	pthread_mutex_unlock(&csvfs.session.lock);
}

void caching_changed(const struct vol_fid *file)
{
	pthread_mutex_lock(&csvfs.session.lock);
	drop_attr(file);
	pthread_mutex_unlock(&csvfs.session.lock);
}

/* --- keeping; session.lock is held --- */

static void keep_attr(const struct changes *now, const struct vol_fid *file, const struct vol_attr *attr)
{
	if (changes_attr(now, file))
		return;
	pthread_mutex_lock(&csvfs.cache_lock);
	name_cache_put_attr(csvfs.cache, file, attr);
	pthread_mutex_unlock(&csvfs.cache_lock);
}

static void keep_name(const struct changes *now, const struct vol_fid *directory, const char *name, const struct vol_fid *file)
{
	if (changes_name(now, directory, name))
		return;
	pthread_mutex_lock(&csvfs.cache_lock);
	name_cache_put_name(csvfs.cache, directory, name, file);
	pthread_mutex_unlock(&csvfs.cache_lock);
}

static void keep_whole(const struct changes *now, const struct vol_fid *directory)
{
	if (changes_attr(now, directory))
		return; /* of a name in it, perhaps */
	pthread_mutex_lock(&csvfs.cache_lock);
	name_cache_put_whole(csvfs.cache, directory);
	pthread_mutex_unlock(&csvfs.cache_lock);
}

/* The directory and name that the answer's file is of; NULL: of none. */
static const struct vol_fid *name_of(const struct vol_message *q, const char **ret_name)
{
	switch (q->type) {
	case VOL_LOOKUP: *ret_name = q->lookup.name; return &q->lookup.parent;
	case VOL_CREATE: *ret_name = q->create.name; return &q->create.parent;
	case VOL_MKNOD: *ret_name = q->mknod.name; return &q->mknod.parent;
	case VOL_SYMLINK: *ret_name = q->symlink.name; return &q->symlink.parent;
	case VOL_LINK: *ret_name = q->link.name; return &q->link.parent;
	default: return NULL;
	}
}

/* The directory whose attributes the answer tells, and these; NULL: of none. */
static const struct vol_fid *parent_of(const struct vol_message *q, const struct vol_message *m, const struct vol_attr **ret)
{
	const char *unused;
	uint8_t cache;

	if (m->type == VOL_ENTRY) {
		cache = m->entry.cache;
		*ret = &m->entry.parent;
	} else if (m->type == VOL_NAMED) {
		cache = m->named.cache;
		*ret = &m->named.parent;
	} else {
		return NULL;
	}
	if (!(cache & VOL_CACHE_PARENT))
		return NULL;
	return q->type == VOL_UNLINK ? &q->unlink.parent : q->type == VOL_RENAME ? &q->rename.parent : name_of(q, &unused);
}

/* Of a name that was made or looked for, or removed: what it is now. */
static const struct vol_fid *named_now(const struct call *c, const struct vol_message *m, const char **ret_name,
				       struct vol_fid *ret)
{
	if (m->type == VOL_ENTRY && m->entry.cache & VOL_CACHE_NAME) {
		*ret = m->entry.file;
		return name_of(&c->q, ret_name);
	}
	*ret = (struct vol_fid){ 0 };
	*ret_name = c->q.unlink.name;
	return c->q.type == VOL_UNLINK && m->type == VOL_NAMED && m->named.cache & VOL_CACHE_NAME ? &c->q.unlink.parent : NULL;
}

static void keep_entries(const struct changes *now, const struct call *c, const struct vol_message *m)
{
	struct reader r = reader_of(m->data.bytes.data, m->data.bytes.len);
	const struct vol_fid *directory = &c->q.readdir.file;
	const bool names = pending_may_cache(window, m->request, directory);

	while (reader_left(&r)) {
		struct vol_dirent d;

		vol_get_dirent(&r, &d, true);
		if (r.bad)
			break;
		if (d.cache & VOL_CACHE_ATTR && pending_may_cache(window, m->request, &d.file))
			keep_attr(now, &d.file, &d.attr);
		if (d.cache & VOL_CACHE_NAME && names && *d.name && !vol_fid_none(&d.file))
			keep_name(now, directory, d.name, &d.file);
	}
}

/* That there is no ACL is part of the attributes, if these were lent before it was looked for. */
static void keep_missing(const struct changes *now, const struct call *c, const struct vol_message *m)
{
	const struct vol_fid *file = &c->q.getxattr.file;

	if (!c->attr_known || changes_attr(now, file) || !pending_may_cache(window, m->request, file))
		return;
	pthread_mutex_lock(&csvfs.cache_lock);
	name_cache_put_missing(csvfs.cache, file, missing_bit(c->q.getxattr.name));
	pthread_mutex_unlock(&csvfs.cache_lock);
}

void caching_asked(struct call *c)
{
	struct vol_attr unused;

	change_begins(c);
	if (c->q.type != VOL_GETXATTR || !missing_bit(c->q.getxattr.name))
		return;
	pthread_mutex_lock(&csvfs.cache_lock);
	c->attr_known = name_cache_attr(csvfs.cache, &c->q.getxattr.file, &unused);
	pthread_mutex_unlock(&csvfs.cache_lock);
}

void caching_answered(const struct call *c, const struct vol_message *m)
{
	const bool good = !m->error && m->type == vol_answer_type(c->q.type), entry = good && m->type == VOL_ENTRY;
	const struct vol_fid *directory, *parent, *file = &m->entry.file;
	const struct vol_attr *parent_attr;
	struct vol_fid named;
	struct changes now;
	const char *name;
	bool attr, names, whole;

	/* Before its own changes are marked: it tells what came of them. */
	directory = good ? named_now(c, m, &name, &named) : NULL;
	attr = entry && m->entry.cache & VOL_CACHE_ATTR && !vol_fid_none(file) && pending_may_cache(window, m->request, file);
	names = directory && pending_may_cache(window, m->request, directory);
	whole = entry && m->entry.cache & VOL_CACHE_WHOLE && !vol_fid_none(file) && pending_may_cache(window, m->request, file);
	parent = good ? parent_of(&c->q, m, &parent_attr) : NULL;
	if (parent && !pending_may_cache(window, m->request, parent))
		parent = NULL;
	change_ended(c, good ? m : NULL);
	if (entry && !attr)
		drop_attr(file); /* two answers may have come in the wrong order */
	if (csvfs.session.cache_off || !(attr || names || whole || parent || c->q.type == VOL_READDIR || c->q.type == VOL_GETXATTR))
		return;
	changes_now(&now, c);
	if (attr)
		keep_attr(&now, file, &m->entry.attr);
	if (names)
		keep_name(&now, directory, name, &named);
	if (whole)
		keep_whole(&now, file);
	if (parent)
		keep_attr(&now, parent, parent_attr);
	if (good && c->q.type == VOL_READDIR && c->q.readdir.plus)
		keep_entries(&now, c, m);
	if (c->q.type == VOL_GETXATTR && m->error == ENODATA)
		keep_missing(&now, c, m);
}
