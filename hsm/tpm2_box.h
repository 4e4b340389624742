/* SPDX-License-Identifier: MIT */
#ifndef HSM_TPM2_BOX_H
#define HSM_TPM2_BOX_H

#include "hsm/tpm2_file.h"

/*
 * The seeds in a file of sealed keys, and the file as a whole, under the wrapping key: AES-256-GCM
 * with a random nonce each time. What belongs to a seed is bound to it as associated data:
 *
 *   "attestd-tpm2-seed/1" NUL, serial (8), id (16), public key (32), purpose NUL, label NUL
 *
 * and the box at the end, of nothing, has "attestd-tpm2-file/1" NUL and all bytes before it. A
 * change of the file makes at most 257 boxes, and there is another wrapping key with each destroyed
 * key: the 2^32 boxes that random nonces allow under one key are far away.
 *
 * Pure but for the random nonces. seeds: ED25519_SEED_LEN bytes a key, in the order of file->keys.
 */

/* Puts all seeds in new boxes, and the whole file with its seal into out. ATTEST_E_NOMEM, _LIMIT.
 */
enum attest_rc tpm2_box_close(struct tpm2_file *file, const struct secret *wrapping,
                              const struct secret *seeds, struct buf *out,
                              struct attest_error *err);

/*
 * Checks the seal over the bytes that `file` was read from, opens all boxes into seeds (of
 * TPM2_KEYS_MAX * ED25519_SEED_LEN bytes) and checks each against its public key. ATTEST_E_CORRUPT.
 */
enum attest_rc tpm2_box_open(const struct tpm2_file *file, struct slice bytes,
                             const struct secret *wrapping, struct secret *seeds,
                             struct attest_error *err);

#endif
