/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Options, mount, threads, control socket, end. */
#include <errno.h>
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>

#include "cleanup.h"
#include "csvfs/fuse/csvfs.h"
#include "text.h"

#define TICK_MS 200
#define GATHER_MS 2
#define TOUCH_MS 1000
#define IS_HELD "another csvfs of this host has it, or one that ended asked for something that the device has not answered yet"
#define THREADS_MAX 96
#define THREADS_IDLE 40 /* a thread that is one too many ends; those that wait have one each */
/* Asynchronous direct I/O, and pages: the kernel's own is 12, however deep the queue is. Less than threads: others get through. */
#define BACKGROUND_MAX 64

struct csvfs csvfs;

/* --- control socket --- */

static void fill_status(struct vol_status_is *a)
{
	struct counters *k = &csvfs.counters;
	enum vol_reason reason;
	struct session *s = &csvfs.session;

	*a = (struct vol_status_is){ .state = (uint8_t)session_view(&reason),
				     .direct_read = k->direct_read.bytes,
				     .direct_written = k->direct_written.bytes,
				     .redirected_read = k->redirected_read.bytes,
				     .redirected_written = k->redirected_written.bytes,
				     .direct_ops = k->direct_read.ops + k->direct_written.ops,
				     .redirected_ops = k->redirected_read.ops + k->redirected_written.ops,
				     .direct_read_us = io_latency(&k->direct_read),
				     .direct_write_us = io_latency(&k->direct_written),
				     .redirected_read_us = io_latency(&k->redirected_read),
				     .redirected_write_us = io_latency(&k->redirected_written),
				     .recalls = k->recalls,
				     .device_size = device_size_now(&csvfs.device),
				     .asked = k->asked,
				     .cached = k->cached };
	a->reason = (uint8_t)reason;
	pthread_mutex_lock(&s->lock);
	a->epoch = s->epoch;
	a->owner_node = s->owner_node;
	a->pauses = s->pauses;
	a->paused_ms = s->paused_ms;
	pthread_mutex_unlock(&s->lock);
	pthread_mutex_lock(&csvfs.table);
	a->files = csvfs.n_inodes;
	a->handles = csvfs.n_handles;
	pthread_mutex_unlock(&csvfs.table);
	snprintf(a->text, sizeof(a->text), "%.60s on %.60s", csvfs.header.label, csvfs.mount_point);
}

static void set_redirect(bool on)
{
	atomic_store(&csvfs.redirect, on);
	if (on)
		inodes_each(inode_drop_leases); /* when it is answered, nothing is direct any more */
}

void control_question(void *user, const struct vol_message *question, struct vol_message *answer)
{
	const struct vol_set_owner *o = &question->set_owner;

	(void)user;
	switch (question->type) {
	case VOL_STATUS: fill_status(&answer->status_is); break;
	case VOL_REDIRECT: set_redirect(question->redirect.on); break;
	case VOL_SET_OWNER: session_set_owner(o->epoch, o->node, o->address, o->port); break;
	default: answer->error = EOPNOTSUPP; break;
	}
}

/* --- threads --- */

static void nap(long ms)
{
	struct timespec t = { .tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000 };

	nanosleep(&t, NULL);
}

static void *tick_main(void *unused)
{
	(void)unused;
	while (!csvfs.stopping) {
		if (fuse_session_exited(csvfs.fuse))
			atomic_store(&csvfs.stopping, true);
		session_tick();
		pages_tick();
		nap(TICK_MS);
	}
	return NULL;
}

static void *touch_main(void *unused)
{
	(void)unused;
	for (;;) {
		nap(TOUCH_MS);
		inodes_each(inode_touch_later);
		inodes_each(pages_refresh);
	}
	return NULL;
}

/* Who closes one file closes others: they are closed for the owner together, a little later. */
static void *release_main(void *unused)
{
	(void)unused;
	for (;;) {
		handles_wait_closed();
		nap(GATHER_MS);
		if (handles_release())
			nap(TOUCH_MS);
	}
	return NULL;
}

/* A path that has failed is tried, with a read of what is the volume's own. */
static void *probe_main(void *unused)
{
	(void)unused;
	for (;;) {
		cleanup_free void *page = device_buffer(TRAILER_PAGE);

		nap(TOUCH_MS);
		if (!csvfs.path_failed || !page || device_read(&csvfs.device, page, TRAILER_PAGE, csvfs.trailer.at))
			continue;
		if (atomic_exchange(&csvfs.path_failed, false))
			fprintf(stderr, "csvfs: %s works again\n", csvfs.device_path);
	}
	return NULL;
}

