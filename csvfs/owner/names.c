/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Looking up and making names. */
#include "csvfs/owner/names.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "csvfs/owner/rights.h"
#include "text.h"

static int check_name(const struct owner *o, const struct vol_fid *parent, const char *name)
{
	if (!*name || strchr(name, '/') || !strcmp(name, ".") || !strcmp(name, ".."))
		return -EINVAL;
	return !strcmp(name, FILES_HIDDEN) && vol_fid_equal(parent, &o->files.root) ? -EPERM : 0;
}

/* The file of a name, with a reference, by the rights the thread acts with. */
static int find(struct files *f, const struct file *parent, const char *name, struct file **ret)
{
	int fd = openat(parent->path_fd, name, O_PATH | O_NOFOLLOW | O_CLOEXEC), error = fd < 0 ? -errno : 0;

	*ret = NULL;
	if (fd >= 0)
		return files_of_fd(f, fd, ret);
	return error < 0 ? error : -EIO; /* never 0 without a file */
}

/* --- locks, intents --- */

static bool is_locked(const struct owner *o, const struct name_lock *l)
{
	for (const struct name_lock *n = o->names; n; n = n->next)
		if (vol_fid_equal(n->parent, l->parent) && !strcmp(n->name, l->name))
			return true;
	return false;
}

/* All at once: nobody holds one and waits for the other. */
static void lock_names(struct owner *o, struct named *n)
{
	bool wait;

	pthread_mutex_lock(&o->names_lock);
	do {
		wait = false;
		for (uint32_t i = 0; i < n->n; i++)
			wait |= is_locked(o, &n->locks[i]);
		if (wait)
			pthread_cond_wait(&o->names_changed, &o->names_lock);
	} while (wait);
	for (uint32_t i = 0; i < n->n; i++) {
		n->locks[i].next = o->names;
		o->names = &n->locks[i];
	}
	n->locked = true;
	pthread_mutex_unlock(&o->names_lock);
}

static void unlock_names(struct owner *o, struct named *n)
{
	pthread_mutex_lock(&o->names_lock);
	for (uint32_t i = 0; i < n->n; i++) {
		struct name_lock **at = &o->names;

		while (*at != &n->locks[i])
			at = &(*at)->next;
		*at = n->locks[i].next;
	}
	n->locked = false;
	pthread_cond_broadcast(&o->names_changed);
	pthread_mutex_unlock(&o->names_lock);
}

static int fid_of(struct owner *o, const struct file *parent, const char *name, struct vol_fid *ret)
{
	struct file *file;
	int error = find(&o->files, parent, name, &file);

	memset(ret, 0, sizeof(*ret));
	if (error)
		return error == -ENOENT ? 0 : error;
	*ret = file->fid;
	files_put(&o->files, file);
	return 0;
}

/* True: a request that the owner before has done, or that failed there. */
static bool has_happened(struct request *r, struct named *n)
{
	struct owner *o = r->owner;
	const struct intent *i;

	pthread_mutex_lock(&o->lock);
	i = intent_find(o->intents, r->session->id, question(r)->request);
	if (i)
		n->intent = *i;
	pthread_mutex_unlock(&o->lock);
	return i;
}

/* --- what others have cached of it --- */

static bool has_file(const struct named *n, uint32_t k)
{
	return !vol_fid_none(&n->intent.had[k]);
}

/* Will there be a change at all, as far as the names tell? What may not be done is refused by the file system later. */
static bool will_change(const struct vol_message *q, const struct named *n)
{
	switch (q->type) {
	case VOL_UNLINK:
	case VOL_RENAME:
		return has_file(n, 0);
	default:
		return !has_file(n, 0); /* a new name */
	}
}

static uint32_t wants_of(const struct vol_message *q, const struct named *n, struct grant_want *wants)
{
	uint32_t count = 0;

	if (!will_change(q, n))
		return 0;
	for (uint32_t k = 0; k < n->n; k++) {
		wants[count++] = (struct grant_want){ .file = &n->parent[k]->fid,
						      .what = VOL_RECALL_ATTR | VOL_RECALL_NAME,
						      .name = n->intent.name[k] };
		if (has_file(n, k))
			wants[count++] = (struct grant_want){ .file = &n->intent.had[k], .what = VOL_RECALL_ATTR };
	}
	if (q->type == VOL_LINK)
		wants[count++] = (struct grant_want){ .file = &q->link.file, .what = VOL_RECALL_ATTR };
	return count;
}

