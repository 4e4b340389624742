/* SPDX-License-Identifier: MIT */
#ifndef HSM_TOKEN_ADMIN_IMPL_H
#define HSM_TOKEN_ADMIN_IMPL_H

#include "hsm/p11_module.h"
#include "hsm/token_admin.h"

/* What token_admin.c, which sees libp11, asks of token_info.c, which sees Cryptoki. */

/* The module to use: the argument, else the URI's (uri may be NULL), else SoftHSM's place. */
const char *token_module_path(const char *module, const struct p11_uri *uri);

/* The slot of the one token that the URI names. */
enum attest_rc token_slot_of(const char *module, const char *uri, unsigned long *slot_id,
                             struct attest_error *err);

/* Whether the token in this slot takes PINs of this length; ATTEST_E_PIN when not. */
enum attest_rc token_pin_fits(const char *module, unsigned long slot_id, size_t so_len,
                              size_t pin_len, struct attest_error *err);

#endif
