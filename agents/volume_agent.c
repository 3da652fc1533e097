/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Actions of ocf:clusterd:volume. */
#include "agents/volume_agent.h"

#include <errno.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "agents/volume_metadata.h"
#include "clock.h"
#include "csvfs/io/device.h"
#include "csvfs/io/trailer.h"
#include "csvfs/io/volume_control.h"
#include "csvfs/io/volume_process.h"
#include "proto/message.h"
#include "text.h"

#define ASK_MS 1000           /* one question while it starts */
#define POLL_MS 50
#define ANSWER_IN_HAND_MS 1000 /* the agent ends this long before its time-out, so that its reason is heard */
#define ACTION_DEFAULT_MS 20000

struct agent {
	const char *name, *device, *address, *key, *program;
	uint32_t port, recall_ms, node;
	uint64_t epoch, incarnation, until_ms;
	struct volume_place place;
};

/* --- words --- */

/* One line to the cluster, which shows it as the reason. */
static int fail(enum ocf_rc rc, const char *format, ...) __attribute__((format(printf, 2, 3)));
static int fail(enum ocf_rc rc, const char *format, ...)
{
	va_list args;

	fputs("ocf-exit-reason:", stderr);
	va_start(args, format);
	vfprintf(stderr, format, args);
	va_end(args);
	fputc('\n', stderr);
	return (int)rc;
}

static const char *text_of(const char *variable, const char *missing)
{
	const char *value = getenv(variable);

	return value && *value ? value : missing;
}

static bool number_of(const char *text, uint64_t max, uint64_t *ret)
{
	char *end;

	errno = 0;
	*ret = strtoull(text, &end, 10);
	return *text >= '0' && *text <= '9' && !*end && !errno && *ret <= max;
}

static bool number(const char *variable, const char *missing, uint64_t max, uint64_t *ret)
{
	return number_of(text_of(variable, missing), max, ret);
}

/* --- what was asked --- */

static int take_parameters(struct agent *a)
{
	const char *recall = text_of("OCF_RESKEY_recall", "10000");
	uint64_t n;

	a->name = text_of("OCF_RESKEY_volume", "");
	a->device = text_of("OCF_RESKEY_device", "");
	if (!*a->name || !*a->device)
		return fail(OCF_ERR_CONFIGURED, "parameters volume and device are needed");
	if (*a->device != '/')
		return fail(OCF_ERR_CONFIGURED, "device=%s: an absolute path is expected", a->device);
	if (!number("OCF_RESKEY_port", "7310", UINT16_MAX, &n) || !n)
		return fail(OCF_ERR_CONFIGURED, "port=%s: 1 to 65535 is expected", getenv("OCF_RESKEY_port"));
	a->port = (uint32_t)n;
	if (!number_of(recall, UINT32_MAX, &n) || !n)
		return fail(OCF_ERR_CONFIGURED, "recall=%s: milliseconds are expected", recall);
	a->recall_ms = (uint32_t)n;
	return OCF_SUCCESS;
}

static int take_surroundings(struct agent *a)
{
	const char *run_dir = text_of("CLUSTERD_RUN_DIR", RUNSTATEDIR "/clusterd");
	uint64_t timeout_ms;
	int error;

	a->address = text_of("CLUSTERD_ADDRESS", "");
	a->key = text_of("CLUSTERD_VOLUME_KEY", "/etc/corosync/authkey");
	a->program = text_of("CLUSTERD_CSVFS_OWNER", SBINDIR "/csvfs-owner");
	if (!number("OCF_RESKEY_CRM_meta_timeout", "20000", UINT32_MAX, &timeout_ms) || !timeout_ms)
		timeout_ms = ACTION_DEFAULT_MS;
	timeout_ms -= timeout_ms > 2 * ANSWER_IN_HAND_MS ? ANSWER_IN_HAND_MS : timeout_ms / 2;
	a->until_ms = clock_ms(CLOCK_MONOTONIC) + timeout_ms;
	error = volume_place(&a->place, run_dir, text_of("CLUSTERD_LOG_FILE", NULL), "owner", a->name);
	if (error)
		return fail(OCF_ERR_CONFIGURED, "volume=%s: %s", a->name, strerror(-error));
	error = volume_place_make(run_dir);
	return error ? fail(OCF_ERR_PERM, "%s/volumes: %s", run_dir, strerror(-error)) : OCF_SUCCESS;
}

