/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What takes long and is not the control socket's to wait for: one job at a time, by a thread of its own, which tells
 * how far it is. And the end of a freeze that nobody ends: a volume that stands still makes every node wait.
 */
#include <errno.h>
#include <linux/fs.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <time.h>

#include "clock.h"
#include "csvfs/io/growth.h"
#include "csvfs/owner/owner.h"
#include "csvfs/owner/rights.h"
#include "text.h"

#define LOOK_MS 500		/* the clock is looked at this often at least */
#define TRIM_STEP (64ull << 30) /* of the file system, at a time: so often it is told how far it is */

static bool is_stopping(struct owner *o)
{
	bool stopping;

	pthread_mutex_lock(&o->lock);
	stopping = o->stopping;
	pthread_mutex_unlock(&o->lock);
	return stopping;
}

/* For a while, or until something has changed. owner.lock is held. */
static void wait_a_little(struct owner *o)
{
	struct timespec t;

	clock_gettime(CLOCK_REALTIME, &t);
	t.tv_nsec += LOOK_MS * 1000000L;
	if (t.tv_nsec >= 1000000000L) {
		t.tv_sec++;
		t.tv_nsec -= 1000000000L;
	}
	pthread_cond_timedwait(&o->changed, &o->lock, &t);
}

/* --- the end of a freeze --- */

struct freeze_job {
	struct job job;
	struct owner *owner;
	uint64_t number;
};

static void run_freeze_end(struct job *job)
{
	const struct freeze_job *j = CONTAINER_OF(job, struct freeze_job, job);
	struct owner *o = j->owner;
	bool late = false;

	pthread_mutex_lock(&o->lock);
	while (o->frozen && o->freeze_number == j->number && !late) {
		wait_a_little(o);
		late = clock_ms(CLOCK_MONOTONIC) >= o->frozen_until_ms;
	}
	late = late && o->frozen && o->freeze_number == j->number;
	pthread_mutex_unlock(&o->lock);
	if (late && !owner_thaw(o))
		fprintf(stderr, "csvfs-owner: the file system goes on: it stood still for as long as was asked for\n");
	free(job);
}

int owner_freeze_until(struct owner *o, uint64_t until_ms)
{
	struct freeze_job *j = malloc(sizeof(*j));

	if (!j)
		return -ENOMEM;
	pthread_mutex_lock(&o->lock);
	o->frozen_until_ms = until_ms;
	*j = (struct freeze_job){ .job.run = run_freeze_end, .owner = o, .number = ++o->freeze_number };
	pthread_mutex_unlock(&o->lock);
	job_run(o, &j->job);
	return 0;
}

/* --- jobs --- */

static void tell(struct owner *o, uint64_t done, uint64_t value)
{
	pthread_mutex_lock(&o->lock);
	o->job.done = done;
	o->job.value = value;
	pthread_mutex_unlock(&o->lock);
}

/* In steps: the kernel is not asked to stop, it is not asked to go on. */
static int trim(struct owner *o, char *text, size_t size)
{
	uint64_t total = o->mount.trailer.at, bytes = 0;

	pthread_mutex_lock(&o->lock);
	o->job.total = total;
	pthread_mutex_unlock(&o->lock);
	for (uint64_t at = 0; at < total && !is_stopping(o); at += TRIM_STEP) {
		struct fstrim_range range = { .start = at, .len = TRIM_STEP };

		if (!ioctl(o->mount.root_fd, FITRIM, &range)) {
			bytes += range.len;
		} else if (errno != EINVAL ||
			   !at) { /* behind the end of a file system that is shorter than the device */
			if (errno == EOPNOTSUPP)
				text_copy(text, size, "the device takes no free blocks back (discard)");
			return -errno;
		}
		tell(o, at + TRIM_STEP < total ? at + TRIM_STEP : total, bytes);
	}
	return is_stopping(o) ? -ECANCELED : 0;
}

/* --- growing --- */

/* The new one is whole, and found, before the file system may grow over the old one; nobody writes to either meanwhile. */
static int move_trailer(struct owner *o, char *text, size_t size)
{
	struct trailer_header header;
	struct trailer to;
	int ret;

	pthread_rwlock_wrlock(&o->trailer_lock);
	ret = mount_verify(&o->mount);
	if (!ret)
		ret = trailer_move(&to, &o->mount.trailer, &header);
	if (!ret) {
		o->mount.trailer = to;
		o->mount.header.at = to.at; /* others read the identity, which stays */
	}
	if (ret == -ENOTRECOVERABLE) /* with the lock: nobody writes to the one or the other */
		owner_fence(o, "a trailer at the new end of the device was begun, and cannot be taken away", ret);
	pthread_rwlock_unlock(&o->trailer_lock);
	if (ret == -EALREADY)
		return 0;
	if (ret == -ESTALE)
		owner_fence(o, "another owner has come, though this one was not asked to end", ret);
	if (ret)
		snprintf(text, size, "its trailer cannot be written at the new end of the device: %s; the old one is still good",
			 strerror(-ret));
	return ret;
}

