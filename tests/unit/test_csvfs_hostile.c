/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * csvfs and an owner that lies: extents where nothing may be written, sizes and errors that cannot be, recalls of what is not
 * lent, answers nobody asked for. csvfs goes on, and of the device nothing but what was lent changes. Needs root and FUSE.
 */
#include <getopt.h>
#include <pthread.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>

#include "csvfs/admin/admin.h"
#include "csvfs/io/device.h"
#include "csvfs/io/link.h"
#include "csvfs/io/trailer.h"
#include "tests/unit/loop_rig.h"
#include "tests/unit/serving_rig.h"
#include "text.h"

#define DEVICE_SIZE (256 * MIB)
#define LENT_AT (64 * MIB) /* all that an honest answer lends */
#define LENT_SIZE MIB
#define FILE_SIZE MIB
#define ROOT_INO 2
#define FILE_INO 12

int csvfs_main(int argc, char **argv);

/* What the owner says next. Under rig.lock. */
enum lie {
	HONEST,
	BEYOND_THE_DEVICE,
	ACROSS_THE_END,
	IN_THE_TRAILER,
	INTO_THE_TRAILER,
	WRAPS,
	UNSORTED,
	OVERLAPPING,
	NO_LENGTH,
	HALF_AN_EXTENT,
	TOO_MANY,
	OF_ANOTHER_FILE,
	HUGE_FILE,
	READS_TOO_MUCH,
	WRITES_TOO_MUCH,
	ERROR_HUGE,
	ERROR_MINUS_ONE,
	OTHER_ANSWER,
	RECALLS,
	UNASKED,
	GARBAGE,
	LIES,
};

static struct hostile_rig {
	struct loop loop;
	char key[64], control[64], owner[32], place[64];
	struct serving serving;
	pid_t pid;
	uint64_t trailer;
	pthread_mutex_t lock;
	enum lie lie;
	unsigned int leases, recalled, welcomes, garbage;
	bool welcome_bad;
} rig = { .lock = PTHREAD_MUTEX_INITIALIZER };

static enum lie lie_now(void)
{
	enum lie lie;

	pthread_mutex_lock(&rig.lock);
	lie = rig.lie;
	pthread_mutex_unlock(&rig.lock);
	return lie;
}

/* --- the owner --- */

static struct vol_fid fid_of(uint8_t ino) { return (struct vol_fid){ .len = 8, .type = 1, .data = { ino } }; }

static void entry(struct vol_entry *e, uint8_t ino)
{
	bool root = ino == ROOT_INO;

	e->file = fid_of(ino);
	e->attr = (struct vol_attr){ .ino = ino, .size = root ? 4096 : FILE_SIZE, .mode = root ? 040755 : 0100644, .nlink = 1,
				     .blksize = 4096 };
	if (!root && lie_now() == HUGE_FILE)
		e->attr.size = e->attr.blocks = UINT64_MAX - 511;
}

static uint32_t extents(enum lie lie, struct vol_extent *list)
{
	const uint64_t end = DEVICE_SIZE;
	struct vol_extent *e = list;

	*e = (struct vol_extent){ .offset = 0, .physical = LENT_AT, .length = LENT_SIZE };
	switch (lie) {
	case BEYOND_THE_DEVICE: e->physical = end; return 1;
	case ACROSS_THE_END: e->physical = end - 4096; return 1;
	case IN_THE_TRAILER: e->physical = rig.trailer; return 1;
	case INTO_THE_TRAILER: e->physical = rig.trailer - 4096; return 1;
	case WRAPS: e->physical = UINT64_MAX - 4095; return 1;
	case NO_LENGTH: e->length = 0; return 1;
	case UNSORTED:
		e[0].offset = LENT_SIZE / 2;
		e[0].length = e[1].length = LENT_SIZE / 2;
		e[1] = (struct vol_extent){ .physical = rig.trailer - LENT_SIZE, .length = LENT_SIZE / 2 };
		return 2;
	case OVERLAPPING:
		e[1] = (struct vol_extent){ .offset = 4096, .physical = rig.trailer - LENT_SIZE, .length = LENT_SIZE / 2 };
		return 2;
	case TOO_MANY:
		for (uint32_t i = 0; i <= VOL_EXTENTS_MAX; i++)
			e[i] = (struct vol_extent){ .offset = 512ull * i, .physical = LENT_AT + 4096ull * i, .length = 512 };
		return VOL_EXTENTS_MAX + 1;
	default: return 1;
	}
}

