/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Events in, actions out: the core's wiring to corosync, disk, watchdog and fence. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/reboot.h>
#include <sys/stat.h>
#include <systemd/sd-daemon.h>
#include <unistd.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

#include "cleanup.h"
#include "clock.h"
#include "clusterd/core/state.h"
#include "clusterd/core/timetable.h"
#include "clusterd/io/soon.h"
#include "clusterd/log.h"
#include "clusterd/shell_private.h"
#include "text.h"

#define STORE_CLOSE_MS 2000
#define RECORDER_SAVE_MS 500

static uint64_t wall_ms(void) { return clock_ms(CLOCK_REALTIME); }

void shell_end(struct shell *s, int code)
{
	if (s->exit_code < 0)
		s->exit_code = code;
	qb_loop_stop(s->loop);
}

/* --- events --- */

/* Pages of the unused half go back to the machine after a snapshot was taken. */
static void give_back_spare(struct shell *s)
{
	void *memory;
	size_t size;

	core_spare(s->core, &memory, &size);
	if (!size)
		s->spare_used = true;
	else if (s->spare_used && !madvise(memory, size, MADV_DONTNEED))
		s->spare_used = false;
}

void shell_step(struct shell *s, struct core_event *event)
{
	struct tag before = core_state(s->core)->tag;

	event->mono_ms = watchdog_now_ms();
	event->wall_ms = wall_ms();
	core_step(s->core, event, &s->sink);
	give_back_spare(s);
	shell_control_news(s);
	if (tag_compare(before, core_state(s->core)->tag))
		shell_volumes_tick(s);
}

struct later {
	struct shell *shell;
	struct core_event event;
	qb_loop_timer_handle timer;
};

static void on_later(void *data)
{
	struct later *l = data;

	shell_step(l->shell, &l->event);
	free(l);
}

void shell_step_later(struct shell *s, const struct core_event *event)
{
	struct later *l = malloc(sizeof(*l));

	if (!l || soon_add(s->loop, QB_LOOP_HIGH, l, on_later, &l->timer)) {
		log_error("out_of_memory", "what=event kind=%d", event->kind);
		free(l);
		shell_end(s, SHELL_EXIT_RESTART); /* a lost completion would be waited for for ever */
		return;
	}
	l->shell = s;
	l->event = *event;
}

static void on_tick(void *data)
{
	struct shell *s = data;
	struct core_event e = { .kind = EVENT_TICK };

	s->timer = 0;
	qb_loop_timer_add(s->loop, QB_LOOP_HIGH, (uint64_t)CORE_TICK_MS * QB_TIME_NS_IN_MSEC, s, on_tick, &s->timer);
	shell_step(s, &e);
	shell_volumes_tick(s);
}

/* "1,2,5", as corosync's own log and tools name nodes. */
static const char *ids_text(nodeset_t nodes, char out[4 * NODE_MAX])
{
	size_t used = 0;

	snprintf(out, 4 * NODE_MAX, "none");
	for (uint32_t id = 1; id <= NODE_MAX; id++)
		if (nodeset_has(nodes, id))
			used += (size_t)snprintf(out + used, 4 * NODE_MAX - used, "%s%u", used ? "," : "", id);
	return out;
}

static void on_view(void *ctx, const struct ring_view *view)
{
	struct shell *s = ctx;
	struct core_event e = { .kind = EVENT_CONFCHG };
	char members[4 * NODE_MAX], lost[4 * NODE_MAX];

	log_info("view", "number=%llu members=%s lost=%s", (unsigned long long)view->number, ids_text(view->members, members),
		 ids_text(view->nodedown | view->procdown, lost));
	e.confchg.view = view->number;
	e.confchg.members = view->members;
	e.confchg.procdown = view->procdown;
	shell_step(s, &e);
}

static void on_message(void *ctx, uint32_t sender, const void *data, size_t len)
{
	struct core_event e = { .kind = EVENT_ORDERED };

	shell_volumes_message(ctx, sender, data, len);
	e.ordered.sender = sender;
	e.ordered.data = data;
	e.ordered.len = len;
	shell_step(ctx, &e);
}

static void on_lost(void *ctx, int error)
{
	struct shell *s = ctx;
	struct core_event e = { .kind = EVENT_RING_LOST };

	log_error("corosync_lost", "error=%s", log_quote(strerror(-error)));
	if (s->core)
		shell_step(s, &e);
}

