/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Connections and threads: one accepts, one reads each connection, workers do what was asked.
 *
 * A frame is taken up under owner.lock, with the check that its connection is not dead; so after the HELLO of a newer
 * connection nothing of an older one begins any more.
 */
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "csvfs/owner/owner.h"
#include "csvfs/owner/rights.h"

#define STOP_POLL_MS 200 /* the accepting thread looks whether it is to end */

/* --- workers --- */

static void *worker_main(void *data)
{
	struct owner *o = data;
	struct workers *w = &o->workers;

	if (rights_thread())
		owner_fence(o, "a thread cannot have rights of its own", -errno);
	pthread_mutex_lock(&w->lock);
	for (;;) {
		struct job *j = w->first;

		if (j) {
			w->first = j->next;
			if (!w->first)
				w->last = &w->first;
			w->queued--;
			pthread_mutex_unlock(&w->lock);
			j->run(j);
			pthread_mutex_lock(&w->lock);
			continue;
		}
		if (w->stopping || w->idle >= WORKERS_IDLE_MAX)
			break;
		w->idle++;
		pthread_cond_wait(&w->wanted, &w->lock);
		w->idle--;
	}
	w->threads--;
	pthread_cond_broadcast(&w->ended);
	pthread_mutex_unlock(&w->lock);
	return NULL;
}

static int start_thread(void *(*run)(void *), void *data)
{
	pthread_attr_t attr;
	pthread_t t;
	int ret;

	pthread_attr_init(&attr);
	pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
	pthread_attr_setstacksize(&attr, 1 << 20);
	ret = pthread_create(&t, &attr, run, data);
	pthread_attr_destroy(&attr);
	return -ret;
}

void job_run(struct owner *o, struct job *j)
{
	struct workers *w = &o->workers;
	bool wake;

	pthread_mutex_lock(&w->lock);
	j->next = NULL;
	*w->last = j;
	w->last = &j->next;
	w->queued++;
	if (w->queued > w->idle && w->threads < WORKERS_MAX) {
		/* Without a thread at all nothing would ever be answered; with some it goes on more slowly. */
		if (!start_thread(worker_main, o))
			w->threads++;
		else if (!w->threads)
			owner_fence(o, "no thread can be started", -EAGAIN);
	}
	wake = w->idle;
	pthread_mutex_unlock(&w->lock);
	if (wake)
		pthread_cond_signal(&w->wanted); /* who wakes finds the lock free */
}

struct late {
	struct job job;
	struct owner *owner;
	struct file *file;
	void (*run)(struct owner *o, struct file *file);
};

static void run_late(struct job *job)
{
	const struct late l = *(struct late *)job;

	free(job);
	l.run(l.owner, l.file);
}

int job_later(struct owner *o, void (*run)(struct owner *o, struct file *file), struct file *file)
{
	struct late *l = malloc(sizeof(*l));

	if (!l)
		return -ENOMEM;
	*l = (struct late){ .job.run = run_late, .owner = o, .file = file, .run = run };
	job_run(o, &l->job);
	return 0;
}

static void workers_stop(struct workers *w)
{
	pthread_mutex_lock(&w->lock);
	w->stopping = true;
	pthread_cond_broadcast(&w->wanted);
	while (w->threads)
		pthread_cond_wait(&w->ended, &w->lock);
	pthread_mutex_unlock(&w->lock);
}

/* --- connections --- */

static void conn_free(struct conn *c)
{
	if (c->link)
		link_free(c->link);
	if (c->fd >= 0)
		close(c->fd);
	free(c);
}

void conn_put(struct conn *c)
{
	struct owner *o = c->owner;
	struct conn **at = &o->conns;

	if (--c->refs)
		return;
	while (*at != c)
		at = &(*at)->next;
	*at = c->next;
	o->n_conns--;
	if (c->session)
		session_put(o, c->session);
	conn_free(c);
	pthread_cond_broadcast(&o->changed);
}

void session_send(struct owner *o, struct session *s, const struct vol_message *m)
{
	struct conn *c;

	pthread_mutex_lock(&o->lock);
	c = s->main;
	if (c)
		c->refs++;
	pthread_mutex_unlock(&o->lock);
	if (!c)
		return;
	link_send(c->link, m);
	pthread_mutex_lock(&o->lock);
	conn_put(c);
	pthread_mutex_unlock(&o->lock);
}

struct post {
	struct job job;
	struct owner *owner;
	struct session *session;
	struct vol_message m;
};

static void run_post(struct job *job)
{
	struct post *p = (struct post *)job;
	struct owner *o = p->owner;

	session_send(o, p->session, &p->m);
	pthread_mutex_lock(&o->lock);
	session_put(o, p->session);
	pthread_mutex_unlock(&o->lock);
	free(p);
}