static void lend(struct vol_message *a, uint8_t *bytes, size_t size)
{
	static struct vol_extent list[VOL_EXTENTS_MAX + 1];
	struct writer w = writer_of(bytes, size);
	enum lie lie = lie_now();
	uint32_t n;

	pthread_mutex_lock(&rig.lock);
	rig.leases++;
	n = extents(lie, list);
	for (uint32_t i = 0; i < n; i++)
		vol_put_extent(&w, &list[i]);
	pthread_mutex_unlock(&rig.lock);
	REQUIRE(!w.bad);
	a->extents = (struct vol_extents){ .file = fid_of((uint8_t)(lie == OF_ANOTHER_FILE ? 99 : FILE_INO + lie)),
					   .grant = UINT32_MAX, .sole = 1,
					   .list = { bytes, writer_len(&w) - (lie == HALF_AN_EXTENT ? 11 : 0) } };
}

static void welcome(struct vol_welcome *w)
{
	*w = (struct vol_welcome){ .epoch = 1, .owner = 1, .level = VOL_LEVEL, .window = VOL_WINDOW_MAX, .io_max = VOL_IO_MAX,
				   .owner_node = 1, .recall_ms = 1000, .lend = 1, .root = fid_of(ROOT_INO) };
	pthread_mutex_lock(&rig.lock);
	rig.welcomes++;
	if (rig.welcome_bad) {
		w->window = w->io_max = w->level = w->recall_ms = 0;
		w->root = (struct vol_fid){ 0 };
	}
	pthread_mutex_unlock(&rig.lock);
}

static void fill_answer(const struct vol_message *q, struct vol_message *a, uint8_t *bytes, size_t size)
{
	enum lie lie = lie_now();
	unsigned int n = 0;

	switch (q->type) {
	case VOL_HELLO: welcome(&a->welcome); break;
	case VOL_LOOKUP:
		if (sscanf(q->lookup.name, "file%u", &n) != 1)
			a->error = ENOENT;
		entry(&a->entry, (uint8_t)(FILE_INO + n));
		break;
	case VOL_GETATTR: entry(&a->entry, q->getattr.file.data[0]); break;
	case VOL_SETATTR: entry(&a->entry, q->setattr.file.data[0]); break;
	case VOL_OPEN: entry(&a->entry, q->open.file.data[0]); break;
	case VOL_LEASE: lend(a, bytes, size); break;
	case VOL_READ:
		a->data.value = lie == HUGE_FILE ? UINT64_MAX : FILE_SIZE;
		a->data.bytes = (struct span){ bytes, lie == READS_TOO_MUCH ? VOL_IO_MAX : q->read.size };
		break;
	case VOL_WRITE:
		a->written.size = (uint32_t)(lie == WRITES_TOO_MUCH ? UINT32_MAX : q->write.bytes.len);
		a->written.attr.size = FILE_SIZE;
		a->written.attr.mode = 0100644;
		break;
	default: break;
	}
	if (q->type == VOL_READ || q->type == VOL_WRITE || q->type == VOL_FSYNC) {
		if (lie == ERROR_HUGE)
			a->error = 0x80000000u;
		if (lie == ERROR_MINUS_ONE)
			a->error = UINT32_MAX;
		if (lie == OTHER_ANSWER)
			*a = (struct vol_message){ .type = VOL_DONE, .request = q->request };
	}
}

/* Before an answer, what nobody has asked for. */
static void interrupt(struct link *l, const struct vol_message *q)
{
	static const uint16_t wrong[] = { VOL_LOOKUP, VOL_HELLO, VOL_RECALLED, VOL_SET_OWNER };
	struct vol_message m = { .type = VOL_RECALL };

	switch (lie_now()) {
	case RECALLS:
		for (uint64_t i = 0; i < 6; i++) {
			m.request = 1000 + i;
			m.recall = (struct vol_recall){ .file = fid_of(i % 2 ? FILE_INO + RECALLS : 77),
							.grant = i > 3 ? UINT64_MAX : i,
							.what = i ? UINT32_MAX : 0, .offset = i > 2 ? UINT64_MAX : i,
							.length = UINT64_MAX };
			link_send(l, &m);
		}
		break;
	case UNASKED:
		for (uint64_t i = 0; i < 6; i++) {
			/* Numbers behind all that are under way: csvfs may ask the next one any time. */
			m = (struct vol_message){ .type = i % 2 ? VOL_DONE : VOL_ENTRY, .request = q->request + 1000 * (i + 1) };
			link_send(l, &m);
		}
		break;
	case GARBAGE: /* not for ever: what is asked comes again by each new connection */
		pthread_mutex_lock(&rig.lock);
		m.request = rig.garbage++;
		pthread_mutex_unlock(&rig.lock);
		if (m.request >= 2 * ARRAY_SIZE(wrong))
			break;
		m.type = wrong[m.request % ARRAY_SIZE(wrong)];
		link_send(l, &m);
		break;
	default: break;
	}
}

