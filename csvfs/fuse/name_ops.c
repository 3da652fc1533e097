/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Operations of FUSE on names and directories. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/sysmacros.h>

#include "cleanup.h"
#include "csvfs/fuse/csvfs.h"
#include "text.h"

void call_cred(struct vol_cred *ret, fuse_req_t req)
{
	const struct fuse_ctx *x = fuse_req_ctx(req);
	gid_t groups[VOL_GROUPS_MAX];
	int n = x->uid ? fuse_req_getgroups(req, VOL_GROUPS_MAX, groups) : 0;

	ret->uid = x->uid;
	ret->gid = x->gid;
	ret->umask = x->umask;
	if (n > VOL_GROUPS_MAX)
		n = VOL_GROUPS_MAX;
	for (int k = 0; k < n; k++)
		ret->groups[k] = groups[k];
	ret->n_groups = n > 0 ? (uint32_t)n : 0;
}

static struct timespec time_of(int64_t ns)
{
	int64_t seconds = ns / 1000000000 - (ns % 1000000000 < 0);

	return (struct timespec){ .tv_sec = seconds, .tv_nsec = ns - seconds * 1000000000 };
}

void stat_of(struct inode *i, const struct vol_attr *a, struct stat *ret)
{
	int64_t written_ns;

	*ret = (struct stat){ .st_ino = a->ino, .st_size = (off_t)a->size, .st_blocks = (blkcnt_t)a->blocks, .st_rdev = a->rdev,
			      .st_mode = a->mode, .st_nlink = a->nlink, .st_uid = a->uid, .st_gid = a->gid,
			      .st_blksize = (blksize_t)a->blksize, .st_atim = time_of(a->atime_ns),
			      .st_mtim = time_of(a->mtime_ns), .st_ctim = time_of(a->ctime_ns) };
	pthread_mutex_lock(&i->lock);
	i->attr = *a;
	i->mode = a->mode;
	i->size = a->size;
	written_ns = i->dirty || i->touching ? i->mtime_ns : INT64_MIN;
	pthread_mutex_unlock(&i->lock);
	if (written_ns > a->mtime_ns)
		ret->st_mtim = time_of(written_ns);
	if (written_ns > a->ctime_ns)
		ret->st_ctim = time_of(written_ns);
}

bool entry_of(const struct vol_entry *e, struct fuse_entry_param *ret)
{
	struct inode *i = inode_get(&e->file);

	*ret = (struct fuse_entry_param){ 0 };
	if (!i)
		return false;
	ret->ino = ino_of(i);
	stat_of(i, &e->attr, &ret->attr);
	return true;
}

static void reply_file(fuse_req_t req, const struct vol_entry *file)
{
	struct fuse_entry_param e;

	if (vol_fid_none(&file->file))
		fuse_reply_err(req, ENOENT);
	else if (!entry_of(file, &e))
		fuse_reply_err(req, ENOMEM);
	else if (fuse_reply_entry(req, &e) < 0)
		inode_put(inode_of(e.ino), 1); /* the kernel has not heard of it */
}

/* Takes the call. */
static void reply_entry(fuse_req_t req, struct call *c, int error)
{
	if (error)
		fuse_reply_err(req, -error);
	else
		reply_file(req, &c->answer.m.entry);
	call_done(c);
}

static void reply_done(fuse_req_t req, struct call *c)
{
	int error = session_ask(c);

	call_done(c);
	fuse_reply_err(req, -error);
}

/* The last close of the file frees its blocks: it is not put off any more. */
static void name_removed(const struct vol_fid *file)
{
	struct inode *i = vol_fid_none(file) ? NULL : inode_find(file);

	if (!i)
		return;
	atomic_store(&i->name_removed, true);
	inode_put(i, 1);
}

/* For the owner, too, it is closed first: what nobody has open is gone at once, and its blocks are free. */
static void remove_and_reply(fuse_req_t req, struct call *c)
{
	int error;

	handles_release_all();
	error = session_ask(c);
	if (!error)
		name_removed(c->q.type == VOL_UNLINK ? &c->answer.m.named.file : &c->answer.m.named.other);
	call_done(c);
	fuse_reply_err(req, -error);
}

static int name_of(char *out, const char *name)
{
	if (strlen(name) >= VOL_FNAME_SIZE)
		return -ENAMETOOLONG;
	text_copy(out, VOL_FNAME_SIZE, name);
	return 0;
}

static void op_lookup(fuse_req_t req, fuse_ino_t parent, const char *name)
{
	const struct vol_fid directory = fid_of(inode_of(parent));
	struct vol_entry known;
	struct call c;
	int error;

	/* Whether the directory may be searched the kernel has looked at. */
	if (caching_lookup(&directory, name, &known)) {
		reply_file(req, &known);
		return;
	}
	call_init(&c, VOL_LOOKUP);
	call_cred(&c.q.lookup.cred, req);
	c.q.lookup.parent = directory;
	error = name_of(c.q.lookup.name, name);
	reply_entry(req, &c, error ? error : session_ask(&c));
}

