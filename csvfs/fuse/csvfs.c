/* SPDX-License-Identifier: GPL-2.0-or-later */
/* csvfs: the program. */
#include "csvfs/fuse/csvfs.h"

int main(int argc, char **argv) { return csvfs_main(argc, argv); }