static int start_threads(void)
{
	pthread_t thread;
	int error = pthread_create(&thread, NULL, touch_main, NULL);

	if (!error)
		error = pthread_create(&thread, NULL, probe_main, NULL);
	if (!error)
		error = pthread_create(&thread, NULL, release_main, NULL);
	if (!error)
		error = pthread_create(&csvfs.ticker, NULL, tick_main, NULL);
	csvfs.ticks = !error;
	return -error;
}

/* Signals are the main thread's, which waits where they wake it: the others are started with them blocked. */
static void signals_mask(int how)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGHUP);
	pthread_sigmask(how, &set, NULL);
}

/* --- FUSE --- */

static void op_init(void *user, struct fuse_conn_info *conn)
{
	(void)user;
	/* The owner applies umask and ACLs; the kernel checks rights with what it has just been told. */
	conn->want |= conn->capable & (FUSE_CAP_POSIX_ACL | FUSE_CAP_DONT_MASK | FUSE_CAP_PARALLEL_DIROPS);
	conn->want &= ~(unsigned int)(FUSE_CAP_HANDLE_KILLPRIV | FUSE_CAP_WRITEBACK_CACHE | FUSE_CAP_SPLICE_READ);
	conn->max_write = VOL_IO_MAX;
	conn->max_read = 0;
	conn->max_background = BACKGROUND_MAX;
	conn->congestion_threshold = BACKGROUND_MAX;
}

static int mount_options(struct fuse_args *args)
{
	if (fuse_opt_add_arg(args, "csvfs") || fuse_opt_add_arg(args, "-osubtype=csvfs") ||
	    fuse_opt_add_arg(args, "-oallow_other,default_permissions,suid,dev"))
		return -ENOMEM;
	return 0;
}

static int serve(void)
{
	struct fuse_loop_config *config = fuse_loop_cfg_create();
	int error;

	if (!config)
		return -ENOMEM;
	fuse_loop_cfg_set_clone_fd(config, 1);
	fuse_loop_cfg_set_max_threads(config, THREADS_MAX);
	fuse_loop_cfg_set_idle_threads(config, THREADS_IDLE);
	signals_mask(SIG_UNBLOCK);
	error = fuse_session_loop_mt(csvfs.fuse, config);
	fuse_loop_cfg_destroy(config);
	return error < 0 ? error : 0;
}

static int mount_and_serve(void)
{
	struct fuse_lowlevel_ops ops = { .init = op_init };
	struct fuse_args args = FUSE_ARGS_INIT(0, NULL);
	int error = mount_options(&args);

	names_operations(&ops);
	files_operations(&ops);
	if (!error) {
		csvfs.fuse = fuse_session_new(&args, &ops, sizeof(ops), NULL);
		error = csvfs.fuse ? 0 : -EINVAL;
	}
	fuse_opt_free_args(&args);
	if (error)
		return error;
	if (fuse_set_signal_handlers(csvfs.fuse) || fuse_session_mount(csvfs.fuse, csvfs.mount_point))
		error = -EIO;
	if (!error)
		error = kernel_hook(csvfs.fuse);
	if (!error)
		error = start_threads();
	if (!error)
		error = serve();
	direct_io_stop();
	fuse_session_unmount(csvfs.fuse);
	return error;
}

/* --- start --- */

static int usage(FILE *out, int code)
{
	fputs("usage: csvfs --device DEVICE --key FILE --control SOCKET --node N [--incarnation N] [--owner ADDRESS:PORT]\n"
	      "             [--pause-max MS] [--no-shared-maps] [--foreground] MOUNT-POINT\n",
	      out);
	return code;
}

static bool number_of(const char *text, uint64_t max, uint64_t *ret)
{
	char *end;

	errno = 0;
	*ret = strtoull(text, &end, 10);
	return *text >= '0' && *text <= '9' && !*end && !errno && *ret <= max;
}

static bool parse_owner(const char *text)
{
	const char *colon = strrchr(text, ':');
	uint64_t port;

	if (!colon || !number_of(colon + 1, UINT16_MAX, &port) || !port)
		return false;
	text_copy_n(csvfs.owner_address, sizeof(csvfs.owner_address), text, (size_t)(colon - text));
	csvfs.owner_port = (uint16_t)port;
	return true;
}

static bool parse_option(int option, const char *value)
{
	uint64_t n = 0;

	switch (option) {
	case 'd': csvfs.device_path = value; return true;
	case 'k': csvfs.key_path = value; return true;
	case 'c': csvfs.control_path = value; return true;
	case 'm': csvfs.no_shared_maps = true; return true;
	case 'f': return true; /* it never goes to the background */
	case 'o': return parse_owner(value);
	case 'n':
		if (!number_of(value, NODE_MAX, &n))
			return false;
		csvfs.node = (uint32_t)n;
		return n > 0;
	case 'i': return number_of(value, UINT64_MAX, &csvfs.incarnation);
	case 'p':
		if (!number_of(value, MS_PER_HOUR, &n))
			return false;
		csvfs.pause_max_ms = (uint32_t)n;
		return true;
	default: return false;
	}
}

