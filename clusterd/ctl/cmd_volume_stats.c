/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What was read and written of volumes, how and how fast: counters of csvfs on each node, and of csvfs-owner where it
 * is. Totals since those programs started, or what was done within an interval, measured by each node's own clock.
 */
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "clusterd/ctl/ctl_change.h"
#include "clusterd/ctl/ctl_link.h"
#include "clusterd/ctl/ctl_screen.h"
#include "clusterd/ctl/ctl_table.h"
#include "clusterd/ctl/ctl_volume.h"
#include "proto/latency.h"
#include "text.h"

#define INTERVAL_S 2 /* of --watch, when --interval does not say it */

enum counter {
	DIRECT_READ,
	DIRECT_WRITTEN,
	REDIRECTED_READ,
	REDIRECTED_WRITTEN,
	DIRECT_OPS,
	REDIRECTED_OPS,
	RECALLS,
	PAUSES,
	PAUSED_MS,
	COUNTERS
};
static const char *const counter_names[COUNTERS] = {
	"direct_read_bytes",
	"direct_written_bytes",
	"redirected_read_bytes",
	"redirected_written_bytes",
	"direct_ops",
	"redirected_ops",
	"recalls",
	"pauses",
	"paused_ms",
};

enum histogram { DIRECT_READ_US, DIRECT_WRITE_US, REDIRECTED_READ_US, REDIRECTED_WRITE_US, HISTOGRAMS };
static const char *const histogram_names[HISTOGRAMS] = { "direct_read_us", "direct_write_us", "redirected_read_us",
							 "redirected_write_us" };

struct row {
	const char *volume, *node; /* of the answer's JSON */
	bool owner;
	uint64_t at_ms, interval_ms; /* interval_ms: what `n` is of; 0: since the start */
	uint64_t n[COUNTERS], files, handles;
	struct vol_latency us[HISTOGRAMS];
};

struct sample {
	json_t *json;
	struct row *rows;
	size_t n;
};

/* --- samples --- */

static void sample_done(struct sample *s)
{
	json_decref(s->json);
	free(s->rows);
	*s = (struct sample){ 0 };
}

static uint64_t number_in(const json_t *j, const char *name)
{
	return (uint64_t)json_integer_value(json_object_get(j, name));
}

static void row_read(const json_t *j, struct row *row)
{
	const char *program = json_string_value(json_object_get(j, "program"));

	row->volume = json_string_value(json_object_get(j, "volume"));
	row->node = json_string_value(json_object_get(j, "node"));
	row->owner = program && !strcmp(program, "csvfs-owner");
	row->at_ms = number_in(j, "at_ms");
	row->files = number_in(j, "files");
	row->handles = number_in(j, "handles");
	for (int i = 0; i < COUNTERS; i++)
		row->n[i] = number_in(j, counter_names[i]);
	for (int h = 0; h < HISTOGRAMS; h++)
		for (unsigned int k = 0; k < VOL_LATENCY_BUCKETS; k++)
			row->us[h].n[k] =
				(uint64_t)json_integer_value(json_array_get(json_object_get(j, histogram_names[h]), k));
}

/* By volume, then node; the owner's after those of the nodes. */
static int row_order(const void *a, const void *b)
{
	const struct row *x = a, *y = b;
	int order = strcmp(x->volume, y->volume);

	if (!order)
		order = x->owner - y->owner;
	return order ? order : strcmp(x->node, y->node);
}

static int sample_of(struct ctl *ctl, json_t *steal, struct sample *ret)
{
	const json_t *list = json_object_get(steal, "counters"), *j;
	size_t i;

	*ret = (struct sample){ .json = steal, .rows = calloc(json_array_size(list) + 1, sizeof(struct row)) };
	if (!ret->rows) {
		sample_done(ret);
		return ctl_no_memory(ctl);
	}
	json_array_foreach(list, i, j)
	{
		row_read(j, &ret->rows[ret->n]);
		ret->n += ret->rows[ret->n].volume && ret->rows[ret->n].node;
	}
	qsort(ret->rows, ret->n, sizeof(struct row), row_order);
	return 0;
}

