/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A lab host: the keeper outside its namespaces, PID 1 inside them, and the fence client, in one program.
 *
 *   labinit host DIR FD   keeper: mounts the host's disk, makes the namespaces, waits for the end, then cuts the
 *                         power of the disk. FD is a stream socket to the lab's server.
 *   fence NAME            (by the name it is called with) asks the lab's server to power NAME off; 0 when it is off.
 *
 * Lines to the server: "init PID", "ready", "started SERVICE PID", "exited SERVICE WAITSTATUS".
 * Lines from the server: "start SERVICE": runs DIR/services/SERVICE with sh.
 *
 * Everything hangs on its parent by PR_SET_PDEATHSIG: when the server dies, so does the whole lab.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#define SERVICE_MAX 16
#define LINE_SIZE 256
#define EXIT_REBOOT 3 /* the host asked for it, by reboot(2) */
#define FENCE_SOCKET "/run/lab/server"
/* xfs's and ext4's "the power is gone" ioctl, and its flag "do not write the log out first" (man 2 ioctl_xfs_goingdown) */
#define FS_IOC_SHUTDOWN_NR _IOR('X', 125, uint32_t)
#define FS_SHUTDOWN_NOLOGFLUSH 2U

static const char *host_dir;
static int server_fd = -1;
static struct service {
	char name[64];
	pid_t pid;
} services[SERVICE_MAX];

static void die(const char *what)
{
	fprintf(stderr, "labinit: %s: %s\n", what, strerror(errno));
	exit(1);
}

static void __attribute__((format(printf, 1, 2))) tell(const char *fmt, ...)
{
	char line[LINE_SIZE];
	va_list ap;

	va_start(ap, fmt);
	int n = vsnprintf(line, sizeof(line), fmt, ap);

	va_end(ap);
	if (n > 0 && (size_t)n < sizeof(line) && send(server_fd, line, (size_t)n, MSG_NOSIGNAL) != n)
		fprintf(stderr, "labinit: cannot tell the server: %s\n", strerror(errno));
}

/* Runs DIR/script with the arguments; its exit status, or 127. */
static int run_script(const char *script, const char *arg)
{
	char path[PATH_MAX];

	snprintf(path, sizeof(path), "%s/%s", host_dir, script);
	pid_t pid = fork();

	if (pid == 0) {
		execl("/bin/sh", "sh", "-e", path, arg, (char *)NULL);
		_exit(127);
	}
	int status;

	if (pid < 0 || waitpid(pid, &status, 0) != pid || !WIFEXITED(status))
		return 127;
	return WEXITSTATUS(status);
}

static void service_start(const char *name)
{
	char path[PATH_MAX];
	struct service *slot = NULL;

	for (int i = 0; i < SERVICE_MAX; i++)
		if (!services[i].pid && !slot)
			slot = &services[i];
		else if (services[i].pid && !strcmp(services[i].name, name))
			return;
	if (!slot)
		return;
	snprintf(path, sizeof(path), "%s/services/%s", host_dir, name);
	pid_t pid = fork();

	if (pid == 0) {
		sigset_t none;

		sigemptyset(&none);
		sigprocmask(SIG_SETMASK, &none, NULL);
		setsid();
		execl("/bin/sh", "sh", path, (char *)NULL);
		_exit(127);
	}
	if (pid < 0)
		return;
	snprintf(slot->name, sizeof(slot->name), "%s", name);
	slot->pid = pid;
	tell("started %s %d\n", name, (int)pid);
}

static void reap(void)
{
	int status;
	pid_t pid;

	while ((pid = waitpid(-1, &status, WNOHANG)) > 0)
		for (int i = 0; i < SERVICE_MAX; i++)
			if (services[i].pid == pid) {
				tell("exited %s %d\n", services[i].name, status);
				services[i].pid = 0;
			}
}

static void command(char *line)
{
	if (!strncmp(line, "start ", 6))
		service_start(line + 6);
}

static int inside_loop(void)
{
	static char buf[LINE_SIZE * 4];
	size_t used = 0;
	sigset_t mask;

	sigemptyset(&mask);
	sigaddset(&mask, SIGCHLD);
	sigprocmask(SIG_BLOCK, &mask, NULL);
	struct pollfd fds[2] = { { server_fd, POLLIN, 0 }, { signalfd(-1, &mask, SFD_CLOEXEC | SFD_NONBLOCK), POLLIN, 0 } };

	tell("ready\n");
	for (;;) {
		if (poll(fds, 2, -1) < 0 && errno != EINTR)
			die("poll");
		if (fds[1].revents) {
			struct signalfd_siginfo info;

			while (read(fds[1].fd, &info, sizeof(info)) > 0)
				;
			reap();
		}
		if (!fds[0].revents)
			continue;
		ssize_t n = read(server_fd, buf + used, sizeof(buf) - used - 1);

		if (n <= 0)
			return 0; /* the lab is gone; PID 1's end ends the host */
		used += (size_t)n;
		buf[used] = 0;
		for (char *nl; (nl = strchr(buf, '\n'));) {
			*nl = 0;
			command(buf);
			used -= (size_t)(nl + 1 - buf);
			memmove(buf, nl + 1, used + 1);
		}
		if (used == sizeof(buf) - 1)
			used = 0;
	}
}