static void on_unreachable(void *ctx, int error)
{
	const char *why = error == -ERANGE   ? "the id of this node is not 1 to 63"
			  : error == -ENOENT ? "corosync.conf has no node list"
					     : strerror(-error);

	(void)ctx;
	log_warning("corosync_unreachable", "error=%s consequence=%s", log_quote(why),
		    log_quote("tried again until it answers"));
}

static void on_votequorum(void *ctx, bool quorate)
{
	(void)ctx;
	log_info("corosync_quorum", "quorate=%s", quorate ? "yes" : "no");
}

static void on_commit(void *ctx, uint64_t cookie, int error)
{
	struct shell *s = ctx;
	struct core_event e = { .kind = EVENT_PERSISTED };
	struct store_status status;

	if (error && !s->store_failing) {
		store_status(s->store, &status);
		log_error("database_not_written", "error=%s consequence=%s", log_quote(status.error_text),
			  log_quote("tried again every second; the others go on, a majority of the disks is enough"));
	} else if (!error && s->store_failing) {
		log_notice("database_written", "%s", "again");
	}
	s->store_failing = error;
	if (error)
		return;
	e.persisted.cookie = cookie;
	shell_step(s, &e);
}

static void on_fence_done(void *ctx, uint32_t node, bool confirmed, const char *text)
{
	struct shell *s = ctx;
	struct core_event e = { .kind = EVENT_FENCE_RESULT };

	log_notice("fence_command", "node=%u confirmed=%s text=%s", node, confirmed ? "yes" : "no", log_quote(text));
	e.fence.node = node;
	e.fence.incarnation = s->fence_incarnation[node];
	e.fence.confirmed = confirmed;
	e.fence.text = text;
	shell_step(s, &e);
}

/* --- actions --- */

static void propose(struct shell *s, const struct core_action *a)
{
	int ret = ring_send(s->ring, a->frame.data, a->frame.len);

	if (!ret || ret == -ENOTCONN) /* unconnected: the loss of the ring is on its way as an event */
		return;
	log_error("message_not_sent", "error=%s", log_quote(strerror(-ret)));
	shell_end(s, SHELL_EXIT_RESTART);
}

static void persist(struct shell *s, const struct core_action *a)
{
	struct store_meta meta = { a->commit.tag.epoch, a->commit.tag.seq, a->commit.promised };
	int ret = 0;

	if (a->kind == ACTION_PERSIST_PUT)
		ret = store_put(s->store, a->persist.kind, a->persist.id, a->persist.data.data, a->persist.data.len);
	else if (a->kind == ACTION_PERSIST_DELETE)
		ret = store_delete(s->store, a->persist.kind, a->persist.id);
	else if (a->kind == ACTION_PERSIST_WIPE)
		ret = store_wipe(s->store);
	else
		ret = store_commit(s->store, &meta, a->commit.cookie);
	if (!ret)
		return;
	/* What is not staged can never be durable here: begin again from what is on disk. */
	log_error("database_not_staged", "error=%s", log_quote(strerror(-ret)));
	shell_end(s, SHELL_EXIT_RESTART);
}

/* Kept in run_dir, which a reboot clears: the next run of clusterd counts T_stop from there. */
static void write_confirmed(struct shell *s, uint64_t confirmed_ms, uint32_t t_stop_ms, bool released)
{
	char path[OPTIONS_PATH_SIZE + 16], text[48];
	cleanup_fd int fd = -1;
	int n;

	if (confirmed_ms == s->confirmed_written_ms && released == s->released_written)
		return;
	s->confirmed_written_ms = confirmed_ms;
	s->released_written = released;
	snprintf(path, sizeof(path), "%s/confirmed", s->options.run_dir);
	/* Always of one length, so that an old text leaves nothing behind. */
	n = snprintf(text, sizeof(text), "%020llu %010u %u\n", (unsigned long long)confirmed_ms, t_stop_ms, released);
	fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
	if (fd < 0 || pwrite(fd, text, (size_t)n, 0) != n)
		log_warning("confirmed_not_written", "path=%s error=%s", path, log_quote(strerror(errno)));
}

