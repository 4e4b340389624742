/* SPDX-License-Identifier: MIT */
#ifndef BASE_IPHOST_H
#define BASE_IPHOST_H

#include <netinet/in.h>

#include "base/bytes.h"

/* The host of a URL, read as an address; nothing is looked up. */

/* "[::1]", brackets included. */
bool iphost_v6(struct slice host, struct in6_addr *ret);

/* An address of this machine to itself, or the name that stands for one: 127.0.0.0/8, [::1],
 * localhost. */
bool iphost_is_loopback(struct slice host);

#endif
