/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * csvload JOURNAL COMMAND...
 *
 *   init                          makes the journal
 *   make DIR                      makes the files
 *   work DIR WORKER NODE SEED [OPTION,...]
 *                                 works until `stop`; a call that fails is a finding unless the worker is doomed.
 *                                 OPTION: an operation to leave out, or "sync": all files are O_SYNC, so that what is
 *                                 acknowledged is on the disk
 *   doom WORKER                   it (or what it works on) is about to be killed
 *   bury WORKER                   it is dead; what it began can happen until the next `settle` at most
 *   stop, go                      workers end; workers may begin
 *   verify DIR read|direct|mmap   everything against the journal; settle DIR: also what became of what nobody knew
 *   stat                          counters as JSON
 */
#include "tests/csvfs/load/csvload.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void bury(int number)
{
	struct worker *w = &journal->workers[number];
	uint32_t count, mine = (uint32_t)number + 1;

	for (uint32_t file = 0; file < DATA_FILES; file++) {
		struct cell *c = journal_cells(file, &count);

		for (uint32_t i = 0; i < count; i++)
			if (c[i].claim == mine)
				cell_bury(&c[i]);
	}
	for (uint32_t i = 0; i < SLOTS; i++)
		if (journal->slots[i].claim == mine)
			cell_bury(&journal->slots[i]);
	for (uint32_t i = 0; i < COUNTERS; i++)
		if (journal->counters[i].claim == mine)
			cell_bury(&journal->counters[i]);
	for (uint32_t f = 0; f < APPEND_FILES; f++) {
		uint32_t at = w->n_append_unknown[f];

		if (w->append_issued[f] != w->append_acked[f] && at < APPEND_UNKNOWN_MAX) {
			w->append_unknown[f][at] = w->append_issued[f];
			w->n_append_unknown[f] = at + 1;
			w->append_acked[f] = w->append_issued[f];
		}
	}
	w->running = w->doing = w->doomed = 0;
}

static void stat_json(void)
{
	printf("{\"lost\": %llu, \"stale\": %llu, \"foreign\": %llu, \"torn\": %llu, \"duplicates\": %llu, "
	       "\"broken_locks\": %llu, "
	       "\"errors\": %llu, \"workers\": [",
	       (unsigned long long)journal->lost, (unsigned long long)journal->stale,
	       (unsigned long long)journal->foreign, (unsigned long long)journal->torn,
	       (unsigned long long)journal->duplicates, (unsigned long long)journal->broken_locks,
	       (unsigned long long)journal->errors);
	for (int i = 0; i < WORKERS_MAX; i++) {
		struct worker *w = &journal->workers[i];
		unsigned long long ops = 0;

		for (int o = 0; o < OPS; o++)
			ops += w->ops[o];
		printf("%s{\"running\": %u, \"ops\": %llu, \"doing\": \"%s\", \"error\": \"%s\"}", i ? ", " : "",
		       w->running, ops, w->doing ? op_names[w->doing - 1] : "", w->error);
	}
	printf("], \"ops\": {");
	for (int o = 0; o < OPS; o++) {
		unsigned long long ops = 0;

		for (int i = 0; i < WORKERS_MAX; i++)
			ops += journal->workers[i].ops[o];
		printf("%s\"%s\": %llu", o ? ", " : "", op_names[o], ops);
	}
	printf("}}\n");
}

int main(int argc, char **argv)
{
	const char *command = argc > 2 ? argv[2] : "";

	setvbuf(stdout, NULL, _IOLBF, 0);
	if (argc > 2)
		journal_open(argv[1], !strcmp(command, "init"));
	if (!strcmp(command, "init"))
		return 0;
	if (!strcmp(command, "make") && argc == 4)
		return make(argv[3]);
	if (!strcmp(command, "work") && (argc == 7 || argc == 8)) {
		worker_number = atoi(argv[4]);
		if (worker_number < 0 || worker_number >= WORKERS_MAX)
			return 2;
		journal->workers[worker_number].node = (uint32_t)atoi(argv[5]);
		return work(argv[3], strtoull(argv[6], NULL, 10), argc == 8 ? argv[7] : "");
	}
	if (!strcmp(command, "verify") && argc == 5)
		return verify(argv[3], argv[4], false);
	if (!strcmp(command, "settle") && argc == 4)
		return verify(argv[3], "read", true);
	if ((!strcmp(command, "doom") || !strcmp(command, "bury")) && argc == 4) {
		if (command[0] == 'b')
			bury(atoi(argv[3]));
		else
			journal->workers[atoi(argv[3])].doomed = 1;
		return 0;
	}
	if (!strcmp(command, "stop") || !strcmp(command, "go")) {
		journal->stop = command[0] == 's';
		return 0;
	}
	if (!strcmp(command, "stat")) {
		stat_json();
		return 0;
	}
	fprintf(stderr, "usage: csvload JOURNAL init|make|work|doom|bury|stop|go|verify|settle|stat ...\n");
	return 2;
}