void session_post(struct owner *o, struct session *s, const struct vol_message *m)
{
	struct post *p = malloc(sizeof(*p));

	if (!p)
		owner_fence(o, "no memory", -ENOMEM);
	*p = (struct post){ .job.run = run_post, .owner = o, .session = s, .m = *m };
	s->refs++;
	job_run(o, &p->job);
}

void *request_payload(struct request *r, size_t len)
{
	free(r->payload);
	r->payload = device_buffer(len ? len : 1);
	return r->payload;
}

/* --- requests --- */

static void request_free(struct request *r)
{
	struct owner *o = r->owner;

	pthread_mutex_lock(&o->lock);
	if (r->class == REQUEST_REPEAT)
		r->session->repeating--;
	r->session->requests--;
	session_put(o, r->session);
	conn_put(r->conn);
	o->n_requests--;
	pthread_cond_broadcast(&o->changed);
	pthread_mutex_unlock(&o->lock);
	link_frame_done(&r->frame);
	free(r->payload);
	free(r);
}

/* The connection it came by while that lives; what is kept goes to the newest one. */
static void answer(struct request *r)
{
	struct owner *o = r->owner;
	bool dead;

	pthread_mutex_lock(&o->lock);
	if (r->class != REQUEST_REPEAT && r->session->state != SESSION_GONE)
		request_log_answer(o->log, r->session->slot, r->answer.request, &r->answer);
	dead = r->conn->dead;
	pthread_mutex_unlock(&o->lock);
	if (!dead)
		link_send(r->conn->link, &r->answer);
	else if (r->class != REQUEST_REPEAT)
		session_send(o, r->session, &r->answer);
}

static void run_request(struct job *job)
{
	struct request *r = (struct request *)job;
	const struct vol_message *q = question(r);
	int ret;

	r->answer.type = vol_answer_type(q->type);
	r->answer.request = q->request;
	ret = request_do(r);
	if (ret != NO_ANSWER) {
		if (ret)
			r->answer = (struct vol_message){ .type = vol_answer_type(q->type),
							  .request = q->request,
							  .error = (uint32_t)-ret };
		answer(r);
	}
	request_free(r);
}

static void send_error(struct conn *c, const struct vol_message *q, int error)
{
	const struct vol_message m = { .type = vol_answer_type(q->type),
				       .request = q->request,
				       .error = (uint32_t)error };

	link_send(c->link, &m);
}

/* What to do with a question; owner.lock is held. True: `r` is to be run. Else *ret_send says whether r->answer is to
 * be sent. */
static bool admit(struct request *r, bool *ret_send)
{
	struct owner *o = r->owner;
	struct session *s = r->session;
	const struct vol_message *q = question(r);

	*ret_send = false;
	if (r->conn->dead || o->stopping || s->state == SESSION_GONE)
		return false;
	request_log_answered(o->log, s->slot, q->answered);
	intent_answered(o->intents, s->id, q->answered);
	if (s->requests >= SESSION_REQUESTS_MAX) {
		/* It keeps to no window: its questions must not take the memory and the threads of all. */
		r->answer = (struct vol_message){ .type = vol_answer_type(q->type),
						  .request = q->request,
						  .error = VOL_AGAIN };
		*ret_send = true;
		return false;
	}
	if (r->class == REQUEST_REPEAT)
		return true;
	switch (request_log_begin(o->log, s->slot, q->request, &r->answer)) {
	case REQUEST_NEW:
		return true;
	case REQUEST_ANSWERED:
		*ret_send = true;
		return false;
	case REQUEST_FULL:
		r->answer = (struct vol_message){ .type = vol_answer_type(q->type),
						  .request = q->request,
						  .error = VOL_AGAIN };
		*ret_send = true;
		return false;
	default:
		return false;
	}
}

static void take_request(struct conn *c, struct link_frame *f)
{
	struct owner *o = c->owner;
	struct request *r = calloc(1, sizeof(*r));
	bool run, send;

	if (!r) {
		send_error(c, &f->m, VOL_AGAIN);
		return;
	}
	r->job.run = run_request;
	r->owner = o;
	r->conn = c;
	r->session = c->session;
	r->class = request_class(&f->m);
	r->since_us = clock_us(CLOCK_MONOTONIC);
	r->frame = *f;
	*f = (struct link_frame){ 0 };
	pthread_mutex_lock(&o->lock);
	run = admit(r, &send);
	atomic_fetch_add(&o->counters.asked, 1);
	if (run) {
		c->refs++;
		r->session->refs++;
		r->session->requests++;
		o->n_requests++;
		if (r->class == REQUEST_REPEAT)
			r->session->repeating++;
	}
	pthread_mutex_unlock(&o->lock);
	if (run) {
		job_run(o, &r->job);
		return;
	}
	if (send)
		link_send(c->link, &r->answer);
	link_frame_done(&r->frame);
	free(r);
}