/* What only clusterd can tell, and only to a start. */
static int take_ownership(struct agent *a)
{
	uint64_t node;

	if (!number("CLUSTERD_NODE_ID", "", NODE_MAX, &node) || !node || !*a->address ||
	    !number("CLUSTERD_EPOCH", "", UINT64_MAX, &a->epoch) || !a->epoch ||
	    !number("CLUSTERD_INCARNATION", "", UINT64_MAX, &a->incarnation))
		return fail(OCF_ERR_GENERIC, "CLUSTERD_NODE_ID, _ADDRESS, _EPOCH and _INCARNATION are not set: this agent is "
					     "clusterd's own and cannot be started by others");
	a->node = (uint32_t)node;
	return OCF_SUCCESS;
}

static int left_ms(const struct agent *a, uint64_t most_ms)
{
	uint64_t now = clock_ms(CLOCK_MONOTONIC), left = now < a->until_ms ? a->until_ms - now : 0;

	return (int)(left < most_ms ? left : most_ms);
}

static int ask_status(const struct agent *a, uint64_t most_ms)
{
	struct vol_message q = { .type = VOL_STATUS, .request = 1 }, answer;
	int error = volume_control_ask(a->place.control, &q, &answer, left_ms(a, most_ms));

	return error ? error : -(int)answer.error;
}

/* --- actions --- */

/* Waits until it serves, or has ended. */
static int wait_serving(const struct agent *a, const struct volume_process *p, off_t log_from)
{
	char words[TEXT_SIZE];

	while (left_ms(a, 1)) {
		if (!ask_status(a, ASK_MS))
			return OCF_SUCCESS;
		if (volume_process_wait(p, left_ms(a, POLL_MS)))
			continue;
		volume_process_last_words(&a->place, log_from, words, sizeof(words));
		return fail(OCF_ERR_GENERIC, "%s", *words ? words : "csvfs-owner ended and did not say why");
	}
	return fail(OCF_ERR_GENERIC, "csvfs-owner does not serve volume %s yet; see %s", a->name, a->place.log);
}

static int spawn(const struct agent *a, struct volume_process *ret, off_t *ret_from)
{
	char node[16], epoch[24], incarnation[24], recall[16], listen[TEXT_SIZE];
	const char *const argv[] = { a->program, "--device",    a->device,       "--node",       node,     "--epoch",
				     epoch,	 "--incarnation", incarnation, "--listen",     listen,   "--key",
				     a->key,	 "--control",   a->place.control, "--recall-ms", recall, NULL };

	snprintf(node, sizeof(node), "%u", a->node);
	snprintf(epoch, sizeof(epoch), "%llu", (unsigned long long)a->epoch);
	snprintf(incarnation, sizeof(incarnation), "%llu", (unsigned long long)a->incarnation);
	snprintf(recall, sizeof(recall), "%u", a->recall_ms);
	snprintf(listen, sizeof(listen), strchr(a->address, ':') ? "[%s]:%u" : "%s:%u", a->address, a->port);
	return volume_process_start(&a->place, argv, ret, ret_from);
}

static int start(struct agent *a)
{
	struct volume_process p;
	char words[TEXT_SIZE];
	off_t from = 0;
	int error = volume_process_find(&a->place, &p), rc;

	if (error == -ESRCH) {
		rc = take_ownership(a);
		if (rc)
			return rc;
		if (access(a->device, F_OK))
			return fail(OCF_ERR_INSTALLED, "%s: %s", a->device, strerror(errno));
		error = spawn(a, &p, &from);
		volume_process_last_words(&a->place, from, words, sizeof(words));
		if (error == -ESRCH)
			return fail(OCF_ERR_GENERIC, "%s", *words ? words : "csvfs-owner ended at once");
	}
	if (error)
		return fail(error == -ENOENT ? OCF_ERR_INSTALLED : OCF_ERR_GENERIC, "%s: %s", a->program, strerror(-error));
	rc = wait_serving(a, &p, from);
	volume_process_close(&p);
	return rc;
}

