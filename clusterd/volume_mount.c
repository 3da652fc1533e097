/* SPDX-License-Identifier: GPL-2.0-or-later */
/* csvfs of one volume on this node: started, adopted, asked, told, ended. */
#include "clusterd/volume_mount.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cleanup.h"
#include "clusterd/io/process.h"
#include "clusterd/log.h"
#include "clusterd/volume_users.h"
#include "text.h"

#define UNMOUNT_PROGRAM "/bin/umount"
#define UNMOUNT_TIMEOUT_MS 10000
#define NOTE_SUFFIX ".node.volume"
#define KNOWN_MS 3000 /* one that was adopted is waited for so long before its volume counts as out of use */

/* --- what is kept for the next run of clusterd --- */

static void note_path(const struct volume_mount *m, char *out, size_t size)
{
	snprintf(out, size, "%s/volumes/%s" NOTE_SUFFIX, m->around->run_dir, m->name);
}

/* Before the start: whatever runs is found again. */
static int write_note(const struct volume_mount *m)
{
	char path[VOLUME_PATH_SIZE + 32], new[VOLUME_PATH_SIZE + 40];
	FILE *f;
	int n;

	note_path(m, path, sizeof(path));
	snprintf(new, sizeof(new), "%s.new", path);
	f = fopen(new, "we");
	if (!f)
		return -errno;
	n = fprintf(f, "%u %llu %llu %llu %s\n%s\n", m->id, (unsigned long long)m->number, (unsigned long long)m->cluster,
		    (unsigned long long)m->run, m->dir, m->device);
	if (fclose(f) || n < 0)
		return -EIO;
	return rename(new, path) ? -errno : 0;
}

static bool read_note(struct volume_mount *m, const struct mount_surroundings *around, const char *file)
{
	char path[2 * VOLUME_PATH_SIZE], dir[MOUNT_DIR_SIZE], device[TEXT_SIZE] = "";
	size_t len = strlen(file) - strlen(NOTE_SUFFIX);
	unsigned long long number, cluster, run;
	cleanup_file FILE *f = NULL;
	unsigned int id;

	snprintf(path, sizeof(path), "%s/volumes/%s", around->run_dir, file);
	f = fopen(path, "re");
	if (!f || fscanf(f, "%u %llu %llu %llu %511[^\n]", &id, &number, &cluster, &run, dir) != 5 || len >= NAME_SIZE)
		return false;
	(void)!fscanf(f, " %255[^\n]", device); /* clusterd before 2026-12 did not note it; its csvfs had no need for it */
	text_copy_n(path, sizeof(path), file, len);
	if (mount_init(m, around, id, number, cluster, path))
		return false;
	m->run = run;
	text_copy(m->dir, sizeof(m->dir), dir);
	text_copy(m->device, sizeof(m->device), device);
	return true;
}

static void forget_note(struct volume_mount *m)
{
	char path[VOLUME_PATH_SIZE + 32];

	note_path(m, path, sizeof(path));
	unlink(path);
	unlink(m->place.record);
}

/* --- life --- */

int mount_init(struct volume_mount *m, const struct mount_surroundings *around, uint32_t id, uint64_t number, uint64_t cluster,
	       const char *name)
{
	int n;

	memset(m, 0, sizeof(*m));
	m->around = around;
	m->id = id;
	m->number = number;
	m->cluster = cluster;
	m->process.pidfd = -1;
	m->told_redirect = m->telling_redirect = -1;
	text_copy(m->name, sizeof(m->name), name);
	n = snprintf(m->dir, sizeof(m->dir), "%s/%s", around->volume_dir, name);
	if (n < 0 || (size_t)n >= sizeof(m->dir))
		return -ENAMETOOLONG;
	return volume_place(&m->place, around->run_dir, around->log_file, "node", name);
}

