/* SPDX-License-Identifier: MIT */
#ifndef ADMIN_PINS_H
#define ADMIN_PINS_H

#include "admin/command.h"
#include "base/secret.h"

/*
 * A PIN from this file, or asked for at the terminal when path is NULL. option is the one that
 * would name the file. Anything but EXIT_DONE has been said to the user already.
 */
enum exit_status pin_get(const struct options *o, const char *what, const char *path,
                         const char *option, struct secret *ret);

/* The same for a PIN that is to be set: at the terminal it is asked for twice. */
enum exit_status pin_get_new(const struct options *o, const char *what, const char *path,
                             const char *option, struct secret *ret);

#endif
