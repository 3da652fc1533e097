/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The connections to the owner: one for metadata and recalls, others for data. When one breaks, all are made anew; what is
 * unanswered is sent again with the same numbers.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/random.h>

#include "clock.h"
#include "csvfs/fuse/csvfs.h"
#include "text.h"

#define CONNECT_MS 5000
#define RETRY_MS 200
#define ERRNO_MAX 511 /* larger ones are the kernel's own */
#define AGAIN_MS 10 /* until a question is sent again that the owner had no room for */

static struct session *const s = &csvfs.session;

uint64_t now_ms(void) { return clock_ms(CLOCK_MONOTONIC); }

int64_t now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_REALTIME, &t);
	return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

/* --- asking --- */

void call_init(struct call *c, uint16_t type)
{
	memset(c, 0, sizeof(*c));
	c->q.type = type;
	pthread_cond_init(&c->changed, NULL);
}

void call_done(struct call *c)
{
	link_frame_done(&c->answer);
	pthread_cond_destroy(&c->changed);
}

static bool is_data(const struct vol_message *m)
{
	return m->type == VOL_READ || m->type == VOL_WRITE || m->type == VOL_COPY;
}

static struct link *link_for(const struct vol_message *m)
{
	return s->links[is_data(m) ? 1 + s->next_data++ % DATA_LINKS : 0];
}

/* Only disconnect() waits for it. session.lock is held. */
static void sender_done(void)
{
	if (!--s->senders && s->state == SESSION_DOWN)
		pthread_cond_broadcast(&s->changed);
}

/* There is one request less: session.lock is held. What else `changed` is for does not depend on it. */
static void room_made(void)
{
	if (s->want_room)
		pthread_cond_broadcast(&s->changed);
}

/* session.lock is held, and let go meanwhile. A failure is noticed by who receives. */
static void send_call(struct call *c)
{
	struct link *l = link_for(&c->q);

	c->q.answered = pending_mark(&s->window);
	c->sending = true;
	c->again = false;
	s->senders++;
	pthread_mutex_unlock(&s->lock);
	link_send(l, &c->q);
	pthread_mutex_lock(&s->lock);
	c->sending = false;
	sender_done();
	pthread_cond_broadcast(&c->changed);
}

/* Nobody will answer it: for want of an owner, or of this connection. */
static int hopeless(const struct call *c)
{
	if (c->recovery)
		return s->broken ? -ECONNRESET : 0;
	return s->state != SESSION_UP && (s->given_up || s->stopping) ? -EIO : 0;
}

/* Its number and its place in the window. -EAGAIN: there is none now. */
static int take_room(struct call *c)
{
	enum request_class class = request_class(&c->q);
	int error = hopeless(c);

	if (error)
		return error;
	if ((s->state != SESSION_UP && !c->recovery) || !pending_room(&s->window, class, c->kind))
		return -EAGAIN;
	c->q.request = pending_add(&s->window, class, c->kind, c);
	atomic_fetch_add(&csvfs.counters.asked, 1);
	caching_asked(c);
	return 0;
}

static int wait_for_room(struct call *c)
{
	int error;

	while ((error = take_room(c)) == -EAGAIN) {
		s->want_room++;
		pthread_cond_wait(&s->changed, &s->lock);
		s->want_room--;
	}
	return error;
}

/* Waits on `changed`, at most that long. session.lock is held. */
static void wait_ms(pthread_cond_t *changed, uint32_t ms)
{
	struct timespec t;

	clock_gettime(CLOCK_REALTIME, &t);
	t.tv_nsec += ms * 1000000L;
	t.tv_sec += t.tv_nsec / 1000000000;
	t.tv_nsec %= 1000000000;
	pthread_cond_timedwait(changed, &s->lock, &t);
}

/* The owner had no room for it. When the connection has broken meanwhile it is sent by the next one, in its turn. */
static void ask_again(struct call *c)
{
	const uint64_t at = now_ms() + AGAIN_MS;

	while (c->again && !c->done && now_ms() < at)
		wait_ms(&c->changed, AGAIN_MS);
	if (c->again && !c->done && !s->broken && (s->state == SESSION_UP || c->recovery))
		send_call(c);
}

/* For the answer of what was sent. session.lock is held. */
static int wait_for_answer(struct call *c)
{
	struct pending was;

	while (!c->done) {
		int error = c->sending ? 0 : hopeless(c);

		if (error && pending_answered(&s->window, c->q.request, &was)) {
			caching_given_up(c);
			room_made();
			return error;
		}
		if (c->again && !c->sending && !s->broken)
			ask_again(c);
		else
			pthread_cond_wait(&c->changed, &s->lock);
	}
	while (c->sending)
		pthread_cond_wait(&c->changed, &s->lock);
	return c->error;
}

