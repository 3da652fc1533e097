/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The link against strangers: another key, garbage, slow handshakes, and peers with the key that send no frames. */
#include <arpa/inet.h>
#include <gnutls/gnutls.h>
#include <netinet/in.h>

#include "tests/unit/link_rig.h"

static int raw_connect(uint16_t port)
{
	struct sockaddr_in a = { .sin_family = AF_INET, .sin_port = htons(port) };
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	REQUIRE(fd >= 0);
	a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	REQUIRE(!connect(fd, (struct sockaddr *)&a, sizeof(a)));
	return fd;
}

static void raw_send(int fd, const void *data, size_t len)
{
	const char *p = data;

	while (len) {
		ssize_t n = send(fd, p, len, MSG_NOSIGNAL);

		if (n <= 0)
			return;
		p += n;
		len -= (size_t)n;
	}
}

static void test_wrong_key(void)
{
	struct link *client;
	struct link_key other;
	struct rig rig;
	int r;

	rig_start(&rig, 1, RIG_TIMEOUT_MS);
	memset(&other, 2, sizeof(other));
	r = link_connect(&client, "127.0.0.1", rig.port, &other, RIG_TIMEOUT_MS);
	CHECK_EQ(r, -EKEYREJECTED);
	CHECK(!client);
	CHECK_EQ(rig_finish(&rig), -EKEYREJECTED);
	CHECK(!rig.server);
}

static void test_garbage(void)
{
	static const uint8_t record[] = { 0x16, 3, 1, 0x0f, 0xfb, 1, 0xff, 0xff, 0xff };
	struct rig rig;
	char garbage[4096];
	int fd;

	/* Not TLS at all. */
	rig_start(&rig, 1, RIG_TIMEOUT_MS);
	fd = raw_connect(rig.port);
	memset(garbage, 'G', sizeof(garbage));
	raw_send(fd, garbage, sizeof(garbage));
	CHECK_EQ(rig_finish(&rig), -EPROTO);
	close(fd);
	/* A handshake record that says it is as long as can be, then many more: memory is bounded, it ends. */
	rig_start(&rig, 1, RIG_TIMEOUT_MS);
	fd = raw_connect(rig.port);
	memcpy(garbage, record, sizeof(record));
	for (int i = 0; i < 64; i++)
		raw_send(fd, garbage, sizeof(garbage));
	CHECK_EQ(rig_finish(&rig), -EPROTO);
	close(fd);
	/* Closed at once. */
	rig_start(&rig, 1, RIG_TIMEOUT_MS);
	close(raw_connect(rig.port));
	CHECK_EQ(rig_finish(&rig), -ECONNRESET);
}

/* A byte now and then does not prolong the handshake. */
static void test_slow(void)
{
	struct timespec pause = { .tv_nsec = 20000000 };
	static const char hello[] = "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03";
	uint64_t start = clock_ms(CLOCK_MONOTONIC);
	struct rig rig;
	int fd;

	rig_start(&rig, 1, 300);
	fd = raw_connect(rig.port);
	for (int i = 0; i < 100 && clock_ms(CLOCK_MONOTONIC) - start < 400; i++) {
		raw_send(fd, i < (int)sizeof(hello) ? &hello[i] : "x", 1);
		nanosleep(&pause, NULL);
	}
	CHECK_EQ(rig_finish(&rig), -ETIMEDOUT);
	CHECK(clock_ms(CLOCK_MONOTONIC) - start >= 300);
	close(fd);
}

/* A server that accepts (the kernel does) and says nothing. */
static void test_silent_server(void)
{
	struct link_key key = { { 1 } };
	struct link *client;
	uint16_t port;
	int listener = link_listen("127.0.0.1", 0, &port);

	REQUIRE(listener >= 0);
	CHECK_EQ(link_connect(&client, "127.0.0.1", port, &key, 200), -ETIMEDOUT);
	close(listener);
	CHECK_EQ(link_connect(&client, "127.0.0.1", port, &key, 2000), -ECONNREFUSED);
	CHECK_EQ(link_connect(&client, "localhost", port, &key, 2000), -EINVAL);
	CHECK_EQ(link_listen("not an address", 0, &port), -EINVAL);
}

/* --- peers with the key, by GnuTLS itself --- */

static int tls_handshake(gnutls_session_t session, int fd)
{
	int r;

	gnutls_transport_set_int(session, fd);
	do
		r = gnutls_handshake(session);
	while (r < 0 && !gnutls_error_is_fatal(r));
	return r;
}

static int tls_start(gnutls_session_t *session, gnutls_psk_client_credentials_t *cred, const struct rig *rig,
		     const char *priority, const char *identity, int fd)
{
	gnutls_datum_t key = { .data = (unsigned char *)rig->key.bytes, .size = LINK_KEY_SIZE };

	REQUIRE(gnutls_init(session, GNUTLS_CLIENT | GNUTLS_NO_SIGNAL) >= 0);
	REQUIRE(gnutls_priority_set_direct(*session, priority, NULL) >= 0);
	REQUIRE(gnutls_psk_allocate_client_credentials(cred) >= 0);
	REQUIRE(gnutls_psk_set_client_credentials(*cred, identity, &key, GNUTLS_PSK_KEY_RAW) >= 0);
	REQUIRE(gnutls_credentials_set(*session, GNUTLS_CRD_PSK, *cred) >= 0);
	return tls_handshake(*session, fd);
}