static int look(struct owner *o, struct named *n, struct vol_fid had[2])
{
	int ret = 0;

	for (uint32_t k = 0; !ret && k < n->n; k++)
		ret = fid_of(o, n->parent[k], n->intent.name[k], &had[k]);
	return ret;
}

/*
 * Claim and locks, for what the names are then. Who makes a name has mostly seen that there is none: that is looked at once, under
 * the lock.
 */
static int claim_and_lock(struct request *r, struct named *n)
{
	struct owner *o = r->owner;
	struct vol_fid *had = n->intent.had, now[2] = { 0 };
	struct grant_want wants[GRANT_WANTS_MAX];
	bool there = question(r)->type == VOL_UNLINK || question(r)->type == VOL_RENAME;
	int ret = there ? look(o, n, had) : 0;

	while (!ret) {
		ret = claim_take_wants(o, r->session, wants, wants_of(question(r), n, wants), &n->claim);
		if (ret)
			break;
		lock_names(o, n);
		ret = look(o, n, now);
		if (ret || (vol_fid_equal(&now[0], &had[0]) && vol_fid_equal(&now[1], &had[1])))
			break;
		had[0] = now[0];
		had[1] = now[1];
		unlock_names(o, n);
		claim_end(o, n->claim);
		n->claim = 0;
	}
	return ret;
}

int names_begin(struct request *r, struct named *n)
{
	struct owner *o = r->owner;
	struct intent *i = &n->intent;
	int ret = 0;

	*n = (struct named){ .owner = o, .n = question(r)->type == VOL_RENAME ? 2 : 1 };
	if (has_happened(r, n)) {
		n->happened = true;
		return i->outcome == INTENT_FAILED ? -(int)i->error : 0;
	}
	if (!intent_of(question(r), i))
		return -EINVAL;
	i->session = r->session->id;
	for (uint32_t k = 0; !ret && k < n->n; k++) {
		ret = check_name(o, &i->parent[k], i->name[k]);
		if (!ret)
			ret = files_get(&o->files, &i->parent[k], &n->parent[k]);
		if (!ret && !S_ISDIR(n->parent[k]->type))
			ret = -ENOTDIR;
		n->locks[k] = (struct name_lock){ .parent = &i->parent[k], .name = i->name[k] };
	}
	if (ret)
		return ret;
	/* A rename of a name to itself has one name. */
	if (n->n == 2 && vol_fid_equal(&i->parent[0], &i->parent[1]) && !strcmp(i->name[0], i->name[1]))
		n->n = 1;
	ret = claim_and_lock(r, n);
	if (n->n == 1)
		i->had[1] = question(r)->type == VOL_RENAME ? i->had[0] : i->had[1];
	return ret;
}

int names_intent(struct request *r, struct named *n)
{
	struct owner *o = r->owner;
	int ret;

	pthread_mutex_lock(&o->lock);
	ret = r->session->state == SESSION_GONE ? -ESTALE : intent_add(o->intents, &n->intent);
	if (!ret) {
		n->noted = true;
		intent_wait(&o->committer, n->intent.session, n->intent.request);
	}
	pthread_mutex_unlock(&o->lock);
	return ret;
}

/*
 * So that who changed a directory need not ask for its attributes to use it again. After the change: one of the same session that
 * is under way may be in it or not, and the session keeps nothing while it has one.
 */
static void answer_parent(struct request *r, const struct named *n)
{
	bool entry = r->answer.type == VOL_ENTRY;
	struct vol_attr *attr = entry ? &r->answer.entry.parent : &r->answer.named.parent;
	uint8_t *cache = entry ? &r->answer.entry.cache : &r->answer.named.cache;

	if (!vol_fid_equal(&n->parent[0]->fid, &n->parent[n->n - 1]->fid))
		return; /* two directories: there is room for one */
	if (lend_attr(r, &n->parent[0]->fid) && !files_stat(n->parent[0], attr))
		*cache |= VOL_CACHE_PARENT;
}

int names_end(struct request *r, struct named *n, int error, const struct file *made)
{
	struct owner *o = r->owner;

	if (n->noted) {
		error = owner_check(o, error);
		if (!error)
			commit_wait(&o->committer);
		pthread_mutex_lock(&o->lock);
		intent_done(o->intents, n->intent.session, n->intent.request, (uint32_t)-error,
			    made ? &made->fid : NULL);
		pthread_mutex_unlock(&o->lock);
	}
	if (!error && n->locked)
		answer_parent(r, n);
	claim_end(o, n->claim);
	if (n->locked)
		unlock_names(o, n);
	files_put(&o->files, n->parent[0]);
	files_put(&o->files, n->parent[1]);
	return error;
}