static void forget(fuse_ino_t ino, uint64_t n)
{
	if (ino != FUSE_ROOT_ID)
		inode_put(inode_of(ino), n);
}

static void op_forget(fuse_req_t req, fuse_ino_t ino, uint64_t n)
{
	forget(ino, n);
	fuse_reply_none(req);
}

static void op_forget_multi(fuse_req_t req, size_t count, struct fuse_forget_data *list)
{
	for (size_t k = 0; k < count; k++)
		forget(list[k].ino, list[k].nlookup);
	fuse_reply_none(req);
}

static void op_readlink(fuse_req_t req, fuse_ino_t ino)
{
	struct call c;
	char text[4097];
	int error;

	call_init(&c, VOL_READLINK);
	c.q.readlink.file = fid_of(inode_of(ino));
	error = session_ask(&c);
	if (!error)
		text_copy_n(text, sizeof(text), (const char *)c.answer.m.data.bytes.data, c.answer.m.data.bytes.len);
	call_done(&c);
	if (error)
		fuse_reply_err(req, -error);
	else
		fuse_reply_readlink(req, text);
}

static void op_mknod(fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode, dev_t rdev)
{
	struct call c;
	int error;

	call_init(&c, VOL_MKNOD);
	call_cred(&c.q.mknod.cred, req);
	c.q.mknod.parent = fid_of(inode_of(parent));
	c.q.mknod.mode = mode;
	c.q.mknod.rdev = rdev;
	error = name_of(c.q.mknod.name, name);
	reply_entry(req, &c, error ? error : session_ask(&c));
}

static void op_mkdir(fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode)
{
	op_mknod(req, parent, name, (mode & ~(mode_t)S_IFMT) | S_IFDIR, 0);
}

static void remove_name(fuse_req_t req, fuse_ino_t parent, const char *name, bool directory)
{
	struct call c;
	int error;

	call_init(&c, VOL_UNLINK);
	call_cred(&c.q.unlink.cred, req);
	c.q.unlink.parent = fid_of(inode_of(parent));
	c.q.unlink.directory = directory;
	error = name_of(c.q.unlink.name, name);
	if (!error) {
		remove_and_reply(req, &c);
		return;
	}
	call_done(&c);
	fuse_reply_err(req, -error);
}

static void op_unlink(fuse_req_t req, fuse_ino_t parent, const char *name) { remove_name(req, parent, name, false); }
static void op_rmdir(fuse_req_t req, fuse_ino_t parent, const char *name) { remove_name(req, parent, name, true); }

static void op_symlink(fuse_req_t req, const char *target, fuse_ino_t parent, const char *name)
{
	struct call c;
	int error;

	call_init(&c, VOL_SYMLINK);
	call_cred(&c.q.symlink.cred, req);
	c.q.symlink.parent = fid_of(inode_of(parent));
	c.q.symlink.target = (struct span){ (const uint8_t *)target, strlen(target) };
	error = name_of(c.q.symlink.name, name);
	reply_entry(req, &c, error ? error : session_ask(&c));
}

static void op_rename(fuse_req_t req, fuse_ino_t parent, const char *name, fuse_ino_t new_parent, const char *new_name,
		      unsigned int flags)
{
	struct call c;
	int error;

	call_init(&c, VOL_RENAME);
	call_cred(&c.q.rename.cred, req);
	c.q.rename.parent = fid_of(inode_of(parent));
	c.q.rename.new_parent = fid_of(inode_of(new_parent));
	c.q.rename.flags = flags;
	error = name_of(c.q.rename.name, name);
	if (!error)
		error = name_of(c.q.rename.new_name, new_name);
	if (!error) {
		remove_and_reply(req, &c);
		return;
	}
	call_done(&c);
	fuse_reply_err(req, -error);
}

static void op_link(fuse_req_t req, fuse_ino_t ino, fuse_ino_t parent, const char *name)
{
	struct call c;
	int error;

	call_init(&c, VOL_LINK);
	call_cred(&c.q.link.cred, req);
	c.q.link.file = fid_of(inode_of(ino));
	c.q.link.parent = fid_of(inode_of(parent));
	error = name_of(c.q.link.name, name);
	reply_entry(req, &c, error ? error : session_ask(&c));
}

