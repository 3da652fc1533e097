/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Removing names. A regular file whose last name goes is moved to the directory of orphans while anybody has it open or
 * has blocks of it; and always in grace, when nobody knows. There it is removed after the last close, when its blocks
 * have been taken back [I5]: so whoever removes a name never waits for a silent holder.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "csvfs/owner/names.h"
#include "csvfs/owner/rights.h"
#include "text.h"

/* owner.last is held. */
static bool is_in_use(struct owner *o, const struct file *file)
{
	bool used;

	pthread_mutex_lock(&o->lock);
	used = o->grace || file->opens;
	for (uint32_t i = 0; !used && i < VOL_SESSION_MAX; i++)
		used = o->sessions[i] && grant_holds(o->grants, &file->fid, i, 0, NO_END);
	pthread_mutex_unlock(&o->lock);
	return used;
}

static bool is_last(const struct file *file)
{
	struct stat st;

	return S_ISREG(file->type) && !fstat(file->path_fd, &st) && st.st_nlink == 1;
}

void orphan_note(struct owner *o, struct file *file)
{
	o->orphans += !file->orphan;
	file->orphan = true;
}

static bool remove_claimed(struct owner *o, struct file *file)
{
	char name[FILES_ORPHAN_SIZE];
	bool opened, gone = false;

	files_orphan_name(&file->fid, name);
	pthread_mutex_lock(&o->last);
	pthread_mutex_lock(&o->lock);
	opened = file->opens || o->grace;
	pthread_mutex_unlock(&o->lock);
	if (!opened && !unlinkat(o->files.orphans_fd, name, 0))
		gone = file->gone = true;
	pthread_mutex_unlock(&o->last);
	return gone;
}

void orphan_remove(struct owner *o, struct file *file)
{
	bool gone = false, was;
	uint64_t claim;

	/* Given up: the next owner finds it. */
	if (!claim_take(o, NULL, file, VOL_RECALL_EXTENTS | VOL_RECALL_SOLE, 0, NO_END, &claim)) {
		gone = remove_claimed(o, file);
		claim_end(o, claim);
	}
	was = file->orphan;
	files_put(&o->files, file);
	if (!gone)
		return;
	/* The last descriptor is closed, if nobody else has it at this moment: the blocks are free. */
	pthread_mutex_lock(&o->lock);
	o->orphans -= was;
	o->orphans_gone++;
	pthread_cond_broadcast(&o->changed);
	pthread_mutex_unlock(&o->lock);
}

struct collected {
	struct collected *next;
	char name[FILES_ORPHAN_SIZE];
};