int session_ask(struct call *c)
{
	int ret;

	turn_pass();
	pthread_mutex_lock(&s->lock);
	ret = wait_for_room(c);
	if (!ret) {
		send_call(c);
		ret = wait_for_answer(c);
	}
	pthread_mutex_unlock(&s->lock);
	return ret;
}

int session_begin(struct call *c)
{
	int ret;

	pthread_mutex_lock(&s->lock);
	ret = take_room(c);
	if (!ret)
		send_call(c);
	pthread_mutex_unlock(&s->lock);
	return ret;
}

int session_end(struct call *c)
{
	int ret;

	pthread_mutex_lock(&s->lock);
	ret = wait_for_answer(c);
	pthread_mutex_unlock(&s->lock);
	return ret;
}

bool session_is_up(void)
{
	bool up;

	pthread_mutex_lock(&s->lock);
	up = s->state == SESSION_UP && !s->broken;
	pthread_mutex_unlock(&s->lock);
	return up;
}

struct vol_fid session_root(void)
{
	struct vol_fid root;

	pthread_mutex_lock(&s->lock);
	while (!s->has_root && !s->given_up && !s->stopping) {
		turn_pass();
		pthread_cond_wait(&s->changed, &s->lock);
	}
	root = s->root;
	pthread_mutex_unlock(&s->lock);
	return root;
}

void session_cancel(struct call *c)
{
	struct call cancel;
	bool send;

	pthread_mutex_lock(&s->lock);
	send = c->q.request && pending_cancel(&s->window, c->q.request);
	pthread_mutex_unlock(&s->lock);
	if (!send)
		return;
	call_init(&cancel, VOL_CANCEL);
	cancel.kind = PENDING_URGENT;
	cancel.q.cancel.request = c->q.request;
	session_ask(&cancel);
	call_done(&cancel);
}

int session_recalled(uint64_t generation, uint64_t request, bool dirty, int64_t mtime_ns)
{
	struct vol_message m = { .type = VOL_RECALLED, .request = request,
				 .recalled = { .dirty = dirty, .mtime_ns = (uint64_t)mtime_ns } };
	struct link *l;
	int ret;

	pthread_mutex_lock(&s->lock);
	l = generation == s->generation && !s->broken ? s->links[0] : NULL;
	if (l)
		s->senders++;
	m.answered = pending_mark(&s->window);
	pthread_mutex_unlock(&s->lock);
	if (!l)
		return -ECONNRESET; /* the owner asks again when we are back; a new one does not know of it */
	ret = link_send(l, &m);
	pthread_mutex_lock(&s->lock);
	sender_done();
	pthread_mutex_unlock(&s->lock);
	return ret;
}

/* --- receiving --- */

static void wake_calls(void)
{
	const struct pending *p;

	for (uint64_t at = 0; (p = pending_next(&s->window, at)); at = p->number + 1)
		pthread_cond_broadcast(&((struct call *)p->user)->changed);
	pthread_cond_broadcast(&s->changed);
}

/* The call it is about, still unanswered; session.lock is held. */
static struct call *call_of(uint64_t request)
{
	const struct pending *p = pending_next(&s->window, request);

	return p && p->number == request ? p->user : NULL;
}

static void not_taken(uint64_t request)
{
	struct call *c;

	pthread_mutex_lock(&s->lock);
	c = call_of(request);
	if (c) {
		c->again = true;
		pthread_cond_broadcast(&c->changed);
	}
	pthread_mutex_unlock(&s->lock);
}

static void answered(struct link_frame *f)
{
	struct pending was;
	struct call *c;

	if (f->m.error == VOL_AGAIN) {
		not_taken(f->m.request);
		return;
	}
	pthread_mutex_lock(&s->lock);
	c = call_of(f->m.request);
	if (!c) {
		pthread_mutex_unlock(&s->lock);
		return;
	}
	caching_answered(c, &f->m);
	pending_answered(&s->window, f->m.request, &was);
	room_made();
	pthread_mutex_unlock(&s->lock);
	c->answer = *f;
	*f = (struct link_frame){ 0 };
	c->generation = s->generation;
	/* What is no errno would be taken for a number of bytes somewhere. */
	c->error = c->answer.m.error > ERRNO_MAX ? -EIO : -(int)c->answer.m.error;
	if (!c->error && c->answer.m.type != vol_answer_type(c->q.type))
		c->error = -EIO;
	if (!c->error && c->answered)
		c->answered(c);
	pthread_mutex_lock(&s->lock);
	c->done = true;
	pthread_cond_broadcast(&c->changed);
	pthread_mutex_unlock(&s->lock);
}

