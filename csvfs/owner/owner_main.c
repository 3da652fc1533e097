/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The program csvfs-owner from its first line to its last. */
#include <errno.h>
#include <getopt.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "csvfs/io/volume_control.h"
#include "csvfs/owner/names.h"
#include "csvfs/owner/owner.h"
#include "csvfs/owner/rights.h"

#define MOUNT_DIR "/run/csvfs-owner" /* in a mount namespace of its own: one for all volumes */
#define OPEN_FILES_MAX 262144

static const char *device_name = "?";

static void say(const char *format, ...) __attribute__((format(printf, 1, 2)));
static void say(const char *format, ...)
{
	va_list args;

	fprintf(stderr, "csvfs-owner: volume %s: ", device_name);
	va_start(args, format);
	vfprintf(stderr, format, args);
	va_end(args);
	fputc('\n', stderr);
}

void owner_fence(struct owner *o, const char *why, int error)
{
	mount_shutdown(&o->mount);
	say("%s: %s; this owner ends at once", why, strerror(error < 0 ? -error : error));
	_exit(1);
}

int owner_verify(struct owner *o)
{
	int ret;

	pthread_rwlock_rdlock(&o->trailer_lock);
	ret = mount_verify(&o->mount);
	pthread_rwlock_unlock(&o->trailer_lock);
	return ret;
}

int owner_check(struct owner *o, int error)
{
	struct statvfs s;
	int ret;

	if (error != -EIO && error != -EROFS && error != -EBADE && error != -ENXIO && error != -EUCLEAN)
		return error;
	ret = owner_verify(o);
	if (ret)
		owner_fence(o, "the device does not answer, or is another owner's", ret);
	if (fstatvfs(o->mount.root_fd, &s))
		owner_fence(o, "the file system has been shut down", -errno);
	if (s.f_flag & ST_RDONLY)
		owner_fence(o, "the file system found an error", error);
	return error;
}

/* --- options --- */

static void usage(FILE *out)
{
	fputs("usage: csvfs-owner --device DEVICE --node NODE --epoch EPOCH --listen ADDRESS:PORT --key FILE --control "
	      "SOCKET\n"
	      "       [--incarnation N] [--recall-ms MS] [--take-over] [--foreground]\n"
	      "\n"
	      "  --device DEVICE        the volume's block device\n"
	      "  --node NODE            this node\n"
	      "  --epoch EPOCH          of this ownership: higher than any before\n"
	      "  --listen ADDRESS:PORT  numeric address for csvfs of all nodes\n"
	      "  --key FILE             the cluster's key\n"
	      "  --control SOCKET       where csvfs-admin and clusterd ask\n"
	      "  --incarnation N        of this node's clusterd\n"
	      "  --recall-ms MS         whoever keeps a lease longer than this is reported\n"
	      "  --take-over            also when the owner record is damaged, or csvfs-admin's\n"
	      "  --foreground           it always stays in the foreground\n"
	      "  --help, --version\n",
	      out);
}

static bool number(const char *text, uint64_t max, uint64_t *ret)
{
	char *end;

	errno = 0;
	*ret = strtoull(text, &end, 10);
	return *text >= '0' && *text <= '9' && !*end && !errno && *ret <= max;
}

/* ADDRESS:PORT, an IPv6 address in brackets or not; cuts `text`. */
static bool split_address(char *text, struct owner_options *ret)
{
	char *colon = strrchr(text, ':');
	uint64_t port;

	if (!colon || colon == text || !number(colon + 1, UINT16_MAX, &port))
		return false;
	*colon = '\0';
	if (*text == '[' && colon[-1] == ']') {
		colon[-1] = '\0';
		text++;
	}
	ret->address = text;
	ret->port = (uint16_t)port;
	return true;
}

enum {
	OPT_DEVICE = 1,
	OPT_NODE,
	OPT_EPOCH,
	OPT_LISTEN,
	OPT_KEY,
	OPT_CONTROL,
	OPT_INCARNATION,
	OPT_RECALL,
	OPT_TAKE_OVER,
	OPT_FOREGROUND,
	OPT_HELP,
	OPT_VERSION
};

static const struct option long_options[] = {
	{ "device", required_argument, NULL, OPT_DEVICE },
	{ "node", required_argument, NULL, OPT_NODE },
	{ "epoch", required_argument, NULL, OPT_EPOCH },
	{ "listen", required_argument, NULL, OPT_LISTEN },
	{ "key", required_argument, NULL, OPT_KEY },
	{ "control", required_argument, NULL, OPT_CONTROL },
	{ "incarnation", required_argument, NULL, OPT_INCARNATION },
	{ "recall-ms", required_argument, NULL, OPT_RECALL },
	{ "take-over", no_argument, NULL, OPT_TAKE_OVER },
	{ "foreground", no_argument, NULL, OPT_FOREGROUND },
	{ "help", no_argument, NULL, OPT_HELP },
	{ "version", no_argument, NULL, OPT_VERSION },
	{ NULL, 0, NULL, 0 },
};

