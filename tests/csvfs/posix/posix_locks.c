/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Locks: POSIX, OFD, flock; within a process and between processes. */
#include <signal.h>
#include <sys/file.h>
#include <sys/wait.h>

#include "tests/csvfs/posix/posix.h"

static int lock(int fd, int cmd, int type, int whence, long start, long len)
{
	struct flock l = { .l_type = (short)type, .l_whence = (short)whence, .l_start = start, .l_len = len };

	return fcntl(fd, cmd, &l);
}

static void say_getlk(const char *text, int fd, int cmd, int type, long start, long len)
{
	struct flock l = { .l_type = (short)type, .l_whence = SEEK_SET, .l_start = start, .l_len = len };

	if (fcntl(fd, cmd, &l))
		say("%s = %s", text, strerrorname_np(errno));
	else if (l.l_type == F_UNLCK)
		say("%s: free", text);
	else
		say("%s: type %d start %ld len %ld %s", text, l.l_type, (long)l.l_start, (long)l.l_len,
		    l.l_pid == -1	   ? "open file"
		    : l.l_pid == getppid() ? "parent"
					   : "another");
}

static int probe(void *arg)
{
	int fd = open("f", O_RDWR);

	(void)arg;
	for (long at = 0; at < 100; at += 10) {
		char text[32];

		snprintf(text, sizeof(text), "at %ld", at);
		say_getlk(text, fd, F_GETLK, F_WRLCK, at, 10);
	}
	say_getlk("read at 0", fd, F_GETLK, F_RDLCK, 0, 0);
	say_getlk("all", fd, F_GETLK, F_WRLCK, 0, 0);
	return 0;
}

GROUP(locks_posix)
{
	static const struct {
		const char *name;
		struct {
			int type;
			long start, len;
		} op[4];
	} sets[] = {
		{ "whole", { { F_WRLCK, 0, 0 } } },
		{ "range", { { F_WRLCK, 10, 20 } } },
		{ "read", { { F_RDLCK, 10, 20 } } },
		{ "split", { { F_WRLCK, 0, 90 }, { F_UNLCK, 30, 20 } } },
		{ "merge", { { F_WRLCK, 0, 30 }, { F_WRLCK, 30, 30 } } },
		{ "convert_middle", { { F_WRLCK, 0, 90 }, { F_RDLCK, 30, 20 } } },
		{ "upgrade", { { F_RDLCK, 0, 50 }, { F_WRLCK, 0, 50 } } },
		{ "negative_length", { { F_WRLCK, 50, -20 } } },
		{ "to_the_end_then_cut", { { F_WRLCK, 0, 0 }, { F_UNLCK, 50, 0 } } },
		{ "three_parts", { { F_RDLCK, 0, 20 }, { F_WRLCK, 40, 20 }, { F_RDLCK, 80, 20 }, { F_UNLCK, 45, 5 } } },
	};
	int fd, fd2;

	for (size_t i = 0; i < sizeof(sets) / sizeof(sets[0]); i++) {
		sub("%s", sets[i].name);
		make_file("f", 1000, 0644);
		fd = open("f", O_RDWR);
		for (int o = 0; o < 4; o++)
			if (o == 0 || sets[i].op[o].start || sets[i].op[o].len)
				TT("lock", lock(fd, F_SETLK, sets[i].op[o].type, SEEK_SET, sets[i].op[o].start,
						sets[i].op[o].len));
		in_child(probe, NULL);
		close(fd);
	}
	sub("close_of_another_descriptor");
	make_file("f", 1000, 0644);
	fd = open("f", O_RDWR);
	fd2 = open("f", O_RDWR);
	T(lock(fd, F_SETLK, F_WRLCK, SEEK_SET, 0, 0));
	close(fd2);
	in_child(probe, NULL);
	close(fd);
	sub("own_lock_is_not_in_the_way");
	make_file("f", 1000, 0644);
	fd = open("f", O_RDWR);
	fd2 = open("f", O_RDWR);
	T(lock(fd, F_SETLK, F_WRLCK, SEEK_SET, 0, 0));
	T(lock(fd2, F_SETLK, F_WRLCK, SEEK_SET, 0, 0));
	say_getlk("of the same process", fd2, F_GETLK, F_WRLCK, 0, 0);
	close(fd);
	close(fd2);
	sub("rights_and_errors");
	make_file("f", 1000, 0644);
	fd = open("f", O_RDONLY);
	fd2 = open("f", O_WRONLY);
	T(lock(fd, F_SETLK, F_WRLCK, SEEK_SET, 0, 0));
	T(lock(fd2, F_SETLK, F_RDLCK, SEEK_SET, 0, 0));
	T(lock(fd, F_SETLK, F_RDLCK, SEEK_SET, -1, 0));
	T(lock(fd, F_SETLK, F_RDLCK, SEEK_SET, 10, -20));
	T(lock(fd, F_SETLK, 77, SEEK_SET, 0, 0));
	T(lock(fd, F_SETLK, F_RDLCK, 77, 0, 0));
	T(lock(fd, F_SETLK, F_UNLCK, SEEK_SET, 0, 0));
	T(lock(fd2, F_SETLK, F_WRLCK, SEEK_END, -10, 5));
	in_child(probe, NULL);
	close(fd);
	close(fd2);
}

