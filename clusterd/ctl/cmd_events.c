/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Events, and the live view. */
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "clusterd/ctl/ctl_change.h"
#include "clusterd/ctl/ctl_link.h"
#include "clusterd/ctl/ctl_page.h"
#include "clusterd/ctl/ctl_screen.h"
#include "clusterd/ctl/ctl_table.h"
#include "clusterd/core/reason.h"

#define FOLLOW_MS 10000 /* one long poll */
#define REDRAW_MS 1000  /* the page's "since" columns age */

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

static void page(struct ctl *ctl, void *user)
{
	(void)user;
	ctl_page(ctl);
}

/* A long poll is always under way; keys and signals are served meanwhile. */
static int watch_screen(struct ctl *ctl)
{
	struct screen sc = { .signals = -1 };
	bool leave = false, answer, lost;
	int rc = screen_begin(ctl, &sc);

	if (rc)
		return ctl_fail(ctl, refusal_exit_code(REFUSED_IO), "io-error", "watch: signals cannot be caught: %s",
				strerror(-rc));
	while (!leave) {
		screen_draw(ctl, page, NULL);
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