static bool take_option(struct owner_options *o, int c, char *arg)
{
	uint64_t n = 0;
	bool ok = true;

	switch (c) {
	case OPT_DEVICE:
		o->mount.device = arg;
		break;
	case OPT_NODE:
		ok = number(arg, NODE_MAX, &n) && n;
		o->mount.node = (uint32_t)n;
		break;
	case OPT_EPOCH:
		ok = number(arg, UINT64_MAX, &o->mount.epoch);
		break;
	case OPT_LISTEN:
		ok = split_address(arg, o);
		break;
	case OPT_KEY:
		o->key = arg;
		break;
	case OPT_CONTROL:
		o->control = arg;
		break;
	case OPT_INCARNATION:
		ok = number(arg, UINT64_MAX, &o->mount.incarnation);
		break;
	case OPT_RECALL:
		ok = number(arg, UINT32_MAX, &n);
		o->recall_ms = (uint32_t)n;
		break;
	case OPT_TAKE_OVER:
		o->mount.take_over = true;
		break;
	case OPT_FOREGROUND:
		break;
	default:
		ok = false;
		break;
	}
	return ok;
}

/* 0: go on; else 1 + exit code. */
static int parse(struct owner_options *o, int argc, char **argv)
{
	int c;

	*o = (struct owner_options){ .mount = { .dir = MOUNT_DIR }, .recall_ms = RECALL_MS };
	optind = 1;
	while ((c = getopt_long(argc, argv, "", long_options, NULL)) != -1) {
		if (c == OPT_HELP) {
			usage(stdout);
			return 1;
		}
		if (c == OPT_VERSION) {
			printf("csvfs-owner %s\n", PACKAGE_VERSION);
			return 1;
		}
		if (!take_option(o, c, optarg)) {
			fprintf(stderr, "csvfs-owner: wrong option or value%s%s; see --help\n", optarg ? ": " : "",
				optarg ? optarg : "");
			return 3;
		}
	}
	if (optind != argc || !o->mount.device || !o->mount.node || !o->mount.epoch || !o->address || !o->key ||
	    !o->control) {
		usage(stderr);
		return 3;
	}
	return 0;
}

/* --- start and end --- */

static void init(struct owner *o)
{
	struct rlimit files = { OPEN_FILES_MAX, OPEN_FILES_MAX };

	/* Without the right to more, all that is allowed: then fewer files can be open. */
	if (setrlimit(RLIMIT_NOFILE, &files) && !getrlimit(RLIMIT_NOFILE, &files)) {
		files.rlim_cur = files.rlim_max;
		setrlimit(RLIMIT_NOFILE, &files);
	}
	umask(0);
	pthread_mutex_init(&o->last, NULL);
	pthread_mutex_init(&o->names_lock, NULL);
	pthread_cond_init(&o->names_changed, NULL);
	pthread_mutex_init(&o->lock, NULL);
	pthread_rwlock_init(&o->trailer_lock, NULL);
	pthread_cond_init(&o->changed, NULL);
	o->listener = -1;
}

/* What the owner before has left half done is decided by what the names are now, before any of them is touched [I9]. */
static int load_intents(struct owner *o)
{
	const uint32_t at_once = 64;
	uint8_t *pages = device_buffer((size_t)at_once * TRAILER_PAGE);
	const struct intent *i;
	struct intent_now now;
	uint32_t cursor = 0, n;
	int ret = pages ? 0 : -ENOMEM;

	for (int pass = 0; !ret && pass < 2; pass++) {
		for (uint32_t page = 0; !ret && page < TRAILER_INTENT_PAGES; page += n) {
			n = TRAILER_INTENT_PAGES - page < at_once ? TRAILER_INTENT_PAGES - page : at_once;
			ret = trailer_read_pages(&o->mount.trailer, page, n, pages);
			for (uint32_t k = 0; !ret && k < n; k++)
				intent_scan_page(o->intents, pages + (size_t)k * TRAILER_PAGE);
		}
		if (ret || !intent_scan_end(o->intents))
			break;
		if (pass)
			ret = -ENOBUFS;
	}
	free(pages);
	while (!ret && (i = intent_unknown_next(o->intents, &cursor))) {
		names_now(o, i, &now);
		intent_decide(o->intents, i->session, i->request, &now);
	}
	return ret;
}