int mount_list(const struct mount_surroundings *around, void (*each)(void *user, const struct volume_mount *m), void *user)
{
	char path[VOLUME_PATH_SIZE];
	const struct dirent *e;
	struct volume_mount m;
	DIR *dir;

	snprintf(path, sizeof(path), "%s/volumes", around->run_dir);
	dir = opendir(path);
	if (!dir)
		return errno == ENOENT ? 0 : -errno;
	while ((e = readdir(dir))) {
		size_t len = strlen(e->d_name), suffix = strlen(NOTE_SUFFIX);

		if (len <= suffix || strcmp(e->d_name + len - suffix, NOTE_SUFFIX) != 0)
			continue;
		if (read_note(&m, around, e->d_name))
			each(user, &m);
		else
			log_error("volume_note_unreadable", "file=%s", log_quote(e->d_name));
	}
	closedir(dir);
	return 0;
}

static void trouble(struct volume_mount *m, const char *text)
{
	if (strcmp(text, m->trouble) != 0 && *text)
		log_warning("volume_trouble", "volume=%s why=%s", m->name, log_quote(text));
	text_copy(m->trouble, sizeof(m->trouble), text);
}

static void drop_question(struct volume_mount *m)
{
	volume_client_cancel(m->question);
	m->question = NULL;
}

static void unwatch(struct volume_mount *m)
{
	if (m->process.pidfd >= 0)
		qb_loop_poll_del(m->around->loop, m->process.pidfd);
	volume_process_close(&m->process);
	drop_question(m);
	m->alive = m->status_known = false;
	m->told = (struct mount_owner){ 0 };
	m->told_redirect = -1;
}

/* What is left of a csvfs that has ended: files that are open in it fail already. */
static void detach_dead(const struct volume_mount *m)
{
	while (!umount2(m->dir, MNT_DETACH | UMOUNT_NOFOLLOW))
		log_notice("volume_detached", "volume=%s dir=%s", m->name, log_quote(m->dir));
}

/*
 * Of a csvfs that is being killed, the connection with the kernel: a thread of it may wait there for a page that only its own
 * answer would let go. Then it would never end, and with its descriptor open neither would anybody who uses the mount. By the
 * path of the mount point, which asks csvfs nothing.
 */
static void abort_dying(const struct volume_mount *m)
{
	char type[NAME_SIZE];

	if (!volume_mounted(m->dir, type, sizeof(type)) || strcmp(type, "fuse.csvfs") != 0)
		return;
	if (!umount2(m->dir, MNT_FORCE | MNT_DETACH | UMOUNT_NOFOLLOW))
		log_notice("volume_aborted", "volume=%s dir=%s", m->name, log_quote(m->dir));
	else
		log_error("volume_not_aborted", "volume=%s dir=%s error=%s", m->name, log_quote(m->dir),
			  log_quote(strerror(errno)));
}

static void finish(struct volume_mount *m)
{
	if (m->unmounting) {
		process_abandon(m->unmounting, true);
		m->unmounting = NULL;
	}
	forget_note(m);
	if (rmdir(m->dir) && errno != ENOENT)
		log_info("volume_dir_kept", "volume=%s dir=%s error=%s", m->name, log_quote(m->dir), log_quote(strerror(errno)));
	m->gone = true;
}

static void pause_start(struct volume_mount *m, uint64_t now_ms)
{
	if (m->started_ms && now_ms - m->started_ms >= MOUNT_RETRY_MAX_MS)
		m->pause_ms = 0;
	m->next_start_ms = now_ms + m->pause_ms;
	m->pause_ms = m->pause_ms ? m->pause_ms * 2 : MOUNT_RETRY_MIN_MS;
	if (m->pause_ms > MOUNT_RETRY_MAX_MS)
		m->pause_ms = MOUNT_RETRY_MAX_MS;
}

static void ended(struct volume_mount *m)
{
	char words[TEXT_SIZE], text[TEXT_SIZE];

	m->alive = m->lingers = false;
	detach_dead(m);
	if (m->ending || m->killed) {
		log_notice("volume_unmounted", "volume=%s dir=%s", m->name, log_quote(m->dir));
	} else {
		volume_process_last_words(&m->place, 0, words, sizeof(words));
		snprintf(text, sizeof(text), "csvfs ended by itself: %.200s", words);
		trouble(m, text);
		pause_start(m, process_now_ms());
	}
	m->killed = false;
	m->run++; /* this one has ended */
	m->numbered = false;
	unlink(m->place.record);
	if (m->ending)
		finish(m);
}