static void op_create(fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode, struct fuse_file_info *fi)
{
	struct handle *h = handle_new((uint32_t)fi->flags);
	struct fuse_entry_param e;
	struct call c;
	int error;

	call_init(&c, VOL_CREATE);
	call_cred(&c.q.create.cred, req);
	c.q.create.parent = fid_of(inode_of(parent));
	c.q.create.mode = mode;
	c.q.create.flags = (uint32_t)fi->flags;
	error = h ? name_of(c.q.create.name, name) : -ENOMEM;
	if (!error) {
		c.q.create.handle = h->number;
		c.answered = handle_opened;
		c.user = h;
		error = session_ask(&c);
	}
	if (!error && !entry_of(&c.answer.m.entry, &e))
		error = -ENOMEM;
	call_done(&c);
	if (error) {
		handle_unopened(h, error);
		fuse_reply_err(req, -error);
		return;
	}
	handle_set_inode(h, inode_of(e.ino));
	fi->fh = (uint64_t)(uintptr_t)h;
	fi->direct_io = 1;
	fuse_reply_create(req, &e, fi);
}

/* --- directories --- */

static void op_opendir(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	(void)ino;
	fuse_reply_open(req, fi);
}

static void op_releasedir(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	(void)ino;
	(void)fi;
	fuse_reply_err(req, 0);
}

/* One entry; how much it takes of `room`, more than that when it does not fit. */
static size_t put_entry(fuse_req_t req, char *out, size_t room, const struct vol_dirent *d, bool plus)
{
	struct fuse_entry_param e = { .attr = { .st_ino = d->ino, .st_mode = (mode_t)d->type << 12 } };
	struct vol_entry entry = { .file = d->file, .attr = d->attr };
	size_t n;

	if (!plus)
		return fuse_add_direntry(req, out, room, d->name, &e.attr, (off_t)d->cookie);
	if (!vol_fid_none(&d->file) && !entry_of(&entry, &e))
		e.attr = (struct stat){ .st_ino = d->ino, .st_mode = (mode_t)d->type << 12 };
	n = fuse_add_direntry_plus(req, out, room, d->name, &e, (off_t)d->cookie);
	if (n > room && e.ino)
		forget(e.ino, 1);
	return n;
}

static size_t put_entries(fuse_req_t req, char *out, size_t size, const struct span *list, bool plus)
{
	struct reader r = reader_of(list->data, list->len);
	size_t used = 0;

	while (reader_left(&r)) {
		struct vol_dirent d;
		size_t n;

		vol_get_dirent(&r, &d, plus);
		if (r.bad)
			break;
		n = put_entry(req, out + used, size - used, &d, plus);
		if (n > size - used)
			break;
		used += n;
	}
	return used;
}

static void read_directory(fuse_req_t req, fuse_ino_t ino, size_t size, off_t cookie, bool plus)
{
	cleanup_free char *out = malloc(size);
	struct call c;
	size_t used = 0;
	int error;

	call_init(&c, VOL_READDIR);
	call_cred(&c.q.readdir.cred, req);
	c.q.readdir = (struct vol_readdir){ .cred = c.q.readdir.cred, .file = fid_of(inode_of(ino)), .cookie = (uint64_t)cookie,
					    .size = size < VOL_IO_MAX ? (uint32_t)size : VOL_IO_MAX, .plus = plus };
	error = out ? session_ask(&c) : -ENOMEM;
	if (!error)
		used = put_entries(req, out, size, &c.answer.m.data.bytes, plus);
	call_done(&c);
	if (error)
		fuse_reply_err(req, -error);
	else
		fuse_reply_buf(req, out, used);
}

static void op_readdir(fuse_req_t req, fuse_ino_t ino, size_t size, off_t cookie, struct fuse_file_info *fi)
{
	(void)fi;
	read_directory(req, ino, size, cookie, false);
}

static void op_readdirplus(fuse_req_t req, fuse_ino_t ino, size_t size, off_t cookie, struct fuse_file_info *fi)
{
	(void)fi;
	read_directory(req, ino, size, cookie, true);
}

static void op_fsyncdir(fuse_req_t req, fuse_ino_t ino, int data_only, struct fuse_file_info *fi)
{
	struct call c;

	(void)fi;
	call_init(&c, VOL_FSYNC);
	c.q.fsync.file = fid_of(inode_of(ino));
	c.q.fsync.data_only = data_only != 0;
	reply_done(req, &c);
}

void names_operations(struct fuse_lowlevel_ops *ops)
{
	ops->lookup = op_lookup;
	ops->forget = op_forget;
	ops->forget_multi = op_forget_multi;
	ops->readlink = op_readlink;
	ops->mknod = op_mknod;
	ops->mkdir = op_mkdir;
	ops->unlink = op_unlink;
	ops->rmdir = op_rmdir;
	ops->symlink = op_symlink;
	ops->rename = op_rename;
	ops->link = op_link;
	ops->create = op_create;
	ops->opendir = op_opendir;
	ops->readdir = op_readdir;
	ops->readdirplus = op_readdirplus;
	ops->releasedir = op_releasedir;
	ops->fsyncdir = op_fsyncdir;
}