static int sample_take(struct ctl *ctl, struct sample *ret)
{
	json_t *j = NULL;
	int rc = ctl_volumes_ask(ctl, ctl->argc ? ctl->argv[0] : "", true, &j);

	return rc ? rc : sample_of(ctl, j, ret);
}

/* False: it is not the same run, or nothing new is known of it. */
static bool row_since(struct row *row, const struct row *before)
{
	struct row d = *row;

	if (row_order(row, before) || row->at_ms <= before->at_ms)
		return false;
	d.interval_ms = row->at_ms - before->at_ms;
	for (int i = 0; i < COUNTERS; i++) {
		if (row->n[i] < before->n[i])
			return false;
		d.n[i] = row->n[i] - before->n[i];
	}
	for (int h = 0; h < HISTOGRAMS; h++)
		for (unsigned int k = 0; k < VOL_LATENCY_BUCKETS; k++) {
			if (row->us[h].n[k] < before->us[h].n[k])
				return false;
			d.us[h].n[k] = row->us[h].n[k] - before->us[h].n[k];
		}
	*row = d;
	return true;
}

/* Of `now` the rows that `before` has, too, less what was counted then. */
static struct sample sample_since(const struct sample *now, const struct sample *before)
{
	struct sample d = { .json = json_incref(now->json), .rows = calloc(now->n + 1, sizeof(struct row)) };

	for (size_t i = 0; d.rows && i < now->n; i++)
		for (size_t k = 0; k < before->n; k++) {
			d.rows[d.n] = now->rows[i];
			if (!row_since(&d.rows[d.n], &before->rows[k]))
				continue;
			d.n++;
			break;
		}
	return d;
}

/* --- for people --- */

static const char *latency_text(uint64_t us, char out[32])
{
	if (!us)
		return "-";
	if (us == UINT64_MAX)
		snprintf(out, 32, "> 4 s");
	else if (us < 1000)
		snprintf(out, 32, "%llu us", (unsigned long long)us);
	else if (us < 1000000)
		snprintf(out, 32, "%llu.%llu ms", (unsigned long long)us / 1000, (unsigned long long)us / 100 % 10);
	else
		snprintf(out, 32, "%llu.%llu s", (unsigned long long)us / 1000000,
			 (unsigned long long)us / 100000 % 10);
	return out;
}

static void cell_bytes(struct ctl_table *t, const struct row *row, enum counter i)
{
	char text[32];

	ctl_table_cell(t, row->n[i] ? TONE_PLAIN : TONE_FAINT, "%s",
		       ctl_bytes(row->interval_ms ? row->n[i] * 1000 / row->interval_ms : row->n[i], text));
}

static void cell_count(struct ctl_table *t, const struct row *row, enum counter i)
{
	ctl_table_cell(t, row->n[i] ? TONE_PLAIN : TONE_FAINT, "%llu",
		       (unsigned long long)(row->interval_ms ? row->n[i] * 1000 / row->interval_ms : row->n[i]));
}

/* Of direct and redirected ones together: what whoever waits for them sees. */
static void cells_latency(struct ctl_table *t, const struct row *row, enum histogram direct, enum histogram redirected)
{
	struct vol_latency both = row->us[direct];
	char text[32];

	for (unsigned int k = 0; k < VOL_LATENCY_BUCKETS; k++)
		both.n[k] += row->us[redirected].n[k];
	ctl_table_cell(t, TONE_PLAIN, "%s", latency_text(latency_quantile(&both, 500), text));
	ctl_table_cell(t, TONE_PLAIN, "%s", latency_text(latency_quantile(&both, 990), text));
}

