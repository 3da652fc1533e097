/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * TLS link, see link.h. Sockets never block: whoever must wait polls, with a deadline, and shutdown(2) wakes it.
 *
 * GnuTLS lets one thread send and another receive on a session, as long as there is no handshake after the first one: so
 * no session tickets and no re-authentication. Senders take `sending`; the receiver is one by contract.
 */
#include "csvfs/io/link.h"

#include <errno.h>
#include <fcntl.h>
#include <gnutls/gnutls.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "cleanup.h"
#include "clock.h"
#include "csvfs/io/device.h"
#include "units.h"

/*
 * TLS 1.3, a pre-shared key together with an ephemeral key exchange (forward secrecy), nothing else. Suites with SHA-256
 * only: the hash that GnuTLS binds an external key to (RFC 8446, 4.2.11). There are no certificates, but GnuTLS refuses a
 * list without a way to sign.
 */
#define PRIORITY                                                                       \
	"NONE:+VERS-TLS1.3:+AES-128-GCM:+CHACHA20-POLY1305:+AEAD:+ECDHE-PSK:+GROUP-X25519" \
	":+GROUP-SECP256R1:+SIGN-ECDSA-SECP256R1-SHA256"
#define IDENTITY "csvfs"
/* All that a stranger can make us read and keep. GnuTLS' own limit counts whole messages, which may say 16 MiB. */
#define HANDSHAKE_MAX 16384u
#define RECORD_MAX 16384u /* RFC 8446, 5.1 */
#define PAGE 4096u
#define LISTEN_BACKLOG 128
/* A peer that vanished without a word is noticed after IDLE + COUNT * INTERVAL, or when sent data stays unacknowledged. */
#define KEEPALIVE_IDLE_S 5
#define KEEPALIVE_INTERVAL_S 2
#define KEEPALIVE_COUNT 5
#define UNACKNOWLEDGED_MS 15000

struct link {
	int fd;
	gnutls_session_t session;
	gnutls_psk_client_credentials_t client;
	gnutls_psk_server_credentials_t server;
	atomic_bool down;
	_Atomic(const char *) fault;
	atomic_uint send_limit_ms;
	size_t handshake_left; /* bytes that may still come in the handshake; SIZE_MAX after it */

	pthread_mutex_t sending; /* protects out, and the session's sending half */
	uint8_t out[RECORD_MAX];

	/* the receiver's: a frame that has begun to arrive */
	uint8_t head[VOL_HEADER_SIZE];
	size_t head_len, body_len, body_want, body_at; /* body_at: where in `body` it begins */
	struct vol_message m;
	uint8_t *body;
	size_t body_size;
};

/* Signed, so that -1 can be "never". */
static int64_t now_ms(void) { return (int64_t)clock_ms(CLOCK_MONOTONIC); }

/* 0 when ready, -ETIMEDOUT; deadline -1: never. */
static int wait_for(int fd, short events, int64_t deadline)
{
	for (;;) {
		struct pollfd p = { .fd = fd, .events = events };
		int64_t left = deadline < 0 ? -1 : deadline - now_ms();
		int n;

		if (deadline >= 0 && left < 0)
			left = 0;
		n = poll(&p, 1, left > INT32_MAX ? INT32_MAX : (int)left);
		if (n > 0)
			return 0;
		if (n < 0 && errno != EINTR)
			return -errno;
		if (n == 0 && deadline >= 0 && now_ms() >= deadline)
			return -ETIMEDOUT;
	}
}

void link_frame_done(struct link_frame *f)
{
	free(f->body);
	f->body = NULL;
	f->body_size = 0;
}

const char *link_fault(const struct link *l) { return atomic_load(&l->fault); }

void link_set_send_limit(struct link *l, uint32_t limit_ms) { atomic_store(&l->send_limit_ms, limit_ms); }

void link_shutdown(struct link *l)
{
	const char *none = "";

	atomic_compare_exchange_strong(&l->fault, &none, "shut down here");
	atomic_store(&l->down, true);
	shutdown(l->fd, SHUT_RDWR);
}

/* The first reason stays. */
static int link_die(struct link *l, int error, const char *why)
{
	const char *none = "";

	atomic_compare_exchange_strong(&l->fault, &none, why);
	link_shutdown(l);
	return error;
}