static void read_confirmed(const struct shell *s, struct core_config *c)
{
	char path[OPTIONS_PATH_SIZE + 16], text[48] = "", *rest;
	cleanup_fd int fd = -1;
	ssize_t n;

	snprintf(path, sizeof(path), "%s/confirmed", s->options.run_dir);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	n = fd < 0 ? -1 : read(fd, text, sizeof(text) - 1);
	if (n <= 0)
		return;
	c->confirmed_mono_ms = strtoull(text, &rest, 10);
	c->t_stop_ms = (uint32_t)strtoul(rest, &rest, 10);
	c->released = strtoul(rest, NULL, 10) == 1;
}

static void watchdog(struct shell *s, const struct core_action *a)
{
	int ret;

	write_confirmed(s, a->watchdog.confirmed_mono_ms, a->watchdog.t_stop_ms, !a->watchdog.armed);
	if (!s->watchdog)
		return;
	ret = a->watchdog.armed ? watchdog_deadline(s->watchdog, a->watchdog.until_mono_ms) : watchdog_release(s->watchdog);
	if (!ret)
		ret = watchdog_error(s->watchdog);
	if (!ret)
		return;
	/* The others count on it: without it this node must not go on as if it had one. */
	log_error("watchdog", "path=%s error=%s", s->options.watchdog, log_quote(strerror(-ret)));
	shell_end(s, SHELL_EXIT_RESTART);
}

static void fence_self(struct shell *s, const char *why)
{
	log_error("self_fence", "why=%s", log_quote(why));
	if (s->watchdog)
		watchdog_deadline(s->watchdog, 0);
	log_recorder_save(RECORDER_SAVE_MS); /* while the watchdog runs down already */
	/* At once where the kernel lets us; the watchdog comes anyway. No sync: it may hang on the very storage that failed. */
	if (reboot(RB_AUTOBOOT))
		log_error("reboot_refused", "error=%s", log_quote(strerror(errno)));
}

static void claim_witness(struct shell *s)
{
	struct core_event e = { .kind = EVENT_WITNESS };

	/* shell_control.c refuses to configure a witness, so no claim can be answered with yes. */
	e.witness.held = false;
	shell_step_later(s, &e);
}

static void fence_node_by_command(struct shell *s, const struct core_action *a)
{
	int ret;

	if (!s->fence)
		return;
	ret = fence_node(s->fence, a->fence.node, a->fence.name);
	/* One that runs already answers for whom it was started: the node may have been back since. */
	if (!ret)
		s->fence_incarnation[a->fence.node] = a->fence.incarnation;
	else if (ret != -EALREADY)
		log_error("fence_command", "node=%s error=%s", a->fence.name, log_quote(strerror(-ret)));
}

static void kick(struct shell *s, const struct core_action *a)
{
	int ret = ring_kick(s->ring, a->fence.node, "clusterd: it does not answer and was excluded");

	log_warning("kick", "node=%s error=%s", a->fence.name, log_quote(ret ? strerror(-ret) : "none"));
}

/* A stranger in the group can make the core say the same thing a thousand times a second; the log holds it once. */
static void trace(struct shell *s, const struct core_action *a)
{
	uint64_t hash = XXH3_64bits(a->trace.text, strlen(a->trace.text)), now = watchdog_now_ms();
	struct repeat *r = &s->repeats[hash % SHELL_REPEATS];

	if (r->hash == hash && now < r->until_ms) {
		r->held_back++;
		return;
	}
	if (r->held_back)
		log_at(a->trace.priority, "core", "text=%s held_back=%u", log_quote(a->trace.text), r->held_back);
	else
		log_at(a->trace.priority, "core", "text=%s", log_quote(a->trace.text));
	*r = (struct repeat){ hash, now + SHELL_REPEAT_MS, 0 };
}

static void vote(struct shell *s, bool quorate)
{
	int ret = ring_vote(s->ring, quorate);

	if (ret && ret != -ENOTCONN && ret != -ENOTSUP)
		log_error("vote_not_given", "quorate=%s error=%s", quorate ? "yes" : "no", log_quote(strerror(-ret)));
	if (quorate == s->quorate)
		return;
	s->quorate = quorate;
	log_at(quorate ? LOG_NOTICE : LOG_WARNING, "quorum", "quorate=%s", quorate ? "yes" : "no");
}

