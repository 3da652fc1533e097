/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Conformance cases: each runs in a fresh directory and prints what every call answered, errno by name, one line a call. What is
 * right is what a local ext4 says: the runner compares line by line. So a line holds nothing that differs between two file
 * systems that both are right: no inode numbers, times, device numbers.
 */
#ifndef TESTS_CSVFS_POSIX_POSIX_H
#define TESTS_CSVFS_POSIX_POSIX_H

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <unistd.h>

#define UID_OWNER 31001
#define UID_MEMBER 31002 /* in the owner's group */
#define UID_OTHER 31003
#define GID_OWNER 32001
#define GID_SECOND 32002 /* the owner is in it too */
#define GID_OTHER 32003

/* Registers a function of cases. */
void posix_group(const char *name, void (*run)(void));
#define GROUP(id)                                                        \
	static void id(void);                                            \
	__attribute__((constructor)) static void id##_register(void) { posix_group(#id, id); } \
	static void id(void)

/* Begins a case: the current directory is a new empty one, the umask 022. The one before ends. */
void sub(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
/* A line of the case. */
void say(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
/* A line "text = value" or "text = ERRNO"; the value. */
long note(const char *text, long value);
/* The same of a descriptor: "ok". */
int note_fd(const char *text, int fd);
#define T(call) note(#call, (long)(call))
#define F(call) note_fd(#call, (call))
/* The same with a text of one's own. */
#define TT(text, call) note(text, (long)(call))

/* fn(arg) in a child with that user; its lines appear here. */
void as_user(uid_t uid, gid_t gid, gid_t second, void (*fn)(void *), void *arg);
/* fn(arg) in a child; what it ended with. */
int in_child(int (*fn)(void *), void *arg);

/* "-rw-r--r-- uid gid nlink size" of a name, symlinks not followed. */
void say_stat(const char *name);
/* "N bytes, sum X" of the contents. */
void say_content(const char *name);
void say_content_fd(int fd);
/* Quiet helpers: what they do must work, or the suite ends. */
void make_file(const char *name, size_t size, mode_t mode);
void make_dir(const char *name, mode_t mode);
void fill(void *buf, size_t size, unsigned salt);
void need(bool ok, const char *what);

#endif