static bool answer(struct link *l, const struct vol_message *q)
{
	static _Thread_local uint8_t bytes[VOL_IO_MAX];
	struct vol_message a = { .type = vol_answer_type(q->type), .request = q->request };

	if (q->type == VOL_RECALLED) {
		pthread_mutex_lock(&rig.lock);
		rig.recalled++;
		pthread_mutex_unlock(&rig.lock);
		return true;
	}
	if (q->type != VOL_HELLO)
		interrupt(l, q);
	memset(bytes, 'o', sizeof(bytes));
	fill_answer(q, &a, bytes, sizeof(bytes));
	return !link_send(l, &a);
}

static void serve(struct link *l) { serving_answers(l, answer); }

/* --- start --- */

static int run_main(int (*run)(int, char **), const char *const *line, int n)
{
	char words[16][64], *argv[17] = { NULL };

	for (int i = 0; i < n; i++) {
		text_copy(words[i], sizeof(words[i]), line[i]);
		argv[i] = words[i];
	}
	optind = 1; /* the one before has parsed its own */
	return run(n, argv);
}

static int admin(int argc, char **argv)
{
	FILE *null = fopen("/dev/null", "w");
	int ret = admin_main(argc, argv, null, stderr);

	fclose(null);
	return ret;
}

static void make_volume(void)
{
	const char *const line[] = { "csvfs-admin", "create", "--label", "t", "--filesystem", "ext4", rig.loop.path };
	struct trailer_header header;
	struct trailer t;
	struct device d;
	char error[200];
	FILE *f;

	rig.loop = loop_new(DEVICE_SIZE, 512);
	REQUIRE(!run_main(admin, line, ARRAY_SIZE(line)));
	REQUIRE(!device_open(&d, rig.loop.path, false));
	REQUIRE(!trailer_find(&t, &d, &header, error, sizeof(error)));
	rig.trailer = t.at;
	device_close(&d);
	f = fopen(rig.key, "w");
	REQUIRE(f && !fchmod(fileno(f), 0600) && fprintf(f, "%064d", 7) == 64 && !fclose(f));
	REQUIRE(!link_key_load(&rig.serving.key, rig.key, error, sizeof(error)));
}

static void start(void)
{
	const char *const line[] = { "csvfs",  "--device", rig.loop.path, "--key", rig.key, "--control", rig.control,
				     "--node", "2",	   "--owner",	  rig.owner, rig.place };

	loop_rig_start();
	if (access("/dev/fuse", R_OK | W_OK))
		rig_skip("needs FUSE");
	rig_mount_point("/mnt/t");
	text_copy(rig.key, sizeof(rig.key), "/mnt/t/key");
	text_copy(rig.control, sizeof(rig.control), "/mnt/t/control");
	text_copy(rig.place, sizeof(rig.place), "/mnt/t/place");
	REQUIRE(!mkdir(rig.place, 0755));
	make_volume();
	rig.serving.serve = serve;
	serving_listen(&rig.serving);
	snprintf(rig.owner, sizeof(rig.owner), "127.0.0.1:%u", rig.serving.port);
	fflush(NULL);
	rig.pid = fork();
	REQUIRE(rig.pid >= 0);
	if (!rig.pid) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		close(rig.serving.listener);
		_exit(run_main(csvfs_main, line, ARRAY_SIZE(line)));
	}
	serving_start(&rig.serving);
}

static void check_alive(const char *what)
{
	int status = 0;

	if (!CHECK_EQ(waitpid(rig.pid, &status, WNOHANG), 0)) {
		fprintf(stderr, "\tcsvfs ended after %s: status %x\n", what, (unsigned int)status);
		exit(check_result());
	}
}

/* --- the device --- */

/* What it holds but for what may be written. */
static uint64_t digest(void)
{
	const size_t step = 1 << 20;
	uint8_t *buf = device_buffer(step);
	uint64_t sum = 14695981039346656037u;
	struct device d;

	REQUIRE(buf && !device_open(&d, rig.loop.path, false));
	for (uint64_t at = 0; at < DEVICE_SIZE; at += step) {
		REQUIRE(!device_read(&d, buf, step, at));
		if (at >= LENT_AT && at < LENT_AT + LENT_SIZE)
			continue;
		for (size_t i = 0; i < step; i += 8) {
			uint64_t word;

			memcpy(&word, buf + i, 8);
			sum = (sum ^ word) * 1099511628211u;
		}
	}
	device_close(&d);
	free(buf);
	return sum;
}