static int resize(struct owner *o, const struct superblock *s)
{
	int ret = s->kind == SUPERBLOCK_EXT4 ? rights_resize(true) : 0;

	if (ret)
		return ret;
	ret = growth_run(s, o->mount.root_fd, o->mount.trailer.at);
	if (s->kind == SUPERBLOCK_EXT4 && rights_resize(false))
		owner_fence(o, "rights that no request may use", EPERM);
	return ret;
}

/* To the size that the device has now; what was interrupted goes on where it ended. */
static int grow(struct owner *o, char *text, size_t size)
{
	struct superblock s;
	int ret = device_refresh(&o->mount.device);

	if (!ret)
		ret = move_trailer(o, text, size);
	if (!ret)
		ret = superblock_read(&o->mount.device, &s);
	if (ret)
		return ret;
	tell(o, 0, s.size);
	if (growth_size(&s, o->mount.trailer.at) <= s.size)
		return 0;
	ret = resize(o, &s);
	if (ret == -EPERM && s.kind == SUPERBLOCK_EXT4)
		snprintf(text, size,
			 "an ext4 in use is grown with the capability CAP_SYS_RESOURCE, which this system does not give; "
			 "stop the volume, csvfs-admin grow DEVICE, start it");
	else if (ret < 0)
		snprintf(text, size, "its file system cannot be grown: %s; it is good, at its old size", strerror(-ret));
	else if (ret)
		tell(o, 0, growth_size(&s, o->mount.trailer.at));
	return ret < 0 ? ret : 0;
}

/* --- checking --- */

/* What can be known of a file system that is in use: what the kernel has noted, and all that is csvfs' own. */
static int check(struct owner *o, char *text, size_t size)
{
	struct trailer_session *sessions = calloc(VOL_SESSION_MAX, sizeof(*sessions));
	struct superblock s;
	const char *unfit;
	int ret = sessions ? 0 : -ENOMEM;

	if (!ret)
		ret = owner_verify(o);
	pthread_rwlock_rdlock(&o->trailer_lock);
	if (!ret)
		ret = trailer_read_sessions(&o->mount.trailer, sessions);
	pthread_rwlock_unlock(&o->trailer_lock);
	free(sessions);
	if (ret) {
		snprintf(text, size, "its owner record or the list of sessions: %s",
			 ret == -EBADMSG ? "damaged" : strerror(-ret));
		return ret;
	}
	ret = superblock_read(&o->mount.device, &s);
	unfit = ret ? strerror(-ret) : trailer_unfit(&o->mount.header, &s);
	if (!unfit && s.errors)
		unfit = "the kernel has noted errors in it";
	if (unfit) {
		snprintf(text, size, "%s: stop the volume and mend it: csvfs-admin check --repair DEVICE", unfit);
		return ret ? ret : -EUCLEAN;
	}
	text_copy(text, size,
		  "no error is noted, and owner record and sessions are good; all of the file system is checked while the "
		  "volume is stopped: csvfs-admin check DEVICE");
	return 0;
}

struct long_job {
	struct job job;
	struct owner *owner;
	int (*run)(struct owner *o, char *text, size_t size);
};

static void run_job(struct job *job)
{
	const struct long_job *j = CONTAINER_OF(job, struct long_job, job);
	struct owner *o = j->owner;
	char text[TEXT_SIZE] = "";
	int ret = j->run(o, text, sizeof(text));

	pthread_mutex_lock(&o->lock);
	o->job.failed = (uint32_t)-ret;
	o->job.running = 0;
	text_copy(o->job.text, sizeof(o->job.text), text);
	pthread_mutex_unlock(&o->lock);
	free(job);
}

int owner_job_start(struct owner *o, uint8_t kind)
{
	static int (*const runs[])(struct owner * o, char *text, size_t size) = {
		[VOL_JOB_TRIM] = trim,
		[VOL_JOB_GROW] = grow,
		[VOL_JOB_CHECK] = check,
	};
	struct long_job *j = kind < ARRAY_SIZE(runs) && runs[kind] ? malloc(sizeof(*j)) : NULL;
	bool busy;

	if (!j)
		return kind < ARRAY_SIZE(runs) && runs[kind] ? -ENOMEM : -EOPNOTSUPP;
	pthread_mutex_lock(&o->lock);
	busy = o->job.running || o->frozen || o->stopping;
	if (!busy)
		o->job = (struct vol_job_is){ .kind = kind, .running = 1 };
	pthread_mutex_unlock(&o->lock);
	if (busy) {
		free(j);
		return -EBUSY;
	}
	*j = (struct long_job){ .job.run = run_job, .owner = o, .run = runs[kind] };
	job_run(o, &j->job);
	return 0;
}

void owner_job_status(struct owner *o, struct vol_job_is *ret)
{
	pthread_mutex_lock(&o->lock);
	*ret = o->job;
	pthread_mutex_unlock(&o->lock);
}