static void act(void *user, const struct core_action *a)
{
	struct shell *s = user;

	switch (a->kind) {
	case ACTION_PROPOSE: propose(s, a); break;
	case ACTION_PERSIST_WIPE:
	case ACTION_PERSIST_PUT:
	case ACTION_PERSIST_DELETE:
	case ACTION_PERSIST_COMMIT: persist(s, a); break;
	case ACTION_REPLY: shell_control_reply(s, a); break;
	case ACTION_AGENT_RUN:
	case ACTION_AGENT_CANCEL:
	case ACTION_MONITOR_START:
	case ACTION_MONITOR_STOP: shell_agents_act(s, a); break;
	case ACTION_FENCE: fence_node_by_command(s, a); break;
	case ACTION_KICK: kick(s, a); break;
	case ACTION_VOTE: vote(s, a->quorate); break;
	case ACTION_WITNESS_CLAIM: claim_witness(s); break;
	case ACTION_WITNESS_RELEASE: break;
	case ACTION_WATCHDOG: watchdog(s, a); break;
	case ACTION_VOLUMES_END: shell_volumes_kill(s); break;
	case ACTION_SELF_FENCE: fence_self(s, a->text); break;
	case ACTION_RESTART:
		log_warning("restart", "why=%s", log_quote(a->text));
		shell_end(s, SHELL_EXIT_RESTART);
		break;
	case ACTION_LEFT:
		log_notice("left", "node=%s", s->node_name);
		if (s->watchdog)
			watchdog_release(s->watchdog);
		shell_end(s, 0);
		break;
	case ACTION_TRACE: trace(s, a); break;
	}
}

/* --- start --- */

/* The boot, told apart from the one before: the kernel's id, and when this name space's first process began. */
static uint64_t boot_id(void)
{
	char text[1024] = "", stat[512] = "";
	cleanup_file FILE *id = fopen("/proc/sys/kernel/random/boot_id", "re");
	cleanup_file FILE *init = fopen("/proc/1/stat", "re");
	const char *after = NULL;
	char start[32] = "";

	if (!id || !fgets(text, 64, id))
		text[0] = '\0';
	if (init && fgets(stat, sizeof(stat), init))
		after = strrchr(stat, ')');
	/* Field 22 of proc(5) is the start time; the 20th after the command. */
	for (int field = 2; after && field < 22; field++)
		after = strchr(after + 1, ' ');
	if (after)
		sscanf(after, " %31s", start);
	strncat(text, start, sizeof(text) - strlen(text) - 1);
	return XXH3_64bits(text, strlen(text));
}

static uint32_t machine_memory_mb(void)
{
	cleanup_file FILE *f = fopen("/proc/meminfo", "re");
	unsigned long kib = 0;

	if (!f || fscanf(f, "MemTotal: %lu", &kib) != 1)
		return 0;
	return (uint32_t)(kib / 1024);
}

static void fill_config(const struct shell *s, const struct ring_info *info, struct core_config *c)
{
	const struct options *o = &s->options;
	long cores = sysconf(_SC_NPROCESSORS_ONLN);

	c->self = info->self;
	c->incarnation = wall_ms();
	c->boot_id = boot_id();
	read_confirmed(s, c);
	for (uint32_t i = 0; i < info->node_count; i++)
		c->configured |= NODE_BIT(info->nodes[i].id);
	text_copy(c->node_name, NAME_SIZE, s->node_name);
	text_copy(c->cluster_name, NAME_SIZE, o->cluster_name[0] ? o->cluster_name : info->cluster_name);
	text_copy(c->site, NAME_SIZE, o->site);
	text_copy(c->fault_domain, NAME_SIZE, o->fault_domain);
	c->cpu = o->cpu ? o->cpu : (uint32_t)(cores > 0 ? cores : 1) * 100;
	c->memory_mb = o->memory_mib ? o->memory_mib : machine_memory_mb();
	c->watchdog_ms = s->watchdog ? o->watchdog_timeout_ms : 0;
	c->level_max = o->feature_level_max && o->feature_level_max < FEATURE_LEVEL ? o->feature_level_max : FEATURE_LEVEL;
	/* Token and consensus, and a tenth for the rest (measured). */
	c->detection_ms = (info->token_ms + info->consensus_ms) * 11 / 10;
	c->prevent_quorum = o->prevent_quorum;
}

static int on_object(void *ctx, uint8_t kind, uint32_t id, const void *blob, size_t len)
{
	struct shell *s = ctx;

	(void)kind;
	(void)id;
	return core_load_object(s->core, blob, len);
}