static void *receive_main(void *data)
{
	struct link *l = data;
	struct link_frame f = { 0 };

	while (!link_receive(l, &f, -1)) {
		if (f.m.type == VOL_RECALL)
			recall_received(&f.m, s->generation);
		else if (vol_kind(f.m.type) == VOL_KIND_A)
			answered(&f);
		else
			break;
	}
	link_frame_done(&f);
	pthread_mutex_lock(&s->lock);
	s->broken = true;
	caching_disconnected();
	wake_calls();
	pthread_mutex_unlock(&s->lock);
	return NULL;
}

/* --- who we are --- */

static bool draw_id(uint64_t *ret)
{
	bool drawn = getrandom(ret, sizeof(*ret), 0) == sizeof(*ret);

	*ret |= 1; /* not zero */
	return drawn;
}

/*
 * The owner does not know this session any more. What was asked and not answered may have been done or not: nobody can tell.
 * Then a session of another name begins; there is no connection meanwhile.
 */
static void begin_anew(void)
{
	const struct pending *p;
	struct pending was;
	uint64_t id;

	if (!draw_id(&id))
		return; /* the next try */
	fprintf(stderr, "csvfs: the owner has given up this node: its leases and locks are lost\n");
	pthread_mutex_lock(&s->lock);
	while ((p = pending_next(&s->window, 0))) {
		struct call *c = p->user;

		pending_answered(&s->window, p->number, &was);
		c->error = -EIO;
		c->done = true;
		pthread_cond_broadcast(&c->changed);
	}
	s->id = id;
	s->owner = s->recovered = 0;
	s->generation++;
	pthread_cond_broadcast(&s->changed);
	pthread_mutex_unlock(&s->lock);
	recover_lost();
}

/* --- connecting --- */

static int say_hello(struct link *l, bool main, struct vol_message *ret)
{
	struct vol_message m = { .type = VOL_HELLO };
	struct link_frame f = { 0 };
	int error;

	m.hello = (struct vol_hello){ .volume_hi = csvfs.header.volume_hi, .volume_lo = csvfs.header.volume_lo, .session = s->id,
				      .node = csvfs.node, .incarnation = csvfs.incarnation, .level = VOL_LEVEL, .main = main };
	text_copy(m.hello.version, sizeof(m.hello.version), PACKAGE_VERSION);
	pthread_mutex_lock(&s->lock);
	m.hello.epoch = s->epoch;
	m.hello.first = !s->owner;
	m.answered = pending_mark(&s->window);
	pthread_mutex_unlock(&s->lock);
	error = link_send(l, &m);
	if (!error)
		error = link_receive(l, &f, CONNECT_MS);
	if (!error)
		error = f.m.error ? -(int)f.m.error : f.m.type == VOL_WELCOME ? 0 : -EBADMSG;
	*ret = f.m;
	link_frame_done(&f);
	return error;
}

struct connection {
	struct link *links[LINKS];
	pthread_t readers[LINKS];
	uint32_t n_readers;
	bool new_owner; /* to be told of what is open and locked, also when a connection to it broke before it had heard it all */
	bool unknown;	/* the owner does not know this session */
};

static int connect_all(struct connection *c, const char *address, uint16_t port, struct vol_welcome *ret)
{
	struct vol_message welcome = { 0 };
	int error = 0;

	for (uint32_t i = 0; !error && i < LINKS; i++) {
		error = link_connect(&c->links[i], address, port, &csvfs.key, CONNECT_MS);
		if (!error)
			error = say_hello(c->links[i], !i, &welcome);
		c->unknown |= !i && welcome.error == ENOENT;
		if (!error && !i)
			*ret = welcome.welcome;
		else if (!error && welcome.welcome.owner != ret->owner)
			error = -ESTALE;
	}
	return error;
}

