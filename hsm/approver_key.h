/* SPDX-License-Identifier: MIT */
#ifndef HSM_APPROVER_KEY_H
#define HSM_APPROVER_KEY_H

#include "base/es256.h"

/*
 * The approver's key in PEM files: P-256, as OpenSSL writes them. The private one belongs on
 * another machine than the sealed keys; it asks for its passphrase at the terminal if it has one.
 * ATTEST_E_CONFIG: not such a key; ATTEST_E_IO, _NOT_FOUND.
 */
enum attest_rc approver_key_public(const char *path, uint8_t point[ES256_POINT_LEN],
                                   struct attest_error *err);

/* Signs, and gives the public half. A private key that everyone may read is refused. */
enum attest_rc approver_key_sign(const char *path, struct slice msg, uint8_t sig[ES256_SIG_LEN],
                                 uint8_t point[ES256_POINT_LEN], struct attest_error *err);

#endif