static struct core_config config_of(const struct shell *s)
{
	struct core_config c = { 0 };

	fill_config(s, ring_info(s->ring), &c);
	return c;
}

static void on_reset(void *ctx)
{
	struct shell *s = ctx;
	struct core_config c = config_of(s);

	madvise(s->memory, core_size(), MADV_DONTNEED);
	s->core = core_init(s->memory, &c);
}

static int open_database(struct shell *s, char *text, size_t text_size)
{
	struct store_handlers handlers = { on_object, on_reset, on_commit };
	struct core_config c = config_of(s);
	struct store_meta meta = { 0, 0, 0 };
	struct store_status status;
	int ret;

	s->core = core_init(s->memory, &c);
	ret = store_open(&s->store, s->loop, s->options.state_dir, &handlers, s, &meta, text, text_size);
	if (ret)
		return ret;
	store_status(s->store, &status);
	if (status.opened == STORE_REBUILT)
		log_error("database_damaged", "kept_aside=%s text=%s", status.kept_aside, log_quote(text));
	core_load_done(s->core, (struct tag){ meta.epoch, meta.seq }, meta.promised);
	return 0;
}

static int own_name(struct shell *s, const struct ring_info *info, char *text, size_t size)
{
	s->self = info->self;
	for (uint32_t i = 0; i < info->node_count; i++)
		if (info->nodes[i].id == info->self)
			text_copy(s->node_name, sizeof(s->node_name), info->nodes[i].name);
	if (s->options.node_name[0])
		text_copy(s->node_name, sizeof(s->node_name), s->options.node_name);
	if (s->self && s->self <= NODE_MAX && s->node_name[0])
		return 0;
	snprintf(text, size, "corosync.conf: this node (id %u) is not in the node list, or its id is not 1 to %d",
		 s->self, NODE_MAX);
	return -EINVAL;
}

static uint32_t less(uint32_t a, uint32_t b) { return a > b ? a - b : 0; }

static void no_watchdog(const struct shell *s, const char *error)
{
	log_error("no_watchdog", "path=%s error=%s consequence=%s", s->options.watchdog, log_quote(error),
		  log_quote("the others cannot rely on T_stop for this node; its roles start elsewhere only after a fence command, "
			    "its reboot, or an administrator's word"));
}

/*
 * That it cannot be armed (another daemon has it, its driver knows no such time-out) shows only when it is, and the others
 * must be told with the first message. What still runs here from before is not given more time by this than it had.
 */
static void arm_watchdog(struct shell *s)
{
	struct core_config before = { 0 };
	uint64_t until_ms = watchdog_now_ms() + s->options.watchdog_timeout_ms;
	int ret;

	if (!s->watchdog)
		return;
	read_confirmed(s, &before);
	if (before.released)
		return;
	if (before.confirmed_mono_ms && (shell_agents_recorded(s) || shell_volumes_recorded(s)))
		until_ms = before.confirmed_mono_ms + less(before.t_stop_ms, s->options.watchdog_timeout_ms + TIMETABLE_SLACK_MS);
	ret = watchdog_deadline(s->watchdog, until_ms);
	if (!ret)
		return;
	no_watchdog(s, strerror(-ret));
	watchdog_free(s->watchdog);
	s->watchdog = NULL;
}

/* corosync is reached for the first time: who we are is known, so the core can begin. */
static void on_ready(void *ctx)
{
	struct shell *s = ctx;
	char text[1024] = "";
	int ret;

	if (s->core) {
		if (ring_info(s->ring)->self != s->self) {
			log_error("identity_changed", "was=%u is=%u", s->self, ring_info(s->ring)->self);
			shell_end(s, SHELL_EXIT_RESTART);
		}
		return;
	}
	arm_watchdog(s);
	ret = own_name(s, ring_info(s->ring), text, sizeof(text));
	if (!ret)
		ret = open_database(s, text, sizeof(text));
	if (!ret)
		ret = shell_volumes_open(s, text, sizeof(text));
	if (!ret)
		ret = shell_agents_open(s, text, sizeof(text));
	if (!ret)
		ret = shell_control_open(s, text, sizeof(text));
	if (ret) {
		log_error("cannot_start", "why=%s", log_quote(text[0] ? text : strerror(-ret)));
		fprintf(stderr, "clusterd: %s\n", text[0] ? text : strerror(-ret));
		s->core = NULL;
		shell_end(s, 1);
		return;
	}
	qb_loop_timer_add(s->loop, QB_LOOP_HIGH, (uint64_t)CORE_TICK_MS * QB_TIME_NS_IN_MSEC, s, on_tick, &s->timer);
	if (!ring_info(s->ring)->device)
		log_warning("no_quorum_device", "consequence=%s",
			    log_quote("corosync counts its own quorum; give corosync.conf the section quorum.device with model "
				      "clusterd, see clusterd(8), so that both say the same"));
	log_notice("ready", "node=%s id=%u watchdog=%s fence_command=%s", s->node_name, s->self,
		   s->watchdog ? s->options.watchdog : "none", log_quote(s->options.fence_command));
	sd_notify(0, "READY=1");
}