static int load(struct owner *o)
{
	int ret = files_init(&o->files, &o->mount);

	if (ret) {
		say("its root directory: %s", strerror(-ret));
		return ret;
	}
	ret = sessions_init(o);
	if (!ret)
		ret = sessions_load(o);
	if (!ret)
		ret = load_intents(o);
	if (ret)
		say("sessions and intents of the trailer: %s", strerror(-ret));
	return ret;
}

/* --- watch --- */

static void *watch_main(void *data)
{
	struct owner *o = data;
	struct watch *w = &o->watch;
	struct timespec until;

	pthread_mutex_lock(&w->lock);
	while (!w->stopping) {
		pthread_mutex_unlock(&w->lock);
		/* A path that fails is for the cluster to judge; it is not the word of another owner. */
		if (owner_verify(o) == -ESTALE)
			owner_fence(o, "another owner has come, though this one was not asked to end", -ESTALE);
		pthread_mutex_lock(&w->lock);
		clock_gettime(CLOCK_MONOTONIC, &until);
		until.tv_sec += WATCH_MS / MS_PER_SECOND;
		while (!w->stopping && pthread_cond_timedwait(&w->changed, &w->lock, &until) != ETIMEDOUT)
			;
	}
	pthread_mutex_unlock(&w->lock);
	return NULL;
}

static int watch_start(struct owner *o)
{
	struct watch *w = &o->watch;
	pthread_condattr_t monotonic;
	int ret;

	pthread_mutex_init(&w->lock, NULL);
	pthread_condattr_init(&monotonic);
	pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
	pthread_cond_init(&w->changed, &monotonic);
	pthread_condattr_destroy(&monotonic);
	ret = pthread_create(&w->thread, NULL, watch_main, o);
	w->started = !ret;
	return -ret;
}

static void watch_stop(struct owner *o)
{
	struct watch *w = &o->watch;

	if (!w->started)
		return;
	pthread_mutex_lock(&w->lock);
	w->stopping = true;
	pthread_cond_signal(&w->changed);
	pthread_mutex_unlock(&w->lock);
	pthread_join(w->thread, NULL);
	w->started = false;
}

static int serve(struct owner *o, struct volume_control **ret_control)
{
	const bool grace = o->grace; /* before sessions come: the last of them may end it */
	uint16_t port;
	int ret = committer_start(&o->committer, o);

	if (!ret)
		ret = watch_start(o);
	if (!ret)
		ret = server_start(o, &port);
	if (ret) {
		say("cannot listen at %s port %u: %s", o->options.address, o->options.port, strerror(-ret));
		return ret;
	}
	if (!grace)
		(void)orphans_collect_later(o); /* or they are removed by the next owner */
	ret = volume_control_listen(ret_control, o->options.control, owner_control, o);
	if (ret)
		say("control socket %s: %s", o->options.control, strerror(-ret));
	else
		say("served at %s port %u, epoch %llu%s", o->options.address, port,
		    (unsigned long long)o->mount.record.epoch,
		    grace ? ", grace: sessions reclaim what they had" : "");
	return ret;
}

static int run(struct owner *o, const sigset_t *signals)
{
	struct volume_control *control = NULL;
	char error[400];
	int ret = load(o), signal;

	if (!ret) {
		ret = serve(o, &control);
		if (!ret)
			sigwait(signals, &signal);
		volume_control_free(control);
		if (o->frozen)
			owner_thaw(o); /* what is under way could not end */
		if (o->listener >= 0)
			server_stop(o);
		committer_stop(&o->committer);
		watch_stop(o);
	}
	files_done(&o->files);
	if (mount_close(&o->mount, error, sizeof(error))) {
		fprintf(stderr, "csvfs-owner: %s\n", error);
		return 1;
	}
	say("unmounted and free");
	return ret ? 1 : 0;
}

int owner_main(int argc, char **argv)
{
	static struct owner owner;
	struct owner *o = &owner;
	sigset_t signals;
	char error[400];
	int ret = parse(&o->options, argc, argv);

	if (ret)
		return ret - 1;
	device_name = o->options.mount.device;
	init(o);
	ret = link_key_load(&o->key, o->options.key, error, sizeof(error));
	if (ret) {
		fprintf(stderr, "csvfs-owner: %s\n", error);
		return 1;
	}
	signal(SIGPIPE, SIG_IGN);
	sigemptyset(&signals);
	sigaddset(&signals, SIGTERM);
	sigaddset(&signals, SIGINT);
	pthread_sigmask(SIG_BLOCK, &signals, NULL);
	ret = mount_open(&o->mount, &o->options.mount, error, sizeof(error));
	if (ret) {
		fprintf(stderr, "csvfs-owner: %s\n", error);
		return 1;
	}
	ret = rights_restrict();
	if (ret)
		owner_fence(o, "capabilities", ret);
	return run(o, &signals);
}