/*
 * Nobody here has it mounted, in whatever mount namespace. A device that is no longer there holds nothing up: what the
 * kernel still has of it writes nowhere any more.
 */
static int wait_released(const struct agent *a)
{
	int error;

	for (;;) {
		const struct timespec pause = { .tv_nsec = POLL_MS * 1000000L };

		error = device_is_free(a->device);
		if (error != -EBUSY || !left_ms(a, 1))
			break;
		nanosleep(&pause, NULL);
	}
	return error == -ENOENT || error == -ENXIO || error == -ENODEV ? 0 : error;
}

static int stop(struct agent *a)
{
	struct volume_process p;
	int error = volume_process_find(&a->place, &p);

	if (error && error != -ESRCH)
		return fail(OCF_ERR_GENERIC, "%s: %s: which process owns volume %s is not known", a->place.record,
			    strerror(-error), a->name);
	if (!error) {
		error = volume_process_signal(&p, SIGTERM);
		if (!error || error == -ESRCH)
			error = volume_process_wait(&p, left_ms(a, INT32_MAX));
		volume_process_close(&p);
		if (error)
			return fail(OCF_ERR_GENERIC, "csvfs-owner of volume %s (pid %d) does not end: %s", a->name, (int)p.pid,
				    strerror(-error));
	}
	error = wait_released(a);
	if (error)
		return fail(OCF_ERR_GENERIC, "volume %s is not free: csvfs-owner has ended, but %s is %s on this node; see %s",
			    a->name, a->device, error == -EBUSY ? "still mounted or open exclusively" : strerror(-error),
			    a->place.log);
	unlink(a->place.record);
	return OCF_SUCCESS;
}

static int monitor(struct agent *a)
{
	struct volume_process p;
	int error = volume_process_find(&a->place, &p);

	volume_process_close(&p);
	if (error == -ESRCH) {
		if (device_is_free(a->device) != -EBUSY)
			return OCF_NOT_RUNNING;
		return fail(OCF_ERR_GENERIC, "csvfs-owner of volume %s does not run, but %s is mounted or open exclusively here",
			    a->name, a->device);
	}
	if (error)
		return fail(OCF_ERR_GENERIC, "%s: %s", a->place.record, strerror(-error));
	error = ask_status(a, INT32_MAX);
	return error ? fail(OCF_ERR_GENERIC, "csvfs-owner of volume %s runs and does not answer: %s", a->name, strerror(-error)) :
		       OCF_SUCCESS;
}

/* Whether it could be started here. */
static int validate(struct agent *a)
{
	struct trailer_header header;
	struct trailer trailer;
	struct device device;
	char text[TEXT_SIZE];
	int error = device_open(&device, a->device, true);

	if (error)
		return fail(OCF_ERR_INSTALLED, "%s: %s", a->device, strerror(-error));
	error = trailer_find(&trailer, &device, &header, text, sizeof(text));
	device_close(&device);
	if (error)
		return fail(OCF_ERR_INSTALLED, "%s: %s", a->device, text);
	if (access(a->key, R_OK))
		return fail(OCF_ERR_INSTALLED, "%s: %s", a->key, strerror(errno));
	return OCF_SUCCESS;
}

static const struct action {
	const char *name;
	int (*run)(struct agent *a);
} actions[] = {
	{ "start", start }, { "stop", stop }, { "monitor", monitor }, { "validate-all", validate },
};

int volume_agent(int argc, char **argv)
{
	struct agent a = { 0 };
	int rc;

	if (argc == 2 && !strcmp(argv[1], "meta-data")) {
		fputs(volume_metadata, stdout);
		return OCF_SUCCESS;
	}
	signal(SIGPIPE, SIG_IGN);
	for (size_t i = 0; argc == 2 && i < ARRAY_SIZE(actions); i++) {
		if (strcmp(argv[1], actions[i].name) != 0)
			continue;
		rc = take_parameters(&a);
		if (!rc)
			rc = take_surroundings(&a);
		return rc ? rc : actions[i].run(&a);
	}
	fputs("usage: volume start | stop | monitor | validate-all | meta-data\n"
	      "OCF agent of clusterd: see ocf_clusterd_volume(7)\n",
	      stderr);
	return OCF_ERR_UNIMPLEMENTED;
}
