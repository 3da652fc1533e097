/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * One member of a ring, driven by lines on stdin, for test_ring.py and by hand: prints each event with its time.
 *
 *   send TEXT | burst COUNT SIZE | lat COUNT SIZE | tput MS SIZE | vote 0|1 | auto 0|1 | kick NODE | info | leave | quit
 */
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "clusterd/io/ring.h"

static struct ring *ring;
static qb_loop_t *loop;
static bool vote_auto, quiet;
static int votequorum = -1; /* its last word; -1: none on this connection */
static uint64_t received, bytes, chain = 1469598103934665603ULL, own, gaps, burst_sent;
static uint64_t last_from[NODE_MAX + 1];
static uint64_t sent_ns, latency_left, latency_size, latency_n;
static double latencies[100000];
static uint64_t flood_until_ns, flood_size, flood_start_ns, flood_own;
static uint8_t buffer[FRAME_MAX];

struct payload {
	uint64_t number;
	uint32_t node, kind; /* 0 text, 1 burst, 2 latency, 3 flood */
};

static uint64_t now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

#define SAY(...) (printf("%.6f ", (double)now_ns() / 1e9), printf(__VA_ARGS__), putchar('\n'), fflush(stdout))

static void set_text(const char *name, nodeset_t set)
{
	const char *comma = "";

	printf(" %s=", name);
	for (uint32_t id = 1; id <= NODE_MAX; id++)
		if (nodeset_has(set, id)) {
			printf("%s%u", comma, id);
			comma = ",";
		}
}

static void on_ready(void *ctx)
{
	(void)ctx;
	SAY("READY self=%u nodes=%u cluster=%s", ring_info(ring)->self, ring_info(ring)->node_count,
	    ring_info(ring)->cluster_name);
}

static void on_view(void *ctx, const struct ring_view *v)
{
	(void)ctx;
	printf("%.6f VIEW number=%llu ring=%u.%llu", (double)now_ns() / 1e9, (unsigned long long)v->number, v->ring_node,
	       (unsigned long long)v->ring_seq);
	set_text("members", v->members);
	set_text("joined", v->joined);
	set_text("leave", v->leave);
	set_text("nodedown", v->nodedown);
	set_text("procdown", v->procdown);
	printf(" received=%llu chain=%016llx\n", (unsigned long long)received, (unsigned long long)chain);
	fflush(stdout);
	if (vote_auto)
		ring_vote(ring, true);
}

static void on_lost(void *ctx, int error)
{
	(void)ctx;
	votequorum = -1;
	SAY("LOST %d", error);
}

static void on_unreachable(void *ctx, int error)
{
	(void)ctx;
	SAY("UNREACHABLE %d", error);
}

static void on_votequorum(void *ctx, bool quorate)
{
	(void)ctx;
	votequorum = quorate;
	SAY("QUORATE %d", quorate);
}

static int send_payload(uint64_t number, uint32_t kind, size_t size)
{
	struct payload p = { .number = number, .node = ring_info(ring)->self, .kind = kind };

	memcpy(buffer, &p, sizeof(p));
	return ring_send(ring, buffer, size < sizeof(p) ? sizeof(p) : size);
}

static int compare(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return x < y ? -1 : x > y;
}

static void latency_next(void)
{
	if (!latency_left) {
		qsort(latencies, latency_n, sizeof(double), compare);
		SAY("LAT size=%llu n=%llu p50=%.0fus p99=%.0fus max=%.0fus", (unsigned long long)latency_size,
		    (unsigned long long)latency_n, latencies[latency_n / 2], latencies[latency_n * 99 / 100],
		    latencies[latency_n - 1]);
		return;
	}
	latency_left--;
	sent_ns = now_ns();
	send_payload(latency_left, 2, latency_size);
}

static void flood(void)
{
	while (now_ns() < flood_until_ns && ring_queue_length(ring) < 64)
		if (send_payload(++burst_sent, 3, flood_size))
			break;
}

