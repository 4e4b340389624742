/* SPDX-License-Identifier: MIT */
#ifndef VERIFY_KEYS_H
#define VERIFY_KEYS_H

#include <attest/keys.h>

#include "jwks/keyset.h"

/* The inside of <attest/keys.h>. */

/* The key set of this issuer, or NULL. */
const struct keyset *keys_of_issuer(const struct attest_keys *keys, struct slice issuer);

/* One more holder; from then on nothing can be added. */
struct attest_keys *keys_hold(struct attest_keys *keys);

DEFINE_AUTO(attest_keys, struct attest_keys *, attest_keys_free);

#endif