void link_free(struct link *l)
{
	if (!l)
		return;
	if (l->session)
		gnutls_deinit(l->session);
	if (l->client)
		gnutls_psk_free_client_credentials(l->client);
	if (l->server)
		gnutls_psk_free_server_credentials(l->server);
	if (l->fd >= 0)
		close(l->fd);
	pthread_mutex_destroy(&l->sending);
	free(l->body);
	explicit_bzero(l, sizeof(*l));
	free(l);
}

/* --- the handshake --- */

/* The server's: GnuTLS asks for the key of an identity. It frees what it gets. */
static int server_key(gnutls_session_t session, const char *identity, gnutls_datum_t *ret)
{
	const struct link_key *key = gnutls_session_get_ptr(session);

	if (!key || strcmp(identity, IDENTITY))
		return -1;
	ret->data = gnutls_malloc(LINK_KEY_SIZE);
	if (!ret->data)
		return -1;
	memcpy(ret->data, key->bytes, LINK_KEY_SIZE);
	ret->size = LINK_KEY_SIZE;
	return 0;
}

static int credentials_set(struct link *l, bool server, const struct link_key *key)
{
	gnutls_datum_t datum = { .data = (unsigned char *)key->bytes, .size = LINK_KEY_SIZE };
	int r;

	if (server) {
		r = gnutls_psk_allocate_server_credentials(&l->server);
		if (r < 0)
			return r;
		gnutls_psk_set_server_credentials_function(l->server, server_key);
		return gnutls_credentials_set(l->session, GNUTLS_CRD_PSK, l->server);
	}
	r = gnutls_psk_allocate_client_credentials(&l->client);
	if (r < 0)
		return r;
	r = gnutls_psk_set_client_credentials(l->client, IDENTITY, &datum, GNUTLS_PSK_KEY_RAW);
	return r < 0 ? r : gnutls_credentials_set(l->session, GNUTLS_CRD_PSK, l->client);
}

/* What GnuTLS reads by: recv(2) with the limit of the handshake. */
static ssize_t pull(gnutls_transport_ptr_t transport, void *buf, size_t len)
{
	struct link *l = transport;
	ssize_t n;

	if (!l->handshake_left) {
		gnutls_transport_set_errno(l->session, EMSGSIZE);
		return -1;
	}
	n = recv(l->fd, buf, len < l->handshake_left ? len : l->handshake_left, 0);
	if (n < 0)
		gnutls_transport_set_errno(l->session, errno);
	else if (l->handshake_left != SIZE_MAX)
		l->handshake_left -= (size_t)n;
	return n;
}

static int pull_timeout(gnutls_transport_ptr_t transport, unsigned int ms)
{
	struct link *l = transport;
	struct pollfd p = { .fd = l->fd, .events = POLLIN };

	return poll(&p, 1, ms == GNUTLS_INDEFINITE_TIMEOUT ? -1 : (int)ms);
}

static int session_start(struct link *l, bool server, const struct link_key *key)
{
	int r = gnutls_init(&l->session, (server ? GNUTLS_SERVER : GNUTLS_CLIENT) | GNUTLS_NONBLOCK | GNUTLS_NO_SIGNAL |
						 GNUTLS_NO_TICKETS);

	if (r >= 0)
		r = gnutls_priority_set_direct(l->session, PRIORITY, NULL);
	if (r >= 0)
		r = credentials_set(l, server, key);
	if (r < 0)
		return r == GNUTLS_E_MEMORY_ERROR ? -ENOMEM : -EIO;
	gnutls_session_set_ptr(l->session, (void *)key);
	l->handshake_left = HANDSHAKE_MAX;
	gnutls_transport_set_ptr2(l->session, l, (void *)(intptr_t)l->fd);
	gnutls_transport_set_pull_function(l->session, pull);
	gnutls_transport_set_pull_timeout_function(l->session, pull_timeout);
	return 0;
}

static void socket_set(int fd)
{
	const struct { int level, name, value; } options[] = {
		{ IPPROTO_TCP, TCP_NODELAY, 1 },
		{ SOL_SOCKET, SO_KEEPALIVE, 1 },
		{ IPPROTO_TCP, TCP_KEEPIDLE, KEEPALIVE_IDLE_S },
		{ IPPROTO_TCP, TCP_KEEPINTVL, KEEPALIVE_INTERVAL_S },
		{ IPPROTO_TCP, TCP_KEEPCNT, KEEPALIVE_COUNT },
		{ IPPROTO_TCP, TCP_USER_TIMEOUT, UNACKNOWLEDGED_MS },
	};

	/* Each is a help, none a condition: a socket that is not TCP works too. */
	for (size_t i = 0; i < ARRAY_SIZE(options); i++)
		(void)setsockopt(fd, options[i].level, options[i].name, &options[i].value, sizeof(int));
}