static struct collected *list_orphans(struct owner *o)
{
	int fd = openat(o->files.orphans_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *dir = fd < 0 ? NULL : fdopendir(fd);
	struct collected *list = NULL, *one;
	struct dirent *e;

	if (!dir) {
		if (fd >= 0)
			close(fd);
		return NULL;
	}
	while ((e = readdir(dir))) {
		one = *e->d_name == '.' || strlen(e->d_name) >= sizeof(one->name) ? NULL : calloc(1, sizeof(*one));
		if (!one)
			continue;
		text_copy(one->name, sizeof(one->name), e->d_name);
		one->next = list;
		list = one;
	}
	closedir(dir);
	return list;
}

static void orphans_collect(struct owner *o, struct file *unused)
{
	struct collected *list = list_orphans(o), *one;
	struct vol_fid fid;
	struct file *file;

	(void)unused;
	while ((one = list)) {
		list = one->next;
		if (!files_orphan_parse(one->name, &fid) && !files_get(&o->files, &fid, &file)) {
			if (is_last(file)) {
				pthread_mutex_lock(&o->lock);
				orphan_note(o, file);
				pthread_mutex_unlock(&o->lock);
			}
			orphan_remove(o, file);
		}
		free(one);
	}
}

int orphans_collect_later(struct owner *o)
{
	return job_later(o, orphans_collect, NULL);
}

/* --- unlink --- */

/* As who asks. `orphan`: its name among the orphans, or NULL. */
static int remove_name(const struct vol_cred *cred, int orphans_fd, const struct named *n, int flags,
		       const char *orphan)
{
	int dir = n->parent[0]->path_fd;
	rights_scope int ret = rights_take(cred);

	if (ret)
		return ret;
	if (orphan)
		ret = renameat(dir, n->intent.name[0], orphans_fd, orphan);
	else
		ret = unlinkat(dir, n->intent.name[0], flags);
	return ret ? -errno : 0;
}

/* *ret_idle: nobody has it open: its blocks are to be freed. */
static int unlink_last(struct request *r, const struct named *n, struct file *file, bool *ret_idle)
{
	const struct vol_unlink *q = &question(r)->unlink;
	struct owner *o = r->owner;
	char name[FILES_ORPHAN_SIZE];
	bool last, used;
	int ret;

	files_orphan_name(&file->fid, name);
	pthread_mutex_lock(&o->last);
	last = is_last(file);
	used = last && is_in_use(o, file);
	ret = remove_name(&q->cred, o->files.orphans_fd, n, q->directory ? AT_REMOVEDIR : 0, used ? name : NULL);
	if (!ret) {
		pthread_mutex_lock(&o->lock);
		if (used)
			orphan_note(o, file);
		*ret_idle = used && !file->opens && !o->grace;
		pthread_mutex_unlock(&o->lock);
		file->gone |= (last && !used) || S_ISDIR(file->type);
	}
	pthread_mutex_unlock(&o->last);
	return ret;
}

/* Takes over the reference. */
static void free_later(struct owner *o, struct file *file, bool idle)
{
	if (!idle || job_later(o, orphan_remove, file))
		files_put(&o->files, file);
}

int do_unlink(struct request *r)
{
	struct owner *o = r->owner;
	struct file *file = NULL;
	struct named n;
	bool idle = false;
	int ret = names_begin(r, &n);

	if (!ret && !n.happened) {
		ret = vol_fid_none(&n.intent.had[0]) ? -ENOENT : files_get(&o->files, &n.intent.had[0], &file);
		if (!ret && !question(r)->unlink.directory && S_ISDIR(file->type))
			ret = -EISDIR;
		if (!ret && question(r)->unlink.directory && !S_ISDIR(file->type))
			ret = -ENOTDIR;
		if (!ret)
			ret = names_intent(r, &n);
		if (!ret)
			ret = unlink_last(r, &n, file, &idle);
	}
	r->answer.named.file = n.intent.had[0];
	if (!ret && !n.happened) /* that it is not there is looked for next, if it is a lock or a new version */
		r->answer.named.cache = lend_name(r, &n.parent[0]->fid, n.intent.name[0]);
	ret = names_end(r, &n, ret, NULL);
	free_later(o, file, idle);
	return ret;
}

/* --- rename --- */

static int rename_by_rights(struct request *r, const struct named *n)
{
	const struct vol_rename *q = &question(r)->rename;
	rights_scope int ret = rights_take(&q->cred);

	if (ret)
		return ret;
	return renameat2(n->parent[0]->path_fd, q->name, n->parent[1]->path_fd, q->new_name, q->flags) ? -errno : 0;
}

/*
 * The file that is replaced gets a name among the orphans first, when it must not go yet. When that is all that happens
 * before a crash, the end of grace takes the name away again, and the file has its own.
 */
static int rename_over(struct request *r, const struct named *n, struct file *target, bool *ret_idle)
{
	struct owner *o = r->owner;
	char name[FILES_ORPHAN_SIZE], path[FILES_PATH_SIZE];
	bool last = false, used = false;
	int ret = 0;

	pthread_mutex_lock(&o->last);
	if (target) {
		last = is_last(target);
		used = last && is_in_use(o, target);
	}
	if (used) {
		files_orphan_name(&target->fid, name);
		files_path(target, path);
		if (linkat(AT_FDCWD, path, o->files.orphans_fd, name, AT_SYMLINK_FOLLOW) && errno != EEXIST)
			ret = -errno;
	}
	if (!ret) {
		ret = rename_by_rights(r, n);
		if (ret && used)
			unlinkat(o->files.orphans_fd, name, 0);
	}
	if (!ret && target) {
		pthread_mutex_lock(&o->lock);
		if (used)
			orphan_note(o, target);
		*ret_idle = used && !target->opens && !o->grace;
		pthread_mutex_unlock(&o->lock);
		target->gone |= (last && !used) || S_ISDIR(target->type);
	}
	pthread_mutex_unlock(&o->last);
	return ret;
}

int do_rename(struct request *r)
{
	const struct vol_rename *q = &question(r)->rename;
	struct owner *o = r->owner;
	struct file *target = NULL;
	struct named n;
	bool idle = false, replaces;
	int ret = names_begin(r, &n);

	if (!ret && !n.happened) {
		replaces = !vol_fid_none(&n.intent.had[1]) && !(q->flags & (RENAME_EXCHANGE | RENAME_NOREPLACE)) &&
			   !vol_fid_equal(&n.intent.had[0], &n.intent.had[1]);
		if (q->flags & ~(uint32_t)(RENAME_EXCHANGE | RENAME_NOREPLACE | RENAME_WHITEOUT))
			ret = -EINVAL;
		else if (vol_fid_none(&n.intent.had[0]))
			ret = -ENOENT;
		else if (replaces)
			ret = files_get(&o->files, &n.intent.had[1], &target);
		if (!ret)
			ret = names_intent(r, &n);
		if (!ret)
			ret = rename_over(r, &n, target, &idle);
	}
	r->answer.named.file = n.intent.had[0];
	r->answer.named.other = n.intent.had[1];
	ret = names_end(r, &n, ret, NULL);
	free_later(o, target, idle);
	return ret;
}