/*
 * Its process is gone. What it has given to the device may still be under way, if somebody looked at its memory just when it ended:
 * until that is over the run counts as one that lives, so nobody is told otherwise and no other begins.
 */
static void process_gone(struct volume_mount *m)
{
	unwatch(m);
	if (!volume_device_held(m->device)) {
		ended(m);
		return;
	}
	m->alive = m->lingers = true;
	log_warning("volume_lingers", "volume=%s device=%s why=%s", m->name, log_quote(m->device),
		    log_quote("csvfs has ended, and the device has not answered all that it was asked"));
}

static int32_t on_end(int32_t fd, int32_t events, void *data)
{
	struct volume_mount *m = data;

	(void)fd;
	(void)events;
	process_gone(m);
	m->around->changed(m->around->user);
	return 0;
}

int mount_watch(struct volume_mount *m)
{
	int error = m->process.pidfd < 0 ? volume_process_find(&m->place, &m->process) : 0;

	if (!error)
		error = qb_loop_poll_add(m->around->loop, QB_LOOP_HIGH, m->process.pidfd, POLLIN, m, on_end);
	if (error) {
		volume_process_close(&m->process);
		m->numbered = false;
		if (error == -ESRCH && volume_device_held(m->device))
			m->alive = m->lingers = true;
		else if (error == -ESRCH)
			m->run++;
		return error;
	}
	m->alive = m->moved = true;
	m->started_ms = m->answered_ms = process_now_ms();
	return 0;
}

/* The directory is there and nothing is mounted on it. */
static int make_dir(const struct volume_mount *m, char *text, size_t size)
{
	char type[NAME_SIZE];

	if (mkdir(m->around->volume_dir, 0755) && errno != EEXIST) {
		snprintf(text, size, "%s: %s", m->around->volume_dir, strerror(errno));
		return -errno;
	}
	if (volume_mounted(m->dir, type, sizeof(type))) {
		/* A csvfs that died: the record of this one says that none lives. */
		if (!strcmp(type, "fuse.csvfs"))
			detach_dead(m);
		if (volume_mounted(m->dir, type, sizeof(type))) {
			snprintf(text, size, "%s: something else is mounted there (%s)", m->dir, type);
			return -EBUSY;
		}
	}
	if (mkdir(m->dir, 0755) && errno != EEXIST) {
		snprintf(text, size, "%s: %s", m->dir, strerror(errno));
		return -errno;
	}
	return 0;
}

static int spawn(struct volume_mount *m)
{
	const struct mount_surroundings *a = m->around;
	char node[16], run[24], pause_max[16];
	const char *const argv[] = { a->program, "--device",	   m->device, "--key",	     a->key,	"--control",
				     m->place.control, "--node",   node,      "--incarnation", run, "--pause-max",
				     pause_max,	 m->dir,	   NULL };

	snprintf(node, sizeof(node), "%u", a->self);
	snprintf(run, sizeof(run), "%llu", (unsigned long long)m->run);
	snprintf(pause_max, sizeof(pause_max), "%u", m->pause_max_ms);
	return volume_process_start(&m->place, argv, &m->process, NULL);
}

void mount_start(struct volume_mount *m, uint64_t now_ms)
{
	char text[MOUNT_DIR_SIZE + TEXT_SIZE] = "";
	int error;

	if (m->alive || m->ending || now_ms < m->next_start_ms)
		return;
	pause_start(m, now_ms);
	error = make_dir(m, text, sizeof(text));
	if (error) {
		trouble(m, text);
		return;
	}
	m->numbered = false;
	error = write_note(m);
	if (!error)
		error = spawn(m);
	if (error == -ESRCH)
		m->run++; /* it ended at once */
	if (!error)
		error = mount_watch(m);
	if (!error) {
		log_notice("volume_mounting", "volume=%s dir=%s device=%s run=%llu", m->name, log_quote(m->dir),
			   log_quote(m->device), (unsigned long long)m->run);
		m->next_unmount_ms = 0;
		return;
	}
	if (!*text && error == -ESRCH)
		volume_process_last_words(&m->place, 0, text, TEXT_SIZE);
	if (!*text)
		snprintf(text, sizeof(text), "%s: %s", m->around->program, strerror(-error));
	trouble(m, text);
}