static void tls_end(gnutls_session_t session, gnutls_psk_client_credentials_t cred, int fd)
{
	gnutls_deinit(session);
	gnutls_psk_free_client_credentials(cred);
	close(fd);
}

/* Only TLS 1.3 with an ephemeral exchange, only our identity. */
static void test_weaker(void)
{
	static const char *const weaker[] = {
		"NORMAL:-VERS-ALL:+VERS-TLS1.2:-KX-ALL:+ECDHE-PSK:+PSK",
		"NORMAL:-VERS-ALL:+VERS-TLS1.3:-KX-ALL:+PSK", /* no ephemeral exchange */
	};
	gnutls_psk_client_credentials_t cred;
	gnutls_session_t session;
	struct rig rig;

	for (size_t i = 0; i < 3; i++) {
		const char *priority = i < 2 ? weaker[i] : "NORMAL:-KX-ALL:+ECDHE-PSK:+DHE-PSK";
		int fd;

		rig_start(&rig, 1, RIG_TIMEOUT_MS);
		fd = raw_connect(rig.port);
		CHECK(tls_start(&session, &cred, &rig, priority, i < 2 ? "csvfs" : "other", fd) < 0);
		CHECK(rig_finish(&rig) < 0);
		CHECK(!rig.server);
		tls_end(session, cred, fd);
	}
}

/* Sends the bytes to a link that has accepted; what it says of them. */
static void check_bytes(const void *data, size_t len, int expected, const char *fault)
{
	gnutls_psk_client_credentials_t cred;
	struct link_frame f = { 0 };
	gnutls_session_t session;
	struct rig rig;
	int fd;

	rig_start(&rig, 1, RIG_TIMEOUT_MS);
	fd = raw_connect(rig.port);
	CHECK_EQ(tls_start(&session, &cred, &rig, "NORMAL:-VERS-ALL:+VERS-TLS1.3:-KX-ALL:+ECDHE-PSK", "csvfs", fd), 0);
	REQUIRE(rig_finish(&rig) == 0);
	CHECK_EQ(gnutls_record_send(session, data, len), len);
	if (expected == -ECONNRESET) /* the connection ends within the frame */
		shutdown(fd, SHUT_WR);
	CHECK_EQ(link_receive(rig.server, &f, RIG_TIMEOUT_MS), expected);
	CHECK_CONTAINS(link_fault(rig.server), fault);
	CHECK_EQ(link_receive(rig.server, &f, RIG_TIMEOUT_MS), -ECONNRESET);
	CHECK(f.body_size <= VOL_BODY_MAX + 8192);
	link_frame_done(&f);
	tls_end(session, cred, fd);
	link_free(rig.server);
}

static void test_bad_frames(void)
{
	struct vol_message m = { .type = VOL_PING, .request = 1 };
	uint8_t frame[4096] = { 0 };
	int len;

	check_bytes(frame, VOL_HEADER_SIZE, -EBADMSG, "");
	len = vol_encode(&m, frame, sizeof(frame), false);
	REQUIRE(len > VOL_HEADER_SIZE);
	check_bytes(frame, (size_t)len - 1, -ECONNRESET, "");
	frame[20] ^= 1; /* checksum */
	check_bytes(frame, (size_t)len, -EBADMSG, "");
	/* A body of 4 GiB, with a right checksum: refused before a byte of it is stored. */
	m = (struct vol_message){ .type = VOL_WRITE };
	len = vol_encode(&m, frame, sizeof(frame), false);
	REQUIRE(len > 0);
	memset(frame + 8, 0xff, 4);
	check_bytes(frame, (size_t)len, -EBADMSG, "");
	/* A name with a slash. */
	m = (struct vol_message){ .type = VOL_LOOKUP };
	strcpy(m.lookup.name, "a/b");
	len = vol_encode(&m, frame, sizeof(frame), false);
	REQUIRE(len > 0);
	check_bytes(frame, (size_t)len, -EBADMSG, "");
}

/* A peer that closes at any point of a connection, in order or not. */
static void test_gone(void)
{
	struct link_frame f = { 0 };
	struct vol_message m = { .type = VOL_PING };
	struct rig rig;
	struct link *client = rig_pair(&rig);
	int r = 0;

	link_free(client);
	CHECK_EQ(link_receive(rig.server, &f, RIG_TIMEOUT_MS), -ECONNRESET);
	for (int i = 0; i < 100 && !r; i++)
		r = link_send(rig.server, &m);
	CHECK_EQ(r, -ECONNRESET);
	link_free(rig.server);
	link_frame_done(&f);
}

int main(void)
{
	test_wrong_key();
	test_garbage();
	test_slow();
	test_silent_server();
	test_weaker();
	test_bad_frames();
	test_gone();
	return check_result();
}