static void on_message(void *ctx, uint32_t sender, const void *data, size_t len)
{
	const uint8_t *b = data;
	struct payload p = { 0 };

	(void)ctx;
	received++;
	bytes += len;
	for (size_t i = 0; i < len && i < 64; i++)
		chain = (chain ^ b[i]) * 1099511628211ULL;
	if (len >= sizeof(p))
		memcpy(&p, data, sizeof(p));
	if (p.kind == 0) {
		if (!quiet)
			SAY("MESSAGE from=%u %.*s", sender, (int)(len - sizeof(p)), (const char *)b + sizeof(p));
		return;
	}
	if (p.kind == 1 || p.kind == 3) {
		if (last_from[sender] && p.number != last_from[sender] + 1)
			gaps++;
		last_from[sender] = p.number;
	}
	if (sender != ring_info(ring)->self)
		return;
	own++;
	if (p.kind == 1 && p.number == burst_sent)
		SAY("BURST done own=%llu gaps=%llu", (unsigned long long)own, (unsigned long long)gaps);
	if (p.kind == 2) {
		latencies[latency_n++] = (double)(now_ns() - sent_ns) / 1e3;
		latency_next();
	}
	if (p.kind == 3) {
		flood_own++;
		if (now_ns() < flood_until_ns)
			flood();
		else if (p.number == burst_sent)
			SAY("TPUT size=%llu %.0f msg/s gaps=%llu", (unsigned long long)flood_size,
			    (double)flood_own * 1e9 / (double)(now_ns() - flood_start_ns), (unsigned long long)gaps);
	}
}

static void say_info(void)
{
	const struct ring_info *i = ring_info(ring);

	if (!i) {
		SAY("INFO none");
		return;
	}
	for (uint32_t n = 0; n < i->node_count; n++)
		SAY("NODE id=%u name=%s", i->nodes[n].id, i->nodes[n].name);
	SAY("INFO cluster=%s self=%u token=%u consensus=%u device=%d votes=%u votequorum=%d", i->cluster_name, i->self,
	    i->token_ms, i->consensus_ms, i->device, i->device_votes, votequorum);
	SAY("COUNTS received=%llu chain=%016llx gaps=%llu queue=%zu", (unsigned long long)received,
	    (unsigned long long)chain, (unsigned long long)gaps, ring_queue_length(ring));
}

static void command(char *line)
{
	unsigned long a = 0, b = 0;
	char *text = strchr(line, ' ');
	int error = 0;

	if (text)
		sscanf(text, "%lu %lu", &a, &b);
	if (!strncmp(line, "send", 4) && text) {
		struct payload p = { 0 };

		memcpy(buffer, &p, sizeof(p));
		memcpy(buffer + sizeof(p), text + 1, strlen(text + 1));
		error = ring_send(ring, buffer, sizeof(p) + strlen(text + 1));
	} else if (!strncmp(line, "burst", 5)) {
		for (unsigned long i = 0; i < a && !error; i++) {
			error = send_payload(burst_sent + 1, 1, b);
			if (!error)
				burst_sent++;
		}
		SAY("BURST sent=%llu queue=%zu", (unsigned long long)burst_sent, ring_queue_length(ring));
	} else if (!strncmp(line, "lat", 3)) {
		latency_n = 0;
		latency_left = a;
		latency_size = b;
		latency_next();
	} else if (!strncmp(line, "tput", 4)) {
		flood_start_ns = now_ns();
		flood_until_ns = flood_start_ns + a * 1000000u;
		flood_size = b;
		flood_own = 0;
		flood();
	} else if (!strncmp(line, "vote", 4)) {
		error = ring_vote(ring, a);
	} else if (!strncmp(line, "auto", 4)) {
		vote_auto = a;
	} else if (!strncmp(line, "kick", 4)) {
		error = ring_kick(ring, (uint32_t)a, "test");
	} else if (!strncmp(line, "info", 4)) {
		say_info();
	} else if (!strncmp(line, "leave", 5)) {
		error = ring_leave(ring);
	} else if (!strncmp(line, "quit", 4)) {
		qb_loop_stop(loop);
	}
	if (error)
		SAY("ERROR %s %d", line, error);
}

static int32_t on_stdin(int32_t fd, int32_t revents, void *data)
{
	static char pending[4096];
	static size_t used;
	ssize_t n = read(fd, pending + used, sizeof(pending) - 1 - used);
	char *end;

	(void)revents;
	(void)data;
	if (n <= 0) {
		qb_loop_stop(loop);
		return -1;
	}
	used += (size_t)n;
	pending[used] = '\0';
	while ((end = strchr(pending, '\n'))) {
		*end = '\0';
		command(pending);
		used -= (size_t)(end + 1 - pending);
		memmove(pending, end + 1, used + 1);
	}
	return 0;
}

int main(int argc, char **argv)
{
	struct ring_handlers handlers = { on_ready, on_view, on_message, on_lost, on_unreachable, on_votequorum };

	(void)argc;
	quiet = getenv("QUIET") != NULL;
	vote_auto = getenv("VOTE_AUTO") != NULL;
	loop = qb_loop_create();
	if (ring_new(&ring, loop, argv[1], &handlers, NULL))
		return 1;
	qb_loop_poll_add(loop, QB_LOOP_MED, 0, POLLIN, NULL, on_stdin);
	qb_loop_run(loop);
	ring_free(ring);
	qb_loop_destroy(loop);
	return 0;
}