void mount_kill(struct volume_mount *m)
{
	if (!m->alive || m->lingers || m->killed)
		return;
	m->killed = true;
	log_warning("volume_killed", "volume=%s dir=%s", m->name, log_quote(m->dir));
	if (volume_process_signal(&m->process, SIGKILL))
		log_error("volume_not_killed", "volume=%s", m->name);
	else
		abort_dying(m);
}

void mount_done(struct volume_mount *m)
{
	if (m->unmounting)
		process_abandon(m->unmounting, true);
	m->unmounting = NULL;
	unwatch(m);
}

/* --- the end of it --- */

void mount_end(struct volume_mount *m, const char *why)
{
	if (m->ending)
		return;
	m->ending = true;
	log_notice("volume_unmounting", "volume=%s dir=%s why=%s", m->name, log_quote(m->dir), log_quote(why));
	if (!m->alive) {
		detach_dead(m);
		finish(m);
	}
}

static void on_unmounted(void *user, const struct process_result *r)
{
	struct volume_mount *m = user;
	char users[TEXT_SIZE / 2], text[TEXT_SIZE];

	if (r->end != PROCESS_STUCK)
		m->unmounting = NULL;
	m->next_unmount_ms = process_now_ms() + MOUNT_UNMOUNT_MS;
	if (r->end == PROCESS_EXITED && !r->code) {
		trouble(m, "");
		return; /* csvfs sees it and ends */
	}
	volume_users(m->dir, users, sizeof(users));
	if (*users)
		snprintf(text, sizeof(text), "to be unmounted, but in use by %s", users);
	else
		snprintf(text, sizeof(text), "to be unmounted, but umount fails: %s", r->timed_out ? "no end of it" : "busy");
	trouble(m, text);
	m->around->changed(m->around->user);
}

static void unmount(struct volume_mount *m, uint64_t now_ms)
{
	static const struct process_events events = { .done = on_unmounted };
	char path[] = UNMOUNT_PROGRAM, plain[] = "--no-canonicalize", lang[] = "LC_ALL=C";
	char *argv[] = { path, plain, m->dir, NULL }, *environment[] = { lang, NULL };
	struct process_spec spec = {
		.path = path,
		.argv = argv,
		.envp = environment,
		.timeout_ms = UNMOUNT_TIMEOUT_MS,
		.grace_ms = PROCESS_GRACE_MS,
		.reap_ms = PROCESS_REAP_MS,
		.stat_fd = -1,
	};
	char type[NAME_SIZE];

	if (m->unmounting || now_ms < m->next_unmount_ms)
		return;
	m->next_unmount_ms = now_ms + MOUNT_UNMOUNT_MS;
	/* It has not mounted yet, or somebody else has unmounted it: then nothing is in use and it may end at once. */
	if (!volume_mounted(m->dir, type, sizeof(type)))
		volume_process_signal(&m->process, SIGTERM);
	else if (process_spawn(m->around->loop, &spec, &events, m, &m->unmounting))
		trouble(m, "umount cannot be started");
}

/* --- questions --- */

/* A new epoch of the same owner at the same place is found by itself. */
static bool same_owner(const struct mount_owner *a, const struct mount_owner *b)
{
	return a->node == b->node && a->port == b->port && !strcmp(a->address, b->address);
}