/* --- what an application does --- */

/* Whether each call works is the owner's word; that it returns, and that what is read is not csvfs's own memory, is ours. */
static void use_file(void)
{
	static char buf[3 * 65536], name[96];
	ssize_t n;
	int fd;

	/* A file for each: one without leases is not asked for again for a while. */
	snprintf(name, sizeof(name), "%s/file%d", rig.place, lie_now());
	fd = open(name, O_RDWR);
	if (fd < 0)
		return;
	for (int i = 0; i < 3; i++) {
		memset(buf, 'w', sizeof(buf));
		n = pwrite(fd, buf, sizeof(buf), 65536 * i);
		CHECK(n <= (ssize_t)sizeof(buf));
		memset(buf, 0, sizeof(buf));
		n = pread(fd, buf, sizeof(buf), 65536 * i);
		for (ssize_t k = 0; k < n; k++)
			if (buf[k] != 'o' && buf[k] != 'w' && buf[k]) {
				CHECK(buf[k] == 'o');
				break;
			}
		n = pwrite(fd, "w", 1, 100 + i);
		n = pread(fd, buf, 10, 99);
		CHECK(n <= 10);
	}
	fsync(fd);
	close(fd);
}

static void set_lie(enum lie lie)
{
	pthread_mutex_lock(&rig.lock);
	rig.lie = lie;
	rig.leases = rig.recalled = 0;
	pthread_mutex_unlock(&rig.lock);
}

static bool works(void)
{
	char name[96];
	struct stat st;
	char byte;
	int fd;
	bool ok;

	/* A file for each: one without leases is not asked for again for a while. */
	snprintf(name, sizeof(name), "%s/file%d", rig.place, lie_now());
	fd = open(name, O_RDWR);
	ok = fd >= 0 && !fstat(fd, &st) && st.st_size == FILE_SIZE && pread(fd, &byte, 1, 0) == 1 && pwrite(fd, "w", 1, 0) == 1;
	if (fd >= 0)
		close(fd);
	return ok;
}

static void test_lies(void)
{
	uint64_t before = digest();

	for (enum lie lie = HONEST; lie < LIES; lie++) {
		char what[32];

		snprintf(what, sizeof(what), "lie %d", lie);
		set_lie(lie);
		use_file();
		check_alive(what);
		if (lie < OF_ANOTHER_FILE)
			CHECK(rig.leases > 0);
		if (lie == RECALLS)
			CHECK(rig.recalled >= 6);
		set_lie(HONEST);
		if (!CHECK(works()))
			fprintf(stderr, "\tafter %s\n", what);
		if (!CHECK(digest() == before)) {
			fprintf(stderr, "\t%s: something was written where nothing was lent\n", what);
			before = digest();
		}
	}
}

static void *use_main(void *unused)
{
	(void)unused;
	use_file();
	return NULL;
}

/* The connection breaks, and what greets the next ones is nothing to go on with; then it is honest again, and all goes on. */
static void test_welcome(void)
{
	unsigned int before, now;
	pthread_t user;

	pthread_mutex_lock(&rig.lock);
	rig.welcome_bad = true;
	rig.lie = GARBAGE;
	rig.garbage = 0;
	before = now = rig.welcomes;
	pthread_mutex_unlock(&rig.lock);
	REQUIRE(!pthread_create(&user, NULL, use_main, NULL));
	while (now < before + 3) {
		usleep(10000);
		check_alive("a bad WELCOME");
		pthread_mutex_lock(&rig.lock);
		now = rig.welcomes;
		pthread_mutex_unlock(&rig.lock);
	}
	pthread_mutex_lock(&rig.lock);
	rig.welcome_bad = false;
	rig.lie = HONEST;
	pthread_mutex_unlock(&rig.lock);
	pthread_join(user, NULL);
	CHECK(works());
}

int main(void)
{
	int status;

	start();
	while (!works()) {
		check_alive("the start");
		usleep(10000);
	}
	test_lies();
	test_welcome();
	kill(rig.pid, SIGTERM);
	REQUIRE(waitpid(rig.pid, &status, 0) == rig.pid);
	CHECK_EQ(status, 0);
	return check_result();
}