static int inside(int go_fd)
{
	char c;

	/* PDEATHSIG set after the parent's death would never fire: the pipe tells which came first. */
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (read(go_fd, &c, 1) != 1)
		return 1;
	close(go_fd);
	prctl(PR_SET_NAME, "lab-host");
	setsid();
	if (run_script("inside.sh", "up"))
		return 1;
	if (chdir("/"))
		return 1;
	return inside_loop();
}

/* What the file system had not sent to its device is lost, as when the power goes. */
static void disk_power_cut(void)
{
	char path[PATH_MAX];
	uint32_t how = FS_SHUTDOWN_NOLOGFLUSH;

	snprintf(path, sizeof(path), "%s/disk", host_dir);
	int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	if (fd < 0 || ioctl(fd, FS_IOC_SHUTDOWN_NR, &how))
		fprintf(stderr, "labinit: %s: power cut: %s\n", path, strerror(errno));
	if (fd >= 0)
		close(fd);
}

static int keeper(char **argv)
{
	int go[2];
	char arg[16];
	pid_t parent = getppid();

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (getppid() != parent)
		return 1;
	prctl(PR_SET_NAME, "lab-keeper");
	host_dir = argv[2];
	server_fd = (int)strtol(argv[3], NULL, 10);
	fcntl(server_fd, F_SETFD, FD_CLOEXEC);
	/* A mount namespace for this host alone: in a common one every other host would keep a copy of its disk's mount. */
	if (unshare(CLONE_NEWNS) || run_script("outside.sh", "mount") || pipe2(go, O_CLOEXEC))
		die("cannot prepare the host");
	long flags = CLONE_NEWNS | CLONE_NEWNET | CLONE_NEWPID | CLONE_NEWUTS | CLONE_NEWIPC | SIGCHLD;
	pid_t pid = (pid_t)syscall(SYS_clone, flags, NULL, NULL, NULL, 0);

	if (pid < 0)
		die("clone");
	if (pid == 0) {
		close(go[1]);
		_exit(inside(go[0]));
	}
	close(go[0]);
	tell("init %d\n", (int)pid);
	snprintf(arg, sizeof(arg), "%d", (int)pid);
	int status = run_script("outside.sh", arg);

	if (status == 0 && write(go[1], "g", 1) != 1)
		status = 1;
	close(go[1]);
	close(server_fd);
	/* PID 1 is reaped only after every process of its namespace is gone: this is the confirmation of a fence. */
	int end = 0;

	while (waitpid(pid, &end, 0) < 0 && errno == EINTR)
		;
	disk_power_cut();
	if (run_script("outside.sh", "umount"))
		status = 1;
	/* reboot(2) in a PID namespace kills its PID 1: by SIGHUP for a restart, by SIGINT for power off or halt. */
	return status ? status : WIFSIGNALED(end) && WTERMSIG(end) == SIGHUP ? EXIT_REBOOT : 0;
}

static int fence(const char *name)
{
	struct sockaddr_un sun = { .sun_family = AF_UNIX, .sun_path = FENCE_SOCKET };
	char line[LINE_SIZE];
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (fd < 0 || connect(fd, (struct sockaddr *)&sun, sizeof(sun)))
		die("fence: no lab server at " FENCE_SOCKET);
	int n = snprintf(line, sizeof(line), "{\"cmd\": \"fence\", \"host\": \"%s\"}\n", name);

	if (n >= (int)sizeof(line) || write(fd, line, (size_t)n) != n)
		die("fence: cannot ask the lab server");
	ssize_t got = read(fd, line, sizeof(line) - 1);

	line[got > 0 ? got : 0] = 0;
	if (!strstr(line, "\"ok\": true")) {
		fprintf(stderr, "fence: %s: not confirmed: %s\n", name, line);
		return 1;
	}
	return 0;
}

int main(int argc, char **argv)
{
	const char *slash = strrchr(argv[0], '/');

	if (!strcmp(slash ? slash + 1 : argv[0], "fence")) {
		if (argc >= 2)
			return fence(argv[1]);
		fprintf(stderr, "usage: fence HOSTNAME\n");
		return 2;
	}
	if (argc == 4 && !strcmp(argv[1], "host"))
		return keeper(argv);
	fprintf(stderr, "usage: labinit host DIR FD (run by the lab's server)\n");
	return 2;
}