static int handshake_error(int e)
{
	switch (e) {
	case GNUTLS_E_FATAL_ALERT_RECEIVED:
	case GNUTLS_E_RECEIVED_ILLEGAL_PARAMETER:
	case GNUTLS_E_DECRYPTION_FAILED:
	case GNUTLS_E_INSUFFICIENT_CREDENTIALS:
	case GNUTLS_E_NO_CIPHER_SUITES:
	case GNUTLS_E_KEYFILE_ERROR:
	case GNUTLS_E_ERROR_IN_FINISHED_PACKET:
		return -EKEYREJECTED;
	case GNUTLS_E_PREMATURE_TERMINATION:
	case GNUTLS_E_PULL_ERROR:
	case GNUTLS_E_PUSH_ERROR:
		return -ECONNRESET;
	case GNUTLS_E_MEMORY_ERROR:
		return -ENOMEM;
	default:
		return -EPROTO;
	}
}

static int handshake(struct link *l, int64_t deadline)
{
	for (;;) {
		int e = gnutls_handshake(l->session), r;

		if (e == GNUTLS_E_SUCCESS)
			return 0;
		if (gnutls_error_is_fatal(e)) {
			/* The peer learns why, when its socket takes it at once. */
			if (e != GNUTLS_E_FATAL_ALERT_RECEIVED)
				gnutls_alert_send_appropriate(l->session, e);
			return l->handshake_left ? handshake_error(e) : -EPROTO;
		}
		if (now_ms() >= deadline)
			return -ETIMEDOUT;
		if (e != GNUTLS_E_AGAIN)
			continue;
		r = wait_for(l->fd, gnutls_record_get_direction(l->session) ? POLLOUT : POLLIN, deadline);
		if (r < 0)
			return r;
	}
}

/* Takes over fd. */
static int link_start(struct link **ret, int fd, bool server, const struct link_key *key, int64_t deadline)
{
	struct link *l = calloc(1, sizeof(*l));
	int r;

	*ret = NULL;
	if (!l) {
		close(fd);
		return -ENOMEM;
	}
	l->fd = fd;
	atomic_init(&l->fault, "");
	atomic_init(&l->send_limit_ms, LINK_SEND_LIMIT_MS);
	pthread_mutex_init(&l->sending, NULL);
	socket_set(fd);
	r = session_start(l, server, key);
	if (!r)
		r = handshake(l, deadline);
	if (r < 0) {
		link_free(l);
		return r;
	}
	gnutls_session_set_ptr(l->session, NULL);
	l->handshake_left = SIZE_MAX;
	*ret = l;
	return 0;
}

int link_accept(struct link **ret, int fd, const struct link_key *key, uint32_t timeout_ms)
{
	int flags = fcntl(fd, F_GETFL);

	if (flags < 0 || fcntl(fd, F_SETFL, flags | O_NONBLOCK) < 0 || fcntl(fd, F_SETFD, FD_CLOEXEC) < 0) {
		int r = -errno;

		*ret = NULL;
		close(fd);
		return r;
	}
	return link_start(ret, fd, true, key, now_ms() + timeout_ms);
}

/* --- sockets --- */

static int address_parse(const char *address, uint16_t port, struct sockaddr_storage *ret, socklen_t *ret_len)
{
	struct addrinfo hints = { .ai_flags = AI_NUMERICHOST | AI_NUMERICSERV | AI_PASSIVE, .ai_socktype = SOCK_STREAM };
	struct addrinfo *found = NULL;
	char service[8];

	snprintf(service, sizeof(service), "%u", port);
	if (getaddrinfo(address, service, &hints, &found))
		return -EINVAL;
	memcpy(ret, found->ai_addr, found->ai_addrlen);
	*ret_len = found->ai_addrlen;
	freeaddrinfo(found);
	return 0;
}

static uint16_t port_of(const struct sockaddr_storage *a)
{
	return ntohs(a->ss_family == AF_INET6 ? ((const struct sockaddr_in6 *)(const void *)a)->sin6_port :
						((const struct sockaddr_in *)(const void *)a)->sin_port);
}

