/* SPDX-License-Identifier: GPL-2.0-or-later */
/* clusterctl: the program. */
#include <locale.h>
#include <signal.h>

#include "clusterd/ctl/ctl.h"

int main(int argc, char **argv)
{
	setlocale(LC_ALL, "");
	signal(SIGPIPE, SIG_DFL); /* `clusterctl … | head` ends quietly */
	return ctl_main(argc, argv, stdout, stderr);
}
