/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Events, and the live view. */
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/signalfd.h>
#include <termios.h>
#include <unistd.h>

#include "clusterd/ctl/ctl_change.h"
#include "clusterd/ctl/ctl_link.h"
#include "clusterd/ctl/ctl_page.h"
#include "clusterd/ctl/ctl_table.h"
#include "clusterd/core/reason.h"

#define FOLLOW_MS 10000 /* one long poll */
#define REDRAW_MS 1000  /* the page's "since" columns age */
#define KEY_CTRL_C 3

/* The event with this number, NULL when the ring has none (any more). */
static const struct event *event_of(const struct state *s, uint64_t number)
{
	const struct event *e = state_get(s, KIND_EVENT, (uint32_t)(number % EVENT_MAX + 1));

	return e && e->number == number ? e : NULL;
}

static void event_print(struct ctl *ctl, const struct event *e)
{
	char text[3 * TEXT_SIZE], clean[3 * TEXT_SIZE], at[32];

	if (ctl->options.json) {
		json_t *j = ctl_json_object(ctl, object_type(KIND_EVENT), e);

		json_dumpf(j, ctl->out, JSON_COMPACT | JSON_PRESERVE_ORDER);
		json_decref(j);
		fputc('\n', ctl->out);
		return;
	}
	event_format(ctl->view.state, e, text, sizeof(text));
	fprintf(ctl->out, "%6llu  %s  %s\n", (unsigned long long)e->number, ctl_time(e->at_ms, at),
		ctl_clean(text, clean, sizeof(clean)));
}

/* Prints the events after `*since`, moves it. */
static void events_print(struct ctl *ctl, uint64_t *since)
{
	const struct state *s = ctl->view.state;
	uint64_t next = s->cluster.next_event;

	if (next > EVENT_MAX && *since + EVENT_MAX < next - 1) {
		if (!ctl->options.quiet && *since)
			fprintf(ctl->err, "events %llu to %llu are not kept any more\n", (unsigned long long)*since + 1,
				(unsigned long long)(next - 1 - EVENT_MAX));
		*since = next - 1 - EVENT_MAX;
	}
	for (uint64_t number = *since + 1; number < next; number++)
		if (event_of(s, number))
			event_print(ctl, event_of(s, number));
	if (next > *since)
		*since = next - 1;
	fflush(ctl->out);
}

static int events_follow(struct ctl *ctl, uint64_t *since)
{
	for (;;) {
		int rc = ctl_view_follow(ctl, FOLLOW_MS);

		if (rc && rc != -ETIMEDOUT)
			return EXIT_UNREACHABLE;
		if (!rc)
			events_print(ctl, since);
		if (ferror(ctl->out))
			return EXIT_DONE;
	}
}

static int events_json(struct ctl *ctl, uint64_t since)
{
	const struct state *s = ctl->view.state;
	json_t *j = ctl_json_envelope(ctl), *list = json_array();

	for (uint64_t number = since + 1; number < s->cluster.next_event; number++)
		if (event_of(s, number))
			json_array_append_new(list, ctl_json_object(ctl, object_type(KIND_EVENT), event_of(s, number)));
	json_object_set_new(j, "events", list);
	return ctl_json_print(ctl, j);
}

int cmd_events(struct ctl *ctl)
{
	uint64_t next = ctl_cluster(ctl)->next_event, since = ctl->since;

	/* --since with --follow shows all that came, unless --lines says how many. */
	if ((!ctl->options.since || ctl->options.lines) && next > ctl->lines && since < next - 1 - ctl->lines)
		since = next - 1 - ctl->lines;
	if (ctl->options.follow && ctl->view.saved)
		return ctl_usage(ctl, "--follow: a saved state does not change");
	if (next > EVENT_MAX && since + EVENT_MAX < next - 1 && !ctl->options.since)
		since = next - 1 - EVENT_MAX;
	if (ctl->options.json && !ctl->options.follow)
		return events_json(ctl, since);
	events_print(ctl, &since);
	return ctl->options.follow ? events_follow(ctl, &since) : EXIT_DONE;
}

/* --- watch --- */

struct screen {
	struct termios before;
	bool raw;
	int signals;
	sigset_t mask;
};

static int screen_begin(struct screen *sc)
{
	struct termios t;

	sigemptyset(&sc->mask);
	sigaddset(&sc->mask, SIGINT);
	sigaddset(&sc->mask, SIGTERM);
	sigaddset(&sc->mask, SIGHUP);
	sigaddset(&sc->mask, SIGWINCH);
	sigprocmask(SIG_BLOCK, &sc->mask, NULL);
	sc->signals = signalfd(-1, &sc->mask, SFD_CLOEXEC);
	if (sc->signals < 0)
		return -errno;
	if (isatty(STDIN_FILENO) && !tcgetattr(STDIN_FILENO, &sc->before)) {
		t = sc->before;
		t.c_lflag &= ~(tcflag_t)(ICANON | ECHO);
		t.c_cc[VMIN] = 1;
		t.c_cc[VTIME] = 0;
		sc->raw = !tcsetattr(STDIN_FILENO, TCSANOW, &t);
	}
	return 0;
}