static int other_lock(void *arg)
{
	int fd = open("f", O_RDWR), cmd = *(int *)arg;

	say("read = %s", lock(fd, cmd, F_RDLCK, SEEK_SET, 0, 10) ? strerrorname_np(errno) : "ok");
	say("write = %s", lock(fd, cmd, F_WRLCK, SEEK_SET, 5, 10) ? strerrorname_np(errno) : "ok");
	say("elsewhere = %s", lock(fd, cmd, F_WRLCK, SEEK_SET, 500, 10) ? strerrorname_np(errno) : "ok");
	say("flock shared = %s", flock(fd, LOCK_SH | LOCK_NB) ? strerrorname_np(errno) : "ok");
	say("flock exclusive = %s", flock(fd, LOCK_EX | LOCK_NB) ? strerrorname_np(errno) : "ok");
	return 0;
}

GROUP(locks_conflicts)
{
	static const struct {
		const char *name;
		int cmd;
	} kinds[] = { { "posix", F_SETLK }, { "ofd", F_OFD_SETLK } };

	for (int mine = 0; mine < 3; mine++)
		for (int theirs = 0; theirs < 2; theirs++)
			for (int type = 0; type < 2; type++) {
				sub("%s_%s_against_%s", mine == 2 ? "flock" : kinds[mine].name, type ? "write" : "read",
				    kinds[theirs].name);
				make_file("f", 1000, 0644);
				int fd = open("f", O_RDWR);

				if (mine == 2)
					TT("mine", flock(fd, type ? LOCK_EX : LOCK_SH));
				else
					TT("mine",
					   lock(fd, kinds[mine].cmd, type ? F_WRLCK : F_RDLCK, SEEK_SET, 0, 100));
				in_child(other_lock, (void *)&kinds[theirs].cmd);
				close(fd);
				in_child(other_lock, (void *)&kinds[theirs].cmd);
			}
	sub("ofd_in_one_process");
	make_file("f", 1000, 0644);
	int a = open("f", O_RDWR), b = open("f", O_RDWR), c = dup(a);

	T(lock(a, F_OFD_SETLK, F_WRLCK, SEEK_SET, 0, 10));
	T(lock(b, F_OFD_SETLK, F_WRLCK, SEEK_SET, 5, 10));
	T(lock(c, F_OFD_SETLK, F_WRLCK, SEEK_SET, 5, 10));
	say_getlk("by the other", b, F_OFD_GETLK, F_WRLCK, 0, 0);
	say_getlk("posix against it", b, F_GETLK, F_WRLCK, 0, 0);
	close(a);
	T(lock(b, F_OFD_SETLK, F_WRLCK, SEEK_SET, 5, 10));
	close(c);
	T(lock(b, F_OFD_SETLK, F_WRLCK, SEEK_SET, 5, 10));
	close(b);
	sub("flock_conversions");
	make_file("f", 1000, 0644);
	a = open("f", O_RDONLY);
	b = open("f", O_RDONLY);
	T(flock(a, LOCK_SH | LOCK_NB));
	T(flock(b, LOCK_SH | LOCK_NB));
	T(flock(a, LOCK_EX | LOCK_NB));
	T(flock(b, LOCK_UN));
	T(flock(a, LOCK_EX | LOCK_NB));
	T(flock(b, LOCK_SH | LOCK_NB));
	T(flock(a, LOCK_SH | LOCK_NB));
	T(flock(b, LOCK_SH | LOCK_NB));
	T(flock(a, LOCK_UN));
	T(flock(a, LOCK_UN));
	T(flock(a, 77));
	close(a);
	close(b);
	sub("inherited_by_fork");
	make_file("f", 1000, 0644);
	a = open("f", O_RDWR);
	T(flock(a, LOCK_EX));
	T(lock(a, F_SETLK, F_WRLCK, SEEK_SET, 0, 10));
	if (!fork()) {
		say("posix of the parent: %s",
		    lock(a, F_SETLK, F_WRLCK, SEEK_SET, 0, 10) ? strerrorname_np(errno) : "ok");
		say("flock of the parent: %s", flock(a, LOCK_EX | LOCK_NB) ? strerrorname_np(errno) : "ok");
		_exit(0);
	}
	wait(NULL);
	close(a);
}

/* The child waits for a lock; the parent sees it wait (by the kernel's own word), then lets go. */
static bool is_waiting(pid_t pid)
{
	char path[64], text[512];
	int cmd = 0;

	snprintf(path, sizeof(path), "/proc/%d/syscall", pid);
	int fd = open(path, O_RDONLY);
	ssize_t n = read(fd, text, sizeof(text) - 1);

	close(fd);
	text[n > 0 ? n : 0] = 0;
	/* fcntl, flock of x86-64; what does not wait may take its time, too */
	if (sscanf(text, "72 %*x %x", (unsigned int *)&cmd) == 1)
		return cmd == F_SETLKW || cmd == F_OFD_SETLKW;
	return !strncmp(text, "73 ", 3);
}

