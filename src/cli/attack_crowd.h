/* SPDX-License-Identifier: MIT */
#ifndef CLI_ATTACK_CROWD_H
#define CLI_ATTACK_CROWD_H

#include "cli/attack_scene.h"

/* How many show one token at the same moment. */
#define CROWD 16

struct crowd {
    int shown; /* how many there were; fewer when threads could not be had */
    int accepted;
    int replayed; /* told that they were not the first */
};

/* Blocks until each has been answered. */
struct crowd crowd_show(const struct scene *s, const char *token);

#endif