static void open_watchdog(struct shell *s)
{
	static const char *const names[] = { [WATCHDOG_NONE] = "none", [WATCHDOG_DEVICE] = "device", [WATCHDOG_PIPE] = "pipe" };
	enum watchdog_driver driver = WATCHDOG_NONE;
	char text[512] = "";

	for (size_t i = 0; i < ARRAY_SIZE(names); i++)
		if (!strcmp(names[i], s->options.watchdog_driver))
			driver = (enum watchdog_driver)i;
	if (driver == WATCHDOG_NONE)
		return;
	if (!watchdog_open(&s->watchdog, s->loop, driver, s->options.watchdog, s->options.watchdog_timeout_ms, text, sizeof(text)))
		return;
	s->watchdog = NULL;
	no_watchdog(s, text);
}

int shell_new(struct shell **ret_shell, qb_loop_t *loop, const struct options *options, char *text, size_t text_size)
{
	struct ring_handlers handlers = { on_ready, on_view, on_message, on_lost, on_unreachable, on_votequorum };
	struct shell *s = calloc(1, sizeof(*s));
	int ret;

	if (!s)
		return -ENOMEM;
	s->loop = loop;
	s->options = *options;
	s->exit_code = -1;
	s->sink = (struct core_sink){ act, s };
	/* Lazily backed: a small cluster touches little of it. */
	s->memory = mmap(NULL, core_size(), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (s->memory == MAP_FAILED) {
		free(s);
		return -ENOMEM;
	}
	if (mkdir(options->run_dir, 0755) && errno != EEXIST) {
		ret = -errno;
		snprintf(text, text_size, "%s: %s", options->run_dir, strerror(errno));
		shell_free(s);
		return ret;
	}
	open_watchdog(s);
	if (options->fence_command[0]) {
		ret = fence_new(&s->fence, loop, options->fence_command, options->fence_timeout_ms, on_fence_done, s);
		if (ret) {
			snprintf(text, text_size, "fence_command %s: %s", options->fence_command, strerror(-ret));
			shell_free(s);
			return ret;
		}
	}
	ret = ring_new(&s->ring, loop, options->cluster_name[0] ? options->cluster_name : NULL, &handlers, s);
	if (ret) {
		snprintf(text, text_size, "corosync: %s", strerror(-ret));
		shell_free(s);
		return ret;
	}
	*ret_shell = s;
	return 0;
}

void shell_stop(struct shell *s)
{
	struct core_status status;

	if (!s->core || s->stopping) {
		shell_end(s, 0);
		return;
	}
	s->stopping = true;
	sd_notify(0, "STOPPING=1");
	core_status(s->core, watchdog_now_ms(), &status);
	log_notice("stopping", "node=%s quorate=%s", s->node_name, status.quorate ? "yes" : "no");
	if (status.quorate)
		shell_control_leave(s);
	else
		shell_control_news(s);
	/* Without quorum the core stops what runs here by itself; shell_control_news() sees the end of it, or a new quorum. */
}

int shell_exit_code(const struct shell *s) { return s->exit_code < 0 ? 0 : s->exit_code; }

void shell_free(struct shell *s)
{
	if (s->timer)
		qb_loop_timer_del(s->loop, s->timer);
	shell_volumes_close(s);
	shell_control_close(s);
	shell_agents_close(s);
	if (s->fence)
		fence_free(s->fence);
	if (s->ring)
		ring_free(s->ring);
	if (s->store)
		store_close(s->store, STORE_CLOSE_MS);
	if (s->watchdog)
		watchdog_free(s->watchdog);
	munmap(s->memory, core_size());
	free(s);
}