static void on_alarm(int sig)
{
	(void)sig;
}

/* `held`: the parent's descriptor, which would keep an OFD lock or a flock alive here. */
static pid_t waiter(int kind, int held)
{
	pid_t pid = fork();

	if (!pid) {
		struct sigaction sa = { .sa_handler = on_alarm };
		int fd = open("f", O_RDWR);

		close(held);
		sigaction(SIGUSR1, &sa, NULL);
		int r = kind == 0   ? lock(fd, F_SETLKW, F_WRLCK, SEEK_SET, 0, 10)
			: kind == 1 ? lock(fd, F_OFD_SETLKW, F_WRLCK, SEEK_SET, 0, 10)
				    : flock(fd, LOCK_EX);

		say("waiter: %s", r ? strerrorname_np(errno) : "has it");
		_exit(0);
	}
	while (!is_waiting(pid))
		usleep(1000);
	return pid;
}

GROUP(locks_waiting)
{
	static const char *const kinds[] = { "posix", "ofd", "flock" };

	for (int kind = 0; kind < 3; kind++) {
		sub("%s_woken_by_unlock", kinds[kind]);
		make_file("f", 1000, 0644);
		int fd = open("f", O_RDWR);

		T(kind == 2 ? flock(fd, LOCK_EX) : lock(fd, kind ? F_OFD_SETLK : F_SETLK, F_WRLCK, SEEK_SET, 0, 0));
		waiter(kind, fd);
		say("unlocking");
		int r = kind == 2 ? flock(fd, LOCK_UN)
				  : lock(fd, kind ? F_OFD_SETLK : F_SETLK, F_UNLCK, SEEK_SET, 0, 0);

		wait(NULL);
		TT("unlock", r);
		close(fd);
		sub("%s_woken_by_close", kinds[kind]);
		make_file("f", 1000, 0644);
		fd = open("f", O_RDWR);
		T(kind == 2 ? flock(fd, LOCK_EX) : lock(fd, kind ? F_OFD_SETLK : F_SETLK, F_WRLCK, SEEK_SET, 0, 0));
		waiter(kind, fd);
		say("closing");
		close(fd);
		wait(NULL);
		sub("%s_interrupted", kinds[kind]);
		make_file("f", 1000, 0644);
		fd = open("f", O_RDWR);
		T(kind == 2 ? flock(fd, LOCK_EX) : lock(fd, kind ? F_OFD_SETLK : F_SETLK, F_WRLCK, SEEK_SET, 0, 0));
		kill(waiter(kind, fd), SIGUSR1);
		wait(NULL);
		T(kind == 2 ? flock(fd, LOCK_UN) : lock(fd, kind ? F_OFD_SETLK : F_SETLK, F_UNLCK, SEEK_SET, 0, 0));
		int fd2 = open("f", O_RDWR);

		TT("free again", kind == 2 ? flock(fd2, LOCK_EX | LOCK_NB)
					   : lock(fd2, kind ? F_OFD_SETLK : F_SETLK, F_WRLCK, SEEK_SET, 0, 0));
		close(fd);
		close(fd2);
		sub("%s_killed", kinds[kind]);
		make_file("f", 1000, 0644);
		fd = open("f", O_RDWR);
		T(kind == 2 ? flock(fd, LOCK_EX) : lock(fd, kind ? F_OFD_SETLK : F_SETLK, F_WRLCK, SEEK_SET, 0, 0));
		kill(waiter(kind, fd), SIGKILL);
		wait(NULL);
		close(fd);
		fd = open("f", O_RDWR);
		TT("free", kind == 2 ? flock(fd, LOCK_EX | LOCK_NB)
				     : lock(fd, kind ? F_OFD_SETLK : F_SETLK, F_WRLCK, SEEK_SET, 0, 0));
		close(fd);
	}
	sub("deadlock");
	make_file("f", 1000, 0644);
	int fd = open("f", O_RDWR);

	T(lock(fd, F_SETLK, F_WRLCK, SEEK_SET, 0, 10));
	pid_t pid = fork();

	if (!pid) {
		need(!lock(fd, F_SETLK, F_WRLCK, SEEK_SET, 20, 10), "lock");
		need(!lock(fd, F_SETLKW, F_WRLCK, SEEK_SET, 0, 10), "lock");
		say("child has both");
		_exit(0);
	}
	while (!is_waiting(pid))
		usleep(1000);
	/* Where locks are kept by a server: its question is there before ours, which have been there and back. */
	for (int k = 0; k < 5; k++)
		need(!lock(fd, F_GETLK, F_WRLCK, SEEK_SET, 500, 10), "lock");
	T(lock(fd, F_SETLKW, F_WRLCK, SEEK_SET, 20, 10));
	int r = lock(fd, F_SETLK, F_UNLCK, SEEK_SET, 0, 10);

	wait(NULL);
	TT("unlock", r);
	close(fd);
}
