/* SPDX-License-Identifier: GPL-2.0-or-later */
/* csvfs-owner: the program. */
#include "csvfs/owner/owner.h"

int main(int argc, char **argv)
{
	return owner_main(argc, argv);
}