static void take_status(struct volume_mount *m, const struct vol_message *answer)
{
	const struct vol_status_is *is = &answer->status_is;
	bool same = m->status_known && is->state == m->status.state && is->reason == m->status.reason &&
		    is->owner_node == m->status.owner_node && is->epoch == m->status.epoch;

	if (!same)
		log_at(is->state == VOL_DIRECT || is->reason == VOL_BY_ADMIN ? LOG_NOTICE : LOG_WARNING, "volume_state",
		       "volume=%s state=%s reason=%s owner=%u epoch=%llu", m->name, vol_state_text(is->state),
		       vol_reason_text(is->reason), is->owner_node, (unsigned long long)is->epoch);
	m->status = *is;
	m->status_ms = process_now_ms();
	m->status_known = true;
	if (!m->ending)
		trouble(m, "");
	if (!same)
		m->around->changed(m->around->user);
}

static void on_answer(void *user, int error, const struct vol_message *answer)
{
	struct volume_mount *m = user;

	m->question = NULL;
	if (!error && answer->error)
		error = -(int)answer->error;
	if (!error) {
		m->answered_ms = process_now_ms();
		if (m->asked == VOL_SET_OWNER)
			m->told = m->telling;
		else if (m->asked == VOL_REDIRECT)
			m->told_redirect = m->telling_redirect;
		else
			take_status(m, answer);
		m->moved |= m->asked != VOL_STATUS;
		return;
	}
	/* While it starts nobody listens yet. */
	if (process_now_ms() - m->answered_ms < MOUNT_SILENT_MS)
		return;
	if (m->status_known) {
		m->status_known = false;
		m->around->changed(m->around->user);
	}
	trouble(m, "csvfs runs and does not answer");
}

static void ask(struct volume_mount *m, uint64_t now_ms, const struct vol_message *q)
{
	m->asked = q->type;
	m->asked_ms = now_ms;
	m->moved = false;
	if (volume_client_ask(&m->question, m->around->loop, m->place.control, q, MOUNT_ANSWER_MS, on_answer, m))
		m->question = NULL;
}

static void ask_what_is_due(struct volume_mount *m, uint64_t now_ms, const struct mount_owner *owner, bool redirect)
{
	struct vol_message q = { .type = VOL_STATUS };
	bool early = !m->moved && now_ms - m->asked_ms < MOUNT_ASK_MS;

	/* One that was adopted and is with its owner needs no word: it would let go and connect anew. */
	if (owner && m->status_known && !m->told.node && m->status.owner_node == owner->node &&
	    m->status.state != VOL_PAUSED && m->status.state != VOL_UNAVAILABLE)
		m->told = *owner;
	if (m->question)
		return;
	if (m->status_known && owner && !same_owner(owner, &m->told)) {
		m->telling = *owner;
		q.type = VOL_SET_OWNER;
		q.set_owner = (struct vol_set_owner){ .epoch = owner->epoch, .node = owner->node, .port = (uint16_t)owner->port };
		text_copy(q.set_owner.address, sizeof(q.set_owner.address), owner->address);
	} else if (m->status_known && m->told_redirect != redirect) {
		m->telling_redirect = redirect;
		q.type = VOL_REDIRECT;
		q.redirect.on = redirect;
	} else if (early) {
		return;
	}
	ask(m, now_ms, &q);
}

void mount_tick(struct volume_mount *m, uint64_t now_ms, const struct mount_owner *owner, bool redirect)
{
	if (!m->alive)
		return;
	if (m->lingers) {
		if (!volume_device_held(m->device))
			ended(m);
		return;
	}
	if (volume_process_dying(&m->process)) {
		abort_dying(m);
		return; /* its pidfd tells when it has ended */
	}
	ask_what_is_due(m, now_ms, owner, redirect);
	if (m->ending && !m->killed)
		unmount(m, now_ms);
}

bool mount_is_up(const struct volume_mount *m, uint64_t now_ms)
{
	return m->alive && m->status_known && m->status.state != VOL_UNAVAILABLE && now_ms - m->answered_ms < MOUNT_SILENT_MS;
}

bool mount_is_known(const struct volume_mount *m, uint64_t now_ms)
{
	return !m->alive || m->status_known || now_ms - m->started_ms >= KNOWN_MS;
}