void names_now(struct owner *o, const struct intent *i, struct intent_now *ret)
{
	struct file *file;
	struct vol_attr attr;

	memset(ret, 0, sizeof(*ret));
	if (i->op == INTENT_APPEND) {
		if (!files_get(&o->files, &i->file, &file)) {
			if (!files_stat(file, &attr))
				ret->size = attr.size;
			files_put(&o->files, file);
		}
		return;
	}
	for (int k = 0; k < 2; k++) {
		if (vol_fid_none(&i->parent[k]) || files_get(&o->files, &i->parent[k], &file))
			continue;
		fid_of(o, file, i->name[k], &ret->file[k]);
		files_put(&o->files, file);
	}
}

/* --- lookup --- */

int do_lookup(struct request *r)
{
	const struct vol_lookup *q = &question(r)->lookup;
	struct vol_entry *e = &r->answer.entry;
	struct files *f = &r->owner->files;
	struct file *parent, *file = NULL;
	int ret = check_name(r->owner, &q->parent, q->name);

	if (ret)
		return ret == -EPERM ? -ENOENT : ret;
	ret = files_get(f, &q->parent, &parent);
	if (ret)
		return ret;
	e->cache = lend_name(r, &parent->fid, q->name);
	ret = rights_take(&q->cred);
	if (!ret)
		ret = find(f, parent, q->name, &file);
	rights_drop();
	if (!ret)
		ret = answer_entry(r, file);
	else if (ret == -ENOENT && e->cache)
		ret = 0; /* no file: that is what may be cached */
	files_put(f, file);
	files_put(f, parent);
	return ret;
}

/* --- make --- */

/* With the rights of who asks; a link of a file by its descriptor. */
static int make(struct request *r, const struct named *n, const struct file *linked)
{
	const struct vol_message *q = question(r);
	int dir = n->parent[0]->path_fd;
	const char *name = n->intent.name[0];
	char text[4096];

	switch (q->type) {
	case VOL_MKNOD:
		if (S_ISDIR(q->mknod.mode))
			return mkdirat(dir, name, q->mknod.mode & 07777) ? -errno : 0;
		return mknodat(dir, name, q->mknod.mode, q->mknod.rdev) ? -errno : 0;
	case VOL_SYMLINK:
		if (!q->symlink.target.len || q->symlink.target.len >= sizeof(text))
			return -ENAMETOOLONG;
		text_copy_n(text, sizeof(text), (const char *)q->symlink.target.data, q->symlink.target.len);
		return symlinkat(text, dir, name) ? -errno : 0;
	default:
		files_path(linked, text);
		return linkat(AT_FDCWD, text, dir, name, AT_SYMLINK_FOLLOW) ? -errno : 0;
	}
}

static const struct vol_cred *maker(const struct vol_message *q)
{
	return q->type == VOL_MKNOD ? &q->mknod.cred : q->type == VOL_SYMLINK ? &q->symlink.cred : &q->link.cred;
}

static int make_by_rights(struct request *r, const struct named *n, const struct file *linked)
{
	rights_scope int ret = rights_take(maker(question(r)));

	return ret ? ret : make(r, n, linked);
}

static int make_new(struct request *r, struct named *n, struct file **ret_file)
{
	struct owner *o = r->owner;
	bool link = question(r)->type == VOL_LINK;
	struct file *linked = NULL;
	int ret = link ? files_get(&o->files, &question(r)->link.file, &linked) : 0;

	if (!ret && link && linked->orphan)
		ret = -ENOENT;
	if (!ret && !vol_fid_none(&n->intent.had[0]))
		ret = -EEXIST;
	if (!ret)
		ret = names_intent(r, n);
	if (!ret) {
		do {
			/* A link must not come back to a file whose last name is just being looked at. */
			pthread_mutex_lock(&o->last);
			ret = make_by_rights(r, n, linked);
			pthread_mutex_unlock(&o->last);
		} while (room_comes(o, ret));
	}
	if (!ret)
		ret = find(&o->files, n->parent[0], n->intent.name[0], ret_file);
	files_put(&o->files, linked);
	return ret;
}

