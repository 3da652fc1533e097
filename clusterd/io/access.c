/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Access to the control socket by groups, without waiting for a name service. */
#include "clusterd/io/access.h"

#include <errno.h>
#include <grp.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bounds.h"
#include "cleanup.h"
#include "text.h"

#define GROUP_FILE "/etc/group"
#define GROUP_BUFFER_SIZE 65536 /* getgrnam_r(3): the members' names too */
#define GROUPS 2

struct group_id {
	char name[NAME_SIZE];
	_Atomic int64_t asked; /* what the name service said; -1: nothing (yet) */
};

struct access {
	struct group_id groups[GROUPS]; /* full, read */
	atomic_uint owners;             /* the caller, and the thread while it runs */
};

static void release(struct access *a)
{
	if (atomic_fetch_sub(&a->owners, 1) == 1)
		free(a);
}

/* By the file alone: what may be elsewhere may take long. */
static bool group_in_file(const char *name, gid_t *ret_gid)
{
	cleanup_free char *buffer = malloc(GROUP_BUFFER_SIZE);
	cleanup_file FILE *f = fopen(GROUP_FILE, "re");
	struct group group, *found = NULL;

	while (name[0] && buffer && f && !fgetgrent_r(f, &group, buffer, GROUP_BUFFER_SIZE, &found)) {
		if (strcmp(group.gr_name, name) != 0)
			continue;
		*ret_gid = group.gr_gid;
		return true;
	}
	return false;
}

static bool group_id(const struct group_id *g, gid_t *ret_gid)
{
	int64_t asked = atomic_load(&g->asked);

	if (group_in_file(g->name, ret_gid))
		return true;
	*ret_gid = (gid_t)asked;
	return asked >= 0;
}

static void *ask_names(void *data)
{
	struct access *a = data;
	cleanup_free char *buffer = malloc(GROUP_BUFFER_SIZE);
	struct group group, *found;
	gid_t gid;

	for (unsigned int i = 0; buffer && i < GROUPS; i++) {
		const char *name = a->groups[i].name;

		found = NULL;
		if (name[0] && !group_in_file(name, &gid) && !getgrnam_r(name, &group, buffer, GROUP_BUFFER_SIZE, &found) && found)
			atomic_store(&a->groups[i].asked, found->gr_gid);
	}
	release(a);
	return NULL;
}

int access_new(struct access **ret_access, const char *group_full, const char *group_read)
{
	struct access *a = calloc(1, sizeof(*a));
	sigset_t all, before;
	gid_t gid;
	pthread_t thread;
	int error = 0;

	if (!a)
		return -ENOMEM;
	text_copy(a->groups[0].name, NAME_SIZE, group_full);
	text_copy(a->groups[1].name, NAME_SIZE, group_read);
	a->groups[0].asked = a->groups[1].asked = -1;
	a->owners = 1;
	if (!group_in_file(group_full, &gid) || !group_in_file(group_read, &gid)) {
		a->owners = 2;
		sigfillset(&all); /* signals are the loop's business */
		pthread_sigmask(SIG_SETMASK, &all, &before);
		error = -pthread_create(&thread, NULL, ask_names, a);
		pthread_sigmask(SIG_SETMASK, &before, NULL);
		if (!error)
			pthread_detach(thread);
	}
	if (error) {
		free(a);
		return error;
	}
	*ret_access = a;
	return 0;
}

void access_free(struct access *a)
{
	if (a)
		release(a);
}

/* Are all four user ids (real, effective, saved, file system) this one? Else the id belongs to another process by now. */
static bool ids_are(const char *text, uid_t uid)
{
	unsigned int id[4];

	return sscanf(text, "%u %u %u %u", &id[0], &id[1], &id[2], &id[3]) == 4 && id[0] == uid && id[1] == uid && id[2] == uid &&
	       id[3] == uid;
}

static bool list_has(const char *text, gid_t gid)
{
	char *end;

	for (unsigned long id = strtoul(text, &end, 10); end != text; id = strtoul(text, &end, 10)) {
		if (id == gid)
			return true;
		text = end;
	}
	return false;
}

static bool process_in_group(pid_t pid, uid_t uid, gid_t gid)
{
	char path[32];
	cleanup_file FILE *f = NULL;
	cleanup_free char *line = NULL;
	bool same = false;
	size_t size = 0;

	snprintf(path, sizeof(path), "/proc/%d/status", pid);
	f = fopen(path, "re");
	while (f && getline(&line, &size, f) > 0) {
		if (!strncmp(line, "Uid:", 4))
			same = ids_are(line + 4, uid);
		else if (!strncmp(line, "Groups:", 7))
			return same && list_has(line + 7, gid);
	}
	return false;
}

enum control_access access_of(const struct access *a, pid_t pid, uid_t uid, gid_t gid)
{
	static const enum control_access gives[GROUPS] = { CONTROL_FULL, CONTROL_READ };
	gid_t wanted;

	if (uid == 0)
		return CONTROL_FULL;
	for (unsigned int i = 0; i < GROUPS; i++)
		if (group_id(&a->groups[i], &wanted) && (gid == wanted || process_in_group(pid, uid, wanted)))
			return gives[i];
	return CONTROL_NONE;
}