/* False: this connection is of no use. */
static bool hello(struct conn *c, const struct link_frame *f)
{
	struct vol_message welcome = { .type = VOL_WELCOME, .request = f->m.request };
	int ret;

	if (f->m.type != VOL_HELLO)
		return false;
	ret = session_hello(c->owner, c, &f->m, &welcome);
	if (ret)
		send_error(c, &f->m, -ret);
	if (ret || link_send(c->link, &welcome))
		return false;
	if (f->m.hello.main)
		session_welcomed(c->owner, c);
	return true;
}

static void read_frames(struct conn *c)
{
	struct link_frame f = { 0 };

	if (!link_receive(c->link, &f, (int)HANDSHAKE_MS) && hello(c, &f)) {
		while (!link_receive(c->link, &f, -1)) {
			if (f.m.type == VOL_RECALLED)
				recall_answered(c->owner, c->session, &f.m);
			else if (vol_kind(f.m.type) == VOL_KIND_Q && f.m.type != VOL_HELLO)
				take_request(c, &f);
			else
				break;
		}
	}
	link_frame_done(&f);
}

static void *conn_main(void *data)
{
	struct conn *c = data;
	struct owner *o = c->owner;
	struct link *link = NULL;
	int fd = c->fd, ret;

	ret = link_accept(&link, fd, &o->key, HANDSHAKE_MS);
	pthread_mutex_lock(&o->lock);
	c->fd = -1;
	c->link = ret ? NULL : link;
	if (o->stopping)
		c->dead = true;
	ret = ret || c->dead;
	pthread_mutex_unlock(&o->lock);
	if (!ret)
		read_frames(c);
	pthread_mutex_lock(&o->lock);
	c->dead = true;
	if (c->link)
		link_shutdown(c->link);
	if (c->session && c->session->main == c)
		c->session->main = NULL;
	conn_put(c);
	pthread_mutex_unlock(&o->lock);
	return NULL;
}

static void accept_one(struct owner *o, int fd)
{
	struct conn *c = calloc(1, sizeof(*c));
	bool ok;

	if (!c) {
		close(fd);
		return;
	}
	c->owner = o;
	c->fd = fd;
	c->refs = 1;
	pthread_mutex_lock(&o->lock);
	ok = !o->stopping && o->n_conns < CONNECTIONS_MAX;
	if (ok) {
		c->next = o->conns;
		o->conns = c;
		o->n_conns++;
		if (start_thread(conn_main, c)) {
			conn_put(c);
			c = NULL;
		}
	}
	pthread_mutex_unlock(&o->lock);
	if (!ok)
		conn_free(c);
}

static void *accept_main(void *data)
{
	struct owner *o = data;
	struct pollfd p = { .fd = o->listener, .events = POLLIN };
	bool stopping;

	do {
		int fd = poll(&p, 1, STOP_POLL_MS) > 0 ? accept4(o->listener, NULL, NULL, SOCK_CLOEXEC) : -1;

		if (fd >= 0)
			accept_one(o, fd);
		pthread_mutex_lock(&o->lock);
		stopping = o->stopping;
		if (stopping) {
			close(o->listener);
			o->listener = -1;
			pthread_cond_broadcast(&o->changed);
		}
		pthread_mutex_unlock(&o->lock);
	} while (!stopping);
	return NULL;
}

int server_start(struct owner *o, uint16_t *ret_port)
{
	struct workers *w = &o->workers;

	pthread_mutex_init(&w->lock, NULL);
	pthread_cond_init(&w->wanted, NULL);
	pthread_cond_init(&w->ended, NULL);
	w->last = &w->first;
	o->listener = link_listen(o->options.address, o->options.port, ret_port);
	if (o->listener < 0)
		return o->listener;
	return start_thread(accept_main, o);
}

void server_stop(struct owner *o)
{
	pthread_mutex_lock(&o->lock);
	o->stopping = true;
	pthread_cond_broadcast(&o->changed);
	while (o->n_requests || o->listener >= 0)
		pthread_cond_wait(&o->changed, &o->lock);
	for (struct conn *c = o->conns; c; c = c->next) {
		c->dead = true;
		if (c->link)
			link_shutdown(c->link);
		else if (c->fd >= 0)
			shutdown(c->fd, SHUT_RDWR);
	}
	while (o->n_conns)
		pthread_cond_wait(&o->changed, &o->lock);
	pthread_mutex_unlock(&o->lock);
	workers_stop(&o->workers);
}
