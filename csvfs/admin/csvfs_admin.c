/* SPDX-License-Identifier: GPL-2.0-or-later */
/* csvfs-admin: the program. */
#include "csvfs/admin/admin.h"

int main(int argc, char **argv) { return admin_main(argc, argv, stdout, stderr); }
