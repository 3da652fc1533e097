/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The agent as a program. */
#include "agents/volume_agent.h"

int main(int argc, char **argv) { return volume_agent(argc, argv); }