int link_listen(const char *address, uint16_t port, uint16_t *ret_port)
{
	struct sockaddr_storage a;
	int one = 1, fd;
	socklen_t len;
	int r = address_parse(address, port, &a, &len);

	if (r < 0)
		return r;
	fd = socket(a.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return -errno;
	if (setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one)) < 0 || bind(fd, (struct sockaddr *)&a, len) < 0 ||
	    listen(fd, LISTEN_BACKLOG) < 0 || getsockname(fd, (struct sockaddr *)&a, &len) < 0) {
		r = -errno;
		close(fd);
		return r;
	}
	if (ret_port)
		*ret_port = port_of(&a);
	return fd;
}

static int connect_within(int fd, const struct sockaddr_storage *a, socklen_t len, int64_t deadline)
{
	int error = 0, r;
	socklen_t size = sizeof(error);

	if (connect(fd, (const struct sockaddr *)a, len) == 0)
		return 0;
	if (errno != EINPROGRESS && errno != EINTR)
		return -errno;
	r = wait_for(fd, POLLOUT, deadline);
	if (r < 0)
		return r;
	if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &size) < 0)
		return -errno;
	return -error;
}

int link_connect(struct link **ret, const char *address, uint16_t port, const struct link_key *key, uint32_t timeout_ms)
{
	int64_t deadline = now_ms() + timeout_ms;
	struct sockaddr_storage a;
	socklen_t len;
	int fd, r = address_parse(address, port, &a, &len);

	*ret = NULL;
	if (r < 0)
		return r;
	fd = socket(a.ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return -errno;
	r = connect_within(fd, &a, len, deadline);
	if (r < 0) {
		close(fd);
		return r;
	}
	return link_start(ret, fd, false, key, deadline);
}

/* --- sending --- */

/* One record after the other. The caller has `sending`. */
static int send_all(struct link *l, const uint8_t *data, size_t len)
{
	while (len) {
		int64_t deadline = now_ms() + atomic_load(&l->send_limit_ms);
		ssize_t n = gnutls_record_send(l->session, data, len < RECORD_MAX ? len : RECORD_MAX);

		/* What did not go out is kept by GnuTLS, already encrypted; the call without data goes on with it. */
		while (n == GNUTLS_E_AGAIN || n == GNUTLS_E_INTERRUPTED) {
			int r = wait_for(l->fd, POLLOUT, deadline);

			if (r < 0)
				return link_die(l, r, "the peer takes nothing");
			n = gnutls_record_send(l->session, NULL, 0);
		}
		if (n <= 0)
			return link_die(l, -ECONNRESET, n ? gnutls_strerror((int)n) : "nothing was sent");
		data += n;
		len -= (size_t)n;
	}
	return 0;
}

static struct span payload_of(const struct vol_message *m)
{
	if (m->error)
		return (struct span){ 0 };
	switch (m->type) {
	case VOL_SYMLINK: return m->symlink.target;
	case VOL_DATA: return m->data.bytes;
	case VOL_SETXATTR: return m->setxattr.value;
	case VOL_WRITE: return m->write.bytes;
	case VOL_EXTENTS: return m->extents.list;
	case VOL_RELEASE: return m->release.more;
	default: return (struct span){ 0 };
	}
}

/*
 * The first record holds header, fields and as much of the payload as fits; the rest is encrypted from where it lies. So a
 * small frame is one packet, and of a large one no more than a record is copied.
 */
static int send_locked(struct link *l, const struct vol_message *m)
{
	struct span payload = payload_of(m);
	int len = vol_encode(m, l->out, sizeof(l->out), true), r;
	size_t first;

	if (len < 0)
		return len;
	first = sizeof(l->out) - (size_t)len;
	if (first > payload.len)
		first = payload.len;
	if (first)
		memcpy(l->out + len, payload.data, first);
	r = send_all(l, l->out, (size_t)len + first);
	return r < 0 || first == payload.len ? r : send_all(l, payload.data + first, payload.len - first);
}

int link_send(struct link *l, const struct vol_message *m)
{
	int r;

	pthread_mutex_lock(&l->sending);
	r = atomic_load(&l->down) ? -ECONNRESET : send_locked(l, m);
	pthread_mutex_unlock(&l->sending);
	return r;
}

/* --- receiving --- */

/* Until `want` bytes are there. */
static int fill(struct link *l, uint8_t *buf, size_t *len, size_t want, int64_t deadline)
{
	while (*len < want) {
		ssize_t n;
		int r;

		if (atomic_load(&l->down))
			return -ECONNRESET;
		n = gnutls_record_recv(l->session, buf + *len, want - *len);
		if (n > 0) {
			*len += (size_t)n;
			continue;
		}
		if (n == 0)
			return link_die(l, -ECONNRESET, "closed by the peer");
		if (gnutls_error_is_fatal((int)n) || n == GNUTLS_E_REHANDSHAKE)
			return link_die(l, -ECONNRESET, gnutls_strerror((int)n));
		/* Only "again" says that GnuTLS holds nothing that poll(2) cannot see. */
		r = n == GNUTLS_E_AGAIN ? wait_for(l->fd, POLLIN, deadline) : 0;
		if (r < 0)
			return r;
		if (deadline >= 0 && n != GNUTLS_E_AGAIN && now_ms() >= deadline)
			return -ETIMEDOUT;
	}
	return 0;
}

/* Length of the fields before the payload, from volume.def. Where the payload goes to or comes from O_DIRECT they are numbers. */
enum {
	WIDTH_U8 = 1, WIDTH_U16 = 2, WIDTH_U32 = 4, WIDTH_U64 = 8, WIDTH_FNAME = 0, WIDTH_TEXT = 0, WIDTH_FID = 0, WIDTH_CRED = 0,
	WIDTH_ATTR = 0, WIDTH_LATENCY = 0, WIDTH_BYTES = 0,
#define VOL(number, symbol, name, kind, answer, help) BEFORE_PAYLOAD_OF_##symbol = 0
#define VFIELD(parent, type, member, help) + WIDTH_##type
#define VOL_END(name) ,
#include "proto/volume.def"
#undef VOL
#undef VFIELD
#undef VOL_END
};

static size_t bytes_before_payload(uint16_t type)
{
	switch (type) {
	case VOL_WRITE: return BEFORE_PAYLOAD_OF_VOL_WRITE;
	case VOL_DATA: return BEFORE_PAYLOAD_OF_VOL_DATA;
	default: return 0;
	}
}

static int body_prepare(struct link *l)
{
	size_t lead = bytes_before_payload(l->m.type), need;

	l->body_at = lead ? PAGE - lead : 0;
	need = (l->body_at + l->body_want + PAGE - 1) & ~(size_t)(PAGE - 1);
	if (need <= l->body_size)
		return 0;
	free(l->body);
	l->body = device_buffer(need);
	l->body_size = l->body ? need : 0;
	return l->body ? 0 : -ENOMEM;
}

/* Header first, so that the body's memory is never more than VOL_BODY_MAX and a page. */
static int receive_header(struct link *l, int64_t deadline)
{
	bool complete = l->head_len == sizeof(l->head);
	int r = fill(l, l->head, &l->head_len, sizeof(l->head), deadline);
	enum frame_fault fault;

	if (r < 0 || complete)
		return r;
	fault = vol_decode_header(l->head, &l->m, &l->body_want);
	if (fault != FRAME_OK)
		return link_die(l, -EBADMSG, frame_fault_text(fault));
	l->body_len = 0;
	r = body_prepare(l);
	return r < 0 ? link_die(l, r, "no memory for a frame") : 0;
}

int link_receive(struct link *l, struct link_frame *f, int timeout_ms)
{
	int64_t deadline = timeout_ms < 0 ? -1 : now_ms() + timeout_ms;
	struct link_frame before = *f;
	enum frame_fault fault;
	int r = atomic_load(&l->down) ? -ECONNRESET : receive_header(l, deadline);

	if (!r && l->body_want)
		r = fill(l, l->body + l->body_at, &l->body_len, l->body_want, deadline);
	if (r < 0)
		return r;
	fault = vol_decode_body(l->body_want ? l->body + l->body_at : l->head, l->body_want, &l->m);
	if (fault != FRAME_OK)
		return link_die(l, -EBADMSG, frame_fault_text(fault));
	f->m = l->m;
	f->body = l->body;
	f->body_size = l->body_size;
	l->body = before.body;
	l->body_size = before.body_size;
	l->head_len = 0;
	return 0;
}
