/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Asks csvfs or csvfs-owner by its control socket, as clusterd will:
 *
 *   csvctl SOCKET set-owner EPOCH NODE ADDRESS PORT | fenced NODE INCARNATION | redirect 0|1 | freeze 0|1 | status
 *
 * status prints JSON. Exit code 0; 1: refused, with the errno; 2: nobody answers, or usage.
 */
#include "csvfs/io/volume_control.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "text.h"

#define ASK_MS 60000

static uint64_t number(const char *text)
{
	return strtoull(text, NULL, 10);
}

static bool question(struct vol_message *m, int n, char **words)
{
	if (n == 5 && !strcmp(words[0], "set-owner")) {
		m->type = VOL_SET_OWNER;
		m->set_owner.epoch = number(words[1]);
		m->set_owner.node = (uint32_t)number(words[2]);
		m->set_owner.port = (uint16_t)number(words[4]);
		text_copy(m->set_owner.address, sizeof(m->set_owner.address), words[3]);
	} else if (n == 3 && !strcmp(words[0], "fenced")) {
		m->type = VOL_FENCED;
		m->fenced.node = (uint32_t)number(words[1]);
		m->fenced.incarnation = number(words[2]);
	} else if (n == 2 && !strcmp(words[0], "redirect")) {
		m->type = VOL_REDIRECT;
		m->redirect.on = words[1][0] == '1';
	} else if (n == 2 && !strcmp(words[0], "freeze")) {
		m->type = VOL_FREEZE;
		m->freeze.on = words[1][0] == '1';
	} else if (n == 1 && !strcmp(words[0], "status")) {
		m->type = VOL_STATUS;
	} else {
		return false;
	}
	return true;
}

static void print_status(const struct vol_status_is *s)
{
	printf("{\"state\": \"%s\", \"reason\": \"%s\", \"epoch\": %llu, \"owner_node\": %u, \"waiting_for\": %llu, "
	       "\"direct_read\": %llu, \"direct_written\": %llu, \"redirected_read\": %llu, \"redirected_written\": "
	       "%llu, "
	       "\"direct_ops\": %llu, \"redirected_ops\": %llu, \"recalls\": %llu, \"pauses\": %llu, \"paused_ms\": "
	       "%llu, "
	       "\"files\": %u, \"handles\": %u}\n",
	       vol_state_text(s->state), vol_reason_text(s->reason), (unsigned long long)s->epoch, s->owner_node,
	       (unsigned long long)s->waiting_for, (unsigned long long)s->direct_read,
	       (unsigned long long)s->direct_written, (unsigned long long)s->redirected_read,
	       (unsigned long long)s->redirected_written, (unsigned long long)s->direct_ops,
	       (unsigned long long)s->redirected_ops, (unsigned long long)s->recalls, (unsigned long long)s->pauses,
	       (unsigned long long)s->paused_ms, s->files, s->handles);
}

int main(int argc, char **argv)
{
	static struct vol_message ask, answer;

	if (argc < 3 || !question(&ask, argc - 2, argv + 2)) {
		fprintf(stderr, "usage: csvctl SOCKET set-owner|fenced|redirect|freeze|status ...\n");
		return 2;
	}
	int r = volume_control_ask(argv[1], &ask, &answer, ASK_MS);

	if (r < 0) {
		fprintf(stderr, "csvctl: %s: %s\n", argv[1], strerror(-r));
		return 2;
	}
	if (answer.error) {
		fprintf(stderr, "csvctl: %s: %s\n", argv[2], strerror((int)answer.error));
		return 1;
	}
	if (answer.type == VOL_STATUS_IS)
		print_status(&answer.status_is);
	return 0;
}