static void screen_end(struct ctl *ctl, struct screen *sc)
{
	fputs("\033[?25h\033[?7h\033[?1049l", ctl->out);
	fflush(ctl->out);
	if (sc->raw)
		tcsetattr(STDIN_FILENO, TCSANOW, &sc->before);
	close(sc->signals);
	sigprocmask(SIG_UNBLOCK, &sc->mask, NULL);
}

static unsigned int screen_rows(const struct ctl *ctl)
{
	struct winsize w = { 0 };

	return !ioctl(fileno(ctl->out), TIOCGWINSZ, &w) && w.ws_row > 4 ? w.ws_row : 24;
}

/* The page over the old one, in one write, without a flash: each line is cleared to its end, then what was below. */
static void screen_draw(struct ctl *ctl)
{
	unsigned int room = screen_rows(ctl) - 2, lines = 0; /* the last two are ours */
	FILE *out = ctl->out;
	char *page = NULL;
	size_t len = 0;

	ctl->out = open_memstream(&page, &len);
	if (!ctl->out) {
		ctl->out = out;
		return;
	}
	ctl->view.taken_ms = ctl_wall_ms();
	ctl_page(ctl);
	fclose(ctl->out);
	ctl->out = out;
	fputs("\033[H", out);
	for (char *line = page, *end; line && *line; line = end + 1, lines++) {
		end = strchr(line, '\n');
		if (lines < room)
			fprintf(out, "%.*s\033[K\n", (int)(end - line), line);
	}
	fprintf(out, "\033[K\n\033[2mq ends");
	if (lines > room)
		fprintf(out, "; %u lines more than the terminal has", lines - room);
	fputs("\033[0m\033[K\033[J", out);
	fflush(out);
	free(page);
}

/* Waits for an answer, a key or a signal. True: the user wants to leave. */
static bool screen_wait(const struct screen *sc, int link_fd, int timeout_ms, bool *ret_answer)
{
	struct pollfd p[3] = { { link_fd, POLLIN, 0 }, { sc->signals, POLLIN, 0 }, { sc->raw ? STDIN_FILENO : -1, POLLIN, 0 } };
	struct signalfd_siginfo si;
	char key;

	*ret_answer = false;
	if (poll(p, ARRAY_SIZE(p), timeout_ms) < 0)
		return errno != EINTR;
	*ret_answer = p[0].revents != 0;
	if (p[1].revents && read(sc->signals, &si, sizeof(si)) == sizeof(si) && si.ssi_signo != SIGWINCH)
		return true;
	return p[2].revents && (read(STDIN_FILENO, &key, 1) != 1 || key == 'q' || key == 'Q' || key == KEY_CTRL_C);
}

/* The daemon went away: the last page stays, and it is looked for each second. True: the user wants to leave. */
static bool screen_reconnect(struct ctl *ctl, const struct screen *sc)
{
	FILE *err = ctl->err, *nowhere = fopen("/dev/null", "we");
	bool answer, leave = !nowhere;

	fputs("\033[H\033[1;31mclusterd on this node does not answer; trying again.\033[0m\033[K", ctl->out);
	fflush(ctl->out);
	while (!leave) {
		ctl_link_close(ctl->link);
		ctl->link = NULL;
		ctl->err = nowhere;
		if (!ctl_view_load(ctl))
			break;
		leave = screen_wait(sc, -1, REDRAW_MS, &answer);
	}
	ctl->err = err;
	if (nowhere)
		fclose(nowhere);
	return leave;
}

/* Errors would tear the page: what happened is on it. */
static int quietly(struct ctl *ctl, int (*f)(struct ctl *ctl))
{
	FILE *err = ctl->err;
	int rc;

	ctl->err = fopen("/dev/null", "we");
	if (!ctl->err)
		ctl->err = err;
	rc = f(ctl);
	if (ctl->err != err)
		fclose(ctl->err);
	ctl->err = err;
	return rc;
}

static int ask(struct ctl *ctl) { return ctl_view_ask(ctl, REDRAW_MS); }

/* A long poll is always under way; keys and signals are served meanwhile. */
static int watch_screen(struct ctl *ctl)
{
	struct screen sc = { .signals = -1 };
	bool leave = false, answer, lost;
	int rc = screen_begin(&sc);

	if (rc)
		return ctl_fail(ctl, refusal_exit_code(REFUSED_IO), "io-error", "watch: signals cannot be caught: %s",
				strerror(-rc));
	fputs("\033[?1049h\033[?25l\033[?7l\033[2J", ctl->out); /* long lines are cut, not wrapped */
	while (!leave) {
		screen_draw(ctl);
		lost = quietly(ctl, ask) != 0;
		do
			leave = !lost && screen_wait(&sc, ctl_link_fd(ctl->link), -1, &answer);
		while (!lost && !leave && !answer);
		if (!leave && (lost || quietly(ctl, ctl_view_answer) == -EIO))
			leave = screen_reconnect(ctl, &sc);
	}
	screen_end(ctl, &sc);
	return EXIT_DONE;
}

int cmd_watch(struct ctl *ctl)
{
	uint64_t since = ctl_cluster(ctl)->next_event - 1;

	if (isatty(fileno(ctl->out)) && !ctl->options.json)
		return watch_screen(ctl);
	if (!ctl->options.json) {
		ctl_page(ctl);
		fputc('\n', ctl->out);
		fflush(ctl->out);
	}
	return events_follow(ctl, &since);
}
