/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A page on the terminal that is drawn over itself. */
#include "clusterd/ctl/ctl_screen.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "clusterd/ctl/ctl_link.h"

#define KEY_CTRL_C 3

int screen_begin(struct ctl *ctl, struct screen *sc)
{
	struct termios t;

	sigemptyset(&sc->mask);
	sigaddset(&sc->mask, SIGINT);
	sigaddset(&sc->mask, SIGTERM);
	sigaddset(&sc->mask, SIGHUP);
	sigaddset(&sc->mask, SIGWINCH);
	sigprocmask(SIG_BLOCK, &sc->mask, NULL);
	sc->signals = signalfd(-1, &sc->mask, SFD_CLOEXEC);
	if (sc->signals < 0)
		return -errno;
	if (isatty(STDIN_FILENO) && !tcgetattr(STDIN_FILENO, &sc->before)) {
		t = sc->before;
		t.c_lflag &= ~(tcflag_t)(ICANON | ECHO);
		t.c_cc[VMIN] = 1;
		t.c_cc[VTIME] = 0;
		sc->raw = !tcsetattr(STDIN_FILENO, TCSANOW, &t);
	}
	fputs("\033[?1049h\033[?25l\033[?7l\033[2J", ctl->out); /* long lines are cut, not wrapped */
	return 0;
}

void screen_end(struct ctl *ctl, struct screen *sc)
{
	fputs("\033[?25h\033[?7h\033[?1049l", ctl->out);
	fflush(ctl->out);
	if (sc->raw)
		tcsetattr(STDIN_FILENO, TCSANOW, &sc->before);
	close(sc->signals);
	sigprocmask(SIG_UNBLOCK, &sc->mask, NULL);
}

static unsigned int screen_rows(const struct ctl *ctl)
{
	struct winsize w = { 0 };

	return !ioctl(fileno(ctl->out), TIOCGWINSZ, &w) && w.ws_row > 4 ? w.ws_row : 24;
}

/* The page over the old one, in one write, without a flash: each line is cleared to its end, then what was below. */
void screen_draw(struct ctl *ctl, void (*page)(struct ctl *ctl, void *user), void *user)
{
	unsigned int room = screen_rows(ctl) - 2, lines = 0; /* the last two are ours */
	FILE *out = ctl->out;
	char *drawn = NULL;
	size_t len = 0;

	ctl->out = open_memstream(&drawn, &len);
	if (!ctl->out) {
		ctl->out = out;
		return;
	}
	ctl->view.taken_ms = ctl_wall_ms();
	page(ctl, user);
	fclose(ctl->out);
	ctl->out = out;
	fputs("\033[H", out);
	for (char *line = drawn, *end; line && *line; line = end + 1, lines++) {
		end = strchr(line, '\n');
		if (lines < room)
			fprintf(out, "%.*s\033[K\n", (int)(end - line), line);
	}
	fprintf(out, "\033[K\n\033[2mq ends");
	if (lines > room)
		fprintf(out, "; %u lines more than the terminal has", lines - room);
	fputs("\033[0m\033[K\033[J", out);
	fflush(out);
	free(drawn);
}

bool screen_wait(const struct screen *sc, int link_fd, int timeout_ms, bool *ret_answer)
{
	struct pollfd p[3] = { { link_fd, POLLIN, 0 },
			       { sc->signals, POLLIN, 0 },
			       { sc->raw ? STDIN_FILENO : -1, POLLIN, 0 } };
	struct signalfd_siginfo si;
	char key;

	*ret_answer = false;
	if (poll(p, ARRAY_SIZE(p), timeout_ms) < 0)
		return errno != EINTR;
	*ret_answer = p[0].revents != 0;
	if (p[1].revents && read(sc->signals, &si, sizeof(si)) == sizeof(si) && si.ssi_signo != SIGWINCH)
		return true;
	return p[2].revents && (read(STDIN_FILENO, &key, 1) != 1 || key == 'q' || key == 'Q' || key == KEY_CTRL_C);
}