static int welcomed(struct connection *c, const struct vol_welcome *w)
{
	int error = 0;

	pthread_mutex_lock(&s->lock);
	if (w->epoch < s->epoch)
		error = -ESTALE;
	if (!error && vol_fid_none(&w->root))
		error = -EBADMSG;
	if (!error && s->has_root && !vol_fid_equal(&s->root, &w->root))
		error = -ENXIO;
	if (!error) {
		c->new_owner = w->owner != s->recovered;
		if (c->new_owner)
			s->generation++;
		caching_connected(w->owner != s->owner);
		s->owner = w->owner;
		s->epoch = w->epoch;
		s->owner_node = w->owner_node;
		s->io_max = w->io_max && w->io_max < VOL_IO_MAX ? w->io_max : VOL_IO_MAX;
		s->lend = w->lend;
		s->root = w->root;
		s->has_root = true;
		pthread_cond_broadcast(&s->changed);
		s->state = SESSION_RECOVERING;
		s->broken = false;
		memcpy(s->links, c->links, sizeof(s->links));
		pending_set_window(&s->window, w->window);
	}
	pthread_mutex_unlock(&s->lock);
	return error;
}

static int recover(struct connection *c)
{
	int error;

	if (!c->new_owner)
		return 0;
	device_again();
	error = recover_session();
	pthread_mutex_lock(&s->lock);
	if (!error)
		s->recovered = s->owner;
	pthread_mutex_unlock(&s->lock);
	return error;
}

static int start_readers(struct connection *c)
{
	for (uint32_t i = 0; i < LINKS; i++) {
		int error = pthread_create(&c->readers[i], NULL, receive_main, c->links[i]);

		if (error)
			return -error;
		c->n_readers++;
	}
	return 0;
}

static int ask_ready(void)
{
	struct call c;
	int error;

	call_init(&c, VOL_READY);
	c.kind = PENDING_URGENT;
	c.recovery = true;
	error = session_ask(&c);
	call_done(&c);
	return error;
}

/* In the order of their numbers. */
static void send_again(bool new_owner)
{
	const struct pending *p;
	uint64_t at = 0;

	pthread_mutex_lock(&s->lock);
	while (!s->broken && (p = pending_next(&s->window, at))) {
		struct call *c = p->user;
		struct pending was;

		at = p->number + 1;
		if (c->recovery)
			continue;
		if (new_owner && c->only_this_owner) {
			pending_answered(&s->window, p->number, &was);
			c->done = true;
			pthread_cond_broadcast(&c->changed);
			continue;
		}
		send_call(c);
	}
	pthread_mutex_unlock(&s->lock);
}

static void up(void)
{
	pthread_mutex_lock(&s->lock);
	s->state = SESSION_UP;
	if (s->down_since_ms)
		s->paused_ms += now_ms() - s->down_since_ms;
	s->down_since_ms = 0;
	s->given_up = false;
	pthread_cond_broadcast(&s->changed);
	fprintf(stderr, "csvfs: connected to node %u, epoch %llu\n", s->owner_node, (unsigned long long)s->epoch);
	pthread_mutex_unlock(&s->lock);
}

static void wait_broken(void)
{
	pthread_mutex_lock(&s->lock);
	while (!s->broken)
		pthread_cond_wait(&s->changed, &s->lock);
	pthread_mutex_unlock(&s->lock);
}

/* Until it breaks. */
static int serve(struct connection *c, const char *address, uint16_t port)
{
	struct vol_welcome w;
	int error = connect_all(c, address, port, &w);

	if (!error)
		error = welcomed(c, &w);
	if (!error)
		error = start_readers(c);
	if (!error)
		error = recover(c);
	if (!error) {
		send_again(c->new_owner);
		error = ask_ready();
	}
	if (error)
		return error;
	up();
	wait_broken();
	return -ECONNRESET;
}

static void disconnect(struct connection *c)
{
	pthread_mutex_lock(&s->lock);
	if (s->state == SESSION_UP) {
		s->down_since_ms = now_ms();
		s->pauses++;
	}
	s->state = SESSION_DOWN;
	s->broken = true;
	memset(s->links, 0, sizeof(s->links));
	wake_calls();
	pthread_mutex_unlock(&s->lock);
	for (uint32_t i = 0; i < LINKS; i++)
		if (c->links[i])
			link_shutdown(c->links[i]);
	for (uint32_t i = 0; i < c->n_readers; i++)
		pthread_join(c->readers[i], NULL);
	pthread_mutex_lock(&s->lock);
	while (s->senders)
		pthread_cond_wait(&s->changed, &s->lock);
	pthread_mutex_unlock(&s->lock);
	for (uint32_t i = 0; i < LINKS; i++)
		link_free(c->links[i]);
}