static void table(const struct ctl *ctl, const struct sample *s, bool rates)
{
	static const char *const totals[] = {
		"VOLUME",	 "NODE",      ">READ", ">WRITTEN",   ">OPS", ">READ BY OWNER", ">WRITTEN BY OWNER",
		">OPS BY OWNER", ">READ p50", ">p99",  ">WRITE p50", ">p99", ">RECALLS",       ">PAUSES",
		">PAUSED",	 NULL
	};
	static const char *const per_second[] = { "VOLUME",
						  "NODE",
						  ">READ/s",
						  ">WRITTEN/s",
						  ">OPS/s",
						  ">READ BY OWNER/s",
						  ">WRITTEN BY OWNER/s",
						  ">OPS BY OWNER/s",
						  ">READ p50",
						  ">p99",
						  ">WRITE p50",
						  ">p99",
						  ">RECALLS/s",
						  ">PAUSES",
						  ">PAUSED",
						  NULL };
	struct ctl_table *t = ctl_table_new(rates ? per_second : totals);
	char text[32];

	for (size_t i = 0; i < s->n; i++) {
		const struct row *row = &s->rows[i];

		ctl_table_cell(t, TONE_PLAIN, "%s", row->volume);
		ctl_table_cell(t, TONE_PLAIN, "%s%s", row->node, row->owner ? ", for others" : "");
		cell_bytes(t, row, DIRECT_READ);
		cell_bytes(t, row, DIRECT_WRITTEN);
		cell_count(t, row, DIRECT_OPS);
		cell_bytes(t, row, REDIRECTED_READ);
		cell_bytes(t, row, REDIRECTED_WRITTEN);
		cell_count(t, row, REDIRECTED_OPS);
		cells_latency(t, row, DIRECT_READ_US, REDIRECTED_READ_US);
		cells_latency(t, row, DIRECT_WRITE_US, REDIRECTED_WRITE_US);
		cell_count(t, row, RECALLS);
		ctl_table_cell(t, row->n[PAUSES] ? TONE_WARN : TONE_FAINT, "%llu", (unsigned long long)row->n[PAUSES]);
		ctl_table_cell(t, row->n[PAUSES] ? TONE_WARN : TONE_FAINT, "%s",
			       latency_text(row->n[PAUSED_MS] * 1000, text));
	}
	ctl_table_print(t, ctl->out, ctl->color, 0);
}

static void say_missing(const struct ctl *ctl, const struct sample *s)
{
	const json_t *list = json_object_get(s->json, "missing"), *j;
	size_t i;

	json_array_foreach(list, i, j)
		fprintf(ctl->out, "%s%s", i ? ", " : "No answer in time from: ", json_string_value(j));
	if (json_array_size(list))
		fputc('\n', ctl->out);
}

/* --- JSON --- */

static json_t *quantile_json(const struct vol_latency *l, unsigned int permille)
{
	uint64_t us = latency_quantile(l, permille);

	return us == UINT64_MAX ? json_null() : json_integer((json_int_t)us); /* null: longer than is counted */
}

static json_t *latency_json(const struct vol_latency *l)
{
	json_t *j = json_object(), *buckets = json_array();

	json_object_set_new(j, "count", json_integer((json_int_t)latency_count(l)));
	json_object_set_new(j, "p50", quantile_json(l, 500));
	json_object_set_new(j, "p90", quantile_json(l, 900));
	json_object_set_new(j, "p99", quantile_json(l, 990));
	for (unsigned int k = 0; k < VOL_LATENCY_BUCKETS; k++)
		json_array_append_new(buckets, json_integer((json_int_t)l->n[k]));
	json_object_set_new(j, "buckets", buckets);
	return j;
}

static json_t *row_json(const struct row *row)
{
	json_t *j = json_object();

	json_object_set_new(j, "volume", ctl_json_text(row->volume));
	json_object_set_new(j, "node", ctl_json_text(row->node));
	json_object_set_new(j, "program", json_string(row->owner ? "csvfs-owner" : "csvfs"));
	json_object_set_new(j, "interval_ms",
			    row->interval_ms ? json_integer((json_int_t)row->interval_ms) : json_null());
	for (int i = 0; i < COUNTERS; i++)
		json_object_set_new(j, counter_names[i], json_integer((json_int_t)row->n[i]));
	json_object_set_new(j, "files", json_integer((json_int_t)row->files));
	json_object_set_new(j, "handles", json_integer((json_int_t)row->handles));
	for (int h = 0; h < HISTOGRAMS; h++)
		json_object_set_new(j, histogram_names[h], latency_json(&row->us[h]));
	return j;
}

