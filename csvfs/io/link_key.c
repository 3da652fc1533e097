/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The key of links, made from the cluster's. */
#include <errno.h>
#include <fcntl.h>
#include <gnutls/crypto.h>
#include <gnutls/gnutls.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cleanup.h"
#include "csvfs/io/link.h"

/* What the key is for. Another text gives another key, so corosync's own use of the file tells nothing of ours. */
#define PURPOSE "clusterd csvfs link 1"

_Static_assert(LINK_KEY_SIZE == 32, "SHA-256");

static int key_check(const struct stat *st, const char *path, char *error, size_t size)
{
	if (!S_ISREG(st->st_mode)) {
		snprintf(error, size, "key %s: not a file; name the file that corosync-keygen has made", path);
		return -EINVAL;
	}
	if (st->st_uid != 0 && st->st_uid != geteuid()) {
		snprintf(error, size, "key %s: belongs to uid %u; chown root %s", path, (unsigned int)st->st_uid, path);
		return -EPERM;
	}
	if (st->st_mode & 077) {
		snprintf(error, size, "key %s: mode %04o lets others at it; chmod 0400 %s", path,
			 (unsigned int)st->st_mode & 07777, path);
		return -EPERM;
	}
	if (st->st_size < LINK_KEY_SIZE || st->st_size > LINK_KEY_FILE_MAX) {
		snprintf(error, size, "key %s: %lld bytes, %u to %u are wanted; make one with corosync-keygen", path,
			 (long long)st->st_size, LINK_KEY_SIZE, LINK_KEY_FILE_MAX);
		return -EINVAL;
	}
	return 0;
}

static int read_all(int fd, uint8_t *buf, size_t len)
{
	for (size_t done = 0; done < len;) {
		ssize_t n = read(fd, buf + done, len - done);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return n ? -errno : -EINVAL;
		done += (size_t)n;
	}
	return 0;
}

int link_key_load(struct link_key *ret, const char *path, char *error, size_t size)
{
	cleanup_free uint8_t *secret = NULL;
	cleanup_fd int fd = -1;
	struct stat st;
	int r;

	if (size)
		*error = '\0';
	fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
	if (fd < 0 || fstat(fd, &st) < 0) {
		r = -errno;
		snprintf(error, size, "key %s: %s", path, strerror(-r));
		return r;
	}
	r = key_check(&st, path, error, size);
	if (r < 0)
		return r;
	secret = malloc((size_t)st.st_size);
	r = secret ? read_all(fd, secret, (size_t)st.st_size) : -ENOMEM;
	if (!r && gnutls_hmac_fast(GNUTLS_MAC_SHA256, secret, (size_t)st.st_size, PURPOSE, strlen(PURPOSE), ret->bytes) < 0)
		r = -EIO;
	if (secret)
		explicit_bzero(secret, (size_t)st.st_size);
	if (r < 0)
		snprintf(error, size, "key %s: %s", path, r == -EINVAL ? "became shorter while it was read" : strerror(-r));
	return r;
}