static const struct option options[] = {
	{ "device", required_argument, NULL, 'd' },	 { "key", required_argument, NULL, 'k' },
	{ "control", required_argument, NULL, 'c' },	 { "node", required_argument, NULL, 'n' },
	{ "incarnation", required_argument, NULL, 'i' }, { "owner", required_argument, NULL, 'o' },
	{ "pause-max", required_argument, NULL, 'p' },	 { "no-shared-maps", no_argument, NULL, 'm' },
	{ "foreground", no_argument, NULL, 'f' },
	{ "help", no_argument, NULL, 'h' },		 { "version", no_argument, NULL, 'V' },
	{ 0 },
};

/* -1: go on; else the exit code. */
static int parse(int argc, char **argv)
{
	int option;

	csvfs.pause_max_ms = PAUSE_MAX_MS;
	while ((option = getopt_long(argc, argv, "", options, NULL)) >= 0) {
		if (option == 'h')
			return usage(stdout, 0);
		if (option == 'V') {
			puts("csvfs " PACKAGE_VERSION);
			return 0;
		}
		if (!parse_option(option, optarg)) {
			if (option != '?')
				fprintf(stderr, "csvfs: %s: not a good value\n", optarg);
			return usage(stderr, 2);
		}
	}
	if (optind + 1 != argc || !csvfs.device_path || !csvfs.key_path || !csvfs.control_path || !csvfs.node)
		return usage(stderr, 2);
	csvfs.mount_point = argv[optind];
	return -1;
}

static int fail(const char *what, int error, const char *why)
{
	fprintf(stderr, "csvfs: %s: %s\n", what, *why ? why : strerror(-error));
	return 1;
}

void device_again(void)
{
	struct trailer_header header;
	struct trailer trailer;
	char why[TEXT_SIZE];

	device_refresh(&csvfs.device);
	/* By a path that fails just now it cannot be known: less is direct then, until the next owner. */
	if (!trailer_find(&trailer, &csvfs.device, &header, why, sizeof(why)) && header.volume_hi == csvfs.header.volume_hi &&
	    header.volume_lo == csvfs.header.volume_lo)
		atomic_store(&csvfs.data_end, trailer.at);
}

static int prepare(void)
{
	const struct rlimit files = { .rlim_cur = 65536, .rlim_max = 65536 };
	char why[TEXT_SIZE] = "";
	int error;

	(void)setrlimit(RLIMIT_NOFILE, &files); /* a help, no condition */
	error = device_open(&csvfs.device, csvfs.device_path, true);
	if (error)
		return fail(csvfs.device_path, error,
			    error == -EROFS ? "the device is read-only; look at what exports it" : "");
	error = device_hold(&csvfs.device);
	if (error)
		return fail(csvfs.device_path, error, error == -EBUSY ? IS_HELD : "");
	error = trailer_find(&csvfs.trailer, &csvfs.device, &csvfs.header, why, sizeof(why));
	if (error)
		return fail(csvfs.device_path, error, why);
	atomic_store(&csvfs.data_end, csvfs.trailer.at);
	error = link_key_load(&csvfs.key, csvfs.key_path, why, sizeof(why));
	if (error)
		return fail(csvfs.key_path, error, why);
	return 0;
}

int csvfs_main(int argc, char **argv)
{
	int code = parse(argc, argv), error;

	if (code >= 0)
		return code;
	signal(SIGPIPE, SIG_IGN);
	if (prepare())
		return 1;
	pthread_mutex_init(&csvfs.table, NULL);
	queue_init(&csvfs.handles);
	queue_init(&csvfs.unreleased);
	pthread_cond_init(&csvfs.to_release, NULL);
	pthread_mutex_init(&csvfs.releasing, NULL);
	csvfs.root = calloc(1, sizeof(*csvfs.root));
	if (!csvfs.root)
		return fail("root", -ENOMEM, "");
	csvfs.root->refs = 1;
	pthread_mutex_init(&csvfs.root->lock, NULL);
	pthread_cond_init(&csvfs.root->changed, NULL);
	signals_mask(SIG_BLOCK);
	direct_io_start();
	error = caching_start();
	if (!error)
		error = session_start();
	if (!error)
		error = volume_control_listen(&csvfs.control, csvfs.control_path, control_question, NULL);
	if (error)
		return fail(csvfs.control_path, error, "");
	error = mount_and_serve();
	atomic_store(&csvfs.stopping, true);
	session_tick();
	if (csvfs.ticks)
		pthread_join(csvfs.ticker, NULL);
	volume_control_free(csvfs.control);
	if (error)
		fail(csvfs.mount_point, error, "");
	session_stop();
	return error ? 1 : 0;
}