static int print_json(struct ctl *ctl, const struct sample *s, bool line)
{
	json_t *j = ctl_json_envelope(ctl), *list = json_array();

	for (size_t i = 0; i < s->n; i++)
		json_array_append_new(list, row_json(&s->rows[i]));
	json_object_set_new(j, "volume_stats", list);
	json_object_set(j, "missing", json_object_get(s->json, "missing"));
	if (!line)
		return ctl_json_print(ctl, j);
	json_dumpf(j, ctl->out, JSON_COMPACT | JSON_PRESERVE_ORDER);
	json_decref(j);
	fputc('\n', ctl->out);
	return EXIT_DONE;
}

/* --- the command --- */

struct page {
	const struct sample *sample;
	bool rates;
};

static void page(struct ctl *ctl, void *user)
{
	const struct page *p = user;

	table(ctl, p->sample, p->rates);
	say_missing(ctl, p->sample);
}

static int print(struct ctl *ctl, const struct sample *s, bool rates)
{
	struct page p = { s, rates };

	if (ctl->options.json)
		return print_json(ctl, s, ctl->options.watch);
	page(ctl, &p);
	if (ctl->options.watch)
		fputc('\n', ctl->out);
	fflush(ctl->out);
	return EXIT_DONE;
}

/* Asks again; what was done since `last` is in *ret, and `last` is the new one. */
static int next_sample(struct ctl *ctl, struct sample *last, struct sample *ret)
{
	struct sample now;
	int rc = sample_take(ctl, &now);

	if (rc)
		return rc;
	*ret = sample_since(&now, last);
	sample_done(last);
	*last = now;
	return 0;
}

static int watch_lines(struct ctl *ctl, struct sample *last, uint32_t interval_ms)
{
	struct sample d;
	int rc;

	do {
		poll(NULL, 0, (int)interval_ms);
		rc = next_sample(ctl, last, &d);
		if (rc)
			return rc;
		rc = print(ctl, &d, true);
		sample_done(&d);
	} while (!rc && ctl->options.watch && !ferror(ctl->out));
	return rc;
}

/* The first page has the totals: there is something to see at once. */
static int watch_screen(struct ctl *ctl, struct sample *last, uint32_t interval_ms)
{
	struct sample d = { 0 };
	struct screen sc = { .signals = -1 };
	struct page p = { last, false };
	bool answer, leave = false;
	int rc = screen_begin(ctl, &sc);

	if (rc)
		return ctl_fail(ctl, refusal_exit_code(REFUSED_IO), "io-error",
				"volume stats: signals cannot be caught: %s", strerror(-rc));
	while (!leave && !rc) {
		uint64_t until = ctl_mono_ms() + interval_ms, now;

		screen_draw(ctl, page, &p);
		while (!leave && (now = ctl_mono_ms()) < until)
			leave = screen_wait(&sc, -1, (int)(until - now), &answer);
		sample_done(&d);
		if (!leave)
			rc = next_sample(ctl, last, &d);
		p = (struct page){ &d, true };
	}
	screen_end(ctl, &sc);
	sample_done(&d);
	return rc;
}

int cmd_volume_stats(struct ctl *ctl)
{
	uint32_t interval_ms = (ctl->options.interval ? ctl->interval_s : INTERVAL_S) * MS_PER_SECOND;
	struct sample first;
	int rc;

	if (ctl->argc && !ctl_find(ctl, KIND_VOLUME, ctl->argv[0]))
		return refusal_exit_code(REFUSED_NOT_FOUND);
	rc = sample_take(ctl, &first);
	if (rc)
		return rc;
	if (!ctl->options.watch && !ctl->options.interval)
		rc = print(ctl, &first, false);
	else if (ctl->options.watch && !ctl->options.json && isatty(fileno(ctl->out)))
		rc = watch_screen(ctl, &first, interval_ms);
	else
		rc = watch_lines(ctl, &first, interval_ms);
	sample_done(&first);
	return rc;
}
