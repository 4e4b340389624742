/* SPDX-License-Identifier: MIT */
#ifndef HSM_TPM2_COUNTER_H
#define HSM_TPM2_COUNTER_H

#include "hsm/tpm2_intent.h"

/*
 * A counter in the TPM's non-volatile memory, which can only rise: what the file of sealed keys
 * says of its age is compared with it, so that an older copy is seen. Reading and raising it takes
 * an authorization value that is kept with the keys; the owner of the TPM can only remove it, and a
 * counter in its place does not know that value. Errors of all: as tpm2_error().
 */

#define TPM2_AUTH_VALUE_LEN 32 /* the last byte is never zero, which a TPM would strip */

/*
 * All of them look at the public area first, in a session, so that nobody between can make one up:
 * handle, kind, attributes, size and hash have to be those of a counter of ours.
 *
 * Makes one at a free handle and raises it once: before that it has no value. Needs the owner's
 * password where there is one. owner_reads: tpm2_counter_read_owner() too. *value is what it shows,
 * at least 1. Both are set on success only; what was made all the same stands in the intent.
 */
enum attest_rc tpm2_counter_create(struct tpm2_link *link, const uint8_t auth[TPM2_AUTH_VALUE_LEN],
                                   bool owner_reads, struct tpm2_intent *intent, uint32_t *index,
                                   uint64_t *value, struct attest_error *err);

/*
 * For one that was made in vain, or whose keys are given up. ATTEST_E_DENIED, always and only, when
 * there is none of ours; unused: none of ours without a value yet.
 */
enum attest_rc tpm2_counter_remove(struct tpm2_link *link, uint32_t index, bool unused,
                                   struct attest_error *err);

/* Opens one that owner_reads, which has a value, for ESAPI; TPM2_RC_HANDLE when it is none. */
TSS2_RC tpm2_counter_open(struct tpm2_link *link, uint32_t index, ESYS_TR *nv);

/* ATTEST_E_DENIED: there is none at this handle, or it is another one. */
enum attest_rc tpm2_counter_read(struct tpm2_link *link, uint32_t index,
                                 const uint8_t auth[TPM2_AUTH_VALUE_LEN], uint64_t *value,
                                 struct attest_error *err);

/* Without its authorization value, for one that owner_reads. */
enum attest_rc tpm2_counter_read_owner(struct tpm2_link *link, uint32_t index, uint64_t *value,
                                       struct attest_error *err);

/*
 * By one. After an error other than ATTEST_E_DENIED nobody knows whether it was raised: read it.
 */
enum attest_rc tpm2_counter_raise(struct tpm2_link *link, uint32_t index,
                                  const uint8_t auth[TPM2_AUTH_VALUE_LEN],
                                  struct attest_error *err);

#endif