/* The name that was made or found: it is locked, so this is what it is. */
static void lend_made(struct request *r, const struct named *n, int error)
{
	if (!error && !n->happened)
		r->answer.entry.cache = lend_name(r, &n->parent[0]->fid, n->intent.name[0]);
}

/* Others may have found it meanwhile, and made names in it. */
static bool is_empty(struct files *f, const struct file *directory)
{
	int fd = files_reopen(f, directory, O_RDONLY | O_DIRECTORY), n = 0;
	DIR *d = fd < 0 ? NULL : fdopendir(fd);

	if (!d) {
		if (fd >= 0)
			close(fd);
		return false;
	}
	while (n < 3 && readdir(d))
		n++;
	closedir(d);
	return n == 2; /* "." and ".." */
}

/* What is made in a new directory need not be looked for there. */
static void lend_new_directory(struct request *r, const struct file *file)
{
	if (S_ISDIR(file->type) && lend_whole(r, &file->fid) && is_empty(&r->owner->files, file))
		r->answer.entry.cache |= VOL_CACHE_WHOLE;
}

int do_make(struct request *r)
{
	struct files *f = &r->owner->files;
	struct file *file = NULL;
	struct named n;
	int ret = names_begin(r, &n);

	if (!ret && n.happened)
		ret = files_get(f, question(r)->type == VOL_LINK ? &question(r)->link.file : &n.intent.file, &file);
	else if (!ret)
		ret = make_new(r, &n, &file);
	lend_made(r, &n, ret);
	if (!ret && !n.happened)
		lend_new_directory(r, file);
	ret = names_end(r, &n, ret, file);
	if (!ret)
		ret = answer_entry(r, file);
	files_put(f, file);
	return ret;
}

/* --- create --- */

/* As open(2) with O_CREAT and O_EXCL makes it, but not opened: data go by the descriptor of the file. */
static int make_file(struct request *r, const struct named *n)
{
	const struct vol_create *q = &question(r)->create;
	rights_scope int ret = rights_take(&q->cred);

	if (ret)
		return ret;
	return mknodat(n->parent[0]->path_fd, n->intent.name[0], S_IFREG | (q->mode & 07777), 0) ? -errno : 0;
}

static int create_new(struct request *r, struct named *n, struct file **ret_file)
{
	int ret = names_intent(r, n);

	if (ret)
		return ret;
	do
		ret = make_file(r, n);
	while (room_comes(r->owner, ret));
	if (ret)
		return ret;
	return find(&r->owner->files, n->parent[0], n->intent.name[0], ret_file);
}

/* It is there, and that is fine: as open(2) then. */
static int open_old(struct request *r, const struct named *n, struct file **ret_file)
{
	const struct vol_create *q = &question(r)->create;
	struct files *f = &r->owner->files;
	int access = (int)(q->flags & O_ACCMODE);
	int fd, ret = q->flags & O_EXCL ? -EEXIST : find(f, n->parent[0], n->intent.name[0], ret_file);

	if (ret)
		return ret;
	if (S_ISDIR((*ret_file)->type))
		return -EISDIR;
	ret = rights_take(&q->cred);
	fd = ret ? ret : files_reopen(f, *ret_file, q->flags & O_TRUNC && access == O_RDONLY ? O_RDWR : access);
	rights_drop();
	if (fd < 0)
		return fd;
	close(fd);
	return q->flags & O_TRUNC ? file_truncate(r->owner, r->session, *ret_file, 0) : 0;
}

int do_create(struct request *r)
{
	const struct vol_create *q = &question(r)->create;
	struct owner *o = r->owner;
	struct file *file = NULL;
	struct named n;
	int ret = names_begin(r, &n);

	if (!ret && n.happened)
		ret = files_get(&o->files, &n.intent.file, &file);
	else if (!ret && vol_fid_none(&n.intent.had[0]))
		ret = create_new(r, &n, &file);
	else if (!ret)
		ret = open_old(r, &n, &file);
	if (!ret) {
		/* Before the name's lock is gone: nobody removes it for good in between. */
		files_hold(&o->files, file);
		pthread_mutex_lock(&o->last);
		ret = handle_add(o, r->session, q->handle, file, q->flags);
		pthread_mutex_unlock(&o->last);
	}
	lend_made(r, &n, ret);
	ret = names_end(r, &n, ret, file);
	if (!ret)
		ret = answer_entry(r, file);
	r->answer.entry.keep = !ret;
	files_put(&o->files, file);
	return ret;
}