/* False: csvfs ends. */
static bool next_owner(char *address, uint16_t *port)
{
	bool more;

	pthread_mutex_lock(&s->lock);
	while (!s->stopping && !s->port)
		pthread_cond_wait(&s->changed, &s->lock);
	text_copy(address, TEXT_SIZE, s->address);
	*port = s->port;
	more = !s->stopping;
	pthread_mutex_unlock(&s->lock);
	return more;
}

static void pause_between(void)
{
	pthread_mutex_lock(&s->lock);
	if (!s->stopping)
		wait_ms(&s->changed, RETRY_MS);
	pthread_mutex_unlock(&s->lock);
}

static void *session_main(void *unused)
{
	char address[TEXT_SIZE];
	uint16_t port;
	int said = 0;

	(void)unused;
	while (next_owner(address, &port)) {
		struct connection c = { 0 };
		bool was_up;
		int error = serve(&c, address, port);

		was_up = s->state == SESSION_UP;
		disconnect(&c);
		if (was_up || error != said)
			fprintf(stderr, "csvfs: owner at %s:%u: %s\n", address, port, strerror(-error));
		said = error;
		if (c.unknown)
			begin_anew();
		pause_between();
	}
	return NULL;
}

void session_set_owner(uint64_t epoch, uint32_t node, const char *address, uint16_t port)
{
	pthread_mutex_lock(&s->lock);
	if (epoch >= s->told_epoch) {
		bool other = port && s->port && (port != s->port || strcmp(address, s->address));

		s->told_epoch = epoch;
		s->told_node = node;
		text_copy(s->address, sizeof(s->address), address);
		s->port = node ? port : 0;
		/* Who was the owner before may still take questions, but must not be asked any more. */
		if ((other || epoch > s->epoch) && s->links[0])
			for (uint32_t i = 0; i < LINKS; i++)
				link_shutdown(s->links[i]);
		pthread_cond_broadcast(&s->changed);
	}
	pthread_mutex_unlock(&s->lock);
}

/* --- start, end --- */

int session_start(void)
{
	int error;

	pthread_mutex_init(&s->lock, NULL);
	pthread_cond_init(&s->changed, NULL);
	pending_init(&s->window, VOL_WINDOW_MAX);
	if (!draw_id(&s->id))
		return -EIO;
	s->io_max = VOL_IO_MAX;
	s->down_since_ms = now_ms();
	s->broken = true;
	if (csvfs.owner_port)
		session_set_owner(0, NODE_MAX, csvfs.owner_address, csvfs.owner_port);
	error = pthread_create(&s->thread, NULL, session_main, NULL);
	return -error;
}

void session_tick(void)
{
	pthread_mutex_lock(&s->lock);
	if (s->state != SESSION_UP && s->down_since_ms && now_ms() - s->down_since_ms >= csvfs.pause_max_ms && !s->given_up) {
		s->given_up = true;
		fprintf(stderr, "csvfs: no owner for %u ms: requests fail until there is one\n", csvfs.pause_max_ms);
	}
	if (csvfs.stopping)
		s->stopping = true;
	if (s->given_up || s->stopping)
		wake_calls();
	pthread_mutex_unlock(&s->lock);
}

void session_stop(void)
{
	struct call c;

	call_init(&c, VOL_BYE);
	c.kind = PENDING_URGENT;
	session_ask(&c);
	call_done(&c);
	pthread_mutex_lock(&s->lock);
	s->stopping = true;
	for (uint32_t i = 0; i < LINKS; i++)
		if (s->links[i])
			link_shutdown(s->links[i]);
	pthread_cond_broadcast(&s->changed);
	pthread_mutex_unlock(&s->lock);
	pthread_join(s->thread, NULL);
}

enum vol_state session_view(enum vol_reason *ret_reason)
{
	enum vol_state state = VOL_DIRECT;

	pthread_mutex_lock(&s->lock);
	*ret_reason = VOL_NO_REASON;
	if (s->state != SESSION_UP) {
		state = s->given_up || !s->owner ? VOL_UNAVAILABLE : VOL_PAUSED;
		*ret_reason = s->given_up ? VOL_PAUSE_TOO_LONG : s->owner ? VOL_OWNER_LOST : VOL_NO_OWNER;
	} else if (csvfs.redirect || !s->lend) {
		state = VOL_REDIRECTED_FS;
		*ret_reason = csvfs.redirect ? VOL_BY_ADMIN : VOL_NO_LEASES;
	} else if (csvfs.path_failed) {
		state = VOL_REDIRECTED_BLOCK;
		*ret_reason = VOL_PATH_FAILED;
	}
	pthread_mutex_unlock(&s->lock);
	return state;
}
